"""What the facts that a job gives of all rows mean: which rows to hold out instead, whether bad ones are too many, what data.json says."""
from collections.abc import Sequence
from dataclasses import asdict

from mrdl.data import holdout
from mrdl.data.corpus import NOT_UTF_8
from mrdl.data.dataset import FORMAT, Sample, Target, shown
from mrdl.data.facts import CLASSES, MOST_BAD, too_many
from mrdl.data.misread import advice, told
from mrdl.data.preparation import Plan
from mrdl.data.readers.encoding import ANOTHER
from mrdl.data.readers.tabular import Tabular
from mrdl.data.records import unseen_told
from mrdl.data.sources import DataError, demand
from mrdl.data.tables.statistics import Numbers

EXACT = 2**53                   # whole numbers from here on are rounded as float64


def held_out(plan: Plan, facts: dict, distinct: dict[str, int] | None) -> tuple[list[str] | dict[str, int] | None, list[str]]:
    """The rows to hold out instead (Plan.held), where a better choice of them is known; None: there is none, and what is to be told then.
    `distinct`: the distinct rows, where they are few."""
    total, held = sum(facts["rows"]), sum(facts["rows"][plan.shards - plan.validation:])
    demand(not plan.stratify or plan.held is not None or facts["strata"] is not None,
           f"stratify: the labels have more than {holdout.CLASSES} values, so they are no classes")
    chosen = (holdout.bounds(plan.hold_out, facts["strata"]) if plan.stratify else
              holdout.better(plan.hold_out, held, total, facts["distinct"]))
    if chosen is not None:
        return chosen, []
    grouped = getattr(plan.schema, "group", None) is not None
    demand(held < total, f"hold_out {plan.hold_out:g}: all {total} rows are held out ({'those of a group' if grouped else 'equal ones'} "
           "together), none is left to train on")
    return None, [*holdout.told(plan.hold_out, held, total, distinct and len(distinct), grouped, plan.stratify),
                  *holdout.told_of_classes(plan.hold_out, _sides(plan, facts), grouped, plan.stratify)]


def _sides(plan: Plan, facts: dict) -> dict[str, tuple[int, int]]:
    """By the name of each class how many rows are trained on, and how many held out; nothing where labels are no classes."""
    names, sides = _classes(plan), (facts["classes"], facts["held_out"])
    if None in sides or names is None:
        return {}
    return {name: tuple(side.get(repr(float(k)), 0) for side in sides) for k, name in enumerate(names)}


def _classes(plan: Plan) -> Sequence[str] | None:
    """The names of the classes that the labels are said to have, or their numbers."""
    if isinstance(plan.schema, Tabular) and plan.schema.label is not None and (names := plan.schema.made.columns[plan.schema.label].classes):
        return names
    return [str(k) for k in range(min(plan.classes, CLASSES))] if plan.classes else None


def tolerated(facts: dict, max_bad: float | None, hint: str = "", missing: bool = True) -> dict:
    """What data.json says of bad records, unless they are too many: the error says which, and `hint`. `missing`: whether the user
    can say which words mean that a value is missing."""
    count = sum(facts["bad"].values())
    total = facts["characters"] or count + sum(facts["rows"])
    demand(total > 0, "no rows in the inputs")
    reasons = ", ".join(f"{number} {reason}" for reason, number in facts["bad"].items())
    if too_many(count, total, max_bad):
        what = "characters" if facts["characters"] else "records"
        allowed = f"{100 * count / total:.3g} %; --max-bad allows {100 * (MOST_BAD if max_bad is None else max_bad):.3g} %"
        head = (f"all {total} {what} are bad" if count == total else f"{count} of {total} {what} are bad ({allowed})") + f": {reasons}"
        if facts["characters"]:
            head += "; if the text has another encoding, convert it, for example with: iconv -f LATIN1 -t UTF-8"
        elif NOT_UTF_8 in facts["bad"]:
            head += f"; {ANOTHER}"
        more = [*told(facts["misread"]), *filter(None, [advice(facts["misread"]) if missing else ""])]
        raise DataError("\n  ".join([head + hint, *more, *map(shown, facts["samples"])]))
    return {"count": count, "of": total, "reasons": facts["bad"],
            "samples": [{name: sample[name] for name in Sample.__annotations__ if name in sample} for sample in facts["samples"]]}


def description(plan: Plan, facts: dict, bad: dict, notes: list[str]) -> dict:
    schema, classes, target, notes = plan.schema, plan.classes, None, [*plan.schema.notes, *notes]
    if facts["comments"]:
        notes.append("1 line that begins with # was left out as a comment" if facts["comments"] == 1 else
                     f"{facts['comments']} lines that begin with # were left out as comments")
    if facts["left_out"]:
        count = facts["left_out"]
        notes.append(f"{count:,} row{'s were' if count > 1 else ' was'} left out for a missing value, as the schema says")
    notes += [f"warning: {text}" for text in (*told(facts["misread"]), *unseen_told(facts["unseen"]))]
    labels = Numbers.load(facts["labels"])
    if labels.count and labels.whole == labels.count and max(-labels.least, labels.largest) >= EXACT:
        notes.append("warning: labels of more than 15 digits are rounded: some ids this long become equal")
    if schema.target is not None:
        low, high = (labels.least, labels.largest) if labels.count else (None, None)
        classes = classes or schema.classes()
        if classes is None and labels.count and labels.whole == labels.count and 0 <= low and high < EXACT:
            classes = max(2, int(high) + 1)
        target = asdict(Target(tuple(schema.target), classes, low, high))
    train = plan.shards - plan.validation
    return {"format": FORMAT, "uid": plan.uid(facts["content"]), "seed": plan.seed, "dtype": plan.dtype,
            "shape": schema.shape, "target": target, "weighted": schema.weight is not None,
            "columns": schema.features(), "named": schema.named, "label": schema.label,
            "weight": schema.weight, "notes": notes, "bad": bad, **schema.described(facts),
            "counts": _counts(classes if schema.target == [] else None, facts["classes"]),
            **({"sparse": True} if schema.sparse else {}), "spread": [labels.mean, labels.deviation] if labels.count else None,
            "shards": [{"name": f"part-{index:05d}", "n": n,
                        "role": "train" if index < train else "validation"}
                       for index, n in enumerate(facts["rows"])]}


def _counts(classes: int | None, labels: dict[str, int] | None) -> list[int] | None:
    """The training rows of each class."""
    if classes is None or labels is None or classes > CLASSES:
        return None
    return [labels.get(repr(float(k)), 0) for k in range(classes)]
