"""`isofs check`: what is wrong with a disc, and where?

Everything is read once: each directory and what is recorded in it, then the image from begin to end, with all that
`isofs verify` compares and the checksums of libisofs. What lies in sectors that cannot be read is called by its path.

The tree is read by the code that shows it, which tells `volume.findings.watch` of all that it passes over, so nothing
is understood here otherwise than there. Only what the reader has no use for is looked at by `structure`.
Files are read by themselves only where that tells more: zisofs has to be decoded, and a file may lie in none of the
tracks that were read.

| weight | meaning |
| --- | --- |
| note | harmless: some writers do it otherwise |
| warning | something recorded contradicts itself, or is shown otherwise than it is recorded |
| damage | a name, data or the means to boot are lost |
"""

from __future__ import annotations

import os
import stat
from argparse import Namespace
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .. import limits
from ..errors import EXIT_OK, ImageError, IsofsError, NotADisc, UnsupportedError
from .cat import PIECE
from .opening import add_image, opened_image
from .output import shown
from .parser import Parser
from .progress import progress
from .verify import EXIT_DAMAGED, EXIT_WARNINGS, Damage, Report, read_all, sources_of

if TYPE_CHECKING:
    from ..image import Image
    from ..image.source import Extent, Source
    from ..mount.options import Options
    from ..volume.iso9660.structure import Oddity, Weight
    from ..volume.iso9660.tags import FileSums, Sums, Tags
    from ..volume.iso9660.volume import Iso9660
    from ..volume.tree import Attributes, Entry, Finding

HELP = "look for everything that is wrong with a disc"

_RESULTS: Final = {EXIT_OK: "clean", EXIT_WARNINGS: "warnings", EXIT_DAMAGED: "damaged"}
_SESSIONS_WITHIN: Final = 8 * limits.MIB
"""Bytes behind the first session in which further ones are looked for."""
_PATH_SHOWN: Final = limits.LINK_TARGET
_HEARD: Final = 4 * limits.FINDINGS
"""Findings of a directory that are called by their names, and not repeated."""
_SUMS: Final = b"isofs.ca"
_INDEX: Final = b"isofs.cx"
"""Attributes of the root and of files: where the MD5 sums of files are, and which one is a file's."""
_ENTRY: Final = 12
"""Bytes of continuation areas that an entry counts besides its own: usual ones are longer than that."""
_SHARED: Final = 1 << 63
"""Marks pieces of interleaved files: other files may lie in their gaps."""


class Defect(NamedTuple):
    """Something that is not as it should be."""

    offset: int | None
    """Byte position on the disc; None where it has none."""
    path: bytes
    """The file or directory that it is about, as the mount shows it; empty where it is about the disc."""
    weight: Weight
    words: str

    def __str__(self) -> str:
        place = [] if self.offset is None else [f"byte {self.offset}"]
        path = [os.fsdecode(self.path)] if self.path else []
        return ": ".join([self.weight, *place, *path, self.words])


class Findings:
    """What was found. Of each weight at most `limits.FINDINGS` defects are kept; all are counted."""

    def __init__(self) -> None:
        self.defects: dict[Defect, None] = {}
        self.counts: Counter[str] = Counter()
        self.files = 0
        """Names of files, directories not among them."""
        self.bytes = 0
        """That were read, decoded."""

    def add(self, offset: int | None, path: bytes, weight: Weight, words: str) -> None:
        """Notes a defect, once."""
        defect = Defect(offset, path, weight, words)
        if defect not in self.defects:
            self.counts[weight] += 1
            if self.counts[weight] <= limits.FINDINGS:
                self.defects[defect] = None

    def keeps(self, weight: Weight) -> bool:
        """Whether a further defect is kept, not only counted: a path is looked for only then."""
        return self.counts[weight] < limits.FINDINGS

    @property
    def exit_code(self) -> int:
        """0: clean, perhaps with notes, 1: warnings, 2: damaged."""
        if self.counts["damage"]:
            return EXIT_DAMAGED
        return EXIT_WARNINGS if self.counts["warning"] else EXIT_OK

    def sorted(self) -> list[Defect]:
        """The defects in the disc's order; those of the whole first."""
        return sorted(self.defects, key=lambda defect: -1 if defect.offset is None else defect.offset)


