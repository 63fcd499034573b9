"""Rock Ridge (RRIP 1.09, 1.10, 1.12): what the system use entries of one record say.

Numbers are both-endian, read by their little-endian half. Offsets in the entry:

| entry | length | fields |
| --- | --- | --- |
| `PX` | 36 or 44 | 4 mode, 12 links, 20 uid, 28 gid, 36 serial number |
| `PN` | 20 | 4 device high, 12 device low |
| `SL` | 5 + n | 4 flags (1: goes on in the next SL), components: flags, length, text |
| `NM` | 5 + n | 4 flags (1: goes on, 2: `.`, 4: `..`), text |
| `CL` | 12 | 4 block of a directory that stands here but is recorded elsewhere |
| `PL` | 12 | 4 block of the directory that a relocated one belongs to |
| `RE` | 4 | the record is a relocated directory's: not to be listed |
| `TF` | 5 + n | 4 flags (1 creation, 2 modification, 4 access, 8 attributes, 80h long form), stamps in that order |
| `SF` | 21, or 12 in 1.09 | 4 size (high), 12 size (low), 20 depth of its table |
| `ZF`, `Z2` | 16 | zisofs: 3 version, 4 algorithm, 6 header size / 4, 7 log2 of the block size, 8 size |
| `RR` | 5 | which entries there are (1.09); ignored |

An entry too short for its fields is passed over and counts as absent. A component of a link target that overruns its
entry makes the target unreadable.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from ... import limits
from ...errors import ImageError
from .dates import long_time, short_time
from .susp import Entry

_PX: Final = struct.Struct("<4xI4xI4xI4xI4x")
_SERIAL: Final = struct.Struct("<36xI4x")
_PN: Final = struct.Struct("<4xI4xI4x")
_BLOCK: Final = struct.Struct("<4xI4x")
_SF: Final = struct.Struct("<4xI4xI4xB")
_ZF: Final = struct.Struct("<4x2sBBI4x")
_ZF_2: Final = struct.Struct("<4x2sBBQ")

_NM_CONTINUE: Final = 1
_TF_CREATION, _TF_MODIFICATION, _TF_ACCESS, _TF_ATTRIBUTES, _TF_LONG = 1, 2, 4, 8, 0x80
_SL_CONTINUE, _SL_CURRENT, _SL_PARENT, _SL_ROOT = 1, 2, 4, 8
_SL_KINDS: Final = (0, _SL_CURRENT, _SL_PARENT, _SL_ROOT)

_TYPES: Final = frozenset(
    (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
)


class Zisofs(NamedTuple):
    """What ZF or Z2 says of a compressed file."""

    algorithm: bytes
    """Two letters: `pz` in version 1; `PZ`, `XZ`, `L4`, `ZD`, `B2` in version 2."""
    header_size: int
    log2: int
    size: int
    """Bytes of the file, decoded."""


class RockRidge:
    """The entries of one record. What was not recorded is None (or False, or empty)."""

    __slots__ = (
        "accessed", "changed", "child", "device", "gid", "links", "mode", "modified", "name", "nlink", "parent",
        "relocated", "serial", "sparse_size", "uid", "unsure", "zisofs",
    )  # fmt: skip

    def __init__(self) -> None:
        self.name: bytes | None = None
        self.mode: int | None = None
        """As st_mode; its type is one that Linux knows."""
        self.nlink = 1
        self.uid = 0
        self.gid = 0
        self.serial: int | None = None
        self.device: tuple[int, int] | None = None
        """High and low word of PN."""
        self.links: list[bytes] = []
        """SL entries in their order."""
        self.child: int | None = None
        """Logical block of CL."""
        self.parent: int | None = None
        """Logical block of PL."""
        self.relocated = False
        self.accessed: int | None = None
        self.modified: int | None = None
        self.changed: int | None = None
        self.zisofs: Zisofs | None = None
        self.sparse_size: int | None = None
        self.unsure = False
        """Entries are lost that could say what the data is: compressed, sparse, elsewhere."""

    @property
    def rdev(self) -> int:
        """The device number, as st_rdev. A low word above 255 without a high one holds the whole number."""
        if self.device is None:
            return 0
        high, low = self.device
        if not high and low > 255:
            return os.makedev(low >> 8 & 0xFFF, low & 0xFF | low >> 12 & 0xFFF00)
        return os.makedev(high & 0xFFF, low & 0xFFFFF)

    def target(self, odd: Callable[[str], None] | None = None) -> bytes:
        """The target of a symbolic link; `odd`: see `parse`. Raises `ImageError` where it cannot be right."""
        return link_target(self.links, odd)


def parse(
    entries: Iterable[Entry], damaged: Callable[[str], None], odd: Callable[[str], None] | None = None
) -> RockRidge:
    """What the entries of one record say.

    `damaged` is told of those that are too short or impossible, `odd` of what else contradicts itself.
    """
    found = RockRidge()
    seen: set[bytes] = set()
    name: list[bytes] = []
    elsewhere = False
    for signature, entry in entries:
        size = len(entry)
        if odd is not None and signature in _LOOKED_AT:
            _look_at(signature, entry, signature in seen, odd)
            seen.add(signature)
        if signature == b"NM":
            if size >= 5 and not entry[4] & ~_NM_CONTINUE:
                name.append(entry[5:].partition(b"\0")[0])
            elif size >= 5:
                elsewhere = True
        elif signature == b"PX" and size >= 36:
            mode, found.nlink, found.uid, found.gid = _PX.unpack_from(entry)
            if stat.S_IFMT(mode) in _TYPES:
                found.mode = mode & 0o177777
            else:
                damaged(f"its mode {mode:o} is of no known type")
            if size >= 44:
                (found.serial,) = _SERIAL.unpack_from(entry)
        elif signature == b"TF" and size >= 5:
            _times(entry, found, odd)
        elif signature == b"SL" and size >= 5:
            found.links.append(entry)
        elif signature == b"RE":
            found.relocated = True
        elif signature == b"CL" and size >= 12:
            (found.child,) = _BLOCK.unpack_from(entry)
        elif signature == b"PL" and size >= 12:
            (found.parent,) = _BLOCK.unpack_from(entry)
        elif signature == b"PN" and size >= 20:
            found.device = _PN.unpack_from(entry)
        elif signature in (b"ZF", b"Z2") and size >= 16:
            layout = _ZF_2 if entry[3] == 2 else _ZF
            algorithm, quarters, log2, length = layout.unpack_from(entry)
            found.zisofs = Zisofs(algorithm, 4 * quarters, log2, length)
        elif signature == b"SF" and size >= 12:
            found.sparse_size = _sparse_size(entry)
        elif signature in _KNOWN:
            damaged(f"its {signature.decode()} entry is too short")
            found.unsure = found.unsure or signature in _ABOUT_DATA
    if name and not elsewhere:
        found.name = b"".join(name)[: limits.NAME_COLLECTED]
    return found


_KNOWN: Final = frozenset((b"PX", b"TF", b"SL", b"CL", b"PL", b"PN", b"ZF", b"Z2", b"SF"))


_ABOUT_DATA: Final = frozenset((b"CL", b"ZF", b"Z2", b"SF"))
_ONCE: Final = frozenset((b"PX", b"CL", b"PL", b"PN", b"ZF", b"Z2", b"SF"))
_NUMBERS: Final[dict[bytes, tuple[int, ...]]] = {
    b"PX": (4, 12, 20, 28, 36),
    b"PN": (4, 12),
    b"CL": (4,),
    b"PL": (4,),
    b"SF": (4, 12),
    b"ZF": (8,),
}
"""Where the both-endian numbers of an entry of version 1 are."""
_LOOKED_AT: Final = _ONCE | {b"NM", b"ER"}


def _sparse_size(entry: bytes) -> int:
    if len(entry) >= 21:
        high, low, _ = _SF.unpack_from(entry)
        return int(high) << 32 | int(low)
    (size,) = _BLOCK.unpack_from(entry)
    return int(size)


def _look_at(signature: bytes, entry: bytes, repeated: bool, odd: Callable[[str], None]) -> None:
    """Tells what cannot be right with an entry, and is passed over."""
    name = signature.decode("ascii", "backslashreplace")
    if repeated and signature in _ONCE:
        odd(f"it has two {name} entries; the last one counts")
    numbers = _NUMBERS.get(signature, ()) if entry[3] == 1 else ()
    if any(entry[at : at + 4] != entry[at + 4 : at + 8][::-1] for at in numbers if at + 8 <= len(entry)):
        odd(f"the both-endian numbers of its {name} entry disagree")
    if signature == b"NM" and len(entry) < 5:
        odd("its NM entry is too short")
    if signature == b"ER" and (len(entry) < 8 or 8 + sum(entry[4:7]) > len(entry)):
        odd("its ER entry is shorter than the texts that it announces")


def _times(entry: bytes, found: RockRidge, odd: Callable[[str], None] | None) -> None:
    flags = entry[4]
    size, read = (17, long_time) if flags & _TF_LONG else (7, short_time)
    at = 5
    created = None
    for bit in (_TF_CREATION, _TF_MODIFICATION, _TF_ACCESS, _TF_ATTRIBUTES):
        if not flags & bit:
            continue
        stamp = entry[at : at + size]
        if len(stamp) < size:
            if odd is not None:
                odd("its TF entry is shorter than the times that it announces")
            break
        at += size
        time = read(stamp)
        if odd is not None and time is None and stamp.strip(b"\x000"):
            odd("its TF entry has a time that no calendar has")
        if bit == _TF_CREATION:
            created = time
        elif bit == _TF_MODIFICATION:
            found.modified = time
        elif bit == _TF_ACCESS:
            found.accessed = time
        else:
            found.changed = time
    if found.changed is None:
        found.changed = created


def link_target(links: Iterable[bytes], odd: Callable[[str], None] | None = None) -> bytes:
    """The target that SL entries spell, as Linux joins it: with slashes between the components.

    `odd` is told of what is passed over. Raises `ImageError` for no entries, a component that overruns its entry, or
    more than `limits.LINK_TARGET` bytes.
    """
    target = bytearray()
    slash = more = unfinished = False
    for entry in links:
        more = bool(entry[4] & _SL_CONTINUE)
        at = 5
        while at + 2 <= len(entry):
            flags, length = entry[at], entry[at + 1]
            text = entry[at + 2 : at + 2 + length]
            if len(text) < length:
                raise ImageError("a component of the link's target overruns its entry")
            at += 2 + length
            if slash:
                target += b"/"
            kind = flags & ~_SL_CONTINUE
            if kind == _SL_ROOT:
                target += b"/"
            elif kind == _SL_CURRENT:
                target += b"."
            elif kind == _SL_PARENT:
                target += b".."
            elif not kind:
                target += text.partition(b"\0")[0]
            if odd is not None and (kind not in _SL_KINDS or b"\0" in text or (kind and text)):
                odd(f"its link's target has a component of flags {flags} that is not shown as it is recorded")
            unfinished = bool(flags & _SL_CONTINUE)
            slash = not flags & _SL_CONTINUE and kind != _SL_ROOT
            if len(target) > limits.LINK_TARGET:
                raise ImageError(f"the link's target is longer than {limits.LINK_TARGET} bytes")
    if more or unfinished:
        raise ImageError("the rest of the link's target is missing")
    if not target:
        raise ImageError("the symbolic link has no target")
    return bytes(target)
