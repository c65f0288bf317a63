"""A mapper's side of prepare: raw input in, shuffled rows out, which reducers pack into blocks.

A row travels as its canonical bytes, which equal rows share (without most zeros, where there are many: kernels/short.pyx): b"u" (x as uint8) or b"x" (x in the
dataset's dtype), then x, y and w, the last two as float64; of a text b"s" and the ids; of sparse rows what Csr.canonical
makes of x. A seeded hash of them, y and w
too as they will be stored, decides whether it is held out: a row that occurs twice cannot be both trained on and held
out, and numbers that the dtype makes one are one. A hash of the canonical bytes and of where the
row stands (the file's name, the byte in it) decides the shard and the place in the shard: equal rows spread over all
shards, and nothing depends on folders, splits or mappers.
"""
import json
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from mrdl.data.facts import CLASSES, SUMS
from mrdl.data.hashing import blake2b
from mrdl.data.holdout import HoldOut
from mrdl.data.preparation import HASH, Plan
from mrdl.data.records import Records
from mrdl.data.sparse import Csr
from mrdl.data.tables.onehot import Apart
from mrdl.data.tables.statistics import Numbers
from mrdl.data.tables.words import Words
from mrdl.kernels import rows as kernel
from mrdl.kernels import short

GROUP = b"g"                    # begins the bytes that decide for a group
CACHED = 3 << 20                # bytes of rows that are made at once
PLACE = 8                       # bytes that say where in its file a row stands


class Batch(NamedTuple):
    """Rows as bytes."""
    placed: Words               # the canonical bytes, and behind them the place
    stored: Words               # the bytes that decide whether a row is held out: with y and w as they will be stored

    @classmethod
    def of(cls, placed: Iterable[bytes]) -> "Batch":
        """Rows whose canonical bytes decide."""
        words = Words.of(placed)
        return cls(words, bare(words))


class Some:
    """The items of a sequence at some places: none is made before it is asked for."""

    def __init__(self, items: Sequence[bytes], places: Sequence[int]):
        self.items, self.places = items, places

    def __getitem__(self, i: int) -> bytes:
        return self.items[self.places[i]]


