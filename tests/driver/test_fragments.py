"""Fragments of a network: cutting and joining, and runs against fragments that are trained alone and joined by hand."""
import json
import os
from pathlib import Path

import numpy as np
import pytest
from averaged import whole
from shards import rows

import mrdl
from mrdl import FragmentTraining, ParameterAveraging, resume, seeds
from mrdl.cli import main
from mrdl.config import ConfigError
from mrdl.driver import schedule
from mrdl.driver.exchanges.fragments import FragmentExchange
from mrdl.driver.scoring import WorkerFailed
from mrdl.layers import (
    GRU,
    LSTM,
    Activation,
    Add,
    BatchNormalization,
    Bidirectional,
    Concatenate,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GravesLSTM,
    Input,
    LayerNormalization,
    Masking,
    MaxPooling2D,
    Normalization,
    Permute,
    PReLU,
    Rescaling,
    SimpleRNN,
)
from mrdl.models.fragments import dealt, narrowed
from mrdl.models.residual import blocks
from mrdl.optimizers import SGD, Adam
from mrdl.rounds.meeting import OWN, Meeting
from mrdl.rounds.merged import RoundError, gathered
from mrdl.rounds.partial import RECORD, Partial, merge
from mrdl.rounds.plan import Plan, apart, together
from mrdl.rounds.record import Failed, facts
from mrdl.rounds.state import State
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.training.learner import Learner
from mrdl.worker import train
from mrdl.worker.cache import Shelf
from mrdl.worker.resident import Resident


