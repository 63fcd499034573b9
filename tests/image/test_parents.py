"""CHD images that leave out what their parents hold."""

from __future__ import annotations

import os
import subprocess
from functools import partial
from pathlib import Path

import pytest
from writers.chd import (
    PARENT,
    PLAIN,
    Hunk,
    Metadata,
    blocks_of,
    deflated,
    old,
    old_usual,
    overall,
    sha1,
    track,
    version_5,
)
from writers.chd import crc_16 as check
from writers.containers import overwritten, sample_disc
from writers.sheets import stored
from writers.sources import assert_same, damaged_blocks
from writers.threads import impatient, in_thread
from writers.tools import require

from isofs import limits
from isofs.errors import ImageError, IsofsError, NoImage, NotReady, UsageError
from isofs.image import open_image
from isofs.image.source import Extent, Extents, open_stream
from isofs.image.wishes import NO_WISHES, Wishes

SECTOR = 2048
HUNK = 4096
DISC = sample_disc(60)
METADATA: list[Metadata] = [(b"DVD ", 1, b"\0")]


def changed(disc: bytes, generation: int) -> bytes:
    """The next generation of a disc: other bytes in some places."""
    for number in range(20 + generation, 60, 7):
        disc = overwritten(disc, number * SECTOR + 100, b"generation %d" % generation)
    return disc


def identity(disc: bytes) -> bytes:
    """By what an image of the disc is named."""
    return overall(sha1(disc), METADATA)


def image(disc: bytes, size: int = HUNK) -> bytes:
    """An image that stands alone."""
    hunks = []
    for block in blocks_of(disc, size):
        stored = deflated(block)
        kind = 0 if len(stored) < size else PLAIN
        hunks.append(Hunk(kind, block if kind else stored, crc=check(block)))
    return version_5(hunks, size, len(disc), metadata=METADATA, disc=disc)


