"""When to stop: rules that are functions of the history, and the grammar of `--until`."""
import math
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from mrdl.config import shown, typed
from mrdl.printing import counted

History = list[dict[str, Any]]          # entry r: what is known about the state after round r

GRAMMAR = """\
rule                          stops when
rounds N                      N rounds are done
epochs N                      every example was used N times
time 90s | 30m | 2h           the run has trained that long; time between stop and resume does not count
METRIC >= X,  METRIC <= X     METRIC has reached X (val_accuracy >= 0.97)
METRIC patience N [delta D]   METRIC has not improved by more than the share D (0.001) in the last
                              N rounds that computed it; the best state becomes the model
change < X                    a round changed the weights by less than X times their norm
RULE, RULE                    any of the rules holds
METRIC is loss or a metric of the model; with val_ before it, it is computed on held-out data"""


class RuleError(ValueError):
    """The text is not a rule."""


@dataclass(frozen=True)
class Rule:
    @property
    def watched(self) -> str:
        """The metric that the rule looks at, or ""."""
        return getattr(self, "metric", "")

    @property
    def scored(self) -> bool:
        """True if the rule needs the state's validation score."""
        return self.watched.startswith("val_")

    def reason(self, history: History, r: int) -> str | None:
        """The reason to stop after round r, or None."""
        raise RuleError(f"{type(self).__name__} stops nothing")

    def rounds_left(self, history: History, r: int) -> float:
        """An upper bound on the remaining rounds, to estimate the time left."""
        return math.inf

    def seconds_left(self, history: History, r: int) -> float:
        """An upper bound on the remaining seconds."""
        return math.inf


@dataclass(frozen=True)
class Rounds(Rule):
    n: int

    def reason(self, history, r):
        return f"{counted(self.n, 'round')} done" if r >= self.n else None

    def rounds_left(self, history, r):
        return self.n - r


@dataclass(frozen=True)
class Epochs(Rule):
    n: int

    def reason(self, history, r):
        return f"{counted(self.n, 'epoch')} done" if history[r]["epochs"] >= self.n else None

    def rounds_left(self, history, r):
        done, part = history[r]["epochs"], history[r]["progress"]
        if not done:
            return math.ceil((self.n - part) * r / part) if part else math.inf
        last = next(i for i in range(r, 0, -1) if history[i - 1]["epochs"] < done)
        return max(0, math.ceil((self.n - done) * last / done) - (r - last))


@dataclass(frozen=True)
class Time(Rule):
    seconds: float

    def reason(self, history, r):
        spent = history[r]["elapsed"]
        return f"{spent:.0f} s spent" if spent >= self.seconds else None

    def seconds_left(self, history, r):
        return max(0.0, self.seconds - history[r]["elapsed"])


@dataclass(frozen=True)
class Target(Rule):
    metric: str
    at_least: bool
    value: float

    def reason(self, history, r):
        got = history[r].get(self.metric)
        if got is None or math.isnan(got):
            return None
        there = got >= self.value if self.at_least else got <= self.value
        return f"{self.metric} {got:.4g} reached {self.value:g}" if there else None


@dataclass(frozen=True)
class Patience(Rule):
    metric: str
    n: int
    delta: float = 0.001
    rising: bool = False                # True: higher is better

    def reason(self, history, r):
        if history[r].get(self.metric) is None:
            return None
        best, waited = math.inf, 0
        for entry in history[:r + 1]:
            cost = self.cost(entry)
            if cost is None:
                continue
            waited += 1
            if cost < best - self.delta * (abs(best) if math.isfinite(best) else 0):
                best, waited = cost, 0
        return (f"{self.metric} no better for {self.n} scored rounds" if waited >= self.n else None)

    def cost(self, entry: dict[str, Any]) -> float | None:
        """The metric, with its sign changed if higher is better; NaN counts as worst; None if it was not computed."""
        value = entry.get(self.metric)
        if value is None:
            return None
        return math.inf if math.isnan(value) else -value if self.rising else value

    def best(self, history: History, last: int, gone: Collection[int] = ()) -> int:
        """The round up to `last` with the best metric; of equal ones, the first; `last` if the metric was never computed.
        Rounds in `gone` are left out."""
        found = [(cost, r) for r, entry in enumerate(history[:last + 1])
                 if (cost := self.cost(entry)) is not None and r not in gone]
        return min(found)[1] if found else last


