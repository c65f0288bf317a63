"""Text to ids and back, by a vocabulary: id 0 stands for what it lacks."""
import re

import numpy as np

UNKNOWN = "[UNK]"
UNITS = ("char", "word")
WORD = re.compile(r"\w+|[^\w\s]|\n")
SMALL = 256                             # entries up to which an id is one byte
MOST = 1 << 16


class Tokenizer:
    """`vocabulary` begins with [UNK]; its entries are characters ("char"), or words, marks and new lines ("word")."""

    def __init__(self, unit: str, vocabulary: list[str]):
        self.unit, self.vocabulary = unit, vocabulary
        self.dtype = np.dtype("u1" if len(vocabulary) <= SMALL else "u2")
        if unit == "char":
            self.table = np.zeros(0x110000, self.dtype)         # by code point
            for i, character in enumerate(vocabulary[1:], 1):
                self.table[ord(character)] = i
        else:
            self.ids = {word: i for i, word in enumerate(vocabulary) if i}

    def split(self, text: str) -> list[str]:
        return list(text) if self.unit == "char" else WORD.findall(text)

    def encode(self, text: str) -> np.ndarray:
        """The ids of the text's tokens, 0 for unknown ones."""
        if self.unit == "char":
            return self.table[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")]
        return np.array([self.ids.get(word, 0) for word in WORD.findall(text)], self.dtype)

    def decode(self, ids: np.ndarray) -> str:
        """The text; between words there is one space, before closing and after opening marks and around new lines none."""
        tokens = [self.vocabulary[i] for i in ids]
        if self.unit == "char":
            return "".join(tokens)
        text = " ".join(tokens)
        return re.sub(r" ?\n ?", "\n", re.sub(r"([(\[{]) ", r"\1", re.sub(r" ([^\w\s(\[{])", r"\1", text)))
