"""What differs between two listings, and the table of differences that are meant."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from .listing import FIELDS, MOST, Entry, Listing

REFUSED: Final = ("exit 1", "exit 32")
"""How a mount of ours may fail where Linux's fails."""


class Difference(NamedTuple):
    """One thing that differs."""

    image: str
    view: str
    path: str
    field: str
    """A field of `Entry`; `missing` and `extra` with us; `order`, `statfs` and `mount` of the whole."""
    theirs: str
    """Of what is extra: the error with which Linux ended the list of that directory, if it did."""
    ours: str

    def __str__(self) -> str:
        return f"{self.image} [{self.view}] {self.path} {self.field}: Linux {self.theirs!r}, we {self.ours!r}"


class Known(NamedTuple):
    """Differences that are meant: patterns as of a shell for the fields of `Difference`, and the reason."""

    reason: str
    image: str = "*"
    view: str = "*"
    path: str = "*"
    field: str = "*"
    theirs: str = "*"
    ours: str = "*"

    def covers(self, difference: Difference) -> bool:
        """Whether a difference is one of these. Case does not count in paths: plain names may be shown in both."""
        lower = difference._replace(path=difference.path.lower())
        return all(map(fnmatchcase, lower, self[1:]))


def differences(image: str, view: str, theirs: Listing, ours: Listing) -> Iterator[Difference]:
    """All differences of one view."""
    if theirs.failed or ours.failed:
        if not (theirs.failed and ours.failed in REFUSED):
            yield Difference(image, view, "/", "mount", theirs.failed, ours.failed)
        return
    if theirs.statfs != ours.statfs:
        yield Difference(image, view, "/", "statfs", theirs.statfs, ours.statfs)
    left = {entry.path: entry for entry in theirs.entries}
    right = {entry.path: entry for entry in ours.entries}
    common = [path for path in left if path in right]
    if [path for path in right if path in left] != common:
        yield Difference(image, view, "/", "order", "", "")
    for path in _within(theirs, ours, right):
        yield Difference(image, view, path, "missing", left[path].kind + left[path].content, "")
    for path in _within(ours, theirs, left):
        yield Difference(image, view, path, "extra", _error_above(path, left), right[path].kind + right[path].content)
    for path in common:
        for field, theirs_value, ours_value in zip(FIELDS, left[path], right[path], strict=False):
            if theirs_value != ours_value:
                yield Difference(image, view, path, field, theirs_value, ours_value)


def _error_above(path: str, known: dict[str, Entry]) -> str:
    """The error of the nearest directory above a path that is known."""
    while path not in known:
        path = path.rpartition("/")[0] or "/"
    return known[path].content.strip("-")


def _within(one: Listing, other: Listing, known: dict[str, Entry]) -> Iterator[str]:
    """Paths of one listing that the other does not know, as far as that one goes."""
    paths = [entry.path for entry in one.entries]
    if len(other.entries) == MOST:
        while paths and paths[-1] not in known:
            paths.pop()
    return (path for path in paths if path not in known)
