"""The mount helper: what mount(8) runs as `mount.isofs`, and mount.fuse as `isofs SPEC DIR -o OPTIONS`."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Sequence

from ..errors import UsageError
from .mount import add_image_and_mountpoint, run_mount
from .parser import Parser


def build_parser(program: str) -> Parser:
    """The parser of `SPEC DIR [-sfnvN] [-o options] [-t type]` (mount(8), EXTERNAL HELPERS)."""
    parser = Parser(
        prog=program,
        description="Mount a disc image read-only, as mount(8) asks for it. See isofs mount --help, too.",
        add_help=False,
    )
    parser.add_argument("--help", action="help", help="show this help and exit")
    add_image_and_mountpoint(parser)
    parser.add_argument("-s", dest="sloppy", action="store_true", help="pass over unknown options")
    parser.add_argument("-f", dest="fake", action="store_true", help="do everything but the mount itself")
    parser.add_argument("-n", action="store_true", help="without effect: there is no mtab")
    parser.add_argument("-v", dest="verbose", action="store_true", help="say what was done")
    parser.add_argument("-r", action="store_true", help="without effect: every mount is read-only")
    parser.add_argument("-w", action="store_true", help="without effect: every mount is read-only")
    parser.add_argument("-N", dest="namespace", metavar="NAMESPACE", help="not supported")
    parser.add_argument("-t", dest="type", metavar="TYPE", help="without effect")
    return parser


def run(program: str, words: Sequence[str], args: Namespace) -> int:
    """Does what mount(8) asks for."""
    parser = build_parser(os.path.basename(program))
    parser.parse_args(words, args)
    if args.namespace is not None:
        raise UsageError(
            "mounting in another namespace (-N) is not supported",
            "run mount within it: nsenter --mount=NAMESPACE mount ...",
        )
    if args.sloppy:
        args.options.append("sloppy")
    code = run_mount(args, fake=args.fake)
    if args.verbose:
        print(f"isofs: {args.image} {'would be' if args.fake else 'is'} mounted on {args.mountpoint}")
    return code
