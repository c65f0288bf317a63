# Included by the kernels that read numbers from text: the codes of what became of it, and the
# parser, which rounds as float() does.

from libc.math cimport isfinite
from libc.stdint cimport uint64_t

cdef extern from "rounding.h" nogil:
    bint round_decimal(uint64_t m, long power, const uint64_t (*fives)[2], double* value)

cdef extern from "digits.h" nogil:
    enum: AHEAD_OF_DIGITS
    bint short_decimal(const unsigned char* p, size_t size, unsigned char point, double* value)

# what became of a line or of a field
GOOD, EMPTY, FIELDS, NUMBER, FINITE, QUOTE = range(6)

cdef enum:
    _GOOD, _EMPTY, _FIELDS, _NUMBER, _FINITE, _QUOTE

ctypedef const unsigned char* Text

cdef double POWER[23]
cdef uint64_t FIVES[342 + 309][2]       # the leading 128 bits of 5^-342 to 5^308


cdef void _powers():
    cdef int i
    cdef object power, bits, size       # of Python, which has integers of any size
    for i in range(23):
        POWER[i] = float("1e%d" % i)
    for power in range(-342, 309):
        bits = 5 ** abs(power)
        size = bits.bit_length()
        if power < 0:
            bits = (1 << (127 + size)) // bits + (power >= -27)
        else:
            bits = bits << 128 >> size
        FIVES[power + 342][0] = bits >> 64
        FIVES[power + 342][1] = bits & 0xffffffffffffffff


_powers()


cdef inline int _field(Text p, Text stop, Text end, unsigned char point, unsigned char mark, double* value) noexcept nogil:
    """The number that a field is, as _float reads it: _GOOD, _EMPTY, _NUMBER or _FINITE. `end`: of the buffer."""
    cdef int code
    if end - p >= AHEAD_OF_DIGITS and not mark and short_decimal(p, stop - p, point, value):
        return _GOOD
    if p == stop:
        return _EMPTY
    code = _float(&p, stop, point, mark, value)
    return _NUMBER if p < stop else code


cdef inline int _float(Text* place, Text stop, unsigned char point, unsigned char mark,
                       double* value) noexcept nogil:
    """The number that begins here, as float() reads it, without blanks and underscores.

    `point` stands before the fraction, `mark` (0: none) between groups of three digits. Returns
    _GOOD, _NUMBER (is none) or _FINITE (inf, nan or too large); place[0] is behind it then."""
    cdef Text p = place[0]
    cdef Text start
    cdef uint64_t m = 0                 # the first 19 digits that count
    cdef Py_ssize_t digits = 0, power = 0
    cdef int exponent = 0
    cdef bint minus = p < stop and p[0] == b"-", less, shown, grouped
    cdef double above
    if p < stop and (p[0] == b"-" or p[0] == b"+"):
        p += 1
    grouped = mark and _grouped(p, stop, mark)
    start = p
    while p < stop and (48 <= p[0] <= 57 or (grouped and p[0] == mark)):
        if p[0] != mark:
            if digits or p[0] != 48:
                digits += 1
            if digits <= 19:
                m = m * 10 + (p[0] - 48)
        p += 1
    shown = p > start
    if digits > 19:
        power = digits - 19
    if p < stop and p[0] == point:
        p += 1
        start = p
        while p < stop and 48 <= p[0] <= 57:
            if digits or p[0] != 48:
                digits += 1
            if digits <= 19:
                m = m * 10 + (p[0] - 48)
                power -= 1
            p += 1
        shown |= p > start
    if not shown:
        return _word(place, stop)
    if p < stop and (p[0] == b"e" or p[0] == b"E"):
        p += 1
        less = p < stop and p[0] == b"-"
        if p < stop and (p[0] == b"-" or p[0] == b"+"):
            p += 1
        start = p
        while p < stop and 48 <= p[0] <= 57:
            if exponent < 100000000:        # as large as any
                exponent = exponent * 10 + (p[0] - 48)
            p += 1
        if p == start:
            return _NUMBER
        power += -exponent if less else exponent
    start, place[0] = place[0], p
    if digits <= 19 and m <= 1ULL << 53 and -22 <= power <= 22:     # exact both: one rounding
        value[0] = <double> m
        if power < 0:
            value[0] /= POWER[-power]
        else:
            value[0] *= POWER[power]
    elif not round_decimal(m, power, FIVES, value) or (digits > 19 and not (
            round_decimal(m + 1, power, FIVES, &above) and above == value[0])):
        value[0] = _slow(start, p, point, mark)
        minus = False
    if minus:
        value[0] = -value[0]
    return _GOOD if isfinite(value[0]) else _FINITE


cdef bint _grouped(Text p, Text stop, unsigned char mark) noexcept nogil:
    """Whether 1 to 3 digits are here, no 0 first, and then one or more times a mark and 3 digits."""
    cdef int size = 0
    cdef bint first = True
    if p < stop and p[0] == 48:
        return False
    while True:
        size = 0
        while p < stop and 48 <= p[0] <= 57:
            size += size < 4
            p += 1
        if size == 0 or size > 3 or (size < 3 and not first):
            return False
        if p == stop or p[0] != mark:
            return not first
        first = False
        p += 1


cdef int _word(Text* place, Text stop) noexcept nogil:
    """inf, infinity or nan, as float() takes them: numbers, but not finite."""
    cdef Text p = place[0]
    cdef Py_ssize_t size = 0
    cdef const char* word
    cdef int i, j
    if p < stop and (p[0] == b"-" or p[0] == b"+"):
        p += 1
    for i in range(3):
        word = "infinity" if i == 0 else "inf" if i == 1 else "nan"
        size = 8 if i == 0 else 3
        if stop - p >= size:
            for j in range(<int> size):
                if (p[j] | 32) != <unsigned char> word[j]:
                    break
            else:
                place[0] = p + size
                return _FINITE
    return _NUMBER


cdef double _slow(Text start, Text stop, unsigned char point,
                  unsigned char mark) noexcept with gil:
    """What Python makes of the few numbers that round_decimal does not decide."""
    text = (<const char*> start)[:stop - start]
    return float(text.replace(bytes([mark]), b"").replace(bytes([point]), b"."))
