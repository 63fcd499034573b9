"""Writes ISO 9660 discs whose single records can be set freely, as no mastering program would let us.

Everything is laid out in the order in which it is asked for, so each place is known at once:

    disc = Disc(rock=True)
    disc.root.file(b"A.TXT;1", b"hello", system_use=px(0o100644) + nm(b"a.txt"))
    image = disc.build()

Layout of ECMA-119, SUSP 1.12 and RRIP 1.12; both-endian numbers have both halves unless a test sets one of them.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Callable, Sequence

from isofs import limits
from isofs.image.cache import BlockCache
from isofs.volume.iso9660 import open_iso9660
from isofs.volume.iso9660.volume import Iso9660
from isofs.volume.tree import Attributes, View, find, walk

SECTOR = 2048
TIME = bytes((99, 7, 15, 12, 34, 56, 0))
"""1999-07-15 12:34:56 UTC."""
TIME_NS = 932_042_096 * 1_000_000_000

HIDDEN, DIRECTORY, ASSOCIATED, MULTI_EXTENT = 1, 2, 4, 0x80

# --- numbers and records --------------------------------------------------------------------------------------------


def both_16(number: int) -> bytes:
    """7.2.3: little-endian, then big-endian."""
    return struct.pack("<H", number) + struct.pack(">H", number)


def both_32(number: int) -> bytes:
    """7.3.3: little-endian, then big-endian."""
    return struct.pack("<I", number) + struct.pack(">I", number)


def record(
    identifier: bytes,
    extent: int,
    size: int,
    *,
    flags: int = 0,
    time: bytes = TIME,
    xar: int = 0,
    unit: int = 0,
    gap: int = 0,
    sequence: int = 1,
    system_use: bytes = b"",
    length: int | None = None,
    identifier_length: int | None = None,
    big_extent: int | None = None,
    big_size: int | None = None,
) -> bytes:
    """A directory record. `length`, `identifier_length` and the big-endian halves can be set to something wrong."""
    n = len(identifier)
    body = identifier + (b"" if n & 1 else b"\0") + system_use
    body += b"\0" * ((33 + len(body)) & 1)
    told = 33 + len(body) if length is None else length
    return (
        bytes((told, xar))
        + struct.pack("<I", extent)
        + struct.pack(">I", extent if big_extent is None else big_extent)
        + struct.pack("<I", size)
        + struct.pack(">I", size if big_size is None else big_size)
        + time
        + bytes((flags, unit, gap))
        + both_16(sequence)
        + bytes((n if identifier_length is None else identifier_length,))
        + body
    )


# --- system use entries ---------------------------------------------------------------------------------------------


def entry(signature: bytes, payload: bytes = b"", *, version: int = 1, length: int | None = None) -> bytes:
    """A system use entry."""
    told = 4 + len(payload) if length is None else length
    return signature + bytes((told, version)) + payload


def sp(skip: int = 0) -> bytes:
    return entry(b"SP", b"\xbe\xef" + bytes((skip,)))


def er(name: bytes = b"RRIP_1991A") -> bytes:
    return entry(b"ER", bytes((len(name), 0, 0, 1)) + name)


def ce(block: int, offset: int, size: int) -> bytes:
    return entry(b"CE", both_32(block) + both_32(offset) + both_32(size))


def px(mode: int, nlink: int = 1, uid: int = 0, gid: int = 0, serial: int | None = None) -> bytes:
    numbers = (mode, nlink, uid, gid) if serial is None else (mode, nlink, uid, gid, serial)
    return entry(b"PX", b"".join(both_32(number) for number in numbers))


def pn(high: int, low: int) -> bytes:
    return entry(b"PN", both_32(high) + both_32(low))


def nm(text: bytes, flags: int = 0) -> bytes:
    return entry(b"NM", bytes((flags,)) + text)


def component(text: bytes = b"", flags: int = 0, length: int | None = None) -> bytes:
    """A component of a link's target."""
    return bytes((flags, len(text) if length is None else length)) + text


def sl(*components: bytes, flags: int = 0) -> bytes:
    return entry(b"SL", bytes((flags,)) + b"".join(components))


def tf(flags: int, *stamps: bytes) -> bytes:
    return entry(b"TF", bytes((flags,)) + b"".join(stamps))


def cl(block: int) -> bytes:
    return entry(b"CL", both_32(block))


def pl(block: int) -> bytes:
    return entry(b"PL", both_32(block))


def relocated() -> bytes:
    return entry(b"RE")


