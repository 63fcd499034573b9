"""What the compiled code reads is what the Python code reads, whatever the directory holds."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable
from functools import partial
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from writers.discs import (
    ASSOCIATED,
    DIRECTORY,
    FOLDER,
    HIDDEN,
    LINK,
    MULTI_EXTENT,
    SECTOR,
    TIME,
    XA,
    Disc,
    Folder,
    ce,
    cl,
    component,
    entry,
    er,
    nm,
    open_bytes,
    pl,
    pn,
    px,
    record,
    relocated,
    rock,
    sl,
    sp,
    tf,
    utf16,
    zf,
)
from writers.tools import require
from writers.trees import make_tree

from isofs import limits
from isofs.errors import IsofsError
from isofs.volume.iso9660 import volume as seam
from isofs.volume.iso9660.volume import Iso9660
from isofs.volume.tree import ROOT, Entry, Finding, View

VIEWS = (
    View(),
    View(norock=True),
    View(norock=True, nojoliet=True),
    View(nojoliet=True, uid=1000, gid=70_000),
    View(fmask=0o133, dmask=0o22),
    View(norock=True, nojoliet=True, map="acorn", mode=0o640, fmask=0o40),
    View(norock=True, nojoliet=True, map="off", check="relaxed"),
    View(hide=True, showassoc=True),
    View(cruft=True, nocompress=True),
    View(overriderockperm=True, mode=0o600, dmode=0o700),
    View(norock=True, iocharset="cp437"),
    View(case="upper"),
    View(tree="primary", case="insensitive"),
    View(norock=True, hide=True, case="lower"),
)
WRITERS = (
    ("xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "--hardlinks"),
    ("genisoimage", "-quiet", "-input-charset", "utf-8", "-R", "-J", "-cache-inodes"),
    ("genisoimage", "-quiet", "-input-charset", "utf-8", "-R", "-XA"),
)
MOST_DIRECTORIES = 60


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    if seam._records is None:
        pytest.skip("isofs.volume.iso9660._records is not built")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Discs of the usual mastering programs."""
    folder = tmp_path_factory.mktemp("usual")
    tree = make_tree(folder / "tree", many=40)
    written = []
    for i, command in enumerate(WRITERS):
        require(command[0])
        target = folder / f"{i}.iso"
        subprocess.run([*command, "-o", str(target), str(tree)], capture_output=True, timeout=60, check=True)
        written.append(target.read_bytes())
    return written


# --- both ways ------------------------------------------------------------------------------------------------------

Seen = tuple[dict[int, list[Entry] | str], list[Finding], dict[int, int]]


def seen(image: bytes, view: View) -> Seen | str:
    """The tables of a disc's directories (or why there is none), its findings in their order, its hard links."""
    try:
        volume = open_bytes(image, view)
    except IsofsError as error:
        return str(error)
    tables: dict[int, list[Entry] | str] = {}
    todo = [ROOT]
    while todo and len(tables) < MOST_DIRECTORIES:
        inode = todo.pop()
        if inode in tables:
            continue
        try:
            entries = list(volume.entries(inode))
        except IsofsError as error:
            tables[inode] = str(error)
            continue
        tables[inode] = entries
        todo += [found.inode for found in entries if found.attributes is None]
    return tables, list(volume.findings.found), volume._links


def assert_same_both_ways(image: bytes, view: View) -> None:
    compiled = seen(image, view)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seam, "_records", None)
        assert seen(image, view) == compiled


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: str({k: v for k, v in view._asdict().items() if v}))
@pytest.mark.parametrize("which", range(len(WRITERS)))
def test_discs_of_mastering_programs(images: list[bytes], which: int, view: View) -> None:
    assert_same_both_ways(images[which], view)


def places_of_directories(volume: Iso9660) -> list[int]:
    """Where the bytes of all directories are."""
    places: list[int] = []
    todo = [ROOT]
    while todo:
        inode = todo.pop()
        place = volume._directory_place(inode)
        assert place is not None
        places += range(place, place + volume.attributes(inode).size)
        todo += [found.inode for found in volume.entries(inode) if found.attributes is None]
    return places


