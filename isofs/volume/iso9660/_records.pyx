# cython: language_level=3
"""The usual records of a directory, read at one go.

Most records of most discs are alike: sound, of a file in one section, with the same few system use entries. These are
read here. Everything else - what is not usual, or worth a finding - is left to the Python code, which stays the
authority and, without this module, reads all of them: what `records` says about records, `susp` and `rockridge` about
system use fields, holds here too. The tests compare the two ways.

A usual record

- is sound, both halves of its extent agree, and it is no section of several;
- has, where Rock Ridge is in use, PX of a regular file with one link, of a symbolic link or of a directory, one NM with
  a name that can be shown as it is, at most one TF, in short form, and at most one SL; beside them only ST and
  what is ignored anyway;
- has a name that no other record of the directory has, and a place where a file or directory can be.

So are `.`, `..` and associated files, which are not listed.

All bytes come from strangers. Nothing is read before its place was compared with the end of what it is in: an entry
with its field, a field with its record, a record with the directory.
"""

from libc.string cimport memchr, memcmp

from ...errors import ImageError
from ..tree import ROOT, Attributes, Entry
from .dates import short_time
from .rockridge import link_target

cdef extern from "Python.h":
    int PyBytes_AsStringAndSize(object data, char **start, Py_ssize_t *size) except -1
    void PyObject_GC_UnTrack(object)

ctypedef const unsigned char *Bytes

cdef enum:
    STRETCH = 65536  # bytes read by one call: between two of them other threads have their turn
    SECTOR = 2048
    HEAD = 33  # bytes of a record in front of its identifier
    FLAG_DIRECTORY = 0x02
    FLAG_ASSOCIATED = 0x04
    FLAG_MULTI_EXTENT = 0x80
    XA_SIZE = 14
    XA_NO_DATA = 0x50  # Form 2, or an audio track: bits of the attributes' high byte
    LONG_FORM = 0x80
    PERMISSIONS = 0o7777
    REGULAR = 0o100000
    DIRECTORY = 0o040000
    LINK = 0o120000


cdef struct Use:
    # The entries of a system use field, NULL for those that are not there; each at least as long as its fields need.
    Bytes px
    Bytes nm
    Bytes tf
    Bytes sl


cdef inline unsigned int number(Bytes at) noexcept:
    """A both-endian number of 32 bits."""
    return at[0] | at[1] << 8 | at[2] << 16 | <unsigned int>at[3] << 24


cdef inline bint is_blank(Bytes start, Py_ssize_t size) noexcept:
    cdef Py_ssize_t i
    for i in range(size):
        if start[i]:
            return False
    return True


cdef inline bint is_same(Bytes one, Bytes other) noexcept:
    """Whether two entries are equal, or both are not there."""
    if one == NULL or other == NULL:
        return one == other
    return one[2] == other[2] and memcmp(one, other, one[2]) == 0


cdef bint is_usual(Bytes record, Py_ssize_t room) noexcept:
    """Whether a record begins here, within `room` bytes, that is usual up to its system use field."""
    if room <= HEAD:
        return False
    cdef Py_ssize_t length = record[0], n = record[32]
    if not n or length < HEAD + n or length > room or record[25] & FLAG_MULTI_EXTENT:
        return False
    return record[2] == record[9] and record[3] == record[8] and record[4] == record[7] and record[5] == record[6]


cdef inline bint is_ignored(Bytes entry) noexcept:
    """Whether an entry says nothing that is of use: RR, PD, AL, which xorriso writes, and Apple's AA."""
    return (
        (entry[0] == b'R' and entry[1] == b'R')
        or (entry[0] == b'P' and entry[1] == b'D')
        or (entry[0] == b'A' and (entry[1] == b'L' or entry[1] == b'A'))
    )


cdef bint find_entries(Bytes field, Py_ssize_t size, Use *found) noexcept:
    """Tells `found` the entries of a system use field. False for one that is not usual."""
    cdef Bytes entry
    cdef Bytes *place
    cdef Py_ssize_t at = 0, length, least
    found.px = found.nm = found.tf = found.sl = NULL
    while at + 4 <= size:
        entry = field + at
        length = entry[2]
        if length < 4 or at + length > size:
            break
        at += length
        if entry[0] == b'P' and entry[1] == b'X':
            place = &found.px
            least = 36
        elif entry[0] == b'N' and entry[1] == b'M':
            place = &found.nm
            least = 6
        elif entry[0] == b'T' and entry[1] == b'F':
            place = &found.tf
            least = 5
        elif entry[0] == b'S' and entry[1] == b'L':
            place = &found.sl
            least = 5
        elif entry[0] == b'S' and entry[1] == b'T':
            break
        elif is_ignored(entry):
            continue
        else:
            return False
        if place[0] != NULL or length < least:
            return False
        place[0] = entry
    return (
        found.px != NULL
        and is_usual_file(found.px)
        and found.nm != NULL
        and is_whole_name(found.nm)
        and (found.tf == NULL or not found.tf[4] & LONG_FORM)
    )


