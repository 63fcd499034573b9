"""The long run by hand: `script/fuzz [TARGET ...] [--seconds N]`."""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import pickle
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

from .engine import Find, InPython, Lines, Result, attempt, run, watched

if "--python" in sys.argv:
    sys.meta_path.insert(0, InPython())

from .targets import TARGETS

_SHARE: Final = 4.0
"""Seconds for one target at a time, so that all get their turns."""


def main() -> int:
    """Runs what the command line asks for; 1 if something was found."""
    parser = argparse.ArgumentParser(prog="script/fuzz", description="Feeds broken images to the parsers.")
    parser.add_argument("target", nargs="*", help=f"what to try, all if none is named: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=60, help="how long, for all of them together (60)")
    parser.add_argument("--inputs", type=int, help="how many for each target, instead of --seconds")
    parser.add_argument("--seed", type=int, default=0, help="the same seed and --inputs make the same inputs (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one for each core)")
    parser.add_argument("--finds", default="fuzz-finds", metavar="DIRECTORY", help="where to keep what was found")
    parser.add_argument("--missed", action="store_true", help="list the lines that no input reached")
    parser.add_argument("--again", metavar="FILE", help="try one input that was kept")
    parser.add_argument("--python", action="store_true", help="without the compiled modules, in every turn")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    unknown = [name for name in args.target if name not in TARGETS]
    if unknown:
        parser.error(f"no such target: {unknown[0]}")
    names = args.target or list(TARGETS)
    if args.again:
        return _again(args.again)
    if args.json:
        return _one(names[0], args)
    return _all(names, args)


def _again(path: str) -> int:
    """One input of a find."""
    name, case = pickle.loads(Path(path).read_bytes())
    watched()
    passed = attempt(TARGETS[name], case)
    sys.stdout.write("opened and read\n" if passed else "refused\n")
    return 0


def _one(name: str, args: argparse.Namespace) -> int:
    """One target in this process; the result goes to stdout."""
    faulthandler.enable()
    lines = None if args.inputs is not None else Lines("image", "volume")
    result = run(
        name,
        TARGETS[name],
        inputs=args.inputs,
        seconds=None if args.inputs is not None else args.seconds,
        seed=args.seed,
        lines=lines,
    )
    for find in result.finds:
        _keep(find, Path(args.finds))
    found = {
        **result._asdict(),
        "finds": [find.said for find in result.finds],
        "lines": sorted(lines.reached) if lines else [],
    }
    sys.stdout.write(json.dumps(found) + "\n")
    return 1 if result.finds else 0


def _keep(find: Find, folder: Path) -> None:
    """Writes an input down: to be tried again, and as files."""
    folder.mkdir(parents=True, exist_ok=True)
    case = find.case._replace(mend=None, hot=(), vital=())
    stem = f"{find.target.replace(' ', '-')}-{os.getpid()}-{find.number}"
    (folder / f"{stem}.input").write_bytes(pickle.dumps((find.target, case)))
    (folder / f"{stem}.txt").write_text(find.said)
    (folder / f"{stem}.image").write_bytes(case.data)


def _all(names: list[str], args: argparse.Namespace) -> int:
    """Processes for each target in turn, until the time is over."""
    command = [sys.executable, "-m", "fuzz", "--json", "--finds", args.finds]
    until = time.monotonic() + args.seconds
    share = max(min(_SHARE * 5, args.seconds * args.jobs / len(names)), 1.0)
    totals: dict[str, Result] = {name: Result(0, 0, [], 0.0, 0) for name in names}
    reached: set[tuple[str, int]] = set()
    said: Counter[str] = Counter()
    running: dict[subprocess.Popen[str], str] = {}
    turn = 0
    while True:
        more = turn < len(names) if args.inputs is not None else turn < len(names) or time.monotonic() < until
        if more and len(running) < args.jobs:
            name = names[turn % len(names)]
            words = ["--inputs", str(args.inputs)] if args.inputs is not None else ["--seconds", str(share)]
            words += ["--seed", str(args.seed + turn // len(names))]
            words += ["--python"] * (args.python or turn // len(names) % 2)
            process = subprocess.Popen(
                [*command, name, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            running[process] = name
            turn += 1
            continue
        if not running:
            break
        process = next(iter(running))
        out, error = process.communicate()
        name = running.pop(process)
        if not out.startswith("{"):
            said[f"{name}: the process ended with {process.returncode}\n{error[-3000:]}"] += 1
            continue
        got = json.loads(out)
        reached |= {(path, line) for path, line in got["lines"]}
        for text in got["finds"]:
            said[f"{name}: {text}"] += 1
        old = totals[name]
        totals[name] = Result(
            old.inputs + got["inputs"],
            old.passed + got["passed"],
            [],
            max(old.slowest, got["slowest"]),
            max(old.grown, got["grown"]),
        )
    _tell(totals, reached, said, missed=args.missed)
    return 1 if said else 0


def _tell(totals: dict[str, Result], reached: set[tuple[str, int]], said: Counter[str], *, missed: bool) -> None:
    """The figures."""
    write = sys.stdout.write
    write(f"{'target':<14}{'inputs':>10}{'past the header':>18}{'slowest':>10}{'memory':>10}\n")
    every = Result(
        sum(total.inputs for total in totals.values()),
        sum(total.passed for total in totals.values()),
        [],
        max(total.slowest for total in totals.values()),
        max(total.grown for total in totals.values()),
    )
    for name, total in [*totals.items(), ("all", every)]:
        share = f"{total.passed} ({100 * total.passed / max(total.inputs, 1):.0f} %)"
        write(f"{name:<14}{total.inputs:>10}{share:>18}{total.slowest:>8.2f} s{total.grown >> 20:>6} MiB\n")
    if reached:
        every_line = Lines("image", "volume").all()
        hit = reached & every_line
        write(
            f"lines of the parsers' functions: {len(hit)} of {len(every_line)}"
            f" ({100 * len(hit) / len(every_line):.1f} %)\n"
        )
        by_file = Counter(path for path, _ in every_line)
        for path in sorted(by_file):
            lost = sorted(line for at, line in every_line - hit if at == path)
            shown = path.rpartition("isofs/")[2]
            write(f"  {shown:<36}{by_file[path] - len(lost):>5} of {by_file[path]:>4}")
            write(f"  {' '.join(map(str, lost))}\n" if missed else "\n")
    for text, times in said.items():
        write(f"\n{times} x {text}\n")


if __name__ == "__main__":
    sys.exit(main())
