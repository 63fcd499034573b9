"""`isofs verify`: is the image sound?

What an image can be checked by depends on what it is:

| image | what is checked |
| --- | --- |
| any | each byte can be read; the volume is whole |
| compressed | each block decodes to its size, and has its own checksum where there are such |
| with checksums of the whole | they, once all blocks are there |
| of sectors with EDC | the EDC of each sector of the data tracks |

Everything is read once, from begin to end, a few megabytes at a time; blocks are decoded by some threads, and what is
decoded is summed up in order meanwhile.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from .. import limits
from ..errors import EXIT_OK, ImageError, NotADisc, UnsupportedError
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

HELP = "check that an image is sound, by all that it knows about itself"

EXIT_WARNINGS: Final = 1
EXIT_DAMAGED: Final = 2

_WORKERS: Final = 4
"""Threads that decode at most; each holds a piece."""
_SUBHEADER: Final = 8
"""Bytes in front of the data of mode 2 sectors that are stored without sync and header."""

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
    sources: list[Source] = [image.decoded]
    if image.sheet:
        sources = list({id(track.source): track.source for track in image.tracks if track.source}.values())
    with progress("", sum(source.size for source in sources)) as advance:
        for source in sources:
            _check_source(image, source, getattr(source, "path", "") if len(sources) > 1 else "", report, advance)
    report.warnings += image.warnings
    _check_volume(image, options, report)
    return report


def _check_volume(image: Image, options: Options, report: Report) -> None:
    """Whether the disc holds all of its volume, as far as the descriptors tell."""
    from ..volume import open_volume

    if image.tracks and image.track is None:
        return  # audio only
    known = len(image.warnings)
    try:
        volume = open_volume(image, options.view)
    except (NotADisc, UnsupportedError) as error:
        report.warnings.append(str(error))
    except ImageError as error:
        report.add(Damage("volume", None, None, str(error)))
    else:
        report.warnings += [*image.warnings[known:], *(finding.words for finding in volume.findings.found)]


def _check_source(image: Image, source: Source, path: str, report: Report, advance: Callable[[int], object]) -> None:
    """Reads a source once, from begin to end."""
    file = os.path.basename(path)
    note = partial(_note, image, report, file)
    blocks = image.blocks if source is image.decoded else None
    checksums = blocks.checksums if blocks else ()
    hashes = {checksum.algorithm: _Hash(checksum.algorithm) for checksum in checksums}
    tracks = [_Tracked(track, report, note) for track in image.tracks if track.source is source and _has_edc(track)]
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

    def __init__(self, track: Track, report: Report, note: Note) -> None:
        self._track = track
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
        self._strange += strange
        self._report.unchecked += unchecked + strange
        self._report.sectors += len(verdicts) - unchecked - strange
        if ecc.WRONG in verdicts:
            for number, verdict in enumerate(verdicts, first):
                if verdict == ecc.WRONG:
                    place = position + number * stride
                    self._note(Damage("sector", self._track.start + number, place, "its EDC does not fit"))

    def warning(self) -> str:
        """What is to be said about sectors that are none of data."""
        if not self._strange:
            return ""
        return f"{self._strange} sectors of track {self._track.number} have no sync pattern or an unknown mode"


# --- telling ----------------------------------------------------------------------------------------------------------


def _verdict(report: Report) -> str:
    return {EXIT_OK: "sound", EXIT_WARNINGS: "sound, with warnings", EXIT_DAMAGED: "damaged"}[report.exit_code]


def _lines(image: Image, report: Report) -> Iterator[str]:
    yield from map(str, report.damages)
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
    checked = [f"{report.bytes} bytes"]
    if report.blocks:
        checked.append(f"{report.blocks} blocks")
    if report.sectors:
        checked.append(f"the EDC of {report.sectors} sectors")
    yield f"{_verdict(report)}: {image.format}; checked {', '.join(checked)}"


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
        "checksums": [{**found._asdict(), "ok": found.found == found.expected} for found in report.sums],
        "warnings": report.warnings,
    }
