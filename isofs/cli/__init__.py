"""What did the user type? The parser, dispatch, and errors -> one line and an exit code.

A command is one module with `HELP`, `configure(parser)` and `run(args) -> int`; it imports what it works with in
`run`, so that `--help` costs nothing and only `mount` pays for pyfuse3 and trio.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from ..errors import EXIT_BUG, EXIT_INTERRUPTED, EXIT_SYSTEM, EXIT_USAGE, IsofsError
from .output import complain
from .parser import Parser

COMMANDS: Final = ("mount", "umount", "list", "info", "ls", "cat", "extract")


def build_parser() -> Parser:
    """The parser of the whole command line."""
    parser = Parser(
        prog="isofs",
        description="Mount ISO 9660 and compressed ISO images (CSO, ZSO, DAX, JISO) read-only, or look inside them.",
        epilog="`isofs COMMAND --help` tells more about a command.",
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", parser_class=Parser)
    for name in COMMANDS:
        module = import_module(f"{__name__}.{name}")
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.configure(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and gives its exit code (the table is in the README)."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.version:
        print(_version())
        return 0
    if args.command is None:
        parser.error("no command")
    return _run(args)


def _version() -> str:
    from importlib.metadata import version

    return f"isofs {version('isofs')}"


def _run(args: Namespace) -> int:
    image = getattr(args, "image", "")
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except IsofsError as error:
        complain(error, image)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        sys.stdout = None
        return EXIT_USAGE
    except MemoryError:
        print(f"isofs: {image}: out of memory; choose a smaller cache=SIZE", file=sys.stderr)
        return EXIT_SYSTEM
    except Exception as error:
        if getattr(args, "debug", False):
            raise
        where = error.__traceback__
        while where and where.tb_next:
            where = where.tb_next
        at = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "?"
        print(f"isofs: internal error: {error!r} at {at}; please report it", file=sys.stderr)
        return EXIT_BUG
