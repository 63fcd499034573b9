"""Threads for tests, and files that are not in memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from isofs.image.source import never_wait

LIMIT: Final = 30.0
"""Seconds after which a test gives up."""

T = TypeVar("T")


def in_thread(function: Callable[[], T]) -> T:
    """What the function gives or raises in a thread of its own."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert not thread.is_alive(), "the thread did not end"
    if errors:
        raise errors[0]
    return results[0]


def impatient(function: Callable[[], T]) -> T:
    """What the function gives or raises in a thread that must not wait."""

    def run() -> T:
        never_wait()
        return function()

    return in_thread(run)


def until(condition: Callable[[], object]) -> None:
    """Waits for a condition."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.001)


def native_threads() -> int:
    """Threads of this process, those that Python does not know included."""
    return len(os.listdir("/proc/self/task"))


def forget(path: str | os.PathLike[str]) -> None:
    """Takes a file's bytes out of memory, as far as the system does that."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
