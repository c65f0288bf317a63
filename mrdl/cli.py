"""The command line: prepare, describe, train, resume, evaluate, predict, generate, show."""
import argparse
import json
import runpy
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mrdl import __version__, report, resident_exchange, stopping
from mrdl.cluster import RUNNERS, Cluster, JobFailed
from mrdl.config import ConfigError, need
from mrdl.dataset import DESCRIPTION, Dataset, shown
from mrdl.dataset import load as load_dataset
from mrdl.model import Model
from mrdl.progress import clock, reporter
from mrdl.report import measured
from mrdl.run import Run
from mrdl.saving import load_model, model_from_json
from mrdl.storage import Storage, place
from mrdl.tokenizer import UNITS

EXAMPLES = {
    "prepare": "mrdl prepare train.csv data/train --label label --hold-out 0.1",
    "describe": "mrdl describe data/train",
    "train": "mrdl train model.py data/train runs/digits --workers 8 --until 'val_loss patience 5'",
    "resume": "mrdl resume runs/digits",
    "evaluate": "mrdl evaluate runs/digits data/test --json",
    "predict": "mrdl predict runs/digits data/test predictions",
    "generate": "mrdl generate runs/shakespeare --prompt 'The ' --temperature 0.5 --length 400",
    "show": "mrdl show runs/digits",
}


def load(path: str) -> Model:
    """MODEL: file.py with a variable or function `model`, a spec .json, or a saved model's folder."""
    if path.endswith(".py"):
        if not Path(path).is_file():
            raise ConfigError(f"{path}: no such file")
        model = runpy.run_path(path).get("model")
        model = model() if callable(model) and not isinstance(model, Model) else model
        if not isinstance(model, Model):
            raise ConfigError(f"{path} must define `model`: a mrdl.Sequential or mrdl.Model, or a function that "
                              "returns one")
        return model
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


def counts(made: Dataset) -> dict[str, Any]:
    """What --json says of a dataset."""
    train, held = (sum(s.n for s in part) for part in (made.train(), made.validation()))
    return {"data": made.url, "rows": train, "held_out": held, "shards": len(made.train()),
            "bad": made.bad.get("count", 0), "unknown": made.unknown.get("count", 0)}


def described(made: Dataset) -> list[str]:
    """Lines on a dataset: its rows, and the bad ones."""
    train, held = (sum(s.n for s in part) for part in (made.train(), made.validation()))
    classes = made.target and made.target.classes
    lines = [f"{made.url}: {train:,} rows in {len(made.train())} shards"
             + (f", {held:,} held out in {len(made.validation())}" if held else "")
             + f", examples of shape {tuple(made.shape)}"
             + (f", {classes} classes" if classes and (made.text or classes <= train + held) else "")]   # else amounts
    if lacking := made.lacking():
        lines.append(lacking)
    if made.bad.get("count"):
        what = "characters were bad and replaced" if made.text else "records were bad and left out"
        lines.append(f"{made.bad['count']} of {made.bad['of']} {what}:")
        lines += ["  " + shown(sample) for sample in made.bad["samples"]]
    return lines


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
        return told(a.run, lambda report: training.fit(load(a.model), a.data, a.validation,
                                                       run=a.run, told=report))


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


def show(a: argparse.Namespace) -> dict[str, Any]:
    return show_dataset(a) if Storage(a.run).exists(DESCRIPTION) else show_run(a)