class Rows(Records):
    """A mapper's split as rows for the shuffle, and the facts about it.

    `read` of the schema gives what `encoded` makes of the rows in the lines of `file` from byte `start` on, and tells of those
    that it leaves out: `reject`, `comments` and so on."""

    def __init__(self, plan: Plan, file: str = "", start: int = 0):
        super().__init__(file, start, plan.schema.name_of)
        self.plan = plan
        self.count = np.zeros(max(plan.shards, 0), "i8")     # a plan of references has none
        self.labels = Numbers()                     # where y is one number
        self.classes: Counter | None = Counter() if plan.schema.target == [] else None     # training rows by the bytes of y
        self.held_out: Counter = Counter()          # and those that are held out
        self.held = HoldOut(plan.hold_out, plan.seed, plan.held, plan.stratify)
        self.tokens = self.unknown = self.characters = self.content = 0         # of a corpus
        self.short: list | None = None              # tokens and place of its shortest range, if too short for a sequence

    def pairs(self, lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Key of the shard and hash TAB base64 row of the good rows, at the end the facts. A value may be several lines, those
        after the first with their keys."""
        plan = self.plan
        keys = [key.encode() for key in plan.keys]
        train, salt = plan.shards - plan.validation, plan.seed.to_bytes(8, "little")
        for placed, stored in plan.schema.read(self, lines):
            hashes = blake2b(placed, salt, self.person)
            codes = self.codes(hashes, stored)
            held = self.out(placed, stored)
            shards = (codes % np.uint64(train)).astype("i8")
            shards[held] = train + (codes[held] % np.uint64(max(plan.validation, 1))).astype("i8")
            self.count += np.bincount(shards, minlength=plan.shards)
            yield from _dealt(shortened(bare(placed)), hashes, keys, shards)
        if plan.schema.by_content:                  # every block tells the uid: each shard must know all of the content
            yield from ((key, b"\t%d" % self.content) for key in keys[:-1])
        yield keys[-1], b"\t" + json.dumps(self.facts()).encode()

    def codes(self, hashes: np.ndarray, stored: Words) -> np.ndarray:
        """uint64[n]: what decides of each row the shard. A group is in one, so that shards can be folds. `hashes`: of the rows
        and their places."""
        grouped = np.frombuffer(stored.data, "u1")[stored.starts] == ord(GROUP)
        if grouped.any():
            hashes = hashes.copy()
            hashes[grouped] = blake2b(stored.take(grouped), self.plan.seed.to_bytes(8, "little"), b"shard")
        return hashes

    def out(self, placed: Words, stored: Words) -> np.ndarray:
        """bool[n]: which rows are held out; of both sides those of each class are counted."""
        labels = np.zeros(0, "u8")
        if self.classes is not None or self.held.stratify:
            ends = placed.stops - PLACE - 8 * (self.plan.schema.weight is not None)
            labels = np.frombuffer(placed.data, "u1")[ends[:, None] - np.arange(8, 0, -1)].view("u8")[:, 0]
        held = self.held.takes(stored, labels) if self.plan.hold_out else np.zeros(len(stored), bool)
        if self.classes is not None:
            for found, side in ((self.classes, ~held), (self.held_out, held)):
                distinct, counts = np.unique(labels[side], return_counts=True)
                found.update(dict(zip(map(np.ndarray.tobytes, distinct[:, None]), counts.tolist())))
            if len(self.classes) > CLASSES:
                self.classes = None
        return held

    def facts(self) -> dict[str, Any]:
        """What was counted of the rows."""
        return {"rows": self.count.tolist(), "bad": self.bad, "misread": self.misread, "unseen": self.unseen, "samples": self.samples, "labels": self.labels.dump(), "short": self.short,
                **{name: None if self.classes is None else {repr(*struct.unpack("<d", y)): n for y, n in found.items()}
                   for name, found in (("classes", self.classes), ("held_out", self.held_out))},
                **self.held.dump(), **{name: getattr(self, name) for name in SUMS}}

    def encoded(self, x: np.ndarray | Csr | Apart, rest: np.ndarray, starts: np.ndarray, lines: Sequence[bytes],
                groups: Sequence[bytes] | None = None) -> Iterator[Batch]:
        """The good rows of x[n, d] and rest[n, y and w], as many at once as the cache holds.

        Row i began at starts[i], its place, and reads lines[i], for the samples of the bad ones; groups[i] decides instead of the
        row whether it is held out, unless it is empty."""
        parts = 1 if isinstance(x, Csr) else ceil(len(x) * x.shape[1] * np.dtype(self.plan.dtype).itemsize / CACHED) or 1
        for first, stop in pairwise(len(x) * i // parts for i in range(parts + 1)):
            some = slice(first, stop)
            yield from self.piece(x[some], rest[some], starts[some], Some(lines, range(first, stop)), groups and groups[some])

    def piece(self, x: np.ndarray | Csr | Apart, rest: np.ndarray, starts: np.ndarray, lines: Some,
              groups: Sequence[bytes] | None) -> Iterator[Batch]:
        """The same of some of them."""
        schema, dtype = self.plan.schema, np.dtype(self.plan.dtype).newbyteorder("<")
        widths = x.shape[1], rest.shape[1]
        if widths != schema.widths:                 # numbers would be taken for others
            raise AssertionError(
                f"{type(schema).__name__}.read gave (x, y and weight) of {widths} numbers a row, "
                f"but by its shape, target and weight there are {schema.widths}")
        if schema.sparse:
            x = x if isinstance(x, Csr) else Csr.from_dense(x)
        rest = np.add(rest, 0.0, order="C")         # -0.0 and 0.0 are one number
        item, ends = dtype.itemsize, 0 if schema.sparse else dtype.itemsize * (1 + x.shape[1])
        table = np.empty((len(x), ends + 8 * rest.shape[1] + PLACE), "u1")     # behind the features; before them the letter, so far that they are aligned
        wide, whole, finite, fits = as_stored(x, dtype, None if schema.sparse else table[:, item:ends].view(dtype))
        with np.errstate(invalid="ignore", over="ignore"):
            ids = rest == np.floor(rest)
            if schema.weight is not None:
                ids[:, -1] = False
            near = np.where(ids, rest, rest.astype(dtype)) + 0.0    # a label that is an id keeps all its digits
            good = np.ones(len(x), bool)
            for reason, wrong, value in self._checks(x.largest()[:, None] if schema.sparse else x, rest, finite, fits):
                for i in np.flatnonzero(good & wrong):
                    self.reject(reason, value(i), starts[i], lines[i])
                good &= ~wrong
        y = rest[good, :rest.shape[1] - (schema.weight is not None)]
        if y.shape[1] == 1 and len(y):
            self.labels.add(y[:, 0])
        rest, near = (values.astype("<f8", copy=False).view("u1") for values in (rest, near))
        same, place = np.array_equal(rest, near), starts.astype("<u8")[:, None].view("u1")
        if schema.sparse:
            heads = wide[good].canonical()
            placed, stored = (Words.of(map(bytes.__add__, heads, (row.tobytes() for row in np.concatenate(parts, 1)[good])))
                              for parts in ([rest, place], [near]))
            if len(heads):
                yield Batch(placed, self._grouped(stored, groups, good))
            return
        table[:, item - 1] = ord("x")
        table[:, ends:-PLACE], table[:, -PLACE:] = rest, place
        for letter, these in ((b"u", good & whole), (b"x", good & ~whole)):
            if not these.any():
                continue
            rows = slice(None) if these.all() else these
            values = wide[rows].astype("u1") if letter == b"u" else table[rows]
            placed = _joined(letter, values, rest[rows], place[rows]) if letter == b"u" else _laid(values, item - 1)
            stored = bare(placed) if same else _joined(letter, values if letter == b"u" else values[:, item:ends], near[rows])
            yield Batch(placed, self._grouped(stored, groups, these))

    @staticmethod
    def _grouped(stored: Words, groups: Sequence[bytes] | None, these: np.ndarray) -> Words:
        """What decides whether each of these rows is held out."""
        if groups is None:
            return stored
        return Words.of(GROUP + groups[i] if groups[i] else row for i, row in zip(np.flatnonzero(these).tolist(), stored))

    def _checks(self, x: np.ndarray, rest: np.ndarray, finite: np.ndarray, fits: np.ndarray) -> Iterator[tuple]:
        """(reason, which rows are wrong by it, what to say of row i) of each rule."""
        schema, dtype, classes = self.plan.schema, self.plan.dtype, self.plan.classes
        yield "not finite", ~(finite & np.isfinite(rest).all(axis=1)), lambda i: "nan or inf"
        yield f"beyond {dtype}", ~(fits & np.isfinite(rest.astype(dtype)).all(axis=1)), lambda i: (
            f"{max([*x[i], *rest[i]], key=abs):g}; --dtype float64 has room for it")
        if classes is not None and schema.target == []:
            y = rest[:, 0]
            fits = (y >= 0) & (y < classes) & (y == np.floor(y))
            yield "label out of range", ~fits, lambda i: f"{rest[i, 0]:g} is none of 0..{classes - 1}"
        if schema.weight is not None:
            yield "negative weight", rest[:, -1] < 0, lambda i: f"{rest[i, -1]:g}"


class Stored(NamedTuple):
    """Features as a dataset has them, and what is to be known of each row.

    Attributes:
        wide: in the dataset's dtype, little-endian.
        whole: bool[n]: they are whole numbers of 0 to 255.
        finite: bool[n]: they were finite.
        fits: bool[n]: they are finite in the dtype too."""
    wide: np.ndarray | Csr
    whole: np.ndarray
    finite: np.ndarray
    fits: np.ndarray


def as_stored(x: np.ndarray | Csr | Apart, dtype: np.dtype, out: np.ndarray | None = None) -> Stored:
    """Features of any dtype as a dataset of the dtype has them. Of sparse rows `whole` says nothing. `out`: where they are to be, if they are
    not sparse."""
    if isinstance(x, Csr):
        return as_stored(x.largest()[:, None], dtype)._replace(wide=x.stored(dtype))
    wide, flags = np.empty(x.shape, dtype.newbyteorder("=")) if out is None else out, np.empty((3, len(x)), "u1")
    if isinstance(x, Apart):
        x.store(wide, flags)
        return Stored(wide.astype(dtype, copy=False), *flags.view(bool))
    with np.errstate(over="ignore", invalid="ignore"):
        if x.dtype != np.float64:                   # long integers are rounded once
            x = np.asarray(x, dtype.newbyteorder("=")).astype("f8")
    kernel.store(x, wide, *flags)
    return Stored(wide.astype(dtype, copy=False), *flags.view(bool))


def _dealt(rows: Words, hashes: np.ndarray, keys: list[bytes], shards: np.ndarray) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each shard that has some of the rows."""
    known = Words.of(keys)
    order = np.argsort(shards.astype(np.min_scalar_type(len(keys))), kind="stable")
    sizes = (known.lengths[shards] + HASH + 3 + (rows.lengths + 2) // 3 * 4)[order]
    out = np.empty(sizes.sum(), "u1")
    kernel.lines(rows.data, rows.starts, rows.stops, hashes, known.data, known.starts, known.stops, shards, order, out)
    of, first = np.unique(shards[order], return_index=True)
    ends = np.concatenate([[0], np.cumsum(sizes)])[[*first, len(order)]].tolist()
    for shard, (start, stop) in zip(of.tolist(), pairwise(ends)):
        yield keys[shard], out[start + len(keys[shard]) + 1:stop - 1].tobytes()


def _joined(letter: bytes, *parts: np.ndarray) -> Words:
    """Rows of bytes that begin with a letter: those of the parts side by side."""
    width = 1 + sum(part.shape[1] for part in parts)
    table, at = np.empty((len(parts[0]), width), "u1"), 1
    table[:, 0] = ord(letter)
    for part in parts:
        table[:, at:at + part.shape[1]] = part
        at += part.shape[1]
    return _laid(table, 0)


def _laid(table: np.ndarray, first: int) -> Words:
    """The rows of a table of bytes, each from column `first` on."""
    starts = np.arange(len(table)) * table.shape[1]
    return Words(table.ravel(), starts + first, starts + table.shape[1])


def shortened(rows: Words) -> Words:
    """Rows for the shuffle: those that are zeros for the most part without them."""
    out, ends = np.empty(rows.lengths.sum(), "u1"), np.empty(len(rows), "i8")
    if not short.shorten(rows.data, rows.starts, rows.stops, out, ends):
        return rows
    return Words(out, np.append(0, ends[:-1]), ends)


def bare(placed: Words) -> Words:
    """Rows without their places."""
    return Words(placed.data, placed.starts, placed.stops - PLACE)
