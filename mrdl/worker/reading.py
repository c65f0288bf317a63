"""Reads a mapper's blocks ahead, and checks that they belong to their shard and are in order."""
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from mrdl.data.blocks import Block, BlockError, unpack
from mrdl.data.reference import expanded
from mrdl.rounds.plan import name


class Reading:
    """Parses lines to blocks, checks that these belong to their shard and are in order, and remembers the position."""

    def __init__(self, lines: Iterator[bytes]):
        self.lines, self.last = self._placed(lines), None
        self.file, self.line = "", 0            # the position in the input
        self.seen = "", 0                       # the position of `last`

    def __iter__(self) -> "Reading":
        return self

    def _placed(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        """The block lines, of a reference those that it stands for; keeps the position in the input."""
        for line in lines:
            file = os.environ.get("mapreduce_map_input_file", "").removeprefix("file://")
            self.file, self.line = file, self.line + 1 if file == self.file else 1
            yield from expanded([line])

    def __next__(self) -> Block:
        line, last = next(self.lines), self.last
        block = unpack(line)
        follows = last and (last.dataset, last.shard) == (block.dataset, block.shard)
        if block.index != (last.index + 1 if follows else 0):
            raise BlockError(f"shard {name(block.dataset, block.shard)}: block {block.index} comes "
                             f"{f'after block {last.index}' if follows else 'first'}; a mapper "
                             "must get its whole shard, in order")
        if block.before != (last.seal if follows else ""):
            raise BlockError(f"shard {name(block.dataset, block.shard)}: block {block.index} does not continue the block "
                             "before it: the file is a mixture of several files")
        self.last, self.seen = block, (self.file, self.line)
        return block

    def where(self) -> str:
        last, line = self.last, (self.file, self.line)
        at = f"{self.file or 'the input'}, line {self.line}" if self.line else "no block"
        return f"shard {name(last.dataset, last.shard)}, block {last.index} ({at})" if last and self.seen == line else at


def whole(reading: Iterable[Block], seals: dict[str, str]) -> Iterator[Block]:
    """Passes the blocks (or Rows) on; BlockError if a shard's last block is not the one that data.json records."""
    last = None

    def ended() -> None:
        shard = last and name(last.dataset, last.shard)
        if last and seals.get(shard, last.seal) != last.seal:
            raise BlockError(f"shard {shard} does not match data.json: "
                             "blocks at its end are missing, or it belongs to another dataset")

    for block in reading:
        if last and (last.dataset, last.shard) != (block.dataset, block.shard):
            ended()
        yield block
        last = block
    ended()


def ahead(items: Iterator, waited: Callable[[float], None]) -> Iterator:
    """Passes the items on. A thread makes them, one item ahead; its errors are raised here."""
    ready: queue.Queue = queue.Queue(maxsize=1)
    done, left = object(), threading.Event()

    def produce():
        try:
            for item in items:
                ready.put((item, None))
                if left.is_set():
                    return
            ready.put((done, None))
        except BaseException as error:  # noqa: BLE001 - raised in the consumer's thread
            ready.put((done, error))

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while True:
            began = time.perf_counter()
            item, error = ready.get()
            waited(time.perf_counter() - began)
            if error:
                raise error
            if item is done:
                return
            yield item
    finally:                                    # wait for the thread, as no two threads may read `items` at once
        left.set()
        while thread.is_alive():
            with suppress(queue.Empty):
                ready.get(timeout=0.01)
