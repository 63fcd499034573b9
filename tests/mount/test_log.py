"""Where the log goes, and in which form."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from isofs import limits
from isofs.mount.log import SyslogLines

LINES: Final = """
import logging, os, sys
from isofs.mount import log
if sys.argv[1:]:
    status = os.fstat(2)
    os.environ["JOURNAL_STREAM"] = sys.argv[1].format(status.st_dev, status.st_ino)
log.to_stderr(debug="debug" in sys.argv)
mine = logging.getLogger("isofs")
mine.debug("fine")
mine.info("so")
mine.warning("one\\ntwo")
mine.error("bad")
mine.critical("worse")
"""


def stderr_of(*words: str) -> list[str]:
    """The lines that a process logs to its stderr."""
    done = subprocess.run(
        [sys.executable, "-c", LINES, *words], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_lines_on_stderr_begin_with_the_program() -> None:
    assert stderr_of() == ["isofs: so", "isofs: one", "two", "isofs: bad", "isofs: worse"]


def test_lines_for_the_journal_have_their_priority() -> None:
    assert stderr_of("{}:{}") == ["<6>so", "<4>one", "<4>two", "<3>bad", "<2>worse"]
    assert stderr_of("{}:{}", "debug")[0] == "<7>fine"


@pytest.mark.parametrize("stream", ["", "1:2", "{}", "nonsense", "{}:{}0"])
def test_another_stderr_than_the_journals_gets_plain_lines(stream: str) -> None:
    """JOURNAL_STREAM is inherited, and stderr may be somewhere else since."""
    assert stderr_of(stream)[0] == "isofs: so"


# --- syslog ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """Where syslog listens."""
    monkeypatch.setattr("isofs.mount.log._SYSLOG", f"{tmp_path}/log")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(f"{tmp_path}/log")
    sock.settimeout(5)
    return sock
