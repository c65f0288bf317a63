"""Columns of words: fields in a buffer, numbers with signs, and known words found among them."""
import numpy as np
import pytest

from mrdl.data.tables.words import Lookup, Notation, Words


def test_fields_of_a_buffer():
    words = Words(b"abcdef", np.array([0, 1, 3, 6]), np.array([1, 3, 3, 6]))
    assert list(words) == [b"a", b"bc", b"", b""] and words[1] == b"bc" and len(words) == 4
    assert list(words.take(np.array([1, 0]))) == [b"bc", b"a"]
    assert list(words.take(np.array([False, True, False, True]))) == [b"bc", b""]
    assert list(Words.of(["ä", b"\xff", "\udcff"])) == ["ä".encode(), b"\xff", b"\xff"]
    assert len(Words.of([])) == 0


@pytest.mark.parametrize("known, many", [(0, 10), (1, 10), (3, 1000), (500, 5000)])
def test_known_words_are_found_and_no_others(known, many):
    rng = np.random.default_rng(0)
    words = [f"word {i}" for i in range(known)]
    asked = [f"word {i}" for i in rng.integers(0, 2 * known + 1, many)]
    found = Lookup(Words.of(words)).find(Words.of(asked))
    assert found.tolist() == [words.index(word) if word in words else -1 for word in asked]
    assert Lookup(Words.of(words)).find(Words.of([])).tolist() == []


def alike(*words):
    """Words that have one hash."""
    made = Words.of(words)
    made.__dict__["hashes"] = np.full(len(words), 2 ** 64 - 1, "u8")
    return made


def test_words_of_one_hash_are_not_one_word():
    assert Lookup(alike("a")).find(alike("b", "a")).tolist() == [-1, 0]


@pytest.mark.parametrize("sign, words, numbers", [
    ("$", ["$5", "-$5", "$-5", "5$", "- 5", "$", "$ 1.5", "7", ""], [5, -5, -5, 5, None, None, 1.5, 7, None]),
    ("€", ["1.5 €", "€1.5", "-€2", "€€3", "€"], [1.5, 1.5, -2, None, None]),
    ("kg", ["12kg", "12 kg", "12 k", "kg"], [12, 12, None, None])])
def test_a_sign_stands_before_or_after_a_number(sign, words, numbers):
    column = Words.of(words)
    found, codes = column.numbers(Notation(sign=sign))
    assert [None if code else number for number, code in zip(found.tolist(), codes.tolist())] == numbers
    assert list(column) == [word.encode() for word in words]            # as before
    for nothing in ([], [""]):
        assert Words.of(nothing).numbers(Notation(sign=sign))[1].tolist() == [1] * len(nothing)


def test_marks_of_numbers():
    words = Words.of(["1.234,5", "1,5", "12", "1.2.3"])
    assert words.numbers(Notation(",", "."))[0][:3].tolist() == [1234.5, 1.5, 12]
    assert words.numbers(Notation(",", "."))[1].astype(bool).tolist() == [False, False, False, True]
