"""Runs are decoded by two implementations, which are to give the same: the compiled one, and the one in Python."""

from __future__ import annotations

import os

import pytest

from isofs.image import decode
from isofs.image.source import FileSource


@pytest.fixture(params=["compiled", "Python"])
def slots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[decode.Slots]:
    """One implementation of `Slots`, which is the one that serves. In CI a skip fails the run."""
    if request.param == "Python":
        monkeypatch.setattr(decode, "compiled", None)
        return decode.Slots
    module = pytest.importorskip("isofs.image._decode", reason="install with a C compiler, libdeflate and liblz4")
    monkeypatch.setattr(decode, "compiled", module)
    quick: type[decode.Slots] = module.Slots
    return quick


@pytest.fixture
def opened_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every path that is opened as an image's file, links followed."""
    paths: list[str] = []
    usual = FileSource.__init__

    def noting(self: FileSource, path: str) -> None:
        paths.append(os.path.realpath(path))
        usual(self, path)

    monkeypatch.setattr(FileSource, "__init__", noting)
    return paths
