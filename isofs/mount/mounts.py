"""The mounts that there are (/proc/self/mountinfo), and unmounting. Needs neither pyfuse3 nor trio."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import shlex
import stat
from typing import Final, NamedTuple

from ..errors import MountFailed, SystemRefused, UsageError

FILE_SYSTEM: Final = "fuse.isofs"
FUSE: Final = os.makedev(10, 229)
"""The number of /dev/fuse."""
_MNT_DETACH: Final = 2
_UMOUNT_NOFOLLOW: Final = 8
_LINKS: Final = 40
"""Symbolic links followed one after another, as in Linux."""
_SOURCE: Final = 2048
"""Bytes of a mount's source; the kernel has a page for all of a mount's texts."""
_PATIENCE: Final = 2.0
"""Seconds for a mount to answer."""
_HANDED: Final = re.compile(r"/dev/fd/([0-9]{1,9})")
_ESCAPE: Final = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """A line of mountinfo."""

    device: str
    """`MAJOR:MINOR` of the file system; st_dev of what is in it."""
    path: str
    """The mount point, resolved."""
    file_system: str
    source: str
    """As /proc/mounts shows it; `image_of` makes the image's path of it."""
    user: int
    """Who mounted it."""


def mounts() -> list[Mount]:
    """All mounts that this process sees, in the order in which they were made."""
    found = []
    with open("/proc/self/mountinfo", "rb") as table:
        for line in table:
            fields, _, rest = line.partition(b" - ")
            words = fields.split(b" ")
            file_system, source, options = (rest.rstrip(b"\n").split(b" ") + [b"", b"", b""])[:3]
            user = re.search(rb"(?:^|,)user_id=(\d+)", options)
            found.append(
                Mount(
                    words[2].decode(),
                    _unescaped(words[4]),
                    file_system.decode(),
                    _unescaped(source),
                    int(user[1]) if user else 0,
                )
            )
    return found


def _unescaped(raw: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), raw))


def mount_at(path: str) -> Mount | None:
    """The uppermost mount on a resolved path."""
    return next((mount for mount in reversed(mounts()) if mount.path == path), None)


def state_of(path: str) -> str:
    """`dead`, `not answering`, or nothing for a mount that answers. A thread asks, which may be left behind."""
    import threading

    answer: list[str] = []

    def ask() -> None:
        try:
            os.statvfs(path)  # attributes the kernel may still have
            answer.append("")
        except OSError as error:
            answer.append("dead" if error.errno in (errno.ENOTCONN, errno.ECONNABORTED) else "")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return answer[0] if answer else "not answering"


def check_mountpoint(path: str, *, force: bool = False) -> None:
    """Raises `MountFailed` and `UsageError` for what is no directory, a dead mount, or a mount of ours.

    With `force` not for a dead mount of ours: see `remove_dead`.
    """
    fd = handed_over(path)
    if fd is not None:
        if not _is_mounted(fd):
            raise UsageError("no mount of FUSE", "name a directory", path=path)
        return
    above = mount_at(path)
    quoted = shlex.quote(path)
    if above is not None and above.file_system.startswith("fuse"):
        ours = above.file_system == FILE_SYSTEM
        state = state_of(path)
        if state == "dead" and ours and force:
            return
        if state == "dead" and ours:
            raise MountFailed("a dead mount is here", f"run: isofs umount {quoted}, or mount with -o force", path=path)
        if state == "dead":
            raise MountFailed(f"a dead mount of {above.file_system} is here", f"run: umount {quoted}", path=path)
        if ours:
            raise MountFailed("an image is mounted here already", f"run: isofs umount {quoted}", path=path)
        if state:
            raise MountFailed(f"the mount of {above.file_system} here is {state}", "look at its process", path=path)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if error.errno == errno.EACCES:
            raise UsageError("permission denied", "choose a directory of your own", path=path) from None
        remedy = f"run: mkdir {quoted}" if error.errno == errno.ENOENT else "choose another directory"
        raise MountFailed(f"no mount point: {os.strerror(error.errno or 0).lower()}", remedy, path=path) from None
    if not stat.S_ISDIR(mode):
        raise MountFailed("no mount point: not a directory", "name a directory", path=path)


