"""Fixtures of tests that mount: a disc, mounts, a room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from writers.mounting import Mounting, make_disc, make_source
from writers.room import Room, furnished
from writers.tools import require


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree that is on the disc."""
    return make_source(tmp_path_factory.mktemp("tree") / "source")


@pytest.fixture(scope="session")
def disc(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disc of that tree."""
    return make_disc(source, tmp_path_factory.mktemp("disc") / "disc.iso")


@pytest.fixture
def mounting(tmp_path: Path) -> Iterator[Mounting]:
    """Mounts of one test."""
    require("/dev/fuse")
    own = Mounting(tmp_path)
    try:
        yield own
    finally:
        own.clean()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A room for all tests of a file: the machine with an /etc, /dev and /sbin of its own."""
    for tool in ("findmnt", "mount.fuse3", "fusermount3"):
        require(tool)
    with furnished(tmp_path_factory.mktemp("room")) as room:
        yield room
