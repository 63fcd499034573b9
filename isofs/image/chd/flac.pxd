# Types for `flac.py` where it is compiled; nothing else differs.

cimport cython

@cython.locals(frames="Frames", done="Py_ssize_t")
cpdef decode(bytes stored, Py_ssize_t count)

cdef class Frames:
    cdef const unsigned char[::1] data
    cdef long long end
    cdef long long bit
    cdef unsigned short[::1] crc_8
    cdef unsigned short[::1] crc_16

    @cython.locals(bit="long long", data="const unsigned char[::1]", at="Py_ssize_t", word="long long")
    cdef long long take(self, int n)

    @cython.locals(value="long long")
    cdef long long take_signed(self, int n)

    @cython.locals(start="Py_ssize_t", behind="Py_ssize_t", size="Py_ssize_t", channels="int", left="long long[::1]",
                   right="long long[::1]")
    cdef Py_ssize_t frame(self, unsigned char[::1] made, Py_ssize_t done, Py_ssize_t count)

    @cython.locals(size="Py_ssize_t", rate="int", channels="int", width="int", ones="int", first="int",
                   behind="Py_ssize_t")
    cdef header(self, Py_ssize_t start)

    @cython.locals(data="const unsigned char[::1]", crc="int", i="Py_ssize_t")
    cdef int sum_up(self, unsigned short[::1] table, Py_ssize_t start, Py_ssize_t behind, int width)

    @cython.locals(kind="int", wasted="int", value="long long", i="Py_ssize_t")
    cdef subframe(self, long long[::1] samples, Py_ssize_t size, int width)

    @cython.locals(factors="long long[::1]", precision="int", shift="int", most="long long", least="long long",
                   value="long long", i="Py_ssize_t", j="Py_ssize_t")
    cdef predicted(self, long long[::1] samples, Py_ssize_t size, int width, int order, bint linear)

    @cython.locals(method="int", partitions="Py_ssize_t", width="int", first="Py_ssize_t", behind="Py_ssize_t", k="int",
                   n="int", partition="Py_ssize_t", i="Py_ssize_t")
    cdef residual(self, long long[::1] samples, Py_ssize_t size, Py_ssize_t order)

    @cython.locals(data="const unsigned char[::1]", at="Py_ssize_t", left="int", word="long long", last="Py_ssize_t",
                   value="long long", i="Py_ssize_t")
    cdef rice(self, long long[::1] samples, Py_ssize_t first, Py_ssize_t behind, int k)

    @cython.locals(first="long long", second="long long", total="long long", i="Py_ssize_t")
    cdef join(self, long long[::1] left, long long[::1] right, Py_ssize_t size, int channels,
              unsigned char[::1] made, Py_ssize_t at)
