"""A minute of broken images, the same each time, and one of atheris. The long run is `script/fuzz`."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.engine import Figures
from fuzz.targets import TARGETS

_OF_FILES = {"cue", "toc", "gdi", "ccd", "mds", "nrg", "cdi", "sectors", "parts", "parents", "audio", "image"}


def tried(target: str, tmp_path: Path, *options: str) -> Figures:
    """Inputs in a process of its own, whose memory is limited, and whose end by a signal is a find as well."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.one", target, str(tmp_path), str(corpus), str(tmp_path), *options],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return Figures.read(tmp_path / "figures")


@pytest.mark.parametrize("target", TARGETS)
def test_any_bytes_are_read_or_refused(target: str, tmp_path: Path) -> None:
    """Changes of sound images, with the compiled modules."""
    inputs = 100 if target in _OF_FILES else 500
    figures = tried(target, tmp_path, "--blind", "--compiled", "--inputs", str(inputs))
    assert figures.inputs == inputs
    assert figures.passed >= inputs // 3, "what does not get past the header tries little"


if platform.machine() == "x86_64":  # there are no wheels for others

    @pytest.mark.parametrize("target", TARGETS)
    def test_atheris_finds_nothing(target: str, tmp_path: Path) -> None:
        """Changes of what was new, with the Python twins of the compiled modules, so that all lines guide."""
        inputs = 75 if target in _OF_FILES else 150
        figures = tried(target, tmp_path, "--inputs", str(inputs))
        assert figures.inputs >= inputs
        assert figures.passed >= inputs // 10
        assert len(list((tmp_path / "corpus").glob("[0-9a-f]*"))) > 3, "nothing guides"
