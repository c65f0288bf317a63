"""The C library's memory, of the whole process."""

cdef extern from *:
    """
    #include <stdlib.h>
    #if defined(__GLIBC__)
    #include <malloc.h>
    static int keep_freed(int bytes) { return mallopt(M_MMAP_THRESHOLD, bytes / 2) && mallopt(M_TRIM_THRESHOLD, bytes); }
    #else
    static int keep_freed(int bytes) { return bytes < 0; }
    #endif
    """
    bint keep_freed(int)


def keep(int size) -> bool:
    """Up to `size` bytes (64 MB at most) of freed memory stay with the process: buffers that are made again and again are then not
    mapped anew each time, which takes longer than to fill them. False where the C library cannot be told so."""
    return keep_freed(size)
