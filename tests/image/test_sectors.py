"""Tracks of sectors, and the disc that they make."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from writers.containers import cso, descriptor, jiso, overwritten, zso
from writers.discs import Disc, content, numbered_blocks, tree
from writers.sheets import FORM_2_SUBHEADER, KINDS, SYNC, audio, header, raw, stored
from writers.slow import stalling
from writers.sources import Memory, assert_same
from writers.threads import impatient, in_thread
from writers.tools import require

from isofs import limits
from isofs.errors import ImageError, NotADisc, NotReady, UsageError
from isofs.image import Image, open_image
from isofs.image.cache import BlockCache
from isofs.image.sectors import SECTOR, Mode, Sectors, Track, choose, counts_from_itself, find_layout
from isofs.image.source import Extent, Extents, FileSource, Source, Stream, open_stream
from isofs.image.wishes import Wishes
from isofs.volume import open_volume
from isofs.volume.iso9660 import open_iso9660
from isofs.volume.iso9660.volume import Iso9660
from isofs.volume.tree import View

RAW: Final = 2352
NAMES: Final = ("NUMBERED.BIN;1", "DEEP/SMALL.TXT;1")
VIEW: Final = View(map="off")


def filled(disc: Disc) -> Disc:
    """With two files, one of them in a directory; both end within a sector."""
    disc.root.file(b"NUMBERED.BIN;1", numbered_blocks(60) + b"an odd end")
    disc.root.directory(b"DEEP").file(b"SMALL.TXT;1", b"small")
    return disc


DISC: Final = filled(Disc()).build()
SECTORS: Final = len(DISC) // SECTOR


def saved(tmp_path: Path, data: bytes, name: str = "disc.bin") -> str:
    path = tmp_path / name
    path.write_bytes(data)
    return str(path)


def contents(volume: Iso9660) -> dict[str, bytes]:
    """Everything on the disc."""
    assert sorted(tree(volume)) == [b"DEEP", b"DEEP/SMALL.TXT;1", b"NUMBERED.BIN;1"]
    return {name: content(volume, name) for name in NAMES}


EXPECTED: Final = {NAMES[0]: numbered_blocks(60) + b"an odd end", NAMES[1]: b"small"}


def tree_of(image: Image) -> dict[str, bytes]:
    volume = open_volume(image, VIEW)
    assert isinstance(volume, Iso9660)
    return contents(volume)


# --- found by a look at the sectors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("lead_in", [0, 150])
@pytest.mark.parametrize("kind", KINDS)
def test_every_layout_is_read(tmp_path: Path, kind: str, lead_in: int) -> None:
    stride, mode = KINDS[kind]
    data = stored(bytes(lead_in * SECTOR), kind) + stored(DISC, kind, lead_in)
    with open_image(saved(tmp_path, data)) as image:
        assert_same(image.disc, DISC, ranges=10)
        assert_same(image.data, DISC, ranges=3)
        assert tree_of(image) == EXPECTED
        assert image.warnings == []
        if kind == "2048" and not lead_in:
            assert image.tracks == ()
        else:
            assert [(track.stride, track.mode, track.count) for track in image.tracks] == [
                (stride, f"mode {mode}", SECTORS)
            ]


@pytest.mark.parametrize("kind", [kind for kind, (stride, _) in KINDS.items() if stride >= RAW and "/" in kind])
@pytest.mark.parametrize("front", [b"RIFF" + bytes(40), bytes(1), bytes(RAW * 3 + 5)], ids=["44", "1", "7061"])
def test_a_foreign_header_in_front_is_passed_over(tmp_path: Path, kind: str, front: bytes) -> None:
    with open_image(saved(tmp_path, front + stored(DISC, kind))) as image:
        assert_same(image.disc, DISC, ranges=5)
        assert tree_of(image) == EXPECTED


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_behind_the_last_sector_do_not_count(tmp_path: Path, kind: str) -> None:
    with open_image(saved(tmp_path, stored(DISC, kind) + b"trailing bytes")) as image:
        assert image.disc.pread(len(DISC), 0) == DISC
        assert tree_of(image) == EXPECTED
        assert image.warnings == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_last_sector_is_missing_and_said(tmp_path: Path, kind: str) -> None:
    whole = stored(DISC, kind)
    stride = KINDS[kind][0]
    with open_image(saved(tmp_path, whole[: -stride + 20])) as image:
        volume = open_volume(image, VIEW)
        assert isinstance(volume, Iso9660)
        if kind != "2048":  # that lacks less than a sector, as many writers leave it
            assert "shorter than its volume" in " ".join(image.warnings)
        assert content(volume, NAMES[0]) == EXPECTED[NAMES[0]]
        assert image.disc.pread(SECTOR, (SECTORS - 2) * SECTOR) == DISC[-2 * SECTOR : -SECTOR]
        if kind == "2048":
            assert image.disc.pread(SECTOR, (SECTORS - 1) * SECTOR) == DISC[-SECTOR:][:20]
        else:
            assert image.disc.pread(SECTOR, (SECTORS - 1) * SECTOR) == b""


@pytest.mark.parametrize("kind", KINDS)
def test_a_high_sierra_disc_is_found(tmp_path: Path, kind: str) -> None:
    disc = overwritten(bytes(len(DISC)), 16 * SECTOR, (bytes(8) + b"\1CDROM\1").ljust(SECTOR, b"\0") * 2)
    with open_image(saved(tmp_path, stored(disc, kind))) as image:
        assert_same(image.disc, disc, ranges=5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tree_of_a_high_sierra_disc_is_read(tmp_path: Path, kind: str) -> None:
    disc = Disc()
    disc.root.directory(b"FOLDER").file(b"DATA.BIN;1", numbered_blocks(7))
    with open_image(saved(tmp_path, stored(disc.build_high_sierra(), kind))) as image:
        volume = open_volume(image)
        assert isinstance(volume, Iso9660)
        assert volume.describe()["file_system"] == "High Sierra"
        assert content(volume, "folder/data.bin") == numbered_blocks(7)
        assert image.sessions() == [0]
        assert image.warnings == []


@pytest.mark.parametrize("kind", ["1/2352", "2/2352", "2336"])
def test_one_descriptor_is_enough(tmp_path: Path, kind: str) -> None:
    disc = overwritten(DISC, 17 * SECTOR, bytes(SECTOR))
    with open_image(saved(tmp_path, stored(disc, kind))) as image:
        assert_same(image.disc, disc, ranges=5)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "2048"])
def test_an_iso_that_holds_an_image_of_other_sectors_stays_an_iso(tmp_path: Path, kind: str) -> None:
    """Even where the inner one's descriptors are where those of the outer one would be."""
    stride = KINDS[kind][0]
    at = -(-16 * stride // SECTOR) * SECTOR
    disc = overwritten(DISC, at, stored(DISC, kind)[at:][: 6 * stride])
    with open_image(saved(tmp_path, disc)) as image:
        assert image.tracks == ()
        assert image.disc.pread(len(disc), 0) == disc


def test_raw_sectors_without_a_volume_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotADisc, match="raw CD image without an ISO 9660 file system"):
        open_image(saved(tmp_path, stored(bytes(60 * SECTOR), "1/2352")))