cdef inline Py_ssize_t use_place(Bytes record, Py_ssize_t skipped, bint rock=True) noexcept:
    """Where in a record its system use entries begin; without `rock` its system use field."""
    cdef Py_ssize_t at = HEAD + record[32] + (record[32] & 1 ^ 1)
    if not rock or skipped:
        return at + skipped
    if at + 8 <= record[0] and record[at + 6] == b'X' and record[at + 7] == b'A':
        return at + XA_SIZE
    return at


cdef inline bint is_data(Bytes record) noexcept:
    """Whether CD-ROM XA does not say that a file is not whole in sectors of 2048 bytes."""
    cdef Bytes field = record + use_place(record, 0, False)
    if use_place(record, XA_SIZE, False) > record[0] or field[6] != b'X' or field[7] != b'A':
        return True
    return not field[4] & XA_NO_DATA or not is_blank(field + 9, 5)


cdef inline bint is_listed(Bytes record) noexcept:
    return not (record[25] & FLAG_ASSOCIATED or (record[32] == 1 and record[HEAD] <= 1))


cdef inline unsigned int kind_of(Bytes px) noexcept:
    return number(px + 4) & ~<unsigned int>PERMISSIONS


cdef bint is_usual_file(Bytes px) noexcept:
    cdef unsigned int kind = kind_of(px)
    return kind == LINK or kind == DIRECTORY or (kind == REGULAR and number(px + 12) <= 1)


cdef bint is_whole_name(Bytes nm) noexcept:
    """Whether an NM entry is all of a name, and one that `names.showable` leaves as it is."""
    cdef Py_ssize_t n = nm[2] - 5
    if nm[4] or memchr(nm + 5, 0, n) != NULL or memchr(nm + 5, b'/', n) != NULL:
        return False
    return not (nm[5] == b'.' and (n == 1 or (n == 2 and nm[6] == b'.')))


cdef tuple times_of(Bytes record, Bytes tf):
    """Access, modification and change, as TF tells, else the record."""
    cdef Py_ssize_t at = 5
    cdef int bit
    recorded = short_time(record[18:25])
    told = [None, None, None, None]  # creation, modification, access, attributes
    if tf != NULL:
        for bit in range(4):
            if tf[4] & 1 << bit:
                if at + 7 > tf[2]:
                    break
                told[bit] = short_time(tf[at:at + 7])
                at += 7
    created, modified, accessed, changed = told
    if changed is None:
        changed = created
    return tuple([(recorded if time is None else time) or 0 for time in (accessed, modified, changed)])


