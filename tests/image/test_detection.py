from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from writers.containers import (
    FLAG,
    SECTOR,
    cso,
    dax,
    descriptor,
    entry,
    gamecube_ciso,
    jiso,
    lzo_block,
    overwritten,
    sample_disc,
    zso,
)
from writers.sources import assert_same

from isofs import limits
from isofs.errors import ImageError, IsofsError, NoImage, NotADisc, UnsupportedError
from isofs.image import open_image, refusals

DISC = sample_disc(40, tail=700)
NO_DISC = bytes((n * 7 + n // 256 * 13 + 1) % 251 for n in range(80_000))
"""Bytes without any mark."""


def saved(tmp_path: Path, data: bytes, name: str = "disc.iso") -> str:
    path = tmp_path / name
    path.write_bytes(data)
    return str(path)


def refusal(tmp_path: Path, data: bytes, name: str = "disc.iso") -> IsofsError:
    path = saved(tmp_path, data, name)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(IsofsError) as caught:
        open_image(path)
    assert caught.value.path == path
    assert len(os.listdir("/proc/self/fd")) == len(before)
    return caught.value


# --- what is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (DISC, "plain disc image"),
        (cso(DISC, version=0), "CSO version 0"),
        (cso(DISC), "CSO version 1"),
        (cso(DISC, version=2), "CSO version 2"),
        (zso(DISC), "ZSO"),
        (zso(DISC, codec=lzo_block), "ZSO with LZO1X (DreamShell)"),
        (dax(DISC), "DAX version 0"),
        (dax(DISC, version=1, areas=[(0, 2)]), "DAX version 1"),
        (jiso(DISC, method=0), "JISO with LZO1X"),
        (jiso(DISC, method=1), "JISO with deflate"),
    ],
)
@pytest.mark.parametrize("name", ["disc.iso", "disc.cso", "without extension"])
def test_content_decides_and_not_the_name(tmp_path: Path, data: bytes, format: str, name: str) -> None:
    with open_image(saved(tmp_path, data, name)) as image:
        assert image.format == format
        assert image.warnings == []
        assert_same(image.disc, DISC, ranges=5)


def test_image_is_closed_with_its_context(tmp_path: Path) -> None:
    with open_image(saved(tmp_path, DISC)) as image:
        assert image.disc.pread(5, 16 * SECTOR + 1) == b"CD001"
    with pytest.raises(ImageError):
        image.disc.pread(5, 0)


@pytest.mark.parametrize(
    ("at", "mark"),
    [
        (510, b"\x55\xaa"),
        (512, b"EFI PART"),
        (0, b"ER\x08\x00"),
        (512, b"PM\0\0"),
        (0x400, b"BD"),
        (0x400, b"H+"),
        (54, b"FAT12   "),
        (3, b"NTFS    "),
        (0x438, b"\x53\xef"),
        (257, b"ustar"),
    ],
)
def test_disc_wins_over_marks_of_other_file_systems(tmp_path: Path, at: int, mark: bytes) -> None:
    hybrid = overwritten(overwritten(DISC, 510, b"\x55\xaa"), at, mark)
    with open_image(saved(tmp_path, hybrid)) as image:
        assert image.disc.pread(len(hybrid), 0) == hybrid


def test_disc_that_begins_with_a_boot_record_is_accepted(tmp_path: Path) -> None:
    disc = overwritten(DISC, 16 * SECTOR, descriptor(0, b"EL TORITO SPECIFICATION") + descriptor(1))
    open_image(saved(tmp_path, disc)).close()


def test_high_sierra_disc_is_accepted(tmp_path: Path) -> None:
    disc = overwritten(DISC, 16 * SECTOR, bytes(8) + b"\1CDROM\1".ljust(SECTOR - 8, b"\0") + bytes(SECTOR))
    open_image(saved(tmp_path, disc)).close()


def test_udf_bridge_is_accepted(tmp_path: Path) -> None:
    marks = b"".join((b"\0" + name).ljust(SECTOR, b"\0") for name in (b"BEA01", b"NSR02", b"TEA01"))
    open_image(saved(tmp_path, overwritten(DISC, 18 * SECTOR, marks))).close()
    open_image(saved(tmp_path, overwritten(DISC, 16 * SECTOR, marks + descriptor(1)))).close()


def test_xbox_disc_with_a_video_partition_is_read_with_a_warning(tmp_path: Path) -> None:
    path = saved(tmp_path, DISC)
    with open(path, "r+b") as file:
        file.seek(0x2090000)
        file.write(b"MICROSOFT*XBOX*MEDIA")
    with open_image(path) as image:
        assert "XDVDFS" in " ".join(image.warnings)


# --- what is refused by name ----------------------------------------------------------------------------------------


