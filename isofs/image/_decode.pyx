# cython: language_level=3
"""The compiled half of `image.decode`: see there for what it is, and for the same in Python.

Runs are decoded without the GIL, by the calling thread (`Slots.help`) or by native threads that never take it. All
that threads share stands in the C structure `_Shared`, under one mutex; a slot's memory belongs to whoever set its
state to `_DECODING` or `_FETCHING`, and to the caller of the methods otherwise.

What the libraries do not decode to exactly the bytes wanted, in whatever way, is marked as bad: Python's codecs have
the last word about it.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EINTR, errno
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memmove, memset

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    ctypedef struct pthread_condattr_t:
        pass
    ctypedef unsigned long pthread_t
    int pthread_mutex_init(pthread_mutex_t *, void *)
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)
    int pthread_mutex_destroy(pthread_mutex_t *)
    int pthread_condattr_init(pthread_condattr_t *)
    int pthread_condattr_setclock(pthread_condattr_t *, int)
    int pthread_cond_init(pthread_cond_t *, pthread_condattr_t *)
    int pthread_cond_wait(pthread_cond_t *, pthread_mutex_t *)
    int pthread_cond_timedwait(pthread_cond_t *, pthread_mutex_t *, timespec *)
    int pthread_cond_signal(pthread_cond_t *)
    int pthread_cond_broadcast(pthread_cond_t *)
    int pthread_cond_destroy(pthread_cond_t *)
    int pthread_create(pthread_t *, void *, void *(*)(void *) noexcept nogil, void *)
    int pthread_timedjoin_np(pthread_t, void **, timespec *)

cdef extern from "<signal.h>" nogil:
    ctypedef struct sigset_t:
        pass
    int SIG_SETMASK
    int sigfillset(sigset_t *)
    int pthread_sigmask(int, sigset_t *, sigset_t *)

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int CLOCK_REALTIME
    int clock_gettime(int, timespec *)

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int POLLIN
    int poll_ "poll"(pollfd *, unsigned long, int)

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len
    ssize_t preadv2(int, iovec *, int, int64_t, int)
    int RWF_NOWAIT

cdef extern from "<sys/mman.h>" nogil:
    int mincore(void *, size_t, unsigned char *)

cdef extern from "<unistd.h>" nogil:
    long sysconf(int)
    int _SC_PAGESIZE

cdef extern from "<fcntl.h>" nogil:
    int posix_fadvise(int, int64_t, int64_t, int)
    int POSIX_FADV_WILLNEED

cdef extern from "<sys/stat.h>" nogil:
    ctypedef unsigned int mode_t
    struct stat_t "stat":
        mode_t st_mode
        int64_t st_size
        timespec st_mtim
    int fstat(int, stat_t *)
    int S_ISREG(mode_t)

cdef extern from "<libdeflate.h>" nogil:
    struct libdeflate_decompressor:
        pass
    libdeflate_decompressor *libdeflate_alloc_decompressor()
    void libdeflate_free_decompressor(libdeflate_decompressor *)
    int libdeflate_deflate_decompress_ex(
        libdeflate_decompressor *, const void *, size_t, void *, size_t, size_t *, size_t *)
    int libdeflate_zlib_decompress_ex(
        libdeflate_decompressor *, const void *, size_t, void *, size_t, size_t *, size_t *)

cdef extern from "<lz4.h>" nogil:
    int LZ4_decompress_safe(const char *, char *, int, int)

# The kinds of `image.blockmap` that are decoded here.
cdef enum:
    _PLAIN = 0
    _DEFLATE = 1
    _ZLIB = 2
    _LZ4 = 3
    _ZERO = 5

KINDS = frozenset((_PLAIN, _DEFLATE, _ZLIB, _LZ4, _ZERO))

# What `Slots.help` answers, as in `image.decode`.
cdef enum:
    _READY_ = 0
    _HELPED = 1
    _WAITED = 2
    _COLD = 3

cdef enum:  # states of a slot
    _EMPTY
    _QUEUED
    _DECODING
    _FETCHING  # a worker waits for storage
    _FULL

cdef enum:
    _YIELD = 16384  # decoded bytes after which a worker offers its core: the serving thread must get one at once
    _ANNOUNCED = 8  # runs that a worker announces when it finds that storage is cold

cdef struct _Slot:
    int state
    unsigned generation
    int count
    int bad
    size_t block_size
    size_t total
    uint8_t *memory
    uint64_t *positions
    uint64_t *stored
    uint8_t *kinds
    uint8_t *status  # of each row: 0 decoded, 1 not

cdef struct _Decoder:  # what each thread that decodes has for itself
    libdeflate_decompressor *deflate
    uint8_t *stored
    size_t room

cdef struct _Shared:
    pthread_mutex_t mutex
    pthread_cond_t work
    pthread_cond_t done
    pthread_mutex_t caller  # of the callers' decoder
    _Decoder own
    _Slot *slots
    int slot_count
    int *ring  # slots that wait for a worker, the next one first
    int queued
    int stopping
    int idle
    int started
    int fetching  # workers that wait for storage
    size_t room
    int fd  # -1 once it was stopped: the number may be another file's by then
    int regular
    int64_t size
    timespec changed


cdef int64_t _now() noexcept nogil:
    """Monotonic nanoseconds."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef timespec _at(int64_t when) noexcept nogil:
    cdef timespec result
    result.tv_sec = when // 1000000000
    result.tv_nsec = when % 1000000000
    return result


