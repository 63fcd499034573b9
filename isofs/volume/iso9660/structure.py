"""What is recorded besides what is shown: where descriptors, directories and path tables contradict themselves.

Nothing here is needed to read a disc, so nothing of it is looked at before somebody asks (`isofs check`). A path table
record: length of the name, XAR length, extent (4 bytes), number of the directory above (2), name, padded to an even
length; in High Sierra the extent comes first. Type L has little-endian numbers, type M big-endian ones.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Container, Iterator, Sequence
from itertools import islice
from typing import Final, Literal, NamedTuple

from ... import limits
from ...errors import ImageError
from ...image.source import Source
from ..tree import ROOT, Entry
from . import names, susp
from .dates import short_time
from .descriptors import FIRST, SECTOR, TYPE_TERMINATOR
from .records import FLAG_DIRECTORY, PARENT, SELF, Record
from .volume import Iso9660

Weight = Literal["note", "warning", "damage"]
"""note: harmless; warning: something shown or recorded is not what it should be; damage: something is lost."""

_FEW: Final = 3
"""Records of a directory that are named; of more only the first and their number."""
_PATH_TABLE_SIZE: Final = 132
_PATH_TABLES: Final = 140
_SHIFT: Final = 8
"""Where fields of High Sierra's descriptors are later."""
_NM_CONTINUE: Final = 1
_SKIPS: Final = (0, 14)
"""Bytes in front of system use entries: nothing, or CD-ROM XA."""
_Key = tuple[str, str, int]


class Oddity(NamedTuple):
    """Something that is not as it should be."""

    offset: int
    """Byte position on the disc."""
    weight: Weight
    words: str
    name: bytes = b""
    """The name in the directory that it is about, as it is shown; empty: the directory itself."""


