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

Attribute lists (AL, see `aaip`) may be far longer than all else, and stand behind it. Where nobody asks for them they
are not read: a continuation area counts as far as its first KiB if a list goes on there.

CD-ROM XA puts 14 bytes in front: attributes at 4, big-endian, `XA` at 6, zeros from 9 on. `SP` should tell to skip
them; some discs do not say it.
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
XA_FORM_2: Final = 0x1000
"""Attribute of a file whose sectors hold 2324 bytes each."""
XA_AUDIO: Final = 0x4000
"""Attribute of a file that is an audio track."""
_HEAD: Final = limits.KIB
"""Bytes of a continuation area that are read first."""
_AT_ONCE: Final = 4096
"""Bytes of one record's entries that a thread which must not wait looks at."""


class Allowance:
    """Bytes of continuation areas that may still be read: for one record, or for all of a directory together.

    Otherwise a small directory, each record of it with the same large area, is work for hours.
    """

    def __init__(self, size: int = limits.CONTINUATION_BYTES, *, each: int = 0) -> None:
        self.left = size
        self.each = each
        """Bytes that each entry counts besides its own: short ones are as much work as long ones."""


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


def xa_attributes(system_use: bytes) -> int:
    """The attributes that CD-ROM XA records in a field; 0 without XA."""
    is_xa = system_use[6:8] == b"XA" and len(system_use) >= _XA_SIZE and not any(system_use[9:_XA_SIZE])
    return int.from_bytes(system_use[4:6], "big") if is_xa else 0


def entries(
    area: bytes,
    disc: Source,
    block_size: int,
    damaged: Callable[[str], None],
    allowance: Allowance,
    *,
    attributes: bool = False,
    odd: Callable[[str], None] | None = None,
) -> Iterator[Entry]:
    """The sound entries of a field (`behind_xa`) and its continuation areas, without CE and padding.

    `damaged` is told why a continuation is not followed, `odd` what is passed over. `attributes`: whether all of an
    attribute list is wanted. A thread that must not wait gets `NotReady` for much work.
    """
    most_areas = limits.ATTRIBUTE_AREAS if attributes else limits.CONTINUATIONS
    most = limits.ATTRIBUTE_BYTES if attributes else limits.CONTINUATION_BYTES
    visited: set[tuple[int, int]] = set()
    collected = size = len(area)
    while True:
        continuation: tuple[int, int, int] | None = None
        at = count = 0
        while at + 4 <= len(area):
            length = area[at + 2]
            if length < 4 or at + length > len(area):
                break
            entry = area[at : at + length]
            signature = entry[:2]
            at += length
            count += 1
            if signature == b"CE":
                if odd is not None and length < 28:
                    odd("its CE entry is too short")
                if odd is not None and continuation is not None:
                    odd("an area has two CE entries; the last one counts")
                if length >= 28:
                    continuation = _CE.unpack_from(entry)
            elif signature == b"ST":
                at = len(area)
            elif signature != b"PD":
                yield signature, entry
        if odd is not None and len(area) == size and area[at:].strip(b"\0"):
            odd(_remainder(area[at:]))
        allowance.left -= count * allowance.each
        if continuation is None or (visited and not attributes and _list_goes_on(area)):
            return
        block, offset, size = continuation
        if (block, offset) in visited:
            damaged("its continuation areas form a loop")
            return
        if len(visited) >= most_areas:
            damaged(f"more than {most_areas} continuation areas")
            return
        visited.add((block, offset))
        place = block * block_size + offset
        area = b""
        while len(area) < size and (attributes or not _list_goes_on(area)):
            n = size - len(area) if attributes or area else min(size, _HEAD)
            if collected + n > most or n > allowance.left:
                damaged("too many bytes of system use entries")
                return
            collected += n
            allowance.left -= n
            if collected > _AT_ONCE and not may_wait():
                raise NotReady
            try:
                piece = disc.pread(n, place + len(area))
            except ImageError as error:
                damaged(f"its continuation area cannot be read: {error.reason}")
                return
            if len(piece) < n:
                damaged("its continuation area lies beyond the end of the disc")
                return
            area += piece


def _remainder(rest: bytes) -> str:
    """What is to be said of bytes behind the last entry of an area."""
    if len(rest) < 4:
        return f"{len(rest)} bytes behind its system use entries are none"
    return f"its system use entries end with one of {rest[2]} bytes, where {len(rest)} are left"


def _list_goes_on(area: bytes) -> bool:
    """Whether the last attribute list in an area goes on behind it."""
    found = False
    at = 0
    while at + 5 <= len(area) and area[at + 2] >= 4:
        if area[at : at + 2] == b"AL":
            found = bool(area[at + 4] & 1)
        at += area[at + 2]
    return found
