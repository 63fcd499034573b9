"""The differences between Linux's driver and isofs that are meant, each with its reason.

Whatever differs and is not in this table is a mistake of ours; a row that nothing matches any more is one of the table.
Patterns are those of a shell, paths in small letters. What is not compared at all: inode numbers, for Linux's of a
listing are not those of a lookup.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .compare import Known


def _rows(reason: str, *patterns: dict[str, str]) -> Iterator[Known]:
    for pattern in patterns:
        for image in pattern.get("image", "*").split():
            for field in pattern.get("field", "*").split():
                yield Known(reason, **{**pattern, "image": image, "field": field})


_TIMES: Final = "mtime atime ctime"
_STATUS: Final = f"kind mode nlink uid gid size {_TIMES} content also"

KNOWN: Final = (
    # --- options ---
    *_rows(
        "Linux asks the drive for its sessions, and a loop device has none; we find them in the file",
        {"view": "session=1"},
        {"view": "session=0", "image": "iso/grown-2.iso iso/grown-3.iso", "field": "statfs missing"},
        {"view": "session=0", "image": "public/libarchive-iso_xorriso.iso", "field": "statfs"},
        {"view": "session=0", "image": "public/libcdio-multi_extent_8k_emul_toc_padded.iso", "field": "statfs"},
    ),
    *_rows(
        "a charset that nobody knows is refused, whichever tree is shown",
        {"view": "norock,iocharset=unknown", "field": "mount", "theirs": "", "ours": "exit 1"},
    ),
    *_rows(
        "associated files have a name of their own; Linux lists one name twice and finds the associated file for both",
        {"view": "*showassoc", "path": "*/._*", "field": "extra"},
        {"view": "unhide", "path": "*/._*", "field": "extra"},
        {"view": "*showassoc", "path": "*(again, 2)", "field": "missing", "theirs": "=-"},
        {"view": "unhide", "path": "*(again, 2)", "field": "missing", "theirs": "=-"},
        {"image": "own/plain.iso", "path": "/alone.txt", "field": "missing"},
        {"image": "own/plain.iso", "path": "/both.txt", "field": "missing"},
        {"image": "own/*", "view": "*showassoc", "path": "/fork*", "field": "content"},
        {"image": "own/*", "view": "unhide", "path": "/fork*", "field": "content"},
        {"image": "own/plain.iso", "path": "/fork.txt", "field": "size", "theirs": "13", "ours": "9"},
        {"image": "own/rock-ridge.iso", "view": "norock,showassoc", "path": "/i.txt", "field": "content"},
        {"image": "own/apple.iso", "path": "/*told", "field": "content"},
        {"image": "own/high-sierra.iso", "path": "/fork", "field": "missing"},
        {"image": "iso/hidden.iso", "path": "/seen.txt", "field": "missing"},
    ),
    *_rows(
        "blocks of 512 bytes need no option",
        {"image": "own/block512.iso iso/block512.iso iso/block512-rr.iso", "field": "mount", "theirs": "EINVAL"},
    ),
    # --- which tree ---
    *_rows(
        "a Joliet descriptor in front of the primary one hides nothing",
        {"image": "own/joliet-first.iso", "path": "/joliet", "field": "missing"},
        {"image": "own/joliet-first.iso", "path": "/rock", "field": "extra"},
        {"image": "own/joliet-first.iso", "path": "/", "field": "mode", "ours": "0755"},
        {"image": "own/joliet-first.iso iso/joliet-before-primary.iso", "view": "*nojoliet*", "field": "mount"},
    ),
    *_rows(
        "a damaged Joliet tree hides nothing",
        {"image": "hostile/joliet-root-noise.iso", "field": "extra", "path": "/*"},
        {"image": "hostile/joliet-root-noise.iso", "view": "sbsector=1", "field": "mount", "ours": "exit 32"},
    ),
    *_rows(
        "a damaged descriptor, or one that is missing, costs no more than itself",
        {"image": "public/libcdio-malformed2.iso", "field": "mount", "theirs": "EIO", "ours": ""},
        {"image": "hostile/descriptors-endless.iso hostile/joliet-root-outside.iso", "field": "mount", "theirs": "EIO"},
        {"image": "hostile/no-terminator.iso hostile/two-primaries.iso", "field": "mount", "theirs": "EINVAL"},
    ),
    *_rows(
        "a disc without a sound root is refused",
        {"image": "hostile/root-is-noise.iso", "field": "mount", "theirs": "", "ours": "exit 32"},
    ),
    *_rows(
        "a root that is not where its descriptor tells is found through the path table",
        {"image": "hostile/root-length-0.iso hostile/root-outside.iso", "field": "mount", "theirs": "EIO", "ours": ""},
    ),
    *_rows(
        "a volume that counts its blocks from there is shown; Linux takes them from the disc's begin, a wrong root",
        {"image": "iso/isohybrid-gpt.iso", "view": "sbsector=16", "field": "extra"},
        {"image": "iso/isohybrid-gpt.iso", "view": "sbsector=16", "path": "/", "field": "mode", "ours": "0755"},
    ),
    *_rows(
        "a volume larger than its disc, or without a size, is as large as the disc",
        {"image": "iso/volume-size-0.iso iso/volume-size-huge.iso", "field": "statfs", "ours": "2048 43 *"},
        {"image": "hostile/cut-*.iso", "field": "statfs", "theirs": "2048 38 *"},
    ),
    *_rows(
        "continuation areas count beyond the end that the volume tells; Linux hides files that have such",
        {"image": "iso/volume-size-0.iso", "field": "extra", "theirs": ""},
    ),
    # --- names ---
    *_rows(
        "no name stands twice in a directory: the second one gets ~2; Linux finds the first one only",
        {"path": "*(again, *)", "field": "missing", "theirs": "=-"},
        {"path": "*~[2-9]", "field": "extra", "theirs": ""},
    ),
    *_rows(
        "a name with a slash, or a damaged record, costs a directory no other name; Linux ends its list there",
        {"field": "extra", "theirs": "EIO"},
        {"field": "content", "theirs": "EIO", "ours": "-", "image": "own/plain.iso", "view": "*map=off", "path": "/"},
        {"field": "content", "theirs": "EIO", "ours": "-", "image": "hostile/iso-bad-names.iso", "path": "/n"},
        {"field": "content", "theirs": "EIO", "ours": "-", "image": "hostile/joliet-bad-names.iso", "path": "/"},
        {"field": "content", "theirs": "EIO", "ours": "-", "image": "hostile/rr-bad-names.iso", "path": "/names"},
        {"field": "content", "theirs": "EIO", "ours": "-", "image": "hostile/record-*.iso", "path": "/vdir"},
    ),
    *_rows(
        "what has no name at all is named by its place; Linux hides it",
        {"image": "hostile/iso-bad-names.iso", "path": "/n/_a8??", "field": "extra"},
    ),
    *_rows(
        "Linux leaves out the pieces of a name behind 253 bytes; we show all of 255, and shorten what is longer",
        *(
            {"image": image, "path": f"/{begin}*", "field": "missing extra"}
            for image, begin in (
                ("iso/block1024-rr.iso", "wd63ir2vkjae"),
                ("iso/block512-rr.iso", "pcsmt9yw1jzm"),
                ("iso/joliet-and-rr.iso", "cms6t98yfb78"),
                ("iso/rr-109.iso", "rvwmb0c14fep"),
                ("iso/rr-112.iso", "hffzvghoyzmj"),
                ("hostile/nm-2000.iso", "nnnnnnnnnnnn"),
                ("public/libarchive-fuzz_1.iso", "aaaaaaaaaaaa"),
            )
        ),
    ),
    *_rows(
        "entries in front of a bad one count; Linux drops the name then, and reads over the end of a short one",
        *(
            {"image": f"hostile/{image}.iso", "view": "map=off", "path": path, "field": "missing extra"}
            for image, path in (
                ("ce-self-loop", "/victim.bin*"),
                ("ce-two-loop", "/victim.bin*"),
                ("su-length-0", "/victim.bin*"),
                ("su-length-1", "/victim.bin*"),
                ("su-length-255", "/victim.bin*"),
                ("su-length-3", "/victim.bin*"),
                ("record-length-255", "/vdir/inside.txt*"),
                ("px-short", "/cut??*"),
                ("px-short", "/short10*"),
            )
        ),
        {"image": "hostile/su-length-3.iso", "path": "/victim.bin", "field": "mode", "theirs": "0644"},
        {"image": "hostile/px-short.iso", "path": "/short0[135]", "field": f"{_TIMES} size content"},
        {"image": "hostile/px-short.iso", "path": "/cut??", "field": "extra"},
        {"image": "hostile/px-short.iso", "path": "/short??", "field": "extra"},
    ),
    # --- attributes ---
    *_rows(
        "TF of long form: Linux 6.1 reads 17-byte stamps as 7-byte ones",
        {"image": "own/rock-ridge.iso", "path": "/long times", "field": "mtime"},
        {"image": "iso/dates-tf.iso", "path": "/long-*", "field": _TIMES},
    ),
    *_rows(
        "years before 1970 and from 2038 on: Linux 6.1 counts seconds in 32 bits",
        {"image": "iso/dates.iso", "path": "/t[078].txt*", "field": _TIMES},
    ),
    *_rows(
        "a time that is zero or impossible is none: 1970, or where TF tells it the record's; Linux makes one of it",
        {"image": "iso/dates.iso", "path": "/odd.txt*", "field": _TIMES, "ours": "0"},
        {"image": "iso/dates.iso", "path": "/zero.txt*", "field": _TIMES, "ours": "0"},
        {"image": "public/libarchive-iso_[23].iso", "path": "/", "field": _TIMES, "ours": "0"},
        {"image": "hostile/tf-impossible.iso", "path": "/t[123]", "field": _TIMES, "ours": "1000000000"},
    ),
    *_rows(
        "the names of a hard-linked file are one file, with one set of times",
        {"image": "public/libarchive-iso_zisofs.iso", "path": "/hardlink", "field": "atime"},
    ),
    *_rows(
        "a type that there is not counts as that of the record; Linux answers EIO for such a name",
        {"image": "hostile/px-odd-mode.iso", "path": "/mode[0125]", "field": _STATUS},
    ),
    *_rows(
        "a file that calls itself a directory, or the other way round: Linux takes attributes of whatever lies there",
        {"image": "hostile/px-odd-mode.iso", "path": "/mode3", "field": f"mode uid gid size {_TIMES} content"},
        {"image": "hostile/file-is-dir.iso", "path": "/victim.bin*", "field": f"kind mode size {_TIMES} content"},
        {"image": "hostile/dir-is-*.iso", "path": "/vdir", "field": f"{_TIMES} content"},
        {"image": "hostile/dir-is-noise.iso", "path": "/vdir/*", "field": "extra"},
        {"image": "hostile/no-dot-entries.iso", "path": "/vdir", "field": f"mode nlink size {_TIMES}"},
        {
            "image": "public/libarchive-iso_rockridge_zf_overflow.iso",
            "path": "/a",
            "field": f"extra kind {_TIMES} content",
        },
        {"image": "hostile/joliet-root-noise.iso", "path": "/", "field": f"size {_TIMES}"},
    ),
    *_rows(
        "a link without a target has no size",
        {"image": "hostile/px-odd-mode.iso", "path": "/mode4", "field": "size", "theirs": "1", "ours": "0"},
    ),
    *_rows(
        "the owner 4294967295 is nobody: Linux denies even root what such a file's permissions deny",
        {"image": "hostile/px-odd-mode.iso", "view": "overriderockperm,*", "path": "/mode6", "field": "content"},
    ),
    # --- links and relocated directories ---
    *_rows(
        "Linux cannot read a link whose record spans two blocks",
        {"image": "iso/block1024-rr.iso", "path": "/jasper", "field": "content", "theirs": "EIO"},
        {"image": "iso/block512-rr.iso", "path": "/maple", "field": "content", "theirs": "EIO"},
        {"image": "iso/block512-rr.iso", "path": "/zinnia", "field": "content", "theirs": "EIO"},
    ),
    *_rows(
        "a target that does not lie within its entry, or is too long, is an error; Linux 6.1 reads what lies behind",
        {"image": "hostile/sl-overrun.iso", "path": "/l[12]", "field": "size content"},
        {"image": "hostile/sl-long.iso", "path": "/biglink", "field": "size", "ours": "0"},
    ),
    *_rows(
        "CL that does not lead to a relocated directory costs its name",
        {"image": "hostile/cl-file.iso hostile/cl-outside.iso", "path": "/victim.bin", "field": "missing"},
        {"image": "hostile/cl-root.iso", "path": "/victim.bin*", "field": "missing"},
        {"image": "hostile/cl-self.iso", "path": "/vdir/victim.bin*", "field": "missing"},
    ),
    *_rows(
        "a directory within itself is not listed; where nothing tells, the kernel cuts the circle",
        {"image": "hostile/dir-is-parent.iso", "path": "/vdir/vsub", "field": "missing", "theirs": "?ELOOP"},
        {"image": "hostile/dir-is-root.iso", "path": "/vdir", "field": "missing", "theirs": "?ELOOP"},
        {"image": "hostile/no-dot-entries.iso", "path": "/vdir/a", "field": "missing", "theirs": "?ELOOP"},
        {"image": "hostile/dir-two-cycle.iso", "path": "/gdir/deep/vsub*", "field": f"extra {_STATUS}"},
        {"image": "hostile/dir-two-cycle.iso", "path": "/vdir/vsub/deep*", "field": f"extra {_STATUS}"},
    ),
    # --- data ---
    *_rows(
        "bytes that the image does not have are errors; Linux makes up the rest of a request with zeros",
        {"image": "own/plain.iso", "path": "/junk.dat", "field": "content", "theirs": "EIO@*", "ours": "EIO@*"},
        {"image": "own/plain.iso", "path": "/cut.dat", "field": "content", "ours": "EIO@24576"},
        {"image": "hostile/cut-odd.iso", "path": "/a?good.txt*", "field": "content", "ours": "EIO@0"},
        {"image": "hostile/file-4gib.iso", "path": "/victim.bin*", "field": "content", "ours": "EIO@8192"},
        {"image": "hostile/file-past-end.iso", "path": "/victim.bin*", "field": "content", "ours": "EIO@8192"},
    ),
    *_rows(
        "the last bytes of an image that is no multiple of 512 bytes: a loop device leaves them out",
        {"image": "iso/cut-padding.iso", "path": "/z?last.bin*", "field": "content"},
    ),
    *_rows(
        "interleaved files are read; to Linux they are empty",
        {"image": "iso/interleave.iso", "path": "/ilv*.bin*", "field": "size content"},
        {"image": "hostile/interleave-huge.iso", "path": "/victim.bin*", "field": "size content"},
    ),
    *_rows(
        "files of more than 100 sections are whole; Linux cuts them off",
        {"image": "hostile/multi-terabyte.iso", "path": "/zz?huge.bin*", "field": "size content"},
    ),
    *_rows(
        "sections that do not belong together are an error; Linux hides the file, or joins what is not one",
        {"image": "hostile/multi-changes-name.iso", "path": "/zm.bin*", "field": "size content"},
        {"image": "hostile/multi-changes-name.iso", "path": "/zm.bin*", "field": "extra", "ours": "fEIO@0"},
        {"image": "hostile/multi-no-end.iso", "path": "/victim.bin*", "field": "extra", "ours": "fEIO@0"},
    ),
    *_rows(
        "a file whose continuation areas are lost reads as an error; Linux hides it, or does without them",
        *(
            {"image": f"hostile/{image}.iso", "path": "/victim.bin", "field": "extra", "ours": "fEIO@0"}
            for image in ("ce-2000-blocks", "ce-offset-huge", "ce-outside", "ce-size-huge")
        ),
        {"image": "hostile/ce-self-loop.iso hostile/ce-two-loop.iso", "field": "content", "ours": "EIO@0"},
        {"image": "public/libarchive-iso_rockridge_ce_loop.iso", "path": "/aaaa*", "field": "extra", "ours": "fEIO@0"},
    ),
    *_rows(
        "zisofs of version 2 is decoded",
        {"image": "iso/xorriso-zisofs-v2.iso", "path": "/*", "field": "size content"},
    ),
    *_rows(
        "zisofs that is damaged, or of an unknown kind, is an error; Linux shows stored bytes or what it can",
        {"image": "hostile/zisofs-*.iso", "path": "/zvictim.txt", "field": "size content"},
        {"image": "hostile/unknown-entries.iso", "path": "/victim.bin", "field": "size content"},
        {"image": "public/libarchive-iso_zisofs_overflow.iso", "path": "/overflow.bin", "field": "content"},
    ),
)
