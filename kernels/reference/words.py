"""Plain Python twins of kernels/words.pyx, with the same names and arguments."""
import math
import re
from datetime import datetime, timedelta, timezone

from mrdl.kernels import words

_ORDERS = {words.YMD: "Ymd", words.DMY: "dmY", words.MDY: "mdY"}
_PARTS = {"Y": r"(?P<Y>[0-9]{4})", "m": r"(?P<m>[0-9]{1,2})", "d": r"(?P<d>[0-9]{1,2})"}
MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"]
NAME = f"({'|'.join([*MONTHS, 'sept', *(name[:3] for name in MONTHS)])})(?![a-z])"
_TIME = re.compile(r"[T ](\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d+))?)?"
                   r"(?:Z|([+-])(\d\d)(?::?(\d\d))?)?", re.ASCII)


def split(buffer, delimiter, starts, stops, codes, fields, ends=None):
    rows, offset = 0, 0
    lines = bytes(buffer).removesuffix(b"\n").split(b"\n") if buffer else []
    if ends is not None:
        lines = [bytes(buffer)[start:stop] for start, stop in zip([0, *(end + 1 for end in ends)], ends)]
    for line in lines:
        if rows == len(codes):
            raise ValueError("more lines than rows")
        found, code = _fields(line.rstrip(b"\r"), delimiter)
        fields[rows] = len(found)
        codes[rows] = code or (words.GOOD if len(found) == starts.shape[1] else words.FIELDS)
        starts[rows], stops[rows] = 0, 0
        for f, (at, field) in enumerate(found[:starts.shape[1]]):
            starts[rows, f], stops[rows, f] = offset + at, offset + at + len(field)
            buffer[offset + at:offset + at + len(field)] = field
        offset += len(line) + 1
        rows += 1
    return rows


def _fields(line, delimiter):
    """[(where it begins, its bytes)] of each field, and EMPTY or QUOTE where that is so."""
    blanks = b" " if delimiter == 9 else b" \t"
    cuts = b" \t" if delimiter == 32 else bytes([delimiter])
    if not line.strip(blanks):
        return [], words.EMPTY
    found, p = [], 0
    while True:
        while p < len(line) and line[p] in blanks:
            p += 1
        if delimiter == 32 and p == len(line):
            return found, None
        start, inside = p, b""
        if line[p:p + 1] == b'"':
            start = p = p + 1
            while True:
                if p == len(line):
                    return found, words.QUOTE
                if line[p:p + 2] == b'""':
                    inside, p = inside + b'"', p + 2
                elif line[p:p + 1] == b'"':
                    break
                else:
                    inside, p = inside + line[p:p + 1], p + 1
            p += 1
        after = p
        while p < len(line) and line[p] not in cuts:
            p += 1
        field = inside + line[after:p].rstrip(blanks)
        if after != start:
            start += len(field) - len(field.lstrip(b" \t"))
            field = field.strip(b" \t")
        found.append((start, field))
        if p == len(line):
            return found, None
        p += 1


def _words(data, starts, stops):
    for start, stop in zip(starts, stops, strict=True):
        if not 0 <= start <= stop <= len(data):
            raise ValueError("a field is not within its data")
        yield bytes(data[start:stop])


def _read(data, starts, stops, out, codes, number):
    """number(text) for each, or None where it is none."""
    for i, word in enumerate(_words(data, starts, stops)):
        value = number(word.decode("latin-1")) if word else None
        codes[i] = (words.EMPTY if not word else words.NUMBER if value is None else
                    words.GOOD if math.isfinite(value) else words.FINITE)
        out[i] = math.nan if codes[i] else value


def numbers(data, starts, stops, decimal, thousands, out, codes):
    point, digits = re.escape(chr(decimal)), "[0-9]+"
    if thousands:
        digits = f"(?:[0-9]+|[1-9][0-9]{{0,2}}(?:{re.escape(chr(thousands))}[0-9]{{3}})+)"
    pattern = re.compile(f"[-+]?(?:{digits}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][-+]?[0-9]+)?"
                         "|[-+]?(?i:inf|infinity|nan)")

    def number(text):
        if pattern.fullmatch(text):
            return float(text.replace(chr(thousands), "").replace(chr(decimal), "."))
    _read(data, starts, stops, out, codes, number)


def hashes(data, starts, stops, out):
    for i, word in enumerate(_words(data, starts, stops)):
        out[i] = _hash(word)


def _mix(x):
    for shift, factor in ((30, 0xbf58476d1ce4e5b9), (27, 0x94d049bb133111eb), (31, 1)):
        x = (x ^ x >> shift) * factor & 0xffffffffffffffff
    return x


