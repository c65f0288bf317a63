"""A driver's events in; a live bar on a terminal out, one line a round otherwise. On stderr."""
import math
import sys
from typing import Any, TextIO

from mrdl.report import measured, told


def clock(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 05 min."""
    if not math.isfinite(seconds):
        return "?"
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def line(facts: dict[str, Any]) -> str:
    """One round in one line: where it is, what it saw, what it cost."""
    others = {"score", "left", "total"}         # told by the driver, beside the record
    seen = told({k: v for k, v in measured(facts).items() if k not in others})
    score = told(facts.get("score") or {})
    if score:
        score[0] = f"round {facts['round'] - 1}: " + score[0]
    seconds = facts["seconds"]
    cost = f"{seconds['round']:.2f} s ({seconds['compute']:.2f} computing)"
    done = facts["examples"] - facts["total"] * (facts["epoch"] - 1)
    return "  ".join([f"round {facts['round']}", f"epoch {facts['epoch']}",
                      f"{done:,} of {facts['total']:,} examples", *seen,
                      *([f"[{', '.join(score)}]"] if score else []), cost,
                      f"left {clock(eta(facts))}"])


def eta(facts: dict[str, Any]) -> float:
    """Seconds to the latest end that the rules allow, at the mean pace so far."""
    return facts["left"] * facts["elapsed"] / facts["round"]


class Lines:
    """A line per event, for logs."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def __call__(self, event: str, facts: dict[str, Any]) -> None:
        if event == "round" and facts["round"]:
            self.say(line(facts))
        elif event == "resumed":
            self.say(f"resumed after round {facts['round']}")
        elif event == "note":
            self.say(facts["text"])
        elif event == "warning":
            self.say(f"warning: {facts['text']}")
        elif event == "rollback":
            self.say(f"round {facts['round']} is not finite: again from the round before, at "
                     f"{facts['rate_scale']:g} of the rate ({facts['left']} tries left)")

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def close(self) -> None:
        pass


class Bar(Lines):
    """One live line with a bar; events of note scroll above it."""

    def __init__(self, stream: TextIO):
        super().__init__(stream)
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        self.progress = Progress(TextColumn("{task.description}"), BarColumn(),
                                 TextColumn("{task.fields[tail]}"),
                                 console=Console(file=stream), transient=True)
        self.task = self.progress.add_task("starting", total=None, tail="")
        self.progress.start()

    def __call__(self, event: str, facts: dict[str, Any]) -> None:
        if event == "round" and facts["round"]:
            total = facts["round"] + facts["left"]
            self.progress.update(self.task, description=line(facts), completed=facts["round"],
                                 total=total if math.isfinite(total) else None, tail="")
        elif event == "task":
            kind, done, of = facts["task"]
            self.progress.update(self.task, tail=f"round {facts['round']}: {kind} {done}/{of}")
        else:
            super().__call__(event, facts)

    def say(self, text: str) -> None:
        self.progress.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        self.progress.stop()


def reporter(stream: TextIO | None = None) -> Lines:
    """What suits the stream: the bar on a terminal, lines elsewhere."""
    stream = stream or sys.stderr
    return Bar(stream) if stream.isatty() else Lines(stream)
