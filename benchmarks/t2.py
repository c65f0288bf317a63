"""T2: characters/s of a character model, one-hot, LSTM 200, LSTM 200, softmax; 32 streams, windows of 50; one core.

    python benchmarks/t2.py text --data text.npz [--rounds 5] [--peer torch='python peer_torch.py --task T2']
    python benchmarks/t2.py seeds --data text.npz
    python benchmarks/t2.py profile

text: mrdl with LSTM and with GravesLSTM, its AVX2 build and the peers' commands, each pinned to one core, in turns: the
median and the best of the rounds, and bits a character of the test text after 20 minibatches of 32 sequences of 1,000
characters, 400 updates of RMSprop(0.005, 0.95). A command prints a JSON line with "rate" and "bits_per_char".
The data has the ids of train and test, and the alphabet. Without it they are random: the speed is the same.
seeds: the bits of three seeds and their mean.
profile: milliseconds of a window by layer: forward, backward, gradients with their updates.
"""
import argparse
import json
import os
import shlex
import statistics
import sys
import time
from collections import defaultdict

import numpy as np
from t1 import alternating
from t3 import child

import mrdl
from mrdl.layers import LSTM, CategoryEncoding, Dense, GravesLSTM, Input
from mrdl.optimizers import RMSprop
from mrdl.training.learner import Learner
from mrdl.training.sequences import learner_for

STREAMS, LENGTH, WINDOW, MINIBATCHES, TEST = 32, 1000, 50, 20, 3000
KINDS = {"mrdl": LSTM, "mrdl-graves": GravesLSTM}


def network(symbols, kind, steps=LENGTH):
    """Weights drawn alike, and 1e-8 beside the root (1e-16 in it, where Keras has it), as the peers have them."""
    layers = [kind(200, return_sequences=True, recurrent_initializer="glorot_uniform") for _ in range(2)]
    model = mrdl.Sequential([Input((steps,)), CategoryEncoding(symbols, "one_hot"), *layers, Dense(symbols, "softmax")])
    model.compile(RMSprop(0.005, 0.95, epsilon=1e-16), "sparse_categorical_crossentropy")
    return model


def text(path):
    """Streams [32, T] to train on and to test on, and the number of symbols."""
    if not path:
        return np.random.default_rng(0).integers(0, 63, (2, STREAMS, LENGTH * MINIBATCHES + 1)).astype("u1"), 63
    with np.load(path) as data:
        train, test = data["train"].astype("u1"), data["test"].astype("u1")
        T = len(train) // STREAMS
        return (train[:T * STREAMS].reshape(STREAMS, T), test[:STREAMS * (TEST + 1)].reshape(STREAMS, TEST + 1)), \
            len(data["alphabet"])


def run_mrdl(path, kind, seed):
    """(rate, bits per character): the rate of the second half of the minibatches."""
    (train, test), symbols = text(path)
    model = network(symbols, KINDS[kind]).build(seed=seed)
    learner = learner_for(model, model.weights, model.optimizer.start(model.weights), batch_size=STREAMS, tbptt=WINDOW)
    times = []
    for m in range(MINIBATCHES):
        began, part = time.perf_counter(), slice(m * LENGTH, (m + 1) * LENGTH)
        learner.step({"x": np.ascontiguousarray(train[:, part]), "y": np.ascontiguousarray(train[:, 1:][:, part])},
                     np.arange(STREAMS), 0, m)
        times.append(time.perf_counter() - began)
    whole = network(symbols, KINDS[kind], test.shape[1] - 1).build()
    whole.set_weights(model.get_weights())
    half = times[MINIBATCHES // 2:]
    loss = whole.evaluate(test[:, :-1], test[:, 1:], batch_size=STREAMS, return_dict=True)["loss"]
    return len(half) * STREAMS * LENGTH / sum(half), loss / np.log(2)


def compared(a):
    own = [sys.executable, __file__, "one", "--seed", str(a.seed), *(["--data", a.data] if a.data else [])]
    peers = {kind: lambda kind=kind: child([*own, "--kind", kind], a, "bits_per_char") for kind in KINDS}
    peers["mrdl-v3"] = lambda: child(own, a, "bits_per_char", MRDL_CPU_LEVEL="v3")
    for given in a.peer:
        name, _, command = given.partition("=")
        peers[name] = lambda command=command: child(shlex.split(command), a, "bits_per_char")
    alternating(peers, a.rounds, "characters", "bits a character")


def parts(kind):
    """The network's operations, and {(number, what): milliseconds of a window}, the quickest of several."""
    model = network(63, kind, WINDOW).build(seed=1)
    learner = Learner(model, model.weights, model.optimizer.start(model.weights), batch_size=STREAMS)
    x, y = np.random.default_rng(0).integers(0, 63, (2, STREAMS, WINDOW)).astype("u1")
    index, found = np.arange(STREAMS), defaultdict(lambda: [0.0])

    def timed(part, work, *arguments):
        began = time.perf_counter()
        work(*arguments)
        found[part][-1] += time.perf_counter() - began
    for _ in range(30):
        for times in found.values():
            times.append(0.0)
        learner.net.read(x, index)
        for i, operation in enumerate(learner.net.operations):
            timed((i, "forward"), operation.forward)
        timed((i + 1, "loss"), learner.net.compute, learner.net.target(y, index), np.ones(STREAMS, "f4"))
        now = learner.optimizer.at(0)
        for operation, updates in learner.pieces:
            i = learner.net.operations.index(operation)
            timed((i, "backward"), operation.backward, STREAMS)
            for update in updates:
                timed((i, "gradients"), update.fill, STREAMS)
                timed((i, "updates"), update.step, now, 1.0)
    return learner.net.operations, {part: 1e3 * min(times) for part, times in found.items()}


def profile():
    for name, kind in KINDS.items():
        operations, found = parts(kind)
        print(f"{name}: {sum(found.values()):.2f} ms a window")
        for (i, what), ms in sorted(found.items()):
            layer = type(operations[i].layer).__name__ if i < len(operations) else ""
            print(f"  {i:<3}{layer:<18}{what:<10}{ms:8.2f}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("what", choices=("text", "seeds", "profile", "one"))
    p.add_argument("--data")
    p.add_argument("--kind", default="mrdl", choices=KINDS)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--core", type=int, default=os.cpu_count() - 1)
    p.add_argument("--peer", action="append", default=[])
    a = p.parse_args()
    if a.what == "one":
        print(json.dumps(dict(zip(("rate", "bits_per_char"), run_mrdl(a.data, a.kind, a.seed)))))
    elif a.what == "seeds":
        bits = [run_mrdl(a.data, a.kind, seed)[1] for seed in (1, 2, 3)]
        print(f"{a.kind}: {', '.join(f'{b:.3f}' for b in bits)} bits a character, mean {statistics.mean(bits):.3f}")
    else:
        profile() if a.what == "profile" else compared(a)


if __name__ == "__main__":
    main()
