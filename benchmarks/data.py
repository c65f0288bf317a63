"""How fast data goes in: python benchmarks/data.py prints MB/s of blocks decoded and text parsed.

One core; the median of 7 turns, with the rivals of a table taking turns in one process."""
import io
import json
import statistics
import sys
import tempfile
import time
from binascii import a2b_base64
from pathlib import Path

import numpy as np
from mrdl.kernels import text

from mrdl import prepare
from mrdl.data import blocks
from mrdl.data.preparation import Plan
from mrdl.data.readers.delimited import Delimited
from mrdl.data.rows import Rows
from mrdl.data.tables.kinds import Label, Numeric
from mrdl.data.tables.table import Table
from mrdl.runners.cluster import Cluster
from mrdl.runners.mrjob_imports import protocol
from mrdl.runners.streaming import Job

TURNS = 7


class Decode(Job):
    """A mapper that takes each line apart and emits nothing."""
    INPUT_PROTOCOL = protocol.BytesValueProtocol

    def map_pairs(self, pairs, step_num=0):
        for _, line in pairs:
            self.decode(line)
        yield from ()

    mapper = map_pairs


class Base64(Decode):
    def decode(self, line):
        a2b_base64(line)


class Kernel(Decode):
    def decode(self, line):
        text.decode64(line, np.empty(len(line) * 3 // 4, "u1"))


class Blocks(Decode):
    def decode(self, line):
        blocks.unpack(line).arrays()


def mapper(job: type, lines: bytes):
    job(["--mapper"]).sandbox(stdin=io.BytesIO(lines), stdout=io.BytesIO()).run_mapper()


def compare(title: str, size: int, rivals: dict) -> dict[str, float]:
    """MB/s of each, and as a multiple of the first."""
    seconds = {name: [] for name in rivals}
    for _ in range(TURNS):
        for name, run in rivals.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    rates = {name: size / statistics.median(times) / 1e6 for name, times in seconds.items()}
    first = next(iter(rates.values()))
    print(f"\n{title}")
    for name, rate in rates.items():
        print(f"  {name:<52}{rate:8.0f} MB/s {rate / first:7.2f} x")
    return rates


def parse(lines: bytes, columns: int) -> None:
    table = np.empty((lines.count(b"\n"), columns))
    codes = np.empty(len(table), np.intc)
    assert text.parse(lines, ord(","), np.arange(columns, dtype=np.intc), table, codes) == len(table)
    assert not codes.any()


def python(lines: bytes) -> None:
    np.array([list(map(float, line.split(b","))) for line in lines.splitlines()])


def rows(lines: bytes) -> None:
    names = [str(column) for column in range(785)]
    table = Table({name: Label() if name == "0" else Numeric(missing="refuse") for name in names})
    schema = Delimited(files=[], columns=names, shape=[]).by(table)
    plan = Plan(schema, "bench", 0, ["0", "1", "2"], 0, 0.0, "float32", None)
    for _ in Rows(plan).pairs(io.BytesIO(lines).read().splitlines()):
        pass


def main() -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (1300, 784)).astype("u1")
    line = blocks.pack({"x": x, "y": np.zeros(1300, "i4")}, dataset="bench", shard=0, index=0,
                       role="train")
    many = (line + b"\n") * 60
    found = {"blocks": compare(
        "a whole mapper over 60 blocks of 1 MB (of arrays)", 60 * x.nbytes, {
            "only base64 (Python's binascii)": lambda: mapper(Base64, many),
            "only base64 (our kernel)": lambda: mapper(Kernel, many),
            "blocks: header, base64, checksum, arrays": lambda: mapper(Blocks, many)})}

    sparse = x * (random.random(x.shape) < 0.19)
    for title, table, style in [("CSV of 785 integers, mostly 0 (digits)", sparse, "{}"),
                                ("CSV of 785 integers in 0..255", x, "{}"),
                                ("CSV of 785 numbers with 6 decimals", x / 7.3, "{:.6f}")]:
        lines = "".join("0," + ",".join(map(style.format, row)) + "\n"
                        for row in table.tolist()).encode()
        found[title] = compare(title, len(lines), {
            "split and float": lambda lines=lines: python(lines),
            "text.parse": lambda lines=lines: parse(lines, 785),
            "a whole prepare mapper (parse, check, hash, encode)": lambda lines=lines: rows(lines)})

    with tempfile.TemporaryDirectory() as folder, Cluster("local") as cluster:
        path = Path(folder, "in.csv")
        path.write_bytes(lines * 5)
        start = time.perf_counter()
        prepare(path, f"{folder}/data", cluster, label="0")
        rate = path.stat().st_size / (time.perf_counter() - start) / 1e6
        print(f"\nmrdl prepare of {path.stat().st_size / 1e6:.0f} MB of the last, local runner, "
              f"{cluster.cores} cores: {rate:.0f} MB/s")
        found["prepare"] = rate
    if "--json" in sys.argv:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
