"""Sheets: files that say which tracks a disc has, and where these are stored.

A format is one module with `recognises(source) -> bool` and `open_sheet(source, beside) -> Sheet`, and one line in
`SHEETS`. `recognises` goes by content, reads little and never raises `ImageError`; `open_sheet` raises `ImageError` for
what is wrong with the sheet, `NoImage` for a file that it names and that is missing, `UnsupportedError` for kinds that
are not read.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, NamedTuple, Protocol, cast

from ... import limits
from ...errors import ImageError
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


SHEETS: Final[tuple[tuple[str, int, tuple[bytes, ...]], ...]] = (
    ("mds", 0, (b"MEDIA DESCRIPTOR\1",)),
    ("ccd", 0, ()),
    ("toc", 0, ()),
    ("gdi", 0, ()),
    ("cue", 0, ()),
    ("nrg", -12, (b"NER5",)),
    ("nrg", -8, (b"NERO",)),
    ("cdi", -8, (b"\4\0\0\x80", b"\5\0\0\x80", b"\6\0\0\x80")),
)
"""The modules in the order in which they are asked, and the bytes at a place (from the end if negative) without which
they need not be; none for a text. TOC comes before CUE: both may begin with `CATALOG`."""


def find_sheet(source: Source) -> Format | None:
    """The module that reads a file; None if it is no sheet."""
    text = source.size < limits.DESCRIPTION
    for name, at, magics in SHEETS:
        if _begins(source, at, magics) if magics else text:
            module = cast(Format, import_module(f"{__name__}.{name}"))
            if module.recognises(source):
                return module
    return None


def _begins(source: Source, at: int, magics: tuple[bytes, ...]) -> bool:
    try:
        return source.pread(len(magics[0]), at if at >= 0 else source.size + at) in magics
    except ImageError:
        return False
