"""Decides which shards train together, for how many rounds, and which reducer gets which chunk: depends only on data, seed
and options."""
from functools import lru_cache
from itertools import islice

from mrdl import seeds
from mrdl.data.dataset import Shard
from mrdl.data.preparation import BLOCK
from mrdl.printing import counted
from mrdl.rounds.partial import RECORD, pieces
from mrdl.runners import sharing
from mrdl.runners.cluster import Cluster
from mrdl.runners.partitioning import spread
from mrdl.storage.paths import size


def groups(shards: list[Shard], workers: int, seed: int, epoch: int, alone: int = 0, turn: int = 0) -> list[list[Shard]]:
    """The shards in this epoch's order, the first `alone` of them each by itself, the others in groups of `workers`; the last
    group may be smaller. `turn`: by how many places the order is turned."""
    filled = [shard for shard in shards if shard.n]
    order = [filled[i] for i in _order(len(filled), seed, epoch)]
    order = [order[(i + turn) % len(order)] for i in range(len(order))]
    alone = min(max(alone, 0), len(order))
    return [*([shard] for shard in order[:alone]), *(order[i:i + workers] for i in range(alone, len(order), workers))]


@lru_cache(2)                   # many rounds may ask for the groups of an epoch
def _order(n: int, seed: int, epoch: int) -> list[int]:
    return seeds.permutation(n, seed, "groups", epoch).tolist()


def share(shard: Shard, first: int, count: int | None, batch: int) -> int:
    """How many examples a shard has in `count` minibatches, or all (None), from minibatch `first` on."""
    left = max(0, shard.n - first * batch)
    return left if count is None else min(left, count * batch)


def pack(shards: list[Shard], mappers: int) -> list[list[Shard]]:
    """Distributes held-out shards to at most `mappers` mappers, the largest first."""
    hands: list[list[Shard]] = [[] for _ in range(min(mappers, len(shards)))]
    for shard in sorted(shards, key=lambda s: (-s.n, s.path)):
        min(hands, key=lambda hand: sum(s.n for s in hand)).append(shard)
    return hands


def of_shards(shards: list[Shard], cluster: Cluster, written: float = 0) -> list[list[Shard]]:
    """The shards of each mapper of a job that does not train. `written`: bytes that it writes per row. The bytes that it
    reads per row are about the same in all shards, so they are estimated from the largest; where that is a reference to raw
    rows, by its blocks."""
    if not shards:
        return []
    largest = max(shards, key=lambda s: s.n)
    each = max(max(size(largest.path), (largest.blocks - 1) * BLOCK) / max(largest.n, 1), written)
    return sharing.shared(shards, lambda s: s.n * each, cluster.slots)


def tell_shared(cluster: Cluster, mappers: int, shards: int) -> None:
    """Reports the number of tasks if shards share mappers."""
    if mappers < shards:
        cluster.planned(f"planned: {counted(mappers, 'map task')} for {counted(shards, 'shard')}")


def chunk_keys(size: int, reducers: int) -> list[str]:
    """The keys of a vector's chunks in the shuffle, distributed evenly to the reducers; the last key is for the records."""
    return [*_chunk_keys(size, reducers)]


@lru_cache(1)                   # they are the same in all rounds
def _chunk_keys(size: int, reducers: int) -> list[str]:
    return keys_of([size], reducers)[0]


def keys_of(sizes: list[int], reducers: int) -> list[list[str]]:
    """`chunk_keys` of several vectors that are merged in one job."""
    names = [f"{i:06d}" for i in range(sum(map(pieces, sizes)))]
    keys = iter(spread(names, min(reducers, len(names)), sort_values=True))
    return [[*islice(keys, pieces(size)), RECORD] for size in sizes]
