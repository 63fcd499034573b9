"""Mount, serve, end. `daemon` does it in the background.

SIGTERM, SIGINT and SIGHUP take the mount out of the tree at once, serve what is still open for ten seconds at most,
and end. A crash leaves a dead mount (ENOTCONN), never an empty directory that a mirror job would take for the truth.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic_ns
from typing import IO, Any, Final

import pyfuse3
import trio

from .. import limits
from ..errors import EXIT_SYSTEM, IsofsError, MountFailed, SystemRefused, UsageError
from ..image import Image
from ..image.source import never_wait
from ..volume.iso9660.names import printable
from ..volume.tree import Finding, Volume
from .daemon import in_background
from .log import to_stderr
from .mounts import Mount, handed_over, mount_at, mount_behind, remove_dead, source_of
from .notify import Manager
from .operations import Operations
from .options import Options
from .sandbox import Unmounter, fence
from .telling import SIGNALS, Telling
from .waiting import Waiting, worthwhile

_M_ARENA_MAX: Final = -8
_BUSY: Final = 10
"""Seconds that open files are served after a signal."""
_DESCRIPTORS: Final = 16
"""Descriptors that must be free for a mount to start; it keeps ten of them."""
_REST: Final = 5
"""Seconds without an open file after which memory is given back."""
_UNDER_WAY: Final = 1
"""Seconds for answers that are under way when serving ends."""

_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that end the mount."""
_BLOCKED: Final = (*_ENDING, *SIGNALS)
"""Signals that wait for their receivers."""

log = logging.getLogger("isofs")


def mount(
    image: Image, volume: Volume, mountpoint: str, options: Options, *, foreground: bool = False, debug: bool = False
) -> None:
    """Mounts a volume on a directory (a resolved path), or on the descriptor of `/dev/fd/N`.

    Returns when the mount answers; with `foreground` when it has ended. `debug` stays in the foreground too and shows
    each request. Raises `MountFailed`, `SystemRefused` and `UsageError`.
    """
    handed = handed_over(mountpoint)
    if handed is None:
        check_fuse()
    _check_descriptors()
    manager = Manager()

    def tell(pid: int) -> None:
        _look_at(mountpoint)
        manager.tell(READY=1, MAINPID=pid, STATUS=f"{printable(image.path)} on {printable(mountpoint)}")

    serve = partial(_serve, image, volume, mountpoint, options, manager, debug=debug)
    if foreground or debug:
        to_stderr(debug=debug)

        # By a thread, since the mount answers by this one.
        serve(lambda: None, threading.Thread(target=tell, args=(os.getpid(),), daemon=True).start)
    else:
        keep = [file.fileno() for file in image.files] + ([] if handed is None else [handed])
        try:
            pid = in_background(serve, keep, _BLOCKED)
        except IsofsError:
            if handed is None:
                with contextlib.suppress(IsofsError):
                    remove_dead(mountpoint)  # of a daemon that was killed before it answered
            raise
        tell(pid)  # here: an automount lets us through, and would not let the daemon


def _look_at(mountpoint: str) -> None:
    """Has the kernel learn the root's attributes: before that it holds no permissions, which an overlay would copy."""
    with contextlib.suppress(OSError):
        os.stat(mountpoint)


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


def _check_descriptors() -> None:
    """Raises `SystemRefused` where so few files may be open that starting would fail half-way."""
    taken: list[int] = []
    try:
        taken.extend(os.eventfd(0) for _ in range(_DESCRIPTORS))
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise SystemRefused(reason, "allow more, with ulimit -n or LimitNOFILE=") from None
    finally:
        for fd in taken:
            os.close(fd)


# --- serving --------------------------------------------------------------------------------------------------------


