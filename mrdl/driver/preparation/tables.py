"""Statistics of the columns of tables, by one MapReduce job; or in this process, where the inputs are small."""
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from mrdl.data.records import Records
from mrdl.data.schema import Schema
from mrdl.data.survey import RECORDS, Columns, Facts, Survey
from mrdl.data.tables.inference import notation
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.words import MISSING, USUAL, Notation
from mrdl.driver.preparation import planning
from mrdl.jobs.columns import SurveyColumns
from mrdl.runners.cluster import Cluster

HERE = 4 << 20                  # bytes of input, up to which no job is worth its start
PART = 256 << 20                # bytes of input whose statistics make a reducer
HEAD, HEADS = 1000, 4           # rows, and of how many files, that show how numbers are written

OnTask = Callable[[str, int, int], None] | None
Found = tuple[dict[str, Statistics], Facts]     # of each column, and of the records


def statistics_of(schema: Schema, cluster: Cluster, label: str | None, name: str, on_task: OnTask = None,
                  missing: Sequence[str] = MISSING, written: Mapping[str, Notation] | None = None,
                  decimal: str | None = None) -> Found:
    """What each column of a tabular schema holds, and what is said of the records.

    Args:
        schema: the inputs'.
        cluster: where the job runs.
        label: the column whose labels other columns may tell.
        name: the job's, in Hadoop's web pages.
        on_task: called as tasks end: on_task(kind, done, total). None: not called.
        missing: the words for missing values.
        written: how the numbers of some columns are written. None: as the first lines look.
        decimal: what stands before the fraction of all others. None: as the first lines look."""
    seen = dict(zip(schema.columns, notations(schema, decimal))) | (written or {})
    survey = Survey(schema, label, list(missing), [seen[name] for name in schema.columns])
    if sum(planning.sizes(schema).values()) <= HERE:
        return counted_here(survey)
    return counted_by_job(survey, cluster, name, on_task)


def counted_here(survey: Survey) -> Found:
    """The statistics in this process."""
    columns = Columns(survey)
    for path, lines in survey.schema.here():
        columns.read(path if "://" in path else os.path.abspath(path), 0, lines)
    return columns.statistics, columns.facts


def counted_by_job(survey: Survey, cluster: Cluster, name: str, on_task: OnTask = None) -> Found:
    """The statistics by a job."""
    schema, size = survey.schema, sum(planning.sizes(survey.schema).values())
    reducers = max(1, min(len(schema.columns) + 1, cluster.slots(), size // PART))
    with tempfile.TemporaryDirectory(prefix="survey-", dir=cluster.tmp) as folder:
        replace(survey, schema=planning.reachable(schema, cluster)).dump(path := os.path.join(folder, "survey.json"))
        tasks, split, settings = planning.inputs(schema, folder, cluster)
        with cluster.run(SurveyColumns, tasks, ["--survey", path], reducers=reducers, split=split, name=name, on_task=on_task,
                         settings=settings, packages=schema.needs) as output:
            found = dict(line.split(b"\t", 1) for part in range(len(output.parts)) for line in output.lines(part))
    facts = Facts(**json.loads(found.pop(RECORDS)))
    columns = (Statistics.load(found[key]) for key in sorted(found))
    return dict(zip(dict.fromkeys(schema.columns), columns, strict=True)), facts


def notations(schema: Schema, decimal: str | None = None) -> list[Notation]:
    """How the numbers of each column are written, as the first rows look."""
    words: dict[str, set[str]] = {name: set() for name in schema.columns}
    for path, lines in islice(schema.here(), HEADS):
        for columns, *_ in islice(schema.rows(Records(path), lines), 1):
            for name, column in columns.items():
                words[name].update(word.decode("utf-8", "surrogateescape") for word in column.take(slice(HEAD)))
    return [notation(words[name], decimal) if words[name] else USUAL._replace(decimal=decimal or USUAL.decimal) for name in schema.columns]
