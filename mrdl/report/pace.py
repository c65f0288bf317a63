"""Decides which rounds of a run are printed as lines, and estimates the time left."""
import math
from collections import deque
from statistics import mean
from typing import Any

Facts = dict[str, Any]
LONG = 600.0                    # after this many seconds without a line, any round is printed
FEW = 10                        # in epochs with up to this many rounds, lines count rounds; otherwise epochs
RECENT = 20                     # how many of the last rounds the estimate uses


def few(n: int) -> bool:
    """True for 1, 2, .. 10, 20, .. 100, 200, .."""
    return n % 10 ** (len(str(n)) - 1) == 0


class Pace:
    """Estimates the seconds per round from recent, similar rounds.

    The first plain and the first resident round are left out, because they also start jobs. Rounds with and without
    scoring are averaged separately, and weighted by how often scoring happens."""

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
        # if the round's overhead was larger than its computing, later rounds cannot be estimated from it
        self.first = seconds["compute"] if seconds["compute"] > seconds["round"] / 2 else math.inf

    def round(self, every: int) -> float:
        """The mean seconds of a round if one in `every` rounds scores (0: none does); infinite if unknown."""
        means = {scoring: mean(recent) for scoring, recent in self.recent.items() if recent}
        if not means:
            return self.first
        share = 1 / every if every else 0.0
        return (1 - share) * means.get(False, means.get(True)) + share * means.get(True, means.get(False))


class Rounds:
    """Takes rounds and scores as they come; returns the rounds to print, each with its score.

    Printed are rounds 1 to 10, then 20, 30, .. 100, 200 and so on. If an epoch has more than ten rounds, this applies to
    the rounds of the first epoch, and after it to epochs. Also printed are the last round, and any round after ten minutes
    without a line. If not every round is scored, the next scored round is printed instead."""

    def __init__(self):
        self.pace = Pace()
        self.newest: Facts | None = None
        self.shown: Facts | None = None         # the newest round that is complete: its score is known, or it has none
        self.score: Facts | None = None         # the newest round with a score
        self.wanted, self.epochs, self.at = False, 0, -math.inf
        self.line: Facts | None = None          # the newest round that was printed

    def round(self, facts: Facts) -> Facts | None:
        """Takes a round. Its facts: `due`: the score comes later; `left` and `limit`: the largest numbers of rounds and
        seconds that the rules allow; `ends`: this is the last round."""
        self.pace.add(facts)
        self.newest = {**facts, "seconds_left": min(facts["left"] * self.pace.round(facts["every"])
                                                    if facts["left"] and not facts["ends"] else 0.0, facts["limit"])}
        return None if facts["due"] else self._whole()

    def scored(self, r: int, score: dict[str, Any], ends: bool) -> Facts | None:
        """Takes the score of round r; `ends`: this is the last round."""
        if not self.newest or self.newest["round"] != r:        # a round of another driver
            return None
        self.newest = self.score = {**self.newest, "score": score, "ends": ends}
        return self._whole()

    def last(self) -> Facts | None:
        """The newest round, if it was not printed yet; no round comes after it."""
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


def clock(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 05 min."""
    if not math.isfinite(seconds):
        return "?"
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
