"""Tracks as sheets tell them, checked against what is stored.

What a sheet gives is a mode and a stride; these tell where the data stands in a sector:

| stride | sectors | data at |
| --- | --- | --- |
| 2048, 2064, 2144 | data alone; with 16 or 96 bytes of subchannel | 0 |
| 2056, 2332, 2336, 2432 | subheader, data, and what follows it; 2432 with subchannel | 8 |
| 2324, 2420 | form 2 data alone; with subchannel | 0 |
| 2352, 2368, 2448 | whole; with 16 or 96 bytes of subchannel | by the header |

Sheets with a wrong mode are common, so what is stored wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import limits
from ...errors import ImageError
from ..sectors import RAW, SECTOR, SYNC, Layout, Mode, Track, find_layout
from ..source import Source, glance
from . import Sheet

FRAMES: Final = 75
"""Sectors of a second."""
LEAD_IN: Final = 150
"""Sectors of the two seconds in front of sector 0, as of the pregap in front of each session."""
HEADER_OFFSET: Final = 24
"""Where the data of a mode 2 sector stands behind sync, header and subheader."""

_OFFSETS: Final = {2048: 0, 2064: 0, 2144: 0, 2056: 8, 2332: 8, 2336: 8, 2432: 8, 2324: 0, 2420: 0}
_WHOLE: Final = (RAW, RAW + 96, RAW + 16)
_MODE_2: Final = (2056, 2332, 2336, 2432, 2324, 2420)
_SECTORS: Final = limits.DISC_SIZE // SECTOR
"""Sectors of a disc, so that places which are sums of large numbers stay those of one."""


def session_gap(session: int) -> int:
    """Sectors between the end of a session and the pregap of the next, which is `session`: lead-out and lead-in.

    The first lead-out has 6750, later ones 2250, a lead-in has 4500.
    """
    return 11250 if session == 2 else 6750


def address(source: Source, position: int) -> int | None:
    """The number that a whole sector's own header gives it; None if there is no header.

    Minute, second and frame stand at 12 in BCD and count from the lead-in, 150 sectors earlier.
    """
    raw = glance(source, 16, position)
    if len(raw) < 16 or raw[:12] != SYNC:
        return None
    digits = raw[12:15].hex()
    if not digits.isdecimal():
        return None
    minute, second, frame = (int(digits[i : i + 2]) for i in (0, 2, 4))
    return (minute * 60 + second) * FRAMES + frame - LEAD_IN


class Tracks:
    """The tracks of one sheet, added one by one."""

    def __init__(self, format: str) -> None:
        self.format = format
        self.tracks: list[Track] = []
        self.warnings: list[str] = []

    def warn(self, sentence: str) -> None:
        """Adds a warning."""
        if len(self.warnings) < limits.TRACKS:
            self.warnings.append(sentence)

    def stored(self, number: int, mode: Mode, stride: int, source: Source, position: int) -> Layout:
        """The layout of the sectors from byte `position` on: as the sheet has it, or as they are.

        Raises `ImageError` for a stride that no sector has, and for a place where the source has no sector.
        """
        if stride not in _OFFSETS and stride not in _WHOLE:
            raise ImageError(f"track {number} has sectors of {stride} bytes, which no disc has")
        if not 0 <= position <= source.size - stride:
            raise ImageError(
                f"track {number} begins at byte {position}, but what holds it has {source.size} bytes",
                "copy the image again",
            )
        header = mode != "audio" and stride in _WHOLE
        offset = HEADER_OFFSET if header else _OFFSETS.get(stride, 0)
        told = Layout(stride, offset, header, position)
        found = told if mode == "audio" else _found(source, told)
        if found != told:
            self.warn(
                f"the sheet gives track {number} {_words(told)}, but {_words(found)} are stored; these are read"
                if found.stride != stride or found.header != header
                else f"{(found.position - position) // stride} sectors in front of track {number} are passed over"
                if found.position != position
                else f"the data of track {number} stands at byte {found.offset} of its sectors, not at {offset}"
            )
        return found

    def add(
        self,
        number: int,
        mode: Mode,
        stride: int,
        source: Source,
        position: int,
        *,
        start: int,
        count: int | None,
        session: int = 1,
        big_endian: bool = False,
        title: str = "",
        layout: Layout | None = None,
    ) -> None:
        """Adds a track whose sectors are stored, `count` of them or as many as there are.

        `layout`: what `stored` gave for it, if it was asked before. Raises `ImageError` for what cannot be.
        """
        layout = layout or self.stored(number, mode, stride, source, position)
        there = max(source.size - layout.position, 0) // layout.stride
        skipped = (layout.position - position) // layout.stride
        if count is None and (rest := (source.size - layout.position) % layout.stride):
            self.warn(f"{rest} bytes behind the last whole sector of track {number} are not read")
        count = there if count is None else max(count - skipped, 0)
        if not count:
            raise ImageError(f"track {number} has no sectors")
        if count > there:
            self.warn(f"truncated: {there} of {count} sectors of track {number} are present")
        if mode != "audio":
            mode = _mode(source, layout, mode)
        self._add(
            Track(
                number,
                mode,
                start,
                min(count, there),
                source,
                layout.position,
                layout.stride,
                layout.offset,
                layout.header,
                session,
                big_endian,
                title,
            )
        )

    def place(self, number: int, start: int, source: Source, position: int, lost: str) -> int:
        """Where a data track begins on the disc if the length of the file `lost` in front of it is unknown.

        Its own header tells; else it is `start`, with a warning.
        """
        there = address(source, position)
        if there is not None and there >= start:
            return there
        self.warn(f"where track {number} lies on the disc is a guess: how many sectors {lost!r} has is unknown")
        return start

    def add_unread(self, number: int, start: int, *, session: int = 1, title: str = "") -> None:
        """Adds an audio track that is in a file of another kind."""
        self._add(Track(number, "audio", start, 0, None, 0, RAW, session=session, title=title))

    def _add(self, track: Track) -> None:
        if not 1 <= track.number <= limits.TRACKS:
            raise ImageError(f"track {track.number}: track numbers are 1 to {limits.TRACKS}")
        if self.tracks and track.number <= self.tracks[-1].number:
            raise ImageError(f"track {track.number} follows track {self.tracks[-1].number}")
        if not 0 <= track.start <= track.start + track.count <= _SECTORS:
            raise ImageError(f"track {track.number} begins at sector {track.start}, where no disc has one")
        before = self.tracks[-1] if self.tracks else None
        if before is not None and track.start < before.end:
            raise ImageError(
                f"track {track.number} begins at sector {track.start}, within track {before.number}, "
                f"which ends at {before.end}"
            )
        self.tracks.append(track)

    def sheet(self) -> Sheet:
        """The sheet. Raises `ImageError` if it has no track."""
        if not self.tracks:
            raise ImageError(f"the {self.format} has no track")
        return Sheet(self.format, tuple(self.tracks), tuple(self.warnings))


def _found(source: Source, told: Layout) -> Layout:
    """How the sectors of a data track are stored, where the sheet told `told`."""
    found = find_layout(source, told.position)
    for whole in _whole(source, told):
        return found if found is not None and found.stride == whole.stride else whole
    return told if found is None else found


def _whole(source: Source, told: Layout) -> Iterator[Layout]:
    """What sync patterns show: the first sector's, and that of the next one unless there is none."""
    if glance(source, len(SYNC), told.position) != SYNC:
        return
    for stride in sorted(_WHOLE, key=lambda stride: stride != told.stride):
        at = told.position + stride
        if glance(source, len(SYNC), at) == SYNC or (stride == told.stride and at + stride > source.size):
            yield Layout(stride, HEADER_OFFSET, True, told.position)


def _mode(source: Source, layout: Layout, told: Mode) -> Mode:
    if layout.header:
        stored: dict[bytes, Mode] = {b"\1": "mode 1", b"\2": "mode 2"}
        return stored.get(glance(source, 1, layout.position + 15), told)
    return "mode 2" if layout.stride in _MODE_2 else told


def _words(layout: Layout) -> str:
    return f"sectors of {layout.stride} bytes" + ("" if layout.header or layout.stride < RAW else " without header")
