"""Threads that may wait: each question gets its own answer, once, whatever memory and threads there are."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest
import trio
from trio._core._wakeup_socketpair import WakeupSocketpair

from isofs.errors import SystemRefused
from isofs.mount import workers as module
from isofs.mount.workers import Workers


@pytest.fixture
async def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    monkeypatch.setattr(module, "_REST", 0.2)
    found = Workers()
    found.start()
    return found


async def test_answers_and_errors_come_to_who_asked(workers: Workers) -> None:
    async def ask(number: int) -> None:
        assert await workers.run(lambda: slowly(0.01, number)) == number
        with pytest.raises(ValueError, match=f"^{number}$"):
            await workers.run(lambda: badly(number))

    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(ask, number)


def slowly(seconds: float, number: int) -> int:
    time.sleep(seconds)
    return number


def badly(number: int) -> None:
    raise ValueError(number)


async def test_as_many_threads_work_as_there_are_questions_and_all_but_one_end(workers: Workers) -> None:
    together = threading.Barrier(5)
    before = _thread._count()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(workers.run, lambda: together.wait(10))
    assert _thread._count() == before + 4
    with trio.fail_after(10):
        while _thread._count() > before:
            await trio.sleep(0.05)
    assert await workers.run(_thread.get_ident) != _thread.get_ident()


async def test_who_is_cancelled_leaves_the_question_behind(workers: Workers) -> None:
    held = threading.Event()
    with trio.move_on_after(0.1) as scope:
        await workers.run(lambda: held.wait(10))
    assert scope.cancelled_caught
    held.set()
    assert await workers.run(lambda: "next") == "next"


async def test_an_answer_is_given_once_even_if_memory_ends_as_it_is_given(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    wake = WakeupSocketpair.wakeup_thread_and_signal_safe
    left = [MemoryError(), OSError()]

    def short(pair: WakeupSocketpair) -> None:
        wake(pair)
        if left and threading.current_thread() is not threading.main_thread():
            raise left.pop()

    monkeypatch.setattr(WakeupSocketpair, "wakeup_thread_and_signal_safe", short)
    for number in range(4):
        assert await workers.run(partial(slowly, 0.3, number)) == number
    assert not left


async def test_who_finds_no_thread_gets_one_as_soon_as_there_is_one(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = _thread.start_new_thread
    held = threading.Event()
    refused = [True]

    def limited(run: Callable[[], object], args: tuple[()]) -> int:
        if refused:
            raise RuntimeError("can't start new thread")
        return start(run, args)

    monkeypatch.setattr(_thread, "start_new_thread", limited)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(workers.run, lambda: held.wait(10))
        await trio.sleep(0.1)
        with trio.move_on_after(0.3) as scope:
            await workers.run(lambda: "early")
        assert scope.cancelled_caught
        refused.clear()
        with trio.fail_after(2):
            assert await workers.run(lambda: "late") == "late"
        held.set()


def test_no_thread_at_all_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refused)
    start = time.monotonic()
    with pytest.raises(SystemRefused, match="no thread can be started"):
        Workers().start()
    assert time.monotonic() - start < 1
