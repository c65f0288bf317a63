"""What a model's scores are worth, class by class, and against the simplest answer there is."""
from typing import Any

from mrdl import metrics
from mrdl.config import ConfigError
from mrdl.models.answers import Answers
from mrdl.models.model import Model
from mrdl.printing import written

NAME = "scored"                 # of the metric from which a report is made
CLASSES = 256                   # of more there is no report
FEW = 20                        # classes, up to which the matrix is printed
WIDE = 24                       # characters of a class's name


def measured(model: Model, names: list[str]) -> list[str]:
    """Adds to a model's metrics what a report needs; gives the names of its classes. Nothing where there can be no report."""
    answers = Answers(model, names)
    if answers.values > CLASSES or isinstance(model.loss, list) or (answers.values > 1 and not answers.classes):
        return []
    metric = metrics.ConfusionMatrix(name=NAME) if answers.classes else metrics.MeanSquaredError(name=NAME)
    try:
        model.compile(model.optimizer, model.loss, [*model.metrics, metric], model.loss_weights)
    except ConfigError:                         # the loss takes other targets
        return []
    return answers.classes


def report(found: Any, classes: list[str], targets: metrics.Sums) -> dict[str, Any]:
    """Of the metric's value, and what the targets are like: for JSON."""
    if classes:
        total = sum(map(sum, found)) or 1
        rows = [sum(row) for row in found]
        each = []
        for i, name in enumerate(classes):
            hits, chosen = found[i][i], sum(row[i] for row in found)
            precision, recall = hits / chosen if chosen else 0.0, hits / rows[i] if rows[i] else 0.0
            each.append({"class": name, "precision": precision, "recall": recall,
                         "f1": 2 * precision * recall / (precision + recall) if hits else 0.0, "rows": rows[i]})
        most = rows.index(max(rows))
        return {"classes": each, "confusion": found, "accuracy": sum(found[i][i] for i in range(len(found))) / total,
                "baseline": {"class": classes[most], "accuracy": rows[most] / total}}
    if "sum" not in targets:
        return {}
    mean, squares = (float(targets[name][0][0]) / float(targets["count"][0]) for name in ("sum", "squares"))
    variance = max(0.0, squares - mean * mean)
    return {"mean_squared_error": found, "r2": 1 - found / variance if variance else None,
            "baseline": {"mean": mean, "mean_squared_error": variance}}


def told(facts: dict[str, Any]) -> list[str]:
    """A report, for the user."""
    if not facts:
        return []
    baseline = facts["baseline"]
    if "classes" not in facts:
        r2 = "" if facts["r2"] is None else f", R2 {facts['r2']:.4f}"
        worse = " (no better than the mean)" * (facts["mean_squared_error"] >= baseline["mean_squared_error"])
        error, least = (written(each["mean_squared_error"]) for each in (facts, baseline))
        return [f"mean squared error {error}{r2}{worse}; always predicting the mean, {baseline['mean']:.6g}: {least}"]
    names = [_short(each["class"]) for each in facts["classes"]]
    wide = max(5, *map(len, names))
    lines = [f"{'class':<{wide}}  precision     recall         f1       rows"]
    for name, each in zip(names, facts["classes"]):
        lines.append(f"{name:<{wide}}" + "".join(f"{each[what]:>11.4f}" for what in ("precision", "recall", "f1")) + f"{each['rows']:>11,}")
    than = ", no better than" if facts["accuracy"] <= baseline["accuracy"] else ";"
    lines.append(f"accuracy {facts['accuracy']:.4f}{than} always answering {_short(baseline['class'])}: {baseline['accuracy']:.4f}")
    if len(names) <= FEW:
        each = max(7, *map(len, names)) + 2
        lines += ["confusion: a row for each class, a column for each prediction", " " * wide + "".join(f"{name:>{each}}" for name in names)]
        lines += [f"{name:<{wide}}" + "".join(f"{count:>{each},}" for count in row) for name, row in zip(names, facts["confusion"])]
    return lines


def _short(name: str) -> str:
    name = "".join(c if c.isprintable() else "?" for c in name)
    return name if len(name) <= WIDE else name[:WIDE - 2] + ".."
