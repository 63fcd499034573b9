"""A real systemd as PID 1 of namespaces of its own, over a copy of the root file system that is thrown away.

Root of the machine is an overlay over `/` whose changes lie in memory; it has its own /dev, with FUSE for everybody,
and its own processes, mounts, network and control groups. Nothing of it is left when it stops, whatever happens: its
PID 1 dies with the process that started it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from .overlay import ENTER, LAYERS, arguments
from .tools import PRIVATE_MOUNTS, require

_SYSTEMD: Final = "/lib/systemd/systemd"
_BOOT: Final = 60.0
"""Seconds after which a system that is still not up is a failure."""
_SHUTDOWN: Final = 60.0
_COMMAND: Final = 60.0
_ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
    "SYSTEMD_COLORS": "0",
    "SYSTEMD_PAGER": "",
    "SYSTEMD_URLIFY": "0",
}

_START: Final = rf"""{LAYERS}
mkdir root/dev/pts
for number in "0 stdin" "1 stdout" "2 stderr"; do
    set -- $number
    ln -s "fd/$1" "root/dev/$2"
done
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts root/dev/pts
ln -s pts/ptmx root/dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs root/dev/shm
mount -t proc proc root/proc
mount --bind root/proc/sys root/proc/sys # settings of the kernel are those of the machine around it, too
mount -o remount,bind,ro root/proc/sys
mount -t sysfs -o ro sysfs root/sys
mount -t cgroup2 cgroup2 root/sys/fs/cgroup
mkdir root/run/lock