def with_magic(magic: refusals.Magic, over: bytes) -> bytes:
    data = over
    if magic.magic == b"BZh":
        return overwritten(data, 0, b"BZh91AY&SY")
    if magic.magic.startswith(b"FAT"):
        data = overwritten(data, 510, b"\x55\xaa")
    return overwritten(data, magic.at if magic.at >= 0 else len(data) + magic.at, magic.magic)


def name_of(magic: refusals.Magic) -> str:
    return f"{magic.name} at {magic.at} ({magic.magic!r})"


@pytest.mark.parametrize("magic", [*refusals.MAGICS, *refusals.WEAK_MAGICS], ids=name_of)
def test_other_formats_are_refused_by_their_names(tmp_path: Path, magic: refusals.Magic) -> None:
    error = refusal(tmp_path, with_magic(magic, NO_DISC))
    assert error.reason == magic.name
    assert error.remedy == magic.remedy
    assert type(error) is magic.error


@pytest.mark.parametrize("magic", refusals.MAGICS, ids=name_of)
def test_strong_magics_win_over_the_disc(tmp_path: Path, magic: refusals.Magic) -> None:
    assert refusal(tmp_path, with_magic(magic, DISC)).reason == magic.name


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x1f\x8b\x08", "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x50\x2a\x4d\x18", "zstd"),
        (b"\x5f\x2a\x4d\x18", "zstd"),
    ],
)
def test_short_files_are_recognised_too(tmp_path: Path, data: bytes, reason: str) -> None:
    assert refusal(tmp_path, data.ljust(limits.SMALLEST_IMAGE, b"\xee")).reason.startswith(reason)


def test_bzip2_needs_more_than_its_first_letters(tmp_path: Path) -> None:
    with open_image(saved(tmp_path, overwritten(DISC, 0, b"BZh9 is text"))) as image:
        assert image.format == "plain disc image"


def test_fat_needs_its_signature(tmp_path: Path) -> None:
    error = refusal(tmp_path, overwritten(NO_DISC, 54, b"FAT16   "))
    assert "not a disc image that isofs knows" in error.reason


def raw(stride: int, offset: int, *, lead_in: int = 0, sync: bool = False) -> bytes:
    """A disc in sectors of another layout."""
    head = (b"\0" + b"\xff" * 10 + b"\0" if sync else b"").ljust(offset, b"\1")
    sectors = [bytes(SECTOR)] * lead_in + [DISC[at : at + SECTOR] for at in range(0, 40 * SECTOR, SECTOR)]
    return b"".join((head + sector).ljust(stride, b"\2") for sector in sectors)


@pytest.mark.parametrize("lead_in", [0, 150])
@pytest.mark.parametrize(
    ("stride", "offset", "at"),
    [
        (2352, 16, 37649),
        (2352, 24, 37657),
        (2336, 8, 37385),
        (2448, 16, 39185),
        (2448, 24, 39193),
        (2368, 16, 37905),
        (2368, 24, 37913),
        (2332, 8, 37321),
        (2056, 8, 32905),
        (2432, 8, 38921),
        (2144, 0, 34305),
        (2064, 0, 33025),
    ],
)
def test_sectors_of_other_sizes_are_refused_by_their_size(
    tmp_path: Path, stride: int, offset: int, at: int, lead_in: int
) -> None:
    data = raw(stride, offset, lead_in=lead_in, sync=stride >= 2352 and offset >= 16)
    assert data[at + lead_in * stride :][:5] == b"CD001"
    error = refusal(tmp_path, data, "disc.bin")
    assert isinstance(error, UnsupportedError)
    assert f"{stride}" in error.reason


def test_high_sierra_in_raw_sectors_is_refused_by_their_size(tmp_path: Path) -> None:
    data = bytearray(raw(2352, 16, sync=True))
    start = 16 * 2352 + 16
    data[start : start + SECTOR] = bytes(9) + b"CDROM\1".ljust(SECTOR - 9, b"\0")
    assert "2352" in refusal(tmp_path, bytes(data)).reason


def test_disc_behind_a_lead_in_is_refused_with_its_length(tmp_path: Path) -> None:
    error = refusal(tmp_path, bytes(150 * SECTOR) + DISC)
    assert isinstance(error, UnsupportedError)
    assert "150 sectors of lead-in" in error.reason
    assert "307200" in error.remedy


def test_raw_sectors_without_a_file_system_are_named(tmp_path: Path) -> None:
    data = (b"\0" + b"\xff" * 10 + b"\0").ljust(2352, b"\3") * 60
    error = refusal(tmp_path, data, "game.bin")
    assert isinstance(error, NotADisc)
    assert "raw CD image without an ISO 9660 file system" in error.reason


