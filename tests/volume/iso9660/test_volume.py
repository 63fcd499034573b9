"""The tree of a disc: which one is shown, its names, attributes, numbers and bytes, and what damage costs."""

from __future__ import annotations

import stat
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from writers.discs import (
    ASSOCIATED,
    DIRECTORY,
    FILE,
    FOLDER,
    HIDDEN,
    LINK,
    MULTI_EXTENT,
    SECTOR,
    TERMINATOR,
    TIME_NS,
    XA,
    Disc,
    Folder,
    MemorySource,
    ce,
    chunks,
    cl,
    component,
    content,
    entry,
    er,
    marker,
    names,
    nm,
    numbered_blocks,
    open_bytes,
    open_source,
    pl,
    pn,
    px,
    record,
    relocated,
    rock,
    sl,
    sp,
    tf,
    tree,
    utf16,
    words,
    zf,
)
from writers.sources import Memory

from isofs import limits
from isofs.errors import ImageError, IsofsError, StaleInode, UnsupportedError
from isofs.image import open_image
from isofs.image.cache import BlockCache
from isofs.volume.iso9660 import open_iso9660, udf_stub
from isofs.volume.iso9660.volume import Iso9660
from isofs.volume.tree import ROOT, Attributes, View, find, walk

pytestmark = pytest.mark.usefixtures("each_way")


def attributes(volume: Iso9660, path: str) -> Attributes:
    return find(volume, path, follow=False)


def assert_numbers_agree(volume: Iso9660) -> None:
    """Listing, lookup and number give the same attributes for every name."""
    for step in walk(volume, volume.attributes(ROOT)):
        if step.attributes is None or not step.path:
            continue
        above, _, name = step.path.rpartition(b"/")
        parent = find(volume, above.decode("utf-8", "surrogateescape"), follow=False)
        assert volume.lookup(parent.inode, name) == step.attributes, step.path
        assert volume.attributes(step.attributes.inode) == step.attributes, step.path


# --- which tree -----------------------------------------------------------------------------------------------------


class TwoTrees:
    """A disc with a primary and a Joliet tree, whose files are told apart by their names."""

    def __init__(self, root_use: bytes = sp() + er(), name_use: bytes = nm(b"Rock"), *, empty: bool = False) -> None:
        self.disc = Disc(root_use=root_use)
        if not empty:
            self.disc.root.file(b"PLAIN.;1", b"p", system_use=name_use)
        self.folder = self.disc.folder(None)
        self.folder.file(utf16("Joliet"), b"j")
        self.primary = self.disc.primary()
        self.joliet = self.disc.joliet(self.folder)

    def names(self, view: View | None = None, descriptors: tuple[bytes, ...] | None = None) -> list[bytes]:
        return names(open_bytes(self.disc.build(*(descriptors or (self.primary, self.joliet, TERMINATOR))), view))


@pytest.mark.parametrize(
    ("view", "name"),
    [
        (View(), b"Rock"),
        (View(nojoliet=True), b"Rock"),
        (View(norock=True), b"Joliet"),
        (View(norock=True, nojoliet=True), b"plain"),
    ],
)
def test_rock_ridge_comes_before_joliet_before_plain_names(view: View, name: bytes) -> None:
    assert TwoTrees().names(view) == [name]


@pytest.mark.parametrize(
    ("root_use", "view", "name"),
    [
        (b"", View(), b"Joliet"),
        (b"", View(nojoliet=True), b"plain"),
        (sp(), View(), b"Joliet"),
        (sp(), View(nojoliet=True), b"Rock"),
        (er(), View(), b"Rock"),
        (er(b"IEEE_1282"), View(), b"Rock"),
        (er(b"OTHER"), View(), b"Rock"),
        (XA + er(), View(), b"Rock"),
    ],
)
def test_er_makes_rock_ridge_certain_and_sp_alone_only_without_joliet(root_use: bytes, view: View, name: bytes) -> None:
    assert TwoTrees(root_use).names(view) == [name]


def test_the_er_entry_may_stand_in_a_continuation_area() -> None:
    disc = Disc(root_use=sp() + ce(25, 0, 18))
    assert disc.store(er()) == 25
    disc.root.file(b"PLAIN.;1", b"", system_use=nm(b"Rock"))
    joliet = disc.folder(None)
    joliet.file(utf16("Joliet"))
    assert names(open_bytes(disc.build(disc.primary(), disc.joliet(joliet), TERMINATOR))) == [b"Rock"]


def test_a_joliet_descriptor_in_front_hides_nothing() -> None:
    trees = TwoTrees()
    assert trees.names(descriptors=(trees.joliet, trees.primary, TERMINATOR)) == [b"Rock"]
    assert trees.names(View(nojoliet=True), (trees.joliet, trees.primary, TERMINATOR)) == [b"Rock"]
    plain = TwoTrees(b"")
    assert plain.names(descriptors=(plain.joliet, plain.primary, TERMINATOR)) == [b"Joliet"]


def test_a_missing_terminator_hides_nothing() -> None:
    trees = TwoTrees(b"")
    assert trees.names(descriptors=(trees.primary, trees.joliet)) == [b"Joliet"]


@pytest.mark.parametrize("escape", [b"%/Z", b""])
def test_a_supplementary_tree_of_another_kind_is_not_shown(escape: bytes) -> None:
    trees = TwoTrees(b"")
    other = trees.disc.joliet(trees.folder, escape=escape)
    assert trees.names(descriptors=(trees.primary, other, TERMINATOR)) == [b"plain"]


def test_an_enhanced_tree_is_not_shown() -> None:
    trees = TwoTrees(b"")
    enhanced = trees.disc.joliet(trees.folder, escape=b"", version=2)
    assert trees.names(descriptors=(trees.primary, enhanced, TERMINATOR)) == [b"plain"]


def test_a_joliet_tree_comes_before_an_empty_rock_ridge_root() -> None:
    assert TwoTrees(empty=True).names() == [b"Joliet"]
    assert TwoTrees(empty=True).names(View(nojoliet=True)) == []


def test_two_empty_roots_give_rock_ridge() -> None:
    disc = Disc(rock=True)
    volume = open_bytes(disc.build(disc.primary(), disc.joliet(disc.folder(None)), TERMINATOR))
    assert names(volume) == []
    assert volume.rock
    assert not volume.joliet


@pytest.mark.parametrize("root", [0, 900_000, 23])
def test_a_joliet_tree_stands_in_for_a_damaged_primary_root(root: int) -> None:
    trees = TwoTrees()
    damaged = trees.disc.primary(root=record(b"\0", root, SECTOR, flags=DIRECTORY))
    volume = open_bytes(trees.disc.build(damaged, trees.joliet, TERMINATOR))
    assert names(volume) == [b"Joliet"]
    assert any("the Joliet tree is shown" in finding for finding in words(volume))


@pytest.mark.parametrize("root", [0, 900_000, 23])
def test_a_damaged_joliet_root_leaves_the_primary_tree(root: int) -> None:
    trees = TwoTrees(b"")
    damaged = trees.disc.primary(kind=2, escape=b"%/E", root=record(b"\0", root, SECTOR, flags=DIRECTORY))
    assert trees.names(descriptors=(trees.primary, damaged, TERMINATOR)) == [b"plain"]


def test_two_damaged_roots_are_an_error() -> None:
    trees = TwoTrees()
    nowhere = record(b"\0", 900_000, SECTOR, flags=DIRECTORY)
    with pytest.raises(ImageError):
        trees.names(
            descriptors=(
                trees.disc.primary(root=nowhere),
                trees.disc.primary(kind=2, escape=b"%/E", root=nowhere),
                TERMINATOR,
            )
        )


