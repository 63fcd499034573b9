"""`isofs check`: each defect is found, and told with its place, path and weight; what is sound is called clean."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from writers import aaip
from writers.boot_images import boot_entry, boot_record, catalogue
from writers.containers import cso, entry, overwritten
from writers.discs import (
    DIRECTORY,
    FILE,
    FOLDER,
    LINK,
    MULTI_EXTENT,
    SECTOR,
    TERMINATOR,
    Disc,
    Folder,
    both_32,
    ce,
    cl,
    component,
    er,
    nm,
    open_bytes,
    pl,
    px,
    record,
    relocated,
    rock,
    sl,
    sp,
    tf,
    tree,
    utf16,
    zf,
    zisofs,
)
from writers.discs import entry as use_entry
from writers.edc import changed, raw_disc
from writers.mounting import command, on_terminal
from writers.sheets import Entry as SheetEntry
from writers.sheets import audio, nrg
from writers.tools import require

from isofs.cli import main

CLEAN, WARNINGS, DAMAGED = 0, 1, 2
RESULTS: Final = {CLEAN: "clean", WARNINGS: "warnings", DAMAGED: "damaged"}


class Checked:
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
        code = main(["check", *map(str, words)])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def facts(self, image: bytes | Path, code: int, *words: str) -> dict[str, Any]:
        path = self.path(image) if isinstance(image, bytes) else image
        found, out, err = self.run("--json", *words, path)
        assert (found, err) == (code, ""), out + err
        facts: dict[str, Any] = json.loads(out)
        assert facts["result"] == RESULTS[code]
        return facts

    def defects(self, image: bytes | Path, code: int, *words: str) -> list[tuple[int | None, str, str, str]]:
        """Place, path, weight and words of each defect, notes about missing path tables left out."""
        return [
            (found["offset"], found["path"], found["weight"], found["words"])
            for found in self.facts(image, code, *words)["defects"]
            if found["words"] != "the disc has no path table"
        ]

    def one(self, image: bytes | Path, code: int, *words: str) -> tuple[int | None, str, str, str]:
        (found,) = self.defects(image, code, *words)
        return found


@pytest.fixture
def checked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Checked:
    return Checked(capsys, tmp_path)


# --- what is sound ----------------------------------------------------------------------------------------------------


def sound() -> Disc:
    disc = Disc(rock=True)
    docs = disc.root.rock_directory(b"DOCS", b"docs")
    docs.file(b"MANUAL.;1", b"manual" * 1000, system_use=rock(b"manual"))
    disc.root.file(b"LINK.;1", system_use=rock(b"link", LINK) + sl(component(b"docs")))
    disc.root.file(b"README.;1", b"readme", system_use=rock(b"readme"))
    return disc


def path_table(order: str, *directories: tuple[bytes, int, int]) -> bytes:
    """Name, block and number of the directory above, of each directory."""
    raw = b""
    for name, block, above in directories:
        raw += struct.pack(f"{order}BBIH", len(name), 0, block, above) + name + bytes(len(name) & 1)
    return raw


def with_path_tables(disc: Disc, little: bytes, big: bytes) -> bytes:
    """The disc, with path tables."""
    blocks = disc.store(little), disc.store(big)
    primary = bytearray(disc.primary())
    primary[132:140] = both_32(len(little))
    primary[140:144] = struct.pack("<I", blocks[0])
    primary[148:152] = struct.pack(">I", blocks[1])
    return disc.build(bytes(primary), TERMINATOR)


def test_a_sound_disc_is_clean(checked: Checked) -> None:
    disc = sound()
    directories = (b"\0", disc.root.extent, 1), (b"DOCS", disc.root.extent + 1, 1)
    image = with_path_tables(disc, path_table("<", *directories), path_table(">", *directories))
    facts = checked.facts(image, CLEAN)
    assert (facts["defects"], facts["files"], facts["bytes"]) == ([], 3, len(image))
    code, out, err = checked.run(checked.path(image))
    assert (code, out, err) == (0, f"clean: plain disc image; checked 3 files, {len(image)} bytes\n", "")


@pytest.mark.parametrize("write", [cso, raw_disc])
def test_a_sound_disc_in_a_container_is_clean(write: Callable[[bytes], bytes], checked: Checked) -> None:
    assert checked.defects(write(sound().build()), CLEAN) == []


def test_a_file_that_shares_all_its_sectors_is_no_defect(checked: Checked) -> None:
    disc = Disc()
    block = disc.store(b"shared" * 1000)
    for name in (b"A.;1", b"B.;1"):
        disc.root.file(name, extent=block, size=6000)
    assert checked.defects(disc.build(), CLEAN) == []


def test_audio_alone_is_no_defect(checked: Checked) -> None:
    image = nrg([SheetEntry(1, "audio", audio(300))])
    assert checked.facts(image, CLEAN)["files"] == 0


def test_tracks_of_a_sheet_are_read(checked: Checked) -> None:
    data = sound().build()
    tracks = SheetEntry(1, "2048", data), SheetEntry(2, "audio", audio(300), len(data) // SECTOR)
    facts = checked.facts(nrg(tracks), CLEAN)
    assert (facts["files"], facts["bytes"] >= len(data) + 300 * 2352) == (3, True)


# --- the tree ---------------------------------------------------------------------------------------------------------


def test_names_that_are_shown_otherwise_are_told_with_the_name_of_the_mount(checked: Checked) -> None:
    disc = Disc(rock=True)
    block = disc.store(nm(b"n" * 200))
    at = [
        disc.root.file(b"A.;1", b"a", system_use=rock(b"a/b")),
        disc.root.file(b"B.;1", b"b", system_use=rock(b"nul\0tail")),
        disc.root.file(b"C.;1", b"c", system_use=px(FILE) + nm(b"n" * 100, 1) + ce(block, 0, 205)),
    ]
    image = disc.build()
    found = checked.defects(image, WARNINGS)
    shown = list(tree(open_bytes(image)))
    assert [(offset, path[1:].encode()) for offset, path, *_ in found] == list(zip(at, shown, strict=True))
    assert found[0] == (at[0], "/a_b", "warning", "its recorded name 'a/b' holds a slash; it is shown as 'a_b'")
    assert "holds a NUL; it is shown as 'nul'" in found[1][3]
    assert "has 300 bytes; it is shown as" in found[2][3]


def test_names_that_stand_twice_are_told_with_the_name_of_the_mount(checked: Checked) -> None:
    disc = Disc()
    disc.root.file(b"SAME.;1", b"a")
    at = disc.root.file(b"SAME.;1", b"b")
    words = "SAME.;1: another file of the directory has this name"
    assert checked.one(disc.build(), WARNINGS) == (at, "/same~2", "warning", words)


def test_every_path_that_is_told_is_found_in_the_tree(checked: Checked) -> None:
    disc = Disc(rock=True)
    folder = disc.root.rock_directory(b"D", b"d/e")
    for name in (b"same", b"same", b"..", b"x/y", b"x_y"):
        folder.file(b"F.;1", b"data", system_use=rock(name))
    folder.file(b"G.;1", b"", system_use=rock(b"broken", LINK) + sl(component(b"ab", length=77)))
    image = disc.build()
    paths = {found[1][1:].encode() for found in checked.defects(image, DAMAGED)}
    assert len(paths) >= 5
    assert paths <= set(tree(open_bytes(image)))


def test_a_view_is_checked_as_it_is_shown(checked: Checked) -> None:
    disc = Disc()
    joliet = disc.folder(None)
    joliet.file(utf16("a/b"), b"joliet")
    disc.root.file(b"PLAIN.;1", b"plain")
    image = disc.build(disc.primary(), disc.joliet(joliet), TERMINATOR)
    assert checked.one(image, WARNINGS)[1] == "/a_b"
    assert checked.defects(image, CLEAN, "-o", "nojoliet") == []
    assert checked.run("-o", "tree=rock", checked.path(image))[0] == 1


def test_both_halves_of_numbers_are_compared(checked: Checked) -> None:
    disc = Disc()
    block = disc.store(b"data")
    at = disc.root.raw(record(b"A.;1", block, 4, big_size=5))
    assert checked.one(disc.build(), WARNINGS) == (
        *(at, "/", "warning"),
        "A.;1: the both-endian numbers of its record disagree: data length",
    )
    for name in b"BCDE":
        disc.root.raw(record(b"%c.;1" % name, block, 4, big_extent=0))
    assert checked.one(disc.build(), WARNINGS)[3] == "the both-endian numbers of 5 records disagree"


def test_data_beyond_the_disc_is_damage(checked: Checked) -> None:
    disc = Disc()
    at = disc.root.file(b"LONG.;1", b"x" * 3000, size=10_000)
    image = disc.build()
    place = len(image) - 2 * SECTOR
    words = f"{place + 10_000 - len(image)} of its bytes lie beyond the end of the disc"
    assert checked.one(image, DAMAGED) == (at, "/long", "damage", words)


def test_files_that_overlap_are_told_once(checked: Checked) -> None:
    disc = Disc()
    block = disc.store(bytes(4 * SECTOR))
    disc.root.file(b"A.;1", extent=block, size=3 * SECTOR)
    disc.root.file(b"B.;1", extent=block + 1, size=100)
    disc.root.file(b"C.;1", extent=block + 3, size=100)
    offset = (block + 1) * SECTOR
    assert checked.one(disc.build(), WARNINGS) == (offset, "/b", "warning", "100 of its bytes are also in /a")


def test_a_file_in_the_descriptors_is_told(checked: Checked) -> None:
    disc = Disc()
    disc.root.file(b"A.;1", extent=16, size=100)
    assert checked.one(disc.build(), WARNINGS)[1:] == (
        *("/a", "warning"),
        "100 of its bytes are also in the volume descriptors",
    )


def test_gaps_of_interleaved_files_belong_to_nobody(checked: Checked) -> None:
    disc = Disc()
    block = disc.store(bytes(8 * SECTOR))
    disc.root.raw(record(b"A.;1", block, 4 * SECTOR, unit=1, gap=1))
    disc.root.raw(record(b"B.;1", block + 1, 4 * SECTOR, unit=1, gap=1))
    assert checked.defects(disc.build(), CLEAN) == []


def test_a_directory_that_contains_itself_is_damage(checked: Checked) -> None:
    disc = Disc()
    inner = disc.root.directory(b"D")
    inner.add(record(b"UP", disc.root.extent, SECTOR, flags=DIRECTORY))
    (found,) = checked.defects(disc.build(), DAMAGED)
    assert found[1:] == ("/d", "damage", "UP: a directory that is its own ancestor")


def test_a_directory_under_two_names_is_walked_once(checked: Checked) -> None:
    disc = Disc()
    inner = disc.root.directory(b"D")
    inner.file(b"F.;1", b"data")
    disc.root.add(record(b"E", inner.extent, SECTOR, flags=DIRECTORY))
    facts = checked.facts(disc.build(), WARNINGS)
    assert facts["files"] == 1
    assert (inner.place, "/e", "the directory is also /d") in [
        (found["offset"], found["path"], found["words"]) for found in facts["defects"]
    ]


def test_directories_that_multiply_end_soon(checked: Checked) -> None:
    """Each of thirty directories has the next one under 16 names: 2^120 paths."""
    disc = Disc()
    folders = [disc.root]
    for _ in range(30):
        child = disc.folder(folders[-1])
        for number in range(16):
            folders[-1].add(record(b"D%02d" % number, child.extent, SECTOR, flags=DIRECTORY))
        folders.append(child)
    folders[-1].file(b"F.;1", b"data")
    image = disc.build()
    start = time.monotonic()
    assert checked.facts(image, WARNINGS)["files"] == 1
    assert time.monotonic() - start < 10


def test_records_of_a_directory_itself_and_of_the_one_above_are_compared(checked: Checked) -> None:
    disc = Disc()
    child = disc.folder(disc.root)
    other = disc.folder(disc.root)
    child.data[:] = record(b"\0", other.extent, SECTOR, flags=DIRECTORY)
    child.data += record(b"\1", other.extent, SECTOR, flags=DIRECTORY)
    disc.root.add(record(b"D", child.extent, SECTOR, flags=DIRECTORY))
    assert [(found[1], found[3]) for found in checked.defects(disc.build(), WARNINGS)] == [
        ("/d", f"its record `.` leads to byte {other.place}, not to byte {child.place}"),
        ("/d", f"its record `..` leads to byte {other.place}, not to byte {disc.root.place}"),
    ]


def test_relocated_directories_are_no_defect(checked: Checked) -> None:
    disc = Disc(rock=True)
    moved = disc.root.rock_directory(b"RR_MOVED", b"rr_moved")
    deep = disc.folder(moved, own_use=px(FOLDER), parent_use=px(FOLDER) + pl(disc.root.extent))
    moved.add(record(b"DEEP", deep.extent, SECTOR, flags=DIRECTORY, system_use=rock(b"deep", FOLDER) + relocated()))
    disc.root.file(b"ZDEEP", system_use=rock(b"deep", FOLDER) + cl(deep.extent))
    assert checked.defects(disc.build(), CLEAN) == []


def test_records_out_of_order_are_a_note(checked: Checked) -> None:
    disc = Disc()
    disc.root.file(b"B.;1", b"b")
    at = disc.root.file(b"A.;1", b"a")
    disc.root.file(b"A.;2", b"a")
    assert checked.one(disc.build(), CLEAN) == (at, "/", "note", "the records of the directory are not in order")


def test_versions_stand_from_the_highest_on(checked: Checked) -> None:
    disc = Disc()
    for name in (b"A.;10", b"A.;9", b"A.;1", b"A.B;1", b"A_B.;1"):
        disc.root.file(name, b"a")
    assert checked.defects(disc.build(), CLEAN) == []


def test_system_use_entries_that_do_not_fit_are_told(checked: Checked) -> None:
    disc = Disc(rock=True)
    at = disc.root.file(b"A.;1", b"a", system_use=rock(b"a") + b"XX\xff\1" + b"rest")
    assert checked.one(disc.build(), WARNINGS) == (
        *(at, "/a", "warning", "its system use entries end with one of 255 bytes, where 8 are left"),
    )


def test_a_damaged_record_is_told_with_its_directory(checked: Checked) -> None:
    disc = Disc()
    folder = disc.root.directory(b"D")
    at = folder.raw(record(b"BAD.;1", 5, 5, length=20))
    folder.file(b"GOOD.;1", b"good")
    assert checked.one(disc.build(), DAMAGED) == (at, "/d", "damage", "a damaged directory record was passed over")


def test_a_file_that_cannot_be_decoded_is_told(checked: Checked) -> None:
    disc = Disc(rock=True)
    packed = bytearray(zisofs(os.urandom(1000) * 50))
    disc.root.file(b"OK.;1", bytes(packed), system_use=rock(b"ok") + zf(50_000))
    packed[60:90] = b"\xff" * 30
    at = disc.root.file(b"Z.;1", bytes(packed), system_use=rock(b"z") + zf(50_000))
    offset, path, weight, words = checked.one(disc.build(), DAMAGED)
    assert (offset, path, weight) == (at, "/z", "damage")
    assert "zlib stream is damaged" in words


# --- what the reader passes over --------------------------------------------------------------------------------------


def attribute_list_cut_off() -> Disc:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"a", system_use=rock(b"a") + aaip.al(b"\0\xffab", more=True) + aaip.al(b"\1\5abc"))
    return disc


def attributes_that_are_not_announced() -> Disc:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"a", system_use=rock(b"a") + aaip.als(aaip.components(b"user.x", b"value")))
    return disc


def extension_announced_in_less_room() -> Disc:
    return Disc(root_use=sp() + use_entry(b"ER", b"\xff\xff\xff\1" + b"RRIP_1991A") + px(FOLDER))


def continuation_of_a_byte() -> Disc:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"a", system_use=rock(b"a") + ce(disc.store(use_entry(b"XX", b"lost")), 0, 1))
    return disc


def two_continuations() -> Disc:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"a", system_use=px(FILE) + ce(disc.store(nm(b"a")), 0, 6) + ce(disc.store(nm(b"b")), 0, 6))
    return disc


def directory_of_another_size(size: int) -> Disc:
    disc = Disc()
    child = disc.folder(disc.root)
    disc.root.add(record(b"D", child.extent, size, flags=DIRECTORY))
    return disc


def directory_without_its_flag() -> Disc:
    disc = Disc(rock=True)
    child = disc.folder(disc.root, own_use=px(FOLDER), parent_use=px(FOLDER))
    disc.root.file(b"D", extent=child.extent, size=child.size, system_use=rock(b"d", FOLDER))
    return disc


def interleaving_without_need() -> Disc:
    disc = Disc()
    disc.root.raw(record(b"A.;1", disc.store(b"data"), 4, unit=255, gap=255))
    return disc


def impossible_time() -> Disc:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"a", system_use=rock(b"a") + tf(2, b"\xffcccccc"))
    return disc


def times_without_room() -> Disc:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"a", system_use=rock(b"a") + tf(0xFF))
    return disc


def number_of_two_halves() -> Disc:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"a", system_use=changed_entry(px(FILE), 8) + nm(b"a"))
    return disc


def mode_told_twice() -> Disc:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"a", system_use=px(FILE) + rock(b"a"))
    return disc


def device_without_number() -> Disc:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", system_use=rock(b"a", 0o020600))
    return disc


def link_to_another_host() -> Disc:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", system_use=rock(b"a", LINK) + sl(component(b"host", 0x20), component(b"etc")))
    return disc


def name_of_nothing() -> Disc:
    disc = Disc()
    disc.root.file(b".;1", b"a")
    return disc


def name_without_an_end() -> Disc:
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", b"a", system_use=px(FILE) + nm(b"a", 1))
    return disc


def changed_entry(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]


@pytest.mark.parametrize(
    ("build", "path", "words"),
    [
        (attribute_list_cut_off, "/a", "its list of attributes is cut off"),
        (attributes_that_are_not_announced, "/a", "attributes are not shown: nothing in the root announces any"),
        (extension_announced_in_less_room, "/", "its ER entry is shorter than the texts that it announces"),
        (continuation_of_a_byte, "/a", "1 bytes behind its system use entries are none"),
        (two_continuations, "/b", "an area has two CE entries; the last one counts"),
        (partial(directory_of_another_size, 0xFFFF_F800), "/d", "4294965248 bytes of it, its own record 2048"),
        (partial(directory_of_another_size, 0), "/d", "the directory above tells 0 bytes of it, its own record 2048"),
        (directory_without_its_flag, "/d", "its flags and its mode disagree whether it is a directory"),
        (interleaving_without_need, "/a", "tells interleaving, but nothing of its data is behind a gap"),
        (impossible_time, "/a", "its TF entry has a time that no calendar has"),
        (times_without_room, "/a", "its TF entry is shorter than the times that it announces"),
        (number_of_two_halves, "/a", "the both-endian numbers of its PX entry disagree"),
        (mode_told_twice, "/a", "it has two PX entries; the last one counts"),
        (device_without_number, "/a", "a device without a number (no PN entry)"),
        (link_to_another_host, "/a", "a component of flags 32 that is not shown as it is recorded"),
        (name_of_nothing, "/_c044", "nothing of its name can be shown: it is called by its place"),
        (name_without_an_end, "/a", "its recorded name 'a' goes on where nothing follows; it is shown as 'a'"),
    ],
)
def test_what_the_reader_passes_over_is_told(
    build: Callable[[], Disc], path: str, words: str, checked: Checked
) -> None:
    image = build().build()
    found = checked.one(image, WARNINGS)
    assert (found[1], found[2]) == (path, "warning")
    assert found[3].endswith(words)
    assert open_bytes(image).findings.harmful is False


def test_names_of_joliet_that_are_no_text_are_told(checked: Checked) -> None:
    disc = Disc()
    joliet = disc.folder(None)
    joliet.file(utf16("half\ud800"), b"data")
    words = checked.one(disc.build(disc.primary(), disc.joliet(joliet), TERMINATOR), WARNINGS)[3]
    assert words.endswith("is no sound UTF-16; it is shown as 'half\ufffd'")


def test_descriptors_of_another_version_are_told(checked: Checked) -> None:
    disc = sound()
    image = overwritten(disc.build(), 16 * SECTOR + 6, b"\x09")
    words = "the primary volume descriptor is of version 9"
    assert checked.one(image, WARNINGS) == (16 * SECTOR, "", "warning", words)


def test_a_second_descriptor_that_contradicts_the_first_is_told(checked: Checked) -> None:
    disc = sound()
    assert checked.defects(disc.build(disc.primary(), disc.primary(), TERMINATOR), CLEAN) == []
    image = disc.build(disc.primary(), disc.primary(volume=b"OTHER"), TERMINATOR)
    assert checked.one(image, WARNINGS)[3] == "a second primary volume descriptor contradicts the first one"


def moved(*, leads: bool, marked: bool) -> tuple[Disc, int]:
    """A disc with a relocated directory, and the position of its record."""
    disc = Disc(rock=True)
    folder = disc.folder(disc.root, own_use=px(FOLDER), parent_use=px(FOLDER))
    use = rock(b"rr_moved", FOLDER) + (relocated() if marked else b"")
    disc.root.add(record(b"RR_MOVED", folder.extent, SECTOR, flags=DIRECTORY, system_use=use))
    deep = disc.folder(folder, own_use=px(FOLDER), parent_use=px(FOLDER) + pl(disc.root.extent))
    use = rock(b"deep", FOLDER) + relocated()
    at = folder.add(record(b"DEEP", deep.extent, SECTOR, flags=DIRECTORY, system_use=use))
    if leads:
        disc.root.file(b"ZDEEP", system_use=rock(b"deep", FOLDER) + cl(deep.extent))  # with an extent, as a file
    deep.file(b"A.;1", b"a", system_use=rock(b"a"))
    return disc, at


@pytest.mark.parametrize("marked", [False, True])
def test_the_directory_of_relocated_ones_may_be_marked_as_they_are(marked: bool, checked: Checked) -> None:
    disc, _ = moved(leads=True, marked=marked)
    block = disc.root.extent
    directories = (b"\0", block, 1), (b"RR_MOVED", block + 1, 1), (b"DEEP", block + 2, 2)
    image = with_path_tables(disc, path_table("<", *directories), path_table(">", *directories))
    assert checked.defects(image, CLEAN) == []


@pytest.mark.parametrize("marked", [False, True])
def test_a_relocated_directory_that_nothing_leads_to_is_damage(marked: bool, checked: Checked) -> None:
    disc, at = moved(leads=False, marked=marked)
    words = "the directory 'DEEP' is marked as relocated (RE), and nothing leads to it"
    assert checked.one(disc.build(), DAMAGED) == (at, "/" if marked else "/rr_moved", "damage", words)


def test_relocated_directories_that_hold_each_other_end(checked: Checked) -> None:
    disc = Disc(rock=True)
    use = rock(b"x", FOLDER) + relocated()
    first, second = disc.folder(disc.root), disc.folder(disc.root)
    first.add(record(b"SECOND", second.extent, SECTOR, flags=DIRECTORY, system_use=use))
    second.add(record(b"FIRST", first.extent, SECTOR, flags=DIRECTORY, system_use=use))
    disc.root.add(record(b"FIRST", first.extent, SECTOR, flags=DIRECTORY, system_use=use))
    assert checked.facts(disc.build(), CLEAN)["files"] == 0


def test_a_file_that_is_marked_as_relocated_is_damage(checked: Checked) -> None:
    disc = Disc(rock=True)
    at = disc.root.file(b"A.;1", b"a", system_use=rock(b"a") + relocated())
    words = "'A.;1' is marked as a relocated directory (RE) and is none: it is not shown"
    assert checked.one(disc.build(), DAMAGED) == (at, "/", "damage", words)


def test_a_nero_image_without_its_tracks_is_told(checked: Checked) -> None:
    image = bytearray(nrg([SheetEntry(1, "2048", sound().build())]))
    image[-8:] = (1 << 40).to_bytes(8, "big")
    assert checked.one(bytes(image), WARNINGS)[3].startswith("it ends as a Nero image (NRG) does, but its list")


def test_warnings_never_hide_damage(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isofs.limits.FINDINGS", 5)
    disc = Disc(rock=True, sectors=4)
    for number in range(20):
        disc.root.file(b"%02d.;1" % number, b"x", system_use=rock(b"%d" % number) + tf(0xFF))
    disc.root.file(b"Z.;1", b"x", system_use=rock(b"z") + ce(9_000_000, 0, 50))
    counts = checked.facts(disc.build(), DAMAGED)["counts"]
    assert counts["warning"] == 20
    assert counts["damage"] >= 1


def test_directories_that_share_their_sectors_end_soon(checked: Checked) -> None:
    """Each of 120 sectors begins a directory that claims all sectors behind it: 300,000 records."""
    disc = Disc(sectors=10)
    first = disc.next
    for number in range(120):
        folder = disc.folder(None)
        size = (120 - number) * SECTOR
        folder.data[:] = record(b"\0", folder.extent, size, flags=DIRECTORY)
        folder.data += record(b"\1", disc.root.extent, SECTOR, flags=DIRECTORY)
        for name in range(45):
            folder.file(b"F%02d" % name, extent=first, size=10)
        disc.root.add(record(b"D%03d" % number, folder.extent, size, flags=DIRECTORY))
    start = time.process_time()
    facts = checked.facts(disc.build(), DAMAGED)
    assert time.process_time() - start < 30
    words = "it was not looked at: the directories claim more than a disc of this size can hold"
    assert words in {found["words"] for found in facts["defects"]}
    assert facts["files"] < 50_000


def test_each_byte_of_directories_is_read_a_few_times_only(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isofs.limits.DIRECTORIES_AGAIN", 0)
    monkeypatch.setattr("isofs.limits.MIB", 0)
    assert "it was not looked at" in checked.defects(sound().build(), DAMAGED)[0][3]


# --- descriptors, path tables, boot catalogue, checksums --------------------------------------------------------------


def test_a_missing_terminator_is_told(checked: Checked) -> None:
    disc = sound()
    assert checked.one(disc.build(disc.primary()), WARNINGS)[3] == "the volume descriptors have no terminator"


def test_a_volume_that_is_too_small_for_its_files_is_told(checked: Checked) -> None:
    disc = sound()
    image = disc.build(disc.primary(space_size=20), TERMINATOR)
    assert checked.one(image, WARNINGS)[3].endswith(f"the volume has {20 * SECTOR} bytes by its descriptor")
    image = disc.build(disc.primary(space_size=9999), TERMINATOR)
    assert checked.one(image, WARNINGS)[3].startswith("the disc is shorter than its volume")
    image = disc.build(disc.primary(space_size=0), TERMINATOR)
    assert checked.one(image, CLEAN)[2:] == ("note", "the volume descriptor tells no size")


def test_path_tables_are_compared_with_the_tree(checked: Checked) -> None:
    disc = sound()
    root, docs = (b"\0", disc.root.extent, 1), (b"DOCS", disc.root.extent + 1, 1)
    little = path_table("<", root, docs, (b"GONE", 5, 1))
    image = with_path_tables(disc, little, path_table(">", root).ljust(len(little), b"\0"))
    assert [found[3] for found in checked.defects(image, WARNINGS)] == [
        "the path tables of type L and M contradict each other",
        f"the path table of type L has a directory that the tree has not, at byte {5 * SECTOR}",
        f"the path table of type M lacks a directory of the tree, at byte {docs[1] * SECTOR}",
    ]


def test_a_path_table_beyond_the_disc_is_told(checked: Checked) -> None:
    primary = bytearray(sound().primary())
    primary[132:140] = both_32(0xFFFF_FFFF)
    primary[140:144] = struct.pack("<I", 20)
    found = checked.defects(sound().build(bytes(primary), TERMINATOR), WARNINGS)
    assert [words for *_, words in found] == [
        "the path table of type M is missing",
        "the path table of type L, of 4294967295 bytes, lies beyond the end of the disc",
    ]


def test_a_boot_catalogue_is_checked(checked: Checked) -> None:
    disc = sound()
    block = disc.store(catalogue(boot_entry(disc.root.extent), boot_entry(7)))
    image = disc.build(disc.primary(), boot_record(block), TERMINATOR)
    assert checked.defects(image, CLEAN) == []
    damaged = changed(image, block * SECTOR + 31)
    assert checked.one(damaged, WARNINGS)[3] == "the boot catalogue: it does not begin with a validation entry"
    beyond = overwritten(image, block * SECTOR + 40, b"\xff\xff\xff\xff")
    beyond = overwritten(beyond, block * SECTOR, catalogue(boot_entry(0xFFFF_FFFF)))
    offset, _, weight, words = checked.one(beyond, DAMAGED)
    assert (offset, weight) == (block * SECTOR + 32, "damage")
    assert words.startswith("the boot image at sector 4294967295: ")


def with_tag(image: bytes, at: int) -> bytes:
    """The image with libisofs's sum of its first sectors behind the descriptors."""
    md5 = hashlib.md5(image[: at * SECTOR]).hexdigest()
    line = f"libisofs_rlsb32_checksum_tag_v1 pos={at} range_start=0 range_size={at} session_start=0 md5={md5}"
    line += f" self={hashlib.md5(line.encode()).hexdigest()}\n"
    return overwritten(image, at * SECTOR, line.encode())


