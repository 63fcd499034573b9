"""The fence around the daemon: once mounted, it holds only what it uses.

Everything that is read later is open by then: the image's files, the FUSE device, the sockets, what the log needs. So
just before the first request is answered, while there is one thread, the process gives up all else, for good:

- capabilities, the bounding set too, and the gaining of privileges by programs (no_new_privs);
- all files but the program's own code (Landlock): it opens none, not even for reading, connects to no TCP port and to
  no abstract socket, and signals no other process, as far as the kernel knows these (Linux 5.13, 6.7 and 6.12);
- programs, processes of its own, looks into other processes and limits for them, and sockets but Unix datagrams, which
  syslog takes (seccomp; x86-64 and arm64).

What a kernel does not have is passed over and told in the log; a mount never fails of it.

Inside the fence nothing can be unmounted: Landlock denies it even to root, and no_new_privs has fusermount3 run without
its rights. So a process is started before, outside the fence: `Unmounter`. It is a shell that waits for a line, a tenth
of a megabyte. At that line it runs this module as a program, which looks whether the mount is still ours and takes it
out of the tree. It knows this one mount and nothing else, so whoever gets hold of the daemon can ask it to unmount what
the daemon serves, and no more. It ends with the daemon, whatever ends that.

Modules may be imported later, a codec with the first file that needs it: Python, isofs and the system's libraries stay
readable. `_LATER` has those that are needed at nearly every mount.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shlex
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

from ..errors import IsofsError, MountFailed
from .mounts import Mount, mount_at, unmount

log = logging.getLogger("isofs")

_LATER: Final = ("isofs.image.plain", "isofs.image.places", "isofs.image.sheets.tracks", "tokenize", "traceback")
"""Modules that are needed while serving at the earliest: for a file that is read, for a line of the log."""
_LAST: Final = 1
"""Seconds for the process outside to end."""
_OURS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that are meant for the daemon."""

# --- the fence ------------------------------------------------------------------------------------------------------

_PR_CAPBSET_DROP: Final = 24
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAP_DAC_READ_SEARCH: Final = 2
_CAP_SYS_ADMIN: Final = 21
_CAPABILITY_VERSION_3: Final = 0x20080522
_CAPABILITIES: Final = 64

_LANDLOCK_CREATE_RULESET: Final = 444
_LANDLOCK_ADD_RULE: Final = 445
_LANDLOCK_RESTRICT_SELF: Final = 446
_LANDLOCK_RULE_PATH_BENEATH: Final = 1
_READ: Final = 1 << 2
_READ_DIRECTORY: Final = 1 << 3
_LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
"""Where the system has its libraries."""
_LANDLOCK_CREATE_RULESET_VERSION: Final = 1
_ACCESS_FS: Final = ((5, 16), (3, 15), (2, 14), (1, 13))
"""From which version of Landlock on how many rights to files can be denied."""
_ACCESS_NET: Final = (4, 0b11)
_SCOPED: Final = (6, 0b11)


class _System:
    """System calls that Python does not have; each raises `OSError`."""

    def __init__(self) -> None:
        import ctypes

        self._ctypes = ctypes
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.syscall.restype = ctypes.c_long

    def prctl(self, *words: Any) -> None:
        """Changes this thread."""
        longs = [self._ctypes.c_ulong(word) if isinstance(word, int) else word for word in words]
        self._checked(self._libc.prctl(*longs, *[self._ctypes.c_ulong(0)] * (5 - len(longs))))

    def syscall(self, *words: Any) -> int:
        """Any call, by its number."""
        longs = [self._ctypes.c_long(word) if isinstance(word, int) else word for word in words]
        return self._checked(self._libc.syscall(*longs))

    def capset(self, *words: bytes) -> None:
        """Changes the capabilities of this thread."""
        self._checked(self._libc.capset(*words))

    def buffer(self, data: bytes) -> Any:
        """Bytes that stay where they are as long as the result does."""
        return self._ctypes.create_string_buffer(data, len(data))

    def address(self, buffer: Any) -> int:
        """Where a buffer lies."""
        return self._ctypes.addressof(buffer)

    def _checked(self, result: int) -> int:
        if result < 0:
            number = self._ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result


