"""How long rounds are, and which states are scored. Both follow from the options and from what commits hold, so that a run that
is resumed, or repeated, has the same rounds."""
import math
from collections.abc import Callable
from typing import Any

from mrdl import frequency
from mrdl.data.dataset import Dataset, Shard
from mrdl.driver import schedule
from mrdl.driver.options import Options
from mrdl.frequency import COST, NAME
from mrdl.rounds.plan import Plan
from mrdl.rounds.record import Record, Scored, Trained
from mrdl.rounds.state import State
from mrdl.runs.stopping import History

SCORING = 0.2                   # scoring may cost at most this share of training
FORWARD = 1 / 3                 # the cost of scoring an example, relative to training on it
WORK = ("read", "compute", "score")     # phases of a worker that rows cost, however many rounds they are used in


class Rhythm:
    """The lengths of one run's rounds, and its scorings."""

    def __init__(self, options: Options, batch_size: int, data: Dataset, validation: list[tuple[Dataset, Shard]]):
        self.options, self.batch_size, self.validation = options, batch_size, validation
        self.rule = frequency.rule(options.averaging_frequency)
        self.ruled = self.rule is not None and not isinstance(self.rule, int)
        shards = data.train()
        self.longest = math.ceil(max(s.n for s in shards) / batch_size)
        own = bool(data.raw) and any(other is data for other, _ in validation)
        self.held = sum(shard.n for shard in (data.shards if own else [s for _, s in validation]))     # splits are parsed whole
        group = schedule.groups(shards, options.workers, options.seed, 0)[0]
        self.trained = 0 if self.ruled else sum(s.n for s in shards) if options.straight else sum(schedule.share(s, 0, self.rule, batch_size) for s in group)

    def part(self, state: State, history: History, rate: float) -> tuple[int, int | None]:
        """Which minibatches of its shard each worker of the next round trains on: (the first, how many); None: all.

        `rate`: the learning rate at the round's begin."""
        if self.rule is None or state.round < (self.options.warm_start or 0):
            return 0, None
        if not self.ruled:
            return state.part * self.rule, self.rule
        done = history[len(history) - state.part:]          # this group's rounds so far
        return sum(entry[NAME] for entry in done), int(min(self.rule.next(history, rate), self.longest))

    def facts(self, asked: Plan, records: list[Record], lanes: Callable[[int], int], seconds: float | None) -> dict[str, Any]:
        """What a round's record says where a rule chose its length.

        `lanes`: how many of so many workers train at the same time; `seconds`: the time that the round took, None where it was
        tried more than once."""
        if not self.ruled or asked.count is None:
            return {}
        if not isinstance(self.rule, frequency.Auto) or seconds is None or not (at_once := lanes(len(asked.train))):
            return {NAME: asked.count}
        spent = {kind: [sum(r.seconds.get(phase, 0.0) for phase in WORK) for r in records if isinstance(r, kind)]
                 for kind in (Trained, Scored)}
        minibatches = max(math.ceil(r.n / asked.batch_size) for r in records if isinstance(r, Trained))
        beyond = seconds - _busy(spent[Trained] + spent[Scored], at_once)
        return {NAME: asked.count, COST: {"beyond": max(beyond, 0.0), "minibatch": _busy(spent[Trained], at_once) / minibatches}}

    def every(self, trained: int) -> int:
        """Rounds from one scoring to the next: the option, or a number with which scoring costs at most a fifth, where the newest
        round trained on so many examples."""
        return self.options.validation_freq or max(1, -(-int(self.held * FORWARD) // max(1, int((self.trained or trained) * SCORING))))

    def due(self, history: History, r: int) -> bool:
        """Is state `r` scored in the next round? (Where a rule chooses the lengths of rounds, the history must have it.)"""
        if not self.validation or not r or r < len(history) and any(name.startswith("val_") for name in history[r]):
            return False
        if not self.ruled or self.options.validation_freq:
            return r % self.every(self.trained) == 0
        step = self.held * FORWARD / SCORING                # examples from one scoring to the next, as rounds differ
        return history[r]["examples"] // step > history[r - 1].get("examples", 0) // step


def _busy(spent: list[float], lanes: int) -> float:
    """The seconds in which tasks that take so long each are done, `lanes` of them at the same time."""
    return max(max(spent), sum(spent) / lanes)
