"""Discs as seeds, and changes that know what a directory record and a system use entry are."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Final

from writers.aaip import acl, als, components
from writers.discs import (
    DIRECTORY,
    FILE,
    FOLDER,
    LINK,
    MULTI_EXTENT,
    SECTOR,
    TERMINATOR,
    XA,
    Disc,
    Folder,
    both_32,
    ce,
    cl,
    component,
    entry,
    er,
    marker,
    nm,
    numbered_blocks,
    pl,
    pn,
    px,
    record,
    relocated,
    rock,
    sl,
    sp,
    tf,
    utf16,
    zf,
    zisofs,
)

from .mutate import NUMBERS, Case, number

TEXT: Final = b"text that compresses " * 3000
_HEAD: Final = 33
"""Bytes of a record before its identifier."""


def _filled(root: Folder, prefix: bytes = b"") -> None:
    """Files of some kinds in a directory, and a few below it."""
    disc = root.disc
    root.file(prefix + b"A.TXT;1", b"hello")
    block = disc.store(numbered_blocks(3))
    root.add(record(prefix + b"BIG.BIN;1", block, 2 * SECTOR, flags=MULTI_EXTENT))
    root.add(record(prefix + b"BIG.BIN;1", block + 2, SECTOR - 9))
    root.add(record(prefix + b"GAPS.BIN;1", block, SECTOR, unit=1, gap=1))
    root.add(record(prefix + b"XAR.BIN;1", block, SECTOR, xar=1))
    folder = root.directory(prefix + b"DIR")
    folder.file(b"INSIDE.;1", b"inside")
    deeper = folder.directory(b"DEEPER")
    for i in range(30):
        deeper.file(b"F%02d.DAT;2" % i, b"%d" % i)


def _plain() -> bytes:
    disc = Disc(sectors=2)
    _filled(disc.root)
    return disc.build()


def _small_blocks(size: int) -> bytes:
    disc = Disc(sectors=2, block_size=size)
    _filled(disc.root)
    return disc.build()


def _joliet() -> bytes:
    disc = Disc(sectors=2)
    _filled(disc.root)
    other = disc.folder(None, sectors=2)
    other.file(utf16("Grüße 漢字.txt;1"), b"joliet")
    below = other.directory(utf16("Ordner"))
    below.file("\U0001f600.bin".encode("utf-16-be"), b"pair")
    below.file(b"\xd8\x00\x00a", b"unpaired")
    return disc.build(disc.primary(), disc.joliet(other), TERMINATOR)


def _rocky() -> bytes:
    """Rock Ridge of all kinds: links, devices, continuation areas, a directory that was moved."""
    disc = Disc(rock=True, sectors=2)
    root = disc.root
    root.file(b"A.;1", b"hello", system_use=rock(b"a name in lower case", nlink=2, serial=7))
    root.file(b"B.;1", system_use=px(LINK) + nm(b"link") + sl(component(b"dir"), component(b"a")))
    root.file(b"C.;1", system_use=px(0o020666) + nm(b"tty") + pn(5, 1))
    more = nm(b"y" * 90, 1) + nm(b"z" * 90) + tf(0x8F, *[b"2001010203040500\0"] * 5)
    block = disc.store(more + ce(disc.next, 0, len(more)))
    root.file(b"D.;1", b"long", system_use=px(FILE) + nm(b"x" * 90, 1) + ce(block, 0, len(more)))
    moved = disc.folder(root, own_use=px(FOLDER), parent_use=px(FOLDER) + pl(root.extent))
    moved.file(b"DEEP.;1", b"deep", system_use=rock(b"deep"))
    root.file(b"E.;1", system_use=rock(b"was moved", FOLDER) + cl(moved.extent))
    rr = root.rock_directory(b"RR_MOVED", b"rr_moved")
    rr.add(record(b"E", moved.extent, moved.size, flags=DIRECTORY, system_use=rock(b"e", FOLDER) + relocated()))
    sparse = zisofs(TEXT)
    root.file(b"Z.;1", sparse, system_use=rock(b"zipped") + zf(len(TEXT)))
    root.file(b"X.;1", b"al", system_use=rock(b"attributed") + attributes(Random(1)))
    return disc.build()


def _attributed() -> bytes:
    """Files with attributes and access control lists, as libisofs announces them."""
    disc = Disc(root_use=sp() + er() + er(b"AAIP_0200") + px(FOLDER), sectors=2)
    short = acl((1, 6), (2, 4, 1000), (4, 4), (16, 4), (32, 4))
    own = b"\x16\x2c\1\5\x34\x54\x64"
    for i, parts in enumerate(
        (
            (b"\3comment", b"text", b"\5t", b"trusted"),
            (b"", own),
            (b"\2posix_acl_access", short),
            (b"\2posix_acl_default", short, b"\4ca", b"inner"),
            (b"\3long", b"x" * 600),
        )
    ):
        raw = als(components(*parts))
        use = raw if len(raw) < 120 else ce(disc.store(raw), 0, len(raw))
        disc.root.file(b"A%d.;1" % i, b"data", system_use=rock(b"a%d" % i) + use)
    folder = disc.root.rock_directory(b"D", b"d")
    folder.file(b"B.;1", b"b", system_use=rock(b"b") + als(components(b"\3n", b"v")))
    return disc.build()


def _with_xa() -> bytes:
    use = XA + sp(14) + er() + px(FOLDER)
    disc = Disc(root_use=use)
    disc.root.file(b"A.;1", b"xa", system_use=XA + rock(b"with xa"))
    return disc.build(disc.primary(xa=True), TERMINATOR)


def _compressed() -> bytes:
    disc = Disc(rock=True)
    for i, (version, log2) in enumerate([(1, 15), (1, 17), (2, 15), (2, 20)]):
        data = zisofs(TEXT, version=version, log2=log2)
        mark = zf(len(TEXT), log2=log2, header=16 if version == 1 else 24, algorithm=b"pz" if version == 1 else b"PZ")
        disc.root.file(b"Z%d.;1" % i, data, system_use=rock(b"z%d" % i) + mark)
    return disc.build()


def boot_catalogue(chance: Random, block: int) -> bytes:
    """A boot catalogue of some entries, its checksum right."""
    head = bytearray(struct.pack("<BBH24sHBB", 1, chance.choice((0, 1, 2, 0xEF)), 0, b"ID", 0, 0x55, 0xAA))
    head[28:30] = (-sum(struct.unpack("<16H", head)) & 0xFFFF).to_bytes(2, "little")

    def one() -> bytes:
        media, count = chance.choice((0, 1, 2, 3, 4, 0x24, 255)), chance.choice((0, 1, 4, 65535))
        where = chance.choice((block, block, 0, 17, 0xFFFFFFFF))
        return struct.pack("<BBHBBHI20x", chance.choice((0x88, 0)), media, 0x7C0, 0, 0, count, where & 0xFFFFFFFF)

    out = bytes(head) + one()
    for i in range(chance.randrange(4)):
        n = chance.choice((1, 2, 65535))
        out += struct.pack("<BBH28x", 0x90 if i < 2 else 0x91, chance.choice((0, 0xEF)), n) + one()
        out += (b"\x44" + bytes((0x20 * chance.randrange(2),))).ljust(32, b"\1") * chance.randrange(3)
    return out


def _bootable() -> bytes:
    disc = Disc()
    image = disc.store(b"\xeb\x3c\x90boot".ljust(1474560 // 72, b"\0"))
    disc.root.file(b"BOOT.IMG;1", extent=image, size=2048)
    catalogue = disc.store(boot_catalogue(Random(3), image))
    disc.root.file(b"BOOT.CAT;1", extent=catalogue, size=2048)
    boot = (b"\0CD001\1" + b"EL TORITO SPECIFICATION".ljust(64, b"\0") + struct.pack("<I", catalogue)).ljust(
        2048, b"\0"
    )
    return disc.build(disc.primary(), boot, TERMINATOR)


def _high_sierra() -> bytes:
    disc = Disc(sectors=2)
    _filled(disc.root)
    return disc.build_high_sierra()


def tag(image: bytearray, kind: str, at: int, more: str = "") -> None:
    """Puts a checksum of libisofs into a sector: of what is before it."""
    md5 = hashlib.md5(image[: at * SECTOR]).hexdigest()
    line = f"libisofs_{kind}checksum_tag_v1 pos={at} range_start=0 range_size={at}{more} md5={md5}"
    summed_up(image, at, line.encode())


def summed_up(image: bytearray, at: int, line: bytes) -> None:
    """Writes the line of a tag and its own sum."""
    line += b" self=" + hashlib.md5(line).hexdigest().encode() + b"\n"
    image[at * SECTOR : (at + 1) * SECTOR] = line[:SECTOR].ljust(SECTOR, b"\0")


def _tagged() -> bytes:
    image = bytearray(_plain() + bytes(4 * SECTOR))
    last = len(image) // SECTOR - 2
    tag(image, "sb_", 18, f" next={last - 1}")
    tag(image, "tree_", last - 1, f" next={last}")
    tag(image, "", last)
    return bytes(image)


def change_tags(image: bytearray, chance: Random) -> None:
    """Another number in one of the tags, its own sum made right."""
    places = [at // SECTOR for at in range(0, len(image), SECTOR) if image[at : at + 9] == b"libisofs_"]
    if places:
        at = chance.choice(places)
        line = bytes(image[at * SECTOR : (at + 1) * SECTOR]).partition(b" self=")[0]
        numbers = list(re.finditer(rb"=(\d+) ", line))
        if numbers:
            found = chance.choice(numbers)
            new = b"%d" % number(chance, int(found[1]), len(image) // SECTOR)
            line = line[: found.start(1)] + new + line[found.end(1) :]
        summed_up(image, at, line)


def _many_descriptors() -> bytes:
    disc = Disc()
    _filled(disc.root)
    return disc.build(
        marker(b"CD001", 3), disc.primary(), disc.joliet(disc.root), disc.primary(kind=2, version=2), marker(b"BEA01"),
        marker(b"NSR02"), marker(b"TEA01"), TERMINATOR,
    )  # fmt: skip


KINDS: Final[dict[str, Callable[[], bytes]]] = {
    "plain": _plain,
    "512": lambda: _small_blocks(512),
    "1024": lambda: _small_blocks(1024),
    "joliet": _joliet,
    "rock": _rocky,
    "attributes": _attributed,
    "xa": _with_xa,
    "zisofs": _compressed,
    "boot": _bootable,
    "descriptors": _many_descriptors,
    "high sierra": _high_sierra,
    "tags": _tagged,
}


@cache
def disc(kind: str) -> bytes:
    """One of `KINDS`."""
    return KINDS[kind]()


# --- where structure lies -------------------------------------------------------------------------------------------


def directories(image: bytes, block_size: int = SECTOR) -> list[int]:
    """Byte positions of the sectors of directories, found from both roots."""
    found: list[int] = []
    todo = []
    for at in range(16 * SECTOR, min(24 * SECTOR, len(image) - SECTOR), SECTOR):
        if image[at + 1 : at + 6] == b"CD001" and image[at] in (1, 2):
            todo.append(image[at + 156 : at + 190])
    while todo and len(found) < 60:
        extent, size = struct.unpack_from("<I4xI", todo.pop(), 2)
        for place in range(extent * block_size, min(extent * block_size + size, len(image)), SECTOR):
            if place in found or place + SECTOR > len(image):
                continue
            found.append(place)
            for raw in records_of(image[place : place + SECTOR])[0]:
                if raw[25] & DIRECTORY and len(raw) > _HEAD and raw[33:34] not in (b"\0", b"\1"):
                    todo.append(raw)
                elif (at := raw.find(b"CL\x0c\1")) > 0:
                    todo.append(bytes(2) + raw[at + 4 : at + 12] + both_32(SECTOR) + bytes(16))
    return found


def records_of(sector: bytes) -> tuple[list[bytes], bytes]:
    """The records of a sector, and what is behind them."""
    found, at = [], 0
    while at < len(sector) and (length := sector[at]) >= _HEAD and at + length <= len(sector):
        found.append(bytes(sector[at : at + length]))
        at += length
    return found, bytes(sector[at:])


def cases(kind: str) -> list[Case]:
    """The disc of a kind as a seed: whose descriptors are hot, and whose directories are."""
    image = disc(kind)
    size = {"512": 512, "1024": 1024}.get(kind, SECTOR)
    places = directories(image, size)
    hot = (
        *(range(at, at + 900) for at in range(16 * SECTOR, 18 * SECTOR, SECTOR)),
        *(range(at, at + 400) for at in places),
        *(range(24 * SECTOR, len(image)) for _ in range(2)),
    )
    vital = (*(range(at, at + 7) for at in range(16 * SECTOR, 18 * SECTOR, SECTOR)),)
    vital += (range(16 * SECTOR + 128, 16 * SECTOR + 132), range(16 * SECTOR + 156, 16 * SECTOR + 190))
    if kind == "high sierra":
        places = [at for at in range(24 * SECTOR, len(image), SECTOR) if image[at + 32 : at + 34] == b"\1\0"]
        hot = (*hot[:2], *(range(at, at + 400) for at in places))
        return [Case(image, hot, (range(16 * SECTOR, 16 * SECTOR + 214), range(17 * SECTOR, 17 * SECTOR + 16)))]

    def mend(data: bytearray) -> None:
        for place in places:
            _mend_sector(data, place)

    return [Case(image, hot, vital, mend=mend)]


def _mend_sector(data: bytearray, place: int) -> None:
    """Makes both halves of the numbers of a sector's records agree."""
    at = place
    end = min(place + SECTOR, len(data))
    while at + _HEAD < end and data[at] >= _HEAD:
        for field in (at + 2, at + 10):
            data[field + 4 : field + 8] = data[field : field + 4][::-1]
        at += data[at]


