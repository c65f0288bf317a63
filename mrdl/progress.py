"""A driver's events in; a live line on a terminal out, and a line of some rounds (mrdl.rounds) everywhere. On stderr."""
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, TextIO

from mrdl.report import bar, measured, terminal, told
from mrdl.rounds import Facts, Rounds

OTHERS = {"left", "limit", "total", "due", "every", "scoring", "seconds_left", "score"}  # in a round's facts, beside its record
GAP, BAR, LONGEST = "  ", " " * 8, 30   # between the parts of a line; the bar's room, and the most of it
Part = tuple[int, str]          # rank (0: most wanted), text


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


def fitted(parts: list[Part], width: float) -> list[str]:
    """The texts, in their order, that have room in a line of that width: those of the lowest rank."""
    kept, used = set(), -len(GAP)
    for rank, number in sorted((rank, number) for number, (rank, _) in enumerate(parts)):
        long = len(GAP) + len(parts[number][1])
        if used + long <= width or rank == 0:
            kept.add(number)
            used += long
    return [text for number, (_, text) in enumerate(parts) if number in kept]


def numbers(facts: Facts, score: dict[str, Any], of: int | None = None) -> list[Part]:
    """Loss and metrics, each beside that of the held-out data, whose round `of` is named where it is another."""
    seen = {name: value for name, value in measured(facts).items() if name not in OTHERS}
    parts, rank = [], 1
    for name in dict.fromkeys([*seen, *(key.removeprefix("val_") for key in score)]):
        for key, values in ((name, seen), ("val_" + name, score)):
            if key in values:
                parts.append((rank, *told({key: values[key]})))
                rank = 2 if rank == 1 else 6
    return [(rank, f"{text} (round {of})" if of and text.startswith("val_") else text) for rank, text in parts]


def place(facts: Facts, of: str = "") -> list[Part]:
    """Which round, as wide as the last can be, and the epoch where that is another number."""
    total = facts["round"] + facts["left"]
    wide = len(f"{total:.0f}") if math.isfinite(total) else 0
    return [(0, f"round {facts['round']:>{wide}}" + (of and wide and f"{of}{total:.0f}" or ""))] + (
        [(5, f"epoch {facts['epoch']}")] if facts["epoch"] != facts["round"] else [])


def left(facts: Facts, rank: int) -> list[Part]:
    """The time to the latest end that the rules allow."""
    seconds = facts.get("seconds_left", math.inf)
    return [(rank, f"{clock(seconds)} left")] if math.isfinite(seconds) and facts["left"] else []


def line(facts: Facts, width: float = math.inf) -> str:
    """One round in one line: where it is, what it saw, what it cost."""
    seconds, total = facts["seconds"], facts["total"]
    done = facts["examples"] - total * (facts["epoch"] - 1)
    return GAP.join(fitted([*place(facts), *numbers(facts, facts.get("score") or {}),
                            (8, f"{seconds['round']:.2f} s ({seconds['compute']:.2f} computing)"), *left(facts, 7),
                            (9, f"{done:,} of {total:,} examples")], width))


class Lines:
    """A line per event, for logs."""
    width = math.inf

    def __init__(self, stream: TextIO):
        self.stream, self.rounds = stream, Rounds()

    def __call__(self, event: str, facts: Facts) -> None:
        if event == "round" and facts["round"]:
            self.keep(self.rounds.round(facts))
        elif event == "scored":
            self.keep(self.rounds.scored(facts["round"], facts["score"]))
        elif event == "resumed":
            self.say(f"resumed after round {facts['round']}")
        elif event == "note":
            self.say(facts["text"])
        elif event == "warning":
            self.say(f"warning: {facts['text']}")
        elif event == "waiting":
            self.say(f"waiting for {clock(facts['seconds'])}: {facts['text']}")
        elif event == "rollback":
            self.say(f"round {facts['round']} is not finite: again from the round before, at "
                     f"{facts['rate_scale']:g} of the rate (tries left: {facts['left']})")

    def keep(self, facts: Facts | None) -> None:
        if facts:
            self.say(line(facts, self.width))

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def close(self) -> None:
        """The last round has its line in any case."""
        self.keep(self.rounds.last())


class Bar(Lines):
    """One live line; what is said stands above it, as it is: nothing in it is markup."""

    def __init__(self, stream: TextIO):
        super().__init__(stream)
        from rich.console import Console
        from rich.live import Live
        self.console = Console(file=stream)
        self.began, self.doing, self.task = time.monotonic(), "starting", None
        self.live = Live(console=self.console, get_renderable=self.line, transient=True,
                         redirect_stdout=terminal(sys.stdout))      # what is piped stays so
        self.live.start()

    @property
    def width(self) -> int:
        return self.console.width - 3           # where an echoed ^C has room, it goes with the line

    def __call__(self, event: str, facts: Facts) -> None:
        if event == "task":                     # shown from now on
            self.doing, self.task = facts["doing"], facts.get("task")
        else:
            super().__call__(event, facts)

    def say(self, text: str) -> None:
        from rich.text import Text
        self.console.print(Text(text), soft_wrap=True)

    def line(self):
        """What the terminal shows now."""
        from rich.text import Text
        facts, score, task = self.rounds.shown, self.rounds.score, self.task
        doing = self.doing + (" {} {}/{}".format(*task) if task else "")
        part = task[1] / task[2] if task and task[0] != "reducer" else 0.0
        if facts:
            of = score and score["round"]
            parts = [*place(facts, "/"), *numbers(facts, score["score"] if of else {}, of if of != facts["round"] else None)]
            newest = self.rounds.newest
            rounds = newest["round"] + newest["left"]
            done = (min(1.0, (newest["round"] + part) / rounds) if math.isfinite(rounds)
                    else newest["elapsed"] / (newest["elapsed"] + newest["limit"]))
            as_ever = self.doing == f"round {newest['round'] + 1}"
            tail = [*left(newest, 3), (7 if as_ever else 2, doing)]
        else:
            parts, done = [(0, doing)], part
            tail = [(3, clock(time.monotonic() - self.began))]
        texts = fitted([*parts, *([(4, BAR)] if done else []), *tail], self.width)
        if BAR in texts:
            room = min(LONGEST, self.width - len(GAP.join(texts)) + len(BAR))
            texts[texts.index(BAR)] = bar(done, room, self.stream)
        return Text(GAP.join(texts)[:self.width], no_wrap=True)

    def close(self) -> None:
        super().close()
        self.live.stop()


def reporter(stream: TextIO | None = None) -> Lines:
    """What suits the stream: the live line on a terminal, lines elsewhere."""
    stream = stream or sys.stderr
    return Bar(stream) if terminal(stream) else Lines(stream)


@contextmanager
def tasks(doing: str) -> Iterator[Callable[[str, int, int], None]]:
    """`on_task` of a command's jobs: shows them on a terminal while they run."""
    with closing(reporter()) as progress:
        progress("task", {"doing": doing})
        yield lambda *task: progress("task", {"doing": doing, "task": task})
