"""Any tree, in any container, read in any way, is the tree that was put on the disc.

A tree of files is made in a plain directory and written to a disc, by xorriso or by the tests' own writer, the disc
put into a container, mounted, and both trees are asked the same questions: one after the other, then by several
threads and processes at once. `ISOFS_MODEL` says how many trees each container gets.
"""

from __future__ import annotations

import errno
import mmap
import os
import random
import shutil
import stat
import subprocess
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judge.calls import Directory, pread_direct
from writers.chdman import chdman
from writers.containers import cso, dax, jiso, lzo_block, zso
from writers.discs import FILE, TIME_NS, Disc, record, rock
from writers.edc import form_1, raw_disc
from writers.mounting import LIMIT, Mounting, alive, daemon_of, isofs, wait_until
from writers.tools import require

EXAMPLES: Final = int(os.environ.get("ISOFS_MODEL", "3"))

# --- trees ----------------------------------------------------------------------------------------------------------

BORDERS: Final = (0, 512, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072, 524_288, 1_048_576)
"""Sizes of sectors, pages, blocks, requests and runs."""


@dataclass(frozen=True)
class File:
    size: int
    kind: str = "words"
    """Of its bytes: noise, words or zeros."""
    mode: int = 0o644
    time: int = 1_000_000_000
    owner: int = 0

    def content(self) -> bytes:
        return content(self.kind, self.size)


@dataclass(frozen=True)
class Link:
    target: str


@dataclass(frozen=True)
class Again:
    """Another name of one of the files there are so far."""

    number: int


@dataclass(frozen=True)
class Pipe:
    mode: int = 0o600


@dataclass(frozen=True)
class Deep:
    """Directories below each other, and a file in the last one."""

    levels: int


@dataclass(frozen=True)
class Wide:
    """A directory of many files."""

    names: int


Node: TypeAlias = "File | Link | Again | Pipe | Deep | Wide | dict[str, Node]"
Tree: TypeAlias = dict[str, Node]


def content(kind: str, size: int) -> bytes:
    """Bytes that tell their place; no two sizes have the same ones."""
    if kind == "zeros":
        return bytes(size)
    if kind == "noise":
        return random.Random(size).randbytes(size)
    words = b"".join(b"%9d of %d;" % (place, size) for place in range(0, size + 32, 24))
    return words[:size]


def fits(name: str) -> bool:
    return name not in (".", "..") and 0 < len(os.fsencode(name)) <= 255


