"""Statistics of columns in; out comes what each is taken for, and what the user should know of it."""
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mrdl.data.sources import DataError
from mrdl.data.tables.asked import Asked
from mrdl.data.tables.kinds import (
    KINDS,
    Boolean,
    Categorical,
    Date,
    Id,
    Ignore,
    Kind,
    Label,
    Numeric,
    Weight,
)
from mrdl.data.tables.kinds.boolean import NO, YES
from mrdl.data.tables.kinds.date import best_order
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.words import USUAL, Notation, Words
from mrdl.kernels import words as kernel
from mrdl.printing import counted, few
from mrdl.storage.sealed import shown

MOSTLY = 0.9                    # share of values that decides what a column is
NEARLY = 0.99                   # share of rows with one value, above which a column is nearly constant
HALF = 0.5                      # share of numbers, below which they are names among names
FEW = 20                        # different numbers, up to which they are names too where there are words
MARKS = 3                       # different words among numbers that may all mean a missing value
SEEN = 10                       # rows below which nothing is taken for an index
NOTHING = Asked()
NAMES = 10_000                  # more are warned of
TWICE, MAYBE = 5, 1             # pairs of equal numbers that chance would give: distinct ones are, or may be, an id's
YEARS = 1000, 2200              # whole numbers that may be years
DAYS = -2208988800, 4102444800  # seconds of 1900 and 2100: eight digits between them are dates
EVIDENCE = 10                   # rows that would have another label, did the column not tell it
NOTATIONS = [Notation(*marks) for marks in (".", ".,", ",", ",.", ", ", ". ", ".'")]
IDS = re.compile(r"(unnamed: \d+)?|(.*[_ .-])?(id|uuid|guid|index|idx|key|row|row_?(names?|num|number)|nr|no|#)", re.IGNORECASE)


class Warned(NamedTuple):
    """What the user should know of a column."""
    column: str
    text: str


class Inferred(NamedTuple):
    """What a table is taken for."""
    columns: dict[str, Kind]
    warnings: list[Warned]
    statistics: dict[str, Statistics]   # as the columns' notations read them
    notes: Sequence[str] = ()           # of several columns, what is done with them


def infer(statistics: Mapping[str, Statistics], asked: Asked = NOTHING) -> Inferred:
    """The kind of each column, in the order of `statistics`; DataError has a line for each that cannot be what is asked."""
    asked.check(statistics)
    columns, warnings, read, wrong, written = {}, [], {}, [], asked.written()
    for name, found in statistics.items():
        read[name] = found = _reread(found, written.get(name), asked.decimal)
        try:
            columns[name] = _kind(name, found, asked)
        except DataError as error:
            wrong.append(f"column {name!r}: {error}")
    if wrong:
        raise DataError("\n".join(wrong))
    for name, found in read.items():
        said = [] if name in (*asked.ids, *asked.drop) else _warnings(name, found, columns[name], read.get(asked.label), asked.decimal)
        warnings += [Warned(name, text) for text in said]
    dates = [name for name, kind in columns.items() if isinstance(kind, Date) and name not in asked.kinds and not _either_way(read[name], kind)]
    return Inferred(columns, warnings, read, _dates_told(dates) if dates else ())


def _dates_told(names: Sequence[str]) -> list[str]:
    what = ("dates", "their parts become", "one") if len(names) > 1 else ("a date", "its parts become", "it")
    return [f"{what[0]}: {few(names)}; {what[1]} features; if {what[2]} is none: --kind {shlex.quote(names[0])}=categorical"]


def _kind(name: str, found: Statistics, asked: Asked) -> Kind:
    if name in asked.kinds:
        given = asked.kinds[name]
        given = {"kind": given} if isinstance(given, str) else dict(given)
        roles = {asked.weight: Weight.kind, asked.label: Label.kind}
        kind = given.pop("kind", None) or roles.get(name) or guess(name, found).kind
        if name == asked.label and kind in (Numeric.kind, Categorical.kind):
            return Label.made(found, named=kind == Categorical.kind, **Label.given(given))
        return KINDS[kind].made(found, **KINDS[kind].given(given))
    if name == asked.label:
        return Label.made(found, named=False if asked.amount and 2 * found.numbers.count > found.present else None)
    if name == asked.weight:
        return Weight.made(found)
    if name in asked.ids:
        return Id()
    if name in asked.drop or (asked.columns is not None and name not in asked.columns):
        return Ignore(reason="as you asked" if name in asked.drop else "not among the columns you asked for")
    return Id() if name == asked.group else guess(name, found)


