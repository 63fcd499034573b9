"""The disc as one file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from writers.containers import cso
from writers.discs import TERMINATOR, Disc, numbered_blocks
from writers.sheets import audio, stored
from writers.sources import assert_same

from isofs.errors import NotADisc, StaleInode
from isofs.image import open_image
from isofs.image.source import open_stream
from isofs.image.wishes import Wishes
from isofs.volume import View, open_volume
from isofs.volume.tree import ROOT, Volume, find
from isofs.volume.whole import name_of

WHOLE = View(image=True)


def disc() -> bytes:
    made = Disc()
    made.root.file(b"A.;1", numbered_blocks(300))
    return made.build()


DISC = disc()


def the_file(volume: Volume) -> tuple[bytes, int]:
    """Name and number of the only file."""
    (entry,) = volume.entries(ROOT)
    assert entry.attributes == volume.attributes(entry.inode) == volume.lookup(ROOT, entry.name)
    return entry.name, entry.inode


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.iso", DISC),
        ("x.cso", cso(DISC)),
        ("x.bin", stored(DISC, "2/2352")),
        ("x.iso.001", DISC[:200_704]),
    ],
)
def test_the_file_is_the_decoded_disc(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    if name.endswith("1"):
        path.with_suffix(".002").write_bytes(DISC[200_704:])
    with open_image(str(path)) as image:
        volume = open_volume(image, WHOLE)
        shown, inode = the_file(volume)
        assert shown == b"x.iso"
        found = volume.attributes(inode)
        assert (found.size, found.blocks, found.nlink) == (len(DISC), len(DISC) // 512, 1)
        assert found.mtime == path.stat().st_mtime_ns
        assert_same(volume.data(inode), DISC)
        stream = open_stream(volume.data(inode))
        assert bytes(stream.view(100_000, 4000)) == DISC[4000:104_000]
        stream.close()
        assert volume.usage().block_size * volume.usage().blocks == len(DISC)
        assert volume.parent(ROOT) == volume.parent(inode) == ROOT
        assert stat.S_ISDIR(volume.attributes(ROOT).mode)


def test_it_can_be_opened_as_an_image_again(tmp_path: Path) -> None:
    (tmp_path / "x.cso").write_bytes(cso(DISC))
    with open_image(str(tmp_path / "x.cso")) as image:
        data = open_volume(image, WHOLE).data(2)
        (tmp_path / "x.iso").write_bytes(data.pread(data.size, 0))
    with open_image(str(tmp_path / "x.iso")) as image:
        volume = open_volume(image)
        file = volume.data(find(volume, "a").inode)
        assert file.pread(file.size, 0) == numbered_blocks(300)


def test_modes_owners_and_case_are_those_of_the_view(tmp_path: Path) -> None:
    path = tmp_path / "Name.ISO"
    path.write_bytes(DISC)
    view = View(image=True, mode=0o644, dmode=0o755, fmask=0o4, dmask=0o1, uid=5, gid=6, case="upper")
    with open_image(str(path)) as image:
        volume = open_volume(image, view)
        name, inode = the_file(volume)
        assert name == b"NAME.ISO"
        assert volume.lookup(ROOT, b"name.iso") is not None
        file, root = volume.attributes(inode), volume.attributes(ROOT)
        assert (stat.filemode(file.mode), stat.filemode(root.mode)) == ("-rw-r-----", "drwxr-xr--")
        assert {(found.uid, found.gid) for found in (file, root)} == {(5, 6)}
        assert open_volume(image, WHOLE).lookup(ROOT, b"name.ISO") is None


def test_a_disc_without_a_tree_that_is_read_is_shown(tmp_path: Path) -> None:
    damaged = bytearray(DISC)
    damaged[16 * 2048 + 128 : 16 * 2048 + 132] = bytes(4)
    path = tmp_path / "x.iso"
    path.write_bytes(damaged)
    with open_image(str(path)) as image:
        with pytest.raises(Exception, match="blocks of 0 bytes"):
            open_volume(image)
        assert_same(open_volume(image, WHOLE).data(2), bytes(damaged))


def test_of_a_disc_with_music_it_is_the_volumes_track(tmp_path: Path) -> None:
    (tmp_path / "x.iso").write_bytes(DISC)
    (tmp_path / "x.bin").write_bytes(audio(10))
    sheet = tmp_path / "x.cue"
    music = 'FILE "x.bin" BINARY\n  TRACK {} AUDIO\n    INDEX 01 00:00:00\n'
    sheet.write_text('FILE "x.iso" BINARY\n  TRACK 01 MODE1/2048\n    INDEX 01 00:00:00\n' + music.format("02"))
    with open_image(str(sheet)) as image:
        assert_same(open_volume(image, WHOLE).data(2), DISC)
        both = open_volume(image, View(image=True, audio=True))
        assert [entry.name for entry in both.entries(ROOT)] == [b"x.iso", b"audio"]
        assert_same(both.data(2), DISC)
    sheet.write_text(music.format("01"))
    with open_image(str(sheet)) as image:
        with pytest.raises(NotADisc, match="audio tracks only"):
            open_volume(image, WHOLE)
        assert [entry.name for entry in open_volume(image, View(image=True, audio=True)).entries(ROOT)] == [b"audio"]


def test_numbers_that_lead_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.iso").write_bytes(DISC)
    with open_image(str(tmp_path / "x.iso")) as image:
        volume = open_volume(image, WHOLE)
        for question in (volume.attributes, volume.data, volume.entries, volume.parent, volume.readlink):
            with pytest.raises(StaleInode):
                question(3)
        with pytest.raises(StaleInode):
            volume.lookup(2, b"x")
        assert volume.lookup(ROOT, b"y.iso") is None


def test_a_session_that_stood_alone_is_as_it_is_stored(tmp_path: Path) -> None:
    (tmp_path / "x.iso").write_bytes(DISC)
    with open_image(str(tmp_path / "x.iso"), wishes=Wishes(shift=5000)) as image:
        assert_same(open_volume(image, WHOLE).data(2), DISC)


def test_it_is_said_when_other_programs_do_not_see_the_session(tmp_path: Path) -> None:
    made = Disc()
    made._next = 600 * 2048
    root = made.folder(None)
    root.file(b"LATER.;1", b"text")
    later = made.build(made.primary(root=made.root_record(root)), TERMINATOR)
    later = bytes(16 * 2048) + later[16 * 2048 : 24 * 2048] + later[600 * 2048 :]
    for name, data, session, said in (
        ("both.iso", DISC.ljust(576 * 2048, b"\0") + later, "last", ["the whole disc: programs that read it may show"]),
        ("both.iso", DISC.ljust(576 * 2048, b"\0") + later, None, []),
        ("later.iso", later, None, ["begins with sector 576 of its disc: few programs can read it"]),
    ):
        (tmp_path / name).write_bytes(data)
        with open_image(str(tmp_path / name), wishes=Wishes(session=session)) as image:  # type: ignore[arg-type]
            assert_same(open_volume(image, WHOLE).data(2), data)
            assert len(image.warnings) == len(said)
            assert all(words in warning for words, warning in zip(said, image.warnings, strict=True))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/b.iso", "b.iso"),
        ("b", "b.iso"),
        ("b.ISO", "b.iso"),
        ("b.iso.gz", "b.iso"),
        ("B.Iso.XZ", "B.iso"),
        ("b.cso", "b.iso"),
        ("b.cue", "b.iso"),
        ("b.chd", "b.iso"),
        ("b.001", "b.iso"),
        ("b.iso.001", "b.iso"),
        ("b.iso.part1", "b.iso"),
        ("b.iso.aa", "b.iso"),
        ("b.i00", "b.iso"),
        ("debian-12.5.0-amd64.iso", "debian-12.5.0-amd64.iso"),
        ("debian-12.5", "debian-12.5.iso"),
        ("a.b.c", "a.b.c.iso"),
        (".iso", ".iso.iso"),
        (".gz.gz", ".gz.iso"),
        ("a\nb.cso", "a\nb.iso"),
        ("ä" * 127, "ä" * 125 + ".iso"),
    ],
)
def test_its_name_is_that_of_the_image(path: str, name: str) -> None:
    assert name_of(path) == name.encode()
