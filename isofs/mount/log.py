"""Where the log goes: stderr in the foreground, syslog or the journal behind it from the background."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import queue
import time
from typing import Final

from .. import limits

_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Levels of logging and of syslog(3), the gravest first; whatever is below is 7."""


def to_stderr(*, debug: bool = False) -> None:
    """Lines to stderr; if that is the journal, with their priority (sd-daemon(3))."""
    handler = logging.StreamHandler()
    handler.setFormatter(_ForJournal() if _is_journal() else logging.Formatter("isofs: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.DEBUG if debug else logging.INFO)


def to_syslog() -> SyslogLines:
    """Lines to syslog, from `start` on."""
    lines = SyslogLines(at_once=False)
    logging.basicConfig(handlers=[lines.handler], level=logging.INFO)
    return lines


class SyslogLines:
    """Lines on their way to syslog, by a thread of its own: a syslog that has stopped must not stop us."""

    def __init__(self, address: str = "/dev/log", *, at_once: bool = True) -> None:
        logging.raiseExceptions = False  # a log that cannot be written is no reason to write to where stderr was
        self._lines: queue.Queue[logging.LogRecord] = queue.Queue(limits.FINDINGS)
        self._listener: logging.handlers.QueueListener | None = None
        self.handler: logging.Handler = logging.NullHandler()
        with contextlib.suppress(OSError):
            syslog = logging.handlers.SysLogHandler(address, logging.handlers.SysLogHandler.LOG_DAEMON)
            syslog.ident = f"isofs[{os.getpid()}]: "
            self._listener = logging.handlers.QueueListener(self._lines, syslog)
            self.handler = logging.handlers.QueueHandler(self._lines)
            self.handler.setFormatter(logging.Formatter())  # else basicConfig has one with level and name

        if at_once:
            self.start()

    def start(self) -> None:
        """Starts the thread. What a process gives up before it is given up by that thread as well."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.start()

    def send(self, patience: float) -> None:
        """Waits until all lines are sent, `patience` seconds at most."""
        self.start()
        until = time.monotonic() + patience
        while self._lines.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.01)


class _ForJournal(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        priority = next((number for level, number in _PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def _is_journal() -> bool:
    """Whether stderr is the journal's socket (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
