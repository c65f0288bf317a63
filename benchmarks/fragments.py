"""A network that is larger than its workers' memory, in fragments: every task has a limit of address space (ulimit -v).

    python benchmarks/fragments.py [--hidden 4096 4096 4096 4096 4096] [--fragments 4] [--limit 400] [--rounds 3] [--whole]
    hadoop-conf/cluster exec .venv/bin/python benchmarks/fragments.py -r hadoop --hidden 4096 4096 4096 --limit 384

By the command line: prepare digits (examples/digits.csv.gz), train with held-out rows scored in each round, evaluate and
predict. Printed for each: seconds, and the most memory that the driver and any task had. Then the bytes that a worker
read and sent, beside those of the whole network. With --whole, first what becomes of plain averaging under the limit.
On Hadoop the limit is that of YARN's containers, in which a JVM is too; the run itself stays on this machine.
"""
import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import mrdl
from mrdl.cli import main as command_line
from mrdl.layers import BatchNormalization, Dense, Input, Rescaling
from mrdl.runners.local.forkserver import ForkServer
from mrdl.runs.run import Run
from mrdl.storage.schemes import store_at

DIGITS = Path(__file__).parents[1] / "examples" / "digits.csv.gz"
MB = 1 << 20


def limited(megabytes: int, command: list[str]) -> int:
    """mrdl's command line, whose tasks all have the limit: they inherit it from the process that forks them."""
    launch, size = ForkServer._launch, megabytes * MB

    def launched(server):
        launch(server)
        resource.prlimit(server.process.pid, resource.RLIMIT_AS, (size, size))
    ForkServer._launch = launched
    return command_line(command)


class Watch(threading.Thread):
    """Looks at a command's processes, and at the files of fragments in the run's folder, until it has ended."""

    def __init__(self, pid: int, run: Path):
        super().__init__(daemon=True)
        self.pid, self.run_folder, self.peaks, self.spaces, self.files = pid, run, {}, {}, 0

    def run(self) -> None:
        while True:
            parents = {}
            for stat in Path("/proc").glob("[0-9]*/stat"):
                try:
                    parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue
            if self.pid not in parents:
                return
            for pid in parents:
                above = pid
                while above > 1 and above != self.pid:
                    above = parents.get(above, 0)
                if above == self.pid:
                    self._seen(pid)
            try:
                self.files = max([self.files, *(file.stat().st_size for file in self.run_folder.glob("fragment-*"))])
            except OSError:
                pass
            time.sleep(0.02)

    def _seen(self, pid: int) -> None:
        try:
            lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            self.peaks[pid], self.spaces[pid] = (int(lines[name].split()[0]) >> 10 for name in ("VmHWM", "VmPeak"))
        except (OSError, KeyError):
            pass


def done(limit: int, runner: str, run: Path, *command: str) -> Watch:
    """Runs a command under the limit and says what it took."""
    began = time.monotonic()
    command = (*command, "-r", runner, *["-D", f"mapreduce.map.memory.mb={limit}"] * (runner == "hadoop"))
    process = subprocess.Popen([sys.executable, __file__, "--limit", str(limit), "--command", *command], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    watch = Watch(process.pid, run)
    watch.start()
    said, _ = process.communicate()
    watch.join()
    tasks = [pid for pid in watch.peaks if pid != process.pid]
    print(f"{command[0]}: status {process.returncode}, {time.monotonic() - began:.1f} s, memory in MB: driver {watch.peaks.get(process.pid, 0)}, "
          f"largest task {max((watch.peaks[pid] for pid in tasks), default=0)}, address space of a task "
          f"{max((watch.spaces[pid] for pid in tasks), default=0)} of {limit}", flush=True)
    print("   ", "\n    ".join(said.strip().splitlines()[-4:]), flush=True)
    return watch


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--hidden", type=int, nargs="+", default=[4096] * 5)
    p.add_argument("--fragments", type=int, default=4)
    p.add_argument("--limit", type=int, default=400, help="MB of address space that a task may have")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--whole", action="store_true")
    p.add_argument("-r", "--runner", choices=("local", "hadoop"), default="local")
    p.add_argument("--command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.command:
        return limited(a.limit, a.command)
    with tempfile.TemporaryDirectory() as name, ExitStack() as after:
        folder = Path(name)
        model = mrdl.Sequential([Input(64), Rescaling(1 / 16)])
        for units in a.hidden:
            model.add(Dense(units, "relu"))
            model.add(BatchNormalization())
        model.add(Dense(10, "softmax"))
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        (folder / "model.json").write_text(model.to_json())
        state = model.count_params() * 4 * (1 + model.optimizer.slots)
        print(f"{model.count_params():,} parameters: {model.count_params() * 4 / MB:.0f} MB of weights, {state / MB:.0f} MB with Adam's state; "
              f"each task has at most {a.limit} MB of address space")
        data, run = str(folder / "data") if a.runner == "local" else f"hdfs:///tmp/fragments-{os.getpid()}", folder / "run"
        train = ("train", str(folder / "model.json"), data, str(run), "--batch-size", "32", "--averaging-frequency", "10",
                 "--rounds", str(a.rounds), "--validation-freq", "1", *["--resident", "never"] * (a.runner == "hadoop"))
        mrdl.prepare(str(DIGITS), str(folder / "data"), label="label", shards=a.fragments, hold_out=0.2)
        if a.runner == "hadoop":
            near, far = store_at(str(folder / "data")), store_at(data)
            after.callback(far.clear, "")
            for name in near.list():
                far.put(name, near.path(name))
        if a.whole:
            done(a.limit, a.runner, folder / "whole", *train[:3], str(folder / "whole"), *train[4:], "--workers", str(a.fragments))
        watch = done(a.limit, a.runner, run, *train, "--fragments", str(a.fragments))
        done(a.limit, a.runner, run, "evaluate", str(run), data)
        done(a.limit, a.runner, run, "predict", str(run), data, str(folder / "out"))
        history = Run(str(run)).history()
        for line in history if a.runner == "hadoop" else ():
            print(f"round {line['round']}: a mapper with its JVM {line['job']['map_memory'] / MB:.0f} MB (Python {line['job']['worker_memory'] / MB:.0f}), "
                  f"a reducer {line['job']['reduce_memory'] / MB:.0f}")
        sent = history[-1]["bytes"] / history[-1]["workers"]
        print(f"a worker reads {watch.files / MB:.1f} of {state / MB:.0f} MB and sends {sent * 4 / 3 / MB:.1f} of {state * 4 / 3 / MB:.0f} MB (base64); "
              f"held-out accuracy {[round(line['val_accuracy'], 3) for line in history]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
