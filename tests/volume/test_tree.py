"""Paths, walks and findings, which are the same for every kind of volume."""

from __future__ import annotations

import stat
from itertools import islice

import pytest
from writers.discs import DIRECTORY, FILE, LINK, SECTOR, Disc, component, record, rock, sl

from isofs import limits
from isofs.errors import ImageError, NoEntryError
from isofs.volume.iso9660.volume import Iso9660
from isofs.volume.tree import ROOT, Finding, Findings, attributes_of, find, path_of, walk


def link(name: bytes, target: str) -> bytes:
    parts = []
    if target.startswith("/"):
        parts.append(component(flags=8))
    for part in target.strip("/").split("/"):
        flags = {".": 2, "..": 4}.get(part, 0)
        parts.append(component(b"" if flags else part.encode(), flags))
    return rock(name, LINK) + sl(*parts)


def tree_disc() -> Iso9660:
    """`a/b/file`, `top` and links."""
    disc = Disc(rock=True, sectors=3)
    a = disc.root.rock_directory(b"A", b"a")
    b = a.rock_directory(b"B", b"b")
    b.file(b"FILE.;1", b"inner", system_use=rock(b"file"))
    disc.root.file(b"TOP.;1", b"top", system_use=rock(b"top"))
    for i, (name, target) in enumerate(
        {
            "to_top": "top",
            "to_b": "a/b",
            "absolute": "/a/b/file",
            "up": "a/b/../../top",
            "above_root": "../../../top",
            "dotted": "./a/./b/./file",
            "chain1": "chain2",
            "chain2": "chain3",
            "chain3": "to_b",
            "self": "self",
            "ping": "pong",
            "pong": "ping",
            "dangling": "nowhere",
        }.items()
    ):
        disc.root.file(b"L%02d.;1" % i, system_use=link(name.encode(), target))
    b.file(b"OUT.;1", system_use=link(b"out", "../../top"))
    return disc.open()


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("top", 3),
        ("/top", 3),
        ("//top", 3),
        ("a/b/file", 5),
        ("/a//b/./file", 5),
        ("a/../top", 3),
        ("../../top", 3),
        ("a/b/../b/file", 5),
        ("to_top", 3),
        ("to_b/file", 5),
        ("absolute", 5),
        ("up", 3),
        ("above_root", 3),
        ("dotted", 5),
        ("chain1/file", 5),
        ("chain1/out", 3),
        ("to_b/../../top", 3),
        ("a/b/out", 3),
    ],
)
def test_paths_lead_to_files(path: str, size: int) -> None:
    found = find(tree_disc(), path)
    assert stat.S_ISREG(found.mode)
    assert found.size == size


@pytest.mark.parametrize("path", ["", "/", ".", "..", "a/..", "./../", "a/b/../.."])
def test_paths_lead_to_the_root(path: str) -> None:
    assert find(tree_disc(), path).inode == ROOT


def test_dot_dot_behind_a_link_is_the_parent_of_what_it_leads_to() -> None:
    volume = tree_disc()
    assert find(volume, "to_b/..").inode == find(volume, "a").inode
    assert find(volume, "chain1/../b").inode == find(volume, "a/b").inode


def test_the_last_link_is_not_followed_where_nobody_asks_for_it() -> None:
    volume = tree_disc()
    assert stat.S_ISLNK(find(volume, "to_b", follow=False).mode)
    assert stat.S_ISREG(find(volume, "to_b/file", follow=False).mode)
    assert stat.S_ISLNK(find(volume, "to_b/out", follow=False).mode)
    assert stat.S_ISLNK(find(volume, "self", follow=False).mode)


@pytest.mark.parametrize("path", ["self", "ping", "self/x"])
def test_a_loop_of_links_ends(path: str) -> None:
    with pytest.raises(NoEntryError, match="too many symbolic links"):
        find(tree_disc(), path)


@pytest.mark.parametrize("path", ["none", "a/none", "dangling", "A", "a/b/file\0", "a/none/../b"])
def test_what_is_not_there_is_not_found(path: str) -> None:
    with pytest.raises(NoEntryError, match="no such file"):
        find(tree_disc(), path)


@pytest.mark.parametrize("path", ["top/x", "top/..", "top/.", "to_top/x", "a/b/file/x"])
def test_a_file_holds_no_files(path: str) -> None:
    with pytest.raises(NoEntryError, match="not a directory"):
        find(tree_disc(), path)


def test_a_path_of_any_bytes_is_found() -> None:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"data", system_use=rock(b"\xff\xfe"))
    assert find(disc.open(), "\udcff\udcfe").size == 4


def test_a_walk_meets_each_directory_before_its_files() -> None:
    volume = tree_disc()
    steps = list(walk(volume, volume.attributes(ROOT)))
    paths = [step.path for step in steps]
    assert paths[:4] == [b"a", b"a/b", b"a/b/file", b"a/b/out"]
    assert len(paths) == len(set(paths)) == 18
    assert not any(step.error for step in steps)
    assert all(step.attributes for step in steps)


def test_a_walk_may_begin_below_the_root() -> None:
    volume = tree_disc()
    assert [step.path for step in walk(volume, find(volume, "a"))] == [b"b", b"b/file", b"b/out"]


def test_entries_of_directories_tell_their_attributes_when_asked() -> None:
    volume = tree_disc()
    for entry in volume.entries(ROOT):
        assert attributes_of(volume, entry) == volume.lookup(ROOT, entry.name)


