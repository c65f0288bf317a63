"""Scored rows as a Parquet file."""
import os
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mrdl.data.readers.in_order import Ordered
from mrdl.storage.base import Storage
from mrdl.worker.scored import TABLE, Lines

GROUP = 1 << 18                 # rows of a row group


class Scored:
    """Writes the rows that Lines would write.

    Args:
        lines: what knows their columns.
        types: Arrow's types of kept columns that are no strings."""

    def __init__(self, lines: Lines, types: Mapping[str, str]):
        self.lines, number = lines, pa.from_numpy_dtype(lines.model.dtype)
        answers, place = lines.answers.columns, [] if lines.kept else [pa.string(), pa.int64()]
        kinds = [*place, *(pa.type_for_alias(types.get(name, "string")) for name in (*lines.kept, *lines.label))]
        kinds += [pa.string() if lines.answers.classes and name == answers[0] else number for name in answers]
        kinds += [pa.float64() for _ in lines.loss]
        self.schema = pa.schema(zip(lines.columns, [*kinds, pa.string()]))
        self.held: list[pa.RecordBatch] = []
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, TABLE)
        self.writer = pq.ParquetWriter(self.path, self.schema)

    def of(self, rows: Ordered, file: str, mark: int = 0, losses: np.ndarray | None = None) -> bytes:
        """Takes more rows; there are no lines of them."""
        places = (rows.starts + mark).tolist()
        first = [] if self.lines.kept else [[file] * len(places), places]
        first += [_clean(rows.texts(name)) for name in (*self.lines.kept, *self.lines.label)]
        names, values = self.lines.answered(rows)
        good = np.flatnonzero([not error for error in rows.errors])
        where = np.full(len(places), -1)
        where[good] = np.arange(len(good))
        spread = pa.array(where, mask=where < 0)
        scored = [pa.array(names, pa.string()).take(spread)] if self.lines.answers.classes else []
        scored += [pa.array(np.ascontiguousarray(values[:, i]), self.schema.field(len(first) + len(scored)).type).take(spread)
                   for i in range(values.shape[1])]
        scored += [] if losses is None else [pa.array(losses).take(spread)]
        errors = [error or None for error in _clean(self.lines.reasons(rows, file, places))]
        arrays = [pa.array([text if text != "" else None for text in texts]).cast(kind) if kind != pa.string() else pa.array(texts, kind)
                  for texts, kind in zip([*first, errors], [*self.schema.types[:len(first)], pa.string()])]
        self.held.append(pa.record_batch([*arrays[:-1], *scored, arrays[-1]], schema=self.schema))
        if sum(map(len, self.held)) >= GROUP:
            self._write()
        return b""

    def _write(self) -> None:
        self.writer.write_table(pa.Table.from_batches(self.held, self.schema))
        self.held = []

    def end(self, store: Storage, name: str) -> None:
        """Puts the file into a folder."""
        self._write()
        self.writer.close()
        store.put(name, self.path)
        self.folder.cleanup()


def _clean(texts: Sequence[str]) -> list[str]:
    return [text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in texts]
