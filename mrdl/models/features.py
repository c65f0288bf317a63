"""By which table a model takes raw rows, and those of files."""
import json
from collections.abc import Sequence
from typing import Any

from mrdl.config import ConfigError
from mrdl.data.schema import Schema
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError, demand, expand
from mrdl.data.tables.kinds import Label, Numeric, Weight
from mrdl.data.tables.table import Table
from mrdl.printing import few


def table_of(model, where: str) -> Table:
    """What makes a model's features of the columns of raw rows; ConfigError where it was trained on other data. `where`: the
    model, for messages."""
    known = model.features or {}
    if known.get("text"):
        raise ConfigError(f"{where} was trained on text, so it takes no raw rows: prepare them with --format text --like the dataset that "
                          "it was trained on, and give the dataset")
    if known.get("table"):
        return Table.load(json.dumps(known["table"]).encode(), f"the schema of {where}")
    names, shape = known.get("columns"), model.input_shape
    form = {} if names is not None else {"named": False}
    if names is None and shape and len(shape) == 1:
        names = list(map(str, range(shape[0])))     # as columns without a header are called
    if names is None or (len(names),) != shape:
        raise ConfigError(f"{where} takes examples of shape {shape}, which are no rows of a table: prepare them, and give the dataset")
    return Table({name: Numeric(missing="refuse") for name in names}, form)


def by_place(table: Table, columns: Sequence[str]) -> Table:
    """The table for input of these columns; where its own have no names, they are the input's in their order."""
    return table if table.form.get("named", True) else Table(dict(zip(columns, table.columns.values())))


def without_rest(table: Table) -> Table:
    """The table of the features alone."""
    return Table({name: kind for name, kind in table.columns.items() if not isinstance(kind, (Label, Weight))}, table.form)


def class_names(table: Table) -> tuple[str, ...]:
    """Those of the label's column; none where its values are numbers."""
    return table.columns[table.label].classes if table.label is not None else ()


def matched(inputs: Sequence[str], table: Table, where: str, kept: Sequence[str] = (), rest: bool = False,
            **written: Any) -> tuple[Schema, list[str]]:
    """The schema of raw inputs, of whose columns a model's table makes features, by name; and the names of the columns that are
    ignored, as it does not know them. `kept`: columns that go through as they are; `rest`: with the label, and with the weight
    where there is one; `written`: what the user says of how the inputs are written, as `sniff` takes it."""
    paths = expand(list(inputs))
    found = sniff(paths, loose=True, known=table, **written)
    demand(found.tabular, f"{paths[0]}: {found.kind} files have no columns that {where} could know: prepare them, and give the dataset")
    odd = [name for name in kept if found.columns.count(name) != 1]
    demand(not odd, f"{paths[0]}: has no column {few(odd)} to keep (--id, --keep), or several of this name; there are {few(found.columns)}")
    if not table.form.get("named", True):
        demand(not rest, f"{paths[0]}: {where} was trained on columns that have no names, so it can be evaluated on a dataset alone: "
               "prepare the rows, and give the dataset")
        demand(len(found.columns) == len(table.columns),
               f"{paths[0]}: has {len(found.columns)} columns, and {where} was trained on {table.width} that have no names: leave "
               "the others out, or prepare the rows, and give the dataset")
        return found.by(by_place(table, found.columns), kept).stored(None), []
    lost = table.columns.keys() - {*found.columns, table.label, table.weight}      # of one that is left out all later ones move
    if not found.named and lost:
        raise DataError(f"{paths[0]}: has no header, so its {len(found.columns)} columns cannot be matched by name with those of {where}; "
                        "if its first line has their names: --header yes")
    if rest and table.weight not in found.columns:
        table = Table({name: kind for name, kind in table.columns.items() if name != table.weight}, table.form)
    found = found.beyond(list(table.columns))
    extra = table.match(found.columns, paths[0], rest)
    return found.by(table if rest else without_rest(table), kept).stored(None), [name for name in extra if name not in kept]
