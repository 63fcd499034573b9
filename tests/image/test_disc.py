from __future__ import annotations

import random
import sys
import threading
import time

import pytest
from writers.containers import FLAG, entry, sample_disc, with_entry
from writers.containers import cso as write
from writers.sources import Memory, assert_same
from writers.threads import LIMIT, impatient

from isofs import limits
from isofs.errors import ImageChanged, ImageError, NotReady
from isofs.image import cso
from isofs.image.blockmap import PLAIN, ZERO, BlockMap, Rows, empty_rows
from isofs.image.cache import BlockCache
from isofs.image.disc import Disc
from isofs.image.source import may_wait

DISC = sample_disc(60, tail=700)


def opened(image: bytes, cache: BlockCache | None = None) -> tuple[Disc, Memory]:
    source = Memory(image)
    disc = Disc(source, cso.open_map(source), cache or BlockCache(1 << 20))
    source.reads.clear()
    return disc, source


@pytest.mark.parametrize("cache", [0, 5000, 1 << 20])
@pytest.mark.parametrize("block_size", [512, 2048, 2352, 16384])
def test_random_ranges_are_the_bytes_of_the_disc(block_size: int, cache: int) -> None:
    disc, _ = opened(write(DISC, block_size=block_size), BlockCache(cache))
    assert_same(disc, DISC, ranges=200)


def test_reads_outside_the_disc_give_nothing() -> None:
    disc, source = opened(write(DISC))
    assert disc.pread(10, len(DISC)) == b""
    assert disc.pread(10, 1 << 70) == b""
    assert disc.pread(10, -5) == b""
    assert disc.pread(0, 5) == b""
    assert disc.pread(-1, 5) == b""
    assert source.reads == []
    assert disc.pread(1 << 70, len(DISC) - 3) == DISC[-3:]


def test_same_bytes_again_are_read_and_decoded_once() -> None:
    disc, source = opened(write(DISC))
    first = disc.pread(10_000, 3000)
    reads = len(source.reads)
    assert disc.pread(10_000, 3000) == first
    assert len(source.reads) == reads
    assert disc.cache.misses == 6
    assert disc.cache.hits == 6


def test_memory_stays_within_the_cache() -> None:
    cache = BlockCache(10 * 2048)
    disc, _ = opened(write(DISC), cache)
    for offset in range(0, len(DISC), 4096):
        disc.pread(8192, offset)
        assert cache.size <= cache.limit


def test_neighbouring_blocks_are_fetched_by_one_read() -> None:
    disc, source = opened(write(DISC, plain_every=2))
    disc.pread(len(DISC), 0)
    index_end = 24 + 4 * 62
    assert len([at for _, at in source.reads if at >= index_end]) == 1


def test_one_read_is_no_longer_than_its_limit() -> None:
    plain = random.Random(1).randbytes(3 * limits.STORED_RUN)
    disc, source = opened(write(plain))
    assert disc.pread(len(plain), 0) == plain
    lengths = [n for n, _ in source.reads]
    assert max(lengths) <= limits.STORED_RUN
    assert len(lengths) < 8


def test_block_longer_than_one_read_is_read_whole() -> None:
    plain = random.Random(1).randbytes(2 * limits.STORED_RUN)
    disc, _ = opened(write(plain, block_size=len(plain)))
    assert disc.pread(len(plain), 0) == plain


def test_error_of_one_block_does_not_touch_the_others() -> None:
    image = with_entry(write(DISC), 20, 0)
    disc, _ = opened(image)
    with pytest.raises(ImageError, match="block 19"):
        disc.pread(10 * 2048, 15 * 2048)
    for block in (*range(15, 19), *range(21, 25)):
        assert disc.pread(2048, block * 2048) == DISC[block * 2048 :][:2048]
    with pytest.raises(ImageError, match="block 20"):
        disc.pread(1, 20 * 2048)


def test_error_is_not_kept() -> None:
    image = write(DISC)
    at = entry(image, 18)
    assert not at & FLAG
    disc, source = opened(image[:at] + b"\xff" * 30 + image[at + 30 :])
    with pytest.raises(ImageError):
        disc.pread(2048, 18 * 2048)
    source.data = image
    assert disc.pread(2048, 18 * 2048) == DISC[18 * 2048 : 19 * 2048]


class BadStorage(Memory):
    """A source that cannot read some of its bytes. Waits before each read of data for `go`."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.bad = range(0)
        self.go = threading.Event()
        self.go.set()
        self.reading = threading.Event()

    def pread(self, n: int, offset: int) -> bytes:
        self.reading.set()
        assert self.go.wait(LIMIT)
        if offset < self.bad.stop and offset + n > self.bad.start:
            raise ImageError("reading failed")
        return super().pread(n, offset)


def test_storage_that_fails_costs_its_own_blocks() -> None:
    image = write(DISC)
    at = entry(image, 20)
    source = BadStorage(image)
    disc = Disc(source, cso.open_map(source), BlockCache(1 << 20))
    disc.blocks.row(0)  # the index is in memory
    source.bad = range(at, at + 1)
    with pytest.raises(ImageError, match="reading failed"):
        disc.pread(10 * 2048, 15 * 2048)
    for block in (*range(15, 20), *range(21, 25)):
        assert disc.pread(2048, block * 2048) == DISC[block * 2048 :][:2048]


def waits(thread: threading.Thread) -> bool:
    """Whether the thread stands in an `Event.wait`."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_name == "wait":
            return True
        frame = frame.f_back
    return False


