"""Which lines of the parsers were reached, and the Python twins of compiled modules, whose lines can be seen."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Final

import isofs

if TYPE_CHECKING:
    from _typeshed import TraceFunction

_HOME: Final = Path(isofs.__file__).parent
_FOLDERS: Final = tuple(str(_HOME / folder) + os.sep for folder in ("image", "volume"))

NO_PARSERS: Final = frozenset(
    f"isofs.{name}"
    for name in (
        *("image.cache", "image.decode", "image.plain", "image.indexes", "image.compiled", "image.wishes", "image.ecc"),
        *("volume.tree", "errors", "limits"),
    )
)
"""Modules that serve what others have parsed; their lines are not counted."""


class InPython:
    """Finds the Python twins of compiled modules: put first in `sys.meta_path`."""

    _same: Final = ("isofs.image.chd.flac", "isofs.image.chd.huffman")
    _left_out: Final = ("isofs.image._decode", "isofs.image._ecc", "isofs.volume.iso9660._records")

    def find_spec(self, name: str, _path: object, _target: object = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if name in self._left_out:
            raise ImportError(name)
        if name not in self._same:
            return None
        return spec_from_file_location(name, str(_HOME.joinpath(*name.split(".")[1:])) + ".py")


class Lines:
    """The lines of the parsers' functions that were reached, as paths and numbers."""

    def __init__(self) -> None:
        self.reached: set[tuple[str, int]] = set()
        self._left: dict[CodeType, set[int]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches this thread."""
        sys.settrace(self._call)
        try:
            yield
        finally:
            sys.settrace(None)

    def _call(self, frame: FrameType, _event: str, _arg: object) -> TraceFunction | None:
        code = frame.f_code
        left = self._left.get(code)
        if left is None:
            left = self._left[code] = lines_of(code) if code.co_filename.startswith(_FOLDERS) else set()
        return self._line if left else None

    def _line(self, frame: FrameType, event: str, _arg: object) -> TraceFunction | None:
        if event != "line":
            return self._line
        code = frame.f_code
        left = self._left[code]
        if frame.f_lineno in left:
            left.discard(frame.f_lineno)
            self.reached.add((code.co_filename, frame.f_lineno))
        return self._line if left else None


def all_lines() -> set[tuple[str, int]]:
    """All lines of functions in the parsers' files."""
    found: set[tuple[str, int]] = set()
    for folder in _FOLDERS:
        for path in sorted(Path(folder).rglob("*.py")):
            if ".".join(("isofs", *path.relative_to(_HOME).with_suffix("").parts)) in NO_PARSERS:
                continue
            todo = [compile(path.read_text(), str(path), "exec")]
            while todo:
                code = todo.pop()
                todo += [part for part in code.co_consts if isinstance(part, CodeType)]
                if code.co_flags & 2:  # CO_NEWLOCALS: a function
                    found |= {(str(path), line) for line in lines_of(code)}
    return found


def lines_of(code: CodeType) -> set[int]:
    """The lines of a function's body."""
    return {line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno}