cdef bint _unchanged(int fd, int64_t size, timespec changed) noexcept nogil:
    """Whether a file has this size and this time of modification."""
    cdef stat_t status
    if fstat(fd, &status):
        return False
    return (status.st_size == size and status.st_mtim.tv_sec == changed.tv_sec
            and status.st_mtim.tv_nsec == changed.tv_nsec)


# --- decoding ---------------------------------------------------------------------------------------------------------


cdef bint _prepare(_Decoder *decoder, size_t room) noexcept nogil:
    if decoder.deflate == NULL:
        decoder.deflate = libdeflate_alloc_decompressor()
    if decoder.stored == NULL:
        decoder.stored = <uint8_t *>malloc(room)
        decoder.room = room
    return decoder.deflate != NULL and decoder.stored != NULL


cdef void _discard(_Decoder *decoder) noexcept nogil:
    if decoder.deflate != NULL:
        libdeflate_free_decompressor(decoder.deflate)
    free(decoder.stored)


cdef ssize_t _pread(int fd, uint8_t *buffer, size_t n, uint64_t at, bint patient) noexcept nogil:
    """Bytes read, fewer than `n` at the end of the file or of what is in memory; -1 where nothing can be read."""
    cdef iovec piece
    cdef size_t got = 0
    cdef ssize_t more
    if at > <uint64_t>0x7FFFFFFFFFFFFFFF - n:  # preadv2 takes -1 for "where the last read ended"
        return -1
    while got < n:
        piece.iov_base = buffer + got
        piece.iov_len = n - got
        more = preadv2(fd, &piece, 1, <int64_t>(at + got), 0 if patient else RWF_NOWAIT)
        if more < 0:
            if errno == EINTR:
                continue
            return -1
        if more == 0:
            break
        got += <size_t>more
        if not patient:
            break
    return <ssize_t>got


cdef size_t _length(_Slot *slot, int row) noexcept nogil:
    cdef size_t start = <size_t>row * slot.block_size
    return slot.block_size if slot.total - start > slot.block_size else slot.total - start


cdef size_t _needed(_Slot *slot, int row) noexcept nogil:
    """Stored bytes of a row that are looked at."""
    cdef int kind = slot.kinds[row]
    if kind == _PLAIN:
        return _length(slot, row) if slot.stored[row] > _length(slot, row) else slot.stored[row]
    if kind == _DEFLATE or kind == _ZLIB or kind == _LZ4:
        return slot.stored[row]
    return 0


