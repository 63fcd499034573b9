"""Directory records (ECMA-119 9.1) and the walk over a directory's sectors.

| at | size | field | |
| --- | --- | --- | --- |
| 0 | 1 | length of the record | 0: nothing more in this sector |
| 1 | 1 | extended attribute record length | logical blocks before the data |
| 2 | 8 | extent | logical block, both-endian |
| 10 | 8 | data length | bytes, both-endian; one section's |
| 18 | 7 | recording time | |
| 25 | 1 | flags | below |
| 26 | 1 | file unit size | logical blocks of data between gaps; 0: not interleaved |
| 27 | 1 | interleave gap size | logical blocks |
| 28 | 4 | volume sequence number | both-endian |
| 32 | 1 | length of the identifier | |
| 33 | n | identifier | 00 is `.`, 01 is `..` |
| | 0..1 | padding to an even offset | |
| | | system use field | to the end of the record |

In High Sierra's records the recording time has 6 bytes, without a zone, and the flags stand behind it, at 24.

A damaged record costs its own name: the walk goes on at the next place where a record can begin, found by the
agreement of the both-endian numbers, or with the next sector.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

ISO_9660: Final = struct.Struct("<BBI4xI4x7sBBBH2xB")
"""The head of a record, up to its identifier."""
HIGH_SIERRA: Final = struct.Struct("<BBI4xI4x6sBxBBH2xB")
"""The same of High Sierra's."""
_BOTH_ENDIAN: Final = ((2, 4, "extent"), (10, 4, "data length"), (28, 2, "volume sequence number"))
"""Place, bytes of each half, name."""
_LEAST: Final = 34
_HEAD_SIZE: Final = 33

FLAG_HIDDEN: Final = 0x01
FLAG_DIRECTORY: Final = 0x02
FLAG_ASSOCIATED: Final = 0x04
FLAG_MULTI_EXTENT: Final = 0x80
"""Not the last section of the file."""

SELF: Final = b"\0"
PARENT: Final = b"\1"
SECTOR: Final = 2048


class Record(NamedTuple):
    """A directory record as it stands."""

    position: int
    """Of its first byte on the disc."""
    length: int
    xar_blocks: int
    extent: int
    """Logical block."""
    size: int
    """Bytes of this section."""
    time: bytes
    """7 bytes, in High Sierra 6; see `dates.short_time`."""
    flags: int
    unit: int
    """Logical blocks."""
    gap: int
    """Logical blocks."""
    sequence: int
    """Volume of the set that holds the data."""
    identifier: bytes
    system_use: bytes


def parse_record(data: bytes, at: int, position: int, head: struct.Struct = ISO_9660) -> Record | None:
    """The record at `data[at:]`, whose first byte is byte `position` of the disc; None if there is no sound one."""
    if at + _LEAST > len(data):
        return None
    length, xar, extent, size, time, flags, unit, gap, sequence, n = head.unpack_from(data, at)
    use = _HEAD_SIZE + n + (n & 1 ^ 1)
    if not n or length < _HEAD_SIZE + n or at + length > len(data):
        return None
    identifier = data[at + _HEAD_SIZE : at + _HEAD_SIZE + n]
    return Record(
        position, length, xar, extent, size, time, flags, unit, gap, sequence, identifier, data[at + use : at + length]
    )


def extent_of(data: bytes) -> tuple[int, int]:
    """Extent and XAR length (logical blocks) of the record that `data` begins with, whatever its other fields say."""
    _, xar, extent, *_ = ISO_9660.unpack_from(data)
    return extent, xar


def agree(data: bytes, at: int, size: int) -> bool:
    """Whether the halves of a both-endian number, `size` bytes each, are one number."""
    return data[at : at + size] == data[at + size : at + 2 * size][::-1]


def disagreeing(data: bytes, at: int = 0) -> list[str]:
    """The both-endian numbers of the record at `data[at:]` whose halves disagree, by their names."""
    return [name for place, size, name in _BOTH_ENDIAN if not agree(data, at + place, size)]


class Damaged(Protocol):
    """Is told the disc's byte position of what is not sound, what it is, and whether nothing is lost by it."""

    def __call__(self, offset: int, words: str, *, harmless: bool = False) -> None:
        """Takes note."""
        ...


def walk_records(
    data: bytes,
    position: int,
    block_size: int,
    damaged: Damaged,
    ahead: Callable[[int], int] | None = None,
    *,
    head: struct.Struct = ISO_9660,
) -> Iterator[Record]:
    """The sound records of a directory whose bytes are `data`, from byte `position` of the disc on.

    `damaged` is told what is passed over. `ahead` is asked at each place in `data` where a record may begin, whether
    it has read the records from there on, and gives the place behind them: the walk does without these. A record does
    not cross the end of its sector; with logical blocks below 2048 bytes writers disagree where sectors begin, so only
    the end of the directory counts, and a length of 0 leads to the next block.
    """
    at, size = 0, len(data)
    agreeing = True  # writers that get the big-endian halves wrong do so everywhere: said once
    barren = 0  # up to here no record certainly begins
    while at < size:
        if ahead is not None:
            reached = ahead(at)
            if reached > at:
                at = reached
                continue
        if not data[at]:
            rest = block_size - (position + at) % block_size
            if data[at : at + rest].strip(b"\0"):
                damaged(position + at, "directory records behind a gap were passed over")
            at += rest
            continue
        end = min(size, at + SECTOR - (position + at) % SECTOR) if block_size == SECTOR else size
        record = parse_record(data, at, position + at, head)
        if record is not None and at + record.length <= end:
            if agreeing and data[at + 6 : at + 10] != record.extent.to_bytes(4, "big"):
                agreeing = False
                damaged(position + at, "the both-endian numbers of a directory record disagree", harmless=True)
            yield record
            at += record.length
            continue
        damaged(position + at, "a damaged directory record was passed over")
        claimed = at + data[at]
        found = None if barren >= end else _certain_record(data, at + 1, end)
        if found is not None:
            at = found
            continue
        barren = end
        at = claimed if data[at] >= _LEAST and claimed < end and parse_record(data, claimed, 0) is not None else end


def _certain_record(data: bytes, start: int, end: int) -> int | None:
    """The first place from `start` on where a record certainly begins, within the sector that ends at `end`."""
    for candidate in range(start, end - _LEAST + 1):
        if data[candidate] >= _LEAST and _is_certain(data, candidate, end):
            return candidate
    return None


def _is_certain(data: bytes, at: int, end: int) -> bool:
    """Whether a record begins here: both halves of its numbers agree, and its lengths fit."""
    if at + _LEAST > end or at + data[at] > end or not data[at + 32] or data[at] < _HEAD_SIZE + data[at + 32]:
        return False
    return (
        agree(data, at + 2, 4) and agree(data, at + 10, 4) and agree(data, at + 28, 2) and any(data[at + 2 : at + 32])
    )
