"""Identifiers on the disc -> names that Linux can show.

| source | rule |
| --- | --- |
| plain, `map=normal` | A-Z become small, a trailing `.;1` or `;1` is dropped, any other `;` or `/` becomes `.` |
| plain, `map=off` | as recorded |
| plain, `map=acorn` | normal, then the marks of a 32-byte ARCHIMEDES area |
| Joliet | UTF-16BE to `iocharset`, a trailing `;1` is dropped, then trailing dots |
| Rock Ridge, ISO 9660:1999 | as recorded |

These are Linux's rules, byte by byte. What no name may hold comes after them: everything from a NUL on is cut off, a
`/` becomes `_`, and a name over 255 bytes is shortened and marked with a hash of the whole.
"""

from __future__ import annotations

import codecs
import re
import zlib
from typing import Final, Literal

from ... import limits

_LOWER: Final = bytes(range(65)) + bytes(range(97, 123)) + bytes(range(91, 256))
_LOWER_AND_DOTS: Final = _LOWER.translate(bytes.maketrans(b";/", b".."))
_RELAXED: Final = bytes(b + 32 if 65 <= b <= 90 or (192 <= b <= 222 and b != 215) else b for b in range(256))
_ARCHIMEDES: Final = b"ARCHIMEDES"
_CHARSET: Final = re.compile(r"[A-Za-z0-9_.:-]{1,40}", re.ASCII)
_ASCII: Final = "".join(map(chr, range(128)))
_QUESTION_MARKS: Final = "isofs.question_marks"


def map_normal(identifier: bytes) -> bytes:
    """A plain identifier under `map=normal`."""
    name = identifier.partition(b"\0")[0]
    if len(name) == len(identifier):  # Linux counts from the recorded end
        if name.endswith(b".;1"):
            name = name[:-3]
        elif name.endswith(b";1"):
            name = name[:-2]
    return name.translate(_LOWER_AND_DOTS)


def map_acorn(identifier: bytes, system_use: bytes, *, directory: bool = False) -> bytes:
    """A plain identifier under `map=acorn`; `system_use` is the record's system use field. Directories have no type."""
    name = map_normal(identifier)
    if len(system_use) == 32 and system_use.startswith(_ARCHIMEDES):
        load = system_use[10:14]
        if system_use[19] & 1 and name.startswith(b"_"):
            name = b"!" + name[1:]
        if not directory and load[3] == 0xFF and load[2] & 0xF0 == 0xF0:
            name += b",%03x" % ((load[2] & 15) << 8 | load[1])
    return name


def joliet(identifier: bytes, codec: str = "utf-8") -> bytes:
    """A Joliet identifier in an encoding; what it lacks becomes `?`, what is no sound UTF-16 U+FFFD first."""
    name = identifier[: len(identifier) & ~1].decode("utf-16-be", "replace").partition("\0")[0]
    if len(name) > 2:
        name = name.removesuffix(";1")
    while len(name) >= 2 and name.endswith("."):
        name = name[:-1]
    return name.encode(codec, _QUESTION_MARKS)


def codec_of(charset: str) -> str:
    """Python's name for an encoding of file names, which ASCII must be a part of; empty if there is none such."""
    if not _CHARSET.fullmatch(charset):
        return ""
    try:
        codec = codecs.lookup("utf-8" if charset == "default" else charset).name
        fits = _ASCII.encode(codec) == _ASCII.encode() and b"\x1b" not in "\u3042".encode(codec, "replace")
    except (LookupError, ValueError):
        return ""
    return codec if fits else ""


def _question_marks(error: UnicodeError) -> tuple[str, int]:
    """One for each unit of UTF-16, as in Linux."""
    assert isinstance(error, UnicodeEncodeError)
    lost = error.object[error.start : error.end]
    return "?" * (len(lost.encode("utf-16-be", "surrogatepass")) // 2), error.end


codecs.register_error(_QUESTION_MARKS, _question_marks)


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


def folded(name: bytes, *, joliet: bool, cased: bool = False, charset: str = "utf-8") -> bytes:
    """What two names have in common that are taken for one where case does not count.

    For `check=relaxed` that is the case of Latin-1 letters, as in Linux, and Joliet's trailing dots; with `cased`, and
    in other encodings than UTF-8, the case of all letters.
    """
    if joliet:
        name = name.rstrip(b".") or name
    return in_case(name, "insensitive", charset) if cased or charset != "utf-8" else name.translate(_RELAXED)


def in_case(name: bytes, case: Literal["insensitive", "lower", "upper"], charset: str = "utf-8") -> bytes:
    """A name in small or in capital letters, or in those that only serve comparisons.

    Letters that the encoding has in one case only stay; of a name that is not in the encoding the ASCII letters change.
    """
    try:
        text = name.decode(charset)
    except UnicodeDecodeError:
        return name.upper() if case == "upper" else name.lower()
    if case == "insensitive":
        return text.casefold().encode()
    change = str.upper if case == "upper" else str.lower
    try:
        return change(text).encode(charset)
    except UnicodeEncodeError:
        return b"".join([change(c).encode(charset, "ignore") or c.encode(charset) for c in text])


def numbered(name: bytes, count: int) -> bytes:
    """What the second, third, ... file of a name is called."""
    mark = b"~%d" % count
    return cut(name, limits.NAME_SHOWN - len(mark)) + mark


def stem(name: bytes) -> bytes:
    """What stays of a name whatever its number: names that share it are counted together.

    Counted one by one each long name would try all numbers that others with the same begin have.
    """
    return cut(name, limits.NAME_SHOWN - len(b"~%d" % limits.DIRECTORY_RECORDS))
