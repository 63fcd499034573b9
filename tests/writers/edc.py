"""Raw sectors of a CD after ECMA-130 and CD-ROM XA, their EDC by its definition, and not by the code that checks it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

SYNC: Final = bytes.fromhex("00ffffffffffffffffffff00")
FORM_2: Final = b"\0\0\x20\0" * 2
FORM_1: Final = b"\0\0\x08\0" * 2


def product(a: int, b: int) -> int:
    """Of two polynomials over GF(2)."""
    made = 0
    while b:
        made ^= a if b & 1 else 0
        a <<= 1
        b >>= 1
    return made


def remainder(a: int, b: int) -> int:
    """Of the division of polynomials over GF(2)."""
    while a.bit_length() >= b.bit_length():
        a ^= b << a.bit_length() - b.bit_length()
    return a


EDC_POLYNOMIAL: Final = product(1 << 16 | 1 << 15 | 1 << 2 | 1, 1 << 16 | 1 << 2 | 1 << 1 | 1)
"""ECMA-130, 14.3."""


def turned(byte: int) -> int:
    return int(f"{byte:08b}"[::-1], 2)


def edc_by_definition(data: bytes) -> bytes:
    """The code word, least significant bit of each byte first, is divisible by the polynomial."""
    number = int.from_bytes(map(turned, data), "big") << 32
    return bytes(map(turned, remainder(number, EDC_POLYNOMIAL).to_bytes(4, "big")))


def header(number: int, mode: int) -> bytes:
    minute, rest = divmod(number + 150, 75 * 60)
    second, frame = divmod(rest, 75)
    return SYNC + bytes(int(str(part), 16) for part in (minute, second, frame)) + bytes((mode,))


def mode_1(number: int, data: bytes) -> bytes:
    summed = header(number, 1) + data
    return (summed + edc_by_definition(summed)).ljust(2352, b"\0")


def form_1(number: int, data: bytes) -> bytes:
    summed = FORM_1 + data
    return (header(number, 2) + summed + edc_by_definition(summed)).ljust(2352, b"\0")


def form_2(number: int, data: bytes, *, recorded: bool = True) -> bytes:
    summed = FORM_2 + data
    return header(number, 2) + summed + (edc_by_definition(summed) if recorded else bytes(4))


def some(size: int = 2048, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def changed(sector: bytes, at: int) -> bytes:
    return sector[:at] + bytes((sector[at] ^ 0x10,)) + sector[at + 1 :]


def raw_disc(disc: bytes, make: Callable[[int, bytes], bytes] = mode_1, stride: int = 2352) -> bytes:
    """A disc of 2048-byte sectors as raw ones, with subchannels of junk where the stride asks for them."""
    numbers = range(len(disc) // 2048)
    return b"".join(make(n, disc[n * 2048 :][:2048]).ljust(stride, b"\xa5") for n in numbers)
