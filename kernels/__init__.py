"""The kernels of layers, in the best build that this CPU can run: `typed(dtype)` has them all by name.

Each .pyx file is built once per CPU level; MRDL_CPU_LEVEL=v3 selects a level other than the best. (A build with
MRDL_LEVELS=native has only one level, that of the CPU it was built on.)
"""
import importlib
import math
import os
import sys
from functools import cache
from glob import glob
from importlib.machinery import EXTENSION_SUFFIXES
from types import SimpleNamespace

try:                    # before NumPy, whose error would say less
    from mrdl.kernels.cpu import levels
except ModuleNotFoundError:
    _found = sorted(name.split(".")[-2] for name in glob(os.path.join(__path__[0], "cpu.*.so")))
    raise ImportError(
        f"mrdl's kernels are not built for {sys.executable} ({sys.implementation.cache_tag}, "
        f"{os.uname().machine}), found: {', '.join(_found) or 'none'}") from None
import numpy as np

# file -> its kernels; each has a NumPy twin with the same name and arguments in kernels/reference
TABLE = {
    "dense": ["dense_forward", "dense_backward", "dense_gradient", "transpose",
              "transpose_steps", "transpose_columns", "gather"],
    "sparse": ["used_features", "used_forward", "pack_used", "used_gradient"],
    "csr": ["csr_gather", "csr_distinct", "csr_take", "csr_put", "csr_forward", "csr_gradient",
            "csr_descend"],
    "activations": ["activation_forward", "activation_backward", "softmax_forward",
                    "softmax_backward", "prelu_forward", "prelu_backward", "prelu_gradient"],
    "noise": ["multiply", "dropout_mask", "normal_noise"],
    "losses": ["sparse_categorical_crossentropy", "categorical_crossentropy",
               "binary_crossentropy", "mean_loss", "row_loss"],
    "optimizers": ["update", "sum_squares", "regularize"],
    "conv": ["conv_forward", "conv_backward", "conv_transpose_forward", "conv_gradient", "channel_sums"],
    "winograd": ["to_tiles", "from_tiles"],
    "pooling": ["max_pool_forward", "max_pool_backward", "average_pool_forward",
                "average_pool_backward", "take_rows", "add_rows"],
    "normalization": ["channel_moments", "channel_affine", "batch_norm_gradient", "batch_norm_backward",
                      "layer_norm_forward", "layer_norm_backward"],
    "recurrent": ["simple_rnn_forward", "simple_rnn_backward", "lstm_forward", "lstm_backward", "peephole_gradient",
                  "gru_forward", "gru_backward", "ids_forward", "ids_gradient"],
    "embedding": ["embedding_forward", "embedding_gradient"],
    "merge": ["accumulate", "mean", "means"],
    "flush": ["flush"],
}
LANES = 16      # activations are [feature][N] with N a multiple of this, whatever the CPU


def pad(n: int) -> int:
    """n rounded up to a multiple of LANES."""
    return -(-n // LANES) * LANES


def built() -> list[str]:
    """The levels that have been built and that this CPU can run, best first."""
    here = levels() if os.uname().machine in ("x86_64", "AMD64") else ["plain"]
    return [level for level in here
            if any(os.path.exists(os.path.join(__path__[0], level, "merge" + suffix)) for suffix in EXTENSION_SUFFIXES)]


def _pick() -> str:
    asked, here = os.environ.get("MRDL_CPU_LEVEL"), built()
    if not here:
        raise ImportError(f"mrdl's kernels were built with MRDL_LEVELS=native on another CPU; this CPU can run "
                          f"{', '.join(levels())}: build them again, without MRDL_LEVELS")
    if asked and asked not in here:
        raise ImportError(f"MRDL_CPU_LEVEL={asked}: this CPU can run only {', '.join(here)}")
    return asked or here[0]


LEVEL = _pick()
#: whether multiply-adds are fused; with mrdl's version, this decides the bits (the numeric profile)
FMA = LEVEL != "v2"
#: the elementwise activations: name -> "x" or "y", from which activation_backward computes the slope
ACTIVATIONS = importlib.import_module(f"mrdl.kernels.{LEVEL}.activations").ACTIVATIONS


@cache
def typed(dtype, level: str = LEVEL) -> SimpleNamespace:
    """All kernels by name, for float32 or float64.

    Raises:
        ValueError: for another dtype; kernels exist for these two.
        ImportError: a kernel of TABLE is not built."""
    names = {"float32": "float", "float64": "double"}
    name = np.dtype(dtype).name
    if name not in names:
        raise ValueError(f"kernels are built for float32 and float64, not {name}")
    found = {}
    advice = "`make install` builds it (after a build with MRDL_LEVELS=native, `touch setup.py` first)"
    for file, kernels in TABLE.items():
        try:
            module = importlib.import_module(f"mrdl.kernels.{level}.{file}")
        except ModuleNotFoundError:
            raise ImportError(f"kernels/{file}.pyx is not built for {level}: {advice}") from None
        for kernel in kernels:
            function = getattr(module, kernel, None)        # `gather` also depends on what it reads
            if function is None:
                raise ImportError(f"kernels/{file}.pyx has no {kernel} as it is built for {level}: {advice}")
            found[kernel] = function.__signatures__.get(names[name], function)
    return SimpleNamespace(**found)


def zeros(shape: int | tuple[int, ...], dtype) -> np.ndarray:
    """Like np.zeros, but aligned to a cache line: vectors that cross cache lines make kernels a tenth slower."""
    dtype, line = np.dtype(dtype), 64
    size = math.prod(shape if isinstance(shape, tuple) else (shape,)) * dtype.itemsize
    raw = np.zeros(size + line, np.uint8)
    start = -raw.ctypes.data % line
    return raw[start:start + size].view(dtype).reshape(shape)


def addresses(*arrays: np.ndarray) -> np.ndarray:
    """The addresses of arrays, for kernels that prefetch what is read after them (`ahead`). The arrays must outlive the
    result."""
    return np.array([array.ctypes.data for array in arrays], np.uint64)
