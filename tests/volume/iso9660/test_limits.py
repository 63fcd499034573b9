"""One crossing of each limit that a hostile disc could reach for."""

from __future__ import annotations

import pytest
from writers.discs import (
    DIRECTORY,
    FILE,
    LINK,
    MULTI_EXTENT,
    SECTOR,
    Disc,
    MemorySource,
    ce,
    component,
    content,
    descriptor,
    names,
    nm,
    open_source,
    px,
    record,
    rock,
    sl,
    words,
)

from isofs import limits
from isofs.errors import ImageError
from isofs.volume.iso9660.descriptors import read_descriptors
from isofs.volume.iso9660.volume import Iso9660
from isofs.volume.tree import ROOT, find, walk

pytestmark = pytest.mark.usefixtures("each_way")

Patch = pytest.MonkeyPatch


def test_descriptor_sectors(monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "DESCRIPTOR_SECTORS", 5)
    other = descriptor(record(b"\0", 30, SECTOR), kind=9)
    sound = descriptor(record(b"\0", 30, SECTOR))
    assert read_descriptors(MemorySource(bytes(16 * SECTOR) + other * 4 + sound)).primary
    with pytest.raises(ImageError):
        read_descriptors(MemorySource(bytes(16 * SECTOR) + other * 5 + sound))


def test_descriptor_gap() -> None:
    memory = MemorySource(bytes(1000 * SECTOR))
    with pytest.raises(ImageError):
        read_descriptors(memory)
    assert memory.reads <= limits.DESCRIPTOR_GAP + 1


def many_files(count: int, sectors: int) -> Disc:
    disc = Disc(sectors=sectors)
    for i in range(count):
        disc.root.file(b"FILE%04d.TXT;1" % i)
    return disc


def test_directory_size(monkeypatch: Patch) -> None:
    disc = many_files(200, 5)
    monkeypatch.setattr(limits, "DIRECTORY_SIZE", 2 * SECTOR)
    volume = disc.open()
    found = names(volume)
    assert 0 < len(found) < 100
    assert found == [b"file%04d.txt" % i for i in range(len(found))]
    assert any("4096 can be read" in finding for finding in words(volume))


def test_a_claim_of_four_gigabytes_of_directory_reads_what_the_limit_allows(monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "DIRECTORY_SIZE", 8 * SECTOR)
    disc = Disc()
    folder = disc.folder(disc.root)
    folder.data[:] = record(b"\0", folder.extent, 0xFFFFF800, flags=DIRECTORY)
    disc.root.add(record(b"DIR", folder.extent, 0xFFFFF800, flags=DIRECTORY))
    memory = MemorySource(disc.build() + bytes(200 * SECTOR))
    volume = open_source(memory)
    assert names(volume, find(volume, "dir").inode) == []
    assert memory.read_bytes <= 30 * SECTOR


def test_directory_records(monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "DIRECTORY_RECORDS", 50)
    volume = many_files(51, 3).open()
    assert names(volume) == [b"file%04d.txt" % i for i in range(50)]
    assert any("more than 50 entries" in finding for finding in words(volume))


def test_as_many_records_as_the_limit_are_no_finding(monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "DIRECTORY_RECORDS", 50)
    volume = many_files(50, 3).open()
    assert len(names(volume)) == 50
    assert not words(volume)


def test_directory_cache(monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "DIRECTORY_CACHE", 30_000)
    disc = Disc(sectors=2)
    for i in range(20):
        folder = disc.root.directory(b"DIR%02d" % i)
        for j in range(10):
            folder.file(b"F%d.;1" % j)
    memory = MemorySource(disc.build())
    volume = open_source(memory)
    inodes = [found.inode for found in volume.entries(ROOT)]
    for inode in inodes:
        assert len(volume.entries(inode)) == 10
    before = memory.reads
    volume.entries(inodes[-1])
    assert memory.reads == before
    volume.entries(inodes[0])
    assert memory.reads > before
    assert cached_weight(volume) <= 30_000


def cached_weight(volume: Iso9660) -> int:
    return sum(table.weight for table in volume._tables.kept.values())


def test_the_directory_used_last_is_kept_whatever_its_size(monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "DIRECTORY_CACHE", 1)
    memory = MemorySource(many_files(100, 5).build())
    volume = open_source(memory)
    names(volume)
    before = memory.reads
    names(volume)
    assert memory.reads == before


def test_a_directory_is_kept_as_long_as_somebody_holds_its_entries(monkeypatch: Patch) -> None:
    """Two large directories that are listed by turns are not parsed each time."""
    monkeypatch.setattr(limits, "DIRECTORY_CACHE", 1)
    disc = Disc()
    for name in (b"ONE", b"TWO"):
        folder = disc.root.directory(name, sectors=5)
        for i in range(100):
            folder.file(b"FILE%04d.TXT;1" % i, extent=30, size=1)
    memory = MemorySource(disc.build())
    volume = open_source(memory)
    inodes = [found.inode for found in volume.entries(ROOT)]
    held = [volume.entries(inode) for inode in inodes]
    before = memory.reads
    for i in range(100):
        for inode, entries in zip(inodes, held, strict=True):
            assert volume.lookup(inode, b"file%04d.txt" % i) == entries[i].attributes
            assert volume.entries(inode) is entries
    assert memory.reads == before
    assert len(volume._tables.kept) == 1
    del entries
    held.clear()
    assert len(volume.entries(inodes[0])) == 100
    assert memory.reads > before


