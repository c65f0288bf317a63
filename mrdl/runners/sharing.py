"""What shares a mapper, where one may be a JVM: small files, ranges and shards in, hands of them out; in a job's input a hand
is a file that names its files, which the mapper opens itself.

Such a mapper reads over the network. A hand of the largest size is then half a second of a gigabit link, where a mapper for
each of its files, placed on the node that has it, would be 16 JVMs and more, of a second each."""
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mrdl.storage.paths import opened

SMALL = 4 << 20                 # bytes below which an item may share a mapper with others
LEAST = 1 << 20                 # bytes that are worth a task of their own
MOST = 64 << 20                 # bytes that small items make a mapper at most
SHARED = "mrdl-files-"          # begins the name of an input that names files, a line each


def hands_of(items: list, size: Callable[[Any], float], slots: int, most: int = MOST) -> list[list]:
    """Items that follow each other in hands of about the same size: of LEAST bytes, as many as slots or more, and of
    `most` bytes at most where no item is larger."""
    each = min(most, max(LEAST, -(-sum(map(size, items)) // max(slots, 1))))
    hands, held = [], each
    for item in items:
        if held + size(item) > each:
            hands.append([])
            held = 0
        hands[-1].append(item)
        held += size(item)
    return hands


def shared(items: list, size: Callable[[Any], float], slots: Callable[[], int]) -> list[list]:
    """Large items by themselves, then small ones in hands; each by itself where nobody knows how many slots there are."""
    small = [item for item in items if size(item) < SMALL]
    if len(small) < 2 or not (count := slots()):
        return [[item] for item in items]
    return [[item] for item in items if size(item) >= SMALL] + hands_of(small, size, count)


def write(path: str, files: Iterable[str]) -> None:
    """The input that names these files; its own name begins with SHARED."""
    with open(path, "w", encoding="ascii") as file:
        file.writelines(json.dumps(name) + "\n" for name in files)


def lines(names: Iterable[bytes], reads: Callable[[str], None]) -> Iterator[bytes]:
    """The lines of the named files, one after another, each under its name as Hadoop tells it; `reads` hears of each."""
    for path in map(json.loads, names):
        os.environ.update(mapreduce_map_input_file=path, mapreduce_map_input_start="0")
        reads(path)
        with opened(path) as file:
            yield from file
