"""Weights of classes that make up for how often each comes."""
from mrdl.config import need
from mrdl.data.dataset import Dataset
from mrdl.data.tables.kinds import Label
from mrdl.driver.exchanges.plain import PlainExchange
from mrdl.driver.scoring import score, state_file
from mrdl.models.answers import named
from mrdl.models.model import Model
from mrdl.printing import clean, few, written
from mrdl.runners.cluster import Cluster, opened

BALANCED = "balanced"


def balanced(model: Model, data: Dataset, runner: str | Cluster, cores: int | None) -> dict[str, float]:
    """n / (K n_k) for each class k, where n_k of n training rows are of it and K classes come at all: as scikit-learn has it.

    The rows are those that `prepare` counted; of an older dataset they are counted by one job. ConfigError where labels are no
    classes."""
    losses = model.loss if isinstance(model.loss, list) else [model.loss]
    need(any(loss.sparse or loss.activation is not None for loss in losses) or not _amounts(data),
         f"{data.url}: its label is a number, and only classes can be balanced; to take its values for classes, name them in the schema")
    counts = data.counts or _counted(model, data, runner, cores)
    need(sum(count > 0 for count in counts) > 1, f"{data.url}: weights of classes need labels of at least two classes")
    there = {str(k): n for k, n in enumerate(counts) if n}
    return {k: sum(counts) / (len(there) * n) for k, n in there.items()}


def _amounts(data: Dataset) -> bool:
    """Whether its schema has a label that is no class."""
    return any(column["kind"] == Label.kind and not column.get("classes") for column in (data.table or {}).get("columns", []))


def _counted(model: Model, data: Dataset, runner: str | Cluster, cores: int | None) -> list[int]:
    """The training rows of each class, by a job that scores the model."""
    shards = [(data, s) for s in data.train() if s.n]
    with opened(runner, cores) as cluster, state_file(model, cluster) as state:
        _, targets = score(PlainExchange(cluster), f"mrdl balance {data.url}", state, model, shards, cluster.cores)
    need("classes" in targets, f"{data.url}: its labels are no classes of this model, so these cannot be balanced")
    return [int(n) for n in targets["classes"][0]]


def told(weights: dict[str, float], names: list[str]) -> str:
    """For the user."""
    names = named(names, max(map(int, weights)) + 1)
    each = [f"{clean(names[int(k)])} {written(weight)}" for k, weight in weights.items()]
    return "weights of classes: " + (", ".join(each) if len(each) <= 12 else few(each).replace("'", ""))
