"""Plain Python twins of kernels/short.pyx, with the same names and arguments."""
from mrdl.kernels.short import SHORT


def _short(row):
    words = [row[i:i + 4] for i in range(1, len(row) - 3, 4)]
    marks = sum(1 << i for i, word in enumerate(words) if any(word)).to_bytes((len(words) + 7) // 8, "little")
    rest = row[1 + 4 * len(words):]
    short = SHORT + row[:1] + len(words).to_bytes(4, "little") + marks + b"".join(filter(any, words)) + rest
    return short if len(row) >= 24 and 4 * len(short) <= 3 * len(row) else row


def _long(row):
    if row[:1] != SHORT:
        return row
    count = int.from_bytes(row[2:6], "little")
    marks, at, found = int.from_bytes(row[6:6 + (count + 7) // 8], "little"), 6 + (count + 7) // 8, row[1:2]
    for i in range(count):
        found += row[at:at + 4] if marks >> i & 1 else bytes(4)
        at += 4 * (marks >> i & 1)
    if marks >> count or not 0 <= len(row) - at < 4:
        raise ValueError("a row without its zeros is damaged")
    return found + row[at:]


def _rows(data, starts, stops):
    return [bytes(memoryview(data)[start:stop]) for start, stop in zip(starts, stops)]


def _ended(rows, ends):
    size = 0
    for i, row in enumerate(rows):
        size += len(row)
        ends[i] = size


def shorten(data, starts, stops, out, ends):
    rows = _rows(data, starts, stops)
    made = [*map(_short, rows)]
    _ended(made, ends)
    if made != rows:
        out[:sum(map(len, made))] = list(b"".join(made))
    return made != rows


def lengthened(data, starts, stops, ends):
    rows = _rows(data, starts, stops)
    _ended(map(_long, rows), ends)
    return any(row[:1] == SHORT for row in rows)


def lengthen(data, starts, stops, ends, out):
    out[:] = list(b"".join(map(_long, _rows(data, starts, stops))))
