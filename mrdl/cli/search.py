"""The command `mrdl search`: its arguments, and what it does."""
import argparse
from typing import Any

from mrdl import search as strategies
from mrdl.cli import model_file
from mrdl.cli.commands import cluster, given
from mrdl.cli.operate import hooked
from mrdl.cli.show import told_search
from mrdl.config import need


def of_search(p: argparse.ArgumentParser) -> None:
    """Its own arguments; those of training are added by arguments.py."""
    p.add_argument("--set", dest="space", action="append", required=True, metavar="NAME=VALUES",
                   help="try these values (see below) of a parameter of the function `model`, or of an option of training: batch_size, "
                   "averaging_frequency, outer, compress, compress_broadcast, save_updater or seed; may be repeated")
    p.add_argument("--strategy", default="random", choices=strategies.STRATEGIES,
                   help="; ".join(f"{name}: {about}" for name, about in strategies.STRATEGIES.items()) + " (default: random)")
    p.add_argument("--configurations", type=int, metavar="N", help=f"how many to try (default: {strategies.DRAWN}, with halving {strategies.HALVED}; "
                   "a grid and hyperband need no number)")
    p.add_argument("--factor", type=int, metavar="N", help="halving and hyperband: one configuration of N trains on, N times as long (default: 3)")
    p.add_argument("--hop", action="store_true", help="with one worker each: a job for each shard that the configurations hop to, instead of "
                   "one for a rung; the results are the same")
    p.add_argument("--metric", help="what is compared (default: val_loss, or loss if no data is held out)")
    p.epilog += f"\n\nthe forms of --set:\n{strategies.GRAMMAR}"


@hooked
def search(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl.driver.averaging import ParameterAveraging
    from mrdl.driver.search import Search
    space: dict[str, str] = {}
    for text in a.space:
        name, equals, values = text.partition("=")
        need(bool(equals and name.isidentifier()) and name not in space, f"--set {text}: must be NAME=VALUES, each name once")
        space[name] = values
    a.workers = 1 if a.workers is None else a.workers
    with cluster(a) as runner:
        training = ParameterAveraging(**given(a, ParameterAveraging, runner=runner))
        training.options()              # what makes no sense is said before the model's file runs
        found = Search(**given(a, Search, space=space, training=training)).fit(model_file.function(a.model), a.data, a.validation, run=a.run)
    return told_search(a, found)
