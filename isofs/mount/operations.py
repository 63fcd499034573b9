"""FUSE requests -> questions to the volume.

Everything here runs in the serving thread, which never waits for storage: a question is asked, and if it would have to
wait (`NotReady`) a worker thread brings what is missing, or asks in its place, while other requests are served. Volumes
are pure, so asking twice is safe. Only errors with an errno leave a handler: nothing that an image holds can end the
mount.

What `read` gives may be a slice of memory that the next request uses again. pyfuse3 hands it to the kernel without
awaiting anything, so **after a slice is made nothing may be awaited here**.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import mmap
import os
import stat
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import count
from time import monotonic_ns
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar, cast

import pyfuse3
import trio
from pyfuse3 import EntryAttributes, FileHandleT, FileInfo, FUSEError, InodeT, ReaddirToken, RequestContext, StatvfsData

from .. import limits
from ..errors import ImageChanged, IsofsError, NotReady
from ..image.source import Stream, open_stream
from ..volume.iso9660.names import printable
from ..volume.tree import ROOT, Attributes, Entry, Volume, attributes_of, path_of
from .counters import Counters
from .options import DEFAULTS, Options
from .waiting import BRIEFLY, SPIN, Waiting
from .workers import Workers

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

_BATCH: Final = 256
"""Entries whose attributes are fetched together when a directory is listed; one request takes about 200."""
_ANSWERS: Final = 16_384
"""Entries whose attributes are kept as pyfuse3 takes them, some 300 bytes each, for the next listing; as many
directories, with their parents, and targets of links."""
_READERS: Final = 16
"""Threads that may wait for the data of files at a time."""
_FINDERS: Final = 4
"""Threads that may wait for names and attributes: of their own, since directories are parsed one after another."""

_PIECE: Final = 256 * limits.KIB
_PIECES: Final = 16
"""Pieces of the reserve, and bytes of each."""
_XATTRS: Final = (b"user.", b"trusted.", b"system.posix_acl_")
"""What names of attributes begin with."""
_NO_FAILURES: Final = frozenset((errno.ENODATA, errno.ENOSYS, errno.EOPNOTSUPP))
"""Answers to questions for attributes that are not there."""

log = logging.getLogger("isofs")

Handler = Callable[Concatenate["Operations", P], Coroutine[Any, Any, T]]


def answering(handler: Handler[P, T]) -> Handler[P, T]:
    """Turns our errors into errno; anything unexpected is logged and answered with EIO."""
    name = handler.__name__

    @functools.wraps(handler)
    async def answer(operations: Operations, *args: P.args, **kwargs: P.kwargs) -> T:
        operations.last_request = start = monotonic_ns()
        try:
            return await handler(operations, *args, **kwargs)
        except FUSEError as error:
            raise operations.failure(name, error.errno) from None
        except IsofsError as error:
            await operations.say_once(error, *operations.subject(name, args))
            raise operations.failure(name, error.errno) from None
        except MemoryError:
            operations.reserve.give()
            raise operations.failure(name, errno.ENOMEM) from None
        except OSError as error:
            log.warning("%s: %s", handler.__name__, error)
            raise operations.failure(name, error.errno or errno.EIO) from None
        except Exception:
            log.exception("a bug in isofs: please report it")
            raise operations.failure(name, errno.EIO) from None
        finally:
            operations.counters.latencies[name][(monotonic_ns() - start).bit_length()] += 1

    return cast(Handler[P, T], answer)


class Operations(pyfuse3.Operations):
    """The requests of one mount. `ready` is called when the kernel has answered."""

    supports_dot_lookup = True
    enable_writeback_cache = False
    enable_acl = False

    def __init__(
        self,
        volume: Volume,
        ready: Callable[[], None],
        waiting: Waiting | None = None,
        options: Options = DEFAULTS,
        image: str = "",
    ) -> None:
        super().__init__()
        self.counters = Counters()
        self.last_request = monotonic_ns()
        """When the last request came, by `monotonic_ns`."""
        self.all_closed = trio.Event()
        """Set when the last open file is closed; whoever waits for it puts a new one in its place."""
        self._volume = volume
        self.enable_acl = volume.has_xattrs
        self._ready = ready
        self._waiting = waiting or Waiting()
        self.reserve = Reserve()
        self._waiting.short = self.reserve.give
        self.workers = Workers()
        """The threads that wait for storage."""
        self._readers = trio.CapacityLimiter(_READERS)
        self._finders = trio.CapacityLimiter(_FINDERS)
        self._handles = count(1)
        self._about = f"{printable(image)}: " if image else ""
        self._files: dict[FileHandleT, Stream] = {}
        self._opened: dict[FileHandleT, int] = {}
        """The inodes of open files."""
        self._directories: dict[FileHandleT, tuple[int, Sequence[Entry]]] = {}
        self._answers: _Kept[tuple[int, int], list[EntryAttributes]] = _Kept(_ANSWERS)
        self._folders: _Kept[int, tuple[EntryAttributes, int]] = _Kept(_ANSWERS)
        self._targets: _Kept[int, bytes] = _Kept(_ANSWERS)
        self._said: set[str] = set()
        self._direct_io = options.direct_io
        self._timeouts = options.entry_timeout, options.attr_timeout
        self._absent = EntryAttributes()
        self._absent.st_ino = 0
        self._absent.entry_timeout = options.entry_timeout

    async def say_once(self, error: IsofsError, inode: int, name: bytes = b"") -> None:
        """Logs damage the first time that it is met, with the path of a file that suffers from it.

        With `name` that is a name in the directory `inode`.
        """
        words = str(error)
        key = "changed" if isinstance(error, ImageChanged) else words  # whichever bytes were asked for first
        if key not in self._said and len(self._said) < limits.FINDINGS:
            self._said.add(key)
            raw = await self._ask(path_of, self._volume, inode)
            path = printable(os.fsdecode(b"%b/%b" % (raw.rstrip(b"/"), name) if name else raw))
            label = path.rpartition("/")[2]  # errors about a file's data begin with it
            log.warning("%s%s: %s", self._about, path, words.removeprefix(f"{label}: "))

    def subject(self, kind: str, args: Sequence[Any]) -> tuple[int, bytes]:
        """The inode that a request is about, and the name there."""
        if kind == "lookup":
            return args[0], args[1]
        if kind == "read":
            return self._opened[args[0]], b""
        if kind == "readdir":
            return self._directories[args[0]][0], b""
        return args[0] if isinstance(args[0], int) else ROOT, b""

    def failure(self, kind: str, number: int) -> FUSEError:
        """The answer to a request that failed, counted."""
        self.counters.failed[kind] += number not in _NO_FAILURES
        return FUSEError(number)

    async def _ask(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer to a question about the tree: at once if it is in memory, else by a worker."""
        try:
            return question(*args, **kwargs)
        except NotReady:
            return await self._elsewhere(self._finders, functools.partial(question, *args, **kwargs))

    async def _elsewhere(self, limiter: trio.CapacityLimiter, question: Callable[[], T]) -> T:
        """Asks by a thread that may wait; meanwhile another task takes requests."""

        def asked() -> T:
            try:
                return question()
            finally:
                self._waiting.tell()

        self._waiting.handover()
        self.counters.elsewhere += 1
        async with limiter:
            return await self.workers.run(asked)

    # --- names and attributes ---------------------------------------------------------------------------------------

    def init(self) -> None:
        """The kernel has answered: the mount works."""
        self._ready()

    @answering
    async def lookup(self, parent_inode: InodeT, name: bytes, ctx: RequestContext) -> EntryAttributes:
        """A name in a directory. A miss is remembered by the kernel too."""
        if name == b".":
            return self._entry(await self._ask(self._volume.attributes, parent_inode))
        if name == b"..":
            return self._entry(await self._ask(self._attributes_of_parent, parent_inode))
        if len(name) > limits.NAME_SHOWN:  # as statfs tells; the kernel asks for longer ones too
            raise FUSEError(errno.ENAMETOOLONG)
        found = await self._ask(self._volume.lookup, parent_inode, name)
        return self._absent if found is None else self._entry(found)

    def forget(self, inode_list: Sequence[tuple[InodeT, int]]) -> Any:
        """Nothing to forget: inode numbers are places on the disc."""

    @answering
    async def getattr(self, inode: InodeT, ctx: RequestContext) -> EntryAttributes:
        """The attributes of any inode that was ever handed out."""
        return self._entry(await self._ask(self._volume.attributes, inode))

    @answering
    async def readlink(self, inode: InodeT, ctx: RequestContext) -> bytes:
        """The target of a symbolic link: the kernel asks each time."""
        target = self._targets.get(inode)
        if target is None:
            target = await self._ask(self._volume.readlink, inode)
            self._targets.keep(inode, target)
        return target

    @answering
    async def getxattr(self, inode: InodeT, name: bytes, ctx: RequestContext) -> bytes:
        """An attribute. Where no file has any the kernel is told so, and does not ask again."""
        if not self._volume.has_xattrs:
            raise FUSEError(errno.ENOSYS)
        if not name.startswith(_XATTRS):  # `ls` does not ask again either
            raise FUSEError(errno.EOPNOTSUPP)
        found = (await self._xattrs(inode)).get(name)
        if found is None:
            raise FUSEError(errno.ENODATA)
        return found

    @answering
    async def listxattr(self, inode: InodeT, ctx: RequestContext) -> Sequence[bytes]:
        """The names of the attributes; the kernel gives `trusted.*` to root only, and leaves the list to us."""
        if not self._volume.has_xattrs:
            raise FUSEError(errno.ENOSYS)
        return [name for name in await self._xattrs(inode) if ctx.uid == 0 or not name.startswith(b"trusted.")]

    async def _xattrs(self, inode: int) -> Mapping[bytes, bytes]:
        return await self._ask(self._volume.xattrs, inode)

    @answering
    async def statfs(self, ctx: RequestContext) -> StatvfsData:
        """The size of the volume; nothing is free."""
        usage = self._volume.usage()
        answer = StatvfsData()
        answer.f_bsize = answer.f_frsize = usage.block_size
        answer.f_blocks = usage.blocks
        answer.f_bfree = answer.f_bavail = answer.f_files = answer.f_ffree = answer.f_favail = 0
        answer.f_namemax = usage.name_max
        return answer

    # --- directories ------------------------------------------------------------------------------------------------

    @answering
    async def opendir(self, inode: InodeT, ctx: RequestContext) -> FileHandleT:
        """The handle holds the directory's table, so that a listing does not change or fail half-way."""
        entries = await self._ask(self._volume.entries, inode)
        handle = next(self._handles)
        self._directories[handle] = (inode, entries)
        return handle

    @answering
    async def readdir(self, fh: FileHandleT, start_id: int, token: ReaddirToken) -> None:
        """Entries from `start_id` on: 0 is `.`, 1 is `..`, 2 the first name. They go on until the reply is full."""
        inode, entries = self._directories[fh]
        for place in range(start_id, 2):
            answer, parent = self._folders.get(inode) or await self._folder(inode)
            if place == 1:
                answer, _ = self._folders.get(parent) or await self._folder(parent)
            if not pyfuse3.readdir_reply(token, b"." * (place + 1), answer, place + 1):
                return
        place = max(start_id - 2, 0)
        while place < len(entries):
            number, within = divmod(place, _BATCH)
            answers = self._answers.get((inode, number)) or await self._answer_all(inode, entries, number)
            for answer in answers[within:]:
                place += 1
                if not pyfuse3.readdir_reply(token, entries[place - 1].name, answer, place + 2):
                    return

    async def _answer_all(self, inode: int, entries: Sequence[Entry], number: int) -> list[EntryAttributes]:
        """The answers for one batch of a directory's entries, which are kept for the next listing."""
        batch = entries[number * _BATCH : (number + 1) * _BATCH]
        found = await self._ask(self._attributes_of_all, batch)
        answers = []
        sound = True
        for entry, attributes in zip(batch, found, strict=True):
            if isinstance(attributes, IsofsError):
                await self.say_once(attributes, inode, entry.name)
                answers.append(_unknown(entry.inode))
                sound = False
                continue
            answer = self._entry(attributes)
            if entry.attributes is None:
                self._folders.keep(entry.inode, (answer, inode))
            answers.append(answer)
        if sound:
            self._answers.keep((inode, number), answers, len(answers))
        return answers

    async def _folder(self, inode: int) -> tuple[EntryAttributes, int]:
        """A directory's own answer, and its parent; as a rule they are known from the listing of the parent."""
        found = (
            self._entry(await self._ask(self._volume.attributes, inode)),
            await self._ask(self._volume.parent, inode),
        )
        self._folders.keep(inode, found)
        return found

    def _attributes_of_parent(self, inode: int) -> Attributes:
        return self._volume.attributes(self._volume.parent(inode))

    def _attributes_of_all(self, entries: Sequence[Entry]) -> list[Attributes | IsofsError]:
        """Those that cannot be read are listed, too; asking for them gives the error."""
        found: list[Attributes | IsofsError] = []
        for entry in entries:
            try:
                found.append(attributes_of(self._volume, entry))
            except IsofsError as error:
                found.append(error)
        return found

    @answering
    async def releasedir(self, fh: FileHandleT) -> None:
        """The listing is over."""
        self._directories.pop(fh, None)

    # --- files ------------------------------------------------------------------------------------------------------

    @answering
    async def open(self, inode: InodeT, flags: int, ctx: RequestContext) -> FileInfo:
        """For reading only. The kernel may keep the pages of earlier readers."""
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            raise FUSEError(errno.EROFS)
        try:
            data = self._volume.data(inode)
        except NotReady:
            data = await self._elsewhere(self._readers, functools.partial(self._volume.data, inode))
        handle = next(self._handles)
        self._files[handle] = open_stream(data)
        self._opened[handle] = inode
        return FileInfo(fh=handle, keep_cache=not self._direct_io, direct_io=self._direct_io)

    @answering
    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        """Bytes of an open file; fewer than asked for only at its end."""
        stream = self._files[fh]
        try:
            found = stream.view(size, off)
        except NotReady as missing:
            found = await self._read_later(stream, size, off, missing)
        self.counters.bytes += len(found)
        self._waiting.spin = BRIEFLY if stream.busy else SPIN
        return cast(bytes, found)

    async def _read_later(self, stream: Stream, size: int, off: int, missing: NotReady) -> memoryview | bytes:
        if missing.bring is not None:
            await self._elsewhere(self._readers, missing.bring)
            try:
                found = stream.view(size, off)
                self.counters.reads_elsewhere += 1
                return found
            except NotReady:  # gone again, or there is more that is missing
                pass
        data = await self._elsewhere(self._readers, functools.partial(stream.source.pread, size, off))
        self.counters.reads_elsewhere += 1
        return data

    @answering
    async def release(self, fh: FileHandleT) -> None:
        """The last holder has closed the file."""
        stream = self._files.pop(fh, None)
        self._opened.pop(fh, None)
        if stream is not None:
            stream.close()
        if not self._files:
            self.all_closed.set()

    @property
    def open_files(self) -> int:
        """How many files are open."""
        return len(self._files)

    @property
    def open_directories(self) -> int:
        """How many directories are being listed."""
        return len(self._directories)

    def _entry(self, attributes: Attributes) -> EntryAttributes:
        entry = EntryAttributes()
        entry.st_ino = attributes.inode
        entry.entry_timeout, entry.attr_timeout = self._timeouts
        entry.st_mode = cast(Any, attributes.mode)
        entry.st_nlink = attributes.nlink
        entry.st_uid = attributes.uid
        entry.st_gid = attributes.gid
        entry.st_rdev = attributes.rdev
        entry.st_size = attributes.size
        entry.st_blocks = attributes.blocks
        entry.st_blksize = 131_072
        entry.st_atime_ns = attributes.atime
        entry.st_mtime_ns = attributes.mtime
        entry.st_ctime_ns = attributes.ctime
        return entry

    # --- changes ----------------------------------------------------------------------------------------------------

    async def _read_only(self, *_: Any) -> Any:
        raise FUSEError(errno.EROFS)

    setattr: Any = _read_only
    mknod: Any = _read_only
    mkdir: Any = _read_only
    unlink: Any = _read_only
    rmdir: Any = _read_only
    symlink: Any = _read_only
    rename: Any = _read_only
    link: Any = _read_only
    create: Any = _read_only
    write: Any = _read_only
    setxattr: Any = _read_only
    removexattr: Any = _read_only


