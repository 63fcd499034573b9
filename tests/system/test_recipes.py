"""The recipes of the documents do what they say: each command is taken from there and run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from writers.containers import cso
from writers.mounting import LIMIT, Mounting, make_disc
from writers.tools import IN_PRIVATE, find, require

from isofs.mount.options import parse_options

RECIPES: Final = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
WRITABLE, SET, SYSTEMD, AUTOFS, NETWORK, CONTAINERS = (
    "A disc that can be written to",
    "Several discs of a set",
    "systemd",
    "autofs",
    "Images on a network share, or on another mount",
    "Containers",
)
ENDING_TOGETHER: Final = ("--pid", "--kill-child")
AS_ROOT: Final = (*IN_PRIVATE, *ENDING_TOGETHER)
AS_USER: Final = ("unshare", "--map-root-user", "--mount", *ENDING_TOGETHER)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")


def recipe(heading: str, number: int = 0) -> str:
    """The commands that stand below a heading."""
    section = re.split(r"(?m)^#+ ", RECIPES.split(f"# {heading}\n")[1])[0]
    return str(re.findall(r"(?s)```sh\n(.*?)```", section)[number])


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, str]:
    """An environment whose `isofs` is the one under test, whose `sudo` is not needed and `systemctl` does nothing."""
    shims = tmp_path / "bin"
    shims.mkdir()
    for name, does in (("isofs", f'{sys.executable} -m isofs "$@"'), ("sudo", '"$@"'), ("systemctl", "true")):
        (shims / name).write_text(f"#!/bin/sh\nexec {does}\n")
        (shims / name).chmod(0o755)
    return {**os.environ, "PATH": f"{shims}:{os.environ['PATH']}"}


def run(
    commands: str, images: Path, programs: dict[str, str], apart: tuple[str, ...], typed: str = ""
) -> tuple[int, str]:
    """Runs commands in a file system in memory that has the images, and types what they may ask for.

    Mounts are seen there only, and all that was started ends with the commands: exit code and output.
    """
    require("/dev/fuse")
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs namespaces: this user, or the root folder of this process, allows none")
    script = 'set -e; mount -t tmpfs -o mode=755 tmpfs /mnt; cp -R "$1/." /mnt; cd /mnt; eval "$2"'
    done = subprocess.run(
        [*apart, "sh", "-c", script, "sh", str(images), commands],
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=programs,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of a game and of a set of three discs, plain and as CSO, whose files nobody may write to."""
    folder = tmp_path_factory.mktemp("images")
    sources = tmp_path_factory.mktemp("sources")
    for name, files in {
        "game": {"readme.txt": "hello\n", "data/level": "one\n", "data/old": "old\n"},
        "game-cd1": {"first": "1\n", "data/one": "1\n", "same": "1\n"},
        "game-cd2": {"data/two": "2\n", "same": "2\n"},
        "game-cd3": {"data/three": "3\n"},
    }.items():
        source = sources / name
        for path, text in files.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text)
            (source / path).chmod(0o444)
        disc = make_disc(source, folder / f"{name}.iso")
        (folder / f"{name}.cso").write_bytes(cso(disc.read_bytes()))
    return folder


# --- writing --------------------------------------------------------------------------------------------------------

EDIT: Final = """
echo changed >writable/readme.txt
echo two >writable/data/new
rm writable/data/old
"""
LOOK: Final = """
for d in disc writable; do echo $d; (cd $d; find . -type f | sort | xargs grep .); done
"""
EDITED: Final = """\
disc
./data/level:one
./data/old:old
./readme.txt:hello
writable
./data/level:one
./data/new:two
./readme.txt:changed
"""


@as_root
def test_a_user_writes_to_a_disc_through_an_overlay(images: Path, programs: dict[str, str]) -> None:
    edit = f"setpriv --reuid=daemon --regid=daemon --clear-groups sh -ec '{EDIT}'"
    commands = recipe(WRITABLE).replace("alice", "daemon") + edit + LOOK
    assert run(commands, images, programs, AS_ROOT) == (0, EDITED)


@as_root
def test_without_its_options_the_overlay_is_not_for_users(images: Path, programs: dict[str, str]) -> None:
    edit = f"setpriv --reuid=daemon --regid=daemon --clear-groups sh -ec '{EDIT}'"
    bare, taken = re.subn(r"-o uid=\S+ game", "game", recipe(WRITABLE))
    code, said = run(bare.replace("alice", "daemon") + edit, images, programs, AS_ROOT)
    assert (taken, code != 0) == (1, True)
    assert "Permission denied" in said


def test_an_overlay_takes_no_root(images: Path, programs: dict[str, str]) -> None:
    assert run(recipe(WRITABLE, 1), images, programs, AS_USER, typed=EDIT + LOOK) == (0, EDITED)


@as_root
def test_discs_of_a_set_are_one_directory(images: Path, programs: dict[str, str]) -> None:
    look = "cd all; find . -type f | sort | xargs grep ."
    commands = recipe(SET) + "umount cd1 cd2 cd3\n" + recipe(SET, 1) + look
    merged = "./data/one:1\n./data/three:3\n./data/two:2\n./first:1\n./same:1\n"
    assert run(commands, images, programs, AS_ROOT) == (0, merged)


# --- places ---------------------------------------------------------------------------------------------------------


