"""The data: a tree, a wide directory, and the images that are made of them. Built once, used again."""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from .errors import BenchmarkError, note

MEGABYTE: Final = 1_000_000
BIG: Final = "big.bin"
"""The name of the big file."""
_PIECE: Final = 1 << 20
_SEED: Final = 20240229
_VERSION: Final = 1
"""Of the data; another one is made anew."""
_LONGEST: Final = 20_000
"""Bytes of a small file, at most."""
_FILES_OF_A_FOLDER: Final = 125
_SUBFOLDERS: Final = 10
_REPOSITORY: Final = Path(__file__).resolve().parent.parent


class Sizes(NamedTuple):
    """How much data there is."""

    megabytes: int = 400
    """Of the big file."""
    small_files: int = 5000
    entries: int = 100_000
    """Of the wide directory."""


@dataclass
class Dataset:
    """The data of a run."""

    folder: Path
    sizes: Sizes
    small: list[str] = field(default_factory=list)
    """Paths of the small files below the tree."""
    small_bytes: int = 0
    """Bytes of the small files together."""
    names: int = 0
    """Everything in the tree: files, folders, links and the tree itself."""
    big_at: int = 0
    """Where the big file's bytes lie on the disc."""
    images: dict[str, Path] = field(default_factory=dict)
    """The images that could be made, by their names in `IMAGES`."""
    missing: list[str] = field(default_factory=list)
    """What could not be made, and why."""

    @property
    def big(self) -> Path:
        """The big file as it is in the tree: the truth."""
        return self.folder / "tree" / BIG

    @property
    def big_size(self) -> int:
        """Bytes of the big file."""
        return self.sizes.megabytes * MEGABYTE


class Recipe(NamedTuple):
    """How an image is made: `tool` with `words`, of another file in the same folder."""

    file: str
    source: str
    tool: str
    words: tuple[str, ...]


def _xorriso(source: str, file: str, *how: str) -> Recipe:
    words = ("-as", "mkisofs", "-quiet", "-iso-level", "3", "-R", "-o", "{to}", *how, "{from}")
    return Recipe(file, source, "xorriso", words)


def _maxcso(file: str, style: str, block: int) -> Recipe:
    words = (f"--format={style}", f"--block={block}", "--fast", "--quiet", "{from}", "-o", "{to}")
    return Recipe(file, "disc.iso", "maxcso", words)


def _squashfs(file: str, block: str) -> Recipe:
    return Recipe(
        file, "tree", "mksquashfs", ("{from}", "{to}", "-comp", "gzip", "-b", block, "-noappend", "-no-progress")
    )


IMAGES: Final = {
    "iso": _xorriso("tree", "disc.iso"),
    "wide": _xorriso("wide.list", "wide.iso", "-graft-points", "-path-list"),
    "cso2k": _maxcso("disc-2k.cso", "cso1", 2048),
    "cso16k": _maxcso("disc-16k.cso", "cso1", 16384),
    "zso": _maxcso("disc.zso", "zso", 2048),
    "chd": Recipe("disc.chd", "disc.iso", "chdman", ("createcd", "-i", "{from}", "-o", "{to}")),
    "squashfs128k": _squashfs("tree-128k.squashfs", "128K"),
    "squashfs4k": _squashfs("tree-4k.squashfs", "4K"),
}
"""All images, by name; an image stands behind the one that it is made of."""


def default_work() -> Path:
    """The cache folder where nothing else is said."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if os.path.isabs(cache) else Path.home() / ".cache") / "isofs-benchmarks"


def find_tool(name: str) -> str | None:
    """The path of a program. Those of npm are also found by ISOFS_MAXCSO and ISOFS_CHDMAN, or in the repository."""
    places: list[str | None] = [shutil.which(name)]
    if name in ("maxcso", "chdman"):
        installed = _REPOSITORY / f"node_modules/@emmercm/{name}-linux-x64/dist/{name}"
        places = [os.environ.get(f"ISOFS_{name.upper()}"), *places, os.fspath(installed)]
    return next((place for place in places if place and os.access(place, os.X_OK)), None)


def build(work: Path, sizes: Sizes, wanted: Collection[str]) -> Dataset:
    """Makes what is not there yet of the images that are wanted, which is at least `iso`. Raises `BenchmarkError`."""
    folder = work / "-".join(map(str, (_VERSION, *sizes)))
    folder.mkdir(parents=True, exist_ok=True)
    data = Dataset(folder, sizes)
    lacking: dict[str, list[str]] = {}
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _make(folder / "tree", lambda at: _build_tree(at, sizes))
        for name, recipe in IMAGES.items():
            if name in wanted:
                _make_image(data, name, recipe, lacking)
        data.missing += [
            f"{tool} is not installed: no {', '.join(files)}, and no rows of that" for tool, files in lacking.items()
        ]
        _describe(data)
    for path in [data.big, *data.images.values()]:
        keep_in_memory(path)
    return data


def keep_in_memory(path: Path) -> None:
    """Has the kernel keep a file's bytes in memory, so that no storage is measured."""
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(_PIECE)
        while file.readinto(buffer):
            pass


def _make(path: Path, how: Callable[[Path], object]) -> None:
    """Makes a file or folder that is either there as a whole or not at all."""
    if path.exists():
        return
    part = path.with_name(f"{path.name}.part")
    if part.is_dir():
        shutil.rmtree(part)
    part.unlink(missing_ok=True)
    if path.suffix not in (".json", ".list"):
        note(f"making {path}")
    how(part)
    part.rename(path)


