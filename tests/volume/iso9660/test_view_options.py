"""What the view options of Linux's iso9660 do, each with and without, by compiled code and without it."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from writers.discs import (
    ASSOCIATED,
    DIRECTORY,
    FOLDER,
    HIDDEN,
    LINK,
    MULTI_EXTENT,
    SECTOR,
    TERMINATOR,
    Disc,
    ce,
    component,
    content,
    names,
    nm,
    numbered_blocks,
    open_bytes,
    px,
    record,
    rock,
    sl,
    tree,
    utf16,
    words,
    zf,
    zisofs,
)
from writers.tools import require

from isofs.errors import UsageError
from isofs.volume.iso9660.names import codec_of
from isofs.volume.tree import ROOT, View, find

pytestmark = pytest.mark.usefixtures("each_way")


def blocks(disc: Disc, view: View, path: str) -> tuple[int, int]:
    """Size and st_blocks of a file."""
    found = find(disc.open(view), path)
    return found.size, found.blocks


# --- hide -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rocky", [False, True])
def test_hide_leaves_hidden_files_out(rocky: bool) -> None:
    disc = Disc(rock=rocky)
    disc.root.file(b"A.;1", b"a", system_use=rock(b"a") if rocky else b"")
    disc.root.file(b"B.;1", b"b", flags=HIDDEN, system_use=rock(b"b") if rocky else b"")
    disc.root.directory(b"D", flags=DIRECTORY | HIDDEN, system_use=rock(b"d", FOLDER) if rocky else b"")
    shown, hiding = disc.open(), disc.open(View(hide=True))
    assert names(shown) == [b"a", b"b", b"d"]
    assert names(hiding) == [b"a"]
    assert shown.lookup(ROOT, b"b") is not None
    assert hiding.lookup(ROOT, b"b") is None
    assert hiding.lookup(ROOT, b"d") is None


@pytest.mark.parametrize(("first", "last", "seen"), [(0, HIDDEN, False), (HIDDEN, 0, True), (HIDDEN, HIDDEN, False)])
def test_of_several_sections_the_last_one_tells_whether_a_file_is_hidden(first: int, last: int, seen: bool) -> None:
    disc = Disc()
    disc.root.file(b"A.;1", bytes(SECTOR), flags=MULTI_EXTENT | first)
    disc.root.file(b"A.;1", b"end", flags=last)
    assert (disc.open(View(hide=True)).lookup(ROOT, b"a") is not None) == seen


def test_the_directory_itself_and_its_parent_may_be_marked_hidden() -> None:
    disc = Disc(bare_root=True)
    for identifier in (b"\0", b"\1"):
        disc.root.add(record(identifier, disc.root.extent, SECTOR, flags=DIRECTORY | HIDDEN))
    disc.root.file(b"A.;1", b"a")
    volume = disc.open(View(hide=True))
    assert names(volume) == [b"a"]
    assert volume.attributes(ROOT).size == SECTOR
    assert not words(volume)


def test_files_that_genisoimage_marks_hidden(tmp_path: Path) -> None:
    require("genisoimage")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("seen", "secret"):
        (source / name).write_text(name)
    target = tmp_path / "disc.iso"
    command = ["genisoimage", "-quiet", "-R", "-hidden", "secret", "-o", str(target), str(source)]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert names(open_bytes(target.read_bytes())) == [b"secret", b"seen"]
    assert names(open_bytes(target.read_bytes(), View(hide=True))) == [b"seen"]


# --- showassoc ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rocky", [False, True])
def test_associated_files_are_shown_beside_their_own(rocky: bool) -> None:
    disc = Disc(rock=rocky)
    use = rock(b"File") if rocky else b""
    disc.root.file(b"FILE.;1", b"resource fork", flags=ASSOCIATED, system_use=use)
    disc.root.file(b"FILE.;1", b"data fork", system_use=use)
    name = "File" if rocky else "file"
    assert names(disc.open()) == [name.encode()]
    volume = disc.open(View(showassoc=True))
    assert names(volume) == [f"._{name}".encode(), name.encode()]
    assert content(volume, f"._{name}") == b"resource fork"
    assert content(volume, name) == b"data fork"
    assert not words(volume)


def test_an_associated_file_of_several_sections() -> None:
    disc = Disc()
    fork = numbered_blocks(3)
    disc.root.file(b"F.;1", fork[: 2 * SECTOR], flags=ASSOCIATED | MULTI_EXTENT)
    disc.root.file(b"F.;1", fork[2 * SECTOR :], flags=ASSOCIATED)
    disc.root.file(b"F.;1", b"first, ".ljust(SECTOR), flags=MULTI_EXTENT)
    disc.root.file(b"F.;1", b"second")
    volume = disc.open(View(showassoc=True))
    assert names(volume) == [b"._f", b"f"]
    assert content(volume, "._f") == fork
    assert content(volume, "f") == content(disc.open(), "f") == b"first, ".ljust(SECTOR) + b"second"


@pytest.mark.parametrize("shown", [False, True])
def test_an_unfinished_associated_file_takes_no_section_of_its_neighbour(shown: bool) -> None:
    disc = Disc()
    disc.root.file(b"F.;1", bytes(SECTOR), flags=ASSOCIATED | MULTI_EXTENT)
    disc.root.file(b"F.;1", b"data fork")
    volume = disc.open(View(showassoc=shown))
    assert content(volume, "f") == b"data fork"
    assert words(volume) == ["F.;1: the last section is missing"]


def test_a_name_that_is_taken_gets_a_number() -> None:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"own", system_use=rock(b"._b"))
    disc.root.file(b"B.;1", b"fork", flags=ASSOCIATED, system_use=rock(b"b"))
    volume = disc.open(View(showassoc=True))
    assert names(volume) == [b"._b", b"._b~2"]
    assert content(volume, "._b~2") == b"fork"


def test_a_long_name_stays_a_name() -> None:
    disc = Disc(rock=True)
    more = nm(b"y" * 200)
    at = disc.store(more)
    use = px(0o100644) + nm(b"x" * 54, 1) + ce(at, 0, len(more))
    disc.root.file(b"A.;1", b"", flags=ASSOCIATED, system_use=use)
    (name,) = names(disc.open(View(showassoc=True)))
    assert len(name) == 255
    assert name.startswith(b"._" + b"x" * 54 + b"y" * 190)


# --- cruft ----------------------------------------------------------------------------------------------------------

CRUFT = View(cruft=True)


def test_cruft_takes_the_low_three_bytes_of_a_size() -> None:
    disc = Disc()
    data = numbered_blocks(2)[:3000]
    disc.root.file(b"A.;1", data, size=0x7F00_0000 | 3000)
    disc.root.file(b"B.;1", data)
    assert blocks(disc, View(), "a")[0] == 0x7F00_0000 | 3000
    assert blocks(disc, CRUFT, "a") == (3000, 6)
    assert content(disc.open(CRUFT), "a") == content(disc.open(CRUFT), "b") == data


def test_cruft_counts_the_sections_of_a_file_together() -> None:
    disc = Disc()
    disc.root.add(record(b"A.;1", 24, 0xFF_F800, flags=MULTI_EXTENT))
    disc.root.add(record(b"A.;1", 24, 0x1000))
    assert blocks(disc, View(), "a")[0] == 0x100_0800
    assert blocks(disc, CRUFT, "a") == (0x800, 4)
    assert disc.open(CRUFT).data(find(disc.open(CRUFT), "a").inode).size == 0x800


def test_cruft_is_for_directories_too() -> None:
    disc = Disc(bare_root=True)
    root = disc.root
    for identifier in (b"\0", b"\1"):
        root.add(record(identifier, root.extent, 0x0300_0000 | SECTOR, flags=DIRECTORY))
    root.file(b"A.;1", b"a")
    assert disc.open().attributes(ROOT).size == 0x0300_0000 | SECTOR
    volume = disc.open(CRUFT)
    assert volume.attributes(ROOT).size == SECTOR
    assert names(volume) == [b"a"]
    assert not words(volume)


def test_cruft_leaves_decoded_sizes_and_links_alone() -> None:
    data = numbered_blocks(9000)[:0x112_3456]
    stored = zisofs(data)
    disc = Disc(rock=True)
    disc.root.file(b"Z.;1", stored, size=0x0200_0000 | len(stored), system_use=rock(b"z") + zf(len(data)))
    use = px(LINK) + nm(b"link") + sl(component(b"target"))
    disc.root.file(b"L.;1", extent=0, size=0, system_use=use)
    volume = disc.open(CRUFT)
    assert content(volume, "z") == data
    assert find(volume, "z").blocks == -(-len(stored) // 512)
    assert find(volume, "link", follow=False).size == 6


# --- mode, dmode, overriderockperm, uid, gid --------------------------------------------------------------------------


def permissions(view: View) -> dict[bytes, str]:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"", system_use=rock(b"px", 0o104751))
    disc.root.file(b"B.;1", b"", system_use=nm(b"none"))
    disc.root.file(b"C.;1", b"", system_use=px(LINK) + nm(b"link") + sl(component(b"px")))
    disc.root.file(b"D.;1", b"", system_use=rock(b"pipe", 0o10640))
    disc.root.rock_directory(b"E", b"dir", mode=0o41777)
    disc.root.directory(b"F", system_use=nm(b"plain"))
    return {name: stat.filemode(found.mode) for name, found in tree(disc.open(view)).items() if found}


def test_recorded_permissions_win_unless_they_are_overridden() -> None:
    told = {b"link": "lrwxrwxrwx", b"pipe": "prw-r-----"}
    recorded = {b"px": "-rwsr-x--x", b"dir": "drwxrwxrwt", **told}
    assert permissions(View()) == {**recorded, b"none": "-r-xr-xr-x", b"plain": "dr-xr-xr-x"}
    assert permissions(View(overriderockperm=True)) == permissions(View())
    view = View(mode=0o640, dmode=0o710)
    assert permissions(view) == {**recorded, b"none": "-rw-r-----", b"plain": "drwx--x---"}
    assert permissions(view._replace(overriderockperm=True)) == {
        **told,
        **dict.fromkeys((b"px", b"none"), "-rw-r-----"),
        **dict.fromkeys((b"dir", b"plain"), "drwx--x---"),
    }


def test_only_what_is_given_overrides() -> None:
    found = permissions(View(overriderockperm=True, dmode=0o700))
    assert (found[b"px"], found[b"dir"]) == ("-rwsr-x--x", "drwx------")
    found = permissions(View(overriderockperm=True, mode=0))
    assert (found[b"px"], found[b"dir"]) == ("----------", "drwxrwxrwt")


def test_masks_come_last() -> None:
    found = permissions(View(overriderockperm=True, mode=0o777, dmode=0o777, fmask=0o27, dmask=0o72))
    assert (found[b"px"], found[b"dir"]) == ("-rwxr-x---", "drwx---r-x")


def test_owners_that_are_given_override_recorded_ones() -> None:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"", system_use=rock(b"a", uid=5, gid=6))
    for view, owners in ((View(), (5, 6)), (View(uid=0), (0, 6)), (View(gid=7), (5, 7)), (View(uid=1, gid=2), (1, 2))):
        found = find(disc.open(view), "a")
        assert (found.uid, found.gid) == owners


# --- iocharset ------------------------------------------------------------------------------------------------------


def joliet_names(view: View, *told: str) -> list[bytes]:
    disc = Disc()
    disc.root.file(b"PLAIN\xe9.;1")
    root = disc.folder(None)
    for name in told:
        root.file(utf16(name))
    return names(open_bytes(disc.build(disc.primary(), disc.joliet(root), TERMINATOR), view))


@pytest.mark.parametrize(
    ("charset", "shown"),
    [
        ("utf8", "é漢Ж.txt".encode()),
        ("iso8859-1", b"\xe9??.txt"),
        ("cp437", b"\x82??.txt"),
        ("koi8-r", b"??\xf6.txt"),
        ("euc-jp", b"\x8f\xab\xb1\xb4\xc1\xa7\xa8.txt"),
        ("cp932", b"?\x8a\xbf\x84G.txt"),
        ("ascii", b"???.txt"),
    ],
)
def test_joliet_names_are_shown_in_an_encoding(charset: str, shown: bytes) -> None:
    view = View(iocharset=codec_of(charset))
    assert joliet_names(view, "é漢Ж.txt;1") == [shown]
    volume_names = joliet_names(view._replace(nojoliet=True), "é漢Ж.txt;1")
    assert volume_names == [b"plain\xe9"]


def test_surrogates_are_a_character_in_utf8_and_two_question_marks_elsewhere() -> None:
    assert joliet_names(View(), "a\U0001f600b") == ["a\U0001f600b".encode()]
    assert joliet_names(View(iocharset="iso8859-1"), "a\U0001f600b") == [b"a??b"]
    assert joliet_names(View(iocharset="iso8859-1"), "a\ud800b") == [b"a?b"]


def test_names_that_become_one_are_numbered() -> None:
    assert joliet_names(View(iocharset="ascii"), "ä", "ö", "ü") == [b"?", b"?~2", b"?~3"]


def test_rock_ridge_names_are_bytes_in_every_encoding() -> None:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", system_use=rock("é漢".encode()))
    assert names(disc.open(View(iocharset="iso8859-1"))) == ["é漢".encode()]


# --- check ----------------------------------------------------------------------------------------------------------


def test_relaxed_names_have_no_case_in_latin_1() -> None:
    disc = Disc()
    disc.root.file(b"T\xe9\xd7.TXT;1", b"here")
    volume = disc.open(View(check="relaxed"))
    assert volume.lookup(ROOT, b"t\xc9\xd7.TxT") is not None
    assert volume.lookup(ROOT, b"t\xc9\xf7.TxT") is None
    assert disc.open().lookup(ROOT, b"t\xc9\xd7.txt") is None


# --- block ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [512, 1024, 2048])
@pytest.mark.parametrize("least", [None, 512, 1024, 2048])
def test_blocks_smaller_than_asked_for_are_refused(size: int, least: int | None) -> None:
    disc = Disc(block_size=size)
    disc.root.file(b"A.;1", b"a")
    if least is None or least <= size:
        assert names(disc.open(View(block=least))) == [b"a"]
        return
    with pytest.raises(UsageError, match=f"blocks of {size} bytes, smaller than block={least}; leave it out"):
        disc.open(View(block=least))


# --- nocompress -----------------------------------------------------------------------------------------------------


def test_nocompress_shows_what_is_stored() -> None:
    data = numbered_blocks(40)
    stored = zisofs(data)
    disc = Disc(rock=True)
    disc.root.file(b"Z.;1", stored, system_use=rock(b"z") + zf(len(data)))
    disc.root.file(b"P.;1", data, system_use=rock(b"p"))
    for view, expected in ((View(), data), (View(nocompress=True), stored)):
        assert content(disc.open(view), "z") == expected
        assert find(disc.open(view), "z").size == len(expected)
        assert content(disc.open(view), "p") == data
