"""The identities that averaging must have, and the tests that show each; those that are in no other file are here.

| identity | shown by |
|---|---|
| one minibatch between averagings, SGD, any shares, L2: one step on the joined minibatch | test_w_workers_at_frequency_1_equal_one_machine_at_batch_w_b |
| so it is with momentum and Nesterov's, averaged; of Adam, m is, and v is not | the same, test_averaging_adam_is_not_one_machine_and_that_is_known |
| one worker, at any frequency: uninterrupted training, to the bit | test_one_worker_at_any_frequency_equals_one_uninterrupted_fit_bit_for_bit |
| workers that do the same are one worker, in float32 to the bit | test_workers_with_equal_results_are_one_worker |
| rate 1 without momentum: the mean, at any frequency | test_at_rate_1_without_momentum_a_run_is_plain_averaging, test_without_momentum_and_at_rate_1_they_are_the_mean |
| SlowMo at a constant rate is server momentum; large epsilon: Adam is momentum | test_settings_that_make_rules_alike_do |
| CNTK's sum form is BMUF's mean form at momentum 1 - 1 / workers alone | test_the_sum_form_of_block_momentum_is_the_mean_form_at_one_momentum |
| Nesterov is PyTorch's SGD on -change; Adam, Yogi and Adagrad are six lines | test_each_rule_is_its_plain_loop |
| FedAvg: local epochs on each client, the mean by examples | test_local_epochs_on_each_client_and_their_mean_are_fedavg |
| EASGD: pulled by 1 / workers the centre is the mean | test_pulled_by_all_of_1_the_centre_is_the_mean_of_the_workers |
| EASGD: hardly pulled, workers are independent | test_hardly_pulled_workers_are_independent_and_the_centre_stays |
| EASGD without workers' weights is averaging at a rate | test_workers_that_keep_nothing_are_averaging_at_the_rate_of_all_pulls |
| EASGD diverges beyond 2 | test_it_diverges_if_pull_times_workers_and_one_is_above_2 |
| sent + residual = changes, exactly | test_what_was_sent_and_the_residual_are_exactly_what_changed, test_so_they_are_but_for_rounding_with_any_numbers |
| all values as they are: not compressed | test_all_values_as_they_are_and_one_minibatch_are_plain_averaging |
| int8 is right in the mean of 10,000 | test_int8_is_right_in_the_mean |
| a residual survives a task's other attempt, once | test_a_twin_of_every_worker_changes_nothing |
| quadratics: local steps' fixed point, with each rule | test_every_rule_ends_where_local_steps_must |
| quadratics: outer momentum contracts by the roots of its polynomial | test_momentum_contracts_as_its_characteristic_polynomial_says |
| the same for Nesterov's form | test_nesterov_contracts_as_its_characteristic_polynomial_says |
| fragments: cut and joined is the network; one is averaging | test_what_is_cut_and_joined_again_is_what_it_was, test_one_fragment_is_plain_averaging |
| ResIST: a fragment that has all blocks is plain averaging, to the bit | test_one_fragment_is_plain_averaging |
| ResIST: each fragment is the network whose other blocks give 0 | test_a_fragment_of_a_graph_is_the_network_whose_other_blocks_give_0 |
| fragments: each is the network without the others' units | test_a_fragment_is_the_network_without_the_others_units_scaled_up |
| the order of arrival, and the number of reducers, change no bit | test_neither_the_order_of_results_nor_the_number_of_chunks_changes_a_bit |
| a worker twice is refused, one without examples changes nothing | test_partials_that_do_not_belong_together_are_not_averaged, test_a_worker_without_examples_changes_nothing |
| shards sorted by label, long rounds: visibly worse | test_shards_sorted_by_label_are_worse_in_long_rounds |
| signs without error feedback go the wrong way, with it they go right | test_signs_need_error_feedback |"""
import re
from pathlib import Path

import numpy as np
import pytest
from by_hand import changes
from models import arrays
from shards import rows as rows_of

import mrdl
from mrdl import seeds
from mrdl.codings import Threshold, TopK
from mrdl.driver.preparation.prepare import prepare
from mrdl.driver.schedule import chunk_keys
from mrdl.layers import Dense, Input, Rescaling
from mrdl.optimizers import SGD
from mrdl.outer import Momentum, Nesterov
from mrdl.rounds import partial, plan
from mrdl.rounds.meeting import Result, means
from mrdl.rounds.partial import Partial
from mrdl.rounds.plan import Plan
from mrdl.rounds.state import State
from mrdl.training.learner import Learner
from mrdl.worker.answer import work


