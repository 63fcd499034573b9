"""The handlers of FUSE requests, asked directly: a volume of the test's own, no mount."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import stat
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final, cast

import pyfuse3
import pytest
import trio
from pyfuse3 import EntryAttributes, FUSEError, ReaddirToken, RequestContext
from writers import discs
from writers.containers import cso
from writers.discs import TIME_NS
from writers.sources import Memory

from isofs import limits
from isofs.errors import (
    ImageChanged,
    ImageError,
    IsofsError,
    MountFailed,
    NoEntryError,
    NotADisc,
    NotReady,
    StaleInode,
    SystemRefused,
    UnsupportedError,
    UsageError,
)
from isofs.image import source as image_source
from isofs.image.cache import BlockCache
from isofs.image.cso import open_map
from isofs.image.disc import Disc
from isofs.image.source import Source
from isofs.mount.operations import Operations
from isofs.volume.iso9660 import open_iso9660
from isofs.volume.tree import ROOT, Attributes, Entry, Findings, Usage, View, find

CTX: Final = RequestContext()
LIMIT: Final = 30
"""Seconds after which a thread that waits for the test gives up."""
FILE, FOLDER, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777


def attributes(inode: int, mode: int = FILE, size: int = 0, nlink: int = 1) -> Attributes:
    return Attributes(inode, mode, nlink, 7, 8, 0, size, -(-size // 512), 11, -22, 33)


class Gate:
    """Makes a question slow: it waits in its thread until the test opens the gate."""

    def __init__(self) -> None:
        self.reached = trio.Event()
        self.waiting = 0
        self.threads: set[int] = set()
        self._opened = threading.Event()
        self._loop = threading.get_ident()
        self._token = trio.lowlevel.current_trio_token()

    def __call__(self) -> None:
        if threading.get_ident() == self._loop:
            raise NotReady
        trio.from_thread.run_sync(self._arrived, threading.get_ident(), trio_token=self._token)
        if not self._opened.wait(LIMIT):
            raise ImageError("nobody opened the gate")

    def _arrived(self, thread: int) -> None:
        self.waiting += 1
        self.threads.add(thread)
        self.reached.set()

    def open(self) -> None:
        self._opened.set()


class FakeVolume:
    """A volume of a few files. `before` is called with each question, and may raise or wait."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.before: Callable[[str, int], None] = lambda *_: None
        self.files = {
            1: attributes(1, FOLDER, 2048),
            2: attributes(2, FILE, 13, nlink=2),
            3: attributes(3, LINK, 5),
            4: attributes(4, FOLDER, 2048),
            5: attributes(5, FOLDER, 2048),
        }
        self.tables: dict[int, list[Entry]] = {
            1: [
                Entry(b"file", 2, self.files[2]),
                Entry(b"link", 3, self.files[3]),
                Entry(b"folder", 4, None),
            ],
            4: [Entry(b"inner", 5, None)],
            5: [],
        }
        self.above = {1: 1, 2: 1, 3: 1, 4: 1, 5: 4}
        self.contents = {2: b"the file's it."}
        self.has_xattrs = True
        self.marks = {2: {b"user.a": b"1", b"trusted.b": b"", b"system.posix_acl_access": b"\2\0\0\0"}}

    def attributes(self, inode: int) -> Attributes:
        self.before("attributes", inode)
        if inode not in self.files:
            raise StaleInode(f"inode {inode} leads to no directory record")
        return self.files[inode]

    def lookup(self, inode: int, name: bytes) -> Attributes | None:
        self.before("lookup", inode)
        found = [entry for entry in self.tables[inode] if entry.name == name]
        return self.attributes(found[0].inode) if found else None

    def entries(self, inode: int) -> Sequence[Entry]:
        self.before("entries", inode)
        return self.tables[inode]

    def parent(self, inode: int) -> int:
        self.before("parent", inode)
        if inode not in self.above:
            raise StaleInode(f"inode {inode} leads to no directory record")
        return self.above[inode]

    def data(self, inode: int) -> Source:
        self.before("data", inode)
        volume = self

        class Contents(Memory):
            def pread(self, n: int, offset: int) -> bytes:
                volume.before("pread", inode)
                return super().pread(n, offset)

        return Contents(self.contents[inode])

    def readlink(self, inode: int) -> bytes:
        self.before("readlink", inode)
        return b"file\xff"

    def xattrs(self, inode: int) -> Mapping[bytes, bytes]:
        self.before("xattrs", inode)
        return self.marks.get(inode, {})

    def usage(self) -> Usage:
        self.before("usage", 0)
        return Usage(2048, 345)

    def describe(self) -> dict[str, object]:
        return {}


