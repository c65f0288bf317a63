"""Searches for hyperparameters: spaces of values, the configurations drawn from them, and strategies.

A strategy is a pure function of the results so far: it says which configurations train in the next rung, and how long."""
import inspect
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mrdl import seeds
from mrdl.config import need, shown

GRAMMAR = """\
VALUES           are
a,b,c            these: numbers, true, false, none, or words
1..8             whole numbers from 1 to 8
0.1..0.5         numbers in this range
log:1e-4..1e-1   numbers in this range, whose logarithms are evenly spread"""

STRATEGIES = {"grid": "every combination of the values",
              "random": "configurations drawn at random",
              "halving": "the same, but in rungs: the best of each train on, longer (successive halving)",
              "hyperband": "several halvings, of many configurations that begin with little training and of few that begin with more"}
DRAWN = 20              # configurations, where the user does not say how many
HALVED = 27             # and of halving
DIGITS = 4              # of drawn numbers, so that tables are readable, and a value can be typed
TRIES = 100             # draws for each configuration wanted, as some come twice in a small space
NUMBER = r"[-+]?[0-9.]+(?:e[-+]?[0-9]+)?"
WORDS = {"true": True, "false": False, "none": None}

Value = bool | int | float | str | None
Values = dict[str, Value]
Costs = Mapping[int, float | None]      # of configurations, by their numbers: less is better; None: it has failed


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included."""
    low: float
    high: float
    log: bool
    whole: bool

    def drawn(self, share: float) -> float:
        """The number that lies at this share of the range."""
        if self.log:
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        elif self.whole:
            value = math.floor(self.low + share * (self.high - self.low + 1))
        else:
            value = self.low + share * (self.high - self.low)
        value = round(value) if self.whole else float(f"{value:.{DIGITS}g}")
        return min(max(value, self.low), self.high)


Space = dict[str, tuple[Value, ...] | Range]


def space(given: Mapping[str, Any]) -> Space:
    """The values that each hyperparameter may have, from texts (see GRAMMAR) or sequences of values; ConfigError if one is
    neither."""
    need(bool(given), "a search needs values to try: --set NAME=VALUES (in Python: space)")
    return {name: _values(name, values) for name, values in given.items()}


def _values(name: str, given: Any) -> tuple[Value, ...] | Range:
    if isinstance(given, str):
        text = given.strip()
        if found := re.fullmatch(rf"(log:)?({NUMBER})\.\.({NUMBER})", text):
            return _range(name, text, found[1] is not None, *map(_value, found.groups()[1:]))
        values = tuple(_value(part.strip()) for part in text.split(","))
    else:
        need(isinstance(given, Sequence), f"{name}: {shown(given)} must be a list of values, or a text such as '1..8'")
        values = tuple(given)
    need(all(type(value) in (bool, int, float, str, type(None)) and value != "" for value in values),
         f"{name}={shown(given)}: values must be numbers, words, true, false or none; the forms are\n{GRAMMAR}")
    need(len(values) > 0 and len(set(map(repr, values))) == len(values), f"{name}={shown(given)}: has no value, or one twice")
    return values


def _value(text: str) -> Value:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _range(name: str, text: str, log: bool, low: Value, high: Value) -> Range:
    need(isinstance(low, int | float) and isinstance(high, int | float) and math.isfinite(low) and math.isfinite(high) and low < high
         and not (log and low <= 0), f"{name}={text}: a range goes from a number to a larger one, log: from above 0")
    return Range(low, high, log, isinstance(low, int) and isinstance(high, int))


def grid(values: Space) -> list[Values]:
    """Every combination; ConfigError if a range has endlessly many numbers."""
    choices = {}
    for name, own in values.items():
        need(not isinstance(own, Range) or own.whole and not own.log, f"{name}: a grid needs single values, as in {name}=1,2,4; or take --strategy random")
        choices[name] = range(own.low, own.high + 1) if isinstance(own, Range) else own
    return [dict(zip(choices, combination)) for combination in itertools.product(*choices.values())]


def drawn(values: Space, count: int, seed: int) -> list[Values]:
    """So many different configurations, drawn at random; all of them, where the space has no more."""
    found: dict[str, Values] = {}
    for number in range(TRIES * count):
        own = {name: _drawn(of, seeds.generator(seed, "search", number, name).random()) for name, of in values.items()}
        found.setdefault(repr(own), own)
        if len(found) == count:
            break
    return list(found.values())


def _drawn(of: tuple[Value, ...] | Range, share: float) -> Value:
    return of.drawn(share) if isinstance(of, Range) else of[int(share * len(of))]


class Bracket(NamedTuple):
    """Configurations that compete: those that train in its rung i do so until they have had `budgets[i]` epochs (or rounds) in all."""
    members: range
    budgets: tuple[int | None, ...]     # None: until the run's own rules end it


def brackets(strategy: str, count: int | None, factor: int, most: int | None) -> list[Bracket]:
    """The brackets of a strategy.

    `count`: configurations; hyperband says itself how many. `factor`: of how many configurations one trains on, and how much
    longer. `most`: epochs (or rounds) of those that train longest; None: as many as let the first rung be of one."""
    if strategy in ("grid", "random"):
        return [Bracket(range(1, count + 1), (most,))]
    if strategy == "halving":
        rungs = _power(count, factor)
        if most is not None:
            rungs = min(rungs, _power(most, factor))
        return [Bracket(range(1, count + 1), _budgets(factor ** rungs if most is None else most, factor, rungs))]
    most = factor ** 3 if most is None else most
    top, made, begin = _power(most, factor), [], 1
    for rungs in range(top, -1, -1):
        n = -(-(top + 1) * factor ** rungs // (rungs + 1))
        made.append(Bracket(range(begin, begin + n), _budgets(most, factor, rungs)))
        begin += n
    return made


def _budgets(most: int, factor: int, rungs: int) -> tuple[int, ...]:
    return tuple(most // factor ** i for i in range(rungs, -1, -1))


def _power(count: int, factor: int) -> int:
    """The largest n for which factor ** n is at most `count`."""
    return next(n for n in itertools.count() if factor ** (n + 1) > count)


def survivors(bracket: Bracket, factor: int, costs: Sequence[Costs]) -> list[int]:
    """The configurations of a bracket that train on after so many rungs; best first, of equals the one with the lower number."""
    alive = list(bracket.members)
    for rung, found in enumerate(costs, 1):
        alive = sorted((number for number in alive if found.get(number) is not None), key=lambda number: (found[number], number))
        alive = alive[:max(1, len(bracket.members) // factor ** rung)]
    return alive


def next_rung(made: list[Bracket], factor: int, costs: Sequence[Costs]) -> dict[int, int | None]:
    """Who trains in the next rung, and until it has had how many epochs (or rounds) in all. Empty: the search has ended.

    `costs`: one entry for each rung that is done, with those of all that trained in it."""
    rung = len(costs)
    return {number: bracket.budgets[rung] for bracket in made if rung < len(bracket.budgets)
            for number in sorted(survivors(bracket, factor, costs))}


def cost(value: Any, rising: bool) -> float | None:
    """What makes metrics comparable: less is better; None: the value is no number, or not finite."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return -value if rising else value


def named(function: Callable, names: Sequence[str], others: Sequence[str]) -> tuple[list[str], list[str]]:
    """Which of the names are parameters of the function that makes the model, and which are `others`: options of training.
    ConfigError if one is neither."""
    parameters = inspect.signature(function).parameters.values()
    own = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
    of_model = [name for name in names if name in own or anything and name not in others]
    odd = [name for name in names if name not in of_model and name not in others]
    need(not odd, f"{', '.join(odd)}: no hyperparameter; the model's are {', '.join(own) or 'none'} (the parameters of the function `model`), "
         f"those of training {', '.join(others)}")
    return of_model, [name for name in names if name not in of_model]
