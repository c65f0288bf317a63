"""docs/dl4j.md: whatever stands on mrdl's side of its tables is there, and defaults are as it says."""
import dataclasses
import re
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from mrdl.kernels import reference

import mrdl
from mrdl import constraints, initializers, layers, losses, optimizers, regularizers, schedules
from mrdl.config import lookup
from mrdl.initializers import INITIALIZERS
from mrdl.layers.activations import ACTIVATIONS
from mrdl.losses import LOSSES

PAGE = (Path(__file__).parent.parent / "docs" / "dl4j.md").read_text()
OPTIONS = {f.name for f in dataclasses.fields(mrdl.ParameterAveraging)}


def section(title):
    return re.split(r"^## ", PAGE, flags=re.MULTILINE)[[p.split("\n")[0] for p in re.split(
        r"^## ", PAGE, flags=re.MULTILINE)].index(title)]


def ours(title):
    """The code in the right columns of a section's table."""
    rows = re.findall(r"^\|(?!---)[^|]*\|([^|]*)\|$", section(title), re.MULTILINE)[1:]
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("title, homes", [
    ("Layers", [layers]), ("Activations", [layers]), ("Updaters", [optimizers, schedules]), ("Of weights", [constraints, regularizers])])
def test_every_class_of_the_tables_is_there(title, homes):
    found = [name for code in ours(title) if (name := re.match(r"[A-Z]\w+", code))]
    assert len(found) > (1 if title == "Activations" else 5)
    for name in found:
        assert any(hasattr(home, name.group()) for home in homes), name.group()
    for code in ours(title):
        if re.fullmatch(r"\w+\([\w=., \"]*\)", code) and "layer" not in code and "x" not in code and "rate)" not in code \
                and "(n," not in code:
            eval(code, {k: v for home in homes for k, v in vars(home).items()})


def test_the_activations_are_those_there_are_and_what_the_page_says():
    named = {code for code in ours("Activations") if re.fullmatch(r"[a-z_0-9]+", code)}
    assert named == set(ACTIVATIONS)
    assert layers.Dense(1).activation == "linear" and layers.LSTM(1).activation == "tanh"
    x = np.array([-1.5, -1.0, 0.5, 1.5])
    def y(name, *parameters):
        return reference.ACTIVATIONS[name][0](x, *(parameters or reference.ACTIVATIONS[name][3]))
    np.testing.assert_allclose(y("leaky_relu"), np.where(x > 0, x, 0.2 * x))
    np.testing.assert_allclose(y("leaky_relu", *layers.LeakyReLU(0.01).parameters), np.where(x > 0, x, 0.01 * x))
    np.testing.assert_allclose(y("leaky_relu", *layers.ReLU(threshold=1.0).parameters), np.where(x > 1, x, 0))
    np.testing.assert_allclose(y("hard_sigmoid"), np.clip(x / 6 + 0.5, 0, 1))
    np.testing.assert_allclose(y("gelu"), [v * NormalDist().cdf(v) for v in x])


def test_every_option_of_the_training_master_is_one():
    named = [code for code in ours("ParameterAveragingTrainingMaster, option by option") if re.fullmatch(r"[a-z_]+", code)]
    assert {"workers", "batch_size", "averaging_frequency", "save_updater", "seed"} <= set(named)
    assert set(named) - {"prepare", "fit"} <= OPTIONS
    for name, default in re.findall(r"`([a-z_]+)` \((\w+)[):]", section("ParameterAveragingTrainingMaster, option by option")):
        assert str(next(f.default for f in dataclasses.fields(mrdl.ParameterAveraging) if f.name == name)) == default


def test_every_name_of_the_package_is_there():
    names = set(re.findall(r"`(?:\w+=)?mrdl\.(\w+)", PAGE))
    assert len(names) > 8
    for name in names:
        assert hasattr(mrdl, name)
    assert {"tbptt", "tbptt_backward"} <= OPTIONS


@pytest.mark.parametrize("name, fields", re.findall(r"`([A-Z]\w+)` \(((?:[^()]*\d[^()]*))\)[^|]*\|$", PAGE, re.MULTILINE))
def test_the_defaults_of_updaters_and_layers_are_those_that_the_page_names(name, fields):
    kind = getattr(optimizers, name, None) or getattr(layers, name)
    given = kind(1) if kind is layers.Dense else kind()
    for field, value in re.findall(r"(rho|epsilon|momentum) ([\d.e-]+)", fields):
        assert getattr(given, field) == float(value)
    if kind in optimizers.OPTIMIZERS:
        rate = re.match(r"(?:rate )?([\d.]+)", fields)
        assert given.learning_rate == float(rate.group(1))


def test_losses_and_initializers_go_by_these_names():
    text = PAGE[PAGE.index("Losses: "):]
    found = re.findall(r"`([a-z_]+)`", text)
    assert len(found) == 12 and all(isinstance(lookup(name, LOSSES, "loss"), losses.Loss) for name in found)
    small = [code for code in ours("Of weights") if re.fullmatch(r"[a-z_]+", code)]
    assert len(small) == 10
    for name in small:
        assert callable(lookup(name, INITIALIZERS, "initializer")) and initializers
