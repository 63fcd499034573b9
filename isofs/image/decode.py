"""Room for decoded runs, and what fills it: `Slots`, compiled (`_decode`) or in Python.

A run is some blocks in a row; a slot is room for one. Both implementations have the same interface and give the same
bytes, and decode ahead by workers. The compiled one does so without Python's lock; it is an optional part of the
package, since it needs a C compiler, libdeflate and liblz4 to build, and decodes what these can. `ISOFS_PYTHON_DECODER=1` leaves it aside.

Contract of `Slots`:

- One slot more than `slots` is there: the last one, of `scratch_size` bytes, is never queued.
- All methods but `wait` belong to one thread at a time. Any thread may `wait`.
- `load` says what a slot is to hold; what it held is lost. The slot must have been free: new, dropped or never queued.
- `queue` leaves the decoding to a worker, `help` does it now, or waits for the worker that is at it.
- The bytes are in the arena at `slot * slot_size`, block i of the run at i times the block size, once `help` has said
  `READY`, `HELPED` or `WAITED`, and until the next `load` of the slot. Rows that could not be decoded are `bad`.
"""

from __future__ import annotations

import threading
import weakref
from array import array
from collections import deque
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
_PATIENCE: Final = 0.004
"""Seconds that a caller who must not wait gives a worker to end its decoding."""
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
        self._queue = _Queue()
        self._changed = self._queue.changed
        self._threads = threads
        self._workers: list[threading.Thread] = []
        self._working = 0
        weakref.finalize(self, self._queue.stop)

    def load(self, slot: int, rows: Rows, block_size: int, total: int) -> int:
        """What a slot is to hold: the blocks of `rows`, of `total` bytes together, each but the last of `block_size`.

        Gives the number for `wait`. Raises `ValueError` for what does not fit.
        """
        count = len(rows.kinds)
        most, size = self._room[slot]
        if not 0 < count <= most or total > size or not (count - 1) * block_size < total <= count * block_size:
            raise ValueError("rows and room do not fit")
        with self._changed:
            self._runs[slot] = rows, block_size, total
            self._state[slot] = _FREE
            self._generation[slot] += 1
            return self._generation[slot]

    def queue(self, slot: int, first: bool) -> bool:
        """Leaves a loaded slot to the workers, as the next thing that they do or as the last one.

        False if there are none, or if it is to be the next thing and all of them are at work: one may wait for storage.
        """
        with self._changed:
            if self._queue.stopped or not self._threads or (first and self._working >= self._threads):
                return False
            if self._state[slot] == _FREE:
                self._state[slot] = _QUEUED
                entries = self._queue.entries
                (entries.appendleft if first else entries.append)((slot, self._generation[slot]))
                while len(self._workers) < self._threads:
                    self._workers.append(_worker(self._queue, weakref.ref(self)))
                self._changed.notify_all()
            return True

    def help(self, slot: int, patient: bool, patience: float = _PATIENCE) -> int:
        """Sees to it that a loaded slot is decoded: `READY`, `HELPED`, `WAITED` or `COLD`.

        A caller that is not `patient` waits for nothing but a worker that is decoding, for `patience` seconds at most.
        After `COLD` a slot is empty as after `load`, or in the hands of a worker. Raises `ValueError` for a slot that
        was never loaded.
        """
        state = self._state
        if state[slot] == _DONE:
            return READY
        with self._changed:
            if state[slot] == _BUSY:
                self._changed.wait_for(lambda: state[slot] != _BUSY, None if patient else patience)
                if state[slot] == _BUSY:
                    return COLD
                if state[slot] == _DONE:
                    return WAITED
            if not self._runs[slot][0].kinds:
                raise ValueError("nothing is loaded")
            state[slot] = _BUSY
        try:
            return HELPED if self._decode(slot) else COLD
        finally:
            self._settle(slot)

    def wait(self, slot: int, generation: int) -> None:
        """Waits until no worker has anything to do for what `load` gave this number."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._queue.stopped
                or self._generation[slot] != generation
                or self._state[slot] not in (_QUEUED, _BUSY)
            )

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
        self._queue.stop()
        until = monotonic() + _END
        for worker in self._workers:
            worker.join(max(until - monotonic(), 0))
        return not any(worker.is_alive() for worker in self._workers)

    def _decode(self, slot: int) -> bool:
        """Fills a slot that belongs to the caller. False if it must wait and must not."""
        rows, block_size, total = self._runs[slot]
        wants = (min(block_size, total - i * block_size) for i in range(len(rows.kinds)))
        try:
            made = codecs.decode_rows(self._file, codecs.rows_to_decode(rows, wants), block_size)
        except NotReady:
            return False
        at = slot * self._slot_size
        bad = set()
        for i, block in enumerate(made):
            if isinstance(block, bytes):
                self._arena[at : at + len(block)] = block
            else:
                bad.add(i)
            at += block_size
        self._bad[slot] = frozenset(bad)
        self._state[slot] = _DONE
        return True

    def _settle(self, slot: int) -> None:
        """The caller has ended its work upon a slot, one way or another."""
        with self._changed:
            if self._state[slot] == _BUSY:
                self._state[slot] = _FREE
            self._changed.notify_all()

    def work(self, slot: int, generation: int) -> None:
        """Decodes a slot that was queued, unless that was done otherwise meanwhile; for a worker."""
        with self._changed:
            if self._state[slot] != _QUEUED or self._generation[slot] != generation:
                return
            self._state[slot] = _BUSY
            self._working += 1
        with suppress(Exception):  # whoever asks for the slot decodes it, and meets the error
            self._decode(slot)
        with self._changed:
            self._working -= 1
        self._settle(slot)


class _Queue:
    """What the workers have to do: all that one without work holds, so that they end with their slots."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.entries: deque[tuple[int, int]] = deque()
        """Slots and their generations."""
        self.stopped = False

    def stop(self) -> None:
        """Ends all workers."""
        with self.changed:
            self.stopped = True
            self.entries.clear()
            self.changed.notify_all()


def _worker(queue: _Queue, slots: weakref.ref[Slots]) -> threading.Thread:
    """Starts a worker."""

    def run() -> None:
        while True:
            with queue.changed:
                queue.changed.wait_for(lambda: queue.stopped or queue.entries)
                if queue.stopped:
                    return
                entry = queue.entries.popleft()
            owner = slots()
            if owner is not None:
                owner.work(*entry)
            del owner

    thread = threading.Thread(target=run, name="isofs-decode", daemon=True)
    thread.start()
    return thread


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
