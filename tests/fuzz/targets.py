"""What is tried: each parser with seeds of the tests' writers and changes that get past its first look."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, Final

import lz4.block
from writers import chd, containers, sheets
from writers.discs import MemorySource, zisofs

from isofs import limits
from isofs.errors import IsofsError
from isofs.image import codecs, open_image
from isofs.image.blockmap import CD_DEFLATE, CD_FLAC, CD_LZMA, CD_ZSTD, FLAC, HUFFMAN, LZMA, ZSTD, BlockMap
from isofs.image.cache import BlockCache
from isofs.image.chd import codecs as chd_codecs
from isofs.image.disc import Disc
from isofs.image.sheets import find_sheet
from isofs.image.source import FileSource
from isofs.image.wishes import Wishes
from isofs.volume.iso9660 import open_iso9660
from isofs.volume.tree import View

from . import bits, discs
from .engine import Target, allowed
from .mutate import NUMBERS, Case, change_bytes, changed, changed_text
from .reading import VIEWS, read_image, read_source, read_structure, read_volume

WISHES: Final = Wishes(keep_index=False)
SAMPLE: Final = containers.sample_disc(40)
_SEEDS_OF_DISCS: Final = tuple(discs.KINDS)


# --- block maps -----------------------------------------------------------------------------------------------------


class Container:
    """A compressed image in memory: its map, and the bytes behind it."""

    def __init__(
        self,
        module: str,
        seeds: Callable[[], list[Case]],
        change: Callable[[bytearray, Random], None] | None = None,
        fresh: Callable[[Random], Case] | None = None,
    ) -> None:
        self._module, self._seeds, self._change, self._fresh = module, seeds, change, fresh

    def seeds(self) -> list[Case]:
        return self._seeds()

    def change(self, case: Case, chance: Random) -> Case:
        if self._fresh is not None and chance.random() < 0.5:
            case = self._fresh(chance)
            if chance.random() < 0.7:
                return case
        return changed(case, chance, self._change)

    def run(self, case: Case) -> bool:
        source = MemorySource(case.data)
        chance = Random(len(case.data))
        blocks: BlockMap = import_module(f"isofs.image.{self._module}").open_map(source, WISHES)
        _check_rows(blocks, chance)
        read_source(Disc(source, blocks, BlockCache(limits.CACHE_LEAST)), chance)
        return True


def _check_rows(blocks: BlockMap, chance: Random) -> None:
    """Rows are as many as asked for, and never claim more than a block can be stored in."""
    assert 0 < blocks.disc_size <= limits.DISC_SIZE
    if blocks.read is not None:
        return
    for _ in range(3):
        first = chance.randrange(blocks.count + 1)
        n = chance.choice((1, 2, 50))
        try:
            rows = blocks.rows(first, n)
        except IsofsError as error:
            allowed(error)
            continue
        assert len(rows.positions) == len(rows.stored) == len(rows.kinds) == n


def _cases(images: list[bytes], head: int, table: int, vital: int) -> list[Case]:
    """Images with a header of `head` bytes, some of a table behind it, of which the first `vital` bytes are kept."""
    return [
        Case(image, (range(head), range(head, min(head + table, len(image))), range(head, len(image))), (range(vital),))
        for image in images
        if len(image) > head
    ]


def _cso_seeds() -> list[Case]:
    tail = containers.sample_disc(40, tail=700)
    images = [
        containers.cso(SAMPLE),
        containers.cso(SAMPLE, shift=3, plain_every=4),
        containers.cso(SAMPLE, version=2, plain_every=3),
        containers.cso(tail, block_size=6000),
        containers.cso(tail, block_size=16384, last_entry="zero"),
        containers.cso(SAMPLE, codec=containers.deflate_with_adler, last_entry="flagged"),
        containers.cso(SAMPLE, index="floor"),
        containers.cso(SAMPLE, slack=5, plain_every=2, trailing=b"trailing"),
    ]
    return _cases(images, 24, 164, 24)


def _zso_seeds() -> list[Case]:
    images = [
        containers.zso(SAMPLE),
        containers.zso(SAMPLE, shift=2, plain_every=4),
        containers.zso(SAMPLE, codec=containers.lzo_block),
        containers.zso(SAMPLE, block_size=16384, pad_last_block=True),
        containers.zso(SAMPLE, codec=containers.lz4_with_size),
    ]
    return _cases(images, 24, 164, 24)


def _dax_seeds() -> list[Case]:
    disc = containers.sample_disc(40, tail=700)
    images = [
        containers.dax(disc),
        containers.dax(disc, version=1, areas=[(2, 3), (9, 1)]),
        containers.dax(disc, version=0, areas=[(1, 1)], pad_last_frame=False),
    ]
    return _cases(images, 32, 80, 20)


def _jiso_seeds() -> list[Case]:
    images = [
        containers.jiso(SAMPLE),
        containers.jiso(SAMPLE, method=0),
        containers.jiso(SAMPLE, method=0, block_size=16384, block_headers=True),
        containers.jiso(SAMPLE, block_headers=True, pad_last_block=False),
    ]
    return _cases(images, 48, 164, 48)


def _zisofs_seeds() -> list[Case]:
    data = SAMPLE + bytes(70_000) + SAMPLE
    library = _zstd()
    images = [zisofs(data), zisofs(data, log2=16), zisofs(data, version=2)]
    packers: dict[int, Callable[[bytes], bytes]] = {
        2: lzma.compress,
        3: lambda piece: bytes(lz4.block.compress(piece, store_size=False)),
        4: library.compress,
        5: bz2.compress,
    }
    images += [zisofs(data, version=2, algorithm=number, compress=pack) for number, pack in packers.items()]
    return _cases(images, 24, 60, 16)


def _zstd() -> Any:
    codecs.require(ZSTD)
    return codecs._modules[ZSTD]


# gzip, xz, zstd


def _gzip_seeds() -> list[Case]:
    bgzf = b"".join(bits.bgzf_member(SAMPLE[at : at + 9000]) for at in range(0, len(SAMPLE), 9000))
    dictzip = bits.dictzip(SAMPLE, 5000)
    several = gzip.compress(SAMPLE[:50_000], mtime=0) + gzip.compress(SAMPLE[50_000:], mtime=0) + bytes(30)
    first = 18
    return [
        Case(bgzf, (range(first), range(len(bgzf)), range(first, 3000)), (range(4),), mend=bits.mend_bgzf),
        Case(dictzip, (range(10, 60), range(60, len(dictzip))), (range(10),)),
        Case(gzip.compress(SAMPLE, mtime=0), (range(10),), (range(10),)),
        Case(several, (range(10),), (range(10),)),
    ]


def _gzip_fresh(chance: Random) -> Case:
    """Members of any content, some of them changed."""
    out = b""
    for _ in range(chance.randrange(1, 6)):
        size = chance.choice((0, 1, 2000, 40_000))
        out += bits.bgzf_member(SAMPLE[:size]) if chance.random() < 0.8 else gzip.compress(SAMPLE[:size], mtime=0)
    out += chance.choice((b"", b"", b"", bytes(9), b"junk"))
    return Case(out + bits.bgzf_member(b"") * chance.randrange(2), (range(len(out)),))


def _xz_seeds() -> list[Case]:
    streams = b"".join(lzma.compress(SAMPLE[at : at + 30_000], preset=0) for at in range(0, len(SAMPLE), 30_000))
    images = [
        lzma.compress(SAMPLE, preset=0),
        lzma.compress(SAMPLE, preset=0, check=lzma.CHECK_CRC32),
        lzma.compress(SAMPLE, preset=0, check=lzma.CHECK_NONE),
        streams,
        bits.xz([SAMPLE[:20_000], SAMPLE[20_000:50_000], SAMPLE[50_000:]]),
    ]
    return [
        Case(image, (range(24), range(len(image) - 60, len(image)), range(len(image))), (range(8),), mend=bits.mend_xz)
        for image in images
    ]


def _xz_fresh(chance: Random) -> Case:
    """Blocks and an index that does not quite tell of them."""
    pieces = [SAMPLE[: chance.choice((0, 1, 2048, 30_000))] for _ in range(chance.randrange(1, 5))]

    def lie(rows: list[tuple[int, int]]) -> list[tuple[int, int]]:
        if chance.random() < 0.7:
            i = chance.randrange(len(rows))
            rows[i] = (
                (rows[i][0], chance.choice(NUMBERS)) if chance.random() < 0.6 else (chance.choice(NUMBERS), rows[i][1])
            )
        if chance.random() < 0.2:
            rows = rows * chance.choice((0, 2, 100))
        return rows

    return Case(bits.xz(pieces, lie), mend=bits.mend_xz)


def _zstd_seeds() -> list[Case]:
    library = _zstd()
    pieces = [SAMPLE[at : at + 20_000] for at in range(0, len(SAMPLE), 20_000)]
    frames = [library.compress(piece) for piece in pieces]
    table = bits.seek_table([(len(frame), len(piece)) for frame, piece in zip(frames, pieces, strict=True)])
    body = b"".join(frames)
    n = len(body)
    return [
        Case(body + table, (range(n, n + len(table)), range(n), range(n + 8, n + len(table) - 9)), (range(4),)),
        Case(body, (range(16), range(n)), (range(6),)),
        Case(library.compress(SAMPLE), (range(16),), (range(6),)),
        Case(bits.skippable(b"hello") + body, (range(4, 30),), (range(4),)),
    ]


def _zstd_fresh(chance: Random) -> Case:
    """Frames of any sizes, skippable ones between them, and a table that may lie."""
    library = _zstd()
    pieces = [SAMPLE[: chance.choice((1, 2048, 30_000))] for _ in range(chance.randrange(1, 6))]
    frames = [library.compress(piece) for piece in pieces]
    rows = [(len(frame), len(piece)) for frame, piece in zip(frames, pieces, strict=True)]
    if chance.random() < 0.5:
        return Case(b"".join(frame + bits.skippable(bytes(chance.randrange(9))) for frame in frames), mend=None)
    if chance.random() < 0.4:
        rows[chance.randrange(len(rows))] = (rows[0][0], chance.choice(NUMBERS) & 0xFFFFFFFF)
    return Case(b"".join(frames) + bits.seek_table(rows))


# --- CHD ------------------------------------------------------------------------------------------------------------

_METADATA: Final = (
    (b"DVD ", 1, b"\0"),
    (b"GDDD", 1, b"CYLS:10,HEADS:1,SECS:4,BPS:512\0"),
    chd.track(1, "MODE1", 20, pregap=0),
    chd.track(1, "MODE2_RAW", 40, pregap=150, pgtype="VMODE2"),
    chd.track(2, "AUDIO", 10, pregap=3, pgtype="VAUDIO"),
    (b"CHGD", 1, b"TRACK:1 TYPE:MODE1_RAW SUBTYPE:NONE FRAMES:40 PAD:0 PREGAP:0 PGTYPE:MODE1 PGSUB:NONE POSTGAP:0\0"),
    (b"CHTR", 1, b"TRACK:1 TYPE:MODE1_RAW SUBTYPE:NONE FRAMES:40\0"),
    (b"CHCD", 0, struct.pack(">I", 1) + struct.pack(">IIIIII", 1, 0, 2352, 0, 40, 0) * 4),
)
_FRAMES: Final = b"".join(
    sheets.raw(SAMPLE[at : at + 2048], at // 2048, 1) + bytes(96) for at in range(0, len(SAMPLE), 2048)
)


def _chd_seeds() -> list[Case]:
    size = 4096
    cd = [bits.cd_block(CD_DEFLATE, _FRAMES[at : at + 8 * 2448]) for at in range(0, len(_FRAMES), 8 * 2448)]
    hunks = [chd.Hunk(0, stored, crc=chd.crc_16(block)) for block, stored in cd]
    images = [
        chd.version_5(chd.usual(SAMPLE, size), size, len(SAMPLE), disc=SAMPLE, metadata=_METADATA[:1]),
        chd.version_5(chd.usual(SAMPLE, size), size, len(SAMPLE)),
        chd.uncompressed(SAMPLE, size),
        chd.version_5(
            hunks, 8 * 2448, len(_FRAMES), unit=2448, tags=[b"cdzl"], metadata=[chd.track(1, "MODE1_RAW", 40)]
        ),
        chd.old(3, chd.old_usual(SAMPLE, size), size, len(SAMPLE), disc=SAMPLE),
        chd.old(4, chd.old_usual(SAMPLE, size), size, len(SAMPLE), metadata=_METADATA[:1]),
    ]
    found = []
    for image in images:
        places = [range(124), range(124, 300), range(len(image))]
        if image[12:16] == b"\0\0\0\5":
            at = int.from_bytes(image[40:48], "big")
            places.append(range(at, len(image)))
        found.append(Case(image, tuple(places), (range(64), range(104, 124))))
    return found


def _chd_fresh(chance: Random) -> Case:
    """A map of any hunks, its checksum right, and metadata of any kind."""
    size = chance.choice((2048, 4096, 2448 * 8))
    unit = 2448 if size % 2448 == 0 else 2048
    tags = chance.choice(([b"zlib"], [b"lzma", b"zlib", b"huff", b"flac"], [b"zstd"]))
    if unit == 2448:
        tags = chance.choice(([b"cdzl"], [b"cdlz", b"cdzl", b"cdfl"], [b"cdzs"], [b"zlib"]))
    hunks = []
    for i in range(chance.choice((1, 2, 5, 40))):
        kind = chance.choice((0, 0, 1, 2, 3, 4, 4, 5, 6, 9, 10))
        if kind == 4:
            hunks.append(chd.Hunk(4, bytes(size), crc=chance.choice((0, chd.crc_16(bytes(size))))))
        elif kind < 4:
            stored = chance.choice(
                (chd.deflated(bytes(size)), bits.stored_block(chance, size), chance.randbytes(40), b"")
            )
            hunks.append(chd.Hunk(kind, stored, crc=chance.choice((0, chd.crc_16(bytes(size))))))
        else:
            hunks.append(chd.Hunk(kind, number=chance.choice((0, max(i - 1, 0), i, i + 1, chance.randrange(1 << 24)))))
    count = chance.choice((len(hunks), len(hunks), len(hunks), len(hunks) + 1))
    fitting = _METADATA[2:6] if unit == 2448 else _METADATA[:1]
    metadata = [_odd_metadata(chance, fitting) for _ in range(chance.choice((0, 1, 1, 1, 2, 6)))]
    parent = chance.choice((b"", b"", b"P" * 20))
    image = chd.version_5(hunks, size, count * size, unit=unit, tags=tags, metadata=metadata, parent=parent)
    return Case(image, (range(124), range(124, 300)), (range(64),))


def _odd_metadata(chance: Random, fitting: Sequence[chd.Metadata]) -> chd.Metadata:
    tag, flags, data = chance.choice(fitting if chance.random() < 0.8 else _METADATA)
    if chance.random() < 0.6:
        return tag, flags, data
    text = changed_text(Case(data), chance).data[:70_000]
    return tag, chance.choice((0, 1, 255)), text


class Codecs:
    """Blocks by themselves, as only CHD images have them: Huffman codes, FLAC, LZMA, sectors and subchannels."""

    def seeds(self) -> list[Case]:
        for kind in (LZMA, HUFFMAN, FLAC, CD_DEFLATE, CD_LZMA, CD_ZSTD, CD_FLAC):
            chd_codecs.require(kind)
        chance = Random(1)
        block = _FRAMES[: 4 * 2448]
        out = [(kind, bits.cd_block(kind, block)[1]) for kind in (CD_DEFLATE, CD_LZMA, CD_ZSTD)]
        out += [(FLAC, b"L" + bits.flac(chance, 9792 // 4)), (LZMA, bits.raw_lzma(block))]
        out += [(CD_FLAC, bits.flac(chance, 4 * 2352 // 4) + chd.deflated(bytes(4 * 96)))]
        out += [(HUFFMAN, bits.huffman(chance, block))]
        return [Case(stored, (range(40), range(len(stored))), name=str(kind)) for kind, stored in out]

    def change(self, case: Case, chance: Random) -> Case:
        if case.name == str(FLAC) and chance.random() < 0.6:
            return case._replace(data=b"L" + bits.flac(chance, 9792 // 4, wrong=0.2))
        if case.name == str(CD_FLAC) and chance.random() < 0.6:
            made = bits.flac(chance, 4 * 2352 // 4, wrong=0.2) + chd.deflated(bytes(4 * 96))
            return case._replace(data=made)
        if case.name == str(HUFFMAN) and chance.random() < 0.5:
            return case._replace(data=bits.huffman(chance, chance.randbytes(50) * 196))
        return changed(case._replace(vital=(range(len(case.data) // 2),)), chance)

    def run(self, case: Case) -> bool:
        """Past the first look is a block that makes all its bytes."""
        size = 9792
        return len(chd_codecs.decode(int(case.name), case.data, size)) == size


# --- files ----------------------------------------------------------------------------------------------------------


@cache
def _folder() -> Path:
    """Where inputs of files lie; gone when the process ends."""
    import atexit

    path = Path(tempfile.mkdtemp(prefix="isofs-fuzz-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@contextmanager
def laid_out(case: Case) -> Iterator[Path]:
    """The files of an input."""
    folder = _folder() / "disc"
    folder.mkdir()
    try:
        for name, data in {**case.beside, case.name: case.data}.items():
            (folder / name).write_bytes(data)
        yield folder / case.name
    finally:
        shutil.rmtree(folder)


class File:
    """An image file, with others beside it."""

    def __init__(
        self, seeds: Callable[[], list[Case]], change: Callable[[Case, Random], Case], view: View | None = None
    ) -> None:
        self._seeds, self._change, self._view = seeds, change, view

    def seeds(self) -> list[Case]:
        return self._seeds()

    def change(self, case: Case, chance: Random) -> Case:
        return self._change(case, chance)

    def run(self, case: Case) -> bool:
        """Past the first look is an image that opens, whatever is on it, and a sheet that is known as one."""
        chance = Random(len(case.data))
        with laid_out(case) as path, ExitStack() as stack:
            try:
                image = open_image(str(path), cache=limits.CACHE_LEAST, threads=1, wishes=_wishes(chance, path))
            except IsofsError as error:
                allowed(error)
                return _is_sheet(path)
            stack.callback(image.close)
            for file in image.files:
                assert os.path.dirname(os.path.realpath(file.path)) == str(path.parent), "a file that is none of ours"
            for track in image.tracks:
                assert 0 <= track.number <= 99
                assert track.count >= 0
                assert track.end >= track.start
            read_image(image, chance, self._view)
        return True


def _is_sheet(path: Path) -> bool:
    try:
        with FileSource(str(path)) as source:
            return find_sheet(source) is not None
    except IsofsError:
        return False


def _wishes(chance: Random, path: Path) -> Wishes:
    parent = path.with_name("p.chd")
    if parent.exists() and chance.random() < 0.3:
        return Wishes(keep_index=False, parent=str(parent))
    if chance.random() < 0.7:
        return WISHES
    return Wishes(
        keep_index=False, **chance.choice(({"session": "last"}, {"sbsector": 0}, {"shift": 1}, {"session": 0}))
    )


_PLAIN: Final = discs.disc("plain")
_BIN: Final = sheets.stored(_PLAIN, "1/2352")
_AUDIO: Final = sheets.audio(30)
_ENTRIES: Final = (
    sheets.Entry(1, "1/2352", _BIN),
    sheets.Entry(2, "audio", _AUDIO, 213, 150),
    sheets.Entry(3, "1/2352", _BIN, 20_000, 0, 2),
)


def _cue_seeds() -> list[Case]:
    beside = {"a.bin": _BIN, "b.bin": _AUDIO, "c.bin": _BIN + _AUDIO, "sub.iso": _PLAIN}
    sound = """FILE "a.bin" BINARY
  TRACK 01 MODE1/2352
    INDEX 01 00:00:00
