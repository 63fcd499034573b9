"""The table of mounts, and the names of images in it."""

from __future__ import annotations

import builtins
import io
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isofs.errors import EXIT_FAILED, EXIT_SYSTEM, EXIT_USAGE, MountFailed, SystemRefused, UsageError
from isofs.mount.mounts import Mount, image_of, mount_at, mounts, resolved, source_of, unmount

ROOT_LINE = rb"20 1 0:17 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"


def with_table(monkeypatch: pytest.MonkeyPatch, *lines: bytes) -> None:
    """mountinfo holds these lines."""
    real = builtins.open

    def fake(file: Any, *args: Any, **kwargs: Any) -> Any:
        if file == "/proc/self/mountinfo":
            return io.BytesIO(b"".join(line + b"\n" for line in lines))
        return real(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", fake)


def test_a_line_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    with_table(
        monkeypatch,
        ROOT_LINE,
        rb"42 27 0:39 / /mnt/a ro,nosuid,nodev,relatime - fuse.isofs /srv/a.iso ro,user_id=1000,group_id=100",
    )
    assert mounts() == [
        Mount("0:17", "/", "ext4", "/dev/sda1", 0),
        Mount("0:39", "/mnt/a", "fuse.isofs", "/srv/a.iso", 1000),
    ]


def test_the_fields_in_the_middle_vary_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    with_table(
        monkeypatch,
        rb"42 27 0:39 / /a ro shared:3 master:2 propagate_from:1 unbindable - fuse.isofs /x.iso ro,user_id=5",
    )
    assert mounts() == [Mount("0:39", "/a", "fuse.isofs", "/x.iso", 5)]


def test_escapes_are_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    with_table(monkeypatch, rb"42 27 0:39 / /a\040b\011c\012d\134e\043f ro - fuse.isofs /x%20\134y ro")
    assert mounts()[0].path == "/a b\tc\nd\\e#f"
    assert mounts()[0].source == "/x%20\\y"


def test_an_escaped_backslash_does_not_begin_another_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    with_table(monkeypatch, rb"42 27 0:39 / /a\134040 ro - fuse.isofs s ro")
    assert mounts()[0].path == "/a\\040"


def test_names_that_are_not_text(monkeypatch: pytest.MonkeyPatch) -> None:
    with_table(monkeypatch, b"42 27 0:39 / /a\xff\xc3\xa4 ro - fuse.isofs s ro")
    assert os.fsencode(mounts()[0].path) == b"/a\xff\xc3\xa4"


def test_a_mount_without_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    with_table(monkeypatch, b"42 27 0:39 / /a rw - tmpfs  rw", b"43 27 0:40 / /b rw - tmpfs")
    assert [mount.source for mount in mounts()] == ["", ""]


def test_the_uppermost_mount_on_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    with_table(
        monkeypatch,
        ROOT_LINE,
        rb"42 27 0:39 / /mnt\040a rw - autofs systemd-1 rw",
        rb"43 42 0:40 / /mnt\040a ro - fuse.isofs /srv/a.iso ro,user_id=0",
        rb"44 27 0:41 / /mnt\040ab ro - tmpfs t rw",
    )
    found = mount_at("/mnt a")
    assert found is not None
    assert found.file_system == "fuse.isofs"
    assert mount_at("/mnt") is None


def test_the_table_of_this_process_is_read() -> None:
    assert mount_at("/proc") == next(mount for mount in reversed(mounts()) if mount.path == "/proc")
    proc = mount_at("/proc")
    assert proc is not None
    assert proc.file_system == "proc"


# --- the image's name as a source -----------------------------------------------------------------------------------

PATHS = st.binary(min_size=1).filter(lambda path: b"\0" not in path)


@example(b"/a b,c\\d%e\nf#g")
@example(b"/%41")
@example(b"/%zz%")
@example("/Grüße 漢字.iso".encode())
@example(b"/\xff\xfe")
@given(PATHS)
def test_any_path_comes_back_from_its_source(path: bytes) -> None:
    source = source_of(os.fsdecode(path))
    assert os.fsencode(image_of(source)) == path


@given(PATHS)
def test_a_source_is_printable_ascii_without_spaces(path: bytes) -> None:
    assert all(0x20 < ord(letter) < 0x7F for letter in source_of(os.fsdecode(path)))


def test_plain_paths_stay_as_they_are() -> None:
    assert source_of("/srv/disc-1_(EU).iso") == "/srv/disc-1_(EU).iso"


@pytest.mark.parametrize("source", ["/a%", "/a%4", "/a%zz", "/a%%", "/a%2"])
def test_a_source_that_is_not_ours_is_shown_as_it_is(source: str) -> None:
    assert image_of(source) == source


# --- paths ----------------------------------------------------------------------------------------------------------


def test_a_path_is_resolved_against_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolved("a") == resolved("./a/") == resolved("b/../a") == f"{tmp_path.resolve()}/a"


def test_the_root_is_resolved() -> None:
    assert resolved("/") == resolved("//") == "/"


def test_links_on_the_way_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    assert resolved(f"{tmp_path}/link/deep") == f"{tmp_path.resolve()}/real/deep"


def test_a_link_at_the_end_is_resolved(tmp_path: Path) -> None:
    """The kernel follows it when it mounts, so it is the target that stands in the table of mounts."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "chain").symlink_to(tmp_path / "link")
    assert resolved(f"{tmp_path}/link") == resolved(f"{tmp_path}/chain") == f"{tmp_path.resolve()}/real"


def test_the_parent_of_a_link_is_the_parent_of_its_target(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/deep")
    assert resolved(f"{tmp_path}/link/../other") == f"{tmp_path.resolve()}/real/other"


def test_a_path_that_does_not_exist_is_resolved_as_far_as_possible(tmp_path: Path) -> None:
    assert resolved(f"{tmp_path}/a/b") == f"{tmp_path.resolve()}/a/b"


# --- unmounting -----------------------------------------------------------------------------------------------------


def plain_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, code: int = 0, says: str = "", program: bool = True
) -> Path:
    """We are no root; fusermount3 notes its words, says something and ends with a code. Gives where it notes."""
    notes = tmp_path / "words"
    tools = tmp_path / "bin"
    tools.mkdir()
    if program:
        script = tools / "fusermount3"
        script.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > '{notes}'\nprintf '{says}' >&2\nexit {code}\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tools))
    return notes


def test_a_user_unmounts_by_fusermount3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    notes = plain_user(monkeypatch, tmp_path)
    unmount("/mnt/a b")
    assert notes.read_text().splitlines() == ["-u", "--", "/mnt/a b"]
    unmount("-z", lazily=True)
    assert notes.read_text().splitlines() == ["-u", "-z", "--", "-z"]


def test_a_busy_mount_is_said_with_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    says = "fusermount3: failed to unmount /mnt: Device or resource busy\\n"
    plain_user(monkeypatch, tmp_path, code=1, says=says)
    with pytest.raises(MountFailed, match="the mount is in use; end the programs") as caught:
        unmount("/mnt")
    assert caught.value.path == "/mnt"
    assert caught.value.exit_code == EXIT_FAILED


def test_another_users_mount_is_said_with_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain_user(monkeypatch, tmp_path, code=1, says="a line\\nfusermount3: entry for /mnt not found in /etc/mtab\\n")
    with pytest.raises(UsageError, match=r"entry for /mnt not found.*; only root and the user who mounted") as caught:
        unmount("/mnt")
    assert caught.value.exit_code == EXIT_USAGE


def test_a_silent_failure_of_fusermount3_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain_user(monkeypatch, tmp_path, code=3)
    with pytest.raises(UsageError, match=r"fusermount3 failed \(3\)"):
        unmount("/mnt")


def test_a_missing_fusermount3_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain_user(monkeypatch, tmp_path, program=False)
    with pytest.raises(SystemRefused, match="fusermount3 is not installed; install the package fuse3") as caught:
        unmount("/mnt")
    assert caught.value.exit_code == EXIT_SYSTEM


def test_fusermount3_cannot_read_our_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, object] = {}

    def run(words: list[str], **kwargs: object) -> subprocess.CompletedProcess[str]:
        seen.update(kwargs)
        return subprocess.CompletedProcess(words, 0, "", "")

    plain_user(monkeypatch, tmp_path)
    monkeypatch.setattr(subprocess, "run", run)
    unmount("/mnt")
    assert seen["stdin"] == subprocess.DEVNULL


@pytest.mark.skipif(os.geteuid() != 0, reason="only root calls umount2 itself")
def test_root_is_told_the_reason_of_the_kernel(tmp_path: Path) -> None:
    with pytest.raises(MountFailed, match="Invalid argument"):
        unmount(str(tmp_path))
