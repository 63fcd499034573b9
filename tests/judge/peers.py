"""Programs that read discs, all tried on the same images: who gets which tree, who refuses, crashes or hangs.

    script/judge --peers [--expect PATTERN] [--verbose] IMAGE...

Gives a Markdown table. Each program has one trial on each image: it mounts or extracts the image into a directory of
its own within `SECONDS` and `MEMORY`, and is ended with all that it started. Programs that extract do so as nobody,
where root runs this: names on the disc must not lead elsewhere. Images that end in `.gz` are inflated first; of a cue
sheet, the others get the file that it names.

Names, kinds, link targets, sizes and SHA-256 are compared; devices, owners, modes and times are not. With `--expect`
the right tree is a listing: `{name}` in the pattern stands for the image's name without suffixes, lines hold path, type
(f, d, l), size, sha256 and target with tabs between them, `-` for what is not known and `\\xHH` for odd bytes.
Where there is no listing, ours is told as it is and the others are compared with it. `--verbose` lists what differs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from isofs.mount.mounts import mount_at

from .judges import ISOFS
from .walk import ENDLESS

SECONDS: Final = 20.0
"""For one program with one image, the walk through its mount included."""
MEMORY: Final = 2 << 30
"""Bytes of address space; what is written to one file is bounded by the same."""
_BOUNDED: Final = ("prlimit", f"--as={MEMORY}", f"--fsize={MEMORY}", "--core=0")
_NOBODY: Final = 65534
_WALK: Final = (sys.executable, "-I", "-S", Path(__file__).with_name("walk.py"))
_ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}


class Program(NamedTuple):
    """A program that reads discs."""

    name: str
    words: Callable[[Path, Path], Sequence[str | Path]]
    """What runs it, of an image and an empty directory. One that mounts stays in the foreground."""
    mounts: bool = False
    version: Sequence[str] = ()
    """What tells its version."""


OURS: Final = Program(
    "isofs", lambda image, at: (*ISOFS, "mount", "-f", image, at), mounts=True, version=(*ISOFS, "--version")
)
PEERS: Final = (
    Program("fuseiso", lambda image, at: ("fuseiso", "-n", image, at, "-f"), mounts=True, version=("fuseiso", "-h")),
    Program("bsdtar", lambda image, at: ("bsdtar", "-xf", image, "-C", at), version=("bsdtar", "--version")),
    Program("7-Zip", lambda image, at: ("7zz", "x", "-y", f"-o{at}", image), version=("7zz",)),
    Program(
        "xorriso",
        lambda image, at: ("xorriso", "-osirrox", "on:auto_chmod_on", "-indev", image, "-extract", "/", at),
        version=("xorriso", "-version"),
    ),
)


class Found(NamedTuple):
    """What a tree has at a path; None is not known."""

    kind: str
    size: int | None = None
    sha256: str | None = None
    target: str | None = None
    error: str | None = None


Tree = Mapping[str, Found]


class Outcome(NamedTuple):
    """What became of a trial."""

    tree: Tree
    """As far as it came."""
    end: str = ""
    """Why it came no further: `hang`, `killed by SIGSEGV`, `exit 1`, `not applicable`; empty if nothing is amiss."""
    said: str = ""


# --- a trial --------------------------------------------------------------------------------------------------------


@contextmanager
def laid_out(image: Path) -> Iterator[tuple[Path, Path | None]]:
    """A copy of an image that everybody may read, and what the others get of it: None if that is not there."""
    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        room = Path(name)
        room.chmod(0o755)
        copy = room / image.name.removesuffix(".gz")
        with gzip.open(image) if image.suffix == ".gz" else open(image, "rb") as source, open(copy, "wb") as out:
            shutil.copyfileobj(source, out)
        others: Path | None = copy
        if copy.suffix == ".cue":
            named = re.search(r'FILE +"?([^"\n]+?)"? +\w+', copy.read_text(errors="replace"))
            beside = {path.name.casefold(): path for path in image.parent.iterdir()}
            found = beside.get(named[1].casefold()) if named else None
            others = Path(shutil.copyfile(found, room / found.name)) if found else None
        yield copy, others


def try_all(image: Path, programs: Sequence[Program] = (OURS, *PEERS), seconds: float = SECONDS) -> dict[str, Outcome]:
    """The outcome of each program's trial, by its name. Raises `OSError` if the image cannot be read."""
    outcomes = {}
    with laid_out(image) as (ours, others):
        for number, program in enumerate(programs):
            given = ours if program is OURS else others
            if given is None:
                outcomes[program.name] = Outcome({}, "not applicable")
            elif shutil.which(program.words(given, given)[0]) is None:
                outcomes[program.name] = Outcome({}, "not installed")
            else:
                outcomes[program.name] = _trial(program, given, ours.parent / str(number), seconds)
    return outcomes


