"""Estimates a model's memory before any is allocated; refuses a model above a limit with a one-line error."""
import math
import os
import re
import resource
from contextlib import suppress
from pathlib import Path

from mrdl.config import need
from mrdl.kernels import pad

SHARE = 0.75                    # the default limit, as a share of this machine's memory
TRAINING = 3                    # arrays per activation: its value, its gradient, and a batch-major copy of one of them
STATE = 80                      # bytes for each number in a metric's state: for the minibatch, for the sum, and in a record
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
CONTAINER = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")     # files with a container's limit
most: int | None = None         # bytes that a model may use; None: SHARE of this machine's memory


def size(text: str) -> int:
    """Parses a size: "8G" -> 8 * 2^30 bytes; ConfigError if it is not one."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]?)i?b?", text.strip().lower())
    count = float(found[1]) * UNITS[found[2]] if found else 0
    need(0 < count < math.inf, f"{text}: must be a size of memory, such as 8G or 500M")
    return int(count)


def shown(count: float) -> str:
    """A size of memory as text, such as "1.5 GB"."""
    unit = max((u for u, one in UNITS.items() if count >= one), key=UNITS.get, default="")
    return f"{count / UNITS[unit]:.3g} {unit.upper()}B"


def limit() -> int:
    """The bytes that a model may use."""
    return most or int(SHARE * machine())


def machine() -> int:
    """The bytes of this machine's memory, or of the container that this process is in."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in CONTAINER:
        with suppress(OSError, ValueError):     # the file has "max" if the container has no limit
            there = min(there, int(Path(path).read_text()))
    return there


def task() -> int:
    """The bytes that this process may use: by the machine, by YARN's container for a mapper, and by ulimit -v."""
    container = int(os.environ.get("mapreduce_map_memory_mb", "0")) << 20
    spaces, _ = resource.getrlimit(resource.RLIMIT_AS)
    return min(bytes for bytes in (machine(), container, spaces) if bytes > 0)      # below 0: there is no limit


def features(model) -> int:
    """How many values a model keeps for each example."""
    return (not model.sparse) * math.prod(model.input_shape) + sum(math.prod(step.output) + step.layer.scratch(step.shapes[0])
                                              for step in model.stack() if step.layer.operation)


def needed(model, batch: int, training: bool = False) -> int:
    """The bytes that a model needs for `batch` examples, without the examples themselves."""
    values = model.count_params() * (2 + model.optimizer.vectors if training else 1)      # weights, gradient, slots
    values += model.sparse * math.prod(model.input_shape)       # which features are there (SparseTensor.where)
    heads = model.heads() if model.loss is not None else []
    states = sum(metric.size((head.shape or (1,))[-1]) for head in heads for metric in head.metrics.values())
    return (values + features(model) * pad(batch) * (TRAINING if training else 1)) * model.dtype.itemsize + STATE * states


def check(model, batch: int, training: bool = False) -> None:
    """Raises ConfigError if the model would need more than the limit."""
    found = needed(model, batch, training)
    allow(found, f"{'training' if training else 'the outputs of'} the model with {batch} examples at once")


def allow(count: int, what: str) -> None:
    """Raises ConfigError if `count` bytes are more than the limit."""
    need(count <= limit(), f"{what} would take about {shown(count)} of memory, more than the limit of {shown(limit())}; make the "
         "model or the batch smaller, or give a larger --max-memory (mrdl.limits.most)")
