"""zisofs: files compressed in blocks."""

from __future__ import annotations

import bz2
import lzma
import struct
import threading
import zlib
from collections.abc import Callable

import lz4.block
import pytest
from hypothesis import given
from hypothesis import strategies as st
from writers.discs import (
    MULTI_EXTENT,
    SECTOR,
    Disc,
    MemorySource,
    content,
    names,
    numbered_blocks,
    open_bytes,
    open_source,
    rock,
    zf,
    zisofs,
)

from isofs.errors import ImageError, IsofsError, NotReady, UnsupportedError
from isofs.image.source import Source, never_wait
from isofs.volume.tree import find

BLOCK = 1 << 15
DATA = numbered_blocks(20) + bytes(2 * BLOCK) + numbered_blocks(5)[:-77]
"""Blocks 2 and 3 are zeros in part or whole; the last one is short."""


def lz4_block(data: bytes) -> bytes:
    packed: bytes = lz4.block.compress(data, store_size=False)
    return packed


def disc_of(stored: bytes, mark: bytes, name: bytes = b"z") -> Disc:
    disc = Disc(rock=True)
    disc.root.file(b"Z.;1", stored, system_use=rock(name) + mark)
    disc.root.file(b"GOOD.;1", b"good", system_use=rock(b"good"))
    return disc


def data_of(disc: Disc) -> Source:
    volume = disc.open()
    return volume.data(find(volume, "z").inode)


