"""Bytes of sound images are flipped, and the images mounted for real: right data, an error, or a refusal.

    python -m fuzz.flips [--mounts N] [--seed N] [FORMAT ...]

What is right is known without the reader. A plain image holds its data as they are: a flipped byte is what its file
holds now. CSO, ZSO and JISO have no checksums: the blocks that can still be decoded are, by a decoder of a few lines
here. DAX sums up its frames, CHD, BGZF and xz theirs: anything but the bytes of the sound disc is wrong. Where a block
cannot be decoded an error is right, and so is what it held before.

Mounts are made in a mount namespace of their own, by processes that live for one mount each.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import lz4.block
import lzallright
from writers import chd, containers
from writers.discs import SECTOR, Disc, Folder, rock

from isofs import limits
from isofs.errors import InternalError, IsofsError
from isofs.image import open_image
from isofs.mount import serve
from isofs.mount.options import Options
from isofs.volume import open_volume

from . import bits

_CHUNK: Final = 2048
_PATIENCE: Final = 20.0
"""Seconds for a mount to answer, and for its process to end."""
_REFUSED: Final = 77
_DETACH: Final = 2


class Place(NamedTuple):
    """A file of the disc, as the one who wrote it knows it."""

    name: str
    record: int
    """Byte position of its directory record."""


@cache
def sound() -> tuple[bytes, tuple[Place, ...]]:
    """A disc of some files, and where their records are."""
    disc = Disc(rock=True, sectors=2)
    chance = Random(1)
    places = []

    def fill(folder: Folder, below: str) -> None:
        for i, size in enumerate((5, 2048, 9000, 40_000, 1)):
            data = chance.randbytes(size) if i % 2 else (b"%s file %d; " % (below.encode(), i) * size)[:size]
            name = f"file{i}{below.replace('/', '-')}"
            at = folder.file(b"FILE%d.;1" % i, data, system_use=rock(name.encode()))
            places.append(Place(name, at))

    fill(disc.root, "")
    for number in range(3):
        folder = disc.root.rock_directory(b"DIR%d" % number, b"dir%d" % number)
        fill(folder, f"/dir{number}")
        fill(folder.rock_directory(b"SUB", b"sub"), f"/dir{number}/sub")
    return disc.build(), tuple(places)


# --- the formats ----------------------------------------------------------------------------------------------------

Blocks = list[bytes | None]
"""A disc in blocks; None where one cannot be decoded."""


class Format(NamedTuple):
    """How a disc is stored, and what a damaged image of it holds."""

    write: Callable[[bytes], bytes]
    decode: Callable[[bytes], Blocks] | None
    """None: it has checksums, so there is nothing to hold but what was put into it."""


def _inflated(stored: bytes, size: int) -> bytes | None:
    try:
        data = zlib.decompressobj(-15).decompress(stored, size)
    except zlib.error:
        return None
    return data if len(data) == size else None


def _unlz4(stored: bytes, size: int) -> bytes | None:
    try:
        data: bytes = lz4.block.decompress(stored, uncompressed_size=size)
    except (lz4.block.LZ4BlockError, ValueError):
        return None
    return data if len(data) == size else None


def _unlzo(stored: bytes, size: int) -> bytes | None:
    try:
        data: bytes = lzallright.LZOCompressor().decompress(stored, output_size_hint=size)
    except lzallright.LZOError:
        return None
    return data if len(data) == size else None


def _indexed(
    image: bytes, at: int, size: int, block_size: int, unpack: Callable[[bytes, int], bytes | None], *, flags: bool
) -> Blocks:
    """The blocks of an index of 32-bit positions, whose highest bit means that a block is plain, or its size does."""
    found: Blocks = []
    for number in range(-(-size // block_size)):
        want = min(block_size, size - number * block_size)
        if at + 4 * number + 8 > len(image):
            found.append(None)
            continue
        start, end = struct.unpack_from("<II", image, at + 4 * number)
        plain = bool(start >> 31) if flags else end - start == block_size
        if flags:
            start, end = start & 0x7FFF_FFFF, end & 0x7FFF_FFFF
        stored = image[start : max(end, start)]
        if plain:
            data = image[start : start + want]
            found.append(data if len(data) == want else None)
        else:
            found.append(unpack(stored, want))
    return found


def _cso(image: bytes) -> Blocks:
    size, block_size = struct.unpack_from("<QI", image, 8)
    return _indexed(image, 24, size, block_size, _inflated, flags=True)


def _zso(image: bytes) -> Blocks:
    size, block_size = struct.unpack_from("<QI", image, 8)
    return _indexed(image, 24, size, block_size, _unlz4, flags=True)


def _jiso(image: bytes) -> Blocks:
    (block_size,) = struct.unpack_from("<H", image, 6)
    (size,) = struct.unpack_from("<I", image, 12)
    return _indexed(image, 48, size, block_size, _unlzo, flags=False)


def _bgzf(disc: bytes) -> bytes:
    return b"".join(bits.bgzf_member(disc[at : at + 20_000]) for at in range(0, len(disc), 20_000)) + bits.bgzf_member(
        b""
    )


FORMATS: Final[Mapping[str, Format]] = {
    "iso": Format(bytes, lambda image: [image]),
    "cso": Format(containers.cso, _cso),
    "zso": Format(containers.zso, _zso),
    "jiso": Format(lambda disc: containers.jiso(disc, method=0), _jiso),
    "dax": Format(containers.dax, None),
    "chd": Format(lambda disc: chd.version_5(chd.usual(disc, 4096), 4096, len(disc)), None),
    "gzip": Format(_bgzf, None),
    "xz": Format(lambda disc: bits.xz([disc[at : at + 20_000] for at in range(0, len(disc), 20_000)]), None),
}


@cache
def _written(name: str) -> bytes:
    return FORMATS[name].write(sound()[0])


def flipped(name: str, number: int, seed: int) -> tuple[bytes, list[int]]:
    """An image with some bytes flipped, by its number, and where. Headers, indexes and records get their share."""
    chance = Random(f"{name} {number} {seed}")
    image = bytearray(_written(name))
    places = []
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        kind = chance.randrange(8)
        if kind == 0:
            at = chance.randrange(min(600, len(image)))
        elif kind < 3 and name == "iso":
            place = chance.choice(sound()[1])
            at = place.record + chance.randrange(100)
        else:
            at = chance.randrange(len(image))
        image[at] ^= chance.choice((1, 0x80, 0xFF, 1 << chance.randrange(8), chance.randrange(1, 256)))
        places.append(at)
    return bytes(image), places


# --- what is right --------------------------------------------------------------------------------------------------


def truths(name: str, image: bytes) -> list[bytes]:
    """The discs of which a damaged image may show the files."""
    disc, _ = sound()
    decode = FORMATS[name].decode
    if decode is None:
        return [disc]
    try:
        blocks = decode(image) if len(image) >= 48 else []
    except (struct.error, ZeroDivisionError, MemoryError):
        return [disc]
    out = bytearray()
    for block in blocks[: 1 << 16]:
        at = len(out)
        size = len(block) if block is not None else max(len(b) for b in blocks if b) if any(blocks) else 0
        out += block if block is not None else disc[at : at + size].ljust(size, b"\0")
        if len(out) > 4 * len(disc):
            break
    return [bytes(out), disc]


def contents(discs: list[bytes], places: tuple[Place, ...]) -> list[bytes]:
    """What any file may hold: the bytes to which the records lead, on any of the discs."""
    found = []
    for disc in discs:
        for place in places:
            raw = disc[place.record : place.record + 33]
            if len(raw) < 33:
                continue
            extent, size = struct.unpack_from("<I4xI", raw, 2)
            start = (extent + raw[1]) * SECTOR
            found.append(disc[start : start + size])
            if raw[26]:  # interleaved
                unit, step = raw[26] * SECTOR, (raw[26] + raw[27]) * SECTOR
                count = min(-(-size // unit), len(disc) // step + 1)
                found.append(b"".join(disc[start + i * step : start + i * step + unit] for i in range(count))[:size])
    return found


def matches(got: list[bytes | None], known: bytes) -> bool:
    """Whether what was read is the known bytes, but for chunks that were errors."""
    size = len(known)
    if len(got) < -(-size // _CHUNK) and None not in got:
        return sum(len(piece or b"") for piece in got) == size
    return all(piece is None or piece == known[i * _CHUNK : (i + 1) * _CHUNK] for i, piece in enumerate(got))


def read(path: str) -> list[bytes | None] | None:
    """A file in chunks, None for those that give EIO; None for one that cannot be opened. 64 of them at most."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno not in (errno.EIO, errno.ENOENT, errno.ESTALE, errno.ELOOP):
            raise
        return None
    try:
        size = os.fstat(fd).st_size
        got: list[bytes | None] = []
        for at in range(0, min(size, 64 * _CHUNK), _CHUNK):
            try:
                got.append(os.pread(fd, _CHUNK, at))
            except OSError as error:
                if error.errno not in (errno.EIO, errno.ESTALE):
                    raise
                got.append(None)
        return got
    finally:
        os.close(fd)


