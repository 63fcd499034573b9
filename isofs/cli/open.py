"""`isofs open`: what a double click does. Mounts an image in a directory of its own and shows that."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Final

from ..errors import EXIT_OK, IsofsError, NoImage, SystemRefused, UsageError
from .opening import add_image
from .output import shown, write_name
from .parser import Parser

HELP = "mount an image and show it in the file manager"

_IDLE: Final = "timeout=10m"
"""How long such a mount outlives its last use, unless another time is given."""
_LONGEST: Final = 200
"""Bytes of a directory's name; the file system allows 255, and a number may be added."""


def configure(parser: Parser) -> None:
    """Adds the command's arguments."""
    add_image(parser)
    parser.epilog = "It is unmounted when it has not been used for ten minutes; timeout=TIME says another time."


def run(args: Namespace) -> int:
    """Writes where it is mounted, and returns when xdg-open has. Without a terminal errors are notified as well."""
    try:
        path = _mounted(args.image, [_IDLE, *args.options])
        write_name(os.fsencode(path))
        sys.stdout.flush()
        _show(path)
    except IsofsError as error:
        if not sys.stderr.isatty():
            _notify(f"{error.path or args.image}: {error}")
        raise
    return EXIT_OK


def _mounted(image: str, options: list[str]) -> str:
    """Where the image is mounted with these options: mounts it, unless that was done and it is still the same file.

    The mount is `NAME`, or `NAME~2` and so on if others have that name. A link `.NAME` beside it tells by its text
    what is mounted: the image may have been replaced meanwhile.
    """
    from ..mount.mounts import mount_at
    from .mount import run_mount

    key = _key(image, options)
    with _locked(_directory()) as directory:
        _clear(directory)
        for record in os.listdir(directory):
            path = f"{directory}/{record[1:]}"
            if record.startswith(".") and os.readlink(f"{directory}/{record}") == key and mount_at(path) is not None:
                return path  # which was used just now, by `_clear`: it does not end by itself at this moment
        name = _make(directory, image)
        path = f"{directory}/{name}"
        try:
            run_mount(Namespace(image=image, mountpoint=path, options=options))
        except BaseException:
            with contextlib.suppress(OSError):
                os.rmdir(path)
            raise
        os.symlink(key, f"{directory}/.{name}")
        return path


def _key(image: str, options: list[str]) -> str:
    """Tells a file with its options from any other, and from what it was before."""
    try:
        status = os.stat(image)
    except OSError as error:
        raise NoImage(os.strerror(error.errno or 0).lower(), "check the image's name", path=image) from None
    facts = (os.path.realpath(image), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, options)
    return hashlib.sha256(repr(facts).encode("utf-8", "surrogateescape")).hexdigest()


def _directory() -> str:
    """The directory of such mounts: private, in memory, gone at logout."""
    own = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    remedy = "log in to a desktop, or choose a directory: isofs mount IMAGE DIRECTORY"
    try:
        status = os.stat(own)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise UsageError("this runtime directory (XDG_RUNTIME_DIR) is not yours alone", remedy, path=own)
        os.makedirs(f"{own}/isofs", mode=0o700, exist_ok=True)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise UsageError(f"no runtime directory (XDG_RUNTIME_DIR): {reason}", remedy, path=own) from None
    return os.path.realpath(f"{own}/isofs")


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[str]:
    """One at a time: a second click finds the mount of the first."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield directory
    finally:
        os.close(fd)


def _clear(directory: str) -> None:
    """Removes what mounts that have ended have left. Those that are there are busy."""
    from ..mount.mounts import state_of, unmount

    for name in os.listdir(directory):
        path = f"{directory}/{name}"
        if not name.startswith("."):
            with contextlib.suppress(OSError, IsofsError):
                if state_of(path) == "dead":
                    unmount(path, lazily=True)
                os.rmdir(path)
    for name in os.listdir(directory):
        if name.startswith(".") and not os.path.lexists(f"{directory}/{name[1:]}"):
            with contextlib.suppress(OSError):  # a directory of somebody else's
                os.unlink(f"{directory}/{name}")


def _make(directory: str, image: str) -> str:
    """Makes a directory that is named after the image, and gives its name: never hidden, and safe to show."""
    stem = os.path.splitext(os.path.basename(image))[0]
    stem = re.sub(r"\\x..", "_", shown(stem)).strip().lstrip(". ")
    stem = stem.encode()[:_LONGEST].decode("utf-8", "ignore") or "disc"
    name, number = stem, 1
    while True:
        try:
            os.mkdir(f"{directory}/{name}", 0o700)
            return name
        except FileExistsError:
            number += 1
            name = f"{stem}~{number}"


def _show(path: str) -> None:
    """Has the desktop open a directory. What the programs of the desktop write is for nobody."""
    nothing = subprocess.DEVNULL
    try:
        done = subprocess.run(["xdg-open", path], stdin=nothing, stdout=nothing, stderr=nothing, check=False)
    except OSError:
        raise SystemRefused("mounted here, but xdg-open is not installed", "install xdg-utils", path=path) from None
    if done.returncode:
        remedy = "install a file manager, or use the directory as it is"
        raise SystemRefused(f"mounted here, but xdg-open failed (exit code {done.returncode})", remedy, path=path)


def _notify(text: str) -> None:
    """Shows a line on the desktop, where there is a program for that."""
    import html

    words = [
        "notify-send",
        "--app-name=isofs",
        "--icon=dialog-error",
        "--",
        "isofs",
        html.escape(shown(text), quote=False),
    ]
    nothing = subprocess.DEVNULL
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(words, stdin=nothing, stdout=nothing, stderr=nothing, check=False, timeout=5)