@pytest.fixture
def volume() -> FakeVolume:
    return FakeVolume()


@pytest.fixture
async def operations(volume: FakeVolume) -> Operations:
    return Operations(volume, lambda: None)


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    """A gate that is open at the end, so that no thread stays behind."""
    made = Gate()
    try:
        yield made
    finally:
        made.open()


def raising(error: BaseException, question: str = "", inode: int | None = None) -> Callable[[str, int], None]:
    """Questions of this name (or all) about this inode (or all) raise."""

    def before(asked: str, about: int) -> None:
        if question in ("", asked) and inode in (None, about):
            raise error

    return before


class Reply:
    """A reply to readdir with room for so many entries."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int = 1_000_000) -> None:
        self.entries: list[tuple[bytes, EntryAttributes, int]] = []
        self.refused: list[bytes] = []
        self._room = room
        monkeypatch.setattr(pyfuse3, "readdir_reply", self._take)

    def _take(self, token: object, name: bytes, attr: EntryAttributes, next_id: int) -> bool:
        assert token is self
        assert not self.refused, "asked again after the reply was full"
        if len(self.entries) == self._room:
            self.refused.append(name)
            return False
        self.entries.append((name, attr, next_id))
        return True

    @property
    def names(self) -> list[bytes]:
        return [name for name, _, _ in self.entries]


async def listed(operations: Operations, reply: Reply, handle: int, start: int = 0) -> list[bytes]:
    await operations.readdir(handle, start, cast(ReaddirToken, reply))
    return reply.names


async def error_of(request: Any) -> int:
    """The errno that a request is answered with."""
    with pytest.raises(FUSEError) as caught:
        await request
    return caught.value.errno


# --- names and attributes -------------------------------------------------------------------------------------------


async def test_lookup_of_a_name_gives_its_attributes(operations: Operations) -> None:
    found = await operations.lookup(ROOT, b"file", CTX)
    assert (found.st_ino, found.st_mode, found.st_nlink, found.st_size) == (2, FILE, 2, 13)
    assert (found.st_uid, found.st_gid, found.st_blocks) == (7, 8, 1)
    assert (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns) == (11, -22, 33)
    assert found.generation == 0


async def test_what_never_changes_is_kept_for_long(operations: Operations) -> None:
    for found in (await operations.lookup(ROOT, b"file", CTX), await operations.getattr(2, CTX)):
        assert min(found.entry_timeout, found.attr_timeout) >= 3600


async def test_a_miss_is_an_answer_that_the_kernel_keeps(operations: Operations) -> None:
    found = await operations.lookup(ROOT, b"missing", CTX)
    assert found.st_ino == 0
    assert found.entry_timeout >= 3600


async def test_dot_is_the_inode_itself(operations: Operations) -> None:
    """The kernel asks so for file handles, of files too."""
    assert (await operations.lookup(4, b".", CTX)).st_ino == 4
    assert (await operations.lookup(2, b".", CTX)).st_ino == 2


async def test_two_dots_are_the_parent(operations: Operations) -> None:
    assert (await operations.lookup(5, b"..", CTX)).st_ino == 4
    assert (await operations.lookup(ROOT, b"..", CTX)).st_ino == ROOT


async def test_getattr(operations: Operations) -> None:
    found = await operations.getattr(4, CTX)
    assert (found.st_ino, found.st_mode) == (4, FOLDER)


async def test_the_largest_numbers_fit(operations: Operations, volume: FakeVolume) -> None:
    most = Attributes(
        (1 << 64) - 1,
        stat.S_IFBLK | 0o7777,
        (1 << 32) - 1,
        *((1 << 32) - 1,) * 2,
        (1 << 64) - 1,
        1 << 62,
        1 << 54,
        *(253_402_300_799 * 10**9, -62_135_596_800 * 10**9, 0),
    )
    volume.files[9] = most
    found = await operations.getattr(9, CTX)
    assert found.st_ino == most.inode
    assert found.st_atime_ns == most.atime
    assert found.st_mtime_ns == most.mtime


async def test_readlink_gives_bytes(operations: Operations) -> None:
    assert await operations.readlink(3, CTX) == b"file\xff"


async def test_statfs(operations: Operations) -> None:
    found = await operations.statfs(CTX)
    assert (found.f_bsize, found.f_frsize, found.f_blocks, found.f_namemax) == (2048, 2048, 345, 255)
    assert (found.f_bfree, found.f_bavail, found.f_ffree, found.f_favail) == (0, 0, 0, 0)


async def test_forgetting_needs_no_answer(operations: Operations) -> None:
    operations.forget([(2, 1), (99, 5)])
    assert (await operations.getattr(2, CTX)).st_ino == 2


async def test_the_first_request_of_the_kernel_makes_the_mount_ready(volume: FakeVolume) -> None:
    calls: list[int] = []
    operations = Operations(volume, lambda: calls.append(1))
    assert calls == []
    operations.init()
    assert calls == [1]


# --- directories ----------------------------------------------------------------------------------------------------


async def test_a_listing_begins_with_the_directory_and_its_parent(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = Reply(monkeypatch)
    assert await listed(operations, reply, await operations.opendir(5, CTX)) == [b".", b".."]
    assert [found.st_ino for _, found, _ in reply.entries] == [5, 4]


async def test_a_listing_gives_names_in_the_order_of_the_disc_with_attributes(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = Reply(monkeypatch)
    assert await listed(operations, reply, await operations.opendir(ROOT, CTX)) == [
        *(b".", b"..", b"file", b"link", b"folder"),
    ]
    assert [found.st_mode for _, found, _ in reply.entries] == [FOLDER, FOLDER, FILE, LINK, FOLDER]
    assert all(next_id > 0 for _, _, next_id in reply.entries)


@pytest.mark.parametrize("room", [1, 2, 3, 7, 255, 256, 257, 1000])
async def test_a_listing_in_pieces_gives_each_name_once(
    operations: Operations, volume: FakeVolume, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Whatever fits into a reply: the next piece begins with what did not."""
    names = [b"%d" % i for i in range(600 if room > 2 else 20)]
    volume.tables[5] = [Entry(name, 2, volume.files[2]) for name in names]
    handle = await operations.opendir(5, CTX)
    found: list[bytes] = []
    start = 0
    while True:
        reply = Reply(monkeypatch, room)
        piece = await listed(operations, reply, handle, start)
        if not piece:
            break
        found += piece
        start = reply.entries[-1][2]
    assert found == [b".", b"..", *names]


