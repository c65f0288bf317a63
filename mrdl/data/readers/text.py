"""Rows of a corpus: ranges of its text in, sequences of ids out."""
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mrdl.data import corpus
from mrdl.data.corpus import SAMPLES
from mrdl.data.facts import sample_order, smallest
from mrdl.data.rows import PLACE, Batch, Rows
from mrdl.data.schema import Schema
from mrdl.data.tables.words import Words
from mrdl.data.tokenizer import SMALL, Tokenizer


@dataclass(frozen=True, kw_only=True)
class Corpus(Schema):
    """Text, one stream of all files; a row is the ids of a sequence's steps and the one after them."""
    kind = "corpus"
    by_content = True
    counts: list                # bytes of text in each file
    heads: list                 # bytes before it
    unit: str                   # char | word
    vocabulary: list = field(default_factory=list)

    def stream(self) -> corpus.Stream:
        """The files, one after another."""
        return corpus.Stream(self.files, self.counts, self.heads)

    def only(self, numbers: list[int]) -> "Corpus":
        return self

    def decides(self) -> list:
        return [self.unit, self.shape, self.vocabulary]

    def classes(self) -> int:
        return len(self.vocabulary)

    def spans(self) -> list[tuple[tuple[int, int, int], int]]:
        """Of bytes of the stream: all files are file 0."""
        return [((0, start, stop), stop - start) for start, stop in corpus.ranges(sum(self.counts))]

    def read(self, rows: Rows, lines: Iterable[bytes]) -> Iterator[Batch]:
        tokenizer = Tokenizer(self.unit, self.vocabulary)
        for line in lines:
            _, start, stop = map(int, line.split(b"\t"))
            part = corpus.Range(self.stream(), start, stop, self.unit)
            ids, own = part.ids(tokenizer)
            rows.tokens += own
            rows.unknown += own - int(np.count_nonzero(ids[:own]))
            rows.content += int.from_bytes(part.content.digest(), "big")
            rows.characters += part.characters
            if part.bad:
                rows.bad[corpus.NOT_UTF_8] += part.bad
                rows.samples = sorted([*rows.samples, *({**each, "file": self.name_of(each["file"])} for each in part.samples)], key=sample_order)[:SAMPLES]
            if 1 < len(ids) <= self.shape[0]:
                rows.short = smallest([rows.short, [own, part.start]])
            yield Batch.of(b"s" + sequence.astype(tokenizer.dtype.newbyteorder("<")).tobytes() + place.to_bytes(PLACE, "little")
                           for place, sequence in enumerate(corpus.cut(ids, self.shape[0]), part.start))

    def unpacked(self, rows: Words, dtype: np.dtype) -> dict[str, np.ndarray]:
        ids = np.frombuffer(b"".join(row[1:] for row in rows), "u1" if len(self.vocabulary) <= SMALL else "<u2")
        ids = ids.reshape(len(rows), -1)
        return {"x": ids[:, :-1], "y": ids[:, 1:]}

    def described(self, facts: dict) -> dict[str, Any]:
        return {"text": {"unit": self.unit, "vocabulary": self.vocabulary},
                "unknown": {"count": facts["unknown"], "of": facts["tokens"]}, "table": None}