@pytest.mark.parametrize("log2", [15, 16, 17])
def test_version_1_is_read(log2: int) -> None:
    stored = zisofs(DATA, log2=log2)
    volume = disc_of(stored, zf(len(DATA), log2=log2)).open()
    found = find(volume, "z")
    assert found.size == len(DATA)
    assert found.blocks == -(-len(stored) // 512)
    assert content(volume, "z") == DATA
    source = volume.data(found.inode)
    for offset, n in ((0, 1), (BLOCK - 1, 2), (100, 70_000), (len(DATA) - 3, 10), (len(DATA), 1)):
        assert source.pread(n, offset) == DATA[offset : offset + n]


@pytest.mark.parametrize("signature", [b"ZF", b"Z2"])
@pytest.mark.parametrize("log2", [15, 18, 20])
@pytest.mark.parametrize(
    ("letters", "algorithm", "compress"),
    [(b"PZ", 1, zlib.compress), (b"XZ", 2, lzma.compress), (b"L4", 3, lz4_block), (b"B2", 5, bz2.compress)],
    ids=["zlib", "xz", "lz4", "bzip2"],
)
def test_version_2_is_read(
    letters: bytes, algorithm: int, compress: Callable[[bytes], bytes], log2: int, signature: bytes
) -> None:
    stored = zisofs(DATA, version=2, algorithm=algorithm, log2=log2, compress=compress)
    mark = zf(len(DATA), log2=log2, header=24, algorithm=letters, signature=signature)
    assert content(disc_of(stored, mark).open(), "z") == DATA


def test_a_file_of_zeros_has_no_stored_blocks() -> None:
    stored = zisofs(bytes(300_000))
    assert len(stored) == 60
    assert content(disc_of(stored, zf(300_000)).open(), "z") == bytes(300_000)


def test_an_empty_file() -> None:
    assert content(disc_of(zisofs(b""), zf(0)).open(), "z") == b""


def test_a_file_without_a_mark_shows_its_stored_bytes() -> None:
    stored = zisofs(DATA)
    assert content(disc_of(stored, b"").open(), "z") == stored


def test_without_rock_ridge_the_stored_bytes_are_shown() -> None:
    stored = zisofs(DATA)
    disc = Disc()
    disc.root.file(b"Z.;1", stored, system_use=rock(b"z") + zf(len(DATA)))
    assert content(disc.open(), "z") == stored


CONTRADICTIONS: dict[str, tuple[bytes, bytes]] = {
    "wrong magic": (zisofs(DATA, magic=b"notmagic"), zf(len(DATA))),
    "no header": (b"short", zf(len(DATA))),
    "empty": (b"", zf(len(DATA))),
    "size in the record": (zisofs(DATA), zf(len(DATA) + 1)),
    "size in the header": (zisofs(DATA, size=len(DATA) - 1), zf(len(DATA))),
    "log2 in the record": (zisofs(DATA), zf(len(DATA), log2=16)),
    "log2 14": (zisofs(DATA, log2=14), zf(len(DATA), log2=14)),
    "log2 18 in version 1": (zisofs(DATA, log2=18), zf(len(DATA), log2=18)),
    "log2 21 in version 2": (zisofs(DATA, version=2, log2=21), zf(len(DATA), log2=21, header=24, algorithm=b"PZ")),
    "header size in the record": (zisofs(DATA), zf(len(DATA), header=24)),
    "header size in the header": (zisofs(DATA, header=20), zf(len(DATA))),
    "both header sizes": (zisofs(DATA, header=20), zf(len(DATA), header=20)),
    "log2 30": (b"\x37\xe4\x53\x96\xc9\xdb\xd6\x07" + struct.pack("<IBB2x", 99, 4, 30) + bytes(99), zf(99, log2=30)),
    "log2 255": (b"\x37\xe4\x53\x96\xc9\xdb\xd6\x07" + struct.pack("<IBB2x", 99, 4, 255) + bytes(99), zf(99, log2=255)),
    "two gigabytes": (zisofs(b"x" * 100, size=2**31 - 1), zf(2**31 - 1)),
    "2^64 bytes": (
        zisofs(b"x" * 100, version=2, size=2**64 - 1),
        zf(2**64 - 1, header=24, algorithm=b"PZ"),
    ),
    "algorithm in the record": (
        zisofs(DATA, version=2, algorithm=1),
        zf(len(DATA), header=24, algorithm=b"XZ"),
    ),
    "no algorithm in the record": (zisofs(DATA), zf(len(DATA), algorithm=b"zz")),
    "version 2 in the record": (zisofs(DATA), zf(len(DATA), algorithm=b"PZ")),
}


@pytest.mark.parametrize(("stored", "mark"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_a_contradiction_between_record_and_header_is_an_error(stored: bytes, mark: bytes) -> None:
    volume = disc_of(stored, mark).open()
    assert names(volume) == [b"z", b"good"]
    with pytest.raises(ImageError):
        content(volume, "z")
    assert content(volume, "good") == b"good"


@pytest.mark.parametrize("algorithm", [0, 6, 255])
def test_an_unknown_algorithm_is_named(algorithm: int) -> None:
    stored = zisofs(DATA, version=2, algorithm=algorithm)
    volume = disc_of(stored, zf(len(DATA), header=24, algorithm=b"PZ")).open()
    with pytest.raises(UnsupportedError, match=f"algorithm {algorithm} "):
        content(volume, "z")


def with_pointer(i: int, change: int) -> Callable[[list[int]], list[int]]:
    def pointers(table: list[int]) -> list[int]:
        table[i] = change
        return table

    return pointers


@pytest.mark.parametrize("pointer", [0, 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_bad_pointer_fails_only_the_blocks_beside_it(pointer: int) -> None:
    data = numbered_blocks(16 * 5)
    source = data_of(disc_of(zisofs(data, pointers=with_pointer(2, pointer)), zf(len(data))))
    for i in (1, 2):
        with pytest.raises(ImageError):
            source.pread(BLOCK, BLOCK * i)
    for i in (0, 3, 4):
        assert source.pread(BLOCK, BLOCK * i) == data[BLOCK * i : BLOCK * (i + 1)]


def test_a_damaged_block_fails_only_its_bytes() -> None:
    data = numbered_blocks(16 * 4)
    stored = bytearray(zisofs(data))
    at = struct.unpack_from("<I", stored, 16 + 4)[0]
    stored[at + 20 : at + 40] = bytes(20)
    source = data_of(disc_of(bytes(stored), zf(len(data))))
    with pytest.raises(ImageError):
        source.pread(1, BLOCK)
    assert source.pread(BLOCK, 0) == data[:BLOCK]
    assert source.pread(2 * BLOCK, 2 * BLOCK) == data[2 * BLOCK :]


@pytest.mark.parametrize(
    "compress",
    [
        lambda block: zlib.compress(block + bytes(8 << 20), 9),
        lambda block: zlib.compress(block + b"x"),
        lambda block: zlib.compress(block[:-1]),
        lambda block: zlib.compress(block)[:-1],
        lambda block: b"\0",
        lambda block: block[:100],
    ],
    ids=["bomb", "too long", "too short", "cut off", "no stream", "stored"],
)
def test_a_block_of_another_size_than_a_block_is_an_error(compress: Callable[[bytes], bytes]) -> None:
    data = numbered_blocks(16 + 3)
    disc = disc_of(zisofs(data, compress=compress), zf(len(data)))
    with pytest.raises(ImageError):
        data_of(disc).pread(1, 0)


@pytest.mark.parametrize(
    ("letters", "algorithm", "compress"), [(b"XZ", 2, lzma.compress), (b"B2", 5, bz2.compress)], ids=["xz", "bzip2"]
)
def test_a_bomb_is_bounded(letters: bytes, algorithm: int, compress: Callable[[bytes], bytes]) -> None:
    bomb = compress(bytes(16 << 20))
    stored = zisofs(b"x" * BLOCK, version=2, algorithm=algorithm, compress=lambda block: bomb)
    with pytest.raises(ImageError, match="more than the block"):
        data_of(disc_of(stored, zf(BLOCK, header=24, algorithm=letters))).pread(1, 0)


def test_the_table_must_lie_in_the_file() -> None:
    stored = zisofs(DATA)
    with pytest.raises(ImageError, match="does not fit"):
        content(disc_of(stored[:30], zf(len(DATA))).open(), "z")


def test_a_file_that_is_cut_off_gives_the_blocks_that_are_there() -> None:
    data = numbered_blocks(16 * 3)
    source = data_of(disc_of(zisofs(data)[:-10], zf(len(data))))
    assert source.pread(2 * BLOCK, 0) == data[: 2 * BLOCK]
    with pytest.raises(ImageError):
        source.pread(1, 2 * BLOCK)


def test_a_disc_that_is_cut_off_gives_the_blocks_that_are_there() -> None:
    data = zlib.decompress(zlib.compress(numbered_blocks(16 * 3)))
    stored = zisofs(data, compress=lambda block: zlib.compress(block, 0))
    disc = Disc(rock=True)
    disc.root.file(b"Z.;1", stored, system_use=rock(b"z") + zf(len(data)))
    volume = open_bytes(disc.build()[: -2 * SECTOR])
    source = volume.data(find(volume, "z").inode)
    assert source.pread(2 * BLOCK, 0) == data[: 2 * BLOCK]
    with pytest.raises(ImageError):
        source.pread(BLOCK, 2 * BLOCK)


def test_a_file_in_sections_is_read() -> None:
    stored = zisofs(DATA)
    disc = Disc(rock=True)
    use = rock(b"z") + zf(len(DATA))
    disc.root.file(b"Z.;1", stored[:SECTOR], flags=MULTI_EXTENT, system_use=use)
    disc.root.file(b"Z.;1", stored[SECTOR:], system_use=use)
    assert content(disc.open(), "z") == DATA


def test_who_must_not_wait_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isofs.image.codecs.AT_ONCE", 0)  # any decoding takes longer
    source = data_of(disc_of(zisofs(DATA), zf(len(DATA))))
    told: list[object] = []

    def ask() -> None:
        never_wait()
        for _ in range(2):
            try:
                told.append(source.pread(100, 0))
            except NotReady:
                told.append("not ready")
                worker = threading.Thread(target=source.pread, args=(100, 0))
                worker.start()
                worker.join()

    impatient = threading.Thread(target=ask)
    impatient.start()
    impatient.join()
    assert told == ["not ready", DATA[:100]]


def test_opening_reads_the_header_only() -> None:
    memory = MemorySource(disc_of(zisofs(DATA), zf(len(DATA))).build())
    volume = open_source(memory)
    found = find(volume, "z")
    before = memory.read_bytes
    volume.data(found.inode)
    assert memory.read_bytes - before <= 2 * SECTOR


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_changed_file_gives_its_bytes_or_an_error_of_ours(changes: list[tuple[int, int]]) -> None:
    data = numbered_blocks(20)
    stored = bytearray(zisofs(data))
    for at, value in changes:
        stored[at % len(stored)] = value
    source: Source
    try:
        source = data_of(disc_of(bytes(stored), zf(len(data))))
    except IsofsError:
        return
    assert source.size == len(data)
    for offset in range(0, len(data), BLOCK):
        try:
            piece = source.pread(BLOCK, offset)
        except ImageError:
            continue
        assert len(piece) == min(BLOCK, len(data) - offset)
