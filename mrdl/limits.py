"""How much memory a model takes, estimated before any is taken; above a limit it is refused in one line."""
import math
import os
import re
from contextlib import suppress
from pathlib import Path

from mrdl.config import need
from mrdl.kernels import pad

SHARE = 0.75                    # of the memory there is, as far as nobody says otherwise
TRAINING = 3                    # of each activation: its value and gradient, and rows of one of them
STATE = 80                      # bytes of each number in a metric's state: a minibatch's, the sum, and as a record holds it
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
CONTAINER = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")     # where Linux says so
most: int | None = None         # bytes that a model may take; None: SHARE of what there is


def size(text: str) -> int:
    """Bytes: "8G" -> 8 * 2^30; ConfigError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]?)i?b?", text.strip().lower())
    count = float(found[1]) * UNITS[found[2]] if found else 0
    need(0 < count < math.inf, f"{text}: must be an amount of memory, as 8G or 500M")
    return int(count)


def shown(count: float) -> str:
    """An amount of memory, for people."""
    unit = max((u for u, one in UNITS.items() if count >= one), key=UNITS.get, default="")
    return f"{count / UNITS[unit]:.3g} {unit.upper()}B"


def limit() -> int:
    """Bytes that a model may take."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in CONTAINER:
        with suppress(OSError, ValueError):     # "max" where the container has no limit
            there = min(there, int(Path(path).read_text()))
    return most or int(SHARE * there)


def features(model) -> int:
    """Values of an example that a model at work holds."""
    return math.prod(model.input_shape) + sum(math.prod(step.output) + step.layer.scratch(step.shapes[0])
                                              for step in model.stack() if step.layer.operation)


def needed(model, batch: int, training: bool = False) -> int:
    """Bytes of a model at work on `batch` examples, without the rows themselves."""
    values = model.count_params() * (2 + model.optimizer.slots if training else 1)      # and the gradient
    heads = model.heads() if model.loss is not None else []
    states = sum(metric.size((head.shape or (1,))[-1]) for head in heads for metric in head.metrics.values())
    return (values + features(model) * pad(batch) * (TRAINING if training else 1)) * model.dtype.itemsize + STATE * states


def check(model, batch: int, training: bool = False) -> None:
    """ConfigError where the model would take more than the limit."""
    found = needed(model, batch, training)
    allow(found, f"{'training' if training else 'the outputs of'} the model with {batch} examples at once")


def allow(count: int, what: str) -> None:
    """ConfigError where so many bytes are more than the limit."""
    need(count <= limit(), f"{what} would take about {shown(count)} of memory, more than the limit of {shown(limit())}; make the "
         "model or the batch smaller, or give a larger --max-memory (mrdl.limits.most)")
