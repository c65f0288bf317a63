"""Which rows are held out: equal ones together, so that none is both trained on and scored.

Each distinct row is held out by its hash alone, in one pass and flat memory. That gives about the share that was asked
for where there are many; where there are few they are counted meanwhile, and a second pass holds out the best choice."""
from collections.abc import Iterable
from hashlib import blake2b

FEW = 1000                      # distinct rows, up to which they are counted and chosen
NEAR = 0.25                     # of what was asked: a share that is further away is mended or told
CHANCE = 4                      # standard deviations that chance may make it differ by


class HoldOut:
    """Decides, row by row; counts how often each distinct one occurs, while they are few."""

    def __init__(self, share: float, seed: int, chosen: list[str] | None):
        self.salt, self.cut = seed.to_bytes(8, "little"), int(share * 2**64)
        self.chosen = None if chosen is None else set(chosen)
        self.counts: dict[str, int] | None = {} if share and chosen is None else None

    def __contains__(self, row: bytes) -> bool:
        digest = blake2b(row, digest_size=8, salt=self.salt).digest()
        if self.chosen is not None:
            return digest.hex() in self.chosen
        if self.counts is not None:
            name = digest.hex()
            self.counts[name] = self.counts.get(name, 0) + 1
            if len(self.counts) > FEW:
                self.counts = None
        return int.from_bytes(digest, "big") < self.cut


def together(counts: Iterable[dict[str, int] | None]) -> dict[str, int] | None:
    """How often each distinct row occurs in all splits; None where they are not few."""
    found: dict[str, int] = {}
    for some in counts:
        if some is None:
            return None
        for name, count in some.items():
            found[name] = found.get(name, 0) + count
        if len(found) > FEW:
            return None
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


def told(share: float, held: int, total: int, distinct: int | None) -> list[str]:
    """For the user: where the share that is held out is not what was asked for, and why."""
    wanted = share * total
    if not share or held and abs(held - wanted) <= max(NEAR * wanted, CHANCE * wanted ** 0.5):
        return []
    few = f"only {distinct} of the rows differ" if distinct else "some rows occur very often"
    return [f"warning: {held:,} of {total:,} rows ({100 * held / total:.3g} %) are held out, and {100 * share:.3g} % were "
            + f"asked for: equal rows are held out together, and {few}"]
