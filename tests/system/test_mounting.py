"""Real mounts: the command line, the daemon and the kernel together."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import random
import shlex
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from writers.containers import cso, dax, entry, jiso, overwritten, zso
from writers.discs import Disc, rock
from writers.mounting import (
    LIMIT,
    NUMBERED,
    SECTOR,
    WIDE,
    Mounting,
    alive,
    command,
    daemon_of,
    daemons,
    fails,
    isofs,
    mounted,
    numbered,
    numbered_sector,
    succeeds,
    wait_until,
    wait_until_gone,
)
from writers.tools import IN_PRIVATE, PRIVATE_MOUNTS, require

PAGE: Final = 4096
FORMATS: Final = ("plain", "cso", "zso", "dax", "jiso")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")


# --- images and mounts that tests share -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def images(disc: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The disc in every container; the CSO by maxcso."""
    folder = tmp_path_factory.mktemp("images")
    words = [require("maxcso"), "--fast", f"--out={folder}/disc.cso", str(disc)]
    subprocess.run(words, check=True, capture_output=True, timeout=LIMIT)
    made = {"plain": disc, "cso": folder / "disc.cso"}
    data = disc.read_bytes()
    for name, write in (("zso", zso), ("dax", dax), ("jiso", jiso)):
        made[name] = folder / f"disc.{name}"
        made[name].write_bytes(write(data))
    return made


