"""What a mapper of a round does: blocks in; out come its partials and records, from them alone."""
import os
import queue
import resource
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from itertools import groupby
from pathlib import Path

import numpy as np

from mrdl import advice, metrics, moments, partial, seeds
from mrdl.blocks import Block, BlockError, unpack
from mrdl.partial import RECORD, Partial
from mrdl.plan import Plan, identity, name
from mrdl.record import Described, Failed, Scored, Trained, facts
from mrdl.saving import model_from_json
from mrdl.state import State, profile
from mrdl.trainer import WINDOW, Arrays, Scorer, minibatches
from mrdl.truncated import learner_for
from mrdl.variances import Variances

Emitted = Iterator[tuple[str, Partial]]


def work(lines: Iterable[bytes], state: str, plan: str) -> Emitted:
    """The partials of the one shard to train, or the scores of those to score.

    An I/O or memory error fails the task, and Hadoop tries it again."""
    lines = iter(lines)
    yield from answer(Reading(lines), lambda: (State.load(state), Plan.parse(Path(plan).read_bytes())))
    for _ in lines:                             # Hadoop breaks the pipe of a mapper that leaves
        pass


def answer(reading: "Reading", asked: Callable[[], tuple[State, Plan]]) -> Emitted:
    """What one mapper makes of the blocks that it reads, for the state and the plan that are asked for.

    A deterministic failure becomes a record, alike on all runners."""
    began = time.perf_counter()
    try:
        given, wanted = asked()
        trained = None
        for shard, own in groupby(whole(reading, wanted.seals), lambda b: name(b.dataset, b.shard)):
            if shard in wanted.train:
                if trained:
                    raise BlockError(f"one mapper got shards {trained} and {shard}; "
                                     "one shard must be one split")
                trained = shard
                yield from _train(own, shard, given, wanted, began)
            elif shard in wanted.score:
                yield (_describe if wanted.describe else _score)(own, shard, given, wanted)
            else:
                raise BlockError(f"shard {shard} has no part in this round")
    except (OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - reported with its traceback; the driver refuses the round
        yield RECORD, Partial(0, 0, facts(Failed(type(error).__name__, str(error), reading.where(), traceback.format_exc())))


class Reading:
    """The blocks of lines, checked to be each shard's own and in order; knows where it is."""

    def __init__(self, lines: Iterator[bytes]):
        self.lines, self.last = lines, None
        self.file, self.line = "", 0            # where in the input
        self.seen = "", 0                       # and where `last` was

    def __iter__(self) -> "Reading":
        return self

    def __next__(self) -> Block:
        line, last = next(self.lines), self.last
        file = os.environ.get("mapreduce_map_input_file", "").removeprefix("file://")
        self.file, self.line = file, self.line + 1 if file == self.file else 1
        block = unpack(line)
        follows = last and (last.dataset, last.shard) == (block.dataset, block.shard)
        if block.index != (last.index + 1 if follows else 0):
            raise BlockError(f"shard {name(block.dataset, block.shard)}: block {block.index} comes "
                             f"{f'after block {last.index}' if follows else 'first'}; a mapper "
                             "must see its shard whole and in order")
        if block.before != (last.seal if follows else ""):
            raise BlockError(f"shard {name(block.dataset, block.shard)}: block {block.index} does not follow on the one "
                             "before it: the file was put together from several")
        self.last, self.seen = block, (self.file, self.line)
        return block

    def where(self) -> str:
        last, line = self.last, (self.file, self.line)
        at = f"{self.file or 'the input'}, line {self.line}" if self.line else "no block"
        return f"shard {name(last.dataset, last.shard)}, block {last.index} ({at})" if last and self.seen == line else at


def whole(reading: Iterable[Block], seals: dict[str, str]) -> Iterator[Block]:
    """The same blocks, or rows of them; BlockError where a shard ends otherwise than data.json says."""
    last = None

    def ended() -> None:
        shard = last and name(last.dataset, last.shard)
        if last and seals.get(shard, last.seal) != last.seal:
            raise BlockError(f"shard {shard} is not as data.json says: blocks at its end are missing, or it is another's")

    for block in reading:
        if last and (last.dataset, last.shard) != (block.dataset, block.shard):
            ended()
        yield block
        last = block
    ended()


def windows(blocks: Iterator[Block], wanted: range) -> Iterator[tuple[int, Arrays | None]]:
    """(rows, arrays) of each window; arrays only where a row of it is wanted."""
    row = 0
    for _, group in groupby(blocks, lambda b: b.index // WINDOW):
        group = list(group)
        n = sum(block.n for block in group)
        arrays = None
        if row < wanted.stop and row + n > wanted.start:
            parts = [block.arrays() for block in group]
            arrays = parts[0] if len(parts) == 1 else {
                key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
        yield n, arrays
        row += n


def ahead(items: Iterator, waited: Callable[[float], None]) -> Iterator:
    """The same items, made by a thread of their own, one ahead; its errors are raised here."""
    ready: queue.Queue = queue.Queue(maxsize=1)
    done, left = object(), threading.Event()

    def produce():
        try:
            for item in items:
                ready.put((item, None))
                if left.is_set():
                    return
            ready.put((done, None))
        except BaseException as error:  # noqa: BLE001 - raised where the items are used
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
    finally:                                    # nobody else may read `items` while it does
        left.set()
        while thread.is_alive():
            with suppress(queue.Empty):
                ready.get(timeout=0.01)


def _train(blocks: Iterator[Block], shard: str, given: State, asked: Plan, began: float) -> Emitted:
    model = model_from_json(asked.spec)
    vector = given.vector                       # ours alone: the file was read for this task
    variances, of = Variances(vector, asked.moments), identity(asked, given)
    learner = learner_for(model, given.weights, given.slots, batch_size=asked.batch_size,
                          iterations=given.iterations, rate_scale=given.rate_scale,
                          class_weight=asked.class_weight, **asked.sequences)
    started, waits = time.perf_counter(), []
    key = seeds.key(asked.seed, "dropout", asked.epoch, shard_number(shard))
    stop = 1 << 62 if asked.count is None else (asked.first + asked.count) * asked.batch_size
    present, targets = 0, {}

    def counted(ready):
        nonlocal present
        for n, arrays in ready:
            present += n
            if arrays is not None:
                metrics.add(targets, advice.targets(model, arrays, asked.class_weight))
            yield n, arrays

    n, wanted = 0, range(asked.first * asked.batch_size, stop)
    with closing(ahead(windows(blocks, wanted), waits.append)) as ready:
        for number, arrays, index in minibatches(counted(ready), asked.batch_size, asked.seed,
                                                 asked.epoch, shard_number(shard), asked.first,
                                                 asked.count, learner.length_of):
            learner.step(arrays, index, key, number)
            n += len(index)
    trained = time.perf_counter()
    worker = asked.train[shard]
    if not n:
        return
    variances.widen(vector)
    values = vector if asked.save_updater else given.weights
    for chunk, (start, end) in zip(asked.keys, partial.ranges(len(values), asked.keys)):
        yield chunk, Partial(worker, learner.terms, values[start:end])
    read = sum(waits)
    yield RECORD, Partial(worker, learner.terms, facts(Trained(
        shard, asked.round, of, n, learner.terms, present, learner.updates, metrics.plain(learner.sums), metrics.plain(targets),
        profile(), _peak(), {"start": started - began, "read": read, "compute": trained - started - read,
                             "emit": time.perf_counter() - trained})))


def _score(blocks: Iterator[Block], shard: str, given: State, asked: Plan) -> tuple[str, Partial]:
    began = time.perf_counter()
    model, targets, n = model_from_json(asked.spec), {}, 0
    scorer = Scorer(model, given.weights)
    for block in blocks:
        scorer.add(arrays := block.arrays())
        metrics.add(targets, advice.targets(model, arrays))
        n += block.n
    return RECORD, Partial(0, n, facts(Scored(shard, n, metrics.plain(scorer.sums), metrics.plain(targets), profile(),
                                              {"score": time.perf_counter() - began})))


def _describe(blocks: Iterator[Block], shard: str, given: State, asked: Plan) -> tuple[str, Partial]:
    n = 0

    def counted() -> Iterator[tuple[int, Arrays | None]]:
        nonlocal n
        for rows, arrays in windows(blocks, range(1 << 62)):
            n += rows
            yield rows, arrays
    found = moments.pooled(model_from_json(asked.spec), given.weights, asked.describe, asked.batch_size, counted())
    return RECORD, Partial(0, n, facts(Described(
        shard, n, [[m.n, *(array.tolist() for array in m[1:])] for m in found], profile())))


def _peak() -> int:
    """Bytes of memory that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def shard_number(shard: str) -> int:
    """The shard's place in its dataset: what its random streams are keyed by."""
    return int(shard.rsplit("/", 1)[1])


def predictions(lines: Iterable[bytes], state: str, plan: str, probabilities: bool = False) -> Iterator[bytes]:
    """CSV of each example: its targets where it has them, the class where there is one, the outputs; of a model that
    classifies places each one's likeliest class, then their probabilities, unless all `probabilities` are wanted."""
    reading = Reading(iter(lines))
    try:
        yield from _predicted(reading, State.load(state), Plan.parse(Path(plan).read_bytes()), probabilities)
    except BlockError as error:
        raise BlockError(f"{reading.where()}: {error}; prepare the dataset again") from None


def _predicted(reading: Reading, given: State, asked: Plan, probabilities: bool) -> Iterator[bytes]:
    model = model_from_json(asked.spec)
    model.weights = given.weights
    for block in whole(reading, asked.seals):
        arrays = block.arrays()
        found = model.predict(arrays["x"])
        columns = [arrays["y"].reshape(block.n, -1)] if "y" in arrays else []
        if model.classifies_places and not probabilities:
            columns.append(found.argmax(-1).reshape(block.n, -1))
            found = found.max(-1)
        outputs = np.concatenate([y.reshape(block.n, -1) for y in (found if isinstance(found, list) else [found])], 1)
        if model.classifies:
            columns.append(outputs.argmax(1)[:, None])
        for row in zip(*(c.tolist() for c in columns), outputs.tolist()):
            yield ",".join(_shown(value) for part in row for value in part).encode()


def _shown(value: float) -> str:
    """A number in a line of CSV: a whole one with all its digits, as it may be an id."""
    whole = isinstance(value, int) or value.is_integer() and abs(value) < 2**53
    return str(int(value)) if whole else format(value, ".8g")
