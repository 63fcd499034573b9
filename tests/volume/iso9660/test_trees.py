"""Which of a disc's trees is shown, by its name; and names in any case."""

from __future__ import annotations

import subprocess
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from writers.discs import (
    LINK,
    TERMINATOR,
    Disc,
    ce,
    component,
    content,
    names,
    nm,
    open_bytes,
    px,
    rock,
    sl,
    utf16,
)
from writers.tools import require

from isofs.errors import ImageError, IsofsError, UsageError
from isofs.volume.iso9660 import names as rules
from isofs.volume.iso9660.directory import Case
from isofs.volume.iso9660.names import folded, in_case
from isofs.volume.tree import ROOT, View, find

pytestmark = pytest.mark.usefixtures("each_way")

CASES = get_args(Case)

# --- tree -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def all_trees(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A disc with all four of them."""
    require("genisoimage")
    folder = tmp_path_factory.mktemp("trees")
    source = folder / "source"
    source.mkdir()
    (source / "Readme with a long name.text").write_text("text")
    target = folder / "disc.iso"
    command = ["genisoimage", "-quiet", "-R", "-J", "-iso-level", "4", "-o", str(target), str(source)]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    return target.read_bytes()


@pytest.mark.parametrize(
    ("view", "label"),
    [
        (View(), "Rock Ridge"),
        (View(tree="rock"), "Rock Ridge"),
        (View(tree="rock", nojoliet=True), "Rock Ridge"),
        (View(tree="joliet"), "Joliet"),
        (View(tree="joliet", norock=True), "Joliet"),
        (View(tree="primary"), "ISO 9660"),
        (View(tree="enhanced"), "ISO 9660:1999"),
    ],
)
def test_each_tree_can_be_chosen(all_trees: bytes, view: View, label: str) -> None:
    volume = open_bytes(all_trees, view)
    assert volume.describe()["tree"] == label
    (name,) = names(volume)
    assert content(volume, name.decode()) == b"text"


def several(*, rocky: bool = True) -> Disc:
    """A disc whose trees tell their own names; `built` has its descriptors."""
    disc = Disc(rock=rocky)
    disc.root.file(b"FILE.TXT;1", b"text", system_use=rock(b"rock") if rocky else b"")
    return disc


def built(disc: Disc) -> bytes:
    joliet, enhanced = disc.folder(None), disc.folder(None)
    joliet.file(utf16("joliet;1"), b"text")
    enhanced.file(b"Enhanced.TXT;1" + "ä".encode("latin-1") * 150, b"text")
    more = disc.primary(kind=2, version=2, root=disc.root_record(enhanced))
    return disc.build(disc.primary(), disc.joliet(joliet), more, TERMINATOR)


def test_enhanced_names_are_as_recorded() -> None:
    name = b"Enhanced.TXT;1" + b"\xe4" * 150
    for view in (View(), View(iocharset="iso8859-1"), View(map="acorn")):
        volume = open_bytes(built(several()), view._replace(tree="enhanced"))
        assert names(volume) == [name]
        assert volume.lookup(ROOT, name.lower()) is None


def test_trees_differ() -> None:
    image = built(several())
    for choice, name in (("rock", b"rock"), ("joliet", b"joliet"), ("primary", b"file.txt"), ("auto", b"rock")):
        assert names(open_bytes(image, View(tree=choice))) == [name]  # type: ignore[arg-type]
    assert names(open_bytes(image, View(tree="primary", map="off"))) == [b"FILE.TXT;1"]


@pytest.mark.parametrize(
    ("tree", "known"),
    [
        ("rock", "tree=primary, tree=joliet, tree=enhanced"),
        ("joliet", "tree=primary"),
        ("enhanced", "tree=primary"),
    ],
)
def test_a_tree_that_is_not_there_is_refused_with_those_that_are(tree: str, known: str) -> None:
    disc = several(rocky=False)
    image = built(disc) if tree == "rock" else disc.build()
    with pytest.raises(UsageError) as caught:
        open_bytes(image, View(tree=tree))  # type: ignore[arg-type]
    assert str(caught.value) == f"the disc has no tree={tree}; it has {known}"


@pytest.mark.parametrize("view", [View(tree="rock", norock=True), View(tree="joliet", nojoliet=True)])
def test_contradictions_are_refused(view: View) -> None:
    with pytest.raises(UsageError, match=f"tree={view.tree} and no{view.tree} exclude each other"):
        open_bytes(built(several()), view)