def change_records(image: bytearray, chance: Random) -> None:
    """One change of the records of a directory, which stay a chain of records."""
    places = directories(bytes(image[: 600 * SECTOR]))
    if not places:
        return
    place = chance.choice(places)
    found, _ = records_of(bytes(image[place : place + SECTOR]))
    if not found:
        return
    i = chance.randrange(len(found))
    kind = chance.randrange(16)
    if kind < 5:
        found[i] = with_use(found[i], image, places, chance)
    elif kind < 8:
        found[i] = _with_place(found[i], image, places, chance)
    elif kind == 8:
        found[i] = found[i][:25] + bytes((chance.choice((0, 1, 2, 4, 6, 0x80, 0x82, 0x84, 255)),)) + found[i][26:]
    elif kind == 9:
        found[i] = found[i][:26] + bytes(chance.choice((0, 1, 2, 255)) for _ in range(2)) + found[i][28:]
    elif kind == 10:
        found[i] = (
            found[i][:18] + bytes(chance.choice((0, 1, 12, 13, 31, 60, 99, 255)) for _ in range(7)) + found[i][25:]
        )
    elif kind == 11:
        found.insert(chance.randrange(len(found) + 1), found[i])
    elif kind == 12:
        del found[i]
    elif kind == 13:
        found.insert(chance.randrange(len(found) + 1), found.pop(i))
    else:
        found[i] = _renamed(found[i], chance)
    packed = b"".join(found)[:SECTOR]
    image[place : place + SECTOR] = packed.ljust(SECTOR, b"\0")


