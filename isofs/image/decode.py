"""Room for decoded runs, and what fills it: `Slots`, compiled (`_decode`) or in Python.

A run is some blocks in a row; a slot is room for one. Both implementations have the same interface and give the same
bytes, and decode ahead by workers. The compiled one does so without Python's lock, blocks that libdeflate and liblz4
decode, of one file and without checks. It is an optional part of the package, since it needs a C compiler and these
libraries to build; `ISOFS_PYTHON_DECODER=1` leaves it aside.

Contract of `Slots`:

- One slot more than `slots` is there: the last one, of `scratch_size` bytes, is never queued.
- All methods but `wait` belong to one thread at a time. Any thread may `wait`.
- `load` says what a slot is to hold; what it held is lost. The slot must have been free: new, dropped or never queued.
- `queue` leaves the decoding to a worker, `help` does it now, or waits for the worker that is at it.
- The bytes are in the arena at `slot * slot_size`, block i of the run at i times the block size, once `help` has said
  `READY`, `HELPED` or `WAITED`, and until the next `load` of the slot. Rows that could not be decoded are `bad`.
"""

from __future__ import annotations

import _thread
import threading
import weakref
from array import array
from collections import OrderedDict
from contextlib import suppress
from mmap import mmap
from operator import sub
from time import monotonic
from typing import Final

from ..errors import NotReady
from . import codecs
from .blockmap import PLAIN, BlockMap, Rows, empty_rows
from .compiled import compiled
from .source import FileSource, Source

READY: Final = 0
"""The run was there."""
HELPED: Final = 1
"""The caller has decoded it."""
WAITED: Final = 2
"""The caller has waited for a worker that was at it."""
COLD: Final = 3
"""It is not there, and would not be within a few milliseconds: storage must be waited for."""


_FREE: Final = 0
"""State of a slot: new, loaded or dropped."""
_QUEUED: Final = 1
_BUSY: Final = 2
_DONE: Final = 3
PATIENCE: Final = 0.004
"""Seconds that a caller who must not wait gives a worker for its decoding."""
_END: Final = 1.0
"""Seconds that a worker has to end when it is told to."""


