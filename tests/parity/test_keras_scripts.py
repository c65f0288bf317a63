"""Scripts in the manner of Keras's own examples, each run with its imports of Keras turned into those of mrdl; what it
ends with are assertions. As they stand they import Keras: `KERAS_BACKEND=jax PYTHONPATH=tests/support python SCRIPT`."""
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

import mrdl

SCRIPTS = sorted(Path(__file__).with_name("scripts").glob("*.py"))


def run(path, tmp_path, monkeypatch):
    """The names that a script leaves, run with mrdl in the place of Keras, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mrdl.utils.set_random_seed(0)
    text = re.sub(r"^import keras$", "import mrdl as keras", path.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^from keras\b", "from mrdl", text, flags=re.MULTILINE)
    names = {"__name__": "__main__"}
    exec(compile(text, path, "exec"), names)        # noqa: S102 - a script of this repository
    return names


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_of_keras_runs_with_its_import_changed(path, tmp_path, monkeypatch):
    run(path, tmp_path, monkeypatch)


@pytest.mark.parametrize("name, model, x, y", [
    ("mnist_convnet", "model", "x_train", "y_train"), ("imdb_cnn_lstm", "model", "x_train", "y_train"),
    ("imbalanced_classification", "model", "train_features", "train_targets"),
    ("convolutional_autoencoder", "autoencoder", "noisy_train_data", "train_data"), ("timeseries_classification_from_scratch", "model", "x_train", "y_train"),
    ("transfer_learning", "model", "x_train", "y_train")])
def test_the_model_of_a_script_trains_by_rounds(name, model, x, y, tmp_path, monkeypatch, local):
    names = run(SCRIPTS[0].with_name(name + ".py"), tmp_path, monkeypatch)
    model = mrdl.model_from_json(names[model].to_json()).build(seed=3)
    first = model.evaluate(names[x], names[y], return_dict=True)["loss"]
    np.savez("raw.npz", x=names[x], y=names[y])
    mrdl.prepare("raw.npz", "data", shards=2, runner=local)
    mrdl.ParameterAveraging(workers=2, batch_size=8, averaging_frequency=2, epochs=2, runner=local).fit(model, "data", run="run")
    assert model.evaluate(names[x], names[y], return_dict=True)["loss"] < first
