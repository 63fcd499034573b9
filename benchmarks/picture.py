"""The chart: how many times as fast ours is as its peers. Drawn by matplotlib, which nothing else needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from .errors import BenchmarkError
from .figures import Spread
from .plan import FUSEISO, KERNEL, SQUASHFUSE_128K, core_label
from .report import number
from .results import Results

_PANELS: Final = (
    ("Plain ISO, beside fuseiso", (FUSEISO.label,)),
    ("CSO and ZSO, beside squashfuse (gzip, 128 KiB)", (SQUASHFUSE_128K.label,)),
    ("CSO and ZSO, beside the kernel's squashfs (gzip, 128 KiB)", (KERNEL.label,)),
    ("CSO and ZSO, beside libdeflate and liblz4 on one core", (core_label("deflate"), core_label("lz4"))),
)
"""Titles, and the labels of the contenders that ours is drawn beside."""
_NAMES: Final = (
    ("iso ", ""),
    ("wide ", "100,000 entries, "),
    ("cso2k ", "CSO 2K, "),
    ("cso16k ", "CSO 16K, "),
    ("zso ", "ZSO, "),
)
_WORDS: Final = (
    ("sequential ra1024", "sequential, 1 MiB read ahead"),
    ("random 4K p50", "random 4 KiB, median"),
    ("random 4K p99", "random 4 KiB, 99th percentile"),
    ("small files first", "small files, first pass"),
    ("small files second", "small files, second pass"),
    ("find first", "find -ls, first pass"),
    ("find second", "find -ls, second pass"),
    ("start", "start to usable mount"),
)

# Middle tones: they stand out from white as from black.
_TEXT: Final = "#7a7f87"
_GRID: Final = "#7a7f8755"
_FASTER: Final = "#2a9d74"
_SLOWER: Final = "#d9772b"
TIMES: Final = "\N{MULTIPLICATION SIGN}"
_FARTHEST: Final = 30
_ROOM: Final = 0.16
"""The part of the axis that the numbers need at each end."""
_EVEN: Final = 0.03
"""Ratios this near to 1 are no difference."""


class Bar(NamedTuple):
    """One bar: what was done, and how many times as fast ours was."""

    name: str
    ratio: Spread

    @property
    def label(self) -> str:
        """The number at the bar's end."""
        return number(self.ratio.median) + TIMES

    @property
    def color(self) -> str:
        """Tells whether ours is faster, slower or neither."""
        if abs(self.ratio.median - 1) <= _EVEN:
            return _TEXT
        return _FASTER if self.ratio.median > 1 else _SLOWER


class Panel(NamedTuple):
    """Bars that belong together."""

    title: str
    bars: list[Bar]


def panels(results: Results) -> list[Panel]:
    """The bars of all rows that have a peer to be drawn beside; panels without bars are left out."""
    found = []
    for title, labels in _PANELS:
        bars = []
        for row in results.rows:
            for label in labels:
                ratio = row.ratio(label) if label in row.series else None
                if ratio is not None:
                    bars.append(Bar(_name(row.name, results), ratio))
        if bars:
            found.append(Panel(title, bars))
    return found


def _name(row: str, results: Results) -> str:
    """The row's name in words for people."""
    for short, words in _NAMES:
        if row.startswith(short):
            rest = row.removeprefix(short)
            words = words.replace("100,000", f"{results.data.get('entries', 100_000):,}")
            if short == "wide ":
                return words + {"ls": "ls -f", "find": "find -ls"}.get(rest, rest)
            text = words + dict(_WORDS).get(rest, rest)
            return text if text.startswith("find -ls") else text[0].upper() + text[1:]
    return row


def bounds(drawn: Sequence[Panel]) -> tuple[float, float]:
    """The ends of the axis: room for all bars and their numbers, and for something at both sides of 1.

    What is more than `_FARTHEST` away reaches to the end.
    """
    ratios = [bar.ratio for panel in drawn for bar in panel.bars]
    least = max(1 / _FARTHEST, min([0.8, *(ratio.smallest for ratio in ratios)]))
    most = min(_FARTHEST, max([1.25, *(ratio.largest for ratio in ratios)]))
    room = (most / least) ** _ROOM
    return least / room, most * room


def ticks(low: float, high: float) -> list[float]:
    """The numbers of the axis."""
    factors = (1, 2, 5) if high / low < 100 else (1, 3)
    steps = [factor * 10.0**power for power in range(-3, 4) for factor in factors]
    return [step for step in steps if low <= step <= high]


