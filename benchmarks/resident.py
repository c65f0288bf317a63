"""What a resident round costs on Hadoop, beside a plain one and a peer's. Run inside a cluster:

    hadoop-conf/cluster exec .venv/bin/python benchmarks/resident.py rounds [--millions 0.54 10] [--rounds 50]
    hadoop-conf/cluster exec .venv/bin/python benchmarks/resident.py speed [--data digits.npz]
                             [--peer DL4J='env SEED={seed} dl4j-spark/run.sh 2 {f} {epochs}']
                             [--alone H2O='python benchmarks/peer_h2o.py digits.npz --seed {seed} --epochs {epochs}']
                             [--frequencies 5 31] [--seeds 3] [--epochs 10] [--runners hadoop local]
    hadoop-conf/cluster exec .venv/bin/python benchmarks/resident.py namenode [--workers 2 8 64]
    hadoop-conf/cluster exec .venv/bin/python benchmarks/resident.py calls [--workers 1 2 4 6]

rounds: medians over rounds of 2 workers of (commit to commit - the slowest worker's compute), plain and
resident; and the NameNode's operations a round. speed: T1 end to end (784-512-256-10, batch 64) with 2
workers: examples/s of the later half of --epochs and test accuracy, on `-r hadoop` and `-r local`, and
the "rate" and "accuracy" in the JSON line of the command of each --peer (run at each frequency) and --alone
(which has none), in turns; printed are the best rate of --seeds runs, the mean accuracy and its standard error.
namenode: operations a second that so many workers ask for which have next to nothing to do. calls: what
a round asks of the NameNode, by the kind of call, and how often each worker and the driver looked.
"""
import argparse
import itertools
import json
import os
import shlex
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from rounds import network
from scale import wide

import mrdl
from mrdl.driver.exchanges.resident import FEW
from mrdl.optimizers import SGD
from mrdl.rounds.meeting import Meeting, Pauses, Result
from mrdl.runs.run import Run
from mrdl.storage.schemes import store_at

NAMENODE = "http://127.0.0.1:9870/jmx?qry=Hadoop:service=NameNode,name=Rpc{}ForPort8020"
FRESH = 10.5            # seconds after which the NameNode counts anew for who asks


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("what", choices=("rounds", "speed", "namenode", "calls"))
    p.add_argument("--millions", type=float, nargs="+", default=[0.54, 10])
    p.add_argument("--rounds", type=int, default=50)
    p.add_argument("--data", help="arrays x_train, y_train, x_test, y_test; without, random rows")
    p.add_argument("--peer", metavar="NAME=COMMAND", action="append", default=[])
    p.add_argument("--alone", metavar="NAME=COMMAND", action="append", default=[])
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--runners", nargs="+", default=["hadoop", "local"])
    p.add_argument("--frequencies", type=int, nargs="+", default=[5, 31])
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--workers", type=int, nargs="+", default=[2, 8, 64])
    a = p.parse_args()
    home = store_at(f"hdfs:///tmp/resident-{os.getpid()}")
    try:
        with tempfile.TemporaryDirectory() as folder:
            {"rounds": rounds, "speed": speed, "namenode": namenode, "calls": calls}[a.what](a, home, Path(folder))
    finally:
        home.clear("")


def operations():
    """How many calls the NameNode has answered."""
    with urlopen(NAMENODE.format("Activity")) as reply:
        return json.load(reply)["beans"][0]["RpcProcessingTimeNumOps"]


def kinds():
    """How many calls of each kind the NameNode has answered, but what DataNodes tell it unasked."""
    with urlopen(NAMENODE.format("DetailedActivity")) as reply:
        found = json.load(reply)["beans"][0]
    return {name[:-6]: count for name, count in found.items() if name.endswith("NumOps")
            and not name.startswith(("Overall", "(", "SendHeartbeat", "BlockR"))}


