"""The command line as a user types it: what it prints, what it exits with, what it leaves."""
import json
import os
import re
import shlex
import subprocess
import sys
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from command_line import MODEL, mrdl

from mrdl.cli import main
from mrdl.cli.arguments import parser
from mrdl.cli.tables import RAW
from mrdl.driver.averaging import ParameterAveraging, resume
from mrdl.driver.preparation.prepare import prepare
from mrdl.driver.preparation.refer import refer
from mrdl.models.saving import load_model
from mrdl.storage.sealed import seal


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to stand in, with train.csv and model.py."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 150)
    x = np.eye(3, 4)[y] * 3 + rng.standard_normal((150, 4))
    np.savetxt("train.csv", np.column_stack([y, x]), fmt=["%d"] + ["%.4f"] * 4, delimiter=",",
               header="kind,a,b,c,d", comments="")
    (tmp_path / "model.py").write_text(MODEL)
    return tmp_path


COMMON = {"command", "function", "json", "debug", "jobconf", "node_python", "wheels"}


@pytest.mark.parametrize("words, function, own", [
    ("prepare raw data", prepare, set()),
    ("train model data run", ParameterAveraging,
     {"model", "data", "run", "validation", "fresh_updater", "streaming", "folds", "on_finish", "max_memory", *RAW}),
    ("train model data run", refer, None),
    ("resume run", resume, {"on_finish", "max_memory"})])
def test_each_argument_has_the_name_of_what_it_sets_and_the_same_default(words, function, own):
    a, parameters = vars(parser().parse_args(words.split())), signature(function).parameters
    assert own is None or set(a) - set(parameters) == COMMON | own
    assert own is not None or {*RAW} < set(parameters)
    for name in set(a) & set(parameters) - {"run", "inputs", "data"}:
        assert (a[name] or None) in (None, parameters[name].default), name


def test_whole_numbers_that_are_amounts_are_not_called_classes(here, capsys):
    (here / "prices.csv").write_text("area,price\n" + "".join(f"{i}.5,{1000 * i}\n" for i in range(20)))
    status, _, err = mrdl(capsys, "prepare", "prices.csv", "prices", "--label", "price")
    assert status == 0 and "20 rows" in err and "classes" not in err and "labels from 0 to 19000" in err


@pytest.mark.parametrize("labels, options, told", [
    ([0, 1, 1], "", "2 classes"), ([3, 7, 9] * 40, "", "3 classes"), (range(10), "", "labels from 0 to 9"),
    ([*range(10)] * 10, "", "10 classes"), ([0, 1, 50] * 200, "", "3 classes"), ([0, 1, 50] * 200, "--kind y=numeric", "labels from 0 to 50"), ([*range(1001)] * 10, "", "labels from 0 to 1000"), ([0, 1, 2], "--classes 9", "9 classes"), ([4, 4], "", "every label is 4"),
    ([0.5, 1.25], "", "labels from 0.5 to 1.25"), ([25, *range(300)[::-1]], "", "labels from 0 to 299"),
    ([9_000_000_001, 9_000_000_003], "", "labels from 9000000001 to 9000000003")])
def test_what_the_labels_are_is_said(here, capsys, labels, options, told):
    (here / "l.csv").write_text("a,y\n" + "".join(f"{i}.5,{y}\n" for i, y in enumerate(labels)))
    status, _, err = mrdl(capsys, "prepare", "l.csv", "l", "--label", "y", *options.split())
    assert status == 0 and f"examples of shape (1,), {told}\n" in err


def test_a_table_without_a_label_and_more_shards_than_rows_are_said(here, capsys):
    (here / "few.csv").write_text("# made\na,b\n1.5,2\n")
    status, _, err = mrdl(capsys, "prepare", "few.csv", "few", "--shards", "40")
    assert status == 0 and "1 row in 40 shards" in err and "more shards than rows: 39 of 40 are empty" in err
    assert "there are no labels, each of the 2 columns is a feature; to train on one of them: prepare with --label COLUMN" in err
    assert "1 line that begins with # was left out as a comment" in err
    assert "no labels" in mrdl(capsys, "show", "few")[1]
    (here / "index.csv").write_text(",a\n7,1\n4,2\n")
    assert mrdl(capsys, "prepare", "index.csv", "index")[0] == 0
    assert "columns: '', a\n" in mrdl(capsys, "show", "index")[1]
    (here / "wide.csv").write_text("\n".join(",".join(f"{name}{i}" for i in range(1022)) for name in ("c", "1.5", "2.")))
    assert mrdl(capsys, "prepare", "wide.csv", "wide")[0] == 0
    assert "columns: c0, c1, c2," in (out := mrdl(capsys, "show", "wide")[1]) and ", c18, c19 and 1,002 more (all" in out and "c20," not in out
    assert len(json.loads(mrdl(capsys, "show", "wide", "--json")[1])["columns"]) == 1022


