"""`isofs install-system`: what it puts where, what it does not touch, and what the system makes of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path
from typing import Final

import pytest
from writers.discs import Disc
from writers.mounting import LIMIT, fails, isofs
from writers.room import STRANGER, Room, furnished
from writers.tools import require

from isofs.cli import install_system

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")

REPOSITORY: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = os.path.realpath(Path(sysconfig.get_path("scripts")) / "isofs")
HELPERS: Final = {f"sbin/{name}" for name in ("mount.isofs", "mount.fuse.isofs", "mount.fuse3.isofs")}
FILES: Final = {
    "lib/systemd/system/isofs@.service",
    "lib/systemd/user/isofs@.service",
    "share/man/man1/isofs.1",
    "share/man/man8/mount.isofs.8",
    "share/bash-completion/completions/isofs",
    "share/zsh/site-functions/_isofs",
    "share/fish/vendor_completions.d/isofs.fish",
    "share/mime/packages/isofs.xml",
    "share/applications/isofs.desktop",
}
TYPES: Final = {"application/x-zso": b"ZISO", "application/x-dax": b"DAX\0", "application/x-jso": b"JISO"}


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """Where the tests install to; not there yet."""
    return tmp_path / "prefix"


def install(prefix: Path, *words: str) -> dict[str, str]:
    """Runs the command, which must succeed. What it did, by path below the prefix."""
    done = isofs("install-system", "--prefix", prefix, *words)
    assert done.returncode == 0, done.stderr
    lines = [line.split(" ", 2) for line in done.stdout.decode().splitlines()]
    return {os.path.relpath(line[1], prefix): line[0] for line in lines}


def found(folder: Path) -> set[str]:
    """All files and links below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or path.is_file()}


# --- what goes where ------------------------------------------------------------------------------------------------


def test_each_file_is_put_into_its_place_and_told(prefix: Path) -> None:
    assert install(prefix) == dict.fromkeys(HELPERS | FILES, "installed")
    assert found(prefix) == HELPERS | FILES


def test_helpers_are_links_to_the_program(prefix: Path) -> None:
    install(prefix)
    assert {os.readlink(prefix / name) for name in HELPERS} == {PROGRAM}


def test_units_and_the_desktop_file_run_the_program_by_its_path(prefix: Path) -> None:
    install(prefix)
    for name in FILES:
        if name.startswith(("lib/", "share/applications/")):
            text = (prefix / name).read_text(encoding="utf-8")
            assert f"={PROGRAM} " in text
            assert "/usr/bin/isofs" not in text.replace(PROGRAM, "")


def test_everybody_may_read_what_root_with_a_strict_mask_installs(prefix: Path) -> None:
    before = os.umask(0o077)
    try:
        install(prefix)
    finally:
        os.umask(before)
    for path in (prefix, *prefix.rglob("*")):
        if not path.is_symlink():
            assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


def test_a_prefix_where_mount_does_not_look_is_told(prefix: Path) -> None:
    said = isofs("install-system", "--prefix", prefix).stderr.decode()
    assert f"isofs: {prefix}/sbin: warning: mount(8) does not look here" in said


def test_a_root_is_where_all_goes_as_if_it_were_the_systems(tmp_path: Path) -> None:
    done = isofs("install-system", "--root", tmp_path)
    words = f"links and units will run this, which is not below {tmp_path}; install isofs there and run that"
    assert (done.returncode, done.stderr.decode()) == (0, f"isofs: {PROGRAM}: warning: {words}\n")
    assert found(tmp_path) == {f"usr/{name}" for name in HELPERS} | {f"usr/local/{name}" for name in FILES}
    assert os.readlink(tmp_path / "usr/sbin/mount.isofs") == PROGRAM


def test_a_program_within_the_root_is_named_as_it_will_be_there(tmp_path: Path) -> None:
    program = tmp_path / "usr/bin/isofs"
    program.parent.mkdir(parents=True)
    shutil.copy(PROGRAM, program)
    words: list[str | Path] = [program, "install-system", "--root", tmp_path, "--prefix", "/usr"]
    assert subprocess.run(words, check=True, stderr=subprocess.PIPE, timeout=LIMIT).stderr == b""
    assert os.readlink(tmp_path / "usr/sbin/mount.isofs") == "/usr/bin/isofs"
    assert "ExecStart=/usr/bin/isofs " in (tmp_path / "usr/lib/systemd/system/isofs@.service").read_text()


def test_a_program_that_units_cannot_name_is_refused(tmp_path: Path, prefix: Path) -> None:
    program = tmp_path / "my programs" / "isofs"
    program.parent.mkdir()
    shutil.copy(PROGRAM, program)
    words = [str(program), "install-system", "--prefix", str(prefix)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, check=False)
    reason = "units cannot name a program with such a path; install isofs elsewhere"
    assert (done.returncode, done.stderr) == (1, f"isofs: {program}: {reason}\n")
    assert not prefix.exists()


