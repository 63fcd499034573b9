from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from writers.containers import cso, sample_disc, zso
from writers.edc import mode_1, raw_disc
from writers.sources import assert_same
from writers.tools import require

from isofs import limits
from isofs.errors import ImageError
from isofs.image.beside import Beside
from isofs.image.parts import joined
from isofs.image.source import FileSource, Source


def disc(sectors: int = 400) -> bytes:
    """A disc whose descriptor tells its size."""
    made = bytearray(sample_disc(sectors))
    struct.pack_into("<I", made, 16 * 2048 + 80, sectors)
    return bytes(made)


DISC = disc()
CSO = cso(DISC)


def put(directory: Path, names: Iterable[str], image: bytes, part: int = 0) -> None:
    """The image in parts of `part` bytes by these names."""
    names = list(names)
    part = part or -(-len(image) // len(names))
    for i, name in enumerate(names):
        (directory / name).write_bytes(image[i * part : (i + 1) * part])


def opened(path: Path) -> Source:
    return joined(FileSource(str(path)), Beside(str(path)))


@pytest.mark.parametrize(
    "names",
    [
        ["x.iso.001", "x.iso.002", "x.iso.003"],
        ["x.001", "x.002"],
        ["x.000", "x.001", "x.002"],
        ["x.iso.00", "x.iso.01"],
        [f"x.iso.{n:02}" for n in range(13)],
        ["x.iso.aa", "x.iso.ab", "x.iso.ac"],
        [f"x.iso.{a}{b}" for a in "ab" for b in "abcdefghijklmnopqrstuvwxyz"],
        [f"x.iso.part{n}" for n in range(1, 12)],
        ["x.iso.part01", "x.iso.part02"],
        ["x.ISO.PART0", "x.iso.part1"],
        ["x.i00", "x.i01", "x.i02"],
        ["ul.0123ABCD.SLUS_000.00.00", "ul.0123ABCD.SLUS_000.00.01"],
    ],
)
@pytest.mark.parametrize("image", [DISC, CSO, b"\x1f\x8b\x08" + bytes(9000)], ids=["ISO", "CSO", "gzip"])
def test_parts_are_joined_in_order(tmp_path: Path, names: list[str], image: bytes) -> None:
    put(tmp_path, names, image)
    assert_same(opened(tmp_path / names[0]), image)


@pytest.mark.parametrize("names", [["x.1.iso", "x.2.iso", "x.3.iso"], ["x.part0.iso", "x.part1.iso"]])
def test_incomplete_disc_is_joined_with_what_follows(tmp_path: Path, names: list[str]) -> None:
    image = disc(1000)
    put(tmp_path, names, image)
    assert_same(opened(tmp_path / names[0]), image)


@pytest.mark.parametrize("image", [CSO, zso(DISC), cso(DISC, shift=3)], ids=["CSO", "ZSO", "aligned"])
def test_incomplete_cso_is_joined_with_what_follows(tmp_path: Path, image: bytes) -> None:
    put(tmp_path, ["x.1.cso", "x.2.cso"], image)
    assert_same(opened(tmp_path / "x.1.cso"), image)
    put(tmp_path, ["y.1.cso", "y.2.cso"], image, 100)  # cut inside the index
    (tmp_path / "y.2.cso").write_bytes(image[100:])
    assert_same(opened(tmp_path / "y.1.cso"), image)


def test_discs_of_a_set_are_not_joined(tmp_path: Path) -> None:
    for name in ("x.1.iso", "x.2.iso", "y.01", "y.02"):
        (tmp_path / name).write_bytes(DISC)
    for name in ("x.1.cso", "x.2.cso"):
        (tmp_path / name).write_bytes(CSO)
    for path in tmp_path.iterdir():
        assert_same(opened(path), path.read_bytes())


@pytest.mark.parametrize(
    "head", [b"MComprHD", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"JISO", b"\0" + b"\xff" * 10 + b"\0\0\2\0\1"]
)
def test_what_begins_like_an_image_of_any_container_is_no_part(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "x.001").write_bytes(DISC[:300_000])
    (tmp_path / "x.002").write_bytes(head.ljust(4096, b"x"))
    assert opened(tmp_path / "x.001").size == 300_000


def test_raw_sectors_split_between_two_of_them_are_joined(tmp_path: Path) -> None:
    raw = raw_disc(DISC, mode_1)
    for number in range(3):
        (tmp_path / f"x.i{number:02}").write_bytes(
            raw[number * 40 * 2352 : (number + 1) * 40 * 2352 if number < 2 else None]
        )
    assert_same(opened(tmp_path / "x.i00"), raw)


def test_disc_that_is_cut_off_is_not_joined_with_the_next_disc(tmp_path: Path) -> None:
    (tmp_path / "x.1.iso").write_bytes(disc(1000)[:1_000_000])
    (tmp_path / "x.2.iso").write_bytes(DISC)
    assert opened(tmp_path / "x.1.iso").size == 1_000_000
    assert opened(tmp_path / "x.2.iso").size == len(DISC)


@pytest.mark.parametrize("name", ["x.iso", "x.01", "x.iso.aa", "x.1.iso", "debian-12.10", "x.gz", "x.xz", "x.i00"])
def test_file_with_nothing_beside_it_is_that_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DISC[:300_000])
    (tmp_path / "other.002").write_bytes(b"other")
    assert_same(opened(tmp_path / name), DISC[:300_000])


