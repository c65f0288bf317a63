"""The first lines of a CSV file: names of columns, an example, or comments; and what is told of it."""
import numpy as np
import pytest
from raw_data import as_numbers, examples, mapped, plan_of, text

import mrdl
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError
from mrdl.runners.splits import lines_between


def rows_below(header: str, *rows: str) -> str:
    return "\n".join([header, *rows]) + "\n"


FRACTIONS = [f"{0.5 * i + 0.25},{-1.5 * i},{i % 2}" for i in range(8)]
WHOLE = [f"{(7 * i) % 5},{(3 * i) % 4},{i % 2}" for i in range(8)]


@pytest.mark.parametrize("first, rows, names, told", [
    ("0,1,2", FRACTIONS, ["0", "1", "2"], "--header no"),                       # pandas, columns without names
    (",0,1", FRACTIONS, ["", "0", "1"], "--header no"),                         # with its index
    ("2019,2020,2021", FRACTIONS, ["2019", "2020", "2021"], "--header no"),
    ("2019,2020,2021", WHOLE, ["2019", "2020", "2021"], "--header no"),         # far from all that is below
    ("0,1,2", ["1,2,3", "2,3,4", "3,4,5"], None, "--header yes"),               # windows of a series
    ("1,2,3", ["4,5,6", "7,8,9", "1,5,7"], None, ""),
    ("2019,2020,2021", ["2018,2020,2022", "2017,2018,2019"], None, ""),
    ("1,2,3", ["1,2.5,3"], None, "--header yes"),
    ("3,2,1", FRACTIONS, None, ""), ("1.5,2,3", FRACTIONS, None, ""), ("0,1,2", [], None, "--header yes"),
    ("0,1", ["1,0", "0,1", "1,1", "0,0", "1,0", "1,1"], None, ""),              # bits
])
def test_a_first_line_of_numbers_is_a_header_where_the_lines_below_say_so(tmp_path, first, rows, names, told):
    path = text(tmp_path, rows_below(first, *rows))
    schema = as_numbers([path], label="-1")
    assert (schema.columns if schema.named else None) == names
    assert [told in note for note in schema.notes if "--header" in note] == ([True] if told else [])
    n = len(examples(plan_of(schema), rows_below(first, *rows).encode().split(b"\n")))
    assert n == len(rows) + (names is None)


@pytest.mark.parametrize("first, rows, told", [
    ("5.9,3.0,blue", ["5.1,3.5,red", "7.0,3.2,blue", "6.3,2.9,red"], True),
    ("12,1st,man,yes", ["3,2nd,man,no", "40,1st,woman,yes", "8,3rd,man,no"], True),
    ("5.9,height,colour", ["5.1,3.5,red", "7.0,3.2,blue"], False),
    ("label,0,1,2,3", ["a,0,9,0,4", "b,5,0,3,0", "a,0,0,7,9"], False),          # pixels
    ("country,2019,2020", ["fr,1,9999", "de,4000,2"], False), ("a,b", ["a,c"], False), ("a,5", [], False),
    ("x,,y", ["1,,2", "3,,4"], False),
])
def test_a_header_that_looks_like_a_row_is_told(tmp_path, first, rows, told):
    path = text(tmp_path, rows_below(first, *rows))
    schema = sniff([path], loose=True)
    assert schema.columns == first.split(",")
    assert ["--header no" in note for note in schema.notes if "first line" in note] == [True] * told
    assert not any("first line" in note for header in (True, False) for note in sniff([path], header=header, loose=True).notes)


def test_prepare_tells_of_the_header_of_a_table_with_words_too(tmp_path, inline):
    path = text(tmp_path, rows_below("5.9,3.0,blue", *(f"{5 + i % 3}.{i},{i % 7}.5,{('blue', 'red')[i % 2]}" for i in range(10))))
    data = mrdl.prepare(path, str(tmp_path / "d"), inline, label="-1")
    again = mrdl.prepare(path, str(tmp_path / "e"), inline, like=data.url, label="-1")
    assert "the first line, 5.9,3.0,blue, was taken for the names" in data.notes[0]
    assert not any("first line" in note for note in again.notes)        # the dataset says that there is a header


@pytest.mark.parametrize("asked, named, n", [(True, True, 3), (False, False, 4)])
def test_the_user_says_whether_there_is_a_header(tmp_path, asked, named, n):
    content = rows_below("1,2,3", "4,5,6", "1,2,3", "7,8,9")
    schema = as_numbers([text(tmp_path, content)], header=asked)
    assert (schema.named, schema.notes) == (named, [])
    found = examples(plan_of(schema), content.encode().split(b"\n"))
    assert len(found) == n and ([1, 2, 3], None, None) in found         # an example may read as the header does


def test_a_header_of_numbers_below_comments_is_one_in_any_split(tmp_path):
    content = "\ufeff# made today\n\n# 3 columns\n2019,2020,2021\n1,2,3\n2019,2020,2021\n4,5,6\n".encode()
    path = text(tmp_path, content)
    plan = plan_of(as_numbers([path], header=True))
    for cut in range(len(content)):
        found = []
        for start, stop in ((0, cut), (cut, None)):
            with open(path, "rb") as file:
                lines = [line.rstrip(b"\n") for line in lines_between(file, start, stop)]
            found += examples(plan, lines, path, start)
        assert sorted(x for x, _, _ in found) == [[1, 2, 3], [4, 5, 6], [2019, 2020, 2021]], cut


