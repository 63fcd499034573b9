"""Volume descriptors (ECMA-119 8): sector 16 and the ones behind it, until a terminator.

Fields that are read; both-endian numbers by their little-endian half, since some writers get the other one wrong:

| at | size | field | |
| --- | --- | --- | --- |
| 0 | 1 | type | 0 boot record, 1 primary, 2 supplementary, 3 partition, 255 terminator |
| 1 | 5 | standard identifier | `CD001` |
| 6 | 1 | version | 1; 2 in an enhanced descriptor (ISO 9660:1999) |
| 8 | 32 | system identifier | |
| 40 | 32 | volume identifier | |
| 80 | 8 | volume space size | logical blocks |
| 88 | 32 | escape sequences | Joliet: `%/@`, `%/C`, `%/E` |
| 120 | 4 | volume set size | |
| 124 | 4 | volume sequence number | |
| 128 | 4 | logical block size | 512, 1024 or 2048 |
| 156 | 34 | root directory record | |
| 190 | 128 | volume set identifier | |
| 318 | 128 | publisher | |
| 446 | 128 | data preparer | |
| 574 | 128 | application | |
| 813 | 17 | creation time | |
| 830 | 17 | modification time | |
| 847 | 17 | expiration time | |
| 864 | 17 | effective time | |
| 883 | 512 | application use | `CD-XA001` at 141 marks CD-ROM XA |

A boot record whose identifier is `EL TORITO SPECIFICATION` makes the disc bootable. `BEA01`, `NSR02`, `NSR03` and
`TEA01` behind the descriptors belong to UDF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from ... import limits
from ...errors import ImageError, NotADisc, UnsupportedError
from ...image.source import Source
from .dates import long_time

SECTOR: Final = 2048
FIRST: Final = 16
BLOCK_SIZES: Final = (512, 1024, 2048)

TYPE_BOOT: Final = 0
TYPE_PRIMARY: Final = 1
TYPE_SUPPLEMENTARY: Final = 2
TYPE_TERMINATOR: Final = 255

_FIELDS: Final = struct.Struct("<x5sBx32s32s8xI4x32sH2xH2xH2x24x34s128s128s128s128s111x17s17s17s17s")
_XA_AT: Final = 1024
_JOLIET: Final = {b"%/@": 1, b"%/C": 2, b"%/E": 3}
_UDF: Final = (b"BEA01", b"NSR02", b"NSR03", b"TEA01", b"BOOT2")


class VolumeDescriptor(NamedTuple):
    """A primary or supplementary descriptor. Texts are as recorded, without padding."""

    version: int
    system: bytes
    volume: bytes
    space_size: int
    """Logical blocks; 0 or wrong on bad discs."""
    escape: bytes
    set_size: int
    sequence: int
    block_size: int
    """512, 1024 or 2048 bytes."""
    root: bytes
    """The root's directory record, 34 bytes."""
    volume_set: bytes
    publisher: bytes
    preparer: bytes
    application: bytes
    created: int | None
    """Nanoseconds since 1970, as the other times."""
    modified: int | None
    expires: int | None
    effective: int | None
    xa: bool
    """Whether the descriptor carries the mark of CD-ROM XA."""

    @property
    def joliet_level(self) -> int:
        """1 to 3 for a Joliet descriptor, else 0."""
        return _JOLIET.get(self.escape[:3], 0)


class Descriptors:
    """What the search found: of each kind the first."""

    def __init__(self) -> None:
        self.primary: VolumeDescriptor | None = None
        self.joliet: VolumeDescriptor | None = None
        self.enhanced: VolumeDescriptor | None = None
        self.bootable = False
        """El Torito."""
        self.udf = False
        """UDF's marks were met: the disc is a bridge."""
        self.damage: list[str] = []
        """Descriptors that were passed over, and why."""


