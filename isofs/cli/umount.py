"""`isofs umount`: takes a mount away, a dead one too."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Final

from ..errors import EXIT_OK, MountFailed, UsageError
from .output import warn
from .parser import Parser

HELP = "unmount an image"

_PATIENCE: Final = 10.0
"""Seconds for the daemon to end."""


def configure(parser: Parser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("mountpoint", metavar="MOUNTPOINT", help="where an image is mounted")
    parser.add_argument(
        "-l", "--lazy", action="store_true", help="even while it is in use: what is open stays until it is closed"
    )


def run(args: Namespace) -> int:
    """Unmounts, and returns when the daemon has gone; of a mount that is still in use it goes later."""
    from ..mount.mounts import FILE_SYSTEM, mount_at, mounts, resolved, unmount
    from ..mount.stats import daemon_of, ended

    path = resolved(args.mountpoint)
    found = mount_at(path)
    if found is None:
        raise UsageError("nothing is mounted here", "see isofs list", path=path)
    if found.file_system != FILE_SYSTEM:
        raise UsageError(f"this is a mount of type {found.file_system}, not one of isofs", "use umount", path=path)
    if os.geteuid() not in (0, found.user):
        raise UsageError("mounted by another user", "only root and whoever mounted it can unmount it", path=path)
    daemon = daemon_of(found)
    try:
        unmount(path)
    except MountFailed:
        if not args.lazy:
            raise
        unmount(path, lazily=True)
        return EXIT_OK
    if daemon is not None and all(mount.device != found.device for mount in mounts()):
        pid, descriptor = daemon
        if not ended(descriptor, _PATIENCE):
            warn(path, f"unmounted, but its daemon (process {pid}) has not ended; storage that does not answer?")
    return EXIT_OK
