"""Audio tracks as `.wav` files: their bytes, and where in the tree they are."""

from __future__ import annotations

import io
import stat
import struct
import subprocess
import sys
import threading
import wave
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from writers.discs import (
    DIRECTORY,
    LINK,
    SECTOR,
    Disc,
    MemorySource,
    component,
    nm,
    open_bytes,
    open_source,
    px,
    record,
    rock,
    sl,
    utf16,
)
from writers.sources import Memory, assert_same

from isofs import limits
from isofs.errors import ImageError, IsofsError, NotReady, StaleInode, UnsupportedError
from isofs.image.sectors import RAW, Track
from isofs.volume.audio import Wave, with_audio
from isofs.volume.tree import ROOT, Attributes, View, Volume, attributes_of, find, walk

HEADER = 44
VIEW = View()


def samples(count: int, number: int = 1) -> bytes:
    """The samples of `count` sectors, little-endian; each says where it is."""
    words = ((number * 7919 + i * 31) & 0xFFFF for i in range(count * RAW // 2))
    return b"".join(struct.pack("<H", word) for word in words)


def swapped(data: bytes) -> bytes:
    return b"".join(data[i + 1 : i - 1 if i else None : -1] for i in range(0, len(data), 2))


def stored(data: bytes, *, stride: int = RAW, big_endian: bool = False, before: bytes = b"") -> bytes:
    """Samples as an image holds them: behind other bytes, with subchannels between sectors."""
    data = swapped(data) if big_endian else data
    gap = b"\xee" * (stride - RAW)
    return before + b"".join(data[i : i + RAW] + gap for i in range(0, len(data), RAW))


def track(
    count: int = 3,
    number: int = 1,
    *,
    mode: Literal["audio", "mode 1", "mode 2"] = "audio",
    stride: int = RAW,
    big_endian: bool = False,
    before: bytes = b"",
    start: int = 0,
) -> Track:
    """A track in memory whose samples are those of `samples`."""
    source = Memory(stored(samples(count, number), stride=stride, big_endian=big_endian, before=before))
    return Track(number, mode, start, count, source, len(before), stride, big_endian=big_endian)


def expected(count: int = 3, number: int = 1) -> bytes:
    """The file, its header as the stdlib writes it."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(44100)
        writer.writeframes(samples(count, number))
    return file.getvalue()


def data_disc() -> Disc:
    disc = Disc(rock=True)
    below = disc.root.rock_directory(b"DIR", b"dir")
    below.file(b"INNER.;1", b"inner", system_use=rock(b"inner"))
    disc.root.file(b"HELLO.;1", b"hello", system_use=rock(b"hello"))
    linked = px(stat.S_IFREG | 0o644, nlink=2, serial=5)
    extent = disc.store(b"linked")
    disc.root.file(b"ONE.;1", extent=extent, size=6, system_use=linked + nm(b"one"))
    disc.root.file(
        b"TWO.;1", extent=extent, size=6, system_use=px(stat.S_IFREG | 0o644, nlink=2, serial=5) + nm(b"two")
    )
    return disc


def mixed(view: View = VIEW) -> Volume:
    """A disc of data and two audio tracks."""
    return with_audio(data_disc().open(view), [track(5, 1, mode="mode 1"), track(3, 2), track(1, 3)], view)


def read(volume: Volume, path: str) -> bytes:
    data = volume.data(find(volume, path).inode)
    return data.pread(data.size, 0)


# --- bytes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("stride", [2352, 2368, 2448])
def test_the_bytes_are_header_and_samples(stride: int, *, big_endian: bool) -> None:
    assert_same(Wave(track(20, stride=stride, big_endian=big_endian, before=b"other bytes")), expected(20))


@given(
    count=st.integers(1, 4),
    stride=st.sampled_from([2352, 2448]),
    big_endian=st.booleans(),
    before=st.binary(max_size=9),
    offset=st.integers(-3, 4 * RAW + HEADER + 3),
    n=st.one_of(st.integers(-1, 50), st.integers(0, 5 * RAW)),
)
def test_any_range_is_that_of_the_whole(
    count: int, stride: int, before: bytes, offset: int, n: int, *, big_endian: bool
) -> None:
    file = Wave(track(count, stride=stride, big_endian=big_endian, before=before))
    whole = expected(count)
    assert file.size == len(whole)
    assert file.pread(n, offset) == (whole[offset : offset + n] if offset >= 0 < n else b"")


@pytest.mark.parametrize("edge", [HEADER, HEADER + RAW, HEADER + 2 * RAW])
@pytest.mark.parametrize("big_endian", [False, True])
def test_ranges_around_every_edge_are_right(edge: int, *, big_endian: bool) -> None:
    file, whole = Wave(track(3, stride=2448, big_endian=big_endian)), expected(3)
    for start in range(edge - 3, edge + 4):
        for n in range(8):
            assert file.pread(n, start) == whole[start : start + n]


def test_other_programs_read_the_file() -> None:
    file = Wave(track(10, stride=2448, big_endian=True))
    with wave.open(io.BytesIO(file.pread(file.size, 0))) as reader:
        assert reader.getparams()[:4] == (2, 2, 44100, 10 * 588)
        assert reader.getcomptype() == "NONE"
        assert reader.readframes(10 * 588) == samples(10)


def test_a_large_request_is_one_read_of_the_source() -> None:
    audio = track(60, stride=2448, big_endian=True)
    Wave(audio).pread(128 * limits.KIB, 12_345)
    assert isinstance(audio.source, Memory)
    assert len(audio.source.reads) == 1


def test_the_header_needs_no_samples() -> None:
    audio = track(2)
    assert Wave(audio).pread(HEADER, 0) == expected(2)[:HEADER]
    assert isinstance(audio.source, Memory)
    assert not audio.source.reads


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [2352, 2448])
@pytest.mark.parametrize("present", [0, 1, 2])
def test_a_source_that_ends_too_early_is_an_error_where_it_ends(stride: int, present: int) -> None:
    audio = track(3, 7, stride=stride, start=1000)
    cut = audio._replace(source=Memory(stored(samples(3, 7), stride=stride)[: present * stride + 100]))
    file, whole = Wave(cut), expected(3, 7)
    end = HEADER + present * RAW + 100
    assert file.pread(end, 0) == whole[:end]
    for n, offset in ((1, end), (end + 1, 0), (5000, end - 1), (5000, max(end - 1000, HEADER))):
        with pytest.raises(ImageError, match=rf"track 7: sector {1000 + present} "):
            file.pread(n, offset)


def test_a_source_that_ends_behind_the_samples_of_a_sector_names_the_next_one() -> None:
    audio = track(2, stride=2448)
    file = Wave(audio._replace(source=Memory(stored(samples(2), stride=2448)[: RAW + 50])))
    assert file.pread(HEADER + RAW, 0) == expected(2)[: HEADER + RAW]
    with pytest.raises(ImageError, match="track 1: sector 1 "):
        file.pread(file.size, 0)


class Failing:
    """A source whose every read raises."""

    size = 1 << 20

    def __init__(self, error: Exception) -> None:
        self.error = error

    def pread(self, n: int, offset: int) -> bytes:
        raise self.error


def test_errors_of_the_source_name_the_track() -> None:
    file = Wave(track(2, 4)._replace(source=Failing(ImageError("block 3 is damaged", "copy it again"))))
    with pytest.raises(ImageError, match="track 4: block 3 is damaged") as caught:
        file.pread(10, HEADER)
    assert caught.value.remedy == "copy it again"


def test_what_must_not_wait_is_told_so() -> None:
    missing = NotReady()
    with pytest.raises(NotReady) as caught:
        Wave(track(2)._replace(source=Failing(missing))).pread(10, HEADER)
    assert caught.value is missing


@pytest.mark.parametrize(
    ("count", "stride", "words"),
    [
        (limits.WAVE_SECTORS + 1, RAW, "more than a .wav file can hold"),
        (1 << 60, RAW, "more than a .wav file can hold"),
        (1, 2048, "sectors of 2048 bytes"),
    ],
)
def test_a_track_that_cannot_be_a_wav_file_costs_its_name(count: int, stride: int, words: str) -> None:
    bad = track(1, 2)._replace(count=count, stride=stride)
    volume = with_audio(data_disc().open(), [bad, track(1, 3)], VIEW)
    assert [entry.name for entry in volume.entries(find(volume, "audio").inode)] == [b"track03.wav"]
    finding = next(iter(volume.findings.found))
    assert "track 2 is not shown" in finding.words
    assert words in finding.words
    assert volume.findings.harmful


def test_the_longest_track_has_a_header_that_tells_it() -> None:
    file = Wave(track(1)._replace(count=limits.WAVE_SECTORS))
    header = file.pread(HEADER, 0)
    assert struct.unpack_from("<I", header, 4) == (file.size - 8,)
    assert struct.unpack_from("<I", header, 40) == (file.size - HEADER,)


# --- the tree -------------------------------------------------------------------------------------------------------


def test_the_tracks_stand_beside_the_disc_s_own_files() -> None:
    volume = mixed()
    assert [entry.name for entry in volume.entries(ROOT)] == [b"dir", b"hello", b"one", b"two", b"audio"]
    paths = [step.path for step in walk(volume, volume.attributes(ROOT))]
    assert paths[-3:] == [b"audio", b"audio/track02.wav", b"audio/track03.wav"]
    assert b"dir/inner" in paths
    assert read(volume, "hello") == b"hello"
    assert read(volume, "dir/../audio/track02.wav") == expected(3, 2)
    assert read(volume, "/audio/track03.wav") == expected(1, 3)


def test_walk_finds_no_errors_and_no_number_twice() -> None:
    volume = mixed()
    inodes: dict[int, bytes] = {}
    for step in walk(volume, volume.attributes(ROOT)):
        assert step.error is None
        assert step.attributes is not None
        assert volume.attributes(step.attributes.inode) == step.attributes
        if step.path != b"two":  # another name of "one"
            assert inodes.setdefault(step.attributes.inode, step.path) == step.path
    assert len(inodes) == 7
    assert ROOT not in inodes


def test_numbers_cannot_be_those_of_a_disc() -> None:
    volume = mixed()
    added = [find(volume, path).inode for path in ("audio", "audio/track02.wav", "audio/track03.wav")]
    highest_place = ((1 << 32) + 255) * SECTOR + SECTOR
    assert all(max(highest_place, limits.DISC_SIZE) < inode < 1 << 63 for inode in added)


def test_listing_lookup_and_attributes_agree() -> None:
    volume = mixed()
    for inode in (ROOT, find(volume, "audio").inode):
        for entry in volume.entries(inode):
            assert volume.lookup(inode, entry.name) == attributes_of(volume, entry)
        assert volume.lookup(inode, b"none") is None
        assert volume.lookup(inode, b"Audio") is None
    assert volume.lookup(find(volume, "dir").inode, b"audio") is None
    assert volume.lookup(find(volume, "audio").inode, b"TRACK02.WAV") is None


def test_parents() -> None:
    volume = mixed()
    assert volume.parent(ROOT) == volume.parent(find(volume, "audio").inode) == ROOT
    assert volume.parent(find(volume, "dir").inode) == ROOT


def test_the_same_question_has_the_same_answer_on_another_mount() -> None:
    first, second = mixed(), mixed()
    steps = [list(walk(volume, volume.attributes(ROOT))) for volume in (first, second)]
    assert steps[0] == steps[1]


def test_all_else_is_the_disc_s_own() -> None:
    own, volume = data_disc().open(), mixed()
    assert volume.usage() == own.usage()
    assert volume.describe() == {**own.describe(), "audio_tracks": 2}
    assert volume.attributes(find(volume, "one").inode) == find(own, "one")


def test_findings_are_the_disc_s_own() -> None:
    own = data_disc().open()
    assert with_audio(own, [track()], VIEW).findings is own.findings


def test_questions_that_do_not_fit_lead_nowhere() -> None:
    volume = mixed()
    audio, file = find(volume, "audio").inode, find(volume, "audio/track02.wav").inode
    for ask in (volume.data, volume.readlink):
        with pytest.raises(StaleInode):
            ask(audio)
    for ask_file in (volume.readlink, volume.entries):
        with pytest.raises(StaleInode):
            ask_file(file)
    assert volume.parent(file) == audio
    with pytest.raises(StaleInode):
        volume.lookup(file, b"x")
    for beyond in (audio + 3, audio + 1000, audio - 1):
        with pytest.raises(IsofsError):
            volume.attributes(beyond)


def test_links_of_the_disc_are_read() -> None:
    disc = Disc(rock=True)
    disc.root.file(b"LINK.;1", system_use=rock(b"link", LINK) + sl(component(b"audio"), component(b"track01.wav")))
    volume = with_audio(disc.open(), [track()], VIEW)
    assert volume.readlink(find(volume, "link", follow=False).inode) == b"audio/track01.wav"
    assert read(volume, "link") == expected()


# --- attributes -----------------------------------------------------------------------------------------------------


def test_attributes_of_the_added_files() -> None:
    volume = mixed()
    root = volume.attributes(ROOT)
    times = (root.atime, root.mtime, root.ctime)
    assert root.mtime
    audio = find(volume, "audio")
    assert audio == Attributes(audio.inode, stat.S_IFDIR | 0o555, 2, 0, 0, 0, 0, 0, *times)
    file = find(volume, "audio/track02.wav")
    size = HEADER + 3 * RAW
    assert file == Attributes(file.inode, stat.S_IFREG | 0o555, 1, 0, 0, 0, size, -(-size // 512), *times)


def test_the_view_says_whose_they_are() -> None:
    volume = mixed(View(uid=1000, gid=100, mode=0o644, dmode=0o755, fmask=0o022, dmask=0o077))
    audio, file = find(volume, "audio"), find(volume, "audio/track02.wav")
    assert (audio.mode, audio.uid, audio.gid) == (stat.S_IFDIR | 0o700, 1000, 100)
    assert (file.mode, file.uid, file.gid) == (stat.S_IFREG | 0o644 & ~0o022, 1000, 100)


def test_they_look_like_files_that_record_nothing() -> None:
    disc = Disc()
    disc.root.file(b"FILE.;1", b"x")
    disc.root.directory(b"DIR")
    view = View(uid=7, mode=0o640, dmask=0o011)
    volume = with_audio(disc.open(view), [track()], view)
    for added, own in (("audio", "dir"), ("audio/track01.wav", "file")):
        one, other = find(volume, added), find(volume, own)
        assert (one.mode, one.uid, one.gid) == (other.mode, other.uid, other.gid)


@pytest.mark.parametrize(("recorded", "shown"), [(1, 1), (2, 3), (5, 6), (0xFFFF_FFFF, 0xFFFF_FFFF)])
def test_the_root_counts_one_directory_more_if_it_counts(recorded: int, shown: int) -> None:
    volume = data_disc().open()
    root = volume.attributes(ROOT)._replace(nlink=recorded)

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(volume, name)

        def attributes(self, inode: int) -> Attributes:
            return root if inode == ROOT else volume.attributes(inode)

    wrapped: Volume = with_audio(Counting(), [track()], VIEW)  # type: ignore[arg-type]
    assert wrapped.attributes(ROOT) == root._replace(nlink=shown)


# --- names that are taken -------------------------------------------------------------------------------------------


def clashing(*taken: bytes, view: View = VIEW) -> Volume:
    disc = Disc(rock=True)
    for i, name in enumerate(taken):
        disc.root.file(b"F%d.;1" % i, name, system_use=rock(name))
    return with_audio(disc.open(view), [track()], view)


@pytest.mark.parametrize(
    ("taken", "check", "name"),
    [
        ([], None, b"audio"),
        ([b"audio"], None, b"audio~2"),
        ([b"audio", b"audio~2", b"audio~3"], None, b"audio~4"),
        ([b"audio", b"audio~3"], None, b"audio~2"),
        ([b"AUDIO"], None, b"audio"),
        ([b"AUDIO"], "strict", b"audio"),
        ([b"AUDIO"], "relaxed", b"audio~2"),
        ([b"Audio", b"aUDIO~2"], "relaxed", b"audio~3"),
    ],
)
def test_the_disc_s_own_name_wins(taken: list[bytes], check: Literal["relaxed", "strict"] | None, name: bytes) -> None:
    volume = clashing(*taken, view=View(check=check))
    assert [entry.name for entry in volume.entries(ROOT)] == [*taken, name]
    for own in taken:
        assert read(volume, own.decode()) == own
    added = volume.lookup(ROOT, name)
    assert added is not None
    assert stat.S_ISDIR(added.mode)
    assert read(volume, f"{name.decode()}/track01.wav") == expected()


def test_relaxed_names_lead_to_the_tracks_too() -> None:
    volume = clashing(b"x", view=View(check="relaxed"))
    assert read(volume, "AUDIO/Track01.WAV") == expected()


def joliet_volume(name: str, view: View = VIEW) -> Volume:
    disc = Disc()
    folder = disc.folder(None)
    folder.file(utf16(name), b"own")
    return with_audio(open_bytes(disc.build(disc.primary(), disc.joliet(folder)), view), [track()], view)


def test_a_joliet_tree_is_relaxed_by_itself() -> None:
    assert read(joliet_volume("other"), "AUDIO/TRACK01.WAV") == expected()
    assert read(joliet_volume("AUDIO"), "audio") == b"own"
    assert read(joliet_volume("AUDIO"), "audio~2/track01.wav") == expected()
    strict = joliet_volume("AUDIO", View(check="strict"))
    assert read(strict, "audio/track01.wav") == expected()
    assert strict.lookup(ROOT, b"Audio") is None


def test_a_damaged_directory_of_the_name_keeps_it() -> None:
    disc = Disc()
    disc.root.add(record(b"AUDIO", 900_000, SECTOR, flags=DIRECTORY))
    volume = with_audio(disc.open(), [track()], VIEW)
    assert [entry.name for entry in volume.entries(ROOT)] == [b"audio", b"audio~2"]
    with pytest.raises(ImageError):
        volume.lookup(ROOT, b"audio")
    assert read(volume, "audio~2/track01.wav") == expected()


def test_a_number_that_a_sheet_tells_twice_loses_no_track() -> None:
    volume = with_audio(None, [track(1, 2), track(2, 2), track(3, 2)], VIEW)
    found = {entry.name: read(volume, f"audio/{entry.name.decode()}") for entry in volume.entries(1 << 62)}
    assert found == {
        b"track02.wav": expected(1, 2),
        b"track02.wav~2": expected(2, 2),
        b"track02.wav~3": expected(3, 2),
    }


# --- discs of audio tracks only, and discs without ------------------------------------------------------------------


def test_a_disc_of_audio_tracks_only_is_a_tree() -> None:
    volume = with_audio(None, [track(2, 1), track(3, 2)], View(uid=5))
    root = volume.attributes(ROOT)
    assert stat.S_ISDIR(root.mode)
    assert (root.inode, root.nlink, root.uid) == (ROOT, 3, 5)
    steps = list(walk(volume, root))
    assert [step.path for step in steps] == [b"audio", b"audio/track01.wav", b"audio/track02.wav"]
    assert not any(step.error for step in steps)
    assert read(volume, "audio/track02.wav") == expected(3, 2)
    assert volume.parent(ROOT) == ROOT
    assert volume.lookup(ROOT, b"none") is None
    assert volume.usage().blocks * volume.usage().block_size >= 5 * RAW
    for inode in (2, 4711, (1 << 62) + 9, 1 << 63):
        for ask in (volume.attributes, volume.entries, volume.parent, volume.data, volume.readlink):
            with pytest.raises(StaleInode):
                ask(inode)


def test_it_is_described_in_the_same_words_as_any_volume() -> None:
    own = data_disc().open().describe()
    told = with_audio(None, [track()], VIEW).describe()
    assert set(told) == {*own, "audio_tracks"}
    assert told["audio_tracks"] == 1
    assert told["tree"] == "audio tracks"


def test_what_is_no_audio_to_be_read_is_left_out() -> None:
    left_out = [
        track(2, 1, mode="mode 1"),
        track(2, 2, mode="mode 2"),
        track(2, 3)._replace(source=None),
        track(2, 4)._replace(count=0),
        track(2, 5)._replace(count=-1),
    ]
    own = data_disc().open()
    assert with_audio(own, left_out, VIEW) is own
    assert [finding.words for finding in own.findings.found] == ["track 3 is not shown: it is in a sound file"]
    assert not own.findings.harmful
    with pytest.raises(UnsupportedError, match="none of its audio tracks"):
        with_audio(None, left_out, VIEW)
    volume = with_audio(None, [*left_out, track(2, 6)], VIEW)
    assert [entry.name for entry in volume.entries(1 << 62)] == [b"track06.wav"]


# --- when, and by whom ----------------------------------------------------------------------------------------------


def test_nothing_is_read_before_somebody_asks() -> None:
    source = MemorySource(data_disc().build())
    own = open_source(source)
    before = source.reads
    audio = track()
    with_audio(own, [audio], VIEW)
    assert source.reads == before
    assert isinstance(audio.source, Memory)
    assert not audio.source.reads


def test_any_thread_gets_the_same_answer() -> None:
    volume = mixed()
    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda: answers.append(read(volume, "audio/track02.wav"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected(3, 2)] * 8


def test_it_costs_nothing_where_it_is_not_used() -> None:
    code = "import sys, isofs.volume, isofs.cli; sys.exit('isofs.volume.audio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
