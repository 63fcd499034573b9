"""GDI sheets (`.gdi`) of Dreamcast discs: a text.

The first line is the number of tracks, each other one a track: `number sector type stride "name" offset`. Its first
sector counts from the disc's sector 0; type 0 is audio, 4 data; the stride is 2048, 2336 or 2352; names are quoted if
they have blanks; the offset counts bytes of the file. From sector 45000 on lies the high-density area, the second
session, whose file system spreads over all its data tracks.
"""

from __future__ import annotations

import re
from typing import Final

from ... import limits
from ...errors import ImageError
from ..beside import Beside
from ..sectors import Mode
from ..source import Source
from . import Sheet
from .text import lines, open_named, read_text, readable
from .tracks import Tracks

GD_AREA: Final = 45000
"""The sector in which the high-density area begins."""

_START: Final = re.compile(r"\s*[0-9]{1,2}[ \t]*\n\s*[0-9]+[ \t]+[0-9]+[ \t]+[04][ \t]+2[0-9]{3}[ \t]")
_LINE: Final = re.compile(r"([0-9]{1,9})\s+([0-9]{1,9})\s+([0-9]{1,9})\s+([0-9]{1,9})\s+(\S.*?)\s+([0-9]{1,18})")
_MODES: Final[dict[str, Mode]] = {"0": "audio", "4": "mode 1"}
_STRIDES: Final = (2048, 2336, 2352)


def recognises(source: Source) -> bool:
    """Whether it is a text that begins with a number and a track's line."""
    text = read_text(source)
    return text is not None and _START.match(text) is not None


def open_sheet(source: Source, beside: Beside) -> Sheet:
    """The tracks of a GDI sheet. Raises `ImageError` naming the line that is wrong, `NoImage` for a missing file."""
    tracks = Tracks("GDI sheet")
    (_, told), *rest = [(number, line) for number, line in enumerate(lines(source), 1) if line]
    if len(rest) > limits.TRACKS:
        raise ImageError(f"it has {len(rest)} tracks; {limits.TRACKS} are the most that a disc has")
    if int(told) != len(rest):
        tracks.warn(f"the sheet tells {int(told)} tracks in its first line, but has {len(rest)}")
    found = [_track(number, line) for number, line in rest]
    for i, (line, number, start, mode, stride, name, position) in enumerate(found):
        file = open_named(beside, name)
        if position > file.size - stride:
            raise ImageError(f"line {line}: byte {position} lies beyond the end of {readable(name)!r}")
        layout = tracks.stored(number, mode, stride, file, position)
        count: int | None = None
        if i + 1 < len(found) and found[i + 1][2] > start:  # its file may reach into the next one's pregap
            count = min((file.size - layout.position) // layout.stride, found[i + 1][2] - start)
        session = 2 if start >= GD_AREA else 1
        tracks.add(number, mode, stride, file, position, start=start, count=count, session=session, layout=layout)
    return tracks.sheet()


def _track(line: int, text: str) -> tuple[int, int, int, Mode, int, str, int]:
    """Line, number, first sector, mode, stride, name and offset."""
    match = _LINE.fullmatch(text)
    if match is None:
        raise ImageError(f'line {line}: a track has a number, sector, type, stride, "name" and offset')
    number, start, kind, stride, name, position = match.groups()
    if kind not in _MODES:
        raise ImageError(f"line {line}: the type {kind} is unknown (0 is audio, 4 data)")
    if int(stride) not in _STRIDES:
        raise ImageError(f"line {line}: sectors of {stride} bytes; there are 2048, 2336 and 2352")
    return line, int(number), int(start), _MODES[kind], int(stride), name.strip('"'), int(position)
