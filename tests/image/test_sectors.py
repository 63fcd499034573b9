"""Tracks of sectors, and the disc that they make."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writers.containers import cso, jiso, overwritten, raw_deflate, zso
from writers.discs import (
    Disc,
    both_32,
    content,
    descriptor,
    directory_paths,
    marker,
    numbered_blocks,
    record,
)
from writers.sheets import FORM_2_SUBHEADER, KINDS, header, raw, stored
from writers.slow import stalling
from writers.sources import Memory, assert_same
from writers.threads import impatient, in_thread
from writers.tools import require

from isofs.errors import ImageError, NotADisc, NotReady, UsageError
from isofs.image import Image, open_image
from isofs.image.sectors import SECTOR, Sectors, Track, choose, counts_from_itself, find_layout
from isofs.image.source import Extent, Extents, FileSource, Stream, open_stream
from isofs.image.wishes import Wishes
from isofs.volume import open_volume

RAW: Final = 2352


def a_disc(*, xa: bool = False) -> bytes:
    """A small disc: two files, one of them in a directory, of which one ends within a sector."""
    disc = Disc()
    disc.root.file(b"NUMBERED.BIN;1", numbered_blocks(60) + b"an odd end")
    disc.root.directory(b"DEEP").file(b"SMALL.TXT;1", b"small")
    return disc.build(disc.primary(xa=xa), marker(b"CD001", 255))
