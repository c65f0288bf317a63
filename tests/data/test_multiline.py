"""Quoted fields over several lines, and lines that are too long."""
import csv
import io
import random
import tracemalloc
from codecs import BOM_UTF8

import numpy as np
import pytest
from raw_data import mapped, plan_of, text
from raw_rows import predicted, saved

import mrdl
from mrdl.data.readers import lines, quoted
from mrdl.data.readers.quoted import record_ends
from mrdl.data.records import Records
from mrdl.data.sniff import sniff
from mrdl.data.tables.kinds import Ignore, Numeric
from mrdl.data.tables.table import Table
from mrdl.runners import splits
from mrdl.runners.local.shuffle import read_sorted
from mrdl.storage import pieces

FIELDS = ["1", "-2.5", "", "two\nlines", 'a "quote"\nand, more\n\n', "\n", '"', "x,y", "\r\n", "7", "word", '""\n""']


def drawn(seed: int, rows: int, columns: int = 3) -> tuple[list[list[str]], bytes]:
    """Rows with newlines in their fields, and the text that Python writes of them."""
    draw = random.Random(seed)
    found = [[str(i), *(draw.choice(FIELDS) for _ in range(columns - 1))] for i in range(rows)]
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(found)
    return found, file.getvalue().encode()


def read(schema, path) -> tuple[list[list[str]], list[int], Records]:
    """The fields of each row, where it begins, and the records."""
    records, rows, starts = Records(path), [], []
    (_, own), = schema.here()
    for columns, places, _ in schema.rows(records, own):
        rows += zip(*([word.decode() for word in columns[name]] for name in schema.columns))
        starts += places.tolist()
    return rows, starts, records


@pytest.mark.parametrize("size", [7, 64, 1 << 20])
def test_the_rows_are_those_of_pythons_csv_wherever_pieces_end(tmp_path, monkeypatch, size):
    monkeypatch.setattr(pieces, "SIZE", size)
    monkeypatch.setattr(lines.Fields, "size", size)
    wanted, content = drawn(size, 60)
    path = text(tmp_path, b"a,b,c\n" + content)
    rows, starts, records = read(sniff([path], multiline=True), path)
    assert [[field.strip(" \t") for field in row] for row in wanted] == [list(row) for row in rows]
    assert all((b"\n" + content)[start - 6:].startswith(b"\n%d," % i) for i, start in enumerate(starts)) and not records.bad


def test_a_quote_that_does_not_end_costs_its_line_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(quoted, "LONGEST", 500)
    body = "".join(f'{i},"x\ny"\n' for i in range(100))
    path = text(tmp_path, 'a,b\n0,"first\none"\n' + body + '7,"never\nends,1\n' + body.replace('"', "").replace("\ny", "y"))
    rows, _, records = read(sniff([path], multiline=True), path)
    assert len(rows) == 202 and records.bad == {"quote without end": 1} and records.samples[0]["text"] == '7,"never'


def test_record_ends_agree_with_a_plain_loop():
    draw = random.Random(0)
    for _ in range(2000):
        content = "".join(draw.choice('ab",\n ') for _ in range(draw.randrange(30))).encode() + b"\n"
        wanted, start, state = [], 0, "begin"           # of a field
        for at, byte in enumerate(content.decode()):
            if state == "inside":
                state = "quote" if byte == '"' else "inside"
            elif state == "quote" and byte == '"':
                state = "inside"
            elif byte == "\n":
                wanted, start, state = [*wanted, at], at + 1, "begin"
            elif byte == ",":
                state = "begin"
            elif byte == '"' and state == "begin":
                state = "inside"
            elif byte != " " or state != "begin":
                state = "text"
        ended = state == "begin"
        assert record_ends(content, b",", False).tolist() == wanted, content
        if ended:
            assert record_ends(content, b",", True).tolist() == wanted
        else:
            assert content[start:].index(b"\n") + start in record_ends(content, b",", True).tolist()


def test_every_command_reads_them_and_without_the_option_says_how(tmp_path, inline, monkeypatch):
    monkeypatch.setattr(splits, "SMALLEST_SPLIT", 100)
    rows = [[str(i), 'say "hi"\nto\n\nall', str(i % 2)] for i in range(50)]
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([["n", "the\nword", "y"], *rows])
    path = text(tmp_path, file.getvalue())
    kinds = {"n": "numeric", "the\nword": "categorical"}
    found = mrdl.infer_schema(path, "inline", label="y", kinds=kinds, multiline=True)
    assert [*found.table.columns] == ["n", "the\nword", "y"] and (found.records.rows, found.records.bad) == (50, {})
    with mrdl.Cluster("local", cores=2) as local:
        made = [mrdl.prepare(path, str(tmp_path / f"d{i}"), runner, label="y", kinds=kinds, multiline=True, shards=1)
                for i, runner in enumerate((inline, local))]
    assert [s.seal for s in made[0].shards] == [s.seal for s in made[1].shards] and made[0].shards[0].n == 50
    run = saved(made[0], tmp_path / "run")
    out = predicted(run, path, tmp_path / "out", ids=["n"], keep=["the\nword"], multiline=True)
    assert [row[:2] for row in out[1:]] == [row[:2] for row in rows]
    assert mrdl.evaluate(run, path, runner=inline, multiline=True).rows.rows == 50
    bad = mrdl.infer_schema(text(tmp_path, 'a,b\n1,"x\ny"\n' + "2,z\n" * 9), "inline").records
    assert bad.bad == {"quote without end": 1, "wrong field count": 1}
    assert bad.samples[0]["reason"] == "quote without end (column 'b'; a quoted field over several lines: --multiline reads them)"


