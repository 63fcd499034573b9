# cython: language_level=3, annotation_typing=False, wraparound=False
"""FLAC frames without a stream around them (RFC 9639), as CHD images hold them: 16 bits, 2 channels.

Compiled where `flac.pxd` and a C compiler are there, otherwise plain Python: the same file serves as both.

A frame, most significant bits first:

| bits | field | |
| --- | --- | --- |
| 15 | sync | 0x7FFC |
| 1 | blocking | of the number below; never used |
| 4 | samples of each channel | 1: 192; 2 to 5: 576 << n - 2; 6, 7: below; 8 to 15: 256 << n - 8 |
| 4 | rate | never used; 12 to 14 are followed by a number; 15 is none |
| 4 | channels | 1: left, right; 8: left, side; 9: side, right; 10: mid, side |
| 3 | sample size | 4: 16 bits; 0: told elsewhere, 16 bits as well |
| 1 | | 0 |
| 8 to 56 | number of the frame or sample | one bits in front of the first 0 tell its bytes, as in UTF-8 |
| 0, 8, 16 | samples - 1, if the field says 6 or 7 | |
| 0, 8, 16 | rate, if the field says 12, or 13 and 14 | |
| 8 | CRC-8 of the header | polynomial 0x07, from 0 |
| | a subframe for each channel, then zeros up to a byte | |
| 16 | CRC-16 of the frame | polynomial 0x8005, from 0 |

side = left - right, and has a bit more; mid = (left + right) >> 1, its lost bit is the lowest one of side.

A subframe: 0; its type, 6 bits; wasted bits, 0 or 1 and their number - 1 in unary. Samples have that many bits less and
are shifted up by them at last. By type:

| type | | |
| --- | --- | --- |
| 0 | constant | one sample |
| 1 | verbatim | all samples |
| 8 to 12 | fixed predictor of order type - 8 | as many samples, the residual |
| 32 to 63 | linear predictor of order type - 31 | as many samples, its own fields, the residual |

A linear predictor: precision - 1, 4 bits; shift, 5 bits, signed; the factors, that of the latest sample first, each of
as many bits as the precision says. Their sum of products is shifted down.

A residual: 2 bits, the width of parameters (0: 4, 1: 5); 4 bits p; then 1 << p partitions of the same number of
samples, the first one less the predictor's order. Each begins with its parameter k. All ones: 5 bits n, then samples of
n bits. Otherwise for each sample a number q in unary (zeros, then a one), and k bits: q << k | bits; even numbers are
twice a positive residual, odd ones -2 times a negative one, less 1.

Each sample must fit its bits. That keeps all numbers within 64 bits, and a damaged frame is noticed early.
"""

from __future__ import annotations

from array import array
from typing import Final

from ...errors import ImageError

_LONGEST: Final = 65_536
"""Samples of a frame."""
_PADDING: Final = bytes(64)
"""What is read behind the end before it is noticed: the samples at the head of a subframe are read unchecked."""


def _crc_tables() -> tuple[array[int], array[int]]:
    eight, sixteen = array("H"), array("H")
    for byte in range(256):
        crc_8, crc_16 = byte, byte << 8
        for _ in range(8):
            crc_8 = crc_8 << 1 ^ (0x107 if crc_8 & 0x80 else 0)
            crc_16 = crc_16 << 1 ^ (0x1_8005 if crc_16 & 0x8000 else 0)
        eight.append(crc_8)
        sixteen.append(crc_16)
    return eight, sixteen


_CRC_8, _CRC_16 = _crc_tables()


def decode(stored: bytes, count: int) -> tuple[bytes, int]:
    """`count` samples of both channels in turn, 16 bits each, the low byte first, and the byte behind the last frame.

    Raises `ImageError` where the frames are damaged, or do not end with the last sample.
    """
    if count > len(stored) * _LONGEST:  # a frame of constants has the most samples in the fewest bytes
        raise ImageError("the FLAC frames end too early")
    frames = Frames(stored)
    made = bytearray(4 * count)
    done = 0
    while done < count:
        done += frames.frame(made, done, count)
    return bytes(made), frames.bit >> 3


