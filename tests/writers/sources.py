"""Sources for tests, and the comparison of a source with the bytes that it should hold."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Protocol

import pytest

from isofs.errors import ImageError


class Readable(Protocol):
    """A size and `pread`."""

    @property
    def size(self) -> int: ...

    def pread(self, n: int, offset: int) -> bytes: ...


class Memory:
    """Bytes as a source. Remembers its reads; `size` may claim more than there is, as of a sparse file."""

    def __init__(self, data: bytes, size: int | None = None) -> None:
        self.data = data
        self.size = len(data) if size is None else size
        self.reads: list[tuple[int, int]] = []

    def pread(self, n: int, offset: int) -> bytes:
        """At most `n` bytes from `offset`; zeros where the size claims more than the data."""
        self.reads.append((n, offset))
        n = max(0, min(n, self.size - offset))
        return self.data[offset : offset + n].ljust(n, b"\0")


def assert_same(source: Readable, expected: bytes, *, seed: int = 0, ranges: int = 40) -> None:
    """Every byte of the source is the expected one, read whole and in random ranges, some of them beyond the end."""
    assert source.size == len(expected)
    chance = random.Random(seed)
    for _ in range(ranges):
        offset = chance.randrange(len(expected) + 10)
        n = chance.choice((1, 7, 512, 2048, 4096, 40_000))
        assert source.pread(n, offset) == expected[offset : offset + n], f"{n} bytes at {offset}"
    assert source.pread(len(expected) + 1, 0) == expected


def damaged_blocks(source: Readable, expected: bytes, block_size: int) -> list[int]:
    """The numbers of the blocks that read as `ImageError`; all others must be right."""
    damaged = []
    for block, at in enumerate(range(0, len(expected), block_size)):
        want = expected[at : at + block_size]
        try:
            found = source.pread(len(want), at)
        except ImageError:
            damaged.append(block)
        else:
            assert found == want, f"block {block}"
    return damaged


def assert_refused(source: Readable, n: int, offset: int) -> None:
    """Reading this range is an error of the image."""
    with pytest.raises(ImageError):
        source.pread(n, offset)


def damaged(image: bytes, changes: Iterable[tuple[float, int]], cut: float | None) -> bytes:
    """An image with some bytes changed, each at a fraction of its length, and cut off at another one."""
    made = bytearray(image)
    for place, value in changes:
        made[int(place * len(made))] = value
    return bytes(made if cut is None else made[: int(cut * len(made))])


def assert_right_or_lost(pread: Callable[[int, int], bytes], size: int, plain: bytes, step: int) -> None:
    """Every piece of a damaged disc of `size` bytes is that of the plain one, or cannot be read."""
    for at in range(0, min(size, 2 * len(plain)), step):
        try:
            found = pread(step, at)
        except ImageError:
            continue
        assert found == plain[at : at + step][: size - at]
