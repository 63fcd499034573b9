"""The audio tracks of a disc as `.wav` files, in a directory of their own beside the disc's own tree.

The directory is called `audio`, or `audio~2`, `audio~3`, ... where the root has that name already; in it are
`track01.wav` and so on, by the numbers of the tracks. A disc of audio tracks only has nothing else in its root.

A file is a header of 44 bytes and the samples, little-endian, left before right:

| at | size | field | |
| --- | --- | --- | --- |
| 0 | 4 | `RIFF` | |
| 4 | 4 | bytes that follow | the file's size less 8 |
| 8 | 4 | `WAVE` | |
| 12 | 4 | `fmt ` | |
| 16 | 4 | bytes of the format | 16 |
| 20 | 2 | coding | 1, PCM |
| 22 | 2 | channels | 2 |
| 24 | 4 | samples of a channel in a second | 44100 |
| 28 | 4 | bytes of a second | 176400 |
| 32 | 2 | bytes of a sample of all channels | 4 |
| 34 | 2 | bits of a sample | 16 |
| 36 | 4 | `data` | |
| 40 | 4 | bytes of the samples | 2352 for each sector |

**Inode numbers**: the directory is `1 << 62`, the files follow. No other volume has such numbers: places on a disc are
below 2^44 (block numbers of 32 bits, blocks of 2048 bytes), numbers of hard-linked files begin at 2^63.
"""

from __future__ import annotations

import stat
import struct
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

from .. import limits
from ..errors import ImageError, IsofsError, StaleInode, UnsupportedError
from ..image.sectors import RAW, SECTOR, Track
from ..image.source import Source
from .iso9660.directory import Directory
from .tree import ROOT, Attributes, Entry, Findings, Usage, View, Volume, no_file_system

_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_RATE: Final = 44_100
_SAMPLE: Final = 4
_NAME: Final = b"audio"
_AUDIO: Final = 1 << 62
_DEFAULT_MODE: Final = 0o555
_MOST_LINKS: Final = 0xFFFF_FFFF
"""What FUSE can tell."""


def with_audio(volume: Volume | None, tracks: Sequence[Track], view: View) -> Volume:
    """`volume` with the audio tracks as files; without a volume they are all there is. Reads nothing.

    Tracks of data and those without sectors that can be read are left out; if no track is left, `volume` is given as it
    is. Raises `UnsupportedError` where nothing at all can be shown.
    """
    findings = Findings() if volume is None else volume.findings
    shown = [track for track in tracks if _can_be_shown(track, findings)]
    if shown:
        return _WithAudio(volume or _AudioDisc(shown, view, findings), shown, view)
    if volume is None:
        raise UnsupportedError("none of its audio tracks is stored as samples", "play its sound files as they are")
    return volume


def _can_be_shown(track: Track, findings: Findings) -> bool:
    if track.mode == "audio" and track.source is None:
        findings.add(track.position, f"track {track.number} is not shown: it is in a sound file", harmless=True)
    if track.mode != "audio" or track.source is None or track.count <= 0:
        return False
    if track.stride < RAW:
        reason = f"audio in sectors of {track.stride} bytes, not {RAW}"
    elif track.count > limits.WAVE_SECTORS:
        reason = f"{track.count} sectors, more than a .wav file can hold"
    else:
        return True
    findings.add(track.position, f"track {track.number} is not shown: {reason}")
    return False


