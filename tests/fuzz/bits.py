"""Writers of small parts, and repairs of what they are summed up by."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable
from importlib import import_module
from random import Random

from writers.chd import deflated, in_bytes, number

from isofs.image.blockmap import CD_DEFLATE, CD_LZMA, CD_ZSTD


def bgzf_member(data: bytes) -> bytes:
    """A gzip member that tells its own length."""
    stored = deflated(data)
    head = struct.pack("<4s6xH2sHH", b"\x1f\x8b\x08\x04", 6, b"BC", 2, 18 + len(stored) + 8 - 1)
    return head + stored + struct.pack("<II", zlib.crc32(data), len(data))


def mend_bgzf(data: bytearray) -> None:
    """Sums up each member again."""
    at = 0
    while data[at : at + 4] == b"\x1f\x8b\x08\x04" and at + 18 < len(data):
        size = int.from_bytes(data[at + 16 : at + 18], "little") + 1
        try:
            plain = zlib.decompressobj(-15).decompress(bytes(data[at + 18 : at + size - 8]), 1 << 20)
        except zlib.error:
            plain = b""
        data[at + size - 8 : at + size] = struct.pack("<II", zlib.crc32(plain), len(plain))[
            : max(len(data) - at - size + 8, 0)
        ]
        at += size


def dictzip(disc: bytes, chunk: int) -> bytes:
    """A gzip member whose stretches can be decoded by themselves."""
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    chunks = [
        stream.compress(disc[at : at + chunk]) + stream.flush(zlib.Z_FULL_FLUSH) for at in range(0, len(disc), chunk)
    ]
    field = struct.pack(f"<HHH{len(chunks)}H", 1, chunk, len(chunks), *map(len, chunks))
    head = b"\x1f\x8b\x08\x04" + bytes(6) + struct.pack("<H", 4 + len(field)) + b"RA"
    head += struct.pack("<H", len(field)) + field
    return head + b"".join(chunks) + stream.flush() + struct.pack("<II", zlib.crc32(disc), len(disc))


# --- xz -------------------------------------------------------------------------------------------------------------


def _multibyte(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return out + bytes((value,))


def xz(pieces: list[bytes], lie: Callable[[list[tuple[int, int]]], list[tuple[int, int]]] = list) -> bytes:
    """A stream of a block for each piece, and an index, which `lie` may change."""
    head = lzma.compress(b"")[:12]
    body, rows = b"", []
    for piece in pieces:
        whole = lzma.compress(piece, preset=0) if piece else b""
        backward = (int.from_bytes(whole[-8:-4], "little") + 1) * 4 if whole else 0
        block = whole[12 : -12 - backward]
        if block:
            rows.append((_unpadded(whole[-12 - backward : -12]), len(piece)))
        body += block
    rows = lie(rows) if rows else rows
    index = b"\0" + _multibyte(len(rows)) + b"".join(_multibyte(a) + _multibyte(b) for a, b in rows)
    index += bytes(-len(index) % 4)
    index += struct.pack("<I", zlib.crc32(index))
    tail = struct.pack("<I", len(index) // 4 - 1) + head[6:8]
    return head + body + index + struct.pack("<I", zlib.crc32(tail)) + tail + b"YZ"


def _unpadded(index: bytes) -> int:
    """The first number of the first record of an index."""
    value = shift = 0
    for byte in index[2:]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return value


def mend_xz(data: bytearray) -> None:
    """Sums up the header, the first block's header, the last index and the footer again."""
    if len(data) < 40:
        return
    data[8:12] = struct.pack("<I", zlib.crc32(bytes(data[6:8])))
    n = (data[12] + 1) * 4
    if data[12] and 16 + n < len(data):
        data[8 + n : 12 + n] = struct.pack("<I", zlib.crc32(bytes(data[12 : 8 + n])))
    size = (int.from_bytes(data[-8:-4], "little") + 1) * 4
    if 12 + size <= len(data):
        at = len(data) - 12 - size
        data[-16:-12] = struct.pack("<I", zlib.crc32(bytes(data[at:-16])))
    data[-2:] = b"YZ"
    data[-12:-8] = struct.pack("<I", zlib.crc32(bytes(data[-8:-2])))


# --- zstd -----------------------------------------------------------------------------------------------------------


def skippable(data: bytes, kind: int = 3) -> bytes:
    """A frame that readers pass over."""
    return struct.pack("<II", 0x184D2A50 + kind, len(data)) + data


def seek_table(rows: list[tuple[int, int]]) -> bytes:
    """The table of the seekable format."""
    entries = b"".join(struct.pack("<II", *row) for row in rows) + struct.pack("<IBI", len(rows), 0, 0x8F92EAB1)
    return skippable(entries, 14)


# --- blocks of CHD images -------------------------------------------------------------------------------------------


def raw_lzma(data: bytes) -> bytes:
    """A raw LZMA1 stream, as in CHD images."""
    filters = [{"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": 1 << 16}]
    return lzma.compress(data, lzma.FORMAT_RAW, filters=filters)


def _zstd(data: bytes) -> bytes:
    try:
        library = import_module("compression.zstd")
    except ImportError:
        library = import_module("backports.zstd")
    packed: bytes = library.compress(data)
    return packed


