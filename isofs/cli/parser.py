"""The argument parser: argparse with errors of one line, and help that is made when it is shown."""

from __future__ import annotations

import os
import shlex
import sys
from argparse import Action, ArgumentParser, _SubParsersAction
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from ..errors import EXIT_USAGE, UsageError
from .output import shown

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


class Parser(ArgumentParser):
    """`more_help` gives text to stand below the help: no other command line pays for making it."""

    more_help: Callable[[], str] | None = None

    def format_help(self) -> str:
        """The help, and more."""
        text = super().format_help()
        return f"{text}\n{self.more_help()}\n" if self.more_help else text

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Writes the help; unlike argparse's an output that cannot be written is an error."""
        (file or sys.stdout).write(self.format_help())

    def _check_value(self, action: Action, value: str) -> None:
        """Of a word that is no command argparse would list all that there are."""
        if isinstance(action, _SubParsersAction) and value not in action.choices:
            if os.path.lexists(value):
                remedy = f"run: {self.prog} mount {shlex.quote(value)} MOUNTPOINT"
                raise UsageError("a file, not a command", remedy, path=value)
            self.error(f"no such command: {value}")
        super()._check_value(action, value)

    def error(self, message: str) -> NoReturn:
        """One line and mount(8)'s exit code instead of argparse's two and 2."""
        print(f"isofs: {shown(message)}; see {self.prog} --help", file=sys.stderr)
        sys.exit(EXIT_USAGE)
