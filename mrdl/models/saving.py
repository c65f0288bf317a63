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

    Raises ConfigError for anything mrdl does not have; nothing in the text is executed."""
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
    """The model of a folder that `save` or a finished run wrote, whose training goes on where it ended.

    Without `updater`: its weights alone, as to score or predict."""
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
