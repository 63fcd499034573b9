"""CHD, "compressed hunks of data", the disc image of MAME, versions 3 to 5 (magic `MComprHD`).

A header, metadata, hunks of one size, and a map that tells of each hunk where it lies and how it is stored: by a codec,
plain, as a copy of an earlier hunk, or not at all, since the image's parent has it. `header` and `map` describe the
layout, `codecs`, `huffman` and `flac` what hunks are stored as, `tracks` what the metadata say about a CD.

A CD is stored as frames of 2448 bytes, sector and subchannels; a DVD as it is.
"""

from __future__ import annotations

from ..blockmap import BAD, PLAIN, ZERO, BlockMap, truncation
from ..source import Source
from ..wishes import NO_WISHES, Wishes
from .header import checksums, identity, read_header, read_metadata
from .map import read_map
from .tracks import tracks_of

__all__ = ["identity", "open_map"]


def open_map(source: Source, _wishes: Wishes = NO_WISHES) -> BlockMap:
    """The block map of a CHD image.

    `parent` is set if there are hunks of the parent's: those lie from `parent_at` on, at their places in the parent's
    decoded bytes, zeros up to the end of its last hunk included. Raises `ImageError` for a header, metadata or map that
    cannot be true, `UnsupportedError` for versions 1 and 2, hard disks, LaserDiscs and unknown codecs.
    """
    header = read_header(source)
    metadata = read_metadata(source, header)
    tracks = tracks_of(metadata, header.unit, header.logical)
    found = read_map(source, header)
    hunks = header.hunks
    return BlockMap(
        format=f"CHD version {header.version}",
        block_size=header.hunk,
        disc_size=header.logical,
        kinds=frozenset(found.counts()) - {PLAIN, ZERO, BAD},
        load=found.load,
        warnings=truncation(hunks - found.missing, hunks),
        tracks=tracks,
        parent=header.parent if found.parental else b"",
        parent_at=found.parent_at,
        checksums=checksums(header, metadata),
        facts={"hunks": found.told()} | ({"unit bytes": header.unit} if header.unit else {}),
        checked=found.scheme != 0,
    )
