"""The one table of `-o` options, and its parser.

The table feeds `-o` of every command, `--help` and the documents. Names and meanings of the kernel's iso9660 options
are the kernel's own (mount(8), FILESYSTEM-SPECIFIC MOUNT OPTIONS, iso9660).
"""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, NamedTuple

from .. import limits
from ..errors import UsageError
from ..image.wishes import NO_WISHES, Wishes
from ..volume.tree import View

Kind = Literal["view", "image", "mount", "libfuse", "dropped", "unused", "refused", "alias"]
"""What is done with it: it shapes the tree or the image or the mount, goes on to libfuse, says nothing new, has no
effect that can be had here, is refused, or stands for another one."""
FOREVER: Final = 86_400.0
"""Seconds that the kernel keeps names and attributes: a disc does not change."""


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
    sandbox: bool = True
    """Whether the daemon gives up what it does not use."""
    timeout: float = 0
    """Seconds without use after which the mount ends by itself; 0: it stays."""
    force: bool = False
    """Whether a dead mount is taken away first."""
    setuid: str = ""
    """The user as whom everything is done; empty: whoever calls."""
    direct_io: bool = False
    """Whether each read of a file comes to us, past the kernel's cache."""
    attr_timeout: float = FOREVER
    """Seconds that the kernel keeps attributes."""
    entry_timeout: float = FOREVER
    """Seconds that the kernel keeps names."""
    allow_other: bool | None = None
    """Whether other users may use the mount; None: as root yes, else no."""
    libfuse: tuple[str, ...] = ()
    """Options for libfuse, besides those that every mount gets."""
    unused: tuple[str, ...] = ()
    """Options that were given and have no effect here, of which a person should know."""


DEFAULTS: Final = Options()
"""What holds without any option."""
_SIZE: Final = re.compile(r"(\d{1,15})([KMG]?)(?:iB|B)?", re.IGNORECASE | re.ASCII)
_TIME: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(s|sec|m|min|h|)", re.ASCII)
_SECONDS: Final = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}
_WORD: Final = re.compile(r'(?:"[^"]*"|[^,])+')
"""An option: commas within double quotes belong to it."""
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


def _time(name: str, text: str) -> float:
    match = _TIME.fullmatch(text)
    if not match:
        raise UsageError(f"option {name}={text}: not a time", f"write {name}=30s, {name}=5m or {name}=1h")
    return float(match[1]) * _SECONDS[match[2]]


def _account(name: str, text: str) -> str:
    try:
        found = pwd.getpwuid(int(text)) if re.fullmatch(r"[0-9]{1,9}", text) else pwd.getpwnam(text)
    except (KeyError, ValueError):
        raise UsageError(f"option {name}={text}: no such user", "write the name of a user") from None
    return found.pw_name


def _context(name: str, text: str) -> str:
    if os.geteuid() != 0:
        raise UsageError(f"option {name} is for root only", "leave it out")
    if not re.fullmatch(r"[A-Za-z0-9_:.,-]+", text):
        raise UsageError(f"option {name}={text}: not a context", f"write {name}=system_u:object_r:removable_t:s0")
    return text


def _track(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,2}", text) or not int(text):
        raise UsageError(f"option {name}={text}: not a number from 1 to {limits.TRACKS}", "see isofs info")
    return int(text)


def _session(name: str, text: str) -> int | Literal["last"]:
    if text == "last":
        return "last"
    if not re.fullmatch(r"[0-9]{1,2}", text):
        raise UsageError(f"option {name}={text}: not a number from 0 to {limits.TRACKS}", "see isofs info")
    return int(text)


def _sector(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) >= limits.DISC_SIZE // 2048:
        raise UsageError(f"option {name}={text}: not a sector number", f"write {name}=0, for example")
    return int(text)


def _block(name: str, text: str) -> int:
    if text not in ("512", "1024", "2048"):
        raise UsageError(f"option {name}={text}: not a size of blocks", f"write {name}=512, {name}=1024 or {name}=2048")
    return int(text)


def _charset(name: str, text: str) -> str:
    from ..volume.iso9660.names import codec_of

    codec = codec_of(text)
    if not codec:
        raise UsageError(f"option {name}={text}: no charset that file names can have", f"write {name}=utf8")
    return codec


