"""CUE sheets: tracks, times, names and what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from writers.sheets import KINDS, audio, iso, msf, raw, recognised, stored, user_data

from isofs import limits
from isofs.errors import ImageError, NoImage
from isofs.image.sheets import Sheet

Open = Callable[[Path], Sheet]
DISC = iso()
SECTORS = len(DISC) // 2048
MODES = {
    "2048": ("MODE1/2048", "MODE2/2048"),
    "2332": ("MODE2/2332",),
    "2336": ("MODE2/2336", "CDI/2336"),
    "1/2352": ("MODE1/2352", "MODE1_RAW"),
    "2/2352": ("MODE2/2352", "MODE2_RAW", "CDI/2352"),
    "1/2448": ("MODE1/2448",),
    "2/2448": ("MODE2/2448",),
}
SIMPLE = 'FILE "a.bin" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n'


def write(folder: Path, text: str | bytes, **files: bytes) -> Path:
    """A sheet, and files `NAME.bin`."""
    path = folder / "a.cue"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for name, data in files.items():
        (folder / f"{name}.bin").write_bytes(data)
    return path


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in MODES.items() for mode in modes])
def test_each_mode_is_found_where_its_stride_says(tmp_path: Path, opened: Open, kind: str, mode: str) -> None:
    path = write(tmp_path, SIMPLE.replace("MODE1/2352", mode), a=stored(DISC, kind))
    sheet = opened(path)
    (track,) = sheet.tracks
    assert sheet.format == "CUE sheet"
    assert sheet.warnings == ()
    assert (track.number, track.start, track.position, track.stride) == (1, 0, 0, KINDS[kind][0])
    assert track.header == ("/" in kind)
    if "/" in kind or kind != "2048":
        assert track.mode == f"mode {KINDS[kind][1]}"
    assert user_data(track) == DISC


@pytest.mark.parametrize("mode", ["MODE1/2048", "MODE1/2352", "MODE2/2336", "MODE2/2352", "MODE1/2448"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_wins_over_the_mode_of_the_sheet(tmp_path: Path, opened: Open, kind: str, mode: str) -> None:
    sheet = opened(write(tmp_path, SIMPLE.replace("MODE1/2352", mode), a=stored(DISC, kind)))
    (track,) = sheet.tracks
    assert user_data(track) == DISC
    assert track.stride == KINDS[kind][0]
    right = kind.removeprefix("1/").removeprefix("2/") == mode.partition("/")[2]
    assert bool(sheet.warnings) != right
    if not right:
        assert sheet.warnings[0].startswith("the sheet gives track 1 sectors of ")


def test_sectors_of_both_modes_in_one_track_are_told_by_their_headers(tmp_path: Path, opened: Open) -> None:
    mixed = b"".join(raw(DISC[i * 2048 : (i + 1) * 2048], i, 1 + i % 2) for i in range(SECTORS))
    assert user_data(opened(write(tmp_path, SIMPLE, a=mixed)).tracks[0]) == DISC


def test_form_2_sectors_give_their_first_2048_bytes(tmp_path: Path, opened: Open) -> None:
    video = bytes(range(256)) * 9
    data = stored(DISC, "2/2352") + raw(video, SECTORS, 2, form_2=True)
    assert user_data(opened(write(tmp_path, SIMPLE, a=data)).tracks[0]) == DISC + video[:2048]
    cooked = SIMPLE.replace("MODE1/2352", "MODE2/2324")
    (track,) = opened(write(tmp_path, cooked, a=video.ljust(2324, b"\0") * 3)).tracks
    assert (track.stride, track.offset, track.count) == (2324, 0, 3)
    assert user_data(track) == video[:2048] * 3


def test_mode_2_sectors_without_subheader_are_found_by_content(tmp_path: Path, opened: Open) -> None:
    sectors = b"".join(
        (raw(b"", i, 2)[:16] + DISC[i * 2048 : (i + 1) * 2048]).ljust(2352, b"\0") for i in range(SECTORS)
    )
    sheet = opened(write(tmp_path, SIMPLE.replace("MODE1", "MODE2"), a=sectors))
    assert user_data(sheet.tracks[0]) == DISC
    assert sheet.warnings == ("the data of track 1 stands at byte 16 of its sectors, not at 24",)


def test_a_stored_pregap_ends_the_track_before_and_is_passed_over(tmp_path: Path, opened: Open) -> None:
    text = SIMPLE + f"TRACK 02 AUDIO\nINDEX 00 {msf(SECTORS)}\nINDEX 01 {msf(SECTORS + 5)}\nINDEX 02 {msf(SECTORS + 6)}"
    sound = audio(12)
    data, second = opened(write(tmp_path, text, a=stored(DISC, "1/2352") + sound)).tracks
    assert user_data(data) == DISC
    assert (second.mode, second.start, second.count, second.session) == ("audio", SECTORS + 5, 7, 1)
    assert second.source is not None
    assert second.source.pread(7 * 2352, second.position) == sound[5 * 2352 :]


def test_gaps_that_no_file_holds_move_what_follows_on_the_disc_only(tmp_path: Path, opened: Open) -> None:
    text = SIMPLE + "POSTGAP 00:01:00\nTRACK 02 AUDIO\nPREGAP 00:02:00\n" + f"INDEX 01 {msf(SECTORS)}\n"
    text += f"TRACK 03 AUDIO\nINDEX 01 {msf(SECTORS + 4)}\n"
    _, second, third = opened(write(tmp_path, text, a=stored(DISC, "1/2352") + audio(10))).tracks
    assert (second.start, second.position, second.count) == (SECTORS + 75 + 150, SECTORS * 2352, 4)
    assert (third.start, third.position, third.count) == (SECTORS + 229, (SECTORS + 4) * 2352, 6)


@pytest.mark.parametrize("gap", ["PREGAP 00:02:00\nINDEX 01 00:00:00", "INDEX 00 00:00:00\nINDEX 01 00:02:00"])
def test_the_two_seconds_in_front_of_the_first_data_track_are_the_lead_in(
    tmp_path: Path, opened: Open, gap: str
) -> None:
    text = f"FILE a.bin BINARY\nTRACK 01 MODE1/2048\n{gap}\n"
    first = SECTORS + 150 if "INDEX 00" in gap else SECTORS
    text += f"TRACK 02 AUDIO\nINDEX 01 {msf(first)}\n"
    data = (bytes(150 * 2048) if "INDEX 00" in gap else b"") + DISC + audio(3)
    track, second = opened(write(tmp_path, text, a=data)).tracks
    assert track.start == 0
    assert user_data(track) == DISC
    assert second.start == SECTORS


def test_a_lead_in_that_the_sheet_does_not_tell_is_passed_over(tmp_path: Path, opened: Open) -> None:
    sheet = opened(write(tmp_path, SIMPLE, a=stored(bytes(150 * 2048) + DISC, "1/2352", -150)))
    assert sheet.tracks[0].start == 0
    assert user_data(sheet.tracks[0]) == DISC
    assert sheet.warnings == ("150 sectors in front of track 1 are passed over",)


def test_tracks_of_different_strides_share_a_file(tmp_path: Path, opened: Open) -> None:
    text = f"FILE a.bin BINARY\nTRACK 01 MODE1/2048\nINDEX 01 00:00:00\nTRACK 02 AUDIO\nINDEX 00 {msf(SECTORS)}\n"
    text += f"INDEX 01 {msf(SECTORS + 2)}\nTRACK 03 MODE2/2336\nINDEX 01 {msf(SECTORS + 6)}\n"
    sound = audio(6)
    first, second, third = opened(write(tmp_path, text, a=DISC + sound + stored(DISC, "2336"))).tracks
    assert user_data(first) == DISC
    assert second.source is not None
    assert second.source.pread(4 * 2352, second.position) == sound[2 * 2352 :]
    assert third.start == SECTORS + 6
    assert user_data(third) == DISC


def test_a_wrong_mode_does_not_move_the_tracks_behind(tmp_path: Path, opened: Open) -> None:
    text = SIMPLE.replace("2352", "2048") + f"TRACK 02 AUDIO\nINDEX 01 {msf(SECTORS)}\n"
    first, second = opened(write(tmp_path, text, a=stored(DISC, "1/2352") + audio(4))).tracks
    assert user_data(first) == DISC
    assert (second.position, second.count) == (SECTORS * 2352, 4)


def test_several_files_follow_each_other_on_the_disc(tmp_path: Path, opened: Open) -> None:
    text = SIMPLE + 'FILE "b.bin" MOTOROLA\nTRACK 02 AUDIO\nINDEX 00 00:00:00\nINDEX 01 00:00:02\nTRACK 03 AUDIO\n'
    text += 'INDEX 00 00:00:05\nFILE "c.bin" BINARY\nINDEX 01 00:00:00\n'
    tracks = opened(write(tmp_path, text, a=stored(DISC, "2/2352"), b=audio(8), c=audio(9))).tracks
    assert user_data(tracks[0]) == DISC
    assert [(track.start, track.count, track.position) for track in tracks[1:]] == [
        (SECTORS + 2, 3, 2 * 2352),
        (SECTORS + 8, 9, 0),
    ]
    assert [track.big_endian for track in tracks] == [False, True, False]


def test_karaoke_sectors_carry_their_subchannel(tmp_path: Path, opened: Open) -> None:
    text = f"FILE a.bin BINARY\nTRACK 01 CDG\nINDEX 01 00:00:00\nTRACK 02 CDG\nINDEX 01 {msf(4)}\n"
    first, second = opened(write(tmp_path, text, a=audio(10, 2448))).tracks
    assert (first.mode, first.stride, first.count) == ("audio", 2448, 4)
    assert (second.position, second.count) == (4 * 2448, 6)


@pytest.mark.parametrize("kind", ["WAVE", "AIFF", "MP3", "FLAC", "OGG"])
def test_audio_files_of_other_kinds_are_tracks_that_nobody_reads(tmp_path: Path, opened: Open, kind: str) -> None:
    text = f'FILE "missing.x" {kind}\nTRACK 01 AUDIO\nINDEX 01 00:00:00\nTRACK 02 AUDIO\nINDEX 01 01:00:00\n'
    sheet = opened(write(tmp_path, text + SIMPLE.replace("01 MODE", "03 MODE"), a=stored(DISC, "1/2352", 9000)))
    assert [(track.mode, track.source, track.count) for track in sheet.tracks[:2]] == [("audio", None, 0)] * 2
    assert sheet.tracks[2].start == 9000, "its own header tells"
    assert user_data(sheet.tracks[2]) == DISC
    assert sheet.warnings == ()


def test_where_nothing_tells_the_place_on_the_disc_it_is_said(tmp_path: Path, opened: Open) -> None:
    text = "FILE missing.mp3 MP3\nTRACK 01 AUDIO\nINDEX 01 00:00:00\nFILE a.bin BINARY\nTRACK 02 MODE1/2048\n"
    sheet = opened(write(tmp_path, text + "INDEX 01 00:00:00", a=DISC))
    assert user_data(sheet.tracks[1]) == DISC
    assert len(sheet.warnings) == 1
    assert "where track 2 lies on the disc is a guess" in sheet.warnings[0]


def test_sessions_are_apart_on_the_disc(tmp_path: Path, opened: Open) -> None:
    text = "REM SESSION 01\nFILE a.bin BINARY\nTRACK 01 AUDIO\nINDEX 01 00:00:00\nREM LEAD-OUT 01:30:00\n"
    text += "REM SESSION 02\nREM LEAD-IN 01:00:00\nREM PREGAP 00:02:00\nFILE b.bin BINARY\nTRACK 02 MODE1/2048\n"
    text += "INDEX 01 00:00:00\nREM SESSION 03\nFILE c.bin BINARY\nTRACK 03 MODE2/2352\nINDEX 00 00:00:00\n"
    text += "INDEX 01 00:02:00\n"
    gap = bytes(150 * 2352)
    tracks = opened(write(tmp_path, text, a=audio(10), b=DISC, c=gap + stored(DISC, "2/2352"))).tracks
    assert [track.session for track in tracks] == [1, 2, 3]
    second = 10 + 11400
    assert [track.start for track in tracks] == [0, second, second + SECTORS + 6900]
    assert user_data(tracks[1]) == user_data(tracks[2]) == DISC


@pytest.mark.parametrize(("first", "start"), [(20, 20), (20 + 11400, 20 + 11400)])
def test_a_session_in_the_same_file_is_placed_by_its_own_header(
    tmp_path: Path, opened: Open, first: int, start: int
) -> None:
    text = "REM SESSION 01\nFILE a.bin BINARY\nTRACK 01 AUDIO\nINDEX 01 00:00:00\nREM SESSION 02\nTRACK 02 MODE1/2352\n"
    sheet = opened(write(tmp_path, f"{text}INDEX 01 {msf(20)}", a=audio(20) + stored(DISC, "1/2352", first)))
    assert (sheet.tracks[1].start, sheet.tracks[1].session) == (start, 2)


def test_the_high_density_area_begins_at_sector_45000(tmp_path: Path, opened: Open) -> None:
    text = "REM SINGLE-DENSITY AREA\n" + SIMPLE + "FILE b.bin BINARY\nTRACK 02 AUDIO\nINDEX 00 00:00:00\n"
    text += "INDEX 01 00:00:02\nREM HIGH-DENSITY AREA\nFILE c.bin BINARY\nTRACK 03 MODE1/2352\nINDEX 01 00:00:00\n"
    text += "FILE d.bin BINARY\nTRACK 04 MODE1/2048\nINDEX 01 00:00:00\n"
    low = stored(DISC, "1/2352")
    tracks = opened(write(tmp_path, text, a=low, b=audio(5), c=stored(DISC, "1/2352", 45000), d=bytes(6144))).tracks
    assert [(track.session, track.start) for track in tracks] == [
        (1, 0),
        (1, SECTORS + 2),
        (2, 45000),
        (2, 45000 + SECTORS),
    ]
    assert user_data(tracks[0]) == user_data(tracks[2]) == DISC


def test_a_high_density_area_that_comes_too_late_is_refused(tmp_path: Path, opened: Open) -> None:
    text = SIMPLE.replace("2352", "2048") + "POSTGAP 11:00:00\n" + "REM HIGH-DENSITY AREA\nFILE b.bin BINARY\n"
    text += "TRACK 02 AUDIO\nINDEX 01 00:00:00\n"
    with pytest.raises(ImageError, match=r"line 7: .* before the high-density area, which begins at 45000"):
        opened(write(tmp_path, text, a=DISC, b=audio(2)))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252", "cp932"])
def test_lines_may_end_in_any_way_and_be_in_any_encoding(tmp_path: Path, opened: Open, end: str, encoding: str) -> None:
    name = "ゲーム" if encoding == "cp932" else "Größe"
    text = SIMPLE.replace("a.bin", f"{name}.bin").replace("\n", end)
    text = "\ufeff" * (encoding == "utf-16-be") + text
    sheet = opened(write(tmp_path, text.encode(encoding), **{name: stored(DISC, "1/2352")}))
    assert user_data(sheet.tracks[0]) == DISC


def test_a_name_may_be_as_wrongly_encoded_in_the_directory_as_in_the_sheet(tmp_path: Path, opened: Open) -> None:
    name = "ゲーム.bin".encode("cp932")
    with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
        file.write(stored(DISC, "1/2352"))
    sheet = opened(write(tmp_path, SIMPLE.encode().replace(b"a.bin", name)))
    assert user_data(sheet.tracks[0]) == DISC


@pytest.mark.parametrize(
    "line",
    [
        'FILE "my game (1).bin" BINARY',
        "FILE my game (1).bin BINARY",
        'file "my game (1).bin BINARY',
        'FILE my game (1).bin" Binary',
        '   FILE\t"MY GAME (1).BIN"\tBINARY   ',
        'FILE "C:\\Games\\my game (1).bin" BINARY',
        'FILE "/home/somebody/my game (1).bin" BINARY',
        'FILE "my game (1).bin"BINARY',
    ],
)
def test_names_may_be_quoted_badly_and_have_directories(tmp_path: Path, opened: Open, line: str) -> None:
    text = SIMPLE.replace('FILE "a.bin" BINARY', line)
    assert user_data(opened(write(tmp_path, text, **{"my game (1)": stored(DISC, "1/2352")})).tracks[0]) == DISC


def test_what_is_said_about_the_disc_is_passed_over_and_a_title_kept(tmp_path: Path, opened: Open) -> None:
    text = 'CATALOG 1234567890123\nTITLE "Disc"\nPERFORMER "P"\nSONGWRITER S\nCDTEXTFILE "x.cdt"\nREM GENRE X\n\n'
    text += SIMPLE + 'FLAGS DCP\nISRC ABCDE1234567\nTITLE "The track"\nSPARKLE 1\n'
    sheet = opened(write(tmp_path, text, a=stored(DISC, "1/2352")))
    assert sheet.tracks[0].title == "The track"
    assert sheet.warnings == ("line 14: the unknown command SPARKLE is passed over",)


def test_what_cannot_be_shown_is_not(tmp_path: Path, opened: Open) -> None:
    text = SIMPLE.encode() + b'TITLE "\x1b[2J\xe9\x07"\n\x1b[1m 1\n'
    sheet = opened(write(tmp_path, text, a=stored(DISC, "1/2352")))
    assert sheet.tracks[0].title == "?[2J\ufffd?"
    assert sheet.warnings == ("line 5: the unknown command ?[1M is passed over",)
    with pytest.raises(ImageError) as caught:
        opened(write(tmp_path, text.replace(b"MODE1", b"\x1b[2J" * 50)))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_tracks_may_begin_with_any_number_and_lack_it(tmp_path: Path, opened: Open) -> None:
    text = f"FILE a.bin BINARY\nTRACK 07 AUDIO\nINDEX 01 00:00:00\nTRACK AUDIO\nINDEX 01 {msf(3)}\n"
    assert [track.number for track in opened(write(tmp_path, text, a=audio(9))).tracks] == [7, 8]


def test_a_last_sector_that_is_cut_off_is_said(tmp_path: Path, opened: Open) -> None:
    sheet = opened(write(tmp_path, SIMPLE, a=stored(DISC, "1/2352") + bytes(100)))
    assert sheet.tracks[0].count == SECTORS
    assert sheet.warnings == ("100 bytes behind the last whole sector of track 1 are not read",)


BAD = {
    "a time with 60 seconds": (SIMPLE.replace("00:00:00", "00:60:00"), "line 3: index 00:60:00 is no time .*59.*74"),
    "a time with 75 frames": (SIMPLE.replace("00:00:00", "00:00:75"), "line 3: index 00:00:75 is no time"),
    "no time": (SIMPLE.replace("00:00:00", "xx:yy:0"), "line 3: index xx:yy:0 is no time"),
    "a time of two parts": (SIMPLE.replace("00:00:00", "00:00"), "line 3: index 00:00 is no time"),
    "an index without a time": (SIMPLE.replace(" 00:00:00", ""), "line 3: INDEX needs a number of two digits and"),
    "an index of three digits": (SIMPLE.replace("INDEX 01", "INDEX 001"), "line 3: INDEX needs a number of two"),
    "track 0": (SIMPLE.replace("TRACK 01", "TRACK 00"), "line 2: track 0: track numbers are 1 to 99"),
    "track 100": (SIMPLE.replace("TRACK 01", "TRACK 100"), "line 2: track 100: track numbers are 1 to 99"),
    "the same track twice": (SIMPLE + SIMPLE, "line 5: track 1 follows track 1"),
    "an unknown mode": (SIMPLE.replace("MODE1/2352", "MODE3"), "line 2: track 1 has the unknown mode 'MODE3'"),
    "no mode": (SIMPLE.replace(" MODE1/2352", ""), "line 2: track 1 has the unknown mode ''"),
    "an unknown type": (SIMPLE.replace("BINARY", "TEXT"), "line 1: FILE with the unknown type 'TEXT'"),
    "no type": (SIMPLE.replace(" BINARY", ""), "line 1: FILE with the unknown type ''"),
    "no name": (SIMPLE.replace('"a.bin" ', '"" '), "line 1: FILE without a name"),
    "a track before the file": ("TRACK 01 AUDIO\n" + SIMPLE, "line 1: TRACK before the first FILE"),
    "an index before the track": ("FILE a.bin BINARY\nINDEX 01 00:00:00\n" + SIMPLE, "line 2: INDEX before the first"),
    "a pregap before the track": ("FILE a.bin BINARY\nPREGAP 00:00:00\n" + SIMPLE, "line 2: PREGAP before the first"),
    "a bad pregap": (SIMPLE + "PREGAP 1\n", "line 4: PREGAP 1 is no time"),
    "no catalogue number": ("CATALOG\n" + SIMPLE, "line 1: CATALOG without a number: a catalogue number has 13"),
    "a short catalogue number": ("CATALOG 123\n" + SIMPLE, "line 1: CATALOG 123: a catalogue number has 13 digits"),
    "a catalogue of letters": ("CATALOG ABCDEFGHIJKLM\n" + SIMPLE, "line 1: CATALOG ABCDEFGHIJKLM: a catalogue"),
    "no index 1": (SIMPLE.replace("INDEX 01", "INDEX 00"), "line 2: track 1 has no INDEX 01"),
    "no index 1, and a track behind": (
        SIMPLE.replace("INDEX 01", "INDEX 02") + "TRACK 02 AUDIO\nINDEX 01 00:00:01",
        "line 2: track 1 has no INDEX 01",
    ),
    "indexes in the wrong order": (SIMPLE + "INDEX 00 00:00:01\n", "line 4: index 0 follows index 1"),
    "times that go back": (
        SIMPLE.replace("00:00:00", "00:00:05") + "TRACK 02 AUDIO\nINDEX 01 00:00:04\n",
        r"line 5: index 00:00:04 lies before the one of line 3 \(00:00:05\)",
    ),
    "an index beyond the file": (
        SIMPLE.replace("00:00:00", "99:00:00"),
        r"line 3: index 99:00:00 lies beyond the end of 'a.bin' \(\d+ bytes\)",
    ),
    "a pregap beyond the file": (
        SIMPLE + "TRACK 02 AUDIO\nINDEX 00 50:00:00\nINDEX 01 50:02:00\n",
        "line 5: index 50:00:00 lies beyond",
    ),
    "no track": ("FILE a.bin BINARY\n", "the CUE sheet has no track"),
    "a track of nothing": (SIMPLE + "TRACK 02 AUDIO\nINDEX 01 00:00:00\n", "track 1 has no sectors"),
    "an endless line": (SIMPLE + "REM " + "x" * limits.DESCRIPTION_LINE, "line 4 has 1028 characters; 1024 are"),
    "too many lines": (SIMPLE + "\n" * limits.DESCRIPTION_LINES, "it has 10004 lines; 10000 are the most"),
    "too many files": (SIMPLE + "FILE x BINARY\n" * limits.PARTS, "line 1003: more than 1000 files"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_sheet_is_refused_by_its_line(tmp_path: Path, opened: Open, what: str) -> None:
    text, reason = BAD[what]
    path = write(tmp_path, text, a=stored(DISC, "1/2352"))
    with pytest.raises(ImageError, match=f"^{reason}"):
        opened(path)


def test_a_missing_file_is_named(tmp_path: Path, opened: Open) -> None:
    with pytest.raises(NoImage, match=r"'a\.bin' that it names is missing"):
        opened(write(tmp_path, SIMPLE))


def test_a_file_elsewhere_is_not_opened(tmp_path: Path, opened: Open) -> None:
    with pytest.raises(NoImage, match="missing"):
        opened(write(tmp_path, SIMPLE.replace("a.bin", "/dev/zero")))
    with pytest.raises(ImageError, match="it names itself"):
        opened(write(tmp_path, SIMPLE.replace("a.bin", "a.cue")))


@pytest.mark.parametrize(
    "text",
    [
        "Remarks about files\nand tracks\n",
        "Title: a story\nFile it away.\n",
        "",
        "REM nothing else\n",
        SIMPLE.replace("a.bin", "a\0bin"),
        SIMPLE.ljust(limits.DESCRIPTION),
    ],
)
def test_other_texts_are_no_cue_sheets(tmp_path: Path, text: str) -> None:
    assert recognised(write(tmp_path, text)) == ""
