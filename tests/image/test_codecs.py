from __future__ import annotations

import binascii
import bz2
import gzip
import importlib
import lzma
import random
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writers.containers import deflate_with_adler, lz4_block, lz4_with_size, lzo_block, raw_deflate, zlib_stream

from isofs.errors import ImageError, UnsupportedError
from isofs.image import codecs
from isofs.image.blockmap import BZIP2, DEFLATE, GZIP, KIND_NAMES, LZ4, LZO1X, XZ, ZLIB, ZSTD, ZSTD_FRAME
from isofs.image.compiled import compiled

Encoder = Callable[[bytes], bytes]

ENCODERS: dict[int, Encoder] = {
    DEFLATE: raw_deflate,
    ZLIB: zlib_stream,
    LZ4: lz4_block,
    LZO1X: lzo_block,
    XZ: lambda data: lzma.compress(data, preset=0),
    BZIP2: bz2.compress,
}


def zstd_library() -> str | None:
    if sys.version_info >= (3, 14):
        return "compression.zstd"
    return "backports.zstd" if find_spec("backports") and find_spec("backports.zstd") else None


if library := zstd_library():
    ENCODERS[ZSTD] = importlib.import_module(library).compress

SOME_EXAMPLES = settings(deadline=None, max_examples=40)
EVERY = pytest.mark.parametrize("kind", sorted(ENCODERS), ids=lambda kind: KIND_NAMES[kind])
BOTH = pytest.mark.parametrize("libdeflate", [True, False], ids=["libdeflate", "zlib"])
SOME_DATA = st.binary(min_size=1, max_size=3000) | st.builds(
    lambda piece, n: piece * n, st.binary(min_size=1, max_size=40), st.integers(1, 200)
)


@pytest.fixture(autouse=True)
def _libraries() -> None:
    for kind in ENCODERS:
        codecs.require(kind)