def test_comments_are_left_out_and_counted_wherever_they_stand(tmp_path):
    content = "# made today\n#, by me\na,y\n# units: m, s\n1,0\n # note\n2,1\n"
    schema = as_numbers([text(tmp_path, content)], label="y")
    assert schema.columns == ["a", "y"]
    assert examples(plan_of(schema), content.encode().split(b"\n")) == [([1], 0, None), ([2], 1, None)]
    with pytest.raises(DataError, match="no rows"):
        as_numbers([text(tmp_path, "# nothing\n")])


def test_the_header_that_savetxt_writes_as_a_comment_is_one(tmp_path):
    np.savetxt(tmp_path / "in.csv", [[1.5, 0], [2.5, 1]], delimiter=",", header="made by numpy\na, y")
    schema = as_numbers([str(tmp_path / "in.csv")], label="y")
    assert (schema.columns, schema.named) == (["a", "y"], True)
    lines = (tmp_path / "in.csv").read_bytes().split(b"\n")
    assert examples(plan_of(schema), lines) == [([1.5], 0, None), ([2.5], 1, None)]


def test_inputs_whose_headers_are_written_in_different_ways_have_one_header(tmp_path):
    contents = ["a,y\n1,0\n", '"a", "y"\n2,1\n', "\ufeffa,y\r\n3,1\r\n"]
    schema = as_numbers([text(tmp_path, content, f"{i}.csv") for i, content in enumerate(contents)], label="y")
    for content in contents:
        assert len(examples(plan_of(schema), content.encode().split(b"\n"))) == 1


def test_one_input_without_the_header_of_the_others_is_refused(tmp_path):
    named, bare = text(tmp_path, "a,y\n1,0\n", "1.csv"), text(tmp_path, "1.5,0\n", "2.csv")
    for inputs in ([named, bare], [bare, named]):
        with pytest.raises(DataError, match="2 columns and no header.*all inputs must agree"):
            as_numbers(inputs)
    years = [text(tmp_path, rows_below("2019,2020,2021", *rows), f"{i}.csv") for i, rows in enumerate((FRACTIONS, ["1,2,3"]))]
    assert as_numbers(years).columns == ["2019", "2020", "2021"]             # one line below would not have said it


@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_header_longer_than_what_is_read_at_first_is_read_whole(tmp_path, end):
    names = [f"a_rather_long_name_of_column_{i}" for i in range(5000)]
    content = rows_below(",".join(names), *[",".join(["1"] * 5000)] * 2)
    assert len(content.split("\n")[0]) > 1 << 16
    assert as_numbers([text(tmp_path, content, "in.csv" + end)], label="a_rather_long_name_of_column_7").shape == [4999]


def test_a_zero_byte_in_a_line_is_a_bad_record_and_in_the_header_an_error(tmp_path):
    content = b"a,y\n1,0\n2\0,1\n3,1\n"
    schema = as_numbers([text(tmp_path, content)], label="y")
    assert len(examples(plan_of(schema), content.split(b"\n"))) == 2
    with pytest.raises(DataError, match=r"zero bytes in its first lines.*tr -d"):
        as_numbers([text(tmp_path, b"a\0,y\n1,0\n")])


def test_label_and_weight_are_two_columns(tmp_path):
    with pytest.raises(DataError, match="column 'y' is asked to be the label and the weight"):
        as_numbers([text(tmp_path, "a,y\n1,0\n")], label="y", weight="1")
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3)), y=np.zeros(2))
    with pytest.raises(DataError, match="'y' is named both"):
        as_numbers([str(tmp_path / "a.npz")], weight="y")
    with pytest.raises(DataError, match="has no columns: leave out"):
        as_numbers([str(tmp_path / "a.npz")], header=True)


def test_a_dropped_column_may_hold_anything(tmp_path):
    content = ('id,name,a,y\n7,"Smith, John",1,0\nx9,,2,1\n8,5" pipe,3,0\n9,Ann,4\n1,Bob,x,1\n\n# end\n2,"a","5",1\n3,c,"6,5",1\n'
               '4,d,1,1,1\n')
    with pytest.raises(DataError, match="column 'y' is asked to be the label and dropped"):
        as_numbers([text(tmp_path, content)], label="y", drop=["y"])
    schema = as_numbers([text(tmp_path, content)], label="y", drop=["name", "id"])
    plan = plan_of(schema)
    assert examples(plan, content.encode().split(b"\n")) == [([1], 0, None), ([2], 1, None), ([3], 0, None), ([5], 1, None)]
    _, facts = mapped(plan, content.encode().split(b"\n"))
    assert [sample["reason"] for sample in facts["samples"]] == [
        "wrong field count (3 for 4)", "not a number (column 'a')",
        "not a number (column 'a')", "wrong field count (5 for 4)"]


@pytest.mark.parametrize("first, drop, left", [
    ("", "Unnamed: 0", ["b", "c"]), ("", "", ["b", "c"]), ("Unnamed: 0", "", ["b", "c"]), ("y", "-1", ["y", "b"]), ("y", "y", ["b"])])
def test_a_column_is_dropped_by_its_name_by_what_pandas_calls_it_and_by_its_number(tmp_path, first, drop, left):
    path = text(tmp_path, f"{first},b,{'y' if drop == 'y' else 'c'}\n7,1,2\n3,4,5\n")
    assert as_numbers([path], drop=[drop]).features() == left
    with pytest.raises(DataError, match=r"no column 'Unnamed: 1'"):
        as_numbers([path], drop=["Unnamed: 1"])