@pytest.mark.parametrize("mark", [b"BEA01", b"NSR02", b"NSR03"])
@pytest.mark.parametrize("sector", [16, 18, 31])
def test_udf_alone_is_refused_by_name(tmp_path: Path, mark: bytes, sector: int) -> None:
    data = bytes(sector * SECTOR + 1) + mark.ljust(40 * SECTOR, b"\0")
    error = refusal(tmp_path, data)
    assert isinstance(error, UnsupportedError)
    assert "UDF" in error.reason


NERO_CHUNK = b"ETN2" + bytes(40) + b"END!" + bytes(4)


@pytest.mark.parametrize("over", [DISC, NO_DISC], ids=["plain disc in front", "no disc in front"])
@pytest.mark.parametrize("trailer", [b"NER5" + struct.pack(">Q", len(DISC)), b"NERO" + struct.pack(">I", len(DISC))])
def test_nero_image_is_recognised_by_its_trailer(tmp_path: Path, over: bytes, trailer: bytes) -> None:
    data = over[: len(DISC)].ljust(len(DISC), b"\4") + NERO_CHUNK + trailer
    error = refusal(tmp_path, data, "disc.nrg")
    assert isinstance(error, UnsupportedError)
    assert "Nero" in error.reason


@pytest.mark.parametrize("trailer", [b"NER5" + b"\xff" * 8, b"NERO" + b"\xff" * 4, b"NER5" + bytes(8)])
def test_nero_trailer_that_points_to_no_chunk_does_not_unmake_a_disc(tmp_path: Path, trailer: bytes) -> None:
    open_image(saved(tmp_path, DISC + trailer)).close()


@pytest.mark.parametrize("version", [0x8000_0004, 0x8000_0005, 0x8000_0006])
def test_discjuggler_image_is_recognised_by_its_end(tmp_path: Path, version: int) -> None:
    error = refusal(tmp_path, NO_DISC + struct.pack("<II", version, 1000), "disc.cdi")
    assert isinstance(error, UnsupportedError)
    assert "DiscJuggler" in error.reason


