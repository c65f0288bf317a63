"""Whole-model .h5 files as Keras 2.0 to 2.15 wrote them, made by hand after their layout: architecture, weights, the optimizer's state."""
import json

import h5py
import numpy as np
import pytest

import mrdl
from mrdl.config import ConfigError

draw = np.random.default_rng(3)


def written(path, layers, weights, optimizer=("Adam", None), state=(), version="2.2.4"):
    """A file of a Sequential of these (class, config), with {layer: {name: array}}, (class, config) of its optimizer, and the (name, array)
    of that one's variables."""
    model = {"class_name": "Sequential", "config": {"name": "sequential_1", "layers": [{"class_name": kind, "config": config} for kind, config in layers]}}
    training = {"optimizer_config": {"class_name": optimizer[0], "config": optimizer[1] or {}}, "loss": "mse", "metrics": [],
                "sample_weight_mode": None, "loss_weights": None}
    with h5py.File(path, "w") as file:
        for key, value in (("keras_version", version), ("backend", "tensorflow"), ("model_config", json.dumps(model)), ("training_config", json.dumps(training))):
            file.attrs[key] = value.encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for layer, tensors in weights.items():
            own = group.create_group(layer)
            own.attrs["weight_names"] = [f"{layer}/{name}:0".encode() for name in tensors]
            for name, values in tensors.items():
                own[f"{layer}/{name}:0"] = values
        if state:
            group = file.create_group("optimizer_weights")
            group.attrs["weight_names"] = [name.encode() for name, _ in state]
            for name, values in state:
                group[name] = values
    return str(path)


def random(*shape):
    return draw.standard_normal(shape).astype("f4")


DENSE = {"units": 2, "activation": "linear", "use_bias": True, "batch_input_shape": [None, 3], "name": "d", "trainable": True, "dtype": "float32"}
LEGACY = {"lr": 0.01, "beta_1": 0.9, "beta_2": 0.999, "decay": 0.0, "epsilon": 1e-7, "amsgrad": False}
TF = {"name": "Adam", "learning_rate": 0.01, "decay": 0.0, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False}
NEW = {"name": "Adam", "weight_decay": None, "clipnorm": None, "global_clipnorm": None, "clipvalue": None, "use_ema": False, "ema_momentum": 0.99,
       "ema_overwrite_frequency": None, "jit_compile": True, "is_legacy_optimizer": False, "learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.999,
       "epsilon": 1e-7, "amsgrad": False}


def variables(t, prefix, tensors):
    return [(f"{prefix}{t[0]}", np.array(t[1], t[2])), *((f"{prefix}{name}", values) for name, values in tensors)]


@pytest.mark.parametrize("version, config, state", [
    ("2.0.9", LEGACY, lambda m, v: variables(("Adam/iterations:0", 7, "f4"), "", [(f"training/Adam/Variable{f'_{i}' * (i > 0)}:0", a) for i, a in enumerate(
        [*m, *v])])),
    ("2.2.4", LEGACY, lambda m, v: variables(("Adam/iterations:0", 7, "i8"), "", [(f"training/Adam/Variable{f'_{i}' * (i > 0)}:0", a) for i, a in enumerate(
        [*m, *v, np.zeros(1, "f4"), np.zeros(1, "f4")])])),
    ("2.4.0", TF, lambda m, v: variables(("iter:0", 7, "i8"), "Adam/", [(f"d/{name}/{slot}:0", a) for slot, of in (("m", m), ("v", v))
                                                                       for name, a in zip(("kernel", "bias"), of)])),
    ("2.12.0", NEW, lambda m, v: variables(("iteration:0", 7, "i8"), "", [(f"Adam/{slot}/d/{name}:0", a) for name, *both in zip(("kernel", "bias"), m, v)
                                                                         for slot, a in zip("mv", both)]))], ids=["2.0", "2.2", "2.4", "2.12"])
def test_the_state_of_adam_is_that_of_the_file_however_its_version_orders_it(tmp_path, version, config, state):
    kernel, bias, m, v = random(3, 2), random(2), [random(3, 2), random(2)], [abs(random(3, 2)), abs(random(2))]
    path = written(tmp_path / "m.h5", [("Dense", DENSE)], {"d": {"kernel": kernel, "bias": bias}}, ("Adam", config), state(m, v), version)
    model = mrdl.load_model(path)
    assert [(a == b).all() for a, b in zip(model.get_weights(), (kernel, bias))] == [True, True]
    assert model.iterations == 7 and model.optimizer == mrdl.optimizers.Adam(0.01)
    for slot, wanted in zip(model.slots, (m, v)):
        for (_, weight, start), values in zip(model.places(), wanted):
            assert (weight.to_keras(slot[start:start + weight.size]) == values).all()
    model.fit(np.ones((4, 3), "f4"), np.ones((4, 2)), verbose=0)


