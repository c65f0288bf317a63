"""Plain Python twins of kernels/entries.pyx, with the same names and arguments."""
import math
import re

from mrdl.kernels import entries as kernel

_ENTRY = re.compile(rb"([0-9]{1,12}):([^ \t\r]*)")
_NUMBER = re.compile(rb"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?(inf|infinity|nan)", re.IGNORECASE)
_GAP = b" \t\r"


def lines(data, starts, stops, codes):
    offset = rows = 0
    for line in bytes(data).removesuffix(b"\n").split(b"\n") if len(data) else []:
        starts[rows], stops[rows], end = 0, 0, len(line)
        words, _, note = line.partition(b"#")
        if b"#" in line:
            first = len(words) + 1 + len(note) - len(note.lstrip(_GAP))
            starts[rows, 3], stops[rows, 3] = offset + first, offset + max(first, len(words) + 1 + len(note.rstrip(_GAP)))
            if not note.strip(_GAP):
                starts[rows, 3] = stops[rows, 3] = offset + len(words) + 1
        found = [(m.start(), m.end()) for m in re.finditer(rb"[^ \t\r]+", words)]
        codes[rows] = kernel.GOOD if found else kernel.FIELDS if b"#" in line else kernel.EMPTY
        parts = {0: found.pop(0)} if found else {}
        if found and line[found[0][0]:].startswith(b"qid:") and found[-1][1] - found[0][0] > 4:
            at, end = found.pop(0)
            parts[1] = at + 4, end
        if found:
            (first, _first_end), (_last, last_end) = found[0], found[-1]
            parts[2] = first, last_end
            parts[4] = first, first + len(line[first:last_end].partition(b":")[0])
            before, colon, _ = line[first:last_end].rpartition(b":")
            stop = first + len(before) if colon else first
            word = line[first:stop + 1 if colon else first]
            begin = first + max(word.rfind(bytes([gap])) for gap in _GAP) + 1
            parts[5] = begin, max(begin, stop)
        for part, (start, stop) in parts.items():
            starts[rows, part], stops[rows, part] = offset + start, offset + stop
        offset += len(line) + 1
        rows += 1
    return rows


def entries(data, starts, stops, first, width, ends, ids, values, codes):
    at = ends[0] = 0
    for i, (start, stop) in enumerate(zip(starts, stops)):
        found, codes[i] = _found(bytes(data[start:stop]), first, width)
        for own, value in found:
            ids[at], values[at] = own, value
            at += 1
        ends[i + 1] = at
    return at


def _found(text, first, width):
    found, last = [], -1
    for word in re.split(rb"[ \t\r]+", text.strip(_GAP)) if text.strip(_GAP) else []:
        match = _ENTRY.fullmatch(word)
        if not match:
            return [], kernel.ENTRY
        own = int(match[1]) - first
        if own <= last or own >= width:
            return [], kernel.ORDER if own <= last else kernel.BEYOND
        if not _NUMBER.fullmatch(match[2]):
            return [], kernel.NUMBER
        if not math.isfinite(float(match[2])):
            return [], kernel.FINITE
        last = own
        if float(match[2]):
            found.append((own, float(match[2])))
    return found, kernel.GOOD
