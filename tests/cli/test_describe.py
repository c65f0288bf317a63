"""`mrdl describe` on raw tables: what is shown at each width, what the user can say, what is written."""
import json
import random

import pytest

from mrdl.cli import main
from mrdl.cli.tables import kinds
from mrdl.data.sources import DataError
from mrdl.data.tables.table import Table
from mrdl.printing import fitted, wide, wrapped
from tests.support.passengers import passengers
from tests.support.raw_data import text


@pytest.fixture
def shown(capsys, monkeypatch, tmp_path):
    """What the command prints on a terminal of some width, and what it says beside."""
    monkeypatch.chdir(tmp_path)

    def run(*words, width=80, status=0):
        monkeypatch.setenv("COLUMNS", str(width))
        assert main(["describe", *words, "-r", "inline"]) == status
        return capsys.readouterr()
    return run


def test_a_preview_for_a_narrow_terminal_has_two_lines_a_column(shown, tmp_path):
    passengers(tmp_path)
    out, err = shown("passengers.csv", "--label", "survived")
    lines = out.splitlines()
    assert "passengers.csv: 59 rows of 8 columns, 2.63 KB; 13 features" in lines[0]
    assert "1 of 60 records are bad and left out (1.7 %): 1 wrong field count; to keep them whole" in " ".join(
        map(str.strip, lines))
    assert [line for line in lines if "byte 886" in line]
    table = out[out.index("\ncolumn ") + 1:out.index("\nlook at")]
    assert table.splitlines() == [
        "column    missing  distinct       least      median     largest        mean",
        "''              0        59           0          30          59       29.68",
        "    left out: looks like an id",
        "survived        0         2  yes (33), no (26)",
        "    label, 2 classes: no, yes",
        "class           0         3           1           3           3       2.186",
        "    numeric",
        "sex             0         2  female (31), male (28)",
        "    categorical, one-hot of 2 values",
        "age        20.3 %        39           3          40          70        39.4",
        "    numeric, missing -> mean 39.4",
        "fare            0        57        6.83       47.11       88.04       48.84",
        "    numeric",
        "port       10.2 %         3  Southampton (39), Queenstown (9), Cherbourg (5)",
        "    categorical, one-hot of 3 values, missing is one more",
        "boarded         0         2  1912-04-10  1912-04-10  1912-04-11  1912-04-10",
        "    date (YMD) as day, weekday", "",
        "a date: 'boarded'; its parts become features; if it is none: --kind", "  boarded=categorical"]
    assert "  '': left out: looks like an id; to use it as a feature: --kind ''=numeric" in lines
    assert "--out schema.json" in err


def test_a_wide_terminal_has_a_line_a_column_with_all_statistics(shown, tmp_path):
    lines = shown(passengers(tmp_path), width=150).out.splitlines()
    head = next(line for line in lines if line.startswith("column"))
    assert head.split() == ["column", "missing", "distinct", "least", "25", "%", "median", "75", "%", "largest", "mean", "deviation", "what", "mrdl", "makes", "of", "it"]
    row = next(line for line in lines if line.startswith("age"))
    assert row.split() == ["age", "20.3", "%", "39", "3", "25.5", "40", "58.5", "70", "39.4", "19.41", "numeric,", "missing", "->", "mean", "39.4"]
    assert head.index("what") == row.index("numeric")


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_line_of_a_table_is_wider_than_the_terminal(shown, tmp_path, width):
    rng = random.Random(0)
    names = ["年齢と名前の長い列の名前でとても長い", "ein sehr langer Name einer Spalte, der nicht aufhört", "plain", "odd"]
    rows = [[rng.choice(["東京都千代田区", "大阪"]), repr(rng.gauss(0, 1e12)), str(rng.randint(0, 10 ** 8)), rng.choice(["c\x1bd", "e\tf g"])]
            for _ in range(50)]
    path = text(tmp_path, "\n".join(",".join(f'"{cell}"' for cell in row) for row in [names, *rows]) + "\n", "w.csv")
    lines = shown(path, width=width).out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("column"))
    assert max(map(wide, lines[start:])) <= width
    assert len({wide(line.rpartition("numeric")[0]) for line in lines if line.endswith(" numeric")}) == 1
    assert "\x1b" not in "".join(lines) and any("c?d (" in line for line in lines)


