"""What lies in the folder by which a driver and its resident workers meet."""
import numpy as np
import pytest

from mrdl.codings import Float16
from mrdl.rounds.coded import Coded, message
from mrdl.rounds.meeting import Meeting, Result
from mrdl.rounds.partial import PartialError


@pytest.fixture
def meeting(tmp_path):
    return Meeting(str(tmp_path / "meeting"))


def test_results_come_back_whole_and_by_ranges(meeting):
    values = [np.arange(5, dtype="f4"), np.arange(5, 8, dtype="f4")]
    meeting.leave(3, 1, Result(1, 9, records=[[1, 9, {"a": 1}]]), values)
    head, found = meeting.read(3, 1)
    assert found.tolist() == list(range(8)) and head == meeting.head(3, 1)
    assert (head.worker, head.n, head.size, head.records) == (1, 9, 8, [[1, 9, {"a": 1}]])
    assert [meeting.values(3, 1, head, [(0, 5), (5, 8)], first, 2).tolist() for first in (0, 1)] == [list(range(8)), [5, 6, 7]]
    assert meeting.results(3) == [1] and meeting.results(3, "part") == meeting.results(2) == []
    with pytest.raises(PartialError, match="ends before value 99"):
        meeting.values(3, 1, head, [(0, 5), (5, 99)], 1, 2)
    sent = [message(v, [(0, len(v), Float16())]) for v in values]
    meeting.leave(4, 1, Result(1, 9), sent)
    head, found = meeting.read(4, 1)
    assert found.tolist() == list(range(8)) and head.size == 8 and head.coded == [len(part) for part in sent]
    assert meeting.values(4, 1, head, [(0, 5), (5, 8)], 1, 2).tolist() == [5, 6, 7]
    meeting.leave(5, 1, Result(1, 9), [Coded(b"\x01" + bytes(sent[0])[1:4] + b"\x77" + bytes(sent[0])[5:])])
    with pytest.raises(PartialError, match="done-0001 is damaged: this version does not know coding 119"):
        meeting.read(5, 1)


def test_a_twins_result_and_a_rivals_question_change_nothing(meeting):
    meeting.leave(1, 0, Result(0, 5), [np.ones(3, "f4")])
    meeting.leave(1, 0, Result(0, 6), [np.zeros(3, "f4")])
    assert meeting.read(1, 0)[0].n == 5
    meeting.ask(2, {"a": 1}, b=2, c=1e-05, d=2**63)
    with pytest.raises(FileExistsError, match="another driver asks"):
        meeting.ask(2, {"a": 2}, b=3)
    asked = Meeting(meeting.store.url).asked(2)
    assert [asked[key] for key in "abcd"] == [1, 2, 1e-05, 2**63]
    assert meeting.asked(3) is None and meeting.questions() == [2] and not meeting.store.list(".0*")
    meeting.forget(2)
    assert meeting.questions() == []


@pytest.mark.parametrize("damage", [
    lambda data: b"", lambda data: data[:5], lambda data: data[4:], lambda data: data[:-1],
    lambda data: data[:-8] + b"\xff" * 8, lambda data: data.replace(b'"size"', b'"sise"'),
    lambda data: data.replace(b'"size": 3', b'"size": 4')])
def test_a_damaged_result_is_refused(meeting, damage):
    meeting.leave(1, 0, Result(0, 5), [np.ones(3, "f4")])
    path = meeting.store.path("000001/done-0000")
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(damage(data))
    for read in meeting.read, meeting.head:
        with pytest.raises((PartialError, OSError)):
            read(1, 0)
