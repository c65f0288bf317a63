"""The tasks of a job on Spark. Part r of the output comes from reducer r, or from mapper r if there are no reducers.

Spark places tasks, shuffles and sorts. This module reads and writes the files, because Spark's text files go through
Java strings, which change bytes that are not UTF-8; and it partitions keys, so that reducer r gets the same keys as on
Hadoop. mrdl.runners.spark.runner submits it."""
import os
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

from mrdl.runners.partitioning import partition
from mrdl.runners.splits import Split, lines_between
from mrdl.runners.streaming import Job
from mrdl.storage.paths import opened
from mrdl.storage.schemes import store_at


@dataclass(frozen=True)
class SparkJob:
    """The description of a job for spark-submit; its methods run in Spark's tasks."""
    job: str                # the job class, as module.name
    args: list[str]
    splits: list[Split]
    output: str
    reducers: int           # 0: the job's output is that of its mappers
    sort_values: bool

    def run(self) -> None:
        from pyspark import SparkContext
        with SparkContext() as spark:
            lines = spark.parallelize(self.splits, max(1, len(self.splits))
                                      ).mapPartitionsWithIndex(self.mapped)
            if self.reducers:
                lines = lines.keyBy(self.key).repartitionAndSortWithinPartitions(
                    self.reducers, self.reducer).values().mapPartitionsWithIndex(self.reduced)
            lines.mapPartitionsWithIndex(self.written).count()

    def mapped(self, number: int, splits: Iterable[Split]) -> Iterator[bytes]:
        for split in splits:
            _tell(*split[0][:2])
            os.environ["mapreduce_task_partition"] = str(number)
            with _failing(self.named(number, True)):
                yield from self.performed("mapper", _read(split, self.kind.in_pieces))

    def reduced(self, number: int, lines: Iterable[bytes]) -> Iterator[bytes]:
        with _failing(self.named(number, False)):
            yield from self.performed("reducer", lines)

    def named(self, number: int, mapper: bool) -> str:
        """The task's name in messages."""
        read = f" (input {', '.join(path for path, *_ in self.splits[number])})" if mapper else ""
        return f"{'mapper' if mapper else 'reducer'} {number}{read} of {self.job.rpartition('.')[2]}"

    def performed(self, kind: str, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Runs the job's mapper or reducer on the lines; yields its output lines."""
        from pyspark import SparkFiles
        os.chdir(SparkFiles.getRootDirectory())
        job = self.kind(["--step-num=0", f"--{kind}", *self.args])
        read, write = job.pick_protocols(0, kind)
        pairs = (read(job.bare(line)) for line in lines)
        if kind == "reducer":
            yield from (write(*pair) for pair in job.reduce_pairs(pairs))
        elif job.in_pieces:
            yield from (line for pair in job.map_pairs(pairs) for line in write(*pair).split(b"\n"))
        else:
            yield from (write(*pair) for pair in job.map_pairs(pairs))

    @property
    def kind(self) -> type[Job]:
        module, _, name = self.job.rpartition(".")
        return getattr(import_module(module), name)

    def key(self, line: bytes) -> bytes:
        """The key by which a reducer's lines are sorted: the first field; with SORT_VALUES, the first two."""
        return b"\t".join(line.split(b"\t", 2)[:2 if self.sort_values else 1])

    def reducer(self, key: bytes) -> int:
        return partition(key.partition(b"\t")[0], self.reducers, self.sort_values)

    def written(self, number: int, lines: Iterable[bytes]) -> Iterator[int]:
        """Writes part `number` of the output, atomically. A second attempt writes the same bytes."""
        from pyspark import SparkFiles
        with tempfile.NamedTemporaryFile(dir=SparkFiles.getRootDirectory()) as file:
            for line in lines:
                file.write(line)
                file.write(b"\n")
            file.flush()
            store_at(self.output).put(f"part-{number:05d}", file.name)
        yield number


def _tell(path: str, start: int) -> None:
    """Sets the variables in which Hadoop tells a job what it reads."""
    os.environ.update(mapreduce_map_input_file=path if "://" in path else "file://" + path,
                      mapreduce_map_input_start=str(start))


def _read(split: Split, pieces: bool) -> Iterator[bytes]:
    """A mapper's lines; `pieces`: many at a time."""
    for path, start, stop in split:
        _tell(path, start)
        with opened(path) as file:
            yield from lines_between(file, start, stop, pieces)


@contextmanager
def _failing(task: str) -> Iterator[None]:
    """Turns an exception in the job into a text that mrdl.runners.spark.runner finds in Spark's log."""
    try:
        yield
    except (Exception, SystemExit):     # noqa: BLE001 - Spark shows only the text of an exception
        raise RuntimeError(f"{task} failed:\n{traceback.format_exc()}") from None
