# Included by the kernels that cut times into parts.

from libc.math cimport fabs

cdef double LAST_TIME = 1e12    # seconds, before which and behind the negative of which all is counted


cdef inline void _parts(double seconds, int64_t* parts) noexcept nogil:
    """Year, month, day, weekday, hour and minute of seconds since 1970, each but the year from 0 on (Monday is 0)."""
    cdef int64_t whole = <int64_t> seconds
    cdef int64_t day, rest, of_era, year, of_year, month
    whole -= <double> whole > seconds
    whole += 146097LL * 86400 * 100             # 400 years are one era, and begin in March here
    day, rest = whole / 86400, whole % 86400
    of_era = (day + 719468) % 146097
    year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365
    of_year = of_era - (365 * year + year / 4 - year / 100)
    month = (5 * of_year + 2) / 153             # from March on
    parts[0] = (day + 719468) / 146097 * 400 - 40000 + year + (month >= 10)
    parts[1] = (month + 2) % 12
    parts[2] = of_year - (153 * month + 2) / 5
    parts[3] = (day + 3) % 7                    # an era is of whole weeks
    parts[4], parts[5] = rest / 3600, rest / 60 % 60


cdef int _counted(const double[::1] seconds) except -1:
    cdef Py_ssize_t i
    cdef bint fit = True
    for i in range(seconds.shape[0]):
        fit &= fabs(seconds[i]) < LAST_TIME
    return need(fit, "calendar: there is no such year")
