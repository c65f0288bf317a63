"""What a run has measured, written for people: numbers, tables, and a picture of its loss and metrics (PNG)."""
import io
import logging
from statistics import median
from typing import Any

from mrdl.record import PHASES, measured

ROW = 4                         # panels of a picture beside each other


def by_worker(records: list[dict[str, Any]]) -> list[str]:
    """A table of where each worker's time goes: medians over rounds, in milliseconds."""
    found: dict[int, dict[str, list[float]]] = {}
    for record in records:
        for own in record.get("by_worker", ()):
            for phase, seconds in own.items():
                if phase not in ("worker", "shard"):
                    found.setdefault(own["worker"], {}).setdefault(phase, []).append(seconds)
    phases = sorted({phase for times in found.values() for phase in times}, key=PHASES.index)
    return ["".join(["worker".ljust(8), *(phase.rjust(9) for phase in phases)])] + [
        "".join([str(worker).ljust(8), *(f"{1000 * median(times[p]):9.0f}" if p in times else " " * 9
                                         for p in phases)])
        for worker, times in sorted(found.items())] if found else []


def attempts(history: list[dict[str, Any]]) -> str:
    """Hadoop's task attempts over all rounds against the tasks that were needed; "" without rounds of a job each."""
    jobs = [line["job"] for line in history if "maps_needed" in line.get("job", {})]
    return "; ".join(
        f"{kind}: {total(f'{kind}_needed'):,} needed, {total(kind):,} attempts launched "
        f"({total(f'{kind}_failed')} failed, {total(f'{kind}_killed')} killed, as the slower of two copies is)"
        for kind in ("maps", "reduces") for total in [lambda name: sum(job[name] for job in jobs)]) if jobs else ""


def curves(history: list[dict[str, Any]]) -> dict[str, tuple[list[int], list[float]]]:
    """metric -> (rounds, values), for the loss and each metric that was seen."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for entry in history:
        for name, value in measured(entry).items():
            if isinstance(value, list):
                continue
            rounds, values = found.setdefault(name, ([], []))
            rounds.append(entry["round"])
            values.append(value)
    return found


def verbatim(text: str) -> str:
    """A text in which matplotlib finds no formula."""
    return text.replace("$", r"\$")


def plot(history: list[dict[str, Any]], title: str = "", marked: tuple[int, str] | None = None) -> bytes | None:
    """PNG of `figure`; None where matplotlib is missing."""
    if drawn := figure(history, title, marked):
        buffer = io.BytesIO()
        drawn.savefig(buffer, format="png")
        return buffer.getvalue()
    return None


def figure(history: list[dict[str, Any]], title: str = "", marked: tuple[int, str] | None = None):
    """matplotlib's, with a panel for the loss and each metric, in which a round is marked: its number, what it is."""
    try:
        logging.getLogger("matplotlib").addHandler(logging.NullHandler())   # else it talks of its font cache
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        return None
    found = curves(history)
    names = list(dict.fromkeys(name.removeprefix("val_") for name in found))
    wide = min(ROW, max(1, len(names)))
    rows = max(1, -(-len(names) // wide))
    made = Figure(figsize=(4.8 * wide, 3.6 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(made)
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
