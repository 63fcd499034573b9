"""Sectors of a CD in an image: tracks of raw or cooked sectors -> the disc's bytes, 2048 for each sector.

A sector of a CD takes 2352 bytes (ECMA-130, CD-ROM XA):

| bytes | mode 1 | mode 2 form 1 | mode 2 form 2 |
| --- | --- | --- | --- |
| 0 to 11 | sync: 00, ten times FF, 00 | same | same |
| 12 to 14 | minute, second, frame in BCD | same | same |
| 15 | mode: 1 | 2 | 2 |
| 16 to 23 | data from here | subheader twice: file, channel, submode, coding | same |
| data | 16 to 2063 (2048) | 24 to 2071 (2048) | 24 to 2347 (2324) |
| EDC | 2064 to 2067, of 0 to 2063 | 2072 to 2075, of 16 to 2071 | 2348 to 2351, of 16 to 2347, or 0 |
| ECC | 2076 to 2351 | same, bytes 12 to 15 taken as 0 | |

Image files leave out some of it or add subchannels; the stride, the bytes from one sector to the next, and the place of
the data in it are the layout. Where the header is stored, byte 15 of each sector tells where its data begins: a track
may mix modes. Of a form 2 sector the first 2048 bytes are given, as sizes of directory records count them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from ..errors import ImageError, UsageError
from .source import Extent, Extents, Source, Stream, glance, open_stream

SECTOR: Final = 2048
"""Bytes of a sector's data, as ISO 9660 counts them."""
RAW: Final = 2352
"""Bytes of a whole sector."""
SYNC: Final = b"\0" + b"\xff" * 10 + b"\0"

Mode = Literal["audio", "mode 1", "mode 2"]


class Track(NamedTuple):
    """A track of a disc: where its sectors are stored, and where they belong."""

    number: int
    """1 to 99."""
    mode: Mode
    start: int
    """Number of its first sector on the disc, from 0 (LBA); that of index 1, behind the pregap."""
    count: int  # type: ignore[assignment]
    """Sectors from `start` on that are stored."""
    source: Source | None
    """What holds them. None: nothing that is read (a WAVE or FLAC file), or for a container's own track its decoded
    bytes."""
    position: int
    """Byte of the first sector in the source."""
    stride: int
    """Bytes from one sector to the next."""
    offset: int = 0
    """Where the data stands in a sector, if no header is stored; a mode 2 sector's, if one is."""
    header: bool = False
    """Whether each sector begins with sync and header, so that byte 15 tells its mode."""
    session: int = 1
    """From 1."""
    big_endian: bool = False
    """Audio samples with the high byte first."""
    title: str = ""
    """What the sheet calls it."""

    @property
    def end(self) -> int:
        """The sector behind its last one."""
        return self.start + self.count


FIRST_DESCRIPTOR: Final = 16
"""The sector of a volume, counted from its start, in which its descriptors begin (ECMA-119 6.2.1)."""
_DESCRIPTORS: Final = 16
"""Sectors in which a volume descriptor is looked for: those of UDF may stand in front."""
_LEAD_IN: Final = 150
"""Sectors of two seconds, which some images hold in front of sector 0."""
_PLACES: Final = (
    (2048, 0),
    (2352, 16),
    (2352, 24),
    (2336, 8),
    (2448, 16),
    (2448, 24),
    (2368, 16),
    (2368, 24),
    (2332, 8),
    (2056, 8),
    (2432, 8),
    (2144, 0),
    (2064, 0),
)
"""Strides, and places of the data in a sector, in the order in which they are tried."""
_WHOLE: Final = tuple(sorted({stride for stride, offset in _PLACES if offset in (16, 24)}))
"""Strides of sectors that are stored whole, with sync and header."""
_KINDS: Final = (0, 1, 2, 3, 255)
"""Types of volume descriptors."""
_SYNC_SEARCH: Final = 1 << 20
"""Bytes in which sync patterns are looked for where nothing else is found."""


class Layout(NamedTuple):
    """How sectors are stored, as the volume descriptors show."""

    stride: int
    offset: int
    """See `Track`."""
    header: bool
    """See `Track`."""
    position: int
    """Byte of sector 0 in the source."""

    def track(self, source: Source) -> Track:
        """The one track of a source that holds nothing else."""
        count = max(source.size - self.position, 0) // self.stride
        subheader = self.stride in (2336, 2332, 2056, 2432)
        first = self.position + FIRST_DESCRIPTOR * self.stride
        second = subheader or (self.header and source.pread(1, first + 15) == b"\2")
        mode: Mode = "mode 2" if second else "mode 1"
        return Track(1, mode, 0, count, source, self.position, self.stride, offset=self.offset, header=self.header)


