"""What options of speed do to a real mount, and what it costs in memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from writers.containers import cso
from writers.mounting import Mounting, daemon_of, isofs, wait_until

from isofs.mount.mounts import mount_at


def read_ahead(point: Path) -> int:
    """Kilobytes that the kernel reads ahead on a mount."""
    own = mount_at(os.fspath(point))
    assert own is not None
    return int(Path(f"/sys/class/bdi/{own.device}/read_ahead_kb").read_text())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")
def test_root_chooses_how_far_the_kernel_reads_ahead(disc: Path, mounting: Mounting) -> None:
    assert read_ahead(mounting.mount(disc)) == 128
    assert read_ahead(mounting.mount(disc, "-o", "readahead=1M")) == 1024


def own_memory(pid: int) -> int:
    """Kilobytes that are the process's own."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def workers(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def test_workers_start_with_the_first_streak_and_memory_rests_when_no_file_is_open(
    disc: Path, tmp_path: Path, mounting: Mounting
) -> None:
    if b"compiled" not in isofs("--version").stdout:
        pytest.skip("the decoder in C is not built")
    image = tmp_path / "disc.cso"
    image.write_bytes(cso(disc.read_bytes()))
    point = mounting.mount(image, "-o", "threads=3")
    pid = daemon_of(point)
    os.listdir(point)
    before, memory = workers(pid), own_memory(pid)
    with open(point / "numbered.bin", "rb") as file:
        data = file.read()
        assert workers(pid) >= before + 3  # one that waits for storage may have come too
        assert own_memory(pid) > memory + 1500
    assert len(data) == (point / "numbered.bin").stat().st_size
    wait_until(lambda: own_memory(pid) < memory + 1000, "memory is given back")


def test_no_workers_are_no_hindrance(disc: Path, source: Path, tmp_path: Path, mounting: Mounting) -> None:
    image = tmp_path / "disc.cso"
    image.write_bytes(cso(disc.read_bytes()))
    point = mounting.mount(image, "-o", "threads=0,cache=1M")
    assert (point / "numbered.bin").read_bytes() == (source / "numbered.bin").read_bytes()
