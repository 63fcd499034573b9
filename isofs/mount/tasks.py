"""What the daemon is doing: its tasks and threads, for the log."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from types import FrameType

import trio


def task_lines() -> Iterator[str]:
    """A line for each task and thread of this process, and one for each place where it is. For a task to ask."""
    root = trio.lowlevel.current_root_task()
    todo = [root] if root else []
    while todo:
        task = todo.pop()
        yield f"task {task.name}"
        try:
            yield from (_line(frame, number) for frame, number in task.iter_await_frames())
        except TypeError:  # it ends in compiled code, which has no frames to show
            yield "  in compiled code"
        for nursery in task.child_nurseries:
            todo += nursery.child_tasks
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        yield f"thread {names.get(ident, ident)}"
        stack = []
        at: FrameType | None = frame
        while at is not None:
            stack.append(_line(at, at.f_lineno))
            at = at.f_back
        yield from reversed(stack)


def _line(frame: FrameType, number: int) -> str:
    return f"  {frame.f_code.co_filename}:{number} {frame.f_code.co_qualname}"
