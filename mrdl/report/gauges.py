"""Writes a run's `metrics.prom`, for the textfile collector of Prometheus' node_exporter."""
import json
import time
from contextlib import suppress
from typing import Any

from mrdl.rounds.record import measured
from mrdl.storage.base import Storage
from mrdl.storage.local import Local

NAME = "metrics.prom"
PAUSE, PAUSE_FAR = 5.0, 60.0    # seconds between two writes: on local disks, elsewhere

# name -> help, type, function that takes the value from a round's record
GAUGES = {
    "mrdl_round": ("Rounds that are done.", "gauge", lambda r: r["round"]),
    "mrdl_epochs": ("Passes over the training data that are done, with a fraction.", "gauge", lambda r: r["progress"]),
    "mrdl_examples_total": ("Examples trained on.", "counter", lambda r: r["examples"]),
    "mrdl_examples_per_second": ("Examples trained on in the last round, by its seconds.", "gauge",
                                 lambda r: r["trained"] / max(r["seconds"]["round"], 1e-9)),
    "mrdl_round_seconds": ("Seconds of the last round.", "gauge", lambda r: r["seconds"]["round"]),
    "mrdl_compute_seconds": ("Seconds that the slowest worker of the last round computed.", "gauge",
                             lambda r: r["seconds"]["compute"]),
    "mrdl_workers": ("Workers of the last round.", "gauge", lambda r: r["workers"]),
    "mrdl_rate_scale": ("What the learning rate is multiplied by; halved where a round was not finite.", "gauge",
                        lambda r: r["rate_scale"]),
}


def text(url: str, history: list[dict[str, Any]], state: str) -> str:
    """The file's content: the last round's values, each labelled with the run; `state`: running | finished | stopped."""
    run = f"run={json.dumps(url, ensure_ascii=False)}"      # JSON escapes the same characters as Prometheus
    lines = []

    def add(name: str, about: str, kind: str, values: list[tuple[str, float]]) -> None:
        lines.append(f"# HELP {name} {about}\n# TYPE {name} {kind}")
        lines.extend(f"{name}{{{','.join([run, *filter(None, [label])])}}} {value:.10g}" for label, value in values)
    add("mrdl_running", "1 while a driver works on the run.", "gauge", [("", state == "running")])
    add("mrdl_finished", "1 where the run has finished.", "gauge", [("", state == "finished")])
    add("mrdl_written_timestamp_seconds", "When this file was written.", "gauge", [("", time.time())])
    if len(history) > 1:
        last = history[-1]
        for name, (about, kind, value) in GAUGES.items():
            add(name, about, kind, [("", value(last))])
        # only some rounds score the validation data, so take the newest score of each metric
        seen = {name: value for record in history[1:] for name, value in measured(record).items()
                if isinstance(value, (int, float))}
        add("mrdl_metric", "The newest value of the loss and of each metric.", "gauge",
            [(f"name={json.dumps(name, ensure_ascii=False)}", value) for name, value in seen.items()])
    return "\n".join(lines) + "\n"


class Gauges:
    """Keeps a run's metrics.prom up to date, with writes so rare that they cost almost nothing."""

    def __init__(self, store: Storage):
        self.store, self.next = store, 0.0
        self.pause = PAUSE if isinstance(store, Local) else PAUSE_FAR

    def write(self, history: list[dict[str, Any]], state: str = "running") -> None:
        """Replaces the file, if it is time or the run has ended. Ignores errors of the storage: commits report them."""
        if state == "running" and time.monotonic() < self.next:
            return
        self.next = time.monotonic() + self.pause
        with suppress(OSError):
            if self.store.exists("run.json"):       # not if somebody has removed the run
                self.store.write(NAME, text(self.store.url, history, state).encode())