def test_from_a_raw_file_to_predictions(here, capsys, pictures):
    status, out, err = mrdl(capsys, "prepare", "train.csv", "data", "--label", "kind",
                            "--hold-out", "0.2", "--json")
    assert status == 0 and json.loads(out)["rows"] + json.loads(out)["held_out"] == 150
    assert "held out" in err and "3 classes" in err
    status, out, err = mrdl(capsys, "train", "model.py", "data", "run", "--rounds", "30",
                            "--batch-size", "8", "--until", "epochs 50", "--json")
    assert status == 0 and json.loads(out)["reason"] == "30 rounds done"
    assert [int(r) for r in re.findall(r"^round +(\d+)  .*loss \d.*  val_loss \d", err, re.MULTILINE)] == [
        *range(1, 11), 20, 30]
    assert "30 rounds done; the model is that of round 30 of 30" in err and "model: " in err and "history.png" in err
    status, out, _ = mrdl(capsys, "evaluate", "run", "data", "--part", "validation", "--json")
    assert status == 0 and set(json.loads(out)) == {"loss", "accuracy", "report"}
    assert json.loads(out)["accuracy"] > 0.7
    status, _, err = mrdl(capsys, "predict", "run", "data", "out")
    lines = [line.split(",") for path in sorted((here / "out").glob("part-*"))
             for line in path.read_text().splitlines()]
    assert status == 0 and len(lines) == 150 and "150 predictions" in err
    columns = (here / "out" / "columns.csv").read_text().strip().split(",")
    assert columns == ["target", "class", "output0", "output1", "output2"]
    assert all(int(line[1]) == np.argmax([float(p) for p in line[2:]]) for line in lines)
    assert np.mean([line[0] == line[1] for line in lines]) > 0.7
    status, out, _ = mrdl(capsys, "show", "run")
    assert status == 0 and "30 rounds" in out and "finished: 30 rounds done" in out
    status, out, _ = mrdl(capsys, "show", "run", "--json")
    assert json.loads(out)["finished"]["rounds"] == 30


def test_show_says_what_is_in_a_dataset(here, capsys):
    (here / "train.csv").write_text((here / "train.csv").read_text() + "1,2,x,4,5\n")
    mrdl(capsys, "prepare", "train.csv", "data", "--label", "kind", "--hold-out", "0.2", "--max-bad", "0.1")
    status, out, _ = mrdl(capsys, "show", "data")
    assert status == 0 and "rows in 2 shards" in out and "held out in 1" in out and "3 classes" in out
    assert "x float32 (n, 4), y int32 (n,)" in out and "targets from 0 to 2\ncolumns: a, b, c, d\n" in out
    assert "1 of 151 records were bad and left out:" in out and "not a number" in out and "text" not in out
    facts = json.loads(mrdl(capsys, "show", "data", "--json")[1])
    assert facts["rows"] + facts["held_out"] == 150 and facts["shape"] == [4] and facts["target"]["classes"] == 3


def test_show_names_the_columns_of_label_and_weight_which_datasets_of_before_do_not_know(here, capsys):
    (here / "train.csv").write_text("kind,a,b,c,d\n0,1,2,3,4\n1,2,3,4,5\n")
    mrdl(capsys, "prepare", "train.csv", "data", "--label", "kind", "--sample-weight", "b")
    assert "\ncolumns: a, c, d\nlabel: kind\nweight: b\n" in mrdl(capsys, "show", "data")[1]
    facts = json.loads(mrdl(capsys, "show", "data", "--json")[1])
    assert (facts["label"], facts["weight"]) == ("kind", "b")
    path = here / "data" / "data.json"
    older = {key: value for key, value in json.loads(path.read_text()).items() if key not in ("label", "weight", "seal")}
    path.write_text(json.dumps(seal(older)))
    status, out, _ = mrdl(capsys, "show", "data")
    assert status == 0 and "columns: a, c, d\n" in out and "label:" not in out and "weight:" not in out
    path.write_text(json.dumps(seal({**older, "label": 3})))
    assert "data.json.label is 3" in mrdl(capsys, "show", "data")[2]


