"""The parser of the command line: each command's arguments, with its help and an example."""
import argparse
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NoReturn, get_args

from mrdl import __version__, limits
from mrdl.cli.commands import (
    describe,
    evaluate,
    export,
    generate,
    predict,
    prepare,
    resume,
    streaming,
    train,
)
from mrdl.cli.operate import clean, runs, stop
from mrdl.cli.scores import of_evaluate, of_predict, of_score, score
from mrdl.cli.search import of_search, search
from mrdl.cli.show import show
from mrdl.cli.tables import of_columns, of_rows
from mrdl.codings import GRAMMAR as CODINGS
from mrdl.config import cut
from mrdl.driver.exchanges import resident
from mrdl.driver.options import Options
from mrdl.frequency import GRAMMAR as FREQUENCY
from mrdl.outer import GRAMMAR as OUTER
from mrdl.runners.registry import RUNNERS
from mrdl.runs import stopping

OPTIONS = {field.name: field for field in fields(Options)}
OWN = "that of the run"         # the runner of commands that go on with a run
DEBUG = {"action": "store_true", "help": "after an error, show the traceback too"}


class Parser(argparse.ArgumentParser):
    """Shortens long arguments in its error messages."""

    def error(self, message: str) -> NoReturn:
        super().error(cut(message))


def parser() -> argparse.ArgumentParser:
    root = Parser(prog="mrdl", description="Deep learning as Hadoop streaming jobs.")
    root.add_argument("--version", action="version", version=f"mrdl {__version__}")
    root.add_argument("--debug", **DEBUG)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return root


@dataclass(frozen=True)
class Command:
    """`arguments` adds those that the command alone has; the others are common to several commands."""
    function: Callable[[argparse.Namespace], Any]
    help: str
    example: str
    arguments: Callable[[argparse.ArgumentParser], None] = lambda p: None
    runner: str | None = None           # the default, as the help says it; None: the command runs no job
    model: bool = False                 # does it load a model?
    json: str = "print one JSON object on stdout"       # the help of --json

    def add(self, commands) -> None:
        name = self.function.__name__
        p = commands.add_parser(name, help=self.help, description=self.help,
                                epilog=f"example: {self.example}",
                                formatter_class=argparse.RawDescriptionHelpFormatter)
        p.set_defaults(function=self.function)
        p.add_argument("--json", action="store_true", help=self.json)
        p.add_argument("--debug", **{**DEBUG, "default": argparse.SUPPRESS})    # after the command too
        if self.model:
            of_models(p)
        if self.runner:
            of_jobs(p, self.runner)
        self.arguments(p)


# -- what several commands have

def positional(p: argparse.ArgumentParser, name: str, about: str, **more) -> None:
    p.add_argument(name, metavar=name.upper(), help=about, **more)


def run(p: argparse.ArgumentParser) -> None:
    positional(p, "run", "directory of the run")


def trained(p: argparse.ArgumentParser) -> None:
    positional(p, "run", "directory of a run or a saved model")


def option(p: argparse.ArgumentParser, name: str, help: str, *, flag: str | None = None,
           **more) -> None:
    """An option of a run: flag, type and the default that the help tells follow from the field of Options of this name."""
    field = OPTIONS[name]
    kind = (get_args(field.type) or [field.type])[0]        # X of X | None
    if kind is bool:
        more["action"] = "store_false" if field.default else "store_true"
    elif get_args(kind):                                    # of list[X]
        more |= {"nargs": "+", "type": get_args(kind)[0]}
    else:
        more["type"] = kind
    p.add_argument(flag or "--" + name.replace("_", "-"), dest=name, default=None,
                   help=help.replace("%(default)s", str(field.default)), **more)


def of_models(p: argparse.ArgumentParser) -> None:
    p.add_argument("--max-memory", type=_memory, metavar="SIZE",
                   help="refuse a model that is estimated to need more memory, such as 8G (default: "
                   f"three quarters of this machine's: {limits.shown(limits.limit())})")


def of_jobs(p: argparse.ArgumentParser, runner: str) -> None:
    """Where jobs run; `runner` is the default, as the help says it."""
    *names, last = RUNNERS
    p.add_argument("-r", "--runner", default=None if runner == OWN else runner,
                   help=f"{', '.join(names)} or {last} (default: {runner})")
    p.add_argument("-D", "--jobconf", action="append", default=[], metavar="NAME=VALUE",
                   help="a Hadoop setting for all jobs, such as mapreduce.job.queuename=night; may be repeated")
    p.add_argument("--node-python", default="python3", metavar="COMMAND",
                   help="-r hadoop: the command for Python on the nodes (default: python3)")
    p.add_argument("--wheels", metavar="DIR",
                   help="-r hadoop: folder with a wheel of mrdl for the nodes' version of Python")
    p.add_argument("--cores", type=int, help="tasks at the same time on this machine (default: one per core)")


