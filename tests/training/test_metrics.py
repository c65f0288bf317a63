"""Every metric against Keras's own object, over batches and merges; runs that report vectors."""
import dataclasses
import json
import warnings

import keras
import numpy as np
import pytest
from shards import rows

import mrdl
from mrdl import ParameterAveraging, cli, evaluate, metrics, resume
from mrdl.config import ConfigError, lookup, serialize
from mrdl.layers import Dense, Input
from mrdl.metrics import (
    AUC,
    METRICS,
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    BinaryIoU,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    ConcordanceCorrelation,
    ConfusionMatrix,
    CosineSimilarity,
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    Hinge,
    IoU,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanIoU,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    OneHotIoU,
    OneHotMeanIoU,
    PearsonCorrelation,
    Poisson,
    Precision,
    PrecisionAtRecall,
    R2Score,
    Recall,
    RecallAtPrecision,
    RootMeanSquaredError,
    SensitivityAtSpecificity,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SpecificityAtSensitivity,
    SquaredHinge,
    TopKCategoricalAccuracy,
    TrueNegatives,
    TruePositives,
)
from mrdl.runs.run import Run
from mrdl.runs.stopping import RuleError

N, K = 203, 8
RNG = np.random.default_rng(3)
NORMAL = RNG.standard_normal((N, K)).astype("f4")
SHARES, OTHERS = RNG.dirichlet(np.ones(K), (2, N)).astype("f4")
CLASSES = RNG.integers(0, K, N)
ONE_HOT, ONES = np.eye(K, dtype="f4")[CLASSES], (RNG.random((N, K)) < 0.4).astype("f4")
UNIFORM = np.clip(RNG.random((N, K)) * 0.8 + 0.3 * ONES - 0.05, 0, 1).astype("f4")      # 0 and 1 too
GRID = (RNG.integers(0, 200, (N, K)) / 199).astype("f4")                                # on the thresholds
ALIKE = NORMAL.round()                                                                  # with equals
PLACES, THIRDS = RNG.integers(-1, 4, (N, K)).astype("f4"), RNG.integers(0, 3, (N, K))                  # class numbers, some of no class
# metric, outputs, targets
CASES = [
    (SparseCategoricalAccuracy(), SHARES, CLASSES), (CategoricalAccuracy(), SHARES, ONE_HOT),
    (BinaryAccuracy(), UNIFORM, ONES), (BinaryAccuracy(threshold=0.7), UNIFORM, ONES),
    (TopKCategoricalAccuracy(), SHARES, ONE_HOT), (TopKCategoricalAccuracy(2), ALIKE, ONE_HOT),
    (SparseTopKCategoricalAccuracy(3), SHARES, CLASSES), (SparseTopKCategoricalAccuracy(), ALIKE, CLASSES),
    (Precision(), UNIFORM, ONES), (Precision(0.8), UNIFORM, ONES), (Precision(class_id=3), UNIFORM, ONES),
    (Precision(top_k=2), NORMAL, ONES), (Precision(top_k=3, class_id=1), NORMAL, ONES),
    (Recall(), UNIFORM, ONES), (Recall(0.2), UNIFORM, ONES), (Recall(class_id=0), UNIFORM, ONES),
    (Recall(0.5, top_k=2), NORMAL, ONES), (Recall(top_k=1), ALIKE, ONES),
    *((F1Score(average, threshold), y, t) for average in (None, "micro", "macro", "weighted")
      for threshold, y, t in ((None, SHARES, ONE_HOT), (0.4, UNIFORM, ONES))),
    *((FBetaScore(average, beta, threshold), y, t) for average, beta in ((None, 2.0), ("micro", 0.5), ("weighted", 1.0))
      for threshold, y, t in ((None, SHARES, ONE_HOT), (0.4, UNIFORM, ONES))),
    *((count(at), UNIFORM, ONES) for count in (TruePositives, TrueNegatives, FalsePositives, FalseNegatives) for at in (None, 0.7)),
    *((rate(least, *more), y, ONES) for rate in (PrecisionAtRecall, RecallAtPrecision, SensitivityAtSpecificity, SpecificityAtSensitivity)
      for least, *more in ((0.6,), (0.3, 17, 2), (1.0,), (0.0,))
      for y in (np.maximum(UNIFORM, 0.001), np.maximum(GRID, 0.001))),       # Keras on JAX counts outputs of 0 as above 1
    (Accuracy(), ALIKE, NORMAL.round()[::-1]), (BinaryIoU(), UNIFORM[:, :1], ONES[:, :1]), (BinaryIoU((1,), 0.3), UNIFORM, ONES),
    (IoU(3, (0, 2)), PLACES, THIRDS), (IoU(K, (1, 4), ignore_class=4, sparse_y_pred=False), SHARES, CLASSES),
    (IoU(K, (1, 4), sparse_y_true=False, sparse_y_pred=False), SHARES, ONE_HOT), (MeanIoU(3), PLACES, THIRDS),
    (MeanIoU(K, ignore_class=2, sparse_y_pred=False), SHARES, CLASSES), (MeanIoU(K, sparse_y_true=False, sparse_y_pred=False), SHARES, ONE_HOT),
    (OneHotIoU(K, (0, 3, 7)), SHARES, ONE_HOT), (OneHotIoU(K, (0,), ignore_class=1), SHARES, ONE_HOT), (OneHotMeanIoU(K), SHARES, ONE_HOT),
    (OneHotMeanIoU(3, ignore_class=2, sparse_y_pred=True), PLACES[:, 0], np.eye(3)[THIRDS[:, 0]]),
    (OneHotIoU(3, (0, 1), sparse_y_pred=True), PLACES[:, 0], np.eye(3)[THIRDS[:, 0]]),
    (PearsonCorrelation(), NORMAL, UNIFORM), (ConcordanceCorrelation(), NORMAL, NORMAL + UNIFORM),
    *((AUC(n, curve, how), UNIFORM, ONES) for n in (200, 2, 17) for curve in ("ROC", "PR")
      for how in ("interpolation", "minoring", "majoring")),
    (AUC(), GRID, ONES), (AUC(curve="pr"), GRID, ONES), (AUC(), SHARES, ONE_HOT),
    (AUC(from_logits=True), NORMAL, ONES), (MeanSquaredError(), NORMAL, UNIFORM),
    (RootMeanSquaredError(), NORMAL, UNIFORM), (MeanAbsoluteError(), NORMAL, UNIFORM),
    (MeanAbsolutePercentageError(), NORMAL, UNIFORM + 0.5), (LogCoshError(), NORMAL, UNIFORM),
    (MeanSquaredLogarithmicError(), NORMAL, UNIFORM), (Hinge(), NORMAL, ONES), (Hinge(), NORMAL, ONES * 2 - 1),
    (SquaredHinge(), NORMAL, ONES), (CategoricalHinge(), NORMAL, ONE_HOT), (KLDivergence(), OTHERS, SHARES),
    (Poisson(), UNIFORM, ONES), (CosineSimilarity(), NORMAL, UNIFORM), (BinaryCrossentropy(), UNIFORM, ONES),
    (BinaryCrossentropy(from_logits=True), NORMAL, ONES), (CategoricalCrossentropy(), SHARES, OTHERS),
    (BinaryCrossentropy(label_smoothing=0.2), UNIFORM, ONES),
    (CategoricalCrossentropy(from_logits=True, label_smoothing=0.1), NORMAL, ONE_HOT),
    (CategoricalCrossentropy(), UNIFORM, ONE_HOT), (SparseCategoricalCrossentropy(), SHARES, CLASSES),
    (SparseCategoricalCrossentropy(from_logits=True), NORMAL, CLASSES),
    *((R2Score(how), NORMAL + UNIFORM, NORMAL) for how in (None, "uniform_average", "variance_weighted_average")),
    (ConfusionMatrix(), SHARES, CLASSES), (ConfusionMatrix(10), SHARES, ONE_HOT),
]
NAMES = [f"{i}-{type(metric).__name__}" for i, (metric, *_) in enumerate(CASES)]
COUNTING = (SparseCategoricalAccuracy, CategoricalAccuracy, TopKCategoricalAccuracy, F1Score, FBetaScore, AUC, IoU, MeanIoU, OneHotIoU,
            OneHotMeanIoU, BinaryIoU, TruePositives, FalseNegatives, PrecisionAtRecall, SpecificityAtSensitivity,
            SparseTopKCategoricalAccuracy, Precision, Recall, ConfusionMatrix)


