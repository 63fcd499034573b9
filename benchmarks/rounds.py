"""Runs the contenders of a row one after another, in rounds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from . import core
from .data import Dataset, find_tool, keep_in_memory
from .errors import BenchmarkError, note
from .measures import Job, differences
from .mounts import Mounts
from .plan import PEERS, Peer, Plan, core_label
from .results import Row, Series

T = TypeVar("T")


class Outcome(NamedTuple):
    """What one contender gave in one round."""

    figures: tuple[float, ...]
    memory: float | None = None


class Version(NamedTuple):
    """A version of ours: a label, and the command that mounts `{image}` on `{dir}`."""

    label: str
    command: tuple[str, ...]


def in_turns(items: Sequence[T], number: int) -> list[T]:
    """The order of a round: each starts with another one."""
    turn = number % len(items) if items else 0
    return [*items[turn:], *items[:turn]]


class Session:
    """All that the rows of a run share."""

    def __init__(
        self, data: Dataset, mounts: Mounts, versions: Sequence[Version], rounds: int, warm_up: int = 1
    ) -> None:
        self.data = data
        self.mounts = mounts
        self.versions = versions
        self.rounds = rounds
        self.warm_up = warm_up
        self.peers: set[str] = set()
        self.cores: dict[str, Path] = {}
        self.missing: list[str] = list(data.missing)
        self.wrong: list[str] = []

    def look_around(self, plans: Iterable[Plan]) -> None:
        """Tries what the rows need: each version of ours must mount; peers that do not are left out and said."""
        plans = list(plans)
        for version in self.versions:
            with self.mounts.mount(version.label, version.command, self.data.images["iso"]):
                pass
        needed = {peer.label for plan in plans for peer in plan.peers}
        tried: dict[tuple[str, ...], str] = {}
        for peer in PEERS:
            if peer.label in needed:
                if peer.command not in tried:
                    tried[peer.command] = self._try(peer)
                    if tried[peer.command]:
                        self.missing.append(tried[peer.command])
                if not tried[peer.command] and (not peer.image or peer.image in self.data.images):
                    self.peers.add(peer.label)
        for codec in dict.fromkeys(plan.codec for plan in plans if plan.codec and plan.image in self.data.images):
            program = core.build(self.data.folder, codec)
            if program is None:
                self.missing.append(f"no C compiler, or no {core.LIBRARIES[codec]} with headers: no core in C")
            else:
                self.cores[codec] = program
        if os.geteuid() != 0 and any(plan.needs_root for plan in plans):
            self.missing.append("only root can change what is read ahead: no rows of that")

    def _try(self, peer: Peer) -> str:
        """Why a peer cannot be had; empty if it can."""
        if peer.root and os.geteuid() != 0:
            return f"only root can have the {peer.label.rsplit(' ', 1)[0]}"
        if find_tool(peer.tool) is None:
            return f"{peer.tool} is not installed"
        image = self.data.images.get(peer.image or "iso")
        if image is not None:
            try:
                with self.mounts.mount(peer.label, peer.command, image):
                    pass
            except BenchmarkError as error:
                return str(error)
        return ""

    def can_run(self, plan: Plan) -> bool:
        """Whether the row can be measured here."""
        return plan.image in self.data.images and (os.geteuid() == 0 or not plan.needs_root)

    def run(self, plan: Plan) -> list[Row]:
        """Measures a row: rounds to warm up, then those that count. Compares the data of ours if it must."""
        rows = [Row(f"{plan.name} {figure}".strip(), plan.title, plan.unit, plan.better, {}) for figure in plan.figures]
        contenders = self._contenders(plan)
        for row in rows:
            row.series = {label: Series() for label in contenders}
        failed: set[str] = set()
        for number in range(self.warm_up + self.rounds):
            for name in plan.images & self.data.images.keys():  # each round: some kernels throw out what rests
                keep_in_memory(self.data.images[name])
            for label in in_turns(list(contenders), number):
                outcome = None
                if label not in failed:
                    try:
                        outcome = contenders[label](number)
                    except (BenchmarkError, OSError) as error:
                        failed.add(label)
                        self._failure(plan, label, str(error))
                if number >= self.warm_up:
                    for i, row in enumerate(rows):
                        row.series[label].values.append(outcome.figures[i] if outcome else None)
                        row.series[label].memory.append(outcome.memory if outcome else None)
        if plan.compare:
            for version in self.versions:
                if version.label not in failed:
                    self._compare(plan, version)
        return rows

    def _contenders(self, plan: Plan) -> dict[str, Callable[[int], Outcome]]:
        found: dict[str, Callable[[int], Outcome]] = {}
        for version in self.versions:
            found[version.label] = partial(self._measured, plan, version.label, version.command, plan.image)
        for peer in plan.peers:
            if peer.label in self.peers:
                found[peer.label] = partial(self._measured, plan, peer.label, peer.command, peer.image or plan.image)
        if plan.codec in self.cores:
            found[core_label(plan.codec)] = partial(self._decoded, plan)
        return found

    def _measured(self, plan: Plan, label: str, command: tuple[str, ...], image: str, number: int) -> Outcome:
        with (
            self.mounts.mount(label, command, self.data.images[image]) as mounted,
            mounted.readahead(plan.readahead),
        ):
            figures = plan.measure(Job(mounted, self.data, number))
            return Outcome(figures, mounted.memory())

    def _decoded(self, plan: Plan, _number: int) -> Outcome:
        image = self.data.images[plan.image]
        return Outcome((core.speed(self.cores[plan.codec], image, self.data.big_at, self.data.big_size),))

    def _compare(self, plan: Plan, version: Version) -> None:
        image = self.data.images[plan.image]
        try:
            with self.mounts.mount(version.label, version.command, image) as mounted, mounted.readahead(plan.readahead):
                found = differences(Job(mounted, self.data, 0).big, self.data.big, len(plan.name))
        except (BenchmarkError, OSError) as error:
            self._failure(plan, version.label, str(error))
            return
        if found:
            reads = "1 read" if len(found) == 1 else f"{len(found)} reads"
            self._wrong(f"{plan.name}: WRONG DATA of {version.label} from {image}: {reads}, first {found[0]}")

    def _failure(self, plan: Plan, label: str, reason: str) -> None:
        text = f"{plan.name}: {reason if reason.startswith(label) else f'{label}: {reason}'}"
        if any(version.label == label for version in self.versions):
            self._wrong(text)
        else:
            note(text)

    def _wrong(self, text: str) -> None:
        note(text)
        self.wrong.append(text)
