"""What is done on a mount, and how long it took. Each measure gives one figure or two."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from .data import BIG, Dataset
from .errors import BenchmarkError
from .figures import percentile
from .mounts import Mounted

_PIECE: Final = 1 << 20
_PAGE: Final = 4096
_READERS: Final = 4
_CHECKERS: Final = 8
_JUMPS: Final = 12
"""Places where each checker reads."""


class Job(NamedTuple):
    """What a measure works on. `number` is the round's: contenders of one round read the same places."""

    mounted: Mounted
    data: Dataset
    number: int

    @property
    def big(self) -> Path:
        """The big file on the mount."""
        return self.mounted.point / BIG


Measure = Callable[[Job], tuple[float, ...]]


def sequential(job: Job) -> tuple[float, ...]:
    """MB/s of the big file, read once from start to end."""
    started = time.perf_counter()
    done = _read(job.big, 0, job.data.big_size)
    seconds = time.perf_counter() - started
    _expect(done, job.data.big_size, "bytes")
    return (done / seconds / 1e6,)


def four_readers(job: Job) -> tuple[float, ...]:
    """MB/s of the big file, a quarter each by four threads at once."""
    size = job.data.big_size
    bounds = [size * i // _READERS for i in range(_READERS + 1)]
    done = [0] * _READERS

    def read(i: int) -> None:
        done[i] = _read(job.big, bounds[i], bounds[i + 1])

    started = time.perf_counter()
    _in_threads(read, _READERS)
    seconds = time.perf_counter() - started
    _expect(sum(done), size, "bytes")
    return (size / seconds / 1e6,)


def random_pages(job: Job, count: int = 1000) -> tuple[float, ...]:
    """Microseconds for one of 4096 bytes at a random place: median, and the 99th percentile."""
    pages = range(job.data.big_size // _PAGE)
    took = []
    file = os.open(job.big, os.O_RDONLY)
    try:
        for page in random.Random(job.number).sample(pages, min(count, len(pages))):
            started = time.perf_counter()
            piece = os.pread(file, _PAGE, page * _PAGE)
            took.append((time.perf_counter() - started) * 1e6)
            _expect(len(piece), _PAGE, "bytes")
    finally:
        os.close(file)
    return percentile(took, 50), percentile(took, 99)


def small_files(job: Job) -> tuple[float, ...]:
    """Milliseconds to read all small files: for the first time, and once more."""
    return _read_small(job), _read_small(job)


def find(job: Job) -> tuple[float, ...]:
    """Milliseconds of `find -ls` over the tree: for the first time, and once more."""
    words = ["find", os.fspath(job.mounted.point), "-ls"]
    return _listed(words, job.data.names), _listed(words, job.data.names)


def wide_ls(job: Job) -> tuple[float, ...]:
    """Milliseconds of `ls -f` of the wide directory."""
    return (_listed(["ls", "-f", os.fspath(job.mounted.point)], job.data.sizes.entries),)


def wide_find(job: Job) -> tuple[float, ...]:
    """Milliseconds of `find -ls` of the wide directory."""
    return (_listed(["find", os.fspath(job.mounted.point), "-ls"], job.data.sizes.entries + 1),)


def start(job: Job) -> tuple[float, ...]:
    """Milliseconds from the start of the command to a mount that answers."""
    return (job.mounted.start_seconds * 1000,)


def differences(path: Path, truth: Path, seed: int) -> list[str]:
    """Reads random ranges of a file by eight threads at once; says where they differ from the truth."""
    size = truth.stat().st_size
    found: list[str] = []

    def check(i: int) -> None:
        rng = random.Random(seed * _CHECKERS + i)
        try:
            with open(path, "rb", buffering=0) as ours, open(truth, "rb", buffering=0) as right:
                for _ in range(_JUMPS):
                    at = rng.randrange(size)
                    for _ in range(rng.randint(1, 8)):
                        length = rng.choice((1, 512, 5000, 1 << 16, 1 << 17, 400_000))
                        if os.pread(ours.fileno(), length, at) != os.pread(right.fileno(), length, at):
                            found.append(f"{length} bytes at {at}")
                        at += length
        except OSError as error:
            found.append(f"an error ({error.strerror})")

    _in_threads(check, _CHECKERS)
    return found


def _read(path: Path, start: int, end: int) -> int:
    """Reads a range in large pieces, and gives how many bytes there were."""
    buffer = memoryview(bytearray(_PIECE))
    at = start
    file = os.open(path, os.O_RDONLY)
    try:
        while at < end:
            got = os.preadv(file, [buffer[: min(_PIECE, end - at)]], at)
            if not got:
                break
            at += got
    finally:
        os.close(file)
    return at - start


def _read_small(job: Job) -> float:
    top = os.fspath(job.mounted.point)
    done = 0
    started = time.perf_counter()
    for name in job.data.small:
        file = os.open(f"{top}/{name}", os.O_RDONLY)
        try:
            while piece := os.read(file, 1 << 16):
                done += len(piece)
        finally:
            os.close(file)
    seconds = time.perf_counter() - started
    _expect(done, job.data.small_bytes, "bytes of small files")
    return seconds * 1000


def _listed(words: Sequence[str], least: int) -> float:
    """Milliseconds of a command that must write so many lines. They go to memory: all contenders pay the same."""
    with open(os.memfd_create("lines"), "w+b") as lines:
        started = time.perf_counter()
        code = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=lines, check=False).returncode
        seconds = time.perf_counter() - started
        if code:
            raise BenchmarkError(f"{words[0]} failed ({code})")
        lines.seek(0)
        found = sum(1 for _ in lines)
    if found < least:
        raise BenchmarkError(f"{words[0]} wrote {found} lines, not {least}")
    return seconds * 1000


def _expect(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        raise BenchmarkError(f"{found} {what} were read, not {wanted}")


def _in_threads(work: Callable[[int], None], count: int) -> None:
    """Does a work in some threads at once; an error of one of them is an error."""
    errors: list[Exception] = []

    def guarded(i: int) -> None:
        try:
            work(i)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
