"""The table of `-o` options and its parser."""

from __future__ import annotations

import os
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isofs import limits
from isofs.errors import UsageError
from isofs.mount.options import OPTIONS, Kind, Options, help_text, parse_options, shown_options
from isofs.volume.tree import View


def view(*texts: str) -> View:
    return parse_options(texts).view


def refusal(*texts: str) -> str:
    """The one line of the error."""
    with pytest.raises(UsageError) as caught:
        parse_options(texts)
    words = str(caught.value)
    assert "\n" not in words
    assert caught.value.remedy
    return words


# --- the table ------------------------------------------------------------------------------------------------------


def test_every_option_has_a_meaning_and_a_known_kind() -> None:
    for option in OPTIONS:
        assert option.meaning, option.name
        assert "\n" not in option.meaning
        assert option.kind in get_args(Kind)


def test_names_are_unique() -> None:
    names = [option.name for option in OPTIONS]
    assert sorted(names) == sorted(set(names))


def test_the_view_options_are_those_of_a_view() -> None:
    names = {option.name for option in OPTIONS if option.kind == "view"}
    assert names - {"umask"} == set(View._fields)


def test_every_option_with_a_value_has_a_parser() -> None:
    for option in OPTIONS:
        assert bool(option.value) == (option.parse is not None), option.name


def test_help_shows_what_a_person_chooses_from() -> None:
    text = help_text()
    for option in shown_options():
        assert f"  {option.name}" in text
        assert option.meaning in text
    assert "_netdev" not in text
    assert "remount" not in text


def test_the_default_in_the_help_is_the_default() -> None:
    defaults = {option.name: option.default for option in OPTIONS}
    assert int(defaults["cache"].removesuffix("M")) << 20 == parse_options([]).cache


# --- values ---------------------------------------------------------------------------------------------------------


def test_no_options_are_the_defaults() -> None:
    assert parse_options([]) == parse_options([""]) == parse_options([",,"]) == Options()


def test_flags() -> None:
    assert view("norock") == View(norock=True)
    assert view("nojoliet,norock") == View(norock=True, nojoliet=True)


def test_the_last_of_a_name_counts() -> None:
    assert view("uid=1,uid=2").uid == 2
    assert view("map=off", "map=acorn").map == "acorn"


def test_several_texts_are_one_list() -> None:
    assert parse_options(["norock", "uid=7,cache=8M"]) == Options(View(norock=True, uid=7), cache=8 << 20)


def test_owners_by_number() -> None:
    assert view("uid=0,gid=4294967294") == View(uid=0, gid=0xFFFF_FFFE)


def test_owners_by_name() -> None:
    assert view("uid=root,gid=root") == View(uid=0, gid=0)


@pytest.mark.parametrize("text", ["4294967295", "99999999999", "-1", "no such user here", "", "1.0", "a\0b", "\udc80"])
def test_owners_that_do_not_exist_are_refused(text: str) -> None:
    assert f"uid={text}: no such user" in refusal(f"uid={text}")
    assert f"gid={text}: no such group" in refusal(f"gid={text}")


@pytest.mark.parametrize(
    ("text", "mode"), [("0", 0), ("0644", 0o644), ("0o755", 0o755), ("00400", 0o400), ("04755", 0o755)]
)
def test_modes_are_octal(text: str, mode: int) -> None:
    assert view(f"mode={text},dmode={text}") == View(mode=mode, dmode=mode)


@pytest.mark.parametrize("text", ["644", "0888", "0x1ff", "", "rwx", "0o", "-01", "\u0660\u0667"])
def test_modes_without_a_leading_zero_are_refused(text: str) -> None:
    assert "not an octal number with a leading 0" in refusal(f"mode={text}")


def test_the_remedy_for_a_mode_is_the_mode_with_a_zero() -> None:
    assert refusal("mode=644").endswith("write mode=0644")
    assert refusal("dmode=755").endswith("write dmode=0755")


@pytest.mark.parametrize("text", ["644", "0888", "0x1ff", "", "rwx", "0o", "-01", "8", "\u0660\u0667"])
def test_what_the_remedy_for_a_mode_says_can_be_written(text: str) -> None:
    assert view(refusal(f"mode={text}").rpartition("write ")[2]).mode is not None


def test_umask_is_the_mask_of_files_and_directories() -> None:
    assert view("umask=027") == View(fmask=0o027, dmask=0o027)
    assert view("umask=22") == View(fmask=0o022, dmask=0o022)


@pytest.mark.parametrize("order", ["umask=077,fmask=0133", "fmask=0133,umask=077"])
def test_fmask_and_dmask_win_over_umask(order: str) -> None:
    assert view(order) == View(fmask=0o133, dmask=0o077)


def test_a_mask_of_zero_wins_over_umask_too() -> None:
    assert view("umask=077,dmask=0") == View(fmask=0o077, dmask=0)


