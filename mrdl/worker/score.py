"""A mapper scores whole shards, describes what reaches layers, or predicts."""
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from mrdl import metrics
from mrdl.data.blocks import Block, BlockError
from mrdl.data.reference import Changed
from mrdl.data.windows import Arrays, windows
from mrdl.models.answers import DIGITS
from mrdl.models.saving import model_from_json
from mrdl.report import advice
from mrdl.report.assessed import Assessed
from mrdl.rounds.partial import RECORD, Partial
from mrdl.rounds.plan import Plan
from mrdl.rounds.record import Described, Scored, facts
from mrdl.rounds.state import State, profile
from mrdl.training import moments
from mrdl.training.layerwise import Layerwise
from mrdl.training.scoring import Scorer
from mrdl.worker.reading import Reading, whole


def score(blocks: Iterator[Block], shard: str, weights: np.ndarray | Layerwise, asked: Plan) -> tuple[str, Partial]:
    began = time.perf_counter()
    model, targets, n = model_from_json(asked.spec), {}, 0
    assessed = asked.report and Assessed.of(asked.report)
    scorer = Scorer(model, weights, seen=assessed and assessed.add)
    for block in blocks:
        scorer.add(arrays := block.arrays())
        metrics.add(targets, advice.targets(model, arrays))
        n += block.n
    return RECORD, Partial(0, n, facts(Scored(shard, n, metrics.plain(scorer.sums), metrics.plain(targets), profile(),
                                              {"score": time.perf_counter() - began}, report=assessed and assessed.dump())))


def describe(blocks: Iterator[Block], shard: str, weights: np.ndarray | Layerwise, asked: Plan) -> tuple[str, Partial]:
    n = 0

    def counted() -> Iterator[tuple[int, Arrays | None]]:
        nonlocal n
        for rows, arrays in windows(blocks, range(1 << 62)):
            n += rows
            yield rows, arrays
    found = moments.pooled(model_from_json(asked.spec), weights, asked.describe, asked.batch_size, counted())
    return RECORD, Partial(0, n, facts(Described(
        shard, n, [[m.n, *(array.tolist() for array in m[1:])] for m in found], profile())))


def predictions(lines: Iterable[bytes], state: str, plan: str, probabilities: bool = False) -> Iterator[bytes]:
    """A CSV line for each example: its targets if there are any, the predicted class if the model classifies, and the
    outputs. If the model classifies each step or pixel: the likeliest class of each, then the probability of each, or
    with `probabilities` those of all classes."""
    reading = Reading(iter(lines))
    try:
        yield from _predicted(reading, State.weights_of(state), Plan.parse(Path(plan).read_bytes()), probabilities)
    except Changed:
        raise
    except BlockError as error:
        raise BlockError(f"{reading.where()}: {error}; prepare the dataset again") from None


def _predicted(reading: Reading, weights: np.ndarray | Layerwise, asked: Plan, probabilities: bool) -> Iterator[bytes]:
    model = model_from_json(asked.spec)
    model.weights, digits = weights, DIGITS[model.dtype.name]
    for block in whole(reading, asked.seals):
        arrays = block.arrays()
        found = model.predict(arrays["x"])
        columns = [arrays["y"].reshape(block.n, -1)] if "y" in arrays else []
        if model.classifies_places and not probabilities:
            columns.append(found.argmax(-1).reshape(block.n, -1))
            found = found.max(-1)
        outputs = np.concatenate([y.reshape(block.n, -1) for y in (found if isinstance(found, list) else [found])], 1)
        if model.classifies:
            columns.append(outputs.argmax(1)[:, None])
        for row in zip(*(c.tolist() for c in columns), outputs.tolist()):
            *known, found = row
            yield ",".join([_shown(value) for part in known for value in part] + [_shown(value, digits) for value in found]).encode()


def _shown(value: float, digits: int = 8) -> str:
    """A number as CSV text. A whole number keeps all its digits, because it may be an id."""
    whole = isinstance(value, int) or value.is_integer() and abs(value) < 2**53
    return str(int(value)) if whole else format(value, f".{digits}g")
