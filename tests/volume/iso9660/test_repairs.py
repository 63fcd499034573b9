"""Numbers that are told twice and disagree; a root that is not where its descriptor says."""

from __future__ import annotations

import pytest
from writers.discs import (
    DIRECTORY,
    SECTOR,
    TERMINATOR,
    Disc,
    both_16,
    both_32,
    content,
    names,
    open_bytes,
    record,
    rock,
    utf16,
    words,
)

from isofs.errors import ImageError, StaleInode
from isofs.volume.tree import find

DESCRIPTOR = 16 * SECTOR
ROOT = DESCRIPTOR + 156
LOST = "no root directory is where its descriptor tells; a path table leads to it"


def changed(image: bytes, at: int, field: bytes) -> bytes:
    return image[:at] + field + image[at + len(field) :]


def tables(disc: Disc, extent: int | None = None) -> tuple[int, int]:
    """Stores path tables, of types L and M, that hold the root alone. Gives their blocks."""
    at = disc.root.extent if extent is None else extent
    little = disc.store(b"\1\0" + at.to_bytes(4, "little") + b"\1\0\0\0")
    big = disc.store(b"\1\0" + at.to_bytes(4, "big") + b"\0\1\0\0")
    return little, big


# --- both halves of a number ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "size", "name"),
    [
        (80, 4, "volume space size"),
        (120, 2, "volume set size"),
        (124, 2, "volume sequence number"),
        (128, 2, "logical block size"),
        (132, 4, "path table size"),
        (158, 4, "root's extent"),
        (166, 4, "root's data length"),
        (184, 2, "root's volume sequence number"),
    ],
)
def test_the_little_endian_half_of_a_descriptor_counts_and_the_other_is_told(at: int, size: int, name: str) -> None:
    disc = Disc()
    disc.root.file(b"A.;1", b"a")
    image = disc.build()
    assert not words(open_bytes(image))
    volume = open_bytes(changed(image, DESCRIPTOR + at + size, b"\x77" * size))
    assert content(volume, "a") == b"a"
    assert words(volume) == [f"the both-endian numbers of a volume descriptor disagree: {name}"]
    assert not volume.findings.harmful


def test_a_root_told_in_big_endian_form_only_is_found() -> None:
    disc = Disc()
    disc.root.file(b"A.;1", b"a")
    volume = open_bytes(changed(disc.build(), ROOT + 2, bytes(4)))
    assert content(volume, "a") == b"a"
    assert words(volume) == ["a volume descriptor tells the root's extent in big-endian form only"]
    assert not volume.findings.harmful


def test_no_root_at_all_is_an_error() -> None:
    with pytest.raises(ImageError, match="names no root directory"):
        open_bytes(changed(Disc().build(), ROOT + 2, bytes(8)))


def test_a_directory_tells_all_its_disagreeing_numbers() -> None:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"a", system_use=rock(b"a"))
    disc.root.add(record(b"B.;1", disc.store(b"b"), 1, big_extent=7, big_size=8, system_use=rock(b"b")))
    raw = bytearray(record(b"C.;1", disc.store(b"c"), 1, system_use=rock(b"c")))
    raw[28:32] = both_16(1)[:2] + both_16(2)[2:]
    place = disc.root.add(bytes(raw))
    folder = disc.root.rock_directory(b"D", b"d")
    volume = disc.open()
    assert [finding.words for finding in volume.disagreements(1)] == [
        "B.;1: the both-endian numbers of its record disagree: extent, data length",
        "C.;1: the both-endian numbers of its record disagree: volume sequence number",
    ]
    assert [finding.offset for finding in volume.disagreements(1)][1] == place
    assert all(finding.harmless for finding in volume.disagreements(1))
    assert list(volume.disagreements(folder.place)) == []
    with pytest.raises(StaleInode):
        list(volume.disagreements(find(volume, "a").inode))


