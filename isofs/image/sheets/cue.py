"""CUE sheets (`.cue`), written by CDRWIN first: a text of one command a line, keywords in any case.

| command | meaning |
| --- | --- |
| `FILE "name" TYPE` | the file that the following indexes count in: `BINARY`, `MOTOROLA` (audio with the high byte |
| | first), or a kind of audio file, of which no sectors are read |
| `TRACK nn MODE` | begins a track, 1 to 99; broken writers leave out the number |
| `INDEX nn mm:ss:ff` | a place in the file, in sectors of 75 a second: 01 is the track's start, 00 its pregap's |
| `PREGAP`, `POSTGAP mm:ss:ff` | sectors on the disc in front of or behind the track that no file holds |
| `REM SESSION nn` | the next track begins a session |
| `REM SINGLE-DENSITY AREA`, `REM HIGH-DENSITY AREA` | the parts of a GD-ROM; the second begins at sector 45000 |
| `CATALOG`, `FLAGS`, `ISRC`, `TITLE`, `PERFORMER`, ... | about the disc or the track |

All tracks of a file share its bytes. A sector takes as many as the mode of its track says, so an index is as far behind
the one before as the sectors between them take. A track ends where the next one's pregap begins in the same file, else
with the file. On the disc the files follow each other. The two seconds in front of a disc's first data track are those
before sector 0.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import Final, NamedTuple

from ... import limits
from ...errors import ImageError
from ..beside import Beside
from ..sectors import Mode
from ..source import Source
from . import Sheet
from .text import frames, lines, open_named, read_text, readable
from .tracks import LEAD_IN, Tracks, address, session_gap

GD_AREA: Final = 45000
"""The sector in which the high-density area of a GD-ROM begins."""

_MODES: Final[dict[str, tuple[Mode, int]]] = {
    "AUDIO": ("audio", 2352),
    "CDG": ("audio", 2448),
    "MODE1/2048": ("mode 1", 2048),
    "MODE1/2352": ("mode 1", 2352),
    "MODE1/2448": ("mode 1", 2448),
    "MODE1_RAW": ("mode 1", 2352),
    "MODE2/2048": ("mode 2", 2048),
    "MODE2/2324": ("mode 2", 2324),
    "MODE2/2342": ("mode 2", 2324),  # a misprint in some writers
    "MODE2/2332": ("mode 2", 2332),
    "MODE2/2336": ("mode 2", 2336),
    "MODE2/2352": ("mode 2", 2352),
    "MODE2/2448": ("mode 2", 2448),
    "MODE2_RAW": ("mode 2", 2352),
    "CDI/2336": ("mode 2", 2336),
    "CDI/2352": ("mode 2", 2352),
}
_TYPES: Final = ("BINARY", "MOTOROLA")
_UNREAD_TYPES: Final = ("WAVE", "AIFF", "MP3", "FLAC", "OGG")
_ABOUT: Final = ("FLAGS", "ISRC", "PERFORMER", "SONGWRITER", "CDTEXTFILE", "COMPOSER", "ARRANGER", "MESSAGE", "GENRE")
_FIRST: Final = re.compile(
    r"\s*(REM|CATALOG|FILE|TITLE|PERFORMER|SONGWRITER|CDTEXTFILE|TRACK|ISRC|FLAGS|PREGAP)\b", re.IGNORECASE
)
_LINE: Final = re.compile(
    rf"^[ \t]*(FILE[ \t].*[ \t]({'|'.join(_TYPES + _UNREAD_TYPES)})[ \t]*$"
    r"|TRACK[ \t]+([0-9]+([ \t]|$)|AUDIO|MODE|CD[GI]))",
    re.IGNORECASE | re.MULTILINE,
)
_COMMAND: Final = re.compile(r"(\S+)\s*(.*)")


class _File(NamedTuple):
    """A FILE line."""

    name: str
    type: str


class _Index(NamedTuple):
    """An INDEX line."""

    track: _Track
    number: int
    time: str
    frame: int
    file: int
    line: int


class _Track:
    """A TRACK line and what follows it."""

    def __init__(self, number: int, mode: str, session: int, line: int) -> None:
        self.number = number
        self.mode, self.stride = _MODES[mode]
        self.session = session
        self.line = line
        self.high_density = False
        self.pregap = 0
        self.postgap = 0
        self.title = ""
        self.indexes: list[_Index] = []

    @property
    def first(self) -> _Index:
        """Index 1."""
        return next(index for index in self.indexes if index.number == 1)

    @property
    def gap(self) -> int:
        """Sectors of its pregap, stored or not."""
        before, first = self.indexes[0], self.first
        return self.pregap + (first.frame - before.frame if before.file == first.file else 0)


def recognises(source: Source) -> bool:
    """Whether it is a text with commands of a CUE sheet."""
    text = read_text(source)
    return text is not None and _FIRST.match(text) is not None and _LINE.search(text) is not None


def open_sheet(source: Source, beside: Beside) -> Sheet:
    """The tracks of a CUE sheet. Raises `ImageError` naming the line that is wrong, `NoImage` for a missing file."""
    tracks = Tracks("CUE sheet")
    reader = _Reader(tracks)
    for number, line in enumerate(lines(source), 1):
        if line:
            reader.read(line, number)
    reader.end_track()
    if not reader.tracks:
        raise ImageError("the CUE sheet has no track")
    _place(reader, beside, tracks)
    return tracks.sheet()


class _Reader:
    """Takes a sheet's lines one by one."""

    def __init__(self, tracks: Tracks) -> None:
        self.files: list[_File] = []
        self.tracks: list[_Track] = []
        self._warn = tracks.warn
        self._line = 0
        self._session = 1
        self._high_density = False
        self._first_in_area = False

    def read(self, line: str, number: int) -> None:
        """One line that is not empty."""
        self._line = number
        match = _COMMAND.fullmatch(line)
        word, rest = match.groups() if match else (line, "")
        word = word.upper()
        if word == "FILE":
            self._file(rest)
        elif word == "TRACK":
            self._track(rest)
        elif word == "INDEX":
            self._index(rest)
        elif word in ("PREGAP", "POSTGAP"):
            self._gap(word, rest)
        elif word == "REM":
            self._remark(rest.upper().split())
        elif word == "CATALOG":
            if re.fullmatch(r'"?[0-9]{13}"?', rest) is None:
                raise self._error(f"CATALOG {readable(rest) or 'without a number'}: a catalogue number has 13 digits")
        elif word == "TITLE":
            if self.tracks:
                self.tracks[-1].title = readable(rest.strip('"'))
        elif word not in _ABOUT:
            self._warn(f"line {number}: the unknown command {readable(word[:20])} is passed over")

    def end_track(self) -> None:
        """Checks the last track once all its lines were read."""
        if self.tracks and not any(index.number == 1 for index in self.tracks[-1].indexes):
            track = self.tracks[-1]
            raise ImageError(f"line {track.line}: track {track.number} has no INDEX 01")

    def _error(self, reason: str) -> ImageError:
        return ImageError(f"line {self._line}: {reason}")

    def _file(self, rest: str) -> None:
        name, quote, kind = rest.rpartition('"')
        if not quote or len(kind.split()) > 1:  # no quotes, or none at the name's end
            name, _, kind = " ".join(rest.split()).rpartition(" ")
        kind = kind.strip().upper()
        if kind not in _TYPES + _UNREAD_TYPES:
            kinds = ", ".join(_TYPES + _UNREAD_TYPES)
            raise self._error(f"FILE with the unknown type {readable(kind)!r} (there are {kinds})")
        name = name.strip('"').strip()
        if not name:
            raise self._error("FILE without a name")
        self.files.append(_File(name, kind))
        if len(self.files) > limits.PARTS:
            raise self._error(f"more than {limits.PARTS} files")

    def _track(self, rest: str) -> None:
        self.end_track()
        if not self.files:
            raise self._error("TRACK before the first FILE")
        words = rest.upper().split()
        before = self.tracks[-1].number if self.tracks else 0
        number = before + 1
        if words and words[0].isdecimal() and words[0].isascii():
            number = int(words.pop(0)[:9])
        if not 1 <= number <= limits.TRACKS:
            raise self._error(f"track {number}: track numbers are 1 to {limits.TRACKS}")
        if number <= before:
            raise self._error(f"track {number} follows track {before}")
        mode = " ".join(words)
        if mode not in _MODES:
            raise self._error(f"track {number} has the unknown mode {readable(mode)!r}")
        self.tracks.append(_Track(number, mode, self._session, self._line))
        self.tracks[-1].high_density = self._high_density and self._first_in_area
        self._first_in_area = False

    def _index(self, rest: str) -> None:
        if not self.tracks:
            raise self._error("INDEX before the first TRACK")
        track = self.tracks[-1]
        words = rest.split()
        if len(words) != 2 or re.fullmatch("[0-9]{1,2}", words[0]) is None:
            raise self._error("INDEX needs a number of two digits and a time")
        number = int(words[0])
        if track.indexes and number <= track.indexes[-1].number:
            raise self._error(f"index {number} follows index {track.indexes[-1].number}")
        frame = self._time(f"index {words[1]}", words[1])
        file = len(self.files) - 1
        before = next((other.indexes[-1] for other in reversed(self.tracks) if other.indexes), None)
        if before is not None and before.file == file and frame < before.frame:
            raise self._error(f"index {words[1]} lies before the one of line {before.line} ({before.time})")
        track.indexes.append(_Index(track, number, words[1], frame, file, self._line))

    def _gap(self, word: str, rest: str) -> None:
        if not self.tracks:
            raise self._error(f"{word} before the first TRACK")
        length = self._time(f"{word} {rest}", rest)
        if word == "PREGAP":
            self.tracks[-1].pregap = length
        else:
            self.tracks[-1].postgap = length

    def _time(self, name: str, text: str) -> int:
        length = frames(text)
        if length is None:
            raise self._error(f"{readable(name)} is no time (mm:ss:ff, seconds up to 59, frames up to 74)")
        return length

    def _remark(self, words: list[str]) -> None:
        if words[:1] == ["SESSION"] and len(words) == 2 and re.fullmatch("[0-9]{1,2}", words[1]):
            if int(words[1]) > self._session and self.tracks:
                self._session += 1
        elif words == ["HIGH-DENSITY", "AREA"]:
            self._high_density = self._first_in_area = True
            self._session += 1


