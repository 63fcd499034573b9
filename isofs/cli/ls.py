"""`isofs ls`: the tree, without mounting."""

from __future__ import annotations

import os
import stat
import time
from argparse import Namespace
from typing import TYPE_CHECKING

from ..errors import EXIT_FAILED, EXIT_OK, ImageError
from .opening import add_image, opened
from .output import complain, write_name
from .parser import Parser

if TYPE_CHECKING:
    from ..volume.tree import Attributes, Volume

HELP = "list a directory of the disc"


def configure(parser: Parser) -> None:
    """Adds the command's arguments."""
    add_image(parser)
    parser.add_argument(
        "path", metavar="PATH", nargs="?", default="/", help="a file or directory, from the root (default: /)"
    )
    parser.add_argument(
        "-l", dest="long", action="store_true", help="type, mode, links, owner, size and time too (UTC)"
    )
    parser.add_argument("-R", dest="recursive", action="store_true", help="everything below, with its path")


def run(args: Namespace) -> int:
    """Names in the order of their bytes, with -R in the disc's. Damage is said on stderr and makes the exit code 32."""
    from ..volume.tree import attributes_of, find, walk

    damaged = False
    with opened(args) as (image, volume, _):
        start = find(volume, args.path, follow=args.path.endswith("/"))
        if not stat.S_ISDIR(start.mode):
            _write(volume, start, os.fsencode(args.path), long=args.long)
            return EXIT_OK
        if args.recursive:
            for step in walk(volume, start):
                if step.attributes is not None:
                    _write(volume, step.attributes, step.path, long=args.long)
                if step.error is not None:
                    damaged = True
                    complain(ImageError(f"{os.fsdecode(step.path)}: {step.error}"), image.path)
            return EXIT_FAILED if damaged or volume.findings.harmful else EXIT_OK
        for entry in sorted(volume.entries(start.inode)):
            try:
                attributes = attributes_of(volume, entry) if args.long else None
            except ImageError as error:
                damaged = True
                complain(ImageError(f"{os.fsdecode(entry.name)}: {error}"), image.path)
            else:
                _write(volume, attributes, entry.name, long=args.long)
        damaged = damaged or volume.findings.harmful
    return EXIT_FAILED if damaged else EXIT_OK


def _write(volume: Volume, attributes: Attributes | None, name: bytes, *, long: bool) -> None:

    if not long or attributes is None:
        write_name(name)
        return
    size = str(attributes.size)
    if stat.S_ISCHR(attributes.mode) or stat.S_ISBLK(attributes.mode):
        size = f"{os.major(attributes.rdev)}, {os.minor(attributes.rdev)}"
    target = b""
    if stat.S_ISLNK(attributes.mode):
        try:
            target = volume.readlink(attributes.inode)
        except ImageError:
            target = b"?"
    moment = time.gmtime(attributes.mtime // 1_000_000_000)
    owner = f"{attributes.uid:>5} {attributes.gid:>5}"
    when = time.strftime("%Y-%m-%d %H:%M:%S", moment)
    write_name(
        name,
        before=f"{stat.filemode(attributes.mode)} {attributes.nlink:>3} {owner} {size:>12} {when} ",
        between=" -> " if target else "",
        after=target,
    )
