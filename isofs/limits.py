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
"""What xz -9 takes."""

ZSTD_WINDOW_LOG: Final = 23
"""8 MiB."""

MEMBERS: Final = 1 << 22
"""Blocks of an xz file, members of a BGZF file, frames of a zstd file: 40 MB of memory, and 256 GiB in blocks of
64 KiB."""

MEMBER_SIZE: Final = 64 * MIB
"""Decoded bytes of a zstd frame, all of which are decoded for one sector: pzstd -19 makes frames of 32 MiB."""

LONE_MEMBER: Final = 8 * MIB
"""Decoded bytes of the only block of an xz file or the only frame of a zstd file: pzstd, which rewrites files in
frames, makes one frame of as many. What is larger is better rewritten."""

XZ_BLOCK: Final = 256 * MIB
"""Decoded bytes of an xz block: xz -9 -T makes blocks of 192 MiB, which take seconds."""

XZ_STREAMS: Final = 1 << 16
"""Streams of an xz file, each of which is found by reads of its own."""

STRETCH: Final = 32 * MIB
"""Decoded bytes that are kept of what can only be decoded from its beginning: the blocks of xz -6 have 24 MiB."""

PASS_SIZE: Final = 128 * 1024 * MIB
"""Decoded bytes where opening means decoding everything once: a disc of four layers has 128 GB, a bomb any number."""

PASS_POINTS: Final = 1 << 18
"""Places to begin from in a gzip file: 16 GiB in members of 64 KiB."""

INDEX_FILE: Final = 64 * MIB
"""Bytes of an index that is kept on disk, and in memory: 2048 windows of deflate."""

INDEX_FILES: Final = 256 * MIB
"""Bytes of all indexes on disk; what was used longest ago goes first."""

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

DESCRIPTOR: Final = 4 * MIB
"""Bytes of a description that is no text: an MDS file, a chunk of Nero's, DiscJuggler's. Real ones have some KiB, MDS
files with the timing of a protected disc some hundred."""

CHUNKS: Final = 1000
"""Chunks of a Nero image; each session has three."""

INDEXES: Final = 100 * 99
"""Indexes of all tracks of a disc: both numbers have two digits."""

TRACKS: Final = 99
"""Tracks of a disc: track numbers have two digits."""

PARTS: Final = 1000
"""Files that one image is made of: parts have three digits, a sheet names one for each of 99 tracks at most."""

PARENTS: Final = 8
"""Parents of parents; each costs a map in memory."""

WAVE_SECTORS: Final = (0xFFFF_FFFF - 36) // 2352
"""Sectors of an audio track shown as a file: the sizes in a RIFF header have 32 bits; a CD has 450,000 sectors."""

CHD_HUNK: Final = range(512, MIB + 1)
"""Bytes of a block of a CHD image; the format says 512 KiB at most."""

CHD_HUNKS: Final = 1 << 24
"""Blocks of a CHD image: 64 GiB in the usual ones of 4 KiB. Its map is decoded whole, 15 bytes for each."""

CHD_METADATA: Final = 1024
"""Entries of a CHD image's list of metadata: 99 tracks and a few more."""

CHD_METADATA_SIZE: Final = 64 * KIB
"""Bytes of one of them; the longest known one has 2380."""

# --- volumes --------------------------------------------------------------------------------------------------------

DESCRIPTOR_SECTORS: Final = 100
"""Sectors searched for volume descriptors; Linux looks at 84, real discs have 8."""

DESCRIPTOR_GAP: Final = 16
"""Sectors in a row without a known identifier that end the search."""

BOOT_SECTIONS: Final = 64
"""Sections of a boot catalogue; real ones have two."""

BOOT_ENTRIES: Final = 1024
"""Images in a boot catalogue, which is a sector or two."""

DIRECTORY_SIZE: Final = 64 * MIB
"""400,000 records and more; without it a record of 34 bytes claims 4 GiB of directory."""

DIRECTORY_RECORDS: Final = 1_000_000
"""Entries kept of one directory; the rest is cut with a finding."""

PATH_TABLE: Final = 16 * MIB
"""Bytes of a path table: its directories have numbers of 16 bits and names of 255 bytes at most."""

PIECES_CHECKED: Final = 1 << 22
"""Pieces of files that are compared with each other by `isofs check`, which takes 130 MB for so many."""

DECODED_AGAIN: Final = 256
"""Bytes that `isofs check` reads beyond each byte of the disc: zisofs files, which can hold nothing but zeros."""

DIRECTORIES_AGAIN: Final = 6
"""Bytes of directories, and of what continues their records, that `isofs check` reads for each byte of the disc: it
reads each a few times. On a hostile disc all directories have the same sectors."""

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

ATTRIBUTE_AREAS: Final = 1024
"""Continuation areas of a record that are followed where its attributes are asked for: new ones are a block each."""

ATTRIBUTE_BYTES: Final = MIB
"""System use bytes of one record where its attributes are asked for."""

ATTRIBUTE_SIZE: Final = 64 * KIB
"""Bytes of an attribute's value, and of all names of a file's attributes, each with its NUL: XATTR_SIZE_MAX and
XATTR_LIST_MAX of Linux."""

ATTRIBUTE_NAME: Final = 255
"""XATTR_NAME_MAX of Linux."""

ACL_ENTRIES: Final = 511
"""Entries of an access control list: FUSE takes 4096 bytes of it."""

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