def prepared(folder, home, x, y, shards=2):
    """The rows as a dataset, on this machine and on HDFS, in the place of an earlier one."""
    store_at(str(folder / "data")).clear("")
    home.clear("data")
    np.savez(folder / "raw.npz", x=x, y=y)
    mrdl.prepare(str(folder / "raw.npz"), str(folder / "data"), shards=shards)
    near = store_at(str(folder / "data"))
    for name in near.list():
        home.put(f"data/{name}", near.path(name))


def timed(model, data, run, **options):
    """The run, and when each of its rounds was told of."""
    ends = []
    mrdl.ParameterAveraging(workers=2, batch_size=64, **options).fit(
        model, data, run=run,
        told=lambda event, facts: event == "round" and ends.append(time.perf_counter()))
    return Run(run), ends


def rounds(a, home, folder):
    rng = np.random.default_rng(0)
    prepared(folder, home, rng.integers(0, 256, (2600, 784), np.uint8),
             rng.integers(0, 10, 2600).astype(np.uint8))
    print(f"{'parameters':>12}{'rounds':>10}{'round':>9}{'compute':>9}{'beyond':>9}{'worst':>9}{'calls':>8}"
          "   (seconds, medians; calls of the NameNode a round)")
    for millions in a.millions:
        for resident, count in (("never", 7), ("always", a.rounds)):
            model = network() if millions < 1 else wide(millions, SGD(1e-6))
            with mrdl.Cluster("hadoop", jobconf={"mapreduce.map.memory.mb": "1024"}) as cluster:
                before = operations()
                run, ends = timed(model, home.path("data"), home.path(f"{resident}-{millions}"),
                                  rounds=count + 2, averaging_frequency=5, runner=cluster,
                                  resident=resident)
                calls = (operations() - before) / (count + 2)
            model.build((784,))
            seconds = [line["seconds"] for line in run.history()][2:]
            walls = [end - begin for begin, end in itertools.pairwise(ends)][2:]
            beyond = [wall - s["compute"] for wall, s in zip(walls, seconds, strict=True)]
            print(f"{model.count_params():>12,}{'resident' if resident == 'always' else 'plain':>10}"
                  f"{statistics.median(walls):>9.3f}{statistics.median(s['compute'] for s in seconds):>9.3f}"
                  f"{statistics.median(beyond):>9.3f}{max(beyond):>9.3f}{calls:>8.0f}", flush=True)


def speed(a, home, folder):
    if a.data:
        with np.load(a.data) as digits:
            x, y, test = digits["x_train"], digits["y_train"], (digits["x_test"], digits["y_test"])
    else:
        rng = np.random.default_rng(0)
        x, y, test = rng.integers(0, 256, (8000, 784), np.uint8), rng.integers(0, 10, 8000), None
    prepared(folder, home, x, y.astype(np.uint8))
    found: dict[tuple, list] = {}
    for seed in range(a.seeds):
        for peer in a.alone:
            beside(found, peer, None, seed, a.epochs)
        for f in a.frequencies:
            for runner in a.runners:
                model = network()
                place = home if runner == "hadoop" else store_at(str(folder))
                run, ends = timed(model, place.path("data"), place.path(f"{runner}-{f}-{seed}"), epochs=a.epochs,
                                  averaging_frequency=f, runner=runner, resident="always", seed=seed)
                seen = [0, *(line["examples"] for line in run.history())]
                half = len(ends) // 2
                rate = (seen[-1] - seen[half]) / (ends[-1] - ends[half])
                found.setdefault((f, runner), []).append((rate, accuracy(model, test)))
            for peer in a.peer:
                beside(found, peer, f, seed, a.epochs)
        print(f"seed {seed}: " + ", ".join(f"f {f} {name} {values[-1][0]:,.0f}/s {values[-1][1]:.4f}"
                                           for (f, name), values in found.items()), flush=True)
    for (f, name), values in found.items():
        rates, scores = zip(*values)
        error = statistics.stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else float("nan")
        print(f"frequency {f or '':>4} {name:>8}: best {max(rates):>8,.0f} examples/s, accuracy {statistics.mean(scores):.4f} +- {error:.4f}")