# -- long lines

@pytest.mark.parametrize("size", [5, 64, 1000])
def test_a_line_that_is_too_long_is_a_bad_record_and_the_others_are_read(tmp_path, monkeypatch, size):
    monkeypatch.setattr(pieces, "SIZE", size)
    for module in (pieces, lines):
        monkeypatch.setattr(module, "LONGEST", 1000)
    long = b"9," + b"8" * 5000
    content = b"a,b\n" + b"1,2\n" * 30 + long + b"\n3,4\n" + long + b"\n5,6\n" + long
    path = text(tmp_path, content)
    schema = sniff([path]).by(Table({"a": Numeric(missing="refuse"), "b": Ignore()}))
    rows, facts = mapped(plan_of(schema), pieces.read_lines(io.BytesIO(content)), path)
    assert sum(map(len, rows)) == 32 and facts["bad"] == {"line too long": 3}
    assert [(s["offset"], s["reason"]) for s in facts["samples"]] == [
        (content.index(b"9,8", start), "line too long (5,002 bytes; at most 1,000)") for start in (0, 5100, 10100)]
    for cut in (100, 500, 3000, 5125, 5131, 9000, len(content) - 3):       # splits: nothing is lost, nothing comes twice
        found = [part for start, stop in ((0, cut), (cut, None))
                 for part in splits.lines_between(io.BytesIO(content), start, stop, pieces=True)]
        assert sum(part.count(b"\n") for part in found if not isinstance(part, pieces.Long)) == 33
        assert sum(isinstance(part, pieces.Long) for part in found) == 3


def test_memory_does_not_depend_on_the_longest_line(tmp_path):
    path = text(tmp_path, b"a,b\n" + b"1,2\n" * 20000)
    with open(path, "ab") as file:
        file.writelines([b"7" * (1 << 20)] * 100 + [b"\n3,4\n"])
    tracemalloc.start()
    found = mrdl.infer_schema(path, "inline").records
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.rows == 20001 and found.bad == {"line too long": 1} and peak < 90 << 20


def test_predict_writes_a_row_for_a_line_that_is_too_long_at_its_place(tmp_path, inline, monkeypatch):
    monkeypatch.setattr(pieces, "SIZE", 1000)
    for module in (pieces, lines):
        monkeypatch.setattr(module, "LONGEST", 1000)
    good = "a,b,y\n" + "".join(f"{i},{i * i % 7},{i % 2}\n" for i in range(40))
    data = mrdl.prepare(text(tmp_path, good, "good.csv"), str(tmp_path / "data"), inline, label="y")
    run = saved(data, tmp_path / "run")
    path = text(tmp_path, good + "1," + "2" * 3000 + ",0\n5,6,1\n" + "1," + "2" * 3000)
    out = predicted(run, path, tmp_path / "out")
    assert len(out) == 1 + 43 and ["line too long" in row[-1] for row in out[1:]] == [False] * 40 + [True, False, True]
    assert np.all(np.diff([int(row[1]) for row in out[1:]]) > 0)


def test_what_hadoop_leaves_out_of_a_split_is_noticed_and_read_by_the_next_attempt(tmp_path, monkeypatch):
    for module in (splits, pieces):
        monkeypatch.setattr(module, "LONGEST", 1000)
    content = BOM_UTF8 + b"a,b\n" + b"1,2\n" * 30 + b"9" * 1010 + b"\n3,4\n5,6"
    path = text(tmp_path, content)
    for cut in (5, 7, 8, 50, 127, 128, 700, 1139, len(content) - 1):
        for start, stop in ((0, cut), (cut, len(content))):
            lines = list(splits.lines_between(io.BytesIO(content), start, stop))
            there = b"".join(lines).removeprefix(BOM_UTF8)
            there += b"\n" * (not there.endswith(b"\n") and there != b"")       # as Hadoop writes it
            if all(len(line) < 1000 for line in lines):
                assert given(splits.delivered, there, path, start, stop) == there
                wrong = there + b"9" * 200 + b"\n"             # the end of a long line, where Hadoop has not found its begin
            else:
                wrong = b"".join(line for line in lines if len(line) < 1000)
            with pytest.raises(OSError, match=f"Hadoop has left out lines.* behind byte {start:,};"):
                given(splits.delivered, wrong, path, start, stop)
            again = given(splits.read_again, wrong, path, start, stop)
            assert again.count(b"\n") == b"".join(lines).count(b"\n") and again.replace(b"9", b"") == b"".join(lines).replace(b"9", b"")


def given(read, there, path, start, stop):
    """The lines of a split that Hadoop's pipe has so."""
    pipe = io.BytesIO(there)
    found = b"".join(piece + b"\n" * isinstance(piece, pieces.Long) for piece in read(pipe, path, start, stop - start))
    assert not pipe.read()
    return found


def test_a_long_row_reaches_its_reducer_whole(tmp_path, monkeypatch):
    for name, value in (("SIZE", 100), ("LONGEST", 1000)):
        monkeypatch.setattr(pieces, name, value)
    (tmp_path / "part").write_bytes(b"b\t" + b"x" * 5000 + b"\na\t1\n")
    assert b"".join(read_sorted([str(tmp_path / "part")], 1, 0, str(tmp_path), pieces=True)) == b"a\t1\nb\t" + b"x" * 5000 + b"\n"
