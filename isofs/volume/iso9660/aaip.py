"""Extended attributes and access control lists (AAIP 2.0, by libisofs): what the AL entries of one record say.

An AL entry has flags at 4 (1: the list goes on in the next AL) and bytes from 5 on. Those of all entries make one row
of components, each of one or more pieces; a piece may begin in one entry and end in the next.

| piece | size | |
| --- | --- | --- |
| flags | 1 | 1: the component goes on in the next piece |
| length | 1 | |
| bytes | n | |

Two components are a name and its value. The first byte of a name may stand for a prefix: 2 `system.`, 3 `user.`,
4 `isofs.`, 5 `trusted.`, 6 `security.`; 1 for none, before a byte below 32. The value of the empty name is the access
control list, and that for new files in a directory, entry by entry:

| bits of the first byte | |
| --- | --- |
| 0..2 | execute, write, read |
| 3 | a qualifier follows: a byte of its length (bit 7: and one more follows), bytes |
| 4..7 | 1 owner, 3 owning group, 5 mask, 6 others, 10 user, 12 group (qualifier: number, big-endian, 1 to 4 bytes), |
| | 8 the list for new files begins, 0 how a user is called (ignored) |

Linux knows such lists as attributes: version 2 (4 bytes), then for each entry tag (2), permissions (2), number (4), all
little-endian. libisofs writes these, too, if it was told to take all attributes as they are.

**What is shown**: `user.*`, `trusted.*` (for root) and the lists. Not what is of no use outside of libisofs
(`isofs.*`), nor what a kernel would believe: labels and capabilities (`security.*`) and marks of overlayfs
(`trusted.overlay.*`) are the word of whoever wrote the disc. The kernel itself asks with the rights of the process that
it serves, so root cannot be shown them either.

Damage costs the attribute, or those behind it.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from ... import limits
from .names import printable
from .susp import Entry

ACCESS: Final = b"system.posix_acl_access"
DEFAULT: Final = b"system.posix_acl_default"
"""The list for new files in a directory."""

_CONTINUE: Final = 1
_NAMESPACES: Final = {1: b"", 2: b"system.", 3: b"user.", 4: b"isofs.", 5: b"trusted.", 6: b"security."}
_SHOWN: Final = (b"user.", b"trusted.")
_OWN: Final = b"isofs."
_BELIEVED: Final = b"trusted.overlay."

_QUALIFIER: Final = 8
_NAMES, _SWITCH, _USER, _GROUP = 0, 8, 10, 12
_OWNER_TAG, _USER_TAG, _OWNING_GROUP_TAG, _GROUP_TAG, _MASK_TAG, _OTHERS_TAG = 1, 2, 4, 8, 16, 32
_TAGS: Final = {1: _OWNER_TAG, _USER: _USER_TAG, 3: _OWNING_GROUP_TAG, _GROUP: _GROUP_TAG, 5: _MASK_TAG, 6: _OTHERS_TAG}
_NEEDED: Final = (_OWNER_TAG, _OWNING_GROUP_TAG, _OTHERS_TAG)
_NAMED: Final = (_USER_TAG, _GROUP_TAG)
_NOBODY: Final = 0xFFFF_FFFF
_VERSION: Final = struct.Struct("<I")
_ACL_ENTRY: Final = struct.Struct("<HHI")


class _Permission(NamedTuple):
    """An entry of an access control list. In the order of the tags, as Linux wants them."""

    tag: int
    number: int
    """Of the user or group."""
    bits: int


class _Unsound(Exception):
    """An access control list that cannot be right."""


def announced(entries: Iterable[Entry]) -> bool:
    """Whether files of a disc may have attributes, as the entries of its root's `.` tell.

    libisofs gives the root itself attributes as soon as any file may have some; ER it writes on request.
    """
    return any(
        signature == b"AL" or (signature == b"ER" and b"AAIP_" in entry[8 : 8 + entry[4]])
        for signature, entry in entries
        if len(entry) > 4
    )


def attributes(
    entries: Iterable[Entry],
    mode_of: Callable[[], int],
    damaged: Callable[[str], None],
    *,
    lists: bool = True,
    own: dict[bytes, bytes] | None = None,
) -> dict[bytes, bytes]:
    """The attributes of a file by the names that Linux has for them.

    `mode_of` gives the file's mode, as st_mode, and is asked if there are any. `lists`: whether access control lists
    are wanted. `damaged` is told what is left out because it cannot be right, or cannot be had in Linux. `own` gets
    what libisofs tells itself.
    """
    found: dict[bytes, bytes] = {}
    raw, whole = _joined(entries)
    parts, complete = _components(raw)
    if not (whole and complete):
        damaged("its list of attributes is cut off")
    room = limits.ATTRIBUTE_SIZE
    for name, value in zip(parts[::2], parts[1::2], strict=False):
        shown = _linux_name(name)
        if own is not None and shown.startswith(_OWN):
            own[shown] = value
        if _is_list(shown) and not lists:
            continue
        for key, content in _lists(shown, value, mode_of(), damaged) if _is_list(shown) else ((shown, value),):
            if not _can_be_shown(key, content, mode_of, damaged):
                continue
            if key in found:
                if found[key] != content:
                    damaged(f"its attribute {_told(key)} is there twice; the first one is shown")
                continue
            room -= len(key) + 1
            if room < 0:
                damaged("it has more attributes than Linux can list")
                return found
            found[key] = content
    return found


def _joined(entries: Iterable[Entry]) -> tuple[bytes, bool]:
    """The bytes of a record's attribute list, and whether that is all of it."""
    pieces = []
    more = False
    for signature, entry in entries:
        if signature == b"AL" and len(entry) > 4:
            pieces.append(entry[5:])
            more = bool(entry[4] & _CONTINUE)
            if not more:
                break
    return b"".join(pieces), not more


