"""AL entries: attributes and access control lists, as they should be and as they should not."""

from __future__ import annotations

import stat
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from writers import discs
from writers.aaip import acl, al, als, component, components, piece
from writers.discs import (
    FILE,
    FOLDER,
    LINK,
    SECTOR,
    Disc,
    ce,
    cl,
    content,
    er,
    nm,
    open_source,
    pl,
    px,
    relocated,
    rock,
    sl,
    sp,
    tree,
    words,
    zisofs,
)

from isofs import limits
from isofs.errors import ImageError, StaleInode
from isofs.volume.iso9660 import aaip
from isofs.volume.iso9660.volume import Iso9660
from isofs.volume.subdir import subdirectory
from isofs.volume.tree import ROOT, View, find

ACCESS, DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"


def split(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Entries as the reader of system use fields gives them."""
    found = []
    while raw:
        found.append((raw[:2], raw[: raw[2]]))
        raw = raw[raw[2] :]
    return found


def decoded(raw: bytes, mode: int = FILE, *, lists: bool = True) -> tuple[dict[bytes, bytes], list[str]]:
    """The attributes that AL entries hold, and what is said about them."""
    said: list[str] = []
    return aaip.attributes(split(raw), lambda: mode, said.append, lists=lists), said


# --- sound lists ----------------------------------------------------------------------------------------------------


def test_a_value_goes_on_in_the_next_entry() -> None:
    long = bytes(i % 251 for i in range(255))
    first = piece(b"user.name") + piece(long[:237], more=True, length=255)
    assert len(al(first, more=True)) == 255
    second = long[237:] + piece(b"content") + components(b"user.one", b"more")
    assert decoded(al(first, more=True) + al(second)) == ({b"user.name": long + b"content", b"user.one": b"more"}, [])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 250])
def test_entries_may_end_anywhere(size: int) -> None:
    told = {b"user.a": b"", b"user.b": bytes(range(256)) * 3, b"trusted.c": b"\0"}
    raw = als(components(*(part for pair in told.items() for part in pair)), size)
    assert decoded(raw) == (told, [])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"user.abc", b"user.abc"),
        (b"\3abc", b"user.abc"),
        (b"\5abc", b"trusted.abc"),
        (b"trusted.abc", b"trusted.abc"),
        ("\3schön".encode(), "user.schön".encode()),
        (b"\3\xff", b"user.\xff"),
        (b"\3" + b"n" * 250, b"user." + b"n" * 250),
    ],
)
def test_names_may_be_short(name: bytes, shown: bytes) -> None:
    assert decoded(als(components(name, b"value"))) == ({shown: b"value"}, [])


@pytest.mark.parametrize(
    "name",
    [
        *(b"\4ca", b"\4nt", b"isofs.st"),
        *(b"\6capability", b"\6selinux", b"security.ima", b"\5overlay.opaque", b"trusted.overlay.redirect"),
        *(b"\2nfs4_acl", b"com.apple.ResourceFork", b"\1\3abc", b"\7abc", b"\x1fabc", b"user", b"USER.a"),
    ],
)
def test_what_is_not_for_linux_or_not_to_be_believed_is_not_shown(name: bytes) -> None:
    assert decoded(als(components(name, b"value", b"\3a", b"b"))) == ({b"user.a": b"b"}, [])


@pytest.mark.parametrize("mode", [LINK, stat.S_IFIFO | 0o644, stat.S_IFCHR | 0o644, stat.S_IFSOCK | 0o644])
def test_user_attributes_are_for_files_and_directories(mode: int) -> None:
    assert decoded(als(components(b"\3a", b"1", b"\5b", b"2")), mode) == ({b"trusted.b": b"2"}, [])


def test_the_list_ends_where_it_says() -> None:
    assert decoded(als(components(b"\3a", b"1")) + als(components(b"\3b", b"2"))) == ({b"user.a": b"1"}, [])


def test_no_entries_are_no_attributes() -> None:
    assert decoded(px(FILE)) == ({}, [])


# --- access control lists -------------------------------------------------------------------------------------------


def test_a_list_of_users_and_groups() -> None:
    """The first example of AAIP 2.0."""
    raw = als(components(b"", bytes((0x16, 0xAE, 1, 123, 0x34, 0xCE, 2, 255, 254, 0x54, 0x64))))
    wanted = acl((1, 6), (2, 6, 123), (4, 4), (8, 6, 65534), (16, 4), (32, 4))
    assert decoded(raw, stat.S_IFREG | 0o644) == ({ACCESS: wanted}, [])


def test_a_list_for_new_files() -> None:
    """The second example. A list of permissions alone says nothing new; entries are put in Linux's order."""
    raw = als(components(b"", bytes((0x17, 0x35, 0x65, 0x81, 0x17, 0x35, 0x57, 0x65, 0xA7 | 8, 1, 123))))
    wanted = acl((1, 7), (2, 7, 123), (4, 5), (16, 7), (32, 5))
    assert decoded(raw, stat.S_IFDIR | 0o755) == ({DEFAULT: wanted}, [])
    assert decoded(raw, stat.S_IFREG | 0o755) == ({}, [])


def test_lists_as_linux_has_them() -> None:
    access, default = acl((1, 7), (2, 5, 1000), (4, 5), (16, 5), (32, 0)), acl((1, 7), (4, 0), (32, 0))
    raw = als(components(b"\2posix_acl_access", access, b"system.posix_acl_default", default))
    assert decoded(raw, stat.S_IFDIR | 0o750) == ({ACCESS: access, DEFAULT: default}, [])


def test_what_users_are_called_is_passed_over() -> None:
    called = bytes((0x08, 13)) + bytes((0, 123, 0, 0, 0, 0, 0, 0, 123)) + b"lisa"
    long = bytes((0x08, 0xFF)) + b"n" * 127 + bytes((3,)) + b"end"
    raw = als(components(b"", called + long + bytes((0x16, 0xAC, 4, 0, 1, 0, 1, 0x34, 0x54, 0x64))))
    wanted = acl((1, 6), (2, 4, 0x10001), (4, 4), (16, 4), (32, 4))
    assert decoded(raw, stat.S_IFREG | 0o644) == ({ACCESS: wanted}, [])


def test_as_many_entries_as_fuse_takes() -> None:
    users = b"".join(bytes((0xAC, 2)) + i.to_bytes(2, "big") for i in range(1, 508))
    full = b"\x16" + users + b"\x34\x54\x64"
    found, said = decoded(als(components(b"", full)), stat.S_IFREG | 0o644)
    assert (len(found[ACCESS]), said) == (4092, [])
    found, said = decoded(als(components(b"", full + b"\xac\2\xff\0")), stat.S_IFREG | 0o644)
    assert (found, said) == ({}, ["its access control list cannot be right: it is too long"])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\x16\x34", "entries are missing, or there twice"),
        (b"\x16\x34\x64\x64", "entries are missing, or there twice"),
        (b"\x16\xac\1\5\x34\x64", "entries are missing, or there twice"),
        (b"\x16\x34\x54\x54\x64", "entries are missing, or there twice"),
        (b"\x16\xac\1\5\xac\2\0\5\x34\x54\x64", "it names a user or group twice"),
        (b"\x16\xac\4\xff\xff\xff\xff\x34\x54\x64", "a user or group that cannot be"),
        (b"\x16\xac\5\0\0\0\0\1\x34\x54\x64", "an entry of kind 10"),
        (b"\x16\xac\0\x34\x54\x64", "an entry of kind 10"),
        (b"\x16\xa4\x34\x54\x64", "an entry of kind 10"),
        (b"\x1e\1\1\x34\x64", "an entry of kind 1"),
        (b"\x16\x26\x34\x64", "an entry of kind 2"),
        (b"\x16\xf0\x34\x64", "an entry of kind 15"),
        (b"\x81\x16\x34\x64\x81", "an entry of kind 8"),
        (b"\x16\x34\x64\xac", "it is cut off"),
        (b"\x16\x34\x64\xac\4\0\0", "it is cut off"),
        (b"\x16\x34\x64\xac\xff" + b"\0" * 127, "it is cut off"),
        (b"\x08\0" * 32769, "it is too long"),
    ],
)
def test_a_list_that_cannot_be_right_is_not_shown(value: bytes, reason: str) -> None:
    found, said = decoded(als(components(b"", value, b"\3a", b"b")), stat.S_IFREG | 0o644)
    assert (found, said) == ({b"user.a": b"b"}, [f"its access control list cannot be right: {reason}"])


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\2\0\0",
        b"\1\0\0\0" + acl((1, 6), (4, 4), (32, 4))[4:],
        acl((1, 6), (2, 4, 5), (4, 4), (16, 4), (32, 4))[:-1],
        acl((1, 6), (2, 4, 5), (4, 4), (16, 4), (32, 4), (64, 4)),
        acl((1, 6), (2, 8, 5), (4, 4), (16, 4), (32, 4)),
    ],
)
def test_a_list_in_linux_form_that_linux_would_not_take(value: bytes) -> None:
    found, said = decoded(als(components(b"\2posix_acl_access", value)), stat.S_IFREG | 0o644)
    assert found == {}
    assert [text.partition(":")[0] for text in said] == ["its access control list cannot be right"]


