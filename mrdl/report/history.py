"""Makes tables and curves of what a run has measured."""
from statistics import median
from typing import Any

from mrdl.rounds.record import PHASES, measured


def by_worker(records: list[dict[str, Any]]) -> list[str]:
    """A table of the milliseconds that each worker spends in each phase: medians over rounds."""
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
    """How many task attempts Hadoop launched in all rounds, and how many were needed; "" if no round was a Hadoop job."""
    jobs = [line["job"] for line in history if "maps_needed" in line.get("job", {})]
    return "; ".join(
        f"{kind}: {total(f'{kind}_needed'):,} needed, {total(kind):,} attempts launched "
        f"({total(f'{kind}_failed')} failed, {total(f'{kind}_killed')} killed, as the slower of two copies is)"
        for kind in ("maps", "reduces") for total in [lambda name: sum(job[name] for job in jobs)]) if jobs else ""


def curves(history: list[dict[str, Any]]) -> dict[str, tuple[list[int], list[float]]]:
    """metric -> (rounds, values), for the loss and each metric in the history."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for entry in history:
        for name, value in measured(entry).items():
            if isinstance(value, list):
                continue
            rounds, values = found.setdefault(name, ([], []))
            rounds.append(entry["round"])
            values.append(value)
    return found
