"""Flipped bytes behind real mounts, a few of each format. More of them: `python -m fuzz.flips --mounts 5000`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from writers.tools import PRIVATE_MOUNTS, require

from fuzz.flips import FORMATS, contents, flipped, matches, sound, truths


def test_damaged_images_show_right_data_or_errors() -> None:
    require("/dev/fuse")
    require(PRIVATE_MOUNTS)
    mounts = 4 * len(FORMATS)
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.flips", "--mounts", str(mounts), "--jobs", "2"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    words = done.stdout.splitlines()[-2].split()
    assert words[:2] == ["all", str(mounts)]
    assert int(words[3]) > 10 * mounts, "of most images most files are right"


def test_what_is_stored_nowhere_is_told_from_what_is() -> None:
    disc, places = sound()
    known = contents([disc], places)
    chunks: list[bytes | None] = [known[2][at : at + 2048] for at in range(0, len(known[2]), 2048)]
    assert matches(chunks, known[2])
    assert matches([None, *chunks[1:]], known[2])
    assert not matches([b"x" * 2048, *chunks[1:]], known[2])
    assert not matches(chunks[:-1], known[2])
    assert not matches([chunks[0], bytes(2048), *chunks[2:]], known[2])


def test_damaged_blocks_of_formats_without_checksums_are_decoded_here_too() -> None:
    disc, _ = sound()
    for name, stored in FORMATS.items():
        if stored.decode is None:
            continue
        assert b"".join(block or b"" for block in stored.decode(stored.write(disc))) == disc, name
        assert any(truths(name, flipped(name, number, 1)[0])[0] != disc for number in range(20)), name
