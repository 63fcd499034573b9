"""Units and fstab lines on a real systemd, booted once for all tests of this file."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from writers.boot import Machine, booted, require_boot
from writers.mounting import make_disc, numbered, numbered_sector, wait_until
from writers.overlay import BIN, program

REPOSITORY: Final = Path(__file__).resolve().parents[2]
UNITS: Final = REPOSITORY / "systemd"
GAME: Final = "/srv/images/my game, v1 (it's 50%).iso"
HELLO: Final = "hello, disc\n"
LARGE: Final = 4096
"""Sectors of `large.bin`: more than the kernel reads ahead."""
FSTAB: Final = """\
/srv/images/plain.iso /mnt/auto isofs ro,nofail,x-systemd.automount,x-systemd.idle-timeout=5 0 0
/srv/images/missing.iso /mnt/missing isofs ro,nofail 0 0
/srv/images/bad.iso /mnt/bad isofs ro,nofail 0 0
"""
READER: Final = """
import sys
with open(sys.argv[1], "rb", buffering=0) as file:
    print(file.read(15), flush=True)
    sys.stdin.readline()
    file.seek(-2048, 2)
    print(file.read(15), flush=True)
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A system with this isofs, its units, some images, and a user alice who is logged in."""
    require_boot()
    source = tmp_path_factory.mktemp("source")
    source.chmod(0o755)  # it becomes the disc's root
    (source / "hello.txt").write_text(HELLO)
    (source / "large.bin").write_bytes(numbered(LARGE))
    disc = make_disc(source, tmp_path_factory.mktemp("disc") / "disc.iso").read_bytes()

    directory = tmp_path_factory.mktemp("machine")
    root = directory / "files"
    for folder in ("usr/bin", "usr/sbin", "etc/systemd/system", "srv/images"):
        (root / folder).mkdir(parents=True)
    for name in ("usr/bin/isofs", "usr/sbin/mount.isofs"):
        (root / name).symlink_to(program())
    for unit in UNITS.glob("*.*"):
        shutil.copy(unit, root / "etc/systemd/system")
    (root / "etc/fstab").write_text(FSTAB)
    images = root / "srv/images"
    for name in (Path(GAME).name, "plain.iso"):
        (images / name).write_bytes(disc)
    (images / "plain.iso.gz").write_bytes(gzip.compress(disc, 1))
    (images / "bad.iso").write_bytes(bytes(100_000))
    shutil.copy(REPOSITORY / "docs/demo/demo.cso", images / "game.cso")

    with booted(directory) as system:
        system.does("useradd", "--create-home", "alice")
        system.does("loginctl", "enable-linger", "alice")
        wait_until(lambda: system.run("systemctl", "is-active", "user@*")[0] == 0, "the manager of alice runs")
        yield system


def configure(machine: Machine, name: str, image: str, options: str | None = None) -> tuple[str, str]:
    """Makes an instance of the service and gives its unit and mount point."""
    point = f"/mnt/{name}'s disc"
    machine.does("mkdir", "-p", point)
    lines = [f"IMAGE={image}", f"MOUNTPOINT={point}", *([] if options is None else [f"OPTIONS={options}"])]
    machine.write(f"/etc/isofs/{name}.conf", "\n".join(lines) + "\n")
    return f"isofs@{name}.service", point


@contextmanager
def started(machine: Machine, name: str, image: str = GAME, options: str | None = None) -> Iterator[tuple[str, str]]:
    """A running instance of the service: its unit and mount point."""
    unit, point = configure(machine, name, image, options)
    try:
        machine.does("systemctl", "start", unit)
        yield unit, point
    finally:
        machine.does("systemctl", "stop", unit)


def read(machine: Machine, path: str, *, user: str = "") -> str:
    return machine.does("cat", path, user=user)


def timed_read(machine: Machine, path: str) -> float:
    """Seconds that a first look took."""
    start = time.monotonic()
    assert read(machine, path) == HELLO
    return time.monotonic() - start


@contextmanager
def reader(machine: Machine, path: str) -> Iterator[subprocess.Popen[str]]:
    """A process in the machine that has a file open, and reads its last sector when it is sent a line."""
    with machine.popen(str(BIN / "python"), "-c", READER, path) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"{numbered_sector(0)[:15]!r}\n"
            yield process
        finally:
            process.kill()


def assert_status_tells(machine: Machine, unit: str, words: str) -> None:
    wait_until(lambda: words in machine.run("systemctl", "status", unit)[1], f"the status of {unit} tells: {words}")


def mounts_on(machine: Machine, point: str) -> int:
    return machine.does("cat", "/proc/1/mountinfo").count(f" {point.replace(' ', chr(92) + '040')} ")


# --- boot and fstab -------------------------------------------------------------------------------------------------


def test_images_that_are_missing_or_bad_do_not_hold_up_boot(machine: Machine) -> None:
    assert machine.boot < 30
    assert machine.property("multi-user.target", "ActiveState") == "active"
    failed = machine.does("systemctl", "list-units", "--failed", "--type=mount", "--plain", "--no-legend")
    assert {line.split()[0] for line in failed.splitlines()} == {"mnt-missing.mount", "mnt-bad.mount"}


@pytest.mark.parametrize("name", ["missing", "bad"])
def test_status_of_a_mount_unit_tells_why_it_failed(machine: Machine, name: str) -> None:
    code, reason = machine.run("isofs", "info", f"/srv/images/{name}.iso")
    assert code == 32
    assert reason.startswith(f"isofs: /srv/images/{name}.iso: ")
    assert_status_tells(machine, f"mnt-{name}.mount", reason.strip())


def test_automount_of_fstab_mounts_at_first_access_and_unmounts_when_idle(machine: Machine) -> None:
    assert machine.property("mnt-auto.automount", "ActiveState") == "active"
    assert not machine.source("/mnt/auto")
    first = timed_read(machine, "/mnt/auto/hello.txt")
    assert machine.source("/mnt/auto") == "/srv/images/plain.iso"
    wait_until(lambda: not machine.source("/mnt/auto"), "the idle mount goes")
    second = timed_read(machine, "/mnt/auto/hello.txt")
    assert machine.source("/mnt/auto") == "/srv/images/plain.iso"
    assert first < 1.5
    assert second < 1.5


# --- mount units ----------------------------------------------------------------------------------------------------


def test_mount_unit(machine: Machine) -> None:
    machine.does("systemctl", "start", "mnt-game.mount")
    assert machine.source("/mnt/game") == "/srv/images/game.cso"
    assert read(machine, "/mnt/game/README.txt") == machine.does("isofs", "cat", "/srv/images/game.cso", "README.txt")
    machine.does("systemctl", "stop", "mnt-game.mount")
    assert not machine.source("/mnt/game")


def test_automount_unit(machine: Machine) -> None:
    machine.does("systemctl", "start", "mnt-game.automount")
    try:
        assert not machine.source("/mnt/game")
        assert machine.does("ls", "/mnt/game")
        assert machine.source("/mnt/game") == "/srv/images/game.cso"
    finally:
        machine.does("systemctl", "stop", "mnt-game.automount", "mnt-game.mount")
    assert not machine.source("/mnt/game")


# --- the service ----------------------------------------------------------------------------------------------------


def test_service_has_started_when_the_image_is_mounted_for_everybody(machine: Machine) -> None:
    with started(machine, "game") as (unit, point):
        assert read(machine, f"{point}/hello.txt", user="alice") == HELLO
        assert machine.source(point)
        says = machine.property(unit, "StatusText")
        assert says
        assert f'Status: "{says}"' in machine.does("systemctl", "status", unit)
    assert not machine.source(point)
    assert machine.property(unit, "Result") == "success"
    assert not machine.does("ls", point)


def test_options_of_the_service(machine: Machine) -> None:
    with started(machine, "options", options="norock,map=off,uid=alice") as (_, point):
        assert machine.does("stat", "--format=%U", f"{point}/HELLO.TXT;1") == "alice\n"


def test_service_mounts_images_that_only_their_owner_may_read(machine: Machine) -> None:
    machine.does("install", "--mode=600", "--owner=alice", "/srv/images/plain.iso", "/home/alice/own.iso")
    machine.does("chmod", "700", "/home/alice")
    with started(machine, "private", "/home/alice/own.iso") as (_, point):
        assert read(machine, f"{point}/hello.txt") == HELLO


def test_service_keeps_the_index_of_a_gzip_image_where_the_system_keeps_caches(machine: Machine) -> None:
    with started(machine, "compressed", "/srv/images/plain.iso.gz") as (_, point):
        assert read(machine, f"{point}/hello.txt") == HELLO
    assert machine.does("ls", "/var/cache/isofs")
    assert machine.does("stat", "--format=%a", "/var/cache/isofs") == "700\n"


def test_a_service_tells_its_counters(machine: Machine) -> None:
    with started(machine, "counters") as (unit, point):
        pid = machine.does("systemctl", "show", "-P", "MainPID", unit).strip()
        told = machine.does("nsenter", "--net", "--target", pid, "isofs", "stats", "--json", point)
        assert json.loads(told)["mount_point"] == point


HELD: Final = "/run/systemd/system/isofs@.service.d/held.conf"
TWO: Final = f"{1 << 21 | 1 << 2:016x}"
"""CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH."""


@pytest.mark.parametrize(
    ("name", "drop_in", "capabilities", "missing"),
    [
        ("held", "", TWO, ["capabilities (Operation not permitted)"]),
        ("wholly-held", "[Service]\nSystemCallFilter=capset\n", "0" * 16, []),
    ],
)
def test_the_daemon_of_a_service_has_its_own_fence(
    machine: Machine, name: str, drop_in: str, capabilities: str, missing: list[str]
) -> None:
    machine.write(HELD, drop_in)
    machine.does("systemctl", "daemon-reload")
    try:
        with started(machine, name) as (unit, point):
            pid = machine.property(unit, "MainPID")
            status = dict(re.findall(r"(?m)^(\w+):\t(.*)$", machine.does("cat", f"/proc/{pid}/status")))
            assert (status["CapEff"], status["NoNewPrivs"], status["Seccomp"]) == (capabilities, "1", "2")
            assert read(machine, f"{point}/hello.txt") == HELLO
        machine.does("journalctl", "--sync")
        said = machine.does("journalctl", "--unit", unit, "--output=cat")
        assert re.findall("sandbox without (.*)", said) == missing
    finally:
        machine.does("rm", HELD)
        machine.does("systemctl", "daemon-reload")


def test_unmounting_by_hand_ends_the_service(machine: Machine) -> None:
    with started(machine, "hand") as (unit, point):
        machine.does("isofs", "umount", point)
        wait_until(lambda: machine.property(unit, "ActiveState") == "inactive", "the service ends")
        assert machine.property(unit, "Result") == "success"


def test_stopping_a_service_in_use_takes_the_mount_away_and_serves_what_is_open(machine: Machine) -> None:
    with started(machine, "busy") as (unit, point), reader(machine, f"{point}/large.bin") as user:
        stop = machine.popen("systemctl", "stop", unit)
        wait_until(lambda: not machine.source(point), "the mount goes")
        assert not machine.does("ls", point)
        assert stop.poll() is None
        said, _ = user.communicate("go on\n", timeout=10)
        assert said == f"{numbered_sector(LARGE - 1)[:15]!r}\n"
        stop.communicate(timeout=5)
        assert stop.returncode == 0
        assert machine.property(unit, "Result") == "success"


def test_stopping_a_service_takes_fifteen_seconds_at_most(machine: Machine) -> None:
    with started(machine, "stuck") as (unit, point), reader(machine, f"{point}/large.bin") as user:
        start = time.monotonic()
        machine.does("systemctl", "stop", unit)
        took = time.monotonic() - start
        said, _ = user.communicate("go on\n", timeout=10)
        assert "OSError" in said
    assert took < 16
    assert not machine.source(point)


def test_service_comes_back_after_a_crash_while_its_mount_is_in_use(machine: Machine) -> None:
    with started(machine, "crash") as (unit, point), reader(machine, f"{point}/large.bin") as user:
        machine.does("systemctl", "kill", "--signal=KILL", unit)
        wait_until(lambda: machine.property(unit, "NRestarts") == "1", "the service restarts")
        wait_until(lambda: machine.property(unit, "ActiveState") == "active", "the service is up again")
        assert read(machine, f"{point}/hello.txt") == HELLO
        assert mounts_on(machine, point) == 1
        said, _ = user.communicate("go on\n", timeout=10)
        assert "Transport endpoint is not connected" in said


@pytest.mark.parametrize("name", ["missing", "bad"])
def test_status_of_the_service_tells_why_it_failed(machine: Machine, name: str) -> None:
    unit, _ = configure(machine, name, f"/srv/images/{name}.iso")
    code, _ = machine.run("systemctl", "start", unit)
    assert code == 1
    _, reason = machine.run("isofs", "info", f"/srv/images/{name}.iso")
    assert_status_tells(machine, unit, reason.strip())
    time.sleep(1.5)  # a restart would come after one second
    assert machine.property(unit, "ActiveState") == "failed"
    assert machine.property(unit, "NRestarts") == "0"


def test_service_without_its_file_is_an_error_that_names_the_file(machine: Machine) -> None:
    code, _ = machine.run("systemctl", "start", "isofs@nothing")
    assert code == 1
    assert_status_tells(machine, "isofs@nothing", "Assertion failed for isofs@nothing.service")
    assert_status_tells(machine, "isofs@nothing", "/etc/isofs/nothing.conf")


# --- the service of a user ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alice(machine: Machine) -> Machine:
    """The same machine, where alice has made a service of hers."""
    machine.does("install", "--mode=600", "--owner=alice", "/srv/images/plain.iso", "/home/alice/disc.iso")
    machine.does("mkdir", "-p", "/home/alice/game", "/home/alice/.config/systemd/user", "/home/alice/.config/isofs")
    unit = (UNITS / "user/isofs@.service").read_text()
    machine.write("/home/alice/.config/systemd/user/isofs@.service", unit)
    machine.write("/home/alice/.config/isofs/game.conf", "IMAGE=disc.iso\nMOUNTPOINT=game\n")
    machine.does("chown", "-R", "alice:alice", "/home/alice")
    machine.does("systemctl", "--user", "daemon-reload", user="alice")
    return machine


def test_service_of_a_user(alice: Machine) -> None:
    alice.does("systemctl", "--user", "start", "isofs@game", user="alice")
    assert read(alice, "game/hello.txt", user="alice") == HELLO
    assert alice.run("ls", "/home/alice/game")[0] != 0, "root may not look"
    assert alice.property("isofs@game", "StatusText", user="alice")
    alice.does("systemctl", "--user", "stop", "isofs@game", user="alice")
    assert not alice.source("/home/alice/game")
    assert not alice.does("ls", "game", user="alice")
    assert alice.property("isofs@game", "Result", user="alice") == "success"


def test_service_of_a_user_comes_back_after_a_crash(alice: Machine) -> None:
    alice.does("systemctl", "--user", "start", "isofs@game", user="alice")
    try:
        alice.does("systemctl", "--user", "kill", "--signal=KILL", "isofs@game", user="alice")
        wait_until(lambda: alice.property("isofs@game", "NRestarts", user="alice") == "1", "the service restarts")
        wait_until(lambda: alice.property("isofs@game", "ActiveState", user="alice") == "active", "it is up again")
        assert read(alice, "game/hello.txt", user="alice") == HELLO
        assert mounts_on(alice, "/home/alice/game") == 1
    finally:
        alice.does("systemctl", "--user", "stop", "isofs@game", user="alice")
    assert not alice.source("/home/alice/game")


# --- what systemd thinks of the units -------------------------------------------------------------------------------


def test_units_are_sound(machine: Machine) -> None:
    units = [f"/etc/systemd/system/{path.name}" for path in UNITS.glob("*.*")]
    assert len(units) == 3
    assert machine.does("systemd-analyze", "verify", "--man=no", *units) == ""


def test_unit_of_a_user_is_sound(alice: Machine) -> None:
    unit = ".config/systemd/user/isofs@.service"
    assert alice.does("systemd-analyze", "--user", "verify", "--man=no", unit, user="alice") == ""


def test_service_is_confined(machine: Machine) -> None:
    unit = "/etc/systemd/system/isofs@.service"
    said = machine.does("systemd-analyze", "security", "--offline=true", "--threshold=31", unit)
    assert re.search(r"Overall exposure level for \S+: [0-3]\.\d OK", said)


# --- the end: the machine is off afterwards -------------------------------------------------------------------------


def test_mounts_do_not_hold_up_the_shutdown(alice: Machine) -> None:
    unit, _ = configure(alice, "last", GAME)
    alice.does("systemctl", "start", unit, "mnt-game.mount")
    alice.does("systemctl", "--user", "start", "isofs@game", user="alice")
    assert read(alice, "/mnt/auto/hello.txt") == HELLO
    assert alice.power_off() < 15
