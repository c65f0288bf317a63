"""What evaluate says of scores: scikit-learn's numbers, the same bytes however the rows are split."""
import json
import random

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from mrdl.data.binned import Binned, keys_of, keys_of_shares, shares_of, values_of
from mrdl.report import scored
from mrdl.report.assessed import Assessed, softmax

NAMES = ["no", "yes"]


def binary(n, seed=0, digits=None):
    """Labels, and scores of float32 that tell something of them, also very near to 0 and 1."""
    rng = np.random.default_rng(seed)
    t = rng.integers(0, 2, n)
    p = (1 / (1 + np.exp(-8 * rng.standard_normal(n) - 4 * (t - 0.5)))).clip(2e-7, 1 - 2e-7).astype("f4")
    return t, p if digits is None else p.round(digits).clip(0.01, 0.99)


def classes(n, K=5, seed=0):
    rng = np.random.default_rng(seed)
    t = rng.choice(K, n, p=np.arange(1, K + 1) / (K * (K + 1) / 2))
    z = (rng.standard_normal((K, n)) * 2 + 2 * (np.arange(K)[:, None] == t)).astype("f4")
    return t, z


def assessed(parts, *asked):
    """One of all parts, each dumped and merged as mappers' are."""
    found = Assessed(*asked)
    for y, t in parts:
        part = Assessed(*asked)
        for start in range(0, len(t), 256):
            part.add(y[:, start:start + 256], t[start:start + 256])
        found.merge(json.loads(json.dumps(part.dump())))
    return found


@pytest.mark.parametrize("n, digits", [(3000, None), (5000, 2), (40_000, None)])
def test_two_classes_have_scikit_learns_numbers(n, digits):
    t, p = binary(n, digits=digits)
    found = scored.report(assessed([(p[None], t)], 2), NAMES)
    exact = n < 40_000
    assert any("(to 0.0" in line for line in scored.told(found)) is not exact
    assert (found["roc_auc_error"] == 0) is exact and found["roc_auc_error"] < 1e-3 and found["average_precision_error"] < 2e-2
    for name, value in (("roc_auc", metrics.roc_auc_score(t, p)), ("average_precision", metrics.average_precision_score(t, p))):
        assert abs(found[name] - value) <= found[name + "_error"] + 1e-12
    assert found["brier_score"] == pytest.approx(metrics.brier_score_loss(t, p.astype("f8")), rel=1e-9)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(t, p.astype("f8")), rel=1e-6)
    share, probability = calibration_curve(t, p.astype("f8"), n_bins=10)
    bins = found["calibration"]["bins"]
    assert [each["share"] for each in bins] == pytest.approx(share) and [each["probability"] for each in bins] == pytest.approx(probability)
    assert found["calibration"]["error"] == pytest.approx(
        sum(each["rows"] * abs(each["share"] - each["probability"]) for each in bins) / n)
    fpr, tpr, _ = metrics.roc_curve(t, p)
    for x, y, _ in found["curves"]["yes"]["roc"]:
        assert np.interp(x, fpr, tpr) >= y - 2e-3
    x, y, _ = zip(*found["curves"]["yes"]["roc"])
    assert np.trapezoid(y, x) == pytest.approx(found["roc_auc"], abs=1e-3) and len(x) <= scored.POINTS + 1


def test_several_classes_have_scikit_learns_numbers():
    t, z = classes(4000)
    p = softmax(z)
    found = scored.report(assessed([(z, t)], 5, True), list("abcde"))
    q = p.T.astype("f8")
    q /= q.sum(1, keepdims=True)
    for name, value in (("roc_auc", metrics.roc_auc_score(t, q, multi_class="ovr", average="macro")),
                        ("average_precision", metrics.average_precision_score(np.eye(5)[t], p.T, average="macro"))):
        assert abs(found[name] - value) <= found[name + "_error"] + 1e-6
    assert found["log_loss"] == pytest.approx(metrics.log_loss(t, q), rel=1e-6)
    assert found["brier_score"] == pytest.approx(metrics.brier_score_loss(t, q, labels=range(5), scale_by_half=False), rel=1e-6)
    theirs = metrics.classification_report(t, p.argmax(0), output_dict=True, target_names=list("abcde"))
    for each in found["classes"]:
        of = theirs[each["class"]]
        assert (each["precision"], each["recall"], each["f1"], each["rows"]) == pytest.approx(
            (of["precision"], of["recall"], of["f1-score"], of["support"]))
    for name, their in (("macro", "macro avg"), ("weighted", "weighted avg")):
        assert [found[name][what] for what in ("precision", "recall", "f1")] == pytest.approx(
            [theirs[their][what] for what in ("precision", "recall", "f1-score")])
    assert found["accuracy"] == theirs["accuracy"]
    baseline = np.bincount(t) / len(t)
    assert found["baseline"]["log_loss"] == pytest.approx(metrics.log_loss(t, np.tile(baseline, (len(t), 1))))
    share, probability = calibration_curve(p.argmax(0) == t, p.max(0).astype("f8"), n_bins=10)
    assert [each["share"] for each in found["calibration"]["bins"]] == pytest.approx(share)
    assert [each["probability"] for each in found["calibration"]["bins"]] == pytest.approx(probability)
    assert len(scored.told(found)) < 20


