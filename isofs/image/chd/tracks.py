"""The tracks of a CD or GD-ROM, told by the metadata of a CHD image.

| tag | an entry for each track |
| --- | --- |
| `CHT2` | `TRACK:1 TYPE:MODE1 SUBTYPE:NONE FRAMES:1375 PREGAP:0 PGTYPE:MODE1 PGSUB:NONE POSTGAP:0` and a NUL |
| `CHTR` | the same without pregap and postgap |
| `CHGD`, `CHGT` | the same as `CHT2` and `PAD:0`, of a GD-ROM; in the old one samples have the low byte first |
| `CHCD` | one entry for all, of either byte order: number of tracks (u32), then for each of 99 six u32, see below |

The six numbers: type, type of the subchannels, bytes of a sector, bytes of its subchannels, frames, frames filled up.

Each frame takes 2448 bytes: the sector, its subchannels from byte 2352 on, zeros between. Tracks follow each other,
each filled up to a multiple of 4 frames. `FRAMES` counts what is stored but for that: the pregap as well if `PGTYPE`
begins with `V`, and the padding of a GD-ROM, which fills the disc up to the next track. Other pregaps and postgaps are
not stored, but have their place on the disc. That of the first track has none: it is what comes before sector 0.

The high-density area of a GD-ROM begins at sector 45000; it is the second session here.
"""

from __future__ import annotations

import re
import struct
from typing import Final, NamedTuple

from ... import limits
from ...errors import ImageError
from ..sectors import Mode, Track
from .header import FRAME, Metadata

_FIELD: Final = re.compile(r"([A-Z]+):(\S*)")
_TEXTS: Final = (b"CHT2", b"CHTR", b"CHGD", b"CHGT")
_GD: Final = (b"CHGD", b"CHGT")
_OLD: Final = struct.Struct("6I")
_ALIGNED: Final = 4
"""Frames that tracks are filled up to a multiple of."""
_HIGH_DENSITY: Final = 45_000
_MOST_FRAMES: Final = 1 << 24
"""Frames of a disc: more than any has, so that sums of them stay small."""

# Type -> mode, where the data stands in a frame, whether sync and header are stored.
_TYPES: Final[dict[str, tuple[Mode, int, bool]]] = {
    "MODE1": ("mode 1", 0, False),
    "MODE1/2048": ("mode 1", 0, False),
    "MODE1_RAW": ("mode 1", 24, True),
    "MODE1/2352": ("mode 1", 24, True),
    "MODE2": ("mode 2", 8, False),
    "MODE2/2336": ("mode 2", 8, False),
    "MODE2_FORM1": ("mode 2", 0, False),
    "MODE2/2048": ("mode 2", 0, False),
    "MODE2_FORM2": ("mode 2", 0, False),
    "MODE2/2324": ("mode 2", 0, False),
    "MODE2_FORM_MIX": ("mode 2", 8, False),
    "MODE2_RAW": ("mode 2", 24, True),
    "MODE2/2352": ("mode 2", 24, True),
    "CDI/2352": ("mode 2", 24, True),
    "AUDIO": ("audio", 0, False),
}
_NUMBERED: Final = (
    "MODE1", "MODE1_RAW", "MODE2", "MODE2_FORM1", "MODE2_FORM2", "MODE2_FORM_MIX", "MODE2_RAW", "AUDIO"
)  # fmt: skip
"""The types as `CHCD` counts them."""


class _Told(NamedTuple):
    """What an entry tells about a track."""

    number: int
    type: str
    frames: int
    """Stored, without the filling."""
    filled: int
    """Stored, with it."""
    pad: int = 0
    pregap: int = 0
    pregap_stored: bool = False
    postgap: int = 0


