"""Describes a dataset or a run: for `mrdl show`, and for the last lines of `mrdl prepare`."""
import argparse
import sys
from contextlib import suppress
from dataclasses import asdict
from shlex import quote
from statistics import median
from typing import Any

import numpy as np

from mrdl import printing
from mrdl.codings import coding
from mrdl.data.dataset import DESCRIPTION, Dataset, shown
from mrdl.data.dataset import described as of_folder
from mrdl.data.dataset import load as load_dataset
from mrdl.data.folds import apart
from mrdl.data.sparse import Csr
from mrdl.frequency import chosen
from mrdl.models.saving import model_from_json
from mrdl.outer import updater
from mrdl.report import folded, searched
from mrdl.report import history as report
from mrdl.report.progress import clock
from mrdl.rounds.record import measured
from mrdl.runs import searches
from mrdl.runs.run import Run
from mrdl.storage.schemes import store_at

FIRST = 20                      # columns that are shown
MOST = 1000                     # labels above this number are more likely to be amounts than classes


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def counts(made: Dataset) -> dict[str, Any]:
    """The facts about a dataset for --json."""
    train, held = (sum(s.n for s in part) for part in (made.train(), made.validation()))
    return {"data": made.url, "rows": train, "held_out": held, "shards": len(made.train()),
            "bad": made.bad.get("count", 0), "unknown": made.unknown.get("count", 0), "notes": made.notes}


def labels(made: Dataset, rows: int) -> str:
    """A text for the user: the number of classes, if labels look like classes; else their smallest and largest value. They
    look like classes with --classes; or if they begin at 0, are not too many, have enough rows each, and no large gaps."""
    target = made.target
    if target is not None and made.text:
        return f", {target.classes} classes"
    if target is None or target.low is None:
        return ""
    if target.low == target.high:
        return f", every label is {target.low:.15g}"
    k = target.classes
    if k and (target.high + 1 < k or (target.low == 0 and (k == 2 or (k <= MOST and 10 * k <= rows and _dense(made.first()["y"], k))))):
        return f", {k} classes"
    return f", labels from {target.low:.15g} to {target.high:.15g}"


