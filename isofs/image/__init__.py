"""Which bytes is the disc? `open_image` answers, whatever the file is.

A container format is one module with `open_map(source) -> BlockMap`, and one line in `CONTAINERS`. It is imported when
its magic is found. A file without one is a plain disc, or refused by name (`refusals`).
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, Self

from .. import limits
from ..errors import ImageError, IsofsError
from . import refusals
from .blockmap import BlockMap
from .cache import BlockCache, RunCache
from .disc import Disc
from .source import FileSource, Source

CONTAINERS: Final = (
    (b"CISO", "cso"),
    (b"ZISO", "zso"),
    (b"DAX\0", "dax"),
    (b"JISO", "jiso"),
)
"""Magic at byte 0, and the module that reads what follows."""

_FOR_BLOCKS: Final = 4
"""Of the cache a fourth is for blocks, the rest for runs."""


class Image:
    """An open image file and the disc in it. A context manager that closes the file."""

    def __init__(
        self, file: FileSource, disc: Source, cache: BlockCache, blocks: BlockMap | None, warnings: list[str]
    ) -> None:
        self.file = file
        """The file itself."""
        self.disc = disc
        """The bytes of the disc: the file itself for a plain image."""
        self.cache = cache
        """Decoded blocks; zisofs files share it."""
        self.blocks = blocks
        """The block map of a compressed image, else None."""
        self.warnings = warnings
        """What a person should know about the image, a sentence each."""

    @property
    def path(self) -> str:
        """The file's name, as it was given."""
        return self.file.path

    @property
    def format(self) -> str:
        """The container's name: "plain disc image", "CSO version 1", ..."""
        return self.blocks.format if self.blocks else "plain disc image"

    def close(self) -> None:
        """Closes the file. Reads fail from then on."""
        if isinstance(self.disc, Disc) and self.disc.runs is not None:
            self.disc.runs.close()
        self.file.close()

    def rest(self) -> None:
        """Gives back memory that was of use for files being read; for the thread that reads them."""
        if isinstance(self.disc, Disc) and self.disc.runs is not None:
            self.disc.runs.shed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_image(path: str, *, cache: int = limits.CACHE_DEFAULT, threads: int | None = None) -> Image:
    """Opens a disc image, plain or compressed, recognised by its content.

    `cache`: bytes of decoded data to keep. `threads`: workers that decode ahead; None: by the number of cores.

    Raises `NoImage` for what is no regular file or block device,
    `NotADisc` and `UnsupportedError` for other formats, `ImageError` for damage; each names the path.
    """
    file = FileSource(path)
    try:
        if not file.size:
            raise ImageError("the file is empty (0 bytes)", "copy the image again")
        if file.size < limits.SMALLEST_IMAGE:
            refusals.find_magic(file, refusals.MAGICS)  # a name says more than a size
            raise ImageError(f"too short for a disc image ({file.size} bytes; truncated?)", "copy the image again")
        blocks = _block_map(file)
        if blocks is None:
            return Image(file, file, BlockCache(cache), None, refusals.refuse(file))
        runs = None
        if blocks.block_size <= limits.RUN_BLOCK_SIZE:
            runs = RunCache(file, blocks, limit=cache - cache // _FOR_BLOCKS, threads=threads)
        kept = BlockCache(cache if runs is None else cache // _FOR_BLOCKS)
        disc = Disc(file, blocks, kept, runs)
        try:
            warnings = refusals.refuse(disc, tuple(magic for magic, _ in CONTAINERS))
        except ImageError as error:
            raise type(error)(f"{error.reason} (inside {blocks.format})", error.remedy) from None
        return Image(file, disc, kept, blocks, [*blocks.warnings, *warnings])
    except IsofsError as error:
        file.close()
        error.path = error.path or path
        raise
    except BaseException:
        file.close()
        raise


def _block_map(file: FileSource) -> BlockMap | None:
    head = file.pread(max(len(magic) for magic, _ in CONTAINERS), 0)
    for magic, module in CONTAINERS:
        if head.startswith(magic):
            blocks: BlockMap = import_module(f"{__name__}.{module}").open_map(file)
            return blocks
    return None
