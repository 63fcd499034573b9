"""xz files of several blocks, which are found by the index at the end of each stream.

A file is one or several streams, each maybe with padding behind it, zeros by fours. A stream, little-endian:

| bytes | field | |
| --- | --- | --- |
| 12 | header | FD "7zXZ" 00, 2 bytes flags, CRC-32 of the flags |
| | blocks | header, LZMA2 data, padding to 4 bytes, check |
| | index | 00, number of records, records, padding to 4 bytes, CRC-32 |
| 12 | footer | CRC-32 of the next 6 bytes, size of the index / 4 - 1 in 4 bytes, flags, "YZ" |

A record is the size of a block without its padding, and its decoded size. Numbers have 7 bits in each byte, low ones
first, bit 7 where more follow. The second byte of the flags is the kind of check that blocks have.

A block is decoded as a stream of its own: a header before it, an index and a footer behind it that tell exactly what
the file's index tells. So liblzma proves sizes and check of each block. A file of one block is refused unless it is
small: all of it would have to be decoded for its last sector.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

from .. import limits
from ..errors import ImageError, UnsupportedError
from .blockmap import BlockMap
from .source import Source
from .stretches import Stretches
from .wishes import NO_WISHES, Wishes

_HEADER: Final = struct.Struct("<6s2sI")
_FOOTER: Final = struct.Struct("<II2s2s")
_MAGIC: Final = b"\xfd7zXZ\0"
_END: Final = b"YZ"
_PADDING: Final = 64 * limits.KIB
"""Padding behind a stream that is looked through."""
_INDEX_SIZE: Final = 18 * limits.MEMBERS
"""Two numbers of 9 bytes at most for each block."""
_SLOW: Final = 64 * limits.MIB
"""Decoded bytes of a block from which on reading is said to be slow: half a second's work."""
_GRID: Final = 256 * limits.KIB
_PIECE: Final = 1 * limits.MIB
_REWRITE: Final = "rewrite it in blocks: xz -dc IMAGE | xz -T0 --block-size=1MiB > NEW.iso.xz"
_AGAIN: Final = "copy the image again"


class _Blocks:
    """Columns of all blocks."""

    def __init__(self) -> None:
        self.positions = array("Q")
        self.unpadded = array("Q")
        self.sizes = array("Q")
        self.flags = bytearray()
        """The second byte of the stream's flags."""


class _Stream(NamedTuple):
    position: int
    flags: bytes
    sizes: list[tuple[int, int]]


def open_map(source: Source, _wishes: Wishes = NO_WISHES) -> BlockMap:
    """The block map of an xz file.

    Raises `UnsupportedError` for one that has one block, or blocks that take too much memory or time; `ImageError` for
    damage.
    """
    streams = []
    position, count = source.size, 0
    while position:
        stream = _stream_before(source, position)
        position = stream.position
        count += len(stream.sizes)
        streams.append(stream)
        if count > limits.MEMBERS or len(streams) > limits.XZ_STREAMS:
            raise UnsupportedError(f"an xz file of more than {limits.MEMBERS} blocks", _REWRITE)
    blocks, starts = _Blocks(), array("Q", (0,))
    for stream in reversed(streams):
        at = stream.position + _HEADER.size
        for unpadded, size in stream.sizes:
            if size:
                blocks.positions.append(at)
                blocks.unpadded.append(unpadded)
                blocks.sizes.append(size)
                blocks.flags.append(stream.flags[1])
                starts.append(starts[-1] + size)
            at += unpadded + -unpadded % 4
    if not blocks.sizes:
        raise ImageError("the xz file holds nothing", _AGAIN)
    if len(blocks.sizes) == 1 and blocks.sizes[0] > limits.LONE_MEMBER:
        raise UnsupportedError("xz-compressed in one block, so it cannot be read in place", _REWRITE)
    largest = max(blocks.sizes)
    if largest > limits.XZ_BLOCK:
        raise UnsupportedError(f"xz-compressed in blocks of {largest // limits.MIB} MiB", _REWRITE)
    _try_filters(source, blocks)
    warnings: tuple[str, ...] = ()
    if largest > _SLOW:
        warnings = (f"slow: it is compressed in blocks of {largest // limits.MIB} MiB; {_REWRITE}",)

    def decode(offset: int) -> tuple[int, bytes]:
        block = bisect_right(starts, offset) - 1
        size = blocks.sizes[block]
        first = 0
        if size > limits.STRETCH:  # what follows is read next
            first = (offset - starts[block]) // _PIECE * _PIECE
        try:
            return starts[block] + first, _block(source, blocks, block, range(first, min(first + limits.STRETCH, size)))
        except ImageError as error:
            raise type(error)(
                f"block {block} of the xz file at byte {blocks.positions[block]}: {error.reason}", error.remedy
            ) from None

    return BlockMap(
        format="xz",
        block_size=_GRID,
        disc_size=starts[-1],
        kinds=frozenset(),
        read=Stretches(starts[-1], decode).pread,
        warnings=warnings,
        facts={"xz blocks": len(blocks.sizes), "largest block bytes": largest},
    )