# None of the services of the machine around it, nor its file systems.
rm -f root/etc/systemd/system/*.wants/* root/etc/rc?.d/S*
for unit in systemd-udevd systemd-networkd systemd-resolved systemd-timesyncd getty@tty1 console-getty; do
    ln -sf /dev/null "root/etc/systemd/system/$unit.service"
done
ln -sf /dev/null root/etc/tmpfiles.d/tmp.conf # /tmp is not emptied: folders of ours may be there
rm -f root/etc/hostname root/etc/machine-id
echo machine >root/etc/hostname
echo 0123456789abcdef0123456789abcdef >root/etc/machine-id
cp -RP ../files/. root
{ENTER}
mount --make-rshared / # as PID 1 of a real machine does; whether others see a mount depends on it
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    /lib/systemd/systemd --system --log-target=journal --show-status=0 --unit=multi-user.target
"""


class Machine:
    """A booted system."""

    def __init__(self, pid: int, boot: float, unshare: subprocess.Popen[bytes]) -> None:
        self.boot: Final = boot
        """Seconds that it took until it had started all that it should, or had failed to."""
        self._unshare = unshare
        # fmt: off
        self._enter = ["nsenter", "--target", str(pid), "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup",
                       "--root", "--wd", "--"]
        # fmt: on

    def popen(self, *words: str, user: str = "") -> subprocess.Popen[str]:
        """Starts a command in the machine, as root or as a user who is logged in."""
        if user:
            bus = f'XDG_RUNTIME_DIR=/run/user/$(id -u) HOME=$(getent passwd {user} | cut -d: -f6); cd "$HOME"'
            words = ("runuser", "-u", user, "--", "sh", "-c", f"export {bus} && exec {shlex.join(words)}")
        return subprocess.Popen(
            [*self._enter, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_ENVIRONMENT,
            text=True,
            errors="replace",
        )

    def run(self, *words: str, user: str = "") -> tuple[int, str]:
        """Exit code and output of a command, stdout and stderr together."""
        process = self.popen(*words, user=user)
        try:
            said, _ = process.communicate(timeout=_COMMAND)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            raise AssertionError(f"{shlex.join(words)} did not end within {_COMMAND:.0f} s:\n{said}") from None
        return process.returncode, said

    def does(self, *words: str, user: str = "") -> str:
        """The output of a command, which must succeed."""
        code, said = self.run(*words, user=user)
        assert code == 0, f"{shlex.join(words)} ended with {code}:\n{said}"
        return said

    def write(self, path: str, text: str) -> None:
        """Writes a file, and makes its folder."""
        self.does("sh", "-c", 'mkdir -p "$(dirname "$1")" && printf %s "$2" >"$1"', "sh", path, text)

    def property(self, unit: str, name: str, *, user: str = "") -> str:
        """A property of a unit, as systemctl shows it."""
        scope = ["--user"] if user else []
        return self.does("systemctl", *scope, "show", "--property", name, "--value", unit, user=user).strip()

    def source(self, point: str) -> str:
        """What PID 1 sees mounted on a directory, FUSE only; empty for nothing."""
        table = self.does("cat", "/proc/1/mountinfo")
        escaped = re.escape(point.replace(" ", "\\040"))
        found = re.findall(rf"(?m)^\S+ \S+ \S+ \S+ {escaped} .* - fuse\.isofs (\S+) ", table)
        return found[-1] if found else ""

    def power_off(self) -> float:
        """Shuts the system down as its user would; seconds until it was off."""
        start = time.monotonic()
        self.run("systemctl", "poweroff")
        self._unshare.wait(_SHUTDOWN)
        return time.monotonic() - start


def require_boot() -> None:
    """Skips the test where no system can be booted."""
    if os.geteuid():
        pytest.skip("needs root: only root may make the namespaces of a machine")
    for tool in ("unshare", "nsenter", "setpriv", "/dev/fuse", PRIVATE_MOUNTS):
        require(tool)
    if not os.access(_SYSTEMD, os.X_OK) or shutil.which("systemctl") is None:
        pytest.skip("needs systemd: install systemd, systemd-sysv, dbus and libpam-systemd")
    if _control_groups() is None:
        pytest.skip("needs cgroup2: mount it, at /sys/fs/cgroup/unified say, or give it to the container writable")
    known = Path("/proc/filesystems").read_text()
    for name in ("overlay", "autofs"):
        if not re.search(rf"(?m)\t{name}$", known) and subprocess.run(["modprobe", name], check=False).returncode:
            pytest.skip(f"needs {name}: load this module of the kernel")


def _control_groups() -> Path | None:
    """Where control groups of version 2 can be made."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        path = fields.split()[4]
        if rest.startswith("cgroup2 ") and os.access(path, os.W_OK) and "rw" in fields.split()[5].split(","):
            return Path(path)
    return None


@contextmanager
def booted(directory: Path) -> Iterator[Machine]:
    """A machine whose root has got the content of `directory/files`, up and running.

    Folders and files of it belong to root and have the modes that the umask gives.
    """
    hierarchy = _control_groups()
    assert hierarchy is not None
    group = hierarchy / f"isofs-test-{os.getpid()}"
    group.mkdir()
    (directory / "layers").mkdir()
    # fmt: off
    words = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--ipc", "--uts", "--net",
             "--cgroup", "--propagation", "private", "--kill-child", "sh", "-c", _START, "sh",
             *arguments(directory / "layers")]
    # fmt: on
    log = directory / "boot.log"
    start = time.monotonic()
    with log.open("wb") as said:
        unshare = subprocess.Popen(
            ["sh", "-c", 'echo $$ >"$0" && exec "$@"', group / "cgroup.procs", *words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        pid = _init_of(unshare, log)
        machine = Machine(pid, 0, unshare)
        state = ""
        while state not in ("running", "degraded"):
            assert unshare.poll() is None, f"the machine has died: {log.read_text()}"
            assert time.monotonic() - start < _BOOT, f"not up after {_BOOT:.0f} s, but {state!r}: {log.read_text()}"
            time.sleep(0.05)
            _, state = machine.run("systemctl", "is-system-running")
            state = state.strip()
        yield Machine(pid, time.monotonic() - start, unshare)
    finally:
        unshare.kill()
        unshare.wait()
        _remove_group(group)


def _init_of(unshare: subprocess.Popen[bytes], log: Path) -> int:
    """The process that is PID 1, once it is systemd."""
    children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
    until = time.monotonic() + _BOOT
    while time.monotonic() < until:
        assert unshare.poll() is None, f"the machine did not start: {log.read_text()}"
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in children.read_text().split():
                if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    return int(child)
        time.sleep(0.01)
    raise AssertionError(f"the machine did not start within {_BOOT:.0f} s: {log.read_text()}")


def _remove_group(group: Path) -> None:
    """Removes the machine's control groups, when the last of its processes has gone."""
    until = time.monotonic() + _SHUTDOWN
    while True:
        for folder, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)
        if not group.exists():
            return
        assert time.monotonic() < until, f"processes stay behind in {group}"
        time.sleep(0.02)
