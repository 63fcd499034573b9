"""What was measured: rows of contenders, to JSON and back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from .errors import BenchmarkError
from .figures import Better, Spread, spread, times_as_fast

OURS: Final = "ours"
"""The label of the contender that the others are compared with."""
_FORMAT: Final = 1


@dataclass
class Series:
    """One contender's figures in one row, one for each round; None where it failed."""

    values: list[float | None] = field(default_factory=list)
    memory: list[float | None] = field(default_factory=list)
    """MiB of its own that the daemon had after the measurement."""


@dataclass
class Row:
    """One kind of work, done by all contenders."""

    name: str
    title: str
    unit: str
    better: Better
    series: dict[str, Series]

    def ratio(self, label: str) -> Spread | None:
        """How many times as fast ours is as another contender."""
        if label == OURS or OURS not in self.series:
            return None
        return times_as_fast(self.series[OURS].values, self.series[label].values, self.better)


@dataclass
class Results:
    """All rows of a run, and what must be known about it."""

    rows: list[Row] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    data: dict[str, int] = field(default_factory=dict)
    rounds: int = 0
    missing: list[str] = field(default_factory=list)
    """What was left out, and why."""
    wrong: list[str] = field(default_factory=list)
    """Wrong data and failures of ours."""


def _spread_object(value: Spread | None) -> dict[str, float] | None:
    return None if value is None else {name: round(number, 4) for name, number in value._asdict().items()}


def to_json(results: Results) -> dict[str, Any]:
    """The results as JSON has them; medians and ratios are there for readers, the values are what counts."""
    rows = []
    for row in results.rows:
        contenders = {
            label: {
                "values": series.values,
                "spread": _spread_object(spread(series.values)),
                "memory_mib": series.memory,
                "ours_is_times_as_fast": _spread_object(row.ratio(label)),
            }
            for label, series in row.series.items()
        }
        about = {"name": row.name, "title": row.title, "unit": row.unit, "better": row.better}
        rows.append({**about, "contenders": contenders})
    return {
        "format": _FORMAT,
        "machine": results.machine,
        "versions": results.versions,
        "data": results.data,
        "rounds": results.rounds,
        "missing": results.missing,
        "wrong": results.wrong,
        "rows": rows,
    }


def from_json(found: Any) -> Results:
    """The results that `to_json` made this of. Raises `BenchmarkError` for anything else."""
    try:
        if found["format"] != _FORMAT:
            raise BenchmarkError(f"results of format {found['format']} are not known")
        rows = [
            Row(
                row["name"],
                row["title"],
                row["unit"],
                cast(Better, row["better"]),
                {
                    label: Series(list(series["values"]), list(series["memory_mib"]))
                    for label, series in row["contenders"].items()
                },
            )
            for row in found["rows"]
        ]
        about = (found[key] for key in ("machine", "versions", "data", "rounds", "missing", "wrong"))
        return Results(rows, *about)
    except (KeyError, TypeError, AttributeError):
        raise BenchmarkError("these are not results of a run") from None


def save(results: Results, path: Path) -> None:
    """Writes results into a file."""
    path.write_text(json.dumps(to_json(results), indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> Results:
    """Reads what `save` wrote. Raises `BenchmarkError`."""
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BenchmarkError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise BenchmarkError(f"{path}: not a JSON file") from None
    except BenchmarkError as error:
        raise BenchmarkError(f"{path}: {error}") from None
