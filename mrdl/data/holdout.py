"""Which rows are held out: equal ones together, so that none is both trained on and scored; or those of a group together.

Each distinct row (or group) is held out by its hash alone, in one pass and flat memory. That gives about the share that was asked
for where there are many; where there are few they are counted meanwhile, and a second pass holds out the best choice. To keep the
shares of classes, each class has a bound of its own for the hashes: where the first pass missed the share of one of them, it knows how
the hashes of each lie, and a second pass has better bounds."""
from collections import Counter
from collections.abc import Iterable
from math import ceil
from typing import Any

import numpy as np

from mrdl.data.binned import Binned
from mrdl.data.hashing import blake2b
from mrdl.data.tables.words import Words

REPEATED = 10                   # times that each distinct row is there, from which the rows held out tell little
FEW = 1000                      # distinct rows, up to which they are counted and chosen
NEAR = 0.25                     # of what was asked: a share that is further away is mended or told
CHANCE = 4                      # standard deviations that chance may make it differ by
RARE = 5                        # and those that the share of a class may differ by
TOLD = 3                        # classes that are told of
CLASSES = 256                   # whose shares can be kept
EXACT = 0.01                    # of what was asked: how far the share of a class may be away
SPREAD = 1024                   # bins of a class's hashes
REACH = 4                       # times the share that was asked for, up to which hashes are counted
LATER = 4096                    # hashes that are counted at once


