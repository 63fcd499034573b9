"""Walks a tree that may be endless or broken, as a process of its own that can be given up: a JSON line for each name.

    python walk.py DIRECTORY

A line holds the path, its kind, of files the size and SHA-256, of links the target, or the error instead. It is written
before the next name is looked at, so that one that ends early has said how far it came.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from typing import Final

NAMES: Final = 20_000
"""Names after which a tree counts as endless."""
DEPTH: Final = 500
MOST: Final = 256 << 20
"""Bytes that are read of a file."""
ENDLESS: Final = "the tree goes on"
KINDS: Final = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}


def walk(top: bytes) -> None:
    """Says what is below a directory."""
    folders = [(b"", 0)]
    count = 0
    while folders:
        folder, depth = folders.pop()
        try:
            names = sorted(os.listdir(os.path.join(top, folder)))
        except OSError as error:
            _say(folder, kind="dir", error=error.strerror)
            continue
        for name in names:
            path = os.path.join(folder, name)
            count += 1
            if count > NAMES or depth > DEPTH:
                _say(path, kind="?", error=ENDLESS)
                return
            if _look(os.path.join(top, path), path) == "dir":
                folders.append((path, depth + 1))


def _look(full: bytes, path: bytes) -> str:
    kind = "?"
    facts: dict[str, object] = {}
    try:
        status = os.lstat(full)
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "special")
        if kind == "link":
            facts["target"] = os.fsdecode(os.readlink(full))
        if kind == "file":
            facts["size"] = status.st_size
            facts["sha256"] = _digest(full)
    except OSError as error:
        facts["error"] = error.strerror
    _say(path, kind=kind, **facts)
    return kind


def _digest(full: bytes) -> str:
    digest = hashlib.sha256()
    with open(full, "rb", buffering=0) as file:
        left = MOST
        while left > 0 and (piece := file.read(min(left, 1 << 20))):
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


def _say(path: bytes, **facts: object) -> None:
    print(json.dumps({"path": os.fsdecode(path), **facts}), flush=True)


if __name__ == "__main__":
    walk(os.fsencode(sys.argv[1]))
