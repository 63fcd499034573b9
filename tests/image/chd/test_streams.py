"""Huffman codes and FLAC frames, compiled and in Python, against writers of their own and flac(1)."""

from __future__ import annotations

import math
import random
import struct
import subprocess
from contextlib import suppress
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from writers.chd import Hunk, in_bytes, map_5, number
from writers.tools import require

from isofs.errors import ImageError

Twin = tuple[ModuleType, ModuleType]

both = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)

# --- Huffman --------------------------------------------------------------------------------------------------------


def words(lengths: list[int]) -> dict[int, str]:
    """The code word of each symbol: longest first, from 0, each shorter length from half of what follows."""
    given_out: dict[int, str] = {}
    value = 0
    for length in range(max(lengths), 0, -1):
        for symbol, its in enumerate(lengths):
            if its == length:
                given_out[symbol] = number(value, length)
                value += 1
        assert length == 1 or value % 2 == 0
        value //= 2
    return given_out


def some_lengths(chance: random.Random, symbols: int, most: int) -> list[int]:
    """A full code of so many symbols: words split at random."""
    lengths = [0]
    while len(lengths) < symbols:
        i = chance.randrange(len(lengths))
        if lengths[i] < most:
            lengths[i : i + 1] = [lengths[i] + 1] * 2
    chance.shuffle(lengths)
    return lengths


def block(data: bytes, lengths: list[int]) -> bytes:
    """A block of the codec `huff`: lengths in a code in which 0 to 17 have 5 bits or less, then the data."""
    small = [0] + [5] * 16 + [1] + [0] * 6  # 0 has no word: nothing is repeated
    bits = number(small[0], 3) + number(0, 3) + "".join(number(length, 3) for length in small[1:18]) + "111"
    code = words(small)
    bits += "".join(code[length + 1] for length in lengths)
    main = words(lengths)
    return in_bytes(bits + "".join(main[byte] for byte in data))


def lengths_for(chance: random.Random, symbols: list[int], most: int) -> list[int]:
    lengths = [0] * 256
    if len(symbols) == 1:
        lengths[symbols[0]] = 1
    else:
        for symbol, length in zip(symbols, some_lengths(chance, len(symbols), most), strict=True):
            lengths[symbol] = length
    return lengths


@both
@given(data=st.binary(min_size=1, max_size=600), seed=st.integers(0, 1 << 32))
def test_blocks_in_a_huffman_code(twin: Twin, data: bytes, seed: int) -> None:
    _, huffman = twin
    chance = random.Random(seed)
    stored = block(data, lengths_for(chance, sorted(set(data)), 16))
    assert huffman.decode(stored, len(data)) == data
    with pytest.raises(ImageError, match=r"ends too early|cut off"):
        huffman.decode(stored[:-1], len(data))


def test_lengths_of_words_may_be_repeated(twin: Twin) -> None:
    _, huffman = twin
    # Symbol 0 repeats, 9 is length 8: 1 bit each. One length and 255 more of it: 2, then 9 + 244.
    bits = number(1, 3) + number(0, 3) + "000" * 8 + number(1, 3) + "111"
    code = words([1] + [0] * 8 + [1])
    bits += code[9] + code[0] + number(0, 3) + code[0] + "111" + number(244, 8)
    data = bytes(range(256))
    assert huffman.decode(in_bytes(bits + "".join(number(byte, 8) for byte in data)), 256) == data


@pytest.mark.parametrize(
    "lengths",
    [[1, 1, 1], [2, 2, 2], [3, 1], [4] * 14 + [1], [1, 2, 2, 2, 2], [16] * 3],
    ids=["three of one bit", "odd", "gap", "odd further up", "too many", "three of sixteen"],
)
def test_codes_that_are_none_are_errors(twin: Twin, lengths: list[int]) -> None:
    _, huffman = twin
    with pytest.raises(ImageError, match="Huffman code"):
        huffman.table_of(bytearray(lengths), 16)


@both
@given(data=st.binary(max_size=400))
def test_any_bytes_are_a_block_or_an_error(twin: Twin, data: bytes) -> None:
    _, huffman = twin
    with suppress(ImageError):
        assert len(huffman.decode(data, 512)) == 512


