# Included by the kernels that look for dates: English names of months.

cdef char* NAMES = b"january  february march    april    may      june     july     august   septemberoctober  november december "
cdef int NAME = 9               # bytes of each name, which blanks fill


cdef int _month(Text* place, Text stop) noexcept nogil:
    """1 to 12 of a month's name, or of its first three letters, or of Sept, in whatever case; leaves place[0] behind it. 0 of
    other letters."""
    cdef const char* name = NAMES
    cdef Text p = place[0]
    cdef int month, size = 3
    if stop - p < 3:
        return 0
    for month in range(1, 13):
        if p[0] | 32 == name[0] and p[1] | 32 == name[1] and p[2] | 32 == name[2]:
            while size < NAME and p + size < stop and name[size] != 32 and p[size] | 32 == name[size]:
                size += 1
            place[0] = p + size
            if p + size < stop and 97 <= p[size] | 32 <= 122:
                return 0
            return month if size == 3 or size == NAME or name[size] == 32 or (month == 9 and size == 4) else 0
        name += NAME
    return 0
