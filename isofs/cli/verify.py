"""`isofs verify`: is the image sound?

What an image can be checked by depends on what it is:

| image | what is checked |
| --- | --- |
| any | each byte can be read; the volume is whole; if the disc is too short, whether files reach beyond its end |
| compressed | each block decodes to its size, and has its own checksum where there are such |
| with checksums of the whole | they, once all blocks are there |
| of sectors with EDC | the EDC of each sector of the data tracks; those of the volume are data sectors |

Everything is read once, from begin to end, a few megabytes at a time; blocks are decoded by some threads, and what is
decoded is summed up in order meanwhile.
"""

from __future__ import annotations

import os
import stat
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from .. import limits
from ..errors import EXIT_OK, ImageError, IsofsError, NotADisc, UnsupportedError
from .cat import PIECE
from .opening import add_image, opened_image
from .output import shown
from .parser import Parser
from .progress import progress

if TYPE_CHECKING:
    from ..image import Image
    from ..image.blockmap import BlockMap, Checksum
    from ..image.sectors import Track
    from ..image.source import Source
    from ..mount.options import Options
    from ..volume.tree import Volume

HELP = "check that an image is sound, by all that it knows about itself"

EXIT_WARNINGS: Final = 1
EXIT_DAMAGED: Final = 2

_WORKERS: Final = 4
"""Threads that decode at most; each holds a piece."""
_SUBHEADER: Final = 8
"""Bytes in front of the data of mode 2 sectors that are stored without sync and header."""
_RUN: Final = 3
"""Damages in a row of the same kind that are told in one line."""

T = TypeVar("T")
U = TypeVar("U")


class Damage(NamedTuple):
    """Something that is not as it was written, or not there."""

    what: str
    """A block, sector, track or volume."""
    number: int | None
    """Which one of these; sectors as they are counted on the disc."""
    byte: int | None
    """Where it is stored: in the file, or what a container holds for a sector in one."""
    reason: str
    file: str = ""
    """The file, where the image is made of several."""

    def __str__(self) -> str:
        words = self.what if self.number is None else f"{self.what} {self.number}"
        words = words if self.byte is None else f"{words} at byte {self.byte}"
        return f"{self.file}: {words}: {self.reason}" if self.file else f"{words}: {self.reason}"


class Sum(NamedTuple):
    """A checksum of the whole."""

    name: str
    expected: str
    """Hexadecimal digits."""
    found: str | None
    """None: not all bytes can be had."""


@dataclass
class Report:
    """What was found."""

    bytes: int = 0
    """That were read, decoded."""
    blocks: int = 0
    """Of a container."""
    sectors: int = 0
    """Whose EDC was compared."""
    unchecked: int = 0
    """Sectors that have none."""
    damages: list[Damage] = field(default_factory=list)
    """At most `limits.FINDINGS`."""
    count: int = 0
    """Of all damages."""
    sums: list[Sum] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    not_read: list[int] = field(default_factory=list)
    """Tracks that are in sound files."""

    def add(self, damage: Damage) -> None:
        """Notes a damage."""
        self.count += 1
        if len(self.damages) < limits.FINDINGS:
            self.damages.append(damage)

    @property
    def exit_code(self) -> int:
        """0: sound, 1: with warnings, 2: damaged."""
        if self.count or any(found.found != found.expected for found in self.sums):
            return EXIT_DAMAGED
        return EXIT_WARNINGS if self.warnings else EXIT_OK


def configure(parser: Parser) -> None:
    """Adds the command's arguments."""
    add_image(parser)
    parser.epilog = "Exit code: 0 sound, 1 sound with warnings, 2 damaged; 32 not opened at all."
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object")


def run(args: Namespace) -> int:
    """Reads everything. The exit code is 0 for a sound image, 1 if there are warnings only, 2 if it is damaged."""
    with opened_image(args) as (image, options):
        report = verify(image, options)
        if args.json:
            import json

            print(json.dumps(_facts(image, report), indent=2))
        else:
            for line in _lines(image, report):
                print(shown(line))
    return report.exit_code