@as_root
def test_a_program_that_others_can_change_is_told(tmp_path: Path, prefix: Path) -> None:
    program = tmp_path / "isofs"
    shutil.copy(PROGRAM, program)
    os.chown(program, STRANGER, STRANGER)
    words = [str(program), "install-system", "--prefix", str(prefix)]
    said = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, check=True).stderr
    assert f"isofs: {program}: warning: the system will run this, but others than root may change {program}; " in said


@as_root
def test_it_is_seen_who_can_change_a_program(tmp_path: Path) -> None:
    assert install_system._writable("/usr/bin/env") == ""
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    program = folder / "program"
    program.touch(0o755)
    for path, mode in ((folder, 0o757), (program, 0o757)):
        path.chmod(mode)
        assert install_system._writable(str(program)) == str(path)


# --- once more, and what others have put there ----------------------------------------------------------------------


def test_a_second_time_changes_nothing(prefix: Path) -> None:
    install(prefix)
    before = {path: path.lstat().st_ctime_ns for path in prefix.rglob("*")}
    assert set(install(prefix).values()) == {"unchanged"}
    assert {path: path.lstat().st_ctime_ns for path in prefix.rglob("*")} == before


def test_what_another_version_has_installed_is_replaced(prefix: Path) -> None:
    install(prefix)
    unit = prefix / "lib/systemd/system/isofs@.service"
    now = unit.read_bytes()
    unit.write_bytes(install_system._marked(str(unit), b"[Unit]\nDescription=older\n"))
    helper = prefix / "sbin/mount.isofs"
    helper.unlink()
    helper.symlink_to("/opt/gone/bin/isofs")
    done = install(prefix)
    assert {path for path, what in done.items() if what == "installed"} == {
        "lib/systemd/system/isofs@.service",
        "sbin/mount.isofs",
    }
    assert unit.read_bytes() == now
    assert os.readlink(helper) == PROGRAM


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_that_was_changed_is_refused_before_anything_is_done(prefix: Path, name: str) -> None:
    install(prefix)
    path = prefix / name
    changed = path.read_bytes().replace(b"i", b"j", 1)
    path.write_bytes(changed)
    (prefix / "sbin/mount.isofs").unlink()
    said = fails(1, "install-system", "--prefix", prefix)
    assert said == f"{path}: not put there by isofs, or changed since; nothing was installed; move it away"
    assert path.read_bytes() == changed
    assert not os.path.lexists(prefix / "sbin/mount.isofs")


@pytest.mark.parametrize("kind", ["file", "directory", "link", "pipe"])
@pytest.mark.parametrize("name", ["sbin/mount.isofs", "share/man/man1/isofs.1"])
def test_what_others_have_put_there_is_refused(prefix: Path, name: str, kind: str) -> None:
    path = prefix / name
    path.parent.mkdir(parents=True)
    if kind == "file":
        path.write_text("mine")
    elif kind == "directory":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/usr/bin/fuseiso")
    else:
        os.mkfifo(path)
    assert fails(1, "install-system", "--prefix", prefix).startswith(f"{path}: not put there by isofs")
    assert os.path.lexists(path)
    assert len([path for path in prefix.rglob("*") if not path.is_dir() or path.name == "isofs.1"]) <= 1


def test_a_place_that_is_a_file_is_one_line(prefix: Path) -> None:
    prefix.write_text("")
    assert "not a directory" in fails(1, "install-system", "--prefix", prefix)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk_is_not_taken_for_a_wrong_place(prefix: Path) -> None:
    prefix.mkdir()
    script = 'mount -t tmpfs -o size=4k tmpfs "$1"; exec "$2" -m isofs install-system --prefix "$1"'
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", str(prefix), sys.executable]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"isofs: {prefix}: no space left on device\n"


# --- away again -----------------------------------------------------------------------------------------------------


def test_uninstall_takes_all_of_it_away(prefix: Path) -> None:
    install(prefix)
    assert install(prefix, "--uninstall") == dict.fromkeys(HELPERS | FILES, "removed")
    assert found(prefix) == set()
    assert install(prefix, "--uninstall") == {}


def test_uninstall_leaves_what_others_have_put_there_or_changed(prefix: Path) -> None:
    install(prefix)
    unit = prefix / "lib/systemd/user/isofs@.service"
    unit.write_bytes(unit.read_bytes() + b"[Service]\n")
    helper = prefix / "sbin/mount.isofs"
    helper.unlink()
    helper.symlink_to("/usr/bin/fuseiso")
    (prefix / "share/man/man1/other.1").touch()
    done = install(prefix, "--uninstall")
    assert {path for path, what in done.items() if what == "left"} == {
        "lib/systemd/user/isofs@.service",
        "sbin/mount.isofs",
    }
    assert found(prefix) == {"lib/systemd/user/isofs@.service", "sbin/mount.isofs", "share/man/man1/other.1"}


# --- types and what opens them --------------------------------------------------------------------------------------


