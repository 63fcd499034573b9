"""What is no disc image, or not one that is read: recognised by content and refused by its own name.

The order matters: strong magics (`MAGICS`) first, then comes the disc itself, which wins over partition tables and
other file systems, as on hybrid discs; where there is none, `find_udf` and `refuse` say what the file is instead. All
are asked about a file as well as about the decoded bytes of one.
"""

from __future__ import annotations

from typing import Final, NamedTuple, NoReturn

from ..errors import IsofsError, NotADisc, UnsupportedError
from .sectors import FIRST_DESCRIPTOR, SECTOR, SYNC
from .source import Source, glance

_DESCRIPTORS: Final = 16
"""Sectors from 16 on in which a UDF mark is looked for."""


class Magic(NamedTuple):
    """Bytes at a place of the file (counted from its end if negative), what they mean and what to do instead."""

    at: int
    magic: bytes
    name: str
    remedy: str
    error: type[IsofsError] = UnsupportedError


_ARCHIVE: Final = "unpack it first"
_VIRTUAL_DISK: Final = "that is a hard disk; attach it with qemu-nbd or nbdkit"
_STREAM: Final = ", so it cannot be read in place"
_CONSOLE: Final = "such discs have no ISO 9660 file system; open it with Dolphin"


def _rewritten(unpack: str) -> str:
    return f"rewrite it in blocks: {unpack} IMAGE | bgzip > NEW.iso.gz"


