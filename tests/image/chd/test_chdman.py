"""Images by chdman, read as it unpacks them itself."""

from __future__ import annotations

import hashlib
import math
import random
import struct
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest
from writers.chd import PARENT, Hunk, version_5
from writers.chdman import chdman, version
from writers.edc import form_1, form_2, mode_1
from writers.sources import Memory

from isofs.image import chd, ecc
from isofs.image.blockmap import BlockMap
from isofs.image.cache import BlockCache
from isofs.image.disc import Disc
from isofs.image.parents import Parented
from isofs.image.source import Source

Twin = tuple[ModuleType, ModuleType]

SECTORS: Final = 150


ZSTD: Final = version() >= (0, 264)
"""Whether it knows zstd, and createdvd."""


def plain() -> bytes:
    """A disc of 2048-byte sectors: text, noise, zeros, waves, text again."""
    chance = random.Random(11)
    text = b"".join(b"%d: %d green bottles\n" % (chance.randrange(1000), i) for i in range(2000))[:40960]
    return text + chance.randbytes(20480) + bytes(40960) + wave(20 * 2048) + text + wave(2048 * 3)[:6144]


def wave(n: int) -> bytes:
    """Samples that FLAC likes."""
    chance = random.Random(2)
    samples = (int(9000 * math.sin(i / 40) + chance.gauss(0, 30)) for i in range(n // 4))
    return b"".join(struct.pack("<hh", value, value // 2) for value in samples)


def opened(path: Path, parent: Disc | None = None) -> Disc:
    source: Source = Memory(path.read_bytes())
    blocks = chd.open_map(source)
    if parent is not None:
        source = Parented(source, parent, blocks.parent_at)
    return Disc(source, blocks, BlockCache(1 << 20))


def kinds(blocks: BlockMap) -> set[str]:
    counts = blocks.facts["hunks"]
    assert isinstance(counts, dict)
    return set(counts)


def assert_unpacked(disc: Disc, expected: bytes) -> None:
    """All bytes are right, and the checksums that the image has."""
    found = b"".join(disc.pread(50_000, at) for at in range(0, disc.size, 50_000))
    assert hashlib.sha256(found).digest() == hashlib.sha256(expected).digest()
    for checksum in disc.blocks.checksums:
        digest = hashlib.new(checksum.algorithm, found).digest()
        assert (checksum.derived(digest) if checksum.derived else digest) == checksum.expected, checksum.name


def raw(tmp_path: Path, path: Path) -> bytes:
    """What chdman gives as the decoded bytes."""
    out = tmp_path / "raw.bin"
    chdman("extractraw", "-i", path, "-o", out, "-f")
    return out.read_bytes()


CODECS: Final = {"zlib": "deflate", "lzma": "LZMA", "huff": "Huffman", "flac": "FLAC", "none": "plain"} | (
    {"zstd": "zstd"} if ZSTD else {}
)
CD_CODECS: Final = {"cdzl": "CD deflate", "cdlz": "CD LZMA", "cdfl": "CD FLAC", "none": "plain"} | (
    {"cdzs": "CD zstd"} if ZSTD else {}
)


@pytest.mark.parametrize(("codec", "kind"), CODECS.items())
@pytest.mark.parametrize("size", [2048, 4096, 10240])
def test_raw_images_by_each_codec(twin: Twin, tmp_path: Path, codec: str, kind: str, size: int) -> None:
    disc = plain()
    (tmp_path / "disc").write_bytes(disc)
    made = tmp_path / "disc.chd"
    chdman("createraw", "-i", tmp_path / "disc", "-o", made, "-hs", str(size), "-us", "2048", "-c", codec)
    image = opened(made)
    assert kind in kinds(image.blocks)
    assert image.blocks.tracks == ()
    assert_unpacked(image, disc)


@pytest.mark.parametrize("command", ["createraw", *(["createdvd"] if ZSTD else [])])
def test_usual_images_and_their_children(tmp_path: Path, command: str) -> None:
    """A child whose sectors lie one further on refers to halves of two hunks.

    chdman itself cannot write a child of a child.
    """
    first = plain()
    second = first[:2048] + b"something new".ljust(2048, b"!") + first[2048:]
    sizes = ["-hs", "4096"] + (["-us", "2048"] if command == "createraw" else [])
    for name, disc in (("first", first), ("second", second)):
        (tmp_path / name).write_bytes(disc)
    chdman(command, "-i", tmp_path / "first", "-o", tmp_path / "first.chd", *sizes)
    chdman(command, "-i", tmp_path / "second", "-o", tmp_path / "second.chd", *sizes, "-op", tmp_path / "first.chd")
    parent = opened(tmp_path / "first.chd")
    assert_unpacked(parent, first)
    assert parent.blocks.parent == b""
    child = opened(tmp_path / "second.chd", parent)
    assert_unpacked(child, second)
    assert "parent" in kinds(child.blocks)
    assert child.blocks.parent == chd.identity(Memory((tmp_path / "first.chd").read_bytes()))
    hunks = [Hunk(PARENT, number=number) for number in range(len(second) // 2048 - 1, -1, -1)]
    (tmp_path / "third.chd").write_bytes(version_5(hunks, 2048, len(second), parent=b"p" * 20))
    backwards = b"".join(second[at : at + 2048] for at in range(len(second) - 2048, -1, -2048))
    assert_unpacked(opened(tmp_path / "third.chd", child), backwards)


@pytest.mark.parametrize("codec", ["zlib", "none"])
def test_children_without_compression(tmp_path: Path, codec: str) -> None:
    first = plain()
    second = first[:8192] + bytes(range(256)) * 16 + first[12288:]
    for name, disc in (("first", first), ("second", second)):
        (tmp_path / name).write_bytes(disc)
    sizes = ["-hs", "4096", "-us", "2048"]
    chdman("createraw", "-i", tmp_path / "first", "-o", tmp_path / "first.chd", *sizes)
    chdman(
        "createraw",
        "-i",
        tmp_path / "second",
        "-o",
        tmp_path / "second.chd",
        *sizes,
        "-c",
        codec,
        "-op",
        tmp_path / "first.chd",
    )
    assert_unpacked(opened(tmp_path / "second.chd", opened(tmp_path / "first.chd")), second)


# --- CDs ------------------------------------------------------------------------------------------------------------


@cache
def data_track(mode: int, n: int) -> bytes:
    """Raw sectors of a mode, some of them with an ECC that is not right, which chdman stores as it is."""
    disc = plain()
    sectors = []
    for i in range(n):
        data = disc[i * 2048 % len(disc) :][:2048].ljust(2048, b"\0")
        if mode == 1:
            sector = mode_1(i, data)
        else:
            sector = form_2(i, data.ljust(2324, b"\1")) if i % 7 == 3 else form_1(i, data)
        sectors.append(sector)
    track = bytearray(b"".join(sectors))
    ecc.restore(track, [i for i in range(n) if i % 10 != 9 and (mode == 1 or i % 7 != 3)])
    return bytes(track)


def sheet(tmp_path: Path, *tracks: tuple[str, bytes]) -> Path:
    """A CUE sheet and a file for each track."""
    lines = []
    for number, (kind, data) in enumerate(tracks, 1):
        (tmp_path / f"{number}.bin").write_bytes(data)
        lines += [f'FILE "{number}.bin" BINARY', f"  TRACK {number:02} {kind}", "    INDEX 01 00:00:00"]
    path = tmp_path / "disc.cue"
    path.write_text("\n".join(lines) + "\n")
    return path


def swapped(data: bytes) -> bytes:
    out = bytearray(data)
    out[0::2], out[1::2] = data[1::2], data[0::2]
    return bytes(out)


@pytest.mark.parametrize(("codec", "kind"), CD_CODECS.items())
@pytest.mark.parametrize("mode", [1, 2])
def test_data_tracks_by_each_codec(twin: Twin, tmp_path: Path, codec: str, kind: str, mode: int) -> None:
    data = data_track(mode, SECTORS)
    made = tmp_path / "disc.chd"
    chdman("createcd", "-i", sheet(tmp_path, (f"MODE{mode}/2352", data)), "-o", made, "-c", codec)
    image = opened(made)
    assert kind in kinds(image.blocks)
    assert_unpacked(image, raw(tmp_path, made))
    (track,) = image.blocks.tracks
    assert (track.mode, track.start, track.count, track.header) == (f"mode {mode}", 0, SECTORS, True)
    sectors = image.pread(SECTORS * 2448, 0)
    assert b"".join(sectors[at : at + 2352] for at in range(0, len(sectors), 2448)) == data


def test_cooked_tracks(tmp_path: Path) -> None:
    disc = plain()
    (tmp_path / "disc.iso").write_bytes(disc)
    made = tmp_path / "disc.chd"
    chdman("createcd", "-i", tmp_path / "disc.iso", "-o", made)
    image = opened(made)
    assert_unpacked(image, raw(tmp_path, made))
    (track,) = image.blocks.tracks
    assert (track.mode, track.offset, track.header, track.count) == ("mode 1", 0, False, len(disc) // 2048)
    sectors = image.pread(track.count * 2448, 0)
    assert b"".join(sectors[at : at + 2048] for at in range(0, len(sectors), 2448)) == disc


def test_tracks_of_several_kinds(tmp_path: Path) -> None:
    data, audio = data_track(1, 61), wave(2352 * 30)
    more = data_track(2, 9)
    made = tmp_path / "disc.chd"
    chdman("createcd", "-i", sheet(tmp_path, ("MODE1/2352", data), ("AUDIO", audio), ("MODE2/2352", more)), "-o", made)
    image = opened(made)
    assert_unpacked(image, raw(tmp_path, made))
    assert "CD FLAC" in kinds(image.blocks)
    assert [(made.number, made.mode, made.start, made.count) for made in image.blocks.tracks] == [
        (1, "mode 1", 0, 61),
        (2, "audio", 61, 30),
        (3, "mode 2", 91, 9),
    ]
    for made_track, expected in zip(image.blocks.tracks, (data, swapped(audio), more), strict=True):
        sectors = image.pread(made_track.count * 2448, made_track.position)
        assert b"".join(sectors[at : at + 2352] for at in range(0, len(sectors), 2448)) == expected
    assert [made_track.big_endian for made_track in image.blocks.tracks] == [False, True, False]


def test_gd_roms(tmp_path: Path) -> None:
    """What is between the second track and sector 45000 is filled up with zeros."""
    low, audio, high = data_track(1, 40), wave(2352 * 20), data_track(1, 30)
    for name, data in (("1.bin", low), ("2.raw", audio), ("3.bin", high)):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "disc.gdi").write_text("3\n1 0 4 2352 1.bin 0\n2 40 0 2352 2.raw 0\n3 45000 4 2352 3.bin 0\n")
    made = tmp_path / "disc.chd"
    chdman("createcd", "-i", tmp_path / "disc.gdi", "-o", made, "-c", "cdzl")
    image = opened(made)
    assert [(track.mode, track.start, track.count, track.session) for track in image.blocks.tracks] == [
        ("mode 1", 0, 40, 1),
        ("audio", 40, 20, 1),
        ("mode 1", 45000, 30, 2),
    ]
    for track, expected in zip(image.blocks.tracks, (low, swapped(audio), high), strict=True):
        sectors = image.pread(track.count * 2448, track.position)
        assert b"".join(sectors[at : at + 2352] for at in range(0, len(sectors), 2448)) == expected


def test_versions_after_a_copy(tmp_path: Path) -> None:
    """chdman copy packs anew: the same bytes, other codecs."""
    (tmp_path / "disc").write_bytes(plain())
    chdman("createraw", "-i", tmp_path / "disc", "-o", tmp_path / "1.chd", "-hs", "4096", "-us", "2048", "-c", "lzma")
    chdman("copy", "-i", tmp_path / "1.chd", "-o", tmp_path / "2.chd", "-c", "zlib,huff")
    image = opened(tmp_path / "2.chd")
    assert "LZMA" not in kinds(image.blocks)
    assert_unpacked(image, plain())
