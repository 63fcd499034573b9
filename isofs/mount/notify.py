"""What a service manager is told (sd_notify(3)): that the mount answers, what it does, that it ends."""

from __future__ import annotations

import contextlib
import logging
import os
import socket

log = logging.getLogger("isofs")


class Manager:
    """Whoever started us and wants to know, if anybody does. To be made once, before there are children.

    Takes NOTIFY_SOCKET out of the environment: fusermount3 is not to speak for us.
    """

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        self._connection: socket.socket | None = None

    def connect(self) -> None:
        """Stays connected from now on: later we may not be. Where that fails `tell` says it."""
        if self._address[:1] in ("/", "@") and self._connection is None:
            with contextlib.suppress(OSError):
                self._connection = self._connected()

    def tell(self, **states: object) -> None:
        """Sends states such as `READY=1`. Where that fails the log says so, and the mount goes on."""
        if self._address[:1] not in ("/", "@"):
            return
        text = "\n".join(f"{name}={str(state).replace(chr(10), ' ')}" for name, state in states.items())
        try:
            if self._connection is not None:
                self._connection.send(os.fsencode(text))
                return
            with self._connected() as connection:
                connection.send(os.fsencode(text))
        except OSError as error:
            log.warning("the service manager cannot be told: %s", error.strerror)

    def _connected(self) -> socket.socket:
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            connection.connect(address)
            return connection
        except BaseException:
            connection.close()
            raise
