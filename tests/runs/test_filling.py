"""What dies half-way leaves nothing that is in the way: predictions, datasets that were moved, full disks, leftovers."""
import errno
import os
import shutil
import time
from pathlib import Path

import pytest
from processes import cut_off

from mrdl import ParameterAveraging, Sequential, limits, predict, resume
from mrdl.cli import main
from mrdl.data.blocks import BlockError
from mrdl.driver.exchanges.plain import PlainExchange
from mrdl.layers import Dense
from mrdl.runners.failures import JobFailed
from mrdl.runners.local.task import told
from mrdl.runners.output import Output
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.storage.local import Local
from mrdl.storage.paths import move
from mrdl.storage.schemes import store_at


def trained(data, run, **options):
    model = Sequential([Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return ParameterAveraging(**{"workers": 2, "batch_size": 8, "runner": "inline", "rounds": 2, **options}).fit(
        model, str(data), run=str(run))


@pytest.mark.parametrize("steps", range(7))
def test_predictions_that_were_cut_off_are_not_in_the_way_of_the_same_command(tmp_path, made, inline, steps):
    data, run, out = made(40, dtype="float32"), str(tmp_path / "run"), tmp_path / "out"
    trained(data.url, run)
    predict(run, data.url, str(tmp_path / "whole"), runner=inline)
    cut_off(lambda: predict(run, data.url, str(out), runner=inline), steps,
            ((Output, "move"), (Local, "create"), (Local, "remove"), (Local, "write")))
    predict(run, data.url, str(out), runner=inline)
    for path in (tmp_path / "whole").iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()
    assert len(list(out.iterdir())) == 3
    with pytest.raises(RunError, match="exists; give another directory"):
        predict(run, data.url, str(out), runner=inline)


def test_predictions_that_fail_leave_nothing(tmp_path, made, inline, monkeypatch):
    data = made(40, dtype="float32")
    trained(data.url, tmp_path / "run")

    def full(self, name, data, then=Local.write):
        if name == "part-00001":
            raise OSError(errno.ENOSPC, "No space left on device")
        then(self, name, data)
    monkeypatch.setattr(Local, "write", full)
    with pytest.raises(OSError, match="No space left"):
        predict(str(tmp_path / "run"), data.url, str(tmp_path / "out"), runner=inline)
    assert not (tmp_path / "out").exists()

    def no_room(self, *_, **named):
        os.mkdir(self.url)
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(Local, "_put", no_room)
    with pytest.raises(OSError, match="No space left"):
        predict(str(tmp_path / "run"), data.url, str(tmp_path / "out"), runner=inline)
    assert not (tmp_path / "out").exists()


def test_of_two_that_predict_into_one_folder_one_wins(tmp_path, made, inline, monkeypatch):
    data, run, out, then, told = made(40, dtype="float32"), str(tmp_path / "run"), str(tmp_path / "out"), Local.write, []
    trained(data.url, run)

    def again():
        with pytest.raises(RunError) as error:
            predict(run, data.url, out, runner=inline)
        told.append(str(error.value))

    def written(self, name, data):
        if name == "part-00000":
            monkeypatch.setattr(Local, "write", then)
            again()
        then(self, name, data)
    monkeypatch.setattr(Local, "write", written)
    predict(run, data.url, out, runner=inline)
    assert "another driver works on it (pid" in told[0] and "\n" not in told[0]
    whole = {path.name: path.read_bytes() for path in Path(out).iterdir()}
    shutil.rmtree(out)
    fitting = limits.check

    def overtaken(*args):
        monkeypatch.setattr(limits, "check", fitting)
        predict(run, data.url, out, runner=inline)
    monkeypatch.setattr(limits, "check", overtaken)
    again()
    assert "exists; give another directory" in told[1]
    assert {path.name: path.read_bytes() for path in Path(out).iterdir()} == whole


# -- full disks

def test_a_full_disk_is_told_by_the_file_that_had_no_room(tmp_path, monkeypatch):
    with pytest.raises(OSError) as error, open("/dev/full", "wb", buffering=0) as file:
        file.write(b"x")
    assert told(error.value) == f"OSError: {error.value}\n"
    monkeypatch.setattr(shutil, "move", lambda a, b: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left", a)))
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(OSError) as error:
        move(str(tmp_path / "a"), str(tmp_path / "there" / "b"))
    assert error.value.filename == str(tmp_path / "there" / "b")


def test_a_round_that_finds_no_room_is_not_tried_again(tmp_path, made, monkeypatch):
    tries = []

    def full(self, *_, **named):
        tries.append(1)
        raise OSError(errno.ENOSPC, "is HDFS full?", "hdfs:///x")
    monkeypatch.setattr(PlainExchange, "round", full)
    with pytest.raises(OSError, match="is HDFS full"):
        trained(made(40, dtype="float32").url, tmp_path / "run")
    assert len(tries) == 1


def test_a_task_says_in_one_line_what_is_no_mistake_of_the_code():
    assert told(BlockError("damaged block")) == "BlockError: damaged block\n"
    for error in (KeyError("x"), ValueError("x"), FileNotFoundError("x")):
        try:
            raise error
        except (KeyError, ValueError, OSError) as raised:
            assert "Traceback" in told(raised)


@pytest.mark.parametrize("runner", ["inline", "local"])
def test_predictions_from_a_damaged_shard_are_refused_in_one_line_with_file_and_block(tmp_path, made, runner):
    data = made(40, dtype="float32")
    trained(data.url, tmp_path / "run")
    path = Path(data.shards[1].path)
    raw = bytearray(path.read_bytes())
    raw[-30] ^= 1
    path.write_bytes(raw)
    with pytest.raises((BlockError, JobFailed), match=r"block 0 \(.*/part-00001, line 1\): .*; prepare the dataset again$") as error:
        predict(str(tmp_path / "run"), data.url, str(tmp_path / "out"), runner=runner)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


# -- datasets that were moved

def test_a_run_goes_on_with_data_that_was_moved(tmp_path, made, capsys):
    data, held = made(60, dtype="float32"), made(20, dtype="float32", name="held", seed=3)
    model = Sequential([Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    options = {"workers": 2, "batch_size": 8, "runner": "inline", "rounds": 4}
    calm = ParameterAveraging(**options).fit(model, data.url, held.url, run=str(tmp_path / "run"))
    (tmp_path / "run" / "finished.json").unlink()
    os.rename(data.url, tmp_path / "there")
    os.rename(held.url, tmp_path / "held there")
    assert main(["resume", str(tmp_path / "run"), "-r", "inline"]) == 2
    assert "no dataset" in (err := capsys.readouterr().err) and "if it was moved: mrdl resume" in err and err.count("\n") == 1
    assert main(["resume", str(tmp_path / "run"), "-r", "inline", "--data", str(tmp_path / "there"),
                 "--validation", str(tmp_path / "held there")]) == 0
    found = Run(tmp_path / "run").options()
    assert (found["data"]["url"], found["validation"]["url"]) == (str(tmp_path / "there"), str(tmp_path / "held there"))
    (tmp_path / "run" / "finished.json").unlink()
    os.rename(tmp_path / "there", tmp_path / "elsewhere")
    again = Sequential([Dense(3, "softmax")])       # the same command with the new place does as well
    again.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    ParameterAveraging(**options).fit(again, str(tmp_path / "elsewhere"), str(tmp_path / "held there"), run=str(tmp_path / "run"))
    assert again.weights.tobytes() == calm.model.weights.tobytes()
    assert Run(tmp_path / "run").options()["data"]["url"] == str(tmp_path / "elsewhere")


def test_other_data_in_the_place_of_a_runs_own_is_refused(tmp_path, made):
    data, run = made(60, dtype="float32"), tmp_path / "run"
    trained(data.url, run)
    other = made(60, dtype="float32", name="other", seed=1)
    with pytest.raises(RunError, match="other is not the data that"):
        resume(str(run), "inline", data=other.url)
    shutil.rmtree(data.url)
    shutil.move(other.url, data.url)                # of the same shape, and in the same place
    with pytest.raises(RunError, match="is not the data that"):
        resume(str(run), "inline")
    with pytest.raises(ValueError, match="was begun without --validation"):
        resume(str(run), "inline", validation=data.url)


# -- leftovers

def test_what_dead_writers_left_is_swept_and_what_is_young_stays(tmp_path, made):
    data, run = made(40, dtype="float32"), tmp_path / "run"
    trained(data.url, run)
    (run / "finished.json").unlink()
    old, young = [f".state-000003.safetensors-{i:016x}" for i in range(2)], f".commit-000003.json-{5:016x}"
    for name in [*old, young, "retry-000001.safetensors", ".mine"]:
        (run / name).write_bytes(b"x")
        if name != young:
            os.utime(run / name, (time.time() + (86400 if name == old[1] else -600),) * 2)
    resume(str(run), "inline")
    assert sorted(p.name for p in run.iterdir() if p.name[0] == "." or "retry" in p.name) == [young, ".mine"]


@pytest.mark.parametrize("url", ["hdfs://me:secret@nn/data", "s3://me:secret@bucket/data", "webhdfs://me:secret@nn:9870/data"])
def test_a_password_in_a_url_is_refused_and_not_shown(tmp_path, capsys, url):
    for words in (["show", url], ["resume", url], ["train", "model.json", url, "run"], ["prepare", "x.csv", url],
                  ["predict", "run", url, "out"], ["evaluate", url, "data"]):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert "secret" not in err and err.count("\n") == 1
    with pytest.raises(ValueError, match=r"//me:\*\*\*@"):
        store_at(url)
    assert store_at("file:///a:b@c/d").url == "/a:b@c/d"