@given(
    which=st.integers(0, len(WRITERS) - 1),
    view=st.sampled_from(VIEWS),
    changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), min_size=1, max_size=20),
)
def test_directories_with_changed_bytes(
    images: list[bytes], which: int, view: View, changes: list[tuple[int, int]]
) -> None:
    places = places_of_directories(open_bytes(images[which], view))
    changed = bytearray(images[which])
    for at, flips in changes:
        changed[places[at % len(places)]] ^= flips
    assert_same_both_ways(bytes(changed), view)


# --- random directories ---------------------------------------------------------------------------------------------

MODES = st.sampled_from([0o100644] * 8 + [0o104755, FOLDER, LINK, 0o10600, 0o20640, 0, 0o170000, 1 << 16 | 0o100644])
NAMES = st.one_of(
    st.integers(0, 30).map(lambda i: b"name%d" % i),
    st.sampled_from([b"a", b".", b"..", b"...", b".a", b"x\0y", b"x/y", b"\0", b"n" * 100, "ä漢".encode(), b""]),
)
BAD_STAMPS = [bytes(7), bytes((70, 2, 29, 0, 0, 0, 0)), bytes((124, 2, 29, 23, 59, 60, 208))]
STAMPS = st.sampled_from([TIME, TIME, *BAD_STAMPS])
NUMBERS = st.sampled_from([0, 1, 2, 1000, 65_536, (1 << 32) - 1])
COMPONENTS = st.builds(
    component, st.sampled_from([b"", b"up", b"x\0y"]), st.sampled_from([0, 0, 1, 2, 4, 8]), st.sampled_from([None, 3])
)
PX = st.builds(px, MODES, st.sampled_from([0, 1, 1, 1, 2]), NUMBERS, NUMBERS, st.sampled_from([None, 7]))
NM = st.builds(nm, NAMES, st.sampled_from([0, 0, 0, 0, 1, 2, 4]))
TF = st.builds(
    lambda flags, stamps: tf(flags, *stamps), st.sampled_from([14, 15, 1, 2, 0x82, 255]), st.lists(STAMPS, max_size=5)
)
SL = st.builds(lambda parts, flags: sl(*parts, flags=flags), st.lists(COMPONENTS, max_size=3), st.sampled_from([0, 1]))
RARE = [
    *(entry(b"RR", b"\x89"), entry(b"PD", b"123"), entry(b"PD"), entry(b"ST"), entry(b"QQ", b"1"), entry(b"AL", b"12")),
    *(relocated(), cl(26), pl(24), ce(24, 0, 60), ce(24, 0, 1)[:20], pn(0, 5), zf(100), entry(b"SF", bytes(17)), XA),
    *(entry(b"PX", bytes(31)), entry(b"NM"), entry(b"NM", b"\0"), entry(b"TF"), entry(b"SL"), entry(b"SL", b"\0")),
    *(entry(b"NM", b"\0abc", length=200), b"NM\3\1", b"TF\0", bytes(5), nm(b"z"), nm(b"z", 1), nm(b"", 2), nm(b"x/y")),
    *(tf(14, TIME, TIME), tf(14, TIME, TIME)[:-3] + b"xyz", tf(1, TIME), tf(15, TIME, *BAD_STAMPS), tf(255, TIME * 3)),
    *(
        entry(b"TF", b"\x0e" + TIME * 2 + BAD_STAMPS[2][:6]),
        tf(2, b"2024010112000000\0"),
        tf(0x82, b"2024010112000000\0"),
    ),
    *(px(0o100644, 2, 5, 6), px(0o100600), px(LINK), sl(component(b"up")), sl(component(b"up"), flags=1), sl()),
    *(tf(3, BAD_STAMPS[2], TIME), nm(b"."), nm(b".."), nm(b"..."), nm(b"..a"), entry(b"AA", bytes(10), version=2)),
]
USES = st.one_of(
    st.builds(lambda *parts: b"".join(parts), PX, NM),
    st.builds(lambda *parts: b"".join(parts), PX, TF, NM),
    st.builds(lambda *parts: b"".join(parts), PX, NM, SL, TF),
    st.lists(st.one_of(PX, NM, TF, SL, st.sampled_from(RARE)), max_size=5).map(b"".join),
)
RECORDS = st.builds(
    lambda identifier, extent, size, use, **other: record(identifier, extent, size, system_use=use[:180], **other),
    st.sampled_from(
        [b"A.TXT;1", b"B.;1", b"B.;1", b"C", b"\0", b"\1", b"\2", b"a/b;1", b"..", utf16("Jo.txt;1"), b"D\0"]
    ),
    st.sampled_from([0, 23, 24, 25, 26, 27, 30, 99, (1 << 32) - 1]),
    st.sampled_from([0, 1, 511, 512, 513, SECTOR, (1 << 32) - 1]),
    USES,
    flags=st.sampled_from([0] * 8 + [HIDDEN, DIRECTORY, DIRECTORY, ASSOCIATED, MULTI_EXTENT, MULTI_EXTENT]),
    time=STAMPS,
    xar=st.sampled_from([0, 0, 0, 1]),
    unit=st.sampled_from([0, 0, 0, 1]),
    gap=st.sampled_from([0, 0, 0, 1]),
    big_extent=st.sampled_from([None, None, None, None, None, None, 5]),
    length=st.sampled_from([None] * 12 + [33, 34, 40, 255]),
)
BYTES = st.one_of(*[RECORDS] * 8, st.binary(max_size=40), st.just(bytes(1)), st.just(bytes(SECTOR)))


