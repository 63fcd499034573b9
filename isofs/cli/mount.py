"""`isofs mount`: an image becomes a directory."""

from __future__ import annotations

import os
from argparse import Namespace

from ..errors import EXIT_OK, SystemRefused, UsageError
from .opening import add_image, opened
from .parser import Parser

HELP = "mount an image on a directory"


def configure(parser: Parser) -> None:
    """Adds the command's arguments."""
    add_image_and_mountpoint(parser)
    parser.add_argument("-f", "--foreground", action="store_true", help="stay in the foreground until unmounted")
    parser.add_argument("-d", "--debug", action="store_true", help="stay in the foreground and show each request")


def add_image_and_mountpoint(parser: Parser) -> None:
    """What the mount helper takes as well."""
    add_image(parser)
    parser.add_argument("mountpoint", metavar="MOUNTPOINT", help="an existing directory")


def run(args: Namespace) -> int:
    """Returns when the mount answers."""
    return run_mount(args, foreground=args.foreground, debug=args.debug)


def run_mount(args: Namespace, *, foreground: bool = False, debug: bool = False, fake: bool = False) -> int:
    """Mounts `args.image` on `args.mountpoint`; `fake` leaves out the mount itself.

    The mount point is looked at first, since the image may take its time; the image before FUSE.
    """
    from ..mount.mounts import check_mountpoint, remove_dead, resolved
    from ..mount.options import parse_options

    options = parse_options(args.options)
    if options.setuid:
        _become(options.setuid)
    mountpoint = resolved(args.mountpoint)
    check_mountpoint(mountpoint, force=options.force and not fake)
    with opened(args, options) as (image, volume, _):
        try:
            from ..mount import serve
        except ImportError as error:
            raise SystemRefused(f"mounting needs the Python package {error.name}", "install it with pip") from None
        if options.force and not fake:
            remove_dead(mountpoint)
        check_mountpoint(mountpoint)  # again: opening an image may take minutes
        if not fake:
            serve.mount(image, volume, mountpoint, options, foreground=foreground, debug=debug)
    return EXIT_OK


def _become(user: str) -> None:
    """Goes on as another user, for good."""
    import pwd

    account = pwd.getpwnam(user)
    if os.geteuid() == account.pw_uid:
        return
    try:
        os.initgroups(user, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    except PermissionError:
        raise UsageError(f"option setuid={user}: not permitted", "it is for root; leave it out") from None
    os.environ["HOME"] = account.pw_dir
    os.environ.pop("XDG_CACHE_HOME", None)
