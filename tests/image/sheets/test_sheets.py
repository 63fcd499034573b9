"""All kinds of sheets: which module knows which file, and damage of any kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writers.sheets import Entry, audio, ccd, cdi, iso, mds, msf, nrg, reading, recognised, sane, stored
from writers.sources import Memory

from isofs.errors import ImageError, IsofsError
from isofs.image.sheets import SHEETS, find_sheet

DISC = iso(2)
SECTORS = len(DISC) // 2048
SECOND = SECTORS + 5 + 11400
ENTRIES = [
    Entry(1, "2/2352", stored(DISC, "2/2352")),
    Entry(2, "audio", audio(5), SECTORS),
    Entry(3, "2048", DISC, SECOND, pregap=150, session=2),
]
RAW = b"".join(entry.data for entry in ENTRIES[:2])
CUE = f"""REM SESSION 01
FILE "a.bin" BINARY
  TRACK 01 MODE2/2352
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    PREGAP 00:00:01
    INDEX 00 {msf(SECTORS)}
    INDEX 01 {msf(SECTORS + 1)}
REM SESSION 02
FILE "b.bin" BINARY
  TRACK 03 MODE1/2048
    INDEX 01 00:00:00
"""
TOC = f"""CD_ROM_XA
TRACK MODE2_RAW
DATAFILE "a.bin" {msf(SECTORS)}
TRACK AUDIO
FILE "a.bin" #{SECTORS * 2352} 0
TRACK MODE1
ZERO 00:02:00
START
DATAFILE "b.bin"
"""
GOOD: dict[str, bytes] = {
    "cue": CUE.encode(),
    "toc": TOC.encode(),
    "gdi": f"3\n1 0 4 2352 a.bin 0\n2 600 0 2352 a.bin {SECTORS * 2352}\n3 45000 4 2048 b.bin 0\n".encode(),
    "ccd": ccd(ENTRIES[:2]).encode(),
    "mds": mds(ENTRIES, ["a.bin", "c.bin"]),
    "nrg": nrg(ENTRIES),
    "nrg 1": nrg(ENTRIES, version=1),
    "nrg of single tracks": nrg(ENTRIES, tao=True),
    "cdi": cdi(ENTRIES),
    "cdi 2": cdi(ENTRIES, version="2"),
}
DESCRIBED = {name: min(len(data), 1200) for name, data in GOOD.items()}
"""Bytes at the end of the file that describe the disc."""
COMPANIONS = {
    "a.bin": RAW,
    "b.bin": DISC,
    "c.bin": DISC,
    "a.img": RAW,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the sheets name."""
    path = tmp_path_factory.mktemp("sheets")
    for name, content in COMPANIONS.items():
        (path / name).write_bytes(content)
    return path


def lay(folder: Path, data: bytes) -> Path:
    path = folder / "a.sheet"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", GOOD)
def test_each_is_known_by_its_own_module_only(folder: Path, kind: str) -> None:
    path = lay(folder, GOOD[kind])
    assert recognised(path) == kind.split()[0]
    with reading(path) as sheet:
        sane(sheet)
        assert len(sheet.tracks) == (2 if kind == "ccd" else 3)
        assert sheet.warnings == ()


def test_every_module_is_asked_about_a_disc_and_says_no(folder: Path) -> None:
    assert {name for name, *_ in SHEETS} == {kind.split()[0] for kind in GOOD}
    for data in (DISC, RAW, audio(3), b"", b"\0", b"\xff\xfe", b"\n" * 5000, b" " * 500_000, b"// " * 100_000):
        assert find_sheet(Memory(data)) is None


def test_a_file_that_cannot_be_read_is_no_sheet() -> None:
    class Broken(Memory):
        def pread(self, n: int, offset: int) -> bytes:
            raise ImageError("broken")

    for size in (100, 1 << 30):
        assert find_sheet(Broken(b"", size)) is None


def _flip(data: bytes, changes: list[tuple[int, int]], described: int) -> bytes:
    changed = bytearray(data)
    for at, value in changes:
        changed[len(data) - 1 - at % described] = value
    return bytes(changed)


def _error(path: Path) -> IsofsError | None:
    """The error about a sheet; without one its tracks are sane."""
    try:
        with reading(path) as sheet:
            sane(sheet)
    except IsofsError as error:
        return error
    return None


def _survives(folder: Path, data: bytes) -> None:
    path = lay(folder, data)
    if recognised(path) and (error := _error(path)) is not None:
        assert error.reason
        assert "\n" not in str(error)


@pytest.mark.parametrize("kind", GOOD)
@settings(max_examples=50)
@given(changes=st.lists(st.tuples(st.integers(0, 1 << 12), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_give_sane_tracks_or_one_error(folder: Path, kind: str, changes: list[tuple[int, int]]) -> None:
    _survives(folder, _flip(GOOD[kind], changes, DESCRIBED[kind]))


@pytest.mark.parametrize("kind", GOOD)
@settings(max_examples=50)
@given(cut=st.integers(0, 1200), tail=st.binary(max_size=16))
def test_a_sheet_that_is_cut_gives_sane_tracks_or_one_error(folder: Path, kind: str, cut: int, tail: bytes) -> None:
    data = GOOD[kind]
    _survives(folder, data[: max(len(data) - cut, 0)] + tail)


@pytest.mark.parametrize("kind", ["cue", "toc", "gdi", "ccd"])
@settings(max_examples=50)
@given(data=st.data())
def test_shuffled_words_give_sane_tracks_or_one_error(folder: Path, kind: str, data: st.DataObject) -> None:
    lines = GOOD[kind].decode().split("\n")
    words = sorted(
        {word for line in lines for word in line.split()} | {"99:59:74", "0", "-1", "99", '"', "{", "}", "é"}
    )
    for _ in range(data.draw(st.integers(1, 3))):
        line = data.draw(st.integers(1, len(lines) - 1))
        parts = lines[line].split() or [""]
        parts[data.draw(st.integers(0, len(parts) - 1))] = data.draw(st.sampled_from(words))
        lines[line] = " ".join(parts)
        if data.draw(st.booleans()):
            lines.insert(line, data.draw(st.sampled_from(lines)))
    _survives(folder, "\n".join(lines).encode())


def _worst() -> dict[str, Callable[[], bytes]]:
    return {
        "files by the thousand": lambda: b"".join(b'FILE "a.bin" BINARY\n' for _ in range(1000)) + CUE.encode(),
        "indexes of different files": lambda: (
            b'FILE "a.bin" BINARY\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n'
            + b"".join(b'FILE "b.bin" BINARY\nINDEX %02d 00:00:00\n' % i for i in range(2, 100))
        ),
        "unknown commands": lambda: CUE.encode() + b"X\n" * 9900,
        "long words": lambda: CUE.encode() + b"FILE " + b"x " * 500 + b"\n",
        "blank lines": lambda: b"\n" * 9000 + CUE.encode(),
        "texts": lambda: b"CD_ROM CD_TEXT " + b"{ \n" * 9000,
        "words": lambda: b"CD_ROM TRACK AUDIO\n" + (b"ZERO 0 " * 140 + b"\n") * 1000,
        "comments": lambda: b"//\n" * 9000 + b"CATALOG" * 1000,
        "sections": lambda: b"[CloneCD]\n" + b"[Entry 1]\n" * 9000,
        "quotes": lambda: b"CD_ROM\n" + (b'"\\' * 500 + b"\n") * 1000,
    }


@pytest.mark.parametrize("what", _worst())
@pytest.mark.timeout(10)
def test_the_worst_sheet_is_soon_done(folder: Path, what: str) -> None:
    _survives(folder, _worst()[what]())
