"""Directory records, and the walk over a directory's sectors."""

from __future__ import annotations

import random
from typing import SupportsIndex, overload

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from writers.discs import DIRECTORY, SECTOR, TIME, record

from isofs.volume.iso9660.records import Record, extent_of, parse_record, walk_records

PLACE = 40 * SECTOR


def walk(data: bytes, block_size: int = SECTOR, position: int = PLACE) -> tuple[list[Record], list[int]]:
    """The records, and where the walk was told of damage."""
    damage: list[int] = []

    def damaged(offset: int, words: str, *, harmless: bool = False) -> None:
        damage.append(offset)

    return list(walk_records(data, position, block_size, damaged)), damage


def identifiers(data: bytes, block_size: int = SECTOR) -> list[bytes]:
    return [found.identifier for found in walk(data, block_size)[0]]


def sector(*records: bytes) -> bytes:
    return b"".join(records).ljust(SECTOR, b"\0")


def test_every_field_of_a_record_is_read() -> None:
    raw = record(
        b"NAME.TXT;1", 0x01020304, 0x05060708, flags=0x83, xar=2, unit=3, gap=4, sequence=5, system_use=b"QQ\4\1"
    )
    found = parse_record(raw, 0, PLACE)
    assert found == Record(PLACE, len(raw), 2, 0x01020304, 0x05060708, TIME, 0x83, 3, 4, 5, b"NAME.TXT;1", b"QQ\4\1")


def test_an_odd_identifier_has_no_padding_in_front_of_the_system_use_field() -> None:
    found = parse_record(record(b"ODD", 1, 2, system_use=b"QQ\4\1"), 0, PLACE)
    assert found is not None
    assert found.system_use == b"QQ\4\1"


def test_the_little_endian_half_counts() -> None:
    found = parse_record(record(b"A", 7, 9, big_extent=0, big_size=12345), 0, PLACE)
    assert found is not None
    assert (found.extent, found.size) == (7, 9)


def test_a_record_of_odd_length_is_sound() -> None:
    raw = record(b"AB", 1, 2)[:-1]
    found = parse_record(bytes((35,)) + raw[1:] + b"\0", 0, PLACE)
    assert found is not None
    assert found.identifier == b"AB"
    assert found.system_use == b""


def test_the_roots_place_is_read_whatever_its_other_fields_say() -> None:
    raw = bytearray(record(b"\0", 20, SECTOR, xar=3, flags=DIRECTORY))
    raw[0] = 0
    raw[32] = 77
    assert extent_of(bytes(raw)) == (20, 3)


@pytest.mark.parametrize("raw", [b"", b"\x22", record(b"A", 1, 2)[:33]])
def test_what_is_cut_off_is_no_record(raw: bytes) -> None:
    assert parse_record(raw, 0, PLACE) is None


def test_length_zero_leads_to_the_next_sector() -> None:
    data = sector(record(b"A", 1, 1)) + sector() + sector(record(b"B", 2, 2))
    found, damage = walk(data)
    assert [(entry.identifier, entry.position) for entry in found] == [(b"A", PLACE), (b"B", PLACE + 2 * SECTOR)]
    assert not damage


def test_a_record_may_end_with_its_sector() -> None:
    filler = record(b"F", 1, 1)
    last = record(b"LAST", 2, 2, system_use=bytes(SECTOR % len(filler)))
    count = (SECTOR - len(last)) // len(filler)
    last += bytes(SECTOR - count * len(filler) - len(last))
    last = bytes((len(last),)) + last[1:]
    data = filler * count + last + record(b"NEXT", 3, 3)
    found, damage = walk(data)
    assert [entry.identifier for entry in found] == [b"F"] * count + [b"LAST", b"NEXT"]
    assert not damage


def test_a_record_does_not_cross_the_end_of_its_sector() -> None:
    filler = record(b"F", 1, 1)
    count = SECTOR // len(filler)
    data = filler * count + record(b"CROSSES", 2, 2) + bytes(100)
    data = data[: 2 * SECTOR].ljust(2 * SECTOR, b"\0") + sector(record(b"NEXT", 3, 3))
    assert b"CROSSES" not in identifiers(data)
    assert identifiers(data)[-1] == b"NEXT"


