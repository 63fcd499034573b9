from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writers.sources import Memory

from isofs.errors import ImageError, NoImage, NotReady, SystemRefused, UsageError
from isofs.image import source as image_source
from isofs.image.compiled import compiled
from isofs.image.source import Extent, Extents, FileSource, may_wait, never_wait

CONTENT = bytes(range(256)) * 64
SOME_EXAMPLES = settings(deadline=None, max_examples=100)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[FileSource]:
    path = tmp_path / "disc"
    path.write_bytes(CONTENT)
    source = FileSource(str(path))
    yield source
    source.close()


def in_thread(function: Callable[[], object]) -> object:
    """What the function gives or raises in a thread of its own, which `never_wait` may then spoil."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(function())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert results, "the thread did not end"
    return results[0]


def refusal(path: object) -> NoImage:
    with pytest.raises(NoImage) as caught:
        FileSource(str(path))
    assert caught.value.path == str(path)
    return caught.value


# --- opening --------------------------------------------------------------------------------------------------------


def test_directory_is_refused(tmp_path: Path) -> None:
    assert "a directory" in str(refusal(tmp_path))


def test_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    error = in_thread(lambda: FileSource(str(tmp_path / "pipe")))
    assert isinstance(error, NoImage)
    assert "a named pipe" in str(error)


def test_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        assert "a socket" in str(refusal(tmp_path / "s"))


def test_character_device_is_refused() -> None:
    assert "a character device" in str(refusal("/dev/null"))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in str(refusal(tmp_path / "missing"))


def test_dangling_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert "no such file" in str(refusal(tmp_path / "link"))


def test_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    refusal(tmp_path / "link")


def test_file_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    refusal(tmp_path / "file" / "disc.iso")


def test_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path / ("n" * 256))


def test_nul_in_a_name_is_refused() -> None:
    assert "not a file name" in str(refusal("disc\0.iso"))


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may read everything; be somebody else meanwhile."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_unreadable_file_says_permission_denied(tmp_path: Path) -> None:
    path = tmp_path / "disc"
    path.write_bytes(CONTENT)
    path.chmod(0)
    with unprivileged(), pytest.raises(UsageError, match="permission denied"):
        FileSource(str(path))


def test_what_the_system_does_not_open_is_the_systems_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> int:
        raise OSError(24, "Too many open files")

    (tmp_path / "disc").write_bytes(CONTENT)
    monkeypatch.setattr(os, "open", full)
    with pytest.raises(SystemRefused, match="Too many open files"):
        FileSource(str(tmp_path / "disc"))


def test_link_to_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "disc").write_bytes(CONTENT)
    (tmp_path / "link").symlink_to("disc")
    source = FileSource(str(tmp_path / "link"))
    assert source.pread(300, 200) == CONTENT[200:500]
    source.close()


def test_refused_file_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disc").write_bytes(CONTENT)
    opened: list[int] = []
    real = os.open

    def remember(path: str, flags: int) -> int:
        opened.append(real(path, flags))
        return opened[-1]

    def fail(fd: int) -> os.stat_result:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "open", remember)
    monkeypatch.setattr(os, "fstat", fail)
    with pytest.raises(KeyboardInterrupt):
        FileSource(str(tmp_path / "disc"))
    monkeypatch.undo()
    assert len(opened) == 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])


# --- reading --------------------------------------------------------------------------------------------------------


def test_reads_anywhere_and_short_at_the_end(file: FileSource) -> None:
    assert file.size == len(CONTENT)
    assert file.pread(10, 0) == CONTENT[:10]
    assert file.pread(100, 300) == CONTENT[300:400]
    assert file.pread(100, len(CONTENT) - 3) == CONTENT[-3:]
    assert file.pread(100, len(CONTENT)) == b""
    assert file.pread(1, 1 << 62) == b""
    assert file.pread(0, 5) == b""
    assert file.pread(-5, 5) == b""


def test_read_in_pieces_by_the_system_is_put_together(file: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, n, offset: real(fd, min(n, 100), offset))
    assert file.pread(1050, 77) == CONTENT[77:1127]


@pytest.mark.parametrize(
    "sizes", [(1000,), (1000, len(CONTENT)), (len(CONTENT) + 1,)], ids=["cut", "grown again", "longer"]
)
def test_file_that_was_changed_is_not_believed(file: FileSource, sizes: tuple[int, ...]) -> None:
    assert file.pread(10, 0) == CONTENT[:10]
    for size in sizes:
        os.truncate(file.path, size)
    os.utime(file.path, ns=(1, 1))
    with pytest.raises(ImageError, match="was changed"):
        file.pread(10, 0)


def test_bad_storage_is_an_image_error(file: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def bad(*args: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", bad)
    with pytest.raises(ImageError, match="reading 10 bytes at 20: Input/output error"):
        file.pread(10, 20)


def test_closed_file_reads_as_an_error_and_closes_again(file: FileSource) -> None:
    file.close()
    file.close()
    with pytest.raises(ImageError):
        file.pread(10, 0)


def test_threads_share_a_file(file: FileSource) -> None:
    wrong: list[int] = []

    def read(start: int) -> None:
        for offset in range(start, len(CONTENT), 97):
            if file.pread(97, offset) != CONTENT[offset : offset + 97]:
                wrong.append(offset)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- threads that must not wait -------------------------------------------------------------------------------------


def test_only_the_thread_that_said_so_must_not_wait() -> None:
    def impatient() -> bool:
        never_wait()
        return may_wait()

    assert in_thread(impatient) is False
    assert may_wait()
    assert in_thread(may_wait) is True


def test_impatient_thread_reads_the_same_bytes_or_is_told_to_ask_again(file: FileSource) -> None:
    file.pread(len(CONTENT), 0)

    def read() -> bytes:
        never_wait()
        return file.pread(1000, 3000)

    found = in_thread(read)
    assert found == CONTENT[3000:4000] or isinstance(found, NotReady)


@pytest.mark.parametrize(
    "failure",
    [
        BlockingIOError(11, "Resource temporarily unavailable"),
        NotImplementedError(),
        OSError(95, "Operation not supported"),
        OSError(22, "Invalid argument"),
    ],
)
def test_impatient_thread_does_not_get_what_is_not_in_memory(
    file: FileSource, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def not_resident(*args: object) -> int:
        raise failure

    def read() -> bytes:
        never_wait()
        return file.pread(1000, 3000)

    monkeypatch.setattr(image_source, "_cached", image_source.cached)  # the one in Python
    monkeypatch.setattr(os, "preadv", not_resident)
    assert isinstance(in_thread(read), NotReady)
    assert file.pread(1000, 3000) == CONTENT[3000:4000]


def test_impatient_thread_does_not_get_half_of_a_read(file: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(fd: int, buffers: list[bytearray], offset: int, flags: int) -> int:
        return len(buffers[0]) // 2

    def read() -> bytes:
        never_wait()
        return file.pread(1000, 3000)

    monkeypatch.setattr(image_source, "_cached", image_source.cached)
    monkeypatch.setattr(os, "preadv", half)
    assert isinstance(in_thread(read), NotReady)


def test_bad_storage_is_an_error_of_the_thread_that_waits(file: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def bad(*args: object) -> int:
        raise OSError(5, "Input/output error")

    def read() -> bytes:
        never_wait()
        return file.pread(1000, 3000)

    monkeypatch.setattr(image_source, "_cached", image_source.cached)
    monkeypatch.setattr(os, "preadv", bad)
    monkeypatch.setattr(os, "pread", bad)
    assert isinstance(in_thread(read), NotReady)
    with pytest.raises(ImageError, match="Input/output error"):
        file.pread(1000, 3000)


def test_what_is_in_memory_is_the_same_in_c_and_in_python(file: FileSource) -> None:
    assert compiled is not None or not os.environ.get("CI")
    for way in (image_source, compiled or image_source):
        assert way.cached(file.fileno(), 1000, 3000) == CONTENT[3000:4000]
        assert way.cached(file.fileno(), 10, len(CONTENT) - 5) is None  # shorter than asked for
        assert way.cached(file.fileno(), 0, 3) == b""
        seconds, nanoseconds = divmod(file.changed, 1_000_000_000)
        assert way.unchanged(file.fileno(), file.size, seconds, nanoseconds)
        assert not way.unchanged(file.fileno(), file.size + 1, seconds, nanoseconds)
        assert not way.unchanged(file.fileno(), file.size, seconds, nanoseconds ^ 1)
        assert not way.unchanged(file.fileno(), file.size, seconds - 1, nanoseconds)


# --- extents --------------------------------------------------------------------------------------------------------


def test_extents_join_in_their_order() -> None:
    file = Extents(Memory(CONTENT), [Extent(1000, 10), Extent(50, 20), Extent(3000, 5)])
    expected = CONTENT[1000:1010] + CONTENT[50:70] + CONTENT[3000:3005]
    assert file.size == 35
    assert file.pread(100, 0) == expected
    assert file.pread(12, 5) == expected[5:17]
    assert file.pread(1, 34) == expected[34:]
    assert file.pread(1, 35) == b""
    assert file.pread(1, -1) == b""
    assert file.pread(0, 3) == b""


def test_interleaved_extent_leaves_out_its_gaps() -> None:
    file = Extents(Memory(CONTENT), [Extent(100, 25, unit=10, gap=30)])
    expected = CONTENT[100:110] + CONTENT[140:150] + CONTENT[180:185]
    assert file.pread(25, 0) == expected
    assert file.pread(6, 7) == expected[7:13]
    assert file.pread(100, 20) == expected[20:]


def test_last_gap_of_an_interleaved_extent_need_not_be_there() -> None:
    file = Extents(Memory(CONTENT[:150]), [Extent(100, 20, unit=10, gap=30)])
    assert file.pread(20, 0) == CONTENT[100:110] + CONTENT[140:150]


def test_sections_without_bytes_are_passed_over() -> None:
    file = Extents(Memory(CONTENT), [Extent(7, 0), Extent(10, 4), Extent(9, 0), Extent(1 << 60, 0), Extent(20, 4)])
    assert file.pread(9, 0) == CONTENT[10:14] + CONTENT[20:24]
    assert file.pread(1, 4) == CONTENT[20:21]


@pytest.mark.parametrize("extents", [[], [Extent(5, 0)], [Extent(5, 0), Extent(1 << 60, 0)]])
def test_file_of_empty_sections_is_empty(extents: list[Extent]) -> None:
    file = Extents(Memory(CONTENT), extents)
    assert file.size == 0
    assert file.pread(10, 0) == b""


@pytest.mark.parametrize("extent", [Extent(len(CONTENT) - 5, 10), Extent(1 << 60, 10)])
def test_bytes_beyond_the_end_of_the_disc_are_an_error_that_names_the_file(extent: Extent) -> None:
    file = Extents(Memory(CONTENT), [Extent(0, 10), extent], "MOVIE.DAT")
    assert file.pread(10, 0) == CONTENT[:10]
    with pytest.raises(ImageError, match=r"MOVIE\.DAT"):
        file.pread(15, 3)


def test_interleaved_bytes_beyond_the_end_are_an_error() -> None:
    file = Extents(Memory(CONTENT[:145]), [Extent(100, 20, unit=10, gap=30)])
    assert file.pread(15, 0) == CONTENT[100:110] + CONTENT[140:145]
    with pytest.raises(ImageError):
        file.pread(16, 0)


SECTIONS = st.lists(
    st.builds(Extent, st.integers(0, 5000), st.integers(0, 60), st.sampled_from((0, 0, 1, 7, 16)), st.integers(0, 20)),
    max_size=8,
)


@SOME_EXAMPLES
@given(SECTIONS, st.integers(0, 400), st.integers(0, 400))
def test_extents_read_as_their_bytes_one_by_one(extents: list[Extent], n: int, offset: int) -> None:
    places = []
    for extent in extents:
        for i in range(extent.length):
            gaps = i // extent.unit * extent.gap if extent.unit else 0
            places.append(extent.position + i + gaps)
    file = Extents(Memory(CONTENT), extents)
    assert file.size == len(places)
    assert file.pread(n, offset) == bytes(CONTENT[place] for place in places[offset : offset + n])


def merged(*extents: Extent) -> tuple[Extent, ...]:
    return Extents(Memory(CONTENT), extents).extents


def test_sections_that_lie_behind_each_other_are_one() -> None:
    assert merged(Extent(10, 5), Extent(15, 20), Extent(35, 1)) == (Extent(10, 26),)
    assert merged(Extent(10, 5), Extent(15, 0), Extent(15, 5)) == (Extent(10, 10),)
    assert merged(Extent(10, 5), Extent(15, 5), Extent(30, 5), Extent(35, 5)) == (Extent(10, 10), Extent(30, 10))


@pytest.mark.parametrize(
    "extents",
    [
        (Extent(10, 5), Extent(16, 5)),
        (Extent(10, 5), Extent(14, 5)),
        (Extent(15, 5), Extent(10, 5)),
        (Extent(10, 5), Extent(10, 5)),
        (Extent(10, 10, unit=5, gap=5), Extent(20, 10)),
        (Extent(10, 10), Extent(20, 10, unit=5, gap=5)),
    ],
)
def test_other_sections_stay_what_they_are(extents: tuple[Extent, ...]) -> None:
    assert merged(*extents) == extents


@pytest.mark.parametrize(
    ("extents", "expected"),
    [
        ([Extent(10, 90)], Extent(10, 90)),
        ([Extent(10, 30), Extent(40, 60)], Extent(10, 90)),
        ([Extent(0, len(CONTENT))], Extent(0, len(CONTENT))),
        ([Extent(len(CONTENT), 0)], Extent(len(CONTENT), 0)),
        ([Extent(10, 30), Extent(41, 60)], None),
        ([Extent(10, 30, unit=10, gap=10)], None),
        ([Extent(1, len(CONTENT))], None),
        ([Extent(len(CONTENT), 1)], None),
        ([Extent(-1, 10)], None),
        ([], None),
    ],
)
def test_file_is_contiguous_if_it_is_one_range_on_the_disc(extents: list[Extent], expected: Extent | None) -> None:
    assert Extents(Memory(CONTENT), extents).contiguous == expected