def _memory(text: str) -> int:
    try:
        return limits.size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def ending(p: argparse.ArgumentParser, until: str) -> None:
    """When a run stops."""
    p.add_argument("--epochs", type=int, metavar="N",
                   help="stop after N epochs: the rule 'epochs N', beside those given with --until")
    p.add_argument("--rounds", type=int, metavar="N",
                   help="stop after N rounds: the rule 'rounds N', beside those given with --until")
    p.add_argument("--until", help=until)
    p.epilog += f"\n\nthe grammar of --until:\n{stopping.GRAMMAR}"


def driven(p: argparse.ArgumentParser) -> None:
    """The arguments of the commands that run rounds."""
    p.add_argument("--on-finish", metavar="COMMAND",
                   help="shell command to run when this one ends, in whatever way; its environment has MRDL_RUN, "
                   "MRDL_STATUS (finished, failed, stopped or interrupted) and MRDL_REASON")
    p.add_argument("--resident", nargs="?", const="always", default="auto", choices=resident.WHEN,
                   help="run many rounds in one job: always (--resident alone means this too), never, or auto, the "
                   "default: if a job per round has too much overhead")


# -- what each command has

def of_prepare(p: argparse.ArgumentParser) -> None:
    positional(p, "inputs", "CSV, TSV, JSON lines, libsvm (also .gz, .bz2, .xz, .zst, .zip), Parquet, ORC, Avro, .npz, IDX, or text; files, folders, "
               "patterns; - is standard input", nargs="+")
    positional(p, "data", "folder to write the dataset to")
    of_columns(p)
    of_rows(p)
    p.add_argument("--seed", type=int, default=0, help="seed of the shuffle (default: 0)")


def of_describe(p: argparse.ArgumentParser) -> None:
    positional(p, "inputs", "CSV, TSV and the like, JSON lines, libsvm (also .gz, .bz2, .xz, .zst, .zip), Parquet, ORC, Avro, folders or patterns of them, - for standard input; or one dataset that prepare made", nargs="+")
    of_columns(p)
    p.add_argument("--out", metavar="FILE", help="write the schema there: a file that you can change, for prepare --schema")


def of_train(p: argparse.ArgumentParser) -> None:
    positional(p, "model", "a .py file that defines `model`, a model as .json, a .keras or .h5 file of Keras, the folder of a saved "
               "model or a finished run, or auto: a network made for the dataset, which must be a table")
    positional(p, "data", "a dataset that prepare made; or raw rows, as prepare reads them: splits of the files are the shards", nargs="+")
    run(p)
    option(p, "workers", "number of shards trained on at the same time (default: %(default)s; of auto 1 for small tables)")
    option(p, "batch_size", "examples per minibatch (default: %(default)s; of auto up to 256, by the number of rows)")
    p.add_argument("--averaging-frequency", metavar="N|RULE", help="minibatches that a worker trains on between two averagings, "
                   "or a rule that chooses them: " + FREQUENCY + " (default: its whole shard)")
    option(p, "warm_start", "rounds in which one worker trains alone, on one shard each, before averaging starts (default: 0)", metavar="N")
    ending(p, "when to stop (see below); with a new rule, a run that has ended continues")
    p.epilog += (f"\n\ndefault, if none of --until, --epochs and --rounds is given: {stopping.DEFAULT}\n"
                 "(if no data is held out: loss instead of val_loss);\n"
                 "the final model is that of the best round if a rule has patience, else that of the last round")
    p.add_argument("--fresh-updater", action="store_true",
                   help="if MODEL is a run or a saved model: take only its weights, and reset the optimizer")
    p.add_argument("--validation",
                   help="dataset to compute val_... metrics on (default: the rows that prepare held out)")
    option(p, "validation_freq", "compute val_... metrics once in this many rounds (default: chosen "
           "so that they cost at most a fifth of training)")
    option(p, "seed", "seed of the initial weights, the order of the rows and dropout "
           "(default: %(default)s)")
    option(p, "keep_rounds", "how many of the last rounds' states to keep, besides that of the best round "
           "(default: %(default)s)")
    updater_state(p)
    p.add_argument("--outer", metavar="RULE", help="what becomes of the averaged change of the weights: " + OUTER + " (default: mean)")
    option(p, "fragments", "cut the network into K smaller ones in each round, of which each worker trains one: for networks too "
           "large for a worker (default: each trains all of it)", metavar="K")
    p.add_argument("--compress", metavar="CODING", help="send the change of workers' weights in fewer bytes: " + CODINGS
                   + " (default: none)")
    p.add_argument("--compress-broadcast", metavar="CODING", help="send workers the weights and the updater's state in fewer bytes: none, float16, "
                   "bfloat16 or int8; the driver keeps the exact ones (default: none)")
    p.add_argument("--folds", type=int, metavar="K", help="cross-validate: train K models in RUN/fold-1 and so on, each on all training "
                   "shards but every K-th, on which it is scored; at least K shards")
    p.add_argument("--balance", action="store_const", const="balanced", dest="class_weight",
                   help="weight rows so that all classes count alike: those of a class by n / (K n_k), if n_k of n rows are of it and "
                   "there are K classes")
    option(p, "tbptt", "train on sequences in windows of this many steps, by truncated "
           "back-propagation (default: whole sequences)", metavar="STEPS")
    option(p, "tbptt_backward", "steps at the end of a window that gradients flow back through "
           "(default: the whole window)", metavar="STEPS")
    option(p, "buckets", "cut each minibatch of padded sequences to the smallest of these lengths "
           "that holds them (default: no cutting)", metavar="STEPS")
    option(p, "recalibrate", "at the end, recompute BatchNormalization's mean and variance in one "
           "pass over all training examples")
    p.add_argument("--streaming", action="store_true",
                   help="begin the run but run no round: print the command of the first round, as mrdl streaming does")
    driven(p)
    of_rows(p := p.add_argument_group("options for raw rows"))
    of_columns(p)


