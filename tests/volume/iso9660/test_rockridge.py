"""What the Rock Ridge entries of one record say."""

from __future__ import annotations

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from writers.discs import FILE, TIME, TIME_NS, cl, component, entry, nm, pl, pn, px, relocated, sl, tf, zf

from isofs.errors import ImageError
from isofs.volume.iso9660.rockridge import RockRidge, Zisofs, link_target, parse

CONTINUE, CURRENT, PARENT, ROOT, VOLUME_ROOT, HOST = 1, 2, 4, 8, 16, 32


def read(*raw: bytes) -> RockRidge:
    found, damage = read_all(*raw)
    assert not damage
    return found


def read_all(*raw: bytes) -> tuple[RockRidge, list[str]]:
    damage: list[str] = []
    return parse([(piece[:2], piece) for piece in raw], damage.append), damage


def test_without_entries_nothing_is_known() -> None:
    found = read()
    assert found.name is None
    assert found.mode is None
    assert found.serial is None
    assert found.child is None
    assert found.parent is None
    assert found.zisofs is None
    assert found.sparse_size is None
    assert found.rdev == 0
    assert not found.relocated


# --- PX -------------------------------------------------------------------------------------------------------------


def test_px_of_36_bytes_has_no_serial_number() -> None:
    found = read(px(0o104755, 3, 1000, 100))
    assert (found.mode, found.nlink, found.uid, found.gid) == (0o104755, 3, 1000, 100)
    assert found.serial is None


def test_px_of_44_bytes_has_a_serial_number() -> None:
    found = read(px(0o100600, 2, 0xFFFFFFFE, 0xFFFFFFFF, serial=77))
    assert (found.uid, found.gid, found.serial) == (0xFFFFFFFE, 0xFFFFFFFF, 77)


def test_the_little_endian_half_of_px_counts() -> None:
    raw = bytearray(px(FILE, 1, 1000))
    raw[24:28] = b"\xff\xff\xff\xff"
    assert read(bytes(raw)).uid == 1000


@pytest.mark.parametrize("kind", [stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO])
def test_every_type_of_linux_is_known(kind: int) -> None:
    assert read(px(kind | 0o640)).mode == kind | 0o640


@pytest.mark.parametrize("mode", [0, 0o644, 0o170000, 0o150644, 0o030644])
def test_an_unknown_type_counts_as_not_recorded(mode: int) -> None:
    found, damage = read_all(px(mode))
    assert found.mode is None
    assert len(damage) == 1


