"""The callback TensorBoard."""
import os
import time
from typing import Any

from mrdl.callbacks.callback import Callback, Logs
from mrdl.config import ConfigError, need, shown


class TensorBoard(Callback):
    """Writes event files, which `tensorboard --logdir logs` shows. It needs the package tensorboard: pip install 'mrdl[tensorboard]'.

    Scalars are in the folders `train` and `validation`: `epoch_loss`, `epoch_learning_rate` and so on by epoch. With `histogram_freq`
    there are histograms of each weight (`dense/kernel/histogram`), and of how it has changed since the last one
    (`dense/kernel/update`). Hyperparameters are those of the optimizer, and `hparams`.

    Args:
        log_dir: the folder, on this machine.
        histogram_freq: after how many epochs weights and their updates are written as histograms. 0: never.
        write_graph: writes nothing, as in Keras.
        write_images: only False.
        write_steps_per_second: whether `epoch_steps_per_second` is written: updates in a second.
        update_freq: "epoch", or after how many minibatches scalars `batch_loss` and so on are written too; "batch" is 1. In rounds
            those are `round_loss` and so on, after so many rounds.
        profile_batch: only 0.
        embeddings_freq: only 0.
        embeddings_metadata: only None.
        hparams: further hyperparameters by name: numbers, texts, true or false. (Not in Keras.) None: there are none."""

    def __init__(self, log_dir: str | os.PathLike = "logs", histogram_freq: int = 0, write_graph: bool = True, write_images: bool = False,
                 write_steps_per_second: bool = False, update_freq: str | int = "epoch", profile_batch: int | tuple = 0,
                 embeddings_freq: int = 0, embeddings_metadata: Any = None, *, hparams: dict[str, Any] | None = None):
        super().__init__()
        for name, value in (("write_images", write_images), ("profile_batch", profile_batch), ("embeddings_freq", embeddings_freq),
                            ("embeddings_metadata", embeddings_metadata)):
            need(not value, f"TensorBoard: {name}={shown(value)} is not supported; leave it out")
        need(update_freq in ("epoch", "batch") or type(update_freq) is int and update_freq > 0,
             f'TensorBoard: update_freq={shown(update_freq)} must be "epoch", "batch", or a number of minibatches')
        self.log_dir, self.histogram_freq, self.write_steps_per_second = os.fspath(log_dir), histogram_freq, write_steps_per_second
        need("://" not in self.log_dir, f"TensorBoard: log_dir={shown(self.log_dir)} must be a path on this machine")
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self.hparams, self.batches, self.before = hparams or {}, 0, None
        try:
            from mrdl.callbacks.events import Events
        except ImportError:
            raise ConfigError("TensorBoard needs the package tensorboard: pip install 'mrdl[tensorboard]'") from None
        self.made, self.events = Events, None
        odd = [name for name, value in self.hparams.items() if not isinstance(value, (bool, int, float, str))]
        need(not odd, f"TensorBoard: hparams {shown(odd)} must be numbers, texts, true or false")

    def _scalars(self, kind: str, logs: Logs | None, step: int) -> None:
        for name, value in (logs or {}).items():
            if not isinstance(value, (list, tuple)):
                run = "validation" if name.startswith("val_") else "train"
                self.events.scalar(run, f"{kind}_{name.removeprefix('val_')}", value, step)

    def on_train_begin(self, logs=None):
        self.on_train_end()
        model, self.batches = self.model, 0
        self.before = model.weights.copy() if self.histogram_freq else None
        optimizer = model.optimizer
        known = {"optimizer": type(optimizer).__name__} | {
            name: value for name, value in optimizer.get_config().items() if isinstance(value, (bool, int, float, str))}
        if not isinstance(optimizer.learning_rate, float):
            known["learning_rate"] = type(optimizer.learning_rate).__name__
        self.events = self.made(self.log_dir)
        self.events.hparams(known | self.hparams)
        self.events.flush()

    def on_train_batch_end(self, batch, logs=None):
        self._often("batch", logs)

    def on_round_end(self, round, logs=None):
        self._often("round", logs)

    def _often(self, kind: str, logs: Logs | None) -> None:
        self.batches += 1
        if self.update_freq != "epoch" and self.batches % self.update_freq == 0:
            self._scalars(kind, logs, self.batches)

    def on_test_end(self, logs=None):
        if self.events is None:                 # `evaluate`, not `fit`
            self.events = self.made(self.log_dir)
        for name, value in (logs or {}).items():
            if not isinstance(value, (list, tuple)):
                self.events.scalar("validation", f"evaluation_{name}_vs_iterations", value, self.model.iterations)
        self.events.flush()

    def on_epoch_begin(self, epoch, logs=None):
        if self.write_steps_per_second:
            self.began, self.done = time.time(), self.model.iterations

    def on_epoch_end(self, epoch, logs=None):
        model, logs = self.model, dict(logs or {})
        logs["learning_rate"] = model.optimizer.rate(model.iterations)
        if self.write_steps_per_second:
            logs["steps_per_second"] = (model.iterations - self.done) / max(time.time() - self.began, 1e-9)
        self._scalars("epoch", logs, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for step, weight, start in model.places():
                now, then = (of[start:start + weight.size] for of in (model.weights, self.before))
                self.events.histogram("train", f"{step.name}/{weight.name}/histogram", now, epoch)
                self.events.histogram("train", f"{step.name}/{weight.name}/update", now - then, epoch)
            self.before = model.weights.copy()
        self.events.flush()

    def on_train_end(self, logs=None):
        if self.events is not None:
            self.events.close()
            self.events = None
