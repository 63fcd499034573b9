"""The fence around the daemon: what nobody behind it can do. Each question is asked in a process of its own."""

from __future__ import annotations

import ast
import errno
import json
import os
import re
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from isofs.mount import sandbox
from isofs.mount.options import parse_options

PACKAGE: Final = Path(sandbox.__file__).parents[1]
INSIDE: Final = """
import errno, json, logging, os, resource, signal, socket, subprocess, sys, threading
from isofs.mount import sandbox
def number(question):
    try:
        question()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
def tell(**facts):
    print(json.dumps(facts), flush=True)
"""


def inside(code: str, *words: str) -> dict[str, Any]:
    """What a program tells that knows the names of `INSIDE`."""
    done = subprocess.run(
        # A fork beside a thread is tried, of which Python 3.12 warns.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", INSIDE + textwrap.dedent(code), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


# --- what is denied, and what is not --------------------------------------------------------------------------------

DENIED: Final = {
    "lambda: open('/etc/passwd')": "EACCES",
    "lambda: open('/dev/null')": "EACCES",
    "lambda: open('/proc/self/mem')": "EACCES",
    "lambda: os.listdir('/')": "EACCES",
    "lambda: os.mkdir(sys.argv[1] + '/new')": "EACCES",
    "lambda: os.unlink(sys.argv[1] + '/old')": "EACCES",
    "lambda: os.truncate(sys.argv[1] + '/older', 0)": "EACCES",
    "lambda: os.fork() or os._exit(0)": "EPERM",
    "lambda: os.execv('/bin/true', ['true'])": "EPERM",
    "lambda: subprocess.run('/bin/true')": "EPERM",
    "lambda: os.posix_spawn('/bin/true', ['true'], {})": "EPERM",
    "lambda: socket.socket()": "EPERM",
    "lambda: socket.socket(socket.AF_UNIX)": "EPERM",
    "lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)": "EPERM",
    "lambda: os.kill(os.getppid(), 0)": "EPERM",
    "lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU)": "EPERM",
}
ALLOWED: Final = (
    "lambda: os.stat('/')",
    "lambda: os.pread(held, 1, 0)",
    "lambda: os.kill(os.getpid(), 0)",
    "lambda: resource.getrlimit(resource.RLIMIT_CPU)",
    "lambda: socket.socketpair()",
    "lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)",
)
ASK: Final = """
held = os.open("/etc/passwd", os.O_RDONLY)
missing = sandbox.enter() if sys.argv[2] == "enter" else []
questions = json.loads(sys.argv[3])
answers = {}
def ask():
    for question in questions:
        answers[question] = number(eval(question))
if sys.argv[4] == "thread":
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
else:
    ask()
tell(missing=missing, answers=answers)
"""


def answers(directory: Path, entered: str, questions: list[str], who: str) -> dict[str, str]:
    """What each of some questions gave, after `enter` or without."""
    for name in ("old", "older"):
        (directory / name).write_bytes(b"old")
    told = inside(ASK, str(directory), entered, json.dumps(questions), who)
    assert told["missing"] == [], "this system has all of the fence"
    given: dict[str, str] = told["answers"]
    return given


@pytest.mark.parametrize("who", ["the one that entered", "thread"])
def test_neither_files_nor_programs_nor_connections(tmp_path: Path, who: str) -> None:
    assert answers(tmp_path, "enter", list(DENIED), who) == DENIED
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"old": b"old", "older": b"old"}


def test_what_is_denied_would_have_been_done(tmp_path: Path) -> None:
    questions = [question for question in DENIED if "execv" not in question]
    assert set(answers(tmp_path, "stay", questions, "").values()) == {"done"}


@pytest.mark.parametrize("who", ["the one that entered", "thread"])
def test_what_serving_takes_is_allowed(tmp_path: Path, who: str) -> None:
    assert set(answers(tmp_path, "enter", list(ALLOWED), who).values()) == {"done"}