@pytest.mark.parametrize("write", [bytes, cso, raw_disc])
def test_checksums_of_libisofs_are_compared(write: Callable[[bytes], bytes], checked: Checked) -> None:
    image = with_tag(sound().build(), 18)
    assert checked.defects(write(image), CLEAN) == []
    words = "the superblock's checksum does not fit: sectors 0 to 17 were changed"
    assert checked.one(write(changed(image, 100)), DAMAGED) == (18 * SECTOR, "", "damage", words)


# --- MD5 sums of files ------------------------------------------------------------------------------------------------


class Summed:
    """A disc with MD5 sums of its files, as libisofs writes them."""

    def __init__(self) -> None:
        place = 25  # behind the root
        self.disc = Disc(root_use=sp() + er() + px(FOLDER) + ce(place, 0, len(self.told(0, 0))))
        assert self.disc.reserve(SECTOR) == place
        self.place = place
        self.sums = [bytes(16)]

    @staticmethod
    def told(block: int, count: int) -> bytes:
        numbers = b"".join(b"\4" + number.to_bytes(4, "big") for number in (0, block, count, 16))
        return aaip.als(aaip.components(b"\4ca", numbers + b"MD5"))

    def use(self, name: bytes, data: bytes, index: int | None = None) -> bytes:
        """The system use entries of a file with such data."""
        self.sums.append(hashlib.md5(data).digest())
        told = len(self.sums) - 1 if index is None else index
        return rock(name) + aaip.als(aaip.components(b"\4cx", told.to_bytes(4, "big")))

    def file(self, name: bytes, data: bytes) -> int:
        """Adds a file; gives the position of its data."""
        at = self.disc.next
        self.disc.root.file(name.upper() + b".;1", data, system_use=self.use(name, data))
        return at * SECTOR

    def build(self) -> bytes:
        array = b"".join(self.sums)
        block = self.disc.store(array + hashlib.md5(array).digest())
        self.disc.put(self.place, self.told(block, len(self.sums) + 1))
        return self.disc.build()


