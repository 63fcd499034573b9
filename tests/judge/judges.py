"""Independent judges on one image: what other programs say that is on it, against a mount of ours.

    script/judge IMAGE...

One line for each judge: `same`, `known` with the reason, `DIFFERS` with the first differences, or `cannot` where the
program does not read this image or is not installed. Ends with 1 where something differs that is not known. The image
is mounted below a temporary directory; what is compressed in a way that the others do not read, they get decoded.

xorriso compares the tree with what it finds in the image; bsdtar lists types, sizes, times, modes, owners and SHA-256
of all files; a tree that xorriso or bsdtar has extracted is read at random by several processes beside ours; all
calls that would change something must fail with EROFS; directories are read from every place that was told.
"""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import random
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from .calls import CLOSED, Directory, changes, pread_direct, refusal

LIMIT: Final = 120
"""Seconds for another program."""
READERS: Final = 4
"""Processes that read at random."""
READS: Final = 300
"""Of each of them."""


class Cannot(Exception):
    """A judge cannot judge this image."""


class Verdict(NamedTuple):
    """What a judge says."""

    judge: str
    differences: list[str]
    known: Sequence[str] = ()
    cannot: str = ""

    @property
    def line(self) -> str:
        """One line."""
        if self.cannot:
            return f"{self.judge}: cannot: {self.cannot}"
        if self.differences:
            return f"{self.judge}: DIFFERS: {len(self.differences)}: {'; '.join(self.differences[:3])}"
        if self.known:
            return f"{self.judge}: known: {len(self.known)}: {'; '.join(sorted(set(self.known))[:3])}"
        return f"{self.judge}: same"


class Known(NamedTuple):
    """Differences that are meant: the judge, an expression that the line contains, and the reason."""

    judge: str
    words: str
    reason: str


KNOWN: Final = (
    Known("xorriso", r"\bboot\.cat(alog)?\b", "the boot catalogue is no file to xorriso"),
    Known("xorriso", r"st_rdev  :  (\d+)  <>  \1$", "xorriso compares device numbers in two notations"),
    Known("bsdtar", r"^rr_moved is extra", "Linux shows rr_moved, bsdtar does not"),
    Known("xorriso", r"diff= -86400 s$", "genisoimage records zones of -24 hours after 2038, xorriso believes them"),
    Known("xorriso", r"\(but for slashes\)$", "xorriso leaves out empty parts of a target"),
    Known("bsdtar", r"\(but for slashes\)$", "bsdtar leaves out the slash between two parts of a long target"),
)


