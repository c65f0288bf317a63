"""evaluate on raw rows: the scores of the dataset's way, and what they are worth."""
import numpy as np
import pytest
from raw_data import text, without_table
from raw_rows import HEADER, ROWS, saved, written

import mrdl
from mrdl.cli.scores import unread
from mrdl.data.facts import too_many
from mrdl.data.misread import advice, misread, of_value, told
from mrdl.data.sources import DataError
from mrdl.driver.preparation.prepare import prepare
from mrdl.losses import BinaryCrossentropy, SparseCategoricalCrossentropy
from mrdl.metrics import ConfusionMatrix, F1Score, Precision
from mrdl.report import scored
from mrdl.report.assessed import Assessed
from mrdl.runners import splits
from mrdl.runners.cluster import Cluster


@pytest.fixture(scope="module")
def titanic(tmp_path_factory, inline):
    """(the table, its dataset, a model of it)"""
    folder = tmp_path_factory.mktemp("titanic")
    path = written(folder / "passengers.csv")
    data = prepare(path, str(folder / "data"), inline, label="survived")
    return path, data, saved(data, folder / "run", metrics=("accuracy", ConfusionMatrix(), F1Score()))


@pytest.mark.parametrize("cores", [1, 7])
def test_raw_rows_score_as_their_dataset_does(tmp_path, titanic, monkeypatch, cores, inline):
    path, data, run = titanic
    monkeypatch.setattr(splits, "SMALLEST_SPLIT", 300)
    by_dataset = mrdl.evaluate(run, data.url, runner=inline)
    assert set(by_dataset) == {"loss", "accuracy", "confusion_matrix", "f1_score"} and by_dataset.rows is None
    with Cluster("inline", cores) as cluster:
        found = mrdl.evaluate(run, path, runner=cluster)
    assert found == {**by_dataset, "loss": pytest.approx(by_dataset["loss"], rel=1e-6)}
    assert found.report == by_dataset.report and found.rows.rows == 60
    assert found.report["confusion"] == found["confusion_matrix"]
    assert found.report["accuracy"] == found["accuracy"] and found.report["baseline"]["class"] == "no"
    assert found.report["baseline"]["accuracy"] == 0.75
    assert [each["f1"] for each in found.report["classes"]] == pytest.approx(found["f1_score"], abs=1e-6)
    assert [(each["class"], each["rows"]) for each in found.report["classes"]] == [("no", 45), ("yes", 15)]


def test_bad_rows_are_counted_and_too_many_of_them_refused(tmp_path, titanic, inline):
    path = written(tmp_path / "new.csv", [*ROWS[:8], [*ROWS[8][:5], "perhaps"], ["9", "x", "male", "old", "S", "no"]])
    with pytest.raises(DataError, match=r"2 of 10 records are bad .20 %.*\n  column 'age', not a number: 'old' .1 row.\n"
                       r"  column 'survived', not a class: 'perhaps' .1 row.\n.*: --missing old\n"
                       r".*not a class .column 'survived'.*\n.*not a number"):
        mrdl.evaluate(titanic[2], path, runner=inline)
    found = mrdl.evaluate(titanic[2], path, runner=inline, max_bad=0.2)
    assert found.rows.bad == {"not a class": 1, "not a number": 1} and sum(map(sum, found["confusion_matrix"])) == 8
    assert mrdl.evaluate(titanic[2], path, runner=inline, missing=["old"]).rows.bad == {"not a class": 1}
    for options, reason in (({"max_bad": 2.0}, "must be from 0 to 1"), ({"part": "train"}, "only possible with a dataset"),
                            ({"label": "sex"}, "has 'survived' for it")):
        with pytest.raises(ValueError, match=reason):
            mrdl.evaluate(titanic[2], path, runner=inline, **options)
    with pytest.raises(ValueError, match="only possible with raw rows"):
        mrdl.evaluate(titanic[2], titanic[1].url, runner=inline, label="survived")
    with pytest.raises(DataError, match="'survived' .the label, missing."):
        mrdl.evaluate(titanic[2], written(tmp_path / "bare.csv", [row[:5] for row in ROWS], HEADER[:5]), runner=inline)
    with pytest.raises(DataError, match="no row has a label"):
        mrdl.evaluate(titanic[2], written(tmp_path / "unknown.csv", [[*row[:5], ""] for row in ROWS]), runner=inline)
    with pytest.raises(DataError, match="no rows in the inputs"):
        mrdl.evaluate(titanic[2], written(tmp_path / "none.csv", []), runner=inline)


