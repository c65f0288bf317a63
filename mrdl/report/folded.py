"""The scores of a model on the folds of a dataset, as a table."""
import json
import statistics
from typing import Any, TypedDict

from mrdl.printing import written
from mrdl.runs.commits import RunError
from mrdl.storage.base import Storage
from mrdl.storage.sealed import formatted, seal

FILE, FORMAT = "folds.json", 1


class Folded(TypedDict):
    """What folds.json holds."""
    folds: int
    data: str
    scores: list[dict[str, Any]]        # of those that are done


def write(place: Storage, found: Folded) -> None:
    """Writes folds.json into a folder."""
    place.write(FILE, json.dumps(seal({"format": FORMAT, **found})).encode() + b"\n")


def read(place: Storage) -> Folded:
    """What folds.json holds; RunError if it is damaged."""
    try:
        found = formatted(place.read(FILE), FORMAT, {"format": int, "seal": str, **Folded.__annotations__}, FILE)
    except ValueError as error:
        raise RunError(f"{place.url}: {FILE} is damaged, or of another version ({error}); remove it and train again: the folds that "
                       "are done are kept") from None
    return {name: found[name] for name in Folded.__annotations__}


def spread(scores: list[dict[str, Any]]) -> tuple[dict[str, float], dict[str, float]]:
    """The mean and the sample's deviation of each number that all folds have."""
    names = [name for name, value in (scores[0] if scores else {}).items()
             if isinstance(value, float) and all(isinstance(each.get(name), float) for each in scores)]
    values = {name: [each[name] for each in scores] for name in names}
    return ({name: statistics.fmean(of) for name, of in values.items()},
            {name: statistics.stdev(of) if len(of) > 1 else 0.0 for name, of in values.items()})


def table(scores: list[dict[str, Any]]) -> list[str]:
    """A line for each fold, then their mean and deviation."""
    mean, deviation = spread(scores)
    names = [name for name in mean if name.startswith("val_")] or list(mean)
    wide = [max(12, len(name) + 2) for name in names]
    rows = [*((f"{number}", each) for number, each in enumerate(scores, 1)), ("mean", mean), ("deviation", deviation)]
    return ["fold     " + "".join(name.rjust(room) for name, room in zip(names, wide)),
            *(f"{what:<9}" + "".join(written(of[name]).rjust(room) for name, room in zip(names, wide)) for what, of in rows)]