def test_a_disc_with_a_joliet_tree_only() -> None:
    trees = TwoTrees()
    assert trees.names(descriptors=(trees.joliet, TERMINATOR)) == [b"Joliet"]
    with pytest.raises(ImageError, match="nojoliet"):
        trees.names(View(nojoliet=True), (trees.joliet, TERMINATOR))


def test_a_root_without_its_own_record_is_shown_with_plain_names() -> None:
    disc = Disc(bare_root=True)
    disc.root.file(b"A.TXT;1", b"data", system_use=nm(b"Rock"))
    volume = disc.open()
    assert names(volume) == [b"a.txt"]
    assert stat.S_ISDIR(volume.attributes(ROOT).mode)
    assert content(volume, "a.txt") == b"data"


# --- what info tells ------------------------------------------------------------------------------------------------


def test_the_description_of_a_volume() -> None:
    trees = TwoTrees()
    volume = open_bytes(trees.disc.build(trees.disc.primary(xa=True), trees.joliet, TERMINATOR))
    told = volume.describe()
    assert told["tree"] == "Rock Ridge"
    assert told["joliet_level"] == 3
    assert told["volume"] == "DISC"
    assert told["cd_xa"] is True
    assert told["enhanced"] is False
    assert told["bootable"] is False
    assert told["block_size"] == SECTOR


def test_the_description_of_a_joliet_only_volume_is_readable() -> None:
    trees = TwoTrees()
    told = open_bytes(trees.disc.build(trees.joliet, TERMINATOR)).describe()
    assert told["tree"] == "Joliet"
    assert told["volume"] == "DISC"


def udf_bridge(disc: Disc) -> Iso9660:
    return open_bytes(disc.build(disc.primary(), TERMINATOR, marker(b"BEA01"), marker(b"NSR02"), marker(b"TEA01")))


def test_a_bridge_whose_tree_is_a_note_is_told() -> None:
    disc = Disc()
    disc.root.file(b"README.TXT;1", b"this disc is UDF")
    assert "readme.txt" in udf_stub(udf_bridge(disc))
    assert not udf_stub(disc.open())


def test_a_bridge_with_a_full_tree_is_not_told() -> None:
    disc = Disc()
    disc.root.file(b"README.TXT;1", b"hello")
    disc.root.directory(b"VIDEO_TS")
    assert not udf_stub(udf_bridge(disc))


# --- attributes -----------------------------------------------------------------------------------------------------


def test_a_plain_file_has_the_attributes_of_linux() -> None:
    disc = Disc()
    disc.root.file(b"A.TXT;1", bytes(1025))
    found = attributes(disc.open(), "a.txt")
    assert found.mode == stat.S_IFREG | 0o555
    assert (found.nlink, found.uid, found.gid, found.rdev) == (1, 0, 0, 0)
    assert (found.size, found.blocks) == (1025, 3)
    assert found.atime == found.mtime == found.ctime == TIME_NS


def test_a_plain_directory_has_the_attributes_of_linux() -> None:
    disc = Disc()
    disc.root.directory(b"DIR", sectors=2)
    found = attributes(disc.open(), "dir")
    assert found.mode == stat.S_IFDIR | 0o555
    assert (found.nlink, found.size) == (1, 2 * SECTOR)


def test_rock_ridge_attributes_are_as_recorded() -> None:
    disc = Disc(rock=True)
    stamps = [bytes((100 + i, 1, 1, 0, 0, 0, 0)) for i in range(3)]
    use = px(0o104751, 7, 1000, 100) + nm(b"suid") + tf(0x0E, *stamps)
    disc.root.file(b"A.;1", b"data", system_use=use)
    found = attributes(disc.open(), "suid")
    assert found.mode == 0o104751
    assert (found.nlink, found.uid, found.gid) == (7, 1000, 100)
    assert [time // 10**9 for time in (found.mtime, found.atime, found.ctime)] == [946684800, 978307200, 1009843200]


def test_a_file_without_px_on_a_rock_ridge_disc_has_the_default_mode() -> None:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"data", system_use=nm(b"a"))
    assert attributes(disc.open(View(mode=0o640)), "a").mode == stat.S_IFREG | 0o640


def test_devices_fifos_and_sockets_have_no_size() -> None:
    disc = Disc(rock=True)
    kinds = {b"chr": stat.S_IFCHR, b"blk": stat.S_IFBLK, b"fifo": stat.S_IFIFO, b"sock": stat.S_IFSOCK}
    for name, kind in kinds.items():
        disc.root.file(name.upper(), b"data", system_use=rock(name, kind | 0o600) + pn(5, 1))
    volume = disc.open()
    for name, kind in kinds.items():
        found = attributes(volume, name.decode())
        assert stat.S_IFMT(found.mode) == kind
        assert found.size == 0
        assert found.rdev == 0x501


def test_a_directorys_attributes_come_from_its_own_record() -> None:
    disc = Disc(rock=True)
    disc.root.directory(
        b"DIR", system_use=rock(b"dir", stat.S_IFDIR | 0o700), own_use=px(stat.S_IFDIR | 0o751, 4, 7, 8)
    )
    found = attributes(disc.open(), "dir")
    assert found.mode == stat.S_IFDIR | 0o751
    assert (found.nlink, found.uid, found.gid) == (4, 7, 8)


def test_an_impossible_time_reads_as_the_epoch() -> None:
    disc = Disc()
    disc.root.file(b"A.;1", time=bytes(7))
    disc.root.file(b"B.;1", time=bytes((99, 13, 1, 0, 0, 0, 0)))
    volume = disc.open()
    assert attributes(volume, "a").mtime == 0
    assert attributes(volume, "b").mtime == 0


def test_an_impossible_time_of_tf_leaves_the_records() -> None:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", system_use=rock(b"a") + tf(2, bytes(7)))
    assert attributes(disc.open(), "a").mtime == TIME_NS


@pytest.mark.parametrize("mode", [0, 0o170000, 0o030644])
def test_a_mode_of_no_type_costs_the_mode_only(mode: int) -> None:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"data", system_use=rock(b"bad", mode))
    disc.root.file(b"B.;1", b"data", system_use=rock(b"good"))
    volume = disc.open()
    assert names(volume) == [b"bad", b"good"]
    assert attributes(volume, "bad").mode == stat.S_IFREG | 0o555
    assert content(volume, "bad") == b"data"


def test_the_type_of_px_wins_over_the_directory_flag() -> None:
    disc = Disc(rock=True)
    disc.root.file(b"FILE", b"data", flags=DIRECTORY, system_use=rock(b"file"))
    folder = disc.folder(disc.root, own_use=px(FOLDER))
    folder.file(b"IN.;1", b"in", system_use=rock(b"in"))
    disc.root.file(b"DIR", extent=folder.extent, size=folder.size, system_use=rock(b"dir", FOLDER))
    volume = disc.open()
    assert stat.S_ISREG(attributes(volume, "file").mode)
    assert content(volume, "file") == b"data"
    assert content(volume, "dir/in") == b"in"
    assert_numbers_agree(volume)


@pytest.mark.parametrize(
    "use", [zf(2**64 - 1, algorithm=b"PZ", header=24), entry(b"SF", b"\xff" * 17)], ids=["zisofs", "sparse"]
)
def test_a_claimed_size_fits_into_st_size(use: bytes) -> None:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"data", system_use=rock(b"huge") + use)
    disc.root.file(b"B.;1", b"data", system_use=rock(b"good"))
    volume = disc.open()
    assert all(0 <= (found.attributes or volume.attributes(ROOT)).size < 1 << 63 for found in volume.entries(ROOT))
    assert content(volume, "good") == b"data"