def test_the_label_of_numbers_alone_is_that_of_the_dataset_or_named(tmp_path, inline):
    rows = [f"{i / 7:.3f},{i * i / 50:.3f},{i % 5}" for i in range(50)]
    path = text(tmp_path, "\n".join(["a,y,w", *rows]) + "\n")
    data = without_table(prepare(path, str(tmp_path / "d"), inline, label="y", drop=["w"]))
    run = saved(data, tmp_path / "run", 1, None, "mse", ("mae",))
    with pytest.raises(DataError, match="which column of the rows is the label is not known"):
        mrdl.evaluate(run, path, runner=inline)
    found, by_dataset = mrdl.evaluate(run, path, runner=inline, label="y"), mrdl.evaluate(run, data.url, runner=inline)
    assert found == pytest.approx(by_dataset, rel=1e-6)
    y = np.array([float(row.split(",")[1]) for row in rows])
    assert found.report["baseline"] == pytest.approx({"mean": y.mean(), "mean_squared_error": y.var(), "root_mean_squared_error": y.std(),
                                                      "mean_absolute_error": np.abs(y - y.mean()).mean()})
    assert found.report["mean_squared_error"] == pytest.approx(found["loss"]) and found.report["r2"] == pytest.approx(1 - found["loss"] / y.var())
    line = scored.told(found.report)[0]
    assert "no better than the mean" in line and f"always predicting the mean, {y.mean():.6g}" in line
    with pytest.raises(DataError, match="'a' is a feature of"):
        mrdl.evaluate(run, path, runner=inline, label="a")
    weighted = without_table(prepare(path, str(tmp_path / "w"), inline, label="y", weight="w"))
    training = mrdl.ParameterAveraging(runner=inline, rounds=1)
    training.fit(mrdl.load_model(run), weighted.url, run=str(tmp_path / "trained"))
    found, by_dataset = (mrdl.evaluate(str(tmp_path / "trained"), what, runner=inline) for what in (path, weighted.url))
    assert found == pytest.approx(by_dataset, rel=1e-6)         # the run's dataset says which columns they are


def test_weights_and_labels_out_of_range(tmp_path, inline):
    rows = [f"{'ab'[i % 2]},{i % 3},{1 + i % 4}" for i in range(40)]
    path = text(tmp_path, "\n".join(["x,y,w", *rows]) + "\n")
    data = prepare(path, str(tmp_path / "d"), inline, label="y", weight="w")
    run = saved(data, tmp_path / "run", 3)
    found, by_dataset = mrdl.evaluate(run, path, runner=inline), mrdl.evaluate(run, data.url, runner=inline)
    assert found == pytest.approx(by_dataset, rel=1e-6) and found.report == by_dataset.report
    unweighted = text(tmp_path, "\n".join(["x,y", *(row[:3] for row in rows)]) + "\n", "plain.csv")
    assert mrdl.evaluate(run, unweighted, runner=inline)["loss"] != found["loss"]
    with pytest.raises(DataError, match="1 not a class, 1 negative weight|1 negative weight, 1 not a class"):
        mrdl.evaluate(run, text(tmp_path, "x,y,w\na,3,1\na,1,-1\nb,1,1\n", "odd.csv"), runner=inline)