class Slots:
    """`Slots` in Python, for every kind of block. Its workers are threads of Python's: codecs leave its lock."""

    def __init__(
        self,
        file: Source,
        arena: mmap,
        slots: int,
        slot_size: int,
        scratch_size: int,
        rows: int,
        scratch_rows: int,
        threads: int,
    ) -> None:
        self._file = file
        self._arena = memoryview(arena)
        self._slot_size = slot_size
        self._runs: list[tuple[Rows, int, int]] = [(empty_rows(), 0, 0)] * (slots + 1)
        self._bad: list[frozenset[int]] = [frozenset()] * (slots + 1)
        self._room = [(rows, slot_size)] * slots + [(scratch_rows, scratch_size)]
        if len(self._arena) < slots * slot_size + scratch_size:
            raise ValueError("the arena is too small")
        self._state = [_FREE] * (slots + 1)
        self._generation = [0] * (slots + 1)
        self._began = [0.0] * (slots + 1)  # when a worker began with a slot that is busy
        self._queue = _Queue()
        self._changed = self._queue.changed
        self._threads = threads
        self._workers: list[_thread.LockType] = []
        weakref.finalize(self, self._queue.stop)

    def load(self, slot: int, rows: Rows, block_size: int, total: int) -> int:
        """What a slot is to hold: the blocks of `rows`, of `total` bytes together, each but the last of `block_size`.

        Gives the number for `wait`. Raises `ValueError` for what does not fit, and while a worker is at the slot.
        """
        count = len(rows.kinds)
        most, size = self._room[slot]
        if not 0 < count <= most or total > size or not (count - 1) * block_size < total <= count * block_size:
            raise ValueError("rows and room do not fit")
        with self._changed:
            if self._state[slot] == _BUSY:
                raise ValueError("the slot is in use")
            self._runs[slot] = rows, block_size, total
            self._state[slot] = _FREE
            self._generation[slot] += 1
            return self._generation[slot]

    def queue(self, slot: int, first: bool) -> bool:
        """Leaves a loaded slot to the workers, as the next thing that they do or as the last one.

        False if there are none, or if it is to be the next thing and all of them are at work: one may wait for storage.
        """
        if not self._start():
            return False
        queue = self._queue
        with self._changed:
            if self._state[slot] == _FREE:
                if first and queue.at_work >= self._threads:
                    return False
                self._state[slot] = _QUEUED
                queue.entries[slot] = self._generation[slot]
                queue.entries.move_to_end(slot, last=not first)
                queue.work.notify()
            return True

    def help(self, slot: int, patient: bool, patience: float = PATIENCE) -> int:
        """Sees to it that a loaded slot is decoded: `READY`, `HELPED`, `WAITED` or `COLD`.

        A caller that is not `patient` waits for nothing but a worker that is decoding, until that has been at it for
        `patience` seconds; with none left it does not begin to decode either. After `COLD` a slot is empty as after
        `load`, or in the hands of a worker. Raises `ValueError` for a slot that was never loaded.
        """
        state = self._state
        if state[slot] == _DONE:
            return READY
        with self._changed:
            if state[slot] == _BUSY:
                until = None if patient else max(self._began[slot] + patience - monotonic(), 0)
                self._changed.wait_for(lambda: state[slot] != _BUSY, until)
                if state[slot] == _BUSY:
                    return COLD
                if state[slot] == _DONE:
                    return WAITED
            if not self._runs[slot][0].kinds:
                raise ValueError("nothing is loaded")
            if not patient and patience <= 0:
                return COLD
            state[slot] = _BUSY
        bad = None
        try:
            bad = self._decode(slot)
        finally:
            with self._changed:
                self._settle(slot, bad)
        return COLD if bad is None else HELPED

    def wait(self, slot: int, generation: int) -> None:
        """Waits until no worker has anything to do for what `load` gave this number, or none comes to it soon."""

        def is_not(state: int) -> bool:
            return self._queue.stopped or self._generation[slot] != generation or self._state[slot] != state

        with self._changed:
            self._changed.wait_for(lambda: is_not(_QUEUED), PATIENCE)  # all workers may be stuck at something else
            self._changed.wait_for(lambda: is_not(_BUSY))

    def bad(self, slot: int, first: int, end: int) -> bool:
        """Whether any row from `first` up to `end` could not be decoded."""
        if self._state[slot] != _DONE or not 0 <= first < end <= len(self._runs[slot][0].kinds):
            raise ValueError("no such rows")
        bad = self._bad[slot]
        return bool(bad) and any(row in bad for row in range(first, end))

    def drop(self, slot: int) -> bool:
        """Makes a slot free, unless a worker is at it."""
        with self._changed:
            if self._state[slot] == _BUSY:
                return False
            self._state[slot] = _FREE
            self._changed.notify_all()
            return True

    def stop(self) -> bool:
        """Ends the workers. False if one of them is left behind, waiting for storage that does not answer."""
        until = monotonic() + (0 if self._queue.stopped else _END)
        self._queue.stop()
        self._workers = [ended for ended in self._workers if not ended.acquire(timeout=max(until - monotonic(), 0))]
        return not self._workers

    def _start(self) -> bool:
        """Starts the workers, as many as there may be. False if there are none."""
        while len(self._workers) < self._threads and not self._queue.stopped:
            try:
                self._workers.append(_worker(self._queue, weakref.ref(self)))
            except RuntimeError:  # no more threads in this process
                self._threads = len(self._workers)
        return self._threads > 0 and not self._queue.stopped

    def _decode(self, slot: int) -> frozenset[int] | None:
        """Fills a slot that belongs to the caller. The rows that are bad; None if it must wait and must not."""
        rows, block_size, total = self._runs[slot]
        wants = [block_size] * len(rows.kinds)
        wants[-1] = total - block_size * (len(wants) - 1)
        try:
            made = codecs.decode_rows(self._file, codecs.rows_to_decode(rows, wants), block_size)
        except NotReady:
            return None
        at = slot * self._slot_size
        bad = []
        for i, (block, want) in enumerate(zip(made, wants, strict=True)):
            if isinstance(block, bytes) and len(block) == want:
                self._arena[at : at + want] = block
            else:
                bad.append(i)
            at += block_size
        return frozenset(bad)

    def _settle(self, slot: int, bad: frozenset[int] | None) -> None:
        """Under the lock, and in one step: whoever finds it done may give the slot to another worker."""
        if bad is not None:
            self._bad[slot] = bad
        self._state[slot] = _FREE if bad is None else _DONE
        self._changed.notify_all()

    def work(self, slot: int, generation: int) -> None:
        """Decodes a slot that was queued, unless that was done otherwise meanwhile; for a worker."""
        with self._changed:
            if self._state[slot] != _QUEUED or self._generation[slot] != generation:
                return
            self._state[slot] = _BUSY
            self._began[slot] = monotonic()
        bad = None
        try:
            with suppress(Exception):  # whoever asks for the slot decodes it, and meets the error
                bad = self._decode(slot)
        finally:
            with self._changed:
                self._settle(slot, bad)


