from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from isofs.errors import ImageError
from isofs.image.cache import BlockCache
from isofs.image.codecs import Block

LIMIT = 30.0
SOME_EXAMPLES = settings(deadline=None, max_examples=60)


def content(block: int, size: int = 100) -> bytes:
    return b"%d;" % block * size


def make(blocks: Sequence[int]) -> list[Block]:
    return [content(block) for block in blocks]


def cost_of(data: bytes) -> int:
    """Bytes that a block counts for, bookkeeping included."""
    cache = BlockCache(1 << 20)
    cache.get(cache.new_owner(), [0], lambda blocks: [data])
    return cache.size


OVERHEAD = cost_of(b"")
"""Bytes of bookkeeping that a block counts for."""


def must_not_make(blocks: Sequence[int]) -> list[Block]:
    raise AssertionError(f"{blocks} were made again")


class Maker:
    """Makes blocks when it is let go, and says when it began."""

    def __init__(self, result: Callable[[Sequence[int]], list[Block]] = make) -> None:
        self.began = threading.Event()
        self.go = threading.Event()
        self.calls: list[list[int]] = []
        self._result = result

    def __call__(self, blocks: Sequence[int]) -> list[Block]:
        self.calls.append(list(blocks))
        self.began.set()
        assert self.go.wait(LIMIT)
        return self._result(blocks)


async def began(maker: Maker) -> None:
    assert await trio.to_thread.run_sync(maker.began.wait, LIMIT)


class Asker:
    """One `get` in a thread, and what came of it."""

    def __init__(self, cache: BlockCache, owner: int, blocks: Sequence[int], maker: Callable[..., list[Block]]) -> None:
        self.result: list[bytes] | None = None
        self.error: BaseException | None = None
        self._get = partial(cache.get, owner, blocks, maker)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        try:
            self.result = await trio.to_thread.run_sync(self._get)
        except Exception as error:
            self.error = error


def waiters(cache: BlockCache) -> int:
    """Threads that stand in `Event.wait` below `BlockCache.get`."""
    count = 0
    for frame in sys._current_frames().values():
        names = set()
        at: FrameType | None = frame
        while at is not None:
            names.add(at.f_code.co_name)
            if at.f_code.co_name == "get" and at.f_locals.get("self") is cache:
                count += "wait" in names and "_make" not in names
            at = at.f_back
    return count


async def until_waiting(cache: BlockCache, n: int) -> None:
    with trio.fail_after(LIMIT):
        while waiters(cache) < n:
            await trio.sleep(0.001)


# --- one thread -----------------------------------------------------------------------------------------------------


def test_blocks_are_made_once_and_then_found() -> None:
    cache = BlockCache(10_000)
    owner = cache.new_owner()
    assert cache.get(owner, [1, 2], make) == [content(1), content(2)]
    assert cache.get(owner, [2, 1], must_not_make) == [content(2), content(1)]
    assert (cache.hits, cache.misses) == (2, 2)


def test_only_missing_blocks_are_made_in_ascending_order() -> None:
    cache = BlockCache(100_000)
    owner = cache.new_owner()
    cache.get(owner, [2, 4], make)
    asked: list[int] = []

    def remember(blocks: Sequence[int]) -> list[Block]:
        asked.extend(blocks)
        return make(blocks)

    assert cache.get(owner, range(1, 6), remember) == [content(i) for i in range(1, 6)]
    assert asked == [1, 3, 5]


def test_nothing_asked_nothing_made() -> None:
    cache = BlockCache(1000)
    assert cache.get(cache.new_owner(), [], must_not_make) == []
    assert cache.peek(1, []) == []


def test_owners_do_not_see_each_others_blocks() -> None:
    cache = BlockCache(10_000)
    first, second = cache.new_owner(), cache.new_owner()
    assert first != second
    cache.get(first, [1], make)
    assert cache.peek(second, [1]) is None
    assert cache.get(second, [1], lambda blocks: [b"other"]) == [b"other"]
    assert cache.get(first, [1], must_not_make) == [content(1)]


