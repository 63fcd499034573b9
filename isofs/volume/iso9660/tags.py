"""Checksums that libisofs (`xorriso -md5 on`) keeps on the disc: of the superblock, the tree and the whole session.

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
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

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


class Tags:
    """The tags of a disc, and the sums of their ranges, which are made while the disc is read from begin to end."""

    def __init__(self) -> None:
        self.tags: list[Tag] = []
        """By their ranges."""
        self.damage: list[tuple[int, str]] = []
        """Byte position on the disc, and what is not sound there."""
        self._at = 0  # the tag whose range is read
        self._next = 0  # the byte of the range that comes next
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._lost = False

    def feed(self, offset: int, data: bytes | memoryview) -> None:
        """Takes bytes of the disc. They come in order; those that cannot be read are left out."""
        end = offset + len(data)
        while self._at < len(self.tags):
            tag = self.tags[self._at]
            if self._next <= tag.start:
                self._next = tag.start
                self._md5 = hashlib.md5(usedforsecurity=False)
                self._lost = False
            if end <= self._next:
                return
            self._lost = self._lost or offset > self._next
            until = min(end, tag.end)
            if not self._lost:
                self._md5.update(memoryview(data)[self._next - offset : until - offset])
            self._next = until
            if until < tag.end:
                return
            self._judge(tag)
            self._at += 1

    def finish(self) -> None:
        """Nothing more comes."""
        self._lost = True
        for tag in self.tags[self._at :]:
            self._judge(tag)
        self._at = len(self.tags)

    def _judge(self, tag: Tag) -> None:
        sectors = f"sectors {tag.start // SECTOR} to {tag.end // SECTOR - 1}"
        if self._lost:
            self.damage.append(
                (tag.position, f"the {tag.what}'s checksum cannot be told: of {sectors} some are missing")
            )
        elif self._md5.hexdigest() != tag.md5:
            self.damage.append((tag.position, f"the {tag.what}'s checksum does not fit: {sectors} were changed"))


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
