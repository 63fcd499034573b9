"""What can only be decoded from certain places on: a source as a file for libraries, and the stretches decoded last."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable

from .. import limits
from ..errors import ImageError
from .source import Source


class SourceFile(io.RawIOBase):
    """A source as a file with a position, for libraries; it belongs to one thread at a time."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.passed: Callable[[int, bytes], None] | None = None
        """Is told position and bytes of every read."""
        self.error: BaseException | None = None
        """What a read raised: a library may make something else of it."""
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves the position, and gives it."""
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._source.size}[whence]
        return self._position

    def read(self, n: int = -1) -> bytes:
        """At most `n` bytes, or all that are left. Raises what the source raises."""
        try:
            data = self._source.pread(n if n >= 0 else self._source.size, self._position)
            if self.passed is not None:
                self.passed(self._position, data)
        except BaseException as error:
            self.error = error
            raise
        self._position += len(data)
        return data


class Stretches:
    """Reads at any offset from what is decoded a stretch at a time.

    `decode(offset)` gives a stretch that holds a byte: where on the disc it begins, and its bytes. It is called by one
    thread at a time. Those asked for last are kept, `limits.STRETCH` bytes of them or one.
    """

    def __init__(self, size: int, decode: Callable[[int], tuple[int, bytes]]) -> None:
        self.size = size
        self._decode = decode
        self._kept: list[tuple[int, bytes]] = []
        self._lock = threading.Lock()

    def pread(self, n: int, offset: int) -> bytes:
        """At most `n` bytes from `offset`; fewer only at the end. Raises `ImageError` where they cannot be had."""
        end = min(offset + n, self.size)
        pieces = []
        with self._lock:
            while 0 <= offset < end:
                start, data = self._stretch(offset)
                pieces.append(data[offset - start : end - start])
                offset += len(pieces[-1])
        return b"".join(pieces)

    def _stretch(self, offset: int) -> tuple[int, bytes]:
        for i, (start, data) in enumerate(self._kept):
            if start <= offset < start + len(data):
                self._kept.append(self._kept.pop(i))
                return start, data
        start, data = self._decode(offset)
        if not start <= offset < start + len(data):
            raise ImageError("a stretch ends too early")
        self._kept.append((start, data))
        room = limits.STRETCH - sum(len(data) for _, data in self._kept)
        while room < 0 and len(self._kept) > 1:
            room += len(self._kept.pop(0)[1])
        return start, data
