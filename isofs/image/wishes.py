"""What a caller asks for beyond an image's path, and how it is told that something takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, NamedTuple

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]
"""`progress(title, total)` begins something long of `total` bytes; what it gives takes bytes done, a few at a time."""


@contextmanager
def no_progress(_title: str, _total: int) -> Iterator[Callable[[int], object]]:
    """Nobody wants to know."""
    yield lambda _: None


class Wishes(NamedTuple):
    """What is to be made of an image."""

    track: int | None = None
    """The data track to mount; None: the first one of the session."""
    session: int | Literal["last"] | None = None
    """The session to mount, from 0 as the kernel counts. Where nothing tells the sessions they are looked for. None:
    the last one that is told, else the volume of sector 16."""
    sbsector: int | None = None
    """The sector of the disc where the volume to mount begins."""
    shift: int | None = None
    """The sector of its disc that is the image's first one; None: the image tells."""
    parent: str = ""
    """The parent of a CHD image; empty: it is looked for beside the image."""
    keep_index: bool = True
    """Whether an index that takes long to make is kept in the user's cache directory."""
    progress: Progress = no_progress


NO_WISHES = Wishes()
"""The image as it is."""
