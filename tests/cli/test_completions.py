"""Completions: the shells offer what the command line takes. They are asked themselves."""

from __future__ import annotations

import importlib.util
import os
import pty
import select
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest
from writers.mounting import LIMIT
from writers.tools import require

from isofs.cli import COMMANDS
from isofs.mount.options import shown_options

REPOSITORY: Final = Path(__file__).resolve().parents[2]
SHELLS: Final = ("bash", "zsh", "fish")

# $1: the completions, $2: the line, the rest: the words that bash makes of it. The cursor is at the end.
ASK_BASH: Final = r"""
source "$1"
COMP_LINE=$2
shift 2
COMP_WORDS=("$@")
COMP_CWORD=$(( $# - 1 ))
_isofs
for reply in "${COMPREPLY[@]}"; do printf '%s\n' "$reply"; done
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the completions of the command line as it is."""
    setup = load_setup()
    folder = tmp_path_factory.mktemp("completions")
    for shell, name in setup.FILES.items():
        (folder / name).write_text(setup.completion(shell), encoding="utf-8")
    return folder


def load_setup() -> ModuleType:
    """setup.py, which makes them."""
    spec = importlib.util.spec_from_file_location("isofs_setup", REPOSITORY / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images and two directories to choose from."""
    for name in ("game.iso", "my game.iso"):
        (tmp_path / name).touch()
    for name in ("mnt", "my mnt"):
        (tmp_path / name).mkdir()
    return tmp_path


def bash(made: Path, line: str, *words: str, cwd: Path) -> list[str]:
    """What bash offers at the end of a line."""
    asked = [require("bash"), "--norc", "-c", ASK_BASH, "bash", str(made / "isofs"), line, *words]
    done = subprocess.run(asked, capture_output=True, text=True, cwd=cwd, timeout=LIMIT, check=True)
    assert done.stderr == ""
    return sorted(done.stdout.splitlines())


def fish(made: Path, line: str, *, cwd: Path) -> list[str]:
    """What fish offers at the end of a line, without what it says about it."""
    asked = [require("fish"), "--no-config", "-c", "source $argv[1]; complete -C $argv[2]"]
    done = subprocess.run(
        [*asked, str(made / "isofs.fish"), line],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "HOME": str(cwd), "XDG_CONFIG_HOME": str(cwd / ".config")},
        timeout=LIMIT,
        check=True,
    )
    return sorted(line.split("\t")[0] for line in done.stdout.splitlines())


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_understands_them(made: Path, shell: str) -> None:
    file = made / load_setup().FILES[shell]
    done = subprocess.run([require(shell), "-n", str(file)], capture_output=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_bash_registers_one_function(made: Path, tmp_path: Path) -> None:
    words = [require("bash"), "--norc", "-c", 'source "$1"; complete -p isofs', "bash", str(made / "isofs")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, check=True)
    assert done.stdout == "complete -o bashdefault -F _isofs isofs\n"


@pytest.mark.parametrize(
    ("line", "words", "offered"),
    [
        ("isofs in", ["isofs", "in"], ["info", "install-system"]),
        ("isofs info --", ["isofs", "info", "--"], ["--help", "--json"]),
        ("isofs info g", ["isofs", "info", "g"], ["game.iso"]),
        ("isofs mount game.iso m", ["isofs", "mount", "game.iso", "m"], ["mnt", "my mnt"]),
        ("isofs umount ", ["isofs", "umount", ""], ["mnt", "my mnt"]),
        ("isofs ls -o nor", ["isofs", "ls", "-o", "nor"], ["norock"]),
        ("isofs ls -o norock,noj", ["isofs", "ls", "-o", "norock,noj"], ["norock,nojoliet"]),
        ("isofs ls -o map=", ["isofs", "ls", "-o", "map", "="], ["acorn", "normal", "off"]),
        ("isofs ls -o map=o", ["isofs", "ls", "-o", "map", "=", "o"], ["off"]),
        ("isofs ls -o uid=5,noj", ["isofs", "ls", "-o", "uid", "=", "5,noj"], ["5,nojoliet"]),
        ("isofs ls -o uid=5 g", ["isofs", "ls", "-o", "uid", "=", "5", "g"], ["game.iso"]),
        (
            "isofs mount -o uid=5 game.iso m",
            ["isofs", "mount", "-o", "uid", "=", "5", "game.iso", "m"],
            ["mnt", "my mnt"],
        ),
        ("isofs install-system --prefix m", ["isofs", "install-system", "--prefix", "m"], ["mnt", "my mnt"]),
    ],
)
def test_bash_offers(made: Path, folder: Path, line: str, words: list[str], offered: list[str]) -> None:
    assert bash(made, line, *words, cwd=folder) == offered


def test_bash_offers_every_command(made: Path, folder: Path) -> None:
    assert bash(made, "isofs ", "isofs", "", cwd=folder) == sorted(COMMANDS)


def test_bash_offers_every_option_that_a_person_chooses(made: Path, folder: Path) -> None:
    offered = bash(made, "isofs mount -o ", "isofs", "mount", "-o", "", cwd=folder)
    assert {word.partition("=")[0] for word in offered} == {option.name for option in shown_options()}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("isofs in", ["info", "install-system"]),
        ("isofs info --", ["--help", "--json"]),
        ("isofs info g", ["game.iso"]),
        ("isofs mount game.iso m", ["mnt/", "my mnt/"]),
        ("isofs umount m", ["mnt/", "my mnt/"]),
        ("isofs ls -o norock,noj", ["norock,nojoliet"]),
        ("isofs ls -o map=", ["map=acorn", "map=normal", "map=off"]),
        ("isofs ls -o uid=5 g", ["game.iso"]),
    ],
)
def test_fish_offers(made: Path, folder: Path, line: str, offered: list[str]) -> None:
    assert fish(made, line, cwd=folder) == offered


def test_fish_offers_every_command(made: Path, folder: Path) -> None:
    assert fish(made, "isofs ", cwd=folder) == sorted(COMMANDS)


class Zsh:
    """A shell on a terminal; it completes nowhere else."""

    def __init__(self, cwd: Path) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (50, 200))
        self._process = subprocess.Popen(
            [require("zsh"), "-f", "-i"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env={"PATH": os.environ["PATH"], "HOME": str(cwd), "TERM": "dumb"},
            start_new_session=True,
        )
        os.close(slave)

    def types(self, text: str, expected: str) -> None:
        """Types, and waits until something is shown. What a dumb terminal's cursor goes back over does not count."""
        os.write(self._master, text.encode())
        shown = b""
        deadline = time.monotonic() + LIMIT
        while expected not in shown.replace(b"\b", b"").decode(errors="replace"):
            assert select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0], shown
            shown += os.read(self._master, 65536)

    def end(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)


