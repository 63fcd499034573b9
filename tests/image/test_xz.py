from __future__ import annotations

import lzma
import random
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writers.containers import overwritten, sample_disc
from writers.sources import Memory, assert_right_or_lost, assert_same, damaged
from writers.tools import require

from isofs import limits
from isofs.errors import ImageError, IsofsError, UnsupportedError
from isofs.image import xz
from isofs.image.cache import BlockCache
from isofs.image.disc import Disc

DISC = sample_disc(400, tail=700)


def opened(image: bytes) -> Disc:
    source = Memory(image)
    return Disc(source, xz.open_map(source), BlockCache(1 << 22))


def stream(disc: bytes, check: int = lzma.CHECK_CRC64, preset: int = 1) -> bytes:
    """A stream of one block."""
    return lzma.compress(disc, check=check, preset=preset)


def streams(disc: bytes, size: int, *, padding: int = 0, check: int = lzma.CHECK_CRC64) -> bytes:
    """A stream for each `size` bytes, `padding` zeros behind it."""
    return b"".join(stream(disc[at : at + size], check) + bytes(padding) for at in range(0, len(disc), size))


def by_tool(tmp_path: Path, *command: str, disc: bytes = DISC) -> bytes:
    path = tmp_path / "disc.iso"
    path.write_bytes(disc)
    return subprocess.run([require(command[0]), *command[1:], str(path)], capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    "command",
    [
        ("xz", "-c1", "--block-size=64KiB"),
        ("xz", "-c1", "-T2", "--block-size=100000", "--check=sha256"),
        ("xz", "-c1", "--block-list=1000,300000,5,0"),
        ("xz", "-c1", "--block-size=64KiB", "--check=none"),
        ("xz", "-c", "--block-size=64KiB", "--x86", "--lzma2=preset=1"),
    ],
)
def test_blocks_that_xz_writes_are_read(tmp_path: Path, command: tuple[str, ...]) -> None:
    disc = opened(by_tool(tmp_path, *command))
    assert disc.blocks.format == "xz"
    assert_same(disc, DISC)


def test_blocks_that_threads_of_xz_write_are_read(tmp_path: Path) -> None:
    long = random.Random(1).randbytes(1 << 20) * 4
    assert_same(opened(by_tool(tmp_path, "xz", "-c0", "-T2", disc=long)), long, ranges=5)


def test_what_pixz_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "disc.iso").write_bytes(DISC)
    subprocess.run(
        [require("pixz"), "-1", "-t", "-f", "0.1", str(tmp_path / "disc.iso"), str(tmp_path / "disc.xz")], check=True
    )
    assert_same(opened((tmp_path / "disc.xz").read_bytes()), DISC)


@pytest.mark.parametrize("padding", [0, 4, 1000, 40_000])
@pytest.mark.parametrize("check", [lzma.CHECK_NONE, lzma.CHECK_CRC32, lzma.CHECK_SHA256])
def test_streams_behind_each_other_are_one_disc(padding: int, check: int) -> None:
    assert_same(opened(streams(DISC, 100_000, padding=padding, check=check)), DISC)


def test_empty_streams_are_passed_over() -> None:
    empty = stream(b"")
    assert_same(opened(empty + streams(DISC, 300_000) + empty), DISC)
    with pytest.raises(ImageError, match="holds nothing"):
        opened(empty)


def test_opening_reads_the_index_alone() -> None:
    source = Memory(streams(random.Random(1).randbytes(1 << 20), 1 << 19))
    xz.open_map(source)
    assert sum(n for n, _ in source.reads) < 200_000


def test_one_block_is_refused_with_the_command_that_makes_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LONE_MEMBER", len(DISC) - 1)
    image = by_tool(tmp_path, "xz", "-c1")
    with pytest.raises(UnsupportedError, match=r"one block.*xz -dc IMAGE \| xz -T0 --block-size=1MiB > NEW.iso.xz"):
        opened(image)
    (tmp_path / "IMAGE").write_bytes(image)
    subprocess.run("xz -dc IMAGE | xz -1 -T0 --block-size=64KiB > NEW.iso.xz", shell=True, cwd=tmp_path, check=True)
    assert_same(opened((tmp_path / "NEW.iso.xz").read_bytes()), DISC)


def test_one_block_that_is_small_is_read(tmp_path: Path) -> None:
    assert_same(opened(by_tool(tmp_path, "xz", "-c1")), DISC)


def test_dictionary_that_takes_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    image = streams(DISC, 300_000)
    monkeypatch.setattr(limits, "XZ_MEMORY", 500_000)
    with pytest.raises(UnsupportedError, match="dictionary that takes more than 0 MiB"):
        opened(image)


def test_large_blocks_are_read_in_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STRETCH", 500_000)
    monkeypatch.setattr(xz, "_PIECE", 100_000)
    monkeypatch.setattr(xz, "_SLOW", 600_000)
    long = DISC[:700_000] * 2
    disc = opened(streams(long, 700_000))
    assert "slow: it is compressed in blocks of 0 MiB" in disc.blocks.warnings[0]
    assert_same(disc, long)
    monkeypatch.setattr(limits, "XZ_BLOCK", 600_000)
    with pytest.raises(UnsupportedError, match="blocks of 0 MiB"):
        opened(streams(long, 700_000))


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 4, 12, 500, 100_000])
def test_file_that_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(ImageError, match="damaged"):
        opened(streams(DISC, 300_000)[:-cut])


