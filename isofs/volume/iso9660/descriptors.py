"""Volume descriptors (ECMA-119 8): sector 16 and the ones behind it, until a terminator.

Fields that are read, and where they are in High Sierra (1986), the forerunner of ISO 9660; both-endian numbers by their
little-endian half, since some writers get the other one wrong:

| at | High Sierra | size | field | |
| --- | --- | --- | --- | --- |
| 0 | 8 | 1 | type | 0 boot record, 1 primary, 2 supplementary, 3 partition, 255 terminator |
| 1 | 9 | 5 | standard identifier | `CD001`; `CDROM` |
| 6 | 14 | 1 | version | 1; 2 in an enhanced descriptor (ISO 9660:1999) |
| 8 | 16 | 32 | system identifier | |
| 40 | 48 | 32 | volume identifier | |
| 80 | 88 | 8 | volume space size | logical blocks |
| 88 | 96 | 32 | escape sequences | Joliet: `%/@`, `%/C`, `%/E` |
| 120 | 128 | 4 | volume set size | |
| 124 | 132 | 4 | volume sequence number | |
| 128 | 136 | 4 | logical block size | 512, 1024 or 2048 |
| 132 | 140 | 8 | path table size | |
| 140 | 148 | 4 | block of the path table | little-endian, of type L |
| 148 | 164 | 4 | block of the path table | big-endian, of type M |
| 156 | 180 | 34 | root directory record | |
| 190 | 214 | 128 | volume set identifier | |
| 318 | 342 | 128 | publisher | |
| 446 | 470 | 128 | data preparer | |
| 574 | 598 | 128 | application | |
| 813 | 790 | 17, 16 | creation time | |
| 830 | 806 | 17, 16 | modification time | |
| 847 | 822 | 17, 16 | expiration time | |
| 864 | 838 | 17, 16 | effective time | |
| 883 | | 512 | application use | `CD-XA001` at 141 marks CD-ROM XA |

Of High Sierra the primary descriptor alone counts, and only where no descriptor of ISO 9660 is in front of it. A boot
record whose identifier is `EL TORITO SPECIFICATION` makes the disc bootable. `BEA01`, `NSR02`, `NSR03` and
`TEA01` behind the descriptors belong to UDF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from ... import limits
from ...errors import ImageError, NotADisc
from ...image.source import Source
from .dates import long_time
from .records import agree, disagreeing

SECTOR: Final = 2048
FIRST: Final = 16
BLOCK_SIZES: Final = (512, 1024, 2048)

TYPE_BOOT: Final = 0
TYPE_PRIMARY: Final = 1
TYPE_SUPPLEMENTARY: Final = 2
TYPE_TERMINATOR: Final = 255

_ISO_9660: Final = struct.Struct("<6xBx32s32s8xI4x32sH2xH2xH2x8xI4x4s4x34s128s128s128s128s111x17s17s17s17s")
_HIGH_SIERRA: Final = struct.Struct("<14xBx32s32s8xI4x32sH2xH2xH2x8xI12x4s12x34s128s128s128s128s64x16s16s16s16s")
_BOTH_ENDIAN: Final = (
    (80, 4, "volume space size"),
    (120, 2, "volume set size"),
    (124, 2, "volume sequence number"),
    (128, 2, "logical block size"),
    (132, 4, "path table size"),
)
"""Place in ISO 9660, bytes of each half, name."""
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
    path_tables: tuple[int, int]
    """Logical blocks of the path tables of type L and M; 0 or wrong on bad discs."""
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
    high_sierra: bool
    """Whether it, and its tree, are of High Sierra."""

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
        self.oddities: list[str] = []
        """What is not as it should be, and costs nothing."""
        self.passed_over: list[str] = []
        """What else nobody needs to know who reads the disc."""


def read_descriptors(disc: Source, first_sector: int = 0) -> Descriptors:
    """The volume descriptors of a disc; of the volume that begins at a sector of it.

    Unlike Linux it does not stop at a Joliet descriptor, so that one in front of the primary one hides nothing.
    Raises `NotADisc` where there is no volume, `ImageError` where no descriptor is sound.
    """
    found = Descriptors()
    seen = False
    for raw in _sectors(disc, first_sector + FIRST):
        identifier = raw[1:6]
        if identifier in _UDF:
            found.udf = found.udf or identifier.startswith(b"NSR")
            continue
        high_sierra = identifier != b"CD001"
        if high_sierra and (seen or raw[8] != TYPE_PRIMARY):
            continue
        seen = True
        kind = raw[8 if high_sierra else 0]
        if kind == TYPE_BOOT:
            found.bootable = found.bootable or raw[7:30] == b"EL TORITO SPECIFICATION"
        elif kind in (TYPE_PRIMARY, TYPE_SUPPLEMENTARY):
            try:
                descriptor = _parse(raw, high_sierra, found.oddities)
                _look_at(found, kind, descriptor)
                _keep(found, kind, descriptor)
            except ImageError as error:
                found.damage.append(error.reason)
        if high_sierra and found.primary:
            break
    if not seen and first_sector:
        raise NotADisc(f"no ISO 9660 volume begins at sector {first_sector}", "see isofs info")
    if not seen:
        raise NotADisc("no volume descriptor: not an ISO 9660 disc", "check the file")
    if found.primary is None and found.joliet is None:
        raise ImageError(
            "; ".join(found.damage) or "no primary volume descriptor: the disc holds no tree", "copy the image again"
        )
    return found


def _look_at(found: Descriptors, kind: int, descriptor: VolumeDescriptor) -> None:
    """Notes what is passed over of a descriptor."""
    name = "primary" if kind == TYPE_PRIMARY else "supplementary"
    if descriptor.version != 1 and (kind, descriptor.version) != (TYPE_SUPPLEMENTARY, 2):
        found.passed_over.append(f"the {name} volume descriptor is of version {descriptor.version}")
    if kind == TYPE_PRIMARY and found.primary not in (None, descriptor):
        found.passed_over.append("a second primary volume descriptor contradicts the first one")
    if kind == TYPE_SUPPLEMENTARY and not descriptor.joliet_level and descriptor.version == 1:
        found.passed_over.append("a supplementary volume descriptor is for no known character set")


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
        if raw[0] == TYPE_TERMINATOR and raw[1:6] == b"CD001":
            ended = True
        elif marks_udf or (known and not ended):
            yield raw


def _parse(raw: bytes, high_sierra: bool, oddities: list[str]) -> VolumeDescriptor:
    """A sound descriptor; `oddities` is told of numbers whose halves disagree."""
    fields = (_HIGH_SIERRA if high_sierra else _ISO_9660).unpack_from(raw)
    version, system, volume, space_size, escape, set_size, sequence, block_size, table, big_table, root, *texts = fields
    if block_size not in BLOCK_SIZES:
        raise ImageError(f"a volume descriptor tells logical blocks of {block_size} bytes")
    shift = 8 if high_sierra else 0
    if not any(root[2:6]) and any(root[6:10]):
        oddities.append("a volume descriptor tells the root's extent in big-endian form only")
        root = root[:2] + root[9:5:-1] + root[6:]
    differ = [name for at, size, name in _BOTH_ENDIAN if not agree(raw, at + shift, size)]
    differ += [f"root's {name}" for name in disagreeing(root)]
    if differ:
        oddities.append(f"the both-endian numbers of a volume descriptor disagree: {', '.join(differ)}")
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
        path_tables=(table, int.from_bytes(big_table, "big")),
        root=root,
        volume_set=volume_set,
        publisher=publisher,
        preparer=preparer,
        application=application,
        created=created,
        modified=modified,
        expires=expires,
        effective=effective,
        xa=not high_sierra and raw[_XA_AT : _XA_AT + 8] == b"CD-XA001",
        high_sierra=high_sierra,
    )
