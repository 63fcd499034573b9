"""Split images: one image in several files, told by their names and checked by their content.

| names | joined |
| --- | --- |
| `x.iso.001`, `x.001`, `x.iso.00`, `ul.XXXXXXXX.name.00` | if the next one exists |
| `x.i00`, `x.iso.part1`, `x.iso.part01` | same |
| `x.iso.aa` (split) | same |
| `x.1.iso`, `x.1.cso`, `x.part0.iso` | if what the first one holds is incomplete by its own words |

Numbers begin with 0 or 1. `x.1.iso` and `x.2.iso` may as well be two discs, so there it counts that the volume
descriptor tells more sectors than there are, or the index of a CSO or ZSO more bytes. A part that begins like an image
of its own is never joined. The last part is missed by the same words, and the second one only of `x.001` and
`x.part1`: other names may be no parts at all. All parts but the last usually have the same size; that is not asked for.
"""

from __future__ import annotations

import os
import re
import struct
from typing import Final, NamedTuple

from .. import limits
from ..errors import ImageError
from . import refusals
from .beside import Beside
from .sectors import FIRST_DESCRIPTOR, SECTOR, SYNC
from .source import FileSource, Joined, Source

_DESCRIPTOR_AT: Final = FIRST_DESCRIPTOR * SECTOR
_FIRST_SECTOR: Final = SYNC + b"\0\2\0"
"""A raw sector whose header says that it is the disc's first: any other may as well begin a later part."""
_VOLUME_SIZE: Final = struct.Struct("<80xI")
_LEFT_OUT: Final = 150 * SECTOR
"""What images of CDs may lack at the end of the volume."""
_CSO: Final = struct.Struct("<4sIQIBB2x")

_PATTERNS: Final = (
    (re.compile(r"(?is)(?P<before>.+\.)(?P<number>\d{2,3})(?P<behind>)"), True),
    (re.compile(r"(?is)(?P<before>.+\.i)(?P<number>\d\d)(?P<behind>)"), True),
    (re.compile(r"(?is)(?P<before>.+\.part)(?P<number>\d{1,3})(?P<behind>)"), True),
    (re.compile(r"(?is)(?P<before>.+\.)(?P<number>[a-z]{2})(?P<behind>)"), True),
    (
        re.compile(
            r"(?is)(?P<before>.+\.(?:part)?)(?P<number>\d{1,3})(?P<behind>\.(?:iso|cso|zso|ciso|dax|jso|img|bin))"
        ),
        False,
    ),
)
"""Names of parts, and whether the name alone tells that it is one."""
_DIGITS: Final = 3
"""Of numbers that are no version, date or the like."""


class _Name(NamedTuple):
    """The name of a part, and of its neighbours."""

    before: str
    number: int
    digits: str
    behind: str
    sure: bool

    @property
    def certain(self) -> bool:
        """Whether nothing but a part has such a name; `x.iso.aa` is one as well as `x.gz`."""
        return self.sure and (len(self.digits) == _DIGITS or self.before.lower().endswith(".part"))

    def other(self, number: int) -> str:
        """The name of the part of another number."""
        width = len(self.digits)
        if self.digits.isdigit():
            return f"{self.before}{number:0{width}}{self.behind}"
        high, low = divmod(number, 26)
        return f"{self.before}{chr(ord('a') + high)}{chr(ord('a') + low)}{self.behind}"