def run(*words: str | Path, ok: Sequence[int] = (0,)) -> str:
    """The output of a program. Raises `Cannot`."""
    try:
        done = subprocess.run(
            [os.fspath(word) for word in words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        )
    except FileNotFoundError:
        raise Cannot(f"{words[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise Cannot(f"{words[0]} does not end within {LIMIT} seconds") from None
    said = os.fsdecode(done.stdout + done.stderr)
    if done.returncode not in ok:
        lines = [line for line in said.splitlines() if line.strip()] or ["?"]
        raise Cannot(f"{words[0]} ends with {done.returncode}: {lines[-1][:100]}")
    return said


# --- a tree, as facts -----------------------------------------------------------------------------------------------


class Fact(NamedTuple):
    """What can be compared of one path; None: it is not known."""

    kind: str
    size: int | None = None
    sha256: str | None = None
    target: bytes | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    mtime: int | None = None


def facts(root: Path, *, data: bool = True) -> dict[bytes, Fact]:
    """Those of a directory's tree, by path below it. The root is `.`."""
    top = os.fsencode(root)
    found = {b".": Fact("dir")}
    for folder, folders, files in os.walk(top, onerror=_raise):
        for name in folders + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "?")
            regular = kind == "file"
            found[path[len(top) + 1 :]] = Fact(
                kind,
                status.st_size if regular else None,
                _sha256(path) if regular and data else None,
                os.readlink(path) if kind == "link" else None,
                stat.S_IMODE(status.st_mode),
                status.st_uid,
                status.st_gid,
                int(status.st_mtime // 1),
            )
    return found


_KINDS: Final = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}


def _raise(error: OSError) -> None:
    raise error


def _sha256(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compare(ours: dict[bytes, Fact], theirs: dict[bytes, Fact], fields: Sequence[str]) -> Iterator[str]:
    """Lines about what differs in some fields, where both know them."""
    for path in sorted(ours.keys() | theirs.keys()):
        name = os.fsdecode(path).encode("unicode_escape", "surrogateescape").decode("ascii", "replace")
        if path not in ours or path not in theirs:
            yield f"{name} is {'missing' if path in theirs else 'extra'}"
            continue
        for field in fields:
            one, other = getattr(ours[path], field), getattr(theirs[path], field)
            if one is not None and other is not None and one != other:
                yield f"{name} {field}={one} instead of {other}{_slashes(one, other)}"


def _slashes(one: object, other: object) -> str:
    """Says so where slashes within are all that differs in the targets of links."""
    both = [target for target in (one, other) if isinstance(target, bytes)]
    if len(both) == 2 and len({(target[:1], target.replace(b"/", b"")) for target in both}) == 1:
        return " (but for slashes)"
    return ""


# --- judges ---------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """What is judged."""

    point: Path
    """The mount."""
    disc: Path
    """The image as 2048-byte sectors, for other programs."""
    scratch: Path


def xorriso(case: Case) -> list[str]:
    """xorriso's own comparison of the image's tree with the mounted one: data, types, modes, owners, times.

    It does not compare the targets of links, but tells them.
    """
    words: list[str | Path] = ["xorriso", "-abort_on", "FATAL", "-return_with", "FATAL", "32"]
    words += ["-ecma119_map", "lowercase", "-indev", case.disc]
    said = run(*words, "-compare_r", case.point, "/", "-find", "/", "-type", "l", "-exec", "lsdl", "--", ok=(0, 1))
    if "is blank" in said:
        raise Cannot("xorriso finds no tree")
    lines = [line.strip() for line in said.splitlines() if re.search(r"\((DISK|ISO)\)| FAILURE : |^Comparison", line)]
    lines = lines or [line for line in said.splitlines() if line.startswith("Differences detected")]
    for path, target in re.findall(r"^l.* ('/.*') -> ('.*')$", said, re.MULTILINE):
        link = os.fsencode(case.point) + os.fsencode(shlex.split(path)[0])
        theirs = os.fsencode(shlex.split(target)[0])
        if os.path.islink(link) and (ours := os.readlink(link)) != theirs:
            lines.append(f"{path}: target {ours!a} instead of {theirs!a}{_slashes(ours, theirs)}")
    return lines


def bsdtar(case: Case) -> list[str]:
    """bsdtar's mtree of the image, against ours."""
    said = run(
        "bsdtar",
        "-cf",
        "-",
        "--format=mtree",
        "--options=!all,type,mode,uid,gid,time,size,link,nlink,sha256",
        f"@{case.disc}",
    )
    theirs = dict(_mtree(said))
    if len(theirs) < 2:
        raise Cannot("bsdtar finds no tree")
    ours = facts(case.point)
    recorded = any(fact.mode not in (0o400, 0o700, None) for fact in theirs.values())
    fields = ["kind", "size", "sha256", "target", "mtime", *(["mode", "uid", "gid"] if recorded else [])]
    if not recorded and not ours.keys() & theirs.keys() - {b"."}:  # capitals of plain ISO 9660, which Linux makes small
        theirs = {path.lower(): fact for path, fact in theirs.items()}
    ours[b"."] = theirs.setdefault(b".", Fact("dir"))
    return list(compare(ours, theirs, fields))


def _mtree(text: str) -> Iterator[tuple[bytes, Fact]]:
    for line in text.splitlines():
        if line.startswith(("#", "/")) or not line.strip():
            continue
        name, *words = line.split(" ")
        path = _vis(name).removeprefix(b"./") or b"."
        values = dict(word.partition("=")[::2] for word in words)

        def number(key: str, base: int = 10, values: dict[str, str] = values) -> int | None:
            return int(values[key].split(".")[0], base) if key in values else None

        size = number("size") if values.get("type") == "file" else None
        if not size and number("nlink"):  # of names with one extent the first alone has data
            size = None
        yield (
            path,
            Fact(
                values.get("type", "file"),
                size,
                None if size is None else values.get("sha256digest") or values.get("sha256"),
                _vis(values["link"]) if "link" in values else None,
                number("mode", 8),
                number("uid"),
                number("gid"),
                number("time"),
            ),
        )


def _vis(text: str) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), os.fsencode(text))