def _make_image(data: Dataset, name: str, recipe: Recipe, lacking: dict[str, list[str]]) -> None:
    path, source = data.folder / recipe.file, data.folder / recipe.source
    if not path.exists():
        tool = find_tool(recipe.tool)
        if tool is None:
            if recipe.tool == "xorriso":
                raise BenchmarkError("xorriso is not installed, and nothing can be made without it")
            lacking.setdefault(recipe.tool, []).append(recipe.file)
            return
        program = tool
        if name == "wide":
            _make(source, lambda at: _list_wide(at, data.sizes.entries))
        places = {"{from}": os.fspath(source)}
        _make(
            path,
            lambda part: _run(
                [program, *({**places, "{to}": os.fspath(part)}.get(word, word) for word in recipe.words)]
            ),
        )
    data.images[name] = path


def _run(words: list[str]) -> str:
    """Runs a program to its end and gives what it said."""
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        said = (done.stderr + done.stdout).strip().splitlines()
        raise BenchmarkError(f"{words[0]} failed ({done.returncode}): {said[-1] if said else 'it does not say why'}")
    return done.stdout + done.stderr


# --- the trees ------------------------------------------------------------------------------------------------------


def _real_pieces(rng: random.Random) -> Iterator[bytes]:
    """Beginnings of the files of /usr, in a random order that is the same each time; of many kinds, never ending."""
    paths = []
    for top in ("/usr/bin", "/usr/include", "/usr/lib", "/usr/libexec", "/usr/share"):
        for folder, folders, files in os.walk(top):
            folders.sort()
            paths += [os.path.join(folder, name) for name in sorted(files)]
    rng.shuffle(paths)
    found = True
    while found:
        found = False
        for path in paths:
            try:
                if os.path.isfile(path) and not os.path.islink(path):
                    with open(path, "rb") as file:
                        piece = file.read(_PIECE)
                else:
                    piece = b""
            except OSError:  # not for us to read
                continue
            if piece:
                found = True
                yield piece
    raise BenchmarkError("there are no files in /usr to take data from")


def _build_tree(tree: Path, sizes: Sizes) -> None:
    """One big file of many pieces, a tenth of it random; small files and links in folders of folders."""
    rng = random.Random(_SEED)
    pieces = _real_pieces(rng)
    tree.mkdir()
    left = sizes.megabytes * MEGABYTE
    real = noise = 0
    with open(tree / BIG, "wb") as big:
        while left:
            due = real // 9 - noise
            if due < _PIECE // 16:
                piece = next(pieces)[:left]
                real += len(piece)
            else:
                piece = rng.randbytes(min(due, left))
                noise += len(piece)
            big.write(piece)
            left -= len(piece)
    folders = []
    for i in range(-(-sizes.small_files // _FILES_OF_A_FOLDER)):
        folder = tree / f"part {i:03}"
        folders += [folder / f"section {chr(ord('a') + j)}" for j in range(_SUBFOLDERS)]
    for folder in folders:
        folder.mkdir(parents=True)
    with open(tree / BIG, "rb") as big:
        for i in range(sizes.small_files):
            length = int((_LONGEST + 1) * rng.random() ** 2)
            big.seek(rng.randrange(max(1, sizes.megabytes * MEGABYTE - length)))
            folder = folders[i % len(folders)]
            (folder / f"document number {i}.txt").write_bytes(big.read(length))
            if i % 10 in (1, 4, 7):
                (folder / f"link to {i}").symlink_to(f"document number {i}.txt")


def _list_wide(path: Path, entries: int) -> None:
    """A list for xorriso: one directory of so many files, all of them empty.

    The last name comes first. xorriso looks for the place of each name from the first one on: in another order it
    would need minutes.
    """
    empty = path.with_name("empty")
    empty.touch()
    source = os.fspath(empty).replace("\\", "\\\\").replace("=", "\\=")
    names = (f"/entry {i:06}.dat={source}\n" for i in reversed(range(entries)))
    path.write_text("".join(names), encoding="utf-8", errors="surrogateescape")


def _describe(data: Dataset) -> None:
    """Looks at the tree, and on the disc for the big file's place; keeps what it found."""
    place = data.folder / "about.json"
    if not place.exists():
        tree = data.folder / "tree"
        small, total, names = [], 0, 1
        for folder, folders, files in os.walk(tree):
            folders.sort()
            names += len(folders) + len(files)
            for name in sorted(files):
                path = Path(folder, name)
                if name != BIG and not path.is_symlink():
                    small.append(os.fspath(path.relative_to(tree)))
                    total += path.stat().st_size
        about = {"small": small, "small_bytes": total, "names": names}
        _make(place, lambda at: _write_json(at, about))
    about = json.loads(place.read_text(encoding="utf-8"))
    data.small, data.small_bytes, data.names = about["small"], about["small_bytes"], about["names"]
    if not any(name.startswith(("cso", "zso")) for name in data.images):
        return
    found = data.folder / "big-at.json"
    _make(found, lambda at: _write_json(at, _place_of_big(data.folder / IMAGES["iso"].file)))
    data.big_at = json.loads(found.read_text(encoding="utf-8"))


def _place_of_big(iso: Path) -> int:
    said = _run(["xorriso", "-indev", os.fspath(iso), "-find", f"/{BIG}", "-exec", "report_lba"])
    block = re.search(r"File data lba:\s*\d+\s*,\s*(\d+)", said)
    if block is None:
        raise BenchmarkError(f"xorriso does not say where {BIG} lies in {iso}")
    return int(block[1]) * 2048


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