@pytest.mark.parametrize(
    ("raw", "attribute"),
    [
        (px(FILE)[:35], "mode"),
        (pn(1, 2)[:19], "device"),
        (cl(5)[:11], "child"),
        (pl(5)[:11], "parent"),
        (zf(1)[:15], "zisofs"),
        (entry(b"SF", bytes(7)), "sparse_size"),
        (entry(b"TF"), "modified"),
        (entry(b"NM"), "name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_entry_too_short_for_its_fields_counts_as_absent(raw: bytes, attribute: str) -> None:
    found, damage = read_all(raw)
    assert getattr(found, attribute) is None
    assert damage or attribute == "name"


# --- PN -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("high", "low", "major", "minor"),
    [
        (0, 0, 0, 0),
        (5, 1, 5, 1),
        (0x103, 0x12C, 259, 300),
        (0, 0x501, 5, 1),
        (0, 0x0011032C, 259, 300),
        (0, 255, 0, 255),
        (1, 300, 1, 300),
    ],
)
def test_device_numbers_come_in_two_words_or_in_one(high: int, low: int, major: int, minor: int) -> None:
    assert read(pn(high, low)).rdev == os.makedev(major, minor)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_any_device_number_fits(high: int, low: int) -> None:
    assert 0 <= read(pn(high, low)).rdev < 1 << 64


# --- NM -------------------------------------------------------------------------------------------------------------


def test_the_pieces_of_a_name_are_joined() -> None:
    assert read(nm(b"one ", 1), nm(b"two ", 1), nm(b"three")).name == b"one two three"


@pytest.mark.parametrize("flag", [2, 4, 6])
def test_a_name_that_stands_for_another_directory_is_none(flag: int) -> None:
    assert read(nm(b"", flag)).name is None


def test_nothing_behind_a_nul_belongs_to_a_name() -> None:
    assert read(nm(b"nul\0tail")).name == b"nul"


def test_a_name_is_bytes_as_recorded() -> None:
    assert read(nm(b"semi;1 \xff\x01 A.")).name == b"semi;1 \xff\x01 A."


def test_an_empty_name_is_recorded_as_empty() -> None:
    assert not read(nm(b"")).name


def test_a_name_is_bounded() -> None:
    name = read(*[nm(b"n" * 200, 1)] * 30).name
    assert name is not None
    assert set(name) == {ord("n")}
    assert 255 < len(name) <= 1024


# --- SL -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("links", "target"),
    [
        ([sl(component(b"a"), component(flags=PARENT), component(flags=CURRENT), component(b"b"))], b"a/.././b"),
        ([sl(component(flags=ROOT), component(b"usr"))], b"/usr"),
        ([sl(component(flags=ROOT))], b"/"),
        ([sl(component(b"lo", CONTINUE), component(b"ng"), component(b"x"))], b"long/x"),
        ([sl(component(b"first"), flags=1), sl(component(b"second"))], b"first/second"),
        ([sl(component(b"fir", CONTINUE), flags=1), sl(component(b"st"))], b"first"),
        ([sl(component(flags=ROOT), flags=1), sl(component(b"usr"))], b"/usr"),
        ([sl(component(flags=VOLUME_ROOT), component(b"x"))], b"/x"),
        ([sl(component(flags=HOST), component(b"x"))], b"/x"),
        ([sl(component(b"a/b"))], b"a/b"),
        ([sl(component(flags=PARENT))], b".."),
        ([sl(component(flags=CURRENT))], b"."),
        ([sl(component(flags=PARENT), component(flags=PARENT), component(b"up"))], b"../../up"),
        ([sl(component(b"nul\0tail"), component(b"x"))], b"nul/x"),
        ([sl(component(b"whole")), sl(component(b"two"))], b"whole/two"),
    ],
)
def test_targets_are_joined_as_linux_joins_them(links: list[bytes], target: bytes) -> None:
    assert link_target(links) == target
    assert read(*links).target() == target


def test_a_component_that_overruns_its_entry_makes_the_target_unreadable() -> None:
    with pytest.raises(ImageError, match="overruns"):
        link_target([sl(component(b"abc", length=200))])


@pytest.mark.parametrize("links", [[], [sl()], [sl(component(b""))]])
def test_a_link_without_a_target_cannot_be_read(links: list[bytes]) -> None:
    with pytest.raises(ImageError, match="no target"):
        link_target(links)


def test_a_target_has_4095_bytes_at_most() -> None:
    fitting = [sl(component(b"z" * 240, CONTINUE), flags=1)] * 17 + [sl(component(b"y" * 15))]
    assert link_target(fitting) == b"z" * 4080 + b"y" * 15
    with pytest.raises(ImageError, match="longer than 4095"):
        link_target([*fitting[:-1], sl(component(b"y" * 16))])


def test_a_target_whose_next_entry_is_missing_cannot_be_read() -> None:
    """SL says that it goes on: half a target is not the target."""
    with pytest.raises(ImageError):
        link_target([sl(component(b"first"), flags=1)])


def test_a_target_whose_component_goes_on_nowhere_cannot_be_read() -> None:
    with pytest.raises(ImageError):
        link_target([sl(component(b"fir", CONTINUE))])


@given(st.lists(st.binary(max_size=250), max_size=40))
def test_any_components_give_a_bounded_target_or_an_error(payloads: list[bytes]) -> None:
    try:
        target = link_target([entry(b"SL", b"\0" + payload) for payload in payloads])
    except ImageError:
        return
    assert 0 < len(target) <= 4095
    assert b"\0" not in target


# --- TF -------------------------------------------------------------------------------------------------------------

SHORT = [bytes((100 + i, 1, 1, 0, 0, 0, 0)) for i in range(7)]
LONG = [b"200%d010100000000\0" % i for i in range(7)]
NEW_YEAR = [946_684_800, 978_307_200, 1_009_843_200, 1_041_379_200]
"""The first seconds of 2000 to 2003."""


@pytest.mark.parametrize(("stamps", "flag"), [(SHORT, 0), (LONG, 0x80)], ids=["short", "long"])
def test_the_four_times_come_in_their_order(stamps: list[bytes], flag: int) -> None:
    found = read(tf(0x0F | flag, *stamps[:4]))
    # creation, modification, access, attributes; creation is told by nothing in stat(2)
    seconds = [(time or 0) // 1_000_000_000 for time in (found.modified, found.accessed, found.changed)]
    assert seconds == NEW_YEAR[1:]


def test_the_other_times_are_passed_over() -> None:
    found = read(tf(0x7F, *SHORT))
    assert found.accessed == NEW_YEAR[2] * 1_000_000_000


def test_only_the_flagged_times_are_there() -> None:
    found = read(tf(0x04, TIME))
    assert (found.modified, found.accessed, found.changed) == (None, TIME_NS, None)


def test_creation_stands_for_the_time_of_attributes_where_that_is_missing() -> None:
    assert read(tf(0x01, TIME)).changed == TIME_NS
    assert read(tf(0x01, TIME), tf(0x08, SHORT[0])).changed == NEW_YEAR[0] * 1_000_000_000


def test_fewer_times_than_flags_give_those_that_are_there() -> None:
    found = read(tf(0x0E, TIME, SHORT[0][:6]))
    assert (found.modified, found.accessed, found.changed) == (TIME_NS, None, None)


def test_an_impossible_time_counts_as_not_recorded() -> None:
    assert read(tf(0x02, bytes(7))).modified is None


# --- CL, PL, RE, ZF, SF, RR -----------------------------------------------------------------------------------------


def test_relocation_is_told_by_three_entries() -> None:
    assert read(cl(1234)).child == 1234
    assert read(pl(4321)).parent == 4321
    assert read(relocated()).relocated


@pytest.mark.parametrize("signature", [b"ZF", b"Z2"])
def test_zisofs_of_both_versions(signature: bytes) -> None:
    assert read(zf(400_000)).zisofs == Zisofs(b"pz", 16, 15, 400_000)
    second = zf(1 << 40, log2=17, header=24, algorithm=b"XZ", signature=signature)
    assert read(second).zisofs == Zisofs(b"XZ", 24, 17, 1 << 40)


@pytest.mark.parametrize(
    ("raw", "size"),
    [
        (entry(b"SF", (1).to_bytes(4, "little") + bytes(4) + (5).to_bytes(4, "little") + bytes(4) + b"\1"), 2**32 + 5),
        (entry(b"SF", (9).to_bytes(4, "little") + bytes(4)), 9),
    ],
)
def test_a_sparse_file_tells_its_size(raw: bytes, size: int) -> None:
    assert read(raw).sparse_size == size


def test_rr_hides_nothing() -> None:
    assert read(entry(b"RR", b"\0"), nm(b"name")).name == b"name"


@pytest.mark.parametrize("signature", [b"QQ", b"AA", b"AS", b"\xff\xff", b"SP", b"ES"])
def test_unknown_entries_are_passed_over(signature: bytes) -> None:
    assert read(entry(signature, b"\1\2\3"), nm(b"name")).name == b"name"


SIGNATURES = st.sampled_from(b"PX PN SL NM CL PL RE TF SF ZF Z2 RR QQ".split())


@given(st.lists(st.tuples(SIGNATURES, st.binary(max_size=60)), max_size=10))
def test_any_entries_are_read_or_passed_over(raw: list[tuple[bytes, bytes]]) -> None:
    found, _ = read_all(*(entry(signature, payload) for signature, payload in raw))
    assert found.mode is None or stat.S_IFMT(found.mode)
    assert found.rdev >= 0
    assert len(found.name or b"") <= 1024
