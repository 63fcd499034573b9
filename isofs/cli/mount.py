"""`isofs mount`: an image becomes a directory."""

from __future__ import annotations

from argparse import Namespace

from ..errors import SystemRefused
from .opening import add_image, opened
from .parser import Parser

HELP = "mount an image on a directory"


def configure(parser: Parser) -> None:
    """Adds the command's arguments."""
    add_image(parser)
    parser.add_argument("mountpoint", metavar="MOUNTPOINT", help="an existing directory")
    parser.add_argument("-f", "--foreground", action="store_true", help="stay in the foreground until unmounted")
    parser.add_argument("-d", "--debug", action="store_true", help="stay in the foreground and show each request")


def run(args: Namespace) -> int:
    """Returns when the mount answers. The image is opened, and refused, before FUSE is looked at."""
    from ..mount.mounts import resolved

    with opened(args) as (image, volume, options):
        try:
            from ..mount import serve
        except ImportError as error:
            raise SystemRefused(f"mounting needs the Python package {error.name}", "install it with pip") from None
        mountpoint = resolved(args.mountpoint)
        serve.check_mountpoint(mountpoint)
        return serve.mount(image, volume, mountpoint, options, foreground=args.foreground, debug=args.debug)
