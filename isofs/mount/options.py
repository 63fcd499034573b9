"""The one table of `-o` options, and its parser.

The table feeds `-o` of every command, `--help` and the documents. Names and meanings of the kernel's iso9660 options
are the kernel's own (mount(8), FILESYSTEM-SPECIFIC MOUNT OPTIONS, iso9660).
"""

from __future__ import annotations

import grp
import pwd
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, NamedTuple

from .. import limits
from ..errors import UsageError
from ..image.wishes import NO_WISHES, Wishes
from ..volume.tree import View

Kind = Literal["view", "image", "mount", "libfuse", "dropped", "refused"]


class Option(NamedTuple):
    """One option. `value` is what stands behind `=` in the help, empty for a flag; `meaning` one line of help."""

    name: str
    value: str
    default: str
    meaning: str
    kind: Kind = "view"
    parse: Callable[[str, str], Any] | None = None


class Options(NamedTuple):
    """The options of one command, parsed."""

    view: View = View()
    wishes: Wishes = NO_WISHES
    """What is made of the image."""
    cache: int = limits.CACHE_DEFAULT
    """Bytes of decoded data to keep."""
    threads: int | None = None
    """Workers that decode ahead; None: by the number of cores."""
    readahead: int | None = None
    """Bytes that the kernel reads ahead; None: as many as it likes."""
    spin: bool = True
    """Whether the next request is waited for awake, for a moment."""
    allow_other: bool | None = None
    """Whether other users may use the mount; None: as root yes, else no."""
    libfuse: tuple[str, ...] = ()
    """Options for libfuse, besides those that every mount gets."""


_SIZE: Final = re.compile(r"(\d{1,15})([KMG]?)(?:iB|B)?", re.IGNORECASE | re.ASCII)
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def _size(name: str, text: str) -> int:
    match = _SIZE.fullmatch(text)
    if not match:
        raise UsageError(f"option {name}={text}: not a size", f"write {name}=64M, for example")
    return int(match[1]) * _UNITS[match[2].upper()]


def _cache(name: str, text: str) -> int:
    size = _size(name, text)
    if size < limits.CACHE_LEAST:
        raise UsageError(f"option {name}={text}: too small", f"write at least {name}={limits.CACHE_LEAST >> 20}M")
    return size


def _readahead(name: str, text: str) -> int:
    size = _size(name, text)
    if not limits.KIB <= size <= limits.READAHEAD:
        raise UsageError(f"option {name}={text}: not from 1K to {limits.READAHEAD >> 20}M", f"write {name}=1M")
    return size


