from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writers.containers import overwritten, sample_disc
from writers.sources import Memory, assert_right_or_lost, assert_same, damaged
from writers.tools import require

from isofs import limits
from isofs.errors import ImageError, IsofsError, UnsupportedError
from isofs.image import codecs, zstd
from isofs.image.blockmap import ZSTD
from isofs.image.cache import BlockCache
from isofs.image.disc import Disc
from isofs.image.source import FileSource
from isofs.image.wishes import Wishes

DISC = sample_disc(400, tail=700)
WISHES = Wishes(keep_index=False)

codecs.require(ZSTD)
_library = codecs._modules[ZSTD]


def opened(image: bytes) -> Disc:
    source = Memory(image)
    return Disc(source, zstd.open_map(source, WISHES), BlockCache(1 << 22))


def frame(data: bytes, *, told: bool = True, checksum: bool = True) -> bytes:
    """A frame; `told`: whether its header tells the content size."""
    assert _library is not None
    parameter = _library.CompressionParameter
    compressor = _library.ZstdCompressor(
        options={parameter.content_size_flag: int(told), parameter.checksum_flag: int(checksum)}
    )
    made: bytes = compressor.compress(data, compressor.FLUSH_FRAME) if told else compressor.compress(data)
    return made if told else made + compressor.flush()


def skippable(data: bytes, kind: int = 0) -> bytes:
    return struct.pack("<II", 0x184D2A50 + kind, len(data)) + data


def pieces_of(disc: bytes, sizes: list[int]) -> list[bytes]:
    pieces: list[bytes] = []
    at = 0
    while at < len(disc):
        pieces.append(disc[at : at + sizes[len(pieces) % len(sizes)]])
        at += len(pieces[-1])
    return pieces


def seekable(pieces: list[bytes], *, checksums: bool = False, table: list[tuple[int, int]] | None = None) -> bytes:
    """The seekable format."""
    frames = [frame(piece) for piece in pieces]
    rows = table or [(len(stored), len(piece)) for stored, piece in zip(frames, pieces, strict=True)]
    entries = b"".join(struct.pack("<II", *row) + b"sum!" * checksums for row in rows)
    return b"".join(frames) + skippable(entries + struct.pack("<IBI", len(rows), 0x80 * checksums, 0x8F92EAB1), 14)


@pytest.mark.parametrize("sizes", [[65_536], [100_000, 1], [1000, 200_000, 30]])
@pytest.mark.parametrize("checksums", [False, True])
def test_seekable_format_is_read(sizes: list[int], checksums: bool) -> None:
    disc = opened(seekable(pieces_of(DISC, sizes), checksums=checksums))
    assert disc.blocks.format == "zstd, seekable"
    assert (disc.blocks.starts is None) == (len(sizes) == 1)
    assert_same(disc, DISC)


def test_seekable_format_is_opened_by_its_table_alone() -> None:
    source = Memory(seekable(pieces_of(random.Random(1).randbytes(1 << 20), [65_536])))
    zstd.open_map(source, WISHES)
    assert sum(n for n, _ in source.reads) < 1000


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("checksum", [False, True])
def test_frames_without_a_table_are_walked(told: bool, checksum: bool) -> None:
    frames = [frame(piece, told=told, checksum=checksum) for piece in pieces_of(DISC, [150_000, 3, 100_000])]
    disc = opened(skippable(b"hello") + b"".join(stored + skippable(b"") for stored in frames))
    assert disc.blocks.format == "zstd in frames"
    assert_same(disc, DISC)


def test_walk_over_frames_that_tell_their_size_decodes_nothing() -> None:
    image = b"".join(frame(piece) for piece in pieces_of(random.Random(1).randbytes(2 << 20), [1 << 20]))
    source = Memory(image)
    zstd.open_map(source, WISHES)
    assert sum(n for n, _ in source.reads) < len(image) // 10


def test_what_pzstd_writes_is_read(tmp_path: Path) -> None:
    long = random.Random(1).randbytes(1 << 20) * 9 + DISC
    (tmp_path / "disc.iso").write_bytes(long)
    subprocess.run([require("pzstd"), "-q", "-1", "-p2", "disc.iso", "-o", "disc.zst"], cwd=tmp_path, check=True)
    disc = opened((tmp_path / "disc.zst").read_bytes())
    assert disc.blocks.count > 1
    assert_same(disc, long, ranges=10)


def test_one_frame_is_refused_with_the_command_that_makes_several(tmp_path: Path) -> None:
    require("pzstd")
    long = random.Random(1).randbytes(1 << 20) * 9
    (tmp_path / "disc.iso").write_bytes(long)
    subprocess.run([require("zstd"), "-q", "-1", "disc.iso", "-o", "IMAGE"], cwd=tmp_path, check=True)
    with pytest.raises(UnsupportedError, match=r"one frame.*rewrite it in frames: zstd -dc IMAGE \| pzstd > NEW"):
        opened((tmp_path / "IMAGE").read_bytes())
    with pytest.raises(UnsupportedError, match="one frame"):
        opened(frame(long, told=False))
    subprocess.run("zstd -dc IMAGE | pzstd > NEW.iso.zst", shell=True, cwd=tmp_path, check=True, capture_output=True)
    assert_same(opened((tmp_path / "NEW.iso.zst").read_bytes()), long, ranges=5)


@pytest.mark.parametrize("told", [True, False])
def test_one_frame_that_is_small_is_read(told: bool) -> None:
    disc = opened(frame(DISC, told=told))
    assert disc.blocks.count == 1
    assert_same(disc, DISC)