@pytest.mark.timeout(20)
def test_sync_patterns_everywhere_are_looked_at_in_time(tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        open_image(saved(tmp_path, b"\1" + SYNC * 100_000))


def test_a_look_from_a_place_on(tmp_path: Path) -> None:
    found = find_layout(Memory(bytes(777) + stored(DISC, "2/2352")), 777)
    assert found is not None
    assert (found.stride, found.offset, found.header, found.position) == (2352, 24, True, 777)
    assert find_layout(Memory(bytes(777) + stored(DISC, "2/2352"))) is None


# --- modes ----------------------------------------------------------------------------------------------------------


def form_2(number: int, data: bytes) -> bytes:
    """A sector of 2324 bytes of data."""
    return (header(number, 2) + FORM_2_SUBHEADER + data).ljust(RAW, b"\0")


def of_mode(mode: int, number: int, data: bytes) -> bytes:
    """A sector of some mode; 3 is form 2, 4 is a mode that there is not."""
    if mode == 3:
        return form_2(number, data)
    if mode in (1, 2):
        return raw(data, number, mode)
    return header(number, {0: 0, 4: 0x62}[mode]).ljust(RAW, b"\0")


def mixed(disc: bytes, modes: dict[int, int], usual: int = 1, stride: int = RAW) -> bytes:
    """A disc in sectors of different modes."""
    return b"".join(
        of_mode(modes.get(number, usual), number, disc[number * SECTOR :][:SECTOR]).ljust(stride, b"\x5a")
        for number in range(len(disc) // SECTOR)
    )


@pytest.mark.parametrize("usual", [1, 2])
@pytest.mark.parametrize("stride", [2352, 2368, 2448])
def test_each_sector_is_read_by_its_own_mode(tmp_path: Path, usual: int, stride: int) -> None:
    """Those of form 2 give their first 2048 bytes."""
    chance = random.Random(usual * stride)
    modes = {number: chance.choice((1, 2, 3)) for number in range(25, SECTORS)}
    with open_image(saved(tmp_path, mixed(DISC, modes, usual, stride))) as image:
        assert_same(image.disc, DISC, ranges=10)
        assert tree_of(image) == EXPECTED


def test_of_form_2_the_first_2048_bytes_are_given(tmp_path: Path) -> None:
    long = random.Random(0).randbytes(2324)
    data = stored(DISC, "2/2352")
    with open_image(saved(tmp_path, overwritten(data, 30 * RAW, form_2(30, long)))) as image:
        assert image.disc.pread(SECTOR, 30 * SECTOR) == long[:SECTOR]


def test_sectors_of_mode_0_are_zeros(tmp_path: Path) -> None:
    with open_image(saved(tmp_path, mixed(DISC, {30: 0, 31: 0}))) as image:
        assert image.disc.pread(2 * SECTOR, 30 * SECTOR) == bytes(2 * SECTOR)
        expected = DISC[29 * SECTOR : 30 * SECTOR] + bytes(2 * SECTOR) + DISC[32 * SECTOR : 33 * SECTOR]
        assert image.disc.pread(4 * SECTOR, 29 * SECTOR) == expected


@pytest.mark.parametrize("usual", [1, 2])
def test_a_sector_of_an_unknown_mode_is_an_error_and_no_other_one_is(tmp_path: Path, usual: int) -> None:
    with open_image(saved(tmp_path, mixed(DISC, {40: 4}, usual))) as image:
        for number in range(SECTORS):
            if number == 40:
                with pytest.raises(ImageError, match=r"sector 40 .*mode 98"):
                    image.disc.pread(1, number * SECTOR)
            else:
                assert image.disc.pread(SECTOR, number * SECTOR) == DISC[number * SECTOR :][:SECTOR]
        with pytest.raises(ImageError, match=r"sector 40 .*mode 98"):
            image.disc.pread(3 * SECTOR, 39 * SECTOR)


# --- tracks and gaps, against a model -------------------------------------------------------------------------------

WHOLE: Final = ("1/2352", "2/2352", "1/2448", "2/2448", "1/2368", "2/2368")


class Model:
    """Tracks, and what each sector of their disc must give; None: an error."""

    def __init__(self, parts: list[tuple[int, str, int, int]], seed: int) -> None:
        chance = random.Random(seed)
        self.tracks: list[Track] = []
        self.sectors: dict[int, bytes | None] = {}
        start = 0
        for number, (gap, kind, count, front) in enumerate(parts, 1):
            start += gap
            data = chance.randbytes(count * SECTOR)
            whole = kind in WHOLE
            stride, mode = (RAW, 0) if kind == "audio" else KINDS[kind]
            kept = {start + i: data[i * SECTOR :][:SECTOR] for i in range(count)}
            if kind == "audio":
                raw_data = audio(count)
                self.sectors |= dict.fromkeys(kept)
            elif whole:
                modes = {n: chance.choice((0, 1, 2, 3, 4)) for n in kept if chance.random() < 0.3}
                raw_data = b"".join(
                    of_mode(modes.get(n, mode), n, piece).ljust(stride, b"\x33") for n, piece in kept.items()
                )
                lost = {0: bytes(SECTOR), 4: None}
                self.sectors |= {n: lost.get(modes.get(n, mode), piece) for n, piece in kept.items()}
            else:
                raw_data = stored(data, kind, start)
                self.sectors |= kept
            source = Memory(bytes(front) + raw_data + bytes(chance.randrange(stride)))
            said: Mode = "audio" if kind == "audio" else "mode 1" if mode == 1 else "mode 2"
            offset = 24 if whole else 8 if mode == 2 else 0
            self.tracks.append(Track(number, said, start, count, source, front, stride, offset=offset, header=whole))
            start += count
        data_ends = [track.end for track in self.tracks if track.mode != "audio"]
        self.size = max(data_ends, default=0) * SECTOR
        chance.shuffle(self.tracks)

    def pread(self, n: int, offset: int) -> bytes | None:
        """What must be read; None: an error."""
        end = min(offset + n, self.size)
        if offset >= end:
            return b""
        touched = [self.sectors.get(number) for number in range(offset // SECTOR, -(-end // SECTOR))]
        if None in touched:
            return None
        start = offset % SECTOR
        return b"".join(filter(None, touched))[start : start + end - offset]


models = st.builds(
    Model,
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.sampled_from([*KINDS, "audio"]),
            st.integers(0, 6),
            st.sampled_from([0, 44, 2352, 5000]),
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 1000),
)


@given(models, st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 60_000)), max_size=20))
def test_any_range_of_any_tracks_is_right_or_an_error(model: Model, ranges: list[tuple[int, int]]) -> None:
    disc = Sectors(model.tracks)
    assert disc.size == model.size
    whole = [(SECTOR, at) for at in range(0, model.size, SECTOR)]
    for n, offset in [*whole, *ranges, (model.size, 0), (5, model.size)]:
        expected = model.pread(n, offset)
        piece = Extents(disc, [Extent(offset, n)])
        inside = offset + n <= model.size
        if expected is None:
            with pytest.raises(ImageError):
                disc.pread(n, offset)
            with pytest.raises(ImageError):
                open_stream(piece).pread(n, 0)
        else:
            assert disc.pread(n, offset) == expected
            if inside:
                assert open_stream(piece).pread(n, 0) == expected


