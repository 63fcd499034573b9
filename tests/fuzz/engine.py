"""The one property that all inputs have: read, or refused by an error of `isofs.errors`, in bounded time and memory."""

from __future__ import annotations

import os
import resource
import signal
import struct
import time
from pathlib import Path
from random import Random
from types import FrameType
from typing import Final, NamedTuple, Protocol

from isofs.errors import InternalError, IsofsError

from .mutate import Case

CPU_SECONDS: Final = 2.0
"""Of processor time, for one input; wall time says little on a busy machine."""
MEMORY: Final = 256 << 20
"""Bytes by which a process that tries inputs may grow."""
_ADDRESSES: Final = 1 << 30
"""Bytes of address space beyond what there is at the start: what wants more gets a `MemoryError`, which is a find."""


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


class Figures(NamedTuple):
    """What was tried."""

    inputs: int = 0
    passed: int = 0
    """Those that got past the header."""
    slowest: float = 0.0
    """Processor seconds of one input."""
    grown: int = 0
    """Bytes by which a process grew at most."""

    def __bytes__(self) -> bytes:
        return _FIGURES.pack(*self)

    @classmethod
    def read(cls, path: Path) -> Figures:
        """What a process has left behind, however it ended."""
        data = path.read_bytes() if path.exists() else b""
        return cls(*_FIGURES.unpack(data)) if data else cls()

    def more(self, other: Figures) -> Figures:
        """Both together."""
        return Figures(
            self.inputs + other.inputs,
            self.passed + other.passed,
            max(self.slowest, other.slowest),
            max(self.grown, other.grown),
        )


_FIGURES: Final = struct.Struct("<QQdQ")


class Trial:
    """Inputs of one target, one after the other, and their figures in a file. Sets the limits of the process."""

    def __init__(self, target: Target, figures: Path) -> None:
        limited()
        self._target = target
        self._file = os.open(figures, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._figures = Figures()
        self._before = _peak()

    def attempt(self, case: Case) -> None:
        """Raises what no input may bring about."""
        start = time.process_time()
        passed = attempt(self._target, case)
        took = time.process_time() - start
        grown = max(_peak() - self._before, 0)
        self._figures = self._figures.more(Figures(1, passed, took, grown))
        os.pwrite(self._file, bytes(self._figures), 0)
        if grown > MEMORY:
            raise MemoryError(f"grown by {grown >> 20} MiB")


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


def limited() -> None:
    """Sets the limits of the process."""

    def too_long(_number: int, _frame: FrameType | None) -> None:
        raise TooLong(f"more than {CPU_SECONDS} s of processor time")

    signal.signal(signal.SIGPROF, too_long)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + _ADDRESSES, hard))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
