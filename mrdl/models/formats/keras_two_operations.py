"""Operations in the JSON of Keras 2, where each is a layer TFOpLambda or SlicingOpLambda that names a function of TensorFlow.

They become those that Keras 3 writes. Only these names are known: nothing is looked up in a module."""
from typing import Any

from mrdl.config import ConfigError, need, shown

KINDS = ("TFOpLambda", "SlicingOpLambda")
HOMES = ("compat.v1.", "math.", "nn.", "linalg.", "__operators__.")     # before the names of functions
CONSTANT = "_CONSTANT_VALUE"    # stands for a layer's name, where the first argument is a number
# TensorFlow's name -> Keras's class; then the names of arguments that differ
CLASSES = {
    "add": "Add", **dict.fromkeys(("sub", "subtract"), "Subtract"), **dict.fromkeys(("mul", "multiply"), "Multiply"),
    **dict.fromkeys(("div", "divide", "truediv"), "TrueDivide"), "pow": "Power", "maximum": "Maximum", "minimum": "Minimum", "matmul": "Matmul",
    "reduce_mean": "Mean", "reduce_sum": "Sum", "reduce_max": "Max", "reduce_min": "Min", "reduce_logsumexp": "Logsumexp",
    "reshape": "Reshape", "transpose": "Transpose", "concat": "Concatenate", "stack": "Stack", "expand_dims": "ExpandDims", "squeeze": "Squeeze",
    "cast": "Cast", "clip_by_value": "Clip", "abs": "Absolute", "square": "Square", "sqrt": "Sqrt", "rsqrt": "Rsqrt", "exp": "Exp", "log": "Log",
    "neg": "Negative", "negative": "Negative", "reciprocal": "Reciprocal", "relu": "Relu", "relu6": "Relu6", "sigmoid": "Sigmoid", "tanh": "Tanh",
    "softplus": "Softplus", "softmax": "Softmax", "silu": "Silu", "swish": "Silu", "elu": "Elu", "selu": "Selu",
    "depth_to_space": "DepthToSpace", "space_to_depth": "SpaceToDepth", "getitem": "GetItem"}
ARGUMENTS = {"y": "x2", "b": "x2", "shape": "newshape", "perm": "axes", "clip_value_min": "x_min", "clip_value_max": "x_max"}
IDLE = ("name", "transpose_a", "transpose_b", "conjugate")      # None or False: of no effect


def entry_of(entry: dict[str, Any], node: Any) -> dict[str, Any]:
    """The entry of an operation in the form of Keras 3.

    Args:
        entry: that of Keras 2.
        node: turns a call to the form of Keras 3."""
    function = str(entry["config"].get("function"))
    name = function
    for home in HOMES:
        name = name.removeprefix(home)
    need(name in CLASSES, f"{entry['class_name']}: the function {shown(function)} of TensorFlow is not supported")
    kind, nodes = CLASSES[name], entry.get("inbound_nodes")
    return {"module": "keras.src.ops.numpy", "class_name": kind, "config": {"name": entry.get("name")}, "name": entry.get("name"),
            "inbound_nodes": [_call(kind, call, node) for call in nodes] if isinstance(nodes, list) else nodes}


def _call(kind: str, call: Any, node: Any) -> dict[str, Any]:
    first = call[0] if isinstance(call, list) and call else None
    if first == CONSTANT and len(call) == 4 and isinstance(call[3], dict):
        made = node([["", 0, 0, call[3]]])
        made["args"] = [call[2]]
    else:
        made = node(call)
    if not isinstance(made, dict) or not isinstance(made.get("kwargs"), dict):
        raise ConfigError(f"the spec calls an operation with {shown(call)}")
    more = {ARGUMENTS.get(key, key): value for key, value in made["kwargs"].items() if key not in IDLE or value}
    if kind == "GetItem":
        key = more.pop("slice_spec", None)
        return {"args": [*made["args"], [_part(part) for part in key] if isinstance(key, list) else _part(key)], "kwargs": more}
    return {"args": made["args"], "kwargs": more}


def _part(part: Any) -> Any:
    """A slice in the form of Keras 3."""
    return {"class_name": "__slice__", "config": part} if isinstance(part, dict) and "class_name" not in part else part
