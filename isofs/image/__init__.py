"""Which bytes is the disc? `open_image` answers, whatever the file is.

Three steps, each at most once: what the bytes of the image are (a file, or parts of a split one), a container that
keeps them in blocks (`CONTAINERS`), and tracks of sectors: told by a sheet (`sheets`) or by the container, or found by
a look at the content (`sectors`).

A container format is one module with `open_map(source, wishes) -> BlockMap`, and one line in `CONTAINERS`. It is
imported when its magic is found. What is no disc is refused by name (`refusals`).
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, Self

from .. import limits
from ..errors import ImageError, IsofsError, UnsupportedError, UsageError
from . import refusals
from .beside import Beside
from .blockmap import BlockMap
from .cache import BlockCache, RunCache
from .disc import Disc
from .places import begun, cut_out, find_sessions, holds, placed, without_audio
from .sectors import SECTOR, Layout, Sectors, Track, choose, counts_from_itself, find_layout, find_raw
from .source import Extent, Extents, FileSource, Source
from .wishes import NO_WISHES, Wishes

CONTAINERS: Final = (
    (b"CISO", "cso"),
    (b"ZISO", "zso"),
    (b"DAX\0", "dax"),
    (b"JISO", "jiso"),
    (b"MComprHD", "chd"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    *((b"%c\x2a\x4d\x18" % first, "zstd") for first in range(0x50, 0x60)),  # a skippable frame first
    (b"\x37\xe4\x53\x96\xc9\xdb\xd6\x07", "zisofs"),
    (b"\xef\x22\x55\xa1\xbc\x1b\x95\xa0", "zisofs"),
)
"""Magic at byte 0, and the module that reads what follows."""

_MAGICS: Final = tuple(magic for magic, _ in CONTAINERS)
_FOR_BLOCKS: Final = 4
"""Of the cache a fourth is for blocks, the rest for runs."""


class Image:
    """An open image and the disc in it. A context manager that closes its files."""

    def __init__(self, path: str, *, cache: int, threads: int | None, wishes: Wishes) -> None:
        """See `open_image`."""
        self.path = path
        """The image's name, as it was given."""
        self.warnings: list[str] = []
        """What a person should know about the image, a sentence each."""
        self.cache = BlockCache(cache)
        """Decoded blocks; zisofs files share it."""
        self.blocks: BlockMap | None = None
        """The block map of a compressed image, else None."""
        self.runs: RunCache | None = None
        """Decoded runs of files, where blocks are small enough."""
        self.sheet = ""
        """What kind of sheet tells the tracks; empty if none does."""
        self._told = False
        """Whether a sheet or the container tells the tracks."""
        if wishes.sbsector is not None and wishes.session is not None:
            raise UsageError("options session and sbsector exclude each other", "leave one of them out")
        self._beside = Beside(path)
        try:
            self.file = self._beside.adopt(path)
            """The file itself; the first one of several."""
            source = self._bytes()
            self.blocks = _block_map(source, wishes)
            if wishes.parent and not (self.blocks and self.blocks.parent):
                raise UsageError("it has no parent", "leave parent= out")
            self.decoded = source if self.blocks is None else self._decoded(source, self.blocks, cache, threads, wishes)
            """The bytes that the container holds: the file's own if it is none."""
            self.tracks = self._tracks(source, wishes)
            """The tracks of the disc; none for plain sectors of 2048 bytes from its begin to its end."""
            self.disc, self.track, self._begin = self._disc(wishes)
            self.first_sector = self._volume_start(wishes)
        except BaseException:
            self.close()
            raise

    disc: Source
    """The bytes of the disc, sectors of 2048 bytes: block numbers on the disc count from its begin."""
    track: Track | None
    """The track that holds the volume. None: the whole disc does, or there are audio tracks only."""
    first_sector: int
    """Where on the disc the volume begins."""

    @property
    def files(self) -> list[FileSource]:
        """All files that the image is made of."""
        return self._beside.opened

    @property
    def format(self) -> str:
        """The container's or sheet's name: "plain disc image", "CSO version 1", ..."""
        if self.blocks is not None:
            return self.blocks.format
        return self.sheet or "plain disc image"

    @property
    def data(self) -> Source:
        """The sectors of the volume's track, 2048 bytes each; of a disc that is not told in tracks, all."""
        if self.track is None:
            return self.disc
        count = self.track.end - self._begin - self.start
        return Extents(self.disc, [Extent(self.start * SECTOR, count * SECTOR)], "the track")

    def sessions(self, most: int | None = None) -> list[int]:
        """The sectors where sessions begin, found by a look at the disc; with `most` at so many bytes behind the first.

        Empty where tracks are told: they know their sessions.
        """
        return [] if self._told else find_sessions(self.disc, self.start, most)

    @property
    def start(self) -> int:
        """The sector of the disc with which `data` begins: where the volume's track does."""
        return 0 if self.track is None else max(self.track.start - self._begin, 0)

    def close(self) -> None:
        """Closes the files. Reads fail from then on."""
        if self.runs is not None:
            self.runs.close()
        self._beside.close()

    def rest(self) -> None:
        """Gives back memory that was of use for files being read; for the thread that reads them."""
        if self.runs is not None:
            self.runs.shed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _bytes(self) -> Source:
        """What the image is in one piece: its file, or the parts of a split one."""
        from .parts import joined

        if not self.file.size:
            raise ImageError("the file is empty (0 bytes)", "copy the image again")
        source = joined(self.file, self._beside)
        if source.size < limits.SMALLEST_IMAGE and not source.pread(8, 0).startswith(_MAGICS):
            refusals.find_magic(source, refusals.MAGICS)  # a name says more than a size
            raise ImageError(f"too short for a disc image ({source.size} bytes; truncated?)", "copy the image again")
        return source

    def _decoded(self, source: Source, blocks: BlockMap, cache: int, threads: int | None, wishes: Wishes) -> Source:
        self.warnings += blocks.warnings
        if blocks.parent:
            from .parents import with_parents

            source = with_parents(source, blocks, self._beside, wishes, self.cache)
        if blocks.read is None and blocks.starts is None and blocks.block_size <= limits.RUN_BLOCK_SIZE:
            self.cache.limit = cache // _FOR_BLOCKS
            self.runs = RunCache(source, blocks, limit=cache - cache // _FOR_BLOCKS, threads=threads)
        return Disc(source, blocks, self.cache, self.runs)

    def _tracks(self, source: Source, wishes: Wishes) -> tuple[Track, ...]:
        """The tracks that the container, a sheet or the content tells. Raises what `refusals` do for no disc."""
        decoded, blocks = self.decoded, self.blocks
        if blocks is not None and blocks.tracks:
            self._told = True
            return placed([track._replace(source=decoded) for track in blocks.tracks], wishes.shift)
        if blocks is None:
            refusals.find_magic(source, refusals.MAGICS)
            from .sheets import find_sheet

            sheet = find_sheet(source)
            if sheet is not None:
                found = sheet.open_sheet(source, self._beside)
                self._told = True
                self.sheet = found.format
                self.warnings += found.warnings
                return tuple(found.tracks) if wishes.shift is None else placed(found.tracks, wishes.shift)
        try:
            if blocks is not None:
                refusals.nested(decoded, _MAGICS)
            layout = find_layout(decoded)
            if layout is None and wishes.sbsector:
                layout = _plain_from(decoded, wishes.sbsector)
            if layout is None:
                refusals.find_udf(decoded)
                layout = find_raw(decoded)
            if layout is None:
                refusals.refuse(decoded)
        except (ImageError, UnsupportedError) as error:
            if blocks is None:
                raise
            raise type(error)(f"{error.reason} (inside {blocks.format})", error.remedy) from None
        self.warnings += refusals.warnings(decoded)
        if layout.stride == SECTOR and not layout.position:
            track = cut_out(decoded, wishes.shift)
            return () if track is None else (track,)
        return placed([without_audio(layout.track(decoded))], wishes.shift)

    def _disc(self, wishes: Wishes) -> tuple[Source, Track | None, int]:
        """The disc, the track of the volume and the sector of all tracks with which the disc begins."""
        tracks, first = self.tracks, wishes.sbsector
        track = choose(tracks, wishes.track, wishes.session if self._told and wishes.session != "last" else None)
        if first is not None and self._told:
            track = holds(tracks, first, wishes.track)
        if first is None:
            first = 0 if track is None else track.start
        if track is None:
            disc = Sectors(tracks) if tracks else self.decoded
            if not counts_from_itself(disc, first):
                return disc, None, 0
            whole = Track(1, "mode 1", 0, self.decoded.size // SECTOR, self.decoded, 0, SECTOR)
            return Sectors(begun([whole], first)), None, first
        if len(tracks) == 1 and track.stride == SECTOR and not track.start and not first:
            assert track.source is not None
            if track.source.size == track.count * SECTOR:  # what holds the track holds nothing else
                return track.source, track, 0
        disc = Sectors(tracks)
        if counts_from_itself(disc, first):
            return Sectors(begun(tracks, first)), track, first
        return disc, track, 0

    def _volume_start(self, wishes: Wishes) -> int:
        """The sector of the disc where the volume begins."""
        if wishes.sbsector is not None:
            return wishes.sbsector - self._begin
        if wishes.session is None or self._told:
            return self.start
        found = self.sessions() or [self.start]
        if wishes.session == "last":
            return found[-1]
        if wishes.session >= len(found):
            known = ", ".join(map(str, range(len(found))))
            raise UsageError(f"session {wishes.session} is not on the disc", f"sessions: {known}")
        return found[wishes.session]


def open_image(
    path: str, *, cache: int = limits.CACHE_DEFAULT, threads: int | None = None, wishes: Wishes = NO_WISHES
) -> Image:
    """Opens a disc image, plain or compressed, or described by a sheet; recognised by its content.

    `cache`: bytes of decoded data to keep. `threads`: workers that decode ahead; None: by the number of cores.

    Raises `NoImage` for what is no regular file or block device, `NotADisc` and `UnsupportedError` for other formats,
    `ImageError` for damage, `UsageError` for wishes that cannot be met; each names the path.
    """
    try:
        return Image(path, cache=cache, threads=threads, wishes=wishes)
    except IsofsError as error:
        error.path = error.path or path
        raise


def _plain_from(source: Source, sector: int) -> Layout | None:
    """The layout of plain sectors, if there is a volume that begins at a sector of them."""
    layout = find_layout(source, sector * SECTOR)
    return layout._replace(position=0) if layout is not None and layout.stride == SECTOR else None


def _block_map(source: Source, wishes: Wishes) -> BlockMap | None:
    head = source.pread(max(map(len, _MAGICS)), 0)
    for magic, module in CONTAINERS:
        if head.startswith(magic):
            blocks: BlockMap = import_module(f"{__name__}.{module}").open_map(source, wishes)
            return blocks
    return None
