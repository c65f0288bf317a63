"""Raw tables in; out comes what their columns hold, and what mrdl would make of them."""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mrdl.config import typed
from mrdl.data.sniff import sniff
from mrdl.data.sources import demand, expand, listed
from mrdl.data.survey import Facts
from mrdl.data.tables.asked import Asked
from mrdl.data.tables.inference import Inferred
from mrdl.data.tables.table import Table
from mrdl.driver.preparation import planning
from mrdl.driver.preparation.columns import surveyed
from mrdl.runners.cluster import Cluster
from mrdl.runners.cluster import opened as cluster_of


@dataclass(frozen=True)
class Described:
    """What raw tables hold, and what mrdl makes of them.

    Attributes:
        table: the schema; table.dump() is what schema.json holds.
        inferred: the kind of each column, warnings, and the statistics of each column.
        records: how many rows there are, and which are bad.
        sizes: the bytes of each file.
        notes: what was decided about the input, in words."""
    table: Table
    inferred: Inferred
    records: Facts
    sizes: dict[str, int]
    notes: list[str]


def infer_schema(inputs: str | list[str], runner: str | Cluster = "local", *, cores: int | None = None,
                 label: str | None = None, weight: str | None = None, ids: Sequence[str] = (),
                 drop: Sequence[str] = (), columns: Sequence[str] | None = None,
                 kinds: Mapping[str, str | dict[str, Any]] | None = None, missing: Sequence[str] = (),
                 header: bool | None = None, delimiter: str | None = None, decimal: str | None = None,
                 skip: int | None = None, encoding: str | None = None, multiline: bool = False,
                 on_task: Callable[[str, int, int], None] | None = None) -> Described:
    """What the columns of raw tables hold, and what mrdl would make of them.

    One MapReduce job reads all rows; where the inputs are a few megabytes, this process does. Columns are named by their names, or by their numbers from 0 (-1 is the last one).

    Args:
        inputs: a path, a folder or a pattern, or several, local or hdfs://: CSV, TSV and the like,
            JSON lines, Parquet, ORC or Avro.
        runner: "inline", "local", "hadoop" or "spark"; or a Cluster, which stays open.
        cores: tasks that run at once on this machine. None: one for each core.
        label: the column to predict. None: there is none.
        weight: the column of the rows' weights. None: all weigh 1.
        ids: columns that name a row: they are no features.
        drop: columns to leave out.
        columns: the features. None: all columns that are nothing else.
        kinds: of columns the kind, as "categorical", or what schema.json would say of it. None:
            what their values look like.
        missing: words for missing values, beside the usual ones.
        header: whether the first line has the names of the columns. None: as the lines look.
        delimiter: what stands between the fields: one character; " " is any run of blanks and
            tabs. None: as the lines look.
        decimal: "." or ",": what stands before the fraction of numbers. None: as each column looks.
        skip: how many lines stand above the header of each file. None: none.
        encoding: of text, as Python calls it: "latin-1", "cp1252", "utf-16" and so on. None: UTF-8.
        multiline: whether quoted fields may go on over several lines.
        on_task: called as tasks end: on_task(kind, done, total). None: not called.

    Returns:
        The schema, with the statistics and warnings by which it was made.

    Raises:
        DataError: the inputs cannot be read as a table, or columns are not there or cannot be what
            is asked: a line for each.
        JobFailed: the job failed."""
    paths = expand(listed(inputs))
    schema = sniff(paths, header=header, delimiter=delimiter, multiline=multiline, decimal=decimal, skip=typed(skip, int | None, "skip"),
                   encoding=encoding)
    demand(schema.tabular, f"{paths[0]}: is no table of text; mrdl prepare reads it, and mrdl describe DATA "
           "describes what that made")

    asked = Asked(label, weight, ids, drop, columns, kinds or {}, missing, decimal=decimal).among(schema.columns)
    with cluster_of(runner, cores) as cluster:
        inferred, records = surveyed(schema, asked, cluster, f"mrdl describe {paths[0]}", on_task)
    return Described(Table(inferred.columns, schema.form), inferred, records, planning.sizes(schema), schema.notes)
