"""A thousand workers, simulated: what it costs to merge what they send.

    python benchmarks/workers.py reduce [--plot FILE.png]    the reducer of a plain round
    python benchmarks/workers.py resident                    the driver and workers of a resident round of 64 workers
    python benchmarks/workers.py broadcast                   coding and decoding the state that workers are given, and what it means for 100 nodes

reduce: the job's own reducer, in a process of its own, reads the partial lines of W workers for P parameters from a pipe, as it does after the
shuffle. Lines are made once and written again and again, so that making them costs nothing. Printed: the reducer's seconds of CPU, of
which a line through the origin is drawn through the largest case, and its largest memory use.

resident: the real exchange of the driver asks 64 workers, which leave answers that were made before, by the real meeting. Where the
answers are more than the driver merges itself, the workers' real merging is run for one worker after the other, and the slowest counts.

broadcast: states of SGD and of Adam are coded as the driver does (it also decodes what it sends), and read as a worker does. From the bytes
follow the seconds in which 100 nodes fetch a state of 100 million parameters from 3 replicas, over links of 10 and of 1 Gbit/s.
"""
import argparse
import binascii
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from mrdl.codings import BFloat16, Float16, Int8
from mrdl.driver.exchanges.resident import ResidentExchange
from mrdl.driver.schedule import chunk_keys
from mrdl.rounds.broadcast import broadcast
from mrdl.rounds.meeting import Meeting, Result
from mrdl.rounds.partial import CHUNK, PartialProtocol, pieces, ranges
from mrdl.rounds.plan import Plan, name
from mrdl.rounds.state import State
from mrdl.runners.cluster import Cluster
from mrdl.storage.local import Local
from mrdl.worker.cache import Shelf
from mrdl.worker.resident import Resident

NODES, REPLICAS, LARGE = 100, 3, 100_000_000        # what the broadcast is computed for
LINK = 1.17e9                   # bytes a second that files take over 10 Gbit/s
WORKERS, PARAMETERS = (62, 125, 250, 500, 1000), (CHUNK, 2 * CHUNK, 4 * CHUNK, 8 * CHUNK)
START = 0                       # workers of the case that shows what the process itself costs
REDUCER = [sys.executable, "-m", "mrdl.jobs.train", "--reducer", "--state", "none", "--plan", "none"]


@dataclass
class Cost:
    """What one reducer needed."""
    workers: int
    parameters: int
    seconds: float              # of CPU
    megabytes: float            # its largest memory use
    bytes: int                  # that it read


def reduced(workers: int, parameters: int) -> Cost:
    """Runs the reducer over the lines of so many workers; checks the means that it writes."""
    values = np.random.default_rng(0).standard_normal(parameters).astype("<f4")
    keys = chunk_keys(parameters, 1)
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(REDUCER, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.DEVNULL)
        count = 0
        for key, (start, stop) in zip(keys, ranges(parameters, keys)) if workers else ():
            text = binascii.b2a_base64(values[start:stop])          # with the line's end
            for worker in range(workers):
                head = b"%s\t%06d\t%012d\t" % (key.encode(), worker, 1000 + worker % 7)
                child.stdin.write(head)
                child.stdin.write(text)
                count += len(head) + len(text)
        child.stdin.close()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        out.seek(0)
        merged = [PartialProtocol().read(line.rstrip(b"\n"))[1] for line in out]
    assert all(part.worker == workers for part in merged) and (not workers or np.allclose(
        np.concatenate([part.values for part in merged]), values, rtol=1e-6))
    return Cost(workers, parameters, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, count)


def reduce(plot: str | None) -> None:
    bare = reduced(START, CHUNK)
    print(f"a reducer without input: {bare.seconds:.2f} s, {bare.megabytes:.0f} MB")
    cases = [(workers, 2 * CHUNK) for workers in WORKERS] + [(250, parameters) for parameters in PARAMETERS if parameters != 2 * CHUNK]
    found = []
    for workers, parameters in [*cases, (1000, 8 * CHUNK)]:
        cost = reduced(workers, parameters)
        found.append(cost)
        rate = cost.bytes / (cost.seconds - bare.seconds) / 1e6
        print(f"{workers:5} workers  {parameters:10,} parameters  {cost.seconds:6.2f} s  {cost.megabytes:5.0f} MB  {rate:5.0f} MB/s", flush=True)
    if plot:
        drawn(found, bare, plot)


def drawn(found: list[Cost], bare: Cost, path: str) -> None:
    from matplotlib.figure import Figure
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    by_workers = sorted((cost for cost in found if cost.parameters == 2 * CHUNK), key=lambda cost: cost.workers)
    by_size = sorted((cost for cost in found if cost.workers == 250), key=lambda cost: cost.parameters)
    panels = figure.subplots(1, 3)
    for panel, costs, key, title in ((panels[0], by_workers, "workers", f"{2 * CHUNK:,} parameters"), (panels[1], by_size, "parameters", "250 workers")):
        largest = costs[-1]
        x = np.array([0, getattr(largest, key)])
        panel.plot(x, bare.seconds + x / x[1] * (largest.seconds - bare.seconds), color="0.7", zorder=0)
        panel.plot([getattr(cost, key) for cost in costs], [cost.seconds for cost in costs], "o")
        panel.set(title=title, xlabel=key, ylabel="seconds of CPU of the reducer", ylim=(0, None))
    panels[2].plot([cost.workers for cost in by_workers], [cost.megabytes for cost in by_workers], "o-")
    panels[2].set(title=f"{2 * CHUNK:,} parameters", xlabel="workers", ylabel="largest memory of the reducer, MB", ylim=(0, 1.3 * by_workers[-1].megabytes))
    figure.savefig(path, dpi=110)
    print(f"picture: {path}")


