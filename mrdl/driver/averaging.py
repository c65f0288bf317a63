"""ParameterAveraging: trains a model on a prepared dataset in rounds that average weights, from Python."""
import math
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

from mrdl import frequency
from mrdl.codings import coding
from mrdl.config import need, serialize
from mrdl.data import dataset, sources
from mrdl.driver.automatic import is_auto
from mrdl.driver.balance import BALANCED
from mrdl.driver.balance import told as told_weights
from mrdl.driver.checks import check_kept, check_room, checked, held_out, source
from mrdl.driver.exchanges.fragments import FragmentExchange, enough
from mrdl.driver.exchanges.plain import Exchange
from mrdl.driver.exchanges.resident import WHEN, ResidentExchange
from mrdl.driver.fits import reached
from mrdl.driver.loop import Driver
from mrdl.driver.options import Options
from mrdl.models import sharing
from mrdl.models.fragments import narrowed
from mrdl.models.model import Model
from mrdl.models.saving import model_from_json, restored
from mrdl.outer import updater
from mrdl.report.picture import Picture
from mrdl.report.progress import reporter
from mrdl.rounds import plan
from mrdl.runners.cluster import Cluster, opened
from mrdl.runs import stopping
from mrdl.runs.commits import RunError
from mrdl.runs.lease import LeaseLost
from mrdl.runs.run import FEATURES, Run
from mrdl.training import sequences
from mrdl.training.class_weights import check_class_weight


