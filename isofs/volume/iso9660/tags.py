"""Checksums that libisofs (`xorriso -md5 on`) keeps on the disc: of the superblock, the tree, the whole session, files.

A tag is a line of text at the begin of a sector, the rest of it is zero:

    libisofs_sb_checksum_tag_v1 pos=51 range_start=32 range_size=19 next=57 md5=... self=...

| tag | stands behind | |
| --- | --- | --- |
| `libisofs_sb_checksum_tag_v1` | the volume descriptors | `next` is the tree's tag |
| `libisofs_tree_checksum_tag_v1` | the directories | `next` is the session's tag |
| `libisofs_checksum_tag_v1` | the data | |
| `libisofs_rlsb32_checksum_tag_v1` | the descriptors of a disc that has grown | `session_start` is the last session |

A range goes from the session's begin to the tag. All numbers count sectors of 2048 bytes from the disc's begin. `md5`
is that of the range, `self` that of the line up to the end of the field `md5`.

The sums of files are in an array of 16 bytes each. The root's attribute `isofs.ca` tells of it: first sector of the
session, sector of the array, number of sums, 16, each number as a byte of its length and bytes from the highest on;
`MD5`. A file's attribute `isofs.cx` is the number of its sum, likewise from the highest byte on. The first sum, 0, is
that of the session up to the array, the last one that of all sums before it. A file's is that of its bytes as they are
stored: compressed, with zisofs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Final, Generic, NamedTuple, TypeVar

from ... import limits
from ...errors import ImageError
from ...image.sectors import SECTOR
from ...image.source import Source

_LINE: Final = re.compile(
    rb"libisofs_(?:(?P<kind>sb|tree|rlsb32)_)?checksum_tag_v1 pos=(?P<pos>\d{1,10}) range_start=(?P<start>\d{1,10}) "
    rb"range_size=(?P<size>\d{1,10})(?: session_start=(?P<session>\d{1,10})| next=(?P<next>\d{1,10}))? "
    rb"md5=(?P<md5>[0-9a-f]{32})(?P<rest> self=(?P<self>[0-9a-f]{32})\n)"
)
_MARK: Final = b"libisofs_"
_WHAT: Final = {b"sb": "superblock", b"tree": "tree", b"rlsb32": "superblock", None: "session"}
_DESCRIPTORS: Final = range(17, 33)
"""Sectors of a session in which the superblock's tag may be."""
_SUM: Final = 16
"""Bytes of an MD5 sum."""
_PIECE: Final = limits.MIB


class Tag(NamedTuple):
    """A checksum of sectors."""

    what: str
    """superblock, tree or session."""
    position: int
    """Byte position of the tag on the disc."""
    start: int
    """Bytes: where the range begins."""
    end: int
    """Bytes: it ends before."""
    md5: str
    """Hexadecimal digits."""


T = TypeVar("T")


class Sums(Generic[T]):
    """MD5 sums of ranges of the disc, which are made while it is read from begin to end.

    Of two ranges the second one begins behind the first, or where that begins and ends later.
    """

    def __init__(self, ranges: Iterable[tuple[int, int, T]], judge: Callable[[T, bytes | None], None]) -> None:
        """Ranges: begin, byte behind it, and what `judge` gets with its sum (None: bytes are missing)."""
        self._ranges = iter(ranges)
        self._judge = judge
        self._range = next(self._ranges, None)
        self._next = 0  # the byte of the range that comes next
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._lost = False

    @property
    def wants(self) -> bool:
        """Whether there are ranges that are not summed up."""
        return self._range is not None

    def feed(self, offset: int, data: bytes | memoryview) -> None:
        """Takes bytes of the disc. They come in order; those that cannot be read are left out."""
        end = offset + len(data)
        while self._range is not None:
            start, stop, _ = self._range
            if self._next <= start:
                self._next = start
                self._md5 = hashlib.md5(usedforsecurity=False)
                self._lost = False
            if end <= self._next:
                return
            self._lost = self._lost or offset > self._next
            until = min(end, stop)
            if not self._lost:
                self._md5.update(memoryview(data)[self._next - offset : until - offset])
            self._next = until
            if until < stop:
                return
            self._end()

    def finish(self) -> None:
        """Nothing more comes."""
        self._lost = True
        while self._range is not None:
            self._end()

    def _end(self) -> None:
        """The range is over."""
        if self._range is not None:
            self._judge(self._range[2], None if self._lost else self._md5.digest())
            self._range = next(self._ranges, None)


