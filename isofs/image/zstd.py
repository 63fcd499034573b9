"""zstd files of several frames (RFC 8878): with the table of the seekable format at the end, or without it.

Frames stand one behind the other, little-endian:

| frame | bytes | |
| --- | --- | --- |
| data | 28 B5 2F FD | descriptor, window, dictionary, content size, blocks, maybe a checksum of 4 bytes |
| skippable | 5x 2A 4D 18 | size in 4 bytes, and as many bytes of anything |

Bits of the descriptor: 6-7 width of the content size (0, 2, 4, 8 bytes; 1 for 0 if bit 5 is set), 5 no window byte,
2 checksum, 0-1 width of the dictionary's number (0, 1, 2, 4). A block has a header of 3 bytes: bit 0 last, bits 1-2
kind (1: one byte, repeated), the others its size.

The table of the seekable format is a skippable frame (5E) at the end: for each frame its stored and decoded size in 4
bytes each, and 4 bytes of a checksum that is not looked at; then the number of frames in 4 bytes, a descriptor (bit 7:
checksums; bits 2-6: 0), and 8F92EAB1. The frames begin at byte 0 and leave no gaps.

Without the table frames and blocks are walked. Where a frame does not tell its content size (pzstd) all of it must be
decoded for that; what was found is kept (`indexes`). A file of one frame is refused unless it is small: all of it
would have to be decoded for its last sector.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable
from importlib import import_module
from itertools import accumulate
from types import ModuleType
from typing import Final

from .. import limits
from ..errors import ImageError, UnsupportedError
from . import codecs
from .blockmap import ZSTD_FRAME, BlockMap, Rows
from .indexes import Shelf
from .source import Source
from .wishes import NO_WISHES, Wishes

_FRAME: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE: Final = range(0x184D2A50, 0x184D2A60)
_SKIPPABLE_HEADER: Final = struct.Struct("<II")
_TABLE: Final = 0x184D2A5E
_TABLE_END: Final = struct.Struct("<IBI")
_TABLE_MAGIC: Final = 0x8F92EAB1
_CHECKSUMS, _RESERVED = 0x80, 0x7C

_LONGEST_HEADER: Final = 18
_BLOCK_HEADER: Final = 3
_LONGEST_BLOCK: Final = 128 * limits.KIB
"""Decoded bytes of a block of a frame (RFC 8878); a repeated byte takes 4 bytes and claims what it likes."""
_GLANCE: Final = 4 * limits.KIB
_PIECE: Final = 256 * limits.KIB
_REWRITE: Final = "rewrite it in frames: zstd -dc IMAGE | pzstd > NEW.iso.zst"
_ONE: Final = "zstd-compressed in one frame, so it cannot be read in place"
_AGAIN: Final = "copy the image again"


class _Frames:
    """Columns of the frames that hold data."""

    def __init__(self) -> None:
        self.positions = array("Q")
        self.stored = array("Q")
        self.sizes = array("Q")

    def append(self, position: int, stored: int, size: int) -> None:
        """A frame. Raises `ImageError` for a size that is none."""
        if not size:
            return
        if size > limits.MEMBER_SIZE:
            raise UnsupportedError(f"zstd-compressed in frames of more than {limits.MEMBER_SIZE} bytes", _REWRITE)
        if len(self.sizes) >= limits.MEMBERS:
            raise UnsupportedError(f"a zstd file of more than {limits.MEMBERS} frames", _REWRITE)
        self.positions.append(position)
        self.stored.append(stored)
        self.sizes.append(size)


def open_map(source: Source, wishes: Wishes = NO_WISHES) -> BlockMap:
    """The block map of a zstd file.

    Raises `UnsupportedError` for one frame, or frames that take too much memory; `ImageError` for damage.
    """
    codecs.require(ZSTD_FRAME)
    frames, name = _by_table(source), "zstd, seekable"
    if frames is None:
        frames, name = _Walk(source, wishes).frames(), "zstd in frames"
    if not frames.sizes:
        raise ImageError("the zstd file holds nothing", _AGAIN)
    if len(frames.sizes) == 1 and frames.sizes[0] > limits.LONE_MEMBER:
        raise UnsupportedError(_ONE, _REWRITE)
    starts = array("Q", accumulate(frames.sizes, initial=0))
    if starts[-1] > limits.DISC_SIZE:
        raise ImageError(f"damaged: the zstd file tells {starts[-1]} bytes", _AGAIN)
    largest = max(frames.sizes)
    even = all(size == largest for size in frames.sizes[:-1])  # the last one may be shorter

    def load(first: int, n: int) -> Rows:
        part = slice(first, first + n)
        return Rows(frames.positions[part], frames.stored[part], bytearray((ZSTD_FRAME,)) * n)

    return BlockMap(
        format=name,
        block_size=largest,
        disc_size=starts[-1],
        kinds=frozenset((ZSTD_FRAME,)),
        load=load,
        count=len(frames.sizes),
        starts=None if even else starts,
    )


def _library() -> ModuleType:
    try:
        return import_module("compression.zstd")
    except ImportError:
        return import_module("backports.zstd")


def _by_table(source: Source) -> _Frames | None:
    """The frames that the table tells; None without one."""
    end = source.pread(_TABLE_END.size, max(source.size - _TABLE_END.size, 0))
    if len(end) < _TABLE_END.size:
        return None
    count, descriptor, magic = _TABLE_END.unpack(end)
    if magic != _TABLE_MAGIC:
        return None
    columns = 3 if descriptor & _CHECKSUMS else 2
    size = 4 * columns * count + _TABLE_END.size
    at = source.size - size - _SKIPPABLE_HEADER.size
    if descriptor & _RESERVED or at < 0 or count > limits.MEMBERS:
        raise ImageError(f"damaged: a seek table of {count} zstd frames does not fit", _AGAIN)
    if source.pread(_SKIPPABLE_HEADER.size, at) != _SKIPPABLE_HEADER.pack(_TABLE, size):
        raise ImageError(f"damaged: no seek table of zstd frames begins at byte {at}", _AGAIN)
    table = array("I", source.pread(4 * columns * count, at + _SKIPPABLE_HEADER.size))
    if len(table) != columns * count:
        raise ImageError("the file became shorter than its seek table")
    if sys.byteorder == "big":
        table.byteswap()
    frames = _Frames()
    position = 0
    for stored, decoded in zip(table[::columns], table[1::columns], strict=True):
        frames.append(position, stored, decoded)
        position += stored
    if position != at:
        raise ImageError(f"damaged: the seek table tells {position} bytes of zstd frames, not {at}", _AGAIN)
    if frames.positions:
        _header(source.pread(_LONGEST_HEADER, frames.positions[0]), 0)  # whether the window is too large
    return frames


def _header(head: bytes, position: int) -> tuple[int, int | None, bool]:
    """Of a frame header its size, the content size if it is told, and whether a checksum follows the blocks.

    Raises `ImageError` for what is no header, `UnsupportedError` for a dictionary or a window that is too large.
    """
    if not head.startswith(_FRAME) or len(head) < 6:
        raise ImageError(f"truncated or damaged: no zstd frame begins at byte {position}", _AGAIN)
    descriptor = head[4]
    single = descriptor & 0x20
    dictionary = (0, 1, 2, 4)[descriptor & 3]
    width = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    at = 5 if single else 6
    window = 0 if single else (8 + (head[5] & 7)) << (7 + (head[5] >> 3))  # 2^(10 + exponent), and eighths of it
    number = int.from_bytes(head[at : at + dictionary], "little")
    at += dictionary
    size = int.from_bytes(head[at : at + width], "little") + (256 if width == 2 else 0) if width else None
    at += width
    if single:
        window = size or 0
    if len(head) < at or descriptor & 8:
        raise ImageError(f"damaged: the zstd frame at byte {position} has no sound header", _AGAIN)
    if number:
        raise UnsupportedError("a zstd file that needs a dictionary", "unpack it with zstd -D")
    if window > 1 << limits.ZSTD_WINDOW_LOG:
        raise UnsupportedError(f"zstd-compressed with a window of {window // limits.MIB} MiB", _REWRITE)
    return at, size, bool(descriptor & 4)


class _Walk:
    """A walk over frames that no table tells."""

    def __init__(self, source: Source, wishes: Wishes) -> None:
        self._source = source
        self._wishes = wishes
        self._steps = 0
        self._glance, self._glance_at = b"", 0
        self._decoded = 0

    def frames(self) -> _Frames:
        """All frames. Raises `ImageError` for what is none, and for a file that is cut off."""
        first = self._next_frame(0)
        size = _header(self._bytes(_LONGEST_HEADER, first), first)[1]
        if size is not None:
            return self._walked(lambda _: None)
        if self._source.size > limits.LONE_MEMBER and self._is_last(first):
            raise UnsupportedError(_ONE, _REWRITE)
        shelf = Shelf(self._source, f"zstd 1 {sys.byteorder}", self._wishes)
        kept = shelf.get()
        if kept is not None and len(kept) % 24 == 0:
            columns, frames = memoryview(kept).cast("Q"), _Frames()
            for i in range(0, len(columns), 3):
                frames.append(*columns[i : i + 3])
            return frames
        with self._wishes.progress("indexing the zstd file", self._source.size) as advance:
            frames = self._walked(advance)
        rows = zip(frames.positions, frames.stored, frames.sizes, strict=True)
        shelf.put(array("Q", (number for row in rows for number in row)).tobytes())
        return frames

    def _walked(self, advance: Callable[[int], object]) -> _Frames:
        frames = _Frames()
        position = self._next_frame(0)
        while position < self._source.size:
            start = position
            at, size, checksum = _header(self._bytes(_LONGEST_HEADER, position), position)
            if size is None:
                position, size = self._decode(position, advance)
            else:
                position = self._end(position + at) + 4 * checksum
                advance(position - start)
            if position > self._source.size:
                raise ImageError(f"truncated: the zstd file ends inside the frame at byte {start}", _AGAIN)
            frames.append(start, position - start, size)
            position = self._next_frame(position)
        return frames

    def _is_last(self, position: int) -> bool:
        """Whether the frame is the only one, as far as its blocks tell."""
        at, _, checksum = _header(self._bytes(_LONGEST_HEADER, position), position)
        return self._next_frame(self._end(position + at) + 4 * checksum) >= self._source.size

    def _next_frame(self, position: int) -> int:
        """Where the next frame with data begins, skippable ones left out; the file's end if there is none."""
        while position < self._source.size:
            head = self._bytes(_SKIPPABLE_HEADER.size, position)
            if len(head) < _SKIPPABLE_HEADER.size:
                return position
            magic, size = _SKIPPABLE_HEADER.unpack(head)
            if magic not in _SKIPPABLE:
                return position
            self._step(position)
            position += _SKIPPABLE_HEADER.size + size
        return position

    def _end(self, position: int) -> int:
        """Where the blocks of a frame end that begin at a position."""
        last = 0
        while not last:
            head = int.from_bytes(self._bytes(_BLOCK_HEADER, position), "little")
            last, kind, size = head & 1, head >> 1 & 3, head >> 3
            if position + _BLOCK_HEADER > self._source.size:
                raise ImageError("truncated: the zstd file ends inside a frame", _AGAIN)
            if kind == 3 or size > _LONGEST_BLOCK:
                raise ImageError(f"damaged: no zstd block begins at byte {position}", _AGAIN)
            self._step(position)
            position += _BLOCK_HEADER + (1 if kind == 1 else size)
        return position

    def _decode(self, position: int, advance: Callable[[int], object]) -> tuple[int, int]:
        """Where a frame ends, and how many bytes it holds."""
        library = _library()
        options = {library.DecompressionParameter.window_log_max: limits.ZSTD_WINDOW_LOG}
        start, size, decoder = position, 0, library.ZstdDecompressor(options=options)
        while not decoder.eof:
            piece = self._source.pread(_PIECE, position) if decoder.needs_input else b""
            if not piece and decoder.needs_input:
                raise ImageError("truncated: the zstd file ends inside a frame", _AGAIN)
            position += len(piece)
            advance(len(piece))
            try:
                size += len(decoder.decompress(piece, limits.MIB))
            except library.ZstdError as error:
                raise ImageError(f"damaged zstd frame at byte {start} ({error})", _AGAIN) from None
            if size > limits.MEMBER_SIZE:
                raise UnsupportedError(f"zstd-compressed in frames of more than {limits.MEMBER_SIZE} bytes", _REWRITE)
        advance(-len(decoder.unused_data))
        self._decoded += size
        if self._decoded > limits.PASS_SIZE:
            raise ImageError(f"the zstd file holds more than {limits.PASS_SIZE} bytes")
        return position - len(decoder.unused_data), size

    def _bytes(self, n: int, position: int) -> bytes:
        """A few bytes; neighbours share a read."""
        if not self._glance_at <= position <= self._glance_at + len(self._glance) - n:
            self._glance, self._glance_at = self._source.pread(_GLANCE, position), position
        at = position - self._glance_at
        return self._glance[at : at + n]

    def _step(self, position: int) -> None:
        self._steps += 1
        if self._steps > 2 * limits.MEMBERS + self._source.size // (4 * limits.KIB):
            raise ImageError(f"damaged: too many zstd blocks before byte {position}", _AGAIN)