def summed() -> tuple[bytes, dict[str, int]]:
    """A disc with MD5 sums of files of every kind, and a byte of each."""
    made = Summed()
    root = made.disc.root
    data = b"".join(bytes((number,)) * SECTOR for number in range(1, 6))
    at = {"/plain": made.file(b"plain", data), "/other": made.file(b"other", data[::-1])}
    made.file(b"empty", b"")
    block = made.disc.store(data)
    for name, first, last in (("long", 0, 5), ("twin", 0, 5), ("part", 1, 3)):
        use = made.use(name.encode(), data[first * SECTOR : last * SECTOR])
        size = (last - first) * SECTOR
        root.file(b"%s.;1" % name.upper().encode(), extent=block + first, size=size, system_use=use)
    at |= {"/long": block * SECTOR, "/part": (block + 1) * SECTOR}
    packed = zisofs(os.urandom(40_000))
    at["/packed"] = made.disc.next * SECTOR + len(packed) - 100
    root.file(b"PACKED.;1", packed, system_use=made.use(b"packed", packed) + zf(40_000))
    blocks = [made.disc.store(data[:SECTOR]), made.disc.store(b"between"), made.disc.store(data[:100])]
    use = made.use(b"sections", data[:SECTOR] + data[:100])
    root.add(record(b"S.;1", blocks[0], SECTOR, flags=MULTI_EXTENT, system_use=use))
    root.add(record(b"S.;1", blocks[2], 100, system_use=use))
    at["/sections"] = blocks[2] * SECTOR
    return made.build(), at