def find_layout(source: Source, position: int = 0) -> Layout | None:
    """How the sectors from byte `position` on are stored, by where their volume descriptors stand; None: none found.

    The layout with most descriptors in a row wins, then the first one of the table.
    """
    plain = Layout(SECTOR, 0, False, position)
    if _descriptors(source, plain) > 1:
        return plain
    found = [
        layout
        for lead_in in (0, _LEAD_IN)
        for stride, offset in _PLACES
        if _descriptors(source, layout := Layout(stride, offset, False, position + lead_in * stride))
    ]
    if found:
        best = max(found, key=lambda layout: _descriptors(source, layout))
        return _with_header(source, best)
    places = range(position + FIRST_DESCRIPTOR * SECTOR, position + (FIRST_DESCRIPTOR + _DESCRIPTORS) * SECTOR, SECTOR)
    return plain if any(_is_volume(glance(source, 14, place)) for place in places) else None


def find_raw(source: Source) -> Layout | None:
    """The layout of raw sectors that do not begin where the file does, by their sync patterns; None: none found."""
    head = glance(source, _SYNC_SEARCH, 0)
    at = head.find(SYNC)
    while 0 <= at < len(head):
        if any(all(head.startswith(SYNC, at + i * stride) for i in (1, 2)) for stride in _WHOLE):
            return find_layout(source, at)
        at = head.find(SYNC, at + 1)
    return None


def _descriptors(source: Source, layout: Layout) -> int:
    """How many sectors in a row, from the first on that may be one, are volume descriptors."""
    count = 0
    place = layout.position + FIRST_DESCRIPTOR * layout.stride + layout.offset
    while count < _DESCRIPTORS:
        raw = glance(source, 15, place)
        iso = raw[1:6] == b"CD001" and raw[0] in _KINDS
        if not iso and raw[9:14] != b"CDROM":
            break
        count += 1
        place += layout.stride
    return count


def _with_header(source: Source, layout: Layout) -> Layout:
    """The layout, told by headers where they are stored: the mode of sector 16 must lead to the place found."""
    if layout.stride < RAW or layout.offset not in (16, 24):
        return layout
    mode = glance(source, 1, layout.position + FIRST_DESCRIPTOR * layout.stride + 15)
    if mode == b"\1" and layout.offset == 16:
        return layout._replace(offset=24, header=True)
    return layout._replace(header=mode == b"\2")


class Sectors:
    """The disc that tracks make: 2048 bytes for each sector. A `Source`.

    It ends with its last data track. Sectors of audio tracks, and those between tracks, are errors.
    """

    def __init__(self, tracks: Sequence[Track]) -> None:
        self.tracks = tuple(sorted(tracks, key=lambda track: (track.start, track.count)))
        self._starts = [track.start for track in self.tracks]
        self.size = SECTOR * max((track.end for track in tracks if track.mode != "audio"), default=0)

    def pread(self, n: int, offset: int) -> bytes:
        """See `Source.pread`."""
        end = min(offset + n, self.size)
        if not 0 <= offset < end:
            return b""
        first, behind = offset // SECTOR, -(-end // SECTOR)
        pieces = []
        while first < behind:
            track = self._track(first)
            count = min(behind, track.end) - first
            raw = _stored(track, count * track.stride, first)
            pieces.append(user_data(raw, track, first))
            first += count
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        start = offset % SECTOR
        return data if len(data) == end - offset else data[start : start + end - offset]

    def stream(self, extents: Extents) -> Stream:
        """See `open_stream`: a file that lies in one track is read ahead as what holds the track is."""
        piece = extents.contiguous
        if piece is None or not piece.length:
            return Stream(extents)
        first, behind = piece.position // SECTOR, -(-(piece.position + piece.length) // SECTOR)
        track = self._track(first)
        if track.end < behind or track.source is None:
            return Stream(extents)
        start = track.position + (first - track.start) * track.stride
        if track.stride == SECTOR:
            start += piece.position % SECTOR
            return open_stream(Extents(track.source, [Extent(start, piece.length)], lambda: extents.label))
        stored = Extents(track.source, [Extent(start, (behind - first) * track.stride)], lambda: extents.label)
        return _SectorStream(extents, track, piece.position, open_stream(stored))

    def _track(self, sector: int) -> Track:
        """The data track that holds a sector."""
        i = bisect_right(self._starts, sector) - 1
        track = self.tracks[i] if i >= 0 else None
        if track is None or sector >= track.end:
            raise ImageError(f"sector {sector} lies in no track")
        if track.mode == "audio":
            raise ImageError(f"sector {sector} belongs to the audio track {track.number}")
        return track


class _SectorStream(Stream):
    """A file that lies in one track of sectors longer than 2048 bytes, from byte `position` of the disc on."""

    def __init__(self, extents: Extents, track: Track, position: int, stored: Stream) -> None:
        self._stored = stored
        super().__init__(extents)
        self._track = track
        self._position = position

    @property
    def busy(self) -> bool:
        """See `Stream`."""
        return self._stored.busy

    @busy.setter
    def busy(self, _: bool) -> None:
        """What holds the sectors tells."""

    def view(self, n: int, offset: int) -> memoryview | bytes:
        """See `Stream.view`."""
        end = min(offset + n, self.size)
        if not 0 <= offset < end:
            return b""
        base = self._position // SECTOR
        first, behind = (self._position + offset) // SECTOR, -(-(self._position + end) // SECTOR)
        stride = self._track.stride
        raw = self._stored.pread((behind - first) * stride, (first - base) * stride)
        data = user_data(raw, self._track, first)
        start = (self._position + offset) % SECTOR
        return data if len(data) == end - offset else data[start : start + end - offset]

    def close(self) -> None:
        """See `Stream.close`."""
        self._stored.close()


