"""A dataset: a folder of shards, and data.json that makes it one."""
import re
from dataclasses import dataclass, field, replace
from shlex import quote
from typing import Annotated, Literal, TypedDict

import numpy as np

from mrdl.data import blocks, folds
from mrdl.data.reference import Changed, expanded
from mrdl.data.sources import DataError
from mrdl.data.tokenizer import UNITS, UNKNOWN, Tokenizer
from mrdl.storage.paths import exists, opened, size
from mrdl.storage.schemes import store_at
from mrdl.storage.sealed import Count, Hash, OtherFormat, canonical, digest, formatted

DESCRIPTION = "data.json"
FORMAT = 2
MANY = 0.1                      # share of a text's tokens that its vocabulary lacks, above which something is wrong


@dataclass(frozen=True)
class Shard:
    """A file of blocks: one mapper's input.

    Args:
        index: its number, from 0.
        name: of the file.
        path: of the file, with that of the folder.
        n: its examples.
        role: "train" or "validation".
        blocks: how many blocks it has.
        seal: that of the last block, which stands for all; "" where there is none."""
    index: int
    name: str
    path: str
    n: int
    role: str                   # train | validation
    blocks: int
    seal: str                   # of the last block; "" where there is none


@dataclass(frozen=True)
class Target:
    """What y is like.

    Args:
        shape: of one row's y; () for one number.
        classes: K, where every y is one of 0..K-1; None: y is no class.
        low: the least y, where y is one number.
        high: the largest y, where y is one number."""
    shape: tuple[Count, ...]    # of one row's
    classes: Count | None       # K where every y is one of 0..K-1
    low: float | None = None    # of a y with one number
    high: float | None = None


@dataclass(frozen=True)
class Dataset:
    """What data.json says, and where it was read.

    Args:
        url: the folder.
        uid: what tells it from other datasets: a hash of its input and of how it was prepared.
        shards: its shards, those of training first.
        shape: of x, for one row.
        target: what y is like; None: there is no y.
        weighted: whether the examples have weights, "w" in the blocks.
        columns: the names of x's columns, where the input had columns.
        dtype: "float32" or "float64", of fractions.
        seed: of the shuffle.
        bad: of bad records the count, the count of all (`of`), the count of each reason, and
            samples.
        text: of a text its `unit` and `vocabulary`; None: the rows are numbers.
        unknown: of a text how many tokens its vocabulary lacks (`count`), `of` how many.
        named: whether `columns` are names, by which other data must match.
        label: the column or array that y was; None where there is none, or where the dataset is
            older than this field.
        weight: the column or array that the weights were; None as for `label`.
        notes: what prepare decided, and warnings: sentences for the user.
        table: of rows with words, dates or missing values what schema.json says of their columns
            (docs/tables.md); None: x is the columns' numbers.
        sparse: whether x are sparse rows (docs/sparse.md).
        spread: of a y with one number the mean and the standard deviation; None: there is none, or
            the dataset is older than this field.
        raw: where the shards are splits of raw files, which are parsed whenever they are read: the
            path and the size of each; None: the shards hold blocks.
        asked: where `raw`: a hash of what the user said of the columns, which decided their kinds.
        folds: where `raw`: how many folds the shards were made for; None: any.
        counts: of a y that is a class how many training rows each class has; None: there are no
            classes, or too many, or the dataset is older than this field."""
    url: str
    uid: str
    shards: list[Shard]
    shape: tuple                # of x, for one row
    target: Target | None       # None: there is no y
    weighted: bool              # blocks have "w"
    columns: list[str]          # of x, where the input had columns
    dtype: str
    seed: int
    bad: dict = field(default_factory=dict)     # count, of, reasons, samples
    text: dict | None = None    # unit and vocabulary, where the rows are sequences of ids
    unknown: dict = field(default_factory=dict)         # of a text: count of its tokens that are [UNK], of
    named: bool = False         # whether `columns` are names, by which other data must match
    label: str | None = None    # the column or array that y was; also None where the dataset is older than this field
    weight: str | None = None   # and that of "w"
    notes: list[str] = field(default_factory=list)      # for the user: what prepare decided, and warnings
    table: dict | None = None   # schema.json, where it made x of the columns; None: x is the columns' numbers
    counts: list | None = None  # training rows of each class
    sparse: bool = False        # whether x are sparse rows
    spread: list | None = None  # mean and standard deviation of a y with one number
    asked: str | None = None
    folds: int | None = None
    raw: list[dict] | None = None       # path and size of each file that the shards are splits of

    def digest(self) -> str:
        """A hash of all that its shards hold: the same wherever the dataset lies."""
        return digest(canonical([self.uid, [[s.n, s.role, s.seal] for s in self.shards]]))

    def tokenizer(self) -> Tokenizer | None:
        """What turns text into the ids of this dataset and back; None where it is no text."""
        return self.text and Tokenizer(**self.text)

    def lacking(self) -> str:
        """For the user: what share of a text's tokens the vocabulary lacks; "" where it has them all."""
        if not self.unknown.get("count"):
            return ""
        share = self.unknown["count"] / self.unknown["of"]
        return (f"{100 * share:.3g} % of the tokens are not in the vocabulary ({UNKNOWN})"
                + (": is it another language's, or too small?" if share > MANY else ""))

    def first(self) -> dict[str, np.ndarray]:
        """The arrays of the first block, to look at; empty where there are no rows."""
        shard = next((shard for shard in self.shards if shard.n), None)
        if shard is None:
            return {}
        try:
            with opened(shard.path) as file:
                return blocks.unpack(next(expanded([file.readline().rstrip(b"\n")]))).arrays()
        except Changed as error:
            raise DataError(str(error)) from None
        except blocks.BlockError as error:
            raise DataError(f"{shard.path}, line 1: {error}; prepare the dataset again") from None

    def train(self) -> list[Shard]:
        """The shards to train on."""
        return [shard for shard in self.shards if shard.role == "train"]

    def validation(self) -> list[Shard]:
        """The shards that were held out."""
        return [shard for shard in self.shards if shard.role == "validation"]