def test_peek_gives_all_blocks_or_none_and_makes_nothing() -> None:
    cache = BlockCache(10_000)
    owner = cache.new_owner()
    cache.get(owner, [1, 2], make)
    assert cache.peek(owner, [1, 2]) == [content(1), content(2)]
    assert cache.peek(owner, [1, 2, 3]) is None
    assert cache.peek(owner, [3]) is None


def test_size_stays_within_the_limit_and_the_oldest_block_goes_first() -> None:
    size = cost_of(content(1))
    cache = BlockCache(3 * size)
    owner = cache.new_owner()
    for block in (1, 2, 3):
        cache.get(owner, [block], make)
    cache.get(owner, [1], must_not_make)  # 2 is the oldest now
    cache.get(owner, [4], make)
    assert cache.size == 3 * size
    assert cache.peek(owner, [2]) is None
    assert cache.peek(owner, [1, 3, 4]) is not None


def test_peek_counts_as_use() -> None:
    cache = BlockCache(2 * cost_of(content(1)))
    owner = cache.new_owner()
    cache.get(owner, [1], make)
    cache.get(owner, [2], make)
    cache.peek(owner, [1])
    cache.get(owner, [3], make)
    assert cache.peek(owner, [1]) is not None
    assert cache.peek(owner, [2]) is None


def test_block_larger_than_the_limit_is_kept_alone() -> None:
    cache = BlockCache(1000)
    owner = cache.new_owner()
    cache.get(owner, [1], make)
    large = bytes(5000)
    assert cache.get(owner, [2], lambda blocks: [large]) == [large]
    assert cache.peek(owner, [2]) == [large]
    assert cache.peek(owner, [1]) is None
    cache.get(owner, [3], make)
    assert cache.peek(owner, [2]) is None
    assert cache.size == cost_of(content(3))


def test_request_larger_than_the_limit_is_answered_whole() -> None:
    cache = BlockCache(1000)
    owner = cache.new_owner()
    assert cache.get(owner, range(20), make) == [content(i) for i in range(20)]
    assert cache.size <= 1000


def test_bookkeeping_of_tiny_blocks_counts() -> None:
    assert OVERHEAD >= 100
    cache = BlockCache(100 * OVERHEAD)
    owner = cache.new_owner()
    cache.get(owner, range(1000), lambda blocks: [b"."] * len(blocks))
    assert sum(cache.peek(owner, [block]) is not None for block in range(1000)) < 100


def test_error_is_raised_and_not_kept() -> None:
    cache = BlockCache(10_000)
    owner = cache.new_owner()
    with pytest.raises(ImageError, match="damaged; copy it again"):
        cache.get(owner, [1], lambda blocks: [ImageError("damaged", "copy it again")])
    assert cache.size == 0
    assert cache.get(owner, [1], make) == [content(1)]


def test_error_of_one_block_leaves_the_others_of_the_request_in_memory() -> None:
    cache = BlockCache(10_000)
    owner = cache.new_owner()
    with pytest.raises(ImageError, match="second"):
        cache.get(owner, [1, 2, 3], lambda blocks: [content(1), ImageError("second"), content(3)])
    assert cache.peek(owner, [1, 3]) == [content(1), content(3)]


def test_first_error_in_the_order_of_the_request_is_raised() -> None:
    cache = BlockCache(10_000)
    with pytest.raises(ImageError, match="two"):
        cache.get(cache.new_owner(), [1, 2, 3], lambda blocks: [content(1), ImageError("two"), ImageError("three")])


@pytest.mark.parametrize("error", [MemoryError("no room"), ImageError("bad storage"), KeyboardInterrupt()])
def test_making_that_fails_as_a_whole_leaves_nothing_behind(error: BaseException) -> None:
    cache = BlockCache(10_000)
    owner = cache.new_owner()

    def fail(blocks: Sequence[int]) -> list[Block]:
        raise error

    with pytest.raises(type(error)):
        cache.get(owner, [1, 2], fail)
    assert cache.size == 0
    assert cache.get(owner, [1, 2], make) == [content(1), content(2)]


def test_maker_that_gives_too_few_blocks_is_found_out() -> None:
    cache = BlockCache(10_000)
    owner = cache.new_owner()
    with pytest.raises(ValueError, match="zip"):
        cache.get(owner, [1, 2], lambda blocks: [content(1)])
    assert cache.get(owner, [1, 2], make) == [content(1), content(2)]