def _threads(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or int(text) > limits.THREADS:
        raise UsageError(f"option {name}={text}: not a number from 0 to {limits.THREADS}", f"write {name}=2")
    return int(text)


def _track(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,2}", text) or not int(text):
        raise UsageError(f"option {name}={text}: not a number from 1 to {limits.TRACKS}", "see isofs info")
    return int(text)


def _session(name: str, text: str) -> int | None:
    if text == "last":
        return None
    if not re.fullmatch(r"[0-9]{1,2}", text):
        raise UsageError(f"option {name}={text}: not a number from 0 to {limits.TRACKS}", "see isofs info")
    return int(text)


def _mode(name: str, text: str) -> int:
    if not re.fullmatch(r"0[0-7]*|0o[0-7]+", text):
        meant = text if re.fullmatch(r"[0-7]+", text) else "555"
        raise UsageError(f"option {name}={text}: not an octal number with a leading 0", f"write {name}=0{meant}")
    return int(text.replace("o", ""), 8) & 0o777


def _mask(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-7]{1,5}", text):
        raise UsageError(f"option {name}={text}: not an octal number", f"write {name}=022, for example")
    return int(text, 8) & 0o777


def _user(name: str, text: str) -> int:
    return _id(name, text, "user", lambda known: pwd.getpwnam(known).pw_uid)


def _group(name: str, text: str) -> int:
    return _id(name, text, "group", lambda known: grp.getgrnam(known).gr_gid)


def _id(name: str, text: str, kind: str, resolve: Callable[[str], int]) -> int:
    if re.fullmatch(r"[0-9]{1,10}", text):
        number = int(text)
        if number < 0xFFFF_FFFF:
            return number
    else:
        try:
            return resolve(text)
        except (KeyError, ValueError):
            pass  # said below
    raise UsageError(f"option {name}={text}: no such {kind}", f"write a number or the name of a {kind}")


def _choice(**choices: str) -> Callable[[str, str], str]:
    """A parser of words; each may be shortened to its first letter, as in the kernel."""

    def parse(name: str, text: str) -> str:
        for word in choices:
            if text in (word, word[0]):
                return word
        raise UsageError(
            f"option {name}={text}: not one of {', '.join(choices)}", f"write {name}={next(iter(choices))}"
        )

    return parse


OPTIONS: Final = (
    Option("norock", "", "off", "do without Rock Ridge names, owners, modes and links"),
    Option("nojoliet", "", "off", "do without Joliet names"),
    Option("uid", "USER", "as recorded, else root", "owner of everything", parse=_user),
    Option("gid", "GROUP", "as recorded, else root", "group of everything", parse=_group),
    Option("mode", "MODE", "0555", "permissions of files that record none", parse=_mode),
    Option("dmode", "MODE", "0555", "permissions of directories that record none", parse=_mode),
    Option("umask", "MASK", "0", "permissions taken away from everything", parse=_mask),
    Option("fmask", "MASK", "umask", "permissions taken away from everything but directories", parse=_mask),
    Option("dmask", "MASK", "umask", "permissions taken away from directories", parse=_mask),
    Option(
        "map",
        "normal|off|acorn",
        "normal",
        "how plain ISO 9660 names are shown: small and without version, as recorded, with Acorn's marks",
        parse=_choice(normal="", off="", acorn=""),
    ),
    Option(
        "check",
        "relaxed|strict",
        "relaxed with Joliet, else strict",
        "find names in any case, or as they are listed only",
        parse=_choice(relaxed="", strict=""),
    ),
    Option("audio", "", "off", "show the disc's audio tracks as .wav files, in a directory of their own"),
    Option("track", "N", "the session's first one", "the data track, as isofs info numbers it", "image", _track),
    Option("session", "N", "the last one with a volume", "the session, the first one being 0", "image", _session),
    Option(
        "parent",
        "FILE",
        "looked for beside the image",
        "the image that holds what a CHD image leaves out",
        "image",
        lambda _, text: text,
    ),
    Option(
        "noindexcache",
        "",
        "off",
        "keep no index of a compressed image in ~/.cache/isofs, and use none",
        "image",
    ),
    Option("cache", "SIZE", "32M", "memory for decoded data of compressed images", "mount", _cache),
    Option("threads", "N", "one for each core, at most 4", "threads that decode ahead; 0: none", "mount", _threads),
    Option("readahead", "SIZE", "the kernel's, 128K", "how far the kernel reads ahead; for root", "mount", _readahead),
    Option("nospin", "", "off", "sleep at once when there is no request, instead of 0.1 ms later", "mount"),
    Option("allow_other", "", "on for root, off for users", "other users may use the mount", "mount"),
    Option("noexec", "", "off", "programs on the disc cannot be run", "libfuse"),
    *(
        Option(name, "", "on", "always in force", "dropped")
        for name in ("ro", "nosuid", "nodev", "default_permissions")
    ),
    *(
        Option(name, "", "", "accepted and without effect on a read-only mount", "dropped")
        for name in (
            *("rw", "exec", "suid", "dev", "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group"),
            *("nofail", "_netdev", "atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime"),
            *("strictatime", "nostrictatime", "lazytime", "nolazytime", "sync", "async", "dirsync", "silent", "loud"),
            *("iversion", "noiversion", "mand", "nomand", "nosymfollow", "nonempty"),
        )
    ),
    *(
        Option(name, "", "", reason, "refused")
        for name, reason in (
            ("remount", "a mount cannot be changed; unmount and mount again"),
            ("bind", "isofs mounts images; use mount --bind"),
            ("move", "isofs mounts images; use mount --move"),
            ("max_read", "the kernel chooses the size of requests; leave it out"),
        )
    ),
)
"""Every option there is, in the order of the help."""

_BY_NAME: Final = {option.name: option for option in OPTIONS}


def shown_options() -> list[Option]:
    """The options that a person chooses from."""
    return [option for option in OPTIONS if option.kind in ("view", "image", "mount", "libfuse")]


def help_text() -> str:
    """The options for `--help`, a line or two each."""
    lines = ["options of -o (several are separated by commas):"]
    for option in shown_options():
        word = f"{option.name}={option.value}" if option.value else option.name
        default = f" (default: {option.default})" if option.default != "off" else ""
        lines.append(
            f"  {word:<22} {option.meaning}{default}"
            if len(word) < 22
            else f"  {word}\n{'':25}{option.meaning}{default}"
        )
    return "\n".join(lines)


def parse_options(texts: Iterable[str]) -> Options:
    """The options of all `-o` arguments together; the last of a name counts. Raises `UsageError`."""
    found: dict[str, Any] = {}
    libfuse: list[str] = []
    for word in ",".join(texts).split(","):
        name, equals, text = word.partition("=")
        if not word or name.lower().startswith("x-") or name in ("comment", "user") or word.startswith("user="):
            continue
        option = _BY_NAME.get(name)
        if option is None:
            raise UsageError(f"unknown option {name!r}", "see isofs mount --help")
        if option.kind == "refused":
            raise UsageError(f"option {name} is not supported", option.meaning)
        if bool(equals) != bool(option.value):
            form = f"{name}={option.value}" if option.value else name
            raise UsageError(f"option {word!r}: {'takes no value' if equals else 'needs a value'}", f"write {form}")
        if option.kind == "libfuse":
            libfuse.append(name)
        elif option.kind != "dropped":
            found[name] = option.parse(name, text) if option.parse else True
    umask = found.pop("umask", 0)
    ours = {name: found.pop(name) for name in ("cache", "threads", "readahead", "allow_other") if name in found}
    spin = not found.pop("nospin", False)
    chosen = {name: found.pop(name) for name in ("track", "session", "parent") if name in found}
    wishes = Wishes(**chosen, keep_index=not found.pop("noindexcache", False))
    found["fmask"] = found.get("fmask", umask)
    found["dmask"] = found.get("dmask", umask)
    return Options(View(**found), wishes, spin=spin, libfuse=tuple(libfuse), **ours)