def test_a_small_file_of_one_large_frame_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="one frame"):
        opened(frame(bytes(limits.LONE_MEMBER + 1), told=False))


def test_sizes_that_a_pass_found_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "disc.zst"
    path.write_bytes(b"".join(frame(piece, told=False) for piece in pieces_of(DISC, [100_000])))
    with FileSource(str(path)) as source:
        zstd.open_map(source, Wishes())
        monkeypatch.setattr(zstd._Walk, "_decode", None)
        assert_same(Disc(source, zstd.open_map(source, Wishes()), BlockCache(1 << 22)), DISC)


# --- damage ---------------------------------------------------------------------------------------------------------


def test_table_that_tells_other_sizes_than_the_frames_is_an_error() -> None:
    pieces = pieces_of(DISC[:300_000], [100_000])
    rows = [(len(frame(piece)), len(piece)) for piece in pieces]
    rows[1] = (rows[1][0], 100_001)
    disc = opened(seekable(pieces, table=rows))
    assert disc.pread(100, 0) == DISC[:100]
    with pytest.raises(ImageError):
        disc.pread(100, 100_000)


@pytest.mark.parametrize("rows", [[(10, 100), (10, 100)], [(0xFFFF_FFFF, 1), (1, 1)]])
def test_table_that_does_not_cover_the_file_is_refused(rows: list[tuple[int, int]]) -> None:
    with pytest.raises(ImageError, match="the seek table tells"):
        opened(seekable(pieces_of(DISC, [300_000]), table=rows))


def test_table_that_cannot_fit_is_refused_before_it_is_read() -> None:
    image = bytearray(seekable(pieces_of(DISC, [300_000])))
    image[-9:-5] = b"\xff\xff\xff\xff"
    source = Memory(bytes(image))
    with pytest.raises(ImageError, match="4294967295 zstd frames does not fit"):
        zstd.open_map(source, WISHES)
    assert sum(n for n, _ in source.reads) < 100


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("cut", [1, 4, 1000])
def test_file_that_is_cut_off_is_refused(told: bool, cut: int) -> None:
    frames = [frame(piece, told=told) for piece in pieces_of(DISC, [300_000])]
    with pytest.raises(ImageError, match="truncated"):
        opened(b"".join(frames)[:-cut])


def test_bytes_that_are_no_frame_are_refused() -> None:
    frames = [frame(piece) for piece in pieces_of(DISC, [300_000])]
    with pytest.raises(ImageError, match="no zstd frame begins at byte"):
        opened(b"".join(frames) + b"junk that is no frame")


def test_damaged_frame_is_an_error_and_the_others_are_right() -> None:
    frames = [frame(piece) for piece in pieces_of(DISC[:300_000], [100_000])]
    at = len(frames[0]) + 3000
    image = b"".join(frames)
    disc = opened(overwritten(image, at, bytes((image[at] ^ 1,))))
    with pytest.raises(ImageError):
        disc.pread(100, 150_000)
    assert disc.pread(100, 250_000) == DISC[250_000:250_100]


@pytest.mark.parametrize("told", [False, True])
def test_sizes_of_frames_and_their_number_are_bounded(told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    image = b"".join(frame(piece, told=told) for piece in pieces_of(DISC, [100_000]))
    monkeypatch.setattr(limits, "MEMBER_SIZE", 99_999)
    with pytest.raises(UnsupportedError, match="frames of more than 99999 bytes"):
        opened(image)
    monkeypatch.setattr(limits, "MEMBER_SIZE", 100_000)
    monkeypatch.setattr(limits, "MEMBERS", 5)
    with pytest.raises(UnsupportedError, match="more than 5 frames"):
        opened(image)


def test_pass_over_a_bomb_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PASS_SIZE", 1 << 20)
    with pytest.raises(ImageError, match="holds more than 1048576 bytes"):
        opened(frame(bytes(700_000), told=False) * 2)


def test_blocks_that_hold_nothing_end_the_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MEMBERS", 100)
    hostile = b"\x28\xb5\x2f\xfd\x20\5" + bytes(3) * 100_000
    with pytest.raises(ImageError, match="too many zstd blocks"):
        opened(hostile)


def test_window_and_dictionary_that_are_not_read_are_refused() -> None:
    two = frame(DISC[:1000]) + frame(DISC[1000:2000])
    with pytest.raises(UnsupportedError, match="window of 128 MiB"):
        opened(b"\x28\xb5\x2f\xfd\0\x88\1\0\0" + two)
    with pytest.raises(UnsupportedError, match="dictionary"):
        opened(b"\x28\xb5\x2f\xfd\x21\7\5\1\0\0" + two)


_SMALL = DISC[:60_000]
_IMAGES = {
    "seekable": seekable(pieces_of(_SMALL, [25_000])),
    "told": b"".join(map(frame, pieces_of(_SMALL, [25_000]))),
    "not told": b"".join(frame(piece, told=False) for piece in pieces_of(_SMALL, [25_000])),
}


@settings(deadline=None, max_examples=100)
@given(
    kind=st.sampled_from(sorted(_IMAGES)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
    cut=st.none() | st.floats(0, 1),
)
def test_damage_gives_errors_of_the_image_or_right_bytes(
    kind: str, changes: list[tuple[float, int]], cut: float | None
) -> None:
    image = damaged(_IMAGES[kind], changes, cut)
    try:
        disc = opened(image)
    except IsofsError:
        return
    assert_right_or_lost(disc.pread, disc.size, _SMALL, 5000)
