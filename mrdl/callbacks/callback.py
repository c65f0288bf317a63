"""What a callback is: a listener of training, which may stop it, set its learning rate, or change the weights."""
from collections.abc import Callable, Iterator
from typing import Any

from mrdl.config import need, shown

Logs = dict[str, Any]           # name -> value; a callback may add to it, for those after it


class Callback:
    """Called while a model trains, is scored or predicts; a subclass overrides the methods that it needs, as in Keras.

    `model` is the model that trains. A callback may set `model.stop_training = True`, `model.optimizer.learning_rate`, or weights.

    In rounds (`ParameterAveraging.fit(..., callbacks=[...])`) the driver calls `on_train_begin`, `on_epoch_begin`,
    `on_round_end`, `on_epoch_end` and `on_train_end`. Minibatches are trained elsewhere: `on_train_batch_...`, `on_test_...` and
    `on_predict_...` are not called there. What a callback keeps in attributes that are numbers, texts, arrays, or lists and dicts of
    them, is committed with each round, and a resumed run sets these attributes again, after `on_train_begin`."""

    def __init__(self):
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def set_model(self, model: Any) -> None:
        """Called before anything else.

        Args:
            model: the model that will train, be scored or predict."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called after `set_model`.

        Args:
            params: `verbose`; in training also `epochs`; `steps`: minibatches of an epoch (in rounds there is none)."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called before the first epoch; in rounds also where a run is resumed.

        Args:
            logs: nothing, as in Keras."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called after the last epoch.

        Args:
            logs: those of the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before an epoch.

        Args:
            epoch: its number, from 0.
            logs: nothing, as in Keras."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after an epoch.

        Args:
            epoch: its number, from 0.
            logs: by name the loss and metrics of the epoch; with `val_` before the name those of held-out data."""

    def on_round_end(self, round: int, logs: Logs | None = None) -> None:
        """Called after each round, where training is by rounds; before `on_epoch_end` if an epoch ends with it. (Not in Keras.)

        Args:
            round: its number, from 1.
            logs: by name the loss and metrics of the round."""

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """The same as `on_train_batch_begin`.

        Args:
            batch: the minibatch's number in the epoch, from 0.
            logs: nothing, as in Keras."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """The same as `on_train_batch_end`.

        Args:
            batch: the minibatch's number in the epoch, from 0.
            logs: by name the loss and metrics of the epoch so far."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before `fit` trains on a minibatch.

        Args:
            batch: its number in the epoch, from 0.
            logs: nothing, as in Keras."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after `fit` has trained on a minibatch.

        Args:
            batch: its number in the epoch, from 0.
            logs: by name the loss and metrics of the epoch so far."""
        self.on_batch_end(batch, logs=logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called before `evaluate`, or before `fit` scores its validation data.

        Args:
            logs: nothing, as in Keras."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called after `evaluate`, or after `fit` has scored its validation data.

        Args:
            logs: by name the loss and metrics."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a minibatch is scored.

        Args:
            batch: its number, from 0.
            logs: nothing, as in Keras."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a minibatch has been scored.

        Args:
            batch: its number, from 0.
            logs: by name the loss and metrics so far."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called before `predict`.

        Args:
            logs: nothing, as in Keras."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called after `predict`.

        Args:
            logs: nothing."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before the outputs of a minibatch are computed.

        Args:
            batch: its number, from 0.
            logs: nothing, as in Keras."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after the outputs of a minibatch have been computed.

        Args:
            batch: its number, from 0.
            logs: `outputs`: an array, or a list of them."""


