"""Identifiers on the disc -> names that Linux can show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from writers.discs import utf16

from isofs.volume.iso9660.names import folded, joliet, map_acorn, map_normal, showable


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        (b"NODOT;1", b"nodot"),
        (b"DOTEND.;1", b"dotend"),
        (b"lower.txt;1", b"lower.txt"),
        (b"NOVER.TXT", b"nover.txt"),
        (b"SLASH/X.;1", b"slash.x"),
        (b"\xe9T\xe9.TXT;1", b"\xe9t\xe9.txt"),
        (b"VER.TXT;3", b"ver.txt.3"),
        (b"TWO.;2", b"two..2"),
        (b"A;1;1", b"a.1"),
        (b"A;B.C;12", b"a.b.c.12"),
        (b"NUL\0X.;1", b"nul"),
        (b"BACK\\S.;1", b"back\\s"),
        (b"@[`{", b"@[`{"),
        (b"README.TXT;1", b"readme.txt"),
        (b"A.", b"a."),
        (b";1", b""),
        (b".;1", b""),
        (b"1", b"1"),
    ],
)
def test_plain_names_are_those_of_linux(identifier: bytes, name: bytes) -> None:
    assert map_normal(identifier) == name


def acorn(load: int = 0, attributes: int = 0) -> bytes:
    return b"ARCHIMEDES" + load.to_bytes(4, "little") + bytes(4) + attributes.to_bytes(4, "little") + bytes(10)


@pytest.mark.parametrize(
    ("identifier", "system_use", "name"),
    [
        (b"FILE.;1", acorn(load=0xFFFABC12), b"file,abc"),
        (b"FILE.;1", acorn(load=0xFFF00012), b"file,000"),
        (b"FILE.;1", acorn(load=0xFF0ABC12), b"file"),
        (b"FILE.;1", acorn(load=0x00FABC12), b"file"),
        (b"_BOOT.;1", acorn(attributes=0x100), b"!boot"),
        (b"_BOOT.;1", acorn(attributes=0x001), b"_boot"),
        (b"ABOOT.;1", acorn(attributes=0x100), b"aboot"),
        (b"_BOOT.;1", acorn(load=0xFFFEB412, attributes=0x100), b"!boot,eb4"),
        (b"FILE.;1", acorn(load=0xFFFABC12)[:-1], b"file"),
        (b"FILE.;1", acorn(load=0xFFFABC12) + b"\0\0", b"file"),
        (b"FILE.;1", b"", b"file"),
    ],
)
def test_acorn_names_carry_their_file_type(identifier: bytes, system_use: bytes, name: bytes) -> None:
    assert map_acorn(identifier, system_use) == name


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("plain.txt", "plain.txt"),
        ("Burner.txt;1", "Burner.txt"),
        ("dots...;1", "dots"),
        ("dots...", "dots"),
        ("two.;2", "two.;2"),
        ("semi;x;1", "semi;x"),
        ("semi;1;1", "semi;1"),
        ("Grüße 漢字.txt", "Grüße 漢字.txt"),
        ("face \U0001f600.txt", "face \U0001f600.txt"),
        ("cut\0off", "cut"),
        (".", "."),
    ],
)
def test_joliet_names_are_those_of_linux(identifier: str, name: str) -> None:
    assert joliet(utf16(identifier)) == name.encode()


@pytest.mark.parametrize("broken", [b"\xd8\x00\x00a", b"\xdc\x00\x00a"])
def test_an_unpaired_surrogate_costs_itself(broken: bytes) -> None:
    shown = joliet(b"\0x" + broken + b"\0z").decode()
    assert shown.startswith("x")
    assert shown.endswith("z")
    assert "\ufffd" in shown


def test_an_odd_byte_at_the_end_of_a_joliet_name_is_dropped() -> None:
    assert joliet(utf16("odd") + b"\0") == b"odd"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"a/b", b"a_b"),
        (b"../../etc/passwd", b".._.._etc_passwd"),
        (b"/abs", b"_abs"),
        (b"nul\0tail", b"nul"),
        (b"\0", b""),
        (b"", b""),
        (b".", b""),
        (b"..", b""),
        (b".\0x", b""),
        (b"...", b"..."),
        (b".hidden", b".hidden"),
        (b"semi;1", b"semi;1"),
        (b"\xff\x01\n", b"\xff\x01\n"),
        (b"n" * 255, b"n" * 255),
    ],
)
def test_what_no_name_may_hold_is_replaced(name: bytes, shown: bytes) -> None:
    assert showable(name) == shown


@pytest.mark.parametrize("character", ["n", "ü", "漢", "\U0001f600"])
@pytest.mark.parametrize("offset", range(4))
def test_a_name_that_is_too_long_is_cut_between_characters(character: str, offset: int) -> None:
    long = ("x" * offset + character * 256).encode()
    shown = showable(long)
    assert 246 < len(shown) <= 255
    text = shown.decode()  # fails in the middle of a character
    assert long.decode().startswith(text[:-5])
    assert text[-5] == "~"
    assert len(text[-4:].encode()) == 4
    assert int(text[-4:], 16) >= 0


def test_names_that_differ_behind_the_cut_stay_different() -> None:
    assert showable(b"n" * 300 + b"a") != showable(b"n" * 300 + b"b")


@given(st.binary(max_size=1200))
def test_any_bytes_become_a_name_that_linux_takes(name: bytes) -> None:
    shown = showable(name)
    assert len(shown) <= 255
    assert b"/" not in shown
    assert b"\0" not in shown
    assert shown not in (b".", b"..")


@given(st.binary(max_size=255))
def test_joliet_names_are_always_utf8_without_nul(identifier: bytes) -> None:
    name = joliet(identifier)
    assert name.decode().encode() == name
    assert b"\0" not in name


@given(st.binary(max_size=222))
def test_plain_names_are_lower_case_and_hold_no_slash(identifier: bytes) -> None:
    name = map_normal(identifier)
    assert len(name) <= len(identifier)
    assert not set(name) & set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ;/\0")


def test_relaxed_names_differ_in_ascii_case_only() -> None:
    assert folded(b"ReadMe.TXT", joliet=False) == folded(b"README.txt", joliet=False)
    assert folded("Ü".encode(), joliet=False) != folded("ü".encode(), joliet=False)
    assert folded(b"name.", joliet=False) != folded(b"name", joliet=False)


def test_relaxed_joliet_names_do_without_trailing_dots() -> None:
    assert folded(b"Name..", joliet=True) == folded(b"name", joliet=True)
    assert folded(b"...", joliet=True) != folded(b"", joliet=True)
