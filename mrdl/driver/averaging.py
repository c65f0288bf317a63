"""ParameterAveraging: train a model on a prepared dataset by averaged rounds, from Python."""
import math
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from mrdl import limits
from mrdl.config import ConfigError, need
from mrdl.data import dataset, sources
from mrdl.driver.exchanges.plain import Exchange
from mrdl.driver.exchanges.resident import WHEN, ResidentExchange
from mrdl.driver.fits import features_of, fitted, same_features
from mrdl.driver.loop import Driver
from mrdl.driver.options import Options
from mrdl.models import tensors
from mrdl.models.model import Model
from mrdl.models.saving import model_from_json, restored
from mrdl.report.picture import Picture
from mrdl.report.progress import reporter
from mrdl.rounds import plan
from mrdl.runners.cluster import Cluster, opened
from mrdl.runs import stopping
from mrdl.runs.commits import RunError
from mrdl.runs.lease import LeaseLost
from mrdl.runs.run import Run
from mrdl.storage.sealed import digest
from mrdl.training import moments, sequences
from mrdl.training.class_weights import check_class_weight


@dataclass
class Result:
    """A finished run: its model, why it ended, and history[metric][round - 1]."""
    model: Model
    reason: str
    rounds: int
    best: int
    metrics: dict[str, Any]
    history: dict[str, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class ParameterAveraging(Options):
    """DL4J's ParameterAveragingTrainingMaster for mrjob: W workers train copies of the model on a
    shard each; their weights and updater state are averaged every `averaging_frequency` minibatches
    (None: once a shard), weighted by examples.

    `epochs` and `rounds` are short for the rules of `until`; see mrdl.runs.stopping.GRAMMAR. `resident`:
    whether one job serves many rounds ("auto" | "always" | "never"); the bits are the same.
    `tbptt`, `tbptt_backward`: sequences are trained in windows of so many steps (mrdl.training.sequences), `buckets`: minibatches
    are cut to the length of their longest sequence.
    `recalibrate`: at the end one pass over all examples sets BatchNormalization's moving moments exactly."""
    epochs: int | None = None
    rounds: int | None = None
    runner: str | Cluster = "local"     # a name, or a Cluster with settings of its own, used for more
    cores: int | None = None
    resident: str = "auto"

    def options(self) -> Options:
        values = {f.name: getattr(self, f.name) for f in fields(Options)}
        values["until"] = rules(self.until, self.epochs, self.rounds)
        check_class_weight(values["class_weight"])
        values |= sequences.plain(self.tbptt, self.tbptt_backward, self.buckets)
        if values["class_weight"]:
            values["class_weight"] = {str(k): float(v) for k, v in values["class_weight"].items()}
        return Options(**values).check()

    def fit(self, model: Model, data: str, validation: str | None = None, *, run: str,
            told: Callable[[str, dict[str, Any]], None] | None = None, verbose: int | str = "auto",
            exchange: Callable[[Cluster, Run], Exchange] | None = None) -> Result:
        """Trains `model` on the dataset `data` into the run directory `run`, resuming what is there.

        `validation`: another dataset, scored whole; default: the shards held out by prepare.
        `told` hears of every event; without it the progress is printed, but for `verbose` 0. `exchange` makes
        another form of a round's exchange than the resident one (mrdl.driver.exchanges.staged).
        The model's weights are the best state's afterwards."""
        options, place, model = self.options(), Run(run), model.compiled()
        train = dataset.load(data)
        held = _held_out(train, validation)
        fitted(model, train)
        rebuilt(model)
        check_class_weight(options.class_weight, model, train.target.high)
        sequences.check(model, options.tbptt, options.tbptt_backward, options.buckets)
        if validation is not None and held:
            same_features(features_of(train), train.url, held[0][0])
            fitted(model, held[0][0])
        given = model.weights is not None
        model.build(seed=options.seed)
        moments.unadapted(model)                # said before anything is written
        model.features = features_of(train)
        facts = {"options": asdict(options), "data": _source(train),
                 "validation": None if validation is None else _source(held[0][0]),
                 **model.features, "spec": model.to_json(),
                 "weights": digest(model.weights.tobytes()) if given else None,
                 "updater": tensors.facts(model), "rate": None,
                 "runner": self.runner if isinstance(self.runner, str) else self.runner.runner}
        with heard(told, verbose) as hears:
            known = place.options() if place.exists() else None
            return drive(place, facts, known, options, model, train, held, self.runner, self.cores, hears,
                         self.resident, exchange)


def rules(until: str | None, epochs: int | None, rounds: int | None) -> str | None:
    """The text of `until` with what is short for rules; None where nothing is given."""
    given = {name: n for name, n in (("epochs", epochs), ("rounds", rounds)) if n is not None}
    for name, n in given.items():
        if not isinstance(n, int) or n < 1:
            raise RunError(f"{name} must be 1 or more, not {n}")
    if until is not None:
        stopping.parse(until)           # what is no rule is said before anything is read
    return ", ".join([*([] if until is None else [until]), *(f"{name} {n}" for name, n in given.items())]) or None


def resume(run: str, runner: str | Cluster | None = None, cores: int | None = None,
           told: Callable[[str, dict[str, Any]], None] | None = None, resident: str = "auto",
           verbose: int | str = "auto", exchange: Callable[[Cluster, Run], Exchange] | None = None, *,
           until: str | None = None, epochs: int | None = None, rounds: int | None = None,
           learning_rate: float | None = None, data: str | None = None, validation: str | None = None) -> Result:
    """Goes on with a run from its last commit; RunError where there is nothing to go on with.

    `until`, `epochs`, `rounds` take the place of the rules that it was begun with: a run that has ended goes on where it
    stopped (not from the best state), to the same bits as if that had been asked for at once; RunError where it has done
    more rounds or epochs already. `learning_rate`, above 0: that of the rounds to come, in place of the spec's rate or schedule and of what roll-backs made of it.
    `data`, `validation`: where these datasets lie now, if they were moved.
    `told`, `verbose`, `exchange`: as for ParameterAveraging.fit."""
    need(learning_rate is None or 0 < learning_rate < math.inf, f"learning_rate must be above 0, not {learning_rate}")
    place = Run(run)
    found = place.options()
    model = model_from_json(found["spec"])
    model.features = {name: found[name] for name in ("text", "columns")}
    options = Options.read(found["options"])
    options.until = rules(until, epochs, rounds) or options.until
    model.epochs = (found["updater"] or {"epochs": 0})["epochs"]
    need(validation is None or found["validation"], f"{run} has no validation data of its own that could have been moved")
    try:
        train = dataset.load(data or found["data"]["url"])
        held = _held_out(train, found["validation"] and (validation or found["validation"]["url"]))
    except sources.DataError as error:
        raise RunError(f"{error}; if it was moved: mrdl resume {shlex.quote(run)} --data (or --validation) and its new "
                       "place") from None
    for name, then, now in (("data", found["data"], train),
                            ("validation", found["validation"], held[0][0] if held else None)):
        if then and {**then, "url": now.url} != _source(now):
            raise RunError(f"{now.url} is not the {name} that {run} was begun with")
    if found["weights"] and not place.rounds():
        raise RunError(f"{run} has not committed its first weights yet: start it again with the "
                       "command that began it")
    model.build(seed=options.seed)
    with heard(told, verbose) as hears:
        return drive(place, found, found, options, model, train, held, runner or found["runner"], cores, hears,
                     resident, exchange, learning_rate)


@contextmanager
def heard(told: Callable | None, verbose: int | str) -> Iterator[Callable]:
    """Who hears of a run's events: the caller, or for a while its stdout, or nobody."""
    if told or not verbose:
        yield told or (lambda event, facts: None)
        return
    with closing(reporter(sys.stdout)) as progress:
        yield progress


def drive(place: Run, facts: dict, known: dict | None, options: Options, model: Model, train: dataset.Dataset,
          held: list, runner: str | Cluster, cores: int | None, told: Callable,
          resident: str, exchange: Callable[[Cluster, Run], Exchange] | None = None,
          learning_rate: float | None = None) -> Result:
    """Begins the run, or goes on with it; nothing is written before all was found to fit. `known`: the options of one
    that is there."""
    changed = known and known["rate"]
    rate = changed["learning_rate"] if changed and learning_rate is None else learning_rate
    if rate is not None:
        model.optimizer = replace(model.optimizer, learning_rate=rate)

    def warned(text: str) -> None:
        told("warning", {"text": text})
    limits.check(model if options.tbptt is None else model.windowed(options.tbptt),
                 min(options.batch_size, max((s.n for s in train.train()), default=1)), training=True)
    need(resident in WHEN, f"resident={resident!r} must be one of {', '.join(WHEN)}")
    with opened(runner, cores) as cluster:
        need(resident != "always" or cluster.backend.stays,
             f"resident rounds need -r local or -r hadoop, not {cluster.runner}")
        cluster.warned = warned
        cluster.waiting = lambda text, seconds: told("waiting", {"text": text, "seconds": seconds})
        shards = [(plan.name(train.uid, s.index), s.path) for s in train.train() if s.n]
        exchange = exchange(cluster, place) if exchange else ResidentExchange(
            cluster, options.workers, shards, resident, warned)
        picture = Picture(place.store)

        def seen(event: str, facts: dict[str, Any]) -> None:
            told(event, facts)
            if event == "round":
                picture.soon(driver.history, driver.best())
        driver = Driver(place, options, model, train, held, exchange, seen, learning_rate=learning_rate)
        cluster.ready()
        place.begin(facts, known)
        try:
            done = driver.train()
        except LeaseLost:
            exchange.leave()
            raise
        except BaseException:
            exchange.close(False)
            if len(driver.history) > 1:
                picture.now(driver.history, driver.best())
            raise
        exchange.close(True)
    if done["rounds"]:
        picture.now(place.history(), done["monitor"] and (done["best"], "restored"))
    restored(model, place)
    history: dict[str, list] = {}
    for line in place.history():
        for key, value in line.items():
            if isinstance(value, float) and key not in ("elapsed", "progress"):
                history.setdefault(key, []).append(value)
    return Result(model, done["reason"], done["rounds"], done["best"], done["metrics"], history)


def _source(data: dataset.Dataset) -> dict[str, str]:
    """What a run says of a dataset."""
    return {"url": data.url, "uid": data.uid, "digest": data.digest()}


def _held_out(train: dataset.Dataset, validation: str | None) -> list:
    if validation is None:
        return [(train, shard) for shard in train.validation() if shard.n]
    other = dataset.load(validation)
    return [(other, shard) for shard in other.shards if shard.n]


def rebuilt(model: Model) -> None:
    """ConfigError where workers cannot build the model."""
    try:
        model_from_json(model.to_json())
    except ConfigError as error:
        raise ConfigError("workers build the model from its JSON, so it can have no classes of your own: "
                          f"{error}") from None
