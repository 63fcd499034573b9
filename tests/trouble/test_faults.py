"""What goes wrong around a mount: storage that fails or stalls, images that change, resources that run out, processes
that are killed. Errors for what is gone, nothing invented, and the mount lives on.
"""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Final

import pytest
from judge.calls import pread_direct
from writers.containers import cso, entry
from writers.faulty import faulty
from writers.mounting import (
    LIMIT,
    SECTOR,
    Mounting,
    alive,
    command,
    daemon_of,
    daemons,
    isofs,
    mounted,
    numbered,
    wait_until,
)
from writers.slow import stalling
from writers.tools import require

SECTORS: Final = 1500
DATA: Final = numbered(SECTORS)
FOLDERS: Final = 20
CONTAINERS: Final[dict[str, Callable[[bytes], bytes]]] = {"plain": lambda disc: disc, "cso": cso}
LOST: Final = (errno.EIO, errno.ENOMEM)
DEAD: Final = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENOENT)


@pytest.fixture(scope="module")
def disc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files, small folders, a large folder."""
    tree = tmp_path_factory.mktemp("tree")
    (tree / "numbered").write_bytes(DATA)
    (tree / "other").write_bytes(b"the other file".ljust(SECTOR) + DATA[SECTOR:])
    (tree / "cold folder").mkdir()
    for i in range(500):
        (tree / "cold folder" / f"entry {i}").touch()
    for i in range(FOLDERS):
        (tree / f"folder {i}").mkdir()
        (tree / f"folder {i}" / "file").write_bytes(b"x" * i)
    image = tmp_path_factory.mktemp("disc") / "disc.iso"
    words = [require("xorriso"), "-as", "mkisofs", "-quiet", "-R", "-o", str(image), str(tree)]
    subprocess.run(words, check=True, capture_output=True, timeout=LIMIT)
    return image


@pytest.fixture(params=list(CONTAINERS))
def image(request: pytest.FixtureRequest, disc: Path, tmp_path: Path) -> Path:
    """An image file of its own for each test."""
    path = tmp_path / f"image of {request.param}"
    path.write_bytes(CONTAINERS[request.param](disc.read_bytes()))
    return path


def place(disc: Path, image: Path, mark: bytes, length: int) -> tuple[int, int]:
    """First and last byte in the image of what begins with a mark on the disc."""
    first = disc.read_bytes().index(mark) // SECTOR * SECTOR
    last = first + length
    written = image.read_bytes()
    if written[:4] == b"CISO":
        first, last = (entry(written, at // SECTOR) & 0x7FFF_FFFF for at in (first, last))
    return first, last


@contextmanager
def suppress_lost(errors: tuple[int, ...] = LOST) -> Iterator[None]:
    """An error that is one of these is no failure."""
    try:
        yield
    except OSError as error:
        assert error.errno in errors, error  # noqa: PT017


def in_pieces(path: Path, size: int = 65_536, errors: tuple[int, ...] = LOST) -> tuple[int, int]:
    """Reads a file past the page cache: how many pieces are right and how many are errors. None is wrong."""
    right = lost = 0
    for offset in range(0, len(DATA), size):
        try:
            found = pread_direct(os.fsencode(path), size, offset)
        except OSError as error:
            assert error.errno in errors, error  # noqa: PT017
            lost += 1
        else:
            assert found == DATA[offset : offset + size], f"wrong bytes at {offset}"
            right += 1
    return right, lost


def said(process: subprocess.Popen[bytes]) -> list[str]:
    """Ends a mount in the foreground, and gives the lines that it has written."""
    process.terminate()
    _, lines = process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    return [line for line in lines.decode().splitlines() if "unmounting" not in line]


# --- storage that fails ---------------------------------------------------------------------------------------------


def test_bad_storage_costs_the_bytes_that_lie_there_and_is_told_once(
    disc: Path, image: Path, mounting: Mounting, tmp_path: Path
) -> None:
    first, last = place(disc, image, b"sector 00000000;", 512 * SECTOR)
    with faulty(image, tmp_path) as storage:
        point, process = mounting.foreground(storage.image)
        (point / "folder 3" / "file").read_bytes()
        storage.fails(f"error {first + 4096} {last - 4096}")
        for _ in range(3):
            with pytest.raises(OSError, match="Input/output error"):
                pread_direct(os.fsencode(point / "numbered"), 65_536, 131_072)
        right, lost = in_pieces(point / "numbered")
        assert lost >= 14
        assert right >= 24
        storage.fails()
        assert in_pieces(point / "numbered") == (len(DATA) // 65_536 + 1, 0), "an error stays where storage is well"
        lines = said(process)
    assert len(lines) == len(set(lines))
    assert 1 <= len(lines) <= lost
    assert all("/numbered: " in line and "Input/output error" in line for line in lines), lines


def test_storage_that_fails_everywhere_is_an_error_and_no_end(image: Path, mounting: Mounting, tmp_path: Path) -> None:
    with faulty(image, tmp_path) as storage:
        point = mounting.mount(storage.image)
        storage.fails("error 0 1000000000")
        assert in_pieces(point / "numbered", 262_144)[0] == 0
        for name in ("cold folder", "folder 7"):
            with pytest.raises(OSError, match="Input/output error"):
                os.listdir(point / name)
        storage.fails()
        assert len(os.listdir(point / "cold folder")) == 500
        assert (point / "folder 7" / "file").read_bytes() == b"x" * 7
        assert in_pieces(point / "numbered")[1] == 0


@pytest.mark.parametrize("size", [700, 5000])
def test_storage_that_gives_less_than_was_asked_for_is_asked_again(
    image: Path, mounting: Mounting, tmp_path: Path, size: int
) -> None:
    with faulty(image, tmp_path, direct=True) as storage:
        point = mounting.mount(storage.image)
        storage.fails(f"short {size}")
        for offset in (0, 5 * SECTOR - 3, 300_000, len(DATA) - 6000):
            n = 6000
            with open(point / "numbered", "rb", buffering=0) as file:
                assert pread_direct(os.fsencode(point / "numbered"), n, offset) == DATA[offset : offset + n]
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert len(os.listdir(point / "cold folder")) == 500


def test_storage_whose_file_ends_early_is_not_believed(image: Path, mounting: Mounting, tmp_path: Path) -> None:
    """The kernel takes short answers for the end of the file there."""
    with faulty(image, tmp_path) as storage:
        point = mounting.mount(storage.image)
        storage.fails("short 1000")
        assert in_pieces(point / "numbered", 262_144)[0] == 0


# --- storage that stalls --------------------------------------------------------------------------------------------


def latencies(point: Path, seconds: float) -> list[float]:
    """Seconds that each of many reads took of a file that the mount has in memory and the kernel has not."""
    took = []
    end = time.monotonic() + seconds
    with open(point / "numbered", "rb", buffering=0) as file:
        for number in range(1 << 30):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            offset = number * 40_960 % (len(DATA) - 4096)
            start = time.perf_counter()
            found = os.pread(file.fileno(), 4096, offset)
            took.append(time.perf_counter() - start)
            assert found == DATA[offset : offset + 4096]
            if time.monotonic() > end:
                break
    return sorted(took)


ASKS: Final = {
    "file": ("other", "open(path, 'rb').read()"),
    "mapping": ("other", "mmap.mmap(os.open(path, os.O_RDONLY), 0, prot=mmap.PROT_READ)[300_000]"),
    "scattered mapping": (
        "other",
        "m = mmap.mmap(os.open(path, os.O_RDONLY), 0, prot=mmap.PROT_READ); m.madvise(mmap.MADV_RANDOM); m[300_000]",
    ),
    "past the cache": ("other", "os.preadv(os.open(path, os.O_RDONLY | os.O_DIRECT), [mmap.mmap(-1, 4096)], 409_600)"),
    "listing": ("cold folder", "os.listdir(path)"),
    "lookup": ("cold folder", "os.stat(path + '/entry 7')"),
    "missing name": ("cold folder", "os.path.exists(path + '/none')"),
}
"""What is asked of stalled storage, by Python."""
PAGES: Final = ("file", "mapping")
"""What waits for pages that are read ahead; the others wait for a request of their own, and the kernel holds them."""


def asking(point: Path, what: str) -> subprocess.Popen[bytes]:
    """A process that asks, and does not get an answer."""
    name, code = ASKS[what]
    program = f"import mmap, os, sys; path = sys.argv[1]; os.write(1, b'asks'); {code}"
    reader = subprocess.Popen([sys.executable, "-c", program, point / name], stdout=subprocess.PIPE)
    assert reader.stdout
    with reader.stdout as said:
        assert said.read(4) == b"asks"
    time.sleep(0.2)
    assert reader.poll() is None, "the storage did not stall"
    return reader


@contextmanager
def stalled(
    disc: Path, image: Path, mounting: Mounting, folder: Path, what: str
) -> Iterator[tuple[Path, Callable[[], object]]]:
    """A mount whose storage stalls where the cold file or folder lies while what is given second is entered."""
    name = ASKS[what][0]
    mark, length = (b"the other file", SECTORS * SECTOR) if name == "other" else (b"entry 0", 20 * SECTOR)
    first, last = place(disc, image, mark, length)
    with stalling(image, folder) as storage:
        point = mounting.mount(storage.image)
        assert (point / "numbered").read_bytes() == DATA
        for i in range(FOLDERS):
            (point / f"folder {i}" / "file").read_bytes()
        yield point, lambda: storage.stalled(first // 4096 * 4096, last // 4096 * 4096)


@pytest.mark.parametrize("what", ["file", "past the cache", "listing", "lookup"])
def test_reads_of_what_is_in_memory_are_as_quick_as_without_a_stall(
    disc: Path, image: Path, mounting: Mounting, tmp_path: Path, what: str
) -> None:
    """Medians of rounds, those of a stall the best of some: noise of the machine only makes times longer."""
    with stalled(disc, image, mounting, tmp_path, what) as (point, stalls):
        latencies(point, 0.2)

        def p99() -> float:
            rounds = [latencies(point, 0.2) for _ in range(5)]
            return median(times[len(times) * 99 // 100] for times in rounds)

        idle = p99()
        with stalls():  # type: ignore[attr-defined]
            reader = asking(point, what)
            during = p99()
            for _ in range(5):
                if during > 2 * idle:
                    during = min(during, p99())
            assert reader.poll() is None, "the storage did not stall"
        assert reader.wait(LIMIT) == 0
        print(f"{what}: p99 {idle * 1e6:.0f} us, during a stall {during * 1e6:.0f} us")
        assert during <= 2 * idle


@pytest.mark.parametrize("what", list(ASKS))
def test_a_reader_that_waits_for_storage_can_be_killed(
    disc: Path, image: Path, mounting: Mounting, tmp_path: Path, what: str
) -> None:
    """At once if it waits for pages, else as soon as the storage answers; others are served meanwhile."""
    with stalled(disc, image, mounting, tmp_path, what) as (point, stalls):
        with stalls():  # type: ignore[attr-defined]
            reader = asking(point, what)
            reader.kill()
            if what in PAGES:
                reader.wait(1)
            assert pread_direct(os.fsencode(point / "numbered"), 4096, 40_960) == DATA[40_960:45_056]
        reader.wait(1)
        assert reader.returncode == -signal.SIGKILL
        assert in_pieces(point / "numbered")[1] == 0
        assert len(os.listdir(point / "cold folder")) == 500


@pytest.mark.parametrize("what", ["past the cache", "listing", "lookup"])
def test_readers_whom_the_kernel_holds_are_let_go_when_the_daemon_is_killed(
    disc: Path, image: Path, mounting: Mounting, tmp_path: Path, what: str
) -> None:
    with stalled(disc, image, mounting, tmp_path, what) as (point, stalls):
        pid = daemon_of(point)
        with stalls():  # type: ignore[attr-defined]
            reader = asking(point, what)
            reader.kill()
            os.kill(pid, signal.SIGKILL)
            reader.wait(1)
            wait_until(lambda: not alive(pid), "the daemon dies")
            assert isofs("umount", point).returncode == 0


# --- images that change ---------------------------------------------------------------------------------------------


def append(image: Path) -> None:
    with open(image, "ab") as file:
        file.write(b"more")


def touch(image: Path) -> None:
    os.utime(image)


def cut(image: Path) -> None:
    os.truncate(image, image.stat().st_size // 2)


def write_over(image: Path) -> None:
    size = image.stat().st_size
    with open(image, "r+b") as file:
        file.write(bytes(size))


@pytest.mark.parametrize("change", [append, touch, cut, write_over])
def test_an_image_that_changes_under_readers_is_not_believed_and_that_is_told_once(
    image: Path, mounting: Mounting, change: Callable[[Path], None]
) -> None:
    """What was decoded before may be given; nothing that would have to be read from the image now."""
    point, process = mounting.foreground(image)
    path = os.fsencode(point / "numbered")
    changed = threading.Event()
    wrong: list[str] = []
    half = len(DATA) // 2

    def reads(number: int) -> None:
        """The first half until the change, the second half after it."""
        chance = random.Random(number)
        left = 20
        while left:
            after = changed.is_set()
            left -= after
            offset = chance.randrange(half - 140_000) + (half + 70_000 if after else 0)
            try:
                found = pread_direct(path, 66_000, offset)
            except OSError as error:
                assert error.errno == errno.EIO  # noqa: PT017
                continue
            if found != DATA[offset : offset + 66_000]:
                wrong.append(f"wrong bytes at {offset}")
            if after:
                wrong.append(f"bytes of a changed image at {offset}")

    with ThreadPoolExecutor(4) as readers:
        jobs = [readers.submit(reads, number) for number in range(4)]
        time.sleep(0.05)
        change(image)
        changed.set()
        for job in jobs:
            job.result(LIMIT)
    assert wrong == []
    assert in_pieces(point / "numbered")[1] > 0
    with pytest.raises(OSError, match="Input/output error"):
        os.listdir(point / "cold folder")
    lines = said(process)
    told = [line for line in lines if "changed while it is in use" in line]
    assert len({line.partition(": ")[2].partition(": ")[2] for line in told}) == 1, lines
    assert len(lines) == 1, lines


@pytest.mark.parametrize("how", ["replaced", "removed"])
def test_an_image_whose_name_is_taken_away_is_served_on(image: Path, mounting: Mounting, how: str) -> None:
    point, process = mounting.foreground(image)
    if how == "replaced":
        shutil.copy(image, f"{image}.new")
        os.truncate(f"{image}.new", 100)
        os.rename(f"{image}.new", image)
    else:
        image.unlink()
    assert in_pieces(point / "numbered")[1] == 0
    assert len(os.listdir(point / "cold folder")) == 500
    assert said(process) == []


# --- resources that run out -----------------------------------------------------------------------------------------


def memory(pid: int, name: str) -> int:
    """Bytes of a process, by a name of /proc/PID/status."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def test_a_daemon_without_descriptors_serves_on(image: Path, mounting: Mounting) -> None:
    point, process = mounting.foreground(image)
    used = len(os.listdir(f"/proc/{process.pid}/fd"))
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used, used))
    assert in_pieces(point / "numbered")[1] == 0
    with ThreadPoolExecutor(4) as readers:
        assert [lost for _, lost in readers.map(in_pieces, [point / "numbered"] * 4)] == [0] * 4
    assert len(os.listdir(point / "cold folder")) == 500
    assert not any("Traceback" in line for line in said(process))


