"""Byte sources: a size, and `pread` at any offset.

A source has no position, so threads share it and sources stack: the image file, ranges of another source joined
(`Extents`), a compressed image's disc (`image.disc.Disc`), a zisofs file upon that disc.

Reads wait for storage, except by a thread that said `never_wait()`: there a read that would have to wait raises
`NotReady`, and the question is asked again by a thread that may wait.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, Self

from ..errors import ImageChanged, ImageError, IsofsError, NoImage, NotReady, SystemRefused, UsageError
from .compiled import compiled

if TYPE_CHECKING:
    from .plain import Mapping

_SECOND: Final = 1_000_000_000

_thread = threading.local()


def never_wait() -> None:
    """From now on reads by the calling thread raise `NotReady` instead of waiting for storage or a decoder."""
    _thread.impatient = True


def may_wait() -> bool:
    """Whether the calling thread may wait for storage and decoders."""
    return not getattr(_thread, "impatient", False)


class Source(Protocol):
    """Something with a size in bytes that can be read at any offset."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def pread(self, n: int, offset: int) -> bytes:
        """At most `n` bytes from `offset`; fewer only at the end.

        Raises `ImageError` where the bytes cannot be had, `NotReady` by the rule of this module.
        """
        ...


def glance(source: Source, n: int, offset: int) -> bytes:
    """`n` bytes to look for marks in: none where they cannot be had, since one damaged block does not unmake a disc."""
    try:
        return source.pread(n, offset)
    except ImageError:
        return b""


class FileSource:
    """A regular file or block device, opened for reading.

    Raises `NoImage` for what is neither (and never waits for a pipe's other end), `UsageError` without permission,
    `SystemRefused` where the system does not open it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._mapping: Mapping | None = None
        try:
            mode = os.stat(path).st_mode  # before opening: a named pipe would wait for its writer
            _refuse_unless_seekable(mode, path)
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            raise _refusal(error, path) from None
        except ValueError:
            raise NoImage("not a file name", "check the image's name", path=path) from None
        try:
            status = os.fstat(self._fd)
            _refuse_unless_seekable(status.st_mode, path)
            self.regular = stat.S_ISREG(status.st_mode)
            self.changed = status.st_mtime_ns
            self._changed = divmod(self.changed, _SECOND)
            self.size = status.st_size if self.regular else os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as error:
            self.close()
            raise _refusal(error, path) from None
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """The file descriptor."""
        return self._fd

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        fd, self._fd = getattr(self, "_fd", -1), -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def pread(self, n: int, offset: int) -> bytes:
        """As `Source.pread`.

        Raises `ImageError` once the file's size or time of modification is not that of its opening: what is read might
        be anybody's bytes, or the zeros of a file that was cut and has grown again.
        """
        n = min(n, self.size - offset)
        if n <= 0 or offset < 0:
            return b""
        try:
            data = self._pread_patiently(n, offset) if may_wait() else _cached(self._fd, n, offset)
            self.check()
        except OSError as error:
            raise ImageError(f"reading {n} bytes at {offset}: {os.strerror(error.errno or errno.EIO)}") from None
        if data is None:
            raise NotReady
        return data

    def check(self) -> None:
        """Raises `ImageError` once the file's size or time of modification is not that of its opening."""
        if self.regular and not _unchanged(self._fd, self.size, *self._changed):
            raise ImageChanged("the image file was changed while it is in use", "unmount it and mount it again")

    def stream(self, extents: Extents) -> Stream:
        """See `open_stream`."""
        piece = extents.contiguous
        if piece is None:
            return Stream(extents)
        if self._mapping is None:
            from .plain import Mapping

            try:
                self._mapping = Mapping(self)
            except OSError:  # no room for it in this process
                return Stream(extents)
        return self._mapping.stream(extents, piece.position)

    def _pread_patiently(self, n: int, offset: int) -> bytes:
        piece = os.pread(self._fd, n, offset)
        if len(piece) == n:
            return piece
        pieces = []
        while piece:
            pieces.append(piece)
            n -= len(piece)
            offset += len(piece)
            piece = os.pread(self._fd, n, offset) if n else b""
        return b"".join(pieces)


def cached(fd: int, n: int, offset: int) -> bytes | None:
    """`n` bytes of a file if all of them are in memory, else None. This is the one in Python."""
    buffer = bytearray(n)
    try:
        got = os.preadv(fd, [buffer], offset, os.RWF_NOWAIT)
    except (OSError, NotImplementedError):  # not in memory, or nobody can tell: a patient read finds out
        return None
    return bytes(buffer) if got == n else None


def unchanged(fd: int, size: int, seconds: int, nanoseconds: int) -> bool:
    """Whether a file has this size and this time of modification. This is the one in Python."""
    status = os.fstat(fd)
    return status.st_size == size and status.st_mtime_ns == seconds * _SECOND + nanoseconds


_cached = cached if compiled is None else compiled.cached
_unchanged = unchanged if compiled is None else compiled.unchanged


def _refuse_unless_seekable(mode: int, path: str) -> None:
    if stat.S_ISREG(mode) or stat.S_ISBLK(mode):
        return
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
    }
    kind = kinds.get(stat.S_IFMT(mode), "a file of an unknown kind")
    raise NoImage(f"{kind}, not a regular file", "name the image itself", path=path)


def _refusal(error: OSError, path: str) -> IsofsError:
    reason = os.strerror(error.errno or errno.EIO)
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
        return NoImage(f"{reason[:1].lower()}{reason[1:]}", "check the image's name", path=path)
    if error.errno in (errno.EACCES, errno.EPERM):
        return UsageError("permission denied", "you need to be allowed to read the image", path=path)
    return SystemRefused(reason, path=path)


