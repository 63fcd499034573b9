"""`isofs cat`: a file of the disc on stdout, without mounting."""

from __future__ import annotations

import stat
import sys
from argparse import Namespace
from typing import Final

from ..errors import EXIT_OK, NoEntryError
from .opening import add_image, opened
from .parser import Parser

HELP = "write a file of the disc to stdout"

PIECE: Final = 1 << 20
"""Bytes read at a time."""


def configure(parser: Parser) -> None:
    """Adds the command's arguments."""
    add_image(parser)
    parser.add_argument("path", metavar="PATH", help="the file, from the root of the disc")


def run(args: Namespace) -> int:
    """Symbolic links are followed within the disc."""
    from ..image.source import open_stream
    from ..volume.tree import find

    with opened(args) as (_, volume, _):
        found = find(volume, args.path)
        if not stat.S_ISREG(found.mode):
            raise NoEntryError(f"not a regular file on the disc: {args.path}", "see isofs ls -l")
        data = open_stream(volume.data(found.inode))
        for offset in range(0, data.size, PIECE):
            sys.stdout.buffer.write(data.pread(PIECE, offset))
        sys.stdout.buffer.flush()
    return EXIT_OK
