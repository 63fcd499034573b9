"""Each limit has a test that crosses it: here those of no other file, and the proof that none is without."""

from __future__ import annotations

import gzip as library
import lzma
import re
import struct
from pathlib import Path

import pytest
from fuzz.bits import bgzf_member, dictzip
from writers import chd, sheets
from writers.aaip import acl, als, components
from writers.containers import cso, sample_disc
from writers.containers import zso as make_zso
from writers.discs import (
    DIRECTORY,
    FILE,
    SECTOR,
    TERMINATOR,
    Disc,
    MemorySource,
    both_32,
    ce,
    entry,
    nm,
    open_source,
    px,
    record,
    zf,
    zisofs,
)
from writers.sources import Memory

import isofs
from isofs import limits
from isofs.cli import main
from isofs.errors import ImageError, IsofsError, UnsupportedError, UsageError
from isofs.image import chd as chd_reader
from isofs.image import gzip, open_image, places, refusals, sectors, xz, zso, zstd
from isofs.image import zisofs as zisofs_reader
from isofs.image.blockmap import Index
from isofs.image.chd import flac
from isofs.image.chd import map as chd_map
from isofs.image.chd import tracks as chd_tracks
from isofs.image.sheets import tracks
from isofs.image.stretches import Stretches
from isofs.image.wishes import Wishes
from isofs.mount.options import DEFAULTS, parse_options
from isofs.volume.iso9660 import aaip
from isofs.volume.iso9660.eltorito import read_catalogue
from isofs.volume.iso9660.structure import in_path_tables
from isofs.volume.tree import ROOT, walk

Patch = pytest.MonkeyPatch
WISHES = Wishes(keep_index=False)
UNITS = {"KIB", "MIB"}
BOUNDS = {
    "image/gzip.py": ("_LONGEST_HEADER", "_BGZF_BLOCK", "_POINTS", "_LONGEST_BLOCK"),
    "image/xz.py": ("_PADDING", "_INDEX_SIZE", "_SLOW"),
    "image/zstd.py": ("_LONGEST_BLOCK",),
    "image/zso.py": ("_SAMPLES", "_SEARCHED"),
    "image/places.py": ("_DESCRIPTORS", "_ROOTS", "_MOST"),
    "image/sectors.py": ("_DESCRIPTORS", "_SYNC_SEARCH"),
    "image/refusals.py": ("_DESCRIPTORS",),
    "image/chd/map.py": ("_MOST_IN_A_BIT",),
    "image/chd/flac.py": ("_LONGEST",),
    "image/chd/tracks.py": ("_MOST_FRAMES",),
    "image/sheets/tracks.py": ("_SECTORS",),
}
"""What bounds the work of one format alone, in the module that reads it."""


def test_each_limit_is_crossed_by_a_test_that_names_it() -> None:
    names = re.findall(r"(?m)^([A-Z][A-Z_0-9]+): Final", Path(str(limits.__file__)).read_text())
    tests = "".join(path.read_text() for path in sorted(Path(__file__).parent.rglob("test_*.py")))
    named = {name for name in names if re.search(rf'limits\.{name}\b|limits, "{name}"', tests)}
    assert set(names) - named - UNITS == set()


def test_each_limit_says_its_reason() -> None:
    text = Path(str(limits.__file__)).read_text()
    for name in re.findall(r"(?m)^([A-Z][A-Z_0-9]+): Final", text):
        assert name in UNITS or re.search(rf'(?m)^{name}: Final = .*\n"""', text), name


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in BOUNDS.items() for name in names])
def test_each_bound_of_one_format_says_its_reason_and_is_crossed_by_a_test_that_names_it(path: str, name: str) -> None:
    text = (Path(isofs.__file__).parent / path).read_text()
    assert re.search(rf'(?m)^{name}: Final = .*\n"""', text)
    module = "(chd_)?" + Path(path).stem
    tests = "".join(path.read_text() for path in sorted(Path(__file__).parent.rglob("test_*.py")))
    assert re.search(rf'\b{module}\.{name}\b|\b{module}, "{name}"', tests)


