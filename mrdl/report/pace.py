"""What is told of a run's rounds: which of them make a line, with whose numbers, and how long the others will take."""
import math
from collections import deque
from statistics import mean
from typing import Any

Facts = dict[str, Any]
LONG = 600.0                    # seconds after which any round makes a line
FEW = 10                        # rounds of an epoch that are told one by one
RECENT = 20                     # rounds whose pace counts


def few(n: int) -> bool:
    """Is it one of 1, 2, .. 10, 20, .. 100, 200, ..?"""
    return n % 10 ** (len(str(n)) - 1) == 0


class Pace:
    """Seconds a round, of recent ones that are like those to come.

    The first plain and the first resident round start things up, and are left out; rounds that score besides
    are counted by their share."""

    def __init__(self):
        self.resident: bool | None = None
        self.first = math.inf
        self.recent: dict[bool, deque[float]] = {}

    def add(self, facts: Facts) -> None:
        seconds, resident = facts["seconds"], "answer" in facts["seconds"]
        if resident == self.resident:
            self.recent[facts["scoring"]].append(seconds["round"])
            return
        self.resident = resident
        self.recent = {scoring: deque(maxlen=RECENT) for scoring in (False, True)}
        # where little was computed, what the next rounds cost beyond that is not known yet
        self.first = seconds["compute"] if seconds["compute"] > seconds["round"] / 2 else math.inf

    def round(self, every: int) -> float:
        """Of a round where each `every`th scores (0: none); infinite while that is not known."""
        means = {scoring: mean(recent) for scoring, recent in self.recent.items() if recent}
        if not means:
            return self.first
        share = 1 / every if every else 0.0
        return (1 - share) * means.get(False, means.get(True)) + share * means.get(True, means.get(False))


class Rounds:
    """Takes rounds and scores as they come; gives those that make a line, each with its own score.

    These are the first ten, then each tenth, hundredth and so on; where an epoch has more than ten rounds, so of its
    first epoch's rounds, then of the epochs. Besides, the last one, and one where there was none for ten minutes.
    Where not every round is scored, it is the next that is."""

    def __init__(self):
        self.pace = Pace()
        self.newest: Facts | None = None
        self.shown: Facts | None = None         # the newest whose score is known, or not to come
        self.score: Facts | None = None         # the newest one that was scored
        self.wanted, self.epochs, self.at = False, 0, -math.inf
        self.line: Facts | None = None          # the newest that made one

    def round(self, facts: Facts) -> Facts | None:
        """`due`: its score comes later; `left`, `limit`: rounds and seconds that the rules allow at most; `ends`: it is
        the last."""
        self.pace.add(facts)
        self.newest = {**facts, "seconds_left": min(facts["left"] * self.pace.round(facts["every"])
                                                    if facts["left"] and not facts["ends"] else 0.0, facts["limit"])}
        return None if facts["due"] else self._whole()

    def scored(self, r: int, score: dict[str, Any], ends: bool) -> Facts | None:
        """`ends`: no round comes after it."""
        if not self.newest or self.newest["round"] != r:        # another driver's round
            return None
        self.newest = self.score = {**self.newest, "score": score, "ends": ends}
        return self._whole()

    def last(self) -> Facts | None:
        """The newest round, where it has made no line yet; there is none after it."""
        if self.newest is self.line:
            return None
        self.newest = self.shown = self.line = {**self.newest, "ends": True}
        return self.line

    def _whole(self) -> Facts | None:
        facts = self.shown = self.newest
        long = facts["elapsed"] - self.at >= LONG
        if facts["epoch"] > 1 and facts["round"] > FEW * facts["progress"]:
            self.wanted |= facts["epochs"] > self.epochs and few(facts["epochs"])
        else:
            self.wanted |= few(facts["round"]) or facts["epochs"] > self.epochs == 0
        self.epochs = facts["epochs"]
        if not (self.wanted or long) or (facts["every"] and "score" not in facts and self.line):
            self.wanted |= long
            return None
        self.wanted, self.at, self.line = False, facts["elapsed"], facts
        return facts
