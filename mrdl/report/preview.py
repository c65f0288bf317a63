"""What a table's columns hold and what is made of them, for people: in lines as wide as their terminal, or as facts."""
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os.path import commonprefix
from shlex import quote
from typing import Any

import numpy as np

from mrdl.data.tables.inference import Inferred, Warned
from mrdl.data.tables.kinds import Boolean, Categorical, Date, Kind, Label
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.table import NAMED
from mrdl.printing import clean, fitted, wide, wrapped

NUMBERS = ("least", "25 %", "median", "75 %", "largest", "mean", "deviation")
FEWER = (NUMBERS, ("least", "median", "largest", "mean", "deviation"),
         ("least", "median", "largest", "mean"), ("least", "largest", "mean"), ("least", "largest"))
QUARTERS = 0.25, 0.5, 0.75
GAP = "  "
NAME, VALUE = 28, 20            # columns of a terminal for names and for values, at most
TOLD = 36                       # and for what is made of a column, at least; else it has a line of its own
MANY = 40                       # columns, above which alike ones share a line
ALIKE = 4                       # so many of them
LONG = 1e9                      # numbers below it are written without an exponent
TOP = 5                         # values that --json gives
DAY = 86400                     # seconds
FEW = 20                        # values of a label, up to which they are classes
VARYING = re.compile(r"'[^']*'|(?<![A-Za-z])[-+]?\d[\d.,e+-]*")


@dataclass
class Line:
    """What is shown of a column, or of several alike ones."""
    name: str
    missing: str
    distinct: str
    numbers: dict[str, str]     # by NUMBERS; empty: its values are words
    values: list[str]
    told: str


def lines(found: Inferred, width: int) -> list[str]:
    """The preview: of each column what it holds, and what is made of it; and what the user should know."""
    notes = [line for note in found.notes for line in wrapped(clean(note), width, GAP)]
    return [*_table(_rows(found), width), *[""][:len(notes)], *notes, *warnings(found.warnings, width)]


def brief(found: Inferred) -> list[str]:
    """What is made of each column; of many columns alike ones share a line."""
    return [f"{row.name}: {row.told}" for row in _rows(found)]


def _rows(found: Inferred) -> list[Line]:
    rows = [_line(name, found.statistics[name], kind) for name, kind in found.columns.items()]
    return _grouped(found, rows) if len(rows) > MANY else rows


def grouped(found: Iterable[Warned]) -> list[tuple[list[str], str]]:
    """Columns and what they are warned of; where several are warned of the same, the text of the first. Of many it may differ in its
    numbers and words."""
    groups: dict[str, list[Warned]] = {}
    for warned in found:
        groups.setdefault(VARYING.sub("#", _unnamed(warned)), []).append(warned)
    parts = [part for same in groups.values() for part in ([same] if len(same) >= ALIKE else
                                                           [[one for one in same if _unnamed(one) == text] for text in dict.fromkeys(map(_unnamed, same))])]
    return [([warned.column for warned in part], part[0].text) for part in parts]


def _unnamed(warned: Warned) -> str:
    """What a column is warned of, without its name in the options that are proposed."""
    said, option, more = warned.text.partition("--")
    return said + option + more.replace(quote(warned.column), "").replace(warned.column, "")


def warnings(found: Iterable[Warned], width: int) -> list[str]:
    """Of warnings a line each, or several."""
    said = []
    for columns, text in grouped(found):
        names = first = _name(columns[0])
        if len(columns) > 1:
            names = (f"{', '.join(map(_name, columns[:-1]))} and {_name(columns[-1])}" if len(columns) < ALIKE else
                     f"{first}, {_name(columns[1])} and {len(columns) - 2:,} more, such as {first}")
        said.append(f"{names}: {clean(text)}")
    return ["", "look at:", *(line for text in said for line in wrapped(GAP + text, width, "      "))] if said else []


