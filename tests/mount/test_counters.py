"""The numbers of a mount, and the two ends of the socket that tells them; no mount."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final, cast

import pytest
import trio
from pyfuse3 import FUSEError
from writers import discs
from writers.containers import cso

from isofs.cli import main
from isofs.errors import ImageError, MountFailed, SystemRefused
from isofs.image import Image, open_image
from isofs.image.cache import BlockCache, Counts
from isofs.mount import counters, mounts, stats, telling
from isofs.mount.counters import COUNTERS, Counters
from isofs.mount.mounts import FILE_SYSTEM, Mount
from isofs.mount.operations import Operations
from isofs.mount.options import Options
from isofs.mount.telling import Telling
from isofs.volume import open_volume
from isofs.volume.tree import ROOT

DATA: Final = b"data" * 5000
LIMIT: Final = 30
devices = (f"test:{os.getpid()}:{n}" for n in count())


# --- numbers --------------------------------------------------------------------------------------------------------


def counted(**kinds: list[int]) -> Counters:
    """Counters after requests that took so many nanoseconds each."""
    made = Counters()
    for kind, times in kinds.items():
        for time in times:
            made.latencies[kind][time.bit_length()] += 1
    return made


def test_every_number_of_the_table_is_told() -> None:
    told = counters.numbers(Counters(), None, BlockCache(1))
    assert [(group, name) for group, values in told.items() for name in values] == [row[:2] for row in COUNTERS]
    assert not any(value for values in told.values() for value in values.values())


def test_reads_are_ready_unless_something_else_is_known_of_them() -> None:
    made = counted(read=[5000] * 100, lookup=[1000] * 7)
    made.reads_elsewhere, made.elsewhere, made.bytes = 9, 12, 1234
    made.failed["read"] += 1
    made.failed["lookup"] += 2
    plain = counters.numbers(made, None, BlockCache(1))
    assert plain["requests"] == {"answered": 107, "failed": 3, "elsewhere": 12}
    assert plain["reads"] == {
        **dict.fromkeys(("helped", "waited", "exact"), 0),
        "answered": 100,
        "ready": 90,
        "elsewhere": 9,
        "failed": 1,
        "bytes": 1234,
    }
    runs = Counts()
    runs.ready, runs.helped, runs.waited, runs.exact, runs.ahead, runs.evictions = 1000, 10, 20, 30, 7, 5
    read = counters.numbers(made, runs, BlockCache(1))
    assert (read["reads"]["ready"], read["reads"]["helped"], read["reads"]["exact"]) == (30, 10, 30)
    assert read["runs"] == {"queued": 7, "used": 0, "wasted": 0, "evicted": 5}
    runs.helped = 1000  # reads over several runs
    assert counters.numbers(made, runs, BlockCache(1))["reads"]["ready"] == 0


def test_times_are_bounds_that_the_answers_kept() -> None:
    told = counters.latencies(counted(read=[1000] * 98 + [5000, 3_000_000], open=[0], lookup=[]))
    assert told == {
        "open": {"count": 1, "p50_ns": 1, "p99_ns": 1, "max_ns": 1, "histogram": [[1, 1]]},
        "read": {
            "count": 100,
            "p50_ns": 1024,
            "p99_ns": 8192,
            "max_ns": 1 << 22,
            "histogram": [[1024, 98], [8192, 1], [1 << 22, 1]],
        },
    }


@pytest.mark.parametrize(
    ("nanoseconds", "words"),
    [(1, "1 ns"), (512, "512 ns"), (1024, "1.0 us"), (16384, "16 us"), (1 << 20, "1.0 ms"), (1 << 34, "17 s")],
)
def test_times_as_text(nanoseconds: int, words: str) -> None:
    assert counters._short(nanoseconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (61, "1 min 1 s"), (7300, "2 h 1 min"), (200_000, "2 d 7 h")]
)
def test_spans_as_text(seconds: float, words: str) -> None:
    assert counters._long(seconds) == words


def test_the_help_explains_every_number() -> None:
    text = counters.help_text()
    for _, name, meaning in COUNTERS:
        assert f"{name:<12}{meaning}\n" in text
    assert max(map(len, text.splitlines())) <= 120


# --- what is counted ------------------------------------------------------------------------------------------------


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    """A CSO with one file."""
    made = discs.Disc()
    made.root.file(b"FILE.;1", DATA)
    path = tmp_path / "disc\n.cso"
    path.write_bytes(cso(made.build()))
    with open_image(str(path)) as opened:
        yield opened


async def test_requests_are_counted_by_their_kind(image: Image) -> None:
    operations = Operations(open_volume(image), lambda: None)
    ctx = cast(Any, None)
    found = await operations.lookup(cast(Any, ROOT), b"file", ctx)
    opened = await operations.open(found.st_ino, os.O_RDONLY, ctx)
    directory = await operations.opendir(cast(Any, ROOT), ctx)
    assert (operations.open_files, operations.open_directories) == (1, 1)
    data = bytes(await operations.read(opened.fh, 0, 1 << 17))
    assert data == DATA
    for broken in (operations.getattr(cast(Any, 12345), ctx), operations.open(found.st_ino, os.O_RDWR, ctx)):
        with pytest.raises(FUSEError):
            await broken
    await operations.release(opened.fh)
    await operations.releasedir(directory)
    assert (operations.open_files, operations.open_directories) == (0, 0)
    facts = Telling(image, operations, Options(), "/there", None).facts()
    assert {kind: told["count"] for kind, told in facts["latencies"].items()} == {
        "getattr": 1,
        "lookup": 1,
        "open": 2,
        "opendir": 1,
        "read": 1,
        "release": 1,
        "releasedir": 1,
    }
    assert facts["counters"]["requests"] == {"answered": 8, "failed": 2, "elsewhere": 0}
    assert facts["counters"]["reads"]["bytes"] == len(DATA)
    assert (facts["pid"], facts["format"], facts["mount_point"]) == (os.getpid(), "CSO version 1", "/there")
    assert 0 <= facts["uptime"] < LIMIT
    json.dumps(facts)


# --- the socket -----------------------------------------------------------------------------------------------------


class Fake:
    """As much of `Operations` as is asked about a mount."""

    def __init__(self) -> None:
        self.counters = counted(read=[1000])
        self.open_files = 3
        self.open_directories = 1


@pytest.fixture
def mount() -> Mount:
    """A mount of this user that is nowhere but in this test."""
    return Mount(next(devices), "/no such mount", FILE_SYSTEM, "image", os.geteuid())


@pytest.fixture
def teller(image: Image, mount: Mount) -> Telling:
    """What its daemon would tell."""
    return Telling(image, cast(Any, Fake()), Options(), mount.path, mount)


async def asked(mount: Mount) -> dict[str, Any] | None:
    """What a client is told."""
    with trio.fail_after(LIMIT):
        return await trio.to_thread.run_sync(stats.ask, mount)


def listening(mount: Mount, waiting: int = 1) -> socket.socket:
    """A socket in the daemon's place."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(stats.address(mount.device))
    made.listen(waiting)
    return made


