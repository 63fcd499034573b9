"""`isofs install-system`: what a Linux system looks for in places of its own, and pip does not put there.

Mount helpers, units, manual pages, completions, the types of images and what opens them. The sources are files of this
package, in `share`; each is written with a last line that holds a checksum of the others. So a file that isofs has
installed is known, whichever version it was, and one that was changed since is told from it and never touched.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from ..errors import EXIT_OK, SystemRefused, UsageError
from .output import shown, warn
from .parser import Parser

HELP = "make the system know isofs: mount helpers, units, manual pages, ..."

SYSTEM: Final = ("/usr", "/usr/local")
"""The prefixes below which a system looks."""
_MARK: Final = "Installed by isofs install-system"
_COMMENTS: Final = {".1": ('.\\" ', ""), ".8": ('.\\" ', ""), ".xml": ("<!-- ", " -->")}
"""How a comment begins and ends, where not as in a shell."""
_PROGRAM: Final = b"/usr/bin/isofs"
"""What units and the desktop file call isofs before they are installed."""
_PATIENCE: Final = 300
"""Seconds for the system's programs to take notice."""

_PLACE: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP)
"""What is wrong with a place, and not with the system."""

_PLACES: Final = (
    (r"systemd/([^/]*@\.service)", r"lib/systemd/system/\1"),
    (r"systemd/user/([^/]*@\.service)", r"lib/systemd/user/\1"),
    (r"man/([^/]*\.([18]))", r"share/man/man\2/\1"),
    (r"completions/isofs", "share/bash-completion/completions/isofs"),
    (r"completions/_isofs", "share/zsh/site-functions/_isofs"),
    (r"completions/isofs\.fish", "share/fish/vendor_completions.d/isofs.fish"),
    (r"desktop/isofs\.xml", "share/mime/packages/isofs.xml"),
    (r"desktop/isofs\.desktop", "share/applications/isofs.desktop"),
)
"""Files of `share`, and where they go below the prefix."""


class Piece(NamedTuple):
    """Something to be installed."""

    path: str
    content: bytes
    """Of a file."""
    target: str = ""
    """Of a symbolic link."""


State = Literal["absent", "same", "ours", "foreign"]


def configure(parser: Parser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("--prefix", metavar="DIR", default="/usr/local", help="where to (default: /usr/local)")
    parser.add_argument(
        "--root", metavar="DIR", default="", help="put all of it below DIR, as if that were /; for makers of packages"
    )
    parser.add_argument("--uninstall", action="store_true", help="take it away again")


def run(args: Namespace) -> int:
    """Writes a line for each file. What others have put there or changed is refused before anything is done.

    Raises `UsageError` for that and for a place where the caller may not write, `SystemRefused` for a full disk, say.
    """
    prefix = os.path.abspath(args.prefix)
    root = os.path.abspath(args.root).rstrip("/") if args.root else ""
    for_system = prefix in SYSTEM and not root
    if for_system and os.geteuid() != 0:
        raise UsageError(f"only root can install into {prefix}", "run it as root, or choose another --prefix")
    script = _PROGRAM.decode() if args.uninstall else _script(root)
    pieces = [piece._replace(path=root + piece.path) for piece in _pieces(prefix, script)]
    os.umask(0o022)
    try:
        if args.uninstall:
            _uninstall(pieces)
        else:
            _install(pieces)
    except OSError as error:
        where = os.fsdecode(error.filename or prefix)
        reason = os.strerror(error.errno or 0).lower()
        if error.errno not in _PLACE:
            raise SystemRefused(reason, path=where) from None
        raise UsageError(reason, "run it as root, or choose another --prefix", path=where) from None
    sys.stdout.flush()
    if not args.uninstall:
        _say_what_to_know(prefix, root, script)
    if for_system:
        _tell_the_system(prefix)
    return EXIT_OK


def _script(root: str) -> str:
    """The path by which the system is to run isofs; within a `root` that isofs itself lies in, the path there."""
    import sysconfig

    path = sys.argv[0]
    if os.path.basename(path) != "isofs" or not os.path.isfile(path):  # python -m isofs
        path = os.path.join(sysconfig.get_path("scripts"), "isofs")
    path = os.path.realpath(path)
    if not os.access(path, os.X_OK):
        raise UsageError("isofs is not installed as a program", "install it with pip, and run that", path=path)
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    if not re.fullmatch(r"[\w/.+,:@-]+", path):
        raise UsageError("units cannot name a program with such a path", "install isofs elsewhere", path=path)
    return path


def _pieces(prefix: str, script: str) -> Iterator[Piece]:
    """All there is to install."""
    from . import HELPERS

    for helper in HELPERS:
        yield Piece(f"{_helpers(prefix)}/{helper}", b"", script)
    share = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "share")
    files = [
        os.path.relpath(os.path.join(directory, name), share)
        for directory, _, names in os.walk(share, followlinks=True)
        for name in names
    ]
    for pattern, place in _PLACES:
        found = [match for match in map(re.compile(pattern).fullmatch, sorted(files)) if match]
        if not found:
            raise SystemRefused(f"{pattern} is missing", "install isofs again, with pip", path=share)
        for match in found:
            with open(os.path.join(share, match[0]), "rb") as file:
                content = file.read()
            if match[0].startswith(("systemd/", "desktop/")):
                content = content.replace(_PROGRAM, script.encode())
            path = f"{prefix}/{match.expand(place)}"
            yield Piece(path, _marked(path, content))


