"""The table of a search, best first, and the lines about its progress."""
from collections.abc import Mapping
from typing import Any

from mrdl import search
from mrdl.printing import clean, counted, fitted, wide, written
from mrdl.rounds.record import measured
from mrdl.runs.run import Run
from mrdl.runs.searches import Asked, Found, Search, name

LONGEST = 200                   # columns for the reason of a failure


def costs(asked: Asked, rungs: list[list[Found]]) -> list[search.Costs]:
    """What strategies compare: for each rung the cost of each configuration that trained in it."""
    return [{found["configuration"]: None if found["state"] == "failed" else search.cost(found["metrics"].get(asked["metric"]), asked["rising"])
             for found in rung} for rung in rungs]


def brackets(asked: Asked) -> list[search.Bracket]:
    """The brackets of a search."""
    return search.brackets(asked["strategy"], len(asked["configurations"]), asked["factor"], asked["most"])


def length(asked: Asked) -> int:
    """How many rungs the search has."""
    return max(len(bracket.budgets) for bracket in brackets(asked))


def so_far(place: Search, asked: Asked, rungs: list[list[Found]]) -> dict[int, dict[str, Any]]:
    """What the runs of the rung under way have committed by now: for each configuration "epochs", "examples" and "metrics"."""
    found = {}
    for number in search.next_rung(brackets(asked), asked["factor"], costs(asked, rungs)):
        run = Run(place.run(number))
        if run.exists() and (history := run.history()):
            values = {key: value for entry in history for key, value in measured(entry).items()}       # the newest of each
            found[number] = {"epochs": history[-1]["progress"], "examples": history[-1]["examples"],
                             "metrics": {key: value for key, value in values.items() if search.cost(value, False) is not None}}
    return found


def ranked(asked: Asked, rungs: list[list[Found]], now: Mapping[int, dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """A row for each configuration, best first: those that trained longer come before those that dropped out, those that failed last.

    "state" is trained (to the end), dropped, training (in the rung under way), waiting, or failed. `now`: what `so_far` gave."""
    made, seen = brackets(asked), costs(asked, rungs)
    going = search.next_rung(made, asked["factor"], seen)
    last = {number: len(bracket.budgets) - 1 for bracket in made for number in bracket.members}
    rows = []
    for number, configuration in enumerate(asked["configurations"], 1):
        at = max((rung for rung, found in enumerate(seen) if number in found), default=None)
        found = None if at is None else next(found for found in rungs[at] if found["configuration"] == number)
        state = ("training" if number in going else "waiting" if found is None else "failed" if found["state"] == "failed" else
                 "trained" if at == last[number] else "dropped")
        row = {"configuration": number, "run": name(number), "values": configuration["values"], "state": state,
               "rung": None if at is None else at + 1, "epochs": 0.0, "examples": 0, "metrics": {}, "reason": configuration["reason"] or ""}
        row |= {key: found[key] for key in ("epochs", "examples", "metrics", "reason") if found}
        rows.append(row | (now or {}).get(number, {}))

    def place(row: dict[str, Any]) -> tuple:
        value = search.cost(row["metrics"].get(asked["metric"]), asked["rising"])
        longer = 0 if row["rung"] is None else row["rung"] - 1 - last[row["configuration"]]      # 0: to the end of its bracket
        return row["state"] == "failed", value is None, -longer, value or 0.0, row["configuration"]
    return sorted(rows, key=place)


def table(asked: Asked, rows: list[dict[str, Any]]) -> list[str]:
    """The rows of `ranked` as lines of text."""
    names = list(asked["configurations"][0]["values"])
    shown = [asked["metric"], *sorted({key for row in rows for key in row["metrics"]} - {asked["metric"]},
                                      key=lambda key: (not key.startswith("val_"), key))]
    lines = [["RUN", *names, "RUNG", "EPOCHS", "EXAMPLES", *shown, "STATE"]]
    for row in rows:
        reason = f": {clean(row['reason'])}" if row["state"] == "failed" else ""
        lines.append([row["run"], *(clean(str(row["values"][name])) for name in names), str(row["rung"] or ""), f"{row['epochs']:.4g}",
                      f"{row['examples']:,}", *(written(row["metrics"][key]) if key in row["metrics"] else "" for key in shown),
                      row["state"] + (reason if len(reason) <= LONGEST else reason[:LONGEST] + "...")])
    room = [max(map(wide, column)) for column in zip(*lines)]
    return ["  ".join(fitted(cell, size, right=0 < number < len(room) - 1) for number, (cell, size) in enumerate(zip(line, room))).rstrip()
            for line in lines]


def line(event: str, facts: dict[str, Any]) -> str | None:
    """What is said about an event of a search; None: nothing."""
    if event == "rung":
        until = "until their rules end them" if facts["most"] is None else f"to {counted(facts['most'], facts['unit'].removesuffix('s'))}"
        return f"rung {facts['rung']} of {facts['rungs']}: {counted(facts['configurations'], 'configuration')} {until}"
    if event == "job":
        return f"  job {facts['job']}: {counted(facts['configurations'], 'configuration')}, {facts['seconds']:.2f} s"
    if event == "failed":
        return f"  {facts['run']} failed: {facts['reason']}"
    if event == "ranked":
        values = ", ".join(f"{name}={value}" for name, value in facts["values"].items())
        return f"  best: {facts['run']} ({values}), {facts['metric']} {written(facts['value'])}"
    return f"{event}: {facts['text']}" if event == "warning" else None
