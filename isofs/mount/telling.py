"""The daemon tells its counters: through the socket of `stats`, and to the log on SIGUSR1; on SIGUSR2 its tasks.

Tasks of the serving thread, beside the requests. They never wait for a client for longer than a moment, take one at a
time, end with the mount, and no error of theirs ends it.

A daemon may outlive its mount, with a worker stuck in storage say, while another mount gets the same device number. So
at each client it looks whether its mount is still there, and gives up the name if not; the other daemon is one, too.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import signal
import socket
import stat
from time import monotonic_ns
from typing import Any, Final

import trio

from ..image import Image
from ..image.cache import default_workers
from . import counters, stats
from .mounts import FUSE, Mount
from .operations import Operations
from .options import Options
from .tasks import task_lines

_COUNTERS: Final = signal.SIGUSR1
_TASKS: Final = signal.SIGUSR2
SIGNALS: Final = (_COUNTERS, _TASKS)
"""Have the counters, and the tasks, written to the log."""

_WAITING: Final = 8
"""Clients that may wait for their turn."""
_CLIENT: Final = 1
"""Seconds for a client to take its answer."""
_PAUSE: Final = 0.1
"""Seconds without another client after one that may not ask: nobody keeps the serving thread busy."""
_TAKEN: Final = 15
"""Seconds in which the last daemon with our device number must have given its name up."""

log = logging.getLogger("isofs")


class Telling:
    """What one mount tells of itself. To be made while the image's path, a relative one perhaps, still leads to it."""

    def __init__(
        self, image: Image, operations: Operations, options: Options, mountpoint: str, own: Mount | None
    ) -> None:
        self._image = image
        self._operations = operations
        self._own = own
        self._early: socket.socket | OSError | None = None
        self._prepared: socket.socket | None = None
        self._device = _device()
        self._runs = image.runs
        quick = self._runs is not None and self._runs.compiled
        self._about = {
            "image": stats.as_text(os.path.abspath(image.path)),
            "mount_point": stats.as_text(mountpoint),
            "format": image.format,
            "decoder": None if image.blocks is None else "compiled" if quick else "Python",
            "workers": (default_workers() if options.threads is None else options.threads) if self._runs else 0,
            "cache": options.cache,
        }

    def prepare(self) -> None:
        """Listens from now on: later this process may not make a socket."""
        with contextlib.suppress(OSError):
            self._prepared = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._early = self._listen()

    def facts(self) -> dict[str, Any]:
        """All that is told; `isofs stats --json` shows it as it is."""
        kept = self._operations.counters
        return {
            **self._about,
            "pid": os.getpid(),
            "uptime": round((monotonic_ns() - kept.started) / 1e9, 3),
            "open_files": self._operations.open_files,
            "open_directories": self._operations.open_directories,
            "counters": counters.numbers(kept, self._runs.counts if self._runs else None, self._image.cache),
            "latencies": counters.latencies(kept),
        }

    async def on_signal(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Writes to the log at each of `SIGNALS`, which are to be blocked until this has started."""
        with trio.open_signal_receiver(*SIGNALS) as signals:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            task_status.started()
            async for number in signals:
                try:
                    for line in task_lines() if number == _TASKS else counters.lines(self.facts()):
                        log.info("%s", line)
                except Exception:
                    log.exception("a bug in isofs: please report it")

    async def on_socket(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answers clients, from the moment that it has started. Without a socket the mount goes on."""
        patience = trio.current_time() + _TAKEN
        listener = self._early or self._listen()
        task_status.started()
        while isinstance(listener, OSError):
            if listener.errno != errno.EADDRINUSE or trio.current_time() > patience:
                log.warning("isofs stats will not work: %s", listener.strerror)
                return
            await trio.sleep(_PAUSE)
            listener = self._listen()
        with trio.socket.from_stdlib_socket(listener) as clients:
            while True:
                try:
                    if not await self._answer(clients):
                        return
                except OSError as error:  # no more files, say
                    log.warning("isofs stats: %s", error.strerror or error)
                    await trio.sleep(_CLIENT)
                except Exception:
                    log.exception("a bug in isofs: please report it")
                    await trio.sleep(_CLIENT)

    def _listen(self) -> socket.socket | OSError:
        """The socket that clients come to, or why there is none."""
        if self._own is None:
            return OSError(errno.ENOENT, "the mount has gone")
        listener = self._prepared
        try:
            if listener is None:
                listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(stats.address(self._own.device))
            listener.listen(_WAITING)
            return listener
        except OSError as error:
            if listener is not None and listener is not self._prepared:
                listener.close()
            if error.errno == errno.EADDRINUSE:
                _nudge(stats.address(self._own.device))
            return error

    async def _answer(self, clients: trio.socket.SocketType) -> bool:
        """Takes one client, and gives it all or nothing. False if the mount has gone."""
        client, _ = await clients.accept()
        with client:
            if self._gone():
                return False
            peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, stats.CREDENTIALS_SIZE)
            _, user = stats.peer_of(peer)
            if user in (0, os.geteuid()):
                answer = memoryview(stats.told(self.facts()))
                with trio.move_on_after(_CLIENT), contextlib.suppress(ConnectionError):  # it has gone, or does not read
                    while answer:
                        answer = answer[await client.send(answer) :]
                return True
        await trio.sleep(_PAUSE)
        return True

    def _gone(self) -> bool:
        """Whether the kernel has closed the connection."""
        if self._device < 0:
            return False
        poller = select.poll()
        poller.register(self._device, 0)
        return bool(poller.poll(0))


def _device() -> int:
    """The descriptor of /dev/fuse, which pyfuse3 keeps to itself; -1 without one."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # the listing's own
            status = os.fstat(fd)
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == FUSE:
                return fd
    return -1


def _nudge(address: str) -> None:
    """Has whoever listens there look after its mount."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        client.connect(address)
