"""zisofs: files compressed in blocks, on a disc where their record marks them, or by themselves (mkzftree).

The stored file begins with a header, little-endian; N = ceil(size / block size) blocks:

| at, version 1 | at, version 2 | size | field |
| --- | --- | --- | --- |
| 0 | 0 | 8 | magic |
| | 8 | 1 | version, 0 |
| 8 | 12 | 4, 8 | size of the file, decoded |
| 12 | 9 | 1 | header size / 4: 4, 6 |
| | 10 | 1 | algorithm: 1 zlib, 2 xz, 3 LZ4, 4 zstd, 5 bzip2 |
| 13 | 11 | 1 | log2 of the block size: 15 to 17, to 20 in version 2 |
| 14 | 20 | 2, 4 | zero |
| 16 | 24 | 4, 8 each | N + 1 pointers from the start of the file |

Block i is stored from pointer i to pointer i + 1; an empty range is a block of zeros.
"""

from __future__ import annotations

import struct
from array import array
from typing import Final, NamedTuple

from .. import limits
from ..errors import ImageError, UnsupportedError
from .blockmap import BAD, BZIP2, LZ4, XZ, ZERO, ZLIB, ZSTD, BlockMap, Index, Rows, empty_rows
from .source import Source
from .wishes import NO_WISHES, Wishes

MAGIC_1: Final = b"\x37\xe4\x53\x96\xc9\xdb\xd6\x07"
MAGIC_2: Final = b"\xef\x22\x55\xa1\xbc\x1b\x95\xa0"
_HEADER_1: Final = struct.Struct("<8sIBB2x")
_HEADER_2: Final = struct.Struct("<8sBBBBQ4x")
_LOG2_1: Final = range(15, 18)
_ZLIB: Final = 1
_ALGORITHMS: Final = {_ZLIB: ZLIB, 2: XZ, 3: LZ4, 4: ZSTD, 5: BZIP2}


class Header(NamedTuple):
    """The fields of the header."""

    version: int
    """1 or 2."""
    size: int
    """Bytes of the file, decoded."""
    header_size: int
    log2: int
    """Of the block size; one that the version allows."""
    algorithm: int
    """By its number in version 2."""


def parse_header(source: Source) -> Header:
    """The header of a zisofs file. Raises `ImageError` where it is none or tells what no writer does."""
    head = source.pread(_HEADER_2.size, 0)
    if head.startswith(MAGIC_1) and len(head) >= _HEADER_1.size:
        _, size, quarters, log2 = _HEADER_1.unpack_from(head)
        header, expected, allowed = Header(1, size, 4 * quarters, log2, _ZLIB), _HEADER_1.size, _LOG2_1
    elif head.startswith(MAGIC_2) and len(head) == _HEADER_2.size:
        _, _, quarters, algorithm, log2, size = _HEADER_2.unpack_from(head)
        header, expected, allowed = Header(2, size, 4 * quarters, log2, algorithm), _HEADER_2.size, limits.ZISOFS_LOG2
    elif head.startswith((MAGIC_1, MAGIC_2)):
        raise ImageError("truncated: the zisofs header is cut off", "copy the image again")
    else:
        raise ImageError("it does not begin with the magic of zisofs")
    if header.header_size != expected:
        raise ImageError(f"the zisofs header tells a header size of {header.header_size} bytes")
    if log2 not in allowed:
        raise ImageError(f"the zisofs header tells blocks of 2^{log2} bytes")
    return header


def indexed_map(source: Source, header: Header, format: str) -> BlockMap:
    """The map of the blocks behind a header.

    Raises `ImageError` where the table does not fit into the file, `UnsupportedError` for an algorithm that is unknown.
    """
    kind = _ALGORITHMS.get(header.algorithm)
    if kind is None:
        raise UnsupportedError(f"zisofs algorithm {header.algorithm} is unknown")
    block_size = 1 << header.log2
    count = -(-header.size // block_size)
    pointer = "I" if header.version == 1 else "Q"
    data_at = header.header_size + array(pointer).itemsize * (count + 1)
    if data_at > source.size:
        raise ImageError(f"truncated: the zisofs table of {count} blocks does not fit into {source.size} bytes")
    most = block_size + block_size // 8 + 64

    index = Index(source, header.header_size, pointer, count + 1)

    def load(first: int, n: int) -> Rows:
        pointers = index.entries(first, n + 1)
        rows = empty_rows()
        for i in range(n):
            start, end = pointers[i], pointers[i + 1]
            sound = data_at <= start <= end <= source.size and end - start <= most
            rows.positions.append(start)
            rows.stored.append(end - start if sound else 0)
            rows.kinds.append((kind if end > start else ZERO) if sound else BAD)
        return rows

    return BlockMap(format=format, block_size=block_size, disc_size=header.size, kinds=frozenset((kind,)), load=load)


def open_map(source: Source, _wishes: Wishes = NO_WISHES) -> BlockMap:
    """The block map of a zisofs file that is an image. Raises what `parse_header` and `indexed_map` do."""
    header = parse_header(source)
    if not 0 < header.size <= limits.DISC_SIZE:
        raise ImageError(f"damaged zisofs header: a disc of {header.size} bytes", "copy the image again")
    return indexed_map(source, header, f"zisofs file, version {header.version}")