@given(
    block_size=st.sampled_from([512, 2048, 2048]),
    root_use=st.sampled_from([b"", sp() + er(), sp() + er(), sp(6) + er(), sp(14) + er()]),
    front=st.sampled_from([b"", b"", XA, bytes(6)]),
    pieces=st.lists(st.one_of(RECORDS, BYTES), max_size=12),
    shared=st.lists(RECORDS, max_size=4),
    joliet=st.booleans(),
    view=st.sampled_from(VIEWS),
)
def test_random_directories(
    block_size: int,
    root_use: bytes,
    front: bytes,
    pieces: list[bytes],
    shared: list[bytes],
    joliet: bool,
    view: View,
) -> None:
    disc = Disc(root_use=root_use, block_size=block_size, sectors=8)
    folder = disc.root.directory(b"SUB", sectors=2, system_use=front + rock(b"sub", FOLDER))
    for raw in pieces:
        put(disc.root, raw)
    for raw in shared:
        put(folder, raw)
    image = disc.build(disc.primary(), disc.joliet(disc.root)) if joliet else disc.build()
    assert_same_both_ways(image, view)


@pytest.mark.parametrize("kind", [0o100644, LINK, FOLDER])
def test_entries_that_are_not_usual(kind: int) -> None:
    """Each in front of, between, behind, and instead of the usual ones, alone on its disc."""
    usual = (px(kind), nm(b"name"), tf(6, TIME, BAD_STAMPS[2]))
    for rare, at, instead in product(RARE, range(4), (0, 1)):
        use = b"".join(usual[:at]) + rare + b"".join(usual[at + instead :])
        disc = Disc(rock=True)
        disc.root.file(b"A.;1", extent=40, size=5, system_use=rock(b"neighbour"))
        disc.root.file(b"B.;1", extent=40, size=5, system_use=use[:200])
        disc.root.file(b"C.;1", extent=40, size=5, system_use=rock(b"other"))
        assert_same_both_ways(disc.build(), View(fmask=0o4))


@pytest.mark.parametrize("rocky", [True, False])
def test_directories_at_places_where_none_can_be(rocky: bool) -> None:
    disc = Disc(rock=rocky)
    use = rock(b"sub", FOLDER) if rocky else b""
    folder = disc.root.directory(b"SUB", system_use=use)
    for name, extent in ((b"ZERO", 0), (b"ROOT", disc.root.extent), (b"SELF", folder.extent), (b"FAR", 90_000)):
        use = rock(name, FOLDER) if rocky else b""
        folder.add(record(name, extent, SECTOR, flags=DIRECTORY, system_use=use))
    assert_same_both_ways(disc.build(), View())


