"""T1: examples/s of a 784-512-256-10 ReLU network, batch 64, Nesterov momentum, on one core.

    python benchmarks/t1.py [--peers mrdl mrdl-v3 numpy jax] [--rounds 5] [--data digits.npz] [--hidden 512 256]

Each peer trains the same rows in a process of its own, pinned to one core, in turns; the table has the
median and the best of the rounds, and the ratio to each peer's. JAX must be installed to be among them.
Without --data (arrays x_train, y_train of bytes, as in MNIST) the rows are random: no feature is 0 in a whole
minibatch then, as a third of MNIST's pixels are, which mrdl leaves out. With --hidden 2048 2048 weights and
momentum are far beyond the second cache.
"""
import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

BATCH, RATE, MOMENTUM = 64, 0.02, 0.9


def rows(path):
    if path:
        with np.load(path) as data:
            return data["x_train"].astype("f4") / np.float32(255), data["y_train"].astype("i4")
    rng = np.random.default_rng(0)
    return rng.random((8000, 784), "f4"), rng.integers(0, 10, 8000).astype("i4")


def weights(hidden):
    rng = np.random.default_rng(1)
    return [(rng.uniform(-1, 1, (i, o)).astype("f4") * np.float32((6 / (i + o)) ** 0.5),
             np.zeros(o, "f4")) for i, o in itertools.pairwise((784, *hidden, 10))]


