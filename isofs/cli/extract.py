"""`isofs extract`: files of the disc into a directory, for where FUSE cannot be had."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from ..errors import EXIT_FAILED, EXIT_OK, ImageError, IsofsError, SystemRefused, UsageError
from .cat import PIECE
from .opening import add_image, opened
from .output import complain, warn
from .parser import Parser
from .progress import progress

if TYPE_CHECKING:
    from ..image import Image
    from ..image.source import Source
    from ..volume.tree import Attributes, Step, Volume

HELP = "copy files of the disc into a directory"

_USER: Final = b"user."
_LISTS: Final = (b"system.posix_acl_access", b"system.posix_acl_default")


def configure(parser: Parser) -> None:
    """Adds the command's arguments."""
    add_image(parser)
    parser.add_argument(
        "path", metavar="PATH", nargs="?", default="/", help="a file or directory of the disc (default: all)"
    )
    parser.add_argument("directory", metavar="DIRECTORY", help="where to; made if it does not exist")
    parser.add_argument(
        "--boot", action="store_true", help="the images that the disc boots from instead, as boot-1-x86.img, ..."
    )
    parser.add_argument("--no-xattrs", action="store_true", help="leave out extended attributes")
    parser.add_argument(
        "--acls", action="store_true", help="access control lists too, which give rights to users of this system"
    )


def run(args: Namespace) -> int:
    """Contents, permissions, times, links and attributes; nothing that exists is overwritten.

    What cannot be read or written is said, a line each, and left out with all below it; the exit code is 32 then.
    """
    from ..volume.tree import find

    if args.boot and args.path != "/":
        raise UsageError("--boot and a path exclude each other", "leave one of them out")
    with opened(args) as (image, volume, _):
        start = find(volume, args.path)
        try:
            os.makedirs(args.directory, exist_ok=True)
        except OSError as error:
            raise UsageError(os.strerror(error.errno or 0), "choose another directory", path=args.directory) from None
        extraction = _Extraction(
            *(volume, os.fsencode(args.directory), image.path),
            xattrs=volume.has_xattrs and not args.no_xattrs,
            acls=volume.has_xattrs and args.acls,
        )
        if args.boot:
            return EXIT_FAILED if extraction.extract_boot(image) else EXIT_OK
        failed = extraction.extract(start, args.path)
        return EXIT_FAILED if failed or volume.findings.harmful else EXIT_OK


class _Extraction:
    """One run of the command."""

    def __init__(self, volume: Volume, directory: bytes, image: str, *, xattrs: bool, acls: bool) -> None:
        self._volume = volume
        self._directory = directory
        self._image = image
        self._failed = 0
        self._links: dict[int, bytes] = {}
        self._own: dict[bytes, Attributes] = {}
        self._closed: set[bytes] = set()
        self._xattrs = xattrs
        self._acls = acls
        self._bare = 0
        """Files whose attributes or access control lists could not be kept."""
        self._why = ""
        """Why the last one's could not."""

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
        if self._bare:
            files = "a file" if self._bare == 1 else f"{self._bare} files"
            words = f"extended attributes or access control lists of {files} were not kept ({self._why})"
            warn(self._image, words)
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

    def extract_boot(self, image: Image) -> int:
        """Writes each image that the disc boots from; gives the number of failures.

        One that is also a file of the tree has that one's length. Of others it is not recorded how long they are: that
        is said.
        """
        from ..image.sectors import SECTOR
        from ..image.source import Extent, Extents
        from ..volume.iso9660.eltorito import image_size, read_catalogue

        catalogue = read_catalogue(image.disc, image.first_sector)
        if catalogue is None or not catalogue.images:
            damage = "".join(f" ({words})" for _, words in (catalogue.damage if catalogue else ())[:1])
            raise ImageError(f"the disc has no boot image{damage}", "see isofs info")
        for _, words in catalogue.damage:
            warn(self._image, words)
        sizes = self._sizes({boot.sector * SECTOR for boot in catalogue.images})
        for number, boot in enumerate(catalogue.images, 1):
            name = f"boot-{number}-{boot.platform.lower()}.img".encode()
            start = boot.sector * SECTOR
            try:
                size = image_size(image.disc, boot, sizes.get(start, 0))
                self._write(
                    self._target(name), Extents(image.disc, [Extent(start, size)], name.decode()), lambda _: None
                )
                if not boot.medium and start not in sizes:
                    words = f"{name.decode()}: {size} bytes were written; how many more there are is not recorded"
                    warn(self._image, words)
            except (IsofsError, OSError) as error:
                self._fail(name, error)
        return self._failed

    def _sizes(self, starts: set[int]) -> dict[int, int]:
        """The sizes of the files of the tree that begin at some bytes of the disc."""
        from ..image.source import Extents
        from ..volume.tree import ROOT, walk

        sizes: dict[int, int] = {}
        for step in walk(self._volume, self._volume.attributes(ROOT)):
            if step.attributes is not None and stat.S_ISREG(step.attributes.mode):
                with contextlib.suppress(IsofsError):
                    data = self._volume.data(step.attributes.inode)
                    piece = data.contiguous if isinstance(data, Extents) else None
                    if piece is not None and piece.position in starts:
                        sizes[piece.position] = max(data.size, sizes.get(piece.position, 0))
        return sizes

    def _copy(self, target: bytes, attributes: Attributes, advance: Callable[[int], object]) -> None:
        self._write(target, self._volume.data(attributes.inode), advance)
        self._dress(target, attributes)
        if attributes.nlink > 1:
            self._links[attributes.inode] = target

    def _write(self, target: bytes, source: Source, advance: Callable[[int], object]) -> None:
        """Writes a new file."""
        from ..image.source import open_stream

        data = open_stream(source)
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

    def _dress(self, target: bytes, attributes: Attributes) -> None:
        """Attributes, permissions and times; set-id bits are left out, they would act for somebody else here."""
        xattrs: Mapping[bytes, bytes] = {}
        lost = []
        try:
            if self._xattrs or self._acls:
                xattrs = self._volume.xattrs(attributes.inode)
        except IsofsError as error:
            lost.append(error.reason)
        if self._xattrs:
            lost += [self._set(target, name, value) for name, value in xattrs.items() if name.startswith(_USER)]
        # the contents are there; a file system without times or modes is none's fault
        with contextlib.suppress(OSError):
            os.chmod(target, attributes.mode & 0o777)  # it may take the right to set attributes; lists depend on it
        if self._acls:
            lost += [self._set(target, name, value) for name, value in xattrs.items() if name in _LISTS]
        with contextlib.suppress(OSError):
            os.utime(target, ns=(attributes.atime, attributes.mtime))
        self._why = next(filter(None, lost), self._why)
        self._bare += any(lost)

    def _set(self, target: bytes, name: bytes, value: bytes) -> str:
        """Sets an attribute; gives why that cannot be, or nothing."""
        try:
            os.setxattr(target, name, value, follow_symlinks=False)
        except OSError as error:
            return os.strerror(error.errno or 0)
        return ""
