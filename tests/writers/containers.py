"""Writers of compressed images, after the descriptions of the formats and not after the code that reads them.

Each gives the bytes of a whole image file. What they can do wrong on purpose was met in real files: options name it.
"""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Final, Literal

import lz4.block
from lzallright import LZOCompressor

SECTOR: Final = 2048
FLAG: Final = 0x8000_0000

Codec = Callable[[bytes], bytes]
LastEntry = Literal["sound", "rounded down", "rounded up", "zero", "flagged", "garbage"]
Index = Literal["full", "floor", "zeros"]


# --- discs ----------------------------------------------------------------------------------------------------------


def sample_disc(sectors: int = 40, *, tail: int = 0, seed: int = 0) -> bytes:
    """A disc whose every sector says which one it is: text, random bytes and nearly empty sectors in turn.

    Sectors 16 and 17 hold a primary descriptor and the terminator, enough to be recognised. `tail`: bytes behind the
    last whole sector.
    """
    whole = [_sector(i, seed) for i in range(sectors + (tail > 0))]
    if sectors > 17:
        whole[16] = descriptor(1, b"sector 16")
        whole[17] = descriptor(255)
    disc = b"".join(whole)
    return disc[: sectors * SECTOR + tail]


def _sector(number: int, seed: int) -> bytes:
    name = b"sector %07d of disc %d; " % (number, seed)
    if number % 3 == 1:
        return (name + random.Random(number * 1000 + seed).randbytes(SECTOR))[:SECTOR]
    if number % 3 == 2:
        return name.ljust(SECTOR, b"\0")
    return (name * (SECTOR // len(name) + 1))[:SECTOR]


def descriptor(kind: int, content: bytes = b"") -> bytes:
    """A volume descriptor: type, identifier, version, then `content`."""
    return (bytes((kind,)) + b"CD001\1" + content).ljust(SECTOR, b"\0")


def blocks_of(disc: bytes, block_size: int) -> list[bytes]:
    """The disc in pieces; the last one may be short."""
    return [disc[at : at + block_size] for at in range(0, len(disc), block_size)]


# --- codecs ---------------------------------------------------------------------------------------------------------


def raw_deflate(data: bytes) -> bytes:
    """A raw deflate stream."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def zlib_stream(data: bytes) -> bytes:
    """A zlib stream: two bytes of header, deflate, Adler-32."""
    return zlib.compress(data, 9)


def deflate_with_adler(data: bytes) -> bytes:
    """A zlib stream without its header: the Adler-32 is left behind the deflate stream, as by ciso.py."""
    return zlib_stream(data)[2:]


def lz4_block(data: bytes) -> bytes:
    """A raw LZ4 block without a size."""
    block: bytes = lz4.block.compress(data, mode="high_compression", store_size=False)
    return block


def lz4_with_size(data: bytes) -> bytes:
    """An LZ4 block behind its decoded size, as python-lz4 writes it unless told otherwise."""
    block: bytes = lz4.block.compress(data, mode="high_compression", store_size=True)
    return block


def lzo_block(data: bytes) -> bytes:
    """An LZO1X block."""
    block: bytes = LZOCompressor().compress(data)
    return block


# --- CSO and ZSO ----------------------------------------------------------------------------------------------------


def cso(
    disc: bytes,
    *,
    magic: bytes = b"CISO",
    version: int = 1,
    block_size: int = 2048,
    shift: int = 0,
    padding: bytes = b"\0",
    header_size: int = 24,
    unused: bytes = b"\0\0",
    codec: Codec = raw_deflate,
    plain_every: int = 0,
    slack: int = 0,
    pad_last_block: bool = False,
    gap: int = 0,
    trailing: bytes = b"",
    last_entry: LastEntry = "sound",
    index: Index = "full",
) -> bytes:
    """A CSO or, by another magic and codec, a ZSO.

    `padding`: the byte between blocks that a `shift` makes necessary. `plain_every`: this and every so many blocks
    further are plain however well they compress. `slack`: bytes behind each plain block. `gap`: bytes between the index
    and the data. In version 2 every other compressed block is LZ4.
    """
    unit = 1 << shift
    blocks = blocks_of(disc, block_size)
    if index == "floor":
        blocks = [block for block in blocks if len(block) == block_size]
    elif pad_last_block:
        blocks[-1] = blocks[-1].ljust(block_size, b"\0")
    position = -(-(24 + 4 * (len(blocks) + 1) + gap) // unit) * unit
    start = position
    data = bytearray()
    entries = []
    for number, block in enumerate(blocks):
        with_lz4 = version == 2 and number % 2 == 1
        stored = lz4_block(block) if with_lz4 else codec(block)
        whole = -(-len(stored) // unit) * unit
        plain = bool(plain_every) and number % plain_every == 0
        if version == 2:
            plain = plain or whole >= block_size
            flag = FLAG if with_lz4 and not plain else 0
            if plain:
                stored = block.ljust(block_size, b"\0") + padding * slack
        else:
            plain = plain or len(stored) >= len(block)
            flag = FLAG if plain else 0
            if plain:
                stored = block + padding * slack
        entries.append(position >> shift | flag)
        last = number == len(blocks) - 1
        data += stored
        if not (last and last_entry in ("rounded down", "rounded up")):
            data += padding * (-len(data) % unit)
        position = start + len(data)
    end = position >> shift
    if last_entry == "rounded up":
        end = -(-position // unit)
    entries.append({"zero": 0, "flagged": end | FLAG, "garbage": 0x7FFF_FFF0}.get(last_entry, end))
    if index == "zeros":
        entries = [0] * len(entries)
    header = struct.pack("<4sIQIBB2s", magic, header_size, len(disc), block_size, version, shift, unused)
    table = struct.pack(f"<{len(entries)}I", *entries)
    return (header + table).ljust(start, padding) + bytes(data) + trailing


def zso(
    disc: bytes,
    *,
    block_size: int = 2048,
    shift: int = 0,
    padding: bytes = b"\0",
    codec: Codec = lz4_block,
    plain_every: int = 0,
    pad_last_block: bool = False,
    trailing: bytes = b"",
    last_entry: LastEntry = "sound",
    index: Index = "full",
    version: int = 1,
) -> bytes:
    """A ZSO: LZ4 blocks, or LZO1X with `codec=lzo_block`."""
    return cso(
        disc,
        magic=b"ZISO",
        version=version,
        block_size=block_size,
        shift=shift,
        padding=padding,
        codec=codec,
        plain_every=plain_every,
        pad_last_block=pad_last_block,
        trailing=trailing,
        last_entry=last_entry,
        index=index,
    )


def cso_header(
    *,
    magic: bytes = b"CISO",
    header_size: int = 24,
    disc_size: int = 1 << 20,
    block_size: int = 2048,
    version: int = 1,
    shift: int = 0,
) -> bytes:
    """A header alone."""
    return struct.pack("<4sIQIBB2x", magic, header_size, disc_size, block_size, version, shift)


def entry(image: bytes, number: int, *, index_at: int = 24) -> int:
    """An entry of the index of a CSO, ZSO or (at 48) JISO, or a position of a DAX (at 32)."""
    value: int = struct.unpack_from("<I", image, index_at + 4 * number)[0]
    return value


def with_entry(image: bytes, number: int, value: int, *, index_at: int = 24) -> bytes:
    """The image with another value in its index."""
    changed = bytearray(image)
    struct.pack_into("<I", changed, index_at + 4 * number, value)
    return bytes(changed)


def overwritten(image: bytes, at: int, data: bytes) -> bytes:
    """The image with other bytes at a place."""
    return image[:at] + data + image[at + len(data) :]


# --- DAX ------------------------------------------------------------------------------------------------------------

DAX_FRAME: Final = 8192


def dax(
    disc: bytes,
    *,
    version: int = 0,
    areas: Sequence[tuple[int, int]] = (),
    claimed_areas: int | None = None,
    pad_last_frame: bool = True,
    codec: Codec = zlib_stream,
) -> bytes:
    """A DAX. The frames of `areas` (first frame, number of frames) are plain, in version 0 too."""
    frames = blocks_of(disc, DAX_FRAME)
    plain = {frame for first, count in areas for frame in range(first, first + count)}
    stored = []
    for number, frame in enumerate(frames):
        whole = frame.ljust(DAX_FRAME, b"\0") if pad_last_frame else frame
        stored.append(whole if number in plain else codec(whole))
    position = 32 + 6 * len(frames) + 8 * len(areas)
    positions = []
    for frame in stored:
        positions.append(position)
        position += len(frame)
    count = len(areas) if claimed_areas is None else claimed_areas
    return b"".join(
        (
            struct.pack("<4sIII16x", b"DAX\0", len(disc), version, count),
            struct.pack(f"<{len(frames)}I", *positions),
            struct.pack(f"<{len(frames)}H", *map(len, stored)),
            *(struct.pack("<II", *area) for area in areas),
            *stored,
        )
    )


# --- JISO -----------------------------------------------------------------------------------------------------------


def jiso(
    disc: bytes,
    *,
    method: Literal[0, 1] = 1,
    block_size: int = 2048,
    block_headers: bool = False,
    claimed_method: int | None = None,
    pad_last_block: bool = True,
) -> bytes:
    """A JISO: method 0 is LZO1X, 1 raw deflate. With `block_headers` each block follows 4 bytes of its own."""
    blocks = blocks_of(disc, block_size)
    if pad_last_block:
        blocks[-1] = blocks[-1].ljust(block_size, b"\0")
    positions = []
    data = bytearray()
    start = 48 + 4 * (len(blocks) + 1)
    for block in blocks:
        positions.append(start + len(data))
        stored = lzo_block(block) if method == 0 else raw_deflate(block)
        if len(stored) >= block_size:
            stored = block
        data += (b"\xc7\xc7\xc7\xc7" if block_headers else b"") + stored
    positions.append(start + len(data))
    header = struct.pack(
        "<4sBBHBxBxI16sI12x",
        b"JISO",
        3,
        1,
        block_size,
        block_headers,
        method if claimed_method is None else claimed_method,
        len(disc),
        hashlib.md5(disc).digest(),
        0x30,
    )
    return header + struct.pack(f"<{len(positions)}I", *positions) + bytes(data)


# --- GameCube -------------------------------------------------------------------------------------------------------


def gamecube_ciso(block_size: int = 0x20_0000) -> bytes:
    """The other format of the magic CISO: a map of present blocks, of which the first is there."""
    head = b"CISO" + block_size.to_bytes(4, "little") + b"\1"
    return head.ljust(0x8000, b"\0") + b"GAMECUBE".ljust(4096, b"\0")
