"""Raw inputs in, a dataset out, by one MapReduce job."""
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from mrdl.config import typed
from mrdl.data import blocks
from mrdl.data.dataset import DESCRIPTION, Dataset, Description, load
from mrdl.data.preparation import BLOCK, Plan
from mrdl.data.readers.text import Corpus
from mrdl.data.schema import Schema, Wanted
from mrdl.data.sniff import sniff
from mrdl.data.sources import demand, expand, listed
from mrdl.data.tables.asked import Asked
from mrdl.data.tables.table import Table
from mrdl.data.tokenizer import MOST
from mrdl.driver.notebook import notebook
from mrdl.driver.preparation import planning
from mrdl.driver.preparation.columns import given, inferred, known, of_dataset, tabled
from mrdl.driver.preparation.outcome import description, held_out, tolerated
from mrdl.driver.preparation.quarantine import quarantined, vacant_for_bad
from mrdl.driver.preparation.text import counted, long_enough, schema_of
from mrdl.jobs.prepare import Prepare
from mrdl.runners.cluster import Cluster
from mrdl.runners.cluster import opened as cluster_of
from mrdl.runners.output import Output
from mrdl.runs.filling import filling, names
from mrdl.storage.base import Storage
from mrdl.storage.paths import is_folder, opened, place
from mrdl.storage.schemes import store_at
from mrdl.storage.sealed import check, seal

BEGUN, PARTS = "_preparing", ("part-*",)