@pytest.mark.parametrize("kind, config, count", [
    ("RMSprop", {"lr": 0.01, "rho": 0.9, "decay": 0.0, "epsilon": 1e-7}, 1), ("SGD", {"lr": 0.01, "momentum": 0.9, "decay": 0.0, "nesterov": True}, 1),
    ("RMSprop", {"learning_rate": 0.01, "rho": 0.9, "momentum": 0.9, "epsilon": 1e-7, "centered": True, "decay": 0.0}, 3),
    ("Adadelta", {"lr": 1.0, "rho": 0.95, "decay": 0.0, "epsilon": 1e-7}, 2), ("Adagrad", {"lr": 0.01, "decay": 0.0, "epsilon": 1e-7}, 1)])
def test_so_is_that_of_other_optimizers(tmp_path, kind, config, count):
    slots = [[abs(random(3, 2)), abs(random(2))] for _ in range(count)]
    state = [(f"{kind}/iter:0", np.array(5, "i8")), *((f"{kind}/{i}/{j}:0", a) for i, slot in enumerate(slots) for j, a in enumerate(slot))]
    model = mrdl.load_model(written(tmp_path / "m.h5", [("Dense", DENSE)], {"d": {"kernel": random(3, 2), "bias": random(2)}}, (kind, config), state))
    assert model.iterations == 5 and len(model.slots) == count
    for slot, wanted in zip(model.slots, slots):
        for (_, weight, start), values in zip(model.places(), wanted):
            assert (weight.to_keras(slot[start:start + weight.size]) == values).all()


def hard(x):
    return np.clip(0.2 * x + 0.5, 0, 1)


def sigmoids(steps, units, gates):
    recurrent = {"units": units, "activation": "tanh", "recurrent_activation": "hard_sigmoid", "use_bias": True, "implementation": 1,
                 "batch_input_shape": [None, steps, 2], "name": "r", "dtype": "float32", "return_sequences": False}
    dense = {"units": 2, "activation": "hard_sigmoid", "use_bias": True, "name": "d", "dtype": "float32"}
    weights = {"r": {"kernel": random(2, gates * units), "recurrent_kernel": random(units, gates * units), "bias": random(gates * units)},
               "d": {"kernel": random(units, 2), "bias": random(2)}}
    return recurrent, dense, weights


@pytest.mark.parametrize("kind, gates", [("LSTM", 4), ("GRU", 3)])
def test_hard_sigmoid_is_that_of_keras_2(tmp_path, kind, gates):
    recurrent, dense, weights = sigmoids(5, 3, gates)
    path = written(tmp_path / "m.h5", [(kind, recurrent), ("Dense", dense)], weights)
    with pytest.warns(UserWarning, match="weights before Keras 2's hard_sigmoid are multiplied by 1.2"):
        model = mrdl.load_model(path)
    x = random(4, 5, 2)
    (w, u, b), (dw, db) = (list(of.values()) for of in weights.values())
    h, c = np.zeros((4, 3)), np.zeros((4, 3))
    for step in x.transpose(1, 0, 2):
        if kind == "LSTM":
            i, f, g, o = np.split(step @ w + h @ u + b, 4, 1)
            c = hard(f) * c + hard(i) * np.tanh(g)
            h = hard(o) * np.tanh(c)
        else:
            z, r = np.split(hard((step @ w + b)[:, :6] + h @ u[:, :6]), 2, 1)
            h = z * h + (1 - z) * np.tanh((step @ w + b)[:, 6:] + (r * h) @ u[:, 6:])
    np.testing.assert_allclose(model.predict(x), hard(h @ dw + db), rtol=1e-5, atol=1e-6)
    model.save(again := str(tmp_path / "again.keras"))
    np.testing.assert_array_equal(mrdl.load_model(again).predict(x), model.predict(x))


def test_where_it_cannot_be_scaled_it_is_refused(tmp_path):
    _, dense, weights = sigmoids(5, 3, 4)
    for layers in ([("Dense", {**DENSE, "name": "d"}), ("Activation", {"activation": "hard_sigmoid", "name": "a"})],
                   [("LSTM", {"units": 3, "activation": "hard_sigmoid", "batch_input_shape": [None, 5, 2], "name": "d"})]):
        path = written(tmp_path / "m.h5", layers, {"d": weights["d"]})
        with pytest.raises(ConfigError, match="activation='hard_sigmoid' is another function in Keras 2 than in Keras 3 and mrdl"):
            mrdl.load_model(path)
    spec = json.dumps({"class_name": "Sequential", "config": [{"class_name": "Dense", "config": {**dense, "batch_input_shape": [None, 3]}}]})
    with pytest.raises(ConfigError, match="hard_sigmoid"):
        mrdl.model_from_json(spec)
