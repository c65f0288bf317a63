"""What prepare counts of its rows, and how two counts make one."""
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from mrdl.data.corpus import SAMPLES
from mrdl.data.holdout import joined, together
from mrdl.data.misread import misread
from mrdl.data.tables.statistics import Numbers

MOST_BAD = 0.001                # share of records that may be bad, where the user does not say it;
FEW_BAD, PART = 5, 0.1          # or so many, up to this share: one bad row of 23 tells nothing of the others
CLASSES = 256                   # different labels, up to which the rows of each are counted
SUMS = ("comments", "left_out", "tokens", "unknown", "characters", "content")      # facts of a corpus that are summed


def too_many(bad: int, total: int, most: float | None = None) -> bool:
    """Whether so many of all records are bad that there must be a mistake in the input, or in what was said of it. `most`: the
    share that the user allows; None: MOST_BAD, or FEW_BAD records, up to PART of all, but always one."""
    allowed = most * total if most is not None else max(MOST_BAD * total, min(FEW_BAD, max(1, PART * total)))
    return bad > allowed or bad == total


def merged_facts(values: Iterable[bytes]) -> bytes:
    """The facts of all mappers as one."""
    return json.dumps(merged(json.loads(value[1:]) for value in values)).encode()


def merged(facts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The facts of all mappers (Rows.facts) as one."""
    facts = list(facts)
    bad, unseen = (sum((Counter(fact[name]) for fact in facts), Counter()) for name in ("bad", "unseen"))
    samples = sorted((sample for fact in facts for sample in fact["samples"]), key=sample_order)
    labels = Numbers()
    for fact in facts:
        labels.merge(Numbers.load(fact["labels"]))
    return {
        **{name: counted([fact[name] for fact in facts]) for name in ("classes", "held_out")},
        "distinct": together(fact["distinct"] for fact in facts),
        "strata": joined(fact["strata"] for fact in facts),
        "rows": [sum(counts) for counts in zip(*(fact["rows"] for fact in facts))],
        "bad": dict(sorted(bad.items())), "misread": misread(fact["misread"] for fact in facts), "unseen": dict(sorted(unseen.items())), "samples": samples[:SAMPLES],
        "labels": labels.dump(),
        "short": smallest([fact["short"] for fact in facts]),
        **{name: sum(fact[name] for fact in facts) for name in SUMS}}


def counted(parts: Iterable[dict[str, int] | None]) -> dict[str, int] | None:
    """How many rows each label has, by its text; None where there are too many labels."""
    found: Counter = Counter()
    for part in parts:
        if part is None or len(found.update(part) or found) > CLASSES:
            return None
    return dict(sorted(found.items()))


def sample_order(sample: dict) -> tuple:
    """What samples are sorted by: of a corpus the place in the stream."""
    return sample.get("place", 0), sample["file"], sample["offset"]


def smallest(found: list) -> list | None:
    return min(filter(None, found), default=None)
