"""Codecs that only CHD images have: the stored bytes of a block -> its bytes, all of them.

| kind | tag | stored bytes |
| --- | --- | --- |
| `LZMA` | `lzma` | a raw LZMA1 stream with lc 3, lp 0, pb 2; neither header nor end mark |
| `HUFFMAN` | `huff` | see `huffman` |
| `FLAC` | `flac` | `L` or `B`, the byte order of the samples; then frames, see `flac` |
| `CD_DEFLATE` | `cdzl` | below; base and subchannels are raw deflate streams |
| `CD_LZMA` | `cdlz` | below; the base is raw LZMA1, the subchannels are a raw deflate stream |
| `CD_ZSTD` | `cdzs` | below; both are zstd frames |
| `CD_FLAC` | `cdfl` | frames of all sectors as samples, high byte first; then the subchannels, a raw deflate stream |

The CD kinds are of blocks of F frames of 2448 bytes: 2352 of a sector, the base, and 96 of subchannels. Stored are, but
for `cdfl`: F bits, lowest first, in whole bytes; the length of the stored base, 2 bytes, or 3 where blocks have 65536
bytes and more, high byte first; the stored base; the stored subchannels. A bit that is set says that sync pattern and
ECC of the sector were left out.
"""

from __future__ import annotations

from typing import Final

from ... import limits
from ...errors import ImageError
from .. import codecs, ecc
from ..blockmap import CD_DEFLATE, CD_FLAC, CD_LZMA, CD_ZSTD, DEFLATE, FLAC, HUFFMAN, KIND_NAMES, LZMA, ZSTD
from ..sectors import RAW
from . import flac, huffman
from .header import FRAME

_SUBCHANNELS: Final = FRAME - RAW
_SAMPLE: Final = 4
"""Bytes of a sample of both channels."""


_BASES: Final = {CD_DEFLATE: DEFLATE, CD_LZMA: LZMA, CD_ZSTD: ZSTD}
_SUBS: Final = {CD_DEFLATE: DEFLATE, CD_LZMA: DEFLATE, CD_ZSTD: ZSTD, CD_FLAC: DEFLATE}


def require(kind: int) -> None:
    """Imports what `kind` needs, so that nothing is imported later. Raises `ImportError`."""
    if kind in (LZMA, CD_LZMA):
        import lzma  # noqa: F401
    if kind in _SUBS:
        codecs.require(_SUBS[kind])


def decode(kind: int, stored: bytes | memoryview, block_size: int) -> bytes:
    """The `block_size` bytes of a block. Raises `ImageError` when the stored bytes do not give them."""
    stored = bytes(stored)
    if kind == LZMA:
        return _lzma(stored, block_size)
    if kind == HUFFMAN:
        return huffman.decode(stored, block_size)
    if kind == FLAC:
        return _flac(stored, block_size)
    count, rest = divmod(block_size, FRAME)
    if rest:
        raise ImageError(f"a {KIND_NAMES[kind]} block of {block_size} bytes is no number of sectors")
    if kind == CD_FLAC:
        samples, end = flac.decode(stored, count * RAW // _SAMPLE)
        sectors = bytearray(samples)
        sectors[0::2], sectors[1::2] = samples[1::2], samples[0::2]
    else:
        sectors, end = _base(kind, stored, count, block_size)
    subchannels = codecs.decode(_SUBS[kind], stored[end:], count * _SUBCHANNELS, count * _SUBCHANNELS)
    pieces: list[bytes | bytearray] = []
    for number in range(count):
        pieces.append(sectors[number * RAW : (number + 1) * RAW])
        pieces.append(subchannels[number * _SUBCHANNELS : (number + 1) * _SUBCHANNELS])
    return b"".join(pieces)


def _base(kind: int, stored: bytes, count: int, block_size: int) -> tuple[bytearray, int]:
    """The sectors of a block, whole, and the byte behind their stored bytes."""
    flags = (count + 7) // 8
    start = flags + (2 if block_size < 0x1_0000 else 3)
    end = start + int.from_bytes(stored[flags:start], "big")
    if end > len(stored):
        raise ImageError(f"the {KIND_NAMES[kind]} block is cut off")
    base = _BASES[kind]
    size = count * RAW
    data = _lzma(stored[start:end], size) if base == LZMA else codecs.decode(base, stored[start:end], size, size)
    sectors = bytearray(data)
    ecc.restore(sectors, [number for number in range(count) if stored[number >> 3] >> (number & 7) & 1])
    return sectors, end


def _lzma(stored: bytes, size: int) -> bytes:
    import lzma

    dictionary = 1 << (max(size, 64 * limits.KIB) - 1).bit_length()
    stream = lzma.LZMADecompressor(
        lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": 3, "lp": 0, "pb": 2}]
    )
    try:
        data = stream.decompress(stored, size)
    except lzma.LZMAError as error:
        raise ImageError(f"the LZMA stream is damaged ({error})") from None
    if len(data) != size:
        raise ImageError(f"the LZMA stream ends after {len(data)} of {size} bytes")
    return data


def _flac(stored: bytes, size: int) -> bytes:
    order = stored[:1]
    if order not in (b"L", b"B") or size % _SAMPLE:
        raise ImageError("the FLAC block does not begin with a byte order")
    samples, _ = flac.decode(stored[1:], size // _SAMPLE)
    if order == b"L":
        return samples
    data = bytearray(samples)
    data[0::2], data[1::2] = samples[1::2], samples[0::2]
    return bytes(data)
