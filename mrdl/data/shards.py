"""Rows in, a shard of blocks out: a reducer's side of prepare."""
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np

from mrdl.data import blocks
from mrdl.data.facts import merged_facts
from mrdl.data.preparation import BLOCK, Plan
from mrdl.data.tables.words import Words
from mrdl.kernels import rows as kernel
from mrdl.kernels import short
from mrdl.kernels import words as fields

SIZE = 1 << 20                  # bytes of lines that are taken at once
Values = tuple[Words, Words]    # the hashes of rows, and the rows as base64


class Packing:
    """Packs a shard's rows into blocks.

    Args:
        plan: says what the rows are like.
        shard: its number.
        role: None: as the plan says of the shard.
        content: of a corpus the sum of all ranges' digests.

    `n` counts the rows that were packed; `seals` are those of the blocks."""

    def __init__(self, plan: Plan, shard: int, role: str | None = None, content: int = 0):
        self.schema, self.dtype = plan.schema, np.dtype(plan.dtype).newbyteorder("<")
        self.named = {"dataset": plan.uid(content), "shard": shard, "role": role or plan.role(shard)}
        self.rows: list[Words] = []
        self.size = self.n = 0
        self.seals: list[str] = []

    def add(self, rows: Words) -> Iterator[bytes]:
        """Takes rows; gives the lines of blocks that they fill."""
        ends, start = np.append(0, np.cumsum(rows.lengths)), 0
        while start < len(rows):
            stop = int(np.searchsorted(ends, ends[start] + BLOCK - self.size, side="right")) - 1
            if stop > start or not self.rows:
                stop = max(stop, start + 1)         # a row longer than a block is one
                self.rows.append(rows.take(slice(start, stop)))
                self.size, start = self.size + int(ends[stop] - ends[start]), stop
            if start < len(rows):
                yield from self.end()

    def end(self) -> Iterator[bytes]:
        """The line of a block with the rows that are left, if there are any."""
        if self.rows:
            rows = self.rows[0] if len(self.rows) == 1 else Words.together(self.rows)
            line = blocks.pack(self.schema.unpacked(rows, self.dtype), **self.named, index=len(self.seals),
                               before=self.seals[-1] if self.seals else "")
            self.n += len(rows)
            self.seals.append(blocks.unpack(line).seal)
            self.rows, self.size = [], 0
            yield line


def output_lines(plan: Plan, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What a reducer makes of its lines, key TAB hash TAB row, which come sorted in pieces: the block lines of shards, and the facts."""
    for key, parts in groupby(_parts(pieces), key=itemgetter(0)):
        values, shard = (own for _, own in parts), plan.keys.index(key.decode())
        if shard == plan.shards:
            yield merged_facts(b"\t" + fact for _, facts in values for fact in facts)
        else:
            yield from shard_lines(plan, shard, values)


def _parts(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, Values]]:
    """(key, values) of the lines in many pieces; one key may come several times, one after the other."""
    some, size = [], 0
    for piece in pieces:
        some.append(piece)
        size += len(piece)
        if size >= SIZE:
            yield from _split(b"\n".join(some))
            some, size = [], 0
    if some:
        yield from _split(b"\n".join(some))


def _split(text: bytes) -> Iterator[tuple[bytes, Values]]:
    n = text.count(b"\n") + 1
    starts, stops = np.empty((2, n, 3), "i8")
    codes, counts = np.empty((2, n), np.intc)
    data = bytearray(text)
    fields.split(data, ord("\t"), starts, stops, codes, counts)
    if codes.any():
        raise ValueError(f"a line of the shuffle has not 3 fields: {text.split(chr(10).encode())[int(codes.argmax())][:100]!r}")
    keys, hashes, values = (Words(data, starts[:, i], stops[:, i]) for i in range(3))
    first = np.flatnonzero(~_as_before(keys))
    for start, stop in pairwise([*first.tolist(), n]):
        yield keys[start], (hashes.take(slice(start, stop)), values.take(slice(start, stop)))


def shard_lines(plan: Plan, shard: int, values: Iterable[Values]) -> Iterator[bytes]:
    """The block lines of a shard, from its rows in the order of their hashes; of a corpus behind the mappers' contents."""
    content, packing = 0, None
    for hashes, texts in _whole(values):
        contents = int((hashes.lengths == 0).sum())
        content += sum(map(int, texts.take(slice(contents))))
        if contents < len(hashes):
            packing = packing or Packing(plan, shard, content=content)
            yield from packing.add(decoded(texts.take(_order(hashes, texts)[contents:])))
    if packing:
        yield from packing.end()


def _whole(values: Iterable[Values]) -> Iterator[Values]:
    """The same rows; those of one hash together."""
    rest: list[Values] = []                         # of one hash, with which more may begin
    for hashes, texts in values:
        if rest and rest[0][0][0] != hashes[0]:
            yield _joined(rest)
            rest = []
        last = int(np.flatnonzero(~_as_before(hashes))[-1])
        if last:
            yield _joined([*rest, (hashes.take(slice(last)), texts.take(slice(last)))])
            rest = []
        rest.append((hashes.take(slice(last, None)), texts.take(slice(last, None))))
    if rest:
        yield _joined(rest)


def _joined(parts: list[Values]) -> Values:
    return parts[0] if len(parts) == 1 else tuple(map(Words.together, zip(*parts)))


def _as_before(words: Words) -> np.ndarray:
    """bool[n]: which are the same as the one before."""
    return words.equal(words, np.arange(-1, len(words) - 1))


def _order(hashes: Words, texts: Words) -> np.ndarray:
    """The order of rows that come by their hashes: those whose hashes are equal by their bytes."""
    order, same = np.arange(len(hashes)), _as_before(hashes) & (hashes.lengths > 0)
    if same.any():                                  # hardly ever
        for start, stop in pairwise([*np.flatnonzero(~same).tolist(), len(hashes)]):
            order[start:stop] = sorted(range(start, stop), key=texts.__getitem__)
    return order


def decoded(texts: Words) -> Words:
    """The rows that base64 stands for, with their zeros."""
    out, ends = np.empty(int(texts.lengths.sum()) // 4 * 3, "u1"), np.empty(len(texts), "i8")
    kernel.decode(texts.data, texts.starts, texts.stops, out, ends)
    starts, own = np.append(0, ends[:-1]), np.empty_like(ends)
    if not short.lengthened(out, starts, ends, own):
        return Words(out, starts, ends)
    whole = np.empty(own[-1], "u1")
    short.lengthen(out, starts, ends, own, whole)
    return Words(whole, np.append(0, own[:-1]), own)
