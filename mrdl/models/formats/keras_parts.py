"""Parts of Keras's JSON form, taken out with their kind checked."""
from types import NoneType
from typing import Any

from mrdl.config import ConfigError, shown

KINDS = {dict: "object", list: "list", str: "string"}


class Later(Exception):
    """Something takes what another call, (name, number), or operation, (name), has yet to give."""


def part_of(parent: dict, key: str, kind: type, default: Any = None) -> Any:
    """parent[key], or the default where it is not there or null; ConfigError for another kind."""
    value = parent.get(key)
    if not isinstance(value, (kind, NoneType)):         # asked many times: its message is not made before
        raise ConfigError(f"the spec's {key}={shown(value)} is no {KINDS[kind]}")
    return default if value is None else value
