"""A picture of a run's loss and metrics (PNG)."""
import io
import logging
from typing import Any

from mrdl.report.history import curves

ROW = 4                         # panels in a row of the picture


def verbatim(text: str) -> str:
    """The text, escaped so that matplotlib does not read it as a formula."""
    return text.replace("$", r"\$")


def plot(history: list[dict[str, Any]], title: str = "", marked: tuple[int, str] | None = None) -> bytes | None:
    """`figure` as PNG; None if matplotlib is missing."""
    if drawn := figure(history, title, marked):
        buffer = io.BytesIO()
        drawn.savefig(buffer, format="png")
        return buffer.getvalue()
    return None


def canvas(wide: int, rows: int):
    """A matplotlib figure with room for so many panels; None if matplotlib is missing."""
    try:
        logging.getLogger("matplotlib").addHandler(logging.NullHandler())   # else it prints messages about its font cache
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    made = Figure(figsize=(4.8 * wide, 3.6 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(made)
    return made


def figure(history: list[dict[str, Any]], title: str = "", marked: tuple[int, str] | None = None):
    """A matplotlib figure with a panel for the loss and for each metric; `marked`: a round to mark, and its description."""
    found = curves(history)
    names = list(dict.fromkeys(name.removeprefix("val_") for name in found))
    wide = min(ROW, max(1, len(names)))
    rows = max(1, -(-len(names) // wide))
    made = canvas(wide, rows)
    if made is None:
        return None
    from matplotlib.ticker import MaxNLocator
    panels = made.subplots(rows, wide, squeeze=False).ravel()
    for axes in panels[len(names):]:
        axes.axis("off")
    for axes, name in zip(panels, names):
        for key, label in ((name, "training"), ("val_" + name, "validation")):
            if key in found:
                axes.plot(*found[key], label=label, marker="." if len(found[key][0]) < 40 else "")
        if marked:
            axes.axvline(marked[0], color="0.4", linestyle="--", linewidth=1, label=f"{marked[1]}: round {marked[0]}")
        axes.set(xlabel="round", title=verbatim(name))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend()
    if title:
        made.suptitle(verbatim(title))
    return made
