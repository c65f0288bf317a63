"""Makes models from Keras's JSON, and from the folders that `save` and finished runs write."""
from shlex import quote

from mrdl.config import ConfigError
from mrdl.models import tensors
from mrdl.models.formats import keras_reader
from mrdl.models.model import Model
from mrdl.models.sequential import Sequential
from mrdl.models.tensors import FILES


def model_from_json(text: str | bytes) -> Model:
    """Makes a model from a spec in Keras's JSON; compiles it if the spec says how. It has no weights yet.

    Args:
        text: the result of `to_json` of a Keras or mrdl model. Nothing in it is executed.

    Returns:
        A Sequential, or a Model if the spec is functional.

    Raises:
        ConfigError: the text is not a spec, or has something that mrdl does not support; the
            message names it."""
    try:
        found = keras_reader.parse(text)
        model = (Sequential(found.layers, name=found.name, dtype=found.dtype) if found.ends is None else
                 Model(*found.ends, found.name, dtype=found.dtype))
        if found.loss is not None:
            model.compile(found.optimizer, found.loss, metrics=found.metrics, loss_weights=found.loss_weights)
    except RecursionError:
        raise ConfigError("the spec is nested too deeply") from None
    return model


def load_model(path: str, updater: bool = True) -> Model:
    """Loads the model from a folder that `save` or a finished run wrote.

    Args:
        path: the folder, a path or an hdfs:// URL. Nothing in it is executed.
        updater: whether to load the updater's state too, if there is one, so that training
            continues as if it had not stopped. False: only the weights, to score or predict.

    Returns:
        The model; it is compiled if its spec says how.

    Raises:
        ConfigError: there is no model, or the run has not finished.
        RunError: a file is damaged."""
    from mrdl.runs.run import Run  # imported here, because workers do not need it
    run = Run(path)
    for name in FILES:
        if not run.store.exists(name):
            raise ConfigError(f"{path} is a run that has not finished: go on with mrdl resume {quote(path)}"
                              if run.store.exists("run.json") else
                              f"{path} holds no {name}: it is no saved model or finished run")
    model = model_from_json(run.checked(FILES[0], run.store.read(FILES[0])))
    model.features = run.features()
    return restored(model, run, updater)


def restored(model: Model, run, updater: bool = True) -> Model:
    """Sets the model's weights, and the updater's state if there is one, from a folder; returns the model."""
    weights, name = run.read(FILES[1]), tensors.UPDATER
    model.load_weights(weights, run.store.path(FILES[1]))
    model.fresh_updater()
    model.epochs = 0
    if updater and run.has(name):
        tensors.load_updater(model, run.read(name), weights, run.store.path(name))
    return model
