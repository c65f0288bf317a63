"""Text of every kind: what is understood, what is counted as bad, what is refused."""
import re
import struct
from binascii import a2b_base64
from collections import Counter
from contextlib import suppress
from itertools import cycle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_data import as_numbers, examples, made, mapped, one_by_one, packed, plan_of, text

from mrdl.data import shards
from mrdl.data.corpus import BOM
from mrdl.data.readers.delimited import Delimited
from mrdl.data.rows import Rows
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError, expand
from mrdl.data.tables.asked import Asked
from mrdl.data.tables.kinds import Numeric
from mrdl.data.tables.statistics import Numbers
from mrdl.data.tables.table import Table
from mrdl.driver.preparation.columns import inferred
from mrdl.runners.local.task import read_splits

# -- text

WANTED = [([1.0, 2.5], 0, None), ([3.0, 4.0], 1, None)]


@pytest.mark.parametrize("content", [
    "a,b,label\n1,2.5,0\n3,4,1\n", "a\tb\tlabel\n1\t2.5\t0\n3\t4\t1\n", "a;b;label\n1;2.5;0\n3;4;1",
    "a|b|label\r\n1|2.5|0\r\n3|4|1\r\n", '"a","b","label"\n"1","2.5","0"\n"3",4,"1"\n',
    "\ufeffa,b,label\n1,2.5,0\n3,4,1\n", "\n\na, b, label\n\n 1, 2.5 ,0\n\n\n3,4e0,1.0\n\n",
    '"a, first",b,label\n1,2.5,0\n3,4,1\n', "a,b,label\n+1,.25e1,-0\n3.,4,1\r\n",
])
@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz"])
def test_delimiters_headers_quotes_spaces_and_line_ends_are_understood(tmp_path, content, name):
    schema = as_numbers([text(tmp_path, content, name)], label="label")
    assert (schema.shape, schema.target, schema.kind) == ([2], [], "text")
    assert examples(plan_of(schema), content.encode().replace(b"\r", b"").split(b"\n")) == WANTED


@pytest.mark.parametrize("label", ["2", "-1", 2])
def test_without_a_header_a_column_is_named_by_its_number(tmp_path, label):
    schema = as_numbers([text(tmp_path, "1,2.5,0\n3,4,1\n")], label=label)
    assert (schema.columns, schema.label, schema.header) == (["0", "1", "2"], "2", [])
    assert examples(plan_of(schema), [b"1,2.5,0", b"3,4,1"]) == WANTED


def test_a_first_line_with_a_missing_or_infinite_value_is_no_header(tmp_path):
    assert as_numbers([text(tmp_path, "1,,3\n1,2,3\n")]).header == []
    assert as_numbers([text(tmp_path, "1,inf,3\n1,2,3\n")]).header == []


def test_the_label_and_the_weight_may_stand_anywhere(tmp_path):
    schema = as_numbers([text(tmp_path, "a,w,b,y,c\n1,0.5,2,7,3\n")], label="y", weight="w")
    assert schema.shape == [3]
    assert examples(plan_of(schema), [b"a,w,b,y,c", b"1,0.5,2,7,3"]) == [([1, 2, 3], 7, 0.5)]


def test_a_single_column_and_rows_without_a_label_are_fine(tmp_path):
    schema = as_numbers([text(tmp_path, "x\n1\n2\n")])
    assert (schema.shape, schema.target) == ([1], None)
    assert examples(plan_of(schema), [b"x", b"1", b"2"]) == [([1], None, None), ([2], None, None)]


@pytest.mark.parametrize("content, label, reason", [
    ("a,b\n1,2\n", "label", "no column 'label'; there are 'a', 'b'"),
    ("1,2\n", "2", "no column '2'; there are '0', '1'"),
    ("a,a\n1,2\n", "a", "several columns have the name 'a'"), ("a,a\n1,2\n", "1", "several columns have the name 'a'"),
    ("a,a,y\n1,2,0\n", "y", r"several columns have the name 'a': give each .*--drop a; .*--header no"),
    ("a,b\n1,2,3\n1,2,3\n", None, "the header has 2 columns, the rows 3 .*col.names = NA"),
    ('"x"\n"1",3.5\n"2",4.5\n', None, "the header has 1 column, the rows 2 .*col.names = NA"),
    ("x\n7,3.5\n9,4.5\n", None, "the header has 1 column, the rows 2 .*--delimiter; .* --format text"),
    ("a,b\n1,2,3,4\n1,2,3,4\n", None, "the header has 2 columns, the rows 4 .*--delimiter; .* --format text"),
    ("a,b\n1,2,\n1,2,\n", None, "the rows 3 .the rows end in a delimiter: take it away"),
    ("a,b,\n1,2\n1,2\n", None, "the rows 2 .the header ends in a delimiter: take it away"),
    ("", None, "no rows"), ("\n \r\n", None, "no rows"), ("a,b\n", None, "a header and no rows"),
    ("1,2\r3,4\r", None, "lone carriage return"),
    (b"\x7fELF\0\0", None, "neither text nor.*zero bytes"), (b"\x1f\x8b\x08a\0\0", None, "is compressed: unpack it first"),
    ("a,y\n1,2\n".encode("utf-16"), None, "is UTF-16.*iconv -f UTF-16 -t UTF-8"),
])
def test_a_text_that_cannot_be_used_is_refused_with_the_reason(tmp_path, content, label, reason):
    with pytest.raises(DataError, match=reason):
        as_numbers([text(tmp_path, content)], label=label)


