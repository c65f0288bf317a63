"""Runs a model of sequences one step at a time, and keeps its states."""
import numpy as np

from mrdl.config import ConfigError
from mrdl.training import sequences
from mrdl.training.network import Network
from mrdl.training.protocol import LayeredModel


class TimeStep:
    """A model that computes one step per call, with the states of the earlier steps (DL4J's rnnTimeStep)."""

    def __init__(self, model: LayeredModel):
        try:
            sequences.check(model, 1, None, None)
        except ConfigError as error:
            raise ConfigError(str(error).replace("tbptt", "generate")) from None
        self.net = Network(model.windowed(1), 1, model.weights)
        self.logits = model.output_activations() != ["softmax"]

    def __call__(self, x: int) -> np.ndarray:
        """Takes the next token, x; returns the probabilities [K] of the token that follows it."""
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
    """Draws a token with the probabilities p[K]^(1 / temperature), scaled to a sum of 1; temperature 0: the likeliest."""
    if temperature == 0:
        return int(p.argmax())
    # log(0) = -inf: a token with probability 0 is never drawn
    with np.errstate(divide="ignore", over="ignore"):
        logits = (np.log(p) - np.log(p.max())) / temperature
    return int((logits + rng.gumbel(size=len(p))).argmax())             # the Gumbel-max trick (Gumbel 1954)
