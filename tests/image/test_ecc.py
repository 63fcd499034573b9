"""EDC and ECC against their definitions in ECMA-130 and against chdman, the compiled code and the one in Python."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest
from writers.edc import SYNC, changed, edc_by_definition, form_1, form_2, header, mode_1, product, remainder, some
from writers.tools import require

from isofs.image import ecc
from isofs.image.ecc import SOUND, STRANGE, UNCHECKED, WRONG


@pytest.fixture(autouse=True, params=["compiled", "Python"])
def _twin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    module: ModuleType | None = None
    if request.param == "compiled":
        module = pytest.importorskip("isofs.image._ecc", reason="install with a C compiler")
    monkeypatch.setattr(ecc, "compiled", module)


# --- the definitions ------------------------------------------------------------------------------------------------


def times(a: int, b: int) -> int:
    """In GF(2^8) of x^8 + x^4 + x^3 + x^2 + 1."""
    return remainder(product(a, b), 0b1_0001_1101)


def syndromes(word: Iterable[int]) -> tuple[int, int]:
    """ECMA-130, annex A: the rows (1 ... 1 1) and (alpha^n ... alpha 1) times the word."""
    first = second = 0
    for byte in word:
        first ^= byte
        second = times(second, 2) ^ byte
    return first, second


def code_words(sector: bytes) -> Iterable[bytes]:
    """All P and Q vectors of a sector, by the formulas of annex A; bytes are numbered from 12 on, S by words."""
    for half in (0, 1):
        s = sector[12 + half :: 2]
        for n in range(43):
            yield bytes(s[43 * m + n] for m in range(26))
        for n in range(26):
            yield bytes([*(s[(44 * m + 43 * n) % 1118] for m in range(43)), s[43 * 26 + n], s[44 * 26 + n]])


def has_sound_ecc(sector: bytes) -> bool:
    if sector[15] == 2:
        sector = sector[:12] + bytes(4) + sector[16:]
    return all(syndromes(word) == (0, 0) for word in code_words(sector))


# --- EDC ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 2056, 2064])
def test_the_edc_is_the_remainder_of_the_standards_polynomial(size: int) -> None:
    data = some(size, seed=size)
    assert ecc.edc(data).to_bytes(4, "little") == edc_by_definition(data)
    assert ecc.edc(memoryview(bytearray(data))) == ecc.edc(data)


SECTORS: Final = (
    (mode_1(0, some()), SOUND),
    (form_1(1, some()), SOUND),
    (form_2(2, some(2324)), SOUND),
    (form_2(3, some(2324), recorded=False), UNCHECKED),
    (header(4, 0).ljust(2352, b"\0"), UNCHECKED),
    (changed(mode_1(5, some()), 14), WRONG),
    (changed(mode_1(6, some()), 16), WRONG),
    (changed(mode_1(7, some()), 2063), WRONG),
    (changed(mode_1(8, some()), 2064), WRONG),
    (changed(mode_1(9, some()), 2067), WRONG),
    (changed(form_1(10, some()), 16), WRONG),
    (changed(form_1(11, some()), 2075), WRONG),
    (changed(form_2(12, some(2324)), 2347), WRONG),
    (changed(form_2(13, some(2324)), 2351), WRONG),
    (changed(form_2(14, some(2324), recorded=False), 2351), WRONG),
    (changed(mode_1(15, some()), 2068), SOUND),  # what is behind the EDC is no matter of it
    (changed(form_1(16, some()), 12), SOUND),
    (changed(mode_1(17, some()), 5), STRANGE),
    (mode_1(18, some())[:15] + b"\3" + bytes(2336), STRANGE),
    (bytes(2352), STRANGE),
)


@pytest.mark.parametrize("stride", [2352, 2368, 2448])
def test_each_sector_is_judged_by_its_own_mode_and_form(stride: int) -> None:
    stored = b"".join(sector.ljust(stride, b"\xa5") for sector, _ in SECTORS)
    assert list(ecc.verdicts(stored, stride)) == [verdict for _, verdict in SECTORS]
    assert ecc.verdicts(memoryview(bytearray(stored)), stride) == ecc.verdicts(stored, stride)


@pytest.mark.parametrize("stride", [2336, 2432])
def test_sectors_without_header_are_of_mode_2(stride: int) -> None:
    of_mode_2 = [(sector, verdict) for sector, verdict in SECTORS if sector[15] == 2]
    stored = b"".join(sector[16:].ljust(stride, b"\xa5") for sector, _ in of_mode_2)
    assert list(ecc.verdicts(stored, stride, header=False)) == [verdict for _, verdict in of_mode_2]
    assert len(of_mode_2) >= 8


def test_damaged_sectors_are_told_by_their_numbers() -> None:
    stored = b"".join(sector for sector, _ in SECTORS)
    found = ecc.damaged(stored)
    assert [number for number, _ in found] == [n for n, (_, verdict) in enumerate(SECTORS) if verdict == WRONG]
    assert found[0][1] == "its EDC does not fit"
    assert ecc.damaged(b"") == []


@pytest.mark.parametrize(
    ("size", "stride", "with_header"), [(2351, 2352, True), (2336, 2336, True), (4700, 2352, True)]
)
def test_parts_of_sectors_are_refused(size: int, stride: int, with_header: bool) -> None:
    with pytest.raises(ValueError, match="whole sectors"):
        ecc.verdicts(bytes(size), stride, header=with_header)


# --- ECC ------------------------------------------------------------------------------------------------------------


def test_parity_makes_code_words_of_all_vectors() -> None:
    sectors = [mode_1(0, some(seed=1)), form_1(1, some(seed=2)), mode_1(2, bytes(2048)), mode_1(3, b"\xff" * 2048)]
    restored = bytearray(b"".join(b"?" * 12 + sector[12:2076] + b"?" * 276 for sector in sectors))
    ecc.restore(restored, range(4))
    for number, sector in enumerate(sectors):
        made = bytes(restored[number * 2352 :][:2352])
        assert made[:2076] == sector[:2076]
        assert has_sound_ecc(made)
        assert not has_sound_ecc(changed(made, 100))


def test_only_the_sectors_asked_for_are_restored() -> None:
    before = bytearray(some(5 * 2352))
    after = bytearray(before)
    ecc.restore(after, [3, 1])
    for number in range(5):
        same = before[number * 2352 :][:2352] == after[number * 2352 :][:2352]
        assert same == (number not in (1, 3))
        assert number not in (1, 3) or has_sound_ecc(bytes(after[number * 2352 :][:2352]))
    ecc.restore(after, [])


@pytest.mark.parametrize("number", [-1, 2])
def test_a_sector_that_is_not_there_is_refused(number: int) -> None:
    sectors = bytearray(2 * 2352 + 2351)
    with pytest.raises(IndexError):
        ecc.restore(sectors, [0, number])
    assert sectors == bytes(len(sectors))


@pytest.mark.parametrize("mode", ["MODE1/2352", "MODE2/2352"])
def test_chdman_finds_the_parity_sound(mode: str, tmp_path: Path) -> None:
    """It leaves sound parity out, and stores any other, which costs hundreds of bytes for each sector."""
    chdman = require("chdman")
    make = mode_1 if mode.startswith("MODE1") else form_1
    sectors = bytearray(b"".join(make(number, b"%07d " % number * 256) for number in range(64)))
    ecc.restore(sectors, range(64))
    one_bit_wrong = b"".join(changed(bytes(sectors[at : at + 2352]), 2351) for at in range(0, len(sectors), 2352))

    def stored_bytes(name: str, data: bytes) -> int:
        (tmp_path / f"{name}.bin").write_bytes(data)
        cue = tmp_path / f"{name}.cue"
        cue.write_text(f'FILE "{name}.bin" BINARY\n  TRACK 01 {mode}\n    INDEX 01 00:00:00\n')
        chd = tmp_path / f"{name}.chd"
        subprocess.run([chdman, "createcd", "-i", cue, "-o", chd, "-c", "cdzl"], check=True, capture_output=True)
        return chd.stat().st_size

    assert stored_bytes("sound", bytes(sectors)) + 64 * 100 < stored_bytes("wrong", one_bit_wrong)


def test_the_twins_agree() -> None:
    module = pytest.importorskip("isofs.image._ecc", reason="install with a C compiler")
    chance = random.Random(3)
    for _ in range(20):
        count = chance.randrange(1, 12)
        sectors = bytearray(chance.randbytes(count * 2352))
        for at in range(0, len(sectors), 2352):
            sectors[at : at + 12] = SYNC if chance.random() < 0.8 else bytes(12)
            sectors[at + 15] = chance.randrange(4)
        numbers = [chance.randrange(count) for _ in range(chance.randrange(20))]
        assert ecc.verdicts(sectors) == module.verdicts(sectors, 2352, True)
        other = bytearray(sectors)
        ecc.restore(sectors, numbers)
        module.restore(other, numbers)
        assert sectors == other
