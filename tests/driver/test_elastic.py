"""Elastic averaging (EASGD): workers with weights of their own, and the identities that it has to have."""
import numpy as np
import pytest
from averaged import averaging, died, network, same_there, whole
from by_hand import by_hand, run_of, slots_of

from mrdl.config import ConfigError
from mrdl.optimizers import SGD, Adam
from mrdl.outer import Elastic, updater
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run


def plain(optimizer="sgd"):
    return network(optimizer=SGD(0.3) if optimizer == "sgd" else optimizer, dtype="float64")


@pytest.mark.parametrize("optimizer, state", [(SGD(0.3), True), (SGD(0.1, 0.9), "keep"), (Adam(0.05), True)], ids=["sgd", "kept", "adam"])
def test_workers_are_pulled_to_the_centre_and_it_by_them(tmp_path, made, optimizer, state):
    data, centres, pull = made(140, shards=3), [], 0.2

    def merged(r, given, vectors):
        centre = centres[-1] if centres else given[0][0]
        away = [vector[0] - centre for vector in vectors]
        centres.append(centre + pull * sum(away))
        return [np.concatenate([vector[:1] - pull * d, vector[1:] if state == "keep" else np.mean(vectors, 0)[1:]])
                for vector, d in zip(vectors, away)]
    wanted = by_hand(data, plain(optimizer), 3, merged)
    _, run = run_of(tmp_path, data, plain(optimizer), workers=3, rounds=3, save_updater=state, outer=f"elastic pull {pull}")
    for r, centre in enumerate(centres):
        np.testing.assert_allclose(run.state(r + 1).weights, centre, rtol=1e-10, atol=1e-14)
    kept = slots_of(run, 3)
    for slot, vector in enumerate(wanted):
        np.testing.assert_allclose(kept[str(slot)]["weights"], vector[0], rtol=1e-10, atol=1e-14)
        assert ("updater" in kept[str(slot)]) == (state == "keep")


def states(tmp_path, data, name, **options):
    (tmp_path / name).mkdir()
    return [run_of(tmp_path / name, data, plain(), **options)[1].state(r).weights for r in (1, 2, 3)]


def test_pulled_by_all_of_1_the_centre_is_the_mean_of_the_workers(tmp_path, made):
    data = made(80, shards=2)
    found = states(tmp_path, data, "elastic", rounds=3, outer="elastic pull 0.5")
    mean = states(tmp_path, data, "mean", rounds=3)
    np.testing.assert_allclose(found[0], mean[0], rtol=1e-12)       # later rounds begin elsewhere
    assert abs(found[2] - mean[2]).max() > 1e-6


def test_hardly_pulled_workers_are_independent_and_the_centre_stays(tmp_path, made):
    data, centres = made(80, shards=2), []

    def merged(r, given, vectors):
        centres.append(given[0][0])
        return vectors
    alone = by_hand(data, plain(), 3, merged)
    _, run = run_of(tmp_path, data, plain(), rounds=3, outer="elastic pull 1e-13")
    np.testing.assert_allclose(run.state(3).weights, run.state(0).weights, atol=1e-12)
    for slot, kept in slots_of(run, 3).items():
        np.testing.assert_allclose(kept["weights"], alone[int(slot)][0], rtol=1e-10, atol=1e-12)
        assert abs(kept["weights"] - run.state(0).weights).max() > 0.01


def test_workers_that_keep_nothing_are_averaging_at_the_rate_of_all_pulls(tmp_path, made):
    data = made(80, shards=2)
    first = states(tmp_path, data, "elastic", rounds=3, outer="elastic pull 0.3")[0]
    np.testing.assert_allclose(first, states(tmp_path, data, "rate", rounds=3, outer="momentum learning_rate 0.6 momentum 0")[0], rtol=1e-10)


@pytest.mark.parametrize("pull, stable", [(0.05, True), (0.39, True), (0.41, False), (0.6, False)])
def test_it_diverges_if_pull_times_workers_and_one_is_above_2(pull, stable):
    """On f_i = (w - a_i)^2 / 2 at rate 0.01 the centre's way from the workers' mean changes by 1 - pull (workers + 1) in a round."""
    rule, a = Elastic(pull=pull), np.array([1.0, -2.0, 0.5, 3.0])
    centre, own, sizes = np.array([10.0]), np.zeros(4), []
    for _ in range(400):
        own = own - 0.01 * (own - a)
        mean = np.array([own.mean()])
        own = own - pull * (own - centre)
        rule.among(4).apply(centre, mean, np.zeros((0, 1)), 0.01)
        centre = mean
        sizes.append(abs(centre[0] - own.mean()))
    assert (sizes[-1] < 0.1) == stable and (sizes[-1] > 1e3) == (not stable)
    if stable:
        rule.resolved(4)
        return
    with pytest.raises(ConfigError, match="makes the centre of 4 workers unstable"):
        rule.resolved(4)


OPTIONS = {"outer": "elastic", "save_updater": "keep", "rounds": 6, "validation_freq": None}


@pytest.mark.parametrize("runner, resident", [("local", "never"), ("local", "always")])
def test_all_runners_and_kinds_of_rounds_give_the_same_bits(tmp_path, made, runner, resident):
    assert same_there(made(100, shards=2).url, tmp_path, runner, resident, **OPTIONS)


def test_a_run_that_dies_goes_on_to_the_same_bits_and_may_be_compressed(tmp_path, made):
    data, options = made(100, shards=3).url, OPTIONS | {"compress": "int8", "warm_start": 1, "rounds": 7}
    averaging(**options).fit(network(), data, run=str(tmp_path / "once"))
    died(network(), data, tmp_path / "run", 5, **options)
    assert whole(tmp_path / "run") == whole(tmp_path / "once")
    assert all({*kept} == {"weights", "updater"} for kept in slots_of(Run(tmp_path / "run"), 7).values())
    assert updater(Run(tmp_path / "run").options()["options"]["outer"]).pull == 0.45


def test_codings_that_leave_out_much_are_refused():
    with pytest.raises(RunError, match="outer elastic: topk .* cannot be used with it"):
        averaging(outer="elastic", compress="topk").options()
