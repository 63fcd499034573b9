"""One disc in every container and by every sheet, really mounted: the same tree and bytes each time."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import subprocess
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from writers.chd import overall, sha1, usual, version_5
from writers.chd import track as chd_track
from writers.containers import cso, zso
from writers.discs import zisofs
from writers.mounting import LIMIT, Mounting, fails, mounted, succeeds
from writers.sheets import Entry, audio, ccd, cdi, mds, nrg, stored
from writers.tools import require

SECTOR: Final = 2048
FRAME: Final = 2448


def tree_hash(root: Path) -> str:
    """One hash of the paths, kinds, sizes and contents of a whole tree."""
    found = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(folders + files):
            path = Path(folder, name)
            status = path.lstat()
            found.update(b"%s %o " % (os.fsencode(path.relative_to(root)), stat.S_IFMT(status.st_mode)))
            if stat.S_ISLNK(status.st_mode):
                found.update(os.fsencode(os.readlink(path)))
            elif stat.S_ISREG(status.st_mode):
                found.update(b"%d %s" % (status.st_size, hashlib.sha256(path.read_bytes()).digest()))
            found.update(b"\n")
    return found.hexdigest()


def make_tree(at: Path, seed: int = 0) -> Path:
    """Some hundred KB: files that compress and others, an empty one, a deep one, a link."""
    chance = random.Random(seed)
    (at / "deep/er/still").mkdir(parents=True)
    for name, data in {
        "random.bin": chance.randbytes(70_001),
        "text.txt": b"".join(b"line %d of the text\n" % n for n in range(9000)),
        "empty": b"",
        "deep/er/zeros": bytes(50_000),
        "deep/er/still/Grüße.txt": b"hello %d\n" % seed,
    }.items():
        (at / name).write_bytes(data)
    for n in range(40):
        (at / f"deep/file {n:02}").write_bytes(b"%d;" % n * n * 10)
    (at / "deep/link").symlink_to("../text.txt")
    return at


def run(*words: str | Path, stdout: Path | None = None) -> None:
    """Runs a tool, whose output goes into a file."""
    with open(stdout or os.devnull, "wb") as out:
        command = [require(str(words[0])), *map(str, words[1:])]
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr


def mastered(source: Path, image: Path, *options: str) -> bytes:
    """A disc of a tree, by xorriso, in whole sectors."""
    run("xorriso", "-as", "mkisofs", "-quiet", "-R", "-no-pad", *options, "-o", image, source)
    return image.read_bytes()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree."""
    return make_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def disc(source: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The disc of it."""
    return mastered(source, tmp_path_factory.mktemp("disc") / "disc.iso")


@pytest.fixture(autouse=True)
def _nothing_left(mounting: Mounting) -> Iterator[None]:
    """What a test mounts is gone behind it."""
    yield
    mounting.clean()
    assert str(mounting._directory) not in Path("/proc/mounts").read_text().replace("\\040", " ")


# --- containers and sheets ------------------------------------------------------------------------------------------

Put = Callable[[Path, bytes], Path]
"""Puts a disc into a directory; gives what is to be mounted."""


def written(name: str, write: Callable[[bytes], bytes]) -> Put:
    """One file, by a writer of ours."""

    def put(at: Path, disc: bytes) -> Path:
        (at / name).write_bytes(write(disc))
        return at / name

    return put


def with_file(sheet: str, text: str | bytes | Callable[[bytes], str | bytes], name: str, kind: str) -> Put:
    """A sheet and its track."""

    def put(at: Path, disc: bytes) -> Path:
        data = stored(disc, kind)
        (at / name).write_bytes(data)
        told = text(data) if callable(text) else text
        (at / sheet).write_bytes(told if isinstance(told, bytes) else told.encode())
        return at / sheet

    return put


def piped(name: str, *words: str, kind: str = "2048") -> Put:
    """The output of a tool that compresses a file."""

    def put(at: Path, disc: bytes) -> Path:
        (at / "disc.iso").write_bytes(stored(disc, kind))
        run(*words, at / "disc.iso", stdout=at / name)
        (at / "disc.iso").unlink()
        return at / name

    return put


def by_chdman(command: str, *words: str, kind: str = "2048") -> Put:
    """A CHD by chdman: of a CUE sheet, or of an ISO."""

    def put(at: Path, disc: bytes) -> Path:
        (at / "disc.bin").write_bytes(stored(disc, kind))
        (at / "disc.cue").write_text(CUE.get(kind, ""))
        named = at / ("disc.cue" if command == "createcd" else "disc.bin")
        run("chdman", command, "-i", named, "-o", at / "disc.chd", *words)
        return at / "disc.chd"

    return put


def chd_of_a_dvd(disc: bytes) -> bytes:
    """As chdman writes it since DVDs are known to it."""
    return version_5(usual(disc, 4096), 4096, len(disc), metadata=[(b"DVD ", 1, b"\0")], disc=disc)


def chd_of_a_cd(disc: bytes) -> bytes:
    """Sectors of mode 2 with sync and header."""
    raw = stored(disc, "2/2448")
    raw += bytes(-len(raw) % (FRAME * 4))
    hunks = usual(raw, FRAME * 8)
    metadata = [chd_track(1, "MODE2_RAW", len(disc) // SECTOR)]
    return version_5(hunks, FRAME * 8, len(raw), unit=FRAME, metadata=metadata, disc=raw)


def split(at: Path, disc: bytes) -> Path:
    """Three parts."""
    third = len(disc) // 3 + 100
    for n in range(3):
        (at / f"disc.iso.{n + 1:03}").write_bytes(disc[n * third :][:third])
    return at / "disc.iso.001"


def in_frames(at: Path, disc: bytes) -> Path:
    """By pzstd, in more frames than a disc of this size would get."""
    quarter = len(disc) // 4 + 1
    frames = b""
    for start in range(0, len(disc), quarter):
        (at / "part").write_bytes(disc[start : start + quarter])
        run("pzstd", "-q", "-c", at / "part", stdout=at / "frames")
        frames += (at / "frames").read_bytes()
    (at / "disc.iso.zst").write_bytes(frames)
    return at / "disc.iso.zst"


def cue(mode: str, name: str = "disc.bin") -> str:
    return f'FILE "{name}" BINARY\n  TRACK 01 {mode}\n    INDEX 01 00:00:00\n'


CUE: Final = {
    "2048": cue("MODE1/2048"),
    "1/2352": cue("MODE1/2352"),
    "2/2352": cue("MODE2/2352"),
    "2336": cue("MODE2/2336"),
}


def entry(kind: str) -> Callable[[bytes], list[Entry]]:
    return lambda data: [Entry(1, kind, data)]


CONTAINERS: Final[dict[str, Put]] = {
    "plain": written("disc.iso", lambda disc: disc),
    "CSO": written("disc.cso", cso),
    "ZSO": written("disc.zso", zso),
    "ZSO of raw sectors": written("disc.zso", lambda disc: zso(stored(disc, "1/2352"), block_size=2352)),
    "CUE, mode 1": with_file("disc.cue", CUE["1/2352"], "disc.bin", "1/2352"),
    "CUE, mode 2": with_file("disc.cue", CUE["2/2352"], "disc.bin", "2/2352"),
    "CUE, 2048": with_file("disc.cue", CUE["2048"], "disc.bin", "2048"),
    "CCD": with_file("disc.ccd", lambda data: ccd(entry("1/2352")(data)), "disc.img", "1/2352"),
    "MDS": with_file("disc.mds", lambda data: mds(entry("2/2448")(data)), "disc.mdf", "2/2448"),
    "MDS of a DVD": with_file("disc.mds", lambda data: mds(entry("2048")(data), dvd=True), "disc.mdf", "2048"),
    "NRG": written("disc.nrg", lambda disc: nrg([Entry(1, "1/2352", stored(disc, "1/2352"), pregap=150)])),
    "NRG version 1": written("disc.nrg", lambda disc: nrg([Entry(1, "2048", disc)], version=1, tao=True)),
    "CDI": written("disc.cdi", lambda disc: cdi([Entry(1, "2/2352", stored(disc, "2/2352"), pregap=150)])),
    "TOC": with_file("disc.toc", 'CD_ROM\nTRACK MODE1_RAW\nDATAFILE "disc.bin"\n', "disc.bin", "1/2352"),
    "GDI": with_file("disc.gdi", "1\n1 0 4 2352 disc.bin 0\n", "disc.bin", "1/2352"),
    "raw": written("disc.bin", lambda disc: stored(disc, "1/2352")),
    "raw, 2336": written("disc.bin", lambda disc: stored(disc, "2336")),
    "raw, 2448": written("disc.bin", lambda disc: stored(disc, "2/2448")),
    "CHD createcd": by_chdman("createcd"),
    "CHD createcd, raw": by_chdman("createcd", kind="1/2352"),
    "CHD createcd, mode 2": by_chdman("createcd", kind="2/2352"),
    "CHD createcd, 2336, LZMA": by_chdman("createcd", "-c", "cdlz", kind="2336"),
    "CHD createraw": by_chdman("createraw", "-us", "2048", "-hs", "4096", "-c", "zlib,huff,lzma"),
    "CHD of a DVD": written("disc.chd", chd_of_a_dvd),
    "CHD of a CD": written("disc.chd", chd_of_a_cd),
    "gzip": piped("disc.iso.gz", "gzip", "-c"),
    "gzip of raw sectors": piped("disc.bin.gz", "gzip", "-c", kind="2/2352"),
    "dictzip": piped("disc.iso.dz", "dictzip", "-k", "-c"),
    "bgzip": piped("disc.iso.gz", "bgzip", "-c"),
    "xz": piped("disc.iso.xz", "xz", "-T1", "--block-size=65536", "-c"),
    "pzstd": in_frames,
    "zisofs": written("disc.iso.zf", zisofs),
    "split": split,
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_tree_is_the_same_from_every_container(
    mounting: Mounting, source: Path, disc: bytes, tmp_path: Path, container: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    point = mounting.mount(CONTAINERS[container](home, disc))
    assert tree_hash(point) == tree_hash(source)


# --- tracks, sessions, audio ----------------------------------------------------------------------------------------

GAP: Final = 6750 + 4500 + 150
"""Sectors between two sessions: lead-out, lead-in, pregap."""


@pytest.fixture(scope="module")
def sessions(source: Path, disc: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disc of two sessions, the second with files of the first one and one of its own, by a CUE sheet."""
    at = tmp_path_factory.mktemp("sessions")
    (at / "first.iso").write_bytes(disc)
    added = at / "added"
    added.mkdir()
    (added / "new.txt").write_text("of the second session")
    start = len(disc) // SECTOR + GAP
    second = mastered(added, at / "second.iso", "-M", str(at / "first.iso"), "-C", f"0,{start}")
    (at / "1.bin").write_bytes(stored(disc, "1/2352"))
    (at / "2.bin").write_bytes(stored(second, "2/2352", start))
    second_sheet = cue("MODE2/2352", "2.bin").replace("TRACK 01", "TRACK 02")
    (at / "disc.cue").write_text(f"REM SESSION 01\n{cue('MODE1/2352', '1.bin')}REM SESSION 02\n{second_sheet}")
    return at / "disc.cue"


@pytest.mark.parametrize("options", [("-o", "session=0"), ("-o", "track=1"), ("-o", "track=1,session=0")])
def test_an_earlier_session_is_shown_when_it_is_asked_for(
    mounting: Mounting, sessions: Path, source: Path, options: tuple[str, ...]
) -> None:
    assert tree_hash(mounting.mount(sessions, *options)) == tree_hash(source)


@pytest.mark.parametrize(
    "options", [(), ("-o", "session=last"), ("-o", "session=1"), ("-o", "track=2"), ("-o", "audio")]
)
def test_else_it_is_the_last_one_with_the_files_of_all(
    mounting: Mounting, sessions: Path, source: Path, options: tuple[str, ...]
) -> None:
    point = mounting.mount(sessions, *options)
    assert sorted(os.listdir(point)) == sorted([*os.listdir(source), "new.txt"])
    assert (point / "new.txt").read_text() == "of the second session"
    assert (point / "random.bin").read_bytes() == (source / "random.bin").read_bytes()
    assert tree_hash(point / "deep") == tree_hash(source / "deep")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("track=3", "track 3 is not on the disc"),
        ("session=2", "session 2 is not on the disc"),
        ("track=2,session=0", "session 0 has no such data track"),
    ],
)
def test_a_track_or_session_that_is_not_there_is_said(
    mounting: Mounting, sessions: Path, option: str, words: str
) -> None:
    point = mounting.point()
    assert words in fails(1, "mount", "-o", option, sessions, point)
    assert mounted(point) is None


