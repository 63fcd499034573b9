# Types for `huffman.py` where it is compiled; nothing else differs.

cimport cython

@cython.locals(at="Py_ssize_t", word="long long")
cdef long long bits(const unsigned char[::1] data, long long bit, int n)

cdef long long long_bits(const unsigned char[::1] data, long long bit, int n)

@cython.locals(word="int", length="int", span="int", symbol="int")
cpdef table_of(bytearray lengths, int most)

@cython.locals(data="const unsigned char[::1]", made="unsigned char[::1]", entries="unsigned short[::1]",
               bit="long long", end="long long", i="Py_ssize_t", entry="int", most="int")
cpdef decode(bytes stored, Py_ssize_t size)

@cython.locals(table="unsigned short[::1]", bit="long long", symbol="int", length="int", entry="int", value="int",
               last="int", times="int")
cdef _lengths_of_block(const unsigned char[::1] data, long long end)

@cython.locals(data="const unsigned char[::1]", kinds="unsigned char[::1]", lengths="unsigned int[::1]",
               positions="unsigned long long[::1]", checks="unsigned short[::1]", bit="long long", end="long long",
               count="Py_ssize_t", position="long long", length_bits="int", self_bits="int", parent_bits="int",
               hunk="int", units="long long", last_self="long long", last_parent="long long", i="Py_ssize_t",
               kind="int", length="int")
cpdef decode_map(bytes stored, fields)

@cython.locals(entries="unsigned short[::1]", kinds="unsigned char[::1]", bit="long long", symbol="int", length="int",
               times="int", made="Py_ssize_t", last="int", entry="int", last_entry="int")
cdef _types(const unsigned char[::1] data, long long end, Py_ssize_t count)
