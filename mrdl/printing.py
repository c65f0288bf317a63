"""Formats numbers and bars for people, and finds out how wide a terminal is."""
import math
import os
import shutil
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, TextIO


def told(values: dict[str, Any]) -> list[str]:
    """Texts like "loss 0.1234", one for each value."""
    return ["".join(c if c.isprintable() else "?" for c in f"{name} {written(value)}") for name, value in values.items()]


def written(value: float | list) -> str:
    """A number with four decimal places, or in exponential form if these would say too little; the numbers of a short list;
    the shape of a matrix."""
    if not isinstance(value, list):
        return f"{value:.4f}" if not value or not 1e-3 > abs(value) and not 1e5 <= abs(value) < math.inf else f"{value:.4e}"
    if value and isinstance(value[0], list):
        return f"({len(value)} x {len(value[0])})"
    return f"[{' '.join(map(written, value))}]" if len(value) <= 10 else f"({len(value)})"


def counted(n: int, noun: str) -> str:
    """"1 row", "2,000 rows"."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def terminal(stream: TextIO | None) -> bool:
    return hasattr(stream, "isatty") and stream.isatty()


def bar(share: float, width: int, stream: TextIO | None) -> str:
    """A bar of `width` columns, of which `share` is filled, in characters that the stream can show."""
    full, rest = "━─" if (getattr(stream, "encoding", None) or "").lower().startswith("utf") else "=-"
    return (full * int(width * share)).ljust(width, rest)


def columns(stream: TextIO | None) -> int:
    """The present width of the stream's terminal; if unknown, $COLUMNS, or else 80."""
    try:
        wide = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):       # not a terminal, or closed, or not a real file
        wide = 0
    return wide or shutil.get_terminal_size().columns


def few(names: Sequence[str]) -> str:
    """The names, quoted, as one of them may be empty; of many the first and the last ones."""
    names = list(map(repr, names))
    return ", ".join(names if len(names) < 13 else [*names[:9], "...", *names[-3:]])


def alike(lost: Sequence[str], names: Sequence[str]) -> str:
    """For the user: those of the names that each of the lost ones may mean; "" if there are none."""
    small = {name.casefold(): name for name in names}
    near = [small[found] for name in lost[:3] for found in get_close_matches(name.casefold(), small, 1, 0.75)]
    return f" (did you mean {few(list(dict.fromkeys(near)))}?)" if near else ""


def clean(text: str) -> str:
    """The text in one line, with a "?" for what a terminal does not show."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def wide(text: str) -> int:
    """How many columns of a terminal a text takes: letters of East Asia two, accents of their own none."""
    return sum((unicodedata.east_asian_width(c) in "WF") + 1 for c in text if not unicodedata.combining(c))


def fitted(text: str, width: int, right: bool = False) -> str:
    """The text in so many columns: cut, or filled with blanks behind it, or before it."""
    if wide(text) > width:
        while wide(text) > max(width - 2, 0):
            text = text[:-1]
        text += ".."[:width]
    blanks = " " * (width - wide(text))
    return blanks + text if right else text + blanks


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Lines of so many columns at most, cut between words; a longer word has a line of its own. `indent`: of all but the first."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and wide(lines[-1]) + 1 + wide(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(indent * bool(lines) + word)
    return lines