def _trial(program: Program, image: Path, at: Path, seconds: float) -> Outcome:
    deadline = time.monotonic() + seconds
    at.mkdir()
    nobody = _NOBODY if os.getuid() == 0 and not program.mounts else None
    if nobody:
        os.chown(at, nobody, nobody)
    with open(at.with_name(f"{at.name} said"), "w+b") as told, open(at.with_name(f"{at.name} walked"), "w+b") as walked:
        process = subprocess.Popen(
            [*_BOUNDED, *program.words(image, at)],
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=told,
            cwd=at.parent,
            env={**os.environ, **_ENVIRONMENT},
            start_new_session=True,
            restore_signals=False,  # a file that grows too large is an error then, no signal
            user=nobody,
            group=nobody,
            extra_groups=[] if nobody else None,
        )
        walker = None
        end = ""
        try:
            if not program.mounts:
                process.wait(seconds)
            elif _is_mounted(process, at, deadline):
                walker = subprocess.Popen([*_WALK, at], stdin=subprocess.DEVNULL, stdout=walked)
                walker.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            end = "hang"
        finally:
            code = _ended(program, process, at, 0.0 if end else 5.0)
            if walker:  # after the file system: nobody else can wake who waits for its answer
                walker.kill()
                walker.wait()
        if not end and code < 0:
            end = f"killed by {signal.Signals(-code).name}"
        elif not end and code:
            end = f"exit {code}"
        if not program.mounts:  # what is there is there, however the program ended
            subprocess.run(["chmod", "-R", "u+rwX", at], check=False, capture_output=True)
            with suppress(subprocess.TimeoutExpired):
                subprocess.run([*_WALK, at], stdin=subprocess.DEVNULL, stdout=walked, check=False, timeout=SECONDS)
        told.seek(0)
        walked.seek(0)
        said = told.read(65536).decode(errors="replace").replace(str(image), image.name).strip()
        return Outcome(dict(_read(line, at) for line in walked if line.endswith(b"\n")), end, said)


def _is_mounted(process: subprocess.Popen[bytes], at: Path, deadline: float) -> bool:
    while mount_at(os.fspath(at)) is None:
        if process.poll() is not None:
            return False
        if time.monotonic() > deadline:
            raise subprocess.TimeoutExpired(process.args, 0)
        time.sleep(0.01)
    return True


def _ended(program: Program, process: subprocess.Popen[bytes], at: Path, patience: float) -> int:
    """Ends a program with all its children. The code that it ended with by itself; 0 if it had to be ended."""
    code = process.poll()
    if program.mounts and mount_at(os.fspath(at)) is not None:
        subprocess.run(["fusermount3", "-u", "-z", at], check=False, capture_output=True)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return code or 0


def _read(line: bytes, at: Path) -> tuple[str, Found]:
    facts = json.loads(line)
    if "target" in facts:  # 7-Zip bends absolute ones into its directory
        facts["target"] = facts["target"].removeprefix(str(at))
    return facts.pop("path"), Found(**facts)


# --- trees, compared ------------------------------------------------------------------------------------------------


def listing(file: Path) -> Tree:
    """The tree that a listing tells."""
    found = {}
    for line in file.read_text().split("\n"):
        if not line or line.startswith("#"):
            continue
        path, kind, size, sha256, target = (None if word == "-" else word for word in line.split("\t")[:5])
        if path is None or path == "/":
            continue
        found[_plain(path[1:])] = Found(
            {"f": "file", "d": "dir", "l": "link"}.get(kind or "", "special"),
            int(size) if size else None,
            sha256,
            _plain(target) if target else None,
        )
    return found


def _plain(text: str) -> str:
    return os.fsdecode(re.sub(rb"\\x([0-9a-f]{2})", lambda octet: bytes([int(octet[1], 16)]), os.fsencode(text)))


