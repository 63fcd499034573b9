"""Identifiers on the disc -> names that Linux can show.

| source | rule |
| --- | --- |
| plain, `map=normal` | A-Z become small, a trailing `.;1` or `;1` is dropped, any other `;` or `/` becomes `.` |
| plain, `map=off` | as recorded |
| plain, `map=acorn` | normal, then the marks of a 32-byte ARCHIMEDES area |
| Joliet | UTF-16BE to UTF-8, a trailing `;1` is dropped, then trailing dots |
| Rock Ridge | as recorded |

These are Linux's rules, byte by byte. What no name may hold comes after them: everything from a NUL on is cut off, a
`/` becomes `_`, and a name over 255 bytes is shortened and marked with a hash of the whole.
"""

from __future__ import annotations

import zlib
from typing import Final

from ... import limits

_LOWER: Final = bytes(range(65)) + bytes(range(97, 123)) + bytes(range(91, 256))
_LOWER_AND_DOTS: Final = _LOWER.translate(bytes.maketrans(b";/", b".."))
_ARCHIMEDES: Final = b"ARCHIMEDES"


def map_normal(identifier: bytes) -> bytes:
    """A plain identifier under `map=normal`."""
    name = identifier.partition(b"\0")[0]
    if len(name) == len(identifier):  # Linux counts from the recorded end
        if name.endswith(b".;1"):
            name = name[:-3]
        elif name.endswith(b";1"):
            name = name[:-2]
    return name.translate(_LOWER_AND_DOTS)


def map_acorn(identifier: bytes, system_use: bytes) -> bytes:
    """A plain identifier under `map=acorn`; `system_use` is the record's system use field."""
    name = map_normal(identifier)
    if len(system_use) == 32 and system_use.startswith(_ARCHIMEDES):
        load = system_use[10:14]
        if system_use[19] & 1 and name.startswith(b"_"):
            name = b"!" + name[1:]
        if load[3] == 0xFF and load[2] & 0xF0 == 0xF0:
            name += b",%03x" % ((load[2] & 15) << 8 | load[1])
    return name


def joliet(identifier: bytes) -> bytes:
    """A Joliet identifier as UTF-8; what is no sound UTF-16 becomes U+FFFD."""
    name = identifier[: len(identifier) & ~1].decode("utf-16-be", "replace").partition("\0")[0]
    if len(name) > 2:
        name = name.removesuffix(";1")
    while len(name) >= 2 and name.endswith("."):
        name = name[:-1]
    return name.encode()


def showable(name: bytes) -> bytes:
    """A name without NUL and `/`, of at most 255 bytes; empty where nothing of it can be shown."""
    if b"\0" in name:
        name = name.partition(b"\0")[0]
    if b"/" in name:
        name = name.replace(b"/", b"_")
    if name in (b".", b".."):
        return b""
    if len(name) > limits.NAME_SHOWN:
        mark = b"~%04x" % (zlib.crc32(name) & 0xFFFF)
        name = cut(name, limits.NAME_SHOWN - len(mark)) + mark
    return name


def cut(name: bytes, size: int) -> bytes:
    """The first bytes of a name, at most `size`: not in the middle of a character, where the name is UTF-8."""
    end = min(size, len(name))
    while end < len(name) and end and name[end] & 0xC0 == 0x80:
        end -= 1
    return name[: end or size]


def printable(text: str) -> str:
    """A name for messages: what could steer a terminal or break a line is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def folded(name: bytes, *, joliet: bool) -> bytes:
    """What two names have in common that `check=relaxed` takes for one: ASCII case, and Joliet's trailing dots."""
    if joliet:
        name = name.rstrip(b".") or name
    return name.translate(_LOWER)
