"""What commands upon an image have in common: its argument, `-o`, and opening it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .parser import Parser

if TYPE_CHECKING:
    from ..image import Image
    from ..mount.options import Options
    from ..volume.tree import Finding, Volume


def add_image(parser: Parser) -> None:
    """The image and its view options."""
    parser.add_argument("image", metavar="IMAGE", help="disc image or its sheet: ISO, CSO, CHD, CUE, ...")
    parser.add_argument(
        "-o", dest="options", metavar="OPTIONS", action="append", default=[], help="options, see below; may be repeated"
    )
    parser.more_help = _option_help


def _option_help() -> str:
    from ..mount.options import help_text

    return help_text()


@contextmanager
def opened_image(args: Namespace, options: Options | None = None) -> Iterator[tuple[Image, Options]]:
    """The image and the options of a command line, unless they were parsed already; nothing is said about it yet."""
    from ..image import open_image
    from ..mount.options import parse_options
    from .progress import progress

    options = options or parse_options(args.options)
    wishes = options.wishes._replace(progress=progress)
    with open_image(args.image, cache=options.cache, threads=options.threads, wishes=wishes) as image:
        yield image, options


@contextmanager
def opened(args: Namespace, options: Options | None = None) -> Iterator[tuple[Image, Volume, Options]]:
    """The image, its tree and the options of a command line, unless they were parsed already.

    Warnings and findings go to stderr.
    """
    from ..volume import open_volume
    from .output import warn

    with opened_image(args, options) as (image, options):
        volume = open_volume(image, options.view)

        def report(finding: Finding) -> None:
            warn(image.path, f"byte {finding.offset}: {finding.words}")

        for name in options.unused:
            warn(image.path, f"option {name} has no effect")
        for words in image.warnings:
            warn(image.path, words)
        for finding in volume.findings.found:
            report(finding)
        volume.findings.report = report
        yield image, volume, options
