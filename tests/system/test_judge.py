"""The judges and the table of peers: each finds what is planted, and a sound disc passes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from judge import judges, peers, walk
from judge.calls import CLOSED, Directory, Name, changes, refusal
from judge.judges import JUDGES, Case, Verdict, judge
from judge.peers import OURS, Found, Outcome, Program, cell, differences, listing, try_all
from writers.containers import cso
from writers.mounting import Mounting, alive, command, mounted, wait_until
from writers.tools import require

TIME = 932_042_096
DATA = bytes(range(256)) * 40
SCHISM = 7000
"""The byte of `folder/data.bin` that is made wrong."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("judged") / "tree"
    (top / "folder").mkdir(parents=True)
    (top / "folder/data.bin").write_bytes(DATA)
    (top / "folder/link").symlink_to("data.bin")
    (top / "empty").mkdir()
    (top / "readme.txt").write_bytes(b"hello\n")
    for path in [*top.rglob("*"), top]:
        os.utime(path, (TIME, TIME), follow_symlinks=False)
    return top


@pytest.fixture(scope="module")
def recorded(tree: Path) -> Path:
    image = tree.with_name("disc.iso")
    words = [require("xorriso"), "-as", "mkisofs", "-quiet", "-R", "-o", str(image), str(tree)]
    subprocess.run(words, check=True, capture_output=True)
    return image


@pytest.fixture
def case(tree: Path, recorded: Path, tmp_path: Path) -> Case:
    """A copy of the tree, which stands for a mount of its disc."""
    (tmp_path / "scratch").mkdir()
    return Case(shutil.copytree(tree, tmp_path / "mount", symlinks=True), recorded, tmp_path / "scratch")


def verdict(case: Case, name: str) -> Verdict:
    for tool in {"xorriso": ["xorriso"], "bsdtar": ["bsdtar"], "at random": ["xorriso"]}.get(name, []):
        require(tool)
    [said] = judge(case, [name])
    return said


# --- differences ----------------------------------------------------------------------------------------------------


