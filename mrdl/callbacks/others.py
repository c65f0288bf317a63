"""Callbacks that write a log, set the learning rate, stop at a loss that is not finite, or go on after a crash."""
import csv
import json
import math
import os
from collections.abc import Callable, Iterable

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from mrdl.callbacks.callback import Callback
from mrdl.callbacks.monitored import Often, rate_of
from mrdl.config import ConfigError, need, shown
from mrdl.storage.schemes import store_at
from mrdl.storage.sealed import digest, seal, unsealed
from mrdl.storage.tensorfile import packed


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch.

    Args:
        schedule: schedule(epoch, rate) -> the new rate; epoch counts from 0. One that takes only the epoch is called with that.
        verbose: 1 says the rate of each epoch; 0 nothing."""

    def __init__(self, schedule: Callable[..., float], verbose: int = 0):
        super().__init__()
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch, logs=None):
        rate = rate_of(self)
        try:
            rate = self.schedule(epoch, rate)
        except TypeError:                       # as in Keras
            rate = self.schedule(epoch)
        need(isinstance(rate, (float, np.floating)), f"LearningRateScheduler: schedule gave {shown(rate)}, which is no float")
        self.model.optimizer.learning_rate = float(rate)
        if self.verbose:
            print(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = rate_of(self)


class CSVLogger(Callback):
    """Writes a line for each epoch into a CSV file: the epoch's number, then its values by name.

    Args:
        filename: a path on this machine.
        separator: what stands between two values.
        append: whether lines are added to the file that is there. False: it is replaced."""

    def __init__(self, filename: str | os.PathLike, separator: str = ",", append: bool = False):
        super().__init__()
        self.filename, self.sep, self.append = os.fspath(filename), separator, append
        need("://" not in self.filename, f"CSVLogger: {self.filename} must be a path on this machine; a run has its own log, history.jsonl")
        self.keys: list[str] | None = None
        self.size = 0                           # bytes written: what a crashed driver wrote after the last commit is cut off

    def on_train_begin(self, logs=None):
        self.size = os.path.getsize(self.filename) if self.append and os.path.exists(self.filename) else 0
        self.keys = None

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        self.size = min(self.size, os.path.getsize(self.filename) if os.path.exists(self.filename) else 0)
        first = not self.size
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(name.startswith("val_") for name in self.keys):
                self.keys += [f"val_{name}" for name in self.keys]      # as in Keras
        with open(self.filename, "a" if self.size else "w", newline="") as file:
            file.truncate(self.size)
            writer = csv.writer(file, delimiter=self.sep)
            if first:
                writer.writerow(["epoch", *self.keys])
            writer.writerow([epoch, *(_cell(logs.get(name, "NA")) for name in self.keys)])
        self.size = os.path.getsize(self.filename)


def _cell(value: object) -> object:
    """A value as Keras writes it."""
    return f'"[{", ".join(map(str, value))}]"' if isinstance(value, Iterable) and not isinstance(value, str) else value


class TerminateOnNaN(Callback):
    """Stops training when the loss is NaN or infinite.

    In rounds the driver tries a round that is not finite again, at half the rate, so that this is rarely needed there.

    Args:
        raise_error: whether to raise a RuntimeError. False: training ends as usual."""

    def __init__(self, raise_error: bool = False):
        super().__init__()
        self.raise_error = raise_error

    def on_train_batch_end(self, batch, logs=None):
        self._look(f"Batch {batch}", logs)

    def on_round_end(self, round, logs=None):
        self._look(f"Round {round}", logs)

    def _look(self, when: str, logs: dict | None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(f"{when}: the loss is {loss}; training ends, as TerminateOnNaN(raise_error=True) asks")
        print(f"{when}: Invalid loss, terminating training")
        self.model.stop_training = True


BACKUP, PREVIOUS = "latest.safetensors", "previous.safetensors"


class BackupAndRestore(Callback):
    """Saves what `fit` needs to go on, and after a crash the same `fit` goes on from there: weights, the optimizer's state, the
    learning rate and the number of the epoch. The bits are those of a `fit` that was not interrupted.

    In rounds it does nothing: each round is committed, and the run's directory is the backup.

    Args:
        backup_dir: a folder for this alone: a path or an hdfs:// URL.
        save_freq: "epoch", or after how many minibatches. An epoch that was interrupted begins anew, as in Keras.
        double_checkpoint: whether the backup before the last one is kept too, and taken if the last one is damaged.
        delete_checkpoint: whether the backups are removed when training has ended."""

    def __init__(self, backup_dir: str | os.PathLike, save_freq: str | int = "epoch", double_checkpoint: bool = False,
                 delete_checkpoint: bool = True):
        super().__init__()
        need(bool(backup_dir), "BackupAndRestore: backup_dir is empty; give a folder")
        self.backup_dir, self.double_checkpoint, self.delete_checkpoint = os.fspath(backup_dir), double_checkpoint, delete_checkpoint
        self.often, self.epoch = Often("BackupAndRestore", save_freq), 0

    @property
    def _here(self) -> bool:
        """Is it `fit` that trains, not rounds?"""
        return "steps" in self.params

    def on_train_begin(self, logs=None):
        if not self._here:
            return
        store, errors = store_at(self.backup_dir), []
        for name in (BACKUP, PREVIOUS):
            if store.exists(name):
                try:
                    self._restore(store.read(name), store.path(name))
                    return
                except ConfigError as error:
                    errors.append(error)
        if errors:
            raise errors[0]

    def _restore(self, data: bytes, path: str) -> None:
        model = self.model
        try:
            found = load(data)
            facts = unsealed(json.loads(data[8:8 + int.from_bytes(data[:8], "little")])["__metadata__"]["mrdl"])
            if facts["hash"] != _hash(found):
                raise ValueError("its hash does not fit")
        except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ConfigError(f"{path} is damaged: {shown(str(error))}; remove it to begin anew") from None
        slots = model.slots
        need((found["weights"].shape, found["slots"].shape, found["weights"].dtype) == (model.weights.shape, slots.shape, slots.dtype)
             and facts["optimizer"] == type(model.optimizer).__name__, f"{path} is of another model; give another backup_dir, or remove it")
        model.weights[:], slots[:] = found["weights"], found["slots"]
        model.iterations, model.epochs, model.rate_scale = facts["iterations"], facts["epochs"], facts["rate_scale"]
        if facts["learning_rate"] is not None:
            model.optimizer.learning_rate = facts["learning_rate"]
        self.params["initial_epoch"] = facts["epoch"]

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.often.due(batch):
            self._save(self.epoch)

    def on_epoch_end(self, epoch, logs=None):
        if self.often.freq == "epoch" and self._here:
            self._save(epoch + 1)

    def _save(self, epoch: int) -> None:
        """`epoch`: with which one to go on."""
        model, store, rate = self.model, store_at(self.backup_dir), self.model.optimizer.learning_rate
        tensors = {"weights": model.weights, "slots": model.slots}
        facts = {"epoch": epoch, "iterations": model.iterations, "epochs": model.epochs, "rate_scale": model.rate_scale,
                 "optimizer": type(model.optimizer).__name__, "learning_rate": rate if isinstance(rate, float) else None, "hash": _hash(tensors)}
        if self.double_checkpoint and store.exists(BACKUP):
            store.rename(BACKUP, PREVIOUS)
        store.write(BACKUP, packed(tensors, {"mrdl": json.dumps(seal(facts))}))

    def on_train_end(self, logs=None):
        if self.delete_checkpoint and self._here:
            store = store_at(self.backup_dir)
            for name in (BACKUP, PREVIOUS):
                store.remove(name)
            store.vacate()


def _hash(tensors: dict[str, np.ndarray]) -> str:
    return digest(tensors["weights"].tobytes() + tensors["slots"].tobytes())
