"""Search: trains many configurations of a model at once, a job for all of them, and finds the best; from Python."""
import sys
from collections.abc import Callable
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from typing import Any

from mrdl import frequency, search
from mrdl.config import ConfigError, need
from mrdl.data import dataset
from mrdl.driver.averaging import ParameterAveraging
from mrdl.driver.checks import Begun, checked, source
from mrdl.driver.fits import reached
from mrdl.driver.searching import Searching, Told, so_trained
from mrdl.models.model import Model
from mrdl.models.saving import load_model, model_from_json
from mrdl.report import searched
from mrdl.runners.cluster import Cluster, opened
from mrdl.runs import searches
from mrdl.runs.commits import RunError
from mrdl.runs.lease import Lease
from mrdl.runs.searches import Asked, Configuration
from mrdl.storage.sealed import digest

TRAINING = ("batch_size", "averaging_frequency", "outer", "compress", "compress_broadcast", "save_updater", "seed")     # options that may be tried


@dataclass
class Searched:
    """A search that has ended.

    Args:
        run: the run of the best configuration.
        values: its values.
        model: its model, trained.
        metrics: its loss and metrics.
        table: a row for each configuration, best first: "run", "values", "state", "rung",
            "epochs", "examples", "metrics" and "reason"."""
    run: str
    values: search.Values
    model: Model
    metrics: dict[str, float]
    table: list[dict[str, Any]]