def differences(theirs: Tree, right: Tree) -> list[tuple[str, str]]:
    """Kinds of differences and the paths they are at; names that differ in case or version only are one each."""
    folded = {_fold(path): path for path in right}
    mine: dict[str, Found] = {}
    found = []
    for path, facts in theirs.items():
        same = path if path in right else folded.get(_fold(path), path)
        if same != path and same in theirs:  # two of one name: the exact one is meant
            same = path
        elif same != path:
            found.append(("in other case", path))
        mine[same] = facts
    for path in sorted(mine.keys() | right.keys()):
        one, other = mine.get(path), right.get(path)
        if one is None or other is None:
            if (one or other or Found("special")).kind != "special":
                found.append(("missing" if one is None else "more", path))
        elif one.error and not other.error:
            found.append(("unreadable", path))
        elif other.error and not one.error:
            found.append(("readable that ours are not", path))
        elif one.kind != other.kind:
            found.append(("of other kind", path))
        elif any(None not in (a, b) and a != b for a, b in ((one.size, other.size), (one.sha256, other.sha256))):
            found.append(("with other bytes", path))
        elif one.target is not None and other.target is not None and one.target != other.target:
            found.append(("with other targets", path))
    return found


def _fold(path: str) -> str:
    return re.sub(r"\.?(;\d+)?(?=/|$)", "", path.casefold())


def cell(outcome: Outcome, right: Tree | None, ours: Outcome | None = None) -> str:
    """What became of a trial, in a few words: beside the right tree, else beside ours, else by itself."""
    if outcome.end in ("not applicable", "not installed"):
        return "-"
    if outcome.end.startswith(("hang", "killed")):
        return outcome.end
    if any(found.error == ENDLESS for found in outcome.tree.values()):
        return "endless"
    if "" in outcome.tree:  # told only where it could not be listed
        return "root unreadable"
    if not outcome.tree and outcome.end:
        return f"refused: {_reason(outcome.said)}" if ours is None else "refused"
    error = f", {outcome.end}" if outcome.end else ""
    reference, good = right, "right"
    if reference is None and ours is not None and (ours.tree or not ours.end):
        reference, good = ours.tree, "as ours"
    if not outcome.tree and reference != {}:
        return f"empty{error}"
    if reference is None:
        unreadable = sum(bool(found.error) for found in outcome.tree.values())
        return f"tree of {len(outcome.tree)}" + (f", {unreadable} unreadable" if unreadable else "") + error
    counts = Counter(kind for kind, _ in differences(outcome.tree, reference))
    cased = counts.pop("in other case", 0)
    words = ", ".join(f"{number} {kind}" for kind, number in counts.items()) or good
    return words + (", other case" if cased else "") + error


def _reason(said: str) -> str:
    line = (said.splitlines() or ["nothing said"])[-1]
    return re.sub(r"^isofs: [^:]*: ", "", line).partition(";")[0]


# --- the table ------------------------------------------------------------------------------------------------------


def version(program: Program) -> str:
    """The first number that a program tells of itself; nothing if it is not installed."""
    try:
        done = subprocess.run(program.version, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=20)
    except FileNotFoundError:
        return "not installed"
    number = re.search(rb"\b(\d{8}|\d+(\.\d+)+)", done.stdout + done.stderr)
    return number[1].decode() if number else "?"


def main() -> int:
    """Prints the table; 1 where ours is not right, hangs or crashes, 2 for a wrong call."""
    words = argparse.ArgumentParser(prog="script/judge --peers", description="Tries programs that read discs.")
    words.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    words.add_argument("--expect", default="", metavar="PATTERN", help="listing of the right tree; {name}: the image's")
    words.add_argument("--verbose", action="store_true", help="tell each difference, and what the programs said")
    options = words.parse_args()
    programs = (OURS, *PEERS)
    print(f"| image | {' | '.join(f'{program.name} {version(program)}' for program in programs)} |")
    print("| --- " * (len(programs) + 1) + "|")
    code = 0
    details = []
    for image in options.images:
        try:
            outcomes = try_all(image, programs)
        except OSError as error:
            print(f"{image}: {error.strerror}", file=sys.stderr)
            return 2
        name = image.name.removesuffix(".gz").rpartition(".")[0]
        listed = Path(options.expect.replace("{name}", name)) if options.expect else None
        right = listing(listed) if listed and listed.is_file() else None
        ours = outcomes[OURS.name]
        cells = [
            cell(outcome, right, None if program is OURS else ours)
            for program, outcome in zip(programs, outcomes.values(), strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
        if cells[0].startswith(("hang", "killed")) or (right is not None and cells[0] != "right"):
            code = 1
        for program, outcome, said in zip(programs, outcomes.values(), cells, strict=True):
            if said not in ("right", "as ours", "-"):
                reference = right if right is not None else ours.tree
                details.append(f"{name}, {program.name}: {said}: {outcome.end} {outcome.said.splitlines()[-2:]}")
                details += [f"    {path!a} {kind}" for kind, path in differences(outcome.tree, reference)[:12]]
    if options.verbose:
        print("", *details, sep="\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