def _extracted(case: Case) -> Path:
    """The tree as another program extracts it. Raises `Cannot` if none does."""
    said = []
    tools: dict[str, Callable[[Path], tuple[str | Path, ...]]] = {
        "xorriso": lambda at: (
            *("xorriso", "-osirrox", "on:auto_chmod_on", "-ecma119_map", "lowercase"),
            *("-indev", case.disc, "-extract", "/", at),
        ),
        "bsdtar": lambda at: ("bsdtar", "-xf", case.disc, "-C", at),
    }
    for tool, words in tools.items():
        at = case.scratch / f"by {tool}"
        at.mkdir()
        try:
            run(*words(at))
        except Cannot as error:
            said.append(str(error))
            continue
        if os.listdir(at) or not os.listdir(case.point):
            return at
    raise Cannot("; ".join(said) or "nothing was extracted")


def at_random(case: Case) -> list[str]:
    """Several processes read both trees at random places, in all ways, and list their directories."""
    theirs = _extracted(case)
    ours = {path for path, fact in facts(case.point, data=False).items() if fact.kind in ("file", "dir")}
    common = [path for path, fact in facts(theirs, data=False).items() if fact.kind in ("file", "dir") and path in ours]
    if not common:
        raise Cannot("no path in common")
    with ProcessPoolExecutor(READERS, multiprocessing.get_context("spawn")) as readers:
        return list(filter(None, readers.map(partial(_read_both, case.point, theirs, common), range(READERS))))


def _read_both(point: Path, theirs: Path, common: list[bytes], seed: int) -> str:
    """Reads both; gives the first difference, or nothing."""
    try:
        return _first_difference(point, theirs, common, random.Random(seed))
    except OSError as error:
        return f"{type(error).__name__}: {error}"


