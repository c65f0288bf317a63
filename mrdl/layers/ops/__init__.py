"""Functions of the outputs of layers, with Keras's names and places of arguments; and operators on them, x + 1 or x[:, 1:].

Each is one layer or a few; where Keras has a layer for it, it is this one. As in Keras, axis 0 is the batch, whose examples stay
apart, and no operation hands a mask on."""
from mrdl.layers.ops import axes, pointwise, shapes
from mrdl.layers.ops.pointwise import OF_ONE, add, divide, multiply, power, subtract

#: name -> function
OPS = OF_ONE | {name: getattr(module, name) for module, names in (
    (pointwise, "add subtract multiply divide power maximum minimum clip leaky_relu elu gelu hard_shrink soft_shrink squareplus"),
    (axes, "sum mean max min var std logsumexp softmax log_softmax norm normalize"),
    (shapes, "shape cast reshape transpose moveaxis swapaxes expand_dims squeeze concatenate stack split flip matmul get_item"),
    (shapes, "depth_to_space space_to_depth")) for name in names.split()}
OPS |= {other: OPS[name] for other, name in {
    "abs": "absolute", "true_divide": "divide", "swish": "silu", "hard_swish": "hard_silu"}.items()}

OPERATORS = {
    "__add__": add, "__radd__": lambda b, a: add(a, b), "__sub__": subtract, "__rsub__": lambda b, a: subtract(a, b),
    "__mul__": multiply, "__rmul__": lambda b, a: multiply(a, b), "__truediv__": divide, "__rtruediv__": lambda b, a: divide(a, b),
    "__pow__": power, "__rpow__": lambda b, a: power(a, b), "__neg__": OPS["negative"], "__abs__": OPS["abs"],
    "__matmul__": OPS["matmul"], "__getitem__": OPS["get_item"],
    "__iter__": None, "__array_ufunc__": None}      # it is no sequence, and NumPy's numbers leave the operators to it


def operable(*kinds: type) -> None:
    """Gives the operators to these classes."""
    for kind in kinds:
        for name, function in OPERATORS.items():
            setattr(kind, name, function)
