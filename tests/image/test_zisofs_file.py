from __future__ import annotations

import bz2
import lzma
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import lz4.block
import pytest
from writers.containers import overwritten, sample_disc
from writers.sources import Memory, assert_same, damaged_blocks
from writers.tools import require

from isofs.errors import ImageError, UnsupportedError
from isofs.image import codecs, zisofs
from isofs.image.blockmap import ZSTD
from isofs.image.cache import BlockCache
from isofs.image.disc import Disc

DISC = sample_disc(120) + bytes(200_000) + sample_disc(40, tail=700)
BLOCK = 32_768

codecs.require(ZSTD)
_zstd = codecs._modules[ZSTD]
assert _zstd is not None

CODECS: dict[int, Callable[[bytes], bytes]] = {
    1: zlib.compress,
    2: lzma.compress,
    3: lambda data: lz4.block.compress(data, store_size=False),
    4: _zstd.compress,
    5: bz2.compress,
}


def opened(image: bytes) -> Disc:
    source = Memory(image)
    return Disc(source, zisofs.open_map(source), BlockCache(1 << 22))


def write(disc: bytes, *, version: int = 1, log2: int = 15, algorithm: int = 1) -> bytes:
    """A zisofs file; blocks of zeros are empty ranges."""
    pieces = [disc[at : at + (1 << log2)] for at in range(0, len(disc), 1 << log2)]
    stored = [CODECS[algorithm](piece) if piece.strip(b"\0") else b"" for piece in pieces]
    if version == 1:
        head = struct.pack("<8sIBB2x", b"\x37\xe4\x53\x96\xc9\xdb\xd6\x07", len(disc), 4, log2)
    else:
        head = struct.pack("<8sBBBBQ4x", b"\xef\x22\x55\xa1\xbc\x1b\x95\xa0", 0, 6, algorithm, log2, len(disc))
    width = 4 if version == 1 else 8
    pointers = [len(head) + width * (len(stored) + 1)]
    for block in stored:
        pointers.append(pointers[-1] + len(block))
    return head + struct.pack(f"<{len(pointers)}{'I' if version == 1 else 'Q'}", *pointers) + b"".join(stored)


@pytest.mark.parametrize("log2", [15, 16, 17])
def test_version_1_is_read(log2: int) -> None:
    disc = opened(write(DISC, log2=log2))
    assert disc.blocks.format == "zisofs file, version 1"
    assert_same(disc, DISC)


@pytest.mark.parametrize("algorithm", sorted(CODECS))
@pytest.mark.parametrize("log2", [15, 17, 20])
def test_version_2_is_read_by_every_algorithm(algorithm: int, log2: int) -> None:
    disc = opened(write(DISC, version=2, log2=log2, algorithm=algorithm))
    assert disc.blocks.format == "zisofs file, version 2"
    assert_same(disc, DISC, ranges=10)


def test_what_mkzftree_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/disc.iso").write_bytes(DISC)
    subprocess.run([require("mkzftree"), "plain", "packed"], cwd=tmp_path, check=True)
    assert_same(opened((tmp_path / "packed/disc.iso").read_bytes()), DISC)


@pytest.mark.parametrize("version", [1, 2])
def test_damaged_pointer_costs_the_blocks_beside_it(version: int) -> None:
    image = write(DISC, version=version)
    at = 16 + 4 * 3 if version == 1 else 24 + 8 * 3
    disc = opened(overwritten(image, at, b"\xff\xff\xff\x7f"))
    assert damaged_blocks(disc, DISC, BLOCK) == [2, 3]


@pytest.mark.parametrize(
    ("version", "at", "value"),
    [(1, 12, b"\5"), (1, 13, b"\16"), (1, 13, b"\22"), (1, 8, bytes(4)), (1, 8, b"\xff\xff\xff\xff")]
    + [(2, 9, b"\4"), (2, 11, b"\25"), (2, 12, bytes(8)), (2, 12, b"\0" * 5 + b"\1\0\0"), (2, 12, b"\xff" * 8)],
)
def test_header_that_cannot_be_true_is_refused(version: int, at: int, value: bytes) -> None:
    with pytest.raises(ImageError):
        opened(overwritten(write(DISC, version=version), at, value))


@pytest.mark.parametrize("length", [8, 15, 23, 40])
@pytest.mark.parametrize("version", [1, 2])
def test_header_or_table_that_is_cut_off_is_refused(version: int, length: int) -> None:
    with pytest.raises(ImageError):
        opened(write(DISC, version=version)[:length])


def test_unknown_algorithm_is_refused_by_its_number() -> None:
    with pytest.raises(UnsupportedError, match="algorithm 6 is unknown"):
        opened(overwritten(write(DISC, version=2), 10, b"\6"))


@pytest.mark.parametrize("magic", [zisofs.MAGIC_1, zisofs.MAGIC_2])
def test_header_that_is_cut_off_is_said(magic: bytes) -> None:
    with pytest.raises(ImageError, match="truncated: the zisofs header is cut off"):
        zisofs.open_map(Memory(magic + b"\0" * 4))
