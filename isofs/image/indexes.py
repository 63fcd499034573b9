"""Indexes that took a pass over the whole image to make, kept in the user's cache directory.

They lie in `$XDG_CACHE_HOME/isofs`, else `~/.cache/isofs`. A file's name is a hash of what kind of index it is and of
the image's size, time of modification and both ends; its content is the index and the SHA-256 of it. Only a directory
of the user's own that others cannot write is used, only regular files of the user's own are read, and what is not as
it was written is thrown away. Everything that goes wrong means that nothing is kept, and is no error.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from .. import limits
from ..errors import ImageError
from .source import Source
from .wishes import Wishes

_ENDS: Final = 64 * limits.KIB
_DIGEST: Final = hashlib.sha256().digest_size


class Shelf:
    """The place of one image's index of a kind ("gzip 1": the number changes with its form)."""

    def __init__(self, source: Source, kind: str, wishes: Wishes) -> None:
        self._name = _name(source, kind) if wishes.keep_index else None

    def get(self) -> bytes | None:
        """The index as it was put, or None."""
        with suppress(OSError), _directory(self._name) as (directory, name):
            return _read(directory, name)
        return None

    def put(self, index: bytes) -> None:
        """Keeps an index, in place of others that were not used for longest."""
        with suppress(OSError), _directory(self._name) as (directory, name):
            if len(index) <= limits.INDEX_FILE:
                _make_room(directory, len(index) + _DIGEST)
                _write(directory, name, index)

    def drop(self) -> None:
        """Throws away an index that turned out to be of no use."""
        with suppress(OSError), _directory(self._name) as (directory, name):
            os.unlink(name, dir_fd=directory)


def _name(source: Source, kind: str) -> str | None:
    """The name of the file; None for an image of which nobody knows when it was changed."""
    changed: int | None = getattr(source, "changed", None)
    if changed is None or not getattr(source, "regular", False):
        return None
    digest = hashlib.sha256(f"isofs {kind} {source.size} {changed} ".encode())
    try:
        digest.update(source.pread(_ENDS, 0))
        digest.update(source.pread(_ENDS, max(source.size - _ENDS, 0)))
    except ImageError:
        return None
    return digest.hexdigest()


@contextmanager
def _directory(name: str | None) -> Iterator[tuple[int, str]]:
    """The directory, made if it is missing, and the name in it. Raises `OSError` where there is none to be trusted."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        home = os.environ.get("HOME", "")
        base = os.path.join(home, ".cache")
        if not os.path.isabs(home) or os.stat(home).st_uid != os.geteuid():  # root by sudo leaves nothing there
            raise FileNotFoundError
    if name is None:
        raise FileNotFoundError
    os.makedirs(base, 0o700, exist_ok=True)
    if os.stat(base).st_uid != os.geteuid():
        raise PermissionError
    path = os.path.join(base, "isofs")
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise PermissionError
        yield fd, name
    finally:
        os.close(fd)


def _read(directory: int, name: str) -> bytes | None:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            return None
        data = file.read(limits.INDEX_FILE + _DIGEST + 1)
        if len(data) <= limits.INDEX_FILE + _DIGEST and hashlib.sha256(data[:-_DIGEST]).digest() == data[-_DIGEST:]:
            os.utime(fd)  # used now
            return data[:-_DIGEST]
    os.unlink(name, dir_fd=directory)
    return None


def _write(directory: int, name: str, index: bytes) -> None:
    made = f"{name}.{secrets.token_hex(8)}"
    fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(index)
            file.write(hashlib.sha256(index).digest())
        os.replace(made, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(OSError):
            os.unlink(made, dir_fd=directory)
        raise


def _make_room(directory: int, wanted: int) -> None:
    """Removes what was used longest ago, unfinished files too, until `wanted` more bytes fit in."""
    with os.scandir(directory) as entries:
        files = []
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                files.append((status.st_mtime_ns, entry.name, status.st_size))
    total = wanted + sum(size for _, _, size in files)
    for _, name, size in sorted(files):
        if total <= limits.INDEX_FILES:
            break
        os.unlink(name, dir_fd=directory)
        total -= size
