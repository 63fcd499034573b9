"""Reading by many at once: whatever is decoded ahead, kept and used again, the bytes are those of the disc."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from writers import chd
from writers.containers import cso, dax, jiso, zso
from writers.edc import header
from writers.mounting import LIMIT, Mounting, isofs, numbered
from writers.tools import require

SECTORS: Final = 6000
SIX_SLOTS: Final = "cache=4300K"
"""Three fourths of it are room for six runs of 512 KiB."""
CONTAINERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "plain": lambda disc: disc,
    "cso": cso,
    "cso 16K": lambda disc: cso(disc, block_size=16384),
    "cso 2352": lambda disc: cso(disc, block_size=2352),
    "zso": zso,
    "dax": dax,
    "jiso": jiso,
}


def raw(disc: bytes) -> bytes:
    """The disc in sectors of 2352 bytes, by turns of mode 1 and 2."""
    sectors = []
    for number in range(len(disc) // 2048):
        head = header(number, 1) if number % 2 else header(number, 2) + b"\0\0\x08\0" * 2
        sectors.append((head + disc[number * 2048 : (number + 1) * 2048]).ljust(2352, b"\xee"))
    return b"".join(sectors)


def by_chdman(disc: bytes, folder: Path, codec: str, *, whole: bool) -> bytes:
    """A CD, of whole sectors or of what is in them."""
    tool = require("chdman")
    (folder / "disc.bin").write_bytes(raw(disc) if whole else disc)
    mode = "MODE1/2352" if whole else "MODE1/2048"
    (folder / "disc.cue").write_text(f'FILE "disc.bin" BINARY\n  TRACK 01 {mode}\n    INDEX 01 00:00:00\n')
    words = [tool, "createcd", "-i", str(folder / "disc.cue"), "-o", str(folder / "disc.chd"), "-c", codec]
    subprocess.run(words, check=True, capture_output=True, timeout=LIMIT)
    return (folder / "disc.chd").read_bytes()


SLOWER: Final[dict[str, Callable[[bytes, Path], bytes]]] = {
    "cdzl": lambda disc, folder: by_chdman(disc, folder, "cdzl", whole=False),
    "cdzl of whole sectors": lambda disc, folder: by_chdman(disc, folder, "cdzl", whole=True),
    "cdlz": lambda disc, folder: by_chdman(disc, folder, "cdlz", whole=False),
    "chd of a dvd": lambda disc, _: chd.version_5(
        chd.usual(disc, 4096), 4096, len(disc), metadata=[(b"DVD ", 1, b"\0")]
    ),
    "zso of raw sectors": lambda disc, _: zso(raw(disc)),
}
"""What is decoded in Python, or made of sectors."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A large file, an odd one behind it, and small ones with links."""
    at = tmp_path_factory.mktemp("tree")
    data = numbered(SECTORS)
    (at / "large").write_bytes(data)
    (at / "odd").write_bytes(data[777:1_500_000])
    for i in range(200):
        (at / f"small {i:03}").write_bytes(data[i * 4000 : i * 4000 + i * 97])
        os.symlink(f"small {i:03}", at / f"link {i:03}")
    return at


