"""Writes discs as raw sectors, and the sheets that describe them.

Sectors after ECMA-130 and CD-ROM XA; EDC and ECC are zeros, which nobody checks here. The sheets' layouts are written
down here once more, apart from the readers.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from isofs.image.beside import Beside
from isofs.image.sectors import Track
from isofs.image.sheets import Sheet, find_sheet
from isofs.image.source import FileSource
from writers.discs import Disc, numbered_blocks

SYNC = bytes.fromhex("00ffffffffffffffffffff00")
DATA_SUBHEADER = bytes((0, 0, 8, 0)) * 2
FORM_2_SUBHEADER = bytes((0, 0, 0x20, 0)) * 2

KINDS = {
    "2048": (2048, 1),
    "2064": (2064, 1),
    "2144": (2144, 1),
    "2056": (2056, 2),
    "2332": (2332, 2),
    "2336": (2336, 2),
    "2432": (2432, 2),
    "1/2352": (2352, 1),
    "1/2368": (2368, 1),
    "1/2448": (2448, 1),
    "2/2352": (2352, 2),
    "2/2368": (2368, 2),
    "2/2448": (2448, 2),
}
"""How sectors may be stored: stride and mode."""


def iso(blocks: int = 8) -> bytes:
    """A small ISO."""
    disc = Disc()
    disc.root.file(b"A.TXT;1", numbered_blocks(blocks))
    return disc.build()


def header(sector: int, mode: int) -> bytes:
    """Sync and header of a sector of the disc."""
    second, frame = divmod(sector + 150, 75)
    minute, second = divmod(second, 60)
    return SYNC + bytes(int(str(part), 16) for part in (minute, second, frame)) + bytes((mode,))


def raw(data: bytes, sector: int, mode: int, *, form_2: bool = False) -> bytes:
    """The 2352 bytes of a sector."""
    if mode == 1:
        return (header(sector, 1) + data).ljust(2352, b"\0")
    return (header(sector, 2) + (FORM_2_SUBHEADER if form_2 else DATA_SUBHEADER) + data).ljust(2352, b"\0")


def stored(disc: bytes, kind: str, first: int = 0) -> bytes:
    """A disc's sectors as one of `KINDS`; the first one has the number `first`."""
    stride, mode = KINDS[kind]
    sectors = []
    for i in range(0, len(disc), 2048):
        data = disc[i : i + 2048].ljust(2048, b"\0")
        whole = raw(data, first + i // 2048, mode)
        if stride >= 2352 and stride != 2432:
            sectors.append(whole.ljust(stride, b"\x55"))
        elif mode == 2:
            sectors.append(whole[16 : min(16 + stride, 2352)].ljust(stride, b"\x55"))
        else:
            sectors.append(data.ljust(stride, b"\x55"))
    return b"".join(sectors)


def audio(sectors: int, stride: int = 2352) -> bytes:
    """Noise."""
    return random.Random(sectors).randbytes(sectors * stride)


# --- reading them back ----------------------------------------------------------------------------------------------


@contextmanager
def reading(path: Path) -> Iterator[Sheet]:
    """What a sheet says; its files are open meanwhile."""
    source, beside = FileSource(str(path)), Beside(str(path))
    try:
        module = find_sheet(source)
        assert module is not None, "nobody knows it"
        yield module.open_sheet(source, beside)
    finally:
        beside.close()
        source.close()


def recognised(path: Path) -> str:
    """The name of the module that knows a file, or an empty one."""
    source = FileSource(str(path))
    try:
        module = find_sheet(source)
        return "" if module is None else str(module.__name__).rpartition(".")[2]  # type: ignore[attr-defined]
    finally:
        source.close()


def user_data(track: Track) -> bytes:
    """What a track holds: 2048 bytes of each sector."""
    assert track.source is not None
    pieces = []
    for i in range(track.count):
        at = track.position + i * track.stride
        offset = track.offset
        if track.header:
            head = track.source.pread(16, at)
            assert head[:12] == SYNC, "no sector begins here"
            offset = 16 if head[15] == 1 else offset
        pieces.append(track.source.pread(2048, at + offset))
    return b"".join(pieces)


def sane(sheet: Sheet) -> None:
    """Tracks ascend, and all their sectors are in their sources."""
    assert sheet.tracks
    end, number = 0, 0
    for track in sheet.tracks:
        assert number < track.number <= 99
        assert track.start >= end
        assert track.count >= 0
        assert track.session >= 1
        if track.source is not None:
            assert track.count
            assert track.position >= 0
            assert track.position + track.count * track.stride <= track.source.size
            assert 0 <= track.offset <= track.stride - 2048 or track.mode == "audio"
        end, number = track.end, track.number


# --- the sheets -----------------------------------------------------------------------------------------------------


def msf(sectors: int) -> str:
    """A time, as texts have it."""
    return f"{sectors // 4500:02}:{sectors // 75 % 60:02}:{sectors % 75:02}"


class Entry(NamedTuple):
    """A track of a binary sheet. What a format does not tell is not written."""

    number: int
    mode: str
    """`audio`, or one of `KINDS`."""
    data: bytes
    """Its sectors as stored, without the pregap."""
    start: int = 0
    """Sector of the disc."""
    pregap: int = 0
    """Sectors of the pregap, zeros; a format may store them."""
    session: int = 1

    @property
    def stride(self) -> int:
        return 2352 if self.mode == "audio" else KINDS[self.mode][0]

    @property
    def sectors(self) -> int:
        return len(self.data) // self.stride

    @property
    def cd_mode(self) -> int:
        """0 audio, 1 and 2."""
        return 0 if self.mode == "audio" else KINDS[self.mode][1]

    @property
    def with_pregap(self) -> bytes:
        return bytes(self.pregap * self.stride) + self.data


def sessions(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The entries by session."""
    return [
        [entry for entry in entries if entry.session == session]
        for session in range(1, max(entry.session for entry in entries) + 1)
    ]


def ccd(entries: Sequence[Entry], *, index_0: dict[int, int] | None = None, scrambled: int = 0) -> str:
    """A CloneCD sheet."""
    lines = ["[CloneCD]", "Version=3", "[Disc]", "TocEntries=9", f"DataTracksScrambled={scrambled}", "CDTextLength=0"]
    toc = []
    for number, group in enumerate(sessions(entries), 1):
        toc += [(number, 0xA0, 4, 4350), (number, 0xA1, 4, 4350)]
        toc.append((number, 0xA2, 4, group[-1].start + group[-1].sectors))
        toc += [(number, entry.number, 4 * (entry.mode != "audio"), entry.start) for entry in group]
    for i, (session, point, control, start) in enumerate(toc):
        lines += [f"[Entry {i}]", f"Session={session}", f"Point={point:#04x}", "ADR=0x01", f"Control={control:#04x}"]
        lines += ["TrackNo=0", "AMin=0", "ALBA=-150", "Zero=0", f"PLBA={start}"]
    for entry in entries:
        lines += [f"[TRACK {entry.number}]", f"MODE={entry.cd_mode}"]
        if index_0 and entry.number in index_0:
            lines.append(f"INDEX 0={index_0[entry.number]}")
        lines.append(f"INDEX 1={entry.start}")
    return "\r\n".join([*lines, "[CDText]", "Entries=0", ""])


def mds(entries: Sequence[Entry], names: Sequence[str] = ("*.mdf",), *, wide: bool = False, dvd: bool = False) -> bytes:
    """An Alcohol sheet; the tracks' data follow each other in the MDF, without pregaps."""
    groups = sessions(entries)
    at = 88 + 24 * len(groups)
    blocks_at = []
    for group in groups:
        blocks_at.append(at)
        at += 80 * (len(group) + 3)
    extras_at = at
    footers_at = extras_at + 8 * len(entries)
    name_at = footers_at + 16 * len(names)
    head = struct.pack("<16sBBHH", b"MEDIA DESCRIPTOR", 1, 3, 0x10 if dvd else 0, len(groups))
    head = head.ljust(80, b"\0") + struct.pack("<II", 88, 0)
    session_blocks, track_blocks, extras = b"", b"", b""
    position = 0
    for number, (group, at) in enumerate(zip(groups, blocks_at, strict=True), 1):
        session_blocks += struct.pack(
            "<iiHBBHHII",
            group[0].start - 150,
            group[-1].start + group[-1].sectors,
            number,
            len(group) + 3,
            3,
            group[0].number,
            group[-1].number,
            0,
            at,
        )
        for point in (0xA0, 0xA1, 0xA2):
            track_blocks += struct.pack("<4xB", point).ljust(80, b"\0")
        for entry in group:
            extra = entry.sectors if dvd else extras_at + len(extras)
            extras += struct.pack("<II", entry.pregap, entry.sectors)
            block = struct.pack(
                "<BBBBB7xIH18xIQII",
                {0: 0xA9, 1: 0xAA, 2: 0xAB}[entry.cd_mode],
                8 if entry.stride == 2448 else 0,
                0x14,
                0,
                entry.number,
                extra,
                entry.stride,
                entry.start,
                position,
                len(names),
                footers_at,
            )
            track_blocks += block.ljust(80, b"\0")
            position += len(entry.data)
    footers, texts = b"", b""
    for name in names:
        footers += struct.pack("<IIII", name_at + len(texts), wide, 0, 0)
        texts += (name + "\0").encode("utf-16-le" if wide else "utf-8")
    return head + session_blocks + track_blocks + extras + footers + texts


_NERO_MODES = {
    "2048": 0,
    "2336": 3,
    "1/2352": 5,
    "2/2352": 6,
    "audio": 7,
    "1/2448": 15,
    "2/2448": 17,
}


def nrg(entries: Sequence[Entry], *, version: int = 2, tao: bool = False, end: bytes = b"END!\0\0\0\0") -> bytes:
    """A Nero image. Disc at once stores the pregaps, track at once does not."""
    body, chunks = b"", b""

    def chunk(name: bytes, data: bytes) -> bytes:
        return name + struct.pack(">I", len(data)) + data

    for group in sessions(entries):
        cues, tracks = struct.pack(">BBBBi", 0x41, 0, 0, 0, -150), b""
        for entry in group:
            number = int(str(entry.number), 16)
            for index, sector in ((0, entry.start - entry.pregap), (1, entry.start)):
                place = struct.pack(">i", sector) if version == 2 else bytes((0, *time(sector + 150)))
                cues += bytes((0x41, number, index, 0)) + place
            mode = _NERO_MODES[entry.mode]
            if tao:
                form = ">QQ3xBI8x" if version == 2 else ">II3xBI4x"
                tracks += struct.pack(form, len(body), len(entry.data), mode, entry.start)
                body += entry.data
            else:
                at = len(body)
                body += entry.with_pregap
                form = ">12sHBBHQQQ" if version == 2 else ">12sHBBHIII"
                places = (at, at + entry.pregap * entry.stride, len(body))
                tracks += struct.pack(form, b"", entry.stride, mode, 0, 1, *places)
        if tao:
            chunks += chunk(b"ETN2" if version == 2 else b"ETNF", tracks)
        else:
            n = 22 + len(tracks)
            head = struct.pack("<I", n) + struct.pack(">13sBHBB", b"", 0, 1, group[0].number, group[-1].number)
            chunks += chunk(b"CUEX" if version == 2 else b"CUES", cues)
            chunks += chunk(b"DAOX" if version == 2 else b"DAOI", head + tracks)
        chunks += chunk(b"SINF", struct.pack(">I", len(group)))
    chunks += chunk(b"MTYP", struct.pack(">I", 1)) + end
    trailer = b"NER5" + struct.pack(">Q", len(body)) if version == 2 else b"NERO" + struct.pack(">I", len(body))
    return body + chunks + trailer


def time(sectors: int) -> tuple[int, int, int]:
    """Minute, second, frame."""
    return sectors // 4500, sectors // 75 % 60, sectors % 75


_CDI_MARK = bytes.fromhex("0000 0100 0000 ffff ffff")
_CDI_STRIDES = (2048, 2336, 2352, 2368, 2448)


def cdi(entries: Sequence[Entry], *, version: str = "3.5", name: bytes = b"C:\\A.CDI", late: bool = True) -> bytes:
    """A DiscJuggler image, after the description of the format. `late`: with what later releases added."""
    number = {"2": 0x80000004, "3": 0x80000005, "3.5": 0x80000006}[version]
    late = late and version != "2"
    body = b"".join(entry.with_pregap for entry in entries)
    groups = sessions(entries)
    sheet = struct.pack("<H", len(groups))
    for group in groups:
        sheet += struct.pack("<H", len(group))
        for entry in group:
            sheet += struct.pack("<I8x", 1) if late else bytes(4)
            sheet += _CDI_MARK * 2 + bytes(3) + bytes((len(entries), len(name))) + name + bytes(19)
            sheet += struct.pack("<I8x", 0x80000000) if late else bytes(4)
            sheet += struct.pack("<HIII", 2, entry.pregap, entry.sectors, late)
            sheet += (b"\x05TITLE" + bytes(17)) * late
            sheet += struct.pack("<2xI4xII", entry.cd_mode, entry.session - 1, entry.number - 1)
            start = entry.start + 150 - entry.pregap
            sheet += struct.pack("<II16xI", start, entry.pregap + entry.sectors, _CDI_STRIDES.index(entry.stride))
            sheet += bytes(29)
            if version != "2":
                sheet += bytes(5) + (b"\xff" * 4 + bytes(78) if late else bytes(4))
        sheet += bytes(12 if version == "2" else 13)
    sheet += struct.pack("<H", 0)
    at = len(sheet) + 8 if version == "3.5" else len(body)
    return body + sheet + struct.pack("<II", number, at)