def verify(image: Image, options: Options) -> Report:
    """Checks an image. Raises `ImageError` only if its files are changed meanwhile."""
    report = Report()
    volume = _volume(image, options)
    read_all(image, _sectors(volume), report)
    report.warnings += image.warnings
    _check_volume(image, volume, report)
    return report


def sources_of(image: Image) -> list[tuple[str, Source]]:
    """What an image is read from, each with the `Damage.file` of what is found there."""
    if not image.sheet:
        return [("", image.decoded)]
    sources = {id(track.source): track.source for track in image.tracks if track.source}.values()
    return [(os.path.basename(getattr(source, "path", "")) if len(sources) > 1 else "", source) for source in sources]


def read_all(image: Image, volume: int, report: Report, feed: Callable[[int, bytes], None] | None = None) -> None:
    """Reads all bytes once, in order, and compares what checksums there are. `volume`: sectors of the volume.

    `feed` gets the bytes that can be read, with their places, if they are those of the disc. Raises `ImageError` only
    if the files are changed meanwhile.
    """
    sources = sources_of(image)
    report.not_read = [track.number for track in image.tracks if track.source is None]
    with progress("", sum(source.size for _, source in sources)) as advance:
        for file, source in sources:
            _check_source(image, source, volume, file, report, advance, feed if source is image.disc else None)


def _volume(image: Image, options: Options) -> Volume | IsofsError | None:
    """The volume, or why it cannot be opened; None for a disc of audio only."""
    from ..volume import open_volume

    if image.tracks and image.track is None:
        return None
    try:
        return open_volume(image, options.view._replace(audio=False))
    except IsofsError as error:
        return error


def _size(volume: Volume) -> int:
    """Bytes of a volume by its own words."""
    size = volume.describe()["volume_size"]
    return size if isinstance(size, int) else 0


