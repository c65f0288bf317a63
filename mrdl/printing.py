"""Formats numbers and bars for people, and finds out how wide a terminal is."""
import math
import os
import shutil
from collections.abc import Sequence
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