@pytest.mark.parametrize("write", [bytes, cso, raw_disc])
def test_md5_sums_of_files_are_compared(write: Callable[[bytes], bytes], checked: Checked) -> None:
    image, at = summed()
    assert not any("MD5" in words for *_, words in checked.defects(write(image), WARNINGS))  # some files overlap
    damaged = {path for path, place in at.items() if path != "/long"}
    for path in damaged:
        found = checked.defects(write(changed(image, at[path])), DAMAGED)
        paths = {path for _, path, weight, words in found if words.endswith("its MD5 sum does not fit")}
        assert paths == ({"/long", "/twin", "/part"} if path == "/part" else {path})


def test_changed_files_are_told_with_their_place(checked: Checked) -> None:
    image, at = summed()
    found = checked.defects(changed(image, at["/plain"] + 700), DAMAGED)
    words = "its data was changed: its MD5 sum does not fit"
    assert (at["/plain"], "/plain", "damage", words) in found


def test_md5_sums_that_are_damaged_accuse_no_file(checked: Checked) -> None:
    made = Summed()
    made.file(b"a", b"data")
    image = made.build()
    assert checked.defects(image, CLEAN) == []
    place = (made.disc.next - 1) * SECTOR
    words = "the MD5 sums of files do not fit their own sum: files were not compared with them"
    assert checked.one(changed(image, place + 16), DAMAGED) == (place, "", "damage", words)


