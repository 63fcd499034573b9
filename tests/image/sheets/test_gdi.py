"""GDI sheets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from writers.sheets import audio, iso, recognised, stored, user_data

from isofs.errors import ImageError, NoImage
from isofs.image.sheets import Sheet

Open = Callable[[Path], Sheet]
DISC = iso()
SECTORS = len(DISC) // 2048
SHEET = '3\n1 0 4 2048 track01.bin 0\n2 600 0 2352 "track 02.raw" 0\n3 45000 4 2352 track03.bin 0\n'


def write(folder: Path, text: str = SHEET, third: bytes = b"") -> Path:
    path = folder / "disc.gdi"
    path.write_text(text)
    (folder / "track01.bin").write_bytes(DISC)
    (folder / "track 02.raw").write_bytes(audio(9))
    (folder / "track03.bin").write_bytes(third or stored(DISC, "1/2352", 45000))
    return path


def test_tracks_lie_where_the_sheet_says(tmp_path: Path, opened: Open) -> None:
    sheet = opened(write(tmp_path))
    assert (sheet.format, sheet.warnings) == ("GDI sheet", ())
    assert [(track.number, track.mode, track.start, track.session, track.count) for track in sheet.tracks] == [
        (1, "mode 1", 0, 1, SECTORS),
        (2, "audio", 600, 1, 9),
        (3, "mode 1", 45000, 2, SECTORS),
    ]
    assert user_data(sheet.tracks[0]) == user_data(sheet.tracks[2]) == DISC


@pytest.mark.parametrize("kind", ["2048", "2336", "1/2352", "2/2352"])
@pytest.mark.parametrize("told", [2048, 2336, 2352])
@pytest.mark.parametrize("skipped", [0, 12])
def test_each_stride_and_offset(tmp_path: Path, opened: Open, kind: str, told: int, skipped: int) -> None:
    text = SHEET.replace("2352 track03.bin 0", f'{told} "TRACK03.BIN" {skipped}')
    sheet = opened(write(tmp_path, text, bytes(skipped) + stored(DISC, kind, 45000)))
    assert user_data(sheet.tracks[2]) == DISC
    assert bool(sheet.warnings) == (str(told) not in kind)


def test_all_data_tracks_of_the_high_density_area_are_kept(tmp_path: Path, opened: Open) -> None:
    text = SHEET.replace("3\n1", "5\n1") + "4 46000 0 2352 track\n02.raw 0\n".replace("track\n02", '"track 02').replace(
        ".raw", '.raw"'
    )
    text += "5 47000 4 2048 track01.bin 0\n"
    sheet = opened(write(tmp_path, text))
    assert [(track.session, track.mode) for track in sheet.tracks[2:]] == [(2, "mode 1"), (2, "audio"), (2, "mode 1")]
    assert user_data(sheet.tracks[4]) == DISC


def test_a_file_does_not_reach_into_the_next_track(tmp_path: Path, opened: Open) -> None:
    sheet = opened(write(tmp_path, SHEET.replace("2 600", "2 30")))
    assert (sheet.tracks[0].count, sheet.tracks[1].start) == (30, 30)


def test_blank_lines_and_other_ends_of_lines_are_fine(tmp_path: Path, opened: Open) -> None:
    sheet = opened(write(tmp_path, "\n" + SHEET.replace("\n", "\r\n \r\n")))
    assert len(sheet.tracks) == 3


def test_a_wrong_number_of_tracks_is_said(tmp_path: Path, opened: Open) -> None:
    sheet = opened(write(tmp_path, SHEET.replace("3\n1", "4\n1")))
    assert sheet.warnings == ("the sheet tells 4 tracks in its first line, but has 3",)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("2 600 0 2352", "2 600 7 2352", "line 3: the type 7 is unknown"),
        ("2 600 0 2352", "2 600 0 2353", "line 3: sectors of 2353 bytes"),
        ("2 600 0 2352", "2 600 0", "line 3: a track has a number"),
        ("2 600 0", "1 600 0", "track 1 follows track 1"),
        ("2 600 0", "100 600 0", "track 100: track numbers are 1 to 99"),
        ("3 45000", "3 10", "track 3 begins at sector 10, within track 2"),
        ("track03.bin 0", "track03.bin -1", "line 4: a track has a number"),
        ("track03.bin 0", "track03.bin 99999999", "line 4: byte 99999999 lies beyond the end of 'track03.bin'"),
        ("3 45000 4 2352 track03.bin 0\n", "3 45000 4 2352 track03.bin 0\n" * 98, "it has 100 tracks"),
    ],
)
def test_damage_is_refused_by_its_line(tmp_path: Path, opened: Open, old: str, new: str, reason: str) -> None:
    assert old in SHEET
    with pytest.raises(ImageError, match=f"^{reason}"):
        opened(write(tmp_path, SHEET.replace(old, new)))


def test_a_missing_file_is_named(tmp_path: Path, opened: Open) -> None:
    with pytest.raises(NoImage, match=r"'track04\.bin' that it names is missing"):
        opened(write(tmp_path, SHEET.replace("track03", "track04")))


@pytest.mark.parametrize("text", ["3\n", "3\n1 0 5 2048 a 0\n", "3\n1 0 4 100 a 0\n", "x\n1 0 4 2048 a 0\n", "12345\n"])
def test_other_texts_are_no_gdi_sheets(tmp_path: Path, text: str) -> None:
    assert recognised(write(tmp_path, text)) == ""