TEXT: Final = st.characters(exclude_categories=["Cs"], exclude_characters="/\0")
NAMES: Final = st.one_of(
    st.sampled_from(
        ["a", "A", "a.", "a.b", "a.B", ".a", "a;1", "A.B;1", "a b", "-", "~", "a\nb", "\\", "\x7f", "TRANS.TBL"]
    ),
    st.text(TEXT, min_size=1, max_size=12),
    st.integers(200, 255).map(lambda n: "n" * n),
    st.integers(60, 85).map(lambda n: "\N{CJK UNIFIED IDEOGRAPH-6F22}" * n),
    st.binary(min_size=1, max_size=20).map(lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_"))),
).filter(fits)
SIZES: Final = st.one_of(
    st.tuples(st.sampled_from(BORDERS), st.integers(-2, 2)).map(lambda pair: max(sum(pair), 0)), st.integers(0, 300_000)
)
OWNERS: Final = st.sampled_from([0, 1, 1000, 65_535, 4_000_000_000]) if os.geteuid() == 0 else st.just(0)
FILES: Final = st.builds(
    File,
    SIZES,
    st.sampled_from(["words", "noise", "zeros"]),
    st.integers(0, 0o7777),
    st.sampled_from([0, 1, 1_000_000_000, 2**31 - 1, 2**31, 4_000_000_000]),
    OWNERS,
)
PARTS_OF_LINKS: Final = st.one_of(st.sampled_from([".", "..", "a", "n" * 200]), NAMES)
LINKS: Final = st.builds(
    lambda parts, root: Link(("/" if root else "") + "/".join(parts)),
    st.lists(PARTS_OF_LINKS, min_size=1, max_size=8),
    st.booleans(),
).filter(lambda link: len(os.fsencode(link.target)) <= 220)  # of some longer ones xorriso records the end twice
LEAVES: Final = st.one_of(
    FILES,
    LINKS,
    st.builds(Again, st.integers(0, 9)),
    st.just(Pipe()),
    st.builds(Deep, st.integers(2, 40)),
    st.builds(Wide, st.integers(1, 400)),
)


def folders(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.dictionaries(NAMES, nodes, max_size=6)


TREES: Final[st.SearchStrategy[Tree]] = st.dictionaries(
    NAMES, st.recursive(LEAVES, folders, max_leaves=12), min_size=1, max_size=8
)


def plant(tree: Mapping[str, Node], at: Path, files: list[Path]) -> None:
    """Makes a tree in an empty directory."""
    for name, node in tree.items():
        path = at / name
        if isinstance(node, Again) and files:
            os.link(files[node.number % len(files)], path)
        elif isinstance(node, Again):
            path.touch()
        elif isinstance(node, Link):
            path.symlink_to(node.target)
        elif isinstance(node, Pipe):
            os.mkfifo(path, node.mode)
        elif isinstance(node, File):
            path.write_bytes(node.content())
            if node.owner:
                os.chown(path, node.owner, node.owner)
            path.chmod(node.mode)
            os.utime(path, (node.time, node.time))
            files.append(path)
        else:
            path.mkdir()
            if isinstance(node, Deep):
                for level in range(node.levels):
                    path /= f"level {level}"
                    path.mkdir()
                (path / "at the bottom").write_bytes(b"deep")
            elif isinstance(node, Wide):
                for number in range(node.names):
                    (path / f"name {number}").write_bytes(b"%d" % number)
            else:
                plant(node, path, files)


# --- discs ----------------------------------------------------------------------------------------------------------


def by_xorriso(source: Path, image: Path) -> bytes:
    words = [require("xorriso"), "-as", "mkisofs", "-quiet", "-R", "--hardlinks", "-iso-level", "3"]
    words += ["-o", str(image), str(source)]
    subprocess.run(words, check=True, capture_output=True, timeout=LIMIT)
    return image.read_bytes()


@dataclass(frozen=True)
class Sections:
    """A file of several sections, each at a place of its own, on a disc of the tests' own writer."""

    lengths: tuple[int, ...]
    """In bytes."""
    apart: int = 0
    """Sectors between two of them."""
    unit: int = 0
    """Blocks between two gaps of one block; 0: none."""

    def content(self) -> bytes:
        return content("noise", sum(self.lengths))


SECTIONS: Final = st.lists(
    st.builds(
        Sections,
        st.lists(SIZES.filter(lambda size: 0 < size < 140_000), min_size=1, max_size=9).map(tuple),
        st.integers(0, 3),
        st.sampled_from([0, 0, 1, 2, 9]),
    ),
    min_size=1,
    max_size=5,
)


def by_hand(files: list[Sections], source: Path) -> bytes:
    """The disc of such files, which are put into a directory too."""
    disc = Disc(rock=True, sectors=2 * len(files) + 2)
    for number, file in enumerate(files):
        data, at = file.content(), 0
        name = b"file %d" % number
        for i, length in enumerate(file.lengths):
            piece = data[at : at + length]
            last = i == len(file.lengths) - 1
            extent = _stored(disc, piece, file.unit)
            disc.reserve(2048 * file.apart or 1)
            flags = 0 if last else 0x80
            raw = record(
                b"F%d.;1" % number, extent, length, flags=flags, unit=file.unit, gap=1 if file.unit else 0,
                system_use=rock(name, FILE),
            )  # fmt: skip
            disc.root.add(raw)
            at += length
        path = source / os.fsdecode(name)
        path.write_bytes(data)
        os.utime(path, ns=(TIME_NS, TIME_NS))
    return disc.build()


def _stored(disc: Disc, data: bytes, unit: int) -> int:
    if not unit:
        return disc.store(data)
    gapped = b"".join(
        data[at : at + unit * 2048].ljust(unit * 2048, b"\0") + b"gap!" * 512 for at in range(0, len(data), unit * 2048)
    )
    return disc.store(gapped)


# --- containers -----------------------------------------------------------------------------------------------------


def file(name: str, make: Callable[[bytes], bytes]) -> Callable[[bytes, Path], Path]:
    def written(disc: bytes, at: Path) -> Path:
        (at / name).write_bytes(make(disc))
        return at / name

    return written


def piped(name: str, *words: str) -> Callable[[bytes, Path], Path]:
    def written(disc: bytes, at: Path) -> Path:
        done = subprocess.run([require(words[0]), *words[1:]], input=disc, capture_output=True, check=True)
        (at / name).write_bytes(done.stdout)
        return at / name

    return written


def with_sheet(disc: bytes, at: Path) -> Path:
    (at / "disc.bin").write_bytes(raw_disc(disc, form_1))
    (at / "disc.cue").write_text('FILE "disc.bin" BINARY\n  TRACK 01 MODE2/2352\n    INDEX 01 00:00:00\n')
    return at / "disc.cue"


def chd(disc: bytes, at: Path) -> Path:
    (at / "disc.iso").write_bytes(disc)
    (at / "disc.cue").write_text('FILE "disc.iso" BINARY\n  TRACK 01 MODE1/2048\n    INDEX 01 00:00:00\n')
    chdman("createcd", "-f", "-i", at / "disc.cue", "-o", at / "disc.chd", "-c", "cdzl")
    return at / "disc.chd"


CONTAINERS: Final[dict[str, Callable[[bytes, Path], Path]]] = {
    "plain": file("disc.iso", bytes),
    "cso": file("disc.cso", cso),
    "cso 16K, shifted": file("disc.cso", lambda disc: cso(disc, block_size=16_384, shift=2)),
    "cso 2": file("disc.cso", lambda disc: cso(disc, version=2)),
    "zso": file("disc.zso", zso),
    "zso, LZO": file("disc.zso", lambda disc: zso(disc, codec=lzo_block)),
    "dax": file("disc.dax", dax),
    "jiso": file("disc.jso", jiso),
    "chd": chd,
    "gzip": piped("disc.iso.gz", "gzip", "-c"),
    "xz": piped("disc.iso.xz", "xz", "-T1", "-0", "--block-size=65536", "-c"),
    "zstd": piped("disc.iso.zst", "zstd", "-q", "-c"),
    "raw": file("disc.bin", raw_disc),
    "cue": with_sheet,
}

# --- questions ------------------------------------------------------------------------------------------------------


class Side:
    """A tree that is asked: the plain one, or the mounted one."""

    def __init__(self, root: Path, paths: dict[bytes, int], *, plain: bool) -> None:
        self.root = os.fsencode(root)
        self.paths = list(paths)
        """All paths of the plain tree, in an order that both share; the root's is empty."""
        self.plain = plain
        self._kinds = paths

    def choose(self, which: int, kind: int) -> bytes | None:
        """One of the paths of that type."""
        found = [path for path in self.paths if self._kinds[path] == kind]
        return self.root + found[which % len(found)] if found else None


@dataclass(frozen=True)
class Read:
    """Bytes of a file from a thousandth of its size on, and some beside that."""

    which: int
    place: int
    beside: int
    size: int
    how: str = "pread"

    def ask(self, side: Side) -> object:
        path = side.choose(self.which, stat.S_IFREG)
        if path is None:
            return "no file"
        length = os.stat(path).st_size
        offset = max(length * self.place // 1000 + self.beside, 0)
        if self.how == "direct" and not side.plain:
            return digest(pread_direct(path, self.size, offset))
        with open(path, "rb", buffering=0) as opened:
            if self.how == "mmap" and length:
                with mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                    return digest(mapped[offset : offset + self.size])
            if self.how == "cold":
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return digest(os.pread(opened.fileno(), self.size, offset))


@dataclass(frozen=True)
class Stream:
    """A file to its end, in requests of a size, from a place on."""

    which: int
    place: int
    size: int

    def ask(self, side: Side) -> object:
        path = side.choose(self.which, stat.S_IFREG)
        if path is None:
            return "no file"
        with open(path, "rb", buffering=0) as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            opened.seek(os.fstat(opened.fileno()).st_size * self.place // 1000)
            return digest(b"".join(iter(lambda: opened.read(self.size), b"")))


@dataclass(frozen=True)
class Seek:
    """lseek of a file. On the disc all of a file is data."""

    which: int
    offset: int
    whence: int

    def ask(self, side: Side) -> object:
        path = side.choose(self.which, stat.S_IFREG)
        if path is None:
            return "no file"
        with open(path, "rb", buffering=0) as opened:
            if side.plain and self.whence in (os.SEEK_DATA, os.SEEK_HOLE):
                size = os.fstat(opened.fileno()).st_size
                if not 0 <= self.offset < size:
                    return "ENXIO"
                return self.offset if self.whence == os.SEEK_DATA else size
            return os.lseek(opened.fileno(), self.offset, self.whence)


@dataclass(frozen=True)
class List:
    """A directory: the names and their types, whole and from any place on."""

    which: int
    place: int

    def ask(self, side: Side) -> object:
        path = side.choose(self.which, stat.S_IFDIR)
        assert path is not None
        with Directory(path) as listing:
            names, places = [], [listing.tell()]
            while (name := listing.next()) is not None:
                names.append((name.name, name.kind))
                places.append(listing.tell())
            place = self.place % len(places)
            listing.seek(places[place])
            again = [(name.name, name.kind) for name in listing.rest()]
        assert again == names[place:], "the listing goes on elsewhere"
        return sorted(names)


@dataclass(frozen=True)
class Stat:
    """What lstat tells of any path, of a directory less its size and links."""

    which: int

    def ask(self, side: Side) -> object:
        path = side.paths[self.which % len(side.paths)]
        found = os.lstat(side.root + path)
        facts: list[object] = [oct(found.st_mode), found.st_uid, found.st_gid, int(found.st_mtime)]
        if stat.S_ISDIR(found.st_mode):
            return facts if path else facts[1:3]
        return [*facts, found.st_size, found.st_nlink]


@dataclass(frozen=True)
class Target:
    """readlink."""

    which: int

    def ask(self, side: Side) -> object:
        path = side.choose(self.which, stat.S_IFLNK)
        return "no link" if path is None else os.readlink(path)


@dataclass(frozen=True)
class Lookup:
    """A name that may be there, in a directory or below something else."""

    which: int
    name: str

    def ask(self, side: Side) -> object:
        path = side.paths[self.which % len(side.paths)]
        return stat.S_IFMT(os.lstat(side.root + path + b"/" + os.fsencode(self.name)).st_mode)


@dataclass(frozen=True)
class Same:
    """Whether two paths are the same file."""

    one: int
    other: int

    def ask(self, side: Side) -> object:
        one, other = (os.lstat(side.root + side.paths[i % len(side.paths)]).st_ino for i in (self.one, self.other))
        return one == other


@dataclass(frozen=True)
class Room:
    """statfs: nothing is free."""

    which: int

    def ask(self, side: Side) -> object:
        if side.plain:
            return [0, 0, 255]
        path = side.choose(self.which, stat.S_IFDIR)
        assert path is not None
        found = os.statvfs(path)
        return [found.f_bavail, found.f_ffree, found.f_namemax]


Question: TypeAlias = Read | Stream | Seek | List | Stat | Target | Lookup | Same | Room

WHICH: Final = st.integers(0, 30)
BESIDE: Final = st.integers(-5000, 5000)
PLACE: Final = st.integers(0, 1000)
REQUESTS: Final = st.one_of(st.sampled_from([0, 1, 2048, 4096, 131_072, 700_000]), st.integers(1, 300_000))
QUESTIONS: Final[st.SearchStrategy[Question]] = st.one_of(
    st.builds(Read, WHICH, PLACE, BESIDE, REQUESTS, st.sampled_from(["pread", "cold", "direct", "mmap"])),
    st.builds(Stream, WHICH, PLACE, st.sampled_from([1000, 4096, 65_536, 131_072, 1_048_576])),
    st.builds(
        Seek,
        WHICH,
        st.integers(-10, 100_000),
        st.sampled_from([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END, os.SEEK_DATA, os.SEEK_HOLE]),
    ),
    st.builds(List, WHICH, st.integers(0, 500)),
    st.builds(Stat, WHICH),
    st.builds(Target, WHICH),
    st.builds(Lookup, WHICH, NAMES | st.just("n" * 256)),
    st.builds(Same, WHICH, WHICH),
    st.builds(Room, WHICH),
)


def digest(data: bytes) -> str:
    """A short name of bytes."""
    return f"{len(data)} bytes, {zlib.crc32(data):08x}"


def answer(question: Question, side: Side) -> object:
    """What a tree answers; an error's name."""
    try:
        return question.ask(side)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def differences(questions: list[Question], plain: Side, mount: Side) -> list[str]:
    """Questions that the two answer differently."""
    found = []
    for question in questions:
        right, ours = answer(question, plain), answer(question, mount)
        if right != ours:
            found.append(f"{question}: {ours} instead of {right}")
    return found


def in_child(questions: list[Question], plain: Side, mount: Side) -> int:
    """Starts a process that asks, and ends with 1 if there is a difference. Its number."""
    pid = os.fork()
    if not pid:
        status = 70
        try:
            status = int(bool(differences(questions, plain, mount)))
        finally:
            os._exit(status)
    return pid


@contextmanager
def emptied(at: Path) -> Iterator[Path]:
    """A directory for one example."""
    at.mkdir()
    try:
        yield at
    finally:
        subprocess.run(["chmod", "-R", "u+rwx", at], check=True)
        shutil.rmtree(at)


def paths_below(root: Path) -> list[bytes]:
    """The empty path of the root, and all others."""
    found = [b""]
    for folder, folders_, files in os.walk(os.fsencode(root)):
        found += [os.path.join(folder, name).removeprefix(os.fsencode(root)) for name in sorted(folders_ + files)]
    return found


def compare(source: Path, image: Path, mounting: Mounting, questions: list[Question]) -> None:
    """Mounts the image and asks everything of it and of the tree."""
    paths = {path: stat.S_IFMT(os.lstat(os.fsencode(source) + path).st_mode) for path in paths_below(source)}
    point = mounting.mount(image)
    pid = daemon_of(point)
    try:
        plain, mount = Side(source, paths, plain=True), Side(point, paths, plain=False)
        kinds = list(paths.values())
        whole: list[Question] = [Stat(i) for i in range(len(paths))]
        whole += [List(i, 0) for i in range(kinds.count(stat.S_IFDIR))]
        whole += [Stream(i, 0, 131_072) for i in range(min(kinds.count(stat.S_IFREG), 30))]
        whole += [Target(i) for i in range(kinds.count(stat.S_IFLNK))]
        assert differences([*questions, *whole], plain, mount) == []
        children = [in_child(questions[i:] + questions[:i], plain, mount) for i in (1, 2)]
        ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        with ThreadPoolExecutor(4) as threads:
            jobs = [random.Random(i).sample(questions, len(questions)) for i in range(4)]
            found = list(threads.map(lambda job: differences(job, plain, mount), jobs))
        assert ended == [0, 0], "only where several processes ask"
        assert found == [[]] * 4, "only where several threads ask"
        assert alive(pid)
    finally:
        assert isofs("umount", point).returncode == 0
        wait_until(lambda: not alive(pid), "the daemon ends")
        point.rmdir()


# --- tests ----------------------------------------------------------------------------------------------------------


class Examples:
    """What the examples of one test share."""

    def __init__(self, at: Path, container: str) -> None:
        self._at = at
        self._number = 0
        self._container = container
        self.mounting = Mounting(at)

    @contextmanager
    def next(self) -> Iterator[tuple[Path, Path]]:
        """Two empty directories: for the tree, for the images."""
        self._number += 1
        with emptied(self._at / f"example {self._number}") as folder:
            (folder / "tree").mkdir()
            (folder / "made").mkdir()
            yield folder / "tree", folder / "made"

    def ask(self, source: Path, disc: bytes, made: Path, questions: list[Question]) -> None:
        """The disc in its container against the tree."""
        compare(source, CONTAINERS[self._container](disc, made), self.mounting, questions)


@pytest.fixture(scope="module", params=list(CONTAINERS))
def examples(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examples]:
    require("/dev/fuse")
    own = Examples(tmp_path_factory.mktemp("model"), request.param)
    try:
        yield own
    finally:
        own.mounting.clean()


bounded = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))


@pytest.mark.timeout(600 + 10 * EXAMPLES)  # a failing example is made small
@bounded
@given(tree=TREES, questions=st.lists(QUESTIONS, min_size=1, max_size=25))
def test_a_tree_is_what_it_was_before_xorriso_wrote_it(
    examples: Examples, tree: Tree, questions: list[Question]
) -> None:
    with examples.next() as (source, made):
        plant(tree, source, [])
        examples.ask(source, by_xorriso(source, made / "disc.iso"), made, questions)


@pytest.mark.timeout(600 + 10 * EXAMPLES)  # a failing example is made small
@bounded
@given(files=SECTIONS, questions=st.lists(QUESTIONS.filter(lambda asked: not isinstance(asked, Stat)), max_size=15))
def test_files_of_many_sections_are_whole(examples: Examples, files: list[Sections], questions: list[Question]) -> None:
    with examples.next() as (source, made):
        examples.ask(source, by_hand(files, source), made, questions)