def _dense(y: np.ndarray, k: int) -> bool:
    """True if a sample of labels has about as many of the k classes as one would expect."""
    return 2 * len(np.unique(y)) >= min(k, len(y) // 10)


def described(made: Dataset) -> list[str]:
    """Lines about a dataset: its rows, and bad records."""
    train, held = (sum(s.n for s in part) for part in (made.train(), made.validation()))
    lines = [f"{made.url}: {printing.counted(train, 'row')} in {printing.counted(len(made.train()), 'shard')}"
             + (f", {held:,} held out in {len(made.validation())}" if held else "")
             + f", examples of shape {tuple(made.shape)}" + labels(made, train + held)]
    if len(made.train()) > max(2, train):
        lines.append(f"more shards than rows: {sum(not s.n for s in made.train())} of {len(made.train())} are empty")
    if made.target is None:
        lines.append("there are no labels" + (f", each of the {len(made.columns)} columns is a feature; to train on one of them: "
                                              "prepare with --label COLUMN" if made.columns else ""))
    lines += made.notes
    if lacking := made.lacking():
        lines.append(lacking)
    if made.bad.get("count"):
        what = "characters were bad and replaced" if made.text else "records were bad and left out"
        lines.append(f"{made.bad['count']} of {made.bad['of']} {what}:")
        lines += ["  " + shown(sample) for sample in made.bad["samples"]]
    return lines


def show(a: argparse.Namespace) -> dict[str, Any]:
    place = store_at(apart(a.run)[0])
    for file, shows in ((DESCRIPTION, show_dataset), (folded.FILE, show_folds), (searches.FILE, show_search)):
        if place.exists(file):
            return shows(a)
    return show_run(a)


def show_search(a: argparse.Namespace) -> dict[str, Any]:
    place = searches.Search(a.run)
    asked, rungs = place.asked(), place.rungs()
    rows = searched.ranked(asked, rungs, searched.so_far(place, asked, rungs))
    if not a.json:
        done = not any(row["state"] == "training" for row in rows)
        print(f"{place.url}: {asked['strategy']} search of {printing.counted(len(rows), 'configuration')} on {asked['data']['url']}, by {asked['metric']}, "
              f"{printing.counted(asked['options']['workers'], 'worker')} each; {printing.counted(len(rungs), 'rung')} of {searched.length(asked)} done")
        print(*searched.table(asked, rows), sep="\n")
        print(f"the best: {place.run(rows[0]['configuration'])}" if done else f"not finished; go on with: mrdl resume {quote(a.run)}")
    return {"run": place.url, **{key: asked[key] for key in ("strategy", "metric", "options")}, "data": asked["data"]["url"],
            "rungs": len(rungs), "table": rows}


def told_search(a: argparse.Namespace, found: Any) -> dict[str, Any]:
    """Prints the table of a search that has ended; `found`: a mrdl.driver.search.Searched."""
    if not a.json:
        show_search(a)
    say(f"model: {found.run}/model.safetensors")
    return {"search": a.run, "reason": f"{printing.counted(len(found.table), 'configuration')} compared", "run": found.run, "values": found.values,
            "metrics": found.metrics, "table": found.table}


def show_folds(a: argparse.Namespace) -> dict[str, Any]:
    found = folded.read(store_at(a.run))
    done = len(found["scores"])
    if not a.json:
        print(f"{a.run}: {found['folds']} folds of {found['data']}, {done} done, in {a.run}/fold-1 and so on",
              *folded.table(found["scores"]) if done else (), sep="\n")
        if done < found["folds"]:
            print("to go on: mrdl train with the same arguments")
    mean, deviation = folded.spread(found["scores"])
    return {**found, "mean": mean, "deviation": deviation}


def show_dataset(a: argparse.Namespace) -> dict[str, Any]:
    made = load_dataset(a.run)
    arrays, tokenizer = made.first(), made.tokenizer()
    facts = {**counts(made), "shape": made.shape, "target": made.target and asdict(made.target),
             "weighted": made.weighted, "columns": made.columns, "label": made.label, "weight": made.weight,
             "arrays": {name: str(array.dtype) for name, array in arrays.items()}}
    lines = [*described(made), "arrays of a block: " + ", ".join(
        f"{name} {array.dtype} {('n', *array.shape[1:])}".replace("'", "") for name, array in arrays.items())]
    if isinstance(x := arrays.get("x"), Csr):
        lines.append(f"a row of the first block has {x.counts.mean():.4g} features that are not 0, at most {x.counts.max()}")
    if made.target and made.target.low is not None:
        lines.append(f"targets from {made.target.low:g} to {made.target.high:g}")
    if made.columns:
        more = len(made.columns) - FIRST
        lines.append("columns: " + ", ".join(name or "''" for name in made.columns[:FIRST])
                     + (f" and {more:,} more (all of them: --json)" if more > 0 else ""))
    lines += [f"{what}: " + (name or "''") for what, name in (("label", made.label), ("weight", made.weight)) if name is not None]
    if tokenizer:
        facts |= {"unit": tokenizer.unit, "vocabulary": tokenizer.vocabulary,
                  "first": [tokenizer.decode(x) for x in arrays["x"][:3]]}
        lines += [f"a text by {tokenizer.unit}; its vocabulary has {len(tokenizer.vocabulary):,} entries, the first are "
                  + " ".join(map(repr, tokenizer.vocabulary[:12])), "its first sequences:",
                  *(f"  {text[:200]!r}" for text in facts["first"])]
    if not a.json:
        print(*lines, sep="\n")
    return facts


def show_run(a: argparse.Namespace) -> dict[str, Any]:
    place = Run(a.run)
    options, history, done = place.options(), place.history(), place.finished()
    facts = {"run": place.url, "rounds": len(history), "finished": done,
             "options": options["options"], "data": options["data"]["url"],
             "last": history[-1] if history else None}
    if not a.json:
        o = options["options"]
        with suppress(ValueError, OSError):         # it may have been moved
            raw = of_folder(facts["data"]).raw or []
            if raw:
                print(f"raw rows of {printing.few([file['path'] for file in raw])}, in splits")
        print(f"{place.url}: {printing.counted(len(history), 'round')} on {facts['data']}, "
              f"{printing.counted(o['workers'], 'worker')}, batch {o['batch_size']}, averaging every "
              f"{o['averaging_frequency'] or ('epoch or later' if o.get('straight') else 'shard')}" + (f" (which chose {every})" if (every := chosen(history)) else "")
              + (f", after {printing.counted(o['warm_start'], 'round')} of one worker" if o.get("warm_start") else "")
              + (f", outer {updater(o['outer'])}" if o.get("outer") else "")
              + (f", {o['fragments']} fragments" if o.get("fragments") else "")
              + (f", changes in {coding(o['compress'])}" if o.get("compress") else "")
              + (f", broadcast in {coding(o['compress_broadcast'])}" if o.get("compress_broadcast") else "")
              + (f", optimizer's state: {o['save_updater']}" if isinstance(o["save_updater"], str) else "")
              + (f", in windows of {o['tbptt']} steps" if o.get("tbptt") else "")
              + (f", gradients through the last {o['tbptt_backward']}" if o.get("tbptt_backward") else "")
              + (f", cut to {', '.join(map(str, o['buckets']))} steps" if o.get("buckets") else ""))
        model_from_json(options["spec"]).summary()
        for entry in history[-10:]:
            print(f"round {entry['round']}  epoch {entry['epoch']}  " + "  ".join(printing.told(measured(entry)))
                  + f"  {clock(entry['elapsed'])}")
        if table := report.by_worker(place.records(20)):
            print("milliseconds of a round, medians of the last 20:", *table, sep="\n")
        if sent := [entry["bytes"] / entry["workers"] for entry in history if "bytes" in entry]:
            given = median(entry.get("broadcast", 0) for entry in history)
            print(f"each worker sent {median(sent) / 1e6:,.3f} MB a round (median)" + (f", and was given {given / 1e6:,.3f} MB" if given else ""))
        if attempts := report.attempts(history):
            print(attempts)
        print(f"finished: {done['reason']}; the model is that of round {done['best']}" if done
              else f"not finished; go on with: mrdl resume {quote(a.run)}")
    return facts