def test_types_are_told_by_content_and_by_name(prefix: Path, tmp_path: Path) -> None:
    install(prefix)
    data = prefix / "share"
    subprocess.run([require("update-mime-database"), data / "mime"], check=True, capture_output=True, timeout=LIMIT)
    for kind, magic in TYPES.items():
        suffix = kind.removeprefix("application/x-")
        for name, content in (("nameless", magic + bytes(60)), (f"empty.{suffix}", b"\0" * 64)):
            path = tmp_path / name
            path.write_bytes(content)
            told = subprocess.run(
                [require("gio"), "info", "-a", "standard::content-type", path],
                env={**os.environ, "XDG_DATA_HOME": str(data)},
                capture_output=True,
                text=True,
                check=True,
                timeout=LIMIT,
            )
            assert f"standard::content-type: {kind}\n" in told.stdout


def test_the_desktop_file_is_valid_before_and_after(prefix: Path) -> None:
    install(prefix)
    for path in (REPOSITORY / "desktop/isofs.desktop", prefix / "share/applications/isofs.desktop"):
        done = subprocess.run(
            [require("desktop-file-validate"), path], capture_output=True, text=True, check=False, timeout=LIMIT
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_desktop_file_opens_types_that_are_registered() -> None:
    registered = set(TYPES)
    registry = ET.parse("/usr/share/mime/packages/freedesktop.org.xml")  # of the package shared-mime-info
    registered |= {str(kind.get("type")) for kind in registry.getroot()}
    entry = RawConfigParser()
    entry.optionxform = str  # type: ignore[assignment,method-assign]
    entry.read(REPOSITORY / "desktop/isofs.desktop", encoding="utf-8")
    kinds = entry["Desktop Entry"]["MimeType"].rstrip(";").split(";")
    assert set(TYPES) <= set(kinds)
    assert set(kinds) <= registered


# --- the system itself ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with furnished(tmp_path_factory.mktemp("room")) as room:
        for name in HELPERS:
            room.outside(f"/usr/{name}").unlink(missing_ok=True)
        yield room


@pytest.fixture
def room(_room: Room) -> Iterator[Room]:
    """A machine of one's own, without mount helpers."""
    try:
        yield _room
    finally:
        _room.run("isofs", "install-system", "--uninstall")
        _room.clean()


@as_root
@pytest.mark.parametrize("kind", ["isofs", "fuse.isofs"])
def test_mount_finds_the_helper(room: Room, kind: str) -> None:
    disc = Disc()
    disc.root.file(b"A.TXT;1", b"data")
    room.outside("/disc/disc.iso").write_bytes(disc.build())
    where = room.point()
    assert room.run("mount", "-t", "isofs", "/disc/disc.iso", where)[0] == 32  # nobody knows that type
    code, out, _ = room.run("isofs", "install-system")
    assert (code, {line.split()[0] for line in out.splitlines()}) == (0, {"installed"})
    room.does("mount", "-t", kind, "/disc/disc.iso", where)
    assert room.does("cat", f"{where}/a.txt") == "data"
    room.does("umount", where)
    room.all_gone()
    room.run("isofs", "install-system", "--uninstall")
    assert room.run("mount", "-t", "isofs", "/disc/disc.iso", where)[0] == 32


@as_root
def test_the_indexes_of_the_system_know_what_was_installed(room: Room) -> None:
    room.run("isofs", "install-system")
    room.outside("/disc/nameless").write_bytes(b"ZISO" + bytes(60))
    assert "application/x-zso" in room.does("gio", "info", "-a", "standard::content-type", "/disc/nameless")
    assert "isofs.desktop" in room.does("gio", "mime", "application/x-zso")
    room.run("isofs", "install-system", "--uninstall")
    assert "application/octet-stream" in room.does("gio", "info", "-a", "standard::content-type", "/disc/nameless")
    assert "isofs.desktop" not in room.does("gio", "mime", "application/x-zso")


@as_root
def test_a_program_of_the_system_that_fails_is_a_warning(room: Room) -> None:
    folder = room.outside(room.point("bin"))
    broken = folder / "update-mime-database"
    broken.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    broken.chmod(0o755)
    path = "/disc/bin:/usr/local/bin:/usr/bin:/bin"
    code, _, said = room.run("isofs", "install-system", env={"PATH": path})
    assert code == 0
    assert "isofs: update-mime-database /usr/local/share/mime: warning: broken\n" in said


@as_root
@pytest.mark.parametrize("prefix", ["/usr", "/usr/local"])
def test_a_user_cannot_install_into_the_system(room: Room, prefix: str) -> None:
    said = room.fails(1, "isofs", "install-system", "--prefix", prefix, user=STRANGER)
    assert said == f"isofs: only root can install into {prefix}; run it as root, or choose another --prefix"


@as_root
def test_a_user_installs_into_a_folder_of_his_own(room: Room) -> None:
    own = room.point("own", owner=STRANGER)
    code, out, _ = room.run("isofs", "install-system", "--prefix", own, user=STRANGER)
    assert (code, len(out.splitlines())) == (0, len(HELPERS | FILES))
    closed = room.point("closed")
    said = room.fails(1, "isofs", "install-system", "--prefix", closed, user=STRANGER)
    assert said == f"isofs: {closed}/sbin: permission denied; run it as root, or choose another --prefix"
