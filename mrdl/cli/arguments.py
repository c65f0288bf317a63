"""The parser of the command line: each command's arguments, with its help and an example."""
import argparse
from typing import NoReturn

from mrdl import __version__, limits
from mrdl.cli.commands import (
    describe,
    evaluate,
    generate,
    predict,
    prepare,
    resume,
    streaming,
    train,
)
from mrdl.cli.operate import clean, runs, stop
from mrdl.cli.show import show
from mrdl.config import cut
from mrdl.data.tokenizer import UNITS
from mrdl.driver.exchanges import resident
from mrdl.runners.registry import RUNNERS
from mrdl.runs import stopping

EXAMPLES = {
    "prepare": "mrdl prepare train.csv data/train --label label --hold-out 0.1",
    "describe": "mrdl describe data/train",
    "train": "mrdl train model.py data/train runs/digits --workers 8 --until 'val_loss patience 5'",
    "resume": "mrdl resume runs/digits --epochs 40",
    "evaluate": "mrdl evaluate runs/digits data/test --json",
    "predict": "mrdl predict runs/digits data/test predictions",
    "generate": "mrdl generate runs/shakespeare --prompt 'The ' --temperature 0.5 --length 400",
    "show": "mrdl show runs/digits",
    "streaming": "mrdl streaming hdfs:///models/m1 > round.sh && sh round.sh && mrdl streaming hdfs:///models/m1 --commit",
    "runs": "mrdl runs hdfs:///models",
    "stop": "mrdl stop hdfs:///models/m1 --wait 600",
    "clean": "mrdl clean hdfs:///models/m1",
}

DATA = ("data", None, "a dataset that prepare made")
RUN = ("run", None, "directory of the run")
MODEL = ("run", None, "directory of a run or a saved model")


def _memory(text: str) -> int:
    try:
        return limits.size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class Parser(argparse.ArgumentParser):
    """Shortens long arguments in its error messages."""

    def error(self, message: str) -> NoReturn:
        super().error(cut(message))