def with_data(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def plant(root: Path) -> None:
        path = root / "folder/data.bin"
        path.write_bytes(change(path.read_bytes()))
        os.utime(path, (TIME, TIME))

    return plant


def retarget(root: Path, target: str) -> None:
    link = root / "folder/link"
    link.unlink()
    link.symlink_to(target)
    for path in (link, link.parent):
        os.utime(path, (TIME, TIME), follow_symlinks=False)


def other_kind(root: Path) -> None:
    (root / "empty").rmdir()
    (root / "empty").touch()


PLANTS: dict[str, tuple[Callable[[Path], object], dict[str, str]]] = {
    "a byte": (
        with_data(lambda data: data[:SCHISM] + bytes((data[SCHISM] ^ 1,)) + data[SCHISM + 1 :]),
        {
            "xorriso": rf"data\.bin.*CONTENT.*First at {SCHISM}",
            "bsdtar": r"^folder/data\.bin sha256=",
            "at random": r"data\.bin.* bytes at .* differ",
        },
    ),
    "a byte less": (
        with_data(lambda data: data[:-1]),
        {"xorriso": r"data\.bin.*st_size", "bsdtar": r"^folder/data\.bin size=", "at random": r"data\.bin.*differ"},
    ),
    "a byte more": (
        with_data(lambda data: data + b"\0"),
        {"xorriso": r"data\.bin.*st_size", "bsdtar": r"^folder/data\.bin size=", "at random": r"data\.bin.*differ"},
    ),
    "a mode": (
        lambda root: (root / "readme.txt").chmod(0o600),
        {"xorriso": r"readme\.txt.*st_mode", "bsdtar": r"^readme\.txt mode="},
    ),
    "a directory's mode": (
        lambda root: (root / "folder").chmod(0o700),
        {"xorriso": r"/folder'.*st_mode", "bsdtar": r"^folder mode="},
    ),
    "a time": (
        lambda root: os.utime(root / "readme.txt", (TIME, TIME + 1)),
        {"xorriso": r"readme\.txt.*st_mtime", "bsdtar": r"^readme\.txt mtime="},
    ),
    "a directory's time": (
        lambda root: os.utime(root / "empty", (TIME, TIME - 1)),
        {"xorriso": r"/empty'.*st_mtime", "bsdtar": r"^empty mtime="},
    ),
    "a link's target": (
        lambda root: retarget(root, "data.bim"),
        {"xorriso": r"/folder/link'.*target.*data\.bim", "bsdtar": r"^folder/link target="},
    ),
    "a link's root": (
        lambda root: retarget(root, "/data.bin"),
        {"xorriso": r"/folder/link'.*target.*/data\.bin", "bsdtar": r"^folder/link target="},
    ),
    "a kind": (
        other_kind,
        {"xorriso": r"/empty'.* type ", "bsdtar": r"^empty kind=", "at random": r"NotADirectoryError.*empty"},
    ),
    "a name in capitals": (
        lambda root: (root / "readme.txt").rename(root / "README.TXT"),
        {
            "xorriso": r"README\.TXT.*cannot find this file",
            "bsdtar": r"^README\.TXT is extra",
            "at random": r"does not list .*readme",
        },
    ),
    "a name less": (
        lambda root: (root / "readme.txt").unlink(),
        {
            "xorriso": r"readme\.txt.*No such file",
            "bsdtar": r"^readme\.txt is missing",
            "at random": r"does not list .*readme",
        },
    ),
    "a name more": (
        lambda root: (root / "more").touch(),
        {"xorriso": r"/more'.*cannot find this file", "bsdtar": r"^more is extra"},
    ),
}
if os.getuid() == 0:
    PLANTS["an owner"] = (
        lambda root: os.chown(root / "readme.txt", 1, -1),
        {"xorriso": r"readme\.txt.*st_uid", "bsdtar": r"^readme\.txt uid="},
    )
    PLANTS["a group"] = (
        lambda root: os.chown(root / "folder", -1, 1),
        {"xorriso": r"/folder'.*st_gid", "bsdtar": r"^folder gid="},
    )


@pytest.mark.parametrize(("plant", "name"), [(plant, name) for plant in PLANTS for name in PLANTS[plant][1]])
def test_a_difference_that_is_planted_is_reported(case: Case, plant: str, name: str) -> None:
    change, words = PLANTS[plant]
    change(case.point)
    said = verdict(case, name)
    assert [line for line in said.differences if re.search(words[name], line)], said
    assert said.line.startswith(f"{name}: DIFFERS: ")


def test_a_tree_that_is_the_same_is_the_same_to_all(case: Case) -> None:
    for name in ("bsdtar", "at random", "directories"):
        assert verdict(case, name).line == f"{name}: same"
    xorriso = verdict(case, "xorriso").differences
    assert [line for line in xorriso if "st_ctime" not in line] == []  # that of a copy is now


def test_slashes_within_a_target_are_lost_by_the_others(case: Case) -> None:
    retarget(case.point, "data/.bin")
    assert verdict(case, "bsdtar").line == (
        "bsdtar: known: 1: bsdtar leaves out the slash between two parts of a long target"
    )
    assert "xorriso leaves out empty parts of a target" in verdict(case, "xorriso").known


def test_no_reason_that_is_known_covers_another_difference(case: Case) -> None:
    (case.point / "boot.cat").touch()
    (case.point / "readme.txt").chmod(0o600)
    said = verdict(case, "xorriso")
    assert said.known == ["the boot catalogue is no file to xorriso"]
    assert [line for line in said.differences if re.search(r"readme\.txt.*st_mode", line)]


# --- directories ----------------------------------------------------------------------------------------------------


class TooFar(Directory):
    def seek(self, place: int) -> None:
        super().seek(place)
        self.next()


class Twice(Directory):
    _last: Name | None = None

    def next(self) -> Name | None:
        self._last, last = None, self._last
        if last is None or last.name != b"data.bin":
            last = self._last = super().next()
        return last


class OtherKind(Directory):
    def next(self) -> Name | None:
        name = super().next()
        return name and name._replace(kind=2 if name.name == b"link" else name.kind)


class OtherInode(Directory):
    def next(self) -> Name | None:
        name = super().next()
        return name and name._replace(inode=name.inode + (name.name == b"data.bin"))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (TooFar, r"goes on elsewhere after 0 names"),
        (Twice, r"folder'.* a name twice"),
        (OtherKind, r"folder/link'.* otherwise than lstat tells"),
        (OtherInode, r"folder/data\.bin'.* otherwise than lstat tells"),
    ],
)
def test_a_directory_that_is_listed_wrong_is_reported(
    case: Case, fault: type[Directory], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judges, "Directory", fault)
    said = verdict(case, "directories").differences
    assert [line for line in said if re.search(words, line)], said


