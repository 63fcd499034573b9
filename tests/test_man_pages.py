"""The man pages say what is: every command, argument, option and default, and none besides."""

from __future__ import annotations

import re
import subprocess
from argparse import SUPPRESS, Action, ArgumentParser, _HelpAction, _SubParsersAction
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from writers.tools import require

from isofs import errors
from isofs.cli import build_parser, helper
from isofs.mount.options import OPTIONS, parse_options, shown_options

_ROOT: Final = Path(__file__).resolve().parent.parent
_PAGES: Final = sorted((_ROOT / "man").iterdir())
_COMMAND: Final = (_ROOT / "man" / "isofs.1").read_text(encoding="utf-8")
_HELPER: Final = (_ROOT / "man" / "mount.isofs.8").read_text(encoding="utf-8")


def section(page: str, title: str, macro: str = "Sh") -> str:
    """The source of a section."""
    found = re.search(rf"(?ms)^\.{macro} {re.escape(title)}\n(.*?)(?=^\.S[hs] |\Z)", page)
    assert found is not None, f"no section {title}"
    return found[1]


def items(text: str) -> dict[str, str]:
    """What a list describes, and how."""
    found = re.findall(r"(?ms)^\.It ([^\n]+)\n(.*?)(?=^\.It |^\.El)", text)
    assert len(dict(found)) == len(found), "an item stands twice"
    return dict(found)


def named(text: str) -> set[str]:
    """Option names in running text."""
    return {word for line in re.findall(r"(?m)^\.Cm (.+)", text) for word in re.findall(r"\w[-\w]*", line)}


# --- options --------------------------------------------------------------------------------------------------------


def test_each_option_stands_with_its_value_and_default_in_the_order_of_the_table() -> None:
    described = []
    for head, body in items(section(_HELPER, "OPTIONS")).items():
        form = re.fullmatch(r"Cm (\w+)(?: Ns = Ns Ar (\S+))?", head)
        default = re.search(r"(?m)^Default: (.+)\.$", body)
        assert form is not None, head
        assert default is not None, head
        assert body.index("Default:") > 20, f"{head}: its meaning is missing"
        described.append((form[1], form[2] or "", default[1]))
    assert described == [(option.name, option.value, option.default) for option in shown_options()]


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ("Always in force", {("dropped", "on")}),
        ("Accepted and without effect", {("dropped", "")}),
        ("Without effect, which is said", {("unused", "")}),
        ("Refused", {("refused", "")}),
    ],
)
def test_options_that_nobody_chooses_are_listed_by_what_becomes_of_them(
    words: str, kinds: set[tuple[str, str]]
) -> None:
    found = re.search(rf"(?ms)^{words}.*?(?=^\.Pp|^\.Sh|^Without effect, which|\Z)", section(_HELPER, "OPTIONS"))
    assert found is not None
    expected = {option.name for option in OPTIONS if (option.kind, option.default) in kinds}
    assert expected
    assert named(found[0]) - {"x-", "X-"} == expected


def test_options_of_examples_are_accepted() -> None:
    texts = [
        text
        for page in (_COMMAND, _HELPER)
        for text in re.findall(r"(?m)^(?:mount|isofs|systemd-mount|\.Ql) (?:.* )?-o (\S+)", page)
    ]
    texts += re.findall(r"(?m)^/\S+  /\S+  isofs  (\S+)", _HELPER)
    assert len(texts) > 5
    for text in texts:
        parse_options([text.replace("alice", "1000").replace("\\(dq", '"').replace("\\(aq", "").removesuffix("\\e")])


# --- commands -------------------------------------------------------------------------------------------------------


def commands() -> dict[str, ArgumentParser]:
    """The parser of each command."""
    (found,) = (action for action in build_parser()._actions if isinstance(action, _SubParsersAction))
    return dict(found.choices)


def arguments(parser: ArgumentParser) -> Iterator[Action]:
    """What a parser takes, but for help and subcommands."""
    for action in parser._actions:
        if not isinstance(action, _HelpAction | _SubParsersAction) and action.help != SUPPRESS:
            yield action


def flag(word: str) -> str:
    """An option string in mdoc."""
    return f"Fl Fl {word[2:]}" if word.startswith("--") else f"Fl {word[1:]}"


