"""What a model's scores are worth, class by class, and against the simplest answer there is."""
from typing import Any

import numpy as np

from mrdl.data.binned import Binned, shares_of, values_of
from mrdl.printing import written
from mrdl.report.assessed import BOUNDS, Assessed

TABLE, FEW = 12, 10             # classes, up to which each has a line; up to which the matrix is printed
WIDE = 24                       # characters of a class's name
POINTS = 200                    # of a curve, at most
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
AVERAGED = ("precision", "recall", "f1", "roc_auc", "average_precision")


def report(found: Assessed, classes: list[str]) -> dict[str, Any]:
    """The facts, for JSON; {} where no row could be counted."""
    found.settle()
    if found.rows == found.lost:
        return {}
    return {"rows": found.rows, "lost": found.lost, **(_of_classes(found, classes) if classes else _of_values(found))}


def _of_classes(found: Assessed, classes: list[str]) -> dict[str, Any]:
    confusion, n = found.confusion, int(found.confusion.sum())
    hits, rows, chosen = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    curves = {name: curve(scores) for name, scores in zip(classes[1:] if len(classes) == 2 else classes, found.scores)}
    each = []
    for i, name in enumerate(classes):
        precision, recall = (float(hits[i] / of[i]) if of[i] else 0.0 for of in (chosen, rows))
        of = curves.get(name) or {}
        each.append({"class": name, "precision": precision, "recall": recall,
                     "f1": 2 * precision * recall / (precision + recall) if hits[i] else 0.0, "rows": int(rows[i]),
                     "roc_auc": of.get("roc_auc"), "average_precision": of.get("average_precision")})
    known = [facts for facts in curves.values() if facts]
    most, shares, there = int(rows.argmax()), rows / n, rows[rows > 0] / n
    calibration = _calibration(found)
    return {
        "classes": each, "confusion": confusion.tolist(), "accuracy": float(hits.sum() / n),
        "macro": {name: _mean([facts[name] for facts in each]) for name in AVERAGED[:3]},
        "weighted": {name: float(sum(facts[name] * facts["rows"] for facts in each) / n) for name in AVERAGED[:3]},
        **{name: _mean([facts[name] for facts in known])
           for name in ("roc_auc", "roc_auc_error", "average_precision", "average_precision_error")},
        "log_loss": found.entropy.mean,
        # of several classes the sum over them, of two that of one
        "brier_score": found.distances.mean_square * (found.distances.count / n),
        "calibration": calibration,
        "curves": {name: {"roc": facts["roc"], "precision_recall": facts["precision_recall"]} for name, facts in curves.items() if facts},
        "baseline": {"class": classes[most], "accuracy": float(rows[most] / n),
                     "log_loss": float(-(there * np.log(there)).sum()) + 0.0,
                     "brier_score": float(shares[0] * shares[1] if len(classes) == 2 else 1 - (shares * shares).sum())}}


def _mean(values: list) -> float | None:
    """Of those that are known."""
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None


def _calibration(found: Assessed) -> dict[str, Any]:
    bins, rows = [], found.reliability[0].sum()
    for i, ((n, right), sums) in enumerate(zip(found.reliability.T.tolist(), found.probabilities)):
        if n:
            bins.append({"from": float(BOUNDS[i]), "to": float(BOUNDS[i + 1]), "rows": n, "probability": sums.mean, "share": right / n})
    return {"error": float(sum(each["rows"] * abs(each["probability"] - each["share"]) for each in bins) / rows), "bins": bins}


def curve(scores: Binned) -> dict[str, Any] | None:
    """ROC and precision over recall, the areas under them, and how far these can be wrong, as scores in one bin are taken for equal;
    None where the rows are all of the class, or none is."""
    others, own = scores.counts[:, ::-1].astype("f8")         # from the highest score down: exact, as they are below 2^53
    N, P = others.sum(), own.sum()
    if not N or not P:
        return None
    tp, fp = own.cumsum(), others.cumsum()
    precision = tp / (tp + fp)
    average, off = float((own * precision).sum() / P), 0.0
    if scores.dropped:
        average, off = _between(own, others, tp, fp, P)
    least = shares_of(scores.bins[::-1] << scores.dropped)
    points = np.unique(np.searchsorted((tp / P + fp / N) / 2, np.linspace(0, 1, POINTS)).clip(0, len(tp) - 1))
    return {"roc_auc": float((others / N * ((tp - own / 2) / P)).sum()),
            "roc_auc_error": float((others / N * (own / P)).sum() / 2) if scores.dropped else 0.0,
            "average_precision": average, "average_precision_error": off,
            "roc": [[0.0, 0.0, None], *np.stack([fp / N, tp / P, least], 1)[points].tolist()],
            "precision_recall": np.stack([tp / P, precision, least], 1)[points].tolist()}


def _between(own: np.ndarray, others: np.ndarray, tp: np.ndarray, fp: np.ndarray, P: float) -> tuple[float, float]:
    """The average precision, and how far it may be wrong: in each bin the rows of the class may all be above the others, with one
    score, or all below them, one by one."""
    own, others, tp, fp = (of[own > 0] for of in (own, others, tp, fp))
    best = own * tp / (tp + fp - others)
    before = tp - own + fp                      # the sum of (tp + i) / (before + i), by an upper bound of the harmonic numbers
    worst = np.maximum(own - fp * np.log1p(own / np.maximum(before, 1)), 0)         # before is 0 where fp is
    high, low = float(best.sum() / P), float(worst.sum() / P)
    return (high + low) / 2, (high - low) / 2


