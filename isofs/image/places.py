"""Where tracks lie on the disc, if what holds them does not tell.

A CHD image knows no sessions, and a track that was cut out of a disc stands alone. Two things tell where it was: whole
sectors have their own number in the header, and the root directory's first record is that of its own place, which the
volume descriptor names as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .sectors import FIRST_DESCRIPTOR, SECTOR, SYNC, Sectors, Track
from .source import Source, glance

_DESCRIPTORS: Final = 16
"""Sectors in which the primary descriptor is looked for."""
_ROOTS: Final = 1000
"""Sectors behind the descriptors in which the root directory is looked for: path tables come first."""
_MOST: Final = 449_850
"""Sectors of a CD by its headers, 99:59:74; no session of any disc begins further on."""


def placed(tracks: Sequence[Track]) -> tuple[Track, ...]:
    """The tracks of a disc, from one that begins a later session on at the places which the disc itself tells."""
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


def cut_out(source: Source) -> Track | None:
    """The track that plain sectors are if they were cut out of a disc; None if they begin where their volume counts."""
    track = Track(1, "mode 1", 0, source.size // SECTOR, source, 0, SECTOR)
    start = _start(track)
    return track._replace(start=start) if start else None


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