def test_the_table_names_tests_that_are_there():
    named = set(re.findall(r"\btest_\w+", __doc__))
    there = {name for path in Path(__file__).parents[1].rglob("test_*.py") for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)}
    assert len(named) > 25 and named <= there


def merged(workers):
    """The mean of (n, values) of each."""
    ((_, found),) = partial.merge("", (Partial(i, n, values) for i, (n, values) in enumerate(workers)))
    return found.values


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_workers_with_equal_results_are_one_worker(dtype):
    values = np.random.default_rng(0).standard_normal(1000).astype(dtype)
    several = merged([(n, values) for n in (32, 7, 32, 1)])
    np.testing.assert_array_max_ulp(several, values, 0 if dtype == "f4" else 4)


DIGITS = Path(__file__).parents[2] / "examples" / "digits.csv.gz"


@pytest.fixture(scope="module")
def clients(tmp_path_factory, inline):
    """Handwritten digits in four shards of unequal size."""
    return prepare([str(DIGITS)], str(tmp_path_factory.mktemp("digits") / "data"), inline, label="label", shards=4, dtype="float64")


@pytest.mark.parametrize("epochs", [1, 3])
def test_local_epochs_on_each_client_and_their_mean_are_fedavg(tmp_path, clients, epochs):
    """McMahan et al. 2017, algorithm 1 with all clients, as a loop in NumPy. One epoch a round is a run; more are workers' courses."""
    shards, batch, rate, seed, rounds = clients.train(), 50, 0.1, 7, 3
    model = mrdl.Sequential([Input(64), Rescaling(1 / 16), Dense(10, "softmax")], dtype="float64").build(seed=seed)
    model.compile(SGD(rate), "sparse_categorical_crossentropy")
    kernel, bias = (array.copy() for array in model.get_weights())
    if epochs == 1:
        mrdl.ParameterAveraging(workers=4, batch_size=batch, rounds=rounds, seed=seed, runner="inline").fit(model, clients.url, run=str(tmp_path / "run"))
    else:
        state = State(model.weights.copy(), model.weights.size)
        for r in range(rounds):
            (tmp_path / "state").write_bytes(state.dump())
            parts = []
            for client, shard in enumerate(shards):
                name = plan.name(clients.uid, shard.index)
                asked = Plan(model.to_json(), r + 1, r * epochs, 0, None, batch, seed, chunk_keys(state.parameters, 1), {name: client},
                             [(r * epochs + epoch, name) for epoch in range(epochs)], seals={name: shard.seal})
                (tmp_path / "plan").write_bytes(asked.dump())
                lines = Path(shard.path).read_bytes().splitlines()
                parts += [part for chunk, part in work(lines, str(tmp_path / "state"), str(tmp_path / "plan")) if not chunk.startswith(partial.RECORD)]
            ((_, mean),) = partial.merge("", parts)
            state = State(mean.values.copy(), state.parameters)
        model.weights[:] = state.weights

    sizes = [shard.n for shard in shards]
    assert len(set(sizes)) > 1
    data = [rows_of(shard) for shard in shards]
    for r in range(rounds):
        each = []
        for shard, own in zip(shards, data):
            w, b = kernel.copy(), bias.copy()
            for epoch in range(r * epochs, (r + 1) * epochs):
                order = seeds.permutation(shard.n, seed, "rows", epoch, shard.index, 0)
                for start in range(0, shard.n, batch):
                    x, y = (own[key][order[start:start + batch]] for key in "xy")
                    p = np.exp(x / 16 @ w + b)
                    g = (p / p.sum(1, keepdims=True) - np.eye(10)[y]) / len(x)
                    w, b = w - rate * (x / 16).T @ g, b - rate * g.sum(0)
            each.append((w, b))
        kernel, bias = (sum(n * client[i] for n, client in zip(sizes, each)) / sum(sizes) for i in (0, 1))
    for found, wanted in zip(model.get_weights(), (kernel, bias)):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)
    assert model.evaluate(*(np.concatenate([own[key] for own in data]) for key in "xy"), return_dict=True)["loss"] < 2


@pytest.mark.parametrize("workers", [2, 8])
def test_the_sum_form_of_block_momentum_is_the_mean_form_at_one_momentum(workers):
    """CNTK: v = m v + (1 - m) sum of the workers' changes."""
    rng = np.random.default_rng(0)
    each = rng.standard_normal((6, workers, 20))
    for momentum, alike in ((1 - 1 / workers, True), (0.7, False)):
        rule, w, v, slots = Momentum(1.0, momentum), np.zeros(20), 0.0, np.zeros((1, 20))
        theirs = np.zeros(20)
        for change in each:
            v = momentum * v + (1 - momentum) * change.sum(0)
            theirs = theirs + v
            mean = w + change.mean(0)
            rule.apply(w, mean, slots, 0.1)
            w = mean
        assert np.allclose(w, theirs, rtol=1e-12) == alike