def enter() -> list[str]:
    """Puts this thread, and those that it starts, behind the fence. Gives what could not be had, and why.

    Whatever needs a file has happened by then.
    """
    for name in _LATER:
        import_module(name)
    missing = []
    others = len(os.listdir("/proc/self/task")) - 1
    if others:
        missing.append(f"{others} threads (started before it)")
    try:
        system = _System()
        with contextlib.suppress(OSError):  # else it is loaded when a thread is ended from outside, or not at all
            import ctypes

            ctypes.CDLL("libgcc_s.so.1")
    except (ImportError, OSError, AttributeError) as error:
        return [str(error)]
    steps: tuple[tuple[str, Callable[[_System], None]], ...] = (
        ("capabilities", _drop_capabilities),
        ("no_new_privs", _no_new_privileges),
        ("Landlock", _deny_files),
        ("seccomp", _deny_calls),
    )
    for name, step in steps:
        try:
            step(system)
        except OSError as error:
            missing.append(f"{name} ({error.strerror})")
    return missing


def fence(unmounter: Unmounter) -> None:
    """Starts the process outside, and enters. What cannot be had is told, and the mount goes on."""
    try:
        unmounter.start()
    except (OSError, NotImplementedError, ImportError, AttributeError) as error:
        log.info("no sandbox: %s", error)
        return
    missing = enter()
    if missing:
        log.info("sandbox without %s", ", ".join(missing))


def _narrow(system: _System) -> None:
    """As root: gives up what unmounting does not need, for this process and those that it starts."""
    for capability in set(range(_CAPABILITIES)) - {_CAP_DAC_READ_SEARCH, _CAP_SYS_ADMIN}:
        with contextlib.suppress(OSError):  # there are not so many, or we may not
            system.prctl(_PR_CAPBSET_DROP, capability)
    with contextlib.suppress(OSError):
        _no_new_privileges(system)


def _drop_capabilities(system: _System) -> None:
    for capability in range(_CAPABILITIES):
        with contextlib.suppress(OSError):  # as above
            system.prctl(_PR_CAPBSET_DROP, capability)
    with contextlib.suppress(OSError):
        system.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    system.capset(struct.pack("Ii", _CAPABILITY_VERSION_3, 0), bytes(24))


def _no_new_privileges(system: _System) -> None:
    system.prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _deny_files(system: _System) -> None:
    """A Landlock ruleset: nothing that it handles is allowed but reading code."""
    version = system.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    bits = next(bits for since, bits in _ACCESS_FS if version >= since)
    others = (mask if version >= since else 0 for since, mask in (_ACCESS_NET, _SCOPED))
    attributes = struct.pack("QQQ", (1 << bits) - 1, *others)  # kernels that know less take zeros
    rules = system.syscall(_LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path in _code():
            _allow_reading(system, rules, path)
        system.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _code() -> set[str]:
    """Folders, and a file, with what may be imported: the standard library, packages, isofs, libraries."""
    import trio  # which is there, beside the other packages; who only unmounts does without

    isofs = os.path.dirname(os.path.dirname(__file__))
    return {
        os.path.dirname(os.__file__),
        os.path.dirname(trio.__path__[0]),
        isofs,
        f"{sys.base_prefix}/lib",
        *_LIBRARIES,
    }


def _allow_reading(system: _System, rules: int, path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rights = _READ | (_READ_DIRECTORY if os.path.isdir(path) else 0)
            rule = struct.pack("=Qi", rights, place)
            system.syscall(_LANDLOCK_ADD_RULE, rules, _LANDLOCK_RULE_PATH_BENEATH, rule, 0)
        finally:
            os.close(place)


# --- system calls ---------------------------------------------------------------------------------------------------

MACHINES: Final = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
"""What the kernel calls the machines whose numbers are known (AUDIT_ARCH_...)."""
FORBIDDEN: Final = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, -1),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "keyctl": (250, 219),
    "modify_ldt": (154, -1),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "request_key": (249, 218),
    "setns": (308, 268),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vfork": (58, -1),
}
"""System calls that are answered with EPERM, and their numbers on `MACHINES`; -1: there is none."""
LOOKED_AT: Final = {"clone": (56, 220), "clone3": (435, 435), "prlimit64": (302, 261), "socket": (41, 198)}
"""Those whose arguments decide: threads, limits of its own and Unix datagrams are allowed."""
_X32: Final = 0x4000_0000
_CLONE_THREAD: Final = 0x1_0000
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24
"""Where `struct seccomp_data` has what is asked."""
_LOAD, _EQUAL, _AT_LEAST, _ANY_OF, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
"""Instructions: BPF_LD|W|ABS, BPF_JMP|JEQ, JGE and JSET|K, BPF_ALU|AND|K, BPF_RET|K."""
_ERRNO: Final = 0x0005_0000
_ALLOW: Final = 0x7FFF_0000
_MODE_FILTER: Final = 2