@pytest.mark.parametrize("block_size", [512, SECTOR])
def test_a_file_whose_number_would_be_a_directorys(block_size: int) -> None:
    disc = Disc(block_size=block_size)
    for length in (222, 511 - 2 * 34 - 222, 40):
        disc.root.raw(record(b"N%d" % length, 40, 5, length=length).ljust(length, b"x")[:length])
    image = disc.build()
    assert_same_both_ways(image, View())
    assert len(open_bytes(image).entries(ROOT)) == (3 if block_size == SECTOR else 2)


@pytest.mark.parametrize("block_size", [512, SECTOR])
@pytest.mark.parametrize("over", [-1, 0, 1, 20, 39])
def test_a_record_at_the_end_of_a_sector(block_size: int, over: int) -> None:
    disc = Disc(block_size=block_size, sectors=2)
    while len(disc.root.data) < SECTOR - 40 + over:
        length = min(200, SECTOR - 40 + over - len(disc.root.data) - 40) or 40
        disc.root.raw(record(b"N%d" % len(disc.root.data), 40, 5, length=length).ljust(length, b"x")[:length])
    disc.root.raw(record(b"LAST_1", 40, 5))
    disc.root.raw(record(b"NEXT_1", 40, 5))
    assert_same_both_ways(disc.build(), View())


@pytest.mark.parametrize(
    "use", [b"".join((px(0o100644), nm(b"name"), tf(14, TIME, *BAD_STAMPS[:2]))), b""], ids=["rock ridge", "plain"]
)
def test_a_changed_byte_of_a_record(use: bytes) -> None:
    """Between two like it, so that nothing of these is taken for its own."""
    like = (b"A.;1", b"B.;1", b"C.;1")
    raw = [record(identifier, 40, 5, system_use=use.replace(b"name", b"nam" + identifier[:1])) for identifier in like]
    for at in range(len(raw[1])):
        for flip in (1, 2, 4, 128):
            changed = raw[1][:at] + bytes((raw[1][at] ^ flip,)) + raw[1][at + 1 :]
            disc = Disc(rock=bool(use))
            disc.root.raw(raw[0] + changed + raw[2])
            assert_same_both_ways(disc.build(), View(fmask=0o4))


def put(folder: Folder, raw: bytes) -> None:
    """Adds a record at the next place where it can be, anything else where the last one ended."""
    room = folder.room - len(folder.data)
    if len(raw) < 34 or raw[0] != len(raw):
        folder.raw(raw[:room])
    elif len(raw) + -len(folder.data) % SECTOR <= room:
        folder.add(raw)


def test_the_limit_of_a_directorys_records(monkeypatch: pytest.MonkeyPatch) -> None:
    disc = Disc(rock=True, sectors=4)
    for i in range(20):
        disc.root.file(b"F%02d.;1" % i, system_use=rock(b"file%02d" % (i % 18)))
    image = disc.build()
    for most in range(22):
        monkeypatch.setattr(limits, "DIRECTORY_RECORDS", most)
        assert_same_both_ways(image, View())


# --- the compiled function by itself --------------------------------------------------------------------------------


def reader(data: bytes, table: dict[bytes, Entry], *, skip: int | None = 0, size: int = SECTOR) -> Callable[[int], int]:
    assert seam._records is not None
    return partial(
        seam._records.read_usual,
        *(data, 30 * SECTOR, size, table, 1000, frozenset, skip),
        *(lambda identifier, use, directory: identifier, stat.S_IFREG | 0o555, 0, None, None),
    )


