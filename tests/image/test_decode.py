from __future__ import annotations

import _thread
import os
import random
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from mmap import mmap
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from writers.containers import Codec, deflate_with_adler, lz4_block, lz4_with_size, raw_deflate, zlib_stream
from writers.sources import Memory
from writers.threads import LIMIT, forget, impatient, native_threads, until

from isofs.errors import ImageError
from isofs.image import codecs, cso, decode
from isofs.image.blockmap import BAD, DEFLATE, LZ4, PLAIN, ZERO, ZLIB, Rows, empty_rows
from isofs.image.decode import COLD, HELPED, READY, WAITED
from isofs.image.source import FileSource

BLOCK: Final = 2048
ROWS: Final = 16
SLOT: Final = ROWS * BLOCK
SLOTS: Final = 3
STORE: Final[dict[int, Codec]] = {
    PLAIN: bytes,
    DEFLATE: raw_deflate,
    ZLIB: zlib_stream,
    LZ4: lz4_block,
    ZERO: lambda block: b"",
    BAD: lambda block: b"",
}
KINDS: Final = (PLAIN, DEFLATE, ZLIB, LZ4, ZERO)
WITH_ONE_FILE = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

Stored = tuple[int, bytes]
"""The kind of a block, and its stored bytes."""


@pytest.fixture(autouse=True, scope="module")
def _codecs() -> None:
    for kind in (DEFLATE, ZLIB, LZ4):
        codecs.require(kind)


class Room:
    """A file, an arena and its slots."""

    def __init__(self, kind: type[decode.Slots], path: Path, threads: int = 0) -> None:
        self.file = FileSource(str(path))
        self.arena = mmap(-1, (SLOTS + 1) * SLOT)
        self.slots = kind(self.file, self.arena, SLOTS, SLOT, SLOT, ROWS, ROWS, threads)

    def bytes(self, slot: int, n: int) -> bytes:
        return self.arena[slot * SLOT : slot * SLOT + n]

    def bad(self, slot: int, count: int) -> list[int]:
        return [row for row in range(count) if self.slots.bad(slot, row, row + 1)]

    def close(self) -> None:
        self.slots.stop()
        self.file.close()


@pytest.fixture
def room(slots: type[decode.Slots], tmp_path: Path) -> Iterator[Callable[..., Room]]:
    """Makes a `Room` of a file's bytes."""
    made: list[Room] = []

    def make(data: bytes, threads: int = 0) -> Room:
        (tmp_path / "image").write_bytes(data)
        made.append(Room(slots, tmp_path / "image", threads))
        return made[-1]

    yield make
    for one in made:
        one.close()


def written(blocks: Sequence[Stored], *, gap: int = 0, padding: int = 0) -> tuple[bytes, Rows]:
    """A file with these blocks, and their rows. `gap`: bytes between them; `padding`: more that the rows claim."""
    data = bytearray(b"head")
    rows = empty_rows()
    for kind, stored in blocks:
        rows.positions.append(len(data))
        rows.stored.append(len(stored) + padding)
        rows.kinds.append(kind)
        data += stored + b"\x55" * (padding + gap)
    return bytes(data), rows


