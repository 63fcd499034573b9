"""zisofs files on a disc, marked by ZF or Z2 in their record -> a disc upon the disc. The layout: `image.zisofs`.

Record and header must agree, else the file reads as an error: what is stored there is not what the disc's author put
into it.
"""

from __future__ import annotations

from typing import Final

from ...errors import ImageError, UnsupportedError
from ...image.cache import BlockCache
from ...image.disc import Disc
from ...image.source import Extents, Source
from ...image.zisofs import indexed_map, parse_header
from .rockridge import Zisofs

_LETTERS: Final = {(1, 1): b"pz", (2, 1): b"PZ", (2, 2): b"XZ", (2, 3): b"L4", (2, 4): b"ZD", (2, 5): b"B2"}
"""What a record calls the algorithm of a header, by version and number."""


def open_zisofs(stored: Extents, mark: Zisofs, cache: BlockCache) -> Source:
    """The decoded bytes of a zisofs file; `stored` are the bytes on the disc.

    Raises `ImageError` where header, record and table contradict each other, `UnsupportedError` for an algorithm that
    is unknown or whose library is missing.
    """
    try:
        header = parse_header(stored)
        if header.header_size != mark.header_size:
            raise ImageError(f"the zisofs header tells a header size of {header.header_size} bytes")
        if header.log2 != mark.log2:
            raise ImageError(f"the zisofs header tells blocks of 2^{header.log2} bytes, its record of 2^{mark.log2}")
        if header.size != mark.size:
            raise ImageError(f"the zisofs header tells {header.size} bytes, its record {mark.size}")
        blocks = indexed_map(stored, header, "zisofs file")
        if mark.algorithm != _LETTERS[header.version, header.algorithm]:
            raise ImageError("the zisofs header and its record tell different algorithms")
    except (ImageError, UnsupportedError) as error:
        raise type(error)(f"{stored.label}: {error.reason}", error.remedy) from None
    return Disc(stored, blocks, cache)
