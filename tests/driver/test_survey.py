"""Statistics of tables: by a job of any runner and number of mappers, and in this process, the same bytes; schemas made of them."""
import gzip
import random
from pathlib import Path

import pytest

import mrdl
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError
from mrdl.data.survey import RECORDS, Columns, Survey, merged
from mrdl.data.tables.words import MISSING
from mrdl.driver.preparation import tables
from mrdl.driver.preparation.describe import infer_schema
from mrdl.runners.cluster import Cluster
from tests.support.raw_data import text

RNG = random.Random(0)
ROWS = [f"{i},{RNG.choice(['m', 'f', '', 'NA'])},{RNG.gauss(0, 9):.3f},2024-{RNG.randint(1, 12):02}-{RNG.randint(1, 28):02},"
        f'"x, {RNG.random():.6f}",{RNG.randint(0, 1)}' for i in range(2000)]
ROWS[7], ROWS[900] = "1,2", '3,"m,4.5,2024-01-01,x,1'
HEADER = "id,sex,v,day,note,y"


def survey_of(paths, label="y"):
    schema = sniff(paths)
    return Survey(schema, label, list(MISSING), tables.notations(schema))


def dumped(statistics):
    return {name: found.dump() for name, found in statistics.items()}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return text(tmp_path_factory.mktemp("survey"), "\r\n".join([HEADER, *ROWS]) + "\r\n")


def test_a_job_finds_what_is_found_in_this_process(table):
    survey = survey_of([table])
    here, facts = tables.counted_here(survey)
    assert facts.rows == 1998 and facts.bad == {"quote without end": 1, "wrong field count": 1}
    assert [sample["text"] for sample in facts.samples] == [ROWS[7], ROWS[900]]
    assert here["v"].rows == 1998 and here["sex"].gone == sum(",," in row or ",NA," in row for row in ROWS)
    for runner, cores in (("inline", 1), ("local", 3)):
        with Cluster(runner, cores) as cluster:
            done = []
            found, told = tables.counted_by_job(survey, cluster, "job", lambda *task, done=done: done.append(task))
        assert told == facts and dumped(found) == dumped(here)
        assert done[-1] == ("reducer", 1, 1)


@pytest.mark.parametrize("mappers", [1, 2, 7])
def test_splits_and_their_order_change_no_byte(table, mappers):
    survey, lines = survey_of([table]), Path(table).read_bytes().split(b"\n")[:-1]
    found = {}
    cuts = sorted(RNG.sample(range(len(lines)), mappers - 1))
    for begin, end in RNG.sample(list(zip([0, *cuts], [*cuts, len(lines)])), mappers):
        part = Columns(survey)
        part.read(table, len(b"\n".join(lines[:begin])), lines[begin:end])
        for key, value in part.pairs():
            found.setdefault(key, []).append(value)
    for key, value in Columns(survey).pairs():      # a split without a line
        found[key].append(value)
    whole, facts = tables.counted_here(survey)
    *values, records = (merged(key, values) for key, values in sorted(found.items()))
    assert values == [one.dump() for one in whole.values()] and RECORDS == max(found)
    assert f'"rows": {facts.rows}'.encode() in records and b'"wrong field count": 1' in records


def test_several_files_and_packed_ones_are_one_table(table, tmp_path):
    half = len(ROWS) // 2
    text(tmp_path, "\n".join([HEADER, *ROWS[:half]]) + "\n", "a.csv")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress("\n".join([HEADER, *ROWS[half:]]).encode()))
    whole, facts = tables.counted_here(survey_of([table]))
    survey = survey_of([str(tmp_path / "a.csv"), str(tmp_path / "b.csv.gz")])
    with Cluster("inline") as cluster:
        for found, told in (tables.counted_here(survey), tables.counted_by_job(survey, cluster, "job")):
            assert dumped(found) == dumped(whole) and (told.rows, told.bad) == (facts.rows, facts.bad)


def test_a_large_input_is_read_by_a_job_and_a_small_one_is_not(table, monkeypatch):
    with Cluster("inline") as cluster:
        tasks = []
        small, _ = tables.statistics_of(sniff([table]), cluster, "y", "job", lambda *task: tasks.append(task))
        assert not tasks
        monkeypatch.setattr(tables, "HERE", 1000)
        large, _ = tables.statistics_of(sniff([table]), cluster, "y", "job", lambda *task: tasks.append(task))
    assert tasks and dumped(small) == dumped(large)


def test_numbers_are_read_as_the_first_lines_have_them_however_many_there_are(tmp_path, monkeypatch):
    path = text(tmp_path, "a;b\n" + "".join(f"{i % 997},{i % 10};{i}\n" for i in range(30_000)))
    found = mrdl.infer_schema(path, "inline")
    assert not found.inferred.statistics["b"].values.exact          # too many words to read them again
    assert found.inferred.statistics["a"].notation.decimal == "," and found.inferred.statistics["a"].numbers.largest == 996.9