@pytest.mark.parametrize("limit", [5, 6, 8, 10, 12, 14, 16, 20, 21, 22, 24, 30])  # with 4 Python does not start
def test_a_mount_that_may_open_few_files_works_or_fails_in_one_line(disc: Path, mounting: Mounting, limit: int) -> None:
    point = mounting.point()
    words = ["prlimit", f"--nofile={limit}:{limit}", *command("mount", disc, point)]
    done = subprocess.run(words, capture_output=True, timeout=LIMIT, check=False)
    if done.returncode == 0:
        assert in_pieces(point / "numbered")[1] == 0
    else:
        assert done.returncode == 2
        assert b"oo many open files" in done.stderr
        assert done.stderr.count(b"\n") == 1, done.stderr
        assert not mounted(point)
    assert done.returncode == 0 or limit < 30


@contextmanager
def limited(pid: int, more: int) -> Iterator[None]:
    """Meanwhile a process may have so many bytes more of addresses than it has now."""
    unlimited = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (memory(pid, "VmSize") + more, unlimited[1]))
    yield
    if alive(pid):
        resource.prlimit(pid, resource.RLIMIT_AS, unlimited)


@pytest.mark.parametrize("more", [8 << 20, 32 << 20])
@pytest.mark.parametrize("when", ["at first", "under way"])
def test_a_daemon_that_is_denied_memory_gives_right_bytes_or_errors_and_hangs_nobody(
    image: Path, mounting: Mounting, more: int, when: str
) -> None:
    """It may end where not even what is small finds room. Else all is well again with the memory."""
    point = mounting.mount(image, "-o", "cache=8M")
    pid = daemon_of(point)
    if when == "under way":
        in_pieces(point / "numbered")
    errors = LOST if more > 8 << 20 else (*LOST, *DEAD)
    with limited(pid, more), ThreadPoolExecutor(4) as readers:
        jobs = [readers.submit(in_pieces, point / "numbered", errors=errors) for _ in range(4)]
        for i in range(FOLDERS):
            with suppress_lost(errors):
                assert (point / f"folder {i}" / "file").read_bytes() == b"x" * i
        with suppress_lost(errors):
            assert len(os.listdir(point / "cold folder")) == 500
        for job in jobs:
            job.result(LIMIT)
    if alive(pid):
        assert in_pieces(point / "numbered")[1] == 0
        assert len(os.listdir(point / "cold folder")) == 500
    else:
        assert more <= 8 << 20
        print(f"{image.name}, {more} bytes more, {when}: the daemon ended")
        assert isofs("umount", point).returncode == 0