# --- changes --------------------------------------------------------------------------------------------------------

NAMES = list(changes(b"/root", b"/root/file", b"/root/folder"))


@pytest.mark.parametrize("name", NAMES)
def test_each_call_that_must_fail_changes_something_where_it_may(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = tmp_path / "file"
    file.write_bytes(b"data")
    if name == "removexattr":
        os.setxattr(file, b"user.name", b"value")
    assert refusal(changes(os.fsencode(tmp_path), os.fsencode(file), os.fsencode(folder))[name]) == 0


def test_every_call_that_does_not_fail_as_it_must_is_reported(case: Case) -> None:
    shutil.rmtree(case.point / "folder")  # so that `empty` is the one directory, and can be removed
    said = verdict(case, "read-only").differences
    assert {line.partition(":")[0] for line in said} == set(NAMES)
    assert {"open for writing: done", "create: done", "chmod: ENOENT"} <= set(said)


def test_a_call_on_an_open_file_that_is_done_is_reported(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "changes", lambda *_: {})
    assert verdict(case, "read-only").line == "read-only: same"
    monkeypatch.setitem(CLOSED, "write", lambda fd: None)
    assert verdict(case, "read-only").differences == ["write: done"]


# --- mounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", ["iso", "cso"])
def test_a_sound_disc_passes_all_judges(
    container: str, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for tool in ("/dev/fuse", "bsdtar"):
        require(tool)
    image = recorded
    if container == "cso":
        image = tmp_path / "disc.cso"
        image.write_bytes(cso(recorded.read_bytes()))
    monkeypatch.setattr(sys, "argv", ["judges", str(image)])
    assert judges.main() == 0
    assert capsys.readouterr().out.splitlines() == [f"{name}: same" for name in JUDGES]


def test_what_others_do_otherwise_is_no_difference(tmp_path: Path) -> None:
    for tool in ("/dev/fuse", "xorriso", "genisoimage", "bsdtar"):
        require(tool)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "CAPITALS.TXT").write_bytes(b"made small by Linux")
    os.link(tree / "CAPITALS.TXT", tree / "LINK.TXT")  # no data in bsdtar's list
    late = tree / "late"  # genisoimage writes a zone that there is not
    late.touch()
    os.utime(late, (2_182_914_367, 2_182_914_367))
    os.utime(tree, (TIME, TIME))
    image = tmp_path / "disc.iso"
    subprocess.run(["genisoimage", "-quiet", "-l", "-o", image, tree], check=True)
    said = {verdict.judge: verdict.line.partition(": ")[2] for verdict in judges.judge_image(image)}
    assert said.pop("xorriso").startswith("known: 2: genisoimage records zones of -24 hours")  # modified, changed
    assert set(said.values()) == {"same"}
    (tree / "long").symlink_to("comp/" * 120 + "end")  # bsdtar loses a slash
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", image, tree], check=True, capture_output=True)
    said = {verdict.judge: verdict.line.partition(": ")[2] for verdict in judges.judge_image(image)}
    assert said.pop("bsdtar").startswith("known: 1: bsdtar leaves out the slash")
    assert set(said.values()) == {"same"}


FAULTS = {
    "read": (
        f"""
        async def wrong(self, fh, off, size):
            found = bytearray(await right(self, fh, off, size))
            if len(found) > {SCHISM}:
                found[{SCHISM}] ^= 1
            return bytes(found)
        """,
        {"xorriso": "CONTENT", "bsdtar": "sha256=", "at random": "differ"},
    ),
    "open": (
        """
        async def wrong(self, inode, flags, ctx):
            import errno, pyfuse3
            raise pyfuse3.FUSEError(errno.EIO)
        """,
        {"xorriso": "cannot open", "bsdtar": "Input/output error", "at random": "Input/output error"},
    ),
    "readdir": (
        """
        async def wrong(self, fh, start_id, token):
            await right(self, fh, start_id + (start_id > 2), token)
        """,
        {"directories": "goes on elsewhere after 3 names"},
    ),
    "readlink": (
        """
        async def wrong(self, inode, ctx):
            return b"./" + await right(self, inode, ctx)
        """,
        {"xorriso": "target", "bsdtar": "target="},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_real_mount_is_found(fault: str, recorded: Path, mounting: Mounting, tmp_path: Path) -> None:
    code, words = FAULTS[fault]
    program = "\n".join(
        (
            "import sys, textwrap",
            "from isofs.cli import main",
            "from isofs.mount.operations import Operations",
            f"right = Operations.{fault}",
            f"exec(textwrap.dedent({code!r}))",
            f"Operations.{fault} = wrong",
            "sys.exit(main())",
        )
    )
    point = mounting.point()
    arguments = command("mount", "-f", recorded, point)[3:]
    process = subprocess.Popen([sys.executable, "-c", program, *arguments])
    try:
        wait_until(lambda: mounted(point), "the image is mounted")
        case = Case(point, recorded, tmp_path / "scratch")
        case.scratch.mkdir()
        for name in words:
            said = verdict(case, name).differences
            assert [line for line in said if words[name] in line], (name, said)
    finally:
        mounting.clean()
        assert process.wait(10) == 0


# --- peers: one trial -----------------------------------------------------------------------------------------------


def fake(script: str, name: str = "fake") -> Program:
    """A program that extracts: `$1` is the image, `$2` the directory."""
    return Program(name, lambda image, at: ("sh", "-c", script, "sh", image, at))


def outcome(script: str, image: Path, seconds: float = 20.0) -> Outcome:
    [(_, found)] = try_all(image, [fake(script)], seconds).items()
    return found


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disc.iso"
    path.write_bytes(b"an image")
    return path


COPY = "mkdir $2/folder; cp $1 $2/folder/file; ln -s folder/file $2/link"


def test_what_a_program_extracts_is_seen(image: Path) -> None:
    found = outcome(COPY, image)
    assert (found.end, dict(found.tree)) == (
        "",
        {
            "folder": Found("dir"),
            "folder/file": Found("file", 8, hashlib.sha256(b"an image").hexdigest()),
            "link": Found("link", target="folder/file"),
        },
    )


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "refused"),
        ("true", "empty"),
        ("kill -SEGV $$", "killed by SIGSEGV"),
        (f"{COPY}; kill -ABRT $$", "killed by SIGABRT"),
        (COPY, "as ours"),
        (f"{COPY}; exit 1", "as ours, exit 1"),
        (f"{COPY}; rm $2/link", "1 missing"),
        (f"{COPY}; touch $2/more", "1 more"),
        (f"{COPY}; echo >> $2/folder/file", "1 with other bytes"),
        (f"{COPY}; ln -sf elsewhere $2/link", "1 with other targets"),
        (f"{COPY}; rm $2/link; touch $2/link", "1 of other kind"),
        (f'{COPY}; mv $2/folder/file "$2/folder/FILE.;1"', "as ours, other case"),
    ],
)
def test_each_end_of_a_trial_has_its_words(script: str, words: str, image: Path) -> None:
    outcomes = try_all(image, [fake(COPY, "ours"), fake(script)])
    assert cell(outcomes["fake"], None, outcomes["ours"]) == words


