"""DiscJuggler's images. Reader and writer were both made after descriptions: no file of its own was at hand."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from writers.sheets import KINDS, Entry, audio, cdi, iso, recognised, stored, user_data

from isofs.errors import ImageError
from isofs.image.sheets import Sheet

Open = Callable[[Path], Sheet]
DISC = iso()
SECTORS = len(DISC) // 2048
VERSIONS = [("2", False), ("3", False), ("3", True), ("3.5", False), ("3.5", True)]
ONE = Entry(1, "2336", stored(DISC, "2336"), pregap=150)


def write(folder: Path, image: bytes) -> Path:
    path = folder / "a.cdi"
    path.write_bytes(image)
    return path


@pytest.mark.parametrize(("version", "late"), VERSIONS)
@pytest.mark.parametrize("kind", ["2048", "2336", "1/2352", "2/2352", "1/2368", "2/2448"])
@pytest.mark.parametrize("pregap", [0, 150])
def test_each_kind(tmp_path: Path, opened: Open, version: str, late: bool, kind: str, pregap: int) -> None:
    entry = Entry(1, kind, stored(DISC, kind), pregap=pregap)
    sheet = opened(write(tmp_path, cdi([entry], version=version, late=late)))
    (track,) = sheet.tracks
    assert (sheet.format, sheet.warnings) == ("DiscJuggler image (CDI)", ())
    assert (track.number, track.mode, track.stride) == (1, f"mode {KINDS[kind][1]}", KINDS[kind][0])
    assert track.start == 0
    assert user_data(track) == DISC


@pytest.mark.parametrize(("version", "late"), VERSIONS)
def test_tracks_of_several_sessions(tmp_path: Path, opened: Open, version: str, late: bool) -> None:
    entries = [
        Entry(1, "audio", audio(302), 0, pregap=150),
        Entry(2, "2336", stored(DISC, "2336"), 11702, pregap=150, session=2),
        Entry(3, "audio", audio(9), 11702 + SECTORS, session=2),
        Entry(4, "2/2352", stored(DISC, "2/2352", 30000), 30000, pregap=150, session=3),
    ]
    tracks = opened(write(tmp_path, cdi(entries, version=version, late=late))).tracks
    assert [(track.number, track.session, track.start, track.count) for track in tracks] == [
        (entry.number, entry.session, entry.start, entry.sectors) for entry in entries
    ]
    assert user_data(tracks[1]) == user_data(tracks[3]) == DISC
    assert tracks[2].source is not None
    assert tracks[2].source.pread(9 * 2352, tracks[2].position) == entries[2].data


def test_a_header_tells_which_sector_is_meant(tmp_path: Path, opened: Open) -> None:
    image = cdi([Entry(1, "2/2352", stored(DISC, "2/2352", 700), 700 - 150, pregap=0)])
    assert opened(write(tmp_path, image)).tracks[0].start == 700


IMAGE = cdi([ONE], late=False)
SHEET = 150 * 2336 + len(ONE.data)


def swapped(at: int, form: str, *values: int) -> bytes:
    """The image with other numbers at a place of its description."""
    new = struct.pack(form, *values)
    at += SHEET
    return IMAGE[:at] + new + IMAGE[at + len(new) :]


_NAME = 2 + 2 + 4 + 20 + 4
_INDEXES = _NAME + 1 + len(b"C:\\A.CDI") + 23
_MODE = _INDEXES + 2 + 8 + 4 + 2


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (swapped(0, "<H", 99), "damaged DiscJuggler"),
        (swapped(2, "<H", 0), "has no track"),
        (swapped(2, "<H", 0xFFFF), "the mark of track 2 is missing|points to"),
        (swapped(_NAME, "<B", 255), "damaged DiscJuggler"),
        (swapped(_INDEXES, "<H", 0), "track 1 of 0 indexes"),
        (swapped(_INDEXES, "<H", 0xFFFF), "track 1 of 65535 indexes"),
        (swapped(_INDEXES + 2, "<II", 150, 0xFFFFFFFF), "track 1 of mode 2, sector size 1, 150 and 4294967295"),
        (swapped(_INDEXES + 2, "<II", 150, 0), "track 1 has no sectors"),
        (swapped(_INDEXES + 10, "<I", 0xFFFFFFFF), "track 1 with 4294967295 texts"),
        (swapped(_INDEXES + 10, "<I", 90), "damaged DiscJuggler"),
        (swapped(_MODE, "<I", 3), "track 1 of mode 3"),
        (swapped(_MODE + 16, "<I", 0xFFFFFFFF), "track 1 begins at sector 4294967295"),
        (swapped(_MODE + 20, "<I", 3), f"150 and {SECTORS} of 3 sectors"),
        (swapped(_MODE + 40, "<I", 5), "track 1 of mode 2, sector size 5"),
        (
            swapped(_INDEXES + 2, "<II", 0x7FFFFFFF, 1)[: SHEET + _MODE + 20]
            + struct.pack("<I", 0xFFFFFFFF)
            + IMAGE[SHEET + _MODE + 24 :],
            "track 1 begins at byte",
        ),
    ],
)
def test_damage_is_refused(tmp_path: Path, opened: Open, image: bytes, reason: str) -> None:
    assert len(image) == len(IMAGE)
    with pytest.raises(ImageError, match=reason):
        opened(write(tmp_path, image))


def test_its_trailer_must_point_to_a_description(tmp_path: Path) -> None:
    for version, late in VERSIONS:
        assert recognised(write(tmp_path, cdi([ONE], version=version, late=late))) == "cdi"
    assert recognised(write(tmp_path, IMAGE[:-8] + struct.pack("<II", 0x80000007, len(IMAGE) - SHEET))) == ""
    assert recognised(write(tmp_path, IMAGE[:-8] + struct.pack("<II", 0x80000004, 0xFFFFFFFF))) == ""
    assert recognised(write(tmp_path, IMAGE[:-8] + struct.pack("<II", 0x80000006, 8))) == ""
    assert recognised(write(tmp_path, swapped(12, "<I", 7))) == ""
    assert recognised(write(tmp_path, swapped(0, "<H", 100))) == ""
    assert recognised(write(tmp_path, IMAGE[:-8] + struct.pack("<II", 0x80000005, 0))) == ""
