"""T3: images/s of conv 5x5x20, max 2, conv 5x5x50, max 2, dense 500, softmax; batch 64, Nesterov; one core.

    python benchmarks/t3.py digits [--data digits.npz] [--rounds 5] [--peer torch='python peer_torch.py T3']
    python benchmarks/t3.py shapes

digits: mrdl, its AVX2 build and the peers' commands, each pinned to one core, in turns: the median and the
best of the rounds, and the accuracy after 3 epochs. A command prints a JSON line with "rate" and "accuracy".
Without --data (x_train, y_train, x_test, y_test) the images are random: the speed is the same.
shapes: a training step of round shapes and of their odd neighbours: GFLOP/s, the share of what the best
product of matrices reaches, and the odd one's rate over the round one's.
"""
import argparse
import json
import math
import os
import shlex
import subprocess
import sys
import time

import numpy as np
from t1 import alternating, timed

import mrdl
from mrdl import kernels
from mrdl.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D, Rescaling
from mrdl.optimizers import SGD
from mrdl.training.learner import Learner

SHAPES = {                      # size, channels, filters, kernel, stride, padding, batch; the round one is first
    "filters": [(16, 32, 32, 3, 1, "same", 64), (16, 32, 33, 3, 1, "same", 64), (16, 32, 29, 3, 1, "same", 64)],
    "channels": [(16, 32, 32, 3, 1, "same", 64), (16, 33, 32, 3, 1, "same", 64), (16, 31, 32, 3, 1, "same", 64)],
    "width": [(16, 32, 32, 3, 1, "same", 64), (17, 32, 32, 3, 1, "same", 64), (13, 32, 32, 3, 1, "same", 64)],
    "stride": [(16, 32, 32, 3, 1, "same", 64), (16, 32, 32, 3, 2, "same", 64), (17, 32, 32, 3, 3, "same", 64)],
    "batch": [(16, 32, 32, 3, 1, "same", 64), (16, 32, 32, 3, 1, "same", 61), (16, 32, 32, 3, 1, "same", 50)],
    "kernel": [(16, 32, 32, 4, 1, "same", 64), (16, 32, 32, 5, 1, "same", 64), (16, 32, 32, 1, 1, "same", 64)],
    "few": [(28, 1, 16, 4, 1, "valid", 64), (28, 1, 20, 5, 1, "valid", 64), (29, 3, 17, 5, 1, "valid", 64)],
}


def network():
    model = mrdl.Sequential([
        Input((28, 28, 1)), Rescaling(1 / 255), Conv2D(20, 5, activation="relu"), MaxPooling2D(),
        Conv2D(50, 5, activation="relu"), MaxPooling2D(), Flatten(), Dense(500, "relu"), Dense(10, "softmax")])
    model.compile(SGD(0.02, 0.9, nesterov=True), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def images(path):
    if path:
        with np.load(path) as data:
            return [data[name].reshape(-1, 28, 28, 1) if name[0] == "x" else data[name].astype("i4")
                    for name in ("x_train", "y_train", "x_test", "y_test")]
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (8000, 28, 28, 1), np.uint8), rng.integers(0, 10, 8000).astype("i4")
    return x, y, x[:2000], y[:2000]


def run_mrdl(data):
    x, y, x_test, y_test = images(data)
    model = network().build((28, 28, 1), seed=1)

    def epoch(e):
        model.fit(x, y, batch_size=64, initial_epoch=e, epochs=e + 1, verbose=0)
        return len(x)
    rate = timed(epoch, 3)
    return rate, model.evaluate(x_test, y_test, return_dict=True)["accuracy"]