@contextmanager
def without_libdeflate() -> Iterator[None]:
    """The package `deflate` is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "deflate", None)
        patch.setattr(codecs, "_modules", {})
        codecs.require(DEFLATE)
        codecs.require(ZLIB)
        yield


def outcome(kind: int, stored: bytes, want: int, block_size: int, *, libdeflate: bool = True) -> bytes | None:
    """The decoded bytes, or None where they cannot be had."""
    try:
        if libdeflate:
            return codecs.decode(kind, stored, want, block_size)
        with without_libdeflate():
            return codecs.decode(kind, stored, want, block_size)
    except ImageError:
        return None


def text(size: int) -> bytes:
    return b"".join(b"line %d of the text\n" % i for i in range(size // 15))[:size]


# --- every codec ----------------------------------------------------------------------------------------------------


@EVERY
@SOME_EXAMPLES
@given(data=SOME_DATA)
def test_round_trip(kind: int, data: bytes) -> None:
    assert codecs.decode(kind, ENCODERS[kind](data), len(data), len(data)) == data


@EVERY
@SOME_EXAMPLES
@given(data=SOME_DATA)
def test_block_is_read_from_a_view_of_a_longer_read(kind: int, data: bytes) -> None:
    stored = ENCODERS[kind](data)
    view = memoryview(b"before" + stored + b"behind")[6 : 6 + len(stored)]
    decoded = codecs.decode(kind, view, len(data), len(data))
    assert decoded == data
    assert isinstance(decoded, bytes)


@EVERY
@SOME_EXAMPLES
@given(data=SOME_DATA, cut=st.integers(0, 1000))
def test_last_block_padded_before_compression_gives_its_first_bytes(kind: int, data: bytes, cut: int) -> None:
    want = max(1, len(data) - cut)
    assert codecs.decode(kind, ENCODERS[kind](data), want, len(data)) == data[:want]


@EVERY
@SOME_EXAMPLES
@given(data=SOME_DATA, room=st.integers(1, 3000))
def test_short_last_block_is_read(kind: int, data: bytes, room: int) -> None:
    assert codecs.decode(kind, ENCODERS[kind](data), len(data), len(data) + room) == data


@EVERY
@SOME_EXAMPLES
@given(data=SOME_DATA, missing=st.integers(1, 100))
def test_block_that_decodes_to_too_little_is_an_error(kind: int, data: bytes, missing: int) -> None:
    assert outcome(kind, ENCODERS[kind](data), len(data) + missing, len(data) + missing) is None


@EVERY
@SOME_EXAMPLES
@given(data=SOME_DATA, part=st.floats(0, 1, exclude_max=True))
def test_truncated_input_gives_the_right_bytes_or_an_error(kind: int, data: bytes, part: float) -> None:
    stored = ENCODERS[kind](data)
    assert outcome(kind, stored[: int(len(stored) * part)], len(data), len(data)) in (None, data)


@EVERY
def test_half_of_a_block_is_an_error(kind: int) -> None:
    stored = ENCODERS[kind](random.Random(1).randbytes(1000) + text(1000))
    assert outcome(kind, stored[: len(stored) // 2], 2000, 2000) is None


@EVERY
def test_empty_input_is_an_error(kind: int) -> None:
    assert outcome(kind, b"", 1, 2048) is None


@EVERY
@SOME_EXAMPLES
@given(stored=st.binary(max_size=200), want=st.integers(1, 2048))
def test_arbitrary_input_gives_as_many_bytes_as_wanted_or_an_error(kind: int, stored: bytes, want: int) -> None:
    decoded = outcome(kind, stored, want, 2048)
    assert decoded is None or len(decoded) == want


@EVERY
def test_bomb_takes_no_more_memory_than_its_block(kind: int) -> None:
    bomb = ENCODERS[kind](bytes(16 << 20)) if kind != LZO1X else ENCODERS[kind](bytes(1 << 20))
    codecs.decode(kind, ENCODERS[kind](bytes(2048)), 2048, 2048)  # what the library takes in any case
    tracemalloc.start()
    try:
        decoded = outcome(kind, bomb, 2048, 2048)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert decoded in (None, bytes(2048))
    assert peak < len(bomb) + (1 << 20)


@pytest.mark.parametrize("kind", [ZLIB, LZ4, LZO1X, XZ, BZIP2], ids=lambda kind: KIND_NAMES[kind])
def test_block_that_holds_more_than_a_block_is_an_error(kind: int) -> None:
    assert outcome(kind, ENCODERS[kind](text(5000)), 2048, 2048) is None


def test_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "_modules", {})
    monkeypatch.setitem(sys.modules, "lzallright", None)
    with pytest.raises(UnsupportedError, match="LZO1X blocks need the Python package lzallright; install"):
        codecs.require(LZO1X)


def test_missing_zstd_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "_modules", {})
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    with pytest.raises(UnsupportedError, match="zstd blocks need the Python package backports"):
        codecs.require(ZSTD)


@SOME_EXAMPLES
@given(data=st.binary(max_size=100))
def test_crc_16_is_the_same_in_c(data: bytes) -> None:
    if compiled is not None:
        assert compiled.crc_16(data) == codecs.crc_16(data) == binascii.crc_hqx(data, 0xFFFF)
    assert codecs.crc_16(b"123456789") == 0x29B1


@pytest.mark.parametrize("kind", [kind for kind in (GZIP, ZSTD_FRAME) if kind == GZIP or library])
@pytest.mark.parametrize("size", [4999, 5001])
def test_stream_that_is_a_block_by_itself_holds_exactly_that(kind: int, size: int) -> None:
    codecs.require(kind)
    stored = gzip.compress(bytes(range(250)) * 20) if kind == GZIP else ENCODERS[ZSTD](bytes(range(250)) * 20)
    assert outcome(kind, stored, 5000, 8192) == bytes(range(250)) * 20
    assert outcome(kind, stored, size, 8192) is None
    assert outcome(kind, stored + b"more", 5000, 8192) is None
    assert outcome(kind, stored[:-1], 5000, 8192) is None


@pytest.mark.parametrize("kind", [XZ, BZIP2], ids=lambda kind: KIND_NAMES[kind])
def test_stream_whose_end_is_cut_off_is_damaged(kind: int) -> None:
    stored = ENCODERS[kind](b"x" * 5000)
    assert outcome(kind, stored, 5000, 8192) == b"x" * 5000
    assert outcome(kind, stored[:-1], 5000, 8192) is None


# --- deflate and zlib -----------------------------------------------------------------------------------------------


@BOTH
@SOME_EXAMPLES
@given(data=SOME_DATA, padding=st.binary(max_size=300))
def test_bytes_after_a_deflate_stream_do_no_harm(libdeflate: bool, data: bytes, padding: bytes) -> None:
    assert outcome(DEFLATE, raw_deflate(data) + padding, len(data), len(data), libdeflate=libdeflate) == data
    assert outcome(DEFLATE, deflate_with_adler(data), len(data), len(data), libdeflate=libdeflate) == data


@BOTH
@SOME_EXAMPLES
@given(data=SOME_DATA, padding=st.binary(max_size=300))
def test_bytes_after_a_zlib_stream_do_no_harm(libdeflate: bool, data: bytes, padding: bytes) -> None:
    assert outcome(ZLIB, zlib_stream(data) + padding, len(data), len(data), libdeflate=libdeflate) == data


@BOTH
@SOME_EXAMPLES
@given(data=SOME_DATA, level=st.integers(0, 9))
def test_zlib_header_where_a_raw_stream_is_due_is_tolerated(libdeflate: bool, data: bytes, level: int) -> None:
    stored = zlib.compress(data, level)
    assert outcome(DEFLATE, stored, len(data), len(data), libdeflate=libdeflate) == data


@BOTH
def test_deflate_stream_that_goes_on_past_the_block_gives_the_block(libdeflate: bool) -> None:
    data = text(9000)
    assert outcome(DEFLATE, raw_deflate(data), 2048, 2048, libdeflate=libdeflate) == data[:2048]


@BOTH
def test_deflate_stream_damaged_behind_the_block_gives_the_block(libdeflate: bool) -> None:
    data = random.Random(2).randbytes(9000)
    stored = raw_deflate(data)
    assert outcome(DEFLATE, stored[:5000], 2048, 2048, libdeflate=libdeflate) == data[:2048]


@BOTH
def test_wrong_checksum_of_a_zlib_stream_is_an_error(libdeflate: bool) -> None:
    stored = bytearray(zlib_stream(text(2048)))
    stored[-1] ^= 1
    assert outcome(ZLIB, bytes(stored), 2048, 2048, libdeflate=libdeflate) is None


@BOTH
@pytest.mark.parametrize("kept", [1, 4])
def test_missing_checksum_of_a_zlib_stream_is_an_error(libdeflate: bool, kept: int) -> None:
    assert outcome(ZLIB, zlib_stream(text(2048))[:-kept], 2048, 2048, libdeflate=libdeflate) is None


@BOTH
def test_raw_stream_where_a_zlib_stream_is_due_is_an_error(libdeflate: bool) -> None:
    assert outcome(ZLIB, raw_deflate(text(2048)), 2048, 2048, libdeflate=libdeflate) is None


@pytest.mark.parametrize("kind", [DEFLATE, ZLIB], ids=lambda kind: KIND_NAMES[kind])
@pytest.mark.parametrize("encode", [raw_deflate, zlib_stream, deflate_with_adler])
@SOME_EXAMPLES
@given(data=SOME_DATA, cut=st.integers(0, 40), padding=st.binary(max_size=20), room=st.integers(-500, 500))
def test_results_do_not_depend_on_the_package_deflate(
    kind: int, encode: Encoder, data: bytes, cut: int, padding: bytes, room: int
) -> None:
    stored = encode(data)
    stored = stored[: len(stored) - cut] + padding
    block_size = max(1, len(data) + room)
    want = min(len(data), block_size)
    fast = outcome(kind, stored, want, block_size)
    slow = outcome(kind, stored, want, block_size, libdeflate=False)
    assert fast == slow


@pytest.mark.parametrize("kind", [DEFLATE, ZLIB], ids=lambda kind: KIND_NAMES[kind])
@SOME_EXAMPLES
@given(data=SOME_DATA, places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=4))
def test_damage_does_not_make_the_libraries_disagree_about_bytes(
    kind: int, data: bytes, places: list[tuple[float, int]]
) -> None:
    stored = bytearray(ENCODERS[kind](data))
    for place, change in places:
        stored[int(len(stored) * place)] ^= change
    fast = outcome(kind, bytes(stored), len(data), len(data))
    slow = outcome(kind, bytes(stored), len(data), len(data), libdeflate=False)
    assert fast == slow or None in (fast, slow)


# --- LZ4 ------------------------------------------------------------------------------------------------------------


@SOME_EXAMPLES
@given(data=SOME_DATA, padding=st.binary(max_size=300))
def test_padding_after_a_whole_lz4_block_does_no_harm(data: bytes, padding: bytes) -> None:
    assert outcome(LZ4, lz4_block(data) + padding, len(data), len(data)) == data


@SOME_EXAMPLES
@given(
    data=SOME_DATA,
    byte=st.sampled_from((0, 1, 2, 16, 88, 255)) | st.integers(0, 255),
    length=st.integers(0, 2048),
    room=st.integers(0, 4000),
)
def test_padding_after_a_short_last_lz4_block_does_no_harm(data: bytes, byte: int, length: int, room: int) -> None:
    padding = bytes((byte,)) * length
    assert outcome(LZ4, lz4_block(data) + padding, len(data), len(data) + room) == data


def test_any_padding_byte_after_a_short_last_lz4_block_does_no_harm() -> None:
    data = text(1000)
    stored = lz4_block(data)
    harmful = [
        (byte, length)
        for byte in range(256)
        for length in (1, 3, 100, 1000, 2000)
        if outcome(LZ4, stored + bytes((byte,)) * length, 1000, 2048) != data
    ]
    assert harmful == []


@SOME_EXAMPLES
@given(data=SOME_DATA, cut=st.integers(0, 500), byte=st.integers(0, 255), length=st.integers(0, 300))
def test_padding_after_a_last_lz4_block_padded_before_compression_does_no_harm(
    data: bytes, cut: int, byte: int, length: int
) -> None:
    want = max(1, len(data) - cut)
    padded = data[:want].ljust(len(data), b"\0")
    assert outcome(LZ4, lz4_block(padded) + bytes((byte,)) * length, want, len(data)) == data[:want]


@SOME_EXAMPLES
@given(data=SOME_DATA, padding=st.binary(max_size=20))
def test_lz4_block_behind_its_size_is_tolerated(data: bytes, padding: bytes) -> None:
    assert outcome(LZ4, lz4_with_size(data) + padding, len(data), len(data)) == data


def test_lz4_block_whose_first_bytes_look_like_its_size_is_read_as_it_is() -> None:
    block_size = 0x0000_6250  # token of 5 literals, "b", NUL, NUL ...
    data = b"b\0\0xy" + random.Random(3).randbytes(block_size - 5)
    sequences = b"\x50" + data[:5]
    stored = lz4_block(data)
    assert outcome(LZ4, stored, block_size, block_size) == data
    assert sequences[:4] == block_size.to_bytes(4, "little")


def test_lz4_offset_before_the_block_is_an_error() -> None:
    stored = b"\x1fA\x05\x00" + b"\xff" * 7 + b"\x00" + b"\x50hello"
    assert outcome(LZ4, stored, 1000, 2048) is None


def test_lz4_length_without_an_end_is_an_error() -> None:
    assert outcome(LZ4, b"\xf0" + b"\xff" * 5000, 2048, 2048) is None


# --- LZO ------------------------------------------------------------------------------------------------------------


@SOME_EXAMPLES
@given(data=SOME_DATA, padding=st.binary(min_size=1, max_size=300))
def test_padding_after_an_lzo_block_does_no_harm(data: bytes, padding: bytes) -> None:
    assert outcome(LZO1X, lzo_block(data) + padding, len(data), len(data)) == data


def test_lzo_block_gets_no_more_input_than_its_block_can_need() -> None:
    """The decoder knows no bound of its output: 4 MiB of padding space would become a gigabyte."""
    grown = lzo_block(bytes(1 << 20))
    assert len(grown) > 2048 + 2048 // 16 + 67
    with pytest.raises(ImageError, match="LZO1X block"):
        codecs.decode(LZO1X, grown, 2048, 2048)


def test_lzo_block_with_more_than_its_block_is_an_error() -> None:
    with pytest.raises(ImageError, match="more than the block"):
        codecs.decode(LZO1X, lzo_block(bytes(100_000)), 2048, 2048)
