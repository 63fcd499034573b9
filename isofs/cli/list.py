"""`isofs list`: the mounts of this user."""

from __future__ import annotations

import errno
import os
from argparse import Namespace
from typing import Final

from ..errors import EXIT_OK
from .output import write_name
from .parser import Parser

HELP = "list your mounts; dead ones are marked"

_PATIENCE: Final = 2.0
"""Seconds for a mount to answer."""


def configure(parser: Parser) -> None:
    """Adds the command's arguments: none."""


def run(_: Namespace) -> int:
    """A line for each mount: mount point, image, and `dead` or `not answering` where that is so. Root sees all."""
    from ..mount.mounts import FILE_SYSTEM, image_of, mounts

    for mount in mounts():
        if mount.file_system == FILE_SYSTEM and (os.getuid() in (0, mount.user)):
            state = state_of(mount.path)
            mark = f" ({state})" if state else ""
            write_name(os.fsencode(mount.path), between="\t", after=os.fsencode(image_of(mount.source) + mark))
    return EXIT_OK


def state_of(path: str) -> str:
    """Nothing for a mount that answers. The question is asked by a thread that may be left behind."""
    import threading

    answer: list[str] = []

    def ask() -> None:
        try:
            os.statvfs(path)
            answer.append("")
        except OSError as error:
            answer.append("dead" if error.errno in (errno.ENOTCONN, errno.ECONNABORTED) else "")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return answer[0] if answer else "not answering"