def updater_state(p: argparse.ArgumentParser) -> None:
    option(p, "save_updater", "reset the optimizer's state in each round: --updater-state reset", flag="--reset-updater")
    p.add_argument("--updater-state", dest="save_updater", metavar="STATE", help="the optimizer's state: average (the default), reset in "
                   "each round, keep (each worker its own), or every N (averaged in each Nth round, and kept between)")


def of_searching(p: argparse.ArgumentParser) -> None:
    positional(p, "model", "a .py file that defines a function `model`, whose parameters are what is tried")
    positional(p, "data", "a dataset that prepare made")
    positional(p, "run", "directory of the search; its runs are RUN/c0001 and so on")
    of_search(p)
    option(p, "workers", "number of shards that each configuration is trained on at the same time; with 1, each goes from shard to shard, "
           "and nothing is averaged (default: 1)")
    option(p, "batch_size", "examples per minibatch (default: %(default)s)")
    p.add_argument("--averaging-frequency", metavar="N|RULE", help="as for mrdl train, but not auto (default: its whole shard)")
    ending(p, "when the training of a configuration stops (see below), beside --epochs")
    p.epilog += ("\n\n--epochs (or --rounds) is what those configurations have that train longest; default with halving: as many as let the "
                 "first\nrung be of one epoch, with hyperband: factor ** 3, else the rules of mrdl train")
    p.add_argument("--validation", help="dataset to compute val_... metrics on (default: the rows that prepare held out)")
    option(p, "seed", "seed of what is drawn, of the initial weights, the order of the rows and dropout (default: %(default)s)")
    updater_state(p)
    p.add_argument("--outer", metavar="RULE", help="as for mrdl train")
    p.add_argument("--compress", metavar="CODING", help="as for mrdl train")
    p.add_argument("--compress-broadcast", metavar="CODING", help="as for mrdl train")
    option(p, "keep_rounds", "how many states of each run's last rounds to keep (default: %(default)s)")
    p.add_argument("--on-finish", metavar="COMMAND", help="as for mrdl train")


def of_resume(p: argparse.ArgumentParser) -> None:
    run(p)
    ending(p, "when to stop (see below); if --until, --epochs or --rounds is given, the run's old rules no longer hold")
    p.add_argument("--learning-rate", type=float, metavar="X",
                   help="learning rate of all further rounds (above 0), instead of the model's rate or schedule")
    p.add_argument("--data", help="new place of the dataset, if it was moved")
    p.add_argument("--validation", help="new place of the dataset given as --validation, if it was moved")
    driven(p)


def of_export(p: argparse.ArgumentParser) -> None:
    positional(p, "model", "directory of a finished run or a saved model, or what else mrdl train takes")
    positional(p, "file", "what to write: NAME.keras (for Keras 3), NAME.h5, or NAME.weights.h5 (weights and the optimizer's state alone); "
               "a path or an hdfs:// URL. Needs h5py: pip install 'mrdl[keras]'")


def of_generate(p: argparse.ArgumentParser) -> None:
    run(p)
    p.add_argument("--prompt", default="", help="text to continue (default: a line break)")
    p.add_argument("--length", type=int, default=200, metavar="N", help="number of tokens to generate (default: 200)")
    p.add_argument("--temperature", type=float, default=1.0, metavar="T",
                   help="below 1: likely tokens become more likely; 0: always the likeliest token (default: 1)")
    p.add_argument("--seed", type=int, default=0, help="seed of the random choices (default: 0)")


