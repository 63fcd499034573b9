"""The counters of real mounts: `isofs stats`, who may ask, and SIGUSR1."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from writers.containers import cso
from writers.mounting import (
    LIMIT,
    Mounting,
    alive,
    command,
    daemon_of,
    daemons,
    fails,
    isofs,
    mounted,
    numbered,
    succeeds,
    wait_until,
    wait_until_gone,
)
from writers.tools import IN_PRIVATE, PRIVATE_MOUNTS, require

from isofs.mount import stats
from isofs.mount.counters import COUNTERS

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")

CONTENTS: Final = numbered() + b"an odd end"


@pytest.fixture(scope="session")
def compressed(disc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disc as a CSO."""
    path = tmp_path_factory.mktemp("compressed") / "disc.cso"
    path.write_bytes(cso(disc.read_bytes()))
    return path


def told(point: Path) -> dict[str, Any]:
    """The counters of a mount."""
    facts: dict[str, Any] = json.loads(succeeds("stats", "--json", point))
    return facts


def name_of(point: Path) -> str:
    """The name of a mount's socket."""
    mount = mounted(point)
    assert mount is not None
    return stats.address(mount.device)


def connected(point: Path) -> socket.socket:
    """A client that does not read."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(LIMIT)
    while True:
        try:
            client.connect(name_of(point))
            return client
        except BlockingIOError:
            time.sleep(0.01)


# --- the numbers ----------------------------------------------------------------------------------------------------


def assert_sound(facts: dict[str, Any]) -> None:
    """What holds for every answer."""
    assert [(group, name) for group, values in facts["counters"].items() for name in values] == [
        row[:2] for row in COUNTERS
    ]
    requests, reads = facts["counters"]["requests"], facts["counters"]["reads"]
    assert requests["answered"] == sum(kind["count"] for kind in facts["latencies"].values())
    assert reads["answered"] == facts["latencies"]["read"]["count"]
    for times in facts["latencies"].values():
        assert times["count"] == sum(n for _, n in times["histogram"])
        assert 1000 < times["p50_ns"] <= times["p99_ns"] <= times["max_ns"] < LIMIT * 1e9


def test_what_a_plain_mount_did(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    first = told(point)
    assert (first["image"], first["mount_point"], first["pid"]) == (str(disc), str(point), daemon_of(point))
    assert (first["format"], first["decoder"], first["workers"]) == ("plain disc image", None, 0)
    with open(point / "numbered.bin", "rb") as file:
        assert file.read() == CONTENTS
        now = told(point)
        assert (now["open_files"], now["open_directories"]) == (1, 0)
    assert_sound(now)
    assert now["uptime"] > first["uptime"] >= 0
    reads = now["counters"]["reads"]
    assert reads["bytes"] == len(CONTENTS)
    assert reads["ready"] + reads["elsewhere"] == reads["answered"] >= 2
    assert (reads["helped"], reads["waited"], reads["exact"], reads["failed"]) == (0, 0, 0, 0)
    assert set(now["counters"]["runs"].values()) == {0}
    assert now["latencies"]["open"]["count"] == 1
    assert now["latencies"]["lookup"]["count"] >= 1
    wait_until(lambda: not told(point)["open_files"], "the file is closed")
    with pytest.raises(OSError, match="Read-only file system"):
        (point / "readme.txt").open("r+b")
    succeeds("umount", point)


def test_what_a_compressed_mount_did(mounting: Mounting, compressed: Path) -> None:
    point = mounting.mount(compressed, "-o", "threads=2,cache=8M")
    assert (point / "numbered.bin").read_bytes() == CONTENTS
    facts = told(point)
    assert_sound(facts)
    assert facts["format"] == "CSO version 1"
    assert facts["decoder"] in ("compiled", "Python")
    assert (facts["workers"], facts["cache"]) == (2 if facts["decoder"] == "compiled" else 0, 8 << 20)
    numbers = facts["counters"]
    reads, runs = numbers["reads"], numbers["runs"]
    assert reads["bytes"] == len(CONTENTS)
    assert sum(reads[name] for name in ("ready", "helped", "waited", "exact", "elsewhere")) >= reads["answered"] >= 2
    assert runs["used"] + runs["wasted"] <= runs["queued"]
    assert numbers["blocks"]["misses"] > 0
    assert reads["failed"] == 0


def test_as_text_it_fits_a_screen(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    (point / "numbered.bin").read_bytes()
    os.listdir(point / "wide")
    lines = succeeds("stats", point).decode().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 120 + len(str(disc))
    assert {f"image:       {disc}", f"mount point: {point}", "format:      plain disc image"} <= set(lines)
    assert any(line.startswith("reads: ") and line.endswith(f" {len(CONTENTS)} bytes") for line in lines)
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("request ")) :]
    assert {line.split()[0] for line in table[1:]} >= {"lookup", "open", "read", "readdir"}
    assert len(set(map(len, table))) == 1, "columns are aligned"


def test_a_mount_is_found_through_a_link(mounting: Mounting, disc: Path, tmp_path: Path) -> None:
    point = mounting.mount(disc)
    (tmp_path / "link").symlink_to(point)
    assert told(tmp_path / "link")["mount_point"] == str(point)


def test_mounts_are_told_apart(mounting: Mounting, disc: Path, compressed: Path) -> None:
    points = [mounting.mount(image) for image in (disc, compressed, disc)]
    (points[1] / "numbered.bin").read_bytes()
    for point in points:
        facts = told(point)
        assert (facts["pid"], facts["mount_point"]) == (daemon_of(point), str(point))
        assert facts["counters"]["reads"]["bytes"] == (len(CONTENTS) if point == points[1] else 0)


def test_a_mount_that_follows_another_is_told_of_at_once(mounting: Mounting, disc: Path) -> None:
    """Its device number may be the same."""
    point = mounting.point()
    for _ in range(5):
        mounting.mount(disc, point=point)
        assert told(point)["pid"] in daemons(point)
        succeeds("umount", point)


# --- clients --------------------------------------------------------------------------------------------------------


def test_clients_that_do_not_read_hold_up_nobody(mounting: Mounting, compressed: Path) -> None:
    point = mounting.mount(compressed)
    pid = daemon_of(point)
    with contextlib.ExitStack() as clients:
        for _ in range(30):
            clients.enter_context(connected(point))
        start = time.monotonic()
        assert (point / "numbered.bin").read_bytes() == CONTENTS
        assert told(point)["counters"]["reads"]["bytes"] == len(CONTENTS)
        assert time.monotonic() - start < 5
        succeeds("umount", point)
        wait_until_gone(point, pid)


NOBODY: Final = """
import encodings.idna, os, socket, sys
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
"""
"""Begins a program that is another user's: the interpreter may be one that only root can reach."""