def value(action: Action) -> str:
    """The value of an option in mdoc, with a blank in front, or nothing."""
    return "" if action.nargs == 0 else f" Ar {action.metavar}"


def synopsis(parser: ArgumentParser) -> list[str]:
    """The lines of a synopsis in mdoc, sorted but for the arguments at the end."""
    optional, positional = [], []
    for action in arguments(parser):
        if action.option_strings:
            optional.append(f".Op {flag(action.option_strings[0])}{value(action)}")
        else:
            positional.append(f".Op Ar {action.metavar}" if action.nargs == "?" else f".Ar {action.metavar}")
    return sorted(optional) + positional


def test_the_synopsis_has_each_command_with_its_arguments() -> None:
    described = {}
    for part in section(_COMMAND, "SYNOPSIS").split(".Nm\n")[1:]:
        name, *lines = part.splitlines()
        flags = [line for line in lines if line.startswith(".Op Fl")]
        described[name] = sorted(flags) + [line for line in lines if line not in flags]
    del described[".Op Fl h"]  # of none
    assert described == {f".Cm {name}": synopsis(parser) for name, parser in commands().items()}


@pytest.mark.parametrize("name", list(commands()))
def test_a_command_is_described_with_each_flag(name: str) -> None:
    text = section(_COMMAND, name, "Ss")
    assert re.match(r"[A-Z]\w+ ", text), "what it does is not said"
    expected = {
        " , ".join(map(flag, action.option_strings)) + value(action)
        for action in arguments(commands()[name])
        if action.option_strings and action.dest != "options"  # -o stands in a section of its own
    }
    described = items(text)
    assert set(described) == expected
    assert all(re.match(r"[A-Z]\w+", body) for body in described.values())


def test_the_helper_is_described_with_each_flag() -> None:
    """In the synopsis flags without a value stand together."""
    parser = helper.build_parser("mount.isofs")
    expected = {
        " , ".join(map(flag, action.option_strings)) + value(action)
        for action in parser._actions
        if action.option_strings
    }
    assert set(items(section(_HELPER, "DESCRIPTION"))) == expected
    lines = section(_HELPER, "SYNOPSIS").split(".Nm")[1].splitlines()[1:]
    (flags,) = (line for line in lines if re.fullmatch(r"\.Op Fl \w+", line))
    described = {f"Fl {letter}" for letter in flags.split()[-1]}
    described |= {line.removeprefix(".Op ") for line in lines if line.startswith(".Op ") and line != flags}
    assert described == expected - {"Fl Fl help"}


def test_no_command_is_described_that_does_not_exist() -> None:
    assert re.findall(r"(?m)^\.Ss (.+)$", _COMMAND) == list(commands())
    examples = re.findall(r"(?m)^isofs (\S+)", section(_COMMAND, "EXAMPLES"))
    assert examples
    assert set(examples) <= set(commands())


def test_flags_of_examples_exist() -> None:
    parser = build_parser()
    for line in re.findall(r"(?m)^isofs (.+)", section(_COMMAND, "EXAMPLES")):
        parser.parse_args(line.split())


# --- the rest -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [_COMMAND, _HELPER])
def test_exit_codes_are_those_of_the_code(page: str) -> None:
    listed = {int(code) for code in items(section(page, "EXIT STATUS"))}
    assert listed == {code for name, code in vars(errors).items() if name.startswith("EXIT_")}


def test_the_environment_is_what_the_code_asks_for() -> None:
    code = "\n".join(module.read_text(encoding="utf-8") for module in (_ROOT / "isofs").rglob("*.py"))
    asked = set(re.findall(r'environ\.(?:get|pop)\("(\w+)"', code))
    assert len(asked) > 3
    assert {head.removeprefix("Ev ") for head in items(section(_COMMAND, "ENVIRONMENT"))} == asked


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_mandoc_has_nothing_to_say(page: Path) -> None:
    """But for pages that are not installed on this machine."""
    words = [require("mandoc"), "-Tlint", "-Wall", str(page)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    said = [line for line in done.stdout.splitlines() if "referenced manual not found" not in line]
    assert said == []
