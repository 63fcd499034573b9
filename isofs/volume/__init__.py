"""What tree is on the disc? `open_volume` recognises the file system and chooses the tree.

A volume format is one folder that gives a `tree.Volume`.
"""

from __future__ import annotations

from contextlib import suppress

from ..errors import ImageError, IsofsError, NotADisc
from ..image import Image
from ..image.sectors import SECTOR
from .iso9660 import open_iso9660, udf_stub
from .tree import View, Volume

__all__ = ["View", "Volume", "open_volume"]


def open_volume(image: Image, view: View | None = None) -> Volume:
    """The tree of an image's disc, shown by `view`. Reads a handful of sectors.

    Sentences that a person should know are added to `image.warnings`. Raises `NotADisc`, `UnsupportedError` and
    `ImageError`, each naming the path.
    """
    view = view or View()
    try:
        if not view.audio:
            volume = _data_of(image, view)
        else:
            from .audio import with_audio

            volume = with_audio(None if _is_audio_only(image) else _data_of(image, view), image.tracks, view)
        if view.subdir:
            from .subdir import subdirectory

            return subdirectory(volume, view.subdir)
        return volume
    except IsofsError as error:
        error.path = error.path or image.path
        raise


def _is_audio_only(image: Image) -> bool:
    return bool(image.tracks) and image.track is None


def _data_of(image: Image, view: View) -> Volume:
    """What is shown beside audio tracks."""
    if _is_audio_only(image):
        raise NotADisc("a disc of audio tracks only", "-o audio shows them as files")
    if view.image:
        from .whole import Whole, warning

        image.warnings += filter(None, [warning(image)])
        return Whole(image, view)
    volume = open_iso9660(image.disc, view, image.cache, image.first_sector)
    first, told = image.first_sector * SECTOR, volume.descriptor.space_size * volume.descriptor.block_size
    if not first < told <= image.disc.size:  # else it counts from the disc's begin: writers disagree
        told += first
    if told - image.disc.size >= volume.descriptor.block_size:
        image.warnings.append(
            f"the disc is shorter than its volume: {image.disc.size} of {told} bytes; what is missing reads as an error"
        )
    with suppress(ImageError):  # a damaged root is said when it is read
        image.warnings += filter(None, [udf_stub(volume)])
    return volume
