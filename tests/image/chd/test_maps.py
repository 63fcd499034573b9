"""Maps, headers and metadata of all versions, of images by a writer of our own, sound and hostile."""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from types import ModuleType
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from writers.chd import (
    COPY,
    PARENT,
    PLAIN,
    Entry,
    Hunk,
    Metadata,
    blocks_of,
    crc_16,
    deflated,
    map_5,
    number,
    old,
    old_usual,
    overall,
    sha1,
    track,
    uncompressed,
    usual,
    version_5,
)
from writers.sources import Memory, assert_same, damaged_blocks

from isofs import limits
from isofs.errors import ImageError, UnsupportedError
from isofs.image import chd
from isofs.image.blockmap import CRC_16, CRC_32, BlockMap
from isofs.image.cache import BlockCache
from isofs.image.disc import Disc

Twin = tuple[ModuleType, ModuleType]

SIZE: Final = 4096


def sample() -> bytes:
    """Text, noise, eight bytes repeated, zeros, text again, and an end amid a hunk."""
    chance = random.Random(5)
    text = b"".join(b"%d bottles of beer on the wall\n" % i for i in range(600))
    text = text[: len(text) // SIZE * SIZE]
    return text + chance.randbytes(3 * SIZE) + b"patterns" * SIZE + bytes(3 * SIZE) + text + b"the end"


DISC: Final = sample()
DVD: Final[Metadata] = (b"DVD ", 1, b"\0")


class Joined:
    """A file and behind it, from `at` on, a parent's decoded bytes, its last hunk whole."""

    def __init__(self, source: Memory, parent: Disc, at: int) -> None:
        self.source, self.parent, self.at = source, parent, at
        self.size = at + parent.blocks.count * parent.blocks.block_size

    def pread(self, n: int, offset: int) -> bytes:
        if offset < self.at:
            return self.source.pread(n, offset)
        n = max(min(n, self.size - offset), 0)
        return self.parent.pread(n, offset - self.at).ljust(n, b"\0")


def opened(image: bytes, parent: Disc | None = None) -> Disc:
    source = Memory(image)
    blocks = chd.open_map(source)
    joined = source if parent is None else Joined(source, parent, blocks.parent_at)
    return Disc(joined, blocks, BlockCache(1 << 20))


def verified(blocks: BlockMap, disc: bytes) -> dict[str, bool]:
    """Which checksums of a map fit."""
    found = {}
    for checksum in blocks.checksums:
        digest = hashlib.new(checksum.algorithm, disc).digest()
        found[checksum.name] = checksum.expected == (checksum.derived(digest) if checksum.derived else digest)
    return found


# --- version 5 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2048, 4096, 6144, 65536])
def test_version_5_reads_as_the_disc(twin: Twin, size: int) -> None:
    metadata = (DVD, (b"TEST", 0, b"not part of it"), (b"ABCD", 1, b"part of it"))
    image = version_5(usual(DISC, size), size, len(DISC), disc=DISC, metadata=metadata)
    disc = opened(image)
    assert_same(disc, DISC)
    assert verified(disc.blocks, DISC) == {"SHA-1": True, "SHA-1 with metadata": True}
    assert disc.blocks.format == "CHD version 5"
    assert disc.blocks.block_size == size
    assert disc.blocks.tracks == ()
    assert disc.blocks.parent == b""
    assert chd.identity(Memory(image)) == overall(sha1(DISC), metadata)


def test_facts_count_hunks_by_kind() -> None:
    disc = opened(version_5(usual(DISC, SIZE), SIZE, len(DISC)))
    counts = disc.blocks.facts["hunks"]
    assert isinstance(counts, dict)
    hunks = blocks_of(DISC, SIZE)
    assert counts["plain"] == 3
    assert counts["plain"] + counts["deflate"] == len(hunks)
    assert counts["repeated"] == len(hunks) - len(set(hunks))
    assert disc.blocks.facts["unit bytes"] == 2048


def test_each_hunk_has_its_check() -> None:
    disc = opened(version_5(usual(DISC, SIZE), SIZE, len(DISC)))
    checks = disc.blocks.rows(0, disc.blocks.count).checks
    assert disc.blocks.checked
    assert checks is not None
    assert list(checks) == [CRC_16 | crc_16(block) for block in blocks_of(DISC, SIZE)]
    checks = opened(old(4, old_usual(DISC, SIZE), SIZE, len(DISC))).blocks.rows(0, 5).checks
    assert checks is not None
    assert all(check & CRC_32 for check in checks)


def test_copies_of_copies_lead_to_the_first() -> None:
    text = (b"some text " * SIZE)[:SIZE]
    hunks = [Hunk(0, deflated(text), crc=crc_16(text))] + [Hunk(COPY, number=i) for i in range(2000)]
    disc = opened(version_5(hunks, SIZE, SIZE * len(hunks)))
    assert disc.pread(len(hunks) * SIZE, 0) == text * len(hunks)


def test_short_forms_of_copies_and_of_the_parent() -> None:
    texts = [(b"%d green bottles " % i * SIZE)[:SIZE] for i in range(3)]
    parent = opened(uncompressed(b"".join(texts) + b"short", SIZE))
    stored = [Hunk(0, deflated(text[::-1]), crc=crc_16(text[::-1])) for text in texts[:2]]
    hunks = [
        *stored,
        Hunk(COPY, number=0),
        Hunk(9, number=0),
        Hunk(10, number=1),
        Hunk(PARENT, number=1),  # straddles two hunks of the parent
        Hunk(13, number=3),
        Hunk(12, number=3),
        Hunk(PARENT, number=6),  # the parent's last hunk, most of it behind the parent's end
    ]
    plain = b"".join(texts) + b"short".ljust(SIZE, b"\0")
    first, second = texts[0][::-1], texts[1][::-1]
    expected = [first, second, first, first, second, plain[2048:6144], plain[6144:10240], plain[6144:10240]]
    disc = opened(version_5(hunks, SIZE, SIZE * 9, parent=b"p" * 20), parent)
    assert_same(disc, b"".join(expected) + plain[-SIZE:])
    assert disc.blocks.parent == b"p" * 20
    counts = disc.blocks.facts["hunks"]
    assert isinstance(counts, dict)
    assert counts["parent"] == 4


def test_the_same_place_in_the_parent() -> None:
    parent = opened(uncompressed(DISC, 2048))  # other hunks than the child's
    child = version_5([Hunk(11, number=2 * i) for i in range(3)], SIZE, 3 * SIZE, parent=b"p" * 20)
    assert_same(opened(child, parent), DISC[: 3 * SIZE])


def test_hunks_that_the_parent_does_not_have_are_errors() -> None:
    parent = opened(uncompressed(DISC[: 2 * SIZE], SIZE))
    numbers = [0, 2, 3, 4, (1 << 32) - 1]
    child = version_5([Hunk(PARENT, number=i) for i in numbers], SIZE, SIZE * len(numbers), parent=b"p" * 20)
    assert damaged_blocks(opened(child, parent), DISC[: 2 * SIZE] + bytes(3 * SIZE), SIZE) == [2, 3, 4]


def test_a_file_that_is_cut_off_does_not_read_as_its_parent() -> None:
    """What lies behind the end of the child's file is no part of the parent's bytes."""
    parent = opened(uncompressed(b"\xaa" * (3 * limits.MIB), SIZE))
    child = uncompressed(DISC, SIZE, parent=b"p" * 20, absent=[0])
    source = Memory(child[: -4 * SIZE])
    blocks = chd.open_map(source)
    disc = Disc(Joined(source, parent, blocks.parent_at), blocks, BlockCache(1 << 20))
    last = blocks.count - 1
    assert blocks.warnings == (f"truncated: {last - 3} of {last + 1} blocks are present; the others read as errors",)
    gone = [0, *(i for i, block in enumerate(blocks_of(DISC, SIZE)) if not any(block))]
    expected = b"".join(b"\xaa" * SIZE if i in gone else block for i, block in enumerate(blocks_of(DISC, SIZE)))
    assert damaged_blocks(disc, expected[: len(DISC)], SIZE) == list(range(last - 3, last + 1))


def test_uncompressed_images() -> None:
    disc = opened(uncompressed(DISC, SIZE))
    assert_same(disc, DISC)
    assert disc.blocks.kinds == frozenset()
    assert not disc.blocks.checked


def test_uncompressed_children_have_the_rest_from_the_parent() -> None:
    parent = opened(uncompressed(DISC, SIZE))
    child = uncompressed(b"A" * SIZE + DISC[SIZE:], SIZE, parent=b"p" * 20, absent=range(1, len(DISC) // SIZE + 1))
    assert len(child) < 4 * SIZE
    assert_same(opened(child, parent), b"A" * SIZE + DISC[SIZE:])


def test_hunks_are_few_bits_of_a_map_where_they_are_the_same() -> None:
    """A disc of nothing: two types stand for all hunks."""
    count = 20_000
    lengths = {0: 2, 8: 2, 9: 2, 15: 2}
    code = dict(zip(sorted(lengths), ("00", "01", "10", "11"), strict=True))
    tree = "".join(number(lengths.get(symbol, 0), 4) for symbol in range(16))
    runs = code[8] + code[15] * 2  # 19 + 240 + 15 times
    first = Hunk(0, deflated(bytes(SIZE)), crc=crc_16(bytes(SIZE)))
    hunks = [first] + [Hunk(9)] * count
    symbols = tree + code[0] + code[9] + runs * (count // 274 + 1)
    image = version_5(hunks, SIZE, SIZE * (count + 1), packed=map_5(hunks, SIZE, 124, symbols=symbols))
    assert len(image) < (count + 1) // 8
    disc = opened(image)
    assert disc.pread(3 * SIZE, disc.size - 3 * SIZE) == bytes(3 * SIZE)


# --- versions 3 and 4 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("size", [512, 4096, 9792])
def test_old_versions_read_as_the_disc(version: int, size: int) -> None:
    metadata = (DVD, (b"ABCD", 1, b"part of it"))
    image = old(version, old_usual(DISC, size), size, len(DISC), disc=DISC, metadata=metadata)
    disc = opened(image)
    assert_same(disc, DISC)
    name = "MD5" if version == 3 else "SHA-1 with metadata"
    assert verified(disc.blocks, DISC) == {"SHA-1": True, name: True}
    assert disc.blocks.format == f"CHD version {version}"
    assert chd.identity(Memory(image)) == (sha1(DISC) if version == 3 else overall(sha1(DISC), metadata))


@pytest.mark.parametrize("version", [3, 4])
def test_old_children_have_the_rest_from_the_parent(version: int) -> None:
    parent = opened(old(version, old_usual(DISC, SIZE), SIZE, len(DISC)))
    text = (b"new " * SIZE)[:SIZE]
    entries = [Entry(5 | 0x10, number=2), Entry(1 | 0x10, deflated(text)), Entry(5, number=0), Entry(4, number=2)]
    image = old(version, entries, SIZE, 4 * SIZE, parent=b"p" * 20)
    expected = DISC[2 * SIZE : 3 * SIZE] + text + DISC[:SIZE] * 2
    assert_same(opened(image, parent), expected)
    assert chd.open_map(Memory(image)).parent == b"p" * 20


def test_hunks_without_a_check_are_not_checked() -> None:
    text = (b"text " * SIZE)[:SIZE]
    entries = [
        Entry(1 | 0x10, deflated(text), crc=1),
        Entry(2, b"\1" * SIZE, crc=2),
        Entry(3 | 0x10, number=0x41 << 56),
    ]
    disc = opened(old(4, entries, SIZE, 3 * SIZE))
    assert damaged_blocks(disc, text + b"\1" * SIZE + b"A\0\0\0\0\0\0\0" * (SIZE // 8), SIZE) == [1]


def test_old_copies_and_hunks_of_the_parent_are_checked_where_they_have_a_check() -> None:
    parent = opened(old(4, old_usual(DISC, SIZE), SIZE, len(DISC)))
    text = (b"text " * SIZE)[:SIZE]
    crcs = [zlib.crc32(text), zlib.crc32(DISC[:SIZE])]
    entries = [Entry(1 | 0x10, deflated(text))]
    entries += [Entry(4, crc=crcs[0]), Entry(4, crc=9), Entry(4 | 0x10, crc=9)]
    entries += [Entry(5, crc=crcs[1]), Entry(5, crc=9), Entry(5 | 0x10, crc=9)]
    disc = opened(old(4, entries, SIZE, 7 * SIZE, parent=b"p" * 20), parent)
    assert damaged_blocks(disc, text * 4 + DISC[:SIZE] * 3, SIZE) == [2, 5]


def test_unknown_types_of_old_versions_cost_their_own_hunk() -> None:
    entries = old_usual(DISC, SIZE)
    damaged = {1: Entry(0), 3: Entry(6, b"x"), 4: Entry(7), 5: Entry(0x1F)}
    entries = [damaged.get(i, entry) for i, entry in enumerate(entries)]
    entries = [entry for entry in entries if entry.flags & 0xF != 4][:12]
    assert damaged_blocks(opened(old(4, entries, SIZE, 12 * SIZE)), DISC[: 12 * SIZE], SIZE) == sorted(damaged)


# --- hostile images -------------------------------------------------------------------------------------------------


def changed(image: bytes, at: int, new: bytes) -> bytes:
    return image[:at] + new + image[at + len(new) :]


SOUND: Final = version_5(usual(DISC, SIZE), SIZE, len(DISC), disc=DISC, metadata=(DVD,))
OLD: Final = old(4, old_usual(DISC, SIZE), SIZE, len(DISC), metadata=(DVD,))
MAP_AT: Final = int.from_bytes(SOUND[40:48], "big")


def u32(value: int) -> bytes:
    return struct.pack(">I", value)


def u64(value: int) -> bytes:
    return struct.pack(">Q", value)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (changed(SOUND, 8, u32(120)), "bytes long"),
        (changed(SOUND, 56, u32(0)), "hunks of 0"),
        (changed(SOUND, 56, u32(256)), "hunks of 256"),
        (changed(SOUND, 56, u32(1 << 31)), "hunks of"),
        (changed(SOUND, 56, u32(4097)), "units of"),
        (changed(SOUND, 60, u32(0)), "units of 0"),
        (changed(SOUND, 32, u64(0)), "0 bytes"),
        (changed(SOUND, 32, u64(1 << 63)), "bytes in hunks"),
        (changed(SOUND, 32, u64(limits.DISC_SIZE)), "hunks"),
        (changed(SOUND, 32, u64(len(DISC) + SIZE)), "checksum|early|unknown|Huffman"),
        (changed(SOUND, 32, u64(SIZE * limits.CHD_HUNKS)), "map"),
        (changed(SOUND, 40, u64(len(SOUND) - 15)), "does not fit"),
        (changed(SOUND, 40, u64((1 << 64) - 1)), "does not fit"),
        (changed(SOUND, MAP_AT, u32(len(SOUND))), "does not fit"),
        (changed(SOUND, MAP_AT, u32(10)), "early|bytes for"),
        (changed(SOUND, MAP_AT + 10, b"\0\0"), "checksum"),
        (changed(SOUND, MAP_AT + 12, b"\x19"), "map"),
        (changed(SOUND, MAP_AT + 13, b"\xff"), "map"),
        (changed(SOUND, MAP_AT + 14, b"\xff"), "map"),
        (changed(SOUND, MAP_AT + 16, b"\x11\x11\x11"), "Huffman"),
        (changed(SOUND, MAP_AT + 16, b"\x55"), "Huffman"),
        (changed(SOUND, MAP_AT + 16, b"\xf0"), "Huffman"),
        (changed(SOUND, 48, u64(len(SOUND) + 5)), "metadata"),
        (changed(SOUND, 48, u64((1 << 64) - 1)), "metadata"),
        (changed(SOUND, 132, u64(124)), "does not end"),
        (changed(SOUND, 128, u32(0xFF_FFFF)), "metadata"),
        (changed(OLD, 24, u32(7)), "in 7 hunks"),
        (changed(OLD, 24, u32(1 << 31)), "hunks"),
        (changed(OLD, 44, u32(0)), "hunks of 0"),
        (changed(OLD, 28, u64(SIZE * limits.CHD_HUNKS))[:24] + u32(limits.CHD_HUNKS) + changed(
            OLD, 28, u64(SIZE * limits.CHD_HUNKS))[28:], "does not fit"),
    ],
)  # fmt: skip
def test_headers_that_cannot_be_true_are_refused(twin: Twin, image: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        chd.open_map(Memory(image))


@pytest.mark.parametrize("hunks", [[3, 0], [0, 1, 9], [1, 0]])
def test_copies_of_themselves_or_of_later_hunks_are_refused(hunks: list[int]) -> None:
    copies = [Hunk(COPY, number=i) for i in hunks]
    with pytest.raises(ImageError, match="is a copy of"):
        chd.open_map(Memory(version_5(copies, SIZE, SIZE * len(hunks))))
    entries = [Entry(4, number=i) for i in hunks]
    with pytest.raises(ImageError, match="is a copy of"):
        chd.open_map(Memory(old(3, entries, SIZE, SIZE * len(hunks))))


def test_hunks_of_a_parent_without_its_name_are_refused() -> None:
    for image in (version_5([Hunk(PARENT)], SIZE, SIZE), old(4, [Entry(5)], SIZE, SIZE)):
        with pytest.raises(ImageError, match="names none"):
            chd.open_map(Memory(image))


def test_too_many_metadata_are_refused() -> None:
    many = tuple((b"ABCD", 0, b"") for _ in range(limits.CHD_METADATA + 1))
    with pytest.raises(ImageError, match="does not end"):
        chd.open_map(Memory(version_5(usual(DISC, SIZE), SIZE, len(DISC), metadata=many)))


def test_stored_bytes_beyond_what_compression_adds_are_not_read() -> None:
    hunks = [Hunk(0, bytes(3 * SIZE), crc=1), Hunk(PLAIN, DISC[:SIZE], crc=crc_16(DISC[:SIZE]))]
    assert damaged_blocks(opened(version_5(hunks, SIZE, 2 * SIZE)), bytes(SIZE) + DISC[:SIZE], SIZE) == [0]


def test_codecs_of_hunks_that_the_header_does_not_tell() -> None:
    hunks = [Hunk(1, b"x"), Hunk(PLAIN, DISC[:SIZE], crc=crc_16(DISC[:SIZE]))]
    assert damaged_blocks(opened(version_5(hunks, SIZE, 2 * SIZE)), bytes(SIZE) + DISC[:SIZE], SIZE) == [0]
    with pytest.raises(UnsupportedError, match="'brot'"):
        chd.open_map(Memory(version_5(hunks, SIZE, 2 * SIZE, tags=(b"zlib", b"brot"))))
    with pytest.raises(ImageError, match="CD sectors"):
        chd.open_map(Memory(version_5(hunks, SIZE, 2 * SIZE, tags=(b"zlib", b"cdzl"))))
    hunks[0] = Hunk(0, deflated(bytes(SIZE)), crc=crc_16(bytes(SIZE)))
    assert_same(opened(version_5(hunks, SIZE, 2 * SIZE, tags=(b"zlib", b"brot"))), bytes(SIZE) + DISC[:SIZE])


@pytest.mark.parametrize("at", [0, 5, 12, 15])
def test_what_is_no_chd_image_has_no_identity(at: int) -> None:
    assert chd.identity(Memory(changed(SOUND, at, b"?"))) == b""
    assert chd.identity(Memory(SOUND[:100])) == b""
    assert chd.identity(Memory(b"")) == b""


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (changed(SOUND, 12, u32(1)), "hard disks"),
        (changed(SOUND, 12, u32(2)), "hard disks"),
        (changed(SOUND, 12, u32(6)), "version 6"),
        (changed(SOUND, 16, b"avhu"), "LaserDisc"),
        (changed(OLD, 20, u32(3)), "LaserDisc"),
        (changed(OLD, 20, u32(9)), "compression 9"),
        (version_5(usual(DISC, SIZE), SIZE, len(DISC), metadata=((b"GDDD", 1, b"CYLS:1"),)), "hard disk"),
    ],
)
def test_kinds_that_are_not_read_are_refused_by_name(image: bytes, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        chd.open_map(Memory(image))


@pytest.mark.parametrize("image", [SOUND, OLD, uncompressed(DISC, SIZE)], ids=["5", "4", "uncompressed"])
def test_truncated_images_are_refused_or_give_what_is_there(image: bytes) -> None:
    expected = DISC
    for end in sorted({*range(0, 200, 7), *range(0, len(image), 1571), *range(len(image) - 40, len(image), 3)}):
        try:
            disc = opened(image[:end])
        except ImageError:
            continue
        assert damaged_blocks(disc, expected, SIZE) or end + SIZE > len(image)
        assert disc.blocks.warnings or disc.pread(len(expected), 0) == expected


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), image=st.sampled_from((SOUND, OLD, uncompressed(DISC, SIZE))))
def test_damaged_images_give_errors_or_the_right_bytes(twin: Twin, data: st.DataObject, image: bytes) -> None:
    """The image without compression has no checks: of that only errors of other classes are sought."""
    damaged = bytearray(image)
    places = st.one_of(
        st.integers(0, 200), st.integers(0, len(image) - 1), st.integers(len(image) - 90, len(image) - 1)
    )
    for place in data.draw(st.lists(places, min_size=1, max_size=3)):
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        disc = opened(bytes(damaged))
    except (ImageError, UnsupportedError):
        return
    checks = disc.blocks.rows(0, disc.blocks.count).checks if damaged[:124] == image[:124] else None
    for i, block in enumerate(blocks_of(DISC, SIZE)[: disc.blocks.count]):
        try:
            found = disc.pread(SIZE, i * SIZE)
        except ImageError:
            continue
        assert len(found) == min(SIZE, disc.size - i * SIZE)
        assert checks is None or not checks[i] or found == block[: len(found)]


# --- tracks ---------------------------------------------------------------------------------------------------------


def tracks(*metadata: Metadata, frames: int = 400, unit: int = 2448) -> list[tuple[object, ...]]:
    """Number, mode, start, count, frame in the image, offset, header, session of each track."""
    size = 8 * unit
    image = version_5([Hunk(0, b"x")] * (frames // 8), size, frames * unit, unit=unit, metadata=metadata)
    blocks = chd.open_map(Memory(image))
    assert all(made.source is None and made.stride == 2448 and not made.position % 2448 for made in blocks.tracks)
    return [
        (made.number, made.mode, made.start, made.count, made.position // 2448, made.offset, made.header, made.session)
        for made in blocks.tracks
    ]


def test_tracks_follow_each_other_in_fours() -> None:
    assert tracks(
        track(1, "MODE1", 5),
        track(2, "MODE2_RAW", 8, pregap=150, postgap=3),
        track(3, "AUDIO", 9, pregap=4, pgtype="VAUDIO"),
        track(4, "MODE2_FORM_MIX", 1),
    ) == [
        (1, "mode 1", 0, 5, 0, 0, False, 1),
        (2, "mode 2", 155, 8, 8, 24, True, 1),
        (3, "audio", 170, 5, 20, 0, False, 1),
        (4, "mode 2", 175, 1, 28, 8, False, 1),
    ]


def test_the_pregap_of_the_first_track_is_before_the_disc_unless_it_is_stored() -> None:
    assert tracks(track(1, "MODE1_RAW", 20, pregap=150))[0][2:5] == (0, 20, 0)
    assert tracks(track(1, "MODE1_RAW", 20, pregap=15, pgtype="VMODE1_RAW"))[0][2:5] == (15, 5, 15)


def test_audio_has_the_high_byte_first_but_in_the_old_metadata_of_gd_roms() -> None:
    text = b"TRACK:1 TYPE:AUDIO SUBTYPE:NONE FRAMES:8 PAD:0 PREGAP:0 PGTYPE:AUDIO PGSUB:NONE POSTGAP:0\0"
    for tag, big_endian in ((b"CHGD", True), (b"CHGT", False)):
        image = version_5([Hunk(0, b"x")], 8 * 2448, 8 * 2448, unit=2448, metadata=((tag, 1, text),))
        assert [made.big_endian for made in chd.open_map(Memory(image)).tracks] == [big_endian]


def test_the_high_density_area_of_a_gd_rom_is_a_session() -> None:
    text = "TRACK:%d TYPE:MODE1_RAW SUBTYPE:NONE FRAMES:%d PAD:%d PREGAP:0 PGTYPE:MODE1 PGSUB:NONE POSTGAP:0"
    told = [(1, 600, 0), (2, 44400, 44100), (3, 50, 0)]
    metadata = [(b"CHGD", 1, (text % fields).encode() + b"\0") for fields in told]
    assert [made[2:5] + made[7:] for made in tracks(*metadata, frames=45056)] == [
        (0, 600, 0, 1),
        (600, 300, 600, 1),
        (45000, 50, 45000, 2),
    ]


@pytest.mark.parametrize("order", [">", "<"])
def test_old_binary_metadata_of_either_byte_order(order: str) -> None:
    rows = [(1, 2, 2352, 0, 10, 2), (7, 2, 2352, 0, 20, 0)] + [(0,) * 6] * 97
    data = struct.pack(order + "I", 2) + b"".join(struct.pack(order + "6I", *row) for row in rows)
    assert tracks((b"CHCD", 1, data)) == [
        (1, "mode 1", 0, 10, 0, 24, True, 1),
        (2, "audio", 10, 20, 12, 0, False, 1),
    ]


def test_tracks_of_the_oldest_text_have_no_pregaps() -> None:
    assert tracks((b"CHTR", 1, b"TRACK:1 TYPE:MODE2_RAW SUBTYPE:RW FRAMES:99\0"))[0][1:5] == ("mode 2", 0, 99, 0)


def test_images_without_tracks_tell_none() -> None:
    assert tracks(DVD) == []


@pytest.mark.parametrize(
    "metadata",
    [
        (track(1, "MODE1", 401),),
        (track(1, "MODE1", 398), track(2, "MODE1", 1)),
        (track(1, "MODE7", 4),),
        (track(0, "MODE1", 4),),
        (track(1, "MODE1", 4), track(3, "MODE1", 4)),
        (track(1, "MODE1", 4), track(1, "MODE1", 4)),
        (track(1, "MODE1", 4, pregap=5, pgtype="VMODE1"),),
        (track(1, "MODE1", 1 << 30),),
        (track(1, "MODE1", -4),),
        (track(1, "MODE1", 4), (b"CHTR", 1, b"TRACK:2 TYPE:MODE1 SUBTYPE:RW FRAMES:4\0")),
        tuple(track(i, "MODE1", 1) for i in range(1, 101)),
        ((b"CHT2", 1, b""),),
        ((b"CHT2", 1, b"TRACK:1 TYPE:MODE1 FRAMES:x"),),
        ((b"CHCD", 1, b"\0\0\0\2"),),
        ((b"CHCD", 1, b"\1\1\1\1" + bytes(24 * 99)),),
        ((b"CHCD", 1, struct.pack(">7I", 1, 9, 0, 0, 0, 5, 0)),),
    ],
)
def test_tracks_that_cannot_be_are_refused(metadata: tuple[Metadata, ...]) -> None:
    with pytest.raises(ImageError, match="metadata"):
        tracks(*metadata)


def test_tracks_in_other_units_than_frames_are_refused() -> None:
    with pytest.raises(ImageError, match="frames of 2352"):
        tracks(track(1, "MODE1", 8), unit=2352)