def guess(name: str, found: Statistics) -> Kind:
    """What a column of features is taken for."""
    values, numbers, present = found.values, found.numbers, found.present
    if not present:
        return Ignore(reason="all values are missing")
    if values.exact and values.distinct == 1 and not numbers.count:
        return Categorical.made(found) if found.gone else Ignore(reason=f"always {shown(values.items()[0][0])}")
    share = (numbers.count + found.infinite) / present
    dates = found.dates[best_order(found)].numbers
    if dates.count >= MOSTLY * present and (share < 1 - MOSTLY or DAYS[0] <= dates.least <= dates.largest < DAYS[1]):
        return Date.made(found)
    if values.exact and share < 1 and all(word.lower() in NO | YES for word, _ in values.items()):
        try:
            return Boolean.made(found)
        except DataError:                       # yes alone, in two spellings
            return Categorical.made(found)
    if not (found.padded and numbers.whole == numbers.count):   # 007 is a name
        marks = _marks(found)
        if marks:
            return Numeric.made(found, missing_words=(*found.missing, *marks))
        if share >= NEARLY or share >= MOSTLY and (numbers.whole < numbers.count or _damaged(found)):
            reason = _counts_rows(name, found)
            return Ignore(reason=reason) if reason else Numeric.made(found)
    if share < 1 and present >= FEW and values.distinct >= MOSTLY * present:
        return Ignore(reason="looks like an id or a text, as nearly every value is different")
    return Categorical.made(found)


def _marks(found: Statistics) -> list[str]:
    """The few words that come again and again among many numbers, and must mean that a value is missing."""
    share = found.numbers.count / found.present
    if not (found.values.exact and HALF <= share < NEARLY and len(found.points()[0]) > FEW):
        return []
    words = _odd(found)
    often = dict(found.values.items())
    return words if len(words) <= MARKS and all(often[word] > 1 for word in words) else []


def _damaged(found: Statistics) -> bool:
    """Whether the words among many numbers come once each: as damage does, and names do not."""
    often = dict(found.values.items())
    return found.values.exact and len(found.points()[0]) > FEW and all(often[word] == 1 for word in _odd(found))


def _counts_rows(name: str, found: Statistics) -> str:
    """Why a column of numbers is no feature, but counts the rows; or ""."""
    numbers, rows = found.numbers, found.rows
    if numbers.count < rows or numbers.whole < rows or rows < SEEN or not _distinct(found):
        return ""
    if numbers.counted() and (numbers.least in (0, 1) or _named(name)):
        return "looks like an index"
    return "looks like an id" if _named(name) or _together(found) > TWICE else ""


def _named(name: str) -> bool:
    """Whether a column has the name of an id or an index."""
    return bool(IDS.fullmatch(name) or re.search("[a-z]I[dD]$", name))


def _together(found: Statistics) -> float:
    """How many pairs of rows would have one number, were they drawn by chance from the least to the largest; 0 of years."""
    numbers = found.numbers
    years = YEARS[0] <= numbers.least and numbers.largest < YEARS[1]
    return 0.0 if years else found.rows ** 2 / 2 / (numbers.largest - numbers.least + 1)


def _distinct(found: Statistics) -> bool:
    """Whether no value comes twice, as far as that is known."""
    values = found.values
    return bool((values.counts == 1).all()) and abs(values.distinct - found.present) <= 4 * values.error * found.present


