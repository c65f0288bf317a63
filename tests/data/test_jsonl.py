"""JSON lines: which columns they have, what is read, what is refused."""
import json
import tempfile
from pathlib import Path

import pytest
from raw_data import text
from raw_rows import joined, saved

import mrdl
from mrdl.data.readers.jsonl import Jsonl
from mrdl.data.records import Records
from mrdl.data.schema import Schema
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError
from mrdl.worker.stream import Filter

RECORDS = [{"id": i, "user": {"age": 20 + i % 30 if i % 5 else None, "sex": "male" if i % 3 else "female"}, "tags": ["a", "b", "c"][:i % 4],
            "member": i % 2 == 0, "note": 'a "quoted", \u00e9' if i % 7 else "", "survived": "no" if i % 4 else "yes"} for i in range(60)]


def lines_of(records) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def fields(schema: Schema, content: bytes) -> tuple[list[dict[str, str]], Records]:
    """The fields of each good row that are not missing; and what became of the others."""
    records, rows = Records("f"), []
    records.others = {}
    for columns, starts, batch in schema.words(records, content.removesuffix(b"\n").split(b"\n")):
        assert len(starts) == len(batch) and all(len(words) == len(starts) for words in columns.values())
        rows += [{name: words.texts()[i] for name, words in columns.items() if words[i]} for i in range(len(starts))]
    return rows, records


@pytest.mark.parametrize("name", ["a.jsonl", "a.json.gz", "a"])
@pytest.mark.parametrize("begin", ["", "\ufeff", "\n \r\n"])
def test_fields_of_objects_and_arrays_are_columns_in_the_order_in_which_they_come(tmp_path, name, begin):
    content = begin + '{"b": 1, "a": {"y": "x", "x": null}, "e.f": [[1], {"k": true}]}\r\n\r\n{"c": {}, "a": {"z": 1e3}, "b": "\\u00e9"}'
    schema = sniff([text(tmp_path, content, name)])
    assert (schema.kind, schema.columns) == ("jsonl", ["b", "a.y", "a.x", "a.z", r"e\.f.0.0", r"e\.f.1.k"])
    rows, records = fields(schema, content.encode())
    assert rows == [{"b": "1", "a.y": "x", r"e\.f.0.0": "1", r"e\.f.1.k": "true"}, {"b": "\u00e9", "a.z": "1e3"}] and not records.bad


def test_a_field_that_is_null_or_an_object_is_no_column_of_its_own(tmp_path):
    assert sniff([text(tmp_path, '{"a": null, "b": null}\n{"a": {"x": 1}}')]).columns == ["a.x", "b"]
    assert sniff([text(tmp_path, '{"a": 5, "b": []}\n{"a": {"x": 1}}')]).columns == ["a", "a.x"]


def test_arrays_of_any_length_become_columns_only_if_they_are_short_and_vectors_up_to_a_bound(tmp_path):
    records = [{"v": list(range(100)), "long": list(range(i)), "some": [1] * (i % 5), "n": {"deep": [[0] * 30, [0] * 20]}} for i in range(5, 20)]
    schema = sniff([text(tmp_path, lines_of(records))])
    assert schema.columns == [*(f"v.{i}" for i in range(100)), *(f"some.{i}" for i in range(4)),
                              *(f"n.deep.0.{i}" for i in range(30)), *(f"n.deep.1.{i}" for i in range(20))]
    assert schema.notes == ["left out: 'long', whose arrays have up to 19 values"]
    assert not fields(schema, lines_of(records).encode())[1].others
    longer = schema.beyond(["some.9", "long.3", "n.x", "other"])
    assert longer.columns == [*schema.columns, "some.9", "long.3"] and fields(longer, lines_of(records).encode())[0][0]["long.3"] == "3"
    many = lines_of({"k": {f"{i} {k}": 1 for k in range(1000)}} for i in range(11))
    with pytest.raises(DataError, match="more than 10,000 different fields.*to_entries"):
        sniff([text(tmp_path, many)])