def test_nesterov_contracts_as_its_characteristic_polynomial_says():
    """z^2 - (1 + m - r q (1 + m)) z + m - r q m = 0, with q what the workers' steps move of the way to the minimum."""
    for q, rate, momentum in ((0.3, 0.7, 0.9), (0.05, 0.7, 0.9), (0.5, 1.0, 0.4)):
        w, slots, sizes = np.array([1.0]), np.zeros((1, 1)), []
        for _ in range(400):
            mean = w - q * w
            Nesterov(rate, momentum).apply(w, mean, slots, 0.1)
            w = mean
            sizes.append(abs(w[0]) + abs(slots[0, 0]))
        first, last = 20, min(np.flatnonzero(np.array(sizes) < 1e-250), default=399) - 1
        wanted = max(abs(np.roots([1, -(1 + momentum) * (1 - rate * q), momentum * (1 - rate * q)])))
        assert (sizes[last] / sizes[first]) ** (1 / (last - first)) == pytest.approx(wanted, rel=0.03)


def test_neither_the_order_of_results_nor_the_number_of_chunks_changes_a_bit():
    rng, P, found = np.random.default_rng(0), 3001, set()
    results = [(Result(worker, n, size=P), rng.standard_normal(P).astype("f4")) for worker, n in enumerate((31, 32, 7, 64, 1))]
    for reducers in (1, 3, 8):
        plan = Plan("", 1, 0, 0, None, 8, 0, chunk_keys(P, reducers))
        for _ in range(3):
            rng.shuffle(results)
            found.add(np.concatenate([mean.values for _, mean in means(plan, results)]).tobytes())
    assert len(found) == 1


def test_a_worker_without_examples_changes_nothing():
    rng = np.random.default_rng(0)
    workers = [(n, rng.standard_normal(50).astype("f4")) for n in (31, 7)]
    assert merged([*workers, (0, rng.standard_normal(50).astype("f4"))]).tobytes() == merged(workers).tobytes()


def test_shards_sorted_by_label_are_worse_in_long_rounds():
    """Three workers, the same number of updates of each; by how much the loss is above that of one update a round."""
    x, y = arrays(300)
    model, above = mrdl.Sequential([Input(6), Dense(3, "softmax")]), {}
    model.compile(SGD(0.5), "sparse_categorical_crossentropy")
    for name, rows in (("mixed", np.random.default_rng(1).permutation(300)), ("sorted", np.argsort(y, kind="stable"))):
        losses = []
        for updates in (1, 60):
            model.set_weights([np.zeros((6, 3)), np.zeros(3)])
            for _ in range(120 // updates):
                each = []
                for own in np.split(rows, 3):
                    w = model.weights.copy()
                    learner = Learner(model, w, np.zeros((0, len(w)), w.dtype), batch_size=100)
                    for number in range(updates):
                        learner.step({"x": x[own], "y": y[own]}, np.arange(100), 0, number)
                    each.append((100, w))
                model.weights[:] = merged(each)
            losses.append(model.evaluate(x, y, return_dict=True)["loss"])
        above[name] = losses[1] / losses[0] - 1
    assert above["sorted"] > 0.3 and abs(above["mixed"]) < 0.05


@pytest.mark.parametrize("kind, right", [
    (Threshold(1.0, 0.0, 1.0, 0.0), False), (Threshold(1.0, 0.0, 1.0, 1.0), True), (TopK(1.0, 2, 1.0), True)],
    ids=["without", "with", "of two sizes, with"])
def test_signs_need_error_feedback(tmp_path, kind, right):
    """The gradient is 4 in a quarter of all minibatches and -1 in the others: its mean is 1/4, so weights should fall; signs rise."""
    found, _ = changes(kind, tmp_path, 60, after=lambda rng, size: rng.choice([-4.0, 1.0], size, p=[0.25, 0.75]))
    changed, sent = (np.mean([part[i].mean() for part in found]) for i in (0, 1))
    assert changed == pytest.approx(-0.25, abs=0.05)
    assert (sent == pytest.approx(changed, abs=0.1)) if right else sent == pytest.approx(0.5, abs=0.05)