cdef size_t _lz4_end(const uint8_t *stored, size_t size, size_t want, size_t block_size) noexcept nogil:
    """See `codecs._lz4_end`. 0 for None."""
    cdef size_t at = 0, made = 0, length, offset
    cdef uint8_t token, more
    while at < size:
        token = stored[at]
        at += 1
        length = token >> 4
        more = 255 if length == 15 else 0
        while more == 255:
            if at >= size:
                return 0
            more = stored[at]
            at += 1
            length += more
        at += length
        made += length
        if at > size or made > block_size:
            return 0
        if made >= want and (length >= 5 or made == length or made == block_size):
            return at
        if size - at < 2:
            return 0
        offset = stored[at] | <size_t>stored[at + 1] << 8
        at += 2
        if not 0 < offset <= made:
            return 0
        length = (token & 15) + 4
        more = 255 if length == 19 else 0
        while more == 255:
            if at >= size:
                return 0
            more = stored[at]
            at += 1
            length += more
        made += length
        if made > block_size:
            return 0
    return 0


cdef bint _decode_row(_Decoder *decoder, _Slot *slot, int row, const uint8_t *stored, size_t n) noexcept nogil:
    cdef uint8_t *out = slot.memory + <size_t>row * slot.block_size
    cdef size_t want = _length(slot, row)
    cdef size_t used
    cdef int kind = slot.kinds[row]
    if kind == _PLAIN:
        if n < want:
            return False
        memcpy(out, stored, want)
        return True
    if kind == _DEFLATE:
        return libdeflate_deflate_decompress_ex(decoder.deflate, stored, n, out, want, &used, NULL) == 0
    if kind == _ZLIB:
        return libdeflate_zlib_decompress_ex(decoder.deflate, stored, n, out, want, &used, NULL) == 0
    if kind == _LZ4:
        if LZ4_decompress_safe(<const char *>stored, <char *>out, <int>n, <int>want) == <int>want:
            return True
        n = _lz4_end(stored, n, want, slot.block_size)
        return n != 0 and LZ4_decompress_safe(<const char *>stored, <char *>out, <int>n, <int>want) == <int>want
    if kind == _ZERO:
        memset(out, 0, want)
        return True
    return False


cdef bint _decode_slot(
        _Shared *shared, int fd, _Decoder *decoder, _Slot *slot, bint patient, bint polite) noexcept nogil:
    """Decodes all rows. False if that would have to wait for storage, and the caller is not patient.

    Rows whose stored bytes touch are fetched by one read. `polite`: the core is offered to others now and then.
    """
    cdef int row = 0, last, i
    cdef size_t n, need, at, since = 0
    cdef ssize_t got
    cdef bint sound
    slot.bad = 0
    if not _prepare(decoder, shared.room):
        memset(slot.status, 1, slot.count)
        slot.bad = slot.count
        return True
    while row < slot.count:
        n = _needed(slot, row)
        if n > decoder.room:  # a stretch of index that no decoder believes at once
            slot.status[row] = 1
            slot.bad += 1
            row += 1
            continue
        last = row + 1
        while last < slot.count and slot.positions[last] == slot.positions[last - 1] + _needed(slot, last - 1):
            need = _needed(slot, last)
            if need > decoder.room - n:
                break
            n += need
            last += 1
        got = 0
        if n:
            got = _pread(fd, decoder.stored, n, slot.positions[row], patient)
            if not patient and got < <ssize_t>n:
                return False
            if shared.regular and not _unchanged(fd, shared.size, shared.changed):
                got = -1
        at = 0
        for i in range(row, last):
            need = _needed(slot, i)
            sound = ((need == 0 or got >= 0 and at + need <= <size_t>got)
                     and _decode_row(decoder, slot, i, decoder.stored + at, need))
            slot.status[i] = not sound
            slot.bad += not sound
            at += need
            if polite:
                since += slot.block_size
                if since >= _YIELD:
                    since = 0
                    sched_yield()
        row = last
    return True


# --- workers ----------------------------------------------------------------------------------------------------------


