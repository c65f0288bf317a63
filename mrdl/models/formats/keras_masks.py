"""Handles masks, which Keras writes into its JSON as arguments of calls."""
from collections import deque
from functools import cache
from typing import Any

from mrdl.layers import Masking
from mrdl.layers.layer import Layer, Symbol
from mrdl.models.formats.keras_parts import Later, part_of


def _came_from(argument: Any) -> tuple | None:
    """The (layer, call, part) that a tensor in the spec comes from."""
    config = argument.get("config") if isinstance(argument, dict) else None
    history = config.get("keras_history") if isinstance(config, dict) else None
    return tuple(history) if isinstance(history, list) and all(isinstance(h, (str, int)) for h in history) else None


def without_masks(config: dict) -> dict:
    """The config without Keras's operations for masks. These compute masks from the input of Masking or Embedding, and
    merge them as layers do; mrdl's layers pass masks on by themselves. In calls that take a mask, it is replaced by the
    set of its sources, which `_ends` compares. Any other operation stays, and is refused later."""
    entries = [entry for entry in config["layers"] if isinstance(entry, dict)]

    def arguments(entry: dict) -> list[list]:
        """The arguments of each call."""
        nodes = entry.get("inbound_nodes")
        return [node["args"] for node in (nodes if isinstance(nodes, list) else [])
                if isinstance(node, dict) and isinstance(node.get("args"), list) and node["args"]]

    makers: set[tuple] = set()                          # (what is masked, by which value): the sources of masks
    masks: dict[str, frozenset] = {}                    # operation -> the sources of its mask
    for entry in entries:
        own = entry.get("config") if isinstance(entry.get("config"), dict) else {}
        value = {"Masking": own.get("mask_value", 0.0), "Embedding": 0 if own.get("mask_zero") else None}.get(
            str(entry.get("class_name")))
        if isinstance(value, (int, float)):
            makers |= {(_came_from(given[0]), float(value)) for given in arguments(entry)}

    def of(entry: dict) -> frozenset | None:
        """The sources of a mask; raises Later if its operation is not in `masks` (yet)."""
        calls, kind = arguments(entry), entry.get("class_name")
        if entry.get("module") != "keras.src.ops.numpy" or len(calls) != 1:
            return None
        given, = calls
        if kind == "NotEqual" and isinstance(given[-1], (int, float)):
            maker = _came_from(given[0]), float(given[-1])
            return frozenset([maker]) if maker in makers else None
        if kind in ("ZerosLike", "OnesLike"):           # made for an input without a mask, if another input has one
            return frozenset() if part_of(entry, "config", dict, {}).get("dtype") == "bool" else None
        sources = list(map(_came_from, given[0] if isinstance(given[0], list) else given))
        if kind not in ("Any", "ExpandDims", "LogicalOr", "Concatenate") or not all(sources):
            return None
        for name, *_ in filter(None, sources):
            if name not in masks:
                raise Later(name)
        return frozenset().union(*(masks[str(source[0])] for source in sources if source))

    ready, waiting = deque(entries), {}                 # operation -> entries that wait for it
    while ready:
        entry = ready.popleft()
        try:
            made = of(entry)
        except Later as missing:
            waiting.setdefault(*missing.args, []).append(entry)
            continue
        if made is not None:
            masks[name := str(entry.get("name"))] = made
            ready += waiting.pop(name, ())
    if not masks:
        return config

    def told(node: Any) -> Any:
        kwargs = node.get("kwargs") if isinstance(node, dict) else None
        source = _came_from(kwargs.get("mask")) if isinstance(kwargs, dict) else None
        return {**node, "kwargs": {**kwargs, "mask": masks[source[0]]}} if source and source[0] in masks else node
    return {**config, "layers": [
        {**entry, "inbound_nodes": list(map(told, entry["inbound_nodes"]))}
        if isinstance(entry.get("inbound_nodes"), list) else entry
        for entry in entries if str(entry.get("name")) not in masks]}


@cache
def makers_of(symbol: Symbol) -> frozenset:
    """The sources of the mask of a call's output: (the input of Masking or Embedding, the masked value)."""
    layer = symbol.layer
    if not isinstance(layer, Layer):            # a model
        return frozenset()
    value = layer.mask_value if isinstance(layer, Masking) else 0.0 if getattr(layer, "mask_zero", False) else None
    if value is not None:
        return frozenset([(symbol.inputs[0], value)])
    if not layer.supports_masking:
        return frozenset()
    return frozenset().union(*map(makers_of, symbol.inputs if layer.merges else symbol.inputs[:1]))