CUE = 'FILE "disc.bin" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n'


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (CUE, "a CUE sheet"),
        ("REM GENRE Game\n" + CUE, "a CUE sheet"),
        ("CATALOG 0000000000000\n" + CUE.lower(), "a CUE sheet"),
        ("[CloneCD]\nVersion=3\n[Disc]\nTocEntries=4\n", "a CloneCD sheet (CCD)"),
        ('CD_ROM\n\nTRACK MODE1\nDATAFILE "disc.bin"\n', "a cdrdao table of contents (TOC)"),
        ("// made by hand\nCD_ROM_XA\nTRACK MODE2_RAW\n", "a cdrdao table of contents (TOC)"),
        ("3\n1 0 4 2352 track01.bin 0\n2 450 0 2352 track02.raw 0\n", "a GDI sheet"),
        (' 1\n 1 45000 4 2048 "track 01.iso" 0\n', "a GDI sheet"),
    ],
)
@pytest.mark.parametrize("encoding", ["ascii", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_sheets_are_refused_by_their_names(tmp_path: Path, text: str, name: str, encoding: str, newline: str) -> None:
    error = refusal(tmp_path, text.replace("\n", newline).encode(encoding), "disc.txt")
    assert isinstance(error, UnsupportedError)
    assert error.reason == name


def test_sheet_of_audio_tracks_says_so(tmp_path: Path) -> None:
    sheet = 'FILE "a.wav" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n  TRACK 02 AUDIO\n    INDEX 01 03:00:00\n'
    assert refusal(tmp_path, sheet.encode()).reason == "a CUE sheet of audio tracks only"
    mixed = CUE + "  TRACK 02 AUDIO\n    INDEX 01 03:00:00\n"
    assert refusal(tmp_path, mixed.encode()).reason == "a CUE sheet"


@pytest.mark.parametrize("size", [limits.DESCRIPTION - 1, limits.DESCRIPTION])
def test_sheets_end_below_their_limit(tmp_path: Path, size: int) -> None:
    error = refusal(tmp_path, CUE.encode().ljust(size, b"x"))
    if size < limits.DESCRIPTION:
        assert error.reason == "a CUE sheet"
    else:
        assert "not a disc image that isofs knows" in error.reason


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "text",
    [
        b"REM" + b"\n" * 900_000,
        b"FILE x\nTRACK" + b" " * 900_000 + b"AUDIO",
        b"[CloneCD]" + b"\n" * 900_000,
        b"1" + b"\n" * 900_000,
        b"1\n" + b"1" * 900_000,
        b"//" + b"\n" * 900_000,
        b"// \n" * 200_000,
        b" " * 900_000,
        (CUE + "\n" * 900_000).encode(),
        b"REM\n" + b"FILE\n" * 150_000,
    ],
    ids=[
        "CUE",
        "CUE tracks",
        "CCD",
        "GDI",
        "GDI digits",
        "TOC",
        "TOC comments",
        "blanks",
        "lines behind a CUE",
        "words",
    ],
)
def test_hostile_text_is_refused_in_time(tmp_path: Path, text: bytes) -> None:
    refusal(tmp_path, text)


# --- compressed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", [cso(DISC), zso(DISC), dax(DISC), jiso(DISC)], ids=["CSO", "ZSO", "DAX", "JISO"])
def test_compressed_image_inside_a_compressed_image_is_refused(tmp_path: Path, inner: bytes) -> None:
    error = refusal(tmp_path, cso(inner))
    assert isinstance(error, UnsupportedError)
    assert "a compressed image inside a compressed image" in error.reason


def test_refusal_of_what_is_inside_says_where_it_is(tmp_path: Path) -> None:
    error = refusal(tmp_path, cso(overwritten(NO_DISC, 0, b"WBFS")))
    assert isinstance(error, NotADisc)
    assert error.reason == "a WBFS image (Wii) (inside CSO version 1)"


def test_raw_sectors_inside_a_zso_are_refused_by_their_size(tmp_path: Path) -> None:
    error = refusal(tmp_path, zso(raw(2352, 16, sync=True), block_size=2352))
    assert isinstance(error, UnsupportedError)
    assert "2352" in error.reason


def damaged(image: bytes, block: int) -> bytes:
    at, end = entry(image, block) % FLAG, entry(image, block + 1) % FLAG
    return overwritten(image, at, b"\xff" * (end - at))


def test_damaged_descriptor_block_is_the_reason_and_not_an_unknown_format(tmp_path: Path) -> None:
    only_one = overwritten(DISC, 17 * SECTOR, bytes(SECTOR))
    error = refusal(tmp_path, damaged(cso(only_one), 16))
    assert isinstance(error, ImageError)
    assert not isinstance(error, NotADisc)
    assert "block 16" in error.reason


@pytest.mark.parametrize("block", [0, 15, 17, 18])
def test_damaged_block_elsewhere_does_not_unmake_a_disc(tmp_path: Path, block: int) -> None:
    with open_image(saved(tmp_path, damaged(cso(DISC), block))) as opened:
        assert opened.disc.pread(SECTOR, 16 * SECTOR) == DISC[16 * SECTOR : 17 * SECTOR]


def test_gamecube_image_is_refused_by_name(tmp_path: Path) -> None:
    error = refusal(tmp_path, gamecube_ciso())
    assert isinstance(error, NotADisc)
    assert "GameCube" in error.reason


def test_truncated_image_is_opened_and_said(tmp_path: Path) -> None:
    image = cso(DISC)
    with open_image(saved(tmp_path, image[: len(image) * 3 // 4])) as opened:
        assert "truncated" in " ".join(opened.warnings)
        assert opened.disc.pread(SECTOR, 0) == DISC[:SECTOR]


@pytest.mark.parametrize("magic", [b"CISO", b"ZISO", b"DAX\0", b"JISO"])
@pytest.mark.parametrize("length", range(4, 60, 5))
def test_container_cut_off_in_its_header_is_refused(tmp_path: Path, magic: bytes, length: int) -> None:
    whole = {b"CISO": cso(DISC), b"ZISO": zso(DISC), b"DAX\0": dax(DISC), b"JISO": jiso(DISC)}[magic]
    error = refusal(tmp_path, whole[:length])
    assert isinstance(error, ImageError)
    assert "truncated" in str(error)


# --- nothing at all -------------------------------------------------------------------------------------------------


def test_empty_file_is_refused(tmp_path: Path) -> None:
    assert "empty" in refusal(tmp_path, b"").reason


@pytest.mark.parametrize("size", [1, limits.SMALLEST_IMAGE - 1])
def test_file_below_the_smallest_image_is_refused(tmp_path: Path, size: int) -> None:
    error = refusal(tmp_path, b"\x42" * size)
    assert isinstance(error, ImageError)
    assert f"too short for a disc image ({size} bytes" in error.reason


@pytest.mark.parametrize("size", [limits.SMALLEST_IMAGE, 2048, 16 * SECTOR + 5])
def test_unknown_file_is_refused_with_its_size_and_first_bytes(tmp_path: Path, size: int) -> None:
    error = refusal(tmp_path, NO_DISC[:size])
    assert isinstance(error, NotADisc)
    assert "not a disc image that isofs knows" in error.reason
    assert f"{size} bytes" in error.reason
    assert NO_DISC[:16].hex(" ") in error.reason


def test_directory_is_the_callers_fault(tmp_path: Path) -> None:
    with pytest.raises(NoImage, match="a directory"):
        open_image(str(tmp_path))
