"""The checksums that libisofs keeps on a disc are found, summed up in passing, and compared."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from writers.discs import SECTOR, MemorySource
from writers.tools import require

from isofs.volume.iso9660.tags import Tags, find_tags


def tag(disc: bytearray, kind: str, start: int, at: int, more: str = "", md5: str = "") -> None:
    """Writes the tag of the sectors from `start` to `at`."""
    found = md5 or hashlib.md5(disc[start * SECTOR : at * SECTOR]).hexdigest()
    line = f"libisofs_{kind}checksum_tag_v1 pos={at} range_start={start} range_size={at - start}{more} md5={found}"
    line += f" self={hashlib.md5(line.encode()).hexdigest()}\n"
    disc[at * SECTOR : (at + 1) * SECTOR] = line.encode().ljust(SECTOR, b"\0")


def disc_with_tags() -> bytearray:
    """Sectors that are all different, a superblock's tag at 18, a tree's at 25, a session's at 40."""
    disc = bytearray(b"".join(b"%08d" % number * 256 for number in range(50)))
    tag(disc, "sb_", 0, 18, " next=25")
    tag(disc, "tree_", 0, 25, " next=40")
    tag(disc, "", 0, 40)
    return disc


def summed(disc: bytes | bytearray, sessions: tuple[int, ...] = (0,), piece: int = 3000, lost: int = -1) -> Tags:
    """The tags of a disc that is read in pieces; the one with the byte `lost` cannot be."""
    tags = find_tags(MemorySource(bytes(disc)), sessions)
    sums = tags.sums()
    for at in range(0, len(disc), piece):
        if not at <= lost < at + piece:
            sums.feed(at, bytes(disc[at : at + piece]))
    sums.finish()
    return tags


def said(tags: Tags) -> list[str]:
    return [words for _, words in tags.damage]


@pytest.mark.parametrize("piece", [100, SECTOR, 3000, 1 << 20])
def test_sound_sums_are_sound_in_pieces_of_any_size(piece: int) -> None:
    tags = summed(disc_with_tags(), piece=piece)
    assert tags.damage == []
    assert [(found.what, found.start, found.end) for found in tags.tags] == [
        ("superblock", 0, 18 * SECTOR),
        ("tree", 0, 25 * SECTOR),
        ("session", 0, 40 * SECTOR),
    ]


@pytest.mark.parametrize(
    ("at", "wrong"),
    [(5, ["superblock", "tree", "session"]), (20, ["tree", "session"]), (30, ["session"]), (45, [])],
)
def test_a_changed_byte_is_told_by_each_sum_that_has_it(at: int, wrong: list[str]) -> None:
    disc = disc_with_tags()
    disc[at * SECTOR + 77] ^= 1
    ends = {"superblock": 17, "tree": 24, "session": 39}
    tags = summed(disc)
    assert said(tags) == [
        f"the {what}'s checksum does not fit: sectors 0 to {ends[what]} were changed" for what in wrong
    ]


def test_bytes_that_cannot_be_read_leave_the_sum_open() -> None:
    assert said(summed(disc_with_tags(), lost=30 * SECTOR)) == [
        "the session's checksum cannot be told: of sectors 0 to 39 some are missing"
    ]
    cut = disc_with_tags()[: 30 * SECTOR]
    assert said(summed(cut)) == ["the session's checksum tag is damaged"]


@pytest.mark.parametrize(
    ("at", "old", "new", "words"),
    [
        (18, b"range_size=18", b"range_size=19", "the superblock's checksum tag is damaged"),
        (25, b"self=", b"self=0", "the tree's checksum tag is damaged"),
        (40, b"libisofs", b"LIBISOFS", "the session's checksum tag is damaged"),
    ],
)
def test_a_damaged_tag_is_told(at: int, old: bytes, new: bytes, words: str) -> None:
    disc = disc_with_tags()
    sector = disc[at * SECTOR : (at + 1) * SECTOR].replace(old, new)[:SECTOR]
    disc[at * SECTOR : (at + 1) * SECTOR] = sector
    assert words in said(summed(disc))


def test_tags_that_lead_back_or_nowhere_end() -> None:
    disc = disc_with_tags()
    tag(disc, "tree_", 0, 25, " next=18")
    assert said(summed(disc)) == ["the tree's checksum tag names an impossible next one"]
    tag(disc, "tree_", 0, 25, " next=4294967295")
    assert said(summed(disc)) == ["the session's checksum tag is damaged"]
    tag(disc, "rlsb32_", 0, 18, " session_start=0")
    assert said(summed(disc)) == []


def test_no_byte_is_summed_up_for_two_sessions() -> None:
    disc = disc_with_tags()
    tag(disc, "sb_", 0, 22, " next=25")
    assert len(summed(disc, sessions=(0, 1, 2, 3)).tags) == 3


def test_the_sums_of_xorriso_are_understood(tmp_path: Path) -> None:
    """Two sessions, of which the second one has its descriptors at the begin, too."""
    xorriso = require("xorriso")
    image = tmp_path / "disc.iso"
    for number in range(2):
        source = tmp_path / f"file{number}"
        source.write_bytes(bytes(range(256)) * 40)
        command = [xorriso, "-md5", "on", "-dev", str(image), "-map", str(source), f"/file{number}", "-commit"]
        subprocess.run(command, check=True, capture_output=True)
    disc = image.read_bytes()
    tags = summed(disc, sessions=(0, 32))
    assert tags.damage == []
    assert [found.what for found in tags.tags] == ["superblock", *["superblock", "tree", "session"] * 2]
    changed = bytearray(disc)
    changed[tags.tags[-1].end - SECTOR] ^= 1
    assert [words.split("'")[0] for words in said(summed(changed, sessions=(0, 32)))] == ["the session"]
