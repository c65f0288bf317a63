"""Records of delimited text whose quoted fields may go on over several lines."""
import re
from functools import cache

import numpy as np

from mrdl.kernels import words
from mrdl.storage.pieces import LONGEST

CLOSING = re.compile(rb'[^"]*(?:""[^"]*)*"(?!")')


def line_ends(text: bytes) -> np.ndarray:
    """int64[n]: the places of the newlines."""
    out = np.empty(words.line_ends(text, np.empty(0, "i8")), "i8")      # which counts faster than bytes do
    words.line_ends(text, out)
    return out


@cache
def _opening(delimiters: bytes) -> re.Pattern:
    """Where a quoted field begins: at the begin of a line or behind a delimiter, and blanks."""
    return re.compile(rb'(?:\A|[\n%s])[ \t]*"' % re.escape(delimiters + b"\t" * (delimiters == b" ")))


def record_ends(text: bytes, delimiters: bytes, final: bool) -> np.ndarray:
    """The places of the newlines that end records. Where a quoted field does not end, what follows the last place is the begin of a
    record; if the text is `final`, or more than LONGEST bytes follow, each of its lines is a record instead, as it is no use to
    wait.

    delimiters: the characters of which one stands between fields."""
    newlines = line_ends(text)
    within = np.zeros(len(newlines), bool)          # a field
    at = 0
    while field := _opening(delimiters).search(text, at):
        end = CLOSING.match(text, field.end())
        first = np.searchsorted(newlines, field.end())
        if end:
            at = end.end()
            within[first:np.searchsorted(newlines, at)] = True
            continue
        ends = newlines[:first][~within[:first]]
        start = ends[-1] + 1 if len(ends) else 0
        if not final and len(text) - start <= LONGEST:
            return ends
        line = np.searchsorted(newlines, start)     # the first one of this record
        if line == len(newlines):
            break
        within[line:] = False
        at = newlines[line]
    return newlines[~within]
