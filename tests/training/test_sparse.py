"""Sparse rows: training on them is training on the same rows made dense, and touches only the weights of what is there."""
import numpy as np
import pytest
from scipy import sparse

import mrdl
from mrdl import limits
from mrdl.config import ConfigError
from mrdl.data.sparse import Csr, together
from mrdl.layers import Add, Concatenate, Dense, Dropout, Embedding, Flatten, Input
from mrdl.optimizers import SGD, Adam
from mrdl.regularizers import L2

WIDTH = 60


def rows(n=100, seed=0, width=WIDTH):
    """Rows of which a twentieth is not 0, the last one of 0 alone, and their labels."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((n, width)) < 0.05, rng.standard_normal((n, width)), 0).astype("f4")
    x[-1] = 0
    return x, (x @ rng.standard_normal(width) > 0).astype("i4")


def model(sparse, optimizer, units=5, width=WIDTH, **more):
    found = mrdl.Sequential([Input((width,), sparse=sparse), Dense(units, "relu", **more), Dense(1, "sigmoid")])
    found.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    return found.build(seed=3)


@pytest.mark.parametrize("units", [1, 5, 70])
@pytest.mark.parametrize("optimizer", [SGD(0.1), SGD(0.1, clipnorm=0.05), SGD(0.1, global_clipnorm=0.05), SGD(0.1, clipvalue=0.01)])
def test_with_sgd_sparse_training_is_dense_training(optimizer, units):
    x, y = rows()
    dense, own = model(False, optimizer, units), model(True, optimizer, units)
    for trained, given in ((dense, x), (own, sparse.csr_matrix(x))):
        trained.fit(given, y, batch_size=17, epochs=3, verbose=0)
    for a, b in zip(dense.get_weights(), own.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert dense.get_weights()[0].shape == (WIDTH, units)
    np.testing.assert_allclose(dense.predict(x), own.predict(Csr.from_dense(x), batch_size=7), rtol=1e-5)
    assert own.evaluate(sparse.coo_array(x), y, return_dict=True)["loss"] == pytest.approx(dense.evaluate(x, y, return_dict=True)["loss"], rel=1e-6)


def test_all_updaters_are_those_of_dense_training_where_every_feature_is_there():
    x, y = np.random.default_rng(0).random((40, 8)).astype("f4") + 1, np.arange(40) % 2
    for optimizer in ("adam", "adagrad", "rmsprop", SGD(0.1, momentum=0.9), Adam(weight_decay=0.1)):
        found = []
        for sparse_too in (False, True):
            own = model(sparse_too, optimizer, width=8, kernel_regularizer=L2(0.1))
            loss = own.fit(sparse.csr_matrix(x) if sparse_too else x, y, batch_size=8, epochs=2, verbose=0).history["loss"]
            found.append((loss, own.get_weights(), own.slots))
        np.testing.assert_allclose(*(loss for loss, _, _ in found), rtol=1e-5)
        for a, b in zip(*(weights for _, weights, _ in found)):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_an_update_leaves_all_as_it_is_of_features_that_are_not_there():
    x, y = rows()
    there = np.flatnonzero((x[:20] != 0).any(0))
    own = model(True, Adam(0.1, weight_decay=0.1), kernel_regularizer=L2(0.1))
    before = own.get_weights()[0]
    own.fit(sparse.csr_matrix(x[:20]), y[:20], batch_size=20, verbose=0)
    changed = np.flatnonzero((own.get_weights()[0] != before).any(1))
    moments = np.flatnonzero(own.slots[:, :before.size].reshape(2, *before.shape).any((0, 2)))
    assert 0 < len(there) < WIDTH and np.array_equal(changed, there) and np.array_equal(moments, there)


def test_two_layers_may_take_the_same_sparse_input():
    x, y = rows()
    found = []
    for sparse_too in (False, True):
        inputs = Input((WIDTH,), sparse=sparse_too)
        wide, deep = Dense(1)(inputs), Dense(1)(Dense(4, "relu")(inputs))
        own = mrdl.Model(inputs, Add()([wide, deep]))
        own.compile(SGD(0.1), "mse")
        own = mrdl.model_from_json(own.to_json())
        own.fit(x, y, batch_size=16, verbose=0, epochs=2)
        found.append(own.get_weights())
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_dense_rows_and_sparse_ones_fit_both_kinds_of_model():
    x, y = rows()
    for sparse_model in (False, True):
        own = model(sparse_model, SGD(0.1))
        assert own.predict(x).tobytes() == own.predict(sparse.csr_matrix(x)).tobytes()
        assert own.predict(x).tobytes() == own.predict(sparse.dok_matrix(x)).tobytes()
        assert own.evaluate(x, y, return_dict=True) == own.evaluate(sparse.csc_matrix(x), y, return_dict=True)


def test_the_bits_do_not_depend_on_how_many_rows_are_scored_at_once():
    x, _ = rows(50)
    own = model(True, SGD(0.1))
    assert len({own.predict(Csr.from_dense(x), batch_size=n).tobytes() for n in (1, 16, 50)}) == 1


def test_a_model_of_many_features_needs_no_room_for_dense_rows():
    wide, narrow = (model(sparse_too, "adam", width=1 << 16) for sparse_too in (True, False))
    assert limits.needed(wide, 256, True) < limits.needed(narrow, 256, True) / 8


def test_sparse_inputs_stay_sparse_in_the_spec_and_in_saved_files(tmp_path):
    own = model(True, "adam")
    own.save(str(tmp_path / "model"))
    again = mrdl.load_model(str(tmp_path / "model"))
    assert again.sparse and again.to_json() == own.to_json()
    assert all((a == b).all() for a, b in zip(again.get_weights(), own.get_weights()))
    assert '"sparse": true' in own.to_json() and mrdl.Sequential([Input(3, sparse=True), Dense(1)]).sparse


def test_rows_are_made_canonical():
    odd = sparse.csr_matrix((np.array([1.0, 0, 2, 3]), np.array([5, 2, 1, 5]), np.array([0, 4, 4])), shape=(2, 9))
    own = Csr.of(odd)
    assert own.ids.tolist() == [1, 5] and own.values.tolist() == [2, 4] and own.starts.tolist() == [0, 2, 2]
    assert odd.nnz == 4                             # the user's is as it was
    both = together([own, Csr.from_dense(own.dense("f8")[::-1])])
    assert len(both) == 4 and np.array_equal(both[1:3].dense("f8"), np.zeros((2, 9)))
    assert np.array_equal(both[np.array([3, 0])].dense("f8"), own.dense("f8")[[0, 0]])


def test_what_does_not_fit_a_sparse_input_is_refused():
    twice, wide = Dense(2), Input((9,), sparse=True)
    for made, reason in (
            (lambda: Input((3, 4), sparse=True), "one row"),
            (lambda: mrdl.Sequential([Input(9, sparse=True), Dropout(0.1), Dense(1)]), "only Dense takes"),
            (lambda: mrdl.Model(wide, Concatenate()([wide, Dense(2)(wide)])), "only Dense takes"),
            (lambda: model(True, "sgd").fit(sparse.csr_matrix((4, WIDTH)), sparse.csr_matrix((4, 1))), "y must be an array"),
            (lambda: model(True, "sgd").predict(sparse.csr_matrix((4, WIDTH + 1))), "takes examples"),
            (lambda: model(True, "sgd").predict(sparse.csr_matrix((4, 2 ** 31))), "up to 2,147,483,647"),
            (lambda: model(True, "sgd").predict(sparse.coo_array(np.ones(WIDTH))), "a sparse array of the shape .60,.; its rows must be")):
        with pytest.raises(ConfigError, match=reason):
            made()
    shared = mrdl.Model(wide, Add()([twice(wide), twice(wide)]))
    shared.compile("sgd", "mse")
    with pytest.raises(ConfigError, match="called once"):
        shared.fit(np.ones((4, 9)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="outside"):
        model(True, "sgd").predict(Csr(np.array([0, 1]), np.array([WIDTH], "i4"), np.ones(1, "f4"), WIDTH))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 0, 2, 1), (1, 0), (0, 3)])
def test_sparse_inputs_stand_beside_others(tmp_path, order):
    """Two sparse inputs, numbers and ids, in any order: trained, scored and saved as the same model of dense inputs is."""
    rng, n = np.random.default_rng(0), 70
    wide = rng.normal(size=(2, n, WIDTH)) * (rng.random((2, n, WIDTH)) < 0.1)
    parts = [wide[0], rng.normal(size=(n, 3)), rng.integers(0, 5, (n, 2)).astype(float), wide[1]]
    y = rng.integers(0, 2, n)

    def built(sparse_too):
        inputs = [Input((part.shape[1],), sparse=sparse_too and i in (0, 3)) for i, part in enumerate(parts)]
        ends = [Dense(4, "relu")(inputs[0]), inputs[1], Flatten()(Embedding(5, 3)(inputs[2])), Dense(2)(inputs[3])]
        own = mrdl.Model([inputs[i] for i in order], Dense(1, "sigmoid")(Concatenate()([ends[i] for i in order])))
        own.compile(SGD(0.2), "binary_crossentropy")
        return mrdl.model_from_json(own.to_json())
    chosen = [parts[i] for i in order]
    given = [sparse.csr_matrix(part) if i in (0, 3) else part for i, part in zip(order, chosen)]
    dense, own = built(False), built(True)
    for trained, x in ((dense, chosen), (own, given)):
        trained.fit(x, y, batch_size=16, epochs=2, verbose=0)
    for a, b in zip(dense.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert own.predict(given).tobytes() == own.predict(chosen).tobytes() == own.predict(np.concatenate(chosen, 1)).tobytes()
    own.save(str(tmp_path / "own"))
    assert mrdl.load_model(str(tmp_path / "own")).predict(given).tobytes() == own.predict(given).tobytes()
    assert len({own.predict(given, batch_size=size).tobytes() for size in (1, 16, 70)}) == 1
