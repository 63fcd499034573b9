"""What a mounted tree shows, as lines of text that can be compared.

Only the system's calls are used, so the same code lists a mount of Linux's driver and one of ours.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Final, NamedTuple, Protocol

MOST: Final = 120
"""Entries of one tree that are listed; what comes behind is left out."""
DEEPEST: Final = 40
"""Components of a path that is listed."""

_WHOLE: Final = 4 << 20
_HEAD: Final = 1 << 20
_TAIL: Final = 1 << 16
_KINDS: Final = {
    stat.S_IFREG: "f",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFCHR: "c",
    stat.S_IFBLK: "b",
    stat.S_IFIFO: "p",
    stat.S_IFSOCK: "s",
}
AGAIN: Final = "="
"""The kind of an entry whose directory has listed the name before."""


class Entry(NamedTuple):
    """One name of the tree; all fields are text, `-` where there is nothing to tell."""

    kind: str
    mode: str = "-"
    nlink: str = "-"
    uid: str = "-"
    gid: str = "-"
    size: str = "-"
    mtime: str = "-"
    """Whole seconds since 1970, as all times are."""
    atime: str = "-"
    ctime: str = "-"
    content: str = "-"
    """A file's: the beginning of its SHA-256; a link's: its target; a device's: its numbers; else an error, if any.
    A file that cannot be read to its end: the error, and how many bytes come before it."""
    also: str = "-"
    """In which other spellings the name is found: Upper case, Lower case, a dot More, dots Fewer, Version."""
    path: str = "/"


FIELDS: Final = Entry._fields[:-1]
"""The fields that can differ where the path is the same."""


class Listing(NamedTuple):
    """A whole tree in the order in which it is listed, or the error of its mount."""

    entries: tuple[Entry, ...] = ()
    statfs: str = ""
    """Block size, blocks, blocks free and available, files, free ones, longest name."""
    failed: str = ""
    """The name of the error for which it was not mounted."""


_PLAIN: Final = re.compile(r"[^\x00-\x20\\\x7f-\x9f\ud800-\udfff]*")


def escape(name: bytes) -> str:
    """A name as UTF-8, with `\\xHH` for control bytes, backslashes and what is not UTF-8."""
    text = name.decode("utf-8", "surrogateescape")
    if _PLAIN.fullmatch(text):
        return text
    return "".join(
        char if char == " " or _PLAIN.fullmatch(char) else "".join(map("\\x{:02x}".format, os.fsencode(char)))
        for char in text
    )


def error_name(error: OSError) -> str:
    """The name of an error."""
    return errno.errorcode.get(error.errno or 0, str(error.errno))


class Status(NamedTuple):
    """What stat tells; times in whole seconds."""

    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    mtime: int
    atime: int
    ctime: int
    rdev: int


class Tree(Protocol):
    """What is listed. Paths begin with a slash, the root's is empty. Everything may raise `OSError`."""

    def statfs(self) -> Iterable[int]:
        """Block size, blocks, blocks free and available, files, free ones, longest name."""
        ...

    def status(self, path: bytes) -> Status:
        """What lstat tells."""
        ...

    def names(self, path: bytes) -> Iterator[bytes]:
        """The names in a directory, in its order."""
        ...

    def target(self, path: bytes) -> bytes:
        """The target of a link."""
        ...

    def reader(self, path: bytes) -> AbstractContextManager[Callable[[int, int], bytes]]:
        """What reads so many bytes at an offset of a file."""
        ...


