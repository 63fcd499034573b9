"""The disc inside a compressed image: block map + source + cache, read as bytes."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ImageError, NotReady
from . import codecs
from .blockmap import BlockMap
from .cache import BlockCache, RunCache, RunStream
from .codecs import Block
from .source import Extents, Source, Stream, may_wait


class Disc:
    """The decoded bytes behind a block map. A `Source` itself, so discs stack (a zisofs file is a disc upon the disc).

    Decoding happens in the thread that asks; a thread that must not wait does no more of it than a few milliseconds'
    worth. The codecs are imported here, at the start. Files are read ahead where there are `runs`.
    """

    def __init__(self, source: Source, blocks: BlockMap, cache: BlockCache, runs: RunCache | None = None) -> None:
        self.source = source
        self.blocks = blocks
        self.cache = cache
        self.runs = runs
        self.size = blocks.disc_size
        self._owner = cache.new_owner()
        for kind in blocks.kinds:
            codecs.require(kind)
        self._at_once = codecs.AT_ONCE * codecs.speed(blocks.kinds)

    def pread(self, n: int, offset: int) -> bytes:
        """At most `n` bytes from `offset`; fewer only at the end of the disc. See `Source.pread`."""
        end = min(offset + n, self.size)
        if offset < 0 or offset >= end:
            return b""
        blocks = self.blocks
        wanted = range(blocks.block_at(offset), blocks.block_at(end - 1) + 1)
        pieces = self.cache.get(self._owner, wanted, self._decode) if may_wait() else self._without_waiting(wanted)
        start = offset - blocks.start(wanted[0])
        if len(pieces) == 1:
            return pieces[0][start : start + end - offset]
        pieces[0] = pieces[0][start:]
        pieces[-1] = pieces[-1][: end - blocks.start(wanted[-1])]
        return b"".join(pieces)

    def stream(self, extents: Extents) -> Stream:
        """See `open_stream`."""
        if self.runs is not None and extents.contiguous is not None:
            return RunStream(extents, extents.contiguous.position, self.runs)
        return Stream(extents)

    def _without_waiting(self, wanted: range) -> list[bytes]:
        found = self.cache.peek(self._owner, wanted)
        if found is None:
            if self.blocks.read is not None or len(wanted) * self.blocks.block_size > self._at_once:
                raise NotReady
            found = self.cache.put(self._owner, wanted, self._decode(wanted))
        return found

    def _decode(self, wanted: Sequence[int]) -> list[Block]:
        """Decodes blocks, ascending; errors name them."""
        if self.blocks.read is not None:
            return [self._read(block) for block in wanted]
        first, length = wanted[0], self.blocks.length
        blocks = range(first, wanted[-1] + 1)
        rows = list(codecs.rows_to_decode(self.blocks.rows(first, len(blocks)), map(length, blocks)))
        if len(wanted) != len(rows):
            rows = [rows[block - first] for block in wanted]
        made = codecs.decode_rows(self.source, rows, self.blocks.block_size)
        return [
            type(done)(f"block {block} of the {self.blocks.format} at byte {row[0]}: {done.reason}")
            if isinstance(done, ImageError)
            else done
            for block, row, done in zip(wanted, rows, made, strict=True)
        ]

    def _read(self, block: int) -> Block:
        """A block of a container that only a library reads."""
        assert self.blocks.read is not None
        n = self.blocks.length(block)
        try:
            data = self.blocks.read(n, self.blocks.start(block))
        except ImageError as error:
            return error
        return data if len(data) == n else ImageError(f"the {self.blocks.format} ends too early")
