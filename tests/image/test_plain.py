from __future__ import annotations

import mmap
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from writers.threads import forget, impatient, in_thread, until

from isofs.errors import ImageError, NotReady
from isofs.image import plain
from isofs.image.plain import MappedStream
from isofs.image.source import Extent, Extents, FileSource, Stream, open_stream

CONTENT: Final = random.Random(7).randbytes(3 << 20) + b"the end"
FILE: Final = (2048 * 100, 2 << 20)
"""Position and length of a file on the disc."""


@pytest.fixture(params=["mincore", "RWF_NOWAIT"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The two ways to know what is in memory."""
    if request.param == "mincore":
        monkeypatch.setattr(plain, "compiled", pytest.importorskip("isofs.image._decode"))
    else:
        monkeypatch.setattr(plain, "compiled", None)
    way: str = request.param
    return way


pytestmark = pytest.mark.usefixtures("way")


@pytest.fixture
def disc(tmp_path: Path) -> Iterator[FileSource]:
    (tmp_path / "disc").write_bytes(CONTENT)
    source = FileSource(str(tmp_path / "disc"))
    yield source
    source.close()


def stream_of(disc: FileSource, position: int = FILE[0], length: int = FILE[1]) -> Stream:
    stream = open_stream(Extents(disc, [Extent(position, length)], "MOVIE.DAT"))
    assert isinstance(stream, MappedStream)
    return stream


def view(stream: Stream, n: int, offset: int) -> bytes:
    """The bytes of a view, brought into memory before that. Tests look at them: the file is sound."""
    try:
        return bytes(stream.view(n, offset))
    except NotReady as missing:
        (missing.bring or pytest.fail)()
        return bytes(stream.view(n, offset))


def test_slices_are_the_bytes_of_the_file(disc: FileSource) -> None:
    stream = stream_of(disc)
    chance = random.Random(1)
    for _ in range(200):
        offset, n = chance.randrange(FILE[1]), chance.choice((1, 100, 4096, 131072, 1 << 20))
        expected = CONTENT[FILE[0] + offset : FILE[0] + min(offset + n, FILE[1])]
        assert view(stream, n, offset) == expected
        assert stream.pread(n, offset) == expected


def test_reads_at_and_beyond_the_end(disc: FileSource) -> None:
    stream = stream_of(disc, len(CONTENT) - 5000, 5000)
    assert view(stream, 10_000, 0) == CONTENT[-5000:]
    assert view(stream, 7, 4993) == b"the end"
    assert view(stream, 1 << 70, 4990) == CONTENT[-10:]
    for n, offset in ((10, 5000), (10, 1 << 70), (10, -5), (0, 5), (-1, 5)):
        assert stream.view(n, offset) == stream.pread(n, offset) == b""
    assert view(stream_of(disc, 0, 0), 10, 0) == b""


def missing(disc: FileSource, stream: Stream, n: int, offset: int) -> NotReady:
    """What a view of bytes raises that are not in memory. The system may be quick to fetch them: asked again until."""
    raised: list[NotReady] = []

    def refused() -> bool:
        forget(disc.path)
        try:
            stream.view(n, offset)
        except NotReady as error:
            raised.append(error)
        return bool(raised)

    until(refused)
    return raised[0]


def test_bytes_that_are_not_in_memory_are_there_once_they_were_brought(disc: FileSource) -> None:
    stream = stream_of(disc)

    def read() -> None:
        bring = missing(disc, stream, 100_000, 1 << 20).bring
        assert bring is not None
        in_thread(bring)
        at = FILE[0] + (1 << 20)
        assert bytes(stream.view(100_000, 1 << 20)) == CONTENT[at : at + 100_000]

    impatient(read)


def test_reader_who_is_kept_waiting_has_storage_told_of_what_comes_next(
    disc: FileSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: int) -> memoryview:
        raise NotReady

    told: list[tuple[int, int]] = []
    monkeypatch.setattr(plain.Mapping, "slice", never)
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, at, n, advice: told.append((at, n)))
    stream = stream_of(disc, 7, 3 << 20)
    for offset, n in ((0, 4096), (4096, 4096), (1 << 20, 4096), ((1 << 20) + 4096, 4096), (0, 100)):
        with pytest.raises(NotReady) as missing:
            stream.view(n, offset)
        assert missing.value.bring is not None
        missing.value.bring()
    assert told == [
        (7, 4096 + (2 << 20)),
        (7 + 4096, 4096 + (2 << 20)),
        (7 + (1 << 20), 4096),
        (7 + (1 << 20) + 4096, (2 << 20) - 4096),  # to the end of the file
        (7, 100),
    ]


@pytest.mark.parametrize("size", [1000, len(CONTENT) + 1, len(CONTENT)], ids=["cut", "longer", "touched"])
def test_changed_file_is_not_believed(disc: FileSource, size: int) -> None:
    stream = stream_of(disc)
    assert view(stream, 100, 0) == CONTENT[FILE[0] : FILE[0] + 100]
    os.truncate(disc.path, size)
    os.utime(disc.path, ns=(1, 1))
    with pytest.raises(ImageError, match="was changed"):
        stream.view(100, 0)
    with pytest.raises(ImageError, match="was changed"):
        stream.pread(100, 0)


def test_file_that_is_cut_while_bytes_are_brought_is_not_believed(disc: FileSource) -> None:
    stream = stream_of(disc)
    bring = missing(disc, stream, 4096, 4096).bring
    assert bring is not None
    os.truncate(disc.path, 1000)
    bring()
    with pytest.raises(ImageError, match="was changed"):
        stream.view(4096, 4096)


def test_closed_file_reads_as_an_error(disc: FileSource) -> None:
    stream = stream_of(disc)
    bring = missing(disc, stream, 4096, 4096).bring
    assert bring is not None
    disc.close()
    with pytest.raises(ImageError):
        stream.view(4096, 0)
    with pytest.raises(ImageError):
        stream.pread(4096, 0)
    with pytest.raises(ImageError, match="reading 4096 bytes at"):
        bring()


def test_bad_storage_is_an_image_error(way: str, disc: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def bad(*args: object) -> int:
        raise OSError(5, "Input/output error")

    stream = stream_of(disc)
    bring = missing(disc, stream, 4096, 4096).bring
    assert bring is not None
    monkeypatch.setattr(os, "preadv", bad)
    with pytest.raises(ImageError, match="Input/output error"):
        bring()
    if way == "RWF_NOWAIT":
        with pytest.raises(ImageError, match="Input/output error"):
            stream.view(4096, 4096)


@pytest.mark.parametrize("error", [BlockingIOError(11, ""), NotImplementedError(), OSError(95, ""), OSError(22, "")])
def test_file_system_that_cannot_tell_what_is_in_memory(
    way: str, disc: FileSource, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    stream = stream_of(disc)
    view(stream, 4096, 0)
    real = os.preadv

    def preadv(fd: int, buffers: list[Any], offset: int, flags: int = 0) -> int:
        if flags:
            raise error
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    if way == "RWF_NOWAIT":
        with pytest.raises(NotReady):
            stream.view(4096, 0)
    else:
        assert bytes(stream.view(4096, 0)) == CONTENT[FILE[0] : FILE[0] + 4096]


def test_file_of_somebody_else_that_may_be_written_is_known_by_any_name(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disc").write_bytes(CONTENT)
    monkeypatch.chdir(tmp_path)
    disc = FileSource("disc")
    monkeypatch.chdir("/")  # as the daemon does before a file is opened
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert plain.Mapping(disc)._told is (way == "mincore")
    disc.close()


@pytest.mark.parametrize(
    "extents",
    [
        [Extent(2048, 1000), Extent(8192, 1000)],
        [Extent(2048, 8192, unit=2048, gap=2048)],
        [Extent(len(CONTENT) - 100, 101)],
    ],
    ids=["two sections", "interleaved", "beyond the end"],
)
def test_file_that_is_no_single_piece_of_the_disc_is_read_by_pread(disc: FileSource, extents: list[Extent]) -> None:
    file = Extents(disc, extents)
    stream = open_stream(file)
    assert not isinstance(stream, MappedStream)
    assert stream.view(90, 5) == file.pread(90, 5)


def test_sections_that_are_neighbours_are_one_piece(disc: FileSource) -> None:
    stream = open_stream(Extents(disc, [Extent(2048, 4096), Extent(6144, 1000)]))
    assert isinstance(stream, MappedStream)
    assert view(stream, 10_000, 0) == CONTENT[2048:7144]


def test_machine_without_room_for_a_mapping_reads_by_pread(disc: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> mmap.mmap:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(plain, "mmap", refuse)
    stream = open_stream(Extents(disc, [Extent(*FILE)]))
    assert stream.view(100, 5) == CONTENT[FILE[0] + 5 : FILE[0] + 105]


def test_small_reads_do_not_wait_where_the_file_system_cannot_tell(
    way: str, disc: FileSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = stream_of(disc)
    view(stream, 4096, 4096)
    if way == "mincore":  # the other way has nothing but the file system to ask
        monkeypatch.setattr("isofs.image._decode.cached", lambda *_: None)
    assert bytes(stream.view(4096, 4096)) == CONTENT[FILE[0] + 4096 : FILE[0] + 8192]
