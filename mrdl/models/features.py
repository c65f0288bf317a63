"""By which table a model takes raw rows."""
import json

from mrdl.config import ConfigError
from mrdl.data.tables.kinds import Label, Numeric, Weight
from mrdl.data.tables.table import Table
from mrdl.models.model import Model


def table_of(model: Model, where: str) -> Table:
    """What makes a model's features of the columns of raw rows; ConfigError where it was trained on other data. `where`: the
    model, for messages."""
    known = model.features or {}
    if known.get("text"):
        raise ConfigError(f"{where} was trained on text, so it takes no raw rows: prepare them with --format text --like the dataset that "
                          "it was trained on, and give the dataset")
    if known.get("table"):
        return Table.load(json.dumps(known["table"]).encode(), f"the schema of {where}")
    names, shape = known.get("columns"), model.input_shape
    if names is None and len(shape) == 1:
        names = list(map(str, range(shape[0])))     # as columns without a header are called
    if names is None or (len(names),) != shape:
        raise ConfigError(f"{where} takes examples of shape {shape}, which are no rows of a table: prepare them, and give the dataset")
    return Table({name: Numeric(missing="refuse") for name in names})


def without_rest(table: Table) -> Table:
    """The table of the features alone."""
    return Table({name: kind for name, kind in table.columns.items() if not isinstance(kind, (Label, Weight))}, table.form)


def class_names(table: Table) -> tuple[str, ...]:
    """Those of the label's column; none where its values are numbers."""
    return table.columns[table.label].classes if table.label is not None else ()
