"""Where tracks lie on the disc, if what holds them does not tell."""

from __future__ import annotations

import struct
from typing import Final

import pytest
from writers.discs import Disc
from writers.sheets import KINDS, audio, stored
from writers.sources import Memory

from isofs.image.places import cut_out, placed, without_audio
from isofs.image.sectors import SECTOR, Mode, Track

FIRST: Final = 11_690
"""Where the later session begins."""
ROOT: Final = 158
"""Byte of the root's extent in the primary descriptor."""


def session(first: int = FIRST) -> bytes:
    """A disc whose volume counts its blocks from sector `first`, but for those of files."""
    made = Disc()
    made.root.file(b"A.;1", b"text" * 5000)
    disc = bytearray(made.build())
    at = 16 * SECTOR + ROOT
    (root,) = struct.unpack_from("<I", disc, at)
    for place in (at - 2, root * SECTOR, root * SECTOR + 34):  # the descriptor, and the root's own two records
        (extent,) = struct.unpack_from("<I", disc, place + 2)
        assert extent == root
        struct.pack_into("<I", disc, place + 2, root + first)
        struct.pack_into(">I", disc, place + 6, root + first)
    return bytes(disc)


def track(number: int, start: int, kind: str, disc: bytes, first: int | None = None) -> Track:
    """A track; its headers count from `first`."""
    if kind == "audio":
        return Track(number, "audio", start, len(disc) // 2352, Memory(disc), 0, 2352)
    stride, mode = KINDS[kind]
    header = stride >= 2352
    offset = 24 if header else 8 if mode == 2 else 0
    told: Mode = "mode 2" if mode == 2 else "mode 1"
    data = stored(disc, kind, start if first is None else first)
    return Track(number, told, start, len(disc) // SECTOR, Memory(data), 0, stride, offset, header)


def starts(tracks: tuple[Track, ...]) -> list[tuple[int, int]]:
    return [(track.start, track.session) for track in tracks]


PLAIN: Final = session(0)
COUNT: Final = len(PLAIN) // SECTOR


@pytest.mark.parametrize("kind", ["1/2352", "2/2352", "1/2448", "2048", "2336"])
def test_a_later_session_behind_music_is_found_a_place(kind: str) -> None:
    tracks = (track(1, 0, "audio", audio(300)), track(2, 300, kind, session(), FIRST))
    assert starts(placed(tracks)) == [(0, 1), (FIRST, 2)]


def test_what_follows_a_moved_track_is_moved_with_it() -> None:
    tracks = (
        track(1, 0, "1/2352", PLAIN),
        track(2, COUNT, "1/2352", session(), FIRST),
        track(3, 2 * COUNT, "audio", audio(10)),
        track(4, 2 * COUNT + 10, "1/2352", PLAIN, FIRST + COUNT + 10),
        track(5, 3 * COUNT + 10, "1/2352", session(30_000), 30_000),
    )
    assert starts(placed(tracks)) == [
        (0, 1),
        (FIRST, 2),
        (FIRST + COUNT, 2),
        (FIRST + COUNT + 10, 2),
        (30_000, 3),
    ]


@pytest.mark.parametrize("kind", ["1/2352", "2048"])
def test_a_lone_track_of_a_later_session_stays_the_first_session(kind: str) -> None:
    assert starts(placed((track(1, 0, kind, session(), FIRST),))) == [(FIRST, 1)]


@pytest.mark.parametrize("there", [0, 150, 6749])
def test_headers_that_are_a_little_off_move_nothing(there: int) -> None:
    tracks = (track(1, 0, "1/2352", PLAIN, there),)
    assert placed(tracks) == tracks


def test_tracks_at_their_places_stay_there() -> None:
    tracks = (track(1, 0, "1/2352", PLAIN), track(2, FIRST, "1/2352", session())._replace(session=2))
    assert placed(tracks) == tracks


def test_tracks_that_nobody_holds_stay_where_they_are() -> None:
    tracks = (track(1, 0, "audio", b"")._replace(source=None), track(2, 0, "1/2352", PLAIN[:SECTOR]))
    assert placed(tracks) == tracks
    assert placed(()) == ()


# --- plain sectors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [11_400, FIRST, 45_000])
def test_plain_sectors_of_a_later_session_are_a_track_there(first: int) -> None:
    found = cut_out(Memory(session(first)))
    assert found is not None
    assert (found.start, found.count, found.stride) == (first, COUNT, SECTOR)


def test_a_disc_that_begins_at_its_begin_is_no_track() -> None:
    assert cut_out(Memory(PLAIN)) is None


@pytest.mark.parametrize("disc", [b"", bytes(100_000), PLAIN[: 17 * SECTOR], session()[: 18 * SECTOR]])
def test_a_disc_without_its_root_is_no_track(disc: bytes) -> None:
    assert cut_out(Memory(disc)) is None


def test_a_root_that_is_nowhere_moves_nothing() -> None:
    disc = bytearray(PLAIN)
    struct.pack_into("<I", disc, 16 * SECTOR + ROOT, 77_777)
    assert cut_out(Memory(bytes(disc))) is None
    struct.pack_into("<I", disc, 16 * SECTOR + ROOT, 0xFFFF_FFFF)
    assert cut_out(Memory(bytes(disc))) is None


# --- music in the same file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("music", [1, 2, 3, 300])
@pytest.mark.parametrize("kind", ["1/2352", "2/2352"])
def test_a_track_ends_where_music_begins(kind: str, music: int) -> None:
    data = track(1, 0, kind, PLAIN)
    assert isinstance(data.source, Memory)
    both = data._replace(source=Memory(stored(PLAIN, kind) + audio(music)), count=COUNT + music)
    assert without_audio(both).count == COUNT
    more = stored(PLAIN, kind) + stored(bytes(7 * SECTOR), kind, COUNT) + audio(music)
    assert without_audio(data._replace(source=Memory(more), count=COUNT + 7 + music)).count == COUNT + 7


def test_sectors_of_the_volume_are_never_cut_off() -> None:
    data = stored(PLAIN, "1/2352")
    for lost in (20, COUNT - 1):
        damaged = data[: lost * 2352] + bytes(2352) + data[(lost + 1) * 2352 :]
        assert without_audio(track(1, 0, "1/2352", PLAIN)._replace(source=Memory(damaged))).count == COUNT
    assert without_audio(track(1, 0, "1/2352", PLAIN[:-SECTOR])).count == COUNT - 1


@pytest.mark.parametrize("kind", ["2048", "2336"])
def test_sectors_without_headers_are_left_as_they_are(kind: str) -> None:
    whole = track(1, 0, kind, PLAIN + bytes(10 * SECTOR))
    assert without_audio(whole) == whole
