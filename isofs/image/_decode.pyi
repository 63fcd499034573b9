# What these are and do stands in `image.decode`, and where they are used.

from array import array
from typing import Final

from . import decode

KINDS: Final[frozenset[int]]

class Slots(decode.Slots): ...  # by its methods, not by descent

def resident(buffer: memoryview) -> bool: ...
def cached(fd: int, n: int, offset: int) -> bytes | None: ...
def unchanged(fd: int, size: int, seconds: int, nanoseconds: int) -> bool: ...
def poll(fd: int, event: int, spin: int, sleep: int) -> int: ...
def indexed_rows(
    entries: array[int], shift: int, before: int, least: int, most: int, block_size: int, usual: bytes
) -> tuple[bytes, bytes, bytes] | None: ...
