"""What prepare's mappers make of rows, of many at once: their hashes, and the lines for the shuffle.

Row i is the bytes data[starts[i]:stops[i]]. ValueError where one is not within its data, and where arrays do not fit."""
include "common.pxi"
ctypedef const unsigned char* Text
include "fields.pxi"

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef extern from "rows.h" nogil:
    const uint64_t INITIAL[8]
    void fill_pairs()
    void hash_rows(Text data, const int64_t* starts, Py_ssize_t start_step, const int64_t* stops, Py_ssize_t stop_step,
                   size_t n, const uint64_t* begin, uint64_t* out)
    ctypedef unsigned char* (*Base64)(Text p, size_t size, unsigned char* out) noexcept nogil
    Base64 base64_here()
    unsigned char* put_hex(uint64_t word, unsigned char* out)
    void fill_sixth()
    unsigned char* put_bytes(Text p, size_t size, unsigned char* out)

cdef extern from "stored.h" nogil:
    void store_rows[T](const double* x, Py_ssize_t down, Py_ssize_t step, size_t n, size_t width, T* out, Py_ssize_t across,
                       unsigned char* whole, unsigned char* finite, unsigned char* fits)

fill_pairs()
fill_sixth()

def hashes(Bytes data, Places starts, Places stops, bytes salt, bytes person, uint64_t[::1] out):
    """out[n] = BLAKE2b of each row, of 8 bytes that are read as a big-endian number.

    `salt` and `person`: its parameters, up to 16 bytes each."""
    cdef Py_ssize_t i, n = _count(data, starts, stops)
    cdef uint64_t begin[8]
    cdef Text base = _base(data)
    need(out.shape[0] == n, "hashes: out must have a place for each row")
    need(len(salt) <= 16 and len(person) <= 16, "hashes: salt and person have 16 bytes at most")
    if n == 0:
        return
    for i in range(8):
        begin[i] = INITIAL[i]
    begin[0] ^= 0x01010008      # of 8 bytes, without a key, not a tree
    for i, word in ((4, salt[:8]), (5, salt[8:]), (6, person[:8]), (7, person[8:])):
        begin[i] ^= <uint64_t> int.from_bytes(word, "little")
    with nogil:
        hash_rows(base, &starts[0], starts.strides[0] // 8, &stops[0], stops.strides[0] // 8, n, begin, &out[0])


def lines(Bytes data, Places starts, Places stops, const uint64_t[::1] hashed, Bytes keys, Places key_starts, Places key_stops,
          Places which, Places order, unsigned char[::1] out):
    r"""The rows `order` of them, a line each: key TAB hash TAB base64 of the row \n; returns the bytes that are written to `out`.

    The key of row i is the field which[i] of `keys`; its hash is written in 16 hexadecimal digits."""
    cdef Py_ssize_t i, k, m, n = _count(data, starts, stops), count = _count(keys, key_starts, key_stops), size = 0
    cdef Text base = _base(data)
    cdef Text key_base = _base(keys)
    cdef unsigned char* p
    cdef Base64 put_base64 = base64_here()
    cdef bint fit = True
    need(hashed.shape[0] == which.shape[0] == n, "lines: each row has a hash and a key")
    with nogil:
        for m in range(order.shape[0]):
            i = order[m]
            fit &= 0 <= i < n and 0 <= which[i] < count
            if not fit:
                break
            size += key_stops[which[i]] - key_starts[which[i]] + 16 + 3 + (stops[i] - starts[i] + 2) // 3 * 4
    need(fit, "lines: there is no such row or key")
    need(size <= out.shape[0], "lines: out is too small")
    if size == 0:
        return 0
    p = &out[0]
    with nogil:
        for m in range(order.shape[0]):
            i = order[m]
            k = which[i]
            memcpy(p, key_base + key_starts[k], key_stops[k] - key_starts[k])
            p += key_stops[k] - key_starts[k]
            p[0] = b"\t"
            p = put_hex(hashed[i], p + 1)
            p[0] = b"\t"
            p = put_base64(base + starts[i], stops[i] - starts[i], p + 1)
            p[0] = b"\n"
            p += 1
    return size


def store(const double[:, :] x, real[:, :] out, unsigned char[::1] whole, unsigned char[::1] finite,
          unsigned char[::1] fits):
    """out[n, d] = x in its type, + 0.0; of each row whether all of out are whole numbers of 0..255, all of x are finite, all of
    out are."""
    cdef Py_ssize_t n = x.shape[0], width = x.shape[1]
    need(out.shape[0] == n and out.shape[1] == width and whole.shape[0] == finite.shape[0] == fits.shape[0] == n,
         "store: x[n, d], out[n, d] and the flags of n rows do not fit")
    need(n == 0 or out.strides[1] == sizeof(real), "store: each row of out must lie in one piece")
    if width == 0:
        whole[:], finite[:], fits[:] = 1, 1, 1
    elif n:
        with nogil:
            store_rows(&x[0, 0], x.strides[0] // 8, x.strides[1] // 8, n, width, &out[0, 0], out.strides[0] // <Py_ssize_t> sizeof(real),
                       &whole[0], &finite[0], &fits[0])


def decode(Bytes data, Places starts, Places stops, unsigned char[::1] out, int64_t[::1] ends):
    """Fields of base64, with padding: their bytes one after another in `out`, and where each ends.

    ValueError where one is not base64; `out` must have room for 3 bytes for each 4 characters."""
    cdef Py_ssize_t i, n = _count(data, starts, stops), size = 0
    cdef Text base = _base(data)
    cdef unsigned char* begin
    cdef unsigned char* p
    cdef bint fit = True
    need(ends.shape[0] == n, "decode: ends must have a place for each field")
    with nogil:
        for i in range(n):
            fit &= (stops[i] - starts[i]) % 4 == 0
            size += (stops[i] - starts[i]) // 4 * 3
    need(fit and size <= out.shape[0], "decode: a field is not of four characters each, or out is too small")
    if n == 0:
        return
    begin = p = &out[0] if size else NOTHING
    with nogil:
        for i in range(n):
            p = put_bytes(base + starts[i], stops[i] - starts[i], p)
            if p == NULL:
                break
            ends[i] = p - begin
    need(p != NULL, "decode: characters that are not base64")


def cut(Bytes data, Places starts, Places stops, unsigned char[:, ::1] out):
    """out[n, size] = the first `size` bytes of each field."""
    cdef Py_ssize_t i, n = _count(data, starts, stops), size = out.shape[1]
    cdef Text base = _base(data)
    cdef bint fit = out.shape[0] == n
    with nogil:
        for i in range(n):
            fit &= size <= stops[i] - starts[i]
    need(fit, "cut: out[n, size] does not fit the fields")
    if size:
        with nogil:
            for i in range(n):
                memcpy(&out[i, 0], base + starts[i], size)
