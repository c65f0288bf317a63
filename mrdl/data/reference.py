"""A shard by reference: a line that says which raw rows make its blocks stands in the place of the blocks.

    mrdl-reference TAB {JSON with a hash of itself: the plan, the pieces of files, what blocks they must make}

Whoever reads the shard parses its rows again, with the code that parses them for prepare. So the blocks are the same as long
as the files are; the seal of the last one tells where they are not."""
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, TypedDict

import numpy as np

from mrdl.data.blocks import ROLES, BlockError
from mrdl.data.hashing import blake2b
from mrdl.data.preparation import Plan
from mrdl.data.quarantine import Quarantine
from mrdl.data.readers.table import read_back
from mrdl.data.rows import PLACE, Batch, Rows, Some, bare
from mrdl.data.shards import Packing
from mrdl.data.sources import DataError
from mrdl.data.sources import whole as undamaged
from mrdl.data.tables.words import Words
from mrdl.printing import few
from mrdl.runners.splits import lines_between
from mrdl.storage.paths import opened
from mrdl.storage.pieces import Lines
from mrdl.storage.pieces import bare as without_end
from mrdl.storage.sealed import Count, Hash, OtherFormat, formatted, seal

MAGIC, FORMAT = b"mrdl-reference\t", 1
Piece = list                    # number of a file, where the piece begins in it, where it ends (None: with the file)


class Changed(BlockError):
    """The raw rows of a shard are no longer what they were."""


class Made(TypedDict):
    """What is in a shard: how many examples, and the seals of its blocks."""
    n: Count
    seals: list[str]


class Reference(TypedDict):
    """What a line holds. `plan`: as of a prepare job, with those files alone that the pieces are of."""
    format: int
    plan: dict[str, Any]
    pieces: list[list[Count | None]]
    shard: Count
    role: Literal[ROLES]
    made: Made
    seal: Hash


class Parsed(Rows):
    """Rows in the order of their file."""

    def piece(self, x: np.ndarray, rest: np.ndarray, starts: np.ndarray, lines: Some, groups: Sequence[bytes] | None) -> Iterator[Batch]:
        found = list(super().piece(x, rest, starts, lines, groups))
        if len(found) < 2:
            yield from found
            return
        placed, stored = (Words.together(parts) for parts in zip(*found))       # rows of bytes come first, and then the others
        order = np.argsort([int.from_bytes(row[-PLACE:], "little") for row in placed])
        yield Batch(placed.take(order), stored.take(order))


def parsed(plan: Plan, piece: Piece, kept: Quarantine | None = None) -> tuple[Parsed, Iterator[list[Words]]]:
    """The rows of a piece to train on, of each fold, and at last those held out, many at a time; and what is counted of them meanwhile.
    `kept`: takes the bad ones."""
    number, start, stop = piece
    schema = plan.schema
    if schema.by_lines:
        rows, lines = Parsed(plan, schema.files[number], start), Lines(_pieces(schema.files[number], start, stop))
    else:
        rows, lines = Parsed(plan), [b"%d\t%d\t%d" % (number, start, stop)]
    rows.quarantine = kept
    return rows, _each(rows, schema.read(rows, lines))


def _each(rows: Parsed, batches: Iterator[Batch]) -> Iterator[list[Words]]:
    plan = rows.plan
    for placed, stored in batches:
        held, own, fold = rows.out(placed, stored), bare(placed), 0
        if plan.folds > 1:
            fold = rows.codes(blake2b(placed, plan.seed.to_bytes(8, "little"), rows.person), stored) % np.uint64(plan.folds)
        yield [*(own.take(~held & (fold == k)) for k in range(plan.folds)), own.take(held)]


def _pieces(path: str, start: int, stop: int | None) -> Iterator[bytes]:
    with opened(path) as file, undamaged(path):
        for piece in lines_between(file, start, stop, pieces=True):
            yield without_end(piece)


def referred(plan: Plan, number: int, pieces: list[Piece], kept: Quarantine) -> dict[str, Any]:
    """What is in a split: the facts of its pieces, and what is Made of its rows to train on, of each fold, and of those held out."""
    train = plan.shards - plan.validation
    own = range(number * plan.folds, (number + 1) * plan.folds)
    shards = [Packing(plan, shard) for shard in (*own, *[train + number] * bool(plan.validation))]
    facts = []
    for piece in pieces:
        rows, found = parsed(plan, piece, kept)
        for sides in found:
            for shard, own in zip(shards, sides):
                for _ in shard.add(own):
                    pass                        # the seals alone are wanted
        facts.append(rows.facts() | {"rows": []})
    for shard in shards:
        list(shard.end())
    return {"split": number, "facts": facts, "shards": [_made(shard) for shard in shards]}


def _made(packing: Packing) -> Made:
    return {"n": packing.n, "seals": packing.seals}


def line(plan: Plan, pieces: list[Piece], shard: int, made: Made) -> bytes:
    """The line of a shard."""
    schema, numbers = plan.schema, sorted({number for number, *_ in pieces})
    only = replace(plan, schema=schema.only(numbers), keys=[], validation=0, quarantine=None)
    return MAGIC + json.dumps(seal({
        "format": FORMAT, "plan": only.facts(), "pieces": [[numbers.index(number), *span] for number, *span in pieces],
        "shard": shard, "role": plan.role(shard), "made": made})).encode()


def parse(text: bytes) -> tuple[Plan, Reference]:
    """What a line holds; BlockError if it is damaged."""
    try:
        found = formatted(text.removeprefix(MAGIC), FORMAT, Reference, "reference")
        plan = Plan(read_back(found["plan"].pop("schema")), **found["plan"])
        if any(len(piece) != 3 or piece[0] >= len(plan.schema.files) for piece in found["pieces"]):
            raise ValueError("a piece of no file")
        return plan, found
    except OtherFormat:
        raise BlockError("a reference to raw rows of another version of mrdl") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BlockError(f"damaged reference to raw rows: {error}") from None


def block_lines(text: bytes) -> Iterator[bytes]:
    """The block lines that a reference stands for; Changed at the first one that is not as it was, as the files are not."""
    plan, asked = parse(text)
    packing, wanted, files = Packing(plan, asked["shard"], asked["role"]), asked["made"]["seals"], plan.schema.paths()
    try:
        for made in _packed(plan, asked, packing):
            if packing.seals[-1:] != wanted[len(packing.seals) - 1:len(packing.seals)]:
                break
            yield made
    except FileNotFoundError as error:
        raise Changed(f"{error.filename or few(files)}: is gone; the run reads its raw rows there") from None
    except DataError as error:
        raise Changed(str(error)) from None
    if _made(packing) != asked["made"]:
        raise Changed(f"{few(files)}: does not have the rows that it had when the run was begun: put the file back as it was, or "
                      "begin another run")


def _packed(plan: Plan, asked: Reference, packing: Packing) -> Iterator[bytes]:
    side = -1 if asked["role"] == "validation" else asked["shard"] % plan.folds
    for piece in asked["pieces"]:
        for sides in parsed(plan, piece)[1]:
            yield from packing.add(sides[side])
    yield from packing.end()


def expanded(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The block lines of a shard's lines."""
    for text in lines:
        if text.startswith(MAGIC):
            yield from block_lines(text)
        else:
            yield text
