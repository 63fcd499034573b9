"""The fence around the daemon of real mounts: that it stands, that all is read within it, that all mounts end."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest
from writers import chd
from writers.chdman import CD_CODECS, DVD_CODECS, of_a_cd, of_a_dvd
from writers.containers import cso, dax, jiso, zso
from writers.mounting import LIMIT, Mounting, alive, daemon_of, mounted, succeeds, wait_until, wait_until_gone
from writers.room import USER, Room
from writers.sheets import stored
from writers.tools import TERMINAL, require

REST: Final = 5.5
"""Seconds without an open file after which memory has been given back."""
OWN: Final = "/disc/own"
"""A mount point of the user's."""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to give up, and can be another user")


def threads(pid: int) -> list[dict[str, str]]:
    """The status of each thread of a process."""
    return [
        dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        for task in Path(f"/proc/{pid}/task").iterdir()
    ]


def outside(pid: int) -> list[int]:
    """The processes outside the fence of a daemon."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"isofs-unmounter" in Path(f"/proc/{child}/cmdline").read_bytes()]


@contextmanager
def terminal() -> Iterator[int]:
    """A terminal to write to."""
    require(TERMINAL)
    ends = os.openpty()
    try:
        yield ends[1]
    finally:
        for end in ends:
            os.close(end)


def same(mounted: Path, original: Path) -> bool:
    """Whether the large file is that of the disc's source."""
    return (mounted / "numbered.bin").read_bytes() == (original / "numbered.bin").read_bytes()


# --- the fence ------------------------------------------------------------------------------------------------------


