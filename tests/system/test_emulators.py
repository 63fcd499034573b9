"""Emulators read mounted discs: as directories, and as images within a mount."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from writers.containers import cso
from writers.discs import Disc, rock
from writers.mounting import LIMIT, Mounting, numbered
from writers.programs import BOOT_SIZE, BOOTED, DEBUG_EXIT, DEBUG_EXIT_CODE, boot_program, dos_copy, gba_rom
from writers.tools import find, require

GAME: Final = Path("/usr/share/scummvm/beneath-a-steel-sky")
MGBA: Final = Path("/usr/lib/x86_64-linux-gnu/libretro/mgba_libretro.so")
DATA: Final = numbered(100) + b"an odd end"


# --- programs -------------------------------------------------------------------------------------------------------


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """An environment without screen, sound and the settings of whoever runs the tests."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    own = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
    return kept | own


def run(words: list[str | Path], surroundings: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Runs a program to its end. One that hangs is killed, and the test fails."""
    return subprocess.run(
        words,
        env=surroundings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT,
        check=False,
    )


def dosbox(surroundings: dict[str, str], *commands: str) -> bytes:
    """Runs DOS commands. What DOSBox said, for the message of an assertion."""
    words: list[str | Path] = [require("dosbox"), "-noconsole"]
    for line in (*commands, "exit"):
        words += ["-c", line]
    done = run(words, surroundings)
    assert done.returncode == 0, done.stdout
    return done.stdout


def boots(image: Path, surroundings: dict[str, str]) -> bool:
    """Whether a PC starts the boot program of a disc."""
    machine = ["-M", "pc", "-accel", "tcg", "-m", "32", "-display", "none", "-serial", "stdio", "-monitor", "none"]
    words: list[str | Path] = [require("qemu-system-x86_64"), *machine, "-net", "none", "-boot", "d"]
    done = run([*words, "-cdrom", image, "-device", f"isa-debug-exit,iobase={DEBUG_EXIT:#x},iosize=1"], surroundings)
    return (done.returncode, BOOTED in done.stdout) == (DEBUG_EXIT_CODE, True)


# --- discs ----------------------------------------------------------------------------------------------------------


def compressed(disc: Path, *options: str) -> Path:
    """The disc as a CSO beside it, by maxcso."""
    made = disc.with_suffix(".cso")
    words = [require("maxcso"), "--fast", *options, f"--out={made}", str(disc)]
    subprocess.run(words, check=True, capture_output=True, timeout=LIMIT)
    return made


def make_disc(folder: Path, image: Path, *options: str) -> Path:
    """A disc with Rock Ridge and Joliet."""
    words = [require("xorriso"), "-as", "mkisofs", "-quiet", "-R", "-J", *options, "-o", str(image), str(folder)]
    subprocess.run(words, check=True, capture_output=True, timeout=LIMIT)
    return image


@pytest.fixture(scope="module")
def bootable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disc that boots, with a program for DOS that copies a file from the drive that it is in to D:."""
    folder = tmp_path_factory.mktemp("bootable")
    (folder / "BOOT.BIN").write_bytes(boot_program())
    (folder / "DATA.BIN").write_bytes(DATA)
    (folder / "FETCH.COM").write_bytes(dos_copy(b"DATA.BIN", b"D:\\OUT.BIN"))
    boot = f"-b BOOT.BIN -no-emul-boot -boot-load-size {BOOT_SIZE // 512}".split()
    return make_disc(folder, tmp_path_factory.mktemp("image") / "bootable.iso", *boot)


@pytest.fixture(scope="module")
def shelf(bootable: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A mounted CSO that holds the same program, the bootable disc as a file, and a cartridge."""
    require("/dev/fuse")
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "DATA.BIN").write_bytes(DATA[::-1])
    (folder / "FETCH.COM").write_bytes(dos_copy(b"DATA.BIN", b"D:\\OUT.BIN"))
    (folder / "GAME.GBA").write_bytes(gba_rom(DATA))
    shutil.copy(bootable, folder / "DISC.ISO")
    mounting = Mounting(tmp_path_factory.mktemp("mounts"))
    try:
        yield mounting.mount(compressed(make_disc(folder, tmp_path_factory.mktemp("image") / "shelf.iso")))
    finally:
        mounting.clean()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """What DOS may write to."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


# --- DOSBox ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["", " -t cdrom -label ISOFS"], ids=["hard disk", "CD-ROM"])
def test_dosbox_runs_a_program_from_a_mounted_cso(
    shelf: Path, out: Path, surroundings: dict[str, str], kind: str
) -> None:
    said = dosbox(surroundings, f'mount e "{shelf}"{kind}', f'mount d "{out}"', "e:", "FETCH.COM")
    assert (out / "OUT.BIN").read_bytes() == DATA[::-1], said


def test_dosbox_opens_a_disc_that_lies_in_a_mount(shelf: Path, out: Path, surroundings: dict[str, str]) -> None:
    said = dosbox(surroundings, f'imgmount e "{shelf}/DISC.ISO" -t iso', f'mount d "{out}"', "e:", "FETCH.COM")
    assert (out / "OUT.BIN").read_bytes() == DATA, said


@pytest.fixture
def alike(tmp_path: Path) -> Path:
    """A disc with two names that differ in case only, which are one to DOS."""
    disc = Disc(rock=True)
    for name, data in (
        (b"Data.bin", DATA),
        (b"DATA.BIN", DATA[::-1]),
        (b"Fetch.Com", dos_copy(b"DATA.BIN", b"D:\\OUT.BIN")),
    ):
        disc.root.file(name.upper(), data, system_use=rock(name))
    (tmp_path / "alike.cso").write_bytes(cso(disc.build()))
    return tmp_path / "alike.cso"


@pytest.mark.parametrize("case", ["lower", "upper"])
def test_dosbox_finds_the_file_that_the_mount_shows_by_this_name(
    alike: Path, mounting: Mounting, out: Path, surroundings: dict[str, str], case: str
) -> None:
    point = mounting.mount(alike, "-o", f"case={case}")
    said = dosbox(
        surroundings, f'mount e "{point}"', f'mount d "{out}"', "e:", "FETCH.COM", r"copy e:\DATA~1.BIN d:\TWO.BIN"
    )
    shown = (point / "DATA.BIN").read_bytes()
    assert shown in (DATA, DATA[::-1])
    assert (out / "OUT.BIN").read_bytes() == shown, said
    assert (out / "TWO.BIN").read_bytes() == shown[::-1], said


# --- ScummVM --------------------------------------------------------------------------------------------------------


def scummvm() -> str:
    """The program, which is not where root looks."""
    if not GAME.is_dir():
        pytest.skip("needs beneath-a-steel-sky: it is not installed")
    return shutil.which("scummvm", path=f"{os.environ['PATH']}:/usr/games") or require("scummvm")


@pytest.fixture(scope="module")
def game(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Beneath a Steel Sky, mounted from a CSO."""
    require("/dev/fuse")
    scummvm()
    mounting = Mounting(tmp_path_factory.mktemp("game"))
    disc = make_disc(GAME, tmp_path_factory.mktemp("image") / "sky.iso")
    try:
        yield mounting.mount(compressed(disc, "--block=16384"))  # one second instead of four with usual blocks
    finally:
        mounting.clean()


def test_scummvm_detects_a_game_in_a_mounted_cso(game: Path, surroundings: dict[str, str]) -> None:
    done = run([scummvm(), f"--path={game}", "--detect"], surroundings)
    assert done.returncode == 0, done.stdout
    assert b"Beneath a Steel Sky (v0.0372 CD/DOS)" in done.stdout


def test_scummvm_starts_a_game_from_a_mounted_cso(game: Path, surroundings: dict[str, str]) -> None:
    words = [
        "timeout",
        "-k",
        "0.1",
        f"{LIMIT:.0f}",
        scummvm(),
        f"--path={game}",
        "--no-fullscreen",
        "--auto-detect",
        "-d5",
    ]
    shown: list[bytes] = []
    with subprocess.Popen(
        words, env=surroundings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            shown.append(line)
            if b"UnpackM1 returned: 64000" in line:  # a picture of 320 by 200, whose checksum is right
                break
        process.terminate()
    assert b"UnpackM1 returned: 64000" in shown[-1], shown
    assert not [line for line in shown if b"UnpackM1 returned: -" in line]


# --- QEMU -----------------------------------------------------------------------------------------------------------


def test_qemu_boots_a_disc_that_lies_in_a_mount(shelf: Path, surroundings: dict[str, str]) -> None:
    assert boots(shelf / "DISC.ISO", surroundings)


# --- the disc as one file -------------------------------------------------------------------------------------------


@pytest.fixture
def as_image(bootable: Path, mounting: Mounting) -> Path:
    """The file by which a mount of the bootable disc, a CSO, shows the plain image."""
    point = mounting.mount(compressed(bootable), "-o", "image")
    assert os.listdir(point) == ["bootable.iso"]
    return point / "bootable.iso"


def test_the_image_in_the_mount_has_the_bytes_of_the_disc(as_image: Path, bootable: Path) -> None:
    assert as_image.read_bytes() == bootable.read_bytes()


def test_qemu_boots_the_image_in_the_mount(as_image: Path, surroundings: dict[str, str]) -> None:
    assert boots(as_image, surroundings)


def test_dosbox_opens_the_image_in_the_mount(as_image: Path, out: Path, surroundings: dict[str, str]) -> None:
    said = dosbox(surroundings, f'imgmount e "{as_image}" -t iso', f'mount d "{out}"', "e:", "FETCH.COM")
    assert (out / "OUT.BIN").read_bytes() == DATA, said


# --- RetroArch ------------------------------------------------------------------------------------------------------

if find("retroarch") and MGBA.exists():  # its package brings 190 MB of pictures: wanted of nobody, so not even skipped

    def test_retroarch_loads_content_from_a_mounted_cso(
        shelf: Path, tmp_path: Path, surroundings: dict[str, str]
    ) -> None:
        drivers = ("video", "audio", "input", "joypad", "menu")
        (tmp_path / "retroarch.cfg").write_text("".join(f'{name}_driver = "null"\n' for name in drivers))
        words: list[str | Path] = [require("retroarch"), "-c", tmp_path / "retroarch.cfg", "-L", MGBA, "-v"]
        done = run([*words, shelf / "GAME.GBA", "--max-frames=60"], surroundings)
        assert done.returncode == 0, done.stdout
        saved = list(Path(surroundings["HOME"]).rglob("GAME.srm"))
        assert [path.read_bytes()[:4096] for path in saved] == [DATA[:4096]], done.stdout
