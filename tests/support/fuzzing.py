"""Damaged inputs: what is read of them, and what is told, is all that there is."""
import os
import random
from collections.abc import Callable

from raw_data import mapped, plan_of

from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError
from mrdl.data.tables.asked import Asked
from mrdl.driver.preparation.columns import inferred

CASES = int(os.environ.get("MRDL_FUZZ", "0"))       # how many of each form; 0: some


def damaged(content: bytes, draw: random.Random, likely: bytes) -> bytes:
    """The content with a few changes: bytes flipped, put in (of the `likely` ones), taken out; parts cut off, doubled, moved."""
    made = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        at, size = draw.randrange(len(made) + 1), draw.choice((1, 2, 5, 40))
        kind = draw.randrange(6)
        if kind == 0:
            made[at:at + 1] = bytes([draw.randrange(256)])
        elif kind == 1:
            made[at:at] = bytes(draw.choice(likely) for _ in range(size))
        elif kind == 2:
            del made[at:at + size]
        elif kind == 3:
            del made[at:]
        else:
            part = made[at:at + size]
            if kind == 5:
                del made[at:at + size]
            to = draw.randrange(len(made) + 1)
            made[to:to] = part
    return bytes(made)


def flipped(content: bytes, draw: random.Random, likely: bytes) -> bytes:
    """The content with one to four other bytes: of a file of arrays or of blocks whose places are written in it, more is read so."""
    made = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at = draw.randrange(len(made))
        made[at] = draw.choice((made[at] ^ 1 << draw.randrange(8), *likely))
    return bytes(made)


def survives(path: str, records: Callable, **options) -> tuple[int, int] | None:
    """(rows used, rows told of) of a file, which are together as many as it has: records(schema), of text without headers and blank lines.
    None where it is refused, which must be by a DataError of one line, or one for each sample."""
    try:
        schema = sniff([path], **options)
        if schema.tabular:
            schema = inferred(schema, Asked(options.get("label")).among(schema.columns), None, "", None, lambda text: None).stored(None)
        lines = next(schema.here())[1] if schema.tabular else (b"%d\t%d\t%d" % places for places, _ in schema.spans())
        rows, facts = mapped(plan_of(schema), lines, path)
    except DataError as error:
        assert "Traceback" not in str(error) and str(error)
        return None
    used, told = sum(map(len, rows)), sum(facts["bad"].values()) + facts["comments"] + facts["left_out"]
    assert used == sum(facts["rows"])
    assert used + told == records(schema), (used, facts, records(schema))
    return used, told
