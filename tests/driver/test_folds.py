"""Cross-validation: each row is held out once, runs go on after a kill, and the table says what they have come to."""
import json
import statistics
from collections import Counter
from pathlib import Path

import pytest
from command_line import mrdl as command
from raw_data import text

import mrdl
from mrdl.blocks import unpack
from mrdl.data.dataset import load
from mrdl.data.sources import DataError
from mrdl.layers import Dense, Input
from mrdl.runs.commits import RunError


@pytest.fixture(scope="module")
def data(tmp_path_factory, inline):
    folder = tmp_path_factory.mktemp("folds")
    lines = [f"{i % 13},{i * 7 % 29 / 8},{'ab'[(i % 13) + (i * 7 % 29 / 8) > 8]}" for i in range(200)]
    return mrdl.prepare(text(folder, "\n".join(["x,z,kind", *lines])), str(folder / "data"), inline, label="kind", shards=6)


def model():
    made = mrdl.Sequential([Input((2,)), Dense(4, "tanh"), Dense(2, "softmax")])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def rows(data, role):
    found = Counter()
    for shard in data.shards:
        if shard.role == role:
            for line in Path(shard.path).read_bytes().splitlines():
                found.update(map(tuple, unpack(line).arrays()["x"].tolist()))
    return found


def test_each_row_is_held_out_by_one_fold(data):
    parts = [load(f"{data.url}#{i}/3") for i in (1, 2, 3)]
    everything = rows(data, "train")
    assert sum((rows(part, "validation") for part in parts), Counter()) == everything
    for part in parts:
        assert rows(part, "train") + rows(part, "validation") == everything and len(part.validation()) == 2
    assert len({part.digest() for part in parts}) == 3 and load(data.url).digest() == data.digest()
    for fold, reason in (("#1/7", "7 folds need as many training shards with rows, and there are 6"), ("#4/3", "numbered from 1"),
                         ("#1/1", "2 folds or more")):
        with pytest.raises(DataError, match=reason):
            load(data.url + fold)


def test_what_prepare_held_out_takes_no_part(tmp_path, inline):
    path = text(tmp_path, "x,y\n" + "".join(f"{i % 17},{i % 2}\n" for i in range(170)))
    held = mrdl.prepare(path, str(tmp_path / "d"), inline, label="y", hold_out=0.3, shards=2)
    part = load(held.url + "#1/2")
    assert [s.path for s in part.shards] == [s.path for s in held.train()] and part.counts is None


def test_a_run_of_folds_goes_on_where_it_was_killed(data, tmp_path, inline, capsys):
    training = mrdl.ParameterAveraging(runner=inline, rounds=2)
    found = mrdl.cross_validate(model(), data.url, 3, run=str(tmp_path / "cv"), training=training, verbose=0)
    assert [each["val_accuracy"] for each in found.scores] == [
        pytest.approx(mrdl.evaluate(str(tmp_path / f"cv/fold-{i}"), f"{data.url}#{i}/3", part="validation", runner=inline)["accuracy"])
        for i in (1, 2, 3)]
    losses = [each["val_loss"] for each in found.scores]
    assert found.mean["val_loss"] == pytest.approx(statistics.mean(losses)) and len(set(losses)) == 3
    assert found.deviation["val_loss"] == pytest.approx(statistics.stdev(losses))

    def killed(event, facts):
        if event == "round" and facts["round"] == 1 and (tmp_path / "other/fold-2/run.json").exists():
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        mrdl.cross_validate(model(), data.url, 3, run=str(tmp_path / "other"), training=training, told=killed)
    assert command(capsys, "show", str(tmp_path / "other"))[1].count("3 folds of") == 1
    assert json.loads((tmp_path / "other/folds.json").read_text())["scores"] == found.scores[:1]
    assert mrdl.cross_validate(model(), data.url, 3, run=str(tmp_path / "other"), training=training, verbose=0) == found
    for i in (1, 2, 3):
        one, other = (tmp_path / name / f"fold-{i}/model.safetensors" for name in ("cv", "other"))
        assert one.read_bytes() == other.read_bytes()
    for run, folds, reason in (("cv", 2, "has 3 folds of"), ("cv/fold-1", 3, "is a run: give another folder")):
        with pytest.raises(RunError, match=reason):
            mrdl.cross_validate(model(), data.url, folds, run=str(tmp_path / run), training=training, verbose=0)
    with pytest.raises(ValueError, match="is a fold itself"):
        mrdl.cross_validate(model(), data.url + "#1/3", 2, run=str(tmp_path / "x"), training=training)


def test_folds_by_command_line(data, tmp_path, capsys):
    run = str(tmp_path / "cv")
    status, out, err = command(capsys, "train", "auto", data.url, run, "--folds", "2", "--rounds", "1", "-r", "inline")
    lines = out.splitlines()
    assert status == 0 and lines[0].split() == ["fold", "val_loss", "val_accuracy"] and "fold 2 of 2: " in err
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "mean", "deviation"]
    status, out, _ = command(capsys, "show", run)
    assert status == 0 and out.splitlines()[1:] == lines and "2 folds of" in out and "2 done" in out
    status, out, _ = command(capsys, "show", run, "--json")
    assert set(json.loads(out)) == {"folds", "data", "scores", "mean", "deviation"}
    status, out, _ = command(capsys, "show", data.url + "#2/2")
    assert status == 0 and "held out in 3" in out
    status, _, err = command(capsys, "train", "auto", data.url, run, "--folds", "9", "-r", "inline")
    assert status == 2 and "make more with --shards" in err
    status, _, err = command(capsys, "train", "auto", data.url, run, "--folds", "2", "--validation", data.url, "-r", "inline")
    assert status == 2 and "--folds" in err
    (tmp_path / "cv/folds.json").write_text("{}")
    status, _, err = command(capsys, "show", run)
    assert status == 2 and "is damaged" in err and "Traceback" not in err