def _line(name: str, found: Statistics, kind: Kind) -> Line:
    order = kind.order if isinstance(kind, Date) else ""
    values = numbers_of(found, kind)
    days = order and all(value % DAY == 0 for what, value in values.items() if what in ("least", "largest"))
    numbers = {what: _number(value) if not order else f"{_number(value / DAY)} d" if what == "deviation" else
               _date(value, days) for what, value in values.items()}
    items = found.values.items()[:VALUE]
    words = [fitted(clean(value), VALUE).rstrip() for value, _ in items]
    if items and items[0][1] > 1:
        words = [f"{word} ({count:,})" for word, (_, count) in zip(words, items)]
    return Line(_name(name), share(found.gone, found.rows), _distinct(found), numbers, words, told(kind, found))


def numbers_of(found: Statistics, kind: Kind) -> dict[str, float]:
    """NUMBERS of a column that is mostly numbers, or dates, in seconds; nothing of one that is names."""
    order = kind.order if isinstance(kind, Date) else ""
    numbers = found.dates[order].numbers if order else found.numbers
    named = isinstance(kind, Label) and (kind.classes or found.values.exact and found.values.distinct <= FEW)
    if isinstance(kind, (Boolean, Categorical)) or named or not numbers.count or 2 * numbers.count < found.present:
        return {}
    values = [numbers.least, *found.quantiles(QUARTERS, order), numbers.largest, numbers.mean, numbers.deviation]
    return dict(zip(NUMBERS, values, strict=True))


def told(kind: Kind, found: Statistics) -> str:
    """What mrdl makes of the column; it begins with the kind. Of missing values only where there are some."""
    said = clean(kind.told())
    said = said if found.gone else said.partition(", missing ->")[0]
    return f"{kind.kind}, {said}" if isinstance(kind, Categorical) else said


def _distinct(found: Statistics) -> str:
    return "~" * (not found.values.exact) + f"{min(found.values.distinct, found.present):,}"


def _name(column: str) -> str:
    return clean(column) or "''"


def share(part: int, whole: int) -> str:
    if part in (0, whole):
        return f"{100 * (part > 0)} %" if part else "0"
    percent = 100 * part / whole
    return "<0.1 %" if percent < 0.1 else ">99.9 %" if percent > 99.9 else f"{percent:.1f} %"


def _number(value: float) -> str:
    if abs(value) < LONG and (value == int(value) or abs(value) >= 1e4):
        return f"{value:.0f}"
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:.4g}")


