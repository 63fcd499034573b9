"""What did the user type? The parser, dispatch, and errors -> one line and an exit code.

A command is one module with `HELP`, `configure(parser)` and `run(args) -> int`; it imports what it works with in
`run`, so that `--help` costs nothing and only `mount` pays for pyfuse3 and trio.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from ..errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_SYSTEM,
    EXIT_USAGE,
    InternalError,
    IsofsError,
    SystemRefused,
)
from .output import complain
from .parser import Parser

COMMANDS: Final = (
    *("mount", "umount", "open", "list", "stats", "info", "ls", "cat", "extract", "verify", "check", "convert"),
    "install-system",
)


HELPERS: Final = ("mount.isofs", "mount.fuse.isofs", "mount.fuse3.isofs")
"""The names by which mount(8) looks for helpers of the types isofs and fuse.isofs."""


def build_parser(wanted: str = "") -> Parser:
    """The parser of the whole command line; if it is known which command is wanted, only that one is imported."""
    parser = Parser(
        prog="isofs",
        description="Mount disc images read-only, or look inside them: ISO, compressed ones (CSO, CHD, gzip, ...), "
        "raw CD images and their sheets (BIN/CUE, CCD, MDS, NRG, ...).",
        epilog="`isofs COMMAND --help` tells more about a command.",
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", parser_class=Parser)
    for name in COMMANDS:
        if wanted in COMMANDS and name != wanted:
            commands.add_parser(name)
            continue
        module = import_module(f"{__name__}.{name.replace('-', '_')}")
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.configure(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and gives its exit code (the table is in the README)."""
    _open_standard_streams()
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _dropped
    args = Namespace()
    try:
        try:
            code = _dispatch(argv, args)
        except SystemExit as end:  # argparse has said what there was to say
            code = int(end.code or 0)
        sys.stdout.flush()
        return code
    except IsofsError as error:
        complain(error, getattr(args, "image", ""))
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        _drop_output()
        return EXIT_USAGE
    except MemoryError:
        complain(SystemRefused("out of memory", "choose a smaller cache=SIZE"), getattr(args, "image", ""))
        return EXIT_SYSTEM
    except OSError as error:
        _drop_output()
        complain(SystemRefused(error.strerror or str(error), path=os.fsdecode(error.filename or "")))
        return EXIT_SYSTEM
    except Exception as error:
        if getattr(args, "debug", False):
            raise
        where = error.__traceback__
        while where and where.tb_next:
            where = where.tb_next
        at = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "?"
        complain(InternalError(f"internal error: {error!r} at {at}", "please report it"))
        return EXIT_BUG


def _dispatch(argv: Sequence[str] | None, args: Namespace) -> int:
    words = sys.argv[1:] if argv is None else argv
    program = sys.argv[0] if argv is None else "isofs"
    if _is_for_helper(program, words):
        from . import helper

        return helper.run(program, words, args)
    parser = build_parser(words[0] if words else "")
    parser.parse_args(words, args)
    if args.version:
        from importlib.metadata import version

        from ..image.compiled import implementation

        print(f"isofs {version('isofs')} ({implementation()} decoder)")
        return EXIT_OK
    if args.command is None:
        parser.error("no command")
    code: int = args.run(args)
    return code


def _is_for_helper(program: str, words: Sequence[str]) -> bool:
    """Whether a command line is the mount helper's: by the program's name, or since it begins with two files."""
    if os.path.basename(program) in HELPERS:
        return True
    if len(words) < 2 or words[0] in COMMANDS or any(word.startswith("-") for word in words[:2]):
        return False
    return "/" in words[0] or "." in words[0] or os.path.lexists(words[0])  # else it is a command that does not exist


def _open_standard_streams() -> None:
    """Opens what the caller has closed of stdin, stdout and stderr: no other file may get their numbers."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest free number: this one
    sys.stdout = sys.stdout or open(1, "w")  # noqa: SIM115 - for as long as the process lives
    sys.stderr = sys.stderr or open(2, "w")  # noqa: SIM115


def _dropped(error: sys.UnraisableHookArgs) -> None:
    """Interrupts once more, a moment later: Python drops what is raised in its callbacks, of an import for instance."""
    if not issubclass(error.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(error)
        return
    import signal

    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01)


def _drop_output() -> None:
    """What is still to be written goes nowhere: the interpreter would complain at its end."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