class HoldOut:
    """Decides, many rows at once; counts how often each distinct one occurs, while they are few.

    Args:
        share: of the rows, which is asked for.
        seed: of the hashes.
        chosen: of the first pass None; the hashes of the rows to hold out, or by class the bound below which they are.
        stratify: whether the shares of classes are kept.

    Attributes:
        counts: how often each distinct row came; None: that is not asked, or they are not few."""

    def __init__(self, share: float, seed: int, chosen: list[str] | dict[str, int] | None, stratify: bool = False):
        self.salt, self.cut = seed.to_bytes(8, "little"), int(share * 2**64)
        self.bounds = {bytes.fromhex(label): bound for label, bound in chosen.items()} if isinstance(chosen, dict) else {}
        self.chosen = None if chosen is None or self.bounds else np.array([int(name, 16) for name in chosen], "u8")
        first = share > 0 and chosen is None
        self.counts: dict[str, int] | None = {} if first and not stratify else None
        self.strata: dict[bytes, Stratum] | None = {} if first and stratify else None
        self.stratify, self.reach = stratify, ceil(min(1.0, REACH * share) * 2**64)

    def takes(self, rows: Words, labels: np.ndarray) -> np.ndarray:
        """bool[n]: which rows are held out; instead of rows in groups, the groups. `labels`: uint64[n], the bits of their classes."""
        hashes = blake2b(rows, self.salt)
        if self.chosen is not None:
            return np.isin(hashes, self.chosen)
        if self.stratify:
            return self._of_classes(hashes, labels)
        if self.counts is not None:
            distinct, counts = np.unique(hashes, return_counts=True)
            for name, count in zip(distinct[:FEW + 1].tolist(), counts.tolist()):
                name = f"{name:016x}"
                self.counts[name] = self.counts.get(name, 0) + count
            if len(self.counts) > FEW:
                self.counts = None
        return below(hashes, self.cut)

    def _of_classes(self, hashes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        held = np.empty(len(hashes), bool)
        distinct, which = np.unique(labels, return_inverse=True)
        for k, label in enumerate(map(np.ndarray.tobytes, distinct[:, None])):
            own = which == k
            if self.strata is not None:
                stratum = self.strata.setdefault(label, Stratum())
                stratum.add(hashes[own], self.cut, self.reach)
                if len(self.strata) > CLASSES:
                    self.strata = None
            held[own] = below(hashes[own], self.bounds.get(label, self.cut))
        return held

    def dump(self) -> dict[str, Any]:
        """What was counted, for JSON."""
        strata = self.strata and {label.hex(): each.dump() for label, each in self.strata.items()}
        return {"distinct": self.counts, "strata": strata}


class Stratum:
    """The rows of a class: how many, how many are held out, and how the hashes of those lie that might be."""

    def __init__(self):
        self.rows = self.held = 0
        self.hashes = Binned(1, SPREAD)
        self._later: list[np.ndarray] = []

    def add(self, hashes: np.ndarray, cut: int, reach: int) -> None:
        self.rows += len(hashes)
        self.held += int(below(hashes, cut).sum())
        self._later.append((hashes[below(hashes, reach)] >> np.uint64(1)).astype("i8"))       # below 2^63
        if sum(map(len, self._later)) > LATER:
            self._settle()

    def _settle(self) -> None:
        later = np.concatenate([np.empty(0, "i8"), *self._later])
        if len(later):
            self.hashes.add(later, np.ones((1, len(later)), "i8"))
        self._later = []

    def dump(self) -> list:
        self._settle()
        return [self.rows, self.held, self.hashes.dump()]

    def merge(self, facts: list) -> None:
        """More rows, as `dump` says them."""
        self.rows, self.held = self.rows + facts[0], self.held + facts[1]
        self.hashes.merge(Binned(1, SPREAD).load(facts[2]))

    def bound(self, share: float) -> int:
        """Below which the hashes are that come nearest to the share; a row at least stays."""
        sizes = np.concatenate([[0], self.hashes.counts[0].cumsum()])
        sizes = sizes[sizes < self.rows]
        best = int(np.abs(sizes - share * self.rows).argmin())
        return 0 if not best else int(self.hashes.bins[best - 1]) + 1 << self.hashes.dropped + 1


def below(hashes: np.ndarray, bound: int) -> np.ndarray:
    """bool[n]: which are below a bound of 0 to 2^64."""
    return hashes <= np.uint64(bound - 1) if bound else np.zeros(len(hashes), bool)


def together(counts: Iterable[dict[str, int] | None]) -> dict[str, int] | None:
    """How often each distinct row occurs in all splits; None where they are not few."""
    found: Counter = Counter()
    for some in counts:
        if some is None:
            return None
        found.update(some)
        if len(found) > FEW:
            return None
    return dict(found)


def joined(parts: Iterable[dict[str, list] | None]) -> dict[str, list] | None:
    """The classes of all splits, as HoldOut.dump says them; None where there are too many, or they were not counted."""
    found: dict[str, Stratum] = {}
    for part in parts:
        if part is None:
            return None
        for label, facts in part.items():
            found.setdefault(label, Stratum()).merge(facts)
        if len(found) > CLASSES:
            return None
    return {label: each.dump() for label, each in sorted(found.items())}


def bounds(share: float, strata: dict[str, list] | None) -> dict[str, int] | None:
    """By class the bound of hashes that keeps its share; None where all shares are near enough as they are, or nothing is known."""
    if not strata or all(abs(held - share * rows) <= max(EXACT * share * rows, 0.5) and held < rows for rows, held, _ in strata.values()):
        return None
    found = {}
    for label, facts in strata.items():
        stratum = Stratum()
        stratum.merge(facts)
        found[label] = stratum.bound(share)
    return found


def better(share: float, held: int, total: int, counts: dict[str, int] | None) -> list[str] | None:
    """The distinct rows to hold out instead, where `held` of `total` rows are far from `share`; None: nothing is better.

    Taken in the order of their hashes, while that comes nearer to the share; of the distinct rows at most twice the
    share, so that a row that makes up most of the data does not drive all others out of the training."""
    wanted, found, size = share * total, [], 0
    if counts is None or near(share, held, total):
        return None
    most = min(max(1, 2 * share * len(counts)), len(counts) - 1)
    for name, count in sorted(counts.items()):
        if len(found) + 1 <= most and count < 2 * (wanted - size):
            found.append(name)
            size += count
    return found if abs(size - wanted) < abs(held - wanted) else None


def near(share: float, held: int, total: int) -> bool:
    return abs(held - share * total) <= max(NEAR * share * total, 0.5)


def told(share: float, held: int, total: int, distinct: int | None, grouped: bool = False, stratified: bool = False) -> list[str]:
    """For the user: where the share that is held out is not what was asked for, and why."""
    wanted = share * total
    if not share or held and abs(held - wanted) <= max(NEAR * wanted, CHANCE * wanted ** 0.5):
        if grouped or not share or not distinct or REPEATED * distinct > total:
            return []
        return [(f"warning: only {distinct:,} of the {total:,} rows differ, and equal ones are held out together: a score on those held "
                 "out tells of a few kinds of rows that training never sees, not of rows like those it sees")]
    if stratified:
        why = "a row of each class stays at least, and some classes have very few rows, or few that differ"
    elif grouped:
        why = "rows of a group are held out together, and " + (f"there are only {distinct} groups" if distinct else "some groups are very large")
    else:
        why = "equal rows are held out together, and " + (f"only {distinct} of the rows differ" if distinct else "some rows occur very often")
    return [f"warning: {held:,} of {total:,} rows ({100 * held / total:.3g} %) are held out, and {100 * share:.3g} % were asked for: {why}"]


def told_of_classes(share: float, classes: dict[str, tuple[int, int]], grouped: bool, stratified: bool) -> list[str]:
    """For the user: of which classes other shares are held out than of all rows, and what helps. `classes`: by their names how
    many rows are trained on, and how many are held out."""
    shares = {name: held / (train + held) for name, (train, held) in classes.items() if train + held}
    rows, out = (sum(sides) for sides in zip(*classes.values())) if classes else (0, 0)
    if not out or not any(_odd(out / (rows + out), *classes[name]) for name in shares):
        return []
    some = sorted(shares, key=lambda name: -abs(shares[name] - share))[:TOLD]
    helps = "" if grouped else " --stratify may keep shares of classes nearer;" * (not stratified) + (
        " --group COLUMN of one that numbers the rows holds out each by itself, equal ones too")
    return [f"warning: of class {', of '.join(f'{name!r} {100 * shares[name]:.3g} %' for name in some)} are held out, and {100 * share:.3g} % "
            f"were asked for, as {'rows of a group' if grouped else 'equal rows'} are held out together" + f";{helps}" * bool(helps)]


def _odd(share: float, train: int, held: int) -> bool:
    """Whether chance alone does not explain how many rows of a class are held out, or all of them are."""
    wanted = share * (train + held)
    return not train or abs(held - wanted) > max(NEAR * wanted, RARE * (wanted * (1 - share)) ** 0.5)