class Alive:
    """Stands for the job, which is not there."""

    def check(self) -> None:
        """It runs."""

    def cancel(self) -> None:
        """There is nothing to end."""


class Workers(threading.Thread):
    """Answers every question for all workers: leaves their values, then merges the chunks that each of them has to."""

    def __init__(self, meeting, workers: int, values: np.ndarray):
        super().__init__(daemon=True)
        self.meeting, self.workers, self.values, self.merging = meeting, workers, values, []

    def run(self):
        for number in range(1, 1 << 30):
            while (asked := self.meeting.asked(number)) is None:
                time.sleep(0.001)
            for place in range(self.workers):
                self.meeting.leave(number, place, Result(place, 100 + place), [self.values])
            spent = [0.0]
            for place, mine in sorted((int(place), mine) for place, mine in asked["merge"].items()):
                worker = Resident(self.meeting, Shelf(), lambda text: None, 60, lambda *more: None)
                worker.place, worker.number = place, number
                worker.pauses = {"results": [0.0]}
                began = time.thread_time()
                worker._merge(asked, *mine)
                spent.append(time.thread_time() - began)
            self.merging.append(max(spent))


class Timed(Meeting):
    """Adds up what reading answers takes, which threads of the driver do."""
    spent = 0.0

    def read(self, *which):
        began = time.thread_time()
        try:
            return super().read(*which)
        finally:
            self.spent += time.thread_time() - began


def resident(workers: int = 64, rounds: int = 5) -> None:
    for parameters in (540_000, 4_000_000, 16_000_000):
        values = np.random.default_rng(0).standard_normal(parameters).astype("<f4")
        with Cluster("local", cores=1) as cluster, tempfile.TemporaryDirectory() as folder:
            state = State(values.copy(), parameters)
            path = os.path.join(folder, "state-000000.safetensors")
            Path(path).write_bytes(state.dump())
            shards = [(name("d", shard), os.path.join(folder, f"{shard:05d}")) for shard in range(workers)]
            exchange = ResidentExchange(cluster, workers, shards, "always", print)
            exchange.begin(folder, lambda: None)
            exchange.meeting = Timed(exchange.meeting.store.url)
            exchange.meeting.begin(*exchange.setup)
            exchange.job = Alive()
            simulated = Workers(Meeting(exchange.meeting.store.url), workers, values)
            simulated.start()
            asked = Plan("", 1, 0, 0, 1, 32, 0, chunk_keys(parameters, workers), train={shard: place for place, (shard, _) in enumerate(shards)})
            spent = []
            for _ in range(rounds):
                began, exchange.meeting.spent = time.thread_time(), 0.0
                merged = exchange._answered(state, path, lambda: None, asked, [[path] for _, path in shards], parameters, values.dtype)
                spent.append((time.thread_time() - began, exchange.meeting.spent))
                assert merged.workers == workers and np.allclose(merged.vector, values, rtol=1e-6)
            exchange.close(False)
        driver, reading = (1000 * min(column) for column in zip(*spent))
        by = f"workers merge: the slowest {1000 * min(simulated.merging[:rounds]):.0f} ms" if any(simulated.merging) else "the driver merges"
        print(f"{workers} workers, {parameters:,} parameters, {pieces(parameters)} chunks; CPU a round: the driver {driver:.0f} ms, its reading threads "
              f"{reading:.0f} ms; {by}", flush=True)


def broadcasts(parameters: int = 4 * CHUNK) -> None:
    rng = np.random.default_rng(0)
    weight = SimpleNamespace(size=parameters, trainable=True, frozen=False)
    for updater, slots in (("SGD", 0), ("Adam", 2)):
        vector = rng.standard_normal(parameters * (1 + slots)).astype("f4")
        for kind in (None, Float16(), BFloat16(), Int8()):
            state = State(vector.copy(), parameters)
            spent = []
            for _ in range(3):
                began = time.thread_time()
                sent = kind and broadcast(state, [(None, weight, 0)], kind, 0, Local("."))
                data = (sent or state).dump()
                made = time.thread_time()
                read = State.parse(data, "state")
                spent.append((made - began, time.thread_time() - made))
                assert np.array_equal(read.vector, sent.state.vector if sent else vector)
            each = len(data) / parameters
            driver, worker = (1e9 * min(column) / parameters for column in zip(*spent))
            seconds = NODES / REPLICAS * each * LARGE / LINK
            print(f"{updater:4} {kind or 'float32'!s:8} {each:6.2f} bytes a weight  driver {driver:5.1f} ns, worker {worker:5.1f} ns a weight; "
                  f"{NODES} nodes fetch {LARGE:,} parameters in {seconds:4.1f} s ({10 * seconds:.0f})", flush=True)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("what", choices=("reduce", "resident", "broadcast"))
    p.add_argument("--plot", metavar="FILE")
    a = p.parse_args()
    reduce(a.plot) if a.what == "reduce" else resident() if a.what == "resident" else broadcasts()
