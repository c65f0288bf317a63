"""Keras 2's hard_sigmoid, 0.2 x + 0.5 from 0 to 1: Keras 3's is x / 6 + 0.5, so of 1.2 x they are the same.

Where such an activation follows a linear map, a model of Keras 2 computes the same in mrdl and Keras 3 if the weights of that map are
multiplied by 1.2. `marked` finds these layers in a spec, and `scaled` multiplies their weights."""
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from mrdl.config import need

NAME, FACTOR = "hard_sigmoid", 1.2
KEYS = ("activation", "recurrent_activation")
# layers by the activation that they may have: their numbers of gates, and the range of those that have it
MAPS = {**{kind: {"activation": (1, [(0, 1)])} for kind in ("Dense", "Conv1D", "Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "SimpleRNN")},
        "LSTM": {"recurrent_activation": (4, [(0, 2), (3, 4)])}, "GRU": {"recurrent_activation": (3, [(0, 2)])}}
Mark = tuple[str, tuple[int, list[tuple[int, int]]]]    # the layer's name, its gates


def marked(spec: dict[str, Any]) -> tuple[dict[str, Any], list[Mark]]:
    """The spec of a Keras 2 model with Keras 3's hard_sigmoid, and where its weights must be scaled."""
    config = spec.get("config")
    layers = config if isinstance(config, list) else config.get("layers") if isinstance(config, dict) else None
    if not isinstance(layers, list):
        return spec, []
    marks: list[Mark] = []
    made = [_entry(entry, marks) for entry in layers]
    return {**spec, "config": made if isinstance(config, list) else {**config, "layers": made}}, marks


def _entry(entry: Any, marks: list[Mark], name: str | None = None) -> Any:
    config = entry.get("config") if isinstance(entry, dict) else None
    if not isinstance(config, dict):
        return entry
    name = name or str(config.get("name"))
    if entry.get("class_name") in ("Bidirectional", "TimeDistributed"):
        return {**entry, "config": {**config, **{key: _entry(config[key], marks, name) for key in ("layer",) if key in config}}}
    maps = MAPS.get(entry.get("class_name")) if isinstance(entry.get("class_name"), str) else None
    for key in KEYS:
        if config.get(key) == NAME and key in (maps or ()):
            marks.append((name, maps[key]))
            config = {**config, key: {"class_name": NAME}}          # no longer a text, which would be refused
    return {**entry, "config": config}


def _views(model, name: str) -> Iterator[np.ndarray]:
    """The weights of a layer, with Keras's shapes."""
    for step, weight, start in model.places():
        if step.name == name:
            yield weight.view(model.weights[start:start + weight.size])


def scaled(model, marks: list[Mark]) -> None:
    """Multiplies the weights of the marked layers."""
    names = set(model.names())
    for name, (gates, ranges) in marks:
        need(name in names, f"hard_sigmoid of Keras 2 in {name[:80]!r} is not supported")
        for view in _views(model, name):
            units = math.prod(view.shape[-1:]) // gates
            for first, last in ranges:
                view[..., first * units:last * units] *= view.dtype.type(FACTOR)
