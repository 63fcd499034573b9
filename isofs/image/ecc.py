"""Error detection and correction codes of CD sectors (ECMA-130, chapters 14 and A; CD-ROM XA), compiled or in Python.

Where they stand in a sector: see `sectors`.

- The EDC is a CRC of 32 bits, lowest bit first, by the polynomial (x^16 + x^15 + x^2 + 1)(x^16 + x^2 + x + 1), from 0,
  stored little-endian. So the CRC of the bytes with their EDC behind them is 0.
- The ECC is a product code over GF(2^8), whose polynomial is x^8 + x^4 + x^3 + x^2 + 1. P: the 2064 bytes from 12 on as
  24 rows of 86, each column a code word; its two bytes of parity follow as two more rows. Q: the 2236 bytes from 12 on,
  P included, as 26 rows of 43 words of 16 bits, each diagonal two code words, of low and of high bytes; k-th bytes are
  those of column k, turned up by k rows. Of mode 2 the header, bytes 12 to 15, counts as zeros.
- A code word d0 d1 ... p q has the sum 0, and the sum 0 when each byte is multiplied by 2 more often than the next.

In Python many bytes take each step at once: what is multiplied by the same number is one `bytes.translate`, what is
added is one integer.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from .sectors import RAW, SYNC

try:
    from . import _ecc
except ImportError:  # it takes a C compiler to build
    _ecc = None  # type: ignore[assignment]

compiled = None if os.environ.get("ISOFS_PYTHON_DECODER") else _ecc

# What `verdicts` says about a sector.
SOUND: Final = 0
"""Its EDC fits."""
WRONG: Final = 1
"""Its EDC does not fit: some byte of it is not what was written."""
UNCHECKED: Final = 2
"""It has none: mode 0, or form 2 with zeros in its place."""
STRANGE: Final = 3
"""It has no sync pattern, or a mode that there is not."""

_EDC: Final = 0xD801_8001
_FIELD: Final = 0x11D
_CODES: Final = 12
"""Where in a sector the bytes of the code words begin."""
_PARITY: Final = 2076
_P_WIDTH: Final = 86
_Q_COLUMNS: Final = 43
_Q_TURNS: Final = 26


def _edc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_EDC if byte & 1 else 0)
    return byte


def _multiplied() -> dict[int, bytes]:
    """Each byte doubled 1, 2, 4 ... 32 times."""
    table = bytes(byte << 1 ^ (_FIELD if byte & 0x80 else 0) for byte in range(256))
    tables = {1: table}
    for times in (2, 4, 8, 16, 32):
        table = tables[times] = table.translate(table)
    return tables


def _divided() -> bytes:
    """Each byte divided by 3, that is by 1 + 2."""
    thirds = bytearray(256)
    for byte, double in enumerate(_DOUBLED[1]):
        thirds[byte ^ double] = byte
    return bytes(thirds)


_EDC_TABLE: Final = tuple(map(_edc_of_byte, range(256)))
_EDC_PLANES: Final = tuple(bytes(entry >> shift & 0xFF for entry in _EDC_TABLE) for shift in (0, 8, 16, 24))
_DOUBLED: Final = _multiplied()
_THIRDS: Final = _divided()


def edc(data: bytes | bytearray | memoryview) -> int:
    """The EDC of some bytes."""
    if compiled is not None:
        quick: int = compiled.edc(data)
        return quick
    crc = 0
    for byte in data:
        crc = _EDC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc


def restore(sectors: bytearray, numbers: Sequence[int]) -> None:
    """Fills in the sync pattern and the ECC of whole sectors (2352 bytes each), those with these numbers, from 0.

    Raises `IndexError` for a number that is not there.
    """
    if any(not 0 <= number < len(sectors) // RAW for number in numbers):
        raise IndexError("no such sector")
    if compiled is not None:
        compiled.restore(sectors, numbers)
        return
    starts = [number * RAW for number in numbers]
    if not starts:
        return
    for start in starts:
        sectors[start : start + len(SYNC)] = SYNC
    # First row of all sectors, second row of all sectors ...
    coded = [bytes(sectors[start + _CODES : start + _PARITY]) for start in starts]
    coded = [bytes(4) + data[4:] if data[3] == 2 else data for data in coded]
    rows = b"".join([data[at : at + _P_WIDTH] for at in range(0, _PARITY - _CODES, _P_WIDTH) for data in coded])
    row = len(starts) * _P_WIDTH
    p = _parity(rows, row)
    rows += p
    twice = rows + rows  # a diagonal goes on at the top
    places = [2 * column + column % _Q_TURNS * row + byte for column in range(_Q_COLUMNS) for byte in (0, 1)]
    half = len(starts) * _Q_TURNS
    q = _parity(b"".join([twice[at : at + len(rows) : _P_WIDTH] for at in places]), 2 * half)
    for i, start in enumerate(starts):
        for part in (0, 1):
            at = start + _PARITY + part * _P_WIDTH
            sectors[at : at + _P_WIDTH] = p[part * row + i * _P_WIDTH :][:_P_WIDTH]
        for part in range(4):  # low and high bytes of one row, and of the other
            at = start + _PARITY + 2 * _P_WIDTH + part // 2 * 2 * _Q_TURNS + part % 2
            sectors[at : at + 2 * _Q_TURNS : 2] = q[part * half + i : (part + 1) * half : len(starts)]


def _parity(rows: bytes, width: int) -> bytes:
    """The two rows of parity that make each column of some rows a code word."""
    count = 1 << (len(rows) // width - 1).bit_length()
    rows = rows.rjust(count * width, b"\0")
    total = int.from_bytes(rows, "little")
    while count > 1:  # the upper half comes upon the lower one: each byte was to be doubled `count` times more
        count //= 2
        half = count * width
        upper, lower = rows[:half].translate(_DOUBLED[count]), rows[half:]
        rows = (int.from_bytes(upper, "little") ^ int.from_bytes(lower, "little")).to_bytes(half, "little")
        total ^= total >> 8 * half
    total &= (1 << 8 * width) - 1
    # Of p and q: p + q = total, 2 p + q = 4 * the sum of the doubled ones; so 3 p is what both give together.
    sums = int.from_bytes(rows.translate(_DOUBLED[2]), "little")
    first = (sums ^ total).to_bytes(width, "little").translate(_THIRDS)
    return first + (int.from_bytes(first, "little") ^ total).to_bytes(width, "little")


def verdicts(sectors: bytes | bytearray | memoryview, stride: int = RAW, *, header: bool = True) -> bytes:
    """What the EDC says about each of some sectors, a byte each: `SOUND`, `WRONG`, `UNCHECKED` or `STRANGE`.

    `stride`: bytes from one sector to the next, all of them there. `header`: whether sectors begin with sync and
    header; otherwise they are of mode 2 and begin with the subheader.

    Many at once are much quicker than one at a time.
    """
    if stride < (RAW if header else RAW - 16) or len(sectors) % stride:
        raise ValueError("no whole sectors")
    if compiled is not None:
        quick: bytes = compiled.verdicts(sectors, stride, header)
        return quick
    data = bytes(sectors)
    before = 16 if header else 0
    found = bytearray(len(data) // stride)
    places: dict[tuple[int, int], list[int]] = {}  # first byte and number of those with their EDC -> sectors
    for number in range(len(found)):
        start = number * stride
        mode = data[start + 15] if header else 2
        if header and (mode > 2 or data[start : start + 12] != SYNC):
            found[number] = STRANGE
        elif mode == 0:
            found[number] = UNCHECKED
        elif mode == 1:
            places.setdefault((0, 2068), []).append(number)
        elif not data[start + before + 2] & 0x20:
            places.setdefault((before, 2060), []).append(number)
        elif any(data[start + before + 2332 : start + before + 2336]):
            places.setdefault((before, 2336), []).append(number)
        else:
            found[number] = UNCHECKED
    for (at, length), numbers in places.items():
        starts = [number * stride + at for number in numbers]
        joined = b"".join([data[start : start + length] for start in starts])
        for number, wrong in zip(numbers, _remainders(joined, length), strict=True):
            if wrong:
                found[number] = WRONG
    return bytes(found)


def _remainders(joined: bytes, length: int) -> bytes:
    """For each piece of `length` bytes 0 if its EDC is 0. The bytes at the same place of all take a step at once."""
    first, second, third, fourth = _EDC_PLANES
    count = len(joined) // length
    a = b = c = d = 0  # the four bytes of each piece's EDC
    number = int.from_bytes
    for at in range(length):
        index = (a ^ number(joined[at::length], "little")).to_bytes(count, "little")
        a = b ^ number(index.translate(first), "little")
        b = c ^ number(index.translate(second), "little")
        c = d ^ number(index.translate(third), "little")
        d = number(index.translate(fourth), "little")
    return (a | b | c | d).to_bytes(count, "little")


def damaged(
    sectors: bytes | bytearray | memoryview, stride: int = RAW, *, header: bool = True
) -> list[tuple[int, str]]:
    """The sectors whose EDC does not fit, by their numbers, and what is wrong with them. See `verdicts`."""
    found = verdicts(sectors, stride, header=header)
    return [(number, "its EDC does not fit") for number, verdict in enumerate(found) if verdict == WRONG]
