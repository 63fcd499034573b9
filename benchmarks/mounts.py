"""Fresh mounts for one measurement each. None stays behind, whatever happens."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from isofs.errors import IsofsError
from isofs.mount.mounts import mount_at, mounts, unmount

from .errors import BenchmarkError, note

_MOUNTED_WITHIN: Final = 60
"""Seconds for a mount command to return."""
_BUSY: Final = 5
"""Seconds that an unmount is tried before it is done lazily."""
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OUTLIVES: Final = 2
"""Seconds that a daemon may outlive its mount."""


class Mounted:
    """A mount that is usable."""

    def __init__(self, label: str, point: Path, seconds: float) -> None:
        self.label = label
        self.point = point
        self.start_seconds = seconds
        """From the start of the command to the first listing."""

    def memory(self) -> float | None:
        """MiB of its own (RssAnon) that the daemon has; None for the kernel."""
        kib = [_anonymous_kib(pid) for pid in processes_of(self.point)]
        return sum(kib) / 1024 if kib else None

    @contextlib.contextmanager
    def readahead(self, kib: int | None) -> Iterator[None]:
        """Sets what the kernel reads ahead on this mount, and puts it back. None, or a user, changes nothing."""
        if kib is None or os.geteuid() != 0:
            yield
            return
        device = self.point.stat().st_dev
        setting = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
        try:
            before = setting.read_text()
            setting.write_text(str(kib))
        except OSError as error:
            raise BenchmarkError(f"{setting}: {error.strerror}") from None
        try:
            yield
        finally:
            setting.write_text(before)  # a loop device keeps it


class Mounts:
    """Makes mounts below a folder of its own; at its end there are none."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="isofs-benchmarks-")).resolve()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Nobody's impatience may leave a mount behind.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
        try:
            for name in os.listdir(self._folder):
                point = self._folder / name
                _kill(processes_of(point))
                while mount_at(os.fspath(point)):
                    unmount(os.fspath(point), lazily=True)
                point.rmdir()
            self._folder.rmdir()
        except (IsofsError, OSError) as error:
            note(f"{self._folder}: not cleaned: {error}")
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def mount(self, label: str, command: Sequence[str], image: Path) -> Iterator[Mounted]:
        """Mounts an image with a command, in which `{image}` and `{dir}` are replaced. Raises `BenchmarkError`."""
        point = Path(tempfile.mkdtemp(dir=self._folder))
        words = [word.replace("{image}", os.fspath(image)).replace("{dir}", os.fspath(point)) for word in command]
        finished = False
        try:
            mounted = Mounted(label, point, _start(label, words, point))
            yield mounted
            finished = True
        finally:
            if not finished:
                _kill(() if mount_at(os.fspath(point)) else processes_of(point))
            _take_away(label, point)


def left_behind() -> list[str]:
    """Mounts of runs that were killed."""
    prefix = os.path.join(os.path.realpath(tempfile.gettempdir()), "isofs-benchmarks-")
    return [mount.path for mount in mounts() if mount.path.startswith(prefix)]


def processes_of(point: Path) -> list[int]:
    """The processes that have this mount point among their arguments."""
    wanted = os.fsencode(point)
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError):  # it has ended
                if wanted in Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0"):
                    found.append(int(name))
    return found


def _anonymous_kib(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
    return 0


def _start(label: str, words: Sequence[str], point: Path) -> float:
    """Runs a mount command and gives the seconds until the mount answered."""
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        try:
            # A session of its own: Ctrl-C is our business, and reaches no daemon.
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )
        except OSError as error:
            raise BenchmarkError(f"{label}: {words[0]}: {error.strerror}") from None
        ended = os.pidfd_open(process.pid)
        try:
            in_time = bool(select.select([ended], [], [], _MOUNTED_WITHIN)[0])
        finally:
            os.close(ended)
            if process.poll() is None:
                process.kill()
                process.wait()
        if not in_time:
            raise BenchmarkError(f"{label}: the mount command did not return within {_MOUNTED_WITHIN} s")
        if process.returncode == 0:
            try:
                os.listdir(point)
            except OSError as error:
                raise BenchmarkError(f"{label}: the mount does not answer: {error.strerror}") from None
        seconds = time.perf_counter() - started
        if process.returncode or not mount_at(os.fspath(point)):
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else "it does not say why"
            raise BenchmarkError(f"{label}: the mount command failed ({process.returncode}): {reason}")
    return seconds


def _take_away(label: str, point: Path) -> None:
    """Unmounts, and waits for the daemon's end."""
    path = os.fspath(point)
    patience = time.monotonic() + _BUSY
    while mount_at(path):
        try:
            unmount(path)
        except IsofsError as error:
            if time.monotonic() > patience:
                note(f"{label}: {error}; unmounted lazily")
                unmount(path, lazily=True)
            time.sleep(0.02)
    patience = time.monotonic() + _OUTLIVES
    while alive := processes_of(point):
        if time.monotonic() > patience:
            note(f"{label}: its process {alive[0]} is still there {_OUTLIVES} s after the unmount; it is killed")
            _kill(alive)
            break
        time.sleep(0.005)
    point.rmdir()


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
