"""The search for volume descriptors."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from writers.discs import SECTOR, TERMINATOR, Disc, MemorySource, descriptor, marker, names, open_bytes, record, utf16

from isofs import limits
from isofs.errors import ImageError, IsofsError, NotADisc
from isofs.volume.iso9660.descriptors import Descriptors, read_descriptors

ROOT = record(b"\0", 30, SECTOR, flags=2)
P = descriptor(ROOT, volume=b"PRIMARY")
S = descriptor(ROOT, kind=2, escape=b"%/E", volume=utf16("JOLIET"))
ENHANCED = descriptor(ROOT, kind=2, version=2, volume=b"ENHANCED")
BOOT = (b"\0CD001\1EL TORITO SPECIFICATION").ljust(SECTOR, b"\0")
PARTITION = marker(b"CD001", 3)
UNKNOWN = marker(b"CD001", 77)
ZEROS = bytes(SECTOR)


def search(*sectors: bytes) -> Descriptors:
    return read_descriptors(MemorySource(bytes(16 * SECTOR) + b"".join(sectors)))


def kinds(found: Descriptors) -> str:
    """P, J and E for those that were found."""
    return ("P" if found.primary else "") + ("J" if found.joliet else "") + ("E" if found.enhanced else "")


@pytest.mark.parametrize(
    ("sectors", "expected"),
    [
        ((P, TERMINATOR), "P"),
        ((P, S, TERMINATOR), "PJ"),
        ((S, P, TERMINATOR), "PJ"),
        ((S, TERMINATOR), "J"),
        ((P, S), "PJ"),
        ((P, S, ZEROS, ZEROS), "PJ"),
        ((P, TERMINATOR, S), "P"),
        ((BOOT, P, TERMINATOR), "P"),
        ((P, BOOT, S, TERMINATOR), "PJ"),
        ((P, PARTITION, UNKNOWN, S, TERMINATOR), "PJ"),
        ((P, ENHANCED, TERMINATOR), "PE"),
        ((P, ENHANCED, S, TERMINATOR), "PJE"),
        ((P, ZEROS, ZEROS, S, TERMINATOR), "PJ"),
        ((ZEROS, P, TERMINATOR), "P"),
    ],
)
def test_descriptors_are_found_in_any_order(sectors: tuple[bytes, ...], expected: str) -> None:
    assert kinds(search(*sectors)) == expected


def test_the_first_of_each_kind_counts() -> None:
    found = search(P, descriptor(ROOT, volume=b"SECOND"), S, descriptor(ROOT, kind=2, escape=b"%/@"), TERMINATOR)
    assert found.primary is not None
    assert found.primary.volume == b"PRIMARY"
    assert found.joliet is not None
    assert found.joliet.joliet_level == 3


@pytest.mark.parametrize(
    ("escape", "level"),
    [(b"%/@", 1), (b"%/C", 2), (b"%/E", 3), (b"%/Z", 0), (b"", 0), (b"\x1b%/", 0), (b"%", 0)],
)
def test_the_escape_sequence_tells_the_level_of_joliet(escape: bytes, level: int) -> None:
    found = search(P, descriptor(ROOT, kind=2, escape=escape), TERMINATOR)
    assert (found.joliet.joliet_level if found.joliet else 0) == level


def test_the_fields_of_a_descriptor() -> None:
    raw = descriptor(ROOT, space_size=1234, set_size=3, sequence=2, volume=b"MY_DISC", xa=True)
    found = search(raw, TERMINATOR).primary
    assert found is not None
    assert (found.volume, found.system) == (b"MY_DISC", b"SYSTEM")
    assert (found.space_size, found.set_size, found.sequence, found.block_size) == (1234, 3, 2, 2048)
    assert found.root == ROOT[:34]
    assert found.created == int(datetime(1999, 7, 15, 12, 34, 56, tzinfo=UTC).timestamp()) * 1_000_000_000
    assert found.modified is None
    assert found.xa


@pytest.mark.parametrize("block_size", [512, 1024, 2048])
def test_the_three_block_sizes(block_size: int) -> None:
    found = search(descriptor(ROOT, block_size=block_size), TERMINATOR).primary
    assert found is not None
    assert found.block_size == block_size


@pytest.mark.parametrize("block_size", [0, 1, 256, 2047, 4096, 32768])
def test_other_block_sizes_are_damage(block_size: int) -> None:
    bad = descriptor(ROOT, block_size=block_size)
    with pytest.raises(ImageError, match=f"blocks of {block_size} bytes"):
        search(bad, TERMINATOR)
    found = search(bad, P, TERMINATOR)
    assert kinds(found) == "P"
    assert found.damage == [f"a volume descriptor tells logical blocks of {block_size} bytes"]


@pytest.mark.parametrize("block_size", [512, 1024, 2048])
def test_discs_of_all_block_sizes_are_read(block_size: int) -> None:
    disc = Disc(block_size=block_size)
    disc.root.directory(b"DIR").file(b"B.TXT;1", b"inside")
    disc.root.file(b"A.TXT;1", b"data")
    volume = disc.open()
    assert names(volume) == [b"dir", b"a.txt"]
    a = volume.lookup(1, b"a.txt")
    assert a is not None
    assert volume.data(a.inode).pread(9, 0) == b"data"
    folder = volume.lookup(1, b"dir")
    assert folder is not None
    b = volume.lookup(folder.inode, b"b.txt")
    assert b is not None
    assert volume.data(b.inode).pread(9, 0) == b"inside"


def test_el_torito_and_udf_are_noticed() -> None:
    found = search(P, BOOT, TERMINATOR, marker(b"BEA01"), marker(b"NSR02"), marker(b"TEA01"))
    assert found.bootable
    assert found.udf
    plain = search(P, marker(b"CD001"), TERMINATOR)
    assert not plain.bootable
    assert not plain.udf


def test_a_sound_disc_is_not_taken_for_high_sierra_by_what_follows() -> None:
    """Without a terminator the sectors behind the descriptors are looked at too: they may hold anything."""
    raw = bytearray(SECTOR)
    raw[:14] = b"SEE THIS CDROM"
    assert kinds(search(P, bytes(raw))) == "P"


@pytest.mark.parametrize("sectors", [(), (ZEROS,) * 20, (b"\xff" * SECTOR,) * 3, (marker(b"CD002", 1),)])
def test_without_a_descriptor_it_is_no_disc(sectors: tuple[bytes, ...]) -> None:
    with pytest.raises(NotADisc):
        search(*sectors)


def test_descriptors_without_a_tree_are_damage() -> None:
    with pytest.raises(ImageError, match="holds no tree"):
        search(BOOT, ENHANCED, TERMINATOR)


def test_a_pure_udf_disc_is_no_iso_9660_disc() -> None:
    with pytest.raises(NotADisc):
        search(marker(b"BEA01"), marker(b"NSR03"), marker(b"TEA01"))


def test_the_search_ends_after_a_gap() -> None:
    assert kinds(search(P, *(ZEROS,) * limits.DESCRIPTOR_GAP, S)) == "PJ"
    assert kinds(search(P, *(ZEROS,) * (limits.DESCRIPTOR_GAP + 1), S)) == "P"


def test_the_search_ends_after_100_sectors() -> None:
    assert kinds(search(*(UNKNOWN,) * 99, P)) == "P"
    with pytest.raises(ImageError):
        search(*(UNKNOWN,) * 100, P)


def test_a_descriptor_that_is_cut_off_does_not_count() -> None:
    with pytest.raises(NotADisc):
        search(P[:1000])


@pytest.mark.parametrize("space_size", [0, 0xFFFFFFFF])
def test_a_volume_size_that_cannot_be_is_replaced_by_the_discs(space_size: int) -> None:
    disc = Disc()
    disc.root.file(b"A.;1", b"x")
    image = disc.build(disc.primary(space_size=space_size), TERMINATOR)
    usage = open_bytes(image).usage()
    assert usage.block_size == SECTOR
    assert usage.blocks == len(image) // SECTOR


def test_the_volume_size_is_told() -> None:
    disc = Disc()
    disc.root.file(b"A.;1", b"x")
    volume = open_bytes(disc.build(disc.primary(space_size=20), TERMINATOR) + bytes(10 * SECTOR))
    assert volume.usage().blocks == 20
    assert volume.usage().name_max == 255


def test_a_descriptor_without_a_root_is_damage() -> None:
    disc = Disc()
    image = disc.build(disc.primary(root=record(b"\0", 0, SECTOR, flags=2)), TERMINATOR)
    with pytest.raises(ImageError, match="no root"):
        open_bytes(image)


def test_a_root_outside_the_disc_is_damage() -> None:
    disc = Disc()
    image = disc.build(disc.primary(root=record(b"\0", 900_000, SECTOR, flags=2)), TERMINATOR)
    with pytest.raises(ImageError, match="root"):
        open_bytes(image)


def test_the_roots_record_may_be_wrong_but_for_its_place() -> None:
    disc = Disc()
    disc.root.file(b"A.;1", b"x")
    raw = bytearray(disc.root_record())
    raw[0], raw[32] = 0, 99
    raw[10:18] = b"\xff" * 8
    assert names(open_bytes(disc.build(disc.primary(root=bytes(raw)), TERMINATOR))) == [b"a"]


@given(st.binary(max_size=40 * SECTOR))
def test_any_bytes_are_descriptors_or_an_error_of_ours(data: bytes) -> None:
    try:
        search(data)
    except IsofsError:
        return


@given(st.lists(st.tuples(st.integers(0, SECTOR - 1), st.binary(min_size=1, max_size=8)), max_size=5))
def test_a_disc_with_changed_descriptors_opens_or_gives_an_error_of_ours(
    changes: list[tuple[int, bytes]],
) -> None:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"x")
    image = bytearray(disc.build())
    for at, data in changes:
        image[16 * SECTOR + at : 16 * SECTOR + at + len(data)] = data
    try:
        volume = open_bytes(bytes(image))
        volume.describe()
        volume.usage()
        names(volume)
    except IsofsError:
        return
