"""Makes new inputs of old ones: changes that mean something, and repairs that let them past the first check."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final, NamedTuple

NUMBERS: Final[tuple[int, ...]] = (
    *range(10),
    *(15, 16, 17, 20, 24, 31, 32, 33, 34, 63, 64, 99, 100, 127, 128, 150, 254, 255, 256, 511, 512, 513, 1023, 1024),
    *(2047, 2048, 2049, 2324, 2336, 2352, 2448, 4095, 4096, 8192, 32767, 32768, 65535, 65536, 1 << 17, 1 << 20),
    *(1 << 22, 1 << 24, (1 << 24) + 1, 1 << 26, 1 << 30, (1 << 31) - 2, (1 << 31) - 1, 1 << 31, (1 << 32) - 2048),
    *((1 << 32) - 1, 1 << 32, 1 << 40, 1 << 42, (1 << 42) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
)
"""Where readers go wrong: the ends of ranges, sizes of sectors, powers of two."""

_FORMS: Final = ("B", "<H", ">H", "<I", ">I", "<Q", ">Q")


class Case(NamedTuple):
    """An image, and what a change of it should know."""

    data: bytes
    hot: tuple[range, ...] = ()
    """Where structure lies; changes are made there, in any of them as often as in any other."""
    vital: tuple[range, ...] = ()
    """What is mostly put back afterwards: magics, and sizes without which nothing is tried."""
    beside: Mapping[str, bytes] = {}
    """Files in the same folder."""
    name: str = "image.bin"
    mend: Callable[[bytearray], None] | None = None
    """Makes checksums right again."""


def number(chance: Random, near: int, size: int) -> int:
    """A number that might hurt; `near`: what stood there, `size`: of the image."""
    kind = chance.randrange(6)
    if kind == 0:
        return near + chance.choice((-2, -1, 1, 2, 8, -8, 2048, -2048))
    if kind == 1:
        return size + chance.choice((-2048, -12, -1, 0, 1, 2048))
    if kind == 2:
        return chance.randrange(size + 1)
    if kind == 3:
        return size // 2048 + chance.choice((-1, 0, 1))
    return chance.choice(NUMBERS)


def put_number(data: bytearray, at: int, chance: Random) -> None:
    """Writes a number over what stands there."""
    form = chance.choice(_FORMS)
    width = struct.calcsize(form)
    if at + width > len(data):
        return
    (old,) = struct.unpack_from(form, data, at)
    new = number(chance, old, len(data)) & ((1 << 8 * width) - 1)
    struct.pack_into(form, data, at, new)
    if chance.random() < 0.2 and at + 2 * width <= len(data) and form[0] == "<":  # both byte orders
        struct.pack_into(">" + form[1], data, at + width, new)


def change_bytes(data: bytearray, hot: Sequence[range], chance: Random) -> None:
    """One change of some bytes, at a hot place mostly."""
    if not data:
        return
    place = chance.choice(hot) if hot and chance.random() < 0.9 else range(len(data))
    at = min(chance.choice(place) if len(place) else 0, len(data) - 1)
    kind = chance.randrange(40)
    if kind < 18:
        put_number(data, at - at % chance.choice((1, 2, 4, 8)), chance)
    elif kind < 26:
        data[at] ^= 1 << chance.randrange(8)
    elif kind < 31:
        data[at] = chance.randrange(256)
    elif kind < 35:  # what stands elsewhere
        n = chance.choice((1, 2, 4, 8, 16, 33, 64))
        start = chance.choice(chance.choice(hot)) if hot and len(hot[0]) else chance.randrange(len(data))
        data[at : at + n] = data[start : start + n].ljust(n, b"\0")[: len(data) - at]
    elif kind < 37:
        n = chance.choice((1, 4, 16, 64))
        data[at : at + n] = chance.choice((b"\0", b"\xff", b"A"))[:1] * min(n, len(data) - at)
    elif kind == 37:
        del data[chance.randrange(len(data)) :]
    elif kind == 38:
        data += chance.choice((b"\0", data[-16:])) * chance.choice((1, 7, 2048))
    else:
        del data[at : at + chance.choice((1, 4, 2048))]


def changed(case: Case, chance: Random, change: Callable[[bytearray, Random], None] | None = None) -> Case:
    """A few changes, then, mostly, the repairs. `change`: one that knows the format, made every other time."""
    data = bytearray(case.data)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        if change is not None and chance.random() < 0.6:
            change(data, chance)
        else:
            change_bytes(data, case.hot, chance)
    if chance.random() < 0.8:
        for vital in case.vital:
            data[vital.start : vital.stop] = case.data[vital.start : vital.stop]
    if case.mend is not None and chance.random() < 0.9:
        case.mend(data)
    return case._replace(data=bytes(data))


# --- texts ----------------------------------------------------------------------------------------------------------

_WORDS: Final = (
    b"FILE TRACK INDEX PREGAP POSTGAP REM SESSION CATALOG ISRC FLAGS DCP BINARY MOTOROLA WAVE MODE1/2352 MODE2/2336 "
    b"AUDIO CDG MODE1/2048 TRACK 00 INDEX 99 CD_ROM CD_DA TRACK MODE1 DATAFILE AUDIOFILE START SILENCE ZERO FIFO COPY "
    b'CD_TEXT { } " // # [CloneCD] [Entry 0] [TRACK 1] Point=0xa0 PLBA= Session= MODE= INDEX 1= [Disc] Control=0x04'
).split(b" ")
_NUMBERS: Final = (
    *(b"0", b"1", b"-1", b"00", b"99", b"100", b"74", b"75", b"59", b"60", b"4294967295", b"18446744073709551616"),
    *(b"9" * 30, b"9" * 900, b"0x10", b"1e9", "٣".encode(), "²".encode(), b"1_0", b" 1", b"+1", b"", b"00:00:74"),
    *(b"99:59:74", b"00:60:00", b"00:00:75", b"-1:00:00", b"1:2", b"2352", b"2048", b"2147483648"),
)
_NAMES: Final = (
    *(b"a.bin", b"b.bin", b"A.BIN", b"missing.bin", b"../a.bin", b"/etc/passwd", b".", b"", b"..", b"sub/a.bin"),
    *(b"C:\\a.bin", b"image.cue", b"a" * 300, b"a\0.bin", b"\xff.bin", b"/dev/zero", b"link.bin", b"a.bin/"),
)


def changed_text(case: Case, chance: Random) -> Case:
    """Some changes of the words, numbers, names and lines of a sheet."""
    data = case.data
    for _ in range(chance.choice((1, 1, 1, 2, 2, 4))):
        lines = data.split(b"\n")
        i = chance.randrange(len(lines))
        kind = chance.randrange(20)
        if kind < 7:
            data = _replaced(rb"\d+", data, chance.choice(_NUMBERS), chance)
        elif kind < 9:
            data = _replaced(rb"\d+:\d+:\d+", data, chance.choice(_NUMBERS), chance)
        elif kind < 11:
            data = _replaced(rb'"[^"]*"', data, b'"' + chance.choice(_NAMES) + b'"', chance)
        elif kind < 13:
            data = _replaced(rb"[A-Za-z_]{3,}", data, chance.choice(_WORDS), chance)
        elif kind == 13:
            data = b"\n".join([*lines[:i], *lines[i + 1 :]])
        elif kind == 14:
            data = b"\n".join([*lines[:i], lines[i], *lines[i:]])
        elif kind == 15:
            j = chance.randrange(len(lines))
            lines[i], lines[j] = lines[j], lines[i]
            data = b"\n".join(lines)
        elif kind == 16:
            data = b"\n".join([*lines[:i], b" ".join(chance.choices(_WORDS, k=3)), *lines[i:]])
        elif kind == 17:
            raw = bytearray(data)
            change_bytes(raw, (), chance)
            data = bytes(raw)
        elif kind == 18:
            data = chance.choice((b"\xef\xbb\xbf" + data, data.replace(b"\n", b"\r"), data.replace(b'"', b"")))
        else:
            data = b"\n".join(
                [*lines[:i], *[lines[i]] * chance.choice((3, 100, 12_000 // (len(lines[i]) + 1))), *lines[i:]]
            )
    return case._replace(data=data)


def _replaced(pattern: bytes, data: bytes, new: bytes, chance: Random) -> bytes:
    """One of the matches replaced."""
    found = list(re.finditer(pattern, data[:20_000]))
    if not found:
        return data
    match = chance.choice(found)
    return data[: match.start()] + new + data[match.end() :]