_Step = tuple[int, int, str, str]
"""An instruction, its number, and where to go on if it is true and if not: a label, or "" for the next one."""


def program(machine: str) -> bytes:
    """The seccomp filter for a machine; clone3 is told not to exist, since its arguments cannot be looked at."""
    column = list(MACHINES).index(machine)
    known = {name: numbers[column] for name, numbers in LOOKED_AT.items()}
    forbidden = [numbers[column] for numbers in FORBIDDEN.values() if numbers[column] >= 0]
    steps: list[_Step | str] = [
        (_LOAD, _ARCHITECTURE, "", ""),
        (_EQUAL, MACHINES[machine], "", "deny"),
        (_LOAD, _NUMBER, "", ""),
        *([(_AT_LEAST, _X32, "deny", "")] if machine == "x86_64" else []),
        *((_EQUAL, number, "deny", "") for number in forbidden),
        (_EQUAL, known["clone3"], "unknown", ""),
        (_EQUAL, known["clone"], "clone", ""),
        (_EQUAL, known["prlimit64"], "limits", ""),
        (_EQUAL, known["socket"], "socket", "allow"),
        "clone",
        (_LOAD, _FIRST, "", ""),
        (_ANY_OF, _CLONE_THREAD, "allow", "deny"),
        "limits",
        (_LOAD, _FIRST, "", ""),
        (_EQUAL, 0, "allow", "deny"),  # a limit of another process can end it
        "socket",
        (_LOAD, _FIRST, "", ""),
        (_EQUAL, socket.AF_UNIX, "", "deny"),
        (_LOAD, _SECOND, "", ""),
        (_AND, 0xF, "", ""),  # without SOCK_NONBLOCK and SOCK_CLOEXEC
        (_EQUAL, socket.SOCK_DGRAM, "allow", "deny"),
        "allow",
        (_RETURN, _ALLOW, "", ""),
        "deny",
        (_RETURN, _ERRNO | errno.EPERM, "", ""),
        "unknown",
        (_RETURN, _ERRNO | errno.ENOSYS, "", ""),
    ]
    return _assembled(steps)


def _assembled(steps: Sequence[_Step | str]) -> bytes:
    labels: dict[str, int] = {}
    instructions: list[_Step] = []
    for step in steps:
        if isinstance(step, str):
            labels[step] = len(instructions)
        else:
            instructions.append(step)
    code = b""
    for at, (kind, number, true, false) in enumerate(instructions):
        over = [labels[label] - at - 1 if label else 0 for label in (true, false)]
        code += struct.pack("HBBI", kind, *over, number)
    return code


