"""The first lines of a text file in; out come the names of its columns, or that it has none.

A first line with a word in it is a header. One of numbers alone may be an example or a header, as pandas writes for
columns without names: the lines below decide, and what was decided is told."""
import re
from collections import Counter
from dataclasses import dataclass

from mrdl.data.sources import DataError
from mrdl.printing import counted

ROWS = 5                        # complete rows below it, without which a first line of numbers stays an example


@dataclass(frozen=True)
class Top:
    """What stands above the rows of a file."""
    names: list[str]            # of the columns: "0", "1".. without a header
    line: str                   # the header as it stands there; "" without one
    rows: list[list[str]]       # the fields of the rows below
    note: str = ""              # for the user: what was decided


def fields(line: str, delimiter: str) -> list[str]:
    """Cut at delimiters that are not in double quotes; a blank is any run of blanks and tabs."""
    blanks = delimiter == " "
    found = [""]
    for number, piece in enumerate((line.strip(" \t") if blanks else line).split('"')):
        first, *more = [piece] if number % 2 else re.split(r"[ \t]+", piece) if blanks else piece.split(delimiter)
        found[-1] += first
        found += more
    return [field.strip(" \r") for field in found]


def is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field


def plain(field: str, decimal: str) -> str:
    """A number with a decimal comma as others are written; other fields as they are."""
    number = field.replace(".", "").replace(",", ".")
    return number if decimal == "," and is_number(number) else field


def is_comment(line: str) -> bool:
    return line.lstrip(" ").startswith("#")


def top(path: str, lines: list[str], delimiter: str, asked: bool | None, known: str = "", decimal: str = ".") -> Top:
    """`lines`: the first ones of the file, without blank ones. `asked`: whether there is a header; None: by the lines
    themselves. `known`: the header of another input. `decimal`: what stands before fractions."""
    first = next(i for i, line in enumerate(lines) if not is_comment(line))
    rows = [[plain(field, decimal) for field in fields(line, delimiter)] for line in lines[first:] if not is_comment(line)]
    numbers = all(is_number(field) or not field for field in rows[0])
    line, note = lines[first].rstrip("\r"), ""
    if asked is not False and numbers and line != known:
        line = _comment(lines[:first], rows, delimiter) or (line if asked else "")
        if not line:
            header, doubt = _names(rows)
            line, note = lines[first].rstrip("\r") if header else "", _told(path, lines[first], header) if doubt else ""
    if asked is False or not line:
        return Top([str(i) for i in range(_width(rows))], "", rows, note)
    names = fields(line.lstrip(" #"), delimiter)
    below = rows if is_comment(line) else [row for row in rows[1:] if numbers or row != rows[0]]   # one of words may come again
    if below and _width(below) != len(names):
        longer = "header" if len(names) > _width(below) else "rows"
        ends = abs(len(names) - _width(below)) == 1 and not any(row[-1] for row in ([names] if longer == "header" else below))
        unnamed = _width(below) == len(names) + 1 and (len(names) > 1 or [row[0] for row in below] == [str(i + 1) for i in range(len(below))])
        raise DataError(f"{path}: the header has {counted(len(names), 'column')}, the rows {_width(below)} " + (
            f"(the {longer} end{'s' * (longer == 'header')} in a delimiter: take it away)" if ends else
            "(if the first column of the rows is their names, as R writes them, name it: write.table(.., col.names = NA))" if unnamed else
            "(if it is cut wrongly: --delimiter; if it is no header: --skip 1; if this is text, prepare it with: --format text)"))
    if asked is None and not numbers and _alike(names, below):
        note = _told(path, line, True)
    return Top(names_in(line, delimiter), line, below, note)


def header_of(comments: list[str], line: str, delimiter: str) -> str:
    """The header where nothing below the first line is known: that line, or of numbers the last comment above."""
    row = fields(line, delimiter)
    return (_comment(comments, [row], delimiter) if all(map(is_number, row)) else "") or line


def names_in(header: str, delimiter: str) -> list[str]:
    """The names of columns in a line of bytes."""
    return [name.encode("latin-1").decode("utf-8", "replace") for name in fields(header.lstrip(" #"), delimiter)]


def _width(rows: list[list[str]]) -> int:
    return Counter(map(len, rows)).most_common(1)[0][0]


def _comment(comments: list[str], rows: list[list[str]], delimiter: str) -> str:
    """The last comment above the rows where it has the names of their columns, as NumPy's savetxt writes them; or ""."""
    names = fields(comments[-1].lstrip(" #"), delimiter) if comments else []
    named = len(names) == _width(rows) > 1 and not any(is_number(name) or not name for name in names)
    return comments[-1].rstrip("\r") if named else ""


def _names(rows: list[list[str]]) -> tuple[bool, bool]:
    """Whether a first row of numbers is a header, and whether the user should be told what was decided.

    0..n-1 are one, and so are rising whole numbers (years) with nothing like them below: all rows have fractions, or
    most columns go nowhere near their name."""
    first = rows[0][not rows[0][0]:]            # pandas leaves the name of its index empty
    if not first or not all(re.fullmatch(r"-?\d{1,15}", field) for field in first):
        return False, False
    if rows[1:] and _width(rows[1:]) != len(rows[0]):
        return False, False
    names = list(map(int, first))
    if names != sorted(set(names)):
        return False, False
    below = [row[-len(names):] for row in rows[1:] if len(row) == len(rows[0]) and all(map(is_number, row))]
    whole = [row for row in below if all(re.fullmatch(r"-?\d+", field) for field in row)]
    alike = sum(list(map(int, row)) == sorted(set(map(int, row))) for row in whole)
    if names == list(range(len(names))) and len(names) > 2:
        return bool(below) and 2 * alike <= len(below), True
    if alike or not below:
        return False, len(names) > 1 and not below
    far = 0
    for name, column in zip(names, zip(*below)):
        low, high = min(map(float, column)), max(map(float, column))
        far += not 2 * low - high <= name <= 2 * high - low
    header = len(below) >= ROWS and (not whole or 2 * far >= len(names))
    return header, header or 2 * far >= len(names) or not whole


def _alike(names: list[str], below: list[list[str]]) -> bool:
    """Whether most names are like the values below them: a number among larger and smaller ones, or a word that comes again.
    Rising whole numbers, as of years or pixels, are names."""
    numbers = [name for name in names if is_number(name)]
    if len(numbers) > 1 and all(map(str.isdecimal, numbers)) and list(map(int, numbers)) == sorted(set(map(int, numbers))):
        return False
    found = 0
    for name, column in zip(names, zip(*(row for row in below if len(row) == len(names)))):
        values = [float(value) for value in column if is_number(value)] if is_number(name) else []
        found += min(values) <= float(name) <= max(values) if values else name != "" and name in column
    return 2 * found > len(names)


def _told(path: str, line: str, header: bool) -> str:
    shown = line.strip()[:40] + ("..." if len(line.strip()) > 40 else "")
    return (f"{path}: the first line, {shown}, was taken for the names of the columns; if it is an example: --header no"
            if header else
            f"{path}: the first line, {shown}, was taken for an example; if it has the names of the columns: --header yes")
