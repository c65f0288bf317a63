"""Descriptions: Keras's names, arguments and defaults, their JSON, and what they refuse."""
import dataclasses
import inspect
import json
import pkgutil
from pathlib import Path

import layer_cases
import numpy as np
import pytest
from not_in_keras import NOT_IN_KERAS

import mrdl
from mrdl import seeds
from mrdl.codings import KINDS, Truncated
from mrdl.config import ConfigError, Configured, lookup, serialize, shown, snake
from mrdl.constraints import CONSTRAINTS, MaxNorm, MinMaxNorm
from mrdl.frequency import RULES
from mrdl.initializers import INITIALIZERS, Constant, GlorotUniform, HeNormal, VarianceScaling
from mrdl.layers import (
    ELU,
    GRU,
    LAYERS,
    LSTM,
    Activation,
    Add,
    AlphaDropout,
    Average,
    AveragePooling1D,
    AveragePooling2D,
    BatchNormalization,
    Bidirectional,
    CategoryEncoding,
    Concatenate,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Cropping1D,
    Cropping2D,
    Dense,
    DepthwiseConv2D,
    Dot,
    Dropout,
    Embedding,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GravesLSTM,
    Input,
    LayerNormalization,
    LeakyReLU,
    Masking,
    Maximum,
    MaxPooling1D,
    MaxPooling2D,
    Minimum,
    Multiply,
    Normalization,
    Permute,
    PReLU,
    ReLU,
    RepeatVector,
    Rescaling,
    Reshape,
    SeparableConv2D,
    SimpleRNN,
    Softmax,
    SpatialDropout1D,
    SpatialDropout2D,
    Subtract,
    TimeDistributed,
    UpSampling1D,
    UpSampling2D,
    ZeroPadding1D,
    ZeroPadding2D,
)
from mrdl.layers.operators import Divide, Function, GetItem, Reduce
from mrdl.losses import LOSSES, BinaryCrossentropy
from mrdl.metrics import (
    METRICS,
    BinaryAccuracy,
    IoU,
    MeanIoU,
    OneHotIoU,
    OneHotMeanIoU,
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from mrdl.optimizers import OPTIMIZERS, SGD, Adam, AdamW
from mrdl.outer import OUTER
from mrdl.regularizers import L1, L1L2, L2, REGULARIZERS
from mrdl.schedules import (
    SCHEDULES,
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

DATA = Path(__file__).parents[1] / "support/from_keras"
AT = (PrecisionAtRecall, RecallAtPrecision, SensitivityAtSpecificity, SpecificityAtSensitivity)
TABLES = {"layer": LAYERS, "loss": LOSSES, "metric": METRICS, "optimizer": OPTIMIZERS,
          "schedule": SCHEDULES, "initializer": INITIALIZERS, "regularizer": REGULARIZERS,
          "constraint": CONSTRAINTS}
# Written by Keras 3.15.1: mean, std, min and max of initializer(shape)
DRAWN = json.loads((DATA / "keras_initializers.json").read_text())




def of_keras(name):
    """Keras's module or class of that name."""
    return pkgutil.resolve_name(name)


def one_line(error):
    text = str(error.value)
    return "\n" not in text and 0 < len(text) < 400


def test_the_tables_hold_every_description_there_is():
    def leaves(cls):
        below = cls.__subclasses__()
        return {leaf for c in below for leaf in leaves(c)} if below else {cls}

    ours = {c for c in leaves(Configured) if c.__module__.startswith("mrdl.")}
    own = (OUTER, RULES, KINDS.values(), [Truncated])       # the updater's state is always truncated: no user names it
    lacking = ours - {c for table in (*TABLES.values(), *own) for c in table}
    assert not sorted(c.__name__ for c in lacking), (
        "no JSON is read into them: LAYERS in mrdl/layers/__init__.py, LOSSES in mrdl/losses/__init__.py and so on lack them")


@pytest.mark.parametrize("cls", [c for table in TABLES.values() for c in table if c is not Input and c not in NOT_IN_KERAS],
                         ids=lambda c: f"{c.keras_module[6:]}.{c.__name__}")
def test_arguments_and_their_defaults_are_those_of_keras(cls):
    assert hasattr(of_keras(cls.keras_module), cls.__name__), "NOT_IN_KERAS in tests/support/not_in_keras.py lacks it"
    theirs = {name: None if p.default is p.empty else p.default for name, p in inspect.signature(
        of_keras(f"{cls.keras_module}:{cls.__name__}")).parameters.items() if p.kind is not p.VAR_KEYWORD}
    for field in dataclasses.fields(cls):
        if field.name in ("name", "trainable", "zero_output_for_mask"):      # Keras takes the latter two without naming them
            continue
        assert field.name in theirs
        if field.default is not dataclasses.MISSING:
            assert field.default == theirs[field.name] and type(field.default) in (
                type(theirs[field.name]), float)
    needed = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING]
    assert needed == list(theirs)[:len(needed)]          # so they stand in the same places
    for key, value in cls.fixed.items():
        assert theirs.get(key, value) == value


@pytest.mark.parametrize("kind", ["loss", "metric", "optimizer", "initializer", "regularizer", "constraint"])
def test_every_name_that_keras_has_for_a_thing_is_known(kind):
    """Keras names a loss's function by the snake of its class."""
    home = TABLES[kind][0].keras_module.replace("keras.", "keras.src.")
    names = {name for c in TABLES[kind] for name in (c.__name__, snake(c.__name__))}
    found = {name: thing.__name__ for name, thing in of_keras(home + ":ALL_OBJECTS_DICT").items()
             if thing.__name__ in names}
    assert len(found) >= len(TABLES[kind]) - (kind in ("optimizer", "loss"))        # Keras's own tables lack Lamb and the generalized cross-entropy
    for name, wanted in found.items():
        try:
            own = type(lookup(name, TABLES[kind], kind)).__name__
        except ConfigError as error:            # known, but not by its name alone
            own, says = str(error).split(": ")
            assert says.endswith("is missing")
        assert wanted in (own, snake(own))


def test_names_become_snakes_as_in_keras():
    names = {"HeNormal": "he_normal", "L1L2": "l1l2", "RMSprop": "rm_sprop", "Dense": "dense",
             "InputLayer": "input_layer", "MeanSquaredError": "mean_squared_error"}
    assert {name: snake(name) for name in names} == names


THINGS = [
    *layer_cases.LAYERS,
    Dense(3), Dense(4, "relu", False, HeNormal(seed=3), Constant(0.5), L1(0.1), L1L2(0.1, 0.2)),
    Activation("softmax"), Dropout(0.25, seed=7), Dropout(0.25, (None, 1)), Rescaling(1 / 255, -0.5), Flatten(),
    Reshape((2, -1)), ReLU(6.0, 0.1, 0.2), LeakyReLU(0.1), ELU(0.5), Softmax(), Softmax(1),
    PReLU(HeNormal(), L1(0.1), "non_neg", [1, 2]), PReLU(shared_axes=1), GaussianNoise(0.1, 2),
    GaussianDropout(0.1), AlphaDropout(0.2), SpatialDropout1D(0.3), SpatialDropout2D(0.4, seed=5),
    Conv2D(3, 2), Conv2D(4, (3, 2), 2, "same", groups=2, dilation_rate=1, kernel_constraint=MaxNorm(2, [0, 1, 2])),
    Conv1D(3, 2, padding="causal"), DepthwiseConv2D(3, depth_multiplier=2, depthwise_constraint="non_neg"),
    SeparableConv2D(3, 2, pointwise_regularizer="l2", bias_constraint="unit_norm"), Conv2DTranspose(3, 2, 2),
    MaxPooling1D(), MaxPooling2D((3, 2), 1, "same"), AveragePooling1D(3), AveragePooling2D(2),
    GlobalMaxPooling1D(), GlobalMaxPooling2D(keepdims=True), GlobalAveragePooling1D(keepdims=True), GlobalAveragePooling2D(),
    ZeroPadding1D(2), ZeroPadding2D(((1, 0), (2, 1))), Cropping1D(1), Cropping2D((1, 2)), UpSampling1D(),
    UpSampling2D((1, 3)), Permute((2, 1)), RepeatVector(3), BatchNormalization(-1, 0.9, gamma_constraint="non_neg"),
    LayerNormalization((1, 2), beta_regularizer="l1"), Add(), Subtract(), Multiply(), Average(), Maximum(), Minimum(),
    Concatenate(), Concatenate(1), Dot(1), Dot((1, 2)), Input((2, 3)), SimpleRNN(3), LSTM(3, dropout=0.1), GRU(3, reset_after=False),
    GravesLSTM(3, peephole_regularizer="l2"), Bidirectional(LSTM(3), "sum"), TimeDistributed(Dense(2, "relu")),
    Embedding(9, 3, mask_zero=True), CategoryEncoding(4, "one_hot"), Masking(-1.0), Normalization((1, -1), [[1], [2]], [[0.5], [9]]),
    Function("clip", (0, 1)), Divide(), Reduce("max", (1, -1), True), GetItem((None, slice(1, None), 2)),
    *(c() for c in LOSSES), BinaryCrossentropy(from_logits=True),
    *(c() for c in METRICS if c not in (IoU, MeanIoU, OneHotIoU, OneHotMeanIoU, *AT)), IoU(3, (0, 2)), MeanIoU(3), OneHotIoU(3, (1,)),
    OneHotMeanIoU(3, ignore_class=1), *(c(0.5) for c in AT), BinaryAccuracy(threshold=0.3, name="low"), *(c() for c in OPTIMIZERS),
    SGD(0.1, 0.9, True, clipnorm=2.0), Adam(ExponentialDecay(0.1, 10, 0.9), global_clipnorm=1.0),
    SGD(PiecewiseConstantDecay([1, 2], [0.3, 0.2, 0.1])),
    Adam(CosineDecay(0.0, 100, warmup_target=0.1, warmup_steps=10)), *(c() for c in INITIALIZERS),
    VarianceScaling(2.0, "fan_avg", "uniform", 5), *(c() for c in REGULARIZERS), L2(0.5),
    *(c() for c in CONSTRAINTS), MaxNorm(3, axis=[0, 1, 2]), MinMaxNorm(0.5, 2.0, 0.5, -1),
    Dense(3, kernel_constraint=MaxNorm(1.0, [0]), bias_constraint="non_neg"),
    AdamW(0.1, 0.01, amsgrad=True), Adam(clipvalue=0.5, weight_decay=0.1), ExponentialDecay(0.1, 10, 0.9, True),
    InverseTimeDecay(0.1, 10, 0.9), PolynomialDecay(0.1, 10, power=2.0), PiecewiseConstantDecay([5], [0.3, 0.2]), CosineDecay(0.1, 10),
    CosineDecayRestarts(0.1, 10, 3.0),
]


def test_every_description_is_among_those_that_survive_json():
    lacking = {c for table in TABLES.values() for c in table} - {type(thing) for thing in THINGS}
    assert not sorted(c.__name__ for c in lacking), "THINGS has none of them"


@pytest.mark.parametrize("thing", THINGS, ids=repr)
def test_a_description_survives_json(thing):
    table = next(t for t in TABLES.values() if type(thing) in t)
    again = lookup(json.loads(json.dumps(serialize(thing))), table, "thing")
    assert serialize(again) == serialize(thing)
    if not isinstance(thing, tuple(METRICS)):           # their name is written out
        assert again == thing


# -- initializers

@pytest.mark.parametrize("case", DRAWN,
                         ids=lambda c: f"{c['spec']['class_name']}{c['shape']}")
def test_an_initializer_draws_as_that_of_keras_does(case):
    initializer = lookup(case["spec"], INITIALIZERS, "initializer")
    a = initializer(tuple(case["shape"]), np.random.default_rng(0))
    assert a.shape == tuple(case["shape"]) and a.dtype == "f8"
    error = 5 * case["std"] / a.size ** 0.5
    assert a.mean() == pytest.approx(case["mean"], abs=2 * error + 1e-7)
    assert a.std() == pytest.approx(case["std"], rel=0.03)
    span = case["max"] - case["min"]
    normal = case["spec"]["class_name"] in ("RandomNormal", "Orthogonal") or (
        case["spec"]["config"].get("distribution") == "untruncated_normal")
    edge = 0.2 * span if normal else 0.01 * span + 1e-7     # of a normal only the bulk is sure
    assert a.min() == pytest.approx(case["min"], abs=edge)
    assert a.max() == pytest.approx(case["max"], abs=edge)


def test_every_initializer_is_compared_with_keras():
    assert {c["spec"]["class_name"] for c in DRAWN} == {
        c.__name__ for c in INITIALIZERS}


@pytest.mark.parametrize("shape, limit", [((30, 20), (6 / 50) ** 0.5), ((25,), (6 / 50) ** 0.5),
                                          ((3, 3, 4, 5), (6 / 81) ** 0.5)])
def test_the_fans_of_every_rank_are_those_of_keras(shape, limit):
    a = GlorotUniform()(shape, np.random.default_rng(0))
    assert abs(a).max() <= limit and abs(a).max() > 0.85 * limit


def test_a_seed_of_its_own_rules_an_initializer():
    def kernels(seed, own):
        model = mrdl.Sequential([Input(3), Dense(3, kernel_initializer=GlorotUniform(seed=own)),
                                 Dense(3, kernel_initializer=GlorotUniform(seed=own))])
        return model.build(seed=seed).get_weights()[::2]

    a, b = kernels(1, 5), kernels(2, 5)
    assert (a[0] == b[0]).all() and (a[0] == a[1]).all() and (a[0] != kernels(1, 6)[0]).all()
    a, b = kernels(1, None), kernels(2, None)
    assert (a[0] != b[0]).all() and (a[0] != a[1]).all() and (a[0] == kernels(1, None)[0]).all()


def test_the_draws_of_a_key_never_change():
    """Runs that are resumed elsewhere, and later, depend on these."""
    assert seeds.key("a", 1) == 4734373591355134036
    assert seeds.permutation(6, 1, "rows").tolist() == [0, 5, 4, 1, 3, 2]


# -- what is refused

@pytest.mark.parametrize("make, reason", [
    (lambda: Dense(), "units"), (lambda: Dense(3, units=4), "units"), (lambda: Dense(3, unit=4), "unit"),
])
def test_python_itself_refuses_arguments_there_are_not(make, reason):
    with pytest.raises(TypeError, match=reason):
        make()


@pytest.mark.parametrize("make, reason", [
    (lambda: Dense(3.5), "units=3.5 must be a whole number"), (lambda: Dense("3"), "whole number"),
    (lambda: Dense(3, "glu"), "unknown activation 'glu'"), (lambda: Dense(3, np.tanh), "unknown"),
    (lambda: Dense(3, kernel_initializer=np.zeros), "unknown initializer"),
    (lambda: Dense(3, kernel_regularizer=0.1), "unknown regularizer 0.1"),
    (lambda: Activation([1]), "unknown activation"), (lambda: Dropout("a"), "rate='a'"),
    (lambda: Dropout(0.1, (2, 1)), "(the batch's) None or 1"), (lambda: Dropout(0.1, 3), "noise_shape=3 must be"),
    (lambda: Dropout(0.1, (None, 2)).shape_of_output((3,)), "does not fit an input of shape"),
    (lambda: Dropout(-0.1), "rate=-0.1"), (lambda: AlphaDropout(1), "AlphaDropout: rate=1.0 must be"),
    (lambda: GaussianNoise(1.5), "stddev=1.5 must lie in 0 to 1"), (lambda: Softmax(0), "axis=0"),
    (lambda: ReLU(0), "max_value=0.0 must be above 0"), (lambda: ReLU(threshold=-1), "threshold=-1.0"),
    (lambda: LeakyReLU(-0.1), "negative_slope=-0.1 must be 0 or more"), (lambda: ELU(-1), "alpha=-1"),
    (lambda: LeakyReLU(None), "must be a finite number"), (lambda: PReLU(None), "is missing"),
    (lambda: PReLU(shared_axes=(0,)), "must be 1 or more"), (lambda: PReLU(shared_axes="a"), "a list"),
    (lambda: PReLU(shared_axes=True), "must be a"), (lambda: PReLU(shared_axes=[1.5]), "whole number"), (lambda: Input((2, -1)), "positive"),
    (lambda: Input("abc"), "shape='abc' must be a list"), (lambda: Input(True), "whole number"),
    (lambda: Input((2.0,)), "whole number"), (lambda: Rescaling(np.ones(3)), "finite number"),
    (lambda: Reshape(4), "must be a list"), (lambda: L1(-1), "0 or more"), (lambda: L2("a"), "l2='a'"),
    (lambda: VarianceScaling(distribution="a"), "distribution"),
    (lambda: Function("sin"), "unknown function 'sin'"), (lambda: Function("power"), "power takes 1 numbers besides x, not ()"),
    (lambda: Reduce("any", (1,)), "function='any' must be sum"), (lambda: GetItem(3), "key=3 must be a list"),
    (lambda: GetItem((slice(0, 2, 0),)), "numbers and slices of numbers"), (lambda: GetItem((True,)), "not by True"),
    (lambda: BinaryAccuracy("a", threshold=None), "threshold=None"),
    (lambda: mrdl.Sequential([], dtype="float16"), "dtype 'float16'"),
    (lambda: mrdl.Sequential([], name=3), "name 3"),
])
def test_bad_arguments_are_refused_when_they_are_given(make, reason):
    with pytest.raises(ConfigError) as error:
        make()
    assert reason in str(error.value) and one_line(error)


def test_messages_show_values_on_one_short_line():
    deep = []
    for _ in range(10 ** 4):
        deep = [deep]
    for value in (deep, "a\n" * 1000, {"a": deep}, 10 ** 3000, np.zeros(10 ** 5), lambda: 0):
        assert "\n" not in shown(value) and len(shown(value)) < 200
