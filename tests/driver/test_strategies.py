"""Spaces of values, what is drawn from them, and who trains on: pure functions, against plain ones."""
import math

import pytest

from mrdl.config import ConfigError
from mrdl.search import Bracket, Range, brackets, drawn, grid, named, next_rung, space, survivors


def test_texts_and_lists_say_the_values():
    found = space({"units": "64, 128", "rate": "log:1e-4..0.1", "drop": "0..0.5", "depth": "1..3", "act": "relu,None", "bias": [True, False],
                   "fixed": "1e-3"})
    assert found == {"units": (64, 128), "rate": Range(1e-4, 0.1, True, False), "drop": Range(0, 0.5, False, False),
                     "depth": Range(1, 3, False, True), "act": ("relu", None), "bias": (True, False), "fixed": (1e-3,)}


@pytest.mark.parametrize("given, reason", [
    ({}, "needs values to try"), ({"a": "2..1"}, "to a larger one"), ({"a": "log:0..1"}, "from above 0"), ({"a": "1,,2"}, "values must be numbers"),
    ({"a": [[1]]}, "values must be numbers"), ({"a": 3}, "must be a list"), ({"a": []}, "has no value"), ({"a": "1,1"}, "or one twice")])
def test_what_says_no_values_is_refused(given, reason):
    with pytest.raises(ConfigError, match=reason):
        space(given)


def test_a_grid_has_every_combination_once():
    found = grid(space({"a": "1..3", "b": "x,y"}))
    assert found == [{"a": a, "b": b} for a in (1, 2, 3) for b in "xy"]
    with pytest.raises(ConfigError, match="a grid needs single values"):
        grid(space({"a": "0.1..0.2"}))


def test_draws_lie_in_their_ranges_spread_as_asked_and_differ():
    values = space({"rate": "log:1e-4..1", "drop": "0.1..0.3", "depth": "1..4", "units": "8,16"})
    found = drawn(values, 400, 3)
    assert found == drawn(values, 400, 3) != drawn(values, 400, 4) and len({repr(own) for own in found}) == 400
    assert all(1e-4 <= own["rate"] <= 1 and 0.1 <= own["drop"] <= 0.3 and own["depth"] in (1, 2, 3, 4) for own in found)
    assert 0.4 < sum(math.log10(own["rate"]) < -2 for own in found) / 400 < 0.6         # half of them below the middle of the logarithms
    assert {own["depth"] for own in found} == {1, 2, 3, 4} and {own["units"] for own in found} == {8, 16}
    assert all(float(f"{own['rate']:.4g}") == own["rate"] for own in found)
    assert sorted(own["a"] for own in drawn(space({"a": "1..5"}), 50, 0)) == [1, 2, 3, 4, 5]       # there are no more


def test_halving_trains_a_third_three_times_as_long():
    made = brackets("halving", 27, 3, None)
    assert made == [Bracket(range(1, 28), (1, 3, 9, 27))]
    costs, seen = [], []
    while going := next_rung(made, 3, costs):
        seen.append((len(going), set(going.values())))
        costs.append({number: float(number) for number in going})       # the lower the number, the better
        assert list(going) == list(range(1, len(going) + 1))
    assert seen == [(27, {1}), (9, {3}), (3, {9}), (1, {27})]
    assert brackets("halving", 27, 3, 10) == [Bracket(range(1, 28), (1, 3, 10))]      # too few epochs for four rungs
    assert brackets("halving", 5, 2, 8) == [Bracket(range(1, 6), (2, 4, 8))]
    assert brackets("random", 4, 3, 7) == [Bracket(range(1, 5), (7,))]


def test_hyperband_has_the_brackets_of_the_paper():
    """Li et al., table 1: R = 81, eta = 3."""
    made = brackets("hyperband", None, 3, 81)
    assert [(len(own.members), own.budgets) for own in made] == [
        (81, (1, 3, 9, 27, 81)), (34, (3, 9, 27, 81)), (15, (9, 27, 81)), (8, (27, 81)), (5, (81,))]
    assert [number for own in made for number in own.members] == list(range(1, 144))
    first = next_rung(made, 3, [])
    assert len(first) == 143 and sorted(set(first.values())) == [1, 3, 9, 27, 81]
    second = next_rung(made, 3, [dict.fromkeys(first, 0.0)])
    assert [sum(number in own.members for number in second) for own in made] == [27, 11, 5, 2, 0]


def test_those_that_failed_do_not_go_on_and_equals_go_by_number():
    bracket = Bracket(range(1, 10), (1, 3, 9))
    assert survivors(bracket, 3, [{number: None if number < 4 else 1.0 for number in range(1, 10)}]) == [4, 5, 6]
    assert survivors(bracket, 3, [{number: float(-number) for number in range(1, 10)}]) == [9, 8, 7]
    assert next_rung([bracket], 3, [dict.fromkeys(range(1, 10))]) == {}
    assert next_rung([bracket], 3, [{**dict.fromkeys(range(1, 9)), 9: 5.0}]) == {9: 3}


def test_names_are_the_functions_parameters_or_options_of_training():
    def model(units=8, *, seed=0):
        return units, seed
    assert named(model, ["seed", "units", "batch_size"], ["batch_size", "seed"]) == (["seed", "units"], ["batch_size"])
    assert named(lambda **more: more, ["x", "batch_size"], ["batch_size"]) == (["x"], ["batch_size"])
    with pytest.raises(ConfigError, match="unit: no hyperparameter; the model's are units, seed"):
        named(model, ["unit"], ["batch_size"])