def _sectors(volume: Volume | IsofsError | None) -> int:
    """Sectors of a volume."""
    from ..image.sectors import SECTOR

    return 0 if volume is None or isinstance(volume, IsofsError) else -(-_size(volume) // SECTOR)


def _check_volume(image: Image, volume: Volume | IsofsError | None, report: Report) -> None:
    """Whether the disc holds all of its volume, as far as the descriptors tell."""
    if isinstance(volume, NotADisc | UnsupportedError):
        report.warnings.append(str(volume))
    elif isinstance(volume, IsofsError):
        report.add(Damage("volume", None, None, str(volume)))
    elif volume is not None:
        if _size(volume) > image.disc.size:
            _check_files(volume, report)
        report.warnings += [finding.words for finding in volume.findings.found]


def _check_files(volume: Volume, report: Report) -> None:
    """Whether all files have their data. Only their ends are read."""
    from ..volume.tree import ROOT, walk

    lost = []
    for step in walk(volume, volume.attributes(ROOT)):
        try:
            if step.error is not None:
                raise step.error
            if step.attributes is not None and stat.S_ISREG(step.attributes.mode):
                data = volume.data(step.attributes.inode)
                data.pread(1, 0)
                data.pread(1, max(data.size - 1, 0))
        except IsofsError:
            lost.append(step.path)
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        report.add(Damage("volume", None, None, f"the disc is too short for {os.fsdecode(lost[0])!r}{more}"))


def _check_source(
    image: Image,
    source: Source,
    volume: int,
    file: str,
    report: Report,
    advance: Callable[[int], object],
    feed: Callable[[int, bytes], None] | None,
) -> None:
    """Reads a source once, from begin to end. `volume`: sectors of the volume. `feed`: see `read_all`."""
    note = partial(_note, image, report, file)
    blocks = image.blocks if source is image.decoded else None
    checksums = blocks.checksums if blocks else ()
    hashes = {checksum.algorithm: _Hash(checksum.algorithm) for checksum in checksums}
    tracks = [
        _Tracked(track, report, note, volume if track is image.track else 0)
        for track in image.tracks
        if track.source is source and _has_edc(track)
    ]
    for track in image.tracks:
        missing = track.position + track.count * track.stride - source.size
        if track.source is source and missing > 0:
            note(Damage("track", track.number, None, f"its last {missing} bytes are not there"))
    whole = 0
    stretches = _decoded(source, note) if blocks is None else _unpacked(image, blocks, note)
    if blocks is not None:
        report.blocks = _count(blocks)
    for offset, data in stretches:
        for summed in hashes.values():
            summed.update(data)
        for tracked in tracks:
            tracked.feed(offset, data)
        if feed is not None:
            feed(offset, data)
        whole += len(data)
        advance(len(data))
    report.bytes += whole
    for checksum in checksums:
        report.sums.append(_sum(checksum, hashes[checksum.algorithm].digest() if whole == source.size else None))
    report.warnings += filter(None, (tracked.warning() for tracked in tracks))


def _note(image: Image, report: Report, file: str, damage: Damage) -> None:
    """Notes a damage, unless it is none: a file that was changed is no more the one that is checked."""
    if report.count < limits.FINDINGS:
        for opened in image.files:
            opened.check()
    report.add(damage._replace(file=file))


# --- reading ----------------------------------------------------------------------------------------------------------

Note = Callable[[Damage], None]


def _in_order(work: Callable[[T], U], tasks: Iterable[T], workers: int) -> Iterator[U]:
    """What `work` makes of each task, in their order; some are at work at a time."""
    ahead: deque[Future[U]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for task in tasks:
                ahead.append(pool.submit(work, task))
                if len(ahead) > workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _decoded(source: Source, note: Note) -> Iterator[tuple[int, bytes]]:
    """The bytes of a file in large pieces, with their places; what cannot be read is noted and left out."""
    from ..image.sectors import SECTOR

    def read(offset: int) -> tuple[int, bytes | None]:
        n = min(PIECE, source.size - offset)
        try:
            data = source.pread(n, offset)
        except ImageError:
            return offset, None
        return offset, data if len(data) == n else None

    for offset, data in _in_order(read, range(0, source.size, PIECE), 1):
        if data is not None:
            yield offset, data
            continue
        for place in range(offset, min(offset + PIECE, source.size), SECTOR):
            n = min(SECTOR, source.size - place)
            try:
                sector = source.pread(n, place)
                if len(sector) != n:
                    raise ImageError("the file ends there")
            except ImageError as error:
                note(Damage("sector", place // SECTOR, place, error.reason))
            else:
                yield place, sector


def _count(blocks: BlockMap) -> int:
    """Blocks that the disc needs."""
    return -(-blocks.disc_size // blocks.block_size) if blocks.starts is None else len(blocks.starts) - 1


def _unpacked(image: Image, blocks: BlockMap, note: Note) -> Iterator[tuple[int, bytes]]:
    """The decoded bytes of a container in large pieces, with their places; blocks that are damaged are left out."""
    from ..image.cache import default_workers

    count = _count(blocks)
    described = count if blocks.read else min(blocks.count, count)
    at_once = max(PIECE // blocks.block_size, 1)
    batches = (range(first, min(first + at_once, described)) for first in range(0, described, at_once))
    if blocks.read:
        made = _in_order(partial(_read, image.decoded, blocks), batches, 1)
    else:
        made = _in_order(partial(_decode, image.decoded, blocks), batches, min(max(default_workers(), 1), _WORKERS))
    for batch in made:
        start = 0
        sound: list[bytes] = []
        for block, position, found in batch:
            if isinstance(found, bytes):
                if not sound:
                    start = blocks.start(block)
                sound.append(found)
                continue
            if sound:
                yield start, b"".join(sound)
                sound = []
            note(Damage("block", block, position, found.reason))
        if sound:
            yield start, b"".join(sound)
    if described < count:
        more = f", nor are those up to block {count - 1}" if described + 1 < count else ""
        note(Damage("block", described, None, f"it was never stored{more}"))


_Made = list[tuple[int, int | None, "bytes | ImageError"]]
"""Blocks: number, place in the file, and what became of it."""


def _read(decoded: Source, blocks: BlockMap, batch: range) -> _Made:
    """Blocks of a container that only a library reads."""
    made: _Made = []
    for block in batch:
        n = blocks.length(block)
        try:
            data = decoded.pread(n, blocks.start(block))
            made.append((block, None, data if len(data) == n else ImageError("it is cut off")))
        except ImageError as error:
            made.append((block, None, error))
    return made


def _decode(decoded: Source, blocks: BlockMap, batch: range) -> _Made:
    """Blocks that are decoded by themselves, without the cache of the disc."""
    from ..image import codecs

    stored: Source = decoded.source  # type: ignore[attr-defined]
    try:
        rows = blocks.rows(batch.start, len(batch))
    except ImageError as error:
        return [(block, None, error) for block in batch]
    wanted = codecs.rows_to_decode(rows, map(blocks.length, batch))
    return list(zip(batch, rows.positions, codecs.decode_rows(stored, wanted, blocks.block_size), strict=True))


# --- sums -------------------------------------------------------------------------------------------------------------


class _Hash:
    """A digest, while it is made."""

    def __init__(self, algorithm: str) -> None:
        self._crc = 0
        self._hash: Any = None
        if algorithm != "crc32":
            import hashlib

            self._hash = hashlib.new(algorithm, usedforsecurity=False)

    def update(self, data: bytes) -> None:
        """Takes the bytes that follow."""
        if self._hash is not None:
            self._hash.update(data)
        else:
            import zlib

            self._crc = zlib.crc32(data, self._crc)

    def digest(self) -> bytes:
        """Of all bytes so far."""
        digest: bytes = self._crc.to_bytes(4, "big") if self._hash is None else self._hash.digest()
        return digest


def _sum(checksum: Checksum, digest: bytes | None) -> Sum:
    """What a checksum is and should be; no digest: not all bytes can be had."""
    name, _, expected, derived = checksum
    if digest is None:
        return Sum(name, expected.hex(), None)
    return Sum(name, expected.hex(), (derived(digest) if derived else digest).hex())


def _has_edc(track: Track) -> bool:
    """Whether the sectors of a track are stored with their EDC."""
    from ..image.sectors import RAW

    if track.mode == "audio":
        return False
    if track.header:
        return track.stride >= RAW
    return track.mode == "mode 2" and track.offset == _SUBHEADER and track.stride >= RAW - 16


class _Tracked:
    """The sectors of a data track, which come in pieces of any size, ascending, with what is damaged left out."""

    def __init__(self, track: Track, report: Report, note: Note, volume: int = 0) -> None:
        """`volume`: the first sectors, as many as these, belong to a volume."""
        self._track = track
        self._volume = volume
        self._report = report
        self._note = note
        self._next = track.position  # the byte behind the last piece
        self._resume = track.position  # a sector begins there, those before it are done or lost
        self._rest = b""
        self._strange = 0

    def feed(self, offset: int, data: bytes) -> None:
        """Takes the bytes at an offset of the track's source."""
        from ..image import ecc

        position, stride = self._track.position, self._track.stride
        start = max(offset, position)
        end = min(offset + len(data), position + self._track.count * stride)
        if start >= end:
            return
        if start != self._next:
            self._rest = b""
            self._resume = start + -(start - position) % stride
        self._next = end
        start = max(start, self._resume)
        data = self._rest + data[start - offset : max(end, start) - offset]
        first = (start - len(self._rest) - position) // stride
        whole = len(data) - len(data) % stride
        self._rest = data[whole:]
        verdicts = ecc.verdicts(memoryview(data)[:whole], stride, header=self._track.header)
        unchecked, strange = verdicts.count(ecc.UNCHECKED), verdicts.count(ecc.STRANGE)
        self._strange += verdicts.count(ecc.STRANGE, max(self._volume - first, 0))
        self._report.unchecked += unchecked + strange
        self._report.sectors += len(verdicts) - unchecked - strange
        if ecc.WRONG in verdicts or strange:
            for number, verdict in enumerate(verdicts, first):
                if verdict == ecc.WRONG or (verdict == ecc.STRANGE and number < self._volume):
                    reason = "its EDC does not fit" if verdict == ecc.WRONG else "no sync pattern, or an unknown mode"
                    self._note(Damage("sector", self._track.start + number, position + number * stride, reason))

    def warning(self) -> str:
        """What is to be said about sectors that are none of data."""
        if not self._strange:
            return ""
        return f"{self._strange} sectors of track {self._track.number} have no sync pattern or an unknown mode"


# --- telling ----------------------------------------------------------------------------------------------------------


def _verdict(report: Report) -> str:
    return {EXIT_OK: "sound", EXIT_WARNINGS: "sound, with warnings", EXIT_DAMAGED: "damaged"}[report.exit_code]


def _told(damages: Iterable[Damage]) -> Iterator[str]:
    """A line for each damage, or for some in a row that are of the same kind."""
    for _, group in groupby(enumerate(damages), lambda pair: _kind(*pair)):
        run = [damage for _, damage in group]
        if len(run) < _RUN:
            yield from map(str, run)
            continue
        words = f"{run[0].what}s {run[0].number} to {run[-1].number}"
        yield str(run[0]._replace(what=words, number=None))


def _kind(place: int, damage: Damage) -> tuple[object, ...]:
    """The same for neighbours of which the same is to be said."""
    return damage.file, damage.what, damage.reason, place if damage.number is None else damage.number - place


def _lines(image: Image, report: Report) -> Iterator[str]:
    yield from _told(report.damages)
    if report.count > len(report.damages):
        yield f"{report.count - len(report.damages)} more damages"
    for name, expected, found in report.sums:
        if found is None:
            yield f"{name}: not to be told, since bytes are missing; recorded is {expected}"
        elif found == expected:
            yield f"{name}: ok, {found}"
        else:
            yield f"{name}: wrong, {found}; recorded is {expected}"
    for words in report.warnings:
        yield f"warning: {words}"
    if report.not_read:
        yield f"not read, since they are sound files: tracks {', '.join(map(str, report.not_read))}"
    checked = [f"{report.bytes} bytes"]
    if report.blocks:
        checked.append(f"{report.blocks} blocks")
    if report.sectors:
        checked.append(f"the EDC of {report.sectors} sectors")
    blind = "" if _has_checksums(image, report) else "; it holds no checksum"
    yield f"{_verdict(report)}: {image.format}; checked {', '.join(checked)}{blind}"


def _has_checksums(image: Image, report: Report) -> bool:
    """Whether anything tells damage that can be decoded."""
    from ..image.blockmap import DEFLATE, LZ4, LZO1X

    blocks = image.blocks
    if report.sums or report.sectors:
        return True
    return blocks is not None and bool(blocks.checked or blocks.read or blocks.kinds - {DEFLATE, LZ4, LZO1X})


def _facts(image: Image, report: Report) -> dict[str, Any]:
    return {
        "image": os.fsencode(image.path).decode("utf-8", "backslashreplace"),
        "format": image.format,
        "verdict": _verdict(report).partition(",")[0] if report.exit_code != EXIT_WARNINGS else "warnings",
        "bytes": report.bytes,
        "blocks": report.blocks,
        "sectors": report.sectors,
        "sectors_without_edc": report.unchecked,
        "damages": [damage._asdict() for damage in report.damages],
        "damage_count": report.count,
        "tracks_not_read": report.not_read,
        "checksums": [{**found._asdict(), "ok": found.found == found.expected} for found in report.sums],
        "warnings": report.warnings,
    }
