"""Runs the command line, and mounts that never stay behind."""

from __future__ import annotations

import ctypes
import os
import pty
import random
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from isofs.mount.mounts import Mount, mount_at

from .tools import TERMINAL, require
from .trees import make_tree

LIMIT: Final = 30.0
"""Seconds after which a condition that does not come true is a failure."""
_MNT_DETACH: Final = 2


def command(*args: str | bytes | Path) -> list[str | bytes]:
    """The words that run `isofs` with this interpreter."""
    return [
        sys.executable,
        "-m",
        "isofs",
        *(arg if isinstance(arg, bytes) else os.fspath(arg) for arg in args),
    ]


def isofs(
    *args: str | bytes | Path, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs `isofs` to its end. Its output goes into pipes."""
    return subprocess.run(
        command(*args),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        timeout=LIMIT,
        check=False,
    )


def succeeds(*args: str | bytes | Path, cwd: Path | None = None) -> bytes:
    """What `isofs` writes to stdout; it must say nothing else and end with 0."""
    done = isofs(*args, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def fails(code: int, *args: str | bytes | Path, cwd: Path | None = None) -> str:
    """The one line of error of `isofs`, which must end with `code` and write nothing else."""
    done = isofs(*args, cwd=cwd)
    said = os.fsdecode(done.stderr)
    assert (done.returncode, done.stdout) == (code, b""), said
    assert said.count("\n") == 1, said
    assert said.startswith("isofs: "), said
    assert said.endswith("\n"), said
    assert "Traceback" not in said
    assert "internal error" not in said
    return said[len("isofs: ") : -1]


def on_terminal(words: Sequence[str | bytes], *, out: bool = True, err: bool = True) -> tuple[int, bytes]:
    """Runs a command with stdout or stderr on a terminal. Its exit code and what the terminal showed."""
    require(TERMINAL)
    master, slave = pty.openpty()
    try:
        termios.tcsetwinsize(slave, (24, 80))
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=slave if out else subprocess.DEVNULL,
            stderr=slave if err else subprocess.DEVNULL,
        )
    finally:
        os.close(slave)
    shown = bytearray()
    deadline = time.monotonic() + LIMIT
    try:
        while select.select([master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                piece = os.read(master, 65536)
            except OSError:  # the last holder of the other end has gone
                break
            if not piece:
                break
            shown += piece
        return process.wait(timeout=LIMIT), bytes(shown).replace(b"\r\n", b"\n")
    finally:
        os.close(master)
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Waits until a condition is true; fails when it does not become true."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"waited {LIMIT:.0f} s in vain: {what}"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether a process runs. One that has ended and was not waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def daemons(mountpoint: Path) -> list[int]:
    """The processes that were started with this mount point as an argument."""
    wanted = os.fsencode(mountpoint)
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if wanted in words and b"isofs" in words:
            found.append(int(name))
    return found


def detach(path: Path) -> None:
    """Takes the uppermost mount off a directory, whoever still uses it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(path), _MNT_DETACH):
        raise OSError(ctypes.get_errno(), f"umount2 {path}")


class Mounting:
    """Mount points below a directory. `clean` leaves neither mounts nor processes behind."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._points: list[Path] = []
        self._names: list[Path] = []
        self._processes: list[subprocess.Popen[bytes]] = []

    def point(self, name: str = "") -> Path:
        """A new directory to mount on."""
        path = self._directory / (name or f"mount point {len(self._points)}")
        path.mkdir()
        self._points.append(path)
        self._names.append(path)
        return path

    def also_known_as(self, path: Path) -> None:
        """Another path by which one of the mount points is named."""
        self._names.append(path)

    def mount(self, image: Path | bytes, *options: str, point: Path | None = None) -> Path:
        """Mounts an image and gives the mount point."""
        where = point or self.point()
        done = isofs("mount", *options, image, where)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        return where

    def foreground(
        self, image: Path, *options: str, err: int = subprocess.PIPE
    ) -> tuple[Path, subprocess.Popen[bytes]]:
        """Mounts an image by a process that stays in the foreground. `err`: where its stderr goes."""
        where = self.point()
        process = subprocess.Popen(
            command("mount", "-f", *options, image, where),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=err,
        )
        self._processes.append(process)
        wait_until(lambda: process.poll() is not None or mounted(where), "the image is mounted")
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        os.stat(where)
        return where, process

    def clean(self) -> None:
        """Unmounts everything, and ends what does not end by itself."""
        for point in reversed(self._points):
            while mounted(point):
                detach(point)
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for name in self._names:
            for pid in daemons(name):
                try:
                    wait_until(lambda pid=pid: not alive(pid), f"process {pid} ends")  # type: ignore[misc]
                except AssertionError:
                    os.kill(pid, signal.SIGKILL)
                    raise


def mounted(point: Path) -> Mount | None:
    """The uppermost mount on a directory."""
    return mount_at(os.fspath(point))


def daemon_of(point: Path) -> int:
    """The one process that serves a mount."""
    pids = daemons(point)
    assert len(pids) == 1, pids
    return pids[0]


def wait_until_gone(point: Path, pid: int) -> None:
    """Waits until neither the mount nor its process is there."""
    wait_until(lambda: not mounted(point), "the mount goes")
    wait_until(lambda: not alive(pid), "the daemon ends")


# --- discs to mount -------------------------------------------------------------------------------------------------

SECTOR: Final = 2048
NUMBERED: Final = 1500
"""Sectors of `numbered.bin`."""
WIDE: Final = 3000
"""Files in `wide`."""


def numbered_sector(number: int) -> bytes:
    """A sector that says which one it is; every third does not compress."""
    head = b"sector %08d;" % number
    if number % 3 == 0:
        return head + random.Random(number).randbytes(SECTOR - len(head))
    return (head * (SECTOR // len(head) + 1))[:SECTOR]


def numbered(count: int = NUMBERED) -> bytes:
    """Data that carries its own answer."""
    return b"".join(map(numbered_sector, range(count)))


def make_source(at: Path) -> Path:
    """A tree with all kinds of files, a wide directory and a file of some size with an odd end."""
    make_tree(at, many=30)
    (at / "numbered.bin").write_bytes(numbered() + b"an odd end")
    (at / "wide").mkdir()
    for i in range(WIDE):
        (at / "wide" / f"entry {i:04}").touch()
    return at


def make_disc(source: Path, image: Path, *options: str) -> Path:
    """A disc with Rock Ridge and hard links, by xorriso."""
    tool = require("xorriso")
    words = [tool, "-as", "mkisofs", "-quiet", "-R", "--hardlinks", *options, "-o", str(image), str(source)]
    subprocess.run(words, check=True, capture_output=True, timeout=LIMIT)
    return image
