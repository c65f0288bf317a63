"""Judges a round: checks that the counts in its records add up, and computes the state after it."""
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from mrdl import kernels, metrics
from mrdl.data.dataset import Dataset, Shard
from mrdl.driver import schedule
from mrdl.driver.options import Options
from mrdl.driver.scoring import added, failed
from mrdl.models.model import Model
from mrdl.outer import updater
from mrdl.report import advice
from mrdl.rounds import plan
from mrdl.rounds.confidence import Confidence
from mrdl.rounds.merged import Merged, RoundError
from mrdl.rounds.plan import Plan
from mrdl.rounds.record import Scored, Trained
from mrdl.rounds.state import State
from mrdl.rounds.statistics import Statistics
from mrdl.runs.commits import RunError
from mrdl.training import moments


class Checked(NamedTuple):
    """The content of a round's records, after the check."""
    score: dict[str, metrics.Value]     # of the state that the round began with, if it was scored
    after: dict[str, metrics.Value]     # of the state that the round made, if its worker scored it
    sums: metrics.Sums                  # sums of training
    # statistics of the targets scored, or else trained on; if empty, the old ones stay valid
    targets: metrics.Sums
    trained: list[Trained]
    seconds: dict[str, float]           # the slowest worker's seconds, by phase


class Verdict:
    """Judges all rounds of one run."""

    def __init__(self, options: Options, model: Model, data: Dataset, validation: list[tuple[Dataset, Shard]]):
        self.options, self.model, self.validation = options, model, validation
        self.shards = data.train()
        self.total = sum(s.n for s in self.shards)
        self.owner = {plan.name(data.uid, s.index): s for s in self.shards}
        self.metrics = model.named_metrics()
        self.epochs = model.epochs          # epochs that the model was trained for before this run
        self.outer = updater(options.outer)
        self.warm = options.warm_start or 0     # rounds of one worker before averaging starts
        self.untrained = moments.untrained(model)

    def groups(self, epoch: int) -> list[list[Shard]]:
        """The groups of shards that train together, in an epoch of this run."""
        alone = self.warm - epoch * sum(shard.n > 0 for shard in self.shards)
        return schedule.groups(self.shards, self.options.workers, self.options.seed, self.epochs + epoch, alone,
                               self.options.turn or 0)

    def course(self, state: State, epochs: int) -> list[tuple[int, Shard]]:
        """What one worker alone trains on from a state until it has done so many epochs of this run: (epoch, shard)."""
        found = [(self.epochs + epoch, shard) for epoch in range(state.epoch, epochs) for shard, in self.groups(epoch)]
        return found[state.group:]

    def begun(self, weights: np.ndarray) -> np.ndarray:
        """The vector of a state with these weights and a fresh updater."""
        return np.concatenate([weights, self.model.optimizer.start(weights).reshape(-1)])

    def checked(self, merged: Merged, asked: Plan, state: State) -> Checked:
        """Checks the records of the round with the plan `asked`; RoundError if their counts do not add up."""
        failed(merged.records)
        sums, n = {}, 0
        trained = [r for r in merged.records if isinstance(r, Trained)]
        for record in trained:
            shards = [self.owner[name] for _, name in asked.course] or [self.owner[record.shard]]
            due = sum(schedule.share(shard, asked.first, asked.count, asked.batch_size) for shard in shards)
            present = sum(shard.n for shard in shards)
            if (record.n, record.present) != (due, present):
                raise RoundError(f"round {asked.round}: shard {record.shard} was trained on "
                                 f"{record.n} of {record.present} examples instead of {due} of "
                                 f"{present}: examples were lost")
            metrics.add(sums, record.sums)
            n += record.terms
        if sorted(r.shard for r in trained) != sorted(asked.train) or \
                (merged.workers, merged.n) != (len(asked.train), n):
            raise RoundError(f"round {asked.round}: {len(trained)} of {len(asked.train)} workers "
                             f"reported, {merged.workers} were averaged over {merged.n} examples or steps")
        if not n and not state.round:
            raise RunError(f"round {asked.round}: all steps of its sequences are masked, so there is nothing to learn from: "
                           "take a larger averaging frequency, or prepare the data without such examples")
        scored = [r for r in merged.records if isinstance(r, Scored)]
        score = added(scored, self.validation if asked.score or asked.after else [], self.metrics)
        times = {phase: max(r.seconds.get(phase, 0.0) for r in trained)
                 for phase in ("start", "read", "compute", "emit")}
        targets = advice.added(scored or trained) if scored or not self.validation else {}
        return Checked({} if asked.after else score, score if asked.after else {}, sums, targets, trained, times | merged.seconds)

    def next(self, state: State, asked: Plan, group: list[Shard], merged: Merged, found: Checked,
             before: dict[str, Any]) -> tuple[State, dict[str, Any]]:
        """The state after the round, and its record without the times; `before`: the history's entry for the last round."""
        o = self.options
        updates = max(r.updates for r in found.trained)
        mean = self._changed(state, merged.vector) if asked.changes else merged.vector
        if asked.squares is not None:
            mean = Confidence(state.vector, state.parameters, asked.squares, self.untrained).joined(mean)
        vector, outer = self._outer(state, Statistics(state.vector, asked.moments, asked.fixed).settled(mean), merged.workers)
        if o.outer or asked.changes:            # a step, or what a coding leaves out, may break what workers kept to
            self._constrain(vector)
        if not asked.save_updater:
            vector = np.concatenate([vector, state.vector[len(vector):]]) if asked.keep_updater else self.begun(vector)
        new = replace(self.after(state, asked, group, updates), vector=vector, outer=outer, kept=self._kept(state, found.trained))
        if not (asked.save_updater or asked.keep_updater):
            new.iterations = 0
        with np.errstate(all="ignore"):         # the caller handles values that are not finite
            change = (self._squares(new.weights - state.weights) / max(self._squares(state.weights), 1e-300)) ** 0.5
        trained = sum(r.n for r in found.trained)
        examples = before.get("examples", 0) + trained
        seen = metrics.values(found.sums, self.metrics)
        if "loss" not in seen:                  # all steps are masked: keep the known values
            seen = {name: before[name] for name in ("loss", *self.metrics)}
        return new, {"round": new.round, "epoch": new.epoch + bool(new.group or new.part), **seen, **found.after,
                     "change": change, "examples": examples, "trained": trained,
                     "present": sum(s.n for s in group), "workers": merged.workers, "bytes": sum(r.bytes for r in found.trained),
                     "updates": updates, "rate_scale": state.rate_scale,
                     "epochs": new.epoch, "progress": examples / self.total}

    def after(self, state: State, asked: Plan, group: list[Shard], updates: int) -> State:
        """The state after a round of so many updates, still with the vector of the one before."""
        new = replace(state, round=state.round + 1, iterations=state.iterations + updates, part=state.part + 1)
        if asked.count is None or all(s.n <= (asked.first + asked.count) * asked.batch_size for s in group):
            new.part, new.group = 0, new.group + max(len(asked.course), 1)
            while new.group >= (groups := len(self.groups(new.epoch))):
                new.group, new.epoch = new.group - groups, new.epoch + 1
        return new

    def _kept(self, state: State, trained: list[Trained]) -> dict[str, list[str]]:
        """By slot the file with what it keeps; a slot without a worker in this round keeps what it has."""
        new = {str(record.worker): record.kept for record in trained}
        return {slot: file for slot, file in (state.kept | new).items() if file}

    def steps(self, state: State) -> bool:
        """Does the round after this state have an outer updater?"""
        return self.outer is not None and state.round >= self.warm

    def _outer(self, state: State, mean: np.ndarray, workers: int) -> tuple[np.ndarray, np.ndarray]:
        """The vector and the outer updater's state, after a round with this mean of so many workers."""
        if not self.steps(state):
            return mean, state.outer
        vector, outer = mean.copy(), state.outer.copy()
        rate = self.model.optimizer.rate(state.iterations) * state.rate_scale
        self.outer.among(workers).apply(state.weights, vector[:state.parameters], outer, rate)
        for place in self.untrained:            # moving means of data, and weights that stay as they are
            vector[place], outer[:, place] = mean[place], 0
        return vector, outer

    def _changed(self, state: State, change: np.ndarray) -> np.ndarray:
        """The mean of the workers' vectors, by the mean of their changes."""
        with np.errstate(all="ignore"):         # the caller handles values that are not finite
            vector = state.vector[:len(change)] + change
        kernels.typed(vector.dtype).flush(vector[None])
        return vector

    def _constrain(self, vector: np.ndarray) -> None:
        for _, weight, start in self.model.places():
            if weight.constraint is not None and not weight.frozen:
                weight.constraint.apply(weight.view(vector[start:start + weight.size]))
                kernels.typed(vector.dtype).flush(vector[None, start:start + weight.size])

    def _squares(self, weights: np.ndarray) -> float:
        """The sum of squares of the trained weights, without means and variances of layers, which may be large."""
        if self.untrained:
            weights = weights.copy()
        for place in self.untrained:
            weights[place] = 0
        return kernels.typed(weights.dtype).sum_squares(weights)
