"""Rounds of fragments: in each, the network is cut anew, and a worker trains one fragment of it.

To the driver this is an exchange like any other: it gives a state, and gets a merged vector of its size."""
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain

import numpy as np

from mrdl.config import need
from mrdl.data.dataset import Dataset
from mrdl.driver import schedule
from mrdl.driver.exchanges.resident import ResidentExchange
from mrdl.jobs.fragments import FragmentRound
from mrdl.models.fragments import Fragment, dealt
from mrdl.models.model import Model
from mrdl.printing import counted
from mrdl.rounds.merged import Merged
from mrdl.rounds.plan import Plan, together
from mrdl.rounds.state import State
from mrdl.runners.cluster import Cluster, tag_of
from mrdl.runs.run import Run
from mrdl.storage.local import Local
from mrdl.storage.schemes import store_at


class FragmentExchange(ResidentExchange):
    """Rounds, plain and resident, whose workers train `count` fragments of the model. The other arguments: see ResidentExchange.

    Who has which units depends on the run's seed and the round, so a round that is tried again, or resumed, is cut alike. A
    weight's new value is the mean over the workers that had it, and its old one if there were none: reducers average
    what all fragments share over all workers, and what a fragment has alone over those that trained it."""

    def __init__(self, cluster: Cluster, *given, place: Run, model: Model, count: int):
        super().__init__(cluster, *given)
        self.store, self.model, self.count = place.store, model, count      # where the states of fragments are written
        self.token = secrets.token_hex(4)       # so that a driver that lost the run removes none but its own files

    def begin(self, run, check) -> None:
        super().begin(run, check)
        home = self.cluster.backend.home(f"fragments/{tag_of(run)}")
        if home is not None and isinstance(self.store, Local):      # tasks are on other machines
            self.store = store_at(home)
            self.store.clear("")                # a dead driver's

    def round(self, name, state, path, ready, plan, mappers, size, reducers, on_task=None, coded=None) -> Merged:
        cuts = dealt(self.model, self.count, plan.seed, "fragments", plan.round)
        rows, sent = state.vector.reshape(-1, state.parameters), size // state.parameters
        common = sum(stop - start for start, stop in cuts[0].shared)
        sizes = [sent * common, *(sent * (cut.parameters - common) for cut in cuts)]
        reducers = self.reducers(len(plan.train), sum(sizes))
        keys, *own = schedule.keys_of(sizes, reducers)
        plan = replace(plan, keys=keys, fragments=[
            {"spec": cut.model.to_json(), "moments": cut.model.moments() if plan.moments else [], "shared": cut.shared,
             "size": own_size, "keys": names} for cut, own_size, names in zip(cuts, sizes[1:], own)])
        size = sizes[0] + sum(sizes[1 + number] for number in plan.active())
        shipped, scored = self.cluster.backend.jvms, bool(plan.score)
        with self._states(state, chain((cut.cut(rows) for cut in cuts), [rows[:1]] * (shipped and scored))):
            if shipped:                         # of the whole state only the weights are sent, and only to be scored
                path = self.parts.pop() if scored else self.parts[0]
            merged = super().round(name, state, path, ready, plan, mappers, size, reducers, on_task)
        return merged if merged.vector is None else replace(merged, vector=_joined(merged.vector, plan, cuts, rows[:sent]))

    def _job(self, path, plan):
        return FragmentRound, [arg for part in self.parts for arg in ("--fragment", part)] + ["--state", path] * bool(plan.score)

    @contextmanager
    def _states(self, state: State, parts: Iterable[np.ndarray]) -> Iterator[None]:
        """The states of the fragments are in files while it lasts; sets the paths by which tasks read them."""
        names: list[str] = []
        try:
            for number, rows in enumerate(parts):
                names.append(f"fragment-{state.round:06d}-{number:03d}-{self.token}.safetensors")
                self.store.write(names[-1], replace(state, vector=rows.reshape(-1), parameters=rows.shape[1],
                                                    outer=np.empty((0, 0), rows.dtype)).dump())
            self.parts = list(map(self.store.path, names))
            yield
        finally:
            self.parts = []
            for name in names:
                self.store.remove(name)


def _joined(vector: np.ndarray, plan: Plan, cuts: list[Fragment], before: np.ndarray) -> np.ndarray:
    """The network's vector after a round whose merged chunks are `vector`; `before`: its rows before the round."""
    found, segments = before.copy(), plan.segments(len(vector))
    _, start, stop = next(segments)
    common = vector[start:stop]
    for number, (_, first, last) in zip(plan.active(), segments):
        own = together(common, vector[first:last], cuts[number].shared, cuts[number].parameters)
        cuts[number].join(own, found)
    return found.reshape(-1)


def enough(data: Dataset, count: int) -> None:
    """Raises ConfigError if the data has too few shards for so many fragments."""
    shards = sum(shard.n > 0 for shard in data.train())
    need(shards >= count, f"{data.url} has {counted(shards, 'shard')} to train on, fewer than the {count} fragments: prepare it with "
         f"--shards {count} or more")
