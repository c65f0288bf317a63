"""Plain Python twins of kernels/tally.pyx, with the same names and arguments."""
import math
import re
from collections import Counter

import numpy as np
from mrdl.kernels import tally, words
from mrdl.kernels.reference import words as twin
from mrdl.kernels.reference.words import NAME, _words


class Tally:
    def __init__(self, most, size):
        self.most, self.room, self.level = most, size, 0
        self.entries = {}               # hash -> [word, count, low, high]

    def __len__(self):
        return len(self.entries)

    @property
    def size(self):
        return sum(len(entry[0]) for entry in self.entries.values())

    def add(self, data, starts, stops, hashes, codes=None, labels=None):
        labels = [None] * len(hashes) if labels is None else [int(label) >> 32 for label in labels]
        for i, word in enumerate(_words(data, starts, stops)):
            if codes is None or codes[i] != tally.GONE:
                self._count(int(hashes[i]), word, 1, 2 ** 32 - 1 if labels[i] is None else labels[i], labels[i] or 0)

    def merge(self, level, data, starts, stops, hashes, counts, low, high):
        self.level = max(self.level, level)
        self._leave()
        for i, word in enumerate(_words(data, starts, stops)):
            self._count(int(hashes[i]), word, int(counts[i]), int(low[i]), int(high[i]))

    def _count(self, value, word, count, low, high):
        if value % 2 ** self.level == 0:
            old = self.entries.get(value, [word, 0, low, high])
            self.entries[value] = [min(old[0], word), old[1] + count, min(old[2], low), max(old[3], high)]
        while (len(self) > self.most or self.size > self.room) and self.level < 64:
            self.level += 1
            self._leave()

    def _leave(self):
        self.entries = {value: entry for value, entry in self.entries.items() if value % 2 ** self.level == 0}

    def copy(self, hashes, counts, low, high, ends, out):
        entries = list(self.entries.values())
        hashes[:] = list(self.entries)
        counts[:], low[:], high[:] = ([entry[i] for entry in entries] for i in (1, 2, 3))
        ends[:] = np.cumsum([len(entry[0]) for entry in entries])
        out[:] = list(b"".join(entry[0] for entry in entries))


class Bins:
    def __init__(self, dropped):
        self.dropped, self.counts = dropped, Counter()

    def __len__(self):
        return len(self.counts)

    def add(self, values, codes=None):
        good = [value + 0.0 for i, value in enumerate(values.tolist()) if codes is None or codes[i] == words.GOOD]
        self.counts.update(int(np.float64(value).view("i8")) >> self.dropped for value in good)
        return len(good), sum(value == math.floor(value) for value in good), min(good, default=math.inf), max(good, default=-math.inf)

    def copy(self, keys, counts):
        keys[:], counts[:] = list(self.counts), list(self.counts.values())


def mark(data, starts, stops, hashes, codes, other, ostarts, ostops, ohashes, counts, numbers):
    known, found = list(_words(other, ostarts, ostops)), 0
    for i, word in enumerate(_words(data, starts, stops)):
        if word in known and (codes[i] != words.GOOD or numbers):
            counts[known.index(word)] += 1
            codes[i] = tally.GONE
            found += 1
    return found


def look(data, starts, stops, codes, places):
    there = [(i, word, code) for i, (word, code) in enumerate(zip(_words(data, starts, stops), codes)) if code != tally.GONE]
    dates = [i for i, word, code in there if word[:1].isdigit() and (len(word) == 8 or len(word) > 8 and code != words.GOOD)
             or len(word) >= 10 and (word[-1] <= 57 or word[-1:] == b"Z") and re.match(NAME.encode(), word.lower())]
    places[:len(dates)] = dates
    return (max((len(word) for _, word, _ in there), default=0),
            sum(code == words.GOOD and word[:1] == b"0" and word[1:2].isdigit() for _, word, code in there),
            sum(code == words.FINITE for *_, code in there), len(dates))


def calendar(seconds):
    out = np.empty((6, len(seconds)), "i8")
    twin.calendar(seconds, out)
    return tuple(sum(1 << part for part in {*parts}) for parts in out[1:].tolist())
