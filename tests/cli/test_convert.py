"""`isofs convert`: the plain disc, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from writers import chdman
from writers.containers import cso, dax, entry, jiso, lzo_block, overwritten, zso
from writers.discs import Disc
from writers.edc import form_1, mode_1, raw_disc
from writers.mounting import command, fails, isofs, on_terminal, succeeds

from isofs.cli import main
from isofs.image.source import Extents

SECTOR: Final = 2048


@pytest.fixture(scope="module")
def disc() -> bytes:
    """A disc with text and a stretch of zeros."""
    made = Disc()
    made.root.file(b"TEXT.;1", b"".join(b"sector %08d\n" % number * 128 for number in range(40)))
    made.root.file(b"ZEROS.;1", bytes(140_000))
    made.root.file(b"LAST.;1", b"the end")
    return made.build()


@pytest.fixture
def image(disc: bytes, tmp_path: Path) -> Path:
    """That disc as a CSO."""
    path = tmp_path / "image.cso"
    path.write_bytes(cso(disc))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where to; the directory has nothing else in it."""
    directory = tmp_path / "out"
    directory.mkdir()
    return directory / "disc.iso"


@pytest.mark.parametrize(
    "write",
    [
        bytes,
        cso,
        partial(cso, version=2),
        partial(cso, block_size=16384, shift=3),
        zso,
        partial(zso, codec=lzo_block),
        dax,
        partial(dax, version=1, areas=((1, 2),)),
        jiso,
        raw_disc,
        partial(raw_disc, make=form_1, stride=2448),
        partial(raw_disc, make=lambda number, data: form_1(number, data)[16:], stride=2336),
        lambda disc: cso(raw_disc(disc)),
    ],
)
def test_the_disc_is_the_one_that_the_image_was_made_of(
    write: Callable[[bytes], bytes], disc: bytes, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image"
    path.write_bytes(write(disc))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main(["convert", str(path), str(out)]) == 0
    assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(disc).digest()
    assert os.listdir(out.parent) == [out.name]


def test_zeros_take_no_room(image: Path, disc: bytes, out: Path) -> None:
    (out.parent / "dense").write_bytes(disc)
    succeeds("convert", image, out)
    if os.stat(out.parent / "dense").st_blocks * 512 < len(disc):
        pytest.fail("the file system stores no plain file as it is")
    assert os.stat(out).st_blocks * 512 < len(disc) - 60_000


def test_only_the_track_that_is_mounted_is_written(disc: bytes, tmp_path: Path, out: Path) -> None:
    (tmp_path / "data.bin").write_bytes(raw_disc(disc, mode_1))
    (tmp_path / "music.bin").write_bytes(bytes(300 * 2352))
    cue = tmp_path / "disc.cue"
    cue.write_text(
        'FILE "data.bin" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n'
        'FILE "music.bin" BINARY\n  TRACK 02 AUDIO\n    INDEX 01 00:00:00\n'
    )
    succeeds("convert", cue, out)
    assert out.read_bytes() == disc


@pytest.mark.parametrize("codec", chdman.DVD_CODECS)
def test_a_dvd_is_the_one_that_chdman_unpacks(
    codec: str, disc: bytes, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = chdman.of_a_dvd(disc, codec, tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main(["convert", str(image), str(out)]) == 0
    unpack = "extractdvd" if chdman.knows_dvds() else "extractraw"
    chdman.chdman(unpack, "-i", image, "-o", tmp_path / "unpacked.iso")
    assert out.read_bytes() == (tmp_path / "unpacked.iso").read_bytes() == disc


@pytest.mark.parametrize("mode", [1, 2])
@pytest.mark.parametrize("codec", chdman.CD_CODECS)
def test_a_cd_is_the_data_that_chdman_unpacks(
    codec: str, mode: int, disc: bytes, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = chdman.of_a_cd(disc, codec, tmp_path, mode)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main(["convert", str(image), str(out)]) == 0
    chdman.chdman("extractcd", "-i", image, "-o", tmp_path / "unpacked.cue", "-ob", tmp_path / "unpacked.bin")
    raw = (tmp_path / "unpacked.bin").read_bytes()[: len(disc) // SECTOR * 2352]
    at = 16 if mode == 1 else 24
    assert out.read_bytes() == b"".join(raw[i + at : i + at + SECTOR] for i in range(0, len(raw), 2352)) == disc


def test_a_disc_that_lacks_data_is_warned_of(
    disc: bytes, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    path = tmp_path / "disc.iso"
    path.write_bytes(disc[: -10 * SECTOR])
    assert main(["convert", str(path), str(out)]) == 0
    assert "warning: the disc is shorter than its volume" in capsys.readouterr().err
    track = tmp_path / "disc.cue"
    (tmp_path / "other.bin").write_bytes(b"another file system" * 9000)
    track.write_text('FILE "other.bin" BINARY\n  TRACK 01 MODE1/2048\n    INDEX 01 00:00:00\n')
    assert main(["convert", "--force", str(track), str(out)]) == 0
    assert "warning: its volume cannot be opened: " in capsys.readouterr().err


def test_a_disc_of_audio_only_cannot_be_written(tmp_path: Path, out: Path) -> None:
    (tmp_path / "music.bin").write_bytes(bytes(300 * 2352))
    cue = tmp_path / "music.cue"
    cue.write_text('FILE "music.bin" BINARY\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n')
    assert "audio tracks only" in fails(32, "convert", cue, out)
    assert os.listdir(out.parent) == []


def test_stdout_takes_the_disc(image: Path, disc: bytes) -> None:
    assert succeeds("convert", image, "-") == disc


# --- nothing is lost ------------------------------------------------------------------------------------------------


def test_a_file_that_exists_is_kept_unless_forced(image: Path, disc: bytes, out: Path) -> None:
    out.write_bytes(b"precious")
    assert "the file exists" in fails(1, "convert", image, out)
    assert out.read_bytes() == b"precious"
    succeeds("convert", "--force", image, out)
    assert out.read_bytes() == disc


def test_a_file_that_comes_to_be_meanwhile_is_kept(
    image: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    truncate = os.ftruncate

    def meanwhile(fd: int, size: int) -> None:
        truncate(fd, size)
        out.write_bytes(b"precious")

    monkeypatch.setattr(os, "ftruncate", meanwhile)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main(["convert", str(image), str(out)]) == 1
    assert "the file exists" in capsys.readouterr().err
    assert out.read_bytes() == b"precious"
    assert os.listdir(out.parent) == [out.name]


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_the_image_itself_is_never_overwritten(image: Path, force: list[str]) -> None:
    before = image.read_bytes()
    link, other = image.parent / "link", image.parent / "other"
    link.symlink_to(image)
    other.hardlink_to(image)
    for name in (image, link, other):
        assert "the image itself" in fails(1, "convert", *force, image, name)
    assert image.read_bytes() == before


def test_what_a_link_leads_to_is_replaced_and_not_the_link(image: Path, disc: bytes, out: Path) -> None:
    target = out.parent / "target"
    target.write_bytes(b"old")
    out.symlink_to(target)
    succeeds("convert", "--force", image, out)
    assert out.is_symlink()
    assert target.read_bytes() == disc


def test_what_is_no_regular_file_is_not_overwritten(image: Path, out: Path) -> None:
    os.mkfifo(out)
    assert "not a regular file" in fails(1, "convert", "--force", image, out)
    assert "not a regular file" in fails(1, "convert", "--force", image, out.parent)
    assert stat.S_ISFIFO(os.stat(out).st_mode)


def test_a_directory_that_is_not_there(image: Path, out: Path) -> None:
    assert "No such file or directory" in fails(1, "convert", image, out.parent / "no" / "disc.iso")


# --- whole or not at all --------------------------------------------------------------------------------------------


def test_a_damaged_block_ends_it_and_leaves_no_file(image: Path, out: Path) -> None:
    data = image.read_bytes()
    begin, end = (entry(data, number) & 0x7FFF_FFFF for number in (30, 31))
    image.write_bytes(overwritten(data, begin, b"\xff" * (end - begin)))
    said = fails(32, "convert", image, out)
    assert f"block 30 of the CSO version 1 at byte {begin}" in said
    assert os.listdir(out.parent) == []


def test_damage_leaves_a_file_that_was_to_be_overwritten(image: Path, out: Path) -> None:
    data = image.read_bytes()
    image.write_bytes(data[: entry(data, 30) & 0x7FFF_FFFF])
    out.write_bytes(b"precious")
    assert isofs("convert", "--force", image, out).returncode == 32
    assert out.read_bytes() == b"precious"
    assert os.listdir(out.parent) == [out.name]


def test_too_little_space_is_told_beforehand(
    image: Path, disc: bytes, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    statvfs = os.statvfs

    def full(path: str) -> os.statvfs_result:
        found = list(statvfs(path))
        found[4] = 3  # f_bavail
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "statvfs", full)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main(["convert", str(image), str(out)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"isofs: {out.parent}: {len(disc)} bytes are needed, ")
    assert said.count("\n") == 1
    assert os.listdir(out.parent) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_no_file(number: signal.Signals, image: Path, out: Path, tmp_path: Path) -> None:
    """The process writes, says so, and sleeps."""
    script = (
        "import sys, time; from isofs.cli import convert, main\n"
        "write = convert._write_all\n"
        "convert._write_all = lambda *args: (write(*args), print('written', flush=True), time.sleep(60))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = [command()[0], "-c", script, "convert", image, out]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        assert any(path.stat().st_size for path in out.parent.iterdir())
        process.send_signal(number)
        assert process.wait(timeout=30) == 8
    assert os.listdir(out.parent) == []


AT_THIS_MOMENT: Final = {
    "the file has been made": """
make = os.open
def made(path, *args, **kwargs):
    fd = make(path, *args, **kwargs)
    if str(path).endswith(".part"):
        raise KeyboardInterrupt
    return fd
os.open = made
""",
    "a module is loaded that the compiled ones load": """
class Loading:
    def find_spec(self, name, *_):
        if name == "inspect":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Loading())
""",
    "Python calls back, and drops what is raised then": """
import time, weakref
from isofs.cli import convert
def interrupted(_):
    raise KeyboardInterrupt
def write(*args):
    thing = set()
    callback = weakref.ref(thing, interrupted)
    del thing
    time.sleep(5)
    convert._write_all = write_all
write_all, convert._write_all = convert._write_all, write
""",
}


@pytest.mark.parametrize("moment", list(AT_THIS_MOMENT))
def test_an_interrupt_at_a_bad_moment_is_one_as_well(moment: str, image: Path, out: Path) -> None:
    script = f"import os, sys; from isofs.cli import main\n{AT_THIS_MOMENT[moment]}\nsys.exit(main(sys.argv[1:]))"
    done = subprocess.run([command()[0], "-c", script, "convert", image, out], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (8, b"")
    assert os.listdir(out.parent) == []


# --- the rest -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
def test_permissions_are_those_of_any_new_file(umask: int, image: Path, out: Path) -> None:
    done = subprocess.run(command("convert", image, out), umask=umask, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert stat.S_IMODE(out.stat().st_mode) == 0o666 & ~umask


def test_a_terminal_sees_how_far_it_is(image: Path, out: Path) -> None:
    code, seen = on_terminal(command("convert", image, out))
    assert code == 0
    assert b"%|" in seen


def test_a_track_that_is_shorter_than_told_is_an_error(
    image: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes are never made up: a source that gives less than its size is not written."""

    class Short:
        size = 100 * SECTOR

        def pread(self, n: int, offset: int) -> bytes:
            return b"x" * max(min(n, self.size // 2 - offset), 0)

    from isofs.image import Image
    from isofs.image.source import Extent

    short = Extents(Short(), [Extent(0, Short.size)], "the track")
    monkeypatch.setattr(Image, "data", property(lambda _: short))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main(["convert", str(image), str(out)]) == 32
    assert "beyond the end" in capsys.readouterr().err
    assert os.listdir(out.parent) == []
