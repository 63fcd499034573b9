"""Codecs: the stored bytes of one block -> its decoded bytes, exactly as many as wanted or an error.

Output is bounded by the block size whatever the stream claims. What real files show is tolerated only where the
wanted bytes are certain: bytes after a deflate stream (alignment, an Adler-32 left by ciso.py), a last block padded
with zeros before compression, padding after an LZ4 block, a zlib header where a raw stream is due.

The libraries are imported when an image needs them (`require`): libdeflate by `deflate`, else the standard library's
zlib; `lz4`; `lzallright` for LZO1X; the standard library's lzma and bz2, and its zstd or `backports.zstd`.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import repeat
from types import ModuleType
from typing import Any, Final

from .. import limits
from ..errors import ImageError, UnsupportedError
from .blockmap import (
    BAD,
    BZIP2,
    CD_DEFLATE,
    CD_FLAC,
    CD_LZMA,
    CD_ZSTD,
    CRC_32,
    DEFLATE,
    FLAC,
    GZIP,
    HUFFMAN,
    KIND_NAMES,
    LZ4,
    LZMA,
    LZO1X,
    PATTERN,
    PLAIN,
    XZ,
    ZERO,
    ZLIB,
    ZSTD,
    ZSTD_FRAME,
    Rows,
)
from .compiled import compiled
from .source import Source

Block = bytes | ImageError
"""What becomes of a block: its bytes, or why they cannot be had."""

Row = tuple[int, int, int, int, int]
"""Position and stored bytes of a block, its kind, its check (see `Rows`), and how many bytes it decodes to."""

_DECOMPRESSOR: Final = 16_384
"""Bytes that libdeflate works in, about."""

SPEED: Final = {
    PLAIN: 2000,
    ZERO: 2000,
    PATTERN: 2000,
    LZ4: 1000,
    LZO1X: 300,
    DEFLATE: 250,
    ZLIB: 250,
    ZSTD: 300,
    ZSTD_FRAME: 300,
    XZ: 30,
    BZIP2: 10,
    GZIP: 250,
    LZMA: 20,
    HUFFMAN: 20,
    FLAC: 20,
    CD_DEFLATE: 40,
    CD_LZMA: 20,
    CD_ZSTD: 40,
    CD_FLAC: 20,
}
"""Decoded kilobytes in a millisecond, about, of one thread and the slowest library that serves."""

AT_ONCE: Final = 4
"""Milliseconds of decoding at most that a thread takes upon itself which must not wait."""

_OF_CHD: Final = frozenset((LZMA, HUFFMAN, FLAC, CD_DEFLATE, CD_LZMA, CD_ZSTD, CD_FLAC))
_NOT_STORED: Final = frozenset((BAD, ZERO, PATTERN))

_modules: dict[int, ModuleType | None] = {}


def require(kind: int) -> None:
    """Imports what `kind` needs, so that nothing is imported later. Raises `UnsupportedError` if it is not there."""
    if kind in _modules:
        return
    try:
        _modules[kind] = _import(kind)
    except ImportError as error:
        raise UnsupportedError(
            f"{KIND_NAMES[kind]} blocks need the Python package {(error.name or '?').partition('.')[0]}",
            "install it with pip",
        ) from None


def _import(kind: int) -> ModuleType | None:
    """The library of a kind; None where the standard library's zlib serves, which is always there."""
    if kind in _OF_CHD:
        module = import_module(f"{__package__}.chd.codecs")
        module.require(kind)
        return module
    if kind in (PLAIN, ZERO, PATTERN, GZIP):
        return None
    if kind in (DEFLATE, ZLIB):
        try:
            return import_module("deflate")
        except ImportError:
            return None  # slower, with the same results
    if kind in (ZSTD, ZSTD_FRAME):
        try:
            return import_module("compression.zstd")
        except ImportError:
            return import_module("backports.zstd")
    return import_module({LZ4: "lz4.block", LZO1X: "lzallright", XZ: "lzma", BZIP2: "bz2"}[kind])


def speed(kinds: Iterable[int]) -> int:
    """Bytes that are decoded in a millisecond, about, of the slowest of some kinds."""
    return 1000 * min((SPEED[kind] for kind in kinds), default=SPEED[PLAIN])


def decode(kind: int, stored: bytes | memoryview, want: int, block_size: int) -> bytes:
    """The first `want` bytes of a block of at most `block_size` bytes.

    Raises `ImageError` when the stored bytes do not give them.
    """
    if kind in _OF_CHD:
        library = _modules[kind]
        assert library is not None
        data: bytes = library.decode(kind, stored, block_size)
        return _first(data, want, KIND_NAMES[kind])
    return _CODECS[kind](stored, want, block_size)


def rows_to_decode(rows: Rows, lengths: Iterable[int]) -> Iterator[Row]:
    """The rows of a map, each with how many bytes are wanted of it."""
    checks = rows.checks or repeat(0, len(rows.kinds))
    return zip(rows.positions, rows.stored, rows.kinds, checks, lengths, strict=True)


