"""Sparse files of Rock Ridge: nobody knows how their pieces are recorded, so none of their bytes is shown."""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path

import pytest
from writers.discs import Disc, both_32, entry, rock
from writers.mounting import Mounting, isofs

WORDS = "recorded as a sparse file, which is not read yet"


def sparse(size: int) -> bytes:
    """An SF entry: the size, high and low word, and the depth of a table."""
    return entry(b"SF", both_32(size >> 32) + both_32(size & 0xFFFF_FFFF) + b"\1")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A disc with a sparse file and a usual one."""
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"table", system_use=rock(b"sparse") + sparse(5 << 32))
    disc.root.file(b"B.;1", b"good", system_use=rock(b"good"))
    path = tmp_path / "sparse.iso"
    path.write_bytes(disc.build())
    return path


def test_it_is_listed_and_opening_it_is_an_error_that_the_log_tells(image: Path, mounting: Mounting) -> None:
    where, process = mounting.foreground(image)
    assert (where / "sparse").stat().st_size == 5 << 32
    with pytest.raises(OSError, match=os.strerror(errno.EOPNOTSUPP)):
        os.open(where / "sparse", os.O_RDONLY)
    assert (where / "good").read_bytes() == b"good"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert err.decode().splitlines()[0] == f"isofs: {image}: /sparse: {WORDS}"


def test_check_warns_of_it_in_a_line(image: Path) -> None:
    done = isofs("check", "--json", image)
    found = [defect for defect in json.loads(done.stdout)["defects"] if defect["weight"] != "note"]
    assert done.returncode == 1
    assert [(defect["path"], defect["weight"], defect["words"]) for defect in found] == [("/sparse", "warning", WORDS)]


def test_extract_says_it_and_makes_no_file(image: Path, tmp_path: Path) -> None:
    done = isofs("extract", image, tmp_path / "target")
    assert (done.returncode, done.stderr.decode()) == (32, f"isofs: {image}: sparse: {WORDS}\n")
    assert os.listdir(tmp_path / "target") == ["good"]