def test_all_files_say_which_fields_there_are_and_empty_ones_may_be_among_them(tmp_path):
    paths = [text(tmp_path, content, f"{i}") for i, content in enumerate(["", '{"a": 1}\n', "\n \n", '{"b": 1}\n'])]
    assert sniff(paths).columns == ["a", "b"]
    with pytest.raises(DataError, match=r"several kinds: .*1 \(jsonl\), .*c.csv \(text\)"):
        sniff([*paths[:2], text(tmp_path, "a,b\n1,2\n", "c.csv")])


def test_fields_that_come_later_are_counted_by_name_however_the_file_is_split(tmp_path, monkeypatch, inline):
    monkeypatch.setattr("mrdl.data.readers.jsonl.HEAD", 1)
    monkeypatch.setattr("mrdl.data.readers.jsonl.LEAST", 1)
    content = lines_of([{"a": 0}, *({"a": i, "x": {"y": i}} for i in range(1, 30)), {"a": 1, "z": None}, {"a": 1, "w": [1, 2]}])
    path = text(tmp_path, content, "a.jsonl")
    found = mrdl.infer_schema(path, inline)
    assert found.records.others == {"x.y": 29, "w.0": 1, "w.1": 1} and found.records.rows == 32
    note, = found.records.notes()
    assert note.startswith("left out, as the first lines do not have them: 'x.y' (in 29 rows), 'w.0' (in 1 row), 'w.1' (in 1 row); to have")
    for module, bound in (("mrdl.driver.preparation.tables.HERE", 0), ("mrdl.runners.splits.SMALLEST_SPLIT", 100)):
        monkeypatch.setattr(module, bound)
    again = mrdl.infer_schema(path, "local", cores=2)
    assert (again.table, again.records) == (found.table, found.records)
    assert any("'x.y' (in 29 rows)" in note for note in mrdl.prepare(path, str(tmp_path / "data"), inline).notes)


@pytest.mark.parametrize("content, reason", [
    ('[{"a": 1}, {"a": 2}]', r"is a JSON array.*jq -c '.\[\]' .*/in.json > lines.jsonl"), ('[\n {"a": 1}\n]\n', "is a JSON array"),
    ("[1, 2]\n[3, 4]\n", "its rows are arrays, which do not name their fields"), ('{\n "a": 1\n}\n', "takes several lines.*jq -c . /.*in.json > lines.jsonl"),
    ('{"a":\n 1}\n{"a": 2,\n"b": 3}', "invalid JSON|takes several lines"), ('{"a": {\n"b": 1}}', "takes several lines"),
    ("{'a': 1}\n", r"no JSON object in its first lines; of the first one: invalid JSON \(byte 1 of the line\)"),
    ('{"a": 1', r"invalid JSON \(byte 7"), ('{"a": "\xff"}'.encode("latin-1"), r"not UTF-8 \(byte 7"), ("{}\n{}\n", "no fields in its first lines"),
])
def test_what_is_no_json_lines_is_refused_in_one_line_that_says_what_to_do(tmp_path, content, reason):
    with pytest.raises(DataError, match=reason) as error:
        sniff([text(tmp_path, content, "in.json")])
    assert "\n" not in str(error.value)


def test_half_a_surrogate_pair_in_a_key_is_the_same_column_everywhere(tmp_path):
    content = b'{"a\\ud800": 1}\n{"a\\ud800": 2, "later": 3}\n{"a\xef\xbf\xbd": "x"}'
    schema = sniff([text(tmp_path, content.partition(b"\n")[0])])
    rows, records = fields(schema, content)
    assert [row["a\ufffd"] for row in rows] == ["1", "2", "x"] and records.others == {"later": 1}