def _deny_calls(system: _System) -> None:
    machine = os.uname().machine
    if machine not in MACHINES or struct.calcsize("P") != 8:
        raise OSError(errno.ENOSYS, f"not for {machine}")
    code = program(machine)
    instructions = system.buffer(code)
    words = system.buffer(struct.pack("HxxxxxxP", len(code) // 8, system.address(instructions)))
    system.prctl(_PR_SET_SECCOMP, _MODE_FILTER, words)


# --- unmounting -----------------------------------------------------------------------------------------------------

_WAITING: Final = 'while read -r how; do "$@" "$how" || echo "isofs cannot be run any more"; done'
"""The shell's part. Each line of its input is answered with one."""
_DONE, _COVERED = b"done\n", b"covered\n"
"""Answers of the program, besides a reason and its remedy."""
_PROGRAM: Final = "import sys; sys.path.append(sys.argv[1]); from isofs.mount.sandbox import main; main()"


def take_out(device: str, path: str, *, lazily: bool = False) -> bool:
    """Takes a mount out of the tree. False if it is not the uppermost one on its path. Raises what `unmount` does."""
    above = mount_at(path)
    if above is None or above.device != device:
        return False
    unmount(path, lazily=lazily)
    return True


class Unmounter:
    """Unmounts one mount: by itself, or after `start` by a process outside the fence."""

    def __init__(self, own: Mount | None) -> None:
        self.own = own
        """The mount, as far as it is known."""
        self._process = 0
        self._connection: socket.socket | None = None
        self._turn = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Starts that process, while it may still be started. Raises `OSError`."""
        if self.own is None:
            return
        if not (os.access(sys.executable, os.X_OK) and os.access(__file__, os.R_OK)):  # after setuid=, perhaps
            raise PermissionError(errno.EACCES, "this user cannot run isofs anew, to unmount", sys.executable)
        if not os.geteuid():
            _narrow(_System())
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            try:
                self._process = os.posix_spawn("/bin/sh", _words(self.own), os.environ, **_apart(theirs.fileno()))
            except BaseException:
                ours.close()
                raise
        self._connection = ours

    def __call__(self, *, lazily: bool = False) -> bool:
        """Takes the mount out of the tree. False if it is not the uppermost one on its path, or is not known.

        May wait. Raises `IsofsError` and `OSError`.
        """
        if self.own is None:
            return False
        if self._connection is None:
            return take_out(self.own.device, self.own.path, lazily=lazily)
        with self._turn:
            answer = b""
            with contextlib.suppress(OSError):
                self._connection.sendall(b"lazily\n" if lazily else b"now\n")
                while not answer.endswith(b"\n") and (piece := self._connection.recv(4096)):
                    answer += piece
        if self._closed or answer in (_DONE, _COVERED):
            return answer == _DONE
        reason, _, remedy = os.fsdecode(answer.rstrip(b"\n")).partition("\t")
        again = f"run: isofs umount {shlex.quote(self.own.path)}"
        raise MountFailed(reason or "the process that unmounts has gone", remedy or again, path=self.own.path)

    def close(self) -> None:
        """Ends that process, and waits for it a moment."""
        self._closed = True
        if self._connection is None:
            return
        self._connection.shutdown(socket.SHUT_RDWR)
        from .stats import ended  # imported long since, by who serves

        with contextlib.suppress(OSError):
            if ended(os.pidfd_open(self._process), _LAST):
                os.waitpid(self._process, os.WNOHANG)


def _words(own: Mount) -> list[str]:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    program = [sys.executable, "-SP", "-c", _PROGRAM, root, own.device, own.path]
    return ["sh", "-c", _WAITING, "isofs-unmounter", *program]


def _apart(connection: int) -> dict[str, Any]:
    """A session of its own, no signals, no files but the connection."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2:
            with contextlib.suppress(OSError):  # the listing's own
                os.set_inheritable(fd, False)
    null = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
    files = [(os.POSIX_SPAWN_DUP2, connection, 0), (os.POSIX_SPAWN_DUP2, connection, 1), null]
    return {"file_actions": files, "setsid": True, "setsigmask": _OURS}


def main() -> None:
    """The program that is run outside the fence."""
    _, _, device, path, how = sys.argv
    try:
        answer = _DONE if take_out(device, path, lazily=how == "lazily") else _COVERED
    except IsofsError as error:
        answer = os.fsencode(f"{error.reason}\t{error.remedy}".replace("\n", " ")) + b"\n"
    except Exception as error:
        answer = os.fsencode(repr(error)) + b"\n"
    os.write(1, answer)
