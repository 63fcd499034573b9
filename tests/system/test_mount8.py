"""mount(8), /etc/fstab and mount.fuse3(8) as they are, with `mount.isofs` where they look for it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from writers.mounting import alive, wait_until
from writers.room import STRANGER, USER, Room
from writers.tools import require

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")

IMAGE: Final = "/disc/disc.iso"
POINT: Final = "/disc/mnt"
ALWAYS: Final = {"ro", "nosuid", "nodev"}
NAMES: Final = (
    *("my disc.iso", "a,b.iso", "Grüße 漢字.iso", "line\nfeed.iso", "50%, #1 \\ disc.iso", "-o.iso"),
    os.fsdecode(b"not \xff UTF-8.iso"),
)


@pytest.fixture
def room(place: Room, disc: Path) -> Iterator[Room]:
    """The room with an image and a mount point."""
    shutil.copy(disc, place.outside(IMAGE))
    place.outside(IMAGE).chmod(0o644)
    place.point()
    yield place
    place.outside("/etc/fstab").write_text("")
    place.clean()


def mount(room: Room, *words: str, env: dict[str, str] | None = None) -> None:
    """Runs mount(8) in `/disc`; it must have nothing to say; then the disc is there."""
    assert room.does("mount", *words, cwd="/disc", env=env) == ""
    assert room.outside(f"{room.mount().path}/readme.txt").read_text() == "hello\n"


def unmount(room: Room) -> None:
    assert room.does("umount", room.mount().path) == ""
    room.all_gone()


def fstab(room: Room, *lines: str) -> None:
    room.outside("/etc/fstab").write_text("".join(f"{line} 0 0\n" for line in lines))


# --- what is mounted, and how it shows ------------------------------------------------------------------------------


def test_tools_show_the_mount(room: Room) -> None:
    mount(room, "-t", "isofs", "disc.iso", "mnt")
    options = "ro,nosuid,nodev,relatime,user_id=0,group_id=0,default_permissions,allow_other"
    assert room.does("findmnt", "-n", "-r", POINT) == f"{POINT} {IMAGE} fuse.isofs {options}\n"
    assert room.does("findmnt", "-n", "-r", "-o", "TARGET", "-t", "fuse.isofs") == f"{POINT}\n"
    assert f"{IMAGE} on {POINT} type fuse.isofs ({options})\n" in room.does("mount")
    size = room.outside(IMAGE).stat().st_size
    columns = "--output=source,fstype,target,size,avail,pcent"
    shown = room.does("df", "-B1", columns, POINT).splitlines()[1].split()
    assert shown == [IMAGE, "fuse.isofs", POINT, str(size), "0", "100%"]
    assert room.does("stat", "-f", "-c", "%S %b %f %a %l", POINT) == f"2048 {size // 2048} 0 0 255\n"
    assert room.does("mountpoint", POINT) == f"{POINT} is a mountpoint\n"
    unmount(room)


@pytest.mark.parametrize("word", ["-n", "-s", "-r", "-w", "-o rw", "-o suid,dev", "-o exec,defaults,loud"])
def test_a_mount_is_read_only_and_without_devices_whatever_is_asked(room: Room, word: str) -> None:
    mount(room, *word.split(), "-t", "isofs", IMAGE, POINT)
    assert room.mount().options >= ALWAYS
    assert not room.mount().options & {"rw", "suid", "dev", "noexec"}


def test_noexec(room: Room) -> None:
    mount(room, "-o", "noexec", "-t", "isofs", IMAGE, POINT)
    assert room.mount().options >= {*ALWAYS, "noexec"}
    assert "Permission denied" in room.fails(126, "env", f"{POINT}/suid")


def test_suid_bits_and_devices_of_the_disc_are_dead(room: Room) -> None:
    mount(room, "-o", "dev,suid", "-t", "isofs", IMAGE, POINT)
    devices = [path for path in room.outside(POINT).iterdir() if stat.S_ISCHR(path.lstat().st_mode)]
    assert devices, "the disc has some"
    for path in devices:
        with pytest.raises(PermissionError):
            os.open(path, os.O_RDONLY)


def test_verbose_says_what_was_done(room: Room) -> None:
    said = room.does("mount", "-v", "-t", "isofs", "disc.iso", "mnt", cwd="/disc")
    assert said == f"isofs: {IMAGE} is mounted on {POINT}\n"


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_images_of_any_name(room: Room, name: str) -> None:
    room.outside(IMAGE).rename(room.outside(f"/disc/{name}"))
    mount(room, "-t", "isofs", f"./{name}", "mnt")
    source = room.mount().source
    assert source.isascii()
    assert room.does("isofs", "list") == f"{POINT}\t/disc/{name}\n"


def test_a_mount_point_of_any_name(room: Room) -> None:
    for name in ("a b", "ü,\\\t\n'"):
        point = room.point(name)
        mount(room, "-t", "isofs", "disc.iso", name)
        assert room.mount().path == point
        unmount(room)


def test_without_any_environment(room: Room) -> None:
    """As systemd starts it: neither PATH nor HOME."""
    mount(room, "-t", "isofs", "disc.iso", "mnt", env={})
    room.does("/usr/local/bin/isofs", "umount", POINT, env={})
    assert not room.daemons()


# --- fake, refused --------------------------------------------------------------------------------------------------


def test_a_fake_mount_checks_everything_and_mounts_nothing(room: Room) -> None:
    room.outside("/disc/empty.iso").touch()
    assert room.does("mount", "-f", "-t", "isofs", IMAGE, POINT) == ""
    said = room.does("mount", "-fv", "-t", "isofs", IMAGE, POINT)
    assert said == f"isofs: {IMAGE} would be mounted on {POINT}\n"
    for code, words in (
        (32, ("/disc/empty.iso", POINT)),
        (32, ("/disc/no.iso", POINT)),
        (32, (IMAGE, "/disc/nowhere")),
        (1, ("-o", "foo", IMAGE, POINT)),
    ):
        assert room.fails(code, "mount", "-f", "-t", "isofs", *words).startswith("isofs: ")
    assert not room.mounts()
    assert not room.daemons()


def test_unknown_options_are_refused_unless_sloppy(room: Room) -> None:
    said = room.fails(1, "mount", "-t", "isofs", "-o", "ro,foo=bar", IMAGE, POINT)
    assert said == f"isofs: {IMAGE}: unknown option 'foo'; see isofs mount --help"
    mount(room, "-s", "-t", "isofs", "-o", "ro,foo=bar,noexec", IMAGE, POINT)
    assert "noexec" in room.mount().options


def test_another_namespace_is_refused(room: Room) -> None:
    keeper = subprocess.Popen(room.words("unshare", "-m", "sleep", "30"))
    try:
        said = room.fails(1, "mount", "-N", f"/proc/{keeper.pid}/ns/mnt", "-t", "isofs", IMAGE, POINT)
        assert "another namespace (-N) is not supported" in said
    finally:
        keeper.kill()
        keeper.wait()


def test_remounting_is_refused(room: Room) -> None:
    mount(room, "-t", "isofs", IMAGE, POINT)
    for words in (("-o", "remount,noexec", POINT), ("-t", "isofs", "-o", "remount,rw", IMAGE, POINT)):
        said = room.fails(1, "mount", *words)
        assert said.endswith("option remount is not supported; a mount cannot be changed; unmount and mount again")
    assert "noexec" not in room.mount().options


def test_nothing_can_be_written_even_where_root_has_made_the_mount_writable(room: Room) -> None:
    mount(room, "-t", "isofs", IMAGE, POINT)
    room.does("mount", "-i", "-o", "remount,rw", POINT)
    assert "rw" in room.mount().options, "the kernel lets root do it"
    for words in (
        ("touch", "new"),
        ("touch", "readme.txt"),
        ("rm", "readme.txt"),
        ("mkdir", "new"),
        ("mv", "old", "x"),
    ):
        assert "Read-only file system" in room.fails(1, *words, cwd=POINT), words


def test_exit_codes_come_through(room: Room) -> None:
    room.outside("/disc/zeros.iso").write_bytes(bytes(1 << 20))
    room.outside("/disc/file").touch()
    for code, words, said in (
        (32, ("/disc/no.iso", POINT), "isofs: /disc/no.iso: no such file or directory; "),
        (32, ("/disc/zeros.iso", POINT), "isofs: /disc/zeros.iso: "),
        (32, ("/disc", POINT), "isofs: /disc: "),
        (1, ("-o", "cache=little", IMAGE, POINT), f"isofs: {IMAGE}: option cache=little: not a size; "),
    ):
        assert room.fails(code, "mount", "-t", "isofs", *words).startswith(said)
    assert room.fails(32, "/sbin/mount.isofs", IMAGE, "/disc/file").startswith("isofs: /disc/file: no mount point: ")
    without = 'mount -t tmpfs tmpfs /dev; exec mount -t isofs "$@"'
    said = room.fails(2, "unshare", "-m", "sh", "-c", without, "sh", IMAGE, POINT)
    assert said.startswith("isofs: /dev/fuse: the device does not exist; ")
    assert not room.daemons()


def test_a_second_mount_on_the_same_directory_is_refused(room: Room) -> None:
    mount(room, "-t", "isofs", IMAGE, POINT)
    assert "an image is mounted here already" in room.fails(32, "mount", "-t", "isofs", IMAGE, POINT)
    assert room.outside(f"{POINT}/readme.txt").exists()


# --- other types, mount.fuse3 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["isofs.sub", "fuse.isofs"])
def test_types_with_a_dot(room: Room, kind: str) -> None:
    mount(room, "-t", kind, "disc.iso", "mnt")
    assert room.mount()[:3] == (IMAGE, POINT, "fuse.isofs")
    assert room.mount().options >= ALWAYS
    unmount(room)


def test_a_helper_for_the_type_fuse_isofs_goes_first(room: Room) -> None:
    """mount.fuse3 would leave out -f and mount."""
    helper = room.outside("/sbin/mount.fuse.isofs")
    helper.symlink_to("mount.isofs")
    try:
        assert room.does("mount", "-f", "-t", "fuse.isofs", IMAGE, POINT) == ""
        assert not room.mounts()
        mount(room, "-t", "fuse.isofs", "-o", "noexec", IMAGE, POINT)
        assert room.mount().options >= {*ALWAYS, "noexec"}
        assert room.fails(1, "mount", "-o", "remount,exec", POINT).startswith("isofs: ")
    finally:
        helper.unlink()


@pytest.mark.parametrize("kind", ["fuse", "fuse3"])
def test_a_program_and_its_image_as_the_source(room: Room, kind: str) -> None:
    if kind == "fuse3":
        require("mount.fuse3")
    mount(room, "-t", kind, "-o", "nofail,_netdev,x-foo,uid=1000", "isofs#disc.iso", "mnt")
    assert room.mount()[:3] == (IMAGE, POINT, "fuse.isofs")
    assert room.mount().options >= ALWAYS
    assert room.outside(f"{POINT}/readme.txt").stat().st_uid == 1000
    unmount(room)


def test_a_mount_that_mount_fuse_has_made_without_privileges(room: Room) -> None:
    """mount.fuse3 mounts with what it is told, and hands over the descriptor; so the options are ours to say."""
    wishes = "drop_privileges,ro,nosuid,nodev,allow_other"
    mount(room, "-t", "fuse", "-o", wishes, "isofs#disc.iso", "mnt")
    assert room.mount().kind == "fuse.isofs"
    assert room.mount().options >= {*ALWAYS, "allow_other"}
    pid = room.daemon()
    status = Path(f"/proc/{pid}/status").read_text()
    assert "CapEff:\t0000000000000000\n" in status
    assert "NoNewPrivs:\t1\n" in status
    with pytest.raises(OSError, match="Read-only file system"):
        room.outside(f"{POINT}/new").touch()
    room.does("umount", POINT)
    wait_until(lambda: not alive(pid), "the daemon ends")


def test_an_image_and_its_mount_point_without_a_command(room: Room) -> None:
    """What mount.fuse makes of a mount: the program with the source, the directory and options."""
    assert room.does("isofs", IMAGE, POINT, "-o", "rw,dev,suid") == ""
    assert room.mount().options >= ALWAYS
    unmount(room)


# --- fstab ----------------------------------------------------------------------------------------------------------


def test_options_of_fstab_that_are_for_others(room: Room) -> None:
    room.outside(IMAGE).rename(room.outside("/disc/my disc.iso"))
    fstab(
        room,
        "/disc/my\\040disc.iso /disc/made/here isofs ro,user,noauto,nofail,x-systemd.automount,"
        "x-systemd.idle-timeout=60,uid=1000,allow_other,_netdev,x-foo,comment=hi,X-mount.mkdir,owner,group,relatime,"
        "noatime,strictatime,sync,dirsync,lazytime,nodiratime,silent,iversion,users,nomand,async,norelatime,loud",
    )
    mount(room, "/disc/made/here")
    assert room.mount().source == "/disc/my%20disc.iso"
    assert room.mount().options >= {*ALWAYS, "noexec", "allow_other"}, "user implies noexec"
    assert room.outside("/disc/made/here/readme.txt").stat().st_uid == 1000
    room.does("umount", "/disc/made/here")
    room.all_gone()


def test_mounting_all_of_fstab(room: Room) -> None:
    good, bad = f"{IMAGE} {POINT} isofs ro,nofail", f"/disc/no.iso {room.point('other')} isofs ro,nofail"
    fstab(room, good)
    mount(room, "-a")
    mount(room, "-a")  # what is mounted stays
    unmount(room)
    fstab(room, bad)
    assert "no such file" in room.fails(32, "mount", "-a")
    fstab(room, good, bad)
    assert "no such file" in room.fails(64, "mount", "-fa")
    assert not room.mounts()
    assert "no such file" in room.fails(64, "mount", "-a")
    assert room.mount().path == POINT


def test_an_fstab_of_its_own(room: Room) -> None:
    room.outside("/disc/table").write_text(f"{IMAGE} {POINT} isofs noexec 0 0\n")
    mount(room, "-T", "/disc/table", POINT)
    assert "noexec" in room.mount().options


def test_the_directory_is_made_on_request(room: Room) -> None:
    mount(room, "-m", "-t", "isofs", IMAGE, "/disc/new/one")
    room.does("umount", "/disc/new/one")


# --- the end of a mount ---------------------------------------------------------------------------------------------


def test_unmounting_lazily_leaves_open_files(room: Room) -> None:
    mount(room, "-t", "isofs", IMAGE, POINT)
    pid = room.daemon()
    with open(room.outside(f"{POINT}/numbered.bin"), "rb", buffering=0) as file:
        assert "target is busy" in room.run("umount", POINT)[2]
        assert "the mount is in use" in room.fails(32, "isofs", "umount", POINT)
        assert room.does("umount", "-l", POINT) == ""
        assert not room.mounts()
        file.seek(1 << 20)
        assert file.read(15) == b"sector %08d" % 512
        assert alive(pid)
    room.all_gone()


def test_isofs_umount_returns_when_the_daemon_has_gone(room: Room) -> None:
    for _ in range(3):
        mount(room, "-t", "isofs", IMAGE, POINT)
        pid = room.daemon()
        assert room.does("isofs", "umount", "mnt", cwd="/disc") == ""
        assert not alive(pid)
        assert not room.mounts()


def test_isofs_umount_takes_a_busy_mount_away_lazily(room: Room) -> None:
    mount(room, "-t", "isofs", IMAGE, POINT)
    with open(room.outside(f"{POINT}/readme.txt")) as file:
        assert room.does("isofs", "umount", "-l", POINT) == ""
        assert not room.mounts()
        assert file.read() == "hello\n"
    room.all_gone()


def test_a_dead_mount_is_named_and_replaced_or_taken_away(room: Room) -> None:
    mount(room, "-t", "isofs", IMAGE, POINT)
    room.kill()
    said = room.fails(32, "mount", "-t", "isofs", IMAGE, POINT)
    assert said == f"isofs: {POINT}: a dead mount is here; run: isofs umount {POINT}, or mount with -o force"
    assert room.fails(32, "mount", "-f", "-t", "isofs", "-o", "force", IMAGE, POINT) == said, "a fake takes none away"
    mount(room, "-t", "isofs", "-o", "force", IMAGE, POINT)
    room.kill()
    assert room.does("isofs", "umount", POINT) == ""
    assert not room.mounts()


DEAD: Final = """
import os, sys
import pyfuse3
pyfuse3.init(pyfuse3.Operations(), sys.argv[1], {"fsname=other", "subtype=other"})
"""


def test_dead_mounts_of_others_are_left_alone(room: Room) -> None:
    room.does(sys.executable, "-c", DEAD, POINT)
    assert room.mount().kind == "fuse.other"
    for words in (("mount", "-t", "isofs", IMAGE, POINT), ("mount", "-t", "isofs", "-o", "force", IMAGE, POINT)):
        assert room.fails(32, *words) == f"isofs: {POINT}: a dead mount of fuse.other is here; run: umount {POINT}"
    for options in ((), ("-l",)):
        assert "a mount of type fuse.other, not one of isofs" in room.fails(1, "isofs", "umount", *options, POINT)
    assert room.mount().kind == "fuse.other"


def test_a_killed_daemon_with_auto_unmount_leaves_no_mount(room: Room) -> None:
    mount(room, "-t", "isofs", "-o", "auto_unmount", IMAGE, POINT)
    room.kill()
    room.all_gone()


# --- who may look ---------------------------------------------------------------------------------------------------


def test_what_root_mounts_is_for_all_within_the_modes_of_the_disc(room: Room) -> None:
    mount(room, "-t", "isofs", IMAGE, POINT)
    for user in (USER, STRANGER):
        assert room.does("cat", f"{POINT}/readme.txt", user=user) == "hello\n"
    unmount(room)
    mount(room, "-t", "isofs", "-o", "fmask=077", IMAGE, POINT)
    assert "Permission denied" in room.fails(1, "cat", f"{POINT}/readme.txt", user=USER)


def test_what_root_mounts_for_nobody_else(room: Room) -> None:
    mount(room, "-t", "isofs", "-o", "allow_root", IMAGE, POINT)
    assert "Permission denied" in room.fails(1, "cat", f"{POINT}/readme.txt", user=USER)