# --- view options ---------------------------------------------------------------------------------------------------


def view_disc() -> Disc:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"x", system_use=rock(b"recorded", 0o100666, uid=5, gid=6))
    disc.root.file(b"B.;1", b"x", system_use=nm(b"unrecorded"))
    disc.root.rock_directory(b"C", b"folder", mode=stat.S_IFDIR | 0o777)
    disc.root.directory(b"D", system_use=nm(b"bare"))
    disc.root.file(b"E.;1", system_use=rock(b"link", LINK) + sl(component(b"recorded")))
    return disc


def test_uid_and_gid_override_what_is_recorded() -> None:
    volume = view_disc().open(View(uid=1000, gid=100))
    for path in ("", "recorded", "unrecorded", "folder", "link"):
        found = attributes(volume, path)
        assert (found.uid, found.gid) == (1000, 100)
    assert attributes(view_disc().open(), "recorded").uid == 5


def test_mode_and_dmode_are_for_what_records_none() -> None:
    volume = view_disc().open(View(mode=0o640, dmode=0o750))
    assert stat.S_IMODE(attributes(volume, "recorded").mode) == 0o666
    assert stat.S_IMODE(attributes(volume, "unrecorded").mode) == 0o640
    assert stat.S_IMODE(attributes(volume, "folder").mode) == 0o777
    assert stat.S_IMODE(attributes(volume, "bare").mode) == 0o750


def test_fmask_and_dmask_take_permissions_away() -> None:
    volume = view_disc().open(View(fmask=0o133, dmask=0o027))
    assert stat.S_IMODE(attributes(volume, "recorded").mode) == 0o644
    assert stat.S_IMODE(attributes(volume, "unrecorded").mode) == 0o444
    assert stat.S_IMODE(attributes(volume, "folder").mode) == 0o750
    assert stat.S_IMODE(attributes(volume, "bare").mode) == 0o550
    assert stat.S_IMODE(attributes(volume, "link").mode) == 0o777


def map_disc() -> Disc:
    disc = Disc()
    area = b"ARCHIMEDES" + (0xFFFABC00).to_bytes(4, "little") + bytes(5) + b"\1" + bytes(12)
    disc.root.file(b"READ.TXT;1", system_use=area)
    disc.root.directory(b"_FOLDER", system_use=area)
    return disc


def test_map_off_shows_names_as_recorded() -> None:
    assert names(map_disc().open(View(map="off"))) == [b"READ.TXT;1", b"_FOLDER"]
    assert names(map_disc().open()) == [b"read.txt", b"_folder"]


def test_map_acorn_shows_the_file_type_of_files_and_the_mark_of_applications() -> None:
    assert names(map_disc().open(View(map="acorn"))) == [b"read.txt,abc", b"!folder"]


def test_map_does_not_touch_rock_ridge_names() -> None:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", system_use=rock(b"Name;1"))
    assert names(disc.open(View(map="off"))) == [b"Name;1"]


@pytest.mark.parametrize(
    ("joliet", "check", "name", "there"),
    [
        (False, None, b"readme.txt", True),
        (False, None, b"ReadMe.TXT", False),
        (False, "relaxed", b"ReadMe.TXT", True),
        (False, "relaxed", b"readme.txt.", False),
        (False, "strict", b"README.TXT", False),
        (True, None, b"README.txt", True),
        (True, None, b"Readme.txt...", True),
        (True, "relaxed", b"README.TXT.", True),
        (True, "strict", b"README.TXT", False),
        (True, "strict", b"Readme.txt", True),
        (True, None, b"other", False),
    ],
)
def test_lookups_are_relaxed_or_strict(joliet: bool, check: str, name: bytes, there: bool) -> None:
    disc = Disc()
    view = View(check=check)  # type: ignore[arg-type]
    if joliet:
        folder = disc.folder(None)
        folder.file(utf16("Readme.txt"))
        volume = open_bytes(disc.build(disc.primary(), disc.joliet(folder), TERMINATOR), view)
    else:
        disc.root.file(b"README.TXT;1")
        volume = disc.open(view)
    assert (volume.lookup(ROOT, name) is not None) == there


def test_with_relaxed_lookups_the_exact_name_wins() -> None:
    disc = Disc(rock=True)
    for i, name in enumerate((b"NAME", b"name", b"Name")):
        disc.root.file(b"%d.;1" % i, b"x" * (i + 1), system_use=rock(name))
    volume = disc.open(View(check="relaxed"))
    assert [attributes(volume, name).size for name in ("NAME", "name", "Name", "nAmE")] == [1, 2, 3, 1]


# --- names ----------------------------------------------------------------------------------------------------------


def test_every_name_of_a_directory_can_be_shown_and_found() -> None:
    disc = Disc(rock=True, sectors=4)
    hostile = [
        b"a/b", b".", b"..", b"../../etc/passwd", b"/abs", b"nul\0tail", b"", b"dup", b"dup", b"\x01\n\x7f",
        b"\xff\xfe", b"semi;1", b"trail.", b".hidden", b"n" * 120,
    ]  # fmt: skip
    for i, name in enumerate(hostile):
        disc.root.file(b"F%d.;1" % i, b"%d" % i, system_use=rock(name))
    volume = disc.open()
    assert names(volume) == [
        b"a_b", b"f1", b"f2", b".._.._etc_passwd", b"_abs", b"nul", b"f6", b"dup", b"dup~2", b"\x01\n\x7f",
        b"\xff\xfe", b"semi;1", b"trail.", b".hidden", b"n" * 120,
    ]  # fmt: skip
    for i, name in enumerate(names(volume)):
        found = volume.lookup(ROOT, name)
        assert found is not None
        assert volume.data(found.inode).pread(9, 0) == b"%d" % i
    assert_numbers_agree(volume)


def test_a_name_in_pieces_and_continuation_areas_is_joined() -> None:
    disc = Disc(rock=True)
    tail = nm(b"3" * 100, 0)
    block = disc.store(tail)
    disc.root.file(b"A.;1", system_use=px(FILE) + ce(block, 0, len(tail)) + nm(b"1" * 50, 1) + nm(b"2" * 50, 1))
    assert names(disc.open()) == [b"1" * 50 + b"2" * 50 + b"3" * 100]


def test_an_identifier_of_which_nothing_can_be_shown_is_named_by_its_place() -> None:
    disc = Disc()
    at = disc.root.file(b".;1", b"data")
    volume = disc.open()
    assert names(volume) == [b"_%x" % at]
    assert content(volume, f"_{at:x}") == b"data"


def test_names_of_one_directory_are_made_unique() -> None:
    disc = Disc(rock=True, sectors=2)
    for i, name in enumerate((b"x", b"x", b"x~2", b"x", b"y", b"x~2")):
        disc.root.file(b"%d.;1" % i, b"%d" % i, system_use=rock(name))
    volume = disc.open()
    found = names(volume)
    assert found[:2] == [b"x", b"x~2"]
    assert len(set(found)) == len(found) == 6
    assert [content(volume, name.decode()) for name in found] == [b"%d" % i for i in range(6)]


def test_a_long_name_that_occurs_twice_stays_whole_characters() -> None:
    disc = Disc(rock=True, sectors=2)
    name = "ü".encode() * 127 + b"x"
    pieces = nm(name[:100], 1) + nm(name[100:180], 1)
    block = disc.store(nm(name[180:]))
    for i in range(3):
        use = ce(block, 0, 5 + 75)
        long = disc.store(pieces + use)
        disc.root.file(b"%d.;1" % i, system_use=px(FILE) + ce(long, 0, len(pieces + use)))
    found = names(disc.open())
    assert len(set(found)) == 3
    assert found[0] == name
    for other in found:
        assert len(other) <= 255
        other.decode()  # fails in the middle of a character