@dataclass(slots=True)
class Search:
    """Trains many configurations of a model, and finds the best.

    All configurations of a rung train at the same time, in the same jobs. With one worker each, the
    default, a rung is one job, and nothing is averaged: each goes from shard to shard with its
    updater's state, and is trained by exact SGD (with `hop` as in Cerebro's model hopping). With
    more workers each is averaged as by ParameterAveraging, and a round of all of them is one job.

    Args:
        space: the values to try, by the name of a parameter of the function that makes the
            model, or of an option of training: batch_size, averaging_frequency, outer, compress,
            compress_broadcast, save_updater or seed. A list of values, or a text as on the command line:
            "64,128,256", "1..8", "0.1..0.5" or "log:1e-4..1e-1".
        strategy: "random", "grid", "halving" (successive halving: Jamieson and Talwalkar, 2016)
            or "hyperband" (Li et al., 2018).
        configurations: how many, 1 or more. None: 20, with halving 27; those of a grid, and
            hyperband's, follow from the space and from `factor`.
        factor: with halving and hyperband: one configuration of so many trains on, so many times
            as long; 2 or more. 3, as in the papers.
        metric: what is compared, a number on held-out data or on training data. None: val_loss,
            or loss where nothing is held out.
        seed: of what is drawn, from 0 to 2^63 - 1. 0, so that a search can be repeated.
        hop: with one worker each: whether a job is a hop, from one shard to the next. False: a
            rung is one job, in which each configuration's worker goes from shard to shard. The bits
            are the same.
        training: how each configuration trains: its workers, and everything else. Its `epochs` (or
            `rounds`) is what those have that train longest. Rounds that are not finite are not
            tried at a smaller rate, as this would be another configuration. None:
            ParameterAveraging(workers=1)."""
    space: dict[str, Any]
    strategy: str = "random"
    configurations: int | None = None
    factor: int = 3
    metric: str | None = None
    seed: int = 0
    hop: bool = False
    training: ParameterAveraging | None = None

    def fit(self, model: Callable[..., Model], data: str, validation: str | None = None, *, run: str,
            told: Told | None = None, verbose: int | str = "auto") -> Searched:
        """Searches, and goes on with the search that is there.

        Args:
            model: makes a compiled model from values of its parameters.
            data: the dataset to train on, as for ParameterAveraging.fit.
            validation: another dataset, which is scored whole. None: the shards of `data` that
                `prepare` held out.
            run: the search's directory, a path or an hdfs:// URL. Its runs are RUN/c0001 and so
                on, ordinary runs.
            told: called with the name of each event and its facts. None: progress is printed.
            verbose: 0 prints nothing. It means nothing where `told` is given.

        Returns:
            The best configuration, and the table of all.

        Raises:
            ConfigError: a value or an option makes no sense, or no configuration fits the data.
            DataError: there is no dataset at `data` or `validation`.
            RunError: the directory holds something else, a search of other options, or another
                driver works on it.
            RuntimeError: all configurations failed.
            JobFailed: a job failed that would have failed for any configuration."""
        training = replace(self.training or ParameterAveraging(workers=1), retries=0)
        need(self.strategy in search.STRATEGIES, f"strategy {self.strategy!r} must be one of {', '.join(search.STRATEGIES)}")
        need(type(self.factor) is int and self.factor >= 2, f"factor {self.factor!r} must be 2 or more")
        need(not training.options().cut, "a search cannot train fragments yet")
        need(not isinstance(frequency.rule(training.averaging_frequency), frequency.Auto), "a search needs an averaging_frequency that "
             "does not depend on the clock: a number, or another rule")
        train = dataset.load(data)
        values = self._values(training)
        of_model, of_training = search.named(model, list(values[0]), TRAINING)
        need(not any(str(own[name]).startswith("auto") for own in values for name in of_training), "values of a search cannot be auto, as what that "
             "chooses depends on how long a configuration trains")
        made = [_made(model, own, of_model) for own in values]
        models = {number: own for number, (own, _) in enumerate(made, 1) if own is not None}
        need(bool(models), f"no configuration has a model: {made[0][1]}")
        need(len({own.dtype for own in models.values()}) == 1, "the models of a search must have one dtype, float32 or float64")
        begun = _first(training, values, of_training, models, data, validation)
        metric, rising = _compared(self.metric, begun)
        unit = "rounds" if training.rounds is not None and training.epochs is None else "epochs"
        given = {number: own.weights is not None and digest(own.weights.tobytes()) for number, own in models.items()}
        configurations = [Configuration(values=own, spec=models[number].to_json() if number in models else None,
                                        weights=given.get(number) or None, reason=reason)
                          for number, (own, (_, reason)) in enumerate(zip(values, made), 1)]
        most = self._budget(training, len(values))
        options = asdict(replace(training, epochs=None, rounds=None).options()) | {
            "class_weight": begun.options.class_weight, "outer": begun.options.outer}
        asked_for = Asked(strategy=self.strategy, factor=self.factor, metric=metric, rising=rising, most=most, unit=unit, seed=self.seed, hop=self.hop,
                          options=options, tried=of_training, data=begun.facts["data"], validation=begun.facts["validation"],
                          configurations=configurations)
        place = searches.Search(run)
        with _heard(told, verbose) as hears, opened(training.runner, training.cores) as cluster:
            reached(cluster, train, *(own for own, _ in begun.held[:1]))
            cluster.backend.check([shard.path for shard in train.train() if shard.n] + [shard.path for _, shard in begun.held])
            with Lease(place.store) as lease:
                place.begin(asked_for, cluster.runner)
                return _best(Searching(place, lease, cluster, models, hears, data, validation))

    def _values(self, training: ParameterAveraging) -> list[search.Values]:
        """The configurations, drawn or counted out."""
        space = search.space(self.space)
        if self.strategy == "grid":
            need(self.configurations is None, "a grid has every combination; configurations belong to the other strategies")
            return search.grid(space)
        if self.strategy == "hyperband":
            need(self.configurations is None, f"hyperband itself says how many configurations it needs; they follow from factor {self.factor} and the epochs")
            count = search.brackets("hyperband", None, self.factor, training.epochs or training.rounds)[-1].members.stop - 1
        else:
            count = self.configurations if self.configurations is not None else search.HALVED if self.strategy == "halving" else search.DRAWN
        need(type(count) is int and count >= 1, f"configurations {count!r} must be 1 or more")
        found = search.drawn(space, count, self.seed)
        need(self.strategy != "hyperband" or len(found) == count, f"hyperband needs {count} configurations, and the values have only {len(found)} "
             "combinations: take halving")
        return found

    def _budget(self, training: ParameterAveraging, count: int) -> int | None:
        """What those have that train longest; None: until the run's own rules end it."""
        most = training.epochs if training.epochs is not None else training.rounds
        if most is None and self.strategy in ("halving", "hyperband"):
            most = search.brackets(self.strategy, count, self.factor, None)[0].budgets[-1]
        return most