class Survey:
    """What the records of directories tell of others, until all are known. Directories are byte positions."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}
        """Directories that have records, and the size that the first of these tells."""
        self.named: dict[int, int] = {}
        """Byte position of the record that shows a directory."""
        self.moved: dict[int, tuple[int, bytes, int]] = {}
        """Directories whose record is marked as relocated (RE), so that it shows nothing: its position and identifier,
        inode of the directory that has it."""


# --- directories ------------------------------------------------------------------------------------------------------


def in_directory(volume: Iso9660, inode: int, above: int, entries: Sequence[Entry], survey: Survey) -> Iterator[Oddity]:
    """What the records of a directory, whose table is `entries`, contradict. Raises `ImageError`.

    `above`: byte position of the directory that it was met in. What it tells of other directories goes to `survey`.
    """
    place = volume.place(inode)
    allowance = volume.allowance or susp.Allowance(limits.DIRECTORY_SIZE)
    shown = {entry.inode: entry.name for entry in entries}
    last: _Key | None = None
    in_order = True
    number, size = 0, 0
    for number, record in enumerate(volume.records(inode), 1):
        uses = list(volume.system_use(record, allowance, root=number == 1 and above == place))
        if number <= 2:
            yield from _own_records(volume, record, number, place, above, uses)
            size = record.size if number == 1 else size
        for words in _oddities(volume, record):
            yield Oddity(record.position, "warning", words, shown.get(record.position + 1, b""))
        if record.identifier in (SELF, PARENT):
            continue
        yield from _about_others(volume, record, uses, inode, survey)
        key = _order(volume, record.identifier)
        if in_order and last is not None and key < last:
            in_order = False
            yield Oddity(record.position, "note", "the records of the directory are not in order")
        last = key
        told, reason = _why_changed(volume, record, uses)
        name = shown.get(record.position + 1) or shown.get(volume.place_of(record))
        if reason and name is not None:
            words = f"its recorded name {_quoted(told)} {reason}; it is shown as {_quoted(name)}"
            yield Oddity(record.position, "warning", words, name)
    if number < 2:
        yield Oddity(place, "warning", "the directory has no records of itself and of the one above")
    above_tells = survey.sizes.get(place, size)
    if above_tells != size:
        same = -(-above_tells // SECTOR) == -(-size // SECTOR)
        words = f"the directory above tells {above_tells} bytes of it, its own record {size}"
        yield Oddity(place, "note" if same else "warning", words)
    if size % SECTOR:
        yield Oddity(place, "note", f"the directory has {size} bytes: no whole sectors")
    disagree = list(islice(volume.disagreements(inode), limits.FINDINGS))
    if len(disagree) > _FEW:
        yield Oddity(disagree[0].offset, "warning", f"the both-endian numbers of {len(disagree)} records disagree")
    else:
        yield from (Oddity(finding.offset, "warning", finding.words) for finding in disagree)


def _own_records(
    volume: Iso9660, record: Record, number: int, place: int, above: int, uses: Sequence[susp.Entry]
) -> Iterator[Oddity]:
    """What the first two records of a directory, those of itself and of the one above, contradict."""
    identifier, what, right = (SELF, ".", place) if number == 1 else (PARENT, "..", above)
    if record.identifier != identifier:
        yield Oddity(record.position, "warning", f"the directory has no record `{what}` where it belongs")
        return
    found = volume.place_of(record)
    for signature, entry in uses:
        if signature == b"PL" and number == 2 and len(entry) >= 12:
            found = int.from_bytes(entry[4:8], "little") * volume.descriptor.block_size
    if found != right:
        yield Oddity(record.position, "warning", f"its record `{what}` leads to byte {found}, not to byte {right}")


def _about_others(
    volume: Iso9660, record: Record, uses: Sequence[susp.Entry], inode: int, survey: Survey
) -> Iterator[Oddity]:
    """Notes the directory that a record names."""
    place = volume.place_of(record)
    moved = any(signature == b"RE" for signature, _ in uses)
    modes = [int.from_bytes(entry[4:8], "little") for signature, entry in uses if signature == b"PX"]
    children = [
        int.from_bytes(entry[4:8], "little") for signature, entry in uses if signature == b"CL" and len(entry) > 11
    ]
    for block in children:  # of a relocated directory, which is recorded there; this record's own extent is nothing
        survey.named.setdefault(block * volume.descriptor.block_size, record.position)
    if children:
        return
    if record.flags & FLAG_DIRECTORY or any(map(stat.S_ISDIR, modes)):
        survey.sizes.setdefault(place, record.size)
        if moved:
            survey.moved.setdefault(place, (record.position, record.identifier, inode))
        else:
            survey.named.setdefault(place, record.position)
    elif moved:
        words = f"{_quoted(record.identifier)} is marked as a relocated directory (RE) and is none: it is not shown"
        yield Oddity(record.position, "damage", words)


def lost_directories(volume: Iso9660, survey: Survey, met: Container[int]) -> Iterator[tuple[int, Oddity]]:
    """Directories marked as relocated that are not among those that were `met`, with the inode of the one that has the
    record. The one that holds relocated ones may itself be marked: it alone is not missed.
    """
    todo = dict(survey.moved)
    known = set(todo)
    while todo:
        place, (position, identifier, holder) = todo.popitem()
        if place in met:
            continue
        within = Survey()
        lost = False
        try:
            for record in volume.records(place):
                if record.identifier not in (SELF, PARENT):
                    uses = list(volume.system_use(record, volume.allowance or susp.Allowance()))
                    lost = any(_about_others(volume, record, uses, holder, within)) or lost
                    lost = lost or not record.flags & FLAG_DIRECTORY
        except ImageError:
            lost = True
        if lost or within.named:
            words = f"the directory {_quoted(identifier)} is marked as relocated (RE), and nothing leads to it"
            yield holder, Oddity(position, "damage", words)
        todo |= {inner: told for inner, told in within.moved.items() if inner not in known}
        known |= within.moved.keys()


def _oddities(volume: Iso9660, record: Record) -> Iterator[str]:
    """What a record by itself has that cannot be right."""
    told = volume.descriptor.sequence
    if volume.descriptor.set_size <= 1 and record.sequence not in (0, 1, told):
        yield f"its record says that it is on volume {record.sequence} of a set; there is no set"
    if any(record.time) and short_time(record.time) is None:
        yield "its time is none that a calendar has"


def _order(volume: Iso9660, identifier: bytes) -> _Key:
    """What the records of a directory are sorted by (ECMA-119 10.3): name, extension, versions from the highest on."""
    text = identifier.decode("utf-16-be" if volume.joliet else "latin-1", "replace")
    if volume.enhanced:
        return text, "", 0
    stem, _, version = text.partition(";")
    name, _, extension = stem.partition(".")
    return name, extension, -int(version) if version.isascii() and version.isdigit() and len(version) < 6 else 0


def _why_changed(volume: Iso9660, record: Record, uses: Sequence[susp.Entry]) -> tuple[bytes, str]:
    """The recorded name of a file, and why it cannot be shown as it is; empty where it can."""
    pieces = [entry for signature, entry in uses if signature == b"NM" and len(entry) >= 5]
    told = b"".join(entry[5:] for entry in pieces)
    if any(entry[4] & ~_NM_CONTINUE for entry in pieces):
        return told, "is marked as none of its own (flags of NM)"
    if pieces and pieces[-1][4]:
        return told, "goes on where nothing follows"
    if not told:
        told = record.identifier
        if volume.joliet:
            told = told.decode("utf-16-be", "replace").encode()
            if len(record.identifier) % 2 or told.decode().encode("utf-16-be") != record.identifier:
                return told, "is no sound UTF-16"
    elif told in (b".", b".."):
        return told, ""  # the volume has found it
    if b"\0" in told:
        return told, "holds a NUL"
    if b"/" in told:
        return told, "holds a slash"
    if told in (b".", b".."):
        return told, "is that of a directory everywhere"
    return told, f"has {len(told)} bytes" if len(told) > limits.NAME_SHOWN else ""


def _quoted(name: bytes) -> str:
    """A name for messages."""
    return f"'{names.printable(names.cut(name, limits.NAME_SHOWN).decode('utf-8', 'backslashreplace'))}'"


# --- descriptors and path tables --------------------------------------------------------------------------------------


def in_descriptors(volume: Iso9660, disc: Source, first_sector: int, end: int) -> Iterator[Oddity]:
    """What the volume descriptors lack, or tell otherwise. `end`: the byte of the disc behind the last file."""
    at = (first_sector + FIRST) * SECTOR
    for words in volume.descriptors.passed_over:
        yield Oddity(at, "warning", words)
    kind = 0
    for place in range(at, at + limits.DESCRIPTOR_SECTORS * SECTOR, SECTOR):
        raw = _read(disc, SECTOR, place)
        if raw[1:6] != b"CD001" and raw[9:14] != b"CDROM":
            break
        kind = raw[0] if raw[1:6] == b"CD001" else raw[8]
        if kind == TYPE_TERMINATOR:
            break
    if kind != TYPE_TERMINATOR:
        yield Oddity(at, "warning", "the volume descriptors have no terminator")
    yield from _in_root(volume, at)
    told = volume.descriptor.space_size * volume.descriptor.block_size
    if not told:
        yield Oddity(at, "note", "the volume descriptor tells no size")
    elif end > told + first_sector * SECTOR:
        yield Oddity(at, "warning", f"files reach up to byte {end}, the volume has {told} bytes by its descriptor")


def _in_root(volume: Iso9660, at: int) -> Iterator[Oddity]:
    """What a descriptor at byte `at` tells of the root otherwise than the root itself does, and Rock Ridge's marks."""
    raw = volume.descriptor.root
    try:
        own = next(volume.records(ROOT), None)
    except ImageError:
        return  # that is said of the directory
    if own is None or own.identifier != SELF:
        return
    flags = raw[24 if volume.descriptor.high_sierra else 25]
    if int.from_bytes(raw[10:14], "little") != own.size or not flags & FLAG_DIRECTORY or not raw[0]:
        yield Oddity(at, "warning", "the volume descriptor's record of the root is not the root's own")
    if volume.rock:
        skip = susp.skip_of(own.system_use)
        if skip is None:
            yield Oddity(
                own.position, "warning", "nothing announces the system use entries of Rock Ridge (no SP entry)"
            )
        elif skip not in _SKIPS:
            yield Oddity(own.position, "warning", f"{skip} bytes in front of the system use entries are to be skipped")


