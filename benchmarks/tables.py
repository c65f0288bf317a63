"""How fast raw tables are read: python benchmarks/tables.py [--size MB] [--kinds mixed] [--peers PYTHON].

Each task is a process of its own, as Hadoop starts it: a mapper whose stdin is the file, a reducer whose stdin is what the
mapper wrote, sorted. Printed are MB of the file for each second of CPU and of wall time, best and median, rows for each second
of CPU, and peak memory; and MB for each second of CPU that a task needs beyond its start, which is its best time for the first
rows alone. `--peers`: a Python with pandas, pyarrow and h2o, whose readers take turns with ours; their imports do not count.
`--jobs`: whole describe and prepare jobs on the local runner too."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.csv
import pyarrow.parquet

import mrdl
from mrdl.data.sniff import sniff
from mrdl.data.survey import Survey
from mrdl.data.tables.asked import Asked
from mrdl.data.tables.inference import infer
from mrdl.data.tables.table import Table
from mrdl.data.tables.words import MISSING
from mrdl.driver.preparation import planning
from mrdl.driver.preparation.tables import counted_here, notations
from mrdl.driver.scoring import state_file
from mrdl.runners.cluster import Cluster
from mrdl.runners.environment import ONE_THREAD
from mrdl.storage.paths import opened

CHUNK = 10_000                  # rows that are made at once
SPANS = "spans"                 # the file that names those of a Parquet
FEW = 100                       # lines that cost little but the start of a task
HEAD = 4 << 20                  # bytes by which the schema is made
MISSED, DAMAGED = 0.01, 0.0001
VOCABULARIES = [5] * 20 + [20] * 8 + [50] * 2
LARGE = [5] * 12 + [50] * 10 + [500] * 6 + [20_000] * 2
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "seven", "wizards", "box", "with", "jugs", "of", "liquor"]


def numeric(random: np.random.Generator, n: int, columns: int = 60) -> tuple[list[str], list[str]]:
    """The header and n rows of numbers: a third whole, the others with 3 to 6 decimals; the last column is one of 3 classes."""
    styles = ["%d" if i % 3 == 0 else f"%.{3 + i % 4}f" for i in range(columns - 1)] + ["%d"]
    values = random.normal(size=(n, columns)) * 10.0 ** (np.arange(columns) % 4 + 1)
    values[:, -1] = random.integers(0, 3, n)
    line = ",".join(styles)
    return [*(f"n{i}" for i in range(columns - 1)), "label"], [line % tuple(row) for row in values.tolist()]


def narrow(random: np.random.Generator, n: int) -> tuple[list[str], list[str]]:
    return numeric(random, n, 5)


def mixed(random: np.random.Generator, n: int, vocabularies: list[int] = VOCABULARIES) -> tuple[list[str], list[str]]:
    """60 columns of numbers, 30 of names, 10 of dates, times or texts; some values are missing, some rows damaged."""
    names, numbers = numeric(random, n)
    columns = [[f"{'value'[:1 + size % 5]}{k}" for k in np.minimum(random.zipf(1.3, n), size).tolist()] for size in vocabularies]
    days = random.integers(0, 20_000, (5, n)).astype("M8[D]")
    times = random.integers(0, 1_700_000_000, (2, n)).astype("M8[s]")
    columns += [day.astype(str).tolist() for day in days] + [time.astype(str).tolist() for time in times]
    columns += [[" ".join(WORDS[i] for i in row) for row in random.integers(0, len(WORDS), (n, 6)).tolist()] for _ in range(3)]
    names = [*names, *(f"c{i}" for i in range(len(vocabularies))), *(f"t{i}" for i in range(10))]
    fields = [[*line.split(","), *row] for line, row in zip(numbers, zip(*columns))]
    rows, places = np.nonzero(random.random((n, len(names))) < MISSED)
    for row, place in zip(rows.tolist(), places.tolist()):
        if place != len(numbers[0].split(",")) - 1:     # not the label
            fields[row][place] = ""
    for row in np.flatnonzero(random.random(n) < DAMAGED).tolist():
        del fields[row][7]
    return names, [",".join(row) for row in fields]


def wide(random: np.random.Generator, n: int) -> tuple[list[str], list[str]]:
    """The same with large vocabularies, which become thousands of features."""
    return mixed(random, n, LARGE)


def nested(random: np.random.Generator, n: int) -> tuple[list[str], list[str]]:
    """JSON lines: 24 numbers, 10 names, 4 times, 2 texts and 2 booleans in objects and arrays; some values are
    not there, and none is damaged, which other readers refuse."""
    numbers = random.normal(size=(n, 24)) * 10.0 ** (np.arange(24) % 4 + 1)
    names = [np.minimum(random.zipf(1.3, n), size).tolist() for size in VOCABULARIES[:6] + VOCABULARIES[-4:]]
    times = random.integers(0, 1_700_000_000, (n, 4)).astype("M8[s]").astype(str).tolist()
    words, yes, gone = random.integers(0, len(WORDS), (n, 8)).tolist(), random.random((n, 2)) < 0.5, random.random((n, 8)) < MISSED * 5
    lines = []
    for i, (x, t, w, b, lost) in enumerate(zip(numbers.round(4).tolist(), times, words, yes.tolist(), gone.tolist())):
        c = [f"value{column[i]}" for column in names]
        row = {"label": i % 3, "user": {"age": int(abs(x[0])), "country": c[0], "name": " ".join(WORDS[k] for k in w[:4]), "new": b[0]},
               "position": x[1:4], "seen": t[0], "tags": c[1:1 + i % 4], "item": {"kind": c[4], "price": x[4], "size": {"w": x[5], "h": x[6]}},
               **{f"measure{k}": x[k] for k in range(7, 24)}, **{f"name{k}": c[k] for k in range(5, 10)}, "sent": t[1], "paid": t[2], "due": t[3],
               "note": "say \"" + " ".join(WORDS[k] for k in w[4:]) + "\"", "gift": b[1]}
        for k in np.flatnonzero(lost).tolist():
            row.pop(("user", "position", "item", "measure7", "measure8", "name5", "paid", "note")[k])
        lines.append(json.dumps(row))
    return [], lines


TABLES = {"numeric": numeric, "mixed": mixed, "narrow": narrow, "wide": wide, "nested": nested, "columnar": mixed}


def written(path: Path, make: Callable, size: int) -> int:
    """Writes a table of that many bytes, those of text too where it is a Parquet; gives its rows."""
    if path.suffix == ".parquet":
        written(text := path.with_suffix(".csv"), make, size)
        table = pyarrow.csv.read_csv(text, parse_options=pyarrow.csv.ParseOptions(invalid_row_handler=lambda row: "skip"))
        with pyarrow.parquet.ParquetWriter(path, table.schema) as file:
            file.write_table(table[:FEW])
            file.write_table(table[FEW:])
        text.unlink()
        return table.num_rows
    rows, random = 0, np.random.default_rng(0)
    with path.open("w", encoding="ascii") as file:
        while file.tell() < size:
            names, lines = make(random, CHUNK)
            if names and not rows:
                file.write(",".join(names) + "\n")
            file.write("\n".join(lines) + "\n")
            rows += len(lines)
    return rows


class Cost(NamedTuple):
    """Of one turn."""
    wall: float                 # seconds
    cpu: float                  # seconds, of all threads
    peak: float                 # MB


class Task(NamedTuple):
    """A process to be timed; stdin and stdout are files."""
    command: list[str]
    stdin: str = os.devnull
    stdout: str = os.devnull
    file: str = ""              # what Hadoop would say that stdin is a split of

    def start(self) -> Cost:
        """Of the first lines alone, or of the first row group."""
        with open(self.stdin, "rb") as file, tempfile.NamedTemporaryFile(suffix=".csv") as begin:
            begin.writelines([b"0\t0\t1\n"] if Path(self.stdin).name == SPANS else islice(file, FEW))
            begin.flush()
            return self._replace(stdin=begin.name, stdout=os.devnull).run()

    def run(self) -> Cost:
        env = {**os.environ, **ONE_THREAD, **({"mapreduce_map_input_file": f"file://{self.file}"} if self.file else {})}
        env.pop("PYTHONDONTWRITEBYTECODE", None)        # nodes get compiled modules
        start = time.perf_counter()
        with open(self.stdin, "rb") as stdin, open(self.stdout, "wb") as stdout, tempfile.TemporaryFile() as log:
            process = subprocess.Popen(self.command, stdin=stdin, stdout=stdout, stderr=log, env=env)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                log.seek(0)
                raise SystemExit(f"{self.command} ended with {process.returncode}:\n{log.read().decode()[-3000:]}")
        return Cost(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def tasks(path: Path, folder: Path, stack: ExitStack) -> dict[str, Task]:
    """The tasks of mrdl over a table, in an order in which each finds what it reads."""
    head, stdin = folder / "head.csv", folder / SPANS
    if path.suffix == ".parquet":
        head = path
    else:
        with opened(str(path)) as file:
            head.write_bytes(b"".join(file.readlines(HEAD)))
    schema = sniff([str(head)])
    stdin.write_bytes(b"" if schema.by_lines else b"".join(b"%d\t%d\t%d\n" % places for places, _ in schema.spans()))
    missing = list(MISSING)
    inferred = infer(counted_here(Survey(schema, "label", missing, notations(schema)))[0], Asked("label"))
    table, whole = Table(inferred.columns), sniff([str(path)])
    Survey(whole, "label", missing, notations(schema)).dump(survey := str(folder / "survey.json"))
    planning.planned(whole.by(table), None, 0.1, 0, "float32", None, False)[0].dump(plan := str(folder / "plan.json"))
    model = mrdl.Sequential([mrdl.layers.Input((len(table.features),)), mrdl.layers.Dense(32, "relu"), mrdl.layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.predict(np.zeros((1, len(table.features)), "f4"))
    state = stack.enter_context(state_file(model, stack.enter_context(Cluster("inline"))))
    asked = folder / "predict.json"
    asked.write_text(json.dumps({"spec": model.to_json(), "schema": whole.by(table).dump(), "classes": ["a", "b", "c"], "kept": [], "loss": False, "types": [],
                                 "format": "csv", "notes": str(folder / "notes")}))
    mapped, sorted_ = str(folder / "mapped"), str(folder / "sorted")

    def task(job: str, kind: str, *args: str, stdin: str = str(path if schema.by_lines else stdin), stdout: str = os.devnull) -> Task:
        return Task([sys.executable, "-m", f"mrdl.jobs.{job}", "--step-num=0", f"--{kind}", *args], stdin, stdout,
                    str(path) if kind == "mapper" else "")

    print(f"  {len(table.features)} features, {len(schema.columns)} columns")
    alone = {} if schema.by_lines else {"the reader alone": Task([sys.executable, "-c", READ, str(path)], str(stdin))}
    return {**alone, "describe: a mapper": task("columns", "mapper", "--survey", survey),
            "prepare: a mapper": task("prepare", "mapper", "--plan", plan, stdout=mapped),
            "prepare: sort": Task(["env", "LC_ALL=C", "sort", "-s", "-t", "\t", "-k1,2", "-S64M", "-T", str(folder), mapped], stdout=sorted_),
            "prepare: a reducer": task("prepare", "reducer", "--plan", plan, stdin=sorted_),
            "predict: a mapper": task("predict_rows", "mapper", "--state", state, "--plan", str(asked))}


#: reads the columns of the spans in its stdin as a mapper does, and makes nothing of them
READ = """
import sys
from mrdl.data.records import Records
from mrdl.data.sniff import sniff
for columns, starts, lines in sniff(sys.argv[1:]).words(Records(sys.argv[1]), sys.stdin.buffer.read().splitlines()):
    for column in columns.values():
        column.numbers() if hasattr(column, "values") else column.starts
