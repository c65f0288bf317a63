"""Models out of Keras's JSON, and out of the folders that `save` and finished runs write."""
from mrdl import spec
from mrdl.config import ConfigError
from mrdl.model import Model
from mrdl.sequential import Sequential

FILES = ("model.json", "model.safetensors")


def model_from_json(text: str | bytes) -> Model:
    """The model of a Keras JSON spec, compiled where the spec says so; its weights are not drawn.

    Raises ConfigError for anything mrdl does not have; nothing in the text is executed."""
    try:
        found = spec.parse(text)
        model = (Sequential(found.layers, found.name, found.dtype) if found.ends is None else
                 Model(*found.ends, found.name, found.dtype))
        if found.loss is not None:
            model.compile(found.optimizer, found.loss, found.metrics, found.loss_weights)
    except RecursionError:
        raise ConfigError("the spec is nested too deeply") from None
    return model


def load_model(path: str) -> Model:
    """The model of a folder that `save` or a finished run wrote."""
    from mrdl.run import Run  # workers need none
    run = Run(path)
    folder = run.store
    for name in FILES:
        if not folder.exists(name):
            raise ConfigError(f"{path} is a run that has not finished: go on with mrdl resume {path}"
                              if folder.exists("run.json") else
                              f"{path} holds no {name}: it is no saved model or finished run")
    spec, weights = (run.checked(name, folder.read(name)) for name in FILES)
    return model_from_json(spec).load_weights(weights, f"{path}/model.safetensors")