def test_an_image_in_an_image_is_mounted_from_there(images: Path, tmp_path: Path, programs: dict[str, str]) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    shutil.copy(images / "game.cso", inner / "inner.cso")
    (tmp_path / "outer").mkdir()
    make_disc(inner, tmp_path / "outer" / "outer.iso")
    look = "cat inner/readme.txt; isofs umount outer && exit 1; isofs umount inner"
    commands = "mkdir outer inner\n" + recipe(NETWORK, 1).replace("isofs umount inner", look)
    code, said = run(commands, tmp_path / "outer", programs, AS_USER)
    read, busy = said.splitlines()
    assert (code, read) == (0, "hello")
    assert busy.startswith("isofs: /mnt/outer: the mount is in use; "), "and is not, once the inner one has gone"


def test_a_user_mounts_in_a_namespace_without_any_help(images: Path, programs: dict[str, str]) -> None:
    commands = "mkdir disc\n" + recipe(CONTAINERS, 1) + 'ls disc; grep -c "$PWD/disc" /proc/self/mounts || true'
    assert run(commands, images, programs, AS_USER) == (0, "data\nreadme.txt\n0\n"), "seen in the inner one only"


def test_without_fuse_the_image_is_read_all_the_same(images: Path, programs: dict[str, str]) -> None:
    commands = recipe(CONTAINERS, 2).replace("/tmp/game", "copy")
    done = subprocess.run(
        ["sh", "-ec", f"{commands} cat copy/data/level"], cwd=images, env=programs, capture_output=True, check=True
    )
    assert done.stdout.endswith(b"hello\none\n")
    assert b"level" in done.stdout


# --- shelves --------------------------------------------------------------------------------------------------------

NAMES: Final = ("game", "my game", "a, b")


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with images, of which only the names count."""
    folder = tmp_path / "my shelf"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.cso").touch()
    return folder


def test_a_shelf_has_lines_of_fstab_that_mount_understands(
    shelf: Path, tmp_path: Path, programs: dict[str, str]
) -> None:
    commands = recipe(SYSTEMD)
    for there, here in (("/srv/images/*", f"'{shelf}'/*"), ("/etc/fstab", "fstab"), ("/discs", f"{tmp_path}/discs")):
        assert there in commands
        commands = commands.replace(there, here)
    subprocess.run(["sh", "-ec", commands], cwd=tmp_path, env=programs, stdout=subprocess.DEVNULL, check=True)
    words = ["findmnt", "--tab-file", str(tmp_path / "fstab"), "--raw", "--noheadings", "--output"]
    found = {
        column: subprocess.run([*words, column], capture_output=True, text=True, check=True).stdout.splitlines()
        for column in ("SOURCE", "TARGET", "FSTYPE", "OPTIONS")
    }
    shown = {column: [line.replace("\\x20", " ") for line in lines] for column, lines in found.items()}
    assert shown["SOURCE"] == [f"{shelf}/{name}.cso" for name in sorted(NAMES)]
    assert shown["TARGET"] == [f"{tmp_path}/discs/{name}" for name in sorted(NAMES)]
    assert all(os.path.isdir(point) for point in shown["TARGET"])
    assert shown["FSTYPE"] == ["isofs"] * 3
    for options in shown["OPTIONS"]:
        parse_options([options])


def test_the_map_of_autofs_finds_images_by_their_names(shelf: Path, tmp_path: Path) -> None:
    program = tmp_path / "auto.discs"
    program.write_text(recipe(AUTOFS).replace("/srv/images/", f"'{shelf}'/"))
    program.chmod(0o755)
    for name in NAMES:
        done = subprocess.run([program, name], capture_output=True, text=True, check=True)
        assert done.stdout == f'-fstype=isofs,ro ":{shelf}/{name}.cso"\n'
    missing = subprocess.run([program, "missing"], capture_output=True, check=False)
    assert (missing.returncode, missing.stdout) == (1, b"")


# --- neighbours -----------------------------------------------------------------------------------------------------

if find("updatedb"):  # of plocate: nothing else here needs it, so without it there is no test

    @pytest.mark.parametrize("pruned", [False, True])
    def test_locate_does_not_know_a_mounted_disc_if_told_so(
        images: Path, mounting: Mounting, tmp_path: Path, *, pruned: bool
    ) -> None:
        point = mounting.mount(images / "game.iso")
        (point.parent / "beside level").touch()
        said = re.search(r"(?m)^sudo sed -i '(.*)' /etc/updatedb.conf$", RECIPES)
        assert said
        line = subprocess.run(
            ["sed", said[1]], input='PRUNEFS="proc"\n', capture_output=True, text=True, check=True
        ).stdout
        kinds = line.removeprefix('PRUNEFS="').removesuffix('"\n') if pruned else "proc"
        words = ["updatedb", "-U", str(point.parent), "-l", "no", "-o", str(tmp_path / "names"), "--prunepaths", ""]
        subprocess.run([*words, "--prunefs", kinds], check=True, timeout=LIMIT)
        found = subprocess.run(["plocate", "-d", str(tmp_path / "names"), "level"], capture_output=True, check=True)
        assert b"beside level" in found.stdout
        assert (os.fsencode(point / "data/level") in found.stdout) != pruned


def test_options_in_the_recipes_are_options() -> None:
    given = re.findall(r"isofs mount -o (\S+)|(?m:^\S+ \S+ isofs (\S+) 0 0$)|`-o (\w+=?\w*)`", RECIPES)
    assert len(given) > 5
    for words in ("".join(group) for group in given):
        parse_options([words.replace("alice", "root")])