def test_a_program_that_hangs_is_ended_with_all_that_it_started(image: Path, tmp_path: Path) -> None:
    found = outcome("sleep 1000 & echo $! > $2/child; cat $2/child; mkfifo $2/pipe; read x < $2/pipe", image, 1.0)
    assert cell(found, None, found) == "hang"
    child = int(found.said)
    wait_until(lambda: not alive(child), "its child ends")
    assert set(found.tree) == {"child", "pipe"}, "what there was is told"


def test_memory_is_bounded(image: Path) -> None:
    found = outcome("dd if=/dev/zero of=/dev/null bs=3G count=1", image)
    assert found.end == "exit 1"
    assert "memory exhausted" in found.said


@pytest.mark.skipif(os.getuid() != 0, reason="is about root")
def test_what_root_tries_extracts_as_nobody(image: Path) -> None:
    assert outcome("id -u; id -g; id -G", image).said.split() == ["65534"] * 3


def test_a_program_that_is_not_there_and_a_sheet_without_its_file_are_told(tmp_path: Path) -> None:
    sheet = tmp_path / "disc.cue"
    sheet.write_text('FILE "disc.bin" BINARY\n')
    missing = Program("missing", lambda image, at: ("no such program",))
    assert try_all(sheet, [missing])["missing"].end == "not applicable"
    (tmp_path / "DISC.BIN").write_bytes(b"raw")
    assert try_all(sheet, [missing])["missing"].end == "not installed"
    assert outcome("cat $1", sheet).said == "raw"
    assert cell(Outcome({}, "not installed"), None) == "-"


