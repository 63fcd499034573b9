from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writers.containers import entry, overwritten, sample_disc, with_entry
from writers.containers import jiso as write
from writers.sources import Memory, assert_same, damaged_blocks

from isofs import limits
from isofs.errors import ImageError, IsofsError, UnsupportedError
from isofs.image import jiso
from isofs.image.cache import BlockCache
from isofs.image.disc import Disc

DISC = sample_disc(40)
TAILED = sample_disc(41, tail=700)
METHODS: tuple[Literal[0, 1], ...] = (0, 1)
BOTH = pytest.mark.parametrize("method", METHODS, ids=["LZO1X", "deflate"])


def opened(image: bytes) -> Disc:
    source = Memory(image)
    return Disc(source, jiso.open_map(source), BlockCache(1 << 20))


@BOTH
@pytest.mark.parametrize("block_size", [512, 2048, 4096, 8192, 32768, 65535])
@pytest.mark.parametrize("block_headers", [False, True])
def test_both_methods_with_and_without_block_headers(
    method: Literal[0, 1], block_size: int, block_headers: bool
) -> None:
    disc = opened(write(TAILED, method=method, block_size=block_size, block_headers=block_headers))
    assert disc.blocks.format == ("JISO with deflate" if method else "JISO with LZO1X")
    assert disc.blocks.block_size == block_size
    assert_same(disc, TAILED)


@BOTH
def test_last_block_shorter_than_a_block_reads_to_its_end(method: Literal[0, 1]) -> None:
    plain = sample_disc(42)[:-100]  # its last sector is nearly empty, so it is stored compressed
    assert_same(opened(write(plain, method=method, pad_last_block=False)), plain)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_any_disc_reads_as_itself(data: st.DataObject) -> None:
    plain = sample_disc(
        data.draw(st.integers(1, 20), "sectors"),
        tail=data.draw(st.integers(0, 2047), "tail"),
        seed=data.draw(st.integers(0, 9), "seed"),
    )
    image = write(
        plain,
        method=data.draw(st.sampled_from(METHODS), "method"),
        block_size=data.draw(st.sampled_from((512, 1000, 2048, 2352, 16384)), "block size"),
        block_headers=data.draw(st.booleans(), "block headers"),
    )
    assert_same(opened(image), plain, seed=data.draw(st.integers(0, 99), "ranges"), ranges=10)


# --- damage ---------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("block_headers", [False, True])
@pytest.mark.parametrize("value", [0, 47, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_bad_entry_costs_its_own_block_and_the_one_before(
    method: Literal[0, 1], block_headers: bool, value: int
) -> None:
    image = write(DISC, method=method, block_headers=block_headers)
    damaged = damaged_blocks(opened(with_entry(image, 20, value, index_at=48)), DISC, 2048)
    assert damaged == [19, 20]


@pytest.mark.parametrize("more", [0, 2, 4])
def test_block_shorter_than_its_header_is_an_error(more: int) -> None:
    image = write(DISC, block_headers=True)
    image = with_entry(image, 21, entry(image, 20, index_at=48) + more, index_at=48)
    with pytest.raises(ImageError):
        opened(image).pread(2048, 20 * 2048)


@BOTH
def test_damaged_stream_costs_its_own_block(method: Literal[0, 1]) -> None:
    image = write(DISC, method=method)
    at, end = entry(image, 18, index_at=48), entry(image, 19, index_at=48)
    assert damaged_blocks(opened(overwritten(image, at, b"\xff" * (end - at))), DISC, 2048) == [18]


@BOTH
def test_truncated_image_reads_up_to_where_it_ends(method: Literal[0, 1]) -> None:
    image = write(DISC, method=method)
    disc = opened(image[: entry(image, 30, index_at=48) + 3])
    assert damaged_blocks(disc, DISC, 2048) == list(range(30, 40))


def test_truncated_image_is_said() -> None:
    image = write(DISC)
    disc = opened(image[: entry(image, 30, index_at=48) + 3])
    assert "truncated: 30 of 40 blocks are present" in " ".join(disc.blocks.warnings)


@settings(deadline=None, max_examples=80)
@given(
    method=st.sampled_from(METHODS),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    in_head=st.booleans(),
    cut=st.none() | st.floats(0, 1),
)
def test_damage_anywhere_is_an_error_of_the_image_and_nothing_else(
    method: Literal[0, 1], changes: list[tuple[float, int]], in_head: bool, cut: float | None
) -> None:
    image = bytearray(write(TAILED, method=method))
    for place, value in changes:
        image[int(place * (48 + 4 * 43 if in_head else len(image)))] = value
    if cut is not None:
        del image[int(cut * len(image)) :]
    try:
        disc = opened(bytes(image))
    except IsofsError:
        return
    for at in range(0, min(disc.size, 200_000), 2048):
        try:
            found = disc.pread(2048, at)
        except ImageError:
            continue
        assert len(found) == min(2048, disc.size - at)


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [4, 47, 48, 48 + 4 * 41 - 1])
def test_head_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(ImageError, match="truncated"):
        jiso.open_map(Memory(write(DISC)[:length]))


@pytest.mark.parametrize("block_size", [0, 1, limits.BLOCK_SIZE.start - 1])
def test_block_size_below_its_limit_is_refused(block_size: int) -> None:
    with pytest.raises(ImageError, match="damaged JISO header"):
        jiso.open_map(Memory(overwritten(write(DISC), 6, block_size.to_bytes(2, "little"))))


def test_disc_of_no_bytes_is_refused() -> None:
    with pytest.raises(ImageError, match="damaged JISO header: 0 bytes"):
        jiso.open_map(Memory(overwritten(write(DISC), 12, bytes(4))))


@pytest.mark.parametrize("method", [2, 255])
def test_unknown_method_is_refused_by_its_number(method: int) -> None:
    with pytest.raises(UnsupportedError, match=f"JISO compression method {method} is unknown"):
        jiso.open_map(Memory(write(DISC, claimed_method=method)))


def test_index_that_cannot_fit_is_refused_before_it_is_read() -> None:
    source = Memory(overwritten(write(DISC), 12, b"\xff\xff\xff\xff"))
    with pytest.raises(ImageError, match="does not fit"):
        jiso.open_map(source)
    assert sum(n for n, _ in source.reads) < 100
