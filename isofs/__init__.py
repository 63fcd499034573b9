"""Look inside disc images: ISO 9660, plain or compressed.

The Python API: `open_image` finds the disc in a file, `open_volume` the tree on the disc; the errors tell whose fault
a failure is. Nothing else is public.

    with isofs.open_image("game.cso") as image:
        volume = isofs.open_volume(image)
        found = volume.lookup(1, b"README.TXT")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import (
        ImageError,
        IsofsError,
        MountFailed,
        NoEntryError,
        NoImage,
        NotADisc,
        StaleInode,
        SystemRefused,
        UnsupportedError,
        UsageError,
    )
    from .image import Image, open_image
    from .volume import View, Volume, open_volume

__all__ = [
    "Image",
    "ImageError",
    "IsofsError",
    "MountFailed",
    "NoEntryError",
    "NoImage",
    "NotADisc",
    "StaleInode",
    "SystemRefused",
    "UnsupportedError",
    "UsageError",
    "View",
    "Volume",
    "open_image",
    "open_volume",
]

_FROM = {"open_image": "image", "Image": "image", "open_volume": "volume", "View": "volume", "Volume": "volume"}


def __getattr__(name: str) -> object:
    """Imports what is asked for when it is asked for: `isofs --help` needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_FROM.get(name, 'errors')}", __name__), name)