@pytest.mark.parametrize("text", ["8", "0o22", "rwx", "", "-1", "1234567"])
def test_masks_that_are_not_octal_are_refused(text: str) -> None:
    assert "not an octal number" in refusal(f"umask={text}")


@pytest.mark.parametrize(
    ("text", "word"), [("normal", "normal"), ("n", "normal"), ("off", "off"), ("o", "off"), ("a", "acorn")]
)
def test_maps_may_be_shortened_as_in_the_kernel(text: str, word: str) -> None:
    assert view(f"map={text}").map == word


def test_checks() -> None:
    assert [view(f"check={text}").check for text in ("relaxed", "r", "strict", "s")] == [
        *("relaxed", "relaxed"),
        *("strict", "strict"),
    ]


@pytest.mark.parametrize("text", ["check=loose", "map=", "map=NORMAL", "map=nor"])
def test_other_words_are_refused(text: str) -> None:
    assert "not one of" in refusal(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1M", 1 << 20),
        ("64m", 64 << 20),
        ("64MB", 64 << 20),
        ("64MiB", 64 << 20),
        ("2G", 2 << 30),
        ("2048K", 2 << 20),
        ("1048576", 1 << 20),
        ("1048576B", 1 << 20),
    ],
)
def test_sizes_of_the_cache(text: str, size: int) -> None:
    assert parse_options([f"cache={text}"]).cache == size


@pytest.mark.parametrize("text", ["", "M", "1.5M", "-1M", "64X", "64 M", "1M1", "0x100000", "64\u212a", "9" * 5000])
def test_what_is_no_size_is_refused(text: str) -> None:
    """Among them a sign that is a K in lower case only, and more digits than Python turns into a number."""
    refusal(f"cache={text}")


@pytest.mark.parametrize("text", ["0", "1K", str(limits.CACHE_LEAST - 1)])
def test_a_cache_too_small_for_one_request_is_refused(text: str) -> None:
    assert "too small" in refusal(f"cache={text}")


def test_other_users_may_be_let_in() -> None:
    assert parse_options([]).allow_other is None
    assert parse_options(["allow_other"]).allow_other is True


# --- what is libfuse's, dropped, refused ----------------------------------------------------------------------------


def test_options_for_libfuse_are_handed_on() -> None:
    assert parse_options(["noexec,ro"]).libfuse == ("noexec",)


@pytest.mark.parametrize("option", [option.name for option in OPTIONS if option.kind == "dropped"])
def test_options_without_effect_are_accepted(option: str) -> None:
    assert parse_options([option]) == Options()


@pytest.mark.parametrize("text", ["suid", "dev", "rw", "suid,dev", "ro,rw,dev,suid"])
def test_nothing_can_switch_on_what_is_not_for_a_strangers_disc(text: str) -> None:
    """mount.fuse adds `dev,suid` to what root mounts."""
    assert parse_options([text]).libfuse == ()


@pytest.mark.parametrize(
    "text", ["x-systemd.automount", "x-gvfs-show", "X-mount.mkdir", "x-foo=bar", "user=joe", "user", "comment=hi", ""]
)
def test_options_for_others_are_passed_over(text: str) -> None:
    assert parse_options([f"norock,{text},uid=1"]) == Options(View(norock=True, uid=1))


def test_what_an_fstab_line_hands_over_is_accepted() -> None:
    text = "ro,noexec,nosuid,nodev,uid=1000,allow_other,user,nofail,_netdev"
    assert parse_options([text]) == Options(View(uid=1000), allow_other=True, libfuse=("noexec",))


@pytest.mark.parametrize("text", ["remount", "ro,remount,rw", "bind", "move", "max_read=4096", "max_read"])
def test_what_cannot_be_done_is_refused_with_what_to_do(text: str) -> None:
    assert "is not supported; " in refusal(text)


@pytest.mark.parametrize("text", ["nosuchoption", "NOROCK", "foo=bar", "norock norock", "max_readahead=1"])
def test_unknown_options_are_refused(text: str) -> None:
    name = text.partition("=")[0]
    assert refusal(text).startswith(f"unknown option {name!r}; ")


def test_a_flag_takes_no_value() -> None:
    assert refusal("norock=1") == "option 'norock=1': takes no value; write norock"
    assert "takes no value" in refusal("force=")


def test_an_option_with_a_value_needs_one() -> None:
    assert refusal("uid") == "option 'uid': needs a value; write uid=USER"


def test_a_line_feed_in_an_option_does_not_break_the_line() -> None:
    refusal("no\nsuch")
    refusal("norock=\n")


def test_sloppy_passes_over_unknown_options_only() -> None:
    assert parse_options(["sloppy,nosuchoption,uid=1,foo=bar"]) == Options(View(uid=1))
    assert "no such user" in refusal("sloppy,uid=no such user here")
    assert "is not supported" in refusal("sloppy,remount")


