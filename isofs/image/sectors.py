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

from typing import Final, Literal, NamedTuple

from .source import Source

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
    count: int
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