def test_versions_of_one_file_are_all_shown() -> None:
    disc = Disc()
    disc.root.file(b"VER.TXT;3", b"three")
    disc.root.file(b"VER.TXT;1", b"one")
    volume = disc.open()
    assert names(volume) == [b"ver.txt.3", b"ver.txt"]
    assert content(volume, "ver.txt") == b"one"


def test_hidden_files_are_shown_and_associated_ones_are_not() -> None:
    disc = Disc()
    disc.root.file(b"HIDDEN.;1", b"h", flags=HIDDEN)
    disc.root.file(b"BOTH.;1", b"resource fork", flags=ASSOCIATED)
    disc.root.file(b"BOTH.;1", b"data fork")
    volume = disc.open()
    assert names(volume) == [b"hidden", b"both"]
    assert content(volume, "both") == b"data fork"


def joliet_volume(*found: str) -> Iso9660:
    disc = Disc()
    folder = disc.folder(None, sectors=4)
    for name in found:
        folder.file(utf16(name), b"data")
    return open_bytes(disc.build(disc.primary(), disc.joliet(folder), TERMINATOR))


def test_joliet_names() -> None:
    volume = joliet_volume("Ünïcode.txt", "face \U0001f600", "a/b", "dots...;1", "\ud800x")
    found = names(volume)
    assert found[:4] == ["Ünïcode.txt".encode(), "face \U0001f600".encode(), b"a_b", b"dots"]
    assert found[4].decode().endswith("x")
    assert_numbers_agree(volume)


# --- data -----------------------------------------------------------------------------------------------------------


def sections(folder: Folder, identifier: bytes, *pieces: bytes, missing: int = 0, gap: int = 0) -> None:
    """Adds a file of several sections, with `gap` other sectors between them."""
    for i, piece in enumerate(pieces[: len(pieces) - missing]):
        folder.file(identifier, piece, flags=0 if i == len(pieces) - 1 else MULTI_EXTENT)
        if gap:
            folder.disc.store(b"\xee" * SECTOR * gap)


DATA = numbered_blocks(6)


@pytest.mark.parametrize(
    "sizes",
    [(4096, 6144), (4096,), (3000, 100), (1, 1, 1), (2048,) * 5, (0, 2048, 0, 5)],
)
def test_the_sections_of_a_file_are_joined_byte_by_byte(sizes: tuple[int, ...]) -> None:
    disc = Disc(sectors=2)
    disc.root.file(b"BEFORE.;1", b"before")
    sections(disc.root, b"BIG.DAT;1", *chunks(DATA, *sizes), gap=2)
    disc.root.file(b"ZZZ.;1", b"after")
    volume = disc.open()
    assert names(volume) == [b"before", b"big.dat", b"zzz"]
    found = attributes(volume, "big.dat")
    assert found.size == len(DATA)
    source = volume.data(found.inode)
    assert source.size == len(DATA)
    for offset, n in ((0, len(DATA)), (1, 5000), (2047, 2), (4095, 2), (6143, 3), (len(DATA) - 1, 9), (len(DATA), 9)):
        assert source.pread(n, offset) == DATA[offset : offset + n]
    assert content(volume, "zzz") == b"after"
    assert not words(volume)
    assert_numbers_agree(volume)


def test_120_sections_are_one_file() -> None:
    disc = Disc(sectors=5)
    data = numbered_blocks(120)
    sections(disc.root, b"BIG.DAT;1", *chunks(data, *(SECTOR,) * 119))
    volume = disc.open()
    assert names(volume) == [b"big.dat"]
    assert attributes(volume, "big.dat").size == 245_760
    assert content(volume, "big.dat") == data
    assert_numbers_agree(volume)


