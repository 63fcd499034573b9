"""ZSO: the layout of CSO version 1 with LZ4 blocks (magic `ZISO`).

Header and index as in `cso`; bit 31 set = plain, clear = one raw LZ4 block, followed by alignment padding of any
value. The block size need not be a power of two (2352 occurs, for raw CD sectors).

DreamShell, a loader for the Dreamcast, writes the same header before LZO1X blocks and nothing tells the two apart:
some blocks are decoded as LZ4, and if any fail, as LZO1X too; the codec with fewer failures is taken.
"""

from __future__ import annotations

from typing import Final

from .. import limits
from ..errors import ImageError, UnsupportedError
from . import codecs
from .blockmap import LZ4, LZO1X, PLAIN, BlockMap
from .cso import Header, indexed_map, parse_header
from .source import Source
from .wishes import NO_WISHES, Wishes

_SAMPLES: Final = 8
"""Blocks tried to tell LZ4 from LZO1X, spread over the image."""
_SEARCHED: Final = 64
"""Blocks looked at for compressed ones around each sample."""


def open_map(source: Source, _wishes: Wishes = NO_WISHES) -> BlockMap:
    """The block map of a ZSO image. Raises `ImageError`, and `UnsupportedError` for a version above 1."""
    header = parse_header(source, "ZSO")
    if header.version > 1:
        raise UnsupportedError(
            f"ZSO version {header.version} is unknown", "convert it to an ISO with maxcso --decompress"
        )
    blocks = _map(source, header, LZ4)
    if header.block_size <= limits.LZO_BLOCK_SIZE and (failed := _failures(source, blocks, LZ4)):
        as_lzo = _map(source, header, LZO1X)
        if _failures(source, as_lzo, LZO1X) < failed:
            return as_lzo
    return blocks


def _map(source: Source, header: Header, kind: int) -> BlockMap:
    def kind_of(flagged: int, _stored: int, _block_size: int) -> int:
        return PLAIN if flagged else kind

    name = "ZSO" if kind == LZ4 else "ZSO with LZO1X (DreamShell)"
    return indexed_map(source, header, name, frozenset((kind,)), kind_of)


def _failures(source: Source, blocks: BlockMap, kind: int) -> int:
    """How many of some compressed blocks, spread over the image, do not decode with `kind`."""
    codecs.require(kind)
    failures = 0
    step = max(1, blocks.count // _SAMPLES)
    for start in range(0, blocks.count, step):
        for block in range(start, min(start + min(step, _SEARCHED), blocks.count)):
            position, stored, found = blocks.row(block)
            if found == kind:
                try:
                    codecs.decode(kind, source.pread(stored, position), blocks.length(block), blocks.block_size)
                except ImageError:
                    failures += 1
                break
    return failures