def test_a_list_that_contradicts_the_permissions_is_not_shown() -> None:
    raw = als(components(b"", b"\x17\xac\1\5\x35\x55\x65\x81\x17\x35\x65"))
    assert decoded(raw, stat.S_IFDIR | 0o755)[1] == []
    found, said = decoded(raw, stat.S_IFDIR | 0o700)
    assert (list(found), said) == ([DEFAULT], ["its access control list contradicts its permissions"])


# --- damage ---------------------------------------------------------------------------------------------------------

CUT = "its list of attributes is cut off"


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (al(components(b"\3a", b"1"), more=True), {b"user.a": b"1"}),
        (al(components(b"\3a", b"1") + b"\0"), {b"user.a": b"1"}),
        (al(components(b"\3a", b"1", b"\3b")), {b"user.a": b"1"}),
        (al(components(b"\3a", b"1", b"\3b") + piece(b"half", more=True)), {b"user.a": b"1"}),
        (al(components(b"\3a", b"1", b"\3b") + piece(b"short", length=6)), {b"user.a": b"1"}),
        (al(components(b"\3a", b"1", b"\3b") + b"\2\0" + components(b"\3c", b"3")), {b"user.a": b"1"}),
        (al(piece(b"\3a", length=255)), {}),
        (al(b"\1"), {}),
    ],
)
def test_what_is_behind_damage_is_missing(raw: bytes, found: dict[bytes, bytes]) -> None:
    assert decoded(raw) == (found, [CUT])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (b"\3", b"1", "its attribute user. has a name that Linux cannot show"),
        (b"\3b\0c", b"1", "its attribute user.b\\x00c has a name that Linux cannot show"),
        (b"\3" + b"n" * 251, b"1", f"its attribute user.{'n' * 251} has a name that Linux cannot show"),
        (b"\3b", bytes(65537), "its attribute user.b has 65537 bytes, more than Linux can show"),
        (b"user.a", b"2", "its attribute user.a is there twice; the first one is shown"),
    ],
)
def test_one_attribute_of_several_cannot_be_shown(name: bytes, value: bytes, said: str) -> None:
    raw = als(components(b"\3a", b"1", name, value, b"\3z", b"26"))
    assert decoded(raw) == ({b"user.a": b"1", b"user.z": b"26"}, [said])


