"""Text that a finished run's model goes on with, one token after another."""
import numpy as np

from mrdl import seeds, truncated
from mrdl.config import ConfigError, need
from mrdl.model import Model
from mrdl.network import Network
from mrdl.run import Run
from mrdl.saving import load_model
from mrdl.tokenizer import Tokenizer


class TimeStep:
    """A model at work step by step, with the states of the steps before (DL4J's rnnTimeStep)."""

    def __init__(self, model: Model):
        truncated.check(model, 1, None, None)
        self.net = Network(truncated.windowed(model, 1), 1, model.weights)

    def __call__(self, x: int) -> np.ndarray:
        """The outputs [K] after one more step, a token."""
        for operation in truncated.recurrent(self.net):
            operation.go_on(operation)
        self.net.read(np.array([[x]], np.int32), np.zeros(1, np.int64))
        self.net.forward()
        return self.net.outputs[0][:, 0].astype("f8")


def sampled(p: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    """A token of probabilities p[K]^(1 / temperature), scaled to a sum of 1; the likeliest where that is 0."""
    if temperature == 0:
        return int(p.argmax())
    logits = np.log(np.maximum(p, 1e-300)) / temperature
    return int((logits + rng.gumbel(size=len(p))).argmax())             # Gumbel 1954


def generate(run: str, prompt: str = "", length: int = 200, temperature: float = 1.0, seed: int = 0) -> str:
    """`length` tokens after the prompt (without one, after a new line), drawn from what the model expects.

    temperature: below 1 the likelier ones come more often, 0 always the likeliest. ConfigError where the run was not
    trained on text, or the prompt has what its vocabulary lacks."""
    need(length >= 1, f"length={length} must be 1 or more")
    need(temperature >= 0, f"temperature={temperature:g} must be 0 or more")
    text = Run(run).options().get("text")
    need(text is not None, f"{run} was not trained on text: prepare its data with --format text")
    tokenizer, model = Tokenizer(**text), load_model(run)
    need(model.classifies or model.output_activations() == ["softmax"], f"{run}: its model gives no probabilities of tokens")
    given = tokenizer.encode(prompt or "\n")
    unknown = sorted({token for token in tokenizer.split(prompt) if not tokenizer.encode(token).all()})
    if unknown:
        raise ConfigError(f"the prompt has {', '.join(map(repr, unknown[:5]))}, which the text that {run} was trained on "
                          "has not")
    step, rng = TimeStep(model), seeds.generator("generate", seed)
    for token in given:
        p = step(int(token))
    found = []
    for _ in range(length):
        p[0] = 0                                    # what stands for unknown tokens says nothing
        found.append(sampled(p[:len(tokenizer.vocabulary)], temperature, rng))      # a model may have more outputs
        p = step(found[-1])
    return prompt + tokenizer.decode(np.array(found))
