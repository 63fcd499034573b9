"""AppleDouble (RFC 1740, version 2): a resource fork and what the Finder knows of a file, as `._NAME` beside NAME.

| at | size | field | |
| --- | --- | --- | --- |
| 0 | 4 | magic | 00 05 16 07 |
| 4 | 4 | version | 2 in the high half |
| 8 | 16 | filler | zeros |
| 24 | 2 | number of entries | 2 |
| 26 | 12 | first entry: id, offset, length | 9, the Finder info; 50; 32 |
| 38 | 12 | second entry | 2, the resource fork; 82; its length |
| 50 | 32 | Finder info | type, creator, flags; the rest is not recorded: zeros |
| 82 | | resource fork | |

Numbers are big-endian. On an ISO 9660 disc with Apple's extensions the fork is the associated file, and the system use
entry `AA` of its record, 14 bytes long and with 2 in place of the version, holds type, creator and flags (10 bytes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from ...image.source import Source
from .susp import Entry

_HEADER: Final = struct.Struct(">II16xHIIIIII32s")
HEADER_SIZE: Final = _HEADER.size
"""Bytes in front of the fork."""
FORK_SIZE: Final = (1 << 32) - 1
"""Bytes of the largest fork that can be told."""

_FINDER_INFO, _RESOURCE_FORK = 9, 2
_INFO_AT: Final = HEADER_SIZE - 32
_HFS: Final = 2
"""What kind of Apple's entry it is; 1 is that of ProDOS."""


def finder_info(entries: Iterable[Entry]) -> bytes | None:
    """Type, creator and flags, as a record's system use entries tell; None where they do not."""
    for signature, entry in entries:
        if signature == b"AA" and len(entry) == 14 and entry[3] == _HFS:
            return entry[4:]
    return None


class AppleDouble:
    """The file of a resource fork. A `Source`."""

    def __init__(self, info: bytes, fork: Source) -> None:
        entries = (_FINDER_INFO, _INFO_AT, HEADER_SIZE - _INFO_AT, _RESOURCE_FORK, HEADER_SIZE, fork.size)
        self._header = _HEADER.pack(0x0005_1607, 0x0002_0000, 2, *entries, info)
        self._fork = fork
        self.size = HEADER_SIZE + fork.size

    def pread(self, n: int, offset: int) -> bytes:
        """See `Source.pread`."""
        if n <= 0 or offset < 0:
            return b""
        head = self._header[offset : offset + n]
        more = n - len(head)
        return head + self._fork.pread(more, max(offset - HEADER_SIZE, 0)) if more else head
