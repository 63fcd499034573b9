"""Writes boot catalogues (El Torito), entry by entry."""

from __future__ import annotations

import struct

from .discs import SECTOR


def boot_record(sector: int) -> bytes:
    """The volume descriptor that names a boot catalogue."""
    head = b"\0CD001\1" + b"EL TORITO SPECIFICATION".ljust(64, b"\0")
    return (head + struct.pack("<I", sector)).ljust(SECTOR, b"\0")


def validation(platform: int, *, checksum: int = 0) -> bytes:
    """The first entry; `checksum`: how far it is from being right."""
    raw = bytearray(bytes((1, platform)).ljust(30, b"\0") + b"\x55\xaa")
    total = checksum - sum(struct.unpack("<16H", raw))
    raw[28:30] = struct.pack("<H", total & 0xFFFF)
    return bytes(raw)


def boot_entry(sector: int, *, bootable: bool = True, medium: int = 0, segment: int = 0, count: int = 4) -> bytes:
    """An image."""
    raw = struct.pack("<BBHBxHI", 0x88 if bootable else 0, medium, segment, 0, count, sector)
    return raw.ljust(32, b"\0")


def header(platform: int, count: int, *, last: bool) -> bytes:
    """The head of a section."""
    return struct.pack("<BBH", 0x91 if last else 0x90, platform, count).ljust(32, b"\0")


def catalogue(*entries: bytes) -> bytes:
    """A catalogue for x86."""
    return validation(0) + b"".join(entries)