@pytest.fixture(scope="module")
def mixed(disc: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disc with a data track and two audio tracks in one file."""
    at = tmp_path_factory.mktemp("mixed")
    raw = stored(disc, "1/2352")
    sheet = cue("MODE1/2352")
    first = len(disc) // SECTOR
    for number, start in ((2, first), (3, first + 40)):
        sheet += f"  TRACK {number:02} AUDIO\n    INDEX 01 00:{start // 75:02}:{start % 75:02}\n"
    (at / "disc.bin").write_bytes(raw + audio(40) + audio(33))
    (at / "disc.cue").write_text(sheet)
    return at / "disc.cue"


def samples(path: Path) -> bytes:
    """What a WAV file holds, read by another program's rules."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 44100)
        data = file.readframes(file.getnframes())
    assert path.stat().st_size == 44 + len(data)
    return data


def test_audio_tracks_are_shown_as_wav_files(mounting: Mounting, mixed: Path, source: Path, tmp_path: Path) -> None:
    point = mounting.mount(mixed, "-o", "audio")
    assert sorted(os.listdir(point)) == sorted([*os.listdir(source), "audio"])
    assert sorted(os.listdir(point / "audio")) == ["track02.wav", "track03.wav"]
    assert samples(point / "audio/track02.wav") == audio(40)
    assert samples(point / "audio/track03.wav") == audio(33)
    assert tree_hash(point / "deep") == tree_hash(source / "deep")


def test_without_being_asked_for_they_are_not_shown(mounting: Mounting, mixed: Path, source: Path) -> None:
    assert tree_hash(mounting.mount(mixed)) == tree_hash(source)


def test_audio_tracks_in_a_chd_are_the_same(mounting: Mounting, mixed: Path, tmp_path: Path) -> None:
    run("chdman", "createcd", "-i", mixed, "-o", tmp_path / "disc.chd")
    point = mounting.mount(tmp_path / "disc.chd", "-o", "audio")
    assert samples(point / "audio/track02.wav") == audio(40)
    assert samples(point / "audio/track03.wav") == audio(33)


def test_a_disc_of_audio_alone_shows_nothing_else(mounting: Mounting, tmp_path: Path) -> None:
    (tmp_path / "disc.bin").write_bytes(audio(30))
    (tmp_path / "disc.cue").write_text(cue("AUDIO"))
    point = mounting.mount(tmp_path / "disc.cue", "-o", "audio")
    assert os.listdir(point) == ["audio"]
    assert samples(point / "audio/track01.wav") == audio(30)
    succeeds("umount", point)
    assert "-o audio shows them as files" in fails(32, "mount", tmp_path / "disc.cue", point)


# --- refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["track.bin", "../track.bin", "/etc/passwd", "C:\\images\\track.bin"])
def test_a_sheet_whose_file_is_missing_is_refused_by_its_name(mounting: Mounting, tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "track.bin").write_bytes(b"a file of another directory")
    (home / "disc.cue").write_text(cue("MODE1/2352", name))
    point = mounting.point()
    said = fails(32, "mount", home / "disc.cue", point)
    assert said == f"{home / 'disc.cue'}: the file {name!r} that it names is missing; put it into {home}"
    assert mounted(point) is None


def test_a_chd_whose_parent_is_missing_is_refused_by_its_sha_1(mounting: Mounting, disc: bytes, tmp_path: Path) -> None:
    size = 4096
    hunks = [hunk._replace(type=6, number=n * 2) for n, hunk in enumerate(usual(disc, size))]
    parent = sha1(b"somebody")
    (tmp_path / "child.chd").write_bytes(version_5(hunks, size, len(disc), disc=disc, parent=parent))
    point = mounting.point()
    assert parent.hex() in fails(32, "mount", tmp_path / "child.chd", point)
    assert mounted(point) is None


def test_a_parent_may_be_named(mounting: Mounting, source: Path, disc: bytes, tmp_path: Path) -> None:
    size = 4096
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/parent").write_bytes(version_5(usual(disc, size), size, len(disc), disc=disc))
    hunks = [hunk._replace(type=6, stored=b"", number=n * 2) for n, hunk in enumerate(usual(disc, size))]
    child = version_5(hunks, size, len(disc), disc=disc, parent=overall(sha1(disc), ()))
    (tmp_path / "child.chd").write_bytes(child)
    point = mounting.mount(tmp_path / "child.chd", "-o", f"parent={tmp_path / 'elsewhere/parent'}")
    assert tree_hash(point) == tree_hash(source)
