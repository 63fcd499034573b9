"""The golden files: what Linux's driver shows of one disc with each set of options, as text that can be diffed.

image own/plain.iso
sha256 428067806a1c...
kernel Linux 6.1.176
views 35c1b7d0                          which ones there are, see `_VIEWS`
[defaults]                              as do all views that are not named below
statfs 2048 67 0 0 0 0 255
d0555 1 0:0 4096 932042096 - - /        entries, see `listing.text`
f0555 1 0:0 18 932042096 4c30ee6c5f99 - /a.txt
[showassoc] [unhide]                    views that show the same
like defaults but
statfs 2048 60 0 0 0 0 255
- /hidden.txt                           an entry that is not there
*: uid=1000 gid=1001                    fields that differ in all entries,
*/: also=U                              in all but the root,
*f: mode=0640                           in all of a kind,
mode=0640                               or in the entries that follow
  /a.txt
@ /fork.txt                             behind this entry
+ f0555 1 0:0 13 ...                    there are these
[block=512]
failed EINVAL
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Final, NamedTuple

from .listing import FIELDS, Entry, Listing, parse, text
from .views import PLAIN, VIEWS

GOLDEN: Final = Path(__file__).with_name("golden")

_VIEWS: Final = hashlib.sha256(" ".join(VIEWS).encode()).hexdigest()[:8]
"""Says which views are meant by those that a file does not name."""


class Golden(NamedTuple):
    """One file."""

    image: str
    sha256: str
    kernel: str
    listings: dict[str, Listing]
    """By view."""


def path_of(image: str) -> Path:
    """The golden file of an image, `own/NAME.iso` or as it is named in the corpus."""
    return (GOLDEN / image).with_suffix(".txt")


# --- writing --------------------------------------------------------------------------------------------------------


def encode(golden: Golden) -> str:
    """The text of a golden file."""
    lines = [f"image {golden.image}", f"sha256 {golden.sha256}", f"kernel {golden.kernel}"]
    lines.append(f"views {_VIEWS}")
    views: dict[Listing, list[str]] = {}
    for view, listing in golden.listings.items():
        views.setdefault(listing, []).append(view)
    done: dict[str, Listing] = {}
    for listing, same in views.items():
        lines.append(" ".join(f"[{view}]" for view in same if done or view == PLAIN or view not in VIEWS))
        lines += _shortest(listing, done)
        done[same[0]] = listing
    return "".join(f"{line}\n" for line in lines)


def _shortest(listing: Listing, done: dict[str, Listing]) -> list[str]:
    """A listing as the changes of another one, or whole."""
    if listing.failed:
        return [f"failed {listing.failed}"]
    forms = [[f"statfs {listing.statfs}", *map(text, listing.entries)]]
    forms += [[f"like {view} but", *_changes(known, listing)] for view, known in done.items() if known.entries]
    return min(forms, key=lambda lines: sum(map(len, lines)))


def _changes(known: Listing, listing: Listing) -> list[str]:
    lines = [f"statfs {listing.statfs}"] if listing.statfs != known.statfs else []
    kept: list[Entry] = []
    wanted: list[Entry] = []
    added: list[str] = []
    matcher = SequenceMatcher(None, [e.path for e in known.entries], [e.path for e in listing.entries], autojunk=False)
    for word, a, a_end, b, b_end in matcher.get_opcodes():
        if word == "equal":
            kept += known.entries[a:a_end]
            wanted += listing.entries[b:b_end]
            continue
        lines += [f"- {entry.path}" for entry in known.entries[a:a_end]]
        if b < b_end:
            added.append(f"@ {listing.entries[b - 1].path if b else ''}")
            added += [f"+ {text(entry)}" for entry in listing.entries[b:b_end]]
    groups: dict[str, list[Entry]] = {}
    for old, new in zip(kept, wanted, strict=True):
        pairs = zip(FIELDS, old, new, strict=False)
        words = " ".join(f"{field}={value}" for field, before, value in pairs if before != value)
        if words:
            groups.setdefault(words, []).append(old)
    for words, entries in groups.items():
        kinds = {entry.kind for entry in entries}
        if entries == kept:
            lines.append(f"*: {words}")
        elif entries == kept[1:] and len(entries) > 1:
            lines.append(f"*/: {words}")
        elif len(kinds) == 1 and entries == [entry for entry in kept if entry.kind in kinds] and len(entries) > 1:
            lines.append(f"*{kinds.pop()}: {words}")
        else:
            lines.append(words)
            lines += [f"  {entry.path}" for entry in entries]
    return lines + added


# --- reading --------------------------------------------------------------------------------------------------------


def load(path: Path) -> Golden:
    """Reads a golden file."""
    image, sha256, kernel, views, *lines = path.read_text("utf-8").removesuffix("\n").split("\n")
    if views != f"views {_VIEWS}":
        raise ValueError(f"{path} is of other views; run make_golden")
    sections: list[tuple[list[str], list[str]]] = []
    for line in lines:
        if line.startswith("["):
            sections.append((line[1:-1].split("] ["), []))
        else:
            sections[-1][1].append(line)
    listings: dict[str, Listing] = {}
    for same, (first, *rest) in sections:
        if first.startswith("failed "):
            listing = Listing(failed=first.removeprefix("failed "))
        elif first.startswith("like "):
            listing = _apply(listings[first.removeprefix("like ").removesuffix(" but")], rest)
        else:
            listing = Listing(parse(rest), first.removeprefix("statfs "))
        listings.update(dict.fromkeys(same, listing))
    named = [view for view in listings if view not in VIEWS]
    listings = {view: listings.get(view, listings[PLAIN]) for view in (*VIEWS, *named)}
    return Golden(image.partition(" ")[2], sha256.partition(" ")[2], kernel.partition(" ")[2], listings)


def _apply(known: Listing, changes: Sequence[str]) -> Listing:
    """A listing that was written as the changes of another one."""
    entries = {entry.path: entry for entry in known.entries}
    statfs = known.statfs
    fields: dict[str, str] = {}
    added: dict[str, list[Entry]] = {}
    behind = ""
    for line in changes:
        if line.startswith("statfs "):
            statfs = line.removeprefix("statfs ")
        elif line.startswith("- "):
            del entries[line[2:]]
        elif line.startswith("@ "):
            behind = line[2:]
        elif line.startswith("+ "):
            added.setdefault(behind, []).extend(parse([line[2:]]))
        elif line.startswith("  "):
            entries[line[2:]] = entries[line[2:]]._replace(**fields)
        elif line.startswith("*"):
            which, _, words = line[1:].partition(": ")
            fields = _fields(words.split(" "))
            for path, entry in entries.items():
                if which in ("", entry.kind) or (which == "/" and path != "/"):
                    entries[path] = entry._replace(**fields)
        else:
            fields = _fields(line.split(" "))
    result = added.get("", [])
    for entry in entries.values():
        result += [entry, *added.get(entry.path, [])]
    return Listing(tuple(result), statfs)


def _fields(words: Iterable[str]) -> dict[str, str]:
    return {field: value for field, _, value in (word.partition("=") for word in words)}
