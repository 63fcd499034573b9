"""Boot catalogues: what is in them is told, and what is wrong with one costs no more than itself."""

from __future__ import annotations

import random
import struct

import pytest
from writers.boot_images import boot_entry, boot_record, catalogue, header, validation
from writers.discs import SECTOR, TERMINATOR, Disc, MemorySource

from isofs import limits
from isofs.errors import ImageError
from isofs.volume.iso9660.eltorito import BootImage, Catalogue, image_size, read_catalogue


def disc_with(*entries: bytes, stored: bytes = bytes(8 * SECTOR)) -> tuple[MemorySource, int]:
    """A disc with a boot catalogue of some entries; sector 30 on holds `stored`. And where the catalogue lies."""
    disc = Disc()
    at = disc.store(b"".join(entries).ljust(SECTOR, b"\0"))
    disc.put(30, stored)
    return MemorySource(disc.build(disc.primary(), boot_record(at), TERMINATOR)), at * SECTOR


def read(*entries: bytes) -> Catalogue:
    found = read_catalogue(disc_with(*entries)[0])
    assert found is not None
    return found


def words(*entries: bytes) -> list[str]:
    return [said for _, said in read(*entries).damage]


def test_images_are_told_with_platform_medium_and_place() -> None:
    source, at = disc_with(
        *(validation(0), boot_entry(30, medium=2, segment=0x1234), header(0xEF, 2, last=False)),
        *(boot_entry(31, count=8), boot_entry(32, bootable=False, count=0)),
        *(header(0x42, 1, last=True), boot_entry(33, medium=4)),
    )
    found = read_catalogue(source)
    assert found is not None
    assert (found.position, found.damage) == (at, [])
    assert found.images == [
        BootImage(at + 32, "x86", True, 2, 0x1234, 30, 2048),
        BootImage(at + 96, "EFI", True, 0, 0, 31, 4096),
        BootImage(at + 128, "EFI", False, 0, 0, 32, 0),
        BootImage(at + 192, "42", True, 4, 0, 33, 2048),
    ]
    assert [image.media for image in found.images] == ["1.44 MB floppy", "no emulation", "no emulation", "hard disk"]


def test_extensions_of_an_entry_are_passed_over() -> None:
    extension = bytes((0x44, 0x20)) + bytes(30), bytes((0x44, 0)) + bytes(30)
    found = read(
        *(validation(0), boot_entry(30), header(0, 2, last=True)),
        *(boot_entry(31, medium=0x20), *extension, boot_entry(32)),
    )
    assert [image.sector for image in found.images] == [30, 31, 32]
    assert found.damage == []


def test_a_disc_without_boot_record_has_no_catalogue() -> None:
    assert read_catalogue(MemorySource(Disc().build())) is None
    behind = Disc()
    assert read_catalogue(MemorySource(behind.build(behind.primary(), TERMINATOR, boot_record(24)))) is None


@pytest.mark.parametrize(
    ("entries", "said", "images"),
    [
        ((bytes(64),), "the boot catalogue: it does not begin with a validation entry", 0),
        ((validation(0, checksum=1), boot_entry(30)), "the boot catalogue: its checksum does not fit", 1),
        ((validation(0), b"\x77" * 32), "the boot catalogue: an entry of an unknown kind, 77", 0),
        (
            (validation(0), boot_entry(30), header(0, 9, last=True), boot_entry(31), b"\x13" * 32),
            "the boot catalogue: an entry of an unknown kind, 13",
            2,
        ),
        (
            (validation(0), boot_entry(30), *[header(0, 0, last=False)] * 70),
            "the boot catalogue: it has more than 64 sections",
            1,
        ),
    ],
)
def test_damage_is_told_and_what_is_before_it_counts(entries: tuple[bytes, ...], said: str, images: int) -> None:
    found = read(*entries)
    assert [words for _, words in found.damage] == [said]
    assert len(found.images) == images


def test_a_catalogue_beyond_the_disc_is_told() -> None:
    disc = Disc()
    found = read_catalogue(MemorySource(disc.build(disc.primary(), boot_record(0xFFFF_FFFF), TERMINATOR)))
    assert found is not None
    assert found.damage == [(0xFFFF_FFFF * SECTOR, "the boot catalogue: it lies beyond the end of the disc")]


def test_a_section_that_claims_more_than_there_is_ends_with_the_limit() -> None:
    disc = Disc()
    many = catalogue(boot_entry(30), header(0, 0xFFFF, last=True), *[boot_entry(31)] * 2000)
    at = disc.store(many)
    source = MemorySource(disc.build(disc.primary(), boot_record(at), TERMINATOR))
    found = read_catalogue(source)
    assert found is not None
    assert len(found.images) <= limits.BOOT_ENTRIES
    assert found.damage[0][1] == "the boot catalogue: a section claims 65535 entries, which are not there"
    assert source.read_bytes < 64 * limits.KIB


def test_noise_raises_nothing() -> None:
    chance = random.Random(1)
    for _ in range(300):
        raw = bytearray(
            catalogue(boot_entry(30), header(0, 3, last=False), *[boot_entry(31)] * 3, header(1, 1, last=True))
        )
        for _ in range(4):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        assert len(read(bytes(raw)).images) <= limits.BOOT_ENTRIES


# --- sizes ------------------------------------------------------------------------------------------------------------


def image(medium: int = 0, *, sector: int = 30, loaded: int = 2048) -> BootImage:
    return BootImage(0, "x86", True, medium, 0, sector, loaded)


def test_what_is_loaded_is_the_size_unless_a_file_tells_it() -> None:
    source = MemorySource(bytes(50 * SECTOR))
    assert image_size(source, image()) == 2048
    assert image_size(source, image(), 5000) == 5000
    assert image_size(source, image(loaded=6144), 5000) == 5000
    assert image_size(source, image(loaded=0)) == SECTOR


def test_an_emulated_medium_has_the_size_of_one() -> None:
    source = MemorySource(bytes(4_000_000))
    sizes = [image_size(source, image(medium), 512) for medium in (1, 2, 3)]
    assert sizes == [80 * 2 * 15 * 512, 80 * 2 * 18 * 512, 80 * 2 * 36 * 512]


def test_a_hard_disk_ends_with_its_last_partition() -> None:
    boot = bytearray(512)
    boot[446 + 8 : 446 + 16] = struct.pack("<II", 1, 20)
    boot[462 + 8 : 462 + 16] = struct.pack("<II", 21, 9)
    data = bytearray(50 * SECTOR)
    data[30 * SECTOR : 30 * SECTOR + 512] = boot
    assert image_size(MemorySource(bytes(data)), image(4)) == 2048
    data[30 * SECTOR + 510 : 30 * SECTOR + 512] = b"\x55\xaa"
    assert image_size(MemorySource(bytes(data)), image(4)) == 30 * 512


@pytest.mark.parametrize("found", [image(sector=49, loaded=4096), image(2), image(sector=0xFFFF_FFFF)])
def test_what_is_beyond_the_disc_is_an_error(found: BootImage) -> None:
    with pytest.raises(ImageError, match="beyond the end of the disc"):
        image_size(MemorySource(bytes(50 * SECTOR)), found)
