"""Programs and devices that some tests need: where they are, and a skip with its reason where they are not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_HINTS: Final = {
    "xorriso": "install xorriso",
    "genisoimage": "install genisoimage",
    "maxcso": "npm install @emmercm/maxcso-linux-x64, or set ISOFS_MAXCSO",
    "/dev/fuse": "load the module fuse, or pass the device to the container",
}


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
    """The path of a program (by name) or device (by path), or None."""
    if tool == "maxcso":
        found = maxcso()
        return found if found and os.access(found, os.X_OK) else None
    if tool.startswith("/"):
        return tool if os.access(tool, os.R_OK | os.W_OK) else None
    return shutil.which(tool)


def require(tool: str) -> str:
    """The path of a program or device; skips the test where it is missing."""
    found = find(tool)
    if found is None:
        pytest.skip(f"needs {tool}: {_HINTS.get(tool, 'it is not installed')}")
    return found
