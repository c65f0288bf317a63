"""A mapper's side of prepare: raw input in, shuffled rows out, which reducers pack into blocks.

A row travels as its canonical bytes, which equal rows share: b"u" (x as uint8) or b"x" (x in the
dataset's dtype), then x, y and w, the last two as float64; of a text b"s" and the ids. A seeded hash of them, y and w
too as they will be stored, decides whether it is held out: a row that occurs twice cannot be both trained on and held
out, and numbers that the dtype makes one are one. A hash of the canonical bytes and of where the
row stands (the file's name, the byte in it) decides the shard and the place in the shard: equal rows spread over all
shards, and nothing depends on folders, splits or mappers.
"""
import json
import struct
from binascii import b2a_base64, hexlify
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from mrdl.data.facts import CLASSES, SUMS
from mrdl.data.holdout import HoldOut
from mrdl.data.preparation import HASH, Plan
from mrdl.data.records import Records
from mrdl.data.tables.statistics import Numbers

GROUP = b"g"                    # begins the bytes that decide for a group
PLACE = 8                       # bytes that say where in its file a row stands


class Rows(Records):
    """A mapper's split as rows for the shuffle, and the facts about it.

    `read` of the schema gives what `encoded` makes of the rows in the lines of `file` from byte `start` on, and tells of those
    that it leaves out: `reject`, `comments` and so on."""

    def __init__(self, plan: Plan, file: str = "", start: int = 0):
        super().__init__(file, start)
        self.plan = plan
        self.count = [0] * plan.shards
        self.labels = Numbers()                     # where y is one number
        self.classes: Counter | None = Counter() if plan.schema.target == [] else None     # training rows by the bytes of y
        self.held = HoldOut(plan.hold_out, plan.seed, plan.held, plan.stratify)
        self.tokens = self.unknown = self.characters = self.content = 0         # of a corpus
        self.short: list | None = None              # tokens and place of its shortest range, if too short for a sequence

    def pairs(self, lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """(key of the shard, hash TAB base64 row) of each good row; at the end the facts."""
        plan = self.plan
        keys = [key.encode() for key in plan.keys]
        train, salt = plan.shards - plan.validation, plan.seed.to_bytes(8, "little")
        for placed, stored in plan.schema.read(self, lines):
            row = placed[:-PLACE]
            digest = blake2b(placed, digest_size=HASH // 2, salt=salt, person=self.person).digest()
            code = int.from_bytes(digest, "big")
            if stored[:1] == GROUP:             # a group is in one shard, so that shards can be folds
                code = int.from_bytes(blake2b(stored, digest_size=8, salt=salt, person=b"shard").digest(), "big")
            shard = train + code % plan.validation if self.out(placed, stored) else code % train
            self.count[shard] += 1
            yield keys[shard], hexlify(digest) + b"\t" + b2a_base64(row, newline=False)
        if plan.schema.by_content:                  # every block tells the uid: each shard must know all of the content
            yield from ((key, b"\t%d" % self.content) for key in keys[:-1])
        yield keys[-1], b"\t" + json.dumps(self.facts()).encode()

    def out(self, placed: bytes, stored: bytes) -> bool:
        """Whether a row is held out; if not, it is counted among those of its class."""
        end = len(placed) - PLACE - 8 * (self.plan.schema.weight is not None)
        y = placed[end - 8:end]
        if self.plan.hold_out and self.held.takes(stored, y):
            return True
        if self.classes is not None:
            self.classes[y] += 1
            if len(self.classes) > CLASSES:
                self.classes = None
        return False

    def facts(self) -> dict[str, Any]:
        """What was counted of the rows."""
        return {"rows": self.count, "bad": self.bad, "samples": self.samples, "labels": self.labels.dump(), "short": self.short,
                "classes": self.classes and {repr(*struct.unpack("<d", y)): n for y, n in self.classes.items()},
                **self.held.dump(), **{name: getattr(self, name) for name in SUMS}}

    def encoded(self, x: np.ndarray, rest: np.ndarray, starts: np.ndarray,
                lines: Sequence[bytes], groups: Sequence[bytes] | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Of the good rows of x[n, d] and rest[n, y and w]: the canonical bytes with the place behind them, and those
        that decide whether the row is held out, of y and w as they will be stored.

        Row i began at starts[i], its place, and reads lines[i], for the samples of the bad ones; groups[i] decides instead of the
        row whether it is held out, unless it is empty."""
        schema, dtype = self.plan.schema, np.dtype(self.plan.dtype).newbyteorder("<")
        widths = x.shape[1], rest.shape[1]
        if widths != schema.widths:                 # numbers would be taken for others
            raise AssertionError(
                f"{type(schema).__name__}.read gave (x, y and weight) of {widths} numbers a row, "
                f"but by its shape, target and weight there are {schema.widths}")
        rest = np.add(rest, 0.0, order="C")         # -0.0 and 0.0 are one number
        with np.errstate(invalid="ignore", over="ignore"):
            wide = as_stored(x, dtype)
            small = wide.astype("u1")
            whole = (small == wide).all(axis=1)
            wide = wide[~whole]
            ids = rest == np.floor(rest)
            if schema.weight is not None:
                ids[:, -1] = False
            near = np.where(ids, rest, rest.astype(dtype)) + 0.0    # a label that is an id keeps all its digits
            good = np.ones(len(x), bool)
            for reason, wrong, value in self._checks(x, wide, rest, whole):
                for i in np.flatnonzero(good & wrong):
                    self.reject(reason, value(i), starts[i], lines[i])
                good &= ~wrong
        y = rest[good, :rest.shape[1] - (schema.weight is not None)]
        if y.shape[1] == 1 and len(y):
            self.labels.add(y[:, 0])
        tail = np.concatenate([rest.astype("<f8").view("u1"), starts.astype("<u8")[:, None].view("u1")], axis=1)
        near = None if np.array_equal(near, rest) else near.astype("<f8").view("u1")
        for letter, these, values in ((b"u", good & whole, small[good & whole]),
                                      (b"x", good & ~whole, wide[good[~whole]])):
            head = np.full((len(values), 1), ord(letter), "u1")
            head = np.concatenate([head, values.view("u1")], axis=1)
            placed = _cut(np.concatenate([head, tail[these]], axis=1))
            stored = ([row[:-PLACE] for row in placed] if near is None else
                      _cut(np.concatenate([head, near[these]], axis=1)))
            if groups is not None:
                stored = [GROUP + groups[i] if groups[i] else row for i, row in zip(np.flatnonzero(these).tolist(), stored)]
            yield from zip(placed, stored)

    def _checks(self, x: np.ndarray, wide: np.ndarray, rest: np.ndarray, whole: np.ndarray) -> Iterator[tuple]:
        """(reason, which rows are wrong by it, what to say of row i) of each rule."""
        schema, dtype, classes = self.plan.schema, self.plan.dtype, self.plan.classes
        finite, fits = np.isfinite(rest).all(axis=1), np.isfinite(rest.astype(dtype)).all(axis=1)
        finite[~whole] &= np.isfinite(x[~whole]).all(axis=1)
        fits[~whole] &= np.isfinite(wide).all(axis=1)
        yield "not finite", ~finite, lambda i: "nan or inf"
        yield f"beyond {dtype}", ~fits, lambda i: (
            f"{max([*x[i], *rest[i]], key=abs):g}; --dtype float64 has room for it")
        if classes is not None and schema.target == []:
            y = rest[:, 0]
            fits = (y >= 0) & (y < classes) & (y == np.floor(y))
            yield "label out of range", ~fits, lambda i: f"{rest[i, 0]:g} is none of 0..{classes - 1}"
        if schema.weight is not None:
            yield "negative weight", rest[:, -1] < 0, lambda i: f"{rest[i, -1]:g}"


def as_stored(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Features as a dataset of the dtype has them."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.add(x, 0.0, dtype=dtype, order="C", casting="unsafe")


def _cut(table: np.ndarray) -> list[bytes]:
    """The rows of a table of bytes."""
    data, step = table.tobytes(), table.shape[1]
    return [data[i:i + step] for i in range(0, len(data), step)]
