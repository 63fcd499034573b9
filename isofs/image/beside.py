"""The files beside an image that belong to it: a sheet's tracks, further parts, a parent.

What a sheet calls them is not trusted: only the last component of a name counts, and only files in the sheet's own
directory are opened. A hostile sheet must not make a daemon of root read another file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from .. import limits
from ..errors import ImageError, NoImage
from .source import FileSource


class Beside:
    """The directory of an image. Remembers what was opened; `close` closes it."""

    def __init__(self, path: str) -> None:
        self.path = path
        """The image itself."""
        self.directory = os.path.dirname(path) or "."
        self.opened: list[FileSource] = []
        """In the order of opening."""

    def find(self, name: str) -> str | None:
        """The path of a file of this name, in whatever case; None if there is none.

        Of a name with directories, of any system, the last component counts.
        """
        name = name.replace("\\", "/").rpartition("/")[2]
        names = self._names()
        if name in names:
            return os.path.join(self.directory, name)
        alike = [other for other in names if other.casefold() == name.casefold()]
        return os.path.join(self.directory, min(alike)) if alike else None

    def open(self, name: str) -> FileSource:
        """Opens a file by the name that a sheet gives it; a second time the same one.

        Raises `NoImage` naming the one that is missing, `ImageError` for one that leads elsewhere.
        """
        path = self.find(name)
        if path is None:
            raise NoImage(f"the file {name!r} that it names is missing", f"put it into {self.directory}")
        return self.open_path(path)

    def open_path(self, path: str) -> FileSource:
        """Opens a file of the directory; a second time the same one."""
        if not self.holds(path):
            raise ImageError(f"{os.path.basename(path)!r} is a link that leads out of the directory", "copy it there")
        if os.path.realpath(path) == os.path.realpath(self.path):
            raise ImageError("it names itself")
        return self.adopt(path)

    def holds(self, path: str) -> bool:
        """Whether a path leads to a file of the directory: links may lead elsewhere."""
        return os.path.dirname(os.path.realpath(path)) == os.path.realpath(self.directory)

    def adopt(self, path: str) -> FileSource:
        """Opens any file that the user has named; a second time the same one."""
        for file in self.opened:
            if file.path == path:
                return file
        if len(self.opened) >= limits.PARTS:
            raise ImageError(f"it is made of more than {limits.PARTS} files")
        file = FileSource(path)
        self.opened.append(file)
        return file

    def with_suffix(self, suffix: str) -> Iterator[str]:
        """The paths of the files with a suffix, in whatever case, in the order of their names."""
        for name in sorted(self._names()):
            if name.casefold().endswith(suffix):
                yield os.path.join(self.directory, name)

    def close(self) -> None:
        """Closes what was opened."""
        for file in self.opened:
            file.close()

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.directory)
        except OSError:  # what is looked for is then said to be missing
            return []