USUAL = b"".join(
    [
        record(b"\0", 30, SECTOR, flags=DIRECTORY, system_use=px(FOLDER)),
        record(b"\1", 30, SECTOR, flags=DIRECTORY, system_use=px(FOLDER)),
        record(b"A.;1", 40, 5, system_use=px(0o100644) + tf(0xE, TIME, TIME, TIME) + nm(b"one")),
        record(
            b"B.;1", 40, 5, system_use=XA + px(0o100644, serial=8) + nm(b"two") + tf(1, TIME) + entry(b"RR", b"\x89")
        ),
        record(b"C.;1", 0, 0, system_use=nm(b"link") + px(LINK) + sl(component(b"one")) + entry(b"PD", b"12")),
        record(b"DIR", 41, SECTOR, flags=DIRECTORY, system_use=px(FOLDER) + nm(b"sub") + entry(b"ST")),
    ]
)


def test_a_usual_directory_is_read_to_its_end() -> None:
    table: dict[bytes, Entry] = {}
    assert reader(USUAL, table)(0) == len(USUAL)
    assert list(table) == [b"one", b"two", b"link", b"sub"]
    assert all(found.name == name for name, found in table.items())


def test_directories_of_mastering_programs_are_usual(images: list[bytes]) -> None:
    """All of them but hard links, devices and names in continuation areas."""
    for image in images:
        volume = open_bytes(image)
        (place,) = (found.inode for found in volume.entries(ROOT) if found.name == b"many")
        data = volume._directory_bytes(place)
        table: dict[bytes, Entry] = {}
        usual = volume._usual(data, place, table, frozenset)
        assert usual is not None
        assert usual(0) == len(data)
        assert len(table) == 40


@pytest.mark.parametrize("skip", [None, 0, 1, 14, 255])
@pytest.mark.parametrize("size", [512, SECTOR])
def test_a_directory_that_is_cut_at_any_byte_is_read_to_its_last_whole_record(skip: int | None, size: int) -> None:
    ends = []
    at = 0
    while at < len(USUAL):
        ends.append(at)
        at += USUAL[at]
    whole: dict[bytes, Entry] = {}
    reader(USUAL, whole, skip=skip, size=size)(0)
    for cut in range(len(USUAL)):
        table: dict[bytes, Entry] = {}
        assert reader(USUAL[:cut], table, skip=skip, size=size)(0) <= max(end for end in ends if end <= cut)
        assert whole.items() >= table.items()


def test_a_length_in_a_record_never_reaches_beyond_it() -> None:
    """Each byte of the last record is set to each value that could be too long; the Python code says what is there."""
    last = record(b"Z.;1", 40, 5, system_use=px(0o100644) + tf(0xE, TIME, TIME, TIME) + nm(b"zzz"))
    for at in range(len(last)):
        for value in (0, 1, 3, 4, last[at] + 1 & 255, len(last) - 1, len(last) + 1, 255):
            disc = Disc(rock=True)
            disc.root.raw(last[:at] + bytes((value,)) + last[at + 1 :])
            folder = len(disc.root.data)
            disc.root.data[10:18] = folder.to_bytes(4, "little") + folder.to_bytes(4, "big")
            assert_same_both_ways(disc.build(), View())


@given(st.binary(max_size=400), st.sampled_from([None, 0, 3, 200, 255]), st.integers(0, 400))
def test_any_bytes_are_read_or_left(data: bytes, skip: int | None, at: int) -> None:
    table: dict[bytes, Entry] = {}
    usual = reader(data, table, skip=skip, size=512)
    if at > len(data):
        with pytest.raises(ValueError, match="outside"):
            usual(at)
        return
    assert at <= usual(at) <= len(data)


def test_one_call_reads_a_bounded_stretch() -> None:
    """Between two of them other threads have their turn."""
    data = (record(b"A.;1", 40, 5, system_use=px(0o100644) + nm(b"a")).ljust(SECTOR, b"\0")) * 100
    reached = reader(data, {})(0)
    assert 0 < reached < len(data)
    big = b"".join(record(b"F%05d" % i, 40, 5).ljust(SECTOR, b"\0") for i in range(100))
    table: dict[bytes, Entry] = {}
    reached = reader(big, table, skip=None)(0)
    assert 0 < reached < len(big)
    assert len(table) == reached // SECTOR