def test_a_file_over_4_gib_reads_right_across_the_border_of_its_sections(tmp_path: Path) -> None:
    first, rest, block = 0xFFFFF800, 300 << 20, 100
    disc = Disc()
    disc.root.file(b"BIG.BIN;1", extent=block, size=first, flags=MULTI_EXTENT)
    disc.root.file(b"BIG.BIN;1", extent=block + first // SECTOR, size=rest)
    path = tmp_path / "big.iso"
    start = block * SECTOR
    marks = (0, first - 9, first + 1, (1 << 32) - 4, (1 << 32) + 5, first + rest - 4)
    with path.open("wb") as file:  # sparse
        file.write(disc.build())
        for mark in marks:
            file.seek(start + mark)
            file.write(b"mark")
    with open_image(str(path)) as image:
        volume = open_iso9660(image.disc, View(), image.cache)
        found = volume.lookup(ROOT, b"big.bin")
        assert found is not None
        assert found.size == first + rest
        data = volume.data(found.inode)
        for mark in marks:
            assert data.pread(4, mark) == b"mark"
        assert data.pread(100, first + rest - 4) == b"mark"
        assert data.pread(18, first - 9) == b"mark" + bytes(6) + b"mark" + bytes(4)


def test_a_file_whose_last_section_is_missing_is_shown_with_those_that_are_there() -> None:
    disc = Disc()
    sections(disc.root, b"A.;1", b"a" * 3000, b"b" * 3000, b"c", missing=1)
    disc.root.file(b"B.;1", b"next")
    sections(disc.root, b"C.;1", b"d" * 100, b"", missing=1)
    volume = disc.open()
    assert names(volume) == [b"a", b"b", b"c"]
    assert attributes(volume, "a").size == 6000
    with pytest.raises(ImageError, match="its last section is missing"):
        content(volume, "a")
    assert content(volume, "b") == b"next"
    assert attributes(volume, "c").size == 100
    assert len([finding for finding in words(volume) if "the last section is missing" in finding]) == 2
    assert_numbers_agree(volume)


def test_extended_attribute_records_are_skipped() -> None:
    disc = Disc()
    block = disc.store(b"\xee" * 2 * SECTOR + DATA)
    disc.root.add(record(b"XAR.;1", block, len(DATA), xar=2))
    volume = disc.open()
    assert content(volume, "xar") == DATA


def test_the_extended_attribute_records_of_directories_are_skipped() -> None:
    disc = Disc()
    disc.store(b"\xee" * SECTOR)
    folder = disc.folder(disc.root)
    folder.file(b"IN.;1", b"inside")
    disc.root.add(record(b"DIR", folder.extent - 1, folder.size, xar=1, flags=DIRECTORY))
    assert content(disc.open(), "dir/in") == b"inside"


def test_the_extended_attribute_record_of_the_root_is_skipped() -> None:
    disc = Disc()
    disc.root.file(b"A.;1", b"data")
    root = record(b"\0", disc.root.extent - 1, SECTOR, xar=1, flags=DIRECTORY)
    assert content(open_bytes(disc.build(disc.primary(root=root), TERMINATOR)), "a") == b"data"


@pytest.mark.parametrize(("unit", "gap"), [(1, 1), (2, 1), (1, 3), (3, 2), (200, 1)])
def test_interleaved_files_are_read_without_their_gaps(unit: int, gap: int) -> None:
    data = numbered_blocks(8)[:-100]
    stored = b"".join(data[i : i + unit * SECTOR] + b"\xee" * gap * SECTOR for i in range(0, len(data), unit * SECTOR))
    disc = Disc()
    disc.root.add(record(b"I.;1", disc.store(stored), len(data), unit=unit, gap=gap))
    volume = disc.open()
    source = volume.data(attributes(volume, "i").inode)
    assert source.pread(len(data), 0) == data
    assert source.pread(5000, 2000) == data[2000:7000]


def test_a_unit_without_a_gap_is_not_interleaved() -> None:
    disc = Disc()
    disc.root.add(record(b"I.;1", disc.store(DATA), len(DATA), unit=1))
    assert content(disc.open(), "i") == DATA


def test_a_gap_without_a_unit_cannot_be_read() -> None:
    """ECMA-119 9.1.8: without a unit there is no gap. Which bytes belong to the file is not known."""
    disc = Disc()
    disc.root.add(record(b"I.;1", disc.store(DATA), len(DATA), gap=1))
    with pytest.raises(ImageError):
        content(disc.open(), "i")


@pytest.mark.parametrize(
    ("extent", "size"),
    [(900_000, 10), (0xFFFFFFF0, 0xFFFFFFFF), (30, 0x7FFFFFFF), (30, 0xFFFFFFFF)],
)
def test_data_beyond_the_disc_is_an_error_and_never_short(extent: int, size: int) -> None:
    disc = Disc()
    disc.root.file(b"BAD.;1", extent=extent, size=size)
    disc.root.file(b"GOOD.;1", b"good")
    image = disc.build()
    volume = open_bytes(image)
    found = attributes(volume, "bad")
    assert found.size == size
    source = volume.data(found.inode)
    end = len(image) - extent * SECTOR
    for offset in (max(0, end - 1), size - 2):
        with pytest.raises(ImageError, match="beyond the end of the disc"):
            source.pread(2, offset)
    assert content(volume, "good") == b"good"


def test_what_lies_on_the_disc_of_a_file_that_is_cut_off_can_be_read() -> None:
    disc = Disc()
    disc.root.file(b"CUT.;1", DATA)
    volume = open_bytes(disc.build()[: -2 * SECTOR])
    source = volume.data(attributes(volume, "cut").inode)
    assert source.pread(4 * SECTOR, 0) == DATA[: 4 * SECTOR]
    with pytest.raises(ImageError):
        source.pread(4 * SECTOR + 1, 0)


def test_an_empty_file_may_lie_anywhere() -> None:
    disc = Disc()
    disc.root.file(b"E.;1", extent=0xFFFFFFFF, size=0)
    volume = disc.open()
    source = volume.data(attributes(volume, "e").inode)
    assert source.size == 0
    assert source.pread(10, 0) == b""


def test_a_file_on_another_volume_of_the_set_is_an_error() -> None:
    disc = Disc()
    disc.root.file(b"THERE.;1", b"x", sequence=2)
    disc.root.file(b"HERE.;1", b"here", sequence=1)
    disc.root.file(b"SLOPPY.;1", b"here", sequence=0)
    volume = open_bytes(disc.build(disc.primary(set_size=2, sequence=1), TERMINATOR))
    with pytest.raises(ImageError, match="volume 2 of the set"):
        content(volume, "there")
    assert content(volume, "here") == content(volume, "sloppy") == b"here"


def test_on_a_set_of_one_the_sequence_number_is_ignored() -> None:
    disc = Disc()
    disc.root.file(b"A.;1", b"data", sequence=7)
    assert content(disc.open(), "a") == b"data"


def test_a_sparse_file_is_refused() -> None:
    disc = Disc(rock=True)
    disc.root.file(
        b"A.;1", b"data", system_use=rock(b"sparse") + entry(b"SF", (5).to_bytes(4, "little") * 2 + bytes(9))
    )
    volume = disc.open()
    assert names(volume) == [b"sparse"]
    with pytest.raises(UnsupportedError, match="sparse"):
        content(volume, "sparse")


# --- symbolic links -------------------------------------------------------------------------------------------------


def test_a_links_size_is_the_length_of_its_target() -> None:
    disc = Disc(rock=True)
    disc.root.file(b"L.;1", system_use=rock(b"link", LINK) + sl(component(b"there"), component(b"file")))
    volume = disc.open()
    found = attributes(volume, "link")
    assert found.size == len(b"there/file")
    assert volume.readlink(found.inode) == b"there/file"


@pytest.mark.parametrize("use", [b"", sl(), sl(component(b"abc", length=200)), entry(b"SL")[:3]])
def test_a_link_that_cannot_be_read_is_listed(use: bytes) -> None:
    disc = Disc(rock=True)
    disc.root.file(b"L.;1", system_use=rock(b"link", LINK) + use)
    disc.root.file(b"G.;1", b"good", system_use=rock(b"good"))
    volume = disc.open()
    found = attributes(volume, "link")
    assert stat.S_ISLNK(found.mode)
    assert found.size == 0
    with pytest.raises(ImageError):
        volume.readlink(found.inode)
    assert content(volume, "good") == b"good"


def test_what_is_no_link_has_no_target() -> None:
    disc = Disc(rock=True)
    disc.root.file(b"G.;1", b"good", system_use=rock(b"good"))
    volume = disc.open()
    with pytest.raises(StaleInode):
        volume.readlink(attributes(volume, "good").inode)


# --- inode numbers --------------------------------------------------------------------------------------------------


def link_disc(*uses: bytes, data: bytes = b"shared", other: bytes = b"other") -> Iso9660:
    """Files `0`, `1`, ... at one extent, and `other` at another."""
    disc = Disc(rock=True)
    block = disc.store(data)
    for i, use in enumerate(uses):
        disc.root.file(b"%d.;1" % i, extent=block, size=len(data), system_use=use + nm(b"%d" % i))
    disc.root.file(b"OTHER.;1", other, system_use=px(FILE, 2, serial=7) + nm(b"other"))
    return disc.open()


def test_hard_links_share_a_number_where_serial_and_extent_agree() -> None:
    volume = link_disc(px(FILE, 2, serial=7), px(FILE, 2, serial=7))
    assert attributes(volume, "0") == attributes(volume, "1")
    assert attributes(volume, "other").inode != attributes(volume, "0").inode
    assert content(volume, "1") == b"shared"
    assert_numbers_agree(volume)


def test_hard_links_without_a_serial_number_share_one_by_their_extent() -> None:
    volume = link_disc(px(FILE, 2), px(FILE, 2))
    assert attributes(volume, "0").inode == attributes(volume, "1").inode


@pytest.mark.parametrize(
    "second",
    [px(FILE, 2, serial=8), px(FILE, 2), px(FILE, 1, serial=7), px(LINK, 2, serial=7)],
)
def test_files_that_are_no_hard_links_have_their_own_numbers(second: bytes) -> None:
    volume = link_disc(px(FILE, 2, serial=7), second)
    assert attributes(volume, "0").inode != attributes(volume, "1").inode
    assert_numbers_agree(volume)


def test_empty_files_are_never_hard_links() -> None:
    volume = link_disc(px(FILE, 2, serial=7), px(FILE, 2, serial=7), data=b"")
    assert attributes(volume, "0").inode != attributes(volume, "1").inode


def test_files_of_different_size_at_one_extent_are_no_hard_links() -> None:
    disc = Disc(rock=True)
    block = disc.store(b"shared")
    for i in (1, 2):
        disc.root.file(b"%d.;1" % i, extent=block, size=2 * i, system_use=px(FILE, 2, serial=7) + nm(b"%d" % i))
    volume = disc.open()
    assert content(volume, "1") == b"sh"
    assert content(volume, "2") == b"shar"
    assert_numbers_agree(volume)


def test_hard_links_read_at_other_times_are_one_file() -> None:
    use = px(FILE, 2, serial=7)
    volume = link_disc(use + tf(4, bytes([99, 1, 1, 0, 0, 0, 0])), use + tf(4, bytes([99, 1, 2, 0, 0, 0, 0])))
    assert attributes(volume, "0") == attributes(volume, "1")


@pytest.mark.parametrize("serial", [7, None])
def test_files_of_one_extent_with_other_owners_are_not_made_one(serial: int | None) -> None:
    volume = link_disc(px(0o100644, 2, 1, serial=serial), px(0o100600, 2, 2, serial=serial))
    assert attributes(volume, "0").mode == 0o100644
    assert (attributes(volume, "1").mode, attributes(volume, "1").uid) == (0o100600, 2)
    assert attributes(volume, "0").inode != attributes(volume, "1").inode
    assert_numbers_agree(volume)


@pytest.mark.parametrize("block_size", [512, 2048])
def test_a_hard_link_at_any_block_is_listed(block_size: int) -> None:
    disc = Disc(rock=True, block_size=block_size)
    while disc.next % block_size:
        disc.reserve(1)
    block = disc.store(b"shared")
    for i in range(2):
        disc.root.file(b"%d.;1" % i, extent=block, size=6, system_use=px(FILE, 2, serial=0) + nm(b"%d" % i))
    volume = disc.open()
    assert names(volume) == [b"0", b"1"]
    assert attributes(volume, "0").inode == attributes(volume, "1").inode
    assert content(volume, "1") == b"shared"
    assert not words(volume)


def test_a_large_continuation_area_of_every_record_is_bounded_work() -> None:
    """A directory of two sectors must not be work for seconds: all its records name one large area."""
    disc = Disc(rock=True, sectors=10)
    area = disc.store(b"QQ\4\1" * 15_000)
    for i in range(200):
        disc.root.file(b"%03d.;1" % i, system_use=ce(area, 0, 60_000) + nm(b"n%03d" % i))
    source = MemorySource(disc.build())
    volume = open_source(source)
    assert len(volume.entries(ROOT)) == 200
    assert source.read_bytes < 3 * limits.MIB
    assert any("too many bytes" in word for word in words(volume))


def test_without_rock_ridge_files_at_one_extent_have_their_own_numbers() -> None:
    disc = Disc()
    block = disc.store(b"shared")
    disc.root.file(b"A.;1", extent=block, size=6)
    disc.root.file(b"B.;1", extent=block, size=6)
    volume = disc.open()
    assert attributes(volume, "a").inode != attributes(volume, "b").inode


def full_disc(block_size: int = SECTOR) -> Disc:
    """A disc with something of everything."""
    disc = Disc(rock=True, block_size=block_size, sectors=2)
    folder = disc.root.rock_directory(b"DIR", b"dir")
    deeper = folder.rock_directory(b"DEEPER", b"deeper")
    deeper.file(b"A.;1", b"a", system_use=rock(b"a"))
    block = disc.store(b"linked")
    for where, name in ((folder, b"one"), (deeper, b"two"), (disc.root, b"three")):
        where.file(name.upper(), extent=block, size=6, system_use=rock(name, nlink=3, serial=9))
    disc.root.file(b"L.;1", system_use=rock(b"link", LINK) + sl(component(b"dir")))
    disc.root.file(b"E.;1", system_use=rock(b"empty"))
    disc.root.file(b"F.;1", system_use=rock(b"fifo", stat.S_IFIFO | 0o600))
    sections(disc.root, b"BIG.;1", b"x" * SECTOR, b"y" * 10)
    return disc


@pytest.mark.parametrize("block_size", [512, 1024, 2048])
def test_numbers_are_the_same_over_two_opens_and_answer_by_themselves(block_size: int) -> None:
    image = full_disc(block_size).build()
    first, second = open_bytes(image), open_bytes(image)
    assert tree(first) == tree(second)
    assert_numbers_agree(first)
    numbers = [found.inode for found in tree(first).values() if found]
    assert all(ROOT < number < 1 << 64 for number in numbers)
    shared = [number for number in set(numbers) if numbers.count(number) > 1]
    assert len(shared) == 1
    third = open_bytes(image)
    for found in tree(second).values():
        if found and found.inode < 1 << 63:
            assert third.attributes(found.inode) == found
    assert third.attributes(ROOT).inode == ROOT


@pytest.mark.parametrize("inode", [2, 3, 2049, 24 * SECTOR + 5, (1 << 40) + 1, (1 << 63) | 5, (1 << 64) - 1])
def test_a_number_that_leads_to_no_record_is_stale(inode: int) -> None:
    volume = full_disc().open()
    for ask in (volume.attributes, volume.data, volume.readlink):
        with pytest.raises(StaleInode):
            ask(inode)


def test_a_directory_place_beyond_the_disc_is_damage() -> None:
    volume = full_disc().open()
    with pytest.raises(ImageError):
        volume.attributes(1 << 40)
    with pytest.raises(ImageError):
        volume.entries(1 << 40)


def test_a_file_is_no_directory() -> None:
    volume = full_disc().open()
    with pytest.raises(StaleInode):
        volume.entries(attributes(volume, "empty").inode)
    with pytest.raises(StaleInode):
        volume.lookup(attributes(volume, "empty").inode, b"x")


# --- directories ----------------------------------------------------------------------------------------------------


def test_parents_are_told_by_the_directories() -> None:
    volume = full_disc().open()
    folder, deeper = attributes(volume, "dir"), attributes(volume, "dir/deeper")
    assert volume.parent(deeper.inode) == folder.inode
    assert volume.parent(folder.inode) == ROOT
    assert volume.parent(ROOT) == ROOT


def bare(disc: Disc, *records: bytes, sectors: int = 1) -> Folder:
    """A directory with just these records."""
    folder = Folder(disc, sectors)
    disc.folders.append(folder)
    for raw in records:
        folder.add(raw)
    return folder


def test_a_directory_that_does_not_tell_its_size_is_counted() -> None:
    disc = Disc()
    folder = Folder(disc, 3)
    disc.folders.append(folder)
    folder.add(record(b"\0", folder.extent, 0, flags=DIRECTORY))
    folder.add(record(b"\1", disc.root.extent, SECTOR, flags=DIRECTORY))
    for i in range(100):
        folder.file(b"FILE%03d.TXT;1" % i)
    following = disc.folder(disc.root)
    following.file(b"NOT_HERE.;1")
    disc.root.add(record(b"DIR", folder.extent, folder.size, flags=DIRECTORY))
    volume = disc.open()
    assert names(volume, attributes(volume, "dir").inode) == [b"file%03d.txt" % i for i in range(100)]
    assert any("does not tell its size" in finding for finding in words(volume))


def test_a_directory_without_its_own_record_is_read() -> None:
    disc = Disc()
    folder = bare(disc, record(b"A.;1", disc.store(b"data"), 4))
    disc.root.add(record(b"DIR", folder.extent, folder.size, flags=DIRECTORY))
    volume = disc.open()
    assert stat.S_ISDIR(attributes(volume, "dir").mode)
    assert content(volume, "dir/a") == b"data"
    assert volume.parent(attributes(volume, "dir").inode) == ROOT


def test_a_damaged_own_record_does_not_cost_the_other_sectors() -> None:
    disc = Disc()
    folder = disc.root.directory(b"DIR", sectors=3)
    folder.data[0] = 20
    for i in range(100):
        folder.file(b"FILE%03d.TXT;1" % i)
    volume = disc.open()
    assert names(volume, attributes(volume, "dir").inode) == [b"file%03d.txt" % i for i in range(100)]


def test_a_directory_uses_the_size_of_its_own_record() -> None:
    disc = Disc()
    folder = disc.folder(disc.root)
    folder.file(b"A.;1", b"data")
    disc.root.add(record(b"DIR", folder.extent, 0xFFFFF800, flags=DIRECTORY))
    volume = disc.open()
    assert attributes(volume, "dir").size == SECTOR
    assert content(volume, "dir/a") == b"data"


def test_a_directory_that_claims_more_than_the_disc_holds_is_read_to_its_end() -> None:
    disc = Disc()
    folder = Folder(disc, 1, size=0xFFFFF800)
    disc.folders.append(folder)
    folder.add(record(b"\0", folder.extent, folder.size, flags=DIRECTORY))
    folder.file(b"A.;1", b"")
    disc.root.add(record(b"DIR", folder.extent, folder.size, flags=DIRECTORY))
    volume = disc.open()
    assert names(volume, attributes(volume, "dir").inode) == [b"a"]
    assert any("claims 4294965248 bytes" in finding for finding in words(volume))


def test_a_directory_outside_the_disc_costs_itself() -> None:
    disc = Disc()
    disc.root.add(record(b"BAD", 900_000, SECTOR, flags=DIRECTORY))
    disc.root.file(b"GOOD.;1", b"good")
    volume = disc.open()
    steps = {step.path: step for step in walk(volume, volume.attributes(ROOT))}
    assert isinstance(steps[b"bad"].error, ImageError)
    assert content(volume, "good") == b"good"


@pytest.mark.parametrize("block", [0, 23])
def test_a_directory_where_none_is_costs_itself(block: int) -> None:
    disc = Disc()
    disc.root.add(record(b"BAD", block, SECTOR, flags=DIRECTORY))
    disc.root.file(b"GOOD.;1", b"good")
    volume = disc.open()
    assert content(volume, "good") == b"good"
    bad = volume.lookup(ROOT, b"bad")
    if bad is not None:
        with pytest.raises(ImageError, match="damaged"):
            volume.entries(bad.inode)


def test_a_directory_that_is_its_own_ancestor_is_hidden() -> None:
    disc = Disc()
    a = disc.root.directory(b"A")
    b = a.directory(b"B")
    b.add(record(b"TOP", disc.root.extent, SECTOR, flags=DIRECTORY))
    b.add(record(b"UP", a.extent, SECTOR, flags=DIRECTORY))
    b.add(record(b"SAME", b.extent, SECTOR, flags=DIRECTORY))
    b.file(b"FILE.;1", b"file")
    volume = disc.open()
    assert sorted(tree(volume)) == [b"a", b"a/b", b"a/b/file"]
    assert len([finding for finding in words(volume) if "its own ancestor" in finding]) == 3


def test_two_names_of_one_directory_are_one_directory() -> None:
    disc = Disc()
    folder = disc.root.directory(b"ONE")
    folder.file(b"IN.;1", b"in")
    disc.root.add(record(b"TWO", folder.extent, SECTOR, flags=DIRECTORY))
    volume = disc.open()
    assert attributes(volume, "one") == attributes(volume, "two")
    assert content(volume, "two/in") == b"in"


def test_a_directory_of_many_sectors_is_read_whole() -> None:
    disc = Disc(sectors=30)
    for i in range(1000):
        disc.root.file(b"FILE%04d.TXT;1" % i, extent=30, size=i)
    volume = disc.open()
    assert names(volume) == [b"file%04d.txt" % i for i in range(1000)]
    assert_numbers_agree(volume)


def test_a_small_root_of_small_blocks_is_not_read_past_its_end() -> None:
    """With blocks of 512 bytes a directory may end within a sector; what follows is another's."""
    disc = Disc(block_size=512, bare_root=True)
    root = disc.root
    root.raw(record(b"\0", root.extent, 512, flags=DIRECTORY))
    root.raw(record(b"\1", root.extent, 512, flags=DIRECTORY))
    root.file(b"A.;1", b"data")
    root.data = root.data.ljust(512, b"\0") + b"\x2a\xee" * 768
    volume = disc.open()
    assert names(volume) == [b"a"]
    assert not words(volume)


# --- relocated directories ------------------------------------------------------------------------------------------


class Relocated:
    """A directory `deep` that stands in `a`, but is recorded in `rr_moved`."""

    def __init__(self, target: Callable[[Disc, Folder], int] | None = None) -> None:
        self.disc = Disc(rock=True)
        self.moved = self.disc.root.rock_directory(b"RR_MOVED", b"rr_moved")
        self.a = self.disc.root.rock_directory(b"A", b"a")
        self.deep = self.disc.folder(
            self.moved, own_use=px(stat.S_IFDIR | 0o750, uid=42), parent_use=px(FOLDER) + pl(self.a.extent)
        )
        self.deep.file(b"IN.;1", b"inside", system_use=rock(b"in"))
        self.moved.add(
            record(b"DEEP", self.deep.extent, SECTOR, flags=DIRECTORY, system_use=rock(b"deep", FOLDER) + relocated())
        )
        block = target(self.disc, self.deep) if target else self.deep.extent
        self.a.file(b"DEEP.;1", extent=0, size=0, system_use=rock(b"deep", 0o100644) + cl(block))
        self.a.file(b"GOOD.;1", b"good", system_use=rock(b"good"))


def test_a_relocated_directory_stands_where_it_belongs() -> None:
    volume = Relocated().disc.open()
    assert sorted(tree(volume)) == [b"a", b"a/deep", b"a/deep/in", b"a/good", b"rr_moved"]
    assert content(volume, "a/deep/in") == b"inside"
    found = attributes(volume, "a/deep")
    assert found.mode == stat.S_IFDIR | 0o750
    assert found.uid == 42
    assert volume.parent(found.inode) == attributes(volume, "a").inode
    assert find(volume, "a/deep/../good").size == 4
    assert_numbers_agree(volume)
    assert not words(volume)


def test_without_rock_ridge_a_relocated_directory_stays_where_it_is_recorded() -> None:
    volume = Relocated().disc.open(View(norock=True))
    assert content(volume, "rr_moved/deep/in") == b"inside"
    assert stat.S_ISREG(attributes(volume, "a/deep").mode)


def relocated_again(disc: Disc, deep: Folder) -> int:
    folder = disc.folder(disc.root, own_use=px(FOLDER) + cl(deep.extent))
    return folder.extent


@pytest.mark.parametrize(
    "target",
    [
        lambda disc, deep: disc.root.extent,
        lambda disc, deep: disc.store(b"a file"),
        lambda disc, deep: 900_000,
        lambda disc, deep: 0xFFFFFFFF,
        lambda disc, deep: 0,
        relocated_again,
    ],
    ids=["root", "file", "outside", "far outside", "block 0", "relocated again"],
)
def test_a_relocation_that_leads_nowhere_costs_its_own_name(target: Callable[[Disc, Folder], int]) -> None:
    volume = Relocated(target).disc.open()
    assert names(volume, attributes(volume, "a").inode) == [b"good"]
    assert content(volume, "a/good") == b"good"
    assert any("deep" in finding.lower() for finding in words(volume))


def test_a_parent_link_that_leads_nowhere_leaves_the_recorded_parent() -> None:
    disc = Disc(rock=True)
    disc.root.directory(
        b"DIR", system_use=rock(b"dir", FOLDER), own_use=px(FOLDER), parent_use=px(FOLDER) + pl(900_000)
    )
    volume = disc.open()
    assert volume.parent(attributes(volume, "dir").inode) == ROOT


# --- system use fields that begin late ------------------------------------------------------------------------------


@pytest.mark.parametrize("skip", [0, 6, 14])
def test_the_skip_of_sp_counts_for_all_records_but_the_roots_own(skip: int) -> None:
    disc = Disc(root_use=sp(skip) + er() + px(stat.S_IFDIR | 0o711))
    disc.root.file(b"A.;1", b"data", system_use=bytes(skip) + rock(b"name", 0o100604))
    volume = disc.open()
    assert names(volume) == [b"name"]
    assert attributes(volume, "name").mode == 0o100604
    assert volume.attributes(ROOT).mode == stat.S_IFDIR | 0o711


@pytest.mark.parametrize("told", [sp(14), sp(0), b""])
def test_rock_ridge_behind_xa_attributes(told: bytes) -> None:
    disc = Disc(root_use=XA + told + er() + px(stat.S_IFDIR | 0o711))
    disc.root.file(b"A.;1", b"data", system_use=XA + rock(b"name", 0o100604))
    volume = disc.open()
    assert names(volume) == [b"name"]
    assert attributes(volume, "name").mode == 0o100604
    assert volume.attributes(ROOT).mode == stat.S_IFDIR | 0o711


def test_xa_attributes_without_rock_ridge_change_nothing() -> None:
    disc = Disc(root_use=XA)
    disc.root.file(b"A.;1", b"data", system_use=XA)
    volume = disc.open()
    assert names(volume) == [b"a"]
    assert not volume.rock


# --- one bad record costs at most its own name ----------------------------------------------------------------------

BAD_USES = {
    "continuation to itself": lambda disc: ce(disc.next, 0, 28),
    "continuation outside": lambda disc: ce(900_000, 0, 100),
    "continuation of two gigabytes": lambda disc: ce(24, 0, 0x7FFFFFFF),
    "length 0": lambda disc: entry(b"NM", b"\0x", length=0),
    "length 255": lambda disc: entry(b"NM", b"\0x", length=255),
    "short PX": lambda disc: px(FILE)[:2] + b"\x14\1" + bytes(16),
    "no system use": lambda disc: b"",
    "name of nothing": lambda disc: px(FILE) + nm(b""),
    "noise": lambda disc: bytes(range(1, 80)),
    "short NM": lambda disc: px(FILE) + entry(b"NM"),
    "zisofs of no kind": lambda disc: px(FILE) + zf(5, log2=200, header=255 * 4, algorithm=b"zz"),
}


@pytest.mark.parametrize("use", BAD_USES.values(), ids=BAD_USES.keys())
def test_bad_system_use_costs_no_other_file(use: Callable[[Disc], bytes]) -> None:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"a", system_use=rock(b"before"))
    bad = use(disc)
    disc.put(disc.next, bad)
    disc.root.file(b"BAD.;1", b"b", system_use=bad)
    disc.root.file(b"C.;1", b"c", system_use=rock(b"after"))
    volume = disc.open()
    found = names(volume)
    assert len(found) == 3
    assert (found[0], found[2]) == (b"before", b"after")
    assert content(volume, "before") == b"a"
    assert content(volume, "after") == b"c"
    assert_numbers_agree(volume)


