"""Every number that a hostile image could reach for, beside its reason.

Sizes in bytes. Nothing read from an image is used as a size, a count or a position before it passed one of these.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# --- images ---------------------------------------------------------------------------------------------------------

SMALLEST_IMAGE: Final = 24
"""The shortest header of a container that is read (CSO)."""

BLOCK_SIZE: Final = range(512, 16 * MIB + 1)
"""Block sizes of CSO and ZSO. Writers go up to 256 KiB, readers allow 16 MiB; more only serves to eat memory."""

LZO_BLOCK_SIZE: Final = 64 * KIB
"""LZO1X grows by 255:1 at most and its decoder takes no other bound than its input, which is cut to what a block of
this size can need."""

XZ_MEMORY: Final = 80 * MIB
"""What xz -9 takes; blocks of zisofs have 1 MiB at most."""

ZSTD_WINDOW_LOG: Final = 23
"""8 MiB."""

INDEX_SHIFT: Final = 22
"""31-bit entries shifted further would reach positions that no file has."""

DISC_SIZE: Final = 1 << 42
"""4 TiB: a triple-layer disc has 0.1 TB; keeps block numbers below 2^33."""

INDEX_PAGE: Final = 4096
"""Index entries fetched by one read."""

INDEX_PAGES: Final = 256
"""Pages of index entries kept; with `INDEX_PAGE` 4 MiB for each map, whatever the image claims."""

STORED_RUN: Final = 256 * KIB
"""Stored bytes of neighbouring blocks that are fetched by one read."""

RUN_BLOCK_SIZE: Final = 256 * KIB
"""Larger blocks are not decoded in runs: a few of them would be all of the cache."""

CACHE_DEFAULT: Final = 32 * MIB
"""Decoded blocks that are kept when nothing else is asked for."""

CACHE_LEAST: Final = 1 * MIB
"""The smallest cache that makes sense: one request of the kernel may ask for 1 MiB."""

THREADS: Final = 64
"""Workers at most."""

READAHEAD: Final = 64 * MIB
"""Bytes that the kernel may be told to read ahead: one request has 1 MiB at most."""

DESCRIPTION: Final = 1 * MIB
"""Sheets (CUE, CCD, TOC, GDI) are text files below this size."""

DESCRIPTION_LINES: Final = 10_000
"""Lines of a sheet; 99 tracks of 99 indexes would take as many."""

DESCRIPTION_LINE: Final = 1 * KIB
"""Characters of a line."""

TRACKS: Final = 99
"""Tracks of a disc: track numbers have two digits."""

COMPANIONS: Final = 100
"""Files that a sheet may name, a parent or parts apart: 99 tracks."""

PARTS: Final = 1000
"""Parts of a split image: three digits."""

# --- volumes --------------------------------------------------------------------------------------------------------

DESCRIPTOR_SECTORS: Final = 100
"""Sectors searched for volume descriptors; Linux looks at 84, real discs have 8."""

DESCRIPTOR_GAP: Final = 16
"""Sectors in a row without a known identifier that end the search."""

DIRECTORY_SIZE: Final = 64 * MIB
"""400,000 records and more; without it a record of 34 bytes claims 4 GiB of directory."""

DIRECTORY_RECORDS: Final = 1_000_000
"""Entries kept of one directory; the rest is cut with a finding."""

DIRECTORY_CACHE: Final = 32 * MIB
"""Parsed directories that are kept; the one used last is kept whatever its size."""

DEPTH: Final = 256
"""Directories below each other that are walked; the standard has 8, paths of Linux end at 2048."""

DIRECTORY_NAMES: Final = 16
"""Names under which one directory is walked again; without it forty directories make 2^40 paths."""

FILE_SIZE: Final = (1 << 63) - 1
"""What Linux can express; zisofs and sparse files may claim more."""

SECTIONS: Final = 65_536
"""Sections of one file; Linux stops silently at 100, discs split for 3D video have thousands."""

CONTINUATIONS: Final = 32
"""Continuation areas of one record, as in Linux; xorriso uses three."""

CONTINUATION_BYTES: Final = 64 * KIB
"""System use bytes of one record, all its areas together."""

NAME_COLLECTED: Final = 1024
"""Bytes of NM entries that are joined; what is longer than `NAME_SHOWN` is shortened."""

NAME_SHOWN: Final = 255
"""NAME_MAX of Linux."""

LINK_TARGET: Final = 4095
"""PATH_MAX of Linux less its NUL."""

HARD_LINKS: Final = 1_000_000
"""Hard-linked files remembered at a time (some 100 bytes each); further ones get a number for each name."""

ZISOFS_LOG2: Final = range(15, 21)
"""Block sizes of zisofs: 32 to 128 KiB in version 1, to 1 MiB in version 2."""

FINDINGS: Final = 1000
"""Findings remembered and said; further ones are counted."""
