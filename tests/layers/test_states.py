"""States that calls hand out and take in: encoders and decoders."""
import json

import numpy as np
import pytest
from gradients import Probe
from graphs_with_states import GRAPHS, F, T, compiled, examples

import mrdl
from mrdl.config import ConfigError
from mrdl.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Input,
)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_gradient_goes_through_the_states(name):
    model = compiled(name, dtype="float64")
    Probe(model, None, x=examples(model)).check()


def test_the_table_of_a_model_names_the_states(capsys):
    compiled("mixed, LSTM").summary()
    assert "lstm[1], lstm[2]" in capsys.readouterr().out


def json_with(**kwargs):
    form = json.loads(compiled("translator, LSTM").to_json())
    node, = next(entry for entry in form["config"]["layers"] if entry["name"] == "lstm_1")["inbound_nodes"]
    node["kwargs"] |= kwargs
    return json.dumps(form)


@pytest.mark.parametrize("make, reason", [
    (lambda: LSTM(4)(Input((T, F)), initial_state=[Input((4,))]), r"must be 2 of shape \(4,\)"),
    (lambda: GRU(4)(Input((T, F)), initial_state=Input((5,))), r"must be 1 of shape \(4,\)"),
    (lambda: GRU(4)(Input((T, F)), initial_state="zeros"), r"must be 1 of shape \(4,\)"),
    (lambda: mrdl.Sequential([Input((T, F)), LSTM(4, return_state=True)]), "gives its states too .*: use mrdl.Model"),
    (lambda: Bidirectional(LSTM(4, return_state=True)), "stateful=True and return_state=True are not"),
    (lambda: compiled("mixed, GRU").fit(examples(compiled("mixed, GRU")).reshape(64, T, F), np.zeros(64), tbptt=2),
     "cannot be used with return_state=True"),
    (lambda: mrdl.model_from_json(json_with(initial_state=[3])), "the spec calls a layer with 3"),
    (lambda: mrdl.model_from_json(json_with(initial_state={"a": 1})), "the spec calls a layer with .* which is no tensor"),
    (lambda: mrdl.model_from_json(json_with(mask="x")), "LSTM: mask='x' in its call is not supported"),
    (lambda: mrdl.model_from_json(json.dumps(json.loads(compiled("mixed, LSTM").to_json().replace(
        '["lstm", 0, 2]', '["lstm", 0, 3]')))), "speaks of a tensor that is not there"),
])
def test_what_does_not_fit_is_refused_in_one_line(make, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        make()
    assert "\n" not in str(error.value)
