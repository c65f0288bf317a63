"""How delimited text is written: what the user says, what the schema keeps of it, and what later files are read by."""
import json
from codecs import BOM_UTF8
from itertools import accumulate

import pytest
from raw_data import examples, mapped, plan_of, text
from raw_rows import joined, predicted, saved

import mrdl
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError
from mrdl.data.tables.kinds import Numeric
from mrdl.data.tables.table import Table
from mrdl.driver.preparation.describe import infer_schema
from mrdl.driver.preparation.refer import refer
from mrdl.models import frames

HEADER, ROWS = "a;b;y", [f"{i},5;{(7 * i) % 11},25;{i % 2}" for i in range(40)]
ABOVE = 'measured; by "us\n\n# 1;2\n'          # lines with a quote, nothing, and what would be a comment
COMMA = "\n".join([HEADER, *ROWS]) + "\n"


@pytest.mark.parametrize("content, delimiter, named", [
    ("1,5;2,5\n3,5;4,5\n", ";", False), ("a;b\n1,5;2,5\n", ";", True), ("1,5\t2\n3,5\t4\n", "\t", False), ("1,5 2,5\n3,5 4,5\n", " ", False),
    ('"1,5","2,5"\n"3,5","4,5"\n', ",", False), ("1.000,5;2\n3,5;4\n", ";", False), ("a,b\n1,2\n", ",", True)])
def test_a_decimal_comma_is_no_delimiter_where_another_one_is_there(tmp_path, content, delimiter, named):
    found = sniff([text(tmp_path, content)], decimal=",")
    assert (found.delimiter, found.named, len(found.columns)) == (delimiter, named, 2)
    assert found.form == {"delimiter": delimiter, "decimal": ",", **({"header": True} if named else {})}


def test_numbers_are_read_with_the_mark_that_is_given(tmp_path, inline):
    path = text(tmp_path, "a;b;c\n" + "".join(f"1.{i:03};{i}.000,5;{i}\n" for i in range(100, 140)))
    kinds = infer_schema(path, inline, decimal=",", kinds={"c": {"kind": "numeric", "missing": "mode"}}).table.columns
    assert [kinds[name].notation[:2] for name in "abc"] == [(",", "."), (",", "."), (",", "")] and kinds["a"].mean == 1119.5
    assert infer_schema(path, inline).table.columns["a"].mean == 1.1195
    kinds = infer_schema(path, inline, decimal=",", kinds={"c": {"kind": "numeric", "decimal": "."}}).table.columns
    assert kinds["c"].decimal == "."


@pytest.mark.parametrize("start", [b"", BOM_UTF8])
def test_lines_on_top_of_a_file_are_left_out_wherever_it_is_split(tmp_path, start):
    content = start + (ABOVE + "2019,2020,2021\n").encode() + b"".join(b"%d.5,%d,1\n" % (i, i) for i in range(8))
    path = text(tmp_path, content)
    table = Table({name: Numeric(missing="refuse") for name in ("2019", "2020", "2021")})
    schema = sniff([path], skip=3).by(table)
    assert schema.named and schema.skip == 3 and sniff([path], skip=3, multiline=True).columns == schema.columns
    plan, lines = plan_of(schema), content.split(b"\n")
    begins = [0, *accumulate(len(line) + 1 for line in lines)]
    whole = examples(plan, lines[:-1])
    assert len(whole) == 8
    for cut in range(1, len(content)):
        number = next(i for i, begin in enumerate(begins) if begin > cut)       # as in Hadoop, a line that begins at `cut` is the one before's
        parts = [mapped(plan, lines[:number], path), mapped(plan, lines[number:-1], path, cut)]
        rows = [row for shards, _ in parts for shard in shards for row in shard]
        assert len(rows) == 8 and not any(facts["bad"] for _, facts in parts), cut
    bad = content + b"x,2,3\n"
    text(tmp_path, bad)
    facts = [mapped(plan, bad.split(b"\n")[:-1], path)[1], mapped(plan, bad.split(b"\n")[10:-1], path, begins[10] - 1)[1]]
    assert [fact["samples"][0]["offset"] for fact in facts] == [len(content)] * 2


@pytest.fixture(scope="module")
def model(tmp_path_factory, inline):
    """(the table, its dataset, a model of it, whose data has lines on top and decimal commas)"""
    folder = tmp_path_factory.mktemp("forms")
    path = text(folder, ABOVE + COMMA)
    data = mrdl.prepare(path, str(folder / "data"), inline, label="y", decimal=",", skip=3)
    return path, data, saved(data, folder / "run")


FORM = {"delimiter": ";", "header": True, "decimal": ",", "skip": 3}