def test_a_program_that_never_mounts_hangs(image: Path) -> None:
    require("/dev/fuse")
    program = Program("sleeper", lambda image, at: ("sleep", "1000"), mounts=True)
    assert try_all(image, [program], 0.5)["sleeper"].end == "hang"


@pytest.mark.parametrize(("signal", "seconds", "end"), [("SEGV", 20.0, "killed by SIGSEGV"), ("STOP", 5.0, "hang")])
def test_a_mount_that_dies_or_stops_while_it_is_looked_at_leaves_nothing(
    signal: str, seconds: float, end: str, recorded: Path
) -> None:
    require("/dev/fuse")
    code = f"""
        import os, signal, sys
        from isofs.cli import main
        from isofs.mount.operations import Operations
        async def opendir(self, inode, ctx):
            os.kill(os.getpid(), signal.SIG{signal})
        Operations.opendir = opendir
        sys.exit(main())
    """
    points = []

    def words(image: Path, at: Path) -> list[str | Path]:
        points.append(at)
        return [
            sys.executable,
            "-c",
            f"exec({json.dumps(code)!s}.replace('\\n        ', '\\n'))",
            "mount",
            "-f",
            image,
            at,
        ]

    assert try_all(recorded, [Program("faulty", words, mounts=True)], seconds)["faulty"].end == end
    assert not any(mounted(point) or point.exists() for point in points)


def test_ours_gives_what_a_listing_tells(tree: Path, recorded: Path, tmp_path: Path) -> None:
    require("/dev/fuse")
    lines = ["#path\ttype\tsize\tsha256\ttarget\tmode", "/\td\t-\t-\t-\t0755"]
    for path in tree.rglob("*"):
        kind = "l" if path.is_symlink() else "d" if path.is_dir() else "f"
        size, digest, target = "-", "-", os.readlink(path) if kind == "l" else "-"
        if kind == "f":
            size, digest = str(path.stat().st_size), hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"/{path.relative_to(tree)}\t{kind}\t{size}\t{digest}\t{target}\t-")
    (tmp_path / "listing.tsv").write_text("\n".join(lines) + "\n")
    right = listing(tmp_path / "listing.tsv")
    ours = try_all(recorded, [OURS])["isofs"]
    assert differences(ours.tree, right) == []
    assert cell(ours, right) == "right"
    assert cell(ours, None) == "tree of 5"
    assert cell(ours, {**right, "readme.txt": Found("file", 6, "other")}) == "1 with other bytes"