def _first_difference(point: Path, theirs: Path, common: list[bytes], chance: random.Random) -> str:
    for _ in range(READS):
        name = chance.choice(common)
        ours, right = (os.path.join(os.fsencode(root), name) for root in (point, theirs))
        if os.path.isdir(right):
            if missing := set(os.listdir(right)) - set(os.listdir(ours)):  # not all is extracted by others
                return f"{os.fsdecode(name)!a} does not list {missing}"
            continue
        size = os.path.getsize(right)
        offset, n = chance.randrange(size + 5000), chance.choice((1, 2048, 4096, 100_000, 1_000_000))
        with open(ours, "rb", buffering=0) as one, open(right, "rb", buffering=0) as other:
            if chance.random() < 0.3:
                os.posix_fadvise(one.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            found = pread_direct(ours, n, offset) if chance.random() < 0.3 else os.pread(one.fileno(), n, offset)
            if found != os.pread(other.fileno(), n, offset):
                return f"{os.fsdecode(name)!a}: {n} bytes at {offset} differ"
    return ""


def read_only(case: Case) -> list[str]:
    """All calls that would change something fail with EROFS, on a file and on a directory."""
    root = os.fsencode(case.point)
    files = [path for path, fact in facts(case.point, data=False).items() if fact.kind == "file"]
    if not files:
        raise Cannot("no file on the disc")
    folders = [path for path, fact in facts(case.point, data=False).items() if fact.kind == "dir" and path != b"."]
    file = root + b"/" + files[0]
    found = []
    with open(file, "rb") as opened:
        for folder in [root, *(root + b"/" + path for path in folders[:1])]:
            for name, change in changes(root, file, folder).items():
                number = refusal(change)
                if number != errno.EROFS and not (name == "create without a name" and number == errno.EOPNOTSUPP):
                    found.append(f"{name}: {errno.errorcode.get(number, 'done')}")
        for name, call in CLOSED.items():
            number = refusal(partial(call, opened.fileno()))
            if number not in (errno.EBADF, errno.EINVAL, errno.EROFS):
                found.append(f"{name}: {errno.errorcode.get(number, 'done')}")
    return found


def directories(case: Case) -> list[str]:
    """Every directory goes on from every place that was told, with types and inodes as lstat tells them."""
    found = []
    root = os.fsencode(case.point)
    for folder, _, _ in os.walk(root, onerror=_raise):
        with Directory(folder) as listing:
            places, names = [listing.tell()], []
            while (name := listing.next()) is not None:
                names.append(name)
                places.append(listing.tell())
            chance = random.Random(len(names))
            picks = range(len(places)) if len(places) < 50 else sorted(chance.sample(range(len(places)), 50))
            for i in picks:
                listing.seek(places[i])
                if listing.rest() != names[i:]:
                    found.append(f"{os.fsdecode(folder)!a}: goes on elsewhere after {i} names")
        if len({name.name for name in names}) != len(names):
            found.append(f"{os.fsdecode(folder)!a}: a name twice")
        for name in names:
            if name.name in (b".", b".."):
                continue
            status = os.lstat(folder + b"/" + name.name)
            if (status.st_ino, stat.S_IFMT(status.st_mode) >> 12) != (name.inode, name.kind):
                found.append(f"{os.fsdecode(folder + b'/' + name.name)!a}: listed otherwise than lstat tells")
    return found


JUDGES: Final[dict[str, Callable[[Case], list[str]]]] = {
    "xorriso": xorriso,
    "bsdtar": bsdtar,
    "at random": at_random,
    "read-only": read_only,
    "directories": directories,
}


def judge(case: Case, names: Sequence[str] = tuple(JUDGES)) -> Iterator[Verdict]:
    """What each judge says."""
    for name in names:
        try:
            lines = JUDGES[name](case)
        except Cannot as error:
            yield Verdict(name, [], cannot=str(error))
            continue
        except OSError as error:
            yield Verdict(name, [f"{error}"])
            continue
        new, known = [], []
        for line in lines:
            reason = next((k.reason for k in KNOWN if k.judge == name and re.search(k.words, line)), None)
            if reason is None:
                new.append(line)
            else:
                known.append(reason)
        yield Verdict(name, new, known)


# --- an image -------------------------------------------------------------------------------------------------------

ISOFS: Final = (sys.executable, "-m", "isofs")


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[Case]:
    """The image mounted below a directory, and the disc as a file for other programs."""
    point, scratch = at / "mount", at / "scratch"
    point.mkdir()
    scratch.mkdir()
    run(*ISOFS, "mount", image, point)
    try:
        with open(image, "rb") as file:
            file.seek(32_769)
            plain = file.read(5) == b"CD001"
        disc = image
        if not plain:
            disc = scratch / "disc.iso"
            run(*ISOFS, "convert", image, disc)
        yield Case(point, disc, scratch)
    finally:
        run(*ISOFS, "umount", point)


def judge_image(image: Path, names: Sequence[str] = tuple(JUDGES)) -> Iterator[Verdict]:
    """What each judge says of an image. Raises `Cannot` where it cannot be mounted."""
    at = Path(tempfile.mkdtemp(prefix="judge-"))
    try:
        with mounted(image, at) as case:
            yield from judge(case, names)
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", at], check=False, capture_output=True)
        shutil.rmtree(at)


def main() -> int:
    """Judges the images that are named; 1 where something differs, 2 where an image cannot be judged."""
    images = [Path(word) for word in sys.argv[1:]]
    if not images or any(not image.is_file() for image in images):
        print("usage: script/judge IMAGE...", file=sys.stderr)
        return 2
    code = 0
    for image in images:
        if len(images) > 1:
            print(f"{image}:", flush=True)
        try:
            for verdict in judge_image(image):
                print(verdict.line, flush=True)
                code = max(code, int(bool(verdict.differences)))
        except Cannot as error:
            print(f"{image}: {error}", file=sys.stderr)
            code = 2
    return code


if __name__ == "__main__":
    sys.exit(main())
