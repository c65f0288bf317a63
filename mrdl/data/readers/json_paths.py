"""Fields of JSON objects by the keys that lead to them: `user.age`, `tags.0`; and the tree of known fields for the kernel."""
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from mrdl.kernels import jsonl

Path = tuple[str, ...]          # keys, and places in arrays in decimal digits


def name_of(path: Iterable[str]) -> str:
    r"""The keys with dots between them; before a dot or a backslash in a key stands a backslash."""
    return ".".join(re.sub("[\ud800-\udfff]", "\ufffd", re.sub(r"([\\.])", r"\\\1", key)) for key in path)


def path_of(name: str) -> Path:
    """What `name` made a name of."""
    return tuple(re.sub(r"(?s)\\(.)", r"\1", key) for key in re.findall(r"(?s)(?:^|\.)((?:[^\\.]|\\.)*)", name))


def leaves(value: Any, above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """What is neither an object nor an array, each with its path."""
    if not isinstance(value, (dict, list)):
        yield above, value
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from leaves(inner, (*above, str(key)))


class Tree(NamedTuple):
    """What jsonl.split takes for known fields."""
    keys: bytes
    starts: np.ndarray
    stops: np.ndarray
    parents: np.ndarray
    ends: np.ndarray
    columns: np.ndarray
    slots: np.ndarray
    seen: np.ndarray

    @classmethod
    def of(cls, columns: Sequence[str], left_out: Iterable[str] = ()) -> "Tree":
        """The tree of some columns, by their names, and of fields that are not looked at."""
        root: list = [jsonl.NONE, {}]           # column, nodes below by their keys
        for column, name in chain(enumerate(columns), ((jsonl.LEFT_OUT, name) for name in left_out)):
            node = root
            for key in path_of(name):
                node = node[1].setdefault(key, [jsonl.NONE, {}])
            node[0] = column
        keys, parents, ends, numbers = [], [], [], []

        def add(key: str, node: list, parent: int) -> None:
            at = len(keys)
            keys.append(key.encode())
            parents.append(parent)
            numbers.append(node[0])
            ends.append(0)
            for inner in node[1].items():
                add(*inner, at)
            ends[at] = len(keys)
        add("", root, 0)
        stops = np.cumsum([0, *map(len, keys)], dtype="i8")
        slots = np.empty(2 << len(keys).bit_length(), "i4")
        tree = cls(b"".join(keys), stops[:-1].copy(), stops[1:].copy(), *(np.array(some, "i4") for some in (parents, ends, numbers)),
                   slots, np.empty(len(keys), "i8"))
        jsonl.index(*tree[:4], slots)
        return tree
