"""Callbacks in rounds: the driver calls them, and what they decide, and what they have to know, is in the commits."""
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load, save

from mrdl import metrics
from mrdl.callbacks import Callback, CallbackList
from mrdl.config import lookup, serialize
from mrdl.models.model import Model
from mrdl.rounds.record import measured
from mrdl.rounds.state import State
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.schedules import SCHEDULES
from mrdl.storage.sealed import digest

CALLBACKS = "callbacks"                  # the key of their file in State.kept
OURS = "mrdl.callbacks"
NOT_CALLED = {f"on_{kind}_{when}" for kind in ("batch", "train_batch", "test", "test_batch") for when in ("begin", "end")}


class Listeners:
    """The callbacks of one run.

    What a callback keeps in attributes that are plain (numbers, texts, arrays, lists and dicts of them) is in each commit, arrays in
    a file of their own; a resumed run sets them again. So what it decides does not depend on where a run was interrupted.

    `given`: as for ParameterAveraging.fit; None: nobody said anything. `sync`: sets the model to a state."""

    def __init__(self, given: Any, run: Run, model: Model, named: dict[str, metrics.Metric], sync: Callable[[State], None], epochs: int | None):
        self.given, self.run, self.model, self.named, self.sync = given, run, model, named, sync
        self.calls = CallbackList(given, model=model, verbose=1, epochs=epochs)
        self.all = self.calls.callbacks
        self.before = (model.weights.copy(), model.slots, model.iterations, model.rate_scale, model.epochs,
                       model.optimizer.learning_rate) if self.all else None
        self.sums: metrics.Sums = {}            # of the rounds of the epoch so far
        self.logs: dict[str, Any] = {}          # of the last epoch
        self.first: list[dict[str, Own]] = []   # what each kept before the first round
        self.carried = False                    # was a rate decided by callbacks that are gone?

    def __bool__(self) -> bool:
        return bool(self.all)

    @property
    def names(self) -> list[str]:
        return [type(one).__name__ for one in self.all]

    def warn(self, told: Callable[[str, dict[str, Any]], None]) -> None:
        """Says which methods of users' callbacks are not called."""
        for one in self.all:
            own = vars(one) if type(one).__module__.startswith(OURS) else {
                name for name in dir(Callback) if getattr(type(one), name, None) is not getattr(Callback, name)}
            for name in sorted(NOT_CALLED & set(own)):
                told("warning", {"text": f"{type(one).__name__}.{name} is not called in rounds, as workers do what it would see"})

    def begin(self, record: dict[str, Any] | None, state: State | None, rated: bool, fresh: bool) -> None:
        """Calls on_train_begin, and sets what was committed.

        Args:
            record: that of the newest commit; None: the run is new.
            state: that of the newest commit.
            rated: did the user give a learning rate after it?
            fresh: does the run go on though a callback has ended it? Then they begin anew, as in a further `fit`."""
        facts = (record or {}).get(CALLBACKS)
        if facts and self.given is None and facts["names"]:
            raise RunError(f"{self.run.url} was begun with callbacks ({', '.join(facts['names'])}): give them again, in Python: "
                           "mrdl.resume(run, callbacks=[...]); or callbacks=[] to go on without them")
        if facts and self.all and facts["names"] and facts["names"] != self.names:
            raise RunError(f"{self.run.url} was begun with callbacks ({', '.join(facts['names'])}), not with these ({', '.join(self.names)})")
        if facts and not rated:
            rate = facts["learning_rate"]
            self.model.optimizer.learning_rate = lookup(rate, SCHEDULES, "learning-rate schedule") if isinstance(rate, dict) else rate
        self.carried = bool(facts)
        if state:
            self.sync(state)
        self.model.stop_training = False
        rate = self.model.optimizer.learning_rate
        self.calls.on_train_begin()
        self.first = [_plain(one, f"{number}/") for number, one in enumerate(self.all)]
        if state:                               # what they did to the model is committed already
            self.sync(state)
            self.model.optimizer.learning_rate = rate
        if facts and not fresh:
            self.sums = metrics.add({}, facts["sums"])
            arrays = self._arrays(state)
            for one, own in zip(self.all, facts["states"]):
                vars(one).update({name: _restored(value, arrays) for name, value in own.items()})

    def _arrays(self, state: State) -> dict[str, np.ndarray]:
        if CALLBACKS not in state.kept:
            return {}
        name, wanted = state.kept[CALLBACKS]
        data = self.run.store.read(name)
        if digest(data) != wanted:
            raise RunError(f"{self.run.url}/{name} is damaged, which has what callbacks keep; go on without them: callbacks=[]")
        return load(data)

    def epoch_begins(self, state: State) -> None:
        """Before the first round of an epoch."""
        if self.all:
            self.sync(state)
            self.calls.on_epoch_begin(state.epoch)
            if not _same(self.model.weights, state.weights):
                raise RunError("a callback has changed weights in on_epoch_begin, which rounds cannot take over; do it in on_epoch_end")

    def round_ends(self, state: State, record: dict[str, Any], sums: metrics.Sums, score: Callable[[], dict[str, Any]], before: State) -> bool:
        """After a round and before its commit: adds what callbacks decide to its record and to its state; returns whether they have
        changed weights.

        Args:
            state: the state after the round.
            record: the round's.
            sums: those of the round's training.
            score: scores the model on the held-out data, at an epoch's end; {} if there are none.
            before: the state before the round."""
        if not self.all:
            if self.carried:
                record[CALLBACKS] = self.facts()
            return False
        self.sync(state)
        metrics.add(self.sums, sums)
        rate, ended, stopper = self.model.optimizer.learning_rate, state.epoch > before.epoch, ""
        if isinstance(rate, float):
            record["learning_rate"] = rate
        if ended and not any(name.startswith("val_") for name in record):
            record |= score()
        logs = measured(record)
        for name, when in (("on_round_end", state.round), ("on_epoch_end", before.epoch)):
            if name == "on_epoch_end":
                if not ended:
                    break
                whole = {k: v for k, v in metrics.values(self.sums, self.named).items() if k != "gradient_norm"}
                self.logs = logs = whole | {k: v for k, v in logs.items() if k.startswith("val_")}
                self.sums = {}
            for one in self.all:
                if method := getattr(one, name, None):
                    method(when, logs)
                if self.model.stop_training and not stopper:
                    stopper = type(one).__name__
        if stopper:
            when = f"epoch {before.epoch + 1}" if ended else f"round {state.round}"
            record["stop"] = f"{stopper} stopped training after {when}"
        if changed := not _same(self.model.weights, state.weights):
            state.vector = state.vector.copy()
            state.weights[:] = self.model.weights
        record[CALLBACKS] = self.facts(state)
        return changed

    def facts(self, state: State | None = None) -> dict[str, Any]:
        """What a commit says of them; arrays are written to a file, which the state names."""
        states, arrays = [], {}
        for number, (one, first) in enumerate(zip(self.all, self.first)):
            found = {name: own for name, own in _plain(one, f"{number}/").items() if name not in first or own.value != first[name].value}
            states.append({name: own.value for name, own in found.items()})
            for own in found.values():
                arrays |= own.arrays
        if state is not None:
            before = state.kept.get(CALLBACKS)
            state.kept = {slot: file for slot, file in state.kept.items() if slot != CALLBACKS}
            if arrays:
                data = save(arrays)
                whole = digest(data)
                name = f"callbacks-{state.round:06d}-{whole[:16]}.safetensors"
                if before and before[1] == whole:
                    name = before[0]
                else:
                    self.run.store.write(name, data)
                state.kept[CALLBACKS] = [name, whole]
        return {"names": self.names, "states": states, "learning_rate": serialize(self.model.optimizer.learning_rate),
                "sums": metrics.plain(self.sums)}

    def end(self) -> bool:
        """Calls on_train_end with the model that the run gives; returns whether that has changed its weights."""
        before = self.model.weights.copy() if self.all else self.model.weights
        self.calls.on_train_end(self.logs)
        return not _same(before, self.model.weights)

    def undo(self) -> None:
        """Gives the model back as it was, so that after an interruption the same `fit` can go on with the run."""
        if self.before:
            model = self.model
            model.weights[:], model.slots, model.iterations, model.rate_scale, model.epochs, model.optimizer.learning_rate = self.before


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Have two vectors the same bits?"""
    return np.array_equal(a.view(f"u{a.itemsize}"), b.view(f"u{b.itemsize}"))


class Own(NamedTuple):
    """An attribute of a callback."""
    value: Any                          # as JSON gives it
    arrays: dict[str, np.ndarray]       # those that it names


def _plain(callback: Callback, where: str) -> dict[str, Own]:
    """The attributes of a callback that JSON and arrays can hold."""
    found = {}
    for name, value in vars(callback).items():
        arrays: dict[str, np.ndarray] = {}
        with suppress(TypeError, ValueError, RecursionError):
            found[name] = Own(json.loads(json.dumps(_coded(value, arrays, f"{where}{name}"))), arrays)
    return {name: own for name, own in found.items() if name not in ("params", "model")}


def _coded(value: Any, arrays: dict[str, np.ndarray], where: str) -> Any:
    """The value in a form for JSON; TypeError if it is of another kind."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        arrays[where] = np.ascontiguousarray(value)
        return {"array": where, "hash": digest(arrays[where].tobytes()), "shape": list(value.shape)}
    if isinstance(value, (list, tuple)):
        return [_coded(one, arrays, f"{where}/{number}") for number, one in enumerate(value)]
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise TypeError
        return {name: _coded(one, arrays, f"{where}/{name}") for name, one in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError


def _restored(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The value of such a form."""
    if isinstance(value, dict):
        return arrays[value["array"]] if set(value) == {"array", "hash", "shape"} else {name: _restored(one, arrays) for name, one in value.items()}
    return [_restored(one, arrays) for one in value] if isinstance(value, list) else value