def test_damaged_block_is_an_error_and_the_others_are_right() -> None:
    image = streams(DISC, 300_000, check=lzma.CHECK_CRC32)
    disc = opened(overwritten(image, 1000, bytes((image[1000] ^ 1,))))
    with pytest.raises(ImageError, match=r"block 0 of the xz file at byte 12: damaged"):
        disc.blocks.read(10, 299_990)  # type: ignore[misc]
    assert disc.blocks.read(1000, 300_000) == DISC[300_000:301_000]  # type: ignore[misc]


def test_check_of_a_block_is_compared() -> None:
    first = stream(DISC[:300_000], lzma.CHECK_CRC32)
    index_size = 4 * (int.from_bytes(first[-8:-4], "little") + 1)
    at = len(first) - 12 - index_size - 4
    image = overwritten(first, at, bytes((first[at] ^ 1,))) + stream(DISC[300_000:])
    with pytest.raises(ImageError, match="damaged"):
        opened(image).pread(10, 0)


def number(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes((*encoded, value))


def with_index(blocks: bytes, records: list[tuple[int, int]], *, count: int | None = None) -> bytes:
    """A stream around stored blocks, with whatever index."""
    flags = b"\0\4"
    index = b"\0" + number(len(records) if count is None else count)
    index += b"".join(number(unpadded) + number(size) for unpadded, size in records)
    index += bytes(-len(index) % 4)
    index += struct.pack("<I", zlib.crc32(index))
    end = struct.pack("<I", len(index) // 4 - 1) + flags
    head = b"\xfd7zXZ\0" + flags + struct.pack("<I", zlib.crc32(flags))
    return head + blocks + index + struct.pack("<I", zlib.crc32(end)) + end + b"YZ"


def block(data: bytes) -> tuple[bytes, int]:
    """A stored block, and its size without padding."""
    whole = stream(data)
    index_size = 4 * (int.from_bytes(whole[-8:-4], "little") + 1)
    stored = whole[12 : -12 - index_size]
    for unpadded in range(len(stored) - 3, len(stored) + 1):
        if with_index(stored, [(unpadded, len(data))]) == whole:
            return stored, unpadded
    raise AssertionError


def test_index_that_tells_other_sizes_than_the_blocks_is_an_error() -> None:
    one, a = block(DISC[:50_000])
    two, b = block(DISC[50_000:90_000])
    assert_same(opened(with_index(one + two, [(a, 50_000), (b, 40_000)])), DISC[:90_000])
    for sizes in ((49_999, 40_001), (50_001, 40_000), (1, 40_000), (200_000_000, 40_000)):
        disc = opened(with_index(one + two, [(a, sizes[0]), (b, sizes[1])]))
        with pytest.raises(ImageError, match="damaged"):
            disc.pread(10, 0)


@pytest.mark.parametrize(
    ("records", "count"),
    [
        ([(4, 100), (100, 100)], None),
        ([(100, 1 << 60), (100, 1 << 60)], None),
        ([(1 << 62, 100), (100, 100)], None),
        ([(100, 100)], 1 << 50),
        ([(100, 100)], 2),
        ([(1 << 70, 100)], None),
    ],
)
def test_impossible_index_is_refused(records: list[tuple[int, int]], count: int | None) -> None:
    with pytest.raises(ImageError, match="damaged"):
        opened(with_index(bytes(1000), records, count=count))


def test_footer_that_tells_an_index_of_no_record_is_refused() -> None:
    tail = bytes(4) + b"\0\4"  # an index of 4 bytes: nothing but its checksum, that of nothing
    image = DISC[:100] + bytes(4) + struct.pack("<I", zlib.crc32(tail)) + tail + b"YZ"
    with pytest.raises(ImageError, match="index of 4 bytes"):
        opened(image)


def test_number_of_blocks_and_streams_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    image = streams(DISC, 100_000)
    monkeypatch.setattr(limits, "MEMBERS", 5)
    with pytest.raises(UnsupportedError, match="more than 5 blocks"):
        opened(image)
    monkeypatch.setattr(limits, "MEMBERS", 1000)
    monkeypatch.setattr(limits, "XZ_STREAMS", 5)
    with pytest.raises(UnsupportedError):
        opened(image)


_SMALL = DISC[:60_000]
_IMAGE = streams(_SMALL, 25_000)


@settings(deadline=None, max_examples=80)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
    cut=st.none() | st.floats(0, 1),
)
def test_damage_gives_errors_of_the_image_or_right_bytes(changes: list[tuple[float, int]], cut: float | None) -> None:
    image = damaged(_IMAGE, changes, cut)
    try:
        disc = opened(image)
    except IsofsError:
        return
    assert disc.blocks.read is not None
    assert_right_or_lost(disc.blocks.read, disc.size, _SMALL, 5000)
