"""Decoded blocks, kept while there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ..errors import ImageError

BOOKKEEPING: Final = 256
"""Bytes of memory for a block's key, its place in the order and its object header, about."""

Block = bytes | ImageError
"""What becomes of a block: its bytes, or why they cannot be had."""


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
        result = []
        for block in blocks:
            data_or_error = found[block]
            if isinstance(data_or_error, ImageError):
                raise ImageError(data_or_error.reason, data_or_error.remedy)
            result.append(data_or_error)
        return result

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
                    if isinstance(data, bytes):
                        self._blocks[owner, block] = data
                        self.size += len(data) + BOOKKEEPING
                while self.size > self.limit and len(self._blocks) > 1:
                    _, dropped = self._blocks.popitem(last=False)
                    self.size -= len(dropped) + BOOKKEEPING
            flight.done.set()
