"""The disc as one file, `NAME.iso`: the sectors of its volume, decoded. `NAME` is that of the image: `-o image`."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from typing import Final

from .. import limits
from ..errors import StaleInode
from ..image import Image
from ..image.sectors import SECTOR
from ..image.source import Extent, Extents, Source
from .iso9660.directory import Directory
from .iso9660.names import cut
from .tree import ROOT, Attributes, Entry, Findings, Usage, View, no_file_system

_FILE: Final = 2
_DEFAULT_MODE: Final = 0o555
_SUFFIXES: Final = (
    *(b"iso", b"img", b"bin", b"raw", b"mdf", b"cue", b"ccd", b"mds", b"toc", b"gdi", b"nrg", b"cdi"),
    *(b"cso", b"ciso", b"zso", b"dax", b"jso", b"jiso", b"chd", b"gz", b"bgz", b"xz", b"zst", b"zstd"),
)
_NAME: Final = re.compile(
    rb"(?is)(?P<name>.+?)(?:(?:\.(?:%b))+(?:\.(?:part)?\d{1,3}|\.[a-z]{2})?|\.\d{3}|\.i\d\d)?" % b"|".join(_SUFFIXES)
)


def name_of(path: str) -> bytes:
    """The file's name: that of the image, without the suffixes of containers and parts."""
    match = _NAME.fullmatch(os.fsencode(os.path.basename(path)))
    name = match["name"] if match else b"disc"
    return cut(name, limits.NAME_SHOWN - 4) + b".iso"


def warning(image: Image) -> str:
    """The sentence to say when other programs do not see the volume in the file; empty otherwise."""
    first = image.first_sector
    if first != image.start:
        return f"the file is the whole disc: programs that read it may show another session than that of sector {first}"
    if first:
        return f"the file begins with sector {first} of its disc: few programs can read it without the sectors before"
    return ""


class Whole:
    """A `Volume` of one file. Reads nothing at first."""

    has_xattrs = False

    def __init__(self, image: Image, view: View) -> None:
        self.findings = Findings()
        data = image.data
        self._data = data if isinstance(data, Extents) else Extents(data, [Extent(0, data.size)], "the disc")
        self._view = view
        self._time = image.file.changed
        name = name_of(image.path)
        relaxed = view.check == "relaxed"
        entry = Entry(name, _FILE, self.attributes(_FILE))
        self._root = Directory({name: entry}, joliet=False, relaxed=relaxed, case=view.case)

    def attributes(self, inode: int) -> Attributes:
        """See `Volume`."""
        view = self._view
        if inode == ROOT:
            mode = stat.S_IFDIR | (_DEFAULT_MODE if view.dmode is None else view.dmode) & ~view.dmask
            nlink, size = 2, 0
        elif inode == _FILE:
            mode = stat.S_IFREG | (_DEFAULT_MODE if view.mode is None else view.mode) & ~view.fmask
            nlink, size = 1, self._data.size
        else:
            raise StaleInode(f"inode {inode} leads to nothing")
        times = (self._time,) * 3
        return Attributes(inode, mode, nlink, view.uid or 0, view.gid or 0, 0, size, -(-size // 512), *times)

    def lookup(self, inode: int, name: bytes) -> Attributes | None:
        """See `Volume`."""
        found = self.entries(inode).find(name)
        return None if found is None else found.attributes

    def entries(self, inode: int) -> Directory:
        """See `Volume`."""
        if inode != ROOT:
            raise StaleInode(f"inode {inode} is no directory")
        return self._root

    def parent(self, inode: int) -> int:
        """See `Volume`."""
        self.attributes(inode)
        return ROOT

    def data(self, inode: int) -> Source:
        """See `Volume`."""
        if inode != _FILE:
            raise StaleInode(f"inode {inode} is no file")
        return self._data

    def readlink(self, inode: int) -> bytes:
        """See `Volume`."""
        raise StaleInode(f"inode {inode} is no symbolic link")

    def xattrs(self, inode: int) -> Mapping[bytes, bytes]:
        """See `Volume`."""
        self.attributes(inode)
        return {}

    def usage(self) -> Usage:
        """See `Volume`."""
        return Usage(SECTOR, -(-self._data.size // SECTOR))

    def describe(self) -> dict[str, object]:
        """See `Volume`."""
        return no_file_system("the whole disc as a file", self._data.size)
