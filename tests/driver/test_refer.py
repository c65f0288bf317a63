"""Training on raw splits: the rows of prepare in the order of the files, the same bits everywhere, no changed file."""
import gzip
import json
import os
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from averaged import averaging, network
from processes import cut_off, result
from raw_data import idx, text
from shards import rows

import mrdl
from mrdl.cli import main
from mrdl.config import ConfigError
from mrdl.data import dataset, reference
from mrdl.data.blocks import BlockError
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError
from mrdl.driver.preparation import prepare as preparing
from mrdl.driver.preparation import refer as referring
from mrdl.driver.preparation.columns import inferred
from mrdl.driver.preparation.prepare import prepare
from mrdl.driver.preparation.refer import cut, refer
from mrdl.driver.scoring import WorkerFailed
from mrdl.layers import Dense, Input
from mrdl.runners.hadoop.runner import OnHadoop
from mrdl.runs.run import Run
from mrdl.storage.sealed import seal
from mrdl.training import learner


def table(folder, n=300, name="rows.csv", first=0):
    """Rows that rise: two numbers, one of them often whole, and a class of 3 that depends on them."""
    rng = random.Random(first)
    lines = ["a,b,kind\n"]
    for i in range(first, first + n):
        kind = rng.randrange(3)
        lines.append(f"{2 * i + i % 2}{'' if i % 50 else '.5'},{kind + rng.randrange(2)}{'.5' if i % 3 else ''},{kind}\n")
    return text(folder, "".join(lines), name)


def examples(shards):
    """The rows of shards, in their order."""
    return [row for shard in shards if shard.n for arrays in [rows(shard)] for row in
            np.concatenate([arrays["x"].astype("f8"), arrays["y"][:, None]], axis=1).tolist()]


def fit(data, run, **options):
    return averaging(**{"epochs": 2, **options}).fit(network(), data.url, run=str(run))


@pytest.fixture
def three(tmp_path, inline):
    """(its three files, one of them packed; the dataset of raw splits)"""
    files = [table(tmp_path, 150, "a.csv"), table(tmp_path, 60, "b.csv.gz", 150), table(tmp_path, 90, "c.csv", 210)]
    return files, refer(files, str(tmp_path / "data"), inline, label="kind", shards=3, hold_out=0.2)


def test_the_rows_are_those_of_prepare_in_the_order_of_the_files(tmp_path, three, inline, monkeypatch):
    monkeypatch.setattr("mrdl.data.rows.CACHED", 300)          # bytes, of a part of what is read at once
    files, data = three
    made = prepare(files, str(tmp_path / "prepared"), inline, label="kind", hold_out=0.2)
    for splits, shards in ((data.train(), made.train()), (data.validation(), made.validation())):
        found = examples(splits)
        assert found == sorted(found) == sorted(examples(shards)) and len(splits) == 3
    same = ("shape", "target", "columns", "label", "bad", "spread", "named", "dtype")
    assert [getattr(data, name) for name in same] == [getattr(made, name) for name in same]
    assert [file["path"] for file in data.raw] == files and "sorted" in data.notes[-1]
    assert all(len(Path(shard.path).read_bytes().splitlines()) == 1 for shard in data.shards)
    inside = dataset.load(data.url).first()
    assert {name: array.tolist() for name, array in inside.items()} == {
        name: array.tolist() for name, array in rows(data.shards[0]).items()}


def test_few_distinct_rows_are_held_out_as_by_prepare(tmp_path, inline):
    path = text(tmp_path, "a,y\n" + "".join(f"{i % 4},{i % 2}\n" for i in range(80)))
    raw, made = (make(path, str(tmp_path / make.__name__), inline, label="y", hold_out=0.25) for make in (refer, prepare))
    assert sorted(examples(raw.validation())) == sorted(examples(made.validation())) != []


