"""Writers of CHD images, independent of the reader: versions 3 to 5, their maps as told hunk by hunk."""

from __future__ import annotations

import binascii
import hashlib
import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

PLAIN, COPY, PARENT = 4, 5, 6

Metadata = tuple[bytes, int, bytes]
"""Tag, flags, data."""


class Hunk(NamedTuple):
    """An entry of a map of version 5, as it is written."""

    type: int
    """0 to 3: codec; 4 plain; 5 a copy; 6 the parent's; 9 to 13 the short forms."""
    stored: bytes = b""
    """Of types 0 to 4."""
    number: int = 0
    """Of types 5 and 6, and what the short forms stand for."""
    crc: int = 0
    """Of types 0 to 4."""


def deflated(data: bytes) -> bytes:
    """A raw deflate stream."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


def crc_16(data: bytes) -> int:
    """The check of a hunk of version 5."""
    return binascii.crc_hqx(data, 0xFFFF)


def blocks_of(disc: bytes, size: int) -> list[bytes]:
    """The hunks of a disc, the last one filled up with zeros."""
    return [disc[at : at + size].ljust(size, b"\0") for at in range(0, len(disc), size)]


def usual(disc: bytes, size: int) -> list[Hunk]:
    """Deflate (codec 0) where it is shorter, plain otherwise, copies of earlier hunks where there are some."""
    seen: dict[bytes, int] = {}
    hunks = []
    for number, block in enumerate(blocks_of(disc, size)):
        if block in seen:
            hunks.append(Hunk(COPY, number=seen[block]))
            continue
        seen[block] = number
        stored = deflated(block)
        kind = 0 if len(stored) < size else PLAIN
        hunks.append(Hunk(kind, block if kind else stored, crc=crc_16(block)))
    return hunks


def sha1(data: bytes) -> bytes:
    return hashlib.sha1(data).digest()


def overall(raw: bytes, metadata: Sequence[Metadata]) -> bytes:
    """The SHA-1 of data and metadata."""
    return sha1(raw + b"".join(sorted(tag + sha1(data) for tag, flags, data in metadata if flags & 1)))


def chain(metadata: Sequence[Metadata], at: int) -> bytes:
    """Metadata that begin at a position of the file."""
    out = b""
    for i, (tag, flags, data) in enumerate(metadata):
        following = at + len(out) + 16 + len(data) if i + 1 < len(metadata) else 0
        out += struct.pack(">4sIQ", tag, flags << 24 | len(data), following) + data
    return out


def in_bytes(bits: str) -> bytes:
    """A string of 0 and 1, filled up with zeros."""
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def number(value: int, width: int) -> str:
    """A number in so many bits."""
    return f"{value:0{width}b}" if width else ""


SYMBOLS = "".join(number(4, 4) for _ in range(16))
"""The lengths of a code of 16 symbols, 4 bits each; so each symbol's word is its number."""


def map_5(
    hunks: Sequence[Hunk],
    size: int,
    first: int,
    *,
    symbols: str | None = None,
    widths: tuple[int, int, int] = (24, 32, 32),
    crc: int | None = None,
) -> bytes:
    """A map of version 5, its header in front. `symbols`: the code and the types, where they are not the usual ones."""
    bits = SYMBOLS + "".join(number(hunk.type, 4) for hunk in hunks) if symbols is None else symbols
    plain = bytearray()
    position = first
    for hunk in hunks:
        kind = {9: COPY, 10: COPY, 11: PARENT, 12: PARENT, 13: PARENT}.get(hunk.type, hunk.type)
        if hunk.type < 4:
            bits += number(len(hunk.stored), widths[0])
        if hunk.type <= 4:
            bits += number(hunk.crc, 16)
            plain += struct.pack(">I", kind << 24 | len(hunk.stored)) + position.to_bytes(6, "big")
            plain += struct.pack(">H", hunk.crc)
            position += size if hunk.type == 4 else len(hunk.stored)
            continue
        if hunk.type < 7:
            bits += number(hunk.number, widths[hunk.type - 4])
        plain += struct.pack(">I", kind << 24) + hunk.number.to_bytes(6, "big") + b"\0\0"
    stream = in_bytes(bits)
    crc = crc_16(bytes(plain)) if crc is None else crc
    return struct.pack(">I6sHBBBx", len(stream), first.to_bytes(6, "big"), crc, *widths) + stream


