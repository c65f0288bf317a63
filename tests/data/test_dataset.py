"""What bad inputs, options and datasets get: one clear error, and nothing written."""
import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from processes import cut_off
from raw_data import shard_bytes, table, text

from mrdl.config import ConfigError
from mrdl.data.dataset import load
from mrdl.data.sources import DataError
from mrdl.driver.preparation import planning
from mrdl.driver.preparation import prepare as preparing
from mrdl.driver.preparation.prepare import prepare
from mrdl.runners.output import Output
from mrdl.storage.local import Local

KEPT = "; to keep all of them, whole: --quarantine FOLDER"


def nothing_at(path: Path) -> bool:
    return not path.exists()


@pytest.mark.parametrize("runner", ["inline", "local"])
def test_too_many_bad_records_stop_with_samples_and_leave_nothing(tmp_path, runner, request):
    lines = table(95) + [b"1,2", b"1,2,3,oops,5,6", b"1,2,nan,4,5,6", b"\xe9,,", b"1,2,3"]
    path = text(tmp_path, b"\n".join(lines))
    out = tmp_path / "d"
    with pytest.raises(DataError) as raised:
        prepare(path, str(out), request.getfixturevalue(runner), label="0", max_bad=0.03)
    head, *samples = str(raised.value).splitlines()
    assert head == "4 of 100 records are bad (4 %; --max-bad allows 3 %): 1 not a number, 3 wrong field count" + KEPT      # nan is missing
    offset = len(b"\n".join(lines[:95])) + 1
    column, advice, *samples = samples
    assert (column, advice) == ("  column '3', not a number: 'oops' (1 row)", "  if that means that the value is missing: --missing oops")
    assert samples[0] == f"  {path}, byte {offset}: wrong field count (2 for 6): '1,2'"
    assert samples[1] == (f"  {path}, byte {offset + 4}: not a number (column '3'): "
                          "'1,2,3,oops,5,6'")
    assert len(samples) == 4
    assert nothing_at(out)


def test_a_few_bad_records_are_skipped_counted_and_reported(tmp_path, inline):
    path = text(tmp_path, b"\n".join([*table(99), b"what?,1,2,3,4,5"]))
    data = prepare(path, str(tmp_path / "d"), inline, max_bad=0.01)
    assert sum(shard.n for shard in data.shards) == 99
    assert (data.bad["count"], data.bad["of"], data.bad["reasons"]) == (1, 100, {"not a number": 1})
    assert data.bad["samples"][0]["text"] == "what?,1,2,3,4,5"
    assert load(data.url).bad == data.bad


def test_a_label_that_is_no_class_is_a_bad_record(tmp_path, inline):
    path = text(tmp_path, "1,0\n2,1\n3,2\n")
    with pytest.raises(DataError, match=rf"1 label out of range{KEPT}\n.*byte 8: .*2 is none of 0..1"):
        prepare(path, str(tmp_path / "d"), inline, label="1", classes=2, max_bad=0)
    assert nothing_at(tmp_path / "d")


def test_all_bad_is_an_error_even_where_all_may_be_bad(tmp_path, inline):
    np.savez(tmp_path / "a.npz", x=np.full((3, 2), np.nan))
    with pytest.raises(DataError, match="all 3 records are bad: 3 not finite"):
        prepare(tmp_path / "a.npz", str(tmp_path / "d"), inline, max_bad=1)
    assert nothing_at(tmp_path / "d")


@pytest.mark.parametrize("options, reason", [
    ({"hold_out": 1.0}, "hold_out 1.0"), ({"hold_out": -0.1}, "hold_out -0.1"),
    ({"shards": 0}, "shards 0"), ({"max_bad": 2}, "max_bad 2"), ({"classes": 1}, "classes 1"),
    ({"seed": -1}, "seed -1"), ({"seed": 1.5}, "seed 1.5: must be a whole number"), ({"dtype": "float16"}, "dtype float16"),
    ({"label": "nope"}, "no column 'nope'"), ({"classes": 3}, "no column of labels"),
    ({"weight": "7"}, "no column '7'"),
])
def test_an_option_that_makes_no_sense_is_refused_before_any_work(tmp_path, options, reason):
    path = text(tmp_path, "1,2\n")
    with pytest.raises(DataError, match=reason):
        prepare(path, str(tmp_path / "d"), None, **options)     # no cluster: no job
    assert nothing_at(tmp_path / "d")


