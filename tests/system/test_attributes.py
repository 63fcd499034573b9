"""Extended attributes and access control lists on real mounts: those of the files that xorriso put on the disc."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from writers import discs
from writers.aaip import als, components
from writers.mounting import LIMIT, Mounting, succeeds
from writers.tools import require

ACL_USER = 1000
ACL_GROUP = 2000
STRANGER = 3000

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user, and sets trusted.*")


def run(*words: str | Path, cwd: Path | None = None) -> str:
    """What a program says."""
    return subprocess.run(
        words, cwd=cwd, check=True, capture_output=True, text=True, errors="surrogateescape", timeout=LIMIT
    ).stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with attributes of all kinds and with access control lists."""
    for tool in ("setfacl", "getfacl", "getfattr", "setpriv"):
        require(tool)
    root = tmp_path_factory.mktemp("attributes") / "tree"
    root.mkdir()
    root.chmod(0o755)
    (root / "plain").write_text("none\n")
    (root / "marked").write_text("marked\n")
    for name, value in {
        "user.comment": b"hello",
        "user.empty": b"",
        "user.binary": bytes(range(256)),
        "user.long": os.urandom(1500),
        "user.with space and ü": b"\n",
        "user." + "n" * 240: b"long name",
        "trusted.secret": b"for root",
        "security.isofs_test": b"not to be believed",
    }.items():
        os.setxattr(root / "marked", name, value)
    for i in range(40):
        file = root / "many" / f"{i}"
        file.parent.mkdir(exist_ok=True)
        file.write_text("hello\n")
        os.setxattr(file, "user.number", b"%d" % i)
        os.setxattr(file, "user.bulk", os.urandom(2000))
    deep = root / "/".join("abcdefghij")
    deep.mkdir(parents=True)
    for directory in (deep, *deep.parents):
        os.setxattr(directory, "user.name", directory.name.encode())
        if directory == root:
            break
    (root / "link").symlink_to("marked")
    os.setxattr(root / "link", "trusted.of-a-link", b"1", follow_symlinks=False)
    (root / "listed").write_text("listed\n")
    (root / "listed").chmod(0o640)
    run("setfacl", "-m", f"u:{ACL_USER}:r,g:{ACL_GROUP}:rw,m::r", root / "listed")
    (root / "folder").mkdir()
    (root / "folder/inner").write_text("inner\n")
    run("setfacl", "-m", f"u:{ACL_USER}:rx,o::-", root / "folder")
    run("setfacl", "-d", "-m", f"u:{ACL_USER}:rwx,g:{ACL_GROUP}:-", root / "folder")
    return root


def backup(*options: str) -> Callable[[Path, Path], object]:
    """Writes a disc with xorriso's own commands."""
    return lambda tree, image: run(require("xorriso"), *options, "-outdev", image, "-map", tree, "/")


def as_mkisofs(*options: str) -> Callable[[Path, Path], object]:
    """The same as the program mkisofs."""
    return lambda tree, image: run(require("xorriso"), "-as", "mkisofs", "-R", *options, "-o", image, tree)


DISCS = {
    "backup": backup("-for_backup"),
    "lists apart": backup("-acl", "on", "-xattr", "any"),
    "announced": backup("-compliance", "aaip_susp_1_10_off", "-acl", "on", "-xattr", "any"),
    "mkisofs": as_mkisofs("--acl", "--xattr-any"),
    "relocated": backup("-compliance", "deep_paths_off", "-for_backup"),
}
"""Ways to write a disc with all attributes."""


@pytest.fixture(scope="module", params=DISCS)
def any_image(request: pytest.FixtureRequest, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disc of that tree, written in each way."""
    path = tmp_path_factory.mktemp("disc") / "disc.iso"
    DISCS[request.param](tree, path)
    return path


@pytest.fixture(scope="module")
def image(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disc of that tree."""
    path = tmp_path_factory.mktemp("disc") / "disc.iso"
    DISCS["backup"](tree, path)
    return path


def attributes(path: Path) -> dict[str, bytes]:
    """What Linux tells of a file, for root."""
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)}


