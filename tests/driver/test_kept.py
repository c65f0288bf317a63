"""What workers keep from round to round: their updater's state."""
import json

import numpy as np
import pytest
from averaged import averaging, died, network, same_there, whole
from by_hand import by_hand, run_of, slots_of

import mrdl
from mrdl import resume
from mrdl.cli import main
from mrdl.optimizers import SGD, Adam
from mrdl.rounds.merged import RoundError
from mrdl.rounds.plan import Plan
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.storage.local import Local
from mrdl.worker.slot import Slot


@pytest.mark.parametrize("state, averaged", [("keep", ()), ("every 2", (2,)), ("every 3", (3,))])
def test_each_worker_goes_on_with_its_own_state_until_it_is_averaged(tmp_path, made, state, averaged):
    data = made(80, shards=2)

    def merged(r, given, vectors):
        mean = np.mean(vectors, 0)
        return [mean if r in averaged else np.concatenate([mean[:1], vector[1:]]) for vector in vectors]
    wanted = by_hand(data, network(optimizer=Adam(0.05), dtype="float64"), 3, merged)
    model, run = run_of(tmp_path, data, network(optimizer=Adam(0.05), dtype="float64"), rounds=3, save_updater=state)
    np.testing.assert_allclose(run.state(3).weights, wanted[0][0], rtol=1e-10, atol=1e-14)
    kept, P = slots_of(run, 3), model.weights.size * 8
    assert sorted(kept) == ([] if 3 in averaged else ["0", "1"])
    for slot, found in kept.items():
        np.testing.assert_allclose(found["updater"], wanted[int(slot)][1:], rtol=1e-9, atol=1e-16)
    assert [line["bytes"] for line in run.history()] == [2 * P * (3 if r in averaged else 1) for r in (1, 2, 3)]
    if averaged:                                # the finished model has the state that was averaged last
        assert model.iterations == 3 and model.slots.any() and model.slots.tobytes() == run.state(3).slots.tobytes()
    else:
        assert model.iterations == 0 and not model.slots.any() and run.state(3).iterations == 3


def test_averaged_in_every_round_it_is_averaged_and_never_it_is_kept(tmp_path, made):
    data, ends = made(100, shards=3).url, {}
    for state in (True, "average", "every 1", "keep", "every 99"):
        averaging(rounds=6, save_updater=state).fit(network(), data, run=str(tmp_path / str(state)))
        ends[state] = whole(tmp_path / str(state))
    assert ends[True] == ends["average"] == ends["every 1"] != ends["keep"] == ends["every 99"]
    assert not list((tmp_path / "every 1").glob("slot-*"))


def test_one_worker_is_uninterrupted_training_whoever_keeps_its_state(tmp_path, made):
    data = made(60, shards=3).url
    found = [averaging(workers=1, rounds=9, save_updater=state).fit(network(), data, run=str(tmp_path / str(state))).model.weights
             for state in (True, "keep")]
    assert found[0].tobytes() == found[1].tobytes()


TOPK = "topk 0.02"