@dataclass
class Result:
    """A finished run.

    Args:
        model: the model that was trained, with the weights and the updater's state of round `best`.
        reason: why the run ended, in words.
        rounds: how many rounds were done.
        best: the round whose state the model has: the best round if a rule has patience, else the
            last.
        metrics: that state's loss and metrics by name; names of values on held-out data begin with
            `val_`.
        history: for each name, a list of numbers, one per round; for `val_...` one per scored
            round."""
    model: Model
    reason: str
    rounds: int
    best: int
    metrics: dict[str, Any]
    history: dict[str, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class ParameterAveraging(Options):
    """Trains a model by averaged rounds.

    DL4J's ParameterAveragingTrainingMaster for mrjob: each of `workers` trains a copy of the model
    on a shard of its own; their weights, and their updater's state, are averaged, weighted by
    examples.

    All options decide bits but `runner`, `cores`, `resident` and `keep_rounds`, and those that say
    when the run ends. With the same ones and the same shards the model has the same bits on every
    runner.

    Args:
        workers: shards trained at a time, 1 or more. 2, the least that averages.
        batch_size: examples of a minibatch of one worker, 1 or more. 32, as in Keras.
        averaging_frequency: minibatches of each worker between two averagings, 1 or more; or a rule of
            `mrdl.frequency`, or its name with settings behind it: "auto" keeps what a round costs
            beyond training below 5 % of its time. None: once a shard, which costs the fewest rounds.
        seed: of first weights, the order of rows, dropout and noise: from 0 to 2^63 - 1. 0, so that
            a run can be repeated without one.
        save_updater: what becomes of the updater's state (momentum and the like). True ("average"):
            it is averaged and goes on with the weights, as it learns faster; False ("reset"): it
            starts anew each round, and so does its count of updates, and workers send the weights
            alone: with momentum half as much, with Adam a third; "keep": they send these alone too,
            but each goes on with its own state, which it keeps in a file of the run; "every 8": the
            state is averaged in each eighth round, and kept between.
        outer: what becomes of the averaged change of the weights: an updater of `mrdl.outer`, or its
            name with settings behind it ("nesterov learning_rate 0.7 momentum 0.9"). "auto": the
            one that suits the optimizer, the workers and the number of rounds. None: the mean is
            taken as it is, as in DL4J.
        compress: how workers write the change of their weights: a coding of `mrdl.codings`, or its
            name with settings behind it ("int8", "topk 0.02 bits 2 decay 0.95"). None: they send
            their weights as they are.
        compress_broadcast: how the driver writes the weights and the updater's state that workers get:
            "float16", "bfloat16" or "int8". Workers train from the coded weights and send the change
            of these; the driver adds it to the exact ones. None: they get float32.
        class_weight: the weight of each class's examples, {class number: 0 or more}. "balanced": n
            / (K n_k) for a class of n_k of the n training rows, where K classes come, as in
            scikit-learn. None: all weigh 1.
        validation_freq: rounds from one scoring of the held-out data to the next, 1 or more. None:
            as few as keep scoring to a fifth of the cost of training.
        keep_rounds: states of rounds that stay in the run's directory, beside the best one's, 1 or
            more. 3: a rule with patience that is given later chooses among them.
        retries: how often a round whose weights or loss are not finite is tried again, each time at
            half the learning rate. 3, down to an eighth of it; then the run ends.
        until: the rules that end the run, as in "val_loss patience 5, time 2h" (the grammar:
            mrdl.runs.stopping.GRAMMAR, or `mrdl train --help`). None: "val_loss patience 5, epochs
            100", of loss where nothing is held out, unless `epochs` or `rounds` is given.
        recalibrate: whether at the end one pass over all training examples sets
            BatchNormalization's moving moments exactly. False, as it is one more job over all the
            data.
        tbptt: steps of a window in which sequences are trained (truncated back-propagation through
            time, Williams & Peng 1990), 1 or more. None: whole sequences.
        tbptt_backward: steps at a window's end that gradients go back through, from 1 to `tbptt`.
            None: all of the window.
        buckets: rising numbers of steps: a minibatch of masked sequences is cut to the least of
            them that holds its longest sequence. None: no minibatch is cut.
        fragments: how many fragments the network is cut into in each round, of which each worker
            trains one (FragmentTraining); `workers` must be a multiple. None: it is not cut.
        warm_start: rounds in which one worker trains alone, on one shard each, before averaging
            starts, 1 or more. None: averaging starts at once.
        turn: by how many places the order of the shards is turned in each epoch, 1 or more, so that
            runs of one seed train on different shards at the same time, as in a Search. None: it
            is not turned.
        straight: whether a round of the one worker goes on from shard to shard: to the end of the epochs
            asked for where only `epochs` ends the run, else to the end of the epoch; it then scores
            the held-out data. The bits are the same. None: a round is a shard.
        epochs: stops when every example was used so often: short for "epochs N" among the rules of
            `until`. None: no such rule.
        rounds: stops after so many rounds: short for "rounds N". None: no such rule.
        runner: "inline" (this process), "local" (a process a core), "hadoop" or "spark"; or a
            Cluster, which has settings and stays open. "local", as it needs nothing else.
        cores: tasks that run at once on this machine. None: one for each core.
        resident: whether one job serves many rounds: "auto" (where rounds of a job each cost much),
            "always" (on local and hadoop) or "never". The bits are the same."""
    epochs: int | None = None
    rounds: int | None = None
    runner: str | Cluster = "local"     # a name, or a Cluster, which has its own settings and may serve several runs
    cores: int | None = None
    resident: str = "auto"

    def options(self) -> Options:
        """What decides the run, checked.

        Returns:
            The options as they are written into the run's directory.

        Raises:
            RunError: an option is out of its range.
            RuleError: `until` is no rule.
            ConfigError: `averaging_frequency`, `outer`, `compress`, `compress_broadcast`,
                `class_weight`, `tbptt` or `buckets` are of another form."""
        values = {f.name: getattr(self, f.name) for f in fields(Options)}
        every = frequency.rule(self.averaging_frequency)
        values["averaging_frequency"] = every if every is None or isinstance(every, int) else str(every)
        values["until"] = rules(self.until, self.epochs, self.rounds)
        if values["class_weight"] == BALANCED:
            values["class_weight"] = None       # until the model and the data are known
        check_class_weight(values["class_weight"])
        rule = None if is_auto(values["outer"]) else updater(values["outer"])      # auto: until the model and the data are known
        values["outer"] = None if rule is None else serialize(rule.resolved(self.workers))
        for name in ("compress", "compress_broadcast"):
            values[name] = serialize(coding(values[name]))
        values["save_updater"] = {"average": True, "reset": False}.get(values["save_updater"], values["save_updater"])
        values |= sequences.plain(self.tbptt, self.tbptt_backward, self.buckets)
        if values["class_weight"]:
            values["class_weight"] = {str(k): float(v) for k, v in values["class_weight"].items()}
        return Options(**values).check()

    def fit(self, model: Model, data: str, validation: str | None = None, *, run: str,
            told: Callable[[str, dict[str, Any]], None] | None = None, verbose: int | str = "auto",
            exchange: Callable[[Cluster, Run], Exchange] | None = None, callbacks: Any = None) -> Result:
        """Trains the model by rounds into a run directory, and goes on with the run that is there.

        Args:
            model: a compiled model; it has the weights of the best state afterwards. Where it was
                trained before, training goes on with its updater's state.
            data: the dataset to train on: the folder that `prepare` made, a path or an hdfs:// URL.
            validation: another dataset, which is scored whole. None: the shards of `data` that
                `prepare` held out.
            run: the run's directory, a path or an hdfs:// URL. A run that is there is gone on with;
                its options, data and model must be these.
            told: called with the name of each event and its facts, told(event, facts). None:
                progress is printed.
            verbose: 0 prints nothing; anything else prints progress. It means nothing where `told`
                is given.
            exchange: makes another form of a round's exchange from the cluster and the run
                (mrdl.driver.exchanges). None: by jobs, resident ones where `resident` says so.
            callbacks: of mrdl.callbacks, or a list of them; this process calls them after each
                round and epoch, and what they decide is committed. None: there are none.

        Returns:
            The finished run's Result.

        Raises:
            ConfigError: the model, the data and the options do not fit each other.
            DataError: there is no dataset at `data` or `validation`.
            RunError: the directory holds something else, a run of other options, or another driver
                works on the run.
            JobFailed: a job failed, and so it did when it was tried again.
            RoundError: what the workers answered does not add up, or one of them failed."""
        place = Run(run)
        begun = checked(self, model, data, validation, place)
        options, own = begun.options, begun.model
        with heard(told, verbose) as hears:
            known = place.options() if place.exists() else None
            if self.class_weight == BALANCED:
                hears("note", {"text": told_weights(options.class_weight, own.classes)})
            if begun.chosen:
                hears("note", {"text": begun.chosen})
            return drive(place, begun.facts, known, options, own, begun.train, begun.held, self.runner, self.cores, hears,
                         self.resident, exchange, callbacks=callbacks)


def rules(until: str | None, epochs: int | None, rounds: int | None) -> str | None:
    """The text of `until`, with rules added for `epochs` and `rounds`; None if none of them is given."""
    given = {name: n for name, n in (("epochs", epochs), ("rounds", rounds)) if n is not None}
    for name, n in given.items():
        if not isinstance(n, int) or n < 1:
            raise RunError(f"{name} must be 1 or more, not {n}")
    if until is not None:
        stopping.parse(until)           # raises errors before anything is read
    return ", ".join([*([] if until is None else [until]), *(f"{name} {n}" for name, n in given.items())]) or None


def resume(run: str, runner: str | Cluster | None = None, cores: int | None = None,
           told: Callable[[str, dict[str, Any]], None] | None = None, resident: str = "auto",
           verbose: int | str = "auto", exchange: Callable[[Cluster, Run], Exchange] | None = None, *,
           until: str | None = None, epochs: int | None = None, rounds: int | None = None,
           learning_rate: float | None = None, data: str | None = None, validation: str | None = None,
           callbacks: Any = None) -> Result:
    """Goes on with a run from its last commit.

    The bits are those of a run that was never stopped. `until`, `epochs` and `rounds` take the
    place of the rules that it was begun with: a run that has ended goes on where it stopped (not
    from the best state), to the same bits as if that had been asked for at once.

    Args:
        run: the run's directory, a path or an hdfs:// URL.
        runner: as for ParameterAveraging. None: the run's own.
        cores: tasks that run at once on this machine. None: one for each core.
        told: called with the name of each event and its facts. None: progress is printed.
        resident: "auto", "always" or "never", as for ParameterAveraging.
        verbose: 0 prints nothing; anything else prints progress.
        exchange: as for ParameterAveraging.fit.
        until: the rules that end the run from here on. None: those that it has.
        epochs: stops when every example was used so often, counted from the run's begin. None: no
            such rule.
        rounds: stops after so many rounds, counted from the run's begin. None: no such rule.
        learning_rate: above 0: that of the rounds to come, in place of the model's rate or schedule
            and of what roll-backs made of it. None: those stay.
        data: where the training data lies now, if it was moved. None: where it was.
        validation: where the validation data lies now, if it was moved. None: where it was.
        callbacks: those that the run was begun with, as new objects; []: it goes on without them.
            None: it has none.

    Returns:
        The finished run's Result.

    Raises:
        RunError: there is nothing to go on with, the data is not what the run was begun with, or
            the run has done more than the rules ask for.
        ConfigError: `learning_rate` is not above 0, or `validation` is given for a run that has
            none of its own."""
    need(learning_rate is None or 0 < learning_rate < math.inf, f"learning_rate must be above 0, not {learning_rate}")
    place = Run(run)
    found = place.options()
    model = model_from_json(found["spec"])
    model.features = {name: found.get(name) for name in FEATURES}
    options = Options.read(found["options"])
    options.until = rules(until, epochs, rounds) or options.until
    model.epochs = (found["updater"] or {"epochs": 0})["epochs"]
    need(validation is None or found["validation"],
         f"{run} was begun without --validation, so its validation data cannot have been moved")
    try:
        train = dataset.load(data or found["data"]["url"])
        held = held_out(train, found["validation"] and (validation or found["validation"]["url"]))
    except dataset.RawChanged:
        raise
    except sources.DataError as error:
        raise RunError(f"{error}; if it was moved: mrdl resume {shlex.quote(run)} --data NEWPLACE "
                       "(or --validation NEWPLACE)") from None
    for name, then, now in (("data", found["data"], train),
                            ("validation", found["validation"], held[0][0] if held else None)):
        if then and {**then, "url": now.url} != source(now):
            raise RunError(f"{now.url} is not the {name} that {run} was begun with")
    if found["weights"] and not place.rounds():
        raise RunError(f"{run} has not committed its first weights yet: start it again with the "
                       "command that began it")
    model.build(seed=options.seed)
    with heard(told, verbose) as hears:
        return drive(place, found, found, options, model, train, held, runner or found["runner"], cores, hears,
                     resident, exchange, learning_rate, callbacks)


@contextmanager
def heard(told: Callable | None, verbose: int | str) -> Iterator[Callable]:
    """The function to call with a run's events: the caller's, or one that prints progress, or one that does nothing."""
    if told or not verbose:
        yield told or (lambda event, facts: None)
        return
    with closing(reporter(sys.stdout)) as progress:
        yield progress


def drive(place: Run, facts: dict, known: dict | None, options: Options, model: Model, train: dataset.Dataset,
          held: list, runner: str | Cluster, cores: int | None, told: Callable,
          resident: str, exchange: Callable[[Cluster, Run], Exchange] | None = None,
          learning_rate: float | None = None, callbacks: Any = None) -> Result:
    """Begins or continues the run; nothing is written before everything has been checked. `known`: the options of a run
    that exists already."""
    changed = known and known["rate"]
    rate = changed["learning_rate"] if changed and learning_rate is None else learning_rate
    if rate is not None:
        model.optimizer = replace(model.optimizer, learning_rate=rate)

    def warned(text: str) -> None:
        told("warning", {"text": text})

    def waiting(text: str, seconds: float) -> None:
        told("waiting", {"text": text, "seconds": seconds})
    check_room(options, model, train)
    need(resident in WHEN, f"resident={resident!r} must be one of {', '.join(WHEN)}")
    with sharing.written(model), opened(runner, cores) as cluster, cluster.telling(warned, waiting):
        need(resident != "always" or cluster.backend.stays,
             f"resident rounds need -r local or -r hadoop, not {cluster.runner}")
        check_kept(options, place.url, cluster)
        shards = [(plan.name(train.uid, s.index), s.path) for s in train.train() if s.n]
        cluster.backend.check([path for _, path in shards] + [s.path for _, s in held])
        reached(cluster, train, *(data for data, _ in held[:1]))
        rounds = ResidentExchange
        if options.cut:
            need(exchange is None, "fragments are trained in rounds that mrdl's driver runs, not yet in staged ones")
            enough(train, options.fragments)
            if facts["weights"] is None:        # they are new
                narrowed(model, options.fragments)
            rounds = partial(FragmentExchange, place=place, model=model, count=options.fragments)
        exchange = exchange(cluster, place) if exchange else rounds(cluster, options.workers, shards,
                                                                    "never" if options.straight else resident, warned)
        picture = Picture(place.store)

        def seen(event: str, facts: dict[str, Any]) -> None:
            told(event, facts)
            if event == "round":
                picture.soon(driver.history, driver.best())
        driver = Driver(place, options, model, train, held, exchange, seen, learning_rate=learning_rate, callbacks=callbacks)
        cluster.ready()
        place.begin(facts, known)
        try:
            done = driver.train()
        except LeaseLost:
            exchange.leave()
            raise
        except BaseException:
            exchange.close(False)
            driver.listeners.undo()
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
