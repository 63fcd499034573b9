"""The sets of options with which every disc is looked at: those of Linux's driver, which are ours as well."""

from __future__ import annotations

from typing import Final

PLAIN: Final = "defaults"
"""No options."""

VIEWS: Final = (
    PLAIN,
    "norock",
    "nojoliet",
    "norock,nojoliet",
    "map=off",
    "norock,nojoliet,map=off",
    "norock,nojoliet,map=acorn",
    "check=r",
    "check=s",
    "norock,check=s",
    "norock,nojoliet,check=r",
    "mode=0640,dmode=0710",
    "overriderockperm",
    "overriderockperm,mode=0640,dmode=0710",
    "uid=1000,gid=1001",
    "hide",
    "norock,hide",
    "showassoc",
    "norock,showassoc",
    "unhide",
    "cruft",
    "nocompress",
    "utf8",
    "iocharset=utf8",
    "norock,iocharset=iso8859-1",
    "norock,iocharset=cp437",
    "norock,iocharset=koi8-r",
    "norock,iocharset=unknown",
    "block=512",
    "block=1024",
    "block=2048",
    "session=0",
    "session=1",
    "sbsector=0",
    "sbsector=1",
)

_SECTOR: Final = 2048
_FIRST: Final = 16


def views_of(image: bytes) -> list[str]:
    """The views of an image: all of the above, and each later session that it holds."""
    found = []
    for at in range((_FIRST + 1) * _SECTOR, len(image), _SECTOR):
        if image[at : at + 7] == b"\1CD001\1" and image[at - _SECTOR + 1 : at - _SECTOR + 6] != b"CD001":
            found.append(f"sbsector={at // _SECTOR - _FIRST}")
    return [*VIEWS, *(view for view in found[:4] if view not in VIEWS)]


def linux_options(view: str) -> str:
    """The options for Linux's driver. Names are UTF-8 where the view does not say otherwise: so they are with us."""
    words = [word for word in view.split(",") if word != PLAIN]
    if "utf8" not in words and "iocharset=" not in view:
        words.append("utf8")
    return ",".join(words)