@pytest.mark.parametrize("n", [900, 30_000])
def test_values_have_scikit_learns_numbers(n):
    rng = np.random.default_rng(1)
    t = (50 + 9 * rng.standard_normal((1, n))).astype("f4")
    y = (t + rng.standard_normal((1, n)) ** 3).astype("f4")
    found = scored.report(_values(y, t), [])
    own, true = y[0].astype("f8"), t[0].astype("f8")
    assert found["mean_squared_error"] == pytest.approx(metrics.mean_squared_error(true, own), rel=1e-12)
    assert found["mean_absolute_error"] == pytest.approx(metrics.mean_absolute_error(true, own), rel=1e-12)
    assert found["r2"] == pytest.approx(metrics.r2_score(true, own), rel=1e-9)
    residuals = found["residuals"]
    assert residuals["exact"] is (n < 4000) and residuals["mean"] == pytest.approx((own - true).mean())
    quantiles = np.quantile(own - true, [share for share, _ in residuals["quantiles"]])
    assert [value for _, value in residuals["quantiles"]] == pytest.approx(quantiles, **({"rel": 1e-9} if n < 4000 else {"rel": 0.02, "abs": 2e-3}))
    assert found["baseline"]["mean_absolute_error"] == pytest.approx(np.abs(true - true.mean()).mean(), rel=1e-9 if n < 4000 else 1e-2)


def _values(y, t):
    found = Assessed(0)
    found.add(y, t)
    return found


@pytest.mark.parametrize("asked", [(2,), (5, True)])
def test_splits_and_order_change_no_byte(asked):
    t, y = binary(20_000) if asked == (2,) else classes(9000)
    y = y[None] if y.ndim == 1 else y
    whole = assessed([(y, t)], *asked).dump()
    order = np.random.default_rng(3).permutation(len(t))
    for parts in (2, 7):
        cuts = np.array_split(order, parts)
        random.Random(parts).shuffle(cuts)
        assert assessed([(y[:, cut], t[cut]) for cut in cuts], *asked).dump() == whole


def test_rows_without_a_finite_score_are_counted_and_left_out():
    found = Assessed(2)
    found.add(np.array([[0.2, np.nan, 0.9]], "f4"), np.array([[0, 1, 1]], "f4"))
    facts = scored.report(found, NAMES)
    assert (facts["rows"], facts["lost"], facts["roc_auc"]) == (3, 1, 1.0)
    assert scored.told(facts)[0].startswith("1 of 3 rows have outputs that are not finite")
    nothing = Assessed(0)
    nothing.add(np.full((1, 2), np.inf), np.ones((1, 2)))
    assert scored.report(nothing, []) == {} and scored.told({}) == []


def test_a_class_that_never_comes_has_no_area():
    found = Assessed(3)
    found.add(np.array([[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]]), np.array([0, 1]))
    facts = scored.report(found, list("abc"))
    assert [each["roc_auc"] for each in facts["classes"]] == [1.0, 1.0, None] and facts["roc_auc"] == 1.0
    alone = Assessed(2)
    alone.add(np.array([[0.5, 0.2]]), np.array([[0.0, 0.0]]))
    facts = scored.report(alone, NAMES)
    assert facts["roc_auc"] is None and not any("ROC" in line for line in scored.told(facts))


def test_of_many_classes_the_worst_are_shown():
    t, z = classes(3000, 30)
    lines = scored.told(scored.report(assessed([(z, t)], 30, True), list(map(str, range(30)))))
    assert len(lines) < 24 and any("lowest f1 of 30 classes" in line for line in lines)


def test_keys_have_the_order_of_numbers_and_bins_only_as_many_as_fit():
    values = np.array([-1e300, -2.5, -1e-300, 0.0, 5e-324, 1.0, 1e300])
    assert (np.diff(keys_of(values)) > 0).all() and values_of(keys_of(values)).tolist() == values.tolist()
    shares = np.array([0.0, 1e-300, 0.3, 0.5, np.nextafter(0.5, 1), 1 - 2.0 ** -24, 1.0])
    assert (np.diff(keys_of_shares(shares)) > 0).all() and shares_of(keys_of_shares(shares)).tolist() == shares.tolist()
    bins = Binned(1, 8)
    bins.add(keys_of(np.arange(1.0, 9)), np.ones((1, 8), "i8"))
    assert bins.dropped == 0 and values_of(bins.keys()).tolist() == list(range(1, 9))
    bins.add(keys_of(np.array([9.0])), np.ones((1, 1), "i8"))
    assert bins.dropped > 0 and len(bins.bins) <= 8 and bins.counts.sum() == 9
