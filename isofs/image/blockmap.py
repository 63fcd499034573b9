"""Block maps: where each block of a compressed image lies and how it is stored.

Every container of the kind "header, index, compressed blocks" becomes the same data: a block size, a disc size and,
for each block, a row of position, stored length and kind. Rows come in columns, not objects, and are made of the index
when they are asked for: an index of any size costs the same memory, and mounting reads next to none of it.
"""

from __future__ import annotations

import sys
import threading
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from .. import limits
from ..errors import ImageError
from .source import Source

if TYPE_CHECKING:
    from .sectors import Track

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
GZIP: Final = 17
"""A gzip member with header, CRC-32 and size (BGZF)."""
ZSTD_FRAME: Final = 18
"""A zstd frame that holds the block and nothing more (zstd files)."""
LZMA: Final = 9
"""A raw LZMA1 stream without header and end mark (CHD)."""
HUFFMAN: Final = 10
"""Bytes in a Huffman code, its tree in front (CHD)."""
FLAC: Final = 11
"""A byte order mark and bare FLAC frames (CHD)."""
CD_DEFLATE: Final = 12
"""Sectors and subchannels of a CD, both deflate streams (CHD)."""
CD_LZMA: Final = 13
"""Sectors of a CD as a raw LZMA1 stream, subchannels as a deflate stream (CHD)."""
CD_ZSTD: Final = 14
"""Sectors and subchannels of a CD, both zstd frames (CHD)."""
CD_FLAC: Final = 15
"""Sectors of a CD as bare FLAC frames, subchannels as a deflate stream (CHD)."""
PATTERN: Final = 16
"""Not stored: the eight bytes of `position`, big-endian, repeated (CHD version 3 and 4)."""
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
    GZIP: "gzip",
    ZSTD_FRAME: "zstd",
    LZMA: "LZMA",
    HUFFMAN: "Huffman",
    FLAC: "FLAC",
    CD_DEFLATE: "CD deflate",
    CD_LZMA: "CD LZMA",
    CD_ZSTD: "CD zstd",
    CD_FLAC: "CD FLAC",
    PATTERN: "pattern",
}

# What a decoded block, all `block_size` bytes of it, is checked by; the value stands in the low 32 bits.
CRC_16: Final = 1 << 32
"""CRC-16 of CCITT (polynomial 0x1021, from 0xFFFF)."""
CRC_32: Final = 2 << 32
"""CRC-32 as in zlib."""


class Rows(NamedTuple):
    """Columns of some blocks in a row, all of the same length."""

    positions: array[int]
    """Absolute byte position in the source ('Q')."""
    stored: array[int]
    """Upper bound of the stored bytes, padding included ('Q')."""
    kinds: bytearray
    """One of the kinds above."""
    checks: array[int] | None = None
    """What each decoded block must sum up to ('Q'): `CRC_16` or `CRC_32` and a value, or 0. None: nothing is known."""


def empty_rows() -> Rows:
    """Columns without blocks, to be appended to."""
    return Rows(array("Q"), array("Q"), bytearray())


def _no_rows(_first: int, _n: int) -> Rows:
    return empty_rows()


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


class Checksum(NamedTuple):
    """What all decoded bytes together must sum up to."""

    name: str
    """As a person says it: "SHA-1"."""
    algorithm: str
    """Of `hashlib`, or "crc32"."""
    expected: bytes
    """The digest that the container holds."""
    derived: Callable[[bytes], bytes] | None = None
    """Makes of the digest of the bytes the one that is compared, where the container sums up more than them."""


class BlockMap:
    """Where each block of a disc lies.

    `load(first, count)` gives the rows of the blocks `first` to `first + count`.
    Block i holds the disc's bytes from `i * block_size` on: `block_size` of them, or what is left in the last one.
    Blocks of different sizes: `starts` tells where on the disc each begins, and the disc's end.
    """

    def __init__(
        self,
        *,
        format: str,
        block_size: int,
        disc_size: int,
        kinds: frozenset[int],
        load: Callable[[int, int], Rows] = _no_rows,
        count: int | None = None,
        warnings: tuple[str, ...] = (),
        starts: array[int] | None = None,
        read: Callable[[int, int], bytes] | None = None,
        tracks: tuple[Track, ...] = (),
        parent: bytes = b"",
        parent_at: int = 0,
        checksums: tuple[Checksum, ...] = (),
        facts: dict[str, object] | None = None,
        checked: bool = False,
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
        self.starts = starts
        """Where each block begins on the disc, and the disc's end; None where all have `block_size` bytes."""
        self.read = read
        """Where blocks cannot be decoded by themselves: reads n bytes at an offset of the disc, as `pread`. Then there
        are no rows. Only called by a thread that may wait, any thread."""
        self.tracks = tracks
        """The tracks that the container tells, at their places in the decoded bytes. None there: a look at the bytes
        tells what they are."""
        self.parent = parent
        """SHA-1 of the image that holds the blocks which this one leaves out; empty if it stands alone."""
        self.parent_at = parent_at
        """Positions of rows from here on are of the parent's decoded bytes."""
        self.checksums = checksums
        """What all decoded bytes together must sum up to."""
        self.facts = facts or {}
        """What else `info` shows: words -> value."""
        self.checked = checked
        """Whether rows have checks."""
        self._load = load

    def block_at(self, offset: int) -> int:
        """The block that holds a byte of the disc."""
        return offset // self.block_size if self.starts is None else bisect_right(self.starts, offset) - 1

    def start(self, block: int) -> int:
        """Where on the disc a block begins."""
        return block * self.block_size if self.starts is None else self.starts[block]

    def length(self, block: int) -> int:
        """Decoded bytes of a block."""
        if self.starts is not None:
            return self.starts[block + 1] - self.starts[block]
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
            for column, value in zip(rows, (0, 0, BAD, 0), strict=True):
                if column is not None:
                    column.insert(place, value)
        return rows
