"""Mount, daemonise, serve, end.

The order is that of mount(8)'s needs: everything that can fail fails before the fork or is reported through the pipe
to the parent; the child mounts in the process group that it inherited, since an automount lets only that one pass, and
becomes a session of its own afterwards; the parent returns when the kernel has answered. Threads start after the fork.

SIGTERM, SIGINT and SIGHUP take the mount out of the tree at once, serve what is still open for ten seconds at most,
and end. A crash leaves a dead mount (ENOTCONN), never an empty directory that a mirror job would take for the truth.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import logging.handlers
import os
import queue
import select
import signal
import stat
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import IO, Final, NoReturn

import pyfuse3
import trio

from .. import errors, limits
from ..errors import EXIT_INTERRUPTED, EXIT_OK, InternalError, IsofsError, MountFailed, SystemRefused, UsageError
from ..image import Image
from ..image.source import never_wait
from ..volume.tree import Finding, Volume
from .mounts import FILE_SYSTEM, Mount, mount_at, source_of, unmount
from .operations import Operations
from .options import Options
from .telling import SIGNAL, Telling
from .waiting import Waiting, worthwhile

_M_ARENA_MAX: Final = -8
_ANSWER_WITHIN: Final = 60
"""Seconds for the kernel's first request."""
_BUSY: Final = 10
"""Seconds that open files are served after a signal."""
_REST: Final = 5
"""Seconds without an open file after which memory is given back."""
_UNDER_WAY: Final = 1
"""Seconds for answers that are under way when serving ends."""

_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that end the mount."""
_BLOCKED: Final = (*_ENDING, SIGNAL)
"""Signals that wait for their receivers."""

log = logging.getLogger("isofs")


def mount(
    image: Image, volume: Volume, mountpoint: str, options: Options, *, foreground: bool = False, debug: bool = False
) -> int:
    """Mounts a volume on a directory (a resolved path) and gives the exit code of the command.

    Returns when the mount answers; with `foreground` when it has ended. `debug` stays in the foreground too and shows
    each request. Raises `MountFailed`, `SystemRefused` and `UsageError`.
    """
    check_fuse()
    serve = partial(_serve, image, volume, mountpoint, options, debug=debug)
    if foreground or debug:
        logging.basicConfig(format="isofs: %(message)s", level=logging.DEBUG if debug else logging.INFO)
        serve(lambda: None, lambda: None)
        return EXIT_OK
    return _in_background(serve, [file.fileno() for file in image.files])


def check_mountpoint(path: str) -> None:
    """Raises `MountFailed` for what is no directory, a dead mount, or a mount of ours."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if error.errno in (errno.ENOTCONN, errno.ECONNABORTED):
            raise MountFailed("a dead mount is here", f"run: isofs umount {path}", path=path) from None
        if error.errno == errno.EACCES:
            raise UsageError("permission denied", "choose a directory of your own", path=path) from None
        remedy = f"run: mkdir {path}" if error.errno == errno.ENOENT else "choose another directory"
        raise MountFailed(f"no mount point: {os.strerror(error.errno or 0)}", remedy, path=path) from None
    if not stat.S_ISDIR(mode):
        raise MountFailed("no mount point: not a directory", "name a directory", path=path)
    above = mount_at(path)
    if above is not None and above.file_system == FILE_SYSTEM:
        raise MountFailed("an image is mounted here already", f"run: isofs umount {path}", path=path)


def check_fuse() -> None:
    """Raises `SystemRefused` or `UsageError` where FUSE cannot be had, before libfuse says it in its own words."""
    device = "/dev/fuse"
    try:
        mode = os.stat(device).st_mode
    except FileNotFoundError:
        raise SystemRefused(
            "the device does not exist",
            "load the kernel module fuse, or give the container --device /dev/fuse; isofs extract needs neither",
            path=device,
        ) from None
    if not os.access(device, os.R_OK | os.W_OK):
        raise UsageError(
            f"permission denied (mode {stat.S_IMODE(mode):04o})", "ask the administrator, or run as root", path=device
        )


# --- the daemon -----------------------------------------------------------------------------------------------------

Serve = Callable[[Callable[[], None], Callable[[], None]], None]
"""Serves a mount to its end; calls the first when it is mounted, the second when the kernel has answered."""