def prepare(inputs: str | list[str], data: str, runner: str | Cluster = "local", *, cores: int | None = None,
            label: str | None = None, weight: str | None = None, shards: int | None = None, hold_out: float = 0.0,
            seed: int = 0, max_bad: float | None = None, dtype: str = "float32",
            classes: int | None = None, format: str | None = None, unit: str | None = None,
            sequence_length: int | None = None, vocabulary: int | None = None, like: str | None = None,
            header: bool | None = None, delimiter: str | None = None, decimal: str | None = None,
            skip: int | None = None, encoding: str | None = None, drop: Sequence[str] = (), schema: str | None = None,
            sparse: bool | None = None, ids: Sequence[str] = (), columns: Sequence[str] | None = None,
            kinds: Mapping[str, str | dict[str, Any]] | None = None, missing: Sequence[str] = (),
            stratify: bool = False, group: str | None = None,
            multiline: bool = False, quarantine: str | None = None,
            on_task: Callable[[str, int, int], None] | None = None,
            said: Callable[[str], None] = lambda text: None) -> Dataset:
    """Parses, shuffles and packs inputs into a dataset, by one MapReduce job.

    About `hold_out` of the rows make validation shards, equal ones together. With format="text"
    rows are sequences of tokens, each with the one that follows as its target; a job before counts
    the tokens. What is made of a table's columns is decided by all its rows, as `infer_schema`
    does, unless a schema or another dataset says it. Columns are named by their names, or by their
    numbers from 0 (-1 is the last one).

    Args:
        inputs: a path, a folder or a pattern, or several, local or hdfs://: CSV, TSV or JSON lines (also
            packed), Parquet, ORC, Avro, .npz, IDX, or text.
        data: the folder to make, a path or an hdfs:// URL; there must be nothing in it.
        runner: "inline", "local", "hadoop" or "spark"; or a Cluster, which stays open. "local", as
            it needs nothing else.
        cores: tasks that run at once on this machine. None: one for each core.
        label: the column of the labels, of an .npz the array. None: a table has no labels, and all
            its columns are features; of an .npz "y" or "y_train" is taken.
        weight: the column or array of the examples' weights. None: all weigh 1.
        shards: how many shards of training data to make, 1 or more. None: one for each 64 MB, at
            least 2.
        hold_out: the share of the rows for validation, at least 0 and below 1. 0.0: none.
        seed: of the shuffle and of what is held out, from 0 to 2^64 - 1.
        max_bad: the share of the records that may be bad, from 0 to 1. None: 0.001, as more is a
            mistake in the input or in these arguments; of few records one, or up to five if these
            are at most a tenth.
        dtype: "float32" or "float64", in which fractions are written; whole numbers from 0 to 255
            are bytes.
        classes: how many classes there are, 2 or more: labels must be whole numbers below it,
            others are bad records. None: one more than the largest label, where all are whole and
            not below 0.
        format: "text" for sequences of characters or words. None: rows of numbers.
        unit: of a text: "char" or "word". None: "char".
        sequence_length: of a text: tokens of a sequence. None: 100.
        vocabulary: of a text: how many tokens its vocabulary keeps at most, the most frequent ones.
            None: 65,536, as an id has two bytes.
        like: a dataset whose columns are taken, by name and in its order; of a text its vocabulary,
            unit and length. None: what the inputs have.
        header: whether the first line of text inputs has the names of the columns. None: as their
            lines look.
        delimiter: what stands between the fields of text inputs: one character; " " is any run of
            blanks and tabs. None: as their lines look.
        decimal: "." or ",": what stands before the fraction of the numbers in text inputs. None: as
            each column looks.
        skip: how many lines stand above the header of each text input. None: none.
        encoding: of text inputs, as Python calls it: "latin-1", "cp1252", "utf-16" and so on. None: that
            of `schema` or `like`, or else UTF-8.
        drop: the columns to leave out.
        schema: a schema.json (docs/tables.md), which says what is made of each column. None: it is
            inferred from all rows.
        sparse: whether of each row only those features are stored that are not 0. None: where a
            table has more than 1,024 features, at most a quarter of which are not 0.
        ids: columns that name a row: they are no features.
        columns: the features. None: all columns that are nothing else.
        kinds: of columns the kind, as "categorical", or what schema.json would say of it. None:
            what their values look like.
        missing: words for missing values, beside the usual ones.
        stratify: whether the rows that are held out keep the share of each class, to one row or 1
            % of it. Labels must have at most 256 values. False: each row is held out by chance.
        group: the column of which all rows with one value are held out, or none of them, and are in
            one shard, so that folds keep them together. It is an id, no feature, unless a schema, `kinds` or `like` say something else of it. None: only
            equal rows are kept together.
        multiline: whether quoted fields of text inputs may go on over several lines: one task then
            reads all of a file.
        quarantine: a folder for the bad records, whole, each with its file, place and reason, as
            lines of JSON; also where there are more than `max_bad` allows. None: only some of them
            are shown.
        on_task: called as tasks end: on_task(kind, done, total). None: not called.
        said: called with what is to be told before the job begins, in words.

    Returns:
        The dataset.

    Raises:
        DataError: an argument is out of its range, there is something in `data`, or more records
            are bad than `max_bad` allows: it shows some, and `data` is not made.
        JobFailed: the job failed."""
    store = store_at(data)
    hold_out, max_bad = typed(hold_out, float, "hold_out"), typed(max_bad, float | None, "max_bad")
    shards, classes = typed(shards, int | None, "shards"), typed(classes, int | None, "classes")
    sparse = typed(sparse, bool | None, "sparse")
    sequence_length = typed(sequence_length, int | None, "sequence_length")
    vocabulary = typed(vocabulary, int | None, "vocabulary")
    checked(hold_out, max_bad, shards, classes, seed, dtype, stratify, group)
    _vacant(data, store)
    demand(quarantine is None or format is None, "quarantine: only possible with rows")
    vacant_for_bad(quarantine)
    other = None if like is None else load(like)
    found = recognised(inputs, label, weight, classes, format, unit, sequence_length, vocabulary, other,
                       None if format else known(schema, other), header=header, delimiter=delimiter, multiline=multiline, decimal=decimal,
                       skip=typed(skip, int | None, "skip"), encoding=encoding)
    asked = agree(found, classes, schema, other, Asked(label, weight, ids, drop, columns, kinds or {}, missing, group, decimal=decimal))
    with cluster_of(runner, cores) as cluster, tempfile.TemporaryDirectory(prefix="prepare-", dir=cluster.tmp) as folder, ExitStack() as stack:
        found = planning.reachable(found, cluster)
        if format == "text" and not found.vocabulary:
            found = counted(found, vocabulary or MOST, cluster, f"mrdl vocabulary {data}", on_task)
        found = understood(found, cluster, f"mrdl describe {data}", classes, schema, other, asked, on_task, said, stratify, sparse)
        plan, reducers = planning.planned(found, shards, hold_out, seed, dtype, classes, stratify)
        if quarantine is not None:
            plan = replace(plan, quarantine=stack.enter_context(notebook(cluster)).url)
        tasks, split, settings = planning.inputs(found, folder, cluster)
        if len(planning.sizes(found)) > 1 or reducers <= plan.shards:
            said(planning.told(plan, tasks, reducers))

        def job(plan: Plan) -> Output:
            plan.dump(path := os.path.join(folder, "plan.json"))
            return cluster.run(Prepare, tasks, ["--plan", path], reducers=reducers, split=split, name=f"mrdl prepare {data}",
                               settings={**settings, **planning.settings(found, plan)}, packages=found.needs, on_task=on_task)
        _fill(store, plan, job, max_bad, not (schema or like), lambda count: quarantined(plan, quarantine, count, said))
    return load(data)


