"""What a user is told who may not have meant it: workers without work, a model that has learned nothing."""
import re

import numpy as np
import pytest

import mrdl
from mrdl import cli, metrics
from mrdl.data.dataset import Shard
from mrdl.layers import Dense, Input, Rescaling
from mrdl.metrics import MeanSquaredError, R2Score
from mrdl.report import advice
from mrdl.rounds.record import Scored


def shards(*sizes):
    return [Shard(i, "", "", n, "train", 1, "") for i, n in enumerate(sizes)]


def test_workers_without_a_shard_and_with_few_minibatches_are_told():
    line, = advice.of_workers(shards(5000, 5000, 0), 50, 32)
    assert "2 of 50 workers train, as there are 2 shards" in line and "mrdl prepare --shards 50" in line
    assert "1 of 2 workers trains, as there is 1 shard with" in advice.of_workers(shards(50), 2, 32)[0]
    line, = advice.of_workers(shards(184, 165), 2, 32)
    assert "an epoch is 6 updates of the model, with one worker it would be 12" in line and "--workers 1" in line
    assert "an epoch is 1 update of the model, with one worker it would be 2;" in advice.of_workers(shards(20, 20), 2, 32)[0]
    assert advice.of_workers(shards(640, 640), 2, 32) == [] == advice.of_workers(shards(10), 1, 32)


def model(units, activation, loss, measured=(), penalty=None):
    made = mrdl.Sequential([Input(2), Dense(units, activation, kernel_regularizer=penalty)])
    made.compile("sgd", loss, metrics=list(measured))
    return made.build()


CLASSES = np.array([0, 1, 1, 2, 1], "i4")               # 1: 60 %; entropy 0.9503
NUMBERS = np.array([[1.0], [2.0], [3.0], [6.0]], "f4")  # variance 3.5
# as many of each class by weight: the entropy is ln 3, times 9 of weight by 5 rows 1.978
RARE = np.array([3.0, 1, 1, 3, 1], "f4")
# a mean of 4 and a variance of 13 / 3, times 6 by 4 rows 6.5
LAST = np.array([1.0, 1, 1, 3], "f4")
SOFTMAX = model(3, "softmax", "sparse_categorical_crossentropy", ["accuracy"])
LINEAR = model(1, "linear", "mse", [MeanSquaredError()])


@pytest.mark.parametrize("made, y, values, told", [
    (SOFTMAX, CLASSES, {"loss": 1.2, "accuracy": 0.6}, "class 1, which is that of 60 % of the rows"),
    (SOFTMAX, CLASSES, {"loss": 0.9, "accuracy": 0.6}, None),
    (SOFTMAX, CLASSES, {"loss": 1.2, "accuracy": 0.8}, None),
    (SOFTMAX, (CLASSES, RARE), {"loss": 1.9, "accuracy": 0.4}, None),
    (SOFTMAX, (CLASSES, RARE), {"loss": 2.0, "accuracy": 0.4}, "class 0, which is that of 33.3 % of the weight"),
    (SOFTMAX, (CLASSES, RARE), {"loss": 170.0, "accuracy": 0.8}, None),
    (SOFTMAX, (CLASSES, 0 * RARE), {"loss": 0.0, "accuracy": 0.2}, None),
    (model(3, "softmax", "sparse_categorical_crossentropy"), CLASSES, {"loss": 0.951}, "class 1"),
    (model(3, "softmax", "sparse_categorical_crossentropy", penalty="l2"), CLASSES, {"loss": 0.951}, None),
    (SOFTMAX, CLASSES, {"loss": 9e9, "accuracy": 0.8}, "training has diverged (loss 9e+09)"),
    (model(3, "softmax", "categorical_crossentropy", ["accuracy"], "l2"), np.eye(3)[CLASSES], {"loss": 0.1, "accuracy": 0.2},
     "class 1"),
    (model(1, "sigmoid", "binary_crossentropy", ["accuracy"]), CLASSES % 2, {"loss": 0.7, "accuracy": 0.6}, "class 1"),
    (model(300, "softmax", "sparse_categorical_crossentropy"), CLASSES, {"loss": 9.0}, None),
    (model(1, "linear", "mse"), NUMBERS, {"loss": 3.5}, "the mean of the targets (mean squared error 3.5, the"),
    (model(1, "linear", "mse"), NUMBERS, {"loss": 3.4}, None),
    (model(1, "linear", "mse", penalty="l2"), NUMBERS, {"loss": 3.6}, None),
    (model(1, "linear", "mse"), (NUMBERS, LAST), {"loss": 6.6}, "the mean of the targets (loss 6.5, the model's is 6.6)"),
    (LINEAR, (NUMBERS, LAST), {"loss": 6.4, "mean_squared_error": 4.0}, None),
    (LINEAR, (NUMBERS, LAST), {"loss": 6.6, "mean_squared_error": 3.0}, "(loss 6.5, the model's is 6.6)"),
    (model(1, "linear", "mae", [R2Score()]), NUMBERS, {"loss": 1.0, "r2_score": -0.02}, "the model's is 3.57"),
    (model(1, "linear", "mae", [R2Score()]), NUMBERS, {"loss": 1.0, "r2_score": 0.31}, None),
    (model(1, "linear", "mae", [MeanSquaredError()]), NUMBERS, {"loss": 1.0, "mean_squared_error": 4.0}, "mean of"),
    (model(1, "linear", "mae"), NUMBERS, {"loss": 100.0}, None),
    (model(1, "sigmoid", "binary_crossentropy"), np.array([-1, 0, 7, 0, 0]), {"loss": 0.1}, None),
])
def test_a_model_is_held_against_the_mean_and_the_most_frequent_class(made, y, values, told):
    arrays = dict(zip("yw", y)) if isinstance(y, tuple) else {"y": y}
    halves = [Scored("d/00000", 2, {}, metrics.plain(advice.targets(made, {name: a[half] for name, a in arrays.items()})), "", {})
              for half in (slice(2), slice(2, None))]
    text = advice.of_model(made, values, advice.added(halves))
    assert told in text if told else text is None


