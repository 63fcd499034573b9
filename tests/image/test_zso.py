from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writers.containers import (
    FLAG,
    Codec,
    LastEntry,
    cso,
    cso_header,
    entry,
    lz4_block,
    lz4_with_size,
    lzo_block,
    overwritten,
    sample_disc,
    with_entry,
)
from writers.containers import (
    zso as write,
)
from writers.sources import Memory, assert_same, damaged_blocks

from isofs import limits
from isofs.errors import ImageError, IsofsError, UnsupportedError
from isofs.image import zso
from isofs.image.cache import BlockCache
from isofs.image.disc import Disc

DISC = sample_disc(41)
TAILED = sample_disc(41, tail=700)
BOTH = pytest.mark.parametrize("codec", [lz4_block, lzo_block], ids=["LZ4", "LZO1X"])


def opened(image: bytes) -> Disc:
    source = Memory(image)
    return Disc(source, zso.open_map(source), BlockCache(1 << 20))


@BOTH
@pytest.mark.parametrize("block_size", [512, 2048, 2352, 16384, 32768])
@pytest.mark.parametrize("pad_last_block", [False, True])
def test_every_block_size_reads_to_the_last_byte(codec: Codec, block_size: int, pad_last_block: bool) -> None:
    disc = opened(write(TAILED, codec=codec, block_size=block_size, pad_last_block=pad_last_block))
    assert disc.blocks.format == ("ZSO" if codec is lz4_block else "ZSO with LZO1X (DreamShell)")
    assert_same(disc, TAILED)


@BOTH
@pytest.mark.parametrize("padding", [b"\0", b"\1", b"X", b"\xff"])
@pytest.mark.parametrize("shift", [1, 2, 4, 11])
@pytest.mark.parametrize("pad_last_block", [False, True])
def test_alignment_padding_of_any_value_is_passed_over(
    codec: Codec, padding: bytes, shift: int, pad_last_block: bool
) -> None:
    image = write(TAILED, codec=codec, block_size=4096, shift=shift, padding=padding, pad_last_block=pad_last_block)
    assert_same(opened(image), TAILED)


@BOTH
@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize("last_entry", ["rounded down", "rounded up", "zero", "flagged"])
def test_last_entry_that_is_not_sound_still_gives_the_last_block(
    codec: Codec, shift: int, last_entry: LastEntry
) -> None:
    assert_same(opened(write(TAILED, codec=codec, shift=shift, last_entry=last_entry)), TAILED)


@BOTH
def test_bytes_behind_the_last_block_are_ignored(codec: Codec) -> None:
    assert_same(opened(write(TAILED, codec=codec, trailing=b"\x11" * 4000)), TAILED)


@BOTH
def test_last_entry_of_zero_with_bytes_behind_the_last_block(codec: Codec) -> None:
    plain = sample_disc(42)  # the last sector is nearly empty
    assert_same(opened(write(plain, codec=codec, last_entry="zero", trailing=bytes(1000))), plain)


@BOTH
def test_plain_and_compressed_blocks_in_turn(codec: Codec) -> None:
    assert_same(opened(write(TAILED, codec=codec, plain_every=2)), TAILED)


def test_plain_blocks_alone_need_no_codec() -> None:
    disc = opened(write(TAILED, plain_every=1))
    assert disc.blocks.format == "ZSO"
    assert_same(disc, TAILED)


def test_blocks_behind_their_decoded_size_are_tolerated() -> None:
    assert_same(opened(write(DISC, codec=lz4_with_size)), DISC)


def test_short_last_block_behind_its_decoded_size_is_tolerated() -> None:
    assert_same(opened(write(TAILED, codec=lz4_with_size)), TAILED)


def test_tail_that_the_writer_left_out_is_an_error_and_is_said() -> None:
    disc = opened(write(TAILED, block_size=4096, index="floor"))
    assert "never stored" in " ".join(disc.blocks.warnings)
    assert damaged_blocks(disc, TAILED, 4096) == [20]


def test_index_of_zeros_is_refused() -> None:
    with pytest.raises(ImageError, match="the compressor did not finish"):
        zso.open_map(Memory(write(DISC, index="zeros")))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_disc_in_any_container_reads_as_itself(data: st.DataObject) -> None:
    plain = sample_disc(
        data.draw(st.integers(1, 20), "sectors"),
        tail=data.draw(st.integers(0, 2047), "tail"),
        seed=data.draw(st.integers(0, 9), "seed"),
    )
    image = write(
        plain,
        codec=data.draw(st.sampled_from((lz4_block, lzo_block)), "codec"),
        block_size=data.draw(st.sampled_from((512, 1000, 2048, 2352, 16384)), "block size"),
        shift=data.draw(st.integers(0, 9), "shift"),
        padding=bytes((data.draw(st.integers(0, 255), "padding"),)),
        plain_every=data.draw(st.integers(0, 4), "plain every"),
        pad_last_block=data.draw(st.booleans(), "pad last block"),
        last_entry=data.draw(st.sampled_from(("sound", "rounded down", "rounded up", "flagged")), "last entry"),
    )
    assert_same(opened(image), plain, seed=data.draw(st.integers(0, 99), "ranges"), ranges=10)


