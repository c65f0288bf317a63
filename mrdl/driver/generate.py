"""Generates text with a finished run's model, one token after another."""
import numpy as np

from mrdl import seeds
from mrdl.config import ConfigError, need, typed
from mrdl.data.tokenizer import Tokenizer
from mrdl.models.saving import load_model
from mrdl.runs.run import Run
from mrdl.training.time_step import TimeStep, sampled


def generate(run: str, prompt: str = "", length: int = 200, temperature: float = 1.0, seed: int = 0) -> str:
    """Continues a text with a model of characters or words.

    Args:
        run: the folder of a run that was trained on text, a path or an hdfs:// URL.
        prompt: what it goes on from. "": a new line, which is not returned.
        length: how many tokens to write, 1 or more.
        temperature: 1: tokens are drawn with the model's probabilities; below 1: likely tokens
            become more likely; above 1: less likely; 0: always the likeliest token.
        seed: of the random choices, from 0 to 2^63 - 1.

    Returns:
        The prompt and the tokens after it, as text.

    Raises:
        ConfigError: the run was not trained on text, gives no probabilities, or its vocabulary
            lacks what the prompt has; or an argument is out of its range."""
    prompt, length, temperature, seed = (typed(value, kind, name) for value, kind, name in (
        (prompt, str, "prompt"), (length, int, "length"), (temperature, float, "temperature"), (seed, int, "seed")))
    need(length >= 1, f"length={length} must be 1 or more")
    need(temperature >= 0, f"temperature={temperature:g} must be 0 or more")
    need(0 <= seed < 1 << 63, f"seed must be from 0 to 2^63 - 1, not {seed}")
    text = Run(run).options()["text"]
    need(text is not None, f"{run} was not trained on text: prepare its data with --format text")
    tokenizer, model = Tokenizer(**text), load_model(run, updater=False)
    loss = model.heads()[0].loss
    need(loss.activation == "softmax", f"{run}: its model gives no probabilities of tokens")
    unknown = sorted({token for token in tokenizer.split(prompt) if not tokenizer.encode(token).all()})
    if unknown:
        raise ConfigError(f"the prompt has {', '.join(map(repr, unknown[:5]))}, not in the vocabulary of {run}")
    given = [int(token) for token in tokenizer.encode(prompt)] or [int(tokenizer.encode("\n")[0]) or 1]
    step, rng = TimeStep(model), seeds.generator("generate", seed)
    for token in given:
        p = step(token)
    found: list[int] = []
    for _ in range(length):
        p[0] = 0                                    # never generate [UNK]
        # the model may have more outputs than the vocabulary
        found.append(sampled(p[:len(tokenizer.vocabulary)], temperature, rng))
        p = step(found[-1])
    more = tokenizer.decode(np.array([given[-1], *found])).removeprefix(tokenizer.decode(np.array(given[-1:])))
    spaced = tokenizer.unit == "word" and not prompt[-1:].strip()           # if so, no space before the first word
    return prompt + (more.removeprefix(" ") if spaced else more)
