"""A directory of the disc as the root."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from writers.discs import DIRECTORY, LINK, Disc, component, nm, px, record, rock, sl
from writers.sheets import audio, iso

from isofs.errors import IsofsError, NoEntryError
from isofs.image import open_image
from isofs.volume import View, open_volume
from isofs.volume.tree import ROOT, Volume, attributes_of, find, walk


def disc() -> bytes:
    made = Disc(rock=True)
    made.root.file(b"OUT.;1", b"outside", system_use=rock(b"out"))
    top = made.root.rock_directory(b"TOP", b"top", mode=0o40711)
    top.file(b"IN.;1", b"inside", system_use=rock(b"in"))
    inner = top.rock_directory(b"INNER", b"inner")
    inner.file(b"DEEP.;1", b"deep", system_use=rock(b"deep"))
    use = px(LINK) + nm(b"up") + sl(component(flags=4), component(b"in"))
    inner.file(b"UP.;1", extent=0, size=0, system_use=use)
    made.root.file(b"L.;1", extent=0, size=0, system_use=px(LINK) + nm(b"way") + sl(component(b"top")))
    return made.build()


@pytest.fixture
def path(tmp_path: Path) -> str:
    target = tmp_path / "disc.iso"
    target.write_bytes(disc())
    return str(target)


def names(volume: Volume, inode: int = ROOT) -> list[bytes]:
    return [entry.name for entry in volume.entries(inode)]


def content(volume: Volume, path: str) -> bytes:
    data = volume.data(find(volume, path).inode)
    return data.pread(data.size, 0)


@pytest.mark.parametrize("subdir", ["top", "/top", "top/", "./top//inner/..", "way"])
def test_a_directory_is_the_root(path: str, subdir: str) -> None:
    with open_image(path) as image:
        whole, volume = open_volume(image), open_volume(image, View(subdir=subdir))
        assert names(volume) == [b"in", b"inner"]
        assert volume.attributes(ROOT) == find(whole, "top")._replace(inode=ROOT)
        assert content(volume, "in") == b"inside"
        assert content(volume, "inner/deep") == b"deep"
        assert content(volume, "../../inner/up") == b"inside"
        assert volume.lookup(ROOT, b"out") is None
        assert volume.usage() == whole.usage()
        assert volume.describe() == whole.describe()
        assert volume.findings is not None


def test_the_way_up_ends_at_the_root(path: str) -> None:
    with open_image(path) as image:
        volume = open_volume(image, View(subdir="top"))
        inner = find(volume, "inner").inode
        assert volume.parent(inner) == volume.parent(ROOT) == ROOT
        deeper = open_volume(image, View(subdir="top/inner"))
        assert deeper.parent(ROOT) == ROOT
        assert names(deeper) == [b"deep", b"up"]
        with pytest.raises(NoEntryError):
            find(deeper, "up")


def test_every_file_below_has_its_own_number(path: str) -> None:
    with open_image(path) as image:
        volume = open_volume(image, View(subdir="top"))
        steps = list(walk(volume, volume.attributes(ROOT)))
        inodes = [step.attributes.inode for step in steps if step.attributes]
        assert len(set(inodes)) == len(steps) == 4
        assert ROOT not in inodes
        for entry in volume.entries(ROOT):
            assert attributes_of(volume, entry).inode == entry.inode


def test_a_directory_that_comes_round_to_the_root_is_the_root(tmp_path: Path) -> None:
    made = Disc()
    top, inner = made.folder(None), made.folder(None)  # both tell that nothing is above them
    for folder, name, child in ((made.root, b"TOP", top), (top, b"INNER", inner), (inner, b"ROUND", top)):
        folder.add(record(name, child.extent, child.size, flags=DIRECTORY))
    path = tmp_path / "disc.iso"
    path.write_bytes(made.build())
    with open_image(str(path)) as image:
        volume = open_volume(image, View(subdir="top"))
        (entry,) = volume.entries(find(volume, "inner").inode)
        assert find(volume, "inner/round") == attributes_of(volume, entry) == volume.attributes(ROOT)
        assert [step.path for step in walk(volume, volume.attributes(ROOT)) if not step.error] == [
            b"inner",
            b"inner/round",
        ]


@pytest.mark.parametrize("subdir", ["/", ".", "top/..", "../.."])
def test_the_root_itself_changes_nothing(path: str, subdir: str) -> None:
    with open_image(path) as image:
        assert names(open_volume(image, View(subdir=subdir))) == [b"out", b"top", b"way"]


@pytest.mark.parametrize(
    ("subdir", "reason"),
    [
        ("nowhere", "no such file on the disc: nowhere"),
        ("top/nowhere", "no such file on the disc: top/nowhere"),
        ("out", "not a directory on the disc: out"),
        ("out/x", "not a directory on the disc: out in out/x"),
        ("TOP", "no such file on the disc: TOP"),
    ],
)
def test_what_is_no_directory_is_refused(path: str, subdir: str, reason: str) -> None:
    with open_image(path) as image, pytest.raises(NoEntryError) as caught:
        open_volume(image, View(subdir=subdir))
    assert str(caught.value) == f"{reason}; see isofs ls"
    assert caught.value.path == path


def test_it_is_found_in_any_case_where_names_are(path: str) -> None:
    with open_image(path) as image:
        volume = open_volume(image, View(subdir="Way/INNER", case="upper"))
        assert names(volume) == [b"DEEP", b"UP"]


@pytest.mark.parametrize("case", [None, "upper"])
def test_music_is_a_directory_like_others(tmp_path: Path, case: None) -> None:
    data = iso()
    (tmp_path / "a.iso").write_bytes(data)
    (tmp_path / "a.bin").write_bytes(audio(10))
    sheet = tmp_path / "a.cue"
    sheet.write_text(
        'FILE "a.iso" BINARY\n  TRACK 01 MODE1/2048\n    INDEX 01 00:00:00\n'
        'FILE "a.bin" BINARY\n  TRACK 02 AUDIO\n    INDEX 01 00:00:00\n'
    )
    with open_image(str(sheet)) as image:
        volume = open_volume(image, View(subdir="audio", audio=True, case=case))
        (entry,) = volume.entries(ROOT)
        assert entry.name == (b"TRACK02.WAV" if case else b"track02.wav")
        assert stat.S_ISREG(attributes_of(volume, entry).mode)
        assert volume.data(entry.inode).pread(4, 0) == b"RIFF"
        assert volume.parent(ROOT) == ROOT
        with pytest.raises(IsofsError):
            open_volume(image, View(subdir="audio"))
