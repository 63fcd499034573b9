"""High Sierra, the forerunner of ISO 9660."""

from __future__ import annotations

import stat

import pytest
from writers.discs import (
    ASSOCIATED,
    HIDDEN,
    MULTI_EXTENT,
    SECTOR,
    TERMINATOR,
    TIME_NS,
    Disc,
    MemorySource,
    both_32,
    content,
    er,
    high_sierra_descriptor,
    high_sierra_record,
    names,
    numbered_blocks,
    open_bytes,
    px,
    record,
    rock,
    sp,
    tree,
    utf16,
    words,
)

from isofs.errors import ImageError, UsageError
from isofs.volume.iso9660.descriptors import read_descriptors
from isofs.volume.tree import View, find

DATA = numbered_blocks(3)[:5000]
ROOT = high_sierra_record(record(b"\0", 24, SECTOR, flags=2))


def disc_of_all(block_size: int = SECTOR) -> Disc:
    disc = Disc(block_size=block_size, sectors=2)
    disc.root.file(b"HELLO.TXT;1", b"hello")
    disc.root.file(b"HIDDEN.TXT;1", b"hidden", flags=HIDDEN)
    disc.root.file(b"FORK.;1", b"fork", flags=ASSOCIATED)
    disc.root.file(b"FORK.;1", b"data")
    disc.root.file(b"PIECES.;1", DATA[:4096], flags=MULTI_EXTENT)
    disc.root.file(b"PIECES.;1", DATA[4096:])
    disc.root.add(record(b"XAR.;1", disc.store(bytes(block_size) + DATA), len(DATA), xar=1))
    stored = b"".join(DATA[at : at + block_size].ljust(2 * block_size, b"-") for at in range(0, len(DATA), block_size))
    disc.root.add(record(b"MIXED.;1", disc.store(stored), len(DATA), unit=1, gap=1))
    folder = disc.root.directory(b"FOLDER", sectors=2)
    for i in range(60):
        folder.file(b"FILE%02d.;1" % i, b"%d" % i)
    folder.directory(b"MORE.DIR").file(b"DEEP.;1", b"deep")
    return disc


@pytest.mark.parametrize("block_size", [512, 1024, 2048])
def test_a_tree_is_read(each_way: None, block_size: int) -> None:
    volume = open_bytes(disc_of_all(block_size).build_high_sierra())
    assert names(volume) == [b"hello.txt", b"hidden.txt", b"fork", b"pieces", b"xar", b"mixed", b"folder"]
    assert content(volume, "hello.txt") == b"hello"
    assert content(volume, "fork") == b"data"
    for name in ("pieces", "xar", "mixed"):
        assert content(volume, name) == DATA
    assert content(volume, "folder/file42") == b"42"
    assert content(volume, "folder/more.dir/deep") == b"deep"
    assert len(tree(volume)) == 6 + 1 + 60 + 2
    assert not words(volume)


def test_attributes_are_those_of_a_plain_disc(each_way: None) -> None:
    volume = open_bytes(disc_of_all().build_high_sierra())
    for path, mode in (("hello.txt", stat.S_IFREG | 0o555), ("folder", stat.S_IFDIR | 0o555)):
        found = find(volume, path)
        assert (found.mode, found.nlink, found.uid, found.mtime) == (mode, 1, 0, TIME_NS)
        assert volume.attributes(found.inode) == found


def test_options_hold(each_way: None) -> None:
    image = disc_of_all().build_high_sierra()
    assert b"hidden.txt" not in names(open_bytes(image, View(hide=True)))
    assert names(open_bytes(image, View(map="off")))[0] == b"HELLO.TXT;1"
    assert content(open_bytes(image, View(showassoc=True)), "._fork") == b"fork"
    assert names(open_bytes(image, View(tree="primary"))) == names(open_bytes(image))
    with pytest.raises(UsageError, match="no tree=rock"):
        open_bytes(image, View(tree="rock"))