class Outcome(NamedTuple):
    """What came of one image."""

    words: Counter[str]
    """How many files were right, lost and so on."""
    wrong: list[str]
    """Sentences about what must not be."""


def look(point: str, name: str, image: bytes) -> Outcome:
    """Compares all files of a mount with what they may hold."""
    disc, places = sound()
    known = contents(truths(name, image), places)
    original = dict(zip((place.name for place in places), contents([disc], places), strict=True))
    words: Counter[str] = Counter()
    wrong = []
    seen = set()
    errors: list[OSError] = []
    for folder, _, files in os.walk(point, onerror=errors.append):
        for file in files:
            path = os.path.join(folder, file)
            if os.path.islink(path) or not os.path.isfile(path):
                words["other"] += 1
                continue
            got = read(path)
            seen.add(file)
            if got is None:
                words["error"] += 1
            elif file in original and None not in got and b"".join(filter(None, got)) == original[file][: 64 * _CHUNK]:
                words["right"] += 1
            elif any(matches(got, data[: 64 * _CHUNK]) for data in known):
                words["error" if None in got else "as stored"] += 1
            elif all(piece is None for piece in got):
                words["error"] += 1
            else:
                wrong.append(f"{os.path.relpath(path, point)}: {len(got)} chunks that are nowhere on the disc")
    for error in errors:
        if error.errno not in (errno.EIO, errno.ESTALE):
            wrong.append(f"listing: {error}")
        words["directory error"] += 1
    words["not there"] += len(set(original) - seen)
    return Outcome(words, wrong)