def _hash(word):
    value, last, size = (len(word) + 1) * 0x9e3779b97f4a7c15 & 0xffffffffffffffff, word, len(word)
    while len(last) > 8:
        value, last = _mix(value ^ int.from_bytes(last[:8], "little")), last[8:]
    if size >= 8:
        last = word[-8:]
    elif size >= 4:
        last = word[:4] + word[-4:]
    elif size:
        last = bytes([word[0], word[size // 2], word[-1]])
    return _mix(value ^ int.from_bytes(last, "little"))


def pack(data, starts, stops, out):
    found = b"".join(_words(data, starts, stops))
    if len(found) != len(out):
        raise ValueError("out has not the size of all fields")
    out[:] = list(found)


def equal(data, starts, stops, other, ostarts, ostops, indices, out):
    known = list(_words(other, ostarts, ostops))
    for i, (word, at) in enumerate(zip(_words(data, starts, stops), indices, strict=True)):
        if not -1 <= at < len(known):
            raise ValueError("an index is not of a field")
        out[i] = at >= 0 and word == known[at]


def tokens(data, starts, stops, chars, most, out, first, last, edges):
    token = re.compile(rb"(?s).[\x80-\xbf]*" if chars else rb"[0-9a-z\x80-\xff]+")
    at = count = edges[0] = 0
    for i, word in enumerate(_words(data, starts, stops), 1):
        word, end = word.lower(), 0             # of bytes: ASCII's letters
        for found in list(token.finditer(word))[:most]:
            first[count], last[count], end = at + found.start(), at + found.end(), found.end()
            count += 1
        out[at:at + end] = list(word[:end])
        at, edges[i] = at + end, count
    return count


def _named(order):
    """A pattern of dates whose month is a name."""
    found = ""
    for i, part in enumerate(order):
        if i:
            found += r"(\.(?= ))?" * (order[i - 1] == "m") + "(,(?= ))?" * (i == 2 and order != "Ymd") + (r"(?P<mark>[-/. ])" if i == 1 else "(?P=mark)")
        found += {"m": f"(?P<m>{NAME})", "d": "(?P<d>[0-9]{1,2})", "Y": "(?P<Y>[0-9]{4}" + "|[0-9]{2}(?![0-9])" * (order == "dmY") + ")"}[part]
    return found


def _numbers(found):
    """Year, month and day."""
    year, month, day = found["Y"], found["m"].lower(), found["d"]
    return (int(year) + (len(year) == 2) * (1900 if int(year) >= 69 else 2000),
            int(month) if month.isdigit() else [name[:3] for name in MONTHS].index(month[:3]) + 1, int(day))


def dates(data, starts, stops, order, out, codes):
    parts = [_PARTS[part] for part in _ORDERS[order]]
    apart = re.compile(f"{parts[0]}([-/.]){parts[1]}\\2{parts[2]}")
    joined = re.compile("".join(parts).replace("1,2", "2"))
    named = re.compile(_named(_ORDERS[order]), re.IGNORECASE | re.ASCII)

    def seconds(text):
        found = joined.match(text) if re.match(r"[0-9]{8}([^0-9]|$)", text) else apart.match(text) or named.match(text)
        if not found:
            return None
        rest, time, shift = text[found.end():], (0, 0, 0), timedelta()
        nanoseconds = 0
        if rest:
            if not (clock := _TIME.fullmatch(rest)):
                return None
            hour, minute, second, fraction, sign, hours, minutes = clock.groups()
            if int(hours or 0) > 23 or int(minutes or 0) > 59:
                return None
            time = int(hour), int(minute), int(second or 0)
            nanoseconds = int((fraction or "0")[:9].ljust(9, "0"))
            shift = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
            shift = -shift if sign == "-" else shift
        try:
            date = datetime(*_numbers(found), *time, tzinfo=timezone.utc)
        except ValueError:
            return None
        since = date - datetime(1970, 1, 1, tzinfo=timezone.utc) - shift
        return since.days * 86400 + since.seconds + nanoseconds / 1e9
    _read(data, starts, stops, out, codes, seconds)


def calendar(seconds, out):
    for i, second in enumerate(seconds.tolist()):
        time = datetime(1970, 1, 1) + timedelta(seconds=math.floor(second))
        out[:, i] = time.year, time.month - 1, time.day - 1, time.weekday(), time.hour, time.minute


def line_ends(data, out):
    places = [place for place, byte in enumerate(data) if byte == ord("\n")]
    out[:len(places)] = places[:len(out)]
    return len(places)