PIECES = [b"1", b"-2.5", b",", b";", b"a", b'"', b"\n", b"\r\n", b"\r", b" ", b"\xff", b"nan", b"1e99",
          b"\xef\xbb\xbf"]


def accounted(plan, content: bytes, file="f"):
    """`mapped`, having checked that each line is an example, a bad record, a comment, blank or a header."""
    rows, facts = mapped(plan, content.split(b"\n"), file)
    lines = [line.rstrip(b"\r") for line in content.removeprefix(BOM).split(b"\n")]
    lines = [line for line in lines if line.strip(b" ")]
    headers = [line for line in lines if line.removeprefix(BOM).decode("latin-1") in plan.schema.header]
    if headers and not re.search(rb"[^\d,-]", headers[0]):
        headers = headers[:1]                   # a header of numbers stands on top alone
    assert sum(facts["rows"]) == sum(map(len, rows))
    assert sum(facts["rows"]) + sum(facts["bad"].values()) + facts["comments"] + facts["left_out"] + len(headers) == len(lines)
    return rows, facts


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join) | st.binary(max_size=60),
       st.sampled_from([None, "0", "a"]))
def test_any_text_is_read_or_refused_but_never_a_surprise(tmp_path_factory, content, label):
    folder = tmp_path_factory.getbasetemp()
    with suppress(DataError):
        schema = sniff([text(folder, content)])
        if schema.kind == "text":
            schema = inferred(schema, Asked(label).among(schema.columns), None, "", None, lambda text: None)
            plan = plan_of(schema, classes=3 if label else None)
            rows, _ = accounted(plan, content)
            assert len(examples(plan, content.split(b"\n"))) == sum(map(len, rows))


def test_a_line_of_a_megabyte_is_no_trouble(tmp_path):
    line = b",".join([b"12345"] * 200000)
    schema = as_numbers([text(tmp_path, line + b"\n" + line)])
    assert schema.shape == [200000]
    assert sum(mapped(plan_of(schema), [line, line])[1]["rows"]) == 2


def test_inputs_must_agree_and_empty_ones_do_not_count(tmp_path):
    first, empty = text(tmp_path, "a,b\n1,2\n", "1.csv"), text(tmp_path, "", "2.csv")
    assert as_numbers([empty, first]).columns == ["a", "b"]
    with pytest.raises(DataError, match="3.csv: has the columns of .*1.csv in another order; .* again with 'a', 'b'"):
        as_numbers([first, text(tmp_path, "b,a\n2,1\n", "3.csv")])
    for name, content in [("3.csv", "a,c\n1,2\n"), ("4.csv", "1,2\n"), ("5.csv", "a\tb\n1\t2\n")]:
        with pytest.raises(DataError, match=f"{name}: (2 )?columns .*all inputs must agree"):
            as_numbers([first, text(tmp_path, content, name)])
    np.savez(tmp_path / "x.npz", x=np.zeros(3))
    with pytest.raises(DataError, match="several kinds"):
        as_numbers([first, str(tmp_path / "x.npz")])


def test_folders_and_patterns_stand_for_their_files(tmp_path):
    for name in ("b.csv", "a.csv", "_SUCCESS", ".hidden"):
        text(tmp_path, "1,2\n", name)
    files = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    assert expand([tmp_path]) == expand([str(tmp_path) + "/"]) == files
    assert expand([f"{tmp_path}/*.csv"]) == files
    assert expand([files[1], files[0]]) == files[::-1]
    (tmp_path / "void").mkdir()
    for missing in ("nothing.csv", "*.tsv", "no/where.csv", "void"):
        with pytest.raises(DataError, match="no such input|empty folder"):
            expand([f"{tmp_path}/{missing}"])
    with pytest.raises(DataError, match="void: a folder among the inputs"):
        expand([tmp_path])
    with pytest.raises(DataError, match="no input was given"):
        expand([])