def read_descriptors(disc: Source, first_sector: int = 0) -> Descriptors:
    """The volume descriptors of a disc; of the volume that begins at a sector of it.

    Unlike Linux it does not stop at a Joliet descriptor, so that one in front of the primary one hides nothing.
    Raises `NotADisc` where there is no volume, `ImageError` where no descriptor is sound, `UnsupportedError` for
    High Sierra.
    """
    found = Descriptors()
    seen = False
    for raw in _sectors(disc, first_sector + FIRST):
        identifier = raw[1:6]
        if identifier in _UDF:
            found.udf = found.udf or identifier.startswith(b"NSR")
            continue
        if raw[9:14] == b"CDROM" and identifier != b"CD001" and not seen and raw[8] == 1:
            raise UnsupportedError("a High Sierra disc (the forerunner of ISO 9660)", "not read yet")
        if identifier != b"CD001":
            continue
        seen = True
        kind = raw[0]
        if kind == TYPE_BOOT:
            found.bootable = found.bootable or raw[7:30] == b"EL TORITO SPECIFICATION"
        elif kind in (TYPE_PRIMARY, TYPE_SUPPLEMENTARY):
            try:
                _keep(found, kind, _parse(raw))
            except ImageError as error:
                found.damage.append(error.reason)
    if not seen and first_sector:
        raise NotADisc(f"no ISO 9660 volume begins at sector {first_sector}", "see isofs info")
    if not seen:
        raise NotADisc("no volume descriptor: not an ISO 9660 disc", "check the file")
    if found.primary is None and found.joliet is None:
        raise ImageError(
            "; ".join(found.damage) or "no primary volume descriptor: the disc holds no tree", "copy the image again"
        )
    return found


def _keep(found: Descriptors, kind: int, descriptor: VolumeDescriptor) -> None:
    if kind == TYPE_PRIMARY:
        found.primary = found.primary or descriptor
    elif descriptor.joliet_level:
        found.joliet = found.joliet or descriptor
    elif descriptor.version == 2:
        found.enhanced = found.enhanced or descriptor


def _sectors(disc: Source, first: int) -> Iterator[bytes]:
    """Sectors that belong to a descriptor set or to UDF's marks; after the terminator only the latter."""
    unknown = 0
    ended = False
    for sector in range(first, first + limits.DESCRIPTOR_SECTORS):
        raw = disc.pread(SECTOR, sector * SECTOR)
        if len(raw) < SECTOR:
            return
        known = raw[1:6] == b"CD001" or raw[9:14] == b"CDROM"
        marks_udf = raw[1:6] in _UDF
        unknown = 0 if known or marks_udf else unknown + 1
        if unknown > (0 if ended else limits.DESCRIPTOR_GAP):
            return
        if known and raw[0] == TYPE_TERMINATOR:
            ended = True
        elif marks_udf or (known and not ended):
            yield raw


def _parse(raw: bytes) -> VolumeDescriptor:
    fields = _FIELDS.unpack_from(raw)
    block_size = fields[8]
    if block_size not in BLOCK_SIZES:
        raise ImageError(f"a volume descriptor tells logical blocks of {block_size} bytes")
    (_, version, system, volume, space_size, escape, set_size, sequence, _, root, *texts) = fields
    volume_set, publisher, preparer, application = (text.rstrip(b" \0") for text in texts[:4])
    created, modified, expires, effective = (long_time(stamp) for stamp in texts[4:])
    return VolumeDescriptor(
        version=version,
        system=system.rstrip(b" \0"),
        volume=volume.rstrip(b" \0"),
        space_size=space_size,
        escape=escape,
        set_size=set_size,
        sequence=sequence,
        block_size=block_size,
        root=root,
        volume_set=volume_set,
        publisher=publisher,
        preparer=preparer,
        application=application,
        created=created,
        modified=modified,
        expires=expires,
        effective=effective,
        xa=raw[_XA_AT : _XA_AT + 8] == b"CD-XA001",
    )
