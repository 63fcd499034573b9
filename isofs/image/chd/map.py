"""Maps of CHD images -> where each hunk lies and how it is stored.

Version 3 and 4, 16 bytes for each hunk, big-endian: position (u64), CRC-32 of the decoded bytes (u32), low 16 bits of
the stored length (u16), high 8 bits of it (u8), flags (u8). Flag 0x10: there is no CRC. The low four bits of the flags:

| type | |
| --- | --- |
| 1 | a raw deflate stream |
| 2 | plain |
| 3 | the eight bytes of the position, repeated |
| 4 | the hunk whose number is the position |
| 5 | the parent's hunk whose number is the position |

Version 5 without compression, 4 bytes for each hunk: its position in hunks, or 0: not stored, so it is the parent's at
the same place, or zeros.

Version 5 with compression, big-endian, then a stream of bits, see `huffman`:

| at | size | field |
| --- | --- | --- |
| 0 | 4 | bytes of the stream |
| 4 | 6 | position of the first stored hunk |
| 10 | 2 | CRC-16 of the map: 1 byte of type, 0 to 6, 3 of length, 6 of position, 2 of CRC for each hunk |
| 12 | 1 | bits of a length |
| 13 | 1 | bits of a hunk's number |
| 14 | 1 | bits of a unit's number |
| 15 | 1 | unused |

A hunk may be another one, but only an earlier one: then following them ends, and each is resolved when the map is read.
A unit's number of the parent need not be where one of its hunks begins.
"""

from __future__ import annotations

import binascii
import struct
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Final

from ... import limits
from ...errors import ImageError, UnsupportedError
from ..blockmap import (
    BAD,
    CD_DEFLATE,
    CD_FLAC,
    CD_LZMA,
    CD_ZSTD,
    CRC_16,
    CRC_32,
    DEFLATE,
    FLAC,
    HUFFMAN,
    KIND_NAMES,
    LZMA,
    PATTERN,
    PLAIN,
    ZERO,
    ZSTD,
    Rows,
)
from ..source import Source
from .header import FRAME, Header
from .huffman import PARENT, SELF, Columns, Fields, decode_map

CODECS: Final = {
    b"zlib": DEFLATE,
    b"lzma": LZMA,
    b"huff": HUFFMAN,
    b"flac": FLAC,
    b"zstd": ZSTD,
    b"cdzl": CD_DEFLATE,
    b"cdlz": CD_LZMA,
    b"cdzs": CD_ZSTD,
    b"cdfl": CD_FLAC,
}
_CD: Final = frozenset((CD_DEFLATE, CD_LZMA, CD_ZSTD, CD_FLAC))

_MAP: Final = struct.Struct(">I6sHBBBx")
_ENTRY: Final = 16
_NO_CRC: Final = 0x10
_CHUNK: Final = 1 << 16
"""Hunks whose entries are handled at once."""
_MOST_IN_A_BIT: Final = 91
"""Hunks that a bit of a map can stand for: three symbols, a bit each, say 19 + 255 times the same."""
_REMEDY: Final = "copy the image again"
_NO_ROOM: Final = "truncated: the CHD map does not fit into the file"

# Kinds here: those of `blockmap`, and with a bit more those of hunks that have no check of their own.
_UNCHECKED: Final = 0x20
_FROM_PARENT: Final = 0x40
"""A plain hunk, of the parent's bytes."""
_TYPES: Final = bytes({4: SELF, 5: PARENT}.get(flags & 0xF, min(flags & 0xF, 3)) for flags in range(256))
"""Of each flags of version 3 and 4 the type: as in version 5 where it matters, that is 5 and 6; 1 and 2; others."""
_KIND: Final = bytes(kind & 0x1F if kind < 0x80 else BAD for kind in range(256))