"""


def jobs(path: Path, folder: Path) -> dict[str, Task]:
    """Whole jobs on the local runner."""
    table = str(folder / "schema.json")
    run = [sys.executable, "-m", "mrdl"]
    return {"describe on the local runner": Task([*run, "describe", str(path), "--label", "label", "--out", table]),
            "prepare on the local runner": Task(["sh", "-c", 'rm -rf "$1" && shift && exec "$@"', "-", str(folder / "data"), *run, "prepare",
                                                 str(path), str(folder / "data"), "--schema", table])}


PEERS = {
    "pandas.read_csv, C": "import pandas as pd; pd.read_csv(path, on_bad_lines='skip')",
    "pandas.read_csv, pyarrow": "import pandas as pd, pyarrow as pa; pa.set_cpu_count(1); "
                                "pd.read_csv(path, engine='pyarrow', on_bad_lines='skip')",
    "pyarrow.csv.read_csv": "import pyarrow.csv as c; c.read_csv(path, c.ReadOptions(use_threads=False), "
                            "c.ParseOptions(invalid_row_handler=lambda row: 'skip'))",
    "h2o.import_file": "import h2o; h2o.init(nthreads=1, max_mem_size='4g', ip='127.0.0.1', port=54710, bind_to_localhost=True); "
                       "h2o.no_progress(); begin(); h2o.import_file(path, header=1); spent(); h2o.cluster().shutdown()"}
OF_LINES = {
    "pandas.read_json, lines": "import pandas as pd; pd.read_json(path, lines=True)",
    "pandas.read_json, pyarrow": "import pandas as pd, pyarrow as pa; pa.set_cpu_count(1); pd.read_json(path, lines=True, engine='pyarrow')",
    "pyarrow.json.read_json": "import pyarrow.json as j; j.read_json(path, j.ReadOptions(use_threads=False))"}
OF_COLUMNS = {
    "pyarrow, to_pandas": "import pyarrow.parquet as p, pandas; p.read_table(path, use_threads=False, pre_buffer=False).to_pandas(use_threads=False)",
    "pandas.read_parquet": "import pandas as pd, pyarrow as pa; pa.set_cpu_count(1); pd.read_parquet(path)"}
RIVALS = {"nested": OF_LINES, "columnar": OF_COLUMNS}
CODE = """
import os, sys, time
path, start, jvm = sys.argv[1], None, []
def java():
    "Seconds of CPU of this process and of its children that live."
    own = os.times(); total = own.user + own.system
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
            if int(stat[1]) == os.getpid():
                total += (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
                status = open(f"/proc/{pid}/status").read()
                jvm.append(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
        except (OSError, IndexError):
            pass
    return total
def begin():
    global start
    start = time.perf_counter(), java()
def spent():
    import resource
    now = java()
    peak = max([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, *jvm])
    print("COST", time.perf_counter() - start[0], now - start[1], peak, flush=True)
"""


def peer(python: str, code: str, path: Path) -> Cost:
    """One turn of another reader: the reading alone, without imports and starts."""
    if "begin()" not in code:
        imports, _, rest = code.partition("; ")
        code = f"{imports}; begin(); {rest}; spent()"
    done = subprocess.run([python, "-c", CODE + code, str(path)], check=False, env={**os.environ, **ONE_THREAD}, capture_output=True,
                          text=True)
    costs = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("COST")]
    if not costs:
        raise SystemExit(f"{code}\n{done.stdout}{done.stderr[-2000:]}")
    return Cost(*map(float, costs[0]))


def told(name: str, costs: list[Cost], start: float, size: int, rows: int) -> None:
    """`start`: seconds of CPU before the first row."""
    wall, cpu = [cost.wall for cost in costs], [cost.cpu for cost in costs]
    print(f"  {name:<30}{size / (min(cpu) - start) / 1e6:8.0f}{size / min(cpu) / 1e6:8.0f}{size / statistics.median(cpu) / 1e6:8.0f}{size / min(wall) / 1e6:8.0f}"
          f"{size / statistics.median(wall) / 1e6:8.0f}{rows / min(cpu) / 1e3:10.0f}{max(cost.peak for cost in costs):9.0f}", flush=True)


def measured(folder: Path, args: argparse.Namespace) -> Iterator[tuple[str, str, list[Cost]]]:
    for kind in args.kinds:
        path = folder / f"{kind}.{'parquet' if kind == 'columnar' else 'csv'}"
        rows = written(path, TABLES[kind], args.size * 1_000_000)
        size = path.stat().st_size
        print(f"\n{kind}: {size / 1e6:.0f} MB, {rows:,} rows")
        with ExitStack() as stack:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
            (work / "notes").mkdir()
            found = tasks(path, work, stack) | (jobs(path, work) if args.jobs else {})
            rivals = {name: task.run for name, task in found.items() if any(word in name for word in args.only or [""])}
            if args.peers:
                rivals |= {name: partial(peer, args.peers, code, path) for name, code in RIVALS.get(kind, PEERS).items()}
            costs: dict[str, list[Cost]] = {name: [] for name in rivals}
            starts: dict[str, list[float]] = {name: [] for name in rivals}
            for _ in range(args.turns):
                for name, run in rivals.items():
                    costs[name].append(run())
                    if name in found and found[name].stdin != os.devnull:
                        starts[name].append(found[name].start().cpu)
        print(f"  {'MB/s':<30}{'started':>8}{'of CPU':>8}{'median':>8}{'wall':>8}{'median':>8}{'krows/s':>10}{'peak MB':>9}")
        for name, own in costs.items():
            told(name, own, min(starts[name], default=0.0), size, rows)
            yield kind, name, own
        path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=200, help="MB of each table")
    parser.add_argument("--kinds", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--only", nargs="+", help="tasks whose names have one of these words in them")
    parser.add_argument("--peers", help="a Python with pandas, pyarrow and h2o")
    parser.add_argument("--jobs", action="store_true", help="whole jobs on the local runner too")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--folder", help="where the tables are written")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.folder:
        os.makedirs(args.folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        found = list(measured(Path(folder), args))
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