# --- damage ---------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("value", [0, FLAG, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_bad_entry_costs_its_own_block_and_the_one_before(codec: Codec, value: int) -> None:
    damaged = damaged_blocks(opened(with_entry(write(DISC, codec=codec), 19, value)), DISC, 2048)
    assert 19 in damaged
    assert set(damaged) <= {18, 19}


@BOTH
@pytest.mark.parametrize("block", [0, 18, 20])
def test_damaged_stream_costs_its_own_block(codec: Codec, block: int) -> None:
    image = write(DISC, codec=codec)
    at = entry(image, block)
    assert not at & FLAG
    image = overwritten(image, at, b"\xff" * (entry(image, block + 1) % FLAG - at))
    assert damaged_blocks(opened(image), DISC, 2048) == [block]


@BOTH
def test_truncated_image_reads_up_to_where_it_ends(codec: Codec) -> None:
    image = write(DISC, codec=codec)
    disc = opened(image[: entry(image, 30) % FLAG])
    assert "truncated: 30 of 41 blocks are present" in " ".join(disc.blocks.warnings)
    assert damaged_blocks(disc, DISC, 2048) == list(range(30, 41))


@settings(deadline=None, max_examples=100)
@given(
    codec=st.sampled_from((lz4_block, lzo_block)),
    shift=st.sampled_from((0, 0, 2, 9)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    in_head=st.booleans(),
)
def test_damage_anywhere_is_an_error_of_the_image_and_nothing_else(
    codec: Codec, shift: int, changes: list[tuple[float, int]], in_head: bool
) -> None:
    image = bytearray(write(TAILED, codec=codec, shift=shift))
    for place, value in changes:
        image[int(place * (24 + 4 * 43 if in_head else len(image)))] = value
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


# --- refusals and limits --------------------------------------------------------------------------------------------


def test_lzo_blocks_above_their_limit_are_not_decoded() -> None:
    disc = opened(write(DISC, codec=lzo_block, block_size=2 * limits.LZO_BLOCK_SIZE))
    assert disc.blocks.format == "ZSO"
    with pytest.raises(ImageError):
        disc.pread(1, 0)


def test_lzo_blocks_at_their_limit_are_read() -> None:
    disc = opened(write(DISC, codec=lzo_block, block_size=limits.LZO_BLOCK_SIZE))
    assert_same(disc, DISC)


@pytest.mark.parametrize("version", [0, 1])
def test_versions_0_and_1_mean_the_same(version: int) -> None:
    assert_same(opened(write(DISC, version=version)), DISC)


def test_unknown_version_is_refused_by_its_number() -> None:
    with pytest.raises(UnsupportedError, match="ZSO version 2 is unknown"):
        zso.open_map(Memory(cso(DISC, magic=b"ZISO", version=2)))


@pytest.mark.parametrize("length", [4, 23, 24, 24 + 4 * 42 - 1])
def test_head_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(ImageError, match="truncated"):
        zso.open_map(Memory(write(DISC)[:length]))


@pytest.mark.parametrize(
    "header",
    [
        cso_header(magic=b"ZISO", block_size=limits.BLOCK_SIZE.start - 1),
        cso_header(magic=b"ZISO", block_size=limits.BLOCK_SIZE.stop),
        cso_header(magic=b"ZISO", shift=limits.INDEX_SHIFT + 1),
        cso_header(magic=b"ZISO", disc_size=0),
        cso_header(magic=b"ZISO", disc_size=limits.DISC_SIZE + 1, block_size=1 << 24),
    ],
)
def test_header_beyond_the_limits_is_refused(header: bytes) -> None:
    with pytest.raises(ImageError, match="damaged ZSO header"):
        zso.open_map(Memory(header.ljust(2 << 20, b"\1")))


def test_few_blocks_are_decoded_to_tell_the_codec() -> None:
    image = write(sample_disc(600))
    source = Memory(image)
    zso.open_map(source)
    assert sum(n for n, at in source.reads if at >= 24 + 4 * 601) < 20 * 2048
