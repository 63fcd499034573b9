"""Inputs as bytes, which is all that libFuzzer knows."""

from __future__ import annotations

import marshal

import lz4.block

from .engine import Target
from .mutate import Case
from .targets import TARGETS


class Corpus:
    """The seeds of a target, and inputs as bytes: those of the files, less what is as in the seed.

    An input comes back with what its seed knows about itself: where structure lies, and what is to be repaired.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.target: Target = TARGETS[name]
        self.seeds = self.target.seeds()
        for case in self.seeds:
            assert self.target.run(case), f"a seed of {name} is refused"

    def pack(self, case: Case, at: int) -> bytes:
        """An input that was made of seed number `at`."""
        sound = self.seeds[at].beside
        beside = {name: None if sound.get(name) == data else data for name, data in case.beside.items()}
        packed: bytes = lz4.block.compress(marshal.dumps((self.name, at, case.name, case.data, beside)))
        return packed

    def unpack(self, data: bytes) -> tuple[int, Case]:
        """The number of the seed, and the input. What is none, as libFuzzer's first one, is the first seed."""
        if not name_of(data):
            return 0, self.seeds[0]
        _, at, name, main, beside = marshal.loads(lz4.block.decompress(data))
        sound = self.seeds[at]
        files = {name: sound.beside[name] if data is None else data for name, data in beside.items()}
        return at, sound._replace(name=name, data=main, beside=files)


def name_of(data: bytes) -> str:
    """The target that an input is for; none if it is no input."""
    try:
        name: str = marshal.loads(lz4.block.decompress(data))[0]
    except (lz4.block.LZ4BlockError, ValueError, EOFError, TypeError):
        return ""
    return name
