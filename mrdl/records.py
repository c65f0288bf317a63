"""Raw input in, shuffled rows out (the mapper), packed into blocks (the reducer).

A row travels as its canonical bytes, which equal rows share: b"u" (x as uint8) or b"x" (x in the
dataset's dtype), then x, y and w, the last two as float64; of a text b"s" and the ids. A seeded hash of them, y and w
too as they will be stored, decides whether it is held out: a row that occurs twice cannot be both trained on and held
out, and numbers that the dtype makes one are one. A hash of the canonical bytes and of where the
row stands (the file's name, the byte in it) decides the shard and the place in the shard: equal rows spread over all
shards, and nothing depends on folders, splits or mappers.
"""
import json
import math
from binascii import a2b_base64, b2a_base64, hexlify
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import groupby

import numpy as np

from mrdl import blocks
from mrdl.corpus import SAMPLES
from mrdl.holdout import HoldOut, together
from mrdl.schema import Schema
from mrdl.tokenizer import SMALL

BLOCK = 1 << 20                 # bytes of rows in a block
SAMPLE = 100                    # characters of a bad record that are shown
PLACE = 8                       # bytes that say where in its file a row stands
HASH = 16                       # characters
SUMS = ("comments", "tokens", "unknown", "characters", "content")      # facts of a corpus that are summed


@dataclass(frozen=True)
class Plan:
    """What every task of a prepare job is told."""
    schema: Schema
    dataset: str                # its uid; of a corpus what else goes into it than the content
    seed: int
    keys: list                  # of the reducers: train shards, validation shards, facts
    validation: int             # how many of the shards
    hold_out: float
    dtype: str
    classes: int | None
    held: list | None = None    # the hashes of the rows to hold out, where they were chosen; None: those below a bound

    @property
    def shards(self) -> int:
        return len(self.keys) - 1

    def uid(self, content: int) -> str:
        """The dataset's. `content`: of a corpus the sum over its ranges of their digests, which hold their places."""
        if self.schema.kind != "corpus":
            return self.dataset
        return blake2b(f"{self.dataset} {content % 2**64}".encode(), digest_size=8).hexdigest()

    def dump(self, path: str) -> None:
        with open(path, "w", encoding="ascii") as file:
            json.dump(asdict(self), file)

    @classmethod
    def load(cls, path: str) -> "Plan":
        with open(path, encoding="ascii") as file:
            fields = json.load(file)
        return cls(**{**fields, "schema": Schema(**fields["schema"])})


