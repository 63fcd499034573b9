"""Nero's images (`.nrg`): the tracks' data, then chunks that describe them. Big-endian.

The file ends with `NERO` and the position of the first chunk in 4 bytes (version 1), or with `NER5` and 8 bytes
(version 2). A chunk is an identifier of 4 bytes, a length of 4, and its content; `END!` is the last.

| version 2 / 1 | content |
| --- | --- |
| `CUEX` / `CUES` | for each index 8 bytes: control, track in BCD, index in BCD, 0, and 4 for the sector of the disc; |
| | version 1 has a time there, which writers do not agree about |
| `DAOX` / `DAOI` | tracks written disc at once: 22 bytes, the last two the first and last track; then for each |
| | 42 / 30: 12 ISRC, 2 stride, 1 mode, 3 unknown, and the positions of pregap, start and end in the file |
| `ETN2` / `ETNF` | tracks written one at a time, 32 / 20 bytes for each: position, length, 3 unknown, 1 mode, |
| | 4 sector of the disc |
| `SINF` | number of tracks of the session, 4 bytes; one chunk for each session |

| mode | sectors |
| --- | --- |
| 0, 2, 3 | mode 1, mode 2 form 1, mode 2 without header: 2048, 2048, 2336 bytes |
| 5, 6, 7 | mode 1, mode 2, audio: 2352 bytes |
| 15, 17, 16 | the same with 96 bytes of subchannel |
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from ... import limits
from ...errors import ImageError
from ..beside import Beside
from ..sectors import Mode
from ..source import Source
from . import Sheet
from .fields import Fields
from .tracks import LEAD_IN, Tracks, session_gap

_TRAILERS: Final = ((b"NER5", struct.Struct(">4sQ"), 2), (b"NERO", struct.Struct(">4sI"), 1))
_CHUNKS: Final = (
    *(b"CUEX", b"CUES", b"DAOX", b"DAOI", b"ETN2", b"ETNF"),
    *(b"SINF", b"MTYP", b"CDTX", b"DINF", b"TOCT", b"RELO", b"AFNM", b"VOLM"),
)
_END: Final = b"END!"
_MODES: Final[dict[int, tuple[Mode, int]]] = {
    0: ("mode 1", 2048),
    2: ("mode 2", 2048),
    3: ("mode 2", 2336),
    5: ("mode 1", 2352),
    6: ("mode 2", 2352),
    7: ("audio", 2352),
    15: ("mode 1", 2448),
    16: ("audio", 2448),
    17: ("mode 2", 2448),
}
_DAO_HEAD: Final = 22
_DAO: Final = {b"DAOX": ">12xHB3xQQQ", b"DAOI": ">12xHB3xIII"}
_ETN: Final = {b"ETN2": ">QQ3xBI8x", b"ETNF": ">II3xBI4x"}


class _Stored(NamedTuple):
    """A track as a chunk tells it; positions and end in bytes."""

    number: int
    mode: int
    stride: int
    pregap: int
    position: int
    end: int
    start: int | None
    """Sector of the disc, where the chunk tells it."""


def recognises(source: Source) -> bool:
    """Whether the last bytes point to a chunk: other files may end in the same way."""
    try:
        version, first, _ = _trailer(source)
        return bool(version) and source.pread(4, first) in _CHUNKS
    except ImageError:
        return False


def open_sheet(source: Source, _beside: Beside) -> Sheet:
    """The tracks of a Nero image, which are in the image itself. Raises `ImageError`."""
    version, first, end = _trailer(source)
    tracks = Tracks(f"Nero image (NRG) version {version}")
    found: list[_Stored] = []
    starts: dict[int, int] = {}
    sizes: list[int] = []
    for name, position, length in _chunks(source, first, end):
        if name not in (b"CUEX", b"SINF") and name not in _DAO and name not in _ETN:
            continue
        chunk = Fields(source, position, length, f"Nero chunk {name.decode('ascii')}")
        if name == b"SINF":
            sizes.append(chunk.take(">I")[0])
        elif name == b"CUEX":
            starts |= _starts(chunk)
        else:
            found += _dao(chunk, _DAO[name]) if name in _DAO else _etn(chunk, _ETN[name], len(found) + 1)
        if len(found) > limits.TRACKS:
            raise ImageError(f"damaged Nero image: more than {limits.TRACKS} tracks", "copy the image again")
    sector = 0
    for i, track in enumerate(found):
        session, begins = _session(i, sizes)
        if track.mode not in _MODES:
            raise ImageError(f"track {track.number} of the Nero image has the unknown mode {track.mode}")
        mode, stride = _MODES[track.mode]
        stride = track.stride or stride
        if not track.pregap <= track.position < track.end:
            raise ImageError(
                f"damaged Nero image: track {track.number} lies from byte {track.position} to {track.end}",
                "copy the image again",
            )
        layout = tracks.stored(track.number, mode, stride, source, track.position)
        pregap = (track.position - track.pregap) // layout.stride
        count = (track.end - track.position) // layout.stride
        if not i:
            sector = -min(pregap, LEAD_IN)
        elif begins:
            sector += session_gap(session) + (0 if pregap else LEAD_IN)
        start = starts.get(track.number, sector + pregap) if track.start is None else track.start
        tracks.add(
            *(track.number, mode, stride, source, track.position),
            start=start,
            count=count,
            session=session,
            layout=layout,
        )
        sector = start + count
    return tracks.sheet()


def _trailer(source: Source) -> tuple[int, int, int]:
    """Version, position of the first chunk, and where the trailer begins; version 0 if there is none."""
    for magic, form, version in _TRAILERS:
        at = source.size - form.size
        raw = source.pread(form.size, at) if at > 0 else b""
        if raw.startswith(magic) and len(raw) == form.size:
            return version, int(form.unpack(raw)[1]), at
    return 0, 0, 0


def _chunks(source: Source, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Identifier, position and length of each chunk."""
    for _ in range(limits.CHUNKS):
        if position >= end:
            return
        name, length = Fields(source, position, 8, "Nero image").take(">4sI")
        if name == _END:
            return
        if length > end - position - 8:
            raise ImageError(
                f"damaged Nero image: a chunk of {length} bytes at {position} goes beyond its end",
                "copy the image again",
            )
        yield name, position + 8, length
        position += 8 + length
    raise ImageError(f"damaged Nero image: more than {limits.CHUNKS} chunks", "copy the image again")


