"""A large table, from raw files to joined scores, by the command line alone: python benchmarks/large_table.py [--size GB].

The table has an id, 60 columns of numbers, 30 of names and 10 of dates and texts, and a label that depends on some of them;
1 % of the values are missing. It is written as CSV, of whose rows 0.01 % are damaged, and as Parquet. For each form and runner:
mrdl describe, prepare, train auto, evaluate and predict on the raw rows. Printed are the seconds of each command, and the largest
memory of its driver and of any of its tasks, as sampled from /proc. Checked are the counts of bad rows, and that the scores have
every row once, in the order of the input. For `--runners hadoop`, on one machine:

    hadoop-conf/cluster exec .venv/bin/python benchmarks/large_table.py --runners local hadoop"""
import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from tables import DAMAGED, MISSED, VOCABULARIES, WORDS

from mrdl.storage.schemes import store_at

CHUNK = 100_000                 # rows that are made at once
CLASSES = ["high", "low", "middle"]
GONE = 7                        # the field that a damaged row lacks
EVERY = 0.1                     # seconds between two looks at memory
MARK = "MRDL_LARGE_TABLE"       # what the processes of a command on this machine have in their environment
HADOOP = "MRDL_HADOOP"          # and those of the tasks of a cluster on this machine: its folder
LINE = "{:9}{:8}{:10}{:>9}{:>11}{:>9}{:>7}  {}"


def chunk(random: np.random.Generator, first: int, n: int) -> pa.Table:
    """Rows of the table; their ids go on from `first`."""
    numbers = random.normal(size=(60, n)) * (10.0 ** (np.arange(60) % 4 + 1))[:, None]
    names = [np.minimum(random.zipf(1.3, n), size) for size in VOCABULARIES]
    signal = numbers[0] / 10 + numbers[1] / 100 - numbers[2] / 1000 + 2 * (names[0] == 1) - (names[21] == 2) + random.normal(size=n)
    columns: dict[str, pa.Array] = {"id": pa.array(np.arange(first, first + n))}
    columns |= {f"n{i}": pa.array(values.astype("i8") if i % 3 == 0 else values.round(3 + i % 4), mask=lost(random, n)) for i, values in enumerate(numbers)}
    columns |= {f"c{i}": words([f"{'value'[:1 + i % 5]}{k}" for k in range(size + 1)], values, lost(random, n))
                for i, (size, values) in enumerate(zip(VOCABULARIES, names))}
    for i in range(10):
        if i < 7:
            moments = random.integers(0, 20_000, n).astype("M8[D]") if i < 5 else random.integers(0, 1_700_000_000, n).astype("M8[s]")
            columns[f"t{i}"] = pa.array(np.datetime_as_string(moments), mask=lost(random, n))
        else:
            six = [words(WORDS, column, None) for column in random.integers(0, len(WORDS), (6, n))]
            columns[f"t{i}"] = pa.compute.if_else(lost(random, n), None, pa.compute.binary_join_element_wise(*six, " "))
    return pa.table({**columns, "label": words(CLASSES, np.digitize(signal, [-0.5, 1.5]), None)})


def lost(random: np.random.Generator, n: int) -> np.ndarray:
    return random.random(n) < MISSED


def words(known: list[str], indices: np.ndarray, gone: np.ndarray | None) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(indices, mask=gone), known).cast("string")


def damaged(random: np.random.Generator, text: bytes) -> tuple[bytes, int]:
    """The lines, of which some have lost a field, and how many."""
    lines = text.split(b"\n")
    chosen = np.flatnonzero(random.random(len(lines) - 1) < DAMAGED).tolist()
    for i in chosen:
        fields = lines[i].split(b",")
        del fields[GONE]
        lines[i] = b",".join(fields)
    return b"\n".join(lines), len(chosen)


class Made(NamedTuple):
    """Two files with the same rows."""
    csv: Path
    parquet: Path
    rows: int
    bad: int                    # of the CSV


def made(folder: Path, size: float) -> Made:
    """Writes the table; its CSV has about that many bytes."""
    random, rows, bad = np.random.default_rng(0), 0, 0
    place = Made(folder / "table.csv", folder / "table.parquet", 0, 0)
    columns = chunk(random, 0, 1).schema
    with place.csv.open("wb") as file, pyarrow.parquet.ParquetWriter(place.parquet, columns) as parquet:
        file.write(",".join(columns.names).encode() + b"\n")
        while file.tell() < size:
            table, text = chunk(random, rows, CHUNK), io.BytesIO()
            parquet.write_table(table)
            pyarrow.csv.write_csv(table, text, pyarrow.csv.WriteOptions(include_header=False, quoting_style="none"))
            lines, count = damaged(random, text.getvalue())
            file.write(lines)
            rows, bad = rows + CHUNK, bad + count
    return place._replace(rows=rows, bad=bad)


