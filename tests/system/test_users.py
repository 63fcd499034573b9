"""Plain users: fusermount3, /etc/fuse.conf, `user` in fstab, mounts as another user, namespaces of their own."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from writers.mounting import alive, wait_until
from writers.room import STRANGER, USER, Room

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")

IMAGE: Final = "/disc/disc.iso"
OWN: Final = "/disc/own"
"""A mount point of the user's."""
POINT: Final = "/disc/mnt"
"""One of root's."""
README: Final = f"{OWN}/readme.txt"
ALWAYS: Final = {"ro", "nosuid", "nodev"}


@pytest.fixture
def room(place: Room, disc: Path) -> Iterator[Room]:
    """The room with an image and two mount points."""
    shutil.copy(disc, place.outside(IMAGE))
    place.outside(IMAGE).chmod(0o644)
    place.point()
    place.point("own", owner=USER)
    yield place
    place.outside("/etc/fstab").write_text("")
    place.outside("/etc/fuse.conf").unlink(missing_ok=True)
    place.clean()


@pytest.fixture
def others_allowed(room: Room) -> None:
    """The administrator lets users show their mounts to others."""
    room.outside("/etc/fuse.conf").write_text("user_allow_other\n")


def mount(room: Room, *words: str, user: int = USER) -> None:
    """Mounts, which must leave nothing to say."""
    assert room.does("mount", *words, user=user, cwd="/disc") == ""


def can_read(room: Room, user: int, path: str = README) -> bool:
    code, said, error = room.run("cat", path, user=user)
    assert (code, said, error) == (0, "hello\n", "") or (code, said, "Permission denied" in error) == (1, "", True)
    return code == 0