def deep_disc(depth: int) -> Disc:
    disc = Disc()
    folder = disc.root
    for _ in range(depth):
        folder = folder.directory(b"D")
    folder.file(b"BOTTOM.;1")
    return disc


def test_depth() -> None:
    volume = deep_disc(limits.DEPTH - 1).open()
    steps = list(walk(volume, volume.attributes(ROOT)))
    assert steps[-1].path.endswith(b"d/bottom")
    volume = deep_disc(limits.DEPTH).open()
    steps = list(walk(volume, volume.attributes(ROOT)))
    assert isinstance(steps[-1].error, ImageError)
    assert len(steps) == limits.DEPTH + 1


def test_deep_directories_can_be_asked_for_by_number() -> None:
    volume = deep_disc(limits.DEPTH + 50).open()
    found = find(volume, "/".join("d" * (limits.DEPTH + 50)))
    assert names(volume, found.inode) == [b"bottom"]


def test_sections(monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "SECTIONS", 10)
    disc = Disc(sectors=2)
    block = disc.store(b"x")
    for i in range(12):
        disc.root.file(b"A.;1", extent=block, size=1, flags=MULTI_EXTENT if i < 11 else 0)
    disc.root.file(b"B.;1", b"next")
    volume = disc.open()
    found = volume.entries(ROOT)
    assert found[0].attributes is not None
    assert found[0].attributes.size == 10
    assert volume.attributes(found[0].inode) == found[0].attributes
    with pytest.raises(ImageError, match="more than 10 sections"):
        content(volume, "a")
    assert content(volume, "b") == b"next"
    assert words(volume)


def test_continuations(monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "CONTINUATIONS", 2)
    disc = Disc(rock=True)
    last = disc.store(nm(b"3"))
    middle = disc.store(ce(last, 0, 6) + nm(b"2", 1))
    first = disc.store(ce(middle, 0, 34) + nm(b"1", 1))
    disc.root.file(b"A.;1", system_use=px(FILE) + ce(first, 0, 34))
    disc.root.file(b"B.;1", system_use=px(FILE) + ce(middle, 0, 34))
    volume = disc.open()
    assert names(volume)[1] == b"23"
    assert len(names(volume)) == 2
    assert any("more than 2 continuation areas" in finding for finding in words(volume))


def test_continuation_bytes() -> None:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", system_use=rock(b"a") + ce(24, 0, limits.CONTINUATION_BYTES))
    memory = MemorySource(disc.build() + bytes(100 * SECTOR))
    volume = open_source(memory)
    assert names(volume) == [b"a"]
    assert memory.read_bytes < limits.CONTINUATION_BYTES
    assert any("bytes of system use entries" in finding for finding in words(volume))


def test_name_collected_and_name_shown() -> None:
    disc = Disc(rock=True)
    area = nm(b"n" * 240, 1) * 10
    block = disc.store(area)
    disc.root.file(b"A.;1", b"data", system_use=px(FILE) + ce(block, 0, len(area)))
    volume = disc.open()
    (name,) = names(volume)
    assert len(name) == limits.NAME_SHOWN
    assert volume.lookup(ROOT, name) is not None


def test_link_target() -> None:
    disc = Disc(rock=True)
    area = sl(component(b"z" * 240), flags=1) * 17 + sl(component(b"y"))
    block = disc.store(area)
    disc.root.file(b"A.;1", system_use=px(LINK) + nm(b"a") + ce(block, 0, len(area)))
    volume = disc.open()
    with pytest.raises(ImageError, match=str(limits.LINK_TARGET)):
        volume.readlink(volume.entries(ROOT)[0].inode)


def test_hard_links(monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "HARD_LINKS", 2)
    disc = Disc(rock=True, sectors=2)
    for i in range(3):
        block = disc.store(b"%d" % i)
        for j in range(2):
            use = rock(b"%d-%d" % (i, j), nlink=2, serial=i + 1)
            disc.root.file(b"%d%d.;1" % (i, j), extent=block, size=1, system_use=use)
    volume = disc.open()
    inodes = [found.inode for found in volume.entries(ROOT)]
    assert inodes[0] == inodes[1]
    assert inodes[2] == inodes[3]
    assert inodes[4] != inodes[5]
    for found in volume.entries(ROOT):
        assert volume.attributes(found.inode) == found.attributes
    assert content(volume, "2-1") == b"2"


def test_findings(monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "FINDINGS", 7)
    disc = Disc(sectors=3)
    for i in range(50):
        disc.root.add(record(b"BAD", 30, 1, identifier_length=0))
        disc.root.file(b"GOOD%02d.;1" % i)
    volume = disc.open()
    told: list[str] = []
    volume.findings.report = lambda finding: told.append(finding.words)
    assert names(volume) == [b"good%02d" % i for i in range(50)]
    assert len(volume.findings.found) == 7
    assert len(told) <= 7
