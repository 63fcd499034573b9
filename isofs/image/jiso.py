"""JISO, the image of "PSP ISO Compressor" (`.jso`, magic `JISO`).

Header, 48 bytes, little-endian:

| at | size | field | |
| --- | --- | --- | --- |
| 0 | 4 | magic | `JISO` |
| 4 | 2 | unknown | 3 and 1 were seen |
| 6 | 2 | block size | 2048, 4096, 8192 |
| 8 | 1 | block headers | 1: each block follows 4 bytes of unknown content |
| 9 | 1 | unknown | |
| 10 | 1 | method | 0 LZO1X, 1 raw deflate |
| 11 | 1 | unknown | |
| 12 | 4 | disc size | bytes |
| 16 | 16 | MD5 | of the disc; zeros if the writer left it out |
| 32 | 4 | header size | 48 |
| 36 | 12 | unknown | |

Index at 48: N + 1 positions of 32 bits without flags. A block is stored in the bytes up to the next position, less
the block header; one stored in exactly the block size is plain.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import Final

from .. import limits
from ..errors import ImageError, UnsupportedError
from .blockmap import BAD, DEFLATE, LZO1X, PLAIN, BlockMap, Checksum, Index, Rows, empty_rows, truncation
from .source import Source
from .wishes import NO_WISHES, Wishes

HEADER: Final = struct.Struct("<4s2xHBxBxI16s16x")
INDEX_AT: Final = HEADER.size
_BLOCK_HEADER: Final = 4
_METHODS: Final = {0: LZO1X, 1: DEFLATE}


def open_map(source: Source, _wishes: Wishes = NO_WISHES) -> BlockMap:
    """The block map of a JISO image. Raises `ImageError`, and `UnsupportedError` for an unknown method."""
    head = source.pread(HEADER.size, 0)
    if len(head) < HEADER.size:
        raise ImageError("truncated: the JISO header is cut off", "copy the image again")
    _, block_size, block_headers, method, disc_size, md5 = HEADER.unpack(head)
    if block_size not in limits.BLOCK_SIZE or not disc_size:
        raise ImageError(f"damaged JISO header: {disc_size} bytes in blocks of {block_size}", "copy the image again")
    if method not in _METHODS:
        raise UnsupportedError(f"JISO compression method {method} is unknown")
    compressed = _METHODS[method]
    count = -(-disc_size // block_size)
    if INDEX_AT + 4 * (count + 1) > source.size:
        raise ImageError(
            f"truncated: the index of {count} blocks does not fit into the JISO file's {source.size} bytes",
            "copy the image again",
        )
    skip = _BLOCK_HEADER if block_headers == 1 else 0
    most = block_size + block_size // 8 + 64

    index = Index(source, INDEX_AT, "I", count + 1)

    def load(first: int, n: int) -> Rows:
        entries = index.entries(max(first - 1, 0), first + n + 1 - max(first - 1, 0))
        before = entries.pop(0) if first else 0
        rows = empty_rows()
        for i in range(n):
            position = entries[i] + skip
            stored = entries[i + 1] - position
            kind = PLAIN if stored == block_size else compressed
            if entries[i] < INDEX_AT or not 0 < stored <= most or entries[i] <= before <= entries[i + 1]:
                kind = BAD
            before = entries[i]
            rows.positions.append(position)
            rows.stored.append(max(stored, 0))
            rows.kinds.append(kind)
        return rows

    def end_of(block: int) -> int:
        return int.from_bytes(source.pread(4, INDEX_AT + 4 * (block + 1)), "little")

    present = bisect_right(range(count), source.size, key=end_of)
    return BlockMap(
        format="JISO with " + ("LZO1X" if compressed == LZO1X else "deflate"),
        block_size=block_size,
        disc_size=disc_size,
        kinds=frozenset((compressed,)),
        load=load,
        warnings=truncation(present, count),
        checksums=(Checksum("MD5", "md5", md5),) if any(md5) else (),
    )