def timed(epoch, epochs):
    """Examples/s of the later half of the epochs; `epoch(e)` trains one and returns its examples."""
    rates = []
    for e in range(epochs):
        began = time.perf_counter()
        rates.append(epoch(e) / (time.perf_counter() - began))
    return statistics.median(rates[len(rates) // 2:])


def run_mrdl(x, y, hidden, epochs):
    import mrdl
    from mrdl.layers import Dense, Input
    from mrdl.optimizers import SGD
    model = mrdl.Sequential([Input((784,)), *(Dense(units, "relu") for units in hidden), Dense(10, "softmax")])
    model.build()
    model.set_weights([a for pair in weights(hidden) for a in pair])
    model.compile(SGD(RATE, MOMENTUM, nesterov=True), "sparse_categorical_crossentropy")
    losses = []

    def epoch(e):
        history = model.fit(x, y, batch_size=BATCH, initial_epoch=e, epochs=e + 1, verbose=0)
        losses.append(history.history["loss"][-1])
        return len(x)

    rate = timed(epoch, epochs)
    return rate, losses[-1]


def run_numpy(x, y, hidden, epochs):
    parameters = [a for pair in weights(hidden) for a in pair]
    velocity = [np.zeros_like(a) for a in parameters]
    each, rate, momentum = np.arange(BATCH), np.float32(RATE), np.float32(MOMENTUM)
    losses = []

    def epoch(e):
        order, total = np.random.default_rng(e).permutation(len(x)), 0.0
        for start in range(0, len(x) - BATCH + 1, BATCH):
            index = order[start:start + BATCH]
            h = [x[index]]
            for layer in range(len(hidden) + 1):
                z = h[-1] @ parameters[2 * layer]
                z += parameters[2 * layer + 1]
                h.append(np.maximum(z, 0, out=z) if layer < len(hidden) else z)
            d = h.pop()
            d -= d.max(1, keepdims=True)
            np.exp(d, out=d)
            d /= d.sum(1, keepdims=True)
            total -= float(np.log(d[each, y[index]]).sum())
            d[each, y[index]] -= 1
            d *= np.float32(1 / BATCH)
            gradients = [None] * len(parameters)
            for layer in reversed(range(len(hidden) + 1)):
                gradients[2 * layer], gradients[2 * layer + 1] = h[layer].T @ d, d.sum(0)
                if layer:
                    d = d @ parameters[2 * layer].T
                    d *= h[layer] > 0
            for w, v, g in zip(parameters, velocity, gradients):
                g *= rate
                v *= momentum
                v -= g
                w += momentum * v - g
        losses.append(total / len(x))
        return len(x) // BATCH * BATCH

    return timed(epoch, epochs), losses[-1]


def run_jax(x, y, hidden, epochs):
    import jax
    import jax.numpy as jnp

    def loss(parameters, a, t):
        for i, (w, b) in enumerate(parameters):
            a = a @ w + b
            a = jax.nn.relu(a) if i < len(hidden) else a
        return -jnp.take_along_axis(jax.nn.log_softmax(a), t[:, None], 1).mean()

    def step(parameters, velocity, a, t):
        value, g = jax.value_and_grad(loss)(parameters, a, t)
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v - RATE * g, velocity, g)
        return jax.tree.map(lambda w, v, g: w + MOMENTUM * v - RATE * g, parameters, velocity,
                            g), velocity, value

    step = jax.jit(step, donate_argnums=(0, 1))
    state = [jax.tree.map(jnp.asarray, weights(hidden))]
    state.append(jax.tree.map(jnp.zeros_like, state[0]))
    losses = []

    def epoch(e):
        order, values = np.random.default_rng(e).permutation(len(x)), []
        for start in range(0, len(x) - BATCH + 1, BATCH):
            index = order[start:start + BATCH]
            state[0], state[1], value = step(*state, x[index], y[index])
            values.append(value)
        jax.block_until_ready(state)
        losses.append(float(sum(values)) / len(values))
        return len(x) // BATCH * BATCH

    return timed(epoch, epochs), losses[-1]


PEERS = {"mrdl": run_mrdl, "mrdl-v3": run_mrdl, "numpy": run_numpy, "jax": run_jax}


def child(peer, a):
    """Runs one peer in a process of its own, with one thread on one core."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS")}
    environment |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    environment["XLA_FLAGS"] = ("--xla_cpu_multi_thread_eigen=false "
                                "intra_op_parallelism_threads=1")
    if peer == "mrdl-v3":
        environment["MRDL_CPU_LEVEL"] = "v3"
    words = [sys.executable, __file__, "--one", peer, "--epochs", str(a.epochs), "--hidden", *map(str, a.hidden)]
    words += ["--data", a.data] if a.data else []
    done = subprocess.run(["taskset", "-c", str(a.core), *words], env=environment, text=True,
                          capture_output=True, check=False)
    if done.returncode:
        return None, done.stderr.strip().splitlines()[-1]
    return json.loads(done.stdout.splitlines()[-1])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--epochs", type=int, default=8)
    p.add_argument("--core", type=int, default=os.cpu_count() - 1)
    p.add_argument("--data")
    p.add_argument("--hidden", nargs="+", type=int, default=[512, 256], help="units of the hidden layers")
    p.add_argument("--one", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.one:
        print(json.dumps(PEERS[a.one](*rows(a.data), a.hidden, a.epochs)))
        return
    alternating({peer: lambda peer=peer: child(peer, a) for peer in a.peers}, a.rounds, "examples", "loss")


def alternating(peers, rounds, what, quality):
    """Runs the peers in turns; each gives (rate, quality), or (None, why not). Prints the table."""
    rates, last = {peer: [] for peer in peers}, {}
    for number in range(rounds):
        for peer in list(rates):
            rate, last[peer] = peers[peer]()
            if rate is None:
                print(f"{peer} is left out: {last[peer]}")
                del rates[peer]
            else:
                rates[peer].append(rate)
                print(f"round {number + 1}: {peer} {rate:,.0f} {what}/s", file=sys.stderr)
    mine = statistics.median(rates.get("mrdl", [float("nan")]))
    print(f"{'peer':<14}{'median':>10}{'best':>10}{quality:>10}{'mrdl / peer':>13}   ({what}/s)")
    for peer, found in rates.items():
        print(f"{peer:<14}{statistics.median(found):>10,.0f}{max(found):>10,.0f}"
              f"{last[peer]:>10.4f}{mine / statistics.median(found):>13.2f}", flush=True)


if __name__ == "__main__":
    main()
