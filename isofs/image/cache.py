"""What was decoded, kept while there is room: blocks, for records and whatever is read here and there, and runs of
files that are read from end to end.

A **run** is a stretch of a file of `RUN` bytes, beginning at a multiple of it in the file, so that a request of the
kernel, which never crosses such a border when it reads ahead, is answered by one slice. A **slot** is room for a
decoded run, and the blocks at both ends whole. While a file is read in a **streak**, the next runs are decoded ahead by
workers (`decode.Slots`); what is not part of a streak is decoded exactly, and not kept: the kernel keeps it.

The slot table belongs to one thread. A slot that was chosen for an answer is held until the slice is made: taking slots
for the runs ahead could take it away and let it be filled with another run. After that nothing may be awaited before
the kernel has the slice.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import monotonic
from typing import Final

from .. import limits
from ..errors import ImageError, NotReady
from . import codecs
from .blockmap import BlockMap, Rows
from .codecs import Block
from .decode import COLD, HELPED, PATIENCE, WAITED, Slots, slots_for
from .source import Extents, Source, Stream, may_wait

BOOKKEEPING: Final = 256
"""Bytes of memory for a block's key, its place in the order and its object header, about."""

RUN: Final = 512 * limits.KIB
"""Bytes of a run at most: quick codecs decode it in a millisecond."""

_AHEAD: Final = 8 * RUN
"""Bytes decoded ahead of a streak at most."""
_RUNS_AHEAD: Final = 64
"""Runs decoded ahead of a streak at most."""
_MANY: Final = 16
"""Blocks of a run of which one more does not count."""
_STREAK: Final = 2
"""Requests in a row that make a streak."""
_LARGEST: Final = 1 * limits.MIB
"""Bytes of a request at most."""
_REQUEST: Final = 128 * limits.KIB
"""Bytes of a usual request."""
_WORKERS: Final = 4


class _Flight:
    """Blocks that one asker is making and others may wait for."""

    __slots__ = ("done", "made")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.made: dict[tuple[int, int], Block] = {}


