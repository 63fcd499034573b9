"""Where the log goes, and in which form."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from isofs import limits

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
    done = subprocess.run([sys.executable, "-c", LINES, *words], capture_output=True, text=True, check=True, timeout=30)
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


TO_SYSLOG: Final = """
import logging, os, sys
from isofs.mount.log import SyslogLines
lines = SyslogLines(sys.argv[1])
log = logging.Logger("isofs")
log.addHandler(lines.handler)
for i in range(int(sys.argv[2])):
    log.log([logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL][i % 4], "%s: byte %d", "disc.iso", i)
lines.send(float(sys.argv[3]))
print(os.getpid(), flush=True)
os._exit(0)  # as the daemon does
"""


@pytest.fixture
def syslog(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket where syslog listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"{tmp_path}/log")
        listener.settimeout(5)
        yield listener


def log_to(address: str, count: int, patience: float) -> int:
    """Has a process log some lines to syslog; nothing of them may go anywhere else. Gives its number."""
    words = [sys.executable, "-c", TO_SYSLOG, address, str(count), str(patience)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr == ""
    return int(done.stdout)


def test_syslog_gets_each_line_with_its_level_program_and_process(syslog: socket.socket) -> None:
    """The last one, too: the process waits until it is sent."""
    pid = log_to(syslog.getsockname(), 8, 5)
    syslog.setblocking(False)
    for i in range(8):
        priority = 3 * 8 + (6, 4, 3, 2)[i % 4]
        assert syslog.recv(4096).rstrip(b"\0") == b"<%d>isofs[%d]: disc.iso: byte %d" % (priority, pid, i)


def test_a_syslog_that_has_stopped_stops_nobody(syslog: socket.socket) -> None:
    """What it takes no more is lost."""
    start = time.monotonic()
    log_to(syslog.getsockname(), limits.FINDINGS + 2000, 0.1)
    assert time.monotonic() - start < 10


def test_without_syslog_lines_go_nowhere(tmp_path: Path) -> None:
    log_to(f"{tmp_path}/nowhere", 1000, 30)
