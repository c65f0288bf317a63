"""What all kinds of columns have in common: a frozen description whose fields are what schema.json says of the column."""
import sys
import types
import typing
from dataclasses import MISSING as REQUIRED
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from mrdl.data.sources import DataError
from mrdl.data.sparse import Csr
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.words import MISSING, Lookup, Notation, Words
from mrdl.kernels import words as kernel
from mrdl.storage import sealed

#: what may be wrong with a value, by the code that `encode` gives; the row of a DROPPED one is left out, but is not bad;
#: that of an UNSEEN one is good, though no feature stands for the value
REASONS = ("", "missing", "not a number", "not finite", "not a date", "neither true nor false", "not a class",
           "left out for a missing value", "no id:value", "ids do not rise", "a feature beyond those of the schema",
           "not known")
MISSED, NUMBER, FINITE, DATE, BOOLEAN, CLASS, DROPPED, ENTRY, ORDER, BEYOND, UNSEEN = range(1, 12)
LIMIT = sys.float_info.max
STATISTICS = ("deviation", "least", "largest", "quantiles")     # of values, in fields of kinds
NUMBERS = np.zeros(256, "u1")   # code of the kernel -> of those above
NUMBERS[[kernel.EMPTY, kernel.NUMBER, kernel.FINITE]] = NUMBER, NUMBER, FINITE


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is made of a column.

    Args:
        missing_words: the words that mean that a value is missing."""
    kind: ClassVar[str]
    first = 0                       # the number of its first feature, where these are many
    missing_words: tuple[str, ...] = MISSING

    def __post_init__(self):
        for f in fields(self):
            object.__setattr__(self, f.name, _typed(getattr(self, f.name), f.type))
        wrong = self.wrong()
        if wrong:
            raise DataError(wrong)

    def wrong(self) -> str:
        """What is wrong with the fields together, each of which is fine alone; or ""."""
        return ""

    @classmethod
    def made(cls, statistics: Statistics, **given: Any) -> "Kind":
        """The kind for a column with these statistics. `given`: fields that are decided."""
        return cls(**{"missing_words": statistics.missing, **given})

    def features(self, name: str) -> list[str]:
        """The names of what a column of this name becomes."""
        return []

    @cached_property
    def width(self) -> int:
        """How many features a column becomes."""
        return len(self.features(""))

    @property
    def ids(self) -> int | None:
        """How many different ids its features are, for an Embedding; None: they are amounts."""
        return None

    @property
    def active(self) -> int:
        """How many of them are not 0 in a row, at most."""
        return self.width

    @property
    def one_hot(self) -> bool:
        """Whether its features are 0 but for one that is 1, or none; `places` says which."""
        return False

    def places(self, words: Words) -> tuple[np.ndarray, np.ndarray]:
        """The feature that is 1 for each word, -1 where none is; and the codes that `encode` gives."""
        raise NotImplementedError       # only of what is one_hot

    def sparse(self, words: Words) -> tuple[Csr, np.ndarray]:
        """What the words become as sparse rows, and the codes that `encode` gives."""
        values = np.empty((len(words), self.width))
        codes = self.encode(words, values)
        return Csr.from_dense(values), codes

    def encode(self, words: Words, out: np.ndarray) -> np.ndarray:
        """out[n, features] = what the words become; returns uint8[n], of each word the place in REASONS, 0 where it is
        good. What stands in `out` of the others is of no use."""
        return np.zeros(len(words), "u1")

    def told(self) -> str:
        """What mrdl does with the column, in few words."""
        return self.kind

    def marks(self, decimal: str | None) -> dict[str, str]:
        """The fields that another decimal mark changes; None: there is no other one."""
        return {}

    def config(self) -> dict[str, Any]:
        """What schema.json says: the fields that are not as by default."""
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"kind": self.kind, **{f.name: said[f.name] for f in fields(self) if said[f.name] != f.default}}

    def decides(self) -> dict[str, Any]:
        """The fields that decide which numbers become of values like those by which the schema was made."""
        return self.config()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Kind":
        """The kind that schema.json describes; DataError names the field that is wrong."""
        given = cls.given({name: value for name, value in config.items() if name != "kind"})
        lacking = [f.name for f in fields(cls) if f.default is REQUIRED and f.name not in given]
        if lacking:
            raise DataError(f"{lacking[0]} is not given; it must be {_said(sealed.fields(cls)[lacking[0]])}")
        return cls(**given)

    @classmethod
    def given(cls, config: dict[str, Any]) -> dict[str, Any]:
        """Fields out of JSON, each checked alone; DataError names the one that is wrong."""
        kinds, given = sealed.fields(cls), {}
        for name, value in config.items():
            if name not in {f.name for f in fields(cls)}:
                raise DataError(f"{cls.kind} has no {sealed.shown(name)}; it has {', '.join(f.name for f in fields(cls))}")
            try:
                sealed.check(value, kinds[name], name)
            except ValueError as error:
                part = typing.get_args(kinds[name])[0] if str(error).startswith(f"{name}.") else kinds[name]
                raise DataError(f"{error}; it must be {_said(part)}") from None
            if any(type(v) in (int, float) and not -LIMIT <= v <= LIMIT for v in (value if type(value) is list else [value])):
                raise DataError(f"{name} is {sealed.shown(value)}; it must be finite")
            try:
                Words.of(v for v in (value if type(value) is list else [value]) if type(v) is str)
            except UnicodeEncodeError:
                raise DataError(f"{name} is {sealed.shown(value)}; it must be text, and half of a surrogate pair is none") from None
            given[name] = value
        return given

    @cached_property
    def _lookup(self) -> Lookup:
        return Lookup(Words.of(self.missing_words))

    def missed(self, words: Words, maybe: np.ndarray) -> np.ndarray:
        """bool[n]: which words mean a missing value; others than `maybe` do not."""
        found = np.zeros(len(words), bool)
        maybe = np.flatnonzero(maybe)
        if len(maybe):
            some = words.take(maybe)
            found[maybe] = "" in self.missing_words and not some.lengths.any() or self._lookup.find(some) >= 0
        return found


@dataclass(frozen=True, kw_only=True)
class Written(Kind):
    """A column of numbers.

    Args:
        decimal: "." or ",".
        thousands: the mark between groups of three digits; "": none.
        sign: what may stand before or after a number: "$", "%", "kg"."""
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""
    sign: str = ""

    def wrong(self) -> str:
        return f"decimal and thousands are both {self.decimal!r}" if self.decimal == self.thousands else super().wrong()

    def marks(self, decimal: str | None) -> dict[str, str]:
        """The mark between thousands becomes the other one where it cannot stay."""
        return {"decimal": decimal, "thousands": self.decimal if self.thousands == decimal else self.thousands} if decimal else {}

    @property
    def notation(self) -> Notation:
        return Notation(self.decimal, self.thousands, self.sign)

    @classmethod
    def made(cls, statistics: Statistics, **given: Any) -> "Written":
        return super().made(statistics, **{**statistics.notation._asdict(), **given})

    @cached_property
    def numeric_words(self) -> bool:
        """Whether a number means a missing value, as -999 may."""
        return bool((Words.of(self.missing_words).numbers(self.notation)[1] == kernel.GOOD).any())

    def read(self, words: Words) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers, which words mean a missing value, and of each other word the place in REASONS."""
        numbers, codes = words.numbers(self.notation)
        codes = NUMBERS[codes]
        missed = self.missed(words, codes.astype(bool) | self.numeric_words)
        codes[missed] = 0
        return numbers, missed, codes

    def as_written(self) -> str:
        """How the numbers are written, where they are not as usual: " with a decimal comma"."""
        said = ["a decimal comma"] * (self.decimal == ",") + [f"{self.thousands!r} between thousands"] * bool(self.thousands) + [
            f"the sign {self.sign}"] * bool(self.sign)
        return " with " + " and ".join(said) if said else ""