def _place(reader: _Reader, beside: Beside, tracks: Tracks) -> None:
    """Where the tracks of all files lie, in the files and on the disc."""
    base = 0  # the disc's sector that is the current file's first one
    lost = ""  # the file whose unknown length keeps `base` from being known
    last: _Track | None = None
    indexes = (index for track in reader.tracks for index in track.indexes)
    for number, group in groupby(indexes, key=lambda index: index.file):
        file = reader.files[number]
        inside = list(group)
        source = open_named(beside, file.name) if file.type in _TYPES else None
        position = frame = 0
        stride = inside[0].track.stride
        for i, index in enumerate(inside):
            track = index.track
            position += (index.frame - frame) * stride
            frame = index.frame
            stride = track.stride
            if source is not None and position > source.size - (stride if index.number == 1 else 0):
                raise ImageError(
                    f"line {index.line}: index {index.time} lies beyond the end of {readable(file.name)!r} "
                    f"({source.size} bytes)",
                    "copy the image again",
                )
            if track is not last:
                if last is not None:
                    base += last.postgap
                base += track.pregap
                before = last
                last = track
                if track.high_density:
                    base = _high_density(base, track, index)
                elif before is None:
                    base -= min(track.pregap if track.mode == "audio" else track.gap, LEAD_IN)
                elif track.session != before.session:
                    base += _gap(base, track, position, source if index.file == before.first.file else None)
            if index.number != 1:
                continue
            start = base + frame
            if source is None:
                lost = readable(file.name)
                tracks.add_unread(track.number, start, session=track.session, title=track.title)
                continue
            layout = tracks.stored(track.number, track.mode, stride, source, position)
            stride = layout.stride
            base -= (layout.position - position) // stride
            if lost and track.mode != "audio":
                start = tracks.place(track.number, start, source, layout.position, lost)
                base = start - frame
                lost = ""
            behind = next((other for other in inside[i + 1 :] if other.track is not track), None)
            tracks.add(
                track.number,
                track.mode,
                track.stride,
                source,
                position,
                start=start,
                count=None if behind is None else behind.frame - frame,
                session=track.session,
                big_endian=file.type == "MOTOROLA" and track.mode == "audio",
                title=track.title,
                layout=layout,
            )
        base += frame
        if source is not None:
            base += (source.size - position) // stride


def _high_density(base: int, track: _Track, index: _Index) -> int:
    """The disc's sector of the file's first one, so that a track begins the high-density area."""
    first = track.first if track.first.file == index.file else index
    if base + first.frame > GD_AREA:
        raise ImageError(
            f"line {track.line}: {base + first.frame} sectors come before the high-density area, "
            f"which begins at {GD_AREA}"
        )
    return GD_AREA - first.frame


def _gap(base: int, track: _Track, position: int, source: Source | None) -> int:
    """Sectors in front of the first track of a session that no file holds.

    Where its file holds the session before as well (`source`), it may hold the gap: then the header of its first
    sector says so.
    """
    first = track.first
    if source is not None and track.mode != "audio":
        at = position + (first.frame - track.indexes[0].frame) * track.stride
        if address(source, at) == base + first.frame:
            return 0
    return session_gap(track.session) + (0 if track.gap else LEAD_IN)
