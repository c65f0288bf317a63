"""A model of sequences, one step at a time, with its states kept."""
import numpy as np

from mrdl.config import ConfigError
from mrdl.training import sequences
from mrdl.training.network import Network
from mrdl.training.protocol import LayeredModel


class TimeStep:
    """A model at work step by step, with the states of the steps before (DL4J's rnnTimeStep)."""

    def __init__(self, model: LayeredModel):
        try:
            sequences.check(model, 1, None, None)
        except ConfigError as error:
            raise ConfigError(str(error).replace("tbptt", "generate")) from None
        self.net = Network(model.windowed(1), 1, model.weights)
        self.logits = model.output_activations() != ["softmax"]

    def __call__(self, x: int) -> np.ndarray:
        """The probabilities [K] of what follows one more step, a token."""
        for operation in sequences.recurrent(self.net):
            operation.go_on(operation)
        self.net.read(np.array([[x]], np.int32), np.zeros(1, np.int64))
        self.net.forward()
        y = self.net.outputs[0][:, 0].astype("f8")
        if not self.logits:
            return y
        p = np.exp(y - y.max())
        return p / p.sum()


def sampled(p: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    """A token of probabilities p[K]^(1 / temperature), scaled to a sum of 1; the likeliest where that is 0."""
    if temperature == 0:
        return int(p.argmax())
    with np.errstate(divide="ignore", over="ignore"):                   # what has no probability never comes
        logits = (np.log(p) - np.log(p.max())) / temperature
    return int((logits + rng.gumbel(size=len(p))).argmax())             # Gumbel 1954
