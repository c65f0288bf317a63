"""Columns of text: their tokens, the ids or counts of these, and what is made of a column's statistics."""
import itertools
import random
import re

import numpy as np
import pytest
from mrdl.kernels import words as kernel
from mrdl.kernels.reference import words as twin

from mrdl.data.sources import DataError
from mrdl.data.tables.kinds import UNSEEN, Text
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.words import Words

TEXTS = ["The cat, the CAT and the d0g!", "", "NA", "naïve Ärger", "  ", "a", "x-y_z 7", "the"]


def tokenised(module, texts, chars, most=9 ** 9):
    words = Words.of(texts)
    room = int(words.lengths.sum())
    data, edges, (first, last) = np.zeros(room, "u1"), np.empty(len(words) + 1, "i8"), np.zeros((2, room), "i8")
    n = module.tokens(words.data, words.starts, words.stops, chars, most, data, first, last, edges)
    found = [bytes(data[a:b]) for a, b in zip(first[:n], last[:n])]
    return [found[a:b] for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize("chars", [False, True])
def test_the_tokens_are_those_of_the_twin(chars):
    draw = random.Random(3)
    texts = [b"".join(draw.choice([b"a", b"Z", b"9", b" ", b"-", b"\xc3\xa9", b"\xa9", b"\xff", b"\0"]) for _ in range(draw.randrange(12)))
             for _ in range(300)]
    for most in (1, 3, 99):
        assert tokenised(kernel, texts, chars, most) == tokenised(twin, texts, chars, most)
    found = [*"naïve Ärger"] if chars else ["naïve", "Ärger"]
    assert tokenised(kernel, TEXTS, chars)[3] == [token.encode() for token in found]
    with pytest.raises(ValueError, match="tokens: out, first, last"):
        kernel.tokens(b"ab", *np.array([[0], [2]]), True, 9, np.empty(2, "u1"), *np.empty((2, 1), "i8"), np.empty(2, "i8"))


def encoded(kind, texts=TEXTS):
    out = np.full((len(texts), kind.width), 77.0)
    assert set(kind.encode(Words.of(texts), out).tolist()) <= {0, UNSEEN} and len(kind.features("c")) == kind.width
    rows, codes = kind.sparse(Words.of(texts))
    assert (rows.dense("f8") == out).all() and set(codes.tolist()) <= {0, UNSEEN}
    return out.tolist()


def test_texts_of_which_no_token_is_known_are_told():
    words = Words.of(["cat and dog", "dog", "", "NA", "a dog; a cat", "!", "x y z w cat"])
    for more in {}, {"length": 2}, {"encode_as": "counts"}:
        kind = Text(vocabulary=("cat",), **more)
        codes = kind.encode(words, np.empty((len(words), kind.width)))
        assert (codes == kind.sparse(words)[1]).all()
        assert [i for i, code in enumerate(codes) if code == UNSEEN] == ([1, 4, 6] if kind.length == 2 and not more.get("encode_as") else [1])
    assert not Text(hash=3).encode(words, np.empty((len(words), 100))).any()


def test_ids_and_counts():
    known = ["the", "cat", "d0g"]
    kind = Text(vocabulary=tuple(known), length=4)
    for text, row in zip(TEXTS, encoded(kind)):
        found = [] if text == "NA" else re.findall("[^\\W_]+", text.lower())
        assert row == ([known.index(w) + 1 if w in known else 4.0 for w in found] + [0] * 4)[:4]
    assert kind.ids == 5 and kind.told() == "text, ids of its first 4 words, of 3" and kind.features("c")[3] == "c#3"
    kind = Text(vocabulary=tuple(known), encode_as="counts")
    assert encoded(kind)[0] == [3, 2, 1] and kind.features("c") == ["c:the", "c:cat", "c:d0g"] and kind.ids is None
    places = (Words.of(["the", "cat", "and", "d0g"]).hashes >> np.uint64(61)).astype(int)
    assert encoded(Text(hash=3, encode_as="counts"))[0] == np.bincount(places, [3, 2, 1, 1], 8).tolist()
    assert encoded(Text(hash=3, length=2))[0] == [places[0] + 1, places[1] + 1] and Text(hash=3).ids == 9
    assert encoded(Text(vocabulary=("a", "é", " "), unit="char", length=3), ["É Aé", "éaé"]) == [[4, 3, 1], [2, 1, 2]]


def test_what_is_made_of_statistics():
    found = Statistics()
    found.add(Words.of(["to be or not"] * 18 + ["To go", "to be " * 300, "", "NA"]))
    kind = Text.made(found)
    assert kind.vocabulary == ("to", "be", "not", "or") and kind.length == 4
    assert Text.made(found, length=9, hash=5) == Text(hash=5, length=9)
    assert Text.made(found, encode_as="counts").hash == 12 and Text.made(found, unit="char").vocabulary[:3] == (" ", "o", "t")
    other = Statistics()
    other.add(Words.of(["- !", "..."]))
    with pytest.raises(DataError, match="it has no words"):
        Text.made(other)
    assert Text.made(other, unit="char").vocabulary == (".",) and Text.made(Statistics(), hash=4).length == 100