def resume(run: str, runner: str | Cluster | None = None, cores: int | None = None, told: Told | None = None,
           verbose: int | str = "auto") -> Searched:
    """Goes on with a search, to the bits of one that was never stopped.

    Args:
        run: the search's directory, a path or an hdfs:// URL.
        runner: as for ParameterAveraging. None: the search's own.
        cores: tasks that run at once on this machine. None: one for each core.
        told: called with the name of each event and its facts. None: progress is printed.
        verbose: 0 prints nothing.

    Raises:
        RunError: there is no search, or its data is not what it was begun with."""
    place = searches.Search(run)
    known = place.asked()
    if any(own["weights"] for own in known["configurations"]):
        raise RunError(f"{run}: its models begin with weights of their own: start it again with the command that began it")
    models = {number: model_from_json(own["spec"]) for number, own in enumerate(known["configurations"], 1) if own["spec"] is not None}
    validation = known["validation"] and known["validation"]["url"]
    train = dataset.load(known["data"]["url"])
    for name, then, now in (("data", known["data"], train), ("validation", known["validation"], validation and dataset.load(validation))):
        if then and {**then, "url": now.url} != source(now):
            raise RunError(f"{now.url} is not the {name} that {run} was begun with")
    with _heard(told, verbose) as hears, opened(runner or place.runner(), cores) as cluster, Lease(place.store) as lease:
        reached(cluster, train, *([dataset.load(validation)] if validation else []))
        return _best(Searching(place, lease, cluster, models, hears, train.url, validation))


def _best(searching: Searching) -> Searched:
    """Searches to the end."""
    table = searching.search()
    best, run = table[0], searching.place.run(table[0]["configuration"])
    return Searched(run, best["values"], load_model(run), best["metrics"], table)


def _first(training: ParameterAveraging, values: list[search.Values], of_training: list[str], models: dict[int, Model], data: str,
           validation: str | None) -> Begun:
    """What the first configuration begins with that fits the data; the first's error, if none does."""
    first: ConfigError | None = None
    for number, model in models.items():
        try:
            return checked(so_trained(training, values[number - 1], of_training), deepcopy(model), data, validation)
        except ConfigError as error:
            first = first or error
    raise first


def _made(model: Callable[..., Model], values: search.Values, of_model: list[str]) -> tuple[Model | None, str | None]:
    """The compiled model with these values, or why there is none."""
    try:
        own = model(**{name: values[name] for name in of_model})
        if not isinstance(own, Model):
            return None, f"the function gave no mrdl model, but {type(own).__name__}"
        return own.compiled(), None
    except Exception as error:  # noqa: BLE001 - the user's own code; the reason is in the table
        kind = "" if isinstance(error, ConfigError) else f"{type(error).__name__}: "
        return None, kind + " ".join(str(error).split())


def _compared(metric: str | None, begun: Begun) -> tuple[str, bool]:
    """The metric that configurations are compared by, and whether more of it is better."""
    named = begun.model.named_metrics()
    single = ["loss", *(name for name, own in named.items() if not own.vector)]
    names = [*single, *("val_" + name for name in single if begun.held)]
    metric = metric or ("val_loss" if begun.held else "loss")
    need(metric in names, f"there is no metric {metric}: configurations can be compared by {', '.join(names)}"
         + ("" if begun.held else ", and val_... with held-out data: prepare with --hold-out 0.1, or give --validation DATA"))
    name = metric.removeprefix("val_")
    return metric, name in named and named[name].rising


@contextmanager
def _heard(told: Told | None, verbose: int | str):
    """The function to call with events: the caller's, or one that prints lines, or one that does nothing."""
    def say(event: str, facts: dict[str, Any]) -> None:
        if text := searched.line(event, facts):
            print(text, file=sys.stderr, flush=True)
    yield told or (say if verbose else lambda event, facts: None)