def shown(found: dict[str, bytes]) -> dict[str, bytes]:
    """Without what the kernel would believe."""
    return {name: value for name, value in found.items() if not name.startswith("security.")}


def test_they_are_those_of_the_files(tree: Path, any_image: Path, mounting: Mounting) -> None:
    point = mounting.mount(any_image)
    files = [tree, *tree.rglob("*")]
    assert len(files) > 50
    for file in files:
        there = point / file.relative_to(tree)
        assert attributes(there) == shown(attributes(file)), there
        if not file.is_symlink():
            wanted, found = (run("getfacl", "-n", "-c", "--", path) for path in (file, there))
            assert found == wanted
    assert run("getfattr", "-d", "-m", "-", "marked", cwd=point).count("\n") == 9  # a header, 7, an empty line


def as_user(point: Path, user: int, group: int, *words: str) -> str | None:
    """What a program says to a plain user within a mount; None where it is refused."""
    ids = (f"--reuid={user}", f"--regid={group}", "--clear-groups")
    done = subprocess.run(["setpriv", *ids, *words], cwd=point, capture_output=True, check=False, timeout=LIMIT)
    assert (b"Permission denied" in done.stderr) == bool(done.returncode), done
    return os.fsdecode(done.stdout) if done.returncode == 0 else None


def test_lists_are_enforced(image: Path, mounting: Mounting) -> None:
    point = mounting.mount(image)
    for _ in range(2):
        assert as_user(point, ACL_USER, STRANGER, "cat", "listed") == "listed\n"
        assert as_user(point, STRANGER, ACL_GROUP, "cat", "listed") == "listed\n"
        assert as_user(point, STRANGER, STRANGER, "cat", "listed") is None
        assert as_user(point, ACL_USER, STRANGER, "cat", "folder/inner") == "inner\n"
        assert as_user(point, STRANGER, STRANGER, "cat", "folder/inner") is None
        assert as_user(point, STRANGER, STRANGER, "cat", "marked") == "marked\n"
        os.listdir(point)  # after which the kernel asks again


def test_permissions_that_are_taken_away_are_not_given_back_by_lists(image: Path, mounting: Mounting) -> None:
    point = mounting.mount(image, "-o", "fmask=027")
    assert attributes(point / "folder") == attributes(point / "listed") == {}
    assert as_user(point, ACL_USER, 0, "cat", "listed") == "listed\n"
    assert as_user(point, ACL_USER, STRANGER, "cat", "listed") is None
    assert as_user(point, STRANGER, ACL_GROUP, "cat", "listed") is None


def test_users_do_not_see_what_is_for_root(image: Path, mounting: Mounting) -> None:
    point = mounting.mount(image)
    for user, secret in ((0, True), (ACL_USER, False)):
        said = as_user(point, user, user, "getfattr", "-m", "-", "marked") or ""
        assert "user.comment\n" in said
        assert ("trusted.secret\n" in said) == secret


def test_each_question_has_the_errno_of_linux(image: Path, mounting: Mounting) -> None:
    point = mounting.mount(image)
    marked, plain = point / "marked", point / "plain"
    for path, name, number in (
        (marked, "user.absent", errno.ENODATA),
        (plain, "user.comment", errno.ENODATA),
        (plain, "system.posix_acl_access", errno.ENODATA),
        (marked, "security.isofs_test", errno.EOPNOTSUPP),
    ):
        with pytest.raises(OSError, match=re.escape(os.strerror(number))):
            os.getxattr(path, name)
    with pytest.raises(OSError, match="Read-only"):
        os.setxattr(marked, "user.comment", b"other")
    with pytest.raises(OSError, match="Read-only"):
        os.removexattr(marked, "user.comment")


