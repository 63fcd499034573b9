from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writers.containers import cso_header
from writers.sources import Memory

from isofs import limits
from isofs.errors import ImageError
from isofs.image import cso
from isofs.image.blockmap import BAD, DEFLATE, PLAIN, BlockMap, Rows, empty_rows

SOME_EXAMPLES = settings(deadline=None, max_examples=40)


class Index:
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


def block_map(index: Index, blocks: int, *, count: int | None = None) -> BlockMap:
    return BlockMap(
        format="test",
        block_size=1000,
        disc_size=blocks * 1000 - 1,
        kinds=frozenset((DEFLATE,)),
        load=index.load,
        count=count,
    )


def test_blocks_are_counted_up_and_the_last_one_is_shorter() -> None:
    blocks = block_map(Index(), 3)
    assert blocks.count == 3
    assert [blocks.length(i) for i in range(3)] == [1000, 1000, 999]


def test_nothing_is_read_before_a_row_is_asked_for() -> None:
    index = Index()
    block_map(index, 10**9)
    assert index.asked == []


def test_index_is_read_in_whole_pages_once() -> None:
    index = Index()
    page = limits.INDEX_PAGE
    blocks = block_map(index, 2 * page + 100)
    for block in (0, 1, page - 1, page, 2 * page + 99, 5):
        assert blocks.row(block) == (10 * block, block + 1, DEFLATE if block % 2 else PLAIN)
    assert index.asked == [(0, page), (page, page), (2 * page, 100)]


@pytest.mark.parametrize("block", [-1, 3, 10**12])
def test_block_that_the_index_does_not_describe_is_bad(block: int) -> None:
    index = Index()
    assert block_map(index, 3).row(block) == (0, 0, BAD)
    assert index.asked == []


def test_blocks_that_the_writer_left_out_are_bad() -> None:
    blocks = block_map(Index(), 3, count=2)
    assert blocks.row(1)[2] == DEFLATE
    assert blocks.row(2) == (0, 0, BAD)


def test_pages_in_memory_are_bounded_and_the_oldest_goes_first() -> None:
    index = Index()
    page = limits.INDEX_PAGE
    blocks = block_map(index, page * (limits.INDEX_PAGES + 2))
    for number in range(limits.INDEX_PAGES):
        blocks.row(number * page)
    assert len(index.asked) == limits.INDEX_PAGES
    blocks.row(0)  # used again: the second page is the oldest now
    blocks.row(limits.INDEX_PAGES * page)  # one more than are kept
    asked = len(index.asked)
    blocks.row(0)
    assert len(index.asked) == asked
    blocks.row(page)
    assert index.asked[-1] == (page, page)
    assert len(index.asked) == asked + 1


def test_page_that_could_not_be_read_is_asked_for_again() -> None:
    index = Index()
    broken = [True]

    def load(first: int, count: int) -> Rows:
        if broken.pop() if broken else False:
            raise ImageError("bad storage")
        return index.load(first, count)

    blocks = BlockMap(format="test", block_size=1000, disc_size=5000, kinds=frozenset(), load=load)
    with pytest.raises(ImageError):
        blocks.row(3)
    assert blocks.row(3) == (30, 4, DEFLATE)


def test_threads_get_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INDEX_PAGE", 8)
    monkeypatch.setattr(limits, "INDEX_PAGES", 2)
    blocks = block_map(Index(), 100)
    wrong: list[int] = []

    def ask(step: int) -> None:
        for i in range(2000):
            block = i * step % 100
            if blocks.row(block) != (10 * block, block + 1, DEFLATE if block % 2 else PLAIN):
                wrong.append(block)

    threads = [threading.Thread(target=ask, args=(step,)) for step in (1, 7, 13, 31)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@SOME_EXAMPLES
@given(st.lists(st.integers(-3, 130), max_size=60))
def test_rows_do_not_depend_on_the_order_in_which_they_are_asked_for(asked: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "INDEX_PAGE", 8)
        patch.setattr(limits, "INDEX_PAGES", 3)
        blocks = block_map(Index(), 125)
        for block in asked:
            inside = 0 <= block < 125
            expected = (10 * block, block + 1, DEFLATE if block % 2 else PLAIN) if inside else (0, 0, BAD)
            assert blocks.row(block) == expected


def test_opening_an_image_of_a_billion_blocks_reads_a_few_entries() -> None:
    count = 10**9
    image = cso_header(disc_size=count * 2048) + b"\1\0\0\0"
    source = Memory(image, size=24 + 4 * (count + 1))
    cso.open_map(source)
    assert sum(n for n, _ in source.reads) < 70_000
    assert len(source.reads) < 50
