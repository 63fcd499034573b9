"""What a mount has done, in numbers that cost next to nothing to keep; and how they are told.

`COUNTERS` is the one table of their names: the answer to `isofs stats`, its text and its help are made of it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..image.cache import BlockCache, Counts

_BUCKETS: Final = 65
"""Nanoseconds have 64 bits at most."""

COUNTERS: Final = (
    ("requests", "answered", "requests of the kernel that were answered"),
    ("requests", "failed", "of these with an error; a name that is not there is none"),
    ("requests", "elsewhere", "questions that a thread was asked, since they would have held up the others"),
    ("reads", "answered", "reads of files; what follows tells how"),
    ("reads", "ready", "at once: the bytes were in memory, or a block or two to be decoded"),
    ("reads", "helped", "after decoding their run, since no worker had come to it"),
    ("reads", "waited", "after waiting for the worker that was decoding their run"),
    ("reads", "exact", "after decoding just them: here and there in a file, no part of a streak"),
    ("reads", "elsewhere", "after a thread had waited for storage or a decoder"),
    ("reads", "failed", "with an error"),
    ("reads", "bytes", "bytes of files that were answered"),
    ("runs", "queued", "runs (up to 512 KiB of a file) left to workers ahead of a reader"),
    ("runs", "used", "of these read"),
    ("runs", "wasted", "of these thrown away unread"),
    ("runs", "evicted", "runs that made room for others"),
    ("blocks", "hits", "single blocks (directories, files in pieces, zisofs) that were in memory"),
    ("blocks", "misses", "single blocks that had to be decoded"),
)
"""Group, name and meaning of each number. A read that touches several runs may count as helped, waited or exact for
each of them; otherwise each read is in one class."""


class Counters:
    """Numbers of one mount."""

    def __init__(self) -> None:
        self.started = monotonic_ns()
        """When counting began, by the monotonic clock."""
        self.bytes = 0
        """Bytes of files that were answered."""
        self.elsewhere = 0
        """Questions that a worker had to ask, or for which it had to bring something from storage."""
        self.reads_elsewhere = 0
        """Reads that were answered after such questions."""
        self.failed: defaultdict[str, int] = defaultdict(int)
        """For each kind of request how many were answered with an error."""
        self.latencies: defaultdict[str, list[int]] = defaultdict(lambda: [0] * _BUCKETS)
        """For each kind of request how many took 2^(i-1) to 2^i - 1 nanoseconds."""


def numbers(counters: Counters, runs: Counts | None, blocks: BlockCache) -> dict[str, dict[str, int]]:
    """The values of `COUNTERS` by group and name. `runs` are the counts of a compressed image's runs."""
    reads = sum(counters.latencies["read"])
    helped, waited, exact = (runs.helped, runs.waited, runs.exact) if runs else (0, 0, 0)
    failed = counters.failed["read"]
    values = (
        sum(map(sum, counters.latencies.values())),
        sum(counters.failed.values()),
        counters.elsewhere,
        reads,
        max(reads - helped - waited - exact - counters.reads_elsewhere - failed, 0),
        helped,
        waited,
        exact,
        counters.reads_elsewhere,
        failed,
        counters.bytes,
        *((runs.ahead, runs.used, runs.wasted, runs.evictions) if runs else (0, 0, 0, 0)),
        blocks.hits,
        blocks.misses,
    )
    found: dict[str, dict[str, int]] = {}
    for (group, name, _), value in zip(COUNTERS, values, strict=True):
        found.setdefault(group, {})[name] = value
    return found


def latencies(counters: Counters) -> dict[str, dict[str, Any]]:
    """For each kind of request its count, and times below which half, 99 % and all were answered, powers of two."""
    return {kind: _latency(buckets) for kind, buckets in sorted(counters.latencies.items()) if any(buckets)}


def _latency(buckets: Sequence[int]) -> dict[str, Any]:
    count = sum(buckets)
    return {
        "count": count,
        "p50_ns": _below(buckets, math.ceil(count * 0.5)),
        "p99_ns": _below(buckets, math.ceil(count * 0.99)),
        "max_ns": _below(buckets, count),
        "histogram": [[1 << bits, n] for bits, n in enumerate(buckets) if n],
    }


def _below(buckets: Sequence[int], rank: int) -> int:
    """Nanoseconds below which the `rank` quickest were answered."""
    bits = 0
    while rank > buckets[bits]:
        rank -= buckets[bits]
        bits += 1
    return 1 << bits


# --- as text --------------------------------------------------------------------------------------------------------


def lines(facts: dict[str, Any]) -> list[str]:
    """What `isofs stats` shows of a mount, and what SIGUSR1 writes to the log."""
    decoder = ""
    if facts["decoder"]:
        decoder = f"; {facts['decoder']} decoder, {_of(facts['workers'], 'worker')}, cache {facts['cache'] >> 20} MiB"
    opened = f"{_of(facts['open_files'], 'file')} and {_of(facts['open_directories'], 'directory', 'directories')} open"
    about = {
        "image": _one_line(facts["image"]),
        "mount point": _one_line(facts["mount_point"]),
        "format": facts["format"] + decoder,
        "daemon": f"process {facts['pid']}, up {_long(facts['uptime'])}; {opened}",
    }
    for group, values in facts["counters"].items():
        about[group] = ", ".join(f"{value} {name}" for name, value in values.items())
    told = [f"{label + ':':<13}{words}" for label, words in about.items()]
    told.append(f"{'request':<13}{'count':>10}{'half below':>13}{'99 % below':>13}{'all below':>13}")
    for kind, latency in facts["latencies"].items():
        times = "".join(f"{_short(latency[key]):>13}" for key in ("p50_ns", "p99_ns", "max_ns"))
        told.append(f"{kind:<13}{latency['count']:>10}{times}")
    return told


def help_text() -> str:
    """The meaning of each number."""
    told = []
    last = ""
    for group, name, meaning in COUNTERS:
        if group != last:
            told.append(f"{group}:")
        told.append(f"  {name:<12}{meaning}")
        last = group
    return "\n".join(
        [
            *told,
            "times:",
            "  For each kind of request the times below which half, 99 % and all were answered: powers of two",
            "  of a nanosecond, so up to twice what it took. --json has the whole histogram.",
            "",
            "All numbers are since the mount began. SIGUSR1 has the daemon write them to its log.",
        ]
    )


def _one_line(path: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in path)


def _of(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _short(nanoseconds: int) -> str:
    scaled, unit = float(nanoseconds), "ns"
    for unit in ("ns", "us", "ms", "s"):
        if scaled < 1000 or unit == "s":
            break
        scaled /= 1000
    return f"{scaled:.1f} {unit}" if scaled < 10 and unit != "ns" else f"{scaled:.0f} {unit}"


def _long(seconds: float) -> str:
    left = int(seconds)
    if left < 60:
        return f"{left} s"
    if left < 3600:
        return f"{left // 60} min {left % 60} s"
    if left < 86_400:
        return f"{left // 3600} h {left // 60 % 60} min"
    return f"{left // 86_400} d {left // 3600 % 24} h"
