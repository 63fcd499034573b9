"""Threads that may wait, for the serving thread, which must not.

What `trio.to_thread` does, for a process that may be denied memory: `Thread.start` waits until the new thread has
begun, and for ever if that had no memory to begin with. Here nobody waits for a thread to begin. What is to be done
stands in a queue; the first thread is there before the first request. Who finds none without work and gets no further
one tries again, and so waits for whichever comes first.
"""

from __future__ import annotations

import _thread
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import outcome
import trio

from ..errors import SystemRefused

T = TypeVar("T")

_START: Final = 10.0
"""Seconds for the first thread to begin."""
_REST: Final = 10.0
"""Seconds without work after which a thread ends, but for one."""
_PAUSE: Final = 0.1
"""Seconds until memory is asked for again."""

_Job = Callable[[], None]


class Workers:
    """The threads of one mount. How many work at a time is for the askers to see to."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._lock = _thread.allocate_lock()
        self._idle = 0  # threads without work, less work without a thread

    def start(self) -> None:
        """Starts the first thread. Raises `SystemRefused`."""
        begun = _thread.allocate_lock()
        begun.acquire()
        self._jobs.put(begun.release)
        self._idle -= 1
        if not (self._begin() and begun.acquire(timeout=_START)):
            raise SystemRefused("no thread can be started", "allow more memory, or more processes")

    async def run(self, question: Callable[[], T]) -> T:
        """The answer of a question that is asked by a thread; asked twice if there was no memory for its answer.

        Raises what the question raises. Whoever is cancelled leaves it behind.
        """
        task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        token = trio.lowlevel.current_trio_token()

        def answered(result: outcome.Outcome[T]) -> None:
            nonlocal task
            if task is not None:  # it still waits for this
                asker, task = task, None
                trio.lowlevel.reschedule(asker, result)

        def asked() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(answered, outcome.capture(question))

        def abort(_: object) -> trio.lowlevel.Abort:
            return trio.lowlevel.Abort.SUCCEEDED

        with self._lock:
            self._idle -= 1
        try:
            while self._idle < 0 and not self._begin():
                await trio.sleep(_PAUSE)
            self._jobs.put(asked)
        except BaseException:
            with self._lock:
                self._idle += 1
            raise
        try:
            answer: Any = await trio.lowlevel.wait_task_rescheduled(abort)
        finally:
            task = None
        return answer  # type: ignore[no-any-return]

    def _begin(self) -> bool:
        """Starts a further thread, if it can be had."""
        try:
            _thread.start_new_thread(self._work, ())
        except (RuntimeError, MemoryError):
            return False
        return True

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            job = self._take()
            if job is None:
                return
            while True:
                try:
                    job()
                    break
                except (MemoryError, OSError):  # of trio's wake-up: an answer that has come is not given again
                    time.sleep(_PAUSE)
            del job

    def _take(self) -> _Job | None:
        """What to do next; None: to end."""
        while True:
            try:
                return self._jobs.get(timeout=_REST)
            except (Empty, MemoryError):
                with self._lock:
                    if self._idle > 1:
                        self._idle -= 1
                        return None