def configure(parser: Parser) -> None:
    """Adds the command's arguments."""
    add_image(parser)
    parser.epilog = "Exit code: 0 clean, 1 warnings, 2 damaged; 32 not opened at all."
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object")


def run(args: Namespace) -> int:
    """Reads everything. The exit code is 0 for a clean disc, 1 if there are warnings only, 2 if it is damaged."""
    with opened_image(args) as (image, options):
        found = check(image, options)
        if args.json:
            import json

            print(json.dumps(_facts(image, found), indent=2))
        else:
            for defect in found.sorted():
                print(shown(str(defect)))
            for weight, count in found.counts.items():
                if count > limits.FINDINGS:
                    print(f"{weight}: {count - limits.FINDINGS} more")
            print(_summary(image, found))
    return found.exit_code


def _summary(image: Image, found: Findings) -> str:
    counted = [
        f"{found.counts[weight]} {weight}{'s' if found.counts[weight] > 1 else ''}"
        for weight in ("damage", "warning", "note")
        if found.counts[weight]
    ]
    files = f"{found.files} file{'' if found.files == 1 else 's'}"
    verdict = ", ".join([f"{_RESULTS[found.exit_code]}: {image.format}", *counted])
    return f"{verdict}; checked {files}, {found.bytes} bytes"


def _facts(image: Image, found: Findings) -> dict[str, Any]:
    return {
        "image": os.fsencode(image.path).decode("utf-8", "backslashreplace"),
        "defects": [
            {**defect._asdict(), "path": defect.path.decode("utf-8", "backslashreplace")} for defect in found.sorted()
        ],
        "counts": {weight: found.counts[weight] for weight in ("damage", "warning", "note")},
        "files": found.files,
        "bytes": found.bytes,
        "result": _RESULTS[found.exit_code],
    }


