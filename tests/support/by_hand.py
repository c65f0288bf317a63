"""Workers that train by hand, round by round, as what a run must be equal to."""
import numpy as np
from averaged import averaging, network
from safetensors.numpy import load
from shards import rows

from mrdl import seeds
from mrdl.config import serialize
from mrdl.driver import schedule
from mrdl.rounds.coded import values_of
from mrdl.rounds.plan import Plan
from mrdl.rounds.state import State
from mrdl.runs.run import Run
from mrdl.training.learner import Learner
from mrdl.worker.change import Change
from mrdl.worker.slot import Slot


def by_hand(data, model, rounds, merged, begun=lambda rows: rows):
    """What workers begin round `rounds` with, of which each trains on a minibatch of 8 rows of a shard of its own in each
    round: by worker [weights and slots, P]. After a round, merged(its number, what each began with, what each has) says so, and
    before the first begun(the state)."""
    model.build((5,), seed=5)
    shards = [(s.index, rows(s)) for s in schedule.groups(data.train(), 9, 5, 0)[0]]
    given = [begun(np.concatenate([model.weights[None], model.optimizer.start(model.weights)])) for _ in shards]
    for r in range(rounds):
        vectors = [vector.copy() for vector in given]
        for vector, (shard, arrays) in zip(vectors, shards):
            index = seeds.permutation(len(arrays["x"]), 5, "rows", 0, shard, 0)[8 * r:8 * r + 8]
            Learner(model, vector[0], vector[1:], batch_size=8, iterations=r).step(arrays, index, 0, 0)
        given = merged(r + 1, given, vectors)
    return given


def run_of(tmp_path, data, model, **options):
    done = averaging(averaging_frequency=1, seed=5, keep_rounds=9, **options).fit(model, data.url, run=str(tmp_path / "run"))
    return done.model, Run(tmp_path / "run")


def slots_of(run, r):
    """By slot: the arrays that it keeps after round r."""
    return {slot: load(run.store.read(name)) for slot, (name, _) in run.state(r).kept.items()}


def changes(kind, tmp_path, rounds=6, dtype="f8", after=lambda rng, size: rng.integers(-2000, 2000, size) / 1024):
    """What one slot changed and sent in each round, and its residual at the end."""
    model, rng = network(), np.random.default_rng(0)
    model.build((4,))
    vector = np.zeros(3 * model.weights.size, dtype)
    found, kept = [], {}
    for r in range(1, rounds + 1):
        given = State(vector.copy(), model.weights.size)
        asked = Plan("", r, 0, 0, None, 8, 0, [], {}, compress=serialize(kind), folder=str(tmp_path), kept=kept)
        slot = Slot(asked, 3)
        change = Change(asked, given, model, slot, 7)
        moved = after(rng, len(vector)).astype(dtype)
        cut = len(vector) // 2                  # behind the first slot's beginning
        sent = [values_of(change.message(moved, a, b), moved.dtype) for a, b in ((0, cut), (cut, len(moved)))]
        found.append((moved[:model.weights.size], np.concatenate(sent)[:model.weights.size]))
        if file := slot.write():
            kept = {"3": file}
    return found, load((tmp_path / file[0]).read_bytes())["residual"] if file else None