def in_path_tables(volume: Iso9660, disc: Source, first_sector: int, places: set[int]) -> Iterator[Oddity]:
    """Whether the path tables have the directories of the tree, whose byte positions are `places`, and no others."""
    descriptor = volume.descriptor
    at, size = _path_table_size(volume, disc, first_sector)
    if not size:
        yield Oddity(at, "note", "the disc has no path table")
        return
    tables = []
    for letter, order, block in zip("LM", "<>", descriptor.path_tables, strict=True):
        place = block * descriptor.block_size
        what = f"the path table of type {letter}"
        if not block:
            yield Oddity(at, "warning", f"{what} is missing")
        elif place + size > disc.size:
            yield Oddity(place, "warning", f"{what}, of {size} bytes, lies beyond the end of the disc")
        elif size > limits.PATH_TABLE:
            yield Oddity(place, "warning", f"{what} claims {size} bytes")
        else:
            table = _path_table(volume, _read(disc, size, place), order)
            known = {found for found, *_ in table}
            for found, words in (
                (known - places, "has {} that the tree has not"),
                (places - known, "lacks {} of the tree"),
            ):
                if found:
                    count = "a directory" if len(found) == 1 else f"{len(found)} directories"
                    yield Oddity(place, "warning", f"{what} {words.format(count)}, at byte {min(found)}")
            tables.append(table)
    if len(tables) == 2 and tables[0] != tables[1]:
        yield Oddity(at, "warning", "the path tables of type L and M contradict each other")


