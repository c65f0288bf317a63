"""Lines of JSON in, an object in each; out come the places of the values of known fields.

Known fields make a tree, whose node 0 is the object itself: node i has the key keys[starts[i]:stops[i]] (UTF-8; of an
element of an array its place in decimal digits) and the node parents[i] above it. What is below node i are the nodes up
to ends[i], so the first one of them is i + 1, and the next one beside it is ends[i]. columns[i] is the column of its value,
NONE, or LEFT_OUT: neither its value nor any below it is looked at."""
include "common.pxi"

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memchr, memcmp, memmove, memset

ctypedef const unsigned char* Text

cdef extern from "jsonl.h" nogil:
    Text run_end(Text p, Text stop, Text end)
    Text utf8_end(Text p, Text stop)
    uint64_t hash_word(Text p, size_t size)
    uint64_t mix(uint64_t x)

# what became of a line
GOOD, EMPTY, SYNTAX, OBJECT, DEEP, UTF8 = range(6)
NONE, LEFT_OUT = -1, -2
DEPTH = 100                     # objects and arrays in each other, at most

cdef enum:
    _GOOD, _EMPTY, _SYNTAX, _OBJECT, _DEEP, _UTF8

cdef enum:
    _NONE = -1
    _LEFT_OUT = -2
    _DEPTH = 100

cdef unsigned char NOTHING[1]   # where keys of no bytes are

cdef struct Tree:
    Text keys
    const int64_t* starts
    const int64_t* stops
    const int32_t* parents
    const int32_t* ends
    const int32_t* columns
    const int32_t* slots
    uint64_t mask               # of a hash: its slot
    int64_t* seen               # of each node the last row that had it

cdef struct Line:
    unsigned char* base         # of the buffer
    unsigned char* stop
    Text end                    # of the buffer
    int64_t row
    int64_t* starts             # of the row
    int64_t* stops
    bint others                 # whether there is a value that is of no known field


cdef Tree _tree(const unsigned char[::1] keys, const int64_t[::1] starts, const int64_t[::1] stops,
                const int32_t[::1] parents, const int32_t[::1] slots) except *:
    """What both functions need; the rest is for `split` to fill in."""
    cdef Tree tree
    cdef Py_ssize_t i, n = starts.shape[0]
    cdef bint fit = True
    need(n > 0 and stops.shape[0] == parents.shape[0] == n, "starts, stops and parents have a place for each node")
    need(slots.shape[0] > n and slots.shape[0] & (slots.shape[0] - 1) == 0, "slots: a power of 2 that is more than the nodes")
    for i in range(n):
        fit &= 0 <= starts[i] <= stops[i] <= keys.shape[0] and (i == 0 or 0 <= parents[i] < i)
    need(fit, "a key is not within `keys`, or a node stands before that above it")
    tree.keys = NOTHING
    if keys.shape[0]:
        tree.keys = &keys[0]
    tree.starts, tree.stops, tree.parents, tree.slots = &starts[0], &stops[0], &parents[0], &slots[0]
    tree.mask = slots.shape[0] - 1
    tree.ends = tree.columns = NULL
    tree.seen = NULL
    return tree


def index(const unsigned char[::1] keys, const int64_t[::1] starts, const int64_t[::1] stops,
          const int32_t[::1] parents, int32_t[::1] slots):
    """slots = where `split` finds the nodes by their keys. ValueError: two of one node have one key."""
    cdef Tree tree = _tree(keys, starts, stops, parents, slots)
    cdef Py_ssize_t i
    cdef uint64_t slot
    cdef Text key
    slots[:] = _NONE
    for i in range(1, starts.shape[0]):
        key = tree.keys + starts[i]
        need(_lookup(&tree, parents[i], key, stops[i] - starts[i], &slot) == _NONE, "two nodes of one node have one key")
        slots[slot] = <int32_t> i


cdef int32_t _lookup(const Tree* tree, int32_t node, Text key, Py_ssize_t size, uint64_t* slot) noexcept nogil:
    """The node below `node` that has this key, or NONE; and the slot where it is or would be."""
    cdef int32_t child
    slot[0] = mix(hash_word(key, size) + <uint64_t> node) & tree.mask
    while True:
        child = tree.slots[slot[0]]
        if child == _NONE or (tree.parents[child] == node and _is(tree, child, key, size)):
            return child
        slot[0] = (slot[0] + 1) & tree.mask


cdef inline bint _is(const Tree* tree, int32_t node, Text key, Py_ssize_t size) noexcept nogil:
    return (tree.stops[node] - tree.starts[node] == size
            and not memcmp(tree.keys + tree.starts[node], key, size))