BAD_RECORDS = {
    "length 20": record(b"BAD.;1", 30, 1, length=20),
    "identifier too long": record(b"BAD.;1", 30, 1, identifier_length=200),
    "empty identifier": record(b"BAD.;1", 30, 1, identifier_length=0),
}


@pytest.mark.parametrize("bad", BAD_RECORDS.values(), ids=BAD_RECORDS.keys())
def test_a_bad_record_costs_its_own_name_and_is_told(bad: bytes) -> None:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"a", system_use=rock(b"before"))
    at = disc.root.raw(bad)
    disc.root.file(b"C.;1", b"c", system_use=rock(b"after"))
    volume = disc.open()
    assert names(volume) == [b"before", b"after"]
    assert content(volume, "after") == b"c"
    assert [finding.offset for finding in volume.findings.found] == [at]


def test_findings_are_one_printable_line() -> None:
    """Identifiers are the disc's: nothing of them may steer a terminal or forge a line of the log."""
    disc = Disc(rock=True)
    evil = b"E\x1b[2J\nVIL.;1"
    disc.root.file(evil, b"x", system_use=px(0) + nm(b"fine"))
    disc.root.add(record(evil, 0, SECTOR, flags=DIRECTORY, system_use=nm(b"dir")))
    volume = disc.open()
    names(volume)
    assert words(volume)
    assert all(finding.isprintable() for finding in words(volume))