def test_of_many_columns_alike_ones_share_a_line(shown, tmp_path, capsys):
    rng = random.Random(0)
    names = ["id", *(f"sensor_{i:03}" for i in range(200)), *(f"kind{i}" for i in range(90)), *(f"const{i}" for i in range(9)), "y"]
    rows = [[str(i), *(f"{rng.gauss(0, 1):.3f}" for _ in range(200)), *(rng.choice("abcde"[:2 + k % 4]) for k in range(90)),
             *"xxxxxxxxx", rng.choice("pq")] for i in range(40)]
    path = text(tmp_path, "\n".join(map(",".join, [names, *rows])) + "\n", "many.csv")
    out = shown(path, "--label", "y").out
    assert [line.split("  ")[0] for line in out[out.index("\ncolumn") + 1:out.index("\nlook")].splitlines()[1::2]] == [
        "id", "sensor_000 .. 199 (200)", "kind0 .. 89 (90)", "const0 .. 8 (9)", "y"]
    assert "categorical, one-hot of .. values" in out and "left out: always 'x'" in out
    assert len(json.loads(shown(path, "--json").out)["columns"]) == 301
    assert main(["prepare", path, "data", "--label", "y", "-r", "inline"]) == 0
    assert "kind0 .. 89 (90): categorical, one-hot of .. values\n" in capsys.readouterr().err


def test_json_has_all_that_is_known_of_each_column(shown, tmp_path):
    facts = json.loads(shown(passengers(tmp_path), "--label", "survived", "--json").out)
    assert (facts["rows"], facts["bad"], facts["files"]) == (59, {"wrong field count": 1}, 1)
    by_name = {column["name"]: column for column in facts["columns"]}
    assert by_name[""]["warnings"] and not by_name["age"]["warnings"]
    age, port = by_name["age"], by_name["port"]
    assert (age["missing"], age["distinct"], age["error"], age["q25"], age["kind"]) == (12, 39, 0, 25.5, "numeric")
    assert port["top"] == [["Southampton", 39], ["Queenstown", 9], ["Cherbourg", 5]] and len(port["features"]) == 4
    assert "mean" not in port


