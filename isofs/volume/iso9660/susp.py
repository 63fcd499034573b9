"""System use entries (SUSP 1.12): the walk over a record's system use field and its continuation areas.

Every entry: signature (2 bytes), length of the whole entry (1, at least 4), version (1), data.

| entry | length | data at offset 4 | |
| --- | --- | --- | --- |
| `SP` | 7 | BE EF, bytes to skip | only in the root's `.`: at 0, or at 14 behind XA attributes |
| `CE` | 28 | block, offset, length (both-endian) | the field goes on there |
| `ST` | 4 | | nothing follows |
| `ER` | 8 + n | lengths of id, descriptor, source; version; texts | names an extension, in the root's `.` |

A remainder too short for an entry, or an entry that does not fit, ends the area: what was read before it counts. Only
one continuation is followed from each area, the last one named, `limits.CONTINUATIONS` in all and none twice.

CD-ROM XA puts 14 bytes in front, with `XA` at 6 and 7. `SP` should tell to skip them; some discs do not say it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

from ... import limits
from ...errors import ImageError, NotReady
from ...image.source import Source, may_wait

_CE: Final = struct.Struct("<4xI4xI4xI4x")
_XA_SIZE: Final = 14
_AT_ONCE: Final = 4096
"""Bytes of one record's entries that a thread which must not wait looks at."""


class Allowance:
    """Bytes of continuation areas that may still be read: for one record, or for all of a directory together.

    Otherwise a small directory, each record of it with the same large area, is work for hours.
    """

    def __init__(self, size: int = limits.CONTINUATION_BYTES) -> None:
        self.left = size


Entry = tuple[bytes, bytes]
"""Signature, and the whole entry."""


def skip_of(root_system_use: bytes) -> int | None:
    """Bytes to skip in every other record's field, as SP in the root's `.` tells; None where there is no SP."""
    for at in (0, _XA_SIZE):
        if root_system_use[at : at + 2] == b"SP" and root_system_use[at + 4 : at + 6] == b"\xbe\xef":
            return root_system_use[at + 6] if len(root_system_use) > at + 6 else None
    return None


def behind_xa(system_use: bytes, skip: int) -> bytes:
    """The field from its first system use entry on: `skip` bytes in, or behind XA attributes that nobody announced."""
    if not skip and system_use[6:8] == b"XA":
        skip = _XA_SIZE
    return system_use[skip:] if skip else system_use


def entries(
    area: bytes, disc: Source, block_size: int, damaged: Callable[[str], None], allowance: Allowance
) -> Iterator[Entry]:
    """The sound entries of a field (`behind_xa`) and its continuation areas, without CE and padding.

    `damaged` is told why a continuation is not followed. A thread that must not wait gets `NotReady` for much work.
    """
    visited: set[tuple[int, int]] = set()
    collected = len(area)
    while True:
        continuation: tuple[int, int, int] | None = None
        at = 0
        while at + 4 <= len(area):
            length = area[at + 2]
            if length < 4 or at + length > len(area):
                break
            entry = area[at : at + length]
            signature = entry[:2]
            at += length
            if signature == b"CE":
                if length >= 28:
                    continuation = _CE.unpack_from(entry)
            elif signature == b"ST":
                break
            elif signature != b"PD":
                yield signature, entry
        if continuation is None:
            return
        block, offset, size = continuation
        collected += size
        if (block, offset) in visited:
            damaged("its continuation areas form a loop")
            return
        if len(visited) >= limits.CONTINUATIONS:
            damaged(f"more than {limits.CONTINUATIONS} continuation areas")
            return
        allowance.left -= size
        if collected > limits.CONTINUATION_BYTES or allowance.left < 0:
            damaged("too many bytes of system use entries")
            return
        if collected > _AT_ONCE and not may_wait():
            raise NotReady
        visited.add((block, offset))
        try:
            area = disc.pread(size, block * block_size + offset)
        except ImageError as error:
            damaged(f"its continuation area cannot be read: {error.reason}")
            return
        if len(area) < size:
            damaged("its continuation area lies beyond the end of the disc")
            return
