"""Parents: CHD images that hold what another one leaves out.

A child names its parent by SHA-1. It is found by that among the images beside the child, never by name, or is told.
Rows of the child's map that lie in the parent have positions behind the child's own file: one source holds both.
"""

from __future__ import annotations

from .. import limits
from ..errors import ImageError, NoImage, UsageError
from . import chd
from .beside import Beside
from .blockmap import BlockMap
from .cache import BlockCache
from .disc import Disc
from .source import FileSource, Source
from .wishes import Wishes


class Parented:
    """An image's file, and from byte `at` on the decoded bytes of its parent. A `Source`.

    The parent's last block is whole there, zeros behind the end of its disc: a child may have them as its own.
    """

    def __init__(self, source: Source, parent: Disc, at: int) -> None:
        self.source = source
        self.parent = parent
        self.at = at
        self.size = at + parent.blocks.count * parent.blocks.block_size

    def pread(self, n: int, offset: int) -> bytes:
        """See `Source.pread`. Nothing lies between the file and the parent."""
        if offset < self.at:
            return self.source.pread(n, offset)
        n = min(n, self.size - offset)
        held = min(n, max(self.at + self.parent.size - offset, 0))
        data = self.parent.pread(held, offset - self.at) if held else b""
        return data + bytes(max(n - held, 0)) if len(data) == held else data


def with_parents(source: Source, blocks: BlockMap, beside: Beside, wishes: Wishes, cache: BlockCache) -> Source:
    """What the rows of a map lie in: the file, or the file and its parent with the parent's own.

    Raises `NoImage` naming the SHA-1 of a parent that is missing, `UsageError` for a wrong one, `ImageError` for a
    chain that does not end.
    """
    generations = []
    seen: set[bytes] = set()
    told = wishes.parent
    while blocks.parent:
        generations.append((source, blocks))
        if blocks.parent in seen:
            raise ImageError("it is its own parent, by way of others")
        if len(generations) > limits.PARENTS:
            raise ImageError(f"more than {limits.PARENTS} parents above each other")
        seen.add(blocks.parent)
        source = _told(told, blocks.parent, beside) if told else _found(blocks.parent, beside)
        told = ""
        blocks = chd.open_map(source, wishes)
    while generations:
        parent = Disc(source, blocks, cache)
        source, blocks = generations.pop()
        source = Parented(source, parent, blocks.parent_at)
    return source


def _told(path: str, identity: bytes, beside: Beside) -> FileSource:
    file = beside.adopt(path)
    if chd.identity(file) != identity:
        raise UsageError(f"{path} is not its parent", f"name the image whose SHA-1 is {identity.hex()}")
    return file


def _found(identity: bytes, beside: Beside) -> FileSource:
    for path in filter(beside.holds, beside.with_suffix(".chd")):
        try:
            with FileSource(path) as file:
                found = chd.identity(file) == identity
        except (ImageError, NoImage, UsageError):
            continue  # not this one, whatever it is
        if found:
            return beside.open_path(path)
    raise NoImage(
        f"its parent is missing, the CHD image whose SHA-1 is {identity.hex()}",
        f"put it into {beside.directory}, or name it by -o parent=FILE",
    )