def test_thousands_of_open_files_cost_the_daemon_no_descriptors(image: Path, mounting: Mounting) -> None:
    point = mounting.mount(image)
    pid = daemon_of(point)
    in_pieces(point / "numbered")
    before = len(os.listdir(f"/proc/{pid}/fd"))
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(5000, old[1] - 100) if old[1] != resource.RLIM_INFINITY else 5000
    assert count > 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(count + 100, old[0]), old[1]))
    opened = []
    try:
        for i in range(count):
            opened.append(os.open(point / ("numbered", "other")[i % 2], os.O_RDONLY))
            offset = SECTOR + i * 577 % (len(DATA) - 2 * SECTOR)
            assert os.pread(opened[-1], 100, offset) == DATA[offset : offset + 100]
        assert len(os.listdir(f"/proc/{pid}/fd")) <= before + 2
        grown = memory(pid, "RssAnon")
    finally:
        for fd in opened:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
    assert in_pieces(point / "numbered")[1] == 0
    assert memory(pid, "RssAnon") < grown + (8 << 20)


# --- processes that are killed --------------------------------------------------------------------------------------


def forked(command: int, point: Path) -> set[int]:
    """The daemon of a command that starts. Programs that it starts have its words too, until they have their own."""
    first = set(daemons(point))
    time.sleep(0.001)
    return (first & set(daemons(point))) - {command}


