"""The commands, one function each: `a` are its arguments, what it gives is what --json prints."""
import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from copy import deepcopy
from functools import cache
from inspect import signature
from shlex import quote
from typing import Any

from mrdl import printing
from mrdl.cli import model_file, tables
from mrdl.cli.operate import hooked
from mrdl.cli.scores import tell_round, unread, worst
from mrdl.cli.show import counts, described, say, told_search
from mrdl.cli.stdin import no_pipe, spooled
from mrdl.cli.streaming import exchange, paused
from mrdl.config import need
from mrdl.data.dataset import load as load_dataset
from mrdl.data.sources import about, expand
from mrdl.data.tables.table import SCHEMA
from mrdl.models.formats import keras_file
from mrdl.models.model import Model
from mrdl.models.saving import load_model, model_from_json
from mrdl.report import folded
from mrdl.report.progress import clock, reporter, tasks
from mrdl.runners.cluster import Cluster
from mrdl.runs.run import SPLITS, Run
from mrdl.runs.searches import Search
from mrdl.storage.paths import is_folder, place, size
from mrdl.worker.scored import TABLE


def in_file(path: str) -> bool:
    """Is MODEL a file, not the folder of a run or a saved model?"""
    return path.endswith((".py", ".json")) or keras_file.is_keras(path) and not is_folder(path)


def load(path: str) -> Model:
    """MODEL: file.py with a variable or function `model`, a spec .json, a file of Keras, or a saved model's folder."""
    if path.endswith(".py"):
        return model_file.load(path)
    if path.endswith(".json"):
        folder, name = place(path)
        return model_from_json(folder.read(name))
    if not in_file(path):
        tell_round(path)
    return load_model(path)


def cluster(a: argparse.Namespace) -> Cluster:
    """Where the command's jobs run."""
    need(a.cores is None or a.cores >= 1, f"--cores {a.cores}: must be 1 or more")
    for pair in a.jobconf:
        need(all(pair.partition("=")), f"-D {quote(pair)}: must be NAME=VALUE")
    jobconf = dict(pair.partition("=")[::2] for pair in a.jobconf)
    made = Cluster(a.runner or _runner_of(a.run), a.cores, jobconf=jobconf,
                   node_python=a.node_python, wheels=a.wheels)
    made.warned = lambda text: say(f"warning: {text}")
    made.planned = say
    made.waiting = lambda text, seconds: say(f"waiting for {clock(seconds)}: {text}")
    return made


def _runner_of(run: str) -> str:
    """The runner that a run or a search was begun with."""
    search = Search(run)
    return search.runner() if search.exists() else Run(run).options()["runner"]


def given(a: argparse.Namespace, function: Callable, **others) -> dict[str, Any]:
    """The function's arguments: those that the user gave, by their names, and others."""
    named = {name: getattr(a, name) for name in signature(function).parameters if getattr(a, name, None) is not None}
    return named | others


