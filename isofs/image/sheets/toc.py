"""cdrdao's sheets (`.toc`): a text of words, with comments from `//` to the end of the line.

`CD_DA`, `CD_ROM`, `CD_ROM_XA` or `CD_I` tells the kind of disc, after it come the tracks:

| words | meaning |
| --- | --- |
| `TRACK mode [RW or RW_RAW]` | begins a track; with subchannels each sector has 96 bytes more |
| `DATAFILE "name" [#byte] [length]` | data of a file; without a length up to its end |
| `FILE` or `AUDIOFILE "name" [SWAP] [#byte] start [length]` | audio of a file, the high byte first unless swapped |
| `ZERO` or `SILENCE length` | sectors that no file holds |
| `PREGAP time` | the same, in front of index 1 |
| `START [time]` | where in the track index 1 is; without a time here |
| `CD_TEXT { ... }` | texts, passed over |
| `CATALOG`, `ISRC`, `COPY`, `INDEX` ... | about the disc or the track |

Lengths are times `mm:ss:ff`, else bytes of data or samples of audio, 588 to a sector. The disc is what the tracks have,
one behind the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from ... import limits
from ...errors import ImageError, UnsupportedError
from ..beside import Beside
from ..sectors import Mode
from ..source import Source
from . import Sheet
from .text import frames, lines, open_named, read_text, readable
from .tracks import Tracks

_KINDS: Final = ("CD_DA", "CD_ROM", "CD_ROM_XA", "CD_I")
_START: Final = re.compile(r'(?:\s|//[^\n]*(?:\n|\Z)|CATALOG[ \t]+"[^"\n]*")*+(?:CD_DA|CD_ROM_XA|CD_ROM|CD_I)\b')
_WORD: Final = re.compile(r'//.*|"((?:[^"\\]|\\.)*)"|[{}]|[^\s"{}]+|"')
_MODES: Final[dict[str, tuple[Mode, int]]] = {
    "AUDIO": ("audio", 2352),
    "MODE1": ("mode 1", 2048),
    "MODE1_RAW": ("mode 1", 2352),
    "MODE2": ("mode 2", 2336),
    "MODE2_FORM1": ("mode 2", 2048),
    "MODE2_FORM2": ("mode 2", 2324),
    "MODE2_FORM_MIX": ("mode 2", 2336),
    "MODE2_RAW": ("mode 2", 2352),
}
_SUBCHANNELS: Final = ("RW", "RW_RAW")
_SUBCHANNEL: Final = 96
_SAMPLE: Final = 4
_AUDIO_FILES: Final = (".wav", ".mp3", ".flac", ".ogg")
"""Kinds of audio files, by name as cdrdao tells them."""
_ABOUT: Final = {"COPY": 0, "NO": 1, "PRE_EMPHASIS": 0, "TWO_CHANNEL_AUDIO": 0, "FOUR_CHANNEL_AUDIO": 0, "ISRC": 1}
_ABOUT_DISC: Final = {"CATALOG": 1, **dict.fromkeys(_KINDS, 0)}
"""Words that are passed over, and how many belong to them."""


class _Word(NamedTuple):
    """A word of the sheet."""

    text: str
    quoted: bool
    line: int


class _Piece(NamedTuple):
    """Sectors of a track; without a source none that are read."""

    source: Source | None
    position: int
    sectors: int


class _Track:
    """A track, whose pieces are added."""

    def __init__(self, number: int, mode: str, subchannel: bool, line: int) -> None:
        self.number = number
        self.mode, self.stride = _MODES[mode]
        self.stride += _SUBCHANNEL * subchannel
        self.line = line
        self.pieces: list[_Piece] = []
        self.length = 0
        """Sectors up to now."""
        self.start = 0
        """Sectors in front of index 1."""
        self.big_endian = False
        self.open_end = False
        """Whether it has all the rest of its last file."""
        self.lost = ""
        """A file whose length is unknown."""

    def add(self, piece: _Piece, *, first: bool = False) -> None:
        """Adds sectors behind, or in front of, what there is."""
        self.pieces.insert(0 if first else len(self.pieces), piece)
        self.length += piece.sectors


def recognises(source: Source) -> bool:
    """Whether it is a text that begins with the kind of a disc."""
    text = read_text(source)
    return text is not None and _START.match(text) is not None


def open_sheet(source: Source, beside: Beside) -> Sheet:
    """The tracks of a cdrdao sheet. Raises `ImageError` naming the line that is wrong, `NoImage` for a missing file."""
    tracks = Tracks("cdrdao sheet (TOC)")
    reader = _Reader(lines(source), beside)
    sector = 0
    lost = ""
    for track in reader.read():
        sector = _add(tracks, track, sector, lost) + track.length
        lost = track.lost or (lost if track.mode == "audio" else "")
    return tracks.sheet()


class _Reader:
    """Takes a sheet's words one by one."""

    def __init__(self, found: list[str], beside: Beside) -> None:
        self._words = _words(found)
        self._ahead = next(self._words, None)
        self._pieces = 0
        self._beside = beside
        self._tracks: list[_Track] = []

    def read(self) -> list[_Track]:
        """All tracks."""
        commands: dict[str, Callable[[_Word], None]] = {
            "TRACK": self._track,
            "CD_TEXT": self._texts,
            "DATAFILE": self._data,
            "FILE": self._audio,
            "AUDIOFILE": self._audio,
            "ZERO": self._zeros,
            "SILENCE": self._zeros,
            "PREGAP": self._pregap,
            "START": self._start,
            "INDEX": lambda word: self._pass(word, 1),
        }
        while (word := self._next()) is not None:
            about = _ABOUT | _ABOUT_DISC
            if word.text in about:
                self._pass(word, about[word.text])
            elif word.text == "FIFO":
                raise UnsupportedError("a cdrdao sheet whose data come from another program", "save them in a file")
            elif word.text in commands and not word.quoted:
                commands[word.text](word)
            else:
                raise _error(word, f"the unknown word {readable(word.text)!r}")
        return self._tracks

    def _next(self) -> _Word | None:
        word, self._ahead = self._ahead, next(self._words, None)
        return word

    def _peek(self, pattern: str) -> str | None:
        """The next word if it is not quoted and of a pattern; it is taken then."""
        word = self._ahead
        if word is None or word.quoted or re.fullmatch(pattern, word.text) is None:
            return None
        self._next()
        return word.text

    def _pass(self, word: _Word, count: int) -> None:
        for _ in range(count):
            if self._next() is None:
                raise _error(word, f"{word.text} at the sheet's end")

    def _current(self, word: _Word) -> _Track:
        if not self._tracks:
            raise _error(word, f"{word.text} before the first TRACK")
        return self._tracks[-1]

    def _track(self, word: _Word) -> None:
        mode = self._next()
        if mode is None or mode.text not in _MODES:
            raise _error(word, f"the unknown mode {readable(mode.text)!r}" if mode else "TRACK without a mode")
        subchannel = self._peek("|".join(_SUBCHANNELS)) is not None
        if len(self._tracks) == limits.TRACKS:
            raise _error(word, f"more than {limits.TRACKS} tracks")
        self._tracks.append(_Track(len(self._tracks) + 1, mode.text, subchannel, word.line))

    def _texts(self, word: _Word) -> None:
        depth = 0
        while (inside := self._next()) is not None:
            if not inside.quoted:
                depth += {"{": 1, "}": -1}.get(inside.text, 0)
            if not depth:
                return
        raise _error(word, "CD_TEXT does not end")

    def _data(self, word: _Word) -> None:
        track = self._current(word)
        name = self._name(word)
        position = self._offset()
        source = open_named(self._beside, name)
        length = self._length(track)
        self._piece(word, track, name, source, position, length)

    def _audio(self, word: _Word) -> None:
        track = self._current(word)
        name = self._name(word)
        track.big_endian = track.mode == "audio" and self._peek("SWAP") is None
        position = self._offset()
        start = self._bytes(track)
        if start is None:
            raise _error(word, f"{word.text} without a start")
        length = self._length(track)
        if name.lower().endswith(_AUDIO_FILES):
            track.lost = "" if length else readable(name)
            self._add(word, track, _Piece(None, 0, length or 0))
        else:
            self._piece(word, track, name, open_named(self._beside, name), position + start, length)

    def _zeros(self, word: _Word) -> None:
        track = self._current(word)
        self._peek("|".join(_MODES))
        self._peek("|".join(_SUBCHANNELS))
        length = self._length(track)
        if length is None:
            raise _error(word, f"{word.text} without a length")
        self._add(word, track, _Piece(None, 0, length))

    def _pregap(self, word: _Word) -> None:
        track = self._current(word)
        length = frames(self._peek(r"\S+") or "")
        if length is None:
            raise _error(word, "PREGAP without a time mm:ss:ff")
        self._add(word, track, _Piece(None, 0, length), first=True)
        track.start = length

    def _start(self, word: _Word) -> None:
        track = self._current(word)
        time = self._peek("[0-9]+:[0-9]+:[0-9]+")
        start = track.length if time is None else frames(time)
        if start is None:
            raise _error(word, f"{time} is no time (mm:ss:ff, seconds up to 59, frames up to 74)")
        track.start = start

    def _name(self, word: _Word) -> str:
        name = self._next()
        if name is None or not name.quoted or not name.text:
            raise _error(word, f'{word.text} without a "name"')
        return name.text

    def _offset(self) -> int:
        return int((self._peek("#[0-9]{1,18}") or "#0")[1:])

    def _bytes(self, track: _Track) -> int | None:
        """A length in bytes; None if there is none."""
        word = self._ahead
        told = self._peek("[0-9]{1,18}|[0-9]+:[0-9]+:[0-9]+")
        if told is None or word is None:
            return None
        if ":" not in told:
            return int(told) * (_SAMPLE if track.mode == "audio" else 1)
        length = frames(told)
        if length is None:
            raise _error(word, f"{told} is no time (mm:ss:ff, seconds up to 59, frames up to 74)")
        return length * track.stride

    def _length(self, track: _Track) -> int | None:
        """A length in sectors, those in part counted; None if there is none."""
        length = self._bytes(track)
        return None if length is None else -(-length // track.stride)

    def _piece(self, word: _Word, track: _Track, name: str, source: Source, position: int, length: int | None) -> None:
        if position > source.size - track.stride:
            raise _error(word, f"byte {position} lies beyond the end of {readable(name)!r} ({source.size} bytes)")
        track.open_end = length is None
        count = (source.size - position) // track.stride if length is None else length
        self._add(word, track, _Piece(source, position, count))

    def _add(self, word: _Word, track: _Track, piece: _Piece, *, first: bool = False) -> None:
        self._pieces += 1
        if self._pieces > limits.PARTS:
            raise _error(word, f"more than {limits.PARTS} pieces")
        track.add(piece, first=first)


def _words(found: list[str]) -> Iterator[_Word]:
    for number, line in enumerate(found, 1):
        for match in _WORD.finditer(line):
            if match[1] is not None:
                yield _Word(re.sub(r"\\(.)", r"\1", match[1]), True, number)
            elif not match[0].startswith("//"):
                yield _Word(match[0], False, number)


def _error(word: _Word, reason: str) -> ImageError:
    return ImageError(f"line {word.line}: {reason}")


def _add(tracks: Tracks, track: _Track, sector: int, lost: str) -> int:
    """Adds a track that begins, with its pregap, in a sector of the disc. Gives that sector.

    `lost`: a file in front of it whose length is unknown.
    """
    if track.start > track.length:
        raise ImageError(f"line {track.line}: track {track.number} ends before its START")
    skip = track.start
    start = sector + skip
    pieces: list[_Piece] = []
    for source, position, count in track.pieces:
        skipped = min(skip, count)
        skip -= skipped
        piece = _Piece(source, position + skipped * track.stride, count - skipped)
        if not piece.sectors:
            continue
        last = pieces[-1] if pieces else None
        if last is not None and last.source is source and last.position + last.sectors * track.stride == piece.position:
            pieces[-1] = last._replace(sectors=last.sectors + piece.sectors)
        elif source is None and not pieces and track.mode != "audio":
            start += piece.sectors
        else:
            pieces.append(piece)
    stored = [piece for piece in pieces if piece.source is not None]
    if track.mode == "audio" and (not stored or pieces[0].source is None):
        tracks.add_unread(track.number, start)
        return sector
    if not stored:
        raise ImageError(f"line {track.line}: track {track.number} has no data")
    if len(stored) > 1 and track.mode != "audio":
        raise UnsupportedError(f"a cdrdao sheet with a data track of several pieces (track {track.number})")
    piece = stored[0]
    assert piece.source is not None
    if lost and track.mode != "audio":
        there = tracks.place(track.number, start, piece.source, piece.position, lost)
        sector, start = sector + there - start, there
    tracks.add(
        track.number,
        track.mode,
        track.stride,
        piece.source,
        piece.position,
        start=start,
        count=None if track.open_end and piece is pieces[-1] else piece.sectors,
        big_endian=track.big_endian,
    )
    return sector