# -- bad records

BAD = [(b"1,2", "wrong field count (2 for 3)"), (b"1,2,3,4", "wrong field count (4 for 3)"),
       (b"1,x,0", "not a number (column 'b')"), (b"1,,0", "not a number (column 'b')"),
       (b"nan,1,0", "not finite (column 'a')"),
       (b"1,-1e39,0", "beyond float32 (-1e+39; --dtype float64 has room for it)"),
       (b"1,2,1e39", "beyond float32 (1e+39; --dtype float64 has room for it)"),
       (b"1,2,3", "label out of range (3 is none of 0..2)"),
       (b"1,2,-1", "label out of range (-1 is none of 0..2)"),
       (b"1,2,0.5", "label out of range (0.5 is none of 0..2)")]


@pytest.mark.parametrize("ends", [[b"\n"], [b"\r\n"], [b"\n", b"\r\n", b"\r\r\n"]])
@pytest.mark.parametrize("mark", [b"", BOM])
def test_each_kind_of_bad_record_is_counted_and_sampled_with_its_offset(tmp_path, ends, mark, monkeypatch):
    monkeypatch.setattr("mrdl.data.rows.CACHED", 30 if mark else 1 << 20)          # bytes: 3 rows at once, or all
    lines = [b"a,b,y", b"1,2,0"] + [line for bad, _ in BAD for line in (bad, b"3,4,1", b"")]
    content = mark + b"".join(line + end for line, end in zip(lines, cycle(ends)))
    schema = as_numbers([text(tmp_path, content)], label="y")
    rows, facts = mapped(plan_of(schema, classes=3), content.split(b"\n"), "in.csv")
    assert sum(map(len, rows)) == sum(facts["rows"]) == 1 + len(BAD)
    assert sum(facts["bad"].values()) == len(BAD)
    assert facts["bad"] == Counter(reason.split(" (")[0] for _, reason in BAD)
    assert facts["labels"]["ends"] == [0, 1]
    assert [(s["text"].encode(), s["reason"]) for s in facts["samples"]] == BAD
    for sample in facts["samples"]:
        assert content[sample["offset"]:].startswith(tuple(sample["text"].encode() + end for end in ends))


def test_a_negative_weight_is_a_bad_record(tmp_path):
    schema = as_numbers([text(tmp_path, "x,w\n1,2\n")], weight="w")
    _, facts = mapped(plan_of(schema), [b"1,-2", b"1,0"])
    assert facts["samples"][0]["reason"] == "negative weight (-2)"
    assert sum(facts["rows"]) == 1


def test_samples_are_the_first_twenty_and_cut_to_a_hundred_characters(tmp_path):
    schema = as_numbers([text(tmp_path, "1,2\n")])
    _, facts = mapped(plan_of(schema), [b"\xff" * 498 + b",2"] * 30000)
    assert facts["bad"] == {"not a number": 30000}
    assert [s["offset"] for s in facts["samples"]] == [501 * i for i in range(20)]
    assert {len(s["text"]) for s in facts["samples"]} == {100}


def test_an_offset_counts_from_the_start_of_the_file_whatever_the_split(tmp_path):
    path = text(tmp_path, b"1,2\n" * 10 + b"bad\n" + b"3,4\n")
    for start in (14, 16, 17):      # the split owns the lines that begin behind its first byte
        lines = (b"1,2 " * 10).split()[start // 4 + 1:] + [b"bad", b"3,4"]
        _, facts = mapped(plan_of(as_numbers([path])), lines, path, start)
        assert [s["offset"] for s in facts["samples"]] == [40]


MUTATED = [b"k,a,y\n", b"0,1,2\n", b"# what\n", b"1,2,0\n", b"1,0.5,1\r\n", b"1,2\n", b"x,2,1\n", b"\n", b"\r\n", b"3,-1e39,0\r\n",
           b"1,2\r3,4\n", b"1,\0,1\n"]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.booleans(), st.lists(st.sampled_from(MUTATED), max_size=20), st.integers(0, 200))
