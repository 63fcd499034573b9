"""The same views through isofs: by real mounts, and without the kernel between, which is quicker."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from isofs.cli import main
from isofs.errors import IsofsError
from isofs.image import open_image
from isofs.mount import serve
from isofs.mount.options import parse_options
from isofs.volume import open_volume
from isofs.volume.tree import ROOT, Attributes, Volume

from .listing import Listing, Mounted, Status, list_tree
from .views import PLAIN

_LOADED: Final = serve
"""What `main` imports when it mounts: here once for all mounts, which are forks of this process."""
_PAGE: Final = 4096
_MNT_DETACH: Final = 2
_NO_ID: Final = 0xFFFF_FFFF
_NOBODY: Final = 65534
"""What the kernel makes of a number that can be nobody's."""
_PR_SET_CHILD_SUBREAPER: Final = 36


def look(image: Path, views: Iterable[str], point: Path, *, by_mounts: bool) -> dict[str, Listing]:
    """The listings of an image by view; mounts are made by root only, for some files are root's alone.

    The view without options is mounted even without `by_mounts`.
    """
    return {
        view: mounted(image, view, point) if os.geteuid() == 0 and (by_mounts or view == PLAIN) else read(image, view)
        for view in views
    }


def mounted(image: Path, view: str, point: Path) -> Listing:
    """The listing of a real mount. The daemon comes of a fork of this process, which must not have threads."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:  # never returns to the caller's code
        code: object = 70
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for number in range(3):
                os.dup2(null, number)
            code = main(["mount", "-o", view, os.fspath(image), os.fspath(point)])
        except SystemExit as end:
            code = end.code
        finally:
            os._exit(code if isinstance(code, int) else 70)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        return Listing(failed=f"exit {code}")
    try:
        return list_tree(Mounted(os.fsencode(point)))
    finally:
        if libc.umount2(os.fsencode(point), _MNT_DETACH):
            raise OSError(ctypes.get_errno(), f"umount2 {point}")
        with suppress(ChildProcessError):  # the daemon is ours since its parent has ended
            while True:
                os.wait()


def read(image: Path, view: str) -> Listing:
    """The listing of the volume itself."""
    try:
        options = parse_options([view])
        with open_image(os.fspath(image), wishes=options.wishes) as opened:
            return list_tree(_Read(open_volume(opened, options.view)))
    except IsofsError as error:
        return Listing(failed=f"exit {error.exit_code}")


class _Read:
    """A volume as `listing.Tree`."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._known: dict[bytes, Attributes] = {}

    def _attributes(self, path: bytes) -> Attributes:
        found = self._known.get(path)
        if found is None:
            with _errors():
                if not path:
                    found = self._volume.attributes(ROOT)
                else:
                    head, _, name = path.rpartition(b"/")
                    found = self._volume.lookup(self._attributes(head).inode, name)
            if found is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            self._known[path] = found
        return found

    def statfs(self) -> Iterable[int]:
        """See `Tree`; what the mount answers."""
        usage = self._volume.usage()
        return (usage.block_size, usage.blocks, 0, 0, 0, 0, usage.name_max)

    def status(self, path: bytes) -> Status:
        """See `Tree`."""
        found = self._attributes(path)
        times = (time // 1_000_000_000 for time in (found.mtime, found.atime, found.ctime))
        uid, gid = (_NOBODY if number == _NO_ID else number for number in (found.uid, found.gid))
        return Status._make((found.mode, found.nlink, uid, gid, found.size, *times, found.rdev))

    def names(self, path: bytes) -> Iterator[bytes]:
        """See `Tree`."""
        with _errors():
            entries = self._volume.entries(self._attributes(path).inode)
        return (entry.name for entry in entries)

    def target(self, path: bytes) -> bytes:
        """See `Tree`."""
        with _errors():
            return self._volume.readlink(self._attributes(path).inode)

    @contextmanager
    def reader(self, path: bytes) -> Iterator[Callable[[int, int], bytes]]:
        """See `Tree`. Damage costs the pages that it lies in, as in the kernel's cache."""
        with _errors():
            source = self._volume.data(self._attributes(path).inode)

        def read(size: int, offset: int) -> bytes:
            try:
                return source.pread(size, offset)
            except IsofsError:
                if size <= _PAGE:
                    raise
            good = b""
            for at in range(offset, offset + size, _PAGE):
                try:
                    good += source.pread(min(_PAGE, offset + size - at), at)
                except IsofsError:
                    if not good:
                        raise
                    break
            return good

        def pread(size: int, offset: int) -> bytes:
            with _errors():
                return read(size, offset)

        yield pread


@contextmanager
def _errors() -> Iterator[None]:
    """Our errors as the system's."""
    try:
        yield
    except IsofsError as error:
        raise OSError(error.errno, str(error)) from error
