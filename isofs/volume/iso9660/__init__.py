"""ISO 9660 with Rock Ridge, Joliet and zisofs, and High Sierra, its forerunner.

`open_iso9660` chooses the tree, `volume.Iso9660` is it.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from ... import limits
from ...errors import ImageError, UsageError
from ...image.cache import BlockCache
from ...image.source import Source
from ..tree import Findings, View
from . import susp
from .descriptors import SECTOR, Descriptors, VolumeDescriptor, read_descriptors
from .records import FLAG_DIRECTORY, SELF, Record, extent_of, parse_record, walk_records
from .volume import Iso9660, head_of, root_place

__all__ = ["open_iso9660", "udf_stub"]

_EMPTY_ROOT = 3
"""A root with fewer records holds `.` and `..` only."""


class _Tree:
    """A descriptor's tree as far as its root's first sector tells."""

    def __init__(self, disc: Source, descriptor: VolumeDescriptor, findings: Findings) -> None:
        self.descriptor = descriptor
        place = root_place(descriptor)
        head = head_of(descriptor)
        data = disc.pread(SECTOR, place)
        first = parse_record(data, 0, place, head)
        if first is not None and first.identifier == SELF and 0 < first.size < SECTOR:
            data = data[: first.size]
        self.records = list(walk_records(data, place, descriptor.block_size, findings.add, head=head))
        if not self.records:
            raise ImageError(f"the root directory at byte {place} holds no directory record")

    @property
    def own(self) -> Record | None:
        """The root's `.` record."""
        first = self.records[0]
        return first if first.identifier == SELF and first.flags & FLAG_DIRECTORY else None


def open_iso9660(disc: Source, view: View, cache: BlockCache, first_sector: int = 0) -> Iso9660:
    """The tree of a disc that Linux would show: Rock Ridge before Joliet before plain ISO 9660.

    Exceptions: a Joliet descriptor in front of the primary one hides nothing; where the primary root is damaged, or
    is empty beside a Joliet tree that is not, Joliet's is taken. A root that is not where its descriptor says is found
    through the path table. `first_sector`: where on the disc the volume begins. `cache` serves zisofs files.

    Raises `NotADisc`, `UnsupportedError`, `ImageError` where no tree is sound, and `UsageError` where there is not what
    `view` asks for.
    """
    if (view.tree, True) in (("rock", view.norock), ("joliet", view.nojoliet)):
        raise UsageError(f"tree={view.tree} and no{view.tree} exclude each other", "leave one of them out")
    findings = Findings()
    descriptors = read_descriptors(disc, first_sector)
    for reason in descriptors.damage:
        findings.add(0, reason)
    for oddity in descriptors.oddities:
        findings.add(0, oddity, harmless=True)
    for kind in ("primary", "joliet", "enhanced"):
        setattr(descriptors, kind, _with_root(disc, getattr(descriptors, kind), findings))
    volume = partial(Iso9660, disc, cache, view, descriptors, findings=findings)
    if view.tree != "auto":
        descriptor, skip = _named_tree(disc, view.tree, descriptors, findings)
        _check_blocks(descriptor, view)
        return volume(descriptor, skip=skip, joliet=view.tree == "joliet", enhanced=view.tree == "enhanced")
    primary, reason = _open_tree(disc, descriptors.primary, findings)
    joliet, joliet_reason = (None, "") if view.nojoliet else _open_tree(disc, descriptors.joliet, findings)
    if joliet_reason and primary is not None:
        findings.add(0, f"{joliet_reason}; the tree without Joliet is shown")
    skip, certain = (None, False) if view.norock or primary is None else _rock_ridge(disc, primary)
    if primary is None or (joliet is not None and _joliet_is_better(primary, joliet, certain)):
        if joliet is None:
            raise ImageError(
                reason or joliet_reason or "no tree is left to show", "" if reason else "do without nojoliet"
            )
        if reason:
            findings.add(0, f"{reason}; the Joliet tree is shown", harmless=True)
        _check_blocks(joliet.descriptor, view)
        return volume(joliet.descriptor, skip=None, joliet=True)
    _check_blocks(primary.descriptor, view)
    return volume(primary.descriptor, skip=skip, joliet=False)


