"""How the serving thread waits for requests: quickly, before it waits in trio.

trio's way to wait for the next request takes five system calls and two or three turns of its scheduler, and an idle
core takes its time to wake up. While requests come one after another this is most of what they cost. So pyfuse3 gets
another lock and another `wait_readable` than trio's, through the name `trio` of its module, which its own support of
asyncio replaces too:

- The lock is taken without a turn of the scheduler when it is free, and wakes nobody when it is released: the task that
  got a request comes back for the next one itself. Another task is woken by a handler that is about to suspend
  (`handover`).
- The wait asks whether a request is there (`poll`), goes on asking for `SPIN` microseconds, sleeps in `poll` for
  `_SLEEP` milliseconds, and only then waits in trio. An idle mount waits in trio and costs nothing.

- A task that ends hands the lock over too: the session is over, or the task was one too many. Otherwise those that are
  parked would keep the process for ever.
"""

from __future__ import annotations

import errno
import os
import select
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Final

import pyfuse3
import trio

from ..errors import EXIT_SYSTEM
from ..image.compiled import compiled

SPIN: Final = 100
"""Microseconds; a core that has to wake up takes up to fifty of them."""
BRIEFLY: Final = 40
"""Microseconds where all cores have work: they are better used for that."""
_SLEEP: Final = 2
"""Milliseconds."""
_PAUSE: Final = 0.1
"""Seconds until memory is asked for again."""
_TURN: Final = 64
"""Requests after which all other tasks get their turn."""

REQUEST, EVENT = 1, 2
"""What `poll` tells: a request is there, or the end of the session; another thread has something for us."""

Poll = Callable[[int, int, int, int], int]


def poll(fd: int, event: int, _spin: int, sleep: int) -> int:
    """Waits for the FUSE device `fd` or the eventfd `event`, some microseconds awake and `sleep` milliseconds asleep.

    Gives bits of `REQUEST` and `EVENT`, 0 for none. This is the one in Python: it does not spin.
    """
    poller = _poller(fd, event)
    found = poller.poll(0) or poller.poll(sleep)
    return sum(EVENT if number == event else REQUEST for number, _ in found)


@lru_cache(maxsize=1)
def _poller(fd: int, event: int) -> select.poll:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    poller.register(event, select.POLLIN)
    return poller


class _Lock:
    """See the module. As much of `trio.Lock` as `async with` takes."""

    def __init__(self) -> None:
        self._parked: deque[trio.lowlevel.Task] = deque()
        self._held = False

    async def __aenter__(self) -> None:
        while self._held:
            task = trio.lowlevel.current_task()
            self._parked.append(task)

            def abort(_: object, task: trio.lowlevel.Task = task) -> trio.lowlevel.Abort:
                self._parked.remove(task)
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(abort)
        self._held = True

    async def __aexit__(self, *_: object) -> None:
        self._held = False

    def handover(self) -> None:
        """Wakes a task that waits for the lock, if it is free."""
        if self._parked and not self._held:
            trio.lowlevel.reschedule(self._parked.popleft())


class Waiting:
    """The wait of one mount. Without `install` everything is trio's, and `handover` and `tell` do nothing."""

    def __init__(self) -> None:
        self.lock: _Lock | None = None
        self.spin = SPIN
        """Microseconds that the next wait is awake."""
        self.short: Callable[[], None] = lambda: None
        """Called where memory is short."""
        self._event = -1
        self._in_a_row = 0
        self._others = False  # whether other tasks have something to do now
        self._poll: Poll = poll if compiled is None else compiled.poll

    def install(self) -> bool:
        """Takes the place of trio in pyfuse3. False where it is not the pyfuse3 that we know; then nothing is changed.

        To be called after `pyfuse3.init` and before `pyfuse3.main`.
        """
        if getattr(pyfuse3, "trio", None) is not trio or not hasattr(trio.lowlevel, "wait_readable"):
            return False
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        pyfuse3.trio = _Seam(self)  # type: ignore[attr-defined]
        return True

    def handover(self) -> None:
        """To be called by a handler before it suspends: another task takes the next request."""
        self._others = True
        if self.lock is not None:
            self.lock.handover()

    def tell(self) -> None:
        """To be called by another thread that has something for the serving thread: it looks at once."""
        if self._event >= 0:
            os.eventfd_write(self._event, 1)

    async def wait_readable(self, fd: int) -> None:
        """In place of `trio.lowlevel.wait_readable`."""
        if self._others:
            self._others = False
            await _turns()
        told = self._poll(fd, self._event, self.spin, _SLEEP)
        if told == REQUEST:
            self._in_a_row += 1
            if not self._in_a_row % _TURN:
                await trio.lowlevel.cancel_shielded_checkpoint()
            return
        if told & EVENT:  # written just before the thread tells trio what it has
            os.eventfd_read(self._event)
            self._others = True
        await trio.lowlevel.wait_readable(fd)


async def _turns() -> None:
    """Lets all other tasks go on: those that can at once, and those that they wake."""
    await trio.lowlevel.cancel_shielded_checkpoint()
    await trio.lowlevel.cancel_shielded_checkpoint()


class _Seam:
    """What pyfuse3 takes for trio."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self.lowlevel = _Lowlevel(waiting)

    def Lock(self) -> _Lock:  # noqa: N802 - trio's name
        self._waiting.lock = _Lock()
        return self._waiting.lock

    @asynccontextmanager
    async def open_nursery(self) -> AsyncIterator[_Nursery]:
        async with trio.open_nursery() as nursery:
            yield _Nursery(nursery, self._waiting)

    def __getattr__(self, name: str) -> Any:
        return getattr(trio, name)


class _Nursery:
    """A nursery of pyfuse3's tasks, each of which hands the lock over when it ends."""

    def __init__(self, nursery: trio.Nursery, waiting: Waiting) -> None:
        self._nursery = nursery
        self._waiting = waiting

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object, name: object = None) -> None:
        self._nursery.start_soon(self._run, function, *args, name=name)

    async def _run(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        try:
            while True:
                try:
                    await function(*args)
                    break
                except OSError as error:
                    if error.errno != errno.ENOMEM:  # for the room that a request is read into: it stays where it is
                        raise
                    self._waiting.short()
                    self._waiting.handover()
                    await trio.sleep(_PAUSE)
        except MemoryError:  # trio itself had none, and may have lost a task: requests would wait for ever
            os._exit(EXIT_SYSTEM)
        finally:
            self._waiting.handover()


class _Lowlevel:
    """What pyfuse3 takes for `trio.lowlevel`."""

    def __init__(self, waiting: Waiting) -> None:
        self.wait_readable = waiting.wait_readable

    def __getattr__(self, name: str) -> Any:
        return getattr(trio.lowlevel, name)


def worthwhile() -> bool:
    """Whether there is a core to spare: the one that asks would keep the only one from whoever it waits for."""
    return len(os.sched_getaffinity(0)) > 1
