from __future__ import annotations

import gzip
import lzma
import os
import struct
import subprocess
from collections.abc import Callable
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
from writers.discs import zisofs
from writers.sheets import Entry, ccd, cdi, mds, nrg, stored
from writers.sources import assert_same
from writers.tools import require

from isofs import limits
from isofs.errors import ImageError, IsofsError, NoImage, NotADisc, UnsupportedError
from isofs.image import CONTAINERS, open_image, refusals
from isofs.volume import open_volume

DISC = sample_disc(40, tail=700)


def with_room(disc: bytes) -> bytes:
    """The disc in whole sectors."""
    return disc.ljust(-(-len(disc) // SECTOR) * SECTOR, b"\0")


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
        (gzip.compress(DISC), "gzip"),
        (zisofs(DISC), "zisofs file, version 1"),
        (zisofs(DISC, version=2), "zisofs file, version 2"),
        (stored(DISC, "1/2352"), "plain disc image"),
        (gzip.compress(stored(DISC, "2/2352")), "gzip"),
        (cso(stored(DISC, "2336"), block_size=2336), "CSO version 1"),
    ],
)
@pytest.mark.parametrize("name", ["disc.iso", "disc.cso", "without extension"])
def test_content_decides_and_not_the_name(tmp_path: Path, data: bytes, format: str, name: str) -> None:
    with open_image(saved(tmp_path, data, name)) as image:
        assert image.format == format
        assert image.warnings == []
        assert_same(image.disc, with_room(DISC) if image.tracks else DISC, ranges=5)


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


@pytest.mark.parametrize(("magic", "name"), [(b"BZh91AY&SY", "bzip2"), (b"Rar!\x1a\7", "a rar archive")])
@pytest.mark.parametrize("size", [10, limits.SMALLEST_IMAGE])
def test_short_files_are_recognised_too(tmp_path: Path, magic: bytes, name: str, size: int) -> None:
    assert refusal(tmp_path, magic.ljust(size, b"\xee")).reason.startswith(name)


@pytest.mark.parametrize(("magic", "module"), CONTAINERS)
@pytest.mark.parametrize("fill", [b"\0", b"\x11", b"\xee", b"\xff"])
@pytest.mark.parametrize("size", [limits.SMALLEST_IMAGE, 200, 50_000])
def test_a_magic_alone_is_refused_by_the_reader_of_its_format(
    tmp_path: Path, magic: bytes, module: str, fill: bytes, size: int
) -> None:
    error = refusal(tmp_path, magic.ljust(size, fill))
    assert isinstance(error, ImageError | UnsupportedError)
    assert type(error) is not NotADisc
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("tool", "options", "command"),
    [
        ("bzip2", "-c", "bunzip2 -c IMAGE | bgzip > NEW.iso.gz"),
        ("lz4", "-qc", "unlz4 -c IMAGE | bgzip > NEW.iso.gz"),
        ("lz4", "-qlc", "unlz4 -c IMAGE | bgzip > NEW.iso.gz"),
        ("lzip", "-c", "lzip -dc IMAGE | bgzip > NEW.iso.gz"),
    ],
)
def test_what_is_one_stream_is_refused_with_the_command_that_makes_blocks(
    tmp_path: Path, tool: str, options: str, command: str
) -> None:
    require("bgzip")
    (tmp_path / "disc").write_bytes(DISC)
    with open(tmp_path / "IMAGE", "wb") as packed:
        subprocess.run([require(tool), options, "disc"], cwd=tmp_path, stdout=packed, check=True)
    with pytest.raises(UnsupportedError) as caught:
        open_image(str(tmp_path / "IMAGE"))
    assert caught.value.reason.endswith(", so it cannot be read in place")
    assert caught.value.remedy == f"rewrite it in blocks: {command}"
    subprocess.run(command, shell=True, cwd=tmp_path, stderr=subprocess.DEVNULL, check=True)
    with open_image(str(tmp_path / "NEW.iso.gz")) as image:
        assert_same(image.disc, DISC)