FILE "b.bin" BINARY
  TRACK 02 AUDIO
    PREGAP 00:02:00
    INDEX 01 00:00:00
"""
    one = """CATALOG 0000000000000
REM SESSION 01
FILE "c.bin" BINARY
  TRACK 01 MODE1/2352
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    FLAGS DCP
    INDEX 00 00:00:63
    INDEX 01 00:00:65
    INDEX 02 00:00:70
"""
    two = """FILE sub.iso BINARY
  TRACK 01 MODE1/2048
    INDEX 01 00:00:00
REM SESSION 02
FILE "a.bin" BINARY
  TRACK 02 MODE2/2352
    INDEX 01 00:00:00
"""
    return [Case(text.encode(), beside=beside, name="image.cue") for text in (sound, one, two)]


def _toc_seeds() -> list[Case]:
    beside = {"a.bin": _BIN, "b.bin": _AUDIO}
    text = """CD_ROM_XA
    CATALOG "0000010271955"
    CD_TEXT { LANGUAGE_MAP { 0 : EN } LANGUAGE 0 { TITLE "A disc" SIZE_INFO { 0, 1, 2 } } }
    TRACK MODE1_RAW // the data
    NO COPY
    DATAFILE "a.bin" 00:00:63 // length in bytes
    TRACK AUDIO
    COPY NO PRE_EMPHASIS TWO_CHANNEL_AUDIO ISRC "USXXX0000001"
    FILE "b.bin" #2352 0 00:00:09
    START 00:00:05
    INDEX 00:00:02
    SILENCE 00:00:10
    """
    plain = 'CD_ROM\n\nTRACK MODE1_RAW\nDATAFILE "a.bin"\nTRACK AUDIO\nPREGAP 00:02:00\nFILE "b.bin" 0\n'
    return [Case(words.encode(), beside=beside, name="image.toc") for words in (text, plain)]


def _gdi_seeds() -> list[Case]:
    beside = {"track01.bin": _BIN, "track 02.raw": _AUDIO, "track03.bin": sheets.stored(_PLAIN, "1/2352", 45000)}
    text = '3\n1 0 4 2352 track01.bin 0\n2 600 0 2352 "track 02.raw" 0\n3 45000 4 2352 track03.bin 0\n'
    return [Case(text.encode(), beside=beside, name="image.gdi")]


def _ccd_seeds() -> list[Case]:
    data = _BIN + bytes(150 * 2352) + _AUDIO
    one = sheets.ccd(_ENTRIES[:1])
    two = sheets.ccd(_ENTRIES[:2], index_0={2: 63})
    return [Case(text.encode(), beside={"image.img": data}, name="image.ccd") for text in (one, two)]


def _mds_seeds() -> list[Case]:
    mdf = b"".join(entry.data for entry in _ENTRIES)
    found = []
    for entries, wide in ((_ENTRIES, False), (_ENTRIES[:1], True), (_ENTRIES[:2], False)):
        sheet = sheets.mds(entries, wide=wide)
        hot = (range(88), range(88, len(sheet)), range(len(sheet) - 80, len(sheet)))
        found.append(Case(sheet, hot, (range(18),), {"image.mdf": mdf}, "image.mds"))
    dvd = sheets.mds([sheets.Entry(1, "2048", SAMPLE)], dvd=True)
    return [*found, Case(dvd, (range(88, len(dvd)),), (range(18),), {"image.mdf": SAMPLE}, "image.mds")]


def _nrg_seeds() -> list[Case]:
    found = []
    for version in (1, 2):
        for tao in (False, True):
            image = sheets.nrg(_ENTRIES, version=version, tao=tao)
            at = image.find(b"CUE") if not tao else image.find(b"ETN")
            hot = (range(at, len(image)), range(at, len(image)), range(len(image) - 12, len(image)))
            found.append(Case(image, hot, (range(at, at + 4),), name="image.nrg", mend=None))
    return found


def _cdi_seeds() -> list[Case]:
    found = []
    for version in ("2", "3", "3.5"):
        image = sheets.cdi(_ENTRIES, version=version)
        at = sum(len(entry.with_pregap) for entry in _ENTRIES)
        found.append(Case(image, (range(at, len(image)), range(at, at + 90)), (range(at, at + 35),), name="image.cdi"))
    return found


def _fixed_end(n: int) -> Callable[[Case, Random], Case]:
    """Changes, after which the last bytes mostly are what they were: they tell where the description is."""

    def change(case: Case, chance: Random) -> Case:
        made = changed(case, chance)
        if chance.random() < 0.8 and len(made.data) == len(case.data):
            made = made._replace(data=made.data[:-n] + case.data[-n:])
        return made

    return change


def _sector_seeds() -> list[Case]:
    found = []
    for kind in sheets.KINDS:
        image = sheets.stored(SAMPLE, kind)
        stride = sheets.KINDS[kind][0]
        hot = (range(16 * stride, 19 * stride), range(64), *(range(n * stride, n * stride + 24) for n in range(16, 22)))
        found.append(Case(image, hot, (range(16 * stride, 16 * stride + 24),)))
    for kind in ("plain", "rock"):
        data = discs.disc(kind)
        hot = (*(range(n * 2352, n * 2352 + 24) for n in range(40)),)
        found.append(Case(sheets.stored(data, "1/2352"), hot))
        found.append(Case(sheets.audio(10) + sheets.stored(data, "2/2352", 10), hot))
    return found


def _part_seeds() -> list[Case]:
    data = discs.disc("plain")
    third = len(data) // 3
    pieces = data[:third], data[third : 2 * third], data[2 * third :]
    compressed = containers.cso(data)
    n = len(compressed) // 2
    found = []
    for first, names in (
        ("image.001", ("image.002", "image.003")),
        ("image.iso.aa", ("image.iso.ab", "image.iso.ac")),
        ("image.1.iso", ("image.2.iso", "image.3.iso")),
        ("image.part1", ("image.part2", "image.part3")),
        ("image.i00", ("image.i01", "image.i02")),
    ):
        hot = (range(16 * 2048, 16 * 2048 + 200),)
        found.append(Case(pieces[0], hot, (), dict(zip(names, pieces[1:], strict=True)), first))
    found.append(Case(compressed[:n], (range(24),), (), {"image.2.cso": compressed[n:]}, "image.1.cso"))
    return found


def _change_parts(case: Case, chance: Random) -> Case:
    """Changes of the first part, and of the others: gone, empty, cut, something else, or named otherwise."""
    beside = dict(case.beside)
    if not beside:
        return changed(case, chance)
    name = chance.choice(list(beside))
    kind = chance.randrange(7)
    if kind == 0:
        del beside[name]
    elif kind == 1:
        beside[name] = chance.choice((b"", b"\0", case.data[:50_000], containers.cso(SAMPLE)))
    elif kind == 2:
        beside[name] = beside[name][: chance.randrange(len(beside[name]) + 1)]
    elif kind == 3:
        beside[name.upper()] = beside.pop(name)
    if kind < 5:
        return case._replace(beside=beside)
    return changed(case._replace(beside=beside), chance)


def _identity(image: bytes) -> bytes:
    """The SHA-1 of a CHD image, by which it is found as a parent."""
    at = 80 if image[12:16] == b"\0\0\0\3" else 48 if image[12:16] == b"\0\0\0\4" else 84
    return image[at : at + 20]


def _child(parent: bytes, disc: bytes, size: int = 4096) -> bytes:
    """An image that leaves out every other hunk of a disc."""
    hunks = chd.usual(disc, size)
    hunks = [hunk if i % 2 else chd.Hunk(6, number=i * size // 2048) for i, hunk in enumerate(hunks)]
    return chd.version_5(hunks, size, len(disc), disc=disc + parent[:124], parent=_identity(parent))


def _parent_seeds() -> list[Case]:
    first = chd.version_5(chd.usual(_PLAIN, 4096), 4096, len(_PLAIN), disc=_PLAIN)
    large = chd.version_5(chd.usual(_PLAIN, 16384), 16384, len(_PLAIN), disc=_PLAIN)
    old = chd.old(4, chd.old_usual(_PLAIN, 4096), 4096, len(_PLAIN), disc=_PLAIN)
    second = _child(first, _PLAIN)
    absent = range(16, len(_PLAIN) // 2048, 3)
    plain = chd.uncompressed(_PLAIN, 2048, parent=_identity(first), absent=absent)
    rows = chd.old_usual(_PLAIN, 4096)
    rows = [row if i % 3 else chd.Entry(5, number=i) for i, row in enumerate(rows)]
    found = [
        (second, {"p.chd": first}),
        (_child(second, _PLAIN), {"p.chd": second, "q.chd": first}),
        (_child(large, _PLAIN), {"p.chd": large, "q.chd": first}),
        (chd.old(4, rows, 4096, len(_PLAIN), disc=_PLAIN[1:], parent=_identity(old)), {"p.chd": old}),
        (plain, {"p.chd": first}),
    ]
    return [
        Case(
            child, (range(124), range(104, 124), range(124, len(child))), (range(84), range(104, 124)), beside, "i.chd"
        )
        for child, beside in found
    ]


def _change_parents(case: Case, chance: Random) -> Case:
    """Changes of the child; of a parent, which keeps its SHA-1; of who is whose."""
    beside = dict(case.beside)
    kind = chance.randrange(8)
    if not beside or kind < 2:
        return changed(case, chance)
    name = chance.choice(sorted(beside))
    parent = beside[name]
    if kind < 5:
        vital = (range(16), range(48, 68), range(80, 124)) if chance.random() < 0.8 else ()
        beside[name] = changed(Case(parent, (range(124), range(len(parent))), vital), chance).data
    elif kind == 5:  # a shorter one, or one with other hunks, that says it is the same
        disc = _PLAIN[: chance.choice((2048, 4096, len(_PLAIN) // 2, len(_PLAIN)))]
        size = chance.choice((512, 2048, 4096, 16384, 1 << 20))
        made = chd.version_5(chd.usual(disc, size), size, len(disc), disc=disc)
        beside[name] = made[:84] + _identity(parent) + made[104:]
    elif kind == 6:  # a circle, or a chain that goes on
        made = _child(chance.choice((parent, case.data, *beside.values())), _PLAIN)
        beside[name] = made[:84] + _identity(parent) + made[104:]
    else:
        hunks = [chd.Hunk(6, number=chance.choice((i, 2 * i, chance.choice(NUMBERS) & 0xFFFFFFFF))) for i in range(36)]
        data = chd.version_5(
            hunks, 4096, 36 * 4096 - chance.choice((0, 1, 4095)), disc=_PLAIN, parent=_identity(parent)
        )
        case = case._replace(data=data)
    return case._replace(beside=beside)


def _audio_seeds() -> list[Case]:
    return [*_cue_seeds(), *_gdi_seeds(), *_mds_seeds()[:1]]


def _change_sheet(case: Case, chance: Random) -> Case:
    return changed(case, chance) if case.name.endswith(".mds") else changed_text(case, chance)


# --- volumes --------------------------------------------------------------------------------------------------------


class Tree:
    """A disc in memory."""

    def __init__(
        self,
        *kinds: str,
        change: Callable[[bytearray, Random], None] | None = None,
        hot: int = 0,
        thorough: float = 0.2,
    ) -> None:
        self._kinds, self._change, self._hot, self._thorough = kinds, change, hot, thorough

    def seeds(self) -> list[Case]:
        found = [case for kind in self._kinds for case in discs.cases(kind)]
        return [case._replace(hot=case.hot[: self._hot]) for case in found] if self._hot else found

    def change(self, case: Case, chance: Random) -> Case:
        return changed(case, chance, self._change)

    def run(self, case: Case) -> bool:
        """Past the first look is a disc with a root."""
        chance = Random(len(case.data))
        source = MemorySource(case.data)
        volume = open_iso9660(source, chance.choice(VIEWS[:5]), BlockCache(limits.CACHE_LEAST))
        read_volume(volume, chance)
        if chance.random() < self._thorough:
            read_structure(volume, source)
            return True
        assert source.read_bytes < 40 * len(case.data) + (8 << 20), "more is read than there is"
        return True


def _change_catalogue(image: bytearray, chance: Random) -> None:
    """Another boot catalogue, or one changed and summed up again."""
    at = int.from_bytes(image[17 * 2048 + 71 : 17 * 2048 + 75], "little") * 2048
    if at + 2048 > len(image):
        return
    if chance.random() < 0.5:
        made = discs.boot_catalogue(chance, at // 2048 - 1)[:2048]
        image[at : at + len(made)] = made
    else:
        for _ in range(3):
            change_bytes(image, (range(at, at + 160),), chance)
        if at + 32 <= len(image):
            image[at + 28 : at + 30] = b"\0\0"
            image[at + 28 : at + 30] = (-sum(struct.unpack_from("<16H", image, at)) & 0xFFFF).to_bytes(2, "little")


class Zisofs:
    """A zisofs file on a disc: its record is sound, its header and table are not."""

    def seeds(self) -> list[Case]:
        (case,) = discs.cases("zisofs")
        starts = [
            at
            for at in range(24 * 2048, len(case.data), 2048)
            if case.data[at : at + 4] in (b"\x37\xe4\x53\x96", b"\xef\x22\x55\xa1")
        ]
        return [case._replace(hot=tuple(range(at, at + 80) for at in starts))]

    def change(self, case: Case, chance: Random) -> Case:
        return changed(case, chance, discs.change_records if chance.random() < 0.2 else None)

    def run(self, case: Case) -> bool:
        chance = Random(len(case.data))
        volume = open_iso9660(MemorySource(case.data), VIEWS[0], BlockCache(limits.CACHE_LEAST))
        read_volume(volume, chance)
        return True


# --- everything at once ---------------------------------------------------------------------------------------------


def _whole_seeds() -> list[Case]:
    found = [
        case._replace(name="image.iso")
        for kind in _SEEDS_OF_DISCS
        if kind != "high sierra"
        for case in discs.cases(kind)
    ]
    for name in ("cso", "zso", "dax", "jiso", "chd", "gzip", "xz", "zstd", "zisofs file"):
        found += TARGETS[name].seeds()[:3]
    parent = chd.version_5(chd.usual(_PLAIN, 4096), 4096, len(_PLAIN), disc=_PLAIN)
    hunks = [chd.Hunk(6, number=2 * i) for i in range(-(-len(_PLAIN) // 4096))]
    child = chd.version_5(hunks, 4096, len(_PLAIN), parent=parent[84:104])
    return [*found, Case(child, (range(124), range(124, len(child))), (range(124),), {"p.chd": parent}, "image.chd")]


def _change_whole(case: Case, chance: Random) -> Case:
    """A changed disc, then what is made of it changed again."""
    if case.name != "image.iso":
        return changed(case, chance)
    case = changed(case, chance, discs.change_records)
    pack = chance.choice((None, None, *_PACKERS))
    if pack is None or not case.data:
        return case
    data = pack(case.data)
    made = Case(data, (range(40), range(min(400, len(data)))), (range(24),))
    return changed(made, chance) if chance.random() < 0.3 else made


_PACKERS: Final[tuple[Callable[[bytes], bytes], ...]] = (
    containers.cso,
    containers.zso,
    containers.dax,
    containers.jiso,
    lambda data: chd.version_5(chd.usual(data, 4096), 4096, len(data)),
    lambda data: b"".join(bits.bgzf_member(data[at : at + 60_000]) for at in range(0, len(data), 60_000)),
    lambda data: bits.xz([data[at : at + 60_000] for at in range(0, len(data), 60_000)]),
    zisofs,
    lambda data: sheets.stored(data, "1/2352"),
    lambda data: sheets.stored(data, "2336"),
)

TARGETS: Final[Mapping[str, Target]] = {
    "cso": Container("cso", _cso_seeds),
    "zso": Container("zso", _zso_seeds),
    "dax": Container("dax", _dax_seeds),
    "jiso": Container("jiso", _jiso_seeds),
    "chd": Container("chd", _chd_seeds, fresh=_chd_fresh),
    "chd blocks": Codecs(),
    "gzip": Container("gzip", _gzip_seeds, fresh=_gzip_fresh),
    "xz": Container("xz", _xz_seeds, fresh=_xz_fresh),
    "zstd": Container("zstd", _zstd_seeds, fresh=_zstd_fresh),
    "zisofs file": Container("zisofs", _zisofs_seeds),
    "cue": File(_cue_seeds, changed_text),
    "toc": File(_toc_seeds, changed_text),
    "gdi": File(_gdi_seeds, changed_text),
    "ccd": File(_ccd_seeds, changed_text),
    "mds": File(_mds_seeds, changed),
    "nrg": File(_nrg_seeds, _fixed_end(12)),
    "cdi": File(_cdi_seeds, _fixed_end(8)),
    "sectors": File(_sector_seeds, changed),
    "parts": File(_part_seeds, _change_parts),
    "parents": File(_parent_seeds, _change_parents),
    "audio": File(_audio_seeds, _change_sheet, View(audio=True)),
    "descriptors": Tree("plain", "joliet", "descriptors", "512", "1024", hot=2),
    "records": Tree("plain", "joliet", "512", "1024", change=discs.change_records),
    "rock ridge": Tree("rock", "xa", change=discs.change_records),
    "attributes": Tree("attributes", change=discs.change_records),
    "zisofs": Zisofs(),
    "high sierra": Tree("high sierra"),
    "checksums": Tree("tags", change=discs.change_tags, hot=2, thorough=1),
    "boot": Tree("boot", change=_change_catalogue, hot=2, thorough=1),
    "image": File(_whole_seeds, _change_whole),
}
"""By name."""