def test_the_user_says_how_the_numbers_of_a_large_column_are_written(tmp_path):
    path = text(tmp_path, "a;b\n" + "".join(f"{i % 7};{1000 + 37 * (i % 17_000):,}\n" for i in range(20_000)))
    assert mrdl.infer_schema(path, "inline").table.columns["b"].largest == 629_963
    found = mrdl.infer_schema(path, "inline", kinds={"b": {"kind": "numeric", "decimal": ","}})
    assert not found.inferred.statistics["b"].values.exact and found.table.columns["b"].largest == 629.963


def test_a_schema_is_made_of_what_is_asked(table):
    found = infer_schema(table, "inline", label="y", ids=["id"], drop=["note"], kinds={"v": {"kind": "numeric", "scale": "standard"}})
    kinds = {name: kind.kind for name, kind in found.table.columns.items()}
    assert kinds == {"id": "id", "sex": "categorical", "v": "numeric", "day": "date", "note": "ignore", "y": "label"}
    assert found.table.columns["v"].scale == "standard" and found.records.rows == 1998
    assert list(found.sizes) == [table]
    assert mrdl.infer_schema(table, "inline", label=-1, columns=[2]).table.features == ["v"]


@pytest.mark.parametrize("delimiter, decimal", [(",", "."), (";", ","), (" ", ".")])
def test_of_one_column_that_r_wrote_beside_the_names_of_rows_the_column_is_read(tmp_path, delimiter, decimal):
    rows = "".join(f'"{i + 1}"{delimiter}{i * 37 % 11 / 2}\n'.replace(".", decimal) for i in range(40))
    found = infer_schema(text(tmp_path, f'""{delimiter}"x"\n{rows}'), "inline").inferred
    assert {name: kind.kind for name, kind in found.columns.items()} == {"": "ignore", "x": "numeric"}
    assert [(warned.column, warned.text.partition(";")[0]) for warned in found.warnings] == [("", "left out: looks like an index")]


def test_words_for_missing_values_are_more_than_the_usual_ones(tmp_path):
    path = text(tmp_path, "a,b\n" + "-999,x\n1.5,-\n2.5,unknown\nNA,y\n" * 30)
    found = infer_schema(path, "inline", missing=["-999", "unknown"]).inferred
    assert {name: one.gone for name, one in found.statistics.items()} == {"a": 60, "b": 60}
    assert found.columns["a"].mean == 2.0 and found.columns["b"].vocabulary == ("-", "x", "y")     # a word among words
    found = infer_schema(path, "inline", missing=["-999", "unknown", "-"]).inferred
    assert found.columns["b"].vocabulary == ("x", "y")


def test_one_name_or_word_stands_for_a_list_of_it(tmp_path):
    path = text(tmp_path, "id,a,b,d\n" + "x,no,1,2\ny,n,3,4\n" * 30)
    found = infer_schema(path, "inline", ids="id", drop="d", missing="no").inferred.columns
    assert [kind.kind for kind in found.values()] == ["id", "categorical", "numeric", "ignore"] and found["a"].vocabulary == ("n",)
    assert infer_schema(path, "inline", ids=0, columns="b").table.features == ["b"]
    frame = type("Frame", (list,), {"columns": ["id", "a"]})
    for rows in (frame(), [{"a": 1}]):
        with pytest.raises(DataError, match="inputs are paths, not a .*: write the rows to a file"):
            infer_schema(rows, "inline")


@pytest.mark.parametrize(("more", "message"), [
    ({"label": "z", "ids": ["k"], "drop": ["id"], "columns": ["id"]}, "no column 'k', 'z'; there are 'id', .*\ncolumn 'id' is asked to be dropped"),
    ({"kinds": {"sex": "date", "v": "boolean"}}, "column 'sex': .*\ncolumn 'v': .*"),
    ({"kinds": {"sex": "dates", "day": {"kind": "numeric", "scal": "log"}}}, "column 'sex': .*\ncolumn 'day': .*'scal'"),
    ({"delimiter": ";;"}, "delimiter ';;': must be one character")])
def test_all_that_is_wrong_with_columns_is_said_at_once(table, more, message):
    with pytest.raises(DataError, match=message):
        infer_schema(table, "inline", **more)


@pytest.mark.parametrize(("content", "message"), [
    ("a,b\n", "a header and no rows"), ("", "no rows"), ("a,b\n" + "1,2,3\n1,2,3\n", "the header has 2 columns, the rows 3")])
def test_inputs_without_rows_are_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        infer_schema(text(tmp_path, content), "inline")


def test_columns_of_one_name_can_be_left_out(tmp_path):
    path = text(tmp_path, "a,b,a\n" + "1,x,2\n3,y,4\n" * 9)
    with pytest.raises(DataError, match="several columns have the name 'a'"):
        infer_schema(path, "inline")
    assert infer_schema(path, "inline", drop=["a"]).table.features == ["b=x", "b=y"]
    survey = Survey(sniff([path]), None, list(MISSING), tables.notations(sniff([path])))
    with Cluster("inline") as cluster:
        found, _ = tables.counted_by_job(survey, cluster, "job")
    assert dumped(found) == dumped(tables.counted_here(survey)[0]) and list(found) == ["a", "b"]


def test_one_row_is_a_table(tmp_path):
    found = infer_schema(text(tmp_path, "a,b\n1,x\n"), "inline", label="b")
    assert found.records.rows == 1 and found.table.columns["b"].classes == ("x",)