def state(metric, y, t):
    """The state of outputs y[n, ..., K]."""
    return metric.state(np.moveaxis(y, 0, -1), np.moveaxis(t, 0, -1))


def merged(metric, y, t, parts):
    """The value, where each of `parts` sees its share and records go through JSON."""
    sums = {}
    for index in np.array_split(np.arange(len(y)), parts):
        own = {}
        for batch in np.array_split(index, 3):
            metrics.add(own, {"m": state(metric, y[batch], t[batch])})
        metrics.add(sums, json.loads(json.dumps(metrics.plain(own))))
    return metrics.values(sums, {"m": metric})["m"]


def by_keras(metric, y, t):
    if isinstance(metric, ConfusionMatrix):
        t = t if t.ndim == 1 else t.argmax(1)
        matrix = np.zeros((metric.num_classes or K,) * 2, int)
        np.add.at(matrix, (t, y.argmax(1)), 1)
        return matrix
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Explicitly requested dtype int64")       # JAX counts in int32, and says so
        theirs = lookup_in_keras(metric)
        for start in range(0, len(y), 50):
            theirs.update_state(t[start:start + 50], y[start:start + 50])
        return np.asarray(theirs.result())


def lookup_in_keras(metric):
    return keras.metrics.deserialize(json.loads(json.dumps(serialize(metric))))


