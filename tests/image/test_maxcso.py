from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from writers.sources import assert_same
from writers.tools import require

from isofs.image import open_image


@pytest.fixture(scope="module")
def iso(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disc of text, random bytes and zeros, made by xorriso."""
    xorriso = require("xorriso")
    folder = tmp_path_factory.mktemp("disc")
    tree = folder / "tree"
    tree.mkdir()
    (tree / "text").write_bytes(b"".join(b"line %d of the text\n" % i for i in range(30_000)))
    (tree / "random").write_bytes(random.Random(1).randbytes(300_001))
    (tree / "zeros").write_bytes(bytes(200_000))
    path = folder / "disc.iso"
    subprocess.run(
        [xorriso, "-as", "mkisofs", "-quiet", "-R", "-J", "-o", str(path), str(tree)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return path


@pytest.mark.parametrize(
    ("options", "format", "block_size"),
    [
        (["--format=cso1"], "CSO version 1", 2048),
        (["--format=cso1", "--block=16384"], "CSO version 1", 16384),
        (["--format=cso2"], "CSO version 2", 2048),
        (["--format=cso2", "--block=16384"], "CSO version 2", 16384),
        (["--format=zso"], "ZSO", 2048),
        (["--format=zso", "--block=16384"], "ZSO", 16384),
        (["--format=dax"], "DAX version 0", 8192),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_images_of_maxcso_read_as_the_disc_they_were_made_from(
    iso: Path, tmp_path: Path, options: list[str], format: str, block_size: int
) -> None:
    made = tmp_path / "made"
    subprocess.run(
        [require("maxcso"), "--quiet", "--fast", *options, str(iso), "-o", str(made)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert made.stat().st_size < iso.stat().st_size
    with open_image(str(made)) as image:
        assert image.format == format
        assert image.blocks is not None
        assert image.blocks.block_size == block_size
        assert image.warnings == []
        assert_same(image.disc, iso.read_bytes())
