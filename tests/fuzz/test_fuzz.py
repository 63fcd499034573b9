"""A minute of broken images, the same each time. The long run is `script/fuzz`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.targets import TARGETS

_OF_FILES = {"cue", "toc", "gdi", "ccd", "mds", "nrg", "cdi", "sectors", "parts", "audio", "image"}


@pytest.mark.parametrize("target", TARGETS)
def test_any_bytes_are_read_or_refused(target: str, tmp_path: Path) -> None:
    """In a process of its own, whose memory is limited, and whose end by a signal is a find as well."""
    inputs = 100 if target in _OF_FILES else 500
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", "--json", "--inputs", str(inputs), "--finds", str(tmp_path), target],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.stdout.startswith("{"), f"it ended with {done.returncode}: {done.stderr[-3000:]}"
    result = json.loads(done.stdout)
    assert not result["finds"], "\n".join(result["finds"])
    assert result["inputs"] == inputs
    assert result["passed"] >= inputs // 3, "what does not get past the header tries little"
