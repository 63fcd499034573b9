"""One target in a process of its own: by atheris, or without; `__main__` and the tests start it.

The process may end in any way: figures and finds are files.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, Final

from .lines import NO_PARSERS, InPython, Lines

FOUND: Final = 77
"""The exit code after a find, as libFuzzer's."""
_LONGEST: Final = 4 << 20
_STUCK: Final = 100
"""Seconds of wall time: who waits for something that never comes uses no processor."""


def main() -> int:
    """Tries inputs; `FOUND` after a find, which ends it."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.one")
    parser.add_argument("target")
    parser.add_argument("folder", type=Path, help="where `figures` are written, and files of inputs")
    parser.add_argument("corpus", type=Path, help="where inputs are kept that reached something new")
    parser.add_argument("finds", type=Path, help="where inputs go that did what none may")
    parser.add_argument("--inputs", type=int, help="how many, for --blind without more than the changes of seeds")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--blind", action="store_true", help="without atheris: changes of the seeds only")
    parser.add_argument("--compiled", action="store_true", help="with the compiled modules, which cannot guide")
    parser.add_argument("--lines", action="store_true", help="tell the lines that the corpus reaches")
    args = parser.parse_args()
    faulthandler.enable()
    tempfile.tempdir = str(args.folder)  # what a process leaves there, however it ends, goes with it
    if not args.compiled:
        sys.meta_path.insert(0, InPython())
    if args.lines:
        return _lines(args)
    return _blind(args) if args.blind else _guided(args)


def _blind(args: argparse.Namespace) -> int:
    """Changes of the seeds: the same number and seed make the same inputs, whatever is built."""
    from .corpus import Corpus
    from .engine import Trial

    corpus = Corpus(args.target)
    trial = Trial(corpus.target, args.folder / "figures")
    chance = Random(f"{args.target} {args.seed}")
    for number in range(args.inputs):
        at = chance.randrange(len(corpus.seeds))
        case = corpus.target.change(corpus.seeds[at], chance)
        try:
            trial.attempt(case)
        except BaseException:
            (args.finds / f"{args.target}-{number}".replace(" ", "-")).write_bytes(corpus.pack(case, at))
            traceback.print_exc()
            return FOUND
    return 0


def _guided(args: argparse.Namespace) -> int:
    """By atheris, whose libFuzzer ends the process."""
    atheris: Any = import_module("atheris")
    hook: Any = import_module("atheris.import_hook")
    # It stays, for what is imported when it is needed. Comparisons are not traced: the changes are ours.
    hook.HookManager({"isofs"}, NO_PARSERS, enable_loader_override=True, trace_dataflow=False).__enter__()
    from .corpus import Corpus
    from .engine import Trial

    corpus = Corpus(args.target)
    trial = Trial(corpus.target, args.folder / "figures")

    def change(data: bytes, most: int, seed: int) -> bytes:
        chance = Random(seed)
        at, case = corpus.unpack(data)
        changed = corpus.pack(corpus.target.change(case, chance), at)
        return changed if len(changed) <= most else data

    for at, case in enumerate(corpus.seeds):
        (args.corpus / f"seed-{at}").write_bytes(corpus.pack(case, at))
    settings = {
        "max_total_time": round(args.seconds) if args.seconds else None,
        "runs": args.inputs,
        "seed": args.seed + 1,  # 0 is any
        "artifact_prefix": f"{args.finds / args.target.replace(' ', '-')}-",
        "max_len": _LONGEST,
        "len_control": 0,
        "mutate_depth": 1,
        "reduce_inputs": 0,
        "reload": 0,
        "timeout": _STUCK,
        "report_slow_units": _STUCK,
        "rss_limit_mb": 1024,
        "verbosity": 0,
    }
    options = [f"-{name}={value}" for name, value in settings.items() if value is not None]
    words = [sys.argv[0], *options, str(args.corpus)]
    atheris.Setup(words, lambda data: trial.attempt(corpus.unpack(data)[1]), custom_mutator=change)
    atheris.Fuzz()
    return 0


def _lines(args: argparse.Namespace) -> int:
    """Tries the corpus once more, line by line."""
    from .corpus import Corpus

    corpus = Corpus(args.target)
    lines = Lines()
    for path in sorted(args.corpus.iterdir()):
        with lines.watching():
            try:
                corpus.target.run(corpus.unpack(path.read_bytes())[1])
            except Exception:  # what was found was told
                continue
    sys.stdout.write(json.dumps(sorted(lines.reached)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
