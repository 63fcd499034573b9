"""The mount helper's own words: who is one, what it takes, what it refuses. Nothing is mounted here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest
from writers.discs import Disc

from isofs.cli import HELPERS, main

PASSED_OVER: Final = (
    *("rw", "ro", "suid", "nosuid", "dev", "nodev", "exec", "async", "sync", "dirsync", "atime", "noatime", "relatime"),
    *("norelatime", "strictatime", "nostrictatime", "lazytime", "nolazytime", "diratime", "nodiratime", "nosymfollow"),
    *("defaults", "auto", "noauto", "user", "user=nobody", "nouser", "users", "owner", "group", "nofail", "_netdev"),
    *("comment=hi", "silent", "loud", "iversion", "noiversion", "mand", "nomand", "loop", "nonempty", "io_uring"),
    *("x-systemd.automount", "x-foo=1", "X-mount.mkdir", "x-gvfs-show", "default_permissions", "kernel_cache"),
    *("fsname=else", "subtype=else", "fd=3", "rootmode=40000", "user_id=0", "group_id=0"),
)
REFUSED: Final = (
    *("remount", "bind", "move", "shared", "rshared", "private", "slave", "unbindable"),
    *("max_read=4096", "blkdev", "blksize=512", "offset=2048", "debug", "drop_privileges"),
)
UNKNOWN: Final = (
    *("foo", "foo=bar", "large_read", "big_writes", "intr", "use_ino", "hard_remove", "modules=iconv", "splice_read"),
    *("async_read", "max_readahead=1", "max_background=1", "congestion_threshold=1", "readdirplus=yes", "RO", " ro"),
)


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, str]:
    """An image and a mount point."""
    disc = Disc()
    disc.root.file(b"FILE.;1", b"data")
    image, point = tmp_path / "disc.iso", tmp_path / "mnt"
    image.write_bytes(disc.build())
    point.mkdir()
    return str(image), str(point)


def said(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    """What a command line says, in one place and one line at most, when it ends with this code."""
    found = main(words)
    out, err = capsys.readouterr()
    assert found == code, err
    assert not (out and err)
    assert (out + err).count("\n") <= 1
    return (out + err).rstrip("\n")


@pytest.mark.parametrize("program", HELPERS)
def test_a_program_of_the_helpers_name_is_one(
    program: str, words: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [f"/sbin/{program}", *words, "-f", "-v", "-o", "ro"])
    assert main() == 0
    assert capsys.readouterr() == (f"isofs: {words[0]} would be mounted on {words[1]}\n", "")
    monkeypatch.setattr(sys, "argv", [f"/sbin/{program}"])
    assert main() == 1
    assert capsys.readouterr().err == (
        f"isofs: the following arguments are required: IMAGE, MOUNTPOINT; see {program} --help\n"
    )


@pytest.mark.parametrize(
    "flags",
    [["-n"], ["-s"], ["-r"], ["-w"], ["-t", "isofs.sub"], ["-snrv", "-o", "ro"], ["-o", "ro", "-o", "noexec"], []],
)
def test_flags_of_mount_8(flags: list[str], words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    expected = f"isofs: {words[0]} would be mounted on {words[1]}" if "-snrv" in flags else ""
    assert said(capsys, 0, *words, "-f", *flags) == expected


@pytest.mark.parametrize("option", PASSED_OVER)
def test_options_that_are_passed_over(option: str, words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, 0, *words, "-f", "-o", f"ro,{option},noexec") == ""


@pytest.mark.parametrize("option", REFUSED)
@pytest.mark.parametrize("flags", [(), ("-s",)])
def test_options_that_are_refused(
    option: str, flags: tuple[str, ...], words: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = said(capsys, 1, *words, "-f", *flags, "-o", f"ro,{option}")
    assert line.startswith(f"isofs: {words[0]}: option {option.partition('=')[0]} is not supported; ")


@pytest.mark.parametrize("option", UNKNOWN)
def test_unknown_options_are_refused_unless_sloppy(
    option: str, words: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = option.partition("=")[0]
    line = said(capsys, 1, *words, "-f", "-o", f"ro,{option}")
    assert line == f"isofs: {words[0]}: unknown option {name!r}; see isofs mount --help"
    assert said(capsys, 0, *words, "-f", "-s", "-o", f"ro,{option}") == ""
    assert said(capsys, 0, *words, "-f", "-o", f"sloppy,{option}") == ""


@pytest.mark.parametrize("option", ["clone_fd", "max_idle_threads", "max_threads"])
def test_options_without_effect_are_told(
    option: str, words: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = said(capsys, 0, *words, "-f", "-o", option)
    assert line == f"isofs: {words[0]}: warning: option {option} has no effect"


def test_another_namespace_is_refused(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    line = said(capsys, 1, *words, "-f", "-o", "rw", "-N", "/proc/1/ns/mnt")
    assert line.startswith(f"isofs: {words[0]}: mounting in another namespace (-N) is not supported; ")


def test_a_fake_mount_looks_at_the_image_and_the_mount_point(
    words: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    image, point = words
    assert said(capsys, 32, f"{image}x", point, "-f").startswith(f"isofs: {image}x: no such file or directory; ")
    assert said(capsys, 32, image, f"{point}x", "-f").startswith(f"isofs: {point}x: no mount point: ")
    assert said(capsys, 32, image, image, "-f") == f"isofs: {image}: no mount point: not a directory; name a directory"
    damaged = tmp_path / "damaged.iso"
    damaged.write_bytes(bytes(100_000))
    assert said(capsys, 32, str(damaged), point, "-f").startswith(f"isofs: {damaged}: ")


def test_more_words_than_two_are_wrong_use(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, 1, *words, "third", "-f") == "isofs: unrecognized arguments: third; see isofs --help"


def test_a_command_word_is_a_command(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """An image may have the name of one: it takes a path then."""
    assert said(capsys, 1, "umount", words[1]).startswith(f"isofs: {words[1]}: nothing is mounted here; ")
    assert said(capsys, 1, "nonsense").startswith("isofs: ")


def test_help_names_the_options(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mount.isofs", "--help"])
    assert main() == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: mount.isofs ")
    assert "cache=SIZE" in out
    assert err == ""
