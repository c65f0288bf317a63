"""Functions for operators: list runs and their states, ask a driver to end, clean up after dead drivers."""
import time
from typing import Any

from mrdl.models.saving import model_from_json
from mrdl.runners.cluster import tag_of
from mrdl.runs import lease, stop_request, stopping
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.runs.searches import Search
from mrdl.storage.schemes import store_at

POLL = 0.5                      # seconds between two checks whether a driver has ended
STAY = 330.0                    # seconds that resident workers may stay after their driver's last sign of life
# temporary files of drivers
PASSING = ("lease-*.dead", stop_request.NAME)


def runs(url: str) -> list[dict[str, Any]]:
    """The runs in a folder, or the one that it is: "run", "state" (running | finished | stopped | damaged), "rounds",
    "best", "metric" and "value", "age" (seconds since the last commit), "host", "pid", "reason"."""
    store = store_at(url)
    if not store.is_folder():
        raise RunError(f"{url}: no such folder")
    names = [""] if store.exists("run.json") else [name.rpartition("/")[0] for name in store.list("*/run.json")]
    try:
        now = store.now()
    except OSError:                     # folders of other users may be read-only
        now = time.time()
    return [_standing(store.path(name), now) for name in names]


def _standing(url: str, now: float) -> dict[str, Any]:
    place = Run(url)
    found: dict[str, Any] = dict.fromkeys(("metric", "value", "best", "age", "host", "pid", "reason"))
    found = {"run": place.url, "state": "stopped", "rounds": 0, **found}
    try:
        options, done = place.options()["options"], place.finished()
        driver, seen = lease.seen(place.store, now)
        rounds = place.rounds()
        last = done["rounds"] if done else max(rounds, default=0)
        written = place.store.modified("finished.json" if done else place.newest())
        found |= {"rounds": last, "age": None if written is None else max(0.0, round(now - written, 1))}
        if done:
            found |= {"state": "finished", "reason": done["reason"], "best": done["best"]}
            metrics = done["metrics"]
            name = done["monitor"] or ("val_loss" if "val_loss" in metrics else "loss")
            found |= {"metric": name, "value": metrics.get(name)}
        else:
            found |= _best(place, options["until"])
        if seen is not None:
            found |= {"state": "running", "host": driver.get("host"), "pid": driver.get("pid")}
    except (ValueError, KeyError, TypeError) as error:
        found |= {"state": "damaged", "reason": str(error)}
    return found


def _best(place: Run, until: str | None) -> dict[str, Any]:
    """The best round so far: by the metric that a rule with patience watches, else by validation loss, else by training
    loss."""
    history = [{}, *place.history()]
    validated = any("val_loss" in line for line in history)
    rising = {name for name, metric in model_from_json(place.options()["spec"]).named_metrics().items() if metric.rising}
    rules = stopping.parse(until, rising) if until else stopping.default(validated)
    watched = next((rule for rule in rules if isinstance(rule, stopping.Patience)),
                   stopping.Patience("val_loss" if validated else "loss", 1))
    best = watched.best(history, len(history) - 1)
    value = history[best].get(watched.metric)
    return {} if value is None else {"metric": watched.metric, "value": value, "best": best}


def stop(url: str, wait: float = 0.0) -> dict[str, Any]:
    """Asks the driver of a run to end after the current round, and waits up to `wait` seconds for that.

    Returns "asked" (was there a driver?), "ended" (is there no driver now?), "rounds", "finished", and "search" (is it a search?)."""
    place = Run(url)
    searches = Search(url).exists()
    if not searches:
        place.options()                 # RunError if there is no run
    driver, seen = lease.seen(place.store)
    if asked := seen is not None:
        stop_request.ask(place.store, driver["token"])
    end, ended = time.monotonic() + wait, not asked
    while not ended and time.monotonic() < end:
        time.sleep(POLL)
        ended = lease.holder(place.store).get("token") != driver["token"] or lease.seen(place.store)[1] is None
    if asked and ended:                 # the run may have finished before the driver saw the request
        place.store.remove(stop_request.NAME)
    return {"run": place.url, "asked": asked, "ended": ended, "host": driver.get("host"), "pid": driver.get("pid"),
            "rounds": max(place.rounds(), default=0), "finished": place.finished() is not None, "search": searches}


def clean(url: str, cache: bool = False) -> dict[str, Any]:
    """Removes what dead drivers left in a run's folder and, on Hadoop, of its jobs; RunError if a driver is alive.

    `cache`: also empties your .mrdl/cache on HDFS, which only running jobs need. Returns "removed" (names), "bytes" and
    "kept"."""
    place = Run(url)
    options = place.options()
    driver, seen = lease.seen(place.store)
    if seen is not None:
        raise RunError(f"{place.url}: a driver works on it (pid {driver.get('pid')} on {driver.get('host')}); "
                       "end it first, for example with mrdl stop")
    removed, size = [], 0
    with lease.Lease(place.store):      # so that no driver begins meanwhile
        for name in _leftovers(place):
            size += place.store.size(name)
            place.store.remove(name)
            removed.append(place.store.path(name))
        folders = [place.store.path(name) for name in ("resident", "streaming")]
        if options["runner"] == "hadoop":
            folders += _of_jobs(place.url, cache)
        folders = [folder for folder in folders if store_at(folder).is_folder()]
        # the next driver may still take over the job of a killed driver
        kept = folders if any(map(_met, folders)) else []
        for folder in folders if not kept else ():
            store_at(folder).clear("")
            removed.append(folder)
    return {"run": place.url, "removed": removed, "bytes": size, "kept": kept}


def _leftovers(place: Run) -> list[str]:
    """Files of the run that neither a driver nor a reader needs."""
    names = place.leftovers() + [name for pattern in PASSING for name in place.store.list(pattern)]
    done = place.finished()
    last = done["rounds"] if done else max(place.rounds(), default=-1)
    # a state whose commit was never written
    return names + [name for name in place.store.list("state-[0-9]*.safetensors") if int(name[6:12]) > last]


def _of_jobs(url: str, cache: bool) -> list[str]:
    """Folders in .mrdl on HDFS that jobs of the run may have left; with `cache`, also the cache of all jobs."""
    from mrdl.runners.hadoop import connection  # imported here, because it takes long
    home = connection.home()
    names = [f"resident/{tag_of(url)}", *home.list(f"jobs/{tag_of(url)}-*"), *(["cache"] if cache else [])]
    return [home.path(name) for name in names]


def _met(folder: str) -> bool:
    """True if workers of a resident job may still be waiting here for a driver."""
    store = store_at(folder)
    sign = store.modified("driver")
    return sign is not None and store.now() - sign < STAY
