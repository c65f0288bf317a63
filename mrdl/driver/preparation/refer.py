"""Raw inputs in, a dataset by reference out: shards that name splits of the inputs, whose rows are parsed whenever they are
read. A job parses them once, to know what is in them."""
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import Any

from mrdl.config import typed
from mrdl.data.corpus import RANGE
from mrdl.data.dataset import DESCRIPTION, Dataset, Description, described, load
from mrdl.data.facts import merged
from mrdl.data.preparation import Plan
from mrdl.data.readers.text import Corpus
from mrdl.data.reference import Made, Piece, line, parse
from mrdl.data.schema import Schema
from mrdl.data.sources import demand
from mrdl.data.tables.asked import Asked
from mrdl.data.tokenizer import MOST
from mrdl.driver.notebook import notebook
from mrdl.driver.preparation import planning
from mrdl.driver.preparation.columns import known
from mrdl.driver.preparation.outcome import description, held_out, tolerated
from mrdl.driver.preparation.prepare import agree, checked, recognised, understood
from mrdl.driver.preparation.quarantine import quarantined, vacant_for_bad
from mrdl.driver.preparation.text import counted as counted_text
from mrdl.driver.preparation.text import long_enough
from mrdl.jobs.refer import Refer
from mrdl.printing import counted
from mrdl.runners import sharing
from mrdl.runners.cluster import Cluster
from mrdl.runners.cluster import opened as cluster_of
from mrdl.runs.filling import filling, names
from mrdl.storage.base import Storage
from mrdl.storage.packing import suffix
from mrdl.storage.partitions import within
from mrdl.storage.schemes import store_at
from mrdl.storage.sealed import check, seal

BEGUN = "_referring"
NOTE = ("the shards are splits of the raw files: rows are shuffled within some megabytes, but not between splits, so files that are "
        "sorted (by label, by date) train badly: prepare them; the same results come again as long as the files stay as they are")


@dataclass(frozen=True)
class Split:
    """What makes a training shard, and with what is held out of it a validation shard."""
    pieces: list[Piece]
    size: int                   # bytes


