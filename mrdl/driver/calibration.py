"""Passes over all data of a run, before or after its rounds: they compute layers' means and variances, or score a state."""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from mrdl import metrics
from mrdl.data.dataset import Dataset, Shard
from mrdl.driver.exchanges.plain import Exchange
from mrdl.driver.scoring import described, score
from mrdl.models.model import Model
from mrdl.rounds.state import State
from mrdl.runs.run import Run
from mrdl.training import moments
from mrdl.training.network import at_once


@dataclass
class Passes:
    """`told` is called with their progress; `check` raises an error if another driver has taken over the run."""
    run: Run
    model: Model
    data: Dataset
    validation: list[tuple[Dataset, Shard]]
    exchange: Exchange
    workers: int
    told: Callable[[str, dict[str, Any]], None]
    check: Callable[[], None]

    def task(self, doing: str) -> Callable[[str, int, int], None]:
        """Reports that a job begins; returns a function that reports its tasks."""
        self.told("task", {"doing": doing})
        return lambda *task: self.told("task", {"doing": doing, "task": task})

    def score(self, path: str, doing: str) -> tuple[dict[str, metrics.Value], metrics.Sums]:
        """The score of the state at `path` on the validation data, and the statistics of its targets."""
        return score(self.exchange, f"mrdl {self.run.url} score", path, self.model, self.validation, self.workers,
                     self.task(doing))

    def adapt(self) -> None:
        """Adapts the Normalization layers that are not adapted yet."""
        if places := moments.unadapted(self.model):
            weights = self.model.weights
            with self.aside("unadapted", weights) as path:
                found = self._described("adapt", path, at_once(self.model, moments.ADAPTING), places)
            moments.written(weights, places, found, counted=True)
            self._note("adapted Normalization to {:,} examples")

    def recalibrate(self, path: str, batch: int) -> None:
        """Computes BatchNormalization's mean and variance over all examples, with the model's weights, which are those of
        the state at `path`."""
        places = self.model.moments()
        moments.written(self.model.weights, places, self._described("recalibrate", path, batch, places))
        self._note("recalibrated BatchNormalization over {:,} examples")

    def score_model(self, name: str = "recalibrated", doing: str = "scores the model") -> tuple[dict[str, metrics.Value], metrics.Sums]:
        """Like `score`, for the model's weights, which are in no commit; `name` of the file that they are in meanwhile."""
        with self.aside(name, self.model.weights) as path:
            return self.score(path, doing)

    def _note(self, text: str) -> None:
        self.told("note", {"text": text.format(sum(s.n for s in self.data.train()))})

    @contextmanager
    def aside(self, name: str, weights: np.ndarray) -> Iterator[str]:
        """Writes weights as a state to a temporary file in the run's folder, and yields its path."""
        self.run.store.write(f"{name}.safetensors", State(weights.copy(), len(weights)).dump())
        yield self.run.store.path(f"{name}.safetensors")
        self.check()
        self.run.store.remove(f"{name}.safetensors")

    def _described(self, what: str, path: str, batch: int, places: list) -> list[moments.Moments]:
        shards = [(self.data, s) for s in self.data.train() if s.n]
        return described(self.exchange, f"mrdl {self.run.url} {what}", path, self.model, shards, self.workers, batch,
                         places, self.task(f"{what}s"))
