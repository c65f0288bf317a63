"""Converts objects to and from Keras's JSON form: {"module", "class_name", "config", "registered_name"}."""
import dataclasses
import difflib
import functools
import inspect
import math
import numbers
import re
import reprlib
import typing
from contextlib import suppress
from types import NoneType
from typing import Any, ClassVar

import numpy as np

from mrdl import places


class ConfigError(ValueError):
    """A spec that mrdl cannot build; the message names the object and the key."""


# Keras writes these keys for every object; with these values they have no effect
HARMLESS = (None, False, 0.0, "float32", "channels_last")
MANY = 30               # an error lists up to this many known names, else only those similar to the wrong one
FEW = 5                 # how many similar names it lists
LIKE = 0.8              # how similar a name must be to be suggested, by difflib's measure
LONG = 80               # how many characters of a name are compared
LINE = 1000             # longest line of an error, in characters
COMMON = {"dtype", "trainable", "name", "ema_momentum"}
KINDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a string",
         NoneType: "none"}

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


def shown(value: Any) -> str:
    """Any value as one short line, for messages."""
    text = " ".join(_short.repr(value).split())
    return text if len(text) <= 160 else text[:157] + "..."


def cut(text: str) -> str:
    """The text with long lines shortened, for errors that quote input."""
    return "\n".join(line if len(line) <= LINE else f"{line[:LINE // 2]} ... {line[-LINE // 2:]}" for line in text.split("\n"))


def need(ok: bool, message: str) -> None:
    if not ok:
        raise ConfigError(message)


def several(given: Any) -> Any:
    """Several values; one alone, a string or a number, as the only one of them."""
    return (given,) if isinstance(given, (str, int)) else given


def typed(value: Any, kind: Any, where: str) -> Any:
    """The value converted to a field's type: NumPy scalars become Python numbers, lists become tuples."""
    kinds = typing.get_args(kind) or (kind,)
    if typing.get_origin(kind) is tuple:
        need(isinstance(value, (list, tuple)), f"{where}={shown(value)} must be a list")
        return tuple(typed(v, kinds[0], where) for v in value)
    if object in kinds or (value is None and NoneType in kinds):
        return value
    if isinstance(value, (bool, np.bool_)):
        if bool in kinds:
            return bool(value)
    elif isinstance(value, str) and str in kinds:
        return value
    elif isinstance(value, numbers.Integral) and int in kinds and abs(int(value)) < 2 ** 63:
        return int(value)
    elif isinstance(value, numbers.Real) and float in kinds:
        with suppress(OverflowError):
            if math.isfinite(value):
                return float(value)
    raise ConfigError(f"{where}={shown(value)} must be {' or '.join(KINDS[k] for k in kinds)}")


class Placed(type):
    """Calls a class with arguments in Keras's places; those without a field are checked, and change nothing."""

    def __call__(cls, *args, **kwargs):
        try:
            given, rest = places.bound(cls, args, kwargs)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        made = super().__call__(**cls.taking(given, rest))
        made.took(rest)
        return made

    @property
    def __signature__(cls) -> inspect.Signature:
        return places.signature(cls)


