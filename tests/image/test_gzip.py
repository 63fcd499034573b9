from __future__ import annotations

import gzip as library
import io
import random
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writers.containers import overwritten, sample_disc
from writers.sources import Memory, assert_right_or_lost, assert_same, damaged, damaged_blocks
from writers.tools import require

from isofs import limits
from isofs.errors import ImageError, IsofsError
from isofs.image import gzip
from isofs.image.cache import BlockCache
from isofs.image.disc import Disc
from isofs.image.wishes import Wishes

DISC = sample_disc(400, tail=700)
WISHES = Wishes(keep_index=False)


def opened(image: bytes) -> Disc:
    source = Memory(image)
    return Disc(source, gzip.open_map(source, WISHES), BlockCache(1 << 22))


def by_tool(tmp_path: Path, *command: str, disc: bytes = DISC, name: str = "") -> bytes:
    """What a program makes of the disc: on its standard output, or in a file beside it."""
    path = tmp_path / "disc.iso"
    path.write_bytes(disc)
    done = subprocess.run([require(command[0]), *command[1:], str(path)], capture_output=True, check=True)
    return (tmp_path / name).read_bytes() if name else done.stdout


def bgzf(disc: bytes, sizes: list[int], *, mark: bool = True) -> bytes:
    """BGZF members of these sizes in turn, and the end mark."""
    made, at, turn = bytearray(), 0, 0
    while at < len(disc):
        size = sizes[turn % len(sizes)]
        made += bgzf_member(disc[at : at + size])
        at, turn = at + size, turn + 1
    return bytes(made) + (bgzf_member(b"") if mark else b"")


def bgzf_member(data: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    stored = stream.compress(data) + stream.flush()
    head = struct.pack("<4s6xH2sHH", b"\x1f\x8b\x08\x04", 6, b"BC", 2, 18 + len(stored) + 8 - 1)
    return head + stored + struct.pack("<II", zlib.crc32(data), len(data))


def dictzip(disc: bytes, chunk: int = 5000) -> bytes:
    """A dictzip file with a name and a header checksum."""
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    chunks = [
        stream.compress(disc[at : at + chunk]) + stream.flush(zlib.Z_FULL_FLUSH) for at in range(0, len(disc), chunk)
    ]
    field = struct.pack(f"<HHH{len(chunks)}H", 1, chunk, len(chunks), *map(len, chunks))
    head = b"\x1f\x8b\x08\x0e" + bytes(6) + struct.pack("<H", 8 + len(field)) + b"xx\0\0RA"
    head += struct.pack("<H", len(field)) + field + b"disc.iso\0"
    head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    return head + b"".join(chunks) + stream.flush() + struct.pack("<II", zlib.crc32(disc), len(disc))


# --- any gzip file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("gzip", "-c"), ("gzip", "-1nc"), ("pigz", "-c"), ("pigz", "-9c", "-b128")])
def test_what_programs_write_is_read(tmp_path: Path, command: tuple[str, ...]) -> None:
    disc = opened(by_tool(tmp_path, *command))
    assert disc.blocks.format == "gzip"
    assert_same(disc, DISC)


@pytest.mark.parametrize("sizes", [[100_000], [1, 300_000], [40_000, 0, 7]])
def test_members_behind_each_other_are_one_disc(sizes: list[int]) -> None:
    image, at, turn = b"", 0, 0
    while at < len(DISC):
        size = sizes[turn % len(sizes)]
        image += library.compress(DISC[at : at + size])
        at, turn = at + size, turn + 1
    assert_same(opened(image), DISC)
    assert_same(opened(image + bytes(70_000)), DISC)  # padding


def test_every_place_of_a_long_file_is_reached_from_the_middle() -> None:
    long = b"".join(random.Random(i).randbytes(3000) + bytes(4000) for i in range(1000))
    source = Memory(library.compress(long, 6))
    blocks = gzip.open_map(source, WISHES)
    assert blocks.read is not None
    source.reads.clear()
    assert blocks.read(100, len(long) - 100) == long[-100:]
    assert sum(n for n, _ in source.reads) < len(source.data) // 2
    chance = random.Random(1)
    for _ in range(50):
        at = chance.randrange(len(long))
        assert blocks.read(5000, at) == long[at : at + 5000]


def test_progress_is_told_in_bytes_of_the_file() -> None:
    told: list[int] = []
    totals: list[int] = []

    class Progress:
        def __init__(self, title: str, total: int) -> None:
            totals.append(total)

        def __enter__(self) -> object:
            return told.append

        def __exit__(self, *exc: object) -> None:
            totals.append(-1)

    image = library.compress(DISC)
    gzip.open_map(Memory(image), Wishes(keep_index=False, progress=Progress))  # type: ignore[arg-type]
    assert totals == [len(image), -1]
    assert sum(told) == len(image)


@pytest.mark.parametrize("cut", [1, 8, 9, 1000, 100_000])
def test_file_that_is_cut_off_is_refused(cut: int) -> None:
    image = library.compress(DISC)
    with pytest.raises(ImageError, match="truncated: the gzip file ends inside the member that begins at byte 0"):
        opened(image[:-cut])
    with pytest.raises(ImageError, match=f"member that begins at byte {len(image)}"):
        opened(image + image[:-cut])


@pytest.mark.parametrize("at", [20_000, -8, -4])
def test_damage_anywhere_is_found_when_it_is_opened(at: int) -> None:
    image = bytearray(library.compress(DISC))
    image[at] ^= 1
    with pytest.raises(ImageError, match="damaged gzip file"):
        opened(bytes(image))


def test_bytes_that_are_no_member_are_refused() -> None:
    image = library.compress(DISC)
    for junk in (b"junk", b"\x1f\x8bjunk", bytes(100) + b"junk"):
        with pytest.raises(ImageError):
            opened(image + junk)
        with pytest.raises(ImageError):
            opened(image + junk + image)


def test_index_stays_bounded_for_what_decodes_to_much_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzip, "_POINTS", 4)
    zeros = bytes(40 << 20)
    source = Memory(library.compress(zeros, 6))
    blocks = gzip.open_map(source, WISHES)
    assert blocks.disc_size == len(zeros)
    assert blocks.read is not None
    assert blocks.read(1000, 33 << 20) == bytes(1000)


