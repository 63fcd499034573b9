"""The run by hand: `script/fuzz [TARGET ...] [--seconds N]`."""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Final

from .corpus import Corpus, name_of
from .engine import Figures, attempt, limited
from .lines import all_lines
from .targets import TARGETS

_TURN: Final = 60.0
"""Seconds for one target at a time, so that all get their turns."""
_KNOWN: Final = re.compile(r"(?m)^(INFO|WARNING): .*\n")
"""What atheris says of every run."""


def main() -> int:
    """Runs what the command line asks for; 1 if something was found."""
    parser = argparse.ArgumentParser(prog="script/fuzz", description="Feeds broken images to the parsers, by atheris.")
    parser.add_argument("target", nargs="*", help=f"what to try, all if none is named: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=60, help="how long, for all of them together (60)")
    parser.add_argument("--inputs", type=int, help="how many for each target, instead of --seconds")
    parser.add_argument("--seed", type=int, default=0, help="another one makes other inputs (0)")
    parser.add_argument("--blind", action="store_true", help="without atheris: --inputs changes of sound images")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one for each core)")
    parser.add_argument("--corpus", metavar="DIRECTORY", help="where to keep what reached something new, and go on")
    parser.add_argument("--finds", default="fuzz-finds", metavar="DIRECTORY", help="where to keep what was found")
    parser.add_argument("--missed", action="store_true", help="list the lines that no input reached")
    parser.add_argument("--again", metavar="FILE", help="try one input that was kept")
    args = parser.parse_args()
    unknown = [name for name in args.target if name not in TARGETS]
    if unknown:
        parser.error(f"no such target: {unknown[0]}")
    if args.again:
        return _again(parser, Path(args.again))
    if args.blind and args.inputs is None:
        parser.error("--blind wants a number of --inputs")
    if not args.blind and find_spec("atheris") is None:
        parser.error("atheris is not here, which has no wheels for this machine: give --blind and --inputs")
    Path(args.finds).mkdir(parents=True, exist_ok=True)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="isofs-fuzz-", dir=memory) as scratch:
        return Run(args, Path(scratch)).all()


def _again(parser: argparse.ArgumentParser, path: Path) -> int:
    """One input of a find."""
    try:
        data = path.read_bytes()
    except OSError as error:
        parser.error(f"{path}: {error.strerror}")
    name = name_of(data)
    if name not in TARGETS:
        parser.error(f"{path}: no input of script/fuzz")
    faulthandler.enable()
    _, case = Corpus(name).unpack(data)
    limited()
    passed = attempt(TARGETS[name], case)
    sys.stdout.write(f"{name}: opened and read\n" if passed else f"{name}: refused\n")
    return 0


class Run:
    """Processes for each target in turn, and what came of them."""

    def __init__(self, args: argparse.Namespace, scratch: Path) -> None:
        self._args, self._scratch = args, scratch
        self._names: list[str] = args.target or list(TARGETS)
        self._totals = dict.fromkeys(self._names, Figures())
        self._said: dict[str, str] = {}
        self._running: deque[tuple[subprocess.Popen[str], str, Path]] = deque()

    def all(self) -> int:
        """Until the time is over, or somebody's patience. 1 if something was found."""
        reached: set[tuple[str, int]] = set()
        interrupted = False
        try:
            self._turns()
            if not self._args.blind:
                reached = self._reached()
        except KeyboardInterrupt:
            sys.stdout.write("interrupted\n")
            for process, _, _ in self._running:
                process.kill()
            while self._running:
                self._end()
            interrupted = True
        self._tell(reached)
        return 1 if self._said else 130 if interrupted else 0

    def _turns(self) -> None:
        args, names = self._args, self._names
        share = max(min(_TURN, args.seconds * args.jobs / len(names)), 1.0)
        until = time.monotonic() + args.seconds
        for again, name in ((again, name) for again in count() for name in names):
            if again and (args.inputs is not None or time.monotonic() > until or len(self._said) == len(names)):
                break
            if len(self._running) == args.jobs:
                self._end()
            if name in self._said:  # it would be found again
                continue
            words = ["--inputs", str(args.inputs)] if args.inputs is not None else ["--seconds", str(share)]
            words += ["--seed", str(args.seed + again)]
            words += ["--blind"] * args.blind + ["--compiled"] * (args.blind or again % 2)
            self._start(name, words, again)
        while self._running:
            self._end()

    def _start(self, name: str, words: list[str], again: int) -> None:
        folder = self._scratch / f"{name} {again}"
        folder.mkdir()
        command = [
            sys.executable,
            "-m",
            "fuzz.one",
            name,
            str(folder),
            str(self._corpus(name)),
            self._args.finds,
            *words,
        ]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,  # a key on the terminal ends this one, which ends the others
        )
        self._running.append((process, name, folder))

    def _corpus(self, name: str) -> Path:
        path = Path(self._args.corpus or self._scratch / "corpus", name.replace(" ", "-"))
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _end(self) -> None:
        """Waits for the process that was started first."""
        process, name, folder = self._running[0]
        out, _ = process.communicate()
        self._running.popleft()
        self._totals[name] = self._totals[name].more(Figures.read(folder / "figures"))
        if process.returncode not in (0, -9):
            self._said[name] = f"the process ended with {process.returncode}\n{_KNOWN.sub('', out)[-5000:]}"
        shutil.rmtree(folder, ignore_errors=True)

    def _reached(self) -> set[tuple[str, int]]:
        """The lines that the inputs reached which were kept: whatever was new."""

        def one(name: str) -> set[tuple[str, int]]:
            command = [
                sys.executable,
                "-m",
                "fuzz.one",
                name,
                str(self._scratch),
                str(self._corpus(name)),
                "",
                "--lines",
            ]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
            return {(path, line) for path, line in json.loads(done.stdout or "[]")}

        pool = ThreadPoolExecutor(self._args.jobs)
        try:
            return set[tuple[str, int]]().union(*pool.map(one, self._names))
        finally:
            pool.shutdown(cancel_futures=True)

    def _tell(self, reached: set[tuple[str, int]]) -> None:
        """The figures."""
        write = sys.stdout.write
        every = Figures()
        for total in self._totals.values():
            every = every.more(total)
        write(f"{'target':<14}{'inputs':>10}{'past the header':>18}{'slowest':>10}{'memory':>10}\n")
        for name, total in [*self._totals.items(), ("all", every)]:
            share = f"{total.passed} ({100 * total.passed / max(total.inputs, 1):.0f} %)"
            write(f"{name:<14}{total.inputs:>10}{share:>18}{total.slowest:>8.2f} s{total.grown >> 20:>6} MiB\n")
        if reached:
            files = {path for path, _ in reached}
            lines = {line for line in all_lines() if not self._args.target or line[0] in files}
            hit = reached & lines
            part = f"{len(hit)} of {len(lines)} ({100 * len(hit) / len(lines):.1f} %)"
            write(f"lines of the parsers' functions: {part}\n")
            by_file = Counter(path for path, _ in lines)
            for path in sorted(by_file):
                lost = sorted(line for at, line in lines - hit if at == path)
                shown = path.rpartition("isofs/")[2]
                write(f"  {shown:<36}{by_file[path] - len(lost):>5} of {by_file[path]:>4}")
                write(f"  {' '.join(map(str, lost))}\n" if self._args.missed else "\n")
        for name, text in self._said.items():
            write(f"\n{name}: {text}\n")


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main())