class Wave:
    """An audio track as a `.wav` file. A `Source`, for any thread."""

    def __init__(self, track: Track) -> None:
        self.track = track
        self.size = wave_size(track)
        samples = self.size - _HEADER.size
        form = (16, 1, 2, _RATE, _RATE * _SAMPLE, _SAMPLE, 16)
        self._header = _HEADER.pack(b"RIFF", self.size - 8, b"WAVE", b"fmt ", *form, b"data", samples)

    def pread(self, n: int, offset: int) -> bytes:
        """See `Source.pread`. A sector that the track's source does not hold is an `ImageError`."""
        end = min(offset + n, self.size)
        if offset < 0 or offset >= end:
            return b""
        head = self._header[offset:end]
        start = max(offset - _HEADER.size, 0)
        return head + self._samples(start, end - _HEADER.size) if end > _HEADER.size else head

    def _samples(self, start: int, end: int) -> bytes:
        """The samples' bytes from `start` to `end`."""
        if not self.track.big_endian:
            return self._stored(start, end)
        even = start & ~1
        swapped = array("H", self._stored(even, end + (end & 1)))
        swapped.byteswap()
        return swapped.tobytes()[start - even : end - even]

    def _stored(self, start: int, end: int) -> bytes:
        """The same bytes in the order in which they are stored: one read, then what is between sectors is left out."""
        stride = self.track.stride
        first, skip = divmod(start, RAW)
        last, rest = divmod(end - 1, RAW)
        data = self._exactly(first, skip, (last - first) * stride + rest + 1 - skip)
        if stride == RAW or first == last:
            return data
        begins = range(-skip, len(data), stride)
        return b"".join([data[max(at, 0) : at + RAW] for at in begins])

    def _exactly(self, first: int, skip: int, n: int) -> bytes:
        """`n` bytes of the source from byte `skip` of the track's sector `first` on."""
        track = self.track
        assert track.source is not None
        try:
            data = track.source.pread(n, track.position + first * track.stride + skip)
        except ImageError as error:
            raise type(error)(f"track {track.number}: {error.reason}", error.remedy) from None
        if len(data) != n:
            complete, part = divmod(skip + len(data), track.stride)
            sector = track.start + first + complete + (part >= RAW)
            raise ImageError(f"track {track.number}: sector {sector} lies beyond the end of the file")
        return data


def _numbered(name: bytes, count: int) -> bytes:
    """What the first, second, ... file of a name is called."""
    return name if count == 1 else b"%s~%d" % (name, count)


def wave_size(track: Track) -> int:
    """Bytes of a track's file."""
    return _HEADER.size + track.count * RAW


class _WithAudio:
    """A `Volume` with one more directory in its root."""

    def __init__(self, volume: Volume, tracks: Sequence[Track], view: View) -> None:
        self.findings = volume.findings
        self._volume = volume
        self._tracks = tracks
        self._view = view

    def attributes(self, inode: int) -> Attributes:
        """See `Volume`."""
        if inode == ROOT:
            root = self._volume.attributes(ROOT)
            if root.nlink < 2:  # directories of this volume do not count those in them
                return root
            return root._replace(nlink=min(root.nlink + 1, _MOST_LINKS))
        if inode == _AUDIO:
            return _directory(_AUDIO, self._view, self._volume.attributes(ROOT))
        track = self._track(inode)
        if track is None:
            return self._volume.attributes(inode)
        return _file(inode, track, self._view, self._volume.attributes(ROOT))

    def lookup(self, inode: int, name: bytes) -> Attributes | None:
        """See `Volume`."""
        if inode == _AUDIO:
            entry = self._files.find(name)
        elif self._track(inode) is not None:
            raise StaleInode(f"inode {inode} is no directory")
        else:
            found = self._volume.lookup(inode, name)
            if found is not None or inode != ROOT:
                return found
            entry = self._added.find(name)
        return None if entry is None else self.attributes(entry.inode)

    def entries(self, inode: int) -> Sequence[Entry]:
        """See `Volume`. The directory is the last in the root."""
        if inode == ROOT:
            return [*self._volume.entries(ROOT), *self._added]
        if inode == _AUDIO:
            return self._files
        if self._track(inode) is not None:
            raise StaleInode(f"inode {inode} is no directory")
        return self._volume.entries(inode)

    def parent(self, inode: int) -> int:
        """See `Volume`."""
        if inode == _AUDIO:
            return ROOT
        if self._track(inode) is not None:
            return _AUDIO
        return self._volume.parent(inode)

    def data(self, inode: int) -> Source:
        """See `Volume`."""
        track = self._track(inode)
        if track is not None:
            return Wave(track)
        if inode == _AUDIO:
            raise StaleInode(f"inode {inode} is no file")
        return self._volume.data(inode)

    def readlink(self, inode: int) -> bytes:
        """See `Volume`."""
        if inode == _AUDIO or self._track(inode) is not None:
            raise StaleInode(f"inode {inode} is no symbolic link")
        return self._volume.readlink(inode)

    @property
    def has_xattrs(self) -> bool:
        """See `Volume`."""
        return self._volume.has_xattrs

    def xattrs(self, inode: int) -> Mapping[bytes, bytes]:
        """See `Volume`. What is added has none."""
        return {} if inode == _AUDIO or self._track(inode) is not None else self._volume.xattrs(inode)

    def usage(self) -> Usage:
        """See `Volume`."""
        return self._volume.usage()

    def describe(self) -> dict[str, object]:
        """See `Volume`."""
        return {**self._volume.describe(), "audio_tracks": len(self._tracks)}

    def _track(self, inode: int) -> Track | None:
        """The track whose file has this number."""
        place = inode - _AUDIO - 1
        return self._tracks[place] if 0 <= place < len(self._tracks) else None

    # Both tables find names by the rule of the volume's own.

    @cached_property
    def _added(self) -> Directory:
        """What is added to the root."""
        name = self._free_name()
        return self._table({name: Entry(name, _AUDIO, None)})

    @cached_property
    def _files(self) -> Directory:
        """What is in the directory."""
        root = self._volume.attributes(ROOT)
        found: dict[bytes, Entry] = {}
        told: Counter[bytes] = Counter()
        for inode, track in enumerate(self._tracks, _AUDIO + 1):
            name = b"track%02d.wav" % track.number
            told[name] += 1  # a sheet may tell a number twice
            name = _numbered(name, told[name])
            found[name] = Entry(name, inode, _file(inode, track, self._view, root))
        return self._table(found)

    def _table(self, index: dict[bytes, Entry]) -> Directory:
        joliet = self._volume.describe().get("tree") == "Joliet"
        relaxed = self._view.check == "relaxed" if self._view.check else joliet
        return Directory(index, joliet=joliet, relaxed=relaxed, case=self._view.case)

    def _free_name(self) -> bytes:
        """The first name that the volume's root does not know, not even in another case.

        A root of n entries knows n of the names at most.
        """
        entries = self._volume.entries(ROOT)  # an error of the root is raised here
        for count in range(1, len(entries) + 2):
            name = _numbered(_NAME, count)
            try:
                if self._volume.lookup(ROOT, name) is None:
                    return name
            except IsofsError:  # it is there, and damaged
                continue
        raise ImageError("the names in the root directory cannot be read")