def test_bzip2_needs_more_than_its_first_letters(tmp_path: Path) -> None:
    with open_image(saved(tmp_path, overwritten(DISC, 0, b"BZh9 is text"))) as image:
        assert image.format == "plain disc image"


def test_fat_needs_its_signature(tmp_path: Path) -> None:
    error = refusal(tmp_path, overwritten(NO_DISC, 54, b"FAT16   "))
    assert "not a disc image that isofs knows" in error.reason


@pytest.mark.parametrize("mark", [b"BEA01", b"NSR02", b"NSR03"])
@pytest.mark.parametrize("sector", [16, 18, 31])
def test_udf_alone_is_refused_by_name(tmp_path: Path, mark: bytes, sector: int) -> None:
    data = bytes(sector * SECTOR + 1) + mark.ljust(40 * SECTOR, b"\0")
    error = refusal(tmp_path, data)
    assert isinstance(error, UnsupportedError)
    assert "UDF" in error.reason


@pytest.mark.parametrize("trailer", [b"NER5" + b"\xff" * 8, b"NERO" + b"\xff" * 4, b"NER5" + bytes(8)])
def test_nero_trailer_that_points_to_no_chunk_does_not_unmake_a_disc(tmp_path: Path, trailer: bytes) -> None:
    open_image(saved(tmp_path, DISC + trailer)).close()


@pytest.mark.parametrize("version", [0x8000_0004, 0x8000_0005, 0x8000_0006])
def test_discjuggler_trailer_that_points_to_no_description_does_not_unmake_a_disc(tmp_path: Path, version: int) -> None:
    open_image(saved(tmp_path, DISC + struct.pack("<II", version, 1000))).close()
    error = refusal(tmp_path, NO_DISC + struct.pack("<II", version, 1000))
    assert "not a disc image that isofs knows" in error.reason


# --- sheets ---------------------------------------------------------------------------------------------------------

CUE = 'FILE "disc.bin" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n'
CCD = ccd([Entry(1, "1/2352", stored(DISC, "1/2352"))]).replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (CUE, "CUE sheet"),
        ("REM GENRE Game\n" + CUE, "CUE sheet"),
        ("CATALOG 0000000000000\n" + CUE.lower(), "CUE sheet"),
        (CCD, "CloneCD sheet (CCD)"),
        ('CD_ROM\n\nTRACK MODE1_RAW\nDATAFILE "disc.bin"\n', "cdrdao sheet (TOC)"),
        ('// made by hand\nCD_ROM_XA\nTRACK MODE1_RAW\nDATAFILE "disc.bin"\n', "cdrdao sheet (TOC)"),
        ("1\n1 0 4 2352 disc.bin 0\n", "GDI sheet"),
        (' 1\n 1 0 4 2352 "disc.bin" 0\n', "GDI sheet"),
    ],
)
@pytest.mark.parametrize("encoding", ["ascii", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_sheets_are_known_by_their_content(tmp_path: Path, text: str, name: str, encoding: str, newline: str) -> None:
    for track in ("disc.bin", "disc.img"):
        saved(tmp_path, stored(DISC, "1/2352"), track)
    with open_image(saved(tmp_path, text.replace("\n", newline).encode(encoding), "disc.iso")) as image:
        assert image.format == image.sheet == name
        assert image.warnings == []
        assert [os.path.basename(file.path) for file in image.files][:1] == ["disc.iso"]
        assert_same(image.disc, with_room(DISC), ranges=3)


ENTRY = Entry(1, "2048", with_room(DISC))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (mds([ENTRY]), "Alcohol sheet (MDS)"),
        (nrg([ENTRY]), "Nero image (NRG) version 2"),
        (nrg([ENTRY], version=1, tao=True), "Nero image (NRG) version 1"),
        (cdi([ENTRY]), "DiscJuggler image (CDI)"),
    ],
)
def test_so_are_descriptions_that_are_no_text(tmp_path: Path, data: bytes, name: str) -> None:
    saved(tmp_path, with_room(DISC), "disc.mdf")
    with open_image(saved(tmp_path, data, "disc.iso")) as image:
        assert image.format == image.sheet == name
        assert_same(image.disc, with_room(DISC), ranges=3)


