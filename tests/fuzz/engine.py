"""Runs inputs through targets and watches: any error but those of `isofs.errors`, time, memory, and lines reached."""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from random import Random
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import isofs
from isofs.errors import InternalError, IsofsError

from .mutate import Case

if TYPE_CHECKING:
    from _typeshed import TraceFunction

CPU_SECONDS: Final = 2.0
"""Of processor time, for one input; wall time says little on a busy machine."""
STUCK_SECONDS: Final = 60
"""Of wall time: who waits for something that never comes uses no processor."""
MEMORY: Final = 256 << 20
"""Bytes by which a process that tries inputs may grow."""
_ADDRESSES: Final = 1 << 30
"""Bytes of address space beyond what there is at the start: what wants more gets a `MemoryError`, which is a find."""
_TRACED: Final = 8
"""One input in so many is watched line by line."""
_POOL: Final = 400
_NO_PARSERS: Final = (
    "cache.py",
    "decode.py",
    "plain.py",
    "indexes.py",
    "compiled.py",
    "wishes.py",
    "tree.py",
    "ecc.py",
)
"""Modules that serve what others have parsed; their lines are not counted."""


class Target(Protocol):
    """Something that reads hostile bytes."""

    def seeds(self) -> list[Case]:
        """Sound inputs."""
        ...

    def change(self, case: Case, chance: Random) -> Case:
        """A new input of an old one."""
        ...

    def run(self, case: Case) -> bool:
        """Reads all that it can of an input, and says whether the first look let it through.

        Lets `IsofsError` out where an input is refused, and fails for what is not as it should be.
        """
        ...


class TooLong(BaseException):
    """An input took more processor time than allowed."""


class Find(NamedTuple):
    """An input that did what none may."""

    target: str
    number: int
    case: Case
    said: str
    """The traceback."""


class Result(NamedTuple):
    """What a run came to."""

    inputs: int
    passed: int
    """Those that got past the header."""
    finds: list[Find]
    slowest: float
    """Processor seconds of one input."""
    grown: int
    """Bytes by which the process grew at most."""


def attempt(target: Target, case: Case) -> bool:
    """One input, within its time. Raises what is no allowed refusal."""
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        return target.run(case)
    except IsofsError as error:
        allowed(error)
        return False
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def allowed(error: IsofsError) -> None:
    """Fails for an error that is not one line, or says that the fault is ours."""
    assert not isinstance(error, InternalError), "a bug, as it says itself"
    assert "\n" not in str(error), f"more than a line: {error!r}"
    assert error.reason


def run(
    name: str,
    target: Target,
    *,
    inputs: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    lines: Lines | None = None,
    stop_at: int = 5,
) -> Result:
    """Tries a number of inputs, or for some time. The same number and seed give the same inputs.

    With `lines` inputs that reach new ones are the beginning of others; what is tried then depends on what is built.
    """
    watched()
    chance = Random(f"{name} {seed}")
    seeds = target.seeds()
    for case in seeds:
        if not target.run(case):
            raise AssertionError(f"a seed of {name} is refused")
    pool: list[Case] = []
    gc.collect()
    before = _peak()
    until = None if seconds is None else time.monotonic() + seconds
    number = passed = 0
    slowest = 0.0
    finds: list[Find] = []
    while (inputs is None or number < inputs) and (until is None or time.monotonic() < until):
        base = chance.choice(pool) if pool and chance.random() < 0.4 else chance.choice(seeds)
        case = target.change(base, chance)
        start = time.process_time()
        faulthandler.dump_traceback_later(STUCK_SECONDS, exit=True)
        try:
            if lines is not None and number % _TRACED == 0:
                with lines.watching() as fresh:
                    ok = attempt(target, case)
                if fresh():
                    pool.append(case)
                    del pool[:-_POOL]
            else:
                ok = attempt(target, case)
            passed += ok
            if _peak() - before > MEMORY:
                raise MemoryError(f"grown by {_peak() - before >> 20} MiB")
        except (Exception, TooLong):
            finds.append(Find(name, number, case, traceback.format_exc()))
            before = max(before, _peak() - MEMORY // 2)
            if len(finds) >= stop_at:
                break
        faulthandler.cancel_dump_traceback_later()
        slowest = max(slowest, time.process_time() - start)
        number += 1
    return Result(number, passed, finds, slowest, max(_peak() - before, 0))


def watched() -> None:
    """Sets the limits of the process."""

    def too_long(_number: int, _frame: FrameType | None) -> None:
        raise TooLong(f"more than {CPU_SECONDS} s of processor time")

    signal.signal(signal.SIGPROF, too_long)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + _ADDRESSES, hard))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class InPython:
    """Finds the Python twins of compiled modules, so that their lines can be watched: put first in `sys.meta_path`."""

    _same: Final = ("isofs.image.chd.flac", "isofs.image.chd.huffman")
    _left_out: Final = ("isofs.image._decode", "isofs.image._ecc", "isofs.volume.iso9660._records")

    def find_spec(self, name: str, _path: object, _target: object = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if name in self._left_out:
            raise ImportError(name)
        if name not in self._same:
            return None
        path = str(Path(isofs.__file__).parent.joinpath(*name.split(".")[1:])) + ".py"
        return spec_from_file_location(name, path)


class Lines:
    """Which lines of the parsers' functions were reached."""

    def __init__(self, *folders: str) -> None:
        self._folders = tuple(str(Path(isofs.__file__).with_name(folder)) + os.sep for folder in folders)
        self.reached: set[tuple[str, int]] = set()
        self._left: dict[CodeType, set[int]] = {}

    @contextmanager
    def watching(self) -> Iterator[Callable[[], bool]]:
        """Watches this thread; what it gives says afterwards whether there was something new."""
        known = len(self.reached)
        sys.settrace(self._call)
        try:
            yield lambda: len(self.reached) > known
        finally:
            sys.settrace(None)

    def _call(self, frame: FrameType, _event: str, _arg: object) -> TraceFunction | None:
        code = frame.f_code
        left = self._left.get(code)
        if left is None:
            ours = code.co_filename.startswith(self._folders)
            left = self._left[code] = lines_of(code) if ours else set()
        return self._line if left else None

    def _line(self, frame: FrameType, event: str, _arg: object) -> TraceFunction | None:
        if event != "line":
            return self._line
        code = frame.f_code
        left = self._left[code]
        if frame.f_lineno in left:
            left.discard(frame.f_lineno)
            self.reached.add((code.co_filename, frame.f_lineno))
        return self._line if left else None

    def all(self) -> set[tuple[str, int]]:
        """All lines of functions in the folders' files."""
        found: set[tuple[str, int]] = set()
        for folder in self._folders:
            for path in sorted(Path(folder).rglob("*.py")):
                if path.name in _NO_PARSERS:
                    continue
                todo = [compile(path.read_text(), str(path), "exec")]
                while todo:
                    code = todo.pop()
                    todo += [part for part in code.co_consts if isinstance(part, CodeType)]
                    if code.co_flags & 2:  # CO_NEWLOCALS: a function
                        found |= {(str(path), line) for line in lines_of(code)}
        return found


def lines_of(code: CodeType) -> set[int]:
    """The lines of a function's body."""
    return {line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno}
