"""Tables of directories: what listing and lookup share, and the cache that keeps those used last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final, Literal
from weakref import WeakValueDictionary

from ... import limits
from ..tree import Entry
from . import names

Case = Literal["insensitive", "lower", "upper"]

_ENTRY_WEIGHT: Final = 500
"""Bytes of memory that an entry of a table takes, about."""


class Directory(list[Entry]):
    """A directory's table: its entries in the disc's order, and which one has a name.

    `case`: see `View`. Of names that differ in case only the later ones get a number then. `charset`: their encoding.
    """

    def __init__(
        self,
        index: dict[bytes, Entry],
        *,
        joliet: bool,
        relaxed: bool,
        case: Case | None = None,
        charset: str = "utf-8",
    ) -> None:
        self._joliet = joliet
        self._cased = case is not None
        self._charset = charset
        self._folded: dict[bytes, Entry] = {}
        if case is not None:
            told = index
            index = {entry.name: entry for entry in self._in_case(told.values(), case)}
            for name, entry in zip(told, index.values(), strict=True):  # a few letters fold to others when changed
                self._folded.setdefault(self._fold(name), entry)
        super().__init__(index.values())
        self._index = index
        if relaxed and case is None:
            for entry in self:
                self._folded.setdefault(self._fold(entry.name), entry)

    def _fold(self, name: bytes) -> bytes:
        return names.folded(name, joliet=self._joliet, cased=self._cased, charset=self._charset)

    def _in_case(self, entries: Iterable[Entry], case: Case) -> Iterator[Entry]:
        """The entries as they are shown; `_folded` gets their names."""
        counts: dict[bytes, int] = {}
        for entry in entries:
            name = told = entry.name
            if case != "insensitive":
                name = told = names.showable(names.in_case(told, case, self._charset))
            first = self._fold(names.stem(told))
            while self._fold(name) in self._folded:
                counts[first] = counts.get(first, 1) + 1
                name = names.numbered(told, counts[first])
            shown = entry._replace(name=name)
            self._folded[self._fold(name)] = shown
            yield shown

    @property
    def weight(self) -> int:
        """Bytes of memory, about."""
        return _ENTRY_WEIGHT * (len(self) + 4)

    def find(self, name: bytes) -> Entry | None:
        """The entry of a name. An exact match wins; if case does not count then the first that differs in case only.

        Joliet's trailing dots never count.
        """
        entry = self._index.get(name)
        if entry is None and self._joliet:
            entry = self._index.get(name.rstrip(b"."))
        if entry is None and self._folded:
            entry = self._folded.get(self._fold(name))
        return entry


class Tables:
    """The tables of the directories used last, by their places: at most `limits.DIRECTORY_CACHE` bytes of them.

    Those that somebody else still holds are found as well. Any thread may ask.
    """

    def __init__(self) -> None:
        self.kept: OrderedDict[int, Directory] = OrderedDict()
        """Those used last, the last one at the end."""
        self._weight = 0
        self._held: WeakValueDictionary[int, Directory] = WeakValueDictionary()
        """All that are in memory, those that somebody else holds among them."""
        self._lock = threading.Lock()

    def find(self, place: int) -> Directory | None:
        """The table of the directory at a place, which is the one used last from now on."""
        with self._lock:
            table = self.kept.get(place)
            if table is not None:
                self.kept.move_to_end(place)
                return table
        table = self._held.get(place)
        if table is not None:
            self.keep(place, table)
        return table

    def keep(self, place: int, table: Directory) -> None:
        """Makes a table the one used last. The oldest ones go where there are too many, never this one."""
        with self._lock:
            self._held[place] = table
            if place not in self.kept:
                self._weight += table.weight
            self.kept[place] = table
            self.kept.move_to_end(place)
            while self._weight > limits.DIRECTORY_CACHE and len(self.kept) > 1:
                _, dropped = self.kept.popitem(last=False)
                self._weight -= dropped.weight
