"""The bad records of a prepare job, in a folder of the user's."""
import re
from collections.abc import Callable

from mrdl.data.preparation import Plan
from mrdl.data.sources import demand
from mrdl.printing import counted
from mrdl.rounds.merged import RoundError
from mrdl.storage.paths import move
from mrdl.storage.schemes import store_at

OURS = re.compile(r"bad-\d{5}\.jsonl")


def vacant_for_bad(folder: str | None) -> None:
    """DataError where there is something else in the folder than bad records: those of another run are replaced."""
    names = store_at(folder).list() if folder is not None else []
    demand(all(map(OURS.fullmatch, names)), f"{folder}: has other files than those of a quarantine; name another folder")


def quarantined(plan: Plan, folder: str | None, count: int, said: Callable[[str], None]) -> None:
    """Moves what the job's tasks have kept into the folder. RoundError where these are not all of the `count` bad records."""
    if folder is None:
        return
    notes, place = store_at(plan.quarantine), store_at(folder)
    names = notes.list("*.jsonl")
    kept = sum(int(name.removesuffix(".jsonl").partition("-")[2]) for name in names)
    if kept != count:
        raise RoundError(f"{folder}: {kept} bad records were kept of {count}: records were lost")
    for name in place.list("bad-*.jsonl"):
        place.remove(name)
    for number, name in enumerate(names):
        move(notes.path(name), place.path(f"bad-{number:05d}.jsonl"))
    if count:
        said(f"{folder}: {counted(count, 'bad record')}, whole, as lines of JSON")
