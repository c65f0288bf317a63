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


def _memory(text: str) -> int:
    try:
        return limits.size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class Parser(argparse.ArgumentParser):
    """Its errors quote no more of an argument than can be read."""

    def error(self, message: str) -> NoReturn:
        super().error(cut(message))


def parser() -> argparse.ArgumentParser:
    root = Parser(prog="mrdl", description="Deep learning as Hadoop streaming jobs.")
    root.add_argument("--version", action="version", version=f"mrdl {__version__}")
    debug = {"action": "store_true", "help": "show where in the code an error came up"}
    root.add_argument("--debug", **debug)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(function, text, *positional):
        p = commands.add_parser(function.__name__, help=text, description=text,
                                epilog=f"example: {EXAMPLES[function.__name__]}",
                                formatter_class=argparse.RawDescriptionHelpFormatter)
        p.set_defaults(function=function)
        p.add_argument("--json", action="store_true", help="one JSON object on stdout")
        p.add_argument("--debug", default=argparse.SUPPRESS, **debug)      # after the command too
        for name, many, about in positional:
            p.add_argument(name, nargs=many, metavar=name.upper(), help=about)
        if function in (train, resume, streaming, evaluate, predict, generate):
            p.add_argument("--max-memory", type=_memory, metavar="SIZE", help="a model that takes more by its estimate is "
                           f"refused, as 8G (three quarters of this machine's: {limits.shown(limits.limit())})")
        if function in (generate, show, runs, stop, clean):        # which need no job
            return p
        begun = function in (resume, streaming)         # on the run's own runner
        p.add_argument("-r", "--runner", default=None if begun else "local",
                       help=" or ".join([", ".join([*RUNNERS][:-1]), [*RUNNERS][-1]]) + (" (the run's)" if begun else " (local)"))
        p.add_argument("-D", "--jobconf", action="append", default=[], metavar="NAME=VALUE",
                       help="a Hadoop setting of every job, as mapreduce.job.queuename=night")
        p.add_argument("--node-python", default="python3", metavar="COMMAND",
                       help="-r hadoop: the nodes' Python (python3)")
        p.add_argument("--wheels", metavar="DIR", help="-r hadoop: wheels of mrdl for that Python")
        p.add_argument("--cores", type=int, help="tasks at once on this machine (all cores)")
        return p

    p = command(prepare, "Raw files to shuffled shards, by a MapReduce job.",
                ("inputs", "+", "CSV, TSV (also .gz), .npz, IDX, or text"), ("data", None, "folder to make"))
    p.add_argument("--label", help="column of the labels (npz: array; default y); a table without it has none, "
                   "and all its columns are features")
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
    p.add_argument("--header", choices=("yes", "no"), help="whether the first line has the names of the columns (as it looks)")
    p.add_argument("--drop", action="append", default=[], metavar="COLUMN", help="leave this column out; may be given again")
    p.add_argument("--like", metavar="DATA", help="take that dataset's columns, by name; of a text its vocabulary and all")

    command(describe, "Mean, deviation, least and largest value of each feature, over the rows to train on.",
            ("data", None, "what prepare made"))
    p = command(train, "Trains a model by averaged rounds; goes on where it was stopped.",
                ("model", None, "file.py, spec.json, or a saved model's folder"),
                ("data", None, "what prepare made"), ("run", None, "the run's directory"))
    p.add_argument("--workers", type=int, default=2, help="shards trained at a time (2)")
    p.add_argument("--batch-size", type=int, default=32, help="examples of a minibatch (32)")
    p.add_argument("--averaging-frequency", type=int,
                   help="minibatches between two averagings (a whole shard)")
    ending(p, "when to stop (see below); with another rule than before a run that has ended goes on")
    p.epilog += (f"\n\nwithout any: {stopping.DEFAULT} (loss where nothing is held out);\nthe model at the end is that of the best round, "
                 "or of the last where no rule has patience")
    p.add_argument("--fresh-updater", action="store_true",
                   help="of MODEL, a run or a saved model, take the weights alone (the updater's state too)")
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

    p.add_argument("--streaming", action="store_true",
                   help="begins the run without running a round: prints the first one's command, as mrdl streaming does")
    driven(p)
    p = command(resume, "Goes on with a run from its last commit; with another rule beyond its end.",
                ("run", None, "the run"))
    ending(p, "when to stop, in place of the rules that it has (see below)")
    p.add_argument("--learning-rate", type=float, metavar="X",
                   help="above 0: of the rounds to come, in place of the model's rate or schedule")
    p.add_argument("--data", help="where the dataset lies now, if it was moved")
    p.add_argument("--validation", help="where the dataset of --validation lies now, if it was moved")
    driven(p)
    p = command(evaluate, "Loss and metrics over a dataset.", ("run", None, "run or saved model"),
                ("data", None, "what prepare made"))
    p.add_argument("--part", choices=("all", "train", "validation"), default="all",
                   help="which of its shards (all)")
    p = command(predict, "Outputs for every example, as CSV: of classes by place, as in text, the likeliest and its "
                "probability.", ("run", None, "run or saved model"), ("data", None, "what prepare made"),
                ("out", None, "folder to make"))
    p.add_argument("--probabilities", action="store_true",
                   help="of classes by place: all of them, which may be much (all outputs of other models are written anyway)")
    p = command(generate, "Text that a model of characters or words goes on with.", ("run", None, "the run"))
    p.add_argument("--prompt", default="", help="what it goes on from (a new line)")
    p.add_argument("--length", type=int, default=200, metavar="N", help="tokens to write (200)")
    p.add_argument("--temperature", type=float, default=1.0, metavar="T",
                   help="below 1 likely tokens come more often, 0: always the likeliest (1)")
    p.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    command(show, "What a run is, has done, and how it ended; or what is in a dataset.",
            ("run", None, "the run, or what prepare made"))
    p = command(streaming, "Prints the command of a run's next round, a Hadoop streaming job that anybody can run, with "
                "all its files in place; or commits what that job wrote.", ("run", None, "the run"))
    p.add_argument("--output", metavar="OUT", help="where the job is to write (a folder of the run's)")
    p.add_argument("--commit", nargs="?", const="", metavar="OUT",
                   help="checks and commits the job's output into the run; finishes the run where a rule says so")
    command(runs, "The runs in a folder: how each one stands.", ("folder", None, "a folder with runs in it, or a run"))
    p = command(stop, "Asks the driver of a run, on whatever host, to end after the round at hand; the run can be resumed.",
                ("run", None, "the run"))
    p.add_argument("--wait", type=float, default=0.0, metavar="SECONDS",
                   help="until the driver has ended; exit status 1 if it has not by then (0: does not wait)")
    p = command(clean, "Removes what drivers that died left behind; never touches a run at work.", ("run", None, "the run"))
    p.add_argument("--cache", action="store_true",
                   help="-r hadoop: all of .mrdl/cache in your home on HDFS too; while no job of yours runs")
    return root


def ending(p: argparse.ArgumentParser, until: str) -> None:
    """When a run stops."""
    p.add_argument("--epochs", type=int, metavar="N",
                   help="stop after N epochs: a rule beside those of --until, whichever comes first")
    p.add_argument("--rounds", type=int, metavar="N",
                   help="stop after N rounds: a rule beside those of --until, whichever comes first")
    p.add_argument("--until", help=until)
    p.epilog += f"\n\nthe grammar of --until:\n{stopping.GRAMMAR}"


def driven(p: argparse.ArgumentParser) -> None:
    """The arguments of what drives rounds."""
    p.add_argument("--on-finish", metavar="COMMAND",
                   help="run by the shell at the end, however it comes; MRDL_RUN, MRDL_STATUS (finished, failed, stopped, "
                   "interrupted) and MRDL_REASON are in its environment")
    p.add_argument("--resident", nargs="?", const="always", default="auto", choices=resident.WHEN,
                   help="one job for many rounds (auto: where rounds of a job each cost much)")