def _in_background(serve: Serve, keep: Sequence[int]) -> int:
    """Serves in a child process that keeps the image's files open.

    Gives the exit code when it answers, raises what it reports.
    """
    reports, report_to = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        os.close(reports)
        _child(serve, keep, report_to)
    os.close(report_to)
    try:
        ready, _, _ = select.select([reports], [], [], _ANSWER_WITHIN)
        report = _read_all(reports) if ready else b""
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)
        return EXIT_INTERRUPTED
    if not ready:
        os.kill(child, signal.SIGTERM)
        raise SystemRefused(f"the kernel did not answer within {_ANSWER_WITHIN} seconds")
    if report == b"ready":
        return EXIT_OK
    _, status = os.waitpid(child, 0)
    if not report:
        raise SystemRefused(f"the daemon ended before the mount answered (status {os.waitstatus_to_exitcode(status)})")
    told = json.loads(report)
    kind: type[IsofsError] = getattr(errors, told["error"])
    raise kind(told["reason"], told["remedy"], path=told["path"])


def _read_all(fd: int) -> bytes:
    with open(fd, "rb") as file:
        return file.read()


def _child(serve: Serve, keep: Sequence[int], report_to: int) -> NoReturn:
    """The daemon's life: mount, session, serve, end."""
    code = EXIT_OK
    answered = False
    lines: queue.Queue[logging.LogRecord] | None = None

    def ready() -> None:
        nonlocal answered
        answered = True
        try:
            os.write(report_to, b"ready")
        except BrokenPipeError:  # whoever asked for the mount has gone
            os.kill(os.getpid(), signal.SIGTERM)
        os.close(report_to)
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(nothing, fd)
        os.close(nothing)

    def mounted() -> None:
        os.setsid()
        os.chdir("/")

    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)  # for the log's thread too: one that lets them in is enough
        _close_all_but(*keep, report_to)
        lines = _log_to_syslog()
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
    patience = time.monotonic() + _UNDER_WAY
    while lines is not None and not lines.empty() and time.monotonic() < patience:
        time.sleep(0.01)
    os._exit(code)


