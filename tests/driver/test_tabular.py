"""A network for a table, and how long to train it."""
import numpy as np
import pytest
from raw_data import text

import mrdl
from mrdl.config import ConfigError
from mrdl.data import dataset
from mrdl.driver.tabular import ALONE, defaults, tabular
from mrdl.layers import Dense, Dropout, Normalization, Rescaling
from mrdl.losses import MeanSquaredError, SparseCategoricalCrossentropy


def table(tmp_path, inline, label="y", rows=60, **options):
    """40 rows to train on of a number, a word and a constant; y is a + 5 where the word is v, kind is u or v."""
    lines = [f"{i % 10},{'uv'[i % 2]},7,{i % 10 + 5 * (i % 2) + i / 1000:.3f},{'uv'[i % 2]}" for i in range(rows)]
    path = text(tmp_path, "\n".join(["a,word,same,y,kind", *lines]))
    return mrdl.prepare(path, str(tmp_path / f"d-{label}"), inline, label=label, hold_out=0.3, **options)


def test_an_amount_has_its_own_units_and_numbers_alone_are_scaled(tmp_path, inline):
    data = table(tmp_path, inline, drop=["kind"], kinds={"same": "numeric"})
    model = tabular(data, hidden=[8, 4], dropout=0.1, runner=inline)
    kinds = [type(layer) for layer in model.layers]
    assert kinds == [Normalization, Dense, Dropout, Dense, Dropout, Dense, Rescaling]
    assert data.columns == ["a", "word=u", "word=v", "same"]
    norm, last = model.layers[0], model.layers[-1]
    rows = {row["feature"]: row for row in mrdl.describe(data.url, runner=inline)}
    assert norm.mean == (rows["a"]["mean"], 0, 0, 7) and norm.variance == (rows["a"]["std"] ** 2, 1, 1, 1)     # none is 0
    y = np.array([i % 10 + 5 * (i % 2) + i / 1000 for i in range(60)])
    np.testing.assert_allclose([last.offset, last.scale], [y.mean(), y.std(ddof=1)], rtol=1e-3)
    assert isinstance(model.loss, MeanSquaredError)


def test_the_parts_of_a_date_are_scaled(tmp_path, inline):
    path = text(tmp_path, "day,y\n" + "".join(f"{1970 + i}-0{i % 9 + 1}-1{i % 7},{i}.5\n" for i in range(40)))
    data = mrdl.prepare(path, str(tmp_path / "d"), inline, label="y")
    norm = tabular(data, runner=inline).layers[0]
    assert "day.year" in data.columns and all(1 > abs(m) or 1989 < m < 1990 for m in norm.mean) and 1.0 not in norm.variance


def test_classes_get_a_softmax(tmp_path, inline):
    model = tabular(table(tmp_path, inline, label="kind", drop=["y"]).url, runner=inline)
    assert model.output_shape == (2,) and isinstance(model.loss, SparseCategoricalCrossentropy)
    whole = text(tmp_path, "".join(f"{i % 7}.5,{i % 3}\n" for i in range(28)), "whole.csv")
    assert tabular(mrdl.prepare(whole, str(tmp_path / "d"), inline, label="1"), runner=inline).output_shape == (3,)
    amounts = text(tmp_path, "".join(f"{i % 7},{i}\n" for i in range(40)), "amounts.csv")
    assert tabular(mrdl.prepare(amounts, str(tmp_path / "e"), inline, label="1"), runner=inline).output_shape == (1,)


def test_what_is_no_table_is_refused(tmp_path, inline, made):
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 2, 2)), y=np.zeros(4))
    with pytest.raises(ConfigError, match="rows of shape .2, 2., and `auto` is for tables"):
        tabular(mrdl.prepare(str(tmp_path / "a.npz"), str(tmp_path / "d"), inline), runner=inline)
    with pytest.raises(ConfigError, match="has no label with one value: prepare it with --label"):
        tabular(table(tmp_path, inline, label=None), runner=inline)


def test_a_run_is_as_long_as_its_data_asks_for(tmp_path, made):
    small, held = made(), made(hold_out=0.3, name="held")
    assert defaults(small, {}) == {"workers": 1, "batch_size": 32, "until": "epochs 50"}
    assert defaults(held, {})["until"] == "val_loss patience 20, epochs 200"       # two rounds an epoch
    assert defaults(held, {"workers": 2})["until"] == "val_loss patience 10, epochs 200"
    assert defaults(held, {"epochs": 3})["until"] == "val_loss patience 20" and "until" not in defaults(small, {"epochs": 3})
    large = dataset.Shard(0, "part-00000", "", 10 * ALONE, "train", 1, "")
    assert defaults(dataset.Dataset("", "", [large], (1,), None, False, [], "float32", 0), {}) == {
        "workers": 2, "batch_size": 128, "until": "epochs 10"}
