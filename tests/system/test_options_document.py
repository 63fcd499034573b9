"""docs/options.md is true: its examples are run, and every option has one.

A code block marked `console` is a shell session. Lines behind `$` are run by one shell, in a directory with the discs
of the document and an empty directory `mnt`; the lines below each must be what it writes, where `...` stands for
anything. Lines behind `#` are for root.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from writers import chd
from writers.containers import cso
from writers.discs import (
    ASSOCIATED,
    FILE,
    HIDDEN,
    LINK,
    SECTOR,
    TERMINATOR,
    Disc,
    Folder,
    ce,
    component,
    nm,
    px,
    rock,
    sl,
    utf16,
    zf,
    zisofs,
)
from writers.mounting import LIMIT, Mounting
from writers.sheets import Entry, audio, nrg
from writers.tools import require

from isofs.mount.options import OPTIONS, Option, shown_options

DOCUMENT: Final = (Path(__file__).resolve().parents[2] / "docs" / "options.md").read_text(encoding="utf-8")
LATER: Final = 600
"""The sector where the second session begins."""
README: Final = b"hello\n"
MANUAL: Final = b"page 1\n"
SCRIPT: Final = b"#!/bin/sh\necho running\n"


# --- the discs ------------------------------------------------------------------------------------------------------


def trees() -> bytes:
    """The same files in four trees, under other names in each."""
    disc = Disc(rock=True)
    readme, manual, script = map(disc.store, (README, MANUAL, SCRIPT))

    def fill(root: Folder, docs: Folder, names: tuple[bytes, bytes, bytes]) -> None:
        docs.file(names[1], extent=manual, size=len(MANUAL))
        root.file(names[0], extent=readme, size=len(README))
        root.file(names[2], extent=script, size=len(SCRIPT))

    docs = disc.root.rock_directory(b"DOCS", b"docs")
    docs.file(b"MANUAL.TXT;1", system_use=rock(b"manual.txt"), extent=manual, size=len(MANUAL))
    disc.root.file(b"LATEST.;1", system_use=rock(b"latest", LINK) + sl(component(b"docs"), component(b"manual.txt")))
    use = rock(b"readme.txt", 0o100640, uid=1000, gid=1000)
    disc.root.file(b"README.TXT;1", system_use=use, extent=readme, size=len(README))
    disc.root.file(b"RUN.SH;1", system_use=rock(b"run.sh", 0o100755), extent=script, size=len(SCRIPT))
    joliet, enhanced = disc.folder(None), disc.folder(None)
    fill(joliet, joliet.directory(utf16("Docs")), (utf16("Read Me.txt"), utf16("Manual.txt"), utf16("Run.sh")))
    fill(enhanced, enhanced.directory(b"docs"), (b"a readme of 1999.txt", b"manual.txt", b"run.sh"))
    return disc.build(
        disc.primary(),
        disc.joliet(joliet),
        disc.primary(kind=2, version=2, root=disc.root_record(enhanced)),
        TERMINATOR,
    )


def plain() -> bytes:
    """Nothing but ISO 9660, with all that its records can tell."""
    disc = Disc()
    acorn = b"ARCHIMEDES" + bytes((0, 0xFB, 0xFF, 0xFF)) + bytes(5) + b"\1" + bytes(12)
    disc.root.file(b"ICON.;1", b"a resource fork", flags=ASSOCIATED)
    disc.root.file(b"ICON.;1", b"a picture")
    disc.root.file(b"README.TXT;1", README)
    disc.root.file(b"SECRET.TXT;1", b"hush\n", flags=HIDDEN)
    disc.root.file(b"_RUN.;1", b"BASIC", system_use=acorn)
    return disc.build()


def joliet() -> bytes:
    """Joliet names that need Unicode."""
    disc = Disc()
    tree = disc.folder(None)
    for folder, names in ((disc.root, (b"A.TXT;1", b"B.TXT;1")), (tree, (utf16("Größe.txt"), utf16("Ω.txt")))):
        folder.file(names[0], b"10\n")
        folder.file(names[1], b"ohm\n")
    return disc.build(disc.primary(), disc.joliet(tree), TERMINATOR)


def cruft() -> bytes:
    """A size whose high byte is something else."""
    disc = Disc()
    disc.root.file(b"OLD.TXT;1", README, size=0x4200_0000 | len(README), extent=disc.store(README))
    return disc.build()


def compressed_files() -> bytes:
    """A file that zisofs has compressed."""
    disc = Disc(rock=True)
    data = b"the same line again\n" * 5000
    disc.root.file(b"LOG.TXT;1", zisofs(data), system_use=rock(b"log.txt") + zf(len(data)))
    return disc.build()


def names() -> bytes:
    """Names that Linux cannot show, or not as they are."""
    disc = Disc(rock=True)
    told = (b"AC/DC.txt", b"cut\0off", b"..", b"twice", b"twice", b"Gr\xf6\xdfe")
    for number, name in enumerate(told):
        disc.root.file(b"FILE%d.;1" % number, b"%d\n" % number, system_use=rock(name))
    rest = nm(b"g" * 200)
    use = px(FILE) + nm(b"lon" + b"g" * 97, flags=1) + ce(disc.store(rest), 0, len(rest))
    disc.root.file(b"LONG.;1", system_use=use)
    return disc.build()


def session(first: int, files: dict[str, bytes]) -> bytes:
    """A session with a volume that counts its blocks from the begin of the disc."""
    disc = Disc()
    disc._next = (first + 24) * SECTOR
    root = disc.folder(None)
    for name, data in files.items():
        root.file(f"{name};1".encode(), data)
    whole = disc.build(disc.primary(root=disc.root_record(root)), TERMINATOR)
    return bytes(16 * SECTOR) + whole[16 * SECTOR : 24 * SECTOR] + whole[(first + 24) * SECTOR :]


def chd_and_its_child(disc: bytes, changed: bytes) -> tuple[bytes, bytes]:
    """An image of a disc, and one of a later state of it, that leaves out what did not change."""
    metadata: list[chd.Metadata] = [(b"DVD ", 1, b"\0")]
    blocks = chd.blocks_of(disc, SECTOR)
    hunks = [chd.Hunk(chd.PLAIN, block, crc=chd.crc_16(block)) for block in blocks]
    base = chd.version_5(hunks, SECTOR, len(disc), metadata=metadata, disc=disc)
    hunks = [
        chd.Hunk(chd.PARENT, number=number) if block == old else chd.Hunk(chd.PLAIN, block, crc=chd.crc_16(block))
        for number, (block, old) in enumerate(zip(chd.blocks_of(changed, SECTOR), blocks, strict=True))
    ]
    name = chd.overall(chd.sha1(disc), metadata)
    return base, chd.version_5(hunks, SECTOR, len(changed), metadata=metadata, disc=changed, parent=name)


FIRST: Final = {"FIRST.TXT": b"of the first session\n"}
SECOND: Final = FIRST | {"SECOND.TXT": b"of the second session\n"}


def make_discs(folder: Path) -> None:
    """All discs that the document names."""
    one, two = session(0, FIRST), session(LATER, SECOND)
    tracks = (
        Entry(1, "2048", one),
        Entry(2, "audio", audio(6), 200),
        Entry(3, "2048", session(300, {"THIRD.TXT": b"of the third track\n"}), 300),
    )
    base, patched = chd_and_its_child(trees(), trees().replace(README, b"HELLO\n"))
    made = {
        "disc.iso": trees(),
        "disc.cso": cso(trees()),
        "disc.iso.gz": gzip.compress(trees(), mtime=0),
        "plain.iso": plain(),
        "joliet.iso": joliet(),
        "cruft.iso": cruft(),
        "zisofs.iso": compressed_files(),
        "names.iso": names(),
        "multi.nrg": nrg((Entry(1, "2048", one), Entry(2, "2048", two, LATER, session=2))),
        "grown.iso": one.ljust(LATER * SECTOR, b"\0") + two,
        "later.iso": two,
        "mixed.nrg": nrg(tracks),
        "patched.chd": patched,
        "elsewhere/base.chd": base,
    }
    (folder / "elsewhere").mkdir()
    for name, data in made.items():
        (folder / name).write_bytes(data)


@pytest.fixture(scope="module")
def discs() -> Iterator[Path]:
    """A directory with all discs and the program, where every user may look."""
    made = Path(tempfile.mkdtemp(prefix="isofs-options-", dir="/tmp"))
    try:
        made.chmod(0o755)
        make_discs(made)
        program = made / "bin" / "isofs"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m isofs "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        yield made
    finally:
        shutil.rmtree(made)


# --- the examples ---------------------------------------------------------------------------------------------------


class Command(NamedTuple):
    """A line that is typed, and what it writes."""

    words: str
    root: bool
    output: list[str]


class Section(NamedTuple):
    """What stands below a heading, up to the next one. In the headings of the third level options are named."""

    level: int
    title: str
    text: str

    @property
    def options(self) -> list[tuple[str, str]]:
        """Name and value of each option of the heading."""
        return re.findall(r"`(\w+)(?:=([^`]+))?`", self.title) if self.level == 3 else []

    @property
    def sessions(self) -> list[list[Command]]:
        """The shell sessions."""
        return [commands(block) for block in re.findall(r"(?ms)^```console\n(.*?)^```", self.text)]


def commands(block: str) -> list[Command]:
    """A shell session, line by line."""
    found: list[Command] = []
    for line in block.splitlines():
        if line.startswith(("$ ", "# ")):
            found.append(Command(line[2:], line[0] == "#", []))
        else:
            found[-1].output.append(line)
    return found


def sections() -> list[Section]:
    """All sections."""
    found = re.findall(r"(?ms)^(###?) ([^\n]+)\n(.*?)(?=^###? |\Z)", DOCUMENT)
    return [Section(len(marks), title, text) for marks, title, text in found]


SECTIONS: Final = sections()
EXAMPLES: Final = [
    pytest.param(session, id=f"{re.sub(r'[^a-z0-9]+', '-', section.title.lower()).strip('-')}-{number}")
    for section in SECTIONS
    for number, session in enumerate(section.sessions, 1)
]


@pytest.fixture
def folder(discs: Path) -> Iterator[Path]:
    """The directory with the discs, and an empty one to mount on."""
    own = Mounting(discs)
    point = own.point("mnt")
    home = discs / "home"
    home.mkdir()
    try:
        yield discs
        assert not os.path.ismount(point), "the example does not unmount"
    finally:
        own.clean()
        point.rmdir()
        shutil.rmtree(home)


def run(session: list[Command], folder: Path) -> list[list[str]]:
    """What the commands of a session write, each for itself. One shell runs them all, so that it knows its children."""
    mark = uuid.uuid4().hex
    script = "".join(f"{command.words}\necho {mark}\n" for command in session)
    environment = {
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "HOME": f"{folder}/home",
        "LC_ALL": "C.UTF-8",
    }
    # A file: what is left running in the background would keep a pipe open.
    with tempfile.TemporaryFile() as written:
        subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            timeout=LIMIT,
            check=False,
        )
        written.seek(0)
        text = written.read().decode("utf-8", "backslashreplace")
    outputs = text.split(f"{mark}\n")
    assert outputs.pop() == ""
    return [output.splitlines() for output in outputs]


def is_as_said(output: list[str], said: list[str]) -> bool:
    """Whether an output is the one of the document, where `...` stands for anything."""
    pattern = re.escape("\n".join(said)).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, "\n".join(output), re.DOTALL) is not None


@pytest.mark.parametrize("session", EXAMPLES)
def test_an_example_shows_what_the_document_says(session: list[Command], folder: Path) -> None:
    if any(command.root for command in session) and os.geteuid() != 0:
        pytest.skip("only root may do this")
    if any("isofs mount" in command.words for command in session):
        require("/dev/fuse")
    for command, output in zip(session, run(session, folder), strict=True):
        assert is_as_said(output, command.output), f"{command.words}\n" + "\n".join(output)


@pytest.mark.parametrize(
    ("output", "said", "same"),
    [
        (["a", "b"], ["a", "b"], True),
        (["a", "b"], ["a"], False),
        ([], [], True),
        (["a"], [], False),
        (["a", "b", "c"], ["a", "..."], True),
        (["x 17 y"], ["x ... y"], True),
        (["x 17 z"], ["x ... y"], False),
        (["x.y"], ["x?y"], False),
    ],
)
def test_outputs_are_compared_to_the_letter_but_for_three_dots(output: list[str], said: list[str], same: bool) -> None:
    assert is_as_said(output, said) == same


# --- the table ------------------------------------------------------------------------------------------------------


def test_each_option_has_a_section_with_its_value_and_an_example() -> None:
    described = [(name, value) for section in SECTIONS for name, value in section.options]
    assert sorted(described) == sorted((option.name, option.value) for option in shown_options())
    assert len(EXAMPLES) == DOCUMENT.count("```console\n")
    for section in SECTIONS:
        typed = " ".join(command.words for session in section.sessions for command in session)
        for name, _ in section.options:
            assert re.search(rf"-o (?:[^ ]*,)?{name}(?:[=, ]|$)", typed), f"no example of {name}"


@pytest.mark.parametrize("option", shown_options(), ids=lambda option: option.name)
def test_the_default_of_an_option_is_told(option: Option) -> None:
    (section,) = (section for section in SECTIONS if option.name in dict(section.options))
    assert f"Default: {option.default}." in " ".join(section.text.replace("`", "").split())


@pytest.mark.parametrize("kind", ["dropped", "unused", "refused"])
def test_options_of_other_programs_are_listed_by_what_becomes_of_them(kind: str) -> None:
    """Each row of the table at the end tells in its second cell what is done with those of its first."""
    heads = {"dropped": ("in force", "no effect"), "unused": ("a warning",), "refused": ("refused",)}
    end = DOCUMENT[DOCUMENT.index("\n## Options of other programs") :]
    rows = re.findall(r"(?m)^\| (`.+`[^|]*) \| ([^|]+) \|$", end)
    found = [name for cell, fate in rows if fate.startswith(heads[kind]) for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(found) == sorted(option.name for option in OPTIONS if option.kind == kind)
