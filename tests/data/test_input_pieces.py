"""Lines that come many at a time: the same lines, and nothing that depends on where pieces end."""
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest

from mrdl.runners.splits import lines_between
from mrdl.storage import pieces
from tests.support.raw_data import as_numbers, mapped, plan_of, text

TEXTS = [b"", b"\n", b"a", b"a\nbc\n\nd\r\n", b"\n\n\nx", b"long line of many bytes\nb\n" * 3]


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_pieces_hold_the_lines_of_each_range_once(size, monkeypatch):
    monkeypatch.setattr(pieces, "SIZE", size)
    for data in TEXTS:
        lines = data.removesuffix(b"\n").split(b"\n") if data else []
        assert list(pieces.read_lines(BytesIO(data))) == lines
        for start in range(len(data) + 1):
            for stop in [*range(start, len(data) + 1), None]:
                there = list(lines_between(BytesIO(data), start, stop))
                assert b"".join(lines_between(BytesIO(data), start, stop, pieces=True)) == b"".join(there), (data, start, stop)


def test_what_is_made_of_lines_does_not_depend_on_the_pieces_they_come_in(tmp_path):
    random = np.random.default_rng(0)
    lines = [b"a,b,y", b"# comment", b"1,2,0\r", b"", b"a,b,y", b"1,x,1", b"1,2", b"3,4,1\r\r"] + [
        b"%d,%d,%d" % tuple(row) for row in random.integers(0, 9, (3000, 3)).tolist()]
    path = text(tmp_path, b"\n".join(lines))
    plan = plan_of(as_numbers([path], label="y"))
    found = mapped(plan, lines, path)
    cuts = [0, *np.sort(random.integers(1, len(lines), 40)).tolist(), len(lines)]
    parts = [b"\n".join(lines[a:b]) for a, b in pairwise(cuts) if a < b]
    for parted in (parts, [b"\n".join(lines)]):
        assert mapped(plan, pieces.Lines(parted), path) == found
