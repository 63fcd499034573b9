"""Source trees for mastering programs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

OLD = -143_337_600
"""1965-06-17."""
LATE = 2_182_914_367
"""2039-03-04 and later than 32 bits reach."""
PLAIN_TIME = 932_042_096

LONG = "n" * 240 + ".txt"


def make_tree(at: Path, *, many: int = 300, links: bool = True) -> Path:
    """A directory with something of everything that Rock Ridge can record."""

    def put(name: str, data: bytes, mode: int = 0o644, time: int = PLAIN_TIME) -> Path:
        path = at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
        os.utime(path, (time, time))
        return path

    put("readme.txt", b"hello\n")
    put("Mixed Case File.TXT", b"mixed")
    put("data.bin", bytes(range(256)) * 20)
    put("Grüße 漢字.txt", b"unicode")
    put(LONG, b"long")
    put("empty", b"")
    put("empty2", b"")
    put("suid", b"#!/bin/sh\n", 0o4755)
    put("old", b"old", time=OLD)
    put("late", b"late", time=LATE)
    put(".hidden", b"hidden")
    put("semi;1", b"semi")
    put("trail.", b"trail")
    put("a.b.c", b"dots")
    put("NOEXT", b"noext")
    put("deep/b/c/d/e/f/g/h/i/j/k/deep.txt", b"deep")
    for i in range(many):
        put(f"many/file number {i:03}.dat", b"%d" % i)
    if links:
        (at / "relative").symlink_to("deep/b/../../readme.txt")
        (at / "deep/b/up").symlink_to("../../readme.txt")
        (at / "absolute").symlink_to("/usr/share")
        (at / "odd").symlink_to("./././deep/../readme.txt")
        (at / "root").symlink_to("/")
        os.link(at / "readme.txt", at / "hard link")
        os.mkfifo(at / "fifo", 0o600)
        if os.getuid() == 0:
            _devices(at)
    return at


def _devices(at: Path) -> None:
    for name, kind, major, minor in (("chr", stat.S_IFCHR, 5, 1), ("blk", stat.S_IFBLK, 259, 300)):
        try:
            os.mknod(at / name, kind | 0o640, os.makedev(major, minor))
        except PermissionError:  # root of a container without that capability
            return
    os.chown(at / "suid", 1000, 1001)
    (at / "suid").chmod(0o4755)


def add_long_links(at: Path) -> None:
    """Links that need several SL entries, and continuation areas."""
    (at / "link603").symlink_to("comp/" * 120 + "end")
    (at / "link501").symlink_to("z" * 250 + "/" + "y" * 250)
