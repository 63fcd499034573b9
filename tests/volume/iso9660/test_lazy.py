"""How much is read: a handful of sectors to open, a directory once, nothing that nobody asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import pytest
from writers.discs import SECTOR, Disc, MemorySource, names, open_source, rock

from isofs.errors import NotReady
from isofs.image.source import may_wait, never_wait
from isofs.volume.iso9660.volume import Iso9660
from isofs.volume.tree import ROOT, find

pytestmark = pytest.mark.usefixtures("each_way")


def big_disc() -> bytes:
    """100 directories of 40 files each, their records in 3 sectors."""
    disc = Disc(rock=True, sectors=8)
    block = disc.store(b"data")
    for i in range(100):
        folder = disc.root.rock_directory(b"DIR%03d" % i, b"dir%03d" % i, sectors=3)
        for j in range(40):
            folder.file(b"F%03d.;1" % j, extent=block, size=4, system_use=rock(b"file%03d" % j))
    return disc.build()


BIG = big_disc()
T = TypeVar("T")


def test_opening_reads_a_handful_of_sectors() -> None:
    memory = MemorySource(BIG)
    open_source(memory)
    assert memory.read_bytes <= 8 * SECTOR
    assert memory.reads <= 8


def test_one_lookup_reads_one_directory_for_each_name_of_its_path() -> None:
    memory = MemorySource(BIG)
    volume = open_source(memory)
    before = memory.read_bytes
    assert find(volume, "dir050/file020").size == 4
    assert memory.read_bytes - before <= (8 + 3 + 6) * SECTOR


def test_a_directory_is_parsed_once_for_many_lookups() -> None:
    memory = MemorySource(BIG)
    volume = open_source(memory)
    folder = find(volume, "dir050").inode
    names(volume, folder)
    before = memory.reads
    for j in range(40):
        assert volume.lookup(folder, b"file%03d" % j) is not None
        assert volume.lookup(folder, b"none%03d" % j) is None
    names(volume, folder)
    assert memory.reads == before


def test_data_is_not_read_before_it_is_asked_for() -> None:
    memory = MemorySource(BIG)
    volume = open_source(memory)
    found = find(volume, "dir050/file020")
    source = volume.data(found.inode)
    before = memory.read_bytes
    assert source.pread(3, 1) == b"ata"
    assert memory.read_bytes - before == 3


def test_the_attributes_of_a_number_read_a_sector_or_two() -> None:
    memory = MemorySource(BIG)
    inode = find(open_source(memory), "dir050/file020").inode
    volume = open_source(memory)
    before = memory.read_bytes
    volume.attributes(inode)
    assert memory.read_bytes - before <= 2 * SECTOR


class Cold(MemorySource):
    """A disc of which nothing is in memory before a thread that may wait has read it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.warm: set[int] = set()

    def pread(self, n: int, offset: int) -> bytes:
        sectors = range(offset // SECTOR, (offset + n - 1) // SECTOR + 1)
        if may_wait():
            self.warm.update(sectors)
        elif not self.warm.issuperset(sectors):
            raise NotReady
        return super().pread(n, offset)


def impatient(ask: Callable[[], T]) -> T | None:
    """What a thread that must not wait is answered; None for `NotReady`."""
    answer: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        never_wait()
        try:
            answer.append(ask())
        except NotReady:
            pass
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return answer[0] if answer else None


def test_who_must_not_wait_gets_what_is_in_memory() -> None:
    volume = open_source(Cold(BIG))
    assert impatient(lambda: volume.lookup(ROOT, b"dir050")) is None
    patient = volume.lookup(ROOT, b"dir050")
    assert patient is not None
    assert impatient(lambda: volume.lookup(ROOT, b"dir050")) == patient
    assert impatient(lambda: volume.entries(patient.inode)) is None
    assert len(volume.entries(patient.inode)) == 40
    assert len(impatient(lambda: volume.entries(patient.inode)) or ()) == 40


def test_asking_again_gives_the_same_answer() -> None:
    memory = Cold(BIG)
    volume, other = open_source(memory), open_source(MemorySource(BIG))
    assert impatient(lambda: volume.entries(ROOT)) is None
    assert volume.entries(ROOT) == other.entries(ROOT)
    assert not volume.findings.found


def test_who_must_not_wait_does_not_parse_a_big_directory() -> None:
    """A directory in memory is parsed at once if it is small; a big one takes too long."""
    disc = Disc(sectors=60)
    for i in range(2000):
        disc.root.file(b"FILE%04d.TXT;1" % i, extent=30, size=1)
    volume = open_source(MemorySource(disc.build()))
    assert impatient(lambda: volume.entries(ROOT)) is None
    assert len(volume.entries(ROOT)) == 2000
    assert len(impatient(lambda: volume.entries(ROOT)) or ()) == 2000

    small = open_source(MemorySource(BIG))
    assert len(impatient(lambda: small.entries(ROOT)) or ()) == 100


def test_who_must_not_wait_does_not_wait_for_another_threads_parsing() -> None:
    started, go_on = threading.Event(), threading.Event()

    class Slow(MemorySource):
        slow = False

        def pread(self, n: int, offset: int) -> bytes:
            if self.slow and may_wait():
                started.set()
                go_on.wait()
            return super().pread(n, offset)

    memory = Slow(BIG)
    volume = open_source(memory)
    memory.slow = True
    worker = threading.Thread(target=volume.entries, args=(ROOT,))
    worker.start()
    started.wait()
    answer = impatient(lambda: volume.entries(ROOT))
    go_on.set()
    worker.join()
    assert answer is None
    assert len(impatient(lambda: volume.entries(ROOT)) or ()) == 100


@pytest.mark.parametrize("threads", [2, 8])
def test_many_threads_get_the_same_answers(threads: int) -> None:
    memory = MemorySource(BIG)
    volume = open_source(memory)
    expected = {path: find(open_source(MemorySource(BIG)), path) for path in ("dir001/file001", "dir099/file039")}
    wrong: list[str] = []

    def ask(seen: Iso9660) -> None:
        for path, attributes in expected.items():
            if find(seen, path) != attributes:
                wrong.append(path)

    workers = [threading.Thread(target=ask, args=(volume,)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert memory.read_bytes <= 30 * SECTOR


def test_listing_the_root_does_not_parse_the_directories_in_it() -> None:
    memory = MemorySource(BIG)
    volume = open_source(memory)
    names(volume)
    assert memory.read_bytes <= 16 * SECTOR