def _helpers(prefix: str) -> str:
    """Where helpers go. mount(8) looks into /sbin only, which is /usr/sbin on most systems."""
    if prefix not in SYSTEM:
        return f"{prefix}/sbin"
    return "/sbin" if os.path.isdir("/sbin") and not os.path.islink("/sbin") else "/usr/sbin"


# --- whose file is it? ----------------------------------------------------------------------------------------------


def _marked(path: str, content: bytes) -> bytes:
    """The content with the last line that makes it ours."""
    content = content.removesuffix(b"\n") + b"\n"
    begin, end = _COMMENTS.get(os.path.splitext(path)[1], ("# ", ""))
    return content + f"{begin}{_MARK} ({_checksum(content)}){end}\n".encode()


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _is_ours(content: bytes) -> bool:
    """Whether a file has that line, and is as it was when it got it."""
    begin = content[:-1].rfind(b"\n") + 1
    found = re.search(rf"{_MARK} \((\w+)\)".encode(), content[begin:])
    return found is not None and found[1].decode() == _checksum(content[:begin])


def _state(piece: Piece) -> State:
    """What is where a piece belongs. A link is ours if it leads to a program called isofs."""
    try:
        mode = os.lstat(piece.path).st_mode
    except FileNotFoundError:
        return "absent"
    if piece.target:
        target = os.readlink(piece.path) if stat.S_ISLNK(mode) else ""
        return "same" if target == piece.target else "ours" if os.path.basename(target) == "isofs" else "foreign"
    if not stat.S_ISREG(mode):
        return "foreign"
    with open(piece.path, "rb") as file:
        content = file.read()
    return "same" if content == piece.content else "ours" if _is_ours(content) else "foreign"


# --- doing it -------------------------------------------------------------------------------------------------------


def _install(pieces: list[Piece]) -> None:
    states = [_state(piece) for piece in pieces]
    for piece, state in zip(pieces, states, strict=True):
        if state == "foreign":
            raise UsageError(
                "not put there by isofs, or changed since; nothing was installed", "move it away", path=piece.path
            )
    for piece, state in zip(pieces, states, strict=True):
        if state != "same":
            os.makedirs(os.path.dirname(piece.path), exist_ok=True)
            _put(piece)
        print("unchanged" if state == "same" else "installed", shown(piece.path))


def _put(piece: Piece) -> None:
    """Makes a file or link under another name first, so that nobody sees half of it."""
    made = os.path.join(os.path.dirname(piece.path), f".isofs-{secrets.token_hex(8)}")
    try:
        if piece.target:
            os.symlink(piece.target, made)
        else:
            with open(made, "xb") as file:
                file.write(piece.content)
        os.rename(made, piece.path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(made)


def _uninstall(pieces: list[Piece]) -> None:
    for piece in pieces:
        state = _state(piece)
        if state == "foreign":
            print("left", shown(piece.path), "(not put there by isofs, or changed since)")
        elif state != "absent":
            os.unlink(piece.path)
            print("removed", shown(piece.path))


def _say_what_to_know(prefix: str, root: str, script: str) -> None:
    """Warns of what will not work, and of what works for others than root too."""
    if prefix not in SYSTEM:
        warn(root + _helpers(prefix), "mount(8) does not look here; it finds helpers in /sbin only")
    if root:
        if not os.path.lexists(root + script):
            warn(script, f"links and units will run this, which is not below {root}; install isofs there and run that")
        return
    for path in (script, os.path.dirname(os.path.dirname(os.path.abspath(__file__)))):
        changer = _writable(path)
        if changer:
            remedy = "install isofs where only root may write"
            warn(path, f"the system will run this, but others than root may change {changer}; {remedy}")
            return


def _writable(path: str) -> str:
    """The file, or the directory above it, that others than root may write to; empty if there is none."""
    path = os.path.realpath(path)
    while True:
        status = os.stat(path)
        if status.st_uid != 0 or status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid):
            return path
        if path == "/":
            return ""
        path = os.path.dirname(path)


def _tell_the_system(prefix: str) -> None:
    """Has the indexes of units, types, programs and manual pages made anew, by what there is for it."""
    for words in (
        ("systemctl", "daemon-reload"),
        ("update-mime-database", f"{prefix}/share/mime"),
        ("update-desktop-database", f"{prefix}/share/applications"),
        ("mandb", "--quiet", f"{prefix}/share/man"),
    ):
        if shutil.which(words[0]) is None or (words[0] == "systemctl" and not os.path.isdir("/run/systemd/system")):
            continue
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, errors="replace", check=False, timeout=_PATIENCE
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            warn(" ".join(words), str(error))
        else:
            if done.returncode:
                said = done.stderr.strip().splitlines()
                warn(" ".join(words), said[-1] if said else f"exit code {done.returncode}")
