"""Prints the progress of `fit` on stdout, as Keras does."""
import sys
import time
from collections.abc import Callable
from typing import Any

from mrdl.config import need, shown
from mrdl.printing import bar, columns, terminal, written

BAR, OFTEN = 20, 0.1            # columns of the bar; seconds between two updates of it


class Epochs:
    """`verbose`: 1 or "auto": a bar per epoch; 2: a line per epoch; 0: nothing. The bar moves on a terminal, and in a notebook."""

    def __init__(self, verbose: int | str, epochs: int, steps: int | None):
        need(verbose in ("auto", 0, 1, 2), f"verbose={shown(verbose)} must be one of 'auto', 0, 1, 2")
        self.verbose, self.epochs, self.steps = 1 if verbose == "auto" else int(verbose), epochs, steps
        self.terminal = terminal(sys.stdout)
        self.moves = self.verbose == 1 and (self.terminal or "ipykernel" in sys.modules)
        self.began = self.next = 0.0
        self.wide = 0                           # columns of the line that is shown
        self.done = 0                           # minibatches of this epoch

    def begin(self, epoch: int) -> None:
        if self.verbose and self.epochs > 1:
            print(f"Epoch {epoch + 1}/{self.epochs}", flush=True)
        self.began, self.next = time.monotonic(), 0.0

    def step(self, done: int, logs: Callable[[], dict[str, Any]]) -> None:
        """To be called after each minibatch; `logs` is called only if its values are shown."""
        self.done = done
        if self.moves and (now := time.monotonic()) >= self.next:
            self.next = now + OFTEN
            text = self._line(done, (now - self.began) / done * (max(self.steps, done) - done) if self.steps else now - self.began, logs())
            print(self._over(text[:columns(sys.stdout) - 3]), end="", flush=True)

    def end(self, logs: dict[str, Any]) -> None:
        if self.verbose:
            text = self._line(self.done or self.steps or 1, time.monotonic() - self.began, logs)
            print(self._over(text) if self.moves else text, flush=True)
            self.wide = 0

    def _over(self, text: str) -> str:
        """The text in the place of the line that is shown. (Notebooks do not know how to erase the rest of a line.)"""
        blank, self.wide = "\x1b[K" if self.terminal else " " * (self.wide - len(text)), len(text)
        return "\r" + text + blank

    def _line(self, done: int, seconds: float, logs: dict[str, Any]) -> str:
        """The line: steps, seconds left (after an epoch: seconds taken), time per step, and the values in Keras's order."""
        step = (time.monotonic() - self.began) / done
        each = f"{step:.0f}s" if step >= 1 else f"{step * 1e3:.0f}ms" if step >= 1e-3 else f"{step * 1e6:.0f}us"
        of = self.steps or "Unknown"            # of a generator
        count = f"{done:>{len(str(of)) if self.steps else 0}}/{of}"
        values = [f"{name}: {written(logs[name])}" for name in sorted(logs, key=lambda n: (n.startswith("val_"), n))]
        if self.verbose == 2:
            return " - ".join([count, f"{seconds:.0f}s", f"{each}/step", *values])
        return " - ".join([f"{count} {bar(min(1.0, done / self.steps) if self.steps else 1.0, BAR, sys.stdout)} {seconds:.0f}s {each}/step", *values])