@as_root
@pytest.mark.parametrize("stays", ["in the background", "in the foreground", "on a terminal"])
@pytest.mark.parametrize("kind", ["plain", "cso", "gzip"])
def test_each_thread_of_the_daemon_is_held(
    mounting: Mounting, disc: Path, source: Path, tmp_path: Path, kind: str, stays: str
) -> None:
    """On a terminal a bar shows how far the index of a gzip file is."""
    image = KINDS[kind](disc.read_bytes(), tmp_path)
    with terminal() as tty:
        if stays == "in the background":
            point = mounting.mount(image, "-o", "noindexcache")
        else:
            err = tty if stays == "on a terminal" else subprocess.PIPE
            point = mounting.foreground(image, "-o", "noindexcache", err=err)[0]
        assert same(point, source)
        assert len(os.listdir(point / "wide")) == 3000
        pid = daemon_of(point)
        held = threads(pid)
    assert len(held) > 1, "workers have started"
    empty = "0" * 16
    for thread in held:
        assert {thread[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {empty}, thread["Name"]
        assert (thread["NoNewPrivs"], thread["Seccomp"]) == ("1", "2"), thread["Name"]
    succeeds("umount", point)
    wait_until_gone(point, pid)


@as_root
def test_what_the_daemon_holds_is_what_it_uses(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    pid = daemon_of(point)
    held = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    nameless = {name for name in held if name.startswith(("socket:", "pipe:", "anon_inode:"))}
    assert held - nameless == {"/dev/null", "/dev/fuse", os.fspath(disc)}


@as_root
def test_the_process_outside_holds_what_unmounting_takes(mounting: Mounting, disc: Path) -> None:
    pid = daemon_of(mounting.mount(disc))
    (helper,) = outside(pid)
    (status,) = threads(helper)
    assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {f"{1 << 21 | 1 << 2:016x}"}
    assert status["NoNewPrivs"] == "1"
    held = [os.readlink(f"/proc/{helper}/fd/{fd}").split(":")[0] for fd in os.listdir(f"/proc/{helper}/fd")]
    assert sorted(held) == ["/dev/null", "socket", "socket"]
    assert os.getsid(helper) == helper


@as_root
def test_a_mount_without_the_fence(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc, "-o", "nosandbox")
    pid = daemon_of(point)
    assert not outside(pid)
    (status, *_) = threads(pid)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("0", "0")
    assert int(status["CapEff"], 16)
    os.kill(pid, signal.SIGTERM)
    wait_until_gone(point, pid)


OPENINGS: Final = "open,openat,openat2,creat,open_by_handle_at,execve,execveat"


@as_root
@pytest.mark.parametrize("kind", ["plain", "cso", "gzip"])
def test_nothing_is_opened_once_the_mount_answers(
    mounting: Mounting, disc: Path, source: Path, tmp_path: Path, kind: str
) -> None:
    """Neither a file nor a module, whatever comes: names, data, a change, counters, signals, a rest, the end."""
    require("strace")
    image = KINDS[kind](disc.read_bytes(), tmp_path)
    point = mounting.mount(image)
    pid = daemon_of(point)
    trace = tmp_path / "trace"
    words = f"strace -f -qq -e signal=none -e trace={OPENINGS},exit_group -p {pid} -o".split()
    tracer = subprocess.Popen([*words, trace])
    try:
        wait_until(lambda: threads(pid)[0]["TracerPid"].strip() != "0", "the daemon is traced")
        assert same(point, source)
        assert len(os.listdir(point / "wide")) == 3000
        for path in point.iterdir():
            path.lstat()
            os.listxattr(path, follow_symlinks=False)
        with pytest.raises(FileNotFoundError):
            os.stat(point / "missing")
        succeeds("stats", point)
        os.kill(pid, signal.SIGUSR1)
        os.kill(pid, signal.SIGUSR2)
        time.sleep(REST)
        os.utime(image)
        with suppress(OSError):  # data that was decoded before may still be known
            (point / "data.bin").read_bytes()
        os.kill(pid, signal.SIGTERM)
        wait_until_gone(point, pid)
        tracer.wait(LIMIT)
    finally:
        tracer.kill()
        tracer.wait()
    (last,) = trace.read_text().splitlines()
    assert "exit_group(0)" in last


# --- reading within it ----------------------------------------------------------------------------------------------


def cue(disc: bytes, at: Path, kind: str) -> Path:
    (at / "disc.bin").write_bytes(stored(disc, kind))
    path = at / "disc.cue"
    mode = {"2048": "MODE1/2048", "2/2352": "MODE2/2352"}[kind]
    path.write_text(f'FILE "disc.bin" BINARY\n  TRACK 01 {mode}\n    INDEX 01 00:00:00\n')
    return path


def written(image: bytes, at: Path) -> Path:
    path = at / "image"
    path.write_bytes(image)
    return path


def zstd(disc: bytes, at: Path) -> Path:
    (at / "disc.iso").write_bytes(disc)
    subprocess.run([require("pzstd"), "-q", "-1", "disc.iso", "-o", "disc.zst"], cwd=at, check=True)
    return at / "disc.zst"


def xz(disc: bytes, at: Path) -> Path:
    (at / "disc.iso").write_bytes(disc)
    subprocess.run([require("xz"), "-k", "-1", "--block-size=64KiB", "disc.iso"], cwd=at, check=True)
    return at / "disc.iso.xz"


def chd_of_a_dvd(disc: bytes) -> bytes:
    hunks = chd.usual(disc, 4096)
    return chd.version_5(hunks, 4096, len(disc), metadata=[(b"DVD ", 1, b"\0")])


KINDS: Final[dict[str, Callable[[bytes, Path], Path]]] = {
    "plain": lambda disc, at: written(disc, at),
    "cso": lambda disc, at: written(cso(disc), at),
    "zso": lambda disc, at: written(zso(disc), at),
    "dax": lambda disc, at: written(dax(disc), at),
    "jiso": lambda disc, at: written(jiso(disc), at),
    "gzip": lambda disc, at: written(gzip.compress(disc, 1), at),
    "xz": xz,
    "xz in one block": lambda disc, at: written(lzma.compress(disc, preset=0), at),
    "zstd": zstd,
    "raw": lambda disc, at: written(stored(disc, "1/2352"), at),
    "cue": lambda disc, at: cue(disc, at, "2048"),
    "cue of raw sectors": lambda disc, at: cue(disc, at, "2/2352"),
    "chd": lambda disc, at: written(chd_of_a_dvd(disc), at),
    **{
        f"chd of a DVD, {codec}": lambda disc, at, codec=codec: of_a_dvd(disc, codec, at)  # type: ignore[misc]
        for codec in DVD_CODECS
    },
    **{
        f"chd of a CD, {codec}": lambda disc, at, codec=codec: of_a_cd(disc, codec, at)  # type: ignore[misc]
        for codec in CD_CODECS
    },
}


@pytest.mark.parametrize("decoder", ["compiled", "Python"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_image_is_read(
    kind: str,
    decoder: str,
    mounting: Mounting,
    disc: Path,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No file is opened late, and no module imported late, of any of them."""
    if decoder == "Python":
        monkeypatch.setenv("ISOFS_PYTHON_DECODER", "1")
    image = KINDS[kind](disc.read_bytes(), tmp_path)
    point = mounting.mount(image)
    pid = daemon_of(point)
    assert threads(pid)[0]["NoNewPrivs"] == "1"
    assert len(os.listdir(point / "wide")) == 3000
    assert same(point, source)
    with open(point / "numbered.bin", "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 100, 1_000_000) == (source / "numbered.bin").read_bytes()[1_000_000:1_000_100]
    os.kill(pid, signal.SIGTERM)
    wait_until_gone(point, pid)


# --- ending ---------------------------------------------------------------------------------------------------------


def test_a_signal_takes_a_mount_away_that_is_in_use(mounting: Mounting, disc: Path, source: Path) -> None:
    point = mounting.mount(disc)
    pid = daemon_of(point)
    (helper,) = outside(pid)
    with open(point / "numbered.bin", "rb", buffering=0) as file:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not mounted(point), "the mount goes")
        assert os.pread(file.fileno(), 4096, 2048 * 1000) == (source / "numbered.bin").read_bytes()[2048000:2052096]
    wait_until(lambda: not alive(pid) and not alive(helper), "the daemon and its helper end")


def test_a_mount_that_is_not_used_ends_and_says_so(mounting: Mounting, disc: Path) -> None:
    point, process = mounting.foreground(disc, "-o", "timeout=0.3")
    assert process.stderr is not None
    assert process.wait(LIMIT) == 0
    assert not mounted(point)
    assert process.stderr.read() == b"isofs: not used for 0.3 seconds: unmounted\n"


def test_a_signal_leaves_nothing_to_say(mounting: Mounting, disc: Path) -> None:
    point, process = mounting.foreground(disc)
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == 0
    assert not mounted(point)
    assert process.stderr is not None
    assert process.stderr.read() == b"isofs: SIGTERM: unmounting\n"


def test_a_crash_leaves_a_dead_mount_and_no_process(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    pid = daemon_of(point)
    (helper,) = outside(pid)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid) and not alive(helper), "the daemon and its helper end")
    with pytest.raises(OSError, match=r"not connected|connection abort"):
        os.listdir(point)
    mounting.mount(disc, "-o", "force", point=point)
    assert os.listdir(point)


def test_without_its_helper_the_daemon_says_what_to_do(mounting: Mounting, disc: Path) -> None:
    point, process = mounting.foreground(disc)
    (helper,) = outside(process.pid)
    os.kill(helper, signal.SIGKILL)
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: b"umount" in os.read(process.stderr.fileno(), 4096), "it says so")  # type: ignore[union-attr]
    assert mounted(point)
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == 0


@pytest.fixture
def room(place: Room, disc: Path) -> Iterator[Room]:
    """The room with an image and a mount point of the user's."""
    shutil.copy(disc, place.outside("/disc/disc.iso"))
    place.outside("/disc/disc.iso").chmod(0o644)
    place.point("own", owner=USER)
    yield place
    place.clean()


@as_root
@pytest.mark.parametrize("options", ["ro", "timeout=0.5"])
def test_the_mount_of_a_user_is_held_and_ends(room: Room, options: str) -> None:
    """fusermount3 has its rights only outside the fence."""
    room.does("isofs", "mount", "-o", options, "/disc/disc.iso", OWN, user=USER)
    pid = room.daemon()
    (status, *_) = threads(pid)
    assert (status["NoNewPrivs"], status["Seccomp"], status["Uid"].split()[0]) == ("1", "2", str(USER))
    (helper,) = outside(pid)
    assert threads(helper)[0]["NoNewPrivs"] == "0"
    assert room.does("cat", f"{OWN}/readme.txt", user=USER) == "hello\n"
    if options == "ro":
        os.kill(pid, signal.SIGTERM)
    room.all_gone()
