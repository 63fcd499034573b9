from __future__ import annotations

import binascii
import lzma
import random
import threading
import time
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import cycle
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from writers import containers
from writers.containers import entry, overwritten
from writers.slow import stalling
from writers.sources import Memory
from writers.threads import forget, impatient, in_thread, native_threads, until
from writers.tools import require

from isofs.errors import ImageError, NotReady
from isofs.image import cache, codecs, cso, dax, decode, jiso, zso
from isofs.image.blockmap import CD_DEFLATE, CRC_16, CRC_32, DEFLATE, LZMA, PATTERN, PLAIN, ZERO, ZLIB, BlockMap, Rows
from isofs.image.cache import BlockCache, RunCache, RunStream
from isofs.image.disc import Disc
from isofs.image.source import Extent, Extents, FileSource, Joined, Source, Stream, may_wait, open_stream

KIB: Final = 1024
RUN: Final = 128 * KIB
DISC: Final = array("Q", range(300 * KIB)).tobytes()[: 2350 * KIB + 700]
"""Every eight bytes say where they are."""

Writer = Callable[..., bytes]
FORMATS: Final[dict[str, tuple[ModuleType, Writer]]] = {
    "CSO 1": (cso, containers.cso),
    "CSO 1 with plain blocks": (cso, partial(containers.cso, plain_every=3, shift=2)),
    "CSO 2": (cso, partial(containers.cso, version=2)),
    "CSO 2, aligned": (cso, partial(containers.cso, version=2, shift=5)),
    "ZSO": (zso, containers.zso),
    "DAX": (dax, partial(containers.dax, areas=[(3, 7), (200, 1)])),
    "JISO": (jiso, containers.jiso),
    "JISO with LZO1X": (jiso, partial(containers.jiso, method=0)),
}
IMAGES: Final = [
    *((name, block_size) for name in FORMATS for block_size in (2048, 2352, 16384) if name != "DAX"),
    ("DAX", 8192),
]


@lru_cache
def image_of(format: str, block_size: int) -> bytes:
    """The disc as an image."""
    write = FORMATS[format][1]
    return write(DISC) if format == "DAX" else write(DISC, block_size=block_size)


