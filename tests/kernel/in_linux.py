"""Lists images through the isofs driver of the Linux that this runs in, as root. Started by `make_golden`.

Arguments: a file with one image a line, a directory for the results. Each result is a JSON file of that line's number.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import sys
from pathlib import Path

from kernel.listing import Listing, Mounted, list_tree
from kernel.views import linux_options, views_of

_LOOP, _POINT = "/dev/loop0", b"/mnt/disc"
_LOOP_SET_FD, _LOOP_CLR_FD = 0x4C00, 0x4C01
_MS_RDONLY, _MNT_DETACH = 1, 2


def main() -> None:
    """Lists each image in each view."""
    images, results = Path(sys.argv[1]).read_text().splitlines(), Path(sys.argv[2])
    os.makedirs(_POINT)
    libc = ctypes.CDLL(None, use_errno=True)
    for number, image in enumerate(images):
        result = results / f"{number}.json"
        if result.exists():
            continue
        (results / "current").write_text(str(number))
        views = views_of(Path(image).read_bytes())
        listings = {}
        with open(image, "rb") as file, open(_LOOP, "rb") as loop:
            fcntl.ioctl(loop, _LOOP_SET_FD, file.fileno())
            for view in views:
                listings[view] = _list(libc, linux_options(view).encode())
            fcntl.ioctl(loop, _LOOP_CLR_FD)
        text = json.dumps({"kernel": os.uname().release, "listings": listings})
        temporary = result.with_suffix(".new")
        temporary.write_text(text)
        temporary.rename(result)
    (results / "current").write_text("end")


def _list(libc: ctypes.CDLL, options: bytes) -> Listing:
    if libc.mount(_LOOP.encode(), _POINT, b"iso9660", _MS_RDONLY, options):
        code = ctypes.get_errno()
        return Listing(failed=errno.errorcode.get(code, str(code)))
    try:
        return list_tree(Mounted(_POINT))
    except OSError as error:
        return Listing(failed=f"listing: {error}")
    finally:
        libc.umount2(_POINT, _MNT_DETACH)


if __name__ == "__main__":
    main()