def child(words, a, quality="accuracy", **more):
    """(rate, quality) of a command, with one thread on one core."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS")} | more
    environment |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(["taskset", "-c", str(a.core), *words], env=environment, text=True,
                          capture_output=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        return None, (done.stderr.strip().splitlines() or ["it printed no JSON"])[-1]
    facts = json.loads(lines[-1])
    return facts["rate"], facts[quality]


def digits(a):
    own = [sys.executable, __file__, "one", *(["--data", a.data] if a.data else [])]
    peers = {"mrdl": lambda: child(own, a), "mrdl-v3": lambda: child(own, a, MRDL_CPU_LEVEL="v3")}
    for given in a.peer:
        name, _, command = given.partition("=")
        peers[name] = lambda command=command: child(shlex.split(command), a)
    alternating(peers, a.rounds, "images", "accuracy")


def best(work, repeats=30):
    """Seconds of the quickest of so many."""
    found = math.inf
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        found = min(found, time.perf_counter() - began)
    return found


def peak():
    """FLOP/s of the best of some products."""
    rng, k = np.random.default_rng(0), kernels.typed("float32")

    def rate(O, I):
        w, x, bias, y = (kernels.zeros(shape, "f4") for shape in ((O, I), (I, 64), O, (O, 64)))
        w[:], x[:] = rng.random((O, I)), rng.random((I, 64))
        return 2 * O * I * 64 / best(lambda: k.dense_forward(w, bias, x, y, False), 100)
    return max(rate(96, 128), rate(96, 784), rate(480, 784))


def step_rate(size, channels, filters, kernel, stride, padding, batch):
    """FLOP/s of a training step of one convolution with relu, as if layers stood before and after it."""
    rng = np.random.default_rng(0)
    model = mrdl.Sequential([Input((size, size, channels)),
                             Conv2D(filters, kernel, stride, padding, activation="relu")]).build(seed=1)
    model.compile(SGD(1e-9), "mse")
    learner = Learner(model, model.weights, kernels.zeros((0, 1), np.float32), batch_size=batch)
    operation, = learner.net.operations
    operation.b.first = False               # the gradient of x too
    learner.net.x.grad = np.zeros_like(learner.net.x.value)
    learner.net.x.value[:] = rng.standard_normal(learner.net.x.value.shape)
    operation.b.y.grad[:, :batch] = rng.standard_normal((len(operation.b.y.grad), batch))
    (_, updates), = learner.pieces

    def step():
        operation.forward()
        operation.backward(batch)
        for update in updates:
            update.fill(batch)
    C, O = channels, filters
    return 3 * 2 * sum(reached(operation.geometry)) * C * O * batch / best(step)


def reached(geometry):
    """For each place of a kernel, how many output pixels have no padding there."""
    H, W, _, OH, OW, _, kh, kw, sh, sw, dh, dw, top, left, _ = geometry
    h, w = np.arange(OH) * sh - top, np.arange(OW) * sw - left
    for y in range(kh):
        for x in range(kw):
            r, c = h + y * dh, w + x * dw
            yield int(((r >= 0) & (r < H)).sum() * ((c >= 0) & (c < W)).sum())


def shapes():
    most = peak()
    print(f"the best product: {most / 1e9:.0f} GFLOP/s\n"
          f"{'':<10}{'size':>5}{'C':>4}{'O':>4}{'kernel':>7}{'stride':>7}{'batch':>6}{'GFLOP/s':>9}"
          f"{'of peak':>8}{'odd / round':>12}")
    for name, (first, *others) in SHAPES.items():
        base = step_rate(*first)
        for shape in (first, *others):
            rate = base if shape is first else step_rate(*shape)
            size, channels, filters, kernel, stride, _, batch = shape
            print(f"{name:<10}{size:>5}{channels:>4}{filters:>4}{kernel:>7}{stride:>7}{batch:>6}"
                  f"{rate / 1e9:>9.1f}{rate / most:>8.2f}{rate / base:>12.2f}", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("what", choices=("digits", "shapes", "one"))
    p.add_argument("--data")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--core", type=int, default=os.cpu_count() - 1)
    p.add_argument("--peer", action="append", default=[])
    a = p.parse_args()
    if a.what == "one":
        print(json.dumps(dict(zip(("rate", "accuracy"), run_mrdl(a.data)))))
    else:
        digits(a) if a.what == "digits" else shapes()


if __name__ == "__main__":
    main()
