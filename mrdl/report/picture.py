"""history.png of a run: while it trains by a thread of its own, now and then; at its end, or where it stops, at once."""
import threading
import time
from typing import Any

from mrdl.report.plot import plot
from mrdl.storage.base import Storage

EVERY = 15.0                    # seconds between two pictures, at least
SHARE = 0.02                    # of the time: so much of it goes into them at most


class Picture:
    """Draws nothing where matplotlib is missing."""

    def __init__(self, store: Storage):
        self.store, self.thread, self.next = store, threading.Thread(target=lambda: None), time.monotonic() + EVERY

    def soon(self, history: list[dict[str, Any]], marked: tuple[int, str] | None) -> None:
        """Draws, if it is time to; `marked`: a round, and what it is."""
        if time.monotonic() < self.next or self.thread.is_alive():
            return
        self.next = float("inf")
        copy = [dict(entry) for entry in history]       # the driver goes on, and writes into them
        self.thread = threading.Thread(target=self._drawn, args=(copy, marked), daemon=True)
        self.thread.start()

    def now(self, history: list[dict[str, Any]], marked: tuple[int, str] | None) -> None:
        """Draws. A picture that cannot be written is no error: the run is what counts."""
        if self.thread.ident:
            self.thread.join()                          # it would come later, and is older
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
