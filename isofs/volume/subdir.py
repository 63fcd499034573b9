"""A directory of a volume as the root of another one: `-o subdir=PATH`."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence

from ..errors import NoEntryError
from ..image.source import Source
from .tree import ROOT, Attributes, Entry, Usage, Volume, find


def subdirectory(volume: Volume, path: str) -> Volume:
    """The tree below a directory of a volume; symbolic links on the way are followed. Raises `NoEntryError`."""
    top = find(volume, path)
    if not stat.S_ISDIR(top.mode):
        raise NoEntryError(f"not a directory on the disc: {path}", "see isofs ls")
    return volume if top.inode == ROOT else _Subdirectory(volume, top.inode)


class _Subdirectory:
    """A `Volume`. Its numbers are those of the other one, but that of the root."""

    def __init__(self, volume: Volume, top: int) -> None:
        self.findings = volume.findings
        self._volume = volume
        self._top = top

    def attributes(self, inode: int) -> Attributes:
        """See `Volume`."""
        return self._shown(self._volume.attributes(self._inside(inode)))

    def lookup(self, inode: int, name: bytes) -> Attributes | None:
        """See `Volume`."""
        found = self._volume.lookup(self._inside(inode), name)
        return None if found is None else self._shown(found)

    def entries(self, inode: int) -> Sequence[Entry]:
        """See `Volume`."""
        return self._volume.entries(self._inside(inode))

    def parent(self, inode: int) -> int:
        """See `Volume`."""
        if self._inside(inode) == self._top:
            return ROOT
        above = self._volume.parent(inode)
        return ROOT if above == self._top else above

    def data(self, inode: int) -> Source:
        """See `Volume`."""
        return self._volume.data(self._inside(inode))

    def readlink(self, inode: int) -> bytes:
        """See `Volume`."""
        return self._volume.readlink(self._inside(inode))

    @property
    def has_xattrs(self) -> bool:
        """See `Volume`."""
        return self._volume.has_xattrs

    def xattrs(self, inode: int) -> Mapping[bytes, bytes]:
        """See `Volume`."""
        return self._volume.xattrs(self._inside(inode))

    def usage(self) -> Usage:
        """See `Volume`."""
        return self._volume.usage()

    def describe(self) -> dict[str, object]:
        """See `Volume`."""
        return self._volume.describe()

    def _inside(self, inode: int) -> int:
        """The number in the other volume."""
        return self._top if inode == ROOT else inode

    def _shown(self, found: Attributes) -> Attributes:
        """Attributes with this volume's number."""
        return found._replace(inode=ROOT) if found.inode == self._top else found
