"""What is counted of the records of a split: which are bad, and why."""
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from mrdl.data.corpus import SAMPLES
from mrdl.data.misread import Misread, misread, of_value, shortened
from mrdl.data.quarantine import Quarantine
from mrdl.printing import counted
from mrdl.storage.partitions import within

if TYPE_CHECKING:
    from mrdl.data.tables.table import Encoded

SAMPLE = 100                    # characters of a bad record that are shown
OTHERS = 1000                   # fields that are no columns, of which is told


def first_of(others: Counter) -> dict[str, int]:
    """The first ones by name: the same, however many parts they come in."""
    return dict(sorted(others.items())[:OTHERS])


def unseen_told(unseen: Mapping[str, int]) -> list[str]:
    """For the user: which columns have values that a schema does not know."""
    return [f"{counted(n, 'row')} {'has a value' if n == 1 else 'have values'} in {column!r} that the schema does not know"
            for column, n in sorted(unseen.items())]


class Records:
    """The records in the lines of `file` from byte `start` on. `called`: what the user calls a file."""

    unit = "byte"                                   # what the places of records count

    def __init__(self, file: str = "", start: int = 0, called: Callable[[str], str] = str):
        self.file, self.start, self.called = file, start, called
        self.comments = 0
        self.left_out = 0                           # by the schema, for a missing value
        self.unseen: Counter = Counter()            # rows by the column whose value the schema does not know
        self.others: dict[str, int] | None = None   # where asked for: fields that are no columns, and how many rows have each
        self.bad: Counter = Counter()
        self.misread: Misread = {}
        self.samples: list[dict] = []
        self.mark: Callable[[], int] = int          # how many bytes of the file come before the first one that counts in `offset`
        self.quarantine: Quarantine | None = None

    @property
    def file(self) -> str:
        return self._file

    @file.setter
    def file(self, path: str) -> None:
        """Of its path the name counts alone, with partition folders: a dataset may move."""
        self._file, self.person = path, blake2b(within(path).encode("utf-8", "surrogateescape"), digest_size=16).digest()

    @property
    def name(self) -> str:
        """What the user calls the file."""
        return self.called(self.file)

    def refused(self, made: "Encoded", starts: np.ndarray, lines: Sequence[bytes]) -> dict[int, str]:
        """Tells of the rows that a table cannot use, by what Table.encode says of them; gives why, by their places."""
        told, parts = {}, [self.misread]
        for i in np.flatnonzero(made.wrong).tolist():
            reason = made.reasons[made.wrong[i] - 1]
            value = "" if reason.dropped else shortened(made.values[i])
            told[i] = f"{reason.text} (column {reason.column!r}" + f": {value!r}" * bool(value) + ")"
            if reason.dropped:
                self.left_out += 1
            else:
                self.reject(reason.text, f"column {reason.column!r}", starts[i], lines[i])
                parts.append(of_value(reason.column, reason.text, made.values[i]))
        self.misread = misread(parts)
        return told

    def noted(self, fields: Iterable[str]) -> None:
        """Counts fields that are no columns."""
        self.others = first_of(Counter(self.others) + Counter(fields))

    def reject(self, reason: str, detail: str, offset: int, line: bytes) -> None:
        self.bad[reason] += 1
        sample = {"file": self.name, "offset": int(offset) + self.mark(), "reason": f"{reason} ({detail})",
                  "text": line[:SAMPLE].decode("utf-8", "replace"), **({} if self.unit == "byte" else {"unit": self.unit})}
        if self.quarantine:
            self.quarantine.add(sample["file"], self.unit, sample["offset"], reason, detail, line)
        self.samples = sorted([*self.samples, sample], key=lambda s: s["offset"])[:SAMPLES]
