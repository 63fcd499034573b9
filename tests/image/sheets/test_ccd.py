"""CloneCD's sheets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from writers.sheets import Entry, audio, ccd, iso, recognised, stored, user_data

from isofs.errors import ImageError, NoImage, UnsupportedError
from isofs.image.sheets import Sheet

Open = Callable[[Path], Sheet]
DISC = iso()
SECTORS = len(DISC) // 2048
SECOND = SECTORS + 10 + 11400


def write(folder: Path, sheet: str, image: bytes, name: str = "a.img") -> Path:
    path = folder / "a.ccd"
    path.write_bytes(sheet.encode())
    (folder / name).write_bytes(image)
    return path


@pytest.mark.parametrize("mode", ["1/2352", "2/2352"])
@pytest.mark.parametrize("name", ["a.img", "A.IMG"])
def test_the_image_beside_it_is_read(tmp_path: Path, opened: Open, mode: str, name: str) -> None:
    entry = Entry(1, mode, stored(DISC, mode))
    sheet = opened(write(tmp_path, ccd([entry]), entry.data, name))
    (track,) = sheet.tracks
    assert (sheet.format, sheet.warnings) == ("CloneCD sheet (CCD)", ())
    assert (track.number, track.mode, track.start, track.session) == (1, f"mode {mode[0]}", 0, 1)
    assert user_data(track) == DISC


def test_the_mode_in_the_sheet_does_not_matter(tmp_path: Path, opened: Open) -> None:
    entry = Entry(1, "2/2352", stored(DISC, "2/2352"))
    path = write(tmp_path, ccd([entry]).replace("MODE=2", "MODE=1"), entry.data)
    assert opened(path).tracks[0].mode == "mode 2"
    assert user_data(opened(path).tracks[0]) == DISC


def test_a_track_ends_where_the_pregap_of_the_next_one_begins(tmp_path: Path, opened: Open) -> None:
    entries = [Entry(1, "1/2352", stored(DISC, "1/2352")), Entry(2, "audio", audio(10), SECTORS + 5)]
    image = entries[0].data + bytes(5 * 2352) + entries[1].data
    first, second = opened(write(tmp_path, ccd(entries, index_0={2: SECTORS}), image)).tracks
    assert user_data(first) == DISC
    assert (second.mode, second.count, second.position) == ("audio", 10, (SECTORS + 5) * 2352)
    first, _ = opened(write(tmp_path, ccd(entries), image)).tracks
    assert first.count == SECTORS + 5, "a sheet without index 0 does not tell"


@pytest.mark.parametrize("pregap", [0, 150])
def test_gaps_between_sessions_are_not_in_the_image(tmp_path: Path, opened: Open, pregap: int) -> None:
    entries = [
        Entry(1, "audio", audio(SECTORS + 10), 0),
        Entry(2, "1/2352", stored(DISC, "1/2352", SECOND), SECOND, session=2),
        Entry(3, "audio", audio(7), SECOND + SECTORS, session=2),
        Entry(4, "2/2352", stored(DISC, "2/2352", 40000), 40000, session=3),
    ]
    gap = stored(bytes(2048 * pregap), "1/2352", SECOND - pregap)
    image = entries[0].data + gap + b"".join(entry.data for entry in entries[1:])
    tracks = opened(write(tmp_path, ccd(entries), image)).tracks
    assert [track.session for track in tracks] == [1, 2, 2, 3]
    assert [track.start for track in tracks] == [0, SECOND, SECOND + SECTORS, 40000]
    assert user_data(tracks[1]) == user_data(tracks[3]) == DISC
    assert tracks[2].source is not None
    assert tracks[2].source.pread(7 * 2352, tracks[2].position) == entries[2].data


def test_an_image_that_is_cut_off_is_said(tmp_path: Path, opened: Open) -> None:
    entry = Entry(1, "1/2352", stored(DISC, "1/2352"))
    sheet = opened(write(tmp_path, ccd([entry]), entry.data[:-3000]))
    assert sheet.tracks[0].count == SECTORS - 2
    assert sheet.warnings == (f"truncated: {SECTORS - 2} of {SECTORS} sectors of track 1 are present",)


def test_scrambled_sectors_are_refused(tmp_path: Path, opened: Open) -> None:
    entry = Entry(1, "1/2352", stored(DISC, "1/2352"))
    with pytest.raises(UnsupportedError, match="scrambled"):
        opened(write(tmp_path, ccd([entry], scrambled=1), entry.data))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("Point=0x01", "Point=0xa3", "has no track"),
        ("PLBA=0\r\n", "PLBA=zero\r\n", r"\[Entry 3\] has no number PLBA"),
        ("PLBA=0\r\n", "PLBA=-9\r\n", "track 1 begins at byte -21168"),
        ("PLBA=0\r\n", "PLBA=999999\r\n", "track 1 begins at byte"),
        ("PLBA=33\r\n", "PLBA=0\r\n", "track 1 has no sectors"),
        ("Session=1\r\nPoint=0x01", "Session=0\r\nPoint=0x01", r"\[Entry 3\] is of session 0"),
        ("Control=", "Contrl=", r"\[Entry 0\] has no number CONTROL"),
    ],
)
def test_damage_is_refused(tmp_path: Path, opened: Open, old: str, new: str, reason: str) -> None:
    entry = Entry(1, "1/2352", stored(DISC, "1/2352"))
    text = ccd([entry])
    assert old in text
    with pytest.raises(ImageError, match=reason):
        opened(write(tmp_path, text.replace(old, new), entry.data))


def test_a_session_without_lead_out_has_no_known_end(tmp_path: Path, opened: Open) -> None:
    entries = [Entry(1, "audio", audio(9)), Entry(2, "audio", audio(9), 11409, session=2)]
    text = ccd(entries).replace("Point=0xa2", "Point=0xa9", 1)
    with pytest.raises(ImageError, match="session 1 has no lead-out entry"):
        opened(write(tmp_path, text, audio(18)))


def test_a_missing_image_is_named(tmp_path: Path, opened: Open) -> None:
    path = write(tmp_path, ccd([Entry(1, "audio", audio(9))]), b"", "other.img")
    with pytest.raises(NoImage, match=r"'a\.img' that it names is missing"):
        opened(path)


def test_only_its_first_section_makes_it_one(tmp_path: Path) -> None:
    assert recognised(write(tmp_path, "\r\n[clonecd]\r\n", b"")) == "ccd"
    assert recognised(write(tmp_path, "[Disc]\r\n[CloneCD]\r\n", b"")) == ""