def test_weights_of_classes_count_as_those_of_rows():
    np.testing.assert_equal(advice.targets(SOFTMAX, {"y": CLASSES}, {"0": 3.0, "2": 3.0}),
                            advice.targets(SOFTMAX, {"y": CLASSES, "w": RARE}))


def test_it_is_told_at_the_end_of_training_and_by_evaluate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savetxt("t.csv", np.column_stack([rng.normal(150, 5, 120), rng.uniform(0.1, 2, 120), rng.standard_normal((120, 3))]),
               delimiter=",", header="y,w,a,b,c", comments="", fmt="%.5g")
    for name, options in (("held", ["--hold-out", "0.2"]), ("all", ["--sample-weight", "w"])):
        assert cli.main(["prepare", "t.csv", name, "--label", "y", "-r", "inline", *options]) == 0
    made = mrdl.Sequential([Dense(1)])
    made.compile("adam", "mse")
    (tmp_path / "m.json").write_text(made.to_json())
    for name, rule, last in (("held", "val_loss patience 2", 3), ("all", "loss patience 10", 11)):
        capsys.readouterr()
        assert cli.main(["train", "m.json", name, "run-" + name, "--until", f"{rule} delta 0.9, rounds 99",
                         "--workers", "9", "-r", "inline"]) == 0
        told = capsys.readouterr().err
        newest = re.findall(r"^round +(\d+)  (.*)", told, re.MULTILINE)[-1]
        assert int(newest[0]) == last and " left" not in newest[1] and told.index(newest[1]) < told.index("no better than always")
        assert told.count("no better than always predicting the mean") == 1 and "2 of 9 workers train" in told
    assert cli.main(["evaluate", "run-all", "all", "-r", "inline"]) == 0
    assert "warning: the model is no better than always predicting the mean" in capsys.readouterr().err
    for rule, choices in (("val_nothing patience 2", "rules can take loss, val_loss"), ("loss2 <= 1", "loss, val_loss")):
        assert cli.main(["train", "m.json", "held", "run", "--until", rule, "-r", "inline"]) == 2
        assert choices in capsys.readouterr().err
    assert cli.main(["train", "m.json", "all", "run", "--until", "val_nothing <= 2", "-r", "inline"]) == 2
    assert "rules can take loss, and val_... with held-out data" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    assert "--rounds is given: val_loss patience 5, epochs 100\n(if no data is held out: loss" in capsys.readouterr().out


def test_advice_names_the_class_and_leaves_out_what_is_done():
    named = model(3, "softmax", "sparse_categorical_crossentropy", ["accuracy"])
    named.features = {"table": {"columns": [{"name": "y", "kind": "label", "classes": ["low", "mid\n", "high"]}]}}
    told = advice.of_model(named, {"loss": 1.2, "accuracy": 0.6}, advice.targets(named, {"y": CLASSES}))
    assert "always answering class mid, which is that of 60 %" in told
    scaled = mrdl.Sequential([Input(2), Dense(1), Rescaling(2.0, 3.0)])
    scaled.compile("sgd", "mse")
    told = advice.of_model(scaled.build(), {"loss": 4.0}, advice.targets(scaled, {"y": NUMBERS}))
    assert "no better than always predicting the mean" in told and "scale the targets" not in told
