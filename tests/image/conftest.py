"""Runs are decoded by two implementations, which are to give the same: the compiled one, and the one in Python."""

from __future__ import annotations

import pytest

from isofs.image import decode


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