def split(unsigned char[::1] buffer, const unsigned char[::1] keys, const int64_t[::1] kstarts, const int64_t[::1] kstops,
          const int32_t[::1] parents, const int32_t[::1] ends, const int32_t[::1] columns, const int32_t[::1] slots,
          int64_t[::1] seen, int64_t[:, ::1] starts, int64_t[:, ::1] stops, int[::1] codes, int64_t[::1] faults,
          unsigned char[::1] others):
    r"""starts, stops[rows, columns] = the values of each line's object in `buffer`; returns how many lines.

    `keys` to `columns` are a tree of known fields, `slots` what `index` made of it, `seen` has a place for each node. A line
    ends at \n. Values are as Python's json reads them (NaN, Infinity and -Infinity too; the last one of a key that comes
    twice), but strings come without the blanks and tabs around them, and a surrogate that is none of a pair is U+FFFD.
    Strings lose their escapes in place; the byte before one is a quote, that before a number, true or false is none. The
    places of what is missing, null, an object or an array are 0:0, and so are all of a line that is not GOOD.

    codes[row] is GOOD, EMPTY (a blank line), OBJECT (begins as no object), SYNTAX (is not JSON), DEEP (more than DEPTH
    objects and arrays in each other) or UTF8 (is none); faults[row] is the byte of the line where that was seen. others[row]
    is 1 where a value that is not null is of no column and not left out."""
    cdef Tree tree = _tree(keys, kstarts, kstops, parents, slots)
    cdef Line line
    cdef Py_ssize_t i, n = kstarts.shape[0], row = 0, rows = codes.shape[0], width = starts.shape[1], free = 0
    cdef bint fit = True
    cdef unsigned char* p
    cdef unsigned char* fault
    need(starts.shape[0] == stops.shape[0] == faults.shape[0] == others.shape[0] == rows and stops.shape[1] == width,
         "split: starts and stops[rows, columns], codes[rows], faults[rows] and others[rows] do not fit")
    need(ends.shape[0] == columns.shape[0] == seen.shape[0] == n, "split: ends, columns and seen have a place for each node")
    for i in range(n):
        fit &= i < ends[i] <= n and _LEFT_OUT <= columns[i] < width
    for i in range(slots.shape[0]):
        fit &= _NONE <= slots[i] < n
        free += slots[i] == _NONE
    need(fit and free, "split: ends, columns or slots are not those of a tree")
    tree.ends, tree.columns, tree.seen = &ends[0], &columns[0], &seen[0]
    if buffer.shape[0] == 0 or rows == 0:
        need(buffer.shape[0] == 0, "split: more lines than rows to put them in")
        return 0
    seen[:] = -1
    line.base, line.end = &buffer[0], &buffer[0] + buffer.shape[0]
    with nogil:
        p = line.base
        while p < line.end and row < rows:
            line.stop = <unsigned char*> memchr(p, b"\n", line.end - p)
            if line.stop == NULL:
                line.stop = <unsigned char*> line.end
            line.row, line.others = row, False
            line.starts = &starts[row, 0] if width else NULL
            line.stops = &stops[row, 0] if width else NULL
            _clear(&line, width)
            fault = p
            codes[row] = _object(&tree, &line, &fault)
            if codes[row] != _GOOD:
                _clear(&line, width)
                line.others = False
            faults[row], others[row] = fault - p, line.others
            p = line.stop + (line.stop < line.end)
            row += 1
    need(p == line.end, "split: more lines than rows to put them in")
    return row


cdef inline void _clear(Line* line, Py_ssize_t width) noexcept nogil:
    if width:
        memset(line.starts, 0, width * sizeof(int64_t))
        memset(line.stops, 0, width * sizeof(int64_t))


cdef inline unsigned char* _blank(unsigned char* p, unsigned char* stop) noexcept nogil:
    """Where something else than white space is."""
    while p < stop and (p[0] == b" " or p[0] == b"\t" or p[0] == b"\r"):
        p += 1
    return p


