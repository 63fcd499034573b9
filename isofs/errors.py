"""Errors, sorted by whose fault they are.

Every error that isofs raises on purpose is an `IsofsError`. Its class says who can do something about it and
carries the exit code of the command line (mount(8), EXIT STATUS) and the errno that a file system request gets;
its text is one line: reason, then remedy. Anything else that escapes is a bug in isofs.

| class | whose fault | exit | errno |
| --- | --- | --- | --- |
| `UsageError` | the caller: option, argument, permission | 1 | EINVAL |
| `NoEntryError` | the caller: no such path on the disc | 1 | ENOENT |
| `NoImage` | the caller: no such image, or no file | 32 | ENOENT |
| `SystemRefused` | the machine: no FUSE, no memory, no permission | 2 | EIO |
| `ImageError` | the image: damaged, cut off, hostile | 32 | EIO |
| `ImageChanged` | whoever writes to an image in use | 32 | EIO |
| `NotADisc` | the image: something else than a disc | 32 | EINVAL |
| `UnsupportedError` | nobody: known, but not read by this version | 32 | EOPNOTSUPP |
| `InternalError` | isofs: a bug | 4 | EIO |
| `MountFailed` | the mount point or the kernel | 32 | EIO |
| `StaleInode` | an inode number that leads to no sound record | 32 | ESTALE |
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import ClassVar, Final

EXIT_OK: Final = 0
EXIT_USAGE: Final = 1
EXIT_SYSTEM: Final = 2
EXIT_BUG: Final = 4
EXIT_INTERRUPTED: Final = 8
EXIT_FAILED: Final = 32


class IsofsError(Exception):
    """Base of all errors that isofs raises on purpose.

    `reason` says what is wrong, `remedy` what to do about it (or is empty), `path` the file that it is about
    (set where it is known; the command line fills in the image's path otherwise).
    """

    exit_code: ClassVar[int] = EXIT_FAILED
    errno: ClassVar[int] = errno.EIO

    def __init__(self, reason: str, remedy: str = "", *, path: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.path = path

    def __str__(self) -> str:
        return f"{self.reason}; {self.remedy}" if self.remedy else self.reason


class UsageError(IsofsError):
    """A wrong option, argument or combination, or a permission that the caller lacks."""

    exit_code = EXIT_USAGE
    errno = errno.EINVAL


class NoEntryError(IsofsError):
    """A path that is not on the disc, or is not of the kind asked for."""

    exit_code = EXIT_USAGE
    errno = errno.ENOENT


class NoImage(IsofsError):
    """The image is not there, or is neither a regular file nor a block device."""

    errno = errno.ENOENT


class SystemRefused(IsofsError):
    """The machine lacks or refuses something: /dev/fuse, memory, a permission."""

    exit_code = EXIT_SYSTEM


class ImageError(IsofsError):
    """The image is damaged, cut off or hostile: these bytes cannot be had."""


class ImageChanged(ImageError):
    """The image file is not what it was when it was opened: nothing of it is believed any more."""


class NotADisc(ImageError):
    """The file is not a disc image; the reason names what it is."""

    errno = errno.EINVAL


class UnsupportedError(IsofsError):
    """A format that is known by name but not read; the remedy names a tool that does."""

    errno = errno.EOPNOTSUPP


class InternalError(IsofsError):
    """A bug in isofs, met where only a line of it can be told."""

    exit_code = EXIT_BUG


class MountFailed(IsofsError):
    """The kernel, fusermount3 or the mount point does not allow the mount."""


class StaleInode(IsofsError):
    """An inode number that leads to no sound directory record."""

    errno = errno.ESTALE


class NotReady(Exception):
    """The answer is not in memory and the calling thread must not wait (`image.source.never_wait`).

    Not an error: the question is to be asked again, by a thread that may wait; or by the same one after another has
    called `bring`, where there is one.
    """

    def __init__(self, bring: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.bring = bring
