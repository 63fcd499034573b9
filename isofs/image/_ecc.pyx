# cython: language_level=3
"""The compiled half of `image.ecc`: see there for what it is, and for the same in Python.

The long loops run without the GIL, upon a buffer that is held meanwhile: nobody can make it shorter.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

cdef enum:
    RAW = 2352
    CODES = 12  # where in a sector the bytes of the code words begin
    P_WIDTH = 86
    P_ROWS = 24
    Q_WIDTH = 52
    Q_ROWS = 43
    TURNS = 26
    PARITY = CODES + P_ROWS * P_WIDTH
    SOUND = 0
    WRONG = 1
    UNCHECKED = 2
    STRANGE = 3

cdef uint8_t SYNC[12]
cdef uint8_t THIRDS[256]
cdef uint32_t EDC[8][256]  # of a byte with as many zeros behind it


cdef inline uint8_t doubled(uint8_t byte) noexcept nogil:
    return <uint8_t>(byte << 1) ^ (<uint8_t>-(byte >> 7) & 0x1D)


cdef void _tables() noexcept:
    cdef int i, j
    cdef uint32_t crc
    memset(SYNC, 0xFF, 12)
    SYNC[0] = SYNC[11] = 0
    for i in range(256):
        THIRDS[i ^ doubled(<uint8_t>i)] = <uint8_t>i
        crc = <uint32_t>i
        for j in range(8):
            crc = crc >> 1 ^ (0xD8018001 if crc & 1 else 0)
        EDC[0][i] = crc
    for j in range(1, 8):
        for i in range(256):
            EDC[j][i] = EDC[j - 1][i] >> 8 ^ EDC[0][EDC[j - 1][i] & 0xFF]


_tables()


cdef uint32_t _edc(const uint8_t *data, Py_ssize_t size) noexcept nogil:
    """Eight bytes a step, the rest one by one."""
    cdef uint32_t crc = 0
    while size >= 8:
        crc ^= data[0] | <uint32_t>data[1] << 8 | <uint32_t>data[2] << 16 | <uint32_t>data[3] << 24
        crc = (EDC[7][crc & 0xFF] ^ EDC[6][crc >> 8 & 0xFF] ^ EDC[5][crc >> 16 & 0xFF] ^ EDC[4][crc >> 24]
               ^ EDC[3][data[4]] ^ EDC[2][data[5]] ^ EDC[1][data[6]] ^ EDC[0][data[7]])
        data += 8
        size -= 8
    while size > 0:
        crc = crc >> 8 ^ EDC[0][(crc ^ data[0]) & 0xFF]
        data += 1
        size -= 1
    return crc


cdef void _parity(const uint8_t *rows, int count, int width, uint8_t *parity) noexcept nogil:
    """The two rows of parity that make each column of some rows, at most 86 wide, a code word."""
    cdef uint8_t sums[P_WIDTH]
    cdef uint8_t total[P_WIDTH]
    cdef int row, i
    memset(sums, 0, width)
    memset(total, 0, width)
    for row in range(count):
        for i in range(width):
            sums[i] = doubled(sums[i] ^ rows[i])
            total[i] ^= rows[i]
        rows += width
    for i in range(width):
        parity[i] = THIRDS[doubled(sums[i]) ^ total[i]]
        parity[width + i] = parity[i] ^ total[i]


cdef void _restore(uint8_t *sector) noexcept nogil:
    cdef uint8_t header[4]
    cdef uint8_t rows[Q_ROWS * Q_WIDTH]
    cdef uint8_t *codes = sector + CODES
    cdef int k, m
    memcpy(sector, SYNC, 12)
    memcpy(header, codes, 4)
    if header[3] == 2:
        memset(codes, 0, 4)
    _parity(codes, P_ROWS, P_WIDTH, sector + PARITY)
    for k in range(Q_ROWS):
        for m in range(TURNS):
            memcpy(rows + k * Q_WIDTH + 2 * m, codes + (m + k) % TURNS * P_WIDTH + 2 * k, 2)
    _parity(rows, Q_ROWS, Q_WIDTH, sector + PARITY + 2 * P_WIDTH)
    memcpy(codes, header, 4)


cdef uint8_t _verdict(const uint8_t *sector, bint header) noexcept nogil:
    cdef const uint8_t *content = sector
    if header:
        if sector[15] > 2 or memcmp(sector, SYNC, 12):
            return STRANGE
        if sector[15] == 0:
            return UNCHECKED
        if sector[15] == 1:
            return WRONG if _edc(sector, 2068) else SOUND
        content += 16
    if not content[2] & 0x20:
        return WRONG if _edc(content, 2060) else SOUND
    if content[2332] | content[2333] | content[2334] | content[2335]:
        return WRONG if _edc(content, 2336) else SOUND
    return UNCHECKED


def edc(data):
    cdef Py_buffer view
    cdef uint32_t crc
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    with nogil:
        crc = _edc(<const uint8_t *>view.buf, view.len)
    PyBuffer_Release(&view)
    return crc


def restore(sectors, numbers):
    cdef Py_buffer view
    cdef Py_ssize_t i, number, count = len(numbers)
    cdef Py_ssize_t *places = <Py_ssize_t *>malloc((count + 1) * sizeof(Py_ssize_t))
    if places == NULL:
        raise MemoryError
    try:
        PyObject_GetBuffer(sectors, &view, PyBUF_WRITABLE)
        try:
            for i in range(count):
                number = numbers[i]
                if not 0 <= number < view.len // RAW:
                    raise IndexError("no such sector")
                places[i] = number * RAW
            with nogil:
                for i in range(count):
                    _restore(<uint8_t *>view.buf + places[i])
        finally:
            PyBuffer_Release(&view)
    finally:
        free(places)


def verdicts(sectors, Py_ssize_t stride, bint header):
    cdef Py_buffer view
    cdef Py_ssize_t i, count
    cdef uint8_t *found
    cdef object answer
    if stride < (RAW if header else RAW - 16):
        raise ValueError("no whole sectors")
    PyObject_GetBuffer(sectors, &view, PyBUF_SIMPLE)
    try:
        count = view.len // stride
        answer = PyBytes_FromStringAndSize(NULL, count)
        found = <uint8_t *>PyBytes_AsString(answer)
        with nogil:
            for i in range(count):
                found[i] = _verdict(<const uint8_t *>view.buf + i * stride, header)
    finally:
        PyBuffer_Release(&view)
    return answer
