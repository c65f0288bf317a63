"""Values that the kind of their column cannot take, counted by column: the same counts, however rows are split."""
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from mrdl.printing import counted

KEPT = 20                       # values of a column and reason, and columns and reasons, that are kept: the first ones by name
LONG = 40                       # characters of a value that are shown
COLUMNS, SHOWN = 5, 3           # columns that are told of, and values of each
NUMBER = re.compile(r"[-+]?\d*[.,]\d+")      # of the other decimal mark, where it was not read
WORDS = ("not a number", "not a date", "neither true nor false")       # reasons of words that may mean that a value is missing

#: of "column 'age', not a number" how many rows there are, and how many have each value
Misread = dict[str, tuple[int, dict[str, int]]]


def of_value(column: str, reason: str, value: bytes) -> Misread:
    """One row with a wrong value."""
    text = shortened(value)
    return {f"column {column!r}, {reason}": (1, {text: 1} if text else {})}


def shortened(value: bytes) -> str:
    """A value as it is shown."""
    text = value.decode("utf-8", "replace")
    return text if len(text) <= LONG else text[:LONG] + ".."


def misread(parts: Iterable[Misread]) -> Misread:
    """All of them together."""
    rows: Counter = Counter()
    values: dict[str, Counter] = {}
    for part in parts:
        for where, (count, own) in part.items():
            rows[where] += count
            values.setdefault(where, Counter()).update(own)
    return {where: (rows[where], _first(values[where])) for where in _first(rows)}


def _first(counts: Mapping[str, int]) -> dict[str, int]:
    """Those that come first by name; nothing that was left out before can be among them."""
    return dict(sorted(counts.items())[:KEPT])


def _ranked(found: Misread) -> Iterator[tuple[str, int, list[tuple[str, int]]]]:
    """COLUMNS with their rows and SHOWN of their values, the most frequent ones first."""
    for where, (rows, values) in sorted(found.items(), key=lambda item: (-item[1][0], item[0]))[:COLUMNS]:
        yield where, rows, sorted(values.items(), key=lambda item: (-item[1], item[0]))[:SHOWN]


def told(found: Misread) -> list[str]:
    """For the user: "column 'age', not a number: 'old' (1 row)"."""
    lines = []
    for where, rows, often in _ranked(found):
        others = rows - sum(count for _, count in often)
        each = [f"{value!r} ({counted(count, 'row')})" for value, count in often]
        each += [f"others ({counted(others, 'row')})" if each else counted(others, "row")] if others else []
        lines.append(f"{where}: {', '.join(each)}")
    return lines


def advice(found: Misread) -> str:
    """The option that takes these words for missing values, where they may be that; or ""."""
    words = {value: None for where, _, often in _ranked(found) if where.endswith(WORDS)
             for value, _ in often if len(value) <= LONG and value[0] != "-"}
    if words and all(map(NUMBER.fullmatch, words)):
        mark = "," if any("," in word for word in words) else "."
        return f"these numbers have another decimal mark than the schema says; if all of the file have it: --decimal {mark}"
    return f"if that means that the value is missing: --missing {shlex.join(list(words)[:SHOWN])}" if words else ""
