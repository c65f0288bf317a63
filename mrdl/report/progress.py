"""Shows a driver's events on stderr: a live line on a terminal, and a permanent line for some rounds (mrdl.report.pace)."""
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, TextIO

from mrdl.printing import bar, columns, terminal, told
from mrdl.report.pace import Facts, Rounds, clock
from mrdl.report.work import Work
from mrdl.rounds.record import measured

OTHERS = {"left", "limit", "total", "due", "every", "scoring", "seconds_left", "score", "ends"}   # beside its record
GAP, BAR, LONGEST = "  ", " " * 8, 30   # between the parts of a line; the bar's room, and the most of it
Part = tuple[int, str]          # rank (0: most wanted), text


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
    """Which round, as wide as the last can be, and the epoch in runs where that is another number."""
    total = facts["round"] + facts["left"]
    wide = len(f"{total:.0f}") if math.isfinite(total) else 0
    return [(0, f"round {facts['round']:>{wide}}" + (of and wide and f"{of}{total:.0f}" or ""))] + (
        [(7, f"epoch {facts['epoch']}")] if facts["epochs"] != facts["round"] else [])


def left(facts: Facts, rank: int) -> list[Part]:
    """The time left until the latest end that the rules allow."""
    seconds = facts.get("seconds_left", math.inf)
    return [(rank, f"{clock(seconds)} left")] if math.isfinite(seconds) and facts["left"] and not facts["ends"] else []


def line(facts: Facts, width: float = math.inf) -> str:
    """One round in one line: its number, loss and metrics, time and examples."""
    seconds, total = facts["seconds"], facts["total"]
    done = facts["examples"] - total * (facts["epoch"] - 1)
    return GAP.join(fitted([*place(facts), *numbers(facts, facts.get("score") or {}),
                            (8, f"{seconds['round']:.2f} s"), (10, f"({seconds['compute']:.2f} computing)"),
                            *left(facts, 11), (9, f"{done:,} of {total:,} examples")], width))


class Lines:
    """A line per event, for logs."""
    width = math.inf

    def __init__(self, stream: TextIO):
        self.stream, self.rounds = stream, Rounds()

    def __call__(self, event: str, facts: Facts) -> None:
        if event == "round" and facts["round"]:
            self.keep(self.rounds.round(facts))
        elif event == "scored":
            self.keep(self.rounds.scored(facts["round"], facts["score"], facts["ends"]))
        elif event == "ended":
            self.keep(self.rounds.last())
        elif event == "resumed":
            self.say(f"resumed after round {facts['round']}")
        elif event == "note":
            self.say(facts["text"])
        elif event == "warning":
            self.say(f"warning: {facts['text']}")
        elif event == "waiting":
            self.say(f"waiting for {clock(facts['seconds'])}: {facts['text']}")
        elif event == "rollback":
            self.say(f"the weights of round {facts['round']} are not finite: it runs again from the state before it, at "
                     f"{facts['rate_scale']:g} of the learning rate (tries left: {facts['left']})")

    def keep(self, facts: Facts | None) -> None:
        if facts:
            self.say(line(facts, self.width))

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def close(self) -> None:
        """Prints the last round's line, however the run ended."""
        self.keep(self.rounds.last())


class Bar(Lines):
    """One live line. Messages appear above it, unchanged: they are not read as markup."""

    def __init__(self, stream: TextIO):
        super().__init__(stream)
        from rich.console import Console
        from rich.live import Live
        self.console = Console(file=stream)
        self.began, self.doing, self.task, self.work = time.monotonic(), "", None, []
        self.live = Live(self, console=self.console, transient=True,
                         redirect_stdout=terminal(sys.stdout))      # output to a pipe is not redirected
        self.live.start()
        if self.console.is_interactive:
            self.console.push_render_hook(self)

    def process_renderables(self, renderables: list) -> list:
        """Leaves the cursor at the line's beginning, and clears everything below before the next line is drawn, because a
        terminal that became narrower breaks the line into several."""
        from rich.control import Control
        from rich.segment import ControlType, Segment, Segments
        below = Segments([Segment("\x1b[J", None, [(ControlType.ERASE_IN_LINE, 0)])])
        return [below, *renderables, Control(ControlType.CARRIAGE_RETURN)]

    @property
    def width(self) -> int:
        self.console.width = columns(self.stream)       # rich would use the old value of $COLUMNS
        return self.console.width - 1

    def __call__(self, event: str, facts: Facts) -> None:
        if event == "task":                     # shown until the task is over
            self.doing, self.task, self.work = facts["doing"], facts.get("task"), facts.get("work", [])
            return
        if event in ("round", "scored", "note"):
            self.doing, self.task = "", None
        super().__call__(event, facts)

    def say(self, text: str) -> None:
        from rich.text import Text
        self.console.print(Text(text), soft_wrap=True)

    def __rich__(self):
        """The live line: the newest round whose score is known, the time left, and the present task."""
        from rich.text import Text
        facts, score, doing, task = self.rounds.shown, self.rounds.score, self.doing, self.task
        width = self.width - 2                  # leaves room for an echoed ^C, which is then cleared with the line
        counts = "{} {}/{}".format(*task) if task else ""
        part = task[1] / task[2] if task and task[0] != "reducer" else 0.0
        if facts:
            of = score and score["round"]
            parts = [*place(facts, "/"), *numbers(facts, score["score"] if of else {}, of if of != facts["round"] else None)]
            newest = self.rounds.newest
            rounds = newest["round"] + newest["left"]
            done = (min(1.0, (newest["round"] + part) / rounds) if math.isfinite(rounds)
                    else newest["elapsed"] / (newest["elapsed"] + newest["limit"]))
            # the next round's number is not shown, as it follows from the last one's
            as_ever = doing == f"round {newest['round'] + 1}"
            now = counts if as_ever else f"{doing} {counts}".strip()
            tail = [*left(newest, 3), *([(12 if as_ever else 2, now)] if now else [])]
        else:
            parts, done = [(0, f"{doing or 'starting'} {counts}".rstrip())], part
            tail = [*((3, text) for text in self.work), (5, clock(time.monotonic() - self.began))]
        texts = fitted([*parts, *([(4, BAR)] if done else []), *tail], width)
        if BAR in texts:
            room = min(LONGEST, width - len(GAP.join(texts)) + len(BAR))
            texts[texts.index(BAR)] = bar(done, room, self.stream)
        return Text(GAP.join(texts)[:width], no_wrap=True)

    def close(self) -> None:
        super().close()
        if self.console.is_interactive:
            self.console.pop_render_hook()
        self.live.stop()


def reporter(stream: TextIO | None = None) -> Lines:
    """The reporter for the stream: a live line on a terminal, lines elsewhere."""
    stream = stream or sys.stderr
    return Bar(stream) if terminal(stream) else Lines(stream)


@contextmanager
def tasks(doing: str, rows: int | Callable[[], int] = 0, size: Callable[[], int] = lambda: 0) -> Iterator[Callable[[str, int, int], None]]:
    """Yields an `on_task` function, which shows the tasks of a command's jobs on a terminal while they run, and how they get on
    (Work)."""
    with closing(reporter()) as progress:
        work = Work(rows, size)
        progress("task", {"doing": doing})
        yield lambda *task: isinstance(progress, Bar) and progress("task", {"doing": doing, "task": task, "work": work.told(*task)})
