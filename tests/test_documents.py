"""What is written is true: README, demo disc, package list."""

from __future__ import annotations

import hashlib
import re
import stat
import tomllib
from pathlib import Path

from isofs import errors, open_image, open_volume
from isofs.cli import COMMANDS, build_parser
from isofs.mount.options import OPTIONS, help_text, parse_options, shown_options
from isofs.volume.tree import ROOT, walk

ROOT_FOLDER = Path(__file__).resolve().parent.parent
README = (ROOT_FOLDER / "README.md").read_text(encoding="utf-8")


def test_readme_names_every_command() -> None:
    for command in COMMANDS:
        assert f"isofs {command}" in README


def test_readme_names_no_other_command() -> None:
    assert set(re.findall(r"(?m)^isofs ([a-z][\w-]*)|`isofs ([a-z][\w-]*)", README)) <= {
        pair for command in COMMANDS for pair in ((command, ""), ("", command))
    }


def test_options_of_the_readme_are_accepted() -> None:
    examples = re.findall(r"-o ([a-z_=,0-9M]+)", README)
    assert examples
    for words in examples:
        parse_options([words.replace("uid=alice", "uid=1000")])


def test_exit_codes_of_the_readme_are_those_of_the_code() -> None:
    listed = {int(code) for code in re.findall(r"(?m)^\| (\d+) \|", README)}
    assert listed == {value for name, value in vars(errors).items() if name.startswith("EXIT_")}


def test_every_error_has_a_row_in_the_table_of_errors() -> None:
    assert errors.__doc__ is not None
    rows = {name: int(code) for name, code in re.findall(r"\| `(\w+)` \|[^|]+\| (\d+) \|", errors.__doc__)}
    classes = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.IsofsError) and kind is not errors.IsofsError
    }
    assert rows == classes


def test_help_shows_every_option_that_a_person_chooses() -> None:
    text = help_text()
    for option in OPTIONS:
        shown = re.search(rf"(?m)^  {option.name}(=| |$)", text) is not None
        assert shown == (option in shown_options())


def test_help_of_every_command_is_made() -> None:
    assert all(command in build_parser().format_help() for command in COMMANDS)


def test_the_demo_disc_holds_what_its_checksums_say() -> None:
    disc = ROOT_FOLDER / "docs" / "demo" / "demo.cso"
    lines = disc.with_suffix(".cso.sha256").read_text(encoding="utf-8").splitlines()
    wanted = {name.removeprefix("./"): digest for digest, name in (line.split("  ", 1) for line in lines)}
    found = {}
    with open_image(str(disc)) as image:
        assert not image.warnings
        volume = open_volume(image)
        for step in walk(volume, volume.attributes(ROOT)):
            assert step.attributes is not None
            if stat.S_ISREG(step.attributes.mode):
                data = volume.data(step.attributes.inode)
                found[step.path.decode()] = hashlib.sha256(data.pread(data.size, 0)).hexdigest()
    assert found == wanted


def test_every_package_is_installed() -> None:
    project = tomllib.loads((ROOT_FOLDER / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {path.parent for path in (ROOT_FOLDER / "isofs").rglob("*.py")}
    names = {".".join(folder.relative_to(ROOT_FOLDER).parts) for folder in folders}
    assert set(project["tool"]["setuptools"]["packages"]) == names
