"""A worker is a pure function of state, plan and lines; what it cannot do, it says in a record."""
import io
import json

import numpy as np
import pytest
from block_lines import shard
from mrdl.jobs.describe import Describe
from mrdl.jobs.evaluate import Evaluate
from mrdl.jobs.predict import Predict
from mrdl.jobs.train import TrainRound

from mrdl.data import blocks
from mrdl.data.windows import WINDOW
from mrdl.driver import schedule
from mrdl.rounds.partial import PartialError, PartialProtocol
from mrdl.rounds.state import State, StateError
from mrdl.worker import answer, train


def worked(given, lines):
    protocol, found = PartialProtocol(), {}
    for key, p in answer.work(lines, *given[:2]):
        found.setdefault(key, []).append(protocol.read(protocol.write(key, p))[1])
    return found


def of_the_work(found):
    """What was emitted, without the times and the memory that it took."""
    return {key: [(p.worker, p.n, p.values.tobytes() if isinstance(p.values, np.ndarray) else
                   {k: v for k, v in p.values.items() if k not in ("seconds", "memory")}) for p in ps]
            for key, ps in found.items()}


def test_a_retry_or_a_speculative_copy_emits_the_same_bits(given_round, monkeypatch):
    given = given_round()
    first = of_the_work(worked(given, shard()))
    monkeypatch.setenv("mapreduce_task_attempt_id", "attempt_1_2_m_000000_3")
    assert of_the_work(worked(given, shard())) == first
    (record,) = first["record"]
    assert record[1] == 25 and record[2]["updates"] == 4


@pytest.mark.parametrize("job, lines, emitted", [
    (TrainRound, [], 0), (TrainRound, shard(sizes=(1,)), 2), (Evaluate, [], 0),
    (Evaluate, shard(1, (1,)), 1), (Describe, [], 0), (Describe, shard(1, (1,)), 1), (Predict, [], 0), (Predict, shard(sizes=(1,)), 1)])
def test_each_job_takes_an_empty_split_and_a_single_example(given_round, job, lines, emitted):
    state, path, _ = given_round()
    out = io.BytesIO()
    mapper = job(["--mapper", "--state", state, "--plan", path])
    mapper.sandbox(stdin=io.BytesIO(b"".join(x + b"\n" for x in lines)), stdout=out)
    mapper.execute()
    assert len(out.getvalue().splitlines()) == emitted
    if job is TrainRound:
        reduced = io.BytesIO()
        reducer = job(["--reducer", "--state", state, "--plan", path])
        reducer.sandbox(stdin=io.BytesIO(out.getvalue()), stdout=reduced)
        reducer.execute()
        assert len(reduced.getvalue().splitlines()) == emitted


def test_nothing_is_averaged_from_a_damaged_partial(given_round):
    state, path, _ = given_round()
    protocol = PartialProtocol()
    lines = [protocol.write(k, p) for k, p in answer.work(shard(), state, path)]
    whole = next(line for line in lines if not line.startswith(b"record"))
    reducer, out = TrainRound(["--reducer", "--state", state, "--plan", path]), io.BytesIO()
    reducer.sandbox(stdin=io.BytesIO(whole + b"\n" + whole[:-9] + b"\n"), stdout=out)
    with pytest.raises(PartialError, match="damaged partial line"):
        reducer.execute()
    assert not out.getvalue()


def test_a_damaged_state_comes_as_a_record(given_round, tmp_path):
    given = given_round()
    (tmp_path / "state").write_bytes(b"x" * 50)
    error = worked(given, shard())["record"][0].values
    assert (error["kind"], error["raised"]) == ("failed", "StateError") and "not a state of a run" in error["message"]


def damaged(lines, at):
    line = bytearray(lines[at])
    line[-20] = ord("A") if line[-20] != ord("A") else ord("B")
    return lines[:at] + [bytes(line)] + lines[at + 1:]


@pytest.mark.parametrize("lines, kind, message, where", [
    (damaged(shard(), 1), "BlockError", "checksum", "block"),
    (shard()[1:], "BlockError", "block 1 comes first", "the input, line 1"),
    ([shard()[0], shard()[2]], "BlockError", "block 2 comes after block 0", "the input, line 2"),
    ([b"not a block"], "BlockError", "damaged block", "the input, line 1"),
    ([shard()[0], shard(seed=1)[1]], "BlockError", "does not continue the block before it", "the input, line 2"),
    (shard() + shard(3), "BlockError", "no part in this round", "shard d/00003"),
    (shard(1) + shard(9), "BlockError", "no part in this round", "shard d/00009")])
def test_what_a_worker_cannot_read_comes_as_a_record_and_the_input_is_drained(
        given_round, lines, kind, message, where, monkeypatch):
    monkeypatch.delenv("mapreduce_map_input_file", raising=False)       # a worker in this process may have set it
    lines = iter(lines)
    found = worked(given_round(), lines)
    error = found["record"][-1].values
    assert error["raised"] == kind and message in error["message"] and where in error["where"]
    assert "Traceback" in error["traceback"] and next(lines, None) is None


def test_two_shards_to_train_in_one_mapper_are_refused(given_round):
    given = given_round(train={"d/00000": 0, "d/00005": 1})
    error = worked(given, shard() + shard(5))["record"][-1].values
    assert "each shard must be an input split of its own" in error["message"]