class Mounted:
    """A directory on which something is mounted."""

    def __init__(self, root: bytes) -> None:
        self._root = root

    def statfs(self) -> Iterable[int]:
        """See `Tree`."""
        found = os.statvfs(self._root)
        blocks = (found.f_bsize, found.f_blocks, found.f_bfree, found.f_bavail)
        return (*blocks, found.f_files, found.f_ffree, found.f_namemax)

    def status(self, path: bytes) -> Status:
        """See `Tree`."""
        found = os.lstat(self._root + path)
        times = (time // 1_000_000_000 for time in (found.st_mtime_ns, found.st_atime_ns, found.st_ctime_ns))
        numbers = (found.st_mode, found.st_nlink, found.st_uid, found.st_gid, found.st_size)
        return Status._make((*numbers, *times, found.st_rdev))

    def names(self, path: bytes) -> Iterator[bytes]:
        """See `Tree`."""
        with os.scandir(self._root + path) as found:
            for entry in found:
                yield entry.name

    def target(self, path: bytes) -> bytes:
        """See `Tree`."""
        return os.readlink(self._root + path)

    @contextmanager
    def reader(self, path: bytes) -> Iterator[Callable[[int, int], bytes]]:
        """See `Tree`."""
        file = os.open(self._root + path, os.O_RDONLY)
        try:
            yield lambda size, offset: os.pread(file, size, offset)
        finally:
            os.close(file)


def list_tree(tree: Tree) -> Listing:
    """Everything in a tree."""
    statfs = " ".join(map(str, tree.statfs()))
    entries = list(itertools.islice(_walk(tree, b""), MOST))
    return Listing(
        tuple(
            entry._replace(also=_spellings(tree, path)) if path and entry.kind not in (AGAIN, "?") else entry
            for entry, path in entries
        ),
        statfs,
    )


def _walk(tree: Tree, path: bytes) -> Iterator[tuple[Entry, bytes]]:
    shown = escape(path) or "/"
    try:
        found = tree.status(path)
    except OSError as error:
        yield Entry("?", content=error_name(error), path=shown), path
        return
    kind = _KINDS.get(stat.S_IFMT(found.mode), "?")
    names: list[bytes] = []
    content = "-"
    if kind == "d":
        names, content = _names(tree, path)
    elif kind == "f":
        content = _content(tree, path, found.size)
    elif kind == "l":
        content = _target(tree, path)
    elif kind in "bc":
        content = f"{os.major(found.rdev)}:{os.minor(found.rdev)}"
    mode = f"{stat.S_IMODE(found.mode):04o}"
    yield Entry._make((kind, mode, *map(str, found[1:-1]), content, "-", shown)), path
    if path.count(b"/") >= DEEPEST:
        return
    seen: Counter[bytes] = Counter()
    for name in names:
        below = path + b"/" + name
        seen[name] += 1
        if seen[name] > 1:
            yield Entry(AGAIN, path=f"{escape(below)} (again, {seen[name]})"), below
        else:
            yield from _walk(tree, below)


def _names(tree: Tree, path: bytes) -> tuple[list[bytes], str]:
    """The names in a directory, and the error that ended it."""
    names = []
    try:
        for name in itertools.islice(tree.names(path), MOST):
            names.append(name)
    except OSError as error:
        return names, error_name(error)
    return names, "-"


def _target(tree: Tree, path: bytes) -> str:
    try:
        return escape(tree.target(path)).replace(" ", "\\x20")
    except OSError as error:
        return error_name(error)


def _content(tree: Tree, path: bytes, size: int) -> str:
    """The hash of a file; of a large one its first and last bytes count."""
    digest = hashlib.sha256()
    done = 0
    ranges = ((0, size),) if size <= _WHOLE else ((0, _HEAD), (size - _TAIL, size))
    try:
        with tree.reader(path) as read:
            for at, end in ranges:
                while at < end and (piece := read(min(_TAIL, end - at), at)):
                    digest.update(piece)
                    at += len(piece)
                    done += len(piece)
    except OSError as error:
        return f"{error_name(error)}@{done}"
    return digest.hexdigest()[:12] if done else "-"


def _spellings(tree: Tree, path: bytes) -> str:
    head, slash, name = path.rpartition(b"/")
    others = {"U": name.upper(), "L": name.lower(), "M": name + b".", "F": name.rstrip(b"."), "V": name + b";1"}
    found = ""
    for letter, other in others.items():
        if other not in (name, b""):
            with suppress(OSError):
                tree.status(head + slash + other)
                found += letter
    return found or "-"


def parse(lines: Iterable[str]) -> tuple[Entry, ...]:
    """The entries that `text` wrote."""
    return tuple(_parse_line(line) for line in lines)


def text(entry: Entry) -> str:
    """An entry as a line: kind and mode, links, uid:gid, size, times (one if they are the same), content, spellings."""
    times = (entry.mtime, entry.atime, entry.ctime)
    shown = times[0] if len(set(times)) == 1 else ",".join(times)
    kind, owners = f"{entry.kind}{entry.mode}", f"{entry.uid}:{entry.gid}"
    return " ".join((kind, entry.nlink, owners, entry.size, shown, entry.content, entry.also, entry.path))


def _parse_line(line: str) -> Entry:
    kind, nlink, owners, size, shown, content, also, path = line.split(" ", 7)
    uid, gid = owners.split(":")
    times = shown.split(",")
    return Entry._make((kind[0], kind[1:], nlink, uid, gid, size, *(times * 3)[:3], content, also, path))
