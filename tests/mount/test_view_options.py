"""The view and image options of `-o`: what the parser makes of them."""

from __future__ import annotations

import pytest

from isofs.errors import UsageError
from isofs.image.wishes import Wishes
from isofs.mount.options import Options, help_text, parse_options
from isofs.volume.tree import View


def view(text: str) -> View:
    return parse_options([text]).view


def refusal(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse_options([text])
    assert caught.value.remedy
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["hide", "showassoc", "cruft", "overriderockperm", "nocompress", "image", "norock", "nojoliet", "audio"]
)
def test_flags(name: str) -> None:
    assert view(name)._asdict() == {**View()._asdict(), name: True}
    assert "takes no value" in refusal(f"{name}=1")


def test_what_is_the_same_as_another_one() -> None:
    assert view("unhide") == View(showassoc=True)
    assert view("utf8") == View(iocharset="utf-8")
    assert view("iocharset=cp437,utf8") == View()
    assert view("utf8,iocharset=cp437") == View(iocharset="cp437")
    assert "takes no value" in refusal("unhide=1")
    assert "takes no value" in refusal("utf8=1")


@pytest.mark.parametrize("text", ["conv=binary", "conv=a", "conv"])
def test_conv_has_no_effect(text: str) -> None:
    assert parse_options([text]) == Options()


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("utf8", "utf-8"),
        ("UTF-8", "utf-8"),
        ("default", "utf-8"),
        ("iso8859-1", "iso8859-1"),
        ("iso8859-15", "iso8859-15"),
        ("cp437", "cp437"),
        ("cp936", "gbk"),
        ("koi8-r", "koi8-r"),
        ("euc-jp", "euc_jp"),
        ("sjis", "shift_jis"),
        ("ascii", "ascii"),
    ],
)
def test_charsets_have_the_kernels_names(text: str, codec: str) -> None:
    assert view(f"iocharset={text}") == View(iocharset=codec)


@pytest.mark.parametrize(
    "text",
    ["", "nosuch", "utf16", "utf-7", "cp037", "rot13", "idna", "hz", "iso2022_jp", "base64", "é", "x" * 999, "a\0b"],
)
def test_charsets_that_names_cannot_have_are_refused(text: str) -> None:
    assert refusal(f"iocharset={text}") == (
        f"option iocharset={text}: no charset that file names can have; write iocharset=utf8"
    )


@pytest.mark.parametrize("size", [512, 1024, 2048])
def test_block_sizes(size: int) -> None:
    assert view(f"block={size}") == View(block=size)


@pytest.mark.parametrize("text", ["", "0", "4096", "513", "1k", "0x200", "\u0665\u0661\u0662"])
def test_other_block_sizes_are_refused(text: str) -> None:
    assert "not a size of blocks; write block=512, block=1024 or block=2048" in refusal(f"block={text}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((f"tree={word}", View(tree=word)) for word in ("auto", "rock", "joliet", "primary", "enhanced")),
        ("tree=j", View(tree="joliet")),
        ("case=insensitive", View(case="insensitive")),
        ("case=lower", View(case="lower")),
        ("case=u", View(case="upper")),
        ("check=r", View(check="relaxed")),
        ("check=s", View(check="strict")),
        ("map=a", View(map="acorn")),
        ("subdir=a b/ü", View(subdir="a b/ü")),
        ('subdir="a,b=c"', View(subdir="a,b=c")),
    ],
)
def test_choices(text: str, expected: View) -> None:
    assert view(text) == expected


@pytest.mark.parametrize("text", ["tree=udf", "tree=", "case=mixed", "subdir="])
def test_what_is_no_choice_is_refused(text: str) -> None:
    assert f"option {text.rstrip('=')}" in refusal(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("session=0", Wishes(session=0)),
        ("session=98", Wishes(session=98)),
        ("session=last", Wishes(session="last")),
        ("sbsector=0", Wishes(sbsector=0)),
        ("sbsector=742,track=1", Wishes(sbsector=742, track=1)),
        ("shift=2147483647", Wishes(shift=(1 << 31) - 1)),
    ],
)
def test_places(text: str, expected: Wishes) -> None:
    assert parse_options([text]) == Options(wishes=expected)


@pytest.mark.parametrize("text", ["", "-1", "2147483648", "0x10", "9" * 5000, "1k", "\u0665"])
def test_what_is_no_sector_is_refused(text: str) -> None:
    for name in ("sbsector", "shift"):
        assert f"option {name}={text}: not a sector number" in refusal(f"{name}={text}")


def test_the_help_has_them() -> None:
    text = help_text()
    for word in ("unhide", "utf8", "subdir=PATH", "shift=N", "iocharset=CHARSET"):
        assert f"  {word}" in text
    assert "conv" not in text
