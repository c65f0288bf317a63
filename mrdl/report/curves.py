"""A picture of a report: the curves of a model's scores and how probabilities hold, or its errors."""
import io
from typing import Any

from mrdl.config import need
from mrdl.report.plot import canvas, verbatim
from mrdl.report.scored import short

MOST = 10                       # classes that are drawn, those with most rows


def check() -> None:
    """ConfigError where there can be no picture."""
    need(canvas(1, 1) is not None, "a picture needs matplotlib: pip install 'mrdl[plot]'")


def picture(facts: dict[str, Any], title: str) -> bytes:
    """As PNG; ConfigError where there is nothing to draw."""
    need(bool(facts), "there is no report to draw: of models with one output, which is a value or up to 256 classes")
    figure = canvas(3 if "classes" in facts else 1, 1)
    if "classes" in facts:
        _classes(facts, figure.subplots(1, 3))
    else:
        _values(facts, figure.subplots())
    figure.suptitle(verbatim(title))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _classes(facts: dict[str, Any], panels) -> None:
    roc, pr, reliability = panels
    shown = sorted((each for each in facts["classes"] if each["class"] in facts["curves"]), key=lambda each: -each["rows"])[:MOST]
    total = sum(each["rows"] for each in facts["classes"])
    for number, each in enumerate(shown):
        of, name = facts["curves"][each["class"]], verbatim(short(each["class"]))
        x, y, _ = zip(*of["roc"])
        roc.plot(x, y, label=f"{name} {each['roc_auc']:.3f}")
        x, y, _ = zip(*of["precision_recall"])
        pr.plot(x, y, color=f"C{number}", label=f"{name} {each['average_precision']:.3f}")
        pr.axhline(each["rows"] / total, color=f"C{number}", linestyle=":", linewidth=1)
    bins = facts["calibration"]["bins"]
    reliability.plot([each["probability"] for each in bins], [each["share"] for each in bins], marker="o",
                     label=f"error {facts['calibration']['error']:.3f}")
    of = short(facts["classes"][1]["class"]) if len(facts["classes"]) == 2 else "the class chosen"
    for axes, name, x, y in ((roc, "ROC, and area", "false positives", "true positives"),
                             (pr, "precision over recall, and average", "recall", "precision"),
                             (reliability, f"probability of {verbatim(of)}", "probability, mean of a bin", "share that is right")):
        if axes is not pr:
            axes.plot([0, 1], [0, 1], color="0.4", linestyle=":", linewidth=1)
        axes.set(title=name, xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1.01))
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize="small")


def _values(facts: dict[str, Any], axes) -> None:
    shares, values = zip(*facts["residuals"]["quantiles"])
    axes.plot(values, shares, marker=".")
    axes.axvline(0, color="0.4", linestyle=":", linewidth=1)
    axes.set(title=f"mean squared error {facts['mean_squared_error']:.4g}", xlabel="prediction minus label", ylabel="share of rows below",
             ylim=(0, 1))
    axes.grid(alpha=0.3)
