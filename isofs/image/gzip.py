"""gzip files (RFC 1952), told apart by their content: dictzip, BGZF, and all others.

A member, little-endian; a file is one or several:

| at | size | field | |
| --- | --- | --- | --- |
| 0 | 3 | magic, method | 1F 8B 08 |
| 3 | 1 | flags | 2 header CRC, 4 extra field, 8 name, 16 comment |
| 4 | 6 | time, flags, system | |
| 10 | 2 | length of the extra field | if there is one; subfields: 2 bytes identifier, 2 bytes length, data |
| | | name, comment, header CRC | both NUL-terminated; 2 bytes |
| | | a raw deflate stream | |
| -8 | 4 | CRC-32 | of the member, decoded |
| -4 | 4 | size | decoded, modulo 2^32 |

**dictzip** has a subfield `RA`: version 1, chunk length, number of chunks, then the stored bytes of each (16 bits all).
Each chunk ends with a full flush, so that the next one is decoded without it; an empty last block and the checksum
follow. The list has 64 KiB at most, so such a file holds less than 2 GiB.

**BGZF** is many members of at most 64 KiB, each with a subfield `BC`, the member's size less one in 16 bits. Its last
member is empty. The members are walked once when the image is opened.

**Any other** must be decoded up to a place before that place is reached. It is decoded once, whole, which proves every
checksum; the places between deflate blocks from which decoding can begin, each with the 32 KiB before it, are the index
that is kept (`indexes`).
"""

from __future__ import annotations

import io
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any, Final

from .. import limits
from ..errors import ImageError, IsofsError, UnsupportedError
from .blockmap import DEFLATE, GZIP, BlockMap, Checksum, Rows
from .indexes import Shelf
from .source import Source
from .stretches import SourceFile, Stretches
from .wishes import NO_WISHES, Wishes

_MAGIC: Final = b"\x1f\x8b\x08"
_NAME, _COMMENT, _HEADER_CRC, _EXTRA = 8, 16, 2, 4
_FIXED: Final = 10
_LONGEST_HEADER: Final = 128 * limits.KIB
"""Bytes in which the header of a dictzip file must end: the extra field has 64 KiB at most, names some hundred."""
_RANDOM_ACCESS: Final = struct.Struct("<HHH")
_END_OF_DEFLATE: Final = 2
_TRAILER: Final = struct.Struct("<II")

_BGZF: Final = struct.Struct("<3sB6xH2sHH")
_BGZF_BLOCK: Final = 64 * limits.KIB
"""Decoded bytes of a member, as the format says; a file with larger ones is read as any other gzip file."""
_GLANCE: Final = 4 * limits.KIB
"""Bytes of a read that looks for the next member: small ones share it, and it is one page of the others."""

_GRID: Final = 256 * limits.KIB
_SPACING: Final = 1 * limits.MIB
_WINDOW: Final = 32 * limits.KIB
_POINTS: Final = limits.INDEX_FILE // _WINDOW - 64
"""Places to begin from, each with its window, that an index has room for."""
_BUFFER: Final = 256 * limits.KIB
"""What the library reads at once; it must find a whole header in it."""
_LONGEST_BLOCK: Final = 256 * limits.MIB
"""Between two places to begin from; zlib's longest deflate block decodes to 16 MiB."""
_PIECE: Final = 4 * limits.MIB
_SLICE: Final = 64 * limits.KIB


def open_map(source: Source, wishes: Wishes = NO_WISHES) -> BlockMap:
    """The block map of a gzip file.

    Raises `ImageError` where it is damaged or cut off, as far as opening it tells: a plain one is proved whole.
    """
    return _dictzip(source) or _bgzf(source) or _plain(source, wishes)


# --- dictzip --------------------------------------------------------------------------------------------------------