@dataclass(frozen=True)
class Change(Rule):
    limit: float

    def reason(self, history, r):
        change = history[r].get("change")
        return (f"the last round changed the weights by {change:.2g} of their norm"
                if change is not None and change < self.limit else None)


UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
NUMBER = r"([-+]?[0-9.]+(?:e[-+]?[0-9]+)?)"


def _count(text: str) -> int:
    return typed(int(text), int, text)


def _number(text: str | float) -> float:
    return typed(float(text), float, str(text))


FORMS = [
    (r"rounds ([0-9]+)", lambda n: Rounds(_count(n))),
    (r"epochs ([0-9]+)", lambda n: Epochs(_count(n))),
    (r"time ([0-9.]+)([smhd])", lambda n, unit: Time(_number(n) * UNITS[unit])),
    (rf"change < {NUMBER}", lambda x: Change(_number(x))),
    (r"(\w+) patience ([0-9]+)(?: delta ([0-9.e+-]+))?",
     lambda metric, n, delta: Patience(metric, _count(n), _number(delta or 0.001))),
    (rf"(\w+) (>=|<=) {NUMBER}", lambda metric, op, x: Target(metric, op == ">=", _number(x))),
]


def parse(text: str, rising: Collection[str] = ()) -> list[Rule]:
    """Parses rules such as "val_loss patience 5, epochs 20". For metrics in `rising`, higher is better.

    RuleError says what is wrong."""
    rules = []
    for part in re.split(r",|\bor\b", text):
        part = " ".join(part.split())
        for form, make in FORMS:
            found = re.fullmatch(form, part)
            if found:
                try:
                    rule = make(*found.groups())
                except ValueError:
                    raise RuleError(f"--until {shown(part)}: not a number, or too large") from None
                if 0 in (getattr(rule, "n", 1), getattr(rule, "seconds", 1)):
                    raise RuleError(f"--until {shown(part)}: must be more than 0")
                rules.append(rule)
                break
        else:
            raise RuleError(f"--until {shown(part)} is no rule; the rules are\n{GRAMMAR}")
    return [replace(rule, rising=rule.metric.removeprefix("val_") in rising)
            if isinstance(rule, Patience) else rule for rule in rules]


def check(rules: list[Rule], metrics: dict[str, Any], validated: bool) -> None:
    """Raises RuleError if a rule needs a metric that the model does not have, or held-out data that the run does not have."""
    single = sorted(["loss", *(name for name, metric in metrics.items() if not metric.vector)])
    choices = ", ".join([*single, *("val_" + name for name in single if validated)])
    hint = "held-out data: prepare with --hold-out 0.1, or give --validation DATA"
    for rule in filter(lambda rule: rule.watched, rules):
        name = rule.watched.removeprefix("val_")
        if name not in single:
            what = f"{rule.watched} is more than one number" if name in metrics else f"there is no metric {rule.watched}"
            raise RuleError(f"--until: {what}; rules can take {choices}" + ("" if validated else f", and val_... with {hint}"))
        if rule.scored and not validated:
            raise RuleError(f"--until: {rule.watched} needs {hint}")


DEFAULT = "val_loss patience 5, epochs 100"


def default(validated: bool) -> list[Rule]:
    """The rules without --until: DEFAULT; without held-out data, the same with the training loss."""
    return parse(DEFAULT if validated else DEFAULT.removeprefix("val_"))
