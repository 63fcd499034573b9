# cython: language_level=3, annotation_typing=False, wraparound=False
"""Huffman codes of CHD images: the map of version 5, and blocks of the codec `huff`.

Compiled where `huffman.pxd` and a C compiler are there, otherwise plain Python: the same file serves as both.

Bits are read from the most significant one of each byte on. A code is told by the length of each symbol's code word, 0
for a symbol without one. Code words of one length ascend with the symbols. They are given out beginning with the
longest ones, from 0 on; the first word of a length is half of the word behind the last one of the next greater length,
and that must be even. All words together must fit; words that no symbol has are errors when they are met.

The lengths are stored in one of two ways. Those of the map, 16 symbols of at most 8 bits: 4 bits each; a length of 1 is
escaped as 1, 1; and 1, n, r means that r + 3 symbols have the length n. Those of a block, 256 symbols of at most 16
bits, are themselves in a Huffman code, of 24 symbols of at most 6 bits. First the lengths of that one:

- 3 bits: the length of symbol 0
- 3 bits: n - 1; symbols 1 to n - 1 have no code word
- 3 bits for each further symbol, until one is 7: it and all behind it have none

Then, in this code, for each of the 256: v > 0 is the length v - 1; 0 repeats the last length r + 2 times, 3 bits for r,
and if r is 7, 8 bits more are added.

The map: the code above, then one symbol for each hunk and as many times as it says:

| symbol | type of the hunk |
| --- | --- |
| 0 to 6 | itself |
| 7 | the last type, 2 + the next symbol more times after this one |
| 8 | the last type, 18 + 16 * the next symbol + the one after more times after this one |
| 9 to 13 | 5 and 6, shortened: see the second table |

Then the fields of each hunk, their widths told by the map's header:

| type | fields | position | becomes |
| --- | --- | --- | --- |
| 0 to 3 | length, CRC of 16 bits | behind the last one stored | codec 0 to 3 |
| 4 | CRC of 16 bits | behind the last one stored | plain |
| 5 | a hunk's number | | that hunk |
| 6 | a unit's number | | the parent's units from there on |
| 9, 10 | | | the hunk that the last 5, 9, 10 named, and the one behind it |
| 11 | | | the parent's units at the same place |
| 12, 13 | | | the units that the last 6, 11, 12, 13 named, and those one hunk further |
"""

from __future__ import annotations

from array import array
from typing import Final, NamedTuple

from ...errors import ImageError

_PADDING: Final = bytes(16)
"""What is read behind the end before it is noticed."""

PARENT: Final = 6
SELF: Final = 5


def bits(data: bytes, bit: int, n: int) -> int:
    """`n` bits, 24 at most, from bit `bit` on."""
    at = bit >> 3
    word = data[at] << 8 | data[at + 1]
    word = word << 16 | data[at + 2] << 8 | data[at + 3]
    return word >> (32 - (bit & 7) - n) & ((1 << n) - 1)


def long_bits(data: bytes, bit: int, n: int) -> int:
    """`n` bits, 48 at most, from bit `bit` on."""
    if n <= 24:
        return bits(data, bit, n)
    return bits(data, bit, n - 24) << 24 | bits(data, bit + n - 24, 24)


def table_of(lengths: bytearray, most: int) -> array[int]:
    """For each value of the next `most` bits the symbol that they begin with, times 32, plus the length of its word.

    0 stands where no word begins so. Raises `ImageError` for lengths that are no code.
    """
    if max(lengths) > most:
        raise ImageError("damaged Huffman code: a word is too long")
    table = array("H", bytes(2 << most))
    word = 0
    for length in range(most, 0, -1):
        if word & 1:
            raise ImageError("damaged Huffman code: it is not canonical")
        word >>= 1
        span = 1 << (most - length)
        symbol = lengths.find(length)
        while symbol >= 0:
            if (word + 1) * span > 1 << most:
                raise ImageError("damaged Huffman code: it has too many words")
            table[word * span : (word + 1) * span] = array("H", [symbol << 5 | length]) * span
            word += 1
            symbol = lengths.find(length, symbol + 1)
    return table


def decode(stored: bytes, size: int) -> bytes:
    """A block of the codec `huff`, `size` bytes. Raises `ImageError`."""
    data = stored + _PADDING
    end = 8 * len(stored)
    lengths, bit = _lengths_of_block(data, end)
    most = max(lengths)
    entries = table_of(lengths, most)
    block = made = bytearray(size)
    for i in range(size):
        if bit > end:
            break
        entry = entries[bits(data, bit, most)]
        if entry == 0:
            raise ImageError("the Huffman code is damaged: no such word")
        bit += entry & 31
        made[i] = entry >> 5
    if bit > end:
        raise ImageError("the Huffman code ends too early")
    return bytes(block)


