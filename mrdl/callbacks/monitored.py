"""Callbacks that watch one value of each epoch: they stop training, lower its learning rate, or save the model."""
import os
from typing import Any

from mrdl.callbacks.callback import Callback, Logs
from mrdl.config import ConfigError, need, shown

MODES = ("auto", "min", "max")


class Monitor(Callback):
    """The base of callbacks that watch one value.

    Args:
        monitor: its name, as in the history: "loss", "val_loss", "val_accuracy".
        mode: "min": lower is better, "max": higher is. "auto": as the loss, or the metric of this name, is better.
        min_delta: how much better than the best a value must be, 0 or more."""

    def __init__(self, monitor: str, mode: str, min_delta: float):
        super().__init__()
        need(mode in MODES, f"{type(self).__name__}: mode={shown(mode)} must be one of {', '.join(MODES)}")
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)
        self.best: float | None = None

    def value(self, logs: Logs | None) -> float:
        """The value that is watched; ConfigError if there is none of its name, or if it is more than one number.

        Args:
            logs: values by name."""
        logs, kind = logs or {}, type(self).__name__
        single = [name for name, value in logs.items() if not isinstance(value, (list, tuple))]
        need(self.monitor not in logs or self.monitor in single, f"{kind}: {self.monitor} is more than one number; there are {', '.join(single)}")
        need(self.monitor in logs, f"{kind}: there is no {shown(self.monitor)}; there are {', '.join(single)}" + (
            ", and val_... with validation data" if self.monitor.startswith("val_") and not any(name.startswith("val_") for name in logs) else ""))
        return float(logs[self.monitor])

    @property
    def rising(self) -> bool:
        """Is a higher value better?"""
        if self.mode != "auto":
            return self.mode == "max"
        name = self.monitor.removeprefix("val_")
        metric = self.model.named_metrics().get(name)
        if metric is None and name != "loss" and not name.endswith("_loss"):
            raise ConfigError(f"{type(self).__name__}: is a higher {self.monitor} better, or a lower one? Give mode='max' or mode='min'")
        return metric is not None and metric.rising

    def better(self, value: float, than: float | None) -> bool:
        """Is a value better than another one by more than min_delta?

        Args:
            value: the value.
            than: the other one. None: any is better."""
        rising = self.rising
        return than is None or (value - self.min_delta > than if rising else value + self.min_delta < than)