@pytest.mark.parametrize("block_size", [512, 1024])
def test_a_record_may_cross_a_block_below_2048_bytes(block_size: int) -> None:
    filler = record(b"FILL", 1, 1, system_use=bytes(50))
    data = filler * (2 * block_size // len(filler))
    assert len(identifiers(data, block_size)) == len(data) // len(filler)


@pytest.mark.parametrize("block_size", [512, 1024])
def test_length_zero_leads_to_the_next_block(block_size: int) -> None:
    data = record(b"A", 1, 1).ljust(block_size, b"\0") + record(b"B", 2, 2).ljust(block_size, b"\0")
    assert identifiers(data, block_size) == [b"A", b"B"]


DAMAGED = {
    "length 20": record(b"DAMAGED", 1, 1, length=20),
    "length 1": record(b"DAMAGED", 1, 1, length=1),
    "length 33": record(b"DAMAGED", 1, 1, length=33),
    "identifier past the record": record(b"DAMAGED", 1, 1, identifier_length=200),
    "identifier one too long": record(b"DAMAGED", 1, 1, identifier_length=8, length=40),
    "empty identifier": record(b"DAMAGED", 1, 1, identifier_length=0),
    "noise": b"\x2a" + random.Random(1).randbytes(49),
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_record_costs_its_own_name(damaged: bytes) -> None:
    before, after = record(b"BEFORE.;1", 1, 1), record(b"AFTER.;1", 2, 2)
    found, damage = walk(sector(before, damaged, after) + sector(record(b"NEXT.;1", 3, 3)))
    assert [entry.identifier for entry in found] == [b"BEFORE.;1", b"AFTER.;1", b"NEXT.;1"]
    assert damage
    assert damage[0] == PLACE + len(before)


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_record_at_the_start_of_a_sector_costs_its_own_name(damaged: bytes) -> None:
    data = sector(damaged, record(b"AFTER.;1", 2, 2, system_use=b"QQ\4\1"))
    assert identifiers(data) == [b"AFTER.;1"]


@pytest.mark.parametrize("block_size", [512, 1024, 2048])
@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED.keys())
def test_damage_costs_its_own_name_with_every_block_size(damaged: bytes, block_size: int) -> None:
    data = (damaged + record(b"AFTER.;1", 2, 2)).ljust(block_size, b"\0")
    assert identifiers(data, block_size) == [b"AFTER.;1"]


def test_a_record_of_a_sloppy_writer_is_found_behind_a_damaged_one() -> None:
    sloppy = record(b"SLOPPY.;1", 5, 5, big_extent=0, big_size=0)
    data = sector(record(b"DAMAGED", 1, 1, identifier_length=0), sloppy, record(b"GOOD.;1", 6, 6, big_size=1))
    assert identifiers(data) == [b"SLOPPY.;1", b"GOOD.;1"]


@given(st.binary(max_size=3 * SECTOR), st.sampled_from([512, 1024, 2048]))
@example(b"\x14" * 100, 2048)
@example(b"\xff" * SECTOR, 512)
def test_any_bytes_end_and_positions_ascend(data: bytes, block_size: int) -> None:
    found, damage = walk(data, block_size)
    end = PLACE
    for entry in found:
        assert entry.position >= end
        assert entry.identifier
        end = entry.position + entry.length
        assert end <= PLACE + len(data)
    assert damage == sorted(set(damage))
    assert len(found) + len(damage) <= len(data)


@given(st.integers(0, 19), st.lists(st.integers(1, 255), min_size=46, max_size=46))
@example(0, [34] * 46)
@example(3, [42] + [255] * 45)
def test_names_are_never_lost_in_silence(hit: int, noise: list[int]) -> None:
    records = [record(b"FILE%02d.TXT;1" % i, 100 + i, 1000 * i + 1) for i in range(20)]
    assert len(records[0]) == len(noise)
    found, damage = walk(sector(*records[:hit], bytes(noise), *records[hit + 1 :]))
    seen = {entry.identifier for entry in found}
    lost = [i for i in range(20) if i != hit and b"FILE%02d.TXT;1" % i not in seen]
    # Noise that looks like a sound record may reach over its neighbours and end with the last of them.
    assert damage or all(hit < i <= hit + 5 for i in lost)


@pytest.mark.parametrize("bit", [0x10, 0x40, 0x80])
def test_a_length_that_leads_into_another_record_is_told(bit: int) -> None:
    """The record looks sound, but it ends within another one, perhaps at a zero."""
    records = [bytearray(record(b"FILE%02d.TXT;1" % i, 100 + i, 1000 * i + 1)) for i in range(20)]
    records[3][0] ^= bit
    found, damage = walk(sector(*(bytes(raw) for raw in records)))
    assert damage
    assert {entry.identifier for entry in found} >= {b"FILE%02d.TXT;1" % i for i in range(3)}


def test_a_damaged_length_that_leads_behind_the_last_record_hides_none() -> None:
    data = sector(
        record(b"DAMAGED", 1, 1, length=200, identifier_length=0),
        record(b"ONE.;1", 2, 2),
        record(b"TWO.;1", 3, 3),
    )
    assert identifiers(data) == [b"ONE.;1", b"TWO.;1"]


def test_a_damaged_length_that_leads_to_a_later_record_hides_none() -> None:
    between, last = record(b"ONE.;1", 2, 2), record(b"TWO.;1", 3, 3)
    damaged = record(b"DAMAGED", 1, 1, identifier_length=0)
    damaged = bytes((len(damaged) + len(between),)) + damaged[1:]
    assert identifiers(sector(damaged, between, last)) == [b"ONE.;1", b"TWO.;1"]


def test_a_length_past_the_end_of_the_sector_costs_its_own_name() -> None:
    filler = record(b"F", 1, 1)
    count = SECTOR // len(filler) - 3
    data = filler * count + record(b"DAMAGED", 1, 1, length=200) + record(b"AFTER.;1", 2, 2)
    found, damage = walk(sector(data) + sector(record(b"NEXT.;1", 3, 3)))
    assert [entry.identifier for entry in found] == [b"F"] * count + [b"AFTER.;1", b"NEXT.;1"]
    assert damage == [PLACE + count * len(filler)]


class Counted(bytes):
    """Bytes that count how often one of them is looked at."""

    looked: int = 0

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...
    def __getitem__(self, key: SupportsIndex | slice, /) -> int | bytes:
        self.looked += 1
        return super().__getitem__(key)


@pytest.mark.parametrize("block_size", [512, 2048])
def test_the_work_for_damage_is_bounded_by_the_directory(block_size: int) -> None:
    """Uncertain records between damaged ones do not make each damaged one search the whole directory."""
    uncertain = record(b"A", 1, 1, big_extent=0, system_use=bytes(2))
    pair = record(b"D", 1, 1, identifier_length=0, big_extent=0) + uncertain
    count = 16 * SECTOR // len(pair) if block_size < SECTOR else SECTOR // len(pair)
    per_sector = (pair * count).ljust(SECTOR, b"\0")
    data = Counted(per_sector if block_size < SECTOR else per_sector * 16)
    found, _ = walk(data, block_size)
    assert found
    assert data.looked <= 20 * len(data)
