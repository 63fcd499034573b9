"""`isofs info`: what an image is."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from typing import TYPE_CHECKING, Any, Final

from .. import limits
from ..errors import EXIT_OK
from .opening import add_image, opened
from .output import shown
from .parser import Parser

if TYPE_CHECKING:
    from ..image import Image
    from ..image.blockmap import BlockMap
    from ..image.sectors import Track
    from ..volume.tree import Volume

HELP = "tell what an image is"

_FRAMES: Final = 75
"""Sectors in a second."""
_LOOKED_FOR: Final = 8 * limits.MIB
"""Bytes behind the first session in which further ones are looked for: `-o session=` looks further."""


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
    from ..image.sectors import SECTOR

    facts: dict[str, Any] = {
        "image": _text(image.path),
        "format": image.format,
        "file_size": image.file.size,
        "disc_size": image.disc.size,
        "files": [_text(file.path) for file in image.files],
        "sector_size": image.track.stride if image.track else SECTOR,
        "tracks": [_track(image, track) for track in image.tracks],
        "sessions": image.sessions(_LOOKED_FOR),
        "compression_block_size": None,
    }
    if image.blocks is not None:
        facts.update(_container(image, image.blocks))
    described = volume.describe()
    for moment in ("created", "modified"):
        described[moment] = _iso_time(described.get(moment))
    boot, damage = _boot(image) if described["bootable"] else ([], [])
    warnings = [*image.warnings, *(finding.words for finding in volume.findings.found), *damage]
    return {**facts, **described, "boot_images": boot, "warnings": warnings}


def _boot(image: Image) -> tuple[list[dict[str, Any]], list[str]]:
    """The images that the disc boots from, and what is wrong with their catalogue."""
    from ..volume.iso9660.eltorito import read_catalogue

    catalogue = read_catalogue(image.disc, image.first_sector)
    if catalogue is None:
        return [], []
    images = [
        {
            "platform": boot.platform,
            "bootable": boot.bootable,
            "media": boot.media,
            "load_segment": boot.segment,
            "sector": boot.sector,
            "loaded": boot.loaded,
        }
        for boot in catalogue.images
    ]
    return images, [words for _, words in catalogue.damage]


def _container(image: Image, blocks: BlockMap) -> dict[str, Any]:
    from ..image.blockmap import KIND_NAMES

    own = image.files[:1] if blocks.parent else image.files  # the others are parts of it
    size = sum(file.size for file in own)
    return {
        "decoded_size": blocks.disc_size,
        "compression_block_size": None if blocks.read else blocks.block_size,
        "codecs": sorted(KIND_NAMES[kind] for kind in blocks.kinds),
        "ratio": round(size / blocks.disc_size, 3) if blocks.disc_size else 1.0,
        "parent": blocks.parent.hex() or None,
        "checksums": {checksum.name: checksum.expected.hex() for checksum in blocks.checksums},
        "blocks_checked": blocks.checked,
        "container": {name: _told(value) for name, value in blocks.facts.items()},
    }


def _track(image: Image, track: Track) -> dict[str, Any]:
    from ..image.sectors import sessions

    return {
        "number": track.number,
        "session": sessions(image.tracks).index(track.session),
        "mode": track.mode,
        "start": track.start,
        "sectors": track.count,
        "sector_size": track.stride,
        "stored": track.source is not None,
        "mounted": track is image.track,
        "title": track.title,
    }


def _told(value: object) -> object:
    """A fact as JSON has it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): _told(part) for key, part in value.items()}
    return value if value is None or isinstance(value, int | float | str) else str(value)


def _text(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _iso_time(nanoseconds: object) -> str | None:
    if not isinstance(nanoseconds, int):
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(nanoseconds // 1_000_000_000))


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [("image", facts["image"]), ("format", facts["format"]), ("file size", _size(facts["file_size"]))]
    lines += [("and file", path) for path in facts["files"][1:]]
    if "decoded_size" in facts:
        block_size = facts["compression_block_size"]
        decoded = "disc" if facts["decoded_size"] == facts["disc_size"] else "decoded"  # a CD's sectors hold more
        lines += [
            (f"{decoded} size", _size(facts["decoded_size"])),
            ("ratio", f"{facts['ratio']:.1%} of {'the disc' if decoded == 'disc' else 'that'}"),
            ("blocks", f"{block_size} bytes, {' and '.join(facts['codecs']) or 'plain'}" if block_size else ""),
            ("parent", f"SHA-1 {facts['parent']}" if facts["parent"] else ""),
            *facts["checksums"].items(),
            *((name, _words(value)) for name, value in facts["container"].items()),
        ]
    lines += [(f"track {track['number']}", _track_line(track)) for track in facts["tracks"]]
    if len(facts["sessions"]) > 1:
        lines += [(f"session {number}", f"from sector {start}") for number, start in enumerate(facts["sessions"])]
    extras = [
        f"Joliet level {facts['joliet_level']}" if facts["joliet_level"] else "",
        "ISO 9660:1999" if facts["enhanced"] else "",
        "UDF" if facts["udf_bridge"] else "",
        "bootable (El Torito)" if facts["bootable"] else "",
        "CD-ROM XA" if facts["cd_xa"] else "",
    ]
    lines += [("tree", facts["tree"]), ("also there", ", ".join(filter(None, extras)))]
    lines += [(f"boot image {number}", _boot_line(boot)) for number, boot in enumerate(facts["boot_images"], 1)]
    lines += [
        (key.replace("_", " "), facts[key]) for key in ("volume", "system", "volume_set", "publisher", "preparer")
    ]
    lines += [(key, facts[key]) for key in ("application", "created", "modified")]
    lines += [("volume size", f"{_size(facts['volume_size'])} in blocks of {facts['block_size']}")]
    return [(label, value) for label, value in lines if value]


def _words(value: object) -> str:
    """A fact as a person says it: of several numbers each with its name."""
    if isinstance(value, dict):
        return ", ".join(f"{part} {name}" for name, part in value.items())
    return str(value)


def _track_line(track: dict[str, Any]) -> str:
    """Its mode, and where it lies on the disc: sectors, and minutes, seconds and frames."""
    where = f"{track['sectors']} sectors of {track['sector_size']} bytes from {track['start']} on"
    words = [
        track["mode"],
        where if track["stored"] else f"from {track['start']} on, in a sound file, which is not read",
        _time(track["sectors"]) if track["stored"] else "",
        f"session {track['session']}",
        "mounted" if track["mounted"] else "",
        repr(track["title"]) if track["title"] else "",
    ]
    return ", ".join(filter(None, words))


def _boot_line(boot: dict[str, Any]) -> str:
    words = [
        boot["platform"],
        boot["media"],
        f"from sector {boot['sector']} on",
        f"{boot['loaded']} bytes are loaded",
        f"to segment {boot['load_segment']:x}" if boot["load_segment"] else "",
        "" if boot["bootable"] else "not bootable",
    ]
    return ", ".join(filter(None, words))


def _time(sectors: int) -> str:
    seconds, frames = divmod(sectors, _FRAMES)
    return f"{seconds // 60:02}:{seconds % 60:02}:{frames:02}"


def _size(size: int) -> str:
    scaled, unit = float(size), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if scaled < 1024 or unit == "TiB":
            break
        scaled /= 1024
    return f"{size} bytes" if unit == "bytes" else f"{size} bytes ({scaled:.1f} {unit})"
