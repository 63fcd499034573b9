"""Block maps: where each block of a compressed image lies and how it is stored.

Every container of the kind "header, index, compressed blocks" becomes the same data: a block size, a disc size and,
for each block, a row of position, stored length and kind. Rows come in columns, not objects, and are made of the index
when they are asked for: an index of any size costs the same memory, and mounting reads next to none of it.
"""

from __future__ import annotations

import sys
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from .. import limits
from ..errors import ImageError
from .source import Source

# How a block is stored. Codecs of these kinds are in `image.codecs`.
PLAIN: Final = 0
"""The block itself; what follows it within `stored` is padding."""
DEFLATE: Final = 1
"""A raw deflate stream (RFC 1951)."""
ZLIB: Final = 2
"""A zlib stream with header and Adler-32 (RFC 1950)."""
LZ4: Final = 3
"""A raw LZ4 block; padding may follow."""
LZO1X: Final = 4
"""An LZO1X block; padding may follow."""
ZERO: Final = 5
"""Not stored: zeros (zisofs)."""
XZ: Final = 6
"""An xz stream (zisofs 2)."""
BZIP2: Final = 7
"""A bzip2 stream (zisofs 2)."""
ZSTD: Final = 8
"""A zstd frame (zisofs 2)."""
BAD: Final = 255
"""The index says something impossible: reading the block is an error."""

KIND_NAMES: Final = {
    PLAIN: "plain",
    DEFLATE: "deflate",
    ZLIB: "zlib",
    LZ4: "LZ4",
    LZO1X: "LZO1X",
    ZERO: "zeros",
    XZ: "xz",
    BZIP2: "bzip2",
    ZSTD: "zstd",
}


class Rows(NamedTuple):
    """Columns of some blocks in a row, all of the same length."""

    positions: array[int]
    """Absolute byte position in the source ('Q')."""
    stored: array[int]
    """Upper bound of the stored bytes, padding included ('Q')."""
    kinds: bytearray
    """One of the kinds above."""


def empty_rows() -> Rows:
    """Columns without blocks, to be appended to."""
    return Rows(array("Q"), array("Q"), bytearray())


def truncation(present: int, count: int) -> tuple[str, ...]:
    """The warning about an image that holds `present` of `count` blocks; none if it holds them all."""
    if present >= count:
        return ()
    return (f"truncated: {present} of {count} blocks are present; the others read as errors",)


class Index:
    """An index in the file, `count` little-endian numbers from byte `at` on, fetched a page at a time.

    `limits.INDEX_PAGES` pages are kept, so that an index of any size costs the same memory. `typecode` is that of
    `array`: "I" for 32 bits, "Q" for 64. Any thread may ask.
    """

    def __init__(self, source: Source, at: int, typecode: str, count: int) -> None:
        self._source = source
        self._at = at
        self._typecode = typecode
        self._count = count
        self._pages: OrderedDict[int, array[int]] = OrderedDict()
        self._lock = threading.Lock()

    def entries(self, first: int, n: int) -> array[int]:
        """`n` entries from `first` on. Raises `ImageError` where the file does not hold them."""
        number, i = divmod(first, limits.INDEX_PAGE)
        found = self._page(number)[i : i + n]
        while len(found) < n:
            number += 1
            found += self._page(number)[: n - len(found)]
        return found

    def _page(self, number: int) -> array[int]:
        with self._lock:
            page = self._pages.get(number)
            if page is not None:
                self._pages.move_to_end(number)
                return page
        first = number * limits.INDEX_PAGE
        page = array(self._typecode)
        wanted = max(min(limits.INDEX_PAGE, self._count - first), 0) * page.itemsize
        raw = self._source.pread(wanted, self._at + first * page.itemsize)
        if not wanted or len(raw) != wanted:
            raise ImageError("the file became shorter than its index")
        page.frombytes(raw)
        if sys.byteorder == "big":
            page.byteswap()
        with self._lock:
            self._pages[number] = page
            if len(self._pages) > limits.INDEX_PAGES:
                self._pages.popitem(last=False)
        return page


class BlockMap:
    """Where each block of a disc lies.

    `load(first, count)` gives the rows of the blocks `first` to `first + count`.
    Block i holds the disc's bytes from `i * block_size` on: `block_size` of them, or what is left in the last one.
    """

    def __init__(
        self,
        *,
        format: str,
        block_size: int,
        disc_size: int,
        kinds: frozenset[int],
        load: Callable[[int, int], Rows],
        count: int | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.format = format
        """The container's name and version, as a person says it."""
        self.block_size = block_size
        """Bytes of each block but the last, decoded."""
        self.disc_size = disc_size
        """Bytes of the disc."""
        self.kinds = kinds
        """Kinds that rows may have, besides `PLAIN`, `ZERO` and `BAD`."""
        self.count = -(-disc_size // block_size) if count is None else count
        """Blocks that the index describes; less than the disc needs where the writer left out the last one."""
        self.warnings = warnings
        """What a person should know about the image, a sentence each."""
        self._load = load

    def length(self, block: int) -> int:
        """Decoded bytes of a block."""
        return min(self.block_size, self.disc_size - block * self.block_size)

    def row(self, block: int) -> tuple[int, int, int]:
        """Position, stored bytes and kind of a block; (0, 0, BAD) for one that the index does not describe."""
        rows = self.rows(block, 1)
        return rows.positions[0], rows.stored[0], rows.kinds[0]

    def rows(self, first: int, n: int) -> Rows:
        """The rows of `n` blocks from `first` on, as `row` gives them."""
        described = range(max(first, 0), min(first + n, self.count))
        rows = self._load(described.start, len(described)) if described else empty_rows()
        for _ in range(n - len(described)):
            place = len(rows.kinds) if first >= 0 else 0
            for column, value in zip(rows, (0, 0, BAD), strict=True):
                column.insert(place, value)
        return rows