@pytest.fixture(scope="module")
def disc(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    image = tmp_path_factory.mktemp("disc") / "disc.iso"
    words = [require("xorriso"), "-as", "mkisofs", "-quiet", "-R", "-o", str(image), str(tree)]
    subprocess.run(words, check=True, capture_output=True, timeout=LIMIT)
    return image.read_bytes()


@pytest.fixture(params=list(CONTAINERS))
def image(request: pytest.FixtureRequest, disc: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(CONTAINERS[request.param](disc))
    return path


@pytest.fixture(params=["compiled", "Python"])
def mounting(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mounting]:
    require("/dev/fuse")
    if request.param == "Python":
        monkeypatch.setenv("ISOFS_PYTHON_DECODER", "1")
    elif b"compiled" not in isofs("--version").stdout:
        pytest.skip("the decoder in C is not built")
    own = Mounting(tmp_path)
    try:
        yield own
    finally:
        own.clean()


def wrong_ranges(mounted: Path, original: bytes, seed: int) -> list[tuple[int, int]]:
    """Ranges that one reader found to differ: short streaks at random places."""
    chance = random.Random(seed)
    wrong = []
    fd = os.open(mounted, os.O_RDONLY)
    try:
        for _ in range(12):
            at = chance.randrange(len(original))
            for _ in range(chance.choice((1, 4, 12))):
                n = chance.choice((4096, 65_536, 131_072, 300_000))
                if os.pread(fd, n, at) != original[at : at + n]:
                    wrong.append((at, n))
                at += n
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # so that the mount is asked, not the page cache
    finally:
        os.close(fd)
    return wrong


@pytest.mark.parametrize("options", [SIX_SLOTS, f"{SIX_SLOTS},threads=0,nospin"])
def test_eight_readers_at_random_places_get_the_bytes_of_the_disc(
    image: Path, mounting: Mounting, tree: Path, options: str
) -> None:
    point = mounting.mount(image, "-o", options)
    names = ["large", "large", "odd"]
    original = {name: (tree / name).read_bytes() for name in names}
    with ThreadPoolExecutor(8) as readers:
        jobs = [(names[i % len(names)], i) for i in range(8)]
        found = list(readers.map(lambda job: wrong_ranges(point / job[0], original[job[0]], job[1]), jobs))
    assert found == [[]] * 8


def test_every_file_and_link_of_the_tree_is_that_of_the_source(image: Path, mounting: Mounting, tree: Path) -> None:
    point = mounting.mount(image)

    def facts(root: Path) -> dict[str, str]:
        return {
            name: os.readlink(root / name)
            if (root / name).is_symlink()
            else hashlib.sha256((root / name).read_bytes()).hexdigest()
            for name in os.listdir(root)
        }

    assert facts(point) == facts(tree)


@pytest.fixture(scope="module", params=list(SLOWER))
def slower(request: pytest.FixtureRequest, disc: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slower")
    path = folder / "image"
    path.write_bytes(SLOWER[request.param](disc, folder))
    return path


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounting]:
    require("/dev/fuse")
    own = Mounting(tmp_path)
    try:
        yield own
    finally:
        own.clean()


WINDOW: Final = 1_300_000


def wrong_requests(mounted: Path, original: bytes, reader: int) -> list[tuple[int, int]]:
    """Requests of one reader that were answered wrong: each reads another part of a file in another way."""
    chance = random.Random(reader)
    start = chance.randrange(max(len(original) - WINDOW, 1))
    end = min(start + WINDOW, len(original))
    n = (4096, 10_000, 65_536, 131_072, 300_000)[reader % 5]
    places = list(range(start, end, n))
    if reader % 4 == 1:
        places.reverse()
    elif reader % 4 == 2:
        places = [place for pair in zip(places, places[len(places) // 2 :], strict=False) for place in pair]
    elif reader % 4 == 3:
        chance.shuffle(places)
    wrong = []
    fd = os.open(mounted, os.O_RDONLY)
    try:
        for number, at in enumerate(places):
            if os.pread(fd, n, at) != original[at : at + n]:
                wrong.append((at, n))
            if not number % 16:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
    return wrong


@pytest.mark.parametrize("options", ["cache=1M,threads=3", "cache=1M,threads=0,nospin", "cache=4M"])
def test_eight_readers_in_their_own_ways_get_the_bytes_of_the_disc(
    slower: Path, mounts: Mounting, tree: Path, options: str
) -> None:
    point = mounts.mount(slower, "-o", options)
    original = {name: (tree / name).read_bytes() for name in ("large", "odd")}
    with ThreadPoolExecutor(8) as readers:
        jobs = [("odd" if reader in (2, 5) else "large", reader) for reader in range(8)]
        found = list(readers.map(lambda job: wrong_requests(point / job[0], original[job[0]], job[1]), jobs))
    assert found == [[]] * 8