def prepared(capsys):
    assert mrdl(capsys, "prepare", "train.csv", "data", "--label", "kind")[0] == 0


@pytest.mark.parametrize("words, reason", [
    ("train nowhere.py data run", "nowhere.py: no such file"),
    ("train empty.py data run", "must define `model`"),
    ("train broken.json data run", "no JSON"),
    ("train data data run", "holds no model.json"),
    ("train model.py nowhere run", "no dataset .*mrdl prepare"),
    ("train model.py data run --until sometimes", "is no rule"),
    ("train model.py data run --workers 0", "workers must be 1 or more"),
    ("train model.py data run --validation nowhere", "no dataset"),
    ("train model.py data train.csv", "train.csv is a file; choose another folder"),
    ("resume nowhere", "no run here"),
    ("show nowhere", "no run here"),
    ("evaluate nowhere data", "holds no model.json"),
    ("predict nowhere data out", "holds no model.json"),
    ("prepare nowhere.csv other", "nowhere.csv"),
    ("prepare s3://nn/raw.csv other", "not s3://"),
    ("prepare train.csv s3://nn/data --label kind", "not s3://"),
    ("prepare train.csv /proc/other --label kind", "/proc/other.*: No such file"),
    ("train model.py s3://nn/data run", "not s3://"),
    ("train model.py data s3://nn/run", "not s3://"),
    ("train model.py data run -r mesos", "no runner 'mesos'"),
    ("train model.py data run -r hadoop", "no default HDFS.*HADOOP_CONF_DIR"),
    ("prepare train.csv other --label kind -r hadoop", "HADOOP_CONF_DIR"),
    ("train model.py data run -D queue", "-D queue: must be NAME=VALUE"),
    ("prepare train.csv data --label kind", "there is a dataset already"),
    ("prepare train.csv other --label Kidn", "no column 'Kidn' .did you mean 'kind'..; there are"),
    ("prepare train.csv other --label kind --schema data", "data: is a folder, .*--like data"),
])
def test_wrong_input_is_one_clear_line_status_2_and_nothing_written(here, capsys, monkeypatch, words,
                                                                    reason):
    prepared(capsys)
    for name in ("HADOOP_CONF_DIR", "HADOOP_HOME"):     # of a machine that has a cluster
        monkeypatch.delenv(name, raising=False)
    (here / "empty.py").write_text("x = 1\n")
    (here / "broken.json").write_text("{")
    before = sorted(here.rglob("*"))
    status, out, err = mrdl(capsys, *words.split())
    assert status == 2 and not out and re.search(reason, err)
    assert "\nmrdl: " in "\n" + err and "Traceback" not in err
    assert sorted(here.rglob("*")) == before


def test_predictions_do_not_overwrite_what_is_there(here, capsys):
    prepared(capsys)
    mrdl(capsys, "train", "model.py", "data", "run", "--rounds", "1")
    (here / "out").mkdir()
    (here / "out" / "mine").write_text("x")
    status, _, err = mrdl(capsys, "predict", "run", "data", "out")
    assert status == 2 and "out exists" in err
    status, _, err = mrdl(capsys, "predict", "run", "train.csv", "model.py")
    assert status == 2 and "model.py is a file; choose another folder" in err
    assert mrdl(capsys, "describe", "run")[::2] == (2, "mrdl: run: is a run; see it with: mrdl show run\n")


def test_a_reader_that_goes_away_ends_the_command_without_a_traceback(here):
    ours, theirs = os.pipe()
    os.close(ours)
    ended = subprocess.run([sys.executable, "-m", "mrdl", "describe", "train.csv", "--json", "-r", "inline"], stdout=theirs, stderr=subprocess.PIPE,
                           check=False)
    os.close(theirs)
    assert ended.returncode == 141 and b"Traceback" not in ended.stderr