def beside(found, peer, f, seed, epochs):
    """Runs a peer's command."""
    name, command = peer.split("=", 1)
    done = subprocess.run(shlex.split(command.format(f=f, seed=seed, epochs=epochs)), capture_output=True, text=True, check=True)
    facts = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"')))
    found.setdefault((f, name), []).append((facts["rate"], facts["accuracy"]))


def accuracy(model, test):
    return float((model.predict(test[0]).argmax(1) == test[1]).mean()) if test else float("nan")


def namenode(a, home, folder):
    """Workers in threads that wait for a question, leave a few numbers, and wait for the next."""
    for workers in a.workers:
        meeting, count = Meeting(home.path(f"meeting-{workers}")), 20
        meeting.begin(workers, [])

        def work(place, url=meeting.store.url, workers=workers, count=count):
            meeting, pauses = Meeting(url), Pauses(workers)
            for number in range(1, count + 1):
                for pause in pauses:
                    if meeting.asked(number):
                        break
                    time.sleep(pause)
                meeting.leave(number, place, Result(place, 1), [np.zeros(10, "f4")])

        threads = [threading.Thread(target=work, args=[place]) for place in range(workers)]
        for thread in threads:
            thread.start()
        before, began, pauses = operations(), time.perf_counter(), Pauses(workers)
        for number in range(1, count + 1):
            meeting.ask(number, {}, round=number)
            for pause in pauses:
                if len(meeting.results(number)) == workers:
                    break
                time.sleep(pause)
            time.sleep(1.0)             # in which the workers only look
            meeting.forget(number - 1)
        for thread in threads:
            thread.join()
        spent = time.perf_counter() - began
        calls = operations() - before
        print(f"{workers:>3} workers: {calls / spent:,.0f} calls of the NameNode a second, {calls / count:,.0f} "
              f"a round of {spent / count:.2f} s", flush=True)


def calls(a, home, folder):
    rng = np.random.default_rng(0)
    for workers in a.workers:
        n = 10_000 * workers
        prepared(folder, home, rng.integers(0, 256, (n, 784), np.uint8),
                 rng.integers(0, 10, n).astype(np.uint8), shards=workers)
        marks: list[tuple] = []

        def told(event, facts, marks=marks):
            last = time.perf_counter() - (marks[-1][0] if marks else 0)
            if event == "round" and facts["round"] > 4 and last > FRESH:
                marks.append((time.perf_counter(), facts["round"], kinds()))
        model = network()
        with mrdl.Cluster("hadoop", jobconf={"mapreduce.map.memory.mb": "512"}) as cluster:
            time.sleep(FRESH)
            mrdl.ParameterAveraging(workers=workers, batch_size=64, averaging_frequency=5, runner=cluster,
                                    resident="always", epochs=100_000, until="time 60s").fit(
                model, home.path("data"), run=home.path(f"calls-{workers}"), told=told)
        (began, first, before), (ended, last, after) = marks[0], marks[-1]
        count = {kind: (after[kind] - before.get(kind, 0)) / (last - first) for kind in after}
        told = ", ".join(f"{kind} {n:.1f}" for kind, n in sorted(count.items(), key=lambda k: -k[1])
                         if n >= 0.05)
        looks = count["GetListing"]
        print(f"{workers} workers, {last - first} rounds of {(ended - began) / (last - first):.3f} s: "
              f"{sum(count.values()) - looks:.1f} calls, {formula(workers)} by the formula, and "
              f"{looks:.1f} looks: {told}", flush=True)


def formula(workers):
    """docs/resident.md's count of a round's calls, but for looks."""
    each = 4 * workers + 4 + 1 + 2 * workers + 1        # results, the question, removing one; reading results, a look for a stop
    return each + (2 * workers * (workers - 1) if workers <= FEW else 3 * workers + 4 + 4 + 2 + 1)


if __name__ == "__main__":
    main()
