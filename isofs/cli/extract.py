"""`isofs extract`: files of the disc into a directory, for where FUSE cannot be had."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..errors import EXIT_FAILED, EXIT_OK, ImageError, IsofsError, SystemRefused, UsageError
from .cat import PIECE
from .opening import add_image, opened
from .output import complain
from .parser import Parser
from .progress import progress

if TYPE_CHECKING:
    from ..volume.tree import Attributes, Step, Volume

HELP = "copy files of the disc into a directory"


def configure(parser: Parser) -> None:
    """Adds the command's arguments."""
    add_image(parser)
    parser.add_argument(
        "path", metavar="PATH", nargs="?", default="/", help="a file or directory of the disc (default: all)"
    )
    parser.add_argument("directory", metavar="DIRECTORY", help="where to; made if it does not exist")


def run(args: Namespace) -> int:
    """Contents, permissions, times and links; nothing that exists is overwritten.

    What cannot be read or written is said, a line each, and left out with all below it; the exit code is 32 then.
    """
    from ..volume.tree import find

    with opened(args) as (image, volume, _):
        start = find(volume, args.path)
        try:
            os.makedirs(args.directory, exist_ok=True)
        except OSError as error:
            raise UsageError(os.strerror(error.errno or 0), "choose another directory", path=args.directory) from None
        failed = _Extraction(volume, os.fsencode(args.directory), image.path).extract(start, args.path)
        return EXIT_FAILED if failed or volume.findings.harmful else EXIT_OK


class _Extraction:
    """One run of the command."""

    def __init__(self, volume: Volume, directory: bytes, image: str) -> None:
        self._volume = volume
        self._directory = directory
        self._image = image
        self._failed = 0
        self._links: dict[int, bytes] = {}
        self._own: dict[bytes, Attributes] = {}
        self._closed: set[bytes] = set()

    def extract(self, start: Attributes, path: str) -> int:
        """Extracts a file, or everything below a directory; gives the number of failures."""
        name = os.path.basename(os.fsencode(path).rstrip(b"/"))
        if name in (b".", b".."):
            name = b""
        total = 0
        if sys.stderr.isatty():  # for the progress bar alone
            total = sum(step.attributes.size for step in self._steps(start, name) if step.attributes)
        with progress("", total) as advance:
            for step in self._steps(start, name):
                if step.error is not None:
                    self._fail(step.path, step.error)
                elif step.attributes is not None:
                    self._make(step.path, step.attributes, advance)
        for made, attributes in reversed(self._own.items()):  # last, so that what is made in them does not touch them
            self._dress(self._target(made), attributes)
        return self._failed

    def _steps(self, start: Attributes, name: bytes) -> Iterator[Step]:
        """The file itself, or everything below it with `name` in front."""
        from ..volume.tree import Step, walk

        if name:
            yield Step(name, start, None)
        if stat.S_ISDIR(start.mode):
            for step in walk(self._volume, start):
                yield step._replace(path=name + b"/" + step.path if name else step.path)

    def _target(self, path: bytes) -> bytes:
        return self._directory + b"/" + path

    def _fail(self, path: bytes, error: Exception) -> None:

        self._failed += 1
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
        reason = reason.removeprefix(f"{os.fsdecode(os.path.basename(path))}: ")  # errors of data name the file as well
        complain(ImageError(f"{os.fsdecode(path)}: {reason}"), self._image)

    def _make(self, path: bytes, attributes: Attributes, advance: Callable[[int], object]) -> None:

        target = self._target(path)
        mode = attributes.mode
        if os.path.dirname(path) in self._closed:
            self._closed.add(path)
            return
        try:
            if stat.S_ISDIR(mode):
                self._make_directory(path, attributes)
            elif stat.S_ISLNK(mode):
                os.symlink(self._volume.readlink(attributes.inode), target)
                os.utime(target, ns=(attributes.atime, attributes.mtime), follow_symlinks=False)
            elif attributes.inode in self._links:
                os.link(self._links[attributes.inode], target)
                advance(attributes.size)
            elif stat.S_ISREG(mode):
                self._copy(target, attributes, advance)
            elif stat.S_ISFIFO(mode):
                os.mkfifo(target, 0o600)
                self._dress(target, attributes)
            else:
                os.mknod(target, stat.S_IFMT(mode) | 0o600, attributes.rdev)  # a strange device is the owner's alone
        except (IsofsError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise SystemRefused("no space left", "free some and extract again", path=os.fsdecode(target)) from None
            self._fail(path, error)

    def _make_directory(self, path: bytes, attributes: Attributes) -> None:
        """Makes a directory, or takes the one that is there. Nothing is put below a link or a file in its place."""
        target = self._target(path)
        try:
            os.mkdir(target, 0o700)
            self._own[path] = attributes
        except OSError as error:
            if not isinstance(error, FileExistsError) or not stat.S_ISDIR(os.lstat(target).st_mode):
                self._closed.add(path)
                raise

    def _copy(self, target: bytes, attributes: Attributes, advance: Callable[[int], object]) -> None:
        from ..image.source import open_stream

        data = open_stream(self._volume.data(attributes.inode))
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "wb", buffering=0) as file:
                for offset in range(0, data.size, PIECE):
                    piece = memoryview(data.pread(PIECE, offset))
                    advance(len(piece))
                    while piece:
                        piece = piece[file.write(piece) :]
            data.close()
        except BaseException:
            os.unlink(target)  # no half files
            raise
        self._dress(target, attributes)
        if attributes.nlink > 1:
            self._links[attributes.inode] = target

    def _dress(self, target: bytes, attributes: Attributes) -> None:
        """Times and permissions; set-id bits are left out, they would act for somebody else here."""
        with contextlib.suppress(
            OSError
        ):  # the contents are there; a file system without times or modes is none's fault
            os.chmod(target, attributes.mode & 0o777)
            os.utime(target, ns=(attributes.atime, attributes.mtime))