@pytest.fixture(scope="session")
def served(images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Mounts of all these images at once."""
    require("/dev/fuse")
    own = Mounting(tmp_path_factory.mktemp("served"))
    try:
        yield {name: own.mount(image, point=own.point(name)) for name, image in images.items()}
    finally:
        own.clean()


@pytest.fixture(params=FORMATS)
def mount(request: pytest.FixtureRequest, served: dict[str, Path]) -> Path:
    """The disc, mounted from each container in turn."""
    return served[request.param]


@pytest.fixture
def plain(served: dict[str, Path]) -> Path:
    """The plain disc, mounted."""
    return served["plain"]


def pages_of(path: Path) -> list[bytes | None]:
    """A file, read page by page; None for a page that reads as EIO."""
    found: list[bytes | None] = []
    with open(path, "rb", buffering=0) as file:
        for offset in range(0, os.fstat(file.fileno()).st_size, PAGE):
            try:
                found.append(os.pread(file.fileno(), PAGE, offset))
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                found.append(None)
    return found


# --- the tree -------------------------------------------------------------------------------------------------------


def facts(path: Path) -> dict[str, object]:
    """What can be known about a file without following links."""
    status = os.lstat(path)
    known: dict[str, object] = {
        "mode": oct(status.st_mode),
        "owner": (status.st_uid, status.st_gid),
        "time": status.st_mtime_ns // 10**9,
    }
    if stat.S_ISLNK(status.st_mode):
        known["target"] = os.readlink(path)
    elif stat.S_ISREG(status.st_mode):
        known["links"] = status.st_nlink
        known["size"] = status.st_size
        known["data"] = path.read_bytes() if status.st_size else b""
    elif not stat.S_ISDIR(status.st_mode):
        known["device"] = status.st_rdev
    return known


def tree_of(root: Path) -> dict[str, dict[str, object]]:
    """Every file below a directory by its path."""
    paths = [root]
    for folder, folders, files in os.walk(root):
        paths += [Path(folder, name) for name in (*folders, *files)]
    return {os.fspath(path.relative_to(root)): facts(path) for path in paths}


@pytest.fixture(scope="session")
def expected(source: Path) -> dict[str, dict[str, object]]:
    """The tree that a mount must show."""
    return tree_of(source)


def test_the_tree_is_that_of_the_source(mount: Path, expected: dict[str, dict[str, object]]) -> None:
    found = tree_of(mount)
    assert sorted(found) == sorted(expected)
    for path, known in expected.items():
        assert found[path] == known, path


def test_names_of_one_file_share_its_inode(mount: Path) -> None:
    one, two = os.stat(mount / "readme.txt"), os.stat(mount / "hard link")
    assert (one.st_ino, one.st_nlink) == (two.st_ino, 2)
    assert os.stat(mount / "data.bin").st_ino != one.st_ino
    assert os.stat(mount / "empty").st_ino != os.stat(mount / "empty2").st_ino


def test_a_listing_agrees_with_stat(mount: Path) -> None:
    for folder in (mount, mount / "many", mount / "deep" / "b"):
        with os.scandir(folder) as entries:
            for found in entries:
                status = os.lstat(found.path)
                assert found.inode() == status.st_ino, found.path
                assert found.is_dir(follow_symlinks=False) == stat.S_ISDIR(status.st_mode)
                assert found.is_symlink() == stat.S_ISLNK(status.st_mode)


def test_inode_numbers_are_the_same_in_every_container(served: dict[str, Path]) -> None:
    numbers = {
        name: {path: os.lstat(point / path).st_ino for path in ("readme.txt", "many", "deep/b/up", "numbered.bin")}
        for name, point in served.items()
    }
    assert all(found == numbers["plain"] for found in numbers.values())


def test_the_root_is_inode_one(mount: Path) -> None:
    assert os.stat(mount).st_ino == 1


def test_dot_and_dot_dot_are_listed(plain: Path) -> None:
    words = subprocess.run(["ls", "-a", plain / "deep"], capture_output=True, check=True, timeout=LIMIT)
    assert words.stdout.split() == [b".", b"..", b"b"]
    numbers = subprocess.run(["ls", "-ai", plain / "deep"], capture_output=True, check=True, timeout=LIMIT)
    listed = {line.split()[1]: int(line.split()[0]) for line in numbers.stdout.splitlines()}
    assert listed[b"."] == os.stat(plain / "deep").st_ino
    assert listed[b".."] == 1


def test_links_can_be_followed(mount: Path) -> None:
    assert (mount / "deep" / "b" / "up").read_bytes() == b"hello\n"
    assert (mount / "odd").read_bytes() == b"hello\n"


def test_missing_names_are_missing(mount: Path) -> None:
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            os.stat(mount / "no such name")
    with pytest.raises(NotADirectoryError):
        os.stat(mount / "readme.txt" / "below")


def test_random_reads(mount: Path) -> None:
    expected = numbered() + b"an odd end"
    chance = random.Random(1)
    with open(mount / "numbered.bin", "rb", buffering=0) as file:
        for _ in range(200):
            offset = chance.randrange(len(expected) + 5000)
            size = chance.choice((1, 100, 2048, 4096, 70_000, 300_000))
            assert os.pread(file.fileno(), size, offset) == expected[offset : offset + size], (size, offset)


def test_reads_past_the_page_cache(mount: Path) -> None:
    """O_DIRECT: each request comes as it is, its size and place are no multiples of anything."""
    expected = numbered() + b"an odd end"
    chance = random.Random(2)
    fd = os.open(mount / "numbered.bin", os.O_RDONLY | os.O_DIRECT)
    try:
        for _ in range(50):
            offset = chance.randrange(len(expected) + 3000)
            size = chance.choice((1, 2048, 5000, 131_072, 1 << 20))
            assert os.pread(fd, size, offset) == expected[offset : offset + size], (size, offset)
    finally:
        os.close(fd)


def test_mappings(mount: Path) -> None:
    expected = numbered() + b"an odd end"
    with (
        open(mount / "numbered.bin", "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        for sector in random.Random(3).sample(range(NUMBERED), 100):
            assert mapped[sector * SECTOR : (sector + 1) * SECTOR] == numbered_sector(sector)
        assert mapped[:] == expected


def test_many_readers_at_once(mount: Path) -> None:
    expected = numbered() + b"an odd end"

    def read(seed: int) -> bool:
        chance = random.Random(seed)
        with open(mount / "numbered.bin", "rb", buffering=0) as file:
            for _ in range(30):
                offset, size = chance.randrange(len(expected)), chance.choice((4096, 100_000))
                if os.pread(file.fileno(), size, offset) != expected[offset : offset + size]:
                    return False
        return True

    with ThreadPoolExecutor(8) as readers:
        assert all(readers.map(read, range(8)))


def test_programs_on_the_disc_run(plain: Path) -> None:
    assert subprocess.run([plain / "suid"], check=False, timeout=LIMIT).returncode == 0


# --- directories by offset ------------------------------------------------------------------------------------------


class Dirent(ctypes.Structure):
    """What readdir(3) gives."""

    _fields_ = (
        ("d_ino", ctypes.c_uint64),
        ("d_off", ctypes.c_int64),
        ("d_reclen", ctypes.c_ushort),
        ("d_type", ctypes.c_ubyte),
        ("d_name", ctypes.c_char * 256),
    )


class Listing:
    """An open directory with telldir(3) and seekdir(3)."""

    def __init__(self, path: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.opendir.restype = ctypes.c_void_p
        self._libc.readdir.restype = ctypes.POINTER(Dirent)
        self._libc.telldir.restype = ctypes.c_long
        self._directory = ctypes.c_void_p(self._libc.opendir(os.fsencode(path)))
        assert self._directory, os.strerror(ctypes.get_errno())

    def next(self) -> bytes | None:
        ctypes.set_errno(0)
        found = self._libc.readdir(self._directory)
        assert found or not ctypes.get_errno(), os.strerror(ctypes.get_errno())
        return bytes(found.contents.d_name) if found else None

    def tell(self) -> int:
        place: int = self._libc.telldir(self._directory)
        return place

    def seek(self, place: int) -> None:
        self._libc.seekdir(self._directory, ctypes.c_long(place))

    def rewind(self) -> None:
        self._libc.rewinddir(self._directory)

    def rest(self) -> list[bytes]:
        return list(iter(self.next, None))

    def close(self) -> None:
        self._libc.closedir(self._directory)


@pytest.fixture
def wide(plain: Path) -> Iterator[Listing]:
    """The directory of many names, open."""
    listing = Listing(plain / "wide")
    try:
        yield listing
    finally:
        listing.close()


def test_a_wide_directory_lists_each_name_once(mount: Path) -> None:
    assert sorted(os.listdir(mount / "wide")) == [f"entry {i:04}" for i in range(WIDE)]


def test_a_listing_goes_on_at_any_place_that_was_told(wide: Listing) -> None:
    places = [wide.tell()]
    names: list[bytes] = []
    while (name := wide.next()) is not None:
        names.append(name)
        places.append(wide.tell())
    assert len(names) == WIDE + 2
    assert names[:2] == [b".", b".."]
    for i in (*random.Random(4).sample(range(WIDE + 2), 20), 0, 1, 2, 3, WIDE + 2):
        wide.seek(places[i])
        assert wide.rest() == names[i:], i


def test_a_listing_begins_again(wide: Listing) -> None:
    first = [wide.next() for _ in range(1000)]
    wide.rewind()
    assert [wide.next() for _ in range(1000)] == first


# --- what the kernel knows about the mount --------------------------------------------------------------------------


def options_of(point: Path) -> tuple[list[str], set[str]]:
    """File system type and source, and all options, as in mountinfo."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if fields.split()[4] == str(point).replace(" ", "\\040"):
            kind, source, superblock = rest.split()
            return [kind, source], {*fields.split()[5].split(","), *superblock.split(",")}
    raise AssertionError("not mounted")


def test_a_mount_is_read_only_and_without_set_id_programs_and_devices(mounting: Mounting, disc: Path) -> None:
    point = mounting.point("plain")
    mounting.mount(disc, point=point)
    (kind, source), options = options_of(point)
    assert (kind, source) == ("fuse.isofs", str(disc))
    assert options >= {"ro", "nosuid", "nodev", "default_permissions"}
    assert ("allow_other" in options) == (os.geteuid() == 0)


def test_what_mount_8_adds_does_not_weaken_that(mounting: Mounting, disc: Path) -> None:
    """mount.fuse appends `dev,suid` to what root mounts."""
    point = mounting.mount(disc, "-o", "rw,dev,suid", "-o", "exec,nofail,user", point=mounting.point("strange"))
    options = options_of(point)[1]
    assert options >= {"ro", "nosuid", "nodev"}
    assert not options & {"rw", "noexec"}


def test_noexec_is_obeyed(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc, "-o", "noexec")
    with pytest.raises(PermissionError):
        subprocess.run([point / "suid"], check=False, timeout=LIMIT)


def test_view_options_act_on_a_mount(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc, "-o", "norock,uid=123,mode=0400,map=off", "-o", "gid=45")
    assert "README.TXT;1" in os.listdir(point)
    status = os.stat(point / "README.TXT;1")
    assert (status.st_uid, status.st_gid, oct(status.st_mode)) == (123, 45, "0o100400")


CHANGES: Final[dict[str, Callable[[Path], Any]]] = {
    "open for writing": lambda root: os.open(root / "readme.txt", os.O_WRONLY),
    "open for both": lambda root: os.open(root / "readme.txt", os.O_RDWR),
    "open and truncate": lambda root: os.open(root / "readme.txt", os.O_RDONLY | os.O_TRUNC),
    "create": lambda root: os.open(root / "new", os.O_CREAT | os.O_WRONLY, 0o600),
    "mkdir": lambda root: os.mkdir(root / "new"),
    "rmdir": lambda root: os.rmdir(root / "wide"),
    "unlink": lambda root: os.unlink(root / "readme.txt"),
    "rename": lambda root: os.rename(root / "readme.txt", root / "new"),
    "link": lambda root: os.link(root / "readme.txt", root / "new"),
    "symlink": lambda root: os.symlink("readme.txt", root / "new"),
    "mkfifo": lambda root: os.mkfifo(root / "new"),
    "chmod": lambda root: os.chmod(root / "readme.txt", 0o777),
    "chown": lambda root: os.chown(root / "readme.txt", 1, 1),
    "utime": lambda root: os.utime(root / "readme.txt", (1, 1)),
    "truncate": lambda root: os.truncate(root / "readme.txt", 0),
    "setxattr": lambda root: os.setxattr(root / "readme.txt", "user.a", b"b"),
    "removexattr": lambda root: os.removexattr(root / "readme.txt", "user.a"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_refused(plain: Path, change: str) -> None:
    with pytest.raises(OSError, match="Read-only file system") as caught:
        CHANGES[change](plain)
    assert caught.value.errno == errno.EROFS


@as_root
def test_changes_are_refused_even_where_the_kernel_allows_them(mounting: Mounting, disc: Path) -> None:
    """`mount -o remount,rw` switches the kernel's own guard off."""
    point = mounting.mount(disc)
    subprocess.run(["mount", "-i", "-o", "remount,rw", point], check=True, capture_output=True, timeout=LIMIT)
    assert "rw" in options_of(point)[1]
    for change in CHANGES.values():
        with pytest.raises(OSError, match="Read-only file system"):
            change(point)
    assert (point / "readme.txt").read_bytes() == b"hello\n"


def test_the_size_of_the_file_system_is_that_of_the_disc(mount: Path, disc: Path) -> None:
    usage = os.statvfs(mount)
    assert usage.f_frsize == SECTOR
    assert abs(usage.f_blocks * SECTOR - disc.stat().st_size) <= 300 * SECTOR  # xorriso pads
    assert (usage.f_bfree, usage.f_bavail, usage.f_namemax) == (0, 0, 255)
    assert usage.f_flag & os.ST_RDONLY
    assert usage.f_flag & os.ST_NOSUID


def test_two_mounts_of_one_image_at_once(mounting: Mounting, disc: Path) -> None:
    one, two = mounting.mount(disc), mounting.mount(disc)
    assert daemon_of(one) != daemon_of(two)
    succeeds("umount", one)
    assert (two / "readme.txt").read_bytes() == b"hello\n"
    assert os.listdir(one) == []


# --- the daemon -----------------------------------------------------------------------------------------------------


def test_the_daemon_holds_nothing_of_its_caller(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    pid = daemon_of(point)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
    assert os.getsid(pid) == pid


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_caller_may_have_closed_its_input_and_output(mounting: Mounting, disc: Path, closed: str) -> None:
    """The image must not be opened as one of the descriptors that the daemon turns into /dev/null."""
    point = mounting.point()
    words = ["sh", "-c", f'exec "$@" {closed}', "sh", *command("mount", disc, point)]
    done = subprocess.run(words, timeout=LIMIT, check=False)
    assert done.returncode == 0
    assert (point / "readme.txt").read_bytes() == b"hello\n"
    assert (point / "numbered.bin").read_bytes() == numbered() + b"an odd end"


def test_an_image_on_a_mounted_disc(mounting: Mounting, disc: Path, tmp_path: Path) -> None:
    """A disc inside a compressed disc: neither daemon waits for itself."""
    outer = Disc(rock=True)
    outer.root.file(b"INNER.;1", disc.read_bytes(), system_use=rock(b"inner.iso"))
    (tmp_path / "outer.cso").write_bytes(cso(outer.build()))
    first = mounting.mount(tmp_path / "outer.cso")
    second = mounting.mount(first / "inner.iso")
    assert (second / "numbered.bin").read_bytes() == numbered() + b"an odd end"
    assert "the mount is in use" in fails(32, "umount", first)
    succeeds("umount", second)
    wait_until(lambda: not daemons(second), "the daemon ends")
    succeeds("umount", first)


def test_relative_names_work(mounting: Mounting, disc: Path, tmp_path: Path) -> None:
    """The daemon leaves the directory in which the names mean something."""
    (tmp_path / "disc.iso").symlink_to(disc)
    point = mounting.point("here")
    succeeds("mount", "disc.iso", "here", cwd=tmp_path)
    assert (point / "readme.txt").read_bytes() == b"hello\n"
    assert f"{point}\t{tmp_path}/disc.iso\n".encode() in succeeds("list")
    succeeds("umount", "./here/", cwd=tmp_path)
    assert not mounted(point)


def test_umount_ends_the_daemon(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    pid = daemon_of(point)
    succeeds("umount", point)
    wait_until_gone(point, pid)
    assert os.listdir(point) == []


@as_root
def test_umount_8_ends_the_daemon(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    pid = daemon_of(point)
    subprocess.run(["umount", point], check=True, capture_output=True, timeout=LIMIT)
    wait_until_gone(point, pid)


def test_a_mount_in_use_is_not_unmounted(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    with open(point / "readme.txt", "rb"):
        said = fails(32, "umount", point)
        assert said.startswith(f"{point}: the mount is in use; ")
        assert mounted(point)
    succeeds("umount", point)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts(mounting: Mounting, disc: Path, number: signal.Signals) -> None:
    point = mounting.mount(disc)
    pid = daemon_of(point)
    os.kill(pid, number)
    wait_until_gone(point, pid)
    assert os.listdir(point) == []


@pytest.mark.parametrize("name", ["plain", "cso"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_after_a_signal_an_open_file_is_read_to_its_end(
    mounting: Mounting, images: dict[str, Path], name: str, number: signal.Signals
) -> None:
    expected = numbered() + b"an odd end"
    point = mounting.mount(images[name])
    pid = daemon_of(point)
    with open(point / "numbered.bin", "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 10, 0) == expected[:10]
        os.kill(pid, number)
        wait_until(lambda: not mounted(point), "the mount leaves the tree")
        assert os.listdir(point) == []
        found = b"".join(iter(lambda: file.read(50_000), b""))
        assert found == expected
        assert alive(pid)
    wait_until(lambda: not alive(pid), "the daemon ends")


def test_a_second_signal_ends_the_daemon_at_once(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    pid = daemon_of(point)
    with kept_open(point / "numbered.bin") as fd:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not mounted(point), "the mount leaves the tree")
        assert alive(pid)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive(pid), "the daemon ends")
        with pytest.raises(OSError, match=r"not connected|connection abort"):
            os.pread(fd, 4096, 1 << 20)


def test_the_daemon_does_not_wait_for_ever(mounting: Mounting, disc: Path) -> None:
    """A file stays open; ten seconds later the daemon ends all the same."""
    point = mounting.mount(disc)
    pid = daemon_of(point)
    with kept_open(point / "readme.txt"):
        os.kill(pid, signal.SIGTERM)
        wait_until_gone(point, pid)


@contextlib.contextmanager
def kept_open(path: Path) -> Iterator[int]:
    """A file whose daemon may be gone when it is closed."""
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)


@as_root
def test_a_bind_mount_keeps_the_daemon(mounting: Mounting, disc: Path) -> None:
    point, second = mounting.mount(disc), mounting.point("second")
    pid = daemon_of(point)
    subprocess.run(["mount", "--bind", point / "many", second], check=True, capture_output=True, timeout=LIMIT)
    succeeds("umount", point)
    assert len(os.listdir(second)) == 30
    assert alive(pid)
    subprocess.run(["umount", second], check=True, capture_output=True, timeout=LIMIT)
    wait_until(lambda: not alive(pid), "the daemon ends")


@as_root
def test_a_signal_leaves_alone_what_was_mounted_on_top(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    pid = daemon_of(point)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", point], check=True, capture_output=True, timeout=LIMIT)
    (point / "precious").touch()

    def ended() -> bool:
        if alive(pid):
            os.kill(pid, signal.SIGTERM)  # the second one ends it at once
        return not alive(pid)

    wait_until(ended, "the daemon ends")
    assert os.listdir(point) == ["precious"]


def test_thirty_mounts_leave_nothing(mounting: Mounting, images: dict[str, Path]) -> None:
    points = [mounting.point(f"cycle {i}") for i in range(3)]

    def cycle(point: Path) -> None:
        for i in range(10):
            mounting.mount(images[FORMATS[i % len(FORMATS)]], point=point)
            assert (point / "readme.txt").read_bytes() == b"hello\n"
            succeeds("umount", point)

    with ThreadPoolExecutor(len(points)) as threads:
        list(threads.map(cycle, points))
    for point in points:
        assert not mounted(point)
        wait_until(lambda point=point: not daemons(point), "all daemons end")  # type: ignore[misc]


# --- in the foreground ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_in_the_foreground_a_signal_ends_it_well(mounting: Mounting, disc: Path, number: signal.Signals) -> None:
    point, process = mounting.foreground(disc)
    assert (point / "readme.txt").read_bytes() == b"hello\n"
    process.send_signal(number)
    out, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, said
    assert out == b""
    assert b"Traceback" not in said
    assert not mounted(point)


def test_in_the_foreground_unmounting_ends_it_well(mounting: Mounting, disc: Path) -> None:
    point, process = mounting.foreground(disc)
    succeeds("umount", point)
    assert process.wait(timeout=LIMIT) == 0
    assert process.communicate() == (b"", b"")


def test_in_the_foreground_damage_is_told(mounting: Mounting, disc: Path, tmp_path: Path) -> None:
    point, process = mounting.foreground(damaged_cso(disc, tmp_path / "damaged.cso", 4))
    assert pages_of(point / "numbered.bin").count(None) == 1
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=LIMIT)[1].decode()
    assert process.returncode == 0
    assert len([line for line in said.splitlines() if "block" in line]) == 1, said
    assert all(line.startswith("isofs: ") for line in said.splitlines())


def test_debug_shows_each_request(mounting: Mounting, disc: Path) -> None:
    point, process = mounting.foreground(disc, "-d")
    (point / "readme.txt").read_bytes()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=LIMIT)[1]
    assert process.returncode == 0
    assert {b"LOOKUP", b"OPEN", b"READ"} <= set(said.replace(b",", b" ").split())


# --- dead mounts ----------------------------------------------------------------------------------------------------


@pytest.fixture
def dead(mounting: Mounting, disc: Path) -> Path:
    """A mount whose daemon was killed."""
    point = mounting.mount(disc, point=mounting.point("dead"))
    pid = daemon_of(point)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), "the daemon ends")

    def is_dead() -> bool:
        try:
            os.statvfs(point)
        except OSError as error:  # one request may meet the connection while it is taken down
            return error.errno == errno.ENOTCONN
        return False

    wait_until(is_dead, "the mount is dead")
    return point


def test_a_crash_leaves_a_dead_mount_and_no_empty_directory(dead: Path) -> None:
    assert mounted(dead)
    with pytest.raises(OSError, match="not connected"):
        os.listdir(dead)


def test_a_dead_mount_is_listed_as_dead(dead: Path, disc: Path) -> None:
    assert f"{dead}\t{disc} (dead)\n".encode() in succeeds("list")


def test_a_dead_mount_can_be_unmounted(dead: Path) -> None:
    succeeds("umount", dead)
    assert not mounted(dead)
    assert os.listdir(dead) == []


def test_a_dead_mount_can_be_unmounted_through_a_link(dead: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(dead)
    succeeds("umount", tmp_path / "link")
    assert not mounted(dead)


def test_mounting_over_a_dead_mount_is_refused_with_what_to_do(dead: Path, disc: Path) -> None:
    remedy = f"run: isofs umount {shlex.quote(str(dead))}, or mount with -o force"
    assert fails(32, "mount", disc, dead) == f"{dead}: a dead mount is here; {remedy}"


def test_a_dead_mount_is_replaced_by_force(dead: Path, disc: Path) -> None:
    assert isofs("mount", "-o", "force", disc, dead).returncode == 0
    assert os.listdir(dead)


def test_a_dead_mount_stays_when_the_image_is_no_disc(dead: Path, tmp_path: Path) -> None:
    """An empty directory would be taken for the truth."""
    assert fails(32, "mount", "-o", "force", tmp_path / "missing.iso", dead).startswith(f"{tmp_path}/missing.iso: ")
    with pytest.raises(OSError, match="not connected"):
        os.listdir(dead)


def test_a_living_mount_is_not_replaced_by_force(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    assert "mounted here already" in fails(32, "mount", "-o", "force", disc, point)
    assert os.listdir(point)


# --- what is refused ------------------------------------------------------------------------------------------------


def test_a_second_mount_on_a_directory_is_refused(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    remedy = f"run: isofs umount {shlex.quote(str(point))}"
    assert fails(32, "mount", disc, point) == f"{point}: an image is mounted here already; {remedy}"
    succeeds("umount", point)
    assert not mounted(point)


def test_a_directory_of_a_mount_is_a_mount_point(mounting: Mounting, disc: Path) -> None:
    point = mounting.mount(disc)
    below = point / "wide"
    done = isofs("mount", disc, below)
    try:
        assert (done.returncode, done.stderr) == (0, b"")
        assert (below / "readme.txt").read_bytes() == b"hello\n"
    finally:
        isofs("umount", below)
    assert len(os.listdir(below)) == WIDE
    wait_until(lambda: not daemons(below), "the daemon ends")


def test_a_missing_mount_point_is_refused_with_what_to_do(disc: Path, tmp_path: Path) -> None:
    said = fails(32, "mount", disc, tmp_path / "missing")
    assert said.startswith(f"{tmp_path}/missing: no mount point: ")
    assert said.endswith(f"; run: mkdir {tmp_path}/missing")


def test_the_mount_point_is_looked_at_before_the_image(disc: Path, tmp_path: Path) -> None:
    """An image may take its time: a gzip file is read once."""
    said = fails(32, "mount", tmp_path / "missing.iso", tmp_path / "missing")
    assert said.startswith(f"{tmp_path}/missing: no mount point: ")


def test_a_file_is_no_mount_point(disc: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert fails(32, "mount", disc, tmp_path / "file").startswith(f"{tmp_path}/file: no mount point: not a directory; ")
    said = fails(32, "mount", disc, tmp_path / "file" / "below")
    assert said.startswith(f"{tmp_path}/file/below: no mount point: ")


@pytest.mark.parametrize("held", ["/dev/null", "/dev/fuse", ""])
def test_a_descriptor_that_is_no_mount_is_refused(held: str, disc: Path) -> None:
    """mount.fuse3(8) hands one over that is mounted already; this one is of something else, not mounted, not there."""
    require("/dev/fuse")
    fd = os.open(held or "/dev/null", os.O_RDWR)
    try:
        words = command("mount", disc, f"/dev/fd/{fd}")
        done = subprocess.run(words, capture_output=True, text=True, pass_fds=[fd] if held else [], check=False)
    finally:
        os.close(fd)
    assert done.returncode == 1
    assert done.stderr == f"isofs: /dev/fd/{fd}: no mount of FUSE; name a directory\n"


def test_a_mount_point_with_a_line_feed_is_refused_in_one_line(disc: Path, tmp_path: Path) -> None:
    assert "a\\x0ab: no mount point" in fails(32, "mount", disc, tmp_path / "a\nb")


def test_a_missing_image_is_a_failed_mount(mounting: Mounting, tmp_path: Path) -> None:
    said = fails(32, "mount", tmp_path / "missing.iso", mounting.point())
    assert said.startswith(f"{tmp_path}/missing.iso: no such file or directory; ")


def test_an_image_that_is_no_disc_is_a_failed_mount(mounting: Mounting, tmp_path: Path) -> None:
    image = tmp_path / "text.iso"
    image.write_bytes(b"this is no disc\n" * 10_000)
    point = mounting.point()
    assert fails(32, "mount", image, point).startswith(f"{image}: ")
    assert not mounted(point)
    assert not daemons(point)


def test_an_empty_image_is_a_failed_mount(mounting: Mounting, tmp_path: Path) -> None:
    (tmp_path / "empty.iso").touch()
    assert "empty (0 bytes)" in fails(32, "mount", tmp_path / "empty.iso", mounting.point())


def test_a_known_format_that_is_not_read_is_refused_by_name(mounting: Mounting, tmp_path: Path) -> None:
    image = tmp_path / "disc.isz"
    image.write_bytes(b"IsZ!".ljust(4096, b"\0"))
    assert "an ISZ image (UltraISO)" in fails(32, "mount", image, mounting.point())


@pytest.mark.parametrize("kind", ["directory", "pipe", "device"])
def test_an_image_that_is_no_file_is_a_failed_mount(mounting: Mounting, tmp_path: Path, kind: str) -> None:
    """A pipe is not waited for."""
    image = tmp_path / "image"
    if kind == "directory":
        image.mkdir()
    elif kind == "pipe":
        os.mkfifo(image)
    else:
        image = Path("/dev/null")
    assert "not a regular file" in fails(32, "mount", image, mounting.point())


def test_an_unknown_option_is_wrong_use(mounting: Mounting, disc: Path) -> None:
    point = mounting.point()
    assert "unknown option 'nosuch'" in fails(1, "mount", "-o", "ro,nosuch", disc, point)
    assert "unmount and mount again" in fails(1, "mount", "-o", "remount,ro", disc, point)
    assert not mounted(point)


def test_unmounting_what_is_no_mount_is_wrong_use(tmp_path: Path) -> None:
    assert fails(1, "umount", tmp_path) == f"{tmp_path}: nothing is mounted here; see isofs list"
    assert "of type proc, not one of isofs" in fails(1, "umount", "/proc")
    assert mounted(Path("/proc"))


@as_root
def test_a_mount_that_the_system_forbids_fails_in_one_line(mounting: Mounting, disc: Path) -> None:
    """Without the capability neither we nor fusermount3 may mount."""
    point = mounting.point("line\nfeed")
    words = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", *command("mount", disc, point)]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False)
    said = done.stderr.decode()
    assert done.returncode in (1, 32), said
    assert said.startswith("isofs: ")
    assert said.count("\n") == 1
    assert "internal error" not in said
    assert not mounted(point)
    assert not daemons(point)


# --- links to mount points ------------------------------------------------------------------------------------------


@pytest.fixture
def linked(mounting: Mounting, disc: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A mount made through a link to its directory, and the link."""
    point, link = mounting.point("real"), tmp_path / "link"
    link.symlink_to(point)
    mounting.also_known_as(link)
    succeeds("mount", disc, link)
    assert mounted(point)
    return point, link


def test_a_mount_through_a_link_is_unmounted_through_it(linked: tuple[Path, Path]) -> None:
    point, link = linked
    succeeds("umount", link)
    assert not mounted(point)
    wait_until(lambda: not daemons(link), "the daemon ends")


def test_a_mount_through_a_link_ends_on_a_signal(linked: tuple[Path, Path]) -> None:
    point, link = linked
    pid = daemon_of(link)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not alive(pid), "the daemon ends")
    assert not mounted(point)


def test_a_second_mount_through_a_link_is_refused(linked: tuple[Path, Path], disc: Path) -> None:
    _, link = linked
    assert "an image is mounted here already" in fails(32, "mount", disc, link)


# --- names of images ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        b"a b.iso",
        b"a,b=c,rw.iso",
        "Grüße 漢字.iso".encode(),
        b"100%41%.iso",
        b"back\\slash\\054.iso",
        b"line\nfeed\ttab.iso",
        b"not utf-8 \xff\xfe.iso",
        b"-o",
        b"#quote'\"$HOME.iso",
        b"long" * 60 + b".iso",
    ],
)
def test_an_image_may_have_any_name(mounting: Mounting, disc: Path, tmp_path: Path, name: bytes) -> None:
    image = os.fsencode(tmp_path) + b"/" + name
    os.symlink(disc, image)
    point = mounting.mount(image)
    assert (point / "readme.txt").read_bytes() == b"hello\n"
    assert os.fsencode(point) + b"\t" + image + b"\n" in succeeds("list")
    succeeds("umount", point)


def test_an_image_may_have_a_long_path_that_is_not_ascii(mounting: Mounting, disc: Path, tmp_path: Path) -> None:
    """The kernel takes a source of one page; each of these letters is six characters there."""
    folder = tmp_path.joinpath(*["ж" * 100] * 8)
    folder.mkdir(parents=True)
    image = folder / "disc.iso"
    image.symlink_to(disc)
    point = mounting.mount(image)
    assert (point / "readme.txt").read_bytes() == b"hello\n"


@pytest.mark.parametrize("name", ["a b", "a,b", "ü漢", "back\\slash", "line\nfeed", "-x"])
def test_a_mount_point_may_have_any_name(mounting: Mounting, disc: Path, name: str) -> None:
    point = mounting.mount(disc, point=mounting.point(name))
    assert (point / "readme.txt").read_bytes() == b"hello\n"
    assert f"{point}\t{disc}\n".encode() in succeeds("list")
    succeeds("umount", point)
    assert not mounted(point)


# --- damage ---------------------------------------------------------------------------------------------------------


def damaged_cso(disc: Path, image: Path, sector: int) -> Path:
    """The disc as a CSO in which the block of one sector of `numbered.bin` is not deflate."""
    data = disc.read_bytes()
    written = cso(data)
    number = data.index(numbered_sector(sector)) // SECTOR
    begin, end = (entry(written, i) & 0x7FFF_FFFF for i in (number, number + 1))
    image.write_bytes(overwritten(written, begin, b"\xff" * (end - begin)))
    return image


def test_a_damaged_block_costs_its_own_bytes_only(mounting: Mounting, disc: Path, tmp_path: Path) -> None:
    sector = 701
    point = mounting.mount(damaged_cso(disc, tmp_path / "damaged.cso", sector))
    expected = numbered() + b"an odd end"
    page = sector * SECTOR // PAGE
    for i, found in enumerate(pages_of(point / "numbered.bin")):
        assert found == (None if i == page else expected[i * PAGE : (i + 1) * PAGE]), f"page {i}"
    fd = os.open(point / "numbered.bin", os.O_RDONLY | os.O_DIRECT)
    try:
        assert os.pread(fd, SECTOR, (sector - 1) * SECTOR) == numbered_sector(sector - 1)
        assert os.pread(fd, SECTOR, (sector + 1) * SECTOR) == numbered_sector(sector + 1)
        with pytest.raises(OSError, match="Input/output error"):
            os.pread(fd, SECTOR, sector * SECTOR)
    finally:
        os.close(fd)
    assert (point / "readme.txt").read_bytes() == b"hello\n"


def assert_right_up_to(path: Path, known: int) -> None:
    """Whole pages of `numbered.bin` before `known` are right, all others read as EIO."""
    expected = numbered() + b"an odd end"
    pages = pages_of(path)
    assert len(pages) == -(-len(expected) // PAGE)
    for i, found in enumerate(pages):
        whole = min((i + 1) * PAGE, len(expected)) <= known
        assert found == (expected[i * PAGE : (i + 1) * PAGE] if whole else None), f"page {i}"


def assert_never_wrong(path: Path) -> None:
    """Every page of `numbered.bin` is right or reads as EIO; so may opening it."""
    expected = numbered() + b"an odd end"
    try:
        pages = pages_of(path)
    except OSError as error:
        assert error.errno == errno.EIO  # noqa: PT017
        return
    for i, found in enumerate(pages):
        assert found in (None, expected[i * PAGE : (i + 1) * PAGE]), f"page {i}"


CUT: Final = 900 * SECTOR + 100
"""Bytes of `numbered.bin` that a truncated image holds."""


def test_what_a_truncated_image_lacks_reads_as_an_error(mounting: Mounting, disc: Path, tmp_path: Path) -> None:
    image = tmp_path / "truncated.iso"
    data = disc.read_bytes()
    image.write_bytes(data[: data.index(numbered_sector(0)) + CUT])
    point = mounting.point()
    done = isofs("mount", image, point)
    assert (done.returncode, done.stdout) == (0, b"")
    said = done.stderr.decode()
    assert said.startswith(f"isofs: {image}: warning: the disc is shorter than its volume: ")
    assert said.count("\n") == 1
    assert os.stat(point / "numbered.bin").st_size == len(numbered()) + 10
    assert_right_up_to(point / "numbered.bin", CUT)
    assert os.path.getsize(point / "readme.txt") == 6


def test_what_a_truncated_compressed_image_lacks_reads_as_an_error(
    mounting: Mounting, disc: Path, tmp_path: Path
) -> None:
    data = disc.read_bytes()
    written = cso(data)
    begin = data.index(numbered_sector(0)) // SECTOR
    image = tmp_path / "truncated.cso"
    image.write_bytes(written[: (entry(written, begin + 900) & 0x7FFF_FFFF) + 1])
    point = mounting.point()
    assert isofs("mount", image, point).returncode == 0
    assert_right_up_to(point / "numbered.bin", 900 * SECTOR)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "cso"])
def test_an_image_truncated_under_its_mount_reads_as_errors_and_never_as_zeros(
    mounting: Mounting, disc: Path, tmp_path: Path, compressed: bool
) -> None:
    data = disc.read_bytes()
    begin = data.index(numbered_sector(0))
    written = cso(data) if compressed else data
    image = tmp_path / "image"
    image.write_bytes(written)
    point = mounting.mount(image)
    with open(point / "numbered.bin", "rb", buffering=0) as file:
        if compressed:
            os.truncate(image, entry(written, begin // SECTOR + 900) & 0x7FFF_FFFF)
            known = 900 * SECTOR
        else:
            os.truncate(image, begin + CUT)
            known = CUT
        with pytest.raises(OSError, match="Input/output error"):
            os.pread(file.fileno(), PAGE, known + 2 * PAGE)
    assert_never_wrong(point / "numbered.bin")
    assert alive(daemon_of(point))


def test_an_image_that_was_cut_and_has_grown_again_never_reads_as_zeros(
    mounting: Mounting, disc: Path, tmp_path: Path
) -> None:
    """As by a copy over it that is under way: the hole is not what the disc holds."""
    image = tmp_path / "image"
    data = disc.read_bytes()
    image.write_bytes(data)
    point = mounting.mount(image)
    os.truncate(image, data.index(numbered_sector(0)) + CUT)
    os.truncate(image, len(data))
    assert_never_wrong(point / "numbered.bin")
    with pytest.raises(OSError, match="Input/output error"):
        (point / "readme.txt").read_bytes()


def test_an_image_that_is_written_to_under_its_mount_is_not_believed(
    mounting: Mounting, disc: Path, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    data = disc.read_bytes()
    image.write_bytes(data)
    point = mounting.mount(image)
    with open(image, "r+b") as file:
        file.seek(data.index(numbered_sector(5)))
        file.write(b"something else")
    assert_never_wrong(point / "numbered.bin")
    with pytest.raises(OSError, match="Input/output error"):
        (point / "readme.txt").read_bytes()


def test_an_image_cut_to_nothing_under_its_mount_does_not_end_the_daemon(
    mounting: Mounting, disc: Path, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    image.write_bytes(disc.read_bytes())
    point = mounting.mount(image)
    os.truncate(image, 0)
    with pytest.raises(OSError, match=r"Input/output error|Stale file handle"):
        (point / "readme.txt").read_bytes()
    assert alive(daemon_of(point))
    succeeds("umount", point)


def test_an_image_removed_under_its_mount_is_served_on(mounting: Mounting, disc: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(disc.read_bytes())
    point = mounting.mount(image)
    image.unlink()
    assert (point / "numbered.bin").read_bytes() == numbered() + b"an odd end"


def test_a_directory_that_is_cut_off_costs_itself_only(mounting: Mounting, tmp_path: Path) -> None:
    made = Disc(rock=True)
    made.root.file(b"FILE.;1", b"whole", system_use=rock(b"file"))
    made.root.rock_directory(b"LOST", b"lost")
    image = tmp_path / "cut.iso"
    image.write_bytes(made.build()[:-SECTOR])
    point = mounting.point()
    assert isofs("mount", image, point).returncode == 0
    assert sorted(os.listdir(point)) == ["file", "lost"]
    assert (point / "file").read_bytes() == b"whole"
    for question in (os.listdir, os.stat):
        with pytest.raises(OSError, match="Input/output error"):
            question(point / "lost")


# --- plain users ----------------------------------------------------------------------------------------------------

AS_NOBODY: Final = """
import os, sys
import pyfuse3, trio, isofs.cli, isofs.mount.serve, isofs.mount.options, isofs.volume, isofs.image.cso
import json, grp, pwd, ctypes, subprocess, threading, trio._core
from isofs.cli import COMMANDS, output
for name in COMMANDS:
    __import__("isofs.cli." + name.replace("-", "_"))
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sys.exit(isofs.cli.main(sys.argv[1:]))
"""
"""The command line as user nobody, who may not be allowed to read the modules."""


@pytest.fixture
def open_folder(disc: Path) -> Iterator[Path]:
    """A folder that everybody can reach, with the disc, a mount point of nobody's and one of root's."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        (folder / "disc, a.iso").write_bytes(disc.read_bytes())
        (folder / "disc, a.iso").chmod(0o644)
        for point in ("own", "foreign"):
            (folder / point).mkdir(mode=0o755)
        if os.geteuid() == 0:
            os.chown(folder / "own", 65534, 65534)
        yield folder


def as_nobody(*args: str | Path, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    words = [*before, sys.executable, "-c", AS_NOBODY, *map(str, args)]
    return subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False, cwd="/"
    )


@as_root
def test_a_user_who_may_not_use_fuse_is_told_so(open_folder: Path) -> None:
    """In a mount namespace of its own, with a device that is root's."""
    done = as_nobody(
        *("mount", open_folder / "disc, a.iso", open_folder / "own"), before=private_device(open_folder, "600")
    )
    expected = "isofs: /dev/fuse: permission denied (mode 0600); ask the administrator, or run as root\n"
    assert (done.returncode, done.stderr) == (1, expected)


def private_device(folder: Path, mode: str) -> tuple[str, ...]:
    """Runs what follows where /dev/fuse is a device of this mode; nothing of it is seen outside."""
    require("/dev/fuse")
    script = (
        'set -e; rm -f "$1/fuse"; mknod "$1/fuse" c 10 229; chmod "$2" "$1/fuse"; mount --bind "$1/fuse" /dev/fuse; '
        'shift 2; exec "$@"'
    )
    require(PRIVATE_MOUNTS)
    return (*IN_PRIVATE, "sh", "-c", script, "sh", str(folder), mode)


USER_SCENARIO: Final = """
import os, signal, subprocess, sys, time
from pathlib import Path
program, folder = sys.argv[1], Path(sys.argv[2])
image, own, foreign = folder / "disc, a.iso", folder / "own", folder / "foreign"

def run(*words, user=None):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, user=user, group=user)
    print(done.returncode, repr(done.stdout), repr(done.stderr), flush=True)

def nobody(*words):
    run(sys.executable, "-c", program, *map(str, words))

nobody("mount", image, foreign)
nobody("mount", "-o", "allow_other", image, own)
nobody("mount", image, own)
run("cat", own / "readme.txt", user=65534)
run("cat", own / "readme.txt")
nobody("list")
nobody("mount", image, own)
nobody("umount", own)
nobody("umount", own)

def end(number):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\\0")
        except OSError:
            continue
        if os.fsencode(own) in words and b"mount" in words and b"isofs" not in words and int(pid) != os.getpid():
            os.kill(int(pid), number)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                try:
                    if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                        return
                except OSError:
                    return
                time.sleep(0.01)

nobody("mount", image, own)
end(signal.SIGTERM)
nobody("list")
nobody("mount", image, own)
end(signal.SIGKILL)
nobody("list")
nobody("mount", image, own)
nobody("umount", own)
run(sys.executable, "-m", "isofs", "mount", str(image), str(foreign))
run("cat", foreign / "readme.txt", user=65534)
nobody("list")
nobody("umount", foreign)
run(sys.executable, "-m", "isofs", "umount", str(foreign))
"""


@as_root
def test_a_user_mounts_on_a_directory_of_his_own(open_folder: Path) -> None:
    """Through fusermount3, in a mount namespace of its own. `allow_other` is not for users unless fuse.conf says so."""
    require("fusermount3")
    done = subprocess.run(
        [*private_device(open_folder, "666"), sys.executable, "-c", USER_SCENARIO, AS_NOBODY, str(open_folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    own, foreign = open_folder / "own", open_folder / "foreign"
    image = open_folder / "disc, a.iso"
    lines = done.stdout.splitlines()
    refused, others, made, read, by_root, listed, twice, gone, none, *lines = lines
    again, ended, once_more, crashed, on_top, taken_away, *lines = lines
    rooted, read_too, hidden, not_his, end = lines
    assert refused.startswith("1 '' "), refused
    assert f"isofs: {foreign}: " in refused
    assert "choose a directory of your own" in refused
    if "user_allow_other" not in Path("/etc/fuse.conf").read_text().split("\n"):
        assert others.startswith("1 '' "), others
        assert "allow_other is not allowed for users" in others
    assert made == "0 '' ''"
    assert read == "0 'hello\\n' ''"
    assert by_root.startswith("1 '' "), "not even root sees the mount of a user"
    line = f"{own}\t{image}\n"
    assert listed == f"0 {line!r} ''"
    assert "an image is mounted here already" in twice
    assert gone == "0 '' ''"
    assert "nothing is mounted here" in none
    assert again == "0 '' ''"
    assert ended == "0 '' ''", "a signal unmounts, by fusermount3"
    assert once_more == "0 '' ''"
    dead = line.replace("\n", " (dead)\n")
    assert crashed == f"0 {dead!r} ''"
    assert "a dead mount is here" in on_top
    assert taken_away == "0 '' ''"
    assert rooted == "0 '' ''"
    assert read_too == "0 'hello\\n' ''", "what root mounts is for all"
    assert hidden == "0 '' ''"
    assert not_his.startswith("1 '' "), not_his
    assert "mounted by another user" in not_his
    assert end == "0 '' ''"
    with contextlib.suppress(ProcessLookupError):
        for pid in (*daemons(own), *daemons(foreign)):
            wait_until(lambda pid=pid: not alive(pid), "the daemons end")  # type: ignore[misc]


@as_root
def test_a_mount_point_that_a_user_cannot_reach_is_wrong_use(open_folder: Path) -> None:
    closed = open_folder / "closed"
    (closed / "point").mkdir(parents=True)
    closed.chmod(0o700)
    done = as_nobody(
        *("mount", open_folder / "disc, a.iso", closed / "point"), before=private_device(open_folder, "666")
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"isofs: {closed}/point: permission denied; ")


@as_root
def test_an_image_that_a_user_cannot_read_is_wrong_use(open_folder: Path) -> None:
    (open_folder / "disc, a.iso").chmod(0o600)
    done = as_nobody("mount", open_folder / "disc, a.iso", open_folder / "own")
    assert done.returncode == 1
    assert done.stderr.startswith(f"isofs: {open_folder}/disc, a.iso: permission denied; ")


@as_root
def test_a_machine_without_the_device_is_told_by_name(open_folder: Path) -> None:
    script = 'set -e; mount -t tmpfs tmpfs /dev; exec "$@"'
    require(PRIVATE_MOUNTS)
    words = [*IN_PRIVATE, "sh", "-c", script, "sh"]
    done = subprocess.run(
        [*words, *command("mount", open_folder / "disc, a.iso", open_folder / "own")],
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("isofs: /dev/fuse: the device does not exist; ")
    assert done.stderr.count("\n") == 1