def test_a_chosen_tree_that_is_damaged_is_an_error() -> None:
    disc = several()
    image = disc.build(disc.primary(), disc.joliet(disc.folder(None)), TERMINATOR)
    cut = image[: disc.folders[-1].place]
    assert names(open_bytes(cut)) == [b"rock"]
    with pytest.raises(ImageError):
        open_bytes(cut, View(tree="joliet"))


def test_an_announcement_alone_is_rock_ridge() -> None:
    disc = Disc(root_use=b"SP\7\1\xbe\xef\0")
    disc.root.file(b"A.;1", b"text", system_use=rock(b"Name"))
    assert names(disc.open(View(tree="rock"))) == [b"Name"]


# --- case -----------------------------------------------------------------------------------------------------------


def rocky(*told: bytes) -> Disc:
    """A disc with files of these names, each with its number as content."""
    disc = Disc(rock=True)
    for i, name in enumerate(told):
        disc.root.file(b"F%03d.;1" % i, b"%d" % i, system_use=rock(name))
    return disc


@pytest.mark.parametrize(
    ("case", "shown"),
    [
        ("insensitive", ["ReadMe.TXT", "Straße", "ÄÖ"]),
        ("lower", ["readme.txt", "straße", "äö"]),
        ("upper", ["README.TXT", "STRASSE", "ÄÖ"]),
    ],
)
def test_names_are_found_in_any_case(case: Case, shown: list[str]) -> None:
    volume = rocky(b"ReadMe.TXT", "Straße".encode(), "ÄÖ".encode()).open(View(case=case))
    assert names(volume) == [name.encode() for name in shown]
    for path, text in (("readme.txt", b"0"), ("README.TXT", b"0"), ("STRASSE", b"1"), ("straße", b"1"), ("äÖ", b"2")):
        assert content(volume, path) == text
    assert volume.lookup(ROOT, b"readme") is None


def test_without_it_rock_ridge_names_have_case() -> None:
    volume = rocky(b"ReadMe.TXT").open()
    assert volume.lookup(ROOT, b"readme.txt") is None


@pytest.mark.parametrize(
    ("case", "shown"),
    [
        ("insensitive", [b"a", b"A~2", b"b", b"\xe9A", b"\xe9a~2"]),
        ("lower", [b"a", b"a~2", b"b", b"\xe9a", b"\xe9a~2"]),
        ("upper", [b"A", b"A~2", b"B", b"\xe9A", b"\xe9A~2"]),
    ],
)
def test_names_that_differ_in_case_only_are_numbered(case: Case, shown: list[bytes]) -> None:
    volume = rocky(b"a", b"A", b"b", b"\xe9A", b"\xe9a").open(View(case=case))
    assert names(volume) == shown
    found = [volume.lookup(ROOT, name) for name in shown]
    assert [volume.data(file.inode).pread(9, 0) for file in found if file] == [b"0", b"1", b"2", b"3", b"4"]


def test_numbers_meet_no_name() -> None:
    volume = rocky(b"a", b"A~2", b"A", b"A~3").open(View(case="lower"))
    assert names(volume) == [b"a", b"a~2", b"a~3", b"a~3~2"]
    assert [content(volume, name.decode()) for name in names(volume)] == [b"0", b"1", b"2", b"3"]


def test_directories_and_the_way_back() -> None:
    disc = Disc(rock=True)
    folder = disc.root.rock_directory(b"DIR", b"Dir")
    folder.file(b"A.;1", b"text", system_use=rock(b"File"))
    use = px(LINK) + nm(b"Link") + sl(component(b"DIR"), component(flags=4), component(b"dir"), component(b"FILE"))
    disc.root.file(b"L.;1", extent=0, size=0, system_use=use)
    volume = disc.open(View(case="upper"))
    assert names(volume) == [b"DIR", b"LINK"]
    assert volume.readlink(find(volume, "link", follow=False).inode) == b"DIR/../dir/FILE"
    assert content(volume, "link") == content(volume, "dir/../DIR/file") == b"text"


@pytest.mark.parametrize("case", CASES)
def test_all_trees_have_it(case: Case) -> None:
    image = built(several())
    for choice, name in (("rock", b"ROCK"), ("joliet", b"Joliet.."), ("primary", b"File.Txt")):
        volume = open_bytes(image, View(tree=choice, case=case))  # type: ignore[arg-type]
        assert volume.lookup(ROOT, name) is not None
        assert len(names(volume)) == 1


