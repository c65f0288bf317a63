"""Averaging frequencies: rules that say how many minibatches each worker trains on in the next round.

A rule is a function of what the run's commits hold about the rounds so far, and of the learning rate. So a run that is
resumed has the same rounds, and nothing is measured twice."""
import math
import numbers
import re
from dataclasses import dataclass, fields
from statistics import median
from typing import Any, ClassVar

from mrdl.config import Configured, described, lookup, need, shown

NAME = "averaging_frequency"    # of the option, and of the entry in a round's record that says what a rule chose
COST = "round_cost"             # the entry that says what a round cost beyond training, and what training on a minibatch cost
BEGIN = 16                      # auto: minibatches of the first rounds
SEEN = 5                        # auto: so many rounds of the same frequency are measured before it is changed

History = list[dict[str, Any]]  # entry r: what is known about the state after round r


@dataclass(frozen=True)
class Rule(Configured):
    """A rule for the averaging frequency."""
    keras_module: ClassVar[str] = "mrdl.frequency"

    def __post_init__(self):
        super().__post_init__()
        for f in fields(self):
            need(getattr(self, f.name) > 0, f"{NAME}: {self.title()}: {f.name} must be above 0")

    @classmethod
    def title(cls) -> str:
        """The rule's name."""
        return (cls.aliases or (cls.__name__.lower(),))[0]

    def __str__(self):
        return " ".join([self.title(), *(f"{f.name} {getattr(self, f.name)}" for f in fields(self))])

    def next(self, history: History, rate: float) -> float:
        """Minibatches of each worker in the next round; more than a shard has are a whole shard.

        Args:
            history: an entry for the first state and for each round; those of rounds that the rule chose have NAME.
            rate: the learning rate at the round's begin."""
        raise NotImplementedError           # each rule has its own


@dataclass(frozen=True)
class Auto(Rule):
    """As few minibatches, a power of 2, as keep what a round costs beyond training below a share of its time.

    Begins with 16. After five rounds of one frequency it takes their medians; it goes up where the share is too large, and
    down where a quarter would do.

    Args:
        target: the share, above 0 and below 1. 0.05, as in H2O (target_ratio_comm_to_comp)."""
    target: float = 0.05

    def __post_init__(self):
        super().__post_init__()
        need(self.target < 1, f"{NAME}: auto: target must be below 1")

    def next(self, history, rate):
        now, costs = history[-1].get(NAME, BEGIN), []
        for entry in reversed(history):
            if entry.get(NAME) != now or len(costs) == SEEN:
                break
            costs += [entry[COST]] if COST in entry else []
        if len(costs) < SEEN:
            return now
        beyond, each = (median(cost[key] for cost in costs) for key in ("beyond", "minibatch"))
        least = math.ceil(beyond * (1 - self.target) / (self.target * max(each, 1e-9)))
        wanted = 1 << max(least - 1, 0).bit_length()
        return wanted if wanted > now or 4 * wanted <= now else now


@dataclass(frozen=True)
class PostLocal(Rule):
    """1 at first, then `frequency` (post-local SGD: Lin et al. 2020).

    Args:
        after: the epochs that are averaged after every minibatch, above 0; the paper changes where the
            learning rate first falls.
        frequency: minibatches between two averagings after that, 1 or more."""
    aliases: ClassVar[tuple[str, ...]] = ("post-local",)
    after: float
    frequency: int = 16

    def next(self, history, rate):
        return 1 if history[-1]["progress"] < self.after else self.frequency


@dataclass(frozen=True)
class AdaComm(Rule):
    """ceil(frequency sqrt(loss / first loss)), anew once in `every` rounds; half of what it was where that is not less
    (Wang & Joshi 2019). So averaging is rare at first, and frequent in the end.

    Args:
        frequency: minibatches between two averagings at first, 1 or more.
        every: rounds between two changes, 1 or more; the paper's are of equal time."""
    frequency: int = 16
    every: int = 20

    def next(self, history, rate):
        first = next((r for r, entry in enumerate(history) if NAME in entry), len(history))
        done, now = len(history) - first, history[-1].get(NAME, self.frequency)
        if not done or done % self.every or history[first]["loss"] <= 0:
            return now
        found = math.ceil(self.frequency * math.sqrt(max(0.0, history[-1]["loss"] / history[first]["loss"])))
        return max(1, found if found < now else now // 2)


@dataclass(frozen=True)
class QSR(Rule):
    """max(base, floor((alpha / learning rate)^2)), the quadratic synchronization rule (Gu et al. 2024): averaging becomes
    rarer as the learning rate falls.

    Args:
        alpha: above 0; the learning rate at which f is 1. To be tuned: some times the largest rate.
        base: the least number of minibatches between two averagings, 1 or more."""
    alpha: float
    base: int = 4

    def next(self, history, rate):
        ratio = self.alpha / float(rate) if rate else math.inf
        return max(self.base, ratio * ratio)


class Given:
    """Frequencies that were chosen before: "4, 8 from 3, 32 from 9" has 4 minibatches in rounds 1 and 2.

    Args:
        text: the frequencies; each but the first with the round that it holds from."""

    def __init__(self, text: str):
        found = [re.fullmatch(r"\s*([1-9][0-9]{0,17})(?:\s+from\s+([1-9][0-9]{0,17}))?\s*", part) for part in text.split(",")]
        need(all(found) and all(part[2] for part in found[1:]), f"{NAME}: {shown(text)} is none; there are {GRAMMAR}")
        self.steps = [(int(part[2] or 1), int(part[1])) for part in found]
        starts = [start for start, _ in self.steps]
        need(starts == sorted(set(starts)) and starts[0] == 1, f"{NAME}: {shown(text)}: the first begins with round 1, and each with a "
             "later round than the one before it")

    def __str__(self):
        return ", ".join(f"{n} from {start}" if start > 1 else str(n) for start, n in self.steps)

    def next(self, history: History, rate: float) -> float:
        """See Rule."""
        return [n for start, n in self.steps if start <= len(history)][-1]


ALONE = {"auto": "target", "post-local": "after", "adacomm": "frequency", "qsr": "alpha"}       # for `described`
RULES = [Auto, PostLocal, AdaComm, QSR]
GRAMMAR = ("a number; auto, \"auto target 0.05\"; \"post-local after EPOCHS frequency 16\"; \"adacomm frequency 16 every 20\"; "
           "\"qsr alpha A base 4\"; \"4, 8 from 3\" with rounds from which numbers hold")


def rule(value: Any) -> int | Rule | Given | None:
    """What an averaging frequency is: a number, a rule of RULES, its text or its dict; None: once a shard.

    Raises:
        ConfigError: it is none of these, or a setting is out of its range."""
    if isinstance(value, Given) or (isinstance(value, numbers.Integral) and not isinstance(value, bool)):
        return value
    if isinstance(value, str):
        if re.fullmatch(r"\s*[-+]?[0-9]{1,18}\s*", value):
            return int(value)
        if re.match(r"\s*[0-9]", value):
            return Given(value)
        value = described(value, NAME, GRAMMAR, ALONE)
    return lookup(value, RULES, NAME.replace("_", " "))


def chosen(history: History) -> str:
    """What a rule has chosen in the rounds of a history, in words that `rule` takes; "" where none has."""
    steps, last = [], None
    for entry in history:
        if NAME in entry and entry[NAME] != last:
            last = entry[NAME]
            steps.append(f"{last} from {entry['round']}" if steps else str(last))
    return ", ".join(steps)
