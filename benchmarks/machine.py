"""What was measured on, and with what."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Final

from . import core
from .data import find_tool

_VERSIONS: Final = {
    "xorriso": ("-version",),
    "maxcso": ("--help",),
    "mksquashfs": ("-version",),
    "fuseiso": ("-h",),
    "squashfuse": ("--version",),
}
"""What makes a program say its version."""


def facts() -> dict[str, str]:
    """The machine: processor, cores, memory, kernel, Python."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "cpu": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        told = re.search(r"(?m)^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(errors="replace"))
    except OSError:
        told = None
    return told[1].strip() if told else platform.processor() or platform.machine()


def versions(cores: dict[str, Path]) -> dict[str, str]:
    """The versions of the programs that are here, and of the libraries behind the programs in C."""
    found = {}
    for name, words in _VERSIONS.items():
        tool = find_tool(name)
        if tool is not None:
            found[name] = version_in(_said(tool, *words))
    for codec, program in cores.items():
        found[core.LIBRARIES[codec]] = core.version(program)
    return found


def version_in(text: str) -> str:
    """The version that a program tells somewhere in its help: the first number with a point, or a date."""
    told = re.search(r"\d+(?:\.\d+)+[\w.+-]*|\b\d{8}\b", text)
    return told[0] if told else "unknown"


def own_version(command: tuple[str, ...]) -> str:
    """What a mount command of ours says with `--version` in the place of what stands behind `mount`."""
    if "mount" not in command:
        return "unknown"
    return version_in(_said(*command[: command.index("mount")], "--version"))


def _said(*words: str) -> str:
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout + done.stderr
