"""Numbers in sheets that are no texts: whatever lies outside is an `ImageError`."""

from __future__ import annotations

import struct
from typing import Any

from ... import limits
from ...errors import ImageError
from ..source import Source


class Fields:
    """Bytes of a sheet, and a place in them that moves on with what is taken."""

    def __init__(self, source: Source, position: int, length: int, name: str) -> None:
        """Reads `length` bytes from `position`. Raises `ImageError` if there are not as many, or too many."""
        if length > limits.DESCRIPTOR:
            raise ImageError(f"the {name} has {length} bytes; {limits.DESCRIPTOR} are the most")
        self._name = name
        self._data = source.pread(length, position) if position >= 0 else b""
        self.at = 0
        """Where the next field is taken."""
        if len(self._data) != length:
            raise self.outside(position, length)

    def __len__(self) -> int:
        return len(self._data)

    def take(self, form: str) -> tuple[Any, ...]:
        """The fields of a struct."""
        size = struct.calcsize(form)
        return struct.unpack(form, self.raw(size))

    def skip(self, n: int) -> None:
        """Passes over `n` bytes."""
        self.raw(n)

    def raw(self, n: int) -> bytes:
        """`n` bytes."""
        if not 0 <= self.at <= len(self._data) - n:
            raise self.outside(self.at, n)
        self.at += n
        return self._data[self.at - n : self.at]

    def text(self, at: int, encoding: str) -> str:
        """The characters at a place up to a NUL; those that are not UTF-8 become lone surrogates."""
        raw = self._data[at : at + 2 * limits.DESCRIPTION_LINE]
        errors = "surrogateescape" if encoding == "utf-8" else "replace"
        text, end, _ = raw.decode(encoding, errors).partition("\0")
        if not end:
            raise ImageError(f"damaged {self._name}: the text at {at} does not end", "copy the image again")
        return text

    def outside(self, position: int, length: int) -> ImageError:
        """The error for bytes that are not there."""
        return ImageError(
            f"damaged {self._name}: it points to {length} bytes at {position}, which it does not have",
            "copy the image again",
        )
