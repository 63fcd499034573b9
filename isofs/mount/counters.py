"""What a mount has done, in numbers that cost next to nothing to keep."""

from __future__ import annotations

from collections import defaultdict

_BUCKETS = 64


class Counters:
    """Numbers of one mount."""

    def __init__(self) -> None:
        self.bytes = 0
        """Bytes of files that were answered."""
        self.elsewhere = 0
        """Questions that a worker had to ask, or for which it had to bring something from storage."""
        self.latencies: defaultdict[str, list[int]] = defaultdict(lambda: [0] * _BUCKETS)
        """For each kind of request how many took 2^(i-1) to 2^i - 1 nanoseconds."""
