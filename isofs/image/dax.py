r"""DAX, an early compressed image of the PSP, versions 0 and 1 (magic `DAX\0`).

Header, 32 bytes, little-endian, then tables; F = ceil(disc size / 8192) frames:

| at | size | field | |
| --- | --- | --- | --- |
| 0 | 4 | magic | `DAX\0` |
| 4 | 4 | disc size | bytes |
| 8 | 4 | version | 0 or 1 |
| 12 | 4 | areas | number of areas that are not compressed |
| 16 | 16 | unused | |
| 32 | 4 F | positions | of each frame in the file |
| 32 + 4 F | 2 F | stored bytes | of each frame |
| 32 + 6 F | 8 areas | areas | pairs: first frame, number of frames |

A frame of an area is plain, any other is a zlib stream with header and Adler-32. Version 0 has no areas, so its
frames may be longer than 8192 bytes; a version 0 file whose data begin behind a list of areas has one all the same.
The last frame is padded to 8192 bytes by maxcso and shorter by others. The tables take 3 MB at most and are read
whole when the image is opened.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Final

from ..errors import ImageError, UnsupportedError
from .blockmap import BAD, PLAIN, ZLIB, BlockMap, Rows, empty_rows, truncation
from .source import Source
from .wishes import NO_WISHES, Wishes

HEADER: Final = struct.Struct("<4sIII16x")
FRAME: Final = 8192
_AREA: Final = struct.Struct("<II")


def open_map(source: Source, _wishes: Wishes = NO_WISHES) -> BlockMap:
    """The block map of a DAX image. Raises `ImageError`, and `UnsupportedError` for a version above 1."""
    head = source.pread(HEADER.size, 0)
    if len(head) < HEADER.size:
        raise ImageError("truncated: the DAX header is cut off", "copy the image again")
    _, disc_size, version, areas = HEADER.unpack(head)
    if version > 1:
        raise UnsupportedError(f"DAX version {version} is unknown", "convert it to an ISO with maxcso --decompress")
    frames = -(-disc_size // FRAME)
    lengths_at = HEADER.size + 4 * frames
    areas_at = lengths_at + 2 * frames
    if not disc_size:
        raise ImageError("damaged DAX header: a disc of 0 bytes", "copy the image again")
    if areas_at > source.size:
        raise ImageError(
            f"truncated: the tables of {frames} frames do not fit into the DAX file's {source.size} bytes",
            "copy the image again",
        )
    positions = array("I", source.pread(4 * frames, HEADER.size))
    lengths = array("H", source.pread(2 * frames, lengths_at))
    if sys.byteorder == "big":
        positions.byteswap()
        lengths.byteswap()
    if version == 0 and positions[0] != areas_at + _AREA.size * areas:
        areas = 0
    plain = _plain_frames(source, areas_at, areas, frames)

    def load(first: int, n: int) -> Rows:
        rows = empty_rows()
        for frame in range(first, first + n):
            kind = PLAIN if plain[frame] else ZLIB
            stored = lengths[frame]
            want = min(FRAME, disc_size - frame * FRAME)
            if positions[frame] < areas_at or not stored or (kind == PLAIN and stored < want):
                kind = BAD
            rows.positions.append(positions[frame])
            rows.stored.append(stored)
            rows.kinds.append(kind)
        return rows

    present = sum(position + length <= source.size for position, length in zip(positions, lengths, strict=True))
    return BlockMap(
        format=f"DAX version {version}",
        block_size=FRAME,
        disc_size=disc_size,
        kinds=frozenset((ZLIB,)),
        load=load,
        warnings=truncation(present, frames),
    )


def _plain_frames(source: Source, at: int, areas: int, frames: int) -> bytearray:
    """A flag for each frame: whether it is in one of the areas that are not compressed."""
    if areas > frames:
        raise ImageError(f"damaged DAX header: {areas} areas in {frames} frames", "copy the image again")
    table = source.pread(_AREA.size * areas, at)
    if len(table) < _AREA.size * areas:
        raise ImageError("truncated: the DAX file ends inside its list of areas", "copy the image again")
    plain = bytearray(frames)
    for first, count in _AREA.iter_unpack(table):
        if first > frames or count > frames - first:
            raise ImageError(
                f"damaged DAX list of areas: frames {first} to {first + count} of {frames}", "copy the image again"
            )
        plain[first : first + count] = b"\1" * count
    return plain
