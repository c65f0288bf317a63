"""The loop of a run: plan a round, run it, check it, commit it; stop, roll back or resume as the history says."""
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mrdl import advice, extension, kernels, metrics, moments, plan, schedule, stopping, tensors
from mrdl.commits import RunError, entries
from mrdl.dataset import Dataset, Shard
from mrdl.exchange import Exchange, Merged, RoundError
from mrdl.failures import JobFailed
from mrdl.gauges import Gauges
from mrdl.lease import Lease, LeaseLost
from mrdl.model import Model
from mrdl.network import at_once
from mrdl.record import measured
from mrdl.run import COMPACT, Run
from mrdl.schedule import chunk_keys
from mrdl.scoring import WorkerFailed, added, described, failed, score, seals
from mrdl.sealed import check
from mrdl.state import State, profile
from mrdl.stop_request import RunStopped, asked
from mrdl.variances import Variances

SCORING = 0.2                   # at most this share of the training's cost goes into scoring
FORWARD = 1 / 3                 # of a training step's cost
JOB_ATTEMPTS = 2
__all__ = ["Driver", "Options", "WorkerFailed"]


@dataclass(slots=True)                  # so that a name that is no option is refused
class Options:
    """How a run trains. All of it decides bits but `until` and `keep_rounds`, which decide when it ends."""
    workers: int = 2
    batch_size: int = 32
    averaging_frequency: int | None = None
    seed: int = 0
    save_updater: bool = True
    class_weight: dict[str, float] | None = None
    validation_freq: int | None = None
    keep_rounds: int = 3
    retries: int = 3
    until: str | None = None
    recalibrate: bool = False
    tbptt: int | None = None
    tbptt_backward: int | None = None
    buckets: list[int] | None = None

    @classmethod
    def read(cls, facts: dict[str, Any]) -> "Options":
        """Those of a run; RunError for what this version does not know."""
        try:
            check(facts, cls, "options")
        except ValueError as error:
            raise RunError(f"run.json: {error}") from None
        return cls(**facts)

    def check(self) -> "Options":
        for key in ("workers", "batch_size", "keep_rounds"):
            if getattr(self, key) < 1:
                raise RunError(f"{key} must be 1 or more, not {getattr(self, key)}")
        self.positive("averaging_frequency", "validation_freq")
        if not 0 <= self.seed < 1 << 63:
            raise RunError(f"seed must be from 0 to 2^63 - 1, not {self.seed}")
        return self

    def positive(self, *keys: str) -> None:
        """RunError where one of these is given, and not 1 or more."""
        for key in keys:
            if getattr(self, key) is not None and getattr(self, key) < 1:
                raise RunError(f"{key} must be 1 or more, not {getattr(self, key)}")


