"""`isofs extract` gives files the attributes and access control lists that xorriso has recorded."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest
from writers.aaip import acl
from writers.tools import require

from isofs.cli import main

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
LIST = acl((1, 6), (2, 4, 1000), (4, 4), (8, 6, 2000), (16, 4), (32, 0))
"""rw- for the owner, r-- for user 1000, r-- for the group, rw- for group 2000, a mask of r--."""
FOLDER_LIST = acl((1, 7), (2, 5, 1000), (4, 5), (16, 5), (32, 0))
NEW_LIST = acl((1, 7), (2, 7, 1000), (4, 5), (16, 7), (32, 0))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with attributes and lists."""
    root = tmp_path_factory.mktemp("attributes") / "tree"
    (root / "folder").mkdir(parents=True)
    for name in ("plain", "marked", "sealed", "listed", "folder/inner"):
        (root / name).write_text(f"{name}\n")
    os.link(root / "marked", root / "again")
    (root / "link").symlink_to("marked")
    os.setxattr(root, "user.root", b"of the root")
    os.setxattr(root / "marked", "user.comment", b"hello")
    os.setxattr(root / "marked", "user.long", bytes(range(256)) * 5)
    os.setxattr(root / "sealed", "user.comment", b"nobody may write")
    (root / "sealed").chmod(0o444)
    (root / "listed").chmod(0o640)
    os.setxattr(root / "listed", ACCESS, LIST)
    (root / "folder").chmod(0o750)
    os.setxattr(root / "folder", "user.name", b"folder")
    os.setxattr(root / "folder", ACCESS, FOLDER_LIST)
    os.setxattr(root / "folder", DEFAULT, NEW_LIST)
    for path in (*root.rglob("*"), root):
        os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)
    return root


@pytest.fixture(scope="module")
def disc(tree: Path) -> Path:
    """The disc of that tree."""
    image = tree.parent / "disc.iso"
    subprocess.run(
        [require("xorriso"), "-for_backup", "-outdev", image, "-map", tree, "/"], check=True, capture_output=True
    )
    return image


def attributes(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)}


def test_files_get_what_is_recorded_of_them(disc: Path, tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    assert main(["extract", "--acls", str(disc), str(target)]) == 0
    names = sorted(path.relative_to(tree) for path in tree.rglob("*"))
    assert sorted(path.relative_to(target) for path in target.rglob("*")) == names
    for name in names:
        was, made = (tree / name).lstat(), (target / name).lstat()
        assert attributes(target / name) == attributes(tree / name)
        assert (made.st_mode, made.st_mtime_ns, made.st_nlink) == (was.st_mode, was.st_mtime_ns, was.st_nlink)
    assert attributes(target / "listed") == {ACCESS: LIST}
    assert attributes(target / "folder/inner") == {}


def test_lists_are_left_out_unless_they_are_asked_for(disc: Path, tree: Path, tmp_path: Path) -> None:
    """They name users of the system that wrote the disc; here these are others."""
    target = tmp_path / "target"
    assert main(["extract", str(disc), str(target)]) == 0
    for path in target.rglob("*"):
        told = attributes(tree / path.relative_to(target))
        assert attributes(path) == {name: value for name, value in told.items() if name not in (ACCESS, DEFAULT)}


def test_attributes_can_be_left_out(disc: Path, tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    assert main(["extract", "--no-xattrs", str(disc), str(target)]) == 0
    for path in target.rglob("*"):
        assert attributes(path) == {}
        assert path.lstat().st_mode == (tree / path.relative_to(target)).lstat().st_mode


def test_permissions_that_are_asked_for_are_not_given_back_by_lists(disc: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    assert main(["extract", "--acls", "-o", "fmask=0077", str(disc), str(target)]) == 0
    assert attributes(target / "listed") == {}
    assert attributes(target / "marked")["user.comment"] == b"hello"
    assert (target / "listed").stat().st_mode & 0o777 == 0o600


def test_a_file_system_that_does_not_take_them_costs_one_line(
    disc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "setxattr", refuse)
    target = tmp_path / "target"
    assert main(["extract", "--acls", str(disc), str(target)]) == 0
    words = "extended attributes or access control lists of 4 files were not kept (Operation not supported)"
    assert capsys.readouterr().err == f"isofs: {disc}: warning: {words}\n"
    assert (target / "listed").read_text() == "listed\n"
