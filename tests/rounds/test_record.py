"""Records of workers: each kind comes back from its JSON, and what is of no kind is refused."""
import json

import pytest

from mrdl.rounds.partial import PartialError
from mrdl.rounds.record import Described, Failed, Scored, Trained, facts, order, parse

RECORDS = [
    Trained("d/00001", 3, "a1b2", 25, 25, 30, 4, {"loss": [1.5, 25.0]}, {}, "mrdl 1", 1 << 20, 4096, ["slot-3", "ab"], {"compute": 0.5}, 7),
    Scored("d/00002", 9, {"loss": [float("inf"), 9.0]}, {"classes": [4.0, 5.0]}, "mrdl 1", {"score": 1}, 0),
    Described("d/00000", 9, [[9, [0.5], [1.0], [0.0], [1.0]]], "mrdl 1"),
    Failed("KeyError", "'x'", "shard d/00003, block 1", "Traceback ..."),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kind)
def test_a_record_comes_back_from_its_json(record):
    sent = json.loads(json.dumps(facts(record)))
    assert "worker" not in sent and parse(record.worker, sent) == record


@pytest.mark.parametrize("change, reason", [
    ({"kind": "else"}, "not know its kind"), ({"kind": None}, "not know its kind"), ({"n": -1}, "it.n is -1"), ({"sums": [1]}, "it.sums is"),
    ({"more": 1}, "more"), ({"seconds": {"compute": "1"}}, "it.seconds.compute is")])
def test_a_record_of_no_kind_is_refused(change, reason):
    with pytest.raises(PartialError, match=f"the record of worker 7 is damaged: .*{reason}"):
        parse(7, {**facts(RECORDS[0]), **change})
    with pytest.raises(PartialError, match="it has no shard"):
        parse(7, {name: value for name, value in facts(RECORDS[0]).items() if name != "shard"})


def test_records_come_by_worker_and_shard():
    assert [r.kind for r in sorted(RECORDS, key=order)] == ["failed", "described", "scored", "trained"]