def cyclic_disc() -> Iso9660:
    """A directory that contains its parent; its own record of the parent says something else."""
    disc = Disc()
    a = disc.root.directory(b"A")
    lying = disc.folder(None)
    lying.file(b"FILE.;1", b"x")
    lying.add(record(b"BACK", a.extent, SECTOR, flags=DIRECTORY))
    a.add(record(b"DOWN", lying.extent, SECTOR, flags=DIRECTORY))
    return disc.open()


def test_a_walk_ends_on_a_cyclic_disc() -> None:
    volume = cyclic_disc()
    steps = list(islice(walk(volume, volume.attributes(ROOT)), 1000))
    assert len(steps) < 20
    assert b"a/down/file" in [step.path for step in steps]
    errors = [step for step in steps if step.error]
    assert [step.path for step in errors] == [b"a/down/back"]
    assert "contains itself" in str(errors[0].error)


def test_a_walk_over_shared_directories_is_bounded_by_the_disc() -> None:
    """Forty directories, each with two names for the next: 2^40 paths, but forty directories."""
    disc = Disc()
    folder = disc.root
    for _ in range(40):
        below = folder.directory(b"A")
        folder.add(record(b"B", below.extent, SECTOR, flags=DIRECTORY))
        folder = below
    volume = disc.open()
    most = 100_000
    steps = sum(1 for _ in islice(walk(volume, volume.attributes(ROOT)), most))
    assert steps < most


def test_a_walk_tells_what_cannot_be_read_and_goes_on() -> None:
    disc = Disc()
    disc.root.add(record(b"BAD", 900_000, SECTOR, flags=DIRECTORY))
    noise = disc.store(b"\1" * SECTOR)
    disc.root.add(record(b"NOISE", noise, SECTOR, flags=DIRECTORY))
    disc.root.file(b"GOOD.;1", b"x")
    volume = disc.open()
    steps = list(walk(volume, volume.attributes(ROOT)))
    assert {step.path for step in steps if step.error} == {b"bad", b"noise"}
    assert all(isinstance(step.error, ImageError) for step in steps if step.error)
    assert [step.path for step in steps if step.attributes][-1] == b"good"


def test_a_walk_from_a_directory_that_cannot_be_read_is_one_error() -> None:
    disc = Disc()
    disc.root.add(record(b"NOISE", disc.store(b"\1" * SECTOR), SECTOR, flags=DIRECTORY))
    volume = disc.open()
    steps = list(walk(volume, find(volume, "noise")))
    assert len(steps) == 1
    assert steps[0].error is not None


def test_a_finding_is_said_once() -> None:
    told: list[Finding] = []
    findings = Findings()
    findings.report = told.append
    findings.add(5, "odd")
    findings.add(5, "odd")
    findings.add(6, "odd")
    assert told == [Finding(5, "odd"), Finding(6, "odd")]
    assert list(findings.found) == told


def test_findings_are_bounded() -> None:
    told: list[Finding] = []
    findings = Findings()
    findings.report = told.append
    for i in range(limits.FINDINGS + 500):
        findings.add(i, "odd")
    assert len(findings.found) == len(told) == limits.FINDINGS


def test_who_watches_is_told_everything() -> None:
    told: list[Finding] = []
    findings = Findings()
    findings.odd(3, "passed over")
    findings.watch = told.append
    for _ in range(2):
        findings.add(5, "harmless", harmless=True)
        findings.odd(6, "passed over")
    assert told == [Finding(5, "harmless", True), Finding(6, "passed over", True)] * 2
    assert findings.found == {}


def test_the_modes_of_the_builder_are_what_they_seem() -> None:
    volume = tree_disc()
    assert find(volume, "top").mode == FILE
    assert find(volume, "to_top", follow=False).mode == LINK


def test_harmless_findings_in_the_same_words_are_said_once() -> None:
    findings = Findings()
    said: list[Finding] = []
    findings.report = said.append
    for offset in range(10):
        findings.add(offset, "the numbers disagree", harmless=True)
    assert said == [Finding(0, "the numbers disagree", True)]
    assert not findings.harmful


def test_a_loss_counts_even_where_no_more_findings_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FINDINGS", 2)
    findings = Findings()
    for offset in range(3):
        findings.add(offset, f"harmless {offset}", harmless=True)
    findings.add(7, "lost")
    assert len(findings.found) == 2
    assert findings.harmful


# --- the way back -----------------------------------------------------------------------------------------------------


def test_every_file_and_directory_has_its_path() -> None:
    volume = tree_disc()
    steps = [step for step in walk(volume, volume.attributes(ROOT)) if step.attributes]
    assert len(steps) > 5
    for step in steps:
        assert step.attributes is not None
        assert path_of(volume, step.attributes.inode) == b"/" + step.path
    assert path_of(volume, ROOT) == b"/"


@pytest.mark.parametrize("block_size", [512, 1024, 2048])
def test_a_file_far_down_in_a_wide_directory_has_its_path(block_size: int) -> None:
    disc = Disc(rock=True, sectors=40, block_size=block_size)
    for i in range(300):
        disc.root.file(b"F%04d.;1" % i, b"", system_use=rock(b"file %d" % i))
    volume = disc.open()
    assert path_of(volume, find(volume, "/file 299").inode) == b"/file 299"


def test_what_leads_nowhere_is_called_by_its_number() -> None:
    volume = tree_disc()
    assert path_of(volume, 12345 * SECTOR + 1) == b"inode %d" % (12345 * SECTOR + 1)
    assert path_of(volume, find(volume, "/top").inode + 1) == b"inode %d" % (find(volume, "/top").inode + 1)