def decode_rows(source: Source, rows: Iterable[Row], block_size: int) -> list[Block]:
    """Decodes blocks, ascending. Neighbours whose stored bytes touch are fetched by one read.

    Raises `NotReady` by the rule of `image.source`.
    """
    made: list[Block] = []
    run: list[Row] = []
    end = 0
    for position, stored, kind, check, want in rows:
        if kind == PLAIN:
            stored = min(stored, block_size if check else want)
        elif kind in _NOT_STORED:
            stored = 0
        if run and (position != end or position + stored - run[0][0] > limits.STORED_RUN):
            made += _decode_run(source, run, block_size)
            run = []
        run.append((position, stored, kind, check, want))
        end = position + stored
    return made + _decode_run(source, run, block_size)


def _decode_run(source: Source, run: list[Row], block_size: int) -> list[Block]:
    start = run[0][0]
    n = run[-1][0] + run[-1][1] - start
    try:
        data = memoryview(source.pread(n, start) if n else b"")
    except ImageError as error:  # one bad place must not cost its neighbours
        if len(run) == 1:
            return [_kept(error)]
        return [made for row in run for made in _decode_run(source, [row], block_size)]
    return [_decode_block(row, data[row[0] - start : row[0] - start + row[1]], block_size) for row in run]


def _decode_block(row: Row, stored: memoryview, block_size: int) -> Block:
    position, _, kind, check, wanted = row
    want = block_size if check else wanted
    try:
        if kind == BAD:
            raise ImageError("its index entry is not sound")
        if kind == ZERO:
            return bytes(want)
        if kind == PLAIN:
            if len(stored) < want:
                raise ImageError("it is cut off")
            data = bytes(stored[:want])
        elif kind == PATTERN:
            data = (position.to_bytes(8, "big") * (want // 8 + 1))[:want]
        else:
            data = decode(kind, stored, want, block_size)
    except ImageError as error:
        return _kept(error)
    if check and check & 0xFFFF_FFFF != (_crc_16(data) if check < CRC_32 else zlib.crc32(data)):
        return ImageError("its checksum does not fit: damaged")
    return data if wanted == want else data[:wanted]


def crc_16(data: bytes) -> int:
    """CRC-16 of CCITT from 0xFFFF. This is the one in Python."""
    return binascii.crc_hqx(data, 0xFFFF)


_crc_16 = crc_16 if compiled is None else compiled.crc_16


def _kept(error: ImageError) -> ImageError:
    """An error to be kept as a result: without the frames that it was raised through, and all that they hold."""
    error.__context__ = None
    return error.with_traceback(None)


def _inflate_with(kind: int, stored: bytes | memoryview, block_size: int) -> bytes | None:
    """What libdeflate makes of a stream: its bytes if it ends soundly within `block_size`, else None."""
    library = _modules.get(kind)
    if library is None:
        return None
    inflate = library.deflate_decompress if kind == DEFLATE else library.zlib_decompress
    bytearray(_DECOMPRESSOR)  # a MemoryError here; the library would crash
    try:
        return bytes(inflate(stored, block_size))
    except library.DeflateError:
        return None


def _deflate(stored: bytes | memoryview, want: int, block_size: int) -> bytes:
    data = _inflate_with(DEFLATE, stored, block_size)
    if data is None:
        # Streams that go on past the block (their first bytes are certain), and zlib streams where raw ones are due.
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stored, block_size)
        except zlib.error as error:
            if not _has_zlib_header(stored):
                raise ImageError(f"the deflate stream is damaged ({error})") from None
            return _zlib(stored, want, block_size)
    return _first(data, want, "deflate")


def _zlib(stored: bytes | memoryview, want: int, block_size: int) -> bytes:
    data = _inflate_with(ZLIB, stored, block_size)
    if data is None:
        stream = zlib.decompressobj()
        try:
            data = stream.decompress(stored, block_size + 1)  # one more, so that the checksum is reached
        except zlib.error as error:
            raise ImageError(f"the zlib stream is damaged ({error})") from None
        if len(data) > block_size:
            raise ImageError(f"the zlib stream holds more than the block's {block_size} bytes")
        if not stream.eof:
            raise ImageError("the zlib stream ends too early")
    return _first(data, want, "zlib")


def _has_zlib_header(stored: bytes | memoryview) -> bool:
    return len(stored) > 2 and stored[0] & 15 == 8 and (stored[0] << 8 | stored[1]) % 31 == 0


def _lz4(stored: bytes | memoryview, want: int, block_size: int) -> bytes:
    library = _modules[LZ4]
    assert library is not None
    for block in (stored, stored[4:]) if int.from_bytes(stored[:4], "little") in (want, block_size) else (stored,):
        try:
            return _first(library.decompress(block, uncompressed_size=block_size), want, "LZ4")
        except (library.LZ4BlockError, ImageError):
            end = _lz4_end(block, want, block_size)
            if end is None:
                continue
        try:
            return _first(library.decompress(block[:end], uncompressed_size=block_size), want, "LZ4")
        except library.LZ4BlockError:
            continue
    raise ImageError("the LZ4 block is damaged")


def _lz4_end(stored: bytes | memoryview, want: int, block_size: int) -> int | None:
    """Where an LZ4 block ends that padding follows, or None if it never yields `want` bytes.

    A block has no end mark: it ends with literals, five at least unless they are the whole block. The walk over its
    sequences (token, literals, offset, match) stops at the first ones behind which enough is made.
    """
    made = position = 0
    size = len(stored)
    try:
        while position < size:
            token = stored[position]
            position += 1
            length = token >> 4
            if length == 15:
                more = 255
                while more == 255:
                    more = stored[position]
                    position += 1
                    length += more
            position += length
            made += length
            if position > size or made > block_size:
                break
            if made >= want and (length >= 5 or made in (length, block_size)):
                return position
            offset = stored[position] | stored[position + 1] << 8
            position += 2
            if not 0 < offset <= made:
                break
            length = (token & 15) + 4
            if length == 19:
                more = 255
                while more == 255:
                    more = stored[position]
                    position += 1
                    length += more
            made += length
            if made > block_size:
                break
    except IndexError:  # the input is used up
        return None
    return None


def _lzo1x(stored: bytes | memoryview, want: int, block_size: int) -> bytes:
    library = _modules[LZO1X]
    assert library is not None
    stored = stored[: block_size + block_size // 16 + 67]  # what compression can add: the only bound of the output
    try:
        data: bytes = library.LZOCompressor().decompress(stored, block_size)
    except library.InputNotConsumed as error:  # padding: the data is complete and comes with the exception
        data = error.args[1]
    except library.LZOError as error:
        raise ImageError(f"the LZO1X block is damaged ({error.args[0] if error.args else error})") from None
    if len(data) > block_size:
        raise ImageError(f"the LZO1X block holds more than the block's {block_size} bytes")
    return _first(data, want, "LZO1X")


def _gzip(stored: bytes | memoryview, want: int, _block_size: int) -> bytes:
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        data = stream.decompress(stored, want + 1)  # one more, so that the checksum is reached
    except zlib.error as error:
        raise ImageError(f"the gzip member is damaged ({error})") from None
    if not stream.eof or len(data) != want or stream.unused_data:  # the member is the block, no more and no less
        raise ImageError(f"the gzip member does not hold the block's {want} bytes")
    return data


def _xz(stored: bytes | memoryview, want: int, block_size: int) -> bytes:
    library = _modules[XZ]
    assert library is not None
    stream = library.LZMADecompressor(library.FORMAT_XZ, memlimit=limits.XZ_MEMORY)
    return _bounded(stream, library.LZMAError, stored, want, block_size, "xz")


def _bzip2(stored: bytes | memoryview, want: int, block_size: int) -> bytes:
    library = _modules[BZIP2]
    assert library is not None
    return _bounded(library.BZ2Decompressor(), (OSError, ValueError), stored, want, block_size, "bzip2")


def _zstd(stored: bytes | memoryview, want: int, block_size: int) -> bytes:
    library, stream = _zstd_stream(ZSTD)
    return _bounded(stream, library.ZstdError, stored, want, block_size, "zstd")


def _zstd_frame(stored: bytes | memoryview, want: int, _block_size: int) -> bytes:
    library, stream = _zstd_stream(ZSTD_FRAME)
    data = _bounded(stream, library.ZstdError, stored, want, want, "zstd")
    if stream.unused_data:
        raise ImageError("the zstd frame ends before its block does")
    return data


def _zstd_stream(kind: int) -> tuple[ModuleType, Any]:
    library = _modules[kind]
    assert library is not None
    options = {library.DecompressionParameter.window_log_max: limits.ZSTD_WINDOW_LOG}
    return library, library.ZstdDecompressor(options=options)


def _bounded(
    stream: object,
    error: type[Exception] | tuple[type[Exception], ...],
    stored: bytes | memoryview,
    want: int,
    block_size: int,
    name: str,
) -> bytes:
    """Decodes with an object of the standard library's kind: `decompress(data, max_length)`."""
    try:
        data: bytes = stream.decompress(stored, block_size + 1)  # type: ignore[attr-defined]
    except error as reason:
        raise ImageError(f"the {name} stream is damaged ({reason})") from None
    if len(data) > block_size:
        raise ImageError(f"the {name} stream holds more than the block's {block_size} bytes")
    if not stream.eof:  # type: ignore[attr-defined]
        raise ImageError(f"the {name} stream ends too early")
    return _first(data, want, name)


def _first(data: bytes, want: int, name: str) -> bytes:
    if len(data) < want:
        raise ImageError(f"the {name} block ends after {len(data)} of {want} bytes")
    return data if len(data) == want else data[:want]


_CODECS: Final[dict[int, Callable[[bytes | memoryview, int, int], bytes]]] = {
    DEFLATE: _deflate,
    ZLIB: _zlib,
    LZ4: _lz4,
    LZO1X: _lzo1x,
    XZ: _xz,
    BZIP2: _bzip2,
    ZSTD: _zstd,
    ZSTD_FRAME: _zstd_frame,
    GZIP: _gzip,
}
