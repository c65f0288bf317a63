"""What driver and workers on one machine share: memory, boxes with messages, bells."""
import os
import resource
import threading

import numpy as np
import pytest

from mrdl.codings import Float16
from mrdl.rounds import memory
from mrdl.rounds.coded import message
from mrdl.rounds.meeting import Meeting, Result
from mrdl.rounds.memory import Memory
from mrdl.rounds.nearby import DRIVER, boxes, meeting_at
from mrdl.rounds.partial import PartialError


@pytest.fixture
def both(tmp_path):
    """(the driver's meeting, that of worker 1 of 2), in rows of 32 bytes."""
    driver, worker = (meeting_at(str(tmp_path / "meeting")) for _ in range(2))
    driver.begin(2, [], Memory.made(2, 32, boxes(2)))
    assert worker.setup() == (2, [])
    worker.arrive(1, {})
    yield driver, worker
    worker.quit()
    driver.close()


def test_a_row_is_seen_by_all_and_known_by_its_values(both):
    driver, worker = both
    assert worker.memory.rows.shape == (memory.MEANS + 2 + 1, 32)
    worker.memory.row(1, "f4")[:] = range(8)
    row = driver.memory.row(1, "f4")
    assert row.tolist() == list(range(8)) and driver.memory.number(row) == driver.memory.number(row[:3]) == 1
    assert driver.memory.number(row.copy()) is driver.memory.number(row[1:]) is driver.memory.number(worker.memory.row(1, "f4")) is None


def test_a_message_that_is_being_written_is_not_there(both):
    driver, worker = both
    assert driver.memory.get(3) is None and worker.memory.put(3, 7, b"text") and driver.memory.get(3) == (7, b"text")
    place = driver.memory.boxes[3] + memory.HEAD.size
    driver.memory.whole[place:place + 1] = b"n"
    assert worker.memory.get(3) is None
    assert not driver.memory.put(3, 8, bytes(memory.BOX))
    assert driver.memory.get(4) is None             # it reached none of its neighbours


def test_memory_is_no_file_and_nobody_opens_it_after_its_end(both):
    driver, worker = both
    late = meeting_at(worker.store.url)
    assert os.readlink(driver.memory.facts[0]).startswith("/memfd:")        # which no folder has
    driver.memory.close()
    with pytest.raises(FileNotFoundError):
        late.setup()
    worker.memory.row(0, "f4")[:] = 1               # who has it keeps it


def test_where_there_is_no_such_memory_there_is_none(monkeypatch):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (memory.BOX, hard))
        assert Memory.made(2, 32, 5) is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    monkeypatch.delattr(os, "memfd_create")
    assert Memory.made(2, 32, 5) is None


def test_answers_lie_in_rows_and_an_older_training_stays(both):
    driver, worker = both
    driver.ask(4, {"what": "train"}, {"1": ["a", "b"]}, iterations=3)
    asked = worker.asked(2)                         # question 2 and 3 had nothing to do for this worker
    assert (asked["number"], asked["what"], asked["iterations"], asked["kept"]) == (4, "train", 3, {"1": ["a", "b"]})
    assert worker.asked(5) is None and worker.questions() == [4]
    values = [np.arange(3, dtype="f4"), np.arange(3, 8, dtype="f4")]
    worker.leave(4, 1, Result(1, 9, records=[[1, 9, {"a": 1}]]), values, row=driver.memory.of(1))
    head, found = driver.read(4, 1)
    assert found.tolist() == list(range(8)) and driver.memory.number(found) == driver.memory.of(1) and head == driver.head(4, 1)
    assert driver.values(4, 1, head, [(0, 3), (3, 8)], 1, 2).tolist() == [3, 4, 5, 6, 7]
    assert driver.results(4) == [1] and driver.results(4, "part") == driver.results(3) == [] and not driver.has(4, 0)
    worker.leave(4, 1, Result(1, 9), [np.ones(2, "f4")], "part", row=0, start=6)
    assert driver.read(4, 1, "part")[1].tolist() == driver.memory.row(0, "f4")[6:].tolist() == [1, 1]
    worker.leave(5, 1, Result(1, records=[[1, 9, {"b": 1}]]), [], row=driver.memory.of(1))
    assert driver.results(5) == [1] and driver.read(5, 1)[0].records == [[1, 9, {"b": 1}]]
    assert driver.read(4, 1)[1].tolist() == list(range(8))      # it may have to be emitted
    with pytest.raises(PartialError, match="done 1 of question 6 is gone"):
        driver.read(6, 1)


def test_two_questions_are_open_and_taken_in_their_order(both):
    driver, worker = both
    for number in 1, 2, 3:
        driver.ask(number, {"what": number})
        worker.leave(number, 1, Result(1, number), [np.full(8, number, "f4")], row=driver.memory.of(1))
        open_ = list(range(max(1, number - 1), number + 1))
        assert worker.questions() == open_[:1]
        assert [worker.asked(n)["number"] for n in range(1, number + 1)] == [max(n, open_[0]) for n in range(1, number + 1)]
        assert [n for n in range(1, 4) if driver.results(n)] == open_ and worker.asked(number + 1) is None
        assert [n for n in range(1, 4) if worker.passed(n)] == list(range(1, number - 1))


def test_a_question_that_is_replaced_meanwhile_is_not_left_out(both, monkeypatch):
    """The later one is looked for first: while the two are asked, a worker sees none, the first, or both."""
    driver, worker = both
    get = worker.memory.get

    def meanwhile(box):
        found = get(box)
        for number in (1, 2) if not driver.common else ():
            driver.ask(number, {})
        return found
    monkeypatch.setattr(worker.memory, "get", meanwhile)
    assert worker.asked(1)["number"] == 1


def test_long_messages_and_coded_answers_lie_in_files(both):
    driver, worker = both
    driver.ask(4, {}, {"1": ["x" * memory.BOX, ""]})
    assert len(worker.asked(4)["kept"]["1"][0]) == memory.BOX
    records = [[1, 9, {"a": "x" * memory.BOX}]]
    worker.leave(4, 1, Result(1, 9, records=records), [np.arange(8, dtype="f4")], row=driver.memory.of(1))
    head, found = driver.read(4, 1)
    assert head.records == records and found.tolist() == list(range(8)) and driver.results(4) == [1]
    worker.leave(5, 1, Result(1, 9), [message(np.arange(8, dtype="f4"), [(0, 8, Float16())])], row=driver.memory.of(1))
    assert driver.read(5, 1)[1].tolist() == driver.values(5, 1, driver.head(5, 1), [(0, 8)], 0, 1).tolist() == list(range(8))


def test_who_waits_is_woken(both):
    driver, worker = both
    woken = []
    thread = threading.Thread(target=lambda: (worker.sleep(1000), woken.append(worker.asked(1)["number"])))
    thread.start()
    driver.ask(1, {})
    thread.join()
    worker.leave(1, 1, Result(1), [])
    driver.sleep(1000)
    assert woken == driver.results(1) == [1]


def test_without_pipes_they_look_from_time_to_time(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(1, "no pipes here", path)
    monkeypatch.setattr(os, "mkfifo", refused)
    driver = meeting_at(str(tmp_path / "meeting"))
    driver.begin(1, [])
    driver.ask(1, {})
    driver.sleep(0.001)
    assert driver.bell is None and not driver.store.exists(f"bell-{DRIVER}")
    assert Meeting(driver.store.url).asked(1)["number"] == 1