def network(*layers, optimizer="adam", dtype="float32"):
    model = mrdl.Sequential([*layers, Dense(3, "softmax")], dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def deep(optimizer="adam", *between):
    return network(Input(5), Dense(9, "relu"), *between, Dense(8, "tanh"), optimizer=optimizer)


def residual(optimizer="adam", dropout=0.0):
    """Four residual blocks, and a long way beside them: without some blocks, the first layers come in another order."""
    x = Input(5)
    h, side = Dense(6, "relu")(x), Dense(4, "tanh")(x)
    for _ in range(9):
        side = Activation("relu")(side)
    for number in range(4):
        f = Dense(6)(Dropout(dropout)(Dense(7, "relu")(h)))
        h = Activation("relu")(Add()([h, BatchNormalization()(f)] if number % 2 else [f, h]))
    model = mrdl.Model(x, Dense(3, "softmax")(Concatenate()([h, side])))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def training(**options):
    return FragmentTraining(**{"batch_size": 8, "averaging_frequency": 3, "runner": "inline", **options})


NETWORKS = [
    lambda: deep("adam", BatchNormalization(), Dropout(0.2), PReLU(), PReLU(shared_axes=[1]), LayerNormalization()),
    lambda: network(Input((6, 6, 2)), Rescaling(0.5), Conv2D(4, 3, activation="relu"), BatchNormalization(), MaxPooling2D(2),
                    Conv2D(6, 2), Flatten(), Dense(7, use_bias=False), Activation("relu")),
    lambda: network(Input(4), Embedding(10, 5), Conv1D(8, 2), GlobalAveragePooling1D()),
    lambda: network(Input(6, sparse=True), Dense(5, "relu")),
    lambda: network(Input((5, 3)), Normalization(), LSTM(4, return_sequences=True), GRU(8, return_sequences=True), GravesLSTM(4, return_sequences=True),
                    SimpleRNN(8)),
    lambda: network(Input((5, 3)), Bidirectional(GRU(4, return_sequences=True)), Bidirectional(LSTM(8), "sum"), Dense(4)),
    residual]


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("kind", NETWORKS)
def test_what_is_cut_and_joined_again_is_what_it_was(kind, count):
    model = kind().build(seed=3)
    given = np.stack([model.weights, np.arange(len(model.weights), dtype="f4")])
    fragments, found, owners = dealt(model, count, 7, "fragments", 1), np.full_like(given, np.nan), np.zeros(len(model.weights))
    for fragment in fragments:
        own = fragment.cut(given)
        assert own.shape == (2, fragment.parameters)
        fragment.join(own, found)
        owners[own[1].astype(int)] += 1
        assert together(*apart(own, fragment.shared), fragment.shared, fragment.parameters).tobytes() == own.tobytes()
    there = ~np.isnan(found[0])
    assert found[:, there].tobytes() == given[:, there].tobytes()
    shared, *others = [apart(fragment.cut(given)[1:], fragment.shared)[0].astype(int) for fragment in fragments]
    assert all(other.tolist() == shared.tolist() for other in others)      # in one order, though layers may come in others
    assert set(owners[shared]) == {len(fragments)}               # all have these, and one, or where it rests none, each other weight
    assert count == 1 or set(np.delete(owners, shared)) <= {0, 1}
    if count == 1:
        assert there.all() and fragments[0].cut(given).tobytes() == given.tobytes()
        assert fragments[0].model.to_json() == model.to_json()
    cut = [set(fragment.cut(given)[1]) for fragment in dealt(model, count, 7, "fragments", 2)]
    assert count == 1 or cut != [set(fragment.cut(given)[1]) for fragment in fragments]    # each round deals anew


def test_a_fragment_of_recurrent_units_is_the_network_without_the_others():
    x = np.random.default_rng(0).standard_normal((20, 5, 3)).astype("f4")
    for kind in (LSTM, GRU, GravesLSTM, SimpleRNN, lambda units: Bidirectional(GRU(units))):
        model, rest = network(Input((5, 3)), kind(4)).build(seed=1), network(Input((5, 3)), kind(4)).build()
        for fragment in dealt(model, 2, 0):
            own = fragment.model.build()
            own.weights[:] = fragment.cut(model.weights[None])[0]
            found = np.zeros((1, len(model.weights)), "f4")
            fragment.join(own.weights[None], found)
            rest.weights[:] = found[0]
            kernels = rest.get_weights()
            for place in [1, *[4] * (len(kernels) == 8), -2]:       # of a direction; of the other; of what is behind them
                kernels[place] *= 2
            rest.set_weights(kernels)
            np.testing.assert_allclose(own.predict(x), rest.predict(x), rtol=1e-5, atol=1e-6)


def test_a_fragment_is_the_network_without_the_others_units_scaled_up():
    model = deep().build(seed=1)
    x = np.random.default_rng(0).standard_normal((20, 5)).astype("f4")
    for fragment in dealt(model, 4, 0):
        rest = np.zeros((1, len(model.weights)), "f4")
        fragment.join(fragment.cut(model.weights[None]), rest)
        other = deep().build()
        other.weights[:] = rest[0]
        own = fragment.model.build()
        own.weights[:] = fragment.cut(model.weights[None])[0]
        kernels = other.get_weights()
        scales = [layer.scale for layer in own.layers if isinstance(layer, Rescaling)]
        assert scales == [9 / own.layers[0].units, 4]
        kernels[2] *= scales[0]
        kernels[4] *= scales[1]
        other.set_weights(kernels)
        np.testing.assert_allclose(own.predict(x), other.predict(x), rtol=1e-5, atol=1e-6)


def test_a_fragment_of_a_graph_is_the_network_whose_other_blocks_give_0():
    model, x = residual().build(seed=1), np.random.default_rng(0).standard_normal((20, 5)).astype("f4")
    found = blocks(model)
    assert [model.graph.numbers[id(block.chain[0].layer)] for block in found] == sorted(model.graph.numbers[id(block.chain[0].layer)] for block in found)
    there = []
    for fragment in dealt(model, 3, 0):
        own = fragment.model.build()
        own.weights[:] = fragment.cut(model.weights[None])[0]
        other = residual().build()
        other.weights[:] = model.weights
        names, within = dict(zip(map(id, model.layers), model.names())), {layer.name for layer in own.layers}
        there.append([names[id(block.add.layer)] in within for block in found])
        for block, kept in zip(found, there[-1]):
            for step, weight, start in other.places():      # the last layer of the block's chain: a Dense, or a BatchNormalization
                if step.name == names[id(block.chain[-1].layer)] and weight.trainable:
                    other.weights[start:start + weight.size] *= 4 / sum(there[-1]) if kept else 0
        np.testing.assert_allclose(own.predict(x), other.predict(x), rtol=1e-5, atol=1e-6)
    assert np.sum(there, 0).tolist() == [1] * 4 and sorted(map(sum, there)) == [1, 1, 2]


def test_which_parts_of_a_graph_are_residual_blocks():
    x, shared = Input((4, 6)), Dense(6)

    def found(build, first=None):
        h = Dense(6)(x if first is None else first(x))
        return len(blocks(mrdl.Model(x, Dense(3)(build(h)))))
    assert found(lambda h: Add()([h, Dense(6)(h)])) == found(lambda h: Add()([Dense(6)(Dropout(0.1)(h)), h])) == 1
    assert found(lambda h: Add()([Dense(6)(h), Dense(6)(h)])) == 0                  # neither is h
    assert found(lambda h: Add()([h, Dropout(0.1)(h)])) == found(lambda h: Add()([h, h])) == 0         # no weights
    assert found(lambda h: Add()([h, Dense(6)(h), Dense(6)(h)])) == 0
    assert found(lambda h: Concatenate()([Add()([h, g := Dense(6)(h)]), g])) == 0   # another layer uses the chain
    assert found(lambda h: Add()([shared(h), Add()([h, shared(h)])])) == 0          # so it does its weights
    assert found(lambda h: Add()([h, Dense(6)(Add()([g := Dense(6)(h), Dense(6)(g)]))])) == 1          # the one within
    h = Dense(6)(x)
    assert blocks(mrdl.Model(x, Add()([h, Dense(6)(h)]))) == []                     # the output
    assert [found(lambda h: Add()([h, LSTM(6, return_sequences=True)(h)]), first) for first in (None, Masking())] == [1, 1]
    assert [found(lambda h: Add()([h, Conv1D(6, 1)(h)]), first) for first in (None, Masking())] == [1, 0]   # its output has no mask


@pytest.mark.parametrize("optimizer, workers, count, shards, save_updater, kind", [
    (SGD(0.1), 2, 2, 2, True, deep), (Adam(0.01), 3, 3, 5, True, deep), (SGD(0.1, momentum=0.9), 4, 2, 4, True, deep),
    (Adam(0.01), 4, 2, 3, False, lambda optimizer: deep(optimizer, BatchNormalization())),
    (Adam(0.01), 4, 2, 3, True, residual), (SGD(0.1), 6, 6, 6, True, residual)])
def test_a_round_is_fragments_trained_alone_and_joined(tmp_path, made, optimizer, workers, count, shards, save_updater, kind):
    """Each trained by a Learner on its shards, in the order that workers have; the last group has too few shards for some."""
    data, run = made(90, shards=shards, dtype="float32"), str(tmp_path / "run")
    model = kind(optimizer)
    training(workers=workers, fragments=count, averaging_frequency=None, epochs=1, seed=5, keep_rounds=99,
             save_updater=save_updater).fit(model, data.url, run=run)
    states = [Run(run).state(r) for r in Run(run).rounds()]
    slots = 1 + model.optimizer.slots
    twin = kind(optimizer).build(seed=5)
    narrowed(twin, count)
    found = np.concatenate([twin.weights[None], model.optimizer.start(twin.weights)])
    groups = schedule.groups(data.train(), workers, 5, 0)
    assert len(states) == 1 + len(groups)
    iterations = 0
    for r, (group, state) in enumerate(zip(groups, states[1:]), 1):
        fragments, sent, before = dealt(model, count, 5, "fragments", r), [], found.copy()
        for worker, shard in enumerate(group):
            fragment, arrays = fragments[worker % len(fragments)], rows(shard)
            own = fragment.cut(found)
            alone = Learner(fragment.model, own[0], own[1:], batch_size=8, iterations=iterations)
            order = seeds.permutation(shard.n, 5, "rows", 0, shard.index, 0)
            for number in range(-(-shard.n // 8)):
                alone.step(arrays, order[number * 8:number * 8 + 8], 0, number)
            for start, variance, n in fragment.model.moments() if len(group) > 1 else ():
                own[0, variance:variance + n] += (own[0, start:start + n] - fragment.cut(before)[0, start:start + n]) ** 2
            sent.append((worker, alone.terms, own[:slots if save_updater else 1], fragment))
        common = next(merge("", [Partial(w, n, apart(own, f.shared)[0]) for w, n, own, f in sent]))[1].values
        for number, fragment in enumerate(fragments):
            if mine := [Partial(w, n, apart(own, f.shared)[1]) for w, n, own, f in sent if w % len(fragments) == number]:
                fragment.join(together(common, next(merge("", mine))[1].values, fragment.shared, fragment.parameters), found)
        for start, variance, n in model.moments() if len(group) > 1 else ():
            found[0, variance:variance + n] -= (found[0, start:start + n] - before[0, start:start + n]) ** 2
        if save_updater:
            iterations += max(-(-shard.n // 8) for shard in group)
        else:
            found[1:] = model.optimizer.start(found[0])
        same = np.testing.assert_array_equal if not model.moments() else lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6)
        same(state.vector, found.reshape(-1))
        assert state.iterations == iterations
    assert twin.weights.tobytes() != found[0].tobytes()


def test_an_outer_updater_takes_the_change_of_the_joined_weights(tmp_path, made):
    """Those that no fragment had have not changed; they move on by what the updater knows of them."""
    data, states = made(60, shards=2, dtype="float32").url, {}
    for outer in (None, "nesterov learning_rate 0.5 momentum 0.9"):
        training(rounds=2, outer=outer, seed=3).fit(deep(), data, run=str(tmp_path / str(outer)[:3]))
        states[outer] = [Run(str(tmp_path / str(outer)[:3])).state(r) for r in range(3)]
    (begun, plain, _), (_, first, second) = states.values()
    change = plain.weights - begun.weights
    np.testing.assert_allclose(first.weights, begun.weights + 0.95 * change, rtol=1e-5, atol=1e-7)
    assert first.slots.tobytes() == plain.slots.tobytes()
    fragments, held = dealt(deep(), 2, 3, "fragments", 2), np.zeros((1, len(change)), "f4")
    for fragment in fragments:
        fragment.join(np.ones((1, fragment.parameters), "f4"), held)
    rests = held[0] == 0
    assert rests.sum() == 9 * 8 // 2
    np.testing.assert_allclose(second.weights[rests], (first.weights + 0.5 * 0.9 ** 2 * change)[rests], rtol=1e-5, atol=1e-7)


def test_new_weights_behind_dealt_units_are_narrower_and_given_ones_stay(tmp_path, made):
    layers = [Input((5, 3)), LSTM(8, return_sequences=True), Conv1D(8, 2, use_bias=False), Flatten()]
    model = network(*layers).build(seed=3)
    before = model.get_weights()
    narrowed(model, 4)
    found = [np.abs(a).sum() / np.abs(b).sum() for a, b in zip(model.get_weights(), before) if b.any()]
    np.testing.assert_allclose(found, [1, 0.5, 1, 0.5, 0.5], rtol=1e-6)         # LSTM: kernel, recurrent kernel, bias; Conv1D; Dense
    graph, old = residual().build(seed=3), residual().build(seed=3).weights
    narrowed(graph, 9)                          # there are four blocks
    ends = [name for block in blocks(graph) for layer, name in zip(graph.layers, graph.names()) if layer is block.chain[-1].layer]
    for step, weight, start in graph.places():
        divided = step.name in ends and weight.trainable
        assert np.array_equal(graph.weights[start:start + weight.size], old[start:start + weight.size] / np.float32(4 if divided else 1))
    assert len(ends) == 4
    data = made(40, shards=2, dtype="float32").url
    for name, given in (("new", deep()), ("given", deep().build(seed=0))):
        training(rounds=1).fit(given, data, run=str(tmp_path / name))
        first, own = Run(str(tmp_path / name)).state(0).weights, deep().build(seed=0)
        if name == "new":
            narrowed(own, 2)
        assert first.tobytes() == own.weights.tobytes()


@pytest.mark.parametrize("kind", [deep, residual])
def test_one_fragment_is_plain_averaging(tmp_path, made, kind):
    """As an option, and in rounds of fragments that all have all units, or all blocks."""
    data, options, model = made(60, shards=2, dtype="float32").url, {"batch_size": 8, "averaging_frequency": 3, "runner": "inline", "rounds": 2}, kind()
    FragmentTraining(workers=2, fragments=1, **options).fit(kind(), data, run=str(tmp_path / "one"))
    for name, exchange in (("plain", None), ("cut", lambda cluster, run: FragmentExchange(
            cluster, 2, [], "never", lambda text: None, place=run, model=model, count=1))):
        ParameterAveraging(workers=2, **options).fit(model if exchange else kind(), data, run=str(tmp_path / name), exchange=exchange)
    assert whole(tmp_path / "one") == whole(tmp_path / "plain") == whole(tmp_path / "cut")


def test_every_runner_and_a_run_that_goes_on_give_the_same_bits(tmp_path, made, local):
    data = made(120, shards=4, hold_out=0.2, dtype="float32").url
    for name, runner, resident in (("inline", "inline", "never"), ("local", local, "never"), ("resident", local, "always")):
        training(fragments=4, validation_freq=2, epochs=2, runner=runner, resident=resident).fit(
            deep("adam", Dropout(0.3)), data, run=str(tmp_path / name))
    training(fragments=4, validation_freq=2, rounds=2).fit(deep("adam", Dropout(0.3)), data, run=str(tmp_path / "again"))
    resume(str(tmp_path / "again"), local, resident="always", epochs=2)
    assert whole(tmp_path / "inline") == whole(tmp_path / "local") == whole(tmp_path / "resident") == whole(tmp_path / "again")
    assert not [name for name in os.listdir(tmp_path / "again") if name.startswith("fragment")]


def test_a_worker_that_fails_is_shown_although_chunks_are_missing(tmp_path, made):
    data = made(60, shards=2, dtype="float32")
    shard = Path(data.train()[0].path)
    content = shard.read_bytes()
    shard.write_bytes(content[:600] + b"AAAA" + content[604:])
    with pytest.raises(WorkerFailed, match="prepare the dataset again"):
        training().fit(deep(), data.url, run=str(tmp_path / "run"))


def test_a_resident_worker_leaves_a_question_of_a_dead_driver_whose_fragments_are_gone(tmp_path, made):
    data, meeting, common = made(20, shards=1, dtype="float32"), Meeting(str(tmp_path / "meeting")), [(0, 1)]
    (shard,) = data.train()
    asked = Plan("", 1, 0, 0, None, 8, 0, ["0", RECORD], train={f"{data.uid}/00000": 0}, fragments=[
        {"spec": "", "moments": [], "shared": common, "size": 1, "keys": ["1", RECORD]}])
    meeting.begin(1, [])
    plan, own = {k: v for k, v in vars(asked).items() if k not in (*OWN, "kept")}, {name: getattr(asked, name) for name in OWN}
    meeting.ask(1, {"plan": plan, "coded": None, "parts": [str(tmp_path / "gone-%06d")], "path": "", "dtype": "<f4", "work": {"0": [[shard.path]]},
                    "merge": {}, "foresee": False}, **own)
    meeting.ask(2, {"last": 1, "plan": plan}, **own)
    with Shelf() as shelf:
        worker = Resident(Meeting(meeting.store.url), shelf, lambda text: None, 60, lambda *given: None)
        worker._arrive(iter([b"0"]))
        worker.number = 1                       # it came before the first driver died
        assert list(worker._served()) == []
    assert meeting.results(1) == []


def test_a_worker_reads_and_sends_its_fragment_alone(tmp_path, made, monkeypatch):
    """A quarter of what is at the inputs and outputs, and a sixteenth of what is between hidden units."""
    read, sent = [], []

    def load(path):
        read.append(os.path.getsize(path))
        return loaded(path)

    def trained(*given):
        sent.append(0)
        for chunk, part in worked(*given):
            sent[-1] += 0 if chunk == RECORD else part.values.nbytes
            yield chunk, part
    loaded, worked = State.load, train.train
    monkeypatch.setattr(State, "load", load)
    monkeypatch.setattr("mrdl.worker.answer.train", trained)
    model = network(Input(5), Dense(40, "relu", use_bias=False), Dense(40, "relu", use_bias=False))
    training(fragments=4, averaging_frequency=None, rounds=1, until=None).fit(
        model, made(60, shards=4, dtype="float32").url, run=str(tmp_path / "run"))
    values = 3 * ((5 * 40 + 40 * 3) // 4 + 40 * 40 // 16 + 3)       # weights and Adam's two slots; 3 biases of the output
    assert sent == [4 * values] * 4
    assert len(read) == 4 and all(4 * values < size < 4 * values + 1000 for size in read)


def test_what_the_command_line_says(tmp_path, made, capsys):
    model = tmp_path / "model.json"
    model.write_text(deep().to_json())
    data, run = made(60, shards=2, dtype="float32").url, str(tmp_path / "run")
    command = ["train", str(model), data, run, "-r", "inline", "--averaging-frequency", "3", "--epochs", "1"]
    assert main([*command, "--fragments", "2"]) == 0
    assert main(["show", run]) == 0
    assert "2 workers, batch 32, averaging every 3, 2 fragments" in capsys.readouterr().out
    assert main(command) == 2 and "fragments 2, now none" in capsys.readouterr().err
    assert json.loads((tmp_path / "run/run.json").read_text())["options"]["fragments"] == 2


@pytest.mark.parametrize("options, said", [
    ({"fragments": 0}, "fragments must be 1 or more"), ({"fragments": 2, "workers": 3}, "must be a multiple of fragments=2"),
    ({"outer": "elastic"}, "it needs all weights of each worker"), ({"outer": "confidence"}, "it needs all weights of each worker"),
    ({"compress": "int8"}, "compress cannot be used"), ({"fragments": 3}, "has 2 shards to train on, fewer than the 3"),
    ({"resident": "always"}, "resident rounds need")])
def test_options_that_do_not_fit_are_refused_before_anything_is_written(tmp_path, made, options, said):
    data = made(40, shards=2, dtype="float32").url
    with pytest.raises((RunError, ConfigError), match=said):
        training(**options).fit(deep(), data, run=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("layers, said", [
    ([Input(5)], "no hidden units to deal out"), ([Input(5), Dense(3), Dense(9)], "dense has 3 units, fewer than the 4"),
    ([Input((5, 5, 1)), Conv2D(4, 2), Permute((3, 1, 2)), Flatten()], "permute cannot be cut"),
    ([Input((5, 5, 4)), Conv2D(4, 2), Conv2D(4, 2, groups=2), Flatten()], "conv2d_1 has groups"),
    ([Input(5), Dense(9, kernel_constraint="non_neg")], "dense has a constraint on its kernel")])
def test_networks_that_cannot_be_cut_are_refused(layers, said):
    with pytest.raises(ConfigError, match=said):
        dealt(network(*layers), 4)
    inputs = Input(5)
    with pytest.raises(ConfigError, match="no residual blocks to deal out"):
        dealt(mrdl.Model(inputs, Dense(3, "softmax")(Dense(8)(inputs))), 2)


def test_merged_chunks_of_fragments_must_fit_together():
    cut = [{"spec": "", "moments": [], "shared": [(0, 1)], "size": 2, "keys": [key, RECORD]} for key in ("1", "2", "3")]
    plan = Plan("", 1, 0, 0, None, 8, 0, ["0", RECORD], train={"d/0": 0, "d/1": 1}, fragments=cut)
    parts = {"0": Partial(2, 7, np.ones(1)), "1": Partial(1, 3, np.full(2, 2.0)), "2": Partial(1, 4, np.full(2, 3.0))}
    merged = gathered(parts.items(), plan, 5, "f8")
    assert merged.vector.tolist() == [1, 2, 2, 3, 3] and (merged.workers, merged.n) == (2, 7)
    with pytest.raises(RoundError, match="chunks are missing: 2"):
        gathered([part for part in parts.items() if part[0] != "2"], plan, 5, "f8")
    failed = Partial(1, 0, facts(Failed("KeyError", "'x'", "shard d/1", "Traceback")))
    assert gathered([*list(parts.items())[:2], (RECORD, failed)], plan, 5, "f8").vector is None     # half of it would be garbage
    for odd in ({"0": Partial(2, 6, np.ones(1))}, {"2": Partial(2, 4, np.ones(2))}):
        with pytest.raises(RoundError, match="merged from different workers"):
            gathered((parts | odd).items(), plan, 5, "f8")
    with pytest.raises(RoundError, match="chunk 3 does not belong"):
        gathered([("3", Partial(1, 1, np.ones(2)))], plan, 5, "f8")