@dataclass(frozen=True, kw_only=True)
class Filled(Kind):
    """A column whose missing values are replaced by a number.

    Args:
        missing: "mean", "median" or "mode" of the values that are not missing; a number; "indicator": the mean, and a
            feature more that is 1 where the value is missing; "drop": the row is left out; "refuse": the row is bad.
        mean: of the values by which the schema was made.
        median: of them.
        mode: the value that is there most often.
        gone: how many of these values were missing."""
    missing: Literal["mean", "median", "mode", "indicator", "drop", "refuse"] | float = "mean"
    mean: float | None = None
    median: float | None = None
    mode: float | None = None
    gone: int = 0

    @classmethod
    def made(cls, statistics: Statistics, **given: Any) -> "Filled":
        return super().made(statistics, **{"gone": statistics.gone, **given})

    def decides(self) -> dict[str, Any]:
        filled = ("missing", "missing_words", "mean", "median", "mode") if self.gone or self.missing == "indicator" else ()
        odd = {"gone", *STATISTICS, *(field.name for field in fields(Filled)), *(field.name for field in fields(Written))} - {*filled, *self.scaled_by()}
        return {name: value for name, value in self.config().items() if name not in odd}

    def scaled_by(self) -> tuple[str, ...]:
        """The fields by which numbers are scaled."""
        return ()

    def wrong(self) -> str:
        need = {"indicator": "mean"}.get(self.missing, self.missing)
        if need in ("mean", "median", "mode") and getattr(self, need) is None:
            return f"{need} is not given, but missing is {self.missing!r}"
        for name in ("deviation", "gone"):
            if (getattr(self, name, None) or 0) < 0:
                return f"{name} is {getattr(self, name):g}; it must be 0 or more"
        return super().wrong()

    def features(self, name: str) -> list[str]:
        return [name, *self.flags(name)]

    def flags(self, name: str) -> list[str]:
        """The feature that says that the value is missing, if there is one."""
        return [f"{name} missing"] if self.missing == "indicator" else []

    def filled(self, values: np.ndarray, missed: np.ndarray, codes: np.ndarray, out: np.ndarray) -> None:
        """Fills what is missing in values[n] and codes[n], and the last column of `out` where it is to say so."""
        if self.missing == "indicator":
            out[:, -1] = missed
        if missed.any():
            if self.missing in ("drop", "refuse"):
                codes[missed] = DROPPED if self.missing == "drop" else MISSED
            else:
                values[missed] = self.filling

    @property
    def filling(self) -> float:
        """The number in place of a missing one."""
        name = {"indicator": "mean"}.get(self.missing, self.missing)
        return getattr(self, name) if isinstance(name, str) else float(name)

    def missing_told(self) -> str:
        return missing_told(self.missing, self.missing if self.missing in ("drop", "refuse") else f"{self.filling:.4g}")


