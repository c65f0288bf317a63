"""outer="auto": the outer updater that suits the inner one and the number of rounds that a run may have."""
import math
from typing import Any

from mrdl import frequency
from mrdl.config import serialize
from mrdl.data.dataset import Dataset
from mrdl.driver import schedule
from mrdl.driver.options import Options
from mrdl.models.model import Model
from mrdl.optimizers import SGD, Muon, Optimizer
from mrdl.outer import AUTO, Adagrad, Nesterov, OuterUpdater, updater
from mrdl.printing import counted
from mrdl.runs import stopping

FEW = 5                         # rounds below which the mean stays: nothing was measured there
SHORT = 8                       # minibatches of a short round
LARGE = 0.005                   # an adaptive updater's rate above which no rule was better than the mean
STEPS = 25                      # Adagrad's first step, in steps of an adaptive inner updater


def is_auto(outer: object) -> bool:
    """Whether the outer updater is to be chosen."""
    return isinstance(outer, str) and outer.strip().lower() == AUTO


def chosen(options: Options, model: Model, data: Dataset, known: dict[str, Any] | None) -> tuple[dict[str, Any] | None, str]:
    """The outer updater as JSON, and for the user, which one it is and why.

    Args:
        options: the run's.
        model: a compiled model.
        data: what it is trained on.
        known: the content of the run's run.json, if the run has begun: it keeps what was chosen then."""
    if known:
        outer, why = known["options"].get("outer"), "as the run was begun"
    elif options.cut:
        outer, why = None, "as fragments are trained"
    else:
        inner, rounds, length = model.optimizer, *rounds_to_come(options, data)
        outer = serialize(suitable(inner, options.workers, rounds, length))
        why = (f"for {type(inner).__name__} in {counted(options.workers, 'worker')} and at most {counted(rounds, 'round')} "
               f"of {int(length):,} minibatch{'es' * (length != 1)}")
    return outer, f"outer auto: {updater(outer) or 'mean'}, {why}"


def suitable(inner: Optimizer, workers: int, rounds: int, length: float) -> OuterUpdater | None:
    """What needed the fewest rounds in benchmarks/convergence.py (docs/averaging.md has its table); None: the mean.

    Args:
        inner: the workers' updater.
        workers: shards trained at a time.
        rounds: the most rounds of the run.
        length: minibatches of a worker in a round."""
    if workers == 1 or rounds < FEW:
        return None
    if isinstance(inner, SGD):
        return Nesterov(1.0, 0.9)
    rate = inner.learning_rate
    if isinstance(inner, Muon) or not isinstance(rate, float) or rate <= LARGE and length > SHORT:
        return Nesterov(1.0, 0.6)
    return Adagrad(STEPS * rate) if 0 < rate <= LARGE else None


def rounds_to_come(options: Options, data: Dataset) -> tuple[int, float]:
    """The most rounds that the rules allow, and the minibatches of a worker in the first of them. Where the rules name no number of
    rounds or epochs, the rounds are those of the epochs of a run without rules."""
    shards, rule = data.train(), frequency.rule(options.averaging_frequency)
    batches = [math.ceil(max(shard.n for shard in group) / options.batch_size)
               for group in schedule.groups(shards, options.workers, options.seed, 0)]
    length = rule if isinstance(rule, int) else math.inf if rule is None else rule.next([{"round": 0, "progress": 0.0}], 0.0)
    length = min(length, max(batches))
    epoch = sum(math.ceil(n / length) for n in batches)
    ends = [rule for rules in (options.until, stopping.DEFAULT) if rules for rule in stopping.parse(rules)
            if isinstance(rule, stopping.Epochs | stopping.Rounds)]
    named = ends[:-1] or ends                   # the last is the default
    return min(rule.n * (epoch if isinstance(rule, stopping.Epochs) else 1) for rule in named), length
