"""What is made of a table's columns: by a schema that is given, by another dataset's, or by what the columns hold."""
import json
from collections.abc import Callable
from dataclasses import replace

from mrdl.data import dataset
from mrdl.data.schema import Schema
from mrdl.data.sources import DataError, demand
from mrdl.data.tables.inference import Asked
from mrdl.data.tables.kinds import Kind, Label, Numeric, Weight
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.table import SCHEMA, Table
from mrdl.data.tables.words import USUAL
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


def of_dataset(like: dataset.Dataset) -> Table:
    """The table by which a dataset was made."""
    return Table.load(json.dumps(like.table).encode(), f"{like.url}: {dataset.DESCRIPTION}")


def decided(schema: Schema, path: str | None, like: dataset.Dataset | None, asked: Asked, cluster: Cluster, name: str,
            on_task: Callable | None, said: Callable[[str], None]) -> Schema:
    """The schema, with a table where one is given, or the columns hold other things than numbers."""
    if path is not None or like is not None and like.table:
        return tabled(schema, of_dataset(like) if path is None else given(path), asked)
    if like is None and (asked.kinds or asked.ids or not schema.plain):
        return inferred(schema, asked, cluster, name, on_task, said)
    return schema


def tabled(schema: Schema, table: Table, asked: Asked) -> Schema:
    """The schema whose rows a table makes, and what the user should know of it. The table's label and weight are left out
    where the input does not have them, and they are not asked for."""
    for kind, name in ((Label, asked.label), (Weight, asked.weight)):
        own = table.of(kind)
        demand(name in (None, own), f"column {name!r} is named for the {kind.kind}, but the schema has " + (
            f"{own!r} for it" if own else "none"))
    table = replace(table, columns={name: kind for name, kind in table.columns.items()
                                    if not isinstance(kind, (Label, Weight)) or name in schema.columns})
    schema = schema.beyond(list(table.columns))
    extra = table.match(schema.columns, schema.files[0])
    made = schema.by(table)
    demand(made.shape != [0], f"{schema.files[0]}: the schema makes no features: let one of its columns be another kind than id or ignore")
    return replace(made, notes=[*schema.notes, *([f"left out, as the schema does not have them: {few(extra)}"] if extra else [])])


def inferred(schema: Schema, asked: Asked, cluster: Cluster, name: str, on_task: Callable | None,
             said: Callable[[str], None]) -> Schema:
    """The schema whose rows a table makes that is inferred from all rows; the user is told what is made of each column."""
    statistics, records = statistics_of(schema.surveyed, cluster, asked.label, name, on_task, written=asked.written())
    columns, warnings, read = found = schema.inferred(statistics, asked)
    if schema.bare and not asked.kinds and all(_plain(kind, read[name]) for name, kind in columns.items()):
        return schema                               # the first lines had a bad record
    if Table(columns).sparse:                       # a sparse model has no Normalization
        columns = {name: scaled(kind) for name, kind in columns.items()}
        found = found._replace(columns=columns)
    made = schema.by(Table(columns))
    if made.shape == [0]:
        raise DataError("\n  ".join([f"{schema.files[0]}: no column is left to make features of",
                                      *(f"{warned.column!r}: {warned.text}" for warned in warnings)]))
    for line in preview.brief(found):
        said(line)
    return replace(made, notes=schema.notes + records.notes() + [f"warning: column{'s' * (len(some) > 1)} {few(some)}: {text}"
                                               for some, text in preview.grouped(warnings)])


def scaled(kind: Kind) -> Kind:
    """Numbers standardised, where nothing else is said of them."""
    return replace(kind, scale="standard") if isinstance(kind, Numeric) and kind.scale == "none" and kind.deviation is not None else kind


def _plain(kind: Kind, found: Statistics) -> bool:
    """Whether a column holds numbers as programs write them, and none is missing."""
    return isinstance(kind, (Numeric, Label, Weight)) and kind.notation == USUAL and not found.gone and not getattr(kind, "classes", ())
