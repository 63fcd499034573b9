"""Sessions of images that tell none: they are looked for, or the caller tells where one begins."""

from __future__ import annotations

import gzip
import struct
import subprocess
from pathlib import Path
from typing import Literal

import pytest
from writers.containers import cso
from writers.discs import Disc
from writers.sheets import audio, stored
from writers.sources import Memory
from writers.tools import require

from isofs import limits
from isofs.cli import main
from isofs.errors import ImageError, NotADisc, UsageError
from isofs.image import open_image
from isofs.image.places import find_sessions, placed
from isofs.image.sectors import SECTOR, Track
from isofs.image.wishes import Wishes
from isofs.volume import open_volume
from isofs.volume.tree import ROOT, find

Session = int | Literal["last"] | None


def number(text: str, count: int = 2000) -> str:
    """Some sectors of text."""
    return "".join(f"{text} {i}\n" for i in range(count))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What is put into three sessions, one file each."""
    made = []
    for name in ("one", "two", "three"):
        folder = tmp_path_factory.mktemp("sessions") / name
        folder.mkdir()
        (folder / name).write_text(number(name))
        made.append(folder)
    return made


@pytest.fixture(scope="module")
def appended(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[int]]:
    """Sessions of genisoimage one behind the other, as on a CD, and where they begin."""
    require("genisoimage")
    work = tmp_path_factory.mktemp("appended")
    disc, starts = b"", [0]
    for folder in folders:
        (work / "disc.iso").write_bytes(disc)
        more = ["-C", f"{starts[-2]},{starts[-1]}", "-M", str(work / "disc.iso")] if disc else []
        command = ["genisoimage", "-quiet", "-R", "-J", *more, "-o", str(work / "next.iso"), str(folder)]
        subprocess.run(command, capture_output=True, timeout=60, check=True)
        disc += (work / "next.iso").read_bytes()
        starts.append(len(disc) // SECTOR)
    return disc, starts[:-1]


@pytest.fixture(scope="module")
def grown(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file that xorriso let grow."""
    require("xorriso")
    path = tmp_path_factory.mktemp("grown") / "disc.iso"
    for folder in folders:
        command = ["xorriso", "-dev", f"stdio:{path}", "-map", str(folder), "/", "-commit"]
        subprocess.run(command, capture_output=True, timeout=60, check=True)
    return path.read_bytes()


def seen(path: Path, wishes: Wishes) -> list[str]:
    """The files that an image shows; each holds what it should."""
    with open_image(str(path), wishes=wishes) as image:
        volume = open_volume(image)
        names = sorted(entry.name.decode() for entry in volume.entries(ROOT))
        for name in names:
            data = volume.data(find(volume, name).inode)
            assert data.pread(data.size, 0) == number(name).encode()
        assert not image.warnings
    return names


def refusal(path: Path, wishes: Wishes) -> str:
    with pytest.raises((UsageError, NotADisc)) as caught:
        seen(path, wishes)
    assert caught.value.path == str(path)
    return str(caught.value)


TREES = (["one"], ["one", "two"], ["one", "three", "two"])
"""The files of the first session, the second and the third."""


# --- looked for -----------------------------------------------------------------------------------------------------


def containers(disc: bytes) -> dict[str, bytes]:
    return {"iso": disc, "cso": cso(disc), "gz": gzip.compress(disc), "bin": stored(disc, "1/2352")}


@pytest.mark.parametrize("kind", ["iso", "cso", "gz", "bin"])
def test_sessions_behind_each_other(appended: tuple[bytes, list[int]], tmp_path: Path, kind: str) -> None:
    disc, starts = appended
    path = tmp_path / "disc"
    path.write_bytes(containers(disc)[kind])
    wanted: list[tuple[Session, int]] = [(None, 0), (0, 0), (1, 1), (2, 2), ("last", 2)]
    for session, expected in wanted:
        assert seen(path, Wishes(session=session, keep_index=False)) == TREES[expected]
    assert refusal(path, Wishes(session=3, keep_index=False)) == "session 3 is not on the disc; sessions: 0, 1, 2"
    with open_image(str(path), wishes=Wishes(keep_index=False)) as image:
        assert image.sessions() == starts
        assert image.first_sector == 0