def test_a_worker_goes_along_its_course_and_reports_that_it_is_alive(given_round, monkeypatch):
    """Hadoop kills a task that neither reads nor reports for ten minutes; from the second epoch on this one reads nothing."""
    monkeypatch.setattr(train, "REPORT", 0.0)
    course = [(0, "d/00000"), (0, "d/00005"), (1, "d/00005"), (1, "d/00000")]
    state, path, _ = given_round(course=course, score=[])
    said: list[str] = []
    (_, record), = (pair for pair in answer.work(shard() + shard(5, (7,)), state, path, report=said.append) if pair[0] == "record")
    assert record.n == 64 and record.values["n"] == record.values["present"] == 64 and record.values["updates"] == 2 * (4 + 1)
    assert list(dict.fromkeys(said)) == [f"trains on shard {number} of 4" for number in (1, 2, 3, 4)]
    (_, error), = answer.work(shard() + shard(3), state, path)
    assert "one mapper got d/00003 where it needed shard d/00005" in error.values["message"]


def test_a_label_outside_the_outputs_is_said_with_shard_and_block(given_round):
    lines = shard()
    bad, before = blocks.unpack(lines[2]).arrays(), blocks.unpack(lines[1]).seal
    lines[2] = blocks.pack({"x": bad["x"], "y": np.full(5, 7, "i4")}, dataset="d", shard=0, index=2,
                           role="train", before=before)
    error = worked(given_round(), lines)["record"][-1].values
    assert "label 7 is outside 0..2" in error["message"] and "shard d/00000" in error["where"]


@pytest.mark.parametrize("error", [OSError("disk"), MemoryError()])
def test_io_and_memory_errors_fail_the_task_so_that_it_is_tried_again(given_round, error):
    def lines():
        yield shard()[0]
        raise error

    with pytest.raises(type(error)):
        worked(given_round(), lines())


def test_rows_of_a_round_are_its_minibatches_and_skipped_blocks_are_not_decoded(given_round,
                                                                                 monkeypatch):
    from mrdl.training import learner
    decoded, seen = [], []
    arrays, step = blocks.Block.arrays, learner.Learner.step
    monkeypatch.setattr(blocks.Block, "arrays",
                        lambda self: decoded.append(self.index) or arrays(self))
    monkeypatch.setattr(learner.Learner, "step", lambda self, a, index, key, number: (
        seen.extend(a["x"][index, 0].tolist()), step(self, a, index, key, number)))
    lines = shard(sizes=(3,) * (3 * WINDOW))            # windows of 24 rows, 8 to a minibatch
    rows = []
    for part in range(5):
        decoded.clear(), seen.clear()
        given = given_round(first=part * 2, count=2)
        record = worked(given, lines)["record"][0].values
        assert (record["n"], record["present"]) == (len(seen), 72)
        first, last = part * 16 // 24, min((part * 16 + len(seen) - 1) // 24, 2)
        assert decoded == list(range(first * WINDOW, (last + 1) * WINDOW))
        rows += seen
        if len(rows) == 72:
            break
    assert sorted(rows) == list(range(72)) and rows != sorted(rows)


def test_scores_do_not_depend_on_how_shards_are_packed_into_mappers(given_round):
    given = given_round()
    apart = [worked(given, shard(i, seed=i))["record"] for i in (1, 2)]
    together = worked(given, shard(2, seed=2) + shard(1, seed=1))["record"]
    sums = {p.values["shard"]: p.values["sums"] for p in together}
    assert sums == {p.values["shard"]: p.values["sums"] for (p,) in apart}


@pytest.mark.parametrize("data", [
    b"", b"x" * 100, b"\xff" * 8, (1 << 60).to_bytes(8, "little") + b"{}",
    (40).to_bytes(8, "little") + json.dumps({"__metadata__": {}}).encode().ljust(40)])
def test_a_file_that_is_no_state_is_refused(tmp_path, data):
    (tmp_path / "state").write_bytes(data)
    with pytest.raises(StateError, match="not a state of a run"):
        State.parse(data, "state-1")
    with pytest.raises(StateError, match="not a state of a run"):
        State.load(str(tmp_path / "state"))


@pytest.mark.parametrize("load", [lambda path: State.load(str(path)),
                                  lambda path: State.parse(path.read_bytes(), "state")])
def test_a_state_gives_back_every_bit(tmp_path, load):
    vector = np.random.default_rng(0).standard_normal(30).astype("f4")
    state = State(vector, 10, round=3, iterations=7, epoch=1, group=2, part=1, rate_scale=0.25)
    (tmp_path / "state").write_bytes(state.dump())
    read = load(tmp_path / "state")
    assert read.vector.tobytes() == vector.tobytes() and read.slots.shape == (2, 10)
    assert read.outer.tobytes() == state.outer.tobytes()
    assert {k: v for k, v in vars(read).items() if k not in ("vector", "outer")} == {
        k: v for k, v in vars(state).items() if k not in ("vector", "outer")}
    assert state.dump() == read.dump()


def test_held_out_shards_are_packed_evenly_into_few_mappers():
    from mrdl.data.dataset import Shard
    shards = [Shard(i, f"p{i}", f"p{i}", n, "validation", 1, "") for i, n in enumerate([9, 1, 5, 5, 2])]
    hands = schedule.pack(shards, 2)
    assert sorted(s.index for hand in hands for s in hand) == list(range(5))
    assert sorted(sum(s.n for s in hand) for hand in hands) == [11, 11]
    assert schedule.pack(shards, 9) and len(schedule.pack(shards, 9)) == 5 and schedule.pack([], 3) == []
