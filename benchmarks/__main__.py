"""`python -m benchmarks`: measures, and tells what it measured."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from . import machine, picture, report, results
from .data import Sizes, build, default_work
from .errors import PROGRAM, BenchmarkError, note
from .mounts import Mounts, left_behind
from .plan import PLANS, chosen
from .results import OURS, Results
from .rounds import Session, Version

EXIT_OK: Final = 0
EXIT_WRONG: Final = 1
"""Ours gave wrong data, or failed."""
EXIT_REFUSED: Final = 2
"""A wrong argument, or something that is missing."""
EXIT_INTERRUPTED: Final = 130

_EPILOG: Final = """\
Contenders of a row run one after another, each on a fresh mount, in an order that rotates with the rounds. A first
round warms up and does not count. Image files are in memory. As root the kernel's squashfs takes part, and rows with
more read ahead.

exit codes: 0 measured; 1 ours gave wrong data or failed; 2 a wrong argument, or something is missing; 130 interrupted

rows: """


def _parser() -> argparse.ArgumentParser:
    epilog = _EPILOG + ", ".join(plan.name for plan in PLANS)
    parser = argparse.ArgumentParser(
        prog=f"python -m {PROGRAM}",
        description="Measures mounts of isofs beside other programs that do the same work.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = Sizes()
    add = parser.add_argument
    add("--only", default="", metavar="WORDS", help="rows with one of these words in their name (separated by commas)")
    add("--rounds", type=_count, default=5, metavar="N", help="rounds that count (default: 5)")
    add("--warm-up", type=_number, default=1, metavar="N", help="rounds before them that do not count (default: 1)")
    add("--json", type=Path, metavar="FILE", help="write the figures into a file")
    add("--picture", type=Path, metavar="FILE.svg", help="draw a chart (needs matplotlib)")
    add("--from", type=Path, metavar="JSON", dest="source", help="take the figures from a file, measure nothing")
    add("--command", default="", metavar="COMMAND", help="mounts {image} on {dir} (default: isofs of this interpreter)")
    add("--also", action="append", default=[], metavar="LABEL=COMMAND", help="another version of ours, measured too")
    add("--work", type=Path, default=default_work(), metavar="DIR", help="where the data are (default: %(default)s)")
    add("--size", type=_count, default=default.megabytes, metavar="MB", help="of the big file (default: %(default)s)")
    add("--small-files", type=_count, default=default.small_files, metavar="N", help="how many (default: %(default)s)")
    add("--entries", type=_count, default=default.entries, metavar="N", help="of the wide directory (%(default)s)")
    return parser


def _number(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def _count(text: str) -> int:
    if _number(text) == 0:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return int(text)


def _versions(command: str, also: Sequence[str]) -> list[Version]:
    """Ours, and the other versions of it. Raises `BenchmarkError`."""
    own = [sys.executable, "-m", "isofs", "mount", "{image}", "{dir}"]
    found = [Version(OURS, tuple(shlex.split(command) if command else own))]
    for text in also:
        label, equals, words = text.partition("=")
        if not equals or not label or any(label == version.label for version in found):
            raise BenchmarkError(f"--also {text!r}: write LABEL=COMMAND, with a label of its own")
        found.append(Version(label, tuple(shlex.split(words))))
    for version in found:
        for part in ("{image}", "{dir}"):
            if not any(part in word for word in version.command):
                raise BenchmarkError(f"the command of {version.label} lacks {part}")
    return found


def _measure(args: argparse.Namespace) -> Results:
    """Measures all rows that are wanted and prints each when it is done."""
    plans = chosen(args.only.split(","))
    if not plans:
        raise BenchmarkError(f"no row has {args.only!r} in its name; --help lists them")
    versions = _versions(args.command, args.also)
    for path in left_behind():
        note(f"{path} is mounted, left by a run that was killed; run: umount {path}")
    sizes = Sizes(args.size, args.small_files, args.entries)
    data = build(args.work.absolute(), sizes, {"iso"}.union(*(plan.images for plan in plans)))
    with Mounts() as mounts:
        session = Session(data, mounts, versions, args.rounds, args.warm_up)
        session.look_around(plans)
        found = Results(
            machine=machine.facts(),
            versions={
                **{version.label: machine.own_version(version.command) for version in versions},
                **machine.versions(session.cores),
            },
            data={
                "big_mb": sizes.megabytes,
                "small_files": sizes.small_files,
                "entries": sizes.entries,
                **{path.name: path.stat().st_size for path in data.images.values()},
            },
            rounds=args.rounds,
            missing=session.missing,
            wrong=session.wrong,
        )
        print(report.heading(found), flush=True)
        for plan in plans:
            if session.can_run(plan):
                for row in session.run(plan):
                    print(f"\n{report.table(row)}", flush=True)
                    found.rows.append(row)
    return found


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and gives its exit code."""
    args = _parser().parse_args(argv)
    try:
        if args.picture:
            picture.require_matplotlib()  # not after half an hour
        if args.source:
            found = results.load(args.source)
            if not args.picture:
                print(report.whole(found))
        else:
            signal.signal(signal.SIGTERM, _interrupted)
            signal.signal(signal.SIGHUP, _interrupted)
            found = _measure(args)
        if args.json:
            results.save(found, args.json)
        if args.picture:
            picture.draw(found, args.picture)
    except BenchmarkError as error:
        note(str(error))
        return EXIT_REFUSED
    except OSError as error:
        note(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return EXIT_REFUSED
    except KeyboardInterrupt:
        note("interrupted")
        return EXIT_INTERRUPTED
    if found.wrong and not args.source:
        note(f"{len(found.wrong)} times ours was wrong or failed, see above")
        return EXIT_WRONG
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
