"""CSO, the "compressed ISO" of the PSP, versions 0, 1 and 2 (magic `CISO`).

Header, 24 bytes, little-endian:

| at | size | field | |
| --- | --- | --- | --- |
| 0 | 4 | magic | `CISO` |
| 4 | 4 | header size | 0, 24 or junk: never used, the index is always at 24 |
| 8 | 8 | disc size | bytes |
| 16 | 4 | block size | 2048 by most writers, 16384 by maxcso from 2 GiB on; any number |
| 20 | 1 | version | 0 and 1 mean the same |
| 21 | 1 | index shift | positions are multiples of 1 << shift |
| 22 | 2 | unused | |

Index at 24: N + 1 entries of 32 bits, N = ceil(disc size / block size). Position of block i in the file =
`(entry & 0x7FFFFFFF) << shift`; it reaches to the next entry's position, alignment padding included.

| version | bit 31 | stored bytes | kind |
| --- | --- | --- | --- |
| 0, 1 | set | | plain |
| 0, 1 | clear | | raw deflate |
| 2 | either | >= block size | plain |
| 2 | clear | < block size | raw deflate |
| 2 | set | < block size | LZ4, padding may follow |

Met in real files, and what is done about it:

- The last entry rounded down to the alignment, or up beyond the end of the file, or 0, or with bit 31 set: the last
  block reaches to the end of the file where the entry cannot be meant.
- An index with one entry too few, because the writer rounded the number of blocks down (ziso.py, old ciso.py): the
  tail of the disc was never stored. It reads as an error and is said.
- An index of zeros: the compressor did not finish. Refused.
- Entries that go backwards or point before the index, blocks that claim more than compression can add: those blocks
  read as errors. So does a block of version 2 whose kind depends on a length that the end of the file contradicts.
- GameCube and Wii images have the same magic and no compression at all; they are told apart by their map of bytes.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable
from typing import Final, NamedTuple

from .. import limits
from ..errors import ImageError, NotADisc, UnsupportedError
from .blockmap import BAD, DEFLATE, LZ4, PLAIN, BlockMap, Index, Rows, empty_rows, truncation
from .decode import indexed_rows
from .source import Source
from .wishes import NO_WISHES, Wishes

HEADER: Final = struct.Struct("<4sIQIBB2x")
INDEX_AT: Final = HEADER.size
FLAG: Final = 0x8000_0000
"""Bit 31 of an entry: what it means is the version's choice."""

_GAMECUBE_HEADER: Final = 0x8000
_GAMECUBE_BLOCKS: Final = frozenset(1 << n for n in range(15, 25))


class Header(NamedTuple):
    """The fields of the header that mean something."""

    disc_size: int
    block_size: int
    version: int
    shift: int


def open_map(source: Source, _wishes: Wishes = NO_WISHES) -> BlockMap:
    """The block map of a CSO image.

    Raises `NotADisc` for a GameCube or Wii image, `UnsupportedError` for a version above 2, `ImageError` for a header
    or index that cannot be true.
    """
    if _is_gamecube(source):
        raise NotADisc(
            "a GameCube or Wii CISO image: such discs have no ISO 9660 file system",
            "open it with Dolphin, or unpack it with wit",
        )
    header = parse_header(source, "CSO")
    if header.version > 2:
        raise UnsupportedError(
            f"CSO version {header.version} is unknown", "convert it to an ISO with maxcso --decompress"
        )
    if header.version == 2:
        return indexed_map(source, header, "CSO version 2", frozenset((DEFLATE, LZ4)), _kind_in_version_2)
    return indexed_map(source, header, f"CSO version {header.version}", frozenset((DEFLATE,)), _kind_in_version_1)


def _kind_in_version_1(flagged: int, _stored: int, _block_size: int) -> int:
    return PLAIN if flagged else DEFLATE


def _kind_in_version_2(flagged: int, stored: int, block_size: int) -> int:
    if stored >= block_size:
        return PLAIN
    return LZ4 if flagged else DEFLATE


def _is_gamecube(source: Source) -> bool:
    """Whether bytes 8 to 0x7FFF are a map of absent (0) and present (1) blocks; in a CSO they hold sizes."""
    if int.from_bytes(source.pread(4, 4), "little") not in _GAMECUBE_BLOCKS:
        return False
    present = source.pread(_GAMECUBE_HEADER - 8, 8)
    return len(present) == _GAMECUBE_HEADER - 8 and not present.strip(b"\0\1")


def parse_header(source: Source, name: str) -> Header:
    """The header of a CSO or ZSO image, its claims checked against limits and the file's size.

    Raises `ImageError`.
    """
    head = source.pread(HEADER.size, 0)
    if len(head) < HEADER.size:
        raise ImageError(f"truncated: the {name} header is cut off", "copy the image again")
    _, _, disc_size, block_size, version, shift = HEADER.unpack(head)
    if block_size not in limits.BLOCK_SIZE or shift > 31 or not 0 < disc_size <= limits.DISC_SIZE:
        raise ImageError(
            f"damaged {name} header: {disc_size} bytes in blocks of {block_size}, index shift {shift}",
            "copy the image again",
        )
    if shift > limits.INDEX_SHIFT:
        raise ImageError(
            f"damaged {name} header: index shift {shift} is above {limits.INDEX_SHIFT}", "copy the image again"
        )
    return Header(disc_size, block_size, version, shift)


