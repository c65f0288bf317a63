"""Trainer: what a model does on arrays in this process: compile, fit, evaluate, predict, as in Keras."""
from typing import Any

import numpy as np

from mrdl import metrics as metrics_of
from mrdl.callbacks import History
from mrdl.config import ConfigError, lookup, need, shown, typed
from mrdl.losses import LOSSES, Loss
from mrdl.models import sharing
from mrdl.optimizer import Optimizer
from mrdl.optimizers import OPTIMIZERS
from mrdl.training import arrays
from mrdl.training.protocol import Head, LayeredModel


class Trainer:
    """The half of Model that trains, scores and predicts; the other has layers, weights and files."""

    def __init__(self):
        self.optimizer: Optimizer | None = None
        self.loss: Loss | list[Loss] | None = None      # a list where there are several outputs
        self.loss_weights: list[float] = [1.0]
        self.metrics: list = []                         # of one output; of several a list of lists
        self.stop_training = False                      # a callback sets it
        self.history: History | None = None             # of the last `fit`
        self.epochs = 0         # trained: the next one's order and dropout are of this number
        self.fresh_updater()

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"learner": None}           # a copy makes its own

    def fresh_updater(self) -> None:
        """Training begins with an updater that has done nothing; `compile` does so too."""
        self.slots: np.ndarray | None = None            # its state
        self.learner: Any = None                        # of train_on_batch
        self.iterations = 0     # updates done: what schedules and Adam's t count
        self.rate_scale = 1.0   # of the learning rate: halved by rounds that were not finite

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None,
                run_eagerly: bool = False, steps_per_execution: int = 1, jit_compile: bool | str = "auto",
                auto_scale_loss: bool = True) -> None:
        """Chooses the updater, the loss and the metrics; the updater begins anew.

        With several outputs `loss`, `metrics` and `loss_weights` are lists, or dicts by the names
        of the layers that give the outputs; one loss or list of metrics is for each.

        Args:
            optimizer: an optimizer, its name or its Keras dict (mrdl.optimizers). "rmsprop", as in
                Keras.
            loss: a loss, its name or its Keras dict (mrdl.losses). A cross-entropy wants its own
                activation at the output, or from_logits=True.
            loss_weights: what each output's loss counts in the sum of them. None: 1 each.
            metrics: metrics, as objects, names or Keras dicts (mrdl.metrics); "accuracy" is the
                form that fits the loss. None by default.
            weighted_metrics: only None: metrics count each example once, as those of Keras's
                `metrics`.
            run_eagerly: as in Keras; it has no effect.
            steps_per_execution: as in Keras; it has no effect.
            jit_compile: as in Keras; it has no effect.
            auto_scale_loss: as in Keras; it has no effect.

        Raises:
            ConfigError: a name is unknown, or these and the outputs do not fit."""
        need(loss is not None, "compile needs a loss, such as 'sparse_categorical_crossentropy'")
        need(optimizer is not None, "compile needs an optimizer, such as 'adam'")
        need(not weighted_metrics, "weighted_metrics is not supported: give metrics=, which count each example once")
        metrics = () if metrics is None else metrics
        need(isinstance(metrics, (list, tuple, dict)), f"metrics={shown(metrics)} must be a list")
        optimizer = lookup(optimizer, OPTIMIZERS, "optimizer")
        nested = any(isinstance(m, (list, tuple)) for m in metrics)
        losses = [lookup(one, LOSSES, "loss") for one in self._each("loss", loss, isinstance(loss, (list, tuple)))]
        measured = [list(ms or ()) for ms in self._each("metrics", metrics, nested)]
        weights = [typed(1.0 if w is None else w, float, "loss_weights") for w in self._each(
            "loss_weights", loss_weights, isinstance(loss_weights, (list, tuple)))]
        need(None not in losses, "compile needs a loss for each output")
        known = getattr(self, "input_shape", None) is not None
        if self.layers:
            for one, activation in zip(losses, self.output_activations()):
                one.fuses(activation)
        for one, ms, shape in zip(losses, measured, self.output_shapes() if known else [None] * len(losses)):
            metrics_of.named(ms, one, shape)
        several = len(losses) > 1
        self.loss, self.metrics = (losses, measured) if several else (losses[0], measured[0])
        self.optimizer, self.loss_weights = optimizer, weights
        self.fresh_updater()

    def _each(self, what: str, given: Any, several: bool) -> list:
        """One for each output."""
        names = self.output_names()
        if isinstance(given, dict) and "class_name" not in given:
            odd = sorted(set(given) - set(names))
            need(not odd, f"{what}: there is no output {shown(odd)}; there are {', '.join(names)}")
            return [given.get(name) for name in names]
        if several:
            need(len(given) == len(names), f"{what}={shown(given)} must have one for each output: {', '.join(names)}")
            return list(given)
        return [given] * len(names)

    def heads(self) -> list[Head]:
        """The outputs of a compiled model, with what is asked of each."""
        several = isinstance(self.compiled().loss, list)
        losses, metrics = (self.loss, self.metrics) if several else ([self.loss], [self.metrics])
        return [Head(name if several else "", shape, loss, weight, metrics_of.named(ms, loss, shape))
                for name, shape, loss, weight, ms in zip(
                    self.output_names(), self.output_shapes(), losses, self.loss_weights, metrics)]

    def compiled(self) -> LayeredModel:
        """The model; ConfigError where `compile` was not called."""
        if self.loss is None:
            raise ConfigError("the model is not compiled: call compile(optimizer, loss) first")
        return self

    def named_metrics(self) -> dict[str, metrics_of.Metric]:
        """All outputs' metrics, by the names they are reported by."""
        return {head.prefix + name: metric for head in self.heads() for name, metric in head.metrics.items()}

    def fit(self, x=None, y=None, batch_size: int | None = None, epochs: int = 1, verbose: int | str = "auto", callbacks=None,
            validation_split: float = 0.0, validation_data=None, shuffle: bool = True, class_weight: dict | None = None,
            sample_weight=None, initial_epoch: int = 0, steps_per_epoch: int | None = None, validation_steps: int | None = None,
            validation_batch_size: int | None = None, validation_freq: int | list[int] = 1, *, seed: int = 0,
            tbptt: int | None = None, tbptt_backward: int | None = None, buckets: tuple | None = None) -> History:
        """Trains on arrays in this process, as Keras does; rows are permuted by (seed, epoch).

        A further call goes on: with the updater's state, and with orders and dropout of epochs that
        the model has not seen. Where a layer is stateful, rows stay in their order, and an epoch
        begins at state 0.

        Args:
            x: examples [n, *input_shape]; of several inputs a list, or a dict by their names. Or
                what yields minibatches (x, y) or (x, y, sample_weight), each of which is one
                update: a generator, an object with len and [number] such as Keras's PyDataset, a
                DataLoader of torch, a Dataset of TensorFlow. A table of pandas or Arrow is the
                array of its columns.
            y: targets, as the loss takes them: [n, *output_shape], or class numbers [n]; of several
                outputs a list, or a dict by their names. None where x yields them.
            batch_size: examples of a minibatch, 1 or more; the last one of an epoch may be smaller.
                None: 32, as in Keras.
            epochs: the number of the last epoch, 1 or more, as in Keras: `epochs - initial_epoch`
                are trained.
            verbose: 1 ("auto") prints a bar for each epoch, 2 a line, 0 nothing.
            callbacks: of mrdl.callbacks, or a list of them; they may stop training, set the
                learning rate or the weights. None: there are none.
            validation_split: the share of the last examples, before rows are permuted, that is held
                out and scored after each epoch, from 0 to 1. It is not used where validation_data
                is given.
            validation_data: (x, y) or (x, y, sample_weight), or what yields such minibatches,
                scored after each epoch. None: nothing is.
            shuffle: whether rows are permuted, and of a PyDataset the minibatches. Other
                iterables keep their order.
            class_weight: the weight of each class's examples, {class number: 0 or more}. None: 1.
            sample_weight: the weight of each example's loss [n], 0 or more. None: 1.
            initial_epoch: the number of epochs that count as done, 0 or more.
            steps_per_epoch: minibatches of an epoch, 1 or more; the next one goes on where it
                ended. None: all that there are.
            validation_steps: score so many minibatches of validation_data, 1 or more. None: all.
            validation_batch_size: examples that are scored at once. None: 256.
            validation_freq: score after each so many epochs, or after the epochs of this list,
                counted from 1.
            seed: of the order of rows, dropout and noise, and of weights that were not drawn yet.
            tbptt: steps of a window in which sequences are trained (truncated back-propagation
                through time, Williams & Peng 1990). None: whole sequences.
            tbptt_backward: steps at a window's end that gradients go back through, from 1 to
                `tbptt`. None: all of the window.
            buckets: rising numbers of steps: a minibatch of masked sequences is cut to the least of
                them that holds its longest one. None: no minibatch is cut.

        Returns:
            A History: the loss and metrics of each epoch.

        Raises:
            ConfigError: arrays, options and model do not fit each other, or the model is not
                compiled."""
        with sharing.written(self):
            return arrays.fit(
                self, x, y, batch_size=batch_size, epochs=epochs, sample_weight=sample_weight,
                class_weight=class_weight, validation_data=validation_data, seed=seed,
                initial_epoch=initial_epoch, verbose=verbose, tbptt=tbptt, tbptt_backward=tbptt_backward,
                buckets=buckets, callbacks=callbacks, validation_split=validation_split, shuffle=shuffle,
                steps_per_epoch=steps_per_epoch, validation_steps=validation_steps,
                validation_batch_size=validation_batch_size, validation_freq=validation_freq)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight: dict | None = None, return_dict: bool = False) -> Any:
        """One update on one minibatch.

        Args:
            x: examples, as for `fit`.
            y: targets, as for `fit`.
            sample_weight: the weight of each example's loss [n], 0 or more. None: 1.
            class_weight: the weight of each class's examples, {class number: 0 or more}. None: 1.
            return_dict: whether to return a dict by name.

        Returns:
            The loss and metrics of this minibatch before the update, as `evaluate` returns them.

        Raises:
            ConfigError: the arrays do not fit the model, or it is not compiled."""
        with sharing.written(self):
            found = arrays.train_on_batch(self, x, y, sample_weight, class_weight)
        return found if return_dict else self.listed(found)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict: bool = False) -> Any:
        """The loss and metrics on one minibatch.

        Args:
            x: examples, as for `fit`.
            y: targets, as for `fit`.
            sample_weight: the weight of each example's loss [n], 0 or more. None: 1.
            return_dict: whether to return a dict by name.

        Returns:
            What `train_on_batch` returns.

        Raises:
            ConfigError: the arrays do not fit the model, or it is not compiled."""
        found = arrays.test_on_batch(self, x, y, sample_weight)
        return found if return_dict else self.listed(found)

    def predict_on_batch(self, x) -> np.ndarray:
        """The outputs for one minibatch.

        Args:
            x: examples, as for `predict`."""
        return self.predict(x)

    def reset_metrics(self) -> None:
        """Does nothing: each call of `fit`, `evaluate`, `train_on_batch` and `test_on_batch` begins new means."""

    def adapt(self, x) -> None:
        """Sets the mean and variance of each Normalization from arrays; `fit` does so where nobody did.

        Args:
            x: examples [n, *input_shape]; of several inputs a list, or a dict by their names.

        Raises:
            ConfigError: the model has no Normalization, or takes other examples."""
        with sharing.written(self):
            arrays.adapt(self, x)

    def evaluate(self, x=None, y=None, batch_size: int | None = None, verbose: int | str = "auto", sample_weight=None,
                 steps: int | None = None, callbacks=None, return_dict: bool = False) -> Any:
        """The loss and metrics on arrays, as Keras returns them.

        Args:
            x: examples, or what yields minibatches, as for `fit`.
            y: targets, as for `fit`.
            batch_size: examples at once, 1 or more. None: 256, which is quick and takes little
                memory (in Keras 32; the scores are the same but for rounding).
            verbose: as in Keras; nothing is printed.
            sample_weight: the weight of each example's loss [n], 0 or more. None: 1.
            steps: score so many minibatches, of 32 examples where batch_size is None. None: all.
            callbacks: of mrdl.callbacks, or a list of them. None: there are none.
            return_dict: whether to return a dict by name.

        Returns:
            The list [loss, metric, ...], in the order of `metrics_names`; without metrics the loss
            alone; with `return_dict` a dict of them. Each is a number, or, for metrics by class, a
            list of numbers; NaN (in the dict: left out) where no example counts.

        Raises:
            ConfigError: the arrays do not fit the model, or it is not compiled."""
        found = arrays.evaluate(self, x, y, sample_weight, batch_size, callbacks, steps)
        return found if return_dict else self.listed(found)

    @property
    def metrics_names(self) -> list[str]:
        """The names of what `evaluate` returns, in its order, as in Keras: the loss, each output's loss, metrics."""
        heads = self.heads()
        if len(heads) == 1:
            return ["loss", *heads[0].metrics]
        return ["loss", *(head.prefix + "loss" for head in heads), *sorted(self.named_metrics())]

    def listed(self, scores: dict[str, Any]) -> Any:
        """Scores by name as Keras's list, or as the loss alone where there is nothing else.

        Args:
            scores: what `evaluate` returns with `return_dict`."""
        found = [scores.get(name, float("nan")) for name in self.metrics_names]
        return found if len(found) > 1 else found[0]

    def predict(self, x, batch_size: int | None = None, verbose: int | str = "auto", steps: int | None = None,
                callbacks=None) -> np.ndarray | list[np.ndarray] | dict[str, np.ndarray]:
        """The outputs for arrays or raw rows.

        Args:
            x: examples [n, *input_shape]; of several inputs a list, or a dict by their names; or
                what yields minibatches of them, or pairs (x, y), as for `fit`. Of a
                model that was trained on a table also raw rows, whose columns are matched by name:
                the path of a file (a folder, a pattern) or a list of paths, a list of dicts, a
                pandas DataFrame, a table of Arrow, or a dict of columns; None and NaN are missing
                values.
            batch_size: examples at once, 1 or more. None: 256, which is quick and takes little
                memory (in Keras 32; the outputs are the same).
            verbose: as in Keras; nothing is printed.
            steps: so many minibatches, of 32 examples where batch_size is None. None: all.
            callbacks: of mrdl.callbacks, or a list of them. None: there are none.

        Returns:
            An array [n, *output_shape]; of several outputs a list of them, or a dict where the model
            has one. Of classes column i is
            that of `classes[i]`.

        Raises:
            ConfigError: the arrays do not fit the model, or it was not trained on a table.
            DataError: raw rows lack columns, or some cannot be read."""
        if not isinstance(x, np.ndarray):
            from mrdl.models import frames  # workers need none
            x = frames.examples(self, x) if frames.is_raw(self, x) else x
        found = arrays.predict(self, x, batch_size, callbacks, steps)
        if (names := self.keys[1]) is not None:
            return dict(zip(names, found if len(names) > 1 else [found]))
        return found