def parser() -> argparse.ArgumentParser:
    root = Parser(prog="mrdl", description="Deep learning as Hadoop streaming jobs.")
    root.add_argument("--version", action="version", version=f"mrdl {__version__}")
    debug = {"action": "store_true", "help": "after an error, show the traceback too"}
    root.add_argument("--debug", **debug)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(function, text, *positional):
        p = commands.add_parser(function.__name__, help=text, description=text,
                                epilog=f"example: {EXAMPLES[function.__name__]}",
                                formatter_class=argparse.RawDescriptionHelpFormatter)
        p.set_defaults(function=function)
        p.add_argument("--json", action="store_true", help="print one JSON object on stdout")
        p.add_argument("--debug", default=argparse.SUPPRESS, **debug)      # after the command too
        for name, many, about in positional:
            p.add_argument(name, nargs=many, metavar=name.upper(), help=about)
        if function in (train, resume, streaming, evaluate, predict, generate):
            p.add_argument("--max-memory", type=_memory, metavar="SIZE", help="refuse a model that is "
                           "estimated to need more memory, such as 8G (default: three quarters of this machine's: "
                           f"{limits.shown(limits.limit())})")
        if function in (generate, show, runs, stop, clean):        # which need no job
            return p
        begun = function in (resume, streaming)         # on the run's own runner
        p.add_argument("-r", "--runner", default=None if begun else "local",
                       help=" or ".join([", ".join([*RUNNERS][:-1]), [*RUNNERS][-1]])
                       + f" (default: {'that of the run' if begun else 'local'})")
        p.add_argument("-D", "--jobconf", action="append", default=[], metavar="NAME=VALUE",
                       help="a Hadoop setting for all jobs, such as mapreduce.job.queuename=night; may be repeated")
        p.add_argument("--node-python", default="python3", metavar="COMMAND",
                       help="-r hadoop: the command for Python on the nodes (default: python3)")
        p.add_argument("--wheels", metavar="DIR",
                       help="-r hadoop: folder with a wheel of mrdl for the nodes' version of Python")
        p.add_argument("--cores", type=int, help="tasks at the same time on this machine (default: one per core)")
        return p

    p = command(prepare, "Turns raw files into a dataset of shuffled shards, by a MapReduce job.",
                ("inputs", "+", "CSV, TSV (also .gz), .npz, IDX, or text"),
                ("data", None, "folder to write the dataset to"))
    p.add_argument("--label", help="column with the labels (of .npz: the array; default: y); without this option "
                   "a table has no labels, and all its columns are features")
    p.add_argument("--sample-weight", help="column with the weights of the examples")
    p.add_argument("--shards", type=int, help="number of training shards (default: one per 64 MB, at least 2)")
    p.add_argument("--hold-out", type=float, default=0.0,
                   help="share of the rows to hold out for validation (default: 0)")
    p.add_argument("--seed", type=int, default=0, help="seed of the shuffle (default: 0)")
    p.add_argument("--max-bad", type=float, default=0.001,
                   help="share of bad records that is tolerated (default: 0.001)")
    p.add_argument("--dtype", default="float32",
                   help="how to store numbers with fractions: float32 or float64 (default: float32)")
    p.add_argument("--classes", type=int,
                   help="number of classes; records with labels outside 0..CLASSES-1 are bad")
    p.add_argument("--format", choices=("text",),
                   help="text: sequences of characters or words (default: rows of numbers)")
    p.add_argument("--unit", choices=UNITS, help="of a text: what a token is, char or word (default: char)")
    p.add_argument("--sequence-length", type=int, metavar="N", help="of a text: tokens in a sequence (default: 100)")
    p.add_argument("--vocabulary", type=int, metavar="N",
                   help="of a text: the largest number of entries in the vocabulary (default: 65536)")
    p.add_argument("--header", choices=("yes", "no"),
                   help="whether the first line names the columns (default: decided by how it looks)")
    p.add_argument("--drop", action="append", default=[], metavar="COLUMN",
                   help="leave this column out; may be repeated")
    p.add_argument("--like", metavar="DATA", help="select the columns of the dataset DATA, by name; of a text: use its "
                   "vocabulary, unit and sequence length")

    command(describe, "Prints the mean, deviation, smallest and largest value of each feature, over the training rows.",
            DATA)
    p = command(train, "Trains a model in rounds that average the workers' weights; continues a run that was stopped.",
                ("model", None, ("a .py file that defines `model`, a model as .json, or the folder of a saved model "
                                 "or a finished run")), DATA, RUN)
    p.add_argument("--workers", type=int, default=2, help="number of shards trained on at the same time (default: 2)")
    p.add_argument("--batch-size", type=int, default=32, help="examples per minibatch (default: 32)")
    p.add_argument("--averaging-frequency", type=int,
                   help="minibatches that a worker trains on between two averagings (default: its whole shard)")
    ending(p, "when to stop (see below); with a new rule, a run that has ended continues")
    p.epilog += (f"\n\ndefault of --until: {stopping.DEFAULT} (loss patience 5, if no data is held out);\n"
                 "the final model is that of the best round if a rule has patience, else that of the last round")
    p.add_argument("--fresh-updater", action="store_true",
                   help="if MODEL is a run or a saved model: take only its weights, and reset the optimizer")
    p.add_argument("--validation",
                   help="dataset to compute val_... metrics on (default: the rows that prepare held out)")
    p.add_argument("--validation-freq", type=int, help="compute val_... metrics every so many rounds (default: chosen "
                   "so that they cost at most a fifth of training)")
    p.add_argument("--seed", type=int, default=0,
                   help="seed of the initial weights, the order of the rows and dropout (default: 0)")
    p.add_argument("--keep-rounds", type=int, default=3,
                   help="keep the states of so many last rounds, and of the best one (default: 3)")
    p.add_argument("--reset-updater", action="store_true",
                   help="reset the optimizer's state in each round (default: average it)")
    p.add_argument("--tbptt", type=int, metavar="STEPS", help="train on sequences in windows of so many steps, by "
                   "truncated back-propagation (default: whole sequences)")
    p.add_argument("--tbptt-backward", type=int, metavar="STEPS",
                   help="steps at the end of a window that gradients flow back through (default: the whole window)")
    p.add_argument("--buckets", type=int, nargs="+", metavar="STEPS", help="cut each minibatch of padded sequences to "
                   "the smallest of these lengths that holds them (default: no cutting)")
    p.add_argument("--recalibrate", action="store_true", help="at the end, recompute BatchNormalization's mean and "
                   "variance in one pass over all training examples")
    p.add_argument("--streaming", action="store_true",
                   help="begin the run but run no round: print the command of the first round, as mrdl streaming does")
    driven(p)
    p = command(resume, "Continues a run from its last commit; with a new rule, also a run that has ended.", RUN)
    ending(p, "when to stop, instead of the rules that the run has (see below)")
    p.add_argument("--learning-rate", type=float, metavar="X",
                   help="learning rate of all further rounds (above 0), instead of the model's rate or schedule")
    p.add_argument("--data", help="new place of the dataset, if it was moved")
    p.add_argument("--validation", help="new place of the dataset given as --validation, if it was moved")
    driven(p)
    p = command(evaluate, "Computes the loss and metrics of a model on a dataset.", MODEL, DATA)
    p.add_argument("--part", choices=("all", "train", "validation"), default="all",
                   help="which shards of the dataset (default: all)")
    p = command(predict, "Writes a model's outputs for every example, as CSV. Of a model that classifies each step of "
                "a sequence: the likeliest class and its probability, for each step.", MODEL, DATA,
                ("out", None, "folder to write the predictions to"))
    p.add_argument("--probabilities", action="store_true",
                   help="of a model that classifies each step: write the probabilities of all classes (large files)")
    p = command(generate, "Generates text with a model that was trained on text.", RUN)
    p.add_argument("--prompt", default="", help="text to continue (default: a line break)")
    p.add_argument("--length", type=int, default=200, metavar="N", help="number of tokens to generate (default: 200)")
    p.add_argument("--temperature", type=float, default=1.0, metavar="T",
                   help="below 1: likely tokens become more likely; 0: always the likeliest token (default: 1)")
    p.add_argument("--seed", type=int, default=0, help="seed of the random choices (default: 0)")
    command(show, "Shows a run: its settings, its rounds and how it ended; or what a dataset contains.",
            ("run", None, "directory of a run or a dataset"))
    p = command(streaming, "Uploads what a run's next round needs, and prints the command that runs the round as a "
                "Hadoop streaming job; or, with --commit, commits what that job wrote.", RUN)
    p.add_argument("--output", metavar="OUT",
                   help="folder that the job writes to (default: one in the run's directory)")
    p.add_argument("--commit", nargs="?", const="", metavar="OUT",
                   help="check the job's output and commit it to the run; finish the run if a stop rule holds")
    command(runs, "Lists the runs in a folder, with the state of each.",
            ("folder", None, "a folder that contains runs, or a run"))
    p = command(stop, "Tells the driver of a run, on any host, to end after the current round; the run can be resumed.",
                RUN)
    p.add_argument("--wait", type=float, default=0.0, metavar="SECONDS",
                   help="wait so long for the driver to end; exit status 1 if it has not by then (default: do not wait)")
    p = command(clean, "Removes what dead drivers left behind; refuses a run whose driver is alive.", RUN)
    p.add_argument("--cache", action="store_true",
                   help="-r hadoop: also empty .mrdl/cache in your home on HDFS; only while none of your jobs runs")
    return root


def ending(p: argparse.ArgumentParser, until: str) -> None:
    """When a run stops."""
    p.add_argument("--epochs", type=int, metavar="N", help="stop after N epochs, or earlier if a rule of --until holds")
    p.add_argument("--rounds", type=int, metavar="N", help="stop after N rounds, or earlier if a rule of --until holds")
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
