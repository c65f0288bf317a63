"""Workers that train by hand, round by round, as what a run must be equal to."""
import numpy as np
from averaged import averaging
from safetensors.numpy import load
from shards import rows

from mrdl import seeds
from mrdl.driver import schedule
from mrdl.runs.run import Run
from mrdl.training.learner import Learner


def by_hand(data, model, rounds, merged):
    """What workers begin round `rounds` with, of which each trains on a minibatch of 8 rows of a shard of its own in each
    round: by worker [weights and slots, P]. After a round, merged(its number, what each began with, what each has) says so."""
    model.build((5,), seed=5)
    shards = [(s.index, rows(s)) for s in schedule.groups(data.train(), 9, 5, 0)[0]]
    given = [np.concatenate([model.weights[None], model.optimizer.start(model.weights)]) for _ in shards]
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
