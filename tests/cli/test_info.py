"""`isofs info`: how an image is stored, beside what is on the disc."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from writers.containers import cso
from writers.discs import Disc
from writers.edc import form_1, raw_disc

from isofs.cli import main
from isofs.image import cso as cso_module
from isofs.image.blockmap import BlockMap, Checksum


@pytest.fixture(scope="module")
def disc() -> bytes:
    made = Disc()
    made.root.file(b"TEXT.;1", b"text" * 10_000)
    return made.build()


def told(capsys: pytest.CaptureFixture[str], path: Path) -> dict[str, str]:
    """Lines by their labels."""
    assert main(["info", str(path)]) == 0
    return {
        label: value.strip() for label, _, value in (x.partition(":") for x in capsys.readouterr().out.splitlines())
    }


def facts(capsys: pytest.CaptureFixture[str], path: Path) -> dict[str, Any]:
    assert main(["info", "--json", str(path)]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_plain_disc_has_no_tracks(disc: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "disc.iso"
    path.write_bytes(disc)
    found = facts(capsys, path)
    assert (found["tracks"], found["sector_size"], found["files"]) == ([], 2048, [str(path)])
    assert not any(label.startswith("track") for label in told(capsys, path))


def test_raw_sectors_are_told_by_their_track(disc: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "disc.bin"
    path.write_bytes(raw_disc(disc, form_1, 2448))
    count = len(disc) // 2048
    line = told(capsys, path)["track 1"]
    assert line == f"mode 2, {count} sectors of 2448 bytes from 0 on, 00:00:{count:02}, session 0, mounted"
    assert facts(capsys, path)["sector_size"] == 2448


@pytest.mark.parametrize("pack", [gzip.compress, partial(lzma.compress, check=lzma.CHECK_CRC32)])
def test_what_has_no_blocks_of_one_size_tells_none(
    pack: Callable[[bytes], bytes], disc: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "disc"
    path.write_bytes(pack(disc))
    lines = told(capsys, path)
    assert "blocks" not in lines
    assert lines["disc size"].startswith(f"{len(disc)} bytes")
    assert facts(capsys, path)["compression_block_size"] is None
    if "xz blocks" in lines:
        assert (lines["xz blocks"], lines["largest block bytes"]) == ("1", str(len(disc)))


def test_tracks_in_sound_files_are_told(disc: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data.bin").write_bytes(raw_disc(disc))
    path = tmp_path / "disc.cue"
    path.write_text(
        'FILE "data.bin" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n'
        'FILE "a.wav" WAVE\n  TRACK 02 AUDIO\n    INDEX 01 00:00:00\n'
    )
    line = told(capsys, path)["track 2"]
    assert line == f"audio, from {len(disc) // 2048} on, in a sound file, which is not read, session 0"
    assert [track["stored"] for track in facts(capsys, path)["tracks"]] == [True, False]


def test_each_track_of_a_sheet_has_a_line(disc: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data.bin").write_bytes(raw_disc(disc))
    (tmp_path / "music.bin").write_bytes(bytes(4731 * 2352))
    path = tmp_path / "disc.cue"
    path.write_text(
        'FILE "data.bin" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n'
        'FILE "music.bin" BINARY\n  TRACK 02 AUDIO\n    TITLE "a \x07 song"\n    INDEX 01 00:00:00\n'
    )
    count = len(disc) // 2048
    lines = told(capsys, path)
    assert lines["and file"] == str(tmp_path / "music.bin")
    assert lines["track 1"].endswith("session 0, mounted")
    assert lines["track 2"].startswith(f"audio, 4731 sectors of 2352 bytes from {count} on, 01:03:06, session 0")
    assert "mounted" not in lines["track 2"]
    assert "\x07" not in "".join(lines.values())
    found = facts(capsys, path)
    assert [track["mounted"] for track in found["tracks"]] == [True, False]
    assert found["files"] == [str(path), str(tmp_path / "data.bin"), str(tmp_path / "music.bin")]


def test_raw_sectors_in_a_container(disc: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = raw_disc(disc)
    path = tmp_path / "disc.cso"
    path.write_bytes(cso(raw))
    found = facts(capsys, path)
    assert (found["disc_size"], found["decoded_size"]) == (len(disc), len(raw))
    lines = told(capsys, path)
    assert lines["decoded size"].startswith(f"{len(raw)} bytes")
    assert lines["ratio"].endswith("% of that")
    assert found["ratio"] == round(path.stat().st_size / len(raw), 3)
    assert found["tracks"][0]["sector_size"] == 2352


def test_what_a_container_knows_of_itself(
    disc: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_map = cso_module.open_map

    def knowing(*args: Any) -> BlockMap:
        blocks = open_map(*args)
        blocks.checksums = (Checksum("SHA-1", "sha1", bytes(range(20))),)
        blocks.facts = {
            "written by": "hand",
            "units": 7,
            "mark": b"\1\2",
            "sizes": (1, 2),
            "parts": {"LZ4": 3, "zlib": 4},
        }
        return blocks

    monkeypatch.setattr(cso_module, "open_map", knowing)
    path = tmp_path / "disc.cso"
    path.write_bytes(cso(disc))
    lines = told(capsys, path)
    assert lines["SHA-1"] == bytes(range(20)).hex()
    assert (lines["written by"], lines["units"], lines["mark"]) == ("hand", "7", "0102")
    assert lines["parts"] == "3 LZ4, 4 zlib"
    found = facts(capsys, path)
    assert found["checksums"] == {"SHA-1": bytes(range(20)).hex()}
    assert found["container"] == {
        "written by": "hand",
        "units": 7,
        "mark": "0102",
        "sizes": "(1, 2)",
        "parts": {"LZ4": 3, "zlib": 4},
    }
    assert (found["parent"], found["blocks_checked"]) == (None, False)
