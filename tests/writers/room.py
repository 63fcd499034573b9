"""A mount namespace over a copy of the root file system that is thrown away: its own /etc, /sbin, /dev/fuse, /run.

mount(8), fstab, fusermount3 and users other than root work in it as on a real machine, and nothing of it is seen or
left outside. Processes are those of the machine.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from .mounting import LIMIT, alive, wait_until
from .overlay import ENTER, LAYERS, arguments, program
from .tools import IN_PRIVATE, PRIVATE_MOUNTS, require

USER: Final = 65534
"""The user nobody."""
STRANGER: Final = 12345
"""A user without an account."""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_FURNISH: Final = f"""{LAYERS}
for folder in proc sys; do
    mount --rbind "/$folder" "root/$folder"
done
rm -f root/etc/fuse.conf root/sbin/mount.isofs root/sbin/mount.fuse.isofs
mkdir -p root/disc root/changes
chmod 755 root/disc
: >root/etc/fstab
mount --bind upper root/changes
{ENTER}
echo furnished
exec sleep infinity
"""


class Mounted(NamedTuple):
    """A line of /proc/mounts."""

    source: str
    path: str
    kind: str
    options: frozenset[str]


class Room:
    """A furnished namespace. Its files can be reached from outside by `outside`; `/disc` is empty and for all."""

    def __init__(self, pid: int) -> None:
        self._keeper: Final = pid
        self._root: Final = Path(f"/proc/{pid}/root")
        self.enter: Final = ("nsenter", "--target", str(pid), "--mount", "--root", "--wd")
        """Runs what follows in the room."""

    def outside(self, path: str | Path) -> Path:
        """The path by which the tests' own process finds a file of the room."""
        return self._root / os.fspath(path).lstrip("/")

    def words(
        self, *words: str | bytes | Path, user: int = 0, cwd: str = "/", env: dict[str, str] | None = None
    ) -> list[str | bytes | Path]:
        """The words that run a command in the room, as a user, in an environment of its own."""
        as_user: Sequence[str] = ()
        if user:
            as_user = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
        setting = [f"{name}={value}" for name, value in ({"PATH": _PATH} if env is None else env).items()]
        return [*self.enter, "env", "-C", cwd, *as_user, "env", "-i", *setting, *words]

    def run(
        self, *words: str | bytes | Path, user: int = 0, cwd: str = "/", env: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command in the room."""
        done = subprocess.run(
            self.words(*words, user=user, cwd=cwd, env=env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
        return done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr)

    def popen(self, *words: str | bytes | Path, user: int = 0) -> subprocess.Popen[bytes]:
        """Starts a command in the room, with pipes to its stdin and from its stdout."""
        return subprocess.Popen(self.words(*words, user=user), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def does(self, *words: str | bytes | Path, user: int = 0, cwd: str = "/", env: dict[str, str] | None = None) -> str:
        """The output of a command, which must succeed and say nothing else."""
        code, out, err = self.run(*words, user=user, cwd=cwd, env=env)
        assert (code, err) == (0, ""), f"{words}: {code} {out}{err}"
        return out

    def fails(
        self, code: int, *words: str | bytes | Path, user: int = 0, cwd: str = "/", env: dict[str, str] | None = None
    ) -> str:
        """The one line that a command writes to stderr, and nothing else, when it ends with this code."""
        found, out, err = self.run(*words, user=user, cwd=cwd, env=env)
        assert (found, out, err.count("\n")) == (code, "", 1), f"{words}: {found} {out}{err}"
        return err.rstrip("\n")

    def mounts(self) -> list[Mounted]:
        """The mounts below `/disc`, in the order in which they were made."""
        found = []
        for line in (self._root.parent / "mounts").read_bytes().splitlines():
            source, path, kind, options = (
                os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), word))
                for word in line.split()[:4]
            )
            if path.startswith("/disc/"):
                found.append(Mounted(source, path, kind, frozenset(options.split(","))))
        return found

    def mount(self) -> Mounted:
        """The one mount that there is."""
        (mount,) = self.mounts()
        return mount

    def processes(self) -> list[int]:
        """The processes of the room, without the one that keeps it."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                inside = os.path.samefile(f"/proc/{name}/root", self._root)
                if inside and int(name) != self._keeper and alive(int(name)):
                    found.append(int(name))
        return found

    def daemons(self) -> list[int]:
        """Those that serve."""
        found = []
        for pid in self.processes():
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if any(word.endswith(b"isofs") for word in words[:2]):
                    found.append(pid)
        return found

    def daemon(self) -> int:
        """The one daemon that there is."""
        (pid,) = self.daemons()
        return pid

    def kill(self) -> None:
        """Kills the daemon, and waits until it has died.

        A fusermount3 that watches it is stopped meanwhile: where it looks before the kernel has closed the connection
        it takes the mount for a living one, and goes away.
        """
        pid = self.daemon()
        watchers = [each for each in self.processes() if Path(f"/proc/{each}/comm").read_text() == "fusermount3\n"]
        for each in watchers:
            os.kill(each, signal.SIGSTOP)
        try:
            threads = list(map(int, os.listdir(f"/proc/{pid}/task")))
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not any(map(alive, threads)), "the daemon dies")
        finally:
            for each in watchers:
                os.kill(each, signal.SIGCONT)

    def all_gone(self) -> None:
        """Waits until there is neither a mount nor a process."""
        wait_until(lambda: not self.mounts(), "the mounts go")
        wait_until(lambda: not self.processes(), "the daemons end")

    def files(self) -> set[str]:
        """Files and empty folders of the room that the machine around it has not, but for `/disc` and bytecode."""
        found: set[str] = set()
        for start in ("/changes", "/run", "/dev"):
            for folder, folders, names in os.walk(self.outside(start)):
                about = folder.removeprefix(os.fspath(self._root))
                if not about.startswith("/changes/disc") and "__pycache__" not in about:
                    found.update(f"{about}/{name}" for name in names)
                    if not (folders or names or os.path.exists(about.removeprefix("/changes"))):
                        found.add(about)
        return found

    def point(self, name: str = "mnt", *, owner: int = 0) -> str:
        """A new directory below `/disc`."""
        path = self.outside(f"/disc/{name}")
        path.mkdir()
        os.chown(path, owner, owner)
        return f"/disc/{name}"

    def clean(self) -> None:
        """Takes away what a test has mounted and written below `/disc`; its daemons must end by themselves."""
        for mount in reversed(self.mounts()):
            self.run("umount", "-l", "-i", mount.path)
        left = self.processes()
        try:
            wait_until(lambda: not any(map(alive, left)), f"processes {left} end")
        finally:
            for pid in filter(alive, left):
                os.kill(pid, signal.SIGKILL)
            for path in self.outside("/disc").iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextmanager
def furnished(directory: Path) -> Iterator[Room]:
    """A room, with `isofs` in /usr/local/bin, and `mount.isofs` in /sbin."""
    for tool in ("nsenter", "setpriv", "/dev/fuse", PRIVATE_MOUNTS):
        require(tool)
    keeper = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *IN_PRIVATE, "sh", "-c", _FURNISH, "sh", *arguments(directory)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"furnished\n"
        room = Room(keeper.pid)
        for name in ("usr/local/bin/isofs", "usr/sbin/mount.isofs"):
            room.outside(name).unlink(missing_ok=True)
            room.outside(name).symlink_to(program())
        yield room
    finally:
        keeper.kill()
        keeper.communicate()