def test_md5_sums_that_are_not_there_are_told(checked: Checked) -> None:
    made = Summed()
    made.disc.root.file(b"A.;1", b"a", system_use=made.use(b"a", b"a", index=7))
    words = "the disc has no MD5 sum 7, which it is told to have"
    assert checked.one(made.build(), WARNINGS)[1:] == ("/a", "warning", words)


def test_md5_sums_at_an_impossible_place_are_told(checked: Checked) -> None:
    made = Summed()
    made.file(b"a", b"data")
    image = made.build()
    for told in (made.told(9_000_000, 3), made.told(20, 0xFFFF_FFFF), made.told(20, 1)):
        words = checked.one(overwritten(image, made.place * SECTOR, told), DAMAGED)[3]
        assert words == "what the root tells of the MD5 sums of files (isofs.ca) cannot be right"


@pytest.mark.parametrize("options", [("-md5", "on"), ("-for_backup",)])
def test_md5_sums_of_xorriso_are_understood(options: tuple[str, ...], checked: Checked, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "folder").mkdir(parents=True)
    data = {name: os.urandom(5000 + 3000 * number) for number, name in enumerate(("a", "b", "folder/c", "packed"))}
    for name, content in data.items():
        (source / name).write_bytes(content)
    os.link(source / "a", source / "folder/hard")
    (source / "copy").write_bytes(data["b"])
    (source / "empty").touch()
    (source / "packed").write_bytes(bytes(50_000) + data["packed"])
    path = tmp_path / "made.iso"
    command = [require("xorriso"), *options, "-outdev", str(path), "-map", str(source), "/"]
    subprocess.run([*command, "-set_filter", "--zisofs", "/packed", "--", "-commit"], check=True, capture_output=True)
    image = path.read_bytes()
    assert checked.defects(image, CLEAN) == []
    place = image.index(data["folder/c"])
    found = checked.defects(changed(image, place + 4321), DAMAGED)
    assert (place, "/folder/c", "damage", "its data was changed: its MD5 sum does not fit") in found
    assert {path for _, path, *_ in found} == {"", "/folder/c"}  # and the sum of the session
    found = checked.defects(changed(image, image.index(data["a"]) + 4321), DAMAGED)
    assert {path for _, path, *_ in found} >= {"/a", "/folder/hard"}


