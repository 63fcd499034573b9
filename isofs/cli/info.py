"""`isofs info`: what an image is."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from ..errors import EXIT_OK
from .opening import add_image, opened
from .output import shown
from .parser import Parser

if TYPE_CHECKING:
    from ..image import Image
    from ..volume.tree import Volume

HELP = "tell what an image is"


def configure(parser: Parser) -> None:
    """Adds the command's arguments."""
    add_image(parser)
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object")


def run(args: Namespace) -> int:
    """Reads the header, the volume descriptors and the root's first sector."""
    with opened(args) as (image, volume, _):
        facts = _facts(image, volume)
        if args.json:
            import json

            print(json.dumps(facts, indent=2))
            return EXIT_OK
        for label, value in _lines(facts):
            print(f"{label + ':':<14} {shown(value)}")
    return EXIT_OK


def _facts(image: Image, volume: Volume) -> dict[str, Any]:

    facts: dict[str, Any] = {
        "image": os.fsencode(image.path).decode("utf-8", "backslashreplace"),
        "format": image.format,
        "file_size": image.file.size,
        "disc_size": image.disc.size,
        "compression_block_size": None,
    }
    if image.blocks is not None:
        from ..image.blockmap import KIND_NAMES

        facts["compression_block_size"] = image.blocks.block_size
        facts["codecs"] = sorted(KIND_NAMES[kind] for kind in image.blocks.kinds)
        facts["ratio"] = round(image.file.size / image.disc.size, 3)
    described = volume.describe()
    for moment in ("created", "modified"):
        described[moment] = _iso_time(described[moment])
    return {**facts, **described, "warnings": [*image.warnings, *(finding.words for finding in volume.findings.found)]}


def _iso_time(nanoseconds: object) -> str | None:

    if not isinstance(nanoseconds, int):
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(nanoseconds // 1_000_000_000))


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [("image", facts["image"]), ("format", facts["format"]), ("file size", _size(facts["file_size"]))]
    if facts["compression_block_size"]:
        lines += [
            ("disc size", _size(facts["disc_size"])),
            ("ratio", f"{facts['ratio']:.1%} of the disc"),
            ("blocks", f"{facts['compression_block_size']} bytes, {' and '.join(facts['codecs'])}"),
        ]
    extras = [
        f"Joliet level {facts['joliet_level']}" if facts["joliet_level"] else "",
        "ISO 9660:1999" if facts["enhanced"] else "",
        "UDF" if facts["udf_bridge"] else "",
        "bootable (El Torito)" if facts["bootable"] else "",
        "CD-ROM XA" if facts["cd_xa"] else "",
    ]
    lines += [("tree", facts["tree"]), ("also there", ", ".join(filter(None, extras)))]
    lines += [
        (key.replace("_", " "), facts[key]) for key in ("volume", "system", "volume_set", "publisher", "preparer")
    ]
    lines += [(key, facts[key]) for key in ("application", "created", "modified")]
    lines += [("volume size", f"{_size(facts['volume_size'])} in blocks of {facts['block_size']}")]
    return [(label, value) for label, value in lines if value]


def _size(size: int) -> str:
    scaled, unit = float(size), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if scaled < 1024 or unit == "TiB":
            break
        scaled /= 1024
    return f"{size} bytes" if unit == "bytes" else f"{size} bytes ({scaled:.1f} {unit})"