def understood(found: Schema, cluster: Cluster, name: str, classes: int | None, schema: str | None, like: Dataset | None,
               asked: Asked, on_task: Callable[[str, int, int], None] | None, said: Callable[[str], None], stratify: bool,
               sparse: bool | None) -> Schema:
    """The schema of inputs, with what is made of the columns of a table; `name`: of the job that may look at all rows for it."""
    if found.tabular:
        known = given(schema) if schema else of_dataset(like) if like else None
        found = inferred(found, asked, cluster, name, on_task, said) if known is None else tabled(found, known, asked)
    _labelled(classes, found.target == [])
    demand(not stratify or found.target == [], "stratify: there is no column of labels, so there are no classes")
    found = found.stored(sparse)
    return found if asked.group is None else replace(found, group=asked.group, kept=[*found.kept, asked.group])


def agree(found: Schema, classes: int | None, schema: str | None, like: Dataset | None, asked: Asked) -> Asked:
    """What is asked of the inputs' columns; DataError where it does not fit the inputs, or each other."""
    decides = [name for name in ("columns", "kinds", "missing", "decimal") if getattr(asked, name)]
    odd = decides + [name for name, value in (("schema", schema), ("ids", asked.ids), ("drop", asked.drop), ("group", asked.group)) if value]
    demand(found.tabular or not odd, f"{', '.join(odd)}: only possible with a table of columns")
    demand(not (schema and like), "schema and like: each says what is made of all columns: leave out one of them")
    demand(not decides or not (schema or like),
           f"{'schema' if schema else 'like'}: says what is made of all columns: leave out {', '.join(decides)}")
    _labelled(classes, found.target is not None or asked.label is not None or bool(schema or like))
    if not found.tabular:
        demand(like is None or like.text is not None, "like: only possible with a table of columns, or with format text")
        return asked
    demand(like is None or like.named or not found.named, f"{like and like.url}: its columns have no names, as its input had no header: nothing "
           "can be matched with them")
    # a table takes of columns of one name those alone that it needs
    return replace(asked, amount=classes is not None).among(list(dict.fromkeys(found.columns)) if schema or like else found.columns)


def checked(hold_out: float, max_bad: float | None, shards: int | None, classes: int | None, seed: int, dtype: str, stratify: bool,
            group: str | None) -> None:
    """DataError where one of the numbers is out of its range, or what decides about rows that are held out does not fit."""
    demand(hold_out or not stratify, "stratify: says how rows are held out, so hold_out must say how many")
    demand(not (stratify and group), "stratify and group: the rows of a group may be of several classes: choose one of both")
    demand(0 <= hold_out < 1, f"hold_out {hold_out}: must be at least 0 and below 1")
    demand(max_bad is None or 0 <= max_bad <= 1, f"max_bad {max_bad}: must be from 0 to 1")
    demand(shards is None or shards >= 1, f"shards {shards}: must be 1 or more")
    demand(classes is None or classes >= 2, f"classes {classes}: must be 2 or more")
    demand(isinstance(seed, int) and 0 <= seed < 2**64,
           f"seed {seed}: must be a whole number, at least 0 and below 2**64")
    demand(dtype in ("float32", "float64"), f"dtype {dtype}: must be float32 or float64")


