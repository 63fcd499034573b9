"""Storage that fails: a file system with one file, `image`, whose reads do what another file says.

    python faulty.py BACKING MOUNTPOINT FAULTS [direct]

FAULTS holds lines of words, the numbers in bytes and seconds: `error FIRST LAST` fails with EIO where these bytes are
read, `short SIZE` gives no more than that for a request, `slow SECONDS` waits before each answer. With `direct` nothing
is kept by the kernel, so that what it gives to readers are the answers as they are. The file system is a process of
its own: `faulty` starts and ends it.
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
    def __init__(self, backing: str, faults: str, *, direct: bool) -> None:
        super().__init__()
        self._fd = os.open(backing, os.O_RDONLY)
        self._faults = faults
        self._direct = direct

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
        return FileInfo(fh=FileHandleT(inode), keep_cache=not self._direct, direct_io=self._direct)

    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        for line in Path(self._faults).read_text().splitlines():
            kind, *numbers = line.split()
            if kind == "error" and off < int(numbers[1]) and int(numbers[0]) < off + size:
                raise FUSEError(errno.EIO)
            if kind == "short":
                size = min(size, int(numbers[0]))
            if kind == "slow":
                await trio.sleep(float(numbers[0]))
        return os.pread(self._fd, size, off)


class Faulty:
    """The storage of one test. `image` is the file on it."""

    def __init__(self, image: Path, faults: Path) -> None:
        self.image = image
        self._faults = faults

    def fails(self, *faults: str) -> None:
        """From now on reads have these faults, and nothing of the image is in memory."""
        ready = self._faults.with_suffix(".new")
        ready.write_text("\n".join(faults))
        ready.rename(self._faults)
        with open(self.image, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def faulty(backing: Path, folder: Path, *, direct: bool = False) -> Iterator[Faulty]:
    """A file on storage that can fail; unmounted at the end."""
    from .mounting import detach, mounted, wait_until

    point, faults = folder / "storage", folder / "faults"
    point.mkdir()
    faults.touch()
    words = [sys.executable, __file__, str(backing), str(point), str(faults), *(["direct"] if direct else [])]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is not None or mounted(point), "the storage is mounted")
        assert process.poll() is None
        yield Faulty(point / "image", faults)
    finally:
        if mounted(point):
            detach(point)
        process.kill()
        process.wait()


def main() -> None:
    """Serves until unmounted."""
    backing, mountpoint, faults, *words = sys.argv[1:]
    pyfuse3.init(_Storage(backing, faults, direct="direct" in words), mountpoint, {"fsname=faulty"})
    trio.run(pyfuse3.main)
    pyfuse3.close()


if __name__ == "__main__":
    main()
