"""Apple's extensions: resource forks as AppleDouble files."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from writers.discs import (
    ASSOCIATED,
    MULTI_EXTENT,
    SECTOR,
    Disc,
    ce,
    content,
    entry,
    names,
    numbered_blocks,
    open_bytes,
    px,
    rock,
    utf16,
    words,
)
from writers.tools import require

from isofs.errors import ImageError
from isofs.volume.iso9660.appledouble import FORK_SIZE, HEADER_SIZE
from isofs.volume.tree import View, find

SHOWN = View(showassoc=True)
INFO = b"TEXTttxt\x40\x00"
AA = entry(b"AA", INFO, version=2)
FORK = numbered_blocks(2)[:3000]


def apple_double(fork: bytes, info: bytes = INFO) -> bytes:
    """RFC 1740, written out: magic, version, filler, and two entries."""
    head = bytes.fromhex("00051607 00020000") + bytes(16) + struct.pack(">H", 2)
    entries = struct.pack(">III", 9, 50, 32) + struct.pack(">III", 2, 82, len(fork))
    return head + entries + info.ljust(32, b"\0") + fork


def disc_of(use: bytes, *, rocky: bool = False) -> Disc:
    disc = Disc(rock=rocky)
    name = rock(b"Name") if rocky else b""
    disc.root.file(b"NAME.;1", FORK, flags=ASSOCIATED, system_use=use + name)
    disc.root.file(b"NAME.;1", b"data", system_use=use + name)
    return disc


@pytest.mark.parametrize("rocky", [False, True])
def test_a_resource_fork_is_an_apple_double_file(rocky: bool) -> None:
    volume = disc_of(AA, rocky=rocky).open(SHOWN)
    name = "Name" if rocky else "name"
    assert names(volume) == [f"._{name}".encode(), name.encode()]
    assert content(volume, f"._{name}") == apple_double(FORK)
    assert content(volume, name) == b"data"
    found = find(volume, f"._{name}")
    assert (found.size, found.nlink, found.blocks) == (HEADER_SIZE + len(FORK), 1, 6)
    assert volume.attributes(found.inode) == found
    assert not words(volume)


def test_it_is_one_without_rock_ridge_too() -> None:
    volume = disc_of(AA, rocky=True).open(SHOWN._replace(norock=True))
    assert content(volume, "._name") == apple_double(FORK)


@pytest.mark.parametrize(
    "use",
    [
        b"",
        entry(b"AA", bytes(3), version=1),  # ProDOS
        entry(b"AA", bytes(10), version=1),
        entry(b"AA", bytes(9), version=2),
        entry(b"AA", bytes(11), version=2),
        entry(b"ZZ", INFO, version=2),
    ],
)
@pytest.mark.parametrize("rocky", [False, True])
def test_without_the_finders_entry_it_is_shown_as_recorded(use: bytes, rocky: bool) -> None:
    volume = disc_of(use, rocky=rocky).open(SHOWN)
    name = "._Name" if rocky else "._name"
    assert content(volume, name) == FORK
    assert find(volume, name).size == len(FORK)


def test_every_range_of_it_is_right() -> None:
    volume = disc_of(AA).open(SHOWN)
    source, expected = volume.data(find(volume, "._name").inode), apple_double(FORK)
    for offset in (0, 1, 49, 50, 81, 82, 83, 2000, len(expected) - 1, len(expected), len(expected) + 9):
        for n in (0, 1, 32, 82, 100, 5000):
            assert source.pread(n, offset) == expected[offset : offset + n]


def test_a_fork_of_several_sections_and_an_entry_far_away() -> None:
    disc = Disc(rock=True)
    more = rock(b"n" * 100) + AA
    use = ce(disc.store(more), 0, len(more))
    fork = FORK.ljust(SECTOR * 3, b"x")
    disc.root.file(b"A.;1", fork[: SECTOR * 2], flags=ASSOCIATED | MULTI_EXTENT, system_use=use)
    disc.root.file(b"A.;1", fork[SECTOR * 2 :], flags=ASSOCIATED, system_use=use)
    assert content(disc.open(SHOWN), "._" + "n" * 100) == apple_double(fork)


def test_an_empty_fork_has_the_finders_information() -> None:
    disc = Disc()
    disc.root.file(b"A.;1", b"", flags=ASSOCIATED, system_use=AA)
    assert content(disc.open(SHOWN), "._a") == apple_double(b"")


def test_a_joliet_tree_knows_nothing_of_the_finder() -> None:
    disc = disc_of(AA)
    tree = disc.folder(None)
    tree.file(utf16("Long name"), FORK, flags=ASSOCIATED)
    volume = open_bytes(disc.build(disc.primary(), disc.joliet(tree)), SHOWN)
    assert content(volume, "._Long name") == FORK


def test_a_fork_that_lies_beyond_the_disc_is_an_error_behind_its_header() -> None:
    disc = Disc()
    disc.root.file(b"A.;1", extent=9_000_000, size=5000, flags=ASSOCIATED, system_use=AA)
    volume = disc.open(SHOWN)
    source = volume.data(find(volume, "._a").inode)
    assert source.pread(HEADER_SIZE, 0) == apple_double(bytes(5000))[:HEADER_SIZE]
    with pytest.raises(ImageError, match=r"\._a: bytes .* beyond the end of the disc"):
        source.pread(1, HEADER_SIZE)


def test_a_fork_too_large_to_be_told_is_shown_as_recorded() -> None:
    disc = Disc()
    disc.root.file(b"A.;1", extent=30, size=FORK_SIZE - 2047, flags=ASSOCIATED | MULTI_EXTENT, system_use=AA)
    disc.root.file(b"A.;1", extent=30, size=4096, flags=ASSOCIATED, system_use=AA)
    volume = disc.open(SHOWN)
    found = find(volume, "._a")
    assert found.size == volume.data(found.inode).size == FORK_SIZE + 2049


def test_forks_of_hard_links_and_their_files_stay_apart() -> None:
    disc = Disc(rock=True)
    at = disc.store(b"same")
    for name in (b"a", b"b"):
        use = px(0o100644, 2, serial=7) + rock(name)[36:] + AA
        disc.root.file(name + b".;1", extent=at, size=4, flags=ASSOCIATED, system_use=use)
        disc.root.file(name + b".;1", extent=at, size=4, system_use=use)
    volume = disc.open(SHOWN)
    for path in ("a", "b"):
        assert content(volume, path) == b"same"
        assert content(volume, f"._{path}") == apple_double(b"same")
        for shown in (path, f"._{path}"):
            assert volume.attributes(find(volume, shown).inode) == find(volume, shown)
    assert find(volume, "a").inode == find(volume, "b").inode


def test_what_genisoimage_writes_comes_back(tmp_path: Path) -> None:
    require("genisoimage")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "hello.txt").write_bytes(b"hello")
    written = apple_double(FORK, b"TEXTttxt\0\0")
    (tree / "._hello.txt").write_bytes(written)
    target = tmp_path / "apple.iso"
    command = ["genisoimage", "-quiet", "-apple", "--osx-double", "-R", "-J", "-o", str(target), str(tree)]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    volume = open_bytes(target.read_bytes(), SHOWN)
    assert names(volume) == [b"._hello.txt", b"hello.txt"]
    assert content(volume, "._hello.txt") == written
    assert names(open_bytes(target.read_bytes())) == [b"hello.txt"]
