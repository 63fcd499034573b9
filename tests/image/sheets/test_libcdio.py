"""The CUE sheets that libcdio tests itself with, in own words: which are good, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from writers.sheets import audio, iso, stored, user_data

from isofs.errors import ImageError
from isofs.image.sheets import Sheet

Open = Callable[[Path], Sheet]
TRACK = 'FILE "cdda.bin" BINARY\n\nTRACK 01 AUDIO\n    INDEX 01 00:00:00\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "sheet.cue"
    path.write_text(text)
    (folder / "cdda.bin").write_bytes(audio(5))
    (folder / "isofs-m1.bin").write_bytes(stored(iso(), "1/2352"))
    return path


def test_an_audio_disc_opens(tmp_path: Path, opened: Open) -> None:
    text = 'TITLE "Join us"\r\nCATALOG 0000010271955\r\nPERFORMER "R"\r\nFILE "CDDA.BIN" BINARY\r\n  TRACK 01 AUDIO\r\n'
    text += '    TITLE "Soft"\r\n    PERFORMER "R"\r\n    FLAGS DCP\r\n    INDEX 01 00:00:00\r\n'
    (track,) = opened(write(tmp_path, text)).tracks
    assert (track.mode, track.count, track.title) == ("audio", 5, "Soft")


def test_a_disc_of_mode_1_opens(tmp_path: Path, opened: Open) -> None:
    text = 'CATALOG 0000012101954\nFILE "ISOFS-M1.BIN" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n'
    assert user_data(opened(write(tmp_path, text)).tracks[0]) == iso()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("REM no number after CATALOG\n\nCATALOG\n\n" + TRACK, "line 3: CATALOG without a number"),
        ("CATALOG 12\n" + TRACK, "line 1: CATALOG 12: a catalogue number has 13 digits"),
        ("CATALOG 00000102719X5\n" + TRACK, "line 1: CATALOG 00000102719X5: a catalogue number has 13 digits"),
        (TRACK.replace("AUDIO", "MODE3_FORM1"), "line 3: track 1 has the unknown mode 'MODE3_FORM1'"),
        (TRACK.replace("00:00:00", "00:00:100"), "line 4: index 00:00:100 is no time .*frames up to 74"),
        (TRACK.replace("00:00:00", "00:90:00"), "line 4: index 00:90:00 is no time .*seconds up to 59"),
        (TRACK.replace("00:00:00", "xx:yy:0"), "line 4: index xx:yy:0 is no time"),
    ],
)
def test_a_bad_sheet_is_refused_though_its_file_is_there(tmp_path: Path, opened: Open, text: str, reason: str) -> None:
    with pytest.raises(ImageError, match=f"^{reason}"):
        opened(write(tmp_path, text))
