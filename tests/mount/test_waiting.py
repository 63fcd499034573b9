"""The quick wait, without a mount: the lock, the seam and `poll`. tests/system/test_waiting.py has the real thing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pyfuse3
import pytest
import trio
import trio.testing

from isofs.image.compiled import compiled
from isofs.mount import waiting
from isofs.mount.waiting import EVENT, REQUEST, Poll, Waiting


@pytest.fixture
def seam(monkeypatch: pytest.MonkeyPatch) -> Waiting:
    """A `Waiting` that is installed; pyfuse3 gets its trio back."""
    monkeypatch.setattr(pyfuse3, "trio", trio)
    own = Waiting()
    assert own.install()
    return own


@pytest.fixture(params=["compiled", "Python"])
def poll(request: pytest.FixtureRequest) -> Poll:
    if request.param == "Python":
        return waiting.poll
    if compiled is None:
        pytest.skip("the compiled module is not built")
    quick: Poll = compiled.poll
    return quick


@pytest.fixture
def descriptors() -> Iterator[tuple[int, int, int]]:
    """Both ends of a pipe, and an eventfd."""
    reader, writer = os.pipe()
    event = os.eventfd(0, os.EFD_NONBLOCK)
    yield reader, writer, event
    for fd in (reader, writer, event):
        try:
            os.close(fd)
        except OSError:  # the test has closed it
            continue


def test_poll_tells_what_is_there(poll: Poll, descriptors: tuple[int, int, int]) -> None:
    reader, writer, event = descriptors
    assert poll(reader, event, 0, 0) == 0
    os.write(writer, b"x")
    assert poll(reader, event, 0, 0) == REQUEST
    os.eventfd_write(event, 1)
    assert poll(reader, event, 0, 0) == REQUEST | EVENT
    os.read(reader, 1)
    assert poll(reader, event, 0, 0) == EVENT


def test_poll_takes_the_end_of_the_other_side_for_a_request(poll: Poll, descriptors: tuple[int, int, int]) -> None:
    reader, writer, event = descriptors
    os.close(writer)
    assert poll(reader, event, 40, 2) == REQUEST


def test_poll_sleeps_no_longer_than_it_is_told(poll: Poll, descriptors: tuple[int, int, int]) -> None:
    reader, _, event = descriptors
    start = time.monotonic()
    assert poll(reader, event, 40, 20) == 0
    assert 0.015 < time.monotonic() - start < 1


def test_nothing_is_replaced_in_a_pyfuse3_that_we_do_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    other = object()
    monkeypatch.setattr(pyfuse3, "trio", other)
    assert not Waiting().install()
    assert pyfuse3.trio is other  # type: ignore[attr-defined]


def test_a_wait_that_is_not_installed_does_nothing() -> None:
    own = Waiting()
    own.handover()
    own.tell()
    assert own.lock is None


def test_the_rest_of_trio_is_passed_through(seam: Waiting) -> None:
    stand_in = pyfuse3.trio  # type: ignore[attr-defined]
    assert stand_in.ClosedResourceError is trio.ClosedResourceError
    assert stand_in.lowlevel.current_task is trio.lowlevel.current_task


class Session:
    """As pyfuse3's tasks do: wait under the lock, then work without it, until the session is over."""

    def __init__(self) -> None:
        self.stand_in = pyfuse3.trio  # type: ignore[attr-defined]
        self.lock = self.stand_in.Lock()
        self.over = False
        self.requests = trio.Semaphore(0)
        self.taken: list[str] = []
        self.waiting = 0

    async def loop(self, name: str, requests: int = 1000) -> None:
        for _ in range(requests):
            self.waiting += 1
            async with self.lock:
                if self.over:
                    return
                await self.requests.acquire()
            self.waiting -= 1
            self.taken.append(name)


async def until_quiet() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_who_got_a_request_comes_back_for_the_next_one(seam: Waiting) -> None:
    session = Session()
    async with session.stand_in.open_nursery() as nursery:
        nursery.start_soon(session.loop, "first")
        await until_quiet()
        nursery.start_soon(session.loop, "second")
        for _ in range(3):
            await until_quiet()
            session.requests.release()
        await until_quiet()
        assert session.taken == ["first"] * 3
        session.over = True
        session.requests.release()


async def test_a_task_that_ends_hands_the_lock_over(seam: Waiting) -> None:
    session = Session()
    with trio.fail_after(5):
        async with session.stand_in.open_nursery() as nursery:
            nursery.start_soon(session.loop, "first", 1)
            await until_quiet()
            for name in ("second", "third"):
                nursery.start_soon(session.loop, name, 1)
            for _ in range(3):
                await until_quiet()
                session.requests.release()
    assert sorted(session.taken) == ["first", "second", "third"]


async def test_all_parked_tasks_end_with_the_session(seam: Waiting) -> None:
    session = Session()
    with trio.fail_after(5):
        async with session.stand_in.open_nursery() as nursery:
            for i in range(5):
                nursery.start_soon(session.loop, f"{i}")
            await until_quiet()
            session.over = True
            session.requests.release()
    assert len(session.taken) == 1


async def test_a_handler_that_suspends_hands_the_lock_over(seam: Waiting) -> None:
    session = Session()
    gate = trio.Event()

    async def slow() -> None:
        async with session.lock:
            await session.requests.acquire()
        session.taken.append("slow")
        seam.handover()
        await gate.wait()

    with trio.fail_after(5):
        async with session.stand_in.open_nursery() as nursery:
            nursery.start_soon(slow)
            await until_quiet()
            nursery.start_soon(session.loop, "other", 1)
            await until_quiet()
            session.requests.release()
            await until_quiet()
            session.requests.release()
            await until_quiet()
            assert session.taken == ["slow", "other"]
            gate.set()


async def test_a_parked_task_can_be_cancelled(seam: Waiting) -> None:
    session = Session()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.loop, "holder", 1)
            await until_quiet()
            with trio.move_on_after(0.01) as scope:
                await session.loop("parked")
            assert scope.cancelled_caught
            seam.handover()
            session.requests.release()
    assert session.taken == ["holder"]


async def test_an_event_of_another_thread_gives_trio_its_turn(seam: Waiting, descriptors: tuple[int, int, int]) -> None:
    reader, writer, _ = descriptors
    turns: list[str] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            async def other() -> None:
                turns.append("other")
                os.write(writer, b"x")

            seam.tell()
            nursery.start_soon(other)
            await seam.wait_readable(reader)
            turns.append("readable")
    assert turns == ["other", "readable"]
