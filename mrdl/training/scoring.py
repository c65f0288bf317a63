"""Computes the loss and metrics of a model on arrays."""
from collections.abc import Callable

import numpy as np

from mrdl import metrics
from mrdl.data.windows import Arrays
from mrdl.training.layerwise import Layerwise
from mrdl.training.network import Network, at_once
from mrdl.training.protocol import LayeredModel


def score(net: Network, losses: list[tuple[float, int]], targets: list[np.ndarray], B: int, sums: metrics.Sums) -> None:
    """Adds each output's metrics over the first B columns to `sums`, and its loss if there are several outputs."""
    for output, t, loss in zip(net.heads, targets, losses):
        head = output.head
        if head.name:
            metrics.add(sums, {f"{head.name}_loss": loss})
        if head.metrics:
            y, t = output.rows(t, B)
            if y.shape[-1]:
                metrics.add(sums, {head.prefix + name: metric.state(y, t) for name, metric in head.metrics.items()})


class Scorer:
    """Sums the loss and metrics of fixed weights over examples, in their order.

    `seen`: called with the outputs and targets of each minibatch (Output.rows), of a model with one output."""

    def __init__(self, model: LayeredModel, weights: np.ndarray | Layerwise, batch_size: int = 256,
                 seen: Callable[[np.ndarray, np.ndarray], None] | None = None):
        self.batch_size = at_once(model.compiled(), batch_size)
        self.net = Network(model, self.batch_size, weights, model.heads())
        self.sums: metrics.Sums = {}
        self.seen = seen

    def losses(self, arrays: Arrays) -> np.ndarray:
        """The loss of each example, without weights, of a model with one output and one loss for each example."""
        x, y, (output,) = arrays["x"], arrays["y"], self.net.heads
        found = [np.empty(0)]
        for start in range(0, len(x), self.batch_size):
            index = np.arange(start, min(start + self.batch_size, len(x)))
            self.net.read(x, index)
            self.net.forward()
            t, = self.net.target(y, index)
            found.append(output.losses(t, len(index)))
        return np.concatenate(found)

    def add(self, arrays: Arrays) -> None:
        x, y, w, net = arrays["x"], arrays["y"], arrays.get("w"), self.net
        dtype = net.x.value.dtype
        for start in range(0, len(x), self.batch_size):
            index = np.arange(start, min(start + self.batch_size, len(x)))
            weight = np.ones(len(index), dtype) if w is None else w[index].astype(dtype)
            net.read(x, index)
            net.forward()
            t = net.target(y, index)
            loss, n, losses = net.compute(t, weight, 1.0)
            metrics.add(self.sums, {"loss": [loss, n]})
            score(net, losses, t, len(index), self.sums)
            if self.seen is not None:
                self.seen(*net.heads[0].rows(t[0], len(index)))
