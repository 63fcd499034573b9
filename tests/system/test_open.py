"""`isofs open`: images are mounted where nobody has to look for a place, shown, and gone when nobody uses them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from writers.discs import Disc
from writers.mounting import wait_until
from writers.room import USER, Room, furnished

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a room of its own")

RUNTIME: Final = "/disc/runtime"
ENVIRONMENT: Final = {"PATH": "/disc/bin:/usr/local/bin:/usr/bin:/bin", "XDG_RUNTIME_DIR": RUNTIME}


@pytest.fixture(scope="module")
def _room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with furnished(tmp_path_factory.mktemp("room")) as room:
        yield room


@pytest.fixture(params=[0, USER], ids=["root", "user"])
def user(request: pytest.FixtureRequest) -> int:
    """Who opens images."""
    number: int = request.param
    return number


@pytest.fixture
def room(_room: Room, user: int) -> Iterator[Room]:
    """A room with a runtime directory, two discs and an xdg-open that notes what it was called with."""
    try:
        _room.point("runtime", owner=user)
        _room.point("images", owner=user)
        program(_room, "xdg-open", 'printf "%s\\n" "$1" >>/disc/images/opened; ls "$1" >>/disc/images/opened')
        for name in ("my game, v1.iso", "other.iso"):
            write_disc(_room, name, name)
        yield _room
    finally:
        _room.clean()


def program(room: Room, name: str, text: str) -> None:
    """Puts a program where it is found first."""
    folder = room.outside("/disc/bin")
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def write_disc(room: Room, name: str, content: str) -> None:
    """A disc with one file, in place of the one that there is."""
    disc = Disc()
    disc.root.file(b"A.TXT;1", content.encode())
    new = room.outside("/disc/images/new")
    new.write_bytes(disc.build())
    new.replace(room.outside(f"/disc/images/{name}"))


def opens(room: Room, user: int, image: str, *options: str) -> str:
    """Opens an image of the room's; gives where it is mounted."""
    out = room.does("isofs", "open", *options, f"/disc/images/{image}", user=user, env=ENVIRONMENT)
    assert out.endswith("\n")
    return out[:-1]


def content(room: Room, user: int, where: str) -> str:
    """The content of the file of a mounted disc."""
    return room.does("cat", f"{where}/a.txt", user=user)


def test_an_image_is_mounted_and_shown(room: Room, user: int) -> None:
    where = opens(room, user, "my game, v1.iso")
    assert where == f"{RUNTIME}/isofs/my game, v1"
    assert content(room, user, where) == "my game, v1.iso"
    assert room.outside("/disc/images/opened").read_text() == f"{where}\na.txt\n"
    assert room.outside(f"{RUNTIME}/isofs").stat().st_mode & 0o777 == 0o700


def test_it_is_mounted_once_and_shown_again(room: Room, user: int) -> None:
    where = opens(room, user, "other.iso")
    assert opens(room, user, "other.iso") == where
    assert len(room.mounts()) == 1
    assert room.outside("/disc/images/opened").read_text() == f"{where}\na.txt\n" * 2


def test_two_clicks_at_once_make_one_mount(room: Room, user: int) -> None:
    again = "isofs open /disc/images/other.iso & isofs open /disc/images/other.iso; wait"
    out = room.does("sh", "-c", again, user=user, env=ENVIRONMENT)
    assert out == f"{RUNTIME}/isofs/other\n" * 2
    assert len(room.mounts()) == 1


def test_another_image_of_that_name_has_a_place_of_its_own(room: Room, user: int) -> None:
    where = opens(room, user, "other.iso")
    room.outside("/disc/images/folder").mkdir()
    write_disc(room, "folder/other.iso", "another")
    beside = opens(room, user, "folder/other.iso")
    assert (where, beside) == (f"{RUNTIME}/isofs/other", f"{RUNTIME}/isofs/other~2")
    assert (content(room, user, where), content(room, user, beside)) == ("other.iso", "another")
    assert opens(room, user, "folder/other.iso") == beside


def test_an_image_that_was_replaced_is_mounted_anew(room: Room, user: int) -> None:
    opens(room, user, "other.iso")
    write_disc(room, "other.iso", "newer")
    assert content(room, user, opens(room, user, "other.iso")) == "newer"


def test_other_options_make_another_mount(room: Room, user: int) -> None:
    opens(room, user, "other.iso")
    where = opens(room, user, "other.iso", "-o", "map=off")
    assert room.does("ls", where, user=user) == "A.TXT;1\n"


def test_options_may_be_empty(room: Room, user: int) -> None:
    """As a script leaves them that has none."""
    assert content(room, user, opens(room, user, "other.iso", "-o", "")) == "other.iso"


def test_it_goes_when_nobody_uses_it_and_leaves_nothing_for_long(room: Room, user: int) -> None:
    opens(room, user, "other.iso", "-o", "timeout=1s")
    room.all_gone()
    opens(room, user, "my game, v1.iso")
    left = os.listdir(room.outside(f"{RUNTIME}/isofs"))
    assert sorted(left) == [".my game, v1", "my game, v1"]


def test_in_place_of_a_dead_mount_comes_a_new_one(room: Room, user: int) -> None:
    where = opens(room, user, "other.iso")
    os.kill(room.daemon(), signal.SIGKILL)
    wait_until(lambda: not room.daemons(), "the daemon ends")
    assert opens(room, user, "other.iso") == where
    assert content(room, user, where) == "other.iso"


def test_without_xdg_open_it_is_mounted_and_the_remedy_is_told(room: Room, user: int) -> None:
    where = f"{RUNTIME}/isofs/other"
    for folder in ("/disc/bin/xdg-open", "/usr/bin/xdg-open"):
        room.outside(folder).unlink(missing_ok=True)
    code, out, said = room.run("isofs", "open", "/disc/images/other.iso", user=user, env=ENVIRONMENT)
    assert (code, out) == (2, f"{where}\n")
    assert said == f"isofs: {where}: mounted here, but xdg-open is not installed; install xdg-utils\n"
    assert content(room, user, where) == "other.iso"


def test_a_desktop_that_shows_nothing_is_told(room: Room, user: int) -> None:
    program(room, "xdg-open", "exit 3")
    where = f"{RUNTIME}/isofs/other"
    code, _, said = room.run("isofs", "open", "/disc/images/other.iso", user=user, env=ENVIRONMENT)
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith(f"isofs: {where}: mounted here, but xdg-open failed (exit code 3); install a file manager")


def test_what_the_desktop_file_runs_opens_an_image(room: Room, user: int) -> None:
    text = Path(__file__).resolve().parents[2].joinpath("desktop/isofs.desktop").read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith("Exec="))
    words = ["/disc/images/other.iso" if word == "%f" else word for word in line.removeprefix("Exec=").split()]
    assert words[0] == "/usr/bin/isofs"
    room.does("isofs", *words[1:], user=user, env=ENVIRONMENT)
    assert content(room, user, f"{RUNTIME}/isofs/other") == "other.iso"
