"""cdrdao's sheets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from writers.sheets import audio, iso, msf, recognised, stored, user_data

from isofs.errors import ImageError, NoImage, UnsupportedError
from isofs.image.sheets import Sheet

Open = Callable[[Path], Sheet]
DISC = iso()
SECTORS = len(DISC) // 2048
MODES = {
    "MODE1": "2048",
    "MODE1_RAW": "1/2352",
    "MODE2": "2336",
    "MODE2_FORM1": "2048",
    "MODE2_FORM_MIX": "2336",
    "MODE2_RAW": "2/2352",
    "MODE1 RW": "2144",
    "MODE1_RAW RW_RAW": "1/2448",
    "MODE2_RAW RW": "2/2448",
    "MODE2_FORM_MIX RW": "2432",
}
SIMPLE = 'CD_ROM\n\nTRACK MODE1_RAW\nDATAFILE "a.bin"\n'


def write(folder: Path, text: str, **files: bytes) -> Path:
    path = folder / "a.toc"
    path.write_text(text)
    for name, data in files.items():
        (folder / f"{name}.bin").write_bytes(data)
    return path


@pytest.mark.parametrize("mode", MODES)
def test_each_mode(tmp_path: Path, opened: Open, mode: str) -> None:
    sheet = opened(write(tmp_path, SIMPLE.replace("MODE1_RAW", mode), a=stored(DISC, MODES[mode])))
    assert (sheet.format, sheet.warnings) == ("cdrdao sheet (TOC)", ())
    (track,) = sheet.tracks
    assert user_data(track) == DISC
    assert track.header == ("/" in MODES[mode])


def test_what_is_stored_wins_over_the_mode_of_the_sheet(tmp_path: Path, opened: Open) -> None:
    sheet = opened(write(tmp_path, SIMPLE, a=stored(DISC, "2048")))
    assert user_data(sheet.tracks[0]) == DISC
    assert len(sheet.warnings) == 1


@pytest.mark.parametrize("length", [msf(SECTORS), str(SECTORS * 2352)])
def test_one_file_for_all_tracks(tmp_path: Path, opened: Open, length: str) -> None:
    sound, gap = audio(20), bytes(5 * 2352)
    text = f"""// made by hand
    CD_ROM_XA
    CATALOG "0000010271955"
    CD_TEXT {{ LANGUAGE_MAP {{ 0 : EN }} LANGUAGE 0 {{ TITLE "A \\"disc\\" }}" SIZE_INFO {{ 0, 1, 2 }} }} }}
    TRACK MODE2_RAW // the data
    NO COPY
    DATAFILE "a.bin" {length} // length in bytes
    TRACK AUDIO
    COPY NO PRE_EMPHASIS TWO_CHANNEL_AUDIO ISRC "USXXX0000001"
    FILE "a.bin" #{SECTORS * 2352} 0 00:00:09 START 00:00:05
    INDEX 00:00:02
    TRACK AUDIO
    AUDIOFILE "a.bin" SWAP #{SECTORS * 2352} {9 * 588} {5 * 588}
    """
    data, second, third = opened(write(tmp_path, text, a=stored(DISC, "2/2352") + gap + sound)).tracks
    assert user_data(data) == DISC
    assert [(track.start, track.count, track.big_endian) for track in (second, third)] == [
        (SECTORS + 5, 4, True),
        (SECTORS + 9, 5, False),
    ]
    assert second.source is not None
    assert third.source is not None
    assert second.source.pread(4 * 2352, second.position) == sound[: 4 * 2352]
    assert third.source.pread(5 * 2352, third.position) == sound[4 * 2352 : 9 * 2352]


def test_sectors_that_no_file_holds(tmp_path: Path, opened: Open) -> None:
    text = 'CD_ROM\nTRACK AUDIO\nSILENCE 00:02:00\nFILE "b.bin" 0\nTRACK MODE1\nZERO MODE1 00:02:00\nSTART\n'
    text += f'DATAFILE "a.bin" {SECTORS * 2048}\nZERO 00:01:00\nTRACK AUDIO\nPREGAP 00:00:07\nFILE "b.bin" 588\n'
    silent, data, third = opened(write(tmp_path, text, a=DISC, b=audio(9))).tracks
    assert (silent.source, silent.start) == (None, 0), "a track that begins with silence is not stored in one piece"
    assert data.start == 150 + 9 + 150
    assert user_data(data) == DISC
    assert (third.start, third.position, third.count) == (data.start + SECTORS + 75 + 7, 2352, 8)


def test_zeros_in_front_of_the_data_are_not_stored(tmp_path: Path, opened: Open) -> None:
    text = 'CD_ROM\nTRACK MODE1\nZERO 00:02:00\nDATAFILE "a.bin"\n'
    (track,) = opened(write(tmp_path, text, a=DISC)).tracks
    assert (track.start, track.position) == (150, 0)
    assert user_data(track) == DISC


def test_a_pregap_that_the_file_holds_is_passed_over(tmp_path: Path, opened: Open) -> None:
    text = SIMPLE + "START 00:00:10\n"
    (track,) = opened(write(tmp_path, text, a=stored(bytes(20480) + DISC, "1/2352"))).tracks
    assert (track.start, track.position, track.count) == (10, 23520, SECTORS)
    assert user_data(track) == DISC


def test_pieces_that_follow_each_other_are_one(tmp_path: Path, opened: Open) -> None:
    text = f'CD_ROM\nTRACK MODE1\nDATAFILE "a.bin" 00:00:20\nDATAFILE "a.bin" #{20 * 2048}\n'
    assert user_data(opened(write(tmp_path, text, a=DISC)).tracks[0]) == DISC


def test_a_wave_file_is_a_track_that_nobody_reads(tmp_path: Path, opened: Open) -> None:
    text = 'CD_DA\nTRACK AUDIO\nFILE "x.wav" 0 01:00:00\nTRACK MODE1\nDATAFILE "a.bin"\n'
    sheet = opened(write(tmp_path, text, a=DISC))
    assert (sheet.tracks[0].source, sheet.tracks[1].start, sheet.warnings) == (None, 4500, ())
    text = 'CD_DA\nTRACK AUDIO\nFILE "x.wav" 0\nTRACK MODE1_RAW\nDATAFILE "a.bin"\n'
    assert opened(write(tmp_path, text, a=stored(DISC, "1/2352", 700))).tracks[1].start == 700
    assert opened(write(tmp_path, text.replace("_RAW", ""), a=DISC)).warnings == (
        "where track 2 lies on the disc is a guess: how many sectors 'x.wav' has is unknown",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SIMPLE + "SPARKLE", "line 5: the unknown word 'SPARKLE'"),
        (SIMPLE.replace("MODE1_RAW", "MODE9"), "line 3: the unknown mode 'MODE9'"),
        ("CD_ROM\nTRACK", "line 2: TRACK without a mode"),
        ('CD_ROM\nDATAFILE "a.bin"', "line 2: DATAFILE before the first TRACK"),
        ("CD_ROM\nSTART", "line 2: START before the first TRACK"),
        (SIMPLE.replace('"a.bin"', "a.bin"), 'line 4: DATAFILE without a "name"'),
        (SIMPLE.replace('"a.bin"', '"a.bin'), 'line 4: DATAFILE without a "name"'),
        (SIMPLE.replace('"a.bin"', '"a.bin" 00:60:00'), "line 4: 00:60:00 is no time"),
        (SIMPLE.replace('"a.bin"', '"a.bin" #99999999'), "line 4: byte 99999999 lies beyond the end of 'a.bin'"),
        (SIMPLE + "START 00:99:00", "line 5: 00:99:00 is no time"),
        (SIMPLE + "START 10:00:00", "line 3: track 1 ends before its START"),
        (SIMPLE + "PREGAP 7", "line 5: PREGAP without a time"),
        (SIMPLE + "ZERO", "line 5: ZERO without a length"),
        (SIMPLE + 'TRACK AUDIO FILE "a.bin"', "line 5: FILE without a start"),
        (SIMPLE + "CD_TEXT { {", "line 5: CD_TEXT does not end"),
        (SIMPLE + "ISRC", "line 5: ISRC at the sheet's end"),
        (SIMPLE + "ZERO 1\n" * 1001, "line 1004: more than 1000 pieces"),
        ("CD_ROM\n" + "TRACK AUDIO\n" * 100, "line 101: more than 99 tracks"),
        ("CD_ROM\nTRACK MODE1\nZERO 00:02:00", "line 2: track 1 has no data"),
        ("CD_ROM\n", "the cdrdao sheet .* has no track"),
    ],
)
def test_damage_is_refused_by_its_line(tmp_path: Path, opened: Open, text: str, reason: str) -> None:
    with pytest.raises(ImageError, match=f"^{reason}"):
        opened(write(tmp_path, text, a=stored(DISC, "1/2352")))


def test_what_is_not_read_is_refused(tmp_path: Path, opened: Open) -> None:
    text = SIMPLE + 'ZERO 00:00:01 DATAFILE "a.bin"'
    with pytest.raises(UnsupportedError, match=r"several pieces \(track 1\)"):
        opened(write(tmp_path, text, a=stored(DISC, "1/2352")))
    with pytest.raises(UnsupportedError, match="another program"):
        opened(write(tmp_path, 'CD_ROM\nTRACK MODE1\nFIFO "/tmp/x" 100'))
    with pytest.raises(NoImage, match=r"'b\.bin' that it names is missing"):
        opened(write(tmp_path, SIMPLE.replace("a.bin", "b.bin")))


@pytest.mark.parametrize("start", ["CD_DA", "CD_I\n", "// a comment\n\n CD_ROM ", 'CATALOG "0000010271955"\nCD_ROM_XA'])
def test_the_kind_of_disc_makes_it_one(tmp_path: Path, start: str) -> None:
    assert recognised(write(tmp_path, f"{start}\nTRACK AUDIO\n")) == "toc"
    assert recognised(write(tmp_path, f"x {start}\n")) == ""
    assert recognised(write(tmp_path, "CD_ROMANCE\n")) == ""
    assert recognised(write(tmp_path, "//" * 200_000)) == ""