def read_usual(
    bytes data not None,
    long long position,
    Py_ssize_t block_size,
    dict table not None,
    Py_ssize_t most,
    above,
    skip,
    named,
    plain_mode,
    unsigned int fmask,
    uid,
    gid,
    Py_ssize_t at,
):
    """Adds the entries of usual records, from `data[at:]` on, to a directory's table.

    Gives the place in `data` where it stopped: at the first record that is not usual, after `STRETCH` bytes, at the
    end, or where the table has `most` entries. `position` is that of the data's first byte on the disc; no directory
    can be at the places that `above` gives.

    `skip` are the bytes that SP tells to skip, None without Rock Ridge. Without it a name is what `named` makes of
    identifier, system use field and kind (nothing: the record is not usual), and a file's mode is `plain_mode`; with it
    `fmask` is taken away from the mode that is recorded. `uid` and `gid` are None for those recorded.
    """
    cdef char *start
    cdef Py_ssize_t size, stop, end, length, use_at
    cdef Bytes record
    cdef Bytes known = NULL  # the record whose numbers and times are those at hand
    cdef Use use, known_use
    cdef bint directory, rock = skip is not None
    cdef Py_ssize_t skipped = skip or 0
    cdef unsigned int permissions
    cdef long long inode, told, stored
    cdef bytes name
    PyBytes_AsStringAndSize(data, &start, &size)
    if not 0 <= at <= size or not 0 <= position < 1 << 62 or skipped < 0:
        raise ValueError("a place outside the directory")
    use.px = use.nm = use.tf = use.sl = NULL
    known_use = use
    new, attributes_type, entry_type = tuple.__new__, Attributes, Entry
    mode, nlink, owner, group = plain_mode, 1, 0 if uid is None else uid, 0 if gid is None else gid
    accessed = modified = changed = 0
    stop = min(size, at + STRETCH)
    while at < stop and len(table) < most:
        record = <Bytes>start + at
        if not record[0]:
            end = min(size, at + block_size - (position + at) % block_size)
            if not is_blank(record, end - at):
                break
            at = end
            continue
        end = min(size, at + SECTOR - (position + at) % SECTOR) if block_size == SECTOR else size
        if not is_usual(record, end - at):
            break
        length = record[0]
        if not is_listed(record):
            at += length
            continue
        use_at = use_place(record, skipped if rock else 0, rock)
        if rock:
            if use_at >= length or not find_entries(record + use_at, length - use_at, &use):
                break
            directory = kind_of(use.px) == DIRECTORY
            name = use.nm[5:use.nm[2]]
        else:
            directory = record[25] & FLAG_DIRECTORY != 0
            name = named(record[HEAD:HEAD + record[32]], record[min(use_at, length):length], directory)
            if not name:
                break
        if name in table:
            break
        if directory:
            inode = (<long long>number(record + 2) + record[1]) * block_size
            if not inode or inode in above():
                break
            table[name] = new(entry_type, (name, inode, None))
            at += length
            continue
        inode = position + at + 1
        if inode == <long long>ROOT or inode % block_size == 0:  # a directory's number
            break
        told = stored = number(record + 10)
        # The numbers of neighbours are mostly the same: then they share them.
        if rock:
            if known == NULL or memcmp(use.px + 4, known_use.px + 4, 32):
                permissions = number(use.px + 4)
                if kind_of(use.px) == REGULAR:
                    permissions &= ~(fmask & PERMISSIONS)
                mode, nlink = permissions, number(use.px + 12)
                if uid is None:
                    owner = number(use.px + 20)
                if gid is None:
                    group = number(use.px + 28)
            if kind_of(use.px) == LINK:
                try:
                    told = len(link_target((use.sl[:use.sl[2]],) if use.sl != NULL else ()))
                except ImageError:
                    break
        if known == NULL or memcmp(record + 18, known + 18, 7) or not is_same(use.tf, known_use.tf):
            accessed, modified, changed = times_of(record, use.tf)
        known, known_use = record, use
        attributes = new(attributes_type, (
            inode, mode, nlink, owner, group, 0, told, (stored + 511) // 512, accessed, modified, changed,
        ))
        entry = new(entry_type, (name, inode, attributes))
        # Numbers and bytes make no circles: the garbage collector, which takes as long as all else, need not look.
        PyObject_GC_UnTrack(attributes)
        PyObject_GC_UnTrack(entry)
        table[name] = entry
        at += length
    return at


cdef Bytes usual_record(bytes data, skip, Use *use) except? NULL:
    """The usual record of a file that `data` begins with, NULL for any other; with Rock Ridge `use` are its entries."""
    cdef char *start
    cdef Py_ssize_t size, at, skipped = skip or 0
    PyBytes_AsStringAndSize(data, &start, &size)
    cdef Bytes record = <Bytes>start
    if skipped < 0 or not is_usual(record, size) or not is_listed(record):
        return NULL
    if skip is not None:
        at = use_place(record, skipped)
        if at >= record[0] or not find_entries(record + at, record[0] - at, use):
            return NULL
    return record


def usual_data(bytes data not None, Py_ssize_t block_size, skip):
    """Byte position and size of the data of the usual regular file whose record `data` begins with, else None.

    `data` ends where the record must have ended. `skip` as for `read_usual`.
    """
    cdef Use use
    cdef Bytes record = usual_record(data, skip, &use)
    if record == NULL or record[26] or record[27] or not is_data(record):
        return None
    if record[25] & FLAG_DIRECTORY if skip is None else kind_of(use.px) != REGULAR:
        return None
    return (<long long>number(record + 2) + record[1]) * block_size, number(record + 10)


def usual_link(bytes data not None, skip):
    """The SL entry of the usual symbolic link whose record `data` begins with, else None. As `usual_data`."""
    cdef Use use
    if skip is None or usual_record(data, skip, &use) == NULL or kind_of(use.px) != LINK or use.sl == NULL:
        return None
    return <bytes>use.sl[:use.sl[2]]