def test_out_writes_a_schema_that_prepare_takes(shown, tmp_path, capsys):
    raw, out = passengers(tmp_path), str(tmp_path / "schema.json")
    err = shown(raw, "--label", "survived", "--kind", "class=categorical", "--kind", "age=numeric,missing=median,scale=standard",
                "--id", "", "--out", out).err
    assert f"mrdl prepare {raw} DATA --schema {out} --label survived\n" in err
    with open(out, "rb") as file:
        table = Table.load(file.read())
    assert table.columns["age"].missing == "median" and table.columns[""].kind == "id"
    assert main(["prepare", raw, str(tmp_path / "data"), "--schema", out, "--label", "survived", "-r", "inline", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 59
    assert main(["describe", str(tmp_path / "data"), "-r", "inline"]) == 0
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()][1:] == table.features


def test_a_dataset_takes_no_options_for_raw_tables(shown, tmp_path, capsys):
    assert main(["prepare", passengers(tmp_path), str(tmp_path / "data"), "--max-bad", "1", "-r", "inline"]) == 0
    capsys.readouterr()
    assert "leave out label, kinds" in shown(str(tmp_path / "data"), "--label", "y", "--kind", "a=numeric", status=2).err


def test_what_is_no_table_is_refused(shown, tmp_path):
    assert "no such input" in shown(str(tmp_path / "none.csv"), status=2).err
    (tmp_path / "x.npz").write_bytes(b"PK\3\4")
    assert "mrdl: " in shown(str(tmp_path / "x.npz"), status=2).err
    assert "no column 'z'; there are" in shown(passengers(tmp_path), "--label", "z", status=2).err


def test_the_delimiter_can_be_said(shown, tmp_path):
    text(tmp_path, "a:b\n" + "x,y:1\n" * 30)
    assert "30 rows of 2 columns" in shown("in.csv", "--delimiter", ":").out
    text(tmp_path, "a b\n" + "x 1\ny\t2\n" * 30)
    assert "60 rows of 2 columns" in shown("in.csv", "--delimiter", "blank").out
    assert main(["prepare", "in.csv", "data", "--delimiter", "blank", "--label", "b", "-r", "inline"]) == 0
    schema = str(tmp_path / "s")                    # which keeps it
    assert f"--schema {schema} --label b" in shown("in.csv", "--delimiter", "blank", "--label", "b", "--out", schema).err
    assert main(["prepare", "in.csv", "more", "--schema", schema, "-r", "inline"]) == 0


def test_kinds_are_parsed_and_all_wrong_ones_are_said():
    assert kinds(["a=b=numeric", 'c=categorical,vocabulary=["x,y","z"],hash=null', "=id", "d=date,order=DMY,cyclic=false"]) == {
        "a=b": {"kind": "numeric"}, "c": {"kind": "categorical", "vocabulary": ["x,y", "z"], "hash": None}, "": {"kind": "id"},
        "d": {"kind": "date", "order": "DMY", "cyclic": False}}
    with pytest.raises(DataError) as error:
        kinds(["a=number", "b", "c=id", "c=label"])
    assert [line.split(": ")[0] for line in str(error.value).splitlines()] == ["--kind a=number", "--kind b", "--kind c=label"]


def test_texts_are_cut_and_wrapped_by_the_columns_that_they_take():
    assert [wide(word) for word in ("abc", "東京", "é", "e\u0301")] == [3, 4, 1, 1]
    assert fitted("東京都千代田区", 9) == "東京都.. " and fitted("ab", 4, right=True) == "  ab"
    assert wrapped("one two three", 8, "  ") == ["one two", "  three"] and wrapped("longer than", 4) == ["longer", "than"]


def test_quoted_fields_over_several_lines_are_recognised(tmp_path, capsys):
    path = tmp_path / "notes.csv"
    path.write_text("a,b\n" + '1,"one\nmore"\n2,two\n' * 20)
    assert main(["describe", str(path), "-r", "inline"]) == 0
    assert "over several lines are read with: --multiline; to prepare nevertheless: " in " ".join(capsys.readouterr().out.split())


def test_columns_that_are_warned_of_the_same_are_named_together(shown, tmp_path, capsys):
    rows = [[f"n{i}", f"m{i * 3}", "x" if i else "w", "z" if i else "w", str(i % 3), str(i % 2) * (i > 0)] for i in range(200)]
    path = text(tmp_path, "\n".join(map(",".join, [["first", "last one", "a", "b", "c", "y"], *rows])) + "\n", "t.csv")
    told = "left out: looks like an id or a text, as nearly every value is different; to use it as a feature: --kind first=text"
    lines = shown(path, "--label", "y", width=500).out.splitlines()
    assert f"  first and last one: {told}" in lines and "  y: missing in 1 row: left out" in lines
    assert [line.partition(";")[0] for line in lines if "nearly constant" in line] == [     # of two columns that hold other values
        f"  {name}: nearly constant: 99.5 % of the rows have {value!r}" for name, value in (("a", "x"), ("b", "z"))]
    assert main(["prepare", path, "data", "--label", "y", "-r", "inline"]) == 0
    assert f"warning: columns 'first', 'last one': {told}\n" in capsys.readouterr().err
