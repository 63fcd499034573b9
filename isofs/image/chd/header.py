r"""Headers and metadata of CHD images, versions 3 to 5. All numbers are big-endian.

All versions begin with the magic `MComprHD`, the length of the header (u32) and the version (u32); then, position and
size of each field, 0 where a version has none:

| field | version 3 | version 4 | version 5 |
| --- | --- | --- | --- |
| length of the header | 120 | 108 | 124 |
| flags: 1 has a parent | 16, 4 | 16, 4 | |
| compression: 0 none, 1 and 2 deflate, 3 video | 20, 4 | 20, 4 | |
| codecs, four characters each, 0 none | | | 16, 4 times 4 |
| number of hunks | 24, 4 | 24, 4 | |
| logical bytes | 28, 8 | 28, 8 | 32, 8 |
| position of the map | behind the header | behind the header | 40, 8 |
| position of the first metadata, 0 none | 36, 8 | 36, 8 | 48, 8 |
| MD5 of the data, and of the parent's | 44, 16; 60, 16 | | |
| hunk bytes | 76, 4 | 44, 4 | 56, 4 |
| unit bytes | | | 60, 4 |
| SHA-1 of the data | 80, 20 | 88, 20 | 64, 20 |
| SHA-1 of the data and metadata | | 48, 20 | 84, 20 |
| SHA-1 of the parent | 100, 20 | 68, 20 | 104, 20 |

A child names its parent by the SHA-1 of data and metadata; in version 3 by that of the data. Fields that are all zeros
are not known. Metadata are a list of entries: tag (4 characters), flags (u8: 1 is part of the SHA-1), length (u24),
position of the next entry or 0 (u64), then the data. The SHA-1 of data and metadata is that of the data's SHA-1 and,
sorted, the tag and the SHA-1 of each entry.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from ... import limits
from ...errors import ImageError, UnsupportedError
from ..blockmap import Checksum
from ..source import Source

MAGIC: Final = b"MComprHD"
FRAME: Final = 2448
"""Bytes of a CD's sector with its subchannels."""
_START: Final = struct.Struct(">8sII")
_FIELDS: Final = {
    3: struct.Struct(">16xIIIQQ16s16sI20s20s"),
    4: struct.Struct(">16xIIIQQI20s20s20s"),
    5: struct.Struct(">16x16sQQQII20s20s20s"),
}
_ENTRY: Final = struct.Struct(">4sIQ")
_HAS_PARENT: Final = 1
_CHECKED: Final = 1
"""Flag of metadata that are part of the SHA-1."""
_REMEDY: Final = "copy the image again"


