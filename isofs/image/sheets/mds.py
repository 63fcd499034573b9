"""Alcohol 120%'s sheets (`.mds`, with an `.mdf`), version 1. Little-endian; all offsets count from the file's start.

Header:

| at | size | field | |
| --- | --- | --- | --- |
| 0 | 16 | magic | `MEDIA DESCRIPTOR` |
| 16 | 2 | version | 1, then anything |
| 18 | 2 | medium | 0 CD, 1 CD-R, 2 CD-RW; 16 and more are DVDs |
| 20 | 2 | sessions | |
| 80 | 4 | sessions at | blocks of 24 bytes |

Session:

| at | size | field | |
| --- | --- | --- | --- |
| 0 | 8 | start, end | sectors of the disc; the first start is -150 |
| 8 | 2 | number | |
| 10 | 1 | blocks | of which some are no tracks |
| 20 | 4 | blocks at | of 80 bytes |

Track block:

| at | size | field | |
| --- | --- | --- | --- |
| 0 | 1 | mode | the low three bits: 1 audio, 2 mode 1, else mode 2 |
| 1 | 1 | subchannel | 8: 96 bytes in each sector, which the stride counts |
| 4 | 1 | point | 1 to 99: a track; else lead-in and lead-out |
| 12 | 4 | extra at | of a CD: pregap and length, 4 bytes each; of a DVD the length itself |
| 16 | 2 | stride | |
| 36 | 4 | start | sector of the disc |
| 40 | 8 | position | byte of the data, without pregap |
| 48 | 4 | files | of a DVD, whose data may be split after any sector |
| 52 | 4 | files at | 16 bytes each: where the name is, 1 if it is in UTF-16; `*.mdf` has the sheet's own name |
"""

from __future__ import annotations

from typing import Final

from ... import limits
from ...errors import ImageError
from ..beside import Beside
from ..sectors import Mode
from ..source import Joined, Source
from . import Sheet
from .fields import Fields
from .text import companion, open_named
from .tracks import Tracks

MAGIC: Final = b"MEDIA DESCRIPTOR\1"
_DVD: Final = 0x10
_SESSION: Final = 24
_TRACK: Final = 80
_FOOTER: Final = 16
_MODES: Final[dict[int, Mode]] = {1: "audio", 2: "mode 1"}


def recognises(source: Source) -> bool:
    """Whether it begins with the magic of version 1."""
    try:
        return source.pread(len(MAGIC), 0) == MAGIC
    except ImageError:
        return False


def open_sheet(source: Source, beside: Beside) -> Sheet:
    """The tracks of an Alcohol sheet. Raises `ImageError`, and `NoImage` for a missing file."""
    tracks = Tracks("Alcohol sheet (MDS)")
    sheet = Fields(source, 0, source.size, "Alcohol sheet")
    medium, sessions, sessions_at = sheet.take("<18xHH58xI")
    if not 1 <= sessions <= limits.TRACKS:
        raise ImageError(f"damaged Alcohol sheet: {sessions} sessions", "copy the image again")
    named = 0
    for session in range(sessions):
        sheet.at = sessions_at + session * _SESSION
        blocks, blocks_at = sheet.take("<10xB9xI")
        for block in range(blocks):
            sheet.at = blocks_at + block * _TRACK
            mode, point, extra, stride, start, position, files, files_at = sheet.take("<B3xB7xIH18xIQII")
            if not 1 <= point <= limits.TRACKS:
                continue
            count: int | None = extra or None
            if extra and not medium & _DVD:
                sheet.at = extra + 4
                (count,) = sheet.take("<I")
            named += files
            if named > limits.PARTS:
                raise ImageError(f"damaged Alcohol sheet: it names {named} files", "copy the image again")
            names = _names(sheet, files, files_at, beside)
            tracks.add(
                point,
                _MODES.get(mode & 7, "mode 2"),
                stride,
                _joined([open_named(beside, name) for name in names], names, position, stride),
                position,
                start=start,
                count=count,
                session=session + 1,
            )
    return tracks.sheet()


def _names(sheet: Fields, files: int, files_at: int, beside: Beside) -> list[str]:
    """Names of the files that hold a track."""
    names = []
    for file in range(files if files_at else 0):
        sheet.at = files_at + file * _FOOTER
        at, wide = sheet.take("<II")
        name = sheet.text(at, "utf-16-le" if wide else "utf-8")
        names.append(companion(beside, name[1:]) if name.startswith("*") else name)
    return names or [companion(beside, ".mdf")]


def _joined(parts: list[Source], names: list[str], position: int, stride: int) -> Source:
    """The parts of a track's data, each of whole sectors."""
    if len(parts) == 1:
        return parts[0]
    joined = Joined(parts)
    end = -position
    for part, name in zip(parts[:-1], names, strict=False):
        end += part.size
        if stride and end % stride:
            raise ImageError(f"{name!r} ends inside a sector, though {names[-1]!r} follows it", "copy the image again")
    return joined