def test_the_largest_value() -> None:
    assert decoded(als(components(b"\3a", b"x" * 65536))) == ({b"user.a": b"x" * 65536}, [])


def test_no_more_names_than_linux_can_list() -> None:
    names = [b"user.%04d" % i for i in range(8000)]
    found, said = decoded(als(components(*(part for name in names for part in (name, b"")))))
    assert list(found) == names[: 65536 // 10]
    assert said == ["it has more attributes than Linux can list"]


@given(st.lists(st.tuples(st.binary(max_size=250), st.booleans()), max_size=6))
def test_any_bytes_give_what_linux_takes(pieces: list[tuple[bytes, bool]]) -> None:
    found, _ = decoded(b"".join(al(data, more=more) for data, more in pieces))
    for name, value in found.items():
        assert name.startswith((b"user.", b"trusted.", b"system.posix_acl_"))
        assert 0 < len(name) <= 255
        assert b"\0" not in name
        assert len(value) <= 65536


ENTRIES = [b"\x17", b"\x35", b"\x55", b"\x65", b"\xac\1\5", b"\xac\2\0\5", b"\xce\1\5", b"\x81", b"\x08\1n", b"\x18"]


@given(st.lists(st.sampled_from(ENTRIES), max_size=9).map(b"".join), st.sampled_from([0o755, 0o777, 0o700]))
def test_any_list_is_one_of_linux_or_none(value: bytes, mode: int) -> None:
    found, _ = decoded(als(components(b"", value)), stat.S_IFDIR | mode)
    for raw in found.values():
        tags = [tag for tag, _, _ in struct.iter_unpack("<HHI", raw[4:])]
        assert (raw[:4], tags) == (b"\2\0\0\0", sorted(tags))
        assert {1, 4, 32} <= set(tags) <= {1, 2, 4, 8, 16, 32}
        assert 16 in tags or not {2, 8} & set(tags)


# --- on discs -------------------------------------------------------------------------------------------------------

ROOT_USE = sp() + er() + px(FOLDER) + als(components(b"\4nt", b"\1\1\1\xff"))


def disc(sectors: int = 1) -> Disc:
    """A disc as libisofs writes it when it is told to take attributes: it gives the root one of its own."""
    return Disc(root_use=ROOT_USE, sectors=sectors)


def of(volume: Iso9660, path: str, *, follow: bool = False) -> dict[bytes, bytes]:
    """The attributes of a file."""
    return dict(volume.xattrs(find(volume, path, follow=follow).inode))


def test_attributes_of_files_and_directories() -> None:
    """Those of a directory stand where its parent names it, those of the root in its own record."""
    made = Disc(root_use=sp() + er() + px(FOLDER) + als(components(b"\3r", b"0")))
    made.root.file(b"A.;1", b"hello", system_use=rock(b"a") + als(components(b"\3a", b"1")))
    made.root.file(b"B.;1", b"hello", system_use=rock(b"b"))
    folder = made.folder(made.root, own_use=px(FOLDER), parent_use=px(FOLDER))
    use = rock(b"d", FOLDER) + als(components(b"\3d", b"2"))
    made.root.add(discs.record(b"D", folder.extent, folder.size, flags=discs.DIRECTORY, system_use=use))
    folder.file(b"C.;1", b"hello", system_use=rock(b"c") + als(components(b"\3c", b"3")))
    volume = made.open()
    assert volume.has_xattrs
    assert [of(volume, path) for path in ("a", "b", "d", "d/c", "/")] == [
        {b"user.a": b"1"},
        {},
        {b"user.d": b"2"},
        {b"user.c": b"3"},
        {b"user.r": b"0"},
    ]
    assert words(volume) == []


def test_a_relocated_directory_has_the_attributes_of_the_record_that_stands_for_it() -> None:
    made = disc()
    away = made.root.rock_directory(b"RR_MOVED", b"rr_moved")
    deep = made.folder(away, own_use=px(FOLDER), parent_use=px(FOLDER) + pl(made.root.extent))
    use = rock(b"deep", FOLDER) + als(components(b"\3d", b"1"))
    made.root.file(b"DEEP", b"", system_use=use + cl(deep.extent))
    away.add(
        discs.record(
            b"DEEP", deep.extent, deep.size, flags=discs.DIRECTORY, system_use=rock(b"deep", FOLDER) + relocated()
        )
    )
    assert of(made.open(), "deep") == {b"user.d": b"1"}


@pytest.mark.parametrize(
    ("root_use", "view", "told"),
    [
        (ROOT_USE, View(), True),
        (sp() + er() + er(b"AAIP_0200") + px(FOLDER), View(), True),
        (sp() + er() + px(FOLDER), View(), False),
        (sp() + er() + px(FOLDER), View(xattr=True), True),
        (ROOT_USE, View(norock=True), False),
        (ROOT_USE, View(tree="primary"), False),
        (b"", View(), False),
        (b"", View(xattr=True), True),
    ],
)
def test_the_root_tells_whether_there_are_any(root_use: bytes, view: View, told: bool) -> None:
    made = Disc(root_use=root_use)
    made.root.file(b"A.;1", b"x")
    assert made.open(view).has_xattrs is told


def test_without_rock_ridge_there_are_none() -> None:
    made = disc()
    made.root.file(b"A.;1", b"x", system_use=rock(b"a") + als(components(b"\3a", b"1")))
    assert of(made.open(View(norock=True)), "a") == {}


@pytest.mark.parametrize("view", [View(fmask=0o22), View(dmask=0o22), View(overriderockperm=True)])
def test_lists_are_shown_with_recorded_permissions_only(view: View) -> None:
    made = disc()
    lists = components(b"", b"\x16\xac\1\5\x34\x54\x64", b"\3a", b"1")
    made.root.file(b"A.;1", b"x", system_use=rock(b"a", stat.S_IFREG | 0o644) + als(lists))
    assert list(of(made.open(), "a")) == [ACCESS, b"user.a"]
    assert list(of(made.open(View(uid=5, gid=5, mode=0o700)), "a")) == [ACCESS, b"user.a"]
    volume = made.open(view)
    assert (of(volume, "a"), words(volume)) == ({b"user.a": b"1"}, [])


def chain(made: Disc, raw: bytes, size: int) -> bytes:
    """The entry that leads to bytes which lie in continuation areas, each as large as `size` allows."""
    parts = []
    while raw:
        end = 0
        while end < len(raw) and end + raw[end + 2] + 28 <= size:
            end += raw[end + 2]
        parts.append(raw[:end])
        raw = raw[end:]
    lead = b""
    for part in reversed(parts):
        lead = ce(made.store(part + lead), 0, len(part + lead))
    return lead


AREAS = [pytest.param(SECTOR, id="areas of a block"), pytest.param(1 << 30, id="one area")]


@pytest.mark.parametrize("area", AREAS)
def test_a_long_list_is_read_when_it_is_asked_for(area: int) -> None:
    """300 KB of them for each of 50 files: neither names nor data depend on them, and listing does not read them."""
    made = disc(sectors=4)
    values = {b"user.%d" % i: bytes((i,)) * 60_000 for i in range(5)}
    raw = als(components(*(part for pair in values.items() for part in pair)))
    lead = chain(made, nm(b".txt") + raw, area)
    for i in range(50):
        made.root.file(b"A%d.;1" % i, b"hello %d" % i, system_use=px(FILE) + nm(b"name %d" % i, 1) + lead)
    source = discs.MemorySource(made.build())
    volume = open_source(source)
    assert set(tree(volume)) == {b"name %d.txt" % i for i in range(50)}
    assert content(volume, "name 7.txt") == b"hello 7"
    assert source.read_bytes < 200_000
    assert of(volume, "name 7.txt") == values
    assert words(volume) == []


def test_what_stands_behind_a_list_in_the_same_area_counts() -> None:
    made = disc()
    raw = als(components(b"\3a", b"1")) + nm(b"name") + als(components(b"\3b", b"2"))
    made.root.file(b"A.;1", b"x", system_use=px(FILE) + ce(made.store(raw), 0, len(raw)))
    assert of(made.open(), "name") == {b"user.a": b"1"}


def test_a_compressed_file_with_a_long_list() -> None:
    made = disc()
    data = b"compressed " * 9000
    raw = discs.zf(len(data)) + als(components(b"\3a", b"x" * 60_000))
    made.root.file(b"A.;1", zisofs(data), system_use=rock(b"a") + ce(made.store(raw), 0, len(raw)))
    volume = made.open()
    assert (content(volume, "a"), of(volume, "a")) == (data, {b"user.a": b"x" * 60_000})


def too_long(made: Disc) -> bytes:
    raw = als(components(b"\3a", b"1") + component(b"\3b") + component(bytes(limits.ATTRIBUTE_BYTES)))
    return ce(made.store(raw), 0, len(raw))


def too_many_areas(made: Disc) -> bytes:
    lead = b""
    for _ in range(limits.ATTRIBUTE_AREAS + 1):
        part = al(b"\1\xff" + bytes(200), more=True) + lead
        lead = ce(made.store(part), 0, len(part))
    first = al(components(b"\3a", b"1"), more=True) + lead
    return ce(made.store(first), 0, len(first))


def loop(made: Disc) -> bytes:
    block = made.next
    first = al(components(b"\3a", b"1"), more=True) + ce(block, 0, 512)
    return ce(made.store(first.ljust(512, b"\0")), 0, 512)


def beyond_the_end(_made: Disc) -> bytes:
    return al(components(b"\3a", b"1"), more=True) + ce(1 << 30, 0, 2048)


def longer_than_the_disc(made: Disc) -> bytes:
    first = al(components(b"\3a", b"1"), more=True) + als(b"\1\xff" * 600)
    return ce(made.store(first), 0, 900_000)


@pytest.mark.parametrize(
    ("damage", "found", "reason"),
    [
        (too_long, {}, "too many bytes of system use entries"),
        (too_many_areas, {b"user.a": b"1"}, f"more than {limits.ATTRIBUTE_AREAS} continuation areas"),
        (loop, {b"user.a": b"1"}, "its continuation areas form a loop"),
        (beyond_the_end, {b"user.a": b"1"}, "its continuation area lies beyond the end of the disc"),
        (longer_than_the_disc, {}, "its continuation area lies beyond the end of the disc"),
    ],
)
def test_a_list_that_leads_nowhere(damage: Callable[[Disc], bytes], found: dict[bytes, bytes], reason: str) -> None:
    made = disc()
    made.root.file(b"A.;1", b"hello", system_use=rock(b"a") + damage(made))
    volume = made.open()
    assert list(tree(volume)) == [b"a"]
    assert of(volume, "a") == found
    assert f"A.;1: {reason}" in words(volume)
    assert volume.findings.harmful == (damage is beyond_the_end)


def test_the_files_of_a_hostile_disc_cost_what_they_hold() -> None:
    """All files name the same megabyte."""
    made = Disc(root_use=ROOT_USE, sectors=40)
    raw = als(component(b"\3a") + component(b"x" * 65_536) + component(b"\3b") + component(b"x" * 900_000))
    lead = ce(made.store(raw), 0, len(raw))
    for i in range(500):
        made.root.file(b"A%d.;1" % i, b"", system_use=rock(b"%d" % i) + lead)
    source = discs.MemorySource(made.build())
    volume = open_source(source)
    assert len(tree(volume)) == 500
    assert source.read_bytes < 1 << 20
    before = source.read_bytes
    assert list(of(volume, "7")) == [b"user.a"]
    for _ in range(100):  # one file's attributes are asked for one after the other
        volume.xattrs(find(volume, "7").inode)
    assert source.read_bytes - before < 1 << 21


def test_a_directory_that_its_parent_does_not_know_has_none_and_costs_no_more() -> None:
    """Its `..` names a directory of long records, none of which is its own; all of them name the same area."""
    made = disc(sectors=60)
    raw = b"".join(nm(b"x" * 200, 1) for _ in range(300))
    lead = ce(made.store(raw), 0, len(raw))
    other = made.folder(made.root, sectors=40, own_use=px(FOLDER), parent_use=px(FOLDER))
    for i in range(400):
        other.file(b"A%d.;1" % i, b"", system_use=rock(b"CL") + lead)
    child = made.folder(other, own_use=px(FOLDER) + als(components(b"\3a", b"1")), parent_use=px(FOLDER))
    for name, folder in ((b"OTHER", other), (b"CHILD", child)):
        use = rock(name.lower(), FOLDER)
        made.root.add(discs.record(name, folder.extent, folder.size, flags=discs.DIRECTORY, system_use=use))
    source = discs.MemorySource(made.build())
    volume = open_source(source)
    inode = find(volume, "child").inode
    before = source.read_bytes
    assert volume.xattrs(inode) == {b"user.a": b"1"}
    assert source.read_bytes - before < 2 << 20


def test_a_damaged_parent_costs_the_attributes_only() -> None:
    made = disc()
    gone = made.folder(made.root, own_use=px(FOLDER), parent_use=px(FOLDER))
    child = made.folder(gone, own_use=px(FOLDER), parent_use=px(FOLDER))
    use = rock(b"child", FOLDER)
    made.root.add(discs.record(b"C", child.extent, child.size, flags=discs.DIRECTORY, system_use=use))
    data = bytearray(made.build())
    data[gone.place + 2 : gone.place + 6] = b"\xff" * 4  # of the sizes that `.` tells
    data[gone.place + 10 : gone.place + 14] = b"\0" * 4
    volume = discs.open_bytes(bytes(data))
    assert dict(volume.xattrs(find(volume, "child").inode)) == {}


def test_a_number_that_leads_nowhere_is_an_error() -> None:
    volume = disc().open()
    for inode in (SECTOR * 17 + 1, 1 << 40, (1 << 40) + 1):
        with pytest.raises((StaleInode, ImageError)):
            volume.xattrs(inode)


# --- what the option tells ------------------------------------------------------------------------------------------

TOLD = View(xattr=True)


def told(volume: Iso9660, path: str) -> dict[str, str]:
    return {name.decode().removeprefix("user.isofs."): value.decode() for name, value in of(volume, path).items()}


def test_where_files_lie() -> None:
    made = Disc(rock=True)
    place = made.root.file(b"A.;1", b"x" * 5000, system_use=rock(b"a"))
    empty = made.root.file(b"E.;1", b"", system_use=rock(b"e"))
    folder = made.root.rock_directory(b"D", b"d")
    made.root.file(b"L.;1", b"", system_use=rock(b"l", LINK) + sl(discs.component(b"a")))
    volume = made.open(TOLD)
    block = find(volume, "a").inode  # its number says where its record is
    assert block == place + 1
    first = made.root.extent + 1
    assert told(volume, "a") == {"record": str(place), "lba": str(first), "extents": f"{first}+3"}
    assert told(volume, "e") == {"record": str(empty)}
    row = told(volume, "d")
    assert (row["lba"], row["extents"]) == (str(folder.extent), f"{folder.extent}+1")
    assert volume._record_at(int(row["record"])).identifier == b"D"  # type: ignore[union-attr]
    assert told(volume, "/")["record"] == str(made.root.place)
    assert told(volume, "l") == {}


def test_files_in_pieces() -> None:
    """Neighbours are told as one; of an interleaved file unit and gap are told."""
    made = Disc()
    blocks = [made.store(bytes(SECTOR)) for _ in range(9)]
    for extent, flags in ((blocks[0], 0x80), (blocks[1], 0x80), (blocks[4], 0)):
        made.root.add(discs.record(b"P.;1", extent, SECTOR if flags else 100, flags=flags))
    made.root.add(discs.record(b"I.;1", blocks[2], 3 * SECTOR, unit=1, gap=2))
    volume = made.open(TOLD)
    assert told(volume, "p")["extents"] == f"{blocks[0]}+2,{blocks[4]}+1"
    assert told(volume, "i")["extents"] == f"{blocks[2]}+3/1/2"


def test_small_blocks_are_counted_as_the_disc_does() -> None:
    made = Disc(block_size=512)
    made.root.file(b"A.;1", b"x" * 1000)
    volume = made.open(TOLD)
    assert told(volume, "a")["extents"] == f"{(made.root.place + SECTOR) // 512}+2"


def test_what_is_wrong_with_a_file() -> None:
    made = Disc(rock=True)
    made.root.file(b"A.;1", b"x", system_use=rock(b"a") + ce(1 << 30, 0, 200))
    made.root.file(b"B.;1", b"not compressed", system_use=rock(b"b") + discs.zf(99))
    made.root.file(b"C.;1", b"sound", system_use=rock(b"c"))
    volume = made.open(TOLD)
    assert told(volume, "a")["error"].splitlines() == [
        "a: system use entries of its record are lost; what its data is cannot be known",
        "A.;1: its continuation area lies beyond the end of the disc",
    ]
    assert "b: " in told(volume, "b")["error"]
    assert "error" not in told(volume, "c")


def test_what_the_disc_says_itself_is_not_taken_for_it() -> None:
    """A copy of a mount with the option has such attributes recorded."""
    made = disc()
    made.root.file(
        b"A.;1",
        b"",
        system_use=rock(b"a") + als(components(b"\3isofs.lba", b"77", b"\3isofs.error", b"none", b"\3a", b"1")),
    )
    assert of(made.open(), "a") == {b"user.isofs.lba": b"77", b"user.isofs.error": b"none", b"user.a": b"1"}
    assert set(of(made.open(TOLD), "a")) == {b"user.isofs.record", b"user.a"}


def test_a_list_of_pieces_that_is_too_long_is_left_out() -> None:
    made = Disc(sectors=300)
    block = made.store(bytes(SECTOR))
    count = 12_000
    for i in range(count):
        flags = 0x80 if i + 1 < count else 0
        made.root.add(discs.record(b"A.;1", block + 100_000 * (i % 2), SECTOR, flags=flags))
    assert set(told(made.open(TOLD), "a")) == {"record", "lba"}


def test_a_directory_as_the_root_has_its_own_attributes() -> None:
    made = disc()
    folder = made.folder(made.root, own_use=px(FOLDER), parent_use=px(FOLDER))
    use = rock(b"d", FOLDER) + als(components(b"\3d", b"2"))
    made.root.add(discs.record(b"D", folder.extent, folder.size, flags=discs.DIRECTORY, system_use=use))
    volume = subdirectory(made.open(), "d")
    assert (volume.has_xattrs, dict(volume.xattrs(ROOT))) == (True, {b"user.d": b"2"})