class Header(NamedTuple):
    """The fields of a header that mean something."""

    version: int
    """3 to 5."""
    codecs: tuple[bytes, ...]
    """Tags of the four codecs of version 5; empty for a file that is not compressed, and for other versions."""
    logical: int
    """Bytes of the disc."""
    hunk: int
    """Bytes of each block."""
    unit: int
    """Bytes of what blocks are made of: a CD's sector with subchannels has 2448. 0: not known (versions 3 and 4)."""
    map_at: int
    """Position of the map."""
    metadata_at: int
    """Position of the first metadata, or 0."""
    raw_sha1: bytes
    """Of the data. Empty, as the next ones: not known."""
    sha1: bytes
    """Of data and metadata."""
    md5: bytes
    """Of the data."""
    parent: bytes
    """By what the parent is named; empty: there is none."""

    @property
    def hunks(self) -> int:
        """Number of hunks."""
        return -(-self.logical // self.hunk)


class Metadata(NamedTuple):
    """An entry of the metadata."""

    tag: bytes
    checked: bool
    """Whether it is part of the SHA-1."""
    data: bytes


def identity(source: Source) -> bytes:
    """The SHA-1 by which children name this image; empty if it is no CHD image of version 3 to 5, or does not tell."""
    head = source.pread(124, 0)
    if len(head) < _START.size:
        return b""
    magic, length, version = _START.unpack_from(head)
    at = {3: 80, 4: 48, 5: 84}.get(version, 0)
    if magic != MAGIC or not at or len(head) < length or length != _FIELDS[version].size:
        return b""
    return _known(head[at : at + 20])


def read_header(source: Source) -> Header:
    """The header, its claims checked against limits and the file's size.

    Raises `ImageError`, and `UnsupportedError` for versions and kinds that are not read.
    """
    head = source.pread(124, 0)
    if len(head) < _START.size:
        raise ImageError("truncated: the CHD header is cut off", _REMEDY)
    _, length, version = _START.unpack_from(head)
    if version in (1, 2):
        raise UnsupportedError(
            f"CHD version {version} holds hard disks only", "update it by chdman -update of MAME 0.145 or before"
        )
    layout = _FIELDS.get(version)
    if layout is None:
        raise UnsupportedError(f"CHD version {version} is unknown", "convert it with chdman copy")
    if length != layout.size:
        raise ImageError(f"damaged CHD header: {length} bytes long instead of {layout.size}", _REMEDY)
    if len(head) < length:
        raise ImageError("truncated: the CHD header is cut off", _REMEDY)
    header = _version_5(head) if version == 5 else _version_3_or_4(version, head)
    if header.hunk not in limits.CHD_HUNK or not 0 < header.logical <= limits.DISC_SIZE:
        raise ImageError(f"damaged CHD header: {header.logical} bytes in hunks of {header.hunk}", _REMEDY)
    if header.hunks > limits.CHD_HUNKS:
        raise ImageError(f"{header.hunks} hunks of {header.hunk} bytes, more than {limits.CHD_HUNKS}")
    if version == 5 and (not header.unit or header.hunk % header.unit):
        raise ImageError(f"damaged CHD header: hunks of {header.hunk} bytes in units of {header.unit}", _REMEDY)
    return header


def _version_5(head: bytes) -> Header:
    tags, logical, map_at, metadata_at, hunk, unit, raw_sha1, sha1, parent = _FIELDS[5].unpack_from(head)
    codecs = tuple(tags[at : at + 4] for at in range(0, 16, 4)) if tags[:4].strip(b"\0") else ()
    if b"avhu" in codecs:
        raise UnsupportedError("a CHD image of a LaserDisc: it has no file system", "play it with MAME")
    return Header(
        5, codecs, logical, hunk, unit, map_at, metadata_at, _known(raw_sha1), _known(sha1), b"", _known(parent)
    )


def _version_3_or_4(version: int, head: bytes) -> Header:
    md5 = b""
    if version == 3:
        flags, compression, hunks, logical, metadata_at, md5, _, hunk, raw_sha1, parent = _FIELDS[3].unpack_from(head)
        sha1 = b""
    else:
        flags, compression, hunks, logical, metadata_at, hunk, sha1, parent, raw_sha1 = _FIELDS[4].unpack_from(head)
    if compression > 2:
        what = (
            "of a LaserDisc: it has no file system" if compression == 3 else f"with unknown compression {compression}"
        )
        raise UnsupportedError(f"a CHD image {what}", "open it with MAME")
    header = Header(
        version, (), logical, hunk, 0, _FIELDS[version].size, metadata_at, _known(raw_sha1), _known(sha1), _known(md5),
        _known(parent) if flags & _HAS_PARENT else b"",
    )  # fmt: skip
    if hunk and header.hunks != hunks:
        raise ImageError(f"damaged CHD header: {logical} bytes in {hunks} hunks of {hunk}", _REMEDY)
    return header


def _known(digest: bytes) -> bytes:
    return digest if any(digest) else b""


def read_metadata(source: Source, header: Header) -> list[Metadata]:
    """All entries of the metadata, in their order.

    Raises `ImageError` for a list that is damaged or turns back, `UnsupportedError` for a hard disk.
    """
    entries: list[Metadata] = []
    seen: set[int] = set()
    at = header.metadata_at
    while at:
        if at in seen or len(seen) >= limits.CHD_METADATA:
            raise ImageError("damaged CHD metadata: the list of entries does not end", _REMEDY)
        seen.add(at)
        head = source.pread(_ENTRY.size, at) if at < source.size else b""
        if len(head) < _ENTRY.size:
            raise ImageError(f"truncated: CHD metadata at byte {at} lie beyond the end of the file", _REMEDY)
        tag, flags_and_length, following = _ENTRY.unpack(head)
        length = flags_and_length & 0xFF_FFFF
        if length > limits.CHD_METADATA_SIZE:
            raise ImageError(f"CHD metadata of {length} bytes, more than {limits.CHD_METADATA_SIZE}")
        data = source.pread(length, at + _ENTRY.size)
        if len(data) < length:
            raise ImageError(f"truncated: CHD metadata at byte {at} are cut off", _REMEDY)
        if tag == b"GDDD":
            raise UnsupportedError("a CHD image of a hard disk", "unpack it with chdman extracthd")
        entries.append(Metadata(tag, bool(flags_and_length >> 24 & _CHECKED), data))
        at = following
    return entries


def checksums(header: Header, metadata: list[Metadata]) -> tuple[Checksum, ...]:
    """What the header says the disc's bytes sum up to."""
    found = []
    if header.raw_sha1:
        found.append(Checksum("SHA-1", "sha1", header.raw_sha1))
    if header.md5:
        found.append(Checksum("MD5", "md5", header.md5))
    if header.sha1:
        hashes = sorted(entry.tag + _sha1(entry.data) for entry in metadata if entry.checked)
        found.append(
            Checksum("SHA-1 with metadata", "sha1", header.sha1, lambda raw: _sha1(raw + b"".join(hashes)))
        )  # fmt: skip
    return tuple(found)


def _sha1(data: bytes) -> bytes:
    import hashlib

    return hashlib.sha1(data, usedforsecurity=False).digest()