class Tags:
    """The tags of a disc."""

    def __init__(self) -> None:
        self.tags: list[Tag] = []
        """By their ranges."""
        self.damage: list[tuple[int, str]] = []
        """Byte position on the disc, and what is not sound there."""

    def sums(self) -> Sums[Tag]:
        """The sums of the tags' ranges; those that do not fit go to `damage`."""
        return Sums(((tag.start, tag.end, tag) for tag in self.tags), self._judge)

    def _judge(self, tag: Tag, digest: bytes | None) -> None:
        sectors = f"sectors {tag.start // SECTOR} to {tag.end // SECTOR - 1}"
        if digest is None:
            self.damage.append(
                (tag.position, f"the {tag.what}'s checksum cannot be told: of {sectors} some are missing")
            )
        elif digest.hex() != tag.md5:
            self.damage.append((tag.position, f"the {tag.what}'s checksum does not fit: {sectors} were changed"))


class FileSums:
    """The MD5 sums of single files, which libisofs keeps behind the data."""

    def __init__(self, disc: Source, told: bytes) -> None:
        """`told`: the attribute `isofs.ca`."""
        self.damage = ""
        """Why they cannot be used."""
        numbers = []
        at = 0
        for _ in range(4):
            n = told[at] if at < len(told) else 0
            numbers.append(int.from_bytes(told[at + 1 : at + 1 + n], "big"))
            at += 1 + n
        self._disc = disc
        _, sector, self._count, size = numbers
        self.position = sector * SECTOR
        """Byte position of the sums on the disc."""
        end = self.position + self._count * _SUM
        if told[at:] != b"MD5" or size != _SUM or self._count < 2 or end > disc.size:
            self.damage = "what the root tells of the MD5 sums of files (isofs.ca) cannot be right"
            return
        own = hashlib.md5(usedforsecurity=False)
        try:
            for offset in range(self.position, end - _SUM, _PIECE):
                own.update(disc.pread(min(_PIECE, end - _SUM - offset), offset))
            sound = own.digest() == disc.pread(_SUM, end - _SUM)
        except ImageError:
            sound = False
        if not sound:
            self.damage = "the MD5 sums of files do not fit their own sum: files were not compared with them"

    def find(self, index: int) -> bytes | None:
        """The sum that a file's `isofs.cx` tells by its number; None: there is none such. Raises `ImageError`."""
        return self._disc.pread(_SUM, self.position + _SUM * index) if 0 < index < self._count - 1 else None


def find_tags(disc: Source, sessions: Iterable[int]) -> Tags:
    """The tags of the sessions that begin at some sectors, and of those that a tag there names."""
    found = Tags()
    read: dict[int, list[Tag]] = {}
    todo = sorted(sessions, reverse=True)
    while todo and len(read) < limits.TRACKS:
        session = todo.pop()
        if session in read:
            continue
        read[session] = []
        for sector in _DESCRIPTORS:
            raw = _sector(disc, session + sector)
            if raw.startswith(_MARK):
                todo += _chain(disc, session + sector, raw, read[session], found)
                break
    reached = 0
    for session in sorted(read):  # no byte is summed up for two sessions
        if read[session] and read[session][0].start >= reached:
            found.tags += read[session]
            reached = read[session][-1].end
    return found


def _sector(disc: Source, sector: int) -> bytes:
    try:
        return disc.pread(SECTOR, sector * SECTOR)
    except ImageError:
        return b""


def _chain(disc: Source, sector: int, raw: bytes, tags: list[Tag], found: Tags) -> list[int]:
    """Reads a session's tags from the superblock's on; gives the sessions that it names."""
    start = None
    what = "superblock"
    while True:
        match = _LINE.match(raw)
        told = match and hashlib.md5(match.string[: match.start("rest")], usedforsecurity=False).hexdigest()
        if (
            match is None
            or told != match["self"].decode()
            or int(match["pos"]) != sector
            or _WHAT[match["kind"]] != what
        ):
            found.damage.append((sector * SECTOR, f"the {what}'s checksum tag is damaged"))
            return []
        first, size = int(match["start"]), int(match["size"])
        if first + size != sector or (start is not None and first != start):
            found.damage.append((sector * SECTOR, f"the {what}'s checksum tag tells an impossible range"))
            return []
        start = first
        tags.append(Tag(what, sector * SECTOR, first * SECTOR, sector * SECTOR, match["md5"].decode()))
        if match["session"] is not None:
            return [int(match["session"])]
        if match["next"] is None:
            return []
        following = int(match["next"])
        if what == "session" or following <= sector:
            found.damage.append((sector * SECTOR, f"the {what}'s checksum tag names an impossible next one"))
            return []
        what = "tree" if what == "superblock" else "session"
        sector, raw = following, _sector(disc, following)
