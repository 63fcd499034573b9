"""Writes the golden files: boots Linux in user mode and lists every image through its isofs driver.

    python -m kernel.make_golden [IMAGE...]      in the folder tests; Debian's user-mode-linux and busybox-static

Images are named as in `images.names`; all of them, if none is named.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from . import images
from .golden import Golden, encode, load, path_of
from .listing import Entry, Listing

_MODULES: Final = Path("/usr/lib/uml/modules")
_NEEDED: Final = ("nls_utf8", "nls_iso8859-1", "nls_cp437", "nls_koi8-r", "loop", "cdrom", "isofs")
_PATIENCE: Final = 240.0
"""Seconds that one image may take."""

_INIT: Final = """#!/bin/busybox sh
b=/usr/bin/busybox
[ -x $b ] || b=/bin/busybox
$b mount -t proc none /proc
$b mount -t devtmpfs none /dev 2>/dev/null # it may be there already
$b mount -t tmpfs none /mnt
$b mkdir /mnt/results
$b mount -t hostfs none /mnt/results -o {results}
for module in {modules}; do $b insmod $module; done
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={tests}
{python} -m kernel.in_linux {listed} /mnt/results
$b poweroff -f
"""


def main() -> None:
    """Makes the golden files of the images named on the command line, or of all."""
    chosen = sys.argv[1:] or images.names()
    with tempfile.TemporaryDirectory(prefix="isofs-golden-") as folder:
        work = Path(folder)
        listed, results = work / "images", work / "results"
        results.mkdir()
        files = []
        for number, name in enumerate(chosen):
            files.append(work / f"{number}.iso")
            files[-1].write_bytes(images.content(name))
        listed.write_text("".join(f"{file}\n" for file in files))
        _run(work, listed, results)
        for number, name in enumerate(chosen):
            _write(name, files[number], json.loads((results / f"{number}.json").read_text()))


def _write(name: str, file: Path, result: dict[str, object]) -> None:
    listings = {}
    found = result["listings"]
    assert isinstance(found, dict)
    for view, (entries, statfs, failed) in found.items():
        listings[view] = Listing(tuple(Entry(*entry) for entry in entries), statfs, failed)
    golden = Golden(name, hashlib.sha256(file.read_bytes()).hexdigest(), f"Linux {result['kernel']}", listings)
    target = path_of(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(encode(golden), "utf-8")
    if load(target) != golden:
        sys.exit(f"{target}: what was written is not what is read")


def _run(work: Path, listed: Path, results: Path) -> None:
    """Runs Linux until it has listed all images; one on which it dies or hangs is noted, and it is started again."""
    init = work / "init"
    version = max(os.listdir(_MODULES))
    modules = {path.stem: path for path in (_MODULES / version).rglob("*.ko")}
    init.write_text(
        _INIT.format(
            results=results,
            modules=" ".join(str(modules[name]) for name in _NEEDED if name in modules),
            tests=Path(__file__).resolve().parents[1],
            python=sys.executable,
            listed=listed,
        )
    )
    init.chmod(0o755)
    while True:
        (results / "current").write_text("start")
        said = _boot(init, results)
        current = (results / "current").read_text()
        if current == "end":
            return
        if current == "start" or "Traceback" in said:
            sys.exit(f"Linux did not list the images:\n{said}")
        print(f"Linux did not survive image {current}: {said[-300:]}", file=sys.stderr)
        lost = {"kernel": version, "listings": {"defaults": Listing(failed="the kernel does not survive it")}}
        (results / f"{current}.json").write_text(json.dumps(lost))


def _boot(init: Path, results: Path) -> str:
    """Runs Linux to its end, or until it has spent too long on one image. What it said."""
    words = [shutil.which("linux.uml") or sys.exit("user-mode-linux is not installed"), "mem=512M"]
    words += ["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", f"init={init}", "con=null", "con0=fd:0,fd:1"]
    words.append(f"uml_dir={init.parent}/uml/")  # else in the home directory
    with (
        tempfile.TemporaryFile() as out,
        subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        since, seen = time.monotonic(), ""
        try:
            while process.poll() is None:
                now = (results / "current").read_text()
                if now != seen:
                    since, seen = time.monotonic(), now
                if time.monotonic() - since > _PATIENCE:
                    break
                time.sleep(0.2)
        finally:
            if process.poll() is None:  # its own group: it runs as several processes
                os.killpg(process.pid, signal.SIGKILL)
        out.seek(0)
        said = out.read().decode(errors="replace")
    return re.sub(r"\x1b\[[0-9;]*m", "", said)


if __name__ == "__main__":
    main()
