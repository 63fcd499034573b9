"""The walk over system use entries and their continuation areas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from writers.discs import SECTOR, XA, MemorySource, ce, entry, er, nm, sp

from isofs import limits
from isofs.volume.iso9660 import susp

ST = entry(b"ST")
PD = entry(b"PD", bytes(5))


def disc(*areas: bytes) -> MemorySource:
    """Areas in one block each, from block 0 on."""
    return MemorySource(b"".join(area.ljust(SECTOR, b"\0") for area in areas))


def read(area: bytes, source: MemorySource | None = None, block_size: int = SECTOR) -> tuple[list[bytes], list[str]]:
    """The payloads of the entries, and what was said about damage."""
    damage: list[str] = []
    found = [raw[4:] for _, raw in susp.entries(area, source or disc(), block_size, damage.append, susp.Allowance())]
    return found, damage


def mark(text: bytes) -> bytes:
    return entry(b"QQ", text)


def test_sp_stands_at_the_start_of_the_roots_field() -> None:
    assert susp.skip_of(sp(0) + er()) == 0
    assert susp.skip_of(sp(6)) == 6


def test_sp_stands_behind_xa_attributes() -> None:
    assert susp.skip_of(XA + sp(14)) == 14


@pytest.mark.parametrize(
    "field",
    [b"", er(), b"SP", sp()[:5], sp()[:6], b"SP\7\1\xbe\xee\0", mark(b"x") + sp(), XA, XA + er()],
)
def test_without_sp_nothing_is_told(field: bytes) -> None:
    assert susp.skip_of(field) is None


def test_the_told_bytes_are_skipped() -> None:
    assert susp.behind_xa(b"123456" + nm(b"x"), 6) == nm(b"x")
    assert susp.behind_xa(XA + nm(b"x"), 14) == nm(b"x")


def test_xa_attributes_are_skipped_though_nobody_told_it() -> None:
    assert susp.behind_xa(XA + nm(b"x"), 0) == nm(b"x")
    assert susp.behind_xa(nm(b"x"), 0) == nm(b"x")


def test_more_than_the_field_can_be_skipped() -> None:
    assert susp.behind_xa(nm(b"x"), 255) == b""


def test_entries_come_in_their_order_with_their_signatures() -> None:
    found = list(susp.entries(nm(b"a") + mark(b"b") + nm(b"c"), disc(), SECTOR, lambda why: None, susp.Allowance()))
    assert found == [(b"NM", nm(b"a")), (b"QQ", mark(b"b")), (b"NM", nm(b"c"))]


def test_padding_is_left_out() -> None:
    assert read(mark(b"a") + PD + mark(b"b"))[0] == [b"a", b"b"]


def test_st_ends_the_area() -> None:
    assert read(mark(b"a") + ST + mark(b"b"))[0] == [b"a"]


def test_a_continuation_named_before_st_is_followed() -> None:
    assert read(ce(0, 0, 5) + mark(b"a") + ST + mark(b"b"), disc(mark(b"c")))[0] == [b"a", b"c"]


@pytest.mark.parametrize("length", [0, 1, 3, 255])
def test_an_impossible_length_ends_the_area(length: int) -> None:
    assert read(mark(b"a") + entry(b"QQ", b"bb", length=length) + mark(b"c")) == ([b"a"], [])


@pytest.mark.parametrize("rest", [b"", b"\0", b"N", b"NM\5"])
def test_a_rest_too_short_for_an_entry_ends_the_area(rest: bytes) -> None:
    assert read(mark(b"a") + rest) == ([b"a"], [])


def test_an_entry_that_ends_with_its_area_counts() -> None:
    assert read(mark(b"a") + entry(b"QQ"))[0] == [b"a", b""]


def test_the_continuation_comes_after_the_whole_area() -> None:
    assert read(ce(0, 0, 5) + mark(b"a"), disc(mark(b"b")))[0] == [b"a", b"b"]


def test_the_last_continuation_of_an_area_counts() -> None:
    source = disc(mark(b"first"), mark(b"second"))
    assert read(ce(0, 0, 9) + ce(1, 0, 10), source)[0] == [b"second"]


def test_a_continuation_starts_at_its_offset_and_ends_with_its_length() -> None:
    source = disc(mark(b"x") * 3 + mark(b"y") + mark(b"z"))
    assert read(ce(0, 15, 5), source)[0] == [b"y"]


@pytest.mark.parametrize("block_size", [512, 1024, 2048])
def test_continuations_count_logical_blocks(block_size: int) -> None:
    source = MemorySource(bytes(3 * block_size) + mark(b"there").ljust(block_size, b"\0"))
    assert read(ce(3, 0, 9), source, block_size)[0] == [b"there"]


def test_a_short_ce_is_passed_over() -> None:
    assert read(entry(b"CE", bytes(16)) + mark(b"a")) == ([b"a"], [])


def chain(count: int) -> tuple[bytes, MemorySource]:
    """A field with a chain of `count` continuation areas, each naming itself."""
    areas = [mark(b"%03d" % i) + ce(i + 1, 0, 35) for i in range(count - 1)]
    return ce(0, 0, 35), disc(*areas, mark(b"end"))


@pytest.mark.parametrize("count", [1, 31, 32])
def test_32_continuations_are_followed(count: int) -> None:
    found, damage = read(*chain(count))
    assert found == [b"%03d" % i for i in range(count - 1)] + [b"end"]
    assert not damage


def test_the_33rd_continuation_is_not_followed() -> None:
    found, damage = read(*chain(33))
    assert found == [b"%03d" % i for i in range(32)]
    assert damage == ["more than 32 continuation areas"]


def test_a_continuation_to_itself_ends() -> None:
    found, damage = read(ce(0, 0, 33), disc(mark(b"a") + ce(0, 0, 33)))
    assert found == [b"a"]
    assert damage == ["its continuation areas form a loop"]


def test_a_loop_of_two_continuations_ends() -> None:
    found, damage = read(ce(0, 0, 33), disc(mark(b"a") + ce(1, 0, 33), mark(b"b") + ce(0, 0, 33)))
    assert found == [b"a", b"b"]
    assert damage == ["its continuation areas form a loop"]


@pytest.mark.parametrize("area", [ce(999_999, 0, 28), ce(0xFFFFFFFF, 0xFFFFFFFF, 28), ce(0, SECTOR - 4, 28)])
def test_a_continuation_beyond_the_disc_counts_as_absent(area: bytes) -> None:
    found, damage = read(mark(b"a") + area, disc(mark(b"b")))
    assert found == [b"a"]
    assert damage == ["its continuation area lies beyond the end of the disc"]


def test_a_continuation_of_two_gigabytes_is_not_read() -> None:
    source = disc(mark(b"b"))
    found, damage = read(mark(b"a") + ce(0, 0, 0x7FFFFFFF), source)
    assert found == [b"a"]
    assert damage == ["too many bytes of system use entries"]
    assert source.read_bytes <= 1024


def test_an_empty_continuation_adds_nothing() -> None:
    assert read(mark(b"a") + ce(0, 0, 0), disc(mark(b"b"))) == ([b"a"], [])


@given(st.binary(max_size=255), st.binary(max_size=3 * SECTOR))
def test_any_bytes_do_not_raise(field: bytes, source: bytes) -> None:
    memory = MemorySource(source)
    area = susp.behind_xa(field, susp.skip_of(field) or 0)
    for signature, raw in susp.entries(area, memory, 512, lambda why: None, susp.Allowance()):
        assert len(signature) == 2
        assert len(raw) == raw[2] >= 4
    assert memory.reads <= limits.CONTINUATIONS
    assert memory.read_bytes <= limits.CONTINUATION_BYTES


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, SECTOR), st.integers(0, SECTOR)), max_size=3), max_size=4
    )
)
def test_any_continuations_end(areas: list[list[tuple[int, int, int]]]) -> None:
    blocks = [b"".join(mark(b"a") + ce(*where) for where in area) for area in areas]
    memory = disc(*blocks)
    found, _ = read(ce(0, 0, 99), memory)
    assert len(found) <= limits.CONTINUATION_BYTES // 5
    assert memory.reads <= limits.CONTINUATIONS