@pytest.mark.parametrize("metric, y, t", CASES, ids=NAMES)
def test_a_metric_is_that_of_keras_and_merges_over_any_parts(metric, y, t):
    found = [merged(metric, y, t, parts) for parts in (1, 2, 3, 4)]
    np.testing.assert_allclose(found[0], by_keras(metric, y, t), rtol=2e-6, atol=1e-6)
    assert isinstance(found[0], list) == metric.vector
    if isinstance(metric, COUNTING):
        assert found == [metric.result(state(metric, y, t))] * 4
    np.testing.assert_allclose(found, [found[0]] * 4, rtol=1e-12)


@pytest.mark.parametrize("metric, y, t", CASES, ids=NAMES)
def test_batches_of_none_and_one_and_outputs_that_are_no_numbers_break_nothing(metric, y, t):
    size = len(state(metric, y, t))
    for n in (0, 1):
        some = state(metric, y[:n], t[:n])
        assert len(some) == size and some.dtype == np.float64
        if n:
            np.testing.assert_allclose(metric.result(some), by_keras(metric, y[:1], t[:1]), rtol=2e-6, atol=1e-6)
        else:
            assert not some.any()
            json.dumps(metric.result(some))
    json.dumps(metric.result(state(metric, np.full_like(y, np.nan), t)))


def needed(cls):
    """Whether a metric has arguments without defaults."""
    return any(f.default is dataclasses.MISSING for f in dataclasses.fields(cls))


@pytest.mark.parametrize("metric", [metric for metric, *_ in CASES], ids=NAMES)
def test_the_json_of_a_metric_goes_to_keras_and_back(metric):
    form = json.loads(json.dumps(serialize(metric)))
    if not isinstance(metric, ConfusionMatrix):
        form = json.loads(json.dumps(keras.metrics.serialize(keras.metrics.deserialize(form))))
    back = lookup(form, METRICS, "metric")
    assert serialize(back) == serialize(metric) and type(back) is type(metric)
    if not isinstance(metric, ConfusionMatrix) and not needed(type(metric)):
        assert lookup_in_keras(type(metric)()).name.rstrip("_0123456789") == type(metric)().called.rstrip("_0123456789")


def test_every_metric_and_every_argument_is_compared_with_keras():
    assert {type(metric) for metric, *_ in CASES} == set(METRICS)
    seen = {(type(metric), f.name) for metric, *_ in CASES for f in dataclasses.fields(metric)
            if getattr(metric, f.name) != f.default}
    assert seen == {(cls, f.name) for cls in METRICS for f in dataclasses.fields(cls) if f.name != "name"}
    assert set(metrics.__all__) >= {cls.__name__ for cls in METRICS}


@pytest.mark.parametrize("metric", [
    MeanSquaredError(), MeanAbsoluteError(), LogCoshError(), Hinge(), Poisson(), KLDivergence(), CategoricalHinge(),
    CosineSimilarity(), RootMeanSquaredError(), BinaryAccuracy(), BinaryCrossentropy(), CategoricalCrossentropy(),
    Precision(), Recall(class_id=1), AUC()], ids=lambda m: type(m).__name__)
def test_a_metric_of_rows_of_outputs_is_that_of_keras(metric):
    y, t = UNIFORM.reshape(N, 2, 4), ONES.reshape(N, 2, 4)
    wanted = by_keras(metric, y, t)
    assert merged(metric, y, t, 2) == pytest.approx(float(wanted), rel=2e-6, abs=1e-6)


