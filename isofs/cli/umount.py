"""`isofs umount`: takes a mount away, a dead one too."""

from __future__ import annotations

from argparse import Namespace

from ..errors import EXIT_OK, UsageError
from .parser import Parser

HELP = "unmount an image"


def configure(parser: Parser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("mountpoint", metavar="MOUNTPOINT", help="where an image is mounted")


def run(args: Namespace) -> int:
    """Unmounts; the daemon ends by itself."""
    from ..mount.mounts import FILE_SYSTEM, mount_at, resolved, unmount

    path = resolved(args.mountpoint)
    found = mount_at(path)
    if found is None:
        raise UsageError("nothing is mounted here", "see isofs list", path=path)
    if found.file_system != FILE_SYSTEM:
        raise UsageError(f"this is a mount of type {found.file_system}, not one of isofs", "use umount", path=path)
    unmount(path)
    return EXIT_OK