def _warnings(name: str, found: Statistics, kind: Kind, label: Statistics | None, decimal: str | None) -> Iterable[str]:
    values, present, rows, quoted = found.values, found.present, found.rows, shlex.quote(name)
    leave = f"to leave it out: --drop {quoted}"
    if any("\ud800" <= c <= "\udfff" for word, _ in values.items() for c in word):
        yield "has bytes that are not UTF-8; if the text has another encoding, say so, for example: --encoding latin-1"
    best = _better(found, decimal)
    if best:
        marks = "".join(f",{key}={mark}" for key, mark in best._asdict().items() if mark != getattr(USUAL, key))
        yield f"looks like numbers{Weight(**best._asdict()).as_written()}, but was not read so: --kind {shlex.quote(f'{name}=numeric{marks}')}"
    if isinstance(kind, Ignore) or not present:
        if "looks like" in kind.told():
            yield f"{kind.told()}; to use it as a feature: --kind {quoted}={'text' if 'text' in kind.told() else 'numeric'}"
        return
    for top, count in values.items()[:1]:
        if count >= NEARLY * rows and not isinstance(kind, Weight) and (count < present or not isinstance(kind, Label)):
            share = "all rows" if count == rows else f"nearly constant: {min(100 * count / rows, 99.99):.4g} % of the rows"
            yield f"{share} have {shown(top)}" + f"; {leave}" * (not isinstance(kind, Label))
    if found.gone >= MOSTLY * rows:
        yield f"mostly missing: {100 * found.gone / rows:.4g} % of the rows; {leave}"
    if isinstance(kind, Numeric):
        words = present - found.numbers.count
        if words:
            taken = ("taken for missing ones" if kind.missing_words != found.missing else
                     "rows with them are bad records, unless --missing names them")
            yield (f"{words:,} of {present:,} values are not numbers ({few(_odd(found)[:MARKS])}): {taken}; if they are names: "
                   f"--kind {quoted}=categorical")
    if isinstance(kind, (Numeric, Categorical)) and _named(name):
        yield f"has the name of an id; if it is one: --id {quoted}"
    elif isinstance(kind, Numeric) and rows == found.numbers.whole and _together(found) > MAYBE and _distinct(found):
        yield f"every value is a different whole number: is it an id? If so: --id {quoted}"
    if isinstance(kind, Categorical):
        if present / 10 <= found.numbers.count < present:
            odd = _odd(found)[:MARKS]
            yield (f"numbers and words: {found.numbers.count:,} of {present:,} values are numbers; if {few(odd)} mean{'s' * (len(odd) == 1)} that "
                   f"a value is missing: --missing {' '.join(map(shlex.quote, odd))}")
        if found.padded:
            yield f"numbers that begin with 0 are taken for names; if they are amounts: --kind {quoted}=numeric"
        if values.distinct > NAMES:
            about = "" if values.exact else f" (about {values.distinct:,}, to {100 * values.error:.1g} %)"
            yield f"more than {NAMES:,} different values{about}" + (
                f"; {leave}" if kind.hash else f"; to hash them: --kind {quoted}=categorical,hash=12")
    if isinstance(kind, Date):
        other = _either_way(found, kind)
        if other:
            yield f"a date, read as {kind.order} (day and month could be the other way round: --kind {quoted}=date,order={other})"
        if found.dates[kind.order].numbers.count < present:
            yield (f"{present - found.dates[kind.order].numbers.count:,} of {present:,} values are not dates: rows with them are bad records, unless "
                   "--missing names them")
    if isinstance(kind, (Label, Weight)) and found.gone:
        yield f"missing in {counted(found.gone, 'row')}: {'left out' if isinstance(kind, Label) else 'bad records' if found.gone > 1 else 'a bad record'}"
    if isinstance(kind, Label) and values.exact and values.distinct == 1:
        yield "there is one label alone: nothing can be learnt"
    if isinstance(kind, Label) and len(kind.classes) > max(FEW, present / 2):
        yield f"{len(kind.classes):,} classes in {present:,} rows: hardly any comes twice, so that nothing can be learnt; is it the label?"
    if label is not None and label is not found and label.present:
        if values.copied:
            yield f"is the label itself; {leave}"
        else:
            several, beyond, mixed = values.alone()
            other = 1 - max(label.values.counts, default=0) / label.present
            if not mixed and beyond * other >= EVIDENCE and several << values.level >= present / 2:
                yield f"tells the label alone: each of its values comes with one label; if it is not known before the label: --drop {quoted}"


def _either_way(found: Statistics, kind: Date) -> str:
    """The order by which as many words are dates, with day and month the other way round; or ""."""
    both = [order for order in ("DMY", "MDY") if found.dates[order].numbers.count == found.dates[kind.order].numbers.count]
    return both[both[0] == kind.order] if len(both) > 1 else ""


def _odd(found: Statistics) -> list[str]:
    """The known words that are not numbers, those that come most often first."""
    words = [word for word, _ in found.values.items()]
    codes = Words.of(words).numbers(found.notation)[1]
    return [words[i] for i in np.flatnonzero(codes != kernel.GOOD)]


def _reread(found: Statistics, written: Notation | None, decimal: str | None) -> Statistics:
    """Statistics by the notation that the user says, or in which most words are numbers, where all words are known."""
    best = (written or _better(found, decimal)) if found.values.exact else None
    return found.reread(best) if best else found


def _better(found: Statistics, decimal: str | None) -> Notation | None:
    """Another notation, in which most of the known words are numbers, where now they are not."""
    if found.numbers.count >= MOSTLY * found.present:
        return None
    words, counts = found.values.words, found.values.counts
    best = notation([word for word, _ in found.values.items()], decimal)
    good = words.numbers(best)[1] == kernel.GOOD
    return best if best != found.notation and counts[good].sum() >= MOSTLY * counts.sum() > 0 else None


def notation(words: Iterable[str], decimal: str | None = None) -> Notation:
    """How the numbers among some words of a column are written: the plainest way by which most are numbers. `decimal`: the mark
    that is given."""
    words = sorted(set(words))
    signs = Counter(sign for word in words for sign in {*word[:1], *word[1:2], *word[-1:]}
                    if sign == "%" or unicodedata.category(sign) == "Sc")
    sign = max(signs, key=lambda sign: (signs[sign], sign), default="")
    fractions = {mark for word in words for mark in re.findall(r"^[+-]?0+([,. '])\d", word)}      # no thousands
    tried = [n._replace(sign=s) for s in dict.fromkeys(["", sign]) for n in NOTATIONS
             if n.thousands not in fractions and decimal in (None, n.decimal)]
    column = Words.of(words)
    return max(tried, key=lambda n: int((column.numbers(n)[1] == kernel.GOOD).sum()))