def test_what_info_tells() -> None:
    facts = open_bytes(disc_of_all().build_high_sierra()).describe()
    assert (facts["file_system"], facts["tree"]) == ("High Sierra", "High Sierra")
    assert (facts["volume"], facts["system"]) == ("SIERRA", "SYSTEM")
    told = [facts[key] for key in ("volume_set", "publisher", "preparer", "application", "modified")]
    assert told == ["SET", "PUBLISHER", "PREPARER", "APPLICATION", None]
    assert facts["created"] == (536_555_045 * 100 + 6) * 10_000_000  # 1987-01-02 03:04:05.06


def test_there_is_no_rock_ridge(each_way: None) -> None:
    disc = Disc(root_use=sp() + er() + px(stat.S_IFDIR | 0o755))
    disc.root.file(b"PLAIN.;1", b"", system_use=rock(b"rock"))
    volume = open_bytes(disc.build_high_sierra())
    assert names(volume) == [b"plain"]
    assert not volume.rock


def test_a_damaged_record_costs_its_own_name(each_way: None) -> None:
    disc = Disc()
    disc.root.file(b"A.;1", b"a")
    place = disc.root.file(b"B.;1", b"b")
    disc.root.file(b"C.;1", b"c")
    image = bytearray(disc.build_high_sierra())
    image[place + 32] = 200
    volume = open_bytes(bytes(image))
    assert names(volume) == [b"a", b"c"]
    assert words(volume) == ["a damaged directory record was passed over"]


def test_the_root_is_found_through_the_path_table() -> None:
    disc = Disc()
    disc.root.file(b"A.;1", b"a")
    table = disc.store(disc.root.extent.to_bytes(4, "little") + b"\0\1\1\0\0\0")
    image = bytearray(disc.build_high_sierra(path_table=table))
    image[16 * SECTOR + 182 : 16 * SECTOR + 190] = both_32(5000)
    assert names(open_bytes(bytes(image))) == [b"a"]


# --- which descriptors ----------------------------------------------------------------------------------------------


def search(*sectors: bytes) -> MemorySource:
    return MemorySource(bytes(16 * SECTOR) + b"".join(sectors))


def test_iso_9660_in_front_wins_and_its_forerunner_in_front_too() -> None:
    disc = Disc()
    iso, sierra = disc.primary(), high_sierra_descriptor(ROOT)
    for sectors, expected in (((iso, sierra, TERMINATOR), False), ((sierra, iso, TERMINATOR), True)):
        primary = read_descriptors(search(*sectors)).primary
        assert primary is not None
        assert primary.high_sierra is expected


def test_a_joliet_descriptor_behind_does_not_count() -> None:
    disc = Disc()
    found = read_descriptors(search(high_sierra_descriptor(ROOT), disc.joliet(disc.root), TERMINATOR))
    assert found.primary is not None
    assert found.joliet is None
    assert found.primary.volume != utf16("DISC")


def test_a_descriptor_of_another_kind_is_passed_over() -> None:
    boot = (both_32(16) + b"\0CDROM\1").ljust(SECTOR, b"\0")
    assert read_descriptors(search(boot, high_sierra_descriptor(ROOT))).primary is not None


def test_impossible_blocks_are_an_error() -> None:
    with pytest.raises(ImageError, match="logical blocks of 4096 bytes"):
        read_descriptors(search(high_sierra_descriptor(ROOT, block_size=4096)))


def test_halves_that_disagree_are_told_at_their_places() -> None:
    raw = bytearray(high_sierra_descriptor(ROOT, space_size=99))
    assert read_descriptors(search(bytes(raw))).oddities == []
    raw[92:96] = bytes(4)
    raw[186:190] = bytes(4)
    (told,) = read_descriptors(search(bytes(raw))).oddities
    assert told == "the both-endian numbers of a volume descriptor disagree: volume space size, root's extent"
