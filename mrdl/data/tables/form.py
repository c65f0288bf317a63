"""How delimited text is written, as schema.json keeps it."""
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict

from mrdl.storage.sealed import Count, check, shown

DELIMITER = re.compile(r'[^"\n\r\x80-\U0010ffff]')
PLAIN = {"skip": 0, "encoding": "utf-8"}             # what is not said


class Form(TypedDict, total=False):
    """What was decided or given of the files of which a schema was made.

    Attributes:
        delimiter: what stands between fields.
        header: whether the first line has the names of the columns.
        decimal: what stands before the fraction of numbers, where that was given.
        skip: how many lines stand above the header, or the first row.
        encoding: of the text, where it is not UTF-8, as Python calls it."""
    delimiter: Annotated[str, DELIMITER]
    header: bool
    decimal: Literal[".", ","]
    skip: Count
    encoding: Annotated[str, re.compile(r"[\w.-]+")]


#: what each may be, for the user
MUST = {"delimiter": "one character of ASCII, and no quote or line end", "header": "true or false", "decimal": '"." or ","',
        "skip": "0 or more", "encoding": "a name that Python knows"}


def checked(form: Mapping[str, Any]) -> None:
    """ValueError says which part of a form is wrong, and what it must be."""
    try:
        check(form, Form, "form")
    except ValueError as error:
        name = str(error).removeprefix("form.").partition(" ")[0]
        raise ValueError(f"{error}; it must be {MUST[name]}" if name in MUST else str(error)) from None


def differences(form: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    """In what a file's form is not as another one says: "delimiter ';', not ','"."""
    own = PLAIN | dict(form)
    odd = {name: own.get(name) for name in Form.__annotations__ if name in said and own.get(name) != said[name]}
    return "; ".join(f"{name} {shown(value)}, not {shown(said[name])}" for name, value in odd.items())
