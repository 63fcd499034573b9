"""The commands that need no mount: what they write, where, and how they end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest
from writers.containers import cso, cso_header, dax, entry, overwritten, zso
from writers.discs import TIME_NS, Disc, component, nm, px, record, rock, sl, tf
from writers.mounting import LIMIT, SECTOR, command, fails, isofs, make_disc, numbered_sector, on_terminal, succeeds
from writers.tools import IN_PRIVATE, PRIVATE_MOUNTS, require
from writers.trees import make_tree

from isofs.cli import COMMANDS
from isofs.mount.options import shown_options

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")

HOSTILE: Final = b"red\x1b[31m\nline\x9b\x07"
"""A name that steers a terminal."""
SHOWN: Final = rb"red\x1b[31m\x0aline"
DIRECTORY: Final = stat.S_IFDIR


# --- discs ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree that is on the disc."""
    return make_tree(tmp_path_factory.mktemp("cli") / "source", many=3)


@pytest.fixture(scope="session")
def disc(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disc of that tree, with Joliet too."""
    return make_disc(source, tmp_path_factory.mktemp("cli disc") / "disc.iso", "-J", "-joliet-long", "-V", "TEST DISC")


@pytest.fixture(scope="session")
def small() -> bytes:
    """A disc with a link of every kind, a long file, and a name that steers a terminal."""
    made = Disc(rock=True)
    folder = made.root.rock_directory(b"FOLDER", b"folder")
    folder.file(b"INNER.;1", b"inner", system_use=rock(b"inner"))
    made.root.file(b"BIG.;1", b"".join(map(numbered_sector, range(200))), system_use=rock(b"big"))
    made.root.file(b"HOSTILE.;1", b"h", system_use=rock(HOSTILE))
    made.root.file(b"TO_INNER.;1", system_use=link(b"to inner", component(b"folder"), component(b"inner")))
    made.root.file(b"TO_FOLD.;1", system_use=link(b"to folder", component(b"folder")))
    made.root.file(b"OUT.;1", system_use=link(b"out", component(flags=8), component(b"etc"), component(b"passwd")))
    made.root.file(b"LOOP.;1", system_use=link(b"loop", component(b"loop")))
    return made.build()


def link(name: bytes, *components: bytes) -> bytes:
    """The entries of a symbolic link. A component of flag 8 is the root."""
    return px(stat.S_IFLNK | 0o777) + nm(name) + sl(*components)


@pytest.fixture
def image(small: bytes, tmp_path: Path) -> Path:
    """That small disc."""
    path = tmp_path / "small.iso"
    path.write_bytes(small)
    return path


@pytest.fixture
def damaged(small: bytes, tmp_path: Path) -> Path:
    """That small disc as a CSO in which one block of `big` is not deflate."""
    written = cso(small)
    number = small.index(numbered_sector(151)) // SECTOR
    begin, end = (entry(written, i) & 0x7FFF_FFFF for i in (number, number + 1))
    path = tmp_path / "damaged.cso"
    path.write_bytes(overwritten(written, begin, b"\xff" * (end - begin)))
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where to extract to; it does not exist yet."""
    return tmp_path / "target"


def lines(raw: bytes) -> list[str]:
    return os.fsdecode(raw).splitlines()


# --- help and errors ------------------------------------------------------------------------------------------------


def test_the_help_names_every_command() -> None:
    said = succeeds("--help").decode()
    for name in COMMANDS:
        assert re.search(rf"^ +{name}\s+\w", said, re.MULTILINE), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(name: str) -> None:
    said = succeeds(name, "--help").decode()
    assert said.startswith(f"usage: isofs {name} ")
    assert ("norock" in said) == ("IMAGE" in said)


def test_a_word_that_is_no_command_is_one_short_line(tmp_path: Path) -> None:
    assert fails(1, "help") == "no such command: help; see isofs --help"
    image = tmp_path / "my game.iso"
    image.touch()
    assert fails(1, image) == f"{image}: a file, not a command; run: isofs mount '{image}' MOUNTPOINT"


def test_the_help_shows_every_option_of_o() -> None:
    said = succeeds("ls", "--help").decode()
    for option in shown_options():
        assert option.meaning in said


def test_the_version() -> None:
    said = succeeds("--version").decode()
    assert said in (f"isofs {version('isofs')} ({which} decoder)\n" for which in ("compiled", "Python"))


def test_ci_has_the_compiled_decoder() -> None:
    if os.environ.get("CI"):
        assert b"(compiled decoder)" in succeeds("--version")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nosuch"],
        ["--nosuch"],
        ["ls"],
        ["ls", "--nosuch", "x.iso"],
        ["ls", "x.iso", "/", "more"],
        ["mount", "x.iso"],
        ["extract", "x.iso"],
        ["cat", "x.iso"],
        ["umount"],
        ["list", "more"],
        ["line\nfeed"],
        ["ls", "x.iso", "/", "line\nfeed"],
    ],
)
def test_wrong_use_is_one_line_and_1(words: list[str]) -> None:
    assert "--help" in fails(1, *words)


