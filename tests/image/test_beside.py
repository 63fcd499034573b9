"""The files beside an image: whatever a sheet calls them, only files of its own directory are opened_files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from writers.sheets import iso, stored

from isofs import limits
from isofs.errors import ImageError, IsofsError, NoImage, UsageError
from isofs.image import open_image
from isofs.image.beside import Beside


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The directory of an image; it has one beside it."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "disc.cue").write_bytes(b"a sheet")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret.bin").write_bytes(b"secret")
    (tmp_path / "secret.bin").write_bytes(b"secret")
    return home


@pytest.fixture
def beside(home: Path) -> Iterator[Beside]:
    """What belongs to the image."""
    made = Beside(str(home / "disc.cue"))
    yield made
    made.close()


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "disc.bin",
        "/images/disc.bin",
        "images/of/many/disc.bin",
        "../disc.bin",
        "../../../../etc/disc.bin",
        "./disc.bin",
        "C:\\Images\\disc.bin",
        "D:/Images/disc.bin",
        "..\\disc.bin",
        "\\\\server\\share\\disc.bin",
        "images\\of/many\\disc.bin",
        "DISC.BIN",
        "C:\\IMAGES\\Disc.Bin",
    ],
)
def test_of_a_name_the_last_component_counts_in_whatever_case(home: Path, beside: Beside, name: str) -> None:
    (home / "disc.bin").write_bytes(b"data")
    assert beside.find(name) == str(home / "disc.bin")
    file = beside.open(name)
    assert (file.path, file.pread(9, 0)) == (str(home / "disc.bin"), b"data")


def test_the_case_that_is_told_comes_first(home: Path, beside: Beside) -> None:
    for name in ("Disc.bin", "DISC.BIN", "disc.BIN"):
        (home / name).write_text(name)
    for name in ("Disc.bin", "DISC.BIN", "disc.BIN"):
        assert beside.find(name) == str(home / name)
    assert beside.find("disc.bin") == str(home / "DISC.BIN"), "the first one by name, the same one each time"


def test_case_is_that_of_all_letters(home: Path, beside: Beside) -> None:
    (home / "Größe.bin").touch()
    assert beside.find("GRÖSSE.BIN") == str(home / "Größe.bin")


@pytest.mark.parametrize("name", ["other.bin", "", ".", "..", "/", "\\", "disc.bin/", "x\0y", "*", "disc", "\udcff"])
def test_a_name_that_no_file_has_is_missing(home: Path, beside: Beside, name: str, opened_files: list[str]) -> None:
    (home / "disc.bin").touch()
    assert beside.find(name) is None
    with pytest.raises(NoImage) as raised:
        beside.open(name)
    assert str(raised.value) == f"the file {name!r} that it names is missing; put it into {home}"
    assert opened_files == []


def test_an_image_named_without_a_directory_lies_in_the_present_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "disc.bin").write_bytes(b"data")
    monkeypatch.chdir(home)
    beside = Beside("disc.cue")
    assert beside.open("disc.bin").pread(9, 0) == b"data"
    beside.close()


def test_files_with_a_suffix_come_in_the_order_of_their_names(home: Path, beside: Beside) -> None:
    for name in ("b.chd", "a.CHD", "chd", "c.chd.bak", ".chd"):
        (home / name).touch()
    assert [os.path.basename(path) for path in beside.with_suffix(".chd")] == [".chd", "a.CHD", "b.chd"]


def test_without_its_directory_nothing_is_found(tmp_path: Path) -> None:
    beside = Beside(str(tmp_path / "gone" / "disc.cue"))
    assert beside.find("disc.bin") is None
    assert list(beside.with_suffix(".chd")) == []


# --- what is no file of the directory -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    ["../secret.bin", "../elsewhere/secret.bin", "/etc/passwd", "/dev/null", "sub/inner.bin", "one.bin"],
)
def test_a_link_out_of_the_directory_is_refused_unopened(
    home: Path, beside: Beside, target: str, opened_files: list[str]
) -> None:
    (home / "sub").mkdir()
    (home / "sub/inner.bin").touch()
    (home / "one.bin").symlink_to("../secret.bin")
    (home / "disc.bin").symlink_to(target)
    with pytest.raises(ImageError) as raised:
        beside.open("disc.bin")
    assert str(raised.value) == "'disc.bin' is a link that leads out of the directory; copy it there"
    assert opened_files == []


def test_a_link_within_the_directory_is_followed(home: Path, beside: Beside) -> None:
    (home / "real.bin").write_bytes(b"data")
    (home / "disc.bin").symlink_to("real.bin")
    (home / "long.bin").symlink_to("../home/real.bin")
    assert beside.open("disc.bin").pread(9, 0) == b"data"
    assert beside.open("long.bin").pread(9, 0) == b"data"


def test_a_directory_that_is_reached_by_a_link_is_its_own(home: Path, tmp_path: Path) -> None:
    (home / "disc.bin").write_bytes(b"data")
    (tmp_path / "other name").symlink_to(home)
    beside = Beside(str(tmp_path / "other name" / "disc.cue"))
    assert beside.open("disc.bin").pread(9, 0) == b"data"
    beside.close()


@pytest.mark.parametrize("link", ["disc.bin", "nowhere"])
def test_a_link_that_leads_nowhere_is_refused(home: Path, beside: Beside, link: str) -> None:
    (home / "disc.bin").symlink_to(link)
    with pytest.raises(IsofsError):
        beside.open("disc.bin")


@pytest.mark.timeout(10)
def test_a_named_pipe_is_refused_and_not_waited_for(home: Path, beside: Beside) -> None:
    os.mkfifo(home / "disc.bin")
    with pytest.raises(NoImage, match="a named pipe") as raised:
        beside.open("disc.bin")
    assert raised.value.path == str(home / "disc.bin")


def test_a_directory_is_refused(home: Path, beside: Beside) -> None:
    (home / "disc.bin").mkdir()
    with pytest.raises(NoImage, match="a directory"):
        beside.open("disc.bin")


def test_a_character_device_is_refused(home: Path, beside: Beside) -> None:
    try:
        os.mknod(home / "disc.bin", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:  # a user may make none, but any may meet one
        (home / "disc.bin").unlink(missing_ok=True)
        beside = Beside("/dev/disc.cue")
        with pytest.raises(NoImage, match="a character device"):
            beside.open("zero")
        return
    with pytest.raises(NoImage, match="a character device"):
        beside.open("disc.bin")


def test_a_file_that_may_not_be_read_is_the_callers_fault(
    home: Path, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, *_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    (home / "disc.bin").touch()
    monkeypatch.setattr(os, "open", refuse)  # root may read everything
    with pytest.raises(UsageError, match="permission denied"):
        beside.open("disc.bin")


@pytest.mark.parametrize("name", ["disc.cue", "DISC.CUE", "/somewhere/disc.cue", "alias.bin"])
def test_the_image_itself_is_no_file_beside_it(home: Path, beside: Beside, name: str, opened_files: list[str]) -> None:
    (home / "alias.bin").symlink_to("disc.cue")
    with pytest.raises(ImageError, match="it names itself"):
        beside.open(name)
    assert opened_files == []


# --- how many -------------------------------------------------------------------------------------------------------


def test_a_second_time_it_is_the_same_file(home: Path, beside: Beside) -> None:
    (home / "disc.bin").touch()
    assert beside.open("disc.bin") is beside.open("C:\\DISC.BIN")
    assert len(beside.opened) == 1


def test_more_files_than_there_may_be_are_refused(home: Path, beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PARTS", 5)
    for n in range(6):
        (home / f"{n}.bin").touch()
    for n in range(5):
        beside.open(f"{n}.bin")
    with pytest.raises(ImageError, match="it is made of more than 5 files"):
        beside.open("5.bin")
    assert beside.open("4.bin") is beside.opened[4]


def test_all_are_closed(home: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    beside = Beside(str(home / "disc.cue"))
    for n in range(3):
        (home / f"{n}.bin").touch()
        beside.open(f"{n}.bin")
    assert len(os.listdir("/proc/self/fd")) == before + 3
    beside.close()
    beside.close()
    assert len(os.listdir("/proc/self/fd")) == before


# --- by a sheet -----------------------------------------------------------------------------------------------------

SHEETS = {
    "CUE": 'FILE "{}" BINARY\nTRACK 01 MODE1/2352\nINDEX 01 00:00:00\n',
    "TOC": 'CD_ROM\nTRACK MODE1_RAW\nDATAFILE "{}"\n',
    "GDI": '1\n1 0 4 2352 "{}" 0\n',
}


@pytest.mark.parametrize("sheet", SHEETS)
@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../secret.bin",
        "..\\secret.bin",
        "../elsewhere/secret.bin",
        "/dev/zero",
        "link.bin",
        "..",
        "disc.cue",
        "pipe",
        "sub",
        "sub/inner.bin",
    ],
)
def test_no_sheet_reaches_another_directory(home: Path, sheet: str, name: str, opened_files: list[str]) -> None:
    (home / "sub").mkdir()
    (home / "sub/inner.bin").write_bytes(stored(iso(), "1/2352"))
    (home / "link.bin").symlink_to("../secret.bin")
    os.mkfifo(home / "pipe")
    path = home / "disc.cue"
    path.write_text(SHEETS[sheet].format(name.replace("\\", "\\\\") if sheet == "TOC" else name))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(IsofsError) as raised:
        open_image(str(path))
    assert "\n" not in str(raised.value)
    assert set(opened_files) <= {str(path), str(home / "pipe"), str(home / "sub")}
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("sheet", SHEETS)
@pytest.mark.parametrize("name", ["/other/system/Track.bin", "track.BIN", "Track.bin"])
def test_a_sheet_from_another_place_finds_its_files(home: Path, sheet: str, name: str, opened_files: list[str]) -> None:
    disc = iso()
    (home / "track.bin").write_bytes(stored(disc, "1/2352"))
    path = home / "disc.cue"
    path.write_text(SHEETS[sheet].format(name))
    with open_image(str(path)) as image:
        assert image.disc.pread(len(disc), 0) == disc
        assert [file.path for file in image.files] == [str(path), str(home / "track.bin")]
    assert opened_files == [str(path), str(home / "track.bin")]