class LambdaCallback(Callback):
    """A callback made of functions.

    Args:
        on_epoch_begin: on_epoch_begin(epoch, logs).
        on_epoch_end: on_epoch_end(epoch, logs).
        on_train_begin: on_train_begin(logs).
        on_train_end: on_train_end(logs).
        on_train_batch_begin: on_train_batch_begin(batch, logs).
        on_train_batch_end: on_train_batch_end(batch, logs).
        kwargs: functions for other methods of Callback, by their names."""

    def __init__(self, on_epoch_begin: Callable | None = None, on_epoch_end: Callable | None = None,
                 on_train_begin: Callable | None = None, on_train_end: Callable | None = None,
                 on_train_batch_begin: Callable | None = None, on_train_batch_end: Callable | None = None, **kwargs: Callable):
        super().__init__()
        given = {"on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_train_begin": on_train_begin,
                 "on_train_end": on_train_end, "on_train_batch_begin": on_train_batch_begin, "on_train_batch_end": on_train_batch_end}
        odd = sorted(name for name in kwargs if not (name.startswith("on_") and hasattr(Callback, name)))
        need(not odd, f"LambdaCallback: {shown(odd)} is called nowhere; there are "
             + ", ".join(name for name in vars(Callback) if name.startswith("on_")))
        vars(self).update({name: function for name, function in (given | kwargs).items() if function is not None})


class History(Callback):
    """What `fit` returns: the loss and metrics of each epoch.

    Attributes:
        history: for each name, a list of one value per epoch: history["loss"][0] is the loss of
            the first epoch. Names of validation values begin with `val_`.
        epoch: the numbers of the epochs, beginning with `initial_epoch`."""

    def __init__(self):
        super().__init__()
        self.history: dict[str, list] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs=None):
        self.epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class ProgbarLogger(Callback):
    """Does nothing: `verbose` of `fit` prints the progress. It is there so that scripts for Keras run."""


class CallbackList:
    """Several callbacks, called in their order: all that Callback has is called by the same name.

    Args:
        callbacks: one callback, or a list, which may hold further lists. None: there are none.
        add_history: whether a History is added behind them, if there is none.
        add_progbar: does nothing, as ProgbarLogger does nothing.
        model: what they are called for.
        params: see Callback.set_params."""

    def __init__(self, callbacks: Any = None, add_history: bool = False, add_progbar: bool = False, model: Any = None, **params: Any):
        self.callbacks = list(_flat(callbacks))
        self.params = params
        if add_history and not any(isinstance(one, History) for one in self.callbacks):
            self.callbacks.append(History())
        self.model, self.batches = model, {
            kind: self._wanted(f"on_{kind}_batch_begin", f"on_{kind}_batch_end", *["on_batch_begin", "on_batch_end"] * (kind == "train"))
            for kind in ("train", "test", "predict")}
        for one in self.callbacks:
            one.set_model(model)
            one.set_params(params)

    @property
    def history(self) -> History:
        """The first History."""
        return next(one for one in self.callbacks if isinstance(one, History))

    def _wanted(self, *names: str) -> bool:
        """Does a callback override one of these methods? Nobody needs to compute logs for the others."""
        return any(getattr(getattr(one, name, None), "__func__", None) is not getattr(Callback, name) for one in self.callbacks for name in names)

    def __getattr__(self, name: str) -> Callable[..., None]:
        """A function that calls this method of all callbacks: callbacks.on_epoch_end(epoch, logs)."""
        if not name.startswith("on_"):
            raise AttributeError(name)
        numbered = any(part in name for part in ("batch", "epoch", "round"))

        def call(*args: Any) -> None:
            if len(args) == numbered:           # without logs, which they get nevertheless, as in Keras
                args += ({},)
            for one in self.callbacks:
                if method := getattr(one, name, None):      # those of Keras have no on_round_end
                    method(*args)
        return call


def _flat(given: Any) -> Iterator[Callback]:
    """The callbacks in a list of lists; ConfigError if something else is in it."""
    for one in given if isinstance(given, (list, tuple)) else [] if given is None else [given]:
        if isinstance(one, (list, tuple)):
            yield from _flat(one)
            continue
        need(not isinstance(one, type), f"callbacks: {getattr(one, '__name__', one)} is a class; give an object: {getattr(one, '__name__', one)}()")
        need(all(hasattr(one, name) for name in ("set_model", "set_params", "on_epoch_end", "on_train_end")),
             f"callbacks: {shown(one)} is no callback; derive its class from mrdl.callbacks.Callback")
        yield one
