"""`python -m benchmarks` can be run: on tiny data, with the tools at hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from writers.mounting import wait_until
from writers.tools import require

from benchmarks.data import BIG, find_tool
from benchmarks.plan import PLANS
from isofs.mount.mounts import mounts

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = ("--size", "2", "--small-files", "20", "--entries", "50", "--rounds", "1", "--warm-up", "0")
LIMIT = 90


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the data, which are made once."""
    require("/dev/fuse")
    require("xorriso")
    return tmp_path_factory.mktemp("work")


class Benchmarks:
    """Runs of the command, with a folder of their own for mounts."""

    def __init__(self, work: Path, temporary: Path) -> None:
        self.work = work
        self.temporary = temporary
        temporary.mkdir()

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks", *TINY, "--work", self.work, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "TMPDIR": os.fspath(self.temporary)},
        )

    def run(self, *words: str | Path) -> tuple[int, str, str]:
        with self.start(*words) as process:
            try:
                out, err = process.communicate(timeout=LIMIT)
            except subprocess.TimeoutExpired:
                process.terminate()  # it unmounts
                raise
        assert self.mounted() == []
        assert list(self.temporary.iterdir()) == []
        return process.returncode, out, err

    def mounted(self) -> list[str]:
        return [mount.path for mount in mounts() if mount.path.startswith(os.path.realpath(self.temporary))]


@pytest.fixture
def benchmarks(work: Path, tmp_path: Path) -> Benchmarks:
    return Benchmarks(work, tmp_path / "temporary")


def expected_rows() -> set[str]:
    """The rows that must be there with the tools of this machine."""
    without = set() if find_tool("maxcso") else {"cso2k", "cso16k", "zso"}
    without |= set() if find_tool("chdman") else {"chd"}
    return {
        f"{plan.name} {figure}".strip()
        for plan in PLANS
        for figure in plan.figures
        if plan.image not in without and (os.geteuid() == 0 or not plan.needs_root)
    }


def test_a_run_measures_every_row(benchmarks: Benchmarks, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    code, out, err = benchmarks.run("--json", file)
    assert code == 0, err
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert {row["name"] for row in found["rows"]} == expected_rows()
    for row in found["rows"]:
        ours = row["contenders"]["ours"]
        assert len(ours["values"]) == 1
        assert ours["values"][0] > 0, row["name"]
        assert ours["memory_mib"][0] > 1, row["name"]
        assert row["name"] in out
    assert found["wrong"] == []
    assert {"cpu", "cores", "kernel", "python"} <= found["machine"].keys()
    assert {"ours", "xorriso"} <= found["versions"].keys()


def test_another_version_is_measured_in_the_same_rounds(benchmarks: Benchmarks, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    own = f"'{sys.executable}' -m isofs mount -o cache=8M {{image}} {{dir}}"
    code, _, err = benchmarks.run("--only", "iso start", "--also", f"small={own}", "--json", file)
    assert code == 0, err
    (row,) = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert {"ours", "small"} <= row["contenders"].keys()
    assert row["contenders"]["small"]["ours_is_times_as_fast"]["median"] > 0


def test_wrong_data_are_found(benchmarks: Benchmarks) -> None:
    if not list(benchmarks.work.iterdir()):
        benchmarks.run("--only", "iso start")  # makes the data
    (big,) = benchmarks.work.glob(f"*/tree/{BIG}")
    truth = big.read_bytes()
    big.write_bytes(truth[: len(truth) // 2] + bytes(byte ^ 1 for byte in truth[len(truth) // 2 :]))
    try:
        code, _, err = benchmarks.run("--only", "iso sequential")
    finally:
        big.write_bytes(truth)
    assert code == 1
    assert "iso sequential: WRONG DATA of ours from" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_mount(benchmarks: Benchmarks, number: signal.Signals) -> None:
    with benchmarks.start("--only", "iso start", "--rounds", "100000") as process:
        try:
            wait_until(lambda: process.poll() is not None or benchmarks.mounted(), "something is mounted")
            time.sleep(0.05)
            process.send_signal(number)
            _, err = process.communicate(timeout=LIMIT)
        finally:
            process.terminate()
    assert process.returncode == 130, err
    assert err.endswith("benchmarks: interrupted\n")
    assert benchmarks.mounted() == []
    assert list(benchmarks.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--command", "false {image} {dir}"), "ours: the mount command failed (1): it does not say why"),
        (("--command", "true {image} {dir}"), "ours: the mount command failed (0): it does not say why"),
        (("--command", "/nonexistent {image} {dir}"), "ours: /nonexistent: No such file or directory"),
        (("--command", "isofs mount {image}"), "the command of ours lacks {dir}"),
        (("--also", "ours=x {image} {dir}"), "--also 'ours=x {image} {dir}': write LABEL=COMMAND, with a label"),
        (("--only", "nothing"), "no row has 'nothing' in its name"),
    ],
)
def test_what_cannot_be_run_is_one_line(benchmarks: Benchmarks, words: tuple[str, ...], reason: str) -> None:
    code, out, err = benchmarks.run(*(() if "--only" in words else ("--only", "iso start")), *words)
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith("benchmarks: ")
    assert reason in last