def refer(inputs: str | list[str], data: str, runner: str | Cluster = "local", *, cores: int | None = None,
          label: str | None = None, weight: str | None = None, shards: int | None = None, hold_out: float = 0.0, seed: int = 0,
          max_bad: float | None = None, dtype: str = "float32", classes: int | None = None, format: str | None = None,
          unit: str | None = None, sequence_length: int | None = None, vocabulary: int | None = None, like: str | None = None,
          header: bool | None = None, delimiter: str | None = None, decimal: str | None = None, skip: int | None = None,
          encoding: str | None = None, drop: Sequence[str] = (), schema: str | None = None, ids: Sequence[str] = (),
          columns: Sequence[str] | None = None, kinds: Mapping[str, str | dict[str, Any]] | None = None, missing: Sequence[str] = (),
          stratify: bool = False, group: str | None = None, folds: int | None = None, multiline: bool = False, sparse: bool | None = None,
          quarantine: str | None = None, replaces: bool = False,
          on_task: Callable[[str, int, int], None] | None = None, said: Callable[[str], None] = lambda text: None) -> Dataset:
    """Makes a dataset of raw inputs that stay where they are, by one map-only job.

    Its shards are splits of the inputs. Whoever reads a shard parses its rows anew, in the order of
    the files, as `prepare` does; the rows that are held out are those that `prepare` holds out. A
    dataset of the same inputs and options that is there already is taken as it is.

    Args:
        inputs: as for `prepare`; on a cluster they must be on hdfs://. They must stay as they are
            as long as the dataset is used.
        data: the folder to make, a path or an hdfs:// URL.
        runner: "inline", "local", "hadoop" or "spark"; or a Cluster, which stays open.
        cores: tasks that run at once on this machine. None: one for each core.
        label: as for `prepare`, and so are all arguments up to `group`, but:
        weight: the column or array of the examples' weights. None: all weigh 1.
        shards: how many splits to make. None: one for each 64 MB, at least 2. There are fewer where
            the inputs cannot be cut: a packed file is one split.
        hold_out: the share of the rows for validation.
        seed: of what is held out.
        max_bad: the share of the records that may be bad. None: as of `prepare`.
        dtype: "float32" or "float64", of fractions.
        classes: how many classes there are.
        format: "text" for sequences of characters or words, as of `prepare`.
        unit: of a text: "char" or "word".
        sequence_length: of a text: tokens of a sequence.
        vocabulary: of a text: how many tokens its vocabulary keeps at most.
        like: a dataset whose columns are taken, by name; of a text its vocabulary, unit and length.
        header: whether the first line of text inputs has the names of the columns.
        delimiter: what stands between the fields of text inputs.
        decimal: what stands before the fraction of their numbers.
        skip: how many lines stand above the header of each text input.
        encoding: of text inputs, as Python calls it.
        drop: the columns to leave out.
        schema: a schema.json, which says what is made of each column.
        ids: columns that name a row: they are no features.
        columns: the features.
        kinds: of columns the kind.
        missing: words for missing values, beside the usual ones.
        stratify: whether the rows that are held out keep the share of each class.
        group: the column of which all rows with one value are held out, or none of them. (They are
            in several shards.)
        folds: with `group`: how many folds are to be made of the shards. Each split makes so many
            shards, and a group is in the same fold of all splits. None: 1.
        multiline: whether quoted fields may go on over several lines.
        sparse: whether of each row only those features are given that are not 0. None: as prepare
            decides it.
        quarantine: a folder for the bad records, as of `prepare`. References that are there already
            leave it as it is.
        replaces: whether references that are there are made anew, also those to other rows or by
            other options. False: these are an error.
        on_task: called as tasks end: on_task(kind, done, total). None: not called.
        said: called with what is to be told before the job begins, in words.

    Returns:
        The dataset.

    Raises:
        ConfigError: the runner's tasks cannot read the inputs.
        DataError: an argument is out of its range, there is something else in `data`, or more
            records are bad than `max_bad` allows.
        JobFailed: the job failed."""
    store = store_at(data)
    hold_out, max_bad = typed(hold_out, float, "hold_out"), typed(max_bad, float | None, "max_bad")
    shards, classes = typed(shards, int | None, "shards"), typed(classes, int | None, "classes")
    folds = typed(folds, int | None, "folds") if group is not None else None
    checked(hold_out, max_bad, shards, classes, seed, dtype, stratify, group)
    demand(group is None or hold_out or folds, "group: says how rows are held out, so hold_out must say how many, or folds")
    vacant_for_bad(quarantine)
    demand(quarantine is None or format is None, "quarantine: only possible with rows")
    other = None if like is None else load(like)
    found = recognised(inputs, label, weight, classes, format, unit, typed(sequence_length, int | None, "sequence_length"),
                       typed(vocabulary, int | None, "vocabulary"), other, None if format else known(schema, other), header=header,
                       delimiter=delimiter, multiline=multiline, decimal=decimal, skip=typed(skip, int | None, "skip"), encoding=encoding)
    asked = agree(found, classes, schema, other, Asked(label, weight, ids, drop, columns, kinds or {}, missing, group, decimal=decimal))
    with cluster_of(runner, cores) as cluster, tempfile.TemporaryDirectory(prefix="refer-", dir=cluster.tmp) as folder, ExitStack() as stack:
        cluster.backend.reads(found.paths())
        there = described(data) if store.exists(DESCRIPTION) else None
        files, own = _files(found), _asked(found, asked, vocabulary)
        same = there if there and there.asked == own and _bare(there.raw or []) == _bare(files) and not (schema or other) else None
        if isinstance(found, Corpus) and not found.vocabulary:
            found = replace(found, vocabulary=same.text["vocabulary"]) if same else counted_text(
                found, vocabulary or MOST, cluster, f"mrdl vocabulary {data}", on_task)
        found = understood(found, cluster, f"mrdl describe {data}", classes, schema, other or same, asked, on_task, said, stratify,
                           typed(sparse, bool | None, "sparse"))
        demand(found.target is not None, f"{found.paths()[0]}: which column is to be predicted? Name it with label (--label)")
        splits = cut(found, shards)
        plan = planned(found, splits, hold_out, seed, dtype, classes, stratify, folds or 1)
        if there and there.uid == plan.uid(0) and not replaces:
            if there.raw != files:                          # the same files elsewhere
                said(f"{data}: the files are at another place now, such as {plan.schema.paths()[0]}")
                _fill(store, *_known(store, plan, splits, there), lambda: None)
            return load(data)

        def vacant() -> None:
            held = names(store)
            demand(not held or BEGUN in held or there is not None, f"{data}: exists and is not empty")
            demand(there is None or there.raw is not None and replaces, f"{data}: there is a dataset already, of other rows or by "
                   "other options (of columns, shards, rows held out, seed): give those that it was made by, or choose another folder")
        vacant()
        said(f"planned: {counted(len(splits), 'split')} of {counted(len(found.paths()), 'file')}, which stay where they are")
        if len(splits) < (shards or 0):
            said(f"these are fewer than {shards} shards, as packed files and those with fields over several lines are not cut, nor is what "
                 "Parquet, ORC and Avro have in a few megabytes: mrdl prepare makes as many as you say")
        if quarantine is not None:
            plan = replace(plan, quarantine=stack.enter_context(notebook(cluster)).url)
        plan, splits, made, shards_made = _counted(
            plan, splits, cluster, folder, f"mrdl refer {data}", max_bad, not (schema or other), on_task, lambda count: quarantined(plan, quarantine, count, said))
        _fill(store, plan, splits, made | {"asked": own}, shards_made, vacant)
    return load(data)