@pytest.fixture
def zsh(made: Path, folder: Path) -> Iterator[Zsh]:
    """A zsh that knows the completions."""
    shell = Zsh(folder)
    try:
        shell.types(f"fpath=({made} $fpath); autoload -U compinit; compinit -u -D; print rea''dy\r", "ready")
        yield shell
    finally:
        shell.end()


def test_zsh_completes_commands_options_and_files(zsh: Zsh) -> None:
    zsh.types("isofs mou\t", "mount ")
    zsh.types("-o norock,noj\t", "nojoliet")
    zsh.types(",map=o\t", "map=off")
    zsh.types(" ga\t", "game.iso ")
    zsh.types("mn\t", "mnt/")


def test_a_build_makes_them_and_carries_no_links(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("isofs", "systemd", "man", "desktop"):
        unwanted = shutil.ignore_patterns("*.so", "*.c", "__pycache__", "completions")
        shutil.copytree(REPOSITORY / name, tree / name, symlinks=True, ignore=unwanted)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tree)
    words = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path / "built")]
    done = subprocess.run(words, cwd=tree, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    share = tmp_path / "built" / "isofs" / "share"
    files = {path.relative_to(share).as_posix() for path in share.rglob("*") if path.is_file()}
    assert {f"completions/{name}" for name in load_setup().FILES.values()} <= files
    for name in ("systemd", "man", "desktop"):
        sources = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / name).rglob("*") if path.is_file()}
        assert sources <= files
    assert not any(path.is_symlink() for path in share.rglob("*"))
