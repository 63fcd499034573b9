"""One core in C over the same blocks: how fast the decoder could be without a file system around it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from .errors import BenchmarkError

_SOURCE: Final = Path(__file__).with_name("core.c")
LIBRARIES: Final = {"deflate": "libdeflate", "lz4": "liblz4"}
"""The library of each codec."""


def build(work: Path, codec: str) -> Path | None:
    """The program for a codec, compiled when it is not there; None without a compiler or the library's headers."""
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]
    program = work / f"core-{codec}-{digest}"
    if program.exists():
        return program
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC") or "cc", "gcc", "clang"))), None)
    if compiler is None:
        return None
    part = program.with_suffix(f".{os.getpid()}")
    words = [compiler, "-O2", f"-D{codec.upper()}", "-o", os.fspath(part), os.fspath(_SOURCE), f"-l{codec}"]
    if subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode:
        return None
    part.rename(program)
    return program


def version(program: Path) -> str:
    """The version of the library that the program uses."""
    return _run(program).strip()


def speed(program: Path, image: Path, at: int, length: int) -> float:
    """MB/s of decoding the blocks that hold a range of the disc."""
    done, seconds = _run(program, os.fspath(image), str(at), str(length)).split()
    return int(done) / float(seconds) / 1e6


def _run(program: Path, *words: str) -> str:
    done = subprocess.run(
        [os.fspath(program), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkError(done.stderr.strip() or f"{program} ended with {done.returncode}")
    return done.stdout