def cut(schema: Schema, wanted: int | None) -> list[Split]:
    """The splits of the inputs: ranges of lines of about equal size, or spans; the same on every runner. A packed file is not
    cut, and may make some of them larger, and others none. Of a text its one stream is cut."""
    if isinstance(schema, Corpus):
        total = sum(schema.counts)
        count = wanted or max(2, round(total / planning.SHARD))
        parts = max(1, round(total / count / RANGE))
        ends = [total * i // (count * parts) for i in range(count * parts + 1)]
        pieces = [[0, start, stop] for start, stop in pairwise(ends)]
        return [Split(pieces[i:i + parts], ends[i + parts] - ends[i]) for i in range(0, count * parts, parts)]
    if schema.by_lines:
        items = [((number, 0, None), length) for number, length in enumerate(map(planning.sizes(schema).__getitem__, schema.files))]
    else:
        items = schema.spans()
    sizes = [size for _, size in items]
    each = max(1, -(-sum(sizes) // (wanted or max(2, round(sum(sizes) / planning.SHARD)))))
    found: dict[int, list[tuple[Piece, int]]] = {}
    for (piece, size), end in zip(items, accumulate(sizes)):
        begin = end - size
        if not schema.by_lines or schema.whole or suffix(schema.files[piece[0]]):
            found.setdefault(begin // each, []).append((list(piece), size))
            continue
        for split in range(begin // each, -(-end // each)):
            start, stop = max(0, split * each - begin), min(size, (split + 1) * each - begin)
            found.setdefault(split, []).append(([piece[0], start, stop], stop - start))
    return [Split([piece for piece, _ in some], sum(size for _, size in some)) for _, some in sorted(found.items())]


def planned(schema: Schema, splits: list[Split], hold_out: float, seed: int, dtype: str, classes: int | None,
            stratify: bool, folds: int) -> Plan:
    """The plan: of each split a training shard for each fold, and, where rows are held out, one for validation."""
    files = [(within(path), size) for path, size in planning.sizes(schema).items()]
    options = ["raw", [split.pieces for split in splits], hold_out, seed if hold_out else 0, dtype, classes,
               *["stratified"] * stratify, schema.label,
               schema.weight, *schema.decides(), *["sparse"] * schema.sparse, *[f"folds {folds}"] * (folds > 1), files]
    uid = blake2b(json.dumps(options).encode(), digest_size=8).hexdigest()
    validation = len(splits) if hold_out else 0
    return Plan(schema, uid, seed, [""] * (len(splits) * folds + validation + 1), validation, hold_out, dtype, classes, stratify=stratify, folds=folds)


def _counted(plan: Plan, splits: list[Split], cluster: Cluster, folder: str, name: str, max_bad: float | None, missing: bool,
             on_task: Callable[[str, int, int], None] | None, bad_told: Callable[[int], None]) -> tuple[Plan, list[Split], dict[str, Any], list[Made]]:
    """The plan, the splits, what data.json says of them, and what is in each shard, by a job; by another one where better rows
    to hold out are known then. `missing`: as of `tolerated`; `bad_told` is called with the count of bad records."""
    inputs, distinct = _tasks(splits, folder, cluster), None
    while True:
        plan.dump(path := os.path.join(folder, "plan.json"))
        with cluster.run(Refer, inputs, ["--plan", path], name=name, packages=plan.schema.needs,
                         on_task=on_task) as output:
            notes = [json.loads(line) for part in range(len(output.parts)) for line in output.lines(part)]
        notes.sort(key=lambda note: note["split"])
        shards = [shard for note in notes for shard in note["shards"][:plan.folds]] + [
            note["shards"][-1] for note in notes if plan.validation]
        facts = merged(fact for note in notes for fact in note["facts"]) | {"rows": [shard["n"] for shard in shards], "content": 0}     # sizes tell files apart
        bad_told(sum(facts["bad"].values()))
        if isinstance(plan.schema, Corpus):
            long_enough(plan.schema, facts)
        bad = tolerated(facts, max_bad, missing=missing)
        distinct = facts["distinct"] or distinct
        chosen, told = held_out(plan, facts, distinct)
        if chosen is None:
            made = description(plan, facts, bad, [*told, NOTE])
            for part, shard in zip(made["shards"], shards, strict=True):
                part |= {"blocks": len(shard["seals"]), "seal": shard["seals"][-1] if shard["seals"] else ""}
            return plan, splits, made | ({"folds": plan.folds} if plan.folds > 1 else {}), shards
        plan = replace(plan, held=chosen)


def _tasks(splits: list[Split], folder: str, cluster: Cluster) -> list[list[str]]:
    """The input of each mapper: a file of lines, a split each; small splits share one."""
    found, numbered, slots = [], list(enumerate(splits)), cluster.slots()
    hands = sharing.hands_of(numbered, lambda item: item[1].size, slots) if slots else [[item] for item in numbered]
    for hand in hands:
        found.append([os.path.join(folder, f"splits-{len(found):06d}")])
        with open(found[-1][0], "w", encoding="ascii") as file:
            file.writelines(json.dumps([number, split.pieces]) + "\n" for number, split in hand)
    return found


def _files(schema: Schema) -> list[dict[str, Any]]:
    return [{"path": path, "size": size} for path, size in planning.sizes(schema).items()]


def _bare(files: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Files by what matters of them, wherever they lie."""
    return [(within(file["path"]), file["size"]) for file in files]


def _asked(found: Schema, asked: Asked, vocabulary: int | None) -> str:
    """A hash of what the user says of the columns, and of how they are read: what decides their kinds, or the vocabulary of a text,
    beside the rows."""
    options = [asdict(asked), found.columns, getattr(found, "form", {}), *([found.unit, found.shape, vocabulary] if isinstance(found, Corpus) else [])]
    return blake2b(json.dumps(options, sort_keys=True).encode(), digest_size=8).hexdigest()


def _known(store: Storage, plan: Plan, splits: list[Split], there: Dataset) -> tuple[Plan, list[Split], dict[str, Any], list[Made]]:
    """As _counted, of references that are there."""
    made = {name: value for name, value in json.loads(store.read(DESCRIPTION)).items() if name != "seal"}
    lines = [parse(store.read(shard.name).rstrip(b"\n")) for shard in there.shards]
    return replace(plan, held=lines[0][0].held), splits, made, [asked["made"] for _, asked in lines]


def _fill(store: Storage, plan: Plan, splits: list[Split], made: dict[str, Any], shards: list[Made], vacant: Callable[[], None]) -> None:
    """Writes the references, and the description last: it makes them a dataset."""
    check(sealed := seal({**made, "raw": _files(plan.schema)}), Description, DESCRIPTION)
    with filling(store, BEGUN, (DESCRIPTION, "part-*"), vacant):
        for number, (part, shard) in enumerate(zip(made["shards"], shards, strict=True)):
            split = plan.split(number, len(splits))
            store.write(part["name"], line(plan, splits[split].pieces, number, shard) + b"\n")
        store.create(DESCRIPTION, json.dumps(sealed, indent=1).encode() + b"\n")