def indexed_map(
    source: Source,
    header: Header,
    name: str,
    kinds: frozenset[int],
    kind_of: Callable[[int, int, int], int],
) -> BlockMap:
    """The map behind a header of this layout; `kind_of(bit 31, stored bytes, block size)` tells a block's kind.

    Raises `ImageError` where the index does not fit into the file or was never written.
    """
    disc_size, block_size, _, shift = header
    count = -(-disc_size // block_size)
    if INDEX_AT + 4 * count > source.size:
        raise ImageError(
            f"truncated: the index of {count} blocks does not fit into the {name} file's {source.size} bytes",
            "copy the image again",
        )
    if not any(_entries(source, 0, min(8, count))):
        raise ImageError("the index is empty: the compressor did not finish", "compress the disc again")
    warnings = []
    floor = disc_size // block_size
    if floor != count and _lacks_an_entry(source, floor, shift):
        warnings.append(
            f"the last {disc_size - floor * block_size} bytes of the disc were never stored; they read as an error"
        )
        count = floor
    elif INDEX_AT + 4 * (count + 1) > source.size:
        raise ImageError(f"truncated: the {name} file ends inside its index", "copy the image again")
    file_size = source.size
    most = block_size + block_size // 8 + 64 + (1 << shift)

    index = Index(source, INDEX_AT, "I", count + 1)
    usual = bytes(kind_of(flagged, stored, block_size) for stored in (1, block_size) for flagged in (0, FLAG))

    def load(first: int, n: int) -> Rows:
        entries = index.entries(max(first - 1, 0), first + n + 1 - max(first - 1, 0))
        before = (entries.pop(0) & ~FLAG) << shift if first else 0
        if first + n < count:
            found = indexed_rows(entries, shift, before, INDEX_AT, most, block_size, usual)
            if found is not None:
                return found
        rows = empty_rows()
        position = (entries[0] & ~FLAG) << shift
        for i in range(n):
            flagged = entries[i] & FLAG
            end = (entries[i + 1] & ~FLAG) << shift
            last = first + i == count - 1
            if last and (not position < end <= file_size or file_size - end < 1 << shift):
                stored = file_size - position
                surplus = stored - block_size
                kind = kind_of(flagged, stored, block_size)
                if position < end:
                    if surplus and kind_of(flagged, end - position, block_size) != kind:
                        kind = BAD  # the length tells the kind: cut off, or bytes of no block follow
                elif kind_of(flagged, 1, block_size) != kind and surplus >= 1 << shift:
                    kind = BAD  # the length tells the kind, and the end is not known
            else:
                stored = end - position
                kind = kind_of(flagged, stored, block_size)
            if (
                position < INDEX_AT or stored <= 0 or position <= before <= end
            ):  # goes back, and the one before does not
                kind = BAD
            elif kind == PLAIN:
                if stored < block_size and not last:
                    kind = BAD
            elif stored > most:
                if last:
                    stored = most
                else:
                    kind = BAD
            rows.positions.append(position)
            rows.stored.append(max(stored, 0))
            rows.kinds.append(kind)
            before, position = position, end
        return rows

    def end_of(block: int) -> int:
        return (_entries(source, block + 1, 1)[0] & ~FLAG) << shift

    if end_of(count - 1) > file_size + (1 << shift):
        warnings += truncation(bisect_right(range(count), file_size, key=end_of), count)
    return BlockMap(
        format=name,
        block_size=block_size,
        disc_size=disc_size,
        kinds=kinds,
        load=load,
        count=count,
        warnings=tuple(warnings),
    )


def _entries(source: Source, first: int, n: int) -> array[int]:
    raw = source.pread(4 * n, INDEX_AT + 4 * first)
    if len(raw) != 4 * n:
        raise ImageError("the file became shorter than its index")
    entries = array("I", raw)
    if sys.byteorder == "big":
        entries.byteswap()
    return entries


def _lacks_an_entry(source: Source, floor: int, shift: int) -> bool:
    """Whether the index was written for `floor` blocks where there is one more, a partial one.

    Its data then begin right behind floor + 1 entries. Where alignment hides the difference, entry `floor` must be the
    end of the file and the next one no position behind it.
    """
    data_at = (_entries(source, 0, 1)[0] & ~FLAG) << shift
    if data_at != _aligned(INDEX_AT + 4 * (floor + 1), shift):
        return False
    if data_at < INDEX_AT + 4 * (floor + 2):
        return True
    end, beyond = ((entry & ~FLAG) << shift for entry in _entries(source, floor, 2))
    unit = 1 << shift
    return not end <= beyond <= source.size + unit and abs(source.size - end) < unit


def _aligned(position: int, shift: int) -> int:
    return -(-position >> shift) << shift
