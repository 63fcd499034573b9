"""The files of a plain image, as slices of a mapping of the image file that only the kernel ever touches.

A slice is handed to `write` or `writev` as it is, so that nothing is copied on the way. Code of ours that read from the
mapping of a file that was cut in the meantime would be killed (SIGBUS); the kernel gives an error instead. So records
and whatever else is looked at here are read by `pread`, never through the mapping.
"""

from __future__ import annotations

import errno
import os
from functools import partial
from mmap import MAP_SHARED, PROT_READ, mmap
from typing import TYPE_CHECKING, Final

from ..errors import ImageError, NotReady
from .compiled import compiled
from .source import Extents, Stream

if TYPE_CHECKING:
    from .source import FileSource

_PAGE: Final = 4096
_COPIED: Final = 16 << 10
"""Bytes up to which an answer is copied."""
_AHEAD: Final = 2 << 20
"""Bytes that storage is told of ahead of a reader that it keeps waiting."""


class Mapping:
    """A whole file, mapped."""

    def __init__(self, file: FileSource) -> None:
        self.file = file
        self._view = memoryview(mmap(file.fileno(), file.size, MAP_SHARED, PROT_READ))
        # Only those whom the file belongs to, or who may write to it, learn from mincore what is in memory.
        self._told = compiled is not None and (
            os.fstat(file.fileno()).st_uid == os.geteuid()
            or os.access(f"/proc/self/fd/{file.fileno()}", os.W_OK, effective_ids=True)
        )
        self._nowhere = memoryview(bytearray(_PAGE))

    def stream(self, extents: Extents, position: int) -> MappedStream:
        """The stream of a file that lies in one piece at byte `position`."""
        return MappedStream(extents, position, self)

    def slice(self, position: int, n: int) -> memoryview | bytes:
        """Bytes of the file, to be given to the kernel at once; a few are copied, which is quicker than a page fault.

        Raises `NotReady` if they are not in memory, `ImageError` if the file was changed or cannot be read.
        """
        try:
            piece: memoryview | bytes | None = None
            if compiled is not None and n <= _COPIED:
                piece = compiled.cached(self.file.fileno(), n, position)
            if piece is None:  # some file systems cannot tell; mincore can
                piece = self._mapped(position, n)
            self.file.check()
        except OSError as error:
            raise _unreadable(position, n, error) from None
        if piece is None:
            raise NotReady
        return piece

    def _mapped(self, position: int, n: int) -> memoryview | None:
        piece = self._view[position : position + n]
        there = compiled.resident(piece) if compiled is not None and self._told else self._read(position, n)
        return piece if there else None

    def bring(self, position: int, n: int, ahead: int) -> None:
        """Waits until bytes are in memory, and lets storage begin with those behind them."""
        try:
            os.posix_fadvise(self.file.fileno(), position, n + ahead, os.POSIX_FADV_WILLNEED)
            self._read(position, n, 0)
        except OSError as error:
            raise _unreadable(position, n, error) from None

    def _read(self, position: int, n: int, flags: int = os.RWF_NOWAIT) -> bool:
        """Reads bytes to nowhere; False if they are not all in memory."""
        while n > 0:
            pages = min(-(-n // _PAGE), 256)
            try:
                got = os.preadv(self.file.fileno(), [self._nowhere] * pages, position, flags)
            except (BlockingIOError, NotImplementedError):
                return False
            except OSError as error:
                if flags and error.errno in (errno.EOPNOTSUPP, errno.EINVAL):  # this file system cannot tell
                    return False
                raise
            if got < min(n, pages * _PAGE):
                return False
            position += got
            n -= got
        return True


def _unreadable(position: int, n: int, error: OSError) -> ImageError:
    return ImageError(f"reading {n} bytes at {position}: {os.strerror(error.errno or errno.EIO)}")


class MappedStream(Stream):
    """A file that lies in one piece on a plain disc."""

    def __init__(self, extents: Extents, position: int, mapping: Mapping) -> None:
        super().__init__(extents)
        self._position = position
        self._mapping = mapping
        self._expected = 0

    def view(self, n: int, offset: int) -> memoryview | bytes:
        """See `Stream.view`. Not to be looked at: it is for the kernel only."""
        n = min(n, self.size - offset)
        if n <= 0 or offset < 0:
            return b""
        ahead = _AHEAD if offset == self._expected else 0
        self._expected = offset + n
        position = self._position + offset
        try:
            return self._mapping.slice(position, n)
        except NotReady:
            ahead = min(ahead, self.size - offset - n)
            raise NotReady(partial(self._mapping.bring, position, n, ahead)) from None

    def pread(self, n: int, offset: int) -> bytes:
        """See `Source.pread`."""
        return self.source.pread(n, offset)
