"""Plain Python twin of kernels/jsonl.pyx, with the same names and arguments, on Python's json.

Strings and numbers of a line are written over it, one after the other, with a quote or a blank before each."""
import json
import re

from mrdl.kernels import jsonl


class _Pairs(list):
    """An object as it stands: keys may come twice."""


class _Literal(str):
    """A number, true or false."""


def split(buffer, keys, kstarts, kstops, parents, ends, columns, slots, seen, starts, stops, codes, faults, others):
    children = {(int(parents[i]), bytes(keys[kstarts[i]:kstops[i]]).decode()): i for i in range(1, len(parents))}
    rows, offset = 0, 0
    for line in bytes(buffer).removesuffix(b"\n").split(b"\n") if buffer else []:
        if rows == len(codes):
            raise ValueError("more lines than rows")
        starts[rows], stops[rows], others[rows], faults[rows] = 0, 0, 0, 0
        value, codes[rows] = _object(line)
        fields, place = {}, offset
        if codes[rows] == jsonl.GOOD:
            others[rows] = _walk(value, 0, columns, ends, children, fields)
        for column, field in fields.items():
            text = (b" " if isinstance(field, _Literal) else b'"') + field.encode()
            buffer[place:place + len(text)] = text
            place += len(text)
            starts[rows, column], stops[rows, column] = place - len(text) + 1, place
        offset += len(line) + 1
        assert place < offset
        rows += 1
    return rows


def _object(line):
    """The object in a line, and the line's code."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return None, jsonl.UTF8
    text = text.strip(" \t\r")
    if not text:
        return None, jsonl.EMPTY
    if text[0] != "{":
        return None, jsonl.OBJECT
    try:
        value = json.loads(text, object_pairs_hook=_Pairs, parse_int=_Literal, parse_float=_Literal, parse_constant=_Literal)
    except ValueError:
        return None, jsonl.SYNTAX
    return value, jsonl.DEEP if _depth(value) > jsonl.DEPTH else jsonl.GOOD


def _depth(value):
    inner = [v for _, v in value] if isinstance(value, _Pairs) else value
    return 1 + max(map(_depth, inner), default=0) if isinstance(inner, list) else 0


def _walk(value, node, columns, ends, children, fields):
    """Fills in {column: text} of what is at a node and below; whether there is something of no column."""
    if node >= 0 and columns[node] == jsonl.LEFT_OUT:
        node = jsonl.LEFT_OUT
    if isinstance(value, list):
        other = False
        for key, inner in value if isinstance(value, _Pairs) else enumerate(value):
            child = node if node < 0 else children.get((node, re.sub("[\ud800-\udfff]", "\ufffd", str(key))), jsonl.NONE)
            if child >= 0:
                for i in range(child, ends[child]):
                    fields.pop(int(columns[i]), None)
            other |= _walk(inner, child, columns, ends, children, fields)
        return other
    if value is None or node == jsonl.LEFT_OUT:
        return False
    column = int(columns[node]) if node >= 0 else node
    if column < 0:
        return True
    fields[column] = (_Literal(str(value).lower()) if isinstance(value, bool) else value if isinstance(value, _Literal) else
                      re.sub("[\ud800-\udfff]", "\ufffd", value).strip(" \t"))
    return False
