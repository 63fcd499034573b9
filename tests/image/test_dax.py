from __future__ import annotations

import random
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writers.containers import (
    DAX_FRAME,
    entry,
    overwritten,
    raw_deflate,
    sample_disc,
    with_entry,
)
from writers.containers import (
    dax as write,
)
from writers.sources import Memory, assert_same, damaged_blocks

from isofs.errors import ImageError, IsofsError, UnsupportedError
from isofs.image import dax
from isofs.image.cache import BlockCache
from isofs.image.disc import Disc

DISC = sample_disc(40)
TAILED = sample_disc(41, tail=700)
FRAMES = 10


def opened(image: bytes) -> Disc:
    source = Memory(image)
    return Disc(source, dax.open_map(source), BlockCache(1 << 20))


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("plain", [DISC, TAILED, DISC[:1], DISC[:DAX_FRAME]])
@pytest.mark.parametrize("pad_last_frame", [False, True])
def test_both_versions_read_to_the_last_byte(version: int, plain: bytes, pad_last_frame: bool) -> None:
    disc = opened(write(plain, version=version, pad_last_frame=pad_last_frame))
    assert disc.blocks.format == f"DAX version {version}"
    assert disc.blocks.warnings == ()
    assert_same(disc, plain)


def test_frames_of_version_0_that_grew_are_read() -> None:
    incompressible = random.Random(1).randbytes(40_000)
    image = write(incompressible, codec=lambda data: b"\x78\x01" + _stored(data))
    assert len(image) > len(incompressible)
    assert_same(opened(image), incompressible)


def _stored(data: bytes) -> bytes:
    """Deflate without compression in small pieces, and its checksum."""
    pieces = [data[i : i + 1000] for i in range(0, len(data), 1000)]
    stream = b"".join(
        struct.pack("<BHH", i == len(pieces) - 1, len(piece), len(piece) ^ 0xFFFF) + piece
        for i, piece in enumerate(pieces)
    )
    return stream + zlib.adler32(data).to_bytes(4, "big")


@pytest.mark.parametrize(
    "areas", [[(0, 1)], [(1, 2), (5, 1)], [(0, 11)], [(10, 1)], [(3, 2), (3, 2)], [(2, 4), (4, 3)], [(11, 0)]]
)
@pytest.mark.parametrize("pad_last_frame", [False, True])
def test_frames_of_areas_are_plain(areas: list[tuple[int, int]], pad_last_frame: bool) -> None:
    assert_same(opened(write(TAILED, version=1, areas=areas, pad_last_frame=pad_last_frame)), TAILED)


def test_areas_in_a_version_0_file_count_when_the_data_begin_behind_them() -> None:
    assert_same(opened(write(DISC, version=0, areas=[(1, 3), (7, 1)])), DISC)


def test_number_of_areas_in_a_version_0_file_without_a_list_is_ignored() -> None:
    assert_same(opened(write(DISC, version=0, claimed_areas=3)), DISC)
    assert_same(opened(write(DISC, version=0, claimed_areas=2**32 - 1)), DISC)


@pytest.mark.parametrize("areas", [[(FRAMES + 1, 0)], [(0, FRAMES + 1)], [(FRAMES, 1)], [(2**32 - 1, 2**32 - 1)]])
def test_area_beyond_the_frames_is_refused(areas: list[tuple[int, int]]) -> None:
    image = write(DISC, version=1, areas=[(0, 0)])
    image = overwritten(image, 32 + 6 * FRAMES, struct.pack("<II", *areas[0]))
    with pytest.raises(ImageError, match="damaged DAX list of areas"):
        dax.open_map(Memory(image))


@pytest.mark.parametrize("areas", [FRAMES + 1, 2**32 - 1])
def test_more_areas_than_frames_are_refused(areas: int) -> None:
    with pytest.raises(ImageError, match="areas in 10 frames"):
        dax.open_map(Memory(write(DISC, version=1, claimed_areas=areas)))


