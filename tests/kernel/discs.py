"""Discs of our own, the same bytes each time, so that the comparison runs where there are no others."""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Callable
from typing import Final

from writers.discs import (
    ASSOCIATED,
    FOLDER,
    HIDDEN,
    LINK,
    MULTI_EXTENT,
    SECTOR,
    TERMINATOR,
    Disc,
    Folder,
    cl,
    component,
    entry,
    er,
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


def plain() -> bytes:
    """Names of all kinds without any extension, hidden and associated files, sections, an extended attribute record."""
    disc = Disc(sectors=2)
    root = disc.root
    for name in (
        *(b"A.TXT;1", b"NODOT;1", b"DOTEND.;1", b"lower.txt;1", b"NOVER.TXT", b"SLASH/X.;1", b"VER.TXT;3", b"TWO.;2"),
        *(b"A;1;1", b"A;B.C;12", b"NUL\0X.;1", b"\xe9T\xe9.TXT;1", b"BACK\\S.;1", b"TRAIL..;1", b"_UNDER.;1"),
    ):
        root.file(name, b"content of " + name)
    root.file(b"HIDDEN.TXT;1", b"hidden", flags=HIDDEN)
    root.file(b"FORK.TXT;1", b"resource fork", flags=ASSOCIATED)
    root.file(b"FORK.TXT;1", b"data fork")
    root.file(b"ALONE.TXT;1", b"an associated file alone", flags=ASSOCIATED)
    root.file(b"BOTH.TXT;1", b"both", flags=ASSOCIATED | HIDDEN)
    data = numbered_blocks(5)
    at = disc.store(data)
    root.file(b"PIECES.DAT;1", extent=at, size=3 * SECTOR, flags=MULTI_EXTENT)
    root.file(b"PIECES.DAT;1", extent=at + 3, size=2 * SECTOR - 100)
    root.add(record(b"XAR.DAT;1", disc.store(b"x" * SECTOR + b"behind the record"), 17, xar=1))
    root.file(b"JUNK.DAT;1", b"junk in the high byte", size=0x7F00_0015)
    root.file(b"PAST.DAT;1", extent=9_000_000, size=5000)
    root.file(b"EMPTY.;1", extent=0, size=0)
    root.file(b"CUT.DAT;1", numbered_blocks(3), size=40 * SECTOR)
    below = root.directory(b"FOLDER")
    below.file(b"UPPER.TXT;1", b"below")
    below.directory(b"MORE.DIR").file(b"DEEP.;1", b"deep", time=bytes((70, 1, 1, 0, 0, 0, 0)))
    root.directory(b"SECRET", flags=2 | HIDDEN).file(b"IN.TXT;1", b"in a hidden directory")
    for name, time in (
        (b"EAST.;1", bytes((99, 7, 15, 12, 34, 56, 36))),
        (b"WEST.;1", bytes((99, 7, 15, 12, 34, 56, 256 - 20))),
        (b"ZONE.;1", bytes((99, 7, 15, 12, 34, 56, 100))),
        (b"LATE.;1", bytes((137, 12, 31, 23, 59, 59, 0))),
    ):
        root.file(name, b"time", time=time)
    return disc.build()


def rock_ridge() -> bytes:
    """Rock Ridge: owners, modes, links, devices, times, a relocated directory, long names."""
    disc = Disc(rock=True, sectors=3)
    root = disc.root
    root.file(b"A.TXT;1", b"hello", system_use=rock(b"Mixed Case.TXT", uid=1000, gid=100))
    root.file(b"B.TXT;1", b"suid", system_use=rock(b"suid", stat.S_IFREG | 0o4755))
    root.file(b"C.TXT;1", b"no NM", system_use=px(stat.S_IFREG | 0o600))
    root.file(b"D.TXT;1", b"no PX", system_use=nm(b"name only..."))
    root.file(b"E.TXT;1", b"semi", system_use=rock(b"semi;1"))
    root.file(b"F.TXT;1", b"pieces", system_use=px(stat.S_IFREG | 0o644) + nm(b"two ", 1) + nm(b"pieces"))
    root.file(b"G.TXT;1", b"bytes", system_use=rock(b"\xe9t\xe9"))
    root.file(b"H.TXT;1", b"hidden", flags=HIDDEN, system_use=rock(b"hidden"))
    root.file(b"I.TXT;1", b"fork", flags=ASSOCIATED, system_use=rock(b"fork"))
    root.file(b"I.TXT;1", b"data", system_use=rock(b"fork"))
    for name, *parts in (
        (b"relative", component(b"folder"), component(flags=4), component(b"suid")),
        (b"absolute", component(flags=8), component(b"usr"), component(b"share")),
        (b"here", component(flags=2), component(b"x y")),
    ):
        root.file(name.upper() + b".;1", system_use=px(LINK) + nm(name) + sl(*parts))
    root.file(b"CHR.;1", system_use=rock(b"tty", stat.S_IFCHR | 0o620) + pn(5, 1))
    root.file(b"BLK.;1", system_use=rock(b"disk", stat.S_IFBLK | 0o660) + pn(0, 0x0801))
    root.file(b"FIFO.;1", system_use=rock(b"fifo", stat.S_IFIFO | 0o600))
    data = disc.store(b"linked")
    for name in (b"one", b"two"):
        use = px(stat.S_IFREG | 0o644, 2, serial=77) + nm(name)
        root.file(name.upper() + b".;1", extent=data, size=6, system_use=use)
    stamps = (bytes((100, 1, 2, 3, 4, 5, 0)), bytes((101, 2, 3, 4, 5, 6, 4)), bytes((102, 3, 4, 5, 6, 7, 0)))
    root.file(b"TIMES.;1", b"times", system_use=rock(b"times") + tf(0x0E, *stamps))
    long_stamp = b"2001020304050607\0"
    root.file(b"LONG.;1", b"times", system_use=rock(b"long times") + tf(0x82, long_stamp))
    folder = root.rock_directory(b"FOLDER", b"folder", mode=stat.S_IFDIR | 0o700)
    folder.file(b"IN.TXT;1", b"in", system_use=rock(b"in.txt"))
    moved = root.rock_directory(b"RR_MOVED", b"rr_moved")
    far = disc.folder(moved, own_use=px(FOLDER), parent_use=px(FOLDER) + pl(folder.extent))
    far.file(b"FAR.TXT;1", b"far", system_use=rock(b"far.txt"))
    moved.add(record(b"FAR", far.extent, far.size, flags=2, system_use=rock(b"far", FOLDER) + relocated()))
    folder.file(b"FAR.;1", system_use=rock(b"far", FOLDER) + cl(far.extent))
    root.file(b"Z.TXT;1", b"long", system_use=rock(b"n" * 120))
    return disc.build()


def _joliet_tree(disc: Disc) -> Folder:
    root = disc.folder(None, sectors=3)
    for name in (
        *("Long name with Capitals.txt;1", "noversion.txt...", "dots...;1", "two.;2", "semi;x;1", "TWO.TXT;1"),
        *("Grüße.txt;1", "漢字.txt;1", "€uro.txt;1", "Ж.txt;1", "astral \U0001f600.txt;1", "a:b*c?.txt;1"),
    ):
        root.file(utf16(name), name.encode())
    root.file(utf16("hidden.txt;1"), b"hidden", flags=HIDDEN)
    root.file(utf16("fork.txt;1"), b"fork", flags=ASSOCIATED)
    root.file(utf16("fork.txt;1"), b"data")
    root.directory(utf16("Folder.")).file(utf16("In.txt;1"), b"in")
    return root


def joliet() -> bytes:
    """Joliet: long and foreign names, hidden and associated files."""
    disc = Disc()
    disc.root.file(b"PLAIN.TXT;1", b"plain")
    tree = _joliet_tree(disc)
    return disc.build(disc.primary(), disc.joliet(tree), TERMINATOR)


def three_trees() -> bytes:
    """Rock Ridge, Joliet and plain names of the same disc."""
    disc = Disc(rock=True)
    at = disc.store(b"hello")
    disc.root.file(b"README.TXT;1", extent=at, size=5, system_use=rock(b"Read Me (rock)"))
    root = disc.folder(None)
    root.file(utf16("Read Me (Joliet);1"), extent=at, size=5)
    return disc.build(disc.primary(), disc.joliet(root), TERMINATOR)


def uncertain_rock_ridge() -> bytes:
    """SP without ER, with and without a Joliet tree beside it is another choice; here without."""
    disc = Disc(root_use=sp() + px(FOLDER))
    disc.root.file(b"A.TXT;1", b"a", system_use=rock(b"rock name"))
    return disc.build()


def uncertain_beside_joliet() -> bytes:
    """SP without ER, and a Joliet tree."""
    disc = Disc(root_use=sp() + px(FOLDER))
    disc.root.file(b"A.TXT;1", b"a", system_use=rock(b"rock name"))
    root = disc.folder(None)
    root.file(utf16("joliet name;1"), b"a")
    return disc.build(disc.primary(), disc.joliet(root), TERMINATOR)


def extended_architecture() -> bytes:
    """CD-ROM XA attributes before the Rock Ridge entries."""
    use = bytes((0, 0, 0, 0, 0x0D, 0x55)) + b"XA" + bytes(6)
    disc = Disc(root_use=use + sp(14) + er() + px(FOLDER))
    disc.root.file(b"A.TXT;1", b"a", system_use=use + rock(b"behind xa"))
    return disc.build()


def acorn() -> bytes:
    """Acorn's 32 bytes of system use."""

    def use(load: int, attributes: int = 0) -> bytes:
        return b"ARCHIMEDES" + struct.pack("<III", load, 0, attributes) + bytes(10)

    disc = Disc()
    disc.root.file(b"TYPED.;1", b"typed", system_use=use(0xFFFF_FD00))
    disc.root.file(b"UNTYPED.;1", b"untyped", system_use=use(0x1234_5678))
    disc.root.file(b"_RUN.;1", b"run", system_use=use(0xFFFF_EB00, 0x100))
    disc.root.file(b"OTHER.;1", b"other", system_use=bytes(32))
    disc.root.directory(b"_APP", system_use=use(0xFFFF_DD00, 0x100)).file(b"X.;1", b"x")
    return disc.build()


def _stored(block: bytes) -> bytes:
    """A zlib stream that every zlib would write alike."""
    size = struct.pack("<HH", len(block), 0xFFFF - len(block))
    return b"\x78\x01\x01" + size + block + struct.pack(">I", zlib.adler32(block))


def compressed() -> bytes:
    """Zisofs of version 1."""
    data = numbered_blocks(60)
    stored = zisofs(data, compress=_stored)
    disc = Disc(rock=True)
    disc.root.file(b"Z.DAT;1", stored, system_use=rock(b"zisofs.dat") + zf(len(data)))
    disc.root.file(b"P.DAT;1", data, system_use=rock(b"plain.dat"))
    return disc.build()


def small_blocks(block_size: int) -> Callable[[], bytes]:
    """Logical blocks of 512 or 1024 bytes."""

    def build() -> bytes:
        disc = Disc(block_size=block_size)
        disc.root.file(b"A.TXT;1", numbered_blocks(2))
        disc.root.directory(b"FOLDER").file(b"B.TXT;1", b"b")
        return disc.build()

    return build


def sessions() -> bytes:
    """Two sessions; the descriptor in sector 16 is the first one's."""
    disc = Disc()
    disc.root.file(b"FIRST.TXT;1", b"first")
    first = disc.primary()
    start = disc.reserve(18 * SECTOR)
    root = disc.folder(None)
    root.file(b"FIRST.TXT;1", b"first, changed")
    root.file(b"SECOND.TXT;1", b"second")
    disc.put(start + 16, disc.primary(root=disc.root_record(root)))
    disc.put(start + 17, TERMINATOR)
    return disc.build(first, TERMINATOR)


def joliet_first() -> bytes:
    """The Joliet descriptor before the primary one."""
    disc = Disc(rock=True)
    disc.root.file(b"README.TXT;1", b"r", system_use=rock(b"rock"))
    root = disc.folder(None)
    root.file(utf16("joliet;1"), b"j")
    return disc.build(disc.joliet(root), disc.primary(), TERMINATOR)


def apple() -> bytes:
    """Resource forks: Apple's entry in both records, and a file without it."""
    disc = Disc(rock=True)
    finder = entry(b"AA", b"TEXTttxt\x40\0", version=2)
    for name, use in ((b"told", finder), (b"untold", b"")):
        disc.root.file(name.upper() + b".;1", b"fork of " + name, flags=ASSOCIATED, system_use=use + rock(name))
        disc.root.file(name.upper() + b".;1", b"data of " + name, system_use=use + rock(name))
    return disc.build()


def high_sierra() -> bytes:
    """High Sierra: two levels, hidden and associated files, an extended attribute record, two sections."""
    disc = Disc()
    root = disc.root
    root.file(b"README.TXT;1", b"hello", system_use=rock(b"no Rock Ridge"))
    root.file(b"HIDDEN.TXT;1", b"hidden", flags=HIDDEN)
    root.file(b"FORK.;1", b"fork", flags=ASSOCIATED)
    root.file(b"NOT.A.FORK;2", b"data", time=bytes((99, 1, 2, 3, 4, 5, 6)))
    root.add(record(b"XAR.DAT;1", disc.store(b"x" * SECTOR + b"behind the record"), 17, xar=1))
    data = numbered_blocks(5)
    at = disc.store(data)
    root.file(b"PIECES.DAT;1", extent=at, size=3 * SECTOR, flags=MULTI_EXTENT)
    root.file(b"PIECES.DAT;1", extent=at + 3, size=2 * SECTOR - 100)
    root.directory(b"FOLDER", sectors=2).directory(b"MORE").file(b"DEEP.;1", b"deep")
    return disc.build_high_sierra()


OWN: Final[dict[str, Callable[[], bytes]]] = {
    "plain": plain,
    "rock-ridge": rock_ridge,
    "joliet": joliet,
    "three-trees": three_trees,
    "uncertain": uncertain_rock_ridge,
    "uncertain-joliet": uncertain_beside_joliet,
    "joliet-first": joliet_first,
    "xa": extended_architecture,
    "acorn": acorn,
    "zisofs": compressed,
    "block512": small_blocks(512),
    "block1024": small_blocks(1024),
    "sessions": sessions,
    "apple": apple,
    "high-sierra": high_sierra,
}
"""The discs by name; an image is called `own/NAME.iso`."""
