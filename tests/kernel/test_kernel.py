"""What isofs shows is what Linux's own driver shows, with each option, but for the differences in a table.

The golden files were made by `make_golden`. Discs of our own are compared in any case, by real mounts; those of a
corpus where there is one: without options by real mounts, with options by reading the volume.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import pytest
from writers.tools import require

from kernel import images
from kernel.compare import Difference, Known, differences
from kernel.differences import KNOWN
from kernel.discs import OWN
from kernel.golden import GOLDEN, encode, load, path_of
from kernel.listing import Entry, Listing
from kernel.ours import look

_IMAGES = [
    str(path.relative_to(GOLDEN).with_suffix(".iso"))
    for kind in ("own", "iso", "public", "hostile")
    for path in sorted((GOLDEN / kind).glob("*.txt"))
    if kind == "own" or images.corpus()
]

Looked = Callable[[str], list[Difference]]


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looked]:
    """The differences of an image. Processes of their own, without threads, look at all of them at once."""
    require("/dev/fuse")
    known: dict[str, list[Difference]] = {}
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        coming: dict[str, Future[dict[str, Listing]]] = {}
        for image in _IMAGES:
            folder = tmp_path_factory.mktemp("image")
            (folder / "point").mkdir()
            views = [*load(path_of(image)).listings]
            by_mounts = image.startswith("own/")
            coming[image] = pool.submit(_look, image, folder, views, by_mounts)

        def differ(image: str) -> list[Difference]:
            if image not in known:
                golden, ours = load(path_of(image)), coming[image].result()
                known[image] = [
                    difference
                    for view, theirs in golden.listings.items()
                    for difference in differences(image, view, theirs, ours[view])
                ]
            return known[image]

        try:
            yield differ
        finally:
            pool.shutdown(cancel_futures=True)


def _look(image: str, folder: Path, views: list[str], by_mounts: bool) -> dict[str, Listing]:
    path = folder / "disc.iso"
    path.write_bytes(images.content(image))
    try:
        return look(path, views, folder / "point", by_mounts=by_mounts)
    finally:
        path.unlink()


@pytest.mark.parametrize("image", _IMAGES)
def test_we_show_what_linux_shows(image: str, looked: Looked) -> None:
    found = hashlib.sha256(images.content(image)).hexdigest()
    assert found == load(path_of(image)).sha256, "another image than that of the golden file; run make_golden"
    wrong = [str(difference) for difference in looked(image) if not any(known.covers(difference) for known in KNOWN)]
    assert not wrong, "\n".join(wrong)


def test_every_known_difference_is_still_there(looked: Looked) -> None:
    left = {known for known in KNOWN if images.corpus() or known.image.startswith("own/")}
    for image in _IMAGES:
        for difference in looked(image):
            left -= {known for known in left if known.covers(difference)}
    assert not left, "\n".join(map(str, left))


def test_golden_files_are_those_that_would_be_written() -> None:
    for path in GOLDEN.rglob("*.txt"):
        golden = load(path)
        assert path == path_of(golden.image)
        assert encode(golden) == path.read_text("utf-8")


def test_every_disc_of_our_own_has_a_golden_file() -> None:
    assert {path.stem for path in (GOLDEN / "own").iterdir()} == set(OWN)


# --- the comparison itself ------------------------------------------------------------------------------------------

_ROOT = Entry("d", "0555")
_FILE = Entry("f", "0644", "1", "0", "0", "5", "1", "1", "1", "abc", "-", "/a.txt")


def _fields(theirs: Listing, ours: Listing) -> list[tuple[str, str]]:
    return [(difference.path, difference.field) for difference in differences("x.iso", "defaults", theirs, ours)]


def test_equal_listings_do_not_differ() -> None:
    assert _fields(Listing((_ROOT, _FILE), "2048"), Listing((_ROOT, _FILE), "2048")) == []
    assert _fields(Listing(failed="EINVAL"), Listing(failed="exit 32")) == []


@pytest.mark.parametrize("field", [field for field in Entry._fields if field != "path"])
def test_each_field_of_an_entry_is_compared(field: str) -> None:
    other = _FILE._replace(**{field: "7"})
    assert _fields(Listing((_ROOT, _FILE)), Listing((_ROOT, other))) == [("/a.txt", field)]


def test_names_order_size_and_failure_are_compared() -> None:
    both = (_ROOT, _FILE, _FILE._replace(path="/b.txt"))
    assert _fields(Listing(both), Listing(both[:2])) == [("/b.txt", "missing")]
    assert _fields(Listing(both[:2]), Listing(both)) == [("/b.txt", "extra")]
    assert _fields(Listing(both), Listing((both[0], both[2], both[1]))) == [("/", "order")]
    assert _fields(Listing(both, "1"), Listing(both, "2")) == [("/", "statfs")]
    assert _fields(Listing(both), Listing(failed="exit 32")) == [("/", "mount")]
    assert _fields(Listing(failed="EIO"), Listing(both)) == [("/", "mount")]
    assert _fields(Listing(failed="EIO"), Listing(failed="exit 4")) == [("/", "mount")]


def test_a_row_of_the_table_covers_what_its_patterns_say_and_nothing_else() -> None:
    row = Known("a reason", image="own/*", path="/a.*", field="size", ours="5")
    found = Difference("own/x.iso", "defaults", "/A.TXT", "size", "7", "5")
    assert row.covers(found)
    assert not row.covers(found._replace(image="iso/x.iso"))
    assert not row.covers(found._replace(field="mode"))
    assert not row.covers(found._replace(path="/b.txt"))
    assert not row.covers(found._replace(ours="6"))
