"""What is no disc image, or not one that is read: recognised by content and refused by its own name.

`refuse(source)` is asked when no container's magic fits, about a file as well as about the decoded bytes of one. It
returns where the volume descriptors of a plain disc are found and raises for everything else. The order matters:
strong magics, then the disc itself (it wins over partition tables and other file systems, as on hybrid discs), then
trailers, sheets, other file systems, raw sectors.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from .. import limits
from ..errors import ImageError, IsofsError, NotADisc, UnsupportedError
from .source import Source

SECTOR: Final = 2048
_FIRST_DESCRIPTOR: Final = 16
_DESCRIPTORS: Final = 16
"""Sectors from 16 on in which a volume descriptor or a UDF mark is looked for."""
_SYNC: Final = b"\0" + b"\xff" * 10 + b"\0"


class Magic(NamedTuple):
    """Bytes at a place of the file (counted from its end if negative), what they mean and what to do instead."""

    at: int
    magic: bytes
    name: str
    remedy: str
    error: type[IsofsError] = UnsupportedError


_ARCHIVE: Final = "unpack it first"
_VIRTUAL_DISK: Final = "that is a hard disk; attach it with qemu-nbd or nbdkit"
_CONSOLE: Final = "such discs have no ISO 9660 file system; open it with Dolphin"
_COMPRESSED: Final = "unpack it first, or compress the disc with maxcso, which keeps it readable in place"

MAGICS: Final[tuple[Magic, ...]] = (
    Magic(0, b"MComprHD", "a CHD image", "not read yet; unpack it with chdman extractcd or extractdvd"),
    Magic(0, b"MEDIA DESCRIPTOR\1", "an Alcohol sheet (MDS)", "not read yet; name the .mdf beside it"),
    Magic(
        0,
        b"MEDIA DESCRIPTOR\2",
        "a DAEMON Tools sheet (MDX or MDS version 2)",
        "convert it to an ISO with its own tool",
    ),
    Magic(0, b"\x37\xe4\x53\x96\xc9\xdb\xd6\x07", "a zisofs file", "not read yet; unpack it with mkzftree -u"),
    Magic(0, b"\xef\x22\x55\xa1\xbc\x1b\x95\xa0", "a zisofs 2 file", "not read yet; unpack it with mkzftree -u"),
    Magic(0, b"\x1f\x8b\x08", "gzip-compressed", f"not read yet; {_COMPRESSED} (gunzip)"),
    Magic(0, b"\xfd7zXZ\0", "xz-compressed", f"not read yet; {_COMPRESSED} (unxz)"),
    Magic(0, b"\x28\xb5\x2f\xfd", "zstd-compressed (Zstandard)", f"not read yet; {_COMPRESSED} (unzstd)"),
    *(
        Magic(0, b"%c\x2a\x4d\x18" % first, "zstd-compressed (Zstandard)", f"not read yet; {_COMPRESSED} (unzstd)")
        for first in range(0x50, 0x60)  # skippable frames
    ),
    Magic(0, b"BZh", "bzip2-compressed", f"it cannot be read in place; {_COMPRESSED} (bunzip2)"),
    Magic(0, b"\x04\x22\x4d\x18", "LZ4-compressed", f"it cannot be read in place; {_COMPRESSED} (unlz4)"),
    Magic(0, b"\x02\x21\x4c\x18", "LZ4-compressed (legacy)", f"it cannot be read in place; {_COMPRESSED} (unlz4)"),
    Magic(0, b"LZIP\1", "lzip-compressed", f"it cannot be read in place; {_COMPRESSED} (lzip -d)"),
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
    Magic(_FIRST_DESCRIPTOR * SECTOR + 1, b"CD-I ", "a CD-i disc", "such discs have no ISO 9660 file system", NotADisc),
    Magic(0, b"\x89PNG\r\n\x1a\n", "a PNG picture, not a disc image", "", NotADisc),
)
"""Looked for only where no disc was found: hybrid discs carry some of them."""

_LAYOUTS: Final = (
    (2352, 16, "raw CD sectors of 2352 bytes (mode 1)"),
    (2352, 24, "raw CD sectors of 2352 bytes (mode 2)"),
    (2336, 8, "CD sectors of 2336 bytes (mode 2)"),
    (2448, 16, "raw CD sectors with subchannels (2448 bytes)"),
    (2448, 24, "raw CD sectors with subchannels (2448 bytes)"),
    (2368, 16, "raw CD sectors with subchannel Q (2368 bytes)"),
    (2368, 24, "raw CD sectors with subchannel Q (2368 bytes)"),
    (2332, 8, "CD sectors of 2332 bytes"),
    (2056, 8, "CD sectors of 2056 bytes"),
    (2432, 8, "CD sectors of 2432 bytes"),
    (2144, 0, "CD sectors of 2144 bytes"),
    (2064, 0, "CD sectors of 2064 bytes"),
)
"""Bytes from one sector to the next, and of the user data in it."""
_LEAD_IN: Final = 150

_SHEETS: Final[tuple[tuple[str, str, str], ...]] = (
    (
        r"(?ims)\A\s*(REM|CATALOG|FILE|TITLE|PERFORMER|SONGWRITER|CDTEXTFILE|TRACK)\b.*^[ \t]*(FILE|TRACK)\s",
        "a CUE sheet",
        ".bin",
    ),
    (r"(?i)\A\s*\[CloneCD\]", "a CloneCD sheet (CCD)", ".img"),
    (r"\A(?:\s|//[^\n]*\n)*(CD_DA|CD_ROM_XA|CD_ROM|CD_I)\b", "a cdrdao table of contents (TOC)", ".bin"),
    (r"\A\s*\d+[ \t]*\n\s*\d+\s+\d+\s+[04]\s+2\d{3}\s", "a GDI sheet", "data track"),
)

_XBOX_PARTITIONS: Final = (0x18310000, 0xFDA0000, 0x2090000)


def refuse(source: Source, containers: tuple[bytes, ...] = ()) -> list[str]:
    """Raises what fits unless `source` holds a disc of 2048-byte sectors; gives what a person should know about it.

    `containers`: magics that are refused too, where the bytes come out of a container already.
    Raises `UnsupportedError` for formats that other versions or tools read, `NotADisc` for everything else.
    """
    find_magic(source, MAGICS)
    head = _bytes(source, 4, 0)
    if head in containers:
        raise UnsupportedError(
            "a compressed image inside a compressed image", "unpack the outer one with maxcso --decompress"
        )
    if _has_volume(source, SECTOR, 0):
        _refuse_nero(source)
        return _xbox_warning(source)
    _refuse_udf(source)
    for stride, offset, name in _LAYOUTS:
        if _has_volume(source, stride, offset) or _has_volume(source, stride, offset, _LEAD_IN):
            raise UnsupportedError(name, "not read yet; convert it to an ISO with bchunk or ccd2iso")
    if _has_volume(source, SECTOR, 0, _LEAD_IN):
        raise UnsupportedError("a disc behind 150 sectors of lead-in", "not read yet; cut off its first 307200 bytes")
    _refuse_nero(source)
    if source.size < limits.DESCRIPTION:
        _refuse_sheet(source)
    _refuse_discjuggler(source)
    find_magic(source, WEAK_MAGICS)
    if head[:1] == b"\0" and _bytes(source, len(_SYNC), 0) == _SYNC:
        raise NotADisc(
            "a raw CD image without an ISO 9660 file system (an audio or game console disc)", "open it with an emulator"
        )
    source.pread(SECTOR, _FIRST_DESCRIPTOR * SECTOR)  # damage there is the better reason
    start = _bytes(source, 16, 0).hex(" ")
    raise NotADisc(f"not a disc image that isofs knows ({source.size} bytes, beginning with {start})", "check the file")


def _bytes(source: Source, n: int, at: int) -> bytes:
    """Bytes to look for marks in: none where they cannot be had, since one damaged block does not unmake a disc."""
    try:
        return source.pread(n, at)
    except ImageError:
        return b""


def find_magic(source: Source, magics: tuple[Magic, ...]) -> None:
    """Raises the error of the first magic that is found."""
    for entry in magics:
        at = entry.at if entry.at >= 0 else source.size + entry.at
        if at >= 0 and _bytes(source, len(entry.magic), at) == entry.magic:
            if entry.magic.startswith(b"BZh") and _bytes(source, 6, 4) != b"1AY&SY":
                continue
            if entry.magic.startswith(b"FAT") and _bytes(source, 2, 510) != b"\x55\xaa":
                continue
            raise entry.error(entry.name, entry.remedy)


def _has_volume(source: Source, stride: int, offset: int, lead_in: int = 0) -> bool:
    """Whether a volume descriptor of ISO 9660 or High Sierra stands at its place in sectors of this layout."""
    start = (_FIRST_DESCRIPTOR + lead_in) * stride + offset
    descriptor = _bytes(source, 14, start)
    if descriptor[9:14] == b"CDROM":
        return True
    # A UDF bridge may have other descriptors first; in raw layouts only the first place counts.
    places = _DESCRIPTORS if stride == SECTOR and not lead_in else 1
    return any(_bytes(source, 5, start + i * stride + 1) == b"CD001" for i in range(places))


def _refuse_udf(source: Source) -> None:
    for sector in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + _DESCRIPTORS):
        if _bytes(source, 5, sector * SECTOR + 1) in (b"BEA01", b"NSR02", b"NSR03"):
            raise UnsupportedError("a UDF disc without ISO 9660", "not read yet; mount it with mount -o loop -t udf")


def _refuse_nero(source: Source) -> None:
    """A Nero image may begin like a plain disc: its trailer must point to one of its chunks."""
    for at, magic, length in ((12, b"NER5", 8), (8, b"NERO", 4)):
        trailer = _bytes(source, at, source.size - at)
        if trailer[:4] == magic:
            chunk = _bytes(source, 4, int.from_bytes(trailer[4 : 4 + length], "big"))
            if chunk in (
                b"CUEX",
                b"CUES",
                b"DAOX",
                b"DAOI",
                b"ETN2",
                b"ETNF",
                b"SINF",
                b"MTYP",
                b"CDTX",
                b"DINF",
                b"TOCT",
            ):
                raise UnsupportedError("a Nero image (NRG)", "not read yet; convert it to an ISO with nrg2iso")


def _refuse_sheet(source: Source) -> None:
    raw = _bytes(source, source.size, 0)
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = raw.decode("utf-16", "replace")
    elif b"\0" in raw:
        return
    else:
        text = raw.decode("utf-8-sig", "replace")
    for pattern, name, beside in _SHEETS:
        if re.search(pattern, text.replace("\r\n", "\n").replace("\r", "\n")):
            tracks = [words for words in map(str.split, text.upper().splitlines()) if words[:1] == ["TRACK"]]
            audio = tracks and all("AUDIO" in words for words in tracks)
            kind = f"{name} of audio tracks only" if audio else name
            raise UnsupportedError(kind, f"not read yet; if the {beside} beside it has 2048-byte sectors, name that")


def _refuse_discjuggler(source: Source) -> None:
    if source.size > 8 and int.from_bytes(_bytes(source, 4, source.size - 8), "little") in (
        0x80000004,
        0x80000005,
        0x80000006,
    ):
        raise UnsupportedError("a DiscJuggler image (CDI)", "not read yet; convert it to an ISO with cdi2iso")


def _xbox_warning(source: Source) -> list[str]:
    magic = b"MICROSOFT*XBOX*MEDIA"
    if any(_bytes(source, len(magic), at) == magic for at in _XBOX_PARTITIONS):
        return ["an Xbox disc: its game is in an XDVDFS partition, which is not read; this is the video part"]
    return []
