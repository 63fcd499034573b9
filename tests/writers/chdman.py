"""Images by chdman, and what it says about them."""

from __future__ import annotations

import math
import re
import struct
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from writers.edc import form_1, mode_1, raw_disc
from writers.tools import find, require

DVD_CODECS: Final = ("zlib", "lzma", "huff", "flac", "zstd", "none")
CD_CODECS: Final = ("cdzl", "cdlz", "cdfl", "cdzs", "none")
_SECOND: Final = 75


@cache
def version() -> tuple[int, ...]:
    """That of the chdman there is; of none (0,)."""
    tool = find("chdman")
    told = subprocess.run([tool], capture_output=True, text=True, check=False).stdout if tool else ""
    found = re.search(r"manager (\d+)\.(\d+)", told)
    return tuple(map(int, found.groups())) if found else (0,)


def chdman(*words: str | Path) -> str:
    """Runs it; gives what it says."""
    return subprocess.run([require("chdman"), *map(str, words)], capture_output=True, text=True, check=True).stdout


def require_codec(codec: str) -> None:
    """Skips the test if there is no chdman, or none that knows a codec."""
    require("chdman")
    if codec in ("zstd", "cdzs") and version() < (0, 264):
        pytest.skip("needs chdman 0.264 for zstd")


def knows_dvds() -> bool:
    """Whether it tells DVDs from other data."""
    return version() >= (0, 264)


def of_a_dvd(disc: bytes, codec: str, directory: Path) -> Path:
    """A CHD of a DVD, or of data where chdman knows no DVDs."""
    require_codec(codec)
    (directory / "disc.iso").write_bytes(disc)
    made = directory / f"{codec}.chd"
    how = ["createdvd"] if knows_dvds() else ["createraw", "-us", "2048"]
    chdman(*how, "-i", directory / "disc.iso", "-o", made, "-c", codec, "-hs", "4096")
    return made


def of_a_cd(disc: bytes, codec: str, directory: Path, mode: int = 1) -> Path:
    """A CHD of a CD: the disc as raw sectors, and a track of waves."""
    require_codec(codec)
    (directory / "data.bin").write_bytes(_raw(disc, mode))
    samples = (int(9000 * math.sin(i / 40)) for i in range(_SECOND * 588))
    (directory / "waves.bin").write_bytes(b"".join(struct.pack("<hh", value, -value // 2) for value in samples))
    cue = directory / "disc.cue"
    cue.write_text(
        f'FILE "data.bin" BINARY\n  TRACK 01 MODE{mode}/2352\n    INDEX 01 00:00:00\n'
        'FILE "waves.bin" BINARY\n  TRACK 02 AUDIO\n    INDEX 01 00:00:00\n'
    )
    made = directory / f"{codec}.chd"
    chdman("createcd", "-i", cue, "-o", made, "-c", codec)
    return made


@cache
def _raw(disc: bytes, mode: int) -> bytes:
    return raw_disc(disc, mode_1 if mode == 1 else form_1)


def sums(image: Path) -> set[str]:
    """The SHA-1s that it tells, of the data and with metadata."""
    return set(re.findall(r"SHA1: +([0-9a-f]{40})", chdman("info", "-i", image)))
