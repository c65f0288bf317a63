"""Draws a run's history.png: from time to time during training, in a thread; and when the run ends or stops."""
import threading
import time
from typing import Any

from mrdl.report.plot import plot
from mrdl.storage.base import Storage

EVERY = 15.0                    # seconds between two pictures, at least
SHARE = 0.02                    # drawing takes at most this share of the time


class Picture:
    """Draws the picture; does nothing if matplotlib is missing."""

    def __init__(self, store: Storage):
        self.store, self.thread, self.next = store, threading.Thread(target=lambda: None), time.monotonic() + EVERY

    def soon(self, history: list[dict[str, Any]], marked: tuple[int, str] | None) -> None:
        """Draws in the background, if it is time to; `marked`: a round, and its description."""
        if time.monotonic() < self.next or self.thread.is_alive():
            return
        self.next = float("inf")
        copy = [dict(entry) for entry in history]       # copied, because the driver continues to change the entries
        self.thread = threading.Thread(target=self._drawn, args=(copy, marked), daemon=True)
        self.thread.start()

    def now(self, history: list[dict[str, Any]], marked: tuple[int, str] | None) -> None:
        """Draws at once. If the picture cannot be written, that is ignored."""
        if self.thread.ident:
            self.thread.join()                          # else its older picture would replace the new one
        self._drawn(history, marked)

    def _drawn(self, history: list[dict[str, Any]], marked: tuple[int, str] | None) -> None:
        began = time.monotonic()
        try:
            if (image := plot(history, self.store.url, marked)) and self.store.exists("run.json"):
                self.store.write("history.png", image)
        except OSError:
            pass
        took = time.monotonic() - began
        self.next = began + max(EVERY, took / SHARE)