def test_a_later_session_that_is_cut_off_is_told(appended: tuple[bytes, list[int]], tmp_path: Path) -> None:
    disc, _ = appended
    path = tmp_path / "disc.iso"
    path.write_bytes(disc[: -4 * SECTOR])
    with open_image(str(path), wishes=Wishes(session="last")) as image:
        open_volume(image)
        (warning,) = image.warnings
    assert warning.startswith(f"the disc is shorter than its volume: {len(disc) - 4 * SECTOR} of {len(disc)} bytes")


def test_info_tells_where_sessions_begin(
    appended: tuple[bytes, list[int]], grown: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for disc in (appended[0], grown):
        path = tmp_path / "disc.iso"
        path.write_bytes(disc)
        with open_image(str(path)) as image:
            starts = image.sessions()
        assert len(starts) == 3
        assert main(["info", str(path)]) == 0
        said = capsys.readouterr().out
        for session, start in enumerate(starts):
            assert f"session {session}:" in said
            assert f"from sector {start}\n" in said


def test_a_file_that_grew(grown: bytes, tmp_path: Path) -> None:
    path = tmp_path / "disc.iso"
    path.write_bytes(grown)
    wanted: list[tuple[Session, int]] = [(None, 2), (0, 0), (1, 1), (2, 2), ("last", 2)]
    for session, expected in wanted:
        assert seen(path, Wishes(session=session)) == TREES[expected]
    assert refusal(path, Wishes(session=3)) == "session 3 is not on the disc; sessions: 0, 1, 2"
    with open_image(str(path)) as image:
        starts = image.sessions()
    assert starts[0] == 32
    assert all(start % 32 == 0 for start in starts)
    assert len(starts) == 3


def test_a_gap_between_sessions(appended: tuple[bytes, list[int]], tmp_path: Path) -> None:
    disc, (_, second, third) = appended
    apart = Memory(disc[: third * SECTOR] + bytes(SECTOR))
    assert find_sessions(apart) == [0, second]
    moved = session(1000)
    assert find_sessions(Memory(disc[: second * SECTOR].ljust(1000 * SECTOR, b"\0") + moved)) == [0, 1000]
    path = tmp_path / "disc.iso"
    path.write_bytes(disc[: second * SECTOR].ljust(1000 * SECTOR, b"\0") + moved)
    with open_image(str(path), wishes=Wishes(session="last")) as image:
        assert image.first_sector == 1000
        assert [entry.name for entry in open_volume(image).entries(ROOT)] == [b"later"]


def session(first: int, *, claimed: int | None = None, root: int | None = None) -> bytes:
    """A session that begins at sector `first`. Its descriptor may claim another size and another root."""
    made = Disc()
    made.root.file(b"LATER.;1", b"text")
    data = bytearray(made.build())
    records = made.root.place
    for place in (16 * SECTOR + 156, records, records + 34, records + 68):
        (extent,) = struct.unpack_from("<I", data, place + 2)
        struct.pack_into("<I", data, place + 2, extent + first)
        struct.pack_into(">I", data, place + 6, extent + first)
    if claimed is not None:
        struct.pack_into("<I", data, 16 * SECTOR + 80, claimed)
    if root is not None:
        struct.pack_into("<I", data, 16 * SECTOR + 158, root)
    return bytes(data)


COUNT = len(session(0)) // SECTOR


def test_what_looks_like_a_session_and_is_none() -> None:
    assert find_sessions(Memory(session(0) + session(COUNT))) == [0, COUNT]
    assert find_sessions(Memory(session(0) + session(0))) == [0]  # a disc in a disc
    assert find_sessions(Memory(session(0) + session(COUNT, root=24))) == [0]  # the first one's root
    assert find_sessions(Memory(session(0) + session(COUNT)[: 20 * SECTOR])) == [0]
    assert find_sessions(Memory(session(0, claimed=2 * COUNT) + session(COUNT))) == [0]
    odd = session(0) + bytes(100) + session(COUNT)
    assert find_sessions(Memory(odd)) == [0]


@pytest.mark.parametrize("claimed", [0, 1, 0xFFFF_FFFF])
def test_sizes_that_cannot_be(claimed: int) -> None:
    found = find_sessions(Memory(session(0) + session(COUNT, claimed=claimed) + session(2 * COUNT)))
    assert found == ([0, COUNT] if claimed > 1 else [0, COUNT, 2 * COUNT])


def test_sizes_may_count_from_the_begin_of_the_disc(tmp_path: Path) -> None:
    disc = session(0) + session(COUNT, claimed=2 * COUNT) + session(2 * COUNT, claimed=3 * COUNT)
    assert find_sessions(Memory(disc)) == [0, COUNT, 2 * COUNT]
    path = tmp_path / "disc.iso"
    path.write_bytes(disc)
    for wanted in (0, 1, 2):
        with open_image(str(path), wishes=Wishes(session=wanted)) as image:
            open_volume(image)
            assert image.first_sector == wanted * COUNT
            assert not image.warnings


def test_a_first_session_of_32_sectors_is_one_of_its_own() -> None:
    first = session(0).ljust(32 * SECTOR, b"\0")
    assert len(first) == 32 * SECTOR
    assert find_sessions(Memory(first + session(32))) == [0, 32]


def test_nothing_is_found_on_nothing() -> None:
    assert find_sessions(Memory(b"")) == []
    assert find_sessions(Memory(bytes(1 << 20))) == []


def test_a_first_session_that_is_damaged_counts() -> None:
    assert find_sessions(Memory(session(0, root=999) + session(COUNT))) == [0, COUNT]


def test_the_search_ends_where_it_is_told_to() -> None:
    disc = Memory(session(0) + bytes(1 << 20) + session(COUNT + 512))
    assert find_sessions(disc) == [0, COUNT + 512]
    assert find_sessions(disc, most=1 << 19) == [0]


def test_the_search_ends_where_no_disc_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    disc = Memory(session(0) + bytes(1 << 20) + session(COUNT + 512))
    monkeypatch.setattr(limits, "PASS_SIZE", 1 << 20)
    assert find_sessions(disc) == [0]


def test_there_are_no_more_sessions_than_tracks() -> None:
    disc = b"".join(session(i * COUNT) for i in range(120))
    assert len(find_sessions(Memory(disc))) == 99


def test_a_damaged_place_hides_no_session_behind_it() -> None:
    class Damaged(Memory):
        def pread(self, n: int, offset: int) -> bytes:
            if offset < (COUNT + 64) * SECTOR < offset + n:
                raise ImageError("damaged")
            return super().pread(n, offset)

    assert find_sessions(Damaged(session(0) + bytes(1 << 20) + session(COUNT + 512))) == [0, COUNT + 512]


def test_sessions_of_a_cut_out_track_count_from_its_place(tmp_path: Path) -> None:
    path = tmp_path / "disc.iso"
    path.write_bytes(session(5000) + session(5000 + COUNT))
    with open_image(str(path), wishes=Wishes(session=1)) as image:
        assert image.sessions() == [5000, 5000 + COUNT]
        assert image.first_sector == 5000 + COUNT
        assert [entry.name for entry in open_volume(image).entries(ROOT)] == [b"later"]
        assert image.data.size == 2 * COUNT * SECTOR


@pytest.mark.parametrize("wanted", [0, "last"])
def test_a_disc_whose_blocks_are_small_is_one_session(tmp_path: Path, wanted: Session) -> None:
    made = Disc(block_size=512)
    made.root.file(b"A.;1", b"text")
    path = tmp_path / "disc.iso"
    path.write_bytes(made.build())
    with open_image(str(path), wishes=Wishes(session=wanted)) as image:
        assert [entry.name for entry in open_volume(image).entries(ROOT)] == [b"a"]
    assert refusal(path, Wishes(session=1)) == "session 1 is not on the disc; sessions: 0"


# --- told -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["iso", "cso", "bin"])
def test_the_sector_of_a_session_can_be_told(appended: tuple[bytes, list[int]], tmp_path: Path, kind: str) -> None:
    disc, starts = appended
    path = tmp_path / "disc"
    path.write_bytes(containers(disc)[kind])
    for start, expected in zip(starts, TREES, strict=True):
        assert seen(path, Wishes(sbsector=start)) == expected
    assert refusal(path, Wishes(sbsector=5)) == "no ISO 9660 volume begins at sector 5; see isofs info"
    assert refusal(path, Wishes(sbsector=(1 << 31) - 1)).startswith("no ISO 9660 volume begins at sector 2147483647")


def test_a_disc_with_nothing_at_its_begin(appended: tuple[bytes, list[int]], tmp_path: Path) -> None:
    disc, (_, second, _) = appended
    path = tmp_path / "disc.iso"
    path.write_bytes(bytes(second * SECTOR) + disc[second * SECTOR :])
    with pytest.raises(NotADisc, match="not a disc image"):
        seen(path, Wishes())
    with open_image(str(path), wishes=Wishes(sbsector=second)) as image:
        assert len(open_volume(image).entries(ROOT)) == 2


def test_sbsector_and_session_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "disc.iso"
    path.write_bytes(session(0))
    assert refusal(path, Wishes(sbsector=0, session=0)).startswith("options session and sbsector exclude each other; ")


def sheet_of(tmp_path: Path, *kinds: str) -> Path:
    """A sheet with a track of each kind, a file for each."""
    lines = []
    for i, kind in enumerate(kinds, 1):
        at = sum(10 if kind == "audio" else COUNT for kind in kinds[: i - 1])
        (tmp_path / f"{i}.bin").write_bytes(audio(10) if kind == "audio" else session(at))
        mode = "AUDIO" if kind == "audio" else "MODE1/2048"
        lines.append(f'FILE "{i}.bin" BINARY\n  TRACK {i:02} {mode}\n    INDEX 01 00:00:00\n')
    path = tmp_path / "disc.cue"
    path.write_text("".join(lines))
    return path


def test_the_sector_chooses_among_tracks(tmp_path: Path) -> None:
    path = sheet_of(tmp_path, "data", "audio", "data")
    for sector, number_ in ((None, 1), (0, 1), (COUNT + 10, 3)):
        with open_image(str(path), wishes=Wishes(sbsector=sector)) as image:
            assert image.track is not None
            assert image.track.number == number_
            assert image.sessions() == []
            assert [entry.name for entry in open_volume(image).entries(ROOT)] == [b"later"]
    assert refusal(path, Wishes(sbsector=COUNT + 5)) == f"no data track holds sector {COUNT + 5}; see isofs info"


def own(text: bytes) -> bytes:
    """A volume that counts its blocks from its own begin. Its root lies where that of any other such volume does."""
    made = Disc()
    made.root.file(text.upper() + b".;1", text)
    return made.build()


@pytest.mark.parametrize("kind", ["iso", "cso", "bin"])
@pytest.mark.parametrize("shift", [None, 700])
def test_a_volume_at_a_sector_may_count_from_there(tmp_path: Path, kind: str, shift: int | None) -> None:
    first, second = own(b"first"), own(b"second")
    path = tmp_path / f"disc.{kind}"
    path.write_bytes(containers(first + second)[kind])
    wishes = Wishes(sbsector=len(first) // SECTOR + (shift or 0), shift=shift)
    with open_image(str(path), wishes=wishes) as image:
        volume = open_volume(image)
        assert [entry.name for entry in volume.entries(ROOT)] == [b"second"]
        assert volume.data(find(volume, "second").inode).pread(9, 0) == b"second"
        assert image.data.pread(1 << 20, 0) == second
        assert not image.warnings
    with open_image(str(path), wishes=Wishes(sbsector=shift or 0, shift=shift)) as image:
        assert [entry.name for entry in open_volume(image).entries(ROOT)] == [b"first"]


def test_a_disc_image_on_a_disc_is_shown_by_its_sector(folders: list[Path], tmp_path: Path) -> None:
    require("genisoimage")
    require("xorriso")
    (tmp_path / "outer").mkdir()
    inner, outer = tmp_path / "outer" / "inner.iso", tmp_path / "outer.iso"
    for program, source, target in (
        (["genisoimage", "-quiet", "-R"], folders[0], inner),
        (["xorriso", "-as", "mkisofs", "-quiet", "-R"], inner.parent, outer),
    ):
        command = [*program, "-o", str(target), str(source)]
        subprocess.run(command, capture_output=True, timeout=60, check=True)
    place = outer.read_bytes().index(inner.read_bytes()[: 17 * SECTOR])
    assert seen(outer, Wishes(sbsector=place // SECTOR)) == ["one"]
    with open_image(str(outer), wishes=Wishes(session="last")) as image:
        assert [entry.name for entry in open_volume(image).entries(ROOT)] == [b"inner.iso"]


def test_a_track_whose_volume_counts_from_itself_is_found_by_its_sector(tmp_path: Path) -> None:
    path = sheet_of(tmp_path, "data", "audio", "data")
    (tmp_path / "1.bin").write_bytes(own(b"first"))
    (tmp_path / "3.bin").write_bytes(own(b"third"))
    sector = len(own(b"first")) // SECTOR + 10
    for wanted, name in ((Wishes(sbsector=sector), b"third"), (Wishes(sbsector=0), b"first")):
        with open_image(str(path), wishes=wanted) as image:
            assert [entry.name for entry in open_volume(image).entries(ROOT)] == [name]
            assert image.data.size == len(own(name))
    wrong = Wishes(sbsector=sector, track=1)
    assert refusal(path, wrong) == f"sector {sector} is on track 3, not on 1; leave track= out"


def test_the_last_session_of_a_sheet_is_the_default(tmp_path: Path) -> None:
    path = sheet_of(tmp_path, "data", "audio")
    for wanted in (None, "last", 0):
        with open_image(str(path), wishes=Wishes(session=wanted)) as image:
            assert image.first_sector == 0
    assert refusal(path, Wishes(session=1)) == "session 1 is not on the disc; sessions: 0"


# --- shift ----------------------------------------------------------------------------------------------------------


def alone(first: int) -> bytes:
    """A session that was dumped alone. Its root is not where one could be found out: behind many sectors."""
    data = session(first)
    root = Disc().root.extent
    far = 1500
    moved = data.ljust(far * SECTOR, b"\0") + data[root * SECTOR : (root + 1) * SECTOR]
    made = bytearray(moved)
    for place in (16 * SECTOR + 156, far * SECTOR, far * SECTOR + 34):
        struct.pack_into("<I", made, place + 2, first + far)
        struct.pack_into(">I", made, place + 6, first + far)
    made[root * SECTOR : (root + 1) * SECTOR] = bytes(SECTOR)
    return bytes(made)


@pytest.mark.parametrize("kind", ["iso", "cso", "bin"])
@pytest.mark.parametrize("first", [3000, 197_198])
def test_a_session_that_was_dumped_alone_is_shifted(tmp_path: Path, kind: str, first: int) -> None:
    path = tmp_path / "disc"
    path.write_bytes(containers(alone(first))[kind])
    with open_image(str(path), wishes=Wishes(shift=first)) as image:
        volume = open_volume(image)
        data = volume.data(find(volume, "later").inode)
        assert data.pread(9, 0) == b"text"
        assert image.first_sector == first
    with open_image(str(path)) as image, pytest.raises(ImageError):
        open_volume(image).entries(ROOT)


def test_no_shift_is_a_shift_too(tmp_path: Path) -> None:
    path = tmp_path / "disc.iso"
    path.write_bytes(session(5000))
    with open_image(str(path)) as image:
        assert image.first_sector == 5000
    with open_image(str(path), wishes=Wishes(shift=0)) as image:
        assert image.first_sector == 0
        assert image.tracks == ()
    path.write_bytes(session(0))
    with open_image(str(path), wishes=Wishes(shift=0)) as image:
        assert open_volume(image).lookup(ROOT, b"later") is not None


def test_a_shift_that_the_root_contradicts_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "disc.iso"
    path.write_bytes(session(0))
    with open_image(str(path), wishes=Wishes(shift=700)) as image:
        volume = open_volume(image)
        assert volume.data(find(volume, "later").inode).pread(9, 0) == b"text"


def test_tracks_are_shifted_together() -> None:
    tracks = [
        Track(1, "mode 1", 0, 50, None, 0, SECTOR),
        Track(2, "audio", 60, 10, None, 0, 2352),
    ]
    assert [track.start for track in placed(tracks, 1000)] == [1000, 1060]
    assert placed((), 5) == ()