def of_show(p: argparse.ArgumentParser) -> None:
    positional(p, "run", "directory of a run, a search or a dataset")


def of_streaming(p: argparse.ArgumentParser) -> None:
    run(p)
    p.add_argument("--output", metavar="OUT",
                   help="folder that the job writes to (default: one in the run's directory)")
    p.add_argument("--commit", nargs="?", const="", metavar="OUT",
                   help="check the job's output and commit it to the run; finish the run if a stop rule holds "
                   "(OUT: the folder that was given as --output, if one was)")


def of_runs(p: argparse.ArgumentParser) -> None:
    positional(p, "folder", "a folder that contains runs, or a run")


def of_stop(p: argparse.ArgumentParser) -> None:
    run(p)
    p.add_argument("--wait", type=float, default=0.0, metavar="SECONDS",
                   help="wait up to this long for the driver to end; exit status 1 if it has not (default: do not wait)")


def of_clean(p: argparse.ArgumentParser) -> None:
    run(p)
    p.add_argument("--cache", action="store_true",
                   help="for a run of -r hadoop: also empty .mrdl/cache in your home on HDFS; use it only while none of your "
                        "jobs runs")


COMMANDS = (
    Command(prepare, "Turns raw files into a dataset of shuffled shards, by a MapReduce job.",
            "mrdl prepare train.csv data/train --label label --hold-out 0.1",
            of_prepare, runner="local"),
    Command(describe, "Shows what each column of raw tables holds, and what prepare would make of it. Of a dataset: the "
            "mean, deviation, smallest and largest value of each feature, over the training rows.",
            "mrdl describe train.csv --label price --out schema.json",
            of_describe, runner="local"),
    Command(train, "Trains a model in rounds that average the workers' weights; continues a run "
            "that was stopped.",
            "mrdl train model.py data/train runs/digits --workers 8 --until 'val_loss patience 5'",
            of_train, runner="local", model=True),
    Command(resume, "Continues a run from its last commit; with a new rule, also a run that has "
            "ended.",
            "mrdl resume runs/digits --epochs 40",
            of_resume, runner=OWN, model=True),
    Command(search, "Trains many configurations of a model at once, a job for all of them, and shows which are best; continues a search "
            "that was stopped.",
            "mrdl search model.py data/train runs/s1 --set learning_rate=log:1e-4..1e-1 --set units=64,128,256 --strategy halving",
            of_searching, runner="local", model=True),
    Command(evaluate, "Computes the loss and metrics of a model on a dataset, or on raw rows, whose columns are matched by "
            "name; for classes also the precision and recall of each.",
            "mrdl evaluate runs/digits test.csv",
            lambda p: (trained(p), of_evaluate(p)), runner="local", model=True),
    Command(predict, "Writes a model's outputs for every row, as CSV or JSON lines. The columns of raw rows are matched by name, and the "
            "predictions are in the order of the rows. If the model classifies each step of a sequence, writes the likeliest class and its "
            "probability for each step.",
            "mrdl predict runs/digits new.csv predictions --id customer",
            lambda p: (trained(p), of_predict(p)), runner="local", model=True),
    Command(score, "Reads raw rows from stdin and writes them with their scores to stdout, each as soon as it comes: for "
            "pipes, for Hive's TRANSFORM, and as the mapper of a streaming job.",
            "tail -f new.csv | mrdl score runs/digits --id customer",
            lambda p: (trained(p), of_score(p)), model=True, json=argparse.SUPPRESS),
    Command(export, "Writes a model as a file of Keras, which trains on from there.",
            "mrdl export runs/digits digits.keras",
            of_export, model=True),
    Command(generate, "Generates text with a model that was trained on text.",
            "mrdl generate runs/shakespeare --prompt 'The ' --temperature 0.5 --length 400",
            of_generate, model=True),
    Command(show, "Shows a run: its settings, its rounds and how it ended; the table of a search; or what a dataset "
            "contains.",
            "mrdl show runs/digits",
            of_show),
    Command(streaming, "Uploads what a run's next round needs, and prints the command that runs "
            "the round as a Hadoop streaming job; or, with --commit, commits what that job wrote.",
            "mrdl streaming hdfs:///models/m1 > round.sh && sh round.sh && "
            "mrdl streaming hdfs:///models/m1 --commit",
            of_streaming, runner=OWN, model=True),
    Command(runs, "Lists the runs in a folder, with the state of each.",
            "mrdl runs hdfs:///models",
            of_runs),
    Command(stop, "Tells the driver of a run, on any host, to end after the current round; the "
            "run can be resumed.",
            "mrdl stop hdfs:///models/m1 --wait 600",
            of_stop),
    Command(clean, "Removes what dead drivers left behind; refuses a run whose driver is alive.",
            "mrdl clean hdfs:///models/m1",
            of_clean))
