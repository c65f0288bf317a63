"""Rows of arrays in files: ranges of rows in, canonical bytes out."""
from collections.abc import Iterable, Iterator

import numpy as np

from mrdl.records import Rows

BATCH = 1 << 18                 # bytes that are read at once


def read(rows: Rows, lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Each line names rows: file TAB start TAB stop."""
    schema = rows.plan.schema
    for line in lines:
        index, start, stop = map(int, line.split(b"\t"))
        rows.file = str(schema.files[index] if schema.kind == "npz" else schema.files[index][0])
        with schema.arrays(index) as arrays:
            x = arrays.pop("x")
            step = max(1, BATCH // max(x.stride, 1))
            for begin in range(start, stop, step):
                end = min(begin + step, stop)
                rest = [array.rows(begin, end).astype("f8") for array in arrays.values()]
                rest = np.concatenate([np.empty((end - begin, 0)), *rest], axis=1)
                starts = x.start + np.arange(begin, end) * x.stride
                names = [b"row %d" % row for row in range(begin, end)]
                yield from rows.encoded(x.rows(begin, end), rest, starts, names)
