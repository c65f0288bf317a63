"""The loop of a run: plans a round, runs it, checks it and commits it; stops, rolls back or resumes by the history."""
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mrdl import metrics
from mrdl.codings import coding
from mrdl.data.dataset import Dataset, Shard
from mrdl.driver import schedule
from mrdl.driver.calibration import Passes
from mrdl.driver.callbacks import CALLBACKS, Listeners
from mrdl.driver.committer import Committer
from mrdl.driver.exchanges.plain import Coming, Exchange
from mrdl.driver.options import KEPT, Options
from mrdl.driver.rhythm import Rhythm
from mrdl.driver.schedule import chunk_keys
from mrdl.driver.scoring import seals
from mrdl.driver.verdict import Verdict
from mrdl.models import tensors
from mrdl.models.model import Model
from mrdl.report import advice
from mrdl.report.gauges import Gauges
from mrdl.rounds import plan
from mrdl.rounds.broadcast import Broadcast, broadcast
from mrdl.rounds.merged import Merged
from mrdl.rounds.record import measured
from mrdl.rounds.state import State, profile
from mrdl.runners.failures import JobFailed, is_final, unmask
from mrdl.runs import extension, stopping
from mrdl.runs.commits import RunError, entries
from mrdl.runs.lease import Lease, LeaseLost
from mrdl.runs.run import Run
from mrdl.runs.stop_request import RunStopped, asked
from mrdl.training import moments, moving

JOB_ATTEMPTS = 2