def test_sizes_are_told_and_short_buffers_refused(image: Path, mounting: Mounting) -> None:
    """getxattr(2) and listxattr(2) with a buffer of no bytes tell how many it takes, with too few they say ERANGE."""
    libc = ctypes.CDLL(None, use_errno=True)
    path = os.fsencode(mounting.mount(image) / "marked")
    names = b"".join(os.fsencode(name) + b"\0" for name in os.listxattr(path))
    buffer = ctypes.create_string_buffer(4096)
    for size, wanted in ((0, 1500), (1499, -1), (1500, 1500), (4096, 1500)):
        assert libc.getxattr(path, b"user.long", buffer, ctypes.c_size_t(size)) == wanted
        assert wanted > 0 or ctypes.get_errno() == errno.ERANGE
    for size, wanted in ((0, len(names)), (len(names) - 1, -1), (len(names), len(names))):
        assert libc.listxattr(path, buffer, ctypes.c_size_t(size)) == wanted
        assert wanted > 0 or ctypes.get_errno() == errno.ERANGE
    assert buffer.raw[: len(names)] == names
    assert libc.getxattr(path, b"user.empty", buffer, ctypes.c_size_t(10)) == 0


def test_an_overlay_does_not_believe_the_disc(mounting: Mounting, tmp_path: Path) -> None:
    """That a directory hides the one below it is the word of whoever wrote the disc."""
    disc = discs.Disc(root_use=discs.sp() + discs.er() + discs.px(discs.FOLDER) + als(components(b"\4nt", b"")))
    folder = disc.folder(disc.root, own_use=discs.px(discs.FOLDER), parent_use=discs.px(discs.FOLDER))
    folder.file(b"UPPER.;1", b"", system_use=discs.rock(b"upper"))
    marks = als(components(b"\5overlay.opaque", b"y", b"\5other", b"y"))
    use = discs.rock(b"folder", discs.FOLDER) + marks
    disc.root.add(discs.record(b"F", folder.extent, folder.size, flags=discs.DIRECTORY, system_use=use))
    image = tmp_path / "marked.iso"
    image.write_bytes(disc.build())
    point, below, merged = mounting.point("above"), tmp_path / "below", tmp_path / "merged"
    mounting.mount(image, point=point)
    assert os.listxattr(point / "folder") == ["trusted.other"]
    (below / "folder").mkdir(parents=True)
    (below / "folder/lower").touch()
    merged.mkdir()
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={point}:{below}", merged)
    try:
        assert set(os.listdir(merged / "folder")) == {"upper", "lower"}
    finally:
        run("umount", merged)


def requests_for(point: Path, what: Callable[[], object]) -> int:
    """How many questions for attributes the kernel asks for something."""

    def asked() -> int:
        latencies = json.loads(succeeds("stats", "--json", point))["latencies"]
        return sum(latencies.get(kind, {"count": 0})["count"] for kind in ("getxattr", "listxattr"))

    before = asked()
    what()
    return asked() - before


def test_a_disc_without_attributes_is_asked_once(tree: Path, mounting: Mounting, tmp_path: Path) -> None:
    as_mkisofs()(tree, tmp_path / "disc.iso")
    point = mounting.mount(tmp_path / "disc.iso")
    assert requests_for(point, lambda: [run("ls", "-lR", point) for _ in range(3)]) == 1
    assert requests_for(point, lambda: run("ls", "-lR", point)) == 0
    with pytest.raises(OSError, match="not supported"):
        os.getxattr(point / "marked", "user.comment")


def test_one_with_attributes_is_asked_once_for_each_name(image: Path, mounting: Mounting) -> None:
    """For a list, and for one of new files in directories: labels are never there, which `ls` takes as an answer."""
    point = mounting.mount(image)
    names = list(point.rglob("*"))
    assert requests_for(point, lambda: run("ls", "-lR", point)) < 3 * len(names)


def test_the_option_tells_where_files_lie(disc: Path, mounting: Mounting) -> None:
    point = mounting.mount(disc, "-o", "xattr")
    found = attributes(point / "numbered.bin")
    assert set(found) == {"user.isofs.extents", "user.isofs.lba", "user.isofs.record"}
    start, _, count = found["user.isofs.extents"].decode().partition("+")
    content = (point / "numbered.bin").read_bytes()
    assert int(count) == -(-len(content) // 2048)
    with disc.open("rb") as image:
        image.seek(int(start) * 2048)
        assert image.read(len(content)) == content
        image.seek(int(found["user.isofs.record"]))
        record = image.read(255)
    assert record[33 : 33 + record[32]].startswith(b"NUMBERED")
    assert int(found["user.isofs.lba"]) == int.from_bytes(record[2:6], "little") == int(start)
