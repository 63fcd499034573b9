"""CloneCD's sheets (`.ccd`, with an `.img` and a `.sub`): sections of `Name=number` lines.

| section | names |
| --- | --- |
| `[CloneCD]` | `Version`; the first section |
| `[Disc]` | `TocEntries`, `Sessions`, `DataTracksScrambled`, `CDTextLength` |
| `[Entry n]` | one of the table of contents: `Session`, `Point` (1 to 99 a track, 0xA2 the lead-out), |
| | `Control` (bit 2: data), `PLBA` (its start, as a sector of the disc) |
| `[TRACK n]` | `MODE` (often wrong), `INDEX 0` and `INDEX 1`, as sectors of the disc |

The image has 2352 bytes for each sector of a session, from sector 0 on, and nothing for the gaps between sessions. The
subchannel file is not needed.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ...errors import ImageError, UnsupportedError
from ..beside import Beside
from ..sectors import RAW, Mode
from ..source import Source
from . import Sheet
from .text import companion, lines, number, open_named, read_text
from .tracks import LEAD_IN, Tracks, address

_LEAD_OUT: Final = 0xA2
_DATA: Final = 4
_FIRST: Final = re.compile(r"\s*\[CloneCD\]", re.IGNORECASE)
_SECTION: Final = re.compile(r"\[\s*([A-Za-z]+)\s*([0-9]{0,9})\s*\]")


class _Entry(NamedTuple):
    """An entry of the table of contents."""

    session: int
    point: int
    start: int
    data: bool


def recognises(source: Source) -> bool:
    """Whether it is a text whose first section is CloneCD's."""
    text = read_text(source)
    return text is not None and _FIRST.match(text) is not None


def open_sheet(source: Source, beside: Beside) -> Sheet:
    """The tracks of a CloneCD sheet. Raises `UnsupportedError` for scrambled ones, else as all sheets."""
    tracks = Tracks("CloneCD sheet (CCD)")
    sections = _sections(lines(source))
    if any(section.get("DATATRACKSSCRAMBLED") for (name, _), section in sections.items() if name == "DISC"):
        raise UnsupportedError("a CloneCD image of scrambled sectors", "read the disc again without scrambling")
    entries = [_entry(number, section) for (name, number), section in sections.items() if name == "ENTRY"]
    lead_outs = {entry.session: entry.start for entry in entries if entry.point == _LEAD_OUT}
    found = sorted((entry for entry in entries if 1 <= entry.point <= 99), key=lambda entry: entry.point)
    if not found:
        raise ImageError("the CloneCD sheet has no track")
    image = open_named(beside, companion(beside, ".img"))
    stored = 0  # sectors of the image in front of the session
    missing = 0  # sectors of the disc in front of the session that the image does not hold
    for i, entry in enumerate(found):
        before = found[i - 1] if i else None
        behind = found[i + 1] if i + 1 < len(found) else None
        if before is not None and entry.session != before.session:
            if before.session not in lead_outs:
                raise ImageError(f"session {before.session} has no lead-out entry")
            stored = lead_outs[before.session] - missing
            missing = entry.start - stored
            there = address(image, stored * RAW)
            if entry.data and there is not None and 0 < entry.start - there <= LEAD_IN:  # its pregap is stored
                missing -= entry.start - there
        if behind is not None and behind.session == entry.session:
            pregap = sections.get(("TRACK", behind.point), {}).get("INDEX 0", behind.start)
            end: int | None = pregap if entry.start < pregap <= behind.start else behind.start
        else:
            end = lead_outs.get(entry.session)
        mode: Mode = "audio"
        if entry.data:
            mode = "mode 2" if sections.get(("TRACK", entry.point), {}).get("MODE") == 2 else "mode 1"
        tracks.add(
            entry.point,
            mode,
            RAW,
            image,
            (entry.start - missing) * RAW,
            start=entry.start,
            count=None if end is None else end - entry.start,
            session=entry.session,
        )
    return tracks.sheet()


def _sections(found: list[str]) -> dict[tuple[str, int], dict[str, int]]:
    """The numbers of each section, by its name and number. What is no number is left out (texts of CD-Text)."""
    sections: dict[tuple[str, int], dict[str, int]] = {}
    section: dict[str, int] = {}
    for line in found:
        match = _SECTION.fullmatch(line)
        if match is not None:
            section = sections.setdefault((match[1].upper(), int(match[2] or 0)), {})
            continue
        name, _, value = line.partition("=")
        told = number(value.strip())
        if told is not None:
            section[" ".join(name.upper().split())] = told
    return sections


def _entry(number: int, section: dict[str, int]) -> _Entry:
    for name in ("SESSION", "POINT", "CONTROL", "PLBA"):
        if name not in section:
            raise ImageError(f"[Entry {number}] has no number {name}")
    if not 1 <= section["SESSION"] <= 99:
        raise ImageError(f"[Entry {number}] is of session {section['SESSION']}")
    return _Entry(section["SESSION"], section["POINT"], section["PLBA"], bool(section["CONTROL"] & _DATA))