cdef void _unqueue(_Shared *shared, int number) noexcept nogil:
    """Under the mutex: takes a slot out of the ring."""
    cdef int i
    for i in range(shared.queued):
        if shared.ring[i] == number:
            shared.queued -= 1
            memmove(&shared.ring[i], &shared.ring[i + 1], (shared.queued - i) * sizeof(int))
            return


cdef void _announce(_Shared *shared) noexcept nogil:
    """Tells the kernel what the next runs in the ring will read: storage can fetch it while others wait."""
    cdef int64_t starts[_ANNOUNCED]
    cdef int64_t ends[_ANNOUNCED]
    cdef int i, fd, n = 0
    cdef _Slot *slot
    pthread_mutex_lock(&shared.mutex)
    fd = shared.fd
    while n < shared.queued and n < _ANNOUNCED:
        slot = &shared.slots[shared.ring[n]]
        starts[n] = <int64_t>slot.positions[0]
        ends[n] = <int64_t>(slot.positions[slot.count - 1] + slot.stored[slot.count - 1])
        n += 1
    pthread_mutex_unlock(&shared.mutex)
    for i in range(n):
        if 0 <= starts[i] < ends[i] and ends[i] - starts[i] <= <int64_t>shared.room:
            posix_fadvise(fd, starts[i], ends[i] - starts[i], POSIX_FADV_WILLNEED)


cdef void *_work(void *argument) noexcept nogil:
    """A worker's life: the next run of the ring, until it is told to stop."""
    cdef _Shared *shared = <_Shared *>argument
    cdef _Decoder decoder
    cdef _Slot *slot
    cdef int fd
    memset(&decoder, 0, sizeof(decoder))
    pthread_mutex_lock(&shared.mutex)
    while not shared.stopping:
        if not shared.queued:
            shared.idle += 1
            pthread_cond_wait(&shared.work, &shared.mutex)
            shared.idle -= 1
            continue
        slot = &shared.slots[shared.ring[0]]
        shared.queued -= 1
        memmove(shared.ring, shared.ring + 1, shared.queued * sizeof(int))
        slot.state = _DECODING
        fd = shared.fd
        pthread_mutex_unlock(&shared.mutex)
        if not _decode_slot(shared, fd, &decoder, slot, False, True):
            pthread_mutex_lock(&shared.mutex)
            slot.state = _FETCHING
            shared.fetching += 1
            pthread_cond_broadcast(&shared.done)  # nobody who must not wait for storage goes on waiting
            pthread_mutex_unlock(&shared.mutex)
            _announce(shared)
            _decode_slot(shared, fd, &decoder, slot, True, True)
            pthread_mutex_lock(&shared.mutex)
            shared.fetching -= 1
            pthread_mutex_unlock(&shared.mutex)
        pthread_mutex_lock(&shared.mutex)
        slot.state = _FULL
        pthread_cond_broadcast(&shared.done)
    pthread_mutex_unlock(&shared.mutex)
    _discard(&decoder)
    return NULL


cdef int _help(_Shared *shared, int number, bint patient, int64_t patience) noexcept nogil:
    """See `Slots.help`. `patience`: nanoseconds that the caller waits for a worker that is decoding."""
    cdef _Slot *slot = &shared.slots[number]
    cdef int answer = _WAITED, fd
    cdef bint done
    cdef timespec until
    pthread_mutex_lock(&shared.mutex)
    if slot.state == _FULL:
        answer = _READY_
    elif slot.state == _EMPTY or slot.state == _QUEUED:
        if slot.state == _QUEUED:
            _unqueue(shared, number)
        slot.state = _DECODING
        fd = shared.fd
        pthread_mutex_unlock(&shared.mutex)
        pthread_mutex_lock(&shared.caller)
        done = _decode_slot(shared, fd, &shared.own, slot, patient, False)
        pthread_mutex_unlock(&shared.caller)
        pthread_mutex_lock(&shared.mutex)
        slot.state = _FULL if done else _EMPTY
        answer = _HELPED if done else _COLD
        pthread_cond_broadcast(&shared.done)
    else:
        until = _at(_now() + patience)
        while slot.state == _DECODING or (patient and slot.state == _FETCHING):
            if patient:
                pthread_cond_wait(&shared.done, &shared.mutex)
            elif pthread_cond_timedwait(&shared.done, &shared.mutex, &until):
                break
        if slot.state != _FULL:
            answer = _COLD
    pthread_mutex_unlock(&shared.mutex)
    return answer