def test_a_report_is_made_where_it_can_be(tmp_path, titanic, inline):
    data = titanic[1]
    for outputs, activation, loss, metrics, there in (
            (1, "sigmoid", "binary_crossentropy", [Precision()], True),
            (1, None, BinaryCrossentropy(from_logits=True), [], False), (3, "tanh", SparseCategoricalCrossentropy(from_logits=True), [], True)):
        found = mrdl.evaluate(saved(data, tmp_path / str(activation), outputs, activation, loss, metrics), data.url, runner=inline)
        assert bool(found.report) is there
    assessed = Assessed(2)
    assessed.add(np.array([[0.75] * 6]), np.array([[0, 0, 0, 1, 1, 1]]))
    text = "\n".join(scored.told(scored.report(assessed, ["x" * 30, "b\n"])))
    assert "x" * 22 + ".." in text and "b? " in text and "accuracy 0.5000, no better than always answering xxxx" in text


@pytest.mark.parametrize("bad, total, most, refused", [
    (1, 2, None, False), (1, 23, None, False), (2, 19, None, True), (2, 20, None, False), (5, 50, None, False), (6, 60, None, True),
    (5, 4999, None, False), (10, 10_000, None, False), (11, 10_000, None, True), (1, 1, None, True), (0, 9, None, False),
    (1, 23, 0.0, True), (1, 23, 0.04, True), (1, 23, 0.05, False), (11, 100, 0.1, True), (3, 3, 1.0, True)])
def test_few_bad_records_are_tolerated_and_a_share_that_is_said_holds_exactly(bad, total, most, refused):
    assert too_many(bad, total, most) is refused


def test_a_new_word_costs_one_row_of_a_small_file_and_no_readable_row_is_an_error(tmp_path, titanic, inline):
    path = written(tmp_path / "new.csv", [*ROWS[:22], ["9", "x", "male", "rotary", "S", "no"]])
    found = mrdl.evaluate(titanic[2], path, runner=inline)
    assert found.rows.rows == 23 and found.rows.bad == {"not a number": 1}
    assert unread(found.rows)[:3] == ["warning: 1 of 23 rows could not be read: 1 not a number",
                                      "  column 'age', not a number: 'rotary' (1 row)", "  if that means that the value is missing: --missing rotary"]
    counted = mrdl.predict(titanic[2], path, str(tmp_path / "scores"), runner=inline, missing=["rotary"])
    assert (counted.rows, counted.bad) == (23, {})
    wrong = written(tmp_path / "wrong.csv", [[*row[:3], "old", *row[4:]] for row in ROWS])
    with pytest.raises(DataError, match=r"all 60 records are bad: 60 not a number\n  column 'age', not a number: 'old' .60 rows."):
        mrdl.predict(titanic[2], wrong, str(tmp_path / "none"), runner=inline)
    assert not (tmp_path / "none").exists()


def test_misread_values_are_the_same_however_rows_are_split():
    values = [(column, b"%d" % (i * 7 % 60)) for column in ("b", "a") for i in range(300)]
    each = [of_value(column, "not a number", value) for column, value in values]
    whole = misread(each)
    assert whole == misread([misread(each[400:]), misread([misread(each[:50]), misread(each[50:400])])]) == misread(reversed(each))
    assert told(whole)[0] == "column 'a', not a number: '0' (5 rows), '1' (5 rows), '10' (5 rows), others (285 rows)"
    assert told(misread([of_value("c", "missing", b"")] * 2)) == ["column 'c', missing: 2 rows"]
    assert advice(misread([of_value("c", "not finite", b"inf"), of_value("c", "not a date", b"-5")])) == ""
    assert advice(misread([of_value("c", "not a number", b"0.5")])).endswith("than the schema says; if all of the file have it: --decimal .")
    assert "--decimal ," in advice(misread([of_value("c", "not a number", b"0,5"), of_value("c", "not a number", b"17,25")]))
    assert advice(misread([of_value("c", "not a number", b"0,5"), of_value("d", "not a number", b"old")])).endswith("--missing 0,5 old")
