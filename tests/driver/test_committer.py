"""Short rounds are committed together: nothing of them is lost but to a kill, and their states are the last and the best."""
import os
import shutil
import signal
from itertools import pairwise

import numpy as np
import pytest
from processes import children, result

import mrdl
from mrdl.driver import committer
from mrdl.driver.exchanges import resident
from mrdl.layers import Dense
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run


@pytest.fixture
def patient(monkeypatch):
    """Rounds wait for seconds for their commit, longer than a run of these tests takes."""
    monkeypatch.setattr(committer, "SHARE", 1e-9)


def fit(data, run, runner="local", told=None, rate=0.01, **options):
    model = mrdl.Sequential([Dense(8, "relu"), Dense(3, "softmax")])
    model.compile(mrdl.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    return mrdl.ParameterAveraging(**{
        "workers": 2, "batch_size": 8, "averaging_frequency": 2, "epochs": 3, "runner": runner,
        "resident": "always" if runner == "local" else "never", **options}).fit(model, data.url, run=str(run), told=told)


def stored(run):
    """The rounds whose states the commits name."""
    return [commit["round"] for commit in run.commits() if "state" in commit]


def stops(r):
    def told(event, facts):
        if event == "round" and facts["round"] == r:
            raise KeyboardInterrupt
    return told


def test_rounds_that_wait_are_committed_with_the_last_one(tmp_path, made, patient):
    data, run = made(130, dtype="float32"), Run(tmp_path / "run")
    fit(data, tmp_path / "plain", "inline")
    fit(data, tmp_path / "run")
    assert result(tmp_path / "run") == result(tmp_path / "plain")
    last = Run(tmp_path / "plain").rounds()[-1]
    assert run.rounds() == [record["round"] for record in run.records()] == list(range(last + 1))
    assert stored(run) == [0, last - 2, last - 1, last] and 1 < last - 2
    assert all(run.state(r).round == r for r in stored(run)[1:])
    assert len(run.store.list("commit*")) < last
    with pytest.raises(RunError, match=r"the state of round 1 is gone; kept are the last rounds and the best"):
        run.state(1)


def test_the_best_state_is_kept_and_restored(tmp_path, made, patient):
    data, options = made(130, dtype="float32"), {"rate": 0.5, "epochs": None, "until": "loss patience 6, epochs 8"}
    plain, found = (fit(data, tmp_path / name, runner, **options) for name, runner in (("plain", "inline"), ("run", "local")))
    assert (found.best, found.rounds) == (plain.best, plain.rounds) and 1 < found.best < found.rounds
    assert found.best in stored(Run(tmp_path / "run"))
    assert result(tmp_path / "run") == result(tmp_path / "plain")


@pytest.mark.parametrize("options", [{"keep_rounds": 100}, {"validation_freq": 1}])
def test_rounds_do_not_wait_whose_states_are_wanted(tmp_path, made, patient, options):
    data, run = made(130, hold_out=0.2 * ("validation_freq" in options), dtype="float32"), Run(tmp_path / "run")
    fit(data, tmp_path / "run", epochs=1, **options)
    assert stored(run) == run.rounds()


def test_who_is_interrupted_commits_what_is_done_and_goes_on(tmp_path, made, patient, monkeypatch):
    monkeypatch.setattr(committer, "COMPACT", 4)
    data, run = made(130, dtype="float32"), Run(tmp_path / "run")
    for r in (3, 7):
        with pytest.raises(KeyboardInterrupt):
            fit(data, tmp_path / "run", told=stops(r))
        assert run.rounds() == list(range(r + 1)) and stored(run)[-1] == r
    fit(data, tmp_path / "run")
    fit(data, tmp_path / "plain", "inline")
    assert result(tmp_path / "run") == result(tmp_path / "plain")
    assert not [pair for pair in pairwise(run.rounds()) if pair[1] - pair[0] != 1]


def test_of_two_drivers_one_commits(tmp_path, made, patient):
    with pytest.raises(KeyboardInterrupt):
        fit(made(130, dtype="float32"), tmp_path / "run", "inline", told=stops(5))
    shutil.copytree(tmp_path / "run", tmp_path / "whole")
    for r in (3, 4, 5):
        (tmp_path / "run" / f"commit-{r:06d}.json").unlink()
    first, second = Run(tmp_path / "run"), Run(tmp_path / "run")
    wanted, state = Run(tmp_path / "whole").records(), Run(tmp_path / "whole").state(5)
    assert first.rounds() == second.rounds() == [record["round"] for record in first.records()] == [0, 1, 2]
    second.records()
    assert first.commit(state, wanted[5], wanted[3:5])
    assert not second.commit(Run(tmp_path / "whole").state(3), wanted[3])
    assert second.records() == wanted and stored(second) == [0, 1, 2, 5]
    np.testing.assert_array_equal(second.state(5).vector, state.vector)
    name = tmp_path / "run" / "commit-000003.json"
    for text, error in ((name.read_text().replace('"round": 4', '"round": 5', 1), "is damaged: round 4"),
                        ("\n".join(name.read_text().splitlines()[:1]), "the state of round 3 is gone"),
                        ("", "is damaged: round 3")):
        name.write_text(text)
        with pytest.raises(RunError, match=error):
            Run(tmp_path / "run").state(Run(tmp_path / "run").rounds()[-1])


@pytest.mark.parametrize("shared", [0.25, 0], ids=["shared memory", "files"])
def test_a_worker_that_is_started_anew_gets_a_state_whose_commit_waits(tmp_path, made, patient, monkeypatch, shared):
    monkeypatch.setattr(resident, "SHARED", shared)
    data, killed = made(130, dtype="float32"), []

    def kill(event, facts):
        if event == "round" and facts["round"] == 5:
            killed.append(max(children(os.getpid())))
            os.kill(killed[-1], signal.SIGKILL)
    fit(data, tmp_path / "run", told=kill)
    fit(data, tmp_path / "plain", "inline")
    assert killed and result(tmp_path / "run") == result(tmp_path / "plain")
    assert 1 not in stored(Run(tmp_path / "run"))
