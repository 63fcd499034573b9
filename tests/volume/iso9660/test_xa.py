"""CD-ROM XA: files that sectors of 2048 bytes do not hold as they were recorded."""

from __future__ import annotations

import pytest
from writers.discs import (
    SECTOR,
    Disc,
    content,
    er,
    names,
    numbered_blocks,
    open_bytes,
    px,
    record,
    rock,
    sp,
    tree,
    words,
)

from isofs.errors import ImageError
from isofs.volume.iso9660.susp import xa_attributes
from isofs.volume.tree import View, find

FORM_2 = "files in Form 2 sectors (CD-ROM XA) are not whole: 2048 of each sector's 2324 bytes are shown"
AUDIO = "files that are audio tracks (CD-DA) hold no data: -o audio shows the tracks"
DATA = numbered_blocks(2)


def xa(attributes: int) -> bytes:
    return bytes(4) + attributes.to_bytes(2, "big") + b"XA" + bytes(6)


@pytest.mark.parametrize("rocky", [False, True])
@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (0x0D55, []),
        (0x2D55, []),  # interleaved, Form 1
        (0x1555, [FORM_2]),
        (0x3D55, [FORM_2]),  # interleaved, sectors of both forms
        (0x4555, [AUDIO]),
        (0x5555, [FORM_2, AUDIO]),
    ],
)
def test_what_is_not_whole_is_shown_and_said_once(
    each_way: None, rocky: bool, attributes: int, expected: list[str]
) -> None:
    disc = Disc(root_use=xa(0x8D55) + (sp(14) + er() + px(0o40755) if rocky else b""))
    for name in (b"a", b"b"):
        disc.root.file(name, DATA, system_use=xa(attributes) + (rock(name) if rocky else b""))
    volume = disc.open()
    assert volume.rock is rocky
    assert [path for path, found in tree(volume).items() if found and found.size == len(DATA)] == [b"a", b"b"]
    assert not words(volume)  # listing reads none of them
    for path in ("a", "b"):
        assert content(volume, path) == DATA
    assert words(volume) == expected
    assert not volume.findings.harmful


@pytest.mark.parametrize(
    "field", [b"", xa(0x1555)[:12], xa(0x1555)[:9] + b"\1\0\0\0\0", b"XA" * 7, xa(0x1555)[:6] + b"XB"]
)
def test_what_only_looks_like_xa_is_not(each_way: None, field: bytes) -> None:
    assert xa_attributes(field) == 0
    disc = Disc()
    disc.root.file(b"A.;1", DATA, system_use=field)
    volume = disc.open()
    assert content(volume, "a") == DATA
    assert not words(volume)


def test_modes_are_those_of_any_plain_disc(each_way: None) -> None:
    disc = Disc()
    disc.root.file(b"A.;1", b"", system_use=xa(0x0801))
    assert find(disc.open(), "a").mode == 0o100555
    assert find(disc.open(View(mode=0o600)), "a").mode == 0o100600


# --- interleaved files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block_size", [512, 1024, 2048])
@pytest.mark.parametrize(("unit", "gap", "xar"), [(1, 1, 1), (2, 1, 1), (2, 3, 2), (4, 4, 1)])
def test_an_extended_attribute_record_has_the_first_unit(
    each_way: None, block_size: int, unit: int, gap: int, xar: int
) -> None:
    data = DATA[:-50]
    size, space = unit * block_size, b"-" * gap * block_size
    units = [b"X" * size, *(data[at : at + size].ljust(size, b"-") for at in range(0, len(data), size))]
    disc = Disc(block_size=block_size)
    at = disc.store(space.join(units))
    disc.root.add(record(b"A.;1", at, len(data), unit=unit, gap=gap, xar=xar))
    volume = open_bytes(disc.build())
    assert names(volume) == [b"a"]
    assert content(volume, "a") == data
    source = volume.data(find(volume, "a").inode)
    assert source.pread(1000, SECTOR - 7) == data[SECTOR - 7 : SECTOR + 993]


def test_a_record_longer_than_its_unit_cannot_be(each_way: None) -> None:
    disc = Disc()
    disc.root.add(record(b"A.;1", disc.store(DATA), 10, unit=1, gap=1, xar=2))
    with pytest.raises(ImageError, match="a: its extended attribute record is longer than the unit that holds it"):
        content(disc.open(), "a")


def test_interleaved_files_of_one_extent_are_one_only_where_their_gaps_agree(each_way: None) -> None:
    disc = Disc(rock=True)
    data = numbered_blocks(6)
    at = disc.store(data)
    for name, unit, gap in ((b"all", 0, 0), (b"odd", 1, 1), (b"again", 1, 1)):
        use = px(0o100644, 3, serial=9) + rock(name)[36:]
        disc.root.add(record(name, at, 3 * SECTOR, unit=unit, gap=gap, system_use=use))
    volume = disc.open()
    assert content(volume, "all") == data[: 3 * SECTOR]
    odd = b"".join(data[i * SECTOR : (i + 1) * SECTOR] for i in (0, 2, 4))
    assert content(volume, "odd") == content(volume, "again") == odd


def test_all_readers_agree_on_hard_links_behind_extended_attribute_records(each_way: None) -> None:
    disc = Disc(rock=True)
    at = disc.store(b"X" * SECTOR + DATA)
    for name in (b"one", b"two"):
        use = px(0o100644, 2, serial=9) + rock(name)[36:]
        disc.root.add(record(name, at, len(DATA), xar=1, system_use=use))
    volume = disc.open()
    assert content(volume, "one") == content(volume, "two") == DATA
    assert find(volume, "one") == find(volume, "two")