def test_nothing_is_read_in_front_of_the_disc_or_behind_it() -> None:
    disc = Sectors([Track(1, "mode 1", 0, SECTORS, Memory(DISC), 0, SECTOR)])
    assert [disc.pread(5, -1), disc.pread(0, 5), disc.pread(5, disc.size)] == [b"", b"", b""]


@pytest.mark.parametrize(
    ("sector", "words"),
    [
        (0, "sector 0 lies in no track"),
        (5, "sector 5 belongs to the audio track 1"),
        (8, "sector 8 lies in no track"),
        (14, "sector 14 lies in no track"),
    ],
)
def test_errors_name_the_sector_and_whose_it_is(sector: int, words: str) -> None:
    tracks = [
        Track(1, "audio", 4, 4, Memory(audio(4)), 0, RAW),
        Track(2, "mode 1", 10, 4, Memory(DISC), 0, SECTOR),
        Track(3, "mode 1", 15, 4, Memory(DISC), 0, SECTOR),
    ]
    with pytest.raises(ImageError, match=words):
        Sectors(tracks).pread(1, sector * SECTOR)


@pytest.mark.parametrize("kind", ["2048", "1/2352", "2336"])
def test_a_source_that_is_shorter_than_its_track_is_an_error(kind: str) -> None:
    data = stored(DISC, kind)[: 20 * KINDS[kind][0] + 100]
    track = Track(1, "mode 1", 0, SECTORS, Memory(data), 0, KINDS[kind][0], header=kind == "1/2352")
    with pytest.raises(ImageError, match="of track 1 lie beyond the end of its file"):
        Sectors([track]).pread(SECTOR, 20 * SECTOR)