@dataclass
class Driver:
    """Works on one run until its rules end it. `told` is called with every event, to show progress."""
    run: Run
    options: Options
    model: Model
    data: Dataset
    validation: list[tuple[Dataset, Shard]]
    exchange: Exchange
    told: Callable[[str, dict[str, Any]], None] = lambda event, facts: None
    learning_rate: float | None = None  # a new learning rate from the next round on, if one was given
    history: stopping.History = field(default_factory=list)
    callbacks: Any = None               # as for ParameterAveraging.fit

    def __post_init__(self):
        options = self.options
        self.spec = self.model.to_json()
        self.shards = self.data.train()
        self.total = sum(s.n for s in self.shards)
        if not self.total:
            raise RunError(f"{self.data.url} has no rows to train on")
        self.moments = self.model.moments()
        if options.recalibrate and not self.moments:
            raise RunError("recalibrate: the model has no BatchNormalization to recalibrate")
        self.batch_size = min(options.batch_size, max(s.n for s in self.shards))    # no larger than the largest shard
        self.verdict = Verdict(options, self.model, self.data, self.validation)
        self.passes = Passes(self.run, self.model, self.data, self.validation, self.exchange, options.workers, self.told,
                             lambda: self.lease.check())
        self.metrics = self.verdict.metrics
        self.rules = (stopping.parse(options.until, {n for n, m in self.metrics.items() if m.rising})
                      if options.until else stopping.default(bool(self.validation)))
        stopping.check(self.rules, self.metrics, bool(self.validation))
        self.patience = next((r for r in self.rules if isinstance(r, stopping.Patience)), None)
        self.epochs = self.verdict.epochs
        self.fixed = [(start, variance + n + 1) for start, variance, n in moments.places_of(self.model)]
        self.frozen = self.model.frozen()
        if sum(stop - start for start, stop in self.frozen) == self.model.count_params():
            raise RunError("all layers of the model are frozen (trainable=False): there is nothing to train")
        self.rhythm = Rhythm(options, self.batch_size, self.data, self.validation)
        self.coding = coding(options.compress_broadcast)    # of the broadcast; None: it is the state itself
        self.feedback = options.compress is not None and coding(options.compress).feedback
        limit = [rule.n for rule in self.rules if isinstance(rule, stopping.Epochs)]
        self.listeners = Listeners(self.callbacks, self.run, self.model, self.metrics, self._show, min(limit, default=None))
        self.passed: int | None = None      # a round after which a callback has stopped a run that goes on all the same
        self.targets: metrics.Sums = {}             # statistics of the targets last scored, else last trained on
        self.gone: set[int] = set()         # rounds whose states had been removed before this driver began
        self.plans: dict[tuple, tuple] = {}     # that of the round to come: see _plan
        self.stored = 1.0                   # the rate scale in the file of the newest state

    # -- the loop

    def train(self) -> dict[str, Any]:
        """Runs the rest of the run, to its end; returns the content of finished.json."""
        with Lease(self.run.store) as self.lease, self._gauged(), Committer(
                self.run, self.lease, self.gauges, self.options.keep_rounds, self.patience, self.gone) as self.committer:
            self.run.sweep()
            records, o = self.run.records(), self.options
            extension.check(self.run, entries(records), self.rules, o.until, self.learning_rate)
            state = self._resume(records) if records else None
            rate = {"after": len(records) - 1, "learning_rate": self.learning_rate}
            self.rate = self.run.go_on(self.data.url, self.validation[0][0].url if self.validation else None,
                                       {"until": o.until, "keep_rounds": o.keep_rounds},
                                       None if self.learning_rate is None else rate)["rate"]
            if state and self.rate and self.rate["after"] == state.round:
                state.rate_scale = 1.0          # a new learning rate is not scaled by earlier roll-backs
            if done := self.run.finished():
                return done
            self._listen(state, records)
            self.exchange.begin(self.run.url, self.lease.check)
            state, finite = state or self._first(), True
            while not (reason := self._reason(state.round, scored=False)):
                if not (state.group or state.part):
                    self._told_callbacks(self.listeners.epoch_begins, state)
                try:
                    new, record, score = self._round(state)
                except Exception:
                    self.lease.check()          # if another driver's clean-up made the round fail, report that instead
                    raise
                if score:
                    self._scored(state.round, score)
                    # about the state before this round, whose score is known now
                    reason = self._reason(state.round, scored=True)
                finite = new is not None or bool(reason)
                if not finite:
                    reason = record["reason"]
                if score:
                    self.told("scored", {"round": state.round, "score": score, "ends": bool(reason)})
                if reason:
                    break
                changed = self._told_callbacks(self.listeners.round_ends, new, record, self.sums, self._score_new, state)
                self._commit(new, record, score, changed)
                for text in advice.of_workers(self.shards, o.workers, o.batch_size) if state.round == 0 else ():
                    self.told("note", {"text": text})
                if state.round == 0 and not self.rhythm.ruled and record["present"] > 4 * record["trained"]:
                    self.told("warning", {"text": f"a round reads {record['present']:,} examples to "
                                          f"train on {record['trained']:,} of them: make the shards smaller, "
                                          "or the averaging frequency larger"})
                state = new
                if by := asked(self.run.store, self.lease.token):
                    self.committer.end()
                    self.run.write_history(self.history[1:])
                    raise RunStopped(f"{self.run.url}: stopped after round {state.round}, as {by} asked")
            return self._finish(state, reason, finite)

    @contextmanager
    def _gauged(self) -> Iterator[None]:
        """On leaving, writes the final metrics.prom, unless another driver has the run, or nothing was done."""
        self.gauges = Gauges(self.run.store)
        try:
            yield
        except BaseException as error:
            if self.history and not isinstance(error, LeaseLost):
                self.gauges.write(self.history, "stopped")
            raise
        self.gauges.write(self.history, "finished")

    def _first(self) -> State:
        """Makes the state before the first round, and adapts Normalization."""
        self.passes.adapt()
        model, weights = self.model, self.model.weights
        state = State(self.verdict.begun(weights), len(weights), rate_scale=model.rate_scale)
        if self.verdict.outer:
            state.outer = np.zeros((self.verdict.outer.slots, len(weights)), weights.dtype)
        if model.iterations and self.options.save_updater:
            state.slots[:], state.iterations = model.slots, model.iterations
            name, rate = type(model.optimizer).__name__, model.optimizer.learning_rate
            self.told("note", {"text": f"continues with {name}'s state after {model.iterations:,} updates"
                               + (f", at the learning rate {rate * model.rate_scale:g}" if isinstance(rate, float) else "")
                               + "; to reset it: --fresh-updater (in Python: compile)"})
        if self.feedback and self.options.save_updater is True and len(state.slots):
            self.told("note", {"text": f"most of what workers send is {type(model.optimizer).__name__}'s state, 2 bytes a value; to leave it with "
                               'them: --updater-state keep (in Python: save_updater="keep")'})
        record = {"round": 0, "epochs": 0, "progress": 0.0, "elapsed": 0.0}
        self._commit(state, record | ({CALLBACKS: self.listeners.facts()} if self.listeners else {}), None)
        return state

    def _resume(self, records: list[dict[str, Any]]) -> State:
        state = self.run.state(len(records) - 1)
        if state.profile != profile():
            raise RunError(f"{self.run.url} was begun with {state.profile}; this machine has {profile()}: "
                           "results would not be bit-identical, so the run cannot be resumed here")
        self.history = entries(records)
        self.told("resumed", {"round": state.round})
        self.gone |= set(range(len(records))) - set(self.run.states())
        self.stored = state.rate_scale
        return state

    def _listen(self, state: State | None, records: list[dict[str, Any]]) -> None:
        """Begins with the callbacks, at the run's newest state."""
        ended = self.run.ended() if state else None
        if ended and ended["rounds"] == state.round:
            self.passed = state.round
        rated = bool(state and self.rate and self.rate["after"] >= state.round)
        fresh = bool(state) and self.passed == state.round and "stop" in self.history[-1]
        self.listeners.warn(self.told)
        self._told_callbacks(self.listeners.begin, records[-1] if records else None, state, rated, fresh)

    def _told_callbacks(self, call: Callable, *args: Any) -> Any:
        """Calls callbacks; tasks get the learning rate that they have set with the model's spec."""
        before = self.model.optimizer.learning_rate
        found = call(*args)
        if self.model.optimizer.learning_rate != before:
            self.spec = self.model.to_json()
        return found

    def _score_new(self) -> dict[str, metrics.Value]:
        """The scores of the state that a round has just made, which the model has; {} if there is no held-out data."""
        if not self.validation:
            return {}
        found, self.targets = self.passes.score_model("scored-epoch", "scores the epoch")
        return found

    def _show(self, state: State) -> None:
        """Gives the model the weights of a state, and what goes with them."""
        model = self.model
        model.weights[:], model.slots, model.iterations = state.weights, state.slots, state.iterations
        model.rate_scale = state.rate_scale
        if state.round and not any(self.options.averages_updater(k) for k in range(1, state.round + 1)):    # each worker has its own
            model.slots, model.iterations = model.optimizer.start(model.weights), 0
        model.epochs = self.epochs + state.epoch + bool(state.group or state.part)      # an epoch that has begun counts

    def _reason(self, r: int, scored: bool) -> str | None:
        if not scored and r != self.passed and "stop" in self.history[r]:
            return self.history[r]["stop"]
        reasons = (rule.reason(self.history, r) for rule in self.rules
                   if r and (rule.scored == scored or rule.watched in self.history[r]))
        return next(filter(None, reasons), None)

    def _scored(self, r: int, score: dict[str, metrics.Value]) -> None:
        self.history[r].update(score)

    def _round(self, state: State):
        """Runs one round from `state`; returns (next state or None, its record, the score of `state` or None).

        If the new weights or the loss are not finite, the round runs again from `state`, at half the rate."""
        rate, spent = state.rate_scale, 0.0
        for retry in range(min(self.exchange.failed(state.round + 1), self.options.retries), self.options.retries + 1):
            began = time.perf_counter()
            state.rate_scale = rate * 0.5 ** retry
            asked, group, mappers = self._plan(state)
            coded = self.coding and broadcast(state, self.model.places(), self.coding, self.options.seed, self.run.store)
            path, aside = self.run.state_path(state.round), state.rate_scale != self.stored
            if aside:                           # the committed file has the old rate
                path = self.run.store.path(f"retry-{state.round:06d}.safetensors")
                self.run.store.write(f"retry-{state.round:06d}.safetensors", state.dump())
            self.exchange.foresee(lambda state=state, asked=asked, group=group: self._coming(state, asked, group))
            merged = self._exchanged(coded.state if coded else state, path, asked, mappers, asked.size(state), coded)
            if aside:
                self.run.store.remove(f"retry-{state.round:06d}.safetensors")
            if merged.vector is not None:
                before = np.zeros_like(state.vector) if asked.changes else state.vector     # what is sent is a change
                merged = replace(merged, vector=asked.whole(merged.vector, before, state.parameters))
            found = self.verdict.checked(merged, asked, state)
            self.sums = found.sums
            self.targets = found.targets or self.targets
            new, record = self.verdict.next(state, asked, group, merged, found, self.history[-1])
            if not self.options.cut:            # else each fragment is sent by itself
                record["broadcast"] = coded.nbytes if coded else state.vector.nbytes
            if self.rate:
                record["learning_rate"] = self.rate["learning_rate"]
            spent += time.perf_counter() - began
            if np.isfinite(new.vector).all() and np.isfinite(new.outer).all() and np.isfinite(record["loss"]):
                record |= {"seconds": found.seconds | {"round": spent}, "rollbacks": retry,
                           "elapsed": self.history[-1]["elapsed"] + spent,
                           "by_worker": [{"worker": r.worker, "shard": r.shard, **r.seconds} for r in found.trained]}
                record |= self.rhythm.facts(asked, merged.records, self.exchange.lanes, None if retry else spent)
                if merged.job:
                    record["job"] = merged.job | {"worker_memory": max(r.memory for r in found.trained)}
                return new, record, found.score
            if left := self.options.retries - retry:
                self.told("rollback", {"round": asked.round, "rate_scale": state.rate_scale / 2, "left": left})
        return None, {"reason": f"not finite: the weights or the loss of round {asked.round}, even at {0.5 ** retry:g} "
                                "of the learning rate; lower the learning rate or scale the inputs"}, found.score

    def _exchanged(self, state: State, path: str, asked: plan.Plan, mappers: list, size: int, coded: Broadcast | None) -> Merged:
        """Runs the round's job. If it fails for a reason that may pass (memory, a machine), it is tried once more."""
        for attempt in range(JOB_ATTEMPTS):
            try:
                return self.exchange.round(
                    f"mrdl {self.run.url} round {asked.round}", state, path, self.committer.settle, asked,
                    mappers, size, self.exchange.reducers(self.options.workers, size),
                    on_task=self.passes.task(f"round {asked.round}"), coded=coded)
            except (JobFailed, OSError) as error:
                unmask(error)
                self.lease.check()
                self.committer.settle()         # if the commit failed, raises its error
                if attempt == JOB_ATTEMPTS - 1 or is_final(error):
                    raise
                self.told("warning", {"text": f"round {asked.round} failed and is tried again: {error}"})

    def _coming(self, state: State, asked: plan.Plan, group: list[Shard]) -> Coming | None:
        """The round after the one with the plan `asked`, if all that workers need to know of it is known, and a rule does not end the
        run before. (Whether another rule does, or the weights are not finite, is seen later.) Callbacks may change its state."""
        if self.listeners or self.rhythm.ruled or self.options.tbptt is not None or not asked.averages or asked.folder or asked.moments or \
                asked.fixed or asked.size(state) != len(state.vector):
            return None
        updates = max(-(-schedule.share(s, asked.first, asked.count, asked.batch_size) // asked.batch_size) for s in group)
        new = self.verdict.after(state, asked, group, updates)
        if any(rule.reason({new.round: {"epochs": new.epoch}}, new.round) for rule in self.rules
               if isinstance(rule, (stopping.Rounds, stopping.Epochs))):
            return None
        following, _, mappers = self._plan(new)
        return Coming(new, self.run.state_path(new.round), following, mappers)

    def _plan(self, state: State) -> tuple[plan.Plan, list[Shard], list[list[str]]]:
        """The plan of the round after a state, its shards, and the inputs of its mappers."""
        key = state.round, state.iterations, state.rate_scale
        if key not in self.plans:               # else it was known before the round that made the state
            self.plans = {key: self._planned(state)}
        return self.plans[key]

    def _planned(self, state: State) -> tuple[plan.Plan, list[Shard], list[list[str]]]:
        o = self.options
        group = self.verdict.groups(state.epoch)[state.group]
        course = self.verdict.course(state, self._last(state)) if o.straight else []
        if course:
            group = [shard for _, shard in course]
        first, count = self.rhythm.part(state, self.history, self.model.optimizer.rate(state.iterations) * state.rate_scale)
        active = [(slot, s) for slot, s in enumerate(group[:1] if course else group) if schedule.share(s, first, count, self.batch_size)]
        read = group if course else [shard for _, shard in active]
        held = self.validation if course or self.rhythm.due(self.history, state.round) else []
        averaged = o.averages_updater(state.round + 1)
        asked = plan.Plan(
            self.spec, state.round + 1, self.epochs + state.epoch, first, count, self.batch_size, o.seed,
            [],
            {plan.name(self.data.uid, s.index): slot for slot, s in active},
            [(epoch, plan.name(self.data.uid, s.index)) for epoch, s in course], [plan.name(d.uid, s.index) for d, s in held if course],
            [plan.name(d.uid, s.index) for d, s in held if not course], seals([(self.data, s) for s in read] + held),
            averaged, not averaged and bool(o.save_updater), o.class_weight,
            self.moments if len(active) > 1 else [],
            self.fixed, self.frozen, {"tbptt": o.tbptt, "tbptt_backward": o.tbptt_backward, "buckets": o.buckets},
            o.compress, o.compress_broadcast is not None, self.run.url if o.keeping else "",
            {str(slot): state.kept[str(slot)] for slot, _ in active if str(slot) in state.kept},
            self.verdict.outer.pull if self.verdict.steps(state) else 0.0,
            self.model.optimizer.squares if self.verdict.steps(state) and self.verdict.outer.weighs else None,
            o.outer is None and o.compress is None and o.compress_broadcast is None)
        size = asked.size(state)
        asked.keys = chunk_keys(size, self.exchange.reducers(o.workers, size))
        scored = [s for _, s in held]
        mappers = ([list(dict.fromkeys(s.path for s in read + scored))] if course else
                   [*([s.path] for s in read), *self.exchange.hands(scored, o.workers)])
        return asked, group, mappers

    def _last(self, state: State) -> int:
        """Up to which epoch of this run a straight round goes."""
        ends = [rule.n for rule in self.rules if isinstance(rule, stopping.Epochs)]
        return min(ends) if len(ends) == len(self.rules) and not self.listeners else state.epoch + 1

    def _commit(self, state: State, record: dict[str, Any],
                score: dict[str, metrics.Value] | None, alone: bool = False) -> None:
        """Begins to commit in the background. `alone`: not with later rounds, as no worker knows the state."""
        self.history.append({k: v for k, v in record.items() if k not in ("by_worker", CALLBACKS)})
        self.stored = state.rate_scale
        self.committer.add(state, {**record, "score": score or None}, self.history, self._may_wait() and not alone)
        r, every = state.round, self.rhythm.every(record.get("trained", 0)) if self.validation else 0
        left = min(rule.rounds_left(self.history, r) for rule in self.rules)
        ends = left <= 0 or bool(self._reason(r, scored=False))
        self.told("round", {**record, "left": left, "total": self.total, "every": every, "scoring": bool(score),
                            "limit": min(rule.seconds_left(self.history, r) for rule in self.rules),
                            "ends": ends, "due": bool(every) and (self.rhythm.due(self.history, r) or ends)})

    def _may_wait(self) -> bool:
        """May the newest round be committed with later ones? Not if its state is needed on its own: to be scored, or kept."""
        return self.exchange.brief() and self.options.keep_rounds <= KEPT and \
            not self.rhythm.due(self.history, len(self.history) - 1)

    def best(self) -> tuple[int, str] | None:
        """The round that would be restored now, and its description; None if no rule restores the best state."""
        r = len(self.history) - 1
        return (self.patience.best(self.history, r, self.gone), "best so far") if self.patience and r > 0 else None

    def _finish(self, state: State, reason: str, finite: bool) -> dict[str, Any]:
        """Scores the last state, restores the best if a rule says so, and writes the model. `finite`: False if the run ends
        because a round's weights were not finite."""
        self.committer.end()
        r = state.round
        if self.validation and not any(k.startswith("val_") for k in self.history[r]):
            found, self.targets = self.passes.score(self.run.state_path(r), f"scores round {r}")
            self._scored(r, found)
            self.told("scored", {"round": r, "score": found, "ends": True})
        self.told("ended", {"round": r})
        best, ever = ((self.patience.best(self.history, r, self.gone), self.patience.best(self.history, r))
                      if self.patience else (r, r))
        chosen = state if best == r else self.run.state(best)
        model = self.model
        self._show(chosen)
        averaged = moving.finish(model)
        values, changed = measured(self.history[best]), self._told_callbacks(self.listeners.end) or averaged
        if self.options.recalibrate:
            self.exchange.close(True)           # a resident job would keep containers that others need
            with self.passes.aside("scored-end", model.weights) if changed else nullcontext(self.run.state_path(best)) as path:
                self.passes.recalibrate(path, self.batch_size)
        if self.validation and (changed or self.options.recalibrate):
            scored, self.targets = self.passes.score_model()
            values |= scored
        self.lease.check()
        done = {"reason": reason, "rounds": r, "best": best, "monitor": self.patience and self.patience.metric,
                "better": None if ever == best else ever,
                "finite": finite, "metrics": values}
        self.run.finish(done, self.history[1:], tensors.files(model))
        if r:
            self.run.compact()
        self.run.sweep()
        if finite and (text := self._advice(values, r)):
            self.told("note", {"text": text})
        self.told("finished", done)
        return done

    def _advice(self, values: dict[str, metrics.Value], r: int) -> str | None:
        """Advice if the model has learned nothing. Not after the first round, whose values may be from its beginning."""
        if self.validation:
            values = {name[4:]: value for name, value in values.items() if name.startswith("val_")}
        return advice.of_model(self.model, values, self.targets) if self.validation or r > 1 else None