@dataclass
class Driver:
    """Works on one run until its rules end it. `told` hears of every event, for the progress."""
    run: Run
    options: Options
    model: Model
    data: Dataset
    validation: list[tuple[Dataset, Shard]]
    exchange: Exchange
    told: Callable[[str, dict[str, Any]], None] = lambda event, facts: None
    learning_rate: float | None = None  # from here on, where it is to be another one
    history: stopping.History = field(default_factory=list)

    def __post_init__(self):
        options = self.options
        self.spec = self.model.to_json()
        self.shards = self.data.train()
        self.total = sum(s.n for s in self.shards)
        if not self.total:
            raise RunError(f"{self.data.url} has no rows to train on")
        if options.recalibrate and not self.model.moments():
            raise RunError("recalibrate: the model has no BatchNormalization, whose moments it would set")
        self.batch_size = min(options.batch_size, max(s.n for s in self.shards))    # buffers hold no more than there is
        self.metrics = self.model.named_metrics()
        self.rules = (stopping.parse(options.until, {n for n, m in self.metrics.items() if m.rising})
                      if options.until else stopping.default(bool(self.validation)))
        stopping.check(self.rules, self.metrics, bool(self.validation))
        self.patience = next((r for r in self.rules if isinstance(r, stopping.Patience)), None)
        self.untrained = [slice(start, start + w.size) for _, w, start in self.model.places() if not w.trainable]
        self.owner = {plan.name(self.data.uid, s.index): s for s in self.shards}
        self.epochs = self.model.epochs             # that the model has seen before this run
        self.frequency = self._validation_freq()
        self.targets: metrics.Sums = {}             # of the rows that were scored last, or else trained on
        self.write_next = 0.0
        self.committing: Future | None = None
        self.gone: set[int] = set()         # rounds whose states went before this driver came
        self.stored = 1.0                   # the scale of the rate in the newest state's file

    # -- the loop

    def train(self) -> dict[str, Any]:
        """Runs to the end, from wherever the run stands; returns what finished.json says."""
        with Lease(self.run.store) as self.lease, self._gauged(), ThreadPoolExecutor(1) as self.writer:
            self.run.sweep()
            records, o = self.run.records(), self.options
            extension.check(self.run, entries(records), self.rules, o.until, self.learning_rate)
            state = self._resume(records) if records else None
            rate = {"after": len(records) - 1, "learning_rate": self.learning_rate}
            self.rate = self.run.go_on(self.data.url, self.validation[0][0].url if self.validation else None,
                                       {"until": o.until, "keep_rounds": o.keep_rounds},
                                       None if self.learning_rate is None else rate)["rate"]
            if state and self.rate and self.rate["after"] == state.round:
                state.rate_scale = 1.0          # what was asked for is the rate, not a share of it
            if done := self.run.finished():
                return done
            self.exchange.begin(self.run.url, self.lease.check)
            state = state or self._first()
            while not (reason := self._reason(state.round, scored=False)):
                try:
                    new, record, score = self._round(state)
                except Exception:
                    self.lease.check()          # a rival's clean-up is no fault of this round's
                    raise
                if score:
                    self._scored(state.round, score)
                    reason = self._reason(state.round, scored=True)     # of the state before this round
                if new is None:
                    reason = reason or record["reason"]
                if score:
                    self.told("scored", {"round": state.round, "score": score, "ends": bool(reason)})
                if reason:
                    break
                self._commit(new, record, score)
                for text in advice.of_workers(self.shards, o.workers, o.batch_size) if state.round == 0 else ():
                    self.told("note", {"text": text})
                if state.round == 0 and record["present"] > 4 * record["trained"]:
                    self.told("warning", {"text": f"a round reads {record['present']:,} examples to "
                                          f"train {record['trained']:,}: make the shards smaller, or "
                                          "the averaging frequency larger"})
                state = new
                if by := asked(self.run.store, self.lease.token):
                    self._settle()
                    self.run.write_history(self.history[1:])
                    raise RunStopped(f"{self.run.url}: stopped after round {state.round}, as {by} asked")
            return self._finish(state, reason)

    @contextmanager
    def _gauged(self) -> Iterator[None]:
        """metrics.prom says at last how the run stands, unless it is another driver's now or nothing was done."""
        self.gauges = Gauges(self.run.store)
        try:
            yield
        except BaseException as error:
            if self.history and not isinstance(error, LeaseLost):
                self.gauges.write(self.history, "stopped")
            raise
        self.gauges.write(self.history, "finished")

    def _first(self) -> State:
        """The state before the first round, with Normalization adapted."""
        if places := moments.unadapted(self.model):
            weights = self.model.weights
            with self._aside("unadapted", weights) as path:
                found = self._described("adapt", path, at_once(self.model, moments.ADAPTING), places)
            moments.written(weights, places, found, counted=True)
            self.told("note", {"text": f"adapted Normalization to {self.total:,} examples"})
        model, weights = self.model, self.model.weights
        state = State(self._begun(weights), len(weights), rate_scale=model.rate_scale)
        if model.iterations and self.options.save_updater:
            state.slots[:], state.iterations = model.slots, model.iterations
            name, rate = type(model.optimizer).__name__, model.optimizer.learning_rate
            self.told("note", {"text": f"goes on with {name}'s state after {model.iterations:,} updates"
                               + (f", at the learning rate {rate * model.rate_scale:g}" if isinstance(rate, float) else "")
                               + "; --fresh-updater (in Python: compile) begins anew"})
        self._commit(state, {"round": 0, "epochs": 0, "progress": 0.0, "elapsed": 0.0}, None)
        return state

    @contextmanager
    def _aside(self, name: str, weights: np.ndarray) -> Iterator[str]:
        """Weights as a state in a file of the run's that no commit names."""
        self.run.store.write(f"{name}.safetensors", State(weights.copy(), len(weights)).dump())
        yield self.run.store.path(f"{name}.safetensors")
        self.lease.check()
        self.run.store.remove(f"{name}.safetensors")

    def _described(self, what: str, path: str, batch: int, places: list) -> list[moments.Moments]:
        return described(self.exchange, f"mrdl {self.run.url} {what}", path, self.model,
                         [(self.data, s) for s in self.shards if s.n], self.options.workers, batch, places,
                         self._task(f"{what}s"))

    def _score(self, path: str, doing: str) -> dict[str, metrics.Value]:
        values, self.targets = score(self.exchange, f"mrdl {self.run.url} score", path, self.model, self.validation,
                                     self.options.workers, self._task(doing))
        return values

    def _resume(self, records: list[dict[str, Any]]) -> State:
        state = self.run.state(len(records) - 1)
        if state.profile != profile():
            raise RunError(f"{self.run.url} was begun with {state.profile}; here is {profile()}: "
                           "the same bits cannot be promised, so it is not resumed")
        self.history = entries(records)
        self.told("resumed", {"round": state.round})
        self.gone = set(range(len(records))) - set(self.run.states())
        self.stored = state.rate_scale
        return state

    def _begun(self, weights: np.ndarray) -> np.ndarray:
        """The vector of a state with these weights, whose updater has done nothing yet."""
        return np.concatenate([weights, self.model.optimizer.start(weights).reshape(-1)])

    def _reason(self, r: int, scored: bool) -> str | None:
        reasons = (rule.reason(self.history, r) for rule in self.rules
                   if r and rule.scored == scored)
        return next(filter(None, reasons), None)

    def _scored(self, r: int, score: dict[str, metrics.Value]) -> None:
        self.history[r].update(score)

    def _validation_freq(self) -> int:
        """Rounds from one scoring to the next: what was asked, or so that it costs a fifth at most."""
        if self.options.validation_freq:
            return self.options.validation_freq
        held = sum(shard.n for _, shard in self.validation)
        group = schedule.groups(self.shards, self.options.workers, self.options.seed, 0)[0]
        trained = sum(schedule.share(s, 0, self.options.averaging_frequency, self.options.batch_size)
                      for s in group)
        return max(1, -(-int(held * FORWARD) // max(1, int(trained * SCORING))))

    def _round(self, state: State):
        """One round from `state` -> (next state or None, its record, the score of `state` or None).

        A round that is not finite is tried again from `state` at half the rate."""
        rate, spent = state.rate_scale, 0.0
        for retry in range(min(self.exchange.failed(state.round + 1), self.options.retries), self.options.retries + 1):
            began = time.perf_counter()
            state.rate_scale = rate * 0.5 ** retry
            asked, group, mappers = self._plan(state)
            path, aside = self.run.state_path(state.round), state.rate_scale != self.stored
            if aside:                           # the committed file holds the old rate
                path = self.run.store.path(f"retry-{state.round:06d}.safetensors")
                self.run.store.write(f"retry-{state.round:06d}.safetensors", state.dump())
            size = len(state.vector) if self.options.save_updater else state.parameters
            merged = self._exchanged(state, path, asked, mappers, size)
            if aside:
                self.run.store.remove(f"retry-{state.round:06d}.safetensors")
            score, sums, times = self._checked(merged, asked, group, state)
            new, record = self._next(state, asked, group, merged, sums)
            spent += time.perf_counter() - began
            if np.isfinite(new.vector).all() and np.isfinite(record["loss"]):
                record |= {"seconds": times | {"round": spent}, "rollbacks": retry,
                           "elapsed": self.history[-1]["elapsed"] + spent,
                           "by_worker": [{"worker": r["worker"], "shard": r["shard"], **r["seconds"]}
                                         for r in merged.records if "shard" in r]}
                if merged.job:
                    record["job"] = merged.job | {"worker_memory": max(
                        r["memory"] for r in merged.records if "shard" in r)}
                return new, record, score
            if left := self.options.retries - retry:
                self.told("rollback", {"round": asked.round, "rate_scale": state.rate_scale / 2, "left": left})
        return None, {"reason": f"not finite in round {asked.round}, at {0.5 ** retry:g} of the "
                                "rate too: lower the learning rate or scale the inputs"}, score

    def _exchanged(self, state: State, path: str, asked: plan.Plan, mappers: list, size: int) -> Merged:
        """The round's job; one that failed for what may pass (a disk, memory, a machine) is tried again."""
        for attempt in range(JOB_ATTEMPTS):
            try:
                return self.exchange.round(
                    f"mrdl {self.run.url} round {asked.round}", state, path, self._settle, asked,
                    mappers, size, self.exchange.reducers(self.options.workers, size),
                    on_task=self._task(f"round {asked.round}"))
            except (JobFailed, OSError) as error:
                self.lease.check()
                self._settle()                  # where it was the commit that failed, that is said
                if attempt == JOB_ATTEMPTS - 1 or getattr(error, "final", False):
                    raise
                self.told("warning", {"text": f"round {asked.round} failed and is tried again: {error}"})

    def _task(self, doing: str) -> Callable[[str, int, int], None]:
        """Tells of the tasks of a job; that it begins, first."""
        self.told("task", {"doing": doing})
        return lambda *task: self.told("task", {"doing": doing, "task": task})

    def _plan(self, state: State) -> tuple[plan.Plan, list[Shard], list[list[str]]]:
        o = self.options
        group = self._groups(state.epoch)[state.group]
        active = [(slot, s) for slot, s in enumerate(group)
                  if schedule.share(s, state.part, o.averaging_frequency, o.batch_size)]
        due = state.round and state.round % self.frequency == 0
        held = self.validation if due else []
        size = len(state.vector) if o.save_updater else state.parameters
        asked = plan.Plan(
            self.spec, state.round + 1, self.epochs + state.epoch, state.part * (o.averaging_frequency or 0),
            o.averaging_frequency, self.batch_size, o.seed, chunk_keys(size, self.exchange.reducers(o.workers, size)),
            {plan.name(self.data.uid, s.index): slot for slot, s in active},
            [plan.name(d.uid, s.index) for d, s in held], seals([(self.data, s) for _, s in active] + held),
            o.save_updater, o.class_weight,
            self.model.moments() if len(active) > 1 else [],
            {"tbptt": o.tbptt, "tbptt_backward": o.tbptt_backward, "buckets": o.buckets})
        mappers = [[s.path] for _, s in active]
        mappers += self.exchange.hands([s for _, s in held], o.workers)
        return asked, group, mappers

    def _groups(self, epoch: int) -> list[list[Shard]]:
        """Which shards train together in an epoch of this run."""
        return schedule.groups(self.shards, self.options.workers, self.options.seed, self.epochs + epoch)

    def _checked(self, merged: Merged, asked: plan.Plan, group: list[Shard], state: State):
        """-> (score of `state`, training sums, seconds); RoundError where counts do not add up."""
        failed(merged.records)
        o, sums, n = self.options, {}, 0
        trained = [r for r in merged.records if "shard" in r]
        for record in trained:
            shard = self.owner[record["shard"]]
            due = schedule.share(shard, state.part, o.averaging_frequency, o.batch_size)
            if (record["n"], record["present"]) != (due, shard.n):
                raise RoundError(f"round {asked.round}: shard {record['shard']} trained "
                                 f"{record['n']} of {record['present']} examples, not {due} of "
                                 f"{shard.n}: examples were lost")
            metrics.add(sums, record["sums"])
            n += record["terms"]
        if sorted(r["shard"] for r in trained) != sorted(asked.train) or \
                (merged.workers, merged.n) != (len(asked.train), n):
            raise RoundError(f"round {asked.round}: {len(trained)} of {len(asked.train)} workers "
                             f"reported, {merged.workers} were averaged over {merged.n} examples or steps")
        if not n and not state.round:
            raise RunError(f"round {asked.round}: no step of its sequences counts, so there is nothing to learn from: "
                           "take a larger averaging frequency, or prepare the data without such examples")
        held = self.validation if asked.score else []
        scored = [r for r in merged.records if "scored" in r]
        score = added(scored, held, self.metrics)
        if scored or not self.validation:
            self.targets = advice.added(scored or trained)
        times = {phase: max(r["seconds"].get(phase, 0.0) for r in trained)
                 for phase in ("start", "read", "compute", "emit")}
        return score, sums, times | merged.seconds

    def _next(self, state: State, asked: plan.Plan, group: list[Shard], merged: Merged, sums):
        """The state after the round, and its record but for the times."""
        o = self.options
        updates = max(r["updates"] for r in merged.records if "shard" in r)
        vector = merged.vector if o.save_updater else self._begun(merged.vector)
        fixed = moments.places_of(self.model)
        if asked.moments or fixed:
            vector = vector.copy()              # the exchange may still need it as it was averaged
            Variances(state.vector, asked.moments).narrow(vector)
        for start, variance, size in fixed:     # the mean of equals need not be the same bits
            vector[start:variance + size + 1] = state.vector[start:variance + size + 1]
        new = State(vector, state.parameters, state.round + 1, state.iterations + updates,
                    state.epoch, state.group, state.part + 1, state.rate_scale)
        if new.part >= schedule.rounds(group, o.averaging_frequency, o.batch_size):
            new.part, new.group = 0, new.group + 1
            if new.group >= len(self._groups(state.epoch)):
                new.group, new.epoch = 0, new.epoch + 1
        if not o.save_updater:
            new.iterations = 0
        with np.errstate(all="ignore"):         # a round that is not finite is seen by its caller
            change = (self._squares(new.weights - state.weights) / max(self._squares(state.weights), 1e-300)) ** 0.5
        trained = sum(r["n"] for r in merged.records if "shard" in r)
        examples = self.history[-1].get("examples", 0) + trained
        seen = metrics.values(sums, self.metrics)
        if "loss" not in seen:                  # no step counted: what is known stays
            seen = {name: self.history[-1][name] for name in ("loss", *self.metrics)}
        return new, {"round": new.round, "epoch": state.epoch + 1, **seen,
                     "change": change, "examples": examples, "trained": trained,
                     "present": sum(s.n for s in group), "workers": merged.workers,
                     "updates": updates, "rate_scale": state.rate_scale,
                     "epochs": new.epoch, "progress": examples / self.total,
                     **({"learning_rate": self.rate["learning_rate"]} if self.rate else {})}

    def _squares(self, weights: np.ndarray) -> float:
        """The sum of squares of the weights that are trained: moments of inputs, which may be large, are not."""
        if self.untrained:
            weights = weights.copy()
        for place in self.untrained:
            weights[place] = 0
        return kernels.typed(weights.dtype).sum_squares(weights)

    def _commit(self, state: State, record: dict[str, Any],
                score: dict[str, metrics.Value] | None) -> None:
        """Begins to commit: the next round may begin meanwhile, and counts for nothing if this fails."""
        self._settle()
        self.history.append({k: v for k, v in record.items() if k != "by_worker"})
        self.stored = state.rate_scale
        self.committing = self.writer.submit(self._written, state, {**record, "score": score or None},
                                             list(self.history))
        r, every = state.round, self.frequency if self.validation else 0
        left = min(rule.rounds_left(self.history, r) for rule in self.rules)
        ends = left <= 0 or bool(self._reason(r, scored=False))
        self.told("round", {**record, "left": left, "total": self.total, "every": every, "scoring": bool(score),
                            "limit": min(rule.seconds_left(self.history, r) for rule in self.rules),
                            "ends": ends, "due": bool(every) and (r % every == 0 or ends)})

    def _written(self, state: State, record: dict[str, Any], history: stopping.History) -> None:
        self.lease.check()
        if not self.run.commit(state, record):
            raise LeaseLost(f"{self.run.url}: another driver committed round {state.round} first")
        self.lease.check()                      # it may have slept since, and been overtaken
        if time.monotonic() >= self.write_next:     # it follows from the commits, and grows
            self.run.write_history(history[1:])
            self.write_next = time.monotonic() + 1
        self.gauges.write(history)
        best = self.patience.best(history, state.round, self.gone) if self.patience else None
        self.run.prune(state.round - self.options.keep_rounds, best)
        if state.round and state.round % COMPACT == 0:
            self.run.compact(state.round - 1)

    def _settle(self, wait: bool = True) -> None:
        """Waits until what was to be committed is; raises what kept it from that. Without `wait` raises only
        what is known already."""
        if self.committing and (wait or self.committing.done()):
            self.committing.result()

    def best(self) -> tuple[int, str] | None:
        """The round that would be restored now, and what it is; None where no rule restores one."""
        r = len(self.history) - 1
        return (self.patience.best(self.history, r, self.gone), "best so far") if self.patience and r > 0 else None

    def _finish(self, state: State, reason: str) -> dict[str, Any]:
        """Scores the last state, restores the best where a rule asked for it, writes the model."""
        self._settle()
        r = state.round
        if self.validation and not any(k.startswith("val_") for k in self.history[r]):
            self._scored(r, found := self._score(self.run.state_path(r), f"scores round {r}"))
            self.told("scored", {"round": r, "score": found, "ends": True})
        self.told("ended", {"round": r})
        best, ever = ((self.patience.best(self.history, r, self.gone), self.patience.best(self.history, r))
                      if self.patience else (r, r))
        chosen = state if best == r else self.run.state(best)
        model = self.model
        model.weights[:], model.slots, model.iterations = chosen.weights, chosen.slots, chosen.iterations
        model.rate_scale = chosen.rate_scale
        model.epochs = self.epochs + chosen.epoch + bool(chosen.group or chosen.part)   # one that was begun counts
        values = measured(self.history[best])
        if self.options.recalibrate:
            values |= self._recalibrated(best)
        self.lease.check()
        done = {"reason": reason, "rounds": r, "best": best, "monitor": self.patience and self.patience.metric,
                "better": None if ever == best else ever,
                "finite": not reason.startswith("not finite"),
                "metrics": values}
        self.run.finish(done, self.history[1:], tensors.files(model))
        if r:
            self.run.compact(r - 1)
        self.run.sweep()
        if done["finite"] and (text := self._advice(values, r)):
            self.told("note", {"text": text})
        self.told("finished", done)
        return done

    def _advice(self, values: dict[str, metrics.Value], r: int) -> str | None:
        """On a model that has learned nothing; while a first round is trained, its figures are of what it began with."""
        if self.validation:
            values = {name[4:]: value for name, value in values.items() if name.startswith("val_")}
        return advice.of_model(self.model, values, self.targets) if self.validation or r > 1 else None

    def _recalibrated(self, r: int) -> dict[str, metrics.Value]:
        """Sets BatchNormalization's moving moments to those of all examples under the model's weights, the
        state's of round r; returns the score of what it is then."""
        self.exchange.close(True)               # a resident job holds what others need
        model, places = self.model, self.model.moments()
        found = self._described("recalibrate", self.run.state_path(r), self.batch_size, places)
        moments.written(model.weights, places, found)
        self.told("note", {"text": f"recalibrated BatchNormalization over {self.total:,} examples"})
        if not self.validation:
            return {}
        with self._aside("recalibrated", model.weights) as path:
            return self._score(path, "scores the model")
