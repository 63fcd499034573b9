"""Sheets that are texts: their characters, lines, words, times and the names in them."""

from __future__ import annotations

import os
import re
from typing import Final

from ... import limits
from ...errors import ImageError
from ..beside import Beside
from ..source import FileSource, Source
from .tracks import FRAMES

_TIME: Final = re.compile(r"([0-9]{1,4}):([0-9]{1,2}):([0-9]{1,2})")
_NUMBER: Final = re.compile(r"[-+]?[0-9]{1,18}|0[xX][0-9a-fA-F]{1,16}")
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_SHOWN: Final = 100
"""Characters of a name in a message."""
_CODE_PAGES: Final = ("cp1252", "latin-1", "cp932", "gb18030", "cp1251")
"""What sheets of other systems are written in, where it is not UTF-8."""


def read_text(source: Source) -> str | None:
    """The characters of a sheet, lines ending in LF; None for what is no text or too long for a sheet.

    Bytes that are not UTF-8 become lone surrogates, from which `open_named` makes names.
    """
    if source.size >= limits.DESCRIPTION:
        return None
    try:
        raw = source.pread(source.size, 0)
    except ImageError:
        return None
    encoding, errors = ("utf-16", "replace") if raw[:2] in _UTF_16 else ("utf-8-sig", "surrogateescape")
    text = raw.decode(encoding, errors)
    return None if "\0" in text else text.replace("\r\n", "\n").replace("\r", "\n")


def lines(source: Source) -> list[str]:
    """The lines of a sheet, without blanks around them.

    Raises `ImageError` for more or longer ones than there may be.
    """
    text = read_text(source)
    if text is None:
        raise ImageError("not a text")
    found = text.split("\n")
    if len(found) > limits.DESCRIPTION_LINES:
        raise ImageError(f"it has {len(found)} lines; {limits.DESCRIPTION_LINES} are the most that a sheet may have")
    for number, line in enumerate(found, 1):
        if len(line) > limits.DESCRIPTION_LINE:
            raise ImageError(f"line {number} has {len(line)} characters; {limits.DESCRIPTION_LINE} are the most")
    return [line.strip() for line in found]


def frames(text: str) -> int | None:
    """Sectors of a time `mm:ss:ff`, where minutes may exceed 99; None if it is none."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    minutes, seconds, rest = map(int, match.groups())
    return (minutes * 60 + seconds) * FRAMES + rest if seconds < 60 and rest < FRAMES else None


def number(text: str) -> int | None:
    """A decimal number, or a hexadecimal one that begins with `0x`; None if it is none."""
    return int(text, 16 if "x" in text.lower() else 10) if _NUMBER.fullmatch(text) else None


def open_named(beside: Beside, name: str) -> FileSource:
    """Opens the file of a name in a sheet, whatever the name's bytes were written in. Raises as `Beside.open`."""
    return beside.open(next((other for other in spellings(name) if beside.find(other)), readable(name)))


def readable(name: str) -> str:
    """A name as it can be shown."""
    if not name.isprintable():
        name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        name = "".join(character if character.isprintable() else "?" for character in name)
    return name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."


def spellings(name: str) -> list[str]:
    """What a name may be in the directory: as it is, then by code pages if it is not UTF-8."""
    raw = name.encode("utf-8", "surrogateescape")
    if raw.decode("utf-8", "replace") == name:
        return [name]
    found = [name]
    for code_page in _CODE_PAGES:
        try:
            found.append(raw.decode(code_page))
        except UnicodeDecodeError:
            continue
    return found


def companion(beside: Beside, suffix: str) -> str:
    """The name that the sheet's companion with a suffix has: its own name, else."""
    return os.path.splitext(os.path.basename(beside.path))[0] + suffix