MAGICS: Final[tuple[Magic, ...]] = (
    Magic(
        0,
        b"MEDIA DESCRIPTOR\2",
        "a DAEMON Tools sheet (MDX or MDS version 2)",
        "convert it to an ISO with its own tool",
    ),
    Magic(0, b"BZh", f"bzip2-compressed{_STREAM}", _rewritten("bunzip2 -c")),
    Magic(0, b"\x04\x22\x4d\x18", f"LZ4-compressed{_STREAM}", _rewritten("unlz4 -c")),
    Magic(0, b"\x02\x21\x4c\x18", f"LZ4-compressed (legacy){_STREAM}", _rewritten("unlz4 -c")),
    Magic(0, b"LZIP\1", f"lzip-compressed{_STREAM}", _rewritten("lzip -dc")),
    Magic(0, b"ECM\0", "an ECM file", "unpack it with unecm"),
    Magic(0, b"IsZ!", "an ISZ image (UltraISO)", "convert it to an ISO with UltraISO"),
    Magic(0, b"DAA" + b"\0" * 13, "a DAA image (PowerISO)", "convert it to an ISO with PowerISO"),
    Magic(0, b"DAA VOL", "a part of a DAA image (PowerISO)", "convert it to an ISO with PowerISO"),
    Magic(0, b"GBI" + b"\0" * 13, "a GBI image (gBurner)", "convert it to an ISO with gBurner"),
    Magic(-64, b"bbis", "a UIF image (MagicISO)", "convert it to an ISO with MagicISO"),
    Magic(0, b"\0PBP", "a PBP file (PSP EBOOT)", "it is a program package; unpack its disc image first"),
    Magic(0, b"\x01\xc0\x0b\xb1", "a GCZ image (Dolphin)", _CONSOLE, NotADisc),
    Magic(0, b"WIA\1", "a WIA image (Wii)", _CONSOLE, NotADisc),
    Magic(0, b"RVZ\1", "an RVZ image (GameCube or Wii)", _CONSOLE, NotADisc),
    Magic(0, b"WBFS", "a WBFS image (Wii)", _CONSOLE, NotADisc),
    Magic(0, b"WUX0\x10\x99\xd0\x2e", "a WUX image (Wii U)", "such discs have no ISO 9660 file system", NotADisc),
    Magic(0, b"GCML", "a NASOS image (GameCube)", _CONSOLE, NotADisc),
    Magic(0, b"GCMM", "a NASOS image (GameCube)", _CONSOLE, NotADisc),
    Magic(0, b"WII5", "a NASOS image (Wii)", _CONSOLE, NotADisc),
    Magic(0, b"WII9", "a NASOS image (Wii)", _CONSOLE, NotADisc),
    Magic(0, b"\x86\x3e\xfc\x23", "a DPF image (GameCube or Wii, partial)", _CONSOLE, NotADisc),
    Magic(0, b"\x6a\x2b\xf9\xe0", "an RPF image (GameCube or Wii, partial)", _CONSOLE, NotADisc),
    Magic(0x200, b"NKIT", "an NKit image (GameCube or Wii)", _CONSOLE, NotADisc),
    Magic(0x18, b"\x5d\x1c\x9e\xa3", "a Wii disc", _CONSOLE, NotADisc),
    Magic(0x1C, b"\xc2\x33\x9f\x3d", "a GameCube disc", _CONSOLE, NotADisc),
    Magic(0x10000, b"MICROSOFT*XBOX*MEDIA", "an Xbox disc (XISO, XDVDFS)", "unpack it with extract-xiso", NotADisc),
    Magic(0, b"hsqs", "a squashfs image", "mount it with squashfuse", NotADisc),
    Magic(0, b"sqsh", "a squashfs image", "mount it with squashfuse", NotADisc),
    Magic(1024, b"\xe2\xe1\xf5\xe0", "an erofs image", "mount it with erofsfuse", NotADisc),
    Magic(0, b"QFI\xfb", "a qcow2 image", _VIRTUAL_DISK, NotADisc),
    Magic(0, b"KDMV", "a VMware disk (VMDK)", _VIRTUAL_DISK, NotADisc),
    Magic(0, b"COWD", "a VMware disk (VMDK)", _VIRTUAL_DISK, NotADisc),
    Magic(0, b"# Disk DescriptorFile", "a VMware disk (VMDK)", _VIRTUAL_DISK, NotADisc),
    Magic(0, b"vhdxfile", "a VHDX disk", _VIRTUAL_DISK, NotADisc),
    Magic(0, b"conectix", "a VHD disk", _VIRTUAL_DISK, NotADisc),
    Magic(0x40, b"\x7f\x10\xda\xbe", "a VirtualBox disk (VDI)", _VIRTUAL_DISK, NotADisc),
    Magic(0, b"encrcdsa", "an encrypted Apple disk image (DMG)", "open it on a Mac", NotADisc),
    Magic(0, b"MSWIM\0\0\0", "a WIM image", "open it with wimlib (wimmount)", NotADisc),
    Magic(0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _ARCHIVE, NotADisc),
    Magic(0, b"PK\3\4", "a zip archive", _ARCHIVE, NotADisc),
    Magic(0, b"PK\5\6", "a zip archive", _ARCHIVE, NotADisc),
    Magic(0, b"PK\7\x08", "a zip archive", _ARCHIVE, NotADisc),
    Magic(0, b"Rar!\x1a\7", "a rar archive", _ARCHIVE, NotADisc),
    Magic(0, b"MSCF", "a cab archive", _ARCHIVE, NotADisc),
)
"""Strong magics, looked for before the disc itself."""