def test_bits_are_the_same_plain_resident_killed_and_local(tmp_path, three, local):
    data = three[1]
    fit(data, tmp_path / "inline")
    calm = result(tmp_path / "inline")
    fit(data, tmp_path / "local", runner=local, resident="never")
    fit(data, tmp_path / "resident", runner=local, resident="always")
    for r in (2, 5):                                # a power cut at a commit
        cut_off(lambda: fit(data, tmp_path / "killed"), r, [(Run, "commit")])
    mrdl.resume(str(tmp_path / "killed"), "inline")
    for name in ("local", "resident", "killed"):
        assert result(tmp_path / name) == calm
    assert "val_loss" in Run(tmp_path / "inline").finished()["metrics"]


def test_w_workers_at_frequency_1_equal_one_machine_at_batch_w_b(tmp_path, inline):
    data = refer(table(tmp_path, 101), str(tmp_path / "data"), inline, label="kind", shards=2, dtype="float64")
    model = mrdl.Sequential([Input((2,)), Dense(8, "tanh"), Dense(3, "softmax")], dtype="float64")
    model.compile("sgd", "sparse_categorical_crossentropy")
    averaging(averaging_frequency=1, epochs=1, keep_rounds=1000, seed=5).fit(model, data.url, run=str(tmp_path / "run"))
    averaged = [Run(tmp_path / "run").state(r) for r in Run(tmp_path / "run").rounds()]
    vector = averaged[0].vector.copy()
    alone = learner.Learner(model, vector, np.empty((0, len(vector))), batch_size=16)
    shards = {shard.index: rows(shard) for shard in data.train()}
    orders = {i: mrdl.seeds.permutation(len(a["x"]), 5, "rows", 0, i, 0) for i, a in shards.items()}
    assert len(averaged) > 6
    for r, state in enumerate(averaged[1:]):
        some = {key: np.concatenate([a[key][orders[i][r * 8:r * 8 + 8]] for i, a in shards.items()]) for key in "xy"}
        alone.step(some, np.arange(len(some["x"])), 0, r)
        np.testing.assert_allclose(state.vector, vector, rtol=1e-10, atol=1e-12)


def changed(path, how):
    """Changes a file; gives what its name is then."""
    lines = Path(path).read_text().splitlines(keepends=True)
    if how == "gone":
        return os.remove(path)
    if how == "order":
        lines[1:3] = lines[2:0:-1]
    elif how == "bytes":
        lines[5:25] = [line.replace(",0", ",5", 1).replace(",1", ",6", 1).replace(",2", ",7", 1) for line in lines[5:25]]
    else:
        lines.append("1,1,1\n")
    Path(path).write_text("".join(lines))


@pytest.mark.parametrize("how, reason", [("gone", "is gone"), ("size", "has changed: it had"), ("order", "does not have the rows"),
                                         ("bytes", "does not have the rows")])
def test_a_file_that_has_changed_is_refused_by_its_name(tmp_path, three, how, reason, capsys):
    files, data = three
    fit(data, tmp_path / "run", epochs=1)
    changed(files[0], how)
    error = DataError if how in ("gone", "size") else WorkerFailed
    for call in (lambda: fit(data, tmp_path / "other"), lambda: mrdl.describe(data.url, runner="inline"),
                 lambda: mrdl.evaluate(str(tmp_path / "run"), data.url, runner="inline")):
        with pytest.raises(error, match=f"a.csv.*{reason}") as told:
            call()
        assert "\n" not in str(told.value)
    if error is WorkerFailed:                       # a task fails of it
        with pytest.raises(reference.Changed, match=f"a.csv.*{reason}"):
            mrdl.predict(str(tmp_path / "run"), data.url, str(tmp_path / "out"), runner="inline")
        assert not (tmp_path / "out").exists()
    assert main(["resume", str(tmp_path / "run"), "--epochs", "4", "-r", "inline"]) == (2 if error is DataError else 1)
    assert "a.csv" in (told := capsys.readouterr().err.splitlines()[-1]) and reason in told


@pytest.mark.parametrize("how", ["gone", "size", "packed"])
def test_a_file_that_changes_while_a_run_goes_on_is_refused_too(tmp_path, three, how):
    files, data = three
    if how == "packed":
        Path(files[1]).write_bytes(gzip.compress(b"x")[:-9])
    else:
        changed(files[2], how)
    lines = [line for shard in data.shards for line in Path(shard.path).read_bytes().splitlines()]
    with pytest.raises(reference.Changed, match="b.csv.gz.*cannot be read" if how == "packed" else "c.csv"):
        list(reference.expanded(lines))