@pytest.mark.parametrize("name", ["info", "ls", "cat", "extract", "mount"])
def test_an_unknown_option_of_o_is_one_line_and_1(name: str, image: Path, target: Path) -> None:
    more: dict[str, list[str | Path]] = {"cat": ["big"], "extract": [target], "mount": [target]}
    assert "unknown option 'nosuch'" in fails(1, name, image, *more.get(name, []), "-o", "nosuch")
    assert not target.exists()


@pytest.mark.parametrize("name", ["info", "ls", "cat", "extract", "mount"])
def test_a_missing_image_is_one_line_and_32(name: str, tmp_path: Path, target: Path) -> None:
    more: dict[str, list[str | Path]] = {"cat": ["big"], "extract": [target], "mount": [tmp_path]}
    missing = tmp_path / "missing.iso"
    assert fails(32, name, missing, *more.get(name, [])).startswith(f"{missing}: no such file or directory; ")


@pytest.mark.parametrize("name", ["info", "ls", "mount"])
def test_what_is_no_disc_is_one_line_and_32(name: str, tmp_path: Path) -> None:
    text = tmp_path / "a\nb.iso"
    text.write_bytes(b"no disc at all\n" * 5000)
    said = fails(32, name, text, *([tmp_path] if name == "mount" else []))
    assert said.startswith(f"{tmp_path}/a\\x0ab.iso: ")


def test_a_missing_mount_point_is_said_before_the_image_is_opened(tmp_path: Path, target: Path) -> None:
    assert fails(32, "mount", tmp_path / "missing.iso", target).startswith(f"{target}: no mount point: ")


def test_a_disc_inside_a_container_that_is_none_is_one_line_and_32(tmp_path: Path) -> None:
    (tmp_path / "x.cso").write_bytes(cso(b"no disc at all\n" * 5000))
    assert "(inside CSO version 1)" in fails(32, "ls", tmp_path / "x.cso")
    (tmp_path / "y.cso").write_bytes(cso_header(disc_size=0).ljust(100, b"\0"))
    fails(32, "info", tmp_path / "y.cso")


# --- what is imported -----------------------------------------------------------------------------------------------

MODULES: Final = """
import sys
from isofs.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as ended:
    code = ended.code
print(code, *sorted(name for name in sys.modules if "." not in name), file=sys.stderr)
"""


def imported(*args: str | Path) -> tuple[int, set[str]]:
    """The exit code of a command line, and the modules that it imported."""
    words = [sys.executable, "-c", MODULES, *map(str, args)]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False)
    code, *names = done.stderr.decode().splitlines()[-1].split()
    return int(code), set(names)


@pytest.mark.parametrize("name", ["--help", "--version", "info", "ls", "cat", "extract", "list"])
def test_only_mounting_imports_fuse(name: str, image: Path, target: Path) -> None:
    words: dict[str, tuple[str | Path, ...]] = {
        "cat": (image, "big"),
        "extract": (image, target),
        "info": (image,),
        "ls": (image,),
    }
    code, names = imported(name, *words.get(name, ()))
    assert code == 0
    assert not names & {"pyfuse3", "trio", "tqdm"}


def test_the_refusal_of_an_image_does_not_import_fuse(tmp_path: Path) -> None:
    text = tmp_path / "text.iso"
    text.write_bytes(b"no disc at all\n" * 5000)
    code, names = imported("mount", text, tmp_path)
    assert code == 32
    assert not names & {"pyfuse3", "trio"}


def test_the_refusal_of_an_option_does_not_import_fuse(image: Path, tmp_path: Path) -> None:
    code, names = imported("mount", "-o", "nosuch", image, tmp_path)
    assert code == 1
    assert not names & {"pyfuse3", "trio"}


def test_help_imports_little(image: Path) -> None:
    _, names = imported("--help")
    assert not names & {"lz4", "deflate", "lzallright", "hypothesis", "numpy", "asyncio", "ssl"}