def _stored(track: Track, n: int, sector: int) -> bytes:
    """`n` bytes of a track from a sector on, as they are stored."""
    assert track.source is not None
    raw = track.source.pread(n, track.position + (sector - track.start) * track.stride)
    if len(raw) != n:
        raise ImageError(
            f"sectors {sector} to {sector + n // track.stride} of track {track.number} lie beyond the end of its file"
        )
    return raw


def user_data(raw: bytes, track: Track, first: int) -> bytes:
    """The data of whole sectors, 2048 bytes each; `first` is the number of the first one, for the error.

    Raises `ImageError` for a sector that holds none.
    """
    stride, offset = track.stride, track.offset
    if stride == SECTOR:
        return raw
    if not track.header:
        return b"".join([raw[at : at + SECTOR] for at in range(offset, len(raw), stride)])
    modes = raw[15::stride]
    if modes.count(1) == len(modes):
        return b"".join([raw[at : at + SECTOR] for at in range(16, len(raw), stride)])
    if modes.count(2) == len(modes):
        return b"".join([raw[at : at + SECTOR] for at in range(offset, len(raw), stride)])
    places = {1: 16, 2: offset, 0: 16}
    for number, mode in enumerate(modes, first):
        if mode not in places:
            raise ImageError(f"sector {number} is no data sector (mode {mode})")
    return b"".join([raw[at : at + SECTOR] for at in (i * stride + places[mode] for i, mode in enumerate(modes))])


def sessions(tracks: Sequence[Track]) -> list[int]:
    """The sessions of a disc, the first one first."""
    return sorted({track.session for track in tracks})


def choose(tracks: Sequence[Track], number: int | None, session: int | None) -> Track | None:
    """The data track to mount: that number; else the first one of a session, counted from 0; else of the last session
    that has a volume. None where there are audio tracks only, or no tracks: the whole disc is track 1 of session 0.

    Raises `UsageError` for a track or session that is not there.
    """
    if not tracks:
        if number not in (None, 1):
            raise UsageError(f"track {number} is not on the disc", "data tracks: 1")
        if session not in (None, 0):
            raise UsageError(f"session {session} is not on the disc", "sessions: 0")
        return None
    data = [track for track in tracks if track.mode != "audio"]
    told = f"data tracks: {', '.join(str(track.number) for track in data) or 'none'}"
    if number is not None:
        found = next((track for track in tracks if track.number == number), None)
        if found is None or found.mode == "audio":
            raise UsageError(f"track {number} is {'an audio track' if found else 'not on the disc'}", told)
        data = [found]
    there = sessions(tracks)
    if session is not None:
        if not 0 <= session < len(there):
            known = ", ".join(map(str, range(len(there))))
            raise UsageError(f"session {session} is not on the disc", f"sessions: {known}")
        data = [track for track in data if track.session == there[session]]
        if not data:
            raise UsageError(f"session {session} has no such data track", told)
    firsts = {track.session: track for track in reversed(data)}
    ranked = [firsts[key] for key in sorted(firsts, reverse=True)]
    return next((track for track in ranked if _has_volume(track)), ranked[0] if ranked else None)


def _has_volume(track: Track) -> bool:
    disc = Sectors([track])
    heads = (glance(disc, 14, sector * SECTOR) for sector in _descriptor_sectors(track.start))
    return any(map(_is_volume, heads))


def _is_volume(head: bytes) -> bool:
    """Whether the first bytes of a sector are a volume descriptor's: of ISO 9660, or of High Sierra."""
    return head[1:6] == b"CD001" or head[9:14] == b"CDROM"


def _descriptor_sectors(start: int) -> range:
    first = start + FIRST_DESCRIPTOR
    return range(first, first + _DESCRIPTORS)


def counts_from_itself(disc: Source, start: int) -> bool:
    """Whether the volume that begins at sector `start` counts its blocks from there, not from the disc's start.

    The root directory's first record is the judge: it must be where its descriptor says, and say so itself. A volume's
    root is not in front of its own begin; what is there is another one's.
    """
    if not start:
        return False
    sectors = (glance(disc, SECTOR, sector * SECTOR) for sector in _descriptor_sectors(start))
    raw = next((raw for raw in sectors if raw[:6] == b"\1CD001"), b"")
    if len(raw) < SECTOR:
        return False
    block_size = int.from_bytes(raw[128:130], "little")
    extent = raw[158:162]
    place = int.from_bytes(extent, "little") * block_size

    def is_root(at: int) -> bool:
        record = glance(disc, 34, at)
        return len(record) == 34 and record[32:34] == b"\1\0" and record[2:6] == extent

    first = start * SECTOR
    return is_root(first + place) and (place < first or not is_root(place))