def test_errors_are_one_printable_line() -> None:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", extent=900_000, size=10, system_use=rock(b"e\x1b[2J\nvil"))
    volume = disc.open()
    source = volume.data(volume.entries(ROOT)[0].inode)
    with pytest.raises(ImageError) as caught:
        source.pread(1, 0)
    assert caught.value.reason.isprintable()


def test_errors_name_joliet_files() -> None:
    disc = Disc()
    folder = disc.folder(None)
    folder.file(utf16("Naïve.txt"), extent=900_000, size=10)
    volume = open_bytes(disc.build(disc.primary(), disc.joliet(folder), TERMINATOR))
    source = volume.data(volume.entries(ROOT)[0].inode)
    with pytest.raises(ImageError, match=r"Naïve\.txt"):
        source.pread(1, 0)


IMAGES = (full_disc().build(), full_disc(512).build(), Relocated().disc.build())


@given(
    st.sampled_from(IMAGES),
    st.lists(st.tuples(st.integers(16 * SECTOR, 1 << 17), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_a_disc_with_any_changed_bytes_is_read_or_refused(image: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(image)
    for at, value in changes:
        changed[16 * SECTOR + at % (len(image) - 16 * SECTOR)] = value
    try:
        volume = open_bytes(bytes(changed))
    except IsofsError:
        return
    for step in islice(walk(volume, volume.attributes(ROOT)), 1000):
        found = step.attributes
        if found is None or step.error is not None:
            continue
        assert volume.attributes(found.inode) == found
        try:
            if stat.S_ISREG(found.mode):
                data = volume.data(found.inode)
                assert data.size == found.size
                assert len(data.pread(SECTOR, 0)) == min(SECTOR, found.size)
            elif stat.S_ISLNK(found.mode):
                assert len(volume.readlink(found.inode)) == found.size
            elif stat.S_ISDIR(found.mode):
                volume.parent(found.inode)
        except IsofsError:
            continue


# --- damage next to a record ------------------------------------------------------------------------------------------


class _Damaged(Memory):
    """A disc of which one sector cannot be read."""

    def __init__(self, data: bytes, sector: int) -> None:
        super().__init__(data)
        self.lost = range(sector * SECTOR, (sector + 1) * SECTOR)

    def pread(self, n: int, offset: int) -> bytes:
        if offset < self.lost.stop and self.lost.start < offset + n:
            raise ImageError(f"sector {self.lost.start // SECTOR} cannot be read")
        return super().pread(n, offset)


def test_a_damaged_sector_behind_a_record_costs_its_file_nothing() -> None:
    disc = Disc(rock=True)
    folder = disc.root.rock_directory(b"DEEP", b"deep")
    behind = disc.reserve(SECTOR)
    assert behind == folder.extent + 1
    folder.file(b"FILE.;1", b"text", system_use=rock(b"file"))
    volume = open_iso9660(_Damaged(disc.build(), behind), View(), BlockCache(limits.CACHE_LEAST))
    found = find(volume, "/deep/file")
    assert volume.attributes(found.inode) == found
    assert volume.data(found.inode).pread(9, 0) == b"text"


def test_what_is_wrong_with_a_link_names_it() -> None:
    disc = Disc(rock=True)
    disc.root.file(b"LINK.;1", system_use=rock(b"link", LINK))
    volume = disc.open()
    with pytest.raises(ImageError, match=r"^link: "):
        volume.readlink(find(volume, "/link", follow=False).inode)
