"""Errors of a run, each one line; and notes."""

from __future__ import annotations

import sys

PROGRAM = "benchmarks"


class BenchmarkError(Exception):
    """Something that ends a measurement or the run; the text is one line."""


def note(text: str) -> None:
    """Tells something about the run on stderr. stdout has the results alone."""
    print(f"{PROGRAM}: {text}", file=sys.stderr, flush=True)
