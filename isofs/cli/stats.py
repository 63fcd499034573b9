"""`isofs stats`: what a mount has done."""

from __future__ import annotations

import os
import shlex
from argparse import Namespace

from ..errors import EXIT_OK, MountFailed, UsageError
from .output import shown
from .parser import Parser

HELP = "show what a mount has done: requests, reads, read-ahead, times"


def configure(parser: Parser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "mountpoint", metavar="MOUNTPOINT", help="where an image is mounted, by you unless you are root"
    )
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object")
    parser.more_help = _meanings


def _meanings() -> str:
    from ..mount.counters import help_text

    return help_text()


def run(args: Namespace) -> int:
    """Asks the daemon; nothing is read from the mount."""
    from ..mount import counters, stats
    from ..mount.mounts import FILE_SYSTEM, mount_at, resolved

    path = resolved(args.mountpoint)
    mount = mount_at(path)
    if mount is None:
        raise UsageError("nothing is mounted here", "see isofs list", path=path)
    if mount.file_system != FILE_SYSTEM:
        raise UsageError(f"this is a mount of type {mount.file_system}, not one of isofs", "see isofs list", path=path)
    if os.geteuid() not in (0, mount.user):
        raise UsageError("this is another user's mount", "only root and the user who mounted it may ask", path=path)
    facts = stats.ask(mount)
    if facts is None:
        raise _nobody(path)
    if args.json:
        import json

        print(json.dumps(facts, indent=2))
        return EXIT_OK
    try:
        told = counters.lines(facts)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        raise stats.not_understood(mount) from None
    for line in told:
        print(shown(line))
    return EXIT_OK


def _nobody(path: str) -> MountFailed:
    """Why nobody listens."""
    from ..mount.mounts import state_of

    if state_of(path) == "dead":
        return MountFailed("a dead mount is here", f"run: isofs umount {shlex.quote(path)}", path=path)
    reason = "the mount tells no counters: its daemon has a network namespace of its own, or is of an older isofs"
    remedy = f"run: nsenter --net --target PID isofs stats {shlex.quote(path)} with the daemon's PID"
    return MountFailed(reason, remedy, path=path)