class _AudioDisc:
    """The `Volume` of a disc without a file system: an empty root."""

    has_xattrs = False

    def __init__(self, tracks: Sequence[Track], view: View, findings: Findings) -> None:
        self.findings = findings
        self._view = view
        self._size = sum(wave_size(track) for track in tracks)

    def attributes(self, inode: int) -> Attributes:
        """See `Volume`."""
        return _directory(self._root(inode), self._view, None)

    def lookup(self, inode: int, _name: bytes) -> Attributes | None:
        """See `Volume`."""
        self._root(inode)
        return None

    def entries(self, inode: int) -> Sequence[Entry]:
        """See `Volume`."""
        self._root(inode)
        return ()

    def parent(self, inode: int) -> int:
        """See `Volume`."""
        return self._root(inode)

    def data(self, inode: int) -> Source:
        """See `Volume`."""
        raise StaleInode(f"inode {inode} is no file")

    def readlink(self, inode: int) -> bytes:
        """See `Volume`."""
        raise StaleInode(f"inode {inode} is no symbolic link")

    def xattrs(self, inode: int) -> Mapping[bytes, bytes]:
        """See `Volume`."""
        self._root(inode)
        return {}

    def usage(self) -> Usage:
        """See `Volume`."""
        return Usage(SECTOR, -(-self._size // SECTOR))

    def describe(self) -> dict[str, object]:
        """See `Volume`."""
        return no_file_system("audio tracks", self._size)

    def _root(self, inode: int) -> int:
        if inode != ROOT:
            raise StaleInode(f"inode {inode} leads to nothing")
        return ROOT


def _directory(inode: int, view: View, root: Attributes | None) -> Attributes:
    """Attributes of a directory without directories in it. Times are the root's."""
    permissions = (_DEFAULT_MODE if view.dmode is None else view.dmode) & ~view.dmask
    return _attributes(inode, stat.S_IFDIR | permissions, 2, 0, view, root)


def _file(inode: int, track: Track, view: View, root: Attributes) -> Attributes:
    """Attributes of a track's file."""
    permissions = (_DEFAULT_MODE if view.mode is None else view.mode) & ~view.fmask
    return _attributes(inode, stat.S_IFREG | permissions, 1, wave_size(track), view, root)


def _attributes(inode: int, mode: int, nlink: int, size: int, view: View, root: Attributes | None) -> Attributes:
    times = (root.atime, root.mtime, root.ctime) if root else (0, 0, 0)
    return Attributes(inode, mode, nlink, view.uid or 0, view.gid or 0, 0, size, -(-size // 512), *times)
