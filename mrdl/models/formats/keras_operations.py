"""Operations in Keras's JSON: what Keras writes of x + 1, x[:, 1:] or keras.ops.mean(x, 1), which are no layers there.

Their numbers and slices stand among the arguments of the call. All that mrdl.ops has is read; layers that Keras has as
operations only (mrdl.layers.operators) are written as these."""
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from mrdl.config import ConfigError, need, shown, snake
from mrdl.layers import ReLU
from mrdl.layers.layer import Layer, Symbol
from mrdl.layers.operators import Divide, Function, GetItem, Reduce
from mrdl.layers.ops import OPS
from mrdl.layers.ops.given import symbol_of
from mrdl.models.formats.keras_parts import part_of

HOMES = ("keras.src.ops", "keras.src.activations")
NOT = "operations outside of layers that mrdl.ops does not have, and masks made by hand, are not supported"


def _relu(x: Symbol, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Symbol:
    return ReLU(max_value, negative_slope, threshold)(symbol_of("relu", x))


#: those whose class is not named as the function
OTHERS: dict[str, Callable] = {"ReLU": _relu}
WITHOUT = ("shape",)            # of no layer


# -- reading

class KerasOperation:
    """An operation, to be called as a layer is: a function of mrdl.ops with the arguments of its config."""

    def __init__(self, entry: dict[str, Any]):
        self.name = entry.get("name")
        self.kind = kind = entry.get("class_name")
        known = isinstance(kind, str) and snake(kind) not in WITHOUT
        self.function = OTHERS.get(kind, OPS.get(snake(kind))) if known else None
        need(self.function is not None, f"the spec has the operation {shown(kind)}: {NOT}")
        config = part_of(entry, "config", dict, {})
        self.config = {key: value for key, value in config.items() if key != "name" and (key != "dtype" or kind == "Cast")}

    def __call__(self, *given: Any, **more: Any) -> Symbol | list[Symbol]:
        """What the function gives for these, under the operation's name.

        Args:
            *given: symbols, numbers, lists of them, keys of x[key].
            **more: by name."""
        try:
            made = self.function(*given, **self.config, **more)
        except ConfigError:
            raise
        except (TypeError, ValueError, ArithmeticError, LookupError) as error:      # the spec may say anything
            raise ConfigError(f"the spec's operation {shown(self.kind)} with {shown(self.config)}: {error}") from None
        if isinstance(made, list) or any(made is getattr(x, "symbol", x) for x in given):
            return made
        need(isinstance(self.name, str), f"the spec has an operation without a name: {shown(self.kind)}")
        layer = replace(made.layer, name=self.name)
        return layer(list(made.inputs) if layer.merges else made.inputs[0])


def is_operation(entry: dict[str, Any]) -> bool:
    return str(entry.get("module")).startswith(HOMES)


def argument(value: Any, tensor: Callable[[Any], Symbol]) -> Any:
    """An argument of an operation's call. `tensor` makes the symbol of what stands for one."""
    if isinstance(value, list):
        return [argument(v, tensor) for v in value]
    kind, config = (value.get("class_name"), value.get("config")) if isinstance(value, dict) else (None, None)
    if kind == "__ellipsis__":
        return ...
    if kind == "__slice__" and isinstance(config, dict):
        return slice(*map(config.get, ("start", "stop", "step")))
    return tensor(value) if isinstance(value, dict) else value


# -- writing

class Form(NamedTuple):
    """An operation of Keras's: module, class, config without the name, and the arguments of the call for given tensors."""
    module: str
    class_name: str
    config: dict[str, Any]
    arguments: Callable[[list], list] = list


def _camel(name: str) -> str:
    return name.title().replace("_", "")


def _function(layer: Function) -> Form:
    module = "math" if layer.function == "rsqrt" else "numpy"
    if layer.function == "clip":
        return Form(module, "Clip", dict(zip(("x_min", "x_max"), layer.numbers)))
    return Form(module, _camel(layer.function), {}, lambda given: [*given, *layer.numbers])


def _reduce(layer: Reduce) -> Form:
    return Form("numpy", _camel(layer.function), {"axis": list(layer.axis), "keepdims": layer.keepdims}
                | ({"initial": None} if layer.function in ("max", "min") else {}))


def _get_item(layer: GetItem) -> Form:
    key = [{"class_name": "__slice__", "config": dict(zip(("start", "stop", "step"), part))} if isinstance(part, tuple) else part
           for part in ((None, None, None), *layer.key)]
    return Form("numpy", "GetItem", {}, lambda given: [*given, key])


FORMS: dict[type[Layer], Callable[[Any], Form]] = {
    Function: _function, Reduce: _reduce, GetItem: _get_item, Divide: lambda layer: Form("numpy", "TrueDivide", {})}


def form_of(layer: Layer) -> Form | None:
    """The layer as an operation of Keras's; None if Keras has it as a layer."""
    found = FORMS.get(type(layer))
    return found(layer) if found else None
