"""How the mappers of a command's jobs get on."""
import time
from collections.abc import Callable

from mrdl.report.pace import clock


class Work:
    """The rows that have been read, how fast, and how long the others need.

    Args:
        rows: that a job reads, or a function that gives about how many these are; 0: that is not known.
        size: gives the bytes that a job reads; 0: that is not known.
        now: gives the time in seconds."""

    def __init__(self, rows: int | Callable[[], int] = 0, size: Callable[[], int] = lambda: 0, now: Callable[[], float] = time.monotonic):
        self.about, self.rows, self.size, self.now = callable(rows), rows, size, now
        self.began = self.last = now()
        self.job, self.done, self.bytes = ("", 0), 0, -1

    def told(self, kind: str, done: int, total: int) -> list[str]:
        """What to say when so many tasks of a kind have ended; each of them is taken to read as much as the others."""
        if (kind, total) != self.job or done <= self.done:          # another job has begun when the last one ended
            self.began = self.last
        self.job, self.done, self.last = (kind, total), done, self.now()
        if kind != "mapper" or not done:
            return []
        if self.bytes < 0:
            self.bytes, self.rows = self.size(), self.rows() if self.about else self.rows
        seconds, share = max(self.last - self.began, 1e-3), done / total
        return [*[f"{'~' * self.about}{self.rows * share:,.0f} rows"] * bool(self.rows), *[f"{self.bytes * share / seconds / 1e6:.1f} MB/s"] * bool(self.bytes),
                *[f"{clock(seconds / share * (1 - share))} left"] * (done < total)]