# --- the image --------------------------------------------------------------------------------------------------------


def damaged_block(image: bytes, number: int) -> bytes:
    """A CSO whose block is no deflate stream."""
    begin, end = (entry(image, i) & 0x7FFF_FFFF for i in (number, number + 1))
    return overwritten(image, begin, b"\xff" * (end - begin))


def test_a_damaged_block_is_told_with_the_file_that_needs_it(checked: Checked) -> None:
    disc = Disc()
    disc.root.file(b"A.;1", b"a" * 3 * SECTOR)
    disc.root.file(b"B.;1", b"b" * 3 * SECTOR)
    image = damaged_block(cso(disc.build()), disc.next - 2)
    offset, path, weight, words = checked.one(image, DAMAGED)
    assert (offset, path, weight) == ((disc.next - 2) * SECTOR, "/b", "damage")
    assert words.startswith(f"block {disc.next - 2} at byte ")


def test_a_damaged_block_of_two_files_is_told_with_one_of_them(checked: Checked) -> None:
    disc = Disc()
    block = disc.store(b"shared" * 100)
    for name in (b"A.;1", b"B.;1", b"C.;1"):
        disc.root.file(name, extent=block, size=600)
    offset, path, _, words = checked.one(damaged_block(cso(disc.build()), block), DAMAGED)
    assert (offset, path) == (block * SECTOR, "/a")
    assert words.endswith(" (and 2 more files)")


