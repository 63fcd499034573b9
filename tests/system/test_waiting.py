"""The wait for requests, in real mounts: it serves, it costs nothing when idle, and it ends with the mount."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from writers.mounting import Mounting, daemon_of, wait_until_gone
from writers.tools import require

MANY_MOUNTS = """
    # Mounts and unmounts again and again, in one process: its imports are done once.
    import os, subprocess, sys, time
    from isofs.image import open_image
    from isofs.mount import serve
    from isofs.mount.options import parse_options
    from isofs.volume import open_volume

    image, point, times, words = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    late = 0
    for turn in range(times):
        options = parse_options([words])
        opened = open_image(image)
        volume = open_volume(opened, options.view)
        serve.mount(opened, volume, point, options)
        names = os.listdir(point)
        reader = None
        if turn % 3:  # at times requests are under way
            with open(os.path.join(point, "numbered.bin"), "rb") as file:
                reader = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.DEVNULL)
        if turn % 3 == 1:
            reader.wait()
        subprocess.run(["umount", "-l", point] if os.geteuid() == 0 else ["fusermount3", "-uz", point], check=True)
        if reader is not None:
            reader.wait()
        end = time.monotonic() + 1
        while os.waitpid(-1, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                late += 1
                os.waitpid(-1, 0)
                break
            time.sleep(0.001)
        opened.close()
    print(late)
"""


@pytest.mark.parametrize(("times", "options"), [(100, ""), (10, "nospin")])
def test_the_daemon_ends_within_a_second_of_its_mount(disc: Path, tmp_path: Path, times: int, options: str) -> None:
    require("/dev/fuse")
    point = tmp_path / "point"
    point.mkdir()
    words = [sys.executable, "-c", textwrap.dedent(MANY_MOUNTS), str(disc), str(point), str(times), options]
    done = subprocess.run(words, capture_output=True, text=True, timeout=110, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def cpu_time(pid: int) -> int:
    """Nanoseconds that all threads of a process have run."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def test_an_idle_mount_uses_no_processor_time(disc: Path, mounting: Mounting) -> None:
    point = mounting.mount(disc)
    pid = daemon_of(point)
    (point / "numbered.bin").read_bytes()
    time.sleep(0.1)  # the last requests, and the wait that follows them
    before = cpu_time(pid)
    time.sleep(0.5)
    assert cpu_time(pid) - before < 1_000_000


def test_a_mount_serves_with_and_without_the_quick_wait(disc: Path, source: Path, mounting: Mounting) -> None:
    for options in ("ro", "nospin"):
        point = mounting.mount(disc, "-o", options)
        assert (point / "numbered.bin").read_bytes() == (source / "numbered.bin").read_bytes()
        assert len(os.listdir(point / "wide")) == len(os.listdir(source / "wide"))


def test_on_one_core_the_wait_is_that_of_trio(disc: Path, source: Path, mounting: Mounting) -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})  # the daemon inherits it
    try:
        point = mounting.mount(disc)
    finally:
        os.sched_setaffinity(0, before)
    assert (point / "numbered.bin").read_bytes() == (source / "numbered.bin").read_bytes()
    pid = daemon_of(point)
    mounting.clean()
    wait_until_gone(point, pid)