def test_a_plain_image_needs_no_decoder(image: Path) -> None:
    _, names = imported("ls", image)
    assert not names & {"lz4", "deflate", "lzallright"}


# --- info -----------------------------------------------------------------------------------------------------------


def told(raw: bytes) -> dict[str, str]:
    """The lines of `info` by their labels."""
    return {label: value.strip() for label, _, value in (line.partition(":") for line in lines(raw))}


def test_info_of_a_plain_disc(disc: Path) -> None:
    facts = told(succeeds("info", disc))
    size = disc.stat().st_size
    assert facts["image"] == str(disc)
    assert facts["format"] == "plain disc image"
    assert facts["file size"].startswith(f"{size} bytes (")
    assert facts["tree"] == "Rock Ridge"
    assert facts["also there"] == "Joliet level 3"
    assert facts["volume"] == "TEST DISC"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", facts["created"])
    assert "ratio" not in facts


def test_info_of_a_compressed_disc(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.zso"
    path.write_bytes(zso(small))
    facts = told(succeeds("info", path))
    assert facts["format"].startswith("ZSO")
    assert facts["disc size"].startswith(f"{len(small)} bytes")
    assert facts["blocks"] == "2048 bytes, LZ4"
    assert facts["ratio"].endswith("% of the disc")


def test_info_for_programs(small: bytes, disc: Path, tmp_path: Path) -> None:
    facts: dict[str, Any] = json.loads(succeeds("info", "--json", disc))
    assert facts["image"] == str(disc)
    assert facts["file_size"] == facts["disc_size"] == disc.stat().st_size
    assert facts["compression_block_size"] is None
    assert (facts["tree"], facts["joliet_level"], facts["volume"]) == ("Rock Ridge", 3, "TEST DISC")
    assert facts["warnings"] == []
    path = tmp_path / "x.dax"
    path.write_bytes(dax(small))
    facts = json.loads(succeeds("info", "--json", path))
    assert (facts["compression_block_size"], facts["codecs"]) == (8192, ["zlib"])
    assert facts["ratio"] == round(path.stat().st_size / len(small), 3)


def test_info_for_programs_of_a_name_that_is_not_text(small: bytes, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\n.iso"
    Path(os.fsdecode(path)).write_bytes(small)
    assert json.loads(succeeds("info", "--json", path))["image"].endswith("/\\xff\n.iso")
    assert lines(succeeds("info", path))[0].endswith("/\\xff\\x0a.iso")


def test_warnings_go_to_stderr(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "short.iso"
    path.write_bytes(small[: -10 * SECTOR])
    done = isofs("info", "--json", path)
    assert done.returncode == 0
    assert done.stderr.decode().startswith(f"isofs: {path}: warning: the disc is shorter than its volume: ")
    assert done.stderr.count(b"\n") == 1
    assert len(json.loads(done.stdout)["warnings"]) == 1


# --- ls -------------------------------------------------------------------------------------------------------------


def test_ls_lists_the_root_in_the_order_of_bytes(disc: Path, source: Path) -> None:
    assert succeeds("ls", disc).splitlines() == sorted(os.listdir(os.fsencode(source)))


@pytest.mark.parametrize(
    "path", ["deep/b", "/deep/b", "/deep/b/", "deep//b", "./deep/./b", "deep/b/c/..", "/../deep/b"]
)
def test_ls_takes_paths_in_any_form(disc: Path, path: str) -> None:
    assert succeeds("ls", disc, path) == b"c\nup\n"


def test_ls_of_a_file_is_the_file(disc: Path) -> None:
    assert succeeds("ls", disc, "deep/b/up") == b"deep/b/up\n"
    assert b" readme.txt\n" in succeeds("ls", "-l", disc, "readme.txt")


def test_ls_follows_a_link_with_a_slash_behind_it(image: Path) -> None:
    assert succeeds("ls", image, "to folder") == b"to folder\n"
    assert succeeds("ls", image, "to folder/") == b"inner\n"
    assert succeeds("ls", image, "to folder/inner") == b"to folder/inner\n"


def test_ls_never_follows_a_link_out_of_the_disc(image: Path) -> None:
    assert "no such file on the disc" in fails(1, "ls", image, "out/")
    assert "too many symbolic links" in fails(1, "ls", image, "loop/")


@pytest.mark.parametrize("path", ["missing", "deep/missing", "readme.txt/below", "\n"])
def test_ls_of_a_missing_path_is_one_line_and_1(disc: Path, path: str) -> None:
    assert "on the disc" in fails(1, "ls", disc, path)


def test_ls_r_lists_everything_with_its_path(disc: Path, source: Path) -> None:
    expected = []
    for folder, folders, files in os.walk(os.fsencode(source)):
        expected += [os.path.relpath(os.path.join(folder, name), os.fsencode(source)) for name in (*folders, *files)]
    assert sorted(succeeds("ls", "-R", disc).splitlines()) == sorted(expected)
    assert succeeds("ls", "-R", disc, "deep/b/c/d/e/f/g/h/i/j") == b"k\nk/deep.txt\n"


def test_ls_l_tells_what_stat_would(disc: Path, source: Path) -> None:
    found = {}
    for line in lines(succeeds("ls", "-l", disc)):
        if line[0] in "-dl":
            mode, links, uid, gid, size, day, time, name = line.split(maxsplit=7)
            found[name.partition(" -> ")[0]] = (mode, int(links), int(uid), int(gid), int(size), f"{day} {time}")
    for name in ("readme.txt", "suid", "old", "late", "empty"):
        status = os.stat(source / name)
        when = subprocess.run(
            ["date", "-u", "-d", f"@{int(status.st_mtime)}", "+%Y-%m-%d %H:%M:%S"], capture_output=True, check=True
        )
        assert found[name] == (
            stat.filemode(status.st_mode),
            *(status.st_nlink, status.st_uid, status.st_gid, status.st_size),
            when.stdout.decode().strip(),
        )
    assert found["deep"][0].startswith("d")


def test_ls_l_shows_targets_and_devices(disc: Path, source: Path) -> None:
    said = succeeds("ls", "-l", disc).decode()
    assert " odd -> ./././deep/../readme.txt\n" in said
    assert re.search(r"^p.* fifo$", said, re.MULTILINE)
    if (source / "chr").exists():
        assert re.search(r"^crw-r----- .* 5, 1 .* chr$", said, re.MULTILINE)
        assert re.search(r"^brw-r----- .* 259, 300 .* blk$", said, re.MULTILINE)


def test_names_are_raw_in_a_pipe(image: Path) -> None:
    assert HOSTILE in succeeds("ls", image)
    assert HOSTILE in succeeds("ls", "-l", image)
    assert HOSTILE in succeeds("ls", "-R", image)


@pytest.mark.parametrize("options", [[], ["-l"], ["-R"], ["-lR"]])
def test_names_cannot_steer_a_terminal(image: Path, options: list[str]) -> None:
    code, shown = on_terminal(command("ls", *options, image))
    assert code == 0
    assert SHOWN in shown
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\x9b", shown)


def test_targets_cannot_steer_a_terminal(tmp_path: Path) -> None:
    made = Disc(rock=True)
    made.root.file(b"L.;1", system_use=link(b"l", component(b"\x1b]0;title\x07\n")))
    path = tmp_path / "x.iso"
    path.write_bytes(made.build())
    assert b"l -> \x1b]0;title\x07\n" in succeeds("ls", "-l", path)
    code, shown = on_terminal(command("ls", "-l", path))
    assert code == 0
    assert rb"l -> \x1b]0;title\x07\x0a" in shown


def test_errors_cannot_steer_a_terminal(image: Path) -> None:
    code, shown = on_terminal(command("ls", image, "\x1b[31m\u202e\n"))
    assert code == 1
    assert shown.count(b"\n") == 1
    assert b"\x1b" not in shown
    assert "\u202e".encode() not in shown


def test_damage_is_said_and_the_rest_is_listed(small: bytes, tmp_path: Path) -> None:
    """The directory lies behind the end of the disc."""
    made = Disc(rock=True)
    made.root.file(b"FILE.;1", b"whole", system_use=rock(b"file"))
    lost = px(DIRECTORY | 0o755) + nm(b"lost")
    made.root.add(record(b"LOST", 50_000, SECTOR, flags=2, system_use=lost))
    path = tmp_path / "x.iso"
    path.write_bytes(made.build())
    assert succeeds("ls", path) == b"file\nlost\n"
    for options in (["-R"], ["-l"], ["-lR"]):
        done = isofs("ls", *options, path)
        assert done.returncode == 32
        assert b"file\n" in done.stdout
        said = done.stderr.decode()
        assert said.startswith(f"isofs: {path}: lost: ")
        assert said.count("\n") == 1


# --- cat ------------------------------------------------------------------------------------------------------------


def test_cat_writes_the_file(disc: Path, source: Path) -> None:
    assert succeeds("cat", disc, "data.bin") == (source / "data.bin").read_bytes()
    assert succeeds("cat", disc, "empty") == b""
    assert succeeds("cat", disc, "/Grüße 漢字.txt") == b"unicode"


def test_cat_follows_links_within_the_disc(image: Path) -> None:
    assert succeeds("cat", image, "to inner") == b"inner"
    assert succeeds("cat", image, "to folder/inner") == b"inner"
    assert "no such file on the disc" in fails(1, "cat", image, "out")
    assert "too many symbolic links" in fails(1, "cat", image, "loop")


def test_cat_of_a_directory_is_one_line_and_1(image: Path) -> None:
    assert "not a regular file on the disc: folder" in fails(1, "cat", image, "folder")


@pytest.mark.parametrize("words", [["ls"], ["ls", "-R"], ["extract"]])
def test_a_name_that_is_lost_is_said_and_makes_the_exit_code_32(tmp_path: Path, target: Path, words: list[str]) -> None:
    made = Disc(sectors=1)
    made.root.file(b"BEFORE.;1", b"before")
    made.root.add(b"\x14" + b"lost" * 10)
    made.root.file(b"AFTER.;1", b"after")
    image = tmp_path / "damaged.iso"
    image.write_bytes(made.build())
    done = isofs(*words, image, *([target] if words == ["extract"] else []))
    assert done.returncode == 32
    assert re.fullmatch(
        rf"isofs: {image}: warning: byte \d+: a damaged directory record was passed over\n", done.stderr.decode()
    )
    found = sorted(os.listdir(target)) if words == ["extract"] else done.stdout.decode().split()
    assert sorted(found) == ["after", "before"]


def test_cat_of_damage_is_one_line_and_32(damaged: Path) -> None:
    done = isofs("cat", damaged, "big")
    assert done.returncode == 32
    assert re.fullmatch(rf"isofs: {damaged}: .*block \d+ .*\n", done.stderr.decode())
    assert b"".join(map(numbered_sector, range(200))).startswith(done.stdout)


# --- extract --------------------------------------------------------------------------------------------------------


def tree_of(root: Path) -> dict[str, tuple[object, ...]]:
    """Type, permissions without set-id bits, time, size, links and content of everything below a directory."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            status = path.lstat()
            more: object = None
            if path.is_symlink():
                more = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                more = (status.st_nlink, path.read_bytes())
            elif not stat.S_ISDIR(status.st_mode):
                more = status.st_rdev
            found[str(path.relative_to(root))] = (
                stat.S_IFMT(status.st_mode),
                oct(stat.S_IMODE(status.st_mode) & 0o777),
                status.st_mtime_ns // 10**9,
                more,
            )
    return found


def test_extract_makes_the_tree(disc: Path, source: Path, target: Path) -> None:
    assert succeeds("extract", disc, target) == b""
    expected = tree_of(source)
    found = tree_of(target)
    assert sorted(found) == sorted(expected)
    for path, known in expected.items():
        if known[0] in (stat.S_IFCHR, stat.S_IFBLK):  # a strange device is the owner's alone, and of no time
            assert (found[path][0], found[path][1], found[path][3]) == (known[0], "0o600", known[3]), path
        else:
            assert found[path] == known, path


def test_extract_makes_hard_links(disc: Path, target: Path) -> None:
    succeeds("extract", disc, target)
    assert os.path.samefile(target / "readme.txt", target / "hard link")


def test_extract_leaves_out_set_id_bits(disc: Path, source: Path, target: Path) -> None:
    assert (source / "suid").stat().st_mode & stat.S_ISUID
    succeeds("extract", disc, target)
    assert not (target / "suid").stat().st_mode & (stat.S_ISUID | stat.S_ISGID)


@pytest.mark.parametrize("path", ["/", ".", "", "/./", "folder/.."])
def test_extract_of_the_root_makes_what_is_in_it(image: Path, target: Path, path: str) -> None:
    succeeds("extract", image, path, target)
    assert (target / "folder" / "inner").read_bytes() == b"inner"
    assert (target / "big").exists()


@pytest.mark.parametrize("path", ["folder", "/folder", "folder/", "./folder", "folder/../folder", "to folder"])
def test_extract_of_a_directory_makes_it_and_what_is_below(image: Path, target: Path, path: str) -> None:
    succeeds("extract", image, path, target)
    name = "to folder" if path == "to folder" else "folder"
    assert sorted(str(found.relative_to(target)) for found in target.rglob("*")) == [name, f"{name}/inner"]


@pytest.mark.parametrize("path", ["folder/inner", "/folder/inner", "folder/./inner", "to folder/inner"])
def test_extract_of_a_file_makes_the_file(image: Path, target: Path, path: str) -> None:
    succeeds("extract", image, path, target)
    assert [found.name for found in target.iterdir()] == ["inner"]
    assert (target / "inner").read_bytes() == b"inner"
    assert (target / "inner").stat().st_mtime_ns == TIME_NS


def test_extract_of_a_missing_path_makes_nothing(image: Path, target: Path) -> None:
    assert "no such file on the disc: missing" in fails(1, "extract", image, "missing", target)
    assert not target.exists()


def test_directories_have_their_times_though_files_were_made_in_them(tmp_path: Path, target: Path) -> None:
    made = Disc(rock=True)
    folder = made.root.directory(
        b"F",
        system_use=px(DIRECTORY | 0o500) + nm(b"f"),
        own_use=px(DIRECTORY | 0o500),
    )
    folder.file(b"A.;1", b"a", system_use=px(stat.S_IFREG | 0o400) + nm(b"a") + tf(2, bytes((70, 1, 2, 3, 4, 5, 0))))
    path = tmp_path / "x.iso"
    path.write_bytes(made.build())
    succeeds("extract", path, target)
    assert (target / "f").stat().st_mtime_ns == TIME_NS
    assert oct((target / "f").stat().st_mode) == "0o40500"
    assert oct((target / "f" / "a").stat().st_mode) == "0o100400"
    assert (target / "f" / "a").stat().st_mtime == 97_445


def test_extract_into_a_file_is_one_line_and_1(image: Path, target: Path) -> None:
    target.touch()
    assert fails(1, "extract", image, target).startswith(f"{target}: ")


def untouched(path: Path) -> tuple[int, ...]:
    """What changes when a file is written to or replaced (reading it changes only the time of access)."""
    status = path.stat()
    return status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def test_nothing_that_exists_is_overwritten(image: Path, target: Path) -> None:
    target.mkdir()
    (target / "big").write_bytes(b"mine")
    (target / "to inner").write_bytes(b"mine too")
    before = untouched(target / "big")
    done = isofs("extract", image, target)
    assert done.returncode == 32
    assert sorted(lines(done.stderr)) == [
        f"isofs: {image}: big: File exists",
        f"isofs: {image}: to inner: File exists",
    ]
    assert (target / "big").read_bytes() == b"mine"
    assert untouched(target / "big") == before
    assert (target / "to inner").read_bytes() == b"mine too"
    assert (target / "folder" / "inner").read_bytes() == b"inner"


def test_extracting_again_overwrites_nothing_and_says_so(image: Path, target: Path) -> None:
    succeeds("extract", image, target)
    first = tree_of(target)
    done = isofs("extract", image, target)
    assert done.returncode == 32
    assert all(line.endswith("File exists") for line in lines(done.stderr))
    assert tree_of(target) == first


def test_a_link_in_the_way_of_a_file_is_not_followed(image: Path, target: Path, tmp_path: Path) -> None:
    target.mkdir()
    (target / "big").symlink_to(tmp_path / "outside")
    assert isofs("extract", image, target).returncode == 32
    assert not (tmp_path / "outside").exists()
    assert (target / "big").is_symlink()


def test_a_link_in_the_way_of_a_directory_is_not_followed(image: Path, target: Path, tmp_path: Path) -> None:
    """Neither is anything made behind it, nor does what it leads to get other permissions and times."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o711)
    os.utime(outside, (1, 1))
    target.mkdir()
    (target / "folder").symlink_to(outside)
    done = isofs("extract", image, target)
    assert done.returncode == 32
    assert list(outside.iterdir()) == []
    assert (oct(outside.stat().st_mode), outside.stat().st_mtime) == ("0o40711", 1)
    assert (target / "folder").is_symlink()
    assert (target / "big").exists()


def test_a_disc_cannot_write_through_its_own_link(tmp_path: Path, target: Path) -> None:
    """A link and a directory of one name: whichever is shown, nothing is made outside."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o711)
    parts = [component(flags=8), *(component(os.fsencode(part)) for part in outside.parts[1:])]
    for first in ("link", "directory"):
        made = Disc(rock=True)
        if first == "link":
            made.root.file(b"A.;1", system_use=link(b"x", *parts))
        folder = made.root.rock_directory(b"B", b"x")
        folder.file(b"EVIL.;1", b"evil", system_use=rock(b"evil"))
        if first == "directory":
            made.root.file(b"C.;1", system_use=link(b"x", *parts))
        path = tmp_path / f"{first}.iso"
        path.write_bytes(made.build())
        isofs("extract", path, target / first)
        assert list(outside.iterdir()) == []
        assert oct(outside.stat().st_mode) == "0o40711"


@pytest.mark.parametrize("name", [b"../evil", b"/evil", b"..", b".", b"a/b"])
def test_names_on_the_disc_cannot_lead_out_of_the_directory(tmp_path: Path, name: bytes) -> None:
    made = Disc(rock=True)
    made.root.file(b"EVIL.;1", b"evil", system_use=rock(name))
    path = tmp_path / "x.iso"
    path.write_bytes(made.build())
    inside = tmp_path / "one" / "two"
    isofs("extract", path, inside)
    assert not (tmp_path / "one" / "evil").exists()
    assert not Path("/evil").exists()
    assert all(not found.is_dir() for found in inside.iterdir())


def test_a_file_that_cannot_be_read_is_said_and_left_out(damaged: Path, target: Path) -> None:
    done = isofs("extract", damaged, target)
    assert done.returncode == 32
    (said,) = lines(done.stderr)
    assert said.startswith(f"isofs: {damaged}: big: ")
    assert "block" in said
    assert not (target / "big").exists(), "no half files"
    assert (target / "folder" / "inner").read_bytes() == b"inner"


def test_names_in_errors_cannot_steer_a_terminal(image: Path, target: Path) -> None:
    target.mkdir()
    (target / os.fsdecode(HOSTILE)).touch()
    code, shown = on_terminal(command("extract", image, target), out=False)
    assert code == 32
    assert SHOWN in shown
    assert HOSTILE not in shown


def test_the_bar_is_for_terminals_only(image: Path, tmp_path: Path) -> None:
    code, shown = on_terminal(command("extract", image, tmp_path / "one"), out=False)
    assert code == 0
    assert b"%|" in shown
    assert succeeds("extract", image, tmp_path / "two") == b""
    code, shown = on_terminal(command("extract", image, tmp_path / "three"), err=False)
    assert (code, shown) == (0, b"")


def test_extract_works_where_the_bar_cannot_be_had(image: Path, target: Path) -> None:
    """tqdm may be missing in a package of a distribution."""
    program = "import sys; sys.modules['tqdm'] = None; from isofs.cli import main; sys.exit(main(sys.argv[1:]))"
    code, shown = on_terminal([sys.executable, "-c", program, "extract", str(image), str(target)], out=False)
    assert (code, shown) == (0, b"")
    assert (target / "big").exists()


@as_root
def test_a_full_file_system_is_said_in_one_line(image: Path, target: Path) -> None:
    require(PRIVATE_MOUNTS)
    target.mkdir()
    words = command("extract", image, target)
    script = 'mount -t tmpfs -o size=64k tmpfs "$1" || exit 99; shift; exec "$@"'
    done = subprocess.run(
        [*IN_PRIVATE, "sh", "-c", script, "sh", target, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 2
    (said,) = lines(done.stderr)
    assert "no space left" in said


# --- view options ---------------------------------------------------------------------------------------------------


def test_view_options_serve_every_command(disc: Path, target: Path) -> None:
    plain = ["-o", "norock,nojoliet,map=off"]
    assert "README.TXT;1" in lines(succeeds("ls", *plain, disc))
    assert succeeds("cat", *plain, disc, "README.TXT;1") == b"hello\n"
    assert told(succeeds("info", *plain, disc))["tree"] == "ISO 9660"
    succeeds("extract", *plain, disc, "README.TXT;1", target)
    assert (target / "README.TXT;1").read_bytes() == b"hello\n"


def test_view_options_choose_joliet(disc: Path) -> None:
    assert told(succeeds("info", disc, "-o", "norock"))["tree"] == "Joliet"
    assert "Grüße 漢字.txt" in lines(succeeds("ls", disc, "-o", "norock"))


def test_view_options_set_owners_and_modes(disc: Path) -> None:
    for line in lines(succeeds("ls", "-l", disc, "-o", "uid=12,gid=34,umask=077")):
        assert line.split()[2:4] == ["12", "34"]
        assert line[0] == "l" or line[4:10] == "------"


def test_options_may_be_repeated(disc: Path) -> None:
    said = succeeds("ls", "-l", disc, "readme.txt", "-o", "uid=12,gid=34", "-o", "uid=56")
    assert said.split()[2:4] == [b"56", b"34"]


# --- where the output goes ------------------------------------------------------------------------------------------


def piped(*args: str | Path, reads: int) -> tuple[int, bytes]:
    """Runs a command whose reader takes some bytes and leaves. Its exit code and stderr."""
    process = subprocess.Popen(command(*args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    if reads:
        process.stdout.read(reads)
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    return process.wait(timeout=LIMIT), said


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disc whose listing is longer than a pipe holds."""
    made = Disc(rock=True, sectors=200)
    for i in range(3000):
        made.root.file(b"F%d.;1" % i, extent=0, system_use=rock(b"a file of a long name, number %05d" % i))
    path = tmp_path_factory.mktemp("wide") / "wide.iso"
    path.write_bytes(made.build())
    return path


@pytest.mark.parametrize("reads", [0, 10])
@pytest.mark.parametrize("words", [["ls"], ["ls", "-l"], ["ls", "-R"]])
def test_a_reader_that_has_seen_enough_is_no_error_to_speak_of(wide: Path, words: list[str], reads: int) -> None:
    assert piped(*words, wide, reads=reads)[1] == b""


@pytest.mark.parametrize("reads", [0, 10])
def test_a_reader_of_cat_may_leave(image: Path, reads: int) -> None:
    assert piped("cat", image, "big", reads=reads)[1] == b""


@pytest.mark.parametrize("words", [["--help"], ["ls", "--help"], ["--version"], ["list"]])
def test_a_reader_that_reads_nothing_is_no_error_to_speak_of(words: list[str]) -> None:
    assert piped(*words, reads=0)[1] == b""


def test_head_in_a_shell(wide: Path) -> None:
    words = " ".join(f"'{os.fsdecode(word)}'" for word in command("ls", "-R", wide))
    done = subprocess.run(["sh", "-c", f"{words} | head -1"], capture_output=True, timeout=LIMIT, check=False)
    assert (done.stdout, done.stderr) == (b"a file of a long name, number 00000\n", b"")


@pytest.mark.parametrize(
    "words", [["ls", "IMAGE"], ["cat", "IMAGE", "big"], ["info", "IMAGE"], ["--help"], ["--version"]]
)
def test_output_that_cannot_be_written_is_an_error_of_one_line(image: Path, words: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command(*(image if word == "IMAGE" else word for word in words)),
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=LIMIT,
            check=False,
        )
    said = done.stderr.decode()
    assert done.returncode != 0
    assert "internal error" not in said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert said.startswith("isofs: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", [["ls", "IMAGE"], ["cat", "IMAGE", "big"], ["info", "IMAGE"], ["list"]])
def test_closed_output_is_no_bug(image: Path, words: list[str]) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command(*(image if word == "IMAGE" else word for word in words))],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=LIMIT,
        check=False,
    )
    assert b"internal error" not in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_interrupt_ends_it_quietly(image: Path, tmp_path: Path) -> None:
    """cat is held up by a full pipe."""
    process = subprocess.Popen(
        command("cat", image, "big"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 8
    assert said == b""


def test_errors_do_not_depend_on_the_locale(tmp_path: Path) -> None:
    for locale in ("C", "C.UTF-8", "POSIX"):
        done = isofs("ls", tmp_path / "Grüße\udcff.iso", env={"LC_ALL": locale, "PYTHONUTF8": "0"})
        assert done.returncode == 32
        assert done.stderr.count(b"\n") == 1
        assert b"no such file or directory" in done.stderr


def test_names_do_not_depend_on_the_locale(disc: Path) -> None:
    for locale in ("C", "POSIX"):
        done = isofs("ls", disc, env={"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
        assert done.returncode == 0
        assert "Grüße 漢字.txt\n".encode() in done.stdout
        done = isofs(
            "cat", disc, "Grüße 漢字.txt", env={"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        )
        assert done.stdout == b"unicode"


# --- the program ----------------------------------------------------------------------------------------------------


def test_the_installed_program_is_the_same() -> None:
    program = shutil.which("isofs", path=os.path.dirname(sys.executable))
    if program is None:
        pytest.skip("isofs is not installed as a program beside the interpreter")
    done = subprocess.run([program, "--version"], capture_output=True, timeout=LIMIT, check=True)
    assert done.stdout == succeeds("--version")
