"""Reads all that a bounded reader can of an image, and fails for what no volume may tell."""

from __future__ import annotations

import os
import stat
from itertools import islice
from random import Random
from typing import Final, Protocol

from isofs.errors import IsofsError
from isofs.image import Image
from isofs.image.source import Source, open_stream
from isofs.volume import open_volume
from isofs.volume.iso9660.eltorito import image_size, read_catalogue
from isofs.volume.iso9660.structure import Survey, in_descriptors, in_directory, in_path_tables, lost_directories
from isofs.volume.iso9660.tags import FileSums, find_tags
from isofs.volume.iso9660.volume import Iso9660
from isofs.volume.tree import ROOT, Attributes, View, Volume, find, path_of, walk

from .engine import allowed

_STEPS: Final = 150
"""Names that are looked at on one disc."""
_PIECE: Final = 20_000
"""Bytes of one read."""
_YEARS: Final = (-62_135_683_200 * 1_000_000_000, 253_402_387_200 * 1_000_000_000)
"""From year 1 to 9999, and a day around them for time zones."""

VIEWS: Final = (
    *(View(), View(), View(), View(norock=True), View(norock=True, nojoliet=True), View(audio=True), View(image=True)),
    *(View(showassoc=True, hide=True, cruft=True), View(map="acorn", norock=True), View(nocompress=True)),
    *(
        View(tree="joliet", case="upper"),
        View(tree="enhanced"),
        View(case="lower", check="relaxed"),
        View(map="off"),
        View(subdir="dir"),
    ),
)


class Sized(Protocol):
    """What can be read."""

    @property
    def size(self) -> int: ...

    def pread(self, n: int, offset: int) -> bytes: ...


def read_some(source: Sized, chance: Random, times: int = 3) -> None:
    """A few pieces of a source: no more than asked for, no fewer but at its end."""
    size = source.size
    assert size >= 0
    for offset in [0, max(size - 700, 0), *(chance.randrange(size + 1) for _ in range(times - 2))][:times]:
        n = chance.choice((1, 700, _PIECE))
        try:
            assert len(source.pread(n, offset)) == min(n, size - offset)
        except IsofsError as error:
            allowed(error)
    assert source.pread(10, size) == b""


def read_volume(volume: Volume, chance: Random) -> None:
    """Walks a tree, and asks each file all that there is to ask."""
    try:
        volume.describe()
        volume.usage()
        todo = [(ROOT, volume.attributes(ROOT))]
        if chance.random() < 0.3:
            _walk(volume, todo[0][1], chance)
    except IsofsError as error:
        allowed(error)
        return
    steps = 0
    seen = {ROOT}
    while todo and steps < _STEPS:
        inode, attributes = todo.pop(chance.randrange(len(todo)))
        assert attributes.inode == inode or inode == ROOT
        try:
            entries = volume.entries(inode)
        except IsofsError as error:
            allowed(error)
            continue
        names = set()
        for entry in entries:
            assert 0 < len(entry.name) <= 255
            assert not set(entry.name) & {0, 0x2F}, entry.name
            assert entry.name not in (b".", b"..")
            assert entry.name not in names, "a name twice"
            names.add(entry.name)
        for entry in entries[:_STEPS]:
            steps += 1
            try:
                found = volume.attributes(entry.inode)
            except IsofsError as error:
                allowed(error)
                continue
            assert entry.attributes in (None, found)
            sound(found)
            _ask(volume, found, inode, chance)
            if stat.S_ISDIR(found.mode) and entry.inode not in seen:
                seen.add(entry.inode)
                todo.append((entry.inode, found))
        for entry in entries[:3]:
            try:
                again = volume.lookup(inode, entry.name)
            except IsofsError as error:
                allowed(error)
                continue
            assert again is not None, entry.name
            assert again.inode == entry.inode
        assert volume.lookup(inode, b"no such name, at least in the seeds") is None
    for inode in (0, 2, 3, chance.randrange(1 << 20), chance.randrange(1 << 64)):
        try:
            sound(volume.attributes(inode))
        except IsofsError as error:
            allowed(error)


