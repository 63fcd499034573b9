"""The images that a disc boots from: `isofs info` lists them, `isofs extract --boot` writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from writers.boot_images import boot_entry, boot_record, catalogue, header
from writers.discs import SECTOR, TERMINATOR, Disc

from isofs.cli import main

LOADER = bytes(range(256)) * 20
EFI = b"EFI image" * 1000


def bootable(*entries: bytes, damage: bool = False) -> bytes:
    """A disc whose boot image is the file BOOT.IMG, in sector 25; sector 30 on holds one that is no file."""
    disc = Disc()
    disc.root.file(b"BOOT.IMG;1", LOADER)
    at = disc.store(catalogue(*entries)[damage:])
    disc.put(30, EFI)
    return disc.build(disc.primary(), boot_record(at), TERMINATOR)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A disc with two boot images, the second one not bootable."""
    image = tmp_path / "disc.iso"
    image.write_bytes(
        bootable(boot_entry(25), header(0xEF, 1, last=True), boot_entry(30, bootable=False, segment=0x7E0, count=17))
    )
    return image


def test_info_lists_boot_images(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(path)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("boot image")]
    assert lines == [
        "boot image 1:  x86, no emulation, from sector 25 on, 2048 bytes are loaded",
        "boot image 2:  EFI, no emulation, from sector 30 on, 8704 bytes are loaded, to segment 7e0, not bootable",
    ]
    assert main(["info", "--json", str(path)]) == 0
    found = json.loads(capsys.readouterr().out)["boot_images"]
    assert found[1] == {
        "platform": "EFI",
        "bootable": False,
        "media": "no emulation",
        "load_segment": 0x7E0,
        "sector": 30,
        "loaded": 8704,
    }


def test_info_warns_of_a_damaged_catalogue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "disc.iso"
    image.write_bytes(bootable(boot_entry(25), damage=True))
    assert main(["info", "--json", str(image)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["boot_images"] == []
    assert found["warnings"] == ["the boot catalogue: it does not begin with a validation entry"]


def test_boot_images_are_written_with_the_size_of_their_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = path.parent / "out"
    assert main(["extract", "--boot", str(path), str(out)]) == 0
    assert {found.name: found.read_bytes() for found in out.iterdir()} == {
        "boot-1-x86.img": LOADER,
        "boot-2-efi.img": EFI[:8704],
    }
    said = capsys.readouterr().err
    assert said == (
        f"isofs: {path}: warning: boot-2-efi.img: 8704 bytes were written; how many more there are is not recorded\n"
    )


def test_an_emulated_floppy_is_written_whole(tmp_path: Path) -> None:
    image = tmp_path / "disc.iso"
    image.write_bytes(bootable(boot_entry(25, medium=2)).ljust(25 * SECTOR + 1_474_560, b"\x55"))
    assert main(["extract", "--boot", str(image), str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "boot-1-x86.img").stat().st_size == 1_474_560


def test_what_is_beyond_the_disc_is_an_error_and_leaves_no_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(bootable(boot_entry(9999), header(0, 1, last=True), boot_entry(25)))
    out = path.parent / "out"
    assert main(["extract", "--boot", str(path), str(out)]) == 32
    assert [found.name for found in out.iterdir()] == ["boot-2-x86.img"]
    assert "boot-1-x86.img: it has 2048 bytes from byte" in capsys.readouterr().err


def test_nothing_is_overwritten(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = path.parent / "out"
    out.mkdir()
    (out / "boot-1-x86.img").write_bytes(b"mine")
    assert main(["extract", "--boot", str(path), str(out)]) == 32
    assert (out / "boot-1-x86.img").read_bytes() == b"mine"
    assert "boot-1-x86.img: File exists" in capsys.readouterr().err


def test_a_disc_without_boot_images_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "disc.iso"
    image.write_bytes(Disc().build())
    assert main(["extract", "--boot", str(image), str(tmp_path / "out")]) == 32
    assert capsys.readouterr().err == f"isofs: {image}: the disc has no boot image; see isofs info\n"
    assert main(["extract", "--boot", str(image), "/docs", str(tmp_path / "out")]) == 1
    assert "--boot and a path exclude each other" in capsys.readouterr().err
