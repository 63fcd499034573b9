"""DiscJuggler's images (`.cdi`), versions 2, 3 and 3.5: the tracks' data, then a description of them. Little-endian.

Written after descriptions that others made of the format, without a file of DiscJuggler's own to try it on.

The last 8 bytes are the version (0x80000004, 0x80000005, 0x80000006) and the position of the description, which
version 3.5 counts backwards from the end. The description:

| size | field | |
| --- | --- | --- |
| 2 | sessions | then for each of them |
| 2 | tracks | which follow; may be none |
| 12, from version 3 on 13 | unknown | behind the tracks |

Track:

| size | field | |
| --- | --- | --- |
| 4 | unknown | 8 more unknown ones follow if it is not 0 |
| 20 | mark | twice 00 00 01 00 00 00 FF FF FF FF |
| 4 | unknown | |
| 1, n | name | its length first |
| 19, 4 | unknown | 8 more follow if the last four are 0x80000000 |
| 2, 4 each | indexes | their number, then the sectors of each: the pregap, then the track |
| 4 | texts | CD-Text: for each, 18 strings of a length byte and as many bytes |
| 2 | unknown | |
| 4 | mode | 0 audio, 1 mode 1, 2 mode 2 |
| 12 | unknown | session and track are among it |
| 4 | start | counts the disc's sectors up to the pregap, those of the lead-in's two seconds too |
| 4 | length | sectors of pregap and track |
| 16 | unknown | |
| 4 | stride | 0: 2048, 1: 2336, 2: 2352, 3: 2368, 4: 2448 |
| 29 | unknown | |
| 5, 4 | unknown | from version 3 on; 78 more follow if the last four are 0xFFFFFFFF |

The data of the tracks, with their pregaps, stand in this order from byte 0 of the file on.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from ... import limits
from ...errors import ImageError
from ..beside import Beside
from ..sectors import Mode
from ..source import Source
from . import Sheet
from .fields import Fields
from .tracks import LEAD_IN, Tracks, address

_TRAILER: Final = struct.Struct("<II")
_VERSIONS: Final = {0x80000004: "2", 0x80000005: "3", 0x80000006: "3.5"}
_MARK: Final = bytes.fromhex("00000100 0000 ffffffff") * 2
_HEAD: Final = 64
"""Bytes of the description in which the first mark ends."""
_MODES: Final[dict[int, Mode]] = {0: "audio", 1: "mode 1", 2: "mode 2"}
_STRIDES: Final = (2048, 2336, 2352, 2368, 2448)
_STRINGS: Final = 18


class _Described(NamedTuple):
    """A track's description."""

    mode: Mode
    stride: int
    pregap: int
    length: int
    total: int
    start: int


def recognises(source: Source) -> bool:
    """Whether the last bytes point to a description: its number of sessions, and the mark of its first track."""
    try:
        _, position, end = _place(source)
        raw = source.pread(min(_HEAD, end - position), position)
    except ImageError:
        return False
    return 1 <= int.from_bytes(raw[:2], "little") <= limits.TRACKS and _MARK in raw


def open_sheet(source: Source, _beside: Beside) -> Sheet:
    """The tracks of a DiscJuggler image, which are in the image itself. Raises `ImageError`."""
    version, at, end = _place(source)
    sheet = Fields(source, at, end - at, "DiscJuggler description")
    tracks = Tracks("DiscJuggler image (CDI)")
    (sessions,) = sheet.take("<H")
    if not 1 <= sessions <= limits.TRACKS:
        raise ImageError(f"damaged DiscJuggler image: {sessions} sessions", "copy the image again")
    position = number = 0
    for session in range(1, sessions + 1):
        (count,) = sheet.take("<H")
        for _ in range(count):
            number += 1
            track = _track(sheet, version, number)
            at = position + track.pregap * track.stride
            tracks.add(
                number,
                track.mode,
                track.stride,
                source,
                at,
                start=_start(source, at, track),
                count=track.length,
                session=session,
            )
            position += track.total * track.stride
        sheet.skip(12 if version == "2" else 13)
    return tracks.sheet()


def _place(source: Source) -> tuple[str, int, int]:
    """Version, and where the description begins and ends. Raises `ImageError` if there is none."""
    end = source.size - _TRAILER.size
    told, at = _TRAILER.unpack(source.pread(_TRAILER.size, end)) if end > 0 else (0, 0)
    if told not in _VERSIONS:
        raise ImageError("no DiscJuggler image: it does not end with a version")
    version = _VERSIONS[told]
    position = source.size - at if version == "3.5" else at
    if not 0 <= position < end:
        raise ImageError("damaged DiscJuggler image: its description lies outside", "copy the image again")
    return version, position, end


def _track(sheet: Fields, version: str, number: int) -> _Described:
    if sheet.take("<I") != (0,):
        sheet.skip(8)
    if sheet.raw(len(_MARK)) != _MARK:
        raise ImageError(f"damaged DiscJuggler image: the mark of track {number} is missing", "copy the image again")
    (name,) = sheet.take("<4xB")
    sheet.skip(name)
    if sheet.take("<19xI") == (0x80000000,):
        sheet.skip(8)
    (indexes,) = sheet.take("<H")
    if not 2 <= indexes <= limits.TRACKS + 1:
        raise ImageError(f"damaged DiscJuggler image: track {number} of {indexes} indexes", "copy the image again")
    pregap, *lengths = sheet.take(f"<{indexes}I")
    (texts,) = sheet.take("<I")
    if texts > limits.TRACKS:
        raise ImageError(f"damaged DiscJuggler image: track {number} with {texts} texts", "copy the image again")
    for _ in range(texts * _STRINGS):
        sheet.skip(sheet.take("<B")[0])
    mode, start, total, stride = sheet.take("<2xI12xII16xI")
    sheet.skip(29)
    if version != "2" and sheet.take("<5xI") == (0xFFFFFFFF,):
        sheet.skip(78)
    length = sum(lengths)
    if mode not in _MODES or stride >= len(_STRIDES) or pregap + length > total:
        raise ImageError(
            f"damaged DiscJuggler image: track {number} of mode {mode}, sector size {stride}, "
            f"{pregap} and {length} of {total} sectors",
            "copy the image again",
        )
    return _Described(_MODES[mode], _STRIDES[stride], pregap, length, total, start)


def _start(source: Source, position: int, track: _Described) -> int:
    """The disc's sector of a track's index 1: by its header, if that is one of those which the description may mean."""
    counted = track.start + track.pregap - LEAD_IN
    there = address(source, position) if track.mode != "audio" else None
    return there if there == track.start else counted if counted >= 0 else track.start
