"""A click log: 2^20 hashed features of which a row has 50, a few of which come often. Logistic regression and one hidden layer
of 16 units, trained once through the rows, on one core: examples/s, and the log loss and area under ROC on held-out rows.

    python benchmarks/sparse.py [--rows 1000000] [--peers PYTHON] [--turns 3] [--data] [--json]

`--peers`: a Python with scikit-learn, vowpalwabbit and h2o, which take turns with mrdl on the same rows. `--data`: mrdl also from
a dataset, by `mrdl train`, with prepare. Seconds are those of the CPU: of a process and its threads, and of H2O's JVM."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WIDTH, ACTIVE, UNITS, BATCH, TEST = 1 << 20, 50, 16, 512, 50_000
FIELD = WIDTH // ACTIVE                         # each of the 50 has values of its own
# what takes minutes where it is not made for so many features sees the first rows only
FEWER = {"scikit-learn MLPClassifier": 10_000, "H2O GLM": 20_000, "H2O DeepLearning": 2_000}


def problem(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """ids[rows, ACTIVE], rising, and labels 0 and 1. The rank of a value is log-uniform: the r-th comes 1/r times as often."""
    rng = np.random.default_rng(seed)
    rank = np.exp(rng.random((rows, ACTIVE)) * np.log(FIELD)).astype("i8") - 1
    ids = rank * 2654435761 % FIELD + np.arange(ACTIVE) * FIELD
    effects = np.random.default_rng(7).standard_normal(WIDTH)
    odds = effects[ids].sum(1) * 2 / ACTIVE ** 0.5
    return ids.astype("i4"), (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype("i4")


def quality(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    p = np.clip(np.asarray(p, "f8"), 1e-7, 1 - 1e-7)
    order = np.argsort(p, kind="stable")
    ranks = np.empty(len(p))
    ranks[order] = np.arange(1, len(p) + 1)
    ones = int(y.sum())
    return {"log_loss": float(-np.where(y, np.log(p), np.log1p(-p)).mean()),
            "auc": float((ranks[y == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(y) - ones)))}


def used() -> float:
    """Seconds of CPU of this process and of its children that live (H2O's JVM)."""
    own = os.times()
    total = own.user + own.system
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def timed(function, *args, **kwargs) -> tuple[float, object]:
    begin = used()
    found = function(*args, **kwargs)
    return used() - begin, found


# -- mrdl

def network(hidden: bool):
    import mrdl
    from mrdl.layers import Dense, Input
    from mrdl.optimizers import SGD
    model = mrdl.Sequential([Input((WIDTH,), sparse=True), *[Dense(UNITS, "relu")] * hidden, Dense(1, "sigmoid")])
    model.compile(SGD(0.5 if hidden else 5.0), "binary_crossentropy")
    return model.build()


def of_mrdl(hidden: bool, train, test) -> dict:
    from mrdl.data.sparse import Csr

    def rows(ids):
        return Csr(np.arange(len(ids) + 1) * ACTIVE, ids.reshape(-1), np.ones(ids.size, "f4"), WIDTH)
    model, x, held = network(hidden), rows(train[0]), rows(test[0])
    model.predict(held[:BATCH])
    seconds, _ = timed(model.fit, x, train[1], batch_size=BATCH, verbose=0)
    return {"rate": len(x) / seconds, **quality(test[1], model.predict(held)[:, 0])}


def of_dataset(hidden: bool, train, test) -> dict:
    """`mrdl train` on what `mrdl prepare` makes of a file in libsvm's format."""
    with tempfile.TemporaryDirectory() as folder:
        for name, (ids, y) in (("train", train), ("test", test)):
            with open(f"{folder}/{name}.svm", "w") as file:
                file.writelines(f"{label} {':1 '.join(map(str, row))}:1\n" for row, label in zip(ids.tolist(), y.tolist()))
        Path(folder, "model.py").write_text(f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom sparse import network\n"
                                            f"model = network({hidden})\n")
        mrdl = [sys.executable, "-m", "mrdl"]
        more = ["--kind", f"features=entries,count={WIDTH},first=0"]

        def ran(*command: str) -> float:
            before = os.times()
            subprocess.run([*mrdl, *command, "-r", "inline"], check=True, capture_output=True, cwd=folder)
            after = os.times()
            return after.children_user + after.children_system - before.children_user - before.children_system
        prepared = ran("prepare", "train.svm", "data", "--shards", "2", *more)
        seconds = ran("train", "model.py", "data", "run", "--workers", "1", "--epochs", "1", "--batch-size", str(BATCH))
        import mrdl as package
        model = package.load_model(f"{folder}/run")
        return {"rate": len(train[0]) / seconds, "prepare": len(train[0]) / prepared,
                **quality(test[1], model.predict(f"{folder}/test.svm")[:, 0])}


# -- the others

def of_sklearn(hidden: bool, train, test) -> dict:
    import scipy.sparse as sp
    from sklearn.linear_model import SGDClassifier
    from sklearn.neural_network import MLPClassifier

    def rows(ids, dtype):
        return sp.csr_matrix((np.ones(ids.size, dtype), ids.reshape(-1), np.arange(len(ids) + 1, dtype="i4") * ACTIVE), (len(ids), WIDTH))
    made = (MLPClassifier((UNITS,), solver="sgd", learning_rate_init=0.3, momentum=0.0, alpha=0.0, batch_size=BATCH) if hidden else
            SGDClassifier("log_loss", penalty=None, learning_rate="constant", eta0=0.02))
    x, held = (rows(ids, "f4" if hidden else "f8") for ids in (train[0], test[0]))
    if hidden:                                  # its weights are made by the first call
        made.partial_fit(x[:BATCH], train[1][:BATCH], classes=[0, 1])
    seconds, _ = timed(made.partial_fit, x, train[1], classes=[0, 1])
    return {"rate": len(train[0]) / seconds, **quality(test[1], made.predict_proba(held)[:, 1])}


def of_vw(hidden: bool, train, test) -> dict:
    import vowpalwabbit
    with tempfile.TemporaryDirectory() as folder:
        for name, (ids, y) in (("train", train), ("test", test)):
            with open(f"{folder}/{name}", "w") as file:
                file.writelines(f"{2 * label - 1} | {' '.join(map(str, row))}\n" for row, label in zip(ids.tolist(), y.tolist()))
        common = f"-b 20 --loss_function logistic --noconstant --quiet {f'--nn {UNITS}' * hidden}"

        def ran(arguments: str) -> None:
            vowpalwabbit.Workspace(f"{common} {arguments}").finish()
        ran(f"-d {folder}/train --cache_file {folder}/cache -t")        # makes the cache: numbers, no text
        seconds, _ = timed(ran, f"-d {folder}/train --cache_file {folder}/cache -f {folder}/model")
        vowpalwabbit.Workspace(f"-i {folder}/model -t -d {folder}/test -p {folder}/found --link logistic --quiet").finish()
        return {"rate": len(train[0]) / seconds, **quality(test[1], np.loadtxt(f"{folder}/found", usecols=0))}


def of_h2o(hidden: bool, train, test) -> dict:
    import h2o
    from h2o.estimators import H2ODeepLearningEstimator, H2OGeneralizedLinearEstimator
    h2o.init(nthreads=1, max_mem_size="8g", ip="127.0.0.1", port=54730, bind_to_localhost=True)
    h2o.no_progress()
    try:
        with tempfile.TemporaryDirectory() as folder:
            frames = []
            for name, (ids, y) in (("train", train), ("test", test)):       # H2O makes one-hot columns of names itself
                with open(f"{folder}/{name}.csv", "w") as file:
                    file.writelines(f"{label},{','.join(f'v{i}' for i in row)}\n" for row, label in zip(ids.tolist(), y.tolist()))
                frames.append(h2o.import_file(f"{folder}/{name}.csv", header=-1, col_types=["enum"] * (ACTIVE + 1)))
            columns = frames[0].columns
            made = (H2ODeepLearningEstimator(hidden=[UNITS], activation="Rectifier", epochs=1, sparse=True, score_training_samples=100,
                                             score_interval=1e6, train_samples_per_iteration=-1) if hidden else
                    H2OGeneralizedLinearEstimator(family="binomial", solver="L_BFGS", lambda_=1e-5, alpha=0, max_iterations=5))
            seconds, _ = timed(made.train, x=columns[1:], y=columns[0], training_frame=frames[0])
            found = made.predict(frames[1]).as_data_frame(use_multi_thread=False)["p1"].to_numpy()
            passes = 1 if hidden else 5
            return {"rate": passes * len(train[0]) / seconds, **quality(test[1], found)}
    finally:
        h2o.cluster().shutdown()


PEERS = {"scikit-learn SGDClassifier": (of_sklearn, False), "scikit-learn MLPClassifier": (of_sklearn, True),
         "Vowpal Wabbit": (of_vw, False), "Vowpal Wabbit --nn": (of_vw, True), "H2O GLM": (of_h2o, False), "H2O DeepLearning": (of_h2o, True)}
EVERY = {"mrdl, logistic": (of_mrdl, False), "mrdl, hidden": (of_mrdl, True), "mrdl train, logistic": (of_dataset, False),
         "mrdl train, hidden": (of_dataset, True), **PEERS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--peers", help="a Python with scikit-learn, vowpalwabbit and h2o")
    parser.add_argument("--data", action="store_true", help="mrdl from a dataset, too")
    parser.add_argument("--only", nargs="+", choices=EVERY, help="these alone")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=EVERY, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        function, hidden = EVERY[args.one]
        rows = min(args.rows, FEWER.get(args.one, args.rows))
        print(json.dumps({"name": args.one, "rows": rows, **function(hidden, problem(rows, 0), problem(TEST, 1))}))
        return
    names = args.only or [name for name in EVERY if (name in PEERS) <= bool(args.peers) and ("train," not in name or args.data)]
    best: dict[str, dict] = {}
    for turn in range(args.turns):
        for name in names:
            if turn and name in FEWER:
                continue
            python = args.peers if name in PEERS else sys.executable
            begin = time.perf_counter()
            done = subprocess.run([python, __file__, "--one", name, "--rows", str(args.rows)], capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name}: failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
                continue
            found = json.loads(done.stdout.strip().splitlines()[-1])
            print(f"{name}: {found['rate']:,.0f} examples/s ({time.perf_counter() - begin:.0f} s in all)", file=sys.stderr)
            if found["rate"] > best.get(name, found)["rate"] or name not in best:
                best[name] = found
    if args.json:
        print(json.dumps(list(best.values())))
        return
    print(f"{'':28}{'rows':>10}{'examples/s':>14}{'log loss':>10}{'AUC':>8}")
    for name, found in best.items():
        print(f"{name:28}{found['rows']:>10,}{found['rate']:>14,.0f}{found['log_loss']:>10.4f}{found['auc']:>8.4f}"
              + (f"   prepare: {found['prepare']:,.0f} rows/s" if "prepare" in found else ""))


if __name__ == "__main__":
    main()