def test_a_sector_whose_edc_does_not_fit_is_told_with_its_file(checked: Checked) -> None:
    disc = Disc()
    folder = disc.root.directory(b"D")
    folder.file(b"A.;1", b"a" * 3 * SECTOR)
    number = disc.next - 2
    offset, path, weight, words = checked.one(changed(raw_disc(disc.build()), number * 2352 + 300), DAMAGED)
    assert (offset, path, weight) == (number * SECTOR, "/d/a", "damage")
    assert words == f"sector {number} at byte {number * 2352}: its EDC does not fit"


def test_a_file_in_an_audio_track_is_damage(checked: Checked) -> None:
    disc = Disc()
    at = disc.root.file(b"SONG.;1", extent=disc.next + 10, size=SECTOR)
    data = disc.build()
    image = nrg([SheetEntry(1, "2048", data), SheetEntry(2, "audio", audio(300), len(data) // SECTOR)])
    found = checked.defects(image, DAMAGED)
    assert [(offset, path, weight) for offset, path, weight, _ in found if weight == "damage"] == [
        (at, "/song", "damage")
    ]


def test_an_image_without_a_tree_is_damaged(checked: Checked) -> None:
    disc = sound()
    image = disc.build(disc.primary(block_size=3), TERMINATOR)
    assert checked.one(image, DAMAGED)[3].startswith("a volume descriptor tells logical blocks of 3 bytes")


def test_an_image_that_cannot_be_opened_is_an_error_as_everywhere(checked: Checked) -> None:
    code, out, err = checked.run(checked.path(b"no disc" * 10_000))
    assert (code, out) == (32, "")
    assert err.startswith("isofs: ")


# --- telling ----------------------------------------------------------------------------------------------------------


def test_a_line_for_each_defect_and_one_for_all(checked: Checked) -> None:
    disc = Disc(rock=True)
    at = disc.root.file(b"A.;1", b"a", system_use=rock(b"a/\x1b[31m"))
    code, out, err = checked.run(checked.path(disc.build()))
    note, defect, last = out.splitlines()
    assert (code, err) == (1, "")
    assert note == "note: byte 32768: the disc has no path table"
    assert defect.startswith(f"warning: byte {at}: /a_\\x1b[31m: its recorded name 'a/\\x1b[31m' holds a slash")
    assert last == f"warnings: plain disc image, 1 warning, 1 note; checked 1 file, {len(disc.build())} bytes"


def test_a_terminal_shows_how_far_it_is(checked: Checked) -> None:
    disc = Disc(rock=True)
    packed = zisofs(os.urandom(8_000_000))
    disc.root.file(b"Z.;1", packed, system_use=rock(b"z") + zf(8_000_000))
    code, seen = on_terminal(command("check", checked.path(disc.build())))
    assert code == 0
    assert b"tree: " in seen
    assert b"%|" in seen
    assert b"clean: plain disc image" in seen


def test_of_many_defects_the_first_are_told_and_all_are_counted(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isofs.limits.FINDINGS", 10)
    disc = Disc(rock=True, sectors=4)
    for number in range(25):
        disc.root.file(b"%02d.;1" % number, b"x", system_use=rock(b"a/%d" % number))
    image = checked.path(disc.build())
    _, out, _ = checked.run(image)
    lines = out.splitlines()
    assert len([line for line in lines if line.startswith("warning: byte")]) == 10
    assert "warning: 15 more" in lines
    assert "25 warnings" in lines[-1]
    assert checked.facts(image, WARNINGS)["counts"]["warning"] == 25


def test_directories_are_looked_at_to_a_depth(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isofs.limits.DEPTH", 20)
    monkeypatch.setattr("isofs.cli.check._PATH_SHOWN", 100)
    disc = Disc()
    folder: Folder = disc.root
    for _ in range(30):
        folder = folder.directory(b"DIRECTORY")
    offset, path, _, words = checked.one(disc.build(), WARNINGS)
    assert words.startswith("directories are nested more than 20 deep")
    assert offset == disc.root.place + 21 * SECTOR
    assert path == ".../" + "/".join(["directory"] * 11)
