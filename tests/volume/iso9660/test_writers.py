"""Discs of the usual mastering programs, compared with the tree that they were made of."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from writers.discs import open_bytes
from writers.tools import require
from writers.trees import LONG, add_long_links, make_tree

from isofs import limits
from isofs.errors import ImageError
from isofs.image.cache import BlockCache
from isofs.image.source import FileSource
from isofs.volume.iso9660 import open_iso9660
from isofs.volume.iso9660.volume import Iso9660
from isofs.volume.tree import ROOT, Attributes, View, find, walk

pytestmark = pytest.mark.usefixtures("each_way")

XORRISO = ("xorriso", "-as", "mkisofs", "-quiet")
GENISOIMAGE = ("genisoimage", "-quiet", "-input-charset", "utf-8")
GENISOIMAGE_4 = ("genisoimage", "-quiet", "-input-charset", "iso8859-1", "-iso-level", "4")
"""Level 4 takes names as bytes only."""


@pytest.fixture(scope="session")
def source_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="session")
def long_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For xorriso only: genisoimage does not end on links of that length."""
    tree = make_tree(tmp_path_factory.mktemp("long"), many=3)
    add_long_links(tree)
    return tree


def write(command: tuple[str, ...], tree: Path, target: Path) -> Path:
    require(command[0])
    done = subprocess.run(
        [*command, "-o", str(target), str(tree)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return target


class Opened:
    """A volume on a file, closed at the end."""

    def __init__(self, path: Path, view: View | None = None) -> None:
        self.file = FileSource(str(path))
        self.volume = open_iso9660(self.file, view or View(), BlockCache(limits.CACHE_LEAST))

    def __enter__(self) -> Iso9660:
        return self.volume

    def __exit__(self, *exc: object) -> None:
        self.file.close()


def on_disc(volume: Iso9660) -> dict[str, Attributes]:
    found = {}
    for step in walk(volume, volume.attributes(ROOT)):
        assert step.error is None, step
        assert step.attributes is not None
        found[os.fsdecode(step.path)] = step.attributes
    return found


def in_tree(tree: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(tree.rglob("*")):
        yield str(path.relative_to(tree)), path


def assert_same_tree(volume: Iso9660, tree: Path, *, also: tuple[str, ...] = (), hard_links: bool = True) -> None:
    """Names, types, modes, owners, times, sizes, targets, devices and bytes are the source's."""
    found = on_disc(volume)
    assert sorted(name for name in found if name not in also) == sorted(name for name, _ in in_tree(tree))
    for name, path in in_tree(tree):
        own, told = path.lstat(), found[name]
        assert told.mode == own.st_mode, name
        assert (told.uid, told.gid) == (own.st_uid, own.st_gid), name
        if not stat.S_ISDIR(own.st_mode):
            assert told.mtime // 10**9 == int(own.st_mtime), name
        if stat.S_ISREG(own.st_mode):
            assert told.size == own.st_size, name
            data = volume.data(told.inode)
            assert data.pread(data.size, 0) == path.read_bytes(), name
        elif stat.S_ISLNK(own.st_mode):
            target = os.readlink(path)
            assert os.fsdecode(volume.readlink(told.inode)) == target, name
            assert told.size == len(os.fsencode(target)), name
        elif not stat.S_ISDIR(own.st_mode):
            assert told.rdev == own.st_rdev, name
        assert volume.attributes(told.inode) == told, name
    if hard_links and "hard link" in found:
        assert found["hard link"] == found["readme.txt"]
        assert found["hard link"].nlink == 2
    assert len({told.inode for told in found.values()}) == len(found) - (
        1 if hard_links and "hard link" in found else 0
    )
    assert not volume.findings.found


@pytest.mark.parametrize(
    "options",
    [
        ("-R", "--hardlinks"),
        ("-R", "-J", "--hardlinks"),
        ("-R", "-J", "-joliet-long", "--hardlinks"),
        ("-R", "-iso-level", "3", "--hardlinks"),
        ("-R", "-iso-level", "4", "--hardlinks"),
    ],
    ids=" ".join,
)
def test_xorriso_with_rock_ridge(options: tuple[str, ...], long_tree: Path, tmp_path: Path) -> None:
    with Opened(write((*XORRISO, *options), long_tree, tmp_path / "disc.iso")) as volume:
        assert volume.describe()["tree"] == "Rock Ridge"
        assert_same_tree(volume, long_tree)


def test_xorriso_without_serial_numbers_of_hard_links(source_tree: Path, tmp_path: Path) -> None:
    """The link count and the extent tell it all the same; empty files are no links."""
    with Opened(write((*XORRISO, "-R"), source_tree, tmp_path / "disc.iso")) as volume:
        found = on_disc(volume)
        assert found["hard link"] == found["readme.txt"]
        assert found["empty"].inode != found["empty2"].inode
        data = volume.data(found["hard link"].inode)
        assert data.pread(9, 0) == b"hello\n"


def test_a_directory_of_many_sectors(source_tree: Path, tmp_path: Path) -> None:
    with Opened(write((*XORRISO, "-R", "--hardlinks"), source_tree, tmp_path / "disc.iso")) as volume:
        assert_same_tree(volume, source_tree)
        many = find(volume, "many")
        assert many.size > 10 * 2048
        assert len(volume.entries(many.inode)) == 300


@pytest.mark.parametrize(
    "options",
    [("-R",), ("-R", "-J", "-joliet-long"), ("-R", "-XA"), ("-R", "-J", "-udf")],
    ids=" ".join,
)
def test_genisoimage_with_rock_ridge(options: tuple[str, ...], source_tree: Path, tmp_path: Path) -> None:
    """The directories below the seventh are relocated by it, and stand where they belong."""
    with Opened(write((*GENISOIMAGE, *options), source_tree, tmp_path / "disc.iso")) as volume:
        assert volume.describe()["tree"] == "Rock Ridge"
        assert_same_tree(volume, source_tree, also=("rr_moved",))
        assert "rr_moved" in on_disc(volume)
        deep = find(volume, "deep/b/c/d/e/f/g/h/i/j/k")
        above = find(volume, "deep/b/c/d/e/f/g/h/i/j")
        assert volume.parent(deep.inode) == above.inode


def test_genisoimage_with_rock_ridge_at_level_4(source_tree: Path, tmp_path: Path) -> None:
    with Opened(write((*GENISOIMAGE_4, "-R"), source_tree, tmp_path / "disc.iso")) as volume:
        assert volume.describe()["enhanced"] is True
        assert_same_tree(volume, source_tree, also=("rr_moved",))


def plain_files(volume: Iso9660) -> dict[bytes, bytes]:
    """Contents of all regular files by their path."""
    found = {}
    for path, told in on_disc(volume).items():
        if stat.S_ISREG(told.mode):
            data = volume.data(told.inode)
            found[os.fsencode(path)] = data.pread(data.size, 0)
    return found


@pytest.fixture(scope="session")
def simple_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files only, of depths that need no relocation."""
    tree = tmp_path_factory.mktemp("simple")
    for name in (
        "readme.txt",
        "Mixed Case File.TXT",
        "Grüße 漢字.txt",
        "face \U0001f600.txt",
        "a.b.c",
        "dir/inner.dat",
    ):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_bytes(name.encode() * 100)
    for i in range(200):
        (tree / "dir" / f"number {i:03}").write_bytes(b"%d" % i)
    return tree


@pytest.mark.parametrize(
    "command",
    [(*GENISOIMAGE, "-J", "-joliet-long"), (*XORRISO, "-J", "-joliet-long", "--norock"), (*XORRISO, "-R", "-J")],
    ids=["genisoimage -J", "xorriso -J", "xorriso -R -J"],
)
def test_joliet_trees(command: tuple[str, ...], simple_tree: Path, tmp_path: Path) -> None:
    path = write(command, simple_tree, tmp_path / "disc.iso")
    with Opened(path, View(norock=True)) as volume:
        assert volume.describe()["tree"] == "Joliet"
        expected = {os.fsencode(name): file.read_bytes() for name, file in in_tree(simple_tree) if file.is_file()}
        found = plain_files(volume)
        odd = "face \U0001f600.txt".encode()  # a pair of surrogates: some writers replace it
        assert sorted(found.values()) == sorted(expected.values())
        expected.pop(odd)
        assert expected.items() <= found.items()
        assert volume.lookup(ROOT, b"README.TXT") == volume.lookup(ROOT, b"readme.txt") is not None
        assert not volume.findings.found


@pytest.mark.parametrize("command", [GENISOIMAGE, (*XORRISO, "--norock")], ids=["genisoimage", "xorriso"])
def test_plain_trees(command: tuple[str, ...], simple_tree: Path, tmp_path: Path) -> None:
    with Opened(write(command, simple_tree, tmp_path / "disc.iso"), View(norock=True)) as volume:
        assert volume.describe()["tree"] == "ISO 9660"
        found = plain_files(volume)
        assert sorted(found.values()) == sorted(file.read_bytes() for _, file in in_tree(simple_tree) if file.is_file())
        assert found[b"readme.txt"] == b"readme.txt" * 100
        assert not volume.findings.found


def test_an_enhanced_descriptor_changes_nothing(simple_tree: Path, tmp_path: Path) -> None:
    with Opened(write(GENISOIMAGE_4, simple_tree, tmp_path / "disc.iso")) as volume:
        assert volume.describe()["enhanced"] is True
        assert plain_files(volume)[b"mixed case file.txt"] == b"Mixed Case File.TXT" * 100


@pytest.mark.parametrize(
    "options",
    [(), ("-zisofs", "version_2=on:block_size_v2=64k"), ("-zisofs", "version_2=on:susp_z2=on")],
    ids=["version 1", "version 2", "version 2 as Z2"],
)
def test_xorriso_with_zisofs(options: tuple[str, ...], tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "zeros").write_bytes(bytes(300_000))
    (tree / "text").write_bytes(b"".join(b"line %d\n" % i for i in range(40_000)))
    (tree / "noise").write_bytes(os.urandom(100_000))
    (tree / "small").write_bytes(b"small")
    target = tmp_path / "disc.iso"
    done = subprocess.run(
        [
            require("xorriso"),
            "-report_about",
            "SORRY",
            *options,
            "-outdev",
            str(target),
            "-map",
            str(tree),
            "/",
            "-set_filter_r",
            "--zisofs",
            "/",
            "--",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with Opened(target) as volume:
        for name, path in in_tree(tree):
            found = find(volume, name)
            data = volume.data(found.inode)
            assert found.size == data.size == path.stat().st_size
            assert data.pread(data.size, 0) == path.read_bytes(), name
            assert data.pread(1000, 40_000) == path.read_bytes()[40_000:41_000]
        assert find(volume, "zeros").blocks < 10
        assert not volume.findings.found


def test_a_disc_that_is_cut_off_gives_what_is_there(simple_tree: Path, tmp_path: Path) -> None:
    whole = write((*GENISOIMAGE, "-R"), simple_tree, tmp_path / "disc.iso").read_bytes()
    expected = {name: file.read_bytes() for name, file in in_tree(simple_tree) if file.is_file()}
    right = wrong = 0
    volume = open_bytes(whole[: len(whole) - 250 * 2048])
    for name, told in on_disc(volume).items():
        if not stat.S_ISREG(told.mode):
            continue
        data = volume.data(told.inode)
        try:
            assert data.pread(data.size, 0) == expected[name]
            right += 1
        except ImageError:
            wrong += 1
    assert right > 10
    assert wrong > 10


def test_long_names_survive(source_tree: Path, tmp_path: Path) -> None:
    with Opened(write((*GENISOIMAGE, "-R", "-J", "-joliet-long"), source_tree, tmp_path / "disc.iso")) as volume:
        assert find(volume, LONG).size == 4
    with Opened(tmp_path / "disc.iso", View(norock=True)) as volume:
        long = [name for name in on_disc(volume) if name.startswith("nnn")]
        assert len(long) == 1
        assert len(long[0]) <= 110
