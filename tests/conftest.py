"""What holds for every test: in CI a test that is skipped fails the run, and examples are the same each time."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Machines are slow at times. In CI the examples are the same each time: a new one found there would say nothing about
# the change that is tested.
settings.register_profile("isofs", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("isofs"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "isofs")

_skipped: list[str] = []


@pytest.fixture(scope="session", autouse=True)
def _own_cache_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Indexes that tests have made do not go into the cache directory of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes each skip and its reason."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _skipped.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing may be skipped."""
    if os.environ.get("CI") and _skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says why a run without failures failed."""
    if os.environ.get("CI") and _skipped:
        terminalreporter.section("unexpected skips")
        for line in _skipped:
            terminalreporter.write_line(line)