def _of_values(found: Assessed) -> dict[str, Any]:
    error, variance, mean = found.errors.mean_square, found.targets.variance, found.targets.mean
    values = values_of(found.values.keys())
    return {"mean_squared_error": error, "root_mean_squared_error": error ** 0.5, "mean_absolute_error": found.sizes.mean,
            "r2": 1 - error / variance if variance else None,
            "residuals": {"mean": found.errors.mean, "exact": not found.residuals.dropped,
                          "quantiles": [[share, quantile(found.residuals, share)] for share in QUANTILES]},
            "baseline": {"mean": mean, "mean_squared_error": variance, "root_mean_squared_error": variance ** 0.5,
                         "mean_absolute_error": float((found.values.counts[0] * np.abs(values - mean)).sum() / found.targets.count)}}


def quantile(found: Binned, share: float) -> float:
    """Linear between the two values beside it, as NumPy has it; of bins their middles."""
    ends, values = np.cumsum(found.counts[0]), values_of(found.keys())
    place = share * (int(ends[-1]) - 1)
    a, b = (float(values[np.searchsorted(ends, k, side="right")]) for k in (int(place), min(int(place) + 1, int(ends[-1]) - 1)))
    return a + (b - a) * (place - int(place))


def told(facts: dict[str, Any]) -> list[str]:
    """A report, for the user: no longer than a screen."""
    if not facts:
        return []
    lost = [f"{facts['lost']:,} of {facts['rows']:,} rows have outputs that are not finite: they are left out"] * bool(facts["lost"])
    return [*lost, *(_told_of_classes(facts) if "classes" in facts else _told_of_values(facts))]


def _told_of_values(facts: dict[str, Any]) -> list[str]:
    baseline, quantiles = facts["baseline"], dict(map(tuple, facts["residuals"]["quantiles"]))
    r2 = "" if facts["r2"] is None else f", R2 {facts['r2']:.4f}"
    worse = " (no better than the mean)" * (facts["mean_squared_error"] >= baseline["mean_squared_error"])
    names = ("mean_squared_error", "root_mean_squared_error", "mean_absolute_error")
    (error, root, size), (least, _, middle) = ([written(each[name]) for name in names] for each in (facts, baseline))
    return [f"mean squared error {error}{r2}{worse}; always predicting the mean, {baseline['mean']:.6g}: {least}",
            f"its root {root}; mean absolute error {size}; always predicting the mean: {middle}",
            "prediction minus label: " + ", ".join(
                f"{what} {quantiles[share]:.4g}" for what, share in (("5 %", 0.05), ("25 %", 0.25), ("median", 0.5), ("75 %", 0.75),
                                                                     ("95 %", 0.95)))]


def _told_of_classes(facts: dict[str, Any]) -> list[str]:
    baseline, each = facts["baseline"], facts["classes"]
    shown = each if len(each) <= TABLE else sorted(each, key=lambda of: of["f1"])[:TABLE]
    names = [short(of["class"]) for of in shown]
    wide = max(7, *map(len, names))
    lines = [f"{'class':<{wide}}  precision     recall         f1       rows"]
    for name, of in [*zip(names, shown), ("average", facts["macro"])]:
        lines.append((f"{name:<{wide}}" + "".join(f"{of[what]:>11.4f}" for what in AVERAGED[:3])
                      + (f"{of['rows']:>11,}" if "rows" in of else "")).rstrip())
    if len(shown) < len(each):
        lines.insert(-1, f"(these have the lowest f1 of {len(each)} classes; --json has all)")
    than = ", no better than" if facts["accuracy"] <= baseline["accuracy"] else ";"
    lines.append(f"accuracy {facts['accuracy']:.4f}{than} always answering {short(baseline['class'])}: {baseline['accuracy']:.4f}")
    lines += _told_of_scores(facts)
    if len(each) <= FEW:
        wider = max(7, *map(len, names)) + 2
        lines += ["confusion: a row for each class, a column for each prediction", " " * wide + "".join(f"{name:>{wider}}" for name in names)]
        lines += [f"{name:<{wide}}" + "".join(f"{count:>{wider},}" for count in row) for name, row in zip(names, facts["confusion"])]
    return lines


def _told_of_scores(facts: dict[str, Any]) -> list[str]:
    """Two lines: the areas under the curves; what probabilities are worth, beside always answering the shares of the classes."""
    lines, baseline = [], facts["baseline"]
    if facts["roc_auc"] is not None:
        of = f"of {short(facts['classes'][1]['class'])}" if len(facts["classes"]) == 2 else "each class against the rest, averaged"
        areas = [f"{facts[name]:.4f}" + (f" (to {facts[name + '_error']:.1g})" if facts[name + "_error"] else "")
                 for name in ("roc_auc", "average_precision")]
        lines = [f"area under ROC {areas[0]}, under precision-recall {areas[1]}; {of}"]
    best = (f"log loss {facts['log_loss']:.4f}, Brier score {facts['brier_score']:.4f}; always answering the classes' shares: "
            f"{baseline['log_loss']:.4f}, {baseline['brier_score']:.4f}")
    return [*lines, best, f"calibration error {facts['calibration']['error']:.4f}"]


def short(name: str) -> str:
    """A class's name, for a terminal."""
    name = "".join(c if c.isprintable() else "?" for c in name)
    return name if len(name) <= WIDE else name[:WIDE - 2] + ".."
