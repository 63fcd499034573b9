from __future__ import annotations

import gzip as library
import os
from pathlib import Path

import pytest
from writers.containers import sample_disc
from writers.sources import Memory

from isofs import limits
from isofs.image import gzip
from isofs.image.indexes import Shelf
from isofs.image.source import FileSource
from isofs.image.wishes import NO_WISHES, Wishes

DISC = sample_disc(400, tail=700)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that indexes are kept in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/isofs"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disc.iso.gz"
    path.write_bytes(library.compress(DISC))
    return path


def passes(path: Path, wishes: Wishes = NO_WISHES) -> int:
    """How many passes opening takes; what is read then must be right."""
    titles: list[str] = []

    class Progress:
        def __init__(self, title: str, total: int) -> None:
            titles.append(title)

        def __enter__(self) -> object:
            return lambda _: None

        def __exit__(self, *exc: object) -> None:
            pass

    with FileSource(str(path)) as source:
        blocks = gzip.open_map(source, wishes._replace(progress=Progress))  # type: ignore[arg-type]
        assert blocks.read is not None
        assert blocks.disc_size == len(DISC)
        assert blocks.read(len(DISC), 0) == DISC
        assert blocks.read(1000, 500_000) == DISC[500_000:501_000]
    return len(titles)


def test_index_is_made_once(kept: Path, image: Path) -> None:
    assert passes(image) == 1
    assert passes(image) == 0
    (file,) = kept.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert kept.stat().st_mode & 0o777 == 0o700


def test_index_of_an_image_that_changed_is_not_used(kept: Path, image: Path) -> None:
    passes(image)
    os.utime(image, ns=(1, 1))
    assert passes(image) == 1
    status = image.stat()
    raw = bytearray(image.read_bytes())
    raw[4] ^= 1  # the time of modification in the header
    image.write_bytes(raw)
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert passes(image) == 1


def test_nothing_is_kept_or_looked_for_where_that_is_not_wished(kept: Path, image: Path) -> None:
    wishes = Wishes(keep_index=False)
    assert passes(image, wishes) == 1
    assert not kept.exists()
    passes(image)
    assert passes(image, wishes) == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "foreign", "huge"])
def test_index_that_is_not_as_it_was_written_is_made_again(
    kept: Path, image: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes(image)
    (file,) = kept.iterdir()
    raw = file.read_bytes()
    if damage == "huge":
        monkeypatch.setattr(limits, "INDEX_FILE", len(raw) - 33)
        assert passes(image) == 1
        return
    file.write_bytes(
        {
            "cut": raw[:-1],
            "empty": b"",
            "flipped": raw[:500] + bytes((raw[500] ^ 1,)) + raw[501:],
            "foreign": b"something else",
        }[damage]
    )
    assert passes(image) == 1
    assert file.read_bytes() == raw
    assert passes(image) == 0


def test_sound_file_with_no_index_in_it_is_made_again(kept: Path, image: Path) -> None:
    passes(image)
    with FileSource(str(image)) as source:
        shelf = Shelf(source, "gzip 1", NO_WISHES)
        for content in (b"", b"no index", (shelf.get() or b"")[:2000]):
            shelf.put(content)
            assert passes(image) == 1


def test_link_in_place_of_an_index_is_not_followed(kept: Path, image: Path, tmp_path: Path) -> None:
    passes(image)
    (file,) = kept.iterdir()
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    content = elsewhere.read_bytes()
    file.symlink_to(elsewhere)
    assert passes(image) == 1
    assert elsewhere.read_bytes() == content
    assert not file.is_symlink()


def test_pipe_in_place_of_an_index_is_not_waited_for(kept: Path, image: Path) -> None:
    passes(image)
    (file,) = kept.iterdir()
    file.unlink()
    os.mkfifo(file)
    assert passes(image) == 1


def test_directory_that_is_a_link_or_that_others_can_write_is_not_used(kept: Path, image: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir(0o700)
    kept.parent.mkdir()
    kept.symlink_to(tmp_path / "other")
    assert passes(image) == passes(image) == 1
    assert not list((tmp_path / "other").iterdir())
    kept.unlink()
    kept.mkdir()
    kept.chmod(0o770)
    assert passes(image) == passes(image) == 1
    assert not list(kept.iterdir())


def test_directory_of_somebody_else_is_not_used(kept: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes(image)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert passes(image) == 1


@pytest.mark.parametrize("obstacle", ["a file", "no such place"])
def test_cache_that_cannot_be_written_is_no_error(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file") if obstacle == "a file" else "/proc/none/cache")
    assert passes(image) == passes(image) == 1


def test_cache_is_in_the_home_directory_unless_told_otherwise(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    passes(image)
    assert len(list((tmp_path / ".cache/isofs").iterdir())) == 1
    monkeypatch.delenv("HOME")
    assert passes(image) == 1


def test_indexes_used_longest_ago_go_first(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INDEX_FILES", 3 * 1032)
    shelves = []
    for number in range(5):
        path = tmp_path / f"{number}.gz"
        path.write_bytes(bytes((number,)))
        with FileSource(str(path)) as source:
            shelves.append(Shelf(source, "test", NO_WISHES))
    for number in (0, 1, 2):
        shelves[number].put(bytes(1000))
        (newest,) = [file for file in kept.iterdir() if file.stat().st_mtime_ns > 10**18]
        os.utime(newest, ns=(number, number))
    assert shelves[0].get() == bytes(1000)  # used now
    shelves[3].put(bytes(1000))
    assert [shelf.get() is not None for shelf in shelves] == [True, False, True, True, False]
    assert sum(file.stat().st_size for file in kept.iterdir()) <= limits.INDEX_FILES


def test_index_larger_than_allowed_is_not_kept(kept: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INDEX_FILE", 1000)
    with FileSource(str(image)) as source:
        Shelf(source, "test", NO_WISHES).put(bytes(1001))
        assert Shelf(source, "test", NO_WISHES).get() is None


def test_what_has_no_time_of_modification_is_not_kept(kept: Path) -> None:
    shelf = Shelf(Memory(b"x"), "test", NO_WISHES)
    shelf.put(b"index")
    assert shelf.get() is None
    assert not kept.exists()