def test_a_damaged_reference_and_a_strangers_are_refused(three):
    line = Path(three[1].shards[0].path).read_bytes().rstrip(b"\n")
    facts = json.loads(line.removeprefix(reference.MAGIC))

    def sealed(**changes):
        return reference.MAGIC + json.dumps(seal({**{k: v for k, v in facts.items() if k != "seal"}, **changes})).encode()
    assert list(reference.block_lines(sealed())) == list(reference.block_lines(line))
    schema = facts["plan"]["schema"]
    for text_ in (line[:-9], line.replace(b'"shard": 0', b'"shard": 1'), reference.MAGIC, sealed(format=9), sealed(role="else"),
                  sealed(pieces=[[9, 0, 1]]), sealed(pieces=[[0]]), sealed(pieces=[["/etc/passwd", 0, 1]]), sealed(plan={}),
                  sealed(plan={**facts["plan"], "schema": {**schema, "kind": "else"}}),
                  sealed(plan={**facts["plan"], "schema": {**schema, "odd": 1}})):
        with pytest.raises(BlockError, match="reference"):
            list(reference.block_lines(text_))


@pytest.mark.parametrize("wanted", [1, 3, 7, 50])
def test_splits_have_every_line_once_and_packed_files_whole(tmp_path, wanted, inline):
    files = [table(tmp_path, 40, "a.csv"), table(tmp_path, 1, "b.csv", 40), table(tmp_path, 30, "c.csv.gz", 41),
             table(tmp_path, 60, "d.csv", 71)]
    splits = cut(sniff(files, "kind"), wanted)
    assert len(splits) <= wanted and (wanted == 50 or len(splits) >= wanted - 1)
    pieces = [tuple(piece) for split in splits for piece in split.pieces]
    assert pieces == sorted(pieces, key=lambda piece: piece[:2]) and (2, 0, None) in pieces
    data = refer(files, str(tmp_path / "data"), inline, label="kind", shards=wanted)
    assert [row[0] // 2 for row in examples(data.train())] == [*range(131)]


def test_rows_of_several_lines_stay_whole(tmp_path, inline):
    path = text(tmp_path, "a,b,kind\n" + "".join(f'{3 * i}.5,"x\n{i % 2}",{i % 3}\n' for i in range(90)))
    data = refer(path, str(tmp_path / "data"), inline, label="kind", shards=4, multiline=True)
    assert len(data.shards) == 1 and [row[0] for row in examples(data.train())] == [3 * i + 0.5 for i in range(90)]


def test_arrays_are_split_by_their_spans(tmp_path, inline, monkeypatch):
    monkeypatch.setattr("mrdl.data.readers.arrays.RANGE", 100)
    x = np.arange(480).reshape(60, 2, 4).astype("u1")
    np.savez(tmp_path / "a.npz", x=x[:45], y=np.arange(45))
    np.savez(tmp_path / "b.npz", x=x[45:], y=np.arange(45, 60))
    (tmp_path / "images-idx3-ubyte").write_bytes(idx(x))
    (tmp_path / "images-idx1-ubyte").write_bytes(idx(np.arange(60).astype("u1")))
    for name, inputs in (("npz", [str(tmp_path / "a.npz"), str(tmp_path / "b.npz")]), ("idx", str(tmp_path / "images-*"))):
        data = refer(inputs, str(tmp_path / name), inline, shards=4)
        assert len(data.shards) == 4 and [int(y) for shard in data.shards for y in rows(shard)["y"]] == [*range(60)]
        assert (np.concatenate([rows(shard)["x"] for shard in data.shards]) == x).all()


def test_what_is_there_is_taken_moved_or_refused(tmp_path, three, inline, monkeypatch):
    files, data = three
    run = tmp_path / "run"
    fit(data, run)
    before = result(run)
    monkeypatch.setattr(referring, "_counted", None)        # no job is needed
    options = {"label": "kind", "shards": 3, "hold_out": 0.2}
    assert refer(files, data.url, inline, **options).digest() == data.digest()
    os.mkdir(tmp_path / "new")
    moved = [str(Path(file).rename(tmp_path / "new" / Path(file).name)) for file in files]
    with pytest.raises(DataError, match="a.csv: is gone"):
        dataset.load(data.url)
    again = refer(moved, data.url, inline, **options)
    assert again.digest() == data.digest() and [file["path"] for file in again.raw] == moved
    assert mrdl.resume(str(run), "inline").rounds == len(before[0]) and result(run) == before
    with pytest.raises(DataError, match="there is a dataset already, of other rows or by other options"):
        refer(moved, data.url, inline, **{**options, "hold_out": 0.1})
    for name, reason in (("made", "there is a dataset already"), ("full", "exists and is not empty")):
        (tmp_path / name).mkdir()
        (tmp_path / "full" / "x").write_text("") if name == "full" else prepare(moved, str(tmp_path / name / "data"), inline)
        with pytest.raises(DataError, match=reason):
            refer(moved, str(tmp_path / ("made/data" if name == "made" else "full")), inline, replaces=True, **options)


def test_wrong_options_and_places_are_refused_before_a_job(tmp_path, inline, monkeypatch):
    path = table(tmp_path)
    monkeypatch.setattr(referring, "_counted", None)
    for options, reason in (({}, "which column is to be predicted"), ({"label": "colour"}, "colour"), ({"hold_out": 1}, "hold_out 1"),
                            ({"label": "kind", "shards": 0}, "shards 0")):
        with pytest.raises(DataError, match=reason):
            refer(path, str(tmp_path / "data"), inline, **options)
    with pytest.raises(ConfigError, match="hdfs://nn/raw.csv: -r inline and -r local read only this machine's files"):
        inline.backend.reads(["hdfs://nn/raw.csv"])
    with pytest.raises(ConfigError, match="rows.csv: tasks read raw files where they lie.* must be on HDFS"):
        OnHadoop.reads(None, ["hdfs:///a.csv", path])
    assert not (tmp_path / "data").exists()


def test_too_many_bad_records_leave_nothing(tmp_path, inline):
    path = text(tmp_path, "a,kind\n" + "1,2\n" * 50 + "3,4,5\n" * 6)
    with pytest.raises(DataError, match="6 of 56 records are bad"):
        refer(path, str(tmp_path / "data"), inline, label="kind")
    assert not (tmp_path / "data").exists()
    data = refer(path, str(tmp_path / "data"), inline, label="kind", max_bad=0.11)
    assert data.bad["reasons"] == {"wrong field count": 6} and len(data.bad["samples"]) == 6


MODEL = """
import mrdl
from mrdl.layers import Dense
model = mrdl.Sequential([Dense(8, "relu"), Dense(3, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
"""


def test_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table(tmp_path)
    Path("model.py").write_text(MODEL)

    def call(*words):
        status, found = main([*words, *([] if words[0] == "show" else ["-r", "inline"])]), capsys.readouterr()
        return status, found.out + found.err
    train = ["train", "model.py", "rows.csv", "run", "--label", "kind", "--hold-out", "0.2"]
    status, told = call(*train, "--rounds", "2")
    assert status == 0 and "planned: 2 splits of 1 file, which stay where they are" in told and "train badly" in told
    status, told = call(*train, "--rounds", "4")
    assert status == 0 and "resumed after round 2" in told and "planned" not in told
    assert call("resume", "run", "--rounds", "5")[0] == 0
    status, told = call("show", "run")
    assert status == 0 and "raw rows of" in told and "rows.csv" in told
    for words in (["evaluate", "run", "run/data", "--part", "validation"], ["evaluate", "run", "rows.csv"],
                  ["predict", "run", "run/data", "out"], ["describe", "run/data"], ["show", "run/data"],
                  ["train", "auto", "rows.csv", "auto", "--label", "kind", "--kind", "kind=label", "--rounds", "1"],
                  ["train", "model.py", "rows.csv", "words", "--label", "kind", "--kind", "b=categorical", "--rounds", "1"],
                  ["train", "run", "rows.*", "next", "--label", "kind", "--rounds", "1"]):
        assert call(*words)[0] == 0, words
    text(tmp_path, "kind,c,b,a\n" + "".join(f"{i % 3},,{i % 4},{i}\n" for i in range(30)), "new.csv")     # by the run's schema
    status, told = call("train", "words", "new.csv", "more", "--rounds", "1", "--max-bad", "0.5")
    assert status == 0 and "left out, as the schema does not have them: 'c'" in told
    for words, reason in ((["train", "model.py", "rows.csv", "run", "--label", "kind"], "of other rows or by other options"),
                          (["train", "model.py", "run/data", "other", "--label", "kind"], "label: only possible with raw rows"),
                          (["train", "model.py", "rows.csv", "other"], "which column is to be predicted")):
        status, told = call(*words)
        assert status == 2 and reason in told and not Path("other").exists()
    assert call("train", "model.py", "rows.csv", "twice", "--label", "a", "--rounds", "1")[0] == 2      # 300 classes
    assert call("train", "model.py", "rows.csv", "twice", "--label", "kind", "--rounds", "1")[0] == 0


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_other_forms_of_tables_are_split_too(tmp_path, inline, form):
    values = [{"a": 3 * i + 0.5, "b": "xyz"[i % 3], "kind": i % 2} for i in range(120)]
    if form == "jsonl":
        path = text(tmp_path, "".join(json.dumps(row) + "\n" for row in values), "rows.jsonl")
    else:
        pq.write_table(pa.Table.from_pylist(values), path := str(tmp_path / "rows.parquet"), row_group_size=20)
    made = prepare(path, str(tmp_path / "prepared"), inline, label="kind")
    data = refer(path, str(tmp_path / "data"), inline, label="kind", shards=3)
    assert sorted(examples(data.train())) == sorted(examples(made.train()))
    at = data.columns.index("a")
    assert [row[at] for row in examples(data.train())] == [row["a"] for row in values]


def people(folder):
    """Rows of 12 people, who come in every part of a file; two rows are bad."""
    rng = random.Random(3)
    lines = [f"{rng.randrange(12)},{rng.random():.3f},{rng.choice(['red', 'blue'])},{rng.randrange(2)}\n" for _ in range(160)]
    lines[20:20] = ["5,much,red,1\n", "5,0.5\n"]
    return text(folder, "".join(["who,size,colour,kind\n", *lines]), "people.csv")


def test_it_is_said_where_there_are_fewer_shards_than_asked_for(tmp_path, inline):
    path = tmp_path / "people.csv.gz"
    path.write_bytes(gzip.compress(Path(people(tmp_path)).read_bytes()))
    told = []
    assert len(refer(str(path), str(tmp_path / "data"), inline, label="kind", shards=3, said=told.append).shards) == 1
    assert told[-1].startswith("these are fewer than 3 shards, as packed files")


def test_what_was_asked_again_is_not_inferred_again(tmp_path, inline, monkeypatch):
    path, url, said = people(tmp_path), str(tmp_path / "data"), {"label": "kind", "drop": ["who"]}
    made = refer(path, url, inline, **said)
    passes = []
    monkeypatch.setattr(preparing, "inferred", lambda *given: passes.append(given) or inferred(*given))
    assert refer(path, url, inline, **said) == made and passes == []
    with pytest.raises(DataError, match="there is a dataset already, of other rows or by other options"):
        refer(path, url, inline, **said, kinds={"colour": {"kind": "categorical", "hash": 3}})
    assert len(passes) == 1
    (tmp_path / "elsewhere").mkdir()
    people(tmp_path / "elsewhere")
    moved = refer(str(tmp_path / "elsewhere" / "people.csv"), url, inline, **said)
    assert len(passes) == 1 and moved.uid == made.uid and moved.raw != made.raw


def test_bad_records_of_raw_splits_are_kept_as_by_prepare(tmp_path, inline):
    path, said = people(tmp_path), {"label": "kind", "kinds": {"size": "numeric"}}
    kept = []
    for make in (prepare, refer):
        folder = tmp_path / f"bad-{make.__name__}"
        make(path, str(tmp_path / make.__name__), inline, **said, quarantine=str(folder))
        kept.append(sorted(line for file in folder.iterdir() for line in file.read_text().splitlines()))
    assert kept[0] == kept[1] and [json.loads(line)["line"] for line in kept[0]] == ["5,much,red,1", "5,0.5"]
    assert b"quarantine\": null" in Path(dataset.load(str(tmp_path / "refer")).shards[0].path).read_bytes()


def test_folds_of_raw_splits_keep_groups_together(tmp_path, inline):
    path = people(tmp_path)
    with pytest.raises(DataError, match="group: says how rows are held out, so hold_out must say how many, or folds"):
        refer(path, str(tmp_path / "none"), inline, label="kind", group="who")
    data = refer(path, str(tmp_path / "data"), inline, label="kind", group="who", kinds={"who": "numeric"}, folds=3, shards=4, hold_out=0.2)
    assert len(data.train()) == 12 and len(data.validation()) == 4
    people_of = [{row[0] for row in examples(dataset.load(f"{data.url}#{k}/3").validation())} for k in (1, 2, 3)]
    held = {row[0] for row in examples(data.validation())}
    assert sum(map(len, people_of)) + len(held) == 12 == len(held.union(*people_of)) and all(people_of) and held
    assert sum(shard.n for shard in data.shards) == 160
    with pytest.raises(DataError, match="2 folds: the groups of its raw rows were dealt to 3 folds"):
        dataset.load(f"{data.url}#1/2")


def test_text_is_split_without_being_prepared(tmp_path, inline, monkeypatch):
    """Every character is learnt once an epoch, as the target of a step; the bits are the same with the splits of another runner."""
    words = random.Random(1).choices(["one ", "two\n", "drei ", "vier\n", "fünf "], k=2000)
    files = [text(tmp_path, "".join(words[:1500]), "a.txt"), text(tmp_path, "".join(words[1500:]), "b.txt")]
    said = {"format": "text", "sequence_length": 20, "shards": 3}
    data = refer(files, str(tmp_path / "data"), inline, hold_out=0.2, **said)
    made = prepare(files, str(tmp_path / "prepared"), inline, format="text", sequence_length=20)
    assert data.text == made.text and data.shape == (20,) and len(data.train()) == 3
    found = [rows(shard) for shard in data.shards if shard.n]
    assert len("".join(words)) <= sum(part["y"].size for part in found) < len("".join(words)) + 4 * 20      # ranges end with a whole one
    monkeypatch.setattr(referring, "counted_text", None)            # the vocabulary is taken from what is there
    assert refer(files, str(tmp_path / "data"), inline, hold_out=0.2, **said) == data
    again = refer(files, str(tmp_path / "like"), "local", like=made.url, format="text", shards=3, hold_out=0.2)
    assert again.uid == data.uid and [shard.seal for shard in again.shards] == [shard.seal for shard in data.shards]
    Path(files[1]).write_text("x" * os.path.getsize(files[1]))
    with pytest.raises(BlockError, match="does not have the rows that it had"):
        [rows(shard) for shard in data.shards if shard.n]
    with pytest.raises(DataError, match="quarantine: only possible with rows"):
        refer(files, str(tmp_path / "bad"), inline, **said, quarantine=str(tmp_path / "q"))


def test_a_language_model_trains_on_raw_text_by_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("to be or not to be " * 60)
    Path("model.py").write_text("""
import mrdl
from mrdl.layers import Dense, Embedding
model = mrdl.Sequential([Embedding(20, 4), Dense(20, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
""")
    train = ["train", "model.py", "a.txt", "run", "--format", "text", "--sequence-length", "10", "--epochs", "1", "-r", "inline"]
    assert main(train) == 0 and main([*train[:-4], "--epochs", "2", "-r", "inline"]) == 0
    assert dataset.load("run/data").text["vocabulary"][:3] == ["[UNK]", " ", "o"]
    assert main(["train", "model.py", "run/data", "other", "--format", "text", "-r", "inline"]) == 2
    assert "format: only possible with raw rows, and run/data is a dataset" in capsys.readouterr().err