def block(number: int, size: int = BLOCK) -> bytes:
    """Text that says which block it is, and some bytes by chance."""
    text = b"block %d; " % number * 300
    return (text[: size // 2] + random.Random(number).randbytes(40) + text)[:size]


def part(rows: Rows, first: int, n: int) -> Rows:
    """Some of the rows."""
    end = first + n
    return Rows(rows.positions[first:end], rows.stored[first:end], rows.kinds[first:end])


def run(kinds: Sequence[int], last: int = BLOCK) -> tuple[list[Stored], bytes]:
    """Stored blocks of these kinds and what they are; the last one has `last` bytes."""
    plain = [bytes(BLOCK) if kind == ZERO else block(i) for i, kind in enumerate(kinds)]
    plain[-1] = plain[-1][:last]
    return [(kind, STORE[kind](one)) for kind, one in zip(kinds, plain, strict=True)], b"".join(plain)


def bad_by_codecs(data: bytes, rows: Rows, total: int) -> tuple[list[int], bytes]:
    """The rows that `codecs` cannot decode, and the bytes of the others."""
    wants = [min(BLOCK, total - i * BLOCK) for i in range(len(rows.kinds))]
    made = codecs.decode_rows(Memory(data), codecs.rows_to_decode(rows, wants), BLOCK)
    bad = [i for i, one in enumerate(made) if isinstance(one, ImageError)]
    return bad, b"".join(one if isinstance(one, bytes) else bytes(n) for one, n in zip(made, wants, strict=True))


# --- what is decoded ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize("last", [1, 700, BLOCK])
@pytest.mark.parametrize("kinds", [*([kind] * 5 for kind in KINDS), [*KINDS, *reversed(KINDS)]], ids=str)
def test_run_is_decoded_whole_with_a_short_last_block(
    room: Callable[..., Room], kinds: list[int], last: int, gap: int
) -> None:
    blocks, plain = run(kinds, last)
    data, rows = written(blocks, gap=gap)
    of = room(data)
    of.slots.load(1, rows, BLOCK, len(plain))
    assert of.slots.help(1, True) == HELPED
    assert not of.slots.bad(1, 0, len(kinds))
    assert of.bytes(1, len(plain)) == plain
    assert of.bytes(0, SLOT) == of.bytes(2, SLOT) == bytes(SLOT)
    assert of.bytes(1, SLOT)[len(plain) :] == bytes(SLOT - len(plain))


@pytest.mark.parametrize("kind", [PLAIN, DEFLATE, LZ4])
def test_padding_is_passed_over(room: Callable[..., Room], kind: int) -> None:
    blocks, plain = run([kind] * 6)
    data, rows = written(blocks, padding=60)
    of = room(data)
    of.slots.load(0, rows, BLOCK, len(plain))
    of.slots.help(0, True)
    assert not of.slots.bad(0, 0, 6)
    assert of.bytes(0, len(plain)) == plain


def test_rows_need_not_lie_in_order(room: Callable[..., Room]) -> None:
    blocks, plain = run([DEFLATE, PLAIN, LZ4, DEFLATE])
    data, rows = written(blocks)
    for column in rows[:3]:
        column.reverse()
    of = room(data)
    of.slots.load(0, rows, BLOCK, len(plain))
    of.slots.help(0, True)
    assert not of.slots.bad(0, 0, 4)
    assert of.bytes(0, len(plain)) == b"".join(reversed([plain[at : at + BLOCK] for at in range(0, 4 * BLOCK, BLOCK)]))


def test_scratch_slot_is_behind_the_others(room: Callable[..., Room]) -> None:
    blocks, plain = run([DEFLATE] * ROWS)
    data, rows = written(blocks)
    of = room(data)
    of.slots.load(SLOTS, rows, BLOCK, len(plain))
    assert of.slots.help(SLOTS, True) == HELPED
    assert of.bytes(SLOTS, SLOT) == plain
    assert of.bytes(SLOTS - 1, SLOT) == bytes(SLOT)


@pytest.mark.parametrize("kind", [DEFLATE, ZLIB, LZ4, PLAIN])
def test_damaged_row_costs_only_itself(room: Callable[..., Room], kind: int) -> None:
    blocks, plain = run([kind] * 5)
    blocks[2] = (kind, b"\xff" * (20 if kind == PLAIN else len(blocks[2][1])))
    data, rows = written(blocks)
    of = room(data)
    of.slots.load(0, rows, BLOCK, len(plain))
    of.slots.help(0, True)
    assert of.bad(0, 5) == [2]
    assert of.slots.bad(0, 0, 5)
    assert of.slots.bad(0, 1, 3)
    assert not of.slots.bad(0, 0, 2)
    assert not of.slots.bad(0, 3, 5)
    found = of.bytes(0, len(plain))
    assert found[: 2 * BLOCK] == plain[: 2 * BLOCK]
    assert found[3 * BLOCK :] == plain[3 * BLOCK :]


def test_row_of_an_impossible_index_entry_is_bad(room: Callable[..., Room]) -> None:
    blocks, plain = run([DEFLATE, BAD, ZERO])
    data, rows = written(blocks)
    of = room(data)
    of.slots.load(0, rows, BLOCK, len(plain))
    of.slots.help(0, True)
    assert of.bad(0, 3) == [1]


def test_short_file_costs_what_it_lacks(room: Callable[..., Room]) -> None:
    blocks, plain = run([DEFLATE, PLAIN, DEFLATE, LZ4, ZERO])
    data, rows = written(blocks)
    of = room(data[: rows.positions[2] + 5])
    of.slots.load(0, rows, BLOCK, len(plain))
    of.slots.help(0, True)
    assert of.bad(0, 5) == [2, 3]
    assert of.bytes(0, 2 * BLOCK) == plain[: 2 * BLOCK]


@pytest.mark.parametrize("kind", [PLAIN, DEFLATE, ZLIB, LZ4])
@pytest.mark.parametrize(
    ("position", "stored"),
    [
        (1 << 63, BLOCK),
        ((1 << 64) - 1, BLOCK),
        ((1 << 63) - 10, BLOCK),
        (1 << 62, (1 << 64) - 1),
        (1, 1 << 63),
        (1, (1 << 64) - 1),
        ((1 << 64) - 5, 1 << 63),
        (3, 0),
    ],
)
def test_hostile_row_is_bad_and_costs_only_itself(
    room: Callable[..., Room], kind: int, position: int, stored: int
) -> None:
    blocks, plain = run([DEFLATE] * 5)
    data, rows = written(blocks)
    # What lies at the beginning of the file would be a sound block.
    of = room(STORE[kind](block(9)) + b"\xff" * 3000 + data)
    for i in range(5):
        rows.positions[i] += len(of.file.pread(1 << 20, 0)) - len(data)
    rows.positions[2], rows.stored[2], rows.kinds[2] = position, stored, kind
    of.slots.load(0, rows, BLOCK, len(plain))
    of.slots.help(0, True)
    if kind == PLAIN and position == 1:
        assert of.bad(0, 5) == []  # the file has these bytes
    else:
        assert of.bad(0, 5) == [2]
    assert of.bytes(0, 2 * BLOCK) == plain[: 2 * BLOCK]
    assert of.bytes(0, 5 * BLOCK)[3 * BLOCK :] == plain[3 * BLOCK :]


@pytest.mark.parametrize("change", ["longer", "shorter", "touched"])
def test_changed_file_is_not_believed(room: Callable[..., Room], change: str) -> None:
    blocks, plain = run([DEFLATE, PLAIN, ZERO])
    data, rows = written(blocks)
    of = room(data + b"..")
    status = os.stat(of.file.path)
    if change != "touched":
        os.truncate(of.file.path, status.st_size + (1 if change == "longer" else -1))
    seconds = 1 if change == "touched" else 0
    os.utime(of.file.path, ns=(0, status.st_mtime_ns + seconds))
    of.slots.load(0, rows, BLOCK, len(plain))
    of.slots.help(0, True)
    assert of.bad(0, 3) == [0, 1]


@pytest.mark.parametrize("when", [-5, 1, (1 << 63) + 7])
def test_any_time_of_modification_is_understood(room: Callable[..., Room], tmp_path: Path, when: int) -> None:
    blocks, plain = run([DEFLATE])
    data, rows = written(blocks)
    path = room(data).file.path
    os.utime(path, ns=(0, when))
    kept = os.stat(path).st_mtime_ns
    of = Room(type(room(data).slots), Path(path))
    os.utime(path, ns=(0, kept))
    of.close()
    os.utime(path, ns=(0, when))
    of = Room(type(of.slots), Path(path))
    of.slots.load(0, rows, BLOCK, len(plain))
    of.slots.help(0, True)
    assert of.bad(0, 1) == []
    os.utime(path, ns=(0, kept + 1_000_000_000))
    of.slots.load(0, rows, BLOCK, len(plain))
    of.slots.help(0, True)
    assert of.bad(0, 1) == [0]
    of.close()


def test_lz4_block_that_goes_on_past_its_end_is_bad(room: Callable[..., Room]) -> None:
    longer = lz4_block(block(1) + block(2))
    data, rows = written([(LZ4, lz4_block(block(0))), (LZ4, longer)])
    assert bad_by_codecs(data, rows, 2 * BLOCK)[0] == [1]
    of = room(data)
    of.slots.load(0, rows, BLOCK, 2 * BLOCK)
    of.slots.help(0, True)
    assert of.bad(0, 2) == [1]


# --- the methods ----------------------------------------------------------------------------------------------------


def loaded(room: Callable[..., Room], threads: int = 0) -> tuple[Room, bytes, int]:
    """A room with a run in slot 0, its bytes, and its number for `wait`."""
    blocks, plain = run([DEFLATE] * ROWS)
    data, rows = written(blocks)
    of = room(data, threads)
    return of, plain, of.slots.load(0, rows, BLOCK, len(plain))


def test_second_help_finds_the_run_ready_until_it_is_loaded_or_dropped(room: Callable[..., Room]) -> None:
    of, plain, _ = loaded(room)
    assert [of.slots.help(0, True) for _ in range(3)] == [HELPED, READY, READY]
    assert of.slots.drop(0)
    with pytest.raises(ValueError, match="no such rows"):
        of.slots.bad(0, 0, 1)
    assert of.slots.help(0, True) == HELPED
    _, rows = written([(PLAIN, block(77))])
    of.slots.load(0, rows, BLOCK, BLOCK)
    with pytest.raises(ValueError, match="no such rows"):
        of.slots.bad(0, 0, 1)
    assert of.bytes(0, BLOCK) == plain[:BLOCK]


def test_rows_that_the_run_does_not_have_are_a_mistake(room: Callable[..., Room]) -> None:
    of, _, _ = loaded(room)
    with pytest.raises(ValueError, match="no such rows"):
        of.slots.bad(0, 0, 1)
    of.slots.help(0, True)
    for first, end in ((0, ROWS + 1), (-1, 1), (3, 3), (4, 3)):
        with pytest.raises(ValueError, match="no such rows"):
            of.slots.bad(0, first, end)


def test_nothing_was_loaded(room: Callable[..., Room]) -> None:
    of = room(b"data", 1)
    with pytest.raises(ValueError, match="nothing is loaded"):
        of.slots.help(0, True)
    with pytest.raises(IndexError):
        of.slots.help(SLOTS + 1, True)
    assert of.slots.drop(0)


@pytest.mark.parametrize(
    ("rows", "block_size", "total"),
    [
        (0, BLOCK, 1),
        (ROWS + 1, BLOCK, ROWS * BLOCK + 1),
        (2, SLOT, SLOT + 1),
        (1, BLOCK, BLOCK + 1),
        (2, BLOCK, BLOCK),
        (2, BLOCK, 2 * BLOCK + 1),
        (1, BLOCK, 0),
        (3, (1 << 63) + 1, 10),
        (2, 0, 0),
    ],
)
def test_what_does_not_fit_is_refused(room: Callable[..., Room], rows: int, block_size: int, total: int) -> None:
    _, columns = written([(ZERO, b"")] * rows)
    with pytest.raises(ValueError, match="do not fit"):
        room(b"data").slots.load(0, columns, block_size, total)


def test_arena_that_is_too_small_is_refused(slots: type[decode.Slots], tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"data")
    file = FileSource(str(tmp_path / "image"))
    with pytest.raises(ValueError, match="arena"):
        slots(file, mmap(-1, 4 * 4096), 3, 4096, 4097, 1, 1, 0)
    file.close()


@pytest.mark.parametrize("first", [True, False])
def test_queued_run_is_there_after_the_wait(room: Callable[..., Room], first: bool) -> None:
    """Where the worker comes too late, on a busy machine, whoever waited decodes it."""
    of, plain, number = loaded(room, 2)
    _, rows = written(run([DEFLATE] * ROWS)[0])
    for _ in range(200):
        queued = of.slots.queue(0, first)
        of.slots.wait(0, number)
        came = of.slots.help(0, True)
        assert of.bytes(0, SLOT) == plain
        if came == (READY if queued else HELPED):
            break
        until(partial(of.slots.drop, 0))
        number = of.slots.load(0, rows, BLOCK, len(plain))
    else:
        pytest.fail("no worker ever came in time")


def test_queued_run_is_there_for_who_helps_at_once(room: Callable[..., Room]) -> None:
    of, plain, _ = loaded(room, 1)
    _, rows = written(run([DEFLATE] * ROWS)[0])
    for _ in range(200):
        of.slots.drop(0)
        until(partial(of.slots.drop, 0))
        of.slots.load(0, rows, BLOCK, len(plain))
        of.slots.queue(0, True)
        assert of.slots.help(0, True) in (READY, HELPED, WAITED)
        assert not of.slots.bad(0, 0, ROWS)
        assert of.bytes(0, SLOT) == plain


def test_runs_are_not_mixed_up_by_workers(room: Callable[..., Room]) -> None:
    """Slots are dropped, loaded and queued again in any order; each holds what it was loaded with last."""
    blocks, plain = run([DEFLATE, LZ4, PLAIN, ZLIB] * 16)
    data, rows = written(blocks)
    of = room(data, 2)
    chance = random.Random(5)
    holds: dict[int, int] = {}
    for _ in range(1500):
        slot = chance.randrange(SLOTS)
        if slot in holds and chance.random() < 0.5:
            first = holds[slot]
            assert of.slots.help(slot, True) != COLD
            assert of.bytes(slot, 8 * BLOCK) == plain[first * BLOCK : (first + 8) * BLOCK]
        elif of.slots.drop(slot):
            first = holds[slot] = chance.randrange(56)
            of.slots.load(slot, part(rows, first, 8), BLOCK, 8 * BLOCK)
            if chance.random() < 0.8:
                of.slots.queue(slot, chance.random() < 0.5)


def test_wait_for_what_was_loaded_before_does_not_wait(room: Callable[..., Room]) -> None:
    of, plain, number = loaded(room, 1)
    _, rows = written(run([DEFLATE] * ROWS)[0])
    of.slots.load(0, rows, BLOCK, len(plain))
    of.slots.wait(0, number)
    of.slots.queue(0, False)
    of.slots.wait(0, number)


def test_stop_ends_the_workers_with_runs_still_queued(room: Callable[..., Room]) -> None:
    before = native_threads()
    of, plain, number = loaded(room, 3)
    _, rows = written(run([DEFLATE] * ROWS)[0])
    for slot in range(SLOTS):
        of.slots.load(slot, rows, BLOCK, len(plain))
        queued = of.slots.queue(slot, False)
        assert native_threads() == before + (3 if queued else 0)
    assert of.slots.stop()
    until(lambda: native_threads() == before)  # one that was joined may still be on its way out
    assert of.slots.stop()
    assert not of.slots.queue(0, False)
    of.slots.wait(0, number + 1)


def test_workers_end_with_their_slots(room: Callable[..., Room], slots: type[decode.Slots], tmp_path: Path) -> None:
    before = native_threads()
    blocks, plain = run([DEFLATE] * ROWS)
    data, rows = written(blocks)
    path = Path(room(data).file.path)
    for _ in range(20):
        of = Room(slots, path, 2)
        of.slots.load(0, rows, BLOCK, len(plain))
        of.slots.queue(0, True)
        of.file.close()
        del of
    until(lambda: native_threads() <= before)  # fewer if those of an earlier test were still ending


def test_after_the_stop_nothing_is_read_from_whatever_has_the_files_number_now(
    room: Callable[..., Room], tmp_path: Path
) -> None:
    of, _, _ = loaded(room)
    status = os.stat(of.file.path)
    other = tmp_path / "other"
    other.write_bytes((tmp_path / "image").read_bytes())
    os.utime(other, ns=(0, status.st_mtime_ns))
    number = of.file.fileno()
    of.slots.stop()
    of.file.close()
    with open(other, "rb") as file:
        if file.fileno() != number:
            os.dup2(file.fileno(), number)
        of.slots.help(0, True)
        assert of.bad(0, ROWS) == list(range(ROWS))
        if file.fileno() != number:
            os.close(number)


# --- storage --------------------------------------------------------------------------------------------------------


def cold(room: Callable[..., Room], threads: int) -> tuple[Room, bytes, int]:
    """As `loaded`, with a run that is not in memory. The system may be quick to fetch it: asked again until it is."""
    blocks, plain = run([PLAIN, DEFLATE] * (ROWS // 2))
    data, rows = written(blocks)
    of = room(b"\xff" * (3 << 20) + data + b"\xff" * (3 << 20), threads)
    for i in range(ROWS):
        rows.positions[i] += 3 << 20
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        number = of.slots.load(0, rows, BLOCK, len(plain))
        forget(of.file.path)
        if impatient(lambda: of.slots.help(0, False)) == COLD:
            return of, plain, number
    pytest.fail("this file system keeps everything in memory")


def test_run_that_is_not_in_memory_is_decoded_by_who_may_wait(room: Callable[..., Room]) -> None:
    of, plain, _ = cold(room, 0)
    with pytest.raises(ValueError, match="no such rows"):
        of.slots.bad(0, 0, 1)
    assert of.slots.help(0, True) == HELPED
    assert of.bad(0, ROWS) == []
    assert of.bytes(0, SLOT) == plain


def test_run_that_is_not_in_memory_is_brought_by_a_worker(room: Callable[..., Room]) -> None:
    of, plain, number = cold(room, 1)
    queued = of.slots.queue(0, True)
    of.slots.wait(0, number)
    assert of.slots.help(0, True) == (READY if queued else HELPED)
    assert of.bad(0, ROWS) == []
    assert of.bytes(0, SLOT) == plain


def test_bytes_beyond_the_end_are_no_reason_to_wait_for_ever(room: Callable[..., Room]) -> None:
    blocks, plain = run([DEFLATE] * 3)
    data, rows = written(blocks)
    of = room(data[:-3], 1)
    number = of.slots.load(0, rows, BLOCK, len(plain))
    if impatient(lambda: of.slots.help(0, False)) == COLD:
        of.slots.queue(0, True)
        of.slots.wait(0, number)
    of.slots.help(0, True)
    assert of.bad(0, 3) == [2]


def test_who_waits_for_a_run_that_is_dropped_is_woken(room: Callable[..., Room]) -> None:
    of, plain, _ = loaded(room, 1)
    _, rows = written(run([DEFLATE] * ROWS)[0])
    for _ in range(100):
        for slot in range(SLOTS):  # the only worker comes to the last one after the others
            until(partial(of.slots.drop, slot))
            number = of.slots.load(slot, rows, BLOCK, len(plain))
            of.slots.queue(slot, False)
        waiter = threading.Thread(target=of.slots.wait, args=(SLOTS - 1, number), daemon=True)
        waiter.start()
        for slot in reversed(range(SLOTS)):
            of.slots.drop(slot)
        waiter.join(LIMIT)
        assert not waiter.is_alive()


# --- the workers in Python: any source, and storage that does not answer ----------------------------------------------


class Gated(Memory):
    """A source that some reads of other threads than this one get stuck in."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.open = threading.Event()
        self.open.set()
        self.stuck = 0
        self._owner = threading.get_ident()
        self._lock = threading.Lock()

    def more_than(self, stuck: int) -> bool:
        return self.stuck > stuck

    def pread(self, n: int, offset: int) -> bytes:
        if threading.get_ident() != self._owner and not self.open.is_set():
            with self._lock:
                self.stuck += 1
            self.open.wait(LIMIT)
        return super().pread(n, offset)


class Behind:
    """Slots in Python over a `Gated` source, each loaded with the same blocks."""

    def __init__(self, threads: int, slots: int = SLOTS) -> None:
        blocks, self.plain = run([DEFLATE] * ROWS)
        data, self.rows = written(blocks)
        self.source = Gated(data)
        self.arena = mmap(-1, (slots + 1) * SLOT)
        self.slots = decode.Slots(self.source, self.arena, slots, SLOT, SLOT, ROWS, ROWS, threads)
        self.numbers = [self.load(slot) for slot in range(slots)]

    def load(self, slot: int) -> int:
        return self.slots.load(slot, self.rows, BLOCK, len(self.plain))

    def stick(self, *slots: int) -> None:
        """Each of these slots is in the hands of a worker who is stuck."""
        self.source.open.clear()
        for slot in slots:
            stuck = self.source.stuck
            assert self.slots.queue(slot, False)
            until(partial(self.source.more_than, stuck))

    def right(self, slot: int) -> bool:
        return not self.slots.bad(slot, 0, ROWS) and self.arena[slot * SLOT : (slot + 1) * SLOT] == self.plain


@pytest.fixture
def behind() -> Iterator[Callable[..., Behind]]:
    made: list[Behind] = []

    def make(threads: int, slots: int = SLOTS) -> Behind:
        made.append(Behind(threads, slots))
        return made[-1]

    yield make
    for one in made:
        one.source.open.set()
        assert one.slots.stop()


def seconds(function: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.monotonic()
    function()
    return time.monotonic() - start


def test_slot_in_the_hands_of_a_worker_is_neither_loaded_nor_dropped(behind: Callable[..., Behind]) -> None:
    of = behind(1)
    of.stick(0)
    assert not of.slots.drop(0)
    with pytest.raises(ValueError, match="in use"):
        of.load(0)
    of.source.open.set()
    assert of.slots.help(0, True) in (READY, WAITED)
    assert of.right(0)


def test_worker_that_is_stuck_is_waited_for_once_and_briefly(behind: Callable[..., Behind]) -> None:
    of = behind(1)
    of.stick(0)
    took = seconds(lambda: [of.slots.help(0, False) for _ in range(500)])
    assert [of.slots.help(0, False) for _ in range(3)] == [COLD] * 3
    assert took < 1  # 500 times the patience would be two


def test_who_asks_for_what_a_stuck_worker_has_not_come_to_decodes_it(behind: Callable[..., Behind]) -> None:
    of = behind(1)
    of.stick(0)
    assert of.slots.queue(1, False)
    assert of.slots.help(1, False) == HELPED
    assert of.right(1)
    of.source.open.set()
    of.slots.wait(0, of.numbers[0])
    assert of.right(0)
    assert of.right(1)


def test_nothing_is_left_to_workers_as_the_next_thing_while_all_are_stuck(behind: Callable[..., Behind]) -> None:
    of = behind(2)
    of.stick(0)
    assert of.slots.queue(1, True)  # there is another one
    of.slots.drop(1)
    of.stick(2)
    assert not of.slots.queue(1, True)
    assert of.slots.queue(1, False)
    assert of.slots.queue(0, True)  # one is at it


def test_run_that_no_worker_comes_to_is_not_waited_for_for_ever(behind: Callable[..., Behind]) -> None:
    of = behind(1)
    of.stick(0)
    assert of.slots.queue(1, False)
    of.slots.wait(1, of.numbers[1])
    assert of.slots.help(1, False) == HELPED


def test_end_waits_for_a_stuck_worker_but_not_long(behind: Callable[..., Behind]) -> None:
    of = behind(2)
    of.stick(0)
    of.slots.queue(1, False)
    assert seconds(lambda: of.slots.stop()) < 5
    assert not of.slots.stop()
    of.slots.wait(0, of.numbers[0])
    assert not of.slots.queue(2, False)
    assert of.slots.help(2, False) == HELPED
    of.source.open.set()
    until(of.slots.stop)


def test_what_was_queued_in_vain_does_not_pile_up(behind: Callable[..., Behind]) -> None:
    of = behind(1)
    of.stick(0)
    for number in range(300):
        slot = 1 + number % 2
        of.slots.drop(slot)
        of.load(slot)
        of.slots.queue(slot, number % 3 == 0)
    assert len(of.slots._queue.entries) <= 2
    of.source.open.set()
    for slot in range(SLOTS):
        of.slots.help(slot, True)
        assert of.right(slot)


def test_what_a_worker_meets_is_raised_to_who_asks(
    behind: Callable[..., Behind], monkeypatch: pytest.MonkeyPatch
) -> None:
    of = behind(2)

    def broken(n: int, offset: int) -> bytes:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(of.source, "pread", broken)
        of.slots.queue(0, False)
        of.slots.wait(0, of.numbers[0])
        with pytest.raises(MemoryError):
            of.slots.help(0, True)
    assert of.slots.queue(0, True)
    assert of.slots.help(0, True) != COLD
    assert of.right(0)


@pytest.mark.parametrize("there", [0, 1])
def test_threads_that_cannot_be_had_are_done_without(
    behind: Callable[..., Behind], monkeypatch: pytest.MonkeyPatch, there: int
) -> None:
    of = behind(3)
    left = [True] * there
    start = _thread.start_new_thread

    def limited(run: Callable[[], object], args: tuple[()]) -> int:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        return start(run, args)

    monkeypatch.setattr(_thread, "start_new_thread", limited)
    for slot in range(SLOTS):
        assert of.slots.queue(slot, False) == bool(there)
    for slot in range(SLOTS):
        assert of.slots.help(slot, True) != COLD
        assert of.right(slot)


def test_without_patience_nothing_is_begun(behind: Callable[..., Behind]) -> None:
    of = behind(0)
    assert of.slots.help(0, False, 0) == COLD
    assert of.slots.help(0, False, -1) == COLD
    assert of.slots.help(0, True, 0) == HELPED
    assert of.slots.help(0, False, 0) == READY


def test_slot_belongs_to_one_thread_at_a_time() -> None:
    """A worker that has said that it is done has nothing more to say about the slot, which may be in use again."""
    inside = [0] * 3
    clashes = []

    class Watched(decode.Slots):
        def _decode(self, slot: int) -> frozenset[int] | None:
            inside[slot] += 1
            try:
                clashes.extend([slot] * (inside[slot] > 1))
                return super()._decode(slot)
            finally:
                inside[slot] -= 1

    data, rows = written([(DEFLATE, raw_deflate(block(number))) for number in range(8)])
    slots = Watched(Memory(data), mmap(-1, 3 * BLOCK), 2, BLOCK, BLOCK, 1, 1, 3)
    chance = random.Random(11)
    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            for slot in (0, 1):
                if slots.drop(slot):
                    number = chance.randrange(8)
                    slots.load(slot, part(rows, number, 1), BLOCK, BLOCK)
                    slots.queue(slot, bool(number % 2))
            for _ in range(1000):  # until one is done, to take it at once
                with suppress(ValueError):
                    slots.bad(chance.randrange(2), 0, 1)
                    break
    finally:
        sys.setswitchinterval(often)
        assert slots.stop()
    assert clashes == []


# --- the same as the codecs -----------------------------------------------------------------------------------------

CONTENTS = st.one_of(
    st.binary(max_size=BLOCK),
    st.builds(lambda piece, n: piece * n, st.binary(min_size=1, max_size=9), st.integers(1, BLOCK)),
).map(lambda data: data[:BLOCK])


@st.composite
def stored_blocks(draw: st.DrawFn) -> Stored:
    """A block of any kind, sound or damaged."""
    kind = draw(st.sampled_from((*KINDS, BAD)))
    plain = draw(CONTENTS)
    if draw(st.integers(0, 4)):
        plain = plain.ljust(BLOCK, b"\x07")
    how = STORE[kind]
    if kind in (DEFLATE, LZ4) and not draw(st.integers(0, 4)):
        how = {DEFLATE: draw(st.sampled_from((deflate_with_adler, zlib_stream))), LZ4: lz4_with_size}[kind]
    stored = bytearray(how(plain) if plain else b"")
    for _ in range(draw(st.sampled_from((0, 0, 1, 3)))):
        if stored:
            stored[draw(st.integers(0, len(stored) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.sampled_from((0, 0, 0, 1, 30)))
    return kind, bytes(stored[: len(stored) - cut]) + bytes(draw(st.sampled_from((0, 0, 1, 8, 100))))


@WITH_ONE_FILE
@given(
    blocks=st.lists(stored_blocks(), min_size=1, max_size=6), last=st.integers(1, BLOCK), gap=st.sampled_from((0, 5))
)
def test_what_is_said_to_be_good_is_what_the_codecs_make(
    room: Callable[..., Room], blocks: list[Stored], last: int, gap: int
) -> None:
    data, rows = written(blocks, gap=gap)
    total = (len(blocks) - 1) * BLOCK + last
    bad, plain = bad_by_codecs(data, rows, total)
    of = room(data)
    of.slots.load(0, rows, BLOCK, total)
    of.slots.help(0, True)
    found = of.bad(0, len(blocks))
    assert set(bad) <= set(found)
    for i in range(len(blocks)):
        if i not in found:
            assert of.bytes(0, SLOT)[i * BLOCK : min((i + 1) * BLOCK, total)] == plain[i * BLOCK : (i + 1) * BLOCK]
    of.close()


# --- rows of an index -----------------------------------------------------------------------------------------------

USUAL: Final = (bytes((DEFLATE, PLAIN, DEFLATE, PLAIN)), bytes((DEFLATE, LZ4, PLAIN, PLAIN)))


@st.composite
def indexes(draw: st.DrawFn) -> list[int]:
    """Entries that mostly grow by usual steps."""
    at = draw(st.integers(0, 200))
    entries = []
    for _ in range(draw(st.integers(2, 12))):
        flag = draw(st.sampled_from((0, 0, 0x8000_0000)))
        entries.append((at & 0x7FFF_FFFF) | flag)
        at += draw(st.sampled_from((1, 100, 511, 512, 512, 513, 640, 641, 700, 0, -5, 1 << 30)))
    return entries


@WITH_ONE_FILE
@given(
    entries=indexes(),
    shift=st.sampled_from((0, 1, 4)),
    before=st.integers(0, 150),
    most=st.integers(500, 800),
    usual=st.sampled_from(USUAL),
)
def test_rows_of_an_index_are_those_of_the_definition(
    slots: type[decode.Slots], entries: list[int], shift: int, before: int, most: int, usual: bytes
) -> None:
    places = [(entry & 0x7FFF_FFFF) << shift for entry in entries]
    expected: Rows | None = empty_rows()
    if not (before < places[0] and places[0] >= 24):
        expected = None
    for i in range(len(entries) - 1):
        stored = places[i + 1] - places[i]
        kind = usual[entries[i] >> 31 | (stored >= 512) << 1]
        if stored <= 0 or (stored < 512 if kind == PLAIN else stored > most):
            expected = None
        if expected is None:
            break
        expected.positions.append(places[i])
        expected.stored.append(stored)
        expected.kinds.append(kind)
    assert decode.indexed_rows(array("I", entries), shift, before, 24, most, 512, usual) == expected


@WITH_ONE_FILE
@given(entries=indexes(), shift=st.sampled_from((0, 3)), version=st.sampled_from((1, 2)), first=st.integers(0, 11))
def test_rows_of_an_image_do_not_depend_on_the_quick_way(
    slots: type[decode.Slots], entries: list[int], shift: int, version: int, first: int
) -> None:
    count = len(entries) - 1
    header = cso.HEADER.pack(b"CISO", 24, count * 512, 512, version, shift)
    source = Memory(header + array("I", entries).tobytes(), size=1 << 40)
    with pytest.MonkeyPatch.context() as patch:
        try:
            quick = cso.open_map(source)
        except ImageError:
            return
        found = [quick.rows(at, n) for at in range(count) for n in (1, 3, count)]
        patch.setattr(cso, "indexed_rows", lambda *_: None)
        slow = cso.open_map(source)
        assert found == [slow.rows(at, n) for at in range(count) for n in (1, 3, count)]


@pytest.mark.parametrize(("entries", "usual", "shift"), [([50], 4, 0), ([50, 60], 3, 0), ([50, 60], 4, 32)])
def test_index_that_makes_no_sense_is_refused(entries: list[int], usual: int, shift: int) -> None:
    module = pytest.importorskip("isofs.image._decode")
    with pytest.raises(ValueError, match=r"entries|kinds"):
        module.indexed_rows(array("I", entries), shift, 0, 24, 600, 512, bytes(usual))