def _dictzip(source: Source) -> BlockMap | None:
    """The map of a dictzip file; None for what is none, or whose sizes contradict each other."""
    head = source.pread(_LONGEST_HEADER, 0)
    found = _extra_field(head, b"RA")
    if found is None:
        return None
    field, data_at = found
    if len(field) < _RANDOM_ACCESS.size:
        return None
    version, chunk, count = _RANDOM_ACCESS.unpack_from(field)
    if version != 1 or not chunk or not count or len(field) < _RANDOM_ACCESS.size + 2 * count:
        return None
    stored = array("Q", struct.unpack_from(f"<{count}H", field, _RANDOM_ACCESS.size))
    positions = array("Q", accumulate(stored, initial=data_at))
    trailer_at = positions[-1] + _END_OF_DEFLATE
    trailer = source.pread(_TRAILER.size + 1, trailer_at)
    if len(trailer) != _TRAILER.size or not all(stored):
        return None
    checksum, size = _TRAILER.unpack(trailer)
    if -(-size // chunk) != count:
        return None

    def load(first: int, n: int) -> Rows:
        return Rows(positions[first : first + n], stored[first : first + n], bytearray((DEFLATE,)) * n)

    return BlockMap(
        format="dictzip",
        block_size=chunk,
        disc_size=size,
        kinds=frozenset((DEFLATE,)),
        load=load,
        checksums=(Checksum("CRC-32", "crc32", checksum.to_bytes(4, "big")),),
    )


def _extra_field(head: bytes, wanted: bytes) -> tuple[bytes, int] | None:
    """A subfield's data, and where the deflate stream begins; None without it or with a header that never ends."""
    if len(head) < _FIXED + 2 or not head.startswith(_MAGIC) or not head[3] & _EXTRA:
        return None
    flags = head[3]
    at = _FIXED + 2
    end = at + int.from_bytes(head[_FIXED:at], "little")
    field = None
    while at + 4 <= end:
        length = int.from_bytes(head[at + 2 : at + 4], "little")
        if head[at : at + 2] == wanted:
            field = head[at + 4 : min(at + 4 + length, end)]
        at += 4 + length
    for flag in (_NAME, _COMMENT):
        if flags & flag:
            end = head.find(b"\0", end) + 1
            if not end:
                return None
    return (field, end + 2 * bool(flags & _HEADER_CRC)) if field is not None else None


# --- BGZF -----------------------------------------------------------------------------------------------------------


def _bgzf(source: Source) -> BlockMap | None:
    """The map of a BGZF file; None for a file one of whose members is not BGZF."""
    positions, stored, starts = array("Q"), array("I"), array("Q")
    position = disc_size = members = largest = 0
    even = True
    cut_off = True
    glance, glance_at = source.pread(_GLANCE, 0), 0
    while position < source.size:
        if position + _BGZF.size > glance_at + len(glance):
            glance, glance_at = source.pread(_GLANCE, position), position
        head = glance[position - glance_at :][: _BGZF.size]
        if len(head) < _BGZF.size:
            cut_off = True
            break
        *fixed, less_one = _BGZF.unpack(head)
        end = position + less_one + 1
        if fixed != [_MAGIC, _EXTRA, 6, b"BC", 2] or less_one < _BGZF.size + _TRAILER.size:
            return None
        if end > source.size:
            cut_off = True
            break
        if end > glance_at + len(glance):  # the member's last bytes, and with the same read the next header
            glance, glance_at = source.pread(_GLANCE, end - 4), end - 4
        size = int.from_bytes(glance[end - 4 - glance_at : end - glance_at], "little")
        members += 1
        if size > _BGZF_BLOCK:
            return None
        if members > limits.MEMBERS:
            raise ImageError(f"it has more than {limits.MEMBERS} BGZF members", "rewrite it with bgzip")
        if size:
            even = even and disc_size == len(positions) * largest and size <= (largest or size)
            largest = max(largest, size)
            positions.append(position)
            stored.append(less_one + 1)
            starts.append(disc_size)
            disc_size += size
        cut_off = size > 0
        position = end
    if not positions:
        return None
    starts.append(disc_size)
    warnings = []
    if cut_off:
        warnings.append(
            f"truncated: the BGZF file ends at byte {position} without its end mark; the disc's rest is lost"
        )

    def load(first: int, n: int) -> Rows:
        lengths = array("Q", stored[first : first + n])
        return Rows(positions[first : first + n], lengths, bytearray((GZIP,)) * n)

    return BlockMap(
        format="BGZF",
        block_size=largest,
        disc_size=disc_size,
        kinds=frozenset((GZIP,)),
        load=load,
        count=len(positions),
        starts=None if even else starts,
        warnings=tuple(warnings),
    )


# --- any other ------------------------------------------------------------------------------------------------------


class _Coarser(Exception):
    """The index grows too large: begin again with places further apart."""


def _plain(source: Source, wishes: Wishes) -> BlockMap:
    try:
        import indexed_gzip
    except ImportError:
        raise UnsupportedError(
            "gzip-compressed images need the Python package indexed_gzip",
            "install it with pip, or rewrite the image with bgzip: gunzip -c IMAGE | bgzip > NEW.iso.gz",
        ) from None

    def indexed(spacing: int) -> tuple[Any, SourceFile]:
        file = SourceFile(source)
        return indexed_gzip.IndexedGzipFile(
            fileobj=file, auto_build=False, spacing=spacing, readbuf_size=_BUFFER, buffer_size=4096
        ), file

    shelf = Shelf(source, "gzip 1", wishes)
    stream, file = _kept(shelf, indexed) or _built(source, wishes, shelf, indexed)
    points = array("Q", sorted({point for point, _ in stream.seek_points()}))
    disc_size = stream.raw.seek(0, io.SEEK_END)

    def decode(offset: int) -> tuple[int, bytes]:
        i = bisect_right(points, offset)
        start = points[i - 1]
        end = points[i] if i < len(points) else disc_size
        start += (offset - start) // _PIECE * _PIECE
        end = min(end, start + _PIECE)
        try:
            stream.raw.seek(start)
            data = stream.raw.read(end - start)
        except Exception as error:
            raise _reason(file, f"the gzip file is damaged near byte {start} of the disc", error) from None
        if len(data) != end - start:
            raise ImageError(f"the gzip file is damaged near byte {start} of the disc")
        return start, data

    return BlockMap(
        format="gzip",
        block_size=_GRID,
        disc_size=disc_size,
        kinds=frozenset(),
        read=Stretches(disc_size, decode).pread,
    )


def _reason(file: SourceFile, reason: str, error: Exception) -> BaseException:
    """What a failure of the library comes from: what its file raised, or the image."""
    raised, file.error = file.error, None
    return raised if raised is not None else ImageError(f"{reason} ({type(error).__name__})", "copy the image again")


def _kept(shelf: Shelf, indexed: Callable[[int], tuple[Any, SourceFile]]) -> tuple[Any, SourceFile] | None:
    """The library with the index that was kept; None without one."""
    kept = shelf.get()
    if kept is None:
        return None
    stream, file = indexed(_SPACING)
    try:
        stream.import_index(fileobj=io.BytesIO(kept))
        if stream.raw.seek(0, io.SEEK_END) and stream.raw.npoints:
            return stream, file
    except Exception as error:
        if isinstance(file.error, IsofsError):
            raise _reason(file, "", error) from None
    shelf.drop()
    return None


def _built(
    source: Source, wishes: Wishes, shelf: Shelf, indexed: Callable[[int], tuple[Any, SourceFile]]
) -> tuple[Any, SourceFile]:
    """The library with an index made by a pass over the image, which proves all of it."""
    spacing = max(_SPACING, 4 * source.size // _POINTS)
    while True:
        stream, file = indexed(spacing)
        try:
            with wishes.progress("indexing the gzip file", source.size) as advance:
                proof = _pass(source, stream, file, spacing, advance)
            break
        except _Coarser:
            spacing *= 8
    file.passed = None
    if stream.raw.seek(0, io.SEEK_END) != proof.size:
        raise ImageError("damaged: something that is no gzip member lies between the members", "copy the image again")
    points = [point for point, _ in stream.seek_points()]
    if max((b - a for a, b in pairwise(points)), default=0) > _LONGEST_BLOCK:
        raise UnsupportedError(
            "gzip-compressed in a way that cannot be read in place", "rewrite it: gunzip -c IMAGE | bgzip > NEW.iso.gz"
        )
    index = io.BytesIO()
    stream.export_index(fileobj=index)
    shelf.put(index.getvalue())
    return stream, file


def _pass(source: Source, stream: Any, file: SourceFile, spacing: int, advance: Callable[[int], object]) -> _Proof:
    """Has the library build its index, and proves what it reads meanwhile."""
    proof = _Proof(source.size)

    def passed(position: int, data: bytes) -> None:
        new = data[max(proof.position - position, 0) :] if position <= proof.position else b""
        proof.feed(new)
        advance(len(new))
        if proof.size // spacing > _POINTS:
            raise _Coarser
        if stream.raw.npoints > limits.PASS_POINTS:
            raise UnsupportedError(
                "a gzip file of too many members", "rewrite it: gunzip -c IMAGE | bgzip > NEW.iso.gz"
            )

    file.passed = passed
    failed: Exception | None = None
    try:
        stream.build_full_index()
    except Exception as error:
        failed = error
    if file.error is not None:
        raise file.error
    for position in range(proof.position, source.size, _BUFFER):  # what the library did not look at
        passed(position, source.pread(_BUFFER, position))
    proof.finish()
    if failed is not None:
        raise _reason(file, "the gzip file cannot be read", failed)
    return proof


class _Proof:
    """Decodes a gzip file as it passes by: members behind each other, all their checksums, zeros at the end at most."""

    def __init__(self, file_size: int) -> None:
        self.position = 0
        """Bytes of the file that passed by."""
        self.size = 0
        """Bytes that they decode to."""
        self._file_size = file_size
        self._member: Any = None
        self._member_at = 0
        self._ended = False

    def feed(self, data: bytes) -> None:
        """The next bytes of the file. Raises `ImageError` where they are damaged."""
        for at in range(0, len(data), _SLICE):
            self._feed(data[at : at + _SLICE])

    def finish(self) -> None:
        """Raises `ImageError` for a file that ends inside a member."""
        if self._member is not None or self.position != self._file_size or not self.size:
            raise ImageError(
                f"truncated: the gzip file ends inside the member that begins at byte {self._member_at}",
                "copy the image again",
            )

    def _feed(self, data: bytes) -> None:
        self.position += len(data)
        full = False
        while data or full:
            if self._member is None:
                at = self.position - len(data)
                self._ended = self._ended or (self.size > 0 and data[:1] == b"\0")
                if self._ended:
                    if data.strip(b"\0"):
                        raise ImageError(f"damaged: no gzip member begins at byte {at}", "copy the image again")
                    return
                self._member, self._member_at = zlib.decompressobj(16 + zlib.MAX_WBITS), at
            try:
                made = len(self._member.decompress(data, _BUFFER))
            except zlib.error as error:
                raise ImageError(
                    f"damaged gzip file: {error} (member at byte {self._member_at}, near byte {self.position})",
                    "copy the image again",
                ) from None
            self.size += made
            if self.size > limits.PASS_SIZE:
                raise ImageError(f"the gzip file holds more than {limits.PASS_SIZE} bytes")
            full = made == _BUFFER  # more may be waiting in the decoder
            data = self._member.unconsumed_tail
            if self._member.eof:
                data, self._member, full = self._member.unused_data, None, False
