"""`isofs list`: the mounts of this user."""

from __future__ import annotations

import os
from argparse import Namespace

from ..errors import EXIT_OK
from .output import write_name
from .parser import Parser

HELP = "list your mounts; dead ones are marked"


def configure(parser: Parser) -> None:
    """Adds the command's arguments: none."""


def run(_: Namespace) -> int:
    """A line for each mount: mount point, image, and `dead` or `not answering` where that is so. Root sees all."""
    from ..mount.mounts import FILE_SYSTEM, image_of, mounts, state_of

    for mount in mounts():
        if mount.file_system == FILE_SYSTEM and (os.getuid() in (0, mount.user)):
            state = state_of(mount.path)
            mark = f" ({state})" if state else ""
            write_name(os.fsencode(mount.path), between="\t", after=os.fsencode(image_of(mount.source) + mark))
    return EXIT_OK