def zf(size: int, *, log2: int = 15, header: int = 16, algorithm: bytes = b"pz", signature: bytes = b"ZF") -> bytes:
    """ZF of version 1, or of version 2 where the algorithm is in capital letters."""
    if algorithm.isupper():
        return entry(signature, algorithm + bytes((header // 4, log2)) + struct.pack("<Q", size), version=2)
    return entry(signature, algorithm + bytes((header // 4, log2)) + both_32(size))


XA = bytes((0, 0, 0, 0, 0x0D, 0x55)) + b"XA" + bytes(6)
"""CD-ROM XA attributes."""

FILE, FOLDER, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777


def rock(name: bytes, mode: int = FILE, **fields: int) -> bytes:
    """PX and NM, what every Rock Ridge record has."""
    return px(mode, **fields) + nm(name)


# --- zisofs ---------------------------------------------------------------------------------------------------------


def zisofs(
    data: bytes,
    *,
    version: int = 1,
    algorithm: int = 1,
    log2: int = 15,
    compress: Callable[[bytes], bytes] = zlib.compress,
    size: int | None = None,
    header: int | None = None,
    magic: bytes | None = None,
    pointers: Callable[[list[int]], list[int]] = list,
) -> bytes:
    """A zisofs file. A block of zeros has an empty range; `pointers` may change the table."""
    block = 1 << log2
    blocks = [data[i : i + block] for i in range(0, len(data), block)]
    stored = [b"" if not any(piece) else compress(piece) for piece in blocks]
    told = len(data) if size is None else size
    if version == 1:
        quarters, width, kind = (16 if header is None else header) // 4, 4, "<I"
        head = (magic or bytes.fromhex("37e45396c9dbd607")) + struct.pack("<IBB2x", told, quarters, log2)
    else:
        quarters, width, kind = (24 if header is None else header) // 4, 8, "<Q"
        head = (magic or bytes.fromhex("ef2255a1bc1b95a0")) + struct.pack(
            "<BBBBQ4x", 0, quarters, algorithm, log2, told
        )
    at = len(head) + width * (len(blocks) + 1)
    table = [at]
    for piece in stored:
        at += len(piece)
        table.append(at)
    return head + b"".join(struct.pack(kind, pointer) for pointer in pointers(table)) + b"".join(stored)


# --- volume descriptors ---------------------------------------------------------------------------------------------


def descriptor(
    root: bytes,
    *,
    kind: int = 1,
    version: int = 1,
    block_size: int = SECTOR,
    space_size: int = 0,
    escape: bytes = b"",
    volume: bytes = b"DISC",
    set_size: int = 1,
    sequence: int = 1,
    created: bytes = b"1999071512345600\0",
    xa: bool = False,
    path_tables: tuple[int, int] = (0, 0),
) -> bytes:
    """A primary or supplementary volume descriptor; `path_tables` are the blocks of types L and M."""
    raw = bytearray(SECTOR)

    def put(at: int, field: bytes) -> None:
        raw[at : at + len(field)] = field

    put(0, bytes((kind,)) + b"CD001" + bytes((version,)))
    put(8, b"SYSTEM".ljust(32))
    put(40, volume.ljust(32))
    put(80, both_32(space_size))
    put(88, escape)
    put(120, both_16(set_size))
    put(124, both_16(sequence))
    put(128, both_16(block_size))
    put(140, struct.pack("<I4x", path_tables[0]) + struct.pack(">I4x", path_tables[1]))
    put(156, root[:34])
    for at in (190, 318, 446, 574):
        put(at, b" " * 128)
    put(813, created)
    put(830, b"0" * 16 + b"\0")
    put(881, b"\1")
    if xa:
        put(1024, b"CD-XA001")
    return bytes(raw)


def high_sierra_descriptor(root: bytes, *, block_size: int = SECTOR, space_size: int = 0, path_table: int = 0) -> bytes:
    """The volume descriptor of High Sierra; times without a zone, `root` as such records are."""
    raw = bytearray(SECTOR)

    def put(at: int, field: bytes) -> None:
        raw[at : at + len(field)] = field

    put(0, both_32(16) + b"\1CDROM\1")
    put(16, b"SYSTEM".ljust(32))
    put(48, b"SIERRA".ljust(32))
    put(88, both_32(space_size))
    put(128, both_16(1))
    put(132, both_16(1))
    put(136, both_16(block_size))
    put(140, both_32(0) + struct.pack("<I", path_table))
    put(180, root[:34])
    for at, text in ((214, b"SET"), (342, b"PUBLISHER"), (470, b"PREPARER"), (598, b"APPLICATION")):
        put(at, text.ljust(128))
    put(726, b" " * 64)
    put(790, b"1987010203040506" + b"0" * 48)
    put(854, b"\1")
    return bytes(raw)


def high_sierra_record(raw: bytes) -> bytes:
    """A record in the form of High Sierra: the flags in place of the time's zone."""
    return raw[:24] + raw[25:26] + b"\0" + raw[26:]


def marker(identifier: bytes, kind: int = 0) -> bytes:
    """A sector with a standard identifier and nothing else."""
    return (bytes((kind,)) + identifier + b"\1").ljust(SECTOR, b"\0")


TERMINATOR = marker(b"CD001", 255)


# --- discs ----------------------------------------------------------------------------------------------------------


class Folder:
    """A directory being written. Its size is set when it is made, so its place and those behind it are known."""

    def __init__(self, disc: Disc, sectors: int, size: int | None = None) -> None:
        self.disc = disc
        self.extent = disc.reserve(SECTOR * sectors)
        self.room = SECTOR * sectors
        self.size = self.room if size is None else size
        self.data = bytearray()

    @property
    def place(self) -> int:
        """Byte position of the directory."""
        return self.extent * self.disc.block_size

    def raw(self, data: bytes) -> int:
        """Adds bytes as they are, and gives their position on the disc."""
        at = len(self.data)
        self.data += data
        if len(self.data) > self.room:
            raise ValueError("more records than sectors")
        return self.place + at

    def pad(self) -> None:
        """Begins a new sector."""
        self.data += bytes(-len(self.data) % SECTOR)

    def add(self, raw: bytes) -> int:
        """Adds a record, in the next sector if it does not fit into this one. Gives its position on the disc."""
        if len(self.data) % SECTOR + len(raw) > SECTOR:
            self.pad()
        return self.raw(raw)

    def file(
        self,
        identifier: bytes,
        data: bytes = b"",
        *,
        flags: int = 0,
        time: bytes = TIME,
        sequence: int = 1,
        system_use: bytes = b"",
        extent: int | None = None,
        size: int | None = None,
    ) -> int:
        """Stores a file and adds its record. Gives the record's position."""
        at = self.disc.store(data) if extent is None else extent
        n = len(data) if size is None else size
        return self.add(record(identifier, at, n, flags=flags, time=time, sequence=sequence, system_use=system_use))

    def directory(
        self,
        identifier: bytes,
        *,
        sectors: int = 1,
        system_use: bytes = b"",
        own_use: bytes = b"",
        parent_use: bytes = b"",
        flags: int = DIRECTORY,
    ) -> Folder:
        """Adds a directory with its own two records."""
        child = self.disc.folder(self, sectors=sectors, own_use=own_use, parent_use=parent_use)
        self.add(record(identifier, child.extent, child.size, flags=flags, system_use=system_use))
        return child

    def rock_directory(self, identifier: bytes, name: bytes, *, mode: int = FOLDER, sectors: int = 1) -> Folder:
        """Adds a directory with Rock Ridge entries."""
        return self.directory(
            identifier, sectors=sectors, system_use=rock(name, mode), own_use=px(mode), parent_use=px(FOLDER)
        )


class Disc:
    """A disc being written."""

    def __init__(
        self,
        *,
        rock: bool = False,
        root_use: bytes | None = None,
        block_size: int = SECTOR,
        sectors: int = 1,
        bare_root: bool = False,
    ) -> None:
        self.block_size = block_size
        self.pieces: list[tuple[int, bytes]] = []
        self.folders: list[Folder] = []
        self._next = 24 * SECTOR
        use = (sp() + er() + px(FOLDER) if rock else b"") if root_use is None else root_use
        if bare_root:
            self.root = Folder(self, sectors)
            self.folders.append(self.root)
        else:
            self.root = self.folder(None, sectors=sectors, own_use=use, parent_use=px(FOLDER) if rock else b"")

    @property
    def next(self) -> int:
        """The block that is given out next."""
        return self._next // self.block_size

    def reserve(self, size: int) -> int:
        """The block of a place for `size` bytes."""
        at = self._next
        self._next += -(-max(size, 1) // SECTOR) * SECTOR
        return at // self.block_size

    def store(self, data: bytes) -> int:
        """Stores bytes. Gives their block."""
        block = self.reserve(len(data))
        self.put(block, data)
        return block

    def put(self, block: int, data: bytes) -> None:
        """Writes bytes at a block."""
        self.pieces.append((block * self.block_size, data))

    def folder(
        self, parent: Folder | None, *, sectors: int = 1, own_use: bytes = b"", parent_use: bytes = b""
    ) -> Folder:
        """A directory that no record names yet."""
        child = Folder(self, sectors)
        above = child if parent is None else parent
        child.raw(record(b"\0", child.extent, child.size, flags=DIRECTORY, system_use=own_use))
        child.raw(record(b"\1", above.extent, above.size, flags=DIRECTORY, system_use=parent_use))
        self.folders.append(child)
        return child

    def root_record(self, root: Folder | None = None) -> bytes:
        folder = root or self.root
        return record(b"\0", folder.extent, folder.size, flags=DIRECTORY)

    def primary(self, **fields: int | bytes | tuple[int, int]) -> bytes:
        """The primary descriptor; the keywords are those of `descriptor`."""
        values: dict[str, int | bytes | tuple[int, int]] = {
            "block_size": self.block_size,
            "space_size": self._next // self.block_size,
            "root": self.root_record(),
        }
        return descriptor(**(values | fields))  # type: ignore[arg-type]

    def joliet(self, root: Folder, *, escape: bytes = b"%/E", **fields: int | bytes | tuple[int, int]) -> bytes:
        """A supplementary descriptor for another tree."""
        return self.primary(kind=2, escape=escape, root=self.root_record(root), volume=utf16("DISC"), **fields)

    def build(self, *descriptors: bytes) -> bytes:
        """The disc's bytes. Descriptors: as given, or the primary one and a terminator."""
        image = bytearray(self._next)
        for i, raw in enumerate(descriptors or (self.primary(), TERMINATOR)):
            image[(16 + i) * SECTOR : (17 + i) * SECTOR] = raw
        pieces = self.pieces + [(folder.place, bytes(folder.data)) for folder in self.folders]
        for at, data in pieces:
            if at + len(data) > len(image):
                image += bytes(at + len(data) - len(image))
            image[at : at + len(data)] = data
        return bytes(image)

    def build_high_sierra(self, **fields: int) -> bytes:
        """The disc's bytes in the form of High Sierra, once. The keywords are those of `high_sierra_descriptor`."""
        for folder in self.folders:
            at = 0
            while at < len(folder.data):
                length = folder.data[at]
                if length:
                    folder.data[at : at + length] = high_sierra_record(bytes(folder.data[at : at + length]))
                at += length or self.block_size - at % self.block_size
        values = {"block_size": self.block_size, "space_size": self._next // self.block_size, **fields}
        root = high_sierra_record(self.root_record())
        terminator = (both_32(17) + b"\xffCDROM\1").ljust(SECTOR, b"\0")
        return self.build(high_sierra_descriptor(root, **values), terminator)

    def open(self, view: View | None = None) -> Iso9660:
        """Builds and opens the disc."""
        return open_bytes(self.build(), view)


def utf16(name: str) -> bytes:
    """A name as Joliet stores it."""
    return name.encode("utf-16-be", "surrogatepass")


# --- reading them back ----------------------------------------------------------------------------------------------


class MemorySource:
    """A disc in memory, which counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self.raw = data
        self.size = len(data)
        self.reads = 0
        self.read_bytes = 0

    def pread(self, n: int, offset: int) -> bytes:
        if n < 0 or offset < 0:
            raise ValueError("a negative size or position was asked for")
        self.reads += 1
        piece = self.raw[offset : offset + n]
        self.read_bytes += len(piece)
        return piece


def open_source(source: MemorySource, view: View | None = None) -> Iso9660:
    """The volume on a disc in memory."""
    return open_iso9660(source, view or View(), BlockCache(limits.CACHE_LEAST))


def open_bytes(data: bytes, view: View | None = None) -> Iso9660:
    """The volume on a disc's bytes."""
    return open_source(MemorySource(data), view)


def names(volume: Iso9660, inode: int = 1) -> list[bytes]:
    """The names in a directory, in the disc's order."""
    return [found.name for found in volume.entries(inode)]


def tree(volume: Iso9660) -> dict[bytes, Attributes | None]:
    """Everything on a volume by its path; None where the attributes cannot be read."""
    return {step.path: step.attributes for step in walk(volume, volume.attributes(1)) if step.path}


def content(volume: Iso9660, path: str) -> bytes:
    """The bytes of a file, read in one piece."""
    source = volume.data(find(volume, path).inode)
    return source.pread(source.size, 0)


def words(volume: Iso9660) -> list[str]:
    """What the volume found damaged, in words."""
    return [finding.words for finding in volume.findings.found]


def numbered_blocks(count: int, size: int = SECTOR) -> bytes:
    """Data that carries its own answer: block i says that it is block i."""
    return b"".join(b"block %06d " % i + bytes((i & 255,)) * (size - 13) for i in range(count))


def chunks(data: bytes, *sizes: int) -> Sequence[bytes]:
    """Data cut into pieces; the last one is what is left."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]
