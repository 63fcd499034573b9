"""Where tracks lie on the disc, and where sessions begin, if what holds them does not tell.

A CHD image knows no sessions, and a track that was cut out of a disc stands alone. Two things tell where it was: whole
sectors have their own number in the header, and the root directory's first record is that of its own place, which the
volume descriptor names as well.

In a file that holds several sessions each one begins with a volume of its own; all block numbers count from the begin
of the disc. Where sessions stand behind each other the first one is that of sector 16. Programs that let a file grow
begin with sector 32, go on with multiples of 32, and keep a copy of the newest session's descriptors at sector 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final, NamedTuple

from .. import limits
from ..errors import UsageError
from .sectors import FIRST_DESCRIPTOR, SECTOR, SYNC, Sectors, Track
from .source import Source, glance

_DESCRIPTORS: Final = 16
"""Sectors in which the primary descriptor is looked for."""
_ROOTS: Final = 1000
"""Sectors behind the descriptors in which the root directory is looked for: path tables come first."""
_MOST: Final = 449_850
"""Sectors of a CD by its headers, 99:59:74; no session of any disc begins further on."""
_PRIMARY: Final = b"\1CD001\1"
_GROWN: Final = 32
"""The sector of the first session of a file that is to grow."""
_LOOK: Final = 64 * limits.KIB
"""Bytes in which a volume is looked for at a time."""


def placed(tracks: Sequence[Track], shift: int | None = None) -> tuple[Track, ...]:
    """The tracks of a disc, from one that begins a later session on at the places which the disc itself tells.

    With `shift` the first track begins there, and the others keep their distance.
    """
    if shift is not None:
        return tuple([track._replace(start=track.start - tracks[0].start + shift) for track in tracks])
    found: list[Track] = []
    further = session = 0
    for track in tracks:
        moved = track._replace(start=track.start + further, session=track.session + session)
        lost = 0 if track.mode == "audio" or track.source is None else _lost(moved)
        if lost:
            further += lost
            session += bool(found)
            moved = track._replace(start=track.start + further, session=track.session + session)
        found.append(moved)
    return tuple(found)


def cut_out(source: Source, shift: int | None = None) -> Track | None:
    """The track that plain sectors are if they were cut out of a disc; None if they begin where their volume counts.

    `shift`: the sector where they were; None: the volume tells.
    """
    track = Track(1, "mode 1", 0, source.size // SECTOR, source, 0, SECTOR)
    start = _start(track) if shift is None else shift
    return track._replace(start=start) if start else None


def holds(tracks: Sequence[Track], sector: int, number: int | None = None) -> Track:
    """The data track that holds a sector: the one of that number. Raises `UsageError`."""
    for track in tracks:
        if track.mode != "audio" and track.start <= sector < track.end:
            if number not in (None, track.number):
                raise UsageError(f"sector {sector} is on track {track.number}, not on {number}", "leave track= out")
            return track
    raise UsageError(f"no data track holds sector {sector}", "see isofs info")


def begun(tracks: Sequence[Track], sector: int) -> list[Track]:
    """The tracks from a sector on, for a volume that counts from there."""
    found = []
    for track in tracks:
        lost = max(sector - track.start, 0)
        if lost < track.count:
            position = track.position + lost * track.stride
            start = track.start + lost - sector
            found.append(track._replace(start=start, count=track.count - lost, position=position))
    return found


def without_audio(track: Track) -> Track:
    """A track of whole sectors up to what is none of them behind its volume: the audio tracks of the same file."""
    descriptor = _primary(track)
    first = int.from_bytes(descriptor[80:84], "little")
    behind = track.count
    if not track.header or not descriptor or not 0 < first < behind or _is_sector(track, behind - 1):
        return track
    while first < behind:  # the first one that is none
        middle = (first + behind) // 2
        if _is_sector(track, middle):
            first = middle + 1
        else:
            behind = middle
    return track._replace(count=first)


class _Volume(NamedTuple):
    """A volume as its primary descriptor tells."""

    root: int
    """Sector of the root directory."""
    size: int
    """Sectors, counted from where the volume begins; some writers count from the disc's begin."""
    sound: bool
    """Whether its root is where it should be, behind the descriptor."""