def _components(raw: bytes) -> tuple[list[bytes], bool]:
    """The components that are complete, and whether nothing else is there."""
    found: list[bytes] = []
    pieces: list[bytes] = []
    at = 0
    while at + 2 <= len(raw):
        flags, length = raw[at], raw[at + 1]
        end = at + 2 + length
        if flags & ~_CONTINUE or end > len(raw):
            break
        pieces.append(raw[at + 2 : end])
        at = end
        if not flags:
            found.append(b"".join(pieces))
            pieces = []
    return found, at == len(raw) and not pieces and len(found) % 2 == 0


def _linux_name(name: bytes) -> bytes:
    """What Linux calls an attribute; a name without a known prefix stays as it is."""
    return _NAMESPACES[name[0]] + name[1:] if name and name[0] in _NAMESPACES else name


def _is_list(name: bytes) -> bool:
    return name in (b"", ACCESS, DEFAULT)


def _told(name: bytes) -> str:
    return printable(name.decode("utf-8", "backslashreplace"))


def _can_be_shown(name: bytes, value: bytes, mode_of: Callable[[], int], damaged: Callable[[str], None]) -> bool:
    """Whether Linux can have an attribute, and shall."""
    if _is_list(name):
        return bool(name and value)
    if not name.startswith(_SHOWN) or name.startswith(_BELIEVED):
        return False
    if name.startswith(b"user.") and stat.S_IFMT(mode_of()) not in (stat.S_IFREG, stat.S_IFDIR):
        return False  # Linux gives them to no others
    if name in _SHOWN or b"\0" in name or len(name) > limits.ATTRIBUTE_NAME:
        damaged(f"its attribute {_told(name)} has a name that Linux cannot show")
        return False
    if len(value) > limits.ATTRIBUTE_SIZE:
        damaged(f"its attribute {_told(name)} has {len(value)} bytes, more than Linux can show")
        return False
    return True


# --- access control lists -------------------------------------------------------------------------------------------


