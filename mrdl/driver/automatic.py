"""outer="auto": the outer updater that suits the inner one and the number of rounds that a run may have."""
import math
from typing import Any

from mrdl import frequency
from mrdl.config import serialize
from mrdl.data.dataset import Dataset
from mrdl.driver import schedule
from mrdl.driver.options import Options
from mrdl.models.model import Model
from mrdl.optimizers import SGD
from mrdl.outer import AUTO, automatic, updater
from mrdl.printing import counted
from mrdl.runs import stopping


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
        inner, rounds = model.optimizer, rounds_to_come(options, data)
        outer = serialize(automatic(not isinstance(inner, SGD), rounds, options.workers))
        why = f"for {type(inner).__name__} in {counted(options.workers, 'worker')} and at most {counted(rounds, 'round')}"
    return outer, f"outer auto: {updater(outer) or 'mean'}, {why}"


def rounds_to_come(options: Options, data: Dataset) -> int:
    """The most rounds that the rules allow; where they name no number of rounds or epochs, the epochs of a run without rules."""
    shards, rule = data.train(), frequency.rule(options.averaging_frequency)
    length = rule if rule is None or isinstance(rule, int) else rule.next([{"round": 0, "progress": 0.0}], 0.0)
    each = math.inf if length is None else length * options.batch_size
    epoch = sum(max(1, math.ceil(max(shard.n for shard in group) / each))
                for group in schedule.groups(shards, options.workers, options.seed, 0))
    ends = [rule for rules in (options.until, stopping.DEFAULT) if rules for rule in stopping.parse(rules)
            if isinstance(rule, stopping.Epochs | stopping.Rounds)]
    named = ends[:-1] or ends                   # the last is the default
    return min(rule.n * (epoch if isinstance(rule, stopping.Epochs) else 1) for rule in named)