def check(image: Image, options: Options) -> Findings:
    """Checks a disc. Raises `ImageError` only if its files are changed meanwhile, `UsageError` for a wrong view."""
    found = Findings()
    volume = _open(image, options, found)
    tree = None if volume is None else _Tree(image, volume, found)
    if tree is not None:
        tree.walk()
    tags = _tags(image, None if tree is None else tree.first)
    sums: list[Sums[Any]] = [tags.sums()] if tree is None else [tags.sums(), tree.sums()]
    report = Report()
    from ..image.sectors import SECTOR

    size = 0 if volume is None else volume.descriptor.space_size * volume.descriptor.block_size
    read_all(image, -(-size // SECTOR), report, partial(_feed, sums))
    if image.disc not in (source for _, source in sources_of(image)):
        _read_for(sums, image.disc)
    for summed in sums:
        summed.finish()
    for offset, words in tags.damage:
        found.add(offset, b"", "damage", words)
    found.bytes += report.bytes
    _tell(image, report, tree, found)
    for words in image.warnings:
        found.add(None, b"", "warning", words)
    if tree is not None:
        tree.compare()
    return found


def _open(image: Image, options: Options, found: Findings) -> Iso9660 | None:
    """The tree as the mount shows it, from its root on; None where there is none."""
    from ..volume import open_volume
    from ..volume.iso9660.volume import Iso9660

    if image.tracks and image.track is None:
        return None
    try:
        volume = open_volume(image, options.view._replace(audio=False, subdir="", image=False, xattr=False))
    except (NotADisc, UnsupportedError) as error:
        found.add(None, b"", "warning", str(error))
    except ImageError as error:
        found.add(None, b"", "damage", str(error))
    else:
        if isinstance(volume, Iso9660):
            return volume
    return None


def _tags(image: Image, first: int | None) -> Tags:
    """The checksums of libisofs on the disc."""
    from ..volume.iso9660.tags import Tags, find_tags

    return Tags() if first is None else find_tags(image.disc, [first, *image.sessions(_SESSIONS_WITHIN)])


def _feed(sums: Iterable[Sums[Any]], offset: int, data: bytes) -> None:
    """Hands out bytes of the disc."""
    for summed in sums:
        summed.feed(offset, data)


def _read_for(sums: Sequence[Sums[Any]], disc: Source) -> None:
    """Reads what checksums are of, where the image is not read as the disc that it makes."""
    for offset in range(0, disc.size, PIECE):
        if not any(summed.wants for summed in sums):
            return
        _feed(sums, offset, _read(disc, PIECE, offset))


def _read(source: Source, n: int, offset: int) -> bytes:
    try:
        return source.pread(n, offset)
    except ImageError:
        return b""


# --- damage of the image, and whose it is -----------------------------------------------------------------------------


def _tell(image: Image, report: Report, tree: _Tree | None, found: Findings) -> None:
    """Notes what was found in the image, with the file that needs it."""
    ranges = [_on_disc(image, damage) for damage in report.damages]
    owners = tree.owners(ranges) if tree is not None and ranges else {}
    for number, (damage, place) in enumerate(zip(report.damages, ranges, strict=True)):
        owner, count = owners.get(number, (b"", 0))
        more = f" (and {count - 1} more files)" if count > 1 else ""
        found.add(None if place is None else place[0], owner, "damage", f"{damage}{more}")
    found.counts["damage"] += report.count - len(report.damages)
    for name, expected, digest in report.sums:
        if digest != expected:
            words = "cannot be told, since bytes are missing" if digest is None else f"is wrong, {digest}"
            found.add(None, b"", "damage", f"{name} {words}; recorded is {expected}")
    for words in report.warnings:
        found.add(None, b"", "warning", words)


def _on_disc(image: Image, damage: Damage) -> tuple[int, int] | None:
    """The bytes of the disc that a damage costs; None where it costs none of them."""
    from ..image.sectors import SECTOR

    source = next((source for file, source in sources_of(image) if file == damage.file), image.decoded)
    blocks = image.blocks
    tracks = [track for track in image.tracks if track.source is source]
    if damage.what == "block" and blocks is not None and damage.number is not None:
        start = blocks.start(damage.number)
        stored = blocks.read is not None or damage.number < blocks.count
        end = start + blocks.length(damage.number) if stored else blocks.disc_size
    elif damage.byte is not None:
        start = damage.byte
        end = start + next((track.stride for track in tracks), SECTOR)
    else:
        cut = next((track for track in tracks if track.number == damage.number), None)
        if cut is None:
            return None
        start, end = source.size, cut.position + cut.count * cut.stride
    if source is image.disc:
        return start, end
    shift = 0 if image.track is None else image.track.start - image.start  # the disc may begin with a later sector
    for track in tracks:
        first = max(start - track.position, 0) // track.stride
        last = min(-(-(end - track.position) // track.stride), track.count)
        if first < last:
            return (track.start + first - shift) * SECTOR, (track.start + last - shift) * SECTOR
    return None


# --- the tree ---------------------------------------------------------------------------------------------------------


class _Tree:
    """The tree of a disc, walked once, and what of the disc its files take."""

    def __init__(self, image: Image, volume: Iso9660, found: Findings) -> None:
        self.first = image.first_sector
        """The sector where the volume begins."""
        self._image = image
        self._disc = image.disc
        self._volume = volume
        self._found = found
        from ..volume.iso9660.structure import Survey

        self._above: dict[int, tuple[int, bytes]] = {}  # of a directory: the one that it was met in, and its name
        self._survey = Survey()
        self._starts, self._ends, self._owners, self._holders, self._sums = (array("Q") for _ in range(5))
        self._file_sums: FileSums | None = None
        self._apart: list[list[int]] = []  # pieces of files that overlap others: they are summed up by themselves
        self._here: int | None = None  # the directory that is looked at
        self._noted: dict[int, list[Finding]] = {}  # about what is in it, by their places
        self._heard: set[tuple[int, str]] = set()
        self._left = limits.DECODED_AGAIN * self._disc.size + limits.MIB  # bytes that may be read by themselves
        self._read: set[tuple[Extent, ...]] = set()
        self._end = 0  # of the last file
        self._advance: Callable[[int], object] = int  # tells how far the work has come

    # --- the walk ---

    def walk(self) -> None:
        """Looks at each directory once, and at each of its files."""
        from ..volume.iso9660.descriptors import FIRST, SECTOR
        from ..volume.iso9660.structure import lost_directories
        from ..volume.iso9660.susp import Allowance
        from ..volume.tree import ROOT

        volume = self._volume
        for finding in volume.findings.found:
            self._note(finding)
        volume.findings.watch = self._note
        volume.allowance = Allowance(limits.DIRECTORIES_AGAIN * self._disc.size + limits.MIB, each=_ENTRY)
        self._open_sums()
        self._take(0, 0, (self.first + FIRST) * SECTOR, 2 * SECTOR)  # a disc has a descriptor and a terminator at least
        self._end = 0
        stack = [(ROOT, 0)]
        self._above[ROOT] = ROOT, b""
        with progress("tree", 0) as self._advance:
            while stack:
                self._look_at(*stack.pop(), stack)
        self._advance = int
        for inode, oddity in lost_directories(volume, self._survey, set(map(volume.place, self._above))):
            self._odd(oddity, self._path(inode))
        volume.findings.watch = None

    def _look_at(self, inode: int, depth: int, stack: list[tuple[int, int]]) -> None:
        """Looks at a directory; what is to be looked at below it goes to `stack`."""
        self._here = inode
        place = self._volume.place(inode)
        if depth > limits.DEPTH:
            words = f"directories are nested more than {limits.DEPTH} deep; from here on they were not looked at"
            self._found.add(place, self._path(inode), "warning", words)
            return
        try:
            attributes = self._volume.attributes(inode)
            self._advance(attributes.size)
            self._take(inode, inode, place, attributes.size)
            if attributes.size:
                self._survey.sizes.setdefault(place, attributes.size)
            stack += [(below, depth + 1) for below in reversed(self._entries(inode))]
        except ImageError as error:
            self._found.add(place, self._path(inode), "damage", error.reason)
        self._say([])

    def _note(self, finding: Finding) -> None:
        """Notes what the volume has met."""
        told = finding.offset, finding.words
        if told in self._heard or "both-endian numbers of a directory record" in finding.words:
            return  # of the latter which ones, and how many of them, is said of each directory
        if len(self._heard) >= _HEARD:
            self._heard.clear()
        self._heard.add(told)
        if self._here is None:
            self._add(finding, b"")
        elif len(self._noted) >= _HEARD:
            self._add(finding, self._path(self._here))
        else:
            self._noted.setdefault(finding.offset, []).append(finding)

    def _add(self, finding: Finding, path: bytes) -> None:
        self._found.add(finding.offset, path, "warning" if finding.harmless else "damage", finding.words)

    def _say(self, entries: Sequence[Entry]) -> None:
        """Says what was met in the directory that is looked at, with the names that the mount shows."""
        assert self._here is not None
        if not self._noted:
            return
        names = {}
        for entry in entries:
            place = self._volume.place(entry.inode)
            names[place] = names[self._survey.named.get(place, place)] = entry.name
        for offset, findings in self._noted.items():
            for finding in findings:
                self._add(finding, self._path(self._here, names.get(offset, b"")))
        self._noted.clear()

    def _entries(self, inode: int) -> list[int]:
        """Looks at a directory and its files. Gives the directories in it that were not met before."""
        from ..volume.iso9660.structure import in_directory

        volume = self._volume
        entries = volume.entries(inode)
        above = volume.place(self._above[inode][0])
        for oddity in in_directory(volume, inode, above, entries, self._survey):
            self._odd(oddity, self._path(inode, oddity.name))
        for entry in entries:
            try:
                own = self._xattrs(inode, entry)
                if entry.attributes is not None:
                    self._found.files += 1
                    self._file(inode, entry, entry.attributes, int.from_bytes(own.get(_INDEX, b"")[:8], "big"))
            except IsofsError as error:
                self._lost(inode, entry, error)
        self._say(entries)
        return [entry.inode for entry in entries if entry.attributes is None and self._is_new(inode, entry)]

    def _xattrs(self, inode: int, entry: Entry) -> Mapping[bytes, bytes]:
        """Looks at the extended attributes of a file or directory; gives those of libisofs. Raises `ImageError`."""
        place = self._volume.place(entry.inode)
        recorded, own = self._volume.told_xattrs(self._survey.named.get(place, place), entry.inode)
        if recorded and not self._volume.has_xattrs:
            words = "its extended attributes are not shown: nothing in the root announces any"
            self._found.add(place, self._path(inode, entry.name), "warning", words)
        return own

    def _lost(self, inode: int, entry: Entry, error: IsofsError) -> None:
        """Notes that a file cannot be read, unless the volume has met the same."""
        reason = error.reason.removeprefix(f"{os.fsdecode(entry.name)}: ")
        place = self._volume.place(entry.inode)
        if not any(finding.words.endswith(reason) for finding in self._noted.get(place, ())):
            weight: Weight = "warning" if isinstance(error, UnsupportedError) else "damage"
            self._found.add(place, self._path(inode, entry.name), weight, reason)

    def _odd(self, oddity: Oddity, path: bytes = b"") -> None:
        self._found.add(oddity.offset, path, oddity.weight, oddity.words)

    def _is_new(self, inode: int, entry: Entry) -> bool:
        """Whether a directory was not met before; if it was then that is said."""
        if entry.inode not in self._above:
            self._above[entry.inode] = inode, entry.name
            return True
        if self._found.keeps("damage"):
            place, path = self._volume.place(entry.inode), self._path(inode, entry.name)
            while inode not in (entry.inode, self._above[inode][0]):
                inode = self._above[inode][0]
            if inode == entry.inode:
                self._found.add(place, path, "damage", "the directory contains itself")
            else:
                other = os.fsdecode(self._path(entry.inode))
                self._found.add(place, path, "warning", f"the directory is also {other}")
        return False

    def _path(self, inode: int, name: bytes = b"") -> bytes:
        """The path of a directory, or of a name in it; of a long one the end."""
        parts = [name] if name else []
        size = len(name)
        while inode != self._above[inode][0] and size <= _PATH_SHOWN:
            inode, name = self._above[inode]
            parts.append(name)
            size += len(name) + 1
        return b"/".join([b"" if size <= _PATH_SHOWN else b"...", *reversed(parts)]) or b"/"

    # --- files ---

    def _file(self, inode: int, entry: Entry, attributes: Attributes, index: int) -> None:
        """Looks where the data of a file is. `index`: the number of its MD5 sum.

        Raises `ImageError` and `UnsupportedError`.
        """
        from ..image.source import Extents

        if stat.S_ISLNK(attributes.mode):
            self._volume.readlink(entry.inode)
        if not stat.S_ISREG(attributes.mode):
            return
        data = self._volume.data(entry.inode)
        stored = data if isinstance(data, Extents) else getattr(data, "source", None)
        if not isinstance(stored, Extents):
            return
        beyond = 0
        whole = len(stored.extents) == 1 and not stored.extents[0].unit
        for extent in stored.extents:
            end = _end_of(extent)
            beyond += max(end - max(self._disc.size, extent.position), 0)
            size = end - extent.position
            self._take(entry.inode, inode, extent.position, size, whole=not extent.unit, index=whole and index)
        if beyond:
            raise ImageError(f"{beyond} of its bytes lie beyond the end of the disc")
        if stored is not data or not self._is_read(stored.extents):
            self._read_all(data, stored.extents)
        if index and self._file_sums is not None and not whole:
            self._spend(stored.size)
            path = self._path(inode, entry.name)
            self._compare(index, _md5(stored, 0, stored.size), self._volume.place(entry.inode), lambda: path)

    def _take(self, owner: int, holder: int, start: int, size: int, *, whole: bool = True, index: int = 0) -> None:
        """Remembers that bytes of the disc belong to a file or directory.

        `whole`: to it alone. `index`: the number of their MD5 sum.
        """
        end = min(start + size, self._disc.size)
        self._end = max(self._end, end)
        if start < end and len(self._starts) < limits.PIECES_CHECKED:
            for column, number in zip(
                (self._starts, self._ends, self._owners, self._holders, self._sums),
                (start, end, owner, holder | (0 if whole else _SHARED), index),
                strict=True,
            ):
                column.append(number)

    def _is_read(self, extents: Sequence[Extent]) -> bool:
        """Whether the image holds pieces of the disc where all of it is read anyway: not where no track has them."""
        from ..image.sectors import SECTOR

        image = self._image
        track = image.track
        if track is None or image.disc in (source for _, source in sources_of(image)):
            return True
        first, last = image.start * SECTOR, (image.start + track.count) * SECTOR
        return all(first <= extent.position and _end_of(extent) <= last for extent in extents)

    def _read_all(self, data: Source, extents: tuple[Extent, ...]) -> None:
        """Reads a file by itself. Raises `ImageError`."""
        if extents in self._read:
            return
        self._read.add(extents)
        self._spend(data.size)
        for offset in range(0, data.size, PIECE):
            data.pread(PIECE, offset)

    def _spend(self, size: int) -> None:
        """Allows bytes to be read by themselves. Raises `UnsupportedError`."""
        if size > self._left:
            raise UnsupportedError("its data was not read: it is too much of what the disc can hold")
        self._left -= size
        self._advance(size)

    # --- MD5 sums of files ---

    def _open_sums(self) -> None:
        """Looks for the sums of files that libisofs keeps."""
        from ..volume.iso9660.tags import FileSums
        from ..volume.tree import ROOT

        try:
            _, own = self._volume.told_xattrs(self._volume.place(ROOT), ROOT)
        except ImageError:
            return  # that is said of the root
        if _SUMS in own:
            sums = FileSums(self._disc, own[_SUMS])
            self._file_sums = None if sums.damage else sums
            if sums.damage:
                self._found.add(sums.position, b"", "damage", sums.damage)

    def sums(self) -> Sums[list[int]]:
        """The sums of the files that are in one piece."""
        from ..volume.iso9660.tags import Sums

        return Sums(self._summed(), self._judge)

    def _summed(self) -> Iterator[tuple[int, int, list[int]]]:
        """Ranges of the disc that have sums, each with the pieces that it is; those that overlap are put apart."""
        if self._file_sums is None:
            return
        starts, ends = self._starts, self._ends
        pieces = sorted(filter(self._sums.__getitem__, range(len(starts))), key=ends.__getitem__)
        pieces.sort(key=starts.__getitem__)
        reached = 0
        for (start, end), same in groupby(pieces, key=lambda piece: (starts[piece], ends[piece])):
            if start < reached:
                self._apart.append(list(same))
            else:
                reached = end
                yield start, end, list(same)

    def _judge(self, pieces: list[int], digest: bytes | None) -> None:
        """Compares the sum of a range; what is missing of it was said before."""
        for piece in pieces if digest else ():
            self._compare(self._sums[piece], digest, self._starts[piece], partial(self._owner, piece))

    def _compare(self, index: int, digest: bytes | None, offset: int, path: Callable[[], bytes]) -> None:
        """Compares the sum of a file."""
        assert self._file_sums is not None
        try:
            expected = self._file_sums.find(index)
        except ImageError:
            return  # that is said of the image
        if expected is None:
            words = f"the disc has no MD5 sum {index}, which it is told to have"
            self._found.add(offset, path() if self._found.keeps("warning") else b"", "warning", words)
        elif digest != expected:
            words = "its data was changed: its MD5 sum does not fit"
            self._found.add(offset, path() if self._found.keeps("damage") else b"", "damage", words)

    def _sum_apart(self) -> None:
        """Compares the sums of files that overlap others."""
        for pieces in self._apart:
            start, end = self._starts[pieces[0]], self._ends[pieces[0]]
            try:
                self._spend(end - start)
                self._judge(pieces, _md5(self._disc, start, end))
            except UnsupportedError as error:
                self._found.add(start, self._owner(pieces[0]), "warning", error.reason)
            except ImageError:
                continue  # that is said of the image

    def owners(self, ranges: Sequence[tuple[int, int] | None]) -> dict[int, tuple[bytes, int]]:
        """For ranges of the disc, by their numbers: one file that has bytes of it, and how many have."""
        wanted = sorted((place, number) for number, place in enumerate(ranges) if place is not None)
        ends = [end for (_, end), _ in wanted]  # ascending, since ranges do not overlap
        hits: dict[int, tuple[int, int]] = {}
        left = limits.PIECES_CHECKED
        for piece, start in enumerate(self._starts):
            for at in range(bisect_right(ends, start), len(wanted)):
                (first, _), number = wanted[at]
                if first >= self._ends[piece] or left < 0:
                    break
                left -= 1
                hits[number] = hits.get(number, (piece, 0))[0], hits.get(number, (piece, 0))[1] + 1
        return {number: (self._owner(piece), count) for number, (piece, count) in hits.items()}

    def _owner(self, piece: int) -> bytes:
        """The path of whose data a piece is."""
        owner, holder = self._owners[piece], self._holders[piece] & ~_SHARED
        if not owner:
            return b"the volume descriptors"
        if owner == holder:
            return self._path(owner)
        try:
            names = (entry.name for entry in self._volume.entries(holder) if entry.inode == owner)
            return self._path(holder, next(names, b"?"))
        except ImageError:
            return self._path(holder, b"?")

    # --- when all is known ---

    def compare(self) -> None:
        """Compares what is recorded twice, and what should be recorded once only."""
        from ..volume.iso9660.eltorito import image_size, read_catalogue
        from ..volume.iso9660.structure import in_descriptors, in_path_tables
        from ..volume.tree import ROOT

        volume, disc = self._volume, self._disc
        for oddity in in_descriptors(volume, disc, self.first, self._end):
            self._odd(oddity)
        places = {volume.place(ROOT), *self._survey.sizes}
        for oddity in in_path_tables(volume, disc, self.first, places):
            self._odd(oddity)
        catalogue = read_catalogue(disc, self.first)
        for offset, words in catalogue.damage if catalogue else ():
            self._found.add(offset, b"", "warning", words)
        for boot in catalogue.images if catalogue else ():
            try:
                image_size(disc, boot)
            except ImageError as error:
                self._found.add(boot.entry, b"", "damage", f"the boot image at sector {boot.sector}: {error.reason}")
        self._find_overlaps()
        self._sum_apart()

    def _find_overlaps(self) -> None:
        """Files that have some of their bytes in common: all of them is usual."""
        starts, ends, holders = self._starts, self._ends, self._holders
        if len(starts) == limits.PIECES_CHECKED:
            words = f"more than {len(starts)} pieces of files: whether the others overlap was not looked for"
            self._found.add(None, b"", "warning", words)
        furthest = None
        said: set[tuple[int, int]] = set()
        for piece in sorted(range(len(starts)), key=starts.__getitem__):
            if holders[piece] & _SHARED:
                continue
            if furthest is not None and starts[piece] < ends[furthest]:
                same = (starts[piece], ends[piece]) == (starts[furthest], ends[furthest])
                both = self._owners[piece], self._owners[furthest]
                if not same and both not in said and len(said) < limits.FINDINGS:
                    said.add(both)
                    other, common = self._owner(furthest), min(ends[piece], ends[furthest]) - starts[piece]
                    words = f"{common} of its bytes are also in {os.fsdecode(other)}"
                    self._found.add(starts[piece], self._owner(piece), "warning", words)
                if ends[piece] <= ends[furthest]:
                    continue
            furthest = piece


def _md5(source: Source, start: int, end: int) -> bytes:
    """The MD5 sum of some bytes. Raises `ImageError`."""
    import hashlib

    made = hashlib.md5(usedforsecurity=False)
    for offset in range(start, end, PIECE):
        made.update(source.pread(min(PIECE, end - offset), offset))
    return made.digest()


def _end_of(extent: Extent) -> int:
    """The byte behind a piece of a file, gaps counted."""
    gaps = (extent.length - 1) // extent.unit * extent.gap if extent.unit and extent.length else 0
    return extent.position + extent.length + gaps
