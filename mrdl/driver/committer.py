"""Commits rounds in the background while the next ones run; where rounds are short, several in one commit."""
import math
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

from mrdl.report.gauges import Gauges
from mrdl.rounds.state import State
from mrdl.runs import stopping
from mrdl.runs.lease import Lease, LeaseLost
from mrdl.runs.run import COMPACT, Run

SHARE = 0.02                    # of the time that commits may take, if rounds may wait for one
LONGEST = 5.0                   # seconds that they wait at most
HISTORY = 1.0                   # seconds between two writes of history.jsonl, at least


class Committer:
    """Writes what a run commits, in a thread of its own.

    A round that waits is lost if the driver is killed: who resumes the run computes it again, with the same bits.

    Args:
        keep: how many of the last states stay at the run's end, beside the best one.
        patience: the rule that restores the best state, if there is one.
        gone: rounds whose states had been removed before this driver began."""

    def __init__(self, run: Run, lease: Lease, gauges: Gauges, keep: int, patience: stopping.Patience | None, gone: set[int]):
        self.run, self.lease, self.gauges = run, lease, gauges
        self.keep, self.patience, self.gone = keep, patience, gone
        self.thread = ThreadPoolExecutor(1)
        self.committing: Future | None = None
        self.waiting: list[dict[str, Any]] = []         # records of rounds
        self.states: deque[State] = deque(maxlen=keep)  # after the last of them
        self.best: State | None = None                  # that of the best round, if it waits
        self.lowest: float | None = None                # the metric of the best round
        self.history: stopping.History = []
        self.next = self.write_next = 0.0               # when to commit again, and to write history.jsonl

    def __enter__(self):
        return self

    def __exit__(self, error, *_) -> None:
        if error:                               # rounds that are done need not be lost
            with suppress(Exception):
                self.settle()
        self.thread.shutdown()

    def add(self, state: State, record: dict[str, Any], history: stopping.History, wait: bool) -> None:
        """Begins to commit the newest round of the history; if it may `wait`, perhaps together with later ones. Raises the error of
        an earlier commit.

        The next round may already run; if the commit fails, its work is lost."""
        self._raise(not wait)
        state = replace(state)                  # if the next round is not finite, the driver halves the rate of its own
        self.waiting.append(record)
        self.states.append(state)
        self.history = history
        best = self._is_best()
        if not wait or self._due():
            self._begin([*self.states][:-1])
        elif best:
            self.best = _own(state)

    def settle(self, wait: bool = True, begin: bool = True) -> None:
        """Commits all rounds, waits for that, and raises its error. Without `wait`, only begins to, if it has not begun already; without
        `begin` too, only raises an error that is known already."""
        self._raise(wait)
        if self.waiting and begin and not self._busy():     # the exchange may be replacing the states before the last one
            self._begin([])
            self._raise(wait)

    def end(self) -> None:
        """The same when the exchange is not at work: all states that are to stay are written."""
        self._raise(True)
        if self.waiting:
            self._begin([*self.states][:-1])
            self._raise(True)

    def _raise(self, wait: bool) -> None:
        if self.committing and (wait or self.committing.done()):
            self.committing.result()

    def _busy(self) -> bool:
        return self.committing is not None and not self.committing.done()

    def _due(self) -> bool:
        return time.monotonic() >= self.next and not self._busy()

    def _is_best(self) -> bool:
        """Is the newest round the best one, as far as its metric is known now?"""
        if not self.patience:
            return False
        if self.lowest is None:
            self.lowest = min((cost for r, entry in enumerate(self.history[:-1]) if r not in self.gone
                               and (cost := self.patience.cost(entry)) is not None), default=math.inf)
        cost, lowest = self.patience.cost(self.history[-1]), self.lowest
        self.lowest = min(lowest, math.inf if cost is None else cost)
        return self.lowest < lowest

    def _begin(self, others: Iterable[State]) -> None:
        *others, state = map(_own, [*others, self.states[-1]])
        others += [self.best] * bool(self.best)
        self.committing = self.thread.submit(self._write, state, self.waiting, others, list(self.history))
        self.waiting, self.best = [], None
        self.states.clear()

    def _write(self, state: State, records: list[dict[str, Any]], others: list[State], history: stopping.History) -> None:
        began = time.monotonic()
        self.lease.check()
        if not self.run.commit(state, records[-1], records[:-1], others):
            raise LeaseLost(f"{self.run.url}: another driver committed round {records[0]['round']} first")
        self.lease.check()                      # this driver may have been suspended, and another one may have taken over
        if time.monotonic() >= self.write_next:     # not at every round, as it can be recomputed from the commits, and grows
            write = time.monotonic()
            self.run.write_history(history[1:])
            self.write_next = time.monotonic() + max(HISTORY, _pause(time.monotonic() - write))
        self.gauges.write(history)
        best = self.patience.best(history, state.round, self.gone) if self.patience else None
        self.run.prune(state.round - self.keep, best, state)
        if state.round // COMPACT > (records[0]["round"] - 1) // COMPACT and records[0]["round"]:
            self.run.compact()
        self.next = time.monotonic() + min(LONGEST, _pause(time.monotonic() - began))


def _pause(seconds: float) -> float:
    """How long not to do again what took so many seconds, so that it takes no more than its share of the time."""
    return seconds * (1 / SHARE - 1)


def _own(state: State) -> State:
    """The state in memory of its own: in that of the exchange, a later round takes its place."""
    return state if state.vector.flags.owndata else replace(state, vector=state.vector.copy())