def require_matplotlib() -> Any:
    """The module matplotlib. Raises `BenchmarkError` where it is missing."""
    try:
        import matplotlib
        import matplotlib.figure
    except ImportError:
        raise BenchmarkError("the picture needs matplotlib; run: pip install 'matplotlib>=3.8'") from None
    return matplotlib


def draw(results: Results, path: Path) -> None:
    """Draws the chart into a file, SVG or what else its name says. Raises `BenchmarkError`."""
    matplotlib = require_matplotlib()
    drawn = panels(results)
    if not drawn:
        raise BenchmarkError("no row has a peer to be drawn beside")
    rows = [len(panel.bars) for panel in drawn]
    low, high = bounds(drawn)
    style = {
        "font.family": "sans-serif",
        "font.size": 11,
        "text.color": _TEXT,
        "axes.edgecolor": _GRID,
        "axes.labelcolor": _TEXT,
        "xtick.color": _TEXT,
        "ytick.color": _TEXT,
        "svg.fonttype": "none",  # text stays text: smaller, and it can be searched
        "svg.hashsalt": "isofs",  # the same figures make the same file
    }
    with matplotlib.rc_context(style):
        height = 0.27 * sum(rows) + 0.55 * len(rows) + 1.2
        figure = matplotlib.figure.Figure(figsize=(9.2, height), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)
        figure.suptitle(
            "isofs is how many times as fast?", x=0.01, ha="left", fontsize=15, fontweight="bold", color=_TEXT
        )
        all_axes = figure.subplots(
            len(drawn), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": [count + 1.2 for count in rows]}
        )[:, 0]
        for axes, panel in zip(all_axes, drawn, strict=True):
            _draw_panel(axes, panel, low, high)
        shown = ticks(low, high)
        all_axes[-1].set_xticks(shown, [f"{tick:g}{TIMES}" for tick in shown])
        all_axes[-1].set_xlabel(_caption(results, drawn), fontsize=9.5)
        kind = path.suffix.removeprefix(".").lower() or "svg"
        options: dict[str, Any] = {"metadata": {"Date": None}} if kind == "svg" else {}
        try:
            figure.savefig(path, format=kind, transparent=True, dpi=130, **options)
        except ValueError as error:
            raise BenchmarkError(f"{path}: {error}") from None


def _draw_panel(axes: Any, panel: Panel, low: float, high: float) -> None:
    """Bars to the right of 1 are of work where ours is faster, to the left slower."""
    places = range(len(panel.bars))
    axes.set_title(panel.title, loc="left", fontsize=11.5, fontweight="bold", color=_TEXT)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(len(panel.bars) - 0.4, -0.6)
    axes.minorticks_off()
    axes.grid(axis="x", color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, pad=6)
    axes.axvline(1, color=_TEXT, linewidth=1.2)
    for place, bar in zip(places, panel.bars, strict=True):
        ratio = bar.ratio
        median, smallest, largest = (min(max(value, 1 / _FARTHEST), _FARTHEST) for value in ratio)
        axes.barh(place, median - 1, left=1, height=0.66, color=bar.color)
        if largest > smallest:
            axes.plot([smallest, largest], [place, place], color=_TEXT, linewidth=1.3, solid_capstyle="butt")
        faster = median >= 1
        axes.annotate(
            bar.label,
            (max(largest, 1) if faster else min(smallest, 1), place),
            xytext=(5 if faster else -5, 0),
            textcoords="offset points",
            ha="left" if faster else "right",
            va="center",
            fontsize=10.5,
            fontweight="bold",
        )
    axes.set_yticks(places, [bar.name for bar in panel.bars])


def _caption(results: Results, drawn: Sequence[Panel]) -> str:
    medians = [bar.ratio.median for panel in drawn for bar in panel.bars]
    cut = "; longer bars are cut" if max(medians) > _FARTHEST or min(medians) < 1 / _FARTHEST else ""
    rounds = f"median of {results.rounds} rounds, line: least to most" if results.rounds > 1 else "one round"
    machine = results.machine
    where = f"{machine.get('cpu', '')}, {machine.get('cores', '?')} cores, {machine.get('kernel', '')}".strip(", ")
    return f"more than 1{TIMES}: isofs is faster; less: slower\n({rounds}{cut})\n{where}"