def _lengths_of_block(data: bytes, end: int) -> tuple[bytearray, int]:
    """The lengths of the 256 code words, none above 16, and the bit behind them."""
    small = bytearray(24)
    small[0] = bits(data, 0, 3)
    if end < 48:
        raise ImageError("the Huffman code ends too early")
    bit = 6
    for symbol in range(bits(data, 3, 3) + 1, 24):
        length = bits(data, bit, 3)
        bit += 3
        if length == 7 or bit > end:
            break
        small[symbol] = length
    table = table_of(small, 6)
    lengths = bytearray(256)
    symbol = last = 0
    while symbol < 256:
        entry = table[bits(data, bit, 6)]
        bit += entry & 31
        if entry == 0 or bit > end:
            raise ImageError("damaged Huffman code: the lengths of its words are cut off")
        value = entry >> 5
        if value:
            last = value - 1
            lengths[symbol] = last
            symbol += 1
            continue
        times = bits(data, bit, 3) + 2
        bit += 3
        if times == 9:
            times += bits(data, bit, 8)
            bit += 8
        times = min(times, 256 - symbol)
        lengths[symbol : symbol + times] = bytes((last,)) * times
        symbol += times
    if max(lengths) > 16 or not any(lengths):
        raise ImageError("damaged Huffman code: a word is too long")
    return lengths, bit


class Fields(NamedTuple):
    """What a map's header says about its fields."""

    hunks: int
    """Their number."""
    position: int
    """Of the first one that is stored."""
    length_bits: int
    """24 at most."""
    self_bits: int
    """48 at most, as the next."""
    parent_bits: int
    hunk: int
    """Bytes of a hunk."""
    units: int
    """Units of a hunk."""


class Columns(NamedTuple):
    """A map of version 5, shortened types spelt out."""

    types: bytearray
    """0 to 6."""
    lengths: array[int]
    """Stored bytes, 0 for types 5 and 6 ('I')."""
    positions: array[int]
    """Bytes for types 0 to 4, else the number of a hunk or unit ('Q')."""
    checks: array[int]
    """CRC of the decoded bytes, 0 for types 5 and 6 ('H')."""


def decode_map(stored: bytes, fields: Fields) -> Columns:
    """The map in a stream of bits. Raises `ImageError` for one that is none."""
    data = stored + _PADDING
    end = 8 * len(stored)
    types, bit = _types(data, end, fields.hunks)
    count, position, length_bits, self_bits, parent_bits, hunk, units = fields
    length_column = array("I", bytes(4 * count))
    position_column = array("Q", bytes(8 * count))
    check_column = array("H", bytes(2 * count))
    kinds, lengths, positions, checks = types, length_column, position_column, check_column
    last_self = last_parent = 0
    for i in range(count):
        if bit > end:
            break
        kind = kinds[i]
        if kind <= 4:
            length = hunk
            if kind < 4:
                length = bits(data, bit, length_bits)
                bit += length_bits
            lengths[i] = length
            positions[i] = position
            position += length
            checks[i] = bits(data, bit, 16)
            bit += 16
        elif kind == 5 or kind == 9 or kind == 10:
            if kind == 5:
                last_self = long_bits(data, bit, self_bits)
                bit += self_bits
            elif kind == 10:
                last_self += 1
            kinds[i] = 5
            positions[i] = last_self
        else:
            if kind == 6:
                last_parent = long_bits(data, bit, parent_bits)
                bit += parent_bits
            elif kind == 11:
                last_parent = i * units
            elif kind == 13:
                last_parent += units
            kinds[i] = 6
            positions[i] = last_parent
    if bit > end:
        raise ImageError("the CHD map ends too early")
    return Columns(types, length_column, position_column, check_column)


def _types(data: bytes, end: int, count: int) -> tuple[bytearray, int]:
    """The types of all hunks, 0 to 6 and 9 to 13, and the bit behind them."""
    lengths = bytearray(16)
    bit = symbol = made = last = 0
    while symbol < 16:
        length = bits(data, bit, 4)
        bit += 4
        times = 1
        if length == 1:
            length = bits(data, bit, 4)
            bit += 4
            if length != 1:
                times = bits(data, bit, 4) + 3
                bit += 4
        if symbol + times > 16 or bit > end:
            raise ImageError("damaged CHD map: its Huffman code does not fit")
        lengths[symbol : symbol + times] = bytes((length,)) * times
        symbol += times
    entries = table_of(lengths, 8)
    types = kinds = bytearray(count)
    while made < count:
        entry = entries[bits(data, bit, 8)]
        bit += entry & 31
        last_entry = entry
        times = 1
        symbol = entry >> 5
        if symbol == 7 or symbol == 8:
            last_entry = entries[bits(data, bit, 8)]
            bit += last_entry & 31
            times = 3 + (last_entry >> 5)
            if symbol == 8:
                times = 19 + (last_entry >> 5 << 4)
                last_entry = entries[bits(data, bit, 8)]
                bit += last_entry & 31
                times += last_entry >> 5
        else:
            last = symbol
        if bit > end:
            raise ImageError("the CHD map ends too early")
        if entry == 0 or last_entry == 0 or last > 13:
            raise ImageError("damaged CHD map: a hunk of an unknown type")
        if times == 1:
            kinds[made] = last
        else:
            types[made : made + times] = bytes((last,)) * min(times, count - made)
        made += times
    return types, bit