def missing_told(policy: Any, value: str) -> str:
    """", missing -> mean 29.7"."""
    if policy in ("drop", "refuse"):
        return ", missing -> " + ("row left out" if policy == "drop" else "bad record")
    if policy == "indicator":
        return f", missing -> mean {value} and a feature that says so"
    return f", missing -> {policy} {value}" if isinstance(policy, str) else f", missing -> {value}"


def _typed(value: Any, kind: Any) -> Any:
    """A value as a field's type has it: lists become tuples, and whole numbers doubles where these are meant."""
    if isinstance(value, (list, tuple)):
        of = typing.get_args(kind)[0]
        return tuple(value) if of is str else tuple(_typed(v, of) for v in value)
    return float(value) if type(value) is int and float in (kind, *typing.get_args(kind)) else value


def _said(kind: Any) -> str:
    """An annotation, for the user."""
    origin, of = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_said(own) for own in of)
    if origin is Literal:
        return ", ".join(f'"{own}"' if isinstance(own, str) else str(own) for own in of)
    if origin is tuple:
        return f"a list [..], of each item: {_said(of[0])}"
    if origin is typing.Annotated:
        return f"{of[1].start} to {of[1].stop - 1}"
    return {float: "a number", int: "a whole number", str: "a string", bool: "true or false", types.NoneType: "null"}[kind]
