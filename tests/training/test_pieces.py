"""Pieces of the gradient: which of them is penalized, filled by rows, or waits for a layer's earlier calls."""
import numpy as np
import pytest

import mrdl
from mrdl.layers import Add, Dense, Embedding, Flatten, Input
from mrdl.optimizers import SGD
from mrdl.training import pieces
from mrdl.training.network import Network


def updates(layers, optimizer=None):
    """Those of a model's operations, from the last to the first."""
    model = layers if isinstance(layers, mrdl.Model) else mrdl.Sequential(layers)
    model.compile(optimizer or SGD(0.1), "mse")
    model.build()
    slots = model.optimizer.start(model.weights)
    return model, pieces.updates(Network(model, 4, model.weights, model.heads(), training=True), model, model.weights, slots,
                                 np.zeros_like(model.weights) if model.optimizer.waits else None)


def test_each_tensor_has_its_piece_and_its_penalty_from_the_last_layer_to_the_first():
    model, found = updates([Input(3), Dense(2, kernel_regularizer="l2"), Dense(1)])
    of = {start: step.name + "/" + weight.name for step, weight, start in model.places()}
    assert [[(of[u.tensor], bool(u.penalty)) for u in each] for _, each in found] == [
        [("dense_1/kernel", False), ("dense_1/bias", False)], [("dense/kernel", True), ("dense/bias", False)]]
    assert all(np.shares_memory(u.w, model.weights) and u.step for _, each in found for u in each)


def test_a_shared_layer_is_updated_once_when_its_first_call_has_added_its_part():
    a, b, layer = Input(3), Input(3), Dense(3)
    _, found = updates(mrdl.Model([a, b], Add()([layer(a), layer(b)])))
    last, first = (each for _, each in found if each)
    assert not any(u.step for u in last) and all(u.step for u in first)
    assert all(np.shares_memory(u.g, v.g) for u, v in zip(last, first))


@pytest.mark.parametrize("table, optimizer, by_rows", [
    (Embedding(9, 2), None, True), (Embedding(9, 2, embeddings_regularizer="l2"), None, False),
    (Embedding(9, 2), SGD(0.1, clipnorm=1.0), False)])
def test_an_embedding_changes_its_rows_alone_where_nothing_else_wants_all_of_them(table, optimizer, by_rows):
    _, found = updates([Input(4), table, Flatten(), Dense(1)], optimizer)
    (update,) = next(each for operation, each in found if getattr(operation, "sparse", False))
    assert isinstance(update.step, pieces.Rows) == by_rows


def test_pieces_share_a_place_unless_their_norm_is_wanted_first():
    for optimizer, alone in ((SGD(0.1), False), (SGD(0.1, global_clipnorm=1.0), True)):
        _, found = updates([Input(3), Dense(2), Dense(1)], optimizer)
        kernels = [each[0].g for _, each in found]
        assert np.shares_memory(*kernels) != alone
