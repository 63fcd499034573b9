"""The disc inside a compressed image: block map + source + cache, read as bytes."""

from __future__ import annotations

from collections.abc import Sequence

from .. import limits
from ..errors import ImageError, NotReady
from . import codecs
from .blockmap import BAD, PLAIN, ZERO, BlockMap
from .cache import Block, BlockCache
from .source import Source, may_wait


class Disc:
    """The decoded bytes behind a block map. A `Source` itself, so discs stack (a zisofs file is a disc upon the disc).

    Decoding happens in the thread that asks; a thread that must not wait gets what is in the cache, or `NotReady`.
    The codecs are imported here, at the start.
    """

    def __init__(self, source: Source, blocks: BlockMap, cache: BlockCache) -> None:
        self.source = source
        self.blocks = blocks
        self.cache = cache
        self.size = blocks.disc_size
        self._owner = cache.new_owner()
        for kind in blocks.kinds:
            codecs.require(kind)

    def pread(self, n: int, offset: int) -> bytes:
        """At most `n` bytes from `offset`; fewer only at the end of the disc. See `Source.pread`."""
        end = min(offset + n, self.size)
        if offset < 0 or offset >= end:
            return b""
        block_size = self.blocks.block_size
        first = offset // block_size
        wanted = range(first, (end - 1) // block_size + 1)
        if may_wait():
            pieces = self.cache.get(self._owner, wanted, self._decode)
        else:
            found = self.cache.peek(self._owner, wanted)
            if found is None:
                raise NotReady
            pieces = found
        start = offset - first * block_size
        if len(pieces) == 1:
            return pieces[0][start : start + end - offset]
        pieces[0] = pieces[0][start:]
        pieces[-1] = pieces[-1][: end - wanted[-1] * block_size]
        return b"".join(pieces)

    def _decode(self, wanted: Sequence[int]) -> list[Block]:
        """Decodes blocks, ascending. Neighbours whose stored bytes touch are fetched by one read."""
        made: list[Block] = []
        run: list[tuple[int, int, int, int]] = []
        end = 0
        for block in wanted:
            position, stored, kind = self.blocks.row(block)
            if kind == PLAIN:
                stored = min(stored, self.blocks.length(block))
            elif kind in (BAD, ZERO):
                stored = 0
            if run and (position != end or position + stored - run[0][1] > limits.STORED_RUN):
                made += self._decode_run(run)
                run = []
            run.append((block, position, stored, kind))
            end = position + stored
        made += self._decode_run(run)
        return made

    def _decode_run(self, run: list[tuple[int, int, int, int]]) -> list[Block]:
        start = run[0][1]
        last = run[-1]
        try:
            data = memoryview(self.source.pread(last[1] + last[2] - start, start))
        except ImageError as error:  # one bad place must not cost its neighbours
            return [error] if len(run) == 1 else [made for row in run for made in self._decode_run([row])]
        return [self._decode_block(row, data[row[1] - start : row[1] - start + row[2]]) for row in run]

    def _decode_block(self, row: tuple[int, int, int, int], stored: memoryview) -> Block:
        block, position, _, kind = row
        want = self.blocks.length(block)
        try:
            if kind == BAD:
                raise ImageError("its index entry is not sound")
            if kind == ZERO:
                return bytes(want)
            if kind == PLAIN:
                if len(stored) < want:
                    raise ImageError("it is cut off")
                return bytes(stored[:want])
            return codecs.decode(kind, stored, want, self.blocks.block_size)
        except ImageError as error:
            return ImageError(f"block {block} of the {self.blocks.format} at byte {position}: {error.reason}")