class BlockCache:
    """Decoded blocks of one image, bounded in bytes.

    Contract:

    - A key is (owner, block): `owner` numbers the disc (the image's own, or that of a zisofs file upon it), handed
      out by `new_owner`; `block` is the block's number there.
    - It takes at most `limit` bytes of memory, its own bookkeeping included, or one block if that alone is larger. The
      block that was asked for longest ago goes first.
    - `get` fills it. What is missing is made by the asker that found it missing, in the asker's own thread; a second
      asker of a block in the making waits for it and gets the same bytes (single flight). An asker makes its own
      blocks before it waits for others', so no two wait for each other.
    - A block that cannot be made is an error for every asker who waits for it, and for no other block. It is not
      kept: the next asker tries again. When making fails as a whole (no memory, say), waiting askers get that error.
    - `peek` never waits and never makes.
    - Any thread may call anything. Blocks are immutable: whoever has one may keep it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Bytes."""
        self.size = 0
        """Bytes held now."""
        self.hits = 0
        """Blocks answered from memory."""
        self.misses = 0
        """Blocks that had to be made (counted where they are made)."""
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._flights: dict[tuple[int, int], _Flight] = {}
        self._owners = 0

    def new_owner(self) -> int:
        """A number for the first half of a disc's keys."""
        with self._lock:
            self._owners += 1
            return self._owners

    def peek(self, owner: int, blocks: Iterable[int]) -> list[bytes] | None:
        """The blocks if all of them are in memory, else None."""
        found = []
        with self._lock:
            for block in blocks:
                data = self._blocks.get((owner, block))
                if data is None:
                    return None
                self._blocks.move_to_end((owner, block))
                found.append(data)
            self.hits += len(found)
        return found

    def put(self, owner: int, blocks: Sequence[int], made: Sequence[Block]) -> list[bytes]:
        """Keeps blocks that the caller has made, and gives them back.

        Raises the `ImageError` of the first one that could not be made.
        """
        with self._lock:
            self.misses += len(blocks)
            self._keep(owner, dict(zip(blocks, made, strict=True)))
        return [_bytes(block) for block in made]

    def get(self, owner: int, blocks: Sequence[int], make: Callable[[Sequence[int]], Sequence[Block]]) -> list[bytes]:
        """The blocks, made by `make` where they are missing.

        `make` gets the numbers of missing blocks, ascending as in `blocks`, and gives one result for each.
        Raises the `ImageError` of the first block that cannot be had, and what `make` raises.
        """
        found: dict[int, Block] = {}
        mine: list[int] = []
        others: dict[int, _Flight] = {}
        flight = _Flight()
        with self._lock:
            for block in blocks:
                key = (owner, block)
                data = self._blocks.get(key)
                if data is not None:
                    self._blocks.move_to_end(key)
                    found[block] = data
                elif key in self._flights:
                    others[block] = self._flights[key]
                else:
                    self._flights[key] = flight
                    mine.append(block)
            self.hits += len(found)
            self.misses += len(mine)
        if mine:
            found.update(self._make(owner, mine, make, flight))
        for block, other in others.items():
            other.done.wait()
            found[block] = other.made[owner, block]
        return [_bytes(found[block]) for block in blocks]

    def _make(
        self, owner: int, blocks: list[int], make: Callable[[Sequence[int]], Sequence[Block]], flight: _Flight
    ) -> dict[int, Block]:
        made: dict[int, Block] = {}
        try:
            made = dict(zip(blocks, make(blocks), strict=True))
            return made
        except BaseException as error:
            failed = ImageError(f"the block could not be read: {error}")
            flight.made = dict.fromkeys(((owner, block) for block in blocks), failed)
            raise
        finally:
            with self._lock:
                for block in blocks:
                    del self._flights[owner, block]
                for block, data in made.items():
                    flight.made[owner, block] = data
                self._keep(owner, made)
            flight.done.set()

    def _keep(self, owner: int, made: dict[int, Block]) -> None:
        for block, data in made.items():
            if isinstance(data, bytes) and (owner, block) not in self._blocks:
                cost = len(data) + BOOKKEEPING
                while self._blocks and self.size + cost > self.limit:
                    _, dropped = self._blocks.popitem(last=False)
                    self.size -= len(dropped) + BOOKKEEPING
                self._blocks[owner, block] = data
                self.size += cost


def _bytes(block: Block) -> bytes:
    if isinstance(block, ImageError):
        raise type(block)(block.reason, block.remedy)
    return block