def test_the_schema_keeps_it_and_each_later_step_reads_by_it(tmp_path, inline, model):
    path, data, run = model
    assert data.table["form"] == FORM and "left out on top of each file: 3 lines" in data.notes
    schema = infer_schema(path, inline, label="y", decimal=",", skip=3).table
    assert schema.form == FORM == Table.load(schema.dump()).form
    (tmp_path / "schema.json").write_bytes(schema.dump())
    with pytest.raises(DataError, match="schema: says what is made of all columns: leave out decimal"):
        mrdl.prepare(path, str(tmp_path / "no"), inline, schema=str(tmp_path / "schema.json"), decimal=".")
    again = mrdl.prepare(path, str(tmp_path / "again"), inline, schema=str(tmp_path / "schema.json"))
    assert again.uid == data.uid == mrdl.prepare(path, str(tmp_path / "like"), inline, like=data.url).uid and again.table["form"] == FORM
    assert sum(s.n for s in refer(path, str(tmp_path / "refer"), inline, schema=str(tmp_path / "schema.json")).shards) == len(ROWS)
    told = []
    lines = predicted(run, path, tmp_path / "out", inline, keep=["a"], said=told.append)
    assert [line[0] for line in lines[1:]] == [row.split(";")[0] for row in ROWS] and told == ["left out on top of each file: 3 lines"]
    assert mrdl.evaluate(run, path, runner=inline).rows.rows == len(ROWS) == len(mrdl.load_model(run).predict(path))


@pytest.mark.parametrize("content, options, told", [
    (COMMA, {}, "skip 0, not 3"), (ABOVE + COMMA.replace(";", "|"), {"skip": 3}, "delimiter '|', not ';'"),
    (COMMA.replace(";", "\t"), {}, "delimiter '\\t', not ';'; skip 0, not 3"), (ABOVE + COMMA.replace(";", "|"), {"skip": 3, "delimiter": "|"}, "")])
def test_files_that_are_written_otherwise_are_read_as_they_look_and_that_is_said(tmp_path, inline, model, content, options, told):
    path, _, run = model
    said = []
    predicted(run, path, tmp_path / "1", inline, keep=["a", "b"])
    predicted(run, text(tmp_path, content, "new.csv"), tmp_path / "2", inline, keep=["a", "b"], said=said.append, **options)
    assert joined(tmp_path / "1") == joined(tmp_path / "2")
    notes = [note for note in said if "schema" in note]
    assert [note.partition("new.csv: ")[2] for note in notes] == [f"is not written as the schema says, and is read as it looks: {told}"] * bool(told)


def test_what_fits_neither_way_is_refused_as_it_looks(tmp_path, model):
    with pytest.raises(DataError, match="columns do not fit the schema: 'b' .missing.; there are 'a', 'c', 'y'"):
        frames.examples(mrdl.load_model(model[2]), text(tmp_path, COMMA.replace("b;", "c;")))


@pytest.mark.parametrize("above, change, told", [("", ";", ""), (ABOVE, ";", ""), (ABOVE, "|", ""), ("", "|", "delimiter '|', not ';'")])
def test_score_reads_by_it_too(tmp_path, model, capfd, monkeypatch, above, change, told):
    from mrdl.cli import main
    content = text(tmp_path, above + COMMA.replace(";", change))
    with open(content) as file:
        monkeypatch.setattr("sys.stdin", file)
        options = ["--delimiter", "|"] if change == "|" and above else []
        assert main(["score", model[2], "--id", "a", *options]) == 0
    out, err = capfd.readouterr()
    assert [line.partition(change)[0] for line in out.splitlines()] == ["a", *(row.split(";")[0] for row in ROWS)]
    assert "could not be read" not in err and told in err


@pytest.mark.parametrize("form, reason", [
    ({"delimiter": ";;"}, "form.delimiter is ';;'"), ({"delimiter": '"'}, "form.delimiter is"), ({"header": "yes"}, "form.header is 'yes'"),
    ({"decimal": ";"}, "form.decimal is ';'"), ({"skip": -1}, "form.skip is -1"), ({"comma": 1}, "form has 'comma', which this version does not know")])
def test_a_form_that_makes_no_sense_is_refused(form, reason):
    with pytest.raises(DataError) as error:
        Table.load(json.dumps({"format": 1, "form": form, "columns": []}).encode(), "s.json")
    assert str(error.value).startswith(f"s.json: {reason}") and "\n" not in str(error.value)


def test_options_that_make_no_sense_are_refused(tmp_path):
    path = text(tmp_path, COMMA)
    for options, reason in (({"decimal": ";"}, "decimal ';': must be . or ,"), ({"skip": -1}, "skip -1: must be 0 or more"),
                            ({"skip": 100}, "no rows")):
        with pytest.raises(DataError, match=reason):
            sniff([path], **options)
    with pytest.raises(DataError, match="leave out decimal, skip"):
        sniff([text(tmp_path, '{"a": 1}\n', "in.jsonl")], decimal=",", skip=1)
