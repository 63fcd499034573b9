"""`isofs convert`: the disc as a plain ISO image, 2048 bytes for each sector."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import signal
import stat
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from ..errors import EXIT_OK, IsofsError, NotADisc, SystemRefused, UsageError
from .cat import PIECE
from .opening import add_image, opened_image
from .parser import Parser
from .progress import progress

if TYPE_CHECKING:
    from ..image import Image
    from ..image.source import Source

HELP = "write the disc as a plain ISO image"

_HOLE: Final = 1 << 16
"""Zeros in pieces of this size are left out of the file: it reads as zeros there."""
_ZEROS: Final = bytes(_HOLE)


def configure(parser: Parser) -> None:
    """Adds the command's arguments."""
    add_image(parser)
    parser.add_argument("out", metavar="OUT", help="the file to make; - for stdout")
    parser.add_argument("--force", action="store_true", help="overwrite a file that exists")


def run(args: Namespace) -> int:
    """The sectors of the data track that would be mounted. A byte that cannot be had ends it, and no file is left.

    Raises `UsageError` for an output that cannot be, `SystemRefused` where there is no space, `ImageError` for damage.
    """
    from ..volume import open_volume
    from .output import warn

    with opened_image(args) as (image, options):
        if image.tracks and image.track is None:
            raise NotADisc("a disc of audio tracks only", "-o audio shows them as files")
        try:
            open_volume(image, options.view._replace(audio=False))  # adds warnings
        except IsofsError as error:
            image.warnings.append(f"its volume cannot be opened: {error}")
        for words in image.warnings:
            warn(image.path, words)
        if args.out == "-":
            for _, piece in _pieces(image.data):
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return EXIT_OK
        for number in (signal.SIGTERM, signal.SIGHUP):  # ends with an exception, so that no half file is left
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, signal.default_int_handler)
        _write(image, os.path.realpath(args.out), args.force)
    return EXIT_OK


def _pieces(data: Source) -> Iterator[tuple[int, bytes]]:
    """All bytes, in order, with their places."""
    from ..image.source import open_stream

    stream = open_stream(data)
    with progress("", data.size) as advance:
        for offset in range(0, data.size, PIECE):
            piece = stream.pread(PIECE, offset)
            yield offset, piece
            advance(len(piece))
    stream.close()


def _write(image: Image, path: str, force: bool) -> None:
    """Makes the file under another name, and gives it its own when it is complete."""
    data = image.data
    directory = os.path.dirname(path)
    made = os.path.join(directory, f".isofs-{secrets.token_hex(8)}.part")
    try:  # from here on, since a signal may come at any time
        try:
            _refuse_what_is_there(image, path, force)
            space = os.statvfs(directory)
            if space.f_blocks and space.f_bavail * space.f_frsize < data.size:
                raise SystemRefused(
                    f"{data.size} bytes are needed, {space.f_bavail * space.f_frsize} are free",
                    "choose another directory, or free some",
                    path=directory,
                )
            fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UsageError(os.strerror(error.errno or 0), "choose another name for the file", path=path) from None
        with open(fd, "wb", buffering=0) as file:
            for offset, piece in _pieces(data):
                for at in range(0, len(piece), _HOLE):
                    part = piece[at : at + _HOLE]
                    if part != _ZEROS:
                        _write_all(file.fileno(), part, offset + at)
            os.ftruncate(fd, data.size)
            os.fsync(fd)
        _refuse_what_is_there(image, path, force)  # it took its time
        os.rename(made, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SystemRefused("no space left", "free some and convert again", path=path) from None
        raise SystemRefused(os.strerror(error.errno or 0), path=path) from None
    finally:
        with contextlib.suppress(OSError):  # it is not there, nearly always
            os.unlink(made)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    while data:
        done = os.pwrite(fd, data, offset)
        data, offset = data[done:], offset + done


def _refuse_what_is_there(image: Image, path: str, force: bool) -> None:
    """Raises `UsageError` where a file stands that is not to be overwritten."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        raise UsageError("not a regular file", "choose another name for the file", path=path)
    if any(os.path.samestat(status, os.fstat(file.fileno())) for file in image.files):
        raise UsageError("the image itself", "choose another name for the file", path=path)
    if not force:
        raise UsageError("the file exists", "choose another name, or overwrite it with --force", path=path)
