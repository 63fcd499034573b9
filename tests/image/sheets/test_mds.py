"""Alcohol's sheets."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from writers.sheets import KINDS, Entry, audio, iso, mds, recognised, stored, user_data

from isofs import limits
from isofs.errors import ImageError, NoImage
from isofs.image.sheets import Sheet

Open = Callable[[Path], Sheet]
DISC = iso()
SECTORS = len(DISC) // 2048
ONE = Entry(1, "1/2352", stored(DISC, "1/2352"))
BLOCK = 88 + 24 + 3 * 80
"""Where the block of a sheet's only track is."""


def write(folder: Path, sheet: bytes, **files: bytes) -> Path:
    path = folder / "a.mds"
    path.write_bytes(sheet)
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_bytes(data)
    return path


def changed(sheet: bytes, at: int, form: str, *values: int) -> bytes:
    """A sheet with other numbers at a place."""
    new = struct.pack(form, *values)
    return sheet[:at] + new + sheet[at + len(new) :]


@pytest.mark.parametrize("kind", ["2048", "2336", "1/2352", "2/2352", "1/2448", "2/2448", "2056", "2332"])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("name", ["*.mdf", "Größe.mdf"])
def test_each_stride(tmp_path: Path, opened: Open, kind: str, wide: bool, name: str) -> None:
    entry = Entry(1, kind, stored(DISC, kind), pregap=150)
    path = write(tmp_path, mds([entry], [name], wide=wide), **{name.replace("*", "a"): entry.data})
    sheet = opened(path)
    (track,) = sheet.tracks
    assert (sheet.format, sheet.warnings) == ("Alcohol sheet (MDS)", ())
    assert (track.stride, track.mode, track.start) == (KINDS[kind][0], f"mode {KINDS[kind][1]}", 0)
    assert user_data(track) == DISC


def test_tracks_of_several_sessions(tmp_path: Path, opened: Open) -> None:
    second = 10 + SECTORS + 11400
    entries = [
        Entry(1, "audio", audio(10)),
        Entry(2, "2/2352", stored(DISC, "2/2352"), 10),
        Entry(3, "2048", DISC, second, session=2),
        Entry(5, "audio", audio(4), second + SECTORS + 150, pregap=150, session=2),
    ]
    tracks = opened(write(tmp_path, mds(entries), a_mdf=b"".join(entry.data for entry in entries))).tracks
    assert [(track.number, track.session, track.mode, track.start) for track in tracks] == [
        (1, 1, "audio", 0),
        (2, 1, "mode 2", 10),
        (3, 2, "mode 1", second),
        (5, 2, "audio", second + SECTORS + 150),
    ]
    assert user_data(tracks[1]) == user_data(tracks[2]) == DISC
    assert tracks[3].source is not None
    assert tracks[3].source.pread(4 * 2352, tracks[3].position) == entries[3].data


@pytest.mark.parametrize("cuts", [(20, 25), (1,)])
def test_a_dvd_may_be_in_several_files(tmp_path: Path, opened: Open, cuts: tuple[int, ...]) -> None:
    ends = [0, *(2048 * cut for cut in cuts), len(DISC)]
    parts = {f"a_md{i or 'f'}": DISC[ends[i] : ends[i + 1]] for i in range(len(ends) - 1)}
    names = [name.replace("a_", "*.") for name in parts]
    (track,) = opened(write(tmp_path, mds([Entry(1, "2048", DISC)], names, dvd=True), **parts)).tracks
    assert track.count == SECTORS
    assert user_data(track) == DISC


def test_a_part_that_ends_inside_a_sector_is_refused(tmp_path: Path, opened: Open) -> None:
    sheet = mds([Entry(1, "2048", DISC)], ["*.mdf", "*.md1"], dvd=True)
    path = write(tmp_path, sheet, a_mdf=DISC[:40000], a_md1=DISC[40000:])
    with pytest.raises(ImageError, match=r"'a\.mdf' ends inside a sector, though 'a\.md1' follows it"):
        opened(path)