def _with_place(raw: bytes, image: bytearray, places: list[int], chance: Random) -> bytes:
    """Another extent, another size, or both."""
    extent, size = struct.unpack_from("<I4xI", raw, 2)
    if chance.random() < 0.6:
        last = len(image) // SECTOR
        extent = chance.choice((0, 16, chance.choice(places) // SECTOR, last - 1, last, chance.choice(NUMBERS)))
    if chance.random() < 0.6:
        size = number(chance, size, len(image))
    return raw[:2] + both_32(extent & 0xFFFFFFFF) + both_32(size & 0xFFFFFFFF) + raw[18:]


_NAMES: Final = (
    *(b"\0", b"\1", b"", b".", b"..", b"/", b"A/B", b"A\0B", b";1", b".;1", b"A.;1", b"A.TXT;1", b"\xff\xfe", b"\n.;1"),
    *(b"A.TXT;2", b"A.TXT;65536", b"A" * 200, b"\xd8\x00", b"\0.\0.", b"\0/", b"CON", b"._A.TXT", b"\2", b" "),
)


def _renamed(raw: bytes, chance: Random) -> bytes:
    name = chance.choice(_NAMES)
    use = use_of(raw)
    return sized(raw[:_HEAD], name, use)


def use_of(raw: bytes) -> bytes:
    """The system use field of a record."""
    n = raw[32]
    return raw[_HEAD + n + (n % 2 == 0) :]


def sized(head: bytes, name: bytes, use: bytes) -> bytes:
    """A record with another identifier and system use field, as long as there is room."""
    body = name + b"\0" * (len(name) % 2 == 0) + use
    body = body[: 254 - _HEAD]
    body += b"\0" * ((_HEAD + len(body)) % 2)
    return bytes((_HEAD + len(body),)) + head[1:32] + bytes((min(len(name), 221),)) + body


# --- system use entries ---------------------------------------------------------------------------------------------


def attributes(chance: Random) -> bytes:
    """AL entries: names and values in pairs, an ACL or user attributes, some of it wrong."""
    pairs = []
    for _ in range(chance.choice((1, 1, 2, 5))):
        name = chance.choice(
            (b"", b"\3name", b"\2x", b"\5t", b"\4ca", b"\1\3odd", b"user.whole", b"\3", b"\xff", b"\3a\0b")
        )
        if name:
            value = chance.randbytes(chance.choice((0, 1, 20, 60)))
        else:
            value = bytes(chance.choice((0x17, 0x36, 0x24, 0x55, 0x86, 0xA7, 0xA8, 0xCF, 0x01, 0xF8)) for _ in range(4))
            value += bytes(chance.choice((0, 1, 2, 3, 4, 127, 128, 255)) for _ in range(chance.randrange(5)))
        pairs += [name, value]
    if chance.random() < 0.1:
        pairs.pop()
    parts = b""
    for text in pairs:
        cut = chance.randrange(len(text) + 1) if chance.random() < 0.2 else 0
        parts += (bytes((1, cut)) + text[:cut] if cut else b"") + bytes((0, len(text) - cut)) + text[cut:]
    out = b""
    while parts:
        n = min(len(parts), chance.choice((20, 100, 250)))
        out += entry(b"AL", bytes((n < len(parts),)) + parts[:n])
        parts = parts[n:]
    return out


def an_entry(image: bytearray, places: list[int], chance: Random) -> bytes:
    """A system use entry that a reader knows, or should pass over."""
    last = len(image) // SECTOR
    block = chance.choice((chance.choice(places) // SECTOR, last - 1, last, 24, 25, 26, 0, 16, chance.choice(NUMBERS)))
    block &= 0xFFFFFFFF
    text = chance.choice((b"name", b"", b"/", b"..", b".", b"a\0b", b"x" * 100, b"\xff\n", b"A.TXT"))
    some = chance.choice(NUMBERS) & 0xFFFFFFFF
    mode = chance.choice((FILE, FOLDER, LINK, 0, 0o10644, 0o20644, 0o60644, 0o140777, 0o170000, 0xFFFFFFFF, 0o107777))
    made = chance.choice(
        (
            lambda: nm(text, chance.choice((0, 0, 1, 2, 4, 7, 32))),
            lambda: sl(
                *[component(text, chance.choice((0, 1, 2, 4, 8, 16, 255)))] * chance.choice((1, 2)), flags=some & 1
            ),
            lambda: sl(component(text, 0, chance.randrange(256))),
            lambda: px(mode, chance.choice((0, 1, 2, some)), some, some, chance.choice((None, 1, 7, some))),
            lambda: pn(some, chance.choice(NUMBERS) & 0xFFFFFFFF),
            lambda: tf(chance.randrange(256), chance.randbytes(chance.randrange(60))),
            lambda: tf(0x8E, *[chance.choice((b"9999123123595999\x30", b"0" * 16 + b"\0", bytes(17), b"x" * 17))] * 3),
            lambda: ce(block, chance.choice((0, 0, 40, 2047, 2048, some)), chance.choice((28, 200, 2048, 65536, some))),
            lambda: cl(block),
            lambda: pl(block),
            relocated,
            lambda: zf(
                some, log2=chance.choice((15, 16, 17, 14, 20, 255)), algorithm=chance.choice((b"pz", b"PZ", b"XZ"))
            ),
            lambda: entry(b"SF", both_32(some) + both_32(some) + bytes((chance.randrange(256),))),
            lambda: attributes(chance),
            lambda: sp(chance.choice((0, 14, 255))),
            er,
            lambda: entry(b"ST"),
            lambda: entry(b"PD", bytes(3)),
            lambda: entry(b"ES", b"\1"),
            lambda: entry(b"RR", b"\xff"),
            lambda: entry(b"AA", chance.randbytes(10)),
            lambda: entry(b"AS", chance.randbytes(chance.choice((1, 6, 30)))),
            lambda: XA,
            lambda: b"ARCHIMEDES".ljust(32, b"\1"),
            lambda: entry(chance.randbytes(2), chance.randbytes(5), length=chance.randrange(256)),
        )
    )()
    if chance.random() < 0.1:
        made = made[:2] + bytes((chance.choice((0, 1, 3, 4, 5, len(made) - 1, len(made) + 1, 255)) & 255,)) + made[3:]
    return made[:255]


def with_use(raw: bytes, image: bytearray, places: list[int], chance: Random) -> bytes:
    """The record with entries added, taken away, or all others."""
    use = use_of(raw)
    kind = chance.randrange(4)
    new = b"".join(an_entry(image, places, chance) for _ in range(chance.choice((1, 1, 2, 4))))
    if kind == 0:
        use = new
    elif kind == 1:
        use += new
    elif kind == 2:
        use = new + use
    else:  # in the middle: most begin with 36 bytes of PX
        use = use[:36] + new + use[36:]
    n = raw[32]
    return sized(raw[:_HEAD], raw[_HEAD : _HEAD + n], use)
