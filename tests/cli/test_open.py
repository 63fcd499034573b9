"""`isofs open` before anything is mounted: names, its directory, and errors where nobody sees a terminal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from writers.mounting import command, fails, isofs, on_terminal

from isofs.cli import open as opening

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's runtime directory."""
    path = tmp_path / "runtime"
    path.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    return path


@pytest.fixture
def notices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the words of what was shown on the desktop, one a line."""
    programs = tmp_path / "programs"
    programs.mkdir()
    shown = tmp_path / "shown"
    shown.touch()
    program = programs / "notify-send"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >>'{shown}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return shown


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("/srv/game.iso", "game"),
        ("my game, v1.2.cso", "my game, v1.2"),
        ("archive.iso.gz", "archive.iso"),
        ("nothing", "nothing"),
        (".hidden.iso", "hidden"),
        (" . ..iso", "disc"),
        ("a\nb\x1b[31m.iso", "a_b_[31m"),
        (os.fsdecode(b"caf\xe9.iso"), "caf_"),
        ("é" * 120 + ".iso", "é" * 100),
    ],
)
def test_a_mount_is_named_after_its_image(runtime: Path, image: str, name: str) -> None:
    assert opening._make(str(runtime), image) == name
    assert os.listdir(runtime) == [name]


def test_a_name_that_is_taken_gets_a_number(runtime: Path) -> None:
    assert [opening._make(str(runtime), f"/{i}/disc.iso") for i in range(3)] == ["disc", "disc~2", "disc~3"]


def test_a_file_is_told_from_others_and_from_what_it_was(tmp_path: Path) -> None:
    image = tmp_path / "disc.iso"
    image.write_bytes(b"one")
    other = tmp_path / "other.iso"
    other.write_bytes(b"one")
    keys = [opening._key(str(image), ["norock"]), opening._key(str(other), ["norock"]), opening._key(str(image), [])]
    os.utime(image, ns=(0, 0))
    keys.append(opening._key(str(image), ["norock"]))
    other.replace(image)
    os.utime(image, ns=(0, 0))
    keys.append(opening._key(str(image), ["norock"]))
    assert len(set(keys)) == len(keys)
    link = tmp_path / "link.iso"
    link.symlink_to(image)
    assert opening._key(str(link), ["norock"]) == keys[-1]


def test_what_ended_mounts_have_left_is_removed_and_nothing_else(runtime: Path) -> None:
    (runtime / "ended").mkdir()
    (runtime / ".ended").symlink_to("key")
    (runtime / "full").mkdir()
    (runtime / "full" / "file").touch()
    (runtime / ".full").symlink_to("key")
    (runtime / ".strange").mkdir()
    opening._clear(str(runtime))
    assert sorted(os.listdir(runtime)) == [".full", ".strange", "full"]


def test_an_image_that_cannot_be_mounted_leaves_nothing(runtime: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.iso"
    text.write_text("no disc" * 1000)
    assert fails(32, "open", text).startswith(f"{text}: not a disc image")
    assert os.listdir(runtime / "isofs") == []


def test_a_missing_image_is_one_line(tmp_path: Path) -> None:
    said = fails(32, "open", tmp_path / "missing.iso")
    assert said == f"{tmp_path}/missing.iso: no such file or directory; check the image's name"


def test_a_wrong_option_is_one_line(tmp_path: Path, runtime: Path) -> None:
    (tmp_path / "disc.iso").touch()
    assert "unknown option 'nonsense'" in fails(1, "open", "-o", "nonsense", tmp_path / "disc.iso")
    assert os.listdir(runtime / "isofs") == []


def test_without_a_runtime_directory_the_remedy_is_told(tmp_path: Path) -> None:
    (tmp_path / "disc.iso").touch()
    done = isofs("open", tmp_path / "disc.iso", env={"XDG_RUNTIME_DIR": str(tmp_path / "missing")})
    assert done.returncode == 1
    assert done.stderr.decode() == (
        f"isofs: {tmp_path}/missing: no runtime directory (XDG_RUNTIME_DIR): no such file or directory; "
        "log in to a desktop, or choose a directory: isofs mount IMAGE DIRECTORY\n"
    )


@as_root
def test_a_runtime_directory_of_another_user_is_refused(tmp_path: Path, runtime: Path) -> None:
    (tmp_path / "disc.iso").touch()
    os.chown(runtime, 12345, 12345)
    assert "this runtime directory (XDG_RUNTIME_DIR) is not yours alone" in fails(1, "open", tmp_path / "disc.iso")


def test_a_runtime_directory_where_others_can_write_is_refused(tmp_path: Path, runtime: Path) -> None:
    (tmp_path / "disc.iso").touch()
    runtime.chmod(0o1777)
    assert "this runtime directory (XDG_RUNTIME_DIR) is not yours alone" in fails(1, "open", tmp_path / "disc.iso")


def test_without_a_terminal_an_error_is_shown_on_the_desktop(tmp_path: Path, notices: Path) -> None:
    image = tmp_path / "<b>&\n.iso"
    fails(32, "open", image)
    title, words = notices.read_text().splitlines()[-2:]
    assert title == "isofs"
    assert words == f"{tmp_path}/&lt;b&gt;&amp;\\x0a.iso: no such file or directory; check the image's name"


def test_on_a_terminal_an_error_is_not_shown_on_the_desktop(tmp_path: Path, notices: Path) -> None:
    code, said = on_terminal(command("open", tmp_path / "missing.iso"))
    assert (code, b"no such file or directory" in said) == (32, True)
    assert notices.read_text() == ""