def test_limits_stand_nowhere_else() -> None:
    """No module gives a limit a value of its own by assigning to it."""
    for path in sorted(Path(isofs.__file__).parent.rglob("*.py")):
        assert not re.search(r"(?m)^\s*limits\.[A-Z_]+\s*=[^=]", path.read_text()), path


# --- images ---------------------------------------------------------------------------------------------------------


def test_tracks_of_a_sheet(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(2352 * 1000))
    tracks = [f"TRACK {n:02} AUDIO\nINDEX 01 {sheets.msf(n)}\n" for n in range(1, limits.TRACKS + 2)]
    sheet = tmp_path / "a.cue"
    sheet.write_text('FILE "a.bin" BINARY\n' + "".join(tracks[:-1]))
    with open_image(str(sheet)) as image:
        assert len(image.tracks) == limits.TRACKS
    sheet.write_text('FILE "a.bin" BINARY\n' + "".join(tracks))
    with pytest.raises(ImageError):
        open_image(str(sheet))


def chunked(tmp_path: Path, *chunks: bytes) -> Path:
    """A Nero image of one track with more chunks in front of those that tell it."""
    image = sheets.nrg([sheets.Entry(1, "2048", sheets.iso())])
    at = image.index(b"CUEX")
    path = tmp_path / "a.nrg"
    path.write_bytes(image[:at] + b"".join(chunks) + image[at:])
    return path


def test_chunks_of_a_nero_image(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "CHUNKS", 20)
    empty = b"CDTX" + bytes(4)
    with open_image(str(chunked(tmp_path, *[empty] * 15))) as image:
        assert len(image.tracks) == 1
    with pytest.raises(ImageError, match="more than 20 chunks"):
        open_image(str(chunked(tmp_path, *[empty] * 16)))


def test_indexes_of_a_nero_image(tmp_path: Path, monkeypatch: Patch) -> None:
    image = sheets.nrg([sheets.Entry(1, "2048", sheets.iso(), start=500)])
    path = tmp_path / "a.nrg"
    path.write_bytes(image)
    with open_image(str(path)) as opened:
        assert opened.tracks[0].start == 500
    monkeypatch.setattr(limits, "INDEXES", 1)  # that of the lead-in: what follows is not read
    with open_image(str(path)) as opened:
        assert opened.tracks[0].start != 500


