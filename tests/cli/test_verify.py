"""`isofs verify`: what is sound is called so, and each damage is found and told by its place."""

from __future__ import annotations

import hashlib
import json
import os
import random
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from writers import chdman
from writers.containers import cso, dax, entry, jiso, overwritten, zso
from writers.discs import Disc
from writers.edc import changed, form_1, form_2, header, mode_1, raw_disc
from writers.mounting import command, on_terminal

from isofs import limits
from isofs.cli import main, verify
from isofs.errors import ImageError
from isofs.image import cso as cso_module
from isofs.image import open_image
from isofs.image.blockmap import BlockMap, Checksum
from isofs.image.sectors import Track
from isofs.image.source import FileSource
from isofs.mount.options import parse_options

SECTOR: Final = 2048


@pytest.fixture(scope="module")
def disc() -> bytes:
    """A disc of some sectors that are all different, and all smaller when compressed."""
    made = Disc()
    made.root.file(b"BIG.;1", b"".join(b"sector %08d\n" % number * 128 for number in range(40)))
    return made.build()


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pieces of a small disc."""
    monkeypatch.setattr(verify, "PIECE", 3 * SECTOR)


class Verified:
    """Runs the command within this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], directory: Path) -> None:
        self._capsys = capsys
        self._directory = directory

    def path(self, data: bytes, name: str = "image") -> Path:
        path = self._directory / name
        path.write_bytes(data)
        return path

    def run(self, *words: str | Path) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        code = main(["verify", *map(str, words)])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def lines(self, data: bytes, code: int) -> list[str]:
        """What is said about an image with these bytes."""
        found, out, err = self.run(self.path(data))
        assert (found, err) == (code, ""), out + err
        return out.splitlines()

    def facts(self, path: Path) -> dict[str, Any]:
        """The same for programs."""
        code, out, err = self.run("--json", path)
        facts: dict[str, Any] = json.loads(out)
        assert err == ""
        assert facts["verdict"] == {0: "sound", 1: "warnings", 2: "damaged"}[code]
        return facts