@pytest.mark.parametrize("name, value", [
    *((name, value) for name in ("sequence_length", "vocabulary", "shards", "classes") for value in ("x", 10.5, [1])),
    ("hold_out", "x"), ("hold_out", None), ("max_bad", float("nan"))])
def test_an_option_of_a_wrong_type_is_refused_in_one_line(tmp_path, name, value):
    path = text(tmp_path, "1,2\n")
    with pytest.raises(ConfigError, match=rf"^{name}=.* must be (a whole number or none|a finite number( or none)?)$"):
        prepare(path, str(tmp_path / "d"), None, **{"format": "text", name: value})
    assert nothing_at(tmp_path / "d")


@pytest.mark.parametrize("format", [None, "text"])
def test_to_hold_out_all_rows_is_an_error(tmp_path, inline, format):
    path = text(tmp_path, b"\n".join(table(5)))
    with pytest.raises(DataError, match=r"^hold_out 0.99: all \d+ rows are held out \(equal ones together\), none is left to "
                                        "train on$"):
        prepare(path, str(tmp_path / "d"), inline, hold_out=0.99, shards=1, format=format,
                        **({"sequence_length": 20} if format else {}))
    assert nothing_at(tmp_path / "d")


def test_a_missing_or_empty_input_is_refused_before_any_work(tmp_path):
    for inputs, reason in [(tmp_path / "none.csv", "no such input"), ([], "no input"),
                           (text(tmp_path, ""), "no rows"),
                           (text(tmp_path, "a,b\n"), "a header and no rows")]:
        with pytest.raises(DataError, match=reason):
            prepare(inputs, str(tmp_path / "d"), None)
        assert nothing_at(tmp_path / "d")


def test_an_output_that_exists_is_left_alone(tmp_path, inline):
    path = text(tmp_path, "1,2\n3,4\n")
    data = prepare(path, str(tmp_path / "d"), inline)
    before = shard_bytes(data)
    text(tmp_path, "precious", "file")
    (tmp_path / "other").mkdir()
    text(tmp_path / "other", "precious", "notes")
    for out, reason in [("d", "there is a dataset already"), ("file", "is a file"),
                        ("other", "is not empty")]:
        with pytest.raises(DataError, match=reason):
            prepare(path, str(tmp_path / out), None)
    assert shard_bytes(load(str(tmp_path / "d"))) == before
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("steps", range(6))
def test_a_crash_half_way_leaves_no_dataset_and_the_next_prepare_clears_up(tmp_path, inline, steps):
    path, out = text(tmp_path, b"\n".join(table(50))), tmp_path / "d"
    complete = shard_bytes(prepare(path, str(tmp_path / "whole"), inline, shards=2))
    cut_off(lambda: prepare(path, str(out), inline, shards=2), steps,
            ((Output, "move"), (Local, "create"), (Local, "remove")))
    assert len(list(out.glob("part-*"))) == max(0, steps - 3)
    with pytest.raises(DataError, match="no dataset"):
        load(str(out))
    assert shard_bytes(prepare(path, str(out), inline, shards=2)) == complete
    assert sorted(file.name for file in out.iterdir()) == ["data.json", "part-00000", "part-00001"]


def test_of_two_that_prepare_into_one_folder_one_wins(tmp_path, inline, monkeypatch):
    path, out, move, told = text(tmp_path, b"\n".join(table(50))), str(tmp_path / "d"), Output.move, []

    def again():
        with pytest.raises(ValueError) as error:
            prepare(path, out, inline, shards=2, seed=1)
        told.append(str(error.value))

    def moved(self, part, to):
        monkeypatch.setattr(Output, "move", move)
        again()
        move(self, part, to)
    monkeypatch.setattr(Output, "move", moved)
    first = prepare(path, out, inline, shards=2)
    assert "another driver works on it (pid" in told[0] and "\n" not in told[0]
    plan = planning.planned

    def overtaken(*args):
        monkeypatch.setattr(planning, "planned", plan)
        prepare(path, out, inline, shards=2)
        return plan(*args)
    shutil.rmtree(out)
    monkeypatch.setattr(planning, "planned", overtaken)
    again()
    assert "there is a dataset already" in told[1]
    assert load(out) == first


