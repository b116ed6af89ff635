# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=False
"""The compiled twin of the order book, and the table that takes its frames.

The pure code is the specification; this is a faster way to the same result for the usual case. Two rules keep it
simple:

1. *Success, or no trace.* What is not exactly the usual (an odd spelling of a number, a checksum that does not match, a
   book that would be crossed) leaves the book as it was, and is left to the pure code. So every error, every evidence
   and every resync is made there.
2. *Only what is verified comes in.* :meth:`Core.load` takes a book that the pure code has verified, and nothing else.

A message is handled in three steps: it is read into rows on the stack, the objects of its event are made, and then the
rows are applied, with every change noted in ``_changes`` so that it can be undone. Nothing can fail after the first
change but the two checks, and nothing else can run until they are over: no object is made, and none is freed that has a
finalizer. So the GIL guards ``_changes``: there is no build for free-threaded Pythons. (While objects are made, Python
may run anything: a finalizer, and with it another thread.)

A side is a pair of arrays, the best level first, with room at both ends: an insertion or a removal moves the shorter
part. Bids are stored with inverted keys, so that both sides ascend.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.datetime cimport datetime_new, get_utc, import_datetime
from cpython.long cimport PyLong_FromUnsignedLong
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memmove, memset, strlen

from kraken_trio.events import BookUpdate as _BookUpdate, Level as _Level

__all__ = ["Core", "Table"]

import_datetime()

cdef enum:
    MAX_ROWS = 256  # levels in one message; longer ones are rare, and go the pure way
    MAX_FRAME = 65536  # bytes, likewise
    MAX_DIGITS = 19  # of a number: what surely fits into 64 bits
    TOKEN = 39  # room for the digits of a price and a quantity
    CHECKED = 10  # levels of a side that the checksum covers
    SPARE = 16  # places kept free in a side's arrays
    MAX_DEPTH = 0x40000000  # more than any book has levels
    BIDS = 0
    ASKS = 1

cdef extern from *:
    """
    #include <assert.h>
    #include <string.h>
    #include <structmember.h>

    #define CHECK_BOUNDS(condition) assert(condition)  /* nothing in release builds, which define NDEBUG */

    /* CRC-32 as in zlib, eight bytes a step ("slicing by 8"). */
    static uint32_t crc_tables[8][256];

    static void make_crc_tables(void) {
        for (uint32_t n = 0; n < 256; n++) {
            uint32_t crc = n;
            for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xEDB88320u : crc >> 1;
            crc_tables[0][n] = crc;
        }
        for (int table = 1; table < 8; table++)
            for (uint32_t n = 0; n < 256; n++) {
                uint32_t crc = crc_tables[table - 1][n];
                crc_tables[table][n] = (crc >> 8) ^ crc_tables[0][crc & 0xFF];
            }
    }

    static uint32_t crc32_of(const char *text, size_t size, uint32_t crc) {
        const unsigned char *at = (const unsigned char *)text;
        crc = ~crc;
        for (; size >= 8; size -= 8, at += 8) {
            uint32_t low = crc ^ (at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);
            crc = crc_tables[7][low & 0xFF] ^ crc_tables[6][low >> 8 & 0xFF] ^ crc_tables[5][low >> 16 & 0xFF] ^
                  crc_tables[4][low >> 24] ^ crc_tables[3][at[4]] ^ crc_tables[2][at[5]] ^ crc_tables[1][at[6]] ^
                  crc_tables[0][at[7]];
        }
        for (; size; size--, at++) crc = (crc >> 8) ^ crc_tables[0][(crc ^ *at) & 0xFF];
        return ~crc;
    }

    static PyObject *ascii_text(const char *text, Py_ssize_t size) {
        PyObject *made = PyUnicode_New(size, 127);
        if (made) memcpy(PyUnicode_1BYTE_DATA(made), text, (size_t)size);
        return made;
    }

    /* Where a struct keeps a field; -1 if that cannot be known. */
    static Py_ssize_t offset_of(PyObject *member) {
        if (!Py_IS_TYPE(member, &PyMemberDescr_Type)) return -1;
        PyMemberDef *def = ((PyMemberDescrObject *)member)->d_member;
        return def->type == T_OBJECT_EX ? def->offset : -1;
    }

    static PyObject *get_field(PyObject *object, Py_ssize_t offset) { return *(PyObject **)((char *)object + offset); }
    static void set_field(PyObject *object, Py_ssize_t offset, PyObject *value) {  /* of a new struct */
        Py_INCREF(value);
        *(PyObject **)((char *)object + offset) = value;
    }

    static int is_of(PyObject *object, PyObject *type) { return (PyObject *)Py_TYPE(object) == type; }
    static PyObject *new_struct(PyObject *type) { return ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 0); }
    static int is_plain(PyObject *type) {
        return !PyType_HasFeature((PyTypeObject *)type, Py_TPFLAGS_HAVE_GC) && ((PyTypeObject *)type)->tp_dictoffset == 0;
    }
    """
    void CHECK_BOUNDS(bint) noexcept nogil
    void make_crc_tables() noexcept
    uint32_t crc32_of(const char*, size_t, uint32_t) noexcept nogil
    object ascii_text(const char*, Py_ssize_t)
    Py_ssize_t offset_of(object) noexcept
    PyObject* get_field(PyObject*, Py_ssize_t) noexcept  # borrowed; NULL where a field is not set
    void set_field(object, Py_ssize_t, object) noexcept
    bint is_of(PyObject*, object) noexcept
    object new_struct(object)
    bint is_plain(object) noexcept

cdef extern from "Python.h":
    bint PyUnicode_CheckExact(object) noexcept
    bint PyUnicode_IS_COMPACT_ASCII(object) noexcept
    void* PyUnicode_1BYTE_DATA(object) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object) noexcept
    bint PyTuple_CheckExact(object) noexcept
    Py_ssize_t PyTuple_GET_SIZE(object) noexcept
    PyObject* PyTuple_GET_ITEM(object, Py_ssize_t) noexcept
    tuple PyTuple_New(Py_ssize_t)
    void PyTuple_SET_ITEM(object, Py_ssize_t, PyObject*) noexcept  # takes over the reference
    PyObject* PyDict_GetItemWithError(object, object) except? NULL
    Py_ssize_t PySequence_Fast_GET_SIZE(object) noexcept  # of a list or a tuple
    PyObject* PySequence_Fast_GET_ITEM(object, Py_ssize_t) noexcept
    int PyList_Append(object, object) except -1
    unsigned long long PyLong_AsUnsignedLongLong(object) except? <unsigned long long> -1
    bint PyLong_CheckExact(object) noexcept
    void Py_INCREF(PyObject*) noexcept
    void Py_DECREF(PyObject*) noexcept
    void Py_XDECREF(PyObject*) noexcept


# What a level, a row of a message and a change are


cdef struct Held:
    PyObject* level  # owned
    uint8_t size
    char token[TOKEN]  # what it adds to the string that is hashed


cdef struct Row:
    uint64_t price  # its digits as a number
    int decimals
    bint removes
    const char* price_text
    const char* qty_text
    uint8_t price_size
    uint8_t qty_size
    Held held


cdef enum Kind:
    REPLACED
    INSERTED
    REMOVED


cdef struct Change:
    Kind kind
    int side
    int at
    uint64_t key
    Held old  # of REPLACED and REMOVED


cdef Change _changes[2 * MAX_ROWS]  # each row changes one level, and may push one out of the window
cdef uint64_t _powers[MAX_DIGITS + 1]


# One side


cdef struct Side:
    uint64_t* keys
    Held* held
    int capacity
    int first  # where the best level is
    int count
    bint touched  # whether one of the checked levels may have changed


cdef int _reserve(Side* side, int more) except -1:
    """Make room for ``more`` levels: after this, inserting so many cannot fail."""
    cdef int wanted = side.count + more + SPARE
    if side.capacity >= wanted:
        return 0
    cdef int capacity = wanted + wanted // 4
    # One block for both: of a thousand books, each is found in few pages.
    cdef uint64_t* keys = <uint64_t*> PyMem_Malloc(capacity * (sizeof(uint64_t) + sizeof(Held)))
    if keys == NULL:
        raise MemoryError
    cdef Held* held = <Held*> (keys + capacity)
    if side.count:
        memcpy(keys + side.first, side.keys + side.first, side.count * sizeof(uint64_t))
        memcpy(held + side.first, side.held + side.first, side.count * sizeof(Held))
    PyMem_Free(side.keys)
    side.keys, side.held, side.capacity = keys, held, capacity
    return 0


cdef void _move(Side* side, int source, int target, int count) noexcept nogil:
    CHECK_BOUNDS(0 <= source and source + count <= side.capacity)
    CHECK_BOUNDS(0 <= target and target + count <= side.capacity)
    memmove(&side.keys[target], &side.keys[source], count * sizeof(uint64_t))
    memmove(&side.held[target], &side.held[source], count * sizeof(Held))


cdef int _find(Side* side, uint64_t key) noexcept nogil:
    """How many levels are better than ``key``."""
    cdef uint64_t* keys = side.keys + side.first
    cdef int low = 0, high = side.count, middle
    if high > 16 and keys[8] >= key:
        high = 8  # most changes are near the best price
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


cdef void _insert(Side* side, int at, uint64_t key, Held* held) noexcept nogil:
    cdef bint is_near = at * 2 < side.count
    cdef int centre
    if side.first == 0 if is_near else side.first + side.count == side.capacity:
        CHECK_BOUNDS(side.capacity - side.count >= 2)
        centre = (side.capacity - side.count) >> 1
        _move(side, side.first, centre, side.count)
        side.first = centre
    if is_near:
        _move(side, side.first, side.first - 1, at)
        side.first -= 1
    else:
        _move(side, side.first + at, side.first + at + 1, side.count - at)
    side.count += 1
    CHECK_BOUNDS(0 <= at and at < side.count)
    side.keys[side.first + at] = key
    side.held[side.first + at] = held[0]
    side.touched |= at < CHECKED


cdef void _replace(Side* side, int at, Held* held) noexcept nogil:
    CHECK_BOUNDS(0 <= at and at < side.count)
    side.held[side.first + at] = held[0]
    side.touched |= at < CHECKED


cdef void _remove(Side* side, int at) noexcept nogil:
    CHECK_BOUNDS(0 <= at and at < side.count)
    if at * 2 < side.count:
        _move(side, side.first, side.first + 1, at)
        side.first += 1
    else:
        _move(side, side.first + at + 1, side.first + at, side.count - at - 1)
    side.count -= 1
    side.touched |= at < CHECKED


cdef uint32_t _hash(Side* side, uint32_t crc) noexcept nogil:
    """The CRC-32 of the checked levels, following ``crc``."""
    cdef char text[(CHECKED + 1) * TOKEN]
    cdef int size = 0, index
    cdef Held* held = side.held + side.first
    for index in range(min(side.count, CHECKED)):
        memcpy(text + size, held[index].token, TOKEN)  # of fixed size, which is faster; the next one overwrites the rest
        size += held[index].size
    return crc32_of(text, size, crc)


cdef void _release(Side* side) noexcept:
    cdef int index
    for index in range(side.count):
        Py_DECREF(side.held[side.first + index].level)
    PyMem_Free(side.keys)
    memset(side, 0, sizeof(Side))


cdef tuple _best_first(Side* side):
    cdef tuple levels = PyTuple_New(side.count)
    cdef int index
    cdef PyObject* level
    for index in range(side.count):
        level = side.held[side.first + index].level
        Py_INCREF(level)
        PyTuple_SET_ITEM(levels, index, level)
    return levels


# Reading numbers and levels


cdef inline const char* _digits(const char* at, uint64_t* value, int* decimals, Held* held) noexcept nogil:
    """Read a number as the exchange writes it (no sign, no exponent), and add its digits to the token.

    Leading zeros are no part of the token. Returns where the number ends; NULL if it is another kind of number. The
    text must end with something that is not a digit.
    """
    cdef const char* begin = at
    cdef const char* point = NULL
    cdef uint64_t number = 0
    cdef int size = held.size
    cdef int limit
    if at[0] == c'0':
        at += 1
    else:
        while c'0' <= at[0] and at[0] <= c'9':
            if at - begin == MAX_DIGITS:
                return NULL
            number = number * 10 + <uint64_t> (at[0] - c'0')
            held.token[size] = at[0]
            size += 1
            at += 1
        if at == begin:
            return NULL
    decimals[0] = 0
    if at[0] == c'.':
        point = at
        at += 1
        while c'0' <= at[0] and at[0] <= c'9':
            if at - begin > MAX_DIGITS:  # the point is among them
                return NULL
            number = number * 10 + <uint64_t> (at[0] - c'0')
            held.token[size] = at[0]
            size += number != 0
            at += 1
        decimals[0] = <int> (at - point) - 1
        if decimals[0] == 0:
            return NULL
    CHECK_BOUNDS(size <= TOKEN)
    held.size = <uint8_t> size
    value[0] = number
    return at


cdef inline const char* _price(const char* at, Row* row) noexcept nogil:
    cdef const char* end
    row.held.size = 0
    row.price_text = at
    end = _digits(at, &row.price, &row.decimals, &row.held)
    if end == NULL or row.price == 0:
        return NULL
    row.price_size = <uint8_t> (end - at)
    return end


cdef inline const char* _qty(const char* at, Row* row) noexcept nogil:
    cdef const char* end
    cdef uint64_t value
    cdef int decimals
    row.qty_text = at
    end = _digits(at, &value, &decimals, &row.held)
    if end != NULL:
        row.removes = value == 0
        row.qty_size = <uint8_t> (end - at)
    return end


# Events: structs whose fields are read and filled in place


cdef Py_ssize_t _offset(kind, str name) except -1:
    cdef Py_ssize_t offset = offset_of(kind.__dict__.get(name))
    if offset < 0:
        raise ImportError(f"the compiled core does not know where this msgspec keeps {kind.__name__}.{name}")
    return offset


cdef object LEVEL = _Level  # as C variables: looking up a module's global takes longer than using it
cdef object UPDATE = _BookUpdate
cdef Py_ssize_t _price_at = _offset(LEVEL, "price_text")
cdef Py_ssize_t _qty_at = _offset(LEVEL, "qty_text")
cdef Py_ssize_t _symbol_at = _offset(UPDATE, "symbol")
cdef Py_ssize_t _bids_at = _offset(UPDATE, "bids")
cdef Py_ssize_t _asks_at = _offset(UPDATE, "asks")
cdef Py_ssize_t _checksum_at = _offset(UPDATE, "checksum")
cdef Py_ssize_t _timestamp_at = _offset(UPDATE, "timestamp")
cdef Py_ssize_t _epoch_at = _offset(UPDATE, "epoch")
cdef Py_ssize_t _received_at = _offset(UPDATE, "received_ns")


cdef object _new_level(Row* row):
    level = new_struct(LEVEL)
    set_field(level, _price_at, ascii_text(row.price_text, row.price_size))
    set_field(level, _qty_at, ascii_text(row.qty_text, row.qty_size))
    return level


cdef tuple _new_levels(Row* rows, int count):
    """The levels of these rows, which borrow them."""
    cdef tuple levels = PyTuple_New(count)
    cdef int index
    for index in range(count):
        level = _new_level(&rows[index])
        rows[index].held.level = <PyObject*> level
        Py_INCREF(<PyObject*> level)
        PyTuple_SET_ITEM(levels, index, <PyObject*> level)
    return levels


cdef inline const char* _ascii(PyObject* text) noexcept:
    """The characters of a text, with a zero after them; NULL if it is no text, or not ASCII."""
    if text == NULL or not PyUnicode_CheckExact(<object> text) or not PyUnicode_IS_COMPACT_ASCII(<object> text):
        return NULL
    return <const char*> PyUnicode_1BYTE_DATA(<object> text)


cdef bint _read_level(PyObject* level, Row* row) noexcept:
    """Read a level, which ``row`` borrows. False if it is not the usual."""
    cdef PyObject* text
    cdef const char* begin
    if not is_of(level, LEVEL):
        return False
    text = get_field(level, _price_at)
    begin = _ascii(text)
    if begin == NULL or _price(begin, row) != begin + PyUnicode_GET_LENGTH(<object> text):
        return False
    text = get_field(level, _qty_at)
    begin = _ascii(text)
    if begin == NULL or _qty(begin, row) != begin + PyUnicode_GET_LENGTH(<object> text):
        return False
    row.held.level = level
    return True


cdef int _read_levels(PyObject* levels, Row* rows, int room) noexcept:
    """Read a tuple of levels into ``rows``, which borrow them. Returns how many; -1 if they are not the usual."""
    cdef Py_ssize_t count, index
    if levels == NULL or not PyTuple_CheckExact(<object> levels):
        return -1
    count = PyTuple_GET_SIZE(<object> levels)
    if count > room:
        return -1
    for index in range(count):
        if not _read_level(PyTuple_GET_ITEM(<object> levels, index), &rows[index]):
            return -1
    return <int> count


# The book


cdef class Core:
    """The levels of one available, verified book that is not crossed. Not to be used but by an ``OrderBook``."""

    cdef Side sides[2]
    cdef int depth
    cdef int decimals  # how the keys are scaled
    cdef uint32_t asks_crc
    cdef uint32_t crc
    cdef readonly str symbol
    cdef readonly object checksum
    cdef readonly object timestamp
    cdef readonly object epoch
    cdef readonly object received_ns
    cdef tuple bids_view  # best first; None until it is read
    cdef tuple asks_view
    cdef bint is_left  # whether its book has taken back the levels

    @staticmethod
    def load(symbol, depth, tuple bids not None, tuple asks not None, checksum, timestamp, epoch, received_ns):
        """A core with these levels, best first; None if it does not take them.

        The other arguments are those of the last message.
        """
        cdef Core core = Core.__new__(Core)
        if type(symbol) is not str:
            return None  # a program's own: the session has nothing else
        core.symbol = symbol
        core.depth = <int> min(depth, MAX_DEPTH)
        core.checksum, core.timestamp, core.epoch, core.received_ns = checksum, timestamp, epoch, received_ns
        if not PyLong_CheckExact(checksum) or not core._scale(bids) or not core._scale(asks):
            return None
        if not core._fill(BIDS, bids) or not core._fill(ASKS, asks):
            return None
        core._rehash()
        return core if core.crc == checksum and not core._is_crossed() else None

    cdef bint _scale(self, tuple levels) noexcept:
        """Make the scale of the keys fine enough for these levels."""
        cdef Py_ssize_t index
        cdef Row row
        for index in range(PyTuple_GET_SIZE(levels)):
            if not _read_level(PyTuple_GET_ITEM(levels, index), &row):
                return False
            self.decimals = max(self.decimals, row.decimals)
        return True

    cdef bint _fill(self, int which, tuple levels) except -1:
        cdef Side* side = &self.sides[which]
        cdef int count = <int> PyTuple_GET_SIZE(levels), index
        cdef Row row
        cdef uint64_t key
        if count > self.depth:
            return False
        _reserve(side, count)
        side.first = (side.capacity - count) >> 1
        for index in range(count):
            _read_level(PyTuple_GET_ITEM(levels, index), &row)
            if row.removes or not self._key(which, &row, &key):
                return False
            if index and key <= side.keys[side.first + index - 1]:
                return False
            Py_INCREF(row.held.level)
            side.keys[side.first + index] = key
            side.held[side.first + index] = row.held
            side.count += 1
        side.touched = True
        return True

    def __dealloc__(self):
        _release(&self.sides[BIDS])
        _release(&self.sides[ASKS])

    def leave(self):
        """The book takes back its levels: a table has no use for this any more."""
        self.is_left = True

    # Reading

    @property
    def bids(self):
        """Best first."""
        if self.bids_view is None:
            self.bids_view = _best_first(&self.sides[BIDS])
        return self.bids_view

    @property
    def asks(self):
        """Best first."""
        if self.asks_view is None:
            self.asks_view = _best_first(&self.sides[ASKS])
        return self.asks_view

    @property
    def best_bid(self):
        return self._best(BIDS)

    @property
    def best_ask(self):
        return self._best(ASKS)

    cdef object _best(self, int which):
        cdef Side* side = &self.sides[which]
        return <object> side.held[side.first].level if side.count else None

    # Changing

    def apply(self, event) -> bool:
        """Apply and verify a :class:`BookUpdate`. False if that is left to the pure code: then nothing has changed."""
        return self._take_event(event, True)

    def follow(self, event) -> bool:
        """The same without verifying it."""
        return self._take_event(event, False)

    cdef bint _take_event(self, event, bint verify) except -1:
        cdef PyObject* update = <PyObject*> event
        cdef PyObject* checksum
        cdef PyObject* symbol
        cdef Row rows[MAX_ROWS]
        cdef int bids, asks
        if not is_of(update, UPDATE):
            return False
        checksum, symbol = get_field(update, _checksum_at), get_field(update, _symbol_at)
        if checksum == NULL or not PyLong_CheckExact(<object> checksum) or symbol == NULL:
            return False
        if symbol != <PyObject*> self.symbol and <object> symbol != self.symbol:
            return False
        bids = _read_levels(get_field(update, _bids_at), rows, MAX_ROWS)
        if bids < 0:
            return False
        asks = _read_levels(get_field(update, _asks_at), &rows[bids], MAX_ROWS - bids)
        if asks < 0 or not self._change(rows, bids, asks, verify, <object> checksum):
            return False
        self.checksum = <object> checksum
        self.timestamp = event.timestamp
        self.epoch = event.epoch
        self.received_ns = event.received_ns
        return True

    cdef bint _change(self, Row* rows, int bids, int asks, bint verify, checksum) except -1:
        """Apply the first rows to the bids and the next ones to the asks, and verify the result, or undo it."""
        cdef int changes, index
        cdef Row* row
        cdef uint64_t expected = 0
        if verify:
            try:
                expected = PyLong_AsUnsignedLongLong(checksum)
            except OverflowError:
                return False
        for index in range(bids + asks):
            row = &rows[index]
            if not self._key(BIDS if index < bids else ASKS, row, &row.price):
                return False
        _reserve(&self.sides[BIDS], bids)
        _reserve(&self.sides[ASKS], asks)
        changes = self._merge(BIDS, rows, bids, 0)
        changes = self._merge(ASKS, &rows[bids], asks, changes)
        if self._is_crossed():
            self._undo(changes)
            return False
        if verify:
            self._rehash()
            if self.crc != expected:
                self._undo(changes)
                return False
        if bids:
            self.bids_view = None
        if asks:
            self.asks_view = None
        for index in range(changes):
            if _changes[index].kind != INSERTED:
                Py_DECREF(_changes[index].old.level)
        return True

    cdef bint _is_crossed(self) noexcept:
        cdef Side* bids = &self.sides[BIDS]
        cdef Side* asks = &self.sides[ASKS]
        return bids.count and asks.count and ~bids.keys[bids.first] >= asks.keys[asks.first]

    cdef void _rehash(self) noexcept:
        cdef Side* bids = &self.sides[BIDS]
        cdef Side* asks = &self.sides[ASKS]
        if asks.touched:
            self.asks_crc = _hash(asks, 0)
        if asks.touched or bids.touched:
            self.crc = _hash(bids, self.asks_crc)
        asks.touched = bids.touched = False

    cdef bint _key(self, int which, Row* row, uint64_t* key) noexcept:
        """The row's price as this side sorts it. False if its scale is finer than the book's, or it is too large."""
        cdef int places = self.decimals - row.decimals
        if places < 0 or places > MAX_DIGITS or row.price > (<uint64_t> -1) / _powers[places]:
            return False
        key[0] = row.price * _powers[places]
        if which == BIDS:
            key[0] = ~key[0]
        return True

    cdef int _merge(self, int which, Row* rows, int count, int changes) noexcept:
        """Apply rows, whose prices are keys, to one side. Returns how many changes there are by now."""
        cdef Side* side = &self.sides[which]
        cdef Row* row
        cdef Change* change
        cdef int index, at
        for index in range(count):
            row = &rows[index]
            at = _find(side, row.price)
            CHECK_BOUNDS(changes < 2 * MAX_ROWS)
            change = &_changes[changes]
            change.side, change.at, change.key = which, at, row.price
            if at < side.count and side.keys[side.first + at] == row.price:
                change.old = side.held[side.first + at]
                if row.removes:
                    change.kind = REMOVED
                    _remove(side, at)
                else:
                    change.kind = REPLACED
                    _replace(side, at, &row.held)
                    Py_INCREF(row.held.level)
            elif not row.removes:
                change.kind = INSERTED
                _insert(side, at, row.price, &row.held)
                Py_INCREF(row.held.level)
            else:
                continue  # what is not there is removed, which changes nothing
            changes += 1
        while side.count > self.depth:
            at = side.count - 1
            CHECK_BOUNDS(changes < 2 * MAX_ROWS)
            change = &_changes[changes]
            change.kind, change.side, change.at = REMOVED, which, at
            change.key, change.old = side.keys[side.first + at], side.held[side.first + at]
            _remove(side, at)
            changes += 1
        return changes

    cdef void _undo(self, int changes) noexcept:
        cdef Change* change
        cdef Side* side
        cdef PyObject* level
        while changes:
            changes -= 1
            change = &_changes[changes]
            side = &self.sides[change.side]
            if change.kind == REMOVED:
                _insert(side, change.at, change.key, &change.old)
                continue
            level = side.held[side.first + change.at].level
            if change.kind == INSERTED:
                _remove(side, change.at)
            else:
                _replace(side, change.at, &change.old)
            Py_DECREF(level)


# Frames


cdef inline const char* _skip(const char* at, const char* end, const char* literal) noexcept nogil:
    """Behind ``literal``; NULL if something else is there."""
    cdef size_t size = strlen(literal)
    if at == NULL or <size_t> (end - at) < size or memcmp(at, literal, size) != 0:
        return NULL
    return at + size


cdef inline bint _is_digit(char character) noexcept nogil:
    return c'0' <= character and character <= c'9'


cdef const char* _read_rows(const char* at, const char* end, Row* rows, int room, int* count) noexcept nogil:
    """Read the levels of one side, behind its opening bracket, and the closing one. NULL if they are not the usual."""
    cdef int found = 0
    if at != NULL and at[0] != c']':
        while True:
            if found == room:
                return NULL
            at = _skip(at, end, b'{"price":')
            if at != NULL:
                at = _price(at, &rows[found])
            at = _skip(at, end, b',"qty":')
            if at != NULL:
                at = _qty(at, &rows[found])
            at = _skip(at, end, b'}')
            if at == NULL:
                return NULL
            found += 1
            if at[0] != c',':
                break
            at += 1
    count[0] = found
    return _skip(at, end, b']')


cdef const char* _read_checksum(const char* at, uint64_t* checksum) noexcept nogil:
    cdef const char* begin = at
    cdef uint64_t value = 0
    if at == NULL:
        return NULL
    while _is_digit(at[0]) and at - begin < 11:
        value = value * 10 + <uint64_t> (at[0] - c'0')
        at += 1
    if at == begin or value > <uint64_t> 0xFFFFFFFFu or (begin[0] == c'0' and at - begin > 1):
        return NULL
    checksum[0] = value
    return at


cdef struct Moment:
    int year
    int month
    int day
    int hour
    int minute
    int second
    int micro


cdef inline int _number_of(const char* at, int size) noexcept nogil:
    """The number of exactly so many digits; far below 0 if there are others."""
    cdef int value = 0, index
    for index in range(size):
        if not _is_digit(at[index]):
            return -1_000_000
        value = value * 10 + (at[index] - c'0')
    return value


cdef int[13] _DAYS = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


cdef const char* _read_moment(const char* at, const char* end, Moment* moment) noexcept nogil:
    """Read ``2026-05-14T15:06:09.020392Z``, with six decimals. NULL if it is anything else."""
    cdef int days
    if at == NULL or end - at < 27:
        return NULL
    if at[4] != c'-' or at[7] != c'-' or at[10] != c'T' or at[13] != c':' or at[16] != c':' or at[19] != c'.':
        return NULL
    moment.year, moment.month, moment.day = _number_of(at, 4), _number_of(at + 5, 2), _number_of(at + 8, 2)
    moment.hour, moment.minute = _number_of(at + 11, 2), _number_of(at + 14, 2)
    moment.second, moment.micro = _number_of(at + 17, 2), _number_of(at + 20, 6)
    if moment.year < 1 or not 1 <= moment.month <= 12 or not 0 <= moment.hour <= 23 or moment.micro < 0:
        return NULL
    if not 0 <= moment.minute <= 59 or not 0 <= moment.second <= 59:
        return NULL
    days = _DAYS[moment.month]
    if moment.month == 2 and moment.year % 4 == 0 and (moment.year % 100 != 0 or moment.year % 400 == 0):
        days = 29
    if not 1 <= moment.day <= days:
        return NULL
    return _skip(at + 26, end, b'Z')


cdef class Table:
    """The live books of a session: takes their updates from frames that are exactly as the exchange writes them.

    ``subscriptions`` are those of the channel by symbol. One takes frames while its ``step`` is ``live``; its events go
    to its ``audience``; its book is ``state.book``. What the table finds by that is kept in ``kept``, which is None in a
    new subscription: a thousand books do not fit into a processor's caches, so that each step from one object to the
    next takes longer than applying an update.
    """

    cdef dict subscriptions
    cdef object live
    cdef object counters
    cdef uint64_t events  # not yet added to the counters, whose numbers are Python objects
    cdef uint64_t updates
    cdef uint64_t size  # of their frames

    def __init__(self, dict subscriptions not None, live, counters):
        self.subscriptions = subscriptions
        self.live = live
        self.counters = counters

    def take(self, frames, Py_ssize_t index, epoch, received_ns, deliver) -> int:
        """Apply and verify the updates in ``frames`` from ``index`` on, and append their events to ``deliver``.

        Returns the index of the first frame that is left to the pure code, which has had no effect.
        """
        cdef object batch = frames if type(frames) is list or type(frames) is tuple else list(frames)
        cdef Py_ssize_t count = PySequence_Fast_GET_SIZE(batch)
        cdef int feeds
        cdef PyObject* frame
        while index < count:
            frame = PySequence_Fast_GET_ITEM(batch, index)
            feeds = self._take(frame, epoch, received_ns, deliver)
            if feeds < 0:
                break
            self.events += feeds
            self.updates += 1
            if PyBytes_CheckExact(<object> frame):
                self.size += PyBytes_GET_SIZE(<object> frame)
            else:
                self.size += PyUnicode_GET_LENGTH(<object> frame)
            index += 1
        return index

    def count(self) -> tuple[int, int]:
        """Add what was taken since the last call to the counters. Returns how many frames that were, and their size."""
        counters = self.counters
        taken = (self.updates, self.size)
        counters.events += self.events
        counters.checksums_verified += self.updates
        counters.compiled_updates += self.updates
        self.events = self.updates = self.size = 0
        return taken

    cdef int _take(self, PyObject* frame, epoch, received_ns, deliver) except -2:
        """Take one frame. Returns to how many feeds its event goes; -1 if the frame is left to the pure code."""
        cdef Row rows[MAX_ROWS]
        cdef const char* at
        cdef const char* end
        cdef const char* name
        cdef Py_ssize_t size
        cdef int bids = 0, asks = 0, feeds
        cdef uint64_t checksum = 0
        cdef Moment moment
        cdef Core core
        cdef PyObject* found
        cdef list outboxes = None
        cdef object outbox = None
        if PyBytes_CheckExact(<object> frame):
            at, size = PyBytes_AS_STRING(<object> frame), PyBytes_GET_SIZE(<object> frame)
        else:
            at = _ascii(frame)
            if at == NULL:
                return -1
            size = PyUnicode_GET_LENGTH(<object> frame)
        if size > MAX_FRAME:
            return -1
        end = at + size
        name = _skip(at, end, b'{"channel":"book","type":"update","data":[{"symbol":"')
        if name == NULL:
            return -1
        at = name
        while c' ' <= at[0] and at[0] <= c'~' and at[0] != c'"' and at[0] != c'\\':
            at += 1
        size = at - name
        at = _skip(at, end, b'","bids":[')
        at = _read_rows(at, end, rows, MAX_ROWS, &bids)
        at = _skip(at, end, b',"asks":[')
        at = _read_rows(at, end, &rows[bids], MAX_ROWS - bids, &asks)
        at = _read_checksum(_skip(at, end, b',"checksum":'), &checksum)
        at = _read_moment(_skip(at, end, b',"timestamp":"'), end, &moment)
        at = _skip(at, end, b'"}]}')
        if at != end:
            return -1
        found = PyDict_GetItemWithError(self.subscriptions, ascii_text(name, size))
        if found == NULL:
            return -1
        sub = <object> found
        if sub.step is not self.live:
            return -1
        core = self._book_of(sub)
        if core is None:
            return -1
        audience = sub.audience
        feeds = <int> len(audience)
        if feeds == 1:
            outbox = deliver[audience[0]]
        else:
            outboxes = [deliver[feed] for feed in audience]

        # All objects are made before anything changes.
        event = new_struct(UPDATE)
        wanted = PyLong_FromUnsignedLong(<unsigned long> checksum)
        timestamp = datetime_new(
            moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second, moment.micro, get_utc()
        )
        set_field(event, _symbol_at, core.symbol)
        set_field(event, _bids_at, _new_levels(rows, bids))
        set_field(event, _asks_at, _new_levels(&rows[bids], asks))
        set_field(event, _checksum_at, wanted)
        set_field(event, _timestamp_at, timestamp)
        set_field(event, _epoch_at, epoch)
        set_field(event, _received_at, received_ns)
        if core.is_left or not core._change(rows, bids, asks, True, wanted):
            return -1
        core.checksum, core.timestamp, core.epoch, core.received_ns = wanted, timestamp, epoch, received_ns
        if feeds == 1:
            PyList_Append(outbox, event)
        else:
            for outbox in outboxes:
                PyList_Append(outbox, event)
        return feeds

    cdef Core _book_of(self, sub):
        """The core with the book of a live subscription; None if it has none."""
        cdef Core core
        kept = sub.kept
        if type(kept) is Core and not (<Core> kept).is_left:
            return <Core> kept
        core = sub.state.book.core
        sub.kept = core
        return core


cdef uint64_t _power = 1
cdef int _places
for _places in range(MAX_DIGITS + 1):
    _powers[_places] = _power
    _power *= 10
make_crc_tables()
if not (is_plain(LEVEL) and is_plain(UPDATE)):
    raise ImportError("the compiled core does not know how this msgspec makes structs")
