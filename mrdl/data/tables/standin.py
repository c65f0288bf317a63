"""Plain Python in place of mrdl.kernels.words and mrdl.kernels.exact until they are there."""
import datetime
import math
import re
from hashlib import blake2b

import numpy as np

GOOD, EMPTY, FIELDS, NUMBER, FINITE, QUOTE = range(6)
YMD, DMY, MDY = range(3)
SUMS, SQUARES = 70, 140
NUMBER_FORM = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
WORDS = re.compile(rb"[+-]?(inf|infinity|nan)", re.IGNORECASE)


def _fields(data, starts, stops):
    data = bytes(data)
    return [data[a:b] for a, b in zip(starts.tolist(), stops.tolist())]


def numbers(data, starts, stops, decimal, thousands, out, codes):
    for i, word in enumerate(_fields(data, starts, stops)):
        if not word:
            codes[i], out[i] = EMPTY, np.nan
            continue
        if thousands:
            mark = re.escape(bytes([thousands]))
            if re.match(rb"[+-]?\d{1,3}(" + mark + rb"\d{3})+(?!\d|" + mark + rb")", word):
                word = word.replace(bytes([thousands]), b"")
        if decimal != 46:
            word = word.replace(b".", b"?").replace(bytes([decimal]), b".")
        if WORDS.fullmatch(word):
            codes[i] = FINITE
        elif NUMBER_FORM.fullmatch(word):
            out[i] = float(word)
            codes[i] = GOOD if math.isfinite(out[i]) else FINITE
        else:
            codes[i] = NUMBER
        if codes[i] != GOOD:
            out[i] = np.nan


def hashes(data, starts, stops, out):
    for i, word in enumerate(_fields(data, starts, stops)):
        out[i] = int.from_bytes(blake2b(word, digest_size=8).digest(), "little")


def equal(data, starts, stops, other, ostarts, ostops, indices, out):
    mine, its = _fields(data, starts, stops), _fields(other, ostarts, ostops)
    for i, index in enumerate(indices.tolist()):
        out[i] = index >= 0 and mine[i] == its[index]


def dates(data, starts, stops, order, out, codes):
    for i, word in enumerate(_fields(data, starts, stops)):
        codes[i] = NUMBER if word else EMPTY
        out[i] = np.nan
        m = re.fullmatch(rb"(\d{4})(\d\d)(\d\d)" if order == YMD and word[:8].isdigit() and len(word) == 8 else
                         (rb"(\d{4})([-/.])(\d\d?)\2(\d\d?)" if order == YMD else rb"(\d\d?)([-/.])(\d\d?)\2(\d{4})")
                         + rb"(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?)?(Z|[+-]\d\d(?::?\d\d)?)?", word)
        if not m:
            continue
        g = [x for x in m.groups() if x not in (b"-", b"/", b".")]
        a, b, c = map(int, g[:3])
        y, mo, d = {YMD: (a, b, c), DMY: (c, b, a), MDY: (c, a, b)}[order]
        h, mi, s = (int(x or 0) for x in (g[3:6] + [0, 0, 0])[:3])
        try:
            when = datetime.datetime(y, mo, d, h, mi, s)
        except ValueError:
            continue
        out[i] = (when - datetime.datetime(1970, 1, 1)).total_seconds()
        if len(g) > 6 and g[6]:
            out[i] += float(g[6])
        codes[i] = GOOD


def add(values, sums, squares):
    for v in values.tolist():
        m, e = math.frexp(v)
        m, e = int(m * 2 ** 53), e - 53
        _limbs(m << e + 1074 if e >= -1074 else m >> -1074 - e, sums)
        _limbs((m * m) << 2 * e + 2148 if e >= -1074 else (m >> -1074 - e) ** 2, squares)


def _limbs(n, out):
    sign, n, k = (-1 if n < 0 else 1), abs(n), 0
    while n:
        out[k] += sign * (n & 0xffffffff)
        n >>= 32
        k += 1


def total(sums):
    return sum(int(v) << 32 * k for k, v in enumerate(sums)), -1074 if len(sums) == SUMS else -2148