def prepare(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl.driver.preparation import prepare as preparing
    with cluster(a) as runner, spooled(a.inputs) as inputs, busy("prepares", inputs) as on_task:
        made = preparing.prepare(**given(a, preparing.prepare, inputs=inputs, runner=runner, on_task=on_task,
                                         said=say, **tables.said(a)))
    for line in described(made):
        say(line)
    return counts(made)


def describe(a: argparse.Namespace) -> list[dict[str, Any]] | dict[str, Any]:
    return describe_dataset(a) if tables.is_dataset(a) else describe_table(a)


def describe_table(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl.driver.preparation.describe import infer_schema
    more = tables.said(a)
    with cluster(a) as runner, spooled(a.inputs) as inputs, busy("describes " + ", ".join(a.inputs[:3]), inputs) as on_task:
        found = infer_schema(**given(a, infer_schema, inputs=inputs, runner=runner, on_task=on_task, **more))
    return tables.described(a, found)


def describe_dataset(a: argparse.Namespace) -> list[dict[str, Any]]:
    from mrdl.driver import inference
    data, = a.inputs
    with cluster(a) as runner, busy("describes", a.inputs, "train") as on_task:
        found = inference.describe(data, runner=runner, on_task=on_task)
    if not a.json:
        names = [printing.clean(str(row["feature"])) for row in found]
        wide = min(40, max(16, *map(printing.wide, names)))
        print("feature".ljust(wide) + "".join(f"{name:>12}" for name in list(found[0])[1:]))
        for name, row in zip(names, found):
            _, n, *values = row.values()
            print(f"{printing.fitted(name, wide)}{n:>12,}" + "".join(f"{value:>12.5g}" for value in values))
    return found


def to_train_on(a: argparse.Namespace, runner: Cluster) -> str:
    """The dataset that `train` is given; of raw rows the one that refers to them, in the run's folder. If MODEL was trained on a
    table, they are read by its schema."""
    from mrdl.driver import raw, tabular
    odd = [name for name in tables.RAW if getattr(a, name)]
    no_pipe(a.data)
    if raw.is_dataset(a.data) or not odd and not raw.there(a.data):
        need(not odd, f"{', '.join(odd)}: only possible with raw rows, and {a.data[0]} is a dataset")
        return a.data[0]
    from mrdl.driver.preparation.refer import refer
    run, of_file = Run(a.run), a.model == tabular.AUTO or in_file(a.model)
    table = None if of_file or a.schema or a.kinds or a.like else Run(a.model).features()["table"]
    with busy("reads " + ", ".join(a.data[:3]), a.data) as on_task, tempfile.TemporaryDirectory(dir=runner.tmp) as folder:
        if table:
            a.schema = os.path.join(folder, SCHEMA)
            with open(a.schema, "w", encoding="ascii") as file:
                json.dump(table, file)
        made = refer(**given(a, refer, inputs=a.data, data=run.store.path(SPLITS), runner=runner, replaces=not run.exists(),
                             on_task=on_task, said=say, **tables.said(a)))
    for line in described(made):
        say(line)
    return made.url


@hooked
def train(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl.driver import tabular
    from mrdl.driver.averaging import ParameterAveraging, rules
    from mrdl.driver.fits import same_features
    from mrdl.driver.fragments import FragmentTraining
    with cluster(a) as runner:
        kind = ParameterAveraging if a.fragments is None else FragmentTraining
        options = given(a, kind, runner=runner)
        kind(**options).options()         # what makes no sense is said before anything is read
        # before the report begins: what a model.py prints comes first
        model = None if a.model == tabular.AUTO else load(a.model)
        data = to_train_on(a, runner)
        if model is not None and not in_file(a.model):
            same_features(Run(a.model).features(), a.model, load_dataset(data))

        def fit(data: str = data, run: str = a.run) -> dict[str, Any]:
            chosen, own = options, deepcopy(model)
            if own is None:
                own = tabular.tabular(data, runner=runner)
                known = load_dataset(data)
                chosen = tabular.defaults(known, options) | options
                ends = rules(chosen.get("until"), chosen.get("epochs"), chosen.get("rounds"))
                say(f"training with workers {chosen['workers']}, batch_size {chosen['batch_size']}, until {ends}{tabular.of_few(known)}")
            if a.fresh_updater:
                own.fresh_updater()
            if not own.iterations and own.weights is not None:
                say(f"{a.model}: training begins with its weights and a new optimizer state")
            return told(run, lambda report: kind(**chosen).fit(
                own, data, a.validation, run=run, told=report, exchange=exchange(a) if a.streaming else None))
        if a.folds is None:
            return paused(a, fit) if a.streaming else fit()
        return of_folds(a, data, fit)


def of_folds(a: argparse.Namespace, data: str, fit: Callable[[str, str], dict[str, Any]]) -> dict[str, Any]:
    """Trains on each fold of a dataset; what their scores have in common."""
    from mrdl.driver import folds
    need(not (a.streaming or a.validation), "--folds: is not possible with --streaming, nor with --validation, as each fold is scored on "
         "the rows that are left out of it")

    def told_fit(part: str, run: str) -> dict[str, Any]:
        say(f"fold {run.rpartition('-')[2]} of {a.folds}: {run}")
        return fit(part, run)["metrics"]
    found = folds.each(data, a.folds, a.run, told_fit)
    if not a.json:
        print(*folded.table(found.scores), sep="\n")
    return {"run": a.run, "reason": f"{a.folds} folds done", **vars(found)}


@hooked
def resume(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl.driver import averaging, search
    with cluster(a) as runner:
        if Search(a.run).exists():
            odd = [name for name in ("until", "epochs", "rounds", "learning_rate", "data", "validation") if getattr(a, name) is not None]
            need(not odd, f"--{', --'.join(odd).replace('_', '-')}: {a.run} is a search, which goes on as it was begun; for more training, resume one of its runs")
            return told_search(a, search.resume(a.run, runner))
        return told(a.run, lambda report: averaging.resume(
            **given(a, averaging.resume, runner=runner, told=report)))


def streaming(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl.driver import averaging
    with cluster(a) as runner:
        return paused(a, lambda: told(a.run, lambda report: averaging.resume(a.run, runner, told=report,
                                                                             exchange=exchange(a))))


def told(run: str, work) -> dict[str, Any]:
    """Runs `work` under a progress report; says how it ended."""
    with closing(reporter()) as progress:
        result = work(progress)
    place = Run(run)
    done = place.finished()
    say(f"{done['reason']}; " * done["finite"] + f"the model is that of round {done['best']} of {done['rounds']}"
        + (f", the best by {done['monitor']}" if done["monitor"] else "")
        + (f" of those whose states were kept (round {done['better']} was better)" if done["better"] else ""))
    say("  " + "  ".join(printing.told(result.metrics)))
    say(f"model: {place.url}/model.safetensors")
    if place.store.exists("history.png"):
        say(f"picture: {place.url}/history.png")
    if not done["finite"]:
        raise RuntimeError(f"{run}: {done['reason']}")
    return done


def busy(doing: str, data: list[str], part: str | None = None):
    """Shows tasks, and how they get on. `part`: of the dataset that the data is; None: it is raw rows."""
    if part is None:
        paths = cache(lambda: expand(data))
        total = cache(lambda: sum(map(size, paths())))
        return tasks(doing, lambda: about(paths()[0], total()), total)
    rows = sum(s.n for s in load_dataset(data[0]).shards if part in ("all", s.role))
    return tasks(f"{doing} {rows:,} rows", rows)


def evaluate(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl.driver import inference, raw
    from mrdl.report import curves, scored
    tell_round(a.run)
    of_data = raw.is_dataset(a.data)
    if a.plot:
        curves.check()
    with cluster(a) as runner, spooled(a.data) as data, busy("evaluates", data, a.part if of_data else None) as on_task:
        found = inference.evaluate(**given(a, inference.evaluate, data=data, runner=runner, on_task=on_task, said=say,
                                           **tables.written(a)))
    for line in unread(found.rows) if found.rows else ():
        say(line)
    if not a.json:
        print("\n".join(["  ".join(printing.told(found)), *scored.told(found.report),
                         *worst(found.rows.worst if found.rows else [], printing.columns(sys.stdout))]))
    if a.plot:
        folder, name = place(a.plot)
        folder.write(name, curves.picture(found.report, a.run))
        say(f"picture: {a.plot}")
    counted = {"rows": found.rows.rows, "bad": found.rows.bad.total(), "left_out": found.rows.left_out, "unseen": found.rows.unseen} if found.rows else {}
    return {**found, **counted, "report": found.report, **({"worst": found.rows.worst} if a.worst else {})}


def predict(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl.driver import inference, raw
    tell_round(a.run)
    of_data = raw.is_dataset(a.data)
    with cluster(a) as runner, spooled(a.data) as data, busy("predicts", data, "all" if of_data else None) as on_task:
        found = inference.predict(**given(a, inference.predict, data=data, runner=runner, on_task=on_task, said=say,
                                          **tables.written(a)))
    if of_data:
        say(f"{a.out}: {found:,} predictions; their columns are in {a.out}/columns.csv")
        return {"out": a.out, "examples": found}
    for line in unread(found):
        say(line)
    say(f"{a.out}: {printing.counted(found.rows, 'row')} in the order of the input: " + (
        f"{quote(a.out)}/part-*.{TABLE}" if a.format == TABLE else f"cat {quote(a.out)}/part-*"))
    return {"out": a.out, "rows": found.rows, "bad": found.bad.total(), "left_out": found.left_out, "unseen": found.unseen}


def export(a: argparse.Namespace) -> dict[str, Any]:
    need(keras_file.is_keras(a.file), f"{a.file}: must end with .keras, .h5 or .weights.h5")
    model = load(a.model)
    (model.save_weights if keras_file.is_weights(a.file) else model.save)(a.file)
    say(f"{a.file}: {model.count_params():,} parameters" + f", the optimizer's state after {model.iterations:,} updates" * (model.iterations > 0))
    if any((model.features or {}).values()):
        say("the names of columns and classes, or the vocabulary, that it was trained on have no place in a file of Keras")
    return {"file": a.file, "parameters": model.count_params(), "updates": model.iterations}


def generate(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl.driver.generate import generate as written
    tell_round(a.run)
    text = written(a.run, a.prompt, a.length, a.temperature, a.seed)
    if not a.json:
        print(text)
    return {"run": a.run, "text": text}
