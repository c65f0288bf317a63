"""Models out of Keras's JSON, and out of the folders that `save` and finished runs write."""
from shlex import quote

from mrdl.config import ConfigError
from mrdl.models import tensors
from mrdl.models.formats import keras_reader
from mrdl.models.model import Model
from mrdl.models.sequential import Sequential
from mrdl.models.tensors import FILES


def model_from_json(text: str | bytes) -> Model:
    """The model of a Keras JSON spec, compiled where the spec says so; its weights are not drawn.

    Args:
        text: what `to_json` of a Keras model or of ours gave. Nothing in it is executed.

    Returns:
        A Sequential, or a Model where the spec is functional.

    Raises:
        ConfigError: the spec has what mrdl does not have, which is named, or is no spec."""
    try:
        found = keras_reader.parse(text)
        model = (Sequential(found.layers, found.name, found.dtype) if found.ends is None else
                 Model(*found.ends, found.name, found.dtype))
        if found.loss is not None:
            model.compile(found.optimizer, found.loss, found.metrics, found.loss_weights)
    except RecursionError:
        raise ConfigError("the spec is nested too deeply") from None
    return model


def load_model(path: str, updater: bool = True) -> Model:
    """The model of a folder that `save` or a finished run wrote.

    Args:
        path: the folder, a path or an hdfs:// URL. Nothing in it is executed.
        updater: whether to take the updater's state too, where there is one, so that training goes
            on as if it had not stopped. False: the weights alone, as to score or predict.

    Returns:
        The model, compiled where its spec says so.

    Raises:
        ConfigError: there is no model, or a run that has not finished.
        RunError: a file is damaged."""
    from mrdl.runs.run import Run  # workers need none
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
    """The model with the weights of a folder, and the updater's state where there is one."""
    weights, name = run.read(FILES[1]), tensors.UPDATER
    model.load_weights(weights, run.store.path(FILES[1]))
    model.fresh_updater()
    model.epochs = 0
    if updater and run.has(name):
        tensors.load_updater(model, run.read(name), weights, run.store.path(name))
    return model
