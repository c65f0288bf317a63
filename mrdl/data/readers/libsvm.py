"""The format of libsvm and svmlight: a row a line, a label and the features that are not 0."""
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from mrdl.data.corpus import BOM
from mrdl.data.readers.lines import good_lines
from mrdl.data.readers.tabular import Tabular
from mrdl.data.records import Records
from mrdl.data.schema import Wanted
from mrdl.data.sources import demand
from mrdl.data.tables.asked import Asked
from mrdl.data.tables.inference import Inferred, infer
from mrdl.data.tables.kinds import Id
from mrdl.data.tables.kinds.entries import Entries
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.table import Table
from mrdl.data.tables.words import Words
from mrdl.kernels import entries as kernel

LABEL, QID, FEATURES, COMMENT = COLUMNS = ["label", "qid", "features", "comment"]
FIRST, LAST = "first id", "last id"     # of a row's features: what the width is seen by
NAMES = (".svm", ".libsvm", ".svmlight")
ROW = re.compile(rb"[-+]?[\d.]+(?:[eE][-+]?\d+)?(?:[ \t]+qid:\d+)?((?:[ \t]+(?:0|[1-9]\d*):[-+.\deE]+)*)[ \t]*(?:#.*)?\r?", re.DOTALL)
LINES = 1 << 14                 # that are taken at once


@dataclass(frozen=True, kw_only=True)
class Libsvm(Tabular):
    """`label qid:query id:value id:value .. # comment`, the query and the comment where there are such."""
    kind = "libsvm"
    by_lines = True

    @classmethod
    def recognises(cls, path: str, first: bytes) -> bool:
        if any(name in path.rpartition("/")[2] for name in NAMES):
            return True
        *lines, last = first.removeprefix(BOM).split(b"\n")
        found = [ROW.fullmatch(line) for line in lines or [last.rpartition(b" ")[0]] if line.strip() and not line.startswith(b"#")]
        ids = [[int(entry.partition(b":")[0]) for entry in row[1].split()] for row in found if row]
        return bool(any(ids)) and all(found) and all(a < b for row in ids for a, b in pairwise(row))

    @classmethod
    def sniffed(cls, paths: list[str], wanted: Wanted) -> "Libsvm":
        odd = wanted.of_text + ["weight"] * (wanted.weight is not None)
        demand(not odd, f"{paths[0]}: is in libsvm's format, which has neither names of columns nor weights: leave out {', '.join(odd)}")
        demand(wanted.label in (None, LABEL), f"{paths[0]}: is in libsvm's format, whose label is the first number of a line: leave out label")
        return cls(files=paths, columns=[*COLUMNS, *wanted.partitions], shape=[0], target=[], label=LABEL, named=True,
                   partitions=list(wanted.partitions), form=wanted.spoken)

    @classmethod
    def arriving(cls, where: str, top: bytes, columns: Sequence[str], delimiter: str | None, known: Table | None = None) -> "Libsvm":
        demand(not columns and delimiter is None, f"{where} is in libsvm's format: leave out columns, delimiter")
        return replace(cls.sniffed([where], Wanted(loose=True)), files=[])

    def words(self, records: Records, lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Words], np.ndarray, Words]]:
        """The parts of good lines, where each line begins in its file, and the lines."""
        for found, starts, batch in good_lines(records, lines, [], " ", Parts(), encoding=self.encoding):
            yield {name: column for name, column in zip([*COLUMNS, FIRST, LAST], found) if name in self.own}, starts, batch

    @property
    def surveyed(self) -> "Libsvm":
        return replace(self, columns=[*self.own, FIRST, LAST, *self.partitions])

    def inferred(self, statistics: Mapping[str, Statistics], asked: Asked) -> Inferred:
        """The width is that of the ids that there are; these count from 1, unless there is a 0."""
        first, last = (statistics[name].numbers for name in (FIRST, LAST))
        given: Any = asked.kinds.get(FEATURES, {})
        given = {name: value for name, value in given.items() if name != "kind"} if isinstance(given, Mapping) else {}
        demand(last.count > 0 or "count" in given, f"{self.files[0]}: no row has features")
        least = given.setdefault("first", int(not (last.count and first.least == 0)))
        given.setdefault("count", int(last.largest) + 1 - least if last.count else 1)
        others = {name: own for name, own in statistics.items() if name == LABEL or name in self.partitions}
        found = infer(others, replace(asked, label=LABEL, drop=[], kinds={name: kind for name, kind in asked.kinds.items() if name != FEATURES}))
        columns = {name: Entries(**Entries.given(given)) if name == FEATURES else found.columns.get(name, Id()) for name in self.columns}
        return Inferred(columns, found.warnings, {name: found.statistics.get(name, statistics[name]) for name in columns}, found.notes)


class Parts:
    """The parts of lines, as words."""
    size, rows = 1 << 20, LINES

    def parse(self, lines: Words) -> tuple[list[Words], np.ndarray, np.ndarray]:
        """Words of label, query, features, comment, first id and last id."""
        starts, stops = np.empty((2, len(lines), len(COLUMNS) + 2), "i8")
        self.codes = np.empty(len(lines), np.intc)
        kernel.lines(lines.data, starts, stops, self.codes)
        return [Words(lines.data, starts[:, i], stops[:, i]) for i in range(starts.shape[1])], self.codes, self.codes > kernel.EMPTY

    def told(self, i: int) -> tuple[str, str]:
        return "no label", "a line must begin with one"

    def some(self, found: list[Words], good: np.ndarray) -> list[Words]:
        return [column.take(good) for column in found]