@pytest.mark.parametrize("text", [CUE, 'CD_ROM\nTRACK MODE1_RAW\nDATAFILE "disc.bin"\n', "1\n1 0 4 2352 disc.bin 0\n"])
def test_a_missing_file_of_a_sheet_is_named(tmp_path: Path, text: str) -> None:
    error = refusal(tmp_path, text.encode(), "disc.cue")
    assert isinstance(error, NoImage)
    assert str(error) == f"the file 'disc.bin' that it names is missing; put it into {tmp_path}"


def test_a_sheet_of_audio_tracks_alone_is_opened_without_a_volume(tmp_path: Path) -> None:
    sheet = 'FILE "a.bin" BINARY\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n'
    saved(tmp_path, bytes(2352 * 10), "a.bin")
    with open_image(saved(tmp_path, sheet.encode(), "disc.cue")) as image:
        assert image.track is None
        assert [track.mode for track in image.tracks] == ["audio"]
        with pytest.raises(NotADisc, match="audio tracks only"):
            open_volume(image)


@pytest.mark.parametrize("size", [limits.DESCRIPTION - 1, limits.DESCRIPTION])
def test_sheets_end_below_their_limit(tmp_path: Path, size: int) -> None:
    saved(tmp_path, stored(DISC, "1/2352"), "disc.bin")
    text = (CUE.encode() + b" \n" * 9000).ljust(size, b"\n")
    error = refusal(tmp_path, text, "disc.cue")
    if size < limits.DESCRIPTION:
        assert "lines" in error.reason
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


@pytest.mark.parametrize("outer", [cso, zso, gzip.compress], ids=["in CSO", "in ZSO", "in gzip"])
@pytest.mark.parametrize(
    "inner",
    [
        *(cso(DISC), zso(DISC), dax(DISC), jiso(DISC), gzip.compress(DISC), lzma.compress(DISC), zisofs(DISC)),
        *(b"\x28\xb5\x2f\xfd" + DISC, b"\x5a\x2a\x4d\x18" + DISC, b"MComprHD" + DISC),
    ],
    ids=["CSO", "ZSO", "DAX", "JISO", "gzip", "xz", "zisofs", "zstd", "zstd skippable", "CHD"],
)
def test_compressed_image_inside_a_compressed_image_is_refused(
    tmp_path: Path, inner: bytes, outer: Callable[[bytes], bytes]
) -> None:
    error = refusal(tmp_path, outer(inner))
    assert isinstance(error, UnsupportedError)
    assert "a compressed image inside a compressed image" in error.reason


def test_refusal_of_what_is_inside_says_where_it_is(tmp_path: Path) -> None:
    error = refusal(tmp_path, cso(overwritten(NO_DISC, 0, b"WBFS")))
    assert isinstance(error, NotADisc)
    assert error.reason == "a WBFS image (Wii) (inside CSO version 1)"


@pytest.mark.parametrize("outer", [cso, zso, jiso, dax, gzip.compress], ids=lambda write: write.__name__)
def test_raw_sectors_inside_a_compressed_image_are_read(tmp_path: Path, outer: Callable[[bytes], bytes]) -> None:
    with open_image(saved(tmp_path, outer(stored(DISC, "1/2352")))) as image:
        assert_same(image.disc, with_room(DISC), ranges=5)


def test_a_sheet_inside_a_compressed_image_is_none(tmp_path: Path) -> None:
    saved(tmp_path, stored(DISC, "1/2352"), "disc.bin")
    error = refusal(tmp_path, gzip.compress(CUE.encode().ljust(40_000)), "disc.cue.gz")
    assert isinstance(error, NotADisc)
    assert "(inside gzip)" in error.reason


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
