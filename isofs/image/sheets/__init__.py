"""Sheets: files that say which tracks a disc has, and where these are stored.

A format is one module with `recognises(source) -> bool` and `open_sheet(source, beside) -> Sheet`, and one line in
`SHEETS`. `recognises` goes by content, reads little and never raises `ImageError`; `open_sheet` raises `ImageError` for
what is wrong with the sheet, `NoImage` for a file that it names and that is missing, `UnsupportedError` for kinds that
are not read.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, NamedTuple, Protocol, cast

from ..beside import Beside
from ..sectors import Track
from ..source import Source


class Sheet(NamedTuple):
    """What a sheet says."""

    format: str
    """The format's name, as a person says it."""
    tracks: tuple[Track, ...]
    """At least one, by ascending numbers."""
    warnings: tuple[str, ...] = ()
    """What a person should know about it, a sentence each."""


class Format(Protocol):
    """A module of `SHEETS`."""

    def recognises(self, source: Source) -> bool:
        """Whether the content is of this format."""
        ...

    def open_sheet(self, source: Source, beside: Beside) -> Sheet:
        """Its tracks, whose files are opened."""
        ...


SHEETS: Final = ("mds", "ccd", "toc", "gdi", "cue", "nrg", "cdi")
"""The modules, in the order in which they are asked. TOC comes before CUE: both may begin with `CATALOG`."""


def find_sheet(source: Source) -> Format | None:
    """The module that reads a file; None if it is no sheet."""
    for name in SHEETS:
        module = cast(Format, import_module(f"{__name__}.{name}"))
        if module.recognises(source):
            return module
    return None