# --- peers: the rest ------------------------------------------------------------------------------------------------


def test_names_of_a_listing_are_read_as_they_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "listing.tsv").write_text("/a\\x5cb\\xff \u00fc\tl\t-\t-\t\\x0a\n", "utf-8")
    assert dict(listing(tmp_path / "listing.tsv")) == {"a\\b\udcff \u00fc": Found("link", target="\n")}


def test_errors_are_differences_on_either_side() -> None:
    sound, broken = {"a": Found("file", 1, "x")}, {"a": Found("file", error="Input/output error")}
    assert differences(broken, sound) == [("unreadable", "a")]
    assert differences(sound, broken) == [("readable that ours are not", "a")]
    assert differences(broken, broken) == []
    assert cell(Outcome(broken), None) == "tree of 1, 1 unreadable"
    assert cell(Outcome({"": Found("dir", error="Input/output error")}), sound) == "root unreadable"


def test_two_names_that_differ_in_case_alone_are_two() -> None:
    two = {"a": Found("file", 1, "x"), "A": Found("file", 2, "y")}
    assert differences(two, two) == []
    assert differences(two, {"a": two["a"]}) == [("more", "A")]


def test_what_we_refuse_is_told_with_its_reason() -> None:
    said = "isofs: disc.iso: warning: odd\nisofs: disc.iso: no tree; copy it again"
    assert cell(Outcome({}, "exit 32", said), None) == "refused: no tree"
    ours = Outcome({}, "exit 32", said)
    assert cell(Outcome({}, "exit 1"), None, ours) == "refused"
    assert cell(Outcome({"a": Found("dir")}), None, ours) == "tree of 1"


def test_a_tree_without_end_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in "abcd":
        (tmp_path / name).mkdir()
    monkeypatch.setattr(walk, "NAMES", 3)
    walk.walk(os.fsencode(tmp_path))
    found = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["path"] for line in found] == ["a", "b", "c", "d"]
    assert found[-1]["error"] == walk.ENDLESS
    assert cell(Outcome({"d": Found("?", error=walk.ENDLESS)}), None) == "endless"


def test_a_name_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()

    def fails(path: bytes) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(walk, "_digest", fails)
    walk.walk(os.fsencode(tmp_path))
    said = json.loads(capfd.readouterr().out)
    assert said == {"path": "file", "kind": "file", "size": 0, "error": "Input/output error"}


def test_the_table_tells_each_program_and_ends_with_1_where_ours_is_wrong(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = hashlib.sha256(b"an image").hexdigest()
    (tmp_path / "disc.tsv").write_text(
        f"/folder\td\t-\t-\t-\n/folder/file\tf\t8\t{digest}\t-\n/link\tl\t-\t-\tfolder/file\n"
    )
    version = ("echo", "version 1.2.3")
    ours = fake(COPY, "isofs")._replace(version=version)
    monkeypatch.setattr(peers, "OURS", ours)
    monkeypatch.setattr(peers, "PEERS", (fake(f"{COPY}; touch $2/more", "other")._replace(version=version),))
    monkeypatch.setattr(sys, "argv", ["peers", "--verbose", "--expect", str(tmp_path / "{name}.tsv"), str(image)])
    assert peers.main() == 0
    assert capsys.readouterr().out.splitlines() == [
        "| image | isofs 1.2.3 | other 1.2.3 |",
        "| --- | --- | --- |",
        "| disc | right | 1 more |",
        "",
        "disc, other: 1 more:  []",
        "    'more' more",
    ]
    monkeypatch.setattr(peers, "OURS", ours._replace(words=fake("true").words))
    assert peers.main() == 1
