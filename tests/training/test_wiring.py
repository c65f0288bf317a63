"""Which tensor goes where in a bound model: each question by itself, on the steps of small models."""
from collections import Counter

import numpy as np
import pytest

import mrdl
from mrdl import kernels
from mrdl.config import ConfigError
from mrdl.layers import LSTM, Add, Concatenate, Dense, Flatten, Input, Masking, Rescaling, Reshape
from mrdl.layers.operation import Branch, Part, Tensor, View
from mrdl.training import wiring


def graph():
    """0 and 1: inputs; 2: a view of 0; 3: Dense of 2; 4 and 5: views of 3; 6: Add of 4 and 1; outputs are 6 and 5."""
    a, b = Input((2, 3)), Input((4,))
    h = Dense(4)(Flatten()(a))
    folded = Reshape((2, 2))(h)
    return mrdl.Model([a, b], [Add()([Flatten()(folded), b]), folded])


def numbered(model):
    """The number of each step by its layer's name."""
    return {step.name: number for number, step in enumerate(model.stack(), len(model.input_shapes()))}


def test_a_view_is_a_tensor_that_an_operation_made_or_an_input():
    model = graph()
    of = numbered(model)
    found = wiring.sources(model.stack(), 2)
    assert found == {0: None, 1: None, of["flatten"]: None, of["reshape"]: of["dense"], of["flatten_1"]: of["dense"]}


def test_who_takes_a_view_takes_what_it_is_of():
    model = graph()
    of, stack = numbered(model), model.stack()
    found = wiring.takers(stack, model.output_tensors(), wiring.sources(stack, 2))
    assert found == Counter({None: 2, of["dense"]: 2, of["add"]: 1})         # as an output, and by Add


def test_views_of_other_steps_carry_no_mask():
    model = graph()
    of = numbered(model)
    assert wiring.reshaped(model.stack(), 2) == {of["flatten"], of["reshape"], of["flatten_1"]}
    assert wiring.reshaped(mrdl.Sequential([Input((3, 2)), Masking(), LSTM(2)]).stack(), 1) == set()


@pytest.mark.parametrize("make, yes", [
    (lambda x: Dense(2)(Rescaling(2.0)(x)), True),
    (lambda x: Dense(2)(Rescaling(2.0)(Rescaling(0.5)(x))), True),      # the first of them
    (lambda x: Rescaling(2.0)(Dense(2)(x)), False),
    (lambda x: Concatenate()([Rescaling(2.0)(x), x]), False),
    (lambda x: Dense(2)(Flatten()(x)), False)])
def test_the_gather_scales_where_only_a_rescaling_takes_the_only_input(make, yes):
    x = Input((4,))
    stack = mrdl.Model(x, make(x)).stack()
    assert wiring.scaled_input(stack, 1) is (stack[0] if yes else None)
    assert wiring.scaled_input(stack, 2) is None


def test_a_loss_takes_over_the_activation_of_what_nobody_else_takes():
    sources, takers = {4: 3}, Counter({3: 1, 5: 2})
    assert wiring.left_to_losses([4, 5], [True, False], sources, takers) == {3}
    with pytest.raises(ConfigError, match="from_logits"):
        wiring.left_to_losses([4, 5], [True, True], sources, takers)


def wires(model):
    """Those of a model, whose tensors have 16 columns."""
    def make(shape):
        return Tensor(kernels.typed(np.dtype("f4")), int(np.prod(shape)), 16, np.dtype("f4"), True)
    stack, inputs = model.stack(), [int(np.prod(shape)) for shape in model.input_shapes()]
    sources = wiring.sources(stack, len(inputs))
    takers = wiring.takers(stack, model.output_tensors(), sources)
    return wiring.Wires(make((sum(inputs),)), inputs, sources, takers, wiring.reshaped(stack, len(inputs))), make


def test_inputs_are_parts_of_one_tensor():
    found, _ = wires(graph())
    a, b = found.taken(0), found.taken(1)
    assert found.x.value.shape == (10, 16) and isinstance(a, Part) and found.is_input(a) and found.is_input(b)
    assert np.shares_memory(a.value, found.x.value[:6]) and np.shares_memory(b.value, found.x.value[6:])
    alone, _ = wires(mrdl.Sequential([Input(3), Dense(2)]))
    assert alone.taken(0) is alone.x and alone.others == []


def test_what_several_take_has_a_branch_for_each_and_their_gradients_are_added():
    model = graph()
    of = numbered(model)
    found, make = wires(model)
    y = make((4,))
    join, = found.made({of["dense"]: y})
    found.same(of["reshape"], of["dense"])
    found.same(of["flatten_1"], of["reshape"])
    one, other = found.taken(of["flatten_1"]), found.taken(of["reshape"])
    assert isinstance(one, Branch) and one is not other and one.value is y.value and y in found.others
    one.grad[:], other.grad[:] = 1, 2
    join.backward(16)
    assert (y.grad == 3).all()
    single = make((4,))
    assert found.made({of["add"]: single}) == [] and found.taken(of["add"]) is single


def test_a_view_of_other_steps_hides_the_mask_of_what_it_is_of():
    model = mrdl.Sequential([Input((3, 2)), Masking(), Flatten(), Dense(2)])
    found, make = wires(model)
    y = make((6,))
    y.mask = np.ones((3, 16), "f4")
    found.made({1: y})
    found.same(2, 1)
    assert found.taken(1).mask is y.mask and isinstance(found.taken(2), View) and found.taken(2).mask is None