def test_list_of_areas_that_is_cut_off_is_refused() -> None:
    image = write(DISC, version=1, areas=[(1, 1), (2, 1)])
    with pytest.raises(ImageError, match="ends inside its list of areas"):
        dax.open_map(Memory(image[: 32 + 6 * FRAMES + 15]))


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [0, 31, 32 + 6 * FRAMES - 1, 0xFFFF_FFFF])
def test_bad_position_costs_its_own_frame(position: int) -> None:
    image = with_entry(write(DISC), 4, position, index_at=32)
    assert damaged_blocks(opened(image), DISC, DAX_FRAME) == [4]


@pytest.mark.parametrize("length", [0, 1, 100])
def test_bad_length_costs_its_own_frame(length: int) -> None:
    image = overwritten(write(DISC), 32 + 4 * FRAMES + 2 * 4, struct.pack("<H", length))
    assert damaged_blocks(opened(image), DISC, DAX_FRAME) == [4]


def test_plain_frame_that_is_too_short_is_an_error() -> None:
    image = write(DISC, version=1, areas=[(4, 1)])
    image = overwritten(image, 32 + 4 * FRAMES + 2 * 4, struct.pack("<H", DAX_FRAME - 1))
    assert damaged_blocks(opened(image), DISC, DAX_FRAME) == [4]


def test_wrong_checksum_costs_its_own_frame() -> None:
    image = write(DISC)
    at = entry(image, 5, index_at=32) - 1
    image = overwritten(image, at, bytes((image[at] ^ 1,)))
    assert damaged_blocks(opened(image), DISC, DAX_FRAME) == [4]


def test_raw_streams_without_a_header_are_errors() -> None:
    assert damaged_blocks(opened(write(DISC, codec=raw_deflate)), DISC, DAX_FRAME) == list(range(FRAMES))


def test_plain_frame_outside_the_areas_is_an_error() -> None:
    image = write(DISC, version=1, areas=[(4, 1)])
    image = overwritten(image, 32 + 6 * FRAMES, struct.pack("<II", 4, 0))
    assert damaged_blocks(opened(image), DISC, DAX_FRAME) == [4]


def test_truncated_image_reads_up_to_where_it_ends() -> None:
    image = write(DISC)
    disc = opened(image[: entry(image, 7, index_at=32) + 3])
    assert "truncated: 7 of 10 blocks are present" in " ".join(disc.blocks.warnings)
    assert damaged_blocks(disc, DISC, DAX_FRAME) == [7, 8, 9]


@settings(deadline=None, max_examples=80)
@given(
    version=st.integers(0, 1),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    in_head=st.booleans(),
    cut=st.none() | st.floats(0, 1),
)
def test_damage_anywhere_is_an_error_of_the_image_and_nothing_else(
    version: int, changes: list[tuple[float, int]], in_head: bool, cut: float | None
) -> None:
    image = bytearray(write(TAILED, version=version, areas=[(2, 3)]))
    for place, value in changes:
        image[int(place * (32 + 6 * 11 + 8 if in_head else len(image)))] = value
    if cut is not None:
        del image[int(cut * len(image)) :]
    try:
        disc = opened(bytes(image))
    except IsofsError:
        return
    for at in range(0, min(disc.size, 200_000), DAX_FRAME):
        try:
            found = disc.pread(DAX_FRAME, at)
        except ImageError:
            continue
        assert len(found) == min(DAX_FRAME, disc.size - at)


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [4, 31, 32, 32 + 6 * FRAMES - 1])
def test_head_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(ImageError, match="truncated"):
        dax.open_map(Memory(write(DISC)[:length]))


def test_disc_of_no_bytes_is_refused() -> None:
    with pytest.raises(ImageError, match="0 bytes"):
        dax.open_map(Memory(overwritten(write(DISC), 4, bytes(4))))


def test_tables_that_cannot_fit_are_refused_before_they_are_read() -> None:
    source = Memory(overwritten(write(DISC), 4, b"\xff\xff\xff\xff"))
    with pytest.raises(ImageError, match="tables of 524288 frames do not fit"):
        dax.open_map(source)
    assert sum(n for n, _ in source.reads) < 100


@pytest.mark.parametrize("version", [2, 2**32 - 1])
def test_unknown_version_is_refused_by_its_number(version: int) -> None:
    with pytest.raises(UnsupportedError, match=f"DAX version {version} is unknown"):
        dax.open_map(Memory(overwritten(write(DISC), 8, struct.pack("<I", version))))
