"""Room for decoded runs, and what fills it: `Slots`, compiled (`_decode`) or in Python.

A run is some blocks in a row; a slot is room for one. Both implementations have the same interface and give the same
bytes. The compiled one decodes without Python's lock, and ahead, by threads of its own; it is an optional part of the
package, since it needs a C compiler, libdeflate and liblz4 to build. `ISOFS_PYTHON_DECODER=1` leaves it aside.

Contract of `Slots`:

- One slot more than `slots` is there: the last one, of `scratch_size` bytes, is never queued.
- All methods but `wait` belong to one thread at a time. Any thread may `wait`.
- `load` says what a slot is to hold; what it held is lost. The slot must have been free: new, dropped or never queued.
- `queue` leaves the decoding to a worker, `help` does it now, or waits for the worker that is at it.
- The bytes are in the arena at `slot * slot_size`, block i of the run at i times the block size, once `help` has said
  `READY`, `HELPED` or `WAITED`, and until the next `load` of the slot. Rows that could not be decoded are `bad`.
"""

from __future__ import annotations

from array import array
from mmap import mmap
from operator import sub
from typing import Final, Protocol

from ..errors import NotReady
from . import codecs
from .blockmap import PLAIN, Rows, empty_rows
from .compiled import compiled
from .source import Source

READY: Final = 0
"""The run was there."""
HELPED: Final = 1
"""The caller has decoded it."""
WAITED: Final = 2
"""The caller has waited for a worker that was at it."""
COLD: Final = 3
"""It is not there, and would not be within a few milliseconds: storage must be waited for."""


class File(Source, Protocol):
    """What is decoded: a file, and what it must still look like for its bytes to be believed."""

    @property
    def regular(self) -> bool:
        """Whether size and time of modification tell something."""
        ...

    @property
    def changed(self) -> int:
        """Time of modification, nanoseconds."""
        ...

    def fileno(self) -> int:
        """Its descriptor."""
        ...


class Slots:
    """`Slots` in Python, for every kind of block. It has no workers."""

    def __init__(
        self,
        file: File,
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
        self._bad: list[frozenset[int] | None] = [None] * (slots + 1)
        self._room = [(rows, slot_size)] * slots + [(scratch_rows, scratch_size)]
        if len(self._arena) < slots * slot_size + scratch_size:
            raise ValueError("the arena is too small")

    def load(self, slot: int, rows: Rows, block_size: int, total: int) -> int:
        """What a slot is to hold: the blocks of `rows`, of `total` bytes together, each but the last of `block_size`.

        Gives the number for `wait`. Raises `ValueError` for what does not fit.
        """
        count = len(rows.kinds)
        most, size = self._room[slot]
        if not 0 < count <= most or total > size or not (count - 1) * block_size < total <= count * block_size:
            raise ValueError("rows and room do not fit")
        self._runs[slot] = rows, block_size, total
        self._bad[slot] = None
        return 0

    def queue(self, slot: int, first: bool) -> bool:
        """Leaves a loaded slot to the workers, as the next thing that they do or as the last one.

        False if there are none, or if it is to be the next thing and all of them wait for storage.
        """
        return False

    def help(self, slot: int, patient: bool, patience: float = 0) -> int:
        """Sees to it that a loaded slot is decoded: `READY`, `HELPED`, `WAITED` or `COLD`.

        A caller that is not `patient` waits for nothing but a worker that is decoding, for `patience` seconds at most.
        After `COLD` a slot is empty as after `load`, or in the hands of a worker. Raises `ValueError` for a slot that
        was never loaded.
        """
        if self._bad[slot] is not None:
            return READY
        rows, block_size, total = self._runs[slot]
        if not rows.kinds:
            raise ValueError("nothing is loaded")
        wants = (min(block_size, total - i * block_size) for i in range(len(rows.kinds)))
        try:
            made = codecs.decode_rows(self._file, codecs.rows_to_decode(rows, wants), block_size)
        except NotReady:
            return COLD
        at = slot * self._slot_size
        bad = set()
        for i, block in enumerate(made):
            if isinstance(block, bytes):
                self._arena[at : at + len(block)] = block
            else:
                bad.add(i)
            at += block_size
        self._bad[slot] = frozenset(bad)
        return HELPED

    def wait(self, slot: int, generation: int) -> None:
        """Waits until no worker has anything to do for what `load` gave this number."""

    def bad(self, slot: int, first: int, end: int) -> bool:
        """Whether any row from `first` up to `end` could not be decoded."""
        bad = self._bad[slot]
        if bad is None or not 0 <= first < end <= len(self._runs[slot][0].kinds):
            raise ValueError("no such rows")
        return bool(bad) and any(row in bad for row in range(first, end))

    def drop(self, slot: int) -> bool:
        """Makes a slot free, unless a worker is at it."""
        self._bad[slot] = None
        return True

    def stop(self) -> bool:
        """Ends the workers. False if one of them is left behind, waiting for storage that does not answer."""
        return True


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


def slots_for(kinds: frozenset[int]) -> type[Slots]:
    """The quickest `Slots` that decode blocks of these kinds."""
    if compiled is not None and kinds <= compiled.KINDS:
        slots: type[Slots] = compiled.Slots
        return slots
    for kind in kinds:
        codecs.require(kind)
    return Slots
