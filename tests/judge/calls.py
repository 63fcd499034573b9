"""System calls that Python has no function for: directories by offset, reads past the page cache, refused changes."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
from collections.abc import Callable
from typing import Final, NamedTuple, Self

_libc: Final = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD: Final = -100
_PAGE: Final = 4096


class _Dirent(ctypes.Structure):
    _fields_ = (
        ("d_ino", ctypes.c_uint64),
        ("d_off", ctypes.c_int64),
        ("d_reclen", ctypes.c_ushort),
        ("d_type", ctypes.c_ubyte),
        ("d_name", ctypes.c_char * 256),
    )


_libc.opendir.restype = ctypes.c_void_p
_libc.readdir.restype = ctypes.POINTER(_Dirent)
_libc.telldir.restype = ctypes.c_long


class Name(NamedTuple):
    """What readdir(3) gives."""

    name: bytes
    kind: int
    """Its type: the upper four bits of a mode."""
    inode: int


class Directory:
    """An open directory with telldir(3) and seekdir(3). Raises `OSError`."""

    def __init__(self, path: bytes) -> None:
        self._stream = ctypes.c_void_p(_libc.opendir(path))
        if not self._stream:
            raise _error()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        _libc.closedir(self._stream)

    def next(self) -> Name | None:
        """The next name; None at the end."""
        ctypes.set_errno(0)
        found = _libc.readdir(self._stream)
        if not found:
            if ctypes.get_errno():
                raise _error()
            return None
        entry = found.contents
        return Name(bytes(entry.d_name), entry.d_type, entry.d_ino)

    def rest(self) -> list[Name]:
        """All names from here on."""
        return list(iter(self.next, None))

    def tell(self) -> int:
        """The place of the next name."""
        place: int = _libc.telldir(self._stream)
        return place

    def seek(self, place: int) -> None:
        """Goes to a place that was told."""
        _libc.seekdir(self._stream, ctypes.c_long(place))


def pread_direct(path: str | bytes, size: int, offset: int) -> bytes:
    """Bytes of a file past the page cache (O_DIRECT)."""
    first = offset // _PAGE * _PAGE
    room = mmap.mmap(-1, max(-(-(offset + size - first) // _PAGE), 1) * _PAGE)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        got = 0
        while got < len(room):
            more = os.preadv(fd, [memoryview(room)[got:]], first + got)
            got += more
            if not more or more % _PAGE:
                break
        return room[min(offset - first, got) : min(offset - first + size, got)]
    finally:
        os.close(fd)


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


# --- changes --------------------------------------------------------------------------------------------------------


def changes(root: bytes, file: bytes, folder: bytes) -> dict[str, Callable[[], object]]:
    """Calls that would change something, by name: each must fail with EROFS.

    `file` and `folder` are a regular file and a directory below the mount point `root`; `folder` may be the root.
    """
    new = folder + b"/a name that is not there"
    at = ctypes.c_int(_AT_FDCWD)

    def libc(name: str, *arguments: object) -> None:
        if getattr(_libc, name)(*arguments) < 0:
            raise _error()

    def bound() -> None:
        with socket.socket(socket.AF_UNIX) as one:
            directory = os.open(folder, os.O_PATH)
            try:  # socket names are short
                one.bind(f"/proc/self/fd/{directory}/socket")
            finally:
                os.close(directory)

    found: dict[str, Callable[[], object]] = {
        "open for writing": lambda: os.open(file, os.O_WRONLY),
        "open for both": lambda: os.open(file, os.O_RDWR),
        "open for appending": lambda: os.open(file, os.O_WRONLY | os.O_APPEND),
        "open and truncate": lambda: os.open(file, os.O_RDONLY | os.O_TRUNC),
        "create": lambda: os.open(new, os.O_WRONLY | os.O_CREAT),
        "create exclusively": lambda: os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL),
        "create without a name": lambda: os.open(folder, os.O_RDWR | os.O_TMPFILE),
        "truncate": lambda: os.truncate(file, 0),
        "mkdir": lambda: os.mkdir(new),
        "rmdir": lambda: os.rmdir(folder),
        "unlink": lambda: os.unlink(file),
        "rename": lambda: os.rename(file, new),
        "rename over": lambda: os.rename(file, file + b"~"),
        "exchange": lambda: libc("renameat2", at, file, at, folder, ctypes.c_uint(2)),
        "link": lambda: os.link(file, new),
        "symlink": lambda: os.symlink(b"target", new),
        "mknod": lambda: os.mknod(new),
        "mkfifo": lambda: os.mkfifo(new),
        "socket": bound,
        "chmod": lambda: os.chmod(file, 0o600),
        "chown": lambda: os.chown(file, os.getuid(), os.getgid()),
        "lchown": lambda: os.lchown(file, os.getuid(), os.getgid()),
        "utimes": lambda: os.utime(file, (0, 0)),
        "utimes of now": lambda: os.utime(file),
        "setxattr": lambda: os.setxattr(file, b"user.name", b"value"),
        "removexattr": lambda: os.removexattr(file, b"user.name"),
    }
    if folder.rstrip(b"/") == root.rstrip(b"/"):
        del found["rmdir"], found["exchange"]  # a mount point is busy whatever is mounted there
    return found


CLOSED: Final = {
    "write": lambda fd: os.write(fd, b"data"),
    "ftruncate": lambda fd: os.ftruncate(fd, 0),
    "fallocate": lambda fd: os.posix_fallocate(fd, 0, 4096),
}
"""Calls on a descriptor that is open for reading: they fail with EBADF or EINVAL, whatever the file system."""


def refusal(change: Callable[[], object]) -> int:
    """The error number of a change; 0 if it was done."""
    try:
        change()
    except OSError as error:
        return error.errno or errno.EIO
    return 0