class Reserve:
    """Room in this process for the time when the system denies it more: trio, unlike a handler, needs what it asks for.

    It is given away in small pieces, so that what is large does not get it. Nothing is ever written to it.
    """

    def __init__(self) -> None:
        self._pieces: list[mmap.mmap] = []
        self.take()

    def take(self) -> None:
        """Has all of it again, if the system gives it."""
        with contextlib.suppress(OSError, MemoryError):
            while len(self._pieces) < _PIECES:
                self._pieces.append(_room(_PIECE))

    def give(self) -> None:
        """Gives pieces away until what is small finds room."""
        while self._pieces:
            try:
                _room(_PIECE // 2).close()
                return
            except (OSError, MemoryError):
                self._pieces.pop().close()


def _room(size: int) -> mmap.mmap:
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


class _Kept(Generic[K, V]):
    """What was made last, up to `most` in weight."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._weight = 0
        self._kept: dict[K, tuple[V, int]] = {}

    def get(self, key: K) -> V | None:
        """What is kept under a key."""
        found = self._kept.get(key)
        return None if found is None else found[0]

    def keep(self, key: K, value: V, weight: int = 1) -> None:
        """Keeps a value, in place of the oldest ones if there is no room."""
        if key not in self._kept:
            self._kept[key] = value, weight
            self._weight += weight
            while self._weight > self._most:
                self._weight -= self._kept.pop(next(iter(self._kept)))[1]


def _unknown(inode: int) -> EntryAttributes:
    """A directory whose attributes cannot be read: the kernel is to ask again when it needs them."""
    entry = EntryAttributes()
    entry.st_ino = inode
    entry.st_mode = cast(Any, stat.S_IFDIR | 0o555)
    entry.entry_timeout = entry.attr_timeout = 0
    return entry
