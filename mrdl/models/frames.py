"""Raw rows in Python: a path, dicts, or the columns of a data frame in; the features of a model out."""
import datetime
import math
import os
import warnings
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from mrdl.data.readers.in_order import Kept, Ordered, encoded, in_order
from mrdl.data.readers.json_paths import leaves, name_of
from mrdl.data.records import unseen_told
from mrdl.data.sources import DataError, demand, listed
from mrdl.data.sparse import Csr, together
from mrdl.data.tables.kinds import Boolean, Categorical, Date, Kind
from mrdl.data.tables.table import Table
from mrdl.data.tables.words import Words
from mrdl.models.features import by_place, matched, table_of, without_rest
from mrdl.storage.sealed import shown

MODEL = "the model"
PATH = str, os.PathLike
SHOWN = 5                       # bad rows that are named
DAYS = {"DMY": "%d/%m/%Y", "MDY": "%m/%d/%Y"}


def is_raw(model, x: Any) -> bool:
    """Whether it is raw rows: a path, a list of paths or of dicts, or, of a model that knows columns, a data frame (what has
    columns, and gives them by name), a table of Arrow, or columns by their names."""
    if isinstance(x, (list, tuple)):
        return len(x) > 0 and isinstance(x[0], (Mapping, *PATH))
    return isinstance(x, PATH) or bool(model.features) and (
        hasattr(x, "columns") and hasattr(x, "__getitem__") or isinstance(x, Mapping) and not {*x} <= {*model.input_names()})


def examples(model, x: Any) -> np.ndarray | Csr:
    """The features of raw rows, in the model's dtype; DataError names those that cannot be read."""
    table = table_of(model, MODEL)
    of_files = isinstance(x[0] if isinstance(x, (list, tuple)) else x, PATH)
    records, take = Kept(), _of_files if of_files else _of_columns
    parts = list(take(x, table, records, model.dtype))
    for told in unseen_told(records.unseen):
        warnings.warn(told, stacklevel=3)
    errors, n = [], 0
    for part in parts:
        errors += [f"row {n + i}: {error}" for i, error in enumerate(part.errors) if error]
        n += len(part.errors)
    if errors:
        raise DataError("\n  ".join([f"{len(errors):,} of {n:,} rows cannot be read:", *errors[:SHOWN]]))
    return together([part.x for part in parts]) if parts else np.empty((0, table.width), model.dtype)


def _of_files(inputs: Any, table: Table, records: Kept, dtype: np.dtype) -> Iterable[Ordered]:
    schema, _ = matched(listed(inputs), table, MODEL)
    for name, lines in schema.here():
        records.file = name
        yield from in_order(schema, records, lines, dtype)


def _flat(row: Mapping) -> Iterable[tuple[Any, Any]]:
    """The columns of a row: of objects and arrays in it as those of JSON lines are called."""
    for name, value in row.items():
        if isinstance(value, (dict, list)):
            yield from ((name_of((str(name), *path)), inner) for path, inner in leaves(value))
        else:
            yield name, value


def _of_columns(x: Any, table: Table, records: Kept, dtype: np.dtype) -> Iterable[Ordered]:
    table = without_rest(table)
    if hasattr(x, "to_pylist"):                 # of Arrow
        x = x.to_pylist() or {name: [] for name in x.schema.names}
    if isinstance(x, (list, tuple)):
        odd = next((i for i, row in enumerate(x) if not isinstance(row, Mapping)), None)
        demand(odd is None, f"row {odd} is {'' if odd is None else shown(x[odd])}; all rows must be dicts, as row 0 is")
        x = [dict(_flat(row)) for row in x]
        x = {name: [row.get(name) for row in x] for name in dict.fromkeys(name for row in x for name in row)}
    if isinstance(x, Mapping):
        lengths = {name: None if np.ndim(values) == 0 else len(values) for name, values in x.items()}
        demand(None not in lengths.values(), "a single row: give a list of rows, [row], or a column of values for each name")
        demand(len({*lengths.values()}) < 2, f"the columns differ in length: {shown(lengths)}")
    names = [str(name) for name in getattr(x, "columns", x)]
    if len(names) == len(table.columns):
        table = by_place(table, names)
    table.match(names, "the rows", rest=False)
    own = {str(name): name for name in getattr(x, "columns", x)}
    columns = {name: Words.of([word(value, table.columns[name]) for value in x[own[name]]]) for name in table.needed(False)}
    starts = np.arange(len(next(iter(columns.values()))))
    yield encoded(table, records, columns, starts, [b""] * len(starts), dtype)


def word(value: Any, kind: Kind) -> str:
    """A value as a file would have it."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        return value.strip(" \t")
    if value is None or type(value).__name__ in ("NAType", "NaTType") or _is_nan(value):
        return "" if "" in kind.missing_words or not kind.missing_words else kind.missing_words[0]
    if isinstance(value, (bool, np.bool_)):
        return (kind.true if value else kind.false)[0] if isinstance(kind, Boolean) else str(bool(value))
    if isinstance(value, np.datetime64):
        value = value.astype("M8[us]").item()
    if isinstance(value, datetime.date):
        return _day(value, kind.order if isinstance(kind, Date) else "YMD")
    if isinstance(value, (float, np.floating)):
        value = float(value)
        text = repr(value)
        whole = math.isfinite(value) and value.is_integer() and abs(value) < 2 ** 53
        if whole and not (isinstance(kind, Categorical) and text in kind.known):
            text = str(int(value))
        return _pointed(text, kind)
    return _pointed(str(value), kind) if isinstance(value, Decimal) else str(value)


def _pointed(number: str, kind: Kind) -> str:
    return number.replace(".", getattr(kind, "decimal", "."))


def _is_nan(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and math.isnan(value) or isinstance(value, np.datetime64) and np.isnat(value)


def _day(value: datetime.date, order: str) -> str:
    if order == "YMD":
        return value.isoformat()
    time = value.isoformat()[10:] if isinstance(value, datetime.datetime) else ""
    return value.strftime(DAYS[order]) + time
