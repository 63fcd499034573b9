"""Readers of all kinds on mounts of all kinds, for long: right bytes throughout, and nothing that grows.

`ISOFS_SOAK` says for how many seconds. The figures are written with `-s`.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import random
import subprocess
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from judge.calls import pread_direct
from writers.chdman import chdman
from writers.containers import cso, dax, jiso, zso
from writers.edc import raw_disc
from writers.mounting import LIMIT, Mounting, alive, daemon_of, numbered
from writers.tools import require
from writers.trees import make_tree

SECONDS: Final = float(os.environ.get("ISOFS_SOAK", "5"))
SECTORS: Final = 2000
READERS: Final = 2
"""Processes for each mount."""
GROWTH: Final = 8 << 20
"""Bytes of memory that a daemon may have more at the end than after the first fifth of the time."""
ROOM: Final = 64 << 20
"""The same where there is no time to get warm: the caches have their bounds."""


def gzip(disc: bytes) -> bytes:
    return subprocess.run([require("gzip"), "-c"], input=disc, capture_output=True, check=True).stdout


CONTAINERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "disc.iso": lambda disc: disc,
    "disc.cso": cso,
    "disc.zso": lambda disc: zso(disc, block_size=16_384),
    "disc.dax": dax,
    "disc.jso": jiso,
    "disc.bin": raw_disc,
    "disc.iso.gz": gzip,
}


class Facts(NamedTuple):
    """What a daemon holds."""

    anonymous: int
    descriptors: int
    threads: int


def facts(pid: int) -> Facts:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    kib = int(status["RssAnon"].split()[0])
    return Facts(kib * 1024, len(os.listdir(f"/proc/{pid}/fd")), int(status["Threads"]))


class Reader:
    """A process that reads a mount in ways of its own choice until a time."""

    def __init__(self, point: Path, source: Path, data: bytes, tree: list[bytes], seed: int) -> None:
        self.point = point
        self.source = source
        self.data = data
        self.tree = tree
        self.done = dict.fromkeys(("sequential", "scattered", "mapped", "direct", "walk", "find", "names"), 0)
        self._seed = seed
        self._pid = 0
        self._told = -1

    def start(self, until: float) -> None:
        """Begins; until a time of `monotonic`."""
        self._told, tell = os.pipe()
        self._pid = os.fork()
        if self._pid:
            os.close(tell)
            return
        words = "no answer"
        try:
            chance = random.Random(self._seed)
            while time.monotonic() < until:
                kind = chance.choice(list(self.done))
                getattr(self, kind)(chance)
                self.done[kind] += 1
            words = json.dumps(self.done)
        except BaseException:
            words = traceback.format_exc()
        finally:
            os.write(tell, words.encode()[-4000:])
            os._exit(0)

    def result(self) -> dict[str, int]:
        """Waits for the end: how many rounds of each kind were read."""
        with open(self._told) as told:
            words = told.read()
        os.waitpid(self._pid, 0)
        assert words.startswith("{"), words
        found: dict[str, int] = json.loads(words)
        return found

    def sequential(self, chance: random.Random) -> None:
        with open(self.point / "large", "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            found = hashlib.sha256()
            while piece := file.read(chance.choice((4096, 65_536, 1 << 20))):
                found.update(piece)
        assert found.digest() == hashlib.sha256(self.data).digest()

    def scattered(self, chance: random.Random) -> None:
        with open(self.point / "large", "rb", buffering=0) as file:
            for _ in range(50):
                offset, n = chance.randrange(len(self.data)), chance.randrange(1, 200_000)
                assert os.pread(file.fileno(), n, offset) == self.data[offset : offset + n]
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def mapped(self, chance: random.Random) -> None:
        with (
            open(self.point / "large", "rb") as file,
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view,
        ):
            for _ in range(50):
                offset, n = chance.randrange(len(self.data)), chance.randrange(1, 50_000)
                assert view[offset : offset + n] == self.data[offset : offset + n]

    def direct(self, chance: random.Random) -> None:
        offset, n = chance.randrange(len(self.data)), chance.randrange(1, 300_000)
        assert pread_direct(os.fsencode(self.point / "large"), n, offset) == self.data[offset : offset + n]

    def walk(self, chance: random.Random) -> None:
        root = os.fsencode(self.point)
        found = [
            os.path.join(folder, name)[len(root) + 1 :]
            for folder, folders, files in os.walk(root)
            for name in folders + files
        ]
        assert sorted(found) == self.tree

    def find(self, chance: random.Random) -> None:
        words = ["find", str(self.point), "-type", "f", "-size", "+0"]
        assert subprocess.run(words, capture_output=True, timeout=LIMIT, check=True).stdout

    def names(self, chance: random.Random) -> None:
        for _ in range(200):
            path = chance.choice(self.tree)
            ours, theirs = (os.lstat(os.fsencode(root) + b"/" + path) for root in (self.point, self.source))
            assert (ours.st_mode, ours.st_mtime // 1) == (theirs.st_mode, theirs.st_mtime // 1)
            assert not os.path.lexists(os.fsencode(self.point) + b"/" + path + b"%d" % chance.getrandbits(40))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = make_tree(tmp_path_factory.mktemp("tree") / "source", many=300)
    (at / "large").write_bytes(numbered(SECTORS))
    return at


@pytest.fixture(scope="module")
def images(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    at = tmp_path_factory.mktemp("images")
    words = [require("xorriso"), "-as", "mkisofs", "-quiet", "-R", "-o", str(at / "disc.iso"), str(tree)]
    subprocess.run(words, check=True, capture_output=True, timeout=LIMIT)
    disc = (at / "disc.iso").read_bytes()
    for name, make in CONTAINERS.items():
        (at / name).write_bytes(make(disc))
    (at / "disc.cue").write_text('FILE "disc.bin" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n')
    chdman("createcd", "-i", at / "disc.cue", "-o", at / "disc.chd")
    return [at / name for name in (*CONTAINERS, "disc.cue", "disc.chd")]


@pytest.mark.timeout(SECONDS * 2 + 120)
def test_many_readers_for_long_get_right_bytes_and_leave_the_daemons_as_they_were(
    images: list[Path], tree: Path, mounting: Mounting
) -> None:
    points = [mounting.mount(image) for image in images]
    pids = list(map(daemon_of, points))
    data = (tree / "large").read_bytes()
    paths = sorted(os.fsencode(path.relative_to(tree)) for path in tree.rglob("*"))
    readers = [[Reader(point, tree, data, paths, i) for i in range(READERS)] for point in points]
    start = time.monotonic()
    for reader in (each for of_image in readers for each in of_image):
        reader.start(start + SECONDS)
    time.sleep(SECONDS / 5)
    early = list(map(facts, pids))
    most = early
    while time.monotonic() < start + SECONDS:
        time.sleep(min(SECONDS / 10, 5))
        most = [Facts(*map(max, one, other)) for one, other in zip(most, map(facts, pids), strict=True)]
    rounds = [[reader.result() for reader in of_image] for of_image in readers]
    late = list(map(facts, pids))
    print(f"\n{time.monotonic() - start:.0f} s; rounds by kind; RssAnon early, most, late in MiB; descriptors; threads")
    for image, done, before, peak, after in zip(images, rounds, early, most, late, strict=True):
        counts = " ".join(f"{kind} {sum(each[kind] for each in done)}" for kind in done[0])
        memory = " ".join(f"{found.anonymous / (1 << 20):.1f}" for found in (before, peak, after))
        print(f"{image.name}: {counts}; {memory}; {before.descriptors} {after.descriptors}; {after.threads}")
    assert all(map(alive, pids))
    for image, before, after in zip(images, early, late, strict=True):
        assert after.descriptors <= before.descriptors + 2, image.name
        assert after.anonymous <= before.anonymous + (GROWTH if SECONDS >= 60 else ROOM), image.name