def tracks_of(metadata: list[Metadata], unit: int, size: int) -> tuple[Track, ...]:
    """The tracks, in their order; none if the image is not of a CD.

    `unit`: bytes of a frame as the header tells, 0 if it does not; `size`: all decoded bytes. Raises `ImageError`.
    """
    told: list[_Told] = []
    kinds: set[bytes] = set()
    for entry in metadata:
        if entry.tag in _TEXTS:
            told.append(_text(entry.data))
        elif entry.tag == b"CHCD":
            told += _binary(entry.data)
        else:
            continue
        kinds.add(entry.tag)
    if not told:
        return ()
    if len(kinds) > 1 or len(told) > limits.TRACKS or unit not in (0, FRAME):
        raise _damaged(f"{len(told)} tracks of frames of {unit} bytes")
    told.sort()
    if any(track.number != number for number, track in enumerate(told, max(told[0].number, 1))):
        raise _damaged("numbers of tracks that do not follow each other")
    return _placed(told, size, gd=kinds <= set(_GD), big_endian=b"CHGT" not in kinds)


def _placed(told: list[_Told], size: int, *, gd: bool, big_endian: bool) -> tuple[Track, ...]:
    """The tracks at their places on the disc and in the decoded bytes."""
    tracks = []
    frame = sector = 0
    for track in told:
        if track.type not in _TYPES:
            raise _damaged(f"track {track.number} of the unknown type {track.type[:32]!r}")
        mode, offset, header = _TYPES[track.type]
        skipped = track.pregap if track.pregap_stored else 0
        if frame or track.pregap_stored:
            sector += track.pregap
        count = track.frames - skipped - track.pad
        if count < 0 or (frame + track.filled) * FRAME > size:
            raise _damaged(f"track {track.number} of {track.frames} frames does not fit")
        tracks.append(
            Track(
                track.number,
                mode,
                sector,
                count,
                None,
                (frame + skipped) * FRAME,
                FRAME,
                offset,
                header,
                session=2 if gd and sector >= _HIGH_DENSITY else 1,
                big_endian=big_endian and mode == "audio",
            )
        )
        sector += track.frames - skipped + track.postgap
        frame += track.filled
    return tuple(tracks)


def _text(data: bytes) -> _Told:
    fields = dict(_FIELD.findall(data.partition(b"\0")[0].decode("latin-1")))
    frames = _number(fields, "FRAMES")
    return _Told(
        _number(fields, "TRACK"),
        fields.get("TYPE", ""),
        frames,
        -(-frames // _ALIGNED) * _ALIGNED,
        _number(fields, "PAD", 0),
        _number(fields, "PREGAP", 0),
        fields.get("PGTYPE", "").startswith("V"),
        _number(fields, "POSTGAP", 0),
    )


def _number(fields: dict[str, str], key: str, otherwise: int = -1) -> int:
    text = fields.get(key, str(otherwise))
    if not re.fullmatch("[0-9]{1,8}", text) or int(text) > _MOST_FRAMES:
        raise _damaged(f"a track of {key} {text[:32]!r}")
    return int(text)


def _binary(data: bytes) -> list[_Told]:
    order = ">" if int.from_bytes(data[:4], "big") <= limits.TRACKS else "<"
    count = int.from_bytes(data[:4], "big" if order == ">" else "little")
    if count > limits.TRACKS or len(data) < 4 + count * _OLD.size:
        raise _damaged(f"{count} tracks in {len(data)} bytes")
    told = []
    rows = struct.Struct(order + _OLD.format).iter_unpack(data[4 : 4 + count * _OLD.size])
    for number, (kind, _, _, _, frames, extra) in enumerate(rows, 1):
        if kind >= len(_NUMBERED) or frames > _MOST_FRAMES or extra > _MOST_FRAMES:
            raise _damaged(f"track {number} of type {kind} and {frames} frames")
        told.append(_Told(number, _NUMBERED[kind], frames, frames + extra))
    return told


def _damaged(what: str) -> ImageError:
    return ImageError(f"damaged CHD metadata: {what}", "copy the image again")
