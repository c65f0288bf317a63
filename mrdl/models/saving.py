"""Makes models from Keras's JSON and files, and from the folders that `save` and finished runs write."""
import os
import warnings
from shlex import quote

from mrdl.config import ConfigError, need
from mrdl.models import tensors
from mrdl.models.formats import (
    hard_sigmoid,
    keras_file,
    keras_reader,
    keras_state,
    keras_two,
    keras_weights,
)
from mrdl.models.model import Model
from mrdl.models.sequential import Sequential
from mrdl.models.tensors import FILES
from mrdl.storage.paths import is_folder

NESTED = "the spec is nested too deeply"


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
        return _made(keras_reader.parse(text, _made))
    except RecursionError:
        raise ConfigError(NESTED) from None


def _made(found: keras_reader.Spec) -> Model:
    model = (Sequential(found.layers, name=found.name, dtype=found.dtype) if found.ends is None else
             Model(*found.ends, found.name, dtype=found.dtype))
    object.__setattr__(model, "trainable", found.trainable)     # layers have their own
    if found.loss is not None:
        model.compile(found.optimizer, found.loss, metrics=found.metrics, loss_weights=found.loss_weights)
    return model


def load_model(path: str, updater: bool = True) -> Model:
    """Loads the model from a folder that `save` or a finished run wrote, or from a file of Keras.

    Args:
        path: the folder, or a file whose name ends with .keras or .h5 (of a whole model, by Keras 2
            or 3; needs h5py: pip install 'mrdl[keras]'); a path or an hdfs:// URL. Nothing in it is
            executed.
        updater: whether to load the updater's state too, if there is one, so that training
            continues as if it had not stopped. False: only the weights, to score or predict.

    Returns:
        The model; it is compiled if its spec says how.

    Raises:
        ConfigError: there is no model, it has something that mrdl does not support, a file of
            Keras is damaged, or the run has not finished.
        RunError: a file is damaged."""
    path = os.fspath(path)
    if keras_file.is_keras(path) and not is_folder(path):
        return _from_keras(path, updater)
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


def _from_keras(path: str, updater: bool) -> Model:
    """The model in a file of Keras."""
    found = keras_file.read(path)
    spec, marks = hard_sigmoid.marked(found.spec) if keras_two.is_old(found.spec) else (found.spec, [])
    try:
        model = _made(keras_reader.parsed(spec, _made))
    except RecursionError:
        raise ConfigError(NESTED) from None
    need(model.input_shape is not None, f"{path}: the model does not say what shape its input has")
    keras_weights.load(model, found.contents, path, keras_file.layers_of(found.spec))
    hard_sigmoid.scaled(model, marks)
    state = keras_state.stored_state(found.contents)
    if marks:
        warnings.warn(f"{path}: weights before Keras 2's hard_sigmoid are multiplied by 1.2, as Keras 3's is another; "
                      "the optimizer is a fresh one", stacklevel=3)
    elif updater and state is not None and model.loss is not None:
        keras_state.take_state(model, state[0], found.note, path, state[1])
    return model


def restored(model: Model, run, updater: bool = True) -> Model:
    """Sets the model's weights, and the updater's state if there is one, from a folder; returns the model."""
    weights, name = run.read(FILES[1]), tensors.UPDATER
    model.load_weights(weights, run.store.path(FILES[1]))
    model.fresh_updater()
    model.epochs = 0
    if updater and run.has(name):
        tensors.load_updater(model, run.read(name), weights, run.store.path(name))
    return model