def show_dataset(a: argparse.Namespace) -> dict[str, Any]:
    made = load_dataset(a.run)
    arrays, tokenizer = made.first(), made.tokenizer()
    facts = {**counts(made), "shape": made.shape, "target": made.target and asdict(made.target),
             "weighted": made.weighted, "columns": made.columns,
             "arrays": {name: str(array.dtype) for name, array in arrays.items()}}
    lines = [*described(made), "arrays of a block: " + ", ".join(
        f"{name} {array.dtype} {('n', *array.shape[1:])}".replace("'", "") for name, array in arrays.items())]
    if made.target and made.target.low is not None:
        lines.append(f"targets from {made.target.low:g} to {made.target.high:g}")
    if made.columns:
        lines.append("columns: " + ", ".join(made.columns))
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
        print(f"{place.url}: {len(history)} rounds on {facts['data']}, "
              f"{o['workers']} workers, batch {o['batch_size']}, averaging every "
              f"{o['averaging_frequency'] or 'shard'}"
              + (f", in windows of {o['tbptt']} steps" if o.get("tbptt") else "")
              + (f", gradients through {o['tbptt_backward']}" if o.get("tbptt_backward") else "")
              + (f", cut to {', '.join(map(str, o['buckets']))} steps" if o.get("buckets") else ""))
        model_from_json(options["spec"]).summary()
        for entry in history[-10:]:
            print(f"round {entry['round']}  epoch {entry['epoch']}  " + "  ".join(report.told(measured(entry)))
                  + f"  {clock(entry['elapsed'])}")
        if table := report.by_worker(place.records(20)):
            print("milliseconds of a round, medians of the last 20:", *table, sep="\n")
        print(f"finished: {done['reason']}; the model is that of round {done['best']}" if done
              else f"not finished; go on with: mrdl resume {a.run}")
    return facts


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="mrdl", description="Deep learning as Hadoop streaming jobs.")
    root.add_argument("--version", action="version", version=f"mrdl {__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(function, text, *positional):
        p = commands.add_parser(function.__name__, help=text, description=text,
                                epilog=f"example: {EXAMPLES[function.__name__]}",
                                formatter_class=argparse.RawDescriptionHelpFormatter)
        p.set_defaults(function=function)
        p.add_argument("--json", action="store_true", help="one JSON object on stdout")
        for name, many, about in positional:
            p.add_argument(name, nargs=many, metavar=name.upper(), help=about)
        if function in (generate, show):        # which need no job
            return p
        p.add_argument("-r", "--runner", default=None if function is resume else "local",
                       help=", ".join(RUNNERS[:-1]) + f" or {RUNNERS[-1]}" + ("" if function is resume else " (local)"))
        p.add_argument("-D", "--jobconf", action="append", default=[], metavar="NAME=VALUE",
                       help="a Hadoop setting of every job, as mapreduce.job.queuename=night")
        p.add_argument("--node-python", default="python3", metavar="COMMAND",
                       help="-r hadoop: the nodes' Python (python3)")
        p.add_argument("--wheels", metavar="DIR", help="-r hadoop: wheels of mrdl for that Python")
        p.add_argument("--cores", type=int, help="tasks at once on this machine (all cores)")
        return p

    p = command(prepare, "Raw files to shuffled shards, by a MapReduce job.",
                ("inputs", "+", "CSV, TSV (also .gz), .npz, IDX, or text"), ("data", None, "folder to make"))
    p.add_argument("--label", help="column of the labels (npz: array; default y)")
    p.add_argument("--sample-weight", help="column of the examples' weights")
    p.add_argument("--shards", type=int, help="of training data (one per 64 MB, at least 2)")
    p.add_argument("--hold-out", type=float, default=0.0, help="share of rows for validation (0)")
    p.add_argument("--seed", type=int, default=0, help="of the shuffle (0)")
    p.add_argument("--max-bad", type=float, default=0.001, help="share of bad records (0.001)")
    p.add_argument("--dtype", default="float32", help="of fractions: float32 or float64 (float32)")
    p.add_argument("--classes", type=int, help="labels outside 0..CLASSES-1 are bad records")
    p.add_argument("--format", choices=("text",), help="text: sequences of characters or words (rows of numbers)")
    p.add_argument("--unit", choices=UNITS, help="of a text: char or word (char)")
    p.add_argument("--sequence-length", type=int, metavar="N", help="of a text: tokens of a sequence (100)")
    p.add_argument("--vocabulary", type=int, metavar="N", help="of a text: how many tokens it keeps at most (65536)")
    p.add_argument("--like", metavar="DATA", help="of a text: take the vocabulary and all of that dataset")

    command(describe, "Mean, deviation, least and largest value of each feature, over the rows to train on.",
            ("data", None, "what prepare made"))
    p = command(train, "Trains a model by averaged rounds; goes on where it was stopped.",
                ("model", None, "file.py, spec.json, or a saved model's folder"),
                ("data", None, "what prepare made"), ("run", None, "the run's directory"))
    p.epilog += f"\n\nthe grammar of --until:\n{stopping.GRAMMAR}"
    p.add_argument("--workers", type=int, default=2, help="shards trained at a time (2)")
    p.add_argument("--batch-size", type=int, default=32, help="examples of a minibatch (32)")
    p.add_argument("--averaging-frequency", type=int,
                   help="minibatches between two averagings (a whole shard)")
    p.add_argument("--epochs", type=int, help="as --until 'epochs N'")
    p.add_argument("--rounds", type=int, help="as --until 'rounds N'")
    p.add_argument("--until", help="when to stop (see below)")
    p.add_argument("--validation", help="dataset to score (the rows that prepare held out)")
    p.add_argument("--validation-freq", type=int,
                   help="rounds between scorings (so that they cost a fifth)")
    p.add_argument("--seed", type=int, default=0, help="of weights, orders, dropout (0)")
    p.add_argument("--keep-rounds", type=int, default=3, help="states kept, beside the best (3)")
    p.add_argument("--reset-updater", action="store_true",
                   help="start each round with a fresh updater (it is averaged)")
    p.add_argument("--tbptt", type=int, metavar="STEPS",
                   help="train sequences in windows of so many steps: truncated back-propagation (whole sequences)")
    p.add_argument("--tbptt-backward", type=int, metavar="STEPS", help="steps that gradients go back (all of a window)")
    p.add_argument("--buckets", type=int, nargs="+", metavar="STEPS",
                   help="lengths that minibatches of masked sequences are cut to (none: all of a sequence)")
    p.add_argument("--recalibrate", action="store_true",
                   help="at the end: BatchNormalization's moments over all examples, in one more pass")

    residence(p)
    p = command(resume, "Goes on with a run from its last commit.", ("run", None, "the run"))
    residence(p)
    p = command(evaluate, "Loss and metrics over a dataset.", ("run", None, "run or saved model"),
                ("data", None, "what prepare made"))
    p.add_argument("--part", choices=("all", "train", "validation"), default="all",
                   help="which of its shards (all)")
    command(predict, "Outputs for every example, as CSV.", ("run", None, "run or saved model"),
            ("data", None, "what prepare made"), ("out", None, "folder to make"))
    p = command(generate, "Text that a model of characters or words goes on with.", ("run", None, "the run"))
    p.add_argument("--prompt", default="", help="what it goes on from (a new line)")
    p.add_argument("--length", type=int, default=200, metavar="N", help="tokens to write (200)")
    p.add_argument("--temperature", type=float, default=1.0, metavar="T",
                   help="below 1 likely tokens come more often, 0: always the likeliest (1)")
    p.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    command(show, "What a run is, has done, and how it ended; or what is in a dataset.",
            ("run", None, "the run, or what prepare made"))
    return root


def residence(p: argparse.ArgumentParser) -> None:
    p.add_argument("--resident", nargs="?", const="always", default="auto", choices=resident_exchange.WHEN,
                   help="one job for many rounds (auto: where rounds of a job each cost much)")


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0; 1 where a worker failed or training diverged; 2 for wrong input."""
    a = parser().parse_args(arguments)
    try:
        facts = a.function(a)
    except KeyboardInterrupt:
        say("mrdl: interrupted" + (f"; go on with: mrdl resume {a.run}"
                                   if a.function in (train, resume) else ""))
        return 130
    except BrokenPipeError:                     # who reads has enough, as `head` has
        sys.stdout = None
        return 141
    except OSError as error:
        say(f"mrdl: {error.filename}: {error.strerror}" if error.filename else f"mrdl: {error}")
        return 2
    except ValueError as error:
        say(f"mrdl: {error}")
        return 2
    except (RuntimeError, JobFailed) as error:
        say(f"mrdl: {error}")
        return 1
    if a.json:
        print(json.dumps(facts))
    return 0