@both
@given(data=st.binary(max_size=200), count=st.integers(1, 5000), widths=st.tuples(*[st.integers(0, 48)] * 2))
def test_any_bytes_are_a_map_or_an_error(twin: Twin, data: bytes, count: int, widths: tuple[int, int]) -> None:
    _, huffman = twin
    try:
        columns = huffman.decode_map(data, huffman.Fields(count, 124, 24, *widths, 4096, 2))
    except ImageError:
        return
    assert [len(column) for column in columns] == [count] * 4
    assert set(columns[0]) <= set(range(7))


@both
@given(seed=st.integers(0, 1 << 32))
def test_types_in_runs_and_short_forms(twin: Twin, seed: int) -> None:
    _, huffman = twin
    chance = random.Random(seed)
    types: list[int] = []
    symbols: list[int] = []
    while len(types) < 300:
        kind = chance.choice((0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13))
        symbols.append(kind)
        types.append(kind)
        times = chance.choice((0, 0, 3, 18, 19, 274))
        if 3 <= times <= 18:
            symbols += [7, times - 3]
        elif times:
            symbols += [8, *divmod(times - 19, 16)]
        types += [kind] * times
    last_self = last_parent = 0
    hunks = []
    for i, kind in enumerate(types):
        if kind <= 4:
            stored = bytes(chance.choice((1, 5, 100))) if kind < 4 else bytes(64)
            hunks.append(Hunk(kind, stored, crc=chance.randrange(1 << 16)))
            continue
        if kind in (5, 6):
            value = chance.randrange(1 << 31)
        elif kind in (9, 10):
            value = last_self + (kind == 10)
        else:
            value = {11: i * 4, 12: last_parent, 13: last_parent + 4}[kind]
        if kind in (5, 9, 10):
            last_self = value
        else:
            last_parent = value
        hunks.append(Hunk(kind, number=value))
    lengths = some_lengths(chance, 16, 8)
    tree = "".join(number(length, 4) if length != 1 else "00010001" for length in lengths)
    code = words(lengths)
    made = map_5(hunks, 64, 777, symbols=tree + "".join(code[symbol] for symbol in symbols), widths=(8, 31, 33))
    stream = made[16:]
    fields = huffman.Fields(len(hunks), 777, 8, 31, 33, 64, 4)
    columns = huffman.decode_map(stream, fields)
    kinds = {9: 5, 10: 5, 11: 6, 12: 6, 13: 6}
    assert list(columns[0]) == [kinds.get(kind, kind) for kind in types]
    at = 777
    for hunk, kind, length, position, check in zip(hunks, *columns, strict=True):
        assert (length, check) == (len(hunk.stored), hunk.crc)
        assert position == (at if kind <= 4 else hunk.number)
        at += length
    for end in (0, 5, len(stream) // 2, len(stream) - 1):
        with pytest.raises(ImageError, match=r"too early|does not fit|canonical|unknown type"):
            huffman.decode_map(stream[:end], fields)


def test_runs_of_lengths_in_the_code_of_a_map(twin: Twin) -> None:
    _, huffman = twin
    tree = number(1, 4) + number(4, 4) + number(13, 4)  # 16 symbols of 4 bits
    columns = huffman.decode_map(in_bytes(tree + "0100" + number(0xABCD, 16)), huffman.Fields(1, 5, 0, 0, 0, 64, 1))
    assert [list(column) for column in columns] == [[4], [64], [5], [0xABCD]]
    for bad in (number(1, 4) + number(4, 4) + number(14, 4), number(9, 4) * 16):
        with pytest.raises(ImageError):
            huffman.decode_map(in_bytes(bad + "0" * 99), huffman.Fields(1, 5, 0, 0, 0, 64, 1))


# --- FLAC -----------------------------------------------------------------------------------------------------------


def sound(kind: str, count: int, seed: int = 0) -> bytes:
    """Samples of two channels, as an encoder likes them or not."""
    chance = random.Random(seed)
    pairs: list[tuple[int, int]] = []
    for i in range(count):
        wave = int(9000 * math.sin(i / 37) + 3000 * math.sin(i / 7.3) + chance.gauss(0, 40))
        pairs.append(
            {
                "silence": (0, 0),
                "constant": (-7, 1234),
                "noise": (chance.randrange(-32768, 32768), chance.randrange(-32768, 32768)),
                "mono": (wave, wave),
                "stereo": (wave, wave // 2 + chance.randrange(-50, 50)),
                "shifted": (wave // 16 * 16, -wave // 8 * 8),
                "loud": (32767 if i % 50 < 25 else -32768, -32768 if i % 50 < 25 else 32767),
                "steps": (i // 100 % 300, 5 * i % 20000),
            }[kind]
        )
    return b"".join(struct.pack("<hh", *pair) for pair in pairs)


def frames_of(samples: bytes, *options: str) -> bytes:
    """What flac(1) makes of samples, without the head of the stream."""
    command = [
        require("flac"), "--silent", "--force-raw-format", "--endian=little", "--sign=signed", "--channels=2",
        "--bps=16", "--sample-rate=44100", "--no-padding", "--no-seektable", *options, "--stdout", "-",
    ]  # fmt: skip
    stream = subprocess.run(command, input=samples, capture_output=True, check=True).stdout
    at, last = 4, False
    while not last:
        last = bool(stream[at] & 0x80)
        at += 4 + int.from_bytes(stream[at + 1 : at + 4], "big")
    return stream[at:]


KINDS = ("silence", "constant", "noise", "mono", "stereo", "shifted", "loud", "steps")
OPTIONS = (
    ("-8", "--blocksize=1176"),
    ("-0", "--blocksize=1024"),
    ("-5", "--blocksize=192", "--lax"),
    ("-6", "--mid-side", "--blocksize=777", "--lax"),
    ("-1", "--adaptive-mid-side", "--blocksize=2304"),
    ("--lax", "-l", "32", "-r", "0,8", "--blocksize=4096", "-e"),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options[0] + options[-1])
def test_frames_of_flac_decode_to_the_samples(twin: Twin, kind: str, options: tuple[str, ...]) -> None:
    flac, _ = twin
    samples = sound(kind, 2500)
    stored = frames_of(samples, *options)
    assert flac.decode(stored, 2500) == (samples, len(stored))
    assert flac.decode(stored + b"\xff\xf8more", 2500) == (samples, len(stored))


@settings(both, max_examples=8)
@given(
    pairs=st.lists(st.tuples(*[st.integers(-32768, 32767)] * 2), min_size=16, max_size=200),
    options=st.sampled_from(OPTIONS),
)
def test_any_samples_survive_flac(twin: Twin, pairs: list[tuple[int, int]], options: tuple[str, ...]) -> None:
    flac, _ = twin
    samples = b"".join(struct.pack("<hh", *pair) for pair in pairs)
    stored = frames_of(samples, *options)
    assert flac.decode(stored, len(pairs)) == (samples, len(stored))


def test_damaged_frames_are_errors(twin: Twin) -> None:
    flac, _ = twin
    stored = frames_of(sound("stereo", 600), "-8", "--blocksize=300", "--lax")
    chance = random.Random(3)
    for _ in range(150):
        damaged = bytearray(stored)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        with pytest.raises(ImageError):
            flac.decode(bytes(damaged), 600)
    for end in range(0, len(stored), 37):
        with pytest.raises(ImageError):
            flac.decode(stored[:end], 600)
    for count in (599, 601, 1 << 40):  # a frame goes on behind the block; one is missing
        with pytest.raises(ImageError):
            flac.decode(stored, count)


def crc(data: bytes, polynomial: int, width: int) -> int:
    """A CRC from 0, highest bit first, as a remainder."""
    value = int.from_bytes(data, "big") << width
    for shift in range(value.bit_length() - width - 1, -1, -1):
        if value >> shift + width & 1:
            value ^= polynomial << shift
    return value


def frame(subframes: str, *, size: int = 16, channels: int = 1) -> bytes:
    """A frame of `size` samples with both checksums as they must be."""
    head = in_bytes("111111111111100" + "0" + number(6, 4) + "1001" + number(channels, 4) + "1000" + "0" * 8)
    head += bytes((size - 1,))
    head += bytes((crc(head, 0x107, 8),))
    body = head + in_bytes(subframes)
    return body + crc(body, 0x1_8005, 16).to_bytes(2, "big")


CONSTANT = "00000000" + number(5, 16)


def test_escaped_partitions_are_plain_numbers(twin: Twin) -> None:
    flac, _ = twin
    numbers = [-4, 3, -1, 0, 1, 2, -2, -3] * 2
    fixed = "00010000" + "00" + number(1, 4)  # order 0, two partitions
    fixed += "1111" + number(3, 5) + "".join(number(value & 7, 3) for value in numbers[:8])
    fixed += "1111" + number(4, 5) + "".join(number(value & 15, 4) for value in numbers[8:])
    stored = frame(fixed + CONSTANT)
    assert flac.decode(stored, 16) == (b"".join(struct.pack("<hh", value, 5) for value in numbers), len(stored))
    wide = "00010000" + "01" + number(0, 4) + "11111" + number(0, 5)  # parameters of 5 bits; numbers of no bits
    assert flac.decode(frame(CONSTANT + wide), 16)[0] == struct.pack("<hh", 5, 0) * 16


@pytest.mark.parametrize(
    "subframe",
    [
        "00000010" + number(0, 16),  # a kind that there is not
        "00000001" + "0" * 40 + "1",  # more wasted bits than bits
        "00010000" + "10" + "0" * 200,  # residuals of another kind
        "00010000" + "00" + number(5, 4) + "0" * 200,  # 32 partitions of 16 samples
        "00011000" + "0" * 64 + "00" + number(3, 4) + "0" * 200,  # order 4, partitions of 2
        "01111110" + "0" * 512,  # order 32 in 16 samples
        "01000000" + "0" * 16 + "1111" + "0" * 200,  # no precision
        "01000000" + "0" * 16 + "0001" + "10000" + "0" * 200,  # shifted upwards
        "00010000" + "00" + number(0, 4) + "1111" + "11111" + number(1 << 30, 31) * 16,  # out of range
        "00010000" + "00" + number(0, 4) + "1110" + ("0" * 20 + "1" + "1" * 14) * 16,  # out of range
    ],
)
def test_subframes_that_cannot_be_are_errors(twin: Twin, subframe: str) -> None:
    flac, _ = twin
    with pytest.raises(ImageError):
        flac.decode(frame(subframe + CONSTANT), 16)


@pytest.mark.parametrize("channels", [0, 2, 7, 11, 15])
def test_other_channels_than_two_are_errors(twin: Twin, channels: int) -> None:
    flac, _ = twin
    assert flac.decode(frame(CONSTANT + CONSTANT), 16)[0] == struct.pack("<hh", 5, 5) * 16
    with pytest.raises(ImageError):
        flac.decode(frame(CONSTANT + CONSTANT, channels=channels), 16)


@pytest.mark.parametrize(("channels", "first", "second"), [(8, 32767, -1), (9, 1, 32767), (10, 32767, 2)])
def test_channels_beyond_their_bits_are_errors(twin: Twin, channels: int, first: int, second: int) -> None:
    flac, _ = twin
    widths = (17, 16) if channels == 9 else (16, 17)
    parts = [
        "00000000" + number(value & (1 << width) - 1, width)
        for value, width in zip((first, second), widths, strict=True)
    ]
    with pytest.raises(ImageError, match="range"):
        flac.decode(frame("".join(parts), channels=channels), 16)


@both
@given(bits=st.text("01", min_size=300, max_size=900), channels=st.sampled_from((1, 8, 9, 10)))
def test_any_subframes_are_samples_or_an_error(twin: Twin, bits: str, channels: int) -> None:
    flac, _ = twin
    kinds = ("00010000", "00011000", "01000110", "00000001")
    try:
        samples, end = flac.decode(frame(kinds[bits.count("1") % 4] + bits, channels=channels), 16)
    except ImageError:
        return
    assert len(samples) == 64
    assert end > 10
