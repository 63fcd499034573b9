"""The tree of an ISO 9660 disc.

**Inode numbers** are places. With logical blocks of b bytes:

- a directory is numbered by the byte position of its extent, where its own `.` record stands: a multiple of b;
- any other file by the byte position of its (first) record plus one: never a multiple of b;
- a hard-linked file by its serial number and its extent (`_LINK` and above), so that all its names share one; the way
  back to one of its records is remembered;
- the root is 1 outside.

**A directory is parsed once, whole, into one table** that listing and lookup share, so they agree on names,
duplicates and what is hidden. Tables are kept in a cache bounded by their estimated size, and as long as somebody holds
the entries. Usual records are read by compiled code, where that is installed.

What damage does: a record that is not sound, a directory at no possible place, a relocation that leads nowhere and a
directory that is its own ancestor cost their own name; system use entries that are cut off or lead nowhere count as
absent; data outside the disc, interleaving that cannot be, zisofs that contradicts itself and link targets that cannot
be right are errors when they are read.
"""

from __future__ import annotations

import stat
import struct
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from operator import itemgetter
from typing import Final

from ... import limits
from ...errors import ImageError, IsofsError, NotReady, StaleInode, UnsupportedError
from ...image.cache import BlockCache
from ...image.source import Extent, Extents, Source, may_wait
from ..tree import ROOT, Attributes, Entry, Finding, Findings, Usage, View
from . import aaip, names, rockridge, susp
from .appledouble import FORK_SIZE, HEADER_SIZE, AppleDouble, finder_info
from .dates import short_time
from .descriptors import Descriptors, VolumeDescriptor
from .directory import Directory, Tables
from .records import (
    FLAG_ASSOCIATED,
    FLAG_DIRECTORY,
    FLAG_HIDDEN,
    FLAG_MULTI_EXTENT,
    HIGH_SIERRA,
    ISO_9660,
    PARENT,
    SECTOR,
    SELF,
    Damaged,
    Record,
    disagreeing,
    extent_of,
    parse_record,
    walk_records,
)
from .rockridge import RockRidge
from .zisofs import open_zisofs

try:
    from . import _records as _records
except ImportError:  # the code below reads every record
    _records = None  # type: ignore[assignment]

_LINK: Final = 1 << 63
_LINK_BLOCKS: Final = 1 << 31

_DEFAULT_MODE: Final = 0o555
_CRUFT: Final = 0xFF_FFFF
"""What `cruft` leaves of a size."""
_OWN_XATTRS: Final = b"user.isofs."
"""Begins the names of attributes that tell about the disc."""
_TRAILS: Final = 256
"""Directories of which it is remembered what is above them."""
_PARSED_AT_ONCE: Final = 64 * limits.KIB
"""Directories up to this size are parsed by a thread that must not wait."""
_NOT_WHOLE: Final = (
    (susp.XA_FORM_2, "files in Form 2 sectors (CD-ROM XA) are not whole: 2048 of each sector's 2324 bytes are shown"),
    (susp.XA_AUDIO, "files that are audio tracks (CD-DA) hold no data: -o audio shows the tracks"),
)
"""Files that sectors of 2048 bytes cannot hold."""
_DATA_FIELDS: Final = itemgetter(*map(Record._fields.index, ("xar_blocks", "extent", "size", "unit", "gap")))
"""Fields of a record that say where the data is and how much of it."""
_CHAIN_READS: Final = (SECTOR, 64 * limits.KIB, limits.MIB, 16 * limits.MIB)
"""Bytes read at a time to find all sections of a file: nearly always the first is enough."""


