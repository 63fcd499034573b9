"""An image on storage that stalls: who asks for what is in memory goes on being served."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from writers.containers import cso, entry
from writers.mounting import LIMIT, Mounting, numbered
from writers.slow import Stalling, stalling
from writers.tools import require

SIZE: Final = 3000 * 2048
COLD: Final = b"the file that is cold"
CONTAINERS: Final[dict[str, Callable[[bytes], bytes]]] = {"plain": lambda disc: disc, "cso": cso}
STALL: Final = 1.0
"""Seconds: a request that is held up takes as long."""


@pytest.fixture(scope="module")
def disc(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file that is read, a file and a folder that are not, and many small folders."""
    tree = tmp_path_factory.mktemp("tree")
    (tree / "cold folder").mkdir()
    for i in range(500):
        (tree / "cold folder" / f"entry {i}").touch()
    (tree / "warm").write_bytes(numbered(3000))
    (tree / "cold").write_bytes(COLD.ljust(2048) + numbered(3000)[2048:])
    for i in range(20):
        (tree / f"folder {i}").mkdir()
        (tree / f"folder {i}" / "file").write_bytes(b"x" * i)
    image = tmp_path_factory.mktemp("disc") / "disc.iso"
    words = [require("xorriso"), "-as", "mkisofs", "-quiet", "-R", "-o", str(image), str(tree)]
    subprocess.run(words, check=True, capture_output=True, timeout=LIMIT)
    return image.read_bytes()


@pytest.fixture(params=list(CONTAINERS))
def storage(request: pytest.FixtureRequest, disc: bytes, tmp_path: Path) -> Iterator[Stalling]:
    require("/dev/fuse")
    backing = tmp_path / "backing"
    backing.write_bytes(CONTAINERS[request.param](disc))
    with stalling(backing, tmp_path) as found:
        yield found


def latencies(point: Path, seconds: float, until: Callable[[], bool] = lambda: False) -> list[float]:
    """Seconds that each of some reads of `warm` and lookups took, none of which the kernel could answer itself."""
    took = []
    end = time.monotonic() + seconds
    fd = os.open(point / "warm", os.O_RDONLY)
    try:
        number = 0
        while time.monotonic() < end and not until():
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            start = time.perf_counter()
            assert len(os.pread(fd, 4096, number * 40_960 % (SIZE - 4096))) == 4096
            took.append(time.perf_counter() - start)
            start = time.perf_counter()
            assert not os.path.exists(point / f"folder {number % 20}" / f"none of this name {start}")
            took.append(time.perf_counter() - start)
            number += 1
    finally:
        os.close(fd)
    return sorted(took)


READER: Final = "import sys; print(len(open(sys.argv[1], 'rb').read()))"
LISTER: Final = "import os, sys; print(len(os.listdir(sys.argv[1])))"


def place(disc: bytes, image: bytes, what: str) -> tuple[int, int]:
    """First and last byte in the image of the cold file's data, or of the cold folder's records."""
    if what == "cold":
        first = disc.index(COLD)
        last = first + SIZE
    else:
        first = disc.index(b"entry 0") // 2048 * 2048
        last = (disc.index(b"entry 499") // 2048 + 1) * 2048
    if image[:4] == b"CISO":
        first, last = (entry(image, at // 2048) & 0x7FFF_FFFF for at in (first, last))
    return first // 4096 * 4096, last - last % 4096


@pytest.mark.parametrize(
    ("what", "asks", "answer"), [("cold", READER, str(SIZE)), ("cold folder", LISTER, "500")], ids=["file", "folder"]
)
def test_who_asks_for_what_is_in_memory_does_not_wait(
    disc: bytes, storage: Stalling, mounting: Mounting, what: str, asks: str, answer: str
) -> None:
    first, last = place(disc, storage.image.read_bytes(), what)
    point = mounting.mount(storage.image)
    (point / "warm").read_bytes()
    for i in range(20):
        assert len((point / f"folder {i}" / "file").read_bytes()) == i
    before = latencies(point, 0.5)
    with storage.stalled(first, last):
        reader = subprocess.Popen([sys.executable, "-c", asks, point / what], stdout=subprocess.PIPE, text=True)
        time.sleep(0.2)  # the reader gets as far as it can
        during = latencies(point, STALL, lambda: reader.poll() is not None)
        stalled = reader.poll() is None
    assert reader.communicate(timeout=LIMIT)[0].strip() == answer
    print(f"p99 {before[len(before) * 99 // 100] * 1e6:.0f} us, stalled {during[len(during) * 99 // 100] * 1e6:.0f} us")
    assert stalled, "the storage did not stall"
    assert during[-1] < STALL / 2
