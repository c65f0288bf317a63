"""A network for a table, and how long to train it."""
import numpy as np
import pytest
from raw_data import text
from raw_rows import predicted
from shards import rows as stored

import mrdl
from mrdl.config import ConfigError
from mrdl.data import dataset
from mrdl.data.sources import DataError
from mrdl.driver.embedding import width
from mrdl.driver.tabular import ALONE, DECAY, DROPOUT, SMALL, defaults, of_few, small, tabular
from mrdl.layers import Dense, Dropout, Normalization, Rescaling
from mrdl.losses import MeanSquaredError, SparseCategoricalCrossentropy
from mrdl.optimizers import Adam, AdamW


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


def sized(train, held=0):
    """A dataset of two training shards, and one that is held out, of which nothing but the sizes is there."""
    shards = [dataset.Shard(i, f"part-{i:05d}", "", n, role, 1, "")
              for i, (n, role) in enumerate([(train // 2, "train"), (train - train // 2, "train"), (held, "validation")]) if n]
    return dataset.Dataset("", "", shards, (1,), None, False, [], "float32", 0)


def test_a_run_is_as_long_as_its_data_asks_for():
    assert defaults(sized(SMALL), {}) == {"workers": 1, "batch_size": 32, "until": "epochs 50"}
    held = sized(SMALL, 100)
    assert defaults(held, {})["until"] == "val_loss patience 20, epochs 200"       # two rounds an epoch
    assert defaults(held, {"workers": 2})["until"] == "val_loss patience 10, epochs 200"
    assert defaults(held, {"epochs": 3})["until"] == "val_loss patience 20" and "until" not in defaults(sized(SMALL), {"epochs": 3})
    assert defaults(sized(10 * ALONE), {}) == {"workers": 2, "batch_size": 128, "until": "epochs 10"}


def test_few_rows_are_kept_from_being_learnt_by_heart_and_their_held_out_rows_end_nothing(tmp_path, inline):
    few, many = sized(SMALL - 1, 100), sized(SMALL, 100)
    assert defaults(few, {})["until"] == "epochs 50" and "until" not in defaults(few, {"epochs": 3})
    assert "dropout 0.3 and weight decay 5, as the 999 rows" in of_few(few) and of_few(many) == ""
    data = table(tmp_path, inline, label="kind", drop=["y"])
    model = tabular(data, runner=inline)
    assert [layer.rate for layer in model.layers if isinstance(layer, Dropout)] == [DROPOUT] * 2
    assert model.optimizer == AdamW(weight_decay=DECAY)
    words = text(tmp_path, "size,hot,y\n" + "".join(f"{'sml'[i % 3]},{'yes' if i % 5 else 'no'},{i % 2}\n" for i in range(90)), "words.csv")
    data = mrdl.prepare(words, str(tmp_path / "words"), inline, label="y")      # 6 different rows: they cannot be learnt by heart
    model = tabular(data, hidden=[8], runner=inline)
    assert not small(data) and model.optimizer == Adam() and not any(isinstance(layer, Dropout) for layer in model.layers)


IDS = {"city": {"kind": "categorical", "encode_as": "index"}, "dense": {"kind": "text", "length": 3}}


def test_columns_of_ids_are_embedded_and_learnt_by_every_way(tmp_path, inline):
    """y is a word of the text, or another one in one of the cities; the columns of ids stand among numbers."""
    rows = [(i % 7, f"c{i % 9}", i % 5, ["so", "Good", "no"][i // 9 % 3] + "!" * (i % 2)) for i in range(120)]
    lines = [f"{a},{city},{b},{words},{'pq'[('oo' in words) != (city == 'c3')]}" for a, city, b, words in rows]
    path = text(tmp_path, "\n".join(["a,city,b,dense,y", *lines]))
    data = mrdl.prepare(path, str(tmp_path / "d"), inline, label="y", kinds=IDS)
    model = tabular(data, hidden=[16], dropout=0.0, runner=inline)
    model.compile("adam", model.loss, metrics=["accuracy"])
    assert model.input_shapes() == [(1,), (1,), (1,), (3,)] and model.input_names()[1::2] == ["city", "dense"]
    layers = {name: layer for name, layer in zip(model.names(), model.layers)}
    assert (layers["embedding"].input_dim, layers["embedding_1"].input_dim) == (9 + 2, 3 + 2) and layers["embedding_1"].mask_zero
    assert [layers[name].mean for name in ("normalization", "normalization_1")] == [
        (row["mean"],) for row in mrdl.describe(data.url, runner=inline) if row["feature"] in "ab"]
    run = str(tmp_path / "run")
    mrdl.ParameterAveraging(epochs=1, workers=1, batch_size=16, runner=inline).fit(model, data.url, run=run)
    again = mrdl.load_model(run)
    found = again.predict(path)
    lines = predicted(run, path, tmp_path / "out", inline)
    assert (np.array([line[-3:-1] for line in lines[1:]], "f4") == found).all()
    dicts = [dict(zip(["a", "city", "b", "dense"], row)) for row in rows]
    assert (again.predict(dicts) == found).all()
    with pytest.warns(UserWarning, match="1 row has a value in 'city' that the schema does not know"):
        assert np.isfinite(again.predict([{"a": 1, "city": "new", "b": 2, "dense": ""}])).all()
    x, y = (np.concatenate([stored(shard)[name] for shard in data.shards]) for name in "xy")
    assert sorted(again.predict(x.astype("f4")).tolist()) == sorted(found.tolist())
    again.fit(x, y, batch_size=16, epochs=150, verbose=0)
    assert again.evaluate(x, y, return_dict=True)["accuracy"] > 0.97


@pytest.mark.parametrize("ids, numbers", [(1, 1), (2, 1), (11, 6), (98, 49), (99, 50), (2 ** 20, 50)])
def test_the_width_of_embeddings(ids, numbers):
    assert width(ids) == numbers


def test_ids_stand_beside_a_bag_of_words(tmp_path, inline):
    """The bag is a sparse input; the scores of raw rows are those of the dataset."""
    lines = [f"c{i % 9},w{i} {'yes' if i % 2 else 'no'} x,{i / 80},{i % 2}" for i in range(80)]
    path = text(tmp_path, "\n".join(["city,words,a,y", *lines]))
    kinds = {"city": IDS["city"], "words": {"kind": "text", "encode_as": "counts", "hash": 9}, "y": "label"}
    data = mrdl.prepare(path, str(tmp_path / "d"), inline, label="y", kinds=kinds, sparse=True)
    assert data.sparse and data.shape == (514,)
    model = tabular(data, hidden=[8], runner=inline)
    assert model.sparse_inputs() == [False, True] and model.input_shapes() == [(1,), (513,)]
    assert [layer.units for layer in model.layers if isinstance(layer, Dense)] == [200, 8, 2]
    assert not any(isinstance(layer, Normalization) for layer in model.layers)
    run, training = str(tmp_path / "run"), mrdl.ParameterAveraging(epochs=3, workers=1, batch_size=8, runner=inline)
    assert training.fit(model, data.url, run=run).metrics["accuracy"] > 0.7
    assert mrdl.evaluate(run, path, runner=inline) == pytest.approx(mrdl.evaluate(run, data.url, runner=inline), rel=1e-5)
    found = mrdl.load_model(run).predict(path)
    assert (np.array([line[-3:-1] for line in predicted(run, path, tmp_path / "out", inline)[1:]], "f4") == found).all()


@pytest.mark.parametrize("label, rows, hash, units", [("kind", 60, 9, []), ("kind", 80, 4, [200, 200]), ("y", 60, 9, []), ("many", 60, 16, []),
                                                      ("many", 60, 21, [8, 200])])
def test_sparse_rows_that_are_few_for_their_features_get_no_hidden_layer(tmp_path, inline, label, rows, hash, units):
    lines = [f"w{i * 7 % 50},{i / 7:.2f},{'uv'[i % 2]},k{i % 12}" for i in range(rows)]
    path = text(tmp_path, "\n".join(["words,y,kind,many", *lines]))
    others = [name for name in ("y", "kind", "many") if name != label]
    data = mrdl.prepare(path, str(tmp_path / "d"), inline, label=label, drop=others, sparse=True,
                        kinds={"words": {"kind": "categorical", "hash": hash}})
    layers = tabular(data, runner=inline).layers
    assert [layer.units for layer in layers if isinstance(layer, Dense)] == [*units, {"kind": 2, "y": 1, "many": 12}[label]]
    assert (of_few(data) == f"; no hidden layer, as the {rows} rows to train on are few for {data.shape[0]:,} features") == (not units)
    assert len([layer for layer in tabular(data, hidden=[3], runner=inline).layers if isinstance(layer, Dense)]) == 2


@pytest.mark.parametrize("cyclic", [True, False])
def test_the_schema_alone_is_enough(tmp_path, inline, cyclic):
    """Its network is that of a dataset but for the moments, which stand in the schema."""
    lines = [f"{i * 7 % 10},c{i % 4},{1970 + i // 12}-{i % 12 + 1:02d}-{i * 11 % 28 + 1:02d},{'p' if i % 3 else 'q'}" for i in range(60)]
    path = text(tmp_path, "\n".join(["a,city,day,y", *lines]))
    kinds = {"city": {"kind": "categorical", "encode_as": "index"}, "day": {"kind": "date", "cyclic": cyclic}}
    found = mrdl.infer_schema(path, inline, label="y", kinds=kinds)
    (tmp_path / "schema.json").write_bytes(found.table.dump())
    model, same = mrdl.tabular(str(tmp_path / "schema.json"), hidden=[5, 4]), mrdl.tabular(found.table, hidden=[5, 4])
    made = mrdl.tabular(mrdl.prepare(path, str(tmp_path / "d"), inline, label="y", kinds=kinds), hidden=[5, 4], dropout=0.0, runner=inline)
    assert model.to_json() == same.to_json()
    for own, other in zip(model.layers, made.layers, strict=True):
        if isinstance(own, Normalization):
            apart = np.abs(np.subtract(own.mean, other.mean)) / np.sqrt(other.variance)
            spread = np.sqrt(np.divide(own.variance, other.variance))
            assert max(apart) < 1 and 0.5 < min(spread) and max(spread) < 2
        else:
            assert (type(own), getattr(own, "units", 0)) == (type(other), getattr(other, "units", 0))
    with pytest.raises(ConfigError, match="has no label"):
        mrdl.tabular(mrdl.infer_schema(path, inline).table)
    with pytest.raises(DataError, match="no such schema"):
        mrdl.tabular(str(tmp_path / "none.json"))
