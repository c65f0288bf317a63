"""Takes parts out of Keras's JSON form, and checks their types."""
from types import NoneType
from typing import Any

from mrdl.config import ConfigError, shown

KINDS = {dict: "object", list: "list", str: "string"}


class Later(Exception):
    """Something needs the output of a call, (name, number), or of an operation, (name), that has not been read yet."""


def part_of(parent: dict, key: str, kind: type, default: Any = None) -> Any:
    """parent[key], or the default if it is missing or null; ConfigError if it has another type."""
    value = parent.get(key)
    # not by need(): the check runs often, and its message should not be built each time
    if not isinstance(value, (kind, NoneType)):
        raise ConfigError(f"the spec's {key}={shown(value)} is no {KINDS[kind]}")
    return default if value is None else value