class Rows:
    """A mapper's split as rows for the shuffle, and the facts about it.

    `read(rows, lines)` (mrdl.readers) gives what `encoded` makes of the rows in the lines of `file` from byte `start` on,
    and tells of those that it leaves out: `reject`, `comments` and so on."""

    def __init__(self, plan: Plan, read: "Callable[[Rows, Iterable[bytes]], Iterator[tuple[bytes, bytes]]]", file: str = "",
                 start: int = 0):
        self.plan, self.read, self.file, self.start = plan, read, file, start
        self.count = [0] * plan.shards
        self.comments = 0
        self.bad: Counter = Counter()
        self.samples: list[dict] = []
        self.labels: list[float] | None = None      # lowest, highest, whether all are whole
        self.held = HoldOut(plan.hold_out, plan.seed, plan.held)
        self.tokens = self.unknown = self.characters = self.content = 0         # of a corpus
        self.short: list | None = None              # tokens and place of its shortest range, if too short for a sequence

    def pairs(self, lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """(key of the shard, hash TAB base64 row) of each good row; at the end the facts."""
        plan = self.plan
        keys = [key.encode() for key in plan.keys]
        train, salt = plan.shards - plan.validation, plan.seed.to_bytes(8, "little")
        for placed, stored in self.read(self, lines):
            row = placed[:-PLACE]
            digest = blake2b(placed, digest_size=HASH // 2, salt=salt, person=self.person).digest()
            code = int.from_bytes(digest, "big")
            shard = train + code % plan.validation if plan.validation and stored in self.held else code % train
            self.count[shard] += 1
            yield keys[shard], hexlify(digest) + b"\t" + b2a_base64(row, newline=False)
        if plan.schema.kind == "corpus":            # every block tells the uid: each shard must know all of the content
            yield from ((key, b"\t%d" % self.content) for key in keys[:-1])
        yield keys[-1], b"\t" + json.dumps({
            "rows": self.count, "bad": self.bad, "samples": self.samples, "labels": self.labels, "short": self.short,
            "distinct": self.held.counts, **{name: getattr(self, name) for name in SUMS}}).encode()

    @property
    def file(self) -> str:
        return self._file

    @file.setter
    def file(self, path: str) -> None:
        """Of its path the name counts alone: a dataset may move."""
        self._file, self.person = path, blake2b(path.rpartition("/")[2].encode("utf-8", "surrogateescape"),
                                                digest_size=16).digest()

    def encoded(self, x: np.ndarray, rest: np.ndarray, starts: np.ndarray,
                 lines: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Of the good rows of x[n, d] and rest[n, y and w]: the canonical bytes with the place behind them, and those
        that decide whether the row is held out, of y and w as they will be stored.

        Row i began at starts[i], its place, and reads lines[i], for the samples of the bad ones."""
        schema, dtype = self.plan.schema, np.dtype(self.plan.dtype).newbyteorder("<")
        rest = np.add(rest, 0.0, order="C")         # -0.0 and 0.0 are one number
        with np.errstate(invalid="ignore", over="ignore"):
            wide = np.add(x, 0.0, dtype=dtype, order="C", casting="unsafe")
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
            span = [y.min(), y.max(), bool((y == np.floor(y)).all())]
            self.labels = extremes([self.labels, span])
        tail = np.concatenate([rest.astype("<f8").view("u1"), starts.astype("<u8")[:, None].view("u1")], axis=1)
        near = None if np.array_equal(near, rest) else near.astype("<f8").view("u1")
        for letter, these, values in ((b"u", good & whole, small[good & whole]),
                                      (b"x", good & ~whole, wide[good[~whole]])):
            head = np.full((len(values), 1), ord(letter), "u1")
            head = np.concatenate([head, values.view("u1")], axis=1)
            placed = _cut(np.concatenate([head, tail[these]], axis=1))
            stored = ([row[:-PLACE] for row in placed] if near is None else
                      _cut(np.concatenate([head, near[these]], axis=1)))
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

    def reject(self, reason: str, detail: str, offset: int, line: bytes) -> None:
        self.bad[reason] += 1
        sample = {"file": self.file, "offset": int(offset), "reason": f"{reason} ({detail})",
                  "text": line[:SAMPLE].decode("utf-8", "replace")}
        self.samples = sorted([*self.samples, sample], key=lambda s: s["offset"])[:SAMPLES]

def merged_facts(values: Iterable[bytes]) -> bytes:
    """The facts of all mappers as one."""
    facts = [json.loads(value[1:]) for value in values]
    bad = sum((Counter(fact["bad"]) for fact in facts), Counter())
    samples = sorted((sample for fact in facts for sample in fact["samples"]), key=sample_order)
    return json.dumps({
        "distinct": together(fact["distinct"] for fact in facts),
        "rows": [sum(counts) for counts in zip(*(fact["rows"] for fact in facts))],
        "bad": dict(sorted(bad.items())), "samples": samples[:SAMPLES],
        "labels": extremes([fact["labels"] for fact in facts]),
        "short": smallest([fact["short"] for fact in facts]),
        **{name: sum(fact[name] for fact in facts) for name in SUMS}}).encode()


def shard_lines(plan: Plan, shard: int, values: Iterable[bytes]) -> Iterator[bytes]:
    """The block lines of a shard, from its rows in the order of their hashes; of a corpus behind the mappers' contents."""
    role = "train" if shard < plan.shards - plan.validation else "validation"
    content = 0
    for is_content, some in groupby(values, key=lambda value: value.startswith(b"\t")):
        if is_content:
            content = sum(map(int, some))
            continue
        before = ""
        for index, rows in enumerate(_runs(some)):
            line = blocks.pack(_unpacked(plan, rows), dataset=plan.uid(content), shard=shard, index=index, role=role,
                               before=before)
            before = blocks.unpack(line).seal
            yield line


def _runs(values: Iterable[bytes]) -> Iterator[list[bytes]]:
    """A block's rows at a time; rows whose hashes are equal in the order of their bytes."""
    rows, size = [], 0
    for _, same in groupby(values, key=lambda value: value[:HASH]):
        for value in sorted(same):                  # nearly always one
            row = a2b_base64(value[HASH + 1:])
            if rows and size + len(row) > BLOCK:
                yield rows
                rows, size = [], 0
            rows.append(row)
            size += len(row)
    if rows:
        yield rows


def _unpacked(plan: Plan, rows: list[bytes]) -> dict[str, np.ndarray]:
    """The arrays of canonical rows."""
    schema, wide = plan.schema, np.dtype(plan.dtype).newbyteorder("<")
    if schema.kind == "corpus":
        ids = np.frombuffer(b"".join(row[1:] for row in rows), "u1" if len(schema.vocabulary) <= SMALL else "<u2")
        ids = ids.reshape(len(rows), -1)
        return {"x": ids[:, :-1], "y": ids[:, 1:]}
    small = all(row[0] == ord("u") for row in rows)
    x = np.empty((len(rows), math.prod(schema.shape)), np.uint8 if small else wide)
    rest = []
    for i, row in enumerate(rows):
        dtype = np.dtype("u1") if row[0] == ord("u") else wide
        x[i] = np.frombuffer(row, dtype, x.shape[1], 1)
        rest.append(row[1 + x.shape[1] * dtype.itemsize:])
    rest = np.frombuffer(b"".join(rest), "<f8").reshape(len(rows), -1)
    found = {"x": x.reshape(-1, *schema.shape)}
    if schema.target is not None:
        y = rest[:, :math.prod(schema.target)].reshape(-1, *schema.target)
        found["y"] = blocks.narrow(y, plan.dtype, labels=True)
    if schema.weight is not None:
        found["w"] = rest[:, -1].astype(wide)
    return found


def _cut(table: np.ndarray) -> list[bytes]:
    """The rows of a table of bytes."""
    data, step = table.tobytes(), table.shape[1]
    return [data[i:i + step] for i in range(0, len(data), step)]


def sample_order(sample: dict) -> tuple:
    """What samples are sorted by: of a corpus the place in the stream."""
    return sample.get("place", 0), sample["file"], sample["offset"]


def smallest(found: list) -> list | None:
    return min(filter(None, found), default=None)


def extremes(spans: list) -> list | None:
    """(lowest, highest, all whole) of several such, some of which may be None."""
    spans = [span for span in spans if span]
    return spans and [min(s[0] for s in spans), max(s[1] for s in spans),
                      all(s[2] for s in spans)] or None