class RunCache:
    """Decoded runs of the files of one disc, and the workers that decode ahead. For one thread.

    `limit`: bytes for runs, two of which there is always room for; room for two requests of `_LARGEST` comes on top.
    `threads`: workers; None: by the number of cores.
    """

    def __init__(self, file: Source, blocks: BlockMap, *, limit: int, threads: int | None = None) -> None:
        self.blocks = blocks
        slots = slots_for(file, blocks)
        self.compiled = slots is not Slots
        """Whether runs are decoded by compiled code."""
        self.run = RUN if self.compiled else _run_in_python(blocks)
        """Bytes of a run."""
        self.counts = Counts()
        self.aligned = not self.compiled and self.run < _MANY * blocks.block_size
        """Whether runs begin where blocks do, on the disc and not in the file: else each would decode a block of the
        next one, which counts where runs have few of them."""
        rows = self.run // blocks.block_size + (0 if self.aligned else 2)
        scratch_rows = _LARGEST // blocks.block_size + 2
        self._slot_size = rows * blocks.block_size
        self._scratch = count = max(limit // self._slot_size, 2)
        scratch_size = scratch_rows * blocks.block_size
        self.at_once = scratch_size if self.compiled else codecs.AT_ONCE * codecs.speed(blocks.kinds)
        """Bytes that the thread decodes itself at once, at most, if it must not wait."""
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
        self._arena = mmap.mmap(-1, count * self._slot_size + scratch_size + _LARGEST, flags=flags)
        self._view = memoryview(self._arena)
        self.joined = self._view[-_LARGEST:]
        """Room for an answer that is made of several runs."""
        self._slots = slots(
            file,
            self._arena,
            count,
            self._slot_size,
            scratch_size,
            rows,
            scratch_rows,
            default_workers() if threads is None else threads,
        )
        self._free = list(reversed(range(count)))
        self._table: OrderedDict[tuple[int, int], int] = OrderedDict()  # run -> slot; the first is taken first
        self._generations = [0] * (count + 1)
        self._unused = bytearray(count)  # slots that were read ahead and not used yet
        self.readers = 0
        """Streams that look ahead, among whom the slots are shared out."""
        self._workers = True  # until it turns out that there are none
        self._until = 0.0
        self._at_hand = range(0)  # blocks in the scratch slot

    def close(self) -> None:
        """Ends the workers."""
        self._slots.stop()

    @property
    def depth(self) -> int:
        """Runs that are decoded ahead of each streak at most."""
        most = min(_AHEAD // self.run, _RUNS_AHEAD)
        return min(most, (self._scratch - 1) // max(self.readers, 1)) if self._workers else 0

    @property
    def step(self) -> int:
        """Runs that another request of a streak adds to what is decoded ahead: about a request's bytes."""
        return max(_REQUEST // self.run, 1)

    def begin(self) -> None:
        """A request begins: what it may take of a thread that must not wait is measured from now on."""
        self._until = monotonic() + PATIENCE

    def holds(self, start: int, end: int) -> bool:
        """Whether there is a slot for a run."""
        return (start, end) in self._table

    def exact(self, start: int, end: int) -> memoryview | None:
        """Bytes of the disc, at most `_LARGEST`, decoded here and now. None where they need blocks that are bad.

        Raises `NotReady` when storage must be waited for, or decoding would take too long.
        """
        block_size = self.blocks.block_size
        first, last = start // block_size, (end - 1) // block_size
        scratch, at_hand = self._scratch, self._at_hand
        if first not in at_hand or last not in at_hand:
            if not may_wait() and (last - first + 1) * block_size > self.at_once:
                raise NotReady
            self._at_hand = range(0)
            self._load(scratch, first, last)
            if self._slots.help(scratch, may_wait()) == COLD:
                raise NotReady
            self.counts.exact += 1
            self._at_hand = at_hand = range(first, last + 1)
        return self._slice(scratch, at_hand.start, start, end)

    def find(self, start: int, end: int, held: int = -1) -> int | None:
        """The slot for a run, loaded; None if there is no room."""
        run = start, end
        slot = self._table.get(run)
        if slot is not None:
            self._table.move_to_end(run)
            return slot
        block_size = self.blocks.block_size
        rows = self._rows(start // block_size, (end - 1) // block_size)
        if self._free:
            slot = self._free.pop()
        else:
            old = next((old for old, its in self._table.items() if its != held and self._slots.drop(its)), None)
            if old is None:
                return None
            slot = self._table.pop(old)
            self.counts.evictions += 1
            if self._unused[slot]:
                self._unused[slot] = False
                self.counts.wasted += 1
        self._load(slot, start // block_size, (end - 1) // block_size, rows)
        self._table[run] = slot
        return slot

    def answer(self, slot: int, base: int, start: int, end: int) -> memoryview | None:
        """Bytes of the disc out of a slot whose run begins at `base`. None where they need blocks that are bad.

        Raises `NotReady` when storage must be waited for, or this request has taken long enough.
        """
        left = self._until - monotonic() if self.run <= self.at_once else 0
        outcome = self._slots.help(slot, may_wait(), left)
        if outcome == COLD:
            queued = self._slots.queue(slot, first=True)
            raise NotReady(partial(self._slots.wait, slot, self._generations[slot]) if queued else None)
        if outcome == HELPED:
            self.counts.helped += 1
        elif outcome == WAITED:
            self.counts.waited += 1
        else:
            self.counts.ready += 1
        if self._unused[slot]:
            self._unused[slot] = False
            self.counts.used += 1
        return self._slice(slot, base // self.blocks.block_size, start, end)

    def arrival(self, start: int, end: int) -> Callable[[], None]:
        """What waits, in another thread, for the workers to decode a run if they are to."""
        slot = self._table.get((start, end), self._scratch)
        return partial(self._slots.wait, slot, self._generations[slot])

    def ahead(self, start: int, end: int, held: int) -> bool:
        """Lets workers decode a run, if there is room. False when there is no use in asking for more."""
        if (start, end) in self._table:
            return True
        try:
            slot = self.find(start, end, held)
        except (NotReady, ImageError):
            return False
        if slot is None:
            return False
        if not self._slots.queue(slot, first=False):
            self._workers = False
            return False
        self._unused[slot] = True
        self.counts.ahead += 1
        return True

    def consumed(self, start: int, end: int) -> None:
        """A run was read to its end: the kernel keeps it, and its slot may be the next one that is taken."""
        if (start, end) in self._table:
            self._table.move_to_end((start, end), last=False)

    def give_up(self, start: int, end: int) -> None:
        """A run that was read ahead will not be read."""
        slot = self._table.get((start, end))
        if slot is not None and self._unused[slot] and self._slots.drop(slot):
            del self._table[start, end]
            self._free.append(slot)
            self._unused[slot] = False
            self.counts.wasted += 1

    def shed(self) -> None:
        """Forgets all runs and gives their memory back, unless a worker is at one."""
        for run, slot in list(self._table.items()):
            if self._slots.drop(slot):
                del self._table[run]
                self._free.append(slot)
                self.counts.wasted += self._unused[slot]
                self._unused[slot] = False
        self._at_hand = range(0)
        if not self._table:
            self._free.sort(reverse=True)
            self._arena.madvise(mmap.MADV_DONTNEED)

    def _load(self, slot: int, first: int, last: int, rows: Rows | None = None) -> None:
        block_size = self.blocks.block_size
        total = min((last + 1) * block_size, self.blocks.disc_size) - first * block_size
        self._generations[slot] = self._slots.load(slot, rows or self._rows(first, last), block_size, total)

    def _rows(self, first: int, last: int) -> Rows:
        return self.blocks.rows(first, last - first + 1)

    def _slice(self, slot: int, first: int, start: int, end: int) -> memoryview | None:
        block_size = self.blocks.block_size
        base = first * block_size
        if self._slots.bad(slot, (start - base) // block_size, (end - 1 - base) // block_size + 1):
            return None
        at = slot * self._slot_size - base
        return self._view[at + start : at + end]


class Counts:
    """What became of the requests to a `RunCache`."""

    ready = 0
    """Answered from a run that was there."""
    helped = 0
    """The run had to be decoded."""
    waited = 0
    """A worker was decoding the run."""
    exact = 0
    """Decoded exactly, no part of a streak."""
    ahead = 0
    """Runs that were decoded ahead,"""
    used = 0
    """of these read,"""
    wasted = 0
    """and thrown away unread."""
    evictions = 0
    """Runs that made room for others."""


def _run_in_python(blocks: BlockMap) -> int:
    """Bytes that take a millisecond or so: a power of two if these are many blocks, else whole ones."""
    quick = min(RUN, codecs.speed(blocks.kinds))
    count = quick // blocks.block_size
    return int(1 << quick.bit_length() - 1) if count >= _MANY else max(count, 1) * blocks.block_size


def default_workers() -> int:
    """One for each core but four at most; none where there is one core only."""
    cores = len(os.sched_getaffinity(0))
    return min(cores, _WORKERS) if cores > 1 else 0


class RunStream(Stream):
    """A file that lies in one piece on a compressed disc, from byte `position` of it on."""

    def __init__(self, extents: Extents, position: int, runs: RunCache) -> None:
        super().__init__(extents)
        self._position = position
        self._runs = runs
        self._expected = 0
        self._streak = 0
        self._number = 0  # of the run that was asked for last
        self._reached = -1  # number of the last run that was decoded ahead; -1 for none
        self._before = position % runs.run if runs.aligned else 0  # bytes of the first run that belong to others

    def view(self, n: int, offset: int) -> memoryview | bytes:
        """See `Stream.view`."""
        n = min(n, self.size - offset)
        if n <= 0 or offset < 0:
            return b""
        if n > _LARGEST:
            return self.pread(n, offset)
        end = offset + n
        self._runs.begin()
        if offset == self._expected:
            self._streak += 1
            self._expected = end
        elif abs(offset - self._expected) <= _LARGEST:  # asked again, or overtaken by another request of the reader
            self._expected = max(end, self._expected)
        else:
            self._streak = 0
            self._expected = end
            self.close()
        if self._streak <= _STREAK:
            found = self._runs.exact(self._position + offset, self._position + end)
        elif self._number_of(offset) == (last := self._number_of(end - 1)):
            found = self._part(offset, end)
            self._consumed(last, end)
        else:
            found = self._joined(offset, end)
        return self.source.pread(n, offset) if found is None else found

    def pread(self, n: int, offset: int) -> bytes:
        """See `Source.pread`."""
        end = min(offset + n, self.size) if offset >= 0 else 0
        places = range(offset, end, _LARGEST)
        return b"".join([bytes(self.view(min(_LARGEST, end - place), place)) for place in places])

    def close(self) -> None:
        """See `Stream.close`: what was decoded ahead is given up."""
        if self._reached >= 0:
            for number in range(self._number + 1, self._reached + 1):
                self._runs.give_up(*self._run(number))
            self._reached = -1
            self._runs.readers -= 1
            self.busy = False

    def _run(self, number: int) -> tuple[int, int]:
        """First and last byte of a run, on the disc."""
        start = number * self._runs.run - self._before
        return self._position + max(start, 0), self._position + min(start + self._runs.run, self.size)

    def _number_of(self, offset: int) -> int:
        """The number of the run that holds a byte of the file."""
        return (offset + self._before) // self._runs.run

    def _part(self, offset: int, end: int) -> memoryview | None:
        """Bytes that lie in one run."""
        runs, position = self._runs, self._position
        self._number = number = self._number_of(offset)
        start, stop = self._run(number)
        if number <= self._reached and not runs.holds(start, stop):  # taken by others, and those behind it perhaps
            self._reached = number
        slot = runs.find(start, stop)
        if slot is None:
            return runs.exact(position + offset, position + end)
        self._look_ahead(number, slot)
        return runs.answer(slot, start, position + offset, position + end)

    def _joined(self, offset: int, end: int) -> memoryview | None:
        """Bytes of several runs. None of them is given up before all are there: the request may be repeated."""
        runs = self._runs
        if not runs.depth and end - offset > runs.at_once and not may_wait():
            raise NotReady
        numbers = range(self._number_of(offset), self._number_of(end - 1) + 1)
        room, done = runs.joined, 0
        while offset < end:
            part = min(end, (self._number_of(offset) + 1) * runs.run - self._before)
            try:
                found = self._part(offset, part)
            except NotReady as missing:
                if missing.bring is None:
                    raise
                rest = range(self._number_of(offset), numbers.stop)
                raise NotReady(partial(_call_all, [runs.arrival(*self._run(number)) for number in rest])) from None
            if found is None:
                return None
            room[done : done + len(found)] = found
            done += len(found)
            offset = part
        for number in numbers:
            self._consumed(number, end)
        return room[:done]

    def _consumed(self, number: int, end: int) -> None:
        """Gives a run up if it was read to its end."""
        start, stop = self._run(number)
        if stop <= self._position + end:
            self._runs.consumed(start, stop)

    def _look_ahead(self, number: int, held: int) -> None:
        runs = self._runs
        last = min(number + min(self._streak * runs.step, runs.depth), self._number_of(self.size - 1))
        for ahead in range(max(number, self._reached) + 1, last + 1):
            if not runs.ahead(*self._run(ahead), held):
                break
            if self._reached < 0:
                runs.readers += 1
            self._reached = ahead
        self.busy = self._reached > number


def _call_all(functions: Sequence[Callable[[], None]]) -> None:
    for function in functions:
        function()
