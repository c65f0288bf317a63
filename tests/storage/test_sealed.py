"""Whatever bit of a file is wrong: one clear line, or what was written; never another result."""
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from mrdl import ParameterAveraging, Sequential, resume
from mrdl.data import blocks, dataset
from mrdl.driver.preparation.prepare import prepare
from mrdl.layers import Dense
from mrdl.models.saving import load_model
from mrdl.rounds.plan import name
from mrdl.rounds.state import State
from mrdl.runners.cluster import Cluster
from mrdl.runs.commits import RunError
from mrdl.runs.run import COMPACT, Run
from mrdl.storage.sealed import check, seal, unsealed
from mrdl.worker.reading import Reading, whole


def trained(data, run, **options):
    model = Sequential([Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return ParameterAveraging(**{"workers": 2, "batch_size": 8, "runner": "inline", "rounds": 4, **options}).fit(
        model, str(data), run=str(run))


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """A folder with a dataset, two runs on it, one finished, the other not, and a saved model."""
    folder = tmp_path_factory.mktemp("there")
    rng = np.random.default_rng(0)
    np.savez(folder / "raw.npz", x=rng.standard_normal((30, 2)), y=rng.integers(0, 3, 30))
    with Cluster("inline") as inline:
        prepare([str(folder / "raw.npz")], str(folder / "data"), inline, shards=2, hold_out=0.2)
    trained(folder / "data", folder / "run")
    shutil.copytree(folder / "run", folder / "stopped")
    (folder / "stopped" / "finished.json").unlink()
    load_model(str(folder / "run")).save(str(folder / "saved"))
    return folder


def shards(folder):
    """All that workers see of a dataset, as they read it."""
    data = dataset.load(str(folder))
    seals = {name(data.uid, shard.index): shard.seal for shard in data.shards}
    found = []
    for shard in data.shards:
        lines = Path(shard.path).read_bytes().removesuffix(b"\n").split(b"\n")
        found += [(block.role, block.n, {key: array.tobytes() for key, array in block.arrays().items()})
                  for block in whole(Reading(iter(lines)), seals)]
    return found


@pytest.mark.parametrize("folder, file, read", [
    ("data", "data.json", lambda folder: dataset.load(str(folder))),
    ("data", "part-00001", shards),
    ("run", "run.json", lambda run: Run(run).options()),
    ("run", "finished.json", lambda run: Run(run).finished()),
    ("run", "history.jsonl", lambda run: Run(run).history()),
    ("run", "model.json", lambda run: load_model(str(run)).to_json()),
    ("run", "model.safetensors", lambda run: load_model(str(run)).weights.tobytes()),
    *(("saved", name, lambda saved: (load_model(str(saved)).to_json(), load_model(str(saved)).weights.tobytes()))
      for name in ("model.json", "model.safetensors", "saved.json")),
    ("run", "commits-000003.jsonl", lambda run: Run(run).records()),
    ("run", "commit-000004.json", lambda run: Run(run).records()),
    ("stopped", "commit-000004.json", lambda run: Run(run).history()),
    ("run", "state-000004.safetensors", lambda run: Run(run).state(4).vector.tobytes()),
    ("run", "state-000004.safetensors", lambda run: vars(State.load(str(run / "state-000004.safetensors"))))],
    ids=lambda value: value if isinstance(value, str) else "")
def test_a_bit_that_is_wrong_is_an_error_or_changes_nothing(there, folder, file, read):
    path = there / folder / file
    data, refused = path.read_bytes(), 0
    places = range(0, len(data), max(1, len(data) // 300))
    wanted = repr(read(there / folder))
    try:
        for place in places:
            flipped = bytearray(data)
            flipped[place] ^= 1 << place % 8
            path.write_bytes(flipped)
            try:
                assert repr(read(there / folder)) == wanted, (place, bytes(flipped[max(0, place - 20):place + 20]))
            except ValueError as error:
                refused += 1
                assert "\n" not in str(error)
    finally:
        path.write_bytes(data)
    assert refused > len(places) / 2
    assert repr(read(there / folder)) == wanted


@pytest.mark.parametrize("file, old, new", [
    ("data/data.json", '"train"', '"tra)n"'), ("data/data.json", '"validation"', '"vaLidation"'),
    ("stopped/run.json", '"workers": 2', '"workers": 3'), ("stopped/commits-000003.jsonl", '"loss": 1.', '"loss": 0.'),
    ("stopped/commit-000004.json", '"round": 4', '"round": 3')])
def test_a_run_whose_files_say_something_else_is_not_gone_on_with(there, file, old, new):
    path = there / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    try:
        with pytest.raises(ValueError, match=rf"/{path.name}|{path.name} is damaged.*(again|anew|recreate)"):
            resume(str(there / "stopped"), "inline")
    finally:
        path.write_text(text)


@pytest.mark.parametrize("file, read", [
    ("data/data.json", lambda: dataset.load("data")), ("data/part-00000", lambda: dataset.load("data").first()),
    ("run/run.json", lambda: Run("run").options()), ("run/finished.json", lambda: Run("run").finished()),
    ("run/history.jsonl", lambda: Run("run").history()), ("run/model.json", lambda: load_model("run")),
    ("run/model.safetensors", lambda: load_model("run")), ("run/optimizer.safetensors", lambda: load_model("run")),
    ("run/commits-000003.jsonl", lambda: Run("run").records()), ("run/commit-000004.json", lambda: Run("run").records()),
    ("run/state-000004.safetensors", lambda: Run("run").state(4)),
    ("run/lease.json", lambda: resume("run", "inline"))], ids=lambda value: value if isinstance(value, str) else "")
def test_a_device_or_a_pipe_in_the_place_of_a_file_is_refused_at_once(there, tmp_path, monkeypatch, file, read):
    for folder in ("data", "run"):
        shutil.copytree(there / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    for make in (lambda path: os.symlink("/dev/zero", path), os.mkfifo):
        Path(file).unlink(missing_ok=True)
        make(file)
        with pytest.raises(OSError, match=rf"not a regular file: '.*{file}'"):
            read()


def test_a_file_that_is_larger_than_any_of_ours_is_not_read(tmp_path):
    with open(tmp_path / "run.json", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match=r"larger than 256 MB.*run\.json"):
        Run(tmp_path).options()


def resealed(path, **changes):
    facts = unsealed(path.read_bytes())
    del facts["seal"]
    path.write_text(json.dumps(seal({**facts, **changes})))


def test_files_of_other_runs_do_not_fit_though_each_is_whole(there, tmp_path):
    shutil.copytree(there / "stopped", tmp_path / "run")
    trained(there / "data", tmp_path / "other", seed=1)
    options = (tmp_path / "run" / "run.json").read_bytes()
    shutil.copy(tmp_path / "other" / "run.json", tmp_path / "run")
    with pytest.raises(RunError, match="round 0: it does not follow on run.json"):
        Run(tmp_path / "run").records()
    (tmp_path / "run" / "run.json").write_bytes(options)
    shutil.copy(tmp_path / "other" / "commit-000004.json", tmp_path / "run")
    with pytest.raises(RunError, match="round 4: it does not follow on the commit of round 3"):
        Run(tmp_path / "run").records()


@pytest.mark.parametrize("options", [{"seed": 1}, {"rounds": 3}])
def test_how_another_run_ended_is_not_taken_for_how_this_one_did(there, tmp_path, options):
    run, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(there / "run", run)
    trained(there / "data", other, **options)
    for file in ("finished.json", "model.json", "model.safetensors", "optimizer.safetensors", "history.jsonl"):
        shutil.copy(other / file, run)
    for read in (lambda: Run(run).finished(), lambda: Run(run).history(), lambda: load_model(str(run)),
                 lambda: resume(str(run), "inline")):
        with pytest.raises(RunError, match=r"finished.json is not of this run .* remove it, and recreate it with: mrdl resume"):
            read()
    (run / "finished.json").unlink()
    resume(str(run), "inline")
    assert load_model(str(run)).weights.tobytes() == load_model(str(there / "run")).weights.tobytes()


def test_a_model_of_a_saved_folder_may_be_another_where_no_hash_says_what_it_was(there, tmp_path):
    shutil.copytree(there / "saved", tmp_path / "saved")
    other = load_model(str(there / "saved"))
    other.weights += 1
    (tmp_path / "saved" / "model.safetensors").write_bytes(other.to_safetensors())
    with pytest.raises(RunError, match="model.safetensors is damaged: .* in saved.json; save the model again, or remove saved.json"):
        load_model(str(tmp_path / "saved"), updater=False)
    (tmp_path / "saved" / "saved.json").unlink()
    assert load_model(str(tmp_path / "saved"), updater=False).weights.tobytes() == other.weights.tobytes()


def test_what_may_change_in_run_json_is_no_part_of_the_chain(there, tmp_path):
    shutil.copytree(there / "stopped", tmp_path / "run")
    options = Run(tmp_path / "run").options()
    resealed(tmp_path / "run" / "run.json", runner="local",
             options={**options["options"], "until": "rounds 6", "keep_rounds": 9})
    assert resume(str(tmp_path / "run"), "inline").rounds == 6


@pytest.mark.parametrize("file, changes, reason", [
    ("data/data.json", {"more": 1}, "has 'more', which this version does not know"),
    ("data/data.json", {"dtype": "float16"}, "dtype is 'float16'"),
    ("data/data.json", {"shape": [-1]}, r"shape.0 is -1"),
    ("data/data.json", {"shards": []}, "no rows to train on"),
    ("data/data.json", {"shards": [{"name": "../x"}]}, "shards.0 has no"),
    ("run/run.json", {"data": None}, "data is None"), ("run/run.json", {"options": 5}, "options is 5"),
    ("run/run.json", {"options": {"x": 1}}, "options has "), ("run/run.json", {"format": 1}, "another version"),
    ("run/commit-000004.json", {"state": "../../etc/passwd"}, "state is "),
    ("run/commit-000004.json", {"record": {"round": 4}}, "its record.epochs is None"),
    ("run/finished.json", {"best": "x"}, "best is 'x'")])
def test_what_a_stranger_wrote_into_a_file_is_refused_in_one_line(there, tmp_path, file, changes, reason):
    for folder in ("data", "run"):
        shutil.copytree(there / folder, tmp_path / folder)
    resealed(tmp_path / file, **changes)
    with pytest.raises(ValueError, match=reason) as error:
        data = dataset.load(str(tmp_path / "data"))
        resume(str(tmp_path / "run"), "inline")
        trained(data.url, tmp_path / "new")
    assert "\n" not in str(error.value)


def test_a_shard_that_lost_its_last_blocks_or_is_another_datasets_is_refused(there, tmp_path, inline):
    shutil.copytree(there / "data", tmp_path / "data")
    np.savez(tmp_path / "raw.npz", x=np.ones((2000, 200)) * np.arange(2000)[:, None], y=np.arange(2000) % 3)
    big = prepare([str(tmp_path / "raw.npz")], str(tmp_path / "big"), inline, shards=1)
    assert big.shards[0].blocks > 1
    path = Path(big.shards[0].path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(RuntimeError, match=r"big/part-00000, line \d+\): .* does not match data.json: .* prepare the dataset again"):
        trained(big.url, tmp_path / "run")


# -- many commits in one file

def test_commits_of_a_long_run_become_one_file_and_the_newest_stays_alone(there, tmp_path, monkeypatch):
    monkeypatch.setattr("mrdl.driver.committer.COMPACT", 5)
    told = []
    model = Sequential([Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    options = {"workers": 2, "batch_size": 8, "runner": "inline", "rounds": 12}
    run = tmp_path / "run"
    ParameterAveraging(**options).fit(model, str(there / "data"), run=str(run), told=lambda event, facts: event == "round" and
                                      told.append(len(list(run.glob("commit*")))))
    assert max(told) <= 5 + 2 and COMPACT > 5
    assert sorted(p.name for p in run.glob("commit*")) == ["commit-000012.json", "commits-000011.jsonl"]
    assert [record["round"] for record in Run(run).records()] == list(range(13)) == Run(run).rounds()
    (run / "finished.json").unlink()
    assert resume(str(run), "inline").model.weights.tobytes() == model.weights.tobytes()


class PowerCut(BaseException):
    """Ends the driver where it stands."""


@pytest.mark.parametrize("steps", range(6))
def test_a_crash_while_commits_become_one_file_leaves_a_run_that_is_read_and_gone_on_with(there, tmp_path, monkeypatch, steps):
    long = tmp_path / "run"
    shutil.copytree(there / "stopped", long)
    wanted, run = Run(there / "run").records(), Run(long)
    lines = (long / "commits-000003.jsonl").read_bytes().splitlines(keepends=True)     # as it was before that
    (long / "commits-000001.jsonl").write_bytes(b"".join(lines[:2]))
    for r in (2, 3):
        (long / f"commit-{r:06d}.json").write_bytes(lines[r].rstrip())
    (long / "commits-000003.jsonl").unlink()
    assert run.records() == wanted
    left = iter(range(steps))

    def limited(step):
        def limit(*args, **named):
            if next(left, None) is None:
                raise PowerCut
            return step(*args, **named)
        return limit
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr(type(run.store), "_put", limited(type(run.store)._put))
        patch.setattr(type(run.store), "remove", limited(type(run.store).remove))
        run.compact()
        raise PowerCut
    assert Run(long).records() == wanted
    Run(long).compact()
    assert sorted(p.name for p in long.glob("commit*")) == ["commit-000004.json", "commits-000003.jsonl"]
    assert resume(str(long), "inline").rounds == 4 and Run(long).records() == wanted


def test_a_driver_that_slept_while_commits_became_one_file_changes_nothing_for_readers(there, tmp_path):
    shutil.copytree(there / "stopped", tmp_path / "run")
    run, late = Run(tmp_path / "run"), Run(tmp_path / "run")
    wanted, late.head = run.records(), run.commits()[1]["seal"]
    state = run.state(4)
    assert not late.commit(state, wanted[4])                # the newest is there to be found
    state.round = 2
    assert late.commit(state, {**wanted[2], "loss": 7.0})   # this name is free again: nobody looks at it
    assert Run(tmp_path / "run").records() == wanted
    run.compact()
    assert not (tmp_path / "run" / "commit-000002.json").exists() and run.records() == wanted


# -- the check itself

@dataclass
class Example:
    a: int
    b: list[Literal["x", "y"]] | None = None


@pytest.mark.parametrize("value, kind, reason", [
    (1, int, ""), (True, int, "it is True"), (1, float, ""), (1.5, int, "it is 1.5"), ("1", int, "it is '1'"),
    (None, int | None, ""), ([1, "a"], list[int], "it.1 is 'a'"), ({"a": 1}, dict[str, int], ""),
    ({"a": 1}, dict[str, str], "it.a is 1"), ({"a": 1, "b": ["x"]}, Example, ""), ({"a": 1}, Example, "it has no b"),
    ({"a": 1, "b": ["z"]}, Example, "it.b is "), ({"a": 1, "b": None, "c": 1}, Example, "it has 'c'"),
    (5, Annotated[int, range(3)], "it is 5"), ({"a": object}, dict[str, Any], ""), ([], dict, "it is \\[\\]")])
def test_a_value_is_held_against_an_annotation(value, kind, reason):
    if not reason:
        return check(value, kind, "it")
    with pytest.raises(ValueError, match=reason):
        check(value, kind, "it")
    return None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"a":1}', b'{"a":1,"seal":"x"}'])
def test_what_is_not_sealed_is_refused(data):
    with pytest.raises(ValueError):
        unsealed(data)
    assert unsealed(json.dumps(seal({"b": {1: (2.0, None)}, "a": float("inf")})).encode())["b"] == {"1": [2.0, None]}


def test_a_block_out_of_another_version_of_its_shard_is_refused():
    def lines(x):
        first = blocks.pack({"x": np.full((2, 2), x)}, dataset="d", shard=0, index=0, role="train")
        return [first, blocks.pack({"x": np.ones((2, 2))}, dataset="d", shard=0, index=1, role="train",
                                   before=blocks.unpack(first).seal)]
    ours, theirs = lines(1.0), lines(2.0)
    assert len(list(Reading(iter(ours)))) == 2
    with pytest.raises(blocks.BlockError, match="block 1 does not continue the block before it"):
        list(Reading(iter([theirs[0], ours[1]])))