WEAK_MAGICS: Final[tuple[Magic, ...]] = (
    Magic(-512, b"koly", "an Apple disk image (DMG)", "convert it to an ISO with dmg2img", NotADisc),
    Magic(-512, b"conectix", "a VHD disk", _VIRTUAL_DISK, NotADisc),
    Magic(-8, b"cdsaencr", "an encrypted Apple disk image (DMG)", "open it on a Mac", NotADisc),
    Magic(257, b"ustar", "a tar archive", _ARCHIVE, NotADisc),
    Magic(3, b"NTFS    ", "an NTFS file system", "mount it with ntfs-3g", NotADisc),
    Magic(3, b"EXFAT   ", "an exFAT file system", "mount it with exfat-fuse", NotADisc),
    Magic(
        54,
        b"FAT12   ",
        "a FAT file system, such as a boot floppy",
        "mount it with fusefat, or read it with mtools",
        NotADisc,
    ),
    Magic(54, b"FAT16   ", "a FAT file system", "mount it with fusefat, or read it with mtools", NotADisc),
    Magic(82, b"FAT32   ", "a FAT file system", "mount it with fusefat, or read it with mtools", NotADisc),
    Magic(0x438, b"\x53\xef", "an ext file system", "mount it with fuse2fs", NotADisc),
    Magic(0x400, b"H+", "an HFS+ file system without ISO 9660", "mount it with mount -t hfsplus", NotADisc),
    Magic(0x400, b"HX", "an HFS+ file system without ISO 9660", "mount it with mount -t hfsplus", NotADisc),
    Magic(0x400, b"BD", "an HFS file system without ISO 9660", "read it with hfsutils", NotADisc),
    Magic(0, b"\x01ZZZZZ\x01", "a 3DO disc", "such discs have no ISO 9660 file system", NotADisc),
    Magic(FIRST_DESCRIPTOR * SECTOR + 1, b"CD-I ", "a CD-i disc", "such discs have no ISO 9660 file system", NotADisc),
    Magic(0, b"\x89PNG\r\n\x1a\n", "a PNG picture, not a disc image", "", NotADisc),
)
"""Looked for only where no disc was found: hybrid discs carry some of them."""

_NERO: Final = ((b"NER5", 12), (b"NERO", 8))
"""What a Nero image ends with, and how far from the end."""
_XBOX_PARTITIONS: Final = (0x18310000, 0xFDA0000, 0x2090000)


def refuse(source: Source) -> NoReturn:
    """Says what a source without a volume is. Raises `UnsupportedError` for formats that other tools read, else
    `NotADisc`; `ImageError` where damage may be the reason.
    """
    find_magic(source, WEAK_MAGICS)
    if glance(source, len(SYNC), 0) == SYNC:
        raise NotADisc(
            "a raw CD image without an ISO 9660 file system (an audio or game console disc)", "open it with an emulator"
        )
    source.pread(SECTOR, FIRST_DESCRIPTOR * SECTOR)  # damage there is the better reason
    start = glance(source, 16, 0).hex(" ")
    raise NotADisc(f"not a disc image that isofs knows ({source.size} bytes, beginning with {start})", "check the file")


def nested(source: Source, containers: tuple[bytes, ...]) -> None:
    """Refuses decoded bytes that are a container again, or something else with a strong magic."""
    find_magic(source, MAGICS)
    if glance(source, max(map(len, containers)), 0).startswith(containers):
        raise UnsupportedError("a compressed image inside a compressed image", "unpack the outer one")


def find_udf(source: Source) -> None:
    """Refuses a disc of UDF alone."""
    for sector in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + _DESCRIPTORS):
        if glance(source, 5, sector * SECTOR + 1) in (b"BEA01", b"NSR02", b"NSR03"):
            raise UnsupportedError("a UDF disc without ISO 9660", "not read yet; mount it with mount -o loop -t udf")


def find_magic(source: Source, magics: tuple[Magic, ...]) -> None:
    """Raises the error of the first magic that is found."""
    for entry in magics:
        at = entry.at if entry.at >= 0 else source.size + entry.at
        if at >= 0 and glance(source, len(entry.magic), at) == entry.magic:
            if entry.magic.startswith(b"BZh") and glance(source, 6, 4) != b"1AY&SY":
                continue
            if entry.magic.startswith(b"FAT") and glance(source, 2, 510) != b"\x55\xaa":
                continue
            raise entry.error(entry.name, entry.remedy)


def warnings(source: Source) -> list[str]:
    """What a person should know about a disc that is read."""
    magic = b"MICROSOFT*XBOX*MEDIA"
    if any(glance(source, len(magic), at) == magic for at in _XBOX_PARTITIONS):
        return ["an Xbox disc: its game is in an XDVDFS partition, which is not read; this is the video part"]
    if any(glance(source, 4, source.size - size) == magic for magic, size in _NERO):
        return ["it ends as a Nero image (NRG) does, but its list of tracks is lost: there may be more than one track"]
    return []