def _lists(name: bytes, value: bytes, mode: int, damaged: Callable[[str], None]) -> Iterable[tuple[bytes, bytes]]:
    """The lists that a value holds, in the form that Linux has for them; none where they cannot be right."""
    try:
        access, default = _compact(value) if not name else _linux_lists(name, value)
        found = {ACCESS: _for_linux(access), DEFAULT: _for_linux(default)}
    except _Unsound as error:
        damaged(f"its access control list cannot be right: {error}")
        return ()
    if access and _permissions(access) != mode & 0o777:
        damaged("its access control list contradicts its permissions")
        found[ACCESS] = b""
    if len(access) == len(_NEEDED):  # says nothing that the permissions do not: Linux keeps no such list
        found[ACCESS] = b""
    if not stat.S_ISDIR(mode):
        found[DEFAULT] = b""
    return found.items()


def _compact(value: bytes) -> tuple[list[_Permission], list[_Permission]]:
    """The two lists in AAIP's own form."""
    if len(value) > limits.ATTRIBUTE_SIZE:
        raise _Unsound("it is too long")
    lists: tuple[list[_Permission], list[_Permission]] = ([], [])
    current = lists[0]
    at = 0
    while at < len(value):
        flags = value[at]
        at += 1
        qualifier = []
        more = bool(flags & _QUALIFIER)
        while more:
            if at >= len(value) or at + 1 + (value[at] & 0x7F) > len(value):
                raise _Unsound("it is cut off")
            more, length = value[at] > 0x7F, value[at] & 0x7F
            qualifier.append(value[at + 1 : at + 1 + length])
            at += 1 + length
        number = b"".join(qualifier)
        kind = flags >> 4
        if kind == _SWITCH and current is lists[0]:
            current = lists[1]
        elif kind in _TAGS and (1 <= len(number) <= 4 if kind in (_USER, _GROUP) else not number):
            current.append(_Permission(_TAGS[kind], int.from_bytes(number, "big") if number else _NOBODY, flags & 7))
        elif kind != _NAMES:
            raise _Unsound(f"an entry of kind {kind}")
    return lists


def _linux_lists(name: bytes, value: bytes) -> tuple[list[_Permission], list[_Permission]]:
    """A list in the form that Linux has for it, which one by its name."""
    if len(value) % _ACL_ENTRY.size != _VERSION.size or value[: _VERSION.size] != _VERSION.pack(2):
        raise _Unsound("not of version 2")
    found = [
        _Permission(tag, number if tag in _NAMED else _NOBODY, bits)
        for tag, bits, number in _ACL_ENTRY.iter_unpack(value[_VERSION.size :])
    ]
    return ([], found) if name == DEFAULT else (found, [])


def _for_linux(entries: list[_Permission]) -> bytes:
    """A list as the value of an attribute; empty for an empty one. Sorts the entries. Raises `_Unsound`."""
    if not entries:
        return b""
    entries.sort()
    tags = [entry.tag for entry in entries]
    if len(tags) > limits.ACL_ENTRIES:
        raise _Unsound("it is too long")
    named = any(tag in _NAMED for tag in tags)
    if any(tags.count(tag) != 1 for tag in _NEEDED) or not named <= tags.count(_MASK_TAG) <= 1:
        raise _Unsound("entries are missing, or there twice")
    if len({entry[:2] for entry in entries}) < len(entries):
        raise _Unsound("it names a user or group twice")
    if any(entry.tag not in _TAGS.values() or entry.bits > 7 for entry in entries):
        raise _Unsound("entries that Linux does not know")
    if any(entry.tag in _NAMED and entry.number == _NOBODY for entry in entries):
        raise _Unsound("a user or group that cannot be")
    return _VERSION.pack(2) + b"".join(_ACL_ENTRY.pack(entry.tag, entry.bits, entry.number) for entry in entries)


def _permissions(entries: list[_Permission]) -> int:
    """The permissions that agree with a sound list: the mask, where there is one, is the group's."""
    bits = {entry.tag: entry.bits for entry in entries}
    group = bits.get(_MASK_TAG, bits[_OWNING_GROUP_TAG])
    return bits[_OWNER_TAG] << 6 | group << 3 | bits[_OTHERS_TAG]