@pytest.mark.parametrize("both", [False, True], ids=["daemon", "both"])
def test_a_mount_that_is_killed_while_it_starts_leaves_nothing_that_cannot_be_taken_away(
    disc: Path, mounting: Mounting, both: bool
) -> None:
    """At any point. Where the command is left it has taken away what it told of."""
    seen = set()
    for turn in range(12):
        point = mounting.point()
        words = command("mount", disc, point)
        start = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while start.poll() is None and not forked(start.pid, point):
            pass
        if turn == 11:
            start.wait(LIMIT)
        time.sleep(turn * 0.004)
        for pid in daemons(point):
            if both or pid != start.pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        _, told = start.communicate(timeout=LIMIT)
        wait_until(lambda point=point: not daemons(point), "all have ended")  # type: ignore[misc]
        seen.add(start.returncode)
        if start.returncode > 0:
            assert told.count(b"\n") == 1, told
            assert b"Traceback" not in told
            assert not mounted(point)
        if mounted(point):
            with pytest.raises(OSError, match=r"not connected|abort"):
                os.listdir(point)
            assert isofs("umount", point).returncode == 0
        assert not mounted(point)
        assert os.listdir(point) == []
    assert len(seen) > 1, "never killed early enough"


def test_readers_of_a_killed_daemon_end_with_errors(image: Path, mounting: Mounting) -> None:
    point = mounting.mount(image)
    pid = daemon_of(point)
    started = threading.Barrier(5)

    def reads(number: int) -> int:
        chance = random.Random(number)
        done = 0
        started.wait(LIMIT)
        try:
            while True:
                offset = chance.randrange(len(DATA) - 70_000)
                found = pread_direct(os.fsencode(point / "numbered"), 66_000, offset)
                assert found == DATA[offset : offset + 66_000]
                assert len(os.listdir(point / "cold folder")) == 500
                done += 1
        except OSError as error:
            assert error.errno in DEAD, error  # noqa: PT017
        return done

    with ThreadPoolExecutor(4) as readers:
        jobs = [readers.submit(reads, number) for number in range(4)]
        started.wait(LIMIT)
        time.sleep(0.3)
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        done = [job.result(LIMIT) for job in jobs]
        assert time.monotonic() - killed < 2
    assert all(done), "nobody read anything before"
    wait_until(lambda: not alive(pid), "the daemon dies")
    assert isofs("umount", point).returncode == 0