def test_storage_that_fails_in_a_longer_read_does_not_fail_who_waits_for_a_sound_block() -> None:
    image = write(DISC)
    at = entry(image, 20)
    source = BadStorage(image)
    disc = Disc(source, cso.open_map(source), BlockCache(1 << 20))
    disc.blocks.row(0)  # the index is in memory
    source.bad = range(at, at + 1)
    source.go.clear()
    source.reading.clear()
    outcomes: dict[str, object] = {}
    end = time.monotonic() + LIMIT

    def ask(name: str, n: int) -> None:
        try:
            outcomes[name] = disc.pread(n, 15 * 2048)
        except ImageError as error:
            outcomes[name] = error

    long = threading.Thread(target=ask, args=("long", 10 * 2048))
    long.start()
    assert source.reading.wait(LIMIT)
    short = threading.Thread(target=ask, args=("short", 2048))
    short.start()
    while not waits(short):
        assert time.monotonic() < end
    source.go.set()
    long.join(LIMIT)
    short.join(LIMIT)
    assert isinstance(outcomes["long"], ImageError)
    assert outcomes["short"] == DISC[15 * 2048 : 16 * 2048]


def test_impatient_thread_decodes_a_few_milliseconds_worth_and_keeps_it() -> None:
    disc, source = opened(write(DISC))
    assert impatient(lambda: disc.pread(5000, 3000)) == DISC[3000:8000]
    reads = len(source.reads)
    assert impatient(lambda: disc.pread(5000, 3000)) == DISC[3000:8000]
    assert disc.pread(5000, 3000) == DISC[3000:8000]
    assert len(source.reads) == reads
    assert disc.cache.misses == 3


@pytest.mark.parametrize("there", [0, 2048])
def test_impatient_thread_is_told_to_ask_again_where_it_would_take_long(there: int) -> None:
    long = random.Random(1).randbytes(100) * 20_000
    disc, source = opened(write(long))
    disc.pread(there, 0)
    source.reads.clear()
    with pytest.raises(NotReady):
        impatient(lambda: disc.pread(len(long), 0))
    assert source.reads == []
    assert disc.pread(len(long), 0) == long


class Cold(Memory):
    """A source of which nothing is in memory."""

    def pread(self, n: int, offset: int) -> bytes:
        if not may_wait():
            raise NotReady
        return super().pread(n, offset)


def test_impatient_thread_is_told_to_ask_again_where_storage_must_be_waited_for() -> None:
    source = Cold(write(DISC))
    disc = Disc(source, cso.open_map(source), BlockCache(1 << 20))

    def read() -> bytes:
        return disc.pread(4096, 0)

    with pytest.raises(NotReady):  # for the index
        impatient(read)
    disc.blocks.row(0)
    with pytest.raises(NotReady):
        impatient(read)
    assert read() == DISC[:4096]
    assert impatient(read) == DISC[:4096]


def test_impatient_thread_gets_the_error_of_a_damaged_block() -> None:
    disc, _ = opened(with_entry(write(DISC), 20, 0))
    with pytest.raises(ImageError, match="block 19"):
        impatient(lambda: disc.pread(2048, 19 * 2048))


def test_discs_that_share_a_cache_do_not_mix_their_blocks() -> None:
    cache = BlockCache(1 << 20)
    other = sample_disc(60, tail=700, seed=1)
    first, _ = opened(write(DISC), cache)
    second, _ = opened(write(other), cache)
    for disc, plain in ((first, DISC), (second, other), (first, DISC)):
        assert_same(disc, plain)


def test_disc_upon_a_disc() -> None:
    inner = write(DISC, block_size=4096)
    lower, _ = opened(write(inner))
    upper = Disc(lower, cso.open_map(lower), lower.cache)
    assert_same(upper, DISC)


def test_blocks_that_are_not_stored_are_zeros() -> None:
    def load(first: int, count: int) -> Rows:
        rows = empty_rows()
        for block in range(first, first + count):
            rows.positions.append(0 if block % 2 else block * 1000)
            rows.stored.append(0 if block % 2 else 1000)
            rows.kinds.append(ZERO if block % 2 else PLAIN)
        return rows

    data = random.Random(1).randbytes(5000)
    blocks = BlockMap(format="test", block_size=1000, disc_size=3700, kinds=frozenset(), load=load)
    disc = Disc(Memory(data), blocks, BlockCache(10_000))
    assert_same(disc, data[:1000] + bytes(1000) + data[2000:3000] + bytes(700))


def test_threads_read_the_same_disc() -> None:
    disc, _ = opened(write(DISC), BlockCache(8 * 2048))
    wrong: list[int] = []

    def read(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(200):
            offset = chance.randrange(len(DISC))
            n = chance.choice((1, 2048, 5000, 20_000))
            if disc.pread(n, offset) != DISC[offset : offset + n]:
                wrong.append(offset)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert wrong == []


def test_an_image_that_changed_is_told_as_such_by_every_block() -> None:
    class Changed(Memory):
        def pread(self, n: int, offset: int) -> bytes:
            if self.changed:
                raise ImageChanged("the image file was changed while it is in use")
            return super().pread(n, offset)

        changed = False

    source = Changed(write(sample_disc()))
    disc = Disc(source, cso.open_map(source), BlockCache(limits.CACHE_LEAST))
    disc.pread(1, 0)
    source.changed = True
    for offset in (5 * 2048, 6 * 2048):
        with pytest.raises(ImageChanged, match=r"^block "):
            disc.pread(1, offset)