class EarlyStopping(Monitor):
    """Stops training when a value has not improved for some epochs.

    Args:
        monitor: the name of the value, as in the history: "loss", "val_loss", "val_accuracy".
        min_delta: how much better than the best a value must be to count as better, 0 or more.
        patience: so many epochs in a row without a better value stop training.
        verbose: 1 says when it stops, and what it restores; 0 nothing.
        mode: "min": lower is better, "max": higher is. "auto": as the loss or the metric of this name is better.
        baseline: a value that must be beaten too. None: there is none.
        restore_best_weights: whether at the end the model gets the weights of the best epoch, however training ended.
        start_from_epoch: epochs before this one are not looked at."""

    def __init__(self, monitor: str = "val_loss", min_delta: float = 0, patience: int = 0, verbose: int = 0, mode: str = "auto",
                 baseline: float | None = None, restore_best_weights: bool = False, start_from_epoch: int = 0):
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best: float | None = None
        self.best_weights: list | None = None

    def on_epoch_end(self, epoch, logs=None):
        value = self.value(logs)
        if epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep(epoch)
        self.wait += 1
        if self.better(value, self.best):
            self.best = value
            self._keep(epoch)
            if self.baseline is None or self.better(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = [weights.copy() for weights in self.model.get_weights()]

    def on_train_end(self, logs=None):
        if self.stopped_epoch > 0 and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(Monitor):
    """Lowers the learning rate when a value has not improved for some epochs.

    Args:
        monitor: the name of the value, as in the history: "loss", "val_loss", "val_accuracy".
        factor: what the learning rate is multiplied by, below 1.
        patience: so many epochs in a row without a better value lower the rate.
        verbose: 1 says when it does; 0 nothing.
        mode: "min": lower is better, "max": higher is. "auto": as the loss or the metric of this name is better.
        min_delta: how much better than the best a value must be to count as better, 0 or more.
        cooldown: epochs after a change that do not count.
        min_lr: the rate is not made lower than this."""

    def __init__(self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, verbose: int = 0, mode: str = "auto",
                 min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0):
        super().__init__(monitor, mode, min_delta)
        need(factor < 1.0, f"ReduceLROnPlateau: factor={shown(factor)} must be below 1")
        self.factor, self.patience, self.verbose, self.cooldown, self.min_lr = factor, patience, verbose, cooldown, min_lr
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.best: float | None = None
        self.wait = self.cooldown_counter = 0

    def on_epoch_end(self, epoch, logs=None):
        logs = {} if logs is None else logs
        rate = logs["learning_rate"] = rate_of(self)
        value = self.value(logs)
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.better(value, self.best):
            self.best, self.wait = value, 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                rate = self.model.optimizer.learning_rate = max(rate * self.factor, self.min_lr)
                if self.verbose:
                    print(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {rate}.")
                self.cooldown_counter, self.wait = self.cooldown, 0

    def in_cooldown(self) -> bool:
        """Do epochs not count, as the rate was just lowered?"""
        return self.cooldown_counter > 0


def rate_of(callback: Callback) -> float:
    """The learning rate of a callback's model; ConfigError where a schedule decides it, which a callback cannot change."""
    rate = callback.model.optimizer.learning_rate
    need(isinstance(rate, float), f"{type(callback).__name__} sets the learning rate, but the optimizer has the schedule "
         f"{type(rate).__name__}: give the optimizer a number")
    return rate


class ModelCheckpoint(Monitor):
    """Saves the model, or its weights, after epochs or after so many minibatches.

    Args:
        filepath: where `model.save` is to write. `{epoch}` in it becomes the epoch's number, from 1, and the names of the
            history become their values: "models/{epoch:02d}-{val_loss:.2f}.keras".
        monitor: the name of the value that says which model is the best, as in the history.
        verbose: 1 says when it saves; 0 nothing.
        save_best_only: whether only a model that is better than all before is saved.
        save_weights_only: whether only the weights are saved (`model.save_weights`).
        mode: "min": lower is better, "max": higher is. "auto": as the loss or the metric of this name is better.
        save_freq: "epoch", or after how many minibatches; in rounds only "epoch".
        initial_value_threshold: the value that the first one must beat. None: any is saved."""

    def __init__(self, filepath: str | os.PathLike, monitor: str = "val_loss", verbose: int = 0, save_best_only: bool = False,
                 save_weights_only: bool = False, mode: str = "auto", save_freq: str | int = "epoch",
                 initial_value_threshold: float | None = None):
        super().__init__(monitor, mode, 0.0)
        self.filepath, self.verbose = os.fspath(filepath), verbose
        self.save_best_only, self.save_weights_only, self.best = save_best_only, save_weights_only, initial_value_threshold
        self.often = Often("ModelCheckpoint", save_freq)
        need(not save_weights_only or self.filepath.endswith(".weights.h5"),
             f"ModelCheckpoint: filepath={shown(self.filepath)} must end with .weights.h5, as save_weights_only=True writes such files")
        self.epoch = 0

    def on_train_begin(self, logs=None):
        need(self.often.freq == "epoch" or "steps" in self.params,
             f'ModelCheckpoint: save_freq={self.often.freq} counts minibatches, which rounds train elsewhere; take save_freq="epoch"')

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.often.due(batch):
            self._save(self.epoch, {"batch": batch + 1, **(logs or {})})

    def on_epoch_end(self, epoch, logs=None):
        if self.often.freq == "epoch":
            self._save(epoch, logs or {})

    def _save(self, epoch: int, logs: Logs) -> None:
        if self.save_best_only:
            value = self.value(logs)
            if not self.better(value, self.best):
                self._say(f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {self.best:.5f}")
                return
            self.best = value
        try:
            path = self.filepath.format(epoch=epoch + 1, **logs)
        except (KeyError, IndexError, ValueError) as error:
            raise ConfigError(f"ModelCheckpoint: filepath={shown(self.filepath)} cannot be filled in: {error}; "
                              f"there are epoch, {', '.join(logs)}") from None
        self._say(f"\nEpoch {epoch + 1}: saving model to {path}")
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text)


class Often:
    """When something is saved: "epoch", or after how many minibatches, counted across epochs."""

    def __init__(self, what: str, freq: Any):
        need(freq == "epoch" or type(freq) is int and freq > 0, f'{what}: save_freq={shown(freq)} must be "epoch", or a number of minibatches')
        self.freq, self.seen = freq, 0

    def due(self, batch: int) -> bool:
        """To be called after each minibatch."""
        if self.freq == "epoch":
            return False
        self.seen += 1
        return self.seen % self.freq == 0