cdef class Slots:
    """See `image.decode.Slots`."""

    cdef _Shared *_shared
    cdef Py_buffer _arena
    cdef pthread_t *_threads
    cdef int _started
    cdef int _wanted
    cdef bint _held
    cdef object _file

    def __cinit__(self, file, arena, int slots, size_t slot_size, size_t scratch_size, int rows, int scratch_rows,
                  int threads):
        cdef _Shared *shared
        cdef pthread_condattr_t attributes
        cdef int i, n
        cdef size_t at = 0
        if slots < 1 or rows < 1 or scratch_rows < 1:
            raise ValueError("no room")
        PyObject_GetBuffer(arena, &self._arena, PyBUF_SIMPLE | PyBUF_WRITABLE)
        self._held = True
        if <size_t>self._arena.len < slots * slot_size + scratch_size:
            raise ValueError("the arena is too small")
        shared = <_Shared *>calloc(1, sizeof(_Shared))
        if shared == NULL:
            raise MemoryError
        self._shared = shared
        pthread_mutex_init(&shared.mutex, NULL)
        pthread_mutex_init(&shared.caller, NULL)
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(&shared.work, NULL)
        pthread_cond_init(&shared.done, &attributes)
        shared.slot_count = slots + 1
        shared.room = (slot_size if slot_size > scratch_size else scratch_size) * 9 // 8 + 65536
        shared.slots = <_Slot *>calloc(shared.slot_count, sizeof(_Slot))
        shared.ring = <int *>calloc(shared.slot_count, sizeof(int))
        self._threads = <pthread_t *>calloc(threads + 1, sizeof(pthread_t))
        if shared.slots == NULL or shared.ring == NULL or self._threads == NULL:
            raise MemoryError
        for i in range(shared.slot_count):
            n = scratch_rows if i == slots else rows
            shared.slots[i].memory = <uint8_t *>self._arena.buf + at
            shared.slots[i].positions = <uint64_t *>calloc(n, 18)
            if shared.slots[i].positions == NULL:
                raise MemoryError
            shared.slots[i].stored = shared.slots[i].positions + n
            shared.slots[i].kinds = <uint8_t *>(shared.slots[i].stored + n)
            shared.slots[i].status = shared.slots[i].kinds + n
            at += slot_size
        self._file = file
        self._wanted = threads
        shared.fd = file.fileno()
        shared.regular = file.regular
        shared.size = file.size
        shared.changed.tv_sec, shared.changed.tv_nsec = divmod(file.changed, 1000000000)

    def __dealloc__(self):
        cdef int i
        cdef _Shared *shared = self._shared
        if shared != NULL:
            if not self._stop():
                return  # a thread that waits for dead storage still uses all of this
            _discard(&shared.own)
            if shared.slots != NULL:
                for i in range(shared.slot_count):
                    free(shared.slots[i].positions)
            free(shared.slots)
            free(shared.ring)
            pthread_cond_destroy(&shared.work)
            pthread_cond_destroy(&shared.done)
            pthread_mutex_destroy(&shared.mutex)
            pthread_mutex_destroy(&shared.caller)
            free(shared)
        free(self._threads)
        if self._held:
            PyBuffer_Release(&self._arena)

    cdef int _check(self, int slot) except -1:
        if not 0 <= slot < self._shared.slot_count:
            raise IndexError("no such slot")
        return 0

    def load(self, int slot, rows, size_t block_size, size_t total):
        cdef Py_buffer positions, stored, kinds
        cdef _Slot *room
        cdef int count, most
        self._check(slot)
        room = &self._shared.slots[slot]
        if not self.drop(slot):
            raise ValueError("the slot is in use")
        most = <int>(room.status - room.kinds)
        PyObject_GetBuffer(rows[0], &positions, PyBUF_SIMPLE)
        try:
            PyObject_GetBuffer(rows[1], &stored, PyBUF_SIMPLE)
            try:
                PyObject_GetBuffer(rows[2], &kinds, PyBUF_SIMPLE)
                try:
                    count = <int>kinds.len
                    if (not 0 < kinds.len <= most or positions.len != 8 * kinds.len or stored.len != 8 * kinds.len
                            or block_size == 0 or total == 0 or (total - 1) // block_size != <size_t>kinds.len - 1
                            or not self._fits(slot, total)):
                        raise ValueError("rows and room do not fit")
                    memcpy(room.positions, positions.buf, positions.len)
                    memcpy(room.stored, stored.buf, stored.len)
                    memcpy(room.kinds, kinds.buf, kinds.len)
                finally:
                    PyBuffer_Release(&kinds)
            finally:
                PyBuffer_Release(&stored)
        finally:
            PyBuffer_Release(&positions)
        pthread_mutex_lock(&self._shared.mutex)
        room.count = count
        room.block_size = block_size
        room.total = total
        room.generation += 1
        pthread_mutex_unlock(&self._shared.mutex)
        return room.generation

    cdef bint _fits(self, int slot, size_t total):
        cdef uint8_t *end = <uint8_t *>self._arena.buf + self._arena.len
        if slot + 1 < self._shared.slot_count:
            end = self._shared.slots[slot + 1].memory
        return total <= <size_t>(end - self._shared.slots[slot].memory)

    def queue(self, int slot, bint first):
        cdef _Shared *shared = self._shared
        cdef int place
        cdef bint answer = True
        self._check(slot)
        if shared.slots[slot].count == 0:
            raise ValueError("nothing is loaded")
        if not self._start():
            return False
        pthread_mutex_lock(&shared.mutex)
        if shared.slots[slot].state != _EMPTY:
            pass  # in the hands of a worker
        elif first and shared.fetching == shared.started:
            answer = False  # nobody would come to it before storage answers
        else:
            shared.slots[slot].state = _QUEUED
            place = 0 if first else shared.queued
            memmove(&shared.ring[place + 1], &shared.ring[place], (shared.queued - place) * sizeof(int))
            shared.ring[place] = slot
            shared.queued += 1
            if shared.idle:
                pthread_cond_signal(&shared.work)
        pthread_mutex_unlock(&shared.mutex)
        return bool(answer)

    def help(self, int slot, bint patient, double patience=0.004):
        cdef int answer
        cdef _Shared *shared = self._shared
        self._check(slot)
        if shared.slots[slot].count == 0:
            raise ValueError("nothing is loaded")
        with nogil:
            answer = _help(shared, slot, patient, <int64_t>(patience * 1e9))
        return answer

    def wait(self, int slot, unsigned generation):
        cdef _Shared *shared = self._shared
        cdef _Slot *room
        self._check(slot)
        room = &shared.slots[slot]
        with nogil:
            pthread_mutex_lock(&shared.mutex)
            while (room.generation == generation and not shared.stopping
                    and (room.state == _QUEUED and shared.fetching < shared.started
                         or room.state == _DECODING or room.state == _FETCHING)):
                pthread_cond_wait(&shared.done, &shared.mutex)
            pthread_mutex_unlock(&shared.mutex)

    def bad(self, int slot, int first, int end):
        cdef _Slot *room
        cdef int i
        self._check(slot)
        room = &self._shared.slots[slot]
        if room.state != _FULL or not 0 <= first < end <= room.count:
            raise ValueError("no such rows")
        if not room.bad:
            return False
        for i in range(first, end):
            if room.status[i]:
                return True
        return False

    def drop(self, int slot):
        cdef _Shared *shared = self._shared
        cdef bint free_
        self._check(slot)
        pthread_mutex_lock(&shared.mutex)
        if shared.slots[slot].state == _QUEUED:
            _unqueue(shared, slot)
            shared.slots[slot].state = _EMPTY
            pthread_cond_broadcast(&shared.done)  # who waits for it waits in vain
        free_ = shared.slots[slot].state == _EMPTY or shared.slots[slot].state == _FULL
        if free_:
            shared.slots[slot].state = _EMPTY
        pthread_mutex_unlock(&shared.mutex)
        return bool(free_)

    cdef bint _start(self):
        """Starts the workers, with all signals blocked: those are for the serving thread."""
        cdef sigset_t everything, before
        if self._started or not self._wanted or self._shared.stopping:
            return self._started > 0
        sigfillset(&everything)
        pthread_sigmask(SIG_SETMASK, &everything, &before)
        while self._started < self._wanted:
            if pthread_create(&self._threads[self._started], NULL, _work, self._shared):
                self._wanted = self._started
                break
            self._started += 1
        pthread_sigmask(SIG_SETMASK, &before, NULL)
        pthread_mutex_lock(&self._shared.mutex)
        self._shared.started = self._started
        pthread_mutex_unlock(&self._shared.mutex)
        return self._started > 0

    cdef bint _stop(self):
        """Ends the workers. False if one does not end within a second: it waits for storage that does not answer."""
        cdef timespec until
        cdef _Shared *shared = self._shared
        clock_gettime(CLOCK_REALTIME, &until)
        pthread_mutex_lock(&shared.mutex)
        until.tv_sec += 0 if shared.stopping else 1
        shared.stopping = True
        shared.queued = 0
        shared.fd = -1
        pthread_cond_broadcast(&shared.work)
        pthread_cond_broadcast(&shared.done)
        pthread_mutex_unlock(&shared.mutex)
        with nogil:
            while self._started and not pthread_timedjoin_np(self._threads[self._started - 1], NULL, &until):
                self._started -= 1
        return self._started == 0

    def stop(self):
        return bool(self._stop())


