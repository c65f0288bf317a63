"""Models out of Keras's JSON, and out of the folders that `save` and finished runs write."""
from mrdl import spec
from mrdl.config import ConfigError
from mrdl.model import Model
from mrdl.sequential import Sequential


def model_from_json(text: str | bytes) -> Model:
    """The model of a Keras JSON spec, compiled where the spec says so; its weights are not drawn.

    Raises ConfigError for anything mrdl does not have; nothing in the text is executed."""
    found = spec.parse(text)
    model = (Sequential(found.layers, found.name, found.dtype) if found.ends is None else
             Model(*found.ends, found.name, found.dtype))
    if found.loss is not None:
        model.compile(found.optimizer, found.loss, found.metrics, found.loss_weights)
    return model


def load_model(path: str) -> Model:
    """The model of a folder that `save` or a finished run wrote."""
    from mrdl.storage import Storage
    folder = Storage(path)
    for name in ("model.json", "model.safetensors"):
        if not folder.exists(name):
            raise ConfigError(f"{path} is a run that has not finished: go on with mrdl resume {path}"
                              if folder.exists("run.json") else
                              f"{path} holds no {name}: it is no saved model or finished run")
    return model_from_json(folder.read("model.json")).load_weights(
        folder.read("model.safetensors"), f"{path}/model.safetensors")
