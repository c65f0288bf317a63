"""The rows that a model is most wrong about: labels that are wrong show up there."""
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mrdl.data.readers.in_order import Ordered
from mrdl.models.answers import Answers, flat
from mrdl.models.model import Model


class Worst:
    """Keeps the rows with the largest losses.

    Args:
        count: how many.
        model: what scores them.
        classes: the names of its classes, where they have names.
        label: the column with the labels.
        ids: the columns that name a row."""

    def __init__(self, count: int, model: Model, classes: Sequence[str], label: str, ids: Sequence[str]):
        self.count, self.model, self.answers, self.label, self.ids = count, model, Answers(model, classes), label, ids
        self.rows: list[dict[str, Any]] = []

    def add(self, rows: Ordered, losses: np.ndarray, file: str, mark: int) -> None:
        """More rows of a file; losses[i] is that of rows.x[i]. `mark`: see Lines.of."""
        losses = np.where(np.isnan(losses), np.inf, losses)
        chosen = np.argsort(-losses, kind="stable")[:self.count]
        if len(self.rows) == self.count:
            chosen = chosen[losses[chosen] > self.rows[-1]["loss"]]
        if not len(chosen):
            return
        names, values = self.answers.of(flat(self.model.predict(rows.x[chosen])))
        good = np.flatnonzero([not error for error in rows.errors])[chosen].tolist()
        columns = {name: rows.texts(name) for name in {self.label, *self.ids}}
        self.rows = largest([*self.rows, *(
            {"loss": loss, "file": file, "place": int(rows.starts[i]) + mark, "ids": {name: columns[name][i] for name in self.ids},
             "label": columns[self.label][i], "prediction": names[n] if names else f"{values[n, 0]:.7g}"}
            for n, (i, loss) in enumerate(zip(good, losses[chosen].tolist())))], self.count)


def largest(rows: Iterable[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The rows with the largest losses; of equal ones those that come first."""
    return sorted(rows, key=lambda row: (-row["loss"], row["file"], row["place"]))[:count]
