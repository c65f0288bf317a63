"""Cross-validation: a run for each fold of a dataset, and what their scores have in common."""
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from mrdl.config import need
from mrdl.data import dataset, folds
from mrdl.driver.averaging import ParameterAveraging
from mrdl.models.model import Model
from mrdl.report.folded import FILE, Folded, read, spread, write
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.storage.schemes import store_at


@dataclass
class CrossValidation:
    """What the runs of all folds have come to.

    Args:
        scores: for each fold the loss and metrics of its model; names of values on the fold that
            was held out begin with `val_`.
        mean: of each number among them the mean over the folds.
        deviation: and its standard deviation (that of a sample)."""
    scores: list[dict[str, Any]]
    mean: dict[str, float]
    deviation: dict[str, float]


def cross_validate(model: Model | Callable[[str], Model], data: str, folds: int = 5, *, run: str,
                   training: ParameterAveraging | None = None, told: Callable[[str, dict[str, Any]], None] | None = None,
                   verbose: int | str = "auto") -> CrossValidation:
    """Trains a model for each of several folds of a dataset, on all rows but those of the fold, and scores it on these.

    A fold is made of the dataset's training shards: of k folds the i-th has the shards i, i + k, i
    + 2 k and so on. Rows that `prepare` held out take no part. The runs are RUN/fold-1 and so on; a
    call that was stopped goes on when it is made again.

    Args:
        model: a compiled model, of which each fold trains a copy; or a function that makes the
            model for a dataset, such as mrdl.driver.tabular.tabular.
        data: the dataset's folder, with at least as many training shards as folds.
        folds: how many, 2 or more.
        run: the folder of the runs, a path or an hdfs:// URL.
        training: how to train. None: ParameterAveraging().
        told: called with events of the runs, as by ParameterAveraging.fit. None: progress is
            printed.
        verbose: 0 prints nothing.

    Returns:
        The scores of each fold, their mean and deviation.

    Raises:
        DataError: there is no dataset, or it has fewer training shards than folds.
        RunError: the folder holds something else, or runs of other folds or options."""
    training = training or ParameterAveraging()

    def fit(part: str, place: str) -> dict[str, Any]:
        own = deepcopy(model) if isinstance(model, Model) else model(part)
        return training.fit(own, part, run=place, told=told, verbose=verbose).metrics
    return each(data, folds, run, fit)


def each(data: str, count: int, run: str, fit: Callable[[str, str], dict[str, Any]]) -> CrossValidation:
    """Fits the folds one after the other. `fit`: trains on a fold of the data into a run, and gives its loss and metrics."""
    need(folds.apart(data)[1] is None, f"{data} is a fold itself")
    need(isinstance(count, int) and count >= 2, f"folds {count}: must be 2 or more")
    url = dataset.load(folds.named(data, 1, count)).url         # raises errors before anything is written
    whole, _ = folds.apart(url)
    place = store_at(run)
    if Run(run).exists():
        raise RunError(f"{run} is a run: give another folder for the runs of folds")
    known: Folded = {"folds": count, "data": whole, "scores": []}
    if place.exists(FILE):
        found = read(place)
        if found["folds"] != count or found["data"] != whole:
            raise RunError(f"{run} has {found['folds']} folds of {found['data']}: give another folder")
    for number in range(1, count + 1):
        write(place, known)
        known["scores"].append(fit(folds.named(data, number, count), f"{run}/fold-{number}"))
    write(place, known)
    return CrossValidation(known["scores"], *spread(known["scores"]))

