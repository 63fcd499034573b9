"""Storage that stalls: a file system with one file, `image`, whose reads wait for as long as another file exists.

    python slow.py BACKING MOUNTPOINT STALLED

While STALLED exists, reads of what is not in the kernel's memory wait; it holds two numbers, the first and the last
byte of `image` that this is about. The file system is a process of its own: `stalling` starts and ends it.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pyfuse3
import trio
from pyfuse3 import EntryAttributes, FileHandleT, FileInfo, FUSEError, InodeT, RequestContext

_IMAGE = InodeT(2)


class _Storage(pyfuse3.Operations):
    def __init__(self, backing: str, stalled: str) -> None:
        super().__init__()
        self._fd = os.open(backing, os.O_RDONLY)
        self._stalled = stalled

    async def getattr(self, inode: InodeT, ctx: RequestContext) -> EntryAttributes:
        entry = EntryAttributes()
        entry.st_ino = inode
        entry.st_mode = cast(Any, stat.S_IFREG | 0o644 if inode == _IMAGE else stat.S_IFDIR | 0o755)
        entry.st_uid, entry.st_gid = os.getuid(), os.getgid()
        entry.st_size = os.fstat(self._fd).st_size if inode == _IMAGE else 0
        entry.attr_timeout = entry.entry_timeout = 3600
        return entry

    async def lookup(self, parent_inode: InodeT, name: bytes, ctx: RequestContext) -> EntryAttributes:
        if name != b"image":
            raise FUSEError(errno.ENOENT)
        return await self.getattr(_IMAGE, ctx)

    async def open(self, inode: InodeT, flags: int, ctx: RequestContext) -> FileInfo:
        return FileInfo(fh=FileHandleT(inode), keep_cache=True)

    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        while self._stalls(off, off + size):
            await trio.sleep(0.1)
        return os.pread(self._fd, size, off)

    def _stalls(self, start: int, end: int) -> bool:
        try:
            words = Path(self._stalled).read_text().split()
        except FileNotFoundError:
            return False
        return len(words) == 2 and start <= int(words[1]) and int(words[0]) < end


class Stalling:
    """The storage of one test. `image` is the file on it."""

    def __init__(self, image: Path, stalled: Path) -> None:
        self.image = image
        self._stalled = stalled

    @contextmanager
    def stalled(self, first: int = 0, last: int = 1 << 60) -> Iterator[None]:
        """Meanwhile reads of these bytes wait, and they are not in memory."""
        with open(self.image, "rb") as file:
            os.posix_fadvise(
                file.fileno(), first, min(last, os.fstat(file.fileno()).st_size) - first, os.POSIX_FADV_DONTNEED
            )
        ready = self._stalled.with_suffix(".new")
        ready.write_text(f"{first} {last}")
        ready.rename(self._stalled)
        try:
            yield
        finally:
            self._stalled.unlink()


@contextmanager
def stalling(backing: Path, folder: Path) -> Iterator[Stalling]:
    """A file on storage that can stall; unmounted at the end."""
    from .mounting import detach, mounted, wait_until

    point = folder / "storage"
    point.mkdir()
    process = subprocess.Popen([sys.executable, __file__, backing, point, folder / "stalled"], stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is not None or mounted(point), "the storage is mounted")
        assert process.poll() is None
        yield Stalling(point / "image", folder / "stalled")
    finally:
        (folder / "stalled").unlink(missing_ok=True)
        if mounted(point):
            detach(point)
        process.kill()
        process.wait()


def main() -> None:
    """Serves until unmounted."""
    backing, mountpoint, stalled = sys.argv[1:]
    pyfuse3.init(_Storage(backing, stalled), mountpoint, {"fsname=stalling"})
    trio.run(pyfuse3.main)
    pyfuse3.close()


if __name__ == "__main__":
    main()