def _stream_before(source: Source, end: int) -> _Stream:
    """The stream that ends, padding left out, at byte `end`."""
    tail = unpadded = b""
    for n in (_FOOTER.size, 1024, _PADDING):  # padding is rare, and there may be many small streams
        tail = source.pread(min(end, n), max(end - n, 0))
        unpadded = tail.rstrip(b"\0")
        if len(unpadded) >= _FOOTER.size:
            break
    end -= len(tail) - len(unpadded)
    footer = unpadded[-_FOOTER.size :]
    if len(footer) < _FOOTER.size or not footer.endswith(_END):
        raise ImageError(f"truncated or damaged: the xz file has no footer before byte {end}", _AGAIN)
    checksum, quarters, flags, _ = _FOOTER.unpack(footer)
    index_size = 4 * (quarters + 1)
    index_at = end - _FOOTER.size - index_size
    if zlib.crc32(footer[4:10]) != checksum or flags[0] or flags[1] > 15:
        raise ImageError(f"damaged: the xz footer before byte {end} is not sound", _AGAIN)
    if index_at < _HEADER.size or not 8 <= index_size <= _INDEX_SIZE:
        raise ImageError(f"damaged: the xz index of {index_size} bytes before byte {end} does not fit", _AGAIN)
    index = source.pread(index_size, index_at)
    if int.from_bytes(index[-4:], "little") != zlib.crc32(index[:-4]):
        raise ImageError(f"damaged: the xz index at byte {index_at} has another checksum", _AGAIN)
    sizes = list(_records(index[:-4]))
    position = index_at - sum(unpadded + -unpadded % 4 for unpadded, _ in sizes) - _HEADER.size
    if position < 0 or source.pread(_HEADER.size, position) != _header(flags):
        raise ImageError(f"damaged: no xz stream begins where the index at byte {index_at} tells", _AGAIN)
    return _Stream(position, flags, sizes)


def _records(index: bytes) -> Iterator[tuple[int, int]]:
    """The records of an index: bytes of a block without padding, decoded bytes."""
    damaged = ImageError("damaged: the xz index is not sound", _AGAIN)
    numbers = _numbers(index[1:])
    count = next(numbers, -1)
    if index[0] or not 0 <= count <= len(index) // 2:
        raise damaged
    total = 0
    for _ in range(count):
        unpadded, size = next(numbers, 0), next(numbers, -1)
        total += max(size, 0)
        if unpadded < 5 or size < 0 or total > limits.DISC_SIZE:
            raise damaged
        yield unpadded, size


def _numbers(data: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in data:
        number |= (byte & 127) << shift
        shift += 7
        if shift > 63:
            return
        if byte < 128:
            yield number
            number = shift = 0


def _number(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _header(flags: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, flags, zlib.crc32(flags))


def _tail(flags: bytes, unpadded: int, size: int) -> bytes:
    """Index and footer of a stream of one block."""
    index = b"\0\1" + _number(unpadded) + _number(size)
    index += bytes(-len(index) % 4)
    index += zlib.crc32(index).to_bytes(4, "little")
    end = (len(index) // 4 - 1).to_bytes(4, "little") + flags
    return index + zlib.crc32(end).to_bytes(4, "little") + end + _END


def _try_filters(source: Source, blocks: _Blocks) -> None:
    """Raises `UnsupportedError` where the first block needs more memory than there is for it."""
    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.XZ_MEMORY)
    head = _header(bytes((0, blocks.flags[0]))) + source.pread(min(blocks.unpadded[0], 1024), blocks.positions[0])
    try:
        stream.decompress(head, 1)
    except lzma.LZMAError as error:
        if "emory" in str(error):
            raise UnsupportedError(
                f"xz-compressed with a dictionary that takes more than {limits.XZ_MEMORY // limits.MIB} MiB", _REWRITE
            ) from None  # any other error is the block's own


def _block(source: Source, blocks: _Blocks, block: int, wanted: range) -> bytes:
    """The bytes `wanted` of a block, all of which is decoded and proved. Raises `ImageError`."""
    position, unpadded, size = blocks.positions[block], blocks.unpadded[block], blocks.sizes[block]
    flags = bytes((0, blocks.flags[block]))
    kept, done = [], 0
    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.XZ_MEMORY)
    try:
        for piece in _pieces(source, position, unpadded, flags, size):
            data = stream.decompress(piece, _PIECE)
            while data or not stream.needs_input:
                kept.append(data[max(wanted.start - done, 0) : max(wanted.stop - done, 0)])
                done += len(data)
                if stream.eof or done > size:
                    break
                data = stream.decompress(b"", _PIECE)
    except (lzma.LZMAError, EOFError) as error:
        raise ImageError(f"damaged ({error})", _AGAIN) from None
    if not stream.eof or done != size:
        raise ImageError("damaged: it does not end where its index tells", _AGAIN)
    return b"".join(kept)


def _pieces(source: Source, position: int, unpadded: int, flags: bytes, size: int) -> Iterator[bytes]:
    """A stream of one block."""
    yield _header(flags)
    end = position + unpadded + -unpadded % 4
    while position < end:
        piece = source.pread(min(limits.STORED_RUN, end - position), position)
        if not piece:
            raise ImageError("the file became shorter")
        yield piece
        position += len(piece)
    yield _tail(flags, unpadded, size)
