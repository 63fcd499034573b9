from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writers.containers import (
    FLAG,
    cso_header,
    deflate_with_adler,
    entry,
    gamecube_ciso,
    overwritten,
    raw_deflate,
    sample_disc,
    with_entry,
    zlib_stream,
)
from writers.containers import (
    cso as write,
)
from writers.sources import Memory, assert_same, damaged_blocks

from isofs import limits
from isofs.errors import ImageError, IsofsError, NotADisc, UnsupportedError
from isofs.image import cso, open_image
from isofs.image.blockmap import DEFLATE, LZ4
from isofs.image.cache import BlockCache
from isofs.image.disc import Disc

DISC = sample_disc(41)
TAILED = sample_disc(41, tail=700)
EVERY_VERSION = pytest.mark.parametrize("version", [0, 1, 2])


def opened(image: bytes, *, cache: int = 1 << 20) -> Disc:
    source = Memory(image)
    return Disc(source, cso.open_map(source), BlockCache(cache))


def count(disc: bytes, block_size: int) -> int:
    return -(-len(disc) // block_size)


# --- what every reader should read ----------------------------------------------------------------------------------


@EVERY_VERSION
@pytest.mark.parametrize("block_size", [512, 2048, 2352, 6144, 16384, 1 << 20])
def test_every_block_size_reads_to_the_last_byte(version: int, block_size: int) -> None:
    disc = opened(write(TAILED, version=version, block_size=block_size))
    assert disc.blocks.format == f"CSO version {version}"
    assert disc.blocks.block_size == block_size
    assert disc.blocks.warnings == ()
    assert_same(disc, TAILED)


@EVERY_VERSION
@pytest.mark.parametrize("padding", [b"\0", b"X", b"\xff"])
@pytest.mark.parametrize("shift", [1, 3, 7, 11])
@pytest.mark.parametrize("block_size", [2048, 16384])
def test_alignment_padding_is_passed_over(version: int, padding: bytes, shift: int, block_size: int) -> None:
    disc = opened(write(TAILED, version=version, block_size=block_size, shift=shift, padding=padding))
    assert disc.blocks.warnings == ()
    assert_same(disc, TAILED)


@EVERY_VERSION
@pytest.mark.parametrize("header_size", [0, 24, 0x200, 0x8000, 0xFFFF_FFFF])
def test_header_size_is_never_used(version: int, header_size: int) -> None:
    assert_same(opened(write(DISC, version=version, header_size=header_size)), DISC)


def test_unused_bytes_of_the_header_may_be_anything() -> None:
    assert_same(opened(write(DISC, unused=b"\xab\xcd")), DISC)


@EVERY_VERSION
@pytest.mark.parametrize("gap", [4, 100, 4096])
def test_gap_between_index_and_data_is_passed_over(version: int, gap: int) -> None:
    assert_same(opened(write(TAILED, version=version, gap=gap)), TAILED)


@EVERY_VERSION
@pytest.mark.parametrize("trailing", [b"\0" * 2048, b"junk", b"\xff" * 100_000])
def test_bytes_behind_the_last_block_are_ignored(version: int, trailing: bytes) -> None:
    assert_same(opened(write(TAILED, version=version, trailing=trailing)), TAILED)


@EVERY_VERSION
@pytest.mark.parametrize("shift", [0, 4])
@pytest.mark.parametrize("trailing", [b"", b"\0" * 5000])
def test_last_entry_flagged_does_no_harm(version: int, shift: int, trailing: bytes) -> None:
    image = write(TAILED, version=version, shift=shift, last_entry="flagged", trailing=trailing)
    assert_same(opened(image), TAILED)


@EVERY_VERSION
@pytest.mark.parametrize("pad_last_block", [False, True])
@pytest.mark.parametrize("shift", [3, 7])
def test_last_entry_rounded_down_still_gives_the_last_block(version: int, shift: int, pad_last_block: bool) -> None:
    image = write(TAILED, version=version, shift=shift, last_entry="rounded down", pad_last_block=pad_last_block)
    assert_same(opened(image), TAILED)


@EVERY_VERSION
@pytest.mark.parametrize("shift", [3, 7])
def test_last_entry_rounded_up_beyond_the_end_is_no_truncation(version: int, shift: int) -> None:
    disc = opened(write(TAILED, version=version, shift=shift, last_entry="rounded up"))
    assert disc.blocks.warnings == ()
    assert_same(disc, TAILED)


@EVERY_VERSION
@pytest.mark.parametrize("shift", [0, 3])
def test_last_entry_of_zero_still_gives_the_last_block(version: int, shift: int) -> None:
    assert_same(opened(write(TAILED, version=version, shift=shift, last_entry="zero")), TAILED)


def test_last_entry_of_garbage_still_gives_the_last_block_and_is_said() -> None:
    disc = opened(write(TAILED, last_entry="garbage"))
    assert disc.blocks.warnings
    assert_same(disc, TAILED)


def test_last_entry_of_zero_with_bytes_behind_the_last_deflate_block() -> None:
    image = write(TAILED, last_entry="zero", trailing=b"\xaa" * 50_000)
    assert_same(opened(image), TAILED)


@pytest.mark.parametrize("block_size", [2048, 16384])
@pytest.mark.parametrize("pad_last_block", [False, True])
@pytest.mark.parametrize("plain_every", [0, 1])
def test_last_block_shorter_than_a_block_reads_to_its_end(
    block_size: int, pad_last_block: bool, plain_every: int
) -> None:
    for version in (0, 1, 2):
        image = write(
            TAILED, version=version, block_size=block_size, pad_last_block=pad_last_block, plain_every=plain_every
        )
        assert_same(opened(image), TAILED)


@EVERY_VERSION
def test_slack_behind_plain_blocks_is_passed_over(version: int) -> None:
    assert_same(opened(write(DISC, version=version, slack=500, plain_every=3)), DISC)


@EVERY_VERSION
def test_plain_and_compressed_blocks_in_turn(version: int) -> None:
    assert_same(opened(write(DISC, version=version, plain_every=2)), DISC)


@pytest.mark.parametrize("shift", [0, 5])
def test_blocks_wrapped_in_zlib_are_tolerated(shift: int) -> None:
    assert_same(opened(write(DISC, codec=zlib_stream, shift=shift)), DISC)


def test_adler_left_behind_the_stream_is_passed_over() -> None:
    assert_same(opened(write(DISC, codec=deflate_with_adler)), DISC)


def test_disc_of_one_short_block() -> None:
    small = DISC[:100]
    assert_same(opened(write(small)), small)
    assert_same(opened(write(small, plain_every=1)), small)


def test_size_in_the_header_smaller_than_the_data_is_trusted() -> None:
    image = overwritten(write(DISC), 8, (len(DISC) - 1000).to_bytes(8, "little"))
    assert_same(opened(image), DISC[:-1000])


def test_version_2_uses_both_codecs() -> None:
    blocks = opened(write(DISC, version=2)).blocks
    assert {DEFLATE, LZ4} <= {blocks.row(i)[2] for i in range(blocks.count)}


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_disc_in_any_container_reads_as_itself(data: st.DataObject) -> None:
    tail = data.draw(st.integers(0, 2047), "tail")
    plain = sample_disc(data.draw(st.integers(1, 30), "sectors"), tail=tail, seed=data.draw(st.integers(0, 9), "seed"))
    block_size = data.draw(st.sampled_from((512, 1000, 2048, 2352, 4096, 16384)), "block size")
    shift = data.draw(st.integers(0, 9), "shift")
    options: dict[str, Any] = {
        "version": data.draw(st.integers(0, 2), "version"),
        "padding": bytes((data.draw(st.integers(0, 255), "padding"),)),
        "header_size": data.draw(st.integers(0, 2**32 - 1), "header size"),
        "plain_every": data.draw(st.integers(0, 4), "plain every"),
        "pad_last_block": data.draw(st.booleans(), "pad last block"),
        "gap": data.draw(st.sampled_from((0, 0, 4, 1000)), "gap"),
        "last_entry": data.draw(st.sampled_from(("sound", "rounded down", "rounded up", "flagged")), "last entry"),
    }
    disc = opened(write(plain, block_size=block_size, shift=shift, **options))
    assert_same(disc, plain, seed=data.draw(st.integers(0, 99), "ranges"), ranges=10)


# --- an index that does not fit the header --------------------------------------------------------------------------


@pytest.mark.parametrize("shift", range(12))
@pytest.mark.parametrize("blocks", range(20, 24))
@EVERY_VERSION
def test_sound_index_is_not_taken_for_one_that_is_too_short(version: int, blocks: int, shift: int) -> None:
    """Alignment may put the data of both at the same place."""
    plain = sample_disc(blocks, tail=700)
    disc = opened(write(plain, version=version, shift=shift))
    assert disc.blocks.warnings == ()
    assert disc.blocks.count == blocks + 1
    assert_same(disc, plain)


@pytest.mark.parametrize("shift", [0, 1, 3, 7])
@pytest.mark.parametrize("padding", [b"\0", b"X"])
@pytest.mark.parametrize("blocks", [20, 21])
def test_tail_that_the_writer_left_out_is_an_error_and_is_said(shift: int, padding: bytes, blocks: int) -> None:
    plain = sample_disc(blocks * 2, tail=1300)
    disc = opened(write(plain, block_size=4096, shift=shift, padding=padding, index="floor"))
    assert "the last 1300 bytes of the disc were never stored" in " ".join(disc.blocks.warnings)
    assert damaged_blocks(disc, plain, 4096) == [blocks]
    assert disc.pread(4096, (blocks - 1) * 4096) == plain[(blocks - 1) * 4096 : blocks * 4096]
    with pytest.raises(ImageError):
        disc.pread(2, blocks * 4096 - 1)


def test_index_of_zeros_is_refused() -> None:
    with pytest.raises(ImageError, match="the compressor did not finish"):
        cso.open_map(Memory(write(DISC, index="zeros")))


def test_disc_size_far_beyond_the_index_reads_as_errors_where_nothing_is() -> None:
    image = overwritten(write(DISC), 8, (len(DISC) + 10 * 2048).to_bytes(8, "little"))
    disc = opened(image)
    assert disc.pread(20 * 2048, 2048) == DISC[2048 : 21 * 2048]
    with pytest.raises(ImageError):
        disc.pread(2048, len(DISC) + 5 * 2048)


# --- damage ---------------------------------------------------------------------------------------------------------


@EVERY_VERSION
@pytest.mark.parametrize(
    "value",
    [0, 1, 23, FLAG, FLAG | 23, 0x7FFF_FFFF, 0xFFFF_FFFF],
    ids=["zero", "one", "header", "flagged zero", "flagged header", "far", "flagged far"],
)
def test_bad_entry_costs_its_own_block_and_the_one_before(version: int, value: int) -> None:
    image = with_entry(write(DISC, version=version), 20, value)
    damaged = damaged_blocks(opened(image), DISC, 2048)
    assert 20 in damaged
    assert set(damaged) <= {19, 20}


@EVERY_VERSION
def test_block_that_ends_before_it_begins_is_an_error(version: int) -> None:
    image = write(DISC, version=version)
    with pytest.raises(ImageError):
        opened(with_entry(image, 21, entry(image, 18))).pread(2048, 20 * 2048)


@EVERY_VERSION
@pytest.mark.parametrize("back_to", [18, 20])
def test_entry_that_goes_back_does_not_give_another_blocks_bytes(version: int, back_to: int) -> None:
    image = write(DISC, version=version)
    damaged = damaged_blocks(opened(with_entry(image, 21, entry(image, back_to))), DISC, 2048)
    assert damaged == [20, 21]


def test_block_without_stored_bytes_is_an_error() -> None:
    image = write(DISC)
    assert not entry(image, 20) & FLAG
    with pytest.raises(ImageError):
        opened(with_entry(image, 21, entry(image, 20))).pread(2048, 20 * 2048)


def test_plain_block_that_is_too_short_is_an_error() -> None:
    image = write(DISC, plain_every=1)
    with pytest.raises(ImageError):
        opened(with_entry(image, 21, entry(image, 21) - 1)).pread(2048, 20 * 2048)


def test_damaged_stream_costs_its_own_block() -> None:
    image = write(DISC)
    at = entry(image, 18)
    assert not at & FLAG
    damaged = overwritten(image, at, b"\xff" * (entry(image, 19) % FLAG - at))
    assert damaged_blocks(opened(damaged), DISC, 2048) == [18]


def test_error_names_the_block_and_its_place() -> None:
    image = with_entry(write(DISC), 20, 0x7FFF_FFFF)
    with pytest.raises(ImageError, match="block 20 of the CSO version 1 at byte 2147483647"):
        opened(image).pread(1, 20 * 2048)


@EVERY_VERSION
@pytest.mark.parametrize("plain_every", [0, 1])
def test_truncated_image_reads_up_to_where_it_ends(version: int, plain_every: int) -> None:
    image = write(DISC, version=version, plain_every=plain_every)
    cut = (entry(image, 30) % FLAG) + 5
    disc = opened(image[:cut])
    assert "truncated: 30 of 41 blocks are present" in " ".join(disc.blocks.warnings)
    assert damaged_blocks(disc, DISC, 2048) == list(range(30, 41))


@EVERY_VERSION
@pytest.mark.parametrize("missing", [1, 5])
@pytest.mark.parametrize("shift", [0, 4])
def test_truncation_within_the_last_block_is_never_silent(version: int, missing: int, shift: int) -> None:
    last_is_random = sample_disc(41)[:-2048] + random.Random(9).randbytes(2048)
    image = write(last_is_random, version=version, shift=shift)
    damaged = damaged_blocks(opened(image[:-missing]), last_is_random, 2048)
    assert damaged == [40]


def test_plain_last_block_of_version_2_is_not_taken_for_a_stream_when_it_is_cut() -> None:
    """Its content is a deflate stream: only the length says that it is plain."""
    stream = raw_deflate(bytes(4096))
    plain = DISC + stream + random.Random(4).randbytes(2048 - len(stream))
    image = write(plain, version=2)
    assert_same(opened(image), plain)
    disc = opened(image[:-1])
    assert damaged_blocks(disc, plain, 2048) == [41]


def test_compressed_last_block_of_version_2_is_not_taken_for_plain_when_bytes_follow() -> None:
    plain = sample_disc(20)
    plain = plain[: len(plain) // 2352 * 2352]
    last = random.Random(5).randbytes(1500) + bytes(2352 - 1500)
    plain = plain[:-2352] + last
    image = write(plain, version=2, block_size=2352, shift=10)
    assert_same(opened(image), plain)
    assert damaged_blocks(opened(image + b"\xaa" * 500), plain, 2352) in ([], [count(plain, 2352) - 1])


@settings(deadline=None, max_examples=150)
@given(
    version=st.integers(0, 2),
    shift=st.sampled_from((0, 0, 2, 9)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    in_head=st.booleans(),
    cut=st.none() | st.floats(0, 1),
)
def test_damage_anywhere_is_an_error_of_the_image_and_nothing_else(
    version: int, shift: int, changes: list[tuple[float, int]], in_head: bool, cut: float | None
) -> None:
    image = bytearray(write(TAILED, version=version, shift=shift))
    for place, value in changes:
        image[int(place * (24 + 4 * 43 if in_head else len(image)))] = value
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


# --- refusals and limits --------------------------------------------------------------------------------------------


def refused(image: bytes | Memory) -> str:
    with pytest.raises(ImageError) as caught:
        cso.open_map(image if isinstance(image, Memory) else Memory(image))
    assert not isinstance(caught.value, NotADisc)
    return str(caught.value)


@pytest.mark.parametrize("length", [4, 23])
def test_header_that_is_cut_off_is_refused(length: int) -> None:
    assert "truncated" in refused(write(DISC)[:length])


@pytest.mark.parametrize("length", [24, 30, 24 + 4 * 41, 24 + 4 * 42 - 1])
def test_index_that_is_cut_off_is_refused(length: int) -> None:
    assert "truncated" in refused(write(DISC)[:length])


def test_index_that_cannot_fit_is_refused_before_it_is_read() -> None:
    source = Memory(cso_header(disc_size=limits.DISC_SIZE, block_size=512).ljust(5000, b"\1"))
    assert "does not fit" in refused(source)
    assert sum(n for n, _ in source.reads) < 70_000


@pytest.mark.parametrize("block_size", [0, 1, limits.BLOCK_SIZE.start - 1, limits.BLOCK_SIZE.stop, 2**32 - 1])
def test_block_size_beyond_its_limits_is_refused(block_size: int) -> None:
    assert "header" in refused(overwritten(write(DISC), 16, block_size.to_bytes(4, "little")))


@pytest.mark.parametrize("block_size", [limits.BLOCK_SIZE.start, limits.BLOCK_SIZE.stop - 1])
def test_block_size_at_its_limits_is_read(block_size: int) -> None:
    assert_same(opened(write(DISC, block_size=block_size)), DISC, ranges=3)


@pytest.mark.parametrize("shift", [limits.INDEX_SHIFT + 1, 31, 32, 255])
def test_index_shift_above_its_limit_is_refused(shift: int) -> None:
    assert "index shift" in refused(overwritten(write(DISC), 21, bytes((shift,))))


def test_index_shift_at_its_limit_is_read() -> None:
    plain = sample_disc(2)
    assert_same(opened(write(plain, block_size=4096, shift=limits.INDEX_SHIFT)), plain, ranges=3)


@pytest.mark.parametrize("size", [0, limits.DISC_SIZE + 1, 2**64 - 1])
def test_disc_size_beyond_its_limits_is_refused(size: int) -> None:
    image = cso_header(disc_size=size, block_size=limits.BLOCK_SIZE.stop - 1).ljust(1 << 20, b"\1")
    assert "header" in refused(image)


def test_disc_size_at_its_limit_is_read() -> None:
    image = cso_header(disc_size=limits.DISC_SIZE, block_size=16 << 20).ljust(24 + 4 * ((1 << 18) + 1), b"\1")
    assert cso.open_map(Memory(image)).disc_size == limits.DISC_SIZE


def test_block_that_claims_more_than_compression_adds_is_an_error_without_reading_it() -> None:
    image = write(DISC)
    forged = with_entry(image, 41, len(image) + 50_000) + bytes(50_000)
    forged = with_entry(forged, 21, len(forged) - 1)
    source = Memory(forged)
    disc = Disc(source, cso.open_map(source), BlockCache(1 << 20))
    assert not entry(forged, 20) & FLAG
    source.reads.clear()
    with pytest.raises(ImageError):
        disc.pread(2048, 20 * 2048)
    assert all(n < 30_000 for n, _ in source.reads)


@pytest.mark.parametrize("version", [3, 255])
def test_unknown_version_is_refused_by_its_number(version: int) -> None:
    with pytest.raises(UnsupportedError, match=f"CSO version {version} is unknown"):
        cso.open_map(Memory(overwritten(write(DISC), 20, bytes((version,)))))


@pytest.mark.parametrize("block_size", [0x8000, 0x20_0000, 0x100_0000])
def test_gamecube_image_is_refused_by_name(block_size: int) -> None:
    with pytest.raises(NotADisc, match="GameCube or Wii"):
        cso.open_map(Memory(gamecube_ciso(block_size)))


def test_cso_with_a_header_size_like_a_gamecube_block_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "disc.cso"
    path.write_bytes(write(DISC, header_size=0x20_0000))
    with open_image(str(path)) as image:
        assert image.format == "CSO version 1"
        assert_same(image.disc, DISC)