def _subdir(name: str, text: str) -> str:
    if not text:
        raise UsageError(f"option {name}: no directory", f"write {name}=PATH, as isofs ls shows it")
    return text


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


_SHARING: Final = ("shared", "private", "slave", "unbindable")

_ALIASES: Final = {"unhide": "showassoc", "utf8": "iocharset=utf8"}
"""What other options stand for."""

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
    Option(
        "tree",
        "auto|rock|joliet|primary|enhanced",
        "auto",
        "which of the disc's trees to show; auto: rock, else joliet, else primary",
        parse=_choice(auto="", rock="", joliet="", primary="", enhanced=""),
    ),
    Option(
        "case",
        "insensitive|lower|upper",
        "as check says",
        "find names of all trees in any case, and show them in small or capital letters",
        parse=_choice(insensitive="", lower="", upper=""),
    ),
    Option("iocharset", "CHARSET", "utf8", "encoding in which Joliet names are shown", parse=_charset),
    Option("hide", "", "off", "leave out files that are marked as hidden"),
    Option("showassoc", "", "off", "show associated files, ._NAME beside NAME"),
    Option("cruft", "", "off", "take the low 24 bits of sizes only: some old writers put other things into the rest"),
    Option("overriderockperm", "", "off", "mode= and dmode= hold for files with recorded permissions too"),
    Option("nocompress", "", "off", "show zisofs files as they are stored"),
    Option("block", "512|1024|2048", "512", "refuse discs with smaller logical blocks", parse=_block),
    *(Option(name, "", "off", f"the same as {word}", "alias") for name, word in _ALIASES.items()),
    Option("subdir", "PATH", "the root", "the directory of the disc that is shown", parse=_subdir),
    Option("image", "", "off", "show one file instead, NAME.iso: the disc as a plain image"),
    Option("audio", "", "off", "show the disc's audio tracks as .wav files, in a directory of their own"),
    Option("xattr", "", "off", "tell by attributes user.isofs.* where files lie on the disc, and what is wrong"),
    Option("track", "N", "the session's first one", "the data track, as isofs info numbers it", "image", _track),
    Option(
        "session",
        "N|last",
        "the last one that is told",
        "the session, the first one being 0; where nothing tells them they are looked for",
        "image",
        _session,
    ),
    Option("sbsector", "N", "told by the session", "the sector where the volume begins", "image", _sector),
    Option("shift", "N", "told by the image", "the sector of its disc with which the image begins", "image", _sector),
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
    Option("timeout", "TIME", "never", "unmount after so long without use: 30s, 5m, 1h", "mount", _time),
    Option("nosandbox", "", "off", "let the daemon keep its rights to files, programs and sockets", "mount"),
    Option("force", "", "off", "take a dead mount away first that lies on the mount point", "mount"),
    Option("allow_other", "", "on for root, off for users", "other users may use the mount", "mount"),
    Option("allow_root", "", "off", "root may use a user's mount", "libfuse"),
    Option("setuid", "USER", "whoever mounts", "open the image and mount it as this user; for root", "mount", _account),
    Option("auto_unmount", "", "off", "unmount even if the daemon is killed; users need allow_other for it", "libfuse"),
    Option("noexec", "", "off", "programs on the disc cannot be run", "libfuse"),
    Option("direct_io", "", "off", "let the kernel keep no data of files; mapped files cannot be shared then", "mount"),
    Option("attr_timeout", "TIME", "1 day", "how long the kernel keeps attributes", "mount", _time),
    Option("entry_timeout", "TIME", "1 day", "how long the kernel keeps names", "mount", _time),
    *(
        Option(name, "CONTEXT", "the system's", meaning, "libfuse", _context)
        for name, meaning in (
            ("context", "SELinux context of all files; for root"),
            ("fscontext", "SELinux context of the file system; for root"),
            ("defcontext", "SELinux context of files without one; for root"),
            ("rootcontext", "SELinux context of the root directory; for root"),
        )
    ),
    Option("sloppy", "", "off", "pass over unknown options", "mount"),
    *(
        Option(name, "", "on", "always in force", "dropped")
        for name in ("ro", "nosuid", "nodev", "default_permissions", "kernel_cache")
    ),
    *(
        Option(name, "", "", "accepted and without effect on a read-only mount", "dropped")
        for name in (
            *("rw", "exec", "suid", "dev", "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group"),
            *("nofail", "_netdev", "atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime"),
            *("strictatime", "nostrictatime", "lazytime", "nolazytime", "sync", "async", "dirsync", "silent", "loud"),
            *("iversion", "noiversion", "mand", "nomand", "nosymfollow", "nonempty", "comment", "loop", "io_uring"),
            *("fsname", "subtype", "fd", "rootmode", "user_id", "group_id"),
        )
    ),
    Option("conv", "", "", "accepted and without effect, as in the kernel", "dropped"),
    *(
        Option(name, "", "", "about libfuse's own loops, which isofs does not use", "unused")
        for name in ("clone_fd", "max_idle_threads", "max_threads")
    ),
    *(
        Option(name, "", "", reason, "refused")
        for name, reason in (
            ("remount", "a mount cannot be changed; unmount and mount again"),
            ("bind", "isofs mounts images; use mount --bind"),
            ("rbind", "isofs mounts images; use mount --rbind"),
            ("move", "isofs mounts images; use mount --move"),
            *((f"{r}{word}", "isofs mounts images; use mount --make-...") for word in _SHARING for r in ("", "r")),
            ("max_read", "the kernel chooses the size of requests; leave it out"),
            ("blkdev", "images are opened by isofs itself; leave it out"),
            ("blksize", "the disc tells the size of its blocks; leave it out"),
            ("offset", "see shift= and sbsector="),
            ("debug", "use isofs mount --debug"),
            ("drop_privileges", "use mount -t fuse -o drop_privileges isofs#IMAGE MOUNTPOINT"),
        )
    ),
)
"""Every option there is, in the order of the help."""