def owner_of(pid: int) -> int:
    """As whom a process acts, in every respect."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    numbers = {line.split()[i] for line in lines if line.startswith(("Uid:", "Gid:")) for i in range(1, 5)}
    assert len(numbers) == 1, numbers
    groups = next(line for line in lines if line.startswith("Groups:")).split()[1:]
    assert set(groups) <= numbers
    return int(numbers.pop())


# --- mounts of users ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("mount", "-t", "isofs", "disc.iso", "own"), ("isofs", "mount", "disc.iso", "own")])
def test_a_user_mounts_for_himself_alone(room: Room, words: tuple[str, ...]) -> None:
    assert room.does(*words, user=USER, cwd="/disc") == ""
    assert room.mount()[:3] == (IMAGE, OWN, "fuse.isofs")
    assert room.mount().options >= {*ALWAYS, f"user_id={USER}", "default_permissions"}
    assert owner_of(room.daemon()) == USER
    assert can_read(room, USER)
    assert not can_read(room, STRANGER)
    assert not can_read(room, 0), "not even root sees the mount of a user"
    assert room.does("isofs", "list", user=USER) == f"{OWN}\t{IMAGE}\n"
    assert room.does("isofs", "list", user=STRANGER) == ""
    room.does("umount", OWN, user=USER)
    room.all_gone()


def test_a_line_of_fstab_for_users(room: Room) -> None:
    """mount(8) has given up its rights when it calls us: the line gives none."""
    room.outside("/etc/fstab").write_text(
        f"{IMAGE} {OWN} isofs ro,user,noauto,nofail,x-systemd.automount,_netdev 0 0\n{IMAGE} {POINT} isofs user 0 0\n"
    )
    mount(room, OWN)
    assert room.mount().options >= {*ALWAYS, "noexec", f"user_id={USER}"}
    assert owner_of(room.daemon()) == USER
    assert room.run("umount", OWN, user=STRANGER)[0] == 32
    assert room.mounts()
    room.does("umount", OWN, user=USER)
    room.all_gone()
    said = room.fails(1, "mount", POINT, user=USER)
    reason = f"fusermount3: user has no write access to mountpoint {POINT}"
    assert said == f"isofs: {POINT}: {reason}; choose a directory of your own"


def test_a_fake_mount_of_a_user(room: Room) -> None:
    assert room.does("mount", "-f", "-t", "isofs", IMAGE, OWN, user=USER) == ""
    assert not room.mounts()


def test_suid_and_dev_are_not_to_be_had(room: Room) -> None:
    mount(room, "-t", "isofs", "-o", "suid,dev,exec,rw", IMAGE, OWN)
    assert room.mount().options >= ALWAYS
    assert not room.mount().options & {"suid", "dev", "rw"}


def test_mount_fuse_for_a_user(room: Room) -> None:
    room.outside("/etc/fstab").write_text(f"isofs#{IMAGE} {OWN} fuse user,noauto,uid=5 0 0\n")
    mount(room, OWN)
    assert room.mount()[:3] == (IMAGE, OWN, "fuse.isofs")
    assert room.mount().options >= {*ALWAYS, "noexec"}
    assert room.does("stat", "-c", "%u", README, user=USER) == "5\n"


# --- allow_other ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wish", ["allow_other", "allow_root"])
def test_showing_a_mount_to_others_takes_the_administrator(room: Room, wish: str) -> None:
    said = room.fails(1, "mount", "-t", "isofs", "-o", wish, IMAGE, OWN, user=USER)
    remedy = "the administrator can add the line user_allow_other to /etc/fuse.conf; or leave the option out"
    assert said == f"isofs: {OWN}: {wish} is not allowed for users; {remedy}"
    assert not room.mounts()
    assert not room.daemons()


@pytest.mark.usefixtures("others_allowed")
def test_a_user_who_may_shows_a_mount_to_all(room: Room) -> None:
    mount(room, "-t", "isofs", "-o", "allow_other", IMAGE, OWN)
    assert [can_read(room, user) for user in (USER, 0, STRANGER)] == [True, True, True]


@pytest.mark.usefixtures("others_allowed")
def test_a_user_who_may_shows_a_mount_to_root_only(room: Room) -> None:
    mount(room, "-t", "isofs", "-o", "allow_root", IMAGE, OWN)
    assert [can_read(room, user) for user in (USER, 0, STRANGER)] == [True, True, False]


@pytest.mark.usefixtures("others_allowed")
def test_a_user_who_may_still_shows_it_to_nobody_unasked(room: Room) -> None:
    mount(room, "-t", "isofs", IMAGE, OWN)
    assert not can_read(room, STRANGER)


# --- the end --------------------------------------------------------------------------------------------------------


def test_isofs_umount_by_its_user_root_and_strangers(room: Room) -> None:
    mount(room, "-t", "isofs", IMAGE, OWN)
    words = f"isofs: {OWN}: mounted by another user; only root and whoever mounted it can unmount it"
    assert room.fails(1, "isofs", "umount", OWN, user=STRANGER) == words
    assert room.does("isofs", "umount", OWN, user=USER) == ""
    assert not room.mounts()
    assert not room.daemons(), "it has waited for the daemon"
    mount(room, "-t", "isofs", IMAGE, OWN)
    assert room.does("isofs", "umount", OWN) == "", "root unmounts what it may not look at"
    assert not room.daemons()


def test_a_user_unmounts_a_busy_mount_lazily(room: Room) -> None:
    mount(room, "-t", "isofs", IMAGE, OWN)
    reads = f"exec 3<{README}; echo open; read line; cat <&3"
    with room.popen("sh", "-c", reads, user=USER) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"open\n"
        assert "the mount is in use" in room.fails(32, "isofs", "umount", OWN, user=USER)
        assert room.does("isofs", "umount", "-l", OWN, user=USER) == ""
        assert not room.mounts()
        reader.stdin.write(b"\n")
        reader.stdin.close()
        assert reader.stdout.read() == b"hello\n"
    room.all_gone()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts(room: Room, number: signal.Signals) -> None:
    """By fusermount3, since the daemon has no rights."""
    mount(room, "-t", "isofs", IMAGE, OWN)
    os.kill(room.daemon(), number)
    room.all_gone()


def test_a_mount_left_by_a_killed_daemon(room: Room) -> None:
    mount(room, "-t", "isofs", IMAGE, OWN)
    room.kill()
    dead = f"isofs: {OWN}: a dead mount is here; run: isofs umount {OWN}, or mount with -o force"
    assert room.fails(32, "mount", "-t", "isofs", IMAGE, OWN, user=USER) == dead
    mount(room, "-t", "isofs", "-o", "force", IMAGE, OWN)
    assert can_read(room, USER)
    room.kill()
    assert room.does("isofs", "umount", OWN, user=USER) == ""
    assert not room.mounts()


@pytest.mark.usefixtures("others_allowed")
def test_a_killed_daemon_with_auto_unmount_leaves_no_mount(room: Room) -> None:
    """Before libfuse 3.15 fusermount3 sees that a mount is dead only if root may look at it."""
    mount(room, "-t", "isofs", "-o", "auto_unmount,allow_other", IMAGE, OWN)
    room.kill()
    room.all_gone()


def test_an_idle_mount_of_a_user_ends(room: Room) -> None:
    mount(room, "-t", "isofs", "-o", "timeout=0.2", IMAGE, OWN)
    room.all_gone()


# --- as another user ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["isofs", "fuse"])
def test_root_mounts_as_another_user(room: Room, kind: str) -> None:
    """By our own helper, and by mount.fuse3, which has its own `setuid`."""
    source = IMAGE if kind == "isofs" else f"isofs#{IMAGE}"
    mount(room, "-t", kind, "-o", "setuid=nobody", source, OWN, user=0)
    assert room.mount()[:3] == (IMAGE, OWN, "fuse.isofs")
    assert room.mount().options >= {*ALWAYS, f"user_id={USER}"}
    assert owner_of(room.daemon()) == USER
    assert (can_read(room, USER), can_read(room, 0)) == (True, False)
    room.does("umount", OWN, user=USER)
    room.all_gone()


@pytest.mark.parametrize("kind", ["isofs", "fuse"])
def test_another_user_must_be_able_to_read_the_image(room: Room, kind: str) -> None:
    room.outside(IMAGE).chmod(0o600)
    source = IMAGE if kind == "isofs" else f"isofs#{IMAGE}"
    said = room.fails(1, "mount", "-t", kind, "-o", "setuid=nobody", source, OWN)
    assert said == f"isofs: {IMAGE}: permission denied; you need to be allowed to read the image"


def test_another_user_needs_a_mount_point_of_his_own(room: Room) -> None:
    said = room.fails(1, "mount", "-t", "isofs", "-o", "setuid=nobody", IMAGE, POINT)
    assert said.startswith(f"isofs: {POINT}: ")
    assert said.endswith("; choose a directory of your own")


def test_users_who_are_not_there_or_not_to_be_had(room: Room) -> None:
    said = room.fails(1, "mount", "-t", "isofs", "-o", "setuid=no-such-user", IMAGE, OWN)
    assert said == f"isofs: {IMAGE}: option setuid=no-such-user: no such user; write the name of a user"
    said = room.fails(1, "mount", "-t", "isofs", "-o", "setuid=root", IMAGE, OWN, user=USER)
    assert said == f"isofs: {IMAGE}: option setuid=root: not permitted; it is for root; leave it out"
    mount(room, "-t", "isofs", "-o", "setuid=nobody", IMAGE, OWN)  # whom he is already


def test_without_privileges_and_as_another_user(room: Room) -> None:
    """mount.fuse3 mounts as the user, in root's name; the mount is the user's."""
    mount(room, "-t", "fuse", "-o", "drop_privileges,setuid=nobody,ro,nosuid,nodev", f"isofs#{IMAGE}", OWN, user=0)
    assert room.mount().options >= {*ALWAYS, f"user_id={USER}"}
    pid = room.daemon()
    assert owner_of(pid) == USER
    assert (can_read(room, USER), can_read(room, 0)) == (True, False)
    room.does("umount", OWN)
    wait_until(lambda: not alive(pid), "the daemon ends")


# --- what may be missing --------------------------------------------------------------------------------------------


def test_a_user_who_cannot_get_new_rights_is_refused_in_one_line(room: Room) -> None:
    """As in many a container and service: fusermount3 is of no help then."""
    words = ("setpriv", "--no-new-privs", "isofs", "mount", IMAGE, OWN)
    said = room.fails(32, *words, user=USER)
    assert said.startswith(f"isofs: {OWN}: fusermount3: mount failed: Operation not permitted")
    assert not room.daemons()


def test_a_user_without_fusermount_is_told_the_package(room: Room) -> None:
    hide = (
        'mount --bind /disc/nothing "$(command -v fusermount3)"; exec setpriv --reuid="$1" --clear-groups isofs mount'
    )
    room.outside("/disc/nothing").touch()
    said = room.fails(2, "unshare", "-m", "sh", "-c", f'{hide} "$2" "$3"', "sh", str(USER), IMAGE, OWN)
    assert said.startswith(f"isofs: {OWN}: ")
    assert said.endswith("; install the package fuse3")


def test_a_user_who_may_not_open_the_device(room: Room) -> None:
    closed = 'mknod -m 600 /disc/fuse c 10 229; mount --bind /disc/fuse /dev/fuse; exec setpriv --reuid="$@"'
    words = ("sh", str(USER), "--clear-groups", "mount", "-t", "isofs", IMAGE, OWN)
    said = room.fails(1, "unshare", "-m", "sh", "-c", closed, *words)
    assert said == "isofs: /dev/fuse: permission denied (mode 0600); ask the administrator, or run as root"


def test_a_user_namespace_needs_no_fusermount(room: Room) -> None:
    """Where a user is root of a namespace of his own he mounts by himself, for all in it."""
    script = f"isofs mount {IMAGE} {OWN} && cat {README} && grep {OWN} /proc/mounts && isofs umount {OWN}"
    said = room.does("unshare", "-Urm", "--propagation", "private", "sh", "-ec", script, user=USER)
    hello, line = said.splitlines()
    assert hello == "hello"
    assert set(line.split()[3].split(",")) >= {*ALWAYS, "user_id=0", "allow_other"}
    room.all_gone()


def test_an_overlay_of_fresh_mounts_is_for_everybody(room: Room) -> None:
    """It copies the permissions of their roots, which nobody has asked for before."""
    for name in ("first", "second", "both"):
        room.point(name)
    for name in ("first", "second"):
        assert room.does("isofs", "mount", IMAGE, f"/disc/{name}") == ""
    room.does("mount", "-t", "overlay", "-o", "lowerdir=/disc/first:/disc/second", "overlay", "/disc/both")
    assert can_read(room, USER, "/disc/both/readme.txt")
    room.does("umount", "/disc/both")


def test_root_is_told_that_a_users_mount_is_there(room: Room) -> None:
    room.does("isofs", "mount", IMAGE, OWN, user=USER)
    words = f"isofs: {OWN}: an image is mounted here already; run: isofs umount {OWN}"
    assert room.fails(32, "isofs", "mount", IMAGE, OWN) == words
