"""What pyproject.toml cannot say: the completions for shells are made when the package is built, by shtab.

They hold what `isofs --help` tells: commands, options, the words of `-o`. Files are offered for images, directories for
mount points.
"""

from __future__ import annotations

import sys
from argparse import Action, ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

import shtab
from setuptools import setup  # type: ignore[import-untyped]
from setuptools.command.build_py import build_py  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # the package that is built

FILES = {"bash": "isofs", "zsh": "_isofs", "fish": "isofs.fish"}
"""The names by which shells look for completions of `isofs`."""

KINDS = {
    "IMAGE": shtab.FILE,
    "OUT": shtab.FILE,
    "MOUNTPOINT": shtab.DIRECTORY,
    "DIRECTORY": shtab.DIRECTORY,
    "DIR": shtab.DIRECTORY,
}
"""What is offered for an argument, by its name in the help."""

BASH_OPTIONS = """
_isofs_mount_options() {
  local before=
  [[ $1 == *,* ]] && before=${1%,*},
  compgen -P "$before" -W WORDS -- "${1##*,}"
}
"""
"""The last word of a list with commas."""

BASH = """

# bash splits words at "=" and ":", isofs does not: the words are put together, and of the answer only the end is given.
_isofs() {
  local rest=$COMP_LINE next word before="" cword=0 i
  local -a words=()
  for (( i = 0; i < ${#COMP_WORDS[@]}; i++ )); do
    word=${COMP_WORDS[i]}
    next=${rest#"${rest%%[![:space:]]*}"}
    if (( i == 0 )) || [[ $rest != "$next" ]]; then
      words+=("$word")
      before=""
    else
      before=${words[-1]}
      words[-1]+=$word
    fi
    rest=${next#"$word"}
    if (( i == COMP_CWORD )); then
      [[ $word == [=:] ]] && before+=$word
      cword=$(( ${#words[@]} - 1 ))
      break
    fi
  done
  local COMP_CWORD=$cword
  local -a COMP_WORDS=("${words[@]}")
  _shtab_isofs
  COMPREPLY=("${COMPREPLY[@]#"$before"}")
  [[ ${COMPREPLY[*]} == *= ]] && compopt -o nospace 2>/dev/null
  return 0
}
complete -o bashdefault -F _isofs isofs
"""

ZSH_OPTIONS = """
_isofs_mount_options() {
  _values -s , "mount option" WORDS
}
"""

FISH_OPTIONS = """
function _isofs_mount_options
  printf '%s\\t%s\\n' WORDS
end
"""


def completion(shell: str) -> str:
    """The text of a shell's completions: bash, zsh or fish."""
    from isofs.cli import build_parser

    parser = build_parser()
    mount_options = {
        "bash": "_isofs_mount_options",
        "zsh": "_isofs_mount_options",
        "fish": "(__fish_complete_list , _isofs_mount_options)",
        "preamble": {
            "bash": BASH_OPTIONS.replace("WORDS", quote(" ".join(word for word, _ in words()))),
            "zsh": ZSH_OPTIONS.replace("WORDS", " ".join(map(quote, zsh_values()))),
            "fish": FISH_OPTIONS.replace("WORDS", " ".join(fish_quote(part) for pair in words() for part in pair)),
        },
    }
    for action in actions(parser):
        kind: Any = mount_options if "-o" in action.option_strings else KINDS.get(str(action.metavar))
        if kind:
            action.complete = kind  # type: ignore[attr-defined] # shtab looks for it
    made: str = shtab.complete(parser, shell)
    return made + BASH if shell == "bash" else made


def actions(parser: ArgumentParser) -> Iterator[Action]:
    """All arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action.choices, dict):
            for command in action.choices.values():
                yield from actions(command)


def words() -> Iterator[tuple[str, str]]:
    """What may be written behind `-o`, and its meaning: `norock`, `uid=`, `map=off`."""
    from isofs.mount.options import shown_options

    for option in shown_options():
        if not option.value:
            yield option.name, option.meaning
        for value in dict.fromkeys(choice if choice.islower() else "" for choice in option.value.split("|")):
            if option.value:
                yield f"{option.name}={value}", option.meaning


def zsh_values() -> Iterator[str]:
    """The same for zsh's `_values`."""
    from isofs.mount.options import shown_options

    for option in shown_options():
        meaning = "".join(f"\\{char}" if char in "[]:\\" else char for char in option.meaning)
        choices = [choice for choice in option.value.split("|") if choice.islower()]
        value = f":{option.value}:({' '.join(choices)})" if option.value else ""
        yield f"{option.name}[{meaning}]{value}"


def fish_quote(text: str) -> str:
    """A word for fish."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class BuildWithCompletions(build_py):  # type: ignore[misc]
    """Makes the completions in the source folder, first: from there they go into wheels; editable installs use them."""

    def run(self) -> None:
        """Builds."""
        folder = ROOT / "isofs" / "share" / "completions"
        folder.mkdir(exist_ok=True)
        for shell, name in FILES.items():
            (folder / name).write_text(completion(shell), encoding="utf-8")
        super().run()


if __name__ == "__main__":
    setup(cmdclass={"build_py": BuildWithCompletions})