class Watch(threading.Thread):
    """Looks at the memory of a command's driver and of its tasks while it runs: processes on this machine that have the mark of the
    command, or, on Hadoop, the id of an attempt, in their environment."""

    def __init__(self, driver: int, mark: str, hadoop: bool):
        super().__init__()
        self.driver, self.mark, self.hadoop, self.over = str(driver), mark, hadoop, threading.Event()
        self.names: dict[tuple[str, str], str] = {}     # by pid and start: "driver", a task's name, or "" for others
        self.peaks: dict[tuple[str, str], int] = {}     # MB

    def run(self) -> None:
        while not self.over.wait(EVERY):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                with suppress(OSError, IndexError):     # it has ended
                    key = pid, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
                    if key not in self.names:
                        self.names[key] = self.name(pid)
                    if self.names[key]:
                        self.peaks[key] = int(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024

    def name(self, pid: str) -> str:
        found = dict(item.partition("=")[::2] for item in Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0"))
        if pid == self.driver:
            return "driver"
        if self.hadoop:
            return found.get("mapreduce_task_attempt_id", "") if found.get(HADOOP) == os.environ.get(HADOOP) else ""
        return pid if found.get(MARK) == self.mark else ""

    def told(self) -> tuple[int, int, int]:
        """The driver's peak, the largest one of a task, and how many tasks (on this machine processes, which run many) there were."""
        own, tasks = ([peak for key, peak in self.peaks.items() if (self.names[key] == "driver") is is_driver] for is_driver in (True, False))
        return max(own, default=0), max(tasks, default=0), len({*self.names.values()} - {"", "driver"})


class Command:
    """Runs mrdl's commands on a runner, and prints what each took."""

    def __init__(self, form: str, runner: str):
        self.form, self.runner, self.count = form, runner, 0

    def run(self, *args: str) -> tuple[dict, str]:
        """What a command printed as JSON, and its line of the table, without what was checked."""
        self.count += 1
        mark = f"{os.getpid()}-{self.form}-{self.runner}-{self.count}"
        start = time.monotonic()
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen([sys.executable, "-m", "mrdl", *args, "--json", "-r", self.runner], stdout=subprocess.PIPE, stderr=said,
                                       env={**os.environ, MARK: mark})
            watch = Watch(process.pid, mark, self.runner == "hadoop")
            watch.start()
            out = process.communicate()[0]
            watch.over.set()
            watch.join()
            if process.returncode:
                said.seek(0)
                raise SystemExit(f"mrdl {' '.join(args)} ended with {process.returncode}:\n{said.read().decode()[-3000:]}")
        driver, task, count = watch.told()
        return json.loads(out), LINE.format(self.form, self.runner, args[0], f"{time.monotonic() - start:.1f}", driver, task, count, "{}")


def scores(folder: str, rows: int, bad: int) -> str:
    """Checks the scores in the parts of a folder against the input's ids, 0 to `rows` - 1 in this order: each once, but for
    those of bad rows, which have a reason."""
    store, last, found, errors = store_at(folder), -1, 0, 0
    header, *parts = sorted(store.list("part-*"))
    assert store.read(header).startswith(b"id,prediction,"), store.read(header)
    for part in parts:
        with store.open(part) as file:
            for line in file:
                if line.startswith(b","):
                    assert b"wrong field count" in line, line
                    errors += 1
                else:
                    number = int(line.partition(b",")[0])
                    assert number > last, f"row {number} behind row {last}"
                    last, found = number, found + 1
    assert last < rows and (found, errors) == (rows - bad, bad), (last, found, errors, rows, bad)
    return f"{found:,} ids once, in order; {errors:,} rows with a reason"


def measured(path: str, form: str, runner: str, home: str, rows: int, bad: int) -> Iterator[str]:
    """The table's lines of one form of input on one runner."""
    mrdl, schema = Command(form, runner), str(Path(tempfile.gettempdir(), f"schema-{os.getpid()}.json"))
    data, run, out = (f"{home}/{name}" for name in ("data", "run", "scores"))

    def fine(count: int, known: int, more: str = "") -> str:
        assert (count, known) == (bad, rows), f"{count} bad ones of {known} rows; there are {bad} of {rows}"
        return f"{bad:,} of {rows:,} rows bad{more}"

    found, line = mrdl.run("describe", path, "--label", "label", "--id", "id", "--out", schema)
    yield line.format(fine(sum(found["bad"].values()), found["rows"] + sum(found["bad"].values())))
    found, line = mrdl.run("prepare", path, data, "--schema", schema, "--hold-out", "0.1")
    yield line.format(fine(found["bad"], found["rows"] + found["held_out"] + found["bad"], f"; {found['shards']} shards"))
    found, line = mrdl.run("train", "auto", data, run, "--epochs", "1")
    yield line.format(f"{found['rounds']} rounds; held-out accuracy {found['metrics']['val_accuracy']:.4f}")
    found, line = mrdl.run("evaluate", run, path)
    yield line.format(fine(found["bad"], found["rows"], f"; accuracy {found['accuracy']:.4f}, loss {found['loss']:.6f}"))
    found, line = mrdl.run("predict", run, path, out, "--id", "id")
    yield line.format(fine(found["bad"], found["rows"]) + "; " + scores(out, rows, bad))
    os.remove(schema)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=float, default=0.2, help="GB of the CSV")
    parser.add_argument("--forms", nargs="+", choices=("csv", "parquet"), default=["csv", "parquet"])
    parser.add_argument("--runners", nargs="+", choices=("local", "hadoop"), default=["local"])
    parser.add_argument("--folder", help="where files are written; about 6 times the size")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        table = made(Path(folder), args.size * 1e9)
        print(f"{table.rows:,} rows; CSV {table.csv.stat().st_size / 1e6:,.0f} MB, {table.bad:,} rows of it damaged; Parquet "
              f"{table.parquet.stat().st_size / 1e6:,.0f} MB")
        print(LINE.format("input", "runner", "command", "seconds", "driver MB", "task MB", "tasks", "checked"), flush=True)
        for form, runner in product(args.forms, args.runners):
            home = store_at(f"hdfs:///tmp/large-{os.getpid()}" if runner == "hadoop" else f"{folder}/{form}")
            path = str(getattr(table, form))
            try:
                if runner == "hadoop":
                    home.put(name := f"raw/{Path(path).name}", path)
                    path = home.path(name)
                for line in measured(path, form, runner, home.url, table.rows, table.bad if form == "csv" else 0):
                    print(line, flush=True)
            finally:
                home.clear("")


if __name__ == "__main__":
    main()