def test_headers_and_delimiters_are_not_for_json_lines(tmp_path):
    with pytest.raises(DataError, match="name their fields in each line: leave out header, delimiter, multiline"):
        sniff([text(tmp_path, '{"a": 1}')], header=False, delimiter=",", multiline=True)


@pytest.mark.parametrize("content", ["{a},{b}\n1,2\n", "[2026-11-29] a,b\n1,2\n", "[x],y\n1,2\n"])
def test_text_that_only_begins_so_stays_text(tmp_path, content):
    assert sniff([text(tmp_path, content)]).kind == "text"


@pytest.mark.parametrize("above", ["# a comment\n", "// a comment\n\n", "\n \n# one\n  // two\n" * 200, "\ufeff#\r\n//\r\n"])
def test_comments_and_blank_lines_may_stand_above_the_first_object_and_between_others(tmp_path, above):
    content = above + '{"a": 1}\n// between\n{"a": 2}\n# below'
    schema = sniff([text(tmp_path, content), text(tmp_path, above, "comments.jsonl")])
    assert schema.kind == "jsonl" and schema.columns == ["a"]
    rows, records = fields(schema, content.encode())
    assert [row["a"] for row in rows] == ["1", "2"] and not records.bad
    assert records.comments == above.count("#") + above.count("//") + 2
    with pytest.raises(DataError, match="is a JSON array, and must be JSON lines"):
        sniff([text(tmp_path, above + '[\n{"a": 1}\n]')])
    with pytest.raises(DataError, match="no rows"):
        sniff([text(tmp_path, above)])


