"""The table of rows: what is measured, on which image, beside whom."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from . import measures
from .figures import Better
from .measures import Measure

SECOND_READAHEAD: Final = 1024
_READAHEAD: Final = 128
"""KiB, what Linux reads ahead where nobody changed it."""


class Peer(NamedTuple):
    """A program beside ours that mounts the same tree."""

    label: str
    tool: str
    """The program that must be installed."""
    command: tuple[str, ...]
    image: str = ""
    """Its image; empty for the very one that ours mounts."""
    root: bool = False
    """Whether only root can run it."""


class Plan(NamedTuple):
    """One row, or two: a name for each figure of the measure."""

    name: str
    title: str
    unit: str
    better: Better
    image: str
    measure: Measure
    figures: tuple[str, ...] = ("",)
    peers: tuple[Peer, ...] = ()
    readahead: int | None = None
    """KiB; None leaves what the mount has."""
    codec: str = ""
    """Of the program in C that decodes the same blocks, if there is one."""
    compare: bool = False
    """Whether data of ours are compared with the tree."""

    @property
    def images(self) -> set[str]:
        """The images that the row needs."""
        return {self.image, *(peer.image or self.image for peer in self.peers)}

    @property
    def needs_root(self) -> bool:
        """Whether a user cannot measure this."""
        return self.readahead == SECOND_READAHEAD


FUSEISO: Final = Peer("fuseiso", "fuseiso", ("fuseiso", "-n", "{image}", "{dir}"))
SQUASHFUSE_128K: Final = Peer("squashfuse 128K", "squashfuse", ("squashfuse", "{image}", "{dir}"), "squashfs128k")
SQUASHFUSE_4K: Final = Peer("squashfuse 4K", "squashfuse", ("squashfuse", "{image}", "{dir}"), "squashfs4k")
KERNEL: Final = Peer(
    "kernel squashfs 128K",
    "mount",
    ("mount", "-t", "squashfs", "-o", "loop,ro", "{image}", "{dir}"),
    "squashfs128k",
    root=True,
)
PEERS: Final = (FUSEISO, SQUASHFUSE_128K, SQUASHFUSE_4K, KERNEL)
_SQUASHFS: Final = (SQUASHFUSE_128K, SQUASHFUSE_4K, KERNEL)

_LATENCY: Final = ("p50", "p99")
_PASSES: Final = ("first", "second")


def core_label(codec: str) -> str:
    """The label of the program in C."""
    return f"C, one core, {codec}"


def _sequential(name: str, title: str, image: str, peers: tuple[Peer, ...], codec: str = "") -> tuple[Plan, Plan]:
    row = Plan(
        f"{name} sequential",
        f"{title}, one reader from start to end",
        "MB/s",
        "more",
        image,
        measures.sequential,
        peers=peers,
        readahead=_READAHEAD,
        codec=codec,
        compare=True,
    )
    more = row._replace(
        name=f"{row.name} ra{SECOND_READAHEAD}",
        title=f"{row.title}, {SECOND_READAHEAD} KiB read ahead",
        readahead=SECOND_READAHEAD,
    )
    return row, more


def _random(name: str, title: str, image: str, peers: tuple[Peer, ...]) -> Plan:
    return Plan(
        f"{name} random 4K",
        f"{title}, 4 KiB at a random place",
        "µs",
        "less",
        image,
        measures.random_pages,
        _LATENCY,
        peers,
    )


def _small(name: str, title: str, image: str, peers: tuple[Peer, ...]) -> Plan:
    return Plan(
        f"{name} small files",
        f"{title}, all small files",
        "ms",
        "less",
        image,
        measures.small_files,
        _PASSES,
        peers,
    )


PLANS: Final = (
    *_sequential("iso", "Plain ISO", "iso", (FUSEISO,)),
    _random("iso", "Plain ISO", "iso", (FUSEISO,)),
    _small("iso", "Plain ISO", "iso", (FUSEISO,)),
    Plan("iso find", "Plain ISO, find -ls", "ms", "less", "iso", measures.find, _PASSES, (FUSEISO,)),
    Plan("wide ls", "A wide directory, ls -f", "ms", "less", "wide", measures.wide_ls, peers=(FUSEISO,)),
    Plan("wide find", "A wide directory, find -ls", "ms", "less", "wide", measures.wide_find, peers=(FUSEISO,)),
    Plan("iso start", "Plain ISO, start to usable mount", "ms", "less", "iso", measures.start, peers=(FUSEISO,)),
    *_sequential("cso2k", "CSO of 2 KiB blocks", "cso2k", _SQUASHFS, "deflate"),
    Plan(
        "cso2k four readers",
        "CSO of 2 KiB blocks, four readers",
        "MB/s",
        "more",
        "cso2k",
        measures.four_readers,
        peers=_SQUASHFS,
    ),
    _random("cso2k", "CSO of 2 KiB blocks", "cso2k", _SQUASHFS),
    _small("cso2k", "CSO of 2 KiB blocks", "cso2k", (SQUASHFUSE_128K, KERNEL)),
    _sequential("cso16k", "CSO of 16 KiB blocks", "cso16k", (SQUASHFUSE_128K, KERNEL), "deflate")[0],
    _random("cso16k", "CSO of 16 KiB blocks", "cso16k", (SQUASHFUSE_128K, KERNEL)),
    _sequential("zso", "ZSO", "zso", (SQUASHFUSE_128K, KERNEL), "lz4")[0],
    _sequential("chd", "CHD of a CD", "chd", ())[0],
    _random("chd", "CHD of a CD", "chd", ()),
)
"""All rows, in the order in which they are measured."""


def chosen(words: Iterable[str]) -> list[Plan]:
    """The rows with one of these words in their name; all of them without words."""
    wanted = [word.strip() for word in words if word.strip()]
    return [plan for plan in PLANS if not wanted or any(word in plan.name for word in wanted)]
