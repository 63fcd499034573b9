from __future__ import annotations

import sys
import threading
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writers.containers import cso_header
from writers.sources import Memory

from isofs import limits
from isofs.errors import ImageError
from isofs.image import cso
from isofs.image.blockmap import BAD, DEFLATE, PLAIN, BlockMap, Index, Rows, empty_rows

SOME_EXAMPLES = settings(deadline=None, max_examples=40)


class Table:
    """Rows that can be told apart: block i lies at 10 i and takes i + 1 bytes. Remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def load(self, first: int, count: int) -> Rows:
        self.asked.append((first, count))
        rows = empty_rows()
        for block in range(first, first + count):
            rows.positions.append(10 * block)
            rows.stored.append(block + 1)
            rows.kinds.append(DEFLATE if block % 2 else PLAIN)
        return rows


def block_map(index: Table, blocks: int, *, count: int | None = None) -> BlockMap:
    return BlockMap(
        format="test",
        block_size=1000,
        disc_size=blocks * 1000 - 1,
        kinds=frozenset((DEFLATE,)),
        load=index.load,
        count=count,
    )


def test_blocks_are_counted_up_and_the_last_one_is_shorter() -> None:
    blocks = block_map(Table(), 3)
    assert blocks.count == 3
    assert [blocks.length(i) for i in range(3)] == [1000, 1000, 999]


def test_nothing_is_read_before_a_row_is_asked_for() -> None:
    index = Table()
    block_map(index, 10**9)
    assert index.asked == []


def test_rows_are_asked_for_where_the_index_describes_them() -> None:
    index = Table()
    rows = block_map(index, 10, count=8).rows(5, 4)
    assert index.asked == [(5, 3)]
    assert list(zip(*rows[:3], strict=True)) == [(50, 6, DEFLATE), (60, 7, PLAIN), (70, 8, DEFLATE), (0, 0, BAD)]
    assert list(zip(*block_map(index, 10).rows(-2, 3)[:3], strict=True)) == [(0, 0, BAD), (0, 0, BAD), (0, 1, PLAIN)]


@pytest.mark.parametrize("block", [-1, 3, 10**12])
def test_block_that_the_index_does_not_describe_is_bad(block: int) -> None:
    index = Table()
    assert block_map(index, 3).row(block) == (0, 0, BAD)
    assert index.asked == []


def test_blocks_that_the_writer_left_out_are_bad() -> None:
    blocks = block_map(Table(), 3, count=2)
    assert blocks.row(1)[2] == DEFLATE
    assert blocks.row(2) == (0, 0, BAD)


def test_opening_an_image_of_a_billion_blocks_reads_a_few_entries() -> None:
    count = 10**9
    image = cso_header(disc_size=count * 2048) + b"\1\0\0\0"
    source = Memory(image, size=24 + 4 * (count + 1))
    cso.open_map(source)
    assert sum(n for n, _ in source.reads) < 70_000
    assert len(source.reads) < 50


# --- the index in the file ------------------------------------------------------------------------------------------

COUNT = 125
AT = 10


@pytest.fixture
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INDEX_PAGE", 8)
    monkeypatch.setattr(limits, "INDEX_PAGES", 3)


def entries_in_file(typecode: str = "I") -> tuple[Index, Memory]:
    """An index whose entry i is 7 i, behind ten bytes of something else, and its file."""
    numbers = array(typecode, range(0, 7 * COUNT, 7))
    if sys.byteorder == "big":
        numbers.byteswap()
    source = Memory(b"\xff" * AT + numbers.tobytes() + b"\xff" * 100)
    return Index(source, AT, typecode, COUNT), source


@pytest.mark.usefixtures("_small_pages")
@pytest.mark.parametrize("typecode", ["I", "Q"])
@pytest.mark.parametrize(("first", "n"), [(0, 1), (7, 1), (8, 1), (7, 2), (0, 8), (3, 40), (0, COUNT), (COUNT - 1, 1)])
def test_entries_are_those_of_the_file(typecode: str, first: int, n: int) -> None:
    index, _ = entries_in_file(typecode)
    assert list(index.entries(first, n)) == list(range(7 * first, 7 * (first + n), 7))


@pytest.mark.usefixtures("_small_pages")
@pytest.mark.parametrize(("first", "n"), [(COUNT, 1), (COUNT - 1, 2), (0, COUNT + 1), (120, 6), (10**12, 1)])
def test_entries_that_the_index_does_not_have_are_an_error(first: int, n: int) -> None:
    index, _ = entries_in_file()
    with pytest.raises(ImageError, match="shorter than its index"):
        index.entries(first, n)


@pytest.mark.usefixtures("_small_pages")
def test_index_is_read_in_whole_pages_once() -> None:
    index, source = entries_in_file()
    assert source.reads == []
    for first, n in ((1, 1), (0, 8), (9, 1), (124, 1), (120, 5), (6, 4)):
        index.entries(first, n)
    assert source.reads == [(32, AT), (32, AT + 32), (20, AT + 15 * 32)]


@pytest.mark.usefixtures("_small_pages")
def test_pages_in_memory_are_bounded_and_the_oldest_goes_first() -> None:
    index, source = entries_in_file()
    for page in (0, 1, 2, 0, 3):  # the second one is the oldest when there is one too many
        index.entries(8 * page, 1)
    assert len(source.reads) == 4
    for page in (0, 2, 3):
        index.entries(8 * page, 1)
    assert len(source.reads) == 4
    index.entries(8, 1)
    assert len(source.reads) == 5


@pytest.mark.usefixtures("_small_pages")
def test_whoever_has_entries_may_change_them() -> None:
    index, _ = entries_in_file()
    for n in (3, 12):
        entries = index.entries(0, n)
        entries.pop(0)
        entries[0] = 5
        assert list(index.entries(0, n)) == list(range(0, 7 * n, 7))


@pytest.mark.usefixtures("_small_pages")
def test_page_that_could_not_be_read_is_asked_for_again() -> None:
    index, source = entries_in_file()
    whole, source.data, source.size = source.data, source.data[:50], 50
    with pytest.raises(ImageError, match="shorter than its index"):
        index.entries(9, 1)
    source.data, source.size = whole, len(whole)
    assert index.entries(9, 1)[0] == 63


@pytest.mark.usefixtures("_small_pages")
def test_threads_get_the_same_entries() -> None:
    index, _ = entries_in_file()
    wrong: list[int] = []

    def ask(step: int) -> None:
        for i in range(2000):
            first = i * step % 110
            if list(index.entries(first, 12)) != list(range(7 * first, 7 * (first + 12), 7)):
                wrong.append(first)

    threads = [threading.Thread(target=ask, args=(step,)) for step in (1, 7, 13, 31)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@SOME_EXAMPLES
@given(st.lists(st.tuples(st.integers(0, COUNT - 1), st.integers(1, 30)), max_size=60))
def test_entries_do_not_depend_on_the_order_in_which_they_are_asked_for(asked: list[tuple[int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "INDEX_PAGE", 8)
        patch.setattr(limits, "INDEX_PAGES", 3)
        index, _ = entries_in_file()
        for first, n in asked:
            n = min(n, COUNT - first)
            assert list(index.entries(first, n)) == list(range(7 * first, 7 * (first + n), 7))
