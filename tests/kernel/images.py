"""The plain images that are compared: our own, and those of a corpus where there is one."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .discs import OWN

_BESIDE: Final = Path(__file__).resolve().parents[3] / "shared" / "corpus"
_FOLDERS: Final = ("iso", "public", "hostile")


def corpus() -> Path | None:
    """The folder of other images: `ISOFS_CORPUS`, else the one beside the checkout, else none."""
    named = os.environ.get("ISOFS_CORPUS")
    if named:
        return Path(named)
    return _BESIDE if _BESIDE.is_dir() else None


def names() -> list[str]:
    """The names of all images, as `own/NAME.iso` or as they are called in the corpus, unpacked."""
    return [f"own/{name}.iso" for name in OWN] + sorted(dict(_found()))


def _found() -> Iterator[tuple[str, Path]]:
    folder = corpus()
    if folder is None:
        return
    for kind in _FOLDERS:
        for path in (folder / kind).iterdir():
            name = path.name.removesuffix(".gz")
            if name.endswith(".iso"):
                yield f"{kind}/{name}", path


def content(name: str) -> bytes:
    """The bytes of an image."""
    kind, _, file = name.partition("/")
    if kind == "own":
        return OWN[file.removesuffix(".iso")]()
    folder = corpus()
    assert folder is not None
    plain = folder / name
    return plain.read_bytes() if plain.exists() else gzip.decompress(plain.with_name(file + ".gz").read_bytes())