STRANGER: Final = f"""{NOBODY}
client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
client.settimeout(20)
client.connect("\\0" + sys.argv[1])
try:
    print(client.recv(100))
except ConnectionResetError:
    print(b"")
"""

IMPOSTOR: Final = f"""{NOBODY}
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind("\\0" + sys.argv[1])
listener.listen()
print(flush=True)
listener.accept()[0].sendall(b"{{}}")
"""


@as_root
def test_a_stranger_learns_nothing(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", STRANGER, name_of(point)[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "b''\n", "")
    assert told(point)


AS_NOBODY: Final = """
import os, sys
import pyfuse3, trio, isofs.cli, isofs.mount.serve, isofs.volume, isofs.image.cso
import json, grp, pwd, ctypes, subprocess, threading, trio._core
from isofs.cli import COMMANDS
for name in COMMANDS:
    __import__("isofs.cli." + name.replace("-", "_"))
os.setgroups([])
os.setresgid(65534, 65534, 65534)
user = int(sys.argv[1])
os.setresuid(user, user, user)
sys.exit(isofs.cli.main(sys.argv[2:]))
"""
"""The command line as another user, who may not be allowed to read the modules."""


def by(user: int, *args: str | Path) -> list[str]:
    """The words that run `isofs` as a user."""
    return [sys.executable, "-c", AS_NOBODY, str(user), *map(str, args)]


@as_root
def test_another_users_mount(mounting: Mounting, disc: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        point = folder / "point"
        point.mkdir()
        mounting.mount(disc, point=point)
        try:
            done = subprocess.run(
                by(65534, "stats", point), capture_output=True, text=True, timeout=LIMIT, check=False, cwd="/"
            )
        finally:
            succeeds("umount", point)
    reason = "this is another user's mount; only root and the user who mounted it may ask"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"isofs: {point}: {reason}\n")


@pytest.fixture
def folder(disc: Path) -> Iterator[Path]:
    """A folder that everybody can reach, with the disc and a mount point of nobody's."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        made = Path(name).resolve()
        made.chmod(0o755)
        shutil.copy(disc, made / "disc.iso")
        (made / "disc.iso").chmod(0o644)
        (made / "own").mkdir()
        if os.geteuid() == 0:
            os.chown(made / "own", 65534, 65534)
        yield made


USER_SCENARIO: Final = """
set -e
mknod "$1/fuse" c 10 229; chmod 666 "$1/fuse"; mount --bind "$1/fuse" /dev/fuse
cd /
python="$2" program="$3" own="$1/own"
as() { "$python" -c "$program" "$@"; }
as 65534 mount "$1/disc.iso" "$own"
as 65534 stats --json "$own"; echo
as 0 stats --json "$own"; echo
as 65533 stats "$own" 2>&1 || echo "code $?"
as 65534 umount "$own"
"""


@as_root
def test_a_users_mount_tells_him_and_root(folder: Path) -> None:
    require("fusermount3")
    require("/dev/fuse")
    require(PRIVATE_MOUNTS)
    done = subprocess.run(
        [*IN_PRIVATE, "sh", "-c", USER_SCENARIO, "sh", str(folder), sys.executable, AS_NOBODY],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    his, roots, foreign, _ = (
        done.stdout.replace("}\n\n", "}\0")
        .replace("isofs:", "\0isofs:")
        .replace("\ncode 1", "\0")
        .replace("\0\0", "\0")
        .split("\0")
    )
    for answer in (his, roots):
        assert json.loads(answer)["mount_point"] == str(folder / "own")
    assert "this is another user's mount" in foreign


# --- mounts that do not answer --------------------------------------------------------------------------------------


def test_a_dead_mount(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    pid = daemon_of(point)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), "the daemon ends")
    assert fails(32, "stats", point) == f"{point}: a dead mount is here; run: isofs umount {shlex.quote(str(point))}"


def test_a_daemon_that_hangs(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    pid = daemon_of(point)
    os.kill(pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        said = fails(32, "stats", point)
        assert 4.9 < time.monotonic() - start < 15
    finally:
        os.kill(pid, signal.SIGCONT)
    assert said == f"{point}: the daemon does not answer within 5 seconds; look at process {pid}"
    assert told(point)["pid"] == pid


@as_root
def test_a_mount_without_a_socket_to_be_found(mounting: Mounting, disc: Path) -> None:
    """As one of an older isofs; here in another network namespace."""
    apart = [shutil.which("unshare") or "unshare", "-n"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("the machine has no network namespaces")
    point = mounting.point()
    subprocess.run([*apart, *command("mount", disc, point)], check=True, timeout=LIMIT, capture_output=True)
    said = fails(32, "stats", point)
    assert said.startswith(f"{point}: the mount tells no counters: its daemon has a network namespace of its own")
    remedy = f"nsenter --net --target PID isofs stats {shlex.quote(str(point))}"
    assert remedy in said
    words = ["nsenter", "--net", "--target", str(daemon_of(point)), *command("stats", "--json", point)]
    assert json.loads(subprocess.run(words, check=True, capture_output=True).stdout)["mount_point"] == str(point)


OLD: Final = """
import socket, sys, time
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind("\\0" + sys.argv[1])
    listener.listen()
    print(flush=True)
    if sys.argv[2] == "closes":
        listener.accept()[0].close()
    time.sleep(60)
"""


@as_root
@pytest.mark.parametrize("how", ["closes", "is stuck"])
def test_unmounting_does_not_wait_for_the_daemon_of_a_mount_that_has_gone(
    mounting: Mounting, disc: Path, how: str
) -> None:
    """It may still have the name that goes with the device number, which was given out anew."""
    point = mounting.point()
    subprocess.run(["unshare", "-n", *command("mount", disc, point)], check=True, timeout=LIMIT, capture_output=True)
    words = [sys.executable, "-c", OLD, name_of(point)[1:], how]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as old:
        try:
            assert old.stdout is not None
            assert old.stdout.readline() == b"\n"
            start = time.monotonic()
            assert succeeds("umount", point) == b""
            assert time.monotonic() - start < 9
        finally:
            old.kill()


@as_root
def test_somebody_elses_socket_is_not_believed(mounting: Mounting, disc: Path) -> None:
    """The name is taken by another user after the daemon has gone."""
    point = mounting.mount(disc)
    name, pid = name_of(point)[1:], daemon_of(point)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), "the daemon ends")
    with subprocess.Popen([sys.executable, "-c", IMPOSTOR, name], stdout=subprocess.PIPE) as impostor:
        try:
            assert impostor.stdout is not None
            assert impostor.stdout.readline() == b"\n"
            said = fails(2, "stats", point)
        finally:
            impostor.kill()
    assert said.startswith(f"{point}: process {impostor.pid} of user 65534 answers in place of the daemon; ")


# --- the log --------------------------------------------------------------------------------------------------------


def test_in_the_foreground_a_signal_writes_the_numbers(mounting: Mounting, compressed: Path) -> None:
    point, process = mounting.foreground(compressed)
    (point / "numbered.bin").read_bytes()
    process.send_signal(signal.SIGUSR1)
    shown = succeeds("stats", point).decode().splitlines()  # later than the signal: it has been handled
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=LIMIT)[1].decode().splitlines()
    assert process.returncode == 0
    logged = [line.removeprefix("isofs: ") for line in said if "SIGINT" not in line]
    assert logged[:3] == shown[:3]
    assert [line.split(":")[0].split()[0] for line in logged] == [line.split(":")[0].split()[0] for line in shown]
    assert [line for line in logged if line.startswith("reads:")] == [
        line for line in shown if line.startswith("reads:")
    ]


def test_in_the_background_a_signal_ends_nothing(mounting: Mounting, disc: Path) -> None:
    """At whatever moment of its life it comes."""
    point = mounting.point()
    with subprocess.Popen(command("mount", disc, point), stdin=subprocess.DEVNULL) as process:
        wait_until(lambda: mounted(point), "the image is mounted")
        pid = next(pid for pid in daemons(point) if pid != process.pid)
        for _ in range(200):
            os.kill(pid, signal.SIGUSR1)
        assert process.wait(timeout=LIMIT) == 0
    for _ in range(200):
        os.kill(pid, signal.SIGUSR1)
    assert (point / "readme.txt").read_bytes() == b"hello\n"
    assert told(point)["pid"] == pid
    assert isofs("umount", point).returncode == 0