def test_no_line_is_lost_and_offsets_are_exact_however_a_file_is_cut(tmp_path_factory, mark, lines, cut):
    content = b"".join([BOM * mark, b"k,a,y\n7,8.5,1\n", *lines, b"4,5,0\r\n" * 20, b"2,3,1"])
    path = text(tmp_path_factory.getbasetemp(), content, "cut.csv")
    plan = plan_of(as_numbers([path], label="y"), classes=3)
    rows, _ = accounted(plan, content, path)
    found = []
    for start, stop in ((0, cut), (cut, None)) if 0 < cut < len(content) else ((0, None),):
        part = Rows(plan, path, start)
        raw = (line.removesuffix(b"\n") for line in read_splits([(path, start, stop)]))
        found += [value for key, value in one_by_one(part.pairs(raw)) if key != plan.keys[-1].encode()]
        for sample in part.samples:
            assert content[sample["offset"]:].removeprefix(BOM).startswith(sample["text"].encode())
            assert sample["offset"] in (0, content.rfind(b"\n", 0, sample["offset"]) + 1)
    assert sorted(found) == sorted(value for values in rows for value in values)


# -- rows and blocks

def test_rows_survive_the_way_into_blocks_with_the_smallest_dtypes(tmp_path):
    random = np.random.default_rng(0)
    whole = random.integers(0, 256, (3000, 40))
    mixed = np.where(random.random((3000, 1)) < 0.5, whole, whole + random.random(whole.shape))
    for table, dtype, small in [(whole, "float32", "u1"), (mixed, "float32", "f4"),
                                (mixed, "float64", "f8"), (-whole, "float32", "f4")]:
        lines = [",".join(map(repr, row.tolist())).encode() for row in table]
        plan = plan_of(as_numbers([text(tmp_path, b"\n".join(lines))], label="0"), dtype=dtype)
        found = [block.arrays() for shard, values in enumerate(mapped(plan, lines)[0])
                 for block in packed(plan, shard, values)]
        assert {block["x"].dtype.str[1:] for block in found} == {small}
        assert all(block["x"].flags.c_contiguous for block in found)
        x, y = (np.concatenate([block[name] for block in found]) for name in "xy")
        got = np.column_stack([y, x]).astype(dtype)
        want = table.astype(dtype)
        np.testing.assert_array_equal(got[np.lexsort(got.T)], want[np.lexsort(want.T)])


def test_blocks_hold_about_a_megabyte():
    columns = [str(i) for i in range(1000)]
    schema = Delimited(files=[], columns=columns, shape=[]).by(Table(dict.fromkeys(columns, Numeric(missing="refuse"))))
    line = b",".join(b"%d" % (i % 256) for i in range(999))
    plan = plan_of(schema, shards=1)
    values, _ = mapped(plan, [line + b",%d" % (i % 256) for i in range(5000)])
    sizes = [block.arrays()["x"].nbytes for block in packed(plan, 0, values[0])]
    assert sum(sizes) == 5_000_000
    assert all(2**18 <= size <= 2**22 for size in sizes)


def test_minus_zero_is_zero_and_equal_rows_are_equal_bytes(tmp_path):
    schema = as_numbers([text(tmp_path, "1,2\n")], label="1")
    shards, _ = mapped(plan_of(schema), [b"-0,0", b"0,-0.0", b'"0.0" , 0', b"0e5,0"])
    assert len({value[16:] for values in shards for value in values}) == 1


def test_rows_whose_hashes_collide_keep_an_order_of_their_own(tmp_path, monkeypatch):
    plan = plan_of(as_numbers([text(tmp_path, "1,2\n")]), shards=1)
    values = mapped(plan, [b"1,2", b"3,4", b"5,6"])[0][0]
    clash = [b"0" * 16 + value[16:] for value in values]
    assert made(plan, 0, clash) == made(plan, 0, clash[::-1])
    monkeypatch.setattr(shards, "SIZE", 10)             # they come in several parts
    assert made(plan, 0, clash) == made(plan, 0, clash[::-1])


def test_an_empty_split_gives_facts_and_an_empty_shard_no_lines(tmp_path):
    plan = plan_of(as_numbers([text(tmp_path, "1,2\n")]))
    shards, facts = mapped(plan, [])
    assert shards == [[], []]
    assert facts == {"rows": [0, 0], "bad": {}, "misread": {}, "unseen": {}, "samples": [], "labels": Numbers().dump(), "tokens": 0, "characters": 0, "short": None,
                     "unknown": 0, "content": 0, "comments": 0, "left_out": 0, "distinct": None, "strata": None, "classes": None, "held_out": None}
    assert made(plan, 0, []) == []


def test_a_row_travels_as_base64_behind_its_hash(tmp_path):
    plan = plan_of(as_numbers([text(tmp_path, "1,2\n")], label="1"), shards=1)
    (value,) = mapped(plan, [b"7,9"])[0][0]
    assert a2b_base64(value[17:]) == b"u\x07" + struct.pack("<d", 9)