@pytest.mark.parametrize("size", [limits.CHD_HUNK[0] // 2, limits.CHD_HUNK[-1] * 2])
def test_hunks_of_a_chd_image(size: int) -> None:
    disc = bytes(2 * limits.CHD_HUNK[-1])
    image = chd.version_5(chd.usual(disc, 2048), 2048, len(disc), disc=disc)
    with pytest.raises(ImageError, match=f"hunks of {size}"):
        chd_reader.open_map(Memory(image[:56] + struct.pack(">I", size) + image[60:]))


def test_metadata_of_a_chd_image() -> None:
    disc = sample_disc(8)

    def image(size: int) -> Memory:
        return Memory(chd.version_5(chd.usual(disc, 4096), 4096, len(disc), metadata=[(b"ABCD", 0, bytes(size))]))

    chd_reader.open_map(image(limits.CHD_METADATA_SIZE))
    with pytest.raises(ImageError, match=f"more than {limits.CHD_METADATA_SIZE}"):
        chd_reader.open_map(image(limits.CHD_METADATA_SIZE + 1))


def test_pages_of_an_index_that_are_kept(monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "INDEX_PAGE", 4)
    monkeypatch.setattr(limits, "INDEX_PAGES", 3)
    source = Memory(struct.pack("<100I", *range(100)))
    index = Index(source, 0, "I", 100)
    for first in range(0, 100, 4):
        assert list(index.entries(first, 4)) == list(range(first, first + 4))
    assert {n for n, _ in source.reads} == {16}
    assert len(index._pages) == 3
    before = len(source.reads)
    index.entries(96, 4)
    assert len(source.reads) == before
    index.entries(0, 4)
    assert len(source.reads) == before + 1


def test_decoded_bytes_that_are_kept(monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "STRETCH", 250)
    asked = []

    def decode(offset: int) -> tuple[int, bytes]:
        asked.append(offset)
        return offset - offset % 100, bytes(100)

    stretches = Stretches(1000, decode)
    for offset in (*range(0, 1000, 100), 900, 800):
        assert stretches.pread(5, offset) == bytes(5)
    assert asked == list(range(0, 1000, 100))
    stretches.pread(5, 700)
    assert asked[-1] == 700


def test_places_to_begin_from_in_a_gzip_file(monkeypatch: Patch) -> None:
    image = b"".join(library.compress(bytes(5000), 1) for _ in range(40))
    gzip.open_map(Memory(image), WISHES)
    monkeypatch.setattr(limits, "PASS_POINTS", 20)
    with pytest.raises(UnsupportedError, match="too many members"):
        gzip.open_map(Memory(image), WISHES)


def windowed(log: int) -> bytes:
    """The header of a zstd frame that wants a window of 2^log bytes, and a last block of nothing."""
    return b"\x28\xb5\x2f\xfd" + bytes((0, log - 10 << 3)) + b"\1\0\0"


def test_window_of_a_zstd_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.zst"
    for more in (1, 4):
        path.write_bytes(windowed(limits.ZSTD_WINDOW_LOG + more) + windowed(20))
        with pytest.raises(UnsupportedError, match="window of"):
            open_image(str(path))
    path.write_bytes(windowed(limits.ZSTD_WINDOW_LOG) + windowed(20))
    with pytest.raises(IsofsError) as caught:  # it holds nothing, and that is all that is wrong with it
        open_image(str(path))
    assert "window" not in str(caught.value)


@pytest.mark.parametrize("log2", [limits.ZISOFS_LOG2[0] - 1, limits.ZISOFS_LOG2[-1] + 1, 31, 255])
def test_blocks_of_a_zisofs_file(log2: int) -> None:
    sound = zisofs(sample_disc(40), version=2)
    zisofs_reader.open_map(Memory(sound))
    with pytest.raises(ImageError, match=rf"2\^{log2} bytes"):
        zisofs_reader.open_map(Memory(sound[:11] + bytes((log2,)) + sound[12:]))


def test_blocks_that_are_decoded_in_runs(tmp_path: Path) -> None:
    disc = Disc()
    disc.root.file(b"A.;1", bytes(3 * limits.RUN_BLOCK_SIZE))
    path = tmp_path / "a.cso"
    for size in (limits.RUN_BLOCK_SIZE, 2 * limits.RUN_BLOCK_SIZE):
        path.write_bytes(cso(disc.build(), block_size=size))
        with open_image(str(path)) as image:
            assert (image.runs is not None) == (size == limits.RUN_BLOCK_SIZE)


@pytest.mark.parametrize("text", [f"threads={limits.THREADS + 1}", f"readahead={limits.READAHEAD + 1}"])
def test_options_that_take_memory(text: str) -> None:
    with pytest.raises(UsageError):
        parse_options([text])


def test_cache_that_nobody_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.cso"
    path.write_bytes(cso(sheets.iso()))
    with open_image(str(path)) as image:
        assert image.cache.limit <= limits.CACHE_DEFAULT == DEFAULTS.cache


# --- volumes --------------------------------------------------------------------------------------------------------


def test_names_of_one_directory() -> None:
    disc = Disc(sectors=2)
    folder = disc.folder(disc.root)
    folder.file(b"INSIDE.;1")
    for i in range(limits.DIRECTORY_NAMES + 2):
        disc.root.add(record(b"DIR%02d" % i, folder.extent, folder.size, flags=DIRECTORY))
    volume = disc.open()
    steps = list(walk(volume, volume.attributes(ROOT)))
    inside = [step for step in steps if step.path.endswith(b"/inside")]
    assert len(inside) <= limits.DIRECTORY_NAMES
    entries = volume.entries(ROOT)
    assert len(entries) <= limits.DIRECTORY_NAMES + 2


def test_size_of_a_file() -> None:
    disc = Disc(rock=True)
    sparse = entry(b"SF", both_32(0xFFFFFFFF) + both_32(0xFFFFFFFF) + b"\x40")
    disc.root.file(b"A.;1", b"x", system_use=px(FILE) + nm(b"a") + sparse)
    volume = disc.open()
    (found,) = volume.entries(ROOT)
    assert found.attributes is not None
    assert found.attributes.size <= limits.FILE_SIZE


def test_name_is_cut_before_it_is_shown(monkeypatch: Patch) -> None:
    """Of a name in many entries no more is joined than can be of use."""
    monkeypatch.setattr(limits, "NAME_COLLECTED", 40)
    disc = Disc(rock=True)
    area = nm(b"n" * 30, 1) * 9 + nm(b"n")
    block = disc.store(area)
    disc.root.file(b"A.;1", system_use=px(FILE) + ce(block, 0, len(area)))
    volume = disc.open()
    assert [found.name for found in volume.entries(ROOT)] == [b"n" * 40]


def bootable(*entries: bytes) -> MemorySource:
    """A disc whose boot catalogue goes on with these entries."""
    head = bytearray(b"\1".ljust(30, b"\0") + b"\x55\xaa")
    head[28:30] = (-sum(struct.unpack("<16H", head)) & 0xFFFF).to_bytes(2, "little")
    disc = Disc()
    catalogue = disc.store(bytes(head) + image_entry() + b"".join(entries))
    boot = b"\0CD001\1" + b"EL TORITO SPECIFICATION".ljust(64, b"\0") + struct.pack("<I", catalogue)
    return MemorySource(disc.build(disc.primary(), boot.ljust(SECTOR, b"\0"), TERMINATOR))


def image_entry() -> bytes:
    return struct.pack("<BBHBBHI20x", 0x88, 0, 0, 0, 0, 1, 20)


def section(count: int, *, last: bool = False) -> bytes:
    return struct.pack("<BBH28x", 0x91 if last else 0x90, 0, count)


def test_sections_of_a_boot_catalogue(monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "BOOT_SECTIONS", 3)
    for count, damaged in ((2, False), (3, True)):
        found = read_catalogue(bootable(*[section(1) + image_entry()] * count, section(1, last=True) + image_entry()))
        assert found is not None
        assert bool(found.damage) == damaged
        assert len(found.images) == 4


def test_images_of_a_boot_catalogue(monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "BOOT_ENTRIES", 5)
    for count, damaged in ((4, False), (5, True)):
        found = read_catalogue(bootable(section(count, last=True), *[image_entry()] * count))
        assert found is not None
        assert bool(found.damage) == damaged
        assert len(found.images) == 5


def shown(*parts: bytes) -> tuple[dict[bytes, bytes], list[str]]:
    """The attributes of a file, from names and values, and what is said of them."""
    said: list[str] = []
    raw = als(components(*parts))
    entries = []
    while raw:
        entries.append((raw[:2], raw[: raw[2]]))
        raw = raw[raw[2] :]
    return aaip.attributes(entries, lambda: FILE, said.append), said


def test_name_of_an_attribute() -> None:
    most = limits.ATTRIBUTE_NAME - len(b"user.")
    assert shown(b"\3" + b"n" * most, b"v") == ({b"user." + b"n" * most: b"v"}, [])
    found, said = shown(b"\3" + b"n" * (most + 1), b"v")
    assert (found, len(said)) == ({}, 1)


def test_value_of_an_attribute_and_all_names_of_a_file(monkeypatch: Patch) -> None:
    monkeypatch.setattr(limits, "ATTRIBUTE_SIZE", 50)
    assert shown(b"\3n", b"v" * 50)[0] == {b"user.n": b"v" * 50}
    assert shown(b"\3n", b"v" * 51)[0] == {}
    several = [part for i in range(10) for part in (b"\3%d" % i, b"v")]
    assert len(shown(*several)[0]) == 50 // len(b"user.0\0")


def test_entries_of_an_access_control_list() -> None:
    for users, there in ((limits.ACL_ENTRIES - 4, True), (limits.ACL_ENTRIES - 3, False)):
        named = [(2, 4, number) for number in range(users)]
        value = acl((1, 6), *named, (4, 4), (16, 4), (32, 4))
        found, said = shown(b"\2posix_acl_access", value)
        assert bool(found) == there
        assert bool(said) != there


def test_path_table(monkeypatch: Patch) -> None:
    table = b"\1\0" + struct.pack("<IH", 24, 1) + b"\0\0"
    disc = Disc()
    assert disc.root.extent == 24
    at = disc.store(table)
    other = disc.store(b"\1\0" + struct.pack(">IH", 24, 1) + b"\0\0")
    primary = bytearray(disc.primary(path_tables=(at, other)))
    primary[132:140] = both_32(len(table))
    memory = MemorySource(disc.build(bytes(primary), TERMINATOR))
    volume = open_source(memory)

    def said() -> str:
        return " ".join(oddity.words for oddity in in_path_tables(volume, memory, 0, {24 * SECTOR}))

    assert "claims" not in said()
    monkeypatch.setattr(limits, "PATH_TABLE", len(table) - 1)
    assert f"claims {len(table)} bytes" in said()


# --- limits of one format, beside what reads it ---------------------------------------------------------------------


def test_stretch_of_a_gzip_file_without_a_place_to_begin_from(monkeypatch: Patch) -> None:
    image = library.compress(sample_disc(100), 1)
    gzip.open_map(Memory(image), WISHES)
    monkeypatch.setattr(gzip, "_LONGEST_BLOCK", 100_000)
    with pytest.raises(UnsupportedError, match="cannot be read in place"):
        gzip.open_map(Memory(image), WISHES)


def test_index_of_an_xz_file(monkeypatch: Patch) -> None:
    image = lzma.compress(sample_disc(4), preset=0)
    xz.open_map(Memory(image))
    monkeypatch.setattr(xz, "_INDEX_SIZE", 11)
    with pytest.raises(ImageError, match="the xz index of 12 bytes"):
        xz.open_map(Memory(image))


@pytest.mark.parametrize("size", [zstd._LONGEST_BLOCK, zstd._LONGEST_BLOCK + 1, 1 << 20])
def test_block_of_a_zstd_frame(tmp_path: Path, size: int) -> None:
    """RFC 8878: 128 KiB at most. A block that is one byte, repeated, takes 4 bytes and claims what it likes."""
    repeated = b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", size) + (size << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"A"
    path = tmp_path / "a.zst"
    path.write_bytes(repeated * 2)
    with pytest.raises(IsofsError) as caught:
        open_image(str(path))
    assert ("no zstd block" in str(caught.value)) == (size > zstd._LONGEST_BLOCK)


@pytest.mark.parametrize("frames", [chd_tracks._MOST_FRAMES + 1, 99_999_999, 10**30])
def test_frames_of_a_chd_track(frames: int) -> None:
    disc = bytes(8 * 2448)
    image = chd.version_5(
        chd.usual(disc, len(disc)), len(disc), len(disc), unit=2448, metadata=[chd.track(1, "MODE1", frames)]
    )
    with pytest.raises(ImageError, match=f"FRAMES '{frames}'"):
        chd_reader.open_map(Memory(image))


def test_samples_that_a_few_bytes_of_flac_claim() -> None:
    assert flac._LONGEST >= 65_536  # samples of the shortest frame
    with pytest.raises(ImageError, match="end too early"):
        flac.decode(b"\xff\xf8" * 4, 8 * 65_536 + 1)


def test_sector_of_a_session_that_tells_no_place(tmp_path: Path, monkeypatch: Patch) -> None:
    """A volume whose root lies where no CD has a sector is not moved there."""
    disc = Disc()
    disc.root.file(b"A.;1", b"hello")
    image = bytearray(disc.build())
    for far, moved in ((300_000, True), (places._MOST + 1, False)):
        at = 16 * SECTOR + 158
        image[at : at + 8] = both_32(disc.root.extent + far)
        root = disc.root.extent * SECTOR
        for record_at in (root, root + 34):
            image[record_at + 2 : record_at + 10] = both_32(disc.root.extent + far)
        path = tmp_path / "a.iso"
        path.write_bytes(image)
        with open_image(str(path)) as opened:
            assert bool(opened.tracks) == moved
    monkeypatch.setattr(places, "_ROOTS", 2)
    image[at : at + 8] = image[root + 2 : root + 10] = image[root + 36 : root + 44] = both_32(
        300_000 + disc.root.extent
    )
    path.write_bytes(image)
    with open_image(str(path)) as opened:
        assert not opened.tracks


def test_header_of_a_dictzip_file() -> None:
    disc = sample_disc(4)
    sound = dictzip(disc, 3000)
    behind = 12 + int.from_bytes(sound[10:12], "little")
    for n, found in ((1, True), (gzip._LONGEST_HEADER - behind - 1, True), (gzip._LONGEST_HEADER - behind, False)):
        named = bytearray(sound[:behind] + b"n" * n + b"\0" + sound[behind:])
        named[3] |= 8  # FNAME
        assert (gzip.open_map(Memory(bytes(named)), WISHES).format == "dictzip") == found


def test_member_of_a_bgzf_file() -> None:
    for size, found in ((gzip._BGZF_BLOCK, True), (gzip._BGZF_BLOCK + 1, False)):
        image = bgzf_member(bytes(size)) + bgzf_member(bytes(100)) + bgzf_member(b"")
        assert (gzip.open_map(Memory(image), WISHES).format == "BGZF") == found


def test_padding_behind_a_stream_of_an_xz_file() -> None:
    image = lzma.compress(sample_disc(4), preset=0)
    most = xz._PADDING - 12  # the footer is in what is looked through
    xz.open_map(Memory(image + bytes(most)))
    with pytest.raises(ImageError, match="no footer"):
        xz.open_map(Memory(image + bytes(most + 4)))


@pytest.mark.parametrize("padding", [0, 4])
def test_many_small_streams_of_an_xz_file_take_no_large_reads(padding: int) -> None:
    image = lzma.compress(sample_disc(4), preset=0) + (lzma.compress(b"", preset=0) + bytes(padding)) * 300
    source = Memory(image)
    xz.open_map(source)
    assert sum(n for n, _ in source.reads) < limits.MIB


def test_blocks_of_a_zso_image_that_tell_its_codec() -> None:
    """All blocks but the last are stored plain: it would take a look at each of them to find that one."""
    disc = sample_disc(8 * zso._SAMPLES * zso._SEARCHED)
    source = Memory(make_zso(disc, plain_every=1))
    zso.open_map(source)
    assert len(source.reads) < 2 * zso._SAMPLES * zso._SEARCHED
    blocks = 8 * zso._SAMPLES * zso._SEARCHED
    assert sum(n for n, _ in source.reads) < blocks * 2048 // 4


def test_sectors_in_which_descriptors_are_looked_for(tmp_path: Path) -> None:
    """Those of UDF may stand in front of the volume's, but not any number of them."""
    disc = Disc()
    disc.root.file(b"A.;1", b"hello")
    sound = disc.build()
    path = tmp_path / "a.iso"
    most = sectors._DESCRIPTORS
    assert most == places._DESCRIPTORS == refusals._DESCRIPTORS
    beginning = b"\0BEA01\1".ljust(SECTOR, b"\0")
    for at, refused in ((most - 1, True), (most, False)):
        path.write_bytes(bytes(16 * SECTOR) + bytes(at * SECTOR) + beginning + bytes(40 * SECTOR))
        with pytest.raises(IsofsError) as caught:
            open_image(str(path))
        assert ("UDF" in str(caught.value)) == refused
    for before, found in ((most - 1, True), (most, False)):
        source = Memory(sound[: 16 * SECTOR] + bytes(before * SECTOR) + sound[16 * SECTOR :])
        assert (sectors.find_layout(source) is not None) == found
        track = sectors.Track(1, "mode 1", 0, source.size // SECTOR, source, 0, SECTOR)
        assert bool(places._primary(track)) == found


def test_sync_patterns_that_are_looked_for() -> None:
    raw = sheets.stored(sheets.iso(), "1/2352")
    for before in (sectors._SYNC_SEARCH - 3 * 2352, sectors._SYNC_SEARCH):
        source = Memory(b"\1" * before + raw)
        assert (sectors.find_raw(source) is not None) == (before < sectors._SYNC_SEARCH)
        assert source.reads[0] == (sectors._SYNC_SEARCH, 0)


def test_hunks_that_a_short_map_of_a_chd_image_claims() -> None:
    image = bytearray(chd.version_5([chd.Hunk(4, bytes(4096))], 4096, 4096))
    at = int.from_bytes(image[40:48], "big")
    length = int.from_bytes(image[at : at + 4], "big")
    most = 8 * length * chd_map._MOST_IN_A_BIT
    for hunks, refused in ((most, False), (most + 1, True)):
        image[32:40] = (4096 * hunks).to_bytes(8, "big")
        with pytest.raises(ImageError) as caught:
            chd_reader.open_map(Memory(bytes(image)))
        assert (f"for {hunks} hunks" in str(caught.value)) == refused


def test_sector_where_a_track_of_a_sheet_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.nrg"
    data = sheets.iso()
    last = tracks._SECTORS - len(data) // SECTOR
    for start in (last, last + 1):
        path.write_bytes(sheets.nrg([sheets.Entry(1, "2048", data, start=start)]))
        if start == last:
            with open_image(str(path)) as image:
                assert image.tracks[0].end == tracks._SECTORS
        else:
            with pytest.raises(ImageError, match="no disc has one"):
                open_image(str(path))


def checked(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `isofs check` says about an image."""
    main(["check", str(path)])
    said = capsys.readouterr()
    return said.out + said.err


def test_pieces_that_are_compared_with_each_other(
    tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    disc = Disc()
    for i in range(9):
        disc.root.file(b"F%d.;1" % i, b"data")
    path = tmp_path / "a.iso"
    path.write_bytes(disc.build())
    assert "pieces of files" not in checked(path, capsys)
    monkeypatch.setattr(limits, "PIECES_CHECKED", 5)
    assert "more than 5 pieces of files" in checked(path, capsys)


def test_bytes_that_are_decoded_beyond_those_of_the_disc(
    tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    zeros = bytes(2 * limits.MIB)
    disc = Disc(rock=True)
    disc.root.file(b"A.;1", zisofs(zeros), system_use=px(FILE) + nm(b"zeros") + zf(len(zeros)))
    path = tmp_path / "a.iso"
    path.write_bytes(disc.build())
    assert "too much" not in checked(path, capsys)
    monkeypatch.setattr(limits, "DECODED_AGAIN", 1)
    assert "too much of what the disc can hold" in checked(path, capsys)
