"""What a volume is to everyone above it: plain records, and the questions that can be asked.

Times are nanoseconds since 1970 UTC, sizes bytes, names bytes. Inode numbers are places on the disc, so they stay the
same over mounts and need no table; the root's is 1.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from .. import limits
from ..errors import ImageError, IsofsError, NoEntryError
from ..image.sectors import SECTOR
from ..image.source import Source

ROOT: Final = 1
"""The root's inode number."""

_LINKS_FOLLOWED: Final = 40
"""Symbolic links on the way of one path, as in Linux."""


class Attributes(NamedTuple):
    """What stat(2) tells about a file."""

    inode: int
    mode: int
    """Type and permissions, as st_mode."""
    nlink: int
    uid: int
    gid: int
    rdev: int
    size: int
    """Bytes."""
    blocks: int
    """Units of 512 bytes that the file takes on the disc."""
    atime: int
    mtime: int
    ctime: int


class Entry(NamedTuple):
    """A name in a directory."""

    name: bytes
    inode: int
    attributes: Attributes | None
    """None for a directory: its own records tell, `Volume.attributes` reads them."""


class Usage(NamedTuple):
    """What statfs(2) tells about the volume."""

    block_size: int
    blocks: int
    name_max: int = limits.NAME_SHOWN


class Finding(NamedTuple):
    """Something on the disc that is not as it should be, and what was done about it."""

    offset: int
    """Byte position on the disc."""
    words: str
    harmless: bool = False
    """Whether nothing is lost by it: no name, no data."""


class Findings:
    """The findings of one volume, each said once through `report`, at most `limits.FINDINGS` of them."""

    def __init__(self) -> None:
        self.report: Callable[[Finding], None] | None = None
        """Called with each new finding."""
        self.watch: Callable[[Finding], None] | None = None
        """Set by who looks for everything (`isofs check`): called instead, with all findings, however often they come,
        and with what is passed over without a word. The reader does without compiled code then."""
        self.found: dict[Finding, None] = {}
        self.harmful = False
        """Whether a name or data was lost by any of them."""
        self._known: set[tuple[int, str]] = set()

    def add(self, offset: int, words: str, *, harmless: bool = False) -> None:
        """Remembers and reports a finding, unless it is known; of harmless ones in the same words the first."""
        self.harmful = self.harmful or not harmless
        if self.watch is not None:
            self.watch(Finding(offset, words, harmless))
            return
        known = (-1 if harmless else offset, words)
        if known in self._known or len(self.found) >= limits.FINDINGS:
            return
        finding = Finding(offset, words, harmless)
        self._known.add(known)
        self.found[finding] = None
        if self.report is not None:
            self.report(finding)

    def odd(self, offset: int, words: str) -> None:
        """Tells what the reader passes over, since nothing that it shows depends on it, to who looks for such."""
        if self.watch is not None:
            self.watch(Finding(offset, words, harmless=True))


class View(NamedTuple):
    """How the tree is to be shown: the view options, as in mount(8) for iso9660. The same for every command."""

    norock: bool = False
    """Do without Rock Ridge."""
    nojoliet: bool = False
    """Do without Joliet."""
    uid: int | None = None
    """Owner of everything; None: as recorded."""
    gid: int | None = None
    """Group of everything; None: as recorded."""
    mode: int | None = None
    """Permissions of files that record none; None: 0555."""
    dmode: int | None = None
    """Permissions of directories that record none; None: 0555."""
    fmask: int = 0
    """Permissions taken away from everything but directories."""
    dmask: int = 0
    """Permissions taken away from directories."""
    map: Literal["normal", "off", "acorn"] = "normal"
    """How plain ISO 9660 names are shown."""
    check: Literal["relaxed", "strict"] | None = None
    """Whether names are found in any case; None: relaxed with Joliet, else strict."""
    audio: bool = False
    """Show the disc's audio tracks as files."""
    hide: bool = False
    """Leave out files that are marked as hidden."""
    showassoc: bool = False
    """Show associated files, `._NAME` beside `NAME`."""
    cruft: bool = False
    """Take the low 24 bits of sizes only."""
    overriderockperm: bool = False
    """`mode` and `dmode`, where given, hold for recorded permissions too."""
    iocharset: str = "utf-8"
    """Joliet names are shown in this encoding, a codec of Python's."""
    block: int | None = None
    """The least size of logical blocks that is accepted."""
    nocompress: bool = False
    """Show the stored bytes of zisofs files."""
    tree: Literal["auto", "rock", "joliet", "primary", "enhanced"] = "auto"
    """Which tree to show; auto: the one that Linux would."""
    case: Literal["insensitive", "lower", "upper"] | None = None
    """Find all names in any case, and show them so; None: as `check` says."""
    subdir: str = ""
    """The directory of the disc that is the root."""
    image: bool = False
    """Show one file instead, the disc as a plain image."""
    xattr: bool = False
    """Tell by extended attributes where files lie on the disc, and what is wrong with them."""