def version_5(
    hunks: Sequence[Hunk],
    size: int,
    logical: int,
    *,
    unit: int = 2048,
    tags: Sequence[bytes] = (b"zlib",),
    metadata: Sequence[Metadata] = (),
    disc: bytes | None = None,
    parent: bytes = b"",
    packed: bytes | None = None,
) -> bytes:
    """An image with a compressed map at its end, or `packed` instead of it. `disc`: what the SHA-1s are of."""
    entries = chain(metadata, 124)
    first = 124 + len(entries)
    data = b"".join(hunk.stored for hunk in hunks)
    if packed is None:
        packed = map_5(hunks, size, first)
    raw = sha1(disc) if disc is not None else b""
    head = struct.pack(
        ">8sII4s4s4s4sQQQII20s20s20s",
        b"MComprHD", 124, 5, *(list(tags) + [b""] * 4)[:4], logical, first + len(data), 124 if entries else 0, size,
        unit, raw, overall(raw, metadata) if raw else b"", parent,
    )  # fmt: skip
    return head + entries + data + packed


def uncompressed(disc: bytes, size: int, *, unit: int = 2048, parent: bytes = b"", absent: Sequence[int] = ()) -> bytes:
    """An image of version 5 without compression; hunks of zeros and those in `absent` are not stored."""
    blocks = blocks_of(disc, size)
    map_size = 4 * len(blocks)
    first = -(-(124 + map_size) // size)
    numbers = []
    data = b""
    for i, block in enumerate(blocks):
        gone = i in absent or not any(block)
        numbers.append(0 if gone else first + len(data) // size)
        data += b"" if gone else block
    head = struct.pack(
        ">8sII16xQQQII20x20x20s", b"MComprHD", 124, 5, len(disc), 124, 0, size, unit, parent
    )  # fmt: skip
    return (head + struct.pack(f">{len(numbers)}I", *numbers)).ljust(first * size, b"\0") + data


class Entry(NamedTuple):
    """An entry of a map of version 3 or 4."""

    flags: int
    stored: bytes = b""
    """Of types 1 and 2."""
    number: int = 0
    """Of types 3, 4 and 5: what stands as the position."""
    crc: int = 0


def old_usual(disc: bytes, size: int) -> list[Entry]:
    """Deflate, or plain, or eight bytes repeated, or a copy."""
    seen: dict[bytes, int] = {}
    entries = []
    for i, block in enumerate(blocks_of(disc, size)):
        stored = deflated(block)
        crc = zlib.crc32(block)
        if block == block[:8] * (size // 8):
            entries.append(Entry(3, number=int.from_bytes(block[:8], "big"), crc=crc))
        elif block in seen:
            entries.append(Entry(4, number=seen[block], crc=crc))
        elif len(stored) < size:
            entries.append(Entry(1, stored, crc=crc))
        else:
            entries.append(Entry(2, block, crc=crc))
        seen.setdefault(block, i)
    return entries


def old(
    version: int,
    entries: Sequence[Entry],
    size: int,
    logical: int,
    *,
    metadata: Sequence[Metadata] = (),
    disc: bytes | None = None,
    parent: bytes = b"",
    hunks: int | None = None,
    compression: int = 1,
) -> bytes:
    """An image of version 3 or 4."""
    length = {3: 120, 4: 108}[version]
    at = length + 16 * len(entries) + 16
    more = chain(metadata, at)
    position = at + len(more)
    rows = b""
    for entry in entries:
        n = len(entry.stored)
        where = position if n else entry.number
        rows += struct.pack(">QIHBB", where, entry.crc, n & 0xFFFF, n >> 16, entry.flags)
        position += n
    raw = sha1(disc) if disc is not None else b""
    front = (b"MComprHD", length, version, int(bool(parent)), compression, len(entries) if hunks is None else hunks)
    if version == 3:
        md5 = hashlib.md5(disc).digest() if disc is not None else b""
        head = struct.pack(
            ">8sIIIIIQQ16s16xI20s20s", *front, logical, at if more else 0, md5, size, raw, parent
        )  # fmt: skip
    else:
        both = overall(raw, metadata) if raw else b""
        head = struct.pack(
            ">8sIIIIIQQI20s20s20s", *front, logical, at if more else 0, size, both, parent, raw
        )  # fmt: skip
    return head + rows + b"EndOfListCookie\0" + more + b"".join(entry.stored for entry in entries)


def track(number: int, type: str, frames: int, *, pregap: int = 0, pgtype: str = "MODE1", postgap: int = 0) -> Metadata:
    """Metadata of a CD's track."""
    text = f"TRACK:{number} TYPE:{type} SUBTYPE:NONE FRAMES:{frames} PREGAP:{pregap} PGTYPE:{pgtype} PGSUB:NONE "
    return b"CHT2", 1, f"{text}POSTGAP:{postgap}".encode() + b"\0"
