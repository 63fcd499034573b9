"""Programs and devices that some tests need: where they are, and a skip with its reason where they are not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_HINTS: Final = {
    "xorriso": "install xorriso",
    "genisoimage": "install genisoimage",
    "bsdtar": "install libarchive-tools",
    "maxcso": "npm install @emmercm/maxcso-linux-x64, or set ISOFS_MAXCSO",
    "chdman": "install mame-tools, or set ISOFS_CHDMAN",
    "flac": "install flac",
    "mandoc": "install mandoc",
    "dosbox": "install dosbox",
    "qemu-system-x86_64": "install qemu-system-x86",
    "a terminal": "the machine has no pseudo terminals",
    "a mount namespace": "this user, or the root folder of this process, allows none",
    "/dev/fuse": "load the module fuse, or pass the device to the container",
}


TERMINAL: Final = "a terminal"
PRIVATE_MOUNTS: Final = "a mount namespace"
IN_PRIVATE: Final = ("unshare", "-m", "--propagation", "private")
"""Runs what follows where its mounts are nobody else's business."""


def _has_terminal() -> bool:
    try:
        for fd in os.openpty():
            os.close(fd)
    except OSError:
        return False
    return True


def _has_private_mounts() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*IN_PRIVATE, "true"], capture_output=True, check=False).returncode == 0


def maxcso() -> str | None:
    """The program maxcso: `ISOFS_MAXCSO`, else the one on PATH, else the one that npm put beside the project."""
    named = os.environ.get("ISOFS_MAXCSO")
    if named:
        return named
    found = shutil.which("maxcso")
    if found:
        return found
    installed = _REPOSITORY / "node_modules/@emmercm/maxcso-linux-x64/dist/maxcso"
    return str(installed) if os.access(installed, os.X_OK) else None


def find(tool: str) -> str | None:
    """The path of a program (by name) or device (by path), or None; the name itself for a faculty of the machine."""
    if tool == "maxcso":
        found = maxcso()
        return found if found and os.access(found, os.X_OK) else None
    if tool == "chdman":
        return shutil.which(os.environ.get("ISOFS_CHDMAN") or tool)
    if tool == TERMINAL:
        return tool if _has_terminal() else None
    if tool == PRIVATE_MOUNTS:
        return tool if _has_private_mounts() else None
    if tool.startswith("/"):
        return tool if os.access(tool, os.R_OK | os.W_OK) else None
    return shutil.which(tool)


def require(tool: str) -> str:
    """The path of a program or device; skips the test where it is missing."""
    found = find(tool)
    if found is None:
        pytest.skip(f"needs {tool}: {_HINTS.get(tool, 'it is not installed')}")
    return found