class Volume(Protocol):
    """A tree of files on a disc. Every method may be called by any thread and gives the same answer each time.

    They raise `ImageError` for damage, `StaleInode` for numbers that lead nowhere, `NotReady` by the rule of
    `image.source`.
    """

    findings: Findings

    def attributes(self, inode: int) -> Attributes:
        """The attributes of any file that ever was looked up or listed."""
        ...

    def lookup(self, inode: int, name: bytes) -> Attributes | None:
        """The attributes of a name in a directory, None if there is none such."""
        ...

    def entries(self, inode: int) -> Sequence[Entry]:
        """The names in a directory in the disc's order, without `.` and `..`."""
        ...

    def parent(self, inode: int) -> int:
        """The directory that holds a file or a directory; the root's is the root."""
        ...

    def data(self, inode: int) -> Source:
        """The bytes of a regular file."""
        ...

    def readlink(self, inode: int) -> bytes:
        """The target of a symbolic link."""
        ...

    @property
    def has_xattrs(self) -> bool:
        """Whether files may have extended attributes; otherwise nobody needs to ask."""
        ...

    def xattrs(self, inode: int) -> Mapping[bytes, bytes]:
        """The extended attributes of a file, those for root among them; access control lists as Linux has them."""
        ...

    def usage(self) -> Usage:
        """Size of the volume."""
        ...

    def describe(self) -> dict[str, object]:
        """What `info` shows about the volume."""
        ...


def no_file_system(tree: str, size: int) -> dict[str, object]:
    """What `Volume.describe` gives where there is no file system but something else is shown as files."""
    absent = dict.fromkeys(("volume", "system", "volume_set", "publisher", "preparer", "application"), "")
    flags = dict.fromkeys(("enhanced", "udf_bridge", "bootable", "cd_xa"), False)
    return {
        "file_system": "none",
        "tree": tree,
        "joliet_level": 0,
        **flags,
        **absent,
        "created": None,
        "modified": None,
        "block_size": SECTOR,
        "volume_size": size,
    }


def find(volume: Volume, path: str, *, follow: bool = True) -> Attributes:
    """The file at `path`, taken from the root; symbolic links are followed within the disc, the last one if `follow`.

    Raises `NoEntryError`.
    """
    trail = [ROOT]
    todo = [part for part in reversed(os.fsencode(path).split(b"/")) if part]
    links = 0
    found = volume.attributes(ROOT)
    while todo:
        part = todo.pop()
        if part == b".":
            continue
        if part == b"..":
            if len(trail) > 1:
                trail.pop()
            found = volume.attributes(trail[-1])
            continue
        child = volume.lookup(trail[-1], part)
        if child is None:
            raise NoEntryError(f"no such file on the disc: {path}", "see isofs ls")
        if stat.S_ISLNK(child.mode) and (follow or todo):
            links += 1
            if links > _LINKS_FOLLOWED:
                raise NoEntryError(f"too many symbolic links on the way: {path}")
            target = volume.readlink(child.inode)
            if target.startswith(b"/"):
                trail = [ROOT]
            todo += [part for part in reversed(target.split(b"/")) if part]
            found = volume.attributes(trail[-1])
        elif stat.S_ISDIR(child.mode):
            trail.append(child.inode)
            found = child
        elif todo:
            raise NoEntryError(f"not a directory on the disc: {os.fsdecode(part)} in {path}", "see isofs ls")
        else:
            found = child
    return found


def path_of(volume: Volume, inode: int) -> bytes:
    """The path of a file or directory, from the root on: what a person is told about it.

    Looks for it in the tables of the directories above it. What cannot be found there is called by its number.
    """
    names: list[bytes] = []
    top = b""
    try:
        while inode != ROOT and len(names) <= limits.DEPTH:
            above = volume.parent(inode)
            names.append(next(entry.name for entry in volume.entries(above) if entry.inode == inode))
            inode = above
    except (IsofsError, StopIteration):
        top = b"inode %d" % inode
    return b"/".join([top, *reversed(names)]) or b"/"


def attributes_of(volume: Volume, entry: Entry) -> Attributes:
    """The attributes of a directory's entry."""
    return volume.attributes(entry.inode) if entry.attributes is None else entry.attributes


class Step(NamedTuple):
    """One file met on a walk."""

    path: bytes
    """From the start of the walk, without a leading slash."""
    attributes: Attributes | None
    """None where they cannot be read."""
    error: IsofsError | None
    """Why the file, or a directory's contents, cannot be read."""


def walk(volume: Volume, start: Attributes) -> Iterator[Step]:
    """Everything below a directory, each directory before what is in it.

    Damage becomes a step with an error. No directory is entered twice on one path, none more than `limits.DEPTH` deep
    or under more than `limits.DIRECTORY_NAMES` names: the work is bounded by what the disc holds.
    """
    above: set[int] = set()
    entered: Counter[int] = Counter()
    stack: list[tuple[bytes, int, Iterator[Entry]]] = []

    def enter(path: bytes, inode: int) -> Step | None:
        try:
            if inode in above:
                raise ImageError("the directory contains itself")
            if len(stack) >= limits.DEPTH:
                raise ImageError(f"directories are nested more than {limits.DEPTH} deep")
            entered[inode] += 1
            if entered[inode] > limits.DIRECTORY_NAMES:
                raise ImageError(f"a directory with more than {limits.DIRECTORY_NAMES} names")
            stack.append((path, inode, iter(volume.entries(inode))))
            above.add(inode)
        except IsofsError as error:
            return Step(path, None, error)
        return None

    failed = enter(b"", start.inode)
    if failed:
        yield failed
    while stack:
        path, inode, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            above.discard(inode)
            continue
        child = path + b"/" + entry.name if path else entry.name
        try:
            attributes = attributes_of(volume, entry)
        except IsofsError as error:
            yield Step(child, None, error)
            continue
        yield Step(child, attributes, None)
        if stat.S_ISDIR(attributes.mode):
            failed = enter(child, attributes.inode)
            if failed:
                yield failed