def indexed_rows(entries, int shift, uint64_t before, uint64_t least, uint64_t most, uint64_t block_size, bytes usual):
    """See `image.decode.indexed_rows`: the columns as bytes."""
    cdef Py_buffer view
    cdef Py_ssize_t n, i
    cdef const uint32_t *index
    cdef uint64_t position, end, stored
    cdef uint64_t *positions
    cdef uint64_t *sizes
    cdef uint8_t *kinds
    cdef const uint8_t *kind_of = usual
    cdef object columns
    if len(usual) != 4 or not 0 <= shift <= 31:
        raise ValueError("four kinds, and a shift of 31 at most")
    PyObject_GetBuffer(entries, &view, PyBUF_SIMPLE)
    try:
        n = view.len // 4 - 1
        if n < 1:
            raise ValueError("too few entries")
        index = <const uint32_t *>view.buf
        columns = (
            PyBytes_FromStringAndSize(NULL, 8 * n), PyBytes_FromStringAndSize(NULL, 8 * n),
            PyBytes_FromStringAndSize(NULL, n))
        positions = <uint64_t *>PyBytes_AsString(columns[0])
        sizes = <uint64_t *>PyBytes_AsString(columns[1])
        kinds = <uint8_t *>PyBytes_AsString(columns[2])
        position = <uint64_t>(index[0] & 0x7FFFFFFF) << shift
        if position <= before or position < least:
            return None
        for i in range(n):
            end = <uint64_t>(index[i + 1] & 0x7FFFFFFF) << shift
            if end <= position:
                return None
            stored = end - position
            kinds[i] = kind_of[(index[i] >> 31) | ((stored >= block_size) << 1)]
            if stored < block_size if kinds[i] == _PLAIN else stored > most:
                return None
            positions[i] = position
            sizes[i] = stored
            position = end
        return columns
    finally:
        PyBuffer_Release(&view)