def child(disc: bytes, parent: bytes, size: int = HUNK) -> bytes:
    """An image that leaves out the hunks that the parent's disc has at the same place."""
    hunks = []
    for number, block in enumerate(blocks_of(disc, size)):
        if block == parent[number * size :][:size].ljust(size, b"\0"):
            hunks.append(Hunk(PARENT, number=number * size // SECTOR))
        else:
            hunks.append(Hunk(PLAIN, block, crc=check(block)))
    assert any(hunk.type == PARENT for hunk in hunks)
    return version_5(hunks, size, len(disc), metadata=METADATA, disc=disc, parent=identity(parent))


def named(data: bytes, own: bytes, parent: bytes) -> bytes:
    """The image by another name, and with another parent's."""
    return overwritten(overwritten(data, 84, own), 104, parent)


SECOND = changed(DISC, 1)


def saved(path: Path, data: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def refused(path: Path, error: type[IsofsError], wishes: Wishes = NO_WISHES) -> str:
    """The line that an image is refused with; no file stays open."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(error) as raised:
        open_image(str(path), wishes=wishes)
    assert len(os.listdir("/proc/self/fd")) == before
    assert raised.value.path == str(path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# --- found ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a parent.chd", "Z.CHD", "child.chd.old.chd", ".chd"])
def test_the_parent_is_found_beside_the_image_by_what_it_is(tmp_path: Path, name: str) -> None:
    saved(tmp_path / name, image(DISC))
    with open_image(str(saved(tmp_path / "child.chd", child(SECOND, DISC)))) as opened_files:
        assert_same(opened_files.disc, SECOND)
        assert [os.path.basename(file.path) for file in opened_files.files] == ["child.chd", name]
        assert opened_files.warnings == []
        assert opened_files.format == "CHD version 5"


def test_others_beside_it_are_passed_over(tmp_path: Path) -> None:
    for name, data in {
        "a.chd": image(changed(DISC, 5)),
        "b.chd": b"MComprHD",
        "c.chd": b"",
        "d.chd": b"no image at all" * 100,
        "e.chd": image(DISC)[:100],
    }.items():
        saved(tmp_path / name, data)
    os.mkfifo(tmp_path / "f.chd")
    (tmp_path / "g.chd").mkdir()
    (tmp_path / "h.chd").symlink_to("nowhere")
    saved(tmp_path / "parent.chd", image(DISC))
    with open_image(str(saved(tmp_path / "child.chd", child(SECOND, DISC)))) as opened_files:
        assert_same(opened_files.disc, SECOND, ranges=3)


def test_links_out_of_the_directory_are_not_even_opened(tmp_path: Path, opened_files: list[str]) -> None:
    parent = saved(tmp_path / "elsewhere" / "parent.chd", image(DISC))
    path = saved(tmp_path / "home" / "child.chd", child(SECOND, DISC))
    (tmp_path / "home" / "parent.chd").symlink_to(parent)
    assert "its parent is missing" in refused(path, NoImage)
    assert set(opened_files) == {str(path)}


def test_a_link_within_the_directory_is_followed(tmp_path: Path) -> None:
    saved(tmp_path / "parent of another kind.bin", image(DISC))
    (tmp_path / "parent.chd").symlink_to("parent of another kind.bin")
    with open_image(str(saved(tmp_path / "child.chd", child(SECOND, DISC)))) as opened_files:
        assert_same(opened_files.disc, SECOND, ranges=3)


def test_the_parent_may_be_told_wherever_it_is(tmp_path: Path) -> None:
    parent = saved(tmp_path / "elsewhere" / "parent.bin", image(DISC))
    path = saved(tmp_path / "child.chd", child(SECOND, DISC))
    with open_image(str(path), wishes=Wishes(parent=str(parent))) as opened_files:
        assert_same(opened_files.disc, SECOND, ranges=3)
        assert [file.path for file in opened_files.files] == [str(path), str(parent)]


@pytest.mark.parametrize("size", [2048, 8192, 16384])
def test_hunks_of_the_parent_may_have_another_size(tmp_path: Path, size: int) -> None:
    saved(tmp_path / "parent.chd", image(DISC, size))
    with open_image(str(saved(tmp_path / "child.chd", child(SECOND, DISC)))) as opened_files:
        assert_same(opened_files.disc, SECOND)


@pytest.mark.parametrize("sectors", [57, 58, 59])
def test_a_disc_need_not_fill_its_last_hunk(tmp_path: Path, sectors: int) -> None:
    disc, second = DISC[: sectors * SECTOR], SECOND[: sectors * SECTOR]
    second = overwritten(second, len(second) - 4 * SECTOR, disc[-4 * SECTOR :])
    saved(tmp_path / "parent.chd", image(disc, 8192))
    with open_image(str(saved(tmp_path / "child.chd", child(second, disc, 8192)))) as opened_files:
        assert_same(opened_files.disc, second)


@pytest.mark.parametrize("version", [3, 4])
def test_parents_of_older_versions_are_found(tmp_path: Path, version: int) -> None:
    parent = old(version, old_usual(DISC, HUNK), HUNK, len(DISC), disc=DISC)
    own = sha1(DISC) if version == 3 else overall(sha1(DISC), ())
    saved(tmp_path / "parent.chd", parent)
    data = named(child(SECOND, DISC), identity(SECOND), own)
    with open_image(str(saved(tmp_path / "child.chd", data))) as opened_files:
        assert_same(opened_files.disc, SECOND, ranges=3)


# --- read -----------------------------------------------------------------------------------------------------------


def test_files_are_read_ahead_across_both(tmp_path: Path) -> None:
    saved(tmp_path / "parent.chd", image(DISC))
    with open_image(str(saved(tmp_path / "child.chd", child(SECOND, DISC))), threads=2) as opened_files:
        stream = open_stream(Extents(opened_files.disc, [Extent(5000, len(SECOND) - 9000)]))
        for offset in range(0, stream.size, 3000):
            n = min(3000, stream.size - offset)
            assert in_thread(partial(stream.pread, n, offset)) == SECOND[5000 + offset :][:n]


def test_a_thread_that_must_not_wait_gets_the_same_or_is_told_so(tmp_path: Path) -> None:
    saved(tmp_path / "parent.chd", image(DISC))
    with open_image(str(saved(tmp_path / "child.chd", child(SECOND, DISC)))) as opened_files:
        for at in range(0, len(SECOND), SECTOR):
            try:
                found = impatient(partial(opened_files.disc.pread, SECTOR, at))
            except NotReady:
                found = opened_files.disc.pread(SECTOR, at)
            assert found == SECOND[at : at + SECTOR]


def test_damage_in_the_parent_costs_its_own_bytes(tmp_path: Path) -> None:
    parent = image(DISC)
    data = blocks_of(DISC, HUNK)
    at = parent.index(deflated(data[12]))
    saved(tmp_path / "parent.chd", overwritten(parent, at, b"\xff" * 20))
    with open_image(str(saved(tmp_path / "child.chd", child(SECOND, DISC)))) as opened_files:
        assert damaged_blocks(opened_files.disc, SECOND, HUNK) == [12]


def test_what_lies_behind_the_parents_end_is_an_error(tmp_path: Path) -> None:
    saved(tmp_path / "parent.chd", named(image(DISC[: 40 * SECTOR]), identity(DISC), bytes(20)))
    with open_image(str(saved(tmp_path / "child.chd", child(SECOND, DISC)))) as opened_files:
        damaged = damaged_blocks(opened_files.disc, SECOND, HUNK)
    assert damaged
    assert min(damaged) == 40 * SECTOR // HUNK


def test_a_parent_that_was_changed_meanwhile_is_not_believed(tmp_path: Path) -> None:
    parent = saved(tmp_path / "parent.chd", image(DISC))
    with open_image(str(saved(tmp_path / "child.chd", child(SECOND, DISC)))) as opened_files:
        with open(parent, "ab") as file:
            file.write(b"more")
        with pytest.raises(ImageError, match="changed while it is in use"):
            opened_files.disc.pread(SECTOR, 30 * SECTOR)


# --- not found ------------------------------------------------------------------------------------------------------


def test_a_missing_parent_is_named_by_its_sha_1(tmp_path: Path) -> None:
    path = saved(tmp_path / "child.chd", child(SECOND, DISC))
    assert refused(path, NoImage) == (
        f"its parent is missing, the CHD image whose SHA-1 is {identity(DISC).hex()}; "
        f"put it into {tmp_path}, or name it by -o parent=FILE"
    )


def test_of_a_chain_the_one_that_is_missing_is_named(tmp_path: Path) -> None:
    third = changed(SECOND, 2)
    saved(tmp_path / "second.chd", child(SECOND, DISC))
    path = saved(tmp_path / "third.chd", child(third, SECOND))
    assert identity(DISC).hex() in refused(path, NoImage)


@pytest.mark.parametrize("told", [image(changed(DISC, 5)), b"no image at all" * 100, DISC, b"MComprHD"])
def test_a_wrong_parent_is_the_callers_fault(tmp_path: Path, told: bytes) -> None:
    saved(tmp_path / "the right one.chd", image(DISC))
    wrong = saved(tmp_path / "wrong.bin", told)
    path = saved(tmp_path / "child.chd", child(SECOND, DISC))
    assert refused(path, UsageError, Wishes(parent=str(wrong))) == (
        f"{wrong} is not its parent; name the image whose SHA-1 is {identity(DISC).hex()}"
    )


def test_a_told_parent_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "child.chd", child(SECOND, DISC))
    with pytest.raises(NoImage) as raised:
        open_image(str(path), wishes=Wishes(parent=str(tmp_path / "gone.chd")))
    assert raised.value.path == str(tmp_path / "gone.chd")


@pytest.mark.parametrize("data", [image(DISC), DISC], ids=["CHD", "plain"])
def test_an_image_without_a_parent_takes_none(tmp_path: Path, data: bytes) -> None:
    path = saved(tmp_path / "alone.chd", data)
    assert refused(path, UsageError, Wishes(parent=str(path))) == "it has no parent; leave parent= out"


def test_a_parent_that_is_damaged_is_an_error(tmp_path: Path) -> None:
    saved(tmp_path / "parent.chd", image(DISC)[:-30])
    assert "CHD" in refused(saved(tmp_path / "child.chd", child(SECOND, DISC)), ImageError)


# --- chains ---------------------------------------------------------------------------------------------------------


def generations(directory: Path, count: int) -> tuple[Path, bytes]:
    """An image, and as many that it descends from; the path of the youngest, and its disc."""
    disc = DISC
    path = saved(directory / "0.chd", image(disc))
    for generation in range(1, count + 1):
        younger = changed(disc, generation)
        path = saved(directory / f"{generation}.chd", child(younger, disc))
        disc = younger
    return path, disc


@pytest.mark.parametrize("count", [2, limits.PARENTS])
def test_a_chain_of_parents_is_followed(tmp_path: Path, count: int) -> None:
    path, disc = generations(tmp_path, count)
    with open_image(str(path)) as opened_files:
        assert_same(opened_files.disc, disc, ranges=10)
        assert len(opened_files.files) == count + 1


def test_a_longer_chain_than_there_may_be_is_refused(tmp_path: Path) -> None:
    path, _ = generations(tmp_path, limits.PARENTS + 1)
    assert refused(path, ImageError) == f"more than {limits.PARENTS} parents above each other"


def test_of_a_chain_the_first_parent_may_be_told(tmp_path: Path) -> None:
    third = changed(SECOND, 2)
    saved(tmp_path / "0.chd", image(DISC))
    second = saved(tmp_path / "elsewhere" / "1.chd", child(SECOND, DISC))
    path = saved(tmp_path / "2.chd", child(third, SECOND))
    with open_image(str(path), wishes=Wishes(parent=str(second))) as opened_files:
        assert_same(opened_files.disc, third, ranges=5)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_chain_that_comes_back_is_refused(tmp_path: Path, length: int) -> None:
    names = [bytes((n + 1,)) * 20 for n in range(length)]
    data = child(SECOND, DISC)
    for n in range(length):
        saved(tmp_path / f"{n}.chd", named(data, names[n], names[(n + 1) % length]))
    assert refused(tmp_path / "0.chd", ImageError) == "it names itself"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("length", [1, 2, 3])
def test_one_that_comes_back_by_way_of_others_too(tmp_path: Path, length: int) -> None:
    names = [bytes((n + 1,)) * 20 for n in range(length)]
    data = child(SECOND, DISC)
    for n in range(length):
        saved(tmp_path / f"{n}.chd", named(data, names[n], names[(n + 1) % length]))
    path = saved(tmp_path / "youngest.chd", named(data, b"\xee" * 20, names[0]))
    assert refused(path, ImageError) == "it is its own parent, by way of others"


def test_a_cd_may_have_a_parent(tmp_path: Path) -> None:
    size, count = 2448 * 4, len(DISC) // SECTOR
    parent, second = (stored(disc, "2/2448") for disc in (DISC, SECOND))
    metadata = [track(1, "MODE2_RAW", count)]
    hunks = [Hunk(PLAIN, block, crc=check(block)) for block in blocks_of(parent, size)]
    saved(
        tmp_path / "parent.chd",
        version_5(hunks, size, len(parent), unit=2448, metadata=metadata, disc=parent, tags=(b"cdzl",)),
    )
    own = overall(sha1(parent), metadata)
    hunks = [
        Hunk(PARENT, number=number * 4)
        if block == parent[number * size :][:size]
        else Hunk(PLAIN, block, crc=check(block))
        for number, block in enumerate(blocks_of(second, size))
    ]
    path = saved(
        tmp_path / "child.chd",
        version_5(hunks, size, len(second), unit=2448, metadata=metadata, disc=second, tags=(b"cdzl",), parent=own),
    )
    with open_image(str(path)) as opened_files:
        assert_same(opened_files.disc, SECOND)
        stream = open_stream(Extents(opened_files.disc, [Extent(20 * SECTOR, 30 * SECTOR)]))
        assert stream.pread(stream.size, 0) == SECOND[20 * SECTOR : 50 * SECTOR]


# --- by the program that makes them ---------------------------------------------------------------------------------


def chdman(*words: str | Path) -> None:
    done = subprocess.run([require("chdman"), *map(str, words)], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)


@pytest.mark.parametrize("codec", ["zlib", "none"])
def test_images_of_chdman_are_read(tmp_path: Path, codec: str) -> None:
    for name, disc, more in (("oldest", DISC, ()), ("child", SECOND, ("-op", tmp_path / "oldest.chd"))):
        source = saved(tmp_path / f"{name}.iso", disc)
        paths = ("-i", source, "-o", tmp_path / f"{name}.chd")
        chdman("createraw", *paths, "-us", "2048", "-hs", "4096", "-c", codec, *more)
    (tmp_path / "oldest.chd").rename(tmp_path / "by another name.CHD")
    with open_image(str(tmp_path / "child.chd")) as opened_files:
        assert_same(opened_files.disc, SECOND)
        assert len(opened_files.files) == (2 if codec == "zlib" else 1), "uncompressed ones hold everything"
