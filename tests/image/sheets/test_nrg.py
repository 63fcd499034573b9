"""Nero's images."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from writers.sheets import KINDS, Entry, audio, iso, nrg, recognised, stored, user_data

from isofs.errors import ImageError
from isofs.image.sheets import Sheet

Open = Callable[[Path], Sheet]
DISC = iso()
SECTORS = len(DISC) // 2048
ONE = Entry(1, "1/2352", stored(DISC, "1/2352"))


def write(folder: Path, image: bytes) -> Path:
    path = folder / "a.nrg"
    path.write_bytes(image)
    return path


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("tao", [False, True])
@pytest.mark.parametrize("kind", ["2048", "2336", "1/2352", "2/2352", "1/2448", "2/2448"])
@pytest.mark.parametrize("pregap", [0, 150])
def test_each_kind(tmp_path: Path, opened: Open, version: int, tao: bool, kind: str, pregap: int) -> None:
    entry = Entry(1, kind, stored(DISC, kind), pregap=pregap)
    sheet = opened(write(tmp_path, nrg([entry], version=version, tao=tao)))
    (track,) = sheet.tracks
    assert (sheet.format, sheet.warnings) == (f"Nero image (NRG) version {version}", ())
    assert (track.number, track.stride, track.start) == (1, KINDS[kind][0], 0)
    assert track.mode == f"mode {KINDS[kind][1]}"
    assert track.position == (0 if tao else pregap * track.stride)
    assert user_data(track) == DISC


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("tao", [False, True])
def test_tracks_of_several_sessions(tmp_path: Path, opened: Open, version: int, tao: bool) -> None:
    second = SECTORS + 155 + 11400
    entries = [
        Entry(1, "2048", DISC, 0, pregap=150),
        Entry(2, "audio", audio(5), SECTORS + 150, pregap=150),
        Entry(3, "2/2352", stored(DISC, "2/2352", second), second, pregap=150, session=2),
        Entry(4, "audio", audio(6), second + SECTORS, session=2),
        Entry(5, "1/2352", stored(DISC, "1/2352"), second + SECTORS + 6 + 6900, session=3),
    ]
    tracks = opened(write(tmp_path, nrg(entries, version=version, tao=tao))).tracks
    assert [(track.number, track.session, track.start) for track in tracks] == [
        (entry.number, entry.session, entry.start) for entry in entries
    ]
    assert user_data(tracks[0]) == user_data(tracks[2]) == user_data(tracks[4]) == DISC
    assert tracks[3].source is not None
    assert tracks[3].source.pread(6 * 2352, tracks[3].position) == entries[3].data


def test_what_is_stored_wins_over_the_mode_of_the_sheet(tmp_path: Path, opened: Open) -> None:
    entry = Entry(1, "2048", stored(DISC, "1/2352"))
    sheet = opened(write(tmp_path, nrg([entry])))
    assert user_data(sheet.tracks[0]) == DISC
    assert len(sheet.warnings) == 1


@pytest.mark.parametrize("end", [b"", b"XXXX\0\0\0\0", b"XXXX\0\0\0\3abcEND!"])
def test_unknown_chunks_and_a_missing_end_do_not_matter(tmp_path: Path, opened: Open, end: bytes) -> None:
    assert user_data(opened(write(tmp_path, nrg([ONE], end=end))).tracks[0]) == DISC


def swap(image: bytes, old: bytes, new: bytes) -> bytes:
    """An image with other bytes in its chunks."""
    at = image.rindex(old)
    return image[:at] + new + image[at + len(old) :]


N = len(ONE.data)
PLACES = struct.pack(">QQQ", 0, 0, N)
IMAGE = nrg([ONE])


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (swap(IMAGE, PLACES, struct.pack(">QQQ", 0, N, N)), f"track 1 lies from byte {N} to {N}"),
        (swap(IMAGE, PLACES, struct.pack(">QQQ", 9, 0, N)), "track 1 lies from byte 0"),
        (swap(IMAGE, PLACES, struct.pack(">QQQ", 0, 1 << 62, 1 << 63)), "track 1 begins at byte 46116860184273"),
        (swap(IMAGE, b"\x09\x30\x05", b"\x09\x30\x63"), "track 1 of the Nero image has the unknown mode 99"),
        (swap(IMAGE, b"\x09\x30\x05", b"\xff\xff\x05"), "track 1 has sectors of 65535 bytes"),
        (swap(IMAGE, b"\1\1" + bytes(12), b"\0\1" + bytes(12)), "track 0: track numbers are 1 to 99"),
        (swap(IMAGE, b"MTYP" + struct.pack(">I", 4), b"MTYP\x7f\0\0\0"), "a chunk of 2130706432 bytes"),
        (
            swap(IMAGE, b"DAOX" + struct.pack(">I", 64), b"DAOX" + struct.pack(">I", 30)),
            r"a chunk of \d+ bytes at \d+ goes beyond its end",
        ),
        (swap(IMAGE, b"DAOX", b"DAOY"), "has no track"),
        (nrg([ONE], end=b"ABCD\0\0\0\0" * 2000), "more than 1000 chunks"),
        (nrg([ONE] * 60, tao=True).replace(b"END!", b"ENDX"), "track 2 begins at sector 0, within track 1"),
        (nrg([ONE._replace(data=b"")] * 100, tao=True), "more than 99 tracks"),
    ],
)
def test_damage_is_refused(tmp_path: Path, opened: Open, image: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        opened(write(tmp_path, image))


def test_a_track_that_is_cut_off_is_said(tmp_path: Path, opened: Open) -> None:
    for missing in (50, 1 << 40):
        image = swap(IMAGE, PLACES, struct.pack(">QQQ", 0, 0, N + 2352 * missing))
        (warning,) = opened(write(tmp_path, image)).warnings
        assert warning == f"truncated: {SECTORS} of {SECTORS + missing} sectors of track 1 are present"


def test_its_trailer_must_point_to_a_chunk(tmp_path: Path) -> None:
    assert recognised(write(tmp_path, nrg([ONE]))) == "nrg"
    assert recognised(write(tmp_path, nrg([ONE], version=1))) == "nrg"
    assert recognised(write(tmp_path, nrg([ONE]) + b"x")) == ""
    assert recognised(write(tmp_path, ONE.data + b"NER5" + struct.pack(">Q", 16))) == ""
    assert recognised(write(tmp_path, ONE.data + b"NER5" + struct.pack(">Q", 1 << 63))) == ""
    assert recognised(write(tmp_path, b"NERO")) == ""