def recognised(inputs: str | list[str], label: str | None, weight: str | None, classes: int | None,
               format: str | None, unit: str | None, sequence_length: int | None, vocabulary: int | None,
               like: Dataset | None, table: Table | None, **written: Any) -> Schema:
    """What the inputs are; DataError where the arguments do not fit them, or each other."""
    inputs = expand(listed(inputs))
    demand(format in (None, "text"), f"format {format}: must be text, or left out for rows of numbers")
    if format == "text":
        demand(label is None and weight is None and classes is None and not Wanted(**written).of_text and not written["encoding"],
               "text has no columns: leave out label, weight, classes, " + ", ".join(written))
        return schema_of(inputs, unit, sequence_length, vocabulary, like)
    of_text = {"unit": unit, "sequence_length": sequence_length, "vocabulary": vocabulary}
    odd = [name for name, value in of_text.items() if value is not None]
    demand(not odd, f"{', '.join(odd)}: only possible with format text")
    return sniff(inputs, label, weight, known=table, **written)


def _labelled(classes: int | None, there: bool) -> None:
    demand(classes is None or there, "classes: there is no column of labels for them; name it with label")


def _fill(store: Storage, plan: Plan, job: Callable[[Plan], Output], max_bad: float | None, missing: bool, bad_told: Callable[[int], None]) -> None:
    """Runs the job and makes a dataset of its output; once more where better rows to hold out are known then. `missing`: as of
    `tolerated`; `bad_told` is called with the count of bad records."""
    distinct = None
    while True:
        with job(plan) as output:
            *_, last = output.lines(plan.shards % len(output.parts))
            facts = json.loads(last)
            if isinstance(plan.schema, Corpus):
                long_enough(plan.schema, facts)
            bad_told(sum(facts["bad"].values()))
            hint = "" if plan.quarantine or facts["characters"] else "; to keep all of them, whole: --quarantine FOLDER"
            bad = tolerated(facts, max_bad, hint, missing)
            distinct = facts["distinct"] or distinct
            chosen, notes = held_out(plan, facts, distinct)
            if chosen is None:
                return _commit(store, output, description(plan, facts, bad, notes))
        plan = replace(plan, held=chosen)


def _vacant(data: str, store: Storage) -> None:
    """DataError where the folder has something in it, other than what a prepare that died left."""
    folder, name = place(store.url)
    demand(not folder.exists(name) or is_folder(data), f"{data}: exists and is a file")
    there = names(store)
    demand(DESCRIPTION not in there, f"{data}: there is a dataset already; remove it, or "
           "choose another folder")
    demand(not there or BEGUN in there, f"{data}: exists and is not empty")


def _last_block(path: str) -> dict:
    """How many blocks a shard has and the seal of the last one, read from its end."""
    with opened(path) as file:
        size, back = file.seek(0, os.SEEK_END), 2 * BLOCK
        while True:
            start = max(0, size - back)
            file.seek(start)
            *others, last = file.read().removesuffix(b"\n").split(b"\n")
            if others or not start:
                break
            back *= 4                   # a row longer than that is a block of its own
    if not last:
        return {"blocks": 0, "seal": ""}
    block = blocks.unpack(last)
    return {"blocks": block.index + 1, "seal": block.seal}


def _parted(store: Storage, output, names: list[str]) -> None:
    """Writes the shards that are parts of parts: small ones, whose reducers had several."""
    for part in range(len(output.parts)):
        found: dict[int, list[bytes]] = {index: [] for index in range(part, len(names), len(output.parts))}
        for line in output.lines(part):
            if not line.startswith(b"{"):       # the facts
                found[blocks.unpack(line).shard].append(line + b"\n")
        for index, lines in found.items():
            store.write(names[index], b"".join(lines))


def _commit(store: Storage, output, description: dict) -> None:
    """Puts the shards in their place, and the description last: it makes them a dataset."""
    with filling(store, BEGUN, PARTS, lambda: _vacant(store.url, store)):
        shards = [shard["name"] for shard in description["shards"]]
        if len(output.parts) > len(shards):     # a part is a shard; the last one holds the facts
            for index, name in enumerate(shards):
                output.move(index, store.path(name))
        else:
            _parted(store, output, shards)
        for shard in description["shards"]:
            shard |= _last_block(store.path(shard["name"]))
        check(described := seal(description), Description, DESCRIPTION)
        store.create(DESCRIPTION, json.dumps(described, indent=1).encode() + b"\n")