async def test_who_asks_is_told(nursery: trio.Nursery, teller: Telling, mount: Mount) -> None:
    await nursery.start(teller.on_socket)
    for _ in range(3):
        facts = await asked(mount)
        assert facts is not None
        assert {**facts, "uptime": 0} == {**teller.facts(), "uptime": 0}
        assert (facts["open_files"], facts["open_directories"]) == (3, 1)
    lines = counters.lines(teller.facts())
    assert len(lines) <= 24
    assert all(line.isprintable() for line in lines), "the image's name steers no terminal"
    assert "3 files and 1 directory open" in "\n".join(lines)


@pytest.mark.parametrize(
    "wrong",
    [
        {"uptime": float("inf")},
        {"image": None},
        {"counters": []},
        {"latencies": {"read": {}}},
        {"latencies": {"read": {"count": [], "p50_ns": 1, "p99_ns": 1, "max_ns": 1}}},
        {"latencies": {"read": {"count": 1, "p50_ns": 10**400, "p99_ns": 1, "max_ns": 1}}},
        {"cache": "much"},
        {"pid": None, "uptime": None},
    ],
    ids=str,
)
def test_an_answer_of_another_version_is_no_bug_of_ours(
    wrong: dict[str, Any],
    teller: Telling,
    mount: Mount,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(stats, "ask", lambda _: {**teller.facts(), **wrong})
    monkeypatch.setattr(mounts, "mount_at", lambda _: mount)
    assert main(["stats", "/no such mount"]) == 32
    said = "/no such mount: the daemon's answer is not understood; it is of another version of isofs"
    assert capsys.readouterr() == ("", f"isofs: {said}\n")


async def test_nobody_listens(mount: Mount) -> None:
    assert await asked(mount) is None


async def test_a_stranger_is_told_nothing(
    nursery: trio.Nursery, teller: Telling, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    await nursery.start(teller.on_socket)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 4321)
        patch.setattr(stats, "peer_of", lambda credentials: (1, mount.user or 4322))
        with pytest.raises(MountFailed, match="told nothing"):
            await asked(mount._replace(user=mount.user or 4322))
    assert await asked(mount)


async def test_a_stranger_is_not_believed(
    nursery: trio.Nursery, teller: Telling, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    await nursery.start(teller.on_socket)
    monkeypatch.setattr(stats, "peer_of", lambda credentials: (77, 4321))
    with pytest.raises(SystemRefused, match="process 77 of user 4321 answers in place of the daemon"):
        await asked(mount)


async def test_clients_that_do_not_read_hold_up_nobody(nursery: trio.Nursery, teller: Telling, mount: Mount) -> None:
    await nursery.start(teller.on_socket)
    idle = []
    with trio.fail_after(LIMIT):
        for _ in range(30):
            client = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            idle.append(client)
            while True:
                try:
                    await client.connect(stats.address(mount.device))
                    break
                except BlockingIOError:
                    await trio.sleep(0.01)
    with trio.fail_after(0.9):
        assert await asked(mount)
    for client in idle:
        client.close()


async def test_an_answer_that_nobody_takes_is_dropped(
    nursery: trio.Nursery, teller: Telling, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a socket with little room waits for long."""
    monkeypatch.setattr(telling, "_CLIENT", 0.1)
    monkeypatch.setattr(teller, "facts", lambda: {"much": "x" * 900_000})
    await nursery.start(teller.on_socket)
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        await client.connect(stats.address(mount.device))
        assert len((await asked(mount) or {})["much"]) == 900_000


@pytest.mark.parametrize(
    "answer", [b"", b"{", b"[1]", b'"' + b"x" * 2_000_000, b"[" * 100_000, b"\xff\xfe"], ids=lambda x: str(x[:5])
)
async def test_an_answer_that_is_none(mount: Mount, answer: bytes, nursery: trio.Nursery) -> None:
    def served(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            try:
                client.sendall(answer)
            except BrokenPipeError:
                assert len(answer) > 1_000_000

    with listening(mount) as listener:
        nursery.start_soon(trio.to_thread.run_sync, served, listener)
        with pytest.raises(MountFailed, match="told nothing" if not answer else "not understood"):
            await asked(mount)


@pytest.mark.parametrize("full", [False, True])
async def test_a_daemon_that_hangs_is_not_waited_for(mount: Mount, full: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "PATIENCE", 0.3)
    with listening(mount, 0) as listener, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        assert listener
        if full:
            other.connect(stats.address(mount.device))
        with pytest.raises(MountFailed, match="does not answer within") as caught:
            await asked(mount)
        assert full or f"look at process {os.getpid()}" in str(caught.value)


async def test_a_name_that_the_last_daemon_still_holds_is_waited_for(
    nursery: trio.Nursery, teller: Telling, mount: Mount
) -> None:
    with listening(mount):
        await nursery.start(teller.on_socket)
        await trio.sleep(0.15)
    with trio.fail_after(LIMIT):
        while await asked(mount) is None:
            await trio.sleep(0.02)


async def test_a_daemon_that_outlives_its_mount_gives_the_name_up(
    nursery: trio.Nursery, image: Image, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, kernel = os.pipe()
    monkeypatch.setattr(telling, "_device", lambda: device)
    first = Telling(image, cast(Any, Fake()), Options(), "/first", mount)
    monkeypatch.setattr(telling, "_device", lambda: -1)
    second = Telling(image, cast(Any, Fake()), Options(), "/second", mount)
    await nursery.start(first.on_socket)
    await nursery.start(second.on_socket)
    await trio.sleep(0.25)
    assert (await asked(mount) or {})["mount_point"] == "/first"
    os.close(kernel)
    await trio.sleep(0.35)  # nobody asks the first one but the second
    assert (await asked(mount) or {})["mount_point"] == "/second"
    os.close(device)


async def test_without_a_socket_the_mount_goes_on(
    image: Image, teller: Telling, mount: Mount, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(telling, "_TAKEN", 0.2)
    with trio.fail_after(LIMIT), listening(mount):
        await teller.on_socket()
    with monkeypatch.context() as patch:
        patch.setattr(stats, "address", refused)
        await teller.on_socket()
    await Telling(image, cast(Any, Fake()), Options(), mount.path, None).on_socket()
    assert [record.getMessage() for record in caplog.records] == [
        f"isofs stats will not work: {reason}"
        for reason in (os.strerror(errno.EADDRINUSE), os.strerror(errno.EMFILE), "the mount has gone")
    ]


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "no more files"), ImageError("odd"), ZeroDivisionError()])
async def test_an_error_ends_nothing(
    nursery: trio.Nursery,
    teller: Telling,
    mount: Mount,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def failing() -> dict[str, Any]:
        raise error

    monkeypatch.setattr(telling, "_CLIENT", 0.05)
    await nursery.start(teller.on_socket)
    with monkeypatch.context() as patch:
        patch.setattr(teller, "facts", failing)
        with pytest.raises(MountFailed, match="told nothing"):
            await asked(mount)
    assert len(caplog.records) == 1
    assert await asked(mount)


# --- the log --------------------------------------------------------------------------------------------------------


async def test_a_signal_writes_the_numbers_to_the_log(
    nursery: trio.Nursery, teller: Telling, caplog: pytest.LogCaptureFixture
) -> None:
    def failing() -> dict[str, Any]:
        raise ZeroDivisionError

    caplog.set_level(logging.INFO)
    await nursery.start(teller.on_signal)
    facts: Callable[[], dict[str, Any]] = teller.facts
    teller.facts = failing  # type: ignore[method-assign]
    await logged(caplog, 1)
    teller.facts = facts  # type: ignore[method-assign]
    caplog.clear()
    lines = counters.lines(teller.facts())
    await logged(caplog, len(lines))
    assert [record.getMessage().replace("up 1 s", "up 0 s") for record in caplog.records] == lines
    assert all(record.name == "isofs" for record in caplog.records)


async def logged(caplog: pytest.LogCaptureFixture, count: int) -> None:
    """Sends the signal and waits for so many lines."""
    os.kill(os.getpid(), signal.SIGUSR1)
    with trio.fail_after(LIMIT):
        while len(caplog.records) < count:
            await trio.sleep(0.01)
