"""Which rows are held out: equal ones together, so that none is both trained on and scored; or those of a group together.

Each distinct row (or group) is held out by its hash alone, in one pass and flat memory. That gives about the share that was asked
for where there are many; where there are few they are counted meanwhile, and a second pass holds out the best choice. To keep the
shares of classes, each class has a bound of its own for the hashes: where the first pass missed the share of one of them, it knows how
the hashes of each lie, and a second pass has better bounds."""
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import numpy as np

from mrdl.data.binned import Binned

FEW = 1000                      # distinct rows, up to which they are counted and chosen
NEAR = 0.25                     # of what was asked: a share that is further away is mended or told
CHANCE = 4                      # standard deviations that chance may make it differ by
CLASSES = 256                   # whose shares can be kept
EXACT = 0.01                    # of what was asked: how far the share of a class may be away
SPREAD = 1024                   # bins of a class's hashes
REACH = 4                       # times the share that was asked for, up to which hashes are counted
LATER = 4096                    # hashes that are counted at once


class HoldOut:
    """Decides, row by row; counts how often each distinct one occurs, while they are few.

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
        self.chosen = None if chosen is None or self.bounds else set(chosen)
        first = share > 0 and chosen is None
        self.counts: dict[str, int] | None = {} if first and not stratify else None
        self.strata: dict[bytes, Stratum] | None = {} if first and stratify else None
        self.stratify, self.reach = stratify, min(1.0, REACH * share)

    def takes(self, row: bytes, label: bytes) -> bool:
        """Whether a row of a class is held out; `row` is the group where rows are in groups."""
        digest = blake2b(row, digest_size=8, salt=self.salt).digest()
        if self.chosen is not None:
            return digest.hex() in self.chosen
        code = int.from_bytes(digest, "big")
        if self.stratify:
            if self.strata is not None:
                self._counted(label, code)
            return code < self.bounds.get(label, self.cut)
        if self.counts is not None:
            name = digest.hex()
            self.counts[name] = self.counts.get(name, 0) + 1
            if len(self.counts) > FEW:
                self.counts = None
        return code < self.cut

    def _counted(self, label: bytes, code: int) -> None:
        stratum = self.strata.get(label)
        if stratum is None:
            if len(self.strata) == CLASSES:
                self.strata = None
                return
            stratum = self.strata[label] = Stratum()
        stratum.add(code, code < self.cut, self.reach)

    def dump(self) -> dict[str, Any]:
        """What was counted, for JSON."""
        strata = self.strata and {label.hex(): each.dump() for label, each in self.strata.items()}
        return {"distinct": self.counts, "strata": strata}


class Stratum:
    """The rows of a class: how many, how many are held out, and how the hashes of those lie that might be."""

    def __init__(self):
        self.rows = self.held = 0
        self.hashes = Binned(1, SPREAD)
        self._later: list[int] = []

    def add(self, code: int, held: bool, reach: float) -> None:
        self.rows += 1
        self.held += held
        if code < reach * 2**64:
            self._later.append(code >> 1)       # below 2^63
            if len(self._later) == LATER:
                self._settle()

    def _settle(self) -> None:
        if self._later:
            self.hashes.add(np.array(self._later, "i8"), np.ones((1, len(self._later)), "i8"))
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


def told(share: float, held: int, total: int, distinct: int | None, grouped: bool = False) -> list[str]:
    """For the user: where the share that is held out is not what was asked for, and why."""
    wanted = share * total
    if not share or held and abs(held - wanted) <= max(NEAR * wanted, CHANCE * wanted ** 0.5):
        return []
    if grouped:
        why = "rows of a group are held out together, and " + (f"there are only {distinct} groups" if distinct else "some groups are very large")
    else:
        why = "equal rows are held out together, and " + (f"only {distinct} of the rows differ" if distinct else "some rows occur very often")
    return [f"warning: {held:,} of {total:,} rows ({100 * held / total:.3g} %) are held out, and {100 * share:.3g} % were asked for: {why}"]