# --- mounting -------------------------------------------------------------------------------------------------------


def _serve(image: str, point: str) -> int:
    """In a process of its own: mounts, and serves until it is unmounted."""
    try:
        with open_image(image, cache=limits.CACHE_LEAST, threads=1) as opened:
            serve.mount(opened, open_volume(opened), point, Options(), foreground=True)
    except InternalError:
        traceback.print_exc()
        return 70
    except IsofsError as error:
        return _REFUSED if "\n" not in str(error) else 71
    except BaseException:
        traceback.print_exc()
        return 70
    return 0


def mounted(image: str, point: str, name: str, data: bytes) -> Outcome:
    """One mount, looked at and taken away."""
    log = f"{image}.log"
    pid = os.fork()
    if not pid:
        code = 70
        try:
            fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(fd, 1)
            os.dup2(fd, 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            code = _serve(image, point)
        finally:
            os._exit(code)
    device = os.stat(os.path.dirname(point)).st_dev
    until = time.monotonic() + _PATIENCE
    status = None
    try:
        while os.stat(point).st_dev == device:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                break
            status = None
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return Outcome(Counter(), [f"not mounted after {_PATIENCE:.0f} s"])
            time.sleep(0.0005)
        if status is not None:
            code = os.waitstatus_to_exitcode(status)
            if code == _REFUSED:
                return Outcome(Counter({"refused": 1}), [])
            return Outcome(Counter(), [f"ended with {code}: {Path(log).read_text()[-2000:]}"])
        outcome = look(point, name, data)
    finally:
        while os.path.ismount(point):
            ctypes.CDLL(None).umount2(os.fsencode(point), _DETACH)
    until = time.monotonic() + _PATIENCE
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            outcome.wrong.append("its process did not end")
            return outcome
        time.sleep(0.0005)
    said = Path(log).read_text(errors="replace")
    if os.waitstatus_to_exitcode(status) or "Traceback" in said or "internal error" in said:
        outcome.wrong.append(f"ended with {os.waitstatus_to_exitcode(status)}: {said[-2000:]}")
    return outcome


def some(name: str, numbers: range, seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Mounts images by their numbers, one after the other."""
    words: Counter[str] = Counter()
    wrong = []
    point = folder / "point"
    point.mkdir()
    path = folder / f"image.{name}"
    for number in numbers:
        data, places = flipped(name, number, seed)
        path.write_bytes(data)
        outcome = mounted(str(path), str(point), name, data)
        words["mounts"] += 1
        words += outcome.words
        wrong += [f"{name} {number}, bytes {sorted(places)}: {said}" for said in outcome.wrong]
    return words, wrong


def main() -> int:
    """1 if there was anything wrong."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.flips", description="Mounts images with flipped bytes.")
    parser.add_argument("format", nargs="*", help="all unless some are named")
    parser.add_argument("--mounts", type=int, default=80, help="how many in all (80)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first image of each format")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    if "ISOFS_FLIPS" not in os.environ:
        os.execvpe(
            "unshare",
            ["unshare", "-m", "--propagation", "private", sys.executable, "-m", "fuzz.flips", *sys.argv[1:]],
            {**os.environ, "ISOFS_FLIPS": "1"},
        )
    names = args.format or list(FORMATS)
    each = -(-args.mounts // (len(names) * args.jobs))
    total: dict[str, Counter[str]] = {name: Counter() for name in names}
    wrong = []
    with tempfile.TemporaryDirectory(prefix="isofs-flips-") as base:
        for name in names:
            pipes = []
            for job in range(args.jobs):
                folder = Path(base) / f"{name}-{job}"
                folder.mkdir()
                first = args.first + job * each
                reader, writer = os.pipe()
                pid = os.fork()
                if not pid:
                    os.close(reader)
                    _job(name, range(first, first + each), args.seed, folder, writer)
                os.close(writer)
                pipes.append((pid, reader))
            for pid, reader in pipes:
                with os.fdopen(reader) as told:
                    said = json.loads(told.read() or '[{}, ["the job died"]]')
                os.waitpid(pid, 0)
                total[name] += Counter(said[0])
                wrong += said[1]
    columns = ("mounts", "refused", "right", "as stored", "error", "directory error", "not there", "other")
    sys.stdout.write(f"{'':<8}" + "".join(f"{column:>17}" for column in columns) + "\n")
    for name, words in [*total.items(), ("all", sum(total.values(), Counter()))]:
        sys.stdout.write(f"{name:<8}" + "".join(f"{words[column]:>17}" for column in columns) + "\n")
    sys.stdout.write(f"wrong: {len(wrong)}\n" + "".join(f"  {said}\n" for said in wrong[:20]))
    return 1 if wrong else 0


def _job(name: str, numbers: range, seed: int, folder: Path, writer: int) -> None:
    said: tuple[dict[str, int], list[str]] = ({}, ["the job died"])
    try:
        words, wrong = some(name, numbers, seed, folder)
        said = dict(words), wrong
    except BaseException:
        said = {}, [traceback.format_exc()]
    finally:
        with suppress(OSError), os.fdopen(writer, "w") as told:
            json.dump(said, told)
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