@pytest.mark.parametrize("text", ["clone_fd", "max_threads=4"])
def test_options_about_other_loops_are_told_to_have_no_effect(text: str) -> None:
    assert parse_options([text]).unused == (text.partition("=")[0],)


def test_root_alone_may_be_let_in() -> None:
    options = parse_options(["allow_root"])
    assert (options.allow_other, options.libfuse) == (False, ("allow_root",))
    assert "exclude each other" in refusal("allow_root,allow_other")


def test_commas_within_quotes_belong_to_a_value() -> None:
    assert parse_options(['parent="a, b.chd",uid=1']).wishes.parent == "a, b.chd"
    assert parse_options(['context="system_u:object_r:removable_t:s0:c1,c2"']).libfuse == (
        "context=system_u:object_r:removable_t:s0:c1,c2",
    )


@pytest.mark.parametrize("text", ["", "a b", "x\\,suid", "é"])
def test_only_a_context_goes_to_libfuse_as_one(text: str) -> None:
    assert "not a context" in refusal(f'context="{text}"')


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5), ("0.5s", 0.5), ("30sec", 30), ("5m", 300), ("2min", 120), ("1h", 3600), ("0", 0)]
)
def test_times(text: str, seconds: float) -> None:
    options = parse_options([f"timeout={text},attr_timeout={text},entry_timeout={text}"])
    assert (options.timeout, options.attr_timeout, options.entry_timeout) == (seconds, seconds, seconds)


@pytest.mark.parametrize("text", ["", "s", "1d", "-1", "5 m", "1e9", "inf", "nan", "\u0665", "9" * 5000])
def test_what_is_no_time_is_refused(text: str) -> None:
    assert "not a time" in refusal(f"timeout={text}")


def test_whoever_serves_must_exist() -> None:
    assert parse_options(["setuid=nobody"]).setuid == "nobody"
    assert parse_options(["setuid=0"]).setuid == "root"
    assert "no such user" in refusal("setuid=nobody here")


# --- any text -------------------------------------------------------------------------------------------------------

LIBFUSE = {option.name for option in OPTIONS if option.kind == "libfuse"}
NAMES = st.sampled_from([option.name for option in OPTIONS])
WORDS = st.one_of(
    st.text(),
    NAMES,
    st.builds("{}={}".format, NAMES, st.text()),
    st.builds("{}={}".format, NAMES, st.from_regex(r"[0-9a-zKMGiB\u212a]{0,12}", fullmatch=True)),
)


def parsed_or_refused(texts: list[str]) -> Options | None:
    """The options; None where the error says what is wrong and what to do."""
    try:
        return parse_options(texts)
    except UsageError as refused:
        error = refused
    assert error.reason
    assert error.remedy
    return None


@example(["cache=64\u212a"])
@example(["cache=" + "9" * 5000])
@example(["uid=\ud800"])
@given(st.lists(WORDS))
def test_any_text_gives_options_or_an_error_of_ours(texts: list[str]) -> None:
    parsed = parsed_or_refused(texts)
    if parsed is not None:
        assert parsed.cache >= limits.CACHE_LEAST
        for option in parsed.libfuse:
            assert option.partition("=")[0] in LIBFUSE
        for mode in (parsed.view.mode or 0, parsed.view.dmode or 0, parsed.view.fmask, parsed.view.dmask):
            assert 0 <= mode <= 0o777


@given(st.binary())
def test_bytes_of_a_command_line_give_options_or_an_error_of_ours(raw: bytes) -> None:
    parsed = parsed_or_refused([os.fsdecode(raw)])
    assert parsed is None or isinstance(parsed, Options)


# --- options of speed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "threads"), [("0", 0), ("1", 1), ("64", 64)])
def test_number_of_threads(text: str, threads: int) -> None:
    assert parse_options([f"threads={text}"]).threads == threads


@pytest.mark.parametrize("text", ["", "-1", "65", "two", "1.5", "\u0663", "9" * 5000])
def test_numbers_of_threads_that_cannot_be(text: str) -> None:
    refusal(f"threads={text}")


@pytest.mark.parametrize(("text", "size"), [("1K", 1 << 10), ("128K", 128 << 10), ("1M", 1 << 20), ("64M", 64 << 20)])
def test_sizes_of_the_read_ahead(text: str, size: int) -> None:
    assert parse_options([f"readahead={text}"]).readahead == size


@pytest.mark.parametrize("text", ["", "0", "1023", "65M", "much"])
def test_sizes_of_the_read_ahead_that_cannot_be(text: str) -> None:
    refusal(f"readahead={text}")


def test_the_wait_is_awake_unless_told_otherwise() -> None:
    assert parse_options([]).spin
    assert not parse_options(["nospin"]).spin
