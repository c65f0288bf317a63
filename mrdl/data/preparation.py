"""The plan of a prepare job, as its tasks get it."""
import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from mrdl.data.schema import Schema

BLOCK = 1 << 20                 # bytes of rows in a block
HASH = 16                       # characters


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
    #: the hashes of the rows to hold out, where they were chosen, or by class the bound below which they are; None: below one bound
    held: list | dict | None = None
    stratify: bool = False      # whether what is held out keeps the shares of classes
    quarantine: str | None = None               # the folder for bad records; None: they are not kept
    folds: int = 1              # of raw splits how many training shards each makes, among which its groups are dealt

    @property
    def shards(self) -> int:
        return len(self.keys) - 1

    def uid(self, content: int) -> str:
        """The dataset's. `content`: of a corpus the sum over its ranges of their digests, which hold their places."""
        if not self.schema.by_content:
            return self.dataset
        return blake2b(f"{self.dataset} {content % 2**64}".encode(), digest_size=8).hexdigest()

    def role(self, shard: int) -> str:
        """What a shard's rows are for, as its blocks say it."""
        return "train" if shard < self.shards - self.validation else "validation"

    def split(self, shard: int, splits: int) -> int:
        """Of which of the raw splits a shard is a part: those of training come first."""
        return shard // self.folds if shard < splits * self.folds else shard - splits * self.folds

    def facts(self) -> dict[str, Any]:
        """The plan in JSON."""
        return {**vars(self), "schema": self.schema.dump()}

    def dump(self, path: str) -> None:
        with open(path, "w", encoding="ascii") as file:
            json.dump(self.facts(), file)
