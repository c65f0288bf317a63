"""Weights of classes from the data: scikit-learn's, kept in the run."""
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import mrdl as command
from raw_data import text
from sklearn.utils.class_weight import compute_class_weight

import mrdl
from mrdl.blocks import unpack
from mrdl.config import ConfigError
from mrdl.data.dataset import load
from mrdl.driver.balance import balanced, told
from mrdl.layers import Dense, Input
from mrdl.runners import splits
from mrdl.runners.cluster import Cluster


def model(outputs=3, loss="sparse_categorical_crossentropy", activation="softmax"):
    made = mrdl.Sequential([Input((2,)), Dense(outputs, activation)])
    made.compile("sgd", loss)
    return made


@pytest.fixture
def data(tmp_path, inline):
    lines = [f"{i % 13},{i % 7 / 8},{'ccbca'[i % 5] if i % 3 else 'b'}" for i in range(90)]
    path = text(tmp_path, "\n".join(["x,z,kind", *lines]), "raw.csv")
    return mrdl.prepare(path, str(tmp_path / "data"), inline, label="kind", hold_out=0.2, shards=3)


def labels(data):
    """Those of the training rows."""
    return np.concatenate([unpack(line).arrays()["y"] for shard in data.train()
                           for line in Path(shard.path).read_bytes().splitlines()])


def test_the_rows_of_each_class_are_counted_and_weigh_as_in_scikit_learn(data, tmp_path, inline):
    y = labels(data)
    assert data.counts == np.bincount(y).tolist() and data.validation()
    weights = dict(enumerate(compute_class_weight("balanced", classes=np.unique(y), y=y)))
    training = mrdl.ParameterAveraging(runner=inline, rounds=2, class_weight="balanced")
    assert training.options().class_weight is None
    events = []
    training.fit(model(), data.url, run=str(tmp_path / "run"), told=lambda event, facts: events.append((event, facts)))
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["options"]["class_weight"]
    assert kept == pytest.approx({str(k): weight for k, weight in weights.items()}, rel=1e-12)
    assert events[0] == ("note", {"text": told(kept, ["a", "b", "c"])}) and "weights of classes: a " in events[0][1]["text"]
    mrdl.ParameterAveraging(runner=inline, rounds=2, class_weight={int(k): weight for k, weight in kept.items()}).fit(
        model(), data.url, run=str(tmp_path / "same"), verbose=0)
    assert (tmp_path / "same" / "model.safetensors").read_bytes() == (tmp_path / "run" / "model.safetensors").read_bytes()
    training.fit(model(), data.url, run=str(tmp_path / "run"), verbose=0)           # goes on with it: the options are the same


def test_an_older_datasets_rows_are_counted_by_a_job(data, inline):
    old = replace(data, counts=None)
    made = model()
    made.build(seed=0)
    assert balanced(made, old, inline, None) == balanced(made, data, inline, None)
    amounts = model(1, "mse", None)
    amounts.build(seed=0)
    with pytest.raises(ConfigError, match="its labels are no classes of this model"):
        balanced(amounts, old, inline, None)


@pytest.mark.parametrize("cores", [2, 7])
def test_counts_are_the_same_however_the_rows_are_split(tmp_path, data, monkeypatch, cores):
    monkeypatch.setattr(splits, "SMALLEST_SPLIT", 100)
    with Cluster("inline", cores) as cluster:
        assert mrdl.prepare(str(tmp_path / "raw.csv"), str(tmp_path / "again"), cluster, label="kind", hold_out=0.2,
                            shards=3).counts == data.counts


def test_where_there_are_no_classes_nothing_is_counted(tmp_path, inline):
    many = text(tmp_path, "x,y\n" + "".join(f"{i % 7},{i}\n" for i in range(300)), "many.csv")
    assert mrdl.prepare(many, str(tmp_path / "many"), inline, label="y").counts is None
    assert mrdl.prepare(many, str(tmp_path / "none"), inline).counts is None
    one = text(tmp_path, "x,y\n" + "".join(f"{i % 7},1\n" for i in range(30)), "one.csv")
    data = mrdl.prepare(one, str(tmp_path / "one"), inline, label="y")
    with pytest.raises(ConfigError, match="labels of at least two classes"):
        balanced(model(), load(data.url), inline, None)
    amounts = text(tmp_path, "x,y\n" + "".join(f"{i % 7},{i % 30}\n" for i in range(60)), "amounts.csv")
    data = mrdl.prepare(amounts, str(tmp_path / "amounts"), inline, label="y")
    with pytest.raises(ConfigError, match="its label is a number, and only classes can be balanced"):
        balanced(mrdl.tabular(data.url, runner=inline), load(data.url), inline, None)
    assert told({str(k): 1.0 for k in range(30)}, []).count(",") < 20


def test_the_option_of_the_command_line(tmp_path, data, capsys):
    status, _, err = command(capsys, "train", "auto", data.url, str(tmp_path / "run"), "--rounds", "1", "--balance", "-r", "inline")
    assert status == 0 and "weights of classes: a " in err
    assert "batch_size 32, until rounds 1; dropout 0.3 and weight decay 5, as the " in err
