"""What is made of a table's columns: by a schema that is given, by another dataset's, or by what the columns hold."""
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mrdl.data import dataset
from mrdl.data.readers.columns import few
from mrdl.data.schema import Schema
from mrdl.data.sources import DataError, demand
from mrdl.data.tables.inference import Asked, infer
from mrdl.data.tables.kinds import Label, Weight
from mrdl.data.tables.table import SCHEMA, Table
from mrdl.driver.preparation.tables import statistics_of
from mrdl.runners.cluster import Cluster
from mrdl.storage.paths import opened


def given(path: str) -> Table:
    """The table of a schema.json."""
    try:
        with opened(path) as file:
            return Table.load(file.read(), path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such schema; make one with: mrdl describe INPUT.. --out {SCHEMA}") from None


def of_dataset(like: dataset.Dataset) -> Table:
    """The table by which a dataset was made."""
    return Table.load(json.dumps(like.table).encode(), f"{like.url}: {dataset.DESCRIPTION}")


def tabled(schema: Schema, table: Table, kept: Sequence[str | None], where: str) -> Schema:
    """The schema whose rows a table makes, and what the user should know of it. `kept`: the label and the weight that are
    wanted; those of the table's that are not are left out."""
    for kind, name in zip((Label, Weight), kept):
        own = table.of(kind)
        demand(name in (None, own), f"column {name!r} is named for the {kind.kind}, but the schema has " + (
            f"{own!r} for it" if own else "none"))
    table = replace(table, columns={name: kind for name, kind in table.columns.items()
                                    if not isinstance(kind, (Label, Weight)) or name in kept})
    extra = table.match(schema.columns, where)
    made = schema.by(table)
    return replace(made, notes=[f"left out, as the schema does not have them: {few(extra)}"] if extra else [])


def inferred(schema: Schema, asked: Asked, cluster: Cluster, name: str, on_task: Callable | None,
             said: Callable[[str], None]) -> Schema:
    """The schema whose rows a table makes that is inferred from all rows; the user is told what is made of each column."""
    statistics, _ = statistics_of(schema, cluster, asked.label, name, on_task)
    columns, warnings, _ = infer(statistics, asked)
    made = schema.by(Table(columns))
    demand(made.shape != [0], f"{schema.files[0]}: no column is left to make features of")
    for column, kind in columns.items():
        said(f"{column}: {kind.told()}")
    return replace(made, notes=[f"warning: column {warned.column!r}: {warned.text}" for warned in warnings])