class Opened:
    """An image file, its disc and runs."""

    def __init__(self, path: Path, format: str, slots: int, threads: int) -> None:
        self.path = path
        self.file = FileSource(str(path))
        blocks = FORMATS[format][0].open_map(self.file)
        of_slot = (RUN // blocks.block_size + 2) * blocks.block_size
        self.runs = RunCache(self.file, blocks, limit=slots * of_slot, threads=threads)
        self.disc = Disc(self.file, blocks, BlockCache(256 * KIB), self.runs)

    def stream(self, position: int = 0, length: int = len(DISC)) -> Stream:
        stream = open_stream(Extents(self.disc, [Extent(position, length)]))
        assert isinstance(stream, RunStream)
        return stream

    def close(self) -> None:
        self.runs.close()
        self.file.close()


@pytest.fixture(autouse=True)
def _short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "RUN", RUN)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Opens an image of `DISC`, or any other."""
    made: list[Opened] = []

    def open_it(
        format: str = "CSO 1", block_size: int = 2048, *, slots: int = 6, threads: int = 0, image: bytes = b""
    ) -> Opened:
        path = tmp_path / f"image {len(made)}"
        path.write_bytes(image or image_of(format, block_size))
        made.append(Opened(path, format, slots, threads))
        return made[-1]

    yield open_it
    for one in made:
        one.close()


@pytest.fixture
def workers(slots: type[decode.Slots]) -> None:
    """For tests of decoding ahead."""


def answer(stream: Stream, n: int, offset: int) -> bytes:
    """What the mount would answer."""
    for _ in range(2):
        try:
            return bytes(stream.view(n, offset))
        except NotReady as missing:
            if missing.bring is None:
                break
            in_thread(missing.bring)
    return in_thread(partial(stream.source.pread, n, offset))


def read_on(stream: Stream, n: int, *, start: int = 0, end: int = len(DISC)) -> None:
    """Reads from `start` to `end` in pieces of `n` bytes, and compares."""
    for offset in range(start, end, n):
        assert answer(stream, n, offset) == DISC[offset : offset + n]


# --- the right bytes ------------------------------------------------------------------------------------------------

FILES: Final = (
    (0, len(DISC)),
    (2048, 300 * KIB),
    (100 * 2048, 900 * KIB + 1),
    (150 * 2048, 1500 * KIB),
    (333 * 2048, RUN),
    (400 * 2048, 5 * RUN - 1),
    (700 * 2048, 2 * RUN + 1),
    (500 * 2048, len(DISC) - 500 * 2048),
)
"""Positions and lengths."""


def interleaved(image: Opened, seed: int, requests: int) -> None:
    """Eight files are read by turns, a few requests in a row here and there."""
    chance = random.Random(seed)
    streams = [image.stream(*file) for file in FILES]
    places = [0] * len(FILES)
    for _ in range(requests):
        i = chance.randrange(len(FILES))
        position, length = FILES[i]
        n = chance.choice((1, 2, 4, 8, 16, 32, 32, 75)) * 4 * KIB
        if chance.random() < 0.1 or places[i] >= length:
            places[i] = chance.randrange(0, length, 4 * KIB)
        if chance.random() < 0.05:  # a request overtakes the one before it
            places[i] += n
        wanted = DISC[position + places[i] : position + min(places[i] + n, length)]
        assert answer(streams[i], n, places[i]) == wanted, f"{n} bytes at {places[i]} of file {i}"
        places[i] += n


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize(("format", "block_size"), IMAGES)
def test_streams_that_share_a_few_slots_give_their_own_bytes(
    slots: type[decode.Slots], opened: Callable[..., Opened], format: str, block_size: int, threads: int
) -> None:
    image = opened(format, block_size, threads=threads)
    interleaved(image, 1, 60)
    impatient(partial(interleaved, image, 2, 60))
    assert image.runs.counts.evictions


class Busy:
    """Slots of which some stay in the hands of workers, who do nothing."""

    def __init__(self, slots: decode.Slots, busy: frozenset[int]) -> None:
        self._slots = slots
        self._busy = busy
        self.queued: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._slots, name)

    def drop(self, slot: int) -> bool:
        return slot not in self._busy and self._slots.drop(slot)

    def queue(self, slot: int, first: bool) -> bool:
        self.queued.append(slot)
        return True


def test_slot_of_an_answer_is_not_given_to_a_run_ahead(
    slots: type[decode.Slots], opened: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = opened(slots=2)
    busy = image.runs.find(len(DISC) - 5000, len(DISC))
    assert busy is not None
    monkeypatch.setattr(image.runs, "_slots", Busy(image.runs._slots, frozenset((busy,))))
    read_on(image.stream(), 32 * KIB)
    assert image.runs.counts.helped > 5


def test_run_is_decoded_exactly_when_all_slots_are_busy(
    slots: type[decode.Slots], opened: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = opened(slots=2)
    for place in (0, 1):
        image.runs.find(len(DISC) - 5000 + place, len(DISC))
    monkeypatch.setattr(image.runs, "_slots", Busy(image.runs._slots, frozenset((0, 1))))
    read_on(image.stream(), 32 * KIB, end=400 * KIB)
    assert image.runs.counts.exact == 13
    assert image.runs.counts.evictions == 0


def test_file_is_read_whole_whatever_the_requests(slots: type[decode.Slots], opened: Callable[..., Opened]) -> None:
    image = opened(block_size=2352, threads=1)
    for n in (4 * KIB, 128 * KIB, 100_000, 1 << 20):
        read_on(image.stream(), n)
    position, length = FILES[6]
    assert image.stream(position, length).pread(1 << 30, 5) == DISC[position + 5 : position + length]


def test_request_of_any_size_is_answered_whole(slots: type[decode.Slots], opened: Callable[..., Opened]) -> None:
    stream = opened().stream()
    assert bytes(stream.view(1 << 30, 3)) == DISC[3:]
    assert stream.pread(1 << 30, 3) == DISC[3:]


def test_reads_outside_the_file_give_nothing(slots: type[decode.Slots], opened: Callable[..., Opened]) -> None:
    stream = opened().stream(2048, 5000)
    for n, offset in ((10, 5000), (10, 1 << 70), (10, -5), (10_000, -5), (0, 5), (-1, 5)):
        assert bytes(stream.view(n, offset)) == b""
        assert stream.pread(n, offset) == b""
    assert bytes(stream.view(1 << 70, 4990)) == DISC[2048 + 4990 : 2048 + 5000]
    assert bytes(opened().stream(0, 0).view(10, 0)) == b""


def test_file_in_two_pieces_is_read_without_runs(opened: Callable[..., Opened]) -> None:
    image = opened()
    stream = open_stream(Extents(image.disc, [Extent(2048, 3000), Extent(10_000, 3000)]))
    assert not isinstance(stream, RunStream)
    assert stream.view(6000, 0) == DISC[2048:5048] + DISC[10_000:13_000]


# --- maps like those of CHD images: large blocks, checks, every kind ------------------------------------------------

PACE: Final = {"many": DEFLATE, "some": CD_DEFLATE, "one": LZMA}
"""A kind that makes runs of so many blocks, by how quickly it decodes."""


def lzma_stream(plain: bytes) -> bytes:
    """As in CHD images."""
    dictionary = 1 << (len(plain) - 1).bit_length()
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": 3, "lp": 0, "pb": 2}]
    return lzma.compress(plain, lzma.FORMAT_RAW, filters=filters)


STORE: Final[dict[int, containers.Codec]] = {
    PLAIN: bytes,
    DEFLATE: containers.raw_deflate,
    ZLIB: containers.zlib_stream,
    LZMA: lzma_stream,
    ZERO: lambda _: b"",
    PATTERN: lambda _: b"",
}


@lru_cache
def checked_blocks(block_size: int) -> tuple[bytes, bytes, Rows]:
    """A disc with an odd end, its blocks as a file, and their rows, all with a check but a few."""
    chance = random.Random(block_size)
    size = 60 * block_size + 1234
    text = array("I", range(size // 4 + 1)).tobytes()
    disc = bytearray()
    stored = bytearray(b"header")
    rows = Rows(array("Q"), array("Q"), bytearray(), array("Q"))
    for at in range(0, size, block_size):
        plain = text[at : at + block_size].ljust(block_size, b"\0")
        kind = chance.choice((PLAIN, DEFLATE, DEFLATE, ZLIB, LZMA, ZERO, PATTERN))
        if kind in (ZERO, PATTERN):
            plain = (at.to_bytes(8, "big") if kind == PATTERN else bytes(8)) * (block_size // 8)
        disc += plain
        data = STORE[kind](plain)
        rows.positions.append(at if kind == PATTERN else len(stored))
        rows.stored.append(len(data))
        rows.kinds.append(kind)
        assert rows.checks is not None
        sums = (0, CRC_16 | binascii.crc_hqx(plain, 0xFFFF), CRC_32 | zlib.crc32(plain))
        rows.checks.append(chance.choice(sums) if chance.random() < 0.2 else sums[1])
        stored += data + bytes(chance.choice((0, 0, 0, 5)))
    return bytes(disc[:size]), bytes(stored), rows


class Checked:
    """A disc of such blocks, with runs of some length. `damage`: blocks whose stored bytes are wrong."""

    def __init__(
        self, path: Path, block_size: int, pace: str, *, slots: int, threads: int, damage: Sequence[int] = ()
    ) -> None:
        self.plain, stored, rows = checked_blocks(block_size)
        for number in damage:
            assert rows.kinds[number] == PLAIN
            stored = overwritten(stored, rows.positions[number] + 700, b"?!")
        path.write_bytes(stored)
        self.file = FileSource(str(path))

        def load(first: int, n: int) -> Rows:
            columns = (column[first : first + n] for column in rows if column is not None)
            return Rows(*columns)  # type: ignore[arg-type]

        kinds = frozenset((DEFLATE, ZLIB, PATTERN, PACE[pace]))
        blocks = BlockMap(
            format="test", block_size=block_size, disc_size=len(self.plain), kinds=kinds, load=load, checked=True
        )
        codecs.require(LZMA)
        self.runs = RunCache(self.file, blocks, limit=0, threads=threads)
        limit = slots * self.runs.run + 2 * slots * block_size
        self.runs = RunCache(self.file, blocks, limit=limit, threads=threads)
        assert not self.runs.compiled
        self.disc = Disc(self.file, blocks, BlockCache(6 * block_size), self.runs)

    def close(self) -> None:
        self.runs.close()
        self.file.close()


@pytest.fixture
def checked(tmp_path: Path) -> Iterator[Callable[..., Checked]]:
    made: list[Checked] = []

    def make(block_size: int, pace: str, *, slots: int = 8, threads: int = 2, damage: Sequence[int] = ()) -> Checked:
        made.append(Checked(tmp_path / "image", block_size, pace, slots=slots, threads=threads, damage=damage))
        return made[-1]

    yield make
    for one in made:
        one.close()


Reader = tuple[int, int, int]
"""Position and length of a file, and a seed for how it is read."""


def read_by_turns(image: Checked, readers: Sequence[Reader], turns: int, seed: int) -> None:
    """Some files, most of them from begin to end, a few requests each before the next one's turn."""
    chance = random.Random(seed)
    streams = [open_stream(Extents(image.disc, [Extent(position, length)])) for position, length, _ in readers]
    places = [0] * len(readers)
    for _ in range(turns):
        i = chance.randrange(len(readers))
        position, length, pattern = readers[i]
        for _ in range(chance.randrange(1, 4)):
            n = chance.choice((1, 4096, 16384, 65_536, 131_072)) if pattern % 2 else 50_000
            if places[i] >= length or (pattern % 3 == 0 and chance.random() < 0.3):
                places[i] = chance.randrange(length)
            wanted = image.plain[position + places[i] : position + min(places[i] + n, length)]
            assert answer(streams[i], n, places[i]) == wanted, f"{n} bytes at {places[i]} of {readers[i]}"
            places[i] += n
        if chance.random() < 0.02:
            image.runs.shed()
        if chance.random() < 0.05:
            streams[i].close()
            assert image.runs.readers >= 0
    for stream in streams:
        stream.close()
    assert image.runs.readers == 0


