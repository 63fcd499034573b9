"""Writes AL entries (AAIP 2.0): attributes and access control lists, sound or not."""

from __future__ import annotations

import struct

from .discs import entry


def piece(data: bytes, *, more: bool = False, length: int | None = None) -> bytes:
    """A piece of a component."""
    return bytes((more, len(data) if length is None else length)) + data


def component(data: bytes) -> bytes:
    """A component, in as many pieces as it takes."""
    parts = [data[i : i + 255] for i in range(0, len(data), 255)] or [b""]
    return b"".join(piece(part, more=part is not parts[-1]) for part in parts)


def components(*parts: bytes) -> bytes:
    return b"".join(map(component, parts))


def al(data: bytes, *, more: bool = False) -> bytes:
    """One AL entry."""
    return entry(b"AL", bytes((more,)) + data)


def als(data: bytes, size: int = 250) -> bytes:
    """As many AL entries as the bytes of a list take."""
    parts = [data[i : i + size] for i in range(0, len(data), size)] or [b""]
    return b"".join(al(part, more=i + 1 < len(parts)) for i, part in enumerate(parts))


def acl(*entries: tuple[int, int] | tuple[int, int, int]) -> bytes:
    """An access control list as Linux has it."""
    rows = [(tag, bits, *(rest or (0xFFFF_FFFF,))) for tag, bits, *rest in entries]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)
