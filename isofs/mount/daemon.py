"""Serves a mount in the background.

Everything that can fail fails before the fork or is reported through the pipe to the parent; the child mounts in the
process group that it inherited, since an automount lets only that one pass, and becomes a session of its own
afterwards; the parent returns when the kernel has answered. Threads start after the fork.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Collection
from typing import Final, NoReturn

from .. import errors
from ..errors import EXIT_OK, InternalError, IsofsError, SystemRefused
from .log import SyslogLines, to_syslog

_ANSWER_WITHIN: Final = 60
"""Seconds for the kernel's first request."""
_LAST_LINES: Final = 1
"""Seconds for the end of the log."""

log = logging.getLogger("isofs")

Serve = Callable[[Callable[[], None], Callable[[], None]], None]
"""Serves a mount to its end; calls the first when it is mounted, the second when the kernel has answered."""


def in_background(serve: Serve, keep: Collection[int], blocked: Collection[signal.Signals]) -> int:
    """Serves in a child process, and gives its number when the mount answers.

    The child keeps the descriptors of `keep` open; the signals of `blocked` are held back in it. Raises what it
    reports, `KeyboardInterrupt` if we are interrupted, `SystemRefused` if nothing comes.
    """
    reports, report_to = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()  # nobody walks, and so copies, what both have: the caller's end takes a quarter of the time
    child = os.fork()
    if not child:
        os.close(reports)
        _child(serve, keep, blocked, report_to)
    os.close(report_to)
    try:
        poller = select.poll()
        poller.register(reports, select.POLLIN)
        ready = poller.poll(_ANSWER_WITHIN * 1000)
        report = _read_all(reports) if ready else b""
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)
        raise
    if not ready:
        os.kill(child, signal.SIGKILL)  # other signals are held back until it serves
        raise SystemRefused(f"the kernel did not answer within {_ANSWER_WITHIN} seconds", "look into the system's log")
    if report == b"ready":
        return child
    _, status = os.waitpid(child, 0)
    if not report:
        raise SystemRefused(f"the daemon ended before the mount answered (status {os.waitstatus_to_exitcode(status)})")
    told = json.loads(report)
    kind: type[IsofsError] = getattr(errors, told["error"])
    raise kind(told["reason"], told["remedy"], path=told["path"])


def _read_all(fd: int) -> bytes:
    with open(fd, "rb") as file:
        return file.read()


def _child(serve: Serve, keep: Collection[int], blocked: Collection[signal.Signals], report_to: int) -> NoReturn:
    """The daemon's life: mount, session, serve, end."""
    code = EXIT_OK
    answered = False
    lines: SyslogLines | None = None

    def ready() -> None:
        nonlocal answered
        answered = True
        try:
            os.write(report_to, b"ready")
        except BrokenPipeError:  # whoever asked for the mount has gone
            os.kill(os.getpid(), signal.SIGTERM)
        os.close(report_to)
        if lines is not None:
            lines.start()
        for fd in range(3):
            os.dup2(nothing, fd)
        os.close(nothing)

    def mounted() -> None:
        os.setsid()
        os.chdir("/")

    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)  # for the log's thread too: one that lets them in is enough
        _close_all_but(*keep, report_to)
        nothing = os.open(os.devnull, os.O_RDWR)  # here: later we may not open it
        lines = to_syslog()
        serve(mounted, ready)
    except BaseException as error:
        if isinstance(error, IsofsError):
            failure = error
        else:
            failure = InternalError(f"internal error: {error!r}", "please report it")
            log.critical("%s\n%s", failure, traceback.format_exc())
        code = failure.exit_code
        if not answered:
            about = {"reason": failure.reason, "remedy": failure.remedy, "path": failure.path}
            with contextlib.suppress(OSError):  # whoever asked for the mount has gone
                os.write(report_to, json.dumps({"error": type(failure).__name__, **about}).encode())
    if lines is not None:
        lines.send(_LAST_LINES)
    os._exit(code)


def _close_all_but(*keep: int) -> None:
    """Closes what the caller's files left open, a lock perhaps: the daemon would hold it for as long as it lives."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and fd not in keep:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(fd)