def test_bomb_is_refused_while_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PASS_SIZE", 1 << 20)
    with pytest.raises(ImageError, match="holds more than 1048576 bytes"):
        opened(library.compress(bytes(4 << 20)))


def test_error_of_the_file_below_is_told_as_it_is() -> None:
    class Failing(Memory):
        broken = False

        def pread(self, n: int, offset: int) -> bytes:
            if self.broken:
                raise ImageError("the disk is broken")
            return super().pread(n, offset)

    source = Failing(library.compress(DISC))
    blocks = gzip.open_map(source, WISHES)
    assert blocks.read is not None
    source.broken = True
    with pytest.raises(ImageError, match="the disk is broken"):
        blocks.read(100, 0)
    source.broken = False
    assert blocks.read(100, 0) == DISC[:100]
    source.broken = True
    with pytest.raises(ImageError, match="the disk is broken"):
        gzip.open_map(source, WISHES)


def test_interruption_of_the_pass_goes_on() -> None:
    class Interrupted(Memory):
        def pread(self, n: int, offset: int) -> bytes:
            if offset > 0:
                raise KeyboardInterrupt
            return super().pread(n, offset)

    noise = random.Random(3).randbytes(1_000_000)
    with pytest.raises(KeyboardInterrupt):
        gzip.open_map(Interrupted(library.compress(noise)), WISHES)


# --- BGZF -----------------------------------------------------------------------------------------------------------


def test_what_bgzip_writes_is_read_member_by_member(tmp_path: Path) -> None:
    disc = opened(by_tool(tmp_path, "bgzip", "-c"))
    assert disc.blocks.format == "BGZF"
    assert disc.blocks.starts is None
    assert disc.blocks.warnings == ()
    assert_same(disc, DISC)


@pytest.mark.parametrize("sizes", [[40_000], [65_280, 65_536], [1, 65_536], [300], [50_000, 0, 50_000]])
def test_members_of_any_size_are_read(sizes: list[int]) -> None:
    disc = opened(bgzf(DISC, sizes))
    assert disc.blocks.format == "BGZF"
    assert_same(disc, DISC)


def test_last_member_that_is_longer_than_the_others_is_read() -> None:
    image = bgzf(DISC[:40_000], [10_000], mark=False) + bgzf(DISC[40_000:90_000], [50_000])
    assert_same(opened(image), DISC[:90_000])


def test_walk_over_small_members_takes_few_reads() -> None:
    source = Memory(bgzf(bytes(1 << 20), [1000]))
    gzip.open_map(source, WISHES)
    assert len(source.reads) < 30