def find_sessions(disc: Source, first: int = 0, most: int | None = None) -> list[int]:
    """The sectors where sessions begin on a disc whose first one is `first`; the volumes themselves are passed over.

    With `most` the search ends after so many bytes.
    """
    whole, grown = _first_volume(disc, first), _volume_at(disc, first + _GROWN)
    found: dict[int, _Volume] = {}
    if grown is not None and grown.sound:
        found[first + _GROWN] = grown
    elif whole is not None:
        found[first] = whole
    behind = max((_behind(start, volume) for start, volume in found.items()), default=first)
    while len(found) < limits.TRACKS:
        start = _next_session(disc, behind, None if most is None else behind + most // SECTOR)
        volume = None if start is None else _volume_at(disc, start)
        if start is None or volume is None:
            break
        found[start] = volume
        behind = max(_behind(start, volume), start + FIRST_DESCRIPTOR + 1)
    if whole is not None and whole.root not in {volume.root for volume in found.values()}:
        found[first] = whole
    return sorted(found)


def _first_volume(disc: Source, start: int) -> _Volume | None:
    """The volume at a sector where one is expected, whatever its blocks and the order of its descriptors."""
    first = start + FIRST_DESCRIPTOR
    heads = (glance(disc, 14, sector * SECTOR) for sector in range(first, first + _DESCRIPTORS))
    count = len(list(takewhile(lambda head: head[1:6] == b"CD001" or head[9:] == b"CDROM", heads)))
    volumes = filter(None, (_volume_at(disc, start + place) for place in range(count)))
    return next(volumes, _Volume(0, count, sound=False) if count else None)


def _behind(start: int, volume: _Volume) -> int:
    """The sector behind a volume; the nearer one if its size may count from either begin."""
    return volume.size if volume.size > start else start + volume.size


def _next_session(disc: Source, first: int, last: int | None) -> int | None:
    """The first sector, from `first` to `last`, where a sound volume begins; None: to where any disc ends."""
    at = (first + FIRST_DESCRIPTOR) * SECTOR
    end = min(disc.size, limits.PASS_SIZE if last is None else last * SECTOR)
    while at < end:
        data = glance(disc, _LOOK, at)
        place = data.find(_PRIMARY)
        while place >= 0:
            start = (at + place) // SECTOR - FIRST_DESCRIPTOR
            if not place % SECTOR:
                volume = _volume_at(disc, start)
                if volume is not None and volume.sound:
                    return start
            place = data.find(_PRIMARY, place + 1)
        at += _LOOK
    return None


def _volume_at(disc: Source, start: int) -> _Volume | None:
    """The volume that begins at a sector, blocks of 2048 bytes; None if there is none."""
    raw = glance(disc, SECTOR, (start + FIRST_DESCRIPTOR) * SECTOR)
    if not raw.startswith(_PRIMARY) or len(raw) < SECTOR or raw[128:130] != b"\0\x08":
        return None
    root, size = (int.from_bytes(raw[at : at + 4], "little") for at in (158, 80))
    record = glance(disc, 34, root * SECTOR)
    return _Volume(root, size, root >= start and record[2:6] == raw[158:162] and record[32:34] == b"\1\0")


def _lost(track: Track) -> int:
    """Sectors in front of a data track that nothing tells of: at least the gap between two sessions, or 0."""
    from .sheets.tracks import address, session_gap

    assert track.source is not None
    there = address(track.source, track.position) if track.header else None
    lost = _start(track) if there is None else there - track.start
    return lost if lost >= session_gap(3) else 0


def _start(track: Track) -> int:
    """The sector from which a volume counts, less the one where it is; 0 if its root is where it should be."""
    descriptor = _primary(track)
    extent = int.from_bytes(descriptor[158:162], "little")
    disc = Sectors([track])
    if descriptor[128:130] != b"\0\x08" or extent * SECTOR < disc.size or extent > _MOST:
        return 0
    first = track.start + FIRST_DESCRIPTOR + 1
    for sector in range(first, min(first + _ROOTS, track.end)):
        record = glance(disc, 34, sector * SECTOR)
        if record[2:6] == descriptor[158:162] and record[32:34] == b"\1\0":
            return extent - sector
    return 0


def _primary(track: Track) -> bytes:
    """The primary volume descriptor; empty if there is none."""
    disc = Sectors([track])
    first = track.start + FIRST_DESCRIPTOR
    found = (glance(disc, SECTOR, sector * SECTOR) for sector in range(first, first + _DESCRIPTORS))
    return next((raw for raw in found if raw[:6] == b"\1CD001" and len(raw) == SECTOR), b"")


def _is_sector(track: Track, number: int) -> bool:
    assert track.source is not None
    return glance(track.source, len(SYNC), track.position + number * track.stride) == SYNC
