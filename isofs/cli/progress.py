"""How far a long work has come: a bar on stderr, if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], object]]:
    """A bar for `total` bytes, which is gone at the end; gives a function that takes bytes done, a few at a time.

    It is a `Progress` of `image.wishes`.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda _: None
        return
    tqdm.monitor_interval = 0  # no thread of its own: it would stay outside the daemon's fence
    with tqdm(desc=title or None, total=total, unit="B", unit_scale=True, unit_divisor=1024, leave=False) as bar:
        yield bar.update
