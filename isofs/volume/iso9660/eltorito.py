"""El Torito: the images that a disc boots from, by its boot catalogue.

The catalogue's sector is the little-endian number at byte 71 of the boot record among the volume descriptors. It is
made of entries of 32 bytes; sectors have 2048 bytes and count from the disc's begin, whatever its logical blocks:

| at | size | validation entry | | default entry, or entry of a section | |
| --- | --- | --- | --- | --- | --- |
| 0 | 1 | 01 | | 88 bootable, 00 not | |
| 1 | 1 | platform | 0 x86, 1 PowerPC, 2 Mac, EF EFI | medium (4 bits) | 0 none, 1 to 3 floppy, 4 hard disk |
| 2 | 2 | | | load segment | 0: 7C0 |
| 6 | 2 | | | units of 512 bytes to be loaded | |
| 8 | 4 | identifier (24 bytes, from 4) | | sector | |
| 28 | 2 | checksum: all 16 words make 0 | | | |
| 30 | 2 | 55 AA | | | |

Behind the default entry come sections: a header (90, the last one 91; platform; 2 bytes: how many entries) and its
entries, each perhaps with extensions (44; bit 5 of byte 1: one more follows).

How long an image is the catalogue does not tell: only how much of it the firmware loads, often a small part.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from ... import limits
from ...errors import ImageError
from ...image.sectors import SECTOR
from ...image.source import Source

_ENTRY: Final = 32
_RECORD: Final = 16
"""The first sector of a volume that may be a boot record."""
_IDENTIFIER: Final = b"EL TORITO SPECIFICATION"
_VALIDATION: Final = struct.Struct("<16H")
_IMAGE: Final = struct.Struct("<BBHBxHI")
_BOOTABLE, _NOT_BOOTABLE, _MORE_HEADERS, _LAST_HEADER, _EXTENSION = 0x88, 0x00, 0x90, 0x91, 0x44
_GOES_ON: Final = 0x20
_PLATFORMS: Final = {0: "x86", 1: "PowerPC", 2: "Mac", 0xEF: "EFI"}
_MEDIA: Final = ("no emulation", "1.2 MB floppy", "1.44 MB floppy", "2.88 MB floppy", "hard disk")
_FLOPPIES: Final = {1: 1_228_800, 2: 1_474_560, 3: 2_949_120}
_HARD_DISK: Final = 4
_UNIT: Final = 512
_PARTITIONS: Final = range(446, 510, 16)
_PARTITION: Final = struct.Struct("<8xII")


class BootImage(NamedTuple):
    """An image that the disc can boot from."""

    entry: int
    """Byte position of its entry on the disc."""
    platform: str
    """x86, PowerPC, Mac, EFI, or the number of another one in hexadecimal."""
    bootable: bool
    medium: int
    """0: no emulation, 1 to 3: floppy, 4: hard disk."""
    segment: int
    """Where the firmware loads it; 0: at its usual place."""
    sector: int
    loaded: int
    """Bytes that the firmware loads: the image has at least as many, unless it emulates a medium."""

    @property
    def media(self) -> str:
        """The medium in words."""
        return _MEDIA[self.medium] if self.medium < len(_MEDIA) else f"medium {self.medium}"


class Catalogue:
    """A boot catalogue, as far as it is sound."""

    def __init__(self, position: int) -> None:
        self.position = position
        """Byte position on the disc."""
        self.images: list[BootImage] = []
        self.damage: list[tuple[int, str]] = []
        """Byte position on the disc, and what is not sound there."""


def read_catalogue(disc: Source, first_sector: int = 0) -> Catalogue | None:
    """The boot catalogue of the volume that begins at a sector; None where it has none. Damage raises nothing."""
    sector = None
    for number in range(first_sector + _RECORD, first_sector + _RECORD + limits.DESCRIPTOR_SECTORS):
        try:
            raw = disc.pread(SECTOR, number * SECTOR)
        except ImageError:
            return None  # the descriptors say it
        if raw[1:6] != b"CD001" or raw[0] == 255:
            return None
        if not raw[0] and raw[7:30] == _IDENTIFIER:
            sector = int.from_bytes(raw[71:75], "little")
            break
    if sector is None:
        return None
    found = Catalogue(sector * SECTOR)
    try:
        data = disc.pread((2 + limits.BOOT_SECTIONS + limits.BOOT_ENTRIES) * _ENTRY, found.position)
        _read(found, data)
    except ImageError as error:
        found.damage.append((found.position, f"the boot catalogue: {error.reason}"))
    return found


def _read(found: Catalogue, data: bytes) -> None:
    """Reads the entries. Raises `ImageError` where they do not go on as they should."""
    if len(data) < 2 * _ENTRY:
        raise ImageError("it lies beyond the end of the disc")
    if data[0] != 1 or data[30:32] != b"\x55\xaa":
        raise ImageError("it does not begin with a validation entry")
    if sum(_VALIDATION.unpack_from(data)) & 0xFFFF:
        found.damage.append((found.position, "the boot catalogue: its checksum does not fit"))
    _add(found, data, _ENTRY, data[1])
    at = 2 * _ENTRY
    for _ in range(limits.BOOT_SECTIONS):
        if at + _ENTRY > len(data) or data[at] not in (_MORE_HEADERS, _LAST_HEADER):
            return
        last, platform = data[at] == _LAST_HEADER, data[at + 1]
        count = int.from_bytes(data[at + 2 : at + 4], "little")
        at += _ENTRY
        for _ in range(count):
            if len(found.images) >= limits.BOOT_ENTRIES or at + _ENTRY > len(data):
                raise ImageError(f"a section claims {count} entries, which are not there")
            _add(found, data, at, platform)
            goes_on = data[at + 1] & _GOES_ON
            at += _ENTRY
            while goes_on and data[at : at + 1] == b"%c" % _EXTENSION:
                goes_on = data[at + 1] & _GOES_ON if at + _ENTRY <= len(data) else 0
                at += _ENTRY
        if last:
            return
    raise ImageError(f"it has more than {limits.BOOT_SECTIONS} sections")


def _add(found: Catalogue, data: bytes, at: int, platform: int) -> None:
    """Adds the image of an entry, if it names one."""
    indicator, medium, segment, _, count, sector = _IMAGE.unpack_from(data, at)
    if indicator not in (_BOOTABLE, _NOT_BOOTABLE):
        raise ImageError(f"an entry of an unknown kind, {indicator:02x}")
    if sector:
        name = _PLATFORMS.get(platform, f"{platform:02x}")
        found.images.append(
            BootImage(
                *(found.position + at, name, indicator == _BOOTABLE, medium & 15, segment, sector, count * _UNIT),
            )
        )


def image_size(disc: Source, image: BootImage, file_size: int = 0) -> int:
    """Bytes of a boot image, as many as are known: the medium's, those of the file at its sector, or those loaded.

    `file_size`: of that file; 0 where there is none. Raises `ImageError` if the disc does not hold them all.
    """
    start = image.sector * SECTOR
    size = file_size or image.loaded
    if image.medium in _FLOPPIES:
        size = _FLOPPIES[image.medium]
    elif image.medium == _HARD_DISK:
        size = max(size, _partitions_end(disc.pread(_UNIT, start)))
    size = size or SECTOR
    if start + size > disc.size:
        raise ImageError(f"it has {size} bytes from byte {start} on, beyond the end of the disc")
    return size


def _partitions_end(raw: bytes) -> int:
    """Bytes of a hard disk up to the end of its last partition, as its first sector tells."""
    if raw[510:512] != b"\x55\xaa":
        return 0
    ends = (start + count for start, count in (_PARTITION.unpack_from(raw, at) for at in _PARTITIONS) if count)
    return max(ends, default=0) * _UNIT