class Map:
    """Where each hunk lies: columns of numbers, to be filled."""

    def __init__(self, header: Header, scheme: int, parent_at: int) -> None:
        self.hunk = header.hunk
        self.scheme = scheme
        """`CRC_16`, `CRC_32`, or 0 where no hunk has a check."""
        self.parent_at = parent_at
        """Positions from here on are of the parent's bytes."""
        self.positions = array("Q")
        self.stored = array("I")
        self.kinds = bytearray()
        self.checks = array("H")
        self.repeated = 0
        """Hunks that are the same as an earlier one."""
        self.missing = 0
        """Hunks that are stored behind the end of the file, wholly or partly."""

    def load(self, first: int, n: int) -> Rows:
        """See `BlockMap`."""
        last = first + n
        kinds = self.kinds[first:last]
        checks = None
        if self.scheme:
            values = zip(kinds, self.checks[first:last], strict=True)
            checks = array("Q", [0 if kind & _UNCHECKED else self.scheme | value for kind, value in values])
        stored = array("Q", self.stored[first:last])
        return Rows(self.positions[first:last], stored, kinds.translate(_KIND), checks)

    @property
    def parental(self) -> bool:
        """Whether hunks are the parent's."""
        return bool(self._of_parent)

    @property
    def _of_parent(self) -> int:
        return self.kinds.count(_FROM_PARENT) + self.kinds.count(_FROM_PARENT | _UNCHECKED)

    def counts(self) -> dict[int, int]:
        """How many hunks there are of each kind; those of the parent do not count."""
        counts: Counter[int] = Counter()
        for kind, n in Counter(self.kinds).items():
            if kind | _UNCHECKED != _FROM_PARENT | _UNCHECKED:
                counts[_KIND[kind]] += n
        return counts

    def told(self) -> dict[str, int]:
        """How many hunks there are of each kind, in words."""
        counts = self.counts()
        words = {KIND_NAMES[kind]: n for kind, n in sorted(counts.items()) if kind in KIND_NAMES}
        others = {"parent": self._of_parent, "unsound": counts.get(BAD, 0), "repeated": self.repeated}
        return words | {word: n for word, n in others.items() if n}

    def bound(self, size: int) -> None:
        """Makes stored bytes end with the file, for what lies behind it is the parent's, and bounds their number."""
        most = 2 * self.hunk
        positions, stored, kinds = self.positions, self.stored, self.kinds
        for hunk, length in enumerate(stored):
            if length > most:
                kinds[hunk] = BAD
            elif positions[hunk] + length > size and length:
                stored[hunk] = max(size - positions[hunk], 0)
                self.missing += 1

    def resolve(self, types: bytes | bytearray, unit: int) -> None:
        """Gives rows to the hunks of type 5 and 6, whose positions are numbers of hunks and of units of the parent.

        Those that have a check of their own keep it: the number is not protected by another one.
        """
        for hunk in _all(types, PARENT):
            number = self.positions[hunk]
            sound = number <= limits.DISC_SIZE // unit
            self.positions[hunk] = self.parent_at + number * unit if sound else 0
            self.stored[hunk] = self.hunk
            unchecked = 0 if self.scheme and self.checks[hunk] else _UNCHECKED
            self.kinds[hunk] = _FROM_PARENT | unchecked if sound else BAD
        columns = [self.positions, self.stored, self.kinds] + [self.checks] * bool(self.scheme)
        for hunk in _all(types, SELF):
            other = self.positions[hunk]
            if other >= hunk:
                raise ImageError(f"damaged CHD map: hunk {hunk} is a copy of hunk {other}, no earlier one", _REMEDY)
            check = self.checks[hunk] if self.scheme else 0
            for column in columns:
                column[hunk] = column[other]
            if check:
                self.checks[hunk] = check
                self.kinds[hunk] &= ~_UNCHECKED if self.kinds[hunk] != BAD else BAD
            self.repeated += 1


def _all(types: bytes | bytearray, wanted: int) -> Iterator[int]:
    """The hunks of a type."""
    hunk = types.find(wanted)
    while hunk >= 0:
        yield hunk
        hunk = types.find(wanted, hunk + 1)