def test_a_name_that_grows_too_long_is_cut() -> None:
    name = "ŉ".encode() * 120
    disc = Disc(rock=True)
    more = nm(name[100:])
    use = px(0o100644) + nm(name[:100], 1) + ce(disc.store(more), 0, len(more))
    disc.root.file(b"F.;1", b"text", system_use=use)
    volume = disc.open(View(case="upper"))
    (shown,) = names(volume)
    assert shown.startswith("ŉ".upper().encode() * 83)
    assert len(shown) <= 255
    for path in (shown, name):
        assert volume.lookup(ROOT, path) is not None


TEXTS = st.lists(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=6), max_size=8)


@given(TEXTS, st.sampled_from(CASES))
def test_whatever_the_names_each_is_found_as_told_and_as_shown(told: list[str], case: Case) -> None:
    recorded = [name.encode() for name in told]
    disc = rocky(*recorded)
    try:
        before, volume = disc.open(), disc.open(View(case=case))
        plain, shown = list(before.entries(ROOT)), list(volume.entries(ROOT))
    except IsofsError:
        return
    assert [entry.inode for entry in shown] == [entry.inode for entry in plain]
    assert len({folded(entry.name, joliet=False, cased=True) for entry in shown}) == len(shown)
    for entry in shown:
        found = volume.lookup(ROOT, entry.name)
        assert found is not None
        assert found.inode == entry.inode
        for other in (entry.name.lower(), entry.name.upper(), in_case(entry.name, "insensitive")):
            same = volume.lookup(ROOT, other)
            assert same is not None
            assert same.inode == entry.inode
    for name in {entry.name for entry in plain}:
        assert volume.lookup(ROOT, name) is not None


def test_the_same_names_without_a_change_of_case() -> None:
    assert in_case(b"\xffAb", "lower") == b"\xffab"
    assert in_case(b"\xffAb", "upper") == b"\xffAB"
    assert in_case("ÀB".encode(), "insensitive") == "àb".encode()


@pytest.mark.parametrize(
    ("charset", "told", "case", "shown"),
    [
        ("shift_jis", "ア.txt", "lower", "ア.txt"),  # its second byte is that of an A
        ("shift_jis", "ヂ.txt", "upper", "ヂ.TXT"),
        ("iso8859-1", "Ärger", "lower", "ärger"),
        ("iso8859-1", "ärger", "upper", "ÄRGER"),
        ("iso8859-1", "µÿß", "upper", "µÿSS"),  # what it has in small letters only stays
        ("cp1251", "Жук", "upper", "ЖУК"),
        ("utf-8", "Ω", "lower", "ω"),
    ],
)
def test_case_changes_letters_not_bytes_of_a_charset(charset: str, told: str, case: Case, shown: str) -> None:
    disc = Disc()
    tree = disc.folder(None)
    tree.file(utf16(told), b"text")
    volume = open_bytes(disc.build(disc.primary(), disc.joliet(tree)), View(iocharset=charset, case=case))
    assert names(volume) == [shown.encode(charset)]
    for name in (shown, told):
        assert volume.lookup(ROOT, name.encode(charset)) is not None


def test_a_charset_whose_letters_have_bytes_of_others_mixes_up_no_names() -> None:
    disc = Disc()
    tree = disc.folder(None)
    tree.file(utf16("ア"), b"text")
    volume = open_bytes(disc.build(disc.primary(), disc.joliet(tree)), View(iocharset="shift_jis"))
    assert volume.lookup(ROOT, "ア".encode("shift_jis")) is not None
    assert volume.lookup(ROOT, "ヂ".encode("shift_jis")) is None


@pytest.mark.parametrize("view", [View(), View(case="insensitive")])
def test_long_names_that_share_their_begin_are_numbered_in_no_time(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = 0
    numbered = rules.numbered

    def counting(name: bytes, count: int) -> bytes:
        nonlocal tried
        tried += 1
        return numbered(name, count)

    monkeypatch.setattr(rules, "numbered", counting)
    disc = Disc()
    tree = disc.folder(None, sectors=60)
    for i in range(200):
        for name in ("あ" * 84 + chr(0x4E00 + i),) * 2:
            assert len(name.encode()) == 255
            tree.file(utf16(name), b"%d" % i)
    volume = open_bytes(disc.build(disc.primary(), disc.joliet(tree)), view)
    assert len(set(names(volume))) == 400
    assert tried == 200