def _close_all_but(*keep: int) -> None:
    """Closes what the caller's files left open, a lock perhaps: the daemon would hold it for as long as it lives."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and fd not in keep:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(fd)


def _log_to_syslog() -> queue.Queue[logging.LogRecord]:
    """Logs through a thread of its own: a syslog that has stopped must not stop us.

    Gives the lines still to be sent.
    """
    logging.raiseExceptions = False  # a log that cannot be written is no reason to write to where stderr was
    lines: queue.Queue[logging.LogRecord] = queue.Queue(limits.FINDINGS)
    handler: logging.Handler = logging.NullHandler()
    with contextlib.suppress(OSError):
        syslog = logging.handlers.SysLogHandler("/dev/log", logging.handlers.SysLogHandler.LOG_DAEMON)
        syslog.ident = f"isofs[{os.getpid()}]: "
        logging.handlers.QueueListener(lines, syslog).start()
        handler = logging.handlers.QueueHandler(lines)
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    return lines


# --- serving --------------------------------------------------------------------------------------------------------


def _serve(
    image: Image,
    volume: Volume,
    mountpoint: str,
    options: Options,
    mounted: Callable[[], None],
    ready: Callable[[], None],
    *,
    debug: bool,
) -> None:
    waiting = Waiting()

    def answered() -> None:
        if options.readahead is None:
            ready()
        else:  # the kernel takes its own size again when it has our answer
            trio.lowlevel.current_trio_token().run_sync_soon(_read_ahead, mountpoint, options.readahead, ready)
            waiting.tell()

    operations = Operations(volume, answered, waiting)
    # From here to the receivers a signal would leave a dead mount.
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    _init(operations, mountpoint, _libfuse_options(image, options, debug=debug))
    if options.spin and worthwhile() and not waiting.install():
        log.info("another pyfuse3 than those we know: waiting as it does")
    own = mount_at(mountpoint)
    telling = Telling(image, operations, options, mountpoint, own)
    try:
        mounted()

        def report(finding: Finding) -> None:
            log.warning("%s: byte %d: %s", image.path, finding.offset, finding.words)

        volume.findings.report = report
        never_wait()
        _one_arena()
        trio.run(_until_unmounted, own, operations, image, telling)
    finally:
        # By then the mount is out of the tree, or we crashed and it must stay there, dead.
        pyfuse3.close(unmount=False)


def _read_ahead(mountpoint: str, size: int, ready: Callable[[], None]) -> None:
    """Tells the kernel how far to read ahead on the mount, which only root may; then calls `ready`."""
    own = mount_at(mountpoint)
    path = f"/sys/class/bdi/{own.device if own else '?'}/read_ahead_kb"
    try:
        with open(path, "w") as setting:
            setting.write(str(size // limits.KIB))
    except OSError as error:
        log.warning("readahead stays as it is: %s: %s", path, error.strerror)
    ready()


def _one_arena() -> None:
    """Keeps glibc from giving each worker thread a heap of its own: 20 MB less of 1 GB read with a cache of 64 MB."""
    import ctypes

    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _libfuse_options(image: Image, options: Options, *, debug: bool) -> set[str]:
    allow_other = os.geteuid() == 0 if options.allow_other is None else options.allow_other
    source = source_of(os.path.abspath(image.path)).replace("\\", "\\\\").replace(",", "\\,")
    return {
        *("ro", "nosuid", "nodev", "default_permissions", "subtype=isofs", f"fsname={source}"),
        *options.libfuse,
        *(["allow_other"] if allow_other else []),
        *(["debug"] if debug else []),
    }


def _init(operations: Operations, mountpoint: str, options: set[str]) -> None:
    """Mounts. What libfuse and fusermount3 write to stderr becomes the reason of the error."""
    with _stderr_kept(show="debug" in options) as kept:
        try:
            pyfuse3.init(operations, mountpoint, options)
            return
        except RuntimeError as error:
            kept.seek(0)
            said = [line.strip() for line in kept.read().decode("utf-8", "replace").splitlines() if line.strip()]
            reason = said[-1] if said else str(error)
    if "user_allow_other" in reason:
        remedy = "the administrator can add the line user_allow_other to /etc/fuse.conf; or leave the option out"
        raise UsageError("allow_other is not allowed for users", remedy, path=mountpoint)
    if "no write access" in reason:
        raise UsageError(reason, "choose a directory of your own", path=mountpoint)
    if "failed to exec" in reason or "No such file" in reason:
        raise SystemRefused(reason, "install the package fuse3", path=mountpoint)
    raise MountFailed(reason, path=mountpoint)


@contextlib.contextmanager
def _stderr_kept(*, show: bool) -> Iterator[IO[bytes]]:
    """Keeps what C code writes to file descriptor 2, unless it is to be shown."""
    with open(os.memfd_create("stderr"), "w+b") as kept:
        if show:
            yield kept
            return
        sys.stderr.flush()
        saved = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield kept
        finally:
            os.dup2(saved, 2)
            os.close(saved)


async def _until_unmounted(own: Mount | None, operations: Operations, image: Image, telling: Telling) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(_end_on_signal, own, nursery.cancel_scope)
        await nursery.start(telling.on_signal)
        await nursery.start(telling.on_socket)
        nursery.start_soon(_rest, operations, image)
        await pyfuse3.main()
        nursery.cancel_scope.cancel()


async def _rest(operations: Operations, image: Image) -> None:
    """Gives memory back when no file has been open for a while."""
    while True:
        await operations.all_closed.wait()
        operations.all_closed = trio.Event()
        await trio.sleep(_REST)
        if not operations.open_files and not operations.all_closed.is_set():
            image.rest()


async def _end_on_signal(own: Mount | None, scope: trio.CancelScope, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(*_ENDING) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        task_status.started()
        async for number in signals:
            log.info("%s: unmounting", signal.Signals(number).name)
            break
        # `main` ends by itself when the last user has gone; another signal ends it at once.
        with trio.move_on_after(_BUSY):
            await trio.to_thread.run_sync(_detach, own, abandon_on_cancel=True)
            async for _ in signals:
                break
        pyfuse3.terminate()
        await trio.sleep(_UNDER_WAY)
        scope.cancel()  # workers that are stuck in storage are left behind


def _detach(own: Mount | None) -> None:
    """Takes our mount out of the tree, if it is still the uppermost one on its path."""
    try:
        if own is not None and mount_at(own.path) == own:
            unmount(own.path, lazily=True)
    except IsofsError as error:
        log.warning("%s", error)