# --- the checksum of CHD ---------------------------------------------------------------------------------------------------

cdef uint16_t[8][256] _crc_16


cdef void _make_crc_16() noexcept:
    """Tables for eight bytes at a time: `_crc_16[k][b]` is what byte b does k bytes further on."""
    cdef int i, k
    cdef uint16_t crc
    for i in range(256):
        crc = <uint16_t>(i << 8)
        for k in range(8):
            crc = <uint16_t>(crc << 1 ^ (0x1021 if crc & 0x8000 else 0))
        _crc_16[0][i] = crc
    for i in range(256):
        for k in range(1, 8):
            crc = _crc_16[k - 1][i]
            _crc_16[k][i] = <uint16_t>(crc << 8 ^ _crc_16[0][crc >> 8])


_make_crc_16()


def crc_16(data):
    """CRC-16 of CCITT from 0xFFFF, as `binascii.crc_hqx` has it."""
    cdef Py_buffer view
    cdef const uint8_t *at
    cdef size_t n
    cdef uint16_t crc = 0xFFFF
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    with nogil:
        at = <const uint8_t *>view.buf
        n = view.len
        while n >= 8:
            crc = (_crc_16[7][at[0] ^ crc >> 8] ^ _crc_16[6][at[1] ^ crc & 0xFF] ^ _crc_16[5][at[2]]
                   ^ _crc_16[4][at[3]] ^ _crc_16[3][at[4]] ^ _crc_16[2][at[5]] ^ _crc_16[1][at[6]] ^ _crc_16[0][at[7]])
            at += 8
            n -= 8
        while n:
            crc = <uint16_t>(crc << 8 ^ _crc_16[0][crc >> 8 ^ at[0]])
            at += 1
            n -= 1
    PyBuffer_Release(&view)
    return crc


