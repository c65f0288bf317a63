"""Rows of a corpus: ranges of its text in, sequences of ids out."""
from collections.abc import Iterable, Iterator

import numpy as np

from mrdl.data import corpus
from mrdl.data.corpus import SAMPLES
from mrdl.data.facts import sample_order, smallest
from mrdl.data.rows import PLACE, Rows
from mrdl.data.tokenizer import Tokenizer


def read(rows: Rows, lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Each line is a range of a corpus; a row is the ids of a sequence's steps and the one after them."""
    schema = rows.plan.schema
    tokenizer = Tokenizer(schema.unit, schema.vocabulary)
    for line in lines:
        _, start, stop = map(int, line.split(b"\t"))
        part = corpus.Range(schema.stream(), start, stop, schema.unit)
        ids, own = part.ids(tokenizer)
        rows.tokens += own
        rows.unknown += own - int(np.count_nonzero(ids[:own]))
        rows.content += int.from_bytes(part.content.digest(), "big")
        rows.characters += part.characters
        if part.bad:
            rows.bad[corpus.NOT_UTF_8] += part.bad
            rows.samples = sorted([*rows.samples, *part.samples], key=sample_order)[:SAMPLES]
        if 1 < len(ids) <= schema.shape[0]:
            rows.short = smallest([rows.short, [own, part.start]])
        for number, sequence in enumerate(corpus.cut(ids, schema.shape[0])):
            row = b"s" + sequence.astype(tokenizer.dtype.newbyteorder("<")).tobytes()
            yield row + (part.start + number).to_bytes(PLACE, "little"), row