def _is_mounted(fd: int) -> bool:
    """Whether a descriptor is that of a mount; FUSE shows an error on one that is not, or not any more."""
    with contextlib.suppress(OSError):
        status = os.fstat(fd)
        poller = select.poll()
        poller.register(fd, 0)
        return stat.S_ISCHR(status.st_mode) and status.st_rdev == FUSE and not poller.poll(0)
    return False


def remove_dead(path: str) -> None:
    """Takes away all dead mounts of ours that are uppermost on a resolved path. Raises what `unmount` does."""
    while (above := mount_at(path)) is not None and above.file_system == FILE_SYSTEM and state_of(path) == "dead":
        unmount(path, lazily=True)


def handed_over(mountpoint: str) -> int | None:
    """The descriptor of /dev/fuse, mounted already, that a mount point `/dev/fd/N` stands for.

    That is how mount.fuse3(8) starts us with `drop_privileges`.
    """
    match = _HANDED.fullmatch(mountpoint)
    return int(match[1]) if match else None


def mount_behind(mountpoint: str) -> Mount | None:
    """The mount of a descriptor that was handed over; None where the kernel does not tell."""
    fd = handed_over(mountpoint)
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as facts:
            match = re.search(rb"^fuse_connection:\s*(\d+)", facts.read(), re.MULTILINE)
    except OSError:
        return None
    device = f"0:{int(match[1])}" if match else ""
    return next((mount for mount in reversed(mounts()) if mount.device == device), None)


def source_of(image: str) -> str:
    """The image's path as the source of a mount: ASCII, since libfuse's binding takes no more; percent-escaped.

    Of a path that is too long for the kernel the end is given, behind three dots.
    """
    raw = os.fsencode(image)
    text = "".join(chr(byte) if 0x20 < byte < 0x7F and byte != 0x25 else f"%{byte:02X}" for byte in raw)
    return text if len(text) <= _SOURCE else "..." + text[3 - _SOURCE :].lstrip("0123456789ABCDEF%")


def image_of(source: str) -> str:
    """The image's path that `source_of` made a source of."""
    return os.fsdecode(re.sub(rb"%([0-9A-F]{2})", lambda match: bytes([int(match[1], 16)]), os.fsencode(source)))


def resolved(path: str) -> str:
    """The path without links, as the kernel names it. Unlike realpath it asks nothing of a mount at its end.

    What `handed_over` stands for stays as it is.
    """
    if handed_over(path) is not None:
        return path
    if not os.path.isabs(path):
        path = os.path.join(os.getcwd(), path)
    for _ in range(_LINKS):
        directory, name = os.path.split(path.rstrip("/"))
        if name in ("", ".", ".."):
            return os.path.realpath(path)
        directory = os.path.realpath(directory)
        path = os.path.join(directory, name)
        try:
            path = os.path.join(directory, os.readlink(path))
        except OSError:
            return path
    return path


def unmount(path: str, *, lazily: bool = False) -> None:
    """Unmounts what is uppermost on a resolved path; `lazily` even while it is in use.

    Raises `MountFailed` when it is busy or the system does not let us, `SystemRefused` without fusermount3.
    """
    if os.geteuid() == 0:
        number = _umount2(path, _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazily else 0))
        if number:
            raise _unmount_error(path, number, os.strerror(number))
        return
    import subprocess

    command = ["fusermount3", "-u", *(["-z"] if lazily else []), "--", path]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
    except FileNotFoundError:
        raise SystemRefused("fusermount3 is not installed", "install the package fuse3", path=path) from None
    except OSError as error:
        raise SystemRefused(f"fusermount3 cannot be run: {error.strerror}", path=path) from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        busy = errno.EBUSY if "busy" in done.stderr else errno.EPERM
        raise _unmount_error(path, busy, said[-1] if said else f"fusermount3 failed ({done.returncode})")


def _unmount_error(path: str, number: int, reason: str) -> MountFailed | UsageError:
    if number == errno.EBUSY:
        return MountFailed(
            "the mount is in use", f"end the programs that use it (fuser -vm {path}) and try again", path=path
        )
    if number == errno.EPERM:
        return UsageError(reason, "only root and the user who mounted it can unmount it", path=path)
    return MountFailed(reason, path=path)


def _umount2(path: str, flags: int) -> int:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    return ctypes.get_errno() if libc.umount2(os.fsencode(path), flags) else 0