class Extent(NamedTuple):
    """A range of a source. With `unit` the data is interleaved (ECMA-119 6.4.3)."""

    position: int
    """Byte position of the first byte in the source."""
    length: int
    """Bytes of data, gaps not counted."""
    unit: int = 0
    """Bytes of data between two gaps; 0 where the range has no gaps."""
    gap: int = 0
    """Bytes of each gap."""


class Extents:
    """Ranges of another source, joined: the bytes of a file.

    Unlike other sources it is never short: a byte that the source does not have is an `ImageError`, which names
    `label`. Reading beyond `size` gives nothing.
    """

    def __init__(self, source: Source, extents: Sequence[Extent], label: str | Callable[[], str] = "file") -> None:
        self.source = source
        self.extents = tuple(extents) if len(extents) == 1 else tuple(_merged(extents))
        self._label = label
        self.size = sum([extent.length for extent in self.extents])

    @property
    def label(self) -> str:
        """What errors call the file."""
        return self._label if isinstance(self._label, str) else self._label()

    @property
    def contiguous(self) -> Extent | None:
        """The one range that this is, if it is one, without gaps and all on the disc."""
        if len(self.extents) != 1 or self.extents[0].unit:
            return None
        extent = self.extents[0]
        return extent if 0 <= extent.position <= self.source.size - extent.length else None

    def pread(self, n: int, offset: int) -> bytes:
        """The bytes from `offset` on, `n` of them or as many as there are up to the end."""
        n = min(n, self.size - offset)
        if n <= 0 or offset < 0:
            return b""
        pieces = [self._exactly(position, length) for position, length in self._ranges(n, offset)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _exactly(self, position: int, length: int) -> bytes:
        try:
            piece = self.source.pread(length, position)
        except ImageError as error:
            raise type(error)(f"{self.label}: {error.reason}", error.remedy) from None
        if len(piece) != length:
            raise ImageError(f"{self.label}: bytes {position} to {position + length} lie beyond the end of the disc")
        return piece

    def _ranges(self, n: int, offset: int) -> Iterator[tuple[int, int]]:
        """Positions and lengths in the source of `n` bytes from `offset`."""
        ends = tuple(accumulate(extent.length for extent in self.extents))
        i = bisect_right(ends, offset)
        while n > 0:
            extent = self.extents[i]
            inside = offset - (ends[i] - extent.length)
            length = min(n, extent.length - inside)
            if extent.unit:
                unit, within = divmod(inside, extent.unit)
                length = min(length, extent.unit - within)
                inside = unit * (extent.unit + extent.gap) + within
            if length:
                yield extent.position + inside, length
            n -= length
            offset += length
            if offset >= ends[i]:
                i += 1


class Joined:
    """Other sources, one behind the other."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self._ends = tuple(accumulate(source.size for source in self.sources))
        self.size = self._ends[-1]
        self.regular = all(getattr(source, "regular", False) for source in self.sources)
        """Whether all are regular files, whose times tell something."""
        self.changed = max(getattr(source, "changed", 0) for source in self.sources)
        """When the last one of them was modified, nanoseconds."""

    def pread(self, n: int, offset: int) -> bytes:
        """See `Source.pread`."""
        end = min(offset + n, self.size)
        if not 0 <= offset < end:
            return b""
        pieces = []
        for source, start, stop in self._parts(offset, end):
            piece = source.pread(stop - start, start)
            if len(piece) != stop - start:
                raise ImageError("a part of the image became shorter")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def stream(self, extents: Extents) -> Stream:
        """See `open_stream`: a file that lies in one of the sources is read as that source reads it."""
        piece = extents.contiguous
        if piece is not None and piece.length:
            (source, start, stop), *more = self._parts(piece.position, piece.position + piece.length)
            if not more:
                return open_stream(Extents(source, [Extent(start, stop - start)], lambda: extents.label))
        return Stream(extents)

    def _parts(self, offset: int, end: int) -> Iterator[tuple[Source, int, int]]:
        """The sources that hold the bytes from `offset` to `end`, and which of theirs."""
        i = bisect_right(self._ends, offset)
        while offset < end:
            source, stop = self.sources[i], self._ends[i]
            first = offset - (stop - source.size)
            offset = min(stop, end)
            yield source, first, offset - (stop - source.size)
            i += 1


def _merged(extents: Sequence[Extent]) -> Iterator[Extent]:
    """The same ranges, neighbours made one: most files of several sections lie in one piece."""
    last: Extent | None = None
    for extent in extents:
        if last is not None and not last.unit and not extent.unit and last.position + last.length == extent.position:
            last = last._replace(length=last.length + extent.length)
            continue
        if last is not None:
            yield last
        last = extent
    if last is not None:
        yield last


class Stream:
    """The bytes of one open file, for one thread, which may look ahead of what it is asked for."""

    def __init__(self, source: Source) -> None:
        self.source = source
        """The same bytes, for any thread, without looking ahead."""
        self.size = source.size
        self.busy = False
        """Whether other threads are at work for what will be asked next."""

    def view(self, n: int, offset: int) -> memoryview | bytes:
        """As `pread`, for the system call that takes the bytes: they are valid until anything else is read.

        Raises `NotReady` by the rule of this module.
        """
        return self.source.pread(n, offset)

    def pread(self, n: int, offset: int) -> bytes:
        """See `Source.pread`."""
        return bytes(self.view(n, offset))

    def close(self) -> None:
        """Nothing more will be read."""


def open_stream(source: Source) -> Stream:
    """The quickest way to read a file: a source may have one of its own for files that lie on it, `stream(extents)`."""
    if isinstance(source, Extents):
        quicker: Callable[[Extents], Stream] = getattr(source.source, "stream", Stream)
        return quicker(source)
    return Stream(source)