class Frames:
    """Reads frame by frame."""

    def __init__(self, stored: bytes) -> None:
        self.data = stored + _PADDING
        self.end = 8 * len(stored)
        self.bit = 0
        self.crc_8 = _CRC_8
        self.crc_16 = _CRC_16

    def take(self, n: int) -> int:
        """`n` bits, 32 at most. Raises `ImageError` behind the end."""
        bit = self.bit
        self.bit = bit + n
        if bit + n > self.end:
            raise ImageError("the FLAC frames end too early")
        data = self.data
        at = bit >> 3
        word = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
        word = word << 16 | data[at + 3] << 8 | data[at + 4]
        return word >> (40 - (bit & 7) - n) & ((1 << n) - 1)

    def take_signed(self, n: int) -> int:
        """A number of `n` bits in two's complement, 32 at most."""
        if n == 0:
            return 0
        value = self.take(n)
        return value - (1 << n) if value >> (n - 1) else value

    def frame(self, made: bytearray, done: int, count: int) -> int:
        """Decodes a frame to its place, behind `done` samples of `count`; gives how many they are.

        Raises `ImageError`.
        """
        start = self.bit >> 3
        size, channels = self.header(start)
        if done + size > count:
            raise ImageError("damaged FLAC frame: it goes on behind the block")
        left = array("q", bytes(8 * size))
        right = array("q", bytes(8 * size))
        self.subframe(left, size, 17 if channels == 9 else 16)
        self.subframe(right, size, 17 if channels in (8, 10) else 16)
        self.bit = self.bit + 7 & -8
        behind = self.bit >> 3
        if self.take(16) != self.sum_up(self.crc_16, start, behind, 16):
            raise ImageError("damaged FLAC frame: its checksum does not fit")
        self.join(left, right, size, channels, made, 4 * done)
        return size

    def header(self, start: int) -> tuple[int, int]:
        """Samples and channels of the frame that begins at byte `start`."""
        if self.take(15) != 0x7FFC:
            raise ImageError("no FLAC frame where one should begin")
        self.take(1)
        size, rate, channels, width = self.take(4), self.take(4), self.take(4), self.take(4)
        ones = 0
        first = self.take(8)
        while first & 0x80 >> ones:
            ones += 1
        if channels not in (1, 8, 9, 10) or width not in (0, 8) or rate == 15 or ones == 1 or ones == 8:
            raise ImageError("damaged FLAC frame: not 16 bits in two channels")
        for _ in range(ones - 1):
            if self.take(8) >> 6 != 2:
                raise ImageError("damaged FLAC frame: its number is none")
        if size == 0:
            raise ImageError("damaged FLAC frame: its size is unknown")
        if size == 1:
            size = 192
        elif size < 6:
            size = 576 << size - 2
        elif size < 8:
            size = self.take(8 * (size - 5)) + 1
        else:
            size = 256 << size - 8
        if rate >= 12:
            self.take(8 if rate == 12 else 16)
        behind = self.bit >> 3
        if self.take(8) != self.sum_up(self.crc_8, start, behind, 8):
            raise ImageError("damaged FLAC frame: its header's checksum does not fit")
        return size, channels

    def sum_up(self, table: array[int], start: int, behind: int, width: int) -> int:
        """The CRC of some bytes."""
        data = self.data
        crc = 0
        for i in range(start, behind):
            crc = crc << 8 & ((1 << width) - 256) ^ table[crc >> (width - 8) ^ data[i]]
        return crc

    def subframe(self, samples: array[int], size: int, width: int) -> None:
        """Decodes the samples of one channel, each of `width` bits."""
        kind = self.take(7)
        wasted = 0
        if self.take(1):
            wasted = 1
            while not self.take(1):
                wasted += 1
                if wasted >= width:
                    raise ImageError("damaged FLAC frame: all bits are wasted")
        width -= wasted
        if kind == 0:
            value = self.take_signed(width)
            for i in range(size):
                samples[i] = value
        elif kind == 1:
            for i in range(size):
                samples[i] = self.take_signed(width)
        elif 8 <= kind <= 12:
            self.predicted(samples, size, width, kind - 8, False)
        elif 32 <= kind <= 63:
            self.predicted(samples, size, width, kind - 31, True)
        else:
            raise ImageError("damaged FLAC frame: a subframe of an unknown kind")
        if wasted:
            for i in range(size):
                samples[i] = samples[i] << wasted

    def predicted(self, samples: array[int], size: int, width: int, order: int, linear: bool) -> None:
        """Samples that a predictor tells from those before."""
        if order > size:
            raise ImageError("damaged FLAC frame: a predictor longer than the frame")
        for i in range(order):
            samples[i] = self.take_signed(width)
        factors = array("q", bytes(8 * 32))
        shift = 0
        if linear:
            precision = self.take(4) + 1
            shift = self.take_signed(5)
            if precision == 16 or shift < 0:
                raise ImageError("damaged FLAC frame: its predictor is none")
            for i in range(order):
                factors[i] = self.take_signed(precision)
        elif order == 1:
            factors[0] = 1
        elif order == 2:
            factors[0], factors[1] = 2, -1
        elif order == 3:
            factors[0], factors[1], factors[2] = 3, -3, 1
        elif order == 4:
            factors[0], factors[1], factors[2], factors[3] = 4, -6, 4, -1
        self.residual(samples, size, order)
        most = (1 << width - 1) - 1
        least = -most - 1
        for i in range(order, size):
            value = 0
            for j in range(order):
                value += factors[j] * samples[i - 1 - j]
            value = (value >> shift) + samples[i]
            if value > most or value < least:
                raise ImageError("damaged FLAC frame: a sample out of range")
            samples[i] = value

    def residual(self, samples: array[int], size: int, order: int) -> None:
        """The residual of all samples but the first `order` ones."""
        method = self.take(2)
        partitions = 1 << self.take(4)
        if method > 1 or size % partitions or size // partitions < order:
            raise ImageError("damaged FLAC frame: its residual is none")
        width = 4 + method
        first = order
        for partition in range(1, partitions + 1):
            behind = size // partitions * partition
            k = self.take(width)
            if k == (1 << width) - 1:
                n = self.take(5)
                for i in range(first, behind):
                    samples[i] = self.take_signed(n)
            else:
                self.rice(samples, first, behind, k)
            first = behind

    def rice(self, samples: array[int], first: int, behind: int, k: int) -> None:
        """Residuals in a Rice code with the parameter `k`."""
        data = self.data
        at = self.bit >> 3
        left = 8 - (self.bit & 7)  # bits of `word` that are not yet used
        word = data[at] & ((1 << left) - 1)
        at += 1
        last = (self.end >> 3) + 8
        for i in range(first, behind):
            value = 0
            while word == 0:
                value += left
                if at >= last:
                    raise ImageError("the FLAC frames end too early")
                word = data[at]
                at += 1
                left = 8
            left -= 1
            while word >> left == 0:
                left -= 1
                value += 1
            word -= 1 << left
            while left < k:
                if at >= last:
                    raise ImageError("the FLAC frames end too early")
                word = word << 8 | data[at]
                at += 1
                left += 8
            left -= k
            value = value << k | word >> left
            word &= (1 << left) - 1
            samples[i] = value >> 1 ^ -(value & 1)
        self.bit = 8 * at - left

    def join(self, left: array[int], right: array[int], size: int, channels: int, made: bytearray, at: int) -> None:
        """Puts both channels, as they were before they were made left and right, into their bytes."""
        for i in range(size):
            first, second = left[i], right[i]
            if channels == 8:
                second = first - second
            elif channels == 9:
                first += second
            elif channels == 10:
                total = first << 1 | second & 1
                first = total + second >> 1
                second = total - second >> 1
            if not -32768 <= first <= 32767 or not -32768 <= second <= 32767:
                raise ImageError("damaged FLAC frame: a sample out of range")
            made[at] = first & 0xFF
            made[at + 1] = first >> 8 & 0xFF
            made[at + 2] = second & 0xFF
            made[at + 3] = second >> 8 & 0xFF
            at += 4
