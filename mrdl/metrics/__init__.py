"""Metrics, with Keras's names and definitions."""
from mrdl import losses
from mrdl.config import ConfigError, lookup, need, shown
from mrdl.metrics.classification import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    ConfusionMatrix,
    F1Score,
    FBetaScore,
    Precision,
    Recall,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from mrdl.metrics.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from mrdl.metrics.metric import FACTS, Metric, Sums, Value, add, plain, values
from mrdl.metrics.overlap import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU
from mrdl.metrics.regression import (
    CategoricalHinge,
    ConcordanceCorrelation,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    PearsonCorrelation,
    Poisson,
    R2Score,
    RootMeanSquaredError,
    SquaredHinge,
)
from mrdl.metrics.thresholds import (
    AUC,
    FalseNegatives,
    FalsePositives,
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
    TrueNegatives,
    TruePositives,
)

__all__ = ["METRICS", "Metric", "Sums", "Value", "add", "named", "plain", "values"]
METRICS = [SparseCategoricalAccuracy, CategoricalAccuracy, BinaryAccuracy, Accuracy, TopKCategoricalAccuracy,
           SparseTopKCategoricalAccuracy, Precision, Recall, F1Score, FBetaScore, AUC, ConfusionMatrix,
           TruePositives, TrueNegatives, FalsePositives, FalseNegatives, PrecisionAtRecall, RecallAtPrecision,
           SensitivityAtSpecificity, SpecificityAtSensitivity, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU, BinaryIoU,
           MeanSquaredError, RootMeanSquaredError, MeanAbsoluteError, MeanAbsolutePercentageError,
           MeanSquaredLogarithmicError, LogCoshError, Hinge, SquaredHinge, CategoricalHinge,
           KLDivergence, Poisson, CosineSimilarity, PearsonCorrelation, ConcordanceCorrelation, BinaryCrossentropy,
           CategoricalCrossentropy, SparseCategoricalCrossentropy, R2Score]
__all__ += [metric.__name__ for metric in METRICS]


def named(metrics: list, loss: losses.Loss, outputs: tuple[int, ...] | None) -> dict[str, Metric]:
    """The metrics by the names under which they are reported; "accuracy" becomes the kind that fits the loss.

    Args:
        metrics: metrics, their names or their Keras dicts.
        loss: the loss of the output.
        outputs: the shape of the model's outputs; None if it is not known yet.

    Raises:
        ConfigError: a metric is unknown, does not fit the loss or the outputs, or has the name of
            another one."""
    found = {}
    units = 1 if outputs is None else (outputs or (1,))[-1]
    for given in metrics:
        name = given if isinstance(given, str) else None
        if name and name.lower() in ("accuracy", "acc"):
            given = (SparseCategoricalAccuracy() if loss.sparse else
                     BinaryAccuracy() if units == 1 else CategoricalAccuracy())
        metric = lookup(given, METRICS, "metric", ("accuracy",))
        need(metric is not None, "a metric is missing")
        kind, name = type(metric).__name__, name or metric.called
        if metric.sparse not in (None, loss.sparse):
            raise ConfigError(f"{kind} and {type(loss).__name__} take different targets: "
                              "class numbers for one, vectors for the other")
        need(name not in found, f"two metrics have the name {shown(name)}; give one another name=")
        need(name not in FACTS | {"loss"}, f"a metric cannot have the name {shown(name)}")
        if outputs is not None:
            need(not metric.one_row or len(outputs) == 1 or loss.activation == "softmax",
                 f"{kind} takes one row of outputs, not the shape {shown(outputs)}")
            metric.check(units)
        found[name] = metric
    return found