# --- what else only C does without a price ------------------------------------------------------------------------------


def resident(buffer):
    """Whether all pages of a mapping's slice are in memory (mincore).

    Only owners of a file, and those who may write to it, are told the truth.
    """
    cdef Py_buffer view
    cdef unsigned char pages[512]
    cdef size_t page = <size_t>sysconf(_SC_PAGESIZE)
    cdef size_t start, end, n, i
    cdef bint answer = True
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    start = <size_t>view.buf // page * page
    end = <size_t>view.buf + view.len
    while start < end and answer:
        n = (end - start + page - 1) // page
        if n > 512:
            n = 512
        if mincore(<void *>start, n * page, pages):
            answer = False
            break
        for i in range(n):
            if not pages[i] & 1:
                answer = False
                break
        start += n * page
    PyBuffer_Release(&view)
    return bool(answer)


def cached(int fd, Py_ssize_t n, int64_t offset):
    """`n` bytes of a file if all of them are in memory, else None; an error counts as not in memory."""
    if n < 0 or offset < 0:
        raise ValueError("no such bytes")
    cdef object data = PyBytes_FromStringAndSize(NULL, n)
    if _pread(fd, <uint8_t *>PyBytes_AsString(data), <size_t>n, <uint64_t>offset, False) < n:
        return None
    return data


def unchanged(int fd, int64_t size, long seconds, long nanoseconds):
    """See `image.source.unchanged`."""
    cdef timespec changed
    changed.tv_sec = seconds
    changed.tv_nsec = nanoseconds
    return bool(_unchanged(fd, size, changed))


def poll(int fd, int event, int spin, int sleep):
    """See `mount.waiting.poll`."""
    cdef pollfd fds[2]
    cdef int64_t end
    cdef int ready
    fds[0].fd = fd
    fds[0].events = <short>POLLIN
    fds[1].fd = event
    fds[1].events = <short>POLLIN
    ready = poll_(fds, 2, 0)
    if ready == 0 and (spin or sleep):
        with nogil:
            if spin:
                end = _now() + <int64_t>spin * 1000
                while ready == 0:
                    sched_yield()
                    ready = poll_(fds, 2, 0)
                    if _now() >= end:
                        break
            if ready == 0 and sleep:
                ready = poll_(fds, 2, sleep)
    if ready <= 0:
        return 0
    return (1 if fds[0].revents else 0) | (2 if fds[1].revents else 0)
