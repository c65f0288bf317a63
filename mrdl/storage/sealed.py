"""JSON files that contain a hash of their own content, and a check of their values against type annotations.

A sealed object has the key "seal": the SHA-256 of its other keys and values in canonical JSON (keys sorted, no spaces)."""
import dataclasses
import functools
import hashlib
import json
import re
import types
import typing
from typing import Annotated, Any

from mrdl.config import shown

Count = Annotated[int, range(2 ** 63)]
Hash = Annotated[str, re.compile("[0-9a-f]{64}")]


def digest(data: bytes) -> str:
    """The SHA-256 of the data, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def canonical(facts: Any) -> bytes:
    """Canonical JSON: the same value always gives the same bytes."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def seal(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts, converted as by writing and reading JSON, with their hash."""
    facts = json.loads(json.dumps(facts))
    return {**facts, "seal": digest(canonical(facts))}


class OtherFormat(ValueError):
    """The file was written by another version of mrdl."""


def formatted(data: bytes, form: Any, kind: Any, name: str) -> dict[str, Any]:
    """The sealed object in a file. Its "format" must be `form`, and its values must match `kind` (see `check`).

    OtherFormat if it has another format; another ValueError if it is damaged."""
    facts = parsed(data)
    if facts.get("format") != form:
        raise OtherFormat
    check(_intact(facts), kind, name)
    return facts


def unsealed(data: bytes) -> dict[str, Any]:
    """The object in sealed JSON, still with its "seal"; ValueError if a single bit of its content has changed."""
    return _intact(parsed(data))


def _intact(facts: dict[str, Any]) -> dict[str, Any]:
    if facts.get("seal") != digest(canonical({name: value for name, value in facts.items() if name != "seal"})):
        raise ValueError("its hash does not fit its content")
    return facts


def parsed(data: bytes) -> dict[str, Any]:
    """The object in JSON; ValueError if it is not a JSON object."""
    try:
        facts = json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if type(facts) is not dict:
        raise ValueError("it is not a JSON object")
    return facts


def check(value: Any, kind: Any, where: str) -> None:
    """Raises ValueError if a value from JSON does not match the annotation `kind`.

    kind: a type; a union; Literal; Annotated with a range or a pattern; list[...], tuple[..., ...] or dict[str, ...];
    a dataclass, a TypedDict or {name: kind}: an object with exactly these names (optional names of a TypedDict may be
    missing)."""
    if type(value) is kind:             # no more need be asked of most values
        return
    kinds = fields(kind) if dataclasses.is_dataclass(kind) or typing.is_typeddict(kind) else kind
    if isinstance(kinds, dict):
        check(value, dict, where)
        left = getattr(kind, "__optional_keys__", frozenset()) - set(value)
        odd = sorted(set(value) ^ (set(kinds) - left))
        if odd:
            raise ValueError(f"{where} has no {odd[0]}" if odd[0] in kinds else
                             f"{where} has {shown(odd[0])}, which this version does not know")
        for name in value:
            check(value[name], kinds[name], f"{where}.{name}")
        return
    origin, of = typing.get_origin(kind), typing.get_args(kind)
    if origin in (list, tuple, dict):
        check(value, dict if origin is dict else list, where)
        if of[0] is str and origin is not dict and {*map(type, value)} <= {str}:
            return                              # a long vocabulary
        for name, item in value.items() if origin is dict else enumerate(value):
            check(item, of[1] if origin is dict else of[0], f"{where}.{name}")
    elif not _fits(value, kind, origin, of):
        raise ValueError(f"{where} is {shown(value)}")


@functools.cache                # as it takes longer than all else that is done for a record
def fields(kind: type) -> dict[str, Any]:
    """A class's fields and their annotations."""
    return typing.get_type_hints(kind, include_extras=True)


def _fits(value: Any, kind: Any, origin: Any, of: tuple) -> bool:
    if origin in (types.UnionType, typing.Union):
        return any(_checked(value, own) for own in of)
    if origin is typing.Literal:
        return any(type(value) is type(own) and value == own for own in of)
    if origin is Annotated:
        own, within = of
        return _checked(value, own) and bool(
            within.fullmatch(value) if isinstance(within, re.Pattern) else value in within)
    if kind is float:
        return type(value) in (int, float)
    return kind is Any or type(value) is kind


def _checked(value: Any, kind: Any) -> bool:
    try:
        check(value, kind, "")
    except ValueError:
        return False
    return True
