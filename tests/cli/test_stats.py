"""`isofs stats` where there is no mount to ask: what it says, and the exit code. The rest is in tests/system."""

from __future__ import annotations

from pathlib import Path

import pytest
from writers.mounting import fails, succeeds

from isofs.mount.counters import help_text


def test_the_help_explains_the_numbers() -> None:
    assert help_text() in succeeds("stats", "--help").decode()


def test_a_directory_without_a_mount(tmp_path: Path) -> None:
    assert fails(1, "stats", tmp_path) == f"{tmp_path}: nothing is mounted here; see isofs list"
    missing = tmp_path / "missing"
    assert fails(1, "stats", "--json", missing) == f"{missing}: nothing is mounted here; see isofs list"


def test_a_mount_of_something_else() -> None:
    assert fails(1, "stats", "/proc") == "/proc: this is a mount of type proc, not one of isofs; see isofs list"


@pytest.mark.parametrize("words", [(), ("one", "two"), ("--bson", "one")])
def test_wrong_calls(words: tuple[str, ...]) -> None:
    assert fails(1, "stats", *words).endswith(" --help")