def test_no_capability_is_left_and_none_can_come() -> None:
    told = inside(
        """
        status = open("/proc/self/status")
        sandbox.enter()
        status.seek(0)
        tell(**{line.split(":")[0]: line.split()[-1] for line in status})
        """
    )
    empty = "0" * 16
    assert {told[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {empty}
    if os.geteuid() == 0:
        assert told["CapBnd"] == empty
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")


# --- what a system does not have ------------------------------------------------------------------------------------


def test_what_the_kernel_does_not_have_is_told_and_the_rest_holds() -> None:
    told = inside(
        """
        sandbox._LANDLOCK_CREATE_RULESET = 9999
        os.uname = lambda: os.uname_result(("Linux", "", "", "", "mips"))
        missing = sandbox.enter()
        tell(missing=missing, opened=number(lambda: open("/etc/passwd").close()), capabilities=number(os.sched_yield))
        """
    )
    assert told["missing"] == ["Landlock (Function not implemented)", "seccomp (not for mips)"]
    assert told["opened"] == "done"


@pytest.mark.parametrize(("version", "words"), [(1, (0x1FFF, 0, 0)), (4, (0x7FFF, 3, 0)), (6, (0xFFFF, 3, 3))])
def test_older_kernels_are_asked_for_what_they_know(version: int, words: tuple[int, int, int]) -> None:
    asked = []

    class Kernel:
        def syscall(self, number: int, *arguments: Any) -> int:
            if number == 444 and arguments[2]:
                return version
            if number == 444:
                asked.append(struct.unpack("QQQ", arguments[0]))
                return os.open(os.devnull, os.O_RDONLY)
            return 0

    sandbox._deny_files(Kernel())  # type: ignore[arg-type]
    assert asked == [words]


def test_threads_that_are_left_outside_are_told() -> None:
    told = inside(
        """
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        missing = sandbox.enter()
        print(json.dumps({"missing": missing}), flush=True)
        os._exit(0)
        """
    )
    assert told["missing"] == ["1 threads (started before it)"]


def test_a_mount_without_the_process_outside_goes_on_without_a_fence(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(sandbox.Unmounter):
        def start(self) -> None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/bin/sh")

    caplog.set_level("INFO")
    sandbox.fence(Failing(None))
    assert [record.message for record in caplog.records] == [
        "no sandbox: [Errno 2] No such file or directory: '/bin/sh'"
    ]
    assert os.listdir("/")


def test_the_option() -> None:
    assert parse_options([]).sandbox
    assert not parse_options(["nosandbox"]).sandbox


# --- the filter of system calls -------------------------------------------------------------------------------------

ALLOW, EPERM, ENOSYS = 0x7FFF_0000, 0x5_0000 | errno.EPERM, 0x5_0000 | errno.ENOSYS
HEADERS: Final = {"x86_64": "x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "asm-generic/unistd.h"}


def judged(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the kernel would do: its machine in a few lines (Documentation/userspace-api/seccomp_filter)."""
    known = sandbox.MACHINES[machine] if architecture is None else architecture
    data = struct.pack("<IIQ6Q", number & 0xFFFF_FFFF, known, 0, *arguments, *[0] * (6 - len(arguments)))
    code, at, value = list(struct.iter_unpack("<HBBI", sandbox.program(machine))), 0, 0
    tests: dict[int, Callable[[int, int], object]] = {
        0x15: lambda a, k: a == k,
        0x35: lambda a, k: a >= k,
        0x45: lambda a, k: a & k,
    }
    while True:
        kind, true, false, constant = code[at]
        at += 1
        if kind == 0x06:
            return int(constant)
        if kind == 0x20:
            (value,) = struct.unpack_from("<I", data, constant)
        elif kind == 0x54:
            value &= constant
        else:
            at += true if tests[kind](value, constant) else false


def column(machine: str) -> int:
    return list(sandbox.MACHINES).index(machine)


@pytest.mark.parametrize("machine", list(sandbox.MACHINES))
def test_the_filter_denies_what_it_says_and_nothing_else(machine: str) -> None:
    at = column(machine)
    forbidden = {numbers[at] for numbers in sandbox.FORBIDDEN.values()} - {-1}
    special = {numbers[at] for numbers in sandbox.LOOKED_AT.values()}
    assert {judged(machine, number) for number in forbidden} == {EPERM}
    assert {judged(machine, number) for number in set(range(600)) - forbidden - special} == {ALLOW}


@pytest.mark.parametrize("machine", list(sandbox.MACHINES))
def test_threads_and_datagrams_are_allowed_by_their_arguments(machine: str) -> None:
    clone, clone3, create = (sandbox.LOOKED_AT[name][column(machine)] for name in ("clone", "clone3", "socket"))
    assert judged(machine, clone3) == ENOSYS
    assert judged(machine, clone, 0x3D0F00) == ALLOW, "what pthread_create asks for"
    assert judged(machine, clone, 17) == EPERM
    assert judged(machine, clone, 0x1000_0000 | 17) == EPERM
    flags = socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    assert judged(machine, create, socket.AF_UNIX, socket.SOCK_DGRAM | flags) == ALLOW
    for family, kind in ((socket.AF_UNIX, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM), (16, 3)):
        assert judged(machine, create, family, kind | flags) == EPERM


def test_other_numbers_for_the_same_calls_are_denied() -> None:
    """Those of 32-bit programs and of x32, which a 64-bit process may use too."""
    assert judged("x86_64", 0, architecture=0x4000_0003) == EPERM
    assert judged("x86_64", 0x4000_0000) == EPERM
    assert judged("aarch64", 63, architecture=0x4000_0028) == EPERM


@pytest.mark.parametrize("machine", list(sandbox.MACHINES))
def test_the_numbers_are_the_kernels(machine: str) -> None:
    paths = [Path("/usr/include") / HEADERS[machine], Path("/usr/include/asm/unistd_64.h")]
    text = next(path for path in paths if path.exists() and path.name == Path(HEADERS[machine]).name).read_text()
    known = {name: int(number) for name, number in re.findall(r"^#define __NR3?_?(\w+)\s+(\d+)$", text, re.MULTILINE)}
    ours = {**sandbox.FORBIDDEN, **sandbox.LOOKED_AT}
    at = column(machine)
    assert {name: known.get(name, -1) for name in ours} == {name: numbers[at] for name, numbers in ours.items()}


# --- what the daemon goes on to do ----------------------------------------------------------------------------------

AT_OPENING: Final = {
    *("hashlib", "indexed_gzip", "lzma"),
    *("isofs.image.parents", "isofs.image.parts", "isofs.image.sheets"),
    *("isofs.volume.audio", "isofs.volume.subdir", "isofs.volume.whole"),
}
"""Modules that are imported when an image is opened, if it needs them, and are there when it is read."""
OUTSIDE: Final = {"subprocess", "ctypes"}
"""Modules of what happens before the fence, or outside of it."""


def imported_later(path: Path) -> set[str]:
    """The modules that a file imports within its functions."""
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    found = set()
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    for node in (inner for function in functions for inner in ast.walk(function)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = name.removesuffix(".__init__") if path.stem == "__init__" else name.rpartition(".")[0]
            base = base.rsplit(".", node.level - 1)[0] if node.level else ""
            found |= (
                {f"{base}.{node.module}" if base else str(node.module)}
                if node.module
                else {f"{base}.{alias.name}" for alias in node.names if alias.name.islower()}
            )
    return found


def test_modules_that_are_needed_later_are_imported_before() -> None:
    later = {
        module: path.name
        for folder in ("image", "volume", "mount")
        for path in (PACKAGE / folder).rglob("*.py")
        for module in imported_later(path)
    }
    loaded = inside(
        """
        from isofs.mount import serve
        sandbox.enter()
        tell(loaded=list(sys.modules))
        """
    )["loaded"]
    assert {m: f for m, f in later.items() if m not in {*loaded, *AT_OPENING, *OUTSIDE}} == {}


def test_an_error_of_ours_is_logged_with_its_frames() -> None:
    told = inside(
        """
        import io
        from isofs.mount import operations
        said = io.StringIO()
        logging.basicConfig(stream=said)
        sandbox.enter()
        try:
            os.no_such_name
        except Exception:
            logging.exception("a bug")
        tell(said=said.getvalue())
        """
    )
    assert "Traceback" in told["said"]
    assert "no_such_name" in told["said"]


def test_syslog_is_found_again(tmp_path: Path) -> None:
    """It may start anew, with another socket of the same name."""
    code = """
from isofs.mount.log import SyslogLines
lines = SyslogLines(sys.argv[1], at_once=False)
log = logging.Logger("isofs")
log.addHandler(lines.handler)
sandbox.enter()
lines.start()
for word in ("one", "two"):
    log.warning(word)
    lines.send(10)
    print("sent", flush=True)
    sys.stdin.readline()
os._exit(0)
"""
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as first:
        first.bind(f"{path}")
        first.settimeout(10)
        words = [sys.executable, "-c", INSIDE + code, str(path)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert b": one" in first.recv(4096)
            first.close()
            path.unlink()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as second:
                second.bind(f"{path}")
                second.settimeout(10)
                process.stdin.write(b"\n")
                process.stdin.flush()
                assert b": two" in second.recv(4096)


@pytest.mark.parametrize("address", ["{}/notify", "@isofs-test-{}"])
def test_the_service_manager_is_told(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = address.format(tmp_path if address.startswith("{") else os.getpid())
    monkeypatch.setenv("NOTIFY_SOCKET", place)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + place[1:] if place.startswith("@") else place)
        listener.settimeout(5)
        inside(
            """
            from isofs.mount.notify import Manager
            manager = Manager()
            manager.connect()
            sandbox.enter()
            manager.tell(READY=1)
            tell()
            """
        )
        assert listener.recv(4096) == b"READY=1"


# --- the process outside --------------------------------------------------------------------------------------------


def test_a_mount_that_is_not_known_has_no_process_outside() -> None:
    unmounter = sandbox.Unmounter(None)
    unmounter.start()
    assert not unmounter()
    unmounter.close()


def test_the_process_outside_has_no_files_and_no_signals_and_ends_with_us() -> None:
    told = inside(
        """
        from isofs.mount.mounts import Mount
        held = os.open("/etc/passwd", os.O_RDONLY)
        os.set_inheritable(held, True)
        unmounter = sandbox.Unmounter(Mount("0:999", "/nowhere", "fuse.isofs", "disc.iso", 0))
        unmounter.start()
        pid = unmounter._process
        sandbox.enter
        while b"isofs-unmounter" not in open(f"/proc/{pid}/cmdline", "rb").read():
            pass
        files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        signals = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]
        for each in signals:
            os.kill(pid, each)
        taken = unmounter()
        session = os.getsid(pid)
        unmounter.close()
        gone = number(lambda: os.kill(pid, 0))
        tell(files=sorted(file.split(":")[0] for file in files), taken=taken, own=session == pid, gone=gone)
        """
    )
    assert told == {"files": ["/dev/null", "socket", "socket"], "taken": False, "own": True, "gone": "ESRCH"}


def test_a_process_outside_that_has_gone_is_said() -> None:
    told = inside(
        """
        from isofs.errors import MountFailed
        from isofs.mount.mounts import Mount
        unmounter = sandbox.Unmounter(Mount("0:999", "/my mnt", "fuse.isofs", "disc.iso", 0))
        unmounter.start()
        os.kill(unmounter._process, signal.SIGKILL)
        try:
            unmounter()
        except MountFailed as error:
            tell(said=str(error))
        unmounter.close()
        """
    )
    assert told["said"] == "the process that unmounts has gone; run: isofs umount '/my mnt'"