def _starts(chunk: Fields) -> dict[int, int]:
    """The disc's sector in which each track's index 1 is."""
    starts = {}
    for _ in range(min(len(chunk) // 8, limits.INDEXES)):
        track, index, sector = chunk.take(">xBBxi")
        number = f"{track:02x}"
        if index == 1 and number.isdecimal():
            starts[int(number)] = sector
    return starts


def _dao(chunk: Fields, form: str) -> list[_Stored]:
    (first,) = chunk.take(f">{_DAO_HEAD - 2}xBx")
    count = min((len(chunk) - _DAO_HEAD) // struct.calcsize(form), limits.TRACKS + 1)
    found = []
    for number in range(first, first + count):
        stride, mode, pregap, position, end = chunk.take(form)
        found.append(_Stored(number, mode, stride, pregap, position, end, None))
    return found


def _etn(chunk: Fields, form: str, first: int) -> list[_Stored]:
    found = []
    for number in range(first, first + min(len(chunk) // struct.calcsize(form), limits.TRACKS + 1)):
        position, length, mode, start = chunk.take(form)
        found.append(_Stored(number, mode, 0, position, position, position + length, start))
    return found


def _session(track: int, sizes: list[int]) -> tuple[int, bool]:
    """The session of a track, counted from 0, and whether it is the session's first one."""
    first = 0
    for session, size in enumerate(sizes, 1):
        if track < first + size:
            return session, track == first
        first += size
    return max(len(sizes), 1), False
