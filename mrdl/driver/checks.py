"""What is checked before a run begins: do the model, the data and the options fit each other, and is there room?"""
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from mrdl import limits
from mrdl.config import need
from mrdl.data import dataset
from mrdl.driver.automatic import chosen, is_auto
from mrdl.driver.balance import BALANCED, balanced
from mrdl.driver.fits import features_of, fitted, rebuilt, same_features
from mrdl.driver.options import Options
from mrdl.models import tensors
from mrdl.models.fragments import dealt
from mrdl.models.model import Model
from mrdl.runners.cluster import Cluster
from mrdl.runs.run import Run
from mrdl.storage.sealed import digest
from mrdl.training import moments, sequences
from mrdl.training.class_weights import check_class_weight

if TYPE_CHECKING:
    from mrdl.driver.averaging import ParameterAveraging


class Begun(NamedTuple):
    """What a run begins with, after all checks; nothing is written yet."""
    facts: dict[str, Any]               # what run.json will hold
    options: Options
    model: Model
    train: dataset.Dataset
    held: list[tuple[dataset.Dataset, dataset.Shard]]
    chosen: str = ""                    # what was chosen as the outer updater and why, if it was to be


def checked(training: "ParameterAveraging", model: Model, data: str, validation: str | None = None, run: Run | None = None) -> Begun:
    """Loads the data, and checks whether the model, the data and the options fit each other; raises the errors that
    ParameterAveraging.fit raises before anything is written. If `run` exists, what was chosen for it stays."""
    options, model = training.options(), model.compiled()
    train = dataset.load(data)
    held = held_out(train, validation)
    fitted(model, train)
    rebuilt(model)
    check_class_weight(options.class_weight, model, train.target.high)
    need(not options.weighs or model.optimizer.squares is not None, "outer confidence needs an optimizer that keeps squares of gradients: "
         f"Adagrad, RMSprop, Adadelta, Adam, AdamW or Nadam, not {type(model.optimizer).__name__}")
    check_optimizer(options, model)
    sequences.check(model, options.tbptt, options.tbptt_backward, options.buckets)
    if validation is not None and held:
        same_features(features_of(train), train.url, held[0][0])
        fitted(model, held[0][0])
    given = model.weights is not None
    model.build(seed=options.seed)
    moments.unadapted(model)                # raises errors before anything is written
    model.features = features_of(train)
    if training.class_weight == BALANCED:
        options.class_weight = balanced(model, train, training.runner, training.cores)
        check_class_weight(options.class_weight, model, train.target.high)
    note = ""
    if is_auto(training.outer):
        options.outer, note = chosen(options, model, train, run.options() if run and run.exists() else None)
    facts = {"options": asdict(options), "data": source(train),
             "validation": None if validation is None else source(held[0][0]),
             **model.features, "spec": model.to_json(),
             "weights": digest(model.weights.tobytes()) if given else None,
             "updater": tensors.facts(model), "rate": None,
             "runner": training.runner if isinstance(training.runner, str) else training.runner.runner}
    return Begun(facts, options, model, train, held, note)


def check_optimizer(options: Options, model: Model) -> None:
    """Raises ConfigError if the optimizer asks for what rounds cannot do."""
    optimizer, name = model.optimizer, type(model.optimizer).__name__
    exact = (options.save_updater, options.compress, options.compress_broadcast, options.cut) == (True, None, None, False)
    need(optimizer.gradient_accumulation_steps is None,
         f"{name}: gradient_accumulation_steps is for fit; in rounds take a batch_size so many times as large")
    need(not optimizer.use_ema or exact, f"{name}: use_ema needs the optimizer's state averaged exactly: save_updater=True, "
         "and no compress, compress_broadcast or fragments")


def check_room(options: Options, model: Model, train: dataset.Dataset) -> None:
    """Raises ConfigError if a worker would need more memory than the limit."""
    trained = max((cut.model for cut in dealt(model, options.fragments)), key=Model.count_params) if options.cut else model
    limits.check(trained if options.tbptt is None else trained.windowed(options.tbptt),
                 min(options.batch_size, max((s.n for s in train.train()), default=1)), training=True)


def check_kept(options: Options, url: str, cluster: Cluster) -> None:
    """Raises ConfigError if workers could not keep anything in the run's directory, and have to."""
    need(not options.keeping or url.startswith("hdfs:") or cluster.backend.home("") is None,
         f"workers keep {' and '.join(options.keeping)} in the run's directory, so with -r {cluster.runner} that must be an hdfs:// URL")


def source(data: dataset.Dataset) -> dict[str, str]:
    """What a run records about a dataset."""
    return {"url": data.url, "uid": data.uid, "digest": data.digest()}


def held_out(train: dataset.Dataset, validation: str | None) -> list:
    if validation is None:
        return [(train, shard) for shard in train.validation() if shard.n]
    other = dataset.load(validation)
    return [(other, shard) for shard in other.shards if shard.n]
