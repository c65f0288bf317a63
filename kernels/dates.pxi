# Included by words.pyx: how a date is read, in the order of its parts.

include "months.pxi"

# the order of a date's parts
YMD, DMY, MDY = range(3)

cdef int PARTS[3][3]            # of an order: which of year, month, day comes first, second, third
PARTS[0][:] = [0, 1, 2]
PARTS[1][:] = [2, 1, 0]
PARTS[2][:] = [1, 2, 0]


cdef int _digits(Text* place, Text stop, int least, int most) noexcept nogil:
    """The number of `least` to `most` digits here, or -1; leaves place[0] behind them."""
    cdef int value = 0, size = 0
    while size < most and place[0] < stop and 48 <= place[0][0] <= 57:
        value = value * 10 + (place[0][0] - 48)
        place[0] += 1
        size += 1
    return value if size >= least else -1


cdef bint _skipped(Text* place, Text stop, unsigned char byte) noexcept nogil:
    """Whether this byte is here; leaves place[0] behind it then."""
    if place[0] < stop and place[0][0] == byte:
        place[0] += 1
        return True
    return False


cdef int _date(Text p, Text stop, int order, double* value) noexcept nogil:
    cdef int date[3]
    cdef int i, part
    cdef bint apart                     # whether separators stand between the parts
    cdef Text start = p
    cdef int64_t seconds
    cdef double fraction = 0
    while p < stop and 48 <= p[0] <= 57:
        p += 1
    apart = p - start != 8 and p < stop
    if apart and 65 <= p[p != start and stop - p > 1]:      # a letter, behind the first separator where digits come first
        p = start
        if not _named(&p, stop, order, date):
            return _NUMBER
    else:
        if apart and p[0] != b"-" and p[0] != b"/" and p[0] != b".":
            return _NUMBER
        start, p = p, start             # start: of the first separator
        for i in range(3):
            part = PARTS[order][i]
            date[part] = _digits(&p, stop, 4 if part == 0 else 2 - apart, 4 if part == 0 else 2)
            if date[part] < (part == 0) or (apart and i < 2 and not _skipped(&p, stop, start[0])):
                return _NUMBER
    if not 1 <= date[1] <= 12 or not 1 <= date[2] <= _length(date[0], date[1]):
        return _NUMBER
    seconds = 86400 * _day(date[0], date[1], date[2])
    if p < stop and not _time(&p, stop, &seconds, &fraction):
        return _NUMBER
    value[0] = <double> seconds + fraction
    return _GOOD if p == stop else _NUMBER


cdef bint _named(Text* place, Text stop, int order, int* date) noexcept nogil:
    """Reads year, month and day where the month is a name; False where they are none."""
    cdef unsigned char mark = 0
    cdef Text start
    cdef int i, part = 0
    for i in range(3):
        if i and stop - place[0] > 1 and place[0][1] == 32 and (
                (place[0][0] == b"." and part == 1) or (place[0][0] == b"," and i == 2 and order > 0)):
            place[0] += 1
        if i == 1 and place[0] < stop:
            mark = place[0][0]
            if mark != b"-" and mark != b"/" and mark != b"." and mark != 32:
                return False
        if i and not _skipped(place, stop, mark):
            return False
        part = PARTS[order][i]
        start = place[0]
        date[part] = _month(place, stop) if part == 1 else _digits(place, stop, 2 - part / 2, 4 - part)
        if date[part] < (part > 0):
            return False
        if part == 0 and place[0] - start != 4:
            if place[0] - start != 2 or order != 1:
                return False
            date[0] += 1900 if date[0] >= 69 else 2000
    return date[0] > 0


cdef int _length(int year, int month) noexcept nogil:
    """How many days a month has."""
    if month == 2:
        return 28 + (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))
    return 30 + (month + month / 8) % 2


cdef int64_t _day(int year, int month, int day) noexcept nogil:
    """Days since 1970-01-01: years begin in March, so that a leap day is their last."""
    year -= month < 3
    return (365 * year + year / 4 - year / 100 + year / 400
            + (153 * ((month + 9) % 12) + 2) / 5 + day - 719469)


cdef bint _time(Text* place, Text stop, int64_t* seconds, double* fraction) noexcept nogil:
    """Adds a time of day, from its T or blank to its offset from UTC; False where it is none."""
    cdef int hour, minute, second = 0, scale = 0, sign
    if not _skipped(place, stop, b"T") and not _skipped(place, stop, b" "):
        return False
    hour = _digits(place, stop, 1, 2)
    if not _skipped(place, stop, b":"):
        return False
    minute = _digits(place, stop, 2, 2)
    if _skipped(place, stop, b":"):
        second = _digits(place, stop, 2, 2)
        if second >= 0 and _skipped(place, stop, b"."):
            if place[0] == stop or not 48 <= place[0][0] <= 57:
                return False
            while place[0] < stop and 48 <= place[0][0] <= 57:
                if scale < 9:
                    fraction[0] = fraction[0] * 10 + (place[0][0] - 48)
                    scale += 1
                place[0] += 1
            fraction[0] /= POWER[scale]
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        return False
    seconds[0] += 3600 * hour + 60 * minute + second
    if place[0] == stop or _skipped(place, stop, b"Z"):
        return True
    sign = -1 if _skipped(place, stop, b"+") else 1
    if sign == 1 and not _skipped(place, stop, b"-"):
        return False
    hour, minute = _digits(place, stop, 2, 2), 0
    if _skipped(place, stop, b":") or place[0] < stop:
        minute = _digits(place, stop, 2, 2)
    seconds[0] += sign * (3600 * hour + 60 * minute)
    return 0 <= hour < 24 and 0 <= minute < 60