# --- threads --------------------------------------------------------------------------------------------------------


async def test_second_asker_waits_for_the_first_and_gets_the_same_bytes() -> None:
    cache = BlockCache(10_000)
    owner = cache.new_owner()
    maker = Maker()
    first, second = Asker(cache, owner, [1, 2], maker), Asker(cache, owner, [2], must_not_make)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        await began(maker)
        nursery.start_soon(second.run)
        await until_waiting(cache, 1)
        maker.go.set()
    assert first.result == [content(1), content(2)]
    assert second.result == [content(2)]
    assert first.result[1] is second.result[0]
    assert maker.calls == [[1, 2]]


async def test_second_asker_makes_what_only_it_wants_before_it_waits() -> None:
    cache = BlockCache(10_000)
    owner = cache.new_owner()
    maker, other = Maker(), Maker()
    other.go.set()
    first, second = Asker(cache, owner, [1, 2], maker), Asker(cache, owner, [2, 3], other)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        await began(maker)
        nursery.start_soon(second.run)
        await until_waiting(cache, 1)
        assert other.calls == [[3]]
        assert cache.peek(owner, [3]) == [content(3)]
        maker.go.set()
    assert second.result == [content(2), content(3)]


async def test_askers_of_each_others_blocks_do_not_wait_for_ever() -> None:
    cache = BlockCache(100_000)
    owner = cache.new_owner()
    makers = [Maker(), Maker()]
    askers = [Asker(cache, owner, [1, 2], makers[0]), Asker(cache, owner, [2, 3, 1, 4], makers[1])]
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(askers[0].run)
            await began(makers[0])
            nursery.start_soon(askers[1].run)
            await began(makers[1])
            third = Asker(cache, owner, [4, 1, 3, 2], must_not_make)
            nursery.start_soon(third.run)
            await until_waiting(cache, 1)
            makers[1].go.set()
            makers[0].go.set()
    assert third.result == [content(4), content(1), content(3), content(2)]


async def test_peek_does_not_wait_for_a_block_in_the_making() -> None:
    cache = BlockCache(10_000)
    owner = cache.new_owner()
    maker = Maker()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Asker(cache, owner, [1], maker).run)
        await began(maker)
        assert cache.peek(owner, [1]) is None
        maker.go.set()


async def test_error_fails_only_the_askers_of_its_block() -> None:
    cache = BlockCache(10_000)
    owner = cache.new_owner()
    maker = Maker(lambda blocks: [content(1), ImageError("block 2 is damaged")])
    first = Asker(cache, owner, [1, 2], maker)
    of_good, of_bad = Asker(cache, owner, [1], must_not_make), Asker(cache, owner, [2], must_not_make)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        await began(maker)
        nursery.start_soon(of_good.run)
        nursery.start_soon(of_bad.run)
        await until_waiting(cache, 2)
        maker.go.set()
    assert of_good.result == [content(1)]
    for asker in (first, of_bad):
        assert isinstance(asker.error, ImageError)
        assert "block 2" in str(asker.error)
    assert first.error is not of_bad.error  # tracebacks grow on errors that threads share
    assert cache.get(owner, [2], make) == [content(2)]


async def test_making_that_fails_as_a_whole_wakes_everyone_who_waits() -> None:
    def fail(blocks: Sequence[int]) -> list[Block]:
        raise MemoryError("no room")

    cache = BlockCache(10_000)
    owner = cache.new_owner()
    maker = Maker(fail)
    first, second = Asker(cache, owner, [1, 2], maker), Asker(cache, owner, [2], must_not_make)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        await began(maker)
        nursery.start_soon(second.run)
        await until_waiting(cache, 1)
        maker.go.set()
    assert isinstance(first.error, MemoryError)
    assert isinstance(second.error, ImageError)
    assert "no room" in str(second.error)
    assert cache.get(owner, [1, 2], make) == [content(1), content(2)]