def test_columns_are_matched_by_name_and_never_by_place(here, capsys):
    header, *rows = (here / "train.csv").read_text().splitlines()
    turned = [",".join(reversed(line.split(","))) for line in (header, *rows)]
    (here / "turned.csv").write_text("\n".join(turned) + "\n")
    prepared(capsys)
    assert mrdl(capsys, "train", "model.py", "data", "run", "--rounds", "2")[0] == 0
    assert mrdl(capsys, "prepare", "turned.csv", "turned", "--label", "kind")[0] == 0
    load_model("run").save("saved")
    for words in ("evaluate run turned", "evaluate saved turned", "predict run turned out", "train run turned more",
                  "train model.py data more --validation turned"):
        status, _, err = mrdl(capsys, *words.split())
        assert status == 2 and re.search("turned has other columns than .*(run|data|saved), or in another order: prepare it with --like", err)
    status, _, err = mrdl(capsys, "prepare", "turned.csv", "same", "--label", "kind", "--like", "data")
    assert status == 0
    scores = [mrdl(capsys, "evaluate", "run", data, "--json")[1] for data in ("data", "same")]
    scores = [{name: value for name, value in json.loads(out).items() if name != "report"} for out in scores]
    assert scores[0] == pytest.approx(scores[1], rel=1e-6)
    model = load_model("saved")
    model.features = None
    model.save("saved")
    assert mrdl(capsys, "evaluate", "saved", "turned")[0] == 0             # of a model that was trained on arrays nobody knows
    (here / "less.csv").write_text((here / "train.csv").read_text().replace("kind,a,", "kind,e,"))
    assert mrdl(capsys, "prepare", "less.csv", "less", "--label", "kind")[0] == 0
    assert "less has no column 'a', which run has" in mrdl(capsys, "evaluate", "run", "less")[2]
    status, _, err = mrdl(capsys, "prepare", "less.csv", "other", "--label", "kind", "--like", "data")
    assert status == 2 and "its columns do not fit the schema: 'a' (missing)" in err
    (here / "renamed.csv").write_text((here / "train.csv").read_text().replace("kind,a,b", "sort,A,b"))
    status, _, err = mrdl(capsys, "prepare", "renamed.csv", "other", "--like", "data")
    assert status == 2 and "'a' (missing) (did you mean 'A'?); there are 'sort', 'A'" in err
    (here / "bare.csv").write_text("\n".join(rows) + "\n")
    assert mrdl(capsys, "prepare", "bare.csv", "bare", "--label", "0")[0] == 0
    assert mrdl(capsys, "evaluate", "run", "bare")[0] == 0                 # without names they go by their order
    assert "no names" in mrdl(capsys, "prepare", "train.csv", "other", "--label", "kind", "--like", "bare")[2]


def test_ids_come_through_predict_with_all_their_digits(here, capsys):
    prepared(capsys)
    mrdl(capsys, "train", "model.py", "data", "run", "--rounds", "1")
    header, *rows = (here / "train.csv").read_text().splitlines()
    ids = [9_000_000_001 + 7 * i for i in range(len(rows))]
    (here / "new.csv").write_text("\n".join([header, *(f"{i},{row.partition(',')[2]}" for i, row in zip(ids, rows))]))
    assert mrdl(capsys, "prepare", "new.csv", "new", "--label", "kind")[0] == 0
    assert mrdl(capsys, "predict", "run", "new", "out")[0] == 0
    found = [line.split(",")[0] for path in (here / "out").glob("part-*") for line in path.read_text().splitlines()]
    assert sorted(found) == [str(i) for i in ids]


def test_a_spec_and_a_saved_model_train_too_and_python_m_mrdl_is_the_same(here, capsys):
    prepared(capsys)
    mrdl(capsys, "train", "model.py", "data", "first", "--rounds", "2")
    status, _, _ = mrdl(capsys, "train", "first/model.json", "data", "second", "--rounds", "1")
    assert status == 0
    status, _, err = mrdl(capsys, "train", "first", "data", "third", "--rounds", "1")
    assert status == 0 and "1 round done" in err
    done = subprocess.run([sys.executable, "-m", "mrdl", "evaluate", "third", "data", "-r", "inline",
                           "--json"], capture_output=True, text=True, check=True)
    assert 0 <= json.loads(done.stdout)["accuracy"] <= 1


