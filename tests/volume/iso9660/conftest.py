"""Directories are read in two ways, which are to give the same: by compiled code where it can, and by Python alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from isofs.volume.iso9660 import volume


@pytest.fixture(scope="module", params=["compiled", "python"])
def each_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Runs the tests of a module twice. In CI the compiled code has to be there: a skip fails the run."""
    if request.param == "compiled":
        if volume._records is None:
            pytest.skip("isofs.volume.iso9660._records is not built")
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(volume, "_records", None)
        yield