async def test_cancelled_asker_leaves_its_blocks_to_the_others() -> None:
    cache = BlockCache(10_000)
    owner = cache.new_owner()
    maker = Maker()
    second = Asker(cache, owner, [1], must_not_make)
    abandoned = trio.CancelScope()

    async def ask_and_give_up() -> None:
        with abandoned:
            await trio.to_thread.run_sync(cache.get, owner, [1, 2], maker, abandon_on_cancel=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_and_give_up)
        await began(maker)
        nursery.start_soon(second.run)
        await until_waiting(cache, 1)
        abandoned.cancel()
        await trio.testing.wait_all_tasks_blocked()
        maker.go.set()
    assert abandoned.cancelled_caught
    assert second.result == [content(1)]
    assert cache.peek(owner, [1, 2]) == [content(1), content(2)]


async def test_cancelled_waiter_does_not_disturb_the_maker() -> None:
    cache = BlockCache(10_000)
    owner = cache.new_owner()
    maker = Maker()
    first = Asker(cache, owner, [1], maker)
    abandoned = trio.CancelScope()

    async def wait_and_give_up() -> None:
        with abandoned:
            await trio.to_thread.run_sync(cache.get, owner, [1], must_not_make, abandon_on_cancel=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        await began(maker)
        nursery.start_soon(wait_and_give_up)
        await until_waiting(cache, 1)
        abandoned.cancel()
        await trio.testing.wait_all_tasks_blocked()
        maker.go.set()
    assert abandoned.cancelled_caught
    assert first.result == [content(1)]


async def test_many_askers_get_right_bytes_within_the_limit() -> None:
    size = cost_of(content(7))
    cache = BlockCache(6 * size)
    owner = cache.new_owner()
    wrong: list[object] = []

    def ask(step: int) -> None:
        for i in range(200):
            blocks = range(i * step % 13, i * step % 13 + 4)
            if cache.get(owner, blocks, make) != [content(block) for block in blocks]:
                wrong.append(blocks)
            if cache.size > max(cache.limit, 2 * size):
                wrong.append(cache.size)

    async with trio.open_nursery() as nursery:
        for step in (1, 3, 5, 7):
            nursery.start_soon(trio.to_thread.run_sync, ask, step)
    assert wrong == []


# --- a model --------------------------------------------------------------------------------------------------------


class Model:
    """What the contract says, the simple way."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.blocks: OrderedDict[int, int] = OrderedDict()

    def get(self, wanted: Sequence[int], sizes: dict[int, int], broken: frozenset[int]) -> None:
        missing = [block for block in wanted if block not in self.blocks]
        for block in wanted:
            if block in self.blocks:
                self.blocks.move_to_end(block)
        for block in missing:
            if block not in broken:
                self.blocks[block] = sizes[block] + OVERHEAD
        while sum(self.blocks.values()) > self.limit and len(self.blocks) > 1:
            self.blocks.popitem(last=False)


REQUESTS = st.lists(
    st.tuples(st.lists(st.integers(0, 9), max_size=5, unique=True), st.frozensets(st.integers(0, 9), max_size=2)),
    max_size=30,
)


@SOME_EXAMPLES
@given(st.integers(0, 3000), st.lists(st.integers(0, 200), min_size=10, max_size=10), REQUESTS)
def test_cache_behaves_like_its_model(
    limit: int, lengths: list[int], requests: list[tuple[list[int], frozenset[int]]]
) -> None:
    cache, model = BlockCache(limit), Model(limit)
    owner = cache.new_owner()
    sizes = dict(enumerate(lengths))
    data = {block: bytes((block,)) * size for block, size in sizes.items()}
    for wanted, broken in requests:
        made: list[int] = []

        def make_some(blocks: Sequence[int], made: list[int] = made, broken: frozenset[int] = broken) -> list[Block]:
            made.extend(blocks)
            return [ImageError("broken") if block in broken else data[block] for block in blocks]

        missing = [block for block in wanted if block not in model.blocks]
        if broken.intersection(missing):
            with pytest.raises(ImageError, match="broken"):
                cache.get(owner, wanted, make_some)
        else:
            assert cache.get(owner, wanted, make_some) == [data[block] for block in wanted]
        assert made == missing
        model.get(wanted, sizes, broken)
        assert cache.size == sum(model.blocks.values())
        kept = list(model.blocks)
        assert cache.peek(owner, kept) == [data[block] for block in kept]
        for block in range(10):
            if block not in model.blocks:
                assert cache.peek(owner, [block]) is None