def test_a_run_begins_with_a_file_of_keras_and_is_exported_to_one(here, capsys):
    prepared(capsys)
    mrdl(capsys, "train", "model.py", "data", "first", "--rounds", "2")
    status, out, err = mrdl(capsys, "export", "first", "m.keras", "--json")
    told = json.loads(out)
    assert status == 0 and told["file"] == "m.keras" and told["updates"] > 0 and "the optimizer's state after" in err
    assert "the names of columns and classes" in err
    x = np.random.default_rng(0).normal(size=(9, 4)).astype("f4")
    assert (load_model("m.keras").predict(x) == load_model("first").predict(x)).all()
    for model, run in (("m.keras", "second"), ("first", "third")):      # they go on alike
        status, _, err = mrdl(capsys, "train", model, "data", run, "--rounds", "1")
        assert status == 0 and "new optimizer state" not in err
    assert mrdl(capsys, "export", "second", "m.h5")[0] == mrdl(capsys, "export", "m.h5", "m.weights.h5")[0] == 0
    ours, theirs = load_model("second"), load_model("m.h5")
    assert (ours.iterations, ours.optimizer) == (theirs.iterations, theirs.optimizer) and (ours.slots == theirs.slots).all()
    assert (ours.weights == theirs.weights).all() and (ours.weights == load_model("first").load_weights("m.weights.h5").weights).all()
    assert (ours.weights == load_model("third").weights).all()
    for words, told in ((("export", "first", "m.onnx"), "m.onnx: must end with .keras, .h5 or .weights.h5"),
                        (("export", "nothing", "n.keras"), "holds no model.json"), (("train", "no.keras", "data", "r"), "no.keras")):
        status, _, err = mrdl(capsys, *words)
        assert status == 2 and told in err and len(err.splitlines()) == 1


def test_a_damaged_shard_is_told_in_one_line_with_file_and_block(here, capsys):
    prepared(capsys)
    part = here / "data" / "part-00000"
    line = bytearray(part.read_bytes())
    line[-20] = ord("A") if line[-20] != ord("A") else ord("B")
    part.write_bytes(bytes(line))
    for runner in ("inline", "local"):
        status = main(["train", "model.py", "data", runner, "--rounds", "1", "-r", runner])
        err = capsys.readouterr().err
        assert status == 1 and "checksum" in err and "block 0" in err and "data/part-00000, line 1" in err
        assert err.count("\n") == 1 and "prepare the dataset again" in err


@pytest.mark.parametrize("words", [
    "prepare NINES data", "prepare x.csv data --seed NINES", "prepare x.csv data --shards NINES0.", "train NINES data run",
    "train model.json data run --until NESTED", "train model.json data run --until 'rounds NINES'", "show NESTED",
    "train model.json data run --until 'loss <= NINES'", "evaluate run data --max-memory NINES", "evaluate run data --part NESTED"])
def test_an_error_quotes_no_more_than_can_be_read(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    Path("x.csv").write_text("1,2\n3,4\n")
    Path("model.json").write_text("{}")
    long = [word.replace("NINES", "9" * 3000).replace("NESTED", "(" * 3000) for word in shlex.split(words)]
    try:
        assert main(long) == 2
    except SystemExit as left:
        assert left.code == 2
    err = capsys.readouterr().err
    assert err and max(map(len, err.splitlines())) < 1100 and "internal" not in err


@pytest.mark.parametrize("error, status, line", [
    (KeyError("what"), 1, "mrdl: internal error: KeyError: 'what'; run again with --debug to see where"),
    (RecursionError("too\ndeep"), 1, "mrdl: internal error: RecursionError: too deep; run again with --debug to see where"),
    (MemoryError(), 1, "mrdl: out of memory"), (ValueError("so"), 2, "mrdl: so"), (RuntimeError("so"), 1, "mrdl: so")])
def test_an_error_is_one_line_and_its_traceback_is_shown_on_demand(monkeypatch, capsys, error, status, line):
    def fail(*_):
        raise error

    monkeypatch.setattr("mrdl.cli.show.store_at", fail)
    for words in (["show", "x"], ["--debug", "show", "x"], ["show", "x", "--debug"]):
        monkeypatch.setattr("sys.argv", ["mrdl", *words])
        assert main() == status
        *traced, last = capsys.readouterr().err.rstrip("\n").split("\n")
        assert last == line and bool(traced) == ("--debug" in words) == ("Traceback" in "".join(traced))
    if "internal" in line:                      # from Python, as in tests, it is raised
        with pytest.raises(type(error)):
            main(["show", "x"])


def test_help_has_examples_and_the_grammar_of_until(capsys):
    for command in ("prepare", "train", "resume", "evaluate", "predict", "export", "show"):
        with pytest.raises(SystemExit) as left:
            main([command, "--help"])
        assert left.value.code == 0 and f"example: mrdl {command}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "METRIC patience N" in text and "or auto: a network made for the dataset" in text


def test_an_interrupt_while_the_command_loads_is_one_line(tmp_path):
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt\n")
    done = subprocess.run([sys.executable, "-m", "mrdl", "--version"], capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"})
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "mrdl: interrupted\n")