cdef int _object(Tree* tree, Line* line, unsigned char** place) noexcept nogil:
    """The line from place[0] on; leaves it where the fault is."""
    cdef int32_t nodes[_DEPTH]      # of the objects and arrays that are open; NONE, LEFT_OUT: of none
    cdef int32_t nexts[_DEPTH]      # the node that their next value is likely to have
    cdef int64_t counts[_DEPTH]     # the elements of an array so far; -1: an object
    cdef int depth = 0
    cdef bint begun = False         # whether there was a value in the innermost one
    cdef unsigned char* p = place[0]
    cdef unsigned char* stop = line.stop
    cdef unsigned char* start
    cdef unsigned char* last
    cdef unsigned char close
    cdef int32_t child
    place[0] = <unsigned char*> utf8_end(p, stop)
    if place[0] < stop:
        return _UTF8
    place[0] = p = _blank(p, stop)
    if p == stop:
        return _EMPTY
    if p[0] != b"{":
        return _OBJECT
    nodes[0], nexts[0], counts[0] = 0, 1, -1
    p += 1
    while depth >= 0:
        place[0] = p = _blank(p, stop)
        if p == stop:
            return _SYNTAX
        close = b"}" if counts[depth] < 0 else b"]"
        if p[0] == close:
            p += 1
            depth -= 1
            begun = True
            continue
        if begun:
            if p[0] != b",":
                return _SYNTAX
            place[0] = p = _blank(p + 1, stop)
        begun = True
        if counts[depth] < 0:
            if p == stop or p[0] != b'"':
                return _SYNTAX
            start = p + 1
            place[0] = p = _string(line, start, &last)
            if last == NULL:
                return _SYNTAX
            child = nodes[depth]
            if child >= 0:
                child = _child(tree, child, nexts[depth], start, last - start)
            place[0] = p = _blank(p, stop)
            if p == stop or p[0] != b":":
                return _SYNTAX
            place[0] = p = _blank(p + 1, stop)
        else:
            child = nodes[depth]
            if child >= 0:
                child = _element(tree, child, nexts[depth], counts[depth])
            counts[depth] += 1
        if child >= 0:
            nexts[depth] = tree.ends[child]
            if tree.seen[child] == line.row:
                _forget(tree, line, child)
            tree.seen[child] = line.row
            if tree.columns[child] == _LEFT_OUT:
                child = _LEFT_OUT
        if p == stop:
            return _SYNTAX
        if p[0] == b"{" or p[0] == b"[":
            depth += 1
            if depth == _DEPTH:
                return _DEEP
            nodes[depth], nexts[depth], counts[depth] = child, child + 1, -1 if p[0] == b"{" else 0
            begun = False
            p += 1
        elif p[0] == b'"':
            start = p + 1
            place[0] = p = _string(line, start, &last)
            if last == NULL:
                return _SYNTAX
            while start < last and (start[0] == b" " or start[0] == b"\t"):
                start[0] = b'"'
                start += 1
            while start < last and ((last - 1)[0] == b" " or (last - 1)[0] == b"\t"):
                last -= 1
            _put(tree, line, child, start, last)
        else:
            last = _literal(p, stop)
            if last == NULL:
                return _SYNTAX
            if p[0] != b"n":
                _put(tree, line, child, p, last)
            p = last
    place[0] = p = _blank(p, stop)
    return _GOOD if p == stop else _SYNTAX


cdef inline void _put(const Tree* tree, Line* line, int32_t node, unsigned char* start,
                      unsigned char* last) noexcept nogil:
    """A value of a node, or of none."""
    cdef int32_t column = tree.columns[node] if node >= 0 else node
    if column >= 0:
        line.starts[column], line.stops[column] = start - line.base, last - line.base
    elif column == _NONE:
        line.others = True


cdef void _forget(Tree* tree, Line* line, int32_t node) noexcept nogil:
    """A key comes again: what was below it does not count."""
    cdef int32_t i
    for i in range(node, tree.ends[node]):
        tree.seen[i] = -1
        if tree.columns[i] >= 0:
            line.starts[tree.columns[i]] = line.stops[tree.columns[i]] = 0


cdef inline int32_t _child(const Tree* tree, int32_t node, int32_t next, Text key, Py_ssize_t size) noexcept nogil:
    """The node below `node` that has this key, or NONE; `next` is likely it."""
    cdef uint64_t slot
    if next < tree.ends[node] and _is(tree, next, key, size):
        return next
    return _lookup(tree, node, key, size, &slot)


cdef int32_t _element(const Tree* tree, int32_t node, int32_t next, int64_t count) noexcept nogil:
    """The node of the element of an array that has `count` others before it, or NONE."""
    cdef unsigned char digits[20]
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = <unsigned char> (48 + count % 10)
        count /= 10
        if count == 0:
            return _child(tree, node, next, digits + at, 20 - at)