def _path_table_size(volume: Iso9660, disc: Source, first_sector: int) -> tuple[int, int]:
    """Byte position of the volume's descriptor, and the bytes of each path table."""
    shift = _SHIFT if volume.descriptor.high_sierra else 0
    width = 16 if shift else 8
    first = (first_sector + FIRST) * SECTOR
    for place in range(first, first + limits.DESCRIPTOR_SECTORS * SECTOR, SECTOR):
        raw = _read(disc, SECTOR, place)[shift:]
        at = _PATH_TABLES
        tables = int.from_bytes(raw[at : at + 4], "little"), int.from_bytes(raw[at + width : at + width + 4], "big")
        if raw[1:6] in (b"CD001", b"CDROM") and tables == volume.descriptor.path_tables:
            return place, int.from_bytes(raw[_PATH_TABLE_SIZE : _PATH_TABLE_SIZE + 4], "little")
    return first, 0


def _path_table(volume: Iso9660, data: bytes, order: str) -> list[tuple[int, int, bytes]]:
    """Byte position, number of the directory above, and name, of each directory in a path table."""
    block = volume.descriptor.block_size
    head = struct.Struct(f"{order}IBBH" if volume.descriptor.high_sierra else f"{order}BBIH")
    found = []
    at = 0
    while at + head.size < len(data):
        first, second, third, above = head.unpack_from(data, at)
        extent, xar, n = (first, second, third) if volume.descriptor.high_sierra else (third, second, first)
        if not n:
            break
        name = data[at + head.size : at + head.size + n]
        found.append(((extent + xar) * block, above, name))
        at += head.size + n + (n & 1)
    return found


def _read(disc: Source, n: int, offset: int) -> bytes:
    """Bytes of the disc; fewer, or none, where they cannot be had: that is said elsewhere."""
    try:
        return disc.pread(n, offset)
    except ImageError:
        return b""
