"""zisofs: files compressed in blocks, marked by ZF or Z2 in their record -> a disc upon the disc.

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

Block i is stored from pointer i to pointer i + 1; an empty range is a block of zeros. Record and header must agree,
else the file reads as an error: what is stored there is not what the disc's author put into it.
"""

from __future__ import annotations

import struct
from array import array
from typing import Final

from ... import limits
from ...errors import ImageError, UnsupportedError
from ...image.blockmap import BAD, BZIP2, LZ4, XZ, ZERO, ZLIB, ZSTD, BlockMap, Index, Rows, empty_rows
from ...image.cache import BlockCache
from ...image.disc import Disc
from ...image.source import Extents, Source
from .rockridge import Zisofs

_MAGIC_1: Final = b"\x37\xe4\x53\x96\xc9\xdb\xd6\x07"
_MAGIC_2: Final = b"\xef\x22\x55\xa1\xbc\x1b\x95\xa0"
_HEADER_1: Final = struct.Struct("<8sIBB2x")
_HEADER_2: Final = struct.Struct("<8sBBBBQ4x")
_LOG2_1: Final = range(15, 18)
_ALGORITHMS: Final = {1: (b"PZ", ZLIB), 2: (b"XZ", XZ), 3: (b"L4", LZ4), 4: (b"ZD", ZSTD), 5: (b"B2", BZIP2)}


def open_zisofs(stored: Extents, mark: Zisofs, cache: BlockCache) -> Source:
    """The decoded bytes of a zisofs file; `stored` are the bytes on the disc.

    Raises `ImageError` where header, record and table contradict each other, `UnsupportedError` for an algorithm that
    is unknown or whose library is missing.
    """
    head = stored.pread(_HEADER_2.size, 0)
    if head.startswith(_MAGIC_1):
        _, size, quarters, log2 = _HEADER_1.unpack_from(head)
        algorithm, pointer, header_size, allowed = 1, "I", _HEADER_1.size, _LOG2_1
    elif head.startswith(_MAGIC_2) and len(head) == _HEADER_2.size:
        _, _, quarters, algorithm, log2, size = _HEADER_2.unpack_from(head)
        pointer, header_size, allowed = "Q", _HEADER_2.size, limits.ZISOFS_LOG2
    else:
        raise ImageError(f"{stored.label}: marked as zisofs, but it does not begin with its magic")
    if 4 * quarters != header_size or mark.header_size != header_size:
        raise ImageError(f"{stored.label}: the zisofs header tells a header size of {4 * quarters} bytes")
    if log2 not in allowed or mark.log2 != log2:
        raise ImageError(
            f"{stored.label}: the zisofs header tells blocks of 2^{log2} bytes, its record of 2^{mark.log2}"
        )
    if size != mark.size:
        raise ImageError(f"{stored.label}: the zisofs header tells {size} bytes, its record {mark.size}")
    if algorithm not in _ALGORITHMS:
        raise UnsupportedError(f"{stored.label}: zisofs algorithm {algorithm} is unknown")
    letters, kind = _ALGORITHMS[algorithm]
    if mark.algorithm != (b"pz" if head.startswith(_MAGIC_1) else letters):
        raise ImageError(f"{stored.label}: the zisofs header and its record tell different algorithms")
    block_size = 1 << log2
    count = -(-size // block_size)
    width = array(pointer).itemsize
    if header_size + width * (count + 1) > stored.size:
        raise ImageError(f"{stored.label}: the zisofs table of {count} blocks does not fit into {stored.size} bytes")
    data_at = header_size + width * (count + 1)
    most = block_size + block_size // 8 + 64

    index = Index(stored, header_size, pointer, count + 1)

    def load(first: int, n: int) -> Rows:
        pointers = index.entries(first, n + 1)
        rows = empty_rows()
        for i in range(n):
            start, end = pointers[i], pointers[i + 1]
            sound = data_at <= start <= end <= stored.size and end - start <= most
            rows.positions.append(start)
            rows.stored.append(end - start if sound else 0)
            rows.kinds.append((kind if end > start else ZERO) if sound else BAD)
        return rows

    blocks = BlockMap(format="zisofs file", block_size=block_size, disc_size=size, kinds=frozenset((kind,)), load=load)
    return Disc(stored, blocks, cache)
