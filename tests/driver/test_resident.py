"""Resident rounds: the bits of plain ones, whatever dies; what workers keep; when they are used."""
import os
import random
import resource
import signal
import threading
import time
from contextlib import suppress

import numpy as np
import pytest
from processes import children, driver, result, wait_for_round
from shards import rows as whole

import mrdl
from mrdl.config import ConfigError
from mrdl.driver.exchanges import resident
from mrdl.driver.scoring import WorkerFailed
from mrdl.layers import LSTM, BatchNormalization, Dense, Dropout, Normalization
from mrdl.losses import SparseCategoricalCrossentropy
from mrdl.optimizers import SGD
from mrdl.rounds.meeting import Meeting, Pauses
from mrdl.rounds.memory import Memory
from mrdl.rounds.nearby import boxes, meeting_at
from mrdl.runners.cluster import Cluster
from mrdl.runners.failures import JobFailed
from mrdl.runners.output import Background
from mrdl.runs.run import Run
from mrdl.schedules import PiecewiseConstantDecay
from mrdl.worker import cache, reading
from mrdl.worker import resident as resident_worker


def fit(data, run, runner="local", told=None, width=16, layers=(), **options):
    model = mrdl.Sequential([*layers, *([Dense(width, "relu"), Dropout(0.2)] * (not layers)), Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    training = mrdl.ParameterAveraging(**{
        "workers": 2, "batch_size": 8, "averaging_frequency": 2, "epochs": 2, "runner": runner,
        "resident": "always" if runner == "local" else "never", **options})
    return training.fit(model, data.url, run=str(run), told=told)


# -- the same bits

@pytest.mark.parametrize("shards", [1, 2, 7])
@pytest.mark.parametrize("shared, apart", [(True, resident.APART), (False, resident.APART), (False, 0)],
                         ids=["shared memory", "driver merges", "workers merge"])
def test_plain_and_resident_rounds_give_the_same_bits(tmp_path, made, monkeypatch, shards, shared, apart):
    monkeypatch.setattr(resident, "APART", apart)
    monkeypatch.setattr(resident, "SHARED", shared)
    data = made(170, shards=shards, hold_out=0.2, dtype="float32")
    fit(data, tmp_path / "plain", "inline")
    fit(data, tmp_path / "resident")
    assert result(tmp_path / "resident") == result(tmp_path / "plain")
    assert "val_loss" in Run(tmp_path / "resident").finished()["metrics"]


@pytest.fixture(params=[0.25, 0], ids=["shared memory", "files"])
def shared(request, monkeypatch):
    """How much memory driver and workers may share."""
    monkeypatch.setattr(resident, "SHARED", request.param)


@pytest.fixture
def files(monkeypatch):
    """Driver and workers share no memory, as if they ran on several machines."""
    monkeypatch.setattr(resident, "SHARED", 0)


@pytest.mark.parametrize("options", [{"save_updater": False}, {"class_weight": {0: 2.0}, "workers": 3},
                                     {"averaging_frequency": None}])
def test_so_they_do_with_other_options(tmp_path, made, options, shared):
    data = made(130, shards=3, dtype="float64")
    fit(data, tmp_path / "plain", "inline", **options)
    fit(data, tmp_path / "resident", cores=3, **options)
    assert result(tmp_path / "resident") == result(tmp_path / "plain")


def test_workers_come_to_the_next_state_by_themselves(tmp_path, made, monkeypatch, files):
    """They read the first state alone; statistics of data do not keep them from it."""
    (tmp_path / "no-state").write_text("no state")
    ask, asked = resident.ResidentExchange._ask, []

    def misled(self, question):
        asked.append(question)
        common = {**question.common, "path": str(tmp_path / "no-state")} if len(asked) > 1 else question.common
        ask(self, question._replace(common=common))
    monkeypatch.setattr(resident.ResidentExchange, "_ask", misled)
    model = mrdl.Sequential([Normalization(), Dense(4), BatchNormalization(), Dense(3, "softmax")], dtype="float64")
    model.compile("adam", "sparse_categorical_crossentropy")
    mrdl.ParameterAveraging(workers=3, batch_size=8, rounds=5, resident="always", cores=3).fit(
        model, made(140, shards=3, dtype="float64").url, run=str(tmp_path / "run"))
    assert len(asked) == 6                      # five rounds, and the end


def test_the_last_round_is_a_plain_one_whose_output_is_the_state(tmp_path, made, monkeypatch):
    data, ends = made(90, shards=2, dtype="float32"), []
    gather = resident.ResidentExchange._gather
    monkeypatch.setattr(resident.ResidentExchange, "_gather",
                        lambda *a: ends.append(gather(*a)) or ends[-1])
    fit(data, tmp_path / "run", averaging_frequency=None)
    last = Run(tmp_path / "run").state(Run(tmp_path / "run").rounds()[-1])
    assert [end.vector.tobytes() for end in ends] == [last.vector.tobytes()]
    assert sorted(r.shard for r in ends[0].records) == [f"{data.uid}/0000{i}" for i in range(2)]


# -- asked ahead

@pytest.fixture
def order(monkeypatch):
    """What happened, in its order: a round was asked for, the workers' end was, or (see `told_to`) a round is done."""
    seen, ask = [], resident.ResidentExchange._ask

    def noted(self, question):
        seen.append("end" if "last" in question.common else f"ask {question.own['round']}")
        ask(self, question)
    monkeypatch.setattr(resident.ResidentExchange, "_ask", noted)
    return seen


def told_to(order):
    return lambda event, facts: event in ("round", "rollback") and facts.get("round", 1) and order.append(f"{event} {facts['round']}")


ONE_BY_ONE = ["ask 1", "round 1", "ask 2", "round 2", "ask 3", "round 3", "end"]


@pytest.mark.parametrize("options, wanted", [
    ({}, ["ask 1", "ask 2", "round 1", "ask 3", "round 2", "round 3", "end"]),
    # an end that is not foreseen: the workers have begun a third round, and do the second one again
    ({"until": "loss <= 1000000"}, ["ask 1", "ask 2", "round 1", "ask 1", "end"]),
    *((options, ONE_BY_ONE) for options in (
        {"save_updater": False}, {"save_updater": "keep"}, {"compress": "float16"}, {"outer": "momentum"}, {"averaging_frequency": "postlocal after 1"},
        {"layers": [BatchNormalization()]}, {"layers": [Normalization()]}, {"layers": [LSTM(4, return_sequences=True)], "tbptt": 2}))], ids=str)
def test_a_round_is_asked_ahead_where_all_is_known_of_it(tmp_path, made, order, options, wanted):
    """The bits are those of plain rounds; at the end the reducers' output is compared, too."""
    options = {"epochs": None, **({} if "until" in options else {"rounds": 3}), **options}
    data = made(90, shards=2, dtype="float32", steps="tbptt" in options)
    fit(data, tmp_path / "run", told=told_to(order), **options)
    assert order == wanted
    if wanted != ONE_BY_ONE:
        fit(data, tmp_path / "plain", "inline", **options)
        assert result(tmp_path / "run") == result(tmp_path / "plain")


def test_what_was_asked_ahead_of_a_round_that_is_not_finite_is_thrown_away(tmp_path, made, order):
    data = made(160, shards=2, dtype="float32")
    for name, runner, when in ("run", "local", "always"), ("plain", "inline", "never"):
        model = mrdl.Sequential([Dense(3)])
        # a rate above 3.4e38 is infinite in float32
        model.compile(SGD(PiecewiseConstantDecay([2, 3], [0.01, 3.5e38, 1e-30])), SparseCategoricalCrossentropy(from_logits=True))
        mrdl.ParameterAveraging(workers=2, batch_size=8, averaging_frequency=1, rounds=6, runner=runner, resident=when).fit(
            model, data.url, run=str(tmp_path / name), told=told_to(order) if name == "run" else None)
    assert result(tmp_path / "run") == result(tmp_path / "plain")
    assert order[6:12] == ["round 3", "ask 5", "rollback 4", "ask 4", "ask 5", "round 4"] and order[-3:] == ["ask 6", "ask 5", "end"]
    assert [record.get("rollbacks", 0) for record in Run(tmp_path / "run").records()] == [0, 0, 0, 0, 1]


def test_a_job_serves_so_many_rounds_and_another_one_goes_on(tmp_path, made, monkeypatch):
    data, begun = made(90, shards=2, dtype="float32"), []
    monkeypatch.setattr(resident, "BUDGET", 3)
    begin = Cluster.begin
    monkeypatch.setattr(Cluster, "begin", lambda *a, **k: begun.append(1) or begin(*a, **k))
    fit(data, tmp_path / "plain", "inline")
    fit(data, tmp_path / "resident")
    rounds = len(Run(tmp_path / "plain").rounds()) - 1
    assert len(begun) == -(-rounds // 3) > 1
    assert result(tmp_path / "resident") == result(tmp_path / "plain")


def test_a_job_that_cannot_write_its_last_state_is_warned_of(tmp_path, made, monkeypatch):
    data, told = made(90, shards=2, dtype="float32"), []

    def full(self, meanwhile):
        self.cancel()
        raise JobFailed("no room")
    monkeypatch.setattr(Background, "output", full)
    fit(data, tmp_path / "run", told=lambda event, facts: event == "warning" and told.append(facts["text"]))
    assert told == ["the job did not write its last state: no room"]
    fit(data, tmp_path / "plain", "inline")
    assert result(tmp_path / "run") == result(tmp_path / "plain")


def test_reducers_that_come_to_another_state_are_an_error(tmp_path, made, monkeypatch):
    gather = resident.ResidentExchange._gather

    def other(self, *arguments):
        merged = gather(self, *arguments)
        merged.vector[0] += 1
        return merged
    monkeypatch.setattr(resident.ResidentExchange, "_gather", other)
    with pytest.raises(RuntimeError, match="computed another state"):
        fit(made(90, shards=2, dtype="float32"), tmp_path / "run")


# -- faults

RESIDENT = ("--resident", "always")


@pytest.fixture
def undisturbed(tmp_path, made):
    data = made(160, shards=3, hold_out=0.2, dtype="float32")
    process = driver(tmp_path, data, tmp_path / "calm", "--resident", "never")
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    return data, result(tmp_path / "calm")


def test_20_kills_of_workers_and_drivers_in_200_rounds_change_no_bit(tmp_path, made):
    data = made(160, shards=3, hold_out=0.2, dtype="float32")
    process = driver(tmp_path, data, tmp_path / "calm", "-r", "inline", "--rounds", "200")
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    rng, kills, runs = random.Random(4), 0, 0
    while kills < 20:                           # a quick machine ends a run before it had them all
        run, runs = tmp_path / f"run-{runs}", runs + 1
        while not (Run(run).exists() and Run(run).finished()):
            process = driver(tmp_path, data, run, *RESIDENT, "--rounds", "200")
            left = rng.randrange(5)             # workers, or their server, then the driver
            while process.poll() is None and kills < 20:
                time.sleep(rng.uniform(0.05, 0.3))
                below = sorted(children(process.pid))
                if len(below) < 2 or not Run(run).rounds():     # the fork server has no children yet
                    continue
                with suppress(ProcessLookupError):
                    os.kill(rng.choice(below) if left else process.pid, signal.SIGKILL)
                    kills, left = kills + 1, left - 1
            _, told = process.communicate(timeout=120)
            assert process.returncode in (0, -signal.SIGKILL), told
        assert result(run) == result(tmp_path / "calm")


def test_a_driver_that_slept_and_was_overtaken_does_not_commit(tmp_path, undisturbed):
    data, calm = undisturbed
    run = tmp_path / "run"
    first = driver(tmp_path, data, run, *RESIDENT)
    wait_for_round(run, 5)
    first.send_signal(signal.SIGSTOP)
    os.utime(run / "lease.json", (time.time() - 60,) * 2)
    second = driver(tmp_path, data, run, *RESIDENT)
    _, told = second.communicate(timeout=120)
    assert second.returncode == 0, told
    first.send_signal(signal.SIGCONT)
    _, told = first.communicate(timeout=60)
    assert first.returncode == 2 and "another driver" in told
    assert result(run) == calm


def test_a_worker_that_fails_tells_what_a_plain_one_tells(tmp_path, made):
    data, told = made(60, shards=2, dtype="float32"), []
    shard = data.train()[0].path
    with open(shard, "r+b") as file:
        file.seek(600)
        file.write(b"AAAA")
    for runner in "inline", "local":
        with pytest.raises(WorkerFailed, match=r"block 0 \(.*, line 1\): .*checksum.*; prepare the dataset again$") as failure:
            fit(data, tmp_path / runner, runner)
        told.append(str(failure.value).splitlines()[0])
    assert told[0] == told[1] and "block 0" in told[0]


def test_where_not_all_workers_come_plain_rounds_go_on(tmp_path, made, monkeypatch):
    data, events = made(90, shards=2, dtype="float32"), []
    monkeypatch.setattr(resident, "COME", 0.5)
    monkeypatch.setattr(resident, "SAY", 0.1)
    monkeypatch.setattr(Meeting, "come", lambda self: [1])
    fit(data, tmp_path / "run", told=lambda event, facts: events.append((event, facts.get("text"))))
    assert ("warning", "1 of 2 resident workers started within 0 s: continues with plain rounds") in events
    assert ("waiting", "1 of 2 resident workers have started; if some are missing after 0 s, training continues with plain rounds") in events
    monkeypatch.undo()
    fit(data, tmp_path / "plain", "inline")
    assert result(tmp_path / "run") == result(tmp_path / "plain")


@pytest.mark.parametrize("compress", [None, "topk 0.2"])
def test_a_twin_of_every_worker_changes_nothing(tmp_path, made, monkeypatch, files, compress):
    """As with speculative execution: each place has two who answer."""
    data, begin, twins, counters = made(400, shards=2, dtype="float32"), Cluster.begin, [], []

    def serve(twin, path):
        with open(path, "rb") as lines, suppress(OSError):      # its meeting ends before it does
            list(twin.serve(line.rstrip(b"\n") for line in lines))

    def with_twins(self, job, inputs, arguments, **more):
        for path in inputs:
            twins.append(resident_worker.Resident(Meeting(arguments[1]), cache.Shelf(), str, 60, lambda *c: counters.append(c)))
            threading.Thread(target=serve, args=[twins[-1], path], daemon=True).start()
        return begin(self, job, inputs, arguments, **more)
    monkeypatch.setattr(Cluster, "begin", with_twins)
    fit(data, tmp_path / "run", rounds=20, compress=compress)
    fit(data, tmp_path / "plain", "inline", rounds=20, compress=compress)
    assert result(tmp_path / "run") == result(tmp_path / "plain")
    assert len(twins) == 2 and all(twin.number > 5 for twin in twins)
    assert {name for group, name, amount in counters if group == "mrdl" and amount > 0} >= {"examples", "loss_millionths"}


def test_a_job_that_ends_before_its_workers_came_leaves_plain_rounds(tmp_path, made, monkeypatch):
    data, told = made(90, shards=2, dtype="float32"), []
    begin = Cluster.begin
    monkeypatch.setattr(Cluster, "begin", lambda self, job, inputs, arguments, **more: begin(
        self, job, inputs, ["--meeting", str(tmp_path / "nowhere"), *arguments[2:]], **more))
    fit(data, tmp_path / "run", told=lambda event, facts: event == "warning" and told.append(facts["text"]))
    assert told and "0 of 2 resident workers started: " in told[0] and "plain rounds" in told[0]
    fit(data, tmp_path / "plain", "inline")
    assert result(tmp_path / "run") == result(tmp_path / "plain")


def test_the_last_state_is_scored_by_a_job_where_the_workers_are_gone(tmp_path, made, monkeypatch):
    data, told = made(90, shards=2, hold_out=0.3, dtype="float32"), []
    answered = resident.ResidentExchange._answered

    def gone(self, state, *arguments):
        if state is None:
            self.job.cancel()
            raise JobFailed("killed")
        return answered(self, state, *arguments)
    monkeypatch.setattr(resident.ResidentExchange, "_answered", gone)
    fit(data, tmp_path / "run", told=lambda event, facts: event == "warning" and told.append(facts["text"]))
    assert told == ["the resident workers are gone (killed); a separate job scores the state"]
    fit(data, tmp_path / "plain", "inline")
    assert result(tmp_path / "run") == result(tmp_path / "plain")


@pytest.fixture
def small_files():
    """small_files() -> from then on this process writes no file beyond 64 KB; those that it has started do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("r, apart", [(0, resident.APART), (2, 0)])
def test_a_commit_that_fails_ends_the_run_and_says_why(tmp_path, made, monkeypatch, small_files, r, apart):
    """The workers wait for a state that is never written, and the driver for their answers."""
    monkeypatch.setattr(resident, "APART", apart)
    data, run = made(90, shards=2, dtype="float32"), tmp_path / "run"
    options = {"rounds": 3, "epochs": None, "width": 4000}

    def interrupt(event, facts):
        if event == "round" and facts["round"] == r - 1:
            raise KeyboardInterrupt
    if r:
        with pytest.raises(KeyboardInterrupt):
            fit(data, run, "inline", interrupt, **options)
    with Cluster("local", cores=2) as cluster:
        small_files()
        with pytest.raises(OSError, match=f"File too large.*state-{r:06d}.safetensors"):
            fit(data, run, cluster, resident="always", **options)
    assert not (run / "lease.json").exists()


# -- when

@pytest.fixture
def jobs(monkeypatch):
    """The jobs that were begun, by the names of their classes."""
    seen, made = [], Cluster._runner
    monkeypatch.setattr(Cluster, "_runner", lambda self, job, *a, **k: seen.append(
        job.__name__) or made(self, job, *a, **k))
    return seen


@pytest.mark.parametrize("cores, share, kinds", [
    (2, 0.0, ["TrainRound", "ResidentRounds"]),         # a round of a job costs more: workers stay
    (2, 1e9, ["TrainRound"] * 4),                       # it costs little
    (1, 0.0, ["TrainRound"] * 4),                       # they would not all run at once
])
def test_auto_begins_with_a_plain_round_and_measures_it(tmp_path, made, monkeypatch, jobs, cores,
                                                         share, kinds):
    data = made(90, shards=2, dtype="float32")
    jobs.clear()
    monkeypatch.setattr(resident, "SHARE", share)
    fit(data, tmp_path / "run", cores=cores, resident="auto", rounds=4)
    assert jobs == kinds


def test_resident_rounds_need_workers_that_stay(tmp_path, made):
    data = made(60)
    with pytest.raises(ConfigError, match="need -r local or -r hadoop, not inline"):
        fit(data, tmp_path / "run", "inline", resident="always")
    with pytest.raises(ConfigError, match="resident='yes' must be one of auto, always, never"):
        fit(data, tmp_path / "run", resident="yes")
    assert not (tmp_path / "run").exists()


# -- one worker

@pytest.fixture
def meeting(tmp_path):
    return Meeting(str(tmp_path / "meeting"))


def serving(meeting, lines, patience=60.0, told=lambda text: None):
    """A worker in a thread; `.emitted` is what it gives at its end."""
    def run():
        thread.emitted = list(resident_worker.Resident(
            Meeting(meeting.store.url), cache.Shelf(), told, patience, print).serve(lines))
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_worker_without_a_driver_leaves(meeting, monkeypatch, capfd):
    monkeypatch.setattr(resident_worker, "REPORT", 0.05)
    meeting.begin(1, [])
    told = []
    alone = serving(meeting, [b"0"], patience=0.3, told=told.append)
    for _ in range(10):                         # a driver that lives is waited for
        meeting.alive()
        time.sleep(0.06)
    assert alone.is_alive() and told[-1] == "waits in round 1"
    alone.join(10)
    assert alone.emitted == [] and "no sign of the driver" in capfd.readouterr().err


def test_a_worker_that_missed_a_question_goes_on_with_a_later_one(meeting, monkeypatch):
    monkeypatch.setattr(resident_worker, "REPORT", 0.05)
    meeting.begin(1, [])
    alone = serving(meeting, [b"0"])
    while not meeting.come():
        time.sleep(0.01)
    meeting.ask(3, {"last": 2})                     # 1 and 2 had no work for it, and are gone
    alone.join(20)
    assert alone.emitted == []


@pytest.fixture
def near(tmp_path):
    """The driver's meeting, and that of its one worker; they share memory."""
    driver, worker = (meeting_at(str(tmp_path / "near")) for _ in range(2))
    driver.begin(1, [], Memory.made(1, 32, boxes(1)))
    yield driver, worker
    worker.quit()
    driver.close()


def test_an_attempt_whose_forerunner_answered_both_open_questions_changes_neither(near):
    """Its work would read a file that does not exist."""
    driver, worker = near
    for number in 1, 2:
        driver.ask(number, {"work": {"0": [["nowhere"]]}, "trained": [0], "merge": {"0": [0, 1]}, "foresee": False, "state": None}, row=number, into=number + 1)
        driver.leave(number, 0, resident_worker.Result(0, 9, records=[[0, number, {}]]), [])
        driver.leave(number, 0, resident_worker.Result(0, 9), [np.ones(1, "f4")], "part", row=number + 1)
    asked, seen = worker.asked, []

    def ends(number):
        if number == 3:
            driver.ask(3, {"last": 2})
        seen.append(number)
        return asked(number)
    worker.asked = ends
    emitted = list(resident_worker.Resident(worker, cache.Shelf(), print, 60, print).serve([b"0"]))
    assert seen == [1, 2, 3] and [part.n for _, part in emitted] == [2]


def test_nobody_waits_for_what_was_asked_in_vain(near):
    """A worker that was started anew has left out question 1, as there are two later ones."""
    driver, worker = near
    worker.setup()
    waiting = resident_worker.Resident(worker, cache.Shelf(), print, 60, print)
    waiting.number, waiting.pauses = 1, {what: Pauses(1) for what in ("state", "results")}
    for number in 1, 2, 3:
        driver.ask(number, {"trained": [0]})
    waiting._merge({"trained": [0], "number": 1}, 0, 1)
    waiting._await_state({"number": 1, "merge": {"0": [0, 1]}, "into": 1}, {"row": 1})
    assert driver.results(1, "part") == []


def test_a_worker_whose_driver_died_before_it_came_leaves_at_once(meeting, capfd):
    meeting.begin(1, [])
    os.utime(meeting.store.path("driver"), (time.time() - 400,) * 2)
    alone = serving(meeting, [b"0"], patience=300)
    alone.join(20)
    assert alone.emitted == [] and "no sign of the driver for 400 s" in capfd.readouterr().err


def test_a_worker_that_waits_for_a_state_leaves_with_its_driver(meeting, monkeypatch, capfd):
    """It ends well: another attempt would wait as long, and so would a third and a fourth."""
    monkeypatch.setattr(resident_worker, "REPORT", 0.05)
    meeting.begin(1, [])
    meeting.ask(1, {"path": meeting.store.path("state-%06d"), "state": None, "plan": {}, "work": {"0": [[]]},
                    "dtype": "<f4", "size": 0, "trained": [], "merge": {}, "foresee": False}, round=1)
    alone = serving(meeting, [b"0"], patience=0.3)
    alone.join(20)
    assert alone.emitted == [] and "no sign of the driver" in capfd.readouterr().err


def test_a_worker_leaves_where_the_driver_has_given_up(meeting, monkeypatch, capfd):
    monkeypatch.setattr(resident_worker, "REPORT", 0.05)
    meeting.begin(1, [])
    alone = serving(meeting, [b"0"], patience=300)
    while not meeting.come():
        time.sleep(0.01)
    meeting.close()
    alone.join(20)
    assert alone.emitted == [] and "the driver has given up" in capfd.readouterr().err
    late = serving(meeting, [b"0"], patience=300)
    late.join(20)
    assert late.emitted == [] and f"{meeting.store.url} does not exist any more" in capfd.readouterr().err


def test_a_split_that_is_nobodys_home_is_refused(meeting, made):
    data = made(20, shards=1)
    meeting.begin(1, [("other/00000", "x")])
    with open(data.train()[0].path, "rb") as file, pytest.raises(ValueError, match="no worker of this job has this shard"):
        list(resident_worker.Resident(meeting, cache.Shelf(), print, 1, print).serve(
            line.rstrip(b"\n") for line in file))
    with pytest.raises(ValueError, match="no block: no worker of this job has this shard"):
        list(resident_worker.Resident(meeting, cache.Shelf(), print, 1, print).serve([]))


# -- the shelf

@pytest.mark.parametrize("container, rows", [("512", 128), ("4096", 256), ("-1", 256), (None, 256)])
def test_rows_take_no_more_than_a_quarter_of_a_container(container, rows, monkeypatch):
    monkeypatch.delenv("mapreduce_map_memory_mb", raising=False)
    if container:
        monkeypatch.setenv("mapreduce_map_memory_mb", container)
    with cache.Shelf() as kept:
        assert kept.memory == rows << 20


def test_a_worker_says_that_it_works(made):
    data, told = made(60, shards=1), []
    kept = resident_worker.Kept(cache.Shelf(), [data.train()[0].path], lambda: told.append("works"))
    assert sum(rows.n for rows in kept) == 60 and told == ["works"]


def blocks_of(shard):
    with open(shard.path, "rb") as file:
        yield from reading.Reading(line.rstrip(b"\n") for line in file)


@pytest.mark.parametrize("memory", [1 << 20, 0])
def test_rows_come_off_the_shelf_as_they_were_read_from_memory_or_disk(made, memory):
    data = made(5000, shards=2)
    with cache.Shelf(memory) as kept:
        for again in range(2):
            for shard in data.train():
                rows = kept.rows(shard.path, blocks_of(shard) if not again else None)
                joined = {name: np.concatenate([r.arrays()[name] for r in rows]) for name in "xyw"}
                assert all(np.array_equal(joined[name], array) for name, array in whole(shard).items())
                assert all((r.kept is None) == (memory == 0) for r in rows)
        assert kept.read == 2


def test_the_shard_that_was_used_least_recently_goes_first(made):
    data = made(90, shards=3)
    a, b, c = data.train()
    size = max(sum(r.size for r in cache.joined(blocks_of(s))) for s in (a, b, c))
    with cache.Shelf(0, 2 * size) as kept:
        for shard in (a, b, a, c):
            kept.rows(shard.path, blocks_of(shard))
        assert list(kept.shards) == list(kept.files) == [a.path, c.path] and kept.read == 3


def test_a_shard_that_cannot_be_read_whole_is_not_kept(made):
    data = made(60, shards=1)

    def broken():
        yield from blocks_of(data.train()[0])
        raise OSError("gone")
    with cache.Shelf(0) as kept:
        with pytest.raises(OSError, match="gone"):
            kept.rows("a", broken())
        assert not kept.shards and not kept.files


def test_a_disk_that_lost_what_was_written_is_told(made):
    data = made(60, shards=1)
    with cache.Shelf(0) as kept:
        (rows,) = kept.rows("a", blocks_of(data.train()[0]))
        kept.files["a"].truncate(5)
        with pytest.raises(OSError, match="ends before byte"):
            rows.arrays()