def _serve(
    image: Image,
    volume: Volume,
    mountpoint: str,
    options: Options,
    manager: Manager,
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
            trio.lowlevel.current_trio_token().run_sync_soon(_read_ahead, setting, options.readahead, ready)
            waiting.tell()

    operations = Operations(volume, answered, waiting, options, image.path)
    # From here to the receivers a signal would leave a dead mount.
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    _init(operations, mountpoint, _libfuse_options(image, options, debug=debug))
    handed = handed_over(mountpoint) is not None
    unmounter = Unmounter(None)
    prepared = False
    try:
        if options.spin and worthwhile() and not waiting.install():
            log.info("another pyfuse3 than those we know: waiting as it does")
        unmounter.own = own = mount_behind(mountpoint) if handed else mount_at(mountpoint)
        setting = None if options.readahead is None else _read_ahead_setting(own)
        telling = Telling(image, operations, options, mountpoint, own)
        mounted()

        def report(finding: Finding) -> None:
            log.warning("%s: byte %d: %s", printable(image.path), finding.offset, finding.words)

        volume.findings.report = report
        never_wait()
        _one_arena()
        sys.unraisablehook = _lost
        if options.sandbox:
            manager.connect()
            telling.prepare()
        prepared = True
        if options.sandbox:
            fence(unmounter)
        trio.run(_until_unmounted, unmounter, operations, image, telling, options, manager)
    finally:
        manager.tell(STOPPING=1, STATUS="unmounted")
        unmounter.close()
        # Out of the tree by then, or we crashed and it must stay there, dead; unless nobody could use it yet.
        pyfuse3.close(unmount=not prepared and not handed)


def _lost(error: Any) -> None:
    """Ends the process where pyfuse3 had no memory to call us: whoever asks would wait for an answer for ever."""
    if issubclass(error.exc_type, MemoryError):  # who called is not always told: that needs memory too
        os._exit(EXIT_SYSTEM)
    sys.__unraisablehook__(error)


def _read_ahead_setting(own: Mount | None) -> IO[str] | None:
    """Where the kernel is told how far to read ahead on the mount, which only root may."""
    path = f"/sys/class/bdi/{own.device if own else '?'}/read_ahead_kb"
    try:
        return open(path, "w")
    except OSError as error:
        log.warning("readahead stays as it is: %s: %s", path, error.strerror)
        return None


def _read_ahead(setting: IO[str] | None, size: int, ready: Callable[[], None]) -> None:
    """Tells the kernel; then calls `ready`."""
    if setting is not None:
        try:
            with setting:
                setting.write(str(size // limits.KIB))
        except OSError as error:
            log.warning("readahead stays as it is: %s: %s", setting.name, error.strerror)
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
        *(option.replace("\\", "\\\\").replace(",", "\\,") for option in options.libfuse),
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
        wish = "allow_root" if "allow_root" in options else "allow_other"
        raise UsageError(f"{wish} is not allowed for users", remedy, path=mountpoint)
    if "no write access" in reason:
        raise UsageError(reason, "choose a directory of your own", path=mountpoint)
    if "failed to exec" in reason or "No such file" in reason:
        raise SystemRefused(reason, "install the package fuse3", path=mountpoint)
    if any("context=" in option for option in options):
        raise MountFailed(reason, "does this kernel have SELinux? leave the context options out", path=mountpoint)
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


async def _until_unmounted(
    unmounter: Unmounter, operations: Operations, image: Image, telling: Telling, options: Options, manager: Manager
) -> None:
    unmounting = trio.Lock()
    operations.workers.start()
    async with trio.open_nursery() as nursery:
        await nursery.start(_end_on_signal, unmounter, unmounting, operations, manager, nursery.cancel_scope)
        await nursery.start(telling.on_signal)
        await nursery.start(telling.on_socket)
        nursery.start_soon(_rest, operations, image)
        if options.timeout and unmounter.own is not None:
            nursery.start_soon(_end_when_idle, unmounter, unmounting, operations, options.timeout)
        await pyfuse3.main()
        with trio.move_on_after(_UNDER_WAY):  # whoever has unmounted gets its answer
            async with unmounting:
                pass
        nursery.cancel_scope.cancel()


async def _end_when_idle(unmounter: Unmounter, unmounting: trio.Lock, operations: Operations, timeout: float) -> None:
    """Unmounts after `timeout` seconds without a request or an open file; `main` ends by itself then."""
    while True:
        idle = (monotonic_ns() - operations.last_request) / 1e9
        if operations.open_files or operations.open_directories:
            await trio.sleep(timeout)
        elif idle < timeout:
            await trio.sleep(timeout - idle)
        else:
            try:
                async with unmounting:
                    if await operations.workers.run(unmounter):
                        log.info("not used for %g seconds: unmounted", timeout)
                        return
            except (IsofsError, OSError):  # the working directory of a process, say
                pass
            await trio.sleep(timeout)


async def _rest(operations: Operations, image: Image) -> None:
    """Gives memory back when no file has been open for a while."""
    while True:
        await operations.all_closed.wait()
        operations.all_closed = trio.Event()
        await trio.sleep(_REST)
        if not operations.open_files and not operations.all_closed.is_set():
            image.rest()
            operations.reserve.take()


async def _end_on_signal(
    unmounter: Unmounter,
    unmounting: trio.Lock,
    operations: Operations,
    manager: Manager,
    scope: trio.CancelScope,
    task_status: trio.TaskStatus[None],
) -> None:
    with trio.open_signal_receiver(*_ENDING) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        task_status.started()
        async for number in signals:
            log.info("%s: unmounting", signal.Signals(number).name)
            manager.tell(STOPPING=1, STATUS=f"unmounting, {operations.open_files} files are open")
            break
        # `main` ends by itself when the last user has gone; another signal ends it at once.
        with trio.move_on_after(_BUSY):
            async with unmounting:
                await operations.workers.run(partial(_detach, unmounter))
            async for _ in signals:
                break
        pyfuse3.terminate()
        await trio.sleep(_UNDER_WAY)
        scope.cancel()  # workers that are stuck in storage are left behind


def _detach(unmounter: Unmounter) -> None:
    try:
        unmounter(lazily=True)
    except (IsofsError, OSError) as error:
        log.warning("%s", error)