_BY_NAME: Final = {option.name: option for option in OPTIONS}
_OURS: Final = frozenset(Options._fields)
"""Options that are fields of `Options` under the same name."""


def shown_options() -> list[Option]:
    """The options that a person chooses from."""
    return [option for option in OPTIONS if option.kind in ("view", "alias", "image", "mount", "libfuse")]


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
    words = _WORD.findall(",".join(texts))
    sloppy = "sloppy" in words
    found: dict[str, Any] = {}
    libfuse: dict[str, str] = {}
    unused = []
    for word in (_ALIASES.get(word, word) for word in words):
        name, equals, text = word.partition("=")
        if name.lower().startswith("x-"):
            continue
        option = _BY_NAME.get(name)
        if option is None:
            if sloppy:
                continue
            raise UsageError(f"unknown option {name!r}", "see isofs mount --help")
        if option.kind == "refused":
            raise UsageError(f"option {name} is not supported", option.meaning)
        if option.kind == "dropped":
            continue
        if option.kind == "unused":
            unused.append(name)
            continue
        if bool(equals) != bool(option.value):
            form = f"{name}={option.value}" if option.value else name
            raise UsageError(f"option {word!r}: {'takes no value' if equals else 'needs a value'}", f"write {form}")
        text = text.replace('"', "")
        value = option.parse(name, text) if option.parse else True
        if option.kind == "libfuse":
            libfuse[name] = f"{name}={value}" if equals else name
        else:
            found[name] = value
    if "allow_root" in libfuse:
        if "allow_other" in found:
            raise UsageError("options allow_other and allow_root exclude each other", "leave one of them out")
        found["allow_other"] = False
    umask = found.pop("umask", 0)
    found.pop("sloppy", None)
    ours = {name: found.pop(name) for name in _OURS if name in found}
    ours["spin"] = not found.pop("nospin", False)
    ours["sandbox"] = not found.pop("nosandbox", False)
    chosen = {name: found.pop(name) for name in Wishes._fields if name in found}
    wishes = Wishes(**chosen, keep_index=not found.pop("noindexcache", False))
    found["fmask"] = found.get("fmask", umask)
    found["dmask"] = found.get("dmask", umask)
    return Options(View(**found), wishes, libfuse=tuple(libfuse.values()), unused=tuple(unused), **ours)