READING: Final = """
import os, sys
while True:
    fd = os.open(sys.argv[1], os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.pread(fd, 1 << 20, 99)
    os.close(fd)
"""


def test_readers_that_are_killed_in_a_read_leave_nothing(image: Path, mounting: Mounting) -> None:
    point, process = mounting.foreground(image)
    in_pieces(point / "numbered")
    before = len(os.listdir(f"/proc/{process.pid}/fd"))
    words = [sys.executable, "-c", READING, str(point / "numbered")]
    for turn in range(10):
        readers = [subprocess.Popen(words) for _ in range(3)]
        time.sleep(0.05 + turn * 0.007)
        for reader in readers:
            reader.kill()
            reader.wait(LIMIT)
    assert in_pieces(point / "numbered")[1] == 0
    assert len(os.listdir(f"/proc/{process.pid}/fd")) <= before
    assert said(process) == []


def test_a_daemon_that_is_stopped_goes_on_where_it_was(image: Path, mounting: Mounting) -> None:
    point, process = mounting.foreground(image)
    with ThreadPoolExecutor(4) as readers:
        jobs = [readers.submit(in_pieces, point / "numbered", 16_384) for _ in range(4)]
        for _ in range(10):
            time.sleep(0.03)
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(0.03)
            os.kill(process.pid, signal.SIGCONT)
        assert [job.result(LIMIT)[1] for job in jobs] == [0] * 4
    os.kill(process.pid, signal.SIGSTOP)
    reader = subprocess.Popen(["cat", point / "other"], stdout=subprocess.DEVNULL)
    time.sleep(0.1)
    start = time.monotonic()
    reader.kill()
    reader.wait(LIMIT)
    assert time.monotonic() - start < 1
    os.kill(process.pid, signal.SIGCONT)
    assert in_pieces(point / "numbered")[1] == 0
    assert said(process) == []