def cd_block(kind: int, frames: bytes) -> tuple[bytes, bytes]:
    """Frames, and what they are stored as; nothing is left out of the sectors."""
    base, subchannels = {CD_DEFLATE: (deflated, deflated), CD_LZMA: (raw_lzma, deflated), CD_ZSTD: (_zstd, _zstd)}[kind]
    count = len(frames) // 2448
    packed = base(b"".join(frames[at : at + 2352] for at in range(0, len(frames), 2448)))
    rest = subchannels(b"".join(frames[at + 2352 : at + 2448] for at in range(0, len(frames), 2448)))
    return frames, bytes((count + 7) // 8) + len(packed).to_bytes(
        2 if len(frames) < 65536 else 3, "big"
    ) + packed + rest


def stored_block(chance: Random, size: int) -> bytes:
    """A block by one of the codecs, of zeros."""
    zeros = bytes(size)
    choices = [lambda: deflated(zeros), lambda: raw_lzma(zeros), lambda: b"L" + flac(chance, size // 4, wrong=0.05)]
    if size % 2448 == 0:
        choices += [lambda kind=kind: cd_block(kind, zeros)[1] for kind in (CD_DEFLATE, CD_LZMA, CD_ZSTD)]  # type: ignore[misc]
    return chance.choice(choices)()


def huffman(chance: Random, data: bytes) -> bytes:
    """A block in a Huffman code in which all 256 symbols have 8 bits, told in runs."""
    bits = number(1, 3) + number(0, 3) + "000" * 8 + number(1, 3) + "111"
    bits += "1" + "0" + number(0, 3) + "0" + "111" + number(244, 8)
    if chance.random() < 0.3:
        bits = bits[: chance.randrange(len(bits))] + str(chance.randrange(2)) + bits[chance.randrange(len(bits)) :]
    return in_bytes(bits) if not data else in_bytes(bits + "".join(number(byte, 8) for byte in data))


# FLAC


def _crc(data: bytes, polynomial: int, width: int) -> int:
    value = 0
    for byte in data:
        value ^= byte << (width - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value >> (width - 1) else value << 1) & ((1 << width) - 1)
    return value


def _signed(value: int, width: int) -> str:
    return number(value & ((1 << width) - 1), width)


def _subframe(chance: Random, count: int, width: int, wrong: float) -> str:
    """A subframe of small samples: constant, verbatim, predicted with residuals; or of what there is not."""
    kind = chance.choice(("constant", "constant", "fixed", "fixed", "lpc"))
    if chance.random() < wrong:
        return (
            "0"
            + number(chance.randrange(64), 6)
            + chance.choice(("0", "101", "1" + "0" * 40 + "1"))
            + in_bits(chance, 60)
        )
    if kind == "constant":
        return "0" + number(0, 6) + "0" + _signed(chance.randrange(-99, 99), width)
    if kind == "fixed":
        order = chance.choice((0, 1)) if wrong == 0 else chance.randrange(5)
        head = "0" + number(8 + order, 6) + "0"
    else:
        order = chance.choice((1, 2, 8, 32))
        head = "0" + number(31 + order, 6) + "0"
    warm = "".join(_signed(chance.randrange(-9, 9), width) for _ in range(order))
    if kind == "lpc":
        precision = chance.choice((1, 4, 15))
        shift = chance.choice((0, 3, 15, -1)) if chance.random() < wrong else chance.choice((0, 3, 10))
        warm += (
            number(precision - 1, 4)
            + _signed(shift, 5)
            + "".join(_signed(0 if shift < 3 else -(chance.random() < 0.2), precision) for _ in range(order))
        )
    method = chance.randrange(2)
    splits = chance.choice((0, 0, 1, 3)) if count % 8 == 0 and count // 8 > order else 0
    out = number(method, 2) + number(splits, 4)
    for part in range(1 << splits):
        n = (count >> splits) - (order if part == 0 else 0)
        escape = chance.random() < 0.2
        if escape:
            out += "1" * (4 + method) + number(0, 5)
        else:
            parameter = chance.randrange(0, 4)
            out += number(parameter, 4 + method) + ("1" + number(0, parameter)) * n
    return head + warm + out


def in_bits(chance: Random, n: int) -> str:
    """Chance's bits."""
    return number(chance.getrandbits(n), n)


def flac(chance: Random, count: int, *, wrong: float = 0.0) -> bytes:
    """Bare frames of `count` samples of two channels, their checksums right."""
    out = b""
    frame = 0
    while count > 0:
        n = min(count, 1152)
        channels = chance.choice((1, 8, 9, 10))
        head = b"\xff\xf8" + bytes((0x79, channels << 4 | 8)) + bytes((frame % 128,)) + (n - 1).to_bytes(2, "big")
        if chance.random() < wrong / 4:
            head = head[:2] + chance.randbytes(2) + head[4:]
        head += bytes((_crc(head, 0x07, 8),))
        widths = {1: (16, 16), 8: (16, 17), 9: (17, 16), 10: (16, 17)}[channels]
        body = head + in_bytes("".join(_subframe(chance, n, width, wrong) for width in widths))
        out += body + _crc(body, 0x8005, 16).to_bytes(2, "big")
        count -= n
        frame += 1
    return out
