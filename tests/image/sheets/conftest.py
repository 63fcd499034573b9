"""Sheets that are closed after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from writers.sheets import reading, sane

from isofs.image.sheets import Sheet


@pytest.fixture
def opened() -> Iterator[Callable[[Path], Sheet]]:
    """Opens a sheet; its tracks are sane."""
    with ExitStack() as stack:

        def open_it(path: Path) -> Sheet:
            sheet = stack.enter_context(reading(path))
            sane(sheet)
            return sheet

        yield open_it