def test_bad_lines_are_told_with_their_place_and_a_long_one_is_read(tmp_path):
    long = b'{"a": "' + b"x" * 3_000_000 + b'"}'
    parts = [b'{"a": 1}', b'{"a": 2', b"", b"# a comment", b"[1]", b'{"a": "\xff"}', b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", long, b'{"a": 3}x']
    schema = sniff([text(tmp_path, b"\n".join([*parts, b'{"a":' * 900 + b"1" + b"}" * 900]))])
    assert schema.columns == ["a"]
    rows, records = fields(schema, b"\n".join(parts))
    assert [row["a"] for row in rows] == ["1", "x" * 3_000_000] and records.comments == 1
    assert records.bad == {"invalid JSON": 2, "no JSON object": 1, "not UTF-8": 1, "nested too deep": 1}
    starts = [sum(len(part) + 1 for part in parts[:i]) for i in (1, 4, 5, 6, 8)]
    assert [sample["offset"] for sample in records.samples] == starts
    assert records.samples[0]["reason"] == "invalid JSON (byte 7 of the line)" and records.samples[3]["reason"].endswith("(more than 100 levels)")


def test_from_a_raw_file_to_scores_by_any_way(tmp_path, inline):
    path = text(tmp_path, lines_of(RECORDS), "in.jsonl")
    data = mrdl.prepare(path, str(tmp_path / "data"), inline, label="survived", ids=["id"], hold_out=0.2)
    table = text(tmp_path, "id,user.age,user.sex,tags.0,tags.1,tags.2,member,note,survived\n" + "".join(
        f"{r['id']},{r['user']['age'] or ''},{r['user']['sex']},{','.join((r['tags'] + [''] * 3)[:3])},{str(r['member']).lower()},"
        f"\"{r['note'].replace(chr(34), 2 * chr(34))}\",{r['survived']}\n" for r in RECORDS), "in.csv")
    same = mrdl.prepare(table, str(tmp_path / "same"), inline, label="survived", ids=["id"], hold_out=0.2)
    assert same.columns == data.columns
    assert same.table["columns"] == data.table["columns"] and [s.n for s in same.validation()] == [s.n for s in data.validation()] != [0]
    run = saved(data, tmp_path / "run")
    model = mrdl.load_model(run)
    expected = model.predict(path)
    assert (expected == model.predict(RECORDS)).all() and (expected == model.predict(table)).all()
    scores, others = mrdl.evaluate(run, path, runner=inline), mrdl.evaluate(run, table, runner=inline)
    assert scores == others and scores.report == others.report
    mrdl.predict(run, path, str(tmp_path / "out"), runner=inline, ids=["id"], keep=["user.age", "tags.1", "member", "note"])
    out = joined(tmp_path / "out")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [[row["id"], row["user.age"], row["tags.1"], row["member"], row["note"]] for row in rows] == [
        [r["id"], r["user"]["age"], (r["tags"] + [None] * 3)[1], r["member"], r["note"]] for r in RECORDS]
    assert [row["probability_yes"] for row in rows] == pytest.approx(expected[:, 1].tolist(), rel=1e-8)
    mrdl.predict(run, path, str(tmp_path / "csv"), runner=inline, ids=["id"], keep=["note"], format="csv")
    assert joined(tmp_path / "csv").startswith("id,note,prediction,probability_no,probability_yes,error\n0,,")
    assert piped(run, Path(path).read_bytes(), ["id", "user.age", "tags.1", "member", "note"]) == out.encode()
    above = b"\n// a comment\n\n  # another\n"
    assert piped(run, above + Path(path).read_bytes(), ["id", "user.age", "tags.1", "member", "note"]) == out.encode()
    assert piped(run, Path(path).read_bytes(), ["id", "note"], "csv") == (tmp_path / "csv" / "part-00000").read_bytes() + (
        tmp_path / "csv" / "part-00001").read_bytes()


def piped(run: str, data: bytes, kept: list[str], format: str | None = None) -> bytes:
    """What mrdl score makes of it."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        rows = Filter(mrdl.load_model(run), "run", file.fileno(), kept=kept, format=format)
        return b"".join(rows)


def test_records_that_lack_fields_are_scored_and_what_is_renamed_is_refused(tmp_path, inline):
    data = mrdl.prepare(text(tmp_path, lines_of(RECORDS), "in.jsonl"), str(tmp_path / "data"), inline, label="survived", ids=["id"])
    run = saved(data, tmp_path / "run")
    model = mrdl.load_model(run)
    short = [{"user": {"age": 30, "sex": "male"}, "tags": [], "member": True, "note": ""}, {"tags": ["a"], "user": {"sex": "female"}, "extra": 5}]
    path = text(tmp_path, lines_of(short), "short.jsonl")
    full = [{"user.age": 30, "user.sex": "male", "tags.0": None, "tags.1": None, "tags.2": None, "member": True, "note": ""},
            {"user.age": None, "user.sex": "female", "tags.0": "a", "tags.1": None, "tags.2": None, "member": None, "note": None}]
    assert (model.predict(path) == model.predict(full)).all()
    out = piped(run, b'{"tags": ["a"], "user": {"sex": "female"}, "n": -Infinity, "t": "5"}\n{"a"\n' + lines_of(short[:1]).encode(), [])
    rows = [json.loads(line) for line in out.splitlines()]
    assert list(rows[0])[:8] == ["tags.0", "user.sex", "n", "t", "user.age", "tags.1", "tags.2", "member"]
    assert (rows[0]["n"], rows[0]["t"], rows[0]["user.age"], rows[2]["user.age"]) == (None, "5", None, 30)
    assert [row["error"] is None for row in rows] == [True, False, True] and rows[1]["error"].startswith("invalid JSON (byte 4 of the line); the input")
    assert [row["probability_yes"] for row in rows][::2] == pytest.approx(model.predict(full)[::-1, 1].tolist(), rel=1e-8)
    (tmp_path / "short.jsonl").write_text(lines_of(short).replace("age", "years"))
    with pytest.raises(DataError, match=r"do not fit the schema: 'user.age' \(missing\)"):
        model.predict(path)
    with pytest.raises(DataError, match="the input is JSON lines, which name their fields in each line: leave out columns, delimiter"):
        Jsonl.arriving("the input", b"{}", [], ",")