def test_part_missing_in_the_middle_is_named(tmp_path: Path) -> None:
    put(tmp_path, [f"x.iso.{n:03}" for n in range(1, 6)], DISC)
    (tmp_path / "x.iso.003").unlink()
    with pytest.raises(ImageError, match=r"missing: x\.iso\.003; put it into"):
        opened(tmp_path / "x.iso.001")
    (tmp_path / "x.iso.002").unlink()
    with pytest.raises(ImageError, match=r"missing: x\.iso\.002"):
        opened(tmp_path / "x.iso.001")


@pytest.mark.parametrize("image", [disc(1000), cso(disc(1000))], ids=["ISO", "CSO"])
def test_last_part_that_is_missing_is_named(tmp_path: Path, image: bytes) -> None:
    put(tmp_path, [f"x.part{n}" for n in range(1, 5)], image)
    (tmp_path / "x.part4").unlink()
    with pytest.raises(ImageError, match=r"missing: x\.part4"):
        opened(tmp_path / "x.part1")


@pytest.mark.parametrize(("name", "second"), [("x.iso.001", "x.iso.002"), ("x.000", "x.001"), ("x.part1", "x.part2")])
@pytest.mark.parametrize("image", [DISC, CSO], ids=["ISO", "CSO"])
def test_second_part_that_is_missing_is_named(tmp_path: Path, image: bytes, name: str, second: str) -> None:
    put(tmp_path, [name], image[: len(image) // 4])
    with pytest.raises(ImageError, match=f"missing: {second}; put it into"):
        opened(tmp_path / name)
    put(tmp_path, [name], image)
    assert_same(opened(tmp_path / name), image)


@pytest.mark.parametrize(
    "names", [["x.iso.001", "x.iso.002"], ["x.aa", "x.ab", "x.ac"], ["x.part0.iso", "x.part1.iso"]]
)
def test_later_part_is_refused_naming_the_first(tmp_path: Path, names: list[str]) -> None:
    put(tmp_path, names, disc(1000))
    with pytest.raises(ImageError, match=f"a later part of a split image; name the first one: {names[0]}"):
        opened(tmp_path / names[-1])


def test_compressed_image_beside_parts_is_none_of_them(tmp_path: Path) -> None:
    put(tmp_path, ["x.iso.aa", "x.iso.ab"], DISC)
    (tmp_path / "x.iso.gz").write_bytes(b"anything")
    assert_same(opened(tmp_path / "x.iso.gz"), b"anything")


def test_number_of_parts_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PARTS", 5)
    put(tmp_path, [f"x.{n:03}" for n in range(1, 9)], DISC)
    with pytest.raises(ImageError, match="more than 5 parts"):
        opened(tmp_path / "x.001")


@pytest.mark.parametrize("options", [["-b", "200k"], ["-b", "200k", "-d"], ["-n", "3", "-d", "-a", "3"]])
def test_what_split_writes_is_joined(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "x.iso").write_bytes(DISC)
    subprocess.run([require("split"), *options, "x.iso", "x.iso."], cwd=tmp_path, check=True)
    first = min(path.name for path in tmp_path.iterdir() if path.name != "x.iso")
    assert_same(opened(tmp_path / first), DISC)
