"""Small programs to put on discs: what emulators run, so that a test sees whether they read the right bytes."""

from __future__ import annotations

import struct
from typing import Final

BOOTED: Final = b"booted from the disc"
"""What the boot program writes to the first serial port."""
DEBUG_EXIT: Final = 0xF4
"""The port by which the boot program ends QEMU, if it has the device isa-debug-exit there."""
DEBUG_EXIT_CODE: Final = 33
"""What QEMU ends with then: twice what was written there, 16, plus 1."""


def assemble(text: str, origin: int) -> bytes:
    """Machine code of words: bytes in hexadecimal, `name:` a place, `@name` its address, `>name` the way to it.

    What follows a semicolon is for people. An address has 16 bits, the way of a jump 8; `origin` is that of the first
    byte.
    """
    code = bytearray()
    places: dict[str, int] = {}
    gaps: list[tuple[int, str]] = []
    for word in " ".join(line.partition(";")[0] for line in text.splitlines()).split():
        if word.endswith(":"):
            places[word[:-1]] = len(code)
        elif word[0] in "@>":
            gaps.append((len(code), word))
            code += bytes(2 if word[0] == "@" else 1)
        else:
            code += bytes.fromhex(word)
    for at, word in gaps:
        place = places[word[1:]]
        if word[0] == "@":
            struct.pack_into("<H", code, at, origin + place)
        else:
            struct.pack_into("<b", code, at, place - at - 1)
    return bytes(code)


def dos_copy(source: bytes, target: bytes) -> bytes:
    """A .COM program that copies a file by the calls of DOS, 32 KiB at a time. It ends with 1 where a call fails."""
    return assemble(
        f"""
                ba @source  b8003d cd21  72 >failed  89c6           ; si = open(source)
                ba @target 31c9  b43c cd21  72 >failed  89c7        ; di = create(target)
        more:   89f3 ba @buffer b90080  b43f cd21  72 >failed       ; ax = read(si, buffer, 32768)
                09c0 74 >done
                89fb 89c1  b440 cd21  73 >more                      ; write(di, buffer, ax)
        failed: b8014c cd21
        done:   89fb  b43e cd21                                     ; close(di)
                b8004c cd21
        source: {source.hex()} 00
        target: {target.hex()} 00
        buffer:
        """,
        0x100,
    )


BOOT_SIZE: Final = 24 * 1024


def boot_program() -> bytes:
    """A boot image without emulation, `BOOT_SIZE` bytes. It writes `BOOTED` from its end to the port and ends QEMU."""
    code = assemble(
        f"""
                31c0 8ed8 be {(0x7C00 + BOOT_SIZE - 512).to_bytes(2, "little").hex()}  ; ds:si = the text
                baf803                                              ; dx = port of COM1
        more:   ac 08c0 74 >end ee eb >more                         ; out dx, each byte up to a zero
        end:    ba {DEBUG_EXIT:02x}00 b010 ee                       ; out DEBUG_EXIT, 16
                fa f4                                               ; cli; hlt
        """,
        0x7C00,
    )
    return code.ljust(BOOT_SIZE - 512, b"\x90") + (BOOTED + b"\r\n").ljust(512, b"\0")


def gba_rom(data: bytes) -> bytes:
    """A cartridge of the Game Boy Advance whose program copies 4 KiB of the cartridge into its battery memory."""
    code = (
        0xE3A0_0302,  # mov r0, #0x8000000    the cartridge
        0xE280_0A01,  # add r0, r0, #0x1000
        0xE3A0_140E,  # mov r1, #0xE000000    the memory
        0xE3A0_2A01,  # mov r2, #0x1000
        0xE4D0_3001,  # ldrb r3, [r0], #1
        0xE4C1_3001,  # strb r3, [r1], #1
        0xE252_2001,  # subs r2, r2, #1
        0x1AFF_FFFB,  # bne                   to ldrb
        0xEAFF_FFFE,  # b                     to itself
    )
    head = bytearray(0xC0)
    head[:4] = struct.pack("<I", 0xEA00_002E)  # b 0xC0
    head[0xA0:0xAC] = b"KEEPS A PART"
    head[0xB2] = 0x96  # so it is a cartridge
    program = bytes(head) + struct.pack("<9I", *code) + b"SRAM_V113"  # that it has such memory
    return program.ljust(0x1000, b"\0") + data[:0x1000].ljust(0x7000, b"\0")
