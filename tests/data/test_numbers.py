"""Lines of numbers give the same bits, and the same bad records, whether they are parsed as numbers or as words."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_data import text

from mrdl.data.readers.delimited import Delimited
from mrdl.data.readers.numbers import Numbers
from mrdl.data.readers.tabular import Tabular
from mrdl.data.records import Records
from mrdl.data.tables.kinds import Categorical, Id, Ignore, Label, Numeric, Weight
from mrdl.data.tables.table import Table
from mrdl.driver.preparation.prepare import prepare

COLUMNS = ["id", "a", "y", "b", "w"]
TABLES = [Table({"id": Id(), "b": Numeric(missing="drop"), "a": Numeric(mean=0.1), "w": Weight(), "y": Label()}),
          Table({"a": Numeric(scale="standard", mean=0.3, deviation=0.7, missing="refuse"), "y": Label(classes=("2", "1", "10.0")), "b": Ignore()}),
          Table({"y": Numeric(scale="log", mean=1.0), "a": Numeric(mean=0.1, scale="minmax", least=-1e300, largest=1e300)})]
FIELDS = ["1", "2", "10", "-2.5", "0.1", "007", " 3 ", "1e400", "nan", "", "NA", "x", "1.7e308", '"1"', '" 2"', '"a,b"', '5"', "#", "1e-3", "\t4", "1_0"]
LINE = st.lists(st.sampled_from(FIELDS + ["1", "2", "0.3"] * 20), min_size=5, max_size=5).map(",".join)
ODD = st.sampled_from(["", "  ", "# no row", "1,2,3", "1,2,3,4,5,6", "id,a,y,b,w", '"1,2,3,4,5', "\ufeff1,2,3,4,5", "1,2,3,4,5\r"])


def taken(read, schema, lines):
    """Bits of the good rows, where they begin, and all that is said of the others."""
    records, found = Records("f"), []
    for made, starts, batch, _ in read(schema, records, (line.encode() for line in lines)):
        records.refused(made, starts, batch)
        good = made.wrong == 0
        found += zip(map(bytes, np.ascontiguousarray(made.x[good])), map(bytes, np.ascontiguousarray(made.rest[good])), starts[good].tolist(),
                     [line for line, ok in zip(batch, good) if ok])
    return found, records.bad, {where: rows for where, (rows, _) in records.misread.items()}, records.samples, records.comments, records.left_out


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(TABLES), st.lists(LINE | ODD, max_size=12))
def test_numbers_and_words_give_the_same(table, lines):
    assert Numbers.possible(table, ",")
    schema = Delimited(files=[], columns=COLUMNS, shape=[], header=["id,a,y,b,w"]).by(table)
    assert taken(Delimited.made_of, schema, lines * 3) == taken(Tabular.made_of, schema, lines * 3)


@pytest.mark.parametrize("kind", [Numeric(decimal=",", mean=0), Numeric(missing_words=("-999",), mean=0), Numeric(missing="indicator", mean=0),
                                  Categorical(vocabulary=("1", "2")), Label(classes=("a", "b")), Label(classes=("1", "1.0"))])
def test_what_needs_words_is_taken_as_words(kind):
    assert not Numbers.possible(Table({"a": kind}), ",") and not Numbers.possible(TABLES[0], " ")


def test_a_bad_value_beyond_the_first_columns_is_told(tmp_path, inline):
    lines = [",".join(str((i * k) % 13 + 0.5) for k in range(60)) for i in range(1, 40)]
    path = text(tmp_path, "\n".join([*lines, "1," * 50 + "x" + ",1" * 9]) + "\n")
    data = prepare(path, str(tmp_path / "d"), inline, max_bad=0.1)
    assert data.shape == (60,) and data.bad["samples"][0]["reason"] == "not a number (column '50')"
