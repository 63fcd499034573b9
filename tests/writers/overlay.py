"""A copy of the root file system that is thrown away: an overlay over `/` whose changes lie in memory.

It has a /dev and a /run of its own, with FUSE for everybody, and no /etc/fstab. `LAYERS`, what else is wanted, and
`ENTER` are a script for sh(1), to be run in a mount namespace of its own, with the words of `arguments`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

import isofs

BIN: Final = Path(sys.executable).parent
"""Where the interpreter of the tests is, and the `isofs` that belongs to it."""

LAYERS: Final = r"""
set -eu
mount -t tmpfs -o mode=755 tmpfs "$1"
cd "$1"
shift
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root

for folder; do
    mkdir -p "root$folder"
    above=$folder
    while [ "$above" != / ]; do
        chmod a+x "root$above"
        above=$(dirname "$above")
    done
    if [ "$(stat -c %d "$folder")" != "$(stat -c %d /)" ]; then
        mount --bind "$folder" "root$folder"
        mount -o remount,bind,ro "root$folder"
    fi
done

mount -t tmpfs -o mode=755 tmpfs root/dev
for node in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0" "fuse 10 229" "autofs 10 235"; do
    set -- $node
    mknod -m 666 "root/dev/$1" c "$2" "$3"
done
ln -s /proc/self/fd root/dev/fd
mkdir -m 1777 root/dev/shm
mount -t tmpfs -o mode=755 tmpfs root/run
rm -f root/etc/fstab
"""
"""Makes it, in `root`; its changes are in `upper`."""

ENTER: Final = r"""
mkdir -p root/before
cd root
pivot_root . before
umount -l /before
"""
"""Makes it the root."""


def arguments(directory: Path) -> list[str]:
    """The arguments of such a script: a directory for the layers, and folders that everybody is to reach."""
    return [str(directory), *sorted({sys.prefix, sys.base_prefix, str(Path(isofs.__file__).resolve().parents[1])})]


def program() -> Path:
    """The program `isofs` of the environment that the tests run in."""
    found = shutil.which("isofs", path=str(BIN))
    assert found is not None, f"no isofs in {BIN}: install the project there"
    return Path(found)