def read_structure(volume: Iso9660, disc: Source, first_sector: int = 0) -> None:
    """What `isofs check` looks at besides: what is recorded twice, path tables, boot images, checksums."""
    places: set[int] = set()
    survey = Survey()
    todo, seen = [(ROOT, ROOT)], {ROOT}
    while todo and len(seen) < _STEPS:
        inode, above = todo.pop()
        try:
            entries = volume.entries(inode)
            todo += [(entry.inode, inode) for entry in entries if entry.attributes is None and entry.inode not in seen]
            seen |= {entry.inode for entry in entries}
            places.add(volume.place(inode))
            list(in_directory(volume, inode, volume.place(above), entries, survey))
        except IsofsError as error:
            allowed(error)
    list(lost_directories(volume, survey, places))
    list(in_descriptors(volume, disc, first_sector, disc.size))
    list(in_path_tables(volume, disc, first_sector, places))
    catalogue = read_catalogue(disc, first_sector)
    for image in catalogue.images if catalogue else ():
        assert "\n" not in image.media
        try:
            assert 0 < image_size(disc, image) <= disc.size
        except IsofsError as error:
            allowed(error)
    sums = find_tags(disc, [first_sector]).sums()
    for at in range(0, min(disc.size, 1 << 18), 9999):
        try:
            sums.feed(at, disc.pread(9999, at))
        except IsofsError as error:
            allowed(error)
    sums.finish()
    try:
        _, told = volume.told_xattrs(volume.place(ROOT), ROOT)
    except IsofsError as error:
        allowed(error)
        return
    for value in told.values():
        of_files = FileSums(disc, value)
        for index in (0, 1, 2, 1 << 32):
            if not of_files.damage:
                assert len(of_files.find(index) or bytes(16)) == 16


def sound(attributes: Attributes) -> None:
    """What goes into a struct stat fits."""
    assert 0 <= attributes.size < 1 << 63
    assert 0 <= attributes.blocks < 1 << 63
    assert 0 <= attributes.inode < 1 << 64
    for number in (attributes.mode, attributes.nlink, attributes.uid, attributes.gid):
        assert 0 <= number < 1 << 32
    assert 0 <= attributes.rdev < 1 << 64
    assert stat.S_IFMT(attributes.mode) in (
        *(stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK),
    )
    for time in (attributes.atime, attributes.mtime, attributes.ctime):
        assert _YEARS[0] <= time < _YEARS[1]


def _ask(volume: Volume, found: Attributes, above: int, chance: Random) -> None:
    """What can be asked about one file."""
    try:
        volume.parent(found.inode)
    except IsofsError as error:
        allowed(error)
    try:
        _ask_attributes(volume, found.inode)
    except IsofsError as error:
        allowed(error)
    try:
        if stat.S_ISREG(found.mode):
            source = volume.data(found.inode)
            assert source.size == found.size
            if chance.random() < 0.5:
                read_some(source, chance)
            else:
                stream = open_stream(source)
                try:
                    read_some(stream, chance)
                finally:
                    stream.close()
        elif stat.S_ISLNK(found.mode):
            target = volume.readlink(found.inode)
            assert len(target) <= 4095
            assert 0 not in target
    except IsofsError as error:
        allowed(error)


def _walk(volume: Volume, root: Attributes, chance: Random) -> None:
    """The way of the commands through a tree."""
    for step in islice(walk(volume, root), _STEPS):
        if step.error is not None:
            allowed(step.error)
        elif step.attributes is not None and chance.random() < 0.1:
            path_of(volume, step.attributes.inode)
            try:
                find(volume, os.fsdecode(step.path), follow=chance.random() < 0.5)
            except IsofsError as error:
                allowed(error)


def _ask_attributes(volume: Volume, inode: int) -> None:
    """Extended attributes, where a volume has some."""
    ask = getattr(volume, "xattrs", None)
    if ask is not None:
        for name, value in dict(ask(inode)).items():
            assert 0 < len(name) <= 255
            assert 0 not in name
            assert len(value) <= 1 << 16


def read_image(image: Image, chance: Random, view: View | None = None) -> bool:
    """The disc and the tree of an image. Whether there is a tree."""
    try:
        read_some(image.disc, chance, 4)
        for source in (image.data, image.decoded):
            read_some(source, chance, 2)
    except IsofsError as error:
        allowed(error)
    for sentence in image.warnings:
        assert "\n" not in sentence
    try:
        volume = open_volume(image, view or chance.choice(VIEWS))
    except IsofsError as error:
        allowed(error)
        return False
    read_volume(volume, chance)
    return True


def read_source(source: Source, chance: Random) -> None:
    """Some pieces of what a container holds, those first that everybody reads."""
    for n, offset in ((2048, 16 * 2048), (1, 0)):
        try:
            source.pread(n, offset)
        except IsofsError as error:
            allowed(error)
    read_some(source, chance, 5)