def _date(seconds: float, days: bool = True) -> str:
    """A date, with the time of day where it is no matter of days."""
    return str(np.datetime64(int(seconds // 60), "m").astype("M8[D]" if days else "M8[m]")).replace("T", " ")


def _table(rows: list[Line], width: int) -> list[str]:
    """Rows under their headings; where there is no room for it, what is made of a column has a line of its own."""
    name = min(NAME, max(wide(row.name) for row in rows), max(12, 3 * width // 10))
    name = max(name, len("column"))
    missing, distinct = (max(len(head), *(len(getattr(row, head)) for row in rows)) for head in ("missing", "distinct"))
    left = width - name - missing - distinct - 2 * len(GAP)
    sizes = {what: max(wide(what), *(wide(row.numbers.get(what, "")) for row in rows)) for what in NUMBERS}
    for shown in FEWER:
        area = sum(sizes[what] + len(GAP) for what in shown)
        if area <= left:
            break
    beside = shown == NUMBERS and left - area >= len(GAP) + TOLD
    if not any(row.numbers for row in rows):
        shown, area, beside = (), min(left, 60), left - 60 >= len(GAP) + TOLD
    words = max(area if beside else left, 0)

    def cells(first: str, second: str, third: str, others: list[str], values: str) -> str:
        text = GAP.join([fitted(first, name), fitted(second, missing, True), fitted(third, distinct, True)])
        if not others:
            return text + GAP + values
        return text + "".join(GAP + fitted(other, sizes[what], True) for what, other in zip(shown, others))

    head = cells("column", "missing", "distinct", list(shown), "values")
    out = [(fitted(head, width - left + area) + GAP + "what mrdl makes of it" if beside else head).rstrip()]
    for row in rows:
        numbers = [row.numbers.get(what, "") for what in shown] if row.numbers else []
        line = cells(row.name, row.missing, row.distinct, numbers, _few(row.values, words - len(GAP)))
        if beside:
            start = width - left + area + len(GAP)
            first, *more = wrapped(row.told, width - start)
            out += [fitted(line, start) + first, *(" " * start + text for text in more)]
        else:
            out += [line.rstrip(), *wrapped("    " + row.told, width, "      ")]
    return out


def _few(values: list[str], width: int) -> str:
    """As many of them as there is room for."""
    text = ""
    for i, value in enumerate(values):
        more = text + ", " * bool(i) + value
        if wide(more) > width - 4 * (i < len(values) - 1):
            return text + ", .." * bool(text) if text else fitted(value, width).rstrip()
        text = more
    return text


def _grouped(found: Inferred, rows: list[Line]) -> list[Line]:
    """Columns that are alike as one line, in the place of the first of them."""
    groups: dict[Any, list[int]] = {}
    for i, (row, kind) in enumerate(zip(rows, found.columns.values())):
        alone = kind.kind in ("label", "weight", "id")
        alike = VARYING.sub("#", row.told), bool(row.numbers), row.missing != "0"
        groups.setdefault(i if alone else alike, []).append(i)
    out = {}
    for some in groups.values():
        together = len(some) >= ALIKE
        out |= {some[0]: _together(found, rows, some)} if together else {i: rows[i] for i in some}
    return [out[i] for i in sorted(out)]


def _together(found: Inferred, rows: list[Line], some: list[int]) -> Line:
    names, alike = list(found.columns), [rows[i] for i in some]
    statistics = [found.statistics[names[i]] for i in some]
    first, last = alike[0].name, alike[-1].name
    same = commonprefix([first, last]).rstrip("0123456789")     # sensor_000 .. 199
    count = f" ({len(some):,})"
    half = (NAME - 4 - len(count)) // 2
    last = fitted(last[len(same):], half).rstrip()
    name = f"{fitted(first, NAME - 4 - wide(last) - len(count)).rstrip()} .. {last}{count}"
    missing = max(statistics, key=lambda one: one.gone)
    distinct = [one.values.distinct for one in statistics]
    numbers = [numbers_of(found.statistics[names[i]], found.columns[names[i]]) for i in some]
    ends = {}
    if alike[0].numbers:
        write = _date if isinstance(found.columns[names[some[0]]], Date) else _number
        ends = {"least": write(min(one["least"] for one in numbers)),
                "largest": write(max(one["largest"] for one in numbers))}
    said = alike[0].told if len({row.told for row in alike}) == 1 else VARYING.sub("..", alike[0].told)
    return Line(name, "<= " * (missing.gone > 0) + share(missing.gone, missing.rows),
                f"{min(distinct):,}" + f"..{max(distinct):,}" * (min(distinct) < max(distinct)), ends, [], said)


def facts(found: Inferred) -> Iterator[Mapping[str, Any]]:
    """Of each column what --json says."""
    for name, kind in found.columns.items():
        own = found.statistics[name]
        numbers = zip(("least", "q25", "median", "q75", "largest", "mean", "deviation"), numbers_of(own, kind).values())
        yield {"name": name, "kind": kind.kind, "schema": kind.config(), "told": kind.told(),
               "features": kind.features(name) if kind.width <= NAMED else [], "missing": own.gone, "distinct": own.values.distinct,
               "error": own.values.error, **dict(numbers), "top": own.values.items()[:TOP], "longest": own.longest,
               "warnings": [warned.text for warned in found.warnings if warned.column == name]}