# --- files read as streams ------------------------------------------------------------------------------------------

LARGE: Final = overwritten(numbered_blocks(1500), 16 * SECTOR, descriptor(1) + descriptor(255))
HOLDERS: Final[dict[str, Callable[[bytes, int], bytes]]] = {
    "plain": lambda data, _stride: data,
    "ZSO": lambda data, stride: zso(data, block_size=stride),
    "ZSO of other blocks": lambda data, _stride: zso(data, block_size=4096),
    "CSO": lambda data, stride: cso(data, block_size=stride),
    "JISO": lambda data, stride: jiso(data, block_size=stride),
}


@pytest.fixture(scope="module", params=["1/2352", "2/2448", "2336", "2064"])
def large(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    """A disc of some size in raw sectors, and how it is stored."""
    return request.param, stored(LARGE, request.param)


@pytest.fixture(params=HOLDERS)
def opened(request: pytest.FixtureRequest, large: tuple[str, bytes], tmp_path: Path) -> Iterator[Image]:
    """That disc, in a file or compressed."""
    kind, data = large
    path = saved(tmp_path, HOLDERS[request.param](data, KINDS[kind][0]))
    with open_image(path, cache=4 << 20, threads=1) as image:
        yield image


def patiently(stream: Stream, n: int, offset: int) -> bytes:
    """What the mount answers, in the end: it does what brings the bytes, and asks again."""
    for _ in range(3):
        try:
            return bytes(stream.view(n, offset))
        except NotReady as missing:
            if missing.bring is None:
                break
            in_thread(missing.bring)
    return in_thread(partial(stream.source.pread, n, offset))


@pytest.mark.parametrize("waits", [True, False], ids=["may wait", "must not wait"])
@pytest.mark.parametrize("position", [20 * SECTOR, 20 * SECTOR + 300])
def test_a_stream_gives_what_pread_gives(opened: Image, position: int, *, waits: bool) -> None:
    end = len(LARGE) - 5 * SECTOR - 77
    expected = LARGE[position:end]

    def read() -> None:
        stream = open_stream(Extents(opened.disc, [Extent(position, len(expected))]))
        assert stream.size == len(expected)
        for step in (128 << 10, 4096 + 1):
            for offset in range(0, len(expected), step):
                assert patiently(stream, step, offset) == expected[offset : offset + step]
        chance = random.Random(position)
        for _ in range(60):
            n, offset = chance.choice((1, 2048, 4096, 100_000)), chance.randrange(len(expected) + 10)
            assert patiently(stream, n, offset) == expected[offset : offset + n]
        assert (stream.pread(5, len(expected)), stream.pread(5, -1)) == (b"", b"")
        stream.close()

    assert opened.disc.pread(len(expected), position) == expected
    if waits:
        read()
    else:
        impatient(read)


def test_a_file_within_one_track_is_read_ahead_as_its_container_is(tmp_path: Path) -> None:
    """Its own class of streams, on runs of the compressed disc."""
    data = zso(stored(LARGE, "1/2352"), block_size=RAW)
    with open_image(saved(tmp_path, data), threads=0) as image:
        assert image.runs is not None
        stream = open_stream(Extents(image.disc, [Extent(20 * SECTOR, 400 * SECTOR)]))
        assert type(stream) is not Stream
        assert stream.busy is False
        assert stream.pread(SECTOR, 0) == LARGE[20 * SECTOR : 21 * SECTOR]


def test_a_damaged_block_costs_its_own_sectors_only(tmp_path: Path) -> None:
    data = bytearray(zso(stored(LARGE, "1/2352"), block_size=RAW))
    at, end = (int.from_bytes(data[24 + 4 * n : 28 + 4 * n], "little") for n in (100, 101))
    data[at:end] = b"\xff" * (end - at)
    with open_image(saved(tmp_path, bytes(data)), threads=0) as image:
        stream = open_stream(Extents(image.disc, [Extent(20 * SECTOR, 400 * SECTOR)]))
        for number in range(400):
            if number + 20 == 100:
                with pytest.raises(ImageError, match="block 100"):
                    patiently(stream, SECTOR, number * SECTOR)
            else:
                assert patiently(stream, SECTOR, number * SECTOR) == LARGE[(20 + number) * SECTOR :][:SECTOR]


@pytest.mark.parametrize("kind", ["2048", "1/2352"])
def test_a_stream_over_the_edges_of_tracks_gives_what_pread_gives(kind: str) -> None:
    stride = KINDS[kind][0]
    source = Memory(stored(LARGE, kind))
    tracks = [
        Track(n, "mode 1", first, 500, source, first * stride, stride, 0, kind != "2048")
        for n, first in enumerate((0, 500, 1000), 1)
    ]
    disc = Sectors(tracks)
    stream = open_stream(Extents(disc, [Extent(490 * SECTOR + 5, 600 * SECTOR)]))
    for n, offset in ((100, 0), (20 * SECTOR, 100), (520 * SECTOR, 70), (600 * SECTOR, 0)):
        assert stream.pread(n, offset) == LARGE[490 * SECTOR + 5 + offset :][: min(n, 600 * SECTOR - offset)]


class NotThere:
    """A source whose bytes are not there yet."""

    def __init__(self) -> None:
        self.size = 1 << 30
        self.error = NotReady(lambda: None)

    def pread(self, _n: int, _offset: int) -> bytes:
        raise self.error


@pytest.mark.parametrize("stride", [2048, 2352])
def test_that_bytes_are_not_there_yet_is_passed_on(stride: int) -> None:
    source = NotThere()
    disc = Sectors([Track(1, "mode 1", 0, 1000, source, 0, stride, header=stride == RAW)])
    with pytest.raises(NotReady) as raised:
        disc.pread(1, 0)
    assert raised.value is source.error
    stream = open_stream(Extents(disc, [Extent(0, 5000)]))
    with pytest.raises(NotReady) as raised:
        stream.view(1, 0)
    assert raised.value is source.error


@pytest.mark.parametrize("holder", ["plain", "ZSO"])
def test_a_file_on_storage_that_stalls_is_not_waited_for(tmp_path: Path, holder: str) -> None:
    require("/dev/fuse")
    data = stored(LARGE, "1/2352")
    path = Path(saved(tmp_path, HOLDERS[holder](data, RAW)))
    with stalling(path, tmp_path) as storage, open_image(str(storage.image), threads=0) as image:
        stream = open_stream(Extents(image.disc, [Extent(1000 * SECTOR, 100 * SECTOR)]))
        with storage.stalled(path.stat().st_size // 2):
            with pytest.raises(NotReady):
                impatient(lambda: stream.view(SECTOR, 0))
            with pytest.raises(NotReady):
                impatient(lambda: image.disc.pread(SECTOR, 1000 * SECTOR))
        assert patiently(stream, SECTOR, 0) == LARGE[1000 * SECTOR : 1001 * SECTOR]


# --- which track holds the volume -----------------------------------------------------------------------------------

BLANK: Final = bytes(40 * SECTOR)


def track(number: int, start: int, data: bytes = DISC, *, session: int = 1, mode: Mode = "mode 1") -> Track:
    """A track of 2048-byte sectors; of audio, silence."""
    if mode == "audio":
        return Track(number, mode, start, 40, Memory(bytes(40 * RAW)), 0, RAW, session=session)
    return Track(number, mode, start, len(data) // SECTOR, Memory(data), 0, SECTOR, session=session)


MANY: Final = (
    track(1, 0, mode="audio"),
    track(2, 100),
    track(3, 300),
    track(4, 12_000, session=2),
    track(5, 12_500, BLANK, session=2),
    track(6, 20_000, BLANK, session=3),
    track(7, 20_200, session=3),
    track(8, 30_000, session=4, mode="audio"),
)


@pytest.mark.parametrize(
    ("number", "session", "expected"),
    [
        (None, None, 4),
        (2, None, 2),
        (3, None, 3),
        (6, None, 6),
        (7, 2, 7),
        (None, 0, 2),
        (None, 1, 4),
        (None, 2, 6),
        (3, 0, 3),
    ],
)
def test_the_track_that_is_mounted(number: int | None, session: int | None, expected: int) -> None:
    chosen = choose(MANY, number, session)
    assert chosen is not None
    assert chosen.number == expected


def test_without_a_volume_anywhere_it_is_that_of_the_last_session() -> None:
    chosen = choose([track(1, 0, BLANK), track(2, 12_000, BLANK, session=2)], None, None)
    assert chosen is not None
    assert chosen.number == 2


def test_audio_tracks_alone_hold_none() -> None:
    assert choose([track(1, 0, mode="audio")], None, None) is None
    assert choose([], None, None) is None


@pytest.mark.parametrize(
    ("number", "session", "words"),
    [
        (1, None, "track 1 is an audio track; data tracks: 2, 3, 4, 5, 6, 7"),
        (9, None, "track 9 is not on the disc; data tracks: 2, 3, 4, 5, 6, 7"),
        (None, 4, "session 4 is not on the disc; sessions: 0, 1, 2, 3"),
        (None, -1, "session -1 is not on the disc; sessions: 0, 1, 2, 3"),
        (None, 3, "session 3 has no such data track; data tracks: 2, 3, 4, 5, 6, 7"),
        (2, 1, "session 1 has no such data track; data tracks: 2, 3, 4, 5, 6, 7"),
    ],
)
def test_a_track_that_is_not_there_is_the_callers_fault(number: int | None, session: int | None, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        choose(MANY, number, session)
    assert str(raised.value) == words


def test_sessions_are_counted_from_the_first_one_there_is() -> None:
    chosen = choose([track(1, 0, session=3), track(2, 12_000, session=7)], None, 1)
    assert chosen is not None
    assert chosen.number == 2


@pytest.mark.parametrize("damage", ["mode", "beyond"])
def test_damage_among_the_descriptors_does_not_hide_a_session(damage: str) -> None:
    data = stored(DISC, "1/2352", 12_000)
    data = overwritten(data, 20 * RAW + 15, b"\x62") if damage == "mode" else data[: 20 * RAW]
    count = SECTORS if damage == "mode" else 20
    second = Track(2, "mode 1", 12_000, count, Memory(data), 0, RAW, 24, True, session=2)
    chosen = choose([track(1, 0), second], None, None)
    assert chosen is not None
    assert chosen.number == 2


@pytest.mark.parametrize("wishes", [Wishes(track=1), Wishes(session=0), Wishes(track=1, session=0)])
@pytest.mark.parametrize("kind", ["2048", "1/2352"])
def test_a_disc_without_a_sheet_is_one_track_of_one_session(tmp_path: Path, kind: str, wishes: Wishes) -> None:
    with open_image(saved(tmp_path, stored(DISC, kind)), wishes=wishes) as image:
        assert tree_of(image) == EXPECTED


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (Wishes(track=2), "track 2 is not on the disc; data tracks: 1"),
        (Wishes(session=1), "session 1 is not on the disc; sessions: 0"),
    ],
)
@pytest.mark.parametrize("kind", ["2048", "1/2352"])
def test_it_has_no_other_ones(tmp_path: Path, kind: str, wishes: Wishes, words: str) -> None:
    path = saved(tmp_path, stored(DISC, kind))
    with pytest.raises(UsageError) as raised:
        open_image(path, wishes=wishes)
    assert str(raised.value) == words
    assert raised.value.path == path


# --- from where block numbers count ---------------------------------------------------------------------------------


def absolute(start: int) -> bytes:
    """The disc as a track that begins at a sector, its blocks counted from the disc's begin."""
    disc = Disc()
    disc.reserve(start * SECTOR)
    disc.root = disc.folder(None)
    whole = filled(disc).build()
    return overwritten(whole[start * SECTOR :], 16 * SECTOR, whole[16 * SECTOR : 18 * SECTOR])


def volume_on(disc: Source, first_sector: int) -> Iso9660:
    return open_iso9660(disc, VIEW, BlockCache(limits.CACHE_LEAST), first_sector)


START: Final = 300


def test_a_disc_that_begins_at_sector_0_counts_from_there() -> None:
    assert not counts_from_itself(Sectors([track(1, 0)]), 0)


def test_a_volume_may_count_from_the_discs_begin() -> None:
    disc = Sectors([track(1, 0, mode="audio"), track(2, START, absolute(START))])
    assert not counts_from_itself(disc, START)
    assert contents(volume_on(disc, START)) == EXPECTED


def test_a_volume_may_count_from_its_own_track() -> None:
    disc = Sectors([track(1, 0, mode="audio"), track(2, START)])
    assert counts_from_itself(disc, START)


def test_of_two_roots_that_of_the_disc_is_taken() -> None:
    """A volume that counts from the disc's begin, and a copy of its root where it would be otherwise."""
    data = absolute(START)
    root = int.from_bytes(data[16 * SECTOR + 158 :][:4], "little")
    sector = data[(root - START) * SECTOR :][:SECTOR]
    data = overwritten(data.ljust((root + 1) * SECTOR, b"\0"), root * SECTOR, sector)
    assert not counts_from_itself(Sectors([track(1, START, data)]), START)


def test_the_root_of_another_track_is_not_taken_for_it() -> None:
    """Two volumes of one layout, each counting from its own track."""
    assert counts_from_itself(Sectors([track(1, 0), track(2, START)]), START)


def test_a_descriptor_in_front_of_the_primary_one_changes_nothing() -> None:
    boot = descriptor(0, b"EL TORITO SPECIFICATION")
    own = overwritten(DISC, 16 * SECTOR, boot + DISC[16 * SECTOR : 18 * SECTOR])
    assert counts_from_itself(Sectors([track(1, START, own)]), START)


def test_where_no_root_is_found_it_counts_from_the_discs_begin() -> None:
    own = overwritten(DISC, 158 + 16 * SECTOR, b"\xff" * 8)
    assert not counts_from_itself(Sectors([track(1, START, own)]), START)
    assert not counts_from_itself(Sectors([track(1, START, BLANK)]), START)


CUE: Final = """FILE "audio.bin" BINARY
  TRACK 01 AUDIO
    INDEX 01 00:00:00
FILE "data.bin" BINARY
  TRACK 02 MODE1/2352
    INDEX 01 00:00:00
"""


@pytest.mark.parametrize("kind", ["absolute", "its own"])
def test_a_data_track_behind_audio_is_read_whichever_way_it_counts(tmp_path: Path, kind: str) -> None:
    data = absolute(START) if kind == "absolute" else DISC
    saved(tmp_path, audio(START), "audio.bin")
    saved(tmp_path, stored(data, "1/2352", START), "data.bin")
    with open_image(saved(tmp_path, CUE.encode(), "disc.cue")) as image:
        assert tree_of(image) == EXPECTED
        assert_same(image.data, data, ranges=5)
        assert image.track is not None
        assert (image.track.number, image.track.start) == (2, START)
        assert image.first_sector == (START if kind == "absolute" else 0)


def test_a_later_session_reaches_files_of_the_first_one() -> None:
    start = 11_500
    disc = Disc()
    disc.reserve(start * SECTOR)
    disc.root = disc.folder(None)
    first = volume_on(Memory(DISC), 0)
    place = first.data(first.lookup(1, b"NUMBERED.BIN;1").inode)  # type: ignore[union-attr]
    assert isinstance(place, Extents)
    disc.root.file(b"NUMBERED.BIN;1", extent=place.extents[0].position // SECTOR, size=place.size)
    disc.root.directory(b"DEEP").file(b"SMALL.TXT;1", b"new")
    whole = disc.build()
    second = overwritten(whole[start * SECTOR :], 16 * SECTOR, whole[16 * SECTOR : 18 * SECTOR])
    tracks = [track(1, 0), track(2, start, second, session=2)]
    made = Sectors(tracks)
    assert not counts_from_itself(made, start)
    assert contents(volume_on(made, start)) == {NAMES[0]: EXPECTED[NAMES[0]], NAMES[1]: b"new"}
    assert contents(volume_on(made, 0)) == EXPECTED


def test_a_file_source_is_what_tracks_lie_in(tmp_path: Path) -> None:
    """Two tracks of one file, at different places of it."""
    data = stored(DISC, "1/2352") + audio(10) + stored(DISC, "2048")
    with FileSource(saved(tmp_path, data)) as file:
        tracks = [
            Track(1, "mode 1", 0, SECTORS, file, 0, RAW, 24, True),
            Track(2, "audio", SECTORS, 10, file, SECTORS * RAW, RAW),
            Track(3, "mode 1", SECTORS + 10, SECTORS, file, (SECTORS + 10) * RAW, SECTOR),
        ]
        disc = Sectors(tracks)
        assert disc.pread(len(DISC), 0) == DISC
        assert disc.pread(len(DISC), (SECTORS + 10) * SECTOR) == DISC