def test_a_failed_move_cleans_up_after_itself(tmp_path, inline, monkeypatch):
    def full(*_):
        raise OSError("disk full")

    path = text(tmp_path, b"\n".join(table(50)))
    monkeypatch.setattr(Output, "move", full)
    with pytest.raises(OSError, match="disk full"):
        prepare(path, str(tmp_path / "d"), inline)
    assert nothing_at(tmp_path / "d")


@pytest.mark.parametrize("label", ["9007199254740992", "99999999999999999999", "1e30"])
def test_labels_that_float64_cannot_count_are_no_classes(tmp_path, inline, label):
    data = prepare(text(tmp_path, f"a,y\n1,{label}\n2,0\n"), str(tmp_path / "d"), inline, label="y")
    assert data.target.classes is None and data.target.high == float(label)


def test_a_description_that_could_not_be_read_is_not_written(tmp_path, inline, monkeypatch):
    monkeypatch.setattr(preparing, "description", lambda *args, then=preparing.description: {**then(*args), "seed": -1})
    with pytest.raises(ValueError, match="data.json.seed is -1"):
        prepare(text(tmp_path, "1,2\n3,4\n"), str(tmp_path / "d"), inline)
    assert nothing_at(tmp_path / "d")


def test_an_input_damaged_behind_its_head_names_the_file(tmp_path, local):
    data = gzip.compress(b"\n".join(table(20000)))
    (tmp_path / "in.csv.gz").write_bytes(data[:len(data) // 2])
    with pytest.raises(Exception, match=r"in\.csv\.gz: cannot be read"):
        prepare(tmp_path / "in.csv.gz", str(tmp_path / "d"), local)
    assert nothing_at(tmp_path / "d")


@pytest.mark.parametrize("damage, reason", [
    (lambda path: (path / "data.json").unlink(), "no dataset .*mrdl prepare INPUT"),
    (lambda path: (path / "data.json").write_text("{"), "data.json is damaged"),
    (lambda path: (path / "data.json").write_bytes(b"\xff"), "data.json is damaged"),
    (lambda path: (path / "data.json").write_text("[]"), "data.json is damaged"),
    (lambda path: (path / "data.json").write_text('{"format": 2}'), "data.json is damaged"),
    (lambda path: (path / "data.json").write_text('{"format": 1}'), "another version"),
    (lambda path: (path / "part-00001").unlink(), "part-00001 is missing"),
])
def test_load_says_what_is_wrong_with_a_dataset(tmp_path, inline, damage, reason):
    data = prepare(text(tmp_path, "1,2\n3,4\n"), str(tmp_path / "d"), inline)
    assert load(data.url) == data
    damage(tmp_path / "d")
    with pytest.raises(DataError, match=reason):
        load(data.url)


def test_load_names_a_folder_that_is_not_there(tmp_path):
    (path := tmp_path / "raw.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match="raw.csv: no dataset .no data.json.; make one with: mrdl prepare .*raw.csv DATA"):
        load(str(path))
    with pytest.raises(DataError, match="nowhere: no dataset"):
        load(str(tmp_path / "nowhere"))


def test_the_description_can_be_read_by_anything_that_reads_json(tmp_path, inline):
    data = prepare(text(tmp_path, "a,y\n1,0\n2,1\n"), str(tmp_path / "d"), inline,
                           label="y", shards=2)
    found = json.loads((tmp_path / "d" / "data.json").read_text())
    assert found["shards"] == [{"name": s.name, "n": s.n, "role": s.role, "blocks": s.blocks, "seal": s.seal} for s in data.shards]
    assert found["target"] == {"shape": [], "classes": 2, "low": 0, "high": 1}