def test_with_topk_beside_it_a_worker_sends_a_hundredth_and_no_state(tmp_path, made):
    data, sent = made(60, shards=2).url, {}
    for state, coding in ((True, TOPK), ("keep", TOPK), (False, TOPK), ("keep", None)):
        model = mrdl.Sequential([mrdl.layers.Dense(4000, "relu"), mrdl.layers.Dense(3, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        notes = []
        averaging(rounds=2, save_updater=state, compress=coding).fit(
            model, data, run=str(tmp_path / f"{state}-{bool(coding)}"), told=lambda event, facts, notes=notes: notes.append(facts.get("text")))
        sent[state, coding] = Run(tmp_path / f"{state}-{bool(coding)}").history()[-1]["bytes"]
        assert any("to leave it with them: --updater-state keep" in str(note) for note in notes) == (state is True)
    assert sent["keep", None] == 2 * 4 * model.weights.size
    assert sent["keep", TOPK] == pytest.approx(sent[False, TOPK], rel=0.02) and sent["keep", TOPK] < sent["keep", None] / 100
    assert sent[True, TOPK] > 30 * sent["keep", TOPK]
    assert {*slots_of(Run(tmp_path / "keep-True"), 2)["0"]} == {"residual", "updater"}


OPTIONS = {"save_updater": "every 3", "compress": "topk 0.1", "rounds": 7}


@pytest.mark.parametrize("runner, resident, options", [
    ("local", "never", OPTIONS), ("local", "always", OPTIONS), ("local", "always", {"save_updater": "keep", "rounds": 7})])
def test_all_runners_and_kinds_of_rounds_give_the_same_bits(tmp_path, made, runner, resident, options):
    assert same_there(made(100, shards=2).url, tmp_path, runner, resident, **options)


def test_a_run_that_dies_goes_on_to_the_same_bits(tmp_path, made):
    data, options = made(100, shards=3).url, OPTIONS | {"outer": "nesterov", "validation_freq": None, "warm_start": 1}
    averaging(**options).fit(network(), data, run=str(tmp_path / "once"))
    died(network(), data, tmp_path / "run", 5, **options)
    assert whole(tmp_path / "run") == whole(tmp_path / "once")
    commits = Run(tmp_path / "run").commits()
    assert sorted(Run(tmp_path / "run").store.list("slot-*")) == sorted(name for name, _ in commits[-1]["kept"].values())
    with pytest.raises(RunError, match="begun with other options .save_updater every 3, now keep"):
        averaging(**options | {"save_updater": "keep"}).fit(network(), data, run=str(tmp_path / "run"))


@pytest.mark.parametrize("options", [{"save_updater": "keep"}, {"compress": "topk 0.1"}])
@pytest.mark.parametrize("damage, error, reason", [
    (lambda path: path.unlink(), RunError, "is gone, which has what a worker keeps"),
    (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"), RoundError, "its hash is not the commit's")])
def test_what_is_lost_of_what_a_slot_keeps_is_missed(tmp_path, made, damage, error, reason, options):
    run = tmp_path / "run"
    averaging(**options, rounds=2).fit(network(), made(60, shards=2).url, run=str(run))
    damage(next(run.glob("slot-*")))
    with pytest.raises(error, match=reason):
        resume(str(run), "inline", rounds=3)


def test_what_is_kept_is_on_disk_before_a_commit_names_it(tmp_path, made, monkeypatch):
    settled, settle, create = set(), Local.settle, Local.create

    def settles(self, name):
        settle(self, name)
        settled.add(name)

    def creates(self, name, data):
        if name.startswith("commit-"):
            assert settled >= {file for file, _ in json.loads(data.splitlines()[-1]).get("kept", {}).values()}
        return create(self, name, data)
    monkeypatch.setattr(Local, "settle", settles)
    monkeypatch.setattr(Local, "create", creates)
    averaging(save_updater="keep", rounds=3).fit(network(), made(100, shards=3).url, run=str(tmp_path / "run"))
    assert {name[5:11] for name in settled} == {"000001", "000002", "000003"}


def test_a_part_of_a_file_that_a_crash_left_is_written_over(tmp_path):
    slot = Slot(Plan("", 4, 0, 0, None, 8, 0, [], folder=str(tmp_path)), 2)
    slot.keep("updater", np.ones((2, 5), "f4"))
    name, sha256 = slot.write()
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:9])
    assert slot.write() == [name, sha256] and (tmp_path / name).read_bytes() == whole
    before = (tmp_path / name).stat().st_ino
    assert slot.write() == [name, sha256] and (tmp_path / name).stat().st_ino == before


def test_an_updater_without_state_keeps_none(tmp_path, made):
    averaging(save_updater="keep", rounds=2).fit(network(optimizer=SGD(0.1)), made(60, shards=2).url, run=str(tmp_path / "run"))
    assert not list((tmp_path / "run").glob("slot-*"))


@pytest.mark.parametrize("options, reason", [
    ({"save_updater": "kept"}, "save_updater='kept' must be average, reset, keep, or every N"), ({"save_updater": "every 0"}, "every N"),
    ({"save_updater": "keep", "fragments": 2}, "workers cannot keep the updater's state, as each round cuts the network anew")])
def test_what_is_no_place_for_the_state_is_refused(options, reason):
    with pytest.raises(RunError, match=reason):
        averaging(**options).options()


def test_the_command_line_takes_it_and_shows_it(tmp_path, made, capsys):
    data, run = made(60, shards=2).url, tmp_path / "run"
    (tmp_path / "net.py").write_text(
        "import mrdl\nfrom mrdl.layers import Dense\nmodel = mrdl.Sequential([Dense(3, 'softmax')])\n"
        "model.compile('adam', 'sparse_categorical_crossentropy')\n")
    for state, kept in (("every 2", "every 2"), ("reset", False), ("average", True)):
        assert main(["train", str(tmp_path / "net.py"), data, str(run / state), "-r", "inline", "--rounds", "1", "--updater-state", state]) == 0
        assert json.loads((run / state / "run.json").read_text())["options"]["save_updater"] == kept
    capsys.readouterr()
    assert main(["show", str(run / "every 2")]) == 0
    assert ", optimizer's state: every 2" in capsys.readouterr().out
