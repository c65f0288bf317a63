"""Small files, ranges and shards share a mapper where each mapper costs a JVM. Those that share one are called a hand.
The job's input for a hand is a file that lists the names of its files; the mapper opens these itself.

Such a mapper reads over the network. The largest hand takes half a second on a gigabit link. With one mapper per file, on
the node that holds the file, it would take at least 16 JVMs, each of which takes a second to start."""
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mrdl.storage.paths import opened
from mrdl.storage.pieces import read_pieces

SMALL = 4 << 20                 # bytes; a smaller item may share a mapper with others
LEAST = 1 << 20                 # bytes; less than this is not worth a task of its own
MOST = 64 << 20                 # bytes in a hand, at most
SHARED = "mrdl-files-"          # prefix of the name of an input file that lists other files, one per line


def hands_of(items: list, size: Callable[[Any], float], slots: int, most: int = MOST) -> list[list]:
    """Cuts the list of items into hands of about equal size: about one hand per slot, but with at least LEAST bytes, and
    with at most `most` bytes unless a single item is larger."""
    each = min(most, max(LEAST, -(-sum(map(size, items)) // max(slots, 1))))
    hands, held = [], 0
    for item in items:
        if not hands or held + size(item) > each:
            hands.append([])
            held = 0
        hands[-1].append(item)
        held += size(item)
    return hands


def shared(items: list, size: Callable[[Any], float], slots: Callable[[], int]) -> list[list]:
    """First each large item alone, then hands of small items. If the number of slots is unknown, each item alone."""
    small = [item for item in items if size(item) < SMALL]
    if len(small) < 2 or not (count := slots()):
        return [[item] for item in items]
    return [[item] for item in items if size(item) >= SMALL] + hands_of(small, size, count)


def write(path: str, files: Iterable[str]) -> None:
    """Writes an input file that lists these files; its own name must begin with SHARED."""
    with open(path, "w", encoding="ascii") as file:
        file.writelines(json.dumps(name) + "\n" for name in files)


def lines(names: Iterable[bytes], reads: Callable[[str], None], pieces: bool = False) -> Iterator[bytes]:
    """The lines of the named files, one file after another; `pieces`: many lines at a time. Sets Hadoop's variables to the file being read, and calls
    `reads` with its path."""
    for path in map(json.loads, names):
        os.environ.update(mapreduce_map_input_file=path, mapreduce_map_input_start="0")
        reads(path)
        with opened(path) as file:
            yield from read_pieces(file) if pieces else file