@pytest.mark.parametrize("metric", [Precision(), Recall(class_id=2), F1Score(), AUC(), ConfusionMatrix()],
                         ids=lambda m: type(m).__name__)
def test_class_numbers_count_as_one_hot_targets(metric):
    assert merged(metric, SHARES, CLASSES, 2) == merged(metric, SHARES, ONE_HOT, 3)


def test_the_confusion_matrix_of_one_output_has_two_classes():
    y, t = np.array([[0.2], [0.6], [0.5], [0.9]]), np.array([0, 0, 1, 1])
    assert merged(ConfusionMatrix(), y, t[:, None], 2) == [[1, 1], [1, 1]]
    assert merged(ConfusionMatrix(), y, t, 1) == [[1, 1], [1, 1]]


@pytest.mark.parametrize("make, reason", [
    (lambda: F1Score("mean"), "average='mean' is none of"), (lambda: F1Score(threshold=0.0), "above 0"),
    (lambda: AUC(1), "num_thresholds=1 must be above 1"), (lambda: AUC(curve="PRGAIN"), "neither ROC nor PR"),
    (lambda: AUC(summation_method="middle"), "none of interpolation"), (lambda: Precision([0.5]), "thresholds="),
    (lambda: FBetaScore(beta=0.0), "beta=0.0 must be above 0"), (lambda: RecallAtPrecision(1.5), "precision=1.5 must be from 0 to 1"),
    (lambda: PrecisionAtRecall(0.5, 1), "num_thresholds=1 must be above 1"), (lambda: IoU(3, ()), "target_class_ids="),
    (lambda: IoU(3, (1, 3)), "numbers from 0 to 2"), (lambda: MeanIoU(0), "num_classes=0 must be above 0"),
    (lambda: metrics.named([PrecisionAtRecall(0.5, class_id=3)], mrdl.losses.MeanSquaredError(), (3,)), "class_id=3 must be from 0 to 2"),
    (lambda: metrics.named([TruePositives(-1.0)], mrdl.losses.MeanSquaredError(), (3,)), "thresholds=-1.0 must be from 0 to 1"),
    (lambda: metrics.named([MeanIoU(3, sparse_y_pred=False)], mrdl.losses.MeanSquaredError(), (3,)), "take different targets"),
    (lambda: merged(MeanIoU(3), SHARES, CLASSES, 1), "68 targets do not fit 544 predictions"),
    (lambda: R2Score("mean"), "none of None, uniform_average"),
    (lambda: lookup({"class_name": "AUC", "config": {"multi_label": True}}, METRICS, "metric"), "multi_label"),
    (lambda: lookup({"class_name": "R2Score", "config": {"num_regressors": 2}}, METRICS, "m"), "num_regressors"),
    (lambda: metrics.named([Precision(1.5)], mrdl.losses.MeanSquaredError(), (3,)), "from 0 to 1"),
    (lambda: metrics.named([TopKCategoricalAccuracy(0)], mrdl.losses.MeanSquaredError(), (3,)), "1 or more"),
    (lambda: metrics.named([R2Score()], mrdl.losses.MeanSquaredError(), (3, 2)), "one row of outputs"),
])
def test_arguments_that_make_no_sense_are_refused_in_one_line(make, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        make()
    assert "\n" not in str(error.value)


# -- in runs

ALL = ["accuracy", "auc", Precision(), Recall(class_id=1, name="found"), ConfusionMatrix(), F1Score(),
       AUC(50, "PR", name="area")]


def network(compiled=ALL):
    model = mrdl.Sequential([Dense(8, "relu"), Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=compiled)
    return model


def averaging(**options):
    return ParameterAveraging(**{"workers": 3, "batch_size": 8, "averaging_frequency": 3, "runner": "inline",
                                 **options})


def test_three_workers_report_what_one_evaluation_of_all_held_out_rows_does(tmp_path, made, capsys):
    data, events = made(300, shards=5, hold_out=0.3, dtype="float32"), []
    run = str(tmp_path / "run")
    result = averaging(rounds=4, validation_freq=1).fit(network(), data.url, run=run,
                                                        told=lambda *event: events.append(event))
    held = [rows(shard) for shard in data.validation()]
    assert len(held) >= 2
    x, y, w = (np.concatenate([part[key] for part in held]) for key in "xyw")
    wanted = result.model.evaluate(x, y, sample_weight=w, return_dict=True)
    assert set(wanted) == {"loss", "accuracy", "auc", "precision", "found", "confusion_matrix", "f1_score", "area"}
    for name, value in wanted.items():
        if name != "loss":
            assert result.metrics[f"val_{name}"] == value
    matrix = np.array(wanted["confusion_matrix"])
    assert matrix.sum() == len(x) and matrix.trace() / len(x) == pytest.approx(wanted["accuracy"])
    assert Run(run).finished()["metrics"] == result.metrics
    assert evaluate(run, data.url, part="validation", runner="inline") == {
        k.removeprefix("val_"): v for k, v in result.metrics.items() if k[:4] == "val_"}

    assert cli.main(["evaluate", run, data.url, "--part", "validation", "-r", "inline", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["confusion_matrix"] == wanted["confusion_matrix"]
    assert cli.main(["evaluate", run, data.url, "--part", "validation", "-r", "inline"]) == 0
    out = capsys.readouterr().out
    assert "confusion_matrix (3 x 3)" in out and "f1_score [0." in out
    assert cli.main(["show", run]) == 0
    assert f"val_auc {wanted['auc']:.4f}" in capsys.readouterr().out

    history = Run(run).history()
    assert {"auc", "val_auc", "precision", "val_precision", "found"} <= set(history[-1])
    assert not any(isinstance(v, list) for line in history for v in line.values())
    told = [facts for event, facts in events if event == "round" and facts["round"]]
    assert all("confusion_matrix (3 x 3)" in mrdl.report.progress.line(facts) for facts in told)
    trained = [np.sum(facts["confusion_matrix"]) for facts in told]
    assert trained == [facts["trained"] for facts in told]


def test_a_run_with_vectors_is_resumed_to_the_same_numbers(tmp_path, made):
    data = made(200, hold_out=0.3)
    whole = averaging(rounds=4, validation_freq=1).fit(network(), data.url, run=str(tmp_path / "run"))
    (tmp_path / "run" / "finished.json").unlink()
    again = resume(str(tmp_path / "run"), "inline")
    assert again.metrics == whole.metrics and again.history == whole.history


@pytest.mark.parametrize("until, reason", [
    ("val_confusion_matrix patience 2", "val_confusion_matrix is more than one number; rules can take accuracy"),
    ("f1_score >= 0.5", "f1_score is more than one number")])
def test_a_rule_that_watches_a_vector_is_refused_in_one_line(tmp_path, made, until, reason):
    with pytest.raises(RuleError, match=reason) as error:
        averaging(until=until).fit(network(), made(100, hold_out=0.2).url, run=str(tmp_path / "run"))
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_patience_knows_which_way_a_metric_improves_whatever_its_name(tmp_path, made):
    data = made(200, hold_out=0.3)
    done = averaging(until="val_area patience 3, rounds 12", validation_freq=1, keep_rounds=99).fit(
        network(), data.url, run=str(tmp_path / "run"))
    scores = [line["val_area"] for line in Run(tmp_path / "run").history() if "val_area" in line]
    assert done.best == 1 + int(np.argmax(scores)) and scores[0] < max(scores)
    falling = {m.called for m in (cls() for cls in METRICS if not needed(cls)) if not m.rising}
    assert falling == {"mean_squared_error", "root_mean_squared_error", "mean_absolute_error", "logcosh", "hinge",
                       "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "squared_hinge",
                       "categorical_hinge", "kl_divergence", "poisson", "binary_crossentropy",
                       "categorical_crossentropy", "sparse_categorical_crossentropy", "false_positives", "false_negatives"}


def test_fit_on_arrays_keeps_vectors_in_its_history_as_keras_does(capsys):
    x = np.random.default_rng(0).standard_normal((40, 5)).astype("f4")
    model = network()
    history = model.fit(x, x[:, :3].argmax(1), epochs=2, verbose=True).history
    assert np.sum(history["confusion_matrix"], axis=(1, 2)).tolist() == [40, 40]
    assert "confusion_matrix: (3 x 3)" in capsys.readouterr().out


def test_a_model_without_its_input_shape_checks_its_metrics_once_it_has_one():
    model = mrdl.Sequential([Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[Recall(class_id=3)])
    with pytest.raises(ConfigError, match="class_id=3 must be from 0 to 2"):
        model.fit(np.ones((4, 2)), np.zeros(4))
    mrdl.Sequential([Input(2), Dense(4, "softmax")]).compile(
        "sgd", "sparse_categorical_crossentropy", metrics=[Recall(class_id=3)])
