"""The commands, one function each: `a` are its arguments, what it gives is what --json prints."""
import argparse
from typing import Any

from mrdl import report
from mrdl.cli import model_file
from mrdl.cli.operate import hooked
from mrdl.cli.show import counts, described, say
from mrdl.cluster import Cluster
from mrdl.config import need
from mrdl.dataset import load as load_dataset
from mrdl.model import Model
from mrdl.progress import reporter
from mrdl.run import Run
from mrdl.saving import load_model, model_from_json
from mrdl.storage import place


def load(path: str) -> Model:
    """MODEL: file.py with a variable or function `model`, a spec .json, or a saved model's folder."""
    if path.endswith(".py"):
        return model_file.load(path)
    if path.endswith(".json"):
        folder, name = place(path)
        return model_from_json(folder.read(name))
    return load_model(path)


def cluster(a: argparse.Namespace) -> Cluster:
    """Where the command's jobs run."""
    need(a.cores is None or a.cores >= 1, f"--cores {a.cores}: must be 1 or more")
    jobconf = dict(pair.partition("=")[::2] for pair in a.jobconf)
    for name, value in jobconf.items():
        need(name and value, f"-D {name}={value}: must be NAME=VALUE")
    return Cluster(a.runner or Run(a.run).options()["runner"], a.cores, jobconf=jobconf,
                   node_python=a.node_python, wheels=a.wheels)


def prepare(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl import averaging
    with cluster(a) as runner:
        made = averaging.prepare(a.inputs, a.data, runner=runner, label=a.label,
                                 weight=a.sample_weight, shards=a.shards, hold_out=a.hold_out,
                                 seed=a.seed, max_bad=a.max_bad, dtype=a.dtype, classes=a.classes, format=a.format,
                                 unit=a.unit, sequence_length=a.sequence_length, vocabulary=a.vocabulary, like=a.like)
    for line in described(made):
        say(line)
    return counts(made)


def describe(a: argparse.Namespace) -> list[dict[str, Any]]:
    from mrdl import inference
    with cluster(a) as runner:
        found = inference.describe(a.data, runner=runner)
    if not a.json:
        print(f"{'feature':<20}" + "".join(f"{name:>14}" for name in list(found[0])[1:]))
        for row in found:
            feature, *values = row.values()
            print(f"{feature!s:<20}" + "".join(f"{value:>14.6g}" for value in values))
    return found


@hooked
def train(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl.averaging import ParameterAveraging, same_vocabulary
    text = None if a.model.endswith((".py", ".json")) else Run(a.model).text()
    if text:
        same_vocabulary(text, a.model, load_dataset(a.data))
    with cluster(a) as runner:
        training = ParameterAveraging(
            workers=a.workers, batch_size=a.batch_size, averaging_frequency=a.averaging_frequency,
            epochs=a.epochs, rounds=a.rounds, until=a.until, seed=a.seed, runner=runner,
            validation_freq=a.validation_freq, save_updater=not a.reset_updater,
            keep_rounds=a.keep_rounds, resident=a.resident, recalibrate=a.recalibrate,
            tbptt=a.tbptt, tbptt_backward=a.tbptt_backward, buckets=a.buckets)
        model = load(a.model)       # before the report begins: what a model.py prints comes first
        return told(a.run, lambda report: training.fit(model, a.data, a.validation, run=a.run, told=report))


@hooked
def resume(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl import averaging
    with cluster(a) as runner:
        return told(a.run, lambda report: averaging.resume(a.run, runner, told=report, resident=a.resident))


def told(run: str, work) -> dict[str, Any]:
    """Runs `work` under a progress report; says how it ended."""
    progress = reporter()
    try:
        result = work(progress)
    finally:
        progress.close()
    values = ", ".join(report.told(result.metrics))
    say(f"{result.reason}; round {result.best} of {result.rounds}: {values}")
    place = Run(run)
    say(f"model: {place.url}/model.safetensors" + (
        f", picture: {place.url}/history.png" if place.store.exists("history.png") else ""))
    done = place.finished()
    if not done["finite"]:
        raise RuntimeError(f"{run}: {done['reason']}")
    return done


def evaluate(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl import inference
    with cluster(a) as runner:
        found = inference.evaluate(a.run, a.data, part=a.part, runner=runner)
    if not a.json:
        print("  ".join(report.told(found)))
    return found


def predict(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl import inference
    with cluster(a) as runner:
        n = inference.predict(a.run, a.data, a.out, runner=runner)
    say(f"{a.out}: {n:,} predictions; their columns are in {a.out}/columns.csv")
    return {"out": a.out, "examples": n}


def generate(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl.generation import generate as written
    text = written(a.run, a.prompt, a.length, a.temperature, a.seed)
    if not a.json:
        print(text)
    return {"run": a.run, "text": text}
