from collections.abc import Callable

from ..tree import Entry

def read_usual(
    data: bytes,
    position: int,
    block_size: int,
    table: dict[bytes, Entry],
    most: int,
    above: Callable[[], frozenset[int]],
    skip: int | None,
    named: Callable[[bytes, bytes, bool], bytes],
    plain_mode: int,
    fmask: int,
    uid: int | None,
    gid: int | None,
    at: int,
) -> int: ...
def usual_data(data: bytes, block_size: int, skip: int | None) -> tuple[int, int] | None: ...
def usual_link(data: bytes, skip: int | None) -> bytes | None: ...
