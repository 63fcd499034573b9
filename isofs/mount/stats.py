"""Asking a mount for its counters: the socket's name, who may ask, who is believed. Needs neither pyfuse3 nor trio.

The daemon listens on an abstract Unix socket that is named after the mount's device number, and not on a socket file,
which would need a folder that every user, service and container has, and would be left behind by a crash. It tells
nothing to anybody but its own user and root, and it is only believed if it is that of the mount's user or root: anybody
may take such a name, so both sides look at the other's credentials (SO_PEERCRED).

Nothing is asked: whoever connects and may know gets one JSON object, and the end. What the daemon writes fits into the
buffer of the socket, so that it never waits for a reader.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import struct
import time
from typing import Any, Final

from ..errors import MountFailed, SystemRefused
from .mounts import Mount

PATIENCE: Final = 5.0
"""Seconds for the daemon to answer."""
_MOMENT: Final = 1.0
"""Seconds for the daemon to show that it serves a mount, to whoever unmounts it."""
_LONGEST: Final = 1 << 20
"""Bytes of an answer."""
_CREDENTIALS: Final = struct.Struct("iII")


def address(device: str) -> str:
    """The socket's name for a mount's `MAJOR:MINOR`. It begins with NUL: no file, and gone with the daemon."""
    return f"\0isofs/{device}"


def peer_of(credentials: bytes) -> tuple[int, int]:
    """Process and user at the other end, out of what SO_PEERCRED gives."""
    pid, user, _ = _CREDENTIALS.unpack(credentials)
    return pid, user


CREDENTIALS_SIZE: Final = _CREDENTIALS.size


def ask(mount: Mount) -> dict[str, Any] | None:
    """The counters of a mount; None if nobody listens: it is dead, or has no socket.

    Raises `MountFailed` if the daemon does not answer, `SystemRefused` if somebody else does.
    """
    until = time.monotonic() + PATIENCE
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        pid = 0
        try:
            if not _connected(connection, address(mount.device), until):
                return None
            pid, user = peer_of(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS_SIZE))
            if user not in (0, mount.user):
                reason = f"process {pid} of user {user} answers in place of the daemon"
                raise SystemRefused(reason, "it is not believed; tell the administrator", path=mount.path)
            return _understood(_received(connection, until), mount)
        except TimeoutError:
            remedy = f"look at process {pid}" if pid else "look at its process"
            raise MountFailed(
                f"the daemon does not answer within {PATIENCE:.0f} seconds", remedy, path=mount.path
            ) from None


def daemon_of(mount: Mount) -> tuple[int, int] | None:
    """The process that serves a mount, and a descriptor that tells of its end (pidfd_open(2)); None if none is seen.

    It shows that by an answer. The daemon of a mount that has gone gives none: it may still have the name, since the
    kernel gives device numbers out anew.
    """
    until = time.monotonic() + _MOMENT
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            if not _connected(connection, address(mount.device), until):
                return None
            pid, user = peer_of(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS_SIZE))
            connection.settimeout(_left(until))
            if pid and user in (0, mount.user) and connection.recv(1):
                return pid, os.pidfd_open(pid)
        except OSError:  # it does not answer, or has just gone
            pass
    return None


def ended(daemon: int, patience: float) -> bool:
    """Whether the process of a descriptor of pidfd_open(2) ends within `patience` seconds. Closes the descriptor."""
    with open(daemon, "rb", buffering=0):
        poller = select.poll()
        poller.register(daemon, select.POLLIN)
        return bool(poller.poll(patience * 1000))


def _connected(connection: socket.socket, name: str, until: float) -> bool:
    while True:
        connection.settimeout(_left(until))
        try:
            connection.connect(name)
            return True
        except BlockingIOError:  # too many others are waiting
            time.sleep(0.05)
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                return False
            raise


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _received(connection: socket.socket, until: float) -> bytes:
    answer = bytearray()
    while len(answer) <= _LONGEST:
        connection.settimeout(_left(until))
        try:
            piece = connection.recv(1 << 16)
        except ConnectionResetError:
            break
        if not piece:
            break
        answer += piece
    return bytes(answer)


def _understood(answer: bytes, mount: Mount) -> dict[str, Any]:
    if not answer:
        raise MountFailed("the daemon told nothing: it is ending", "see isofs list", path=mount.path)
    try:
        facts = json.loads(answer)
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        raise not_understood(mount)
    return facts


def not_understood(mount: Mount) -> MountFailed:
    """The error for an answer that cannot be shown."""
    return MountFailed("the daemon's answer is not understood", "it is of another version of isofs", path=mount.path)


def told(facts: dict[str, Any]) -> bytes:
    """The answer to whoever asks."""
    return json.dumps(facts).encode()


def as_text(path: str) -> str:
    """A path as text: bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