class Record(TypedDict):
    """A record of text."""
    file: str
    offset: Count
    reason: str
    text: str


class Sample(Record, total=False):
    """A bad record."""
    unit: str                   # what the offset counts, if not bytes


class Bad(TypedDict):
    """The bad records among all."""
    count: Count
    of: Count
    reasons: dict[str, Count]
    samples: list[Sample]


class Text(TypedDict):
    """The vocabulary of a text's ids."""
    unit: Literal[UNITS]
    vocabulary: list[str]


class Part(TypedDict):
    """A shard."""
    name: Annotated[str, re.compile(r"part-\d{5,}")]
    n: Count
    role: Literal["train", "validation"]
    blocks: Count
    seal: str


class RawChanged(DataError):
    """A raw file that shards are splits of is not as it was."""


class Raw(TypedDict):
    """A raw file that shards are splits of."""
    path: str
    size: Count


class Origins(TypedDict, total=False):
    """The columns or arrays that y and w were, the table that made x, the raw files; datasets of before do not say them."""
    label: str | None
    weight: str | None
    table: dict | None
    sparse: bool
    spread: list[float] | None
    raw: list[Raw] | None
    asked: str
    folds: Count
    counts: list[Count] | None


class Description(Origins):
    """What data.json holds."""
    format: int
    uid: str
    seed: Annotated[int, range(2 ** 64)]
    dtype: Literal["float32", "float64"]
    shape: list[Count]
    target: Target | None
    weighted: bool
    columns: list[str]
    named: bool
    notes: list[str]
    bad: Bad
    text: Text | None
    unknown: dict[str, Count]
    shards: list[Part]
    seal: Hash


def load(url: str) -> Dataset:
    """The dataset in a folder.

    Args:
        url: the folder, a path or an hdfs:// URL; with `#2/5` behind it, the second of five folds
            of its training shards is held out.

    Returns:
        What data.json says of it; no shard is read.

    Raises:
        DataError: there is no dataset, it is damaged or another version's, or a shard is
            missing; of raw splits a file is gone, or has another size."""
    made = described(url)
    for file in made.raw or ():
        try:
            now = size(file["path"])
        except FileNotFoundError:
            raise RawChanged(f"{file['path']}: is gone; {url} has its rows from there (if it was moved: give mrdl train its new "
                             "place, and all else as before)") from None
        if now != file["size"]:
            raise RawChanged(f"{file['path']}: has changed: it had {file['size']:,} bytes, and now has {now:,}; {url} has its "
                             "rows from there: put the file back as it was, or begin another run")
    return made


def described(url: str) -> Dataset:
    """The dataset in a folder; of raw splits the files are not looked at."""
    folder, fold = folds.apart(url)
    store = store_at(folder)
    if not store.exists(DESCRIPTION):
        raise DataError(f"{folder}: no dataset (no {DESCRIPTION}); make one with: mrdl prepare " + (
            f"INPUT.. {quote(folder)}" if not exists(folder) or store.is_folder() else f"{quote(folder)} DATA"))
    try:
        found = formatted(store.read(DESCRIPTION), FORMAT, Description, DESCRIPTION)
    except OtherFormat:
        raise DataError(f"{url}: a dataset of another version of mrdl; prepare it again") from None
    except ValueError as error:
        raise DataError(f"{url}: {DESCRIPTION} is damaged ({error}); prepare it again") from None
    target = found["target"] and Target(**{**found["target"], "shape": tuple(found["target"]["shape"])})
    shards = [Shard(index, path=store.path(shard["name"]), **shard) for index, shard in enumerate(found["shards"])]
    made = Dataset(store.url, shape=tuple(found["shape"]), target=target, shards=shards, **{
        name: value for name, value in found.items() if name not in ("format", "seal", "shape", "target", "shards")})
    there = set(store.list())           # one question, not one a shard
    for shard in shards:
        if shard.name not in there:
            raise DataError(f"{url}: {shard.name} is missing; prepare the dataset again")
    return made if fold is None else folded(made, *fold)


def folded(data: Dataset, fold: int, count: int) -> Dataset:
    """The dataset of whose training shards those of a fold are held out."""
    try:
        roles = folds.roles(data.shards, fold, count, data.folds)
    except ValueError as error:
        raise DataError(f"{data.url}: {error}") from None
    shards = [replace(shard, role=role) for shard, role in zip(data.shards, roles) if role]
    return replace(data, url=folds.named(data.url, fold, count), shards=shards, counts=None)


def shown(sample: dict) -> str:
    """A bad record, for the user."""
    return "{file}, {unit} {offset}: {reason}: {text!r}".format(**{"unit": "byte", **sample})