def joined(file: FileSource, beside: Beside) -> Source:
    """The image that a file is the first part of, all its parts in order; the file itself if it is no part.

    Raises `ImageError` naming a part that is missing, and for a later part than the first.
    """
    name = _parsed(os.path.basename(file.path))
    if name is None:
        return file
    present = {os.path.basename(path).casefold(): path for path in beside.with_suffix("")}

    def path_of(number: int) -> str | None:
        return present.get(name.other(number).casefold())

    first = 0 if path_of(0) is not None or not name.digits.isdigit() else 1
    path = path_of(first)
    if name.number != first:
        between = range(first, name.number) if not name.digits.isdigit() else ()  # x.gz beside x.aa is no part
        if path is not None and all(path_of(number) is not None for number in between):
            _refuse_later(file, name, beside.open_path(path))
        return file
    missing = next((n for n in range(name.number + 1, name.number + limits.PARTS + 1) if path_of(n) is None), None)
    if missing is None:
        raise ImageError(f"it has more than {limits.PARTS} parts")
    wanted = _size_told(file)
    incomplete = wanted is not None and wanted > file.size
    later = any(path_of(number) is not None for number in range(missing + 1, missing + limits.PARTS))
    if not name.sure and not incomplete:
        return file
    if missing == name.number + 1 and not later:
        if incomplete and name.certain:
            raise _missing(name.other(missing), beside)
        return file
    parts: list[Source] = [file]
    for number in range(name.number + 1, missing):
        path = path_of(number)
        assert path is not None
        part = beside.open_path(path)
        if _is_image(part):  # another disc
            return file
        parts.append(part)
    image = Joined(parts)
    wanted = _size_told(image)
    if later or (wanted is not None and wanted > image.size):
        raise _missing(name.other(missing), beside)
    return image


def _missing(name: str, beside: Beside) -> ImageError:
    return ImageError(f"a part of the image is missing: {name}", f"put it into {beside.directory}")


def _parsed(basename: str) -> _Name | None:
    for pattern, sure in _PATTERNS:
        match = pattern.fullmatch(basename)
        if match:
            before, digits, behind = match["before"], match["number"], match["behind"]
            if digits.isdigit():
                return _Name(before, int(digits), digits, behind, sure)
            letters = [ord(letter) - ord("a") for letter in digits.lower()]
            return _Name(before, 26 * letters[0] + letters[1], digits, behind, sure)
    return None


def _refuse_later(file: FileSource, name: _Name, first: FileSource) -> None:
    """Raises `ImageError` for a later part than the first one, unless that or this is an image by itself."""
    wanted = _size_told(first)
    if _is_image(file) or (not name.sure and (wanted is None or wanted <= first.size)):
        return
    raise ImageError("a later part of a split image", f"name the first one: {os.path.basename(first.path)}")


def _is_image(source: Source) -> bool:
    """Whether a file begins as no part but the first of an image does."""
    from . import CONTAINERS  # the package is there by the time that this is asked

    head = source.pread(16, 0)
    if head.startswith((*(magic for magic, _ in CONTAINERS), _FIRST_SECTOR)) or _descriptor(source):
        return True
    return any(head.startswith(magic.magic) for magic in refusals.MAGICS if magic.at == 0)


def _descriptor(source: Source) -> bytes:
    """The first volume descriptor of a plain disc, or nothing."""
    found = source.pread(SECTOR, _DESCRIPTOR_AT)
    return found if found[1:6] in (b"CD001", b"BEA01") or found[9:14] == b"CDROM" else b""


def _size_told(source: Source) -> int | None:
    """The least size that the image must have by its own words; None if it does not tell."""
    head = source.pread(_CSO.size, 0)
    if head.startswith((b"CISO", b"ZISO")) and len(head) == _CSO.size:
        _, _, disc_size, block_size, _, shift = _CSO.unpack(head)
        if block_size not in limits.BLOCK_SIZE or shift > limits.INDEX_SHIFT or disc_size > limits.DISC_SIZE:
            return None
        at = _CSO.size + 4 * -(-disc_size // block_size)
        entry = source.pread(4, at)
        end = (int.from_bytes(entry, "little") & 0x7FFF_FFFF) << shift
        least: int = max(end - ((1 << shift) - 1), at + 4)
        return least
    descriptor = _descriptor(source)
    if descriptor[:6] == b"\1CD001":
        (sectors,) = _VOLUME_SIZE.unpack_from(descriptor)
        return max(int(sectors) * SECTOR - _LEFT_OUT, 0)
    return None