class Iso9660:
    """A `Volume` upon an ISO 9660 tree. `open_iso9660` chooses which tree that is."""

    def __init__(
        self,
        disc: Source,
        cache: BlockCache,
        view: View,
        descriptors: Descriptors,
        descriptor: VolumeDescriptor,
        *,
        skip: int | None,
        joliet: bool,
        enhanced: bool = False,
        findings: Findings,
    ) -> None:
        self.findings = findings
        self.descriptors = descriptors
        self.descriptor = descriptor
        self.joliet = joliet
        """Whether the tree is Joliet's."""
        self.enhanced = enhanced
        """Whether it is that of ISO 9660:1999."""
        self.rock = skip is not None
        """Whether Rock Ridge is in use."""
        self._skip = skip or 0
        self._disc = disc
        self._cache = cache
        self._view = view
        self._block = descriptor.block_size
        self._most = _CRUFT if view.cruft else (1 << 64) - 1
        """Bits of a size that count."""
        self._unlisted = (0 if view.showassoc else FLAG_ASSOCIATED) | (FLAG_HIDDEN if view.hide else 0)
        """Flags of records that are passed over: those of a file's last section count."""
        self._usual_view = not (
            descriptor.high_sierra or view.hide or view.showassoc or view.cruft or view.overriderockperm
        )
        """Whether compiled code knows how to show it."""
        self._head = head_of(descriptor)
        self._relaxed = view.check == "relaxed" if view.check else joliet
        self._root = root_place(descriptor)
        self._tables = Tables()
        self._parsing = threading.Lock()
        self._links: dict[int, int] = {}
        self._trails: dict[int, frozenset[int]] = {}
        """Directories and what is above them, of those that were parsed last: else deep ones take the longer."""
        self._last_xattrs: tuple[int, Mapping[bytes, bytes]] = (0, {})
        """The file that was asked about last, and the attributes that the disc tells."""
        self._last_named: tuple[int, Mapping[int, int]] = (0, {})
        """The directory that was looked into last for records of directories, and their places by those they name."""
        self.allowance: susp.Allowance | None = None
        """Bytes of directories and continuation areas that may still be read, where everything is looked at."""

    # --- the questions of `Volume` ----------------------------------------------------------------------------------

    def attributes(self, inode: int) -> Attributes:
        """See `Volume`."""
        place = self._directory_place(inode)
        if place is not None:
            return self._directory_attributes(place)
        sections = self._sections(inode)
        return self._attributes_of_file(sections, self._rock_ridge(sections[0]), inode)

    def lookup(self, inode: int, name: bytes) -> Attributes | None:
        """See `Volume`."""
        entry = self._directory(inode).find(name)
        if entry is None:
            return None
        return self.attributes(entry.inode) if entry.attributes is None else entry.attributes

    def entries(self, inode: int) -> Sequence[Entry]:
        """See `Volume`."""
        return self._directory(inode)

    def parent(self, inode: int) -> int:
        """See `Volume`."""
        place = self._directory_place(inode)
        if place is None:
            return self._number(self._holder(self._record_place(inode)))
        if place == self._root:
            return ROOT
        above = self._parent_place(place)
        return ROOT if above is None else self._number(above)

    def data(self, inode: int) -> Source:
        """See `Volume`."""
        usual = self._usual_data(inode)
        if usual is not None:
            return Extents(self._disc, [Extent(*usual)], partial(self._label, inode))
        sections = self._sections(inode)
        stored = self._contents(sections)
        info = self._finder_info(sections[0], stored.size)
        return stored if info is None else AppleDouble(info, stored)

    def _contents(self, sections: list[Record]) -> Source:
        """The bytes of a regular file as its author knows them."""
        first = sections[0]
        rock = self._rock_ridge(first)
        label = self._label_of(first, rock)
        sequence = self.descriptor.sequence
        if self.descriptor.set_size > 1 and any(section.sequence not in (0, sequence) for section in sections):
            raise ImageError(f"{label}: its data is on volume {first.sequence} of the set, this is volume {sequence}")
        if rock and rock.unsure:
            raise ImageError(f"{label}: system use entries of its record are lost; what its data is cannot be known")
        if sections[-1].flags & FLAG_MULTI_EXTENT:
            too_many = len(sections) == limits.SECTIONS
            reason = f"more than {limits.SECTIONS} sections" if too_many else "its last section is missing"
            raise ImageError(f"{label}: {reason}")
        if rock and rock.sparse_size is not None:
            raise UnsupportedError(f"{label}: recorded as a sparse file, which is not read yet")
        if any(section.gap and not section.unit for section in sections):
            raise ImageError(f"{label}: its record tells a gap without a unit")
        if any(row.unit and (not row.gap or row.size <= row.unit * self._block) for row in sections):
            self.findings.odd(first.position, "its record tells interleaving, but nothing of its data is behind a gap")
        if any(section.gap and section.xar_blocks > section.unit for section in sections):
            raise ImageError(f"{label}: its extended attribute record is longer than the unit that holds it")
        for kind, words in _NOT_WHOLE:
            if susp.xa_attributes(first.system_use) & kind:
                self.findings.add(0, words, harmless=True)  # sizes count 2048 bytes a sector: these are all there
        extents = [self._extent(section) for section in sections if section.size]
        if rock and rock.zisofs:
            return open_zisofs(Extents(self._disc, extents, label), rock.zisofs, self._cache)
        if self._view.cruft:
            extents = _first_bytes(extents, self._size(sections))
        return Extents(self._disc, extents, label)

    def _label(self, inode: int) -> str:
        """What errors call a file. Nothing else that is wrong takes the place of what is told."""
        try:
            record = self._sections(inode)[0]
            return self._label_of(record, self._rock_ridge(record))
        except IsofsError:
            return f"inode {inode}"

    def _label_of(self, record: Record, rock: RockRidge | None) -> str:
        return names.printable(self._name(record, rock).decode("utf-8", "backslashreplace"))

    def _usual_data(self, inode: int) -> tuple[int, int] | None:
        """Place and size of the data of a file with a usual record; None where there is more to know."""
        if not self._compiled or not self._usual_view or self.descriptor.set_size > 1:
            return None
        record = self._record_bytes(self._record_place(inode))
        return _records.usual_data(record, self._block, self._skip if self.rock else None)

    def readlink(self, inode: int) -> bytes:
        """See `Volume`."""
        if self._compiled and self.rock:
            usual = _records.usual_link(self._record_bytes(self._record_place(inode)), self._skip)
            if usual is not None:
                return rockridge.link_target((usual,))
        record = self._sections(inode)[0]
        rock = self._rock_ridge(record)
        if rock is None or rock.mode is None or not stat.S_ISLNK(rock.mode):
            raise StaleInode(f"inode {inode} is no symbolic link")
        try:
            return rock.target()
        except ImageError as error:
            raise ImageError(f"{self._label_of(record, rock)}: {error.reason}") from None

    @cached_property
    def has_xattrs(self) -> bool:
        """See `Volume`. The root's own record tells it of a disc, for the price of reading that."""
        if self._view.xattr or not self.rock:
            return self._view.xattr
        try:
            dot = self._self_record(self._root)
        except ImageError:
            return False
        return dot is not None and aaip.announced(self._use_entries(dot, lambda _: None))

    def xattrs(self, inode: int) -> Mapping[bytes, bytes]:
        """See `Volume`. With `xattr` there are those that tell about the disc, too, in place of any recorded ones."""
        last, recorded = self._last_xattrs
        if last != inode:  # programs ask for one attribute of a file after the other
            recorded = self._recorded_xattrs(inode)
            self._last_xattrs = inode, recorded
        if not self._view.xattr:
            return recorded
        others = {name: value for name, value in recorded.items() if not name.startswith(_OWN_XATTRS)}
        return others | self._own_xattrs(inode)

    def usage(self) -> Usage:
        """See `Volume`. Where the descriptor's size cannot be, the disc's counts."""
        blocks = -(-self._disc.size // self._block)
        told = self.descriptor.space_size
        return Usage(self._block, told if 0 < told <= blocks else blocks)

    def describe(self) -> dict[str, object]:
        """See `Volume`."""
        primary = self.descriptors.primary or self.descriptor
        encoding = "utf-8" if self.descriptors.primary else "utf-16-be"

        def text(field: bytes) -> str:
            return field.decode(encoding, "replace").strip(" \0\ufffd")

        return {
            "file_system": "High Sierra" if self.descriptor.high_sierra else "ISO 9660",
            "tree": self._tree_name,
            "joliet_level": self.descriptors.joliet.joliet_level if self.descriptors.joliet else 0,
            "enhanced": self.descriptors.enhanced is not None,
            "udf_bridge": self.descriptors.udf,
            "bootable": self.descriptors.bootable,
            "cd_xa": primary.xa,
            "volume": text(primary.volume),
            "system": text(primary.system),
            "volume_set": text(primary.volume_set),
            "publisher": text(primary.publisher),
            "preparer": text(primary.preparer),
            "application": text(primary.application),
            "created": primary.created,
            "modified": primary.modified,
            "block_size": self._block,
            "volume_size": self.descriptor.space_size * self._block,
        }

    @property
    def _tree_name(self) -> str:
        if self.descriptor.high_sierra:
            return "High Sierra"
        if self.enhanced:
            return "ISO 9660:1999"
        return "Joliet" if self.joliet else "Rock Ridge" if self.rock else "ISO 9660"

    @property
    def _compiled(self) -> bool:
        """Whether compiled code reads the usual records."""
        return _records is not None and self.findings.watch is None

    # --- for a look at what is recorded, not at what is shown ---------------------------------------------------------

    def place(self, inode: int) -> int:
        """Byte position on the disc: of a directory, or of a file's record. Raises `StaleInode`."""
        place = self._directory_place(inode)
        return self._record_place(inode) if place is None else place

    def place_of(self, record: Record) -> int:
        """Byte position on the disc of what a record describes."""
        return self._place_of(record)

    def records(self, inode: int) -> Iterator[Record]:
        """The sound records of a directory as they stand, shown or not. Raises `ImageError`, `StaleInode`."""
        place = self.place(inode)
        return self._walk(self._directory_bytes(place), place, _ignore)

    def system_use(self, record: Record, allowance: susp.Allowance, *, root: bool = False) -> Iterator[susp.Entry]:
        """The system use entries of a record; none where Rock Ridge is not in use. `root`: it is the root's own one."""
        if self.rock:
            area = susp.behind_xa(record.system_use, 0 if root else self._skip)
            odd = partial(self.findings.odd, record.position)
            yield from susp.entries(area, self._disc, self._block, lambda _: None, allowance, odd=odd)

    def told_xattrs(self, position: int, inode: int) -> tuple[Mapping[bytes, bytes], Mapping[bytes, bytes]]:
        """The attributes of a file that the record at a byte of the disc tells: those for Linux, libisofs' own.

        Raises `ImageError`.
        """
        own: dict[bytes, bytes] = {}
        record = self._record_at(position)
        return ({} if record is None else self._told_xattrs(record, inode, own)), own

    # --- inode numbers ----------------------------------------------------------------------------------------------

    def _number(self, place: int) -> int:
        """The inode number of the directory at a place."""
        return ROOT if place == self._root else place

    def _directory_place(self, inode: int) -> int | None:
        """Where the directory of this number is recorded; None if the number is not a directory's."""
        if inode == ROOT:
            return self._root
        if inode < _LINK and inode % self._block == 0:
            return inode
        return None

    def _record_place(self, inode: int) -> int:
        if inode >= _LINK:
            try:
                return self._links[inode]
            except KeyError:
                raise StaleInode(f"inode {inode} was not met on this mount") from None
        return inode - 1

    def _link_number(self, record: Record, rock: RockRidge) -> int | None:
        """The number that all names of a hard-linked file share; None where it cannot be told."""
        block = record.extent + record.xar_blocks
        if not 0 < block < _LINK_BLOCKS:
            return None
        number = _LINK | (rock.serial or 0) << 31 | block
        first = self._links.get(number)
        if first is None:
            if len(self._links) >= limits.HARD_LINKS:
                return None
            self._links[number] = record.position
        elif first != record.position:
            other = self._record_at(first)
            if other is None or not self._is_one_file(other, record, rock):
                return None
        return number

    def _is_one_file(self, other: Record, record: Record, rock: RockRidge) -> bool:
        """Whether two records of one extent and serial number can be names of one file: all else agrees too."""
        if _DATA_FIELDS(other) != _DATA_FIELDS(record):
            return False
        twin = self._rock_ridge(other)
        return twin is not None and (twin.mode, twin.nlink, twin.uid, twin.gid, twin.modified, twin.zisofs) == (
            *(rock.mode, rock.nlink, rock.uid, rock.gid, rock.modified, rock.zisofs),
        )

    # --- records ----------------------------------------------------------------------------------------------------

    def _extent(self, record: Record) -> Extent:
        if record.gap and record.unit:
            unit, gap = record.unit * self._block, record.gap * self._block
            start = record.extent * self._block
            if record.xar_blocks:  # it has the first unit (ECMA-119 6.4.3)
                start += unit + gap
            return Extent(start, record.size, unit, gap)
        return Extent(self._place_of(record), record.size)

    def _place_of(self, record: Record) -> int:
        return (record.extent + record.xar_blocks) * self._block

    def disagreements(self, inode: int) -> Iterator[Finding]:
        """The records of a directory that have both-endian numbers whose halves disagree, each as a finding.

        Listing looks at the extents alone and says it once. Raises `ImageError`, `StaleInode`.
        """
        place = self._directory_place(inode)
        if place is None:
            raise StaleInode(f"inode {inode} is no directory")
        data = self._directory_bytes(place)
        for record in self._walk(data, place, _ignore):
            names_of = disagreeing(data, record.position - place)
            if names_of:
                words = f"{self._shown(record)}: the both-endian numbers of its record disagree: {', '.join(names_of)}"
                yield Finding(record.position, words, harmless=True)

    def _walk(
        self, data: bytes, place: int, damaged: Damaged, ahead: Callable[[int], int] | None = None
    ) -> Iterator[Record]:
        """See `walk_records`."""
        return walk_records(data, place, self._block, damaged, ahead, head=self._head)

    def _record_at(self, place: int) -> Record | None:
        return parse_record(self._record_bytes(place), 0, place, self._head)

    def _record_bytes(self, place: int) -> bytes:
        """The bytes from a place on in which a record must fit."""
        n = SECTOR - place % SECTOR if self._block == SECTOR else SECTOR
        return self._disc.pread(min(n, 255), place)

    def _self_record(self, place: int) -> Record | None:
        """The `.` record of the directory at a place, None if there is no sound one."""
        record = self._record_at(place)
        if record is None or record.identifier != SELF or not record.flags & FLAG_DIRECTORY:
            return None
        return record

    def _sections(self, inode: int) -> list[Record]:
        """The records of a file's sections, the first one first. Raises `StaleInode`."""
        place = self._record_place(inode)
        only = self._record_at(place)
        if only is not None and not only.flags & FLAG_MULTI_EXTENT:
            return [only]  # the next sector, which may be damaged, is not asked for
        chain: list[Record] = []
        for size in _CHAIN_READS:
            if size > _PARSED_AT_ONCE and not may_wait():
                raise NotReady
            chain = []
            data = self._disc.pread(size, place)
            for record in self._walk(data, place, _ignore):
                if not _is_section(record, chain[0]) if chain else record.position != place:
                    break
                chain.append(record)
                if not record.flags & FLAG_MULTI_EXTENT or len(chain) == limits.SECTIONS:
                    return chain
            else:
                if len(data) == size:
                    continue  # the chain may go on behind what was read
            break
        if not chain:
            raise StaleInode(f"inode {inode} leads to no directory record")
        return chain

    def _rock_ridge(
        self, record: Record, *, skip: int | None = None, allowance: susp.Allowance | None = None
    ) -> RockRidge | None:
        """The Rock Ridge entries of a record; None if Rock Ridge is not in use.

        A directory's records share an `allowance` of continuation areas.
        """
        if not self.rock:
            return None

        lost = False

        def damaged(why: str) -> None:
            self.findings.add(record.position, f"{self._shown(record)}: {why}")

        def cut_off(why: str) -> None:
            nonlocal lost
            lost = True
            damaged(why)

        area = susp.behind_xa(record.system_use, self._skip if skip is None else skip)
        odd = partial(self.findings.odd, record.position) if self.findings.watch else None
        allowance = self.allowance or allowance or susp.Allowance()
        entries = susp.entries(area, self._disc, self._block, cut_off, allowance, odd=odd)
        found = rockridge.parse(entries, damaged, odd)
        found.unsure = found.unsure or lost
        if self._view.nocompress:
            found.zisofs = None
        return found

    # --- attributes -------------------------------------------------------------------------------------------------

    def _directory_attributes(self, place: int) -> Attributes:
        dot = self._self_record(place)
        if dot is None:
            if place >= self._disc.size:
                raise ImageError(f"the directory at byte {place} lies beyond the end of the disc")
            self.findings.add(place, "a directory does not begin with a record of itself; its attributes are not known")
            return self._attributes(self._number(place), None, None, stat.S_IFDIR, 0, 0, 0)
        rock = self._rock_ridge(dot, skip=0 if place == self._root else None)
        size = dot.size & self._most
        return self._attributes(self._number(place), dot, rock, stat.S_IFDIR, size, size, 0)

    def _attributes_of_file(self, sections: list[Record], rock: RockRidge | None, inode: int) -> Attributes:
        first = sections[0]
        stored = size = self._size(sections)
        kind = stat.S_IFREG
        rdev = 0
        if rock is not None:
            if rock.mode is not None and not stat.S_ISDIR(rock.mode):
                kind = stat.S_IFMT(rock.mode)
            if kind == stat.S_IFLNK:
                try:
                    size = len(rock.target(partial(self.findings.odd, first.position)))
                except ImageError as error:
                    size = 0
                    self.findings.add(first.position, f"{self._shown(first)}: {error.reason}")
            elif kind != stat.S_IFREG:
                size = 0
                rdev = rock.rdev
                if rock.device is None and kind in (stat.S_IFCHR, stat.S_IFBLK):
                    self.findings.odd(first.position, "a device without a number (no PN entry)")
            elif rock.zisofs:
                size = rock.zisofs.size
            elif rock.sparse_size is not None:
                size = rock.sparse_size
        if kind == stat.S_IFREG and self._finder_info(first, size) is not None:
            size += HEADER_SIZE
        if size > limits.FILE_SIZE:
            self.findings.odd(first.position, f"it claims {size} bytes; Linux can show {limits.FILE_SIZE}")
        return self._attributes(inode, first, rock, kind, min(size, limits.FILE_SIZE), stored, rdev)

    def _finder_info(self, record: Record, size: int) -> bytes | None:
        """What the Finder knows of the file whose resource fork a record names; None for any other record.

        `size`: that of the fork, as the file system sees it.
        """
        if not record.flags & FLAG_ASSOCIATED or size > FORK_SIZE:
            return None
        area = susp.behind_xa(record.system_use, self._skip)
        return finder_info(susp.entries(area, self._disc, self._block, lambda _: None, susp.Allowance()))

    def _size(self, sections: list[Record]) -> int:
        """Bytes of a file that are stored."""
        size = sections[0].size if len(sections) == 1 else sum(section.size for section in sections)
        return size & self._most

    def _attributes(
        self, inode: int, record: Record | None, rock: RockRidge | None, kind: int, size: int, stored: int, rdev: int
    ) -> Attributes:
        view = self._view
        is_directory = kind == stat.S_IFDIR
        chosen = view.dmode if is_directory else view.mode
        permissions = _DEFAULT_MODE if chosen is None else chosen
        nlink, uid, gid = 1, 0, 0
        modified = short_time(record.time) if record else None
        accessed = changed = modified
        if rock is not None:
            if rock.mode is not None:
                if chosen is None or not view.overriderockperm or kind not in (stat.S_IFREG, stat.S_IFDIR):
                    permissions = rock.mode & 0o7777
                nlink, uid, gid = rock.nlink, rock.uid, rock.gid
            modified = _first_known(rock.modified, modified)
            accessed = _first_known(rock.accessed, accessed)
            changed = _first_known(rock.changed, changed)
        if kind != stat.S_IFLNK:
            permissions &= ~(view.dmask if is_directory else view.fmask)
        return Attributes(
            inode,
            kind | permissions,
            nlink,
            uid if view.uid is None else view.uid,
            gid if view.gid is None else view.gid,
            rdev,
            size,
            -(-stored // 512),
            accessed or 0,
            modified or 0,
            changed or 0,
        )

    # --- extended attributes ----------------------------------------------------------------------------------------

    def _use_entries(
        self, record: Record, damaged: Callable[[str], None], *, attributes: bool = False
    ) -> Iterator[susp.Entry]:
        """The system use entries of a record."""
        area = susp.behind_xa(record.system_use, 0 if record.position == self._root else self._skip)
        allowance = self.allowance or susp.Allowance(
            limits.ATTRIBUTE_BYTES if attributes else limits.CONTINUATION_BYTES
        )
        return susp.entries(area, self._disc, self._block, damaged, allowance, attributes=attributes)

    def _recorded_xattrs(self, inode: int) -> Mapping[bytes, bytes]:
        """What AAIP tells of a file. Access control lists only where permissions are shown as they are recorded."""
        record = self._naming_record(inode)
        if record is None:
            self.attributes(inode)  # raises what there is to raise
            return {}
        return self._told_xattrs(record, inode)

    def _told_xattrs(self, record: Record, inode: int, own: dict[bytes, bytes] | None = None) -> Mapping[bytes, bytes]:
        """What AAIP tells in one record; `own`: see `aaip.attributes`."""
        if not self.rock or (b"AL" not in record.system_use and b"CE" not in record.system_use):
            return {}

        def damaged(why: str) -> None:
            self.findings.add(record.position, f"{self._shown(record)}: {why}", harmless=True)

        entries = self._use_entries(record, damaged, attributes=True)
        view = self._view
        lists = not (view.fmask or view.dmask or view.overriderockperm)
        return aaip.attributes(entries, cache(lambda: self.attributes(inode).mode), damaged, lists=lists, own=own)

    def _naming_record(self, inode: int) -> Record | None:
        """The record by which a file is listed, the root's own one: attributes are recorded there."""
        place = self._directory_place(inode)
        if place is None:
            return self._record_at(self._record_place(inode))
        return self._record_at(place if place == self._root else self._named_at(place))

    def _named_at(self, place: int) -> int:
        """Where the record stands by which a directory's parent knows it; its own, where the parent does not."""
        parent = self._parent_place(place)
        if parent is None:
            return place
        last, known = self._last_named
        if last != parent:
            try:
                known = self._records_of_directories(parent)
            except ImageError:
                return place
            self._last_named = parent, known
        return known.get(place, place)

    def _records_of_directories(self, place: int) -> Mapping[int, int]:
        """Where in a directory the records of others stand, by the places that they name."""
        data = self._directory_bytes(place)
        allowance = susp.Allowance(len(data) + limits.MIB)
        found: dict[int, int] = {}
        for record in self._walk(data, place, _ignore):
            child = None
            if record.flags & FLAG_DIRECTORY and record.identifier not in (SELF, PARENT):
                child = self._place_of(record)
            elif b"CL" in record.system_use:
                child = self._child_place(record, self._rock_ridge(record, allowance=allowance))
            if child is not None:
                found.setdefault(child, record.position)
        return found

    def _own_xattrs(self, inode: int) -> dict[bytes, bytes]:
        """What `xattr` tells about a file or directory."""
        mode = self.attributes(inode).mode
        record = self._naming_record(inode)
        place = self._directory_place(inode)
        if record is None or not (stat.S_ISREG(mode) or place is not None):
            return {}
        words = []
        if place is not None:
            dot = self._self_record(place)
            extents = [Extent(place, dot.size)] if dot else []
            told = {record.position, place}
        else:
            sections = self._sections(inode)
            extents = [self._extent(section) for section in sections if section.size]
            told = {section.position for section in sections}
            try:
                self.data(inode)
            except (ImageError, UnsupportedError) as error:
                words.append(error.reason)
        words += [finding.words for finding in list(self.findings.found) if finding.offset in told]
        found = {
            b"record": b"%d" % record.position,
            b"lba": b"%d" % (extents[0].position // self._block) if extents else b"",
            b"extents": _blocks_text(Extents(self._disc, extents).extents, self._block),
            b"error": "\n".join(dict.fromkeys(words)).encode("utf-8", "backslashreplace"),
        }
        return {_OWN_XATTRS + name: value for name, value in found.items() if 0 < len(value) <= limits.ATTRIBUTE_SIZE}

    # --- directories ------------------------------------------------------------------------------------------------

    def _directory(self, inode: int) -> Directory:
        """The table of a directory, parsed by one thread at a time."""
        place = self._directory_place(inode)
        if place is None:
            raise StaleInode(f"inode {inode} is no directory")
        table = self._tables.find(place)
        if table is not None:
            return table
        if not self._parsing.acquire(blocking=may_wait()):
            raise NotReady
        try:
            table = self._tables.find(place)
            if table is None:
                entries = self._parse(place)
                table = Directory(
                    entries,
                    joliet=self.joliet,
                    relaxed=self._relaxed,
                    case=self._view.case,
                    charset=self._view.iocharset if self.joliet else "utf-8",
                )
                self._tables.keep(place, table)
            return table
        finally:
            self._parsing.release()

    def _parse(self, place: int) -> dict[bytes, Entry]:
        """The entries of a directory by their names, in the disc's order."""
        data = self._directory_bytes(place)
        entries: dict[bytes, Entry] = {}
        repeated: dict[bytes, int] = {}
        above = cache(partial(self._ancestors, place))
        allowance = susp.Allowance(min(16 * len(data), limits.DIRECTORY_SIZE) + limits.MIB)
        for sections in self._files(data, place, self._usual(data, place, entries, above)):
            first = sections[0]
            if first.identifier in (SELF, PARENT) or sections[-1].flags & self._unlisted:
                continue
            rock = self._rock_ridge(first, allowance=allowance)
            if rock is not None and rock.relocated:
                continue
            if len(entries) >= limits.DIRECTORY_RECORDS:
                self.findings.add(place, f"a directory of more than {limits.DIRECTORY_RECORDS} entries was cut")
                break
            child = self._child_place(first, rock)
            if child is not None:
                reason = self._impossible(child, above(), rock)
                if reason:
                    self.findings.add(first.position, f"{self._shown(first)}: {reason}")
                    continue
                if first.unit or first.gap or len(sections) > 1:
                    self.findings.odd(first.position, "a directory cannot be interleaved or have several sections")
                inode, attributes = self._number(child), None
            else:
                inode = self._file_number(sections, rock)
                if self._directory_place(inode) is not None:
                    self.findings.add(first.position, f"{self._shown(first)}: a record at an impossible place")
                    continue
                if self._links.get(inode, first.position) == first.position:
                    attributes = self._attributes_of_file(sections, rock, inode)
                else:
                    attributes = self.attributes(inode)  # one file has one set of them
            name = self._name(first, rock)
            if name in entries:
                name = self._unique(name, first, entries, repeated)
            entries[name] = Entry(name, inode, attributes)
        if not entries and next(self._walk(data, place, _ignore), None) is None:
            raise ImageError(f"the directory at byte {place} holds no directory record: damaged")
        return entries

    def _usual(
        self, data: bytes, place: int, entries: dict[bytes, Entry], above: Callable[[], frozenset[int]]
    ) -> Callable[[int], int] | None:
        """Reads the usual records of a directory from any place in it on; None where this is not compiled."""
        if not self._compiled or not self._usual_view:
            return None
        view = self._view
        skip = self._skip if self.rock else None
        permissions = (_DEFAULT_MODE if view.mode is None else view.mode) & ~view.fmask
        about_view = (self._mapped, stat.S_IFREG | permissions, view.fmask & 0o7777, view.uid, view.gid)
        return partial(
            _records.read_usual, data, place, self._block, entries, limits.DIRECTORY_RECORDS, above, skip, *about_view
        )

    def _directory_bytes(self, place: int) -> bytes:
        """All bytes of a directory: as many as its `.` tells, or, without one, the sectors that hold records."""
        dot = self._self_record(place)
        room = min(self._disc.size - place, limits.DIRECTORY_SIZE)
        if room <= 0:
            raise ImageError(f"the directory at byte {place} lies beyond the end of the disc")
        if dot is None or not dot.size & self._most:
            if not may_wait():
                raise NotReady
            self.findings.add(place, "a directory does not tell its size; its sectors were counted")
            size = self._counted_size(place, room)
        else:
            size = dot.size & self._most
            if size > room:
                self.findings.add(place, f"a directory claims {size} bytes; {room} can be read")
                size = room
        if size > _PARSED_AT_ONCE and not may_wait():
            raise NotReady
        if self.allowance is not None:
            if size > self.allowance.left:
                raise ImageError("it was not looked at: the directories claim more than a disc of this size can hold")
            self.allowance.left -= size
        data = self._disc.pread(size, place)
        if len(data) < size:
            raise ImageError(f"the directory at byte {place} lies beyond the end of the disc")
        return data

    def _counted_size(self, place: int, room: int) -> int:
        """Bytes of the sectors from `place` on that begin with a sound record which is no other directory's first."""
        size = SECTOR
        while size < room:
            record = self._record_at(place + size)
            if record is None or record.identifier == SELF:
                break
            size += SECTOR
        return min(max(size, SECTOR), room)

    def _files(self, data: bytes, place: int, usual: Callable[[int], int] | None) -> Iterator[list[Record]]:
        """The records of a directory that `usual` does not read, the sections of each file together."""
        chain: list[Record] = []

        def ahead(at: int) -> int:
            return at if chain or usual is None else usual(at)

        for record in self._walk(data, place, self.findings.add, usual and ahead):
            if chain and not _is_section(record, chain[0]):
                self.findings.add(chain[0].position, f"{self._shown(chain[0])}: the last section is missing")
                yield chain
                chain = []
            chain.append(record)
            if not record.flags & FLAG_MULTI_EXTENT or len(chain) == limits.SECTIONS:
                yield chain
                chain = []
        if chain:
            self.findings.add(chain[0].position, f"{self._shown(chain[0])}: the last section is missing")
            yield chain

    def _child_place(self, record: Record, rock: RockRidge | None) -> int | None:
        """Where the directory that a record stands for is recorded; None if it stands for none."""
        if rock is not None:
            if rock.child is not None:
                return rock.child * self._block
            if rock.mode is not None:
                if stat.S_ISDIR(rock.mode) != bool(record.flags & FLAG_DIRECTORY):
                    self.findings.odd(record.position, "its flags and its mode disagree whether it is a directory")
                return self._place_of(record) if stat.S_ISDIR(rock.mode) else None
        return self._place_of(record) if record.flags & FLAG_DIRECTORY else None

    def _impossible(self, child: int, above: frozenset[int], rock: RockRidge | None) -> str:
        """Why a directory cannot be at a place, or nothing."""
        if not child:
            return "a directory at block 0"
        if child in above:
            return "a directory that is its own ancestor"
        if rock is not None and rock.child is not None:
            try:
                dot = self._self_record(child)
            except ImageError as error:
                return f"a relocated directory that cannot be read ({error.reason})"
            if dot is None:
                return "a relocated directory at a place where there is none"
            inner = self._rock_ridge(dot)
            if inner is not None and inner.child is not None:
                return "a relocated directory that is relocated again"
        return ""

    def _parent_place(self, place: int) -> int | None:
        """Where the parent of a directory is recorded, as its `..` (or PL there) tells; None if that is not sound."""
        try:
            dot = self._record_at(place)
            above = self._record_at(place + dot.length) if dot else None
            if above is None or above.identifier != PARENT:
                return None
            rock = self._rock_ridge(above)
            relocated = rock is not None and rock.parent is not None
            parent = rock.parent * self._block if rock and rock.parent is not None else self._place_of(above)
            if not parent or self._self_record(parent) is None:
                return self._place_of(above) if relocated else None
            return parent
        except ImageError:
            return None

    def _holder(self, record: int) -> int:
        """Where the directory is recorded in which a record lies: the `.` before it that names its own place."""
        first = record - record % self._block
        for place in range(first, max(first - limits.DIRECTORY_SIZE, 0), -self._block):
            dot = self._self_record(place)
            if dot is not None and self._place_of(dot) == place:
                return place
        raise StaleInode(f"no directory holds the record at byte {record}")

    def _ancestors(self, place: int) -> frozenset[int]:
        """The places of a directory and of all directories above it.

        The `..` records tell; a chain of them that does not end at the root is not believed.
        """
        trail = {place}
        known: frozenset[int] | None = None
        at: int | None = place
        while at != self._root and known is None:
            at = self._parent_place(at) if at is not None else None
            if at is None or at in trail or len(trail) > limits.DEPTH:
                return frozenset((place, self._root))
            known = self._trails.get(at)
            trail.add(at)
        above = frozenset(trail)
        if known is not None:
            above |= known
            if len(above) < len(trail) + len(known) - 1 or len(above) > limits.DEPTH + 1:
                return frozenset((place, self._root))
        if len(self._trails) >= _TRAILS:
            self._trails.clear()
        self._trails[place] = above
        return above

    def _file_number(self, sections: list[Record], rock: RockRidge | None) -> int:
        first = sections[0]
        linked = rock is not None and rock.nlink > 1 and rock.mode is not None and stat.S_ISREG(rock.mode)
        if rock is not None and linked and len(sections) == 1 and first.size and not first.flags & FLAG_ASSOCIATED:
            number = self._link_number(first, rock)
            if number is not None:
                return number
        return first.position + 1

    # --- names ------------------------------------------------------------------------------------------------------

    def _name(self, record: Record, rock: RockRidge | None) -> bytes:
        """The name of a record: Rock Ridge's, else Joliet's, else the mapped identifier, else its place.

        That of an associated file has `._` in front, as macOS writes it.
        """
        if record.flags & FLAG_ASSOCIATED:
            return names.showable(b"._" + self._name(record._replace(flags=record.flags & ~FLAG_ASSOCIATED), rock))
        if rock is not None and rock.name:
            name = names.showable(rock.name)
            if name:
                return name
            self.findings.add(
                record.position, f"{self._shown(record)}: its Rock Ridge name cannot be shown", harmless=True
            )
        directory = bool(record.flags & FLAG_DIRECTORY)
        name = self._mapped(record.identifier, record.system_use, directory)
        if not name:
            self.findings.odd(record.position, "nothing of its name can be shown: it is called by its place")
        return name or b"_%x" % record.position

    def _mapped(self, identifier: bytes, system_use: bytes, directory: bool) -> bytes:
        """The name that an identifier stands for; empty where nothing of it can be shown."""
        if self.joliet:
            name = names.joliet(identifier, self._view.iocharset)
        elif self.enhanced or self._view.map == "off":
            name = identifier
        elif self._view.map == "acorn":
            name = names.map_acorn(identifier, system_use, directory=directory)
        else:
            name = names.map_normal(identifier)
        return names.showable(name)

    def _shown(self, record: Record) -> str:
        """A record's identifier for messages."""
        if self.joliet:
            return names.printable(names.joliet(record.identifier).decode())
        return names.printable(record.identifier.decode("ascii", "backslashreplace"))

    def _unique(self, name: bytes, record: Record, taken: Container[bytes], repeated: dict[bytes, int]) -> bytes:
        """For the second file of a name the name with `~2`, for the third `~3`, ...

        `repeated` counts them, by what stays of the name.
        """
        self.findings.add(
            record.position, f"{self._shown(record)}: another file of the directory has this name", harmless=True
        )
        stem = names.stem(name)
        count = repeated.get(stem, 1)
        while True:
            count += 1
            other = names.numbered(name, count)
            if other not in taken:
                repeated[stem] = count
                return other


def head_of(descriptor: VolumeDescriptor) -> struct.Struct:
    """The form of records in a descriptor's tree."""
    return HIGH_SIERRA if descriptor.high_sierra else ISO_9660


def root_place(descriptor: VolumeDescriptor) -> int:
    """Byte position of the root directory that a descriptor names; the record's length is wrong on real discs.

    Raises `ImageError` where it names none.
    """
    extent, xar_blocks = extent_of(descriptor.root)
    if not extent:
        raise ImageError("the descriptor names no root directory")
    return (extent + xar_blocks) * descriptor.block_size


def _is_section(record: Record, first: Record) -> bool:
    """Whether a record can be a further section of a file: an associated file has the name of another one."""
    return record.identifier == first.identifier and not (record.flags ^ first.flags) & FLAG_ASSOCIATED


def _blocks_text(extents: Iterable[Extent], block_size: int) -> bytes:
    """Extents in logical blocks, as START+COUNT, interleaved ones as START+COUNT/UNIT/GAP, with commas between them."""
    blocks = (tuple(-(-n // block_size) for n in extent) for extent in extents)
    return b",".join(b"%d+%d/%d/%d" % row if row[2] else b"%d+%d" % row[:2] for row in blocks)


def _first_bytes(extents: list[Extent], size: int) -> list[Extent]:
    """The first bytes of a file."""
    kept = []
    for extent in extents:
        kept.append(extent._replace(length=min(extent.length, size)))
        size -= kept[-1].length
    return [extent for extent in kept if extent.length]


def _ignore(offset: int, words: str, *, harmless: bool = False) -> None:
    """Takes no note of damage that is told elsewhere."""


def _first_known(time: int | None, otherwise: int | None) -> int | None:
    return otherwise if time is None else time