async def test_a_listing_can_begin_at_any_offset_that_was_given(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = await operations.opendir(ROOT, CTX)
    whole = Reply(monkeypatch)
    await listed(operations, whole, handle)
    for place in reversed(range(len(whole.entries))):
        again = Reply(monkeypatch)
        assert await listed(operations, again, handle, whole.entries[place][2]) == whole.names[place + 1 :]


async def test_an_offset_behind_the_end_gives_nothing(operations: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = await operations.opendir(ROOT, CTX)
    assert await listed(operations, Reply(monkeypatch), handle, 1_000_000) == []


async def test_a_child_that_cannot_be_read_costs_its_own_attributes_only(
    operations: Operations, volume: FakeVolume, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is listed with the number that the kernel will ask about, and asked about at once."""
    volume.tables[1].insert(0, Entry(b"broken", 44, None))
    volume.files[44] = attributes(44, FOLDER)
    volume.before = raising(ImageError("the directory at byte 44 is damaged"), "attributes", 44)
    reply = Reply(monkeypatch)
    names = await listed(operations, reply, await operations.opendir(ROOT, CTX))
    assert names == [b".", b"..", b"broken", b"file", b"link", b"folder"]
    broken = reply.entries[2][1]
    assert (broken.st_ino, stat.S_IFMT(broken.st_mode)) == (44, stat.S_IFDIR)
    assert (broken.entry_timeout, broken.attr_timeout) == (0, 0)
    assert "the directory at byte 44 is damaged" in caplog.text
    assert await error_of(operations.getattr(44, CTX)) == errno.EIO


async def test_a_child_without_a_sound_record_costs_its_own_attributes_only(
    operations: Operations, volume: FakeVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume.tables[1].append(Entry(b"stale", 44, None))
    names = await listed(operations, Reply(monkeypatch), await operations.opendir(ROOT, CTX))
    assert names[-2:] == [b"folder", b"stale"]


async def test_two_listings_do_not_disturb_each_other(operations: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = await operations.opendir(ROOT, CTX), await operations.opendir(5, CTX)
    assert one != two
    await operations.releasedir(one)
    assert await listed(operations, Reply(monkeypatch), two) == [b".", b".."]


async def test_a_listing_does_not_change_or_fail_half_way(
    operations: Operations, volume: FakeVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = await operations.opendir(4, CTX)
    volume.before = raising(ImageError("gone"), "entries")
    assert await listed(operations, Reply(monkeypatch), handle, 2) == [b"inner"]


async def test_a_directory_that_cannot_be_read_does_not_open(operations: Operations, volume: FakeVolume) -> None:
    volume.before = raising(ImageError("damaged"), "entries", 4)
    assert await error_of(operations.opendir(4, CTX)) == errno.EIO


async def test_releasedir_frees_the_handle(operations: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = await operations.opendir(ROOT, CTX)
    await operations.releasedir(handle)
    reply = Reply(monkeypatch)
    with pytest.raises(FUSEError):
        await operations.readdir(handle, 0, cast(ReaddirToken, reply))
    await operations.releasedir(handle)


# --- files ----------------------------------------------------------------------------------------------------------


async def test_a_file_is_read(operations: Operations) -> None:
    opened = await operations.open(2, os.O_RDONLY, CTX)
    assert await operations.read(opened.fh, 0, 4096) == b"the file's it."
    assert await operations.read(opened.fh, 4, 4) == b"file"
    assert await operations.read(opened.fh, 14, 10) == b""
    assert await operations.read(opened.fh, 1 << 40, 10) == b""


async def test_the_kernel_may_keep_the_pages(operations: Operations) -> None:
    opened = await operations.open(2, os.O_RDONLY, CTX)
    assert opened.keep_cache
    assert not opened.direct_io


@pytest.mark.parametrize(
    "flags",
    [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_CREAT, os.O_ACCMODE],
)
async def test_opening_for_writing_is_refused(operations: Operations, flags: int) -> None:
    assert await error_of(operations.open(2, flags, CTX)) == errno.EROFS


@pytest.mark.parametrize("flags", [os.O_NOFOLLOW, os.O_NONBLOCK, os.O_DIRECT, os.O_NOATIME, os.O_SYNC])
async def test_other_flags_do_not_matter(operations: Operations, flags: int) -> None:
    opened = await operations.open(2, os.O_RDONLY | flags, CTX)
    assert await operations.read(opened.fh, 0, 3) == b"the"


async def test_handles_are_not_shared(operations: Operations, volume: FakeVolume) -> None:
    one, two = await operations.open(2, 0, CTX), await operations.open(2, 0, CTX)
    assert one.fh != two.fh
    await operations.release(one.fh)
    assert await operations.read(two.fh, 0, 3) == b"the"


async def test_release_frees_the_handle(operations: Operations) -> None:
    opened = await operations.open(2, 0, CTX)
    await operations.release(opened.fh)
    with pytest.raises(FUSEError):
        await operations.read(opened.fh, 0, 1)
    await operations.release(opened.fh)


async def test_a_thousand_opens_leave_nothing_behind(operations: Operations) -> None:
    for _ in range(1000):
        await operations.release((await operations.open(2, 0, CTX)).fh)
        await operations.releasedir(await operations.opendir(ROOT, CTX))
    held = [value for value in vars(operations).values() if isinstance(value, dict)]
    assert held
    assert not any(held)


# --- extended attributes --------------------------------------------------------------------------------------------


async def test_attributes_are_told_by_their_names(operations: Operations) -> None:
    assert await operations.getxattr(2, b"user.a", CTX) == b"1"
    assert await operations.getxattr(2, b"trusted.b", CTX) == b""
    assert await operations.getxattr(2, b"system.posix_acl_access", CTX) == b"\2\0\0\0"
    assert await operations.listxattr(3, CTX) == []


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *((name, errno.ENODATA) for name in (b"user.b", b"user.", b"trusted.a", b"system.posix_acl_default")),
        *((name, errno.EOPNOTSUPP) for name in (b"security.capability", b"security.selinux", b"system.nfs4_acl", b"a")),
    ],
)
async def test_an_attribute_that_is_not_there_is_no_failure(operations: Operations, name: bytes, number: int) -> None:
    """Of a kind that is never there the kernel's programs ask once."""
    assert await error_of(operations.getxattr(2, name, CTX)) == number
    assert sum(operations.counters.failed.values()) == 0


@pytest.mark.parametrize("there", [True, False])
async def test_without_attributes_the_kernel_asks_once(volume: FakeVolume, there: bool) -> None:
    """And has lists enforced only where there may be some."""
    volume.has_xattrs = there
    operations = Operations(volume, lambda: None)
    assert operations.enable_acl is there
    if not there:
        assert await error_of(operations.getxattr(2, b"user.a", CTX)) == errno.ENOSYS
        assert await error_of(operations.listxattr(2, CTX)) == errno.ENOSYS


async def test_only_root_sees_what_is_for_root(operations: Operations) -> None:
    assert CTX.uid == 0
    assert set(await operations.listxattr(2, CTX)) == set(operations._volume.xattrs(2))
    user = cast(RequestContext, SimpleNamespace(uid=1000))
    assert set(await operations.listxattr(2, user)) == {b"user.a", b"system.posix_acl_access"}


# --- changes --------------------------------------------------------------------------------------------------------

CHANGES: Final = (
    *("setattr", "mknod", "mkdir", "unlink", "rmdir", "symlink", "rename", "link", "create", "write"),
    *("setxattr", "removexattr"),
)


@pytest.mark.parametrize("name", CHANGES)
async def test_every_change_is_refused_as_on_a_read_only_file_system(operations: Operations, name: str) -> None:
    """The kernel sends them when root remounts the file system for writing."""
    words = inspect.signature(getattr(pyfuse3.Operations, name)).parameters
    values = [b"name" if "name" in word else 2 for word in words][1:]
    assert await error_of(getattr(operations, name)(*values)) == errno.EROFS


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (ImageError("x"), errno.EIO),
        (NotADisc("x"), errno.EINVAL),
        (UnsupportedError("x"), errno.EOPNOTSUPP),
        (StaleInode("x"), errno.ESTALE),
        (NoEntryError("x"), errno.ENOENT),
        (UsageError("x"), errno.EINVAL),
        (SystemRefused("x"), errno.EIO),
        (MountFailed("x"), errno.EIO),
        (OSError(errno.ENXIO, "x"), errno.ENXIO),
        (OSError("no number"), errno.EIO),
        (MemoryError(), errno.ENOMEM),
        (FUSEError(errno.ENOTDIR), errno.ENOTDIR),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_each_error_has_its_errno(
    operations: Operations, volume: FakeVolume, error: Exception, number: int
) -> None:
    volume.before = raising(error)
    assert await error_of(operations.getattr(2, CTX)) == number


def test_every_error_class_is_known() -> None:
    def below(known: type[IsofsError]) -> set[type[IsofsError]]:
        return {known}.union(*(below(child) for child in known.__subclasses__()))

    for known in below(IsofsError):
        assert known.errno in errno.errorcode


async def test_every_question_is_answered_with_an_errno(
    operations: Operations, volume: FakeVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await operations.open(2, 0, CTX)
    handle = await operations.opendir(ROOT, CTX)
    volume.before = raising(ImageError("damaged"))
    reply = Reply(monkeypatch)
    for request in (
        operations.lookup(ROOT, b"file", CTX),
        operations.lookup(ROOT, b".", CTX),
        operations.lookup(ROOT, b"..", CTX),
        operations.getattr(2, CTX),
        operations.readlink(3, CTX),
        operations.opendir(ROOT, CTX),
        operations.open(2, 0, CTX),
        operations.read(opened.fh, 0, 1),
        operations.readdir(handle, 0, cast(ReaddirToken, reply)),
        operations.statfs(CTX),
    ):
        assert await error_of(request) == errno.EIO
    assert reply.entries == []


@pytest.mark.parametrize("error", [ValueError("odd"), KeyError(7), RecursionError("deep"), AssertionError()])
async def test_a_bug_is_logged_and_ends_only_the_request(
    operations: Operations, volume: FakeVolume, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    volume.before = raising(error)
    assert await error_of(operations.getattr(2, CTX)) == errno.EIO
    (record,) = caplog.records
    assert record.name == "isofs"
    assert record.levelno >= logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    volume.before = lambda *_: None
    assert (await operations.getattr(2, CTX)).st_ino == 2


async def test_damage_is_logged_once(
    operations: Operations, volume: FakeVolume, caplog: pytest.LogCaptureFixture
) -> None:
    for words in ("block 1", "block 2", "block 1", "block 1"):
        volume.before = raising(ImageError(words), "attributes", 2)
        assert await error_of(operations.getattr(2, CTX)) == errno.EIO
    assert caplog.messages == ["/file: block 1", "/file: block 2"]
    assert not any(record.exc_info for record in caplog.records)


async def test_the_path_of_a_damaged_file_is_logged(volume: FakeVolume, caplog: pytest.LogCaptureFixture) -> None:
    operations = Operations(volume, lambda: None, image="disc\n.iso")
    handle = (await operations.open(2, os.O_RDONLY, CTX)).fh
    volume.before = raising(ImageError("block 1"), "pread", 2)
    assert await error_of(operations.read(handle, 0, 10)) == errno.EIO
    assert caplog.messages == ["disc\\n.iso: /file: block 1"]


async def test_what_cannot_tell_its_own_place_is_logged_by_its_name(
    operations: Operations, volume: FakeVolume, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory whose records are lost knows no parent; whoever lists or looks knows where it is."""
    volume.tables[1].insert(0, Entry(b"broken", 44, None))
    volume.before = raising(ImageError("block 1"), "", 44)
    await listed(operations, Reply(monkeypatch), await operations.opendir(ROOT, CTX))
    volume.before = raising(ImageError("block 2"), "lookup", ROOT)
    assert await error_of(operations.lookup(ROOT, b"worse", CTX)) == errno.EIO
    assert caplog.messages == ["/broken: block 1", "/worse: block 2"]


async def test_an_image_that_changed_is_told_once(
    operations: Operations, volume: FakeVolume, caplog: pytest.LogCaptureFixture
) -> None:
    for block in range(3):
        volume.before = raising(ImageChanged(f"block {block}: the image file was changed"), "attributes", 2)
        assert await error_of(operations.getattr(2, CTX)) == errno.EIO
    assert caplog.messages == ["/file: block 0: the image file was changed"]


async def test_the_log_is_bounded(
    operations: Operations, volume: FakeVolume, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FINDINGS", 3)
    for i in range(10):
        volume.before = raising(ImageError(f"block {i}"))
        assert await error_of(operations.getattr(2, CTX)) == errno.EIO
    assert caplog.messages == ["inode 2: block 0", "inode 2: block 1", "inode 2: block 2"]


async def test_a_miss_is_not_logged(operations: Operations, caplog: pytest.LogCaptureFixture) -> None:
    await operations.lookup(ROOT, b"missing", CTX)
    await error_of(operations.open(2, os.O_RDWR, CTX))
    assert caplog.messages == []


# --- what is not in memory ------------------------------------------------------------------------------------------


def slow(gate: Gate, question: str, inode: int) -> Callable[[str, int], None]:
    """One question waits at the gate."""

    def before(asked: str, about: int) -> None:
        if (asked, about) == (question, inode):
            gate()

    return before


async def test_a_slow_read_does_not_stall_other_requests(
    operations: Operations, volume: FakeVolume, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await operations.open(2, 0, CTX)
    volume.before = slow(gate, "pread", 2)
    answers: list[bytes] = []

    async def read() -> None:
        answers.append(await operations.read(opened.fh, 0, 8))

    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await gate.reached.wait()
            assert (await operations.getattr(2, CTX)).st_ino == 2
            assert (await operations.lookup(ROOT, b"link", CTX)).st_ino == 3
            assert len(await listed(operations, Reply(monkeypatch), await operations.opendir(ROOT, CTX))) == 5
            assert (await operations.statfs(CTX)).f_blocks == 345
            assert answers == []
            gate.open()
    assert answers == [b"the file"]
    assert threading.get_ident() not in gate.threads


async def test_stuck_directories_do_not_stall_reads(operations: Operations, volume: FakeVolume, gate: Gate) -> None:
    opened = await operations.open(2, 0, CTX)
    answered = trio.Event()

    def before(asked: str, about: int) -> None:
        if asked == "entries":
            gate()
        elif asked == "pread" and threading.get_ident() == loop:
            raise NotReady

    async def read() -> None:
        assert await operations.read(opened.fh, 0, 8) == b"the file"
        answered.set()

    loop = threading.get_ident()
    volume.before = before
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(operations.opendir, ROOT, CTX)
            await gate.reached.wait()
            nursery.start_soon(read)
            await answered.wait()
            gate.open()


@pytest.mark.parametrize(
    ("question", "inode", "ask"),
    [
        ("lookup", 1, lambda operations: operations.lookup(1, b"file", CTX)),
        ("attributes", 1, lambda operations: operations.lookup(1, b".", CTX)),
        ("parent", 4, lambda operations: operations.lookup(4, b"..", CTX)),
        ("attributes", 2, lambda operations: operations.getattr(2, CTX)),
        ("readlink", 3, lambda operations: operations.readlink(3, CTX)),
        ("xattrs", 2, lambda operations: operations.getxattr(2, b"user.a", CTX)),
        ("xattrs", 2, lambda operations: operations.listxattr(2, CTX)),
        ("entries", 1, lambda operations: operations.opendir(1, CTX)),
        ("data", 2, lambda operations: operations.open(2, 0, CTX)),
    ],
)
async def test_every_slow_question_is_asked_by_another_thread(
    operations: Operations,
    volume: FakeVolume,
    gate: Gate,
    question: str,
    inode: int,
    ask: Callable[[Operations], Any],
) -> None:
    volume.before = slow(gate, question, inode)
    gate.open()
    with trio.fail_after(LIMIT):
        await ask(operations)
    assert gate.waiting == 1
    assert threading.get_ident() not in gate.threads


async def test_a_slow_child_of_a_listing_is_waited_for(
    operations: Operations, volume: FakeVolume, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume.before = slow(gate, "attributes", 4)
    handle = await operations.opendir(ROOT, CTX)
    reply = Reply(monkeypatch)
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listed, operations, reply, handle)
            await gate.reached.wait()
            assert (await operations.getattr(2, CTX)).st_ino == 2
            gate.open()
    assert reply.names == [b".", b"..", b"file", b"link", b"folder"]


async def test_an_error_in_another_thread_has_its_errno(
    operations: Operations, volume: FakeVolume, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    def before(asked: str, about: int) -> None:
        gate()
        raise ImageError("cut off")

    volume.before = before
    gate.open()
    with trio.fail_after(LIMIT):
        assert await error_of(operations.getattr(2, CTX)) == errno.EIO
    assert caplog.messages == ["inode 2: cut off"]


async def test_many_slow_requests_do_not_stall_a_quick_one(
    operations: Operations, volume: FakeVolume, gate: Gate
) -> None:
    """More than there are threads."""
    opened = await operations.open(2, 0, CTX)
    volume.before = slow(gate, "pread", 2)
    answers: list[bytes] = []

    async def read() -> None:
        answers.append(await operations.read(opened.fh, 0, 3))

    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            for _ in range(99):
                nursery.start_soon(read)
            await gate.reached.wait()
            assert (await operations.getattr(2, CTX)).st_ino == 2
            assert answers == []
            gate.open()
    assert answers == [b"the"] * 99


async def test_the_end_does_not_wait_for_a_slow_request(operations: Operations, volume: FakeVolume, gate: Gate) -> None:
    volume.before = slow(gate, "attributes", 2)
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(operations.getattr, 2, CTX)
            await gate.reached.wait()
            nursery.cancel_scope.cancel()


class SlowImage(Memory):
    """An image of which one range is on slow storage. A thread that must not wait gets nothing of it."""

    def __init__(self, data: bytes, slow_from: int, gate: Gate) -> None:
        super().__init__(data)
        self._slow_from = slow_from
        self._gate = gate

    def pread(self, n: int, offset: int) -> bytes:
        if not image_source.may_wait():
            raise NotReady
        if offset + n > self._slow_from:
            self._gate()
        return super().pread(n, offset)


async def test_a_cold_compressed_file_on_slow_storage_does_not_stall_the_rest(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = discs.numbered_blocks(64)
    disc = discs.Disc(rock=True)
    folder = disc.root.rock_directory(b"FOLDER", b"folder")
    folder.file(b"A.;1", b"in memory", system_use=discs.rock(b"a"))
    folder.file(b"B.;1", b"cold, but quick", system_use=discs.rock(b"b"))
    begin = disc.next
    disc.root.file(b"BIG.;1", data, system_use=discs.rock(b"big"))
    whole = disc.build()
    image = cso(whole)
    blocks = open_map(Memory(image))
    slow_from, _, _ = blocks.row(begin)
    cache = BlockCache(limits.CACHE_LEAST)
    source = SlowImage(image, slow_from, gate)
    volume = open_iso9660(Disc(source, open_map(source), cache), View(), cache)
    big, a, b = (find(volume, path).inode for path in ("big", "folder/a", "folder/b"))
    operations = Operations(volume, lambda: None)
    monkeypatch.setattr(image_source._thread, "impatient", True, raising=False)
    answers: list[bytes] = []

    async def read(handle: int) -> None:
        answers.append(await operations.read(handle, 2048, 8192))

    with trio.fail_after(LIMIT):
        opened = await operations.open(big, 0, CTX)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, opened.fh)
            await gate.reached.wait()
            assert (await operations.getattr(a, CTX)).st_mtime_ns == TIME_NS
            other = await operations.open(b, 0, CTX)
            assert await operations.read(other.fh, 0, 100) == b"cold, but quick"
            reply = Reply(monkeypatch)
            assert await listed(operations, reply, await operations.opendir(ROOT, CTX)) == [
                *(b".", b"..", b"folder", b"big"),
            ]
            assert answers == []
            gate.open()
    assert answers == [data[2048 : 2048 + 8192]]