# --- the root -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extent", [3, 23, 900_000, 0xFFFF_FFFF])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("block_size", [512, 2048])
def test_a_root_that_is_not_where_it_should_be_is_found_through_a_path_table(
    extent: int, which: int, block_size: int
) -> None:
    disc = Disc(rock=True, block_size=block_size)
    disc.root.file(b"A.;1", b"a", system_use=rock(b"Rock"))
    disc.root.rock_directory(b"D", b"d").file(b"B.;1", b"b", system_use=rock(b"b"))
    both = tables(disc)
    known = (both[0], 0) if which == 0 else (0, both[1])
    image = changed(disc.build(disc.primary(path_tables=known), TERMINATOR), ROOT + 2, both_32(extent))
    volume = open_bytes(image)
    assert names(volume) == [b"Rock", b"d"]
    assert content(volume, "d/b") == b"b"
    assert volume.parent(find(volume, "d").inode) == 1
    assert words(volume) == [LOST]
    assert not volume.findings.harmful


def test_the_second_path_table_is_asked_where_the_first_is_damaged() -> None:
    disc = Disc()
    disc.root.file(b"A.;1", b"a")
    little, big = tables(disc)
    image = disc.build(disc.primary(path_tables=(little, big), root=record(b"\0", 5000, SECTOR)), TERMINATOR)
    assert names(open_bytes(changed(image, little * SECTOR, b"\xff" * 10))) == [b"a"]


@pytest.mark.parametrize("table", [b"", b"\xff" * 200, b"\1\0" + bytes(4) + b"\1\0\0\0", b"\5\0\x18\0\0\0\1\0NAMES"])
def test_a_damaged_path_table_costs_nothing(table: bytes) -> None:
    disc = Disc()
    disc.root.file(b"A.;1", b"a")
    for at in (disc.store(table), 0, 4_000_000_000):
        volume = open_bytes(disc.build(disc.primary(path_tables=(at, at)), TERMINATOR))
        assert names(volume) == [b"a"]
        assert not words(volume)
        with pytest.raises(ImageError):
            open_bytes(disc.build(disc.primary(path_tables=(at, at), root=record(b"\0", 5000, SECTOR)), TERMINATOR))


def test_a_path_table_that_leads_to_no_directory_is_not_believed() -> None:
    disc = Disc()
    file = disc.store(b"no directory".ljust(SECTOR))
    stray = disc.store(record(b"\0", 77, SECTOR, flags=DIRECTORY))  # of a directory somewhere else
    for extent in (file, stray):
        both = tables(disc, extent)
        with pytest.raises(ImageError):
            open_bytes(disc.build(disc.primary(path_tables=both, root=record(b"\0", 5000, SECTOR)), TERMINATOR))


def test_the_descriptors_root_counts_where_both_lead_to_a_directory() -> None:
    disc = Disc()
    disc.root.file(b"RIGHT.;1", b"")
    other = disc.folder(None)
    other.file(b"OTHER.;1", b"")
    volume = open_bytes(disc.build(disc.primary(path_tables=tables(disc, other.extent)), TERMINATOR))
    assert names(volume) == [b"right"]


def test_a_joliet_root_is_found_through_its_own_path_table() -> None:
    disc = Disc()
    tree = disc.folder(None)
    tree.file(utf16("Joliet"), b"j")
    descriptor = disc.joliet(tree, path_tables=tables(disc, tree.extent))
    image = disc.build(disc.primary(), descriptor, TERMINATOR)
    assert names(open_bytes(changed(image, ROOT + SECTOR + 2, both_32(5000)))) == [b"Joliet"]


def test_the_extended_attribute_record_of_a_root_in_the_path_table_is_skipped() -> None:
    disc = Disc()
    disc.store(b"\xee" * SECTOR)
    root = disc.folder(None)
    root.data[1] = 1
    root.data[2:10] = both_32(root.extent - 1)
    root.file(b"A.;1", b"a")
    table = disc.store(b"\1\1" + (root.extent - 1).to_bytes(4, "little") + b"\1\0\0\0")
    image = disc.build(disc.primary(path_tables=(table, 0), root=record(b"\0", 5000, SECTOR)), TERMINATOR)
    assert names(open_bytes(image)) == [b"a"]


def test_a_root_without_a_record_of_itself_stays_where_it_is() -> None:
    disc = Disc(bare_root=True)
    disc.root.file(b"A.;1", b"a")
    volume = open_bytes(disc.build(disc.primary(path_tables=tables(disc)), TERMINATOR))
    assert names(volume) == [b"a"]