def read_map(source: Source, header: Header) -> Map:
    """The map of an image.

    Raises `ImageError` for one that is damaged or does not fit into the file, `UnsupportedError` for unknown codecs.
    """
    parent_at = (source.size // limits.MIB + 1) * limits.MIB
    if header.version < 5:
        found = _entries(source, header, parent_at)
    elif header.codecs:
        found = _compressed(source, header, parent_at)
    else:
        found = _uncompressed(source, header, parent_at)
    if found.parental and not header.parent:
        raise ImageError("damaged CHD map: it has hunks of a parent, and names none", _REMEDY)
    return found


def _entries(source: Source, header: Header, parent_at: int) -> Map:
    """The map of versions 3 and 4."""
    found = Map(header, CRC_32, parent_at)
    kind_of = {1: DEFLATE, 2: PLAIN, 3: PATTERN}
    kinds = bytes(kind_of.get(flags & 0xF, BAD) | (flags & _NO_CRC) << 1 for flags in range(256))
    found.checks = array("I")
    types = bytearray()
    bare = bytearray()  # whether there is no CRC
    for pairs in _read(source, header.map_at, header.hunks, _ENTRY, "Q"):
        flags = bytes(pair & 0xFF for pair in pairs[1::2])
        found.positions += pairs[0::2]
        found.checks += array("I", [pair >> 32 for pair in pairs[1::2]])
        found.stored += array("I", [pair >> 16 & 0xFFFF | (pair & 0xFF00) << 8 for pair in pairs[1::2]])
        found.kinds += flags.translate(kinds)
        types += flags.translate(_TYPES)
        bare += bytes(flag & _NO_CRC for flag in flags)
    for hunk, kind in enumerate(types):
        if kind == 2:
            found.stored[hunk] = header.hunk
        elif kind != 1:
            found.stored[hunk] = 0
        if kind in (SELF, PARENT) and bare[hunk]:
            found.checks[hunk] = 0
    found.bound(source.size)
    found.resolve(types, header.hunk)
    return found


def _uncompressed(source: Source, header: Header, parent_at: int) -> Map:
    """The map of version 5 where no hunk is compressed."""
    found = Map(header, 0, parent_at)
    hunk = header.hunk
    types = bytearray()
    for numbers in _read(source, header.map_at, header.hunks, 4, "I"):
        found.positions += array("Q", [number * hunk for number in numbers])
        types += bytes(4 if number else PARENT for number in numbers)
    count = len(types)
    found.stored = array("I", [hunk]) * count
    found.kinds = bytearray(count)
    for i in _all(types, PARENT):
        found.stored[i] = 0
        found.kinds[i] = ZERO
        found.positions[i] = i
    found.bound(source.size)
    if header.parent:
        found.resolve(types, hunk)
    return found


def _compressed(source: Source, header: Header, parent_at: int) -> Map:
    """The map of version 5."""
    if header.map_at + _MAP.size > source.size:
        raise ImageError(_NO_ROOM, _REMEDY)
    length, first, crc, length_bits, self_bits, parent_bits = _MAP.unpack(source.pread(_MAP.size, header.map_at))
    if header.map_at + _MAP.size + length > source.size:
        raise ImageError(_NO_ROOM, _REMEDY)
    if header.hunks > 8 * _MOST_IN_A_BIT * length or length_bits > 24 or self_bits > 48 or parent_bits > 48:
        raise ImageError(f"damaged CHD map: {length} bytes for {header.hunks} hunks", _REMEDY)
    stream = source.pread(length, header.map_at + _MAP.size)
    units = header.hunk // header.unit
    position = int.from_bytes(first, "big")
    columns = decode_map(
        stream, Fields(header.hunks, position, length_bits, self_bits, parent_bits, header.hunk, units)
    )  # fmt: skip
    if _crc(columns) != crc:
        raise ImageError("damaged CHD map: its checksum does not fit", _REMEDY)
    found = Map(header, CRC_16, parent_at)
    found.positions, found.stored, found.checks = columns.positions, columns.lengths, columns.checks
    found.kinds = columns.types.translate(_kinds_of(header, columns.types))
    if position + sum(found.stored) > source.size or max(found.stored) > 2 * header.hunk:
        found.bound(source.size)
    found.resolve(columns.types, header.unit)
    return found


def _kinds_of(header: Header, types: bytearray) -> bytes:
    """The kind of each type."""
    kinds = bytearray([BAD]) * 256
    kinds[4] = PLAIN
    for slot, tag in enumerate(header.codecs):
        kind = CODECS.get(tag, BAD)
        if slot in types:
            if kind == BAD and tag.strip(b"\0"):
                raise UnsupportedError(
                    f"the CHD codec {tag.decode('latin-1')!r} is unknown", "convert it with chdman copy"
                )
            if kind in _CD and header.hunk % FRAME:
                raise ImageError(f"damaged CHD header: CD sectors in hunks of {header.hunk} bytes", _REMEDY)
        kinds[slot] = kind
    return bytes(kinds)


def _crc(columns: Columns) -> int:
    """The CRC-16 of the map as the writer had it: 12 bytes for each hunk."""
    crc = 0xFFFF
    for first in range(0, len(columns.types), _CHUNK):
        last = min(first + _CHUNK, len(columns.types))
        lengths = _big_endian(columns.lengths[first:last]).tobytes()
        positions = _big_endian(columns.positions[first:last]).tobytes()
        checks = _big_endian(columns.checks[first:last]).tobytes()
        entries = bytearray(12 * (last - first))
        entries[0::12] = columns.types[first:last]
        for place, column in enumerate(
            [lengths[i::4] for i in (1, 2, 3)] + [positions[i::8] for i in range(2, 8)] + [checks[i::2] for i in (0, 1)]
        ):
            entries[place + 1 :: 12] = column
        crc = binascii.crc_hqx(entries, crc)
    return crc


def _read(source: Source, at: int, count: int, size: int, typecode: str) -> Iterator[array[int]]:
    """`count` entries of `size` bytes, a page at a time, as numbers."""
    if at + size * count > source.size:
        raise ImageError(_NO_ROOM, _REMEDY)
    for first in range(0, count, _CHUNK):
        n = min(_CHUNK, count - first) * size
        raw = source.pread(n, at + first * size)
        if len(raw) != n:
            raise ImageError("the file became shorter than its map")
        yield _big_endian(array(typecode, raw))


def _big_endian(column: array[int]) -> array[int]:
    if sys.byteorder == "little":
        column.byteswap()
    return column