@pytest.mark.parametrize("pace", PACE)
@pytest.mark.parametrize("block_size", [19584, 4096])
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_streams_of_checked_blocks_give_their_own_bytes(
    tmp_path: Path, block_size: int, pace: str, data: st.DataObject
) -> None:
    size = 60 * block_size + 1234
    positions = st.integers(0, size - 1)
    lengths = st.sampled_from((1, 2048, block_size, 3 * block_size + 1, 300_000, size))
    files = st.builds(
        lambda at, length, seed: (at, min(length, size - at), seed), positions, lengths, st.integers(0, 5)
    )
    readers = data.draw(st.lists(files, min_size=1, max_size=5))
    slots, threads = data.draw(st.integers(2, 9)), data.draw(st.integers(0, 3))
    image = Checked(tmp_path / "image", block_size, pace, slots=slots, threads=threads)
    try:
        seed = data.draw(st.integers(0, 1000))
        read_by_turns(image, readers, 30, seed)
        impatient(partial(read_by_turns, image, readers, 30, seed + 1))
    finally:
        image.close()


@pytest.mark.parametrize("pace", PACE)
@pytest.mark.parametrize("block_size", [19584, 4096])
def test_large_blocks_are_decoded_once_by_who_reads_on(
    checked: Callable[..., Checked], monkeypatch: pytest.MonkeyPatch, block_size: int, pace: str
) -> None:
    image = checked(block_size, pace, slots=60)
    decoded: list[int] = []
    decode_rows = codecs.decode_rows

    def remember(source: Source, rows: Iterable[codecs.Row], size: int) -> list[codecs.Block]:
        wanted = list(rows)
        decoded.append(len(wanted))
        return decode_rows(source, wanted, size)

    monkeypatch.setattr(codecs, "decode_rows", remember)
    position = 3 * block_size + 100
    stream = open_stream(Extents(image.disc, [Extent(position, 40 * block_size)]))
    for offset in range(0, stream.size, 16384):
        assert answer(stream, 16384, offset) == image.plain[position + offset :][: min(16384, stream.size - offset)]
    stream.close()
    before = 2 * (16384 // block_size + 2)  # there was a streak
    between = 0 if image.runs.aligned else stream.size // image.runs.run
    assert sum(decoded) <= 41 + before + between
    assert image.runs.aligned or image.runs.run >= 16 * block_size


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("pace", PACE)
@pytest.mark.parametrize("block_size", [19584, 4096])
def test_block_whose_check_fails_costs_its_own_bytes(
    checked: Callable[..., Checked], block_size: int, pace: str, threads: int
) -> None:
    _, _, rows = checked_blocks(block_size)
    bad = [number for number in range(10, 60) if rows.kinds[number] == PLAIN][1]
    image = checked(block_size, pace, threads=threads, damage=[bad])
    stream = open_stream(Extents(image.disc, [Extent(1000, len(image.plain) - 1000)]))
    failed = []
    n = 4096
    for offset in range(0, stream.size, n):
        try:
            found = answer(stream, n, offset)
        except ImageError as error:
            failed.append((1000 + offset, f"block {bad} " in str(error) and "checksum" in str(error)))
        else:
            assert found == image.plain[1000 + offset :][: min(n, stream.size - offset)]
    start = bad * block_size
    touched = range(1000, len(image.plain), n)
    assert failed == [(at, True) for at in touched if at < start + block_size and at + n > start]


def test_request_takes_no_more_than_a_few_milliseconds_of_who_must_not_wait(
    checked: Callable[..., Checked], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes longer is left to others, and the request is repeated or made by another thread."""
    image = checked(19584, "one", threads=0)
    helped: list[int] = []
    decode_slot = decode.Slots._decode

    def slow(slots: decode.Slots, slot: int) -> frozenset[int] | None:
        helped.append(slot)
        time.sleep(0.003)
        return decode_slot(slots, slot)

    monkeypatch.setattr(decode.Slots, "_decode", slow)
    stream = open_stream(Extents(image.disc, [Extent(0, len(image.plain))]))

    def read() -> None:
        for offset in range(0, 5 * 19584, 19584):  # one block each
            assert stream.view(19584, offset) == image.plain[offset : offset + 19584]
        assert len(helped) == 5
        for offset in (5 * 19584, 0):  # in the streak, and elsewhere
            with pytest.raises(NotReady):
                stream.view(10 * 19584, offset)
        assert len(helped) == 5
        stream.close()
        image.runs._workers = True
        helped.clear()
        other = open_stream(Extents(image.disc, [Extent(20 * 19584, 30 * 19584)]))
        for offset in (0, 1, 2, 3):
            other.view(1, offset)
        with pytest.raises(NotReady):
            other.view(4 * 19584, 4)
        assert len(helped) <= 4

    impatient(read)


def test_compiled_decoder_serves_only_one_file_without_checks(tmp_path: Path) -> None:
    compiled = pytest.importorskip("isofs.image._decode")
    (tmp_path / "image").write_bytes(image_of("CSO 1", 2048))
    with FileSource(str(tmp_path / "image")) as file:
        blocks = cso.open_map(file)
        assert decode.slots_for(file, blocks) is compiled.Slots
        assert decode.slots_for(Joined([file, file]), blocks) is decode.Slots
        assert decode.slots_for(Memory(b""), blocks) is decode.Slots
        blocks.checked = True
        assert decode.slots_for(file, blocks) is decode.Slots


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 2])
def test_damaged_block_fails_only_the_requests_that_need_it(
    slots: type[decode.Slots], opened: Callable[..., Opened], threads: int
) -> None:
    good = image_of("CSO 1", 2048)
    at = entry(good, 100) & ~containers.FLAG
    image = opened(threads=threads, image=overwritten(good, at, b"\xff" * 8))
    stream = image.stream()
    for offset in range(0, len(DISC), 8 * KIB):
        if offset == 100 * 2048:
            with pytest.raises(ImageError, match="block 100 "):
                answer(stream, 8 * KIB, offset)
        else:
            assert answer(stream, 8 * KIB, offset) == DISC[offset : offset + 8 * KIB]
    assert image.runs.counts.helped + image.runs.counts.ready + image.runs.counts.waited > 200


def test_zlib_streams_where_raw_ones_are_due_are_read_by_the_codecs(
    slots: type[decode.Slots], opened: Callable[..., Opened]
) -> None:
    disc = DISC[: 400 * KIB]
    image = opened(image=containers.cso(disc, codec=containers.zlib_stream), threads=1)
    read_on(image.stream(0, len(disc)), 16 * KIB, end=len(disc))


def test_changed_file_is_an_error_in_a_streak_too(slots: type[decode.Slots], opened: Callable[..., Opened]) -> None:
    image = opened(threads=1)
    stream = image.stream()
    read_on(stream, 8 * KIB, end=RUN)
    with open(image.path, "ab") as file:
        file.write(b".")
    with pytest.raises(ImageError, match="was changed"):
        read_on(stream, 8 * KIB, start=RUN)


# --- streaks --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("workers")
def test_reading_on_has_runs_decoded_ahead(opened: Callable[..., Opened]) -> None:
    image = opened(threads=2, slots=20)
    read_on(image.stream(), 32 * KIB)
    counts = image.runs.counts
    runs = -(-len(DISC) // RUN)
    assert counts.exact == 2
    assert counts.ahead == counts.used == runs - 1
    assert counts.ready + counts.helped + counts.waited + counts.exact == -(-len(DISC) // (32 * KIB))
    assert (counts.evictions, counts.wasted) == (0, 0)


@pytest.mark.usefixtures("workers")
def test_reading_here_and_there_is_exact_and_takes_no_slot(opened: Callable[..., Opened]) -> None:
    image = opened(threads=2)
    stream = image.stream()
    chance = random.Random(3)
    last = 0
    for _ in range(40):
        offset = chance.choice([at for at in range(0, len(DISC) - 9000, 4 * KIB) if abs(at - last) > 1200 * KIB] or [0])
        assert answer(stream, 9000, offset) == DISC[offset : offset + 9000]
        last = offset
    counts = image.runs.counts
    assert counts.exact == 40
    assert (counts.ready, counts.helped, counts.waited, counts.ahead, counts.evictions) == (0, 0, 0, 0, 0)


def test_neighbour_of_exact_bytes_in_the_same_blocks_is_not_decoded_again(
    slots: type[decode.Slots], opened: Callable[..., Opened]
) -> None:
    image = opened(block_size=16384)
    stream = image.stream()
    for offset in (1_700_000, 1_700_100, 100, 0):
        assert answer(stream, 50, offset) == DISC[offset : offset + 50]
    assert image.runs.counts.exact == 2


def test_exact_bytes_are_not_at_hand_any_more_when_others_had_to_be_given_up(
    slots: type[decode.Slots], opened: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cold(Busy):
        def help(self, slot: int, patient: bool) -> int:
            return decode.COLD

    image = opened()
    stream = image.stream()
    assert answer(stream, 50, 0) == DISC[:50]
    with monkeypatch.context() as patch:
        patch.setattr(image.runs, "_slots", Cold(image.runs._slots, frozenset()))
        with pytest.raises(NotReady):
            stream.view(50, 2_000_000)
    assert answer(stream, 50, 0) == DISC[:50]


@pytest.mark.usefixtures("workers")
def test_requests_that_overtake_each_other_keep_the_streak(opened: Callable[..., Opened]) -> None:
    image = opened(threads=1, slots=20)
    stream = image.stream()
    n = 64 * KIB
    for first in range(0, 12, 2):
        for number in (first + 1, first) if first > 3 else (first, first + 1):
            assert answer(stream, n, number * n) == DISC[number * n : (number + 1) * n]
    assert image.runs.counts.exact == 2
    assert image.runs.counts.ahead > 3


@pytest.mark.usefixtures("workers")
def test_streak_ends_where_the_reader_goes_elsewhere(opened: Callable[..., Opened]) -> None:
    image = opened(threads=1, slots=20)
    stream = image.stream()
    read_on(stream, 32 * KIB, end=4 * RUN)
    exact = image.runs.counts.exact
    read_on(stream, 32 * KIB, start=16 * RUN, end=16 * RUN + 32 * KIB)
    assert image.runs.counts.exact == exact + 1


@pytest.mark.usefixtures("workers")
def test_nothing_beyond_the_end_of_the_file_is_decoded_ahead(
    opened: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = opened(threads=2, slots=20)
    asked: list[tuple[int, int]] = []
    ahead = image.runs.ahead

    def remember(start: int, end: int, held: int) -> bool:
        asked.append((start, end))
        return ahead(start, end, held)

    monkeypatch.setattr(image.runs, "ahead", remember)
    position, length = FILES[6]
    stream = image.stream(position, length)
    for offset in range(0, length, 16 * KIB):
        answer(stream, 16 * KIB, offset)
    assert asked == [(position + RUN, position + 2 * RUN), (position + 2 * RUN, position + length)]


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize("count", [2, 3, 5])
def test_stream_does_not_throw_away_its_own_runs_ahead(opened: Callable[..., Opened], count: int) -> None:
    image = opened(threads=2, slots=count)
    read_on(image.stream(), 32 * KIB)
    assert image.runs.counts.ahead > 10
    assert image.runs.counts.wasted == 0


def test_without_workers_no_slot_is_taken_ahead(slots: type[decode.Slots], opened: Callable[..., Opened]) -> None:
    image = opened(threads=0, slots=20)
    read_on(image.stream(), 16 * KIB, end=3 * RUN)
    assert image.runs.counts.ahead == 0
    read_on(image.stream(), 16 * KIB, end=3 * RUN)
    assert image.runs.counts.helped == 3


def test_run_that_was_read_to_its_end_makes_room_first(
    slots: type[decode.Slots], opened: Callable[..., Opened]
) -> None:
    image = opened(slots=4)
    first, other = image.stream(), image.stream(1024 * KIB, 1024 * KIB)
    read_on(first, 32 * KIB, end=2 * RUN)  # two runs to their ends
    for offset in range(0, RUN - 32 * KIB, 32 * KIB):
        answer(other, 32 * KIB, offset)
    half_read = image.runs.find(1024 * KIB, 1024 * KIB + RUN)
    read = {image.runs.find(0, RUN), image.runs.find(RUN, 2 * RUN)}
    for start in (0, RUN):
        image.runs.consumed(start, start + RUN)
    image.runs.find(5 * RUN, 6 * RUN)  # the slots are all in use now
    assert {image.runs.find(number * RUN, (number + 1) * RUN) for number in (6, 7)} == read
    assert image.runs.find(1024 * KIB, 1024 * KIB + RUN) == half_read


@pytest.mark.usefixtures("workers")
def test_runs_ahead_that_nobody_reads_are_counted_as_wasted(opened: Callable[..., Opened]) -> None:
    image = opened(threads=2, slots=4)
    read_on(image.stream(), 32 * KIB, end=RUN)
    stream = image.stream(1024 * KIB, 1024 * KIB)
    for offset in range(0, 1024 * KIB, 64 * KIB):
        answer(stream, 64 * KIB, offset)
    counts = image.runs.counts
    assert counts.wasted > 0
    assert counts.evictions >= counts.wasted
    assert counts.ahead >= counts.used + counts.wasted


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize("end", ["closed", "elsewhere"])
def test_runs_ahead_are_given_up_with_their_streak(opened: Callable[..., Opened], end: str) -> None:
    image = opened(threads=2, slots=20)
    stream = image.stream()
    read_on(stream, 32 * KIB, end=3 * RUN)
    counts = image.runs.counts
    assert stream.busy
    assert image.runs.readers == 1
    unread = counts.ahead - counts.used
    assert unread > 2
    if end == "closed":
        stream.close()
    else:
        answer(stream, 4 * KIB, len(DISC) - 4 * KIB)
    assert not stream.busy
    assert image.runs.readers == 0
    assert 0 < counts.wasted <= unread  # each worker may be at one, and then at another one
    stream.close()
    assert image.runs.readers == 0


@pytest.mark.usefixtures("workers")
def test_streams_share_the_slots_out(opened: Callable[..., Opened]) -> None:
    image = opened(threads=2, slots=13)
    streams = [image.stream(number * 600 * KIB, 600 * KIB) for number in range(3)]
    alone = image.runs.depth
    assert alone >= 8
    for offset in range(0, 600 * KIB, 20 * KIB):
        for number, stream in enumerate(streams):
            at = number * 600 * KIB + offset
            assert answer(stream, 20 * KIB, offset) == DISC[at : at + 20 * KIB]
    assert image.runs.depth == 4
    for stream in streams:
        stream.close()
    assert image.runs.depth == alone


@pytest.mark.usefixtures("workers")
def test_runs_ahead_that_were_taken_away_are_decoded_ahead_again(opened: Callable[..., Opened]) -> None:
    image = opened(threads=2, slots=20)
    stream = image.stream()
    read_on(stream, 32 * KIB, end=3 * RUN)
    before = image.runs.counts.ahead

    def gone() -> bool:  # a run that a worker is at stays
        image.runs.shed()
        return not image.runs.holds(4 * RUN, 5 * RUN)

    until(gone)
    read_on(stream, 32 * KIB, start=3 * RUN)
    assert image.runs.counts.ahead > before + 4


def test_shed_forgets_everything_and_the_bytes_stay_right(
    slots: type[decode.Slots], opened: Callable[..., Opened]
) -> None:
    image = opened(threads=2)
    stream = image.stream()
    for start in range(0, 12 * RUN, 2 * RUN):
        read_on(stream, 16 * KIB, start=start, end=start + 2 * RUN)
        image.runs.shed()
    read_on(stream, 50_000)


# --- storage --------------------------------------------------------------------------------------------------------


def missing(image: Opened, stream: Stream, n: int, offset: int, *, brought: bool) -> NotReady:
    """What a view of bytes raises that are not in memory, and that somebody or nobody brings.

    The system may be quick to fetch them, and all workers may wait for runs ahead: then the view is asked for again.
    """
    raised: list[NotReady] = []

    def refused() -> bool:
        image.runs.shed()
        forget(image.path)
        try:
            stream.view(n, offset)
        except NotReady as error:
            if (error.bring is not None) == brought:
                raised.append(error)
        return bool(raised)

    assert not may_wait()
    until(refused)
    return raised[0]


def on_cold_storage(opened: Callable[..., Opened], threads: int) -> tuple[Opened, Stream]:
    """A stream in a streak, in a file so large that what is read of it does not bring the rest of it."""
    disc = random.Random(1).randbytes(8 << 20)
    image = opened(image=containers.cso(disc, block_size=16384), threads=threads)
    return image, image.stream(0, len(disc))


@pytest.mark.usefixtures("workers")
def test_cold_run_is_there_once_it_was_brought(opened: Callable[..., Opened]) -> None:
    image, stream = on_cold_storage(opened, 2)
    disc = stream.source.pread(8 << 20, 0)

    def read() -> None:
        for offset in range(0, RUN, 16 * KIB):
            answer(stream, 16 * KIB, offset)
        bring = missing(image, stream, 16 * KIB, RUN, brought=True).bring
        assert bring is not None
        in_thread(bring)
        assert bytes(stream.view(16 * KIB, RUN)) == disc[RUN : RUN + 16 * KIB]
        ready = image.runs.counts.ready
        assert bytes(stream.view(16 * KIB, RUN + 16 * KIB)) == disc[RUN + 16 * KIB : RUN + 32 * KIB]
        assert image.runs.counts.ready == ready + 1

    impatient(read)


@pytest.mark.parametrize("start", [0, 4 << 20])
def test_cold_bytes_that_no_worker_brings_are_asked_for_elsewhere(
    slots: type[decode.Slots], opened: Callable[..., Opened], start: int
) -> None:
    image, stream = on_cold_storage(opened, 0)
    disc = stream.source.pread(8 << 20, 0)

    def read() -> None:
        for offset in range(0, RUN, 16 * KIB):
            answer(stream, 16 * KIB, offset)
        assert missing(image, stream, 16 * KIB, start + RUN, brought=False).bring is None
        assert answer(stream, 16 * KIB, start + RUN) == disc[start + RUN : start + RUN + 16 * KIB]

    impatient(read)


def threads_at_rest() -> int:
    """How many threads there are once those that were joined have gone."""
    time.sleep(0.02)
    return native_threads()


# --- the end --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("workers")
def test_close_ends_the_workers_whatever_is_queued(opened: Callable[..., Opened]) -> None:
    before = threads_at_rest()
    image = opened(threads=3, slots=20)
    read_on(image.stream(), 16 * KIB, end=3 * 16 * KIB)
    assert native_threads() == before + 3
    assert image.runs.counts.ahead > 0
    image.runs.close()
    assert threads_at_rest() == before
    image.runs.close()


@pytest.mark.usefixtures("workers")
def test_workers_start_with_the_first_run_ahead(opened: Callable[..., Opened]) -> None:
    before = threads_at_rest()
    image = opened(threads=2)
    read_on(image.stream(), 16 * KIB, end=32 * KIB)
    assert native_threads() == before


@pytest.mark.usefixtures("workers")
def test_who_waits_when_the_mount_ends_is_let_go(opened: Callable[..., Opened]) -> None:
    image, stream = on_cold_storage(opened, 1)

    def read() -> Callable[[], None]:
        for offset in range(0, RUN, 16 * KIB):
            answer(stream, 16 * KIB, offset)
        bring = missing(image, stream, 16 * KIB, RUN, brought=True).bring
        assert bring is not None
        return bring

    bring = impatient(read)
    image.runs.close()
    in_thread(bring)


@pytest.mark.usefixtures("workers")
def test_workers_that_are_stuck_in_storage_hold_up_nobody_and_no_end(tmp_path: Path) -> None:
    require("/dev/fuse")
    (tmp_path / "backing").write_bytes(image_of("CSO 1", 16384))
    before = threads_at_rest()
    with stalling(tmp_path / "backing", tmp_path) as storage:
        image = Opened(storage.image, "CSO 1", 8, 2)
        stream = image.stream()
        image.disc.blocks.row(0)
        with storage.stalled():

            def ask(offset: int) -> NotReady:
                with pytest.raises(NotReady) as caught:
                    stream.view(16 * KIB, offset)
                return caught.value

            def read() -> None:
                for offset in (0, 16 * KIB):  # no streak yet
                    assert ask(offset).bring is None
                bring = ask(32 * KIB).bring
                if bring is not None:
                    waiting.append(threading.Thread(target=bring, daemon=True))
                    waiting[0].start()
                others = cycle(range(3 * RUN, 8 * RUN, RUN))  # a worker may have got stuck at some of these
                until(lambda: ask(next(others)).bring is None)

            waiting: list[threading.Thread] = []
            impatient(read)
            start = time.monotonic()
            image.runs.close()
            assert time.monotonic() - start < 2
            for thread in waiting:
                thread.join(1)
                assert not thread.is_alive()
        image.file.close()
        until(lambda: native_threads() <= before)  # fewer if those of an earlier test were still ending


@pytest.mark.parametrize(("cores", "expected"), [(1, 0), (2, 2), (3, 3), (64, 4)])
def test_workers_are_as_many_as_cores_up_to_four_and_none_for_one(
    monkeypatch: pytest.MonkeyPatch, cores: int, expected: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    assert cache.default_workers() == expected
