"""What is made of a table's columns: by a schema that is given, by another dataset's, or by what the columns hold."""
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mrdl.data import dataset
from mrdl.data.dataset import shown
from mrdl.data.schema import Schema
from mrdl.data.sources import DataError, demand
from mrdl.data.survey import Facts
from mrdl.data.tables.asked import Asked
from mrdl.data.tables.inference import Inferred
from mrdl.data.tables.kinds import Date, Kind, Label, Numeric, Weight
from mrdl.data.tables.table import SCHEMA, Table
from mrdl.data.tables.words import MISSING
from mrdl.driver.preparation.tables import statistics_of
from mrdl.printing import few
from mrdl.report import preview
from mrdl.runners.cluster import Cluster
from mrdl.storage.paths import opened


def given(path: str) -> Table:
    """The table of a schema.json."""
    try:
        with opened(path) as file:
            return Table.load(file.read(), path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such schema; make one with: mrdl describe INPUT.. --out {SCHEMA}") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder, and must be a schema.json; to make of the input what a dataset has: --like {path}") from None


def known(path: str | None, like: dataset.Dataset | None) -> Table | None:
    """The table that inputs are to fit: that of a schema.json, or of another dataset, where it has one."""
    return given(path) if path else of_dataset(like) if like and like.table else None


def of_dataset(like: dataset.Dataset) -> Table:
    """The table by which a dataset was made; of one of an earlier version, which has none, all columns are numbers."""
    if like.table:
        return Table.load(json.dumps(like.table).encode(), f"{like.url}: {dataset.DESCRIPTION}")
    demand(like.text is None, f"{like.url}: is a dataset of text: --like can use it only with --format text")
    rest = {name: kind for name, kind in ((like.label, Label()), (like.weight, Weight())) if name is not None}
    return Table({**{name: Numeric(missing="refuse") for name in like.columns}, **rest})


def tabled(schema: Schema, table: Table, asked: Asked) -> Schema:
    """The schema whose rows a table makes, and what the user should know of it. The table's label and weight are left out
    where the input does not have them, and they are not asked for."""
    wrong, added = [], {}
    for kind, name in ((Label, asked.label), (Weight, asked.weight)):
        own = table.of(kind)
        if name is not None and own is None and name not in table.columns:
            added[name] = kind()
        elif name not in (None, own):
            wrong.append(f"column {name!r} is named for the {kind.kind}, but the schema has " + (
                f"{own!r} for it" if own else f"the kind {table.columns[name].kind} for that column"))
    odd = [name for name in (*asked.ids, *asked.drop) if name in table.needed()]
    wrong += [f"column {few(odd)} cannot be an id or left out, as the schema makes something else of it"] if odd else []
    demand(not wrong, "\n".join(wrong))
    table = replace(table, columns={**table.columns, **added})
    table = replace(table, columns={name: kind for name, kind in table.columns.items()
                                    if not isinstance(kind, (Label, Weight)) or name in schema.columns})
    schema = schema.beyond(list(table.columns))
    if not schema.named and {*table.needed()} - {*schema.columns}:
        raise DataError(f"{schema.files[0]}: has no header, so its columns cannot be matched by name with those of the schema; if its first "
                        "line has their names: --header yes")
    extra = table.match(schema.columns, schema.files[0])
    made = schema.by(replace(table, form=schema.form or table.form))
    demand(made.shape != [0], f"{schema.files[0]}: the schema makes no features: let one of its columns be another kind than id or ignore")
    return replace(made, notes=[*schema.notes, *([f"left out, as the schema does not have them: {few(extra)}"] if extra else [])])


def surveyed(schema: Schema, asked: Asked, cluster: Cluster, name: str, on_task: Callable | None) -> tuple[Inferred, Facts]:
    """What the columns are taken for, by all rows, and what is said of these."""
    words = (*asked.missing, *(word for word in MISSING if word not in asked.missing))      # in this order: see Statistics
    statistics, records = statistics_of(schema.surveyed, cluster, asked.label, name, on_task, words, asked.written(), asked.decimal)
    if not records.rows:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in records.bad.items())
        raise DataError("\n  ".join([f"{schema.files[0]}: all {sum(records.bad.values()):,} records are bad: {reasons}" if reasons else
                                     f"{schema.files[0]}: no rows", *map(shown, records.samples)]))
    found = schema.inferred(statistics, asked)
    if Table(found.columns).sparse:                 # a sparse model has no Normalization
        found = found._replace(columns={name: scaled(kind, asked.kinds.get(name, {})) for name, kind in found.columns.items()})
    return found, records


def inferred(schema: Schema, asked: Asked, cluster: Cluster, name: str, on_task: Callable | None,
             said: Callable[[str], None]) -> Schema:
    """The schema whose rows a table makes that is inferred from all rows; the user is told what is made of each column."""
    found, records = surveyed(schema, asked, cluster, name, on_task)
    made = schema.by(Table(found.columns, schema.form))
    if made.shape == [0]:
        raise DataError("\n  ".join([f"{schema.files[0]}: no column is left to make features of",
                                      *(f"{warned.column!r}: {warned.text}" for warned in found.warnings)]))
    for line in preview.brief(found):
        said(line)
    return replace(made, notes=schema.notes + records.notes() + [*found.notes] + [f"warning: column{'s' * (len(some) > 1)} {few(some)}: {text}"
                                               for some, text in preview.grouped(found.warnings)])


def scaled(kind: Kind, asked: str | Mapping[str, Any]) -> Kind:
    """Numbers standardised, and of dates the moment in place of the year, where nothing else is asked for."""
    if isinstance(asked, Mapping) and {"scale", "parts"} & asked.keys():
        return kind
    if isinstance(kind, Date) and kind.deviation is not None:
        return replace(kind, parts=tuple(dict.fromkeys("seconds" if part == "year" else part for part in kind.parts)))
    return replace(kind, scale="standard") if isinstance(kind, Numeric) and kind.scale == "none" and kind.deviation is not None else kind
