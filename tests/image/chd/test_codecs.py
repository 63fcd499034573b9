"""Codecs of CHD blocks: each by a writer of our own where the libraries have one; damage is an error."""

from __future__ import annotations

import lzma
import random
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from writers.chd import deflated
from writers.edc import mode_1

from isofs.errors import ImageError
from isofs.image import ecc
from isofs.image.blockmap import CD_DEFLATE, CD_FLAC, CD_LZMA, CD_ZSTD, FLAC, HUFFMAN, LZMA
from isofs.image.chd import codecs

Twin = tuple[ModuleType, ModuleType]

KINDS: Final = (LZMA, HUFFMAN, FLAC, CD_DEFLATE, CD_LZMA, CD_ZSTD, CD_FLAC)


@pytest.fixture(autouse=True, scope="module")
def _libraries() -> None:
    for kind in KINDS:
        codecs.require(kind)


def zstd(data: bytes) -> bytes:
    try:
        library = import_module("compression.zstd")
    except ImportError:
        library = import_module("backports.zstd")
    packed: bytes = library.compress(data)
    return packed


def raw_lzma(data: bytes) -> bytes:
    """A stream without an end mark: one of the old format with its length, less the header."""
    filters = [{"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": 1 << 16}]
    return lzma.compress(data, lzma.FORMAT_RAW, filters=filters)


PACK: Final = {CD_DEFLATE: (deflated, deflated), CD_LZMA: (raw_lzma, deflated), CD_ZSTD: (zstd, zstd)}


def cd_block(kind: int, count: int) -> tuple[bytes, bytes]:
    """A block of so many frames, every third with an ECC that does not fit, and what it is stored as."""
    chance = random.Random(count)
    sectors = bytearray(b"".join(mode_1(i, chance.randbytes(100).ljust(2048, b"\7")) for i in range(count)))
    whole = [i for i in range(count) if i % 3 != 1]
    bare = bytes(sectors)
    ecc.restore(sectors, whole)
    base = bytearray(sectors)
    flags = bytearray((count + 7) // 8)
    for i in whole:
        base[i * 2352 : i * 2352 + 12] = bytes(12)
        base[i * 2352 + 2076 : (i + 1) * 2352] = bytes(276)
        flags[i // 8] |= 1 << i % 8
    assert bytes(sectors) != bare
    subchannels = bytes(chance.choices(range(4), k=96 * count))
    pack, pack_subchannels = PACK[kind]
    packed = pack(bytes(base))
    width = 2 if count * 2448 < 65536 else 3
    stored = bytes(flags) + len(packed).to_bytes(width, "big") + packed + pack_subchannels(subchannels)
    frames = [sectors[i * 2352 :][:2352] + subchannels[i * 96 :][:96] for i in range(count)]
    return b"".join(frames), stored


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("count", [1, 4, 8, 9, 30])
def test_blocks_of_sectors_and_subchannels(kind: int, count: int) -> None:
    block, stored = cd_block(kind, count)
    assert codecs.decode(kind, stored, len(block)) == block
    assert codecs.decode(kind, memoryview(stored), len(block)) == block
    for end in (0, 1, 2, 5, len(stored) // 2, len(stored) - 20):
        with pytest.raises(ImageError):
            codecs.decode(kind, stored[:end], len(block))


def test_lzma_blocks_are_exactly_their_size() -> None:
    data = b"all the same " * 700
    stored = raw_lzma(data)
    assert codecs.decode(LZMA, stored, len(data)) == data
    with pytest.raises(ImageError, match="LZMA"):
        codecs.decode(LZMA, stored, len(data) + 1)
    with pytest.raises(ImageError, match="LZMA"):
        codecs.decode(LZMA, b"\xff" * 100, 2048)


def test_flac_blocks_begin_with_a_byte_order(twin: Twin) -> None:
    for stored in (b"", b"X\xff\xf8", b"L", b"B"):
        with pytest.raises(ImageError):
            codecs.decode(FLAC, stored, 2048)
    with pytest.raises(ImageError, match="byte order"):
        codecs.decode(FLAC, b"L", 2049)


@pytest.mark.parametrize("kind", [*PACK, CD_FLAC])
def test_cd_blocks_of_another_size_are_errors(kind: int) -> None:
    with pytest.raises(ImageError, match="no number of sectors"):
        codecs.decode(kind, bytes(100), 2352)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(KINDS), stored=st.binary(max_size=300))
def test_any_bytes_are_a_block_or_an_error(twin: Twin, kind: int, stored: bytes) -> None:
    with suppress(ImageError):
        assert len(codecs.decode(kind, stored, 2448)) == 2448