class _Queue:
    """What the workers have to do: all that one without work holds, so that they end with their slots."""

    def __init__(self) -> None:
        lock = threading.RLock()  # a finalizer may come at any time
        self.work = threading.Condition(lock)
        """That there is something to do."""
        self.changed = threading.Condition(lock)
        """The state of a slot."""
        self.entries: OrderedDict[int, int] = OrderedDict()
        """Slots and their generations, the next one first."""
        self.at_work = 0
        """Workers that have something to do."""
        self.stopped = False

    def take(self) -> tuple[int, int] | None:
        """What a worker is to do next; None: to end."""
        with self.work:
            self.work.wait_for(lambda: self.stopped or self.entries)
            if self.stopped:
                return None
            self.at_work += 1
            return self.entries.popitem(last=False)

    def done(self) -> None:
        """A worker has done what it took."""
        with self.work:
            self.at_work -= 1

    def stop(self) -> None:
        """Ends all workers."""
        with self.work:
            self.stopped = True
            self.entries.clear()
            self.work.notify_all()
            self.changed.notify_all()


def _worker(queue: _Queue, slots: weakref.ref[Slots]) -> _thread.LockType:
    """Starts a worker, and gives a lock that is free when it has ended.

    `Thread.start` would wait until it has begun: for ever, if it has no memory to begin with.
    """
    ended = _thread.allocate_lock()
    ended.acquire()

    def run() -> None:
        try:
            while (entry := queue.take()) is not None:
                owner = slots()
                if owner is not None:
                    owner.work(*entry)
                del owner
                queue.done()
        finally:
            ended.release()

    _thread.start_new_thread(run, ())
    return ended


def indexed_rows(
    entries: array[int], shift: int, before: int, least: int, most: int, block_size: int, usual: bytes
) -> Rows | None:
    """The rows of an index of 32-bit entries where nothing is unusual, None where anything is.

    `entries` are those of n blocks and the next one. Block i lies at `(entry & 0x7FFFFFFF) << shift` and reaches to the
    position of the next; positions grow, from above `before` and not below `least`. Its kind is
    `usual[bit 31 | (stored >= block_size) << 1]`; plain blocks are stored whole, others in `most` bytes at most.
    """
    if compiled is not None:
        found = compiled.indexed_rows(entries, shift, before, least, most, block_size, usual)
        if found is None:
            return None
        positions, sizes, kinds = found
        return Rows(array("Q", positions), array("Q", sizes), bytearray(kinds))
    places = [(entry & 0x7FFF_FFFF) << shift for entry in entries]
    stored = list(map(sub, places[1:], places))
    if not before < places[0] >= least or min(stored) <= 0:
        return None
    kinds = bytes([usual[entry >> 31 | (n >= block_size) << 1] for entry, n in zip(entries, stored, strict=False)])
    if any(n < block_size if kind == PLAIN else n > most for kind, n in zip(kinds, stored, strict=True)):
        return None
    places.pop()
    return Rows(array("Q", places), array("Q", stored), bytearray(kinds))


def slots_for(source: Source, blocks: BlockMap) -> type[Slots]:
    """The quickest `Slots` that decode the blocks of a map that lie in a source."""
    plainly = isinstance(source, FileSource) and not blocks.checked
    if compiled is not None and plainly and blocks.kinds <= compiled.KINDS:
        slots: type[Slots] = compiled.Slots
        return slots
    for kind in blocks.kinds:
        codecs.require(kind)
    return Slots
