"""What goes to the terminal: names that may hold anything, lines of errors and warnings."""

from __future__ import annotations

import os
import re
import sys
from typing import Final

from ..errors import IsofsError

_CONTROL: Final = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\udc80-\udcff]")


def shown(text: str | bytes) -> str:
    r"""A name as one line that cannot steer a terminal: control characters and stray bytes become `\xHH`."""
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    return _CONTROL.sub(lambda match: "".join(f"\\x{byte:02x}" for byte in os.fsencode(match[0])), text)


def write_name(name: bytes, *, before: str = "", between: str = "", after: bytes = b"") -> None:
    """A line with a name, and perhaps another one after it: as they are for a program, made safe on a terminal."""
    out = sys.stdout
    if out.isatty():
        name, after = os.fsencode(shown(name)), os.fsencode(shown(after))
    out.flush()
    out.buffer.write(before.encode() + name + between.encode() + after + b"\n")


def complain(error: IsofsError, path: str = "") -> None:
    """One line on stderr: what it is about, the reason, the remedy."""
    about = error.path or path
    print(f"isofs: {shown(about)}: {shown(str(error))}" if about else f"isofs: {shown(str(error))}", file=sys.stderr)


def warn(path: str, words: str) -> None:
    """One line on stderr about something that does not stop us."""
    print(f"isofs: {shown(path)}: warning: {shown(words)}", file=sys.stderr)
