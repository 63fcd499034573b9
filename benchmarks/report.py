"""The table for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .figures import Spread, spread
from .results import OURS, Results, Row

_FIELDS: Final = "  {:<22} {:>9} {:>21} {:>11}   {}"
RATIOS: Final = "ours x N: N times as fast as the contender of the line, below 1 slower; of the rounds (least .. most)"


def number(value: float) -> str:
    """A number with three digits that count, or two if it is below 1; all those before the point."""
    if value >= 99.95:
        return f"{value:.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.0995 else f"{value:.3f}"


def heading(results: Results) -> str:
    """The lines above the table: machine, versions, data, and what is missing."""
    words = [
        "; ".join(f"{name} {value}" for name, value in results.machine.items()),
        "; ".join(f"{name} {value}" for name, value in results.versions.items()),
        "; ".join(f"{name} {value}" for name, value in results.data.items()),
        f"medians of {results.rounds} rounds; {RATIOS}" if results.rounds != 1 else f"1 round; {RATIOS}",
        *(f"left out: {line}" for line in results.missing),
    ]
    return "\n".join(f"# {line}" for line in words if line)


def table(row: Row) -> str:
    """A row of contenders as lines."""
    return "\n".join([f"{row.name}: {row.title} [{row.unit}, {row.better} is better]", *_lines(row)])


def _lines(row: Row) -> Iterator[str]:
    for label, series in row.series.items():
        figures = spread(series.values)
        if figures is None:
            yield f"  {label:<22} failed"
            continue
        memory = spread(series.memory)
        ratio = row.ratio(label)
        yield _FIELDS.format(
            label,
            number(figures.median),
            f"({number(figures.smallest)} .. {number(figures.largest)})",
            f"{memory.median:.1f} MiB" if memory else "",
            _ratio(ratio) if ratio and label != OURS else "",
        ).rstrip()


def _ratio(ratio: Spread) -> str:
    return f"ours x {number(ratio.median)} ({number(ratio.smallest)} .. {number(ratio.largest)})"


def whole(results: Results) -> str:
    """The report of a run that is over."""
    return "\n\n".join([heading(results), *(table(row) for row in results.rows), *results.wrong])
