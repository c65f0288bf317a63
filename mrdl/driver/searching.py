"""One driver's work on a search: trains the configurations of each rung together, and commits what became of them."""
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from mrdl import limits, search
from mrdl.data import dataset
from mrdl.driver.averaging import ParameterAveraging
from mrdl.driver.checks import Begun, check_kept, check_room, checked
from mrdl.driver.exchanges.pooled import Alone, Pool, PooledExchange, PoolEnded
from mrdl.driver.loop import Driver
from mrdl.driver.scoring import DataDamaged, WorkerFailed
from mrdl.models.model import Model
from mrdl.report import searched
from mrdl.runners.cluster import Cluster
from mrdl.runs import searches
from mrdl.runs.lease import Lease
from mrdl.runs.run import Run
from mrdl.runs.searches import Found
from mrdl.runs.stop_request import RunStopped, asked
from mrdl.storage.sealed import digest

TOGETHER = 64                   # configurations in a job, at most
HELD = 3                        # times what a model needs to train: what the driver holds for each of them
Told = Callable[[str, dict[str, Any]], None]


@dataclass
class Searching:
    """One driver's work on a search, whose lease it has."""
    place: searches.Search
    lease: Lease
    cluster: Cluster
    models: dict[int, Model]            # by number; each as it was before any training
    told: Told
    data: str
    validation: str | None
    errors: list[BaseException] = field(default_factory=list)      # those that are not a single configuration's

    def search(self) -> list[dict[str, Any]]:
        """Runs the rungs that are not done yet; returns the table's rows."""
        self.asked, rungs = self.place.asked(), self.place.rungs()
        brackets = searched.brackets(self.asked)
        self.training = ParameterAveraging(**self.asked["options"])
        self.shards = sum(shard.n > 0 for shard in dataset.load(self.data).train())
        self.cluster.own(self.place.url)
        self.cluster.ready()
        total = searched.length(self.asked)
        while going := search.next_rung(brackets, self.asked["factor"], searched.costs(self.asked, rungs)):
            most = set(going.values())
            self.told("rung", {"rung": len(rungs) + 1, "rungs": total, "configurations": len(going), "unit": self.asked["unit"],
                               "most": max(most) if most != {None} else None})
            found = self._rung(len(rungs) + 1, going)
            if not rungs and all(own["state"] == "failed" for own in found):
                raise RuntimeError(f"{self.place.url}: all {len(found)} configurations failed; {searches.name(found[0]['configuration'])}: {found[0]['reason']}")
            self.lease.check()
            self.place.commit(len(rungs), found)
            rungs.append(found)
            self._ranked(rungs)
        return searched.ranked(self.asked, rungs)

    def _ranked(self, rungs: list[list[Found]]) -> None:
        best = searched.ranked(self.asked, rungs)[0]
        self.told("ranked", {"run": self.place.run(best["configuration"]), "values": best["values"], "metric": self.asked["metric"],
                             "value": best["metrics"][self.asked["metric"]]})

    def _rung(self, rung: int, going: dict[int, int | None]) -> list[Found]:
        """Trains the configurations, as many at once as there is memory for in the driver."""
        found: dict[int, Found] = {}
        numbers = [number for number in going if number in self.models]
        for number in going.keys() - self.models.keys():
            self._failed(number, self.asked["configurations"][number - 1]["reason"], found)
        while numbers:
            self._together(rung, numbers, going, found)
        return [found[number] for number in sorted(found)]

    def _together(self, rung: int, numbers: list[int], going: dict[int, int | None], found: dict[int, Found]) -> None:
        """Trains the first of these configurations, as many as the driver has memory for, and takes them from the list."""
        pool = Pool(self.cluster, f"mrdl {self.place.url} rung {rung}", self._job, self._warned, self._check)
        self.jobs, self.began, held, works = 0, time.perf_counter(), 0, []
        while numbers and len(works) < TOGETHER and held < limits.limit():
            number = numbers.pop(0)
            most = going[number]
            try:
                training = replace(self._training(number), **({} if most is None else {self.asked["unit"]: most}), runner=self.cluster)
                run = Run(self.place.run(number))
                begun = checked(training, deepcopy(self.models[number]), self.data, self.validation, run)
                check_room(begun.options, begun.model, begun.train)
                check_kept(begun.options, self.place.url, self.cluster)
                exchange = PooledExchange(pool, searches.name(number), begun.model.dtype)
                driver = Driver(run, begun.options, begun.model, begun.train, begun.held, exchange,
                                partial(self._event, number))
            except dataset.DataError:
                raise
            except ValueError as error:
                self._failed(number, str(error), found)
                continue
            held += HELD * limits.needed(begun.model, 1, training=True)
            works.append(partial(self._trained, number, begun, driver, found))
        pool.serve(works)
        if self.errors:
            raise next((error for error in self.errors if not isinstance(error, PoolEnded)), self.errors[0])

    def _training(self, number: int) -> ParameterAveraging:
        """How a configuration trains. With one worker each, all are on different shards at the same time, as far as there are enough."""
        training = so_trained(self.training, self.asked["configurations"][number - 1]["values"], self.asked["tried"])
        turn = (number - 1) % self.shards if training.workers == 1 else 0
        straight = not self.asked["hop"] and self.asked["unit"] == "epochs" and (
            training.workers, training.averaging_frequency, training.outer, training.compress, training.compress_broadcast,
            training.save_updater) == (1, None, None, None, None, True)
        return replace(training, turn=turn or None, straight=straight or None)

    def _trained(self, number: int, begun: Begun, driver: Driver, found: dict[int, Found]) -> None:
        """Trains a configuration to the end of its rung; called in a thread."""
        try:
            driver.run.begin(begun.facts)
            done = driver.train()
            last = driver.run.history()[-1:]
            metrics = {name: value for name, value in done["metrics"].items() if search.cost(value, False) is not None}
            if not done["finite"] or self.asked["metric"] not in metrics:
                reason = f"{self.asked['metric']} is not finite" if done["finite"] else done["reason"]
                self._failed(number, reason, found)
                return
            found[number] = Found(configuration=number, state="trained", reason=done["reason"], rounds=done["rounds"],
                                  epochs=last[0]["progress"], examples=last[0]["examples"], metrics=metrics,
                                  model=digest(driver.run.store.read("model.safetensors")))
        except DataDamaged as error:
            self.errors.append(error)
        except (WorkerFailed, Alone) as error:
            self._failed(number, str(error), found)
        except BaseException as error:  # noqa: BLE001 - raised in the search's own thread
            self.errors.append(error)

    def _failed(self, number: int, reason: str, found: dict[int, Found]) -> None:
        found[number] = Found(configuration=number, state="failed", reason=reason, rounds=0, epochs=0.0, examples=0, metrics={}, model=None)
        self.told("failed", {"run": searches.name(number), "reason": " ".join(reason.split())})

    def _event(self, number: int, event: str, facts: dict[str, Any]) -> None:
        if event == "warning":
            self._warned(f"{searches.name(number)}: {facts['text']}")

    def _warned(self, text: str) -> None:
        self.told("warning", {"text": text})

    def _job(self, configurations: int) -> None:
        self.jobs += 1
        now = time.perf_counter()
        self.told("job", {"job": self.jobs, "configurations": configurations, "seconds": now - self.began})
        self.began = now

    def _check(self) -> None:
        """Raises an error if no further job may run."""
        if self.errors:
            raise self.errors[0]
        if by := asked(self.place.store, self.lease.token):
            raise RunStopped(f"{self.place.url}: stopped, as {by} asked")


def so_trained(training: ParameterAveraging, values: search.Values, tried: list[str]) -> ParameterAveraging:
    """The training with those of the values that are `tried` among its options."""
    return replace(training, **{name: values[name] for name in tried})