def _with_root(disc: Source, descriptor: VolumeDescriptor | None, findings: Findings) -> VolumeDescriptor | None:
    """The descriptor; if no directory is where it says that the root is, with the place that a path table tells.

    A path table's first record is the root's: its extent is at 2, in High Sierra at 0.
    """
    if descriptor is None or _root_of(disc, descriptor) is not None:
        return descriptor
    for block, order in zip(descriptor.path_tables, ("little", "big"), strict=True):
        with suppress(ImageError):
            first = disc.pread(8, block * descriptor.block_size) if block else b""
            length, xar, extent = first[:1], first[1:2], first[2:6]
            if descriptor.high_sierra:
                extent, xar, length = first[:4], first[4:5], first[5:6]
            number = int.from_bytes(extent, order)  # type: ignore[arg-type]
            both = number.to_bytes(4, "little") + number.to_bytes(4, "big")
            mended = descriptor._replace(root=descriptor.root[:1] + xar + both + descriptor.root[10:])
            own = _root_of(disc, mended) if length == b"\1" else None
            if own is not None and (own.extent, own.xar_blocks) == extent_of(mended.root):
                findings.add(
                    0, "no root directory is where its descriptor tells; a path table leads to it", harmless=True
                )
                return mended
    return descriptor


def _root_of(disc: Source, descriptor: VolumeDescriptor) -> Record | None:
    """The `.` record of the directory that is where a descriptor's root is; None if there is none."""
    try:
        place = root_place(descriptor)
        own = parse_record(disc.pread(255, place), 0, place, head_of(descriptor))
    except ImageError:
        return None
    return own if own is not None and own.identifier == SELF and own.flags & FLAG_DIRECTORY else None


def _check_blocks(descriptor: VolumeDescriptor, view: View) -> None:
    """Refuses logical blocks that are smaller than asked for, as Linux does."""
    size = descriptor.block_size
    if view.block is not None and size < view.block:
        raise UsageError(
            f"the disc has logical blocks of {size} bytes, smaller than block={view.block}", "leave it out"
        )


def _named_tree(
    disc: Source, name: str, descriptors: Descriptors, findings: Findings
) -> tuple[VolumeDescriptor, int | None]:
    """The descriptor of a tree and, for Rock Ridge, the bytes to skip. Raises `UsageError` if the disc has it not."""
    there = {"primary": descriptors.primary, "joliet": descriptors.joliet, "enhanced": descriptors.enhanced}
    primary, _ = _open_tree(disc, descriptors.primary, findings)
    skip, _ = (None, False) if primary is None else _rock_ridge(disc, primary)
    if skip is not None:
        there = {"rock": descriptors.primary, **there}
    descriptor = there.get(name)
    if descriptor is None:
        known = ", ".join(f"tree={tree}" for tree, found in there.items() if found is not None)
        raise UsageError(f"the disc has no tree={name}", f"it has {known}")
    _, reason = _open_tree(disc, descriptor, findings)
    if reason:
        raise ImageError(reason, "leave tree= out")
    return descriptor, skip if name == "rock" else None


def _open_tree(disc: Source, descriptor: VolumeDescriptor | None, findings: Findings) -> tuple[_Tree | None, str]:
    if descriptor is None:
        return None, ""
    try:
        return _Tree(disc, descriptor, findings), ""
    except ImageError as error:
        return None, error.reason


def _joliet_is_better(primary: _Tree, joliet: _Tree, rock_ridge: bool) -> bool:
    if not rock_ridge:
        return True
    return len(primary.records) < _EMPTY_ROOT <= len(joliet.records)


def _rock_ridge(disc: Source, tree: _Tree) -> tuple[int | None, bool]:
    """Bytes to skip in every system use field, None without Rock Ridge; and whether an ER entry makes that certain.

    SP alone is enough where there is no Joliet tree; so is ER alone, in the root's own record.
    """
    own = tree.own
    if own is None or tree.descriptor.high_sierra:
        return None, False
    skip = susp.skip_of(own.system_use)
    area = susp.behind_xa(own.system_use, 0)
    announced = any(
        signature == b"ER"
        for signature, _ in susp.entries(area, disc, tree.descriptor.block_size, lambda _: None, susp.Allowance())
    )
    if skip is None and announced:
        skip = 0
    return skip, announced


def udf_stub(volume: Iso9660) -> str:
    """The sentence to say when a UDF bridge's ISO 9660 tree holds no more than a note; empty otherwise.

    Windows discs have a README.TXT there. Looks only at roots of one sector.
    """
    if not volume.descriptors.udf:
        return ""
    root = volume.attributes(1)
    if root.size > limits.KIB * 2:
        return ""
    entries = volume.entries(1)
    if len(entries) > 1 or any(entry.attributes is None for entry in entries):
        return ""
    what = f"only {entries[0].name.decode('utf-8', 'replace')}" if entries else "nothing"
    return f"the ISO 9660 tree holds {what}: the files are in the disc's UDF tree, which is not read yet (mount -t udf)"
