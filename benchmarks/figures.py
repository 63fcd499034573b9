"""Arithmetic of the figures: medians, spreads, percentiles, ratios."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Better = Literal["more", "less"]
"""Whether more or less of a unit is better."""


class Spread(NamedTuple):
    """The median of some values, with the smallest and the largest of them."""

    median: float
    smallest: float
    largest: float


def spread(values: Iterable[float | None]) -> Spread | None:
    """The spread of the values that there are; None if there are none."""
    known = [value for value in values if value is not None]
    return Spread(statistics.median(known), min(known), max(known)) if known else None


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def times_as_fast(ours: Sequence[float | None], peer: Sequence[float | None], better: Better) -> Spread | None:
    """How many times as fast ours is as a peer: the ratio of each round, then their spread.

    Above 1 ours is the faster one, in speeds as in times. A round that one of the two did not finish does not count.
    """
    ratios = []
    for a, b in zip(ours, peer, strict=True):
        if a and b:
            ratios.append(a / b if better == "more" else b / a)
    return spread(ratios)
