"""The daemon's life: how it goes into the background, what it tells to whom, how it ends, what it leaves behind."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest
from writers.containers import cso, entry, overwritten
from writers.mounting import (
    LIMIT,
    SECTOR,
    Mounting,
    alive,
    command,
    daemon_of,
    mounted,
    numbered_sector,
    succeeds,
    wait_until,
    wait_until_gone,
)
from writers.room import USER, Room
from writers.tools import require

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")

IMAGE: Final = "/disc/disc.iso"
POINT: Final = "/disc/mnt"


# --- into the background --------------------------------------------------------------------------------------------

WITH_WITNESS: Final = """
import os, sys
import pyfuse3
from isofs.cli import main
mount = pyfuse3.init
def witnessed(*args):
    print("mounts", os.getpid(), os.getpgrp(), os.getsid(0), flush=True)
    mount(*args)
pyfuse3.init = witnessed
print("begins", os.getpid(), os.getpgrp(), os.getsid(0), flush=True)
sys.exit(main(sys.argv[1:]))
"""


def test_the_child_mounts_in_the_callers_process_group_and_leaves_it_then(mounting: Mounting, disc: Path) -> None:
    """An automount lets nobody else through than the processes of that group."""
    point = mounting.point()
    words = [sys.executable, "-c", WITH_WITNESS, "mount", str(disc), str(point)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, check=True, start_new_session=True)
    begins, mounts = (line.split() for line in done.stdout.splitlines())
    assert begins[0] == "begins"
    assert mounts[0] == "mounts"
    assert mounts[2:] == begins[2:], "group and session of the caller"
    child = int(mounts[1])
    assert child != int(begins[1])
    try:
        assert (os.getpgid(child), os.getsid(child)) == (child, child)
        assert os.readlink(f"/proc/{child}/cwd") == "/"
        assert [os.readlink(f"/proc/{child}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
    finally:
        succeeds("umount", point)
    wait_until(lambda: not alive(child), "the daemon ends")


MANY_FILES: Final = """
import os, resource, sys
from isofs.cli import main
resource.setrlimit(resource.RLIMIT_NOFILE, (2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
sys.exit(any(main(words.split("\\n")) for words in sys.argv[1:]))
"""


def test_the_caller_may_have_any_number_of_files_open(mounting: Mounting, disc: Path) -> None:
    """select(2) knows descriptors below 1024 only."""
    point = mounting.point()
    mount, umount = f"mount\n{disc}\n{point}", f"umount\n{point}"
    words = [sys.executable, "-c", MANY_FILES, mount, umount, f"{mount}\n-f\n-o\ntimeout=0.2"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stderr) == (0, "isofs: not used for 0.2 seconds: unmounted\n")
    assert not mounted(point)


# --- the service manager --------------------------------------------------------------------------------------------


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A service manager's socket, and its name in the environment."""
    place = f"{tmp_path}/notify" if request.param == "path" else f"@isofs test {os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", place)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(place.replace("@", "\0", 1) if place.startswith("@") else place)
        listener.settimeout(LIMIT)
        yield listener


def states(manager: socket.socket) -> dict[str, str]:
    """One message."""
    return dict(line.split("=", 1) for line in manager.recv(4096).decode().split("\n"))


def test_the_manager_hears_of_a_mount_in_the_foreground_when_it_answers(
    manager: socket.socket, disc: Path, mounting: Mounting
) -> None:
    point = mounting.point()
    process = subprocess.Popen(command("mount", "-f", disc, point), stderr=subprocess.PIPE)
    try:
        assert states(manager) == {"READY": "1", "MAINPID": str(process.pid), "STATUS": f"{disc} on {point}"}
        with open(point / "numbered.bin", "rb"):
            process.terminate()
            assert states(manager) == {"STOPPING": "1", "STATUS": "unmounting, 1 files are open"}
            assert process.poll() is None
        assert states(manager) == {"STOPPING": "1", "STATUS": "unmounted"}
        assert process.wait(LIMIT) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_manager_hears_of_the_end_of_a_mount_in_the_background(
    manager: socket.socket, disc: Path, mounting: Mounting
) -> None:
    point = mounting.mount(disc)
    told = states(manager)
    assert told == {"READY": "1", "MAINPID": str(daemon_of(point)), "STATUS": f"{disc} on {point}"}
    succeeds("umount", point)
    assert states(manager) == {"STOPPING": "1", "STATUS": "unmounted"}


def test_the_manager_hears_nothing_of_a_mount_that_fails(
    manager: socket.socket, tmp_path: Path, mounting: Mounting
) -> None:
    (tmp_path / "zeros").write_bytes(bytes(100_000))
    done = subprocess.run(command("mount", tmp_path / "zeros", mounting.point()), capture_output=True, check=False)
    assert done.returncode == 32
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(4096)


FAILING: Final = """
import sys
from isofs.cli import main
from isofs.mount import serve
def fail(*_):
    raise OSError(24, "Too many open files")
serve.Telling = fail
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("options", [(), ("-f",)])
def test_a_mount_that_fails_once_it_is_made_is_taken_away(
    manager: socket.socket, disc: Path, mounting: Mounting, options: tuple[str, ...]
) -> None:
    point = mounting.point()
    words = [sys.executable, "-c", FAILING, "mount", *options, str(disc), str(point)]
    done = subprocess.run(words, capture_output=True, timeout=LIMIT, check=False)
    assert done.returncode
    assert not mounted(point)
    assert states(manager) == {"STOPPING": "1", "STATUS": "unmounted"}


def test_fusermount_does_not_know_the_manager(manager: socket.socket, disc: Path, mounting: Mounting) -> None:
    """It would speak for us. With auto_unmount one lives as long as the mount."""
    require("fusermount3")
    point = mounting.mount(disc, "-o", "auto_unmount")
    (daemon,) = [pid for pid in (daemon_of(point),) if states(manager)["MAINPID"] == str(pid)]
    helpers = Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()
    named = [pid for pid in {*map(int, helpers), *orphans(point)} if b"fusermount3" in cmdline(pid)]
    assert named
    for pid in named:
        assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()
    succeeds("umount", point)
    wait_until(lambda: not any(map(alive, named)), "fusermount3 ends")


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def orphans(point: Path) -> list[int]:
    """The processes that have a mount point in their command line."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and os.fsencode(point) in cmdline(int(name))]


# --- the log --------------------------------------------------------------------------------------------------------


def write_damaged(disc: Path, image: Path) -> None:
    """The disc as a CSO in which one block of `numbered.bin` cannot be decoded."""
    data = disc.read_bytes()
    written = cso(data)
    number = data.index(numbered_sector(4)) // SECTOR
    begin, end = (entry(written, i) & 0x7FFF_FFFF for i in (number, number + 1))
    image.write_bytes(overwritten(written, begin, b"\xff" * (end - begin)))


def read_thrice(path: Path) -> None:
    """Reads a damaged file to its error, past the kernel's memory."""
    for _ in range(3):
        with open(path, "rb") as file, pytest.raises(OSError, match="Input/output error"):
            file.read()


def test_damage_is_told_once_to_the_journal(mounting: Mounting, disc: Path, tmp_path: Path) -> None:
    write_damaged(disc, tmp_path / "damaged.cso")
    point = mounting.point()
    with open(tmp_path / "journal", "wb") as stream:
        status = os.fstat(stream.fileno())
        process = subprocess.Popen(
            command("mount", "-f", tmp_path / "damaged.cso", point),
            stderr=stream,
            env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"},
        )
    try:
        wait_until(lambda: mounted(point), "the image is mounted")
        read_thrice(point / "numbered.bin")
    finally:
        process.terminate()
        assert process.wait(LIMIT) == 0
    said = (tmp_path / "journal").read_text().splitlines()
    assert all(line[:3] in ("<4>", "<6>") for line in said), said
    (line,) = [line for line in said if line.startswith("<4>")]
    assert line.startswith(f"<4>{tmp_path}/damaged.cso: ")
    assert "block" in line
    assert said[-1] == "<6>SIGTERM: unmounting"


@pytest.fixture
def room(place: Room, disc: Path) -> Iterator[Room]:
    """The room with an image and a mount point. No test leaves anything there."""
    before = place.files()
    shutil.copy(disc, place.outside(IMAGE))
    place.point()
    yield place
    place.clean()
    assert place.files() == before


@pytest.fixture
def syslog(room: Room, tmp_path: Path) -> Iterator[socket.socket]:
    """The room's /dev/log."""
    path = room.outside("/dev/log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(os.fspath(path))
        listener.settimeout(LIMIT)
        yield listener
    path.unlink()


def lines_of(syslog: socket.socket, last: str) -> list[str]:
    """What comes up to a line with these words, without the NUL that ends each."""
    found = [""]
    while last not in found[-1]:
        found.append(syslog.recv(1 << 16).decode().rstrip("\0"))
    return found[1:]


@as_root
def test_damage_is_told_once_to_syslog(room: Room, syslog: socket.socket, disc: Path) -> None:
    write_damaged(disc, room.outside("/disc/damaged.cso"))
    room.does("isofs", "mount", "/disc/damaged.cso", POINT)
    pid = room.daemon()
    read_thrice(room.outside(f"{POINT}/numbered.bin"))
    os.kill(pid, signal.SIGTERM)
    lines = lines_of(syslog, "SIGTERM: unmounting")
    warnings = [line for line in lines if line.startswith(f"<28>isofs[{pid}]: /disc/damaged.cso: ")]
    assert len(warnings) == 1, lines
    assert "block" in warnings[0]
    assert lines[-1] == f"<30>isofs[{pid}]: SIGTERM: unmounting"
    room.all_gone()


@as_root
def test_tasks_and_counters_are_told_on_signals(room: Room, syslog: socket.socket) -> None:
    room.does("isofs", "mount", IMAGE, POINT)
    pid = room.daemon()
    os.kill(pid, signal.SIGUSR2)
    lines = lines_of(syslog, "task_lines")
    assert all(line.startswith(f"<30>isofs[{pid}]: ") for line in lines)
    words = "\n".join(lines)
    for task in ("_until_unmounted", "_end_on_signal", "Telling.on_socket", "Telling.on_signal", "_rest"):
        assert f"{task}\n" in words, task
    assert "thread MainThread" in words
    os.kill(pid, signal.SIGUSR1)
    lines_of(syslog, "0 files and 0 directories open")
    assert room.outside(f"{POINT}/readme.txt").read_text() == "hello\n"


def test_tasks_are_told_on_stderr_in_the_foreground(mounting: Mounting, disc: Path) -> None:
    _, process = mounting.foreground(disc)
    process.send_signal(signal.SIGUSR2)
    assert process.stderr is not None
    said = [process.stderr.readline()]
    while b"task_lines" not in said[-1]:
        said.append(process.stderr.readline())
    assert all(line.startswith(b"isofs: ") for line in said)
    assert any(b"_until_unmounted" in line for line in said)


# --- a crash --------------------------------------------------------------------------------------------------------

CRASHING: Final = """
import sys
import pyfuse3, trio
from isofs.cli import main
async def serve():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_well)
        await trio.sleep(0.5)
        raise RuntimeError("a bug")
serve_well, pyfuse3.main = pyfuse3.main, serve
sys.exit(main(sys.argv[1:]))
"""


@as_root
def test_a_crash_leaves_a_dead_mount_and_its_reason(room: Room, syslog: socket.socket) -> None:
    """Never an empty directory, which a job that mirrors it would take for the truth."""
    room.does(sys.executable, "-c", CRASHING, "mount", IMAGE, POINT)
    wait_until(lambda: not room.processes(), "the daemon crashes, and its helper ends")
    assert room.mount().path == POINT
    with pytest.raises(OSError, match=r"not connected|connection abort"):
        os.listdir(room.outside(POINT))
    assert "RuntimeError: a bug" in lines_of(syslog, "a bug")[-1]
    room.does("isofs", "umount", POINT)


def test_a_crash_in_the_foreground_is_said(mounting: Mounting, disc: Path) -> None:
    point = mounting.point()
    words = [sys.executable, "-c", CRASHING, "mount", "-f", str(disc), str(point)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 4
    assert "internal error" in done.stderr
    assert mounted(point)
    with pytest.raises(OSError, match=r"not connected|connection abort"):
        os.listdir(point)


@as_root
def test_a_mount_that_does_not_answer_holds_up_nobody(room: Room) -> None:
    room.does("isofs", "mount", IMAGE, POINT)
    pid = room.daemon()
    os.kill(pid, signal.SIGSTOP)
    try:
        said = room.fails(32, "isofs", "mount", IMAGE, POINT)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert said == f"isofs: {POINT}: an image is mounted here already; run: isofs umount {POINT}"


# --- without use ----------------------------------------------------------------------------------------------------


def test_a_mount_that_nobody_uses_ends(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc, "-o", "timeout=0.3")
    pid = daemon_of(point)
    wait_until_gone(point, pid)


def test_a_mount_in_use_does_not_end(mounting: Mounting, disc: Path) -> None:
    """A file that is open, the working directory of a process, and requests now and then are use."""
    timeout = 0.3
    point = mounting.mount(disc, "-o", f"timeout={timeout}s")
    pid = daemon_of(point)
    with open(point / "readme.txt") as file:
        time.sleep(4 * timeout)
        assert mounted(point)
        assert file.read() == "hello\n"
    with subprocess.Popen(["sleep", "60"], cwd=point) as process:
        time.sleep(4 * timeout)
        assert mounted(point)
        process.kill()
    for _ in range(20):
        time.sleep(timeout / 4)
        os.statvfs(point)
    wait_until_gone(point, pid)


@as_root
def test_a_mount_below_another_one_ends_later(room: Room) -> None:
    room.does("isofs", "mount", "-o", "timeout=0.2", IMAGE, POINT)
    room.does("mount", "-t", "tmpfs", "tmpfs", POINT)
    time.sleep(1)
    assert room.daemons()
    room.does("umount", POINT)
    room.all_gone()


# --- nothing is left ------------------------------------------------------------------------------------------------

READER: Final = """
import os, random, sys, time
from writers.mounting import NUMBERED, SECTOR, numbered_sector
fd = os.open(sys.argv[1], os.O_RDONLY)
until = time.monotonic() + float(sys.argv[2])
print("reads", flush=True)
try:
    while time.monotonic() < until:
        number = random.randrange(NUMBERED - 8)
        found = os.pread(fd, 8 * SECTOR, number * SECTOR)
        if found != b"".join(map(numbered_sector, range(number, number + 8))):
            sys.exit(f"wrong bytes at sector {number}")
except OSError as error:
    print(error.strerror)
"""
READERS: Final = 3
READING: Final = 0.5
"""Seconds."""


@contextmanager
def readers(room: Room, *, user: int = 0) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that read a file at random places, past the kernel's memory, for `READING` seconds."""
    tests = os.fspath(Path(__file__).resolve().parents[1])
    words = ("env", f"PYTHONPATH={tests}", sys.executable, "-c", READER, f"{POINT}/numbered.bin", str(READING))
    with ExitStack() as stack:
        found = [stack.enter_context(room.popen(*words, user=user)) for _ in range(READERS)]
        for process in found:
            assert process.stdout is not None
            assert process.stdout.readline() == b"reads\n"
        yield found


def connection(room: Room) -> Path:
    """The directory in which the kernel shows a mount's connection."""
    folder = room.outside("/sys/fs/fuse/connections")
    if not any(folder.iterdir()):
        room.does("mount", "-t", "fusectl", "fusectl", "/sys/fs/fuse/connections")
    return folder / str(os.minor(os.stat(room.outside(POINT)).st_dev))


def end(room: Room, how: str, control: Path) -> int:
    """Ends a mount in one of the ways there are; gives the command's exit code."""
    if how == "abort":
        (control / "abort").write_text("1")
        return 0
    if how.startswith("SIG"):
        os.kill(room.daemon(), getattr(signal, how))
        return 0
    return room.run(*how.split(), POINT)[0]


BUSY: Final = ("umount", "isofs umount", "fusermount3 -u")
"""Ways that a mount in use withstands."""
LAZY: Final = ("umount -l", "isofs umount -l", "fusermount3 -uz", "SIGTERM", "SIGINT", "SIGHUP")
"""Ways that let go on what reads."""
VIOLENT: Final = ("SIGKILL", "abort")


@as_root
@pytest.mark.parametrize("how", [*BUSY, *LAZY, *VIOLENT])
def test_a_mount_under_load_is_ended_and_leaves_nothing(room: Room, how: str) -> None:
    room.does("isofs", "mount", "-o", "direct_io", IMAGE, POINT)
    control = connection(room)
    assert control.exists()
    pid = room.daemon()
    with readers(room) as processes:
        code = end(room, how, control)
        said = [process.communicate()[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * READERS, "not one wrong byte"
    if how in VIOLENT:
        assert all(words.strip() in DEAD for words in said), said
    else:
        assert said == [b""] * READERS, "nobody has noticed"
    if how in BUSY:
        assert code != 0
        assert alive(pid)
        assert end(room, how, control) == 0
    else:
        assert code == 0
    if how in VIOLENT:
        wait_until(lambda: not alive(pid), "the daemon ends")
        with pytest.raises(OSError, match="not connected"):
            os.statvfs(room.outside(POINT))
        room.does("isofs", "umount", POINT)
    room.all_gone()
    wait_until(lambda: not control.exists(), "the connection goes")


DEAD: Final = tuple(os.strerror(number).encode() for number in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO))


@as_root
def test_a_mount_under_load_does_not_end_for_want_of_use(room: Room) -> None:
    room.does("isofs", "mount", "-o", "direct_io,timeout=0.2", IMAGE, POINT)
    with ExitStack() as stack:
        with open(room.outside(f"{POINT}/numbered.bin")):
            processes = stack.enter_context(readers(room))
        assert [process.communicate()[0] for process in processes] == [b""] * READERS
    room.all_gone()


MANY: Final = """
import os, sys
from isofs.cli import main
import isofs.mount.serve, isofs.cli.mount, isofs.cli.umount, isofs.image, isofs.volume
image, count, points = sys.argv[1], int(sys.argv[2]), sys.argv[3:]

def run(*words):
    child = os.fork()
    if not child:
        os._exit(main(words))
    assert os.waitpid(child, 0)[1] == 0, words

def cycle(point):
    for i in range(count):
        run("mount", image, point)
        with open(f"{point}/readme.txt") as file:
            assert file.read() == "hello\\n"
        run("umount", point)
        assert not os.listdir(point)

loops = []
for point in points:
    loops.append(os.fork())
    if not loops[-1]:
        cycle(point)
        os._exit(0)
sys.exit(any(os.waitpid(loop, 0)[1] for loop in loops))
"""
"""Mounts and unmounts, at several points at a time; each command is a process, without the time for its imports."""


@as_root
def test_two_hundred_mounts_leave_nothing(room: Room) -> None:
    points = [room.point(f"point {i}") for i in range(4)]
    room.does(sys.executable, "-c", MANY, IMAGE, "50", *points)
    assert not room.mounts()
    assert not room.processes()


@as_root
def test_mounts_of_a_user_leave_nothing(room: Room) -> None:
    require("fusermount3")
    points = [room.point(f"point {i}", owner=USER) for i in range(2)]
    room.outside(IMAGE).chmod(0o644)
    room.does(sys.executable, "-c", MANY, IMAGE, "10", *points, user=USER)
    assert not room.mounts()
    assert not room.processes()


# --- start-up -------------------------------------------------------------------------------------------------------

IMPORTED: Final = """
import sys
from isofs.cli import main
code = main(["mount", "-f", "-o", "timeout=0.05", *sys.argv[1:]])
print(*sys.modules)
sys.exit(code)
"""
NOT_FOR_A_PLAIN_IMAGE: Final = (
    *("tqdm", "lz4", "lzallright", "indexed_gzip", "backports", "compression", "deflate", "gzip", "tarfile"),
    *("asyncio", "multiprocessing", "sqlite3", "http", "xml", "unittest", "pydoc", "configparser", "setuptools"),
    *("isofs.image.chd", "isofs.image.cso", "isofs.image.zso", "isofs.image.dax", "isofs.image.jiso"),
    *("isofs.image.gzip", "isofs.image.xz", "isofs.image.zstd", "isofs.volume.whole", "isofs.volume.subdir"),
    *(
        "isofs.cli.helper",
        "isofs.cli.extract",
        "isofs.cli.verify",
        "isofs.cli.convert",
        "isofs.cli.info",
        "isofs.cli.open",
    ),
)
"""Modules, and packages with all that is in them, that a plain image has no use for."""


def test_a_mount_imports_nothing_that_it_does_not_use(mounting: Mounting, disc: Path) -> None:
    modules = modules_after(IMPORTED, str(disc), str(mounting.point()))
    assert {"pyfuse3", "trio", "isofs.mount.serve", "isofs.volume.iso9660.volume"} <= modules
    ours = modules - modules_after("import pyfuse3, sys; print(*sys.modules)")
    assert [name for name in ours if any(f"{name}.".startswith(f"{other}.") for other in NOT_FOR_A_PLAIN_IMAGE)] == []


def test_unmounting_imports_neither_fuse_nor_an_image(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    ours = modules_after(IMPORTED.replace('"mount", "-f", "-o", "timeout=0.05"', '"umount"'), str(point))
    assert not ours & {"pyfuse3", "trio", "subprocess", "isofs.image", "isofs.volume", "isofs.mount.options"}


def modules_after(script: str, *words: str) -> set[str]:
    """The modules that a script names on its last line."""
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True)
    return set(done.stdout.split())