def test_what_is_stored_wins_over_the_stride_of_the_sheet(tmp_path: Path, opened: Open) -> None:
    sheet = opened(write(tmp_path, changed(mds([ONE]), BLOCK + 16, "<H", 2448), a_mdf=ONE.data))
    assert user_data(sheet.tracks[0]) == DISC
    assert sheet.warnings[0].startswith("the sheet gives track 1 sectors of 2448 bytes, but sectors of 2352 bytes")


def test_a_data_file_that_is_cut_off_is_said(tmp_path: Path, opened: Open) -> None:
    sheet = opened(write(tmp_path, mds([ONE]), a_mdf=ONE.data[:-1]))
    assert sheet.warnings == (f"truncated: {SECTORS - 1} of {SECTORS} sectors of track 1 are present",)


def test_a_sheet_without_names_has_a_data_file_of_its_own_name(tmp_path: Path, opened: Open) -> None:
    sheet = changed(mds([ONE]), BLOCK + 48, "<II", 0, 0)
    assert user_data(opened(write(tmp_path, sheet, a_MDF=ONE.data)).tracks[0]) == DISC


@pytest.mark.parametrize(
    ("at", "form", "value", "reason"),
    [
        (20, "<H", 0, "0 sessions"),
        (20, "<H", 100, "100 sessions"),
        (80, "<I", 0xFFFFFF00, "it points to 24 bytes at 4294967040"),
        (88 + 10, "<B", 255, "damaged Alcohol sheet"),
        (88 + 20, "<I", 0x7FFFFFFF, "it points to 80 bytes|it points to 56 bytes"),
        (88 + 10, "<B", 3, "has no track"),
        (BLOCK + 4, "<B", 0xA0, "has no track"),
        (BLOCK + 12, "<I", 0xFFFFFFF0, "it points to 4 bytes at 4294967284"),
        (BLOCK + 16, "<H", 0, "track 1 has sectors of 0 bytes"),
        (BLOCK + 16, "<H", 2049, "track 1 has sectors of 2049 bytes"),
        (BLOCK + 36, "<I", 0xFFFFFFFF, "track 1 begins at sector 4294967295"),
        (BLOCK + 40, "<Q", 1 << 63, "track 1 begins at byte 9223372036854775808"),
        (BLOCK + 48, "<I", 0xFFFFFFFF, "it names 4294967295 files"),
        (BLOCK + 48, "<I", 900, "damaged Alcohol sheet"),
        (BLOCK + 52, "<I", 0xFFFFFFFF, "it points to 8 bytes at 4294967295"),
        (BLOCK + 80, "<II", (150, 0), "track 1 has no sectors"),
        (BLOCK + 88, "<I", 0x7FFFFFFF, "the text at 2147483647 does not end"),
    ],
)
def test_pointers_that_lead_nowhere_are_refused(
    tmp_path: Path, opened: Open, at: int, form: str, value: int | tuple[int, ...], reason: str
) -> None:
    values = value if isinstance(value, tuple) else (value,)
    with pytest.raises(ImageError, match=reason):
        opened(write(tmp_path, changed(mds([ONE]), at, form, *values), a_mdf=ONE.data))


def test_names_lead_to_no_other_directory(tmp_path: Path, opened: Open) -> None:
    with pytest.raises(NoImage, match="missing"):
        opened(write(tmp_path, mds([ONE], ["../../../../etc/passwd"])))
    with pytest.raises(NoImage, match=r"'a\.mdf' that it names is missing"):
        opened(write(tmp_path, mds([ONE])))


def test_a_sheet_without_end_is_refused(tmp_path: Path, opened: Open) -> None:
    path = write(tmp_path, mds([ONE]), a_mdf=ONE.data)
    with path.open("r+b") as file:
        file.truncate(limits.DESCRIPTOR + 1)
    with pytest.raises(ImageError, match="the Alcohol sheet has 4194305 bytes; 4194304 are the most"):
        opened(path)


def test_only_version_1_is_one(tmp_path: Path) -> None:
    assert recognised(write(tmp_path, mds([ONE]))) == "mds"
    assert recognised(write(tmp_path, changed(mds([ONE]), 16, "<B", 2))) == ""
    assert recognised(write(tmp_path, b"MEDIA DESCRIPTOR")) == ""