@dataclasses.dataclass(frozen=True)
class Configured(metaclass=Placed):
    """An immutable description; its fields are the keys of its Keras config."""

    keras_module: ClassVar[str] = "keras"
    aliases: ClassVar[tuple[str, ...]] = ()
    fixed: ClassVar[dict[str, Any]] = {}        # keys that Keras writes besides the fields; other values of them are refused

    def __post_init__(self):
        for f in dataclasses.fields(self):
            value = typed(getattr(self, f.name), f.type, f"{type(self).__name__}: {f.name}")
            object.__setattr__(self, f.name, value)

    @classmethod
    def taking(cls, given: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
        """The values of the fields; `rest`: arguments of Keras's that have no field."""
        return given

    def took(self, rest: dict[str, Any]) -> None:
        """Is told the arguments of Keras's that have no field."""

    def get_config(self) -> dict[str, Any]:
        return {f.name: serialize(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Configured":
        known = {f.name: f for f in dataclasses.fields(cls)}
        for key, value in config.items():
            if key in known or key in COMMON:
                continue
            if not (value == cls.fixed[key] if key in cls.fixed else value in HARMLESS):
                raise ConfigError(f"{cls.__name__}: {shown(key)[1:-1]}={shown(value)} is not supported")
        need("trainable" in known or config.get("trainable") in (None, True),
             f"{cls.__name__}: trainable={shown(config.get('trainable'))} is not supported")
        dtype = dtype_name(config.get("dtype"))
        need(dtype in (None, "float32", "float64"), f"{cls.__name__}: dtype {shown(dtype)} is not "
             "supported; mrdl trains in float32 (float64 for checks)")
        for name, f in known.items():
            need(name in config or f.default is not dataclasses.MISSING,
                 f"{cls.__name__}: {name} is missing")
        return cls(**{k: v for k, v in config.items() if k in known})


def dtype_name(value: Any) -> Any:
    """The name in Keras's dtype policy, or the value itself."""
    config = value.get("config") if isinstance(value, dict) else None
    return config.get("name") if isinstance(config, dict) else value


def serialize(value: Any) -> Any:
    """The Keras JSON form of a description, or the value itself."""
    if isinstance(value, Configured):
        return {"module": value.keras_module, "class_name": type(value).__name__,
                "config": value.get_config(), "registered_name": None}
    return list(value) if isinstance(value, tuple) else value


@functools.cache
def snake(name: str) -> str:
    """Keras's own rule: "HeNormal" -> "he_normal", "L1L2" -> "l1l2", "RMSprop" -> "rm_sprop"."""
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def function_name(value: Any) -> Any:
    """The name of a function of Keras's or of the same of mrdl's; other values as they are."""
    return value.__name__ if inspect.isfunction(value) and value.__module__.split(".")[0] in ("keras", "mrdl") else value


def lookup(value: Any, table: list[type], kind: str, others: tuple[str, ...] = ()) -> Any:
    """The object for `value`, which may be the object itself, a name ("he_normal", "HeNormal") or a Keras dict.

    Raises ConfigError, which lists the known names or the most similar ones; `others` are further names that the caller
    accepts."""
    if value is None or isinstance(value, tuple(table)):
        return value
    if isinstance(value, type) and value in table:
        return value()
    value = function_name(value)
    name, config, foreign = value, {}, False
    if isinstance(value, dict):
        name, config = value.get("class_name"), value.get("config")
        if name == "function":                          # a function of Keras
            name, config = config, {}
        else:                                           # a class of the user has another module
            foreign = (str(value.get("module") or "keras").split(".")[0] not in ("keras", "mrdl")
                       or (value.get("registered_name") or name) != name)
        config = {} if config is None else config
        need(isinstance(config, dict), f"{kind} {shown(name)}: its config must be an object")
    for cls in table:
        if isinstance(name, str) and not foreign and name.lower() in {
                cls.__name__.lower(), snake(cls.__name__), *cls.aliases}:
            return cls.from_config(config)
    names = [*others, *(c.__name__ for c in table)]
    every = {form.lower(): form for form in [*(alias for c in table for alias in (*c.aliases, snake(c.__name__))), *reversed(names)]}
    like = [] if foreign else difflib.get_close_matches(str(name)[:LONG].lower(), every, 1, LIKE)
    if len(names) > MANY:
        near = difflib.get_close_matches(str(name)[:LONG].lower(), {n.lower(): n for n in names}, FEW, 0.0)
        names = [n for n in names if n.lower() in near] + ["..."]
    raise ConfigError(f"unknown {kind} {shown(name)}{' of its own module' if foreign else ''}"
                      + "".join(f" (did you mean {every[form]}?)" for form in like) + f"; there are {', '.join(names)}")


def described(text: str, what: str, grammar: str, alone: dict[str, str] | None = None) -> dict[str, Any]:
    """The dict of an object that is given as its name and settings: "nesterov learning_rate 0.7 momentum 0.9".

    Args:
        text: the name and the settings.
        what: what is described, for errors.
        grammar: the names that there are, for errors.
        alone: for some names, in lower case, the setting whose number may follow the name directly."""
    name, *settings = re.split(r"[\s,=]+", text.strip())
    if len(settings) % 2 and (alone or {}).get(name.lower()):
        settings.insert(0, alone[name.lower()])
    need(len(settings) % 2 == 0, f"{what}: {shown(' '.join(settings))} is no list of settings with their numbers; there are {grammar}")
    return {"class_name": name, "config": {key: _number(number, what) for key, number in zip(settings[::2], settings[1::2])}}


def _number(text: str, what: str) -> int | float:
    for kind in (int, float):
        with suppress(ValueError):
            if math.isfinite(number := kind(text)):
                return number
    raise ConfigError(f"{what}: {shown(text)} must be a finite number")