cdef unsigned char* _string(Line* line, unsigned char* p, unsigned char** last) noexcept nogil:
    """Takes the escapes out of a string that begins at p, in place: it ends at last[0] then, which is NULL where it is none.
    Returns what is behind its quote, or where the fault is."""
    cdef unsigned char* to
    cdef unsigned char* next
    cdef unsigned char* stop = line.stop
    cdef unsigned char byte
    last[0] = NULL
    to = p = <unsigned char*> run_end(p, stop, line.end)
    while p < stop and p[0] == b"\\":
        next = p + 2
        byte = p[1] if next <= stop else 0
        if byte == b"u":
            next = _unicode(next, stop, &to)
            if next == NULL:
                return p
        else:
            if byte == b"n":
                byte = b"\n"
            elif byte == b"t":
                byte = b"\t"
            elif byte == b"r":
                byte = b"\r"
            elif byte == b"b":
                byte = 8
            elif byte == b"f":
                byte = 12
            elif byte != b'"' and byte != b"\\" and byte != b"/":
                return p
            to[0] = byte
            to += 1
        p = <unsigned char*> run_end(next, stop, line.end)
        memmove(to, next, p - next)
        to += p - next
    if p == stop or p[0] != b'"':
        return p
    last[0] = to
    return p + 1


cdef long _hex(Text p, Text stop) noexcept nogil:
    """The number of four digits, or -1."""
    cdef long code = 0
    cdef int i
    cdef unsigned char byte
    if stop - p < 4:
        return -1
    for i in range(4):
        byte = p[i]
        if 48 <= byte <= 57:
            byte -= 48
        else:
            byte |= 32
            if not 97 <= byte <= 102:
                return -1
            byte -= 87
        code = code * 16 + byte
    return code


cdef unsigned char* _unicode(unsigned char* p, unsigned char* stop, unsigned char** place) noexcept nogil:
    """Writes the character of the digits behind \\u, and of a second \\u where both are one; returns what is behind them, or
    NULL where they are none."""
    cdef unsigned char* to = place[0]
    cdef long code = _hex(p, stop), low
    if code < 0:
        return NULL
    p += 4
    if 0xd800 <= code < 0xdc00 and stop - p >= 6 and p[0] == b"\\" and p[1] == b"u":
        low = _hex(p + 2, stop)
        if 0xdc00 <= low < 0xe000:
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
            p += 6
    if 0xd800 <= code < 0xe000:
        code = 0xfffd
    if code < 0x80:
        to[0] = <unsigned char> code
        place[0] = to + 1
    elif code < 0x800:
        to[0], to[1] = <unsigned char> (0xc0 | code >> 6), <unsigned char> (0x80 | (code & 63))
        place[0] = to + 2
    elif code < 0x10000:
        to[0], to[1] = <unsigned char> (0xe0 | code >> 12), <unsigned char> (0x80 | (code >> 6 & 63))
        to[2] = <unsigned char> (0x80 | (code & 63))
        place[0] = to + 3
    else:
        to[0], to[1] = <unsigned char> (0xf0 | code >> 18), <unsigned char> (0x80 | (code >> 12 & 63))
        to[2], to[3] = <unsigned char> (0x80 | (code >> 6 & 63)), <unsigned char> (0x80 | (code & 63))
        place[0] = to + 4
    return p


cdef inline unsigned char* _digits(unsigned char* p, unsigned char* stop) noexcept nogil:
    while p < stop and 48 <= p[0] <= 57:
        p += 1
    return p


cdef unsigned char* _literal(unsigned char* p, unsigned char* stop) noexcept nogil:
    """What is behind the number or word that begins at p; NULL where there is none."""
    cdef unsigned char* start
    cdef const char* word
    cdef Py_ssize_t size
    cdef int i
    if p[0] == b"-":
        p += 1
    start = p
    p = _digits(p, stop)
    if p > start:
        if start[0] == 48 and p - start > 1:
            return NULL
        if p < stop and p[0] == b".":
            start = p + 1
            p = _digits(start, stop)
            if p == start:
                return NULL
        if p < stop and (p[0] == b"e" or p[0] == b"E"):
            p += 1
            if p < stop and (p[0] == b"-" or p[0] == b"+"):
                p += 1
            start = p
            p = _digits(start, stop)
            if p == start:
                return NULL
        return p
    for i in range(5):
        word = "Infinity" if i == 0 else "true" if i == 1 else "false" if i == 2 else "null" if i == 3 else "NaN"
        size = 8 if i == 0 else 5 if i == 2 else 3 if i == 4 else 4
        if stop - p >= size and not memcmp(p, word, size):
            return p + size
        if (p - 1)[0] == b"-":      # never the first byte of a line
            break
    return NULL