@pytest.fixture
def verified(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Verified:
    return Verified(capsys, tmp_path)


def damaged_block(image: bytes, number: int) -> tuple[int, bytes]:
    """A CSO whose block is no deflate stream, and where that block lies."""
    begin, end = (entry(image, i) & 0x7FFF_FFFF for i in (number, number + 1))
    return begin, overwritten(image, begin, b"\xff" * (end - begin))


# --- sound images ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [bytes, cso, partial(cso, version=2), partial(cso, block_size=16384), zso, dax, jiso])
def test_sound_images_are_called_so(write: Callable[[bytes], bytes], disc: bytes, verified: Verified) -> None:
    *_, line = verified.lines(write(disc), 0)
    assert line.startswith("sound: ")
    assert f"checked {len(disc)} bytes" in line
    assert line.endswith("; it holds no checksum") == (write not in (dax, jiso))


@pytest.mark.parametrize(
    ("make", "stride"), [(mode_1, 2352), (mode_1, 2448), (form_1, 2352), (form_1, 2368), (form_1, 2448)]
)
@pytest.mark.usefixtures("small_pieces")
def test_the_edc_of_raw_sectors_is_compared(
    make: Callable[[int, bytes], bytes], stride: int, disc: bytes, verified: Verified
) -> None:
    raw = raw_disc(disc, make, stride)
    (line,) = verified.lines(raw, 0)
    assert line.endswith(f"checked {len(raw)} bytes, the EDC of {len(disc) // SECTOR} sectors")
    lines = verified.lines(changed(raw, 20 * stride + 300), 2)
    assert lines[0] == f"sector 20 at byte {20 * stride}: its EDC does not fit"
    assert len(lines) == 2
    assert lines[1].startswith("damaged: ")


@pytest.mark.usefixtures("small_pieces")
def test_mode_2_sectors_without_header_are_compared_too(disc: bytes, verified: Verified) -> None:
    raw = raw_disc(disc, lambda number, data: form_1(number, data)[16:], 2336)
    (line,) = verified.lines(raw, 0)
    assert line.endswith(f"the EDC of {len(disc) // SECTOR} sectors")
    assert verified.lines(changed(raw, 5 * 2336 + 8), 2)[0] == f"sector 5 at byte {5 * 2336}: its EDC does not fit"


def test_sectors_that_cannot_be_checked_are_counted(disc: bytes, verified: Verified) -> None:
    count = len(disc) // SECTOR
    video = form_2(count, bytes(2324), recorded=False) + header(count + 1, 0).ljust(2352, b"\0")
    facts = verified.facts(verified.path(raw_disc(disc, form_1) + video))
    assert (facts["verdict"], facts["sectors"], facts["sectors_without_edc"]) == ("sound", count, 2)


def one_track(verified: Verified, raw: bytes) -> Path:
    """A sheet of a data track."""
    verified.path(raw, "disc.bin")
    return verified.path(b'FILE "disc.bin" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n', "disc.cue")


def test_sectors_that_are_none_of_data_are_a_warning(disc: bytes, verified: Verified) -> None:
    code, out, _ = verified.run(one_track(verified, raw_disc(disc) + bytes(3 * 2352)))
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == "warning: 3 sectors of track 1 have no sync pattern or an unknown mode"
    assert lines[1].startswith("sound, with warnings: ")


# --- damaged blocks -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_pieces")
def test_each_damaged_block_is_told_with_its_place(disc: bytes, verified: Verified) -> None:
    image = cso(disc)
    places = {}
    for number in (25, 26, 40):
        places[number], image = damaged_block(image, number)
    lines = verified.lines(image, 2)
    assert [line.partition(": ")[0] for line in lines[:-1]] == [f"block {n} at byte {at}" for n, at in places.items()]
    assert all("deflate" in line for line in lines[:-1])
    assert f"checked {len(disc) - 3 * SECTOR} bytes" in lines[-1]


def test_a_bit_that_the_checksum_of_a_block_tells_is_found(disc: bytes, verified: Verified) -> None:
    image = dax(disc)
    position = entry(image, 3, index_at=32)
    end = entry(image, 4, index_at=32)
    lines = verified.lines(changed(image, end - 1), 2)  # in its Adler-32
    assert lines[0].startswith(f"block 3 at byte {position}: ")


def test_a_truncated_image_is_damaged_and_warned_of(disc: bytes, verified: Verified) -> None:
    image = cso(disc)
    lines = verified.lines(image[: entry(image, 30) & 0x7FFF_FFFF], 2)
    blocks = len(disc) // SECTOR
    assert lines[0].startswith(f"blocks 30 to {blocks - 2} at byte ")  # the last one is stored otherwise
    assert lines[1].startswith(f"block {blocks - 1} at byte ")
    assert any(line.startswith(f"warning: truncated: 30 of {blocks} blocks") for line in lines)


def test_blocks_that_were_never_stored_are_damage(disc: bytes, verified: Verified) -> None:
    lines = verified.lines(cso(disc[:-100], index="floor"), 2)
    assert lines[0] == f"block {len(disc) // SECTOR - 1}: it was never stored"


def test_damages_beyond_a_number_are_counted_only(
    disc: bytes, verified: Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FINDINGS", 3)
    image = cso(disc)
    path = verified.path(image[: entry(image, 30) & 0x7FFF_FFFF])
    _, out, _ = verified.run(path)
    missing = len(disc) // SECTOR - 30
    assert [line for line in out.splitlines() if "more" in line] == [f"{missing - 3} more damages"]
    facts = verified.facts(path)
    assert (len(facts["damages"]), facts["damage_count"]) == (3, missing)


@pytest.mark.usefixtures("small_pieces")
def test_sectors_in_damaged_blocks_are_no_damage_of_their_own(disc: bytes, verified: Verified) -> None:
    raw = raw_disc(disc)
    image = cso(raw)
    _, image = damaged_block(image, 25)
    at, image = damaged_block(image, 30)
    facts = verified.facts(verified.path(image))
    assert [(damage["what"], damage["number"]) for damage in facts["damages"]] == [("block", 25), ("block", 30)]
    assert facts["damages"][1]["byte"] == at
    lost = {place // 2352 for block in (25, 30) for place in range(block * SECTOR, (block + 1) * SECTOR)}
    assert facts["sectors"] == len(disc) // SECTOR - len(lost)


@pytest.mark.parametrize("seed", range(20))
def test_sectors_are_found_again_behind_gaps_of_any_size(seed: int) -> None:
    chance = random.Random(seed)
    stride, position, count = 2352, chance.randrange(5000), 30
    bad = {n for n in range(count) if chance.random() < 0.2}
    sound = [mode_1(n, bytes(SECTOR)) for n in range(count)]
    stored = bytes(position) + b"".join(changed(raw, 99) if n in bad else raw for n, raw in enumerate(sound))
    stored += b"others" * 100
    report = verify.Report()
    track = Track(1, "mode 1", 7, count, None, position, stride, header=True)
    tracked = verify._Tracked(track, report, report.add)
    seen = bytearray(len(stored))
    at = 0
    while at < len(stored):
        n = chance.choice((1, 100, 2352, 3000, 9000))
        if chance.random() < 0.7:
            tracked.feed(at, stored[at : at + n])
            seen[at : at + n] = b"\1" * len(stored[at : at + n])
        at += n
    whole = [n for n in range(count) if all(seen[position + n * stride : position + (n + 1) * stride])]
    assert report.sectors == len(whole)
    assert [damage.number for damage in report.damages] == [7 + n for n in whole if n in bad]
    assert [damage.byte for damage in report.damages] == [position + n * stride for n in whole if n in bad]


# --- checksums ------------------------------------------------------------------------------------------------------


def checked_by(monkeypatch: pytest.MonkeyPatch, *checksums: Checksum) -> None:
    """Lets CSO images have checksums."""
    open_map = cso_module.open_map

    def with_checksums(*args: Any) -> BlockMap:
        blocks = open_map(*args)
        blocks.checksums = checksums
        return blocks

    monkeypatch.setattr(cso_module, "open_map", with_checksums)


@pytest.mark.usefixtures("small_pieces")
def test_checksums_of_the_whole_are_compared(disc: bytes, verified: Verified, monkeypatch: pytest.MonkeyPatch) -> None:
    sha1 = hashlib.sha1(disc).digest()
    sums = (
        Checksum("SHA-1", "sha1", sha1),
        Checksum("CRC-32", "crc32", zlib.crc32(disc).to_bytes(4, "big")),
        Checksum(
            "SHA-1 with more",
            "sha1",
            hashlib.sha1(sha1 + b"more").digest(),
            lambda d: hashlib.sha1(d + b"more").digest(),
        ),
    )
    checked_by(monkeypatch, *sums)
    lines = verified.lines(cso(disc), 0)
    assert lines[:-1] == [f"{found.name}: ok, {found.expected.hex()}" for found in sums]


def test_a_wrong_checksum_is_damage(disc: bytes, verified: Verified, monkeypatch: pytest.MonkeyPatch) -> None:
    checked_by(monkeypatch, Checksum("MD5", "md5", bytes(16)))
    lines = verified.lines(cso(disc), 2)
    found = hashlib.md5(disc).hexdigest()
    assert lines[0] == f"MD5: wrong, {found}; recorded is {'0' * 32}"
    assert lines[1].startswith("damaged: ")
    facts = verified.facts(verified.path(cso(disc)))
    assert facts["checksums"] == [{"name": "MD5", "expected": "0" * 32, "found": found, "ok": False}]


def test_a_checksum_of_what_is_not_whole_is_not_told(
    disc: bytes, verified: Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked_by(monkeypatch, Checksum("MD5", "md5", hashlib.md5(disc).digest()))
    _, image = damaged_block(cso(disc), 30)
    lines = verified.lines(image, 2)
    assert lines[1].startswith("MD5: not to be told")


# --- other containers -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_pieces")
def test_blocks_that_only_a_library_reads(disc: bytes, verified: Verified, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = range(12 * 5000, 13 * 5000)

    def read(n: int, offset: int) -> bytes:
        if offset < bad.stop and bad.start < offset + n:
            raise ImageError("the stream is damaged")
        return disc[offset : offset + n]

    def open_map(*_: object) -> BlockMap:
        return BlockMap(format="gz", block_size=5000, disc_size=len(disc), kinds=frozenset(), read=read)

    monkeypatch.setattr(cso_module, "open_map", open_map)
    facts = verified.facts(verified.path(b"CISO".ljust(5000)))
    assert [(damage["what"], damage["number"]) for damage in facts["damages"]] == [("block", 12)]
    assert facts["bytes"] == len(disc) - 5000
    assert facts["blocks"] == -(-len(disc) // 5000)


@pytest.mark.parametrize(
    ("write", "codec"),
    [(chdman.of_a_dvd, codec) for codec in chdman.DVD_CODECS] + [(chdman.of_a_cd, codec) for codec in chdman.CD_CODECS],
)
def test_the_sums_of_a_chd_are_those_that_chdman_tells(
    write: Callable[[bytes, str, Path], Path], codec: str, disc: bytes, tmp_path: Path, verified: Verified
) -> None:
    image = write(disc, codec, tmp_path)
    facts = verified.facts(image)
    assert facts["verdict"] == "sound"
    assert {found["found"] for found in facts["checksums"]} == chdman.sums(image)
    assert len(facts["checksums"]) == (0 if codec == "none" else 2)
    chdman.chdman("verify", "-i", image)


def test_a_cd_as_chdman_writes_it(disc: bytes, verified: Verified) -> None:
    verified.path(raw_disc(disc), "disc.bin")
    cue = verified.path(b'FILE "disc.bin" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n', "disc.cue")
    chd = cue.with_suffix(".chd")
    chdman.chdman("createcd", "-i", cue, "-o", chd)
    facts = verified.facts(chd)
    assert facts["verdict"] == "sound"
    assert facts["sectors"] == len(disc) // SECTOR
    assert {found["found"] for found in facts["checksums"]} == chdman.sums(chd)
    whole = chd.read_bytes()
    chd.write_bytes(changed(whole, len(whole) // 2))
    assert verified.facts(chd)["verdict"] == "damaged"


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_pieces")
def test_places_that_cannot_be_read_are_damage(
    disc: bytes, verified: Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    pread = FileSource.pread

    def failing(self: FileSource, n: int, offset: int) -> bytes:
        if offset < 33 * SECTOR and offset + n > 31 * SECTOR:
            raise ImageError("Input/output error")
        return pread(self, n, offset)

    path = verified.path(disc)
    monkeypatch.setattr(FileSource, "pread", failing)
    facts = verified.facts(path)
    assert [(damage["number"], damage["byte"]) for damage in facts["damages"]] == [
        (31, 31 * SECTOR),
        (32, 32 * SECTOR),
    ]
    assert facts["bytes"] == len(disc) - 2 * SECTOR


@pytest.mark.parametrize("write", [bytes, cso])
def test_an_image_that_changes_is_not_judged(write: Callable[[bytes], bytes], disc: bytes, verified: Verified) -> None:
    path = verified.path(write(disc))
    with open_image(str(path)) as image:
        os.utime(path, ns=(1, 1))
        with pytest.raises(ImageError, match="was changed"):
            verify.verify(image, parse_options([]))


def test_a_disc_that_lacks_only_what_is_behind_its_files_is_a_warning(disc: bytes, verified: Verified) -> None:
    blocks = len(disc) // SECTOR + 10
    longer = overwritten(disc, 16 * SECTOR + 80, blocks.to_bytes(4, "little") + blocks.to_bytes(4, "big"))
    lines = verified.lines(longer, 1)
    assert lines[0].startswith("warning: the disc is shorter than its volume: ")
    assert lines[1].startswith("sound, with warnings: ")


@pytest.mark.parametrize("write", [bytes, raw_disc])
def test_a_disc_that_is_too_short_for_its_files_is_damaged(write: Callable[[bytes], bytes], verified: Verified) -> None:
    made = Disc()
    for name in (b"A.;1", b"B.;1", b"C.;1"):
        made.root.file(name, bytes(10 * SECTOR))
    lines = verified.lines(write(made.build()[: -15 * SECTOR]), 2)
    assert lines[0] == "volume: the disc is too short for 'b' and 1 more"
    assert lines[1].startswith("warning: the disc is shorter than its volume: ")
    assert lines[2].startswith("damaged: ")


def test_sectors_of_the_volume_that_are_none_of_data_are_damage(disc: bytes, verified: Verified) -> None:
    raw = raw_disc(disc)
    raw = raw[: 30 * 2352] + bytes(2352) + raw[31 * 2352 :] + bytes(2352)
    code, out, _ = verified.run(one_track(verified, raw))
    assert code == 2
    lines = out.splitlines()
    assert lines[0] == f"sector 30 at byte {30 * 2352}: no sync pattern, or an unknown mode"
    assert lines[1] == "warning: 1 sectors of track 1 have no sync pattern or an unknown mode"
    assert lines[2].startswith("damaged: ")


def test_many_damages_in_a_row_take_one_line(disc: bytes, verified: Verified) -> None:
    raw = bytearray(raw_disc(disc))
    for number in (20, 21, 30, 31, 32, 33):
        raw[number * 2352 + 100] ^= 1
    assert verified.lines(bytes(raw), 2)[:-1] == [
        f"sector 20 at byte {20 * 2352}: its EDC does not fit",
        f"sector 21 at byte {21 * 2352}: its EDC does not fit",
        f"sectors 30 to 33 at byte {30 * 2352}: its EDC does not fit",
    ]


def test_tracks_in_sound_files_are_told(disc: bytes, verified: Verified) -> None:
    verified.path(raw_disc(disc), "data.bin")
    cue = verified.path(
        b'FILE "data.bin" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n'
        b'FILE "a.wav" WAVE\n  TRACK 02 AUDIO\n    INDEX 01 00:00:00\n'
        b'FILE "b.flac" FLAC\n  TRACK 03 AUDIO\n    INDEX 01 00:00:00\n',
        "disc.cue",
    )
    code, out, _ = verified.run(cue)
    assert (code, out.splitlines()[0]) == (0, "not read, since they are sound files: tracks 2, 3")
    assert verified.facts(cue)["tracks_not_read"] == [2, 3]


def test_what_is_no_image_is_an_error_as_everywhere(verified: Verified) -> None:
    code, out, err = verified.run(verified.path(bytes(100_000)))
    assert (code, out) == (32, "")
    assert err.startswith("isofs: ")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("small_pieces")
def test_all_files_of_a_sheet_are_read(disc: bytes, verified: Verified) -> None:
    raw = raw_disc(disc)
    verified.path(changed(raw, 3 * 2352 + 77), "first.bin")
    verified.path(bytes(10 * 2352), "second.bin")
    cue = verified.path(
        b'FILE "first.bin" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n'
        b'FILE "second.bin" BINARY\n  TRACK 02 AUDIO\n    INDEX 01 00:00:00\n',
        "disc.cue",
    )
    code, out, _ = verified.run(cue)
    assert code == 2
    assert out.splitlines()[0] == f"first.bin: sector 3 at byte {3 * 2352}: its EDC does not fit"
    assert f"checked {len(raw) + 10 * 2352} bytes, the EDC of {len(disc) // SECTOR} sectors" in out


def test_a_disc_of_audio_only_is_read(verified: Verified) -> None:
    verified.path(bytes(300 * 2352), "music.bin")
    cue = verified.path(b'FILE "music.bin" BINARY\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n', "music.cue")
    code, out, _ = verified.run(cue)
    assert (code, out) == (0, f"sound: CUE sheet; checked {300 * 2352} bytes; it holds no checksum\n")


# --- working --------------------------------------------------------------------------------------------------------


def test_what_threads_make_comes_in_order_and_not_too_far_ahead() -> None:
    begun: list[int] = []

    def work(task: int) -> int:
        begun.append(task)
        return task * task

    for number, made in enumerate(verify._in_order(work, range(200), 3)):
        assert made == number * number
        assert len(begun) <= number + 4
    assert sorted(begun) == list(range(200))


def test_an_error_of_a_worker_is_that_of_the_command() -> None:
    def work(task: int) -> int:
        return 1 // task

    with pytest.raises(ZeroDivisionError):
        list(verify._in_order(work, [2, 1, 0, 3], 2))


def test_a_terminal_sees_how_far_it_is(disc: bytes, verified: Verified) -> None:
    code, seen = on_terminal(command("verify", verified.path(disc)))
    assert code == 0
    assert b"%|" in seen
    assert b"sound: plain disc image" in seen


def test_hostile_names_do_not_steer_a_terminal(disc: bytes, verified: Verified) -> None:
    verified.path(changed(raw_disc(disc), 3 * 2352 + 77), "a\x1b[31m.bin")
    verified.path(bytes(2352), "b.bin")
    cue = verified.path(
        b'FILE "a\x1b[31m.bin" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n'
        b'FILE "b.bin" BINARY\n  TRACK 02 AUDIO\n    INDEX 01 00:00:00\n',
        "disc.cue",
    )
    _, out, err = verified.run(cue)
    assert "\x1b" not in out + err


def test_md5_of_a_jiso_is_compared(disc: bytes, verified: Verified) -> None:
    image = jiso(disc)
    lines = verified.lines(image, 0)
    assert any(hashlib.md5(disc).hexdigest() in line for line in lines)
    verified.lines(overwritten(image, 16, bytes([image[16] ^ 1])), 2)