def test_missing_end_mark_and_a_cut_member_are_said() -> None:
    whole = opened(bgzf(DISC, [40_000], mark=False))
    assert "truncated: the BGZF file ends at byte" in whole.blocks.warnings[0]
    assert_same(whole, DISC)
    cut = opened(bgzf(DISC, [40_000], mark=False)[:-5])
    assert cut.size == len(DISC) // 40_000 * 40_000
    assert "truncated" in cut.blocks.warnings[0]
    assert_same(cut, DISC[: cut.size])


def test_damaged_member_costs_itself() -> None:
    image = bgzf(DISC, [40_000])
    at = 18
    disc = opened(overwritten(image, at + 100, bytes((image[at + 100] ^ 1,))))
    assert damaged_blocks(disc, DISC, 40_000) == [0]


def test_file_of_some_bgzf_members_is_read_as_any_gzip_file() -> None:
    image = bgzf(DISC[:80_000], [40_000]) + library.compress(DISC[80_000:])
    disc = opened(image)
    assert disc.blocks.format == "gzip"
    assert_same(disc, DISC)


def test_number_of_members_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MEMBERS", 100)
    with pytest.raises(ImageError, match="more than 100 BGZF members"):
        opened(bgzf_member(b"x") + bgzf_member(b"") * 1000)


# --- dictzip --------------------------------------------------------------------------------------------------------


def test_what_dictzip_writes_is_read_chunk_by_chunk(tmp_path: Path) -> None:
    disc = opened(by_tool(tmp_path, "dictzip", "-k", name="disc.iso.dz"))
    assert disc.blocks.format == "dictzip"
    assert_same(disc, DISC)
    (checksum,) = disc.blocks.checksums
    assert checksum.expected == zlib.crc32(DISC).to_bytes(4, "big")


@pytest.mark.parametrize("chunk", [512, 5000, 58315, 65535])
@pytest.mark.parametrize("length", [1, 5000, 130_000, len(DISC)])
def test_chunks_of_any_size_are_read(chunk: int, length: int) -> None:
    disc = opened(dictzip(DISC[:length], chunk))
    assert disc.blocks.format == "dictzip"
    assert_same(disc, DISC[:length])


def test_damaged_chunk_is_an_error_or_right() -> None:
    image = bytearray(dictzip(DISC, 5000))
    at = len(image) // 2
    image[at : at + 40] = bytes(40)
    disc = opened(bytes(image))
    wrong = damaged_chunks(disc, 5000)
    assert len(wrong) <= 2


def damaged_chunks(disc: Disc, chunk: int) -> list[int]:
    """Chunks without checksums of their own: those that differ or cannot be had."""
    wrong = []
    for number, at in enumerate(range(0, len(DISC), chunk)):
        try:
            if disc.pread(chunk, at) != DISC[at : at + chunk]:
                wrong.append(number)
        except ImageError:
            wrong.append(number)
    return wrong


@pytest.mark.parametrize("trailing", [b"\0", b"more", b"\x1f\x8b\x08"])
def test_list_of_chunks_that_does_not_fit_the_file_is_not_believed(trailing: bytes) -> None:
    image = dictzip(DISC)
    with pytest.raises(ImageError):
        opened(image[:-1])
    if trailing == b"\0":
        disc = opened(image + trailing)
        assert disc.blocks.format == "gzip"
        assert_same(disc, DISC)
    else:
        with pytest.raises(ImageError):
            opened(image + trailing)


# --- damage ---------------------------------------------------------------------------------------------------------

_SMALL = DISC[:120_000]
_IMAGES = {
    "plain": library.compress(_SMALL),
    "members": library.compress(_SMALL[:70_000]) + library.compress(_SMALL[70_000:]),
    "bgzf": bgzf(_SMALL, [30_000]),
}


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(sorted(_IMAGES)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    cut=st.none() | st.floats(0, 1),
)
def test_damage_gives_errors_of_the_image_or_right_bytes(
    kind: str, changes: list[tuple[float, int]], cut: float | None
) -> None:
    image = damaged(_IMAGES[kind], changes, cut)
    try:
        disc = opened(image)
    except IsofsError:
        return
    assert_right_or_lost(disc.pread, disc.size, _SMALL, 10_000)


def test_empty_and_hopeless_files_are_refused() -> None:
    empty = io.BytesIO()
    with library.GzipFile(fileobj=empty, mode="wb"):
        pass
    for image in (b"\x1f\x8b\x08", b"\x1f\x8b\x08\x04" + bytes(30), empty.getvalue(), b"\x1f\x8b\x08" + b"\xff" * 300):
        with pytest.raises(ImageError):
            opened(image)
