"""The loss of each row: as evaluate has it, by every loss; and the rows with the largest ones, wherever they are."""
import csv
import io
import json
import shutil

import numpy as np
import pytest
from command_line import mrdl as command
from raw_rows import ROWS, joined, saved, written

import mrdl
from mrdl.config import ConfigError
from mrdl.driver.preparation.prepare import prepare
from mrdl.layers import Dense, Input
from mrdl.runners import splits
from mrdl.runners.cluster import Cluster
from mrdl.training.scoring import Scorer


@pytest.mark.parametrize("loss, outputs, activation", [
    ("sparse_categorical_crossentropy", 3, "softmax"), ("categorical_crossentropy", 3, "softmax"), ("binary_crossentropy", 2, "sigmoid"),
    ("mean_squared_error", 2, None), ("cosine_similarity", 3, None), ("huber", 1, None)])
def test_the_mean_of_rows_losses_is_the_loss(loss, outputs, activation):
    rng = np.random.default_rng(0)
    model = mrdl.Sequential([Input((4,)), Dense(outputs, activation)])
    model.compile("sgd", loss)
    model.build(seed=1)
    x = rng.standard_normal((41, 4)).astype("f4")
    y = rng.integers(0, outputs, 41).astype("i4") if loss.startswith("sparse") else rng.random((41, outputs)).astype("f4")
    scorer = Scorer(model, model.weights, batch_size=32)
    found = scorer.losses({"x": x, "y": y})
    assert found.shape == (41,) and found.mean() == pytest.approx(model.evaluate(x, y, return_dict=True)["loss"], rel=1e-5)
    alone = [Scorer(model, model.weights).losses({"x": x[i:i + 1], "y": y[i:i + 1]})[0] for i in (0, 17, 40)]
    assert alone == found[[0, 17, 40]].tolist()


@pytest.fixture(scope="module")
def titanic(tmp_path_factory, inline):
    folder = tmp_path_factory.mktemp("losses")
    path = written(folder / "passengers.csv")
    data = prepare(path, str(folder / "data"), inline, label="survived")
    return path, saved(data, folder / "run"), folder


def fields(out):
    return list(csv.DictReader(io.StringIO(joined(out))))


def test_predict_writes_the_label_and_the_loss_of_each_row(tmp_path, titanic, inline):
    path, run, _ = titanic
    mrdl.predict(run, path, str(tmp_path / "out"), runner=inline, ids=["id"], loss=True)
    rows = fields(tmp_path / "out")
    assert list(rows[0]) == ["id", "survived", "prediction", "probability_no", "probability_yes", "loss", "error"]
    assert [row["survived"] for row in rows] == [row[5] for row in ROWS]
    own = np.array([float(row[f"probability_{row['survived']}"]) for row in rows])
    losses = np.array([float(row["loss"]) for row in rows])
    np.testing.assert_allclose(losses, -np.log(own), rtol=1e-4)
    assert losses.mean() == pytest.approx(mrdl.evaluate(run, path, runner=inline)["loss"], rel=1e-5)
    odd = written(tmp_path / "odd.csv", [*ROWS[:3], [*ROWS[3][:5], "perhaps"]])
    mrdl.predict(run, odd, str(tmp_path / "places"), runner=inline, keep=["survived"], loss=True, format="jsonl")
    last = json.loads(joined(tmp_path / "places").splitlines()[-1])
    assert list(last)[:2] == ["survived", "prediction"] and last["loss"] is None and "not a class" in last["error"]
    mrdl.predict(run, odd, str(tmp_path / "bare"), runner=inline, loss=True)
    assert list(fields(tmp_path / "bare")[0])[:4] == ["file", "offset", "survived", "prediction"]
    with pytest.raises(ConfigError, match="loss: only possible with raw rows"):
        mrdl.predict(run, str(titanic[2] / "data"), str(tmp_path / "d"), runner=inline, loss=True)


@pytest.mark.parametrize("cores", [1, 7])
def test_the_worst_rows_are_those_with_the_largest_losses(tmp_path, titanic, monkeypatch, cores, inline):
    path, run, _ = titanic
    mrdl.predict(run, path, str(tmp_path / "out"), runner=inline, ids=["id"], loss=True)
    rows = sorted(fields(tmp_path / "out"), key=lambda row: -float(row["loss"]))
    monkeypatch.setattr(splits, "SMALLEST_SPLIT", 300)
    with Cluster("inline", cores) as cluster:
        found = mrdl.evaluate(run, path, runner=cluster, worst=5, ids=["id"]).rows.worst
    assert [(row["ids"]["id"], row["label"], row["prediction"]) for row in found] == [
        (row["id"], row["survived"], row["prediction"]) for row in rows[:5]]
    assert [f"{row['loss']:.9g}" for row in found] == [row["loss"] for row in rows[:5]]
    content = open_bytes(path)
    for row in found:
        assert content[row["place"]:].split(b",")[0].decode() == row["ids"]["id"]


def open_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def test_the_worst_rows_by_command_line(titanic, capsys, tmp_path, inline):
    path, run, folder = titanic
    status, out, _ = command(capsys, "evaluate", run, path, "--worst", "3", "--id", "name")
    lines = out.splitlines()
    at = lines.index("largest losses:")
    assert status == 0 and lines[at + 1].split() == ["name", "label", "prediction", "loss"] and len(lines) == at + 5
    assert all(line.startswith('Doe, "Mr" ') for line in lines[at + 2:])
    status, out, _ = command(capsys, "evaluate", run, path, "--worst", "2")
    assert "passengers.csv " in out and "file, place" in out
    (tmp_path / "day=1").mkdir()
    shutil.copy(path, tmp_path / "day=1" / "passengers.csv")
    status, out, _ = command(capsys, "evaluate", run, str(tmp_path / "day=1"), "--worst", "2")
    assert out.count("day=1/passengers.csv ") == 2
    status, out, _ = command(capsys, "evaluate", run, path, "--worst", "2", "--json")
    assert [set(row) for row in json.loads(out)["worst"]] == [{"loss", "file", "place", "ids", "label", "prediction"}] * 2
    assert command(capsys, "evaluate", run, str(folder / "data"), "--worst", "2")[0] == 2
    amounts = written(tmp_path / "amounts.csv", [[i % 7, i % 5, i % 7 + (100 if i == 33 else 0)] for i in range(60)], ["a", "b", "y"])
    model = saved(prepare(amounts, str(tmp_path / "d"), inline, label="y"), tmp_path / "m", 1, None, "mse", ())
    status, out, _ = command(capsys, "evaluate", model, amounts, "--worst", "1", "--label", "y")
    assert status == 0 and "  105  " in out.splitlines()[-1]


def test_losses_go_into_parquet_too(tmp_path, titanic, inline):
    parquet = pytest.importorskip("pyarrow.parquet")
    path, run, _ = titanic
    mrdl.predict(run, path, str(tmp_path / "out"), runner=inline, ids=["id"], loss=True)
    mrdl.predict(run, path, str(tmp_path / "files"), runner=inline, ids=["id"], loss=True, format="parquet")
    mrdl.predict(run, path, str(tmp_path / "places"), runner=inline, loss=True, format="parquet")
    made = parquet.read_table(tmp_path / "files")
    assert made.column_names == list(fields(tmp_path / "out")[0])
    assert [f"{value:.9g}" for value in made["loss"].to_pylist()] == [row["loss"] for row in fields(tmp_path / "out")]
    assert parquet.read_table(tmp_path / "places").column_names[:4] == ["file", "offset", "survived", "prediction"]
